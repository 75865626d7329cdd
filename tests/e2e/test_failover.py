"""Three members that lose their primary twice under load: two gateway processes serve on, and miss nothing."""

from __future__ import annotations

import asyncio
import sys
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest

from carillon.v1 import inbox_pb2
from tests.contract.live.world import Browser
from tests.e2e.gateways import entries, read_until, two_processes
from tests.e2e.load import Load
from tests.e2e.stack import Stack, order_tracking
from tests.replica_set import ReplicaSet

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from carillon.v1 import sender_pb2
    from tests.contract.services.world import Caller

USERS = [f"user-{number}" for number in range(8)]
# With two processes, that all come to the same one is one in a billion.
TABS_OF_A_USER = 4
SENDS_PER_S = 100
MOST_SENDS = 6000
LAST = "Your last order is on its way"


def make_request(number: int) -> sender_pb2.SendRequest:
    """Makes the send of a number, to each user in turn."""
    request = order_tracking(USERS[number % len(USERS)])
    request.request_id = f"request-{number}"
    request.merge_tags.update({"item": f"order {number}"})
    return request


async def take_until_last(browser: Browser) -> None:
    """Applies frames until the last item; a session that is closed before raises."""
    while (await browser.take()).get("item", {}).get("title") != LAST:
        pass


async def fail_over(replica_set: ReplicaSet, fail: Callable[[], Awaitable[None]]) -> None:
    """Takes the primary away, and returns once another one takes writes."""
    loop = asyncio.get_running_loop()
    before, begun = await replica_set.primary(), loop.time()
    await fail()
    assert await replica_set.primary() is not before
    sys.stderr.write(f"{loop.time() - begun:.1f} s until another primary\n")


async def check(backend: Caller, user_id: str, browsers: list[Browser], sent: list[str]) -> None:
    """Asserts that all browsers of a user hold what the services say, and were told each item once."""
    listed = await backend.inbox.ListInbox(inbox_pb2.ListInboxRequest(user_id=user_id, page_size=1000))
    unread_count = (await backend.inbox.CountUnread(inbox_pb2.CountUnreadRequest(user_id=user_id))).unread_count
    assert sorted(item.id for item in listed.items) == sorted(sent)
    for browser in browsers:
        assert sorted(browser.appeared) == sorted(sent)
        assert {key: (item["rev"], item["title"]) for key, item in browser.items.items()} == {
            item.id: (item.rev, item.content.title) for item in listed.items
        }
        assert browser.unread_count == unread_count == len(sent)


@pytest.mark.timeout(300)
async def test_a_new_primary_costs_no_session_and_no_event(tmp_path: Path) -> None:
    """After a step-down and a crash under load all sessions of both processes are open, and exact."""
    async with ReplicaSet(tmp_path) as replica_set, AsyncExitStack() as opened:
        stack = Stack(mongodb_uri=replica_set.uri.replace("/?", "/carillon?"))
        created = await stack.create_environment()
        assert created.code == 0, created.stderr
        await opened.enter_async_context(stack.services(log_level="error"))
        applied = await stack.apply_samples()
        assert applied.code == 0, applied.stderr
        # Longer than any election here, however loaded the machine: so that no session needs to be closed.
        gateway = await opened.enter_async_context(two_processes(stack, feed_silence_s=60))
        backend = await opened.enter_async_context(stack.backend())

        browsers: dict[str, list[Browser]] = {}
        for user_id in USERS * TABS_OF_A_USER:
            browser = Browser((await opened.enter_async_context(stack.tab(user_id))).socket)
            assert (await browser.take())["type"] == "welcome"
            browsers.setdefault(user_id, []).append(browser)
        sessions = len(USERS) * TABS_OF_A_USER
        await read_until(gateway, lambda: len(entries(gateway, "session_opened")) == sessions)
        pids = {line["pid"] for line in entries(gateway, "session_opened")}
        assert len(pids) == 2

        load = Load(backend, make_request, per_s=SENDS_PER_S, count=MOST_SENDS)
        async with asyncio.TaskGroup() as tasks:
            following = [tasks.create_task(take_until_last(one)) for tabs in browsers.values() for one in tabs]
            sending = tasks.create_task(load.run())
            await load.more(2 * SENDS_PER_S)
            await fail_over(replica_set, replica_set.step_down)
            await load.more(3 * SENDS_PER_S)
            primary = await replica_set.primary()
            await fail_over(replica_set, lambda: replica_set.kill(primary))
            await load.more(3 * SENDS_PER_S)
            assert not any(task.done() for task in (*following, sending))
            load.stop()
            await sending
            # Events come in order: with the last item of a user, all the others have come.
            last = {user_id: await send_last(backend, user_id) for user_id in USERS}

        for number, user_id in enumerate(USERS):
            sent = [tracking_id for key, tracking_id in load.acknowledged.items() if key % len(USERS) == number]
            await check(backend, user_id, browsers[user_id], [*sent, last[user_id]])

        await read_until(gateway, lambda: {line["pid"] for line in entries(gateway, "feed_interrupted")} == pids)
        assert len(entries(gateway, "feed_opened")) == 2
        assert [line for event in ("feed_lost", "session_closed") for line in entries(gateway, event)] == []
    sys.stderr.write(f"{len(load.acknowledged)} sends at {load.rate:.0f}/s, {load.repeated} calls made again\n")


async def send_last(backend: Caller, user_id: str) -> str:
    """Sends the item that the browsers of a user wait for, and gives its id."""
    request = order_tracking(user_id)
    request.merge_tags.update({"item": "last order"})
    return str((await backend.sender.Send(request)).tracking_id)
