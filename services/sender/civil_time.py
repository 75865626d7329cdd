"""Civil times: what clocks on a wall show, and the moment at which they do. Pure.

A civil time that clocks skip is the next that they show; one that they show twice is the first of the two.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

_FORM = re.compile(r"(?:(\d{4})-(\d{2})-(\d{2})T)?(\d{2}):(\d{2})", re.ASCII)
_SECOND = timedelta(seconds=1)
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class CivilTime:
    """A time of a day; without a date, of the next day that has it."""

    time: time
    date: date | None = None


def parse(text: str) -> CivilTime | None:
    """Reads ``2026-03-29T09:00`` or ``09:00``; None where it is neither, or no time that can be."""
    if not (found := _FORM.fullmatch(text)):
        return None
    year, month, day, hour, minute = (int(digits) if digits else None for digits in found.groups())
    try:
        on = date(year, month or 0, day or 0) if year is not None else None
        return CivilTime(time(hour or 0, minute or 0), on)
    except ValueError:
        return None


def moment_of(civil: CivilTime, zone: ZoneInfo, now: datetime) -> datetime:
    """Gives the moment of a civil time in a timezone; of one without a date, the next one after ``now``.

    Args:
        civil: The civil time; the years 1970 to 9998 are safe in every timezone.
        zone: Where the clocks are.
        now: The time, aware.
    """
    if civil.date is not None:
        return _first_moment(datetime.combine(civil.date, civil.time), zone)
    day = now.astimezone(zone).date()
    while True:
        at = _first_moment(datetime.combine(day, civil.time), zone)
        # A day that an island skipped when it changed sides of the date line has no times at all.
        if at > now and _has_day(day, zone):
            return at
        day += _DAY


def _has_day(day: date, zone: ZoneInfo) -> bool:
    return _first_moment(datetime.combine(day, time.min), zone).astimezone(zone).date() == day


def _first_moment(shown: datetime, zone: ZoneInfo) -> datetime:
    """Gives the first moment at which clocks show a naive time, or something later."""
    # Of a time that is shown twice, fold 0 is the first; of one that is skipped it counts from the clocks before.
    latest = shown.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if _shown(latest, zone) == shown:
        return latest

    # Skipped: the clocks were put forward between what either offset makes of it.
    earliest = shown.replace(tzinfo=zone, fold=1).astimezone(UTC)
    while latest - earliest > _SECOND:
        middle = earliest + (latest - earliest) // (2 * _SECOND) * _SECOND
        if _shown(middle, zone) < shown:
            earliest = middle
        else:
            latest = middle
    return latest


def _shown(moment: datetime, zone: ZoneInfo) -> datetime:
    return moment.astimezone(zone).replace(tzinfo=None, fold=0)
