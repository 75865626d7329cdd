from __future__ import annotations

from typing import TYPE_CHECKING

import pytest_asyncio

from services.kernel.mongod import LocalMongod
from tests.e2e.browser import launch_chromium, open_page
from tests.e2e.pages import serve_pages
from tests.e2e.stack import run_stack

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import pytest
    from playwright.async_api import Browser, Page

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


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def url() -> AsyncIterator[str]:
    """Where the pages with the element are."""
    async with serve_pages() as url:
        yield url


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Browser) -> AsyncIterator[Page]:
    """A page in a fresh profile, and nothing wrong on its console at the end."""
    async with open_page(browser) as page:
        yield page
