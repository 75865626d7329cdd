"""A client in Go that somebody wrote who had nothing but gateway/README.md, against a real gateway."""

from __future__ import annotations

import asyncio
import itertools
import json
import shutil
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from carillon.v1 import inbox_pb2, messages_pb2, sender_pb2, users_pb2
from gateway.items import item_from_proto
from services.kernel.auth import user_hash
from services.kernel.mongod import LocalMongod
from tests.contract.services.requests import send_request
from tests.e2e.readme import run
from tests.e2e.stack import USER_ID, run_stack
from tests.tokens import mint

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tests.contract.services.world import Caller
    from tests.e2e.stack import Stack

# The first time, packages are downloaded and compiled.
pytestmark = pytest.mark.timeout(600)

SOURCE = Path(__file__).parent / "stranger"
ANSWER_S = 30.0


class Stranger:
    """The client, as a process that answers to lines."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self._ids = itertools.count()

    async def do(self, what: str, **fields: Any) -> dict[str, Any]:
        """Has it do something, and gives its answer."""
        assert self.process.stdin
        assert self.process.stdout
        command_id = str(next(self._ids))
        self.process.stdin.write(json.dumps({"id": command_id, "do": what, **fields}).encode() + b"\n")
        async with asyncio.timeout(ANSWER_S):
            while line := await self.process.stdout.readline():
                answer: dict[str, Any] = json.loads(line)
                if answer["id"] == command_id:
                    return answer
        raise AssertionError("the client has ended")

    async def until(self, is_so: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
        """Asks for its state until that is so, and gives it."""
        async with asyncio.timeout(ANSWER_S):
            while not is_so(state := await self.do("state")):  # noqa: ASYNC110 - the state of another process
                await asyncio.sleep(0.02)
        return state


@asynccontextmanager
async def stranger(binary: Path, stack: Stack, **credentials: str) -> AsyncIterator[Stranger]:
    """Runs the client until the block ends."""
    process = await asyncio.create_subprocess_exec(
        binary,
        env={"INBOX_URL": f"ws://127.0.0.1:{stack.ws_port}/v1/inbox", **credentials},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 24,
    )
    try:
        yield Stranger(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@pytest.fixture
async def binary(tmp_path: Path) -> Path:
    """Gives the client, compiled."""
    folder = tmp_path / "stranger"
    shutil.copytree(SOURCE, folder)
    await run("go", "build", "-o", "client", ".", cwd=folder)
    return folder / "client"


async def test_a_client_from_the_page_alone(binary: Path, tmp_path: Path) -> None:
    """It receives, marks, pages, resumes after a cut, and stays away when it is told to."""
    async with LocalMongod(tmp_path / "mongod") as mongod, run_stack(mongod.uri) as stack, stack.backend() as backend:
        by_hash = {
            "CLIENT_ID": stack.client_id,
            "USER_ID": USER_ID,
            "USER_HASH": user_hash(stack.client_secret, USER_ID),
        }
        old = [await send(backend) for _ in range(7)]
        async with stranger(binary, stack, **by_hash, LIMIT="5") as client:
            state = await client.until(lambda state: state["state"] == "live")
            assert [item["id"] for item in state["items"]] == old[:1:-1]
            assert (state["unread_count"], state["new"], state["resumes"]) == (7, [], ["snapshot"])

            await check_events(client, backend, old)
            await check_resumes(client, backend)
            await check_preferences(client)
            truth = await read_truth(backend)
            await client.until(lambda state: (state["items"], state["unread_count"]) == truth)
            assert (await client.do("close"))["ok"]
            assert await client.process.wait() == 0
        await check_tokens(binary, stack, backend)


async def check_events(client: Stranger, backend: Caller, old: list[str]) -> None:
    """What appears, is marked and is taken back shows, also what is older than the first page."""
    new = await send(backend)
    state = await client.until(lambda state: new in ids(state))
    assert state["new"] == [new]
    assert (await client.do("mark", ids=[new], set=["OPENED"]))["changed_count"] == 1
    state = await client.until(lambda state: not state["items"][0]["unread"])
    assert (state["items"][0]["id"], "opened_time" in state["items"][0], state["unread_count"]) == (new, True, 7)

    assert await client.do("more") | {"id": ""} == {"id": "", "items_count": 2, "has_more": False}
    assert ids(await client.do("state")) == [new, *reversed(old)]
    await client.do("mark", ids=[new], set=["ARCHIVED"])
    await client.until(lambda state: new not in ids(state))
    await client.do("mark", ids=[new], clear=["ARCHIVED"])
    state = await client.until(lambda state: new in ids(state))
    assert state["new"] == [new]
    await backend.messages.DeleteMessage(messages_pb2.DeleteMessageRequest(tracking_id=old[0]))
    await client.until(lambda state: old[0] not in ids(state) and state["unread_count"] == 6)
    assert (await client.do("mark_all", set=["SEEN"]))["changed_count"] == 6
    await client.until(lambda state: state["unread_count"] == 0)


async def check_resumes(client: Stranger, backend: Caller) -> None:
    """After a cut it is told what changed meanwhile, and rings once for what is new."""
    before = await client.do("state")
    await client.do("cut")
    missed = await send(backend)
    await backend.sender.Retract(sender_pb2.RetractRequest(user_id=USER_ID, tracking_ids=[ids(before)[0]]))
    state = await client.until(lambda state: missed in ids(state) and ids(before)[0] not in ids(state))
    await client.until(lambda state: len(state["resumes"]) == 2 and state["state"] == "live")
    assert state["resumes"][0] == "snapshot"
    assert set((await client.do("state"))["resumes"][1:]) == {"full"}
    assert state["new"][-1] == missed


async def check_preferences(client: Stranger) -> None:
    """A choice is made, and read again."""
    choice = {"notification_id": "hello_world", "channel": "EMAIL", "delivery_option": "OFF"}
    assert (await client.do("patch_preferences", preferences=[choice]))["preferences"] == [choice]
    assert (await client.do("get_preferences"))["preferences"] == [choice]
    refused = await client.do("patch_preferences", preferences=[choice | {"notification_id": "no such"}])
    assert refused["error"]["field"] == "preferences[0].notification_id"


async def check_tokens(binary: Path, stack: Stack, backend: Caller) -> None:
    """A token opens a session, a new one goes on with it, and after a revocation the client stays away."""
    token = mint(stack.client_secret, stack.client_id, USER_ID)
    async with stranger(binary, stack, USER_TOKEN=token) as client:
        await client.until(lambda state: state["state"] == "live")
        renewed = await client.do("renew", token=mint(stack.client_secret, stack.client_id, USER_ID))
        assert "expire_time" in renewed
        await backend.users.RevokeUserTokens(users_pb2.RevokeUserTokensRequest(user_id=USER_ID))
        state = await client.until(lambda state: state["state"] == "ended")
        assert state["close"] == 4502


async def send(backend: Caller) -> str:
    """Sends, and gives the id of the item."""
    answer = await backend.sender.Send(send_request("hello_world", user={"id": USER_ID}, merge_tags={"firstName": "x"}))
    return str(answer.item_id)


async def read_truth(backend: Caller) -> tuple[list[dict[str, Any]], int]:
    """Gives what the inbox holds, as frames have it."""
    answer = await backend.inbox.ListInbox(inbox_pb2.ListInboxRequest(user_id=USER_ID, page_size=1000))
    return [item_from_proto(item) for item in answer.items], answer.unread_count


def ids(state: dict[str, Any]) -> list[str]:
    """Gives the ids of what the client shows."""
    return [item["id"] for item in state["items"]]
