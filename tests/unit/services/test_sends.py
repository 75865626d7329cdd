from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st

from carillon.v1 import delivery_pb2, sender_pb2, user_pb2
from services.kernel.validation import Violations
from services.kernel.vocabulary import Channel, Priority
from services.messages.model import RetractionFilter
from services.messages.options import Attachment, AttachmentState
from services.notifications.model import Action, Content
from services.preferences.model import Choices
from services.sender.compose import compose
from services.sender.convert import message_to_response, retraction_from_proto, send_from_proto
from services.sender.model import Send
from services.sender.plan import plan
from services.users.model import User
from tests.unit.services.builders import ENVIRONMENT, NOW, notification, reasons, send, template
from tests.unit.services.protos import messages

if TYPE_CHECKING:
    from services.messages.model import Message
    from services.notifications.model import Notification

UNBUILT = ("increment_id", "wait", "validate_only")


def request(**fields: Any) -> sender_pb2.SendRequest:
    """Makes a request that is right but for the fields given."""
    return sender_pb2.SendRequest(**{"notification_id": "order_tracking", "user": {"id": "userId_123abc"}} | fields)


def read(proto: sender_pb2.SendRequest) -> tuple[Send, Violations]:
    """Reads a request, whatever is wrong with it."""
    violations = Violations()
    return send_from_proto(proto, violations, region="US"), violations


def with_merge_tags(**merge_tags: Any) -> sender_pb2.SendRequest:
    """Makes a request with merge tags."""
    proto = request()
    proto.merge_tags.update(merge_tags)
    return proto


def attached(*attachments: dict[str, Any], **fields: Any) -> sender_pb2.SendRequest:
    """Makes a request with attachments."""
    return request(options={"email": {"attachments": attachments}}, **fields)


def composed(sent: Send, definition: Notification) -> Message:
    """Makes the message of a send."""
    planned = plan(sent, definition, None, Choices(), ENVIRONMENT)
    return compose(sent, planned, definition, None, ENVIRONMENT, tracking_id="m1", now=NOW)


def test_a_send_is_read() -> None:
    """Everything that a send may say arrives; the request is kept as it came."""
    proto = request(
        user={"id": "userId_123abc", "email": "spongebob@squarepants.com", "number": "(415) 555-1212"},
        sub_notification_id="eu",
        template_id="b",
        force_channels=[3, 1, 3],
        replace={"a": "b"},
        secondary_id="2nd",
        group_id="g",
        tags=["t", "u", "t"],
        priority=3,
    )
    proto.merge_tags.update({"item": "Krabby Patty Burger", "count": 3})
    proto.extra.update({"anything": [True]})

    made, violations = read(proto)

    assert not violations
    assert made == Send(
        notification_id="order_tracking",
        user=User("userId_123abc", email="spongebob@squarepants.com", number="+14155551212"),
        bad_fields=frozenset(),
        merge_tags={"item": "Krabby Patty Burger", "count": 3},
        sub_notification_id="eu",
        template_id="b",
        force_channels=frozenset({Channel.SMS, Channel.EMAIL}),
        replace={"a": "b"},
        secondary_id="2nd",
        group_id="g",
        tags=("t", "u"),
        priority=Priority.HIGH,
        warnings=(),
        request=proto.SerializeToString(deterministic=True),
    )


def test_a_bad_address_is_a_warning() -> None:
    """An address that cannot be one is noted as bad and warned of, and the send goes on."""
    made, violations = read(request(user={"id": "u", "email": "nobody", "number": "12"}))

    assert not violations
    assert made.bad_fields == {"email", "number"}
    assert [warning.field for warning in made.warnings] == ["user.email", "user.number"]
    assert (made.user.email, made.user.number) == ("", "")


