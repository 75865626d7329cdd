"""The services, put together: the one module that knows all concrete classes."""

from __future__ import annotations

import asyncio
import contextlib
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import structlog

from carillon.v1 import (
    broadcasts_pb2,
    broadcasts_pb2_grpc,
    environments_pb2,
    environments_pb2_grpc,
    inbox_pb2,
    inbox_pb2_grpc,
    messages_pb2,
    messages_pb2_grpc,
    notifications_pb2,
    notifications_pb2_grpc,
    preferences_pb2,
    preferences_pb2_grpc,
    sender_pb2,
    sender_pb2_grpc,
    sub_notifications_pb2,
    sub_notifications_pb2_grpc,
    users_pb2,
    users_pb2_grpc,
)
from services.environments import servicer as environments
from services.environments.authenticator import Authenticator
from services.environments.cache import Catalogue
from services.environments.store import EnvironmentStore
from services.inbox import servicer as inbox
from services.inbox.marks import MarkStore
from services.inbox.store import InboxStore
from services.inbox.syncing import InboxSync
from services.inbox.watching import Watching
from services.kernel import clock
from services.kernel.crypto import SecretBox, new_master_key, parse_master_key
from services.kernel.cursors import CursorSigner
from services.kernel.errors import Unavailable
from services.kernel.interceptors import AuthInterceptor, ErrorInterceptor, LogInterceptor
from services.kernel.links import LinkTokens
from services.kernel.metrics import serve_metrics
from services.kernel.mongo import open_client, translate_errors, wait_until_reachable, watch_reachability
from services.kernel.mongod import LocalMongod
from services.kernel.process import SettingsError
from services.kernel.rate import RateLimits
from services.kernel.server import GrpcServer
from services.live.feed import open_feed_client
from services.live.hub import Ending
from services.live.lazy import LazyFeed
from services.messages import servicer as messages
from services.messages.expiry import Expiry
from services.messages.files import FileStore
from services.messages.log import MessageLog
from services.messages.schedules import ScheduleStore
from services.messages.store import MessageStore
from services.notifications.servicer import NotificationsServicer
from services.notifications.store import NotificationStore
from services.preferences import servicer as preferences
from services.preferences.store import PreferenceStore
from services.sender.reads import RecipientReads
from services.sender.scheduling import Scheduling
from services.sender.sending import Sending
from services.sender.servicer import SenderServicer
from services.sub_notifications.servicer import SubNotificationsServicer
from services.sub_notifications.store import SubNotificationStore
from services.users import servicer as users
from services.users.erasures import Erasures
from services.users.revocations import Revocations
from services.users.store import UserStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    import grpc
    from pymongo.asynchronous.database import AsyncDatabase

    from services.kernel.auth import Credentials, Principal
    from services.kernel.clock import Clock
    from services.kernel.mongo import Client
    from services.settings import ServicesSettings, StorageSettings

DEFAULT_DATABASE = "carillon"
_FILES = (
    broadcasts_pb2,
    environments_pb2,
    inbox_pb2,
    messages_pb2,
    notifications_pb2,
    preferences_pb2,
    sender_pb2,
    sub_notifications_pb2,
    users_pb2,
)
_USER_METHODS = {
    "Environments": environments.USER_METHODS,
    "Inbox": inbox.USER_METHODS,
    "Preferences": preferences.USER_METHODS,
    "Users": users.USER_METHODS,
}
_OPEN_METHODS = {"Messages": messages.OPEN_METHODS, "Preferences": preferences.OPEN_METHODS}

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Storage:
    """MongoDB, and the key that opens the secrets in it."""

    mongodb_uri: str
    master_key: bytes = field(repr=False)

    @property
    def secret_box(self) -> SecretBox:
        """Opens the secrets."""
        return SecretBox(self.master_key)


