"""What servers may do differently and mean the same: a test for each line of the checklist that is about them."""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from carillon.v1 import channel_pb2, environments_pb2, preferences_pb2, user_pb2
from services.kernel.auth import user_hash
from tests.contract.gateway.notificationapi.backend import SEND, TAGS, USER, fields_of
from tests.contract.gateway.notificationapi.world import basic
from tests.contract.services.requests import definition, inapp

if TYPE_CHECKING:
    from tests.contract.gateway.notificationapi.backend import Backend

pytestmark = pytest.mark.asyncio(loop_scope="session")

USER_ID = USER["id"]
# Protobuf carries whole characters only.
HALF_CHARACTERS = [
    b'{"type": "\\ud800"}',
    b'{"type": "\xed\xa0\x80", "to": {"id": "a"}}',
    '{"type": "\\ud800", "to": {"id": "a"}}'.encode("utf-16"),
]


async def test_line_01_a_body_is_json_whatever_its_content_type(backend: Backend) -> None:
    """A send goes out as json, text, as a form (as PHP says) and without a type (as Go does)."""
    for content_type in ("application/json", "text/plain;charset=UTF-8", "application/x-www-form-urlencoded", None):
        headers = {"Content-Type": content_type} if content_type else {}
        response = await backend.call("POST", "sender", content=json.dumps(SEND), headers=headers)
        assert response.status_code == 202, (content_type, response.text)
        assert response.json()["trackingId"]


async def test_line_01_a_json_text_of_json_is_read_once_more(backend: Backend) -> None:
    """The documented C# class writes its JSON into a JSON string."""
    body = {"userId": USER_ID, "preferences": [{"notificationId": "order_tracking", "channel": "SMS", "state": False}]}
    answer = await backend.done("POST", f"user_preferences/{USER_ID}", json.dumps(body))
    assert answer["UserPreferences"][0]["channelsStates"] == [{"channel": "SMS", "state": False, "delivery": "off"}]


async def test_line_01_a_body_of_a_delete_is_no_problem(backend: Backend) -> None:
    """Go sends an empty body with every DELETE, and one with the ids with one of them."""
    await backend.done("PUT", "notifications/order_tracking/subNotifications/eu", {"title": "Europe"})
    tracking_id = (await backend.send(status=202, schedule=later()))["trackingId"]
    for resource, status in (
        ("notifications/order_tracking/subNotifications/eu", 204),
        (f"schedule/{tracking_id}", 200),
    ):
        response = await backend.call("DELETE", resource, content=b"{}", headers={"Content-Type": "text/plain"})
        assert response.status_code == status, response.text


async def test_line_01_what_is_no_json_is_refused_and_nothing_is_stored(backend: Backend) -> None:
    """A broken body, none, and one of another kind are 400, in the one shape."""
    before = await backend.tenant.stored()
    for content in (b"", b"{", b"[]", b'"x"', b"1", b"null", b"\xff\xfe", b"[" * 100_000, *HALF_CHARACTERS):
        await backend.refused(400, "POST", "sender", content=content)
    assert await backend.tenant.stored() == before


async def test_line_02_an_account_is_let_in_however_its_credentials_are_written(backend: Backend) -> None:
    """The scheme in any case or missing, padding or none, and percent-encoded parts are the same account."""
    tenant = backend.tenant
    plain = f"{tenant.client_id}:{tenant.secret}"
    encoded = base64.b64encode(plain.encode()).decode()
    percent = base64.b64encode(f"{quote(tenant.client_id)}:{tenant.secret}".encode()).decode()
    for authorization in (
        f"Basic {encoded}",
        f"BASIC {encoded}",
        f"basic   {encoded}",
        encoded,
        encoded.rstrip("="),
        f"Basic {percent}",
    ):
        response = await backend.call("GET", "auth/validateAuthenticate", headers={"Authorization": authorization})
        assert response.status_code == 200, (authorization[:6], response.text)


