"""<carillon-inbox> in a real browser, with a client that is what each test wants it to be; test_element_live.py has a real one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import expect

from tests.e2e.browser import open_page
from tests.e2e.pages import serve_pages

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from playwright.async_api import Browser, Locator, Page

NAUGHTY = [
    line
    for line in (Path(__file__).parent / "web/naughty.txt").read_text().splitlines()
    if line and not line.startswith("#")
]

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def url() -> AsyncIterator[str]:
    """Where the pages are."""
    async with serve_pages() as url:
        yield url


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Browser) -> AsyncIterator[Page]:
    """A page in a fresh profile, and nothing wrong on its console at the end."""
    async with open_page(browser) as page:
        yield page


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


def bell(page: Page) -> Locator:
    return page.locator("carillon-inbox .bell")


def panel(page: Page) -> Locator:
    return page.get_by_role("dialog")


def titles(page: Page) -> Locator:
    return panel(page).locator(".item .main")


def body(page: Page) -> Locator:
    return panel(page).locator(".item-body")


async def open_panel(page: Page) -> None:
    await bell(page).click()
    await expect(panel(page)).to_be_visible()


async def calls(page: Page) -> list[Any]:
    """Gives what the client was asked for."""
    found: list[Any] = await page.evaluate("client.calls")
    return found


# --- The bell ---


async def test_the_bell_says_how_many_are_unread(page: Page, url: str) -> None:
    """The count is in the badge and in the bell's name; over 99 it is 99+, at none there is no badge."""
    await show(page, url, content="empty")
    await expect(bell(page)).to_have_accessible_name("Notifications, none unread")
    await expect(page.locator(".badge")).to_be_hidden()

    await put(page, *[{}] * 99)
    await expect(page.locator(".badge")).to_have_text("99")
    await put(page, *[{}] * 100)
    await expect(page.locator(".badge")).to_have_text("99+")
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
    """A link on the page's own site opens in place and is clicked; one elsewhere opens beside it; the page may refuse."""
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
    await expect(page.locator(".badge")).to_have_text("1")
    await panel(page).get_by_role("button", name="Mark as unread: a").click()
    await expect(page.locator(".badge")).to_have_text("2")
    await mark_all.press("Enter")
    await expect(page.locator(".badge")).to_be_hidden()
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
    await expect(panel(page).get_by_text("can’t be shown right now")).to_be_visible()
    await panel(page).get_by_role("button", name="Try again").click()
    assert await calls(page) == [["connect"]]

    await page.evaluate("client.set('offline')")
    await expect(panel(page).locator(".state").get_by_text("You’re offline")).to_be_visible()
    await page.evaluate("client.view('inbox').isLoading = false; client.set('live')")
    await expect(panel(page).get_by_text("all caught up")).to_be_visible()


async def test_offline_is_said_over_the_items(page: Page, url: str) -> None:
    """Without a connection what is held stays, with a line that says so; a short interruption is not worth one."""
    await page.clock.install()
    await show(page, url)
    await open_panel(page)
    banner = panel(page).locator(".banner")
    await page.evaluate("client.set('offline')")
    await expect(banner).to_have_text("You’re offline. New notifications appear when you are back.")
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
    await open_panel(page)
    await panel(page).get_by_role("button", name="Preferences").click()
    await page.evaluate("client.set('signed-out', {code: 4502})")

    await expect(panel(page).get_by_text("You’re signed out")).to_be_visible()
    await expect(titles(page)).to_have_count(0)
    await expect(page.locator(".badge")).to_be_hidden()
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


# --- Preferences ---


