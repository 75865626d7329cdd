"""What bounds the calls of one provider at a time; those of single sends go before those of bulk."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PATIENCE_S = 5.0


class BusyError(Exception):
    """A provider does not keep up: whoever waits for it takes the room of what others carry."""


class Bulkhead:
    """Lets ``size`` callers in at once, the others wait: by lane, and within a lane in their order.

    Not asyncio's semaphore, whose queue has one order: 250 mails of a broadcast would stand before a password mail.

    Args:
        size: How many are in at once.
        patience_s: How long one waits. Once one has waited in vain, nobody begins to wait for as long.
    """

    def __init__(self, size: int, *, patience_s: float = PATIENCE_S) -> None:
        self._free = size
        self._patience_s = patience_s
        self._busy_until = 0.0
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    @asynccontextmanager
    async def enter(self, lane: int) -> AsyncIterator[None]:
        """Waits for a place and keeps it for the block.

        Args:
            lane: The lower goes first.

        Raises:
            BusyError: If it takes too long, or has just taken too long for another.
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
        loop = asyncio.get_running_loop()
        if loop.time() < self._busy_until:
            raise BusyError
        place: asyncio.Future[None] = loop.create_future()
        heapq.heappush(self._waiting, (lane, next(self._order), place))
        try:
            async with asyncio.timeout(self._patience_s):
                await self._wait(place)
        except TimeoutError:
            self._busy_until = loop.time() + self._patience_s
            raise BusyError from None

    async def _wait(self, place: asyncio.Future[None]) -> None:
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