async def test_line_02_a_user_is_let_in_by_either_hash(backend: Backend) -> None:
    """HMAC as documented, with a line break as Ruby writes it, percent-encoded, and what Python makes of it."""
    tenant = backend.tenant
    for user_id in ("anna", "müller:1", "a b"):
        python = base64.b64encode(hashlib.sha256((tenant.secret + user_id).encode()).digest()).decode()
        hmac = user_hash(tenant.secret, user_id)
        for parts in (
            (user_id, hmac),
            (user_id, f"{hmac}\n"),
            (user_id, python),
            (quote(user_id, safe=""), quote(hmac, safe="")),
        ):
            response = await backend.call(
                "GET",
                f"users/{quote(user_id, safe='')}/unread/INAPP_WEB",
                headers={"Authorization": basic(tenant.client_id, *parts)},
            )
            assert response.status_code == 200, (parts, response.text)


async def test_line_02_credentials_of_a_browser_may_be_latin_1(backend: Backend) -> None:
    """A browser's btoa() writes "é" as one byte."""
    tenant = backend.tenant
    raw = f"{tenant.client_id}:andré:{user_hash(tenant.secret, 'andré')}".encode("latin-1")
    authorization = f"Basic {base64.b64encode(raw).decode()}"
    response = await backend.call("GET", "users/andr%C3%A9/unread/INAPP_WEB", headers={"Authorization": authorization})
    assert response.status_code == 200, response.text


async def test_line_02_without_a_proof_a_user_is_let_in_where_the_environment_says_so(backend: Backend) -> None:
    """Without a hash, with an empty one and with the word "undefined": 401 in secure mode, and 200 without."""
    await without_proof(backend, 401)
    insecure = environments_pb2.UpdateEnvironmentRequest(update_mask=FieldMask(paths=["secure_mode"]))
    await backend.tenant.backend.environments.UpdateEnvironment(insecure)
    await without_proof(backend, 200)


async def without_proof(backend: Backend, status: int) -> None:
    """Calls as a user with nothing that proves it."""
    for parts in (("anna",), ("anna", ""), ("anna", "undefined")):
        authorization = basic(backend.tenant.client_id, *parts)
        response = await backend.call("GET", "users/anna/unread/INAPP_WEB", headers={"Authorization": authorization})
        assert response.status_code == status, (parts, response.text)


async def test_line_02_other_credentials_are_refused(backend: Backend) -> None:
    """A wrong secret, none, and what is no base64 are 401, and a send by them leaves nothing behind."""
    tenant = backend.tenant
    before = await tenant.stored()
    for authorization in (basic(tenant.client_id, "wrong"), "", "Basic", "Basic §", basic("x"), "Bearer x.y.z"):
        await backend.refused(401, "POST", "sender", SEND, headers={"Authorization": authorization.encode("latin-1")})
    assert await tenant.stored() == before


async def test_line_03_the_path_names_the_client_of_the_credentials(backend: Backend) -> None:
    """The credentials of one environment are 403 in the path of another."""
    response = await backend.http.post("/another/sender", json=SEND, headers={"Authorization": backend.authorization})
    assert response.status_code == 403
    assert response.json()["error"]["code"] == "OTHER_CLIENT"


async def test_line_03_the_path_names_the_user_of_the_credentials(backend: Backend) -> None:
    """A user who asks about another is refused, and changes nothing of theirs."""
    tenant = backend.tenant
    anna = basic(tenant.client_id, "anna", user_hash(tenant.secret, "anna"))
    choices = [{"notificationId": "order_tracking", "channel": "EMAIL", "delivery": "off"}]
    before = await tenant.stored()
    for method, resource, body in (
        ("GET", "users/ben/unread/INAPP_WEB", None),
        ("POST", "users/ben", {"email": "a@example.com"}),
        ("POST", "user_preferences/ben", choices),
    ):
        await backend.refused(403, method, resource, body, headers={"Authorization": anna})
    assert await tenant.stored() == before


async def test_line_05_a_schedule_is_changed_by_patch_and_put(backend: Backend) -> None:
    """Both move it; what PHP wraps into sendRequest is unwrapped, and what is not given stays."""
    tracking_id = (await backend.send(status=202, schedule=later()))["trackingId"]
    for method, hours, wrap in (("PATCH", 2, False), ("PUT", 3, False), ("PATCH", 4, True), ("PUT", 5, True)):
        change = {"schedule": later(hours)}
        answer = await backend.done(method, f"schedule/{tracking_id}", {"sendRequest": change} if wrap else change)
        assert answer["message"]
        message = await backend.message(tracking_id)
        assert message.schedule_time.ToDatetime(UTC) == datetime.fromisoformat(later(hours))
        assert message.request.user.email == USER["email"]
        assert dict(message.request.merge_tags) == TAGS


