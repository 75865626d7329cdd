"""The page of the docs in a browser: it shows the document, and asks nobody but us for anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

if TYPE_CHECKING:
    from playwright.async_api import Page

    from tests.e2e.stack import Stack

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_the_docs_show_every_route(page: Page, stack: Stack) -> None:
    """Routes of NotificationAPI are there to unfold, with what they send and answer; all comes from this host."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    here = f"http://127.0.0.1:{stack.http_port}/"

    await page.goto(f"{here}docs")
    send = page.locator(".opblock", has_text="/{client_id}/sender").first
    await expect(send).to_be_visible()
    await send.click()

    await expect(send).to_contain_text("Krabby Patty Burger")
    await expect(page.get_by_role("button", name="Authorize")).to_be_visible()
    assert [url for url in asked if not url.startswith((here, "data:"))] == []
