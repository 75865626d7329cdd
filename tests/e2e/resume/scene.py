"""One environment with its users and their clients, what is under way there, and the points where all must be right."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from tests.e2e.resume.clients import SocketClient, StreamClient
from tests.e2e.resume.model import BrokenPromiseError
from tests.e2e.resume.users import User

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from tests.e2e.resume.accounts import Accounts
    from tests.e2e.resume.clients import Client
    from tests.e2e.resume.rig import Rig

PATIENCE_S = 120.0
"""How long what is under way may take to end, and clients to come back and be told of it, on a slow machine."""

# So long what is scheduled may take to fire, at a quiet point, and after the last: a lease of 60 s may have to end.
_FIRING_S, _FIRING_AFTER_DEATH_S = 6.0, 90.0

# A small one cuts most snapshots, a large one hardly any.
_LIMITS = (500, 50, 5)


class Scene:
    """The users of one environment and their clients.

    Args:
        rig: What runs.
        accounts: Where all is counted.
        users: The users.
    """

    def __init__(self, rig: Rig, accounts: Accounts, users: list[User]) -> None:
        self.users = users
        self.clients: list[Client] = []
        self._accounts = accounts
        self._under_way: set[asyncio.Task[Any]] = set()
        for number, user in enumerate(users):
            names = [f"{user.id}-{kind}" for kind in ("socket", "aborting", "stream")]
            limits = [_LIMITS[(number + place) % len(_LIMITS)] for place in range(len(names))]
            for name, limit, aborts in zip(names[:2], limits[:2], (False, True), strict=True):
                self.clients.append(SocketClient(name, user, accounts, limit=limit, ws_port=rig.ws_port, aborts=aborts))
            late = bool(number % 2)
            self.clients.append(StreamClient(names[2], user, accounts, limit=limits[2], late=late))

    @classmethod
    async def make(cls, rig: Rig, accounts: Accounts, *, users: int) -> Scene:
        """Makes an environment of its own; all its clients are away."""
        right, late = await rig.tenants()
        return cls(rig, accounts, [User(f"user-{number}", right, late, accounts) for number in range(users)])

    @property
    def under_way(self) -> int:
        """How much has been started and not ended."""
        return len(self._under_way)

    def start(self, work: Coroutine[Any, Any, Any]) -> None:
        """Lets something happen beside everything else, until the next quiet point."""
        self._under_way.add(asyncio.create_task(work))

    async def settle(self) -> None:
        """Waits until what was started has ended; raises what went wrong with it, or with a client."""
        while self._under_way:
            done, _ = await asyncio.wait(self._under_way, return_when=asyncio.FIRST_EXCEPTION)
            self._under_way -= done
            for one in done:
                one.result()
        for client in self.clients:
            client.check()

    async def check_quiet(self, *, firing_s: float = _FIRING_S) -> None:
        """Lets everything end, and asserts that every client that is not away holds what the database has."""
        async with asyncio.timeout(PATIENCE_S):
            await self.settle()
            await asyncio.gather(*(self._check_user(user, firing_s) for user in self.users))
        self._accounts.happened["quiet points"] += 1

    async def check_all(self) -> None:
        """Lets every client come, and asserts the same of all."""
        for client in self.clients:
            if client.is_away:
                client.come()
        await self.check_quiet(firing_s=_FIRING_AFTER_DEATH_S)

    async def close(self) -> None:
        """Ends what is left."""
        for work in self._under_way:
            work.cancel()
        await asyncio.gather(*self._under_way, *(client.leave() for client in self.clients), return_exceptions=True)

    async def _check_user(self, user: User, firing_s: float) -> None:
        await user.end_schedules(firing_s)
        clients = [client for client in self.clients if client.user is user and not client.is_away]
        # The last event of all: who was told of it was told of everything.
        last = await user.send()
        await asyncio.gather(*(client.until_told(last) for client in clients))
        truth = await user.truth()
        if broken := user.promises.check(truth.items):
            raise BrokenPromiseError(f"{user.id} at a quiet point: " + "\n".join(broken[:10]))
        for client in clients:
            if client.is_away:
                continue
            found = client.model.differences(truth)
            if told := client.model.told & user.promises.never:
                found.append(f"told of what was cancelled: {sorted(told)}")
            if len(client.model.shown_as_new) > len(set(client.model.shown_as_new)):
                found.append(f"shown as new twice: {client.model.shown_as_new}")
            if found:
                raise BrokenPromiseError(f"{client.name} at a quiet point: " + "\n".join(found[:10]))
            self._accounts.happened["clients compared"] += 1