@pytest.mark.parametrize(
    ("proto", "expected"),
    [
        (sender_pb2.SendRequest(), {"notification_id": "REQUIRED", "user.id": "REQUIRED"}),
        (request(notification_id="a" * 129), {"notification_id": "TOO_LONG"}),
        (request(user={"id": "u\u202e"}), {"user.id": "INVALID_CHARACTERS"}),
        (request(sub_notification_id="a b"), {"sub_notification_id": "INVALID_CHARACTERS"}),
        (
            request(template_id="a" * 129, secondary_id="ä" * 65, group_id="a" * 129),
            {"template_id": "TOO_LONG", "secondary_id": "TOO_LONG", "group_id": "TOO_LONG"},
        ),
        (request(force_channels=[1, 0, 99]), {"force_channels[1]": "REQUIRED", "force_channels[2]": "UNKNOWN_VALUE"}),
        (request(force_channels=[1] * 101), {"force_channels": "TOO_MANY"}),
        (request(priority=99), {"priority": "UNKNOWN_VALUE"}),
        (request(replace={"": "a"}), {"replace": "REQUIRED"}),
        (request(replace={"a" * 1025: "a"}), {"replace": "TOO_LONG"}),
        (request(replace={"a": "b" * 16_385}), {"replace.a": "TOO_LONG"}),
        (request(replace={str(i): "" for i in range(101)}), {"replace": "TOO_MANY"}),
        (request(tags=[str(i) for i in range(21)]), {"tags": "TOO_MANY"}),
        (request(tags=["a", "a", "", "b" * 129]), {"tags[2]": "REQUIRED", "tags[3]": "TOO_LONG"}),
        (with_merge_tags(a="b" * 153_600), {"merge_tags": "TOO_LARGE"}),
        (with_merge_tags(**{str(i): 0 for i in range(1001)}), {"merge_tags": "TOO_MANY"}),
        (
            with_merge_tags(**{"a\0": 0, "b": [float("nan")]}),
            {"merge_tags": "INVALID_CHARACTERS", "merge_tags.b[0]": "NOT_FINITE"},
        ),
        (request(extra={"a": "b" * 16_384}), {"extra": "TOO_LARGE"}),
        (
            request(
                options={},
                increment_id="i",
                wait=Duration(),
                validate_only=True,
            ),
            dict.fromkeys(UNBUILT, "NOT_SUPPORTED_YET"),
        ),
        (
            request(content={"sms": {"text": "a" * 262_140}, "call": {"text": "a" * 262_144}}),
            {"content.call": "TOO_LARGE"},
        ),
        (
            request(
                content={
                    "email": {"html": "{{ a", "subject": "{{ a | nope }}"},
                    "inapp": {"actions": [{"label": "a", "url": "{% if %}"}, {"url": "/"}, {"label": "c"}]},
                }
            ),
            {
                "content.email.html": "TEMPLATE_INVALID",
                "content.email.subject": "TEMPLATE_INVALID",
                "content.inapp.actions": "TOO_MANY",
                "content.inapp.actions[0].url": "TEMPLATE_INVALID",
                "content.inapp.actions[1].label": "REQUIRED",
            },
        ),
        *(
            (request(schedule_local_time=text), {"schedule_local_time": "INVALID"})
            for text in (
                "",
                "9:00",
                "24:00",
                "09:00:00",
                "2026-02-29T09:00",
                "2026-03-29 09:00",
                "\u0660\u0669:00",
                "T09:00",
            )
        ),
        (request(schedule_local_time="1969-12-31T23:59"), {"schedule_local_time": "OUT_OF_RANGE"}),
        (request(schedule_local_time="9999-01-01T00:00"), {"schedule_local_time": "OUT_OF_RANGE"}),
        (
            request(schedule_time=Timestamp(seconds=1 << 40), expire_time=Timestamp(nanos=-1)),
            {"schedule_time": "OUT_OF_RANGE", "expire_time": "OUT_OF_RANGE"},
        ),
        (attached(*[{"filename": "a", "content": b""}] * 51), {"options.email.attachments": "TOO_MANY"}),
        (
            attached(*[{"filename": "a", "content": b"x" * 2_097_153}] * 2),
            {"options.email.attachments": "TOO_LARGE"},
        ),
        (
            attached(
                {"content": b""},
                {"filename": "a"},
                {"filename": "ä" * 129, "url": "https://a.test/"},
                {"filename": "a/b", "url": "ftp://a.test/"},
                {"filename": "a\\b", "url": "https://a.test/" + "b" * 2048},
                {"filename": "a\r\nb", "content": b"", "content_type": "pdf"},
                {"filename": "a\u2028b", "content": b"", "content_type": "text/plain; charset=utf-8"},
                {"filename": "a", "content": b"", "content_type": "a/" + "b" * 127},
                {"filename": "a", "url": ""},
            ),
            {
                "options.email.attachments[0].filename": "REQUIRED",
                "options.email.attachments[1]": "REQUIRED",
                "options.email.attachments[2].filename": "TOO_LONG",
                "options.email.attachments[3].filename": "INVALID_CHARACTERS",
                "options.email.attachments[3].url": "INVALID",
                "options.email.attachments[4].filename": "INVALID_CHARACTERS",
                "options.email.attachments[4].url": "TOO_LONG",
                "options.email.attachments[5].filename": "INVALID_CHARACTERS",
                "options.email.attachments[5].content_type": "INVALID",
                "options.email.attachments[6].filename": "INVALID_CHARACTERS",
                "options.email.attachments[6].content_type": "INVALID",
                "options.email.attachments[7].content_type": "TOO_LONG",
                "options.email.attachments[8].url": "INVALID",
            },
        ),
    ],
)
def test_a_wrong_send_is_refused_field_by_field(proto: sender_pb2.SendRequest, expected: dict[str, str]) -> None:
    """Every rule about a send names its field, all at once."""
    assert reasons(read(proto)[1]) == expected


