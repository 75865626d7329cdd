"""The gateway, put together: the one module that knows all parts."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gateway.http.app import create_app, serve_http
from gateway.http.twilio import TwilioSignatures
from gateway.notificationapi.protocol import NotificationApiProtocol
from gateway.notificationapi.socket import SocketServices
from gateway.protocol import InboxProtocol
from gateway.server import serve_websockets
from gateway.services_client import ServicesClient
from gateway.session import Limits, Session
from services.kernel.clock import utc_now
from services.kernel.cursors import CursorSigner
from services.live.feed import Feed, open_feed_client
from services.live.hub import Hub

if TYPE_CHECKING:
    from collections.abc import Callable

    from websockets.asyncio.server import ServerConnection

    from gateway.frames import Hello
    from gateway.http.dev import DevAccess
    from gateway.settings import GatewaySettings

DEFAULT_DATABASE = "carillon"


@dataclass(frozen=True, slots=True)
class Gateway:
    """A gateway that runs."""

    ws_port: int
    """The port of the websocket side."""

    http_port: int
    """The port of the HTTP side."""

    feed: Feed
    """The feed; ``feed.live`` is set once sessions can open."""

    public_url: str
    """Where its links lead: where the settings say that it is for the world, else its HTTP side on this machine."""


async def run_gateway(
    settings: GatewaySettings,
    stop: asyncio.Event,
    *,
    dev: DevAccess | None = None,
    on_ready: Callable[[Gateway], None] = lambda _: None,
) -> None:
    """Runs the gateway until ``stop`` is set, then tells all sessions to come back.

    Args:
        settings: Its settings.
        stop: Ends it.
        dev: Makes the demo page work, with this backend's rights.
        on_ready: Called once it listens. MongoDB and the services may still be absent then.

    Raises:
        SettingsError: If it is not told where MongoDB is, or not the master key.
        PortTakenError: If it cannot listen where it should.
    """
    mongodb_uri, master_key = settings.require_mongodb_uri(), settings.require_master_key()
    auth_token = settings.twilio_auth_token
    signatures = TwilioSignatures(settings.public_url, auth_token.get_secret_value()) if auth_token else None
    limits = Limits(
        hello_timeout_s=settings.hello_timeout_s,
        outbox_frames=settings.outbox_frames,
        outbox_bytes=settings.outbox_bytes,
        close_timeout_s=settings.close_timeout_s,
        frames_per_s=settings.frames_per_s,
        frames_burst=settings.frames_burst,
        ping_interval_s=settings.ping_interval_s,
        ping_timeout_s=settings.ping_timeout_s,
    )
    async with (
        open_feed_client(mongodb_uri) as client,
        ServicesClient(settings.services_url, CursorSigner(master_key)) as services,
    ):
        hub = Hub(max_sessions_per_user=settings.max_sessions_per_user)
        feed = Feed(client.get_default_database(DEFAULT_DATABASE), hub, silence_s=settings.feed_silence_s)

        theirs = SocketServices(services, hub)

        def make_session(socket: ServerConnection, hello: Hello | None) -> Session:
            rate: dict[str, Any] = {"frames_per_s": limits.frames_per_s, "frames_burst": limits.frames_burst}
            since = hub.position if feed.live.is_set() else 0
            return Session(
                socket,
                NotificationApiProtocol(hello, since=since, **rate) if hello else InboxProtocol(**rate),
                hub=hub,
                services=theirs if hello else services,
                is_feed_live=feed.live.is_set,
                limits=limits,
                clock=utc_now,
            )

        websockets = serve_websockets(
            make_session,
            host=settings.host,
            port=settings.ws_port,
            is_healthy=feed.live.is_set,
            limits=limits,
            allowed_origins=settings.allowed_origins,
            max_connections=settings.max_connections,
            reuse_port=settings.reuse_port,
            admit=theirs.admit,
        )
        # The server outside of the tasks: a port that is taken is then one plain error, not a group of them.
        async with websockets as sockets, asyncio.TaskGroup() as tasks:
            following = tasks.create_task(feed.run(), name="feed")
            listening: asyncio.Future[int] = asyncio.get_running_loop().create_future()
            stop_http = asyncio.Event()
            serving = serve_http(
                create_app(
                    ws_port=sockets.port,
                    services=services.channel,
                    signatures=signatures,
                    dev=dev,
                    allowed_origins=settings.allowed_origins,
                    is_stopping=stop.is_set,
                ),
                host=settings.host,
                port=settings.http_port,
                stop=stop_http,
                reuse_port=settings.reuse_port,
                on_ready=listening.set_result,
            )
            tasks.create_task(serving, name="http")
            http_port = await listening
            on_ready(Gateway(sockets.port, http_port, feed, settings.public_url or f"http://localhost:{http_port}"))
            await stop.wait()
            # Events and HTTP go on for those who wait for their close.
            await sockets.drain(settings.drain_s)
            stop_http.set()
            following.cancel()
