"""Moments as NotificationAPI's clients write them: as text, or as a number of seconds or milliseconds. Pure."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Seconds until the year 5138; what is greater counts milliseconds.
_MAX_SECONDS = 1e11


def read_moment(value: object) -> datetime:
    """Reads a moment, in whole milliseconds.

    Raises:
        ValueError: If it is none.
    """
    text = text_of(value)
    try:
        time = _from_number(text) or _from_text(text)
    except (ValueError, OverflowError):
        raise ValueError("must be an ISO 8601 time, or seconds or milliseconds since 1970") from None
    return time.replace(microsecond=time.microsecond // 1000 * 1000)


def seconds_of(number: float) -> float:
    """Gives the seconds of a UNIX time that may be in milliseconds."""
    return number if abs(number) < _MAX_SECONDS else number / 1000


def text_of(value: object) -> str:
    """Gives a value of JSON as text; one with parts, which are no moment and no number, as none."""
    # It may be nested too deep to be written.
    return "[]" if isinstance(value, list | dict) else str(value).strip()


def _from_number(text: str) -> datetime | None:
    try:
        number = float(text)
    except ValueError:
        return None
    if math.isinf(number):
        raise ValueError
    return _EPOCH + timedelta(seconds=seconds_of(number))


def _from_text(text: str) -> datetime:
    # A "+" that was not encoded arrives as a space.
    date, _, zone = text.rpartition(" ")
    if date and "T" in date:
        text = f"{date}+{zone}"
    time = datetime.fromisoformat(text)
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)
