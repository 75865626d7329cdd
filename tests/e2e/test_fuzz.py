"""A gateway under fire: hostile sockets learn nothing but errors and close codes, and nobody else feels them.

FUZZ_SEED repeats a run, as far as the order of things on the machine allows; FUZZ_FRAMES makes it longer or shorter.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import secrets
import sys
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager, redirect_stderr, suppress
from dataclasses import replace
from io import StringIO
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from carillon.v1 import sender_pb2
from gateway.closes import CloseCode
from tests.e2e.hostile import FIELDS, Expected, Grammar, Shot, User
from tests.e2e.processes import is_healthy, wait_until
from tests.e2e.stack import Stack
from tests.e2e.wire import HANDSHAKE, PATIENCE_S, PING, Wire, frame

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from tests.contract.gateway.world import Tab
    from tests.contract.services.world import Caller
    from tests.e2e.processes import Child

SEED = os.environ.get("FUZZ_SEED") or secrets.token_hex(4)
FRAMES = int(os.environ.get("FUZZ_FRAMES") or 50_000)
ATTACKERS = 24
FRAMES_PER_SEND = 1000
MAX_GROWTH = 64 * 1024 * 1024

README = (Path(__file__).parents[2] / "gateway" / "README.md").read_text()
_ROWS = re.findall(r"^\| `(\w+)` \| (client|gateway) \| (.*) \|$", README, re.MULTILINE)


def words_of(text: str) -> set[str]:
    """Gives the names of fields in a cell of a table."""
    return set(re.findall(r"`([a-z0-9_]+)`", text))


SENT = {kind: words_of(text) for kind, by, text in _ROWS if by == "client"}
TOLD = {kind: words_of(text) for kind, by, text in _ROWS if by == "gateway"}
_CODE_ROWS = re.findall(r"^\| (`[A-Z_`, ]+`) \| (bad frame|refusal) \|", README, re.MULTILINE)
CODES = {code: what for codes, what in _CODE_ROWS for code in re.findall(r"[A-Z_]+", codes)}
BAD_FRAMES = {code for code, what in CODES.items() if what == "bad frame"}
EVENTS = {"created", "updated", "retracted", "preferences_changed"}


class Attack:
    """Many hostile sessions, and all that they were answered.

    Args:
        port: Where the gateway is.
        users: Whose credentials are used.
    """

    def __init__(self, port: int, users: Sequence[User]) -> None:
        self.frames = 0
        self.handshakes = 0
        self.sent: Counter[str] = Counter()
        self.answers: Counter[str] = Counter()
        self.progress = asyncio.Condition()
        self._port = port
        self._users = users
        self._known: dict[str, list[str]] = {user.user_id: [] for user in users}
        self._begun = 0

    async def run(self) -> None:
        """Attacks until enough frames were sent."""
        async with asyncio.TaskGroup() as tasks:
            for _ in range(ATTACKERS):
                tasks.create_task(self._attack())

    async def _attack(self) -> None:
        while self.frames < FRAMES:
            number, self._begun = self._begun, self._begun + 1
            random = Random(f"{SEED} {number}")
            user = random.choice(self._users)
            session = Session(self, Grammar(random, user, self._known[user.user_id]), self._known[user.user_id])
            play = random.choices(
                (session.shake, session.begin_badly, session.talk, session.talk_early, session.flood, session.leave),
                weights=(8, 18, 54, 10, 6, 4),
            )[0]
            try:
                session.wire = await Wire.connect(self._port)
                try:
                    await play(random)
                finally:
                    session.wire.cut()
            except Exception as error:
                error.add_note(
                    f"in {play.__name__} {number} of FUZZ_SEED={SEED}; last {session.last}: {session.last.data[:500]!r}"
                )
                raise
            async with self.progress:
                self.progress.notify_all()

    def table(self) -> str:
        """Gives what was sent by kind, and what came of it."""
        rows = [f"{self.frames} frames in {self.handshakes} sessions, FUZZ_SEED={SEED}"]
        for title, counts in (("sent", self.sent), ("answered", self.answers)):
            rows += ["", f"{title:>8}", *(f"{count:8} {what}" for what, count in sorted(counts.items()))]
        return "\n".join(rows)


class Session:
    """One hostile connection, and what it may be answered."""

    wire: Wire

    def __init__(self, attack: Attack, grammar: Grammar, known: list[str]) -> None:
        self.last = Shot("nothing", b"")
        self._attack = attack
        self._grammar = grammar
        self._known = known
        self._is_welcome = False
        self._strikes = 0

    async def shake(self, random: Random) -> None:
        """Sends a handshake that is none, or hardly one."""
        kind, data = self._grammar.handshake()
        self.last = Shot(kind, data)
        self._attack.sent[kind] += 1
        self.wire.send(data)
        if b"\r\n\r\n" not in data:
            self.wire.send_eof()
        status = await self.wire.status()
        assert status in (None, 101, 200, 501, 505) or 400 <= status < 500, f"HTTP {status}"
        self._attack.answers[f"HTTP {status or 'cut'}"] += 1
        self._attack.handshakes += status == 101

    async def begin_badly(self, random: Random) -> None:
        """Sends something else than a hello first, or a bad one."""
        await self._connect()
        shot = self._grammar.hello_of_any_shape() if random.random() < 0.5 else self._grammar.shot()
        # What is a second hello elsewhere is the first one here.
        await self._shoot(replace(shot, expected=Expected.EITHER) if shot.kind == "second hello" else shot)

    async def talk(self, random: Random) -> None:
        """Opens a session and waits for each answer; breaks off at last."""
        await self._connect()
        going = await self._shoot(self._grammar.hello())
        for _ in range(random.randrange(1, 60)):
            if not going:
                return
            going = await self._shoot(self._grammar.shot())
        if going:
            await self._shoot(self._grammar.end())

    async def talk_early(self, random: Random) -> None:
        """Sends much at once, hello first, and does not wait for the welcome."""
        await self._connect()
        shots = [self._grammar.hello(), *(self._grammar.shot() for _ in range(random.randrange(1, 8)))]
        await self._volley([shot for shot in shots if not shot.codes], is_early=True)

    async def flood(self, random: Random) -> None:
        """Sends more good frames at once than may wait; all are answered, and then it is served as ever."""
        await self._connect()
        going = await self._shoot(self._grammar.hello())
        if not going:
            return
        await self._volley([self._grammar.request() for _ in range(random.randrange(10, 60))])
        for _ in range(3):
            await self._shoot(self._grammar.request())

    async def leave(self, random: Random) -> None:
        """Goes in the middle of something."""
        await self._connect()
        if random.random() < 0.7:
            await self._shoot(self._grammar.hello())
        for _ in range(random.randrange(3)):
            self._send(self._grammar.request())
        self.wire.send(self._grammar.unfinished())
        self._attack.sent["cut off"] += 1
        if random.random() < 0.5:
            self.wire.send_eof()
            while await self.wire.receive():
                pass

    async def _connect(self) -> None:
        self.wire.send(HANDSHAKE)
        assert await self.wire.status() == 101
        self._attack.handshakes += 1

    def _send(self, shot: Shot) -> None:
        self.last = shot
        self._attack.sent[shot.kind] += shot.frames
        self._attack.frames += shot.frames
        self.wire.send(shot.data)

    async def _shoot(self, shot: Shot) -> bool:
        """Sends one thing and checks its answer; tells whether the session goes on."""
        self._send(shot)
        answer = await self._take()
        if shot.codes:
            assert answer is None, answer
            assert self.wire.close_code in shot.codes, f"closed with {self.wire.close_code}"
            return self._note_close()
        if answer is None:
            assert not self._is_welcome, f"closed with {self.wire.close_code}"
            allowed = {CloseCode.REFUSED.code, CloseCode.TOKEN_EXPIRED.code} if shot.expected is Expected.EITHER else {}
            assert self.wire.close_code in allowed, f"closed with {self.wire.close_code}"
            return self._note_close()

        if answer["type"] != "error":
            assert shot.expected is not Expected.REFUSED, answer
            assert answer["type"] == "welcome" or self._is_welcome
            assert not shot.ref or answer["ref"] == shot.ref, answer
            self._is_welcome, self._strikes = True, 0
            return True

        assert not shot.ref or answer["ref"] == shot.ref, answer
        assert answer["code"] != "TOO_MANY_REQUESTS", "nothing else waits"
        if self._is_welcome:
            is_bad = answer["code"] in BAD_FRAMES
            assert is_bad or shot.expected is not Expected.REFUSED, answer
            assert not is_bad or shot.expected is not Expected.FINE, answer
            self._strikes = self._strikes + 1 if is_bad else 0
            if self._strikes < 3:
                return True
        assert await self._take() is None
        assert self.wire.close_code == CloseCode.BAD_FRAME.code, f"closed with {self.wire.close_code}"
        return self._note_close()

    async def _volley(self, shots: Sequence[Shot], *, is_early: bool = False) -> None:
        """Sends many at once; each is answered once, in any order, unless a third bad one ends it."""
        for shot in shots:
            self._send(shot)
        open_refs = Counter(shot.ref for shot in shots if shot.ref)
        bad = 0
        for _ in shots:
            answer = await self._take()
            if answer is None:
                assert is_early
                assert bad >= 3, f"closed after {bad} bad frames"
                assert self.wire.close_code == CloseCode.BAD_FRAME.code, f"closed with {self.wire.close_code}"
                self._note_close()
                return
            bad += answer.get("code") in BAD_FRAMES
            ref = answer.get("ref", "")
            assert is_early or not bad, answer
            assert is_early or not ref or open_refs[ref] == 1, answer
            open_refs[ref] -= 1

    async def _take(self) -> dict[str, Any] | None:
        """Gives the next answer, or None; checks everything by the README."""
        while (body := await self.wire.receive()) is not None:
            kind = body["type"]
            assert set(body) <= TOLD[kind] | {"type"}, body
            if kind in EVENTS:
                continue
            if kind == "error":
                assert body["code"] in CODES, body
                assert body["code"] != "INTERNAL", body
                assert body["message"]
                self._attack.answers[f"error {body['code']}"] += 1
            else:
                self._attack.answers[kind] += 1
                self._remember(body)
            return body
        return None

    def _remember(self, body: dict[str, Any]) -> None:
        found = [item["id"] for item in body.get("items", ())]
        found += [body[name] for name in ("cursor", "next_page_token") if body.get(name)]
        self._known[:] = [*self._known[-100:], *found]

    def _note_close(self) -> bool:
        self._attack.answers[f"close {self.wire.close_code}"] += 1
        return False


class Bystander:
    """A session that does nothing, and must get its events and nothing else."""

    def __init__(self, tab: Tab, user_id: str, *, is_attacked: bool) -> None:
        self.user_id = user_id
        self._tab = tab
        self._allowed = EVENTS if is_attacked else {"created"}
        self._created: set[str] = set()
        self._pongs = 0
        self._told = asyncio.Condition()

    async def watch(self) -> None:
        """Takes events for as long as it is open."""
        while True:
            body = json.loads(await self._tab.socket.recv())
            assert body["type"] in self._allowed | {"pong"}, body
            async with self._told:
                self._pongs += body["type"] == "pong"
                if body["type"] == "created":
                    self._created.add(body["item"]["id"])
                self._told.notify_all()

    async def check(self, backend: Caller) -> None:
        """Sends to its user, and awaits that it is told, and that it is answered itself."""
        # Not what the attack chooses preferences for.
        request = sender_pb2.SendRequest(notification_id="hello_world")
        request.user.id = self.user_id
        sent = await backend.sender.Send(request)
        pongs = self._pongs
        await self._tab.send(type="ping")
        try:
            async with asyncio.timeout(PATIENCE_S), self._told:
                await self._told.wait_for(lambda: sent.item_id in self._created and self._pongs > pongs)
        except TimeoutError as error:
            error.add_note(f"{self.user_id} was not told of {sent}; pongs: {self._pongs - pongs}")
            raise


@asynccontextmanager
async def bystanders(stack: Stack, attacked: Sequence[User]) -> AsyncIterator[list[Bystander]]:
    """Opens a session of each user that is attacked, and one of another; they must stay open while the block runs."""
    async with AsyncExitStack() as tabs:
        others = []
        for user_id in (*(user.user_id for user in attacked), "bystander"):
            tab = await tabs.enter_async_context(stack.tab(user_id))
            assert (await tab.receive())["type"] == "welcome"
            others.append(Bystander(tab, user_id, is_attacked=user_id != "bystander"))
        async with asyncio.TaskGroup() as tasks:
            watching = [tasks.create_task(other.watch()) for other in others]
            yield others
            for task in watching:
                task.cancel()


def test_the_frames_are_those_of_the_readme() -> None:
    """Every frame and field that a client may send is attacked."""
    inner = {name: words_of(text) for name, text in re.findall(r"^\| `(\w+)` \| ([^|]*) \|$", README, re.MULTILINE)}
    attacked = {kind: {name for path in paths for name in path.split(".")} for kind, paths in FIELDS.items()}

    assert attacked == {kind: names.union(*(inner.get(name, set()) for name in names)) for kind, names in SENT.items()}


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.timeout(900)
async def test_frames_end_their_own_session_at_most(mongodb_uri: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever comes in, each frame has one answer by the README; the logs name no failure, and others feel nothing."""
    stack = Stack(mongodb_uri=mongodb_uri.replace("/?", "/fuzz?"))
    assert (await stack.create_environment()).code == 0
    users = [User(stack.client_id, stack.client_secret, f"fuzzer-{number}") for number in range(4)]
    attack = Attack(stack.ws_port, users)
    # The bystanders must not lose their sessions to a machine that is slow.
    limits = {"frames_per_s": 1e6, "frames_burst": 10**6, "ping_timeout_s": 60, "hello_timeout_s": 60}
    # What the processes write is much, and looked through below.
    with redirect_stderr(StringIO()):
        async with stack.services() as services, stack.gateway(feed_silence_s=60, **limits) as gateway:
            assert (await stack.apply_samples()).code == 0
            async with stack.backend() as backend, bystanders(stack, users) as others:
                await check_all(others, backend)
                before = memory(gateway)
                try:
                    async with asyncio.TaskGroup() as tasks:
                        tasks.create_task(attack.run())
                        tasks.create_task(check_often(others, backend, attack))
                finally:
                    show("\n".join((attack.table(), *lines_that_fail(gateway)[:3])), capsys)
                await wait_until(lambda: has_closed(gateway, attack.handshakes))
                grown = memory(gateway) - before
                await check_all(others, backend)
                assert await is_healthy(f"http://127.0.0.1:{stack.ws_port}/healthz")
            assert await gateway.stop() == 0
            assert await services.stop() == 0

    show(f"the gateway had {before >> 20} MiB before, and {grown >> 20} MiB more after it", capsys)
    assert lines_that_fail(gateway) == []
    assert lines_that_fail(services) == []
    assert grown < MAX_GROWTH
    missed = BAD_FRAMES - {answer.removeprefix("error ") for answer in attack.answers}
    assert missed == set()


