"""The users of one environment, what is done to their inboxes, and what they then are in the database."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import grpc

from carillon.v1 import delivery_pb2, inbox_pb2, messages_pb2, sender_pb2, users_pb2
from gateway.items import item_from_proto
from services.kernel.clock import new_id, utc_now
from tests.contract.services.requests import EMAIL, send_request
from tests.contract.services.world import reason
from tests.e2e.resume.accounts import Ledger
from tests.e2e.resume.model import Truth
from tests.e2e.resume.promises import Promises

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from tests.contract.services.world import Caller, Tenant
    from tests.e2e.resume.accounts import Accounts
    from tests.e2e.resume.model import Item

NOTIFICATIONS = ("order_tracking", "hello_world")
# Longer than the services themselves try: a call that was given up could still write after a quiet point.
_CALL_S = 60
_LOST = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED, grpc.StatusCode.DEADLINE_EXCEEDED)
_PAUSE_S = 0.1
_TOO_LATE = ("ALREADY_FIRED", "NOT_SCHEDULED", "MESSAGE_NOT_FOUND", "MESSAGE_DELETED")


class Gate:
    """Lets many pass at the same time, or one alone."""

    def __init__(self) -> None:
        self._inside = 0
        self._is_shut = False
        self._moved = asyncio.Condition()

    @asynccontextmanager
    async def passing(self) -> AsyncIterator[None]:
        """Passes together with others."""
        async with self._moved:
            await self._moved.wait_for(lambda: not self._is_shut)
            self._inside += 1
        try:
            yield
        finally:
            self._inside -= 1
            async with self._moved:
                self._moved.notify_all()

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """Passes once all others have, and none while it does."""
        async with self._moved:
            await self._moved.wait_for(lambda: not self._is_shut)
            self._is_shut = True
            await self._moved.wait_for(lambda: self._inside == 0)
        try:
            yield
        finally:
            self._is_shut = False
            async with self._moved:
                self._moved.notify_all()


class User:
    """One user, and what a backend does to them: each call is repeated until it is answered.

    Args:
        user_id: Their id.
        right: Their environment.
        late: The same, entered by the services whose clock is late.
        accounts: Where it is counted.
    """

    def __init__(self, user_id: str, right: Tenant, late: Tenant, accounts: Accounts) -> None:
        self.id = user_id
        self.right = right
        self.late = late
        self.ledger = Ledger(accounts, right.client_id, user_id)
        self.gate = Gate()
        """A deletion passes it alone: until it is answered nobody can say what belongs to whom."""

        self.sent: list[str] = []
        """The items that were sent and may still be there, or appear, the latest last."""

        self.promises = Promises(self.ledger)

    async def send(self, *, late: bool = False, inapp: bool = True, notification_id: str = NOTIFICATIONS[0]) -> str:
        """Sends, and gives the id of the message."""
        channels = [] if inapp else [EMAIL]
        request = send_request(notification_id, user={"id": self.id}, request_id=new_id(), force_channels=channels)
        backend = (self.late if late else self.right).backend
        async with self.gate.passing():
            doing = self.ledger.begin(1)
            answer = await answered(lambda: backend.sender.Send(request, timeout=_CALL_S))
            self.ledger.end(doing, "sent", int(inapp))
            if inapp:
                self.sent.append(answer.tracking_id)
        return str(answer.tracking_id)

    async def mark(self, request: inbox_pb2.MarkInboxRequest, *, late: bool = False) -> None:
        """Marks items."""
        request.user_id = self.id
        backend = (self.late if late else self.right).backend
        async with self.gate.passing():
            doing = self.ledger.begin(len(request.items.ids) or len(self.sent) + 100)
            answer = await answered(lambda: backend.inbox.MarkInbox(request, timeout=_CALL_S))
            self.ledger.end(doing, "marked", answer.changed_count)

    async def retract(self, request: sender_pb2.RetractRequest) -> None:
        """Takes items back."""
        request.user_id = self.id
        async with self.gate.passing():
            doing = self.ledger.begin(len(request.tracking_ids) or len(self.sent) + 100)
            answer = await answered(lambda: self.right.backend.sender.Retract(request, timeout=_CALL_S))
            self.ledger.end(doing, "retracted", answer.retracted_count)
            gone = set(request.tracking_ids)
            self.promises.release(gone)
            self.sent = [item_id for item_id in self.sent if gone and item_id not in gone]

    async def delete_message(self, tracking_id: str) -> None:
        """Deletes one message; that an earlier try, or somebody else, has done so is as good."""
        request = messages_pb2.DeleteMessageRequest(tracking_id=tracking_id)
        async with self.gate.passing():
            doing, count = self.ledger.begin(1), 1
            try:
                await answered(lambda: self.right.backend.messages.DeleteMessage(request, timeout=_CALL_S))
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.NOT_FOUND:
                    raise
                count = 0
            self.ledger.end(doing, "deleted", count)
            self.promises.release({tracking_id})

    async def schedule(self, ahead_s: float, *, late: bool = False) -> None:
        """Sends for a little later; then the worker sends it, and not before."""
        at, name = utc_now() + timedelta(milliseconds=round(ahead_s * 1000)), new_id()
        request = send_request(user={"id": self.id}, request_id=new_id(), secondary_id=name)
        request.schedule_time.FromDatetime(at)
        backend = (self.late if late else self.right).backend
        async with self.gate.passing():
            answer = await answered(lambda: backend.sender.Send(request, timeout=_CALL_S))
            self.promises.make(answer.tracking_id, at, name)
            self.sent.append(answer.tracking_id)

    async def update_schedule(self, tracking_id: str, ahead_s: float, *, late: bool = False) -> None:
        """Gives a message that may wait another time and another name."""
        at, name = utc_now() + timedelta(milliseconds=round(ahead_s * 1000)), new_id()
        new = sender_pb2.SendRequest(secondary_id=name)
        new.schedule_time.FromDatetime(at)
        request = sender_pb2.UpdateScheduleRequest(tracking_id=tracking_id, request=new)
        backend = (self.late if late else self.right).backend
        async with self.gate.passing(), self.promises.changing(tracking_id) as promise:
            if promise is None:
                return
            promise.widen(at, name)
            if await self._is_done(lambda: backend.sender.UpdateSchedule(request, timeout=_CALL_S)):
                promise.narrow(at, name)
                self.ledger.happened("schedules updated")

    async def cancel_schedule(self, tracking_id: str, *, late: bool = False) -> None:
        """Cancels a message that may wait."""
        request = sender_pb2.CancelScheduleRequest(tracking_id=tracking_id)
        backend = (self.late if late else self.right).backend
        async with self.gate.passing(), self.promises.changing(tracking_id) as promise:
            if promise is None:
                return
            if await self._is_done(lambda: backend.sender.CancelSchedule(request, timeout=_CALL_S)):
                self.promises.cancelled(tracking_id)
                self.ledger.happened("schedules cancelled")

    async def end_schedules(self, patience_s: float) -> None:
        """Waits until all that was scheduled has fired, and cancels what has not by then: a dead worker may hold it."""
        until = asyncio.get_running_loop().time() + patience_s
        while waiting := await self._waiting():
            if asyncio.get_running_loop().time() > until:
                await asyncio.gather(*map(self.cancel_schedule, waiting))
                return
            await asyncio.sleep(_PAUSE_S)

    async def _waiting(self) -> list[str]:
        """Gives those of the promised messages that wait."""
        if not self.promises.open:
            return []
        selected = messages_pb2.MessageFilter(
            tracking_ids=list(self.promises.open), states=[delivery_pb2.DELIVERY_STATE_SCHEDULED]
        )
        request = messages_pb2.ListMessagesRequest(filter=selected, page_size=1000)
        answer = await answered(lambda: self.right.backend.messages.ListMessages(request, timeout=_CALL_S))
        return [message.tracking_id for message in answer.messages]

    async def _is_done(self, call: Callable[[], Awaitable[Any]]) -> bool:
        """Makes a call about a message that waits; tells whether it did."""
        try:
            await answered(call)
        except grpc.aio.AioRpcError as error:
            if reason(error) not in _TOO_LATE:
                raise
            return False
        return True

    async def delete(self) -> None:
        """Deletes the user.

        By the services whose clock is late: what is written until a deletion is answered goes once more a minute later,
        and by the other clock that would be what they write in the next 40 s, which is said in services/README.md.
        """
        request = users_pb2.DeleteUserRequest(user_id=self.id)
        async with self.gate.alone():
            await answered(lambda: self.late.backend.users.DeleteUser(request, timeout=_CALL_S))
            self.ledger.deletions += 1
            self.sent.clear()
            self.promises.forget()

    async def truth(self) -> Truth:
        """Reads what the database has; nothing may be on its way."""
        request = inbox_pb2.ListInboxRequest(user_id=self.id, view=inbox_pb2.INBOX_VIEW_ALL, page_size=1000)
        items: dict[str, Item] = {}
        while True:
            page = await answered(lambda: self.right.backend.inbox.ListInbox(request, timeout=_CALL_S))
            items |= {item.id: item_from_proto(item) for item in page.items}
            request.page_token = page.next_page_token
            if not request.page_token:
                break
        count = inbox_pb2.CountUnreadRequest(user_id=self.id)
        answer = await answered(lambda: self.right.backend.inbox.CountUnread(count, timeout=_CALL_S))
        return Truth(items, answer.unread_count)

    def caller(self, *, late: bool) -> Caller:
        """Gives the stubs with the user's own credentials."""
        return (self.late if late else self.right).user(self.id)


async def answered(call: Callable[[], Awaitable[Any]]) -> Any:
    """Calls until there is an answer, or a refusal that would be the same again."""
    while True:
        try:
            return await call()
        except grpc.aio.AioRpcError as error:
            if error.code() not in _LOST and reason(error) != "STARTING":
                raise
        await asyncio.sleep(_PAUSE_S)


def marking(
    set_marks: Sequence[str] = (), clear_marks: Sequence[str] = (), *, ids: Sequence[str] = (), reply: str = ""
) -> inbox_pb2.MarkInboxRequest:
    """Makes a mark of items; without ids one of all that there are now."""
    request = inbox_pb2.MarkInboxRequest(
        set_marks=[inbox_pb2.InboxMark.Value(f"INBOX_MARK_{name}") for name in set_marks],
        clear_marks=[inbox_pb2.InboxMark.Value(f"INBOX_MARK_{name}") for name in clear_marks],
        reply=reply,
    )
    if ids:
        request.items.ids.extend(ids)
    else:
        request.until.time.GetCurrentTime()
        request.until.view = inbox_pb2.INBOX_VIEW_ALL
    return request
