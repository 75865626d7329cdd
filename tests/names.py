"""Names that a test has made up, for whoever takes a resolver of aiohttp."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from aiohttp.abc import AbstractResolver

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aiohttp.abc import ResolveResult


class Names(AbstractResolver):
    """Resolves the names that a test knows, on one port."""

    def __init__(self, addresses: Mapping[str, Sequence[str]]) -> None:
        self._addresses = addresses
        self.is_closed = False

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Gives what the test has said."""
        return [
            {"hostname": host, "host": one, "port": port, "family": family, "proto": 0, "flags": 0}
            for one in self._addresses[host]
        ]

    async def close(self) -> None:
        """Notes it."""
        self.is_closed = True
