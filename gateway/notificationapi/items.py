"""Items as NotificationAPI's clients read them, made of the items of our own frames. Pure."""

from __future__ import annotations

from datetime import datetime
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

MARKS = {
    "opened": "OPENED",
    "clicked": "CLICKED",
    "archived": "ARCHIVED",
    "actioned1": "FIRST_ACTION",
    "actioned2": "SECOND_ACTION",
}
"""Our mark for each of theirs."""

_TIMES = {
    "opened": "opened_time",
    "clicked": "clicked_time",
    "archived": "archive_time",
    "actioned1": "first_action_time",
    "actioned2": "second_action_time",
}


def item_to_json(item: Mapping[str, Any]) -> dict[str, Any]:
    """Gives an item in their words: what ``InAppNotification`` of their core has, which their js-client reads too.

    Their clients put the title into the page as HTML, and show nothing else of an item: so plain text is escaped here,
    and the body, which they do not know, follows the title.
    """
    texts = [text if item.get("html") else escape(text) for text in (item["title"], item.get("body", "")) if text]
    optional = {
        "subNotificationId": item.get("sub_notification_id"),
        "redirectURL": item.get("url"),
        "imageURL": item.get("image_url") or item.get("icon_url"),
        **{name: item.get(field) for name, field in _TIMES.items()},
        "replies": [{"date": reply["time"], "message": reply["text"]} for reply in item.get("replies", ())],
        "expDate": _seconds(item.get("expire_time")),
    }
    return {
        "id": item["id"],
        "notificationId": item["notification_id"],
        # Whatever marks an item, archives included, makes it read with us; theirs ask again for ever where it does not.
        "seen": not item["unread"],
        "title": "<br>".join(texts),
        "date": item["date"],
        **{name: value for name, value in optional.items() if value},
    }


def _seconds(time: str | None) -> int | None:
    # As a text their react would hide the item until then; a number of seconds it takes for a moment of 1970.
    return int(datetime.fromisoformat(time).timestamp()) if time else None
