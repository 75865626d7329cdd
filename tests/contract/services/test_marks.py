"""Marks on items: what they imply, what they count, and that none is lost."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from carillon.v1 import inbox_pb2, sender_pb2
from tests.contract.services.refusals import assert_violates, refusal
from tests.contract.services.requests import USER, definition, inapp, send_request
from tests.contract.services.test_indexes import profiled

if TYPE_CHECKING:
    from tests.contract.services.world import Tenant, World

pytestmark = pytest.mark.asyncio(loop_scope="session")

SEEN = inbox_pb2.INBOX_MARK_SEEN
OPENED = inbox_pb2.INBOX_MARK_OPENED
CLICKED = inbox_pb2.INBOX_MARK_CLICKED
ARCHIVED = inbox_pb2.INBOX_MARK_ARCHIVED
FIRST = inbox_pb2.INBOX_MARK_FIRST_ACTION
SECOND = inbox_pb2.INBOX_MARK_SECOND_ACTION
TIMES = ("seen_time", "opened_time", "clicked_time", "archive_time", "first_action_time", "second_action_time")
ALL = inbox_pb2.INBOX_VIEW_ALL


async def mark(tenant: Tenant, *ids: str, **fields: Any) -> tuple[int, int]:
    """Marks the user's items; gives how many changed, and how many are unread now."""
    target = {"items": {"ids": ids}} if ids else {}
    request = inbox_pb2.MarkInboxRequest(**({"user_id": USER} | target | fields))
    answer = await tenant.backend.inbox.MarkInbox(request)
    return answer.changed_count, answer.unread_count


async def all_items(tenant: Tenant) -> dict[str, inbox_pb2.InboxItem]:
    """Gives the user's items, the archived ones too."""
    request = inbox_pb2.ListInboxRequest(user_id=USER, page_size=1000, view=ALL)
    answer = await tenant.backend.inbox.ListInbox(request)
    items = {item.id: item for item in answer.items}
    # The badge is at all times what the items say.
    assert answer.unread_count == sum(item.unread for item in items.values())
    assert all(
        item.unread is not (item.HasField("seen_time") or item.HasField("archive_time")) for item in answer.items
    )
    return items


async def one_item(tenant: Tenant) -> inbox_pb2.InboxItem:
    """Gives the user's only item."""
    (item,) = (await all_items(tenant)).values()
    return item


async def send_many(tenant: Tenant, count: int) -> list[str]:
    """Sends so many plain items, and gives their ids, the oldest first."""
    await tenant.put(definition("plain", inapp()))
    for start in range(0, count, 100):
        await asyncio.gather(*(tenant.send(send_request("plain")) for _ in range(min(100, count - start))))
    request = inbox_pb2.ListInboxRequest(user_id=USER, page_size=1000)
    first = await tenant.backend.inbox.ListInbox(request)
    request.page_token = first.next_page_token
    rest = (await tenant.backend.inbox.ListInbox(request)).items if first.next_page_token else ()
    return [item.id for item in (*first.items, *rest)][::-1]


def times(item: inbox_pb2.InboxItem) -> set[str]:
    """Names the times that an item has."""
    return {name for name in TIMES if item.HasField(name)}  # type: ignore[arg-type] # each is a field


@pytest.mark.parametrize(
    ("marks", "expected"),
    [
        ([SEEN], {"seen_time"}),
        ([OPENED], {"seen_time", "opened_time"}),
        ([CLICKED], {"seen_time", "opened_time", "clicked_time"}),
        ([ARCHIVED], {"seen_time", "archive_time"}),
        ([FIRST], {"seen_time", "opened_time", "first_action_time"}),
        ([SECOND, ARCHIVED], {"seen_time", "opened_time", "second_action_time", "archive_time"}),
    ],
)
async def test_a_mark_sets_what_it_implies(tenant: Tenant, marks: list[int], expected: set[str]) -> None:
    """An item gets one time for all that a mark sets, and a later version, and counts no more; its neighbour stays."""
    neighbour, sent = await tenant.send(send_request(), send_request())
    before = await all_items(tenant)

    assert await mark(tenant, sent.item_id, set_marks=marks) == (1, 1)

    items = await all_items(tenant)
    item = items[sent.item_id]
    assert times(item) == expected
    assert len({getattr(item, name).ToMilliseconds() for name in expected}) == 1
    assert item.rev > before[sent.item_id].rev
    assert not item.unread
    assert items[neighbour.item_id] == before[neighbour.item_id]


