from __future__ import annotations

import asyncio
import json
import random
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from pydantic import SecretStr
from websockets.asyncio.client import ClientConnection, connect

from carillon.v1 import sender_pb2
from gateway.app import Gateway, run_gateway
from gateway.settings import GatewaySettings
from services.kernel.auth import user_hash
from services.kernel.mongod import LocalMongod
from tests.contract.services.world import Tenant, World, run_world

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.asyncio(loop_scope="session")

USER_ID = "userId_123abc"


class Live:
    """The services and a gateway, over one MongoDB."""

    def __init__(self, world: World, ws_port: int) -> None:
        self.world = world
        self._ws_port = ws_port

    @asynccontextmanager
    async def browser(self, tenant: Tenant, user_id: str = USER_ID) -> AsyncIterator[Browser]:
        """Connects as a user, as a browser does, and waits for the welcome."""
        url = f"ws://127.0.0.1:{self._ws_port}/v1/inbox"
        async with connect(url, subprotocols=["carillon.v1"]) as socket:  # type: ignore[list-item] # a NewType of str
            hello = {"type": "hello", "client_id": tenant.client_id, "user_id": user_id}
            await socket.send(json.dumps(hello | {"user_hash": user_hash(tenant.secret, user_id)}))
            browser = Browser(socket)
            assert (await browser.take())["type"] == "welcome"
            yield browser


class Browser:
    """What a client holds after the frames that it got, by the rules of gateway/README.md."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self.items: dict[str, dict[str, Any]] = {}
        self.unread_count = 0
        self.appeared: list[str] = []

    async def take(self) -> dict[str, Any]:
        """Applies the next frame and gives it."""
        frame: dict[str, Any] = json.loads(await self._socket.recv())
        match frame["type"]:
            case "welcome":
                self.items = {item["id"]: item for item in frame["items"]}
                self.unread_count = frame["unread_count"]
                self.appeared += self.items
            case "created":
                self.items[frame["item"]["id"]] = frame["item"]
                self.appeared.append(frame["item"]["id"])
                self.unread_count += frame["unread_change"]
            case "retracted":
                for item_id in frame["ids"]:
                    self.items.pop(item_id, None)
                self.unread_count += frame["unread_change"]
        return frame

    async def take_until(self, item_id: str) -> None:
        """Applies frames until an item is there."""
        while item_id not in self.items:
            await self.take()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def live(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Live]:
    """Gives services and a gateway on a MongoDB of their own."""
    stop = asyncio.Event()
    ready: asyncio.Future[Gateway] = asyncio.get_running_loop().create_future()
    async with LocalMongod(tmp_path_factory.mktemp("mongod")) as mongod, run_world(mongod.uri) as world:
        settings = GatewaySettings(
            mongodb_uri=SecretStr(mongod.uri), services_url=f"grpc://{world.address}", http_port=0, ws_port=0
        )
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(run_gateway(settings, stop, on_ready=ready.set_result))
            gateway = await ready
            await gateway.feed.live.wait()
            yield Live(world, gateway.ws_port)
            stop.set()


@pytest_asyncio.fixture(loop_scope="session")
async def tenant(live: Live) -> Tenant:
    """Gives an environment with the sample definitions."""
    tenant = await live.world.tenant()
    await tenant.put_samples()
    return tenant


def a_send(notification_id: str = "order_tracking", **fields: Any) -> sender_pb2.SendRequest:
    """Makes a send with most of what an item can hold."""
    request = sender_pb2.SendRequest(
        notification_id=notification_id,
        user={"id": USER_ID},  # type: ignore[arg-type] # a dict is a message too
        sub_notification_id="eu",
        secondary_id="order-1",
        tags=["a", "b"],
        **fields,
    )
    request.merge_tags.update({"item": "<b>Krabby</b> Patty", "address": "124 Conch Street", "orderId": "1"})
    return request


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
