"""What a send may not say: each refusal names everything that is wrong, and nothing is stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
import pytest

from carillon.v1 import sender_pb2
from services.kernel.auth import basic_authorization
from tests.contract.services.bad_users import BAD_USERS, token, user
from tests.contract.services.methods import METHODS
from tests.contract.services.refusals import Refusal, assert_violates, refusal
from tests.contract.services.requests import USER, nested, send_request, struct

if TYPE_CHECKING:
    from google.protobuf.struct_pb2 import Struct

    from tests.contract.services.world import Tenant

pytestmark = pytest.mark.asyncio(loop_scope="session")

LONG_ID = "x" * 129
MERGE_TAGS_LIMIT = 150 * 1024


def of_size(size: int) -> Struct:
    """Makes merge tags that serialise to exactly so many bytes."""
    framing = struct({"a": "x" * size}).ByteSize() - size
    return struct({"a": "x" * (size - framing)})


def sending(**fields: Any) -> sender_pb2.SendRequest:
    """Makes a send that is right but for the fields given, which replace the example's."""
    request = send_request()
    for name in fields:
        request.ClearField(name)  # type: ignore[arg-type] # any field
    request.MergeFrom(sender_pb2.SendRequest(**fields))
    return request


BAD_SENDS: dict[str, tuple[sender_pb2.SendRequest, list[tuple[str, str]]]] = {
    **{name: (sending(user=bad), expected) for name, (bad, expected) in BAD_USERS.items()},
    "no-user": (sending(user=None), [("user.id", "REQUIRED")]),
    "no-notification": (sending(notification_id=""), [("notification_id", "REQUIRED")]),
    "a-long-notification": (sending(notification_id=LONG_ID), [("notification_id", "TOO_LONG")]),
    "an-unspecified-channel": (sending(force_channels=[0]), [("force_channels[0]", "REQUIRED")]),
    "an-unknown-channel": (sending(force_channels=[2, 99]), [("force_channels[1]", "UNKNOWN_VALUE")]),
    "a-negative-channel": (sending(force_channels=[-1]), [("force_channels[0]", "UNKNOWN_VALUE")]),
    "an-unknown-priority": (sending(priority=99), [("priority", "UNKNOWN_VALUE")]),
    "large-merge-tags": (sending(merge_tags=of_size(MERGE_TAGS_LIMIT + 1)), [("merge_tags", "TOO_LARGE")]),
    "1001-merge-tags": (sending(merge_tags=struct({str(i): 0 for i in range(1001)})), [("merge_tags", "TOO_MANY")]),
    "33-levels-of-lists": (sending(merge_tags=nested(33, lists=True)), [("merge_tags.a" + "[0]" * 31, "TOO_DEEP")]),
    "a-key-with-NUL": (sending(merge_tags=struct({"a\0b": 1})), [("merge_tags", "INVALID_CHARACTERS")]),
    "a-deep-key-with-NUL": (
        sending(merge_tags=struct({"a": [{"b\0": 1}]})),
        [("merge_tags.a[0]", "INVALID_CHARACTERS")],
    ),
    "NaN": (sending(merge_tags=struct({"a": float("nan")})), [("merge_tags.a", "NOT_FINITE")]),
    "infinity": (sending(merge_tags=struct({"a": {"b": float("inf")}})), [("merge_tags.a.b", "NOT_FINITE")]),
    "minus-infinity": (sending(merge_tags=struct({"a": [1, float("-inf")]})), [("merge_tags.a[1]", "NOT_FINITE")]),
    "a-long-secondary-id": (sending(secondary_id=LONG_ID), [("secondary_id", "TOO_LONG")]),
    "a-long-group": (sending(group_id=LONG_ID), [("group_id", "TOO_LONG")]),
    "a-long-template": (sending(template_id=LONG_ID), [("template_id", "TOO_LONG")]),
    "a-long-part": (sending(sub_notification_id=LONG_ID), [("sub_notification_id", "TOO_LONG")]),
    "a-part-that-cannot-be-created": (
        sending(sub_notification_id="a b"),
        [("sub_notification_id", "INVALID_CHARACTERS")],
    ),
    "101-replacements": (sending(replace={str(i): "" for i in range(101)}), [("replace", "TOO_MANY")]),
    "an-empty-replacement": (sending(replace={"": "x"}), [("replace", "REQUIRED")]),
    "a-long-replaced-text": (sending(replace={"k" * 1025: "x"}), [("replace", "TOO_LONG")]),
    "a-long-replacement": (sending(replace={"k": "x" * 16385}), [("replace.k", "TOO_LONG")]),
    "21-tags": (sending(tags=[str(i) for i in range(21)]), [("tags", "TOO_MANY")]),
    "tags-empty-and-long": (sending(tags=["a", "", "x" * 129]), [("tags[1]", "REQUIRED"), ("tags[2]", "TOO_LONG")]),
    "large-extra": (sending(extra=struct({"a": "x" * 16384})), [("extra", "TOO_LARGE")]),
    "options-of-every-provider": (
        sending(
            options={
                "email": {"cc_addresses": ["patrick"]},
                "apn": {"collapse_id": "c" * 65, "priority": 7},
                "fcm": {"android": {"ttl": {"seconds": 29 * 86_400}}},
                "web_push": {"topic": "t" * 33},
            }
        ),
        [
            ("options.email.cc_addresses[0]", "INVALID"),
            ("options.apn.priority", "OUT_OF_RANGE"),
            ("options.apn.collapse_id", "TOO_LONG"),
            ("options.fcm.android.ttl", "OUT_OF_RANGE"),
            ("options.web_push.topic", "INVALID"),
        ],
    ),
    "everything": (
        sending(
            notification_id="",
            user=user(id="a\0b", language="?"),
            merge_tags=struct({"a": float("nan")}),
            force_channels=[0],
            tags=[""],
            priority=9,
        ),
        [
            ("user.language", "INVALID"),
            ("user.id", "INVALID_CHARACTERS"),
            ("notification_id", "REQUIRED"),
            ("merge_tags.a", "NOT_FINITE"),
            ("force_channels[0]", "REQUIRED"),
            ("tags[0]", "REQUIRED"),
            ("priority", "UNKNOWN_VALUE"),
        ],
    ),
}

