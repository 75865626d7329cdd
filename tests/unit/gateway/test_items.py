from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from bson import Timestamp

from carillon.v1 import channel_pb2, content_pb2, inbox_pb2
from gateway.items import item_from_document, item_from_proto
from services.kernel.cluster_time import position_to_text

NOON = datetime(2026, 1, 2, 12, 0, 0, 678_000, tzinfo=UTC)
LATER = datetime(2026, 1, 3, tzinfo=UTC)
REV = 0x6957_B5C0_0000_0002

DOCUMENT: dict[str, Any] = {
    "_id": {"e": "dev", "u": "u1", "m": "m1"},
    "changed": Timestamp(REV >> 32, REV & 0xFFFF_FFFF),
    "expire_time": LATER,
    "inapp": {
        "box": "inbox",
        "date": NOON,
        "unread": True,
        "notification_id": "order_tracking",
        "sub_notification_id": "eu",
        "secondary_id": "s1",
        "title": "Shipped",
        "body": "<b>Soon</b>",
        "html": True,
        "url": "/orders/1",
        "image_url": "https://x/i.png",
        "icon_url": "https://x/c.png",
        "actions": [{"label": "Track", "url": "/t"}, {"label": "Later"}],
        "message_count": 3,
        "category": "orders",
        "section": "news",
        "label": "L",
        "priority": "HIGH",
        "tags": ["a", "b"],
        "replies": [{"time": NOON, "text": "yes"}, {"time": LATER, "text": "no"}],
        **dict.fromkeys(("seen_time", "opened_time", "clicked_time", "archive_time"), NOON),
        **dict.fromkeys(("first_action_time", "second_action_time"), LATER),
    },
}


def test_an_item_is_the_same_from_the_services_and_from_the_database() -> None:
    """A full item gives the same JSON both ways, with times to the millisecond."""
    item = item_from_document(DOCUMENT)

    assert item == item_from_proto(_proto(DOCUMENT))
    assert list(item) == list(item_from_proto(_proto(DOCUMENT)))
    assert item["rev"] == "6957b5c000000002"
    assert item["date"] == "2026-01-02T12:00:00.678Z"
    assert item["actions"] == [{"label": "Track", "url": "/t"}, {"label": "Later"}]
    assert item["replies"] == [
        {"time": "2026-01-02T12:00:00.678Z", "text": "yes"},
        {"time": "2026-01-03T00:00:00.000Z", "text": "no"},
    ]
    assert set(item) == {"id", "rev", "expire_time", *DOCUMENT["inapp"]} - {"box"}


def test_what_is_empty_is_left_out() -> None:
    """A bare item has the fields that every item has, and no others, both ways."""
    inapp = {"box": "inbox", "date": NOON, "unread": False, "notification_id": "n", "title": "t", "message_count": 1}
    bare = {"_id": DOCUMENT["_id"], "changed": Timestamp(1, 2), "inapp": inapp | {"priority": "NORMAL"}}

    assert item_from_document(bare) == item_from_proto(_proto(bare))
    assert item_from_document(bare) == {
        "id": "m1",
        "rev": "0000000100000002",
        "notification_id": "n",
        "title": "t",
        "date": "2026-01-02T12:00:00.678Z",
        "unread": False,
        "message_count": 1,
        "priority": "NORMAL",
    }


def test_positions_order_as_text() -> None:
    """A later moment has the greater text."""
    assert position_to_text(9) < position_to_text(10) < position_to_text(1 << 63)


def _proto(document: dict[str, Any]) -> inbox_pb2.InboxItem:
    """The item as the services would send it."""
    inapp = dict(document["inapp"])
    del inapp["box"]
    actions = [content_pb2.InappAction(**action) for action in inapp.pop("actions", [])]
    names = ("title", "body", "html", "url", "image_url", "icon_url")
    content = content_pb2.InappContent(actions=actions, **{name: inapp.pop(name) for name in names if name in inapp})
    replies = [inbox_pb2.InboxReply(**reply) for reply in inapp.pop("replies", [])]
    priority = channel_pb2.Priority.Value(f"PRIORITY_{inapp.pop('priority')}")
    rev = f"{document['changed'].time:08x}{document['changed'].inc:08x}"
    if "expire_time" in document:
        inapp["expire_time"] = document["expire_time"]
    return inbox_pb2.InboxItem(
        id=document["_id"]["m"], rev=rev, content=content, priority=priority, replies=replies, **inapp
    )
