"""One client that stops reading, beside 500 that go on: it alone pays for it, and not with what it is shown."""

from __future__ import annotations

import asyncio
import itertools
import sys
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest

from carillon.v1 import inbox_pb2, notifications_pb2, sender_pb2
from gateway.closes import CloseCode
from tests.contract.services.requests import definition, inapp, send_request
from tests.e2e.gateways import entries
from tests.e2e.light import light_client
from tests.e2e.load import Load
from tests.e2e.processes import PATIENCE_S
from tests.e2e.stack import Stack

if TYPE_CHECKING:
    from tests.contract.services.world import Caller
    from tests.e2e.processes import Child

USERS = [f"user-{number}" for number in range(20)]
SESSIONS_OF_A_USER = 25
SENDS_PER_S = 200
# No user gets so many that a resume would be a snapshot: 500.
MOST_SENDS = 6000
BODY = "x" * 4000
MOST_FRAME_BYTES = 5000
OUTBOX_BYTES = 256 * 1024
LAST = "the last"


class Shown:
    """What a client holds of an inbox to which items only come."""

    def __init__(self) -> None:
        self.items: dict[str, dict[str, Any]] = {}
        self.unread_count = 0
        self.has_last = asyncio.Event()
        self.count = 0

    def begin(self, welcome: dict[str, Any]) -> None:
        """Takes a welcome."""
        self.items |= {item["id"]: item for item in welcome["items"]}
        self.unread_count = welcome["unread_count"]

    def take(self, frame: dict[str, Any]) -> None:
        """Takes an event."""
        assert frame["type"] == "created", frame
        item = frame["item"]
        self.count += 1
        self.items[item["id"]] = item
        self.unread_count += frame["unread_change"]
        if item["title"] == LAST:
            self.has_last.set()


def a_send(user_id: str, title: str) -> sender_pb2.SendRequest:
    """Makes a send of an item of 4 KB."""
    return send_request("note", user={"id": user_id}, merge_tags={"title": title}, request_id=title)


def make_request(number: int) -> sender_pb2.SendRequest:
    """Makes the send of a number, to each user in turn."""
    return a_send(USERS[number % len(USERS)], f"note {number}")


async def check(backend: Caller, user_id: str, shown: list[Shown], sent: list[str]) -> None:
    """Asserts that all clients of a user hold what the services say."""
    listed = await backend.inbox.ListInbox(inbox_pb2.ListInboxRequest(user_id=user_id, page_size=1000))
    items = {item.id: (item.rev, item.content.title, item.content.body, item.unread) for item in listed.items}
    assert sorted(items) == sorted(sent)
    for one in shown:
        held = {key: (item["rev"], item["title"], item["body"], item["unread"]) for key, item in one.items.items()}
        assert held == items
        assert one.unread_count == listed.unread_count == len(sent)


def closed(gateway: Child) -> list[dict[str, Any]]:
    """Gives the sessions that have ended."""
    return entries(gateway, "session_closed")


@pytest.mark.timeout(300)
async def test_a_stalled_client_costs_the_others_nothing(mongodb_uri: str) -> None:
    """It is closed as slow within its bound, nobody else is, and by its cursor it gets all that it missed."""
    stack = Stack(mongodb_uri=mongodb_uri.replace("/?", "/stalled?"), client_id="stalled")
    created = await stack.create_environment()
    assert created.code == 0, created.stderr
    async with AsyncExitStack() as opened:
        await opened.enter_async_context(stack.services(log_level="error"))
        settings = {"outbox_bytes": OUTBOX_BYTES, "outbox_frames": 1000, "close_timeout_s": 1}
        gateway = await opened.enter_async_context(stack.gateway(**settings))
        backend = await opened.enter_async_context(stack.backend())
        note = definition("note", inapp("{{ title }}", body=BODY))
        await backend.notifications.PutNotification(notifications_pb2.PutNotificationRequest(notification=note))

        healthy: dict[str, list[Shown]] = {user_id: [] for user_id in USERS}
        clients = []
        for user_id in USERS * SESSIONS_OF_A_USER:
            shown = Shown()
            clients.append(await opened.enter_async_context(light_client(stack, user_id, shown.take)))
            healthy[user_id].append(shown)
        user_id = USERS[0]
        back = Shown()
        stalled = await opened.enter_async_context(light_client(stack, user_id, back.take, is_narrow=True))
        back.begin(await stalled.welcome)
        stalled.stall()

        load = Load(backend, make_request, per_s=SENDS_PER_S, count=MOST_SENDS)
        async with asyncio.TaskGroup() as tasks:
            sending = tasks.create_task(load.run())
            await load.until(lambda: "session_closed" in gateway.output)
            (end,) = closed(gateway)
            assert (end["user_id"], end["reason"]) == (user_id, CloseCode.SLOW.reason)
            assert OUTBOX_BYTES - MOST_FRAME_BYTES < end["waited_bytes"] <= OUTBOX_BYTES + MOST_FRAME_BYTES
            sys.stderr.write(f"closed after {len(load.acknowledged)} sends at {load.rate:.0f}/s: {end}\n")

            cursor = (await stalled.welcome)["cursor"]
            again = await opened.enter_async_context(light_client(stack, user_id, back.take, cursor=cursor))
            welcome = await again.welcome
            assert welcome["resume"] == "full"
            back.begin(welcome)
            await load.more(SENDS_PER_S)
            load.stop()
            await sending

        # Events come in order: with the last item of a user, all the others have come.
        last = {one: (await backend.sender.Send(a_send(one, LAST))).tracking_id for one in USERS}
        assert closed(gateway) == [end]
        async with asyncio.timeout(PATIENCE_S):
            for shown in (back, *itertools.chain.from_iterable(healthy.values())):
                await shown.has_last.wait()
        for number, one in enumerate(USERS):
            sent = [tracking_id for key, tracking_id in load.acknowledged.items() if key % len(USERS) == number]
            await check(backend, one, healthy[one], [*sent, last[one]])
            assert {shown.count for shown in healthy[one]} == {len(sent) + 1}
            if one == user_id:
                await check(backend, one, [back], [*sent, last[one]])

        assert closed(gateway) == [end]
        assert {client.close_code for client in (*clients, again)} == {None}
    sys.stderr.write(f"{len(load.acknowledged)} sends at {load.rate:.0f}/s, {load.repeated} calls made again\n")
