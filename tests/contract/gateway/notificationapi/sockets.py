"""The socket of NotificationAPI's clients, opened and spoken as their js-client and core do."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from pydantic import SecretStr
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from gateway.app import Gateway, run_gateway
from gateway.settings import GatewaySettings
from services.kernel.auth import user_hash
from tests.contract.live.world import Live
from tests.contract.services.world import MASTER_KEY_TEXT, run_world

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from websockets.asyncio.client import ClientConnection

    from tests.contract.services.world import Tenant, World

USER_ID = "userId_123abc"
ANSWER_S = 20

Frame = tuple[str, Any]


class Page:
    """One open socket of a user."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    async def send(self, route: str, payload: Any = None) -> None:
        """Sends a frame as js-client does: without a payload where there is none."""
        await self.socket.send(json.dumps({"route": route} | ({} if payload is None else {"payload": payload})))

    async def take(self) -> Frame:
        """Gives the next frame, which must be a text, and have nothing but a route and a payload."""
        async with asyncio.timeout(ANSWER_S):
            data = await self.socket.recv()
        assert isinstance(data, str)
        body = json.loads(data)
        assert set(body) == {"route", "payload"}
        return body["route"], body["payload"]

    async def ask(self, route: str, payload: Any = None, *, answered: str = "") -> Any:
        """Sends a frame and gives the payload of the next one, which must be its answer."""
        await self.send(route, payload)
        (answer, found) = await self.take()
        assert answer == (answered or route)
        return found

    async def count(self) -> int:
        """Asks for the badge; so it also is there once all that was sent before is carried out."""
        count: int = (await self.ask("inapp_web/unread_count"))["count"]
        return count

    async def items(self, **payload: Any) -> list[dict[str, Any]]:
        """Asks for a page of items."""
        items: list[dict[str, Any]] = (await self.ask("inapp_web/notifications", payload))["notifications"]
        return items

    async def preferences(self) -> list[dict[str, Any]]:
        """Asks for the preferences."""
        found = await self.ask("user_preferences/get_preferences", answered="user_preferences/preferences")
        preferences: list[dict[str, Any]] = found["userPreferences"]
        return preferences

    async def pushed(self) -> list[str]:
        """Gives the ids of the items that are pushed next."""
        route, payload = await self.take()
        assert route == "inapp_web/new_notifications"
        return [item["id"] for item in payload["notifications"]]

    async def counted(self, count: int) -> None:
        """Takes frames until the badge is so."""
        while await self.take() != ("inapp_web/unread_count", {"count": count}):
            pass

    async def closed(self) -> int | None:
        """Gives the code that the socket is closed with; frames before it are passed over."""
        with suppress(ConnectionClosed):
            async with asyncio.timeout(ANSWER_S):
                while True:
                    await self.socket.recv()
        return self.socket.close_code


def query(tenant: Tenant, user_id: str = USER_ID, *, hash_of_user: str | None = None) -> dict[str, str]:
    """Gives the fields of an address, in the order of js-client."""
    given = user_hash(tenant.secret, user_id) if hash_of_user is None else hash_of_user
    fields = {"envId": tenant.client_id, "userId": user_id, "userIdHash": given}
    return {name: value for name, value in fields.items() if value}


def address(port: int, fields: dict[str, str], path: str = "") -> str:
    """Writes an address as their clients do: the host as it was given, then the fields."""
    return f"ws://127.0.0.1:{port}{path}?" + "&".join(
        f"{name}={quote(value, safe='')}" for name, value in fields.items()
    )


@asynccontextmanager
async def open_page(port: int, fields: dict[str, str], path: str = "", **options: Any) -> AsyncIterator[Page]:
    """Connects as their clients do: without a subprotocol."""
    async with connect(address(port, fields, path), proxy=None, **options) as socket:
        assert socket.subprotocol is None
        yield Page(socket)


async def refused(port: int, fields: dict[str, str], path: str = "", **options: Any) -> InvalidStatus:
    """Connects in vain, and gives what is answered."""
    try:
        async with open_page(port, fields, path, **options):
            raise AssertionError("the socket was opened")
    except InvalidStatus as error:
        return error


def error_of(refusal: InvalidStatus) -> dict[str, str]:
    """Gives the error in the body of a refusal, after a look at its shape."""
    assert refusal.response.headers["Content-Type"] == "application/json"
    error: dict[str, str] = json.loads(refusal.response.body)["error"]
    assert set(error) == {"code", "message", "fix"}
    assert all(error.values())
    return error


@asynccontextmanager
async def run_live(mongodb_uri: str, **settings: Any) -> AsyncIterator[Live]:
    """Runs services and a gateway with settings of the test's own, until the block ends."""
    async with run_world(mongodb_uri) as world, run_gateway_of(world, mongodb_uri, **settings) as gateway:
        yield Live(world, gateway, mongodb_uri)


@asynccontextmanager
async def run_gateway_of(world: World, mongodb_uri: str, **settings: Any) -> AsyncIterator[Gateway]:
    """Runs a gateway of services that run."""
    stop = asyncio.Event()
    ready: asyncio.Future[Gateway] = asyncio.get_running_loop().create_future()
    own: dict[str, Any] = {"services_url": f"grpc://{world.address}", "http_port": 0, "ws_port": 0}
    given = GatewaySettings(
        mongodb_uri=SecretStr(mongodb_uri.replace("/?", "/carillon?")), master_key=MASTER_KEY_TEXT, **(own | settings)
    )
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(run_gateway(given, stop, on_ready=ready.set_result))
        gateway = await ready
        await gateway.feed.live.wait()
        try:
            yield gateway
        finally:
            stop.set()
