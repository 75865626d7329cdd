from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest_asyncio
from pydantic import SecretStr

from gateway.app import Gateway, run_gateway
from gateway.settings import GatewaySettings
from tests.contract.gateway.notificationapi.backend import open_backend
from tests.contract.gateway.notificationapi.world import open_api
from tests.contract.live.world import Live
from tests.contract.services.world import MASTER_KEY_TEXT, run_world

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from services.kernel.mongod import LocalMongod
    from tests.contract.gateway.notificationapi.backend import Backend
    from tests.contract.gateway.notificationapi.world import Api
    from tests.contract.services.world import Tenant


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def live(mongod: LocalMongod) -> AsyncIterator[Live]:
    """Gives services and a gateway."""
    stop = asyncio.Event()
    ready: asyncio.Future[Gateway] = asyncio.get_running_loop().create_future()
    async with run_world(mongod.uri) as world:
        settings = GatewaySettings(
            mongodb_uri=SecretStr(mongod.uri),
            master_key=MASTER_KEY_TEXT,
            services_url=f"grpc://{world.address}",
            http_port=0,
            ws_port=0,
        )
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(run_gateway(settings, stop, on_ready=ready.set_result))
            gateway = await ready
            await gateway.feed.live.wait()
            yield Live(world, gateway, mongod.uri)
            stop.set()


@pytest_asyncio.fixture(loop_scope="session")
async def tenant(live: Live) -> Tenant:
    """Gives an environment with the sample definitions."""
    tenant = await live.world.tenant()
    await tenant.put_samples()
    return tenant


@pytest_asyncio.fixture(loop_scope="session")
async def api(live: Live, tenant: Tenant) -> AsyncIterator[Api]:
    """Gives the interface of that environment, called as a user, whose id has nothing special."""
    async with open_api(live.url, tenant) as api:
        yield api


@pytest_asyncio.fixture(loop_scope="session")
async def backend(live: Live, tenant: Tenant) -> AsyncIterator[Backend]:
    """Gives the interface of that environment, called with its secret."""
    async with open_backend(live.url, tenant) as backend:
        yield backend
