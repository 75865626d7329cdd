from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest_asyncio

from gateway.app import Gateway, run_gateway
from gateway.closes import CloseCode
from gateway.settings import GatewaySettings
from services.kernel.mongod import LocalMongod
from services.live.changes import UserKey
from services.live.feed import Feed, open_feed_client
from services.live.hub import Hub
from tests.contract.gateway.world import healthz, message, run_world
from tests.contract.services.world import MASTER_KEY_TEXT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager
    from datetime import datetime
    from pathlib import Path

    from services.live.changes import Event
    from services.live.hub import Ending
    from tests.contract.gateway.world import World

    Start = Callable[..., AbstractAsyncContextManager[World]]


@pytest_asyncio.fixture
async def own_mongod(tmp_path: Path) -> AsyncIterator[LocalMongod]:
    """Gives a MongoDB that a test may kill."""
    async with LocalMongod(tmp_path) as running:
        yield running


async def test_the_feed_goes_on_where_it_was_after_a_crash(own_mongod: LocalMongod) -> None:
    """Over a MongoDB that is killed and started again, an open session stays open and misses nothing."""
    async with run_world(own_mongod, feed_silence_s=60) as world, world.tab("anna") as tab:
        before = await world.insert("anna", "before")
        await own_mongod.kill()
        await own_mongod.start()
        after = await world.insert("anna", "after")

        assert [(await tab.receive())["item"]["id"] for _ in range(2)] == [*before, *after]
        assert await world.healthz() == 200


async def test_a_silent_mongodb_sends_the_sessions_away_to_come_back(own_mongod: LocalMongod, lines: list[Any]) -> None:
    """Sessions are told to come back, new ones too; once it answers again, a welcome has what was missed."""
    async with run_world(own_mongod, feed_silence_s=0.7) as world:
        async with world.tab("anna") as tab:
            await own_mongod.kill()

            assert await tab.closed() == CloseCode.FEED_LOST.code
        assert await world.healthz() == 503
        async with world.connect() as tab:
            await tab.hello("anna")
            assert await tab.closed() == CloseCode.UNAVAILABLE.code

        await own_mongod.start()
        missed = await world.insert("anna", "missed")
        await world.gateway.feed.live.wait()
        assert await world.healthz() == 200
        async with world.connect() as tab:
            await tab.hello("anna")
            assert [item["id"] for item in (await tab.receive())["items"]] == missed
            (item_id,) = await world.insert("anna", "new")
            assert (await tab.receive())["item"]["id"] == item_id

    assert len([line for line in lines if line["event"] == "feed_lost"]) == 1


class Follower:
    """Notes of each event its position, and how far the hub says that events have come when it is offered."""

    is_live = True

    def __init__(self, hub: Hub) -> None:
        self.offered: asyncio.Queue[tuple[int, int]] = asyncio.Queue()
        self._hub = hub

    def offer(self, event: Event) -> None:
        """Notes it."""
        self.offered.put_nowait((event.position, self._hub.position))

    def revoke(self, not_before: datetime) -> None:
        """Does nothing."""

    def end(self, ending: Ending) -> None:
        """Does nothing."""


async def test_the_position_has_passed_an_event_when_it_is_published(own_mongod: LocalMongod) -> None:
    """Whoever subscribes while a batch is published then reads at its end or later, and misses nothing of it.

    It also ends when it is cancelled: between two commands, where the driver may lose that.
    """
    async with open_feed_client(own_mongod.uri) as client:
        database, hub = client.get_database("feed"), Hub()
        await database.create_collection("messages")
        feed, follower = Feed(database, hub), Follower(hub)
        following = asyncio.create_task(feed.run())
        await feed.live.wait()
        hub.subscribe(UserKey("dev", "anna"), follower)
        await database.messages.insert_many([message("anna", title) for title in ("one", "two")])

        for _ in range(2):
            event_position, hub_position = await follower.offered.get()
            assert hub_position >= event_position
        following.cancel()
        async with asyncio.timeout(30):
            await asyncio.wait([following])


async def test_a_stream_that_mongodb_ends_begins_anew(start: Start) -> None:
    """After the database was dropped the old stream would be silent for ever: sessions come back to a new one."""
    async with start() as world:
        async with world.tab("anna") as tab:
            await world.database.client.drop_database(world.database.name)

            assert await tab.closed() == CloseCode.FEED_LOST.code
        await world.gateway.feed.live.wait()
        await world.database.create_collection("messages")
        async with world.tab("anna") as tab:
            await world.insert("anna", "new")
            assert (await tab.receive())["item"]["title"] == "new"


async def test_a_gateway_starts_without_mongodb(tmp_path: Path) -> None:
    """It listens and says that it is not healthy, and is live once MongoDB is there."""
    mongod = LocalMongod(tmp_path)
    await mongod.start()
    await mongod.stop()
    settings = GatewaySettings(mongodb_uri=mongod.uri, master_key=MASTER_KEY_TEXT, ws_port=0, http_port=0)
    stop = asyncio.Event()
    ready: asyncio.Future[Gateway] = asyncio.get_running_loop().create_future()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(run_gateway(settings, stop, on_ready=ready.set_result))
        gateway = await ready
        assert await healthz(gateway) == 503
        async with mongod:
            await gateway.feed.live.wait()
            assert await healthz(gateway) == 200
            stop.set()
