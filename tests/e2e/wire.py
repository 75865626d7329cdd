"""A socket of `carillon.v1` without a library: it sends what a library would not, and reads strictly."""

from __future__ import annotations

import asyncio
import json
from typing import Any

PATIENCE_S = 60
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
HANDSHAKE = (
    b"GET /v1/inbox HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Protocol: carillon.v1\r\n\r\n"
)


def frame(
    payload: bytes,
    opcode: int = TEXT,
    *,
    fin: bool = True,
    rsv: int = 0,
    masked: bool = True,
    length: int | None = None,
) -> bytes:
    """Makes one frame of WebSocket; its mask is zero, so that the payload can be read in it.

    Args:
        payload: What it holds.
        opcode: What it is; any of 0 to 15.
        fin: Whether it is the last of its message.
        rsv: The reserved bits, which must be 0.
        masked: Whether it is, which a client's must be.
        length: What it says its length is, where that is not so.
    """
    size = len(payload) if length is None else length
    mask = 0x80 if masked else 0
    head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
    if size < 126:
        head += bytes([mask | size])
    elif size < 1 << 16:
        head += bytes([mask | 126]) + size.to_bytes(2, "big")
    else:
        head += bytes([mask | 127]) + size.to_bytes(8, "big")
    return head + (bytes(4) if masked else b"") + payload


class Wire:
    """One connection; ``close_code`` is None for as long as the gateway has sent none."""

    close_code: int | None = None

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._is_ended = False

    @classmethod
    async def connect(cls, port: int) -> Wire:
        """Opens a connection, and says nothing yet."""
        return cls(*await asyncio.open_connection("127.0.0.1", port, limit=1 << 20))

    def send(self, data: bytes) -> None:
        """Sends bytes as they are; nothing after the end."""
        if not self._is_ended:
            self._writer.write(data)

    def send_eof(self) -> None:
        """Says that nothing more comes."""
        self._is_ended = True
        self._writer.write_eof()

    async def status(self) -> int | None:
        """Reads the head of the answer to a handshake and gives its status; None: the connection ended without one."""
        async with asyncio.timeout(PATIENCE_S):
            try:
                head = await self._reader.readuntil(b"\r\n\r\n")
            except (asyncio.IncompleteReadError, ConnectionError):
                return None
        version, status, *_ = head.split(b" ", 2)
        assert version == b"HTTP/1.1", head
        return int(status)

    async def receive(self) -> dict[str, Any] | None:
        """Gives the next message, which must be an object in JSON; None: the connection is closed, or was cut."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                try:
                    opcode, payload = await self._read_frame()
                except (asyncio.IncompleteReadError, ConnectionError):
                    return None
                if opcode == PING:
                    self.send(frame(payload, PONG))
                elif opcode == CLOSE:
                    self.close_code = int.from_bytes(payload[:2], "big") if payload else 1005
                    self.send(frame(payload[:2], CLOSE))
                    return None
                elif opcode != PONG:
                    assert opcode == TEXT, f"opcode {opcode}"
                    body = json.loads(payload.decode(), parse_constant=_refuse_constant)
                    assert isinstance(body, dict), body
                    return body

    def cut(self) -> None:
        """Ends the connection without a word."""
        self._writer.transport.abort()

    async def _read_frame(self) -> tuple[int, bytes]:
        first, second = await self._reader.readexactly(2)
        assert first & 0xF0 == 0x80, "it is whole, and no reserved bit is set"
        assert second < 128, "no frame of a server is masked"
        size = second
        if second >= 126:
            size = int.from_bytes(await self._reader.readexactly(2 if second == 126 else 8), "big")
        return first & 0x0F, await self._reader.readexactly(size)


def _refuse_constant(name: str) -> None:
    raise AssertionError(f"{name} is not JSON")
