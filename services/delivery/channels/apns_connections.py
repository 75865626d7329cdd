"""Connections to APNs: aioapns' own, by the classes that it publishes for it, where they would lose or keep too much.

aioapns 4.0 makes the request, its headers and its stream; what is overridden here has a public name. Left to itself

- it keeps an entry of ``request_streams`` for every push that succeeds, and of ``request_statuses`` for every error
  without a body: here nothing is kept once a stream has ended, whatever ended it;
- it waits for ever for an answer without a body, in two pieces, without ``apns-id``, or for a stream that was reset;
- it never gives back the flow-control window of what it reads, so that no error arrives any more after 64 KiB of them;
- a call that was cancelled breaks the connection when its answer comes, or keeps its slot if none does: here its stream
  is reset, and the connection gets no further push;
- a GOAWAY fails everything that is under way, and h2 reads nothing after one: here that frame is kept from h2, so that
  streams up to ``last_stream_id`` still get their answers, and later ones are known not to have been processed;
- it sends headers, and then finds that the body does not fit the window: here a connection is busy while a window is
  smaller than the largest payload, so that what the library sends always fits;
- it opens 1,000 streams before the server has said how many it allows, and stays at one or two where Apple allows one
  until it has authenticated the first: here the first SETTINGS are waited for, and h2 counts;
- a connection that is being closed still takes pushes, and one that dies while it is opened stays in the pool;
- a full pool asks again every 10 ms: here it is told;
- it sends again by itself what may have been sent (up to five times), unseen by the log: so the pool's
  ``send_notification`` is not used, but ``acquire``, and the connection's own;
- connections are closed after 10 idle seconds, which Apple takes for an attack: here they stay, and TCP's keep-alive
  finds the dead ones;
- its proxy is never told that a tunnel failed, waits for ever, and leaves the socket open: see ``tunnel.py``.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from typing import TYPE_CHECKING

from aioapns.common import NotificationResult
from aioapns.connection import APNsBaseConnectionPool, APNsTLSClientProtocol
from aioapns.exceptions import ConnectionClosed
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import DataReceived, RemoteSettingsChanged, ResponseReceived, StreamEnded, StreamReset
from h2.exceptions import ProtocolError
from hyperframe.exceptions import HyperframeError
from hyperframe.frame import Frame, GoAwayFrame

from services.delivery.payload_apns import MAX_PAYLOAD_BYTES
from services.delivery.tunnel import open_tls

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator, Mapping

    from aioapns.common import NotificationRequest
    from aioapns.connection import APNsBaseClientProtocol
    from h2.events import Event

    from services.delivery.provider_token import ProviderToken

MAX_CONNECTIONS = 4
CONNECT_S = 5.0
_CLOSE_S = 2.0
_FRAME_HEADER_BYTES = 9
_MAX_ANSWER_BYTES = 4096
# A dead peer is found within a minute, in an idle connection and in one that waits for an answer.
_KEEPALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 30_000}


class NotProcessed(Exception):
    """APNs has not taken the push, and says or shows so."""


class NoConnection(NotProcessed):
    """There is no connection, and why."""


class Result(NotificationResult):
    """APNs' answer, with the header that aioapns leaves out."""

    __slots__ = ("retry_after",)

    def __init__(self, headers: Mapping[bytes, bytes], body: bytes) -> None:
        said = _json_object(body)
        reason, timestamp = said.get("reason"), said.get("timestamp")
        texts = (headers.get(name, b"").decode(errors="replace") for name in (b"apns-id", b":status", b"retry-after"))
        notification_id, status, self.retry_after = texts
        super().__init__(
            notification_id,
            status,
            description=reason if isinstance(reason, str) else "",
            timestamp=timestamp if isinstance(timestamp, int) else None,
        )


class _Frames(H2Connection):
    """An HTTP/2 connection that remembers fewer of the streams that are over: late frames come soon."""

    MAX_CLOSED_STREAMS = 1024


