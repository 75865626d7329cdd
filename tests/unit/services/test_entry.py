from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from services.kernel.clock import new_id, utc_now
from services.kernel.vocabulary import Priority
from services.messages.entry import LogEntry, LogFilter, LogPage

NOW = datetime(2026, 3, 29, 12, tzinfo=UTC)
ENTRY = LogEntry(
    tracking_id="",
    user_id="u",
    notification_id="n",
    deliveries=(),
    create_time=NOW,
    expire_time=NOW,
    schedule_time=None,
    sub_notification_id="",
    secondary_id="",
    request_id="",
    group_id="",
    tags=(),
    priority=Priority.NORMAL,
    category="",
    section="",
    warnings=(),
    marks=None,
    request=b"",
    size=10,
)


def page(ids: str, end: str = "") -> LogPage:
    """Makes a page of messages whose ids are letters."""
    return LogPage(tuple(replace(ENTRY, tracking_id=one) for one in ids), end)


def joined(one: LogPage, other: LogPage, *, limit: int = 10, max_bytes: int = 1000) -> tuple[str, str]:
    """Gives ids and end of two pages joined; which is first makes no difference."""
    there, back = (a.joined(b, limit=limit, max_bytes=max_bytes) for a, b in ((one, other), (other, one)))
    assert there == back
    return "".join(entry.tracking_id for entry in there.entries), there.end


def test_two_whole_pages_are_one() -> None:
    """Pages that left nothing are joined to one that left nothing, the newest first."""
    assert joined(page("fca"), page("eb")) == ("fecba", "")
    assert joined(page(""), page("a")) == ("a", "")


def test_a_joined_page_reaches_as_far_as_both_do() -> None:
    """What one page has below the end of the other waits: something may lie between."""
    assert joined(page("fca"), page("eb", end="b")) == ("fecb", "b")
    assert joined(page("fca", end="a"), page("", end="d")) == ("f", "d")


def test_what_is_over_a_limit_is_left_for_the_next_page() -> None:
    """A page ends with the last that it holds, by number or by bytes, and holds one at least."""
    assert joined(page("fca"), page("eb"), limit=3) == ("fec", "c")
    assert joined(page("fca"), page("eb"), limit=5) == ("fecba", "")
    assert joined(page("fca"), page("eb"), max_bytes=20) == ("fe", "e")
    assert joined(page("fca"), page("eb"), max_bytes=1) == ("f", "f")


def test_the_range_of_a_time_has_the_ids_that_are_made_then() -> None:
    """An id that is made right after the time was read lies in the range of that time, and in no other second's."""
    time, tracking_id = utc_now(), new_id()

    assert LogFilter(start_time=time).lowest_id <= tracking_id
    assert tracking_id < LogFilter(end_time=time + timedelta(milliseconds=1)).highest_id
    assert tracking_id < LogFilter(start_time=time + timedelta(seconds=3)).lowest_id
    assert tracking_id >= LogFilter(end_time=time - timedelta(seconds=3)).highest_id


def test_no_time_is_too_early_or_too_late() -> None:
    """Every time of the proto has a range; what lies before 1970 begins with the first id."""
    assert LogFilter(start_time=datetime(1, 1, 1, tzinfo=UTC)).lowest_id == "00000000-0000"
    assert LogFilter(end_time=datetime(9999, 12, 31, tzinfo=UTC)).highest_id < "f"
    assert (LogFilter().lowest_id, LogFilter().highest_id) == ("", "")
