from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import pytest

from carillon.v1 import messages_pb2, sender_pb2
from tests.contract.live.world import USER_ID, a_send

if TYPE_CHECKING:
    from tests.contract.live.world import Browser, Live
    from tests.contract.services.world import Tenant

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_an_item_is_the_same_live_and_read(live: Live, tenant: Tenant) -> None:
    """The item that arrives live is, field by field, the one that a later welcome reads."""
    async with live.browser(tenant) as browser:
        sent = await tenant.backend.sender.Send(a_send())
        await browser.take_until(sent.item_id)

    async with live.browser(tenant) as later:
        assert later.items == browser.items
    assert later.items[sent.item_id]["title"] == "Your <b>Krabby</b> Patty is on its way"
    assert later.items[sent.item_id]["tags"] == ["a", "b"]


async def test_retraction_takes_the_item_and_its_badge_from_every_session(live: Live, tenant: Tenant) -> None:
    """A retraction reaches all sessions of the user, the badge falls with it, and a later welcome does not have it."""
    async with live.browser(tenant) as one, live.browser(tenant) as other, live.browser(tenant, "another") as stranger:
        sent = await tenant.backend.sender.Send(a_send())
        for browser in (one, other):
            await browser.take_until(sent.item_id)
            assert browser.unread_count == 1

        await tenant.backend.sender.Retract(
            sender_pb2.RetractRequest(user_id=USER_ID, notification_id="order_tracking")
        )

        for browser in (one, other):
            assert (await browser.take())["type"] == "retracted"
            assert (browser.items, browser.unread_count) == ({}, 0)
        assert stranger.items == {}
    async with live.browser(tenant) as later:
        assert (later.items, later.unread_count) == ({}, 0)


async def test_deletion_takes_the_item_and_its_badge_from_every_session(live: Live, tenant: Tenant) -> None:
    """DeleteMessage reaches all sessions as a retraction does, and may follow one."""
    async with live.browser(tenant) as one, live.browser(tenant) as other:
        first, second = [await tenant.backend.sender.Send(a_send()) for _ in range(2)]
        for browser in (one, other):
            await browser.take_until(first.item_id)
            await browser.take_until(second.item_id)

        retraction = sender_pb2.RetractRequest(user_id=USER_ID, tracking_ids=[first.tracking_id])
        await tenant.backend.sender.Retract(retraction)
        for sent in (first, second):
            await tenant.backend.messages.DeleteMessage(messages_pb2.DeleteMessageRequest(tracking_id=sent.tracking_id))

        for browser in (one, other):
            while browser.items:
                assert (await browser.take())["type"] == "retracted"
            assert browser.unread_count == 0
    async with live.browser(tenant) as later:
        assert (later.items, later.unread_count) == ({}, 0)


async def test_who_connects_in_the_middle_misses_nothing_and_sees_nothing_twice(live: Live, tenant: Tenant) -> None:
    """Sessions that open at any moment of 200 sends and retractions end with the same items and badge as the inbox."""
    chance = random.Random(7)
    done = asyncio.Event()

    async def send_and_retract() -> str:
        for number in range(200):
            sent = await tenant.backend.sender.Send(a_send(chance.choice(["order_tracking", "hello_world"])))
            if number % 20 == 19:
                await tenant.backend.sender.Retract(
                    sender_pb2.RetractRequest(user_id=USER_ID, tracking_ids=[sent.tracking_id])
                )
        done.set()
        last = await tenant.backend.sender.Send(a_send("new_order"))
        return str(last.item_id)

    async def follow(last: asyncio.Task[str]) -> Browser:
        async with live.browser(tenant) as browser:
            while not done.is_set():
                await browser.take()
            await browser.take_until(await last)
            return browser

    async with asyncio.TaskGroup() as tasks:
        last = tasks.create_task(send_and_retract())
        followers = []
        while not done.is_set():
            followers.append(tasks.create_task(follow(last)))
            # The next one opens three frames later, so that they are fewer than a user may have.
            async with live.browser(tenant) as probe:
                for _ in range(3):
                    if not done.is_set():
                        await probe.take()

    async with live.browser(tenant) as truth:
        # A welcome holds 50 items, and those that were there before it came are not in the others' frames.
        assert len(followers) > 5
        for task in followers:
            browser = task.result()
            newest = dict(list(truth.items.items())[:20])
            assert {item_id: browser.items.get(item_id) for item_id in newest} == newest
            assert browser.unread_count == truth.unread_count == 191
            assert len(browser.appeared) == len(set(browser.appeared))
