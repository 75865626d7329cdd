"""Coalescing, rule by rule, over a flush that the test itself begins, holds and ends."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from services.kernel.coalesce import Bounds, Coalescer
from services.kernel.errors import LimitExceeded

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine, Sequence

pytestmark = pytest.mark.timeout(10)

caller: ContextVar[str] = ContextVar("caller", default="nobody")


@dataclass
class Flush:
    """One flush that has begun, and that the test ends."""

    items: list[str]
    outcome: asyncio.Future[Sequence[str | Exception]]
    caller: str = field(default_factory=caller.get)

    def end(self, **outcomes: Exception) -> None:
        """Answers each item with its capitals, or with what is given for it."""
        self.outcome.set_result([outcomes.get(item, item.upper()) for item in self.items])


class Database:
    """Takes flushes and holds each until the test ends it."""

    def __init__(self) -> None:
        self.begun: asyncio.Queue[Flush] = asyncio.Queue()
        self._flushes: list[Flush] = []
        self._is_over = False

    async def flush(self, items: Sequence[str]) -> Sequence[str | Exception]:
        """Begins a flush."""
        flush = Flush(list(items), asyncio.get_running_loop().create_future())
        self._flushes.append(flush)
        self.begun.put_nowait(flush)
        if self._is_over:
            flush.end()
        return await flush.outcome

    def end_all(self) -> None:
        """Ends all that is held, and holds nothing more."""
        self._is_over = True
        for flush in self._flushes:
            if not flush.outcome.done():
                flush.end()


@dataclass
class Bench:
    """A coalescer, what it flushes to, and its callers."""

    coalescer: Coalescer[str, str]
    database: Database
    tasks: asyncio.TaskGroup

    def call(self, *items: str, size: int = 0) -> list[asyncio.Task[str]]:
        """Starts one caller an item."""
        return [self.tasks.create_task(self.coalescer.submit(item, size=size)) for item in items]

    async def begun(self) -> Flush:
        """Awaits the next flush."""
        return await self.database.begun.get()

    async def settled(self) -> None:
        """Lets the loop turn until nothing of ours can be under way."""
        await self.turn(30)

    async def turn(self, count: int) -> None:
        """Lets the loop turn so many times."""
        for _ in range(count):
            await asyncio.sleep(0)

    async def hold(self, count: int = 2) -> list[Flush]:
        """Occupies as many flushes, so that who comes now must wait."""
        held = []
        for number in range(count):
            self.call(f"held-{number}")
            held.append(await self.begun())
        return held


@asynccontextmanager
async def bench(**bounds: Any) -> AsyncIterator[Bench]:
    """Runs a coalescer, and ends with the block what is still held."""
    database = Database()
    async with Coalescer(database.flush, Bounds(**bounds)) as coalescer, asyncio.TaskGroup() as tasks:
        yield Bench(coalescer, database, tasks)
        database.end_all()


async def failure(work: Coroutine[Any, Any, str] | asyncio.Task[str]) -> Exception:
    """Gives what a caller fails with."""
    with pytest.raises(Exception) as caught:  # noqa: PT011 - the tests look at it
        await work
    assert isinstance(caught.value, Exception)
    return caught.value


async def test_a_lone_caller_is_flushed_at_once() -> None:
    """A caller with nobody before it waits for no timer: its flush begins within a few turns of the loop."""
    async with bench() as running:
        (call,) = running.call("a")
        await running.settled()

        flush = running.database.begun.get_nowait()
        assert flush.items == ["a"]
        flush.end()
        assert await call == "A"


async def test_callers_of_one_moment_share_a_flush() -> None:
    """Whoever calls in the same turn of the loop is flushed together, each with its own answer."""
    async with bench() as running:
        calls = running.call("a", "b", "c")
        flush = await running.begun()

        assert flush.items == ["a", "b", "c"]
        flush.end()
        assert await asyncio.gather(*calls) == ["A", "B", "C"]


async def test_callers_who_are_on_their_way_share_a_flush() -> None:
    """Whoever comes before the loop has turned ten times without a new caller is flushed together with the others."""
    async with bench() as running:
        for item in "abcde":
            running.call(item)
            await running.turn(6)

        assert (await running.begun()).items == list("abcde")
        running.call("f")
        await running.turn(15)
        running.call("g")
        assert (await running.begun()).items == ["f"]


async def test_callers_who_come_all_the_time_hold_nobody_up() -> None:
    """A flush begins after a hundred turns, even if each has brought another caller."""
    async with bench() as running:
        for number in range(150):
            running.call(str(number))
            await running.turn(1)

        assert 90 <= len((await running.begun()).items) <= 100


async def test_a_full_flush_begins_at_once() -> None:
    """Where as many wait as one flush takes there is nothing to wait for."""
    async with bench(flush_items=2) as running:
        running.call("a", "b")
        await running.turn(4)

        assert running.database.begun.get_nowait().items == ["a", "b"]


async def test_callers_gather_behind_two_flushes_in_flight() -> None:
    """Two flushes run at once and no third; those who wait are one flush, in their order, as soon as one ends."""
    async with bench() as running:
        first, second = await running.hold()
        running.call("a", "b")
        await running.settled()
        running.call("c")
        await running.settled()
        assert running.database.begun.empty()

        second.end()
        third = await running.begun()
        assert third.items == ["a", "b", "c"]

        running.call("d")
        await running.settled()
        assert running.database.begun.empty(), "two are in flight again"
        first.end()
        assert (await running.begun()).items == ["d"]


async def test_a_flush_takes_no_more_than_so_many() -> None:
    """A flush takes the oldest, up to its bound; the next ones follow in order."""
    async with bench(flush_items=2) as running:
        held = await running.hold()
        calls = running.call("a", "b", "c", "d", "e")
        await running.settled()

        for one in held:
            one.end()
        flushes = [await running.begun(), await running.begun()]
        assert [flush.items for flush in flushes] == [["a", "b"], ["c", "d"]]
        flushes[0].end()
        last = await running.begun()
        assert last.items == ["e"]
        flushes[1].end()
        last.end()
        assert await asyncio.gather(*calls) == ["A", "B", "C", "D", "E"]


async def test_a_flush_takes_no_more_than_so_many_bytes() -> None:
    """A flush ends before the item that would make it too large; one that is too large by itself goes alone."""
    async with bench(flush_bytes=10, in_flight=1) as running:
        (held,) = await running.hold(1)
        running.call("a", "b", size=5)
        running.call("c", size=1)
        running.call("huge", size=11)
        running.call("d", size=1)
        await running.settled()

        found = []
        held.end()
        for _ in range(4):
            flush = await running.begun()
            found.append(flush.items)
            flush.end()
        assert found == [["a", "b"], ["c"], ["huge"], ["d"]]


@pytest.mark.parametrize(
    ("bounds", "size"), [({"queue_items": 3}, 0), ({"queue_bytes": 30}, 10), ({"queue_bytes": 39}, 10)]
)
async def test_no_more_than_so_many_wait(bounds: dict[str, int], size: int) -> None:
    """Where as much waits as may, the next caller is refused at once with a time to come back after, and no other."""
    async with bench(**bounds) as running:
        held = await running.hold()
        calls = running.call("a", "b", "c", size=size)
        await running.settled()

        refused = await failure(running.coalescer.submit("d", size=size))
        assert isinstance(refused, LimitExceeded)
        assert (refused.reason, refused.retry_after.total_seconds()) == ("QUEUE_FULL", 1)

        for one in held:
            one.end()
        (await running.begun()).end()
        assert await asyncio.gather(*calls) == ["A", "B", "C"]
        (late,) = running.call("late", size=size)
        (await running.begun()).end()
        assert await late == "LATE"


async def test_cancelled_before_the_flush_leaves_the_queue() -> None:
    """A caller who gives up while waiting is not flushed, and its place is free at once."""
    async with bench(queue_items=2, queue_bytes=20) as running:
        held = await running.hold()
        a, b = running.call("a", "b", size=10)
        await running.settled()
        a.cancel()
        await running.settled()

        (c,) = running.call("c", size=10)
        await running.settled()
        held[0].end()
        flush = await running.begun()
        assert flush.items == ["b", "c"]
        flush.end()
        assert [await b, await c] == ["B", "C"]
        assert a.cancelled()


async def test_cancelled_at_the_very_turn_is_not_flushed() -> None:
    """A caller who is cancelled in the turn in which its flush is taken is not in it."""
    async with bench(quiet_turns=1) as running:
        a, b = running.call("a", "b")
        await asyncio.sleep(0)  # both are in the queue now, and the flush is taken at the next turn
        a.cancel()

        flush = await running.begun()
        assert flush.items == ["b"]
        flush.end()
        assert await b == "B"


async def test_all_cancelled_is_no_flush() -> None:
    """Where nobody is left there is no flush, and the next caller gets one."""
    async with bench() as running:
        calls = running.call("a", "b")
        await asyncio.sleep(0)
        for call in calls:
            call.cancel()
        await running.settled()
        assert running.database.begun.empty()

        running.call("c")
        assert (await running.begun()).items == ["c"]


async def test_cancelled_after_the_flush_has_begun_only_stops_listening() -> None:
    """The flush goes on for the others, with the item of the one who left, whoever set it off."""
    async with bench() as running:
        a, b = running.call("a", "b")
        flush = await running.begun()
        a.cancel()
        await running.settled()

        assert a.cancelled()
        assert not flush.outcome.cancelled()
        flush.end()
        assert await b == "B"


async def test_each_gets_its_own_outcome() -> None:
    """An exception for one item is that caller's alone."""
    async with bench() as running:
        a, b, c = (asyncio.ensure_future(running.coalescer.submit(item)) for item in "abc")
        error = ValueError("b is bad")
        (await running.begun()).end(b=error)

        assert [await a, await c] == ["A", "C"]
        assert await failure(b) is error


