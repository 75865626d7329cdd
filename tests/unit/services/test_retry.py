from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from services.delivery.retry import next_attempt

FIRST = datetime(2026, 11, 27, 12, tzinfo=UTC)


def delay(failed_count: int, jitter: float, **fields: timedelta) -> timedelta | None:
    """Gives how long is waited after so many failures, right after the first attempt."""
    at = next_attempt(FIRST, FIRST, failed_count=failed_count, random=lambda: jitter, **fields)
    return at - FIRST if at else None


@pytest.mark.parametrize(
    ("failed_count", "ceiling_s"), [(1, 1), (2, 2), (3, 4), (4, 8), (10, 512), (12, 2048), (13, 3600), (500, 3600)]
)
def test_the_backoff_doubles_up_to_an_hour(failed_count: int, ceiling_s: int) -> None:
    """The longest wait doubles with each failure from one second on, and is an hour at most."""
    assert delay(failed_count, 1.0) == timedelta(seconds=ceiling_s)


def test_the_jitter_is_full() -> None:
    """Any time up to the longest may come out, none included."""
    assert [delay(4, jitter) for jitter in (0.0, 0.25, 0.5)] == [timedelta(seconds=s) for s in (0, 2, 4)]


def test_a_provider_is_left_alone_for_as_long_as_it_wants() -> None:
    """Retry-After is the least that is waited, and does not shorten a longer backoff."""
    assert delay(1, 1.0, retry_after=timedelta(minutes=5)) == timedelta(minutes=5)
    assert delay(10, 1.0, retry_after=timedelta(seconds=5)) == timedelta(seconds=512)


@pytest.mark.parametrize(
    ("since_first", "is_the_end"), [(timedelta(hours=22, minutes=59), False), (timedelta(hours=23, minutes=1), True)]
)
def test_after_a_day_it_is_given_up(since_first: timedelta, *, is_the_end: bool) -> None:
    """No attempt begins later than 24 hours after the first."""
    at = next_attempt(FIRST, FIRST + since_first, failed_count=20, random=lambda: 1.0)
    assert (at is None) is is_the_end


def test_who_wants_to_be_left_alone_for_longer_than_a_day() -> None:
    """A Retry-After beyond the last moment is the end."""
    assert delay(1, 0.0, retry_after=timedelta(hours=25)) is None
