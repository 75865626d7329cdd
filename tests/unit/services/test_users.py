from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from carillon.v1 import user_pb2
from services.kernel.validation import Violations
from services.messages.model import SendWarning, WarningCode
from services.users.convert import (
    sent_user_from_proto,
    user_from_proto,
    user_to_proto,
    warn_of_keys,
)
from services.users.model import (
    PROFILE_TEXTS,
    PushToken,
    User,
    WebPushSubscription,
    can_encrypt,
    has_news,
    is_email,
    merged,
    to_e164,
)
from tests.unit.services.builders import BROWSER, REACHABLE, TOKEN, reasons

POINT, AUTH = b"\x04" + b"x" * 64, b"a" * 16


@pytest.mark.parametrize(
    "text",
    ["spongebob@squarepants.com", "a+b@example.co.uk", "ä@ö.de", "o'hara@example.com", "x@123.45", ".a@b.co", "a@b.c"],
)
def test_a_mail_address_is_taken(text: str) -> None:
    """What a mail server may accept is an address."""
    assert is_email(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "@b.co",
        "a@",
        "a@b",
        "a@b.",
        "a@b.co.",
        "a@.b.co",
        "a@b..co",
        "a..b@c.co",
        "a@b@c.co",
        "a b@c.co",
        "a@b.co ",
        "a@b.co\n",
        "a@b.co\nBcc: x@y.co",
        "a@b.c\0",
        "a@b.c\x7f",
        "a\x01@b.co",
        "<a@b.co>",
        "a@b.co,c@d.co",
        '"a"@b.co',
        "a@[127.0.0.1]",
        "a" * 65 + "@b.co",
    ],
)
def test_what_is_no_mail_address_is_not_taken(text: str) -> None:
    """What no mail could be sent to, or what could smuggle a second address or header, is none."""
    assert not is_email(text)


@pytest.mark.parametrize(
    ("text", "region", "expected"),
    [
        ("+15005550006", "US", "+15005550006"),
        ("+15005550006", "DE", "+15005550006"),
        ("(415) 555-1212", "US", "+14155551212"),
        ("415.555.1212", "US", "+14155551212"),
        ("1 415 555 1212", "US", "+14155551212"),
        ("604 555 1234", "CA", "+16045551234"),
        ("+1 (604) 555-1234", "CA", "+16045551234"),
        ("1-800-FLOWERS", "US", "+18003569377"),
        ("+1 415 555 1212 ext. 5", "US", "+14155551212"),
        ("0171 1234567", "DE", "+491711234567"),
        ("+49 171 1234567", "US", "+491711234567"),
        ("555-1212", "US", None),
        ("555-1212", "CA", None),
        ("123", "US", None),
        ("911", "US", None),
        ("", "US", None),
        ("spongebob", "US", None),
        ("+999", "US", None),
        ("0" * 64, "US", None),
        ("4155551212", "ZZ", None),
        ("+", "US", None),
    ],
)
def test_a_number_is_read_as_people_write_it(text: str, region: str, expected: str | None) -> None:
    """A number comes out in E.164, in the region's reading where it has no country code, or not at all."""
    assert to_e164(text, region=region) == expected


def encoded(data: bytes) -> str:
    """Gives base64url without padding, as browsers do."""
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


@pytest.mark.parametrize(
    ("p256dh", "auth", "expected"),
    [
        (encoded(POINT), encoded(AUTH), True),
        (base64.b64encode(POINT).decode(), base64.b64encode(AUTH).decode(), True),
        (encoded(b"\x02" + POINT[1:]), encoded(AUTH), False),
        (encoded(POINT[:-1]), encoded(AUTH), False),
        (encoded(POINT), encoded(AUTH + b"a"), False),
        ("BF...........", "xxxx", False),
        ("", "", False),
        ("ä", encoded(AUTH), False),
    ],
)
def test_keys_can_encrypt_or_not(p256dh: str, auth: str, expected: bool) -> None:
    """A push can be encrypted with an uncompressed point of 65 bytes and 16 bytes of secret, in either base64."""
    subscription = WebPushSubscription("https://push.example/1", p256dh, auth)

    assert can_encrypt(subscription) is expected
    assert [warning.field for warning in warn_of_keys(User("u", web_push_subscriptions=(subscription,)))] == (
        [] if expected else ["user.web_push_subscriptions[0].keys"]
    )


@pytest.mark.parametrize("name", PROFILE_TEXTS)
def test_a_text_that_the_profile_lacks_is_news(name: str) -> None:
    """What fills an empty field is news; what differs from a full one is not, and an empty one never."""
    given_text: dict[str, Any] = {name: "a"}
    other_text: dict[str, Any] = {name: "b"}

    assert has_news(User("u", **given_text), User("u"))
    assert not has_news(User("u", **given_text), User("u", **other_text))
    assert not has_news(User("u"), User("u", **other_text))


def test_a_new_token_is_news() -> None:
    """A token, a browser or properties that the profile lacks are news; those that it has are not."""
    assert not has_news(REACHABLE, REACHABLE)
    assert has_news(replace(REACHABLE, push_tokens=(TOKEN, PushToken("APN", "token-2", {}))), REACHABLE)
    assert has_news(REACHABLE, replace(REACHABLE, web_push_subscriptions=()))
    assert has_news(User("u", properties={"a": 1}), User("u"))
    assert has_news(User("u", properties={"a": 1}), User("u", properties={}))
    assert not has_news(User("u", properties={"a": 1}), User("u", properties={"b": 2}))
    assert not has_news(User("u", properties={}), User("u"))


