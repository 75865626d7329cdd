"""What a browser is pushed: the JSON that its service worker reads, ours or that of NotificationAPI. Pure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from services.messages.options import SendOptions
    from services.notifications.model import Content

MAX_PAYLOAD_BYTES = 3993
"""What encrypts to 4,096 bytes, which every push service has to take (RFC 8291, section 4)."""

# As long as every tracking id, and so every item's id: a UUID.
_SOME_ID = "0" * 36


def web_push_payload(content: Content, *, tracking_id: str, item_id: str = "", logo_url: str = "") -> bytes:
    """Gives the push that shows a content.

    Args:
        content: The rendered content.
        tracking_id: Of the message: by it the service worker knows one that comes twice.
        item_id: The inbox item that a retraction closes it with; empty where there is none.
        logo_url: The picture where the content has none; left out where it does not fit.
    """
    push = dict(content.texts) | {"tracking_id": tracking_id}
    # What comes twice replaces the first also where there is no item.
    push |= {"item_id": item_id} if item_id else {"tag": tracking_id}
    if logo_url and "icon_url" not in push:
        with_logo = _encode(push | {"icon_url": logo_url})
        if len(with_logo) <= MAX_PAYLOAD_BYTES:
            return with_logo
    return _encode(push)


def notificationapi_payload(content: Content, *, tracking_id: str, item_id: str = "", logo_url: str = "") -> bytes:
    """Gives the same push to NotificationAPI's service worker; never larger than ours. Arguments as above.

    The source of its names is the published worker of their js-client: title, message, icon, tag, url.
    """
    names = {"title": "title", "body": "message", "url": "url", "icon_url": "icon"}
    push = {"message": "", **{names[name]: text for name, text in content.texts.items()}, "tag": item_id or tracking_id}
    if logo_url and "icon" not in push:
        with_logo = _encode(push | {"icon": logo_url})
        if len(with_logo) <= MAX_PAYLOAD_BYTES:
            return with_logo
    return _encode(push)


def closing_payload(item_id: str) -> bytes:
    """Gives the push that closes what is shown of an item."""
    return _encode({"retract": True, "tag": item_id})


def too_large(content: Content, options: SendOptions, notification_id: str) -> str | None:
    """Tells why a content cannot be pushed to a browser, or None where it can."""
    size = len(web_push_payload(content, tracking_id=_SOME_ID, item_id=_SOME_ID))
    if size <= MAX_PAYLOAD_BYTES:
        return None
    return f"has {size} bytes as the JSON that is pushed; a browser is pushed at most {MAX_PAYLOAD_BYTES}"


def _encode(push: Mapping[str, object]) -> bytes:
    return json.dumps(push, ensure_ascii=False, separators=(",", ":")).encode()
