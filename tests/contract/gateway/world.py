"""A real gateway on a real MongoDB, with an Inbox service of the test's own that reads that database."""

from __future__ import annotations

import asyncio
import json
import socket
import uuid
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import grpc
import httpx
from bson import Timestamp
from grpc_status import rpc_status
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from carillon.v1 import channel_pb2, content_pb2, inbox_pb2, inbox_pb2_grpc
from gateway.app import Gateway, run_gateway
from gateway.settings import GatewaySettings
from services.kernel.auth import UserCredentials, hash_matches, parse_credentials, user_hash
from services.kernel.clock import new_id
from services.kernel.cursors import Cursor, CursorSigner
from services.kernel.mongo import open_client
from services.kernel.server import GrpcServer
from services.kernel.status import to_status
from tests.contract.services.world import MASTER_KEY, MASTER_KEY_TEXT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from pymongo.asynchronous.database import AsyncDatabase
    from websockets.asyncio.client import ClientConnection

    from services.kernel.errors import DomainError
    from services.kernel.mongod import LocalMongod

SECRET = "dev-secret"
ANSWER_S = 10
HANDSHAKE = (
    "GET /v1/inbox HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Protocol: carillon.v1\r\n\r\n"
)


class Gate:
    """A point that a call passes, and where a test can hold it."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self._open = asyncio.Event()
        self._open.set()

    async def pass_through(self) -> None:
        """Goes on once the gate is open."""
        self.reached.set()
        await self._open.wait()

    def shut(self) -> None:
        """Holds the next call."""
        self.reached.clear()
        self._open.clear()

    def open(self) -> None:
        """Lets calls go on."""
        self._open.set()


class FakeInbox(inbox_pb2_grpc.InboxServicer):
    """Answers SyncInbox as the services do: checked credentials, a snapshot at one moment of the cluster's time."""

    def __init__(self, database: AsyncDatabase[dict[str, Any]]) -> None:
        self.code: grpc.StatusCode | None = None
        """What every call fails with; None: none does."""

        self.error: DomainError | None = None
        """What every list and mark fails with; None: they pass."""

        self.welcome_errors: list[DomainError] = []
        """What the next welcomes fail with."""

        self.resume: Any = inbox_pb2.INBOX_RESUME_SNAPSHOT
        """What every welcome says that it is."""

        self.secrets = [SECRET]
        self.cursors = CursorSigner(MASTER_KEY)
        self.asked = Gate()
        """What every list and mark passes."""

        self.marked: list[inbox_pb2.MarkInboxRequest] = []
        self.before_read = Gate()
        self.after_read = Gate()
        self._database = database

    def register(self, server: grpc.aio.Server) -> None:
        """Adds the methods that the gateway calls."""
        inbox_pb2_grpc.add_InboxServicer_to_server(self, server)

    async def SyncInbox(
        self, request: inbox_pb2.SyncInboxRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> inbox_pb2.SyncInboxResponse:
        """Reads the inbox of the user that the credentials name."""
        if self.code:
            await context.abort(self.code, "as the test wants it")
        await self._check(context)
        await self.before_read.pass_through()
        if self.welcome_errors:
            await context.abort_with_status(rpc_status.to_status(to_status(self.welcome_errors.pop(), call_id="c")))
        position, documents = await self._read(request.user_id, int(request.min_position, 16))
        await self.after_read.pass_through()
        welcome = inbox_pb2.InboxWelcome(
            resume=self.resume,
            items=[_item(document) for document in documents[: request.limit]],
            unread_count=sum(document["inapp"]["unread"] for document in documents),
        )
        return inbox_pb2.SyncInboxResponse(
            welcome=welcome,
            position=f"{position:016x}",
            cursor=self.cursors.sign(Cursor(position, incarnation=1), client_id="dev", user_id=request.user_id),
        )

    async def CountUnread(
        self, request: inbox_pb2.CountUnreadRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> inbox_pb2.CountUnreadResponse:
        """Checks the credentials, and counts nothing."""
        if self.code:
            await context.abort(self.code, "as the test wants it")
        await self._check(context)
        return inbox_pb2.CountUnreadResponse()

    async def ListInbox(
        self, request: inbox_pb2.ListInboxRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> inbox_pb2.ListInboxResponse:
        """Answers an empty page, with what was asked for as its token."""
        await self._check(context)
        await self.asked.pass_through()
        return inbox_pb2.ListInboxResponse(next_page_token=request.page_token, unread_count=request.page_size)

    async def MarkInbox(
        self, request: inbox_pb2.MarkInboxRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> inbox_pb2.MarkInboxResponse:
        """Keeps what was asked for, and says that it changed one item."""
        await self._check(context)
        await self.asked.pass_through()
        if self.error:
            await context.abort_with_status(rpc_status.to_status(to_status(self.error, call_id="c")))
        self.marked.append(request)
        return inbox_pb2.MarkInboxResponse(changed_count=1)

    async def _check(self, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        credentials = parse_credentials(context.invocation_metadata() or ())
        assert isinstance(credentials, UserCredentials)
        if not hash_matches(credentials.user_hash, credentials.user_id, self.secrets):
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "the credentials are not valid")

    async def _read(self, user_id: str, min_position: int) -> tuple[int, list[dict[str, Any]]]:
        match = {"_id.e": "dev", "_id.u": user_id, "inapp.box": "inbox"}
        command = {
            "aggregate": "messages",
            "pipeline": [{"$match": match}, {"$sort": {"inapp.date": -1, "_id.m": -1}}],
            "cursor": {"batchSize": 1000},
            "readConcern": {"level": "snapshot"},
        }
        while True:
            reply = await self._database.command(command, codec_options=self._database.codec_options)
            read_at = reply["cursor"]["atClusterTime"]
            position = int(read_at.time) << 32 | int(read_at.inc)
            if position >= min_position:
                return position, reply["cursor"]["firstBatch"]


def _item(document: dict[str, Any]) -> inbox_pb2.InboxItem:
    inapp, changed = document["inapp"], document["changed"]
    return inbox_pb2.InboxItem(
        id=document["_id"]["m"],
        rev=f"{changed.time:08x}{changed.inc:08x}",
        notification_id=inapp["notification_id"],
        content=content_pb2.InappContent(title=inapp["title"], body=inapp["body"]),
        date=inapp["date"],
        expire_time=document["expire_time"],
        unread=inapp["unread"],
        message_count=inapp["message_count"],
        priority=channel_pb2.Priority.Value(f"PRIORITY_{inapp['priority']}"),
    )


class Tab:
    """One open connection of a user."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    async def send(self, **body: Any) -> None:
        """Sends a frame."""
        await self.socket.send(json.dumps(body))

    async def hello(self, user_id: str, **changes: Any) -> None:
        """Says hello, with credentials that are right where nothing is changed."""
        credentials = {"client_id": "dev", "user_id": user_id, "user_hash": user_hash(SECRET, user_id)}
        await self.send(type="hello", **(credentials | changes))

    async def receive(self) -> dict[str, Any]:
        """Gives the next frame."""
        async with asyncio.timeout(ANSWER_S):
            body: dict[str, Any] = json.loads(await self.socket.recv())
            return body

    async def closed(self) -> int | None:
        """Gives the code that the connection is closed with; frames before it are passed over."""
        with suppress(ConnectionClosed):
            async with asyncio.timeout(ANSWER_S):
                while True:
                    await self.socket.recv()
        return self.socket.close_code


@dataclass
class World:
    """A running gateway and what is around it."""

    gateway: Gateway
    inbox: FakeInbox
    database: AsyncDatabase[dict[str, Any]]
    stop: asyncio.Event
    running: asyncio.Task[None]

    @asynccontextmanager
    async def connect(self, path: str = "/v1/inbox", **options: Any) -> AsyncIterator[Tab]:
        """Connects without saying hello."""
        url = f"ws://127.0.0.1:{self.gateway.ws_port}{path}"
        async with connect(url, **({"subprotocols": ["carillon.v1"], "proxy": None} | options)) as socket:
            yield Tab(socket)

    @asynccontextmanager
    async def tab(self, user_id: str, **options: Any) -> AsyncIterator[Tab]:
        """Connects and takes the welcome, which must be that of an empty inbox."""
        async with self.connect(**options) as tab:
            await tab.hello(user_id)
            welcome = await tab.receive()
            assert welcome.pop("cursor")
            assert welcome == {"type": "welcome", "resume": "snapshot", "unread_count": 0, "items": []}
            yield tab

    @asynccontextmanager
    async def lazy_tab(self, user_id: str) -> AsyncIterator[Tab]:
        """Opens a tab that reads only when it is told to, with as little of a buffer as the system allows."""
        with socket.socket() as small:
            small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            small.setblocking(False)
            await asyncio.get_running_loop().sock_connect(small, ("127.0.0.1", self.gateway.ws_port))
            async with self.tab(user_id, sock=small, max_queue=1, close_timeout=0.1) as tab:
                yield tab

    @asynccontextmanager
    async def raw(self, request: str = HANDSHAKE) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """Connects without a client's library, and sends no more than a request."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.gateway.ws_port)
        try:
            writer.write(request.encode())
            await writer.drain()
            yield reader, writer
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def healthz(self) -> int:
        """Gives the status of the health check."""
        return await healthz(self.gateway)

    async def insert(self, user_id: str, *titles: str, body: str = "") -> list[str]:
        """Inserts messages as Send does, and gives their ids."""
        documents = [message(user_id, title, body=body) for title in titles]
        await self.database.messages.insert_many(documents)
        return [document["_id"]["m"] for document in documents]

    async def retract(self, user_id: str, item_ids: list[str]) -> None:
        """Retracts messages as Retract does."""
        await self.update(
            user_id,
            item_ids,
            {
                "$set": {"inapp.retract_time": datetime.now(UTC), "inapp.unread": False},
                "$unset": {"inapp.box": ""},
                "$max": {"expire_time": datetime(2031, 1, 1, tzinfo=UTC)},
            },
        )

    async def update(self, user_id: str, item_ids: list[str], update: dict[str, Any]) -> None:
        """Changes messages so that browsers see it."""
        await self.database.messages.update_many(
            {"_id": {"$in": [{"e": "dev", "u": user_id, "m": item_id} for item_id in item_ids]}},
            update | {"$currentDate": {"changed": {"$type": "timestamp"}}},
        )


async def healthz(gateway: Gateway) -> int:
    """Gives the status of the health check of a gateway."""
    async with httpx.AsyncClient(trust_env=False) as client:
        return (await client.get(f"http://127.0.0.1:{gateway.ws_port}/healthz")).status_code


def message(user_id: str, title: str, *, body: str = "") -> dict[str, Any]:
    """Makes a message as Send stores it."""
    return {
        "_id": {"e": "dev", "u": user_id, "m": new_id()},
        "changed": Timestamp(0, 0),
        "expire_time": datetime(2030, 1, 1, tzinfo=UTC),
        "inapp": {
            "box": "inbox",
            "date": datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC),
            "unread": True,
            "notification_id": "order_tracking",
            "title": title,
            "body": body,
            "message_count": 1,
            "priority": "NORMAL",
        },
    }


@asynccontextmanager
async def run_world(mongod: LocalMongod, **settings: Any) -> AsyncIterator[World]:
    """Runs a gateway on a database of its own until the block ends."""
    head, _, options = mongod.uri.partition("/?")
    uri = f"{head}/test_{uuid.uuid4().hex}?{options}"
    async with open_client(uri) as client:
        database = client.get_default_database()
        await database.create_collection("messages")
        inbox = FakeInbox(database)  # type: ignore[abstract] # the gateway calls no others
        async with (
            GrpcServer(inbox.register, drain_s=1) as server,
            asyncio.TaskGroup() as tasks,
        ):
            stop, ready = asyncio.Event(), asyncio.get_running_loop().create_future()
            services_url = f"grpc://127.0.0.1:{server.port}"
            own: dict[str, Any] = {"mongodb_uri": uri, "services_url": services_url, "master_key": MASTER_KEY_TEXT}
            given = GatewaySettings(**(own | {"ws_port": 0, "http_port": 0} | settings))
            running = tasks.create_task(run_gateway(given, stop, on_ready=ready.set_result))
            gateway = await ready
            await asyncio.wait_for(gateway.feed.live.wait(), ANSWER_S)
            try:
                yield World(gateway, inbox, database, stop, running)
            finally:
                stop.set()
