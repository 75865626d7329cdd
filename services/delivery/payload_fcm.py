"""What a device is told over FCM, and how large that may be. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from services.notifications.model import Content

MAX_BYTES = 4096
"""FCM's limit for what is shown and the data together."""


@dataclass(frozen=True, slots=True)
class FcmPayload:
    """What the device shows, and the data that the app reads; texts only, as FCM wants it."""

    notification: Mapping[str, str] = field(repr=False)
    data: Mapping[str, str] = field(repr=False)

    @property
    def size(self) -> int:
        """How many bytes of FCM's limit it takes."""
        payload = {"notification": dict(self.notification), "data": dict(self.data)}
        return len(json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode(errors="replace"))


def fcm_payload(content: Content, *, tracking_id: str, notification_id: str, item_id: str = "") -> FcmPayload:
    """Gives what a device is told; an empty text is left out."""
    texts = content.texts
    notification = {"title": texts.get("title"), "body": texts.get("body"), "image": texts.get("image_url")}
    data = {
        "url": texts.get("url"),
        "tracking_id": tracking_id,
        "item_id": item_id,
        "notification_id": notification_id,
    }
    return FcmPayload(
        notification={name: text for name, text in notification.items() if text},
        data={name: text for name, text in data.items() if text},
    )


def fcm_problem(content: Content, *, tracking_id: str, notification_id: str, item_id: str = "") -> str | None:
    """Tells in a sentence why FCM would refuse a content for its size, or None."""
    size = fcm_payload(content, tracking_id=tracking_id, notification_id=notification_id, item_id=item_id).size
    if size <= MAX_BYTES:
        return None
    return f"FCM takes at most {MAX_BYTES:,} bytes, but the push has {size:,}"
