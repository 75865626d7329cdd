"""What bounds the calls of one provider at a time; those of single sends go before those of bulk."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Bulkhead:
    """Lets ``size`` callers in at once, the others wait: by lane, and within a lane in their order.

    Not asyncio's semaphore, whose queue has one order: 250 mails of a broadcast would stand before a password mail.
    """

    def __init__(self, size: int) -> None:
        self._free = size
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    @asynccontextmanager
    async def enter(self, lane: int) -> AsyncIterator[None]:
        """Waits for a place and keeps it for the block.

        Args:
            lane: The lower goes first.
        """
        await self._acquire(lane)
        try:
            yield
        finally:
            self._free += 1
            self._let_in()

    async def _acquire(self, lane: int) -> None:
        if self._free:
            self._free -= 1
            return
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (lane, next(self._order), place))
        try:
            await place
        except asyncio.CancelledError:
            # Cancelled in the turn in which it was let in: the place is another's.
            if place.done() and not place.cancelled():
                self._free += 1
                self._let_in()
            raise

    def _let_in(self) -> None:
        while self._free and self._waiting:
            _, _, place = heapq.heappop(self._waiting)
            # Who was cancelled while waiting has left a place that nobody takes.
            if not place.done():
                self._free -= 1
                place.set_result(None)
