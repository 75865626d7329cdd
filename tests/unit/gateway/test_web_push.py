from __future__ import annotations

import json
from typing import Any

import pytest

from carillon.v1 import delivery_pb2, environments_pb2, user_pb2, users_pb2
from gateway.asks import (
    add_web_push_to_proto,
    environment_result,
    frame_path,
    remove_web_push_to_proto,
    web_push_result,
)
from gateway.fields import FrameError
from gateway.frames import parse
from gateway.requests import AddWebPush, GetEnvironment, RemoveWebPush

ENDPOINT = "https://push.example.com/1"
KEYS = {"p256dh": "BPub", "auth": "c2Vj"}


def add(**change: Any) -> dict[str, Any]:
    """Gives a frame with a subscription as a browser writes it, changed."""
    subscription = {"endpoint": ENDPOINT, "expirationTime": None, "keys": KEYS}
    return {"type": "add_web_push", "ref": "1", "subscription": subscription | change}


def test_a_subscription_is_read_as_a_browser_writes_it() -> None:
    """What PushSubscription.toJSON gives is taken as it is, an expiration time passed over."""
    assert parse(json.dumps(add())) == AddWebPush("1", ENDPOINT, "BPub", "c2Vj")
    assert parse(json.dumps({"type": "remove_web_push", "ref": "1", "endpoint": ENDPOINT})) == (
        RemoveWebPush("1", ENDPOINT)
    )
    assert parse('{"type":"get_environment","ref":"1"}') == GetEnvironment("1")


def test_a_request_tells_no_log_where_to_push() -> None:
    """Whoever knows an endpoint can push to it, so neither it nor the keys are in what a request is written as."""
    written = repr(parse(json.dumps(add()))) + repr(RemoveWebPush("1", ENDPOINT))

    assert not any(secret in written for secret in (ENDPOINT, *KEYS.values()))


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"type": "get_environment"}, "ref"),
        (add() | {"ref": None}, "ref"),
        ({"type": "add_web_push", "ref": "1"}, "subscription.endpoint"),
        (add() | {"subscription": ENDPOINT}, "subscription"),
        (add(endpoint=None), "subscription.endpoint"),
        (add(endpoint=""), "subscription.endpoint"),
        (add(endpoint="https://" + "x" * 2041), "subscription.endpoint"),
        (add(keys=None), "subscription.keys.p256dh"),
        (add(keys=[]), "subscription.keys"),
        (add(keys={"p256dh": "x"}), "subscription.keys.auth"),
        (add(keys=KEYS | {"auth": 1}), "subscription.keys.auth"),
        (add(keys=KEYS | {"p256dh": "x" * 257}), "subscription.keys.p256dh"),
        ({"type": "remove_web_push", "endpoint": ENDPOINT}, "ref"),
        ({"type": "remove_web_push", "ref": "1"}, "endpoint"),
        ({"type": "remove_web_push", "ref": "1", "endpoint": "x" * 2049}, "endpoint"),
    ],
)
def test_a_wrong_field_is_named(body: dict[str, Any], field: str) -> None:
    """Each wrong field is refused by its path, and never taken for absent."""
    with pytest.raises(FrameError) as caught:
        parse(json.dumps(body))

    assert (caught.value.code, caught.value.field) == ("INVALID_FIELD", field)


def test_a_browser_reaches_the_services_whole() -> None:
    """A subscription is registered and forgotten for the user of the session, and nothing else of them is written."""
    subscription = user_pb2.WebPushSubscription(
        endpoint=ENDPOINT, keys=user_pb2.WebPushKeys(p256dh="BPub", auth="c2Vj")
    )

    assert add_web_push_to_proto(AddWebPush("1", ENDPOINT, "BPub", "c2Vj"), "u") == users_pb2.IdentifyUserRequest(
        user=user_pb2.User(id="u", web_push_subscriptions=[subscription])
    )
    assert remove_web_push_to_proto(RemoveWebPush("1", ENDPOINT), "u") == users_pb2.IdentifyUserRequest(
        user=user_pb2.User(id="u"), remove_web_push_endpoints=[ENDPOINT]
    )


def test_a_profile_is_not_told() -> None:
    """Of the answer a browser gets the warnings, by the fields of its frame, and nothing of the profile."""
    warning = delivery_pb2.SendWarning(
        code=delivery_pb2.SEND_WARNING_CODE_INVALID_PUSH_KEYS, field="user.web_push_subscriptions[0].keys", text="t"
    )
    answer = users_pb2.IdentifyUserResponse(user=user_pb2.User(id="u", email="u@example.com"), warnings=[warning])

    assert web_push_result(answer) == {
        "warnings": [{"code": "INVALID_PUSH_KEYS", "field": "subscription.keys", "text": "t"}]
    }
    answer.ClearField("warnings")
    assert web_push_result(answer) == {}


def test_an_environment_is_told_in_three_fields() -> None:
    """A browser gets name, picture and key, those that are empty left out, and no setting."""
    environment = environments_pb2.Environment(
        client_id="c", name="Krusty Krab", logo_url="https://example.com/logo.png", vapid_public_key="BKey"
    )

    assert environment_result(environment) == {
        "name": "Krusty Krab",
        "logo_url": "https://example.com/logo.png",
        "vapid_public_key": "BKey",
    }
    assert environment_result(environments_pb2.Environment(client_id="c", secure_mode=True)) == {}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("user.web_push_subscriptions[0].endpoint", "subscription.endpoint"),
        ("user.web_push_subscriptions[0].keys.auth", "subscription.keys.auth"),
        ("remove_web_push_endpoints[0]", "endpoint"),
    ],
)
def test_paths_are_those_of_the_frame(path: str, expected: str) -> None:
    """What the services find wrong with a subscription is named as the client wrote it."""
    assert frame_path(path) == expected
