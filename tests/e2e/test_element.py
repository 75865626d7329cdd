"""<carillon-inbox> in a browser, its client in the hands of each test; test_element_live.py has real ones."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

from tests.e2e.element import badge, bell, body, calls, open_panel, open_preferences, panel, put, says, show, titles

if TYPE_CHECKING:
    from playwright.async_api import Page


pytestmark = pytest.mark.asyncio(loop_scope="session")


# --- The bell ---


async def test_the_bell_says_how_many_are_unread(page: Page, url: str) -> None:
    """The count is in the badge and in the bell's name; over 99 it is 99+, at none there is no badge."""
    await show(page, url, content="empty")
    await expect(bell(page)).to_have_accessible_name("Notifications, none unread")
    await expect(badge(page)).to_be_hidden()

    await put(page, *[{}] * 99)
    await expect(badge(page)).to_have_text("99")
    await put(page, *[{}] * 100)
    await expect(badge(page)).to_have_text("99+")
    await expect(bell(page)).to_have_accessible_name("Notifications, 100 unread")


async def test_the_panel_opens_and_closes(page: Page, url: str) -> None:
    """The bell opens the panel with the keyboard in it; Escape, the cross, the bell and a click elsewhere close it."""
    await show(page, url)
    await bell(page).press("Enter")
    await expect(panel(page)).to_be_focused()
    await expect(panel(page)).to_have_accessible_name("Notifications")
    await expect(bell(page)).to_have_attribute("aria-expanded", "true")

    await page.keyboard.press("Escape")
    await expect(panel(page)).to_be_hidden()
    await expect(bell(page)).to_be_focused()
    await expect(bell(page)).to_have_attribute("aria-expanded", "false")

    for close in (panel(page).get_by_role("button", name="Close"), bell(page), page.locator("main p").last):
        await open_panel(page)
        await close.click()
        await expect(panel(page)).to_be_hidden()


async def test_a_small_screen_gets_a_sheet(page: Page, url: str) -> None:
    """At 360 px the panel is modal, as wide as the screen, and closes by a touch beside it; turned, it is a popover."""
    await page.set_viewport_size({"width": 360, "height": 740})
    await show(page, url)
    await open_panel(page)
    assert await panel(page).evaluate("panel => panel.matches(':modal')")
    box = await panel(page).bounding_box()
    assert box
    assert (box["x"], box["width"]) == (0, 360)
    assert await page.evaluate("document.documentElement.scrollWidth") == 360

    await page.set_viewport_size({"width": 1280, "height": 740})
    await expect(panel(page)).not_to_have_class(re.compile("sheet"))
    assert not await panel(page).evaluate("panel => panel.matches(':modal')")
    await page.set_viewport_size({"width": 360, "height": 740})
    await expect(panel(page)).to_have_class(re.compile("sheet"))

    await page.mouse.click(180, 5)
    await expect(panel(page)).to_be_hidden()


# --- Items ---


async def test_items_are_shown_newest_first(page: Page, url: str) -> None:
    """The rows follow the client: what comes is on top, what changes changes, what goes is gone."""
    await show(page, url, content="empty")
    await put(page, {"title": "second"}, {"title": "third"})
    await open_panel(page)
    await expect(titles(page)).to_contain_text(["second", "third"])

    await page.evaluate("client.create(samples.item(0, {title: 'first'}))")
    await expect(titles(page)).to_contain_text(["first", "second", "third"])
    await page.evaluate("client.put(samples.item(1, {title: 'changed', unread: false, body: 'text'}))")
    await expect(titles(page)).to_contain_text(["first", "changed", "third"])
    await expect(body(page)).to_have_text(["", "text", ""])
    await page.evaluate("client.retract('i000000', 'i000002')")
    await expect(titles(page)).to_have_text(["changed"])


