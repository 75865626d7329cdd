"""The demo page of `carillon dev` in a real browser: two people, a backend, and a network that can be cut."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from playwright.async_api import expect

from tests.e2e.browser import badge, open_page, panel, state, titles
from tests.e2e.pages import serve_page
from tests.e2e.stack import TITLE
from tests.e2e.test_dev import Dev

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Browser, Locator, Page

pytestmark = pytest.mark.asyncio(loop_scope="session")

PHONE, DESK = 360, 1280


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def url(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """Where `carillon dev` serves its page."""
    dev = Dev(tmp_path_factory.mktemp("dev") / "data")
    async with dev.run():
        yield f"http://localhost:{dev.settings['http_port']}"


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Browser, url: str, request: pytest.FixtureRequest) -> AsyncIterator[Page]:
    """The page with two people whom only this test knows, both live, and nothing wrong on its console at the end."""
    name = re.sub(r"\W+", "-", request.node.name)
    async with open_page(browser) as page:
        await page.goto(f"{url}/?left=left-{name}&right=right-{name}")
        await expect(state(page)).to_have_text(["live", "live"])
        yield page


def left(page: Page) -> Locator:
    """Gives what is about the person on the left."""
    return page.get_by_test_id("person").nth(0)


def right(page: Page) -> Locator:
    """Gives what is about the person on the right."""
    return page.get_by_test_id("person").nth(1)


def log(person: Locator) -> Locator:
    """Gives the lines of what a person's browser was told, the last one first."""
    return person.get_by_test_id("log").get_by_role("listitem")


async def send(page: Page, *, to: str = "both") -> None:
    """Sends by the form, and waits for the answer."""
    radios = page.get_by_test_id("recipients").get_by_role("radio")
    await radios.nth(["left", "right", "both"].index(to)).check()
    await page.get_by_test_id("send").click()
    await expect(page.get_by_test_id("outcome")).to_contain_text("tracking id")


async def retract(page: Page, count: int) -> None:
    """Retracts by the form, and waits for the answer."""
    await page.get_by_test_id("retract").click()
    items = "1 item retracted." if count == 1 else f"{count} items retracted."
    await expect(page.get_by_test_id("outcome")).to_have_text(items)


async def test_a_send_goes_to_whom_it_is_for(page: Page) -> None:
    """One person's item is in no other's inbox; one for both is in both, and taken back from both."""
    await send(page, to="right")
    await expect(titles(right(page))).to_have_text([TITLE])
    await expect(badge(page)).to_have_text(["0", "1"])
    await expect(log(right(page)).first).to_contain_text(f"created{TITLE}")

    await send(page, to="both")
    await expect(badge(page)).to_have_text(["1", "2"])
    await expect(titles(page)).to_have_count(3)

    await retract(page, 3)
    await expect(titles(page)).to_have_count(0)
    await expect(badge(page)).to_have_text(["0", "0"])
    await expect(page.get_by_test_id("empty").locator("visible=true")).to_have_count(2)
    await expect(log(left(page)).first).to_contain_text(f"retracted{TITLE}")


async def test_the_outcome_of_each_channel_is_shown(page: Page) -> None:
    """The form says what became of each channel, for each person, and the keyboard is where it was."""
    await page.get_by_label("both").check()
    await page.get_by_test_id("send").press("Enter")

    outcome = page.get_by_test_id("outcome")
    await expect(outcome.get_by_role("heading")).to_have_count(2)
    await expect(outcome.get_by_role("listitem")).to_have_count(12)
    await expect(outcome.get_by_role("listitem").nth(1)).to_have_text("INAPP_WEBDELIVERED")
    await expect(page.get_by_test_id("send")).to_be_focused()


async def test_one_who_is_on_both_sides_gets_it_once(page: Page) -> None:
    """Two windows of one person show the same, and a send to both is one message."""
    await right(page).get_by_test_id("user").fill(await left(page).get_by_test_id("user").input_value())
    await right(page).get_by_test_id("user").press("Enter")
    await expect(log(right(page)).first).to_contain_text("welcome, snapshot")

    await send(page, to="both")

    await expect(badge(page)).to_have_text(["1", "1"])
    await expect(titles(page)).to_have_text([TITLE, TITLE])


async def test_a_cut_network_costs_nothing(page: Page) -> None:
    """What is sent and taken back while the network is cut is made up for by a full resume; the other sees it live."""
    await send(page, to="both")
    await expect(badge(page)).to_have_text(["1", "1"])
    network = right(page).get_by_test_id("network")
    await network.click()
    await expect(network).to_have_attribute("aria-checked", "false")
    await expect(state(page)).to_have_text(["live", "offline"])

    await retract(page, 2)
    await page.get_by_test_id("notification").select_option("hello_world")
    await send(page, to="both")
    await expect(titles(page)).to_have_text(["Hello, Spongebob!", TITLE])

    await network.click()

    await expect(state(page)).to_have_text(["live", "live"])
    await expect(titles(page)).to_have_text(["Hello, Spongebob!", "Hello, Spongebob!"])
    await expect(badge(page)).to_have_text(["1", "1"])
    await expect(right(page).get_by_test_id("log")).to_contain_text(re.compile("welcome, full[23] changes"))


