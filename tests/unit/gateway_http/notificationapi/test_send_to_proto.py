from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from fastapi.exceptions import RequestValidationError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from carillon.v1 import channel_pb2, send_options_pb2, sender_pb2, user_pb2
from gateway.http.notificationapi.bodies import checked
from gateway.http.notificationapi.send_bodies import SendBody
from gateway.http.notificationapi.send_to_proto import (
    MAX_EXTRA_BYTES,
    ReadSend,
    parse_time,
    read_change,
    read_send,
)
from gateway.http.notificationapi.structs import from_struct
from services.kernel.errors import InvalidArgument

LEAST: dict[str, Any] = {"type": "welcome", "to": {"id": "anna"}}


def body(**fields: Any) -> SendBody:
    """Gives the least send with other fields."""
    return checked(SendBody, LEAST | fields)


def read(**fields: Any) -> ReadSend:
    """Reads the least send with other fields."""
    return read_send(body(**fields))


def problems(**fields: Any) -> dict[str, str]:
    """Gives what is wrong with a send, by the caller's names."""
    try:
        read(**fields)
    except RequestValidationError as error:
        return {".".join(map(str, one["loc"][1:])): one["msg"] for one in error.errors()}
    except InvalidArgument as error:
        return {violation.field: violation.description for violation in error.violations}
    return {}


def test_the_seeds_example() -> None:
    """The old names give the notification, the user with both addresses, and the merge tags."""
    request = read_send(
        checked(
            SendBody,
            {
                "notificationId": "order_tracking",
                "user": {"id": "userId_123abc", "email": "spongebob@squarepants.com", "number": "+15005550006"},
                "mergeTags": {"item": "Krabby Patty Burger", "orderId": 1234567890},
            },
        ),
        request_id="once",
    ).request
    assert request.notification_id == "order_tracking"
    assert (request.user.id, request.user.email, request.user.number) == (
        "userId_123abc",
        "spongebob@squarepants.com",
        "+15005550006",
    )
    assert from_struct(request.merge_tags) == {"item": "Krabby Patty Burger", "orderId": 1234567890}
    assert request.request_id == "once"
    assert not request.HasField("extra")
    assert not request.HasField("options")


def test_where_old_and_new_names_are_both_given_the_new_wins_field_by_field() -> None:
    """What the new one leaves out is the old one's, as Java sends both."""
    request = read_send(
        checked(
            SendBody,
            {
                "type": "new",
                "notificationId": "old",
                "to": {"email": "new@example.com", "number": ""},
                "user": {"id": "anna", "email": "old@example.com", "number": "+15005550006"},
                "parameters": {"a": 1},
                "mergeTags": {"a": 2, "b": 3},
            },
        )
    ).request
    assert request.notification_id == "new"
    assert (request.user.id, request.user.email, request.user.number) == ("anna", "new@example.com", "+15005550006")
    assert from_struct(request.merge_tags) == {"a": 1, "b": 3}


@pytest.mark.parametrize("given_type", [None, ""])
def test_a_send_without_a_notification_has_its_own_code(given_type: str | None) -> None:
    """Neither null nor an empty text names one."""
    with pytest.raises(InvalidArgument) as refused:
        read_send(checked(SendBody, {"to": {"id": "anna"}, "type": given_type, "notificationId": given_type}))
    assert refused.value.reason == "MISSING_NOTIFICATION_TYPE"
    assert refused.value.violations[0].field == "type"


@pytest.mark.parametrize(
    ("user", "user_id"),
    [
        ({"id": "anna", "email": "a@example.com"}, "anna"),
        ({"email": "a@example.com", "number": "+15005550006"}, "a@example.com"),
        ({"id": "", "email": "", "number": "+15005550006"}, "+15005550006"),
        ({"id": None, "timezone": "Europe/Berlin"}, ""),
    ],
)
def test_an_address_is_id_enough(user: dict[str, Any], user_id: str) -> None:
    """Without an id the email is it, else the number."""
    assert read(to=user).request.user.id == user_id