@pytest.mark.parametrize(
    ("clears", "left", "unread"),
    [
        ([SEEN], {"first_action_time"}, True),
        ([OPENED], {"first_action_time"}, True),
        ([CLICKED], {"seen_time", "opened_time", "first_action_time"}, False),
        ([FIRST], {"seen_time", "opened_time", "clicked_time"}, False),
    ],
)
async def test_clearing_takes_what_hangs_on_it(tenant: Tenant, clears: list[int], left: set[str], unread: bool) -> None:
    """Clearing seen or opened leaves neither of them nor clicked, and the item counts again; clicked goes alone."""
    (sent,) = await tenant.send(send_request())
    await mark(tenant, sent.item_id, set_marks=[CLICKED, FIRST])

    assert await mark(tenant, sent.item_id, clear_marks=clears) == (1, int(unread))

    item = await one_item(tenant)
    assert (times(item), item.unread) == (left, unread)


async def test_archiving_and_back(tenant: Tenant) -> None:
    """An archived item is in the archive alone and does not count; back in the inbox it counts if it is not seen."""
    (sent,) = await tenant.send(send_request())

    assert await mark(tenant, sent.item_id, set_marks=[ARCHIVED]) == (1, 0)
    assert await tenant.items(USER) == []
    archive = inbox_pb2.ListInboxRequest(user_id=USER, view=inbox_pb2.INBOX_VIEW_ARCHIVE)
    assert [item.id for item in (await tenant.backend.inbox.ListInbox(archive)).items] == [sent.item_id]

    assert await mark(tenant, sent.item_id, clear_marks=[SEEN]) == (1, 0)
    assert await mark(tenant, sent.item_id, clear_marks=[ARCHIVED]) == (1, 1)
    assert [times(item) for item in await tenant.items(USER)] == [set()]


async def test_a_mark_keeps_its_time_and_a_repeated_one_changes_nothing(tenant: Tenant) -> None:
    """What is marked already is not touched: no count, no new version, the first time; the rest gets the new time."""
    (sent,) = await tenant.send(send_request())
    early = datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)
    await mark(tenant, sent.item_id, set_marks=[SEEN], mark_time=early)
    before = await one_item(tenant)

    assert await mark(tenant, sent.item_id, set_marks=[SEEN], mark_time=early - timedelta(days=1)) == (0, 0)
    assert await mark(tenant, sent.item_id, clear_marks=[ARCHIVED, CLICKED]) == (0, 0)
    assert await one_item(tenant) == before

    await mark(tenant, sent.item_id, set_marks=[CLICKED])
    item = await one_item(tenant)
    assert item.seen_time.ToDatetime(tzinfo=UTC) == early
    assert item.opened_time == item.clicked_time
    assert item.opened_time.ToDatetime(tzinfo=UTC) > early


async def test_the_future_is_now(tenant: Tenant) -> None:
    """A time of the mark that is in the future is the server's own."""
    (sent,) = await tenant.send(send_request())
    began = datetime.now(UTC) - timedelta(milliseconds=1)

    await mark(tenant, sent.item_id, set_marks=[SEEN], mark_time=began + timedelta(days=1))

    assert began <= (await one_item(tenant)).seen_time.ToDatetime(tzinfo=UTC) <= datetime.now(UTC)


