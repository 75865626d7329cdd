"""What a device is told over FCM, and whether it fits. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from services.messages.options import SendOptions
    from services.notifications.model import Content

MAX_PAYLOAD_BYTES = 4096

# As long as every tracking id, and so every item's id: a UUID.
_SOME_ID = "0" * 36


@dataclass(frozen=True, slots=True)
class FcmPayload:
    """What the device shows, and the data that the app reads; all of it texts, as FCM wants it."""

    notification: Mapping[str, str] = field(repr=False)
    data: Mapping[str, str] = field(repr=False)

    @property
    def size(self) -> int:
        """How many bytes of FCM's limit it takes: the options do not count."""
        payload = {"notification": dict(self.notification), "data": dict(self.data)}
        return len(json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode())


def fcm_payload(content: Content, *, tracking_id: str, notification_id: str, item_id: str = "") -> FcmPayload:
    """Gives what a device is told; an empty text is left out."""
    texts = content.texts
    shown = {"title": texts.get("title"), "body": texts.get("body"), "image": texts.get("image_url")}
    for_the_app = {
        "url": texts.get("url"),
        "tracking_id": tracking_id,
        "item_id": item_id,
        "notification_id": notification_id,
    }
    return FcmPayload(
        notification={name: text for name, text in shown.items() if text},
        data={name: text for name, text in for_the_app.items() if text},
    )


def too_large(content: Content, _options: SendOptions, notification_id: str) -> str | None:
    """Tells why a content cannot be pushed over FCM, or None where it can."""
    size = fcm_payload(content, tracking_id=_SOME_ID, notification_id=notification_id, item_id=_SOME_ID).size
    if size <= MAX_PAYLOAD_BYTES:
        return None
    return f"has {size} bytes as FCM's payload; FCM carries {MAX_PAYLOAD_BYTES}"