class Connection(APNsTLSClientProtocol):
    """One connection to APNs.

    Args:
        pool: Is told what becomes of it.
        topic: The app, where a request names none.
        token: What authenticates, shared by all connections.
    """

    def __init__(self, pool: Connections, topic: str, token: ProviderToken) -> None:
        super().__init__(topic, auth_provider=token)  # type: ignore[arg-type] # it has the one method
        self.conn = _Frames()
        self.is_retired = False
        self.opened = asyncio.Event()
        self.closed = asyncio.Event()
        self._pool = pool
        self._received = bytearray()
        self._answers: dict[int, tuple[dict[bytes, bytes], bytes]] = {}

    @property
    def is_busy(self) -> bool:
        """Whether a push has to wait for another connection, or for room in this one."""
        window = min(self.conn.outbound_flow_control_window, self.conn.remote_settings.initial_window_size)
        return (
            super().is_busy
            or self.conn.open_outbound_streams >= self.conn.remote_settings.max_concurrent_streams
            or window < MAX_PAYLOAD_BYTES
        )

    async def send_notification(self, request: NotificationRequest) -> NotificationResult:
        """Sends a push and waits for its answer; to be called only while the connection is not busy.

        Raises:
            NotProcessed: If APNs has not taken it.
            ConnectionClosed: If the connection was lost before the answer came.
        """
        try:
            return await super().send_notification(request)
        except asyncio.CancelledError:
            self._give_up(request.notification_id)
            raise
        except ProtocolError as error:
            # Raised before all of it was sent; the stream may be half open, so nothing else goes this way.
            self.retire()
            raise NotProcessed(str(error)) from None

    def retire(self) -> None:
        """Takes no more pushes, and closes once those under way have their answers."""
        self.is_retired = True
        self._pool.retire(self)
        self._close_if_done()

    def refresh_inactivity_timer(self) -> None:
        """Does nothing: an idle connection is kept."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begins HTTP/2."""
        found = transport.get_extra_info("socket")
        found.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _KEEPALIVE.items():
            # Some are Linux's alone.
            if option := getattr(socket, name, None):
                found.setsockopt(socket.IPPROTO_TCP, option, value)
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Reads frame by frame, so that what came before a bad one counts, and so does what comes after a GOAWAY."""
        self._received += data
        try:
            for kind, frame in self._frames():
                if kind == GoAwayFrame.type:
                    self._go_away(frame)
                    continue
                for event in self.conn.receive_data(frame):
                    self._on_event(event)
        except (ProtocolError, HyperframeError):
            assert self.transport is not None
            self.transport.abort()
            return
        self.flush()
        self._close_if_done()
        self._pool.tell()

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends what is under way: nobody knows what became of it."""
        for notification_id in [name for name, answer in self.requests.items() if answer.done()]:
            # Their callers were cancelled and are about to say so.
            del self.requests[notification_id]
        self.request_streams.clear()
        self.retire()
        super().connection_lost(exc)
        self._answers.clear()
        self.closed.set()
        self.opened.set()
        self._pool.discard_connection(self)

    def _close_if_done(self) -> None:
        if self.is_retired and not self.request_streams:
            self.close()

    def _frames(self) -> Iterator[tuple[int, bytes]]:
        """Gives each frame that is complete, with its type."""
        while len(self._received) >= _FRAME_HEADER_BYTES:
            size = _FRAME_HEADER_BYTES + int.from_bytes(self._received[:3])
            if size > _FRAME_HEADER_BYTES + self.conn.max_inbound_frame_size:
                raise ProtocolError("the frame is larger than we allow")
            if len(self._received) < size:
                return
            frame = bytes(self._received[:size])
            del self._received[:size]
            yield frame[3], frame

    def _go_away(self, raw: bytes) -> None:
        frame, _ = Frame.parse_frame_header(memoryview(raw[:_FRAME_HEADER_BYTES]))
        assert isinstance(frame, GoAwayFrame)
        frame.parse_body(memoryview(raw[_FRAME_HEADER_BYTES:]))
        for stream_id in [one for one in self.request_streams if one > frame.last_stream_id]:
            self._fail(stream_id, NotProcessed(f"GOAWAY {_reason(frame.additional_data)}".strip()))
        self.retire()

    def _on_event(self, event: Event) -> None:
        match event:
            case ResponseReceived():
                headers = {bytes(name): bytes(value) for name, value in event.headers}
                self._answers[event.stream_id] = headers, b""
            case DataReceived():
                self.conn.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                headers, body = self._answers.get(event.stream_id, ({}, b""))
                self._answers[event.stream_id] = headers, (body + event.data)[:_MAX_ANSWER_BYTES]
            case StreamEnded():
                self._finish(event.stream_id)
            case StreamReset() if event.error_code == ErrorCodes.REFUSED_STREAM:
                self._fail(event.stream_id, NotProcessed("the stream was refused"))
            case StreamReset():
                self._fail(event.stream_id, ConnectionClosed(f"the stream was reset, code {event.error_code:d}"))
            case RemoteSettingsChanged():
                # h2 counts what is allowed; aioapns' own count would never again be higher than when it was raised.
                self.opened.set()

    def _finish(self, stream_id: int) -> None:
        headers, body = self._answers.pop(stream_id, ({}, b""))
        if answer := self._release(stream_id):
            answer.set_result(Result(headers, body))

    def _fail(self, stream_id: int, error: Exception) -> None:
        self._answers.pop(stream_id, None)
        if answer := self._release(stream_id):
            answer.set_exception(error)

    def _release(self, stream_id: int) -> asyncio.Future[NotificationResult] | None:
        """Frees the slot of a stream that is over, and gives what its caller waits for, if anybody waits."""
        notification_id = self.request_streams.pop(stream_id, None)
        if notification_id is None:
            return None
        self.free_channels.release()
        answer = self.requests.pop(notification_id, None)
        return answer if answer and not answer.done() else None

    def _give_up(self, notification_id: str) -> None:
        """Resets the stream of a push whose caller waits no longer."""
        for stream_id in [number for number, name in self.request_streams.items() if name == notification_id]:
            self._answers.pop(stream_id, None)
            self._release(stream_id)
            # Refused where the connection is broken and about to be lost.
            with contextlib.suppress(ProtocolError):
                self.conn.reset_stream(stream_id, ErrorCodes.CANCEL)
                self.flush()
        # One answer that does not come is seldom alone.
        self.retire()


