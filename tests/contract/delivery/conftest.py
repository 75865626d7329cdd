from __future__ import annotations

from typing import TYPE_CHECKING

import pytest_asyncio

from services.kernel.mongod import LocalMongod
from tests import failpoints
from tests.contract.delivery.pushing import Pushing, open_pushing
from tests.contract.services.world import Tenant, World, run_world
from tests.providers.authority import Authority

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import pytest


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def mongodb_uri(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """Gives a MongoDB that a test can let fail."""
    async with LocalMongod(tmp_path_factory.mktemp("mongod"), extra_args=failpoints.ENABLED) as mongod:
        yield mongod.uri


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def world(mongodb_uri: str) -> AsyncIterator[World]:
    """Gives running services on a MongoDB of their own."""
    async with run_world(mongodb_uri) as running:
        yield running


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def other_world(world: World, mongodb_uri: str) -> AsyncIterator[World]:
    """Gives a second one, on the same MongoDB; nothing but that does one know of the other."""
    async with run_world(mongodb_uri) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def tenant(world: World) -> Tenant:
    """Gives an environment of the test's own, with the sample definitions."""
    tenant = await world.tenant()
    await tenant.put_samples()
    return tenant


@pytest_asyncio.fixture(autouse=True, loop_scope="session")
async def _nothing_is_due(world: World) -> None:
    """Takes what earlier tests have left from the workers of this one: they see all environments."""
    await world.database.messages.update_many({"due_time": {"$exists": True}}, {"$unset": {"due_time": ""}})


@pytest_asyncio.fixture(loop_scope="session")
async def pushing(
    world: World,
    tenant: Tenant,
    mongodb_uri: str,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Pushing]:
    """Gives an environment that pushes to browsers, and push services."""
    authority = Authority(tmp_path_factory.mktemp("authority"))
    async with open_pushing(world, tenant, mongodb_uri, authority, monkeypatch) as pushing:
        yield pushing
