from __future__ import annotations

from typing import TYPE_CHECKING

import pytest_asyncio

from services.kernel.mongod import LocalMongod
from tests.contract.services.world import Tenant, World, run_world

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import pytest


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """Gives running services on a MongoDB of their own."""
    async with LocalMongod(tmp_path_factory.mktemp("mongod")) as mongod, run_world(mongod.uri) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def tenant(world: World) -> Tenant:
    """Gives an environment of the test's own, with the sample definitions."""
    tenant = await world.tenant()
    await tenant.put_samples()
    return tenant
