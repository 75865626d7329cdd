"""Clients of the gateway that cost next to nothing: hundreds of them leave a small machine to what is tested."""

from __future__ import annotations

import asyncio
import json
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

from websockets.frames import Opcode

from services.kernel.auth import user_hash
from tests.contract.gateway.world import HANDSHAKE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tests.e2e.stack import Stack

_OPENED_S = 30


class LightClient(asyncio.Protocol):
    """One connection, as its own transport calls it.

    Args:
        hello: What it says first.
        on_frame: Takes every frame after the welcome.
    """

    def __init__(self, hello: dict[str, Any], on_frame: Callable[[dict[str, Any]], None]) -> None:
        self.welcome: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        """The first frame."""

        self.close_code: int | None = None
        """What the gateway ended it with; 1006: without a word; None: it is open."""

        self.ended = asyncio.Event()
        self._hello = hello
        self._on_frame = on_frame
        self._data = b""
        self._is_upgraded = False
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Asks for the upgrade."""
        # uvloop's is one by its methods alone.
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(HANDSHAKE.encode())

    def data_received(self, data: bytes) -> None:
        """Takes what is there of frames."""
        self._data += data
        if not self._is_upgraded:
            head, end, rest = self._data.partition(b"\r\n\r\n")
            if not end:
                return
            assert head.startswith(b"HTTP/1.1 101 "), head
            self._is_upgraded = True
            self._data = rest
            self._send(Opcode.TEXT, json.dumps({"type": "hello", **self._hello}).encode())

        at = 0
        while (found := _frame_at(self._data, at)) is not None:
            opcode, payload, at = found
            self._take(opcode, payload)
        self._data = self._data[at:]

    def connection_lost(self, error: Exception | None) -> None:
        """Notes the end."""
        self.close_code = self.close_code or 1006
        self.ended.set()
        if not self.welcome.done():
            self.welcome.set_exception(ConnectionError(f"no welcome, but {self.close_code}"))

    def stall(self) -> None:
        """Reads nothing from now on."""
        self._transport.pause_reading()

    def read_on(self) -> None:
        """Reads again."""
        self._transport.resume_reading()

    def abort(self) -> None:
        """Ends it at once."""
        self._transport.abort()

    def _take(self, opcode: int, payload: bytes) -> None:
        match opcode:
            case Opcode.TEXT if self.welcome.done():
                self._on_frame(json.loads(payload))
            case Opcode.TEXT:
                self.welcome.set_result(json.loads(payload))
            case Opcode.CLOSE:
                self.close_code = int.from_bytes(payload[:2])
                self._send(Opcode.CLOSE, payload[:2])
            case Opcode.PING:
                self._send(Opcode.PONG, payload)

    def _send(self, opcode: int, payload: bytes) -> None:
        size = len(payload)
        length = bytes([0x80 | size]) if size < 126 else b"\xfe" + size.to_bytes(2)
        # A client must mask; with zeros the bytes stay what they are.
        self._transport.write(bytes([0x80 | opcode]) + length + bytes(4) + payload)


@asynccontextmanager
async def light_client(
    stack: Stack,
    user_id: str,
    on_frame: Callable[[dict[str, Any]], None],
    *,
    cursor: str = "",
    is_narrow: bool = False,
) -> AsyncIterator[LightClient]:
    """Connects and takes the welcome.

    Args:
        stack: Where the gateway is.
        user_id: Whose session it is.
        on_frame: Takes every frame after the welcome.
        cursor: Where to go on.
        is_narrow: Whether the systems on both sides keep little for a client that does not read: over loopback, where
            segments are large, they would keep megabytes.
    """
    credentials = {
        "client_id": stack.client_id,
        "user_id": user_id,
        "user_hash": user_hash(stack.client_secret, user_id),
    }
    # A large welcome would widen what the system keeps for a client.
    hello = {**credentials, "cursor": cursor, "limit": 1}
    connected = socket.socket()
    if is_narrow:
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1000)
    connected.setblocking(False)
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(_OPENED_S):
            await loop.sock_connect(connected, ("127.0.0.1", stack.ws_port))
            _, client = await loop.create_connection(lambda: LightClient(hello, on_frame), sock=connected)
            await client.welcome
    except BaseException:
        connected.close()
        raise
    try:
        yield client
    finally:
        client.abort()


def _frame_at(data: bytes, at: int) -> tuple[int, bytes, int] | None:
    """Gives opcode, payload and end of the frame that begins there, or None where it is not whole."""
    if len(data) < at + 2:
        return None
    opcode, size = data[at] & 0x0F, data[at + 1]
    at += 2
    if size >= 126:
        wide = 2 if size == 126 else 8
        if len(data) < at + wide:
            return None
        size = int.from_bytes(data[at : at + wide])
        at += wide
    if len(data) < at + size:
        return None
    return opcode, data[at : at + size], at + size
