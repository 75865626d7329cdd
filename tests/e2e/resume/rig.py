"""A running Carillon that can be killed in parts: mongod, a gateway, a worker, and two services whose clocks differ."""

from __future__ import annotations

import asyncio
import base64
import logging
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from services.kernel.clock import utc_now
from services.kernel.mongod import LocalMongod
from tests.contract.services.world import MASTER_KEY, Tenant, run_world
from tests.e2e.processes import free_port, is_healthy, start, wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from datetime import datetime
    from pathlib import Path

    from tests.contract.services.world import World
    from tests.e2e.processes import Child

LATE = timedelta(seconds=40)
"""By how much the clock of the second services is behind, so that who resumes by senders' clocks loses items."""


# A traceback as structlog draws it takes a second, in which nothing else runs.
_PLAIN = (structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),)


class Rig:
    """The running parts.

    Args:
        mongod: The database of all.
        right: Services whose clock is right; the gateway asks them.
        late: Services on the same database, whose clock is late.
    """

    def __init__(self, mongod: LocalMongod, right: World, late: World) -> None:
        self.right = right
        self.late = late
        self.ws_port = free_port()
        self._http_port = free_port()
        self._mongod = mongod
        self._gateway: Child | None = None
        self._worker: Child | None = None
        self._running = AsyncExitStack()
        self._working = AsyncExitStack()
        # A kill of one while the other starts would make that wait, and nothing is gained by it.
        self._turn = asyncio.Lock()

    async def tenants(self) -> tuple[Tenant, Tenant]:
        """Makes an environment, and gives it as it is entered by either services."""
        tenant = await self.right.tenant()
        await tenant.put_samples()
        return tenant, Tenant(self.late, tenant.client_id, tenant.secret)

    async def kill_gateway(self) -> None:
        """Kills the gateway and starts it again where it was."""
        async with self._turn:
            assert self._gateway is not None
            await self._gateway.kill()
            await self._running.aclose()
            await self._start_gateway()

    async def kill_worker(self) -> None:
        """Kills the worker and starts another."""
        async with self._turn:
            assert self._worker is not None
            await self._worker.kill()
            await self._working.aclose()
            await self._start_worker()

    async def kill_mongod(self) -> None:
        """Kills MongoDB and starts it again where it was."""
        async with self._turn:
            await self._mongod.kill()
            await self._mongod.start()

    async def __aenter__(self) -> Rig:
        await self._start_gateway()
        await self._start_worker()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._working.aclose()
        await self._running.aclose()

    async def _start_gateway(self) -> None:
        self._gateway = await self._running.enter_async_context(
            start(
                "gateway",
                **self._storage,
                services_url=f"grpc://{self.right.address}",
                ws_port=self.ws_port,
                http_port=self._http_port,
            )
        )
        await wait_until(lambda: is_healthy(f"http://127.0.0.1:{self.ws_port}/healthz"))

    async def _start_worker(self) -> None:
        self._worker = await self._working.enter_async_context(start("worker", **self._storage))
        await self._worker.says("looks for what is due")

    @property
    def _storage(self) -> dict[str, str]:
        return {
            "mongodb_uri": self._mongod.uri.replace("/?", "/carillon?"),
            "master_key": base64.b64encode(MASTER_KEY).decode(),
            "log_level": "error",
        }


@asynccontextmanager
async def run_rig(data_dir: Path) -> AsyncIterator[Rig]:
    """Runs all of it in this loop, but for mongod, the gateway and the worker, until the block ends."""

    def late_now() -> datetime:
        return utc_now() - LATE

    with _errors_alone():
        async with (
            LocalMongod(data_dir) as mongod,
            run_world(mongod.uri) as right,
            run_world(mongod.uri, now=late_now) as late,
            Rig(mongod, right, late) as rig,
        ):
            yield rig


@contextmanager
def _errors_alone() -> Iterator[None]:
    """Lets the services log errors alone: a line a call would be most of what a run costs."""
    before = structlog.get_config()
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, structlog.processors.format_exc_info, *_PLAIN],
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
    )
    try:
        yield
    finally:
        structlog.configure(**before)
