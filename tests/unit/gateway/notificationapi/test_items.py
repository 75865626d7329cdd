from __future__ import annotations

from typing import Any

import pytest

from gateway.notificationapi.items import item_to_json

DATE = "2026-01-02T12:00:00.678Z"
ITEM: dict[str, Any] = {
    "id": "m1",
    "rev": "6957b5c000000002",
    "notification_id": "order_tracking",
    "title": "Shipped",
    "date": DATE,
    "unread": True,
    "message_count": 1,
    "priority": "NORMAL",
}


def test_a_small_item() -> None:
    """What is always there is there; nothing else is, not even as null."""
    assert item_to_json(ITEM) == {
        "id": "m1",
        "notificationId": "order_tracking",
        "seen": False,
        "title": "Shipped",
        "date": DATE,
    }


def test_a_whole_item() -> None:
    """Every field that they know has their name; times stay as they are, but expDate is a number of seconds."""
    item = ITEM | {
        "unread": False,
        "sub_notification_id": "eu",
        "url": "/orders/1",
        "image_url": "https://x/i.png",
        "icon_url": "https://x/c.png",
        "seen_time": DATE,
        "opened_time": "2026-01-02T12:00:01.000Z",
        "clicked_time": "2026-01-02T12:00:02.000Z",
        "archive_time": "2026-01-02T12:00:03.000Z",
        "first_action_time": "2026-01-02T12:00:04.000Z",
        "second_action_time": "2026-01-02T12:00:05.000Z",
        "replies": [{"time": DATE, "text": "yes"}],
        "expire_time": "2026-01-03T00:00:00.999Z",
        "secondary_id": "s1",
        "tags": ["a"],
    }

    assert item_to_json(item) == {
        "id": "m1",
        "notificationId": "order_tracking",
        "subNotificationId": "eu",
        "seen": True,
        "title": "Shipped",
        "redirectURL": "/orders/1",
        "imageURL": "https://x/i.png",
        "date": DATE,
        "opened": "2026-01-02T12:00:01.000Z",
        "clicked": "2026-01-02T12:00:02.000Z",
        "archived": "2026-01-02T12:00:03.000Z",
        "actioned1": "2026-01-02T12:00:04.000Z",
        "actioned2": "2026-01-02T12:00:05.000Z",
        "replies": [{"date": DATE, "message": "yes"}],
        "expDate": 1767398400,
    }


@pytest.mark.parametrize("unread", [True, False])
def test_seen_is_the_opposite_of_unread(unread: bool) -> None:
    """Whatever made an item read, they take it for seen."""
    assert item_to_json(ITEM | {"unread": unread})["seen"] is not unread


@pytest.mark.parametrize(
    ("texts", "title"),
    [
        ({"title": "<b>5 & 6</b>"}, "&lt;b&gt;5 &amp; 6&lt;/b&gt;"),
        ({"title": "<b>5 &amp; 6</b>", "html": True}, "<b>5 &amp; 6</b>"),
        ({"title": "Tom's", "body": 'a "b" <i>'}, "Tom&#x27;s<br>a &quot;b&quot; &lt;i&gt;"),
        ({"title": "A", "body": "<i>b</i>", "html": True}, "A<br><i>b</i>"),
        ({"title": "", "body": "b"}, "b"),
        ({"title": ""}, ""),
    ],
)
def test_a_title_is_html(texts: dict[str, Any], title: str) -> None:
    """They put it into the page as HTML: plain text is escaped, and the body, which they do not know, follows."""
    assert item_to_json(ITEM | texts)["title"] == title


def test_an_icon_stands_in_for_an_image() -> None:
    """They know only the image."""
    assert item_to_json(ITEM | {"icon_url": "/c.png"})["imageURL"] == "/c.png"
