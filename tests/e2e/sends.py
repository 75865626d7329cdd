"""Many sends by a client that loses answers and repeats what it has none for, as a careful backend does."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import grpc

from carillon.v1 import inbox_pb2, messages_pb2, sender_pb2

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.contract.services.world import Caller

IN_FLIGHT = 32
USERS = 20
_CALL_S = 30
# What says "nobody knows", or that the process at the other end is gone or coming back.
LOST = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED, grpc.StatusCode.DEADLINE_EXCEEDED)


@dataclass
class Sends:
    """Sends with request ids, and what is known of each."""

    name: str
    count: int
    acknowledged: dict[str, str] = field(default_factory=dict)
    """request_id to tracking_id: what the caller was told is stored."""

    lost: deque[str] = field(default_factory=deque)
    """The request ids of the calls that failed."""

    in_flight: int = 0
    problems: list[str] = field(default_factory=list)
    """Failures that no loss of a process explains."""

    replays: int = 0
    _progress: asyncio.Condition = field(default_factory=asyncio.Condition)

    def __post_init__(self) -> None:
        self._waiting = deque(f"{self.name}-{number}" for number in range(self.count))

    def user_id(self, request_id: str) -> str:
        """Gives the user of a request, always the same one."""
        return f"{self.name}-user-{int(request_id.rpartition('-')[2]) % USERS}"

    async def run(self, backend: Caller) -> None:
        """Sends all that waits, 32 at a time, each once; the answers that are lost are noted."""
        async with asyncio.TaskGroup() as tasks:
            for _ in range(IN_FLIGHT):
                tasks.create_task(self._work(backend))

    async def retry(self, backend: Caller) -> None:
        """Sends what was not acknowledged again, and again if it is lost again."""
        for _ in range(20):
            self._waiting.extend(self.lost)
            self.lost.clear()
            await self.run(backend)
            if not self.lost:
                return
        raise AssertionError(f"{len(self.lost)} calls are still lost")

    async def until_acknowledged(self, count: int) -> None:
        """Returns at the moment when so many are acknowledged and others are in flight."""
        async with asyncio.timeout(60), self._progress:
            await self._progress.wait_for(lambda: len(self.acknowledged) >= count and self.in_flight > 0)

    async def _work(self, backend: Caller) -> None:
        while self._waiting:
            request_id = self._waiting.popleft()
            self.in_flight += 1
            try:
                answer = await backend.sender.Send(self._request(request_id))
            except grpc.aio.AioRpcError as error:
                self.lost.append(request_id)
                if error.code() not in LOST:
                    self.problems.append(f"{request_id}: {error.code()} {error.details()}")
            else:
                self.acknowledged[request_id] = answer.tracking_id
                self.replays += answer.replayed
            finally:
                self.in_flight -= 1
            async with self._progress:
                self._progress.notify_all()

    def _request(self, request_id: str) -> sender_pb2.SendRequest:
        request = sender_pb2.SendRequest(notification_id="order_tracking", request_id=request_id)
        request.user.id = self.user_id(request_id)
        request.merge_tags.update({"item": request_id, "address": "124 Conch Street", "orderId": "1"})
        return request

    async def check(self, backend: Caller) -> None:
        """Asserts by log and inboxes that each request is one message: the one that was acknowledged."""
        assert self.problems == []
        assert len(self.acknowledged) == self.count
        users = sorted({self.user_id(request_id) for request_id in self.acknowledged})
        logged = await self._log(backend, users)
        assert len(logged) == len({request_id for request_id, _ in logged}), "a request id has two messages"
        assert dict(logged) == self.acknowledged

        shown = [item_id for user_id in users for item_id in await self._inbox(backend, user_id)]
        assert sorted(shown) == sorted(self.acknowledged.values())

    async def _log(self, backend: Caller, users: Sequence[str]) -> list[tuple[str, str]]:
        found: list[tuple[str, str]] = []
        token = ""
        while True:
            page = await backend.messages.ListMessages(
                messages_pb2.ListMessagesRequest(
                    page_size=1000, page_token=token, filter=messages_pb2.MessageFilter(user_ids=users)
                )
            )
            found += [(message.request_id, message.tracking_id) for message in page.messages]
            token = page.next_page_token
            if not token:
                return found

    async def _inbox(self, backend: Caller, user_id: str) -> list[str]:
        request = inbox_pb2.ListInboxRequest(user_id=user_id, page_size=1000)
        answer = await backend.inbox.ListInbox(request)
        assert not answer.next_page_token
        assert answer.total_count == len(answer.items)
        return [item.id for item in answer.items]
