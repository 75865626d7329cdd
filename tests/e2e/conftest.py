from __future__ import annotations

from typing import TYPE_CHECKING

import pytest_asyncio

from services.kernel.mongod import LocalMongod
from tests.e2e.browser import launch_chromium
from tests.e2e.stack import run_stack

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import pytest
    from playwright.async_api import Browser

    from tests.e2e.stack import Stack


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """One browser for all tests; each has a profile of its own."""
    async with launch_chromium() as browser:
        yield browser


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def mongodb_uri(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """Where the MongoDB of the tests is; each stack has a database of its own."""
    async with LocalMongod(tmp_path_factory.mktemp("mongod")) as mongod:
        yield mongod.uri


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def stack(mongodb_uri: str) -> AsyncIterator[Stack]:
    """Running services and a running gateway; each test has a user of its own."""
    async with run_stack(mongodb_uri) as stack:
        yield stack
