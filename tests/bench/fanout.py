"""What a frame costs the gateway, against a server that has nothing to do but send the same bytes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import statistics
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from services.kernel.mongo import open_client
from tests.bench.broadcast import BATCH
from tests.bench.send import console, process
from tests.contract.gateway.world import message
from tests.e2e.light import light_client
from tests.e2e.processes import free_port, wait_until

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncIterator, Awaitable, Callable

    from tests.e2e.stack import Stack

SESSIONS = 100
BATCHES = 20
_USER_ID = "fan-out"
_FRAMES = SESSIONS * BATCH * BATCHES


class Crowd:
    """All sessions of one user."""

    def __init__(self) -> None:
        self.frame: dict[str, Any] = {}
        self._left = 0
        self._has_all = asyncio.Event()

    def take(self, frame: dict[str, Any]) -> None:
        """Takes what one of them gets."""
        self.frame = frame
        self._left -= 1
        if not self._left:
            self._has_all.set()

    async def frames_per_cpu_s(self, server: Process, send: Callable[[], Awaitable[None]]) -> float:
        """Sends batch after batch to all, and gives how many frames a second of the server's CPU are."""
        begun = cpu_s(server)
        for _ in range(BATCHES):
            self._left = SESSIONS * BATCH
            self._has_all.clear()
            await send()
            await self._has_all.wait()
        return _FRAMES / (cpu_s(server) - begun)


@asynccontextmanager
async def crowd(stack: Stack) -> AsyncIterator[Crowd]:
    """Opens them."""
    made = Crowd()
    async with AsyncExitStack() as opened:
        for _ in range(SESSIONS):
            await opened.enter_async_context(light_client(stack, _USER_ID, made.take))
        yield made


async def compare_cost(stack: Stack, gateway: Process, *, rounds: int) -> Table | str:
    """Measures both, round by round."""
    if not _stat(gateway).exists():
        return "what a frame costs is measured on Linux alone"

    pairs: list[tuple[float, float]] = []
    port = free_port()
    async with open_client(stack.mongodb_uri) as client, crowd(stack) as ours:
        messages = client.get_default_database().messages

        async def insert() -> None:
            await messages.insert_many([message(_USER_ID, f"note {number:3}") for number in range(BATCH)])

        await ours.frames_per_cpu_s(gateway, insert)
        text = json.dumps(ours.frame, ensure_ascii=False, separators=(",", ":"))
        async with process("-m", "tests.bench.broadcast", str(port), text) as bare:
            await wait_until(lambda: listens(port))

            async def broadcast() -> None:
                bare.send_signal(signal.SIGUSR1)

            async with crowd(replace(stack, ws_port=port)) as theirs:
                await theirs.frames_per_cpu_s(bare, broadcast)
                for number in range(1, rounds + 1):
                    pair = await ours.frames_per_cpu_s(gateway, insert), await theirs.frames_per_cpu_s(bare, broadcast)
                    pairs.append(pair)
                    console.print(f"round {number}/{rounds}  {pair[0]:6.0f} of {pair[1]:6.0f} frames a CPU second")
    return cost_table(pairs, size=len(text))


def cost_table(pairs: list[tuple[float, float]], *, size: int) -> Table:
    """Makes what the rounds come to."""
    ratios = [ours / floor for ours, floor in pairs]
    title = f"Frames of {size} bytes to {SESSIONS} sessions, for a second of CPU"
    made = Table("gateway", "bare broadcast", "ratio", "min", "max", title=title)
    made.add_row(
        f"{statistics.median(ours for ours, _ in pairs):.0f}",
        f"{statistics.median(floor for _, floor in pairs):.0f}",
        *(f"{value:.2f}" for value in (statistics.median(ratios), min(ratios), max(ratios))),
    )
    return made


def cpu_s(server: Process) -> float:
    """Gives the CPU seconds that a process has had."""
    # After the name, which may hold anything, utime and stime are the 12th and the 13th.
    fields = _stat(server).read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def listens(port: int) -> bool:
    """Tells whether somebody listens there."""
    with suppress(ConnectionError):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()
        await writer.wait_closed()
        return True
    return False


def _stat(server: Process) -> Path:
    return Path("/proc", str(server.pid), "stat")
