"""The service worker of web push in a real browser, which is handed pushes as its push service would."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from gateway.http.app import create_app, serve_http

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from playwright.async_api import Browser, CDPSession, Page, Worker

pytestmark = pytest.mark.asyncio(loop_scope="session")

# Shown in the order of their coming, with what a person sees and a click needs.
SHOWN = """async () => {
  const registration = await navigator.serviceWorker.ready;
  const shown = await registration.getNotifications();
  return shown.map(({ title, body, icon, tag, renotify, data }) => ({ title, body, icon, tag, renotify, data }));
}"""
REGISTER = """async () => {
  await navigator.serviceWorker.register("/push-worker.js");
  const { active } = await navigator.serviceWorker.ready;
  if (active.state === "activated") return;
  await new Promise((resolve) => active.addEventListener("statechange", resolve, { once: true }));
}"""
# Makes `taken` what the next event has the browser wait for.
NOTE_WORK = """() => {
  const { waitUntil } = ExtendableEvent.prototype;
  self.taken = new Promise((resolve, reject) => {
    ExtendableEvent.prototype.waitUntil = function (work) {
      ExtendableEvent.prototype.waitUntil = waitUntil;
      waitUntil.call(this, work);
      work.then(resolve, reject);
    };
  });
}"""


class PushService:
    """Hands pushes to one browser, and waits until they have been taken."""

    def __init__(self, page: Page, session: CDPSession, worker: Worker, registration_id: str) -> None:
        self.page = page
        self.worker = worker
        self._session = session
        self._registration_id = registration_id

    async def push(self, push: dict[str, Any] | str) -> list[dict[str, Any]]:
        """Delivers a push, and gives the notifications that are shown once the worker has taken it."""
        text = push if isinstance(push, str) else json.dumps(push)
        await self.worker.evaluate(NOTE_WORK)
        await self._session.send(
            "ServiceWorker.deliverPushMessage",
            {"origin": self.origin, "registrationId": self._registration_id, "data": text},
        )
        assert await self.worker.evaluate("self.taken") is None
        return await self.shown()

    async def shown(self) -> list[dict[str, Any]]:
        """Gives the notifications that are shown."""
        shown: list[dict[str, Any]] = await self.page.evaluate(SHOWN)
        return shown

    @property
    def origin(self) -> str:
        """Where the worker is from."""
        scheme, host, *_ = urlsplit(self.page.url)
        return f"{scheme}://{host}"


async def start_worker(page: Page, register: Callable[[], Awaitable[object]]) -> PushService:
    """Has a page register its worker, and gives the push service of that browser."""
    session = await page.context.new_cdp_session(page)
    registered: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def take(event: dict[str, Any]) -> None:
        for registration in event["registrations"]:
            if not registered.done():
                registered.set_result(registration["registrationId"])

    session.on("ServiceWorker.workerRegistrationUpdated", take)
    await session.send("ServiceWorker.enable")
    async with page.context.expect_event("serviceworker") as starting:
        await register()
    return PushService(page, session, await starting.value, await registered)


@asynccontextmanager
async def serve_files() -> AsyncIterator[str]:
    """Serves what a gateway serves, without a gateway."""
    port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        app = create_app(ws_port=8081)
        group.create_task(serve_http(app, host="127.0.0.1", port=0, stop=stop, on_ready=port.set_result))
        try:
            yield f"http://127.0.0.1:{await port}"
        finally:
            stop.set()


@pytest_asyncio.fixture(loop_scope="session")
async def service(browser: Browser) -> AsyncIterator[PushService]:
    """A page whose worker is active, and whose user has allowed notifications."""
    async with serve_files() as url:
        context = await browser.new_context()
        try:
            await context.grant_permissions(["notifications"], origin=url)
            page = await context.new_page()
            await page.goto(f"{url}/healthz")
            yield await start_worker(page, lambda: page.evaluate(REGISTER))
        finally:
            await context.close()


async def test_a_push_is_shown_and_taken_back(service: PushService) -> None:
    """A push is shown with its texts, picture and address; its retraction closes it, and nothing else."""
    item = {
        "title": "Your order",
        "body": "is on its way",
        "url": "/orders/1",
        "icon_url": "/bell.svg",
        "item_id": "i1",
        "tracking_id": "m1",
    }
    (shown,) = await service.push(item)
    assert shown == {
        "title": "Your order",
        "body": "is on its way",
        "icon": f"{service.origin}/bell.svg",
        "tag": "i1",
        "renotify": True,
        "data": {"url": f"{service.origin}/orders/1", "item_id": "i1", "tracking_id": "m1"},
    }
    assert len(await service.push({"title": "Another", "item_id": "i2"})) == 2

    assert [one["title"] for one in await service.push({"item_id": "i1", "retract": True})] == ["Another"]
    # What is not shown cannot be taken back, and a retraction of nothing takes nothing.
    assert len(await service.push({"tag": "i9", "retract": True})) == 1
    assert len(await service.push({"retract": True})) == 1


async def test_a_tag_replaces(service: PushService) -> None:
    """What comes under one tag takes the other's place; the same message again does so silently."""
    first = {"title": "1:0", "tag": "score", "item_id": "i1", "tracking_id": "m1"}
    await service.push(first)

    (shown,) = await service.push(first | {"title": "2:0", "item_id": "i2", "tracking_id": "m2"})
    assert (shown["title"], shown["tag"], shown["renotify"]) == ("2:0", "score", True)
    (shown,) = await service.push(first | {"title": "2:0", "item_id": "i2", "tracking_id": "m2"})
    assert (shown["title"], shown["renotify"]) == ("2:0", False)

    assert await service.push({"tag": "score", "retract": True}) == []