async def test_line_06_choices_are_forgotten_by_ids_in_query_or_body(backend: Backend) -> None:
    """Query as most write it, body as Go does; by the account and by the user; the other choices stay."""
    tenant = backend.tenant
    user = basic(tenant.client_id, "anna", user_hash(tenant.secret, "anna"))
    ids = {"notificationId": "order_tracking"}
    for authorization in (backend.authorization, user):
        for options in ({"params": ids}, {"json": ids}):
            await backend.done(
                "POST",
                "user_preferences/anna",
                [
                    {"notificationId": "order_tracking", "channel": "EMAIL", "delivery": "off"},
                    {"notificationId": "new_order", "channel": "INAPP_WEB", "delivery": "off"},
                ],
            )
            response = await backend.call(
                "DELETE", "users/anna/preferences", headers={"Authorization": authorization}, **options
            )
            assert response.status_code == 200, response.text
            assert await choices_of(backend, "anna") == [("new_order", "INAPP_WEB", "OFF", "")]


@pytest.mark.parametrize(
    ("query", "body"),
    [
        ({"notificationId": "order_tracking", "subNotificationId": "eu"}, None),
        ({}, {"notificationId": "order_tracking", "subNotificationId": "eu"}),
        ({"subNotificationId": "eu"}, {"notificationId": "order_tracking"}),
    ],
    ids=["query", "body", "both"],
)
async def test_line_06_choices_of_one_part_are_forgotten(
    backend: Backend, query: dict[str, str], body: dict[str, str] | None
) -> None:
    """Wherever its id stands, only what was chosen for the part goes."""
    whole = {"notificationId": "order_tracking", "channel": "EMAIL", "delivery": "off"}
    await backend.done("POST", "user_preferences/anna", [whole, whole | {"subNotificationId": "eu"}])
    response = await backend.call("DELETE", "users/anna/preferences", params=query, json=body)
    assert response.status_code == 200, response.text
    assert await choices_of(backend, "anna") == [("order_tracking", "EMAIL", "OFF", "")]


async def test_line_06_to_forget_choices_names_them(backend: Backend) -> None:
    """Without a notification it is 400, and every choice is still there."""
    await backend.done("POST", "user_preferences/anna", [{"notificationId": "order_tracking", "delivery": "off"}])
    await backend.refused(400, "DELETE", "users/anna/preferences")
    assert len(await choices_of(backend, "anna")) == 1


async def test_line_07_preferences_are_an_array_or_in_an_object(backend: Backend) -> None:
    """Alone, as ``preferences``, and beside the user they replace the user's choices."""
    choices = [{"notificationId": "order_tracking", "channel": "EMAIL", "delivery": "off"}]
    for body in (choices, {"preferences": choices}, {"userId": "anna", "preferences": choices}):
        await backend.done("POST", "user_preferences/anna", [])
        assert await choices_of(backend, "anna") == []
        answer = await backend.done("POST", "user_preferences/anna", body)
        assert await choices_of(backend, "anna") == [("order_tracking", "EMAIL", "OFF", "")]
        assert answer == {
            "UserPreferences": [
                {
                    "envId": backend.tenant.client_id,
                    "userId": "anna",
                    "notificationId": "order_tracking",
                    "channelsStates": [{"channel": "EMAIL", "state": False, "delivery": "off"}],
                }
            ]
        }


async def test_line_07_a_choice_is_a_delivery_or_a_state_of_one_channel_or_all(backend: Backend) -> None:
    """``state`` of older SDKs is on or off; without a channel, or with null, all are meant."""
    for choice, stored in (
        ({"channel": "EMAIL", "delivery": "instant"}, ("EMAIL", "INSTANT")),
        ({"channel": "SMS", "state": False}, ("SMS", "OFF")),
        ({"channel": "SMS", "state": True}, ("SMS", "INSTANT")),
        ({"delivery": "off"}, ("UNSPECIFIED", "OFF")),
        ({"channel": None, "state": False}, ("UNSPECIFIED", "OFF")),
    ):
        body = [{"notificationId": "order_tracking", "subNotificationId": "eu"} | choice]
        await backend.done("POST", "user_preferences/anna", body)
        assert await choices_of(backend, "anna") == [("order_tracking", *stored, "eu")]


