"""The preferences in <carillon-inbox>, and the browser that is registered for web push there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

from tests.e2e.element import calls, open_preferences, panel, show

if TYPE_CHECKING:
    from playwright.async_api import Locator, Page


pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_preferences(page: Page, url: str) -> None:
    """A switch where there is on and off, a list where there is more, a word where there is nothing to choose."""
    await show(page, url)
    await open_preferences(page)
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
    await open_preferences(page)
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
    await open_preferences(page)
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
    await open_preferences(page)
    await expect(panel(page).get_by_text("could not be loaded")).to_be_visible()

    await page.evaluate("client.refusal = undefined")
    await panel(page).get_by_role("button", name="Try again").click()
    await expect(panel(page).get_by_text("Order tracking")).to_be_visible()
    await expect(panel(page).get_by_text("could not be loaded")).to_be_hidden()


# Chromium without its vendor's push service cannot subscribe; what the element does with a subscription is seen anyway.
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
    await show(page, url, key="BKey")
    await page.evaluate("inbox.setAttribute('push-worker', 'push-worker-of-the-page.js')")
    await open_preferences(page)
    return panel(page).get_by_role("switch", name="Notify me in this browser")


async def test_web_push_is_offered_where_there_is_a_key(page: Page, url: str) -> None:
    """Without a key of the environment there is no row."""
    await show(page, url)
    await open_preferences(page)
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


# A browser that was registered the last time.
REGISTERED = """
    Object.defineProperty(Notification, "permission", {get: () => "granted"});
    const held = {toJSON: () => ({endpoint: "https://push.example.com/1", keys: {p256dh: "p", auth: "a"}})};
    ServiceWorkerContainer.prototype.getRegistration = async () => ({pushManager: {getSubscription: async () => held}});
"""


async def test_a_registered_browser_is_handed_in_again(page: Page, url: str) -> None:
    """A page that opens says whose browser it is now, and what the worker has subscribed to since."""
    await page.add_init_script(REGISTERED)
    await show(page, url, key="BKey")
    await page.wait_for_function("client.calls.length === 1")

    told = {
        "type": "carillon-push-subscription",
        "subscription": {"endpoint": "https://push.example.com/2", "keys": {"p256dh": "p", "auth": "a"}},
        "old_endpoint": "https://push.example.com/1",
    }
    tell = "(data) => navigator.serviceWorker.dispatchEvent(new MessageEvent('message', {data}))"
    await page.evaluate(tell, {"type": "of somebody else"})
    await page.evaluate(tell, told)
    await page.wait_for_function("client.calls.length === 3")

    assert await calls(page) == [
        ["addWebPush", "https://push.example.com/1"],
        ["addWebPush", "https://push.example.com/2"],
        ["removeWebPush", "https://push.example.com/1"],
    ]
    await page.evaluate("inbox.remove()")
    await page.evaluate(tell, told)
    assert len(await calls(page)) == 3
