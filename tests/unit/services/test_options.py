from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import bson
import pytest
from bson.codec_options import CodecOptions
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st

from carillon.v1 import send_options_pb2
from services.kernel.validation import Violations
from services.messages.documents import options_from_document, options_to_document
from services.messages.options import (
    NO_OPTIONS,
    AndroidPriority,
    ApnOptions,
    Attachment,
    AttachmentState,
    EmailOptions,
    FcmOptions,
    SendOptions,
    Urgency,
    WebPushOptions,
)
from services.sender.convert_options import options_from_proto
from tests.unit.services.builders import reasons
from tests.unit.services.protos import messages

A, B = "a@example.com", "b@example.com"
LONG_ADDRESS = f"a@{'b' * 315}.com"
EPOCH = datetime.fromtimestamp(0, UTC)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
many = st.lists(texts, max_size=3).map(tuple)
ttls = st.none() | st.integers(0, 28 * 86_400_000).map(lambda ms: timedelta(milliseconds=ms))
counts = st.integers(0, 2**31)
times = st.integers(0, 250_000_000_000_000).map(lambda ms: EPOCH + timedelta(milliseconds=ms))
OPTIONS = st.builds(
    SendOptions,
    email=st.builds(
        EmailOptions,
        reply_to_addresses=many,
        cc_addresses=many,
        bcc_addresses=many,
        from_name=texts,
        from_address=texts,
        attachments=st.lists(
            st.builds(
                Attachment,
                texts,
                texts,
                texts,
                st.sampled_from(AttachmentState),
                counts,
                counts,
                st.none() | times,
                texts,
            ),
            max_size=2,
        ).map(tuple),
    ),
    apn=st.builds(
        ApnOptions,
        expire_time=st.none() | times,
        priority=st.sampled_from([0, 1, 5, 10]),
        collapse_id=texts,
        thread_id=texts,
        badge=st.none() | st.integers(0, 2**31 - 1),
        sound=texts,
        content_available=st.booleans(),
    ),
    fcm=st.builds(
        FcmOptions,
        collapse_key=texts,
        priority=st.none() | st.sampled_from(AndroidPriority),
        ttl=ttls,
        restricted_package_name=texts,
    ),
    web_push=st.builds(WebPushOptions, ttl=ttls, urgency=st.none() | st.sampled_from(Urgency), topic=texts),
)


def read(**fields: Any) -> tuple[SendOptions, dict[str, str]]:
    """Reads options; gives what is wrong with them too, field by field."""
    violations = Violations()
    made = options_from_proto(send_options_pb2.SendOptions(**fields), violations)
    return made, reasons(violations)


def stored(options: SendOptions) -> SendOptions:
    """Gives options as they come back from the database."""
    data = bson.encode({"options": options_to_document(options)})
    return options_from_document(bson.decode(data, CodecOptions(tz_aware=True))["options"])


def test_options_are_read() -> None:
    """Everything that the options may say arrives, an address once."""
    made, problems = read(
        email={
            "reply_to_addresses": [A, B],
            "cc_addresses": [B, A, B],
            "bcc_addresses": [A],
            "from_name": "Krusty, Krab",
            "from_address": B,
        },
        apn={
            "expire_time": Timestamp(seconds=1, nanos=1_999_999),
            "priority": 5,
            "collapse_id": "c" * 64,
            "thread_id": "t",
            "badge": 3,
            "sound": "default",
            "content_available": True,
        },
        fcm={
            "android": {
                "collapse_key": "k",
                "priority": send_options_pb2.FCM_ANDROID_PRIORITY_NORMAL,
                "ttl": Duration(seconds=28 * 86_400),
                "restricted_package_name": "com.example",
            }
        },
        web_push={
            "ttl": Duration(nanos=1_999_999),
            "urgency": send_options_pb2.WEB_PUSH_URGENCY_VERY_LOW,
            "topic": "t-_9" * 8,
        },
    )

    assert problems == {}
    assert made == SendOptions(
        email=EmailOptions((A, B), (B, A), (A,), "Krusty, Krab", B),
        apn=ApnOptions(EPOCH + timedelta(seconds=1, milliseconds=1), 5, "c" * 64, "t", 3, "default", True),
        fcm=FcmOptions("k", AndroidPriority.NORMAL, timedelta(days=28), "com.example"),
        web_push=WebPushOptions(timedelta(milliseconds=1), Urgency.VERY_LOW, "t-_9" * 8),
    )