@pytest.mark.asyncio(loop_scope="session")
async def test_a_flood_ends_its_own_session(stack: Stack, capsys: pytest.CaptureFixture[str]) -> None:
    """With the limits that a gateway has by default, frames that come too fast are told so, or cut."""
    user = User(stack.client_id, stack.client_secret, "flooder")
    ends: Counter[int | None] = Counter()
    async with stack.backend() as backend, bystanders(stack, [user]) as others:
        for number in range(20):
            random = Random(f"{SEED} flood {number}")
            grammar = Grammar(random, user, [])
            wire = await Wire.connect(stack.ws_port)
            wire.send(HANDSHAKE)
            assert await wire.status() == 101
            controls, requests = (0, 400) if number % 2 else (2000, 0)
            wire.send(grammar.hello().data + frame(b"", PING) * controls)
            wire.send(b"".join(grammar.request().data for _ in range(requests)))
            while body := await wire.receive():
                assert body.get("code", "WELCOME_EXPECTED") in CODES, body
            ends[wire.close_code] += 1
            wire.cut()
            await check_all(others, backend)

    show(f"closes of floods: {dict(ends)}", capsys)
    assert set(ends) <= {CloseCode.TOO_FAST.code, CloseCode.BAD_FRAME.code, None}
    assert ends[None] >= 10


