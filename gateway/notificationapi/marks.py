"""The marks that NotificationAPI's clients set and take back. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from carillon.v1 import inbox_pb2
from gateway.notificationapi.items import MARKS
from services.kernel.errors import FieldViolation, InvalidArgument
from services.kernel.wire import to_timestamp

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    Setting = datetime | Literal[True] | None

_IMPLY_OPENED = ("clicked", "actioned1", "actioned2")


@dataclass(frozen=True, slots=True)
class Reply:
    """A user's answer to an item."""

    text: str
    time: datetime | None = None
    """None: now."""


def mark_requests(
    user_id: str, ids: Sequence[str], settings: Mapping[str, Setting], reply: Reply | None = None
) -> list[inbox_pb2.MarkInboxRequest]:
    """Gives what marks items: a request for each time that is named, in the order that they are to be made in.

    Args:
        user_id: Whose items.
        ids: Which.
        settings: By their name of a mark when it was set; True: now; None: it is taken back.
        reply: An answer to add.

    Raises:
        InvalidArgument: If it names nothing to do, or sets what it takes back.
    """
    # In the order of MARKS: `opened` first, so that none of those that imply it gives it another time.
    named = [name for name in MARKS if name in settings]
    _check(settings, named, reply)
    clears = [_number(name) for name in named if settings[name] is None]
    sets: dict[datetime | None, list[Any]] = {}
    for name in named:
        if (time := settings[name]) is not None:
            sets.setdefault(None if time is True else time, []).append(_number(name))
    if reply:
        sets.setdefault(reply.time, [])

    return [
        inbox_pb2.MarkInboxRequest(
            user_id=user_id,
            items=inbox_pb2.ItemIds(ids=ids),
            set_marks=marks,
            clear_marks=clears if position == 0 else (),
            mark_time=to_timestamp(time),
            reply=reply.text if reply and reply.time == time else "",
        )
        for position, (time, marks) in enumerate((sets or {None: []}).items())
    ]


def read_request(user_id: str, item_id: str) -> inbox_pb2.MarkInboxRequest:
    """Gives what marks one item as read, as "mark as read" of their clients means it: opened, and so seen."""
    return inbox_pb2.MarkInboxRequest(
        user_id=user_id, items=inbox_pb2.ItemIds(ids=[item_id]), set_marks=[inbox_pb2.INBOX_MARK_OPENED]
    )


def read_all_request(user_id: str, until: datetime) -> inbox_pb2.MarkInboxRequest:
    """Gives what marks as read all that is unread and not newer than a time."""
    return inbox_pb2.MarkInboxRequest(
        user_id=user_id,
        until=inbox_pb2.ItemsUntil(time=to_timestamp(until), filter=inbox_pb2.InboxFilter(unread=True)),
        set_marks=[inbox_pb2.INBOX_MARK_OPENED],
    )


def _check(settings: Mapping[str, Setting], named: Sequence[str], reply: Reply | None) -> None:
    if not named and not reply:
        raise _refused("opened", f"must be given, or one of {', '.join([*MARKS, 'reply'][1:])}: there is nothing to do")
    implying = [name for name in _IMPLY_OPENED if settings.get(name) is not None] + (["reply"] if reply else [])
    if implying and settings.get("opened", True) is None:
        raise _refused("opened", f"is taken back, but {implying[0]} sets it")


def _number(name: str) -> Any:
    # Any, since every generated enum is a type of its own.
    return inbox_pb2.InboxMark.Value(f"INBOX_MARK_{MARKS[name]}")


def _refused(field: str, description: str) -> InvalidArgument:
    return InvalidArgument([FieldViolation(field, description)])
