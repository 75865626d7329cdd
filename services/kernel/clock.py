"""The clock and the source of ids: passed in from app.py, so that tests can fix them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import uuid_utils

Clock = Callable[[], datetime]
"""Tells the time: aware, UTC, whole milliseconds."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)

IdSource = Callable[[], str]
"""Makes a new id at every call."""


def utc_now() -> datetime:
    """Tells the time in whole milliseconds: what MongoDB stores, so that a value equals itself after a round trip."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


def new_id() -> str:
    """Makes a UUIDv7 as text: ids sort by the time they were made."""
    return str(uuid_utils.uuid7())


def to_milliseconds(time: datetime) -> int:
    """Gives a time as milliseconds since 1970."""
    return (time - _EPOCH) // _MILLISECOND


def from_milliseconds(milliseconds: int) -> datetime:
    """Gives the time of so many milliseconds since 1970; they must be of a year up to 9999."""
    return _EPOCH + milliseconds * _MILLISECOND
