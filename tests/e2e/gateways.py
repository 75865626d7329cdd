"""A gateway of several processes, and what they log."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from tests.e2e.processes import start
from tests.e2e.stack import MASTER_KEY

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tests.e2e.processes import Child
    from tests.e2e.stack import Stack


@asynccontextmanager
async def two_processes(own: Stack, **settings: object) -> AsyncIterator[Child]:
    """Runs a gateway of two processes, both of which serve when entered."""
    async with start(
        "gateway",
        *("--processes", "2"),
        mongodb_uri=own.mongodb_uri,
        master_key=MASTER_KEY,
        services_url=own.services_url,
        ws_port=own.ws_port,
        http_port=own.http_port,
        **settings,
    ) as gateway:
        await read_until(gateway, lambda: "gateway on " in gateway.output)
        await read_until(gateway, lambda: len(entries(gateway, "feed_opened")) == 2)
        yield gateway


def entries(gateway: Child, event: str) -> list[dict[str, Any]]:
    """Gives what the processes have logged of one kind."""
    lines = [json.loads(line) for line in gateway.output.splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] == event]


async def read_until(gateway: Child, is_true: Callable[[], object]) -> None:
    """Reads what the gateway writes, line by line, until that is so."""
    while not is_true():
        await gateway.says("")
