"""Services and gateway as separate processes, from a call of a backend to what a browser shows."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

from carillon.v1 import inbox_pb2
from tests.e2e.browser import badge, open_page, panel, state, titles
from tests.e2e.processes import free_port
from tests.e2e.stack import TITLE, order_tracking, retract_order_tracking

if TYPE_CHECKING:
    from playwright.async_api import Browser

    from tests.e2e.stack import Stack

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_everyone_sees_a_send_and_its_retraction(stack: Stack, browser: Browser) -> None:
    """What a backend sends is at once in all open inboxes of the user; what it retracts is in none and stays away."""
    async with (
        stack.backend() as backend,
        stack.tab() as one,
        stack.tab() as other,
        stack.tab("userId_456def") as stranger,
        open_page(browser) as page,
    ):
        await page.goto(stack.page())
        await expect(state(page)).to_have_text("live")
        for tab in (one, other, stranger):
            assert (await tab.receive())["items"] == []

        sent = await backend.sender.Send(order_tracking())

        for tab in (one, other):
            created = await tab.receive()
            assert (created["type"], created["item"]["id"]) == ("created", sent.tracking_id)
            assert created["item"]["title"] == TITLE
        await expect(titles(page)).to_have_text([TITLE])
        await expect(badge(page)).to_have_text("1")

        retracted = await backend.sender.Retract(retract_order_tracking())

        assert retracted.retracted_count == 1
        for tab in (one, other):
            frame = await tab.receive()
            assert (frame["type"], frame["ids"], frame["unread_change"]) == ("retracted", [sent.tracking_id], -1)
        await expect(titles(page)).to_have_count(0)
        await expect(badge(page)).to_have_text("0")

        await page.reload()
        await expect(state(page)).to_have_text("live")
        await expect(titles(page)).to_have_count(0)
        await expect(badge(page)).to_have_text("0")
        async with stack.tab() as later:
            assert (await later.receive())["items"] == []

        await stranger.send(type="ping")
        assert (await stranger.receive())["type"] == "pong", "another user was told something"


async def test_a_mark_in_one_is_seen_in_the_others(stack: Stack, browser: Browser) -> None:
    """Whoever marks, a socket or a page: both sockets and the page show it, and the badge is right in all of them."""
    user_id = "marker"
    async with (
        stack.backend() as backend,
        stack.tab(user_id) as one,
        stack.tab(user_id) as other,
        open_page(browser) as page,
    ):
        await page.goto(stack.page(user_id))
        await expect(state(page)).to_have_text("live")
        badges = {tab: (await tab.receive())["unread_count"] for tab in (one, other)}

        async def told(*wanted: str, unread: bool) -> None:
            """Awaits that both sockets are told of items; then each badge must be the count of the services."""
            for tab in (one, other):
                waiting = set(wanted)
                while waiting:
                    frame = await tab.receive()
                    if frame["type"] == "result":
                        continue
                    badges[tab] += frame["unread_change"]
                    item = frame.get("item", {})
                    if frame.get("set", item).get("unread") is unread:
                        waiting -= {*frame.get("ids", ()), item.get("id")}
            count = (await backend.inbox.CountUnread(inbox_pb2.CountUnreadRequest(user_id=user_id))).unread_count
            assert badges == {one: count, other: count}
            await expect(badge(page)).to_have_text(str(count))

        ids = [(await backend.sender.Send(order_tracking(user_id))).item_id for _ in range(4)]
        await told(*ids, unread=True)

        await one.send(type="mark", ref="1", ids=[ids[0]], set=["OPENED"])
        await told(ids[0], unread=False)
        assert badges[one] == 3

        await other.send(type="mark", ref="1", ids=[ids[0]], clear=["SEEN"])
        await told(ids[0], unread=True)
        assert badges[one] == 4

        await page.locator("carillon-inbox .bell").click()
        newest = panel(page).locator(".item").first
        await newest.hover()
        await newest.get_by_role("button", name="Archive").click()
        await told(ids[3], unread=False)
        await expect(titles(page)).to_have_count(3)

        await one.send(type="mark", ref="2", ids=[ids[3]], clear=["ARCHIVED"])
        await expect(titles(page)).to_have_count(4)

        await panel(page).get_by_role("button", name="Mark all as read").click()
        await told(*ids[:3], unread=False)
        assert badges == {one: 0, other: 0}
        await expect(panel(page).get_by_role("button", name="Mark all as read")).to_be_hidden()


async def test_the_page_of_another_gateway_only_shows(stack: Stack, browser: Browser) -> None:
    """A page that `carillon dev` does not serve has no form; without a user in its address it says what to do."""
    async with open_page(browser) as page:
        await page.goto(stack.page("somebody"))
        await expect(state(page)).to_have_text("live")
        await expect(page.get_by_test_id("send")).to_be_hidden()
        await expect(page.get_by_test_id("user")).to_be_hidden()
        await expect(page.get_by_test_id("name")).to_have_text("somebody")

        await page.goto(stack.page().partition("#")[0])
        await expect(page.get_by_test_id("notice")).to_contain_text("/#client_id=…&user_id=…&user_hash=…")
        await expect(page.get_by_test_id("person")).to_have_count(0)


async def test_the_page_of_a_stranger_is_refused(stack: Stack, browser: Browser) -> None:
    """A hash that is not the user's ends in "signed out", and shows nothing."""
    async with stack.backend() as backend, open_page(browser) as page:
        await backend.sender.Send(order_tracking("victim"))

        await page.goto(stack.page("mallory").replace("user_id=mallory", "user_id=victim"))

        await expect(state(page)).to_have_text("signed out")
        await expect(page.get_by_test_id("log")).to_contain_text("credentials refused")
        await expect(titles(page)).to_have_count(0)


async def test_the_page_survives_its_gateway(stack: Stack, browser: Browser) -> None:
    """When its gateway ends and another takes its place, a page comes back by itself and shows what it has missed."""
    second = dataclasses.replace(stack, ws_port=free_port(), http_port=free_port())
    async with stack.backend() as backend, open_page(browser) as page:
        async with second.gateway() as gateway:
            await page.goto(second.page("patient"))
            await expect(state(page)).to_have_text("live")

            assert await gateway.stop() == 0
            await expect(state(page)).to_have_text("reconnecting")
            await backend.sender.Send(order_tracking("patient"))

        async with second.gateway():
            await expect(titles(page)).to_have_text([TITLE], timeout=30_000)
            await expect(state(page)).to_have_text("live")
            await expect(badge(page)).to_have_text("1")


async def test_what_was_acknowledged_survives_a_crash(stack: Stack) -> None:
    """An item whose Send was answered is there when the services come back from a SIGKILL."""
    fragile = dataclasses.replace(stack, grpc_port=free_port())
    async with fragile.backend() as backend:
        async with fragile.services() as services:
            sent = await backend.sender.Send(order_tracking("survivor"))
            await services.kill()

        async with fragile.services() as services:
            answer = await backend.inbox.ListInbox(inbox_pb2.ListInboxRequest(user_id="survivor"))
            assert [item.id for item in answer.items] == [sent.tracking_id]
            assert await services.stop() == 0
