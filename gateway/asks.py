"""Requests of a client as the services take them, and their answers as a client gets them. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from carillon.v1 import inbox_pb2
from gateway.items import iso, item_from_proto
from services.kernel.wire import to_timestamp

if TYPE_CHECKING:
    from gateway.requests import Filter, ListItems, MarkItems, RenewToken

# What a frame calls otherwise than the proto.
_FRAME_PATHS = {"page_size": "limit", "items": "ids", "items.ids": "ids", "set_marks": "set", "clear_marks": "clear"}


def list_to_proto(request: ListItems, user_id: str) -> inbox_pb2.ListInboxRequest:
    """Gives what ListInbox takes."""
    return inbox_pb2.ListInboxRequest(
        user_id=user_id,
        page_size=request.limit,
        page_token=request.page_token,
        view=_view(request.view),
        filter=_filter(request.narrowed),
        before_time=to_timestamp(request.before_time),
    )


def list_result(answer: inbox_pb2.ListInboxResponse) -> dict[str, Any]:
    """Gives a page of items."""
    return {
        "items": [item_from_proto(item) for item in answer.items],
        "next_page_token": answer.next_page_token,
        "unread_count": answer.unread_count,
    }


def mark_to_proto(request: MarkItems, user_id: str) -> inbox_pb2.MarkInboxRequest:
    """Gives what MarkInbox takes."""
    proto = inbox_pb2.MarkInboxRequest(
        user_id=user_id,
        set_marks=map(_mark, request.sets),
        clear_marks=map(_mark, request.clears),
        reply=request.reply,
    )
    if request.until:
        until = request.until
        proto.until.CopyFrom(
            inbox_pb2.ItemsUntil(time=to_timestamp(until.time), view=_view(until.view), filter=_filter(until.narrowed))
        )
    else:
        proto.items.ids.extend(request.ids)
    return proto


def mark_result(answer: inbox_pb2.MarkInboxResponse) -> dict[str, Any]:
    """Gives what a mark has changed."""
    return {"changed_count": answer.changed_count, "unread_count": answer.unread_count}


def renew_result(answer: inbox_pb2.CountUnreadResponse, request: RenewToken) -> dict[str, Any]:
    """Gives until when a new token lets the session last."""
    return {"unread_count": answer.unread_count, "expire_time": iso(request.token.expire_time)}


def frame_path(path: str) -> str:
    """Gives the field of a frame that a path of the proto stands for."""
    name, bracket, rest = path.partition("[")
    return _FRAME_PATHS.get(name, name) + bracket + rest


def _filter(narrowed: Filter) -> inbox_pb2.InboxFilter:
    return inbox_pb2.InboxFilter(
        unread=narrowed.unread,
        notification_ids=narrowed.notification_ids,
        categories=narrowed.categories,
        sections=narrowed.sections,
        tags=narrowed.tags,
    )


def _view(name: str) -> Any:
    return inbox_pb2.InboxView.Value(f"INBOX_VIEW_{name or 'UNSPECIFIED'}")


def _mark(name: str) -> Any:
    return inbox_pb2.InboxMark.Value(f"INBOX_MARK_{name}")
