"""The page with <carillon-inbox>, and what a test does with it and looks at."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from playwright.async_api import expect

if TYPE_CHECKING:
    from collections.abc import Mapping

    from playwright.async_api import Locator, Page


async def show(page: Page, url: str, *, content: str = "content", policy: str = "strict", **query: str) -> None:
    """Opens the page with the element and a client of the test's."""
    wanted = "&".join(f"{name}={value}" for name, value in {"fake": content, **query}.items())
    await page.goto(f"{url}/{policy}/element.html?{wanted}")
    await expect(bell(page)).to_be_visible()


async def put(page: Page, *items: Mapping[str, Any]) -> None:
    """Puts items in, numbered from 1; what a test does not say is as in the samples."""
    await page.evaluate(
        "items => client.put(...items.map((fields, index) => samples.item(index + 1, fields)))", list(items)
    )


async def open_panel(page: Page) -> None:
    """Opens the panel by a click."""
    await bell(page).click()
    await expect(panel(page)).to_be_visible()


async def open_preferences(page: Page) -> None:
    """Opens the panel and goes to the preferences."""
    await open_panel(page)
    await panel(page).get_by_role("button", name="Preferences").click()


async def calls(page: Page) -> list[Any]:
    """Gives what the client of the test was asked for."""
    found: list[Any] = await page.evaluate("client.calls")
    return found


def bell(page: Page) -> Locator:
    """The bell."""
    return page.locator("carillon-inbox .bell")


def badge(page: Page) -> Locator:
    """The number at the bell."""
    return page.locator("carillon-inbox .badge")


def panel(page: Page) -> Locator:
    """The panel."""
    return page.get_by_role("dialog")


def says(page: Page, text: str) -> Locator:
    """The words in the panel that contain ``text``; an apostrophe may be any."""
    return panel(page).get_by_text(re.compile(re.escape(text).replace("'", ".")))


def titles(page: Page) -> Locator:
    """The titles of the items, in their order."""
    return panel(page).locator(".item .main")


def body(page: Page) -> Locator:
    """The texts of the items, in their order."""
    return panel(page).locator(".item-body")
