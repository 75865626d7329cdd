from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from websockets.exceptions import ConnectionClosed

from gateway.closes import CloseCode
from tests.contract.gateway.world import ANSWER_S, message

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from tests.contract.gateway.world import World

    Start = Callable[..., AbstractAsyncContextManager[World]]


async def test_a_welcome_holds_the_newest_items_and_the_badge(start: Start) -> None:
    """A client that connects gets what is there, as many items as it asks for."""
    async with start() as world, world.connect() as tab:
        ids = await world.insert("anna", "one", "two", "three")
        await tab.hello("anna", limit=2)

        welcome = await tab.receive()

    assert (welcome["type"], welcome["resume"], welcome["unread_count"]) == ("welcome", "snapshot", 3)
    assert [item["id"] for item in welcome["items"]] == ids[:0:-1]


async def test_an_item_is_the_same_live_and_in_a_welcome(start: Start) -> None:
    """What appears in an open tab equals what another tab is welcomed with, field by field."""
    async with start() as world, world.tab("anna") as open_tab, world.connect() as late_tab:
        await world.insert("anna", "Shipped", body="Soon")
        created = await open_tab.receive()
        await late_tab.hello("anna")
        welcome = await late_tab.receive()

    assert created.pop("cursor")
    assert created == {"type": "created", "item": welcome["items"][0], "unread_change": 1}
    assert welcome["unread_count"] == 1


async def test_a_retraction_reaches_every_tab_of_the_user_and_nobody_else(start: Start) -> None:
    """Both tabs lose the item and its place in the badge; another user hears of neither."""
    async with start() as world, world.tab("anna") as one, world.tab("anna") as two, world.tab("bert") as other:
        ids = await world.insert("anna", "a", "b")
        assert [(await tab.receive())["item"]["title"] for tab in (one, one, two, two)] == ["a", "b", "a", "b"]

        await world.retract("anna", ids)

        for tab in (one, two):
            retracted = [await tab.receive()]
            # Both retractions are one frame where one batch held them.
            while sum(len(frame["ids"]) for frame in retracted) < 2:
                retracted.append(await tab.receive())
            assert sorted(item_id for frame in retracted for item_id in frame["ids"]) == ids
            assert sum(frame["unread_change"] for frame in retracted) == -2
        await world.insert("bert", "own")
        assert (await other.receive())["item"]["title"] == "own"


async def test_marks_are_told_by_the_fields_that_changed(start: Start) -> None:
    """A mark sets and unsets fields of an item, and moves the badge."""
    async with start() as world, world.tab("anna") as tab:
        ids = await world.insert("anna", "a")
        await tab.receive()
        await world.update("anna", ids, {"$set": {"inapp.unread": False, "inapp.label": "x"}, "$unset": {"x": ""}})

        updated = await tab.receive()

    assert updated | {"revs": [], "cursor": ""} == {
        "type": "updated",
        "ids": ids,
        "revs": [],
        "cursor": "",
        "set": {"unread": False, "label": "x"},
        "unset": [],
        "unread_change": -1,
    }


async def test_an_item_that_an_event_does_not_tell_is_read(start: Start) -> None:
    """A new date makes the item appear anew, and a replaced document is shown as it is now."""
    async with start() as world, world.tab("anna") as tab:
        (item_id,) = await world.insert("anna", "a")
        created = await tab.receive()
        later = message("anna", "b")["inapp"]["date"].replace(year=2027)
        await world.update("anna", [item_id], {"$set": {"inapp.date": later, "inapp.message_count": 2}})
        stacked = await tab.receive()
        replacement = message("anna", "replaced") | {"_id": {"e": "dev", "u": "anna", "m": item_id}}
        await world.database.messages.replace_one({"_id": replacement["_id"]}, replacement)
        replaced = await tab.receive()

    assert stacked["unread_change"] == 0
    assert stacked["item"] | {"rev": ""} == created["item"] | {
        "rev": "",
        "date": "2027-01-02T03:04:05.678Z",
        "message_count": 2,
    }
    assert stacked["item"]["rev"] > created["item"]["rev"]
    assert (replaced["type"], replaced["item"]["title"]) == ("created", "replaced")


async def test_events_while_a_welcome_is_read_are_neither_lost_nor_doubled(start: Start) -> None:
    """What happens before the read is in the welcome alone, what happens after it follows, in its order."""
    async with start() as world, world.tab("anna") as watcher, world.connect() as tab:
        before_read, after_read = world.inbox.before_read, world.inbox.after_read
        before_read.shut()
        after_read.shut()
        await tab.hello("anna")
        await before_read.reached.wait()
        read = await world.insert("anna", *"abcdefgh")
        # Once another tab has them all, they have been published to the waiting one too.
        assert [(await watcher.receive())["item"]["id"] for _ in read] == read

        before_read.open()
        await after_read.reached.wait()
        not_read = await world.insert("anna", *"ijk")
        assert [(await watcher.receive())["item"]["id"] for _ in not_read] == not_read

        after_read.open()
        welcome = await tab.receive()
        live = await world.insert("anna", "l")
        created = [await tab.receive() for _ in range(4)]

    assert welcome["unread_count"] == len(read)
    assert [item["id"] for item in welcome["items"]] == read[::-1]
    assert [frame["item"]["id"] for frame in created] == [*not_read, *live]


