from __future__ import annotations

import asyncio

import pytest

from services.delivery.bulkhead import Bulkhead, BusyError


async def turn() -> None:
    """Lets everybody go on who can."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_single_sends_go_before_bulk() -> None:
    """Who waits in a lower lane is let in before those of a higher one who came earlier."""
    bulkhead, order = Bulkhead(1), []

    async def call(name: str, lane: int) -> None:
        async with bulkhead.enter(lane):
            order.append(name)
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as tasks:
        for name, lane in (("bulk 1", 1), ("bulk 2", 1), ("bulk 3", 1), ("single", 0)):
            tasks.create_task(call(name, lane))

    assert order == ["bulk 1", "single", "bulk 2", "bulk 3"]


async def test_no_more_than_its_size_are_in() -> None:
    """Never are more callers inside than there are places, and all get their turn."""
    bulkhead, inside, most, done = Bulkhead(3), 0, 0, 0

    async def call(lane: int) -> None:
        nonlocal inside, most, done
        async with bulkhead.enter(lane):
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1
            done += 1

    async with asyncio.TaskGroup() as tasks:
        for number in range(50):
            tasks.create_task(call(number % 2))

    assert (most, done) == (3, 50)


async def test_a_place_is_not_lost_by_a_cancellation() -> None:
    """Whoever is cancelled, waiting, just let in or inside, leaves a place that the next one gets."""
    bulkhead, gate = Bulkhead(1), asyncio.Event()

    async def call() -> None:
        async with bulkhead.enter(0):
            await gate.wait()

    async def leave() -> None:
        async with bulkhead.enter(0):
            await gate.wait()
        # Out, and the next is let in; it is cancelled before it gets to know.
        let_in.cancel()

    async def fail() -> None:
        async with bulkhead.enter(0):
            raise ZeroDivisionError

    leaving, waiting, let_in, failing, last = map(asyncio.create_task, (leave(), call(), call(), fail(), call()))
    await turn()
    waiting.cancel()
    await turn()
    gate.set()
    async with asyncio.timeout(5):
        await last

    assert leaving.done()
    assert [task.cancelled() for task in (waiting, let_in)] == [True] * 2
    assert isinstance(failing.exception(), ZeroDivisionError)


async def test_who_waits_for_too_long_goes_away() -> None:
    """A caller that does not get in within its time is told so, and so is who comes next; a free place is free."""
    bulkhead, gate = Bulkhead(1, patience_s=0.05), asyncio.Event()

    async def call() -> None:
        async with bulkhead.enter(0):
            await gate.wait()

    inside = asyncio.create_task(call())
    await turn()
    for _ in range(2):
        with pytest.raises(BusyError):
            await call()
    gate.set()
    await inside
    await call()
