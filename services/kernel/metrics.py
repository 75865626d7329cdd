"""What is counted in this process, for Prometheus: the one list of all metrics, and where they are read."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from prometheus_client import Counter, start_http_server

from services.kernel.server import PortTakenError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

WELCOMES = Counter(
    "carillon_inbox_welcomes",
    "Welcomes, by what they were (full, snapshot) and why they were a snapshot; CURSOR_INVALID are refused cursors.",
    ["resume", "cause"],
)

ATTEMPTS = Counter(
    "carillon_delivery_attempts",
    "Calls to providers, by provider and by how they ended.",
    ["provider", "outcome"],
)


@asynccontextmanager
async def serve_metrics(host: str, port: int | None) -> AsyncIterator[int | None]:
    """Serves all metrics over HTTP, in a thread of its own, until the block ends.

    Args:
        host: The address to listen on.
        port: 0 takes a free one, which the block is given. None: nothing is served.

    Raises:
        PortTakenError: If it cannot listen there.
    """
    if port is None:
        yield None
        return
    try:
        server, thread = start_http_server(port, addr=host)
    except OSError as error:
        raise PortTakenError(host, port, error) from None
    try:
        yield int(server.server_port)
    finally:
        await asyncio.to_thread(server.shutdown)
        server.server_close()
        thread.join()