async def test_preferences(page: Page, url: str) -> None:
    """A switch where there is on and off, a list where there is more, a word where there is nothing to choose."""
    await show(page, url)
    await open_panel(page)
    await panel(page).get_by_role("button", name="Preferences").click()
    await expect(panel(page)).to_have_accessible_name("Preferences")
    email = panel(page).get_by_role("switch", name="Order tracking Email")
    await expect(email).to_have_attribute("aria-checked", "true")
    await expect(panel(page).get_by_role("switch", name="Chum Bucket Email")).to_have_attribute("aria-checked", "false")
    frequency = panel(page).get_by_role("combobox", name="New comments Email")
    await expect(frequency).to_have_value("DAILY")
    await expect(panel(page).get_by_text("Always on")).to_have_count(1)

    await email.press("Space")
    await panel(page).get_by_role("switch", name="Chum Bucket Email").click()
    await frequency.select_option("WEEKLY")

    await expect(email).to_have_attribute("aria-checked", "false")
    assert [call[1][0] for call in await calls(page)] == [
        {"notification_id": "order_tracking", "channel": "EMAIL", "delivery_option": "OFF"},
        {
            "notification_id": "order_tracking",
            "sub_notification_id": "shop-2",
            "channel": "EMAIL",
            "delivery_option": "INSTANT",
        },
        {"notification_id": "new_comment", "channel": "EMAIL", "delivery_option": "WEEKLY"},
    ]
    await page.keyboard.press("Escape")
    await expect(panel(page).get_by_role("tab", name="Inbox")).to_be_visible()
    await expect(panel(page).get_by_role("button", name="Preferences")).to_be_focused()


async def test_preferences_follow_the_user(page: Page, url: str) -> None:
    """A choice that was made elsewhere shows at once, and takes the keyboard from nobody."""
    await show(page, url)
    await open_panel(page)
    await panel(page).get_by_role("button", name="Preferences").click()
    email = panel(page).get_by_role("switch", name="Order tracking Email")
    await email.focus()

    await page.evaluate("""() => {
        client.notifications[0].channels[0].delivery_option = "OFF";
        client.dispatchEvent(new CustomEvent("preferences"));
    }""")

    await expect(email).to_have_attribute("aria-checked", "false")
    await expect(email).to_be_focused()


async def test_a_choice_that_was_not_saved_goes_back(page: Page, url: str) -> None:
    """What was refused is shown as it was, with the reason where one helps."""
    await show(page, url)
    await open_panel(page)
    await panel(page).get_by_role("button", name="Preferences").click()
    email = panel(page).get_by_role("switch", name="Order tracking Email")
    await expect(email).to_have_attribute("aria-checked", "true")
    await page.evaluate("client.refusal = Object.assign(new Error('not offered'), {code: 'INVALID_REQUEST'})")
    await email.click()
    await expect(panel(page).get_by_role("alert").filter(visible=True)).to_have_text("Not saved. not offered")
    await expect(email).to_have_attribute("aria-checked", "true")

    await page.evaluate("client.refusal = Object.assign(new Error('x'), {code: 'NOT_CONNECTED'})")
    await email.click()
    await expect(panel(page).get_by_role("alert").filter(visible=True)).to_have_text(
        "Not saved. Try again in a moment."
    )
    await page.evaluate("client.refusal = undefined")
    await email.click()
    await expect(email).to_have_attribute("aria-checked", "false")
    await expect(panel(page).get_by_role("alert").filter(visible=True)).to_have_count(0)


async def test_preferences_that_cannot_be_read(page: Page, url: str) -> None:
    """They are said to be missing, and read again when asked for."""
    await show(page, url)
    await page.evaluate("client.refusal = new Error('away')")
    await open_panel(page)
    await panel(page).get_by_role("button", name="Preferences").click()
    await expect(panel(page).get_by_text("could not be loaded")).to_be_visible()

    await page.evaluate("client.refusal = undefined")
    await panel(page).get_by_role("button", name="Try again").click()
    await expect(panel(page).get_by_text("Order tracking")).to_be_visible()
    await expect(panel(page).get_by_text("could not be loaded")).to_be_hidden()


# Chromium without its vendor's push service cannot subscribe; what the element does with a subscription it shows anyway.
PUSH_SERVICE = """
    let held = null;
    PushManager.prototype.getSubscription = async () => held;
    PushManager.prototype.subscribe = async (options) => {
        globalThis.subscribedWith = options;
        return (held = {
            endpoint: "https://push.example.com/1",
            toJSON: () => ({endpoint: "https://push.example.com/1", keys: {p256dh: "p", auth: "a"}}),
            unsubscribe: async () => { held = null; return true; },
        });
    };
"""


