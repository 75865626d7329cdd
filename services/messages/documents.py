"""Deliveries and options as they are stored in a message: what the message's writers and readers share."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from services.kernel.origin import Origin
from services.kernel.vocabulary import Channel
from services.messages.model import (
    Attempt,
    AttemptOutcome,
    Call,
    Delivery,
    DeliveryState,
    SendWarning,
    SkipReason,
    TargetDelivery,
    WarningCode,
    optional_fields,
)
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
from services.notifications.store import content_from_document, content_to_document

if TYPE_CHECKING:
    from collections.abc import Mapping

    Document = dict[str, Any]

_SECOND = timedelta(seconds=1)


def delivery_to_document(delivery: Delivery) -> Document:
    """Gives a delivery as it is stored."""
    document: Document = {"channel": delivery.channel.value, "state": delivery.state.value}
    if delivery.reason:
        document["reason"] = delivery.reason.value
    if delivery.content:
        document["content"] = content_to_document(delivery.content)
    return document | optional_fields(
        detail=delivery.detail,
        address=delivery.address,
        next_time=delivery.next_time,
        update_time=delivery.update_time,
        attempts=[attempt_to_document(attempt) for attempt in delivery.attempts],
        failed_count=delivery.failed_count,
        targets=[target_to_document(target) for target in delivery.targets],
    )


def delivery_from_document(document: Mapping[str, Any]) -> Delivery:
    """Gives a delivery as it was stored; what was not read of it is absent."""
    return Delivery(
        channel=Channel(document["channel"]),
        state=DeliveryState(document["state"]),
        reason=SkipReason(document["reason"]) if "reason" in document else None,
        detail=document.get("detail", ""),
        content=content_from_document(document["content"]) if "content" in document else None,
        address=document.get("address", ""),
        next_time=document.get("next_time"),
        update_time=document.get("update_time"),
        attempts=tuple(
            Attempt(
                start_time=attempt["start_time"],
                provider=attempt["provider"],
                outcome=AttemptOutcome(attempt["outcome"]),
                provider_id=attempt.get("provider_id", ""),
                detail=attempt.get("detail", ""),
            )
            for attempt in document.get("attempts", ())
        ),
        failed_count=document.get("failed_count", 0),
        targets=tuple(
            TargetDelivery(target.get("key", ""), target["target"], DeliveryState(target["state"]))
            for target in document.get("targets", ())
        ),
    )


def attempt_to_document(attempt: Attempt) -> Document:
    """Gives an attempt as it is stored."""
    return {
        "start_time": attempt.start_time,
        "provider": attempt.provider,
        "outcome": attempt.outcome.value,
        **optional_fields(provider_id=attempt.provider_id, detail=attempt.detail),
    }


def target_to_document(target: TargetDelivery) -> Document:
    """Gives what became of a push on one target as it is stored."""
    return {"key": target.key, "target": target.target, "state": target.state.value}


def warning_to_document(warning: SendWarning) -> Document:
    """Gives a warning as it is stored."""
    return {"code": warning.code.value, "field": warning.field, "text": warning.text}


def warning_from_document(document: Mapping[str, Any]) -> SendWarning:
    """Gives a warning as it was stored."""
    return SendWarning(WarningCode(document["code"]), document["field"], document["text"])


def call_to_document(call: Call) -> Document:
    """Gives the call that made a message as it is stored."""
    origin = call.origin
    return {
        "id": call.id,
        "protocol": origin.protocol,
        **optional_fields(key_id=origin.key_id, user_agent=origin.user_agent),
    }


def call_from_document(document: Mapping[str, Any]) -> Call:
    """Gives the call that made a message as it was stored."""
    origin = Origin(document["protocol"], document.get("key_id", ""), document.get("user_agent", ""))
    return Call(document["id"], origin)


def attachment_to_document(attachment: Attachment) -> Document:
    """Gives an attachment as it is stored."""
    return {
        "filename": attachment.filename,
        "state": attachment.state.value,
        **optional_fields(
            content_type=attachment.content_type,
            url=attachment.url,
            size=attachment.size,
            failed_count=attachment.failed_count,
            next_time=attachment.next_time,
            detail=attachment.detail,
        ),
    }


def options_to_document(options: SendOptions) -> Document:
    """Gives options as they are stored; empty where there are none."""
    email, apn, fcm, web_push = options.email, options.apn, options.fcm, options.web_push
    return optional_fields(
        email=optional_fields(
            reply_to_addresses=list(email.reply_to_addresses),
            cc_addresses=list(email.cc_addresses),
            bcc_addresses=list(email.bcc_addresses),
            from_name=email.from_name,
            from_address=email.from_address,
            attachments=[attachment_to_document(one) for one in email.attachments],
        ),
        apn=optional_fields(
            expire_time=apn.expire_time,
            priority=apn.priority,
            collapse_id=apn.collapse_id,
            thread_id=apn.thread_id,
            sound=apn.sound,
            content_available=apn.content_available,
        )
        | ({} if apn.badge is None else {"badge": apn.badge}),
        fcm=optional_fields(
            collapse_key=fcm.collapse_key,
            priority=fcm.priority and fcm.priority.value,
            restricted_package_name=fcm.restricted_package_name,
        )
        | _ttl(fcm.ttl),
        web_push=optional_fields(urgency=web_push.urgency and web_push.urgency.value, topic=web_push.topic)
        | _ttl(web_push.ttl),
    )


def options_from_document(document: Mapping[str, Any]) -> SendOptions:
    """Gives options as they were stored."""
    email, apn = document.get("email", {}), document.get("apn", {})
    fcm, web_push = document.get("fcm", {}), document.get("web_push", {})
    return SendOptions(
        email=EmailOptions(
            reply_to_addresses=tuple(email.get("reply_to_addresses", ())),
            cc_addresses=tuple(email.get("cc_addresses", ())),
            bcc_addresses=tuple(email.get("bcc_addresses", ())),
            from_name=email.get("from_name", ""),
            from_address=email.get("from_address", ""),
            attachments=tuple(
                Attachment(
                    filename=one["filename"],
                    content_type=one.get("content_type", ""),
                    url=one.get("url", ""),
                    state=AttachmentState(one["state"]),
                    size=one.get("size", 0),
                    failed_count=one.get("failed_count", 0),
                    next_time=one.get("next_time"),
                    detail=one.get("detail", ""),
                )
                for one in email.get("attachments", ())
            ),
        ),
        apn=ApnOptions(**apn),
        fcm=FcmOptions(
            collapse_key=fcm.get("collapse_key", ""),
            priority=AndroidPriority(fcm["priority"]) if "priority" in fcm else None,
            ttl=_duration(fcm),
            restricted_package_name=fcm.get("restricted_package_name", ""),
        ),
        web_push=WebPushOptions(
            ttl=_duration(web_push),
            urgency=Urgency(web_push["urgency"]) if "urgency" in web_push else None,
            topic=web_push.get("topic", ""),
        ),
    )


def _ttl(ttl: timedelta | None) -> Document:
    return {} if ttl is None else {"ttl_s": ttl / _SECOND}


def _duration(document: Mapping[str, Any]) -> timedelta | None:
    return timedelta(seconds=document["ttl_s"]) if "ttl_s" in document else None
