"""The feed of a process that seldom needs one: it begins with the first who asks, and then goes on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NoReturn

from services.kernel.errors import Unavailable
from services.live.feed import Feed
from services.live.hub import Hub

if TYPE_CHECKING:
    from pymongo.asynchronous.database import AsyncDatabase

_PATIENCE_S = 5.0


class LazyFeed:
    """A feed and its hub.

    Args:
        database: The database, on a client of the feed's own.
    """

    def __init__(self, database: AsyncDatabase[dict[str, Any]]) -> None:
        self.hub = Hub()
        self._feed = Feed(database, self.hub)
        self._wanted = asyncio.Event()

    async def run(self) -> NoReturn:
        """Follows, once it is wanted, until it is cancelled."""
        # A stream costs its process every event of the database, which who only sends would pay for nothing.
        await self._wanted.wait()
        await self._feed.run()

    async def ready(self) -> None:
        """Returns once events come; raises Unavailable where they do not soon."""
        self._wanted.set()
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await self._feed.live.wait()
        except TimeoutError:
            raise Unavailable from None
