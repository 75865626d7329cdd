from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
import structlog

from services.kernel.mongod import LocalMongod
from tests.contract.gateway.world import run_world

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from contextlib import AbstractAsyncContextManager

    from tests.contract.gateway.world import World


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def mongod(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalMongod]:
    """Gives the MongoDB of all tests; each uses a database of its own."""
    async with LocalMongod(tmp_path_factory.mktemp("mongod")) as running:
        yield running


@pytest.fixture
def start(mongod: LocalMongod) -> Callable[..., AbstractAsyncContextManager[World]]:
    """Gives what runs a gateway, with settings of the test's own."""
    return lambda **settings: run_world(mongod, **settings)


@pytest.fixture
def lines() -> Iterator[list[Any]]:
    """Gives the lines that are logged."""
    with structlog.testing.capture_logs() as captured:
        yield captured
