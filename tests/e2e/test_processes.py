"""`carillon gateway --processes`: several processes behind one port, of which any may die."""

from __future__ import annotations

import os
import signal
import uuid
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from gateway.closes import CloseCode
from tests.e2e.gateways import entries, read_until, two_processes
from tests.e2e.processes import call, free_port
from tests.e2e.stack import MASTER_KEY

if TYPE_CHECKING:
    from tests.contract.gateway.world import Tab
    from tests.e2e.processes import Child
    from tests.e2e.stack import Stack

pytestmark = pytest.mark.asyncio(loop_scope="session")

# With two processes, this many connections to the same one are one in a billion.
TRIES = 30


@pytest.fixture
def own(stack: Stack) -> Stack:
    """The services of all tests, with ports for a gateway of the test's own."""
    return replace(stack, ws_port=free_port(), http_port=free_port())


async def open_tab(own: Stack, gateway: Child, tabs: AsyncExitStack) -> tuple[int, Tab]:
    """Opens a session, and gives the process that serves it."""
    user_id = uuid.uuid4().hex
    tab = await tabs.enter_async_context(own.tab(user_id))
    assert (await tab.receive())["type"] == "welcome"

    def pids() -> list[int]:
        return [line["pid"] for line in entries(gateway, "session_opened") if line["user_id"] == user_id]

    await read_until(gateway, pids)
    return pids()[0], tab


async def open_tabs(own: Stack, gateway: Child, tabs: AsyncExitStack) -> dict[int, Tab]:
    """Opens sessions until two processes serve one, and gives one of each."""
    found: dict[int, Tab] = {}
    for _ in range(TRIES):
        pid, tab = await open_tab(own, gateway, tabs)
        found.setdefault(pid, tab)
        if len(found) == 2:
            return found
    raise AssertionError(f"{TRIES} sessions came to {len(found)} processes")


async def test_two_processes_share_the_ports_and_one_replaces_the_other(own: Stack) -> None:
    """Sessions break with their process only; the next are served at once, and soon by two processes again."""
    async with two_processes(own) as gateway, AsyncExitStack() as tabs:
        found = await open_tabs(own, gateway, tabs)
        killed, survivor = found

        os.kill(killed, signal.SIGKILL)
        assert await found[killed].closed() == 1006
        await read_until(gateway, lambda: entries(gateway, "process_died"))
        (died,) = entries(gateway, "process_died")
        assert (died["pid"], died["exit_code"], died["restart_in_s"]) == (killed, -signal.SIGKILL, 0)
        # The replacement takes a second to start, so this is served by the survivor.
        await open_tab(own, gateway, tabs)
        await found[survivor].send(type="ping")
        assert await found[survivor].receive() == {"type": "pong"}

        await read_until(gateway, lambda: len(entries(gateway, "feed_opened")) == 3)
        again = await open_tabs(own, gateway, tabs)
        assert set(again) == {survivor, entries(gateway, "feed_opened")[2]["pid"]}

        assert await gateway.stop() == 0
        for tab in again.values():
            assert await tab.closed() == CloseCode.GOING_AWAY.code
        await gateway.falls_silent()
        assert gateway.output.count("carillon: gateway on ") == 1


async def test_no_process_outlives_its_parent(own: Stack) -> None:
    """A parent that is killed can tell nobody, and yet all sessions are told to come back."""
    async with two_processes(own) as gateway, AsyncExitStack() as tabs:
        found = await open_tabs(own, gateway, tabs)
        await gateway.kill()

        for tab in found.values():
            assert await tab.closed() == CloseCode.GOING_AWAY.code
        await gateway.falls_silent()


@pytest.mark.parametrize("processes", ["1", "2"])
async def test_a_port_that_another_gateway_has_is_one_line(own: Stack, processes: str) -> None:
    """Nobody shares ports by accident, not even with those who share theirs."""
    async with two_processes(own):
        result = await call(
            "gateway",
            *("--processes", processes),
            mongodb_uri=own.mongodb_uri,
            master_key=MASTER_KEY,
            ws_port=own.ws_port,
            http_port=free_port(),
        )

    assert result.code == 1
    assert result.stderr == (
        f"carillon: cannot listen on 127.0.0.1 port {own.ws_port}: address already in use; "
        "stop what uses it, or set another one\n"
    )


async def test_several_processes_need_a_mongodb(own: Stack) -> None:
    """What none of them could run without is one line of one process."""
    result = await call("gateway", "--processes", "2", ws_port=own.ws_port, http_port=own.http_port)

    assert result.code == 1
    assert result.stderr.startswith("carillon: CARILLON_MONGODB_URI is not set")
    assert result.stderr.count("\n") == 1
