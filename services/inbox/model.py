"""The inbox: items as their recipient sees them, what selects them, and what a mark makes of one."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from services.kernel.cursors import Cursor
    from services.kernel.vocabulary import Priority
    from services.notifications.model import Content


class Box(enum.StrEnum):
    """Where a visible item lies."""

    INBOX = "inbox"
    ARCHIVE = "archive"


class Mark(enum.StrEnum):
    """What a user did with an item."""

    SEEN = "SEEN"
    OPENED = "OPENED"
    CLICKED = "CLICKED"
    ARCHIVED = "ARCHIVED"
    FIRST_ACTION = "FIRST_ACTION"
    SECOND_ACTION = "SECOND_ACTION"


TIME_FIELDS = {
    Mark.SEEN: "seen_time",
    Mark.OPENED: "opened_time",
    Mark.CLICKED: "clicked_time",
    Mark.ARCHIVED: "archive_time",
    Mark.FIRST_ACTION: "first_action_time",
    Mark.SECOND_ACTION: "second_action_time",
}
"""The field of an item, stored and on the wire, that says when it got each mark; an item without a mark lacks it."""

_SETS = {
    Mark.SEEN: {Mark.SEEN},
    Mark.OPENED: {Mark.OPENED, Mark.SEEN},
    Mark.CLICKED: {Mark.CLICKED, Mark.OPENED, Mark.SEEN},
    Mark.ARCHIVED: {Mark.ARCHIVED, Mark.SEEN},
    Mark.FIRST_ACTION: {Mark.FIRST_ACTION, Mark.OPENED, Mark.SEEN},
    Mark.SECOND_ACTION: {Mark.SECOND_ACTION, Mark.OPENED, Mark.SEEN},
}
_CLEARS = {mark: {mark} for mark in Mark} | {
    Mark.SEEN: {Mark.SEEN, Mark.OPENED, Mark.CLICKED},
    Mark.OPENED: {Mark.SEEN, Mark.OPENED, Mark.CLICKED},
}


@dataclass(frozen=True, slots=True)
class Reply:
    """What a user answered to an item."""

    time: datetime
    text: str


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
    mark_times: Mapping[Mark, datetime] = field(default_factory=dict)
    """When it got each of the marks that it has."""

    replies: tuple[Reply, ...] = ()
    """The oldest first."""


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
class Tombstone:
    """What is left of an item that was taken back, deleted or expired."""

    id: str
    position: int
    """As in `Item`."""

    retract_time: datetime


@dataclass(frozen=True, slots=True)
class State:
    """An inbox at one moment of the cluster's time: its newest items, or what changed since another moment."""

    items: Sequence[Item | Tombstone]
    has_more: bool
    """Whether more were found than were asked for."""

    unread_count: int
    position: int
    """The moment, as in Item.position: every change up to it is in, and none after it."""

    incarnation: int | None
    """When the user's document was created, in milliseconds since 1970; None: there is none."""

    is_being_deleted: bool = False
    """Whether the user is being deleted at this moment; then nobody knows what belongs to whom."""


class SnapshotCause(enum.StrEnum):
    """Why a client that comes back is not told what changed, but gets its inbox anew."""

    NO_CURSOR = "NO_CURSOR"
    CURSOR_INVALID = "CURSOR_INVALID"
    CURSOR_TOO_OLD = "CURSOR_TOO_OLD"
    CURSOR_AHEAD = "CURSOR_AHEAD"
    OTHER_USER = "OTHER_USER"
    TOO_MANY_CHANGES = "TOO_MANY_CHANGES"


OVERLAP = timedelta(seconds=60)
"""How much older than a cursor a change may be stamped and yet have happened after it: 10 s at most, by far enough."""

MAX_CURSOR_AGE = timedelta(days=29)
"""Less than what is left of an item that was taken back is kept."""

MAX_CHANGES = 500


def changes_from(cursor: Cursor) -> int:
    """Gives the position from which on changes may be missing to the holder of a cursor."""
    return max(0, cursor.position - _ticks(OVERLAP))


def why_not_resumed(cursor: Cursor, state: State) -> SnapshotCause | None:
    """Tells why what was read since `changes_from` a cursor may lack a change or name another user's; None: it has all.

    Args:
        cursor: Where the client says it is; its signature is right.
        state: What was read since, at most `MAX_CHANGES`.
    """
    if cursor.incarnation != state.incarnation:
        return SnapshotCause.OTHER_USER
    if cursor.position > state.position:
        return SnapshotCause.CURSOR_AHEAD
    if state.position - cursor.position > _ticks(MAX_CURSOR_AGE):
        return SnapshotCause.CURSOR_TOO_OLD
    return SnapshotCause.TOO_MANY_CHANGES if state.has_more else None


def _ticks(span: timedelta) -> int:
    """Gives a span on the cluster's clock, which has the seconds in its upper 32 bits."""
    return round(span.total_seconds()) << 32


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of one item: marks that it gets or loses, a reply that is added, and whether it then counts."""

    sets: frozenset[Mark]
    clears: frozenset[Mark]
    adds_reply: bool
    unread: bool


@dataclass(frozen=True, slots=True)
class Marking:
    """What is to be done to items, with all that it implies; `marking` makes one."""

    sets: frozenset[Mark]
    clears: frozenset[Mark]
    reply: str = ""

    def change(self, marks: frozenset[Mark], *, last_reply: str = "") -> Change | None:
        """Gives what becomes of an item that has these marks and this last reply; None: it is so already."""
        sets, clears = self.sets - marks, self.clears & marks
        adds_reply = self.reply not in ("", last_reply)
        if not sets and not clears and not adds_reply:
            return None
        return Change(sets, clears, adds_reply, unread=is_unread((marks | sets) - clears))


def marking(set_marks: Iterable[Mark], clear_marks: Iterable[Mark], *, reply: str = "") -> Marking:
    """Works out what marks imply; none of ``clear_marks`` may be `implied` by the others.

    Where one mark is set and clearing another implies to clear it, it is set: "seen, but not opened" can be said.
    """
    sets = implied(set_marks, reply=reply)
    clears = frozenset(implied for mark in clear_marks for implied in _CLEARS[mark])
    return Marking(sets, clears - sets, reply)


def implied(set_marks: Iterable[Mark], *, reply: str = "") -> frozenset[Mark]:
    """Gives all marks that an item has once these are set and this is replied."""
    given = (*set_marks, Mark.OPENED) if reply else tuple(set_marks)
    return frozenset(implied for mark in given for implied in _SETS[mark])


def is_unread(marks: frozenset[Mark]) -> bool:
    """Tells whether a visible item with these marks counts as unread."""
    return not marks & {Mark.SEEN, Mark.ARCHIVED}