async def test_replies_are_added_in_their_order(tenant: Tenant) -> None:
    """A reply opens the item; one that equals the last is not added again; any other is, a dollar sign included."""
    (sent,) = await tenant.send(send_request())

    changed = [(await mark(tenant, sent.item_id, reply=reply))[0] for reply in ("yes", "yes", "$no", "$no", "yes")]

    item = await one_item(tenant)
    assert changed == [1, 0, 1, 0, 1]
    assert [reply.text for reply in item.replies] == ["yes", "$no", "yes"]
    assert times(item) == {"seen_time", "opened_time"}


async def test_of_too_many_replies_the_oldest_leaves(tenant: Tenant) -> None:
    """An item keeps its newest 100 replies, each of up to 4,096 bytes."""
    (sent,) = await tenant.send(send_request())
    for number in range(101):
        await mark(tenant, sent.item_id, reply=f"{number:04096}")

    replies = (await one_item(tenant)).replies
    assert [int(reply.text) for reply in replies] == list(range(1, 101))


async def test_until_marks_what_was_there(tenant: Tenant) -> None:
    """All items up to a time are marked, that time's own included; what is newer, and what is filtered out, is not."""
    await tenant.put(definition("a", inapp(), category="c"), definition("b", inapp()))
    old = [(await tenant.send(send_request(name)))[0].item_id for name in ("a", "b", "a")]
    until = (await all_items(tenant))[old[-1]].date
    while (newer := (await tenant.send(send_request("a")))[0].item_id) and (
        (await all_items(tenant))[newer].date.ToMilliseconds() == until.ToMilliseconds()
    ):
        old.append(newer)

    target = {"time": until, "filter": {"categories": ["c"], "unread": True}}
    assert await mark(tenant, until=target, set_marks=[SEEN]) == (len(old) - 1, 2)
    assert await mark(tenant, until=target, set_marks=[SEEN]) == (0, 2)
    assert await mark(tenant, until={"time": until}, set_marks=[SEEN]) == (1, 1)
    assert (await all_items(tenant))[newer].unread


async def test_until_follows_the_view(tenant: Tenant) -> None:
    """An until-mark reaches the inbox, the archive or both, as it says, and takes back as it sets."""
    one, two = (sent.item_id for sent in await tenant.send(send_request(), send_request()))
    until = {"time": datetime.now(UTC) + timedelta(minutes=1)}
    await mark(tenant, one, set_marks=[ARCHIVED])

    assert await mark(tenant, until=until | {"view": inbox_pb2.INBOX_VIEW_ARCHIVE}, set_marks=[OPENED]) == (1, 1)
    assert await mark(tenant, until=until, set_marks=[OPENED]) == (1, 0)
    assert await mark(tenant, until=until | {"view": ALL}, clear_marks=[OPENED]) == (2, 1)
    assert await mark(tenant, until=until | {"filter": {"unread": False}}, set_marks=[SEEN]) == (0, 1)
    assert await mark(tenant, until=until | {"view": ALL}, clear_marks=[ARCHIVED]) == (1, 2)
    assert await mark(tenant, until=until | {"view": ALL}, reply="both") == (2, 0)
    items = await all_items(tenant)
    assert set(items) == {one, two}
    assert all(times(item) == {"seen_time", "opened_time"} for item in items.values())


async def test_more_than_one_slice_is_marked(tenant: Tenant) -> None:
    """1,000 ids at once, and an until-mark of more items than one write takes, miss none."""
    ids = await send_many(tenant, 1001)

    assert await mark(tenant, *ids[:1000], set_marks=[OPENED]) == (1000, 1)
    until = {"time": datetime.now(UTC) + timedelta(minutes=1)}
    assert await mark(tenant, until=until, set_marks=[ARCHIVED]) == (1001, 0)
    assert await tenant.items(USER) == []


async def test_a_user_marks_their_own(tenant: Tenant) -> None:
    """A user marks what is theirs; ids of others, of nobody and of another environment are passed over."""
    mine, others = await tenant.send(send_request(), send_request(user={"id": "other"}))
    request = inbox_pb2.MarkInboxRequest(
        items={"ids": [others.item_id, "nothing", mine.item_id, mine.item_id]},  # type: ignore[arg-type] # a dict will do
        set_marks=[SEEN],
    )

    answer = await tenant.user(USER).inbox.MarkInbox(request)

    assert (answer.changed_count, answer.unread_count) == (1, 0)
    assert [item.unread for item in await tenant.items("other")] == [True]
    stranger = inbox_pb2.MarkInboxRequest(user_id="other", items=request.items, set_marks=[SEEN])
    assert (await refusal(tenant.user(USER).inbox.MarkInbox(stranger))).reason == "OTHER_USER"


