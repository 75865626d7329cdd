"""Runs one gateway: `python -m gateway`; `carillon gateway --processes` starts several of these."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING

import structlog

from gateway.app import run_gateway
from gateway.processes import READY, SUPERVISED
from gateway.settings import GatewaySettings
from services.kernel.crypto import MasterKeyError
from services.kernel.logging import configure_logging
from services.kernel.process import SettingsError, read_settings, run
from services.kernel.server import PortTakenError, stop_on_signals

if TYPE_CHECKING:
    from gateway.app import Gateway


def main() -> None:
    """Runs until SIGTERM or SIGINT; what a person has to mend is one line on stderr."""
    try:
        settings = read_settings(GatewaySettings)
        configure_logging(settings.log_level)
        # One line of several processes that write to one place must say whose it is.
        structlog.contextvars.bind_contextvars(pid=os.getpid())
        run(_run_supervised(settings) if SUPERVISED in sys.argv[1:] else _run(settings))
    except (SettingsError, MasterKeyError, PortTakenError) as error:
        sys.exit(f"carillon: {error}")


async def _run(settings: GatewaySettings) -> None:
    await run_gateway(settings, stop_on_signals())


async def _run_supervised(settings: GatewaySettings) -> None:
    """Says on stdout when it is ready, and stops when stdin ends: whoever has started it is gone."""
    stop = stop_on_signals()

    def say_ready(_gateway: Gateway) -> None:
        sys.stdout.buffer.write(READY)
        sys.stdout.flush()

    class Leash(asyncio.Protocol):
        def connection_lost(self, exc: Exception | None) -> None:
            stop.set()

    transport, _ = await asyncio.get_running_loop().connect_read_pipe(Leash, sys.stdin.buffer)
    try:
        await run_gateway(settings, stop, on_ready=say_ready)
    finally:
        transport.close()


if __name__ == "__main__":
    main()
