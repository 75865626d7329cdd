"""Sub-notifications: named parts of a notification, for preferences and for retraction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.kernel.errors import NotFound

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class SubNotification:
    """A named part of a notification."""

    notification_id: str
    id: str
    title: str
    create_time: datetime
    update_time: datetime


def sub_notification_not_found(notification_id: str, sub_notification_id: str) -> NotFound:
    """Makes the error for a part that the notification does not have."""
    name = f"{notification_id}/{sub_notification_id}"
    return NotFound("sub-notification", name, reason="SUB_NOTIFICATION_NOT_FOUND")