class ProductionConnection(Connection):
    """A connection for apps from the store and from TestFlight."""

    APNS_SERVER = "api.push.apple.com"


class SandboxConnection(Connection):
    """A connection for apps that are being developed."""

    # What Apple calls it today; aioapns has its older name.
    APNS_SERVER = "api.sandbox.push.apple.com"


class Connections(APNsBaseConnectionPool):
    """The connections to one host, opened as they are needed; ``aclose`` ends them."""

    def __init__(
        self, kind: type[Connection], *, topic: str, token: ProviderToken, context: ssl.SSLContext, proxy_url: str = ""
    ) -> None:
        super().__init__(topic=topic, max_connections=MAX_CONNECTIONS)
        self._kind = kind
        self._topic = topic
        self._token = token
        self._context = context
        self._proxy_url = proxy_url
        self._retired: set[APNsBaseClientProtocol] = set()
        self._changed = asyncio.Event()
        self._is_connecting = False
        self._failed_count = 0
        self._failure = ""

    async def acquire(self) -> APNsBaseClientProtocol:
        """Gives a connection that has room now, opens one, or waits until one has room.

        Raises:
            NoConnection: If none could be opened meanwhile.
        """
        failed_before = self._failed_count
        while True:
            for connection in self.connections:
                if not connection.is_busy:
                    return connection
            if self._failed_count > failed_before:
                raise NoConnection(self._failure)
            if self._is_connecting or len(self.connections) >= self.max_connections:
                await self._changed.wait()
            else:
                await self._open()

    async def create_connection(self) -> Connection:
        """Opens a connection, up to its first SETTINGS.

        Raises:
            NoConnection: If that fails.
        """
        connection = self._kind(self, self._topic, self._token)
        host, port = connection.APNS_SERVER, connection.APNS_PORT
        try:
            async with asyncio.timeout(CONNECT_S):
                await open_tls(connection, host, port, context=self._context, proxy_url=self._proxy_url)
                await connection.opened.wait()
        except TimeoutError:
            raise NoConnection(f"no connection to {host} within {CONNECT_S:g} s") from None
        except OSError as error:
            raise NoConnection(f"no connection to {host}: {error}") from None
        finally:
            if connection.transport and not connection.opened.is_set():
                connection.transport.abort()
        if connection.is_retired:
            raise NoConnection(f"{host} closed the connection at once")
        return connection

    def discard_connection(self, connection: APNsBaseClientProtocol) -> None:
        """Forgets a connection that is closed."""
        if connection in self.connections:
            self.connections.remove(connection)
        self._retired.discard(connection)
        self.tell()

    def retire(self, connection: Connection) -> None:
        """Gives no more pushes to a connection, and its place to another."""
        self.discard_connection(connection)
        self._retired.add(connection)

    def tell(self) -> None:
        """Lets those who wait for room look again."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def aclose(self) -> None:
        """Closes all connections, and waits until they are."""
        connections = [one for one in {*self.connections, *self._retired} if isinstance(one, Connection)]
        for connection in connections:
            connection.retire()
            connection.close()
        try:
            async with asyncio.timeout(_CLOSE_S):
                for connection in connections:
                    await connection.closed.wait()
        except TimeoutError:
            for connection in connections:
                if connection.transport:
                    connection.transport.abort()
                await connection.closed.wait()

    async def _open(self) -> None:
        self._is_connecting = True
        try:
            self.connections.append(await self.create_connection())
        except NoConnection as error:
            # All who wait now fail with it; otherwise each would find out for itself, one after the other.
            self._failed_count += 1
            self._failure = str(error)
        finally:
            self._is_connecting = False
            self.tell()


def _json_object(raw: bytes) -> dict[str, object]:
    try:
        found = json.loads(raw)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _reason(additional_data: bytes) -> str:
    reason = _json_object(additional_data).get("reason")
    return reason if isinstance(reason, str) else ""
