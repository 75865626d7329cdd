"""What the socket may meet: a test for each line of the checklist that is about it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from websockets.asyncio.client import connect

from gateway.closes import CloseCode
from gateway.server import SUBPROTOCOL
from tests.contract.gateway.notificationapi.sockets import (
    ANSWER_S,
    USER_ID,
    Page,
    address,
    open_page,
    query,
    run_gateway_of,
)
from tests.contract.services.requests import send_request

if TYPE_CHECKING:
    from tests.contract.live.world import Live
    from tests.contract.services.world import Tenant

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_line_12_any_path_in_both_orders(live: Live, tenant: Tenant) -> None:
    """What js-client and core write, at every path that somebody puts before it."""
    js_client = query(tenant)
    core = {name: js_client[name] for name in ("userId", "envId", "userIdHash")}
    for path in ("", "/", "/ws", "/a/b/c/", f"/{tenant.client_id}"):
        for fields in (js_client, core):
            async with open_page(live.ws_port, fields, path) as page:
                assert await page.count() == 0


async def test_line_12_frames_are_json_and_unknown_ones_are_not_answered(live: Live, tenant: Tenant) -> None:
    """What is none is passed over, and the next frame is answered as if nothing had been."""
    async with open_page(live.ws_port, query(tenant)) as page:
        for bad in ("", "hello", "{", "[]", "null", b"\x00\x01", '{"route":"no/such"}', '{"type":"ping"}', "[" * 5000):
            await page.socket.send(bad)
        await page.send("inapp_web/notifications", [1])
        await page.send("inapp_web/unread_clear", {"notificationId": 7})
        await page.send("user_preferences/patch_preferences", {"notificationId": "order_tracking"})
        assert await page.count() == 0
        assert await page.items(count=50) == []


async def test_line_12_pings_are_those_of_websocket(live: Live) -> None:
    """Their clients would take a frame for theirs: nothing but the protocol's own pings comes by itself."""
    tenant = await live.world.tenant()
    async with run_gateway_of(
        live.world, live.mongodb_uri, ping_interval_s=0.05, ping_timeout_s=5, close_timeout_s=0.1
    ) as gateway:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.ws_port)
        target = address(gateway.ws_port, query(tenant)).partition(str(gateway.ws_port))[2]
        writer.write(
            f"GET /{target} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        async with asyncio.timeout(ANSWER_S):
            assert b"101 Switching Protocols" in await reader.readuntil(b"\r\n\r\n")
            assert await reader.readexactly(2) == b"\x89\x04"
        writer.close()


async def test_line_12_a_socket_may_be_idle(live: Live, tenant: Tenant) -> None:
    """The time for a hello, which ends sessions of ours, is not theirs; core never says anything."""
    async with (
        run_gateway_of(live.world, live.mongodb_uri, hello_timeout_s=0.2, ping_interval_s=0.05) as gateway,
        open_page(gateway.ws_port, query(tenant)) as idle,
        connect(f"ws://127.0.0.1:{gateway.ws_port}/v1/inbox", subprotocols=[SUBPROTOCOL], proxy=None) as ours,
    ):
        assert await Page(ours).closed() == CloseCode.HELLO_LATE.code
        await tenant.send(send_request())
        assert len(await idle.pushed()) == 1
        assert await idle.count() == 1


async def test_line_12_a_push_reaches_all_sockets_of_the_user(live: Live, tenant: Tenant) -> None:
    """Js-client's, core's and one of ours get the same item, with the id that the send answered; others get none."""
    fields = query(tenant)
    core = {name: fields[name] for name in ("userId", "envId", "userIdHash")}
    async with (
        open_page(live.ws_port, fields) as one,
        open_page(live.ws_port, core) as two,
        open_page(live.ws_port, query(tenant, "somebody else")) as other,
        live.browser(tenant) as ours,
    ):
        (sent,) = await tenant.send(send_request())
        assert await one.pushed() == [sent.tracking_id]
        assert await two.pushed() == [sent.tracking_id]
        await ours.take_until(sent.tracking_id)
        assert await other.count() == 0


@pytest.mark.parametrize("before", ["", None, "undefined", "null", "NaN", float("nan")])
async def test_line_14_a_bound_that_is_none_is_none(live: Live, tenant: Tenant, before: Any) -> None:
    """Js-client sends an empty one while it holds no item."""
    (sent,) = await tenant.send(send_request())
    async with open_page(live.ws_port, query(tenant)) as page:
        assert [item["id"] for item in await page.items(before=before, count=50)] == [sent.tracking_id]


async def test_line_14_a_count_that_is_missing_or_too_large_is_clamped(live: Live, tenant: Tenant) -> None:
    """Whatever is asked for, a page comes."""
    await tenant.send(*[send_request() for _ in range(3)])
    await copy_items(live, tenant, 117)
    async with open_page(live.ws_port, query(tenant)) as page:
        assert len(await page.items()) == 50
        for count, length in ((1_000_000, 100), (0, 50), (-1, 50), ("7", 7), ("many", 50), (None, 50), ({}, 50)):
            assert len(await page.items(count=count)) == length


async def test_line_14_a_page_begins_at_its_bound_and_all_are_reached(live: Live, tenant: Tenant) -> None:
    """Paged as js-client does, by the date of the oldest item that it holds, 120 items come, each page of 50 full."""
    await tenant.send(*[send_request() for _ in range(3)])
    await copy_items(live, tenant, 117)
    async with open_page(live.ws_port, query(tenant)) as page:
        held = {item["id"]: item for item in await page.items(count=50)}
        lengths = [50]
        while lengths[-1] >= 50:
            oldest = min(item["date"] for item in held.values())
            items = await page.items(count=50, before=oldest)
            assert all(item["date"] <= oldest for item in items)
            held |= {item["id"]: item for item in items}
            lengths.append(len(items))

    assert len(held) == 120
    assert lengths == [50, 50, 22]


async def test_line_14_more_items_of_one_moment_than_a_page_has_are_reached(live: Live, tenant: Tenant) -> None:
    """By a date alone the same page would come for ever."""
    await tenant.send(send_request())
    await copy_items(live, tenant, 129)
    messages = live.world.database.messages
    mine = {"_id.e": tenant.client_id, "_id.u": USER_ID}
    ids = [document["_id"] async for document in messages.find(mine).sort("_id.m", 1)]
    moments = {"$in": ids[5:125]}
    moment = datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)
    await messages.update_many({"_id": moments}, {"$set": {"inapp.date": moment}})
    await messages.update_many({"_id": {"$in": ids[:5]}}, {"$set": {"inapp.date": datetime(2025, 1, 1, tzinfo=UTC)}})

    async with open_page(live.ws_port, query(tenant)) as page:
        held: dict[str, str] = {}
        bound = ""
        for _ in range(6):
            items = await page.items(count=50, before=bound)
            held |= {item["id"]: item["date"] for item in items}
            bound = min(held.values())
            if len(items) < 50:
                break

    assert len(held) == 130


async def copy_items(live: Live, tenant: Tenant, count: int) -> None:
    """Makes so many more items of one that was sent, one a millisecond."""
    messages = live.world.database.messages
    (document,) = await messages.find({"_id.e": tenant.client_id}).limit(1).to_list()
    first = int(document["inapp"]["date"].timestamp() * 1000)
    await messages.insert_many(
        [
            {
                **document,
                "_id": document["_id"] | {"m": f"copy-{number:04}"},
                "request_id": f"copy-{number}",
                "inapp": document["inapp"] | {"date": datetime.fromtimestamp((first - 1 - number) / 1000, UTC)},
            }
            for number in range(count)
        ]
    )
