"""What was answered about messages that wait for their time, and whether it holds. Pure, but for the clock.

A message appears at its time or later, by the name that it was given last, unless it was cancelled or taken back; one
whose cancellation was answered OK never does. While a change is under way both sides of it may come true.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from services.kernel.clock import utc_now
from tests.e2e.resume.model import BrokenPromiseError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Mapping

    from tests.e2e.resume.accounts import Doing, Ledger


@dataclass
class Promise:
    """One message."""

    times: list[datetime]
    names: list[str]
    doing: Doing
    must_appear: bool = True
    changes: asyncio.Lock = field(default_factory=asyncio.Lock)

    def widen(self, at: datetime, name: str) -> None:
        """Notes that it may have another time and name from now on."""
        self.times.append(at)
        self.names.append(name)

    def narrow(self, at: datetime, name: str) -> None:
        """Notes that it has them."""
        self.times, self.names = [at], [name]


class Promises:
    """Those of one user.

    Args:
        ledger: Where it is noted that they change items.
    """

    def __init__(self, ledger: Ledger) -> None:
        self.open: dict[str, Promise] = {}
        """Those that may still come true."""

        self.never: set[str] = set()
        """What must never have appeared: it was cancelled."""

        self._deleted: set[str] = set()
        self._ledger = ledger

    def make(self, tracking_id: str, at: datetime, name: str) -> None:
        """Notes that a message was accepted for a time."""
        self.open[tracking_id] = Promise([at], [name], self._ledger.begin(1))

    def choose(self, number: int) -> str:
        """Gives one of the latest, since the others have most likely fired; empty: there is none."""
        latest = list(self.open)[-3:]
        return latest[number % len(latest)] if latest else ""

    @asynccontextmanager
    async def changing(self, tracking_id: str) -> AsyncIterator[Promise | None]:
        """Gives a promise for one change at a time; None: it has come true, or cannot any more."""
        promise = self.open.get(tracking_id)
        if promise is None:
            yield None
            return
        async with promise.changes:
            yield promise if self.open.get(tracking_id) is promise else None

    def cancelled(self, tracking_id: str) -> None:
        """Notes that it was answered that a message is cancelled."""
        self.never.add(tracking_id)
        self._end(tracking_id, 0)

    def release(self, tracking_ids: Collection[str]) -> None:
        """Notes that some were taken back, before or after they appeared; empty: perhaps all."""
        for tracking_id, promise in self.open.items():
            if not tracking_ids or tracking_id in tracking_ids:
                promise.must_appear = False

    def forget(self) -> None:
        """Notes that the user was deleted with all that waited."""
        self._deleted |= self.open.keys()
        for tracking_id in list(self.open):
            self._end(tracking_id, 0)

    def check_told(self, told: Collection[str]) -> None:
        """Raises BrokenPromiseError where a client has just been told of what is still to come."""
        now = utc_now()
        for tracking_id, promise in self.open.items():
            if tracking_id in told and now < min(promise.times):
                raise BrokenPromiseError(f"{tracking_id} appeared before {promise.times}, at {now}")

    def check(self, items: Mapping[str, Mapping[str, Any]]) -> list[str]:
        """Tells what of this does not hold, now that nothing waits any more; whatever does is done with."""
        gone = (self.never | self._deleted) & items.keys()
        broken = [f"{tracking_id} is there, and was cancelled or deleted" for tracking_id in gone]
        for tracking_id, promise in list(self.open.items()):
            item = items.get(tracking_id)
            if item is None and promise.must_appear:
                broken.append(f"{tracking_id} never appeared, as promised for {promise.times}")
            if item and item["secondary_id"] not in promise.names:
                broken.append(f"{tracking_id} is called {item['secondary_id']}, not one of {promise.names}")
            if item and datetime.fromisoformat(item["date"]) < min(promise.times):
                broken.append(f"{tracking_id} is of {item['date']}, before {promise.times}")
            self._end(tracking_id, 1)
        return broken

    def _end(self, tracking_id: str, count: int) -> None:
        self._ledger.end(self.open.pop(tracking_id).doing, "fired", count)
