"""A small server of HTTP/2 over TLS, for the providers that speak it."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ConnectionTerminated, DataReceived, RequestReceived, StreamEnded, StreamReset
from h2.exceptions import StreamClosedError

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

_READ_BYTES = 65_536


@dataclass(frozen=True)
class Request:
    """What a client asked."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Reply:
    """What it is answered."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass
class _Stream:
    headers: Mapping[str, str]
    body: bytearray = field(default_factory=bytearray)


class Http2Server:
    """Answers requests, each beside the others.

    Args:
        handler: Answers a request; None: it is never answered.
    """

    def __init__(self, handler: Callable[[Request], Awaitable[Reply | None]]) -> None:
        self.connection_count = 0
        """How many connections there ever were."""

        self.port = 0
        self._handler = handler
        self._writers: set[asyncio.StreamWriter] = set()
        self._idle = asyncio.Event()

    @asynccontextmanager
    async def serve(self, context: ssl.SSLContext) -> AsyncIterator[None]:
        """Listens on a free port of this machine until the block ends."""
        async with asyncio.TaskGroup() as connections:

            def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                connections.create_task(self._speak(reader, writer))

            server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=context)
            self.port = server.sockets[0].getsockname()[1]
            try:
                yield
            finally:
                server.close()
                self.hang_up()

    @property
    def open_count(self) -> int:
        """How many connections are open."""
        return len(self._writers)

    async def all_closed(self) -> None:
        """Returns once no connection is open."""
        await self._idle.wait()

    def hang_up(self) -> None:
        """Cuts every connection, whatever is under way on it."""
        for writer in self._writers:
            writer.transport.abort()

    async def _speak(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connection_count += 1
        self._writers.add(writer)
        self._idle.clear()
        connection = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        connection.initiate_connection()
        streams: dict[int, _Stream] = {}
        answering: dict[int, asyncio.Task[None]] = {}
        async with asyncio.TaskGroup() as requests:
            # A cut connection is what some tests are about.
            with contextlib.suppress(ConnectionError):
                writer.write(connection.data_to_send())
                while data := await reader.read(_READ_BYTES):
                    for event in connection.receive_data(data):
                        match event:
                            case RequestReceived(stream_id=int(stream), headers=list(headers)):
                                streams[stream] = _Stream({str(name): str(value) for name, value in headers})
                            case DataReceived(stream_id=int(stream), data=bytes(chunk)):
                                connection.acknowledge_received_data(event.flow_controlled_length or 0, stream)
                                streams[stream].body += chunk
                            case StreamEnded(stream_id=int(stream)):
                                coroutine = self._answer(connection, writer, stream, streams.pop(stream))
                                task = answering[stream] = requests.create_task(coroutine)
                                task.add_done_callback(functools.partial(_forget, answering, stream))
                            case StreamReset(stream_id=int(stream)) if stream in answering:
                                answering[stream].cancel()
                            case ConnectionTerminated():
                                break
                    writer.write(connection.data_to_send())
            for task in answering.values():
                task.cancel()
        self._writers.discard(writer)
        if not self._writers:
            self._idle.set()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    async def _answer(
        self, connection: H2Connection, writer: asyncio.StreamWriter, stream: int, asked: _Stream
    ) -> None:
        headers = asked.headers
        reply = await self._handler(Request(headers[":method"], headers[":path"], headers, bytes(asked.body)))
        if reply is None or writer.is_closing():
            return
        with contextlib.suppress(StreamClosedError):
            connection.send_headers(stream, [(":status", str(reply.status)), *reply.headers.items()])
            connection.send_data(stream, reply.body, end_stream=True)
            writer.write(connection.data_to_send())


def _forget(answering: dict[int, asyncio.Task[None]], stream: int, _done: asyncio.Task[None]) -> None:
    answering.pop(stream, None)
