"""The options of a send between protobuf and the model, with every rule about what they may say."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from carillon.v1 import send_options_pb2
from services.kernel import validation
from services.kernel.wire import EnumCodec, from_timestamp
from services.messages.options import (
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
from services.users.model import is_email

if TYPE_CHECKING:
    from collections.abc import Sequence

    from google.protobuf.duration_pb2 import Duration

    from services.kernel.validation import Violations

MAX_ADDRESSES = 50
MAX_ATTACHMENTS = 50
MAX_CONTENT_BYTES = 4 * 1024 * 1024
"""What attachments may have together whose bytes come with the send."""

MAX_TTL = timedelta(days=28)
_ADDRESS_BYTES = 320
_URL_BYTES = 2048
_MEDIA_TYPE_BYTES = 128
# RFC 6838, section 4.2.
_MEDIA_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*")
# What would leave a header or a folder; U+2028 and U+2029 end a line as well.
_NOT_IN_FILENAME = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029/\\]")
_TEXT_BYTES = 256
_COLLAPSE_ID_BYTES = 64
_APN_PRIORITIES = (0, 1, 5, 10)
_MAX_BADGE = 2**31 - 1
# RFC 8030, section 5.4.
_TOPIC = re.compile(r"[A-Za-z0-9_-]{1,32}")
_PRIORITIES = EnumCodec(AndroidPriority, send_options_pb2.FcmAndroidPriority, prefix="FCM_ANDROID_PRIORITY_")
_URGENCIES = EnumCodec(Urgency, send_options_pb2.WebPushUrgency, prefix="WEB_PUSH_URGENCY_")


def options_from_proto(proto: send_options_pb2.SendOptions, violations: Violations) -> SendOptions:
    """Reads the options of a send."""
    return SendOptions(
        email=_email(proto.email, violations),
        apn=_apn(proto.apn, violations),
        fcm=_fcm(proto.fcm.android, violations),
        web_push=_web_push(proto.web_push, violations),
    )


def _email(proto: send_options_pb2.EmailOptions, violations: Violations) -> EmailOptions:
    path = "options.email"
    from_name = validation.text(proto.from_name, violations, field=f"{path}.from_name", max_bytes=_TEXT_BYTES)
    if len(from_name.splitlines()) > 1:
        violations.add(f"{path}.from_name", "must be one line")
    return EmailOptions(
        reply_to_addresses=_addresses(proto.reply_to_addresses, f"{path}.reply_to_addresses", violations),
        cc_addresses=_addresses(proto.cc_addresses, f"{path}.cc_addresses", violations),
        bcc_addresses=_addresses(proto.bcc_addresses, f"{path}.bcc_addresses", violations),
        from_name=from_name,
        from_address=_address(proto.from_address, f"{path}.from_address", violations) if proto.from_address else "",
        attachments=_attachments(proto.attachments, f"{path}.attachments", violations),
    )


def take_contents(proto: send_options_pb2.EmailOptions) -> dict[int, bytes]:
    """Gives the bytes of attachments by their place among all, and leaves empty ones behind: they are kept apart."""
    contents = {}
    for i, one in enumerate(proto.attachments):
        if one.WhichOneof("source") == "content":
            contents[i] = one.content
            one.content = b""
    return contents


def _attachments(
    protos: Sequence[send_options_pb2.Attachment], path: str, violations: Violations
) -> tuple[Attachment, ...]:
    if len(protos) > MAX_ATTACHMENTS:
        violations.add(path, f"must be at most {MAX_ATTACHMENTS}, but are {len(protos)}", "TOO_MANY")
        return ()
    if (size := sum(len(one.content) for one in protos)) > MAX_CONTENT_BYTES:
        violations.add(path, f"must have at most 4 MiB together by content, but have {size} bytes", "TOO_LARGE")
    return tuple(_attachment(one, f"{path}[{i}]", violations) for i, one in enumerate(protos))


def _attachment(proto: send_options_pb2.Attachment, path: str, violations: Violations) -> Attachment:
    filename = validation.text(
        proto.filename, violations, field=f"{path}.filename", max_bytes=_TEXT_BYTES, required=True
    )
    if _NOT_IN_FILENAME.search(filename):
        violations.add(f"{path}.filename", "must not contain control characters, / or \\", "INVALID_CHARACTERS")
    content_type = validation.text(
        proto.content_type, violations, field=f"{path}.content_type", max_bytes=_MEDIA_TYPE_BYTES
    )
    if content_type and not _MEDIA_TYPE.fullmatch(content_type):
        violations.add(f"{path}.content_type", "must be a media type, for instance application/pdf")
    match proto.WhichOneof("source"):
        case "url":
            url = validation.text(proto.url, violations, field=f"{path}.url", max_bytes=_URL_BYTES)
            if not validation.is_web_url(url):
                violations.add(f"{path}.url", "must be an http or https URL")
            return Attachment(filename, content_type, url, AttachmentState.WAITING)
        case "content":
            return Attachment(filename, content_type, size=len(proto.content))
        case _:
            violations.add(path, "must have a url or content", "REQUIRED")
            return Attachment(filename, content_type)


def _addresses(protos: Sequence[str], path: str, violations: Violations) -> tuple[str, ...]:
    if len(protos) > MAX_ADDRESSES:
        violations.add(path, f"must be at most {MAX_ADDRESSES}, but are {len(protos)}", "TOO_MANY")
        return ()
    return tuple(dict.fromkeys(_address(one, f"{path}[{i}]", violations) for i, one in enumerate(protos)))


def _address(text: str, path: str, violations: Violations) -> str:
    if len(text.encode(errors="replace")) > _ADDRESS_BYTES or not is_email(text):
        violations.add(path, f"must be a mail address of at most {_ADDRESS_BYTES} bytes, for instance a@example.com")
    return text


def _apn(proto: send_options_pb2.ApnOptions, violations: Violations) -> ApnOptions:
    path = "options.apn"
    if proto.priority not in _APN_PRIORITIES:
        violations.add(f"{path}.priority", f"must be 10, 5 or 1, but is {proto.priority}", "OUT_OF_RANGE")
    if proto.HasField("badge") and not 0 <= proto.badge <= _MAX_BADGE:
        violations.add(f"{path}.badge", f"must not be negative, but is {proto.badge}", "OUT_OF_RANGE")
    expire_time = None
    if proto.HasField("expire_time"):
        expire_time = from_timestamp(proto.expire_time, violations, field=f"{path}.expire_time")
        if expire_time < datetime.fromtimestamp(0, UTC):
            violations.add(f"{path}.expire_time", "must not be before 1970", "OUT_OF_RANGE")
    collapse_id, thread_id, sound = (
        validation.text(getattr(proto, name), violations, field=f"{path}.{name}", max_bytes=max_bytes)
        for name, max_bytes in (("collapse_id", _COLLAPSE_ID_BYTES), ("thread_id", _TEXT_BYTES), ("sound", _TEXT_BYTES))
    )
    # It travels as a header of HTTP/2.
    if not (collapse_id.isascii() and collapse_id.isprintable()):
        violations.add(f"{path}.collapse_id", "must be printable ASCII", "INVALID_CHARACTERS")
    return ApnOptions(
        expire_time=expire_time,
        priority=proto.priority,
        collapse_id=collapse_id,
        thread_id=thread_id,
        badge=proto.badge if proto.HasField("badge") else None,
        sound=sound,
        content_available=proto.content_available,
    )


def _fcm(proto: send_options_pb2.FcmAndroidOptions, violations: Violations) -> FcmOptions:
    path = "options.fcm.android"
    collapse_key, package = (
        validation.text(getattr(proto, name), violations, field=f"{path}.{name}", max_bytes=_TEXT_BYTES)
        for name in ("collapse_key", "restricted_package_name")
    )
    return FcmOptions(
        collapse_key=collapse_key,
        priority=_PRIORITIES.optional(proto.priority, violations, field=f"{path}.priority"),
        ttl=_ttl(proto.ttl, f"{path}.ttl", violations) if proto.HasField("ttl") else None,
        restricted_package_name=package,
    )


def _web_push(proto: send_options_pb2.WebPushOptions, violations: Violations) -> WebPushOptions:
    path = "options.web_push"
    if proto.topic and not _TOPIC.fullmatch(proto.topic):
        violations.add(f"{path}.topic", "must be 1 to 32 of A-Z a-z 0-9 - _")
    return WebPushOptions(
        ttl=_ttl(proto.ttl, f"{path}.ttl", violations) if proto.HasField("ttl") else None,
        urgency=_URGENCIES.optional(proto.urgency, violations, field=f"{path}.urgency"),
        topic=proto.topic,
    )


def _ttl(proto: Duration, path: str, violations: Violations) -> timedelta:
    try:
        ttl = timedelta(seconds=proto.seconds, milliseconds=proto.nanos // 1_000_000)
    except OverflowError:
        ttl = -MAX_TTL
    if not timedelta(0) <= ttl <= MAX_TTL:
        violations.add(path, f"must be between 0 s and {MAX_TTL.days} days", "OUT_OF_RANGE")
        return MAX_TTL
    return ttl