def test_limits_are_taken() -> None:
    """What is just within the limits passes."""
    proto = request(
        tags=[str(i) for i in range(20)] * 3,
        force_channels=[1, 2, 3, 4, 5, 6] * 16,
        replace={str(i): "b" * 16_384 for i in range(100)},
        secondary_id="ä" * 64,
    )
    proto.merge_tags.update({str(i): 0 for i in range(1000)})

    assert not read(proto)[1]


def test_attachments_are_read() -> None:
    """Their bytes are given by their places, and are part of the hash, but not of the request that is kept."""
    proto = attached(
        {"filename": "Rechnung März.pdf", "content": b"%PDF", "content_type": "application/vnd.a+b"},
        {"filename": "b" * 256, "url": "HTTPS://a.test/?b=c"},
        {"filename": "empty", "content": b""},
        request_id="r-1",
    )
    whole = sender_pb2.SendRequest.FromString(proto.SerializeToString())
    whole.ClearField("request_id")

    made, violations = read(proto)

    assert not violations
    assert made.options.email.attachments == (
        Attachment("Rechnung März.pdf", "application/vnd.a+b", size=4),
        Attachment("b" * 256, "", "HTTPS://a.test/?b=c", AttachmentState.WAITING),
        Attachment("empty", ""),
    )
    assert made.contents == {0: b"%PDF", 2: b""}
    assert made.request_hash == sha256(whole.SerializeToString(deterministic=True)).digest()
    kept = sender_pb2.SendRequest.FromString(made.request).options.email.attachments
    assert [(one.WhichOneof("source"), one.content) for one in kept] == [
        ("content", b""),
        ("url", b""),
        ("content", b""),
    ]


def test_four_mebibytes_of_attachments_are_taken() -> None:
    """50 attachments with 4 MiB by content together are just within the limits."""
    made, violations = read(
        attached({"filename": "a", "content": b"x" * 4_194_304}, *[{"filename": "b", "content": b""}] * 49)
    )

    assert not violations
    assert len(made.contents) == 50


@settings(deadline=None)
@given(messages(sender_pb2.SendRequest))
def test_any_send_is_read_or_refused(proto: sender_pb2.SendRequest) -> None:
    """No request raises, whatever is in it."""
    read(proto)


def test_any_send_that_is_accepted_goes_all_the_way() -> None:
    """Whatever is accepted is planned, rendered and answered, and was stored as it came."""
    accepted: list[bool] = []
    definition = notification(*Channel, templates=(template(Channel.SMS, text="{{ a }}{{ user.email }}!"),))

    @settings(deadline=None, derandomize=True, max_examples=500)
    @given(messages(sender_pb2.SendRequest))
    def check(proto: sender_pb2.SendRequest) -> None:
        # Without what is refused as a matter of course.
        kept = {field.name: value for field, value in proto.ListFields() if field.name not in (*UNBUILT, "user")}
        user = user_pb2.User(email=proto.user.email, number=proto.user.number, timezone=proto.user.timezone)
        proto = sender_pb2.SendRequest(user=user, **kept)
        proto.notification_id, proto.user.id = definition.id, "userId_123abc"
        made, violations = read(proto)
        accepted.append(not violations)
        if violations:
            return
        answer = message_to_response(composed(made, definition))
        assert sender_pb2.SendRequest.FromString(made.request) == proto
        assert {one.channel for one in answer.deliveries} >= set(proto.force_channels)

    check()

    assert sum(accepted) >= len(accepted) / 3


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=40), st.binary(max_size=8))
def test_any_bytes_that_are_a_send_are_read_or_refused(noise: bytes, tail: bytes) -> None:
    """Bytes that protobuf takes, unknown fields among them, do not raise."""
    for data in (noise, request().SerializeToString() + noise, b"\x12" + bytes([len(noise)]) + noise + tail):
        try:
            proto = sender_pb2.SendRequest.FromString(data)
        except DecodeError:
            continue
        read(proto)


