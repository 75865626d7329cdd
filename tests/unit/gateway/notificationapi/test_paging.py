from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from carillon.v1 import inbox_pb2
from gateway.notificationapi.moments import read_moment
from gateway.notificationapi.paging import MAX_ALIKE, Page, read_before, read_count, read_page
from services.kernel.wire import to_timestamp

NOON = datetime(2026, 1, 2, 12, 0, 0, 678_000, tzinfo=UTC)
MOMENT = timedelta(milliseconds=1)


class Inbox:
    """An inbox that is paged as the services do it."""

    def __init__(self, *dates: datetime) -> None:
        self._items = [inbox_pb2.InboxItem(id=f"{i:05d}", date=to_timestamp(date)) for i, date in enumerate(dates)]
        self.calls = 0

    async def list(self, request: inbox_pb2.ListInboxRequest) -> inbox_pb2.ListInboxResponse:
        """Gives a page."""
        self.calls += 1
        assert request.view == inbox_pb2.INBOX_VIEW_ALL
        assert 1 <= request.page_size <= 200
        bound = request.before_time.ToDatetime(UTC) if request.HasField("before_time") else None
        items = [one for one in self._items if bound is None or one.date.ToDatetime(UTC) <= bound]
        start = int(request.page_token or 0)
        end = start + request.page_size
        return inbox_pb2.ListInboxResponse(items=items[start:end], next_page_token=str(end) if end < len(items) else "")


async def page(inbox: Inbox, count: int, before: datetime | None = None) -> Page:
    """Reads a page of anybody."""
    return await read_page(inbox.list, "u1", count=count, before=before)


def numbers(page: Page) -> list[int]:
    """Gives which items a page holds."""
    return [int(item["id"]) for item in page.items]


@pytest.mark.parametrize(("count", "calls"), [(1, 1), (50, 1), (200, 1), (201, 2), (1000, 5)])
async def test_a_page_has_as_many_as_are_asked_for(count: int, calls: int) -> None:
    """A page has exactly `count` items, the newest, and says that there are more; the services give it in slices."""
    inbox = Inbox(*(NOON - MOMENT * i for i in range(1001)))

    read = await page(inbox, count)

    assert numbers(read) == list(range(count))
    assert read.has_more
    assert inbox.calls == calls


@pytest.mark.parametrize("count", [3, 4, 1000])
async def test_the_last_page(count: int) -> None:
    """The page that reaches the oldest item says that there is nothing more."""
    inbox = Inbox(NOON, NOON - MOMENT, NOON - 2 * MOMENT)

    assert await page(inbox, count) == Page((await page(inbox, 3)).items, has_more=False)
    assert await page(inbox, count, NOON - 3 * MOMENT) == Page([], has_more=False)


async def test_before_is_inclusive() -> None:
    """The item of the moment itself comes with the page, once more."""
    inbox = Inbox(NOON, NOON - MOMENT, NOON - 2 * MOMENT)

    assert numbers(await page(inbox, 10, NOON - MOMENT)) == [1, 2]


@pytest.mark.parametrize("count", [1, 2, 50, 199, 200, 1000])
@pytest.mark.parametrize("alike", [2, 51, 201, 450])
async def test_items_of_one_moment_do_not_stop_a_client(alike: int, count: int) -> None:
    """Who goes on with the date of the oldest item gets every item, however many share a millisecond."""
    dates = [NOON + MOMENT, *([NOON] * alike), NOON - MOMENT, NOON - 2 * MOMENT]
    inbox = Inbox(*dates)
    held: set[int] = set()
    before: datetime | None = None

    for _ in range(len(dates)):
        read = await page(inbox, count, before)
        if not read.items or held.issuperset(numbers(read)):
            break
        held.update(numbers(read))
        before = datetime.fromisoformat(read.items[-1]["date"])

    assert sorted(held) == list(range(len(dates)))
    assert not read.has_more


async def test_a_page_that_goes_on_ends_with_the_first_older_item() -> None:
    """A page is longer than it was asked to be only by what its client needs to go on."""
    inbox = Inbox(*([NOON] * 30), NOON - MOMENT, NOON - 2 * MOMENT)

    read = await page(inbox, 10, NOON)

    assert numbers(read) == list(range(31))
    assert read.has_more


async def test_too_many_items_of_one_moment() -> None:
    """There is a bound to it; what is older comes all the same."""
    inbox = Inbox(*([NOON] * (MAX_ALIKE + 500)), NOON - 2 * MOMENT, NOON - 3 * MOMENT)

    read = await page(inbox, 200, NOON)

    assert numbers(read) == [*range(MAX_ALIKE), MAX_ALIKE + 500]
    assert read.has_more


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("1", 1),
        ("50", 50),
        (50, 50),
        ("50.0", 50),
        (" 50 ", 50),
        ("1000", 1000),
        ("1001", 1000),
        ("1e9", 1000),
        ("9" * 300, 1000),
        (None, 10),
        ("", 10),
        ("0", 10),
        ("-1", 10),
        ("ten", 10),
        ("NaN", 10),
        ("inf", 10),
        ("undefined", 10),
        (True, 10),
        ([], 10),
    ],
    ids=repr,
)
def test_counts(text: Any, count: int) -> None:
    """A count is never an error: too many are a thousand, and nonsense is as if nothing was said."""
    assert read_count(text) == count
    assert read_count(text, default=50) == (50 if count == 10 else count)


@pytest.mark.parametrize(
    "value",
    [
        "2026-01-02T12:00:00.678Z",
        "2026-01-02T12:00:00.678+00:00",
        "2026-01-02T12:00:00.678 00:00",
        "2026-01-02T14:00:00.678 02:00",
        "2026-01-02T07:00:00.678-05:00",
        "2026-01-02T12:00:00.678999Z",
        "2026-01-02T12:00:00.678",
        "2026-01-02 12:00:00.678",
        " 2026-01-02T12:00:00.678Z ",
        "1767355200678",
        "1767355200678.4",
        "1767355200.678",
        1767355200678,
        1767355200.678,
    ],
    ids=repr,
)
def test_moments(value: Any) -> None:
    """A moment may be a time with or without a zone, or seconds or milliseconds since 1970."""
    assert read_before(value) == NOON


@pytest.mark.parametrize("value", [None, "", " ", "undefined", "null", "NaN", float("nan")], ids=repr)
def test_no_bound(value: Any) -> None:
    """What JavaScript writes where there is nothing is no bound."""
    assert read_before(value) is None


@pytest.mark.parametrize(
    "value",
    [
        "yesterday",
        "2026-13-01",
        "inf",
        "-inf",
        "1e400",
        "9" * 30,
        "-1e18",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        True,
        [],
        {"a": 1},
        "Thu Jan 01 2026 00:00:00 GMT 0000 (UTC)",
    ],
    ids=repr,
)
def test_what_is_no_moment(value: Any) -> None:
    """What cannot be read is refused, whatever it is."""
    with pytest.raises(ValueError, match="must be an ISO 8601 time"):
        read_before(value)


def test_what_is_nested_too_deep_to_be_written_is_no_bound_of_ours_either() -> None:
    """JSON may nest deeper than the rest of Python goes: a value with parts is looked at from outside."""
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]

    assert read_count(deep) == 10
    for read in (read_before, read_moment):
        with pytest.raises(ValueError, match="ISO 8601"):
            read(deep)
