"""What a client asks for while its session is open, with services that answer as each test wants."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from carillon.v1 import inbox_pb2
from gateway.closes import CloseCode
from gateway.protocol import MAX_REQUESTS
from services.kernel.errors import Conflict, FieldViolation, InvalidArgument, LimitExceeded, Unavailable
from services.kernel.wire import to_timestamp

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from services.kernel.errors import DomainError
    from tests.contract.gateway.world import World

    Start = Callable[..., AbstractAsyncContextManager[World]]


async def test_a_mark_reaches_the_services_whole(start: Start) -> None:
    """What a mark frame says is what the services are asked, for the user of the session."""
    async with start() as world, world.tab("anna") as tab:
        await tab.send(type="mark", ref="1", ids=["a"], set=["SEEN", "FIRST_ACTION"], clear=["ARCHIVED"], reply="r")
        assert await tab.receive() == {"type": "result", "ref": "1", "changed_count": 1, "unread_count": 0}
        until = {"time": "2026-01-02T03:04:05.678Z", "view": "ALL", "filter": {"unread": True, "tags": ["t"]}}
        await tab.send(type="mark", ref="2", until=until, set=["OPENED"])
        assert (await tab.receive())["ref"] == "2"

    assert world.inbox.marked == [
        inbox_pb2.MarkInboxRequest(
            user_id="anna",
            items=inbox_pb2.ItemIds(ids=["a"]),
            set_marks=[inbox_pb2.INBOX_MARK_SEEN, inbox_pb2.INBOX_MARK_FIRST_ACTION],
            clear_marks=[inbox_pb2.INBOX_MARK_ARCHIVED],
            reply="r",
        ),
        inbox_pb2.MarkInboxRequest(
            user_id="anna",
            until=inbox_pb2.ItemsUntil(
                time=to_timestamp(datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)),
                view=inbox_pb2.INBOX_VIEW_ALL,
                filter=inbox_pb2.InboxFilter(unread=True, tags=["t"]),
            ),
            set_marks=[inbox_pb2.INBOX_MARK_OPENED],
        ),
    ]


async def test_a_slow_service_holds_up_neither_events_nor_pings(start: Start) -> None:
    """While requests wait for their answers the session gets its events; the answers come when they come."""
    async with start() as world, world.tab("anna") as tab:
        world.inbox.asked.shut()
        await tab.send(type="list", ref="slow", limit=7, page_token="p")
        await world.inbox.asked.reached.wait()

        await world.insert("anna", "while it waits")
        assert (await tab.receive())["type"] == "created"
        await tab.send(type="ping")
        assert await tab.receive() == {"type": "pong"}

        world.inbox.asked.open()
        assert await tab.receive() == {
            "type": "result",
            "ref": "slow",
            "items": [],
            "next_page_token": "p",
            "unread_count": 7,
        }


async def test_requests_in_flight_are_bounded(start: Start) -> None:
    """One request too many is refused without a call, the others are answered, and then there is room again."""
    async with start() as world, world.tab("anna") as tab:
        world.inbox.asked.shut()
        for number in range(MAX_REQUESTS + 3):
            await tab.send(type="mark", ref=str(number), ids=["a"], set=["SEEN"])
        refused = [await tab.receive() for _ in range(3)]
        assert [(one["code"], one["ref"]) for one in refused] == [
            ("TOO_MANY_REQUESTS", str(number)) for number in range(MAX_REQUESTS, MAX_REQUESTS + 3)
        ]

        world.inbox.asked.open()
        answers = [await tab.receive() for _ in range(MAX_REQUESTS)]
        assert {one["ref"] for one in answers if one["type"] == "result"} == {str(n) for n in range(MAX_REQUESTS)}
        await tab.send(type="mark", ref="again", ids=["a"], set=["SEEN"])
        assert (await tab.receive())["ref"] == "again"


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            InvalidArgument([FieldViolation("until.filter.tags[2]", "is long"), FieldViolation("reply", "too")]),
            {
                "code": "INVALID_REQUEST",
                "field": "until.filter.tags[2]",
                "message": "until.filter.tags[2]: is long; reply: too",
            },
        ),
        (InvalidArgument([FieldViolation("items.ids[2]", "x")]), {"code": "INVALID_REQUEST", "field": "ids[2]"}),
        (Unavailable(), {"code": "UNAVAILABLE"}),
        (LimitExceeded("x", reason="X", retry_after=Unavailable().retry_after), {"code": "UNAVAILABLE"}),
        (Conflict("secret", reason="SECRET"), {"code": "INTERNAL", "message": "the services failed"}),
    ],
)
async def test_a_refusal_is_told_and_the_session_goes_on(
    start: Start, error: DomainError, told: dict[str, Any]
) -> None:
    """What the services refuse is an error with the ref of the request, and no strike."""
    async with start() as world, world.tab("anna") as tab:
        world.inbox.error = error
        for ref in "1234":
            await tab.send(type="mark", ref=ref, ids=["a"], set=["SEEN"])
            answer = await tab.receive()
            assert answer == answer | told | {"type": "error", "ref": ref}
        assert ("field" in answer) is ("field" in told)


async def test_a_hash_that_holds_no_more_ends_the_session(start: Start) -> None:
    """Once the secret is gone a request is the end of the session, for good."""
    async with start() as world, world.tab("anna") as tab:
        world.inbox.secrets = ["rotated"]
        await tab.send(type="mark", ref="1", ids=["a"], set=["SEEN"])

        assert await tab.closed() == CloseCode.REFUSED.code
    assert world.inbox.marked == []


async def test_nothing_is_asked_before_the_welcome(start: Start) -> None:
    """A request that comes before the welcome is refused, and reaches no service."""
    async with start() as world, world.connect() as tab:
        world.inbox.before_read.shut()
        await tab.hello("anna")
        await tab.send(type="mark", ref="1", ids=["a"], set=["SEEN"])
        error = await tab.receive()
        assert (error["code"], error["ref"]) == ("WELCOME_EXPECTED", "1")
        world.inbox.before_read.open()
        assert (await tab.receive())["type"] == "welcome"
    assert world.inbox.marked == []


async def test_a_session_that_ends_leaves_no_request_behind(start: Start, lines: list[Any]) -> None:
    """A client that goes while a request waits is gone at once."""
    async with start() as world, world.tab("anna") as tab:
        world.inbox.asked.shut()
        await tab.send(type="list", ref="1")
        await world.inbox.asked.reached.wait()
        world.stop.set()
        assert await tab.closed() == CloseCode.GOING_AWAY.code
        world.inbox.asked.open()

    assert [line["close_code"] for line in lines if line["event"] == "session_closed"] == [1001]