async def open_web_push(page: Page, url: str, *, permission: str) -> Locator:
    """Opens the preferences where the environment has a key, and the user's answer to the browser is known."""
    await page.add_init_script(PUSH_SERVICE)
    # Headless Chromium denies without asking, so that what the user says is said here.
    await page.add_init_script(f"""
        Object.defineProperty(Notification, "permission", {{get: () => globalThis.permission ?? "default"}});
        Notification.requestPermission = async () => (globalThis.permission = {permission!r});
    """)
    await show(page, url)
    await page.evaluate("inbox.setAttribute('push-worker', 'push-worker-of-the-page.js')")
    await page.evaluate("client.environment = {name: 'x', vapid_public_key: 'BKey'}")
    await open_panel(page)
    await panel(page).get_by_role("button", name="Preferences").click()
    return panel(page).get_by_role("switch", name="Notify me in this browser")


async def test_web_push_is_offered_where_there_is_a_key(page: Page, url: str) -> None:
    """Without a key of the environment there is no row."""
    await show(page, url)
    await open_panel(page)
    await panel(page).get_by_role("button", name="Preferences").click()
    await expect(panel(page).get_by_text("Order tracking")).to_be_visible()
    await expect(panel(page).get_by_text("Notify me in this browser")).to_be_hidden()


async def test_web_push_on_and_off(page: Page, url: str) -> None:
    """The switch registers the worker of the page and tells the gateway, and takes both back."""
    switch = await open_web_push(page, url, permission="granted")
    await expect(switch).to_have_attribute("aria-checked", "false")

    await switch.click()
    await expect(switch).to_have_attribute("aria-checked", "true")
    assert await page.evaluate("subscribedWith") == {"userVisibleOnly": True, "applicationServerKey": "BKey"}
    [worker] = await page.evaluate(
        "navigator.serviceWorker.getRegistrations().then((all) => all.map((one) => one.active.scriptURL))"
    )
    assert worker == f"{url}/strict/push-worker-of-the-page.js"

    await switch.click()
    await expect(switch).to_have_attribute("aria-checked", "false")
    assert await calls(page) == [
        ["addWebPush", "https://push.example.com/1"],
        ["removeWebPush", "https://push.example.com/1"],
    ]


async def test_web_push_that_is_denied_is_explained(page: Page, url: str) -> None:
    """Where the browser blocks, the switch stays off and it is said what to do."""
    switch = await open_web_push(page, url, permission="denied")
    await switch.click()

    await expect(panel(page).get_by_role("alert").filter(visible=True)).to_contain_text("blocks notifications")
    await expect(switch).to_have_attribute("aria-checked", "false")
    await expect(switch).to_have_attribute("aria-disabled", "true")
    assert await calls(page) == []


async def test_web_push_that_fails_is_said(page: Page, url: str) -> None:
    """A browser that the gateway does not know of is not shown as registered, and is not."""
    switch = await open_web_push(page, url, permission="granted")
    await expect(switch).to_be_visible()
    await page.evaluate("client.refusal = new Error('away')")
    await switch.click()

    await expect(panel(page).get_by_role("alert").filter(has_text="could not be registered")).to_be_visible()
    await expect(switch).to_have_attribute("aria-checked", "false")
    assert await page.evaluate("PushManager.prototype.getSubscription()") is None


# --- The keyboard ---


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
    await expect(page.locator(".badge")).to_have_text("2")
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
                const ring = (one) => one && getComputedStyle(one).outlineStyle;
                return ring(active) === "solid" || ring(active.closest(".item")) === "solid";
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
        await expect(panel(page).get_by_text("You’re signed out")).to_be_visible()

    results = await Axe().run(page)

    assert [(found["id"], [node["html"] for node in found["nodes"]]) for found in results.response["violations"]] == []


