"""Starts the system's Chromium for the tests that look at a page."""

from __future__ import annotations

import contextlib
import os
import shutil
from typing import TYPE_CHECKING

from playwright.async_api import async_playwright

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Browser, Locator, Page

_NAMES = ("/usr/bin/chromium", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_FLAGS = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    # Nothing but what a test does goes over the network.
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def find_chromium() -> str:
    """Gives the browser that CARILLON_CHROMIUM names, else the first that the system has; fails if it has none."""
    for name in (os.environ.get("CARILLON_CHROMIUM", ""), *_NAMES):
        if path := shutil.which(name):
            return path
    raise FileNotFoundError("no Chromium found: apt-get install chromium, or name one in CARILLON_CHROMIUM")


@contextlib.asynccontextmanager
async def launch_chromium() -> AsyncIterator[Browser]:
    """Runs a headless Chromium with a profile of its own."""
    # Chromium's sandbox refuses to run as root, as which containers run.
    flags = [*_FLAGS, "--no-sandbox"] if os.geteuid() == 0 else list(_FLAGS)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=find_chromium(), args=flags)
        try:
            yield browser
        finally:
            await browser.close()


@contextlib.asynccontextmanager
async def open_page(browser: Browser) -> AsyncIterator[Page]:
    """Gives a page in a fresh profile; nothing may be wrong on its console at the end."""
    context = await browser.new_context()
    page = await context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text) if "Security Policy" in message.text else None)
    try:
        yield page
    finally:
        await context.close()

    assert complaints == []


def state(page: Page) -> Locator:
    """What the page says about each connection."""
    return page.get_by_test_id("state")


def badge(page: Page) -> Locator:
    """The number at each bell; where there is none it is 0, and hidden."""
    return page.locator("carillon-inbox .badge")


def titles(page: Page | Locator) -> Locator:
    """The titles of the items that the page shows beside the bell, in their order."""
    return page.get_by_test_id("item-title")


def panel(page: Page) -> Locator:
    """What is behind the bell, once it is open."""
    return page.get_by_role("dialog")
