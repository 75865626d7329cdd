"""APNs, as far as pushes need it, on loopback: HTTP/2 over TLS, behind a proxy that tunnels to Apple's two hosts.

Every push is checked as Apple does it (the provider token, its age, the host, the size) and kept as it came;
what else becomes of it is for a test to say.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import ConnectionTerminated, DataReceived, RequestReceived, StreamEnded, StreamReset, WindowUpdated
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings
from pydantic import SecretStr

from services.delivery.settings import ApnsSettings
from tests.providers.authority import Authority

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence
    from pathlib import Path

PRODUCTION = "api.push.apple.com"
SANDBOX = "api.sandbox.push.apple.com"
KEY_ID = "ABC123DEFG"
TEAM_ID = "DEF123GHIJ"
TOPIC = "com.example.app"
MAX_PAYLOAD_BYTES = 4096
_MAX_TOKEN_AGE_S = 3600
_MAX_SKEW_S = 5


@dataclass(frozen=True)
class Push:
    """A push as it came."""

    host: str
    connection: int
    """Which one of all connections, counted from 1."""

    device: str
    headers: Mapping[str, str]
    payload: Mapping[str, Any]


@dataclass(frozen=True)
class Reply:
    """What becomes of a push that is as it must be."""

    status: int = 200
    reason: str = ""
    timestamp: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    """In place of the JSON of reason and timestamp."""

    with_id: bool = True


ACCEPTED = Reply()
SILENCE = Reply(status=0)
"""The push is taken, and never answered."""

CUT = Reply(status=-1)
"""The push is taken, and the connection ends."""

RESET = Reply(status=-2)
"""The stream is reset, after the push was read."""

REFUSED = Reply(status=-3)
"""The stream is reset, with the word that nothing was done with it."""


@dataclass
class Apns:
    """Apple's side; ``settings`` reach it.

    What is set here holds for connections that are opened later.
    """

    directory: Path
    answer: Callable[[Push], Reply] = lambda _: ACCEPTED
    max_streams: int = 1000
    stream_window: int = 65_535
    gives_window_back: bool = True
    """Whether what was read makes room in the connection for more."""

    greets: bool = True
    """Whether a connection begins with SETTINGS, without which no client knows what it may do."""

    proxy_answer: bytes = b"HTTP/1.1 200 Connection established\r\n\r\n"
    """Anything but a 2xx refuses; nothing: the proxy never answers."""

    proxy_credentials: str = ""
    pushes: list[Push] = field(default_factory=list)
    provider_tokens: set[str] = field(default_factory=set)
    tunnels: list[str] = field(default_factory=list)
    """The hosts that were asked for, in order."""

    pushed: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    """Released by each push as it has come."""

    port: int = 0

    def __post_init__(self) -> None:
        self.authority = Authority(self.directory)
        self.contexts: dict[str, ssl.SSLContext] = {
            host: self.authority.server_context(host, alpn="h2") for host in (PRODUCTION, SANDBOX)
        }
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.key_file = self.directory / f"AuthKey_{KEY_ID}.p8"
        self.key_file.write_bytes(
            self.key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        self.connections: dict[int, _Connection] = {}
        """Those that are open."""

        self.connection_count = 0
        self.keeps_pushes = True
        self.is_quiet = asyncio.Event()

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[Apns]:
        """Listens on a free port of this machine until the block ends."""
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as tasks:
            server = await loop.create_server(lambda: _Proxy(self, tasks), "127.0.0.1", 0)
            self.port = server.sockets[0].getsockname()[1]
            try:
                yield self
            finally:
                server.close()
                for connection in list(self.connections.values()):
                    connection.abort()

    def settings(self, **changed: Any) -> ApnsSettings:
        """Gives the settings of a worker that pushes to this server."""
        credentials = f"{self.proxy_credentials}@" if self.proxy_credentials else ""
        made: dict[str, Any] = {
            "key_file": self.key_file,
            "key_id": KEY_ID,
            "team_id": TEAM_ID,
            "topic": TOPIC,
            "proxy_url": SecretStr(f"http://{credentials}127.0.0.1:{self.port}"),
            "ca_file": self.authority.ca_file,
        }
        return ApnsSettings(**made | changed)

    def of(self, device: str) -> list[Push]:
        """Gives what was pushed to a device."""
        return [push for push in self.pushes if push.device == device]

    def refusal(self, push: Push, size: int) -> Reply | None:
        """Gives what is wrong with a push, in the order in which Apple looks."""
        scheme, _, token = push.headers.get("authorization", "").partition(" ")
        if scheme != "bearer" or not token:
            return Reply(403, "MissingProviderToken")
        self.provider_tokens.add(token)
        try:
            claims = jwt.decode(
                token, self.key.public_key(), algorithms=["ES256"], options={"verify_iat": False, "verify_exp": False}
            )
        except jwt.InvalidTokenError:
            return Reply(403, "InvalidProviderToken")
        header = jwt.get_unverified_header(token)
        age = time.time() - claims["iat"]
        if claims != {"iss": TEAM_ID, "iat": claims["iat"]} or header["kid"] != KEY_ID or age < -_MAX_SKEW_S:
            return Reply(403, "InvalidProviderToken")
        if age > _MAX_TOKEN_AGE_S:
            return Reply(403, "ExpiredProviderToken")
        if push.headers.get("host", push.headers.get(":authority")) != push.host:
            return Reply(400, "BadRequest")
        if size > MAX_PAYLOAD_BYTES:
            return Reply(413, "PayloadTooLarge")
        if len(push.headers.get("apns-collapse-id", "").encode()) > 64:
            return Reply(400, "BadCollapseId")
        if not re.fullmatch("[0-9a-f]+", push.device) or set(push.device) == {"0"}:
            return Reply(400, "BadDeviceToken")
        return None


class _Proxy(asyncio.Protocol):
    """One connection, up to its tunnel."""

    def __init__(self, apns: Apns, tasks: asyncio.TaskGroup) -> None:
        self._apns = apns
        self._tasks = tasks
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not asked by isinstance: uvloop's transports are such by their methods alone.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        if b"\r\n\r\n" not in self._received or not self._apns.proxy_answer:
            return
        request, *headers = self._received.decode().split("\r\n")
        method, target, _ = request.split(" ")
        host, _, port = target.partition(":")
        assert (method, port, self._apns.contexts.get(host) is not None) == ("CONNECT", "443", True), request
        self._apns.tunnels.append(host)
        credentials = base64.b64encode(self._apns.proxy_credentials.encode()).decode()
        if self._apns.proxy_credentials and f"Proxy-Authorization: Basic {credentials}" not in headers:
            self._transport.write(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
            self._transport.close()
            return
        self._transport.write(self._apns.proxy_answer)
        if b" 200 " not in self._apns.proxy_answer:
            self._transport.close()
            return
        self._tasks.create_task(self._secure(host))

    async def _secure(self, host: str) -> None:
        connection = _Connection(self._apns, host)
        try:
            secured = await asyncio.get_running_loop().start_tls(
                self._transport, connection, self._apns.contexts[host], server_side=True, ssl_shutdown_timeout=1
            )
        except OSError:
            # As of a client that does not trust this authority.
            self._transport.abort()
            return
        if secured:
            connection.connection_made(secured)


@dataclass
class _Stream:
    headers: dict[str, str]
    body: bytes = b""


class _Frames(H2Connection):
    """One that remembers few of the streams that are over, so that a soak measures its client."""

    MAX_CLOSED_STREAMS = 1024


class _Connection(asyncio.Protocol):
    """One connection with a client."""

    def __init__(self, apns: Apns, host: str) -> None:
        self._apns = apns
        self._host = host
        self._streams: dict[int, _Stream] = {}
        self._early = b""
        self._transport: asyncio.Transport | None = None
        self.waiting: dict[int, str] = {}
        """The pushes that were not answered, by stream, with their apns-id."""

        self.unread = 0
        """How many bytes the client was not given room for again."""

        self.conn = _Frames(H2Configuration(client_side=False, header_encoding="utf-8"))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not asked by isinstance: uvloop's transports are such by their methods alone.
        self._transport = cast("asyncio.Transport", transport)
        self._apns.connection_count += 1
        self._number = self._apns.connection_count
        self._apns.connections[self._number] = self
        self.conn.local_settings = Settings(
            client=False,
            initial_values={
                SettingCodes.MAX_CONCURRENT_STREAMS: self._apns.max_streams,
                SettingCodes.INITIAL_WINDOW_SIZE: self._apns.stream_window,
            },
        )
        self.conn.initiate_connection()
        if not self._apns.greets:
            return
        self.flush()
        if self._early:
            self.data_received(self._early)

    def data_received(self, data: bytes) -> None:
        if self._transport is None or not self._apns.greets:
            self._early += data
            return
        try:
            events = self.conn.receive_data(data)
        except ProtocolError:
            self.abort()
            raise
        for event in events:
            match event:
                case RequestReceived():
                    headers = {str(name): str(value) for name, value in event.headers}
                    self._streams[event.stream_id] = _Stream(headers)
                case DataReceived():
                    if self._apns.gives_window_back:
                        self.conn.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                    else:
                        self.unread += event.flow_controlled_length
                    self._streams[event.stream_id].body += event.data
                case StreamEnded():
                    self._take(event.stream_id, self._streams.pop(event.stream_id))
                case StreamReset():
                    self.waiting.pop(event.stream_id, None)
                    self._streams.pop(event.stream_id, None)
                case WindowUpdated() | ConnectionTerminated():
                    pass
        self.flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self._apns.connections.pop(self._number, None)

    def babble(self) -> None:
        """Writes what is no HTTP/2."""
        assert self._transport is not None
        self._transport.write(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 1000)

    def flush(self) -> None:
        """Writes what is to be said."""
        assert self._transport is not None
        self._transport.write(self.conn.data_to_send())

    def abort(self) -> None:
        """Cuts the connection."""
        assert self._transport is not None
        self._transport.abort()

    def give_window_back(self) -> None:
        """Makes room for as much as was read."""
        self.conn.increment_flow_control_window(self.unread)
        self.unread = 0
        self.flush()

    def allow_streams(self, count: int) -> None:
        """Says that the client may open so many streams at once."""
        self.conn.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: count})
        self.flush()

    def reply(self, stream_id: int, reply: Reply, apns_id: str) -> None:
        """Answers a push."""
        if reply.status == 0:
            self.waiting[stream_id] = apns_id
            return
        self.waiting.pop(stream_id, None)
        match reply.status:
            case -1:
                self.abort()
                return
            case -2 | -3:
                code = ErrorCodes.INTERNAL_ERROR if reply is RESET else ErrorCodes.REFUSED_STREAM
                self.conn.reset_stream(stream_id, code)
                return
        said = {"reason": reply.reason} | ({} if reply.timestamp is None else {"timestamp": reply.timestamp})
        body = reply.body if reply.body is not None else json.dumps(said).encode() if reply.reason else b""
        own = {":status": str(reply.status)} | ({"apns-id": apns_id} if reply.with_id else {})
        self.conn.send_headers(stream_id, [*own.items(), *reply.headers.items()], end_stream=not body)
        if body:
            # In two pieces: nobody promises one.
            self.conn.send_data(stream_id, body[:9])
            self.conn.send_data(stream_id, body[9:], end_stream=True)

    def answer_waiting(self, reply: Reply) -> None:
        """Answers all pushes that wait."""
        for stream_id, apns_id in list(self.waiting.items()):
            self.reply(stream_id, reply, apns_id)
        self.flush()

    def go_away(self, last_stream_id: int, *later: tuple[int, Reply], reason: str = "Shutdown") -> None:
        """Says that streams above are not processed, and in the same breath answers some of those that are."""
        told = self.conn.data_to_send()
        payload = last_stream_id.to_bytes(4) + bytes(4) + json.dumps({"reason": reason}).encode()
        # By hand, because h2 says nothing more after its own.
        told += len(payload).to_bytes(3) + b"\x07\x00" + bytes(4) + payload
        for stream_id, reply in later:
            self.reply(stream_id, reply, self.waiting[stream_id])
            told += self.conn.data_to_send()
        assert self._transport is not None
        self._transport.write(told)

    def _take(self, stream_id: int, stream: _Stream) -> None:
        device = stream.headers[":path"].removeprefix("/3/device/")
        push = Push(self._host, self._number, device, stream.headers, json.loads(stream.body))
        refusal = self._apns.refusal(push, len(stream.body))
        if self._apns.keeps_pushes:
            self._apns.pushes.append(push)
        self.reply(stream_id, refusal or self._apns.answer(push), stream.headers["apns-id"])
        self._apns.pushed.release()


def open_streams(apns: Apns) -> Sequence[int]:
    """Gives how many streams each connection has open."""
    return [connection.conn.open_inbound_streams for connection in apns.connections.values()]