async def test_a_change_keeps_what_did_not_change(page: Page, url: str) -> None:
    """A row that changes is the same element, and so keeps keyboard and picture."""
    await show(page, url, content="empty")
    await put(page, {"body": "before", "icon_url": "data:image/png;base64,iVBORw0KGgo="}, {})
    await open_panel(page)
    await titles(page).first.focus()
    row = await panel(page).locator(".item").first.element_handle()

    await page.evaluate("client.put(samples.item(1, {body: 'after', url: '/elsewhere'}), samples.item(0))")

    await expect(titles(page)).to_have_count(3)
    await expect(body(page).nth(1)).to_have_text("after")
    assert await row.evaluate("row => row.isConnected && row.contains(row.getRootNode().activeElement)")


async def test_unread_is_not_said_by_colour_alone(page: Page, url: str) -> None:
    """An unread item says so in its name, and its title is bolder."""
    await show(page, url, content="empty")
    await put(page, {"title": "new"}, {"title": "old", "unread": False})
    await open_panel(page)

    await expect(titles(page).first).to_have_accessible_name("Unread. new")
    await expect(titles(page).last).to_have_accessible_name("old")
    weights = await titles(page).evaluate_all("all => all.map(one => Number(getComputedStyle(one).fontWeight))")
    assert weights[0] > weights[1]


async def test_times_keep_moving(page: Page, url: str) -> None:
    """A time is said in the language of the page, and goes on while one looks."""
    await page.clock.install()
    await show(page, url, content="empty", lang="de")
    await put(page, {"minutes": 0}, {"minutes": 26 * 60})
    await open_panel(page)
    times = panel(page).locator("time")
    await expect(times).to_have_text(["jetzt", "gestern"])

    await page.clock.fast_forward("03:00")
    await expect(times.first).to_have_text(re.compile("^vor 3 m", re.I))
    await page.clock.fast_forward("02:00:00")
    await expect(times.first).to_have_text(re.compile("^vor 2 Std", re.I))


async def test_a_long_text_is_cut_with_care(page: Page, url: str) -> None:
    """What does not fit can be shown and hidden; what fits has no button, and nothing sticks out sideways."""
    await show(page, url, content="empty")
    await put(page, {"title": "w" * 500, "body": "w" * 3000, "label": "w" * 128}, {"body": "short"})
    await open_panel(page)
    more = panel(page).get_by_role("button", name="Show more")
    await expect(more).to_have_count(1)
    height = await body(page).first.evaluate("body => body.clientHeight")
    assert height < 80
    assert await panel(page).locator(".scroller").evaluate("box => box.scrollWidth <= box.clientWidth")

    await more.click()
    await expect(panel(page).get_by_role("button", name="Show less")).to_have_attribute("aria-expanded", "true")
    assert await body(page).first.evaluate("body => body.scrollHeight <= body.clientHeight + 2")


async def test_a_link_is_followed(page: Page, url: str) -> None:
    """A link of the page's own site opens in place, one elsewhere beside it; both are marked; the page may refuse."""
    await show(page, url, content="empty")
    await put(page, {"url": "#orders"}, {"url": "https://example.com/x"}, {})
    await open_panel(page)
    await expect(titles(page).nth(1)).to_have_attribute("rel", "noopener noreferrer")
    await expect(titles(page).nth(1)).to_have_attribute("target", "_blank")

    await titles(page).first.click()
    await expect(page).to_have_url(re.compile("#orders$"))
    await titles(page).nth(2).click()
    await page.evaluate("inbox.addEventListener('carillon-open', (event) => event.preventDefault())")
    await page.evaluate("location.hash = ''")
    await titles(page).first.click()

    assert await calls(page) == [
        ["mark", ["i000001"], ["CLICKED"], []],
        ["mark", ["i000003"], ["OPENED"], []],
        ["mark", ["i000001"], ["CLICKED"], []],
    ]
    assert await page.evaluate("location.hash") == ""
    assert await page.evaluate("heard.map(([type, detail]) => [type, detail.item.id])") == [
        ["carillon-open", "i000001"],
        ["carillon-open", "i000003"],
        ["carillon-open", "i000001"],
    ]


