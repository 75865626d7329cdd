"""The websocket server: paths, the handshake, its limits, and a stop that ends every session."""

from __future__ import annotations

import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from websockets.asyncio.server import serve
from websockets.exceptions import NegotiationError
from websockets.typing import Subprotocol

from gateway.closes import CloseCode
from gateway.frames import MAX_FRAME_BYTES
from services.kernel.server import PortTakenError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from websockets.asyncio.server import ServerConnection
    from websockets.http11 import Request, Response

    from gateway.session import Session

INBOX_PATH = "/v1/inbox"
HEALTH_PATH = "/healthz"
SUBPROTOCOL = Subprotocol("carillon.v1")

# The library logs every connection and every failed handshake, with a traceback; our sessions log themselves.
_quiet = logging.getLogger("gateway.websockets")
_quiet.setLevel(logging.CRITICAL)


@asynccontextmanager
async def serve_websockets(
    make_session: Callable[[ServerConnection], Session], *, host: str, port: int, is_healthy: Callable[[], bool]
) -> AsyncIterator[int]:
    """Serves inside of ``async with``, which gives the port; at its end all sessions are closed.

    Args:
        make_session: Makes what serves a connection.
        host: The address to listen on.
        port: 0 takes a free one.
        is_healthy: Tells what ``/healthz`` answers.

    Raises:
        PortTakenError: If it cannot listen there.
    """
    sessions: set[Session] = set()

    async def handle(socket: ServerConnection) -> None:
        session = make_session(socket)
        sessions.add(session)
        try:
            await session.run()
        finally:
            sessions.discard(session)

    def process_request(socket: ServerConnection, request: Request) -> Response | None:
        path = urlsplit(request.path).path
        if path == HEALTH_PATH:
            return socket.respond(200, "ok\n") if is_healthy() else socket.respond(503, "no events from MongoDB\n")
        if path != INBOX_PATH:
            return socket.respond(404, f"there is nothing here; the inbox is at {INBOX_PATH}\n")
        return None

    try:
        server = await serve(
            handle,
            host,
            port,
            process_request=process_request,
            select_subprotocol=_select_subprotocol,
            compression=None,  # costs 3.5 times the memory
            max_size=MAX_FRAME_BYTES,
            max_queue=4,
            open_timeout=10,
            ping_interval=25,
            ping_timeout=10,
            logger=_quiet,
        )
    except OSError as error:
        raise PortTakenError(host, port, error) from None

    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        # Not by the library's own closing of connections: that waits for ever on a client that reads nothing.
        server.close(close_connections=False)
        for session in tuple(sessions):
            session.close(CloseCode.GOING_AWAY)
        await server.wait_closed()


def _select_subprotocol(socket: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol:
    if SUBPROTOCOL not in offered:
        raise NegotiationError(f"offer the subprotocol {SUBPROTOCOL}")
    return SUBPROTOCOL