async def test_what_was_taken_back_stays_away(tenant: Tenant) -> None:
    """No mark touches a retracted item, brings it back or counts it."""
    sent, kept = await tenant.send(send_request(), send_request())
    await tenant.backend.sender.Retract(sender_pb2.RetractRequest(user_id=USER, tracking_ids=[sent.tracking_id]))

    for fields in ({"set_marks": [ARCHIVED]}, {"clear_marks": [ARCHIVED]}, {"clear_marks": [SEEN]}, {"reply": "x"}):
        assert (await mark(tenant, sent.item_id, **fields))[0] == 0
    until = {"time": datetime.now(UTC) + timedelta(minutes=1), "view": ALL}
    assert await mark(tenant, until=until, set_marks=[CLICKED]) == (1, 0)
    assert list(await all_items(tenant)) == [kept.item_id]


async def test_marks_at_once_lose_none(tenant: Tenant) -> None:
    """However many mark the same items at once, every mark is there, and each item is counted once for each change."""
    ids = await send_many(tenant, 40)
    wishes = [{"set_marks": [one]} for one in (SEEN, OPENED, CLICKED, ARCHIVED, FIRST, SECOND)] * 3

    counts = await asyncio.gather(*(mark(tenant, *ids, **wish) for wish in wishes))

    items = await all_items(tenant)
    assert all(times(item) == set(TIMES) for item in items.values())
    # Each item changes at least four times (two actions, a click, the archive) and once for each mark at most.
    assert 4 * 40 <= sum(changed for changed, _ in counts) <= 6 * 40


async def test_marks_and_their_opposites_at_once_lose_none(tenant: Tenant) -> None:
    """While one session archives and others take seen and clicked back, no mark is lost and no rule is broken."""
    ids = await send_many(tenant, 30)
    for _ in range(5):
        await asyncio.gather(
            mark(tenant, *ids, set_marks=[ARCHIVED]),
            mark(tenant, *ids, clear_marks=[SEEN]),
            mark(tenant, *ids, set_marks=[OPENED]),
            mark(tenant, *ids, clear_marks=[CLICKED]),
            mark(tenant, *ids, set_marks=[FIRST]),
        )
        items = (await all_items(tenant)).values()
        assert all(item.HasField("archive_time") and item.HasField("first_action_time") for item in items)
        assert all(item.HasField("seen_time") or not item.HasField("opened_time") for item in items)
        assert (await mark(tenant, *ids, clear_marks=[ARCHIVED, FIRST]))[0] == 30


async def test_the_same_mark_at_once_counts_each_item_once(tenant: Tenant) -> None:
    """However many set the same mark, by id or by time, their counts add up to the items; so with replies."""
    ids = await send_many(tenant, 40)
    until = {"time": datetime.now(UTC) + timedelta(minutes=1)}

    seen = await asyncio.gather(
        *(mark(tenant, *ids, set_marks=[SEEN]) for _ in range(4)),
        *(mark(tenant, until=until, set_marks=[SEEN]) for _ in range(4)),
    )
    # Opened before, so that a reply changes nothing but the replies.
    await mark(tenant, *ids, set_marks=[OPENED])
    replied = await asyncio.gather(*(mark(tenant, *ids, reply="yes") for _ in range(6)))

    assert sum(changed for changed, _ in seen) == 40
    assert sum(changed for changed, _ in replied) == 40
    assert all(len(item.replies) == 1 for item in (await all_items(tenant)).values())


