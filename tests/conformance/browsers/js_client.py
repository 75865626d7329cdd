"""A page with NotificationAPI's js-client, in jsdom or in Chromium, and what a person sees of it and does with it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from services.kernel.auth import user_hash
from tests.conformance.browsers.sdks import PATIENCE_S, WEB, comes_to

if TYPE_CHECKING:
    from playwright.async_api import Page as PlaywrightPage

    from tests.conformance.browsers.sdks import Node
    from tests.e2e.stack import Stack

CURRENT = "js-client-4-7"
_SHOWN = "() => look.{}()"


class Page(Protocol):
    """A page that has loaded js-client."""

    async def evaluate(self, code: str, argument: Any = None) -> Any:
        """Calls a function in the page."""

    async def click(self, selector: str) -> None:
        """Clicks the first that there is."""

    async def scroll(self, selector: str) -> None:
        """Scrolls to the end of what is there now."""

    async def reload(self) -> None:
        """Loads the page anew."""


class JsdomPage:
    """A page in jsdom."""

    def __init__(self, node: Node, version: str) -> None:
        self._node = node
        self._version = version
        self._number: int | None = None

    async def evaluate(self, code: str, argument: Any = None) -> Any:
        """Calls a function in the page."""
        return await self._node.evaluate(code, argument, page=self._number)

    async def click(self, selector: str) -> None:
        """Clicks the first that there is."""
        await comes_to(True, lambda: self.evaluate("s => document.querySelector(s) !== null", selector))
        await self.evaluate("s => { document.querySelector(s).click(); }", selector)

    async def scroll(self, selector: str) -> None:
        """Says that it was scrolled: without a layout, every place is the end."""
        await self.evaluate("s => { document.querySelector(s).dispatchEvent(new Event('scroll')); }", selector)

    async def reload(self) -> None:
        """Loads the page anew."""
        await self.close()
        sdk = self._node.modules / self._version / "dist" / "notificationapi-js-client-sdk.js"
        page = {
            "html": (WEB / "page.html").read_text(),
            "scripts": [str(sdk), str(WEB / "looking.js")],
            "url": "http://app.example.com/",
        }
        self._number = await self._node.evaluate("page => openPage(page)", page)

    async def close(self) -> None:
        """Closes the page, in which nothing may have been thrown that nobody caught."""
        if self._number is not None:
            assert await self._node.evaluate("n => closePage(n)", self._number) == []
        self._number = None


class ChromiumPage:
    """A page in Chromium, from another origin than the gateway's."""

    def __init__(self, page: PlaywrightPage, url: str) -> None:
        self._page = page
        self._url = url

    async def evaluate(self, code: str, argument: Any = None) -> Any:
        """Calls a function in the page."""
        async with asyncio.timeout(PATIENCE_S):
            return await self._page.evaluate(code, argument)

    async def click(self, selector: str) -> None:
        """Clicks the first that there is, once it can be seen."""
        await self._page.locator(selector).first.click()

    async def scroll(self, selector: str) -> None:
        """Turns the wheel, up a little first: at the end, there is nothing to scroll down."""
        await self._page.locator(selector).hover(position={"x": 20, "y": 20})
        await self._page.mouse.wheel(0, -300)
        await self._page.mouse.wheel(0, 100_000)

    async def reload(self) -> None:
        """Loads the page anew."""
        await self._page.goto(self._url)


@dataclass(frozen=True)
class JsClient:
    """The client of one user in a page."""

    page: Page
    stack: Stack
    user_id: str

    async def start(self, user_hash_: str | None = None, **shown: object) -> None:
        """Loads the page anew, and does what the documentation says: makes a client, and shows the bell.

        Args:
            user_hash_: The proof; None: the right one.
            shown: Options of the bell.
        """
        proof = user_hash(self.stack.client_secret, self.user_id) if user_hash_ is None else user_hash_
        options = {
            "clientId": self.stack.client_id,
            "userId": self.user_id,
            "userIdHash": proof,
            "websocket": f"ws://127.0.0.1:{self.stack.ws_port}",
            "restBaseURL": f"http://127.0.0.1:{self.stack.http_port}",
        }
        await self.page.reload()
        await self.page.evaluate(
            """([options, shown]) => {
              window.client = new NotificationAPI(options);
              client.showInApp(shown);
              client.websocket.addEventListener("open", () => (window.hasOpened = true));
            }""",
            [options, {"root": "inbox", "popupPosition": "bottomRight", **shown}],
        )

    async def open(self) -> None:
        """Opens the list by the bell."""
        await self.page.click(".notificationapi-button")

    async def shows_badge(self, text: str) -> None:
        """Awaits the number at the bell; "" is none."""
        await self._comes_to(text, "badge")

    async def shows_titles(self, *titles: str) -> None:
        """Awaits the titles of the open list."""
        await self._comes_to(list(titles), "titles")

    async def shows_unseen(self, *titles: str) -> None:
        """Awaits the titles that are drawn as unread."""
        await self._comes_to(list(titles), "unseen")

    async def shows_switches(self, **switches: bool) -> None:
        """Awaits the switches of the open preferences, by notification, part and channel with "__" between."""
        await self._comes_to({name.replace("__", " "): is_on for name, is_on in switches.items()}, "switches")

    async def routes(self) -> list[str]:
        """Gives the routes of the frames that it has sent."""
        found: list[str] = await self.page.evaluate("() => sent.map(({ route }) => route)")
        return found

    async def in_step(self) -> None:
        """Awaits an answer of the socket: what the gateway had to say before, the page has heard."""
        await comes_to(True, lambda: self.page.evaluate("() => client.websocket.readyState === WebSocket.OPEN"))
        await self.page.evaluate("async () => { await client.getUserPreferences(); }")

    async def _comes_to(self, expected: object, what: str) -> None:
        await comes_to(expected, lambda: self.page.evaluate(_SHOWN.format(what)))