@pytest.mark.parametrize("recipients", [[], [{"id": "anna"}], [{"id": "anna"}, {"id": "ben"}]])
@pytest.mark.parametrize("name", ["to", "user"])
def test_a_list_of_recipients_is_told_to_send_one_by_one(name: str, recipients: list[Any]) -> None:
    """The vendor takes one; the refusal says what to do."""
    assert "send once for each" in problems(**{name: recipients})[name]


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2024-02-20T14:38:03.509Z", datetime(2024, 2, 20, 14, 38, 3, 509_000, UTC)),
        ("2024-02-20T14:38:03.1234567Z", datetime(2024, 2, 20, 14, 38, 3, 123_456, UTC)),
        ("2024-02-20T14:38:03", datetime(2024, 2, 20, 14, 38, 3, 0, UTC)),
        ("2024-02-20 14:38", datetime(2024, 2, 20, 14, 38, 0, 0, UTC)),
        ("2024-02-20t14:38:03z", datetime(2024, 2, 20, 14, 38, 3, 0, UTC)),
        ("2024-02-20T14:38:03+02:00", datetime(2024, 2, 20, 12, 38, 3, 0, UTC)),
        ("2024-02-20T14:38:03-0530", datetime(2024, 2, 20, 20, 8, 3, 0, UTC)),
        (" 2024-02-20 ", datetime(2024, 2, 20, 0, 0, 0, 0, UTC)),
    ],
)
def test_a_schedule_is_an_iso_time(text: str, time: datetime) -> None:
    """With any offset, in UTC without one, and with the seven digits of C#."""
    assert read(schedule=text).request.schedule_time.ToDatetime(UTC) == time


@settings(deadline=None)
@given(
    st.datetimes(min_value=datetime(1, 1, 3), max_value=datetime(9999, 12, 29)),  # noqa: DTZ001 # the zone is added
    st.integers(min_value=-14 * 60, max_value=14 * 60),
)
def test_every_offset_is_read(time: datetime, minutes: int) -> None:
    """A time with an offset is that moment."""
    aware = time.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    assert parse_time(aware.isoformat()) == aware


@pytest.mark.parametrize(
    "schedule", ["tomorrow", "2024-13-01", "0001-01-01T00:00:00+10:00", 1708439883, True, [], {}, "2024-02-20T25:00"]
)
def test_another_schedule_has_its_own_code(schedule: object) -> None:
    """Text that is no time, a number and everything else are INVALID_SCHEDULE_FORMAT."""
    with pytest.raises(InvalidArgument) as refused:
        read(schedule=schedule)
    assert refused.value.reason == "INVALID_SCHEDULE_FORMAT"
    assert refused.value.violations[0].field == "schedule"


@pytest.mark.parametrize("schedule", [None, ""])
def test_no_schedule_is_none(schedule: str | None) -> None:
    """Null and an empty text are as good as nothing."""
    assert read(schedule=schedule).request.WhichOneof("schedule") is None


def test_every_option_has_its_place() -> None:
    """Options of mails, APNs and FCM reach the field that means the same."""
    request = read(
        options={
            "email": {
                "replyToAddresses": ["r@example.com"],
                "ccAddresses": ["c@example.com"],
                "bccAddresses": ["b@example.com"],
                "fromName": "Bob",
                "fromAddress": "bob@example.com",
                "attachments": [
                    {"filename": "a.pdf", "url": "https://example.com/a.pdf"},
                    {"fileName": "b.txt", "content": base64.b64encode(b"hello").decode(), "contentType": "text/plain"},
                    {"name": "c.txt", "content": "data:text/plain;base64,aGVs\nbG8"},
                ],
            },
            "apn": {
                "expiry": 1700000000,
                "priority": 5,
                "collapseId": "c",
                "threadId": "t",
                "badge": 0,
                "sound": "default",
                "contentAvailable": True,
            },
            "fcm": {
                "android": {"collapseKey": "k", "priority": "NORMAL", "ttl": 60.5, "restrictedPackageName": "com.x"}
            },
        }
    ).request
    email, apn, android = request.options.email, request.options.apn, request.options.fcm.android
    assert (*email.reply_to_addresses, *email.cc_addresses, *email.bcc_addresses) == (
        "r@example.com",
        "c@example.com",
        "b@example.com",
    )
    assert (email.from_name, email.from_address) == ("Bob", "bob@example.com")
    assert [(one.filename, one.url, one.content, one.content_type) for one in email.attachments] == [
        ("a.pdf", "https://example.com/a.pdf", b"", ""),
        ("b.txt", "", b"hello", "text/plain"),
        ("c.txt", "", b"hello", ""),
    ]
    assert (apn.expire_time.seconds, apn.priority, apn.collapse_id, apn.thread_id) == (1700000000, 5, "c", "t")
    assert (apn.HasField("badge"), apn.badge, apn.sound, apn.content_available) == (True, 0, "default", True)
    assert (android.collapse_key, android.restricted_package_name) == ("k", "com.x")
    assert android.priority == send_options_pb2.FCM_ANDROID_PRIORITY_NORMAL
    assert android.ttl.ToTimedelta() == timedelta(seconds=60.5)


