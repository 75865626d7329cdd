from __future__ import annotations

from typing import TYPE_CHECKING

import pytest_asyncio

from tests.contract.delivery.pushing import Pushing, open_pushing
from tests.contract.services import conftest as services
from tests.providers.authority import Authority

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import pytest

    from tests.contract.services.world import Tenant, World


# A MongoDB that a test can let fail, the services on it, and an environment: of these tests' own.
mongodb_uri, world, other_world, tenant = services.mongodb_uri, services.world, services.other_world, services.tenant


@pytest_asyncio.fixture(autouse=True, loop_scope="session")
async def _nothing_is_due(world: World) -> None:
    """Takes what earlier tests have left from the workers of this one: they see all environments."""
    await world.database.messages.update_many(
        {"$or": [{"due_time": {"$exists": True}}, {"lease": {"$exists": True}}]},
        {"$unset": {"due_time": "", "lease": ""}},
    )


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