def test_the_answer_says_what_became_of_each_channel() -> None:
    """The answer has the ids, each delivery with state and reason, and the warnings."""
    sent = send(template_id="b", force_channels=frozenset({Channel.INAPP_WEB, Channel.CALL}))

    answer = message_to_response(composed(sent, notification(Channel.INAPP_WEB, Channel.SMS)))

    assert (answer.tracking_id, answer.item_id, answer.replayed) == ("m1", "m1", False)
    assert [(one.channel, one.state, one.reason) for one in answer.deliveries] == [
        (2, delivery_pb2.DELIVERY_STATE_DELIVERED, delivery_pb2.SKIP_REASON_UNSPECIFIED),
        (3, delivery_pb2.DELIVERY_STATE_SKIPPED, delivery_pb2.SKIP_REASON_NOT_FORCED),
        (4, delivery_pb2.DELIVERY_STATE_SKIPPED, delivery_pb2.SKIP_REASON_NO_TEMPLATE),
    ]
    assert [(one.code, one.field) for one in answer.warnings] == [
        (delivery_pb2.SEND_WARNING_CODE_TEMPLATE_NOT_FOUND, "template_id")
    ]


def test_content_is_read_whole_or_not() -> None:
    """Content is read as far as it goes, what is empty is left out, and it is a part of what a repetition repeats."""
    sent, violations = read(
        request(
            request_id="r",
            content={
                "email": {"preview_text": "{{ a }}"},
                "inapp": {"html": True, "actions": [{"label": "Open"}]},
                "sms": {},
                "web_push": {"title": "\0"},
            },
        )
    )

    assert not violations
    assert sent.content == {
        Channel.EMAIL: Content(Channel.EMAIL, {"preview_text": "{{ a }}"}),
        Channel.INAPP_WEB: Content(Channel.INAPP_WEB, {}, html=True, actions=(Action("Open"),)),
        Channel.WEB_PUSH: Content(Channel.WEB_PUSH, {"title": "\0"}),
    }
    assert read(request(content={}))[0].content == read(request())[0].content == {}
    assert sent.request_hash != read(request(request_id="r"))[0].request_hash


def test_the_answer_without_an_item_has_no_item_id() -> None:
    """Where INAPP_WEB is skipped there is no item to name; the detail of a failure is there."""
    broken = notification(Channel.SMS, templates=(template(Channel.SMS, text="{{ gone }}"),))

    answer = message_to_response(composed(send(), broken))

    assert answer.item_id == ""
    assert answer.deliveries[0].detail == "text: came out empty"


def test_a_retraction_is_read() -> None:
    """What narrows a retraction arrives; sub-notification and secondary id are one thing to it."""
    violations = Violations()
    proto = sender_pb2.RetractRequest(
        notification_id="n", sub_notification_id="s", secondary_id="2", tracking_ids=["t"], group_id="g"
    )

    assert retraction_from_proto(proto, violations) == RetractionFilter("n", ("s", "2"), ("t",), "g")
    assert retraction_from_proto(sender_pb2.RetractRequest(group_id="g"), violations) == RetractionFilter(group_id="g")
    assert not violations


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, {"notification_id": "REQUIRED"}),
        ({"sub_notification_id": "s", "secondary_id": "2"}, {"notification_id": "REQUIRED"}),
        (
            {"notification_id": "a" * 129, "group_id": "a" * 129},
            {"notification_id": "TOO_LONG", "group_id": "TOO_LONG"},
        ),
        ({"tracking_ids": ["t", "", "a" * 129]}, {"tracking_ids[1]": "REQUIRED", "tracking_ids[2]": "TOO_LONG"}),
        ({"tracking_ids": ["t"] * 1001}, {"tracking_ids": "TOO_MANY"}),
    ],
)
def test_a_retraction_says_what(fields: dict[str, Any], expected: dict[str, str]) -> None:
    """A retraction of everything of a user is refused, and so is what is over its limits."""
    violations = Violations()

    retraction_from_proto(sender_pb2.RetractRequest(**fields), violations)

    assert reasons(violations) == expected


@settings(deadline=None)
@given(messages(sender_pb2.RetractRequest))
def test_any_retraction_is_read_or_refused(proto: sender_pb2.RetractRequest) -> None:
    """No retraction raises, and none that is accepted takes back everything."""
    violations = Violations()

    made = retraction_from_proto(proto, violations)

    assert violations or made.notification_id or made.tracking_ids or made.group_id
