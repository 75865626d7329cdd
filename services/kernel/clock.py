"""The clock and the source of ids: passed in from app.py, so that tests can fix them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import uuid_utils

Clock = Callable[[], datetime]
"""Tells the time: aware, UTC, whole milliseconds."""

IdSource = Callable[[], str]
"""Makes a new id at every call."""


def utc_now() -> datetime:
    """Tells the time in whole milliseconds: what MongoDB stores, so that a value equals itself after a round trip."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


def new_id() -> str:
    """Makes a UUIDv7 as text: ids sort by the time they were made."""
    return str(uuid_utils.uuid7())
