"""A Node program on carillon.js that somebody wrote who had nothing but the README's section about it."""

from __future__ import annotations

import asyncio
import json
import shutil
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from carillon.v1 import sender_pb2
from services.kernel.auth import user_hash
from services.kernel.mongod import LocalMongod
from tests.contract.services.requests import send_request
from tests.e2e.processes import ROOT
from tests.e2e.stack import USER_ID, run_stack
from tests.polyglot.test_web import WS, install

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.contract.services.world import Caller
    from tests.e2e.stack import Stack

pytestmark = pytest.mark.timeout(600)

SOURCE = Path(__file__).parent / "program"
LINE_S = 30.0


class Program:
    """The program while it runs."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def until(self, event: str, **fields: object) -> dict[str, Any]:
        """Reads its lines up to the first that tells this, and gives that."""
        assert self.process.stdout
        async with asyncio.timeout(LINE_S):
            while line := await self.process.stdout.readline():
                told: dict[str, Any] = json.loads(line)
                if told | {"event": event} | fields == told:
                    return told
        raise AssertionError(f"the program has ended without {event} {fields}")

    async def do(self, what: str, **fields: object) -> dict[str, Any]:
        """Has it do something, and gives its answer."""
        assert self.process.stdin
        self.process.stdin.write(json.dumps({"do": what, **fields}).encode() + b"\n")
        return await self.until("answer", do=what)


@asynccontextmanager
async def program(folder: Path, stack: Stack) -> AsyncIterator[Program]:
    """Runs it until the block ends."""
    process = await asyncio.create_subprocess_exec(
        *("node", "program.mjs"),
        cwd=folder / "program",
        env={
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "INBOX_URL": f"ws://127.0.0.1:{stack.ws_port}/v1/inbox",
            "CLIENT_ID": stack.client_id,
            "USER_ID": USER_ID,
            "USER_HASH": user_hash(stack.client_secret, USER_ID),
            "STATE_FILE": str(folder / "state.json"),
        },
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield Program(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_a_program_from_the_section_alone(tmp_path: Path) -> None:
    """It receives, marks, loses its network and resumes, and goes on where it was when it is started again."""
    shutil.copytree(ROOT / "gateway" / "web", tmp_path / "gateway" / "web")
    shutil.copytree(SOURCE, tmp_path / "program")
    await install(tmp_path, WS)
    async with LocalMongod(tmp_path / "mongod") as mongod, run_stack(mongod.uri) as stack, stack.backend() as backend:
        async with program(tmp_path, stack) as running:
            assert (await running.until("welcome"))["resume"] == "snapshot"
            first = await send(backend, "One")
            assert (await running.until("new"))["id"] == first
            assert (await running.do("open", id=first))["changed_count"] == 1

            await running.do("cut", seconds=1)
            await send(backend, "Two")
            welcome = await running.until("welcome", resume="full")
            assert (welcome["titles"][0], welcome["unread_count"]) == ("Hello, Two!", 1)
            assert (await running.do("mark_all"))["unread_count"] == 0
            assert (await running.do("archive", id=first))["changed_count"] == 1
            assert "error" not in await running.do("mute", notification_id="hello_world")
            await running.do("close")
            async with asyncio.timeout(LINE_S):
                assert await running.process.wait() == 0

        assert not await send(backend, "muted")
        retraction = sender_pb2.RetractRequest(user_id=USER_ID, notification_id="hello_world")
        assert (await backend.sender.Retract(retraction)).retracted_count == 2
        async with program(tmp_path, stack) as running:
            assert (await running.until("welcome", resume="full"))["titles"] == []


async def send(backend: Caller, name: str) -> str:
    """Sends, and gives the id of the item, if there is one."""
    request = send_request("hello_world", user={"id": USER_ID}, merge_tags={"firstName": name})
    return str((await backend.sender.Send(request)).item_id)
