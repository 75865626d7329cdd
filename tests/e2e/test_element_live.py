"""<carillon-inbox> in a real browser, against real services and a real gateway."""

from __future__ import annotations

import asyncio
import re
import uuid
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import pytest
import pytest_asyncio
from playwright.async_api import expect

from carillon.v1 import content_pb2, delivery_pb2, notifications_pb2, sender_pb2, users_pb2
from services.kernel.auth import user_hash
from tests.contract.services.requests import definition, inapp
from tests.e2e.browser import open_page
from tests.e2e.element import badge, bell, panel, says, titles
from tests.e2e.processes import call
from tests.e2e.stack import MASTER_KEY, TITLE, Stack, order_tracking, retract_order_tracking

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Browser, Page

    from tests.contract.services.world import Caller

EVIL = "<img src=x onerror=alert(1)><script>alert(2)</script><b>bold</b>"

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.fixture
def user_id() -> str:
    """A user of the test's own."""
    return uuid.uuid4().hex


@pytest_asyncio.fixture(loop_scope="session")
async def backend(stack: Stack) -> AsyncIterator[Caller]:
    """Calls the services as a backend does."""
    texts = {"title": "{{ title }}", "body": "{{ body }}"}
    actions = [content_pb2.InappAction(label="{{ label }}")]
    async with stack.backend() as backend:
        for made in (
            definition("free", inapp(**texts, actions=actions), title=EVIL),
            definition("rich", inapp(title=EVIL, body=EVIL, html=True)),
        ):
            await backend.notifications.PutNotification(notifications_pb2.PutNotificationRequest(notification=made))
        yield backend


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Browser, url: str, stack: Stack, user_id: str) -> AsyncIterator[Page]:
    """A page with the element of that user, live, its panel open on an empty inbox."""
    async with open_page(browser) as page:
        await page.goto(address(url, stack, user_id))
        await bell(page).click()
        await expect(panel(page).get_by_text("all caught up")).to_be_visible()
        yield page


def address(url: str, stack: Stack, user_id: str, *, policy: str = "strict", **others: str) -> str:
    """Gives the address of the page with that user's element."""
    attributes = {
        "url": f"ws://127.0.0.1:{stack.ws_port}/v1/inbox",
        **(
            others
            or {
                "client-id": stack.client_id,
                "user-id": user_id,
                "user-hash": user_hash(stack.client_secret, user_id),
            }
        ),
    }
    return f"{url}/{policy}/element.html#{urlencode(attributes)}"


def free(user_id: str, **merge_tags: str) -> sender_pb2.SendRequest:
    """Makes a send whose item has the texts of the test."""
    request = sender_pb2.SendRequest(notification_id="free")
    request.user.id = user_id
    request.merge_tags.update({"title": "", "body": "", "label": "", **merge_tags})
    return request


async def test_arrives_and_is_retracted(page: Page, backend: Caller, user_id: str) -> None:
    """What is sent appears at once, at the bell too, and the page is told; what is taken back disappears."""
    await backend.sender.Send(order_tracking(user_id))
    await expect(titles(page)).to_have_text([f"Unread. {TITLE}"])
    await expect(badge(page)).to_have_text("1")
    await page.wait_for_function("heard.some(([type]) => type === 'carillon-new')")

    await backend.sender.Retract(retract_order_tracking(user_id))
    await expect(titles(page)).to_have_count(0)
    await expect(badge(page)).to_be_hidden()
    await expect(panel(page).get_by_text("all caught up")).to_be_visible()


async def test_two_tabs_are_in_step(
    page: Page, browser: Browser, url: str, stack: Stack, backend: Caller, user_id: str
) -> None:
    """What is done in one tab shows in the other: read, archived, brought back, all read."""
    await backend.sender.Send(order_tracking(user_id))
    await backend.sender.Send(order_tracking(user_id))
    async with open_page(browser) as other:
        await other.goto(address(url, stack, user_id))
        await expect(badge(other)).to_have_text("2")
        await bell(other).click()
        await panel(page).get_by_role("button", name="Mark as read").first.click()
        await expect(badge(other)).to_have_text("1")

        await panel(page).get_by_role("button", name=re.compile("^Archive: ")).last.click()
        await expect(titles(other)).to_have_count(1)
        await expect(badge(other)).to_be_hidden()
        await panel(page).get_by_role("button", name="Undo").click()
        await expect(titles(other)).to_have_count(2)
        await expect(titles(page)).to_have_count(2)

        await panel(other).get_by_role("button", name="Mark as unread").first.click()
        await expect(badge(page)).to_have_text("1")
        await panel(other).get_by_role("button", name="Mark all as read").click()
        await expect(badge(page)).to_be_hidden()


