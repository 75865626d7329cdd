"""An environment without secure mode, as NotificationAPI's begin, which pushes to browsers."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from carillon.v1 import users_pb2
from tests.conformance.browsers.inbox import send
from tests.conformance.browsers.js_client import JsClient
from tests.conformance.browsers.sdks import comes_to

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.conformance.browsers.core import Core
    from tests.conformance.browsers.js_client import Page
    from tests.contract.services.world import Caller
    from tests.e2e.stack import Stack

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(600)]


@pytest_asyncio.fixture(loop_scope="session")
async def open_backend(open_stack: Stack) -> AsyncIterator[Caller]:
    """The backend of that environment."""
    async with open_stack.backend() as backend:
        yield backend


async def test_js_client_without_a_hash(page: Page, open_stack: Stack, open_backend: Caller, user_id: str) -> None:
    """js-client has its inbox, and tells who its user is, with a user id alone."""
    client = JsClient(page, open_stack, user_id)
    await client.start("")
    await client.open()
    await client.in_step()
    await send(open_backend, user_id, "Live")
    await client.shows_titles("Live")

    await page.evaluate("user => client.identify(user)", {"email": "plankton@chumbucket.com"})
    user = await open_backend.users.GetUser(users_pb2.GetUserRequest(user_id=user_id))
    assert user.user.email == "plankton@chumbucket.com"


async def test_core_without_a_hash(core: Core, open_stack: Stack, open_backend: Caller, user_id: str) -> None:
    """So does core."""
    core = replace(core, stack=open_stack)
    await core.become(user_id, "")
    await core.listen()
    sent = await send(open_backend, user_id, "Live")
    await comes_to([sent], core.heard)
    assert [item["id"] for item in await core.items()] == [sent]

    await core.call("identify", {"email": "plankton@chumbucket.com"})
    assert (await core.call("user.get"))["email"] == "plankton@chumbucket.com"


async def test_web_push_is_offered(page: Page, core: Core, open_stack: Stack, user_id: str) -> None:
    """js-client asks whether it may push, and has the key for it; core is told the same."""
    client = JsClient(page, open_stack, user_id)
    await client.start("")
    await client.open()
    await page.click(".notificationapi-no-thanks-button")
    key = await page.evaluate("() => client.state.webPushSettings.applicationServerKey")
    assert len(key) == 87

    core = replace(core, stack=open_stack)
    await core.become(user_id, "")
    told = (await core.call("getUserAccountMetadata"))["userAccountMetadata"]
    assert (told["environmentVapidPublicKey"], told["hasWebPushEnabled"]) == (key, True)
