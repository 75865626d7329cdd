"""When a failed call is repeated, and when no more: full-jitter exponential backoff, for 24 hours. Pure."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

BASE = timedelta(seconds=1)
MAX_BACKOFF = timedelta(hours=1)
GIVE_UP_AFTER = timedelta(hours=24)


def next_attempt(
    first: datetime,
    now: datetime,
    *,
    failed_count: int,
    retry_after: timedelta | None = None,
    random: Callable[[], float],
) -> datetime | None:
    """Tells when to try again, or None to give up.

    Args:
        first: When the first attempt began.
        now: When the latest ended.
        failed_count: How many there were, this one included.
        retry_after: How long the provider wants to be left alone; never less than that.
        random: Gives a number from 0 to 1: many that failed at once do not come back at once.
    """
    ceiling = min(BASE * 2 ** min(failed_count - 1, 30), MAX_BACKOFF)
    at = now + max(ceiling * random(), retry_after or timedelta(0))
    return at if at - first < GIVE_UP_AFTER else None
