"""Expiry as sessions see it; the services sweep by themselves."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from services.kernel.clock import utc_now
from tests.contract.live.test_marks import unread_count
from tests.contract.live.world import USER_ID, a_send

if TYPE_CHECKING:
    from tests.contract.live.world import Live
    from tests.contract.services.world import Tenant

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def expire_soon(live: Live, tenant: Tenant, tracking_id: str) -> None:
    """Lets a message expire in a second."""
    key = {"e": tenant.client_id, "u": USER_ID, "m": tracking_id}
    change = {"$set": {"expire_time": utc_now() + timedelta(seconds=1)}}
    await live.world.database.messages.update_one({"_id": key}, change)


async def test_expiry_takes_the_item_and_its_badge_from_every_session(live: Live, tenant: Tenant) -> None:
    """An item that expires is retracted in all sessions of the user, and lowers the badge if it was unread."""
    async with live.browser(tenant) as one, live.browser(tenant) as other, live.browser(tenant, "another") as stranger:
        unread, read, staying = [(await tenant.backend.sender.Send(a_send())).item_id for _ in range(3)]
        await one.take_until(staying)
        await one.ask("mark", ids=[read], set=["SEEN"])
        for browser in (one, other):
            while browser.unread_count != 2 or staying not in browser.items:
                await browser.take()

        for item_id, change in ((unread, -1), (read, 0)):
            await expire_soon(live, tenant, item_id)
            for browser in (one, other):
                async with asyncio.timeout(30):
                    frame = await browser.take()
                told = {name: frame.get(name) for name in ("type", "ids", "unread_change")}
                assert told == {"type": "retracted", "ids": [item_id], "unread_change": change}
                assert browser.unread_count == await unread_count(tenant) == 1

        assert stranger.items == {}
        assert one.items.keys() == other.items.keys() == {staying}
    async with live.browser(tenant) as later:
        assert (set(later.items), later.unread_count) == ({staying}, 1)