def test_no_options_are_the_defaults() -> None:
    """What is left out has the defaults; zero and absent differ where they mean two things."""
    assert read() == (NO_OPTIONS, {})
    assert read(email={}, apn={}, fcm={"android": {}}, web_push={}) == (NO_OPTIONS, {})

    zeros, _ = read(
        apn={"badge": 0, "expire_time": Timestamp()}, fcm={"android": {"ttl": Duration()}}, web_push={"ttl": Duration()}
    )
    assert (zeros.apn.badge, zeros.apn.expire_time) == (0, EPOCH)
    assert (zeros.fcm.ttl, zeros.web_push.ttl) == (timedelta(0), timedelta(0))


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"email": {name: [A, "nobody"]}}, {f"options.email.{name}[1]": "INVALID"})
        for name in ("reply_to_addresses", "cc_addresses", "bcc_addresses")
    ]
    + [
        ({"email": {name: [A] * 51}}, {f"options.email.{name}": "TOO_MANY"})
        for name in ("reply_to_addresses", "cc_addresses", "bcc_addresses")
    ]
    + [
        (
            {"email": {"cc_addresses": ["", LONG_ADDRESS, f"{A}\r\nBcc: {B}", f"B <{B}>", f"{A}, {B}"]}},
            {f"options.email.cc_addresses[{i}]": "INVALID" for i in range(5)},
        ),
        ({"email": {"from_address": "nobody"}}, {"options.email.from_address": "INVALID"}),
        ({"email": {"from_address": LONG_ADDRESS}}, {"options.email.from_address": "INVALID"}),
        ({"email": {"from_name": "ä" * 129}}, {"options.email.from_name": "TOO_LONG"}),
        ({"email": {"from_name": f"a\nBcc: {B}"}}, {"options.email.from_name": "INVALID"}),
        ({"email": {"from_name": f"a\rBcc: {B}"}}, {"options.email.from_name": "INVALID"}),
        ({"email": {"attachments": [{"filename": "a"}]}}, {"options.email.attachments[0]": "REQUIRED"}),
        ({"apn": {"expire_time": Timestamp(seconds=-1)}}, {"options.apn.expire_time": "OUT_OF_RANGE"}),
        ({"apn": {"expire_time": Timestamp(nanos=-1)}}, {"options.apn.expire_time": "OUT_OF_RANGE"}),
        ({"apn": {"expire_time": Timestamp(seconds=2**60)}}, {"options.apn.expire_time": "OUT_OF_RANGE"}),
        ({"apn": {"priority": 2}}, {"options.apn.priority": "OUT_OF_RANGE"}),
        ({"apn": {"priority": -10}}, {"options.apn.priority": "OUT_OF_RANGE"}),
        ({"apn": {"collapse_id": "a" * 65}}, {"options.apn.collapse_id": "TOO_LONG"}),
        ({"apn": {"collapse_id": "ä"}}, {"options.apn.collapse_id": "INVALID_CHARACTERS"}),
        ({"apn": {"collapse_id": "a\nb"}}, {"options.apn.collapse_id": "INVALID_CHARACTERS"}),
        (
            {"apn": {"thread_id": "ä" * 129, "sound": "a" * 257}},
            {"options.apn.thread_id": "TOO_LONG", "options.apn.sound": "TOO_LONG"},
        ),
        ({"apn": {"badge": -1}}, {"options.apn.badge": "OUT_OF_RANGE"}),
        (
            {"fcm": {"android": {"collapse_key": "a" * 257, "restricted_package_name": "ä" * 129}}},
            {
                "options.fcm.android.collapse_key": "TOO_LONG",
                "options.fcm.android.restricted_package_name": "TOO_LONG",
            },
        ),
        ({"fcm": {"android": {"priority": 99}}}, {"options.fcm.android.priority": "UNKNOWN_VALUE"}),
        ({"fcm": {"android": {"ttl": Duration(seconds=-1)}}}, {"options.fcm.android.ttl": "OUT_OF_RANGE"}),
        ({"fcm": {"android": {"ttl": Duration(nanos=-1)}}}, {"options.fcm.android.ttl": "OUT_OF_RANGE"}),
        (
            {"fcm": {"android": {"ttl": Duration(seconds=28 * 86_400, nanos=1_000_000)}}},
            {"options.fcm.android.ttl": "OUT_OF_RANGE"},
        ),
        ({"web_push": {"ttl": Duration(seconds=2**63 - 1)}}, {"options.web_push.ttl": "OUT_OF_RANGE"}),
        ({"web_push": {"ttl": Duration(seconds=-(2**63))}}, {"options.web_push.ttl": "OUT_OF_RANGE"}),
        ({"web_push": {"urgency": -1}}, {"options.web_push.urgency": "UNKNOWN_VALUE"}),
        ({"web_push": {"topic": "a" * 33}}, {"options.web_push.topic": "INVALID"}),
        ({"web_push": {"topic": "a b"}}, {"options.web_push.topic": "INVALID"}),
        ({"web_push": {"topic": "a\n"}}, {"options.web_push.topic": "INVALID"}),
        (
            {"email": {"from_address": "x"}, "apn": {"priority": 3}, "web_push": {"topic": "?"}},
            {
                "options.email.from_address": "INVALID",
                "options.apn.priority": "OUT_OF_RANGE",
                "options.web_push.topic": "INVALID",
            },
        ),
    ],
)
def test_wrong_options_are_refused_field_by_field(fields: dict[str, Any], expected: dict[str, str]) -> None:
    """Every rule about the options names its field, all at once."""
    assert read(**fields)[1] == expected


