"""How soon events arrive, beside a client that has stalled and without one, and what they cost: `make bench-live`.

One process is the backend and all the clients; the services, one gateway and MongoDB have a process each, all on this
machine. A round is both, with the stalled client and without, one after the other; the ratio of a round is free of what
the machine did in the others.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvloop
from rich.table import Table

from services.kernel.mongod import LocalMongod
from tests.bench.fanout import compare_cost
from tests.bench.send import console, machine, process, services, until_started
from tests.contract.services.requests import definition, inapp, send_request
from tests.e2e.light import light_client
from tests.e2e.load import Load
from tests.e2e.processes import is_healthy, wait_until
from tests.e2e.stack import MASTER_KEY, Stack

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncIterator, Sequence

    from carillon.v1 import sender_pb2
    from tests.contract.services.world import Caller

USERS = [f"user-{number}" for number in range(20)]
SESSIONS_OF_A_USER = 25
BODY = "x" * 4000
# So small that a client which stalls when a measurement begins is closed as slow before it ends.
OUTBOX_BYTES = 128 * 1024
_CUT_S = 10


class Arrivals:
    """The seconds from the call of each Send to its frame at each healthy client, of one measurement at a time."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._load: Load
        self._count = 0
        self._has_all = asyncio.Event()

    def take(self, frame: dict[str, Any]) -> None:
        """Takes what one client gets."""
        number = int(frame["item"]["title"].rpartition(" ")[2])
        self.seconds.append(time.perf_counter() - self._load.called[number])
        if len(self.seconds) == self._count:
            self._has_all.set()

    async def measure(self, load: Load, count: int) -> tuple[float, float]:
        """Gives the 50th and the 99th percentile of all arrivals, in milliseconds."""
        self.seconds = []
        self._load = load
        self._count = count * SESSIONS_OF_A_USER
        self._has_all.clear()
        await load.run()
        await self._has_all.wait()
        cuts = statistics.quantiles(self.seconds, n=100)
        return cuts[49] * 1000, cuts[98] * 1000


@asynccontextmanager
async def gateway(stack: Stack, **settings: object) -> AsyncIterator[Process]:
    """Runs `carillon gateway`."""
    ports = {"ws_port": stack.ws_port, "http_port": stack.http_port}
    own = {"mongodb_uri": stack.mongodb_uri, "master_key": MASTER_KEY, "services_url": stack.services_url}
    async with process("-m", "services", "gateway", **own, **ports, **settings) as child:
        await wait_until(lambda: is_healthy(f"http://127.0.0.1:{stack.ws_port}/healthz"))
        yield child


async def compare_latency(stack: Stack, backend: Caller, options: argparse.Namespace) -> Table:
    """Measures with and without a stalled client, round by round."""
    pairs: list[dict[bool, tuple[float, float]]] = []
    arrivals = Arrivals()
    async with AsyncExitStack() as opened:
        for user_id in USERS * SESSIONS_OF_A_USER:
            await opened.enter_async_context(light_client(stack, user_id, arrivals.take))
        # One more, that counts for nothing: imports, connections, the first growth of files.
        for number in range(options.rounds + 1):
            pair: dict[bool, tuple[float, float]] = {}
            for is_stalled in (False, True) if number % 2 else (True, False):
                load = a_load(backend, f"{number} {is_stalled}", options)
                if is_stalled:
                    pair[True] = await beside_a_stalled_client(stack, arrivals, load, options.count)
                else:
                    pair[False] = await arrivals.measure(load, options.count)
                console.print(
                    f"round {number}/{options.rounds}  {'with' if is_stalled else 'without':7}"
                    f"  p50 {pair[is_stalled][0]:5.1f} ms  p99 {pair[is_stalled][1]:5.1f} ms  at {load.rate:.0f}/s"
                )
            if number:
                pairs.append(pair)
    return latency_table(pairs)


def a_load(backend: Caller, name: str, options: argparse.Namespace) -> Load:
    """Makes the sends of one measurement, to each user in turn."""

    def make_request(number: int) -> sender_pb2.SendRequest:
        title = f"{name} {number}"
        user_id = USERS[number % len(USERS)]
        return send_request("note", user={"id": user_id}, merge_tags={"title": title}, request_id=title)

    return Load(backend, make_request, per_s=options.rate, count=options.count)


async def beside_a_stalled_client(stack: Stack, arrivals: Arrivals, load: Load, count: int) -> tuple[float, float]:
    """Measures while a client of one of the users reads nothing, until it is cut."""
    async with light_client(stack, USERS[0], lambda _: None, is_narrow=True) as stalled:
        stalled.stall()
        measured = await arrivals.measure(load, count)
        stalled.read_on()
        try:
            async with asyncio.timeout(_CUT_S):
                await stalled.ended.wait()
        except TimeoutError:
            console.print("the stalled client was not closed: --count is too small")
        return measured


def latency_table(pairs: Sequence[dict[bool, tuple[float, float]]]) -> Table:
    """Makes what the rounds come to."""
    headings = ["ms", *("without", "min", "max"), *("with", "min", "max"), *("ratio", "min", "max")]
    made = Table(*headings, title="From a Send's call to its frame, without and with a stalled client")
    for at, name in enumerate(("p50", "p99")):
        rows = [
            [pair[False][at] for pair in pairs],
            [pair[True][at] for pair in pairs],
            [pair[True][at] / pair[False][at] for pair in pairs],
        ]
        cells = [
            f"{value:.{places}f}"
            for values, places in zip(rows, (1, 1, 2), strict=True)
            for value in (statistics.median(values), min(values), max(values))
        ]
        made.add_row(name, *cells)
    return made


async def run(options: argparse.Namespace) -> None:
    """Runs everything that the measurements need, and the measurements."""
    with tempfile.TemporaryDirectory() as folder:
        async with LocalMongod(Path(folder)) as mongod:
            stack = Stack(mongodb_uri=mongod.uri.replace("/?", "/bench?"), client_id="dev")
            created = await stack.create_environment()
            assert created.code == 0, created.stderr
            console.print(await asyncio.to_thread(machine, mongod.uri))
            console.print(
                f"{len(USERS)} users with {SESSIONS_OF_A_USER} sessions each, {options.rate} sends/s of"
                f" {len(BODY)} bytes, {options.count} a measurement"
            )
            async with services(stack, log_level="info"), stack.backend() as backend:
                await until_started(backend, definition("note", inapp("{{ title }}", body=BODY)))
                async with gateway(stack, outbox_bytes=OUTBOX_BYTES):
                    console.print(await compare_latency(stack, backend, options))
                async with gateway(stack) as child:
                    console.print(await compare_cost(stack, child, rounds=options.rounds))


def main() -> None:
    """Reads the options and runs."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--count", type=int, default=1600, help="sends a measurement")
    parser.add_argument("--rate", type=int, default=200, help="sends a second")
    uvloop.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
