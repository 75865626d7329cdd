"""The websocket server: paths, the handshake, its limits, and a stop that ends every session."""

from __future__ import annotations

import asyncio
import json
import logging
import random
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import structlog
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import NegotiationError
from websockets.frames import Frame
from websockets.protocol import State
from websockets.typing import Subprotocol

from gateway.closes import CloseCode
from gateway.frames import MAX_FRAME_BYTES
from gateway.notificationapi.handshake import HandshakeRefusedError, read_hello, unavailable
from gateway.origins import is_allowed
from services.kernel.rate import TokenBucket
from services.kernel.server import PortTakenError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from websockets.asyncio.server import Server
    from websockets.http11 import Request, Response
    from websockets.protocol import Event

    from gateway.frames import Hello
    from gateway.session import Limits, Session

    MakeSession = Callable[[ServerConnection, Hello | None], Session]
    Admit = Callable[[Hello], Awaitable[None]]

INBOX_PATH = "/v1/inbox"
HEALTH_PATH = "/healthz"
SUBPROTOCOL = Subprotocol("carillon.v1")
MAX_CONNECTIONS = 20_000
DRAIN_S = 5.0
_CLOSES_PER_S = 200
_RETRY_AFTER_S = "5"
# What a connection holds that its client does not read, beyond the frame that is leaving. More would be more to drop.
_WRITE_BUFFER_BYTES = 16 * 1024
# At so many times a limit a connection is cut without a word: who gets there does not wait for words.
_CUT_AT = 5

_log = structlog.get_logger(__name__)

# The library logs every connection and every failed handshake, with a traceback; our sessions log themselves.
_quiet = logging.getLogger("gateway.websockets")
_quiet.setLevel(logging.CRITICAL)


class WebsocketServer:
    """Takes connections until it is drained; made by ``serve_websockets``."""

    def __init__(
        self,
        make_session: MakeSession,
        *,
        admit: Admit | None,
        is_healthy: Callable[[], bool],
        limits: Limits,
        allowed_origins: Sequence[str],
        max_connections: int,
    ) -> None:
        self.is_stopping = False
        self._make_session = make_session
        self._admit = admit
        self._is_healthy = is_healthy
        self._limits = limits
        self._allowed_origins = allowed_origins
        self._max_connections = max_connections
        self._connections: set[ServerConnection] = set()
        self._sessions: dict[Session, None] = {}
        self._server: Server

    @property
    def port(self) -> int:
        """Where it listens."""
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def listen(self, host: str, port: int, *, reuse_port: bool) -> None:
        """Begins; called once."""
        try:
            self._server = await serve(
                self._handle,
                host,
                port,
                process_request=self._process_request,
                select_subprotocol=_select_subprotocol,
                compression=None,  # costs 3.5 times the memory
                max_size=MAX_FRAME_BYTES,
                max_queue=4,
                write_limit=_WRITE_BUFFER_BYTES,
                open_timeout=10,
                close_timeout=self._limits.close_timeout_s,
                ping_interval=self._limits.ping_interval_s,
                ping_timeout=self._limits.ping_timeout_s,
                create_connection=self._connect,  # type: ignore[arg-type]  # it is called, nothing else
                logger=_quiet,
                reuse_port=reuse_port,
            )
        except OSError as error:
            raise PortTakenError(host, port, error) from None

    async def drain(self, over_s: float) -> None:
        """Takes no more connections, and ends the sessions, in any order over that time; few do not take as long."""
        self.is_stopping = True
        # Not by the library's own closing of connections: that waits for ever on a client that reads nothing.
        self._server.close(close_connections=False)
        loop = asyncio.get_running_loop()
        begun = loop.time()
        sessions = list(self._sessions)
        random.shuffle(sessions)
        for session, at_s in zip(sessions, spread(len(sessions), over_s=over_s), strict=True):
            if (wait_s := begun + at_s - loop.time()) > 0:
                await asyncio.sleep(wait_s)
            session.close(CloseCode.GOING_AWAY)
        for connection in tuple(self._connections):
            if connection.state is State.CONNECTING:
                connection.transport.abort()
        await self._server.wait_closed()

    def _connect(self, *arguments: Any, **options: Any) -> ServerConnection:
        return _Connection(
            *arguments,
            connections=self._connections,
            max_connections=_CUT_AT * self._max_connections,
            limits=self._limits,
            **options,
        )

    async def _handle(self, socket: ServerConnection) -> None:
        session = self._make_session(socket, _hello_of(socket))
        if self.is_stopping:
            session.close(CloseCode.GOING_AWAY)
        self._sessions[session] = None
        try:
            await session.run()
        except Exception:
            # A defect. The library closes with 1011, and is quiet about it.
            _log.exception("session_failed")
            raise
        finally:
            del self._sessions[session]

    async def _process_request(self, socket: ServerConnection, request: Request) -> Response | None:
        path = _path(request.path)
        if path == HEALTH_PATH:
            if self.is_stopping:
                return socket.respond(503, "the gateway stops\n")
            if not self._is_healthy():
                return socket.respond(503, "no events from MongoDB\n")
            return socket.respond(200, "ok\n")
        try:
            hello = read_hello(request.path) if self._admit and path != INBOX_PATH else None
        except HandshakeRefusedError as refusal:
            return _refuse(socket, refusal)
        if path != INBOX_PATH and hello is None:
            return socket.respond(404, f"there is nothing here; the inbox is at {INBOX_PATH}\n")
        if self._allowed_origins and not is_allowed(request.headers.get_all("Origin"), self._allowed_origins):
            return socket.respond(403, "pages of this origin may not connect; CARILLON_ALLOWED_ORIGINS names who may\n")
        if len(self._connections) > self._max_connections:
            response = socket.respond(503, "too many connections; come back in a moment\n")
            response.headers["Retry-After"] = _RETRY_AFTER_S
            return response
        if self._admit and hello and isinstance(socket, _Connection):
            try:
                await socket.while_connected(self._admit(hello))
            except HandshakeRefusedError as refusal:
                return _refuse(socket, refusal)
            socket.hello = hello
        return None


