"""carillon.js in Chromium, on a page without anything else, against real services and a real gateway."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from tests.e2e.client_page import open_client
from tests.e2e.stack import TITLE, order_tracking, retract_order_tracking

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Browser

    from tests.contract.services.world import Caller
    from tests.e2e.client_page import ClientPage
    from tests.e2e.stack import Stack

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.fixture
def user_id() -> str:
    """A user of the test's own."""
    return uuid.uuid4().hex


@pytest_asyncio.fixture(loop_scope="session")
async def backend(stack: Stack) -> AsyncIterator[Caller]:
    """Calls the services as a backend does."""
    async with stack.backend() as backend:
        yield backend


@pytest_asyncio.fixture(loop_scope="session")
async def client(browser: Browser, stack: Stack, user_id: str) -> AsyncIterator[ClientPage]:
    """A client that is live, with an empty inbox."""
    async with open_client(browser, stack, user_id) as client:
        yield client


async def test_arrives_and_is_retracted(client: ClientPage, backend: Caller, user_id: str) -> None:
    """What is sent is there at once, with the badge and one sound; what is taken back is gone."""
    await backend.sender.Send(order_tracking(user_id))
    await client.until("told.new.length === 1")
    assert await client.titles() == [TITLE]
    assert await client.run("client.unreadCount") == 1

    await backend.sender.Retract(retract_order_tracking(user_id))
    await client.until("titles().length === 0")
    assert await client.run("client.unreadCount") == 0
    assert await client.run("told.change.map(({ kind }) => kind)") == ["welcome", "created", "retracted"]