GOOD_SENDS = {
    "a-user-id-of-256-bytes": sending(user=user(id="é" * 128)),
    "a-user-id-with-spaces-and-emoji": sending(user=user(id=" Zoë 🦀 ")),
    "merge-tags-at-the-limit": sending(merge_tags=of_size(MERGE_TAGS_LIMIT)),
    "1000-merge-tags": sending(merge_tags=struct({str(i): 0 for i in range(1000)})),
    "32-levels": sending(merge_tags=nested(32)),
    "32-levels-of-lists": sending(merge_tags=nested(32, lists=True)),
    "1e300": sending(merge_tags=struct({"item": 1e300})),
    "keys-that-mean-something-to-a-database": sending(merge_tags=struct({"$where": 1, "a.b": {"$gt": ""}, "": 1})),
    "properties-with-such-keys": sending(user=user(properties=struct({"$where": 1, "a.b": {"$gt": ""}, "": 1}))),
    "texts-that-mean-something-to-a-database": sending(user=user(first_name="$email", last_name="$$ROOT")),
    "unicode-everywhere": sending(secondary_id="数", group_id="Ω", tags=["ß", "ß"], replace={"é": "è"}),
    "100-replacements": sending(replace={str(i): "" for i in range(100)}),
    "a-batch-of-tokens": sending(user=user(push_tokens=[token(token=str(i)) for i in range(50)])),
    "a-token-without-a-device": sending(user=user(push_tokens=[token()])),
}


@pytest.mark.parametrize("name", BAD_SENDS)
async def test_a_bad_send_stores_nothing(tenant: Tenant, name: str) -> None:
    """A send with something wrong is refused with each path and reason, and leaves no trace."""
    request, expected = BAD_SENDS[name]
    before = await tenant.stored()

    refused = await refusal(tenant.backend.sender.Send(request))

    assert refused.reason == "INVALID_REQUEST"
    assert_violates(refused, expected)
    assert await tenant.stored() == before


@pytest.mark.parametrize("name", GOOD_SENDS)
async def test_what_is_within_the_limits_is_taken(tenant: Tenant, name: str) -> None:
    """A send at a limit is delivered."""
    await tenant.send(GOOD_SENDS[name])

    assert len(await tenant.items(GOOD_SENDS[name].user.id)) == 1