class _Connection(ServerConnection):
    """Is counted from its first byte to its last, and counts what the protocol never sees.

    That is what the library answers by itself, whether or not the answers are read (pings), and what it puts together
    or keeps back (fragments, and all the frames of one read).

    Args:
        connections: All of the server, itself included for as long as it is there.
        max_connections: How many there may be before the next ones are cut.
        limits: How often the protocol lets a client send.
    """

    def __init__(
        self,
        *arguments: Any,
        connections: set[ServerConnection],
        max_connections: int,
        limits: Limits,
        **options: Any,
    ) -> None:
        super().__init__(*arguments, **options)
        self.hello: Hello | None = None
        """Whom the address names; None: it is a socket of ours, and its first frame says so."""

        self._connections = connections
        self._max_connections = max_connections
        self._patience: asyncio.Timeout | None = None
        self._rate = TokenBucket(per_s=_CUT_AT * limits.frames_per_s, burst=_CUT_AT * limits.frames_burst)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._connections.add(self)
        if len(self._connections) > self._max_connections:
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self)
        if self._patience:
            self._patience.reschedule(self.loop.time())
        super().connection_lost(exc)

    async def while_connected(self, work: Awaitable[None]) -> None:
        """Does what a handshake waits for; raises HandshakeRefusedError where the client is gone before it is done."""
        try:
            async with asyncio.timeout(None if self.state is State.CONNECTING else 0) as self._patience:
                await work
        except TimeoutError:
            raise unavailable("the client is gone") from None
        finally:
            self._patience = None

    def process_event(self, event: Event) -> None:
        if isinstance(event, Frame) and not self._rate.take(self.loop.time()):
            self.transport.abort()
            return
        super().process_event(event)


@asynccontextmanager
async def serve_websockets(
    make_session: MakeSession,
    *,
    host: str,
    port: int,
    is_healthy: Callable[[], bool],
    limits: Limits,
    allowed_origins: Sequence[str] = (),
    max_connections: int = MAX_CONNECTIONS,
    reuse_port: bool = False,
    admit: Admit | None = None,
) -> AsyncIterator[WebsocketServer]:
    """Serves inside of ``async with``; at its end all sessions that are left are closed at once.

    Args:
        make_session: Makes what serves a connection, with the hello of its address where that has one.
        host: The address to listen on.
        port: 0 takes a free one.
        is_healthy: Tells what ``/healthz`` answers.
        limits: What one connection may cost.
        allowed_origins: The origins of the pages that may connect; any, if there are none.
        max_connections: How many connections there may be, those included that have not asked for anything yet.
        reuse_port: Whether other processes may listen on the port too.
        admit: Checks the credentials of an address that has some; None: there are no such addresses.

    Raises:
        PortTakenError: If it cannot listen there.
    """
    server = WebsocketServer(
        make_session,
        admit=admit,
        is_healthy=is_healthy,
        limits=limits,
        allowed_origins=allowed_origins,
        max_connections=max_connections,
    )
    await server.listen(host, port, reuse_port=reuse_port)
    try:
        yield server
    finally:
        await server.drain(0)


def spread(count: int, *, over_s: float) -> list[float]:
    """Gives when each of so many sessions is closed: evenly, and no slower than 200 a second.

    All of them come back, each for a welcome, so that they should not come at once; few may.
    """
    step_s = min(over_s / max(count, 1), 1 / _CLOSES_PER_S)
    return [step_s * number for number in range(count)]


def _path(target: str) -> str:
    """Gives the path of a request; empty where its target is none that a URL can have."""
    try:
        return urlsplit(target).path
    except ValueError:
        return ""


def _hello_of(socket: ServerConnection) -> Hello | None:
    return socket.hello if isinstance(socket, _Connection) else None


def _refuse(socket: ServerConnection, refusal: HandshakeRefusedError) -> Response:
    response = socket.respond(refusal.status, json.dumps(refusal.body))
    del response.headers["Content-Type"]
    response.headers["Content-Type"] = "application/json"
    if refusal.retry_after_s:
        response.headers["Retry-After"] = str(refusal.retry_after_s)
    return response


def _select_subprotocol(socket: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    if _hello_of(socket):
        return None
    if SUBPROTOCOL not in offered:
        raise NegotiationError(f"offer the subprotocol {SUBPROTOCOL}")
    return SUBPROTOCOL