async def check_all(others: Sequence[Bystander], backend: Caller) -> None:
    """Sends to all bystanders, and awaits that each is told."""
    for other in others:
        await other.check(backend)


async def check_often(others: Sequence[Bystander], backend: Caller, attack: Attack) -> None:
    """Does so all through the attack."""
    for frames in range(0, FRAMES, FRAMES_PER_SEND):
        async with attack.progress:
            await attack.progress.wait_for(lambda: attack.frames >= frames)  # noqa: B023 - it is awaited in its turn
        await check_all(others, backend)


async def has_closed(gateway: Child, count: int) -> bool:
    """Tells whether all hostile sessions have come to their end."""
    return gateway.output.count('"event": "session_closed"') == count


def lines_that_fail(child: Child) -> list[str]:
    """Gives the lines of a log that tell of a failure."""
    # By newlines alone: what is logged may hold what else ends a line in Unicode.
    return [line for line in child.output.split("\n") if line and is_failure(line)]


def is_failure(line: str) -> bool:
    """Tells whether a line is neither of the log nor of the start, or is one of a failure."""
    if not line.startswith("{"):
        return re.match("carillon: (gateway|services) on ", line) is None
    record = json.loads(line)
    return record["level"] not in ("debug", "info") or record.get("code") in ("INTERNAL", "UNKNOWN")


def show(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Prints, also where all goes well."""
    with capsys.disabled():
        sys.stdout.write(f"\n{text}\n")


def memory(child: Child) -> int:
    """Gives how much memory a process has, in bytes; 0 where there is no /proc to tell."""
    with suppress(FileNotFoundError):
        return int(Path(f"/proc/{child.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0