def test_the_limits_of_options_are_taken() -> None:
    """What is just within the limits passes."""
    addresses = [f"{i}@example.com" for i in range(50)]
    longest = f"a@{'b' * 312}.com.x"

    _, problems = read(
        email={
            "reply_to_addresses": addresses,
            "cc_addresses": addresses,
            "bcc_addresses": addresses,
            "from_name": "ä" * 128,
            "from_address": longest,
        },
        apn={"badge": 2**31 - 1, "priority": 10, "thread_id": "ä" * 128, "sound": "s" * 256},
        fcm={"android": {"collapse_key": "k" * 256, "restricted_package_name": "p" * 256}},
        web_push={"topic": "a" * 32},
    )

    assert len(longest) == 320
    assert problems == {}


@settings(deadline=None, max_examples=300)
@given(messages(send_options_pb2.SendOptions))
def test_any_options_are_read_or_refused(proto: send_options_pb2.SendOptions) -> None:
    """No options raise, and those that are accepted are stored and come back as they are."""
    violations = Violations()

    made = options_from_proto(proto, violations)

    assert violations or stored(made) == made


@settings(deadline=None)
@given(OPTIONS)
def test_options_come_back_as_they_were_stored(options: SendOptions) -> None:
    """Every option survives the database, and those that nobody gave are not in it."""
    assert stored(options) == options


def test_no_options_take_no_room() -> None:
    """Most sends have none: nothing is stored of them."""
    assert options_to_document(NO_OPTIONS) == {}
    assert options_from_document({}) == NO_OPTIONS
    assert options_to_document(SendOptions(apn=ApnOptions(badge=0), fcm=FcmOptions(ttl=timedelta(0)))) == {
        "apn": {"badge": 0},
        "fcm": {"ttl_s": 0.0},
    }
