"""Several gateway processes on one pair of ports: starts them, replaces what dies, ends all of them.

Each is a gateway of its own, with a change stream of its own. The kernel spreads new connections over those that
listen.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from asyncio.subprocess import PIPE, Process
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import structlog

from gateway.http.app import DRAIN_S as HTTP_DRAIN_S
from services.kernel.server import PortTakenError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gateway.settings import GatewaySettings

_log = structlog.get_logger(__name__)

SUPERVISED = "--supervised"
READY = b"ready\n"
_MAX_RESTART_S = 10.0
_LONG_LIFE_S = 60.0
_SPARE_S = 5.0


async def run_processes(
    settings: GatewaySettings,
    count: int,
    stop: asyncio.Event,
    *,
    on_ready: Callable[[int, int], None] = lambda _ws_port, _http_port: None,
) -> None:
    """Runs so many gateways until ``stop`` is set, then ends them.

    Args:
        settings: What the children read from the environment too.
        count: How many processes.
        stop: Ends them.
        on_ready: Called once with the ports of websockets and HTTP, when all processes listen.

    Raises:
        SettingsError: If nobody has said where MongoDB is.
        PortTakenError: If they could not listen where they should.
    """
    settings.require_mongodb_uri()
    settings.require_master_key()
    # Held, without listening, for as long as there are children: so the ports stay ours while one is replaced.
    with _reserve(settings.host, settings.ws_port) as websockets, _reserve(settings.host, settings.http_port) as http:
        ws_port, http_port = websockets.getsockname()[1], http.getsockname()[1]
        environment = {
            "CARILLON_WS_PORT": str(ws_port),
            "CARILLON_HTTP_PORT": str(http_port),
            "CARILLON_REUSE_PORT": "true",
        }
        patience_s = settings.drain_s + settings.close_timeout_s + HTTP_DRAIN_S + _SPARE_S
        ready = [asyncio.Event() for _ in range(count)]
        async with asyncio.TaskGroup() as tasks:
            places = [tasks.create_task(_fill(environment, one, patience_s=patience_s)) for one in ready]
            announcing = tasks.create_task(_announce(ready, lambda: on_ready(ws_port, http_port)))
            await stop.wait()
            for task in (announcing, *places):
                task.cancel()


def restart_delay_s(deaths: int) -> float:
    """Gives how long to wait after so many deaths in a row: not at all after the first, then longer each time."""
    return min(0.5 * 2.0 ** min(deaths - 2, 10), _MAX_RESTART_S) if deaths > 1 else 0.0


async def _announce(ready: list[asyncio.Event], announce: Callable[[], None]) -> None:
    for one in ready:
        await one.wait()
    announce()


async def _fill(environment: Mapping[str, str], ready: asyncio.Event, *, patience_s: float) -> None:
    """Keeps one process running until it is cancelled, which ends the process too."""
    loop = asyncio.get_running_loop()
    deaths = 0
    while True:
        started = loop.time()
        try:
            end = await _run_one(environment, ready, patience_s=patience_s)
        except OSError as error:
            # No memory or no place for another process, now: those that run are not to end for it.
            end = {"error": str(error)}

        deaths = deaths + 1 if loop.time() - started < _LONG_LIFE_S else 1
        delay_s = restart_delay_s(deaths)
        _log.warning("process_died", **end, restart_in_s=delay_s)
        await asyncio.sleep(delay_s)


async def _run_one(environment: Mapping[str, str], ready: asyncio.Event, *, patience_s: float) -> dict[str, Any]:
    """Runs one process to its end, which it also comes to when this is cancelled; gives how it ended."""
    process = await _start(environment)
    try:
        await _watch(process, ready)
    finally:
        await _end(process, patience_s=patience_s)
    return {"pid": process.pid, "exit_code": process.returncode}


async def _start(environment: Mapping[str, str]) -> Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "gateway",
        SUPERVISED,
        env=os.environ | environment,
        # Never written to: that it ends tells a child that we have.
        stdin=PIPE,
        stdout=PIPE,
        # Ctrl-C goes to a whole group: the children are told by us, once.
        start_new_session=True,
    )


async def _watch(process: Process, ready: asyncio.Event) -> None:
    assert process.stdout
    async for line in process.stdout:
        if line == READY:
            _log.info("process_ready", pid=process.pid)
            ready.set()
    await process.wait()


async def _end(process: Process, *, patience_s: float) -> None:
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(patience_s):
            await process.wait()
    except TimeoutError:
        _log.warning("process_killed", pid=process.pid, waited_s=patience_s)
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _reserve(host: str, port: int) -> socket.socket:
    """Binds a port that others may bind too, and does not listen there.

    Raises:
        PortTakenError: If somebody has it, even one who shares: that is another gateway.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    reserved = socket.socket(family)
    try:
        socket.create_server((host, port), family=family).close()
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        reserved.bind((host, port))
    except OSError as error:
        reserved.close()
        raise PortTakenError(host, port, error) from None
    return reserved
