"""A send from their names to ours, and how its caller wrote it. Pure.

Where both the old and the new name of something are given, both are read, and the new one wins field by field: their
Java asks for the old ones beside the new.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from google.protobuf.timestamp_pb2 import Timestamp

from carillon.v1 import channel_pb2, sender_pb2
from gateway.http.notificationapi.bodies import unknown_fields
from gateway.http.notificationapi.options_to_proto import content_to_proto, options_to_proto
from gateway.http.notificationapi.spelling import Spelling
from gateway.http.notificationapi.structs import to_struct
from gateway.http.notificationapi.users import UserBody, user_from_body
from services.kernel.errors import FieldViolation, InvalidArgument
from services.kernel.validation import Violations

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from google.protobuf.struct_pb2 import Struct

    from gateway.http.notificationapi.send_bodies import SendBody

MAX_EXTRA_BYTES = 16 * 1024
_USER_FIELDS = {"id", "email", "number", "timezone", "pushTokens", "webPushTokens"}
_USER_PATHS = {"pushTokens": "push_tokens", "webPushTokens": "web_push_subscriptions"}
_NO_SLACK = "SLACK delivery is not supported. Discarding SLACK."
_SLACK_FIELDS = ("slack", "slackChannel", "slackChannelName", "slackToken")

# What a change of a schedule replaces, for each field that it may give.
_MASKS = {
    "parameters": "merge_tags",
    "mergeTags": "merge_tags",
    "replace": "replace",
    "forceChannels": "force_channels",
    "templateId": "template_id",
    "subNotificationId": "sub_notification_id",
    "secondaryId": "secondary_id",
    "schedule": "schedule_time",
    "email": "content.email",
    "inapp": "content.inapp",
    "sms": "content.sms",
    "call": "content.call",
    "web_push": "content.web_push",
    "mobile_push": "content.push",
}


@dataclass(frozen=True, slots=True)
class ReadSend:
    """A send as the services take it."""

    request: sender_pb2.SendRequest
    spelling: Spelling
    messages: tuple[str, ...] = ()
    """What it asks for and does not get here, in their words."""

    is_less: bool = False
    """Whether it asks for a channel that does not exist here."""


def read_send(body: SendBody, *, request_id: str = "") -> ReadSend:
    """Reads a send.

    Raises:
        InvalidArgument: If something is wrong with it; what is wrong is named as the caller wrote it.
    """
    if not (body.type or body.notificationId):
        raise InvalidArgument(
            [FieldViolation("type", "must be given: the notification to send, formerly notificationId", "REQUIRED")],
            reason="MISSING_NOTIFICATION_TYPE",
        )
    read = _read(body)
    request = read.request
    request.request_id = request_id
    if not request.user.id:
        # They document that an address is id enough.
        request.user.id = request.user.email or request.user.number
    return read


def read_change(body: SendBody) -> tuple[ReadSend, list[str]]:
    """Reads what is to change of a send that waits for its time, and which of our fields that is.

    What is null or an empty text is not given: to clear the schedule by mistake would send at once.

    Raises:
        InvalidArgument: If something is wrong with it, or it changes nothing.
    """
    read = _read(body)
    given = {name for name in body.model_fields_set if getattr(body, name, None) not in (None, "")}
    paths = {_MASKS[name] for name in given & _MASKS.keys()}
    paths |= {f"user.{field.name}" for field, _ in read.request.user.ListFields() if field.name != "id"}
    if options := body.options:
        paths |= {f"options.{name}" for name in ("email", "apn", "fcm") if getattr(options, name) is not None}
    if read.request.HasField("extra"):
        paths.add("extra")
    if not paths:
        raise InvalidArgument([FieldViolation("body", "there is nothing to change in it; give at least one field")])
    return read, sorted(paths)


def parse_time(text: str) -> datetime:
    """Reads an ISO time with any offset, or in UTC without one; raises ValueError.

    Digits of the fraction beyond the sixth, as C# writes a seventh, are of no use to anyone.
    """
    time = datetime.fromisoformat(text.strip().upper())
    try:
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except OverflowError:
        raise ValueError("before the year 1 or after the year 9999") from None


def _read(body: SendBody) -> ReadSend:
    violations = Violations()
    schedule = _schedule(body.schedule)
    user, user_fields = _user(body)
    merge_tags = {**(body.mergeTags or {}), **(body.parameters or {})}
    is_old = not body.type and bool(body.notificationId or body.user)
    spelling = Spelling(
        type="notificationId" if is_old else "type",
        to=_spelled("to", "user", body, is_old=is_old),
        parameters=_spelled("parameters", "mergeTags", body, is_old=is_old),
        user_fields=user_fields,
        filenames=_filenames(body),
    )
    unknown = unknown_fields(body)
    extra, messages = _extra(unknown)
    channels, has_slack = _channels(body.forceChannels or (), violations)
    options = options_to_proto(body.options, violations) if body.options else None
    violations.raise_if_any()

    request = sender_pb2.SendRequest(
        notification_id=body.type or body.notificationId or "",
        user=user_from_body(user, user.id or ""),
        merge_tags=to_struct(merge_tags, field=spelling.parameters) if merge_tags else None,
        sub_notification_id=body.subNotificationId or "",
        template_id=body.templateId or "",
        options=options,
        schedule_time=schedule,
        force_channels=channels,  # type: ignore[arg-type] # numbers of Channel
        replace=body.replace or {},
        content=content_to_proto(body),
        secondary_id=body.secondaryId or "",
        extra=extra,
    )
    is_less = has_slack or "slack" in unknown
    return ReadSend(request, spelling, (*_unsupported(unknown, is_less=is_less), *messages), is_less)


def _spelled(new: str, old: str, body: SendBody, *, is_old: bool) -> str:
    """Gives the name that is there, the new one of both; of none the one that goes with the rest."""
    if getattr(body, new) is not None:
        return new
    return old if is_old or getattr(body, old) is not None else new


def _schedule(value: Any) -> Timestamp | None:
    if value is None or value == "":
        return None
    try:
        time = parse_time(value)
    except (AttributeError, ValueError):
        raise InvalidArgument(
            [FieldViolation("schedule", "must be a time in ISO 8601, for instance 2026-03-29T09:00:00.000Z")],
            reason="INVALID_SCHEDULE_FORMAT",
        ) from None
    timestamp = Timestamp()
    timestamp.FromDatetime(time)
    return timestamp


def _user(body: SendBody) -> tuple[UserBody, dict[str, str]]:
    """Gives the user that the new and the old name make together, and where each of our fields stands."""
    found: dict[str, Any] = {}
    places: dict[str, str] = {}
    for place, one in (("user", body.user), ("to", body.to)):
        for name in _USER_FIELDS:
            if one and (value := getattr(one, name)):
                found[name] = value
                places[_USER_PATHS.get(name, name)] = place
    return UserBody(**found), places


def _channels(names: Any, violations: Violations) -> tuple[list[int], bool]:
    """Gives the channels that are forced, and whether SLACK was among them."""
    numbers: dict[int, None] = {}
    has_slack = False
    for i, name in enumerate(names):
        word = name.strip().upper()
        if word == "SLACK":
            has_slack = True
        elif word in CHANNELS:
            numbers[CHANNELS[word]] = None
        else:
            violations.add(f"forceChannels[{i}]", f"must be one of {', '.join(CHANNELS)}")
    if has_slack and not numbers:
        # Without a channel that is forced, it would go to all those of the definition.
        violations.add("forceChannels", "has only SLACK, which is not supported; name another channel")
    return list(numbers), has_slack


CHANNELS = {
    value.name.removeprefix("CHANNEL_"): value.number
    for value in channel_pb2.Channel.DESCRIPTOR.values
    if value.number != channel_pb2.CHANNEL_UNSPECIFIED
}
"""Our number for each of their channels."""


def _extra(unknown: Mapping[str, Any]) -> tuple[Struct | None, list[str]]:
    """Gives what is kept for the log, under the old names, and a message where nothing can be."""
    users = {**unknown.get("user", {}), **unknown.get("to", {})}
    # An OAuth token is nothing for a log.
    users.pop("slackToken", None)
    kept = {name: value for name, value in unknown.items() if name not in ("to", "user")}
    if users:
        kept["user"] = users
    if not kept:
        return None, []

    try:
        extra = to_struct(kept, field="extra")
        if extra.ByteSize() <= MAX_EXTRA_BYTES:
            return extra, []
        problem = f"are more than {MAX_EXTRA_BYTES // 1024} KiB"
    except InvalidArgument:
        problem = "cannot be stored"
    names = ", ".join(name[:64] for name in list(unknown)[:10])
    return None, [f"The fields that are not known here ({names}) {problem}. They were not kept for the log."]


def _unsupported(unknown: Mapping[str, Any], *, is_less: bool) -> Iterator[str]:
    users = [unknown.get(name, {}) for name in ("to", "user")]
    if is_less or any(user.get(name) for user in users for name in _SLACK_FIELDS):
        yield _NO_SLACK
    if "autoReply" in unknown.get("sms", {}):
        yield "sms.autoReply is not supported. The text is sent, and answers to it are not answered."
    if "condition" in unknown.get("options", {}).get("email", {}):
        yield "options.email.condition is not supported. The mail is sent whatever it says."


def _filenames(body: SendBody) -> list[str]:
    attachments = body.options.email.attachments if body.options and body.options.email else None
    return [
        next((name for name in ("filename", "fileName", "name") if getattr(one, name)), "filename")
        for one in attachments or ()
    ]