class Stores:
    """Every store, over one client, and what is held in front of them; who sends enters it by ``async with``."""

    def __init__(self, client: Client, secret_box: SecretBox) -> None:
        database: AsyncDatabase[dict[str, Any]] = client.get_default_database(DEFAULT_DATABASE)
        self.database = database
        self.environments = EnvironmentStore(client, database, secret_box)
        self.sub_notifications = SubNotificationStore(database, self.environments)
        self.notifications = NotificationStore(database, self.environments, self.sub_notifications)
        self.users = UserStore(database)
        self.revocations = Revocations(database)
        self.files = FileStore(database)
        self.erasures = Erasures(database, self.revocations, self.files)
        self.preferences = PreferenceStore(database)
        self.messages = MessageStore(database, self.files)
        self.schedules = ScheduleStore(database)
        self.expiry = Expiry(database)
        self.log = MessageLog(database)
        self.inbox = InboxStore(database)
        self.marks = MarkStore(database)
        self.catalogue = Catalogue(self.environments, self.notifications)
        self.recipients = RecipientReads(self.users, self.preferences, self.environments)
        self._entered = AsyncExitStack()

    async def __aenter__(self) -> Self:
        for part in (self.messages, self.catalogue, self.recipients):
            await self._entered.enter_async_context(part)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._entered.__aexit__(kind, error, traceback)

    async def ensure_indexes(self) -> None:
        """Creates every index that a query names; those that are there cost a round trip each."""
        for store in (
            self.notifications,
            self.sub_notifications,
            self.users,
            self.revocations,
            self.erasures,
            self.messages,
            self.files,
            self.expiry,
            self.log,
            self.inbox,
        ):
            await store.ensure_indexes()


@asynccontextmanager
async def open_storage(settings: StorageSettings) -> AsyncIterator[Storage]:
    """Gives the storage of the settings; where they name no MongoDB, a private one that ends with the block."""
    if settings.mongodb_uri is not None:
        if settings.master_key is None:
            raise SettingsError(
                "CARILLON_MASTER_KEY is not set; make one with `openssl rand -base64 32`, and give it to every process"
            )
        master_key = parse_master_key(settings.master_key.get_secret_value())
        yield Storage(settings.mongodb_uri.get_secret_value(), master_key)
        return

    async with LocalMongod(settings.data_dir, port=settings.mongod_port, binary=settings.mongod) as mongod:
        given = settings.master_key.get_secret_value() if settings.master_key else _kept_master_key(settings.data_dir)
        _log.info("mongod_started", uri=mongod.uri, data_dir=str(settings.data_dir))
        yield Storage(mongod.uri, parse_master_key(given))


async def run_services(
    settings: ServicesSettings,
    storage: Storage,
    stop: asyncio.Event,
    *,
    on_ready: Callable[[int], None] = lambda _: None,
    now: Clock = clock.utc_now,
) -> None:
    """Runs the services until ``stop`` is set, then lets running calls end.

    Args:
        settings: Their settings.
        storage: Where everything is kept. It may be absent at any time: calls are then UNAVAILABLE.
        stop: Ends them.
        on_ready: Called with the port once they listen and MongoDB has answered.
        now: Their clock.

    Raises:
        PortTakenError: If they cannot listen where they should.
    """
    async with open_client(storage.mongodb_uri) as client, open_feed_client(storage.mongodb_uri) as feed_client:
        stores = Stores(client, storage.secret_box)
        feed = LazyFeed(feed_client.get_default_database(DEFAULT_DATABASE))
        prepared = asyncio.Event()
        server = _make_server(settings, stores, feed, storage.master_key, prepared, now)
        metrics = serve_metrics(settings.host, settings.metrics_port)
        async with stores, server, metrics, asyncio.TaskGroup() as tasks:

            async def prepare_and_watch() -> None:
                await prepare(client, stores)
                prepared.set()
                on_ready(server.port)
                await watch_reachability(client, server.set_serving)

            async def erase() -> None:
                await prepared.wait()
                await stores.erasures.run(now)

            async def expire() -> None:
                await prepared.wait()
                await stores.expiry.run(now)

            background = [
                tasks.create_task(prepare_and_watch(), name="storage"),
                tasks.create_task(erase(), name="erasures"),
                tasks.create_task(expire(), name="expiry"),
                tasks.create_task(stores.catalogue.run(), name="catalogue"),
                tasks.create_task(feed.run(), name="feed"),
            ]
            await stop.wait()
            # Streams do not end by themselves, and would take all the time that calls have for it.
            feed.hub.end_all(Ending.DRAINING)
            await server.drain()
            for task in background:
                task.cancel()


async def prepare(client: Client, stores: Stores) -> None:
    """Returns once MongoDB has answered and every index is there."""
    while True:
        await wait_until_reachable(client)
        with contextlib.suppress(Unavailable), translate_errors():
            await stores.ensure_indexes()
            return


