"""What may happen, in any order: the rules of the stateful test, and the thread in which all of it runs."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from carillon.v1 import sender_pb2
from services.inbox.model import MAX_CHANGES, Mark
from tests.e2e.resume.clients import Cut, Plan
from tests.e2e.resume.rig import run_rig
from tests.e2e.resume.scene import PATIENCE_S, Scene
from tests.e2e.resume.users import NOTIFICATIONS, marking

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator, Sequence
    from pathlib import Path

    from tests.e2e.resume.accounts import Accounts
    from tests.e2e.resume.clients import Client
    from tests.e2e.resume.rig import Rig
    from tests.e2e.resume.users import User

# More than the parts below it take, so that what hangs is told by them.
_RUN_S = 3 * PATIENCE_S
_MOST = 40

NUMBERS = st.integers(0, 1_000)
MARKS = st.sampled_from([mark.value for mark in Mark])


class Loop:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Runs something there to its end."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_RUN_S)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Runs the loop until the block ends."""
        thread = threading.Thread(target=self._loop.run_forever, name="resume")
        thread.start()
        try:
            yield
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            thread.join()
            self._loop.close()


@contextmanager
def running_rig(data_dir: Path) -> Iterator[tuple[Loop, Rig]]:
    """Runs everything in a loop of its own until the block ends."""
    loop = Loop()
    stop, ready = asyncio.Event(), asyncio.Event()
    rigs: list[Rig] = []

    async def hold() -> None:
        # Entered and left by one task, as task groups want it.
        try:
            async with run_rig(data_dir) as rig:
                rigs.append(rig)
                ready.set()
                await stop.wait()
        finally:
            ready.set()

    async def begin() -> asyncio.Task[None]:
        held = asyncio.create_task(hold())
        await ready.wait()
        if not rigs:
            await held
        return held

    async def end(held: asyncio.Task[None]) -> None:
        stop.set()
        await held

    with loop.running():
        held = loop.run(begin())
        try:
            yield loop, rigs[0]
        finally:
            loop.run(end(held))