async def test_line_07_wrong_choices_are_refused_and_the_old_ones_stay(backend: Backend) -> None:
    """Words that nobody knows, nothing chosen, an unknown notification, and another user's body are 400."""
    kept = {"notificationId": "order_tracking", "channel": "EMAIL", "delivery": "off"}
    await backend.done("POST", "user_preferences/anna", [kept])
    for body, field in (
        ([kept | {"delivery": "sometimes"}], "preferences[0].delivery"),
        ([kept | {"channel": "FAX"}], "preferences[0].channel"),
        ([{"notificationId": "order_tracking"}], "preferences[0].delivery"),
        ([{"channel": "EMAIL", "state": True}], "preferences[0].notificationId"),
        ([kept, kept | {"notificationId": "nobody_knows"}], "preferences[1].notificationId"),
        ({"userId": "ben", "preferences": []}, "userId"),
        (7, "body"),
    ):
        error = await backend.refused(400, "POST", "user_preferences/anna", body)
        assert field in fields_of(error), error
    assert await choices_of(backend, "anna") == [("order_tracking", "EMAIL", "OFF", "")]


@pytest.mark.parametrize("type_name", ["type", "notificationId"])
@pytest.mark.parametrize("user_name", ["to", "user"])
@pytest.mark.parametrize("tags_name", ["parameters", "mergeTags"])
async def test_line_08_old_and_new_names_mix(backend: Backend, type_name: str, user_name: str, tags_name: str) -> None:
    """Any mix of the old and the new names is the same send."""
    body = {type_name: "order_tracking", user_name: USER, tags_name: TAGS}
    answer = await backend.done("POST", "sender", body, status=202)
    request = (await backend.message(answer["trackingId"])).request
    assert (request.notification_id, request.user.id, dict(request.merge_tags)) == ("order_tracking", USER_ID, TAGS)


async def test_line_08_attachments_and_tokens_in_every_spelling(backend: Backend) -> None:
    """The name of a file has three names, the type of a token any case and one slip, and an empty email is none."""
    files = [{name: "a.pdf", "url": "https://example.com/a.pdf"} for name in ("filename", "fileName", "name")]
    tokens: list[dict[str, Any]] = [
        {"type": kind, "token": f"token-{kind}", "device": {}} for kind in ("apn", "APN", "APM", "Fcm")
    ]
    answer = await backend.send(
        status=202,
        user={"id": "anna", "email": "", "pushTokens": tokens},
        options={"email": {"attachments": files}},
    )
    request = (await backend.message(answer["trackingId"])).request
    assert [one.filename for one in request.options.email.attachments] == ["a.pdf"] * 3
    providers = [user_pb2.PushProvider.Name(one.provider) for one in request.user.push_tokens]
    assert providers == ["PUSH_PROVIDER_APN"] * 3 + ["PUSH_PROVIDER_FCM"]
    assert not request.user.email
    assert any("email is not provided. Discarding EMAIL." in message for message in answer["messages"])


async def test_line_09_a_send_is_answered_200_or_202_with_its_id_and_messages(backend: Backend) -> None:
    """200 where all goes out, 202 where less or nothing does; both have an entity."""
    await backend.tenant.put(definition("new_comment", inapp()))
    whole = await backend.send(status=200, notificationId="new_comment")
    assert whole["messages"] == []
    partly = await backend.send(status=202, user={"id": "anna", "number": "+15005550006"})
    assert "EMAIL delivery is activated, but the user's email is not provided. Discarding EMAIL." in partly["messages"]
    assert "All delivery channels are disabled/discarded. Aborted." not in partly["messages"]

    await backend.done("POST", "user_preferences/anna", [{"notificationId": "new_comment", "delivery": "off"}])
    nothing = await backend.send(status=202, notificationId="new_comment", user={"id": "anna"})
    assert nothing["messages"][-1] == "All delivery channels are disabled/discarded. Aborted."
    for answer in (whole, partly, nothing):
        assert (await backend.message(answer["trackingId"])).tracking_id == answer["trackingId"]


