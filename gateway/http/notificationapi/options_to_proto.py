"""The options and the inline content of a send, from their names to ours. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from carillon.v1 import content_pb2, send_options_pb2
from gateway.notificationapi.moments import seconds_of
from services.kernel.encoding import decode_base64

if TYPE_CHECKING:
    from gateway.http.notificationapi.send_bodies import (
        AndroidBody,
        ApnBody,
        AttachmentBody,
        EmailOptionsBody,
        OptionsBody,
        SendBody,
    )
    from services.kernel.validation import Violations

_ANDROID_PRIORITIES = {
    "high": send_options_pb2.FCM_ANDROID_PRIORITY_HIGH,
    "normal": send_options_pb2.FCM_ANDROID_PRIORITY_NORMAL,
}
_DATA_URL = re.compile(r"\s*data:[^,]*;base64,", re.IGNORECASE)


def timestamp_of(number: float) -> Timestamp:
    """Gives the moment of a UNIX time that may be in milliseconds."""
    milliseconds = round(seconds_of(number) * 1000)
    return Timestamp(seconds=milliseconds // 1000, nanos=milliseconds % 1000 * 1_000_000)


def options_to_proto(body: OptionsBody, violations: Violations) -> send_options_pb2.SendOptions:
    """Gives the options; what is not given is not set."""
    android = body.fcm.android if body.fcm else None
    return send_options_pb2.SendOptions(
        email=_email(body.email, violations) if body.email else None,
        apn=_apn(body.apn) if body.apn else None,
        fcm=send_options_pb2.FcmOptions(android=_android(android, violations)) if android else None,
    )


def content_to_proto(body: SendBody) -> content_pb2.ContentByChannel | None:
    """Gives the inline content; None where no channel has any."""
    content = content_pb2.ContentByChannel()
    if email := body.email:
        content.email.MergeFrom(
            content_pb2.EmailContent(
                subject=email.subject or "",
                html=email.html or "",
                preview_text=email.previewText or "",
                from_name=email.senderName or "",
                from_address=email.senderEmail or "",
            )
        )
    if inapp := body.inapp:
        content.inapp.MergeFrom(
            content_pb2.InappContent(title=inapp.title or "", url=inapp.url or "", image_url=inapp.image or "")
        )
    if body.sms:
        content.sms.text = body.sms.message or ""
    if body.call:
        content.call.text = body.call.message or ""
    if push := body.mobile_push:
        content.push.MergeFrom(content_pb2.PushContent(title=push.title or "", body=push.message or ""))
    if web_push := body.web_push:
        content.web_push.MergeFrom(
            content_pb2.WebPushContent(
                title=web_push.title or "",
                body=web_push.message or "",
                icon_url=web_push.icon or "",
                url=web_push.url or "",
            )
        )
    # A channel that is named and says nothing has no content.
    for field, part in content.ListFields():
        if not part.ByteSize():
            content.ClearField(field.name)  # type: ignore[arg-type] # the name of one of its own fields
    return content if content.ByteSize() else None


def _email(body: EmailOptionsBody, violations: Violations) -> send_options_pb2.EmailOptions:
    return send_options_pb2.EmailOptions(
        reply_to_addresses=filter(None, body.replyToAddresses or ()),
        cc_addresses=filter(None, body.ccAddresses or ()),
        bcc_addresses=filter(None, body.bccAddresses or ()),
        from_name=body.fromName or "",
        from_address=body.fromAddress or "",
        attachments=[
            _attachment(one, f"options.email.attachments[{i}]", violations)
            for i, one in enumerate(body.attachments or ())
        ],
    )


def _attachment(body: AttachmentBody, path: str, violations: Violations) -> send_options_pb2.Attachment:
    attachment = send_options_pb2.Attachment(
        filename=body.filename or body.fileName or body.name or "", content_type=body.contentType or ""
    )
    if body.content:
        try:
            # Some encoders break lines, and a browser's FileReader gives a URL.
            prefix = _DATA_URL.match(body.content)
            attachment.content = decode_base64("".join(body.content[prefix.end() if prefix else 0 :].split()))
        except ValueError:
            violations.add(f"{path}.content", "must be base64")
    elif body.url:
        attachment.url = body.url
    else:
        violations.add(path, "must have a url, or content in base64", "REQUIRED")
    return attachment


def _apn(body: ApnBody) -> send_options_pb2.ApnOptions:
    return send_options_pb2.ApnOptions(
        expire_time=None if body.expiry is None else timestamp_of(body.expiry),
        priority=body.priority or 0,
        collapse_id=body.collapseId or "",
        thread_id=body.threadId or "",
        badge=body.badge,
        sound=body.sound or "",
        content_available=body.contentAvailable or False,
    )


def _android(body: AndroidBody, violations: Violations) -> send_options_pb2.FcmAndroidOptions:
    priority = _ANDROID_PRIORITIES.get((body.priority or "").lower())
    if body.priority and priority is None:
        violations.add("options.fcm.android.priority", "must be 'high' or 'normal'")
    return send_options_pb2.FcmAndroidOptions(
        collapse_key=body.collapseKey or "",
        priority=priority or send_options_pb2.FCM_ANDROID_PRIORITY_UNSPECIFIED,
        ttl=None if body.ttl is None else _duration(body.ttl),
        restricted_package_name=body.restrictedPackageName or "",
    )


def _duration(seconds: float) -> Duration:
    milliseconds = round(seconds * 1000)
    # Both parts have the same sign, or protobuf does not take them.
    whole, rest = divmod(abs(milliseconds), 1000)
    sign = -1 if milliseconds < 0 else 1
    return Duration(seconds=sign * whole, nanos=sign * rest * 1_000_000)