async def test_buttons_of_an_item(page: Page, url: str) -> None:
    """A button that leads somewhere is a link, one that does not tells the page; both are marked."""
    await show(page, url, content="empty")
    await put(page, {"actions": [{"label": "Yes", "url": "#yes"}, {"label": "No"}]})
    await open_panel(page)

    await panel(page).get_by_role("link", name="Yes", exact=True).click()
    await panel(page).get_by_role("button", name="No", exact=True).click()

    await expect(page).to_have_url(re.compile("#yes$"))
    assert [call[2] for call in await calls(page)] == [["FIRST_ACTION"], ["SECOND_ACTION"]]
    assert await page.evaluate("heard.map(([type, detail]) => [type, detail.index, detail.action.label])") == [
        ["carillon-action", 0, "Yes"],
        ["carillon-action", 1, "No"],
    ]


async def test_archive_and_undo(page: Page, url: str) -> None:
    """Archiving takes a row away and goes on to the next; it can be undone by button and by key, for a while."""
    await page.clock.install()
    await show(page, url, content="empty")
    await put(page, {"title": "a"}, {"title": "b"}, {"title": "c"})
    await open_panel(page)

    await panel(page).get_by_role("button", name="Archive: b").press("Enter")
    await expect(titles(page)).to_contain_text(["a", "c"])
    await expect(titles(page).nth(1)).to_be_focused()
    await expect(panel(page).get_by_text("Archived")).to_be_visible()
    await panel(page).get_by_role("button", name="Undo").click()
    await expect(titles(page)).to_contain_text(["a", "b", "c"])
    await expect(titles(page).nth(1)).to_be_focused()

    await panel(page).get_by_role("button", name="Archive: c").press("Enter")
    await expect(titles(page)).to_have_count(2)
    await page.keyboard.press("Control+z")
    await expect(titles(page)).to_have_count(3)

    await panel(page).get_by_role("button", name="Archive: a").click()
    await expect(titles(page)).to_have_count(2)
    await page.mouse.move(0, 0)
    await page.clock.fast_forward("00:11")
    await expect(panel(page).get_by_role("button", name="Undo")).to_be_hidden()
    await panel(page).get_by_role("tab", name="Archive").click()
    await expect(titles(page)).to_have_text(["a"])
    await panel(page).get_by_role("button", name="Move to inbox: a").click()
    await expect(panel(page).get_by_text("The archive is empty")).to_be_visible()


async def test_marking(page: Page, url: str) -> None:
    """One is marked read and unread by its button, all by another, which is there only for what is unread."""
    await show(page, url, content="empty")
    await put(page, {"title": "a"}, {"title": "b"})
    await open_panel(page)
    mark_all = panel(page).get_by_role("button", name="Mark all as read")

    await panel(page).get_by_role("button", name="Mark as read: a").click()
    await expect(badge(page)).to_have_text("1")
    await panel(page).get_by_role("button", name="Mark as unread: a").click()
    await expect(badge(page)).to_have_text("2")
    await mark_all.press("Enter")
    await expect(badge(page)).to_be_hidden()
    await expect(mark_all).to_be_hidden()
    await expect(panel(page)).to_be_focused()


async def test_a_mark_that_fails_is_said(page: Page, url: str) -> None:
    """What did not work is told, and nothing is shown as done."""
    await show(page, url, content="empty")
    await put(page, {"title": "a"})
    await page.evaluate("client.refusal = new Error('no')")
    await open_panel(page)
    await panel(page).get_by_role("button", name="Archive: a").click()

    await expect(panel(page).get_by_text("That did not work")).to_be_visible()
    await expect(panel(page).get_by_role("button", name="Undo")).to_be_hidden()
    await expect(titles(page)).to_have_count(1)


