"""Coalescing: what many callers ask for at the same moment is asked of the database once.

One operation for each caller is bound by the driver's cost of an operation; one for a hundred callers costs little more
than one for one. There is no timer: a flush begins once the loop has turned a few times without a new caller. In an
idle loop that is at once (ten turns are some 20 µs); in a busy one those who are on their way get in.

A flush belongs to nobody. A caller waits on a future of its own: cancelled before the flush, it leaves the queue;
after it, it only stops listening, and the flush goes on for the others.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from contextvars import copy_context
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Generic, Self, TypeVar

from services.kernel.errors import LimitExceeded

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from types import TracebackType

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much is flushed at once, and how much may wait."""

    flush_items: int = 1000
    flush_bytes: int = 8 * 1024 * 1024
    in_flight: int = 2
    """How many flushes run at once. With one, a caller waits for half of another's flush; four gain nothing."""

    quiet_turns: int = 10
    """After how many turns of the loop without a new caller a flush begins. A call takes several to come this far."""

    gather_turns: int = 100
    """After how many turns it begins in any case."""

    queue_items: int = 20_000
    queue_bytes: int = 128 * 1024 * 1024


@dataclass(slots=True)
class _Waiting(Generic[T]):
    item: T
    size: int


class Coalescer(Generic[T, R]):
    """Gathers items and hands them to ``flush``, in the order in which they came; works inside of ``async with``.

    Args:
        flush: Takes the items of one flush and gives one outcome for each, in their order: a result, or the exception
            that its caller gets. What it raises itself, every caller of the flush gets.
        bounds: How much is flushed at once, and how much may wait.
    """

    def __init__(
        self, flush: Callable[[Sequence[T]], Awaitable[Sequence[R | Exception]]], bounds: Bounds = Bounds()
    ) -> None:
        self._flush = flush
        self._bounds = bounds
        # By the caller's future, so that one who is cancelled leaves from the middle at no cost.
        self._queue: OrderedDict[asyncio.Future[R], _Waiting[T]] = OrderedDict()
        self._queued_bytes = 0
        self._in_flight = 0
        self._is_scheduled = False

    async def __aenter__(self) -> Self:
        self._tasks = await asyncio.TaskGroup().__aenter__()
        # A flush inherits nothing of the caller who happens to set it off: neither what is bound to log lines, nor a
        # deadline.
        self._context = copy_context()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # Flushes that are under way or due end first: their callers are waiting.
        while error is None and self._queue:
            await asyncio.wait(tuple(self._queue))
        for future in self._queue:
            future.cancel()
        await self._tasks.__aexit__(kind, error, traceback)

    async def submit(self, item: T, *, size: int = 0) -> R:
        """Puts an item in and waits for its own outcome.

        Args:
            item: What to flush.
            size: How many bytes it counts for.

        Raises:
            LimitExceeded: If too much is waiting; nothing was done then.
        """
        if len(self._queue) >= self._bounds.queue_items or self._queued_bytes + size > self._bounds.queue_bytes:
            raise LimitExceeded(
                "too many writes are waiting; repeat the call a little later",
                reason="QUEUE_FULL",
                retry_after=timedelta(seconds=1),
            )
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._queue[future] = _Waiting(item, size)
        self._queued_bytes += size
        self._schedule()
        try:
            return await future
        finally:
            if future in self._queue:
                self._leave(future)

    def _schedule(self) -> None:
        if not self._is_scheduled and self._in_flight < self._bounds.in_flight and self._queue:
            self._is_scheduled = True
            asyncio.get_running_loop().call_soon(self._gather, 0, 1, 1)

    def _gather(self, seen: int, quiet: int, turns: int) -> None:
        bounds, waiting = self._bounds, len(self._queue)
        quiet = 1 if waiting > seen else quiet + 1
        if quiet < bounds.quiet_turns and turns < bounds.gather_turns and waiting < bounds.flush_items:
            asyncio.get_running_loop().call_soon(self._gather, waiting, quiet, turns + 1)
        else:
            self._start()

    def _start(self) -> None:
        self._is_scheduled = False
        batch = self._take()
        if batch:
            self._in_flight += 1
            self._tasks.create_task(self._run(batch), context=self._context.copy())
        self._schedule()

    def _take(self) -> dict[asyncio.Future[R], T]:
        batch: dict[asyncio.Future[R], T] = {}
        size = 0
        while self._queue and len(batch) < self._bounds.flush_items:
            future, waiting = next(iter(self._queue.items()))
            # One that is larger than a flush may be goes alone.
            if batch and size + waiting.size > self._bounds.flush_bytes:
                break
            self._leave(future)
            # One who was cancelled at this very turn could not leave by itself yet.
            if not future.done():
                batch[future] = waiting.item
                size += waiting.size
        return batch

    def _leave(self, future: asyncio.Future[R]) -> None:
        self._queued_bytes -= self._queue.pop(future).size

    async def _run(self, batch: dict[asyncio.Future[R], T]) -> None:
        try:
            outcomes: Sequence[R | Exception] = await self._flush(list(batch.values()))
        except Exception as error:  # whatever it is, it belongs to the callers; a task group would die of it
            outcomes = [error] * len(batch)
        finally:
            self._in_flight -= 1
            self._schedule()

        for future, outcome in zip(batch, outcomes, strict=True):
            if future.done():
                continue
            if isinstance(outcome, Exception):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)