class ResumeMachine(RuleBasedStateMachine):
    """Does what backends, users, networks and machines do to inboxes, and asserts that every client knows it.

    Most of it only begins in its rule, so that the next ones meet it half done.

    Args:
        loop: Where all of it runs.
        rig: What runs; the same for all examples, each of which has an environment of its own.
        accounts: Where all is counted.
    """

    def __init__(self, loop: Loop, rig: Rig, accounts: Accounts) -> None:
        super().__init__()
        self._loop = loop
        self._rig = rig
        self._accounts = accounts
        self._is_broken = False
        self._may_change_many = True
        self._may_delete = True
        self.scene: Scene | None = None

    @initialize(users=st.integers(2, 3))
    def begin(self, users: int) -> None:
        """Makes users, whose clients all come."""

        async def make() -> None:
            self.scene = await Scene.make(self._rig, self._accounts, users=users)
            for client in self.scene.clients:
                client.come()

        self._run(make())

    @rule(user=NUMBERS, late=st.booleans(), inapp=st.integers(0, 4), notification=st.sampled_from(NOTIFICATIONS))
    def send(self, user: int, late: bool, inapp: int, notification: str) -> None:
        """Sends one message, now and then one that has no item."""
        self._start(self._user(user).send(late=late, inapp=inapp > 0, notification_id=notification))

    @rule(user=NUMBERS, ahead_s=st.floats(0, 3), late=st.booleans(), count=st.integers(1, 5))
    def schedule(self, user: int, ahead_s: float, late: bool, count: int) -> None:
        """Sends some messages for a little later."""
        for _ in range(count):
            self._start(self._user(user).schedule(ahead_s, late=late))

    @rule(user=NUMBERS, number=NUMBERS, ahead_s=st.floats(0, 3), late=st.booleans())
    def update_schedule(self, user: int, number: int, ahead_s: float, late: bool) -> None:
        """Changes a message that may wait."""
        if tracking_id := self._user(user).promises.choose(number):
            self._start(self._user(user).update_schedule(tracking_id, ahead_s, late=late))

    @rule(user=NUMBERS, number=NUMBERS, late=st.booleans())
    def cancel_schedule(self, user: int, number: int, late: bool) -> None:
        """Cancels a message that may wait."""
        if tracking_id := self._user(user).promises.choose(number):
            self._start(self._user(user).cancel_schedule(tracking_id, late=late))

    @rule(user=NUMBERS, count=st.integers(2, _MOST), late=st.booleans())
    def send_many(self, user: int, count: int, late: bool) -> None:
        """Sends many at once, half of them or all through the services whose clock is late."""
        for number in range(count):
            self._start(self._user(user).send(late=late or number % 2 == 1))

    @rule(
        user=NUMBERS, start=NUMBERS, count=st.integers(1, _MOST), mark=MARKS, clears=st.booleans(), late=st.booleans()
    )
    def mark(self, user: int, start: int, count: int, mark: str, clears: bool, late: bool) -> None:
        """Sets or clears a mark of one item or of some."""
        if ids := self._ids(user, start, count):
            request = marking(clear_marks=[mark], ids=ids) if clears else marking([mark], ids=ids)
            self._start(self._user(user).mark(request, late=late))

    @rule(user=NUMBERS, start=NUMBERS, text=st.sampled_from(["yes", "no"]))
    def reply(self, user: int, start: int, text: str) -> None:
        """Answers an item."""
        if ids := self._ids(user, start, 1):
            self._start(self._user(user).mark(marking(ids=ids, reply=text)))

    @rule(user=NUMBERS, start=NUMBERS, count=st.integers(1, 5))
    def archive_and_take_back(self, user: int, start: int, count: int) -> None:
        """Archives items, and puts them back into the inbox."""
        ids = self._ids(user, start, count)

        async def work() -> None:
            await self._user(user).mark(marking(["ARCHIVED"], ids=ids))
            await self._user(user).mark(marking(clear_marks=["ARCHIVED"], ids=ids))

        if ids:
            self._start(work())

    @rule(user=NUMBERS, mark=MARKS, clears=st.booleans())
    def mark_all(self, user: int, mark: str, clears: bool) -> None:
        """Sets or clears a mark of all items that there are now."""
        self._start(self._user(user).mark(marking(clear_marks=[mark]) if clears else marking([mark])))

    @rule(user=NUMBERS, notification=st.sampled_from(NOTIFICATIONS))
    def retract(self, user: int, notification: str) -> None:
        """Takes back all items of a notification."""
        self._start(self._user(user).retract(sender_pb2.RetractRequest(notification_id=notification)))

    @rule(user=NUMBERS, start=NUMBERS, count=st.integers(1, _MOST))
    def retract_some(self, user: int, start: int, count: int) -> None:
        """Takes back some items."""
        if ids := self._ids(user, start, count):
            self._start(self._user(user).retract(sender_pb2.RetractRequest(tracking_ids=ids)))

    @rule(user=NUMBERS, start=NUMBERS)
    def delete_message(self, user: int, start: int) -> None:
        """Deletes a message."""
        for item_id in self._ids(user, start, 1):
            self._start(self._user(user).delete_message(item_id))

    @precondition(lambda self: self._may_delete)
    @rule(user=NUMBERS, count=st.integers(0, 3))
    def delete_user(self, user: int, count: int) -> None:
        """Deletes a user, who is then sent to anew."""
        self._may_delete = False

        async def work() -> None:
            await self._user(user).delete()
            for _ in range(count):
                await self._user(user).send()

        self._start(work())

    @precondition(lambda self: self._may_change_many)
    @rule(user=NUMBERS)
    def change_too_many(self, user: int) -> None:
        """Changes more items than a resume tells of."""
        self._may_change_many = False
        for _ in range(MAX_CHANGES + 20):
            self._start(self._user(user).send())

    @rule(client=NUMBERS)
    def leave(self, client: int) -> None:
        """Lets a client go, wherever it is."""
        self._run(self._client(client).leave())

    @rule(client=NUMBERS)
    def come(self, client: int) -> None:
        """Lets a client that is away come back by its last cursor."""

        async def work() -> None:
            if self._client(client).is_away:
                self._client(client).come()

        self._run(work())

    @rule(client=NUMBERS, cut=st.sampled_from(Cut), after_bytes=st.integers(0, 2_000), returns=st.booleans())
    def be_cut(self, client: int, cut: Cut, after_bytes: int, returns: bool) -> None:
        """Cuts a client's connection on the way to its welcome."""

        async def work() -> None:
            await self._client(client).leave()
            await self._client(client).be_cut(Plan(cut, after_bytes))
            if returns:
                self._client(client).come()

        self._run(work())

    @rule(client=NUMBERS, count=st.integers(0, 5), start=NUMBERS, retracted=st.integers(0, 3), late=st.booleans())
    def miss_something(self, client: int, count: int, start: int, retracted: int, late: bool) -> None:
        """Lets a client come back after things have happened that it was not told of."""
        one = self._client(client)

        async def work() -> None:
            await one.leave()
            if ids := _some(one.user, start, retracted):
                await one.user.retract(sender_pb2.RetractRequest(tracking_ids=ids))
            await asyncio.gather(*(one.user.send(late=late) for _ in range(count)))
            one.come()

        self._run(work())

    @rule(count=st.integers(0, _MOST), times=st.integers(1, 5))
    def flicker(self, count: int, times: int) -> None:
        """Cuts all clients behind their welcomes, again and again, while messages are sent to all.

        A write is stamped a moment before it is committed. A welcome that is read in this moment does not have it, and
        its cursor is later than the stamp.
        """

        async def work(client: Client) -> None:
            await client.leave()
            for _ in range(times):
                await client.be_cut(Plan(Cut.WELCOME))
            client.come()

        async def trickle(user: User, *, late: bool) -> None:
            # One after the other, so that some fall between the reading of a welcome and what follows it.
            for _ in range(count):
                await user.send(late=late)

        async def all_work() -> None:
            for user in self._scene.users:
                for late in (False, True):
                    self._scene.start(trickle(user, late=late))
                for number in range(count):
                    self._scene.start(user.send(late=number % 2 == 1))
            await asyncio.gather(*map(work, self._scene.clients))

        self._run(all_work())

    @rule(count=st.integers(0, _MOST))
    def kill_gateway(self, count: int) -> None:
        """Kills the gateway while messages are sent, and starts it again."""
        self._send_to_all(count)
        self._run(self._rig.kill_gateway())
        self._accounts.happened["gateway kills"] += 1

    @rule(count=st.integers(0, 5), ahead_s=st.floats(0, 1))
    def kill_worker(self, count: int, ahead_s: float) -> None:
        """Kills the worker while messages fire, and starts another."""
        for number in range(count):
            self._start(self._user(number).schedule(ahead_s, late=number % 2 == 1))
        self._run(self._rig.kill_worker())
        self._accounts.happened["worker kills"] += 1

    @rule(count=st.integers(0, _MOST))
    def kill_mongod(self, count: int) -> None:
        """Kills MongoDB while messages are sent, and starts it again."""
        self._send_to_all(count)
        self._run(self._rig.kill_mongod())
        self._accounts.happened["mongod kills"] += 1

    @rule()
    def be_quiet(self) -> None:
        """Waits until nothing is under way: then every client has it all."""
        self._run(self._scene.check_quiet())

    def teardown(self) -> None:
        """Lets every client come, compares them all, and ends it."""
        if self.scene is None:
            return
        try:
            if not self._is_broken:
                self._run(self.scene.check_all())
        finally:
            self._loop.run(self.scene.close())

    @property
    def _scene(self) -> Scene:
        assert self.scene is not None
        return self.scene

    def _run(self, work: Coroutine[Any, Any, Any]) -> None:
        try:
            self._loop.run(work)
        except BaseException:
            self._is_broken = True
            raise

    def _start(self, work: Coroutine[Any, Any, Any]) -> None:
        async def start() -> None:
            self._scene.start(work)

        self._run(start())

    def _send_to_all(self, count: int) -> None:
        for number in range(count):
            self._start(self._user(number).send(late=number % 2 == 1))

    def _user(self, number: int) -> User:
        return self._scene.users[number % len(self._scene.users)]

    def _client(self, number: int) -> Client:
        return self._scene.clients[number % len(self._scene.clients)]

    def _ids(self, user: int, start: int, count: int) -> Sequence[str]:
        return _some(self._user(user), start, count)


def _some(user: User, start: int, count: int) -> Sequence[str]:
    """Gives some of the items that a user was sent, the latest first where ``start`` is small."""
    sent = user.sent[::-1]
    return sent[start % len(sent) :][:count] if sent else []