@pytest.mark.parametrize(
    ("expiry", "seconds"),
    [(0, 0), ("1700000000", 1700000000), (1700000000000, 1700000000), (" 1800000000 ", 1800000000), ("", None)],
)
def test_an_expiry_is_a_unix_time(expiry: object, seconds: int | None) -> None:
    """Of seconds, as a number or a text (as Go has it), or of milliseconds as JavaScript has them; "" is none."""
    apn = read(options={"apn": {"expiry": expiry}}).request.options.apn
    assert (apn.expire_time.seconds if apn.HasField("expire_time") else None) == seconds


@pytest.mark.parametrize(
    ("ttl", "seconds"), [(3600, 3600), ("7200", 7200), ("3600s", 3600), (0, 0), ("", None), (-1.5, -1.5), (1e15, 1e15)]
)
def test_a_ttl_is_in_seconds(ttl: object, seconds: float | None) -> None:
    """As a number or a text; whether it is too much is the services' to say."""
    android = read(options={"fcm": {"android": {"ttl": ttl}}}).request.options.fcm.android
    found = android.ttl.seconds + android.ttl.nanos / 1e9 if android.HasField("ttl") else None
    assert found == seconds


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"to": {"id": 7}}, "to.id"),
        ({"to": "anna"}, "to"),
        ({"to": {"id": "a", "pushTokens": [{"type": "WNS", "token": "t"}]}}, "to.pushTokens.0.type"),
        ({"to": {"id": "a", "webPushTokens": [{"sub": {"endpoint": "e"}}]}}, "to.webPushTokens.0.sub.keys"),
        ({"parameters": "a=b"}, "parameters"),
        ({"parameters": {"a": {"b": 10**400}}}, "parameters.a.b"),
        ({"replace": {"a": 1}}, "replace.a"),
        ({"forceChannels": "EMAIL"}, "forceChannels"),
        ({"forceChannels": ["EMAIL", "FAX"]}, "forceChannels[1]"),
        ({"forceChannels": ["SLACK"]}, "forceChannels"),
        ({"options": {"apn": {"badge": 2**31}}}, "options.apn.badge"),
        ({"options": {"apn": {"expiry": 1e300}}}, "options.apn.expiry"),
        ({"options": {"apn": {"expiry": "soon"}}}, "options.apn.expiry"),
        ({"options": {"fcm": {"android": {"ttl": "inf"}}}}, "options.fcm.android.ttl"),
        ({"options": {"fcm": {"android": {"priority": "urgent"}}}}, "options.fcm.android.priority"),
        (
            {"options": {"email": {"attachments": [{"filename": "a", "content": "§"}]}}},
            "options.email.attachments[0].content",
        ),
        ({"options": {"email": {"attachments": [{"filename": "a"}]}}}, "options.email.attachments[0]"),
        ({"email": "hello"}, "email"),
        ({"sms": {"message": 7}}, "sms.message"),
    ],
)
def test_what_is_wrong_is_named(fields: dict[str, Any], field: str) -> None:
    """Wrong kinds, unknown words and numbers out of all bounds are refused by their place in the body."""
    assert set(problems(**fields)) == {field}


def test_an_empty_list_is_an_empty_object() -> None:
    """PHP writes both the same."""
    request = read(parameters=[], replace=[], options=[]).request
    assert request == read().request


