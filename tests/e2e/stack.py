"""Services and a gateway as separate processes on one MongoDB, with one environment, and the ways into them."""

from __future__ import annotations

import base64
import uuid
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import grpc
from websockets.asyncio.client import connect

from carillon.v1 import sender_pb2
from services.kernel.auth import basic_authorization, user_hash
from tests.contract.gateway.world import Tab
from tests.contract.services.world import SAMPLES, Caller
from tests.e2e.processes import Result, call, free_port, is_healthy, start, wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.e2e.processes import Child

MASTER_KEY = base64.b64encode(bytes(32)).decode()
USER_ID = "userId_123abc"
TITLE = "Your Krabby Patty Burger is on its way"


def order_tracking(user_id: str = USER_ID) -> sender_pb2.SendRequest:
    """Makes the send of the first example in the documentation."""
    request = sender_pb2.SendRequest(notification_id="order_tracking")
    request.user.id = user_id
    request.merge_tags.update({"item": "Krabby Patty Burger", "address": "124 Conch Street", "orderId": "1234567890"})
    return request


def retract_order_tracking(user_id: str = USER_ID) -> sender_pb2.RetractRequest:
    """Makes the request that takes it back."""
    return sender_pb2.RetractRequest(notification_id="order_tracking", user_id=user_id)


@dataclass(kw_only=True)
class Stack:
    """Where one services process and one gateway process are, and who may call them."""

    mongodb_uri: str
    client_id: str = "spongebob-deliveries"
    client_secret: str = ""
    grpc_port: int = field(default_factory=free_port)
    ws_port: int = field(default_factory=free_port)
    http_port: int = field(default_factory=free_port)

    @property
    def services_url(self) -> str:
        """Where the services are, as settings have it."""
        return f"grpc://127.0.0.1:{self.grpc_port}"

    async def create_environment(self) -> Result:
        """Runs `carillon env create`; keeps the secret that it prints."""
        result = await call("env", "create", self.client_id, mongodb_uri=self.mongodb_uri, master_key=MASTER_KEY)
        if result.code == 0:
            self.client_secret = result.stdout.split()[-1]
        return result

    async def create_vapid_keys(self) -> Result:
        """Runs `carillon env vapid`: from then on the environment pushes to browsers."""
        arguments = ("env", "vapid", self.client_id, "--subject", "mailto:ops@example.com")
        return await call(*arguments, mongodb_uri=self.mongodb_uri, master_key=MASTER_KEY)

    async def apply_samples(self) -> Result:
        """Runs `carillon apply` with the sample catalogue."""
        return await self.apply(SAMPLES)

    async def apply(self, catalogue: Path) -> Result:
        """Runs `carillon apply` with a catalogue."""
        return await call("apply", str(catalogue), **self.client_settings)

    @property
    def client_settings(self) -> dict[str, str]:
        """The settings of the commands that call the services."""
        return {
            "services_url": self.services_url,
            "client_id": self.client_id,
            "client_secret": self.client_secret,
        }

    @asynccontextmanager
    async def services(self, *, log_level: str = "info") -> AsyncIterator[Child]:
        """Runs `carillon serve`, ready when entered."""
        async with start(
            "serve",
            mongodb_uri=self.mongodb_uri,
            master_key=MASTER_KEY,
            grpc_port=self.grpc_port,
            log_level=log_level,
        ) as child:
            await child.says("services on")
            yield child

    @asynccontextmanager
    async def gateway(self, **settings: object) -> AsyncIterator[Child]:
        """Runs `carillon gateway`, ready when entered; settings are those that are not as ever."""
        async with start(
            "gateway",
            mongodb_uri=self.mongodb_uri,
            master_key=MASTER_KEY,
            services_url=self.services_url,
            ws_port=self.ws_port,
            http_port=self.http_port,
            **settings,
        ) as child:
            await wait_until(lambda: is_healthy(f"http://127.0.0.1:{self.ws_port}/healthz"))
            yield child

    @asynccontextmanager
    async def worker(self, **settings: object) -> AsyncIterator[Child]:
        """Runs `carillon worker`, ready when entered; settings are those of its providers."""
        async with start("worker", mongodb_uri=self.mongodb_uri, master_key=MASTER_KEY, **settings) as child:
            await child.says("worker looks for what is due")
            yield child

    @asynccontextmanager
    async def backend(self) -> AsyncIterator[Caller]:
        """Gives the stubs with the backend's credentials."""
        async with grpc.aio.insecure_channel(f"127.0.0.1:{self.grpc_port}") as channel:
            yield Caller(channel, [basic_authorization(self.client_id, self.client_secret)])

    @asynccontextmanager
    async def tab(self, user_id: str = USER_ID) -> AsyncIterator[Tab]:
        """Connects a socket and says hello; the welcome is the first frame to receive."""
        url = f"ws://127.0.0.1:{self.ws_port}/v1/inbox"
        async with connect(url, subprotocols=["carillon.v1"], proxy=None) as socket:  # type: ignore[list-item]  # a NewType of str
            tab = Tab(socket)
            await tab.hello(user_id, client_id=self.client_id, user_hash=user_hash(self.client_secret, user_id))
            yield tab

    def page(self, user_id: str = USER_ID) -> str:
        """Gives the address of the page of a user."""
        session = {
            "client_id": self.client_id,
            "user_id": user_id,
            "user_hash": user_hash(self.client_secret, user_id),
        }
        return f"http://127.0.0.1:{self.http_port}/#{urlencode(session)}"


@asynccontextmanager
async def run_stack(mongodb_uri: str) -> AsyncIterator[Stack]:
    """Runs services and gateway, with the sample catalogue, until the block ends."""
    stack = Stack(mongodb_uri=mongodb_uri.replace("/?", f"/stack_{uuid.uuid4().hex}?"))
    created = await stack.create_environment()
    assert created.code == 0, created.stderr
    async with stack.services(), stack.gateway():
        applied = await stack.apply_samples()
        assert applied.code == 0, applied.stderr
        yield stack
