"""Previews between protobuf and the model: a preview reads what a send reads, and answers what the log would show."""

from __future__ import annotations

from typing import TYPE_CHECKING

from carillon.v1 import delivery_pb2, notifications_pb2
from services.kernel import validation
from services.messages.convert import delivery_to_proto, warning_to_proto
from services.notifications.convert import CHANNELS, content_to_proto
from services.sender.convert import MAX_FORCE_CHANNELS, merge_tags_from_proto, replacements_from_proto
from services.sender.model import Send
from services.users.convert import sent_user_from_proto

if TYPE_CHECKING:
    from services.kernel.validation import Violations
    from services.messages.model import Delivery, Message


def preview_from_proto(
    proto: notifications_pb2.PreviewNotificationRequest, violations: Violations, *, region: str
) -> Send:
    """Reads what is to be rendered, apart from the definition.

    Args:
        proto: The request.
        violations: Where what is wrong is recorded.
        region: What a phone number without a country code is read in.
    """
    user, bad = sent_user_from_proto(proto.user, violations, region=region, needs_id=False)
    if (count := len(proto.channels)) > MAX_FORCE_CHANNELS:
        violations.add("channels", f"must be at most {MAX_FORCE_CHANNELS}, but are {count}", "TOO_MANY")
    channels = [
        CHANNELS.from_wire(number, violations, field=f"channels[{i}]")
        for i, number in enumerate(proto.channels[:MAX_FORCE_CHANNELS])
    ]
    merge_tags, imprecise = merge_tags_from_proto(proto.merge_tags, violations)
    return Send(
        notification_id=proto.notification_id or proto.notification.id,
        user=user,
        bad_fields=frozenset(bad),
        merge_tags=merge_tags,
        sub_notification_id="",
        template_id=validation.text(
            proto.template_id, violations, field="template_id", max_bytes=validation.MAX_ID_BYTES
        ),
        force_channels=frozenset(channel for channel in channels if channel),
        replace=replacements_from_proto(proto.replace, violations),
        secondary_id="",
        group_id="",
        tags=(),
        priority=None,
        warnings=(*bad.values(), *imprecise),
        request=b"",
    )


def preview_to_response(message: Message) -> notifications_pb2.PreviewNotificationResponse:
    """Gives what a preview answers."""
    return notifications_pb2.PreviewNotificationResponse(
        deliveries=map(_delivery_to_proto, message.deliveries), warnings=map(warning_to_proto, message.warnings)
    )


def _delivery_to_proto(delivery: Delivery) -> delivery_pb2.Delivery:
    proto = delivery_to_proto(delivery)
    if delivery.content:
        proto.content.CopyFrom(content_to_proto(delivery.content))
    return proto