async def test_a_retraction_at_once_wins(tenant: Tenant) -> None:
    """What is retracted while it is marked is gone, and the badge with it."""
    ids = await send_many(tenant, 40)

    await asyncio.gather(
        *(mark(tenant, *ids, set_marks=[OPENED]) for _ in range(3)),
        *(mark(tenant, *ids, clear_marks=[SEEN]) for _ in range(3)),
        tenant.backend.sender.Retract(sender_pb2.RetractRequest(user_id=USER, notification_id="plain")),
    )

    assert await all_items(tenant) == {}


async def test_marking_all_as_read_costs_what_is_unread(world: World, tenant: Tenant) -> None:
    """However much the inbox holds, marking all of it as seen reads and writes what is not seen, by index."""
    ids = await send_many(tenant, 60)
    await mark(tenant, *ids[:57], set_marks=[SEEN])

    async with profiled(world) as seen:
        until = {"time": datetime.now(UTC) + timedelta(minutes=1)}
        assert await mark(tenant, until=until, set_marks=[SEEN]) == (3, 0)

    assert len(seen) == 4
    assert all(one["planSummary"].startswith(("IXSCAN", "COUNT_SCAN")) for one in seen)
    assert max(one["docsExamined"] for one in seen) == 3
    assert max(one["keysExamined"] for one in seen) <= 4


BAD_MARKS: dict[str, tuple[dict[str, Any], list[tuple[str, str]]]] = {
    "nothing": ({"user_id": ""}, [("user_id", "REQUIRED"), ("items", "REQUIRED"), ("set_marks", "REQUIRED")]),
    "no-ids": ({"items": {}, "set_marks": [1]}, [("items.ids", "REQUIRED")]),
    "1001-ids": ({"items": {"ids": ["i"] * 1001}, "set_marks": [1]}, [("items.ids", "TOO_MANY")]),
    "bad-ids": (
        {"items": {"ids": ["i", "", "x" * 129]}, "set_marks": [1]},
        [("items.ids[1]", "REQUIRED"), ("items.ids[2]", "TOO_LONG")],
    ),
    "no-marks": ({"items": {"ids": ["i"]}}, [("set_marks", "REQUIRED")]),
    "bad-marks": (
        {"items": {"ids": ["i"]}, "set_marks": [0, 9, 1, 1], "clear_marks": [2, 2]},
        [
            ("set_marks[0]", "REQUIRED"),
            ("set_marks[1]", "UNKNOWN_VALUE"),
            ("set_marks[3]", "DUPLICATE"),
            ("clear_marks[1]", "DUPLICATE"),
        ],
    ),
    "the-same-both-ways": (
        {"items": {"ids": ["i"]}, "set_marks": [1], "clear_marks": [1]},
        [("clear_marks[0]", "CONFLICT")],
    ),
    "against-what-is-implied": (
        {"items": {"ids": ["i"]}, "set_marks": [4], "reply": "x", "clear_marks": [3, 1, 2]},
        [("clear_marks[1]", "CONFLICT"), ("clear_marks[2]", "CONFLICT")],
    ),
    "a-long-reply": ({"items": {"ids": ["i"]}, "reply": "x" * 4097}, [("reply", "TOO_LONG")]),
    "a-bad-time": (
        {"items": {"ids": ["i"]}, "set_marks": [1], "mark_time": {"seconds": 10**15}},
        [("mark_time", "OUT_OF_RANGE")],
    ),
    "a-bad-until": (
        {"until": {"view": 9, "filter": {"tags": ["t"] * 101}}, "set_marks": [1]},
        [("until.time", "REQUIRED"), ("until.view", "UNKNOWN_VALUE"), ("until.filter.tags", "TOO_MANY")],
    ),
}


@pytest.mark.parametrize("name", BAD_MARKS)
async def test_a_bad_mark_is_refused(tenant: Tenant, name: str) -> None:
    """MarkInbox names everything that is wrong at once."""
    fields, expected = BAD_MARKS[name]
    request = inbox_pb2.MarkInboxRequest(**({"user_id": USER} | fields))

    assert_violates(await refusal(tenant.backend.inbox.MarkInbox(request)), expected)
