"""Sub-notifications between the model and protobuf."""

from __future__ import annotations

from typing import TYPE_CHECKING

from carillon.v1 import sub_notifications_pb2
from services.kernel.wire import to_timestamp

if TYPE_CHECKING:
    from services.sub_notifications.model import SubNotification


def sub_notification_to_proto(sub_notification: SubNotification) -> sub_notifications_pb2.SubNotification:
    """Gives a sub-notification as it is answered."""
    return sub_notifications_pb2.SubNotification(
        notification_id=sub_notification.notification_id,
        id=sub_notification.id,
        title=sub_notification.title,
        create_time=to_timestamp(sub_notification.create_time),
        update_time=to_timestamp(sub_notification.update_time),
    )
