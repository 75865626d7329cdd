from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.kernel.errors import LimitExceeded
from services.kernel.rate import RateLimits, TokenBucket


def test_a_burst_is_let_through_at_once_and_then_what_time_gives() -> None:
    """An empty bucket is filled by time, one at a time."""
    bucket = TokenBucket(per_s=2, burst=3)

    assert [bucket.take(100.0) for _ in range(4)] == [True, True, True, False]
    assert [bucket.take(100.5), bucket.take(100.5)] == [True, False]
    assert bucket.take(100.9) is False
    assert bucket.take(101.0) is True


def test_a_bucket_holds_no_more_than_its_burst() -> None:
    """Who was silent for long may not send more at once for it."""
    bucket = TokenBucket(per_s=2, burst=3)
    assert bucket.take(0.0)

    assert [bucket.take(1000.0) for _ in range(4)] == [True, True, True, False]


@given(st.lists(st.floats(0, 2), max_size=200))
def test_no_pattern_gets_more_through_than_burst_and_time_allow(gaps: list[float]) -> None:
    """What is let through is at most the burst and what the time gives."""
    bucket, now, taken = TokenBucket(per_s=5, burst=4), 0.0, 0
    for gap in gaps:
        now += gap
        taken += bucket.take(now)

    assert taken <= 4 + 5 * now + 1e-6


def test_a_clock_that_is_set_back_takes_nothing() -> None:
    """What a bucket holds stays, and it is filled from the new time on."""
    bucket = TokenBucket(per_s=1, burst=2)

    assert [bucket.take(100.0), bucket.take(50.0), bucket.take(50.0)] == [True, True, False]
    assert bucket.take(51.0)


def refused_for_s(limits: RateLimits, client_id: str, now: float) -> float:
    """Counts a call and gives how long it has to wait; 0: it is let through."""
    try:
        limits.admit(client_id, now)
    except LimitExceeded as error:
        return error.retry_after.total_seconds()
    return 0


def test_who_waits_as_long_as_told_is_let_through() -> None:
    """A refusal says when there is one again; to ask meanwhile costs nothing, and nobody else waits."""
    limits = RateLimits(per_s=0.3, burst=2)
    assert [refused_for_s(limits, "a", 10.0) for _ in range(2)] == [0, 0]

    wait_s = refused_for_s(limits, "a", 10.0)
    assert wait_s == pytest.approx(1 / 0.3, abs=0.002)
    assert refused_for_s(limits, "b", 10.0) == 0
    assert refused_for_s(limits, "a", 11.0) == pytest.approx(wait_s - 1, abs=0.002)
    assert refused_for_s(limits, "a", 10.0 + wait_s) == 0
    assert refused_for_s(limits, "a", 10.0 + wait_s) > 0


def test_no_wait_is_longer_than_a_day() -> None:
    """A rate of next to nothing is answered by a time that can be written down."""
    limits = RateLimits(per_s=1e-300, burst=1)

    assert refused_for_s(limits, "a", 0.0) == 0
    assert refused_for_s(limits, "a", 1.0) == pytest.approx(86_400, abs=0.002)


def test_the_environment_that_was_silent_for_the_longest_is_forgotten() -> None:
    """Memory is bounded; who goes on calling is not forgotten for those who come once."""
    limits = RateLimits(per_s=0.001, burst=1, max_buckets=10)
    assert refused_for_s(limits, "busy", 0.0) == 0

    for number in range(100):
        assert refused_for_s(limits, f"once-{number}", 1.0) == 0
        assert refused_for_s(limits, "busy", 1.0) > 0

    assert len(limits) == 10
    assert refused_for_s(limits, "once-99", 1.0) > 0
    assert refused_for_s(limits, "once-0", 1.0) == 0
