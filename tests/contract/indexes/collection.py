"""A collection of messages as they are after a while: several environments and users, read, archived, retracted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import bson
from bson import Timestamp

from services.kernel.vocabulary import Channel, Priority
from services.messages.model import Delivery, DeliveryState, InboxItem, Message
from services.messages.store import encode
from services.notifications.model import Content

if TYPE_CHECKING:
    from collections.abc import Callable

    from pymongo.asynchronous.database import AsyncDatabase

CLIENT = "most"
USER = "user-1"
_NOTIFICATIONS = 10
_BATCH = 2000
_APART = timedelta(milliseconds=50)
_BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
# Far enough ahead that none expires while the tests run.
_LATE = _BEGIN.replace(year=9000)
EARLY = _BEGIN.replace(year=8000)
"""When the messages of one user expire; those of the others do so later."""

_EARLY_USER = "user-11"
DEFINED = tuple(f"notification-{number:03}" for number in range(100))
"""The definitions of the larger environment."""
RECEIVER = "receiver"
RECEIVED = DEFINED[7::10]
"""What the one user has received whose profile is there."""
WAITING = tuple(f"waiting-{number}" for number in range(4))
"""Messages that wait for their time."""
PUSHED_USER = "user-12"
"""Whose messages were pushed to their browsers, too."""


@dataclass(frozen=True, slots=True)
class Collection:
    """What was stored."""

    size: int
    users: int

    @property
    def per_user(self) -> int:
        """How many messages a user of the larger environment has, about."""
        return self.size // self.users

    def id(self, number: int) -> str:
        """Gives the tracking id of a message by its number, the oldest is 0."""
        return _tracking_id(number)

    def time(self, number: int) -> datetime:
        """Gives when a message was sent."""
        return _BEGIN + number * _APART

    def newest(self, user: int) -> int:
        """Gives the number of the newest visible message of a user of the larger environment."""
        return next(n for n in range(self.size - 1, 0, -1) if n % self.users == user and _is_ours(n) and _state(n) < 2)


async def fill(
    database: AsyncDatabase[Any], *, size: int, users: int, on_progress: Callable[[int], None] = lambda _: None
) -> Collection:
    """Stores so many messages, of which nine in ten belong to one environment."""
    template: dict[str, Any] = bson.decode(encode(_message()).raw, bson.CodecOptions(tz_aware=True))
    for start in range(0, size, _BATCH):
        documents = [_document(template, number, users) for number in range(start, min(start + _BATCH, size))]
        await database.messages.insert_many(documents, ordered=False)
        on_progress(start + len(documents))
    await database.messages.insert_many([encode(waiting_message(tracking_id)) for tracking_id in WAITING])
    await database.notifications.insert_many(map(_definition, DEFINED))
    await database.users.insert_one(
        {"_id": {"e": CLIENT, "u": RECEIVER}, "create_time": _BEGIN, "update_time": _BEGIN, "received": list(RECEIVED)}
    )
    return Collection(size, users)


def _definition(notification_id: str) -> dict[str, Any]:
    texts = dict.fromkeys(("title", "category", "section", "label", "etag"), "")
    times = {"create_time": _BEGIN, "update_time": _BEGIN}
    lists: dict[str, Any] = {"channels": [], "templates": []}
    key = {"e": CLIENT, "n": notification_id}
    return {"_id": key, "disabled": False, "priority": Priority.NORMAL.value, **texts, **times, **lists}


def waiting_message(tracking_id: str) -> Message:
    """Makes a message that waits for its time."""
    return replace(_message(), tracking_id=tracking_id, request_id=tracking_id, schedule_time=EARLY)


def _document(template: dict[str, Any], number: int, users: int) -> dict[str, Any]:
    time = _BEGIN + number * _APART
    notification_id = f"notification-{number * 7 // users % _NOTIFICATIONS}"
    client_id, user_id = CLIENT if _is_ours(number) else "other", f"user-{number % users}"
    document = template | {
        "_id": {"e": client_id, "u": user_id, "m": _tracking_id(number)},
        "notification_id": notification_id,
        "request_id": f"request-{number}",
        "tags": ["even" if number % 2 == 0 else "odd", *(["rare"] if number % 1000 == 1 else [])],
        "create_time": time,
        "expire_time": EARLY if user_id == _EARLY_USER else _LATE,
        "inapp": template["inapp"] | {"date": time, "notification_id": notification_id},
    }
    if user_id == PUSHED_USER:
        document["deliveries"] = [*document["deliveries"], {"channel": "WEB_PUSH", "state": "SENT"}]
    match _state(number):
        case 1:
            document["inapp"] |= {"unread": False, "seen_time": time}
        case 2:
            document["inapp"] |= {"unread": False, "seen_time": time, "archive_time": time, "box": "archive"}
        case 3:
            document["inapp"] |= {"unread": False, "retract_time": time}
            del document["inapp"]["box"]
    return document | {"changed": Timestamp(0, 0)}


def _is_ours(number: int) -> bool:
    return number * 13 % 10 != 0


def _state(number: int) -> int:
    """Unread, read, archived or retracted."""
    return number * 31 // 17 % 4


def _tracking_id(number: int) -> str:
    milliseconds = f"{int((_BEGIN + number * _APART).timestamp() * 1000):012x}"
    return f"{milliseconds[:8]}-{milliseconds[8:]}-7000-8000-{number:012x}"


def _message() -> Message:
    content = Content(Channel.INAPP_WEB, {"title": "Your order is on its way", "body": "x" * 200})
    return Message(
        client_id=CLIENT,
        user_id=USER,
        tracking_id="",
        notification_id="",
        sub_notification_id="",
        secondary_id="",
        group_id="",
        tags=(),
        priority=Priority.NORMAL,
        create_time=_BEGIN,
        expire_time=_LATE,
        deliveries=(
            Delivery(
                Channel.EMAIL, DeliveryState.PENDING, content=Content(Channel.EMAIL, {"subject": "x", "text": "y"})
            ),
            Delivery(Channel.INAPP_WEB, DeliveryState.DELIVERED, content=content),
        ),
        warnings=(),
        item=InboxItem(
            content=content,
            date=_BEGIN,
            notification_id="",
            sub_notification_id="",
            secondary_id="",
            category="orders",
            section="",
            label="",
            priority=Priority.NORMAL,
            tags=(),
        ),
        request=b"x" * 300,
        request_id="x",
        request_hash=b"x" * 32,
        category="orders",
    )
