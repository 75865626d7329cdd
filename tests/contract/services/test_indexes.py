"""That what users wait for costs what it answers, as MongoDB's own profiler saw it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from carillon.v1 import inbox_pb2, sender_pb2
from tests.contract.services.requests import USER, send_request

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.contract.services.world import Tenant, World

pytestmark = pytest.mark.asyncio(loop_scope="session")


@asynccontextmanager
async def profiled(world: World) -> AsyncIterator[list[dict[str, Any]]]:
    """Gives, once the block has ended, what the services did to ``messages`` inside of it."""
    seen: list[dict[str, Any]] = []
    await world.database.system.profile.drop()
    await world.database.command("profile", 2)
    try:
        yield seen
    finally:
        await world.database.command("profile", 0)
    query = {"ns": f"{world.database.name}.messages", "op": {"$in": ["query", "command", "update"]}}
    seen += await world.database.system.profile.find(query).to_list()


async def test_reads_and_retractions_touch_only_their_user(world: World, tenant: Tenant) -> None:
    """List, badge, snapshot and retraction read by index, and examine no more than the user's own messages."""
    address = {"email": "spongebob@squarepants.com"}
    others = [send_request(user={"id": f"other-{i % 5}"} | address) for i in range(60)]
    await asyncio.gather(*map(tenant.send, others))
    await tenant.send(*(send_request(user=address) for _ in range(3)))

    async with profiled(world) as seen:
        await tenant.items(USER)
        await tenant.backend.inbox.CountUnread(inbox_pb2.CountUnreadRequest(user_id=USER))
        await tenant.backend.inbox.SyncInbox(inbox_pb2.SyncInboxRequest(user_id=USER))
        for cancel_deliveries in (True, False):
            request = sender_pb2.RetractRequest(
                user_id=USER, notification_id="order_tracking", cancel_deliveries=cancel_deliveries
            )
            await tenant.backend.sender.Retract(request)

    assert len(seen) >= 8
    assert [
        one["command"] for one in seen if not one["planSummary"].startswith(("IXSCAN", "COUNT_SCAN", "IDHACK"))
    ] == []
    assert max(one["docsExamined"] for one in seen) <= 6
    assert max(one["keysExamined"] for one in seen) <= 8
