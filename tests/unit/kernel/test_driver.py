from __future__ import annotations

import asyncio

from pymongo.lock import _async_cond_wait, _async_create_condition, _async_create_lock

from services.kernel import mongo

WAIT_S = 0.01


async def test_a_call_that_is_cancelled_while_its_wait_for_a_server_ends_gives_the_lock_back() -> None:
    """Otherwise no later call of the client would ever find a server."""
    assert mongo  # what makes the driver wait like this
    lock = _async_create_lock()
    servers_changed = _async_create_condition(lock)

    async def select_server() -> None:
        async with servers_changed:
            await _async_cond_wait(servers_changed, WAIT_S)

    call = asyncio.create_task(select_server())
    await asyncio.sleep(0)
    async with lock:
        # Another call looks for a server just when this one wants to look again, and is cancelled.
        await asyncio.sleep(5 * WAIT_S)
        call.cancel()
        await asyncio.sleep(0)
    await asyncio.wait([call])

    async with asyncio.timeout(10):
        await lock.acquire()
    assert call.cancelled()