async def test_views(page: Page, url: str) -> None:
    """Each view shows its items, the unread one with their count, and says so where it has none."""
    await show(page, url, content="empty")
    await open_panel(page)
    for view, text in (("Inbox", "all caught up"), ("Unread", "Nothing unread"), ("Archive", "The archive is empty")):
        await panel(page).get_by_role("tab", name=view).click()
        await expect(panel(page).get_by_text(text)).to_be_visible()

    await put(page, {"title": "new"}, {"title": "old", "unread": False})
    await panel(page).get_by_role("tab", name="Inbox").click()
    await expect(titles(page)).to_contain_text(["new", "old"])
    await panel(page).get_by_role("tab", name="Unread 1").click()
    await expect(titles(page)).to_contain_text(["new"])
    await panel(page).get_by_role("button", name="Mark as read: new").click()
    await expect(panel(page).get_by_text("Nothing unread")).to_be_visible()


async def test_scrolling_loads_more(page: Page, url: str) -> None:
    """Pages come as one scrolls; a page that fails says so, and comes when asked for again."""
    await show(page, url, content="empty")
    await put(page, *[{}] * 50)
    await page.evaluate("""() => {
        const view = client.view("inbox");
        view.later = Array.from({length: 450}, (_, index) => samples.item(100 + index));
        view.hasMore = true;
    }""")
    await open_panel(page)
    end = panel(page).locator(".foot")
    for count in range(100, 300, 50):
        await end.scroll_into_view_if_needed()
        await expect(titles(page)).not_to_have_count(count - 50)

    await expect(end).to_be_attached()
    await page.evaluate("client.view('inbox').failures = 1")
    for _ in range(10):
        await end.scroll_into_view_if_needed()
        if await page.evaluate("client.view('inbox').failures < 1"):
            break
    await expect(panel(page).get_by_text("More could not be loaded.")).to_be_visible()
    await panel(page).get_by_role("button", name="Try again").press("Enter")
    await expect(panel(page).get_by_text("More could not be loaded.")).to_be_hidden()
    while await page.evaluate("client.view('inbox').hasMore"):
        await panel(page).locator(".scroller").evaluate("box => box.scrollTo(0, box.scrollHeight)")
    await expect(titles(page)).to_have_count(500)
    await expect(end).to_be_hidden()


async def test_load_more_by_keyboard(page: Page, url: str) -> None:
    """While a page is on its way that is shown; who asked by the keyboard goes on at the first of the new items."""
    await show(page, url, content="empty")
    await put(page, *[{}] * 3)
    await page.evaluate("""() => {
        const view = client.view("inbox");
        view.later = [samples.item(50, {title: "next"}), samples.item(51)];
        view.hasMore = true;
        client.pause = new Promise((resolve) => (globalThis.resume = resolve));
        view.failures = 1;
    }""")
    await open_panel(page)
    more = panel(page).locator(".load-more")
    await expect(more).to_have_text("Loading…")
    await page.evaluate("resume()")
    await expect(more).to_have_text("Try again")
    await more.press("Enter")

    await expect(titles(page)).to_have_count(5)
    await expect(titles(page).nth(3)).to_be_focused()
    await expect(titles(page).nth(3)).to_have_accessible_name("Unread. next")


# --- How it is ---


async def test_states(page: Page, url: str) -> None:
    """What is shown in the place of items says how it is, and what helps."""
    await show(page, url, content="empty")
    await page.evaluate("client.view('inbox').isLoading = true")
    await open_panel(page)
    await expect(panel(page).locator(".skeleton")).to_be_visible()
    await expect(panel(page).get_by_role("tabpanel").get_by_role("status")).to_have_text("Loading…")

    await page.evaluate("client.set('reconnecting'); client.dispatchEvent(new CustomEvent('problem', {detail: {}}))")
    await expect(says(page, "can't be shown right now")).to_be_visible()
    await panel(page).get_by_role("button", name="Try again").click()
    assert await calls(page) == [["connect"]]

    await page.evaluate("client.set('offline')")
    await expect(panel(page).locator(".state-title").get_by_text(re.compile("You.re offline"))).to_be_visible()
    await page.evaluate("client.view('inbox').isLoading = false; client.set('live')")
    await expect(panel(page).get_by_text("all caught up")).to_be_visible()


