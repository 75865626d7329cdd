"""The inbox between protobuf and the model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from carillon.v1 import inbox_pb2
from services.inbox.model import (
    TIME_FIELDS,
    Box,
    Item,
    ItemFilter,
    Mark,
    Marking,
    Selection,
    SnapshotCause,
    State,
    Tombstone,
    implied,
    marking,
)
from services.kernel import validation
from services.kernel.clock import to_milliseconds
from services.kernel.cluster_time import position_to_text
from services.kernel.paging import encode_page_token
from services.kernel.wire import EnumCodec, from_timestamp, to_timestamp
from services.notifications.convert import PRIORITIES, inapp_to_proto

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.kernel.validation import Violations
    from services.live.changes import UserKey

MAX_MARKED = 1000
MAX_REPLY_BYTES = 4096
_MAX_VALUES = 100
_CAUSES = EnumCodec(SnapshotCause, inbox_pb2.InboxSnapshotCause, prefix="INBOX_SNAPSHOT_CAUSE_")
_MARKS = EnumCodec(Mark, inbox_pb2.InboxMark, prefix="INBOX_MARK_")
_BOXES: dict[int, tuple[Box, ...]] = {
    inbox_pb2.INBOX_VIEW_UNSPECIFIED: (Box.INBOX,),
    inbox_pb2.INBOX_VIEW_INBOX: (Box.INBOX,),
    inbox_pb2.INBOX_VIEW_ARCHIVE: (Box.ARCHIVE,),
    inbox_pb2.INBOX_VIEW_ALL: (Box.INBOX, Box.ARCHIVE),
}


def boxes_from_proto(view: int, violations: Violations, *, field: str = "view") -> tuple[Box, ...]:
    """Reads which part of the inbox is meant."""
    boxes = _BOXES.get(view)
    if boxes is None:
        violations.add(field, f"has the unknown value {view}", "UNKNOWN_VALUE")
    return boxes or (Box.INBOX,)


def filter_from_proto(proto: inbox_pb2.InboxFilter, violations: Violations, *, field: str = "filter") -> ItemFilter:
    """Reads what narrows a list."""
    for name in ("notification_ids", "categories", "sections", "tags"):
        if (count := len(getattr(proto, name))) > _MAX_VALUES:
            violations.add(f"{field}.{name}", f"must be at most {_MAX_VALUES}, but are {count}", "TOO_MANY")
    return ItemFilter(
        unread=proto.unread if proto.HasField("unread") else None,
        notification_ids=tuple(proto.notification_ids),
        categories=tuple(proto.categories),
        sections=tuple(proto.sections),
        tags=tuple(proto.tags),
    )


def ids_from_proto(proto: inbox_pb2.ItemIds, violations: Violations) -> tuple[str, ...]:
    """Reads which items are meant."""
    field, count = "items.ids", len(proto.ids)
    if not 1 <= count <= MAX_MARKED:
        reason = "TOO_MANY" if count else "REQUIRED"
        violations.add(field, f"must be 1 to {MAX_MARKED}, but are {count}", reason)
        return ()
    return tuple(
        validation.lookup_id(item_id, violations, field=f"{field}[{index}]") for index, item_id in enumerate(proto.ids)
    )


def until_from_proto(proto: inbox_pb2.ItemsUntil, client_id: str, user_id: str, violations: Violations) -> Selection:
    """Reads which part of a user's inbox is meant, up to a time."""
    if not proto.HasField("time"):
        violations.add("until.time", "must be given: the date of the newest item that is meant", "REQUIRED")
    return Selection(
        client_id=client_id,
        user_id=user_id,
        boxes=boxes_from_proto(proto.view, violations, field="until.view"),
        narrowed=filter_from_proto(proto.filter, violations, field="until.filter"),
        before=from_timestamp(proto.time, violations, field="until.time"),
    )


def marking_from_proto(request: inbox_pb2.MarkInboxRequest, violations: Violations) -> Marking:
    """Reads what is to be done to items."""
    sets = _marks(request.set_marks, violations, field="set_marks")
    clears = _marks(request.clear_marks, violations, field="clear_marks")
    reply = validation.text(request.reply, violations, field="reply", max_bytes=MAX_REPLY_BYTES)
    if not request.set_marks and not request.clear_marks and not reply:
        violations.add("set_marks", "must name a mark, where there is neither one to clear nor a reply", "REQUIRED")

    all_set = implied(filter(None, sets), reply=reply)
    for index, mark in enumerate(clears):
        if mark in all_set:
            violations.add(f"clear_marks[{index}]", f"takes back {mark}, which the request also sets", "CONFLICT")
    return marking(filter(None, sets), filter(None, clears), reply=reply)


def _marks(numbers: Sequence[int], violations: Violations, *, field: str) -> list[Mark | None]:
    """Reads marks, each in its place; None stands for one that is wrong."""
    marks: list[Mark | None] = []
    for index, number in enumerate(numbers):
        path = f"{field}[{index}]"
        mark = _MARKS.from_wire(number, violations, field=path)
        if mark and mark in marks:
            violations.add(path, f"names {mark} a second time", "DUPLICATE")
        marks.append(mark)
    return marks


def page_filters(selection: Selection) -> dict[str, str]:
    """Gives what a page token of ListInbox is bound to."""
    return {"rpc": "ListInbox", "selection": repr(selection)}


def page_token_after(item: Item, selection: Selection) -> str:
    """Gives the token of the page of a selection that begins after an item."""
    return encode_page_token((to_milliseconds(item.date), item.id), page_filters(selection))


def welcome_to_proto(state: State, cause: SnapshotCause | None, key: UserKey) -> inbox_pb2.InboxWelcome:
    """Gives what brings a client up to date.

    Args:
        state: What was read.
        cause: Why it is the whole inbox; None: it is what changed.
        key: Whose inbox it is.
    """
    last = state.items[-1] if cause and state.has_more else None
    return inbox_pb2.InboxWelcome(
        next_page_token=page_token_after(last, Selection(*key)) if isinstance(last, Item) else "",
        resume=inbox_pb2.INBOX_RESUME_SNAPSHOT if cause else inbox_pb2.INBOX_RESUME_FULL,
        items=map(_change_to_proto, state.items),
        unread_count=state.unread_count,
        cause=_CAUSES.to_wire(cause) if cause else inbox_pb2.INBOX_SNAPSHOT_CAUSE_UNSPECIFIED,
    )


def _change_to_proto(change: Item | Tombstone) -> inbox_pb2.InboxItem:
    if isinstance(change, Item):
        return item_to_proto(change)
    rev = position_to_text(change.position)
    return inbox_pb2.InboxItem(id=change.id, rev=rev, retract_time=to_timestamp(change.retract_time))


def item_to_proto(item: Item) -> inbox_pb2.InboxItem:
    """Gives an item as it is answered."""
    return inbox_pb2.InboxItem(
        id=item.id,
        rev=position_to_text(item.position),
        notification_id=item.notification_id,
        sub_notification_id=item.sub_notification_id,
        secondary_id=item.secondary_id,
        content=inapp_to_proto(item.content),
        date=to_timestamp(item.date),
        unread=item.unread,
        expire_time=to_timestamp(item.expire_time),
        message_count=item.message_count,
        category=item.category,
        section=item.section,
        label=item.label,
        priority=PRIORITIES.to_wire(item.priority),
        tags=item.tags,
        replies=[inbox_pb2.InboxReply(time=to_timestamp(reply.time), text=reply.text) for reply in item.replies],
        **{TIME_FIELDS[mark]: to_timestamp(time) for mark, time in item.mark_times.items()},  # type: ignore[arg-type] # each is a time
    )