async def test_a_flush_that_fails_fails_its_callers_alone() -> None:
    """What a flush raises each of its callers gets; other flushes and later callers notice nothing."""
    async with bench() as running:
        a, b = (asyncio.ensure_future(running.coalescer.submit(item)) for item in "ab")
        failing = await running.begun()
        (other,) = running.call("c")
        fine = await running.begun()
        error = RuntimeError("no database")
        failing.outcome.set_exception(error)

        assert [await failure(call) for call in (a, b)] == [error, error]
        fine.end()
        assert await other == "C"
        (later,) = running.call("d")
        (await running.begun()).end()
        assert await later == "D"


async def test_a_flush_belongs_to_nobody() -> None:
    """A flush runs in the context of the coalescer, so no caller's deadline or log fields are in it."""

    async def call_as(name: str, item: str) -> str:
        caller.set(name)
        return await running.coalescer.submit(item)

    async with bench() as running:
        first = running.tasks.create_task(call_as("alice", "a"))
        flush = await running.begun()
        assert flush.caller == "nobody"
        await running.hold(1)
        waiting = running.tasks.create_task(call_as("bob", "b"))
        await running.settled()
        flush.end()
        second = await running.begun()
        assert (second.items, second.caller) == (["b"], "nobody")
        second.end()
        assert [await first, await waiting] == ["A", "B"]


async def test_leaving_waits_for_what_is_in_flight() -> None:
    """The block does not end before the flushes that are under way or due have, as their callers are waiting."""
    database = Database()

    async def run() -> asyncio.Task[str]:
        async with Coalescer(database.flush) as coalescer:
            call = asyncio.ensure_future(coalescer.submit("a"))
            await asyncio.sleep(0)
            return call

    running = asyncio.ensure_future(run())
    flush = await database.begun.get()
    for _ in range(30):
        await asyncio.sleep(0)
    assert not running.done()
    flush.end()
    assert await (await running) == "A"


async def test_leaving_by_an_error_lets_nobody_wait() -> None:
    """Where the block ends by an error, who was not flushed yet is cancelled."""
    database = Database()
    calls = []

    async def fail() -> None:
        async with Coalescer(database.flush) as coalescer:
            calls.append(asyncio.ensure_future(coalescer.submit("a")))
            await asyncio.sleep(0)
            raise ValueError

    with pytest.raises(ExceptionGroup):
        await fail()
    await asyncio.wait(calls)
    assert calls[0].cancelled()
    assert database.begun.empty()
