"""Connections to addresses that others chose: to the public internet only, decided where a connection is opened.

A check of the URL before would not do: a name may resolve to something else a moment later. So aiohttp is given a
resolver that leaves private addresses out, and a factory of sockets that sees every address right before it is
connected to: also those of URLs with an address in place of a name, for which aiohttp asks no resolver.
"""

from __future__ import annotations

import errno
import socket
from ipaddress import IPv4Address, IPv6Network, ip_address
from typing import TYPE_CHECKING, Any

from aiohttp import TCPConnector, ThreadedResolver
from aiohttp.abc import AbstractResolver

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp.abc import ResolveResult

_GLOBAL_UNICAST = IPv6Network("2000::/3")
# Networks without IPv4 reach the rest of the world by these, which hold an IPv4 address in their last bits (RFC 6052).
_NAT64 = IPv6Network("64:ff9b::/96")
# 6to4, Teredo: an IPv4 address to tunnel to is in them. Nobody serves anything there any more (RFC 7526).
_TUNNELS = (IPv6Network("2002::/16"), IPv6Network("2001::/32"))


class PrivateAddressError(OSError):
    """What should be connected to has no public address; the message says no more than that."""

    def __init__(self) -> None:
        super().__init__(errno.EACCES, "has no public address")


def is_public(address: str) -> bool:
    """Tells whether an IP address is one of the public internet; an IPv4 address within an IPv6 one decides for it."""
    try:
        ip = ip_address(address)
    except ValueError:
        return False
    if ip.version == 6:
        if ip.ipv4_mapped:
            return is_public(str(ip.ipv4_mapped))
        if ip in _NAT64:
            return is_public(str(IPv4Address(int(ip) & 0xFFFFFFFF)))
        if ip not in _GLOBAL_UNICAST or any(ip in tunnel for tunnel in _TUNNELS):
            return False
    return ip.is_global and not (ip.is_multicast or ip.is_reserved)


class PublicResolver(AbstractResolver):
    """Resolves names to their public addresses, and fails where a name has none.

    Args:
        inner: What resolves. Absent: the system, as for everything else.
        is_allowed: Tells which addresses count as public.
    """

    def __init__(self, inner: AbstractResolver | None = None, *, is_allowed: Callable[[str], bool] = is_public) -> None:
        self._inner = inner or ThreadedResolver()
        self._is_allowed = is_allowed

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Gives the public addresses of a name.

        Raises:
            PrivateAddressError: If it has others only.
        """
        public = [one for one in await self._inner.resolve(host, port, family) if self._is_allowed(one["host"])]
        if not public:
            raise PrivateAddressError
        return public

    async def close(self) -> None:
        """Closes what resolves."""
        await self._inner.close()


def open_connector(
    *,
    private_networks: bool = False,
    resolver: AbstractResolver | None = None,
    is_allowed: Callable[[str], bool] = is_public,
    **options: Any,
) -> TCPConnector:
    """Makes the connector of a session that connects to public addresses only, wherever its requests lead.

    Such a session must not use proxies (``trust_env``): those are connected to, whatever is behind them.

    Args:
        private_networks: Whether private, loopback and link-local addresses are allowed, too.
        resolver: What resolves names. Absent: the system.
        is_allowed: Tells which addresses count as public.
        options: What else a connector can be told, as ``limit``.
    """
    if private_networks:
        return TCPConnector(resolver=resolver, **options)

    def open_socket(address_info: tuple[Any, ...]) -> socket.socket:
        family, kind, protocol, _, address = address_info
        if not is_allowed(address[0]):
            raise PrivateAddressError
        return socket.socket(family, kind, protocol)

    return TCPConnector(resolver=PublicResolver(resolver, is_allowed=is_allowed), socket_factory=open_socket, **options)
