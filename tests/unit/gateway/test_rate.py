from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.rate import TokenBucket


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