def _make_server(
    settings: ServicesSettings,
    stores: Stores,
    feed: LazyFeed,
    master_key: bytes,
    prepared: asyncio.Event,
    now: Clock,
) -> GrpcServer:
    authenticator = Authenticator(
        stores.catalogue,
        now,
        not_before=stores.revocations.not_before,
        accept_sha256_hashes=settings.accept_sha256_hashes,
    )

    def require_ready() -> None:
        # Queries name their indexes, so none may run before these are there.
        if not prepared.is_set():
            raise Unavailable("the services are starting and have not reached MongoDB yet", reason="STARTING")

    async def authenticate(credentials: Credentials) -> Principal:
        require_ready()
        return await authenticator.authenticate(credentials)

    authentication = AuthInterceptor(
        authenticate,
        _full_names(_USER_METHODS),
        _full_names(_OPEN_METHODS),
        require_ready=require_ready,
        admit=_admission(settings, now),
    )
    links = LinkTokens(master_key)
    sync = InboxSync(stores.inbox, stores.users, CursorSigner(master_key), clock=now)
    watching = Watching(feed.hub, feed.ready, sync, clock=now)

    def register(server: grpc.aio.Server) -> None:
        _register(server, stores, authenticator, links, now)
        inbox_pb2_grpc.add_InboxServicer_to_server(
            inbox.InboxServicer(stores.inbox, stores.marks, sync, watching, clock=now), server
        )

    return GrpcServer(
        register,
        service_names=[service.full_name for file in _FILES for service in file.DESCRIPTOR.services_by_name.values()],
        interceptors=(LogInterceptor(), ErrorInterceptor(), authentication),
        host=settings.host,
        port=settings.grpc_port,
        use_reflection=settings.reflection,
    )


def _admission(settings: ServicesSettings, now: Clock) -> Callable[[str], None]:
    if not settings.rate_limit_per_s:
        return lambda _: None
    limits = RateLimits(per_s=settings.rate_limit_per_s, burst=settings.rate_limit_burst)
    return lambda client_id: limits.admit(client_id, now().timestamp())


def _full_names(methods: Mapping[str, Sequence[str]]) -> frozenset[str]:
    return frozenset(f"/carillon.v1.{service}/{name}" for service, names in methods.items() for name in names)


def _register(
    server: grpc.aio.Server, stores: Stores, authenticator: Authenticator, links: LinkTokens, now: Clock
) -> None:
    new_id = clock.new_id
    sending = Sending(
        catalogue=stores.catalogue,
        recipients=stores.recipients,
        messages=stores.messages,
        files=stores.files,
        users=stores.users,
        sub_notifications=stores.sub_notifications,
        clock=now,
        new_id=new_id,
    )
    scheduling = Scheduling(
        schedules=stores.schedules,
        recipients=stores.recipients,
        catalogue=stores.catalogue,
        users=stores.users,
        clock=now,
    )
    # What these leave out answers UNIMPLEMENTED, by the generated base class.
    sender_pb2_grpc.add_SenderServicer_to_server(
        SenderServicer(  # type: ignore[abstract] # not whole yet
            sending, scheduling, stores.messages, stores.schedules, stores.catalogue, authenticator, clock=now
        ),
        server,
    )
    users_pb2_grpc.add_UsersServicer_to_server(
        users.UsersServicer(stores.users, stores.erasures, stores.revocations, stores.catalogue, clock=now),  # type: ignore[abstract] # not whole yet
        server,
    )
    preferences_pb2_grpc.add_PreferencesServicer_to_server(
        preferences.PreferencesServicer(
            stores.preferences, stores.users, stores.notifications, stores.sub_notifications, links, clock=now
        ),
        server,
    )
    sub_notifications_pb2_grpc.add_SubNotificationsServicer_to_server(
        SubNotificationsServicer(stores.sub_notifications, stores.notifications, clock=now), server
    )
    notifications_pb2_grpc.add_NotificationsServicer_to_server(
        NotificationsServicer(stores.notifications, stores.catalogue, clock=now, new_id=new_id), server
    )
    messages_pb2_grpc.add_MessagesServicer_to_server(
        messages.MessagesServicer(stores.log, stores.messages, links, clock=now),  # type: ignore[abstract] # not whole yet
        server,
    )
    broadcasts_pb2_grpc.add_BroadcastsServicer_to_server(broadcasts_pb2_grpc.BroadcastsServicer(), server)  # type: ignore[abstract] # not built yet
    environments_pb2_grpc.add_EnvironmentsServicer_to_server(
        environments.EnvironmentsServicer(stores.environments, stores.catalogue, clock=now), server
    )


def _kept_master_key(data_dir: Path) -> str:
    """Gives the key that lies beside the private MongoDB's data, made when there is none."""
    path = data_dir / "master_key"
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(new_master_key())
    return path.read_text()
