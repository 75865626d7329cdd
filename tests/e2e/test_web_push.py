"""Web push through everything: from the switch in the page to the notification of the browser, and back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from playwright.async_api import expect

from carillon.v1 import channel_pb2, delivery_pb2, messages_pb2, users_pb2
from tests.e2e.element import open_preferences, panel
from tests.e2e.processes import call, wait_until
from tests.e2e.stack import MASTER_KEY, USER_ID, Stack, order_tracking, retract_order_tracking, run_stack
from tests.e2e.test_push_worker import start_worker
from tests.providers.authority import Authority
from tests.providers.web_push import serve_push_service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from playwright.async_api import Browser as Chromium
    from playwright.async_api import Page

    from tests.contract.services.world import Caller
    from tests.providers.web_push import Browser, PushService

pytestmark = pytest.mark.asyncio(loop_scope="session")

# Chromium without its vendor's push service cannot subscribe; what it would have been given is said by the test.
SUBSCRIBE = """subscription => {
    let held = null;
    PushManager.prototype.getSubscription = async () => held;
    PushManager.prototype.subscribe = async (options) => {
        globalThis.subscribedWith = options;
        return (held = { endpoint: subscription.endpoint, toJSON: () => subscription, unsubscribe: async () => true });
    };
}"""


@pytest_asyncio.fixture(loop_scope="session")
async def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[PushService]:
    """Gives a push service that the worker trusts, once it is started."""
    authority = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca_file))
    async with serve_push_service(authority.server_context("localhost", alpn="http/1.1")) as service:
        yield service


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def pushing(mongodb_uri: str) -> AsyncIterator[Stack]:
    """Gives a stack of its own, whose environment has keys."""
    async with run_stack(mongodb_uri) as stack:
        created = await stack.create_vapid_keys()
        assert created.code == 0, created.stderr
        yield stack


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Chromium, pushing: Stack, service: PushService) -> AsyncIterator[Page]:
    """Gives the page of a user who has allowed notifications."""
    context = await browser.new_context()
    try:
        await context.grant_permissions(["notifications"], origin=f"http://127.0.0.1:{pushing.http_port}")
        yield await context.new_page()
    finally:
        await context.close()


async def endpoints(backend: Caller) -> list[str]:
    """Gives the endpoints of the user's profile."""
    answer = await backend.users.GetUser(users_pb2.GetUserRequest(user_id=USER_ID))
    return [one.endpoint for one in answer.user.web_push_subscriptions]


async def test_a_browser_that_is_switched_on_shows_and_closes(page: Page, pushing: Stack, service: PushService) -> None:
    """The switch registers the browser, a send reaches it and is shown, and a retraction closes what is shown."""
    browser: Browser = service.browser()
    subscription = {"endpoint": browser.endpoint, "expirationTime": None, "keys": browser.keys}
    await page.add_init_script(f"({SUBSCRIBE})({json.dumps(subscription)})")
    await page.goto(pushing.page())
    await open_preferences(page)
    switch = panel(page).get_by_role("switch", name="Notify me in this browser")
    chromium = await start_worker(page, switch.click)
    await expect(switch).to_have_attribute("aria-checked", "true")

    request = order_tracking()
    request.force_channels.extend([channel_pb2.CHANNEL_INAPP_WEB, channel_pb2.CHANNEL_WEB_PUSH])
    async with pushing.backend() as backend, pushing.worker(private_networks="true"):
        assert await endpoints(backend) == [browser.endpoint]
        sent = await backend.sender.Send(request)
        [push] = await service.has(1)
        [shown] = await chromium.push(push.payload)

        await wait_until(lambda: is_sent(backend, sent.tracking_id))
        await backend.sender.Retract(retract_order_tracking())
        [_, closing] = await service.has(2)
        left = await chromium.push(closing.payload)

    assert await page.evaluate("subscribedWith") == {"userVisibleOnly": True, "applicationServerKey": push.public_key}
    assert (shown["title"], shown["tag"]) == ("Your Krabby Patty Burger is on its way", sent.item_id)
    assert shown["data"]["tracking_id"] == sent.tracking_id
    assert left == []


async def is_sent(backend: Caller, tracking_id: str) -> bool:
    """Tells whether the log has the push as sent."""
    message = (await backend.messages.GetMessage(messages_pb2.GetMessageRequest(tracking_id=tracking_id))).message
    return any(one.state == delivery_pb2.DELIVERY_STATE_SENT for one in message.deliveries)


async def test_the_doctor_looks_at_the_keys(pushing: Stack, mongodb_uri: str) -> None:
    """Environments that have keys are counted, and their keys tried; where none has any it is said how to make them."""
    other = Stack(mongodb_uri=mongodb_uri.replace("/?", "/without_keys?"))
    assert (await other.create_environment()).code == 0
    with_keys = await call("doctor", mongodb_uri=pushing.mongodb_uri, master_key=MASTER_KEY)
    without = await call("doctor", mongodb_uri=other.mongodb_uri, master_key=MASTER_KEY)

    [found] = [line for line in with_keys.stdout.splitlines() if line.startswith("web_push")]
    assert (with_keys.code, " ".join(found.split())) == (0, "web_push works WEB_PUSH in 1 of 1 environment")
    [missing] = [line for line in without.stdout.splitlines() if line.startswith("web_push")]
    assert (without.code, "not configured" in missing, "carillon env vapid" in missing) == (0, True, True)