async def test_a_first_page_that_fails_is_asked_for_again(page: Page, url: str) -> None:
    """A view whose first page cannot be had says so, and tries again when asked to."""
    await show(page, url, content="empty")
    await page.evaluate("""() => {
        const view = client.view("archive");
        view.later = [samples.item(1, {title: "old", archive_time: "2026-01-02T03:04:05.678Z"})];
        view.hasMore = true;
        view.failures = 1;
    }""")
    await open_panel(page)
    await panel(page).get_by_role("tab", name="Archive").click()
    await expect(says(page, "can't be shown right now")).to_be_visible()
    await panel(page).get_by_role("button", name="Try again").click()

    await expect(titles(page)).to_have_text(["Unread. old"])


async def test_offline_is_said_over_the_items(page: Page, url: str) -> None:
    """Without a connection what is held stays, with a line that says so; a short interruption is not worth one."""
    await page.clock.install()
    await show(page, url)
    await open_panel(page)
    banner = panel(page).locator(".banner")
    await page.evaluate("client.set('offline')")
    await expect(banner).to_have_text(re.compile("offline. New notifications"))
    await expect(titles(page)).to_have_count(7)

    await page.evaluate("client.set('live')")
    await expect(banner).to_have_text("")
    await page.evaluate("client.set('reconnecting')")
    await page.evaluate("new Promise(requestAnimationFrame)")
    await expect(banner).to_have_text("")
    await page.clock.fast_forward("00:02")
    await expect(banner).to_have_text("Reconnecting…")


async def test_signed_out_shows_nothing_of_the_user(page: Page, url: str) -> None:
    """Once signed out there is no item, no count and no button left, but words that help; the page is told."""
    await show(page, url)
    await open_preferences(page)
    await page.evaluate("client.set('signed-out', {code: 4502})")

    await expect(says(page, "You're signed out")).to_be_visible()
    await expect(titles(page)).to_have_count(0)
    await expect(badge(page)).to_be_hidden()
    await expect(panel(page).get_by_role("button")).to_have_count(1)
    assert await page.evaluate("heard") == [["carillon-state", {"state": "signed-out", "code": 4502}]]


async def test_an_element_without_a_user_says_so(page: Page, url: str) -> None:
    """Without a client, and without attributes that make one, the panel says that it is not set up."""
    await show(page, url)
    await page.evaluate("inbox.client = null")
    await open_panel(page)

    await expect(panel(page).get_by_text("Notifications are not set up")).to_be_visible()
    await expect(titles(page)).to_have_count(0)


async def test_new_items_are_announced(page: Page, url: str) -> None:
    """A screen reader hears of what is new, of many at once in one sentence, and of nothing that was there before."""
    await page.clock.install()
    await show(page, url)
    region = page.locator("carillon-inbox .root > [role=status]")
    await page.clock.fast_forward("00:02")
    await expect(region).to_have_text("")

    await page.evaluate("client.create(samples.item(1, {title: 'Burger'}))")
    await page.clock.fast_forward("00:02")
    await expect(region).to_have_text("New: Burger")
    await page.evaluate("for (let number = 100; number < 150; number++) client.create(samples.item(number))")
    await page.clock.fast_forward("00:02")
    await expect(region).to_have_text("50 new notifications")
    await page.clock.fast_forward("00:06")
    await expect(region).to_have_text("")
    assert await page.evaluate("heard.filter(([type]) => type === 'carillon-new').length") == 51
