"""A running Carillon for contract tests: the real services on a real MongoDB, entered through a real channel."""

from __future__ import annotations

import asyncio
import base64
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from pydantic import SecretStr

from carillon.v1 import (
    environments_pb2_grpc,
    inbox_pb2,
    inbox_pb2_grpc,
    messages_pb2_grpc,
    notifications_pb2,
    notifications_pb2_grpc,
    preferences_pb2_grpc,
    sender_pb2,
    sender_pb2_grpc,
    sub_notifications_pb2_grpc,
    users_pb2_grpc,
)
from services import catalogue
from services.app import Storage, Stores, run_services
from services.environments.model import Environment, Secret
from services.kernel.auth import basic_authorization, user_hash
from services.kernel.clock import new_id, utc_now
from services.kernel.mongo import open_client
from services.settings import ServicesSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from services.kernel.clock import Clock
    from services.kernel.mongo import Client

SAMPLES = Path(__file__).parents[3] / "services" / "sample_catalogue.yaml"
MASTER_KEY = bytes(32)
MASTER_KEY_TEXT = SecretStr(base64.b64encode(MASTER_KEY).decode())


@dataclass(frozen=True)
class Caller:
    """Every stub, with the credentials of one caller."""

    channel: grpc.aio.Channel
    metadata: Sequence[tuple[str, str]]
    sender: Any = field(init=False)
    users: Any = field(init=False)
    preferences: Any = field(init=False)
    sub_notifications: Any = field(init=False)
    notifications: Any = field(init=False)
    inbox: Any = field(init=False)
    environments: Any = field(init=False)
    messages: Any = field(init=False)

    def __post_init__(self) -> None:
        for name, stub in (
            ("sender", sender_pb2_grpc.SenderStub),
            ("users", users_pb2_grpc.UsersStub),
            ("preferences", preferences_pb2_grpc.PreferencesStub),
            ("sub_notifications", sub_notifications_pb2_grpc.SubNotificationsStub),
            ("notifications", notifications_pb2_grpc.NotificationsStub),
            ("inbox", inbox_pb2_grpc.InboxStub),
            ("environments", environments_pb2_grpc.EnvironmentsStub),
            ("messages", messages_pb2_grpc.MessagesStub),
        ):
            object.__setattr__(self, name, _WithMetadata(stub(self.channel), self.metadata))


class _WithMetadata:
    def __init__(self, stub: Any, metadata: Sequence[tuple[str, str]]) -> None:
        self._stub = stub
        self._metadata = metadata

    def __getattr__(self, method: str) -> Any:
        call = getattr(self._stub, method)
        return lambda request, timeout=15: call(request, metadata=self._metadata, timeout=timeout)


class Tenant:
    """One environment of its own: its backend, its users, and what it has stored."""

    def __init__(self, world: World, client_id: str, secret: str) -> None:
        self.client_id = client_id
        self.secret = secret
        self.channel = world.channel
        self.backend = Caller(world.channel, [basic_authorization(client_id, secret)])
        self._database = world.database

    def user(self, user_id: str) -> Caller:
        """Gives a caller that acts as a user."""
        credentials = basic_authorization(self.client_id, user_id, user_hash(self.secret, user_id))
        return Caller(self.channel, [credentials])

    async def put(self, *notifications: notifications_pb2.Notification) -> None:
        """Defines notifications."""
        for notification in notifications:
            await self.backend.notifications.PutNotification(
                notifications_pb2.PutNotificationRequest(notification=notification)
            )

    async def put_samples(self) -> None:
        """Defines what `carillon dev` starts with."""
        await self.put(*catalogue.load(SAMPLES))

    async def send(self, *requests: sender_pb2.SendRequest) -> list[sender_pb2.SendResponse]:
        """Sends one after the other."""
        return [await self.backend.sender.Send(request) for request in requests]

    async def items(self, user_id: str) -> list[inbox_pb2.InboxItem]:
        """Gives what the user's inbox shows, the newest first."""
        answer = await self.backend.inbox.ListInbox(inbox_pb2.ListInboxRequest(user_id=user_id, page_size=1000))
        return list(answer.items)

    async def stored(self) -> dict[str, int]:
        """Counts the documents of this environment in each collection, for tests that say "nothing is stored"."""
        names = ("notifications", "sub_notifications", "users", "preferences", "messages")
        return {name: await self._database[name].count_documents({"_id.e": self.client_id}) for name in names}


@dataclass(frozen=True)
class World:
    """The services of one test session."""

    address: str
    channel: grpc.aio.Channel
    database: Any
    stores: Stores
    stop: asyncio.Event
    """Ends them."""

    async def tenant(self) -> Tenant:
        """Makes an environment of its own, so that tests do not meet."""
        client_id, secret = f"t-{new_id()}", f"secret-{new_id()}"
        await self.stores.environments.create(Environment(client_id, (Secret(new_id(), secret, utc_now()),)))
        return Tenant(self, client_id, secret)

    async def change_secrets(self, client_id: str, *secrets: Secret) -> None:
        """Gives an environment other secrets."""
        assert await self.stores.environments.change(client_id, lambda stored: replace(stored, secrets=secrets))


@asynccontextmanager
async def run_world(
    mongodb_uri: str, *, port: int | None = None, now: Clock = utc_now, **changes: Any
) -> AsyncIterator[World]:
    """Runs the services in this loop until the block ends.

    Args:
        mongodb_uri: Where MongoDB is.
        port: Where to listen; the block then begins before MongoDB has answered. Absent: a free one, and it waits.
        now: The clock of the services.
        changes: Settings of theirs that are not the usual ones.
    """
    stop = asyncio.Event()
    listening: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    storage = Storage(mongodb_uri.replace("/?", "/carillon?"), MASTER_KEY)
    client: Client
    async with asyncio.TaskGroup() as tasks, open_client(storage.mongodb_uri) as client:
        settings = ServicesSettings(grpc_port=port or 0, **changes)
        tasks.create_task(run_services(settings, storage, stop, on_ready=listening.set_result, now=now))
        address = f"127.0.0.1:{port or await listening}"
        async with grpc.aio.insecure_channel(address) as channel:
            yield World(address, channel, client.get_default_database(), Stores(client, storage.secret_box), stop)
        stop.set()


def problems(error: grpc.aio.AioRpcError) -> dict[str, str]:
    """Gives the field violations of a refusal: path to reason."""
    bad_request = detail(error, error_details_pb2.BadRequest())
    return {violation.field: violation.reason for violation in bad_request.field_violations} if bad_request else {}


def reason(error: grpc.aio.AioRpcError) -> str:
    """Gives the reason of a refusal."""
    info = detail(error, error_details_pb2.ErrorInfo())
    return str(info.reason) if info else ""


def detail(error: grpc.aio.AioRpcError, kind: Any) -> Any:
    """Gives the detail of one kind, or None."""
    status: Any = rpc_status.from_call(error)
    return next((kind for one in status.details if one.Unpack(kind)), None)
