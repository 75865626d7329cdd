"""The inbox: items as their recipient sees them, and what selects them."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from services.kernel.vocabulary import Priority
    from services.notifications.model import Content


class Box(enum.StrEnum):
    """Where a visible item lies."""

    INBOX = "inbox"
    ARCHIVE = "archive"


@dataclass(frozen=True, slots=True)
class Item:
    """One message as its recipient sees it."""

    id: str
    position: int
    """The time on the cluster's clock of its last visible change: seconds in the upper 32 bits, a counter below."""

    notification_id: str
    sub_notification_id: str
    secondary_id: str
    content: Content
    date: datetime
    unread: bool
    expire_time: datetime
    message_count: int
    category: str
    section: str
    label: str
    priority: Priority
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ItemFilter:
    """What narrows a list of items; what is empty does not."""

    unread: bool | None = None
    notification_ids: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    sections: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Selection:
    """Which part of one user's inbox a page is taken from."""

    client_id: str
    user_id: str
    boxes: tuple[Box, ...] = (Box.INBOX,)
    narrowed: ItemFilter = ItemFilter()
    before: datetime | None = None
    """Only items of this date or older."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An inbox at one moment of the cluster's time."""

    items: Sequence[Item]
    unread_count: int
    position: int
    """The moment, as in Item.position: every change up to it is in, and none after it."""