def test_what_came_with_the_send_wins() -> None:
    """The merged user has the send's texts and properties, and the profile's where the send says nothing."""
    stored = User("u", email="stored@b.co", number="+15005550001", properties={"a": 1}, push_tokens=(TOKEN,))
    sent = User("u", email="sent@b.co", web_push_subscriptions=(BROWSER,))

    assert merged(sent, stored) == replace(stored, email="sent@b.co")
    assert merged(replace(sent, properties={"b": 2}), stored).properties == {"b": 2}
    assert merged(sent, None) is sent


def test_a_send_keeps_what_is_good() -> None:
    """Addresses and a timezone that cannot be are left out of a send with a warning each, not refused."""
    proto = user_pb2.User(id="u", email="nobody", number="12", timezone="Mars/Olympus", first_name="Sandy")
    violations = Violations()

    user, warnings = sent_user_from_proto(proto, violations, region="US")

    assert not violations
    assert user == User("u", first_name="Sandy")
    assert {name: (one.code, one.field) for name, one in warnings.items()} == {
        "email": (WarningCode.INVALID_ADDRESS, "user.email"),
        "number": (WarningCode.INVALID_ADDRESS, "user.number"),
        "timezone": (WarningCode.INVALID_TIMEZONE, "user.timezone"),
    }
    assert warnings["number"] == SendWarning(
        WarningCode.INVALID_ADDRESS,
        "user.number",
        "user.number is not a phone number such as '+15005550006', nor one as dialled in US; it was not used",
    )


def test_the_user_of_a_send_has_an_id() -> None:
    """Who a message is for is no courtesy: an id that cannot be one is a violation."""
    for user_id, reason in (("", "REQUIRED"), ("u\n", "INVALID_CHARACTERS"), ("ä" * 129, "TOO_LONG")):
        violations = Violations()
        sent_user_from_proto(user_pb2.User(id=user_id), violations, region="US")
        assert reasons(violations) == {"user.id": reason}


def test_identifying_refuses_all_that_is_wrong_at_once() -> None:
    """Every rule of a profile is a violation of its field."""
    proto = user_pb2.User(
        email="nobody",
        number="12",
        timezone="Mars/Olympus",
        language="english!",
        photo_url="javascript:alert(1)",
        country="us",
        first_name="a" * 257,
        push_tokens=[user_pb2.PushToken(device=user_pb2.Device(model="a" * 257))],
        web_push_subscriptions=[user_pb2.WebPushSubscription(endpoint="http://push.example")],
    )
    proto.properties.update({"a": "b" * 17_000})
    violations = Violations()

    user_from_proto(proto, violations, region="US", user_id="u")

    assert reasons(violations) == {
        "user.email": "INVALID_ADDRESS",
        "user.number": "INVALID_ADDRESS",
        "user.timezone": "INVALID",
        "user.language": "INVALID",
        "user.photo_url": "INVALID",
        "user.country": "INVALID",
        "user.first_name": "TOO_LONG",
        "user.properties": "TOO_LARGE",
        "user.push_tokens[0].provider": "REQUIRED",
        "user.push_tokens[0].token": "REQUIRED",
        "user.push_tokens[0].device.model": "TOO_LONG",
        "user.web_push_subscriptions[0].endpoint": "INVALID",
        "user.web_push_subscriptions[0].keys.p256dh": "REQUIRED",
        "user.web_push_subscriptions[0].keys.auth": "REQUIRED",
    }


def test_there_are_at_most_50_tokens() -> None:
    """50 of each kind are taken, one more is refused; a token given twice is one, as it was given last."""
    token = user_pb2.PushToken(provider=user_pb2.PUSH_PROVIDER_FCM, token="t")
    apn = user_pb2.PushToken(provider=user_pb2.PUSH_PROVIDER_APN, token="t", sandbox=True)
    violations = Violations()

    user = user_from_proto(user_pb2.User(push_tokens=[token] * 49 + [apn]), violations, region="US", user_id="u")

    assert not violations
    assert user.push_tokens == (PushToken("APN", "t", {}, sandbox=True),)
    user_from_proto(user_pb2.User(push_tokens=[token] * 51), violations, region="US", user_id="u")
    assert reasons(violations) == {"user.push_tokens": "TOO_MANY"}


def test_a_profile_round_trips() -> None:
    """What is read of a profile is answered as it was."""
    proto = user_pb2.User(
        id="u",
        email="spongebob@squarepants.com",
        number="+15005550006",
        language="pt-BR",
        timezone="America/Los_Angeles",
        first_name="Spongebob",
        last_name="Squarepants",
        photo_url="https://example.com/1.png",
        country="US",
        push_tokens=[
            user_pb2.PushToken(
                provider=user_pb2.PUSH_PROVIDER_APN, token="t", device=user_pb2.Device(device_id="d"), sandbox=True
            )
        ],
        web_push_subscriptions=[
            user_pb2.WebPushSubscription(
                endpoint="https://push.example",
                keys=user_pb2.WebPushKeys(p256dh="p", auth="a"),
                worker=user_pb2.WEB_PUSH_WORKER_NOTIFICATIONAPI,
            )
        ],
    )
    proto.properties.update({"plan": "gold", "seats": 3, "nested": {"list": [1.5, None, True]}})
    violations = Violations()

    user = user_from_proto(proto, violations, region="US", user_id="u")

    assert not violations
    assert user.properties == {"plan": "gold", "seats": 3, "nested": {"list": [1.5, None, True]}}
    assert user_to_proto(user) == proto


@settings(deadline=None)
@given(st.text(max_size=30), st.sampled_from(["US", "DE", "ZZ", ""]))
@example("+1" * 200, "US")
def test_any_text_is_an_address_or_not(text: str, region: str) -> None:
    """No text makes the rules raise, and a number that is taken is taken again as it came out."""
    assert is_email(text) in (True, False)
    number = to_e164(text, region=region)
    assert number is None or to_e164(number, region=region) == number
