from __future__ import annotations

import uuid
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from google.protobuf import field_mask_pb2

from carillon.v1 import environments_pb2, notifications_pb2, sub_notifications_pb2
from tests.conformance.browsers.certificate import write_certificate
from tests.conformance.browsers.core import Core
from tests.conformance.browsers.js_client import CURRENT, ChromiumPage, JsClient, JsdomPage
from tests.conformance.browsers.sdks import WEB, run_node
from tests.contract.services.requests import EMAIL, INAPP_WEB, definition, inapp
from tests.e2e.browser import launch_chromium, open_page
from tests.e2e.pages import serve_folders

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Browser

    from tests.conformance.browsers.js_client import Page
    from tests.conformance.browsers.sdks import Node
    from tests.contract.services.world import Caller
    from tests.e2e.stack import Stack


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def backend(backend: Caller) -> Caller:
    """Carillon's own interface, with two notifications defined whose items have the title of the test."""
    await define(backend)
    return backend


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def open_stack(stack: Stack) -> Stack:
    """The same stack as another environment, which asks its users for no proof, and pushes to browsers."""
    opened = replace(stack, client_id="chum-bucket", client_secret="")
    for made in (await opened.create_environment(), await opened.create_vapid_keys()):
        assert made.code == 0, made.stderr
    async with opened.backend() as backend:
        await define(backend)
        mask = field_mask_pb2.FieldMask(paths=["secure_mode"])
        await backend.environments.UpdateEnvironment(environments_pb2.UpdateEnvironmentRequest(update_mask=mask))
    return opened


async def define(backend: Caller) -> None:
    """Defines what the tests send."""
    note = definition("note", inapp("{{ title }}"), title="Notes", channels=(INAPP_WEB, EMAIL))
    news = definition("news", inapp("{{ title }}"), title="News")
    for made in (note, news):
        await backend.notifications.PutNotification(notifications_pb2.PutNotificationRequest(notification=made))
    part = sub_notifications_pb2.PutSubNotificationRequest(
        notification_id="note", sub_notification_id="family", title="Notes of the family"
    )
    await backend.sub_notifications.PutSubNotification(part)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def node(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Node]:
    """The process that runs the SDKs."""
    folder = tmp_path_factory.mktemp("browsers")
    async with run_node(folder / "sdks", write_certificate(folder)) as node:
        yield node


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def core(node: Node, stack: Stack, backend: Caller) -> Core:
    """core, and TLS before the gateway, as it speaks nothing else; not yet anybody's."""
    assert backend  # which has defined what is sent
    return Core(node, stack, await node.terminate_tls(stack.http_port), await node.terminate_tls(stack.ws_port))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """One Chromium for all tests; each has a profile of its own."""
    async with launch_chromium() as browser:
        yield browser


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def url(node: Node) -> AsyncIterator[str]:
    """Where the page of a customer is: another origin than the gateway's."""
    async with serve_folders({"/sdk": node.modules / CURRENT, "/": WEB}) as address:
        yield f"{address}/page.html"


@pytest.fixture
def user_id() -> str:
    """A user of the test's own."""
    return uuid.uuid4().hex


@pytest_asyncio.fixture(loop_scope="session", params=["jsdom", "chromium"])
async def page(request: pytest.FixtureRequest, node: Node, url: str, browser: Browser) -> AsyncIterator[Page]:
    """A page with the current js-client; nothing is thrown in it that nobody catches."""
    if request.param == "jsdom":
        page = JsdomPage(node, CURRENT)
        yield page
        await page.close()
    else:
        async with open_page(browser) as opened:
            yield ChromiumPage(opened, url)


@pytest.fixture
def client(page: Page, stack: Stack, backend: Caller, user_id: str) -> JsClient:
    """The client of the test's user, in that page; not started yet."""
    assert backend  # which has defined what is sent
    return JsClient(page, stack, user_id)
