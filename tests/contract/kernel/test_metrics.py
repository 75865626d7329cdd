from __future__ import annotations

import socket

import httpx
import pytest

from services.kernel.metrics import WELCOMES, serve_metrics
from services.kernel.server import PortTakenError


async def test_what_is_counted_can_be_read() -> None:
    """Prometheus finds each counter with its labels."""
    async with serve_metrics("127.0.0.1", 0) as port, httpx.AsyncClient(trust_env=False) as client:
        before = await read(client, port)
        WELCOMES.labels(resume="snapshot", cause="CURSOR_INVALID").inc()

        assert await read(client, port) == before + 1


async def read(client: httpx.AsyncClient, port: int | None) -> float:
    """Gives how many cursors were refused; -1: it is not counted."""
    text = (await client.get(f"http://127.0.0.1:{port}/metrics")).text
    name = 'carillon_inbox_welcomes_total{cause="CURSOR_INVALID",resume="snapshot"} '
    return next((float(line.removeprefix(name)) for line in text.splitlines() if line.startswith(name)), 0.0)


async def test_without_a_port_nothing_is_served() -> None:
    """Nobody listens unless it is asked for."""
    async with serve_metrics("127.0.0.1", None) as port:
        assert port is None


async def test_a_port_that_is_taken_is_one_plain_error() -> None:
    """As with every other port."""
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(PortTakenError, match="set another one"):
        async with serve_metrics("127.0.0.1", taken.getsockname()[1]):
            pass
