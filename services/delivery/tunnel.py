"""Connections with TLS for protocols of one's own, straight or through an HTTP proxy (RFC 9110, CONNECT)."""

from __future__ import annotations

import asyncio
import base64
from typing import TYPE_CHECKING, cast
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    import ssl

_MAX_ANSWER_BYTES = 16 * 1024
_CLOSE_S = 2.0


async def open_tls(
    protocol: asyncio.Protocol, host: str, port: int, *, context: ssl.SSLContext, proxy_url: str = ""
) -> None:
    """Connects a protocol to a host; cancelled, it leaves nothing open.

    Args:
        protocol: What gets the bytes; its ``connection_made`` was called when this returns.
        host: Whom to connect to, and whose certificate to ask for.
        port: Of that host.
        context: Whom to trust.
        proxy_url: The proxy, as http://user:password@proxy:3128. Empty: none.

    Raises:
        OSError: If there is no connection.
    """
    loop = asyncio.get_running_loop()
    if not proxy_url:
        await loop.create_connection(lambda: protocol, host, port, ssl=context, ssl_shutdown_timeout=_CLOSE_S)
        return
    proxy = urlsplit(proxy_url)
    tunnel = _Tunnel(_request(host, port, proxy.username, proxy.password))
    transport, _ = await loop.create_connection(lambda: tunnel, proxy.hostname or "", proxy.port or 80)
    try:
        await tunnel.opened
        # The tunnel stays until the protocol takes over: the host may speak first, while the handshake returns.
        secured = await loop.start_tls(transport, tunnel, context, server_hostname=host, ssl_shutdown_timeout=_CLOSE_S)
        if secured is None or tunnel.is_lost:
            raise ConnectionResetError("the connection was lost during the handshake")
    except BaseException:
        transport.abort()
        raise
    secured.set_protocol(protocol)
    protocol.connection_made(secured)
    if tunnel.received:
        protocol.data_received(tunnel.received)


def _request(host: str, port: int, username: str | None, password: str | None) -> bytes:
    lines = [f"CONNECT {host}:{port} HTTP/1.1", f"Host: {host}:{port}"]
    if username is not None:
        credentials = base64.b64encode(f"{unquote(username)}:{unquote(password or '')}".encode()).decode()
        lines.append(f"Proxy-Authorization: Basic {credentials}")
    return "\r\n".join((*lines, "", "")).encode()


class _Tunnel(asyncio.Protocol):
    """Asks a proxy for a tunnel, and keeps what comes through it before anybody listens."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self.received = b""
        self.is_lost = False
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not asked by isinstance: uvloop's transports are such by their methods alone.
        cast("asyncio.WriteTransport", transport).write(self._request)

    def data_received(self, data: bytes) -> None:
        self.received += data
        if self.opened.done():
            return
        head, ended, self.received = self.received.partition(b"\r\n\r\n")
        if not ended:
            self.received = head
            if len(head) > _MAX_ANSWER_BYTES:
                self.opened.set_exception(ConnectionRefusedError("the proxy does not answer as one"))
            return
        status_line = head.split(b"\r\n", 1)[0].decode(errors="replace")
        version, _, status = status_line.partition(" ")
        if not (version.startswith("HTTP/") and status.startswith("2")):
            self.opened.set_exception(ConnectionRefusedError(f"the proxy answers: {status_line[:100]}"))
        elif self.received:
            # Nobody has said who they are yet, so this must not pass for what comes through TLS.
            self.opened.set_exception(ConnectionRefusedError("the proxy says more than that it connects"))
        else:
            self.opened.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost = True
        if not self.opened.done():
            self.opened.set_exception(exc or ConnectionResetError("the proxy closed the connection"))
        if not self.opened.cancelled():
            # Read here, since whoever waited may be gone.
            self.opened.exception()
