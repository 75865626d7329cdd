"""Sends and retractions between protobuf and the model, with every rule about what a request may say."""

from __future__ import annotations

import re
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING

from carillon.v1 import sender_pb2
from services.kernel import validation
from services.kernel.wire import from_timestamp, refuse_unbuilt, struct_to_dict, to_timestamp
from services.messages.convert import delivery_to_proto, warning_to_proto
from services.messages.model import RetractionFilter, SendWarning, WarningCode, as_answered
from services.messages.options import NO_OPTIONS
from services.notifications.convert import CHANNELS, PRIORITIES, contents_from_proto
from services.sender import civil_time
from services.sender.aside import aside
from services.sender.convert_options import options_from_proto, take_contents
from services.sender.model import Send
from services.users.convert import sent_user_from_proto, warn_of_keys

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from google.protobuf.struct_pb2 import Struct

    from services.kernel.validation import Violations
    from services.kernel.vocabulary import Channel, Json
    from services.messages.model import Message, StoredRequest

MAX_MERGE_TAGS_BYTES = 150 * 1024
MAX_MERGE_TAGS = 1000
MAX_PRECISION_WARNINGS = 20
MAX_EXTRA_BYTES = 16 * 1024
MAX_REPLACEMENTS = 100
MAX_REPLACE_KEY_BYTES = 1024
MAX_REPLACE_VALUE_BYTES = 16 * 1024
MAX_TAGS = 20
# Far more than there are channels; each unknown number is a violation, and a request has room for millions.
MAX_FORCE_CHANNELS = 100
MAX_TRACKING_IDS = 1000
# Those whose every time is a moment that can be told in UTC, whatever the timezone.
_YEARS = range(1970, 9999)

_REQUEST_ID = re.compile(r"[\x20-\x7e]{1,128}")
_UNBUILT = (
    "increment_id",
    "wait",
    "validate_only",
)


async def read_send(proto: sender_pb2.SendRequest, violations: Violations, *, region: str) -> Send:
    """Reads a send as `send_from_proto` does, in a thread where its content may take long to parse."""
    read = partial(send_from_proto, proto, violations, region=region)
    return await aside(read, content_bytes=proto.content.ByteSize() if proto.HasField("content") else 0)


def send_from_proto(proto: sender_pb2.SendRequest, violations: Violations, *, region: str) -> Send:
    """Reads a send.

    Args:
        proto: The request.
        violations: Where what is wrong is recorded.
        region: What a phone number without a country code is read in.
    """
    refuse_unbuilt(proto, _UNBUILT, violations)
    user, bad = sent_user_from_proto(proto.user, violations, region=region)
    if (size := proto.extra.ByteSize()) > MAX_EXTRA_BYTES:
        violations.add("extra", f"must be at most 16 KiB serialised, but is {size} bytes", "TOO_LARGE")
    request_id = _request_id(proto.request_id, violations)
    merge_tags, imprecise = merge_tags_from_proto(proto.merge_tags, violations)
    options = options_from_proto(proto.options, violations) if proto.HasField("options") else NO_OPTIONS
    content = contents_from_proto(proto.content, violations) if proto.HasField("content") else {}
    # Out of what is hashed and kept: a repetition is the same request, and the log has the id beside it.
    proto.ClearField("request_id")
    request = proto.SerializeToString(deterministic=True)
    request_hash = sha256(request).digest() if request_id else b""
    if contents := take_contents(proto.options.email):
        request = proto.SerializeToString(deterministic=True)
    return Send(
        notification_id=validation.lookup_id(proto.notification_id, violations, field="notification_id"),
        user=user,
        bad_fields=frozenset(bad),
        merge_tags=merge_tags,
        # Created after the answer where it is unknown, so it must be one that can be created.
        sub_notification_id=validation.created_id(proto.sub_notification_id, violations, field="sub_notification_id")
        if proto.sub_notification_id
        else "",
        template_id=_id(proto.template_id, "template_id", violations),
        force_channels=_channels(proto.force_channels, violations),
        replace=replacements_from_proto(proto.replace, violations),
        secondary_id=_id(proto.secondary_id, "secondary_id", violations),
        group_id=_id(proto.group_id, "group_id", violations),
        tags=_tags(proto.tags, violations),
        priority=PRIORITIES.optional(proto.priority, violations, field="priority"),
        warnings=(*bad.values(), *warn_of_keys(user), *imprecise),
        options=options,
        schedule=_schedule(proto, violations),
        expire_time=from_timestamp(proto.expire_time, violations, field="expire_time")
        if proto.HasField("expire_time")
        else None,
        request=request,
        request_id=request_id,
        request_hash=request_hash,
        content=content,
        contents=contents,
    )


def replay_to_response(stored: StoredRequest) -> sender_pb2.SendResponse:
    """Gives the answer that the first call under a request_id got, whatever became of the deliveries since."""
    return sender_pb2.SendResponse(
        tracking_id=stored.tracking_id,
        item_id=stored.tracking_id if stored.has_item else "",
        deliveries=[delivery_to_proto(as_answered(delivery)) for delivery in stored.deliveries],
        warnings=map(warning_to_proto, stored.warnings),
        replayed=True,
    )


def message_to_response(message: Message) -> sender_pb2.SendResponse:
    """Gives the answer to a send."""
    return sender_pb2.SendResponse(
        tracking_id=message.tracking_id,
        item_id=message.tracking_id if message.item else "",
        deliveries=map(delivery_to_proto, message.deliveries),
        warnings=map(warning_to_proto, message.warnings),
    )


