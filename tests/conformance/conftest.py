from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest_asyncio

from services.kernel.mongod import LocalMongod
from tests.e2e.stack import run_stack

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import pytest

    from tests.contract.services.world import Caller
    from tests.e2e.stack import Stack

CATALOGUE = Path(__file__).parent / "catalogue.yaml"


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """A fresh stack of processes; its one environment lets no user in without a proof."""
    async with LocalMongod(tmp_path_factory.mktemp("mongod")) as mongod, run_stack(mongod.uri) as stack:
        applied = await stack.apply(CATALOGUE)
        assert applied.code == 0, applied.stderr
        yield stack


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def backend(stack: Stack) -> AsyncIterator[Caller]:
    """Carillon's own interface, which tells what an SDK's call has really done."""
    async with stack.backend() as backend:
        yield backend
