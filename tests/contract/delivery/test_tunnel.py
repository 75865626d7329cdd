"""Connections through a proxy: what arrives before anybody listens."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, cast

from services.delivery.tunnel import open_tls
from tests.providers.authority import Authority

if TYPE_CHECKING:
    from pathlib import Path

HOST = "api.example.com"


class _EagerHost(asyncio.Protocol):
    """A proxy and the host behind it; the host speaks in the same packet in which it ends its handshake."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._is_open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if data.startswith(b"CONNECT "):
            self._transport.write(b"HTTP/1.1 200 OK\r\n\r\n")
            return
        self._incoming.write(data)
        if self._is_open:
            self._transport.abort()
            return
        try:
            self._tls.do_handshake()
            self._tls.write(b"early")
            self._is_open = True
        except ssl.SSLWantReadError:
            pass
        self._transport.write(self._outgoing.read())


class _Listener(asyncio.Protocol):
    """Keeps what it gets, in order."""

    def __init__(self) -> None:
        self.seen: list[object] = []
        self.heard = asyncio.Event()
        self.lost = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.seen.append("made")
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self.seen.append(data)
        self.heard.set()
        self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set()


async def test_a_host_may_speak_first(tmp_path: Path) -> None:
    """What comes with the end of the handshake arrives, after the protocol knows its connection."""
    authority = Authority(tmp_path)
    hosts = authority.server_context(HOST, alpn="h2")
    # Where the host is the last to speak in the handshake.
    hosts.maximum_version = ssl.TLSVersion.TLSv1_2
    server = await asyncio.get_running_loop().create_server(lambda: _EagerHost(hosts), "127.0.0.1", 0)
    async with server:
        proxy_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        listener = _Listener()
        context = ssl.create_default_context(cafile=authority.ca_file)
        await open_tls(listener, HOST, 443, context=context, proxy_url=proxy_url)
        await listener.heard.wait()
        await listener.lost.wait()

    assert listener.seen == ["made", b"early"]