async def test_an_unknown_notification_is_not_found(tenant: Tenant) -> None:
    """A send of what is not defined is NOT_FOUND, names it, and does not even create the user."""
    before = await tenant.stored()

    refused = await refusal(tenant.backend.sender.Send(send_request("nowhere", sub_notification_id="p")))

    assert (refused.code, refused.reason) == (grpc.StatusCode.NOT_FOUND, "NOTIFICATION_NOT_FOUND")
    assert refused.resource == ("notification", "nowhere")
    assert await tenant.stored() == before


async def test_33_levels_of_objects_are_refused(tenant: Tenant) -> None:
    """Objects nested deeper than 32 levels are refused, by us or by protobuf, which cannot decode much deeper."""
    for levels, reason in ((33, "INVALID_REQUEST"), (40, "UNDECODABLE_REQUEST"), (500, "UNDECODABLE_REQUEST")):
        raw = b"\x1a" + _length_delimited(_nested_bytes(levels))
        refused = await _send_raw(tenant, send_request(merge_tags={}).SerializeToString() + raw)
        assert (refused.code, refused.reason) == (grpc.StatusCode.INVALID_ARGUMENT, reason)
    assert (await tenant.stored())["messages"] == 0


@pytest.mark.parametrize(
    "raw",
    [b"\xff\xff\xff\xff", b"\x0a\x7fshort", b"\x0a\x02\xff\xfe", b"\x12\x04\x0a\x02\xc3\x28"],
    ids=["no-message", "cut-off", "no-UTF-8", "no-UTF-8-in-the-user"],
)
async def test_bytes_that_are_no_request_are_refused(tenant: Tenant, raw: bytes) -> None:
    """What is no SendRequest, or has text that is not UTF-8, is INVALID_ARGUMENT and says so."""
    before = await tenant.stored()

    refused = await _send_raw(tenant, raw)

    assert (refused.code, refused.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "UNDECODABLE_REQUEST")
    assert await tenant.stored() == before


async def test_unknown_fields_are_ignored(tenant: Tenant) -> None:
    """A field that a newer client knows does not keep a send from being delivered."""
    raw = send_request().SerializeToString() + b"\xa0\x1f\x01"
    (send,) = (method for method in METHODS if method.name == "Sender/Send")

    await send.call(tenant.channel, raw, [basic_authorization(tenant.client_id, tenant.secret)])

    assert len(await tenant.items(USER)) == 1


async def test_a_request_over_8_mib_is_refused_by_grpc(tenant: Tenant) -> None:
    """A request over the size limit is RESOURCE_EXHAUSTED, and nothing is stored."""
    before = await tenant.stored()

    refused = await refusal(tenant.backend.sender.Send(sending(extra=struct({"a": "x" * 8 * 1024 * 1024}))))

    assert refused.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert await tenant.stored() == before


async def test_a_message_over_1_mib_leaves_nothing(tenant: Tenant) -> None:
    """A send that renders to more than a message can hold is refused whole: not even the user is created."""
    before = await tenant.stored()
    replace = {chr(0x100 + i): "x" * 16384 for i in range(100)}

    refused = await refusal(tenant.backend.sender.Send(send_request(replace=replace)))

    assert refused.reason == "MESSAGE_TOO_LARGE"
    assert await tenant.stored() == before


async def _send_raw(tenant: Tenant, raw: bytes) -> Refusal:
    (send,) = (method for method in METHODS if method.name == "Sender/Send")
    return await refusal(send.call(tenant.channel, raw, [basic_authorization(tenant.client_id, tenant.secret)]))


def _nested_bytes(levels: int) -> bytes:
    """Gives the bytes of a Struct of so many levels: protobuf's Python will not even build the deeper ones."""
    inner = b""
    for _ in range(levels - 1):
        value = b"\x2a" + _length_delimited(inner)
        inner = b"\x0a" + _length_delimited(b"\x0a\x01a\x12" + _length_delimited(value))
    return inner


def _length_delimited(payload: bytes) -> bytes:
    size, prefix = len(payload), b""
    while size > 127:
        prefix += bytes([size & 127 | 128])
        size >>= 7
    return prefix + bytes([size]) + payload