async def test_archive_view(page: Page, backend: Caller, user_id: str) -> None:
    """What is archived is in the archive, which a page that was just opened asks for, and goes back from there."""
    await backend.sender.Send(order_tracking(user_id))
    await panel(page).get_by_role("button", name=re.compile("^Archive: ")).click()
    await expect(titles(page)).to_have_count(0)

    await page.reload()
    await bell(page).click()
    await panel(page).get_by_role("tab", name="Archive").click()
    await panel(page).get_by_role("button", name="Move to inbox").click()
    await expect(panel(page).get_by_text("The archive is empty")).to_be_visible()
    await panel(page).get_by_role("tab", name="Inbox").click()
    await expect(titles(page)).to_have_text([TITLE])


async def test_an_open_item_is_marked(page: Page, backend: Caller, user_id: str) -> None:
    """Opening an item makes it read, for the backend to see."""
    await backend.sender.Send(free(user_id, title="open me"))
    await titles(page).click()

    await expect(badge(page)).to_be_hidden()
    await expect(titles(page)).to_have_text(["open me"])


async def test_preferences_off_and_on(page: Page, backend: Caller, user_id: str) -> None:
    """Off in the panel, the next send passes the inbox over; on again, it arrives."""
    await panel(page).get_by_role("button", name="Preferences").click()
    switch = panel(page).get_by_role("switch", name="Order tracking Inbox")
    await expect(switch).to_have_attribute("aria-checked", "true")

    for is_on in (False, True):
        await page.evaluate(
            "() => { globalThis.saved = new Promise((done) => inbox.client.addEventListener('preferences', done)); }"
        )
        await switch.click()
        await page.evaluate("saved.then(() => true)")
        await expect(switch).to_have_attribute("aria-checked", str(is_on).lower())
        answer = await backend.sender.Send(order_tracking(user_id))
        reasons = {delivery_pb2.SkipReason.Name(one.reason) for one in answer.deliveries}
        assert ("SKIP_REASON_PREFERENCE_OFF" in reasons) == (not is_on)

    await page.keyboard.press("Escape")
    await expect(titles(page)).to_have_count(1)


async def test_scrolling_through_five_hundred(
    browser: Browser, url: str, stack: Stack, backend: Caller, user_id: str
) -> None:
    """By scrolling alone one gets to the oldest of more than 500 items: each is there once, newest first."""
    limit = asyncio.Semaphore(32)

    async def send(number: int) -> None:
        async with limit:
            await backend.sender.Send(free(user_id, title=f"item {number}"))

    await asyncio.gather(*(send(number) for number in range(520)))
    async with open_page(browser) as page:
        await page.goto(address(url, stack, user_id))
        await expect(badge(page)).to_have_text("99+")
        await bell(page).click()
        scroller = panel(page).locator(".scroller")
        rows = scroller.locator(".item")
        await expect(rows).to_have_count(50)
        while (count := await rows.count()) < 520:
            await scroller.evaluate("box => box.scrollTo(0, box.scrollHeight)")
            await expect(rows).not_to_have_count(count)

        shown = await titles(page).all_text_contents()
        assert len(set(shown)) == len(shown) == 520
        dates = await rows.locator("time").evaluate_all("all => all.map((one) => one.dateTime)")
        assert dates == sorted(dates, reverse=True)
        await expect(scroller.locator(".foot")).to_be_hidden()


async def test_the_network_is_cut_and_comes_back(page: Page, backend: Caller, user_id: str) -> None:
    """Without a network what is there stays and that is said; with it what came meanwhile is there, once."""
    await backend.sender.Send(order_tracking(user_id))
    await expect(titles(page)).to_have_count(1)
    await page.evaluate("inbox.client.cut()")
    await expect(panel(page).locator(".banner")).not_to_have_text("")
    await backend.sender.Send(order_tracking(user_id))
    await expect(titles(page)).to_have_count(1)

    await page.evaluate("inbox.client.restore()")
    await expect(titles(page)).to_have_count(2)
    await expect(badge(page)).to_have_text("2")
    await expect(panel(page).locator(".banner")).to_have_text("")


async def test_a_killed_gateway_comes_back(browser: Browser, url: str, mongodb_uri: str, user_id: str) -> None:
    """A gateway that is killed and started again loses nothing and doubles nothing; the element says what goes on."""
    stack = Stack(mongodb_uri=mongodb_uri.replace("/?", f"/stack_{uuid.uuid4().hex}?"))
    await stack.create_environment()
    async with stack.services(), stack.backend() as backend, open_page(browser) as page:
        await stack.apply_samples()
        async with stack.gateway() as gateway:
            await page.goto(address(url, stack, user_id))
            await bell(page).click()
            await expect(panel(page).get_by_text("all caught up")).to_be_visible()
            await backend.sender.Send(order_tracking(user_id))
            await expect(titles(page)).to_have_count(1)
            await gateway.kill()
            await expect(panel(page).locator(".banner")).to_have_text("Reconnecting…")
            await backend.sender.Send(order_tracking(user_id))
        async with stack.gateway():
            await expect(titles(page)).to_have_count(2, timeout=40_000)
            await expect(panel(page).locator(".banner")).to_have_text("")
            await expect(badge(page)).to_have_text("2")