def test_inline_content_reaches_every_channel() -> None:
    """Each channel's words have their field."""
    content = read(
        email={"subject": "s", "html": "h", "previewText": "p", "senderName": "n", "senderEmail": "e@example.com"},
        inapp={"title": "t", "url": "/u", "image": "/i"},
        sms={"message": "m"},
        call={"message": "c"},
        web_push={"title": "wt", "message": "wm", "icon": "/wi", "url": "/wu"},
        mobile_push={"title": "pt", "message": "pm"},
    ).request.content
    email, inapp, push, web_push = content.email, content.inapp, content.push, content.web_push
    assert (email.subject, email.html, email.preview_text, email.from_name, email.from_address) == (
        "s",
        "h",
        "p",
        "n",
        "e@example.com",
    )
    assert (inapp.title, inapp.url, inapp.image_url) == ("t", "/u", "/i")
    assert (content.sms.text, content.call.text) == ("m", "c")
    assert (push.title, push.body) == ("pt", "pm")
    assert (web_push.title, web_push.body, web_push.icon_url, web_push.url) == ("wt", "wm", "/wi", "/wu")


def test_content_that_says_nothing_is_none() -> None:
    """An empty object and empty texts leave a channel to its template."""
    assert not read(email={}, sms={"message": ""}, inapp={"title": None}).request.HasField("content")
    assert [field.name for field, _ in read(email={}, sms={"message": "m"}).request.content.ListFields()] == ["sms"]


def test_channels_are_forced_once_each_in_any_case() -> None:
    """SLACK, which does not exist here, is left out and told."""
    found = read(forceChannels=["email", "EMAIL", " SMS ", "SLACK"])
    assert list(found.request.force_channels) == [channel_pb2.CHANNEL_EMAIL, channel_pb2.CHANNEL_SMS]
    assert found.messages == ("SLACK delivery is not supported. Discarding SLACK.",)
    assert found.is_less


@pytest.mark.parametrize(
    ("fields", "extra", "message", "is_less"),
    [
        ({"slack": {"text": "x"}}, {"slack": {"text": "x"}}, "SLACK", True),
        ({"to": {"id": "a", "slackChannel": "#c"}}, {"user": {"slackChannel": "#c"}}, "SLACK", False),
        ({"to": {"id": "a", "slackToken": {"access_token": "xoxb"}}}, {}, "SLACK", False),
        (
            {"sms": {"message": "m", "autoReply": {"message": "r"}}},
            {"sms": {"autoReply": {"message": "r"}}},
            "sms.autoReply",
            False,
        ),
        (
            {"options": {"email": {"condition": "x"}}},
            {"options": {"email": {"condition": "x"}}},
            "options.email.condition",
            False,
        ),
    ],
)
def test_what_carillon_does_not_have_is_told(
    fields: dict[str, Any], extra: dict[str, Any], message: str, is_less: bool
) -> None:
    """It is kept for the log and a message says so; an OAuth token is not kept."""
    found = read(**fields)
    assert from_struct(found.request.extra) == extra
    assert len(found.messages) == 1
    assert message in found.messages[0]
    assert found.is_less == is_less


def test_unknown_fields_are_kept_where_they_stood() -> None:
    """On every level, the user's under its old name, those of a list by their place; null says nothing."""
    found = read(
        to={
            "id": "a",
            "nick": "b",
            "pushTokens": [
                {"type": "FCM", "token": "1"},
                {"type": "FCM", "token": "2", "x": 1, "device": {"os": "13", "none": None}},
            ],
        },
        user={"age": 7},
        parameters={"known": 1},
        foo=[1, {"bar": None}],
        nothing=None,
        inapp={"title": "t", "color": "red"},
    )
    assert from_struct(found.request.extra) == {
        "user": {"nick": "b", "age": 7, "pushTokens": {"1": {"x": 1, "device": {"os": "13"}}}},
        "foo": [1, {"bar": None}],
        "inapp": {"color": "red"},
    }
    assert found.messages == ()


