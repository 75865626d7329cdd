"""The link of a mail in a browser: from the page to unsubscribed, and back."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import expect

from carillon.v1 import preferences_pb2
from services.kernel.links import LinkTokens, UnsubscribeLink
from services.kernel.vocabulary import Channel
from tests.e2e.stack import MASTER_KEY, order_tracking

if TYPE_CHECKING:
    from playwright.async_api import Page

    from tests.e2e.stack import Stack

pytestmark = pytest.mark.asyncio(loop_scope="session")

TOKENS = LinkTokens(base64.b64decode(MASTER_KEY))


async def choices(stack: Stack, user_id: str) -> list[str]:
    """Gives what a user has turned off."""
    async with stack.backend() as backend:
        answer = await backend.preferences.GetPreferences(preferences_pb2.GetPreferencesRequest(user_id=user_id))
    return [one.notification_id for one in answer.preferences]


async def send(stack: Stack, user_id: str) -> str:
    """Sends to a user and gives the link of the mail."""
    async with stack.backend() as backend:
        await backend.sender.Send(order_tracking(user_id))
    link = UnsubscribeLink(stack.client_id, user_id, "order_tracking", "", Channel.EMAIL)
    return f"http://127.0.0.1:{stack.http_port}/unsubscribe/{TOKENS.write(link)}"


async def test_a_person_unsubscribes_and_thinks_again(page: Page, stack: Stack) -> None:
    """One button ends the mails, the next one brings them back; each page says what holds, and to reload keeps it."""
    user_id = "reader-1"
    url = await send(stack, user_id)
    heading, button = page.get_by_role("heading", level=1), page.get_by_role("button")

    await page.goto(url)
    await expect(heading).to_have_text("Unsubscribe?")
    await expect(page.get_by_role("main")).to_contain_text("Order tracking")
    assert await choices(stack, user_id) == []

    await button.click()
    await expect(heading).to_have_text("You are unsubscribed")
    assert page.url == url
    assert await choices(stack, user_id) == ["order_tracking"]

    await page.goto(url)
    await expect(heading).to_have_text("You are unsubscribed")
    await expect(button).to_have_text("Get these mails again")
    await button.focus()
    await page.keyboard.press("Enter")
    await expect(heading).to_have_text("You are subscribed again")
    assert await choices(stack, user_id) == []


async def test_the_page_stands_by_itself(page: Page, stack: Stack) -> None:
    """It asks nothing else of anybody, needs no script, is styled under its own policy, and keeps nothing."""
    url = await send(stack, "reader-2")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))

    await page.goto(url)

    await expect(page.get_by_role("button")).to_have_css("border-top-left-radius", "8px")
    # A browser may look for an icon by itself.
    assert [one for one in asked if not one.endswith("/favicon.ico")] == [url]
    assert await page.context.cookies() == []


@pytest.mark.parametrize("theme", ["light", "dark"])
async def test_axe_finds_nothing(page: Page, stack: Stack, theme: str) -> None:
    """axe-core finds no violation on any page, in light and in dark."""
    url = await send(stack, f"reader-{theme}")
    # The page lets no script in, that of axe neither.
    context = await page.context.browser.new_context(  # type: ignore[union-attr] # a context of a browser has one
        bypass_csp=True, color_scheme="dark" if theme == "dark" else "light"
    )
    own = await context.new_page()
    try:
        for address in (url, f"{url}x"):
            await own.goto(address)
            results = await Axe().run(own)
            assert results.violations_count == 0, results.generate_report()
        await own.goto(url)
        await own.get_by_role("button").click()
        await expect(own.get_by_role("heading", level=1)).to_have_text("You are unsubscribed")
        results = await Axe().run(own)
        assert results.violations_count == 0, results.generate_report()
    finally:
        await context.close()
