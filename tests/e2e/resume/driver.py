"""The state machine's doings for as long as one likes: all at the same time, chosen by a seeded source."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from carillon.v1 import sender_pb2
from services.inbox.model import MAX_CHANGES, Mark
from tests.e2e.resume.clients import Cut, Plan
from tests.e2e.resume.scene import Scene
from tests.e2e.resume.users import NOTIFICATIONS, marking

if TYPE_CHECKING:
    import random
    from collections.abc import Awaitable, Callable

    from tests.e2e.resume.accounts import Accounts
    from tests.e2e.resume.clients import Client
    from tests.e2e.resume.rig import Rig
    from tests.e2e.resume.users import User

# So many that a minute's changes of one are mostly fewer than a resume tells of.
USERS = 64
IN_FLIGHT = 64
_RESTLESS = 12
_ROUND_S = 6.0
_LONGEST_AWAY_S = 4.0
_LONGEST_AHEAD_S = 4.0
_RECENT = 100
_MARKS = tuple(mark.value for mark in Mark)


class Driver:
    """Runs rounds of unrest, each followed by a quiet point.

    Args:
        rig: What runs.
        accounts: Where all is counted.
        choice: Chooses.
        on_round: Called after each round.
    """

    def __init__(self, rig: Rig, accounts: Accounts, choice: random.Random, on_round: Callable[[], None]) -> None:
        self._rig = rig
        self._accounts = accounts
        self._choice = choice
        self._on_round = on_round
        self._scene: Scene
        self._is_unrest = False
        self._disturbed: set[Client] = set()
        self._actions: dict[Callable[[User], Awaitable[None]], float] = {
            self._send: 60,
            self._send_many: 1,
            self._schedule: 15,
            self._update_schedule: 4,
            self._cancel_schedule: 4,
            self._mark: 12,
            self._mark_all: 1,
            self._reply: 3,
            self._archive_and_take_back: 3,
            self._retract: 0.5,
            self._retract_some: 4,
            self._delete_message: 3,
            self._delete_user: 0.1,
            self._change_too_many: 0.01,
        }

    async def run(self, events: int) -> None:
        """Goes on until so many changes were made; raises what is not as it has to be."""
        self._scene = await Scene.make(self._rig, self._accounts, users=USERS)
        try:
            await self._scene.check_all()
            while self._accounts.events.total() < events:
                await self._round()
                await self._scene.check_quiet()
                self._on_round()
            await self._scene.check_all()
        finally:
            await self._scene.close()

    async def _round(self) -> None:
        self._is_unrest = True
        async with asyncio.TaskGroup() as tasks:
            for _ in range(IN_FLIGHT):
                tasks.create_task(self._act())
            for _ in range(_RESTLESS):
                tasks.create_task(self._disturb_clients())
            await self._kill()
            self._is_unrest = False

    async def _kill(self) -> None:
        """Kills the gateway, MongoDB and the worker, some of them or none, somewhere in the round."""
        await asyncio.sleep(self._choice.uniform(0, _ROUND_S / 3))
        if self._choice.random() < 0.7:
            await self._rig.kill_gateway()
            self._accounts.happened["gateway kills"] += 1
        await asyncio.sleep(self._choice.uniform(0, _ROUND_S / 3))
        if self._choice.random() < 0.6:
            await self._rig.kill_mongod()
            self._accounts.happened["mongod kills"] += 1
        await asyncio.sleep(self._choice.uniform(0, _ROUND_S / 3))
        if self._choice.random() < 0.5:
            await self._rig.kill_worker()
            self._accounts.happened["worker kills"] += 1
        await asyncio.sleep(_ROUND_S / 3)

    async def _act(self) -> None:
        actions, weights = list(self._actions), list(self._actions.values())
        while self._is_unrest:
            (action,) = self._choice.choices(actions, weights)
            await action(self._choice.choice(self._scene.users))

    async def _disturb_clients(self) -> None:
        while self._is_unrest:
            client = self._choice.choice(self._scene.clients)
            if client in self._disturbed:
                await asyncio.sleep(0)
                continue
            self._disturbed.add(client)
            await client.leave()
            if self._choice.random() < 0.5:
                await asyncio.sleep(self._choice.uniform(0, _LONGEST_AWAY_S))
            for _ in range(self._choice.choice((0, 0, 1, 1, 2, 10))):
                cut = self._choice.choice((*Cut, Cut.WELCOME))
                await client.be_cut(Plan(cut, self._choice.randrange(3_000)))
            client.come()
            self._disturbed.remove(client)

    async def _send(self, user: User) -> None:
        choice = self._choice
        name = choice.choice(NOTIFICATIONS)
        await user.send(late=choice.random() < 0.5, inapp=choice.random() < 0.95, notification_id=name)

    async def _send_many(self, user: User) -> None:
        count = self._choice.randint(2, 40)
        await asyncio.gather(*(user.send(late=number % 2 == 1) for number in range(count)))

    async def _schedule(self, user: User) -> None:
        await user.schedule(self._choice.uniform(0, _LONGEST_AHEAD_S), late=self._choice.random() < 0.5)

    async def _update_schedule(self, user: User) -> None:
        if tracking_id := user.promises.choose(self._choice.randrange(1000)):
            ahead_s = self._choice.uniform(0, _LONGEST_AHEAD_S)
            await user.update_schedule(tracking_id, ahead_s, late=self._choice.random() < 0.5)

    async def _cancel_schedule(self, user: User) -> None:
        if tracking_id := user.promises.choose(self._choice.randrange(1000)):
            await user.cancel_schedule(tracking_id, late=self._choice.random() < 0.5)

    async def _mark(self, user: User) -> None:
        if ids := self._ids(user, self._choice.choice((1, 1, 1, 10))):
            mark = [self._choice.choice(_MARKS)]
            request = marking(mark, ids=ids) if self._choice.random() < 0.7 else marking(clear_marks=mark, ids=ids)
            await user.mark(request, late=self._choice.random() < 0.5)

    async def _mark_all(self, user: User) -> None:
        mark = [self._choice.choice(_MARKS)]
        await user.mark(marking(mark) if self._choice.random() < 0.7 else marking(clear_marks=mark))

    async def _reply(self, user: User) -> None:
        if ids := self._ids(user, 1):
            await user.mark(marking(ids=ids, reply=self._choice.choice(("yes", "no"))))

    async def _archive_and_take_back(self, user: User) -> None:
        if ids := self._ids(user, 3):
            await user.mark(marking(["ARCHIVED"], ids=ids))
            await user.mark(marking(clear_marks=["ARCHIVED"], ids=ids))

    async def _retract(self, user: User) -> None:
        await user.retract(sender_pb2.RetractRequest(notification_id=self._choice.choice(NOTIFICATIONS)))

    async def _retract_some(self, user: User) -> None:
        if ids := self._ids(user, self._choice.choice((1, 1, 5))):
            await user.retract(sender_pb2.RetractRequest(tracking_ids=ids))

    async def _delete_message(self, user: User) -> None:
        for item_id in self._ids(user, 1):
            await user.delete_message(item_id)

    async def _delete_user(self, user: User) -> None:
        await user.delete()
        self._accounts.happened["users deleted"] += 1

    async def _change_too_many(self, user: User) -> None:
        await asyncio.gather(*(user.send() for _ in range(MAX_CHANGES + 20)))

    def _ids(self, user: User, most: int) -> list[str]:
        recent = user.sent[-_RECENT:]
        return self._choice.sample(recent, min(most, len(recent)))
