"""Users that no call takes, each with all that is wrong with it."""

from __future__ import annotations

from typing import Any

from carillon.v1 import user_pb2
from tests.contract.services.requests import USER, nested, struct


def user(**fields: Any) -> user_pb2.User:
    """Makes a user with an id, unless another is given."""
    return user_pb2.User(**({"id": USER} | fields))


def token(provider: Any = user_pb2.PUSH_PROVIDER_FCM, token: str = "t", **fields: Any) -> user_pb2.PushToken:
    """Makes a push token that is right but for the fields given."""
    return user_pb2.PushToken(provider=provider, token=token, **fields)


def subscription(
    endpoint: str = "https://push.test/1", p256dh: str = "k", auth: str = "k", *, worker: Any = None
) -> Any:
    """Makes a web push subscription."""
    keys = user_pb2.WebPushKeys(p256dh=p256dh, auth=auth)
    return user_pb2.WebPushSubscription(endpoint=endpoint, keys=keys, worker=worker)


INVISIBLE = {
    "a-control-character": "a\nb",
    "NUL": "a\0b",
    "a-C1-control": "a\x85b",
    "a-format-character": "a\u200bb",
    "a-right-to-left-mark": "a\u202eb",
    "a-line-separator": "a\u2028b",
    "a-paragraph-separator": "a\u2029b",
}

BAD_USERS: dict[str, tuple[user_pb2.User, list[tuple[str, str]]]] = {
    "no-user-id": (user_pb2.User(), [("user.id", "REQUIRED")]),
    "a-user-id-of-257-bytes": (user(id="x" * 257), [("user.id", "TOO_LONG")]),
    "a-user-id-of-258-bytes-in-129-characters": (user(id="é" * 129), [("user.id", "TOO_LONG")]),
    **{
        f"a-user-id-with-{name}": (user(id=value), [("user.id", "INVALID_CHARACTERS")])
        for name, value in INVISIBLE.items()
    },
    "an-email-of-321-bytes": (user(email="a@" + "b" * 316 + ".de"), [("user.email", "TOO_LONG")]),
    "no-language": (user(language="Deutsch!"), [("user.language", "INVALID")]),
    "no-country": (user(country="us"), [("user.country", "INVALID")]),
    "a-photo-that-is-a-script": (user(photo_url="javascript:alert(1)"), [("user.photo_url", "INVALID")]),
    "a-long-name": (user(first_name="x" * 257), [("user.first_name", "TOO_LONG")]),
    "large-properties": (user(properties=struct({"a": "x" * 16384})), [("user.properties", "TOO_LARGE")]),
    "deep-properties": (user(properties=nested(33, lists=True)), [("user.properties.a" + "[0]" * 31, "TOO_DEEP")]),
    "51-tokens": (user(push_tokens=[token(token=str(i)) for i in range(51)]), [("user.push_tokens", "TOO_MANY")]),
    "a-token-without-provider-and-text": (
        user(push_tokens=[token(), token(provider=0, token="")]),
        [("user.push_tokens[1].provider", "REQUIRED"), ("user.push_tokens[1].token", "REQUIRED")],
    ),
    "a-token-of-an-unknown-provider": (
        user(push_tokens=[token(provider=99)]),
        [("user.push_tokens[0].provider", "UNKNOWN_VALUE")],
    ),
    "a-long-token": (user(push_tokens=[token(token="x" * 4097)]), [("user.push_tokens[0].token", "TOO_LONG")]),
    "a-long-device": (
        user(push_tokens=[token(device=user_pb2.Device(model="x" * 257))]),
        [("user.push_tokens[0].device.model", "TOO_LONG")],
    ),
    "51-subscriptions": (
        user(web_push_subscriptions=[subscription(f"https://push.test/{i}") for i in range(51)]),
        [("user.web_push_subscriptions", "TOO_MANY")],
    ),
    "a-subscription-of-an-unknown-worker": (
        user(web_push_subscriptions=[subscription(worker=99)]),
        [("user.web_push_subscriptions[0].worker", "UNKNOWN_VALUE")],
    ),
    "a-subscription-without-tls-and-keys": (
        user(web_push_subscriptions=[subscription("http://push.test/1", "", "x" * 257)]),
        [
            ("user.web_push_subscriptions[0].endpoint", "INVALID"),
            ("user.web_push_subscriptions[0].keys.p256dh", "REQUIRED"),
            ("user.web_push_subscriptions[0].keys.auth", "TOO_LONG"),
        ],
    ),
}
