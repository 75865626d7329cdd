"""What an Apple device is pushed: the JSON that APNs takes, and whether it fits. Pure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from services.kernel.vocabulary import Json
    from services.messages.options import ApnOptions, SendOptions
    from services.notifications.model import Content

MAX_PAYLOAD_BYTES = 4096

# As long as every tracking id, and so every item's id: a UUID.
_SOME_ID = "0" * 36


def apns_payload(
    content: Content, options: ApnOptions, *, tracking_id: str, notification_id: str, item_id: str = ""
) -> dict[str, Json]:
    """Gives the push that shows a content; beside ``aps``, which iOS reads, stands what the app reads."""
    texts = content.texts
    aps: dict[str, Json] = {"alert": {name: texts[name] for name in ("title", "body") if name in texts}}
    if options.badge is not None:
        aps["badge"] = options.badge
    if options.sound:
        aps["sound"] = options.sound
    if options.thread_id:
        aps["thread-id"] = options.thread_id
    if options.content_available:
        aps["content-available"] = 1
    if "image_url" in texts:
        # An extension of the app fetches the picture; iOS runs it only where this is set.
        aps["mutable-content"] = 1
    for_the_app = {
        "url": texts.get("url"),
        "image_url": texts.get("image_url"),
        "tracking_id": tracking_id,
        "item_id": item_id,
        "notification_id": notification_id,
    }
    return {"aps": aps} | {name: value for name, value in for_the_app.items() if value}


def payload_size(payload: dict[str, Json]) -> int:
    """Gives how many bytes a payload has, encoded as aioapns does it."""
    return len(json.dumps(payload, ensure_ascii=False).encode())


def too_large(content: Content, options: SendOptions, notification_id: str) -> str | None:
    """Tells why a content cannot be pushed to Apple's devices, or None where it can."""
    payload = apns_payload(
        content, options.apn, tracking_id=_SOME_ID, notification_id=notification_id, item_id=_SOME_ID
    )
    size = payload_size(payload)
    if size <= MAX_PAYLOAD_BYTES:
        return None
    return f"has {size} bytes as APNs' payload; APNs carries {MAX_PAYLOAD_BYTES}"
