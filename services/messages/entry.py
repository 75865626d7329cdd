"""The log's view of messages: what it tells of one, what narrows it, and how a page is put together."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from services.kernel.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from services.inbox.model import Reply
    from services.kernel.vocabulary import Channel, Priority
    from services.messages.model import Call, Delivery, SendWarning

# A tracking id is made right after create_time is read, so their times differ by far less than this.
_SLACK_MS = 1000


@dataclass(frozen=True, slots=True)
class ItemMarks:
    """What a user did with an inbox item."""

    times: Mapping[str, datetime]
    """By the proto's names, as ``seen_time``; what has not happened is absent."""

    replies: tuple[Reply, ...] = ()


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One message, as the log tells of it."""

    tracking_id: str
    user_id: str
    notification_id: str
    deliveries: tuple[Delivery, ...]
    create_time: datetime
    expire_time: datetime
    schedule_time: datetime | None
    """Absent: it was planned at once."""

    sub_notification_id: str
    secondary_id: str
    request_id: str
    group_id: str
    tags: tuple[str, ...]
    priority: Priority
    category: str
    section: str
    warnings: tuple[SendWarning, ...]
    marks: ItemMarks | None
    """Absent where INAPP_WEB was not planned."""

    request: bytes
    """The SendRequest, without its request_id; empty unless the whole message was asked for."""

    size: int = field(compare=False)
    """What it took in storage, in bytes: more than it takes in an answer."""

    call: Call | None = None
    """Absent for one that was stored before calls were."""


@dataclass(frozen=True, slots=True)
class LogFilter:
    """What narrows the log; what is empty does not."""

    user_ids: tuple[str, ...] = ()
    notification_ids: tuple[str, ...] = ()
    sub_notification_ids: tuple[str, ...] = ()
    channels: tuple[Channel, ...] = ()
    states: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    start_time: datetime | None = None
    end_time: datetime | None = None
    group_ids: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    tracking_ids: tuple[str, ...] = ()
    request_ids: tuple[str, ...] = ()
    secondary_ids: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    sections: tuple[str, ...] = ()

    @property
    def lowest_id(self) -> str:
        """The tracking id that none of the start time or later lies below."""
        return _first_id(self.start_time, -_SLACK_MS) if self.start_time else ""

    @property
    def highest_id(self) -> str:
        """The tracking id that none of before the end time lies at or above; empty: there is no end."""
        return _first_id(self.end_time, _SLACK_MS) if self.end_time else ""


@dataclass(frozen=True, slots=True)
class LogPage:
    """A part of the log, the newest first: all that was asked for from its beginning down to ``end``."""

    entries: tuple[LogEntry, ...] = ()
    end: str = ""
    """A tracking id: what is below was not read. Empty: there is nothing below."""

    def joined(self, other: LogPage, *, limit: int, max_bytes: int) -> LogPage:
        """Gives one page of two that begin at the same place: down to where both of them are whole, within limits."""
        end = max(self.end, other.end)
        both = (entry for entry in (*self.entries, *other.entries) if entry.tracking_id >= end)
        entries = sorted(both, key=lambda entry: entry.tracking_id, reverse=True)
        kept = _that_fit(entries[:limit], max_bytes)
        return LogPage(kept, kept[-1].tracking_id if len(kept) < len(entries) else end)


def message_not_found(tracking_id: str) -> NotFound:
    """Makes the error for a message that the environment does not have."""
    return NotFound("message", tracking_id, reason="MESSAGE_NOT_FOUND")


def _that_fit(entries: Iterable[LogEntry], max_bytes: int) -> tuple[LogEntry, ...]:
    kept: list[LogEntry] = []
    for entry in entries:
        max_bytes -= entry.size
        # The first is never left out: a page without it would have to be asked for again and again.
        if kept and max_bytes < 0:
            break
        kept.append(entry)
    return tuple(kept)


def _first_id(time: datetime, offset_ms: int) -> str:
    """Gives what a UUIDv7 of this time begins with: its first 48 bits are the milliseconds since 1970."""
    digits = f"{max(int(time.timestamp() * 1000) + offset_ms, 0):012x}"
    return f"{digits[:8]}-{digits[8:]}"
