"""A page with nothing on it but carillon.js, and what a test needs to see what the client there does."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from services.kernel.auth import user_hash
from tests.e2e.browser import open_page

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from playwright.async_api import Browser, Page, WebSocket

    from tests.e2e.stack import Stack

PATIENCE_S = 60

# `until` looks again whenever the client says that something happened: nothing is asked over and over.
_START = """async ({ asksForTokens, keeps, ...options }) => {
  const { CarillonClient } = await import("/carillon.js");
  if (asksForTokens) options.onTokenNeeded = () => window.newToken();
  if (keeps) options.storage = sessionStorage;
  const client = new CarillonClient(options);
  const told = { state: [], new: [], change: [], problem: [], preferences: [] };
  for (const type of Object.keys(told)) client.addEventListener(type, ({ detail }) => told[type].push(detail));
  const titles = (view = "inbox") => client.view(view).items.map(({ title }) => title);
  const ids = (view = "inbox") => client.view(view).items.map(({ id }) => id).join(" ");
  const until = (holds) => new Promise((resolve) => {
    const look = () => holds() && resolve();
    for (const type of Object.keys(told)) client.addEventListener(type, look);
    for (const name of ["inbox", "unread", "archive"]) client.view(name).addEventListener("change", look);
    look();
  });
  Object.assign(window, { client, told, titles, ids, until });
  client.connect();
}"""


@dataclass
class ClientPage:
    """A page that runs one client."""

    page: Page
    sockets: list[WebSocket] = field(default_factory=list)
    sent: list[dict[str, Any]] = field(default_factory=list)
    """All frames that it sent, of all its sockets."""

    received: list[dict[str, Any]] = field(default_factory=list)

    async def start(self, origin: str, /, **options: object) -> None:
        """Opens the page anew, and connects there; the storage of the tab stays."""
        # Any page of the gateway's has its origin and its policy; this one has no script of its own.
        await self.page.goto(f"{origin}/healthz")
        await self.page.evaluate(_START, options)

    async def run(self, script: str, value: object = None) -> Any:
        """Runs an expression with `client`, `told`, `titles`, `ids`, `until` and `value`; awaits what it promises."""
        async with asyncio.timeout(PATIENCE_S):
            return await self.page.evaluate(f"async (value) => {script}", value)

    async def until(self, condition: str, value: object = None) -> None:
        """Awaits that an expression is true."""
        await self.run(f"await until(() => {condition})", value)

    async def titles(self, view: str = "inbox") -> list[str]:
        """Gives what a view shows."""
        titles: list[str] = await self.run("titles(value)", view)
        return titles

    def sent_of(self, kind: str) -> list[dict[str, Any]]:
        """Gives the frames of a type that it sent."""
        return [frame for frame in self.sent if frame["type"] == kind]

    def received_of(self, kind: str) -> list[dict[str, Any]]:
        """Gives the frames of a type that it got."""
        return [frame for frame in self.received if frame["type"] == kind]


@asynccontextmanager
async def open_client_page(browser: Browser) -> AsyncIterator[ClientPage]:
    """Gives a page in a fresh profile, with no client yet."""
    async with open_page(browser) as page:
        client = ClientPage(page)
        page.on("websocket", lambda socket: _record(socket, client))
        yield client


@asynccontextmanager
async def open_client(browser: Browser, stack: Stack, user_id: str, **options: object) -> AsyncIterator[ClientPage]:
    """Gives a page with a client of a user that is live."""
    async with open_client_page(browser) as client:
        await client.start(http_url(stack), **by_hash(stack, user_id), **options)
        await client.until("client.state === 'live'")
        yield client


def http_url(stack: Stack) -> str:
    """Gives where the gateway's pages are."""
    return f"http://127.0.0.1:{stack.http_port}"


def socket_url(stack: Stack) -> str:
    """Gives where its sockets are."""
    return f"ws://127.0.0.1:{stack.ws_port}/v1/inbox"


def by_hash(stack: Stack, user_id: str) -> dict[str, str]:
    """Gives the options of a client whom a hash lets in."""
    return {
        "url": socket_url(stack),
        "clientId": stack.client_id,
        "userId": user_id,
        "userHash": user_hash(stack.client_secret, user_id),
    }


def _record(socket: WebSocket, client: ClientPage) -> None:
    def into(frames: list[dict[str, Any]]) -> Callable[[str | bytes], None]:
        return lambda payload: frames.append(json.loads(payload))

    client.sockets.append(socket)
    socket.on("framesent", into(client.sent))
    socket.on("framereceived", into(client.received))
