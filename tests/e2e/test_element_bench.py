"""What measures the page with the inbox element runs; how fast, only `make bench-page` says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.bench.page import measure

if TYPE_CHECKING:
    from playwright.async_api import Browser


@pytest.mark.asyncio(loop_scope="session")
async def test_a_short_run_gives_memory_back(browser: Browser, url: str) -> None:
    """A thousand items and a second of events are borne, and nothing of them is held once the element is gone."""
    figures = await measure(browser, url, seconds=1, per_second=100)

    assert figures["nodes without the element"] < figures["nodes before"] + 500
