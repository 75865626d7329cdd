"""The services and a gateway over one MongoDB, and browsers that hold what they are told."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from carillon.v1 import sender_pb2
from services.kernel.auth import user_hash

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway.app import Gateway
    from tests.contract.services.world import Tenant, World

USER_ID = "userId_123abc"


class Live:
    """The services and a gateway, over one MongoDB."""

    def __init__(self, world: World, gateway: Gateway, mongodb_uri: str) -> None:
        self.world = world
        self.mongodb_uri = mongodb_uri
        self.url = gateway.public_url.replace("localhost", "127.0.0.1")
        """Where the gateway's links lead."""

        self.ws_port = gateway.ws_port

    @asynccontextmanager
    async def browser(self, tenant: Tenant, user_id: str = USER_ID) -> AsyncIterator[Browser]:
        """Connects as a user, as a browser does, and waits for the welcome."""
        hash_of_user = user_hash(tenant.secret, user_id)
        async with self.hello(client_id=tenant.client_id, user_id=user_id, user_hash=hash_of_user) as browser:
            assert (await browser.take())["type"] == "welcome"
            yield browser

    @asynccontextmanager
    async def hello(self, **credentials: str) -> AsyncIterator[Browser]:
        """Connects and says hello, whatever becomes of it."""
        url = f"ws://127.0.0.1:{self.ws_port}/v1/inbox"
        async with connect(url, subprotocols=["carillon.v1"]) as socket:  # type: ignore[list-item] # a NewType of str
            await socket.send(json.dumps({"type": "hello", **credentials}))
            yield Browser(socket)


class Browser:
    """What a client holds after the frames that it got, by the rules of gateway/README.md."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self.items: dict[str, dict[str, Any]] = {}
        self.unread_count = 0
        self.appeared: list[str] = []
        self.answers: dict[str, dict[str, Any]] = {}
        self.choice_changes = 0

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
            case "updated":
                for item_id, rev in zip(frame["ids"], frame["revs"], strict=True):
                    if (item := self.items.get(item_id)) and item["rev"] < rev:
                        item |= frame["set"] | {"rev": rev}
                        for name in frame["unset"]:
                            item.pop(name, None)
                self.unread_count += frame["unread_change"]
            case "result" | "error":
                self.answers[frame.get("ref", "")] = frame
            case "preferences_changed":
                self.choice_changes += 1
            case "retracted":
                for item_id in frame["ids"]:
                    self.items.pop(item_id, None)
                self.unread_count += frame["unread_change"]
        return frame

    async def ask(self, kind: str, **fields: Any) -> dict[str, Any]:
        """Sends a request and gives its answer; events that come before it are applied."""
        ref = await self.send(kind, **fields)
        while ref not in self.answers:
            await self.take()
        return self.answers[ref]

    async def send(self, kind: str, **fields: Any) -> str:
        """Sends a request and gives its ref."""
        ref = str(len(self.answers))
        await self._socket.send(json.dumps({"type": kind, "ref": ref, **fields}))
        return ref

    async def closed(self) -> int | None:
        """Applies frames until the connection is closed, and gives its code."""
        with suppress(ConnectionClosed):
            while True:
                await self.take()
        return self._socket.close_code

    async def take_until(self, item_id: str) -> None:
        """Applies frames until an item is there."""
        while item_id not in self.items:
            await self.take()


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