async def test_a_joined_event_counts_no_change_twice(start: Start) -> None:
    """Of retractions that one batch holds, those before the read are in its badge, those after it follow."""
    async with start() as world, world.connect() as tab:
        first, second = await world.insert("anna", "a", "b")
        world.inbox.before_read.shut()
        world.inbox.after_read.shut()
        await tab.hello("anna")
        await world.inbox.before_read.reached.wait()
        await world.retract("anna", [first])
        world.inbox.before_read.open()
        await world.inbox.after_read.reached.wait()
        await world.retract("anna", [second])
        world.inbox.after_read.open()

        welcome, retracted = await tab.receive(), await tab.receive()

    assert (welcome["unread_count"], [item["id"] for item in welcome["items"]]) == (1, [second])
    assert (retracted["type"], retracted["ids"], retracted["unread_change"]) == ("retracted", [second], -1)


async def test_a_slow_reader_is_closed_and_costs_the_others_nothing(start: Start, lines: list[Any]) -> None:
    """One tab reads nothing and is told to come back; the other tab of the same user gets every item."""
    async with start() as world, world.tab("anna") as quick, world.lazy_tab("anna") as slow:
        for _ in range(12):
            ids = await world.insert("anna", *"x" * 50, body="x" * 16_000)
            assert [(await quick.receive())["item"]["id"] for _ in ids] == ids

        assert await slow.closed() == CloseCode.SLOW.code
        await quick.send(type="ping")
        assert await quick.receive() == {"type": "pong"}

    assert [line["close_code"] for line in lines if line["event"] == "session_closed"] == [CloseCode.SLOW.code, 1000]


async def test_a_reader_that_reads_nothing_cannot_hold_up_a_stop(start: Start, lines: list[Any]) -> None:
    """Such a connection is cut, without a close that nobody would read."""
    async with start(close_timeout_s=0.1) as world, world.tab("anna") as quick, world.lazy_tab("anna"):
        for _ in range(12):
            ids = await world.insert("anna", *"x" * 50, body="x" * 16_000)
            assert [(await quick.receive())["item"]["id"] for _ in ids] == ids
        world.stop.set()
        assert await quick.closed() == CloseCode.GOING_AWAY.code
        async with asyncio.timeout(ANSWER_S):
            await world.running

    codes = [line["close_code"] for line in lines if line["event"] == "session_closed"]
    assert sorted(codes) == [CloseCode.GOING_AWAY.code, 1006]


async def test_a_wrong_hash_is_refused_before_any_data(start: Start) -> None:
    """The first thing that a client with a wrong hash gets is a close that tells it to stay away."""
    async with start() as world, world.tab("anna") as owner, world.connect() as tab:
        await world.insert("anna", "secret")
        await owner.receive()
        await tab.hello("anna", user_hash="d3Jvbmc=")

        with pytest.raises(ConnectionClosed):
            await tab.receive()
        assert tab.socket.close_code == CloseCode.REFUSED.code


@pytest.mark.parametrize(
    ("code", "close"),
    [
        (grpc.StatusCode.PERMISSION_DENIED, CloseCode.REFUSED),
        (grpc.StatusCode.UNAVAILABLE, CloseCode.UNAVAILABLE),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, CloseCode.UNAVAILABLE),
        (grpc.StatusCode.INTERNAL, CloseCode.UNAVAILABLE),
    ],
)
async def test_a_failed_welcome_says_whether_to_come_back(
    start: Start, code: grpc.StatusCode, close: CloseCode
) -> None:
    """Refused credentials mean to stay away, everything that may pass to come back."""
    async with start() as world, world.connect() as tab:
        world.inbox.code = code
        await tab.hello("anna")

        assert await tab.closed() == close.code


async def test_a_hello_that_the_services_find_wrong_is_told_why(start: Start) -> None:
    """An error frame comes first, then a close that means to stay away."""
    async with start() as world, world.connect() as tab:
        world.inbox.code = grpc.StatusCode.INVALID_ARGUMENT
        await tab.hello("anna")

        error = await tab.receive()
        assert (error["type"], error["code"], error["message"]) == (
            "error",
            "INVALID_ARGUMENT",
            "as the test wants it",
        )
        assert await tab.closed() == CloseCode.BAD_FRAME.code


async def test_a_deleted_user_is_closed(start: Start) -> None:
    """All tabs of the user end, those of others do not."""
    async with start() as world, world.tab("anna") as anna, world.tab("bert") as bert:
        await world.database.users.insert_many([{"_id": {"e": "dev", "u": name}} for name in ("anna", "bert")])
        await world.database.users.delete_one({"_id": {"e": "dev", "u": "anna"}})

        assert await anna.closed() == CloseCode.USER_DELETED.code
        await bert.send(type="ping")
        assert await bert.receive() == {"type": "pong"}


async def test_the_sessions_of_a_user_are_bounded(start: Start) -> None:
    """The session over the bound is told to come back; those that are open, and other users, do not feel it."""
    async with start(max_sessions_per_user=1) as world, world.tab("anna") as one, world.connect() as two:
        await two.hello("anna")

        assert await two.closed() == CloseCode.TOO_MANY_SESSIONS.code
        await one.send(type="ping")
        assert await one.receive() == {"type": "pong"}
        async with world.tab("bert"):
            pass
