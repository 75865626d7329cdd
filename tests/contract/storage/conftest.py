from __future__ import annotations

from typing import TYPE_CHECKING

import pytest_asyncio

from services.kernel.mongod import LocalMongod
from tests import failpoints
from tests.contract.storage.world import Box, open_box

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import pytest


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def mongod(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalMongod]:
    """Gives a MongoDB that can be told to fail; each test uses a database of its own."""
    async with LocalMongod(tmp_path_factory.mktemp("mongod"), extra_args=failpoints.ENABLED) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def box(mongod: LocalMongod) -> AsyncIterator[Box]:
    """Gives an empty collection of messages with its indexes."""
    async with open_box(mongod.uri) as box:
        yield box