async def test_line_15_a_base_url_may_end_in_a_slash(backend: Backend) -> None:
    """``//{clientId}/…`` is ``/{clientId}/…``, and a slash at the end is none."""
    client_id = backend.tenant.client_id
    for path in (f"//{client_id}/sender", f"///{client_id}//sender/", f"/{client_id}/sender/"):
        # As a whole URL, since the client would take two slashes for a host.
        response = await backend.http.post(
            f"{str(backend.http.base_url).rstrip('/')}{path}",
            json=SEND,
            headers={"Authorization": backend.authorization},
        )
        assert response.status_code == 202, (path, response.text)


async def test_line_16_unknown_fields_are_kept_for_the_log(backend: Backend) -> None:
    """On every level they are no error, and stand in the log where they stood in the send."""
    answer = await backend.send(
        status=202,
        user=USER | {"nickname": "Bob"},
        campaign={"id": 7, "tags": ["a", None]},
        options={"email": {"openTracking": True}},
    )
    (entry,) = (await backend.done("POST", "logs/query", {"trackingIds": [answer["trackingId"]]}))["logs"]
    assert entry["request"]["campaign"] == {"id": 7, "tags": ["a", None]}
    assert entry["request"]["options"] == {"email": {"openTracking": True}}
    assert entry["request"]["user"] == USER | {"nickname": "Bob"}


async def test_line_16_unknown_fields_are_no_error_anywhere(backend: Backend) -> None:
    """Whatever takes a body does the same with one that has more in it."""
    more = {"newerThanWeAre": {"a": [1, None]}}
    tracking_id = (await backend.send(status=202, schedule=later()))["trackingId"]
    choice = {"notificationId": "order_tracking", "channel": "EMAIL", "delivery": "off"} | more
    marks = {"trackingIds": [tracking_id], "opened": later(), "reply": {"message": "yes"} | more} | more
    for method, resource, body in (
        ("POST", "sender/retract", {"notificationId": "order_tracking", "userId": "anna"} | more),
        ("PATCH", f"schedule/{tracking_id}", {"schedule": later(2)} | more),
        ("PUT", "notifications/order_tracking/subNotifications/eu", {"title": "Europe"} | more),
        ("POST", "user_preferences/anna", [choice]),
        ("POST", "users/anna/preferences", {"preferences": [choice]} | more),
        ("DELETE", "users/anna/preferences", {"notificationId": "order_tracking"} | more),
        ("POST", "users/anna", {"email": "", "number": "+15005550006"} | more),
        ("PATCH", "users/anna/notifications/INAPP_WEB", marks),
        ("PATCH", "users/anna/unread/INAPP_WEB", more),
        ("POST", "logs/query", {"userFilter": ["anna"], "dateRangeFilter": more} | more),
    ):
        await backend.done(method, resource, body)


async def test_line_16_too_many_unknown_fields_are_told(backend: Backend) -> None:
    """More than 16 KiB of them are left out, the send goes all the same, and a message says it."""
    answer = await backend.send(status=202, blob="x" * 20_000)
    assert any("blob" in message and "16 KiB" in message for message in answer["messages"])
    assert not (await backend.message(answer["trackingId"])).request.HasField("extra")


def later(hours: int = 1) -> str:
    """Gives a time that many hours from today's last one, always the same within a test."""
    return (NOW + timedelta(days=1, hours=hours)).isoformat()


NOW = datetime.now(UTC).replace(microsecond=0)


async def choices_of(backend: Backend, user_id: str) -> list[tuple[str, str, str, str]]:
    """Gives a user's choices as stored."""
    asked = preferences_pb2.GetPreferencesRequest(user_id=user_id)
    answer: Any = await backend.tenant.backend.preferences.GetPreferences(asked)
    return [
        (
            one.notification_id,
            channel_pb2.Channel.Name(one.channel).removeprefix("CHANNEL_"),
            channel_pb2.DeliveryOption.Name(one.delivery_option).removeprefix("DELIVERY_OPTION_"),
            one.sub_notification_id,
        )
        for one in answer.preferences
    ]
