"""How much a page with the inbox element bears: `make bench-page`.

A thousand items are shown, then a hundred events a second come for ten seconds, while Chromium traces itself. Told are
the longest tasks of the page's main thread, and what memory was before, after, and once the element was taken out.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from typing import TYPE_CHECKING, Any

from playwright.async_api import expect
from rich.console import Console

from tests.e2e.browser import launch_chromium
from tests.e2e.element import open_panel, show, titles
from tests.e2e.pages import serve_pages

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from playwright.async_api import Browser, CDPSession, Page

ITEMS = 1_000
LIMIT_MS = 200.0

console = Console(highlight=False)


async def measure(browser: Browser, url: str, *, seconds: int, per_second: int) -> dict[str, float]:
    """Runs it once; gives milliseconds and megabytes."""
    page = await browser.new_page(viewport={"width": 1280, "height": 800})
    session = await page.context.new_cdp_session(page)
    await show(page, url, content="empty")
    await page.evaluate("import('/strict/bench.js').then((bench) => { globalThis.bench = bench; })")
    before, nodes_before = await _memory(session), await _nodes(session)
    async with asyncio.timeout(60 + 10 * seconds):
        filling = await _trace(session, _fill(page))
        filled = await _memory(session)
        running = await _trace(session, page.evaluate("how => bench.run(...how)", [seconds, per_second]))
    after = await _memory(session)
    await page.evaluate("bench.release()")
    released, nodes_released = await _memory(session), await _nodes(session)
    await page.close()
    return {
        "longest task while 1,000 items are shown, ms": max(filling)[0],
        "the same, of the processor's time, ms": max(task[1] for task in filling),
        "longest task while events come, ms": max(running)[0],
        "the longest of them, of the processor's time, ms": max(task[1] for task in running),
        "tasks over 50 ms while events come": float(sum(task[0] > 50 for task in running)),
        "memory before, MB": before,
        "with 1,000 items, MB": filled,
        "after the events, MB": after,
        "without the element, MB": released,
        "nodes before": nodes_before,
        "nodes without the element": nodes_released,
    }


async def _fill(page: Page) -> None:
    await open_panel(page)
    await page.evaluate("count => bench.fill(count)", ITEMS)
    await expect(titles(page)).to_have_count(ITEMS, timeout=60_000)


async def _memory(session: CDPSession) -> float:
    """Gives the megabytes in use on the heap of the page, all that can be collected being so."""
    for _ in range(3):
        await session.send("HeapProfiler.collectGarbage")
    usage: dict[str, Any] = await session.send("Runtime.getHeapUsage")
    return round(float(usage["usedSize"]) / 2**20, 1)


async def _nodes(session: CDPSession) -> float:
    """Gives how many nodes of documents are alive; after ``_memory``, which collects the others."""
    counters: dict[str, Any] = await session.send("Memory.getDOMCounters")
    return float(counters["nodes"])


async def _trace(session: CDPSession, work: Awaitable[object]) -> list[tuple[float, float]]:
    """Gives how long the tasks of the page's main thread took meanwhile, in ms: by the clock, and of the processor."""
    events: list[dict[str, Any]] = []
    done = asyncio.Event()

    def collect(data: dict[str, Any]) -> None:
        events.extend(data["value"])

    def finish(_: object) -> None:
        done.set()

    session.on("Tracing.dataCollected", collect)
    session.on("Tracing.tracingComplete", finish)
    categories = "toplevel,disabled-by-default-devtools.timeline,devtools.timeline"
    await session.send("Tracing.start", {"traceConfig": {"includedCategories": categories.split(",")}})
    await work
    await session.send("Tracing.end")
    await done.wait()
    session.remove_listener("Tracing.dataCollected", collect)
    session.remove_listener("Tracing.tracingComplete", finish)

    mains = {
        (event["pid"], event["tid"])
        for event in events
        if event["name"] == "thread_name" and event["args"]["name"] == "CrRendererMain"
    }
    return [
        (event["dur"] / 1000, event.get("tdur", event["dur"]) / 1000)
        for event in events
        if event["name"] == "RunTask" and event.get("dur") and (event["pid"], event["tid"]) in mains
    ] or [(0.0, 0.0)]


async def main() -> None:
    """Measures, and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--per-second", type=int, default=100)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    arguments = parser.parse_args()
    async with launch_chromium() as browser, serve_pages() as url:
        figures = await measure(browser, url, seconds=arguments.seconds, per_second=arguments.per_second)
    if arguments.json:
        console.print_json(json.dumps(figures))
        return
    for name, figure in figures.items():
        console.print(f"{name:48} {figure:10.1f}")
    longest = figures["longest task while events come, ms"]
    console.print(f"No task {'was' if longest <= LIMIT_MS else 'should be'} over {LIMIT_MS:.0f} ms.")


if __name__ == "__main__":
    asyncio.run(main())