# --- Safety ---


async def test_text_is_never_markup(page: Page, url: str) -> None:
    """Script and markup in any field are shown as they are, and addresses that are none of ours lead nowhere."""
    evil = "<img src=x onerror=alert(1)><script>alert(2)</script><b>bold</b>"
    await show(page, url, content="empty", policy="open")
    await page.evaluate("() => { globalThis.alert = () => (globalThis.fired = true); }")
    fields = {"title": evil, "body": evil, "label": evil, "url": "javascript:alert(1)"}
    actions = [{"label": evil, "url": "javascript:alert(3)"}, {"label": evil, "url": "data:text/html,x"}]
    urls = {"image_url": "javascript:alert(4)", "icon_url": "vbscript:x"}
    await put(page, {**fields, **urls, "actions": actions})
    await page.evaluate(
        "evil => client.notifications.push({notification_id: 'n', title: evil, section: evil,"
        " channels: [{channel: evil, offered_delivery_options: ['OFF', evil, 'x']}]})",
        evil,
    )
    await open_panel(page)

    await expect(titles(page)).to_have_text([f"Unread. {evil}"])
    await expect(body(page)).to_have_text([evil])
    await expect(panel(page).locator(".label")).to_have_text(evil)
    await expect(panel(page).locator(".item-action")).to_have_text([evil, evil])
    await expect(panel(page).locator(".item :is(a, img, b, script)")).to_have_count(0)
    await panel(page).get_by_role("button", name="Preferences").click()
    await expect(panel(page).locator(".group-name").last).to_have_text(evil)
    await expect(panel(page).locator(".preferences :is(img, b, script)")).to_have_count(0)
    assert await page.evaluate("globalThis.fired") is None


async def test_html_is_sanitised(page: Page, url: str) -> None:
    """Of a template's HTML what is safe is shown: links open beside the page, pictures come from where they may."""
    # Parsing a style attribute is told on the console under a policy that forbids it.
    await show(page, url, content="empty", policy="open")
    await put(
        page,
        {
            "html": True,
            "title": "<b>title</b>",
            "body": '<p style="position:fixed" class="bell" id="bell" onclick="x()">Hi <b>there</b></p>'
            '<a href="https://example.com/" target="_self">link</a><a href="/orders">ours</a><a href="JaVaScRiPt:x">bad</a>'
            '<img src="https://example.com/x.png" srcset="y"><img src="data:image/gif;base64,R0lGODlhAQABAAAAACw="><img src="data:text/html,x">'
            "<form action=/x><input name=q><button>Go</button></form><iframe src=/x></iframe><style>*{color:red}</style>"
            "<svg><a xlink:href='javascript:x'>x</a></svg><math><mi>x</mi></math><script>x()</script>",
        },
    )
    await open_panel(page)

    await expect(titles(page)).to_have_text(["Unread. <b>title</b>"])
    markup = await body(page).first.evaluate("""(body) => [...body.querySelectorAll("*")].map((one) =>
        [one.localName, ...[...one.attributes].map(({name, value}) => `${name}=${value}`).sort()].join(" "))""")
    picture = "img alt= loading=lazy referrerpolicy=no-referrer"
    assert markup == [
        "p",
        "b",
        "a href=https://example.com/ rel=noopener noreferrer target=_blank",
        "a href=/orders rel=noopener noreferrer target=_blank",
        "a",
        f"{picture} src=https://example.com/x.png",
        f"{picture} src=data:image/gif;base64,R0lGODlhAQABAAAAACw=",
        picture,
    ]


