"""The gateway, put together: the one module that knows all parts."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.http.app import create_app, serve_http
from gateway.server import serve_websockets
from gateway.services_client import ServicesClient
from gateway.session import Limits, Session
from services.kernel.clock import utc_now
from services.kernel.crypto import parse_master_key
from services.kernel.cursors import CursorSigner
from services.kernel.process import SettingsError
from services.live.feed import Feed, open_feed_client
from services.live.hub import Hub

if TYPE_CHECKING:
    from collections.abc import Callable

    from websockets.asyncio.server import ServerConnection

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


async def run_gateway(
    settings: GatewaySettings,
    stop: asyncio.Event,
    *,
    dev: DevAccess | None = None,
    on_ready: Callable[[Gateway], None] = lambda _: None,
) -> None:
    """Runs the gateway until ``stop`` is set, then closes all sessions.

    Args:
        settings: Its settings.
        stop: Ends it.
        dev: Makes the demo page work, with this backend's rights.
        on_ready: Called once it listens. MongoDB and the services may still be absent then.

    Raises:
        SettingsError: If it is not told where MongoDB is, or not the master key.
        PortTakenError: If it cannot listen where it should.
    """
    if settings.mongodb_uri is None:
        raise SettingsError("CARILLON_MONGODB_URI is not set; set it, or run `carillon dev`, which has its own MongoDB")

    if settings.master_key is None:
        raise SettingsError("CARILLON_MASTER_KEY is not set; give the gateway the one that the services have")

    cursors = CursorSigner(parse_master_key(settings.master_key.get_secret_value()))
    limits = Limits(
        hello_timeout_s=settings.hello_timeout_s,
        outbox_frames=settings.outbox_frames,
        outbox_bytes=settings.outbox_bytes,
        close_timeout_s=settings.close_timeout_s,
    )
    async with (
        open_feed_client(settings.mongodb_uri.get_secret_value()) as client,
        ServicesClient(settings.services_url, cursors) as services,
    ):
        hub = Hub(max_sessions_per_user=settings.max_sessions_per_user)
        feed = Feed(client.get_default_database(DEFAULT_DATABASE), hub, silence_s=settings.feed_silence_s)

        def make_session(socket: ServerConnection) -> Session:
            return Session(
                socket, hub=hub, services=services, is_feed_live=feed.live.is_set, limits=limits, clock=utc_now
            )

        websockets = serve_websockets(
            make_session, host=settings.host, port=settings.ws_port, is_healthy=feed.live.is_set
        )
        # The server outside of the tasks: a port that is taken is then one plain error, not a group of them.
        async with websockets as ws_port, asyncio.TaskGroup() as tasks:
            following = tasks.create_task(feed.run(), name="feed")
            listening: asyncio.Future[int] = asyncio.get_running_loop().create_future()
            http = create_app(ws_port=ws_port, dev=dev)
            serving = serve_http(
                http, host=settings.host, port=settings.http_port, stop=stop, on_ready=listening.set_result
            )
            tasks.create_task(serving, name="http")
            on_ready(Gateway(ws_port, await listening, feed))
            await stop.wait()
            following.cancel()
