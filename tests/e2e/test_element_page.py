"""<carillon-inbox> for the keyboard and the screen reader, and whatever the page around it is like."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import expect

from tests.e2e.element import badge, bell, open_panel, panel, put, says, show, titles

if TYPE_CHECKING:
    from playwright.async_api import Page


pytestmark = pytest.mark.asyncio(loop_scope="session")


# --- The keyboard and the screen reader ---


async def test_the_keyboard_alone_does_everything(page: Page, url: str) -> None:
    """From the page to the bell, through tabs, items and their buttons, to the preferences and back."""
    await show(page, url)
    key = page.keyboard.press
    active = page.locator("carillon-inbox :focus")
    await bell(page).focus()
    await key("Enter")
    await expect(panel(page)).to_be_focused()

    await key("ArrowDown")
    await expect(titles(page).first).to_be_focused()
    await key("ArrowDown")
    await expect(titles(page).nth(1)).to_be_focused()
    await key("End")
    await expect(titles(page).last).to_be_focused()
    await key("ArrowUp")
    await expect(titles(page).nth(5)).to_be_focused()
    await key("Home")
    await expect(titles(page).first).to_be_focused()

    await key("Tab")
    await expect(active).to_have_accessible_name(re.compile("^Mark as read: Your Krabby"))
    await key("Enter")
    await expect(badge(page)).to_have_text("2")
    await key("Tab")
    await expect(active).to_have_accessible_name(re.compile("^Archive: Your Krabby"))
    await key("Enter")
    await expect(titles(page)).to_have_count(6)
    await expect(titles(page).first).to_be_focused()
    await key("Control+z")
    await expect(titles(page)).to_have_count(7)

    await panel(page).get_by_role("tab", name="Inbox").focus()
    await key("ArrowRight")
    await expect(panel(page).get_by_role("tab", name="Unread")).to_be_focused()
    await expect(titles(page)).to_have_count(2)
    await key("ArrowRight")
    await key("ArrowRight")
    await expect(panel(page).get_by_role("tab", name="Inbox")).to_be_focused()

    await key("Shift+Tab")
    await key("Shift+Tab")
    await expect(active).to_have_accessible_name("Preferences")
    await key("Enter")
    await expect(active).to_have_accessible_name("Back to notifications")
    await key("Tab")
    await key("Tab")
    await expect(active).to_have_accessible_name("Order tracking Email")
    await key("Space")
    await expect(active).to_have_attribute("aria-checked", "false")
    await key("Escape")
    await key("Escape")
    await expect(panel(page)).to_be_hidden()
    await expect(bell(page)).to_be_focused()


async def test_focus_is_seen_and_targets_are_large(page: Page, url: str) -> None:
    """What has the keyboard is outlined, and nothing to be pressed is smaller than 24 pixels."""
    await show(page, url)
    await bell(page).focus()
    await page.keyboard.press("Enter")
    await page.keyboard.press("Tab")
    outlines = set()
    for _ in range(14):
        outlines.add(
            await page.evaluate("""() => {
                const active = inbox.shadowRoot.activeElement;
                const ring = (pseudo) => getComputedStyle(active, pseudo).outlineStyle;
                return ring() === "solid" || ring("::after") === "solid";
            }""")
        )
        await page.keyboard.press("Tab")
    assert outlines == {True}

    small = await panel(page).evaluate("""(panel) => [...panel.querySelectorAll("button, a, select")]
        .filter((one) => one.checkVisibility() && !one.closest(".item-body") && !one.matches(".main"))
        .map((one) => [one.className, one.getBoundingClientRect()])
        .filter(([, box]) => box.width < 24 || box.height < 24)
        .map(([name]) => name)""")
    assert small == []


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("shown", ["inbox", "archive", "preferences", "signed out", "loading", "sheet"])
async def test_axe_finds_nothing(page: Page, url: str, theme: str, shown: str) -> None:
    """axe-core finds no violation in any panel, in light and in dark."""
    if shown == "sheet":
        await page.set_viewport_size({"width": 360, "height": 740})
    await page.emulate_media(color_scheme="dark" if theme == "dark" else "light", reduced_motion="reduce")
    await show(page, url, content="empty" if shown == "loading" else "content", policy="open", theme=theme)
    if shown == "loading":
        await page.evaluate("client.view('inbox').isLoading = true")
    await open_panel(page)
    if shown == "archive":
        await panel(page).get_by_role("tab", name="Archive").click()
    if shown == "preferences":
        await panel(page).get_by_role("button", name="Preferences").click()
        await expect(panel(page).get_by_text("Order tracking")).to_be_visible()
    if shown == "signed out":
        await page.evaluate("client.set('signed-out')")
        await expect(says(page, "You're signed out")).to_be_visible()

    results = await Axe().run(page)

    assert [(found["id"], [node["html"] for node in found["nodes"]]) for found in results.response["violations"]] == []


# --- Whatever the page is like ---


LOOKS = """() => {
    const names = [".badge", ".panel-title", ".tab", ".item", ".main", ".item-body", ".tile"];
    const properties = ["fontSize", "lineHeight", "letterSpacing", "color", "textTransform", "display", "fontFamily"];
    return names.map((name) => {
        const one = inbox.shadowRoot.querySelector(name);
        const style = getComputedStyle(one);
        const { width, height } = one.getBoundingClientRect();
        return [name, Math.round(width), Math.round(height), ...properties.map((property) => style[property])];
    });
}"""


async def test_hostile_styles_do_not_reach_it(page: Page, url: str) -> None:
    """Under global resets and huge fonts it looks as it does without them, and works, under a strict policy."""
    looks = []
    for hostile in ({}, {"hostile": "1"}):
        await show(page, url, **hostile)
        if hostile:
            await expect(page.locator("h1")).to_have_css("font-size", "60px")
        await open_panel(page)
        await expect(titles(page)).to_have_count(7)
        looks.append(await page.evaluate(LOOKS))
    assert looks[0] == looks[1]


async def test_right_to_left(page: Page, url: str) -> None:
    """In a right-to-left page all is mirrored: panel, rows, tabs' arrow keys; and it speaks that page's language."""
    await show(page, url, dir="rtl", lang="ar")
    await open_panel(page)
    tile = await panel(page).locator(".tile").first.bounding_box()
    time = await panel(page).locator("time").first.bounding_box()
    box = await panel(page).bounding_box()
    the_bell = await bell(page).bounding_box()
    assert tile
    assert time
    assert box
    assert the_bell
    assert time["x"] < tile["x"]
    assert box["x"] == the_bell["x"]
    await expect(panel(page).locator("time").nth(1)).to_have_text(re.compile("قبل"))

    await panel(page).get_by_role("tab").first.focus()
    await page.keyboard.press("ArrowLeft")
    await expect(panel(page).get_by_role("tab").nth(1)).to_be_focused()


async def test_a_page_may_replace_texts_and_colours(page: Page, url: str) -> None:
    """Texts are replaced key by key, at any time; custom properties and parts reach what they name."""
    await show(page, url, content="empty")
    await page.evaluate("""() => {
        inbox.texts = {emptyInbox: "Ruhe", bell: "{title}: nichts"};
        inbox.setAttribute("label", "Post");
        const sheet = new CSSStyleSheet();
        sheet.replaceSync(`
            carillon-inbox { --carillon-surface: rgb(1, 2, 3); }
            carillon-inbox::part(title) { color: rgb(4, 5, 6); }
        `);
        document.adoptedStyleSheets = [sheet];
    }""")
    await expect(bell(page)).to_have_accessible_name("Post: nichts")
    await open_panel(page)

    await expect(panel(page).get_by_text("Ruhe")).to_be_visible()
    await expect(panel(page).get_by_role("heading", name="Post")).to_have_css("color", "rgb(4, 5, 6)")
    await expect(panel(page)).to_have_css("background-color", "rgb(1, 2, 3)")


async def test_motion_stops_where_it_is_not_wanted(page: Page, url: str) -> None:
    """Who wants less motion gets none."""
    await page.emulate_media(reduced_motion="reduce")
    await show(page, url, content="empty")
    await page.evaluate("client.view('inbox').isLoading = true")
    await open_panel(page)
    await expect(panel(page).locator(".ghost i").first).to_have_css("animation-name", "none")
    await expect(panel(page)).to_have_css("animation-name", "none")


async def test_it_lets_go_when_it_leaves_the_page(page: Page, url: str) -> None:
    """Taken out of the page it listens to nothing any more and holds no row; put back it shows what is then."""
    await show(page, url)
    await open_panel(page)
    await expect(titles(page)).to_have_count(7)
    await page.evaluate("""() => {
        inbox.remove();
        client.create(samples.item(1, {title: "meanwhile"}));
    }""")
    assert await page.evaluate("inbox.shadowRoot.querySelectorAll('.item, dialog').length") == 0
    assert await page.evaluate("client.calls") == []
    assert await page.evaluate("heard") == []

    await page.evaluate("document.querySelector('header').append(inbox)")
    await expect(badge(page)).to_have_text("4")
    await open_panel(page)
    await expect(titles(page)).to_have_count(8)


async def test_many_events_are_a_few_frames(page: Page, url: str) -> None:
    """A thousand items and two hundred events are shown whole, rows are kept, and many events are one frame."""
    await show(page, url, content="empty")
    await put(page, *[{}] * 1000)
    await open_panel(page)
    await expect(titles(page)).to_have_count(1000)
    row = await panel(page).locator(".item").nth(500).element_handle()

    writes = await page.evaluate("""async () => {
        let writes = 0;
        const list = inbox.shadowRoot.querySelector(".list");
        const observer = new MutationObserver(() => (writes += 1));
        observer.observe(list, {childList: true, subtree: true, attributes: true});
        for (let number = 0; number < 200; number++) {
            client.put(samples.item(2000 + number, {minutes: 0}));
            await null;
        }
        while (list.childElementCount < 1200) await new Promise(requestAnimationFrame);
        observer.disconnect();
        return writes;
    }""")

    assert writes <= 20
    assert await row.evaluate("row => row.isConnected")
