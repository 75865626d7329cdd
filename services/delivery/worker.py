"""The worker: claims what is due, lets the providers carry it, and writes a message once, when its round is over.

Any number of workers do the same beside each other. What one has claimed and does not write, as it was killed, another
takes over once the lease has ended: the calls that may have been made are in the log as ``UNKNOWN`` before any is made
again.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import structlog

from services.delivery.carrier import Held
from services.delivery.outbox import MAX_CLAIM
from services.kernel.errors import Unavailable
from services.kernel.mongo import raise_if_cancelled
from services.messages.sources import LEASE_S

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from services.delivery.carrier import Carrier
    from services.delivery.outbox import Leased, Outbox
    from services.environments.cache import Catalogue
    from services.users.store import UserStore

SINGLE, BULK = 0, 1
"""The lanes: sends of their own go before what belongs to many."""

MAX_MESSAGES = 500
"""How many messages a worker has at once; of the bulk lane at most half of them, so that a single one finds room."""

POLL_S = 0.08
_RENEW_S = LEASE_S / 4

_log = structlog.get_logger(__name__)


class Worker:
    """Delivers what is due, until it is told to stop.

    Args:
        outbox: What is due.
        users: The profiles, for addresses and devices.
        catalogue: The environments.
        carrier: Carries what was claimed.
        fire: Plans and renders a message whose time has come, and gives its lease back, by client_id, user_id,
            tracking_id and the token of the lease.
        jitter: Gives a number from 0 to 1.
    """

    def __init__(
        self,
        *,
        outbox: Outbox,
        users: UserStore,
        catalogue: Catalogue,
        carrier: Carrier,
        fire: Callable[[str, str, str, str], Awaitable[bool]],
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._outbox = outbox
        self._users = users
        self._catalogue = catalogue
        self._carrier = carrier
        self._fire = fire
        self._jitter = jitter
        self._held: dict[tuple[str, str], Held] = {}
        self._stop = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Works until ``stop`` is set; then lets the calls that are under way end, and gives back the rest."""
        self._stop = stop
        async with asyncio.TaskGroup() as tasks:
            renewing = tasks.create_task(self._renew(), name="leases")
            async with asyncio.TaskGroup() as rounds:
                while not stop.is_set():
                    raise_if_cancelled()
                    held = await self._claim()
                    for one in held:
                        rounds.create_task(self._round(one), name=f"round {one.leased.key.tracking_id}")
                    if not held:
                        await self._pause()
            renewing.cancel()

    async def _claim(self) -> list[Held]:
        """Claims what there is room for: of the single lane first, and of both together at most a batch."""
        room = MAX_MESSAGES - len(self._held)
        bulk_room = min(room, MAX_MESSAGES // 2 - sum(one.leased.lane == BULK for one in self._held.values()))
        # Before it is asked for, so that it ends here before it ends there.
        until = asyncio.get_running_loop().time() + LEASE_S
        try:
            leased: list[Leased] = []
            if room > 0:
                leased = await self._outbox.claim(SINGLE, limit=room)
            # Where there are more single ones, they go first; a steady trickle of them does not keep the others out.
            bulk_room = min(bulk_room, MAX_CLAIM - len(leased), room - len(leased))
            if bulk_room > 0:
                leased += await self._outbox.claim(BULK, limit=bulk_room)
            if not leased:
                return []
            users = await self._users.get_many({(one.key.client_id, one.key.user_id) for one in leased})
            held = []
            for one in leased:
                environment = await self._catalogue.environment(one.key.client_id)
                if environment is None:
                    # Gone with all that it had; the lease ends by itself.
                    continue
                user = users.get((one.key.client_id, one.key.user_id))
                held.append(Held(one, until, environment, user, self._stop, one.options.email.attachments))
        except Unavailable:
            _log.warning("claims_delayed")
            return []
        for one_held in held:
            self._held[one_held.leased.name] = one_held
        return held

    async def _pause(self) -> None:
        # Jitter, so that several workers do not look in step.
        try:
            async with asyncio.timeout(POLL_S * (1 + self._jitter()) / 2):
                await self._stop.wait()
        except TimeoutError:
            return

    async def _renew(self) -> None:
        while True:
            raise_if_cancelled()
            await asyncio.sleep(_RENEW_S)
            held = list(self._held.values())
            if not held:
                continue
            until = asyncio.get_running_loop().time() + LEASE_S
            try:
                ours = await self._outbox.renew([one.leased for one in held])
            except Unavailable:
                # The next time may do; until then no call begins that could outlast its lease.
                _log.warning("leases_not_renewed", count=len(held))
                continue
            for one in held:
                if one.leased.name in ours:
                    one.until = until
                else:
                    one.is_lost = True

    async def _round(self, held: Held) -> None:
        leased = held.leased
        try:
            if leased.fires:
                key = leased.key
                await self._fire(key.client_id, key.user_id, key.tracking_id, leased.token)
            else:
                await self._carrier.carry(held)
        except* Unavailable:
            # Nothing is written, so the lease ends by itself and another round begins.
            _log.warning("round_abandoned", tracking_id=leased.key.tracking_id)
        except* Exception:
            # A defect, or a request of a newer version, costs this message its turn, and not the worker.
            _log.exception("round_failed", tracking_id=leased.key.tracking_id, client_id=leased.key.client_id)
        finally:
            del self._held[leased.name]
