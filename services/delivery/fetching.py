"""Files from URLs that callers gave: from the public internet only, within limits, and with nothing of ours.

Nobody can lead a fetch to a private address, by a name, a redirect or a change of mind in between: `public_addresses`
decides that where a connection is opened. Redirects are followed here, so that each is counted and checked; no cookies
are kept, no proxy of the environment is used, and what a URL has in front of an @ goes to its own host alone.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import aiohttp
from yarl import URL

from services.kernel.public_addresses import PrivateAddressError, is_public, open_connector

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from aiohttp.abc import AbstractResolver

MAX_REDIRECTS = 5
_AT_ONCE = 8
_CHUNK_BYTES = 64 * 1024
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
# Of all that is refused, these are refused for now.
_TEMPORARY_STATUSES = frozenset({408, 425, 429})


class FetchError(Exception):
    """A file cannot be had, and why, without its URL.

    Args:
        detail: Why.
        is_final: Whether the same would fail again.
    """

    def __init__(self, detail: str, *, is_final: bool) -> None:
        super().__init__(detail)
        self.detail = detail
        self.is_final = is_final


class Fetcher:
    """Fetches files; entered by ``async with`` before the first.

    Args:
        private_networks: Whether private, loopback and link-local addresses are allowed, too.
        resolver: What resolves names. Absent: the system.
        is_allowed: Tells which addresses count as public.
        connect_s: How long a connection may take.
        total_s: How long a file may take, redirects included.
    """

    def __init__(
        self,
        *,
        private_networks: bool = False,
        resolver: AbstractResolver | None = None,
        is_allowed: Callable[[str], bool] = is_public,
        connect_s: float = 10.0,
        total_s: float = 30.0,
    ) -> None:
        self._private_networks = private_networks
        self._resolver = resolver
        self._is_allowed = is_allowed
        self._connect_s = connect_s
        self._total_s = total_s
        self.turns = asyncio.Semaphore(_AT_ONCE)
        """Held during a fetch, so that there are no more at once; who waited long may not want to begin any more."""

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=open_connector(
                private_networks=self._private_networks,
                resolver=self._resolver,
                is_allowed=self._is_allowed,
                limit=_AT_ONCE,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._connect_s),
            headers={"User-Agent": "Carillon", "Accept-Encoding": "identity"},
            auto_decompress=False,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._session.close()

    async def fetch(self, url: str, *, max_bytes: int) -> bytes:
        """Gives the file behind a URL.

        Raises:
            FetchError: If there is none, or it has more bytes.
        """
        try:
            async with asyncio.timeout(self._total_s):
                return await self._follow(URL(url), max_bytes)
        except TimeoutError:
            raise FetchError(f"not there within {self._total_s:g} s", is_final=False) from None
        except (aiohttp.InvalidURL, ValueError):
            raise FetchError("is no URL that can be fetched", is_final=True) from None
        except aiohttp.ClientConnectorError as error:
            if isinstance(error.os_error, PrivateAddressError):
                raise FetchError("the host has no public address", is_final=True) from None
            raise FetchError("cannot connect", is_final=False) from None
        except (aiohttp.ClientError, OSError):
            raise FetchError("the connection was lost", is_final=False) from None

    async def _follow(self, url: URL, max_bytes: int) -> bytes:
        for _ in range(MAX_REDIRECTS + 1):
            if url.scheme not in ("http", "https"):
                raise FetchError("redirects to what is no web address", is_final=True)
            async with self._session.get(url, allow_redirects=False) as answer:
                if answer.status not in _REDIRECTS:
                    return await _read(answer, max_bytes)
                location = answer.headers.get("Location")
            if not location:
                raise FetchError("redirects to nowhere", is_final=True)
            url = url.join(URL(location)).with_user(None)
        raise FetchError(f"redirects more than {MAX_REDIRECTS} times", is_final=True)


async def _read(answer: aiohttp.ClientResponse, max_bytes: int) -> bytes:
    status = answer.status
    if not 200 <= status < 300:
        is_final = status < 500 and status not in _TEMPORARY_STATUSES
        raise FetchError(str(status), is_final=is_final)
    if answer.headers.get("Content-Encoding", "identity") != "identity":
        raise FetchError("comes compressed, although that was not asked for", is_final=True)
    content = bytearray()
    async for chunk in answer.content.iter_chunked(_CHUNK_BYTES):
        content += chunk
        if len(content) > max_bytes:
            raise FetchError(f"more than the {max_bytes} bytes that are left of 10 MB", is_final=True)
    return bytes(content)
