from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest_asyncio
from pydantic import SecretStr

from gateway.app import Gateway, run_gateway
from gateway.settings import GatewaySettings
from services.kernel.mongod import LocalMongod
from tests.contract.live.world import Live
from tests.contract.services.world import MASTER_KEY_TEXT, Tenant, run_world

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import pytest


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def live(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Live]:
    """Gives services and a gateway on a MongoDB of their own."""
    stop = asyncio.Event()
    ready: asyncio.Future[Gateway] = asyncio.get_running_loop().create_future()
    async with LocalMongod(tmp_path_factory.mktemp("mongod")) as mongod, run_world(mongod.uri) as world:
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