async def test_a_revoked_token_is_signed_out(
    browser: Browser, url: str, stack: Stack, backend: Caller, user_id: str
) -> None:
    """A token that is revoked leaves nothing of the user on the page, and the page is told."""
    await backend.sender.Send(order_tracking(user_id))
    made = await backend.users.CreateUserToken(users_pb2.CreateUserTokenRequest(user_id=user_id))
    async with open_page(browser) as page:
        await page.goto(address(url, stack, user_id, token=made.user_token))
        await bell(page).click()
        await expect(titles(page)).to_have_count(1)

        await backend.users.RevokeUserTokens(users_pb2.RevokeUserTokensRequest(user_id=user_id))

        await expect(says(page, "You're signed out")).to_be_visible()
        await expect(titles(page)).to_have_count(0)
        await expect(badge(page)).to_be_hidden()
        assert await page.evaluate("heard.at(-1)[1].state") == "signed-out"


async def test_a_user_id_will_do_where_secure_mode_is_off(browser: Browser, url: str, stack: Stack) -> None:
    """An element with neither hash nor token shows the inbox where that is allowed, and else says who it is not."""
    client_id = f"page-{uuid.uuid4().hex}"
    options = {"mongodb_uri": stack.mongodb_uri, "master_key": MASTER_KEY}
    assert (await call("env", "create", client_id, **options)).code == 0
    bare = {"client-id": client_id, "user-id": "bob"}
    async with open_page(browser) as page:
        await page.goto(address(url, stack, "bob", **bare))
        await bell(page).click()
        await expect(says(page, "You're signed out")).to_be_visible()

    assert (await call("env", "secure-mode", client_id, "off", **options)).code == 0
    async with open_page(browser) as page:
        await page.goto(address(url, stack, "bob", **bare))
        await bell(page).click()
        await expect(panel(page).get_by_text("all caught up")).to_be_visible()


async def test_tokens_are_asked_for(browser: Browser, url: str, stack: Stack, backend: Caller, user_id: str) -> None:
    """With onTokenNeeded the page hands in tokens when they are needed, and the user notices nothing."""

    async def make() -> str:
        made = await backend.users.CreateUserToken(users_pb2.CreateUserTokenRequest(user_id=user_id))
        return str(made.user_token)

    await backend.sender.Send(order_tracking(user_id))
    async with open_page(browser) as page:
        await page.expose_function("makeToken", make)
        await page.goto(f"{url}/strict/element.html")
        await page.wait_for_function("globalThis.inbox")
        await page.evaluate(
            "address => { inbox.setAttribute('url', address); inbox.onTokenNeeded = () => makeToken(); }",
            f"ws://127.0.0.1:{stack.ws_port}/v1/inbox",
        )
        await expect(badge(page)).to_have_text("1")


async def test_markup_in_every_field_is_text(page: Page, backend: Caller, user_id: str) -> None:
    """What is sent as text is shown as text, in the preferences too."""
    await backend.sender.Send(free(user_id, title=EVIL, body=EVIL, label=EVIL))
    await expect(titles(page)).to_have_text([f"Unread. {EVIL}"])
    await expect(panel(page).locator(".item-body")).to_have_text([EVIL])
    await expect(panel(page).locator(".item-action")).to_have_text([EVIL])

    await panel(page).get_by_role("button", name="Preferences").click()
    await expect(panel(page).locator(".group-name").first).to_have_text(EVIL)


async def test_html_is_sanitised(browser: Browser, url: str, stack: Stack, backend: Caller, user_id: str) -> None:
    """What a template says is HTML is shown as such, without what it could do; its title stays text."""
    request = sender_pb2.SendRequest(notification_id="rich")
    request.user.id = user_id
    await backend.sender.Send(request)
    # Without a policy: there a script that gets in would run.
    async with open_page(browser) as page:
        await page.goto(address(url, stack, user_id, policy="open"))
        await page.evaluate("() => { globalThis.alert = () => (globalThis.fired = true); }")
        await bell(page).click()
        await expect(titles(page)).to_have_text([f"Unread. {EVIL}"])
        await expect(panel(page).locator(".item-body b")).to_have_text("bold")
        await expect(panel(page).locator(".item-body :is(script, [onerror])")).to_have_count(0)
        assert await page.evaluate("globalThis.fired") is None


async def test_another_user_sees_nothing_of_the_first(page: Page, stack: Stack, backend: Caller, user_id: str) -> None:
    """When the page signs somebody else in, nothing of the first is shown any more."""
    await backend.sender.Send(order_tracking(user_id))
    await expect(titles(page)).to_have_count(1)

    other = uuid.uuid4().hex
    await page.evaluate(
        "([id, hash]) => { inbox.setAttribute('user-id', id); inbox.setAttribute('user-hash', hash); }",
        [other, user_hash(stack.client_secret, other)],
    )

    await expect(titles(page)).to_have_count(0)
    await expect(badge(page)).to_be_hidden()
    await expect(panel(page).get_by_text("all caught up")).to_be_visible()
