"""What sockets that never come back go through: MongoDB and services that are away, clients that are too much."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import grpc
import httpx
import pytest
import pytest_asyncio
from websockets.exceptions import ConnectionClosed

from gateway.closes import CloseCode
from gateway.protocol import MAX_BUFFERED_EVENTS
from services.kernel.auth import user_hash
from services.kernel.errors import Unavailable
from services.kernel.mongod import LocalMongod
from tests.contract.gateway.notificationapi.sockets import (
    ANSWER_S,
    USER_ID,
    error_of,
    open_page,
    query,
    refused,
    run_live,
)
from tests.contract.gateway.world import SECRET
from tests.contract.gateway.world import run_world as run_fake
from tests.contract.services.requests import send_request

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from tests.contract.gateway.notificationapi.sockets import Page
    from tests.contract.gateway.world import World

    Start = Callable[..., AbstractAsyncContextManager[World]]

FIELDS = {"envId": "dev", "userId": "anna", "userIdHash": user_hash(SECRET, "anna")}


@pytest_asyncio.fixture
async def own_mongod(tmp_path: Path) -> AsyncIterator[LocalMongod]:
    """Gives a MongoDB that a test may kill."""
    async with LocalMongod(tmp_path) as running:
        yield running


async def test_after_lost_events_a_socket_goes_on_by_itself(own_mongod: LocalMongod, lines: list[Any]) -> None:
    """Over a MongoDB that was away for long it stays open, and gets what came meanwhile and then, each item once.

    The badge knows what was read meanwhile, too. The log says that it has resumed, once a socket.
    """
    async with run_live(own_mongod.uri, feed_silence_s=0.7) as live:
        tenant = await live.world.tenant()
        await tenant.put_samples()
        (before,) = await tenant.send(send_request())
        async with (
            open_page(live.ws_port, query(tenant)) as page,
            open_page(live.ws_port, query(tenant)) as core,
            open_page(live.ws_port, query(tenant, "somebody else")) as other,
        ):
            assert await page.count() == 1
            assert await other.count() == 0
            (told,) = await tenant.send(send_request())
            assert await page.pushed() == [told.tracking_id]
            assert await core.pushed() == [told.tracking_id]
            assert await page.take() == ("inapp_web/unread_count", {"count": 2})

            await own_mongod.kill()
            await no_events(live.ws_port)
            await page.send("inapp_web/unread_count")
            await own_mongod.start()
            # Past the services, which may not have noticed yet that MongoDB is there again.
            missed = await copy(live.world.database, tenant.client_id, told.tracking_id)
            await read(live.world.database, tenant.client_id, before.tracking_id)

            assert await core.pushed() == [missed]
            assert await until_pushed(page, missed) == [missed]
            await page.counted(2)
            (after,) = await tenant.send(send_request())
            assert await core.pushed() == [after.tracking_id]
            assert await until_pushed(page, after.tracking_id) == [after.tracking_id]
            await page.counted(3)
            assert await other.count() == 0

    assert len([line for line in lines if line["event"] == "session_opened"]) == 3
    assert len([line for line in lines if line["event"] == "session_resumed"]) == 3


async def test_a_socket_that_opens_without_events_waits_for_them(own_mongod: LocalMongod) -> None:
    """What its client asks for meanwhile is answered then."""
    async with run_fake(own_mongod, feed_silence_s=0.7) as world:
        await own_mongod.kill()
        await no_events(world.gateway.ws_port)
        async with open_page(world.gateway.ws_port, FIELDS) as page:
            await page.send("inapp_web/unread_count")
            await own_mongod.start()
            assert await page.take() == ("inapp_web/unread_count", {"count": 0})
            (item_id,) = await world.insert("anna", "new")
            assert await page.pushed() == [item_id]


async def test_a_stream_that_mongodb_ends_leaves_the_socket_open(start: Start) -> None:
    """After the database was dropped the feed begins anew, and so does the session: it has its place already."""
    async with (
        start(max_sessions_per_user=1) as world,
        open_page(world.gateway.ws_port, FIELDS) as page,
        world.tab("bert") as ours,
    ):
        assert await page.count() == 0
        await world.database.client.drop_database(world.database.name)
        assert await ours.closed() == CloseCode.FEED_LOST.code
        await world.gateway.feed.live.wait()
        await world.database.create_collection("messages")
        (item_id,) = await world.insert("anna", "new")
        assert await page.pushed() == [item_id]
        await page.counted(1)


async def test_a_welcome_from_before_a_loss_does_not_count(start: Start) -> None:
    """What was read before the events were lost is not gone on from, however late it comes."""
    async with start() as world, world.tab("bert") as ours:
        world.inbox.after_read.shut()
        async with open_page(world.gateway.ws_port, FIELDS) as page:
            await asyncio.wait_for(world.inbox.after_read.reached.wait(), ANSWER_S)
            world.inbox.before_read.shut()
            await world.database.client.drop_database(world.database.name)
            assert await ours.closed() == CloseCode.FEED_LOST.code
            (item_id,) = await world.insert("anna", "meanwhile")
            await asyncio.wait_for(world.inbox.before_read.reached.wait(), ANSWER_S)
            world.inbox.after_read.open()
            assert await world.healthz() == 200
            world.inbox.before_read.open()
            assert await page.pushed() == [item_id]
            assert await page.count() == 1


async def test_all_that_comes_while_a_welcome_is_read_is_told(start: Start) -> None:
    """However much it is: its reader is not slow, it has only had nothing to read yet."""
    async with start() as world, open_page(world.gateway.ws_port, FIELDS) as other:
        assert await other.count() == 0
        world.inbox.after_read.shut()
        async with open_page(world.gateway.ws_port, FIELDS) as page:
            await asyncio.wait_for(world.inbox.after_read.reached.wait(), ANSWER_S)
            await page.send("environment/data")
            ids = await world.insert("anna", *"x" * MAX_BUFFERED_EVENTS)
            await until_pushed(other, ids[-1])
            world.inbox.after_read.open()
            assert sorted(await until_pushed(page, ids[-1])) == sorted(ids)
            await page.counted(len(ids))


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (grpc.StatusCode.UNAVAILABLE, 503),
        (grpc.StatusCode.DEADLINE_EXCEEDED, 503),
        (grpc.StatusCode.INTERNAL, 503),
        (grpc.StatusCode.UNAUTHENTICATED, 401),
        (grpc.StatusCode.INVALID_ARGUMENT, 400),
    ],
)
async def test_what_the_services_say_is_the_answer_of_the_handshake(
    start: Start, code: grpc.StatusCode, status: int
) -> None:
    """Where they cannot be asked, the client is told to come back."""
    async with start() as world:
        world.inbox.code = code
        refusal = await refused(world.gateway.ws_port, FIELDS)

    assert refusal.response.status_code == status
    assert refusal.response.headers.get("Retry-After") == ("5" if status == 503 else None)
    assert error_of(refusal)


async def test_a_welcome_that_fails_is_read_again(start: Start, lines: list[Any]) -> None:
    """The services may be away for a moment just after they let the client in."""
    async with start() as world:
        world.inbox.before_read.shut()
        async with open_page(world.gateway.ws_port, FIELDS) as page:
            await asyncio.wait_for(world.inbox.before_read.reached.wait(), ANSWER_S)
            world.inbox.welcome_errors = [Unavailable("away", reason="STORAGE_UNAVAILABLE")] * 2
            world.inbox.before_read.open()
            assert await page.count() == 0
        assert not world.inbox.welcome_errors
    assert len([line for line in lines if line["event"] == "session_opened"]) == 1


async def test_a_mark_that_the_services_cannot_make_is_made_later(start: Start) -> None:
    """In the order in which it came: what follows waits for it."""
    async with start() as world, open_page(world.gateway.ws_port, FIELDS) as page:
        assert await page.count() == 0
        world.inbox.asked.shut()
        world.inbox.error = Unavailable("away", reason="STORAGE_UNAVAILABLE")
        await page.send("inapp_web/unread_clear", {"notificationId": "a"})
        await page.send("inapp_web/unread_count")
        await asyncio.wait_for(world.inbox.asked.reached.wait(), ANSWER_S)
        world.inbox.asked.open()
        world.inbox.asked.reached.clear()
        await asyncio.wait_for(world.inbox.asked.reached.wait(), ANSWER_S)
        assert world.inbox.marked == []
        world.inbox.error = None
        assert await page.take() == ("inapp_web/unread_count", {"count": 0})

        assert [list(mark.items.ids) for mark in world.inbox.marked] == [["a"]]


async def test_credentials_that_are_refused_later_end_the_socket(start: Start) -> None:
    """As after a secret was rotated: the next question finds out."""
    async with start() as world, open_page(world.gateway.ws_port, FIELDS) as page:
        assert await page.count() == 0
        world.inbox.secrets = ["another"]
        await page.send("inapp_web/unread_clear", {"notificationId": "a"})
        assert await page.closed() == CloseCode.REFUSED.code


async def test_frames_that_come_too_fast_are_dropped_and_a_flood_is_cut(start: Start) -> None:
    """The socket stays for who is merely quick, as a close would be for ever; others are not touched by a flood."""
    async with (
        start(frames_per_s=0.001, frames_burst=3) as world,
        open_page(world.gateway.ws_port, FIELDS) as page,
        open_page(world.gateway.ws_port, FIELDS) as other,
    ):
        assert await page.count() == 0
        for _ in range(5):
            await page.send("inapp_web/unread_count")
        assert [(await page.take())[0] for _ in range(2)] == ["inapp_web/unread_count"] * 2
        (item_id,) = await world.insert("anna", "new")
        assert await page.pushed() == [item_id]
        with suppress(ConnectionClosed):
            for _ in range(20):
                await page.socket.send("x")
        assert await page.closed() == 1006
        assert await other.pushed() == [item_id]


async def test_a_reader_that_is_too_slow_is_closed(start: Start) -> None:
    """As ours are: what waits for one is bounded."""
    async with (
        start(outbox_frames=2, outbox_bytes=1024 * 1024) as world,
        open_page(world.gateway.ws_port, FIELDS) as page,
    ):
        assert await page.count() == 0
        await world.insert("anna", *"x" * 60, body="x" * 16_000)
        assert await page.closed() == CloseCode.SLOW.code


async def until_pushed(page: Page, item_id: str) -> list[str]:
    """Takes frames until an item is pushed, and gives the ids of all that are, in their order."""
    pushed: list[str] = []
    while item_id not in pushed:
        route, payload = await page.take()
        if route == "inapp_web/new_notifications":
            pushed += [item["id"] for item in payload["notifications"]]
    return pushed


async def no_events(port: int) -> None:
    """Waits until a gateway has lost its events."""
    async with asyncio.timeout(ANSWER_S), httpx.AsyncClient(trust_env=False) as client:
        while (await client.get(f"http://127.0.0.1:{port}/healthz")).status_code == 200:
            pass


async def copy(database: Any, client_id: str, tracking_id: str) -> str:
    """Makes an item like one that was sent, as a send does; gives its id."""
    document = await database.messages.find_one({"_id": {"e": client_id, "u": USER_ID, "m": tracking_id}})
    new_id = f"{tracking_id}-2"
    document["_id"] |= {"m": new_id}
    await database.messages.insert_one(document)
    changed = {"$currentDate": {"changed": {"$type": "timestamp"}}}
    await database.messages.update_one({"_id": document["_id"]}, changed)
    return new_id


async def read(database: Any, client_id: str, tracking_id: str) -> None:
    """Marks an item as read, as a mark does."""
    await database.messages.update_one(
        {"_id": {"e": client_id, "u": USER_ID, "m": tracking_id}},
        {"$set": {"inapp.unread": False}, "$currentDate": {"changed": {"$type": "timestamp"}}},
    )