@pytest.mark.parametrize(
    ("value", "problem"),
    [("x" * MAX_EXTRA_BYTES, "16 KiB"), (json.loads("[" * 40 + "]" * 40), "cannot be stored"), (1e999, "cannot be")],
)
def test_unknown_fields_that_cannot_be_kept_are_told(value: object, problem: str) -> None:
    """The send goes without them."""
    found = read(foo=value)
    assert not found.request.HasField("extra")
    (message,) = found.messages
    assert "foo" in message
    assert problem in message


def test_a_change_has_exactly_the_fields_that_are_given() -> None:
    """The mask names what is there, single fields of user, options and content too, and nothing else."""
    changed, paths = read_change(
        checked(
            SendBody,
            {
                "schedule": "2030-01-01",
                "mergeTags": {"a": 1},
                "user": {"id": "anna", "email": "a@example.com"},
                "options": {"apn": {"priority": 5}},
                "sms": {"message": "m"},
                "forceChannels": [],
                "colour": "red",
            },
        )
    )
    assert paths == [
        "content.sms",
        "extra",
        "force_channels",
        "merge_tags",
        "options.apn",
        "schedule_time",
        "user.email",
    ]
    assert changed.request.user.id == "anna"


@pytest.mark.parametrize(
    "change", [{}, {"schedule": None}, {"schedule": ""}, {"to": {"id": "anna"}}, {"type": "welcome"}, {"user": None}]
)
def test_a_change_of_nothing_is_refused(change: dict[str, Any]) -> None:
    """Null and an empty text are not given: a schedule that is cleared by mistake would be sent at once."""
    with pytest.raises(InvalidArgument):
        read_change(checked(SendBody, change))


def test_a_change_invents_no_user() -> None:
    """An email is no id there: the user of a send cannot change."""
    changed, paths = read_change(checked(SendBody, {"to": {"email": "b@example.com"}}))
    assert paths == ["user.email"]
    assert not changed.request.user.id


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def objects(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Gives objects that have some of the fields, each right or anything."""
    named = {name: strategy | JSON for name, strategy in fields.items()}
    return st.fixed_dictionaries({}, optional=named | {"unknown": JSON})


NUMBERS = st.integers() | st.floats() | st.text(alphabet="0123456789.-e s", max_size=8)
USERS = objects(
    id=st.text(max_size=5),
    email=st.text(max_size=5),
    pushTokens=st.lists(
        objects(type=st.sampled_from(["APN", "fcm", "APM"]), token=st.text(), device=objects(device_id=st.text())),
        max_size=2,
    ),
    webPushTokens=st.lists(objects(sub=objects(endpoint=st.text(), keys=objects(p256dh=st.text())))),
)
BODIES = objects(
    type=st.just("welcome"),
    notificationId=st.just("welcome"),
    to=USERS,
    user=USERS,
    parameters=st.dictionaries(st.text(max_size=5), JSON, max_size=3),
    replace=st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=2),
    forceChannels=st.lists(st.sampled_from(["EMAIL", "SLACK", "x"]), max_size=3),
    schedule=st.datetimes().map(str),
    options=objects(
        email=objects(
            ccAddresses=st.lists(st.text(max_size=5), max_size=2),
            attachments=st.lists(objects(name=st.text(max_size=5), url=st.text(), content=st.text(max_size=9))),
        ),
        apn=objects(expiry=NUMBERS, priority=NUMBERS, badge=NUMBERS),
        fcm=objects(android=objects(ttl=NUMBERS, priority=st.sampled_from(["high", "low"]))),
    ),
    email=objects(subject=st.text(max_size=5)),
    sms=objects(message=st.text(max_size=5)),
    web_push=objects(title=st.text(max_size=5)),
)


# Its examples are large, and a loaded machine may take long for each.
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(BODIES)
def test_whatever_comes_is_read_or_refused(value: dict[str, Any]) -> None:
    """Nothing else is raised, and what is read can be sent."""
    try:
        sent = checked(SendBody, value)
        found = read_send(sent)
    except (RequestValidationError, InvalidArgument):
        return
    assert sender_pb2.SendRequest.FromString(found.request.SerializeToString()) == found.request
    assert isinstance(found.request.user, user_pb2.User)
    assert found.request.extra.ByteSize() <= MAX_EXTRA_BYTES