def message_to_update_response(message: Message) -> sender_pb2.UpdateScheduleResponse:
    """Gives the answer to a change of a message that waits for its time."""
    return sender_pb2.UpdateScheduleResponse(
        schedule_time=to_timestamp(message.schedule_time), warnings=map(warning_to_proto, message.warnings)
    )


def retraction_from_proto(proto: sender_pb2.RetractRequest, violations: Violations) -> RetractionFilter:
    """Reads which items are to be taken back."""
    if not (proto.notification_id or proto.tracking_ids or proto.group_id):
        violations.add("notification_id", "must be given, or else tracking_ids or group_id", "REQUIRED")
    if len(proto.tracking_ids) > MAX_TRACKING_IDS:
        count = len(proto.tracking_ids)
        violations.add("tracking_ids", f"must be at most {MAX_TRACKING_IDS}, but are {count}", "TOO_MANY")
    parts = [_id(getattr(proto, name), name, violations) for name in ("sub_notification_id", "secondary_id")]
    return RetractionFilter(
        notification_id=_id(proto.notification_id, "notification_id", violations),
        part_ids=tuple(part for part in parts if part),
        tracking_ids=tuple(
            validation.lookup_id(tracking_id, violations, field=f"tracking_ids[{i}]")
            for i, tracking_id in enumerate(proto.tracking_ids[:MAX_TRACKING_IDS])
        ),
        group_id=_id(proto.group_id, "group_id", violations),
    )


def _schedule(proto: sender_pb2.SendRequest, violations: Violations) -> datetime | civil_time.CivilTime | None:
    match proto.WhichOneof("schedule"):
        case "schedule_time":
            return from_timestamp(proto.schedule_time, violations, field="schedule_time")
        case "schedule_local_time":
            return _civil_time(proto.schedule_local_time, violations)
        case _:
            return None


def _civil_time(text: str, violations: Violations) -> civil_time.CivilTime | None:
    civil = civil_time.parse(text)
    if civil is None:
        problem = "must be a civil time such as '2026-03-29T09:00', or '09:00' for the next one"
        violations.add("schedule_local_time", problem, "INVALID")
    elif civil.date and civil.date.year not in _YEARS:
        violations.add("schedule_local_time", "must be of a year from 1970 to 9998", "OUT_OF_RANGE")
    return civil


def _request_id(value: str, violations: Violations) -> str:
    if value and not _REQUEST_ID.fullmatch(value):
        violations.add("request_id", "must be 1 to 128 printable ASCII characters, for instance a UUID", "INVALID")
    return value


def _id(value: str, field: str, violations: Violations) -> str:
    return validation.text(value, violations, field=field, max_bytes=validation.MAX_ID_BYTES)


def merge_tags_from_proto(proto: Struct, violations: Violations) -> tuple[dict[str, Json], list[SendWarning]]:
    """Reads the values that templates are given.

    Returns:
        The values, and a warning for each number that may not be what the caller meant, 20 at most.
    """
    if (size := proto.ByteSize()) > MAX_MERGE_TAGS_BYTES:
        violations.add("merge_tags", f"must be at most 150 KB serialised, but is {size} bytes", "TOO_LARGE")
        return {}, []
    if (count := len(proto.fields)) > MAX_MERGE_TAGS:
        violations.add("merge_tags", f"must have at most {MAX_MERGE_TAGS} keys, but has {count}", "TOO_MANY")
        return {}, []
    imprecise: list[str] = []
    values = struct_to_dict(proto, violations, field="merge_tags", imprecise=imprecise)
    return values, [_precision_warning(path) for path in imprecise[:MAX_PRECISION_WARNINGS]]


def _precision_warning(path: str) -> SendWarning:
    text = f"{path} is a whole number beyond 2^53, which may have lost digits on its way; send long ids as strings"
    return SendWarning(WarningCode.NUMBER_PRECISION_LOST, path, text)


def _channels(numbers: Sequence[int], violations: Violations) -> frozenset[Channel]:
    if (count := len(numbers)) > MAX_FORCE_CHANNELS:
        violations.add("force_channels", f"must be at most {MAX_FORCE_CHANNELS}, but are {count}", "TOO_MANY")
        return frozenset()
    found = [CHANNELS.from_wire(number, violations, field=f"force_channels[{i}]") for i, number in enumerate(numbers)]
    return frozenset(channel for channel in found if channel)


def replacements_from_proto(proto: Mapping[str, str], violations: Violations) -> dict[str, str]:
    """Reads what is replaced in rendered texts."""
    if len(proto) > MAX_REPLACEMENTS:
        violations.add("replace", f"must be at most {MAX_REPLACEMENTS} pairs, but are {len(proto)}", "TOO_MANY")
        return {}
    for key, value in proto.items():
        if not key:
            violations.add("replace", "must not have an empty key", "REQUIRED")
        validation.text(key, violations, field="replace", max_bytes=MAX_REPLACE_KEY_BYTES)
        validation.text(value, violations, field=f"replace.{key[:64]}", max_bytes=MAX_REPLACE_VALUE_BYTES)
    return dict(proto)


def _tags(protos: Iterable[str], violations: Violations) -> tuple[str, ...]:
    first_places: dict[str, int] = {}
    for i, tag in enumerate(protos):
        first_places.setdefault(tag, i)
    if (count := len(first_places)) > MAX_TAGS:
        violations.add("tags", f"must be at most {MAX_TAGS}, but are {count}", "TOO_MANY")
        return ()
    for tag, i in first_places.items():
        validation.text(tag, violations, field=f"tags[{i}]", max_bytes=validation.MAX_ID_BYTES, required=True)
    return tuple(first_places)
