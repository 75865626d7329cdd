"""The header Retry-After, by which a provider says how long it wants to be left alone. Pure."""

from __future__ import annotations

from datetime import UTC, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

MAX_RETRY_AFTER = timedelta(days=1)
"""Longer than anything is tried, so it makes no difference beyond."""


def parse_retry_after(value: str, now: datetime) -> timedelta | None:
    """Gives how long to wait, of seconds or of an HTTP date; None where it is neither, or over."""
    value = value.strip()
    if value.isascii() and value.isdigit():
        # A number of any length is a number to Python, and more than a timedelta holds.
        wait = MAX_RETRY_AFTER if len(value) > 6 else timedelta(seconds=int(value))
    else:
        try:
            at = parsedate_to_datetime(value)
        except (ValueError, OverflowError):
            return None
        wait = (at if at.tzinfo else at.replace(tzinfo=UTC)) - now
    return min(wait, MAX_RETRY_AFTER) if wait > timedelta(0) else None
