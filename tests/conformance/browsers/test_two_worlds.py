"""NotificationAPI's SDKs and Carillon's own clients at the same inbox: what one does, the others show."""

from __future__ import annotations

import asyncio
import re
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
import pytest
import pytest_asyncio
from playwright.async_api import expect

from carillon.v1 import inbox_pb2
from services.kernel.auth import basic_authorization, user_hash
from tests.conformance.browsers.js_client import ChromiumPage, JsClient
from tests.conformance.browsers.sdks import PATIENCE_S, comes_to
from tests.contract.services.world import Caller
from tests.e2e.browser import open_page
from tests.e2e.element import badge, bell, panel, titles
from tests.e2e.pages import serve_pages
from tests.e2e.test_element_live import address

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Browser, Page

    from tests.conformance.browsers.core import Core
    from tests.conformance.browsers.sdks import Node
    from tests.e2e.stack import Stack

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(600)]


@dataclass(frozen=True)
class Worlds:
    """One user with everything open, and their backend."""

    user_id: str
    node: Node
    js_client: JsClient
    core: Core
    element: Page
    watch: Any
    """A stream of WatchInbox that has had its welcome."""

    async def send(self, title: str) -> str:
        """Sends with the Node SDK, and gives the tracking id."""
        body = {"type": "note", "to": {"id": self.user_id}, "parameters": {"title": title}}
        sent: str = await self.node.evaluate("async body => (await server.send(body)).data.trackingId", body)
        return sent

    async def show(self, title: str) -> str:
        """Sends, and awaits that all show it as unread."""
        sent = await self.send(title)
        await self.js_client.shows_badge("1")
        await expect(badge(self.element)).to_have_text("1")
        await comes_to([sent], self.core.heard)
        assert (await self.event()).created.item.id == sent
        return sent

    async def retract(self) -> None:
        """Takes back all that was sent, with the Node SDK."""
        body = {"notificationId": "note", "userId": self.user_id}
        await self.node.evaluate("body => server.retract(body).then(() => {})", body)

    async def event(self) -> inbox_pb2.WatchInboxResponse:
        """Awaits what WatchInbox says next."""
        async with asyncio.timeout(PATIENCE_S):
            told = await self.watch.read()
        assert isinstance(told, inbox_pb2.WatchInboxResponse)
        return told


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def element_url() -> AsyncIterator[str]:
    """Where the page with our element is."""
    async with serve_pages() as address:
        yield address


@pytest_asyncio.fixture(loop_scope="session")
async def worlds(
    node: Node, stack: Stack, core: Core, browser: Browser, url: str, element_url: str, user_id: str
) -> AsyncIterator[Worlds]:
    """js-client and our element in two browsers, core in a program and WatchInbox in another: all of them live."""
    await node.evaluate(
        "([id, secret, baseURL]) => server.init(id, secret, { baseURL })",
        [stack.client_id, stack.client_secret, f"http://127.0.0.1:{stack.http_port}"],
    )
    async with AsyncExitStack() as exits:
        js_page, element = [await exits.enter_async_context(open_page(browser)) for _ in range(2)]
        channel = await exits.enter_async_context(grpc.aio.insecure_channel(f"127.0.0.1:{stack.grpc_port}"))
        user = Caller(channel, [basic_authorization(stack.client_id, user_id, user_hash(stack.client_secret, user_id))])
        watch = user.inbox.WatchInbox(inbox_pb2.WatchInboxRequest(), timeout=None)
        exits.callback(watch.cancel)
        worlds = Worlds(user_id, node, JsClient(ChromiumPage(js_page, url), stack, user_id), core, element, watch)
        assert (await worlds.event()).HasField("welcome")
        await worlds.js_client.start(markAsReadMode="MANUAL")
        await worlds.js_client.open()
        await worlds.js_client.in_step()
        await core.become(user_id)
        await core.listen()
        await element.goto(address(element_url, stack, user_id))
        await bell(element).click()
        await expect(panel(element).get_by_text("all caught up")).to_be_visible()
        yield worlds