async def test_a_mark_in_the_element_shows_beside_it(page: Page) -> None:
    """The bell of a person is theirs alone: what is marked behind one is read there, and in the list beside it."""
    await send(page, to="both")
    await page.locator("carillon-inbox .bell").nth(0).click()
    await panel(page).get_by_role("button", name="Mark all as read").click()

    await expect(badge(page)).to_have_text(["0", "1"])
    await expect(left(page).get_by_text("Unread. ", exact=True)).to_have_count(0)
    await expect(right(page).get_by_text("Unread. ", exact=True)).to_have_count(1)


async def test_another_person_sees_nothing_of_the_last(page: Page, url: str) -> None:
    """Choosing somebody else empties all that was shown, says so in the address, and lets them be sent to."""
    await send(page, to="left")
    await expect(badge(page)).to_have_text(["1", "0"])

    await left(page).get_by_test_id("user").fill("ältere Person")
    await left(page).get_by_test_id("user").press("Enter")

    await expect(badge(page)).to_have_text(["0", "0"])
    await expect(titles(page)).to_have_count(0)
    await expect(log(left(page)).first).to_contain_text("welcome, snapshot0 items")
    await expect(page).to_have_url(re.compile(r"left=%C3%A4ltere\+Person"))
    await expect(page.get_by_test_id("recipients")).to_contain_text("ältere Person")
    await expect(page.get_by_test_id("snippet")).to_contain_text('user-id="ältere Person"')


async def test_an_impossible_person_is_refused(page: Page) -> None:
    """A user id that cannot be one is refused with the reason, and what the last person had is not shown to them."""
    await send(page, to="left")
    await expect(titles(left(page))).to_have_count(1)
    await left(page).get_by_test_id("user").fill("x" * 257)
    await left(page).get_by_test_id("user").press("Enter")

    await expect(state(page)).to_have_text(["signed out", "live"])
    await expect(log(left(page)).first).to_contain_text("user_id: must be at most 256 bytes")
    await expect(titles(left(page))).to_have_count(0)
    await expect(badge(page)).to_have_text(["0", "0"])


async def test_what_the_services_refuse_is_said(page: Page) -> None:
    """A send that fails says what was wrong, and what to do about it."""
    await page.get_by_test_id("email").evaluate("input => { input.closest('details').open = true; }")
    await left(page).get_by_test_id("user").fill(" ")
    await page.get_by_test_id("notification").evaluate("select => { select.options[0].text = 'unknown'; }")
    await page.get_by_test_id("send").click()

    await expect(page.get_by_test_id("outcome")).to_contain_text("unknown")
    await expect(page.get_by_test_id("outcome").get_by_role("listitem")).to_have_count(0)


async def test_texts_stay_texts(page: Page) -> None:
    """Markup in a merge tag or a name is shown as it is written, and runs nothing."""
    attack = "<img src=x onerror=document.title='owned'><script>document.title='owned'</script>"
    await page.get_by_test_id("notification").select_option("hello_world")
    await page.get_by_label("firstName").fill(attack)
    await right(page).get_by_test_id("user").fill(attack)
    await right(page).get_by_test_id("user").press("Enter")
    await expect(log(right(page)).first).to_contain_text("welcome")

    await send(page, to="both")

    await expect(titles(page)).to_have_text([f"Hello, {attack}!"] * 2)
    await expect(page.get_by_test_id("outcome")).to_contain_text(attack)
    await expect(page.locator("main").locator("img, script")).to_have_count(0)
    await expect(page).to_have_title("Carillon")


async def test_the_five_lines_work(page: Page, browser: Browser, url: str) -> None:
    """What the page offers to copy is five lines, and a page of another origin that has them shows the inbox."""
    await send(page, to="left")
    snippet = await page.get_by_test_id("snippet").inner_text()
    assert len(snippet.splitlines()) == 5

    async with serve_page(f"<!doctype html>{snippet}") as shop, open_page(browser) as other:
        await other.goto(shop)
        await expect(badge(other)).to_have_text("1")
        await other.locator("carillon-inbox .bell").click()
        await expect(panel(other)).to_contain_text(TITLE)


@pytest.mark.parametrize("width", [PHONE, DESK])
async def test_fits_the_screen(page: Page, width: int) -> None:
    """Nothing sticks out sideways, on a phone or a desk, not even a word without end."""
    await page.set_viewport_size({"width": width, "height": 740})
    await page.get_by_label("item", exact=True).fill("w" * 500)
    await right(page).get_by_test_id("user").fill("w" * 256)
    await right(page).get_by_test_id("user").press("Enter")
    await expect(log(right(page)).first).to_contain_text("welcome")
    await send(page, to="left")
    await expect(titles(left(page))).to_have_count(1)

    assert await page.evaluate("document.documentElement.scrollWidth") == width
