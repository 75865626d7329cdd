"""Events and welcomes as WatchInbox streams them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from carillon.v1 import inbox_pb2
from services.inbox import convert
from services.inbox.store import item_of
from services.kernel.cluster_time import position_to_text
from services.kernel.vocabulary import Channel, Priority
from services.kernel.wire import to_timestamp
from services.live.changes import Created, PreferencesChanged, Retracted, Updated
from services.notifications.convert import PRIORITIES
from services.notifications.model import TEXTS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from services.live.changes import Event

_CONTENT = frozenset({"html", "actions", *(text.name for text in TEXTS[Channel.INAPP_WEB])})


def event_to_proto(event: Event) -> inbox_pb2.WatchInboxResponse:
    """Gives an event without its cursor: the same message for all who follow, so nobody may change it."""
    return event.in_form("proto", lambda: _to_proto(event))


def event_with_cursor(event: Event, cursor: str) -> inbox_pb2.WatchInboxResponse:
    """Gives an event as one stream sends it."""
    response = inbox_pb2.WatchInboxResponse(cursor=cursor)
    response.MergeFrom(event_to_proto(event))
    return response


def _to_proto(event: Event) -> inbox_pb2.WatchInboxResponse:
    response = inbox_pb2.WatchInboxResponse(unread_change=event.unread_change)
    match event.what:
        case Created(document):
            response.created.item.CopyFrom(convert.item_to_proto(item_of(document)))
        case Updated(ids, positions, values, removed):
            unset = sorted({*removed, *(name for name, value in values.items() if not value)})
            response.updated.CopyFrom(
                inbox_pb2.ItemsUpdated(
                    ids=ids,
                    revs=map(position_to_text, positions),
                    set=_fields({name: value for name, value in values.items() if value}),
                    # An empty value cannot be told from an absent one.
                    unset=[f"content.{name}" if name in _CONTENT else name for name in unset],
                )
            )
        case Retracted(ids):
            response.retracted.ids.extend(ids)
        case PreferencesChanged():
            response.preferences_changed.SetInParent()
    return response


def _fields(values: Mapping[str, Any]) -> inbox_pb2.InboxItem:
    """Gives an item that has these stored fields alone."""
    item = inbox_pb2.InboxItem()
    for name, value in values.items():
        match name:
            case "actions":
                for action in value:
                    item.content.actions.add(label=action["label"], url=action["url"])
            case "replies":
                for reply in value:
                    item.replies.add(time=to_timestamp(reply["time"]), text=reply["text"])
            case "tags":
                item.tags.extend(value)
            case "priority":
                item.priority = PRIORITIES.to_wire(Priority(value))
            case _ if name in _CONTENT:
                setattr(item.content, name, value)
            case _ if name == "date" or name.endswith("_time"):
                getattr(item, name).CopyFrom(to_timestamp(value))
            case _:
                setattr(item, name, value)
    return item