async def test_nothing_of_a_published_list_runs(page: Page, url: str) -> None:
    """Of a published list of scripts that get in, none does: as a template's HTML, as a text, or as an address."""
    dialogs: list[str] = []
    page.on("dialog", lambda dialog: dialogs.append(dialog.message) or dialog.accept())
    await show(page, url, content="empty", policy="open")
    await page.evaluate(
        "() => { for (const name of ['alert', 'prompt', 'confirm']) globalThis[name] = () => (globalThis.fired = name); }"
    )
    assert len(NAUGHTY) > 200
    await put(
        page,
        *({"html": True, "body": text, "title": text, "url": text, "image_url": text} for text in NAUGHTY),
        *(
            {"body": text, "label": text, "icon_url": text, "actions": [{"label": text, "url": text}]}
            for text in NAUGHTY
        ),
    )
    await page.evaluate("client.put(...[...client.held.values()].map((item) => ({...item, unread: false})))")
    await open_panel(page)
    await expect(titles(page)).to_have_count(2 * len(NAUGHTY))

    wrong = await panel(page).evaluate("""async (panel) => {
        for (const one of panel.querySelectorAll(".item")) one.scrollIntoView();
        const wrong = [];
        for (const one of panel.querySelectorAll(".item *")) {
            if (one.matches("script, iframe, object, embed, form, input, style, link, meta, base, svg:not(.icon), math")) wrong.push(one.outerHTML);
            for (const {name, value} of one.attributes) {
                const isAddress = ["href", "src", "action", "formaction", "xlink:href", "srcdoc"].includes(name);
                const isFine = /^(https?:|data:image\\/|\\/|#)/i.test(value) || !new URL(value, location).protocol.match(/^(?!https?:)/);
                if (name.startsWith("on") || name === "style" || (isAddress && !isFine)) wrong.push(one.outerHTML);
            }
        }
        for (const one of panel.querySelectorAll(".item-body *")) {
            for (const type of ["click", "mouseover", "focus", "load", "error"]) {
                const event = new Event(type, {cancelable: true, bubbles: true});
                event.preventDefault();
                one.dispatchEvent(event);
            }
        }
        return wrong;
    }""")

    assert wrong == []
    assert dialogs == []
    assert await page.evaluate("globalThis.fired") is None


# --- Whatever the page is like ---


async def test_hostile_styles_do_not_reach_it(page: Page, url: str) -> None:
    """Under global resets and huge fonts it looks as it does without them, and works, under a strict policy."""
    looks = []
    for hostile in ({}, {"hostile": "1"}):
        await show(page, url, **hostile)
        if hostile:
            await expect(page.locator("h1")).to_have_css("font-size", "60px")
        await open_panel(page)
        await expect(titles(page)).to_have_count(7)
        looks.append(
            await page.evaluate("""() => [".badge", ".panel-title", ".tab", ".item", ".main", ".item-body", ".tile"].map((name) => {
                const one = inbox.shadowRoot.querySelector(name);
                const style = getComputedStyle(one);
                const {width, height} = one.getBoundingClientRect();
                const names = ["fontSize", "lineHeight", "letterSpacing", "color", "textTransform", "backgroundColor", "display", "fontFamily"];
                return [name, Math.round(width), Math.round(height), ...names.map((property) => style[property])];
            })""")
        )
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
        sheet.replaceSync("carillon-inbox { --carillon-surface: rgb(1, 2, 3); } carillon-inbox::part(title) { color: rgb(4, 5, 6); }");
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
        globalThis.listeners = 0;
        inbox.remove();
        client.put(samples.item(1, {title: "meanwhile"}));
    }""")
    assert await page.evaluate("inbox.shadowRoot.querySelectorAll('.item, dialog').length") == 0
    assert await page.evaluate("client.calls") == []

    await page.evaluate("document.querySelector('header').append(inbox)")
    await expect(page.locator(".badge")).to_have_text("4")
    await open_panel(page)
    await expect(titles(page)).to_have_count(8)


async def test_many_events_are_a_few_frames(page: Page, url: str) -> None:
    """A thousand items and two hundred events are shown whole, rows are kept, and a frame paints many events at once."""
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
        for (let number = 0; number < 200; number++) client.put(samples.item(2000 + number, {minutes: 0}));
        while (list.childElementCount < 1200) await new Promise(requestAnimationFrame);
        observer.disconnect();
        return writes;
    }""")

    assert writes <= 20
    assert await row.evaluate("row => row.isConnected")
