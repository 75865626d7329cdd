"""What a backend does to the inbox of a user, and sees of it, over gRPC."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from carillon.v1 import inbox_pb2, sender_pb2
from tests.contract.services.requests import send_request

if TYPE_CHECKING:
    from tests.contract.services.world import Caller


async def send(backend: Caller, user_id: str, title: str, notification_id: str = "note", **fields: Any) -> str:
    """Sends one notification with that title, and gives its tracking id."""
    request = send_request(notification_id, user={"id": user_id}, merge_tags={"title": title}, **fields)
    answer: sender_pb2.SendResponse = await backend.sender.Send(request)
    return answer.tracking_id


async def retract(backend: Caller, user_id: str, notification_id: str) -> None:
    """Takes back all items of a notification."""
    await backend.sender.Retract(sender_pb2.RetractRequest(user_id=user_id, notification_id=notification_id))


async def mark(backend: Caller, user_id: str, item_id: str, mark: inbox_pb2.InboxMark.ValueType) -> None:
    """Marks an item."""
    ids = inbox_pb2.ItemIds(ids=[item_id])
    await backend.inbox.MarkInbox(inbox_pb2.MarkInboxRequest(user_id=user_id, items=ids, set_marks=[mark]))


async def items(
    backend: Caller, user_id: str, view: inbox_pb2.InboxView.ValueType = inbox_pb2.INBOX_VIEW_INBOX
) -> list[inbox_pb2.InboxItem]:
    """Gives the items of an inbox, the newest first."""
    answer = await backend.inbox.ListInbox(inbox_pb2.ListInboxRequest(user_id=user_id, view=view, page_size=1000))
    return list(answer.items)


async def count_unread(backend: Caller, user_id: str) -> int:
    """Gives the badge of an inbox."""
    answer: inbox_pb2.CountUnreadResponse = await backend.inbox.CountUnread(
        inbox_pb2.CountUnreadRequest(user_id=user_id)
    )
    return answer.unread_count