@pytest.mark.parametrize(
    ("push", "title"),
    [("just text", "just text"), ("[1]", "[1]"), ("null", "null"), ("", None), ({}, None), ({"title": 5}, None)],
)
async def test_whatever_is_pushed_is_shown(service: PushService, push: Any, title: str | None) -> None:
    """A text that is no JSON is a title; what has none is shown as from this host: a browser wants it so."""
    (shown,) = await service.push(push)

    assert shown["title"] == (title or service.origin.removeprefix("http://"))
    assert (shown["body"], shown["tag"]) == ("", "")


@pytest.mark.parametrize("address", ["javascript:alert(1)", "data:text/html,x", "http://[", "blob:x", 7])
async def test_other_schemes_lead_nowhere(service: PushService, address: Any) -> None:
    """What is neither http nor https becomes no address to open, and no picture."""
    (shown,) = await service.push({"title": "t", "url": address, "icon_url": address})

    assert shown["data"].get("url") is None
    assert shown["icon"] == ""


async def test_a_click_finds_the_window(service: PushService) -> None:
    """An address that is open already is that window; without one any page of ours will do."""
    windows = [{"url": "https://elsewhere.example/"}, {"url": f"{service.origin}/a"}, {"url": f"{service.origin}/b"}]

    async def find(*address: str) -> dict[str, str] | None:
        found: dict[str, str] | None = await service.worker.evaluate(
            "([windows, address]) => findWindow(windows, ...address)", [windows, address]
        )
        return found

    assert await find(f"{service.origin}/b") == windows[2]
    assert await find(f"{service.origin}/c") is None
    assert await find() == windows[1]


async def test_a_click_closes(service: PushService) -> None:
    """What was clicked is not shown any more, the others are."""
    await service.push({"title": "clicked", "tag": "1"})
    await service.push({"title": "not clicked", "tag": "2"})

    await service.worker.evaluate(
        """async () => {
          const [notification] = await registration.getNotifications({ tag: "1" });
          self.dispatchEvent(new NotificationEvent("notificationclick", { notification }));
        }"""
    )

    assert [one["title"] for one in await service.shown()] == ["not clicked"]


async def test_pages_are_told_of_another_subscription(service: PushService) -> None:
    """When the push service has ended a subscription, the open pages are told, and may subscribe anew."""
    await service.page.evaluate(
        """() => {
          self.told = new Promise((resolve) => {
            navigator.serviceWorker.addEventListener("message", ({ data }) => resolve(data), { once: true });
          });
          navigator.serviceWorker.startMessages();
        }"""
    )
    # As a browser says it that does not tell which one has ended.
    await service.worker.evaluate('void self.dispatchEvent(new ExtendableEvent("pushsubscriptionchange"))')

    assert await service.page.evaluate("self.told") == {
        "type": "carillon-push-subscription",
        "subscription": None,
        "old_endpoint": "",
    }
