"""Messages of the log as NotificationAPI's log tells them. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from carillon.v1 import channel_pb2, delivery_pb2, send_options_pb2
from gateway.http.notificationapi.structs import from_struct
from gateway.http.notificationapi.users import user_to_json
from gateway.items import iso_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from google.protobuf.message import Message as Proto

    from carillon.v1 import messages_pb2, sender_pb2

_ROUTINGS = {
    delivery_pb2.DELIVERY_STATE_SCHEDULED: "SCHEDULE",
    delivery_pb2.DELIVERY_STATE_COLLECTED: "BATCH",
    delivery_pb2.DELIVERY_STATE_SKIPPED: "IGNORE",
    delivery_pb2.DELIVERY_STATE_CANCELLED: "IGNORE",
}
_SKIP_ROUTINGS = {
    delivery_pb2.SKIP_REASON_PREFERENCE_OFF: "OFF",
    delivery_pb2.SKIP_REASON_DEFAULT_OFF: "OFF",
    delivery_pb2.SKIP_REASON_THROTTLED: "THROTTLED",
    delivery_pb2.SKIP_REASON_DEDUPLICATED: "DEDUPLICATED",
}
_ROUTING_REASONS = {
    delivery_pb2.SKIP_REASON_PREFERENCE_OFF: "IGNORE_BY_PREFERENCES",
    delivery_pb2.SKIP_REASON_DEFAULT_OFF: "IGNORE_BY_DEFAULT_DELIVERY",
    delivery_pb2.SKIP_REASON_CHANNEL_DISABLED: "IGNORE_BY_ENVIRONMENT",
}
_FAILED_CODES = {delivery_pb2.SKIP_REASON_NO_TEMPLATE: "NO_DEFAULT_TEMPLATE"}
_ACCEPTED = (delivery_pb2.DELIVERY_STATE_SENT, delivery_pb2.DELIVERY_STATE_DELIVERED)
_CONTENTS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "email": (
        "email",
        {
            "subject": "subject",
            "html": "html",
            "preview_text": "previewText",
            "from_name": "senderName",
            "from_address": "senderEmail",
        },
    ),
    "inapp": ("inapp", {"title": "title", "url": "url", "image_url": "image"}),
    "sms": ("sms", {"text": "message"}),
    "call": ("call", {"text": "message"}),
    "push": ("mobile_push", {"title": "title", "body": "message"}),
    "web_push": ("web_push", {"title": "title", "body": "message", "icon_url": "icon", "url": "url"}),
}
_EMAIL_OPTIONS = {
    "reply_to_addresses": "replyToAddresses",
    "cc_addresses": "ccAddresses",
    "bcc_addresses": "bccAddresses",
    "from_name": "fromName",
    "from_address": "fromAddress",
}
_APN_OPTIONS = {
    "priority": "priority",
    "collapse_id": "collapseId",
    "thread_id": "threadId",
    "badge": "badge",
    "sound": "sound",
    "content_available": "contentAvailable",
}


def message_to_json(message: messages_pb2.Message, client_id: str) -> dict[str, Any]:
    """Gives a message of the log."""
    entry: dict[str, Any] = {
        "received_at": iso_of(message.create_time),
        "type": message.notification_id,
        "envId": client_id,
        "clientId": client_id,
        "trackingId": message.tracking_id,
        "user_id": message.user_id,
    }
    if message.HasField("schedule_time"):
        entry["scheduled_for"] = iso_of(message.schedule_time)
    if message.origin.user_agent:
        entry["agent"] = message.origin.user_agent
    if message.HasField("request"):
        entry["request"] = request_to_json(message.request)
    for delivery in message.deliveries:
        entry |= _delivery(delivery, message)
    return entry


def request_to_json(request: sender_pb2.SendRequest) -> dict[str, Any]:
    """Gives a send in their older names, which their log is searched by; with the fields that only the caller knew."""
    options = _options(request.options)
    found = {
        "notificationId": request.notification_id,
        "user": user_to_json(request.user),
        "mergeTags": from_struct(request.merge_tags),
        "replace": dict(request.replace),
        "forceChannels": [_channel(number) for number in request.force_channels],
        "templateId": request.template_id,
        "subNotificationId": request.sub_notification_id,
        "secondaryId": request.secondary_id,
        "schedule": iso_of(request.schedule_time) if request.HasField("schedule_time") else None,
        "options": options,
        **{
            theirs: _named(getattr(request.content, ours), names)
            for ours, (theirs, names) in _CONTENTS.items()
            if request.content.HasField(ours)  # type: ignore[arg-type] # one of its fields
        },
    }
    return _joined({name: value for name, value in found.items() if value}, from_struct(request.extra))


def _delivery(delivery: delivery_pb2.Delivery, message: messages_pb2.Message) -> dict[str, Any]:
    prefix = _channel(delivery.channel).lower()
    changed = delivery.update_time if delivery.HasField("update_time") else message.create_time
    accepted = next(
        (one for one in delivery.attempts if one.outcome == delivery_pb2.ATTEMPT_OUTCOME_ACCEPTED),
        None,
    )
    routing = _SKIP_ROUTINGS.get(delivery.reason) or _ROUTINGS.get(delivery.state, "SEND")
    entry = {f"{prefix}_routing": routing}
    if reason := _ROUTING_REASONS.get(delivery.reason):
        entry[f"{prefix}_routing_reason"] = reason
    if delivery.state in _ACCEPTED:
        entry[f"{prefix}_sent_at"] = iso_of(accepted.start_time if accepted else changed)
    if delivery.state == delivery_pb2.DELIVERY_STATE_DELIVERED:
        entry[f"{prefix}_delivered_at"] = iso_of(changed)
    if code := _failed_code(delivery, has_content=bool(message.request.content.ListFields())):
        entry |= {f"{prefix}_failed_at": iso_of(changed), f"{prefix}_failed_code": code}
        if delivery.detail:
            entry[f"{prefix}_failed_message"] = delivery.detail
    return entry


def _failed_code(delivery: delivery_pb2.Delivery, *, has_content: bool) -> str:
    """Gives why a delivery failed that was meant to be made; empty where it did not, or was not.

    Args:
        delivery: What became of a channel.
        has_content: Whether the send brought content: then it was not meant for a channel that has none at all.
    """
    if delivery.state == delivery_pb2.DELIVERY_STATE_FAILED:
        return "PROVIDER_ERROR"
    if delivery.state != delivery_pb2.DELIVERY_STATE_SKIPPED:
        return ""
    if delivery.reason in _SKIP_ROUTINGS or delivery.reason in _ROUTING_REASONS:
        return ""
    if delivery.reason == delivery_pb2.SKIP_REASON_NOT_FORCED:
        return ""
    # What is missing of content that is there stands in the detail.
    if delivery.reason == delivery_pb2.SKIP_REASON_NO_TEMPLATE and has_content and not delivery.detail:
        return ""
    known = delivery_pb2.SkipReason.values()
    name = delivery_pb2.SkipReason.Name(delivery.reason) if delivery.reason in known else "UNKNOWN"
    return _FAILED_CODES.get(delivery.reason, name.removeprefix("SKIP_REASON_"))


def _options(options: send_options_pb2.SendOptions) -> dict[str, Any]:
    email = _named(options.email, _EMAIL_OPTIONS)
    if options.email.attachments:
        email["attachments"] = [
            _named(one, {"filename": "filename", "url": "url", "content_type": "contentType"})
            for one in options.email.attachments
        ]
    apn = _named(options.apn, _APN_OPTIONS)
    if options.apn.HasField("expire_time"):
        apn["expiry"] = options.apn.expire_time.seconds
    android = _named(
        options.fcm.android, {"collapse_key": "collapseKey", "restricted_package_name": "restrictedPackageName"}
    )
    if options.fcm.android.priority:
        is_high = options.fcm.android.priority == send_options_pb2.FCM_ANDROID_PRIORITY_HIGH
        android["priority"] = "high" if is_high else "normal"
    if options.fcm.android.HasField("ttl"):
        android["ttl"] = options.fcm.android.ttl.seconds
    found = {"email": email, "apn": apn, "fcm": {"android": android} if android else {}}
    return {name: value for name, value in found.items() if value}


def _named(proto: Proto, names: Mapping[str, str]) -> dict[str, Any]:
    """Gives the fields of a message that are set, under other names."""
    found = {}
    for field, value in proto.ListFields():
        if name := names.get(field.name):
            found[name] = list(value) if field.is_repeated else value
    return found


def _joined(known: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """Puts fields back to the places where they stood; of lists the places are gone, so there they stand apart."""
    found = dict(known)
    for name, value in extra.items():
        if isinstance(value, dict) and isinstance(found.get(name), dict):
            found[name] = _joined(found[name], value)
        else:
            found.setdefault(name, value)
    return found


def _channel(number: int) -> str:
    if number not in channel_pb2.Channel.values():
        return str(number)
    return channel_pb2.Channel.Name(number).removeprefix("CHANNEL_")  # type: ignore[arg-type] # a number of Channel
