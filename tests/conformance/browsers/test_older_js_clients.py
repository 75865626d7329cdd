"""js-client 4.0.0 and 4.4.0, in jsdom: what they do otherwise than 4.7.1 does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from carillon.v1 import users_pb2
from tests.conformance.browsers.inbox import count_unread, send
from tests.conformance.browsers.js_client import JsClient, JsdomPage
from tests.conformance.browsers.sdks import comes_to

if TYPE_CHECKING:
    from tests.conformance.browsers.sdks import Node
    from tests.contract.services.world import Caller
    from tests.e2e.stack import Stack

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(600)]


async def test_4_0(node: Node, stack: Stack, backend: Caller, user_id: str) -> None:
    """4.0.0 never asks for the environment; badge, list, live items and preferences are as ever."""
    page = JsdomPage(node, "js-client-4-0")
    client = JsClient(page, stack, user_id)
    await send(backend, user_id, "First")
    await client.start(markAsReadMode="MANUAL")
    await client.open()
    await client.shows_titles("First")
    await client.shows_badge("1")
    await send(backend, user_id, "Live")
    await client.shows_titles("Live", "First")

    await page.click(".notificationapi-notification-menu-button")
    await page.click(".notificationapi-notification-menu-item")
    await client.shows_unseen("First")
    await comes_to(1, lambda: count_unread(backend, user_id))
    await client.in_step()
    await client.shows_badge("1")
    assert "environment/data" not in await client.routes()
    await page.close()


async def test_4_4(node: Node, stack: Stack, backend: Caller, user_id: str) -> None:
    """4.4.0 writes credentials percent-encoded: a user with a slash in the id is known nevertheless."""
    user_id = f"krusty/krab:{user_id}"
    page = JsdomPage(node, "js-client-4-4")
    client = JsClient(page, stack, user_id)
    await send(backend, user_id, "First")
    await client.start()
    await client.open()
    await client.shows_titles("First")

    await page.evaluate("user => client.identify(user)", {"email": "krabs@krustykrab.com"})
    user = await backend.users.GetUser(users_pb2.GetUserRequest(user_id=user_id))
    assert user.user.email == "krabs@krustykrab.com"
    await page.close()
