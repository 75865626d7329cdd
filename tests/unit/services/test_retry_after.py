from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.delivery.retry_after import MAX_RETRY_AFTER, parse_retry_after

NOW = datetime(2026, 8, 18, 20, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("30", 30),
        (" 120 ", 120),
        ("Tue, 18 Aug 2026 20:00:05 GMT", 5),
        ("Tuesday, 18-Aug-26 20:00:05 GMT", 5),
        ("Tue, 18 Aug 2026 20:00:05 -0000", 5),
        ("Tue, 18 Aug 2026 22:00:05 +0200", 5),
        ("9" * 5000, MAX_RETRY_AFTER.total_seconds()),
        ("Fri, 31 Dec 9999 23:59:59 GMT", MAX_RETRY_AFTER.total_seconds()),
    ],
)
def test_a_wait_is_read(value: str, seconds: float) -> None:
    """Seconds and dates say how long to wait, at most a day."""
    assert parse_retry_after(value, NOW) == timedelta(seconds=seconds)


@pytest.mark.parametrize("value", ["", "0", "-5", "1.5", "soon", "٣", "Tue, 18 Aug 2026 19:59:59 GMT", "Tue, 99 Aug"])
def test_what_says_nothing_is_left_out(value: str) -> None:
    """What is neither, or over already, is as if it were not there."""
    assert parse_retry_after(value, NOW) is None


@given(st.text(max_size=60))
def test_no_header_raises(value: str) -> None:
    """Whatever a provider writes there, it is read or left out."""
    parse_retry_after(value, NOW)