async def test_a_send_is_seen_by_all(worlds: Worlds) -> None:
    """What the Node SDK sends is live in js-client, core, our element and WatchInbox, under one id."""
    sent = await worlds.send("To all")

    await worlds.js_client.shows_titles("To all")
    await worlds.js_client.shows_badge("1")
    await comes_to([sent], worlds.core.heard)
    await expect(titles(worlds.element)).to_have_text(["Unread. To all"])
    await expect(badge(worlds.element)).to_have_text("1")
    told = await worlds.event()
    assert (told.created.item.id, told.created.item.content.title, told.unread_change) == (sent, "To all", 1)
    assert [item["id"] for item in await worlds.core.items()] == [sent]


async def test_read_in_js_client(worlds: Worlds) -> None:
    """What is read in js-client is read in our element and WatchInbox at once, and in what core gets."""
    sent = await worlds.show("Read there")

    await worlds.js_client.page.click(".notificationapi-notification-menu-button")
    await worlds.js_client.page.click(".notificationapi-notification-menu-item")

    await expect(badge(worlds.element)).to_be_hidden()
    await expect(titles(worlds.element)).to_have_text(["Read there"])
    told = await worlds.event()
    assert (list(told.updated.ids), told.unread_change) == ([sent], -1)
    assert told.updated.set.HasField("opened_time")
    (item,) = await worlds.core.items()
    assert (item["id"], item["seen"], item["opened"][-1]) == (sent, True, "Z")


async def test_read_in_our_element(worlds: Worlds) -> None:
    """What is read in our element leaves the badge of js-client at once, and is read there after a reload."""
    sent = await worlds.show("Read here")

    await panel(worlds.element).get_by_role("button", name="Mark as read").click()

    await worlds.js_client.shows_badge("")
    told = await worlds.event()
    assert (list(told.updated.ids), told.unread_change) == ([sent], -1)
    (item,) = await worlds.core.items()
    assert (item["id"], item["seen"]) == (sent, True)

    await worlds.js_client.start(markAsReadMode="MANUAL")
    await worlds.js_client.open()
    await worlds.js_client.shows_titles("Read here")
    await worlds.js_client.shows_unseen()
    await worlds.js_client.shows_badge("")


async def test_archived_in_core(worlds: Worlds) -> None:
    """What is archived in core leaves our element for the archive, and is unread nowhere; core gets it as archived."""
    sent = await worlds.show("Put away")

    await worlds.core.call("updateInAppNotifications", {"ids": [sent], "archived": True})

    await expect(titles(worlds.element)).to_have_count(0)
    await expect(badge(worlds.element)).to_be_hidden()
    await worlds.js_client.shows_badge("")
    told = await worlds.event()
    assert list(told.updated.ids) == [sent]
    assert told.updated.set.HasField("archive_time")
    (item,) = await worlds.core.items()
    assert (item["id"], item["seen"], item["archived"][-1]) == (sent, True, "Z")
    await panel(worlds.element).get_by_role("tab", name="Archive").click()
    await expect(titles(worlds.element)).to_have_text([re.compile("Put away")])


async def test_retracted_by_the_node_sdk(worlds: Worlds) -> None:
    """What the Node SDK takes back is gone everywhere: from js-client's badge at once, from its list after a reload."""
    sent = await worlds.show("A mistake")

    await worlds.retract()

    await expect(titles(worlds.element)).to_have_count(0)
    await expect(badge(worlds.element)).to_be_hidden()
    await worlds.js_client.shows_badge("")
    told = await worlds.event()
    assert (list(told.retracted.ids), told.unread_change) == ([sent], -1)
    assert await worlds.core.items() == []
    await worlds.js_client.start(markAsReadMode="MANUAL")
    await worlds.js_client.open()
    await worlds.js_client.in_step()
    await worlds.js_client.shows_titles()
