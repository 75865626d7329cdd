"""The inbox between protobuf and the model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from carillon.v1 import inbox_pb2
from services.inbox.model import Box, Item, ItemFilter
from services.kernel.cluster_time import position_to_text
from services.kernel.wire import to_timestamp
from services.notifications.convert import PRIORITIES, inapp_to_proto

if TYPE_CHECKING:
    from services.kernel.validation import Violations

_MAX_VALUES = 100
_BOXES: dict[int, tuple[Box, ...]] = {
    inbox_pb2.INBOX_VIEW_UNSPECIFIED: (Box.INBOX,),
    inbox_pb2.INBOX_VIEW_INBOX: (Box.INBOX,),
    inbox_pb2.INBOX_VIEW_ARCHIVE: (Box.ARCHIVE,),
    inbox_pb2.INBOX_VIEW_ALL: (Box.INBOX, Box.ARCHIVE),
}


def boxes_from_proto(view: int, violations: Violations) -> tuple[Box, ...]:
    """Reads which part of the inbox is meant."""
    boxes = _BOXES.get(view)
    if boxes is None:
        violations.add("view", f"has the unknown value {view}", "UNKNOWN_VALUE")
    return boxes or (Box.INBOX,)


def filter_from_proto(proto: inbox_pb2.InboxFilter, violations: Violations) -> ItemFilter:
    """Reads what narrows a list."""
    for name in ("notification_ids", "categories", "sections", "tags"):
        if (count := len(getattr(proto, name))) > _MAX_VALUES:
            violations.add(f"filter.{name}", f"must be at most {_MAX_VALUES}, but are {count}", "TOO_MANY")
    return ItemFilter(
        unread=proto.unread if proto.HasField("unread") else None,
        notification_ids=tuple(proto.notification_ids),
        categories=tuple(proto.categories),
        sections=tuple(proto.sections),
        tags=tuple(proto.tags),
    )


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
    )
