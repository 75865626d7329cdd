"""Civil times: what a wall clock shows, right across everything that is done to clocks."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.sender.civil_time import CivilTime, moment_of, parse

BERLIN, NEW_YORK, LORD_HOWE, APIA = "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia"
ZONES = (BERLIN, NEW_YORK, LORD_HOWE, APIA, "Asia/Kathmandu", "Africa/Casablanca", "America/St_Johns", "UTC")
NOW = datetime(2026, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
MINUTES = st.builds(time, st.integers(0, 23), st.integers(0, 59))


def moment(text: str, zone: str, *, now: datetime = NOW) -> str:
    """Gives the moment of a civil time as clocks in UTC show it."""
    civil = parse(text)
    assert civil
    at = moment_of(civil, ZoneInfo(zone), now)
    assert at.tzinfo is UTC
    return at.strftime("%Y-%m-%dT%H:%M:%S")


@pytest.mark.parametrize(
    ("text", "zone", "expected"),
    [
        ("2026-01-15T09:00", BERLIN, "2026-01-15T08:00:00"),
        ("2026-07-15T09:00", BERLIN, "2026-07-15T07:00:00"),
        # The last Sunday of March: 02:00 to 03:00 is skipped.
        ("2026-03-29T01:59", BERLIN, "2026-03-29T00:59:00"),
        ("2026-03-29T02:00", BERLIN, "2026-03-29T01:00:00"),
        ("2026-03-29T02:30", BERLIN, "2026-03-29T01:00:00"),
        ("2026-03-29T02:59", BERLIN, "2026-03-29T01:00:00"),
        ("2026-03-29T03:00", BERLIN, "2026-03-29T01:00:00"),
        ("2026-03-29T03:01", BERLIN, "2026-03-29T01:01:00"),
        ("2026-03-29T09:00", BERLIN, "2026-03-29T07:00:00"),
        # The last Sunday of October: 02:00 to 03:00 comes twice.
        ("2026-10-25T01:59", BERLIN, "2026-10-24T23:59:00"),
        ("2026-10-25T02:00", BERLIN, "2026-10-25T00:00:00"),
        ("2026-10-25T02:59", BERLIN, "2026-10-25T00:59:00"),
        ("2026-10-25T03:00", BERLIN, "2026-10-25T02:00:00"),
        ("2026-03-08T02:30", NEW_YORK, "2026-03-08T07:00:00"),
        ("2026-11-01T01:30", NEW_YORK, "2026-11-01T05:30:00"),
        # Half an hour.
        ("2026-10-04T02:15", LORD_HOWE, "2026-10-03T15:30:00"),
        ("2026-10-04T02:30", LORD_HOWE, "2026-10-03T15:30:00"),
        ("2026-04-05T01:45", LORD_HOWE, "2026-04-04T14:45:00"),
        ("2026-04-05T02:00", LORD_HOWE, "2026-04-04T15:30:00"),
        # Samoa went from one side of the date line to the other: the 30th is skipped.
        ("2011-12-29T23:59", APIA, "2011-12-30T09:59:00"),
        ("2011-12-30T00:00", APIA, "2011-12-30T10:00:00"),
        ("2011-12-30T23:59", APIA, "2011-12-30T10:00:00"),
        ("2011-12-31T00:00", APIA, "2011-12-30T10:00:00"),
        # By 44 minutes and 30 seconds.
        ("1972-01-07T00:20", "Africa/Monrovia", "1972-01-07T00:44:30"),
        # Clocks that are put forward at midnight.
        ("2018-11-04T00:00", "America/Sao_Paulo", "2018-11-04T03:00:00"),
    ],
)
def test_a_civil_time_with_a_date_is_one_moment(text: str, zone: str, expected: str) -> None:
    """What clocks skip is the next that they show, and of two that they show alike it is the first."""
    assert moment(text, zone) == expected


@pytest.mark.parametrize(
    ("text", "zone", "now", "expected"),
    [
        ("09:00", BERLIN, "2026-01-15T07:59:59", "2026-01-15T08:00:00"),
        ("09:00", BERLIN, "2026-01-15T08:00:00", "2026-01-16T08:00:00"),
        ("09:00", BERLIN, "2026-03-28T08:00:00", "2026-03-29T07:00:00"),
        ("02:30", BERLIN, "2026-03-28T12:00:00", "2026-03-29T01:00:00"),
        ("02:30", BERLIN, "2026-03-29T01:00:00", "2026-03-30T00:30:00"),
        # Between the first and the second 02:30.
        ("02:30", BERLIN, "2026-10-25T00:45:00", "2026-10-26T01:30:00"),
        # It is another day there.
        ("00:30", APIA, "2026-05-01T12:00:00", "2026-05-02T11:30:00"),
        ("23:30", "Pacific/Pago_Pago", "2026-05-01T12:00:00", "2026-05-02T10:30:00"),
        # The day after the 29th is the 31st.
        ("09:00", APIA, "2011-12-30T08:00:00", "2011-12-30T19:00:00"),
        ("00:00", "America/Sao_Paulo", "2018-11-03T12:00:00", "2018-11-04T03:00:00"),
    ],
)
def test_a_civil_time_without_a_date_is_the_next_one(text: str, zone: str, now: str, expected: str) -> None:
    """It is later than now, on the first day that has it."""
    assert moment(text, zone, now=datetime.fromisoformat(now).replace(tzinfo=UTC)) == expected


@given(civil=st.builds(CivilTime, MINUTES, st.dates(date(1975, 1, 1), date(2035, 1, 1))), zone=st.sampled_from(ZONES))
@example(civil=CivilTime(time(2, 30), date(2026, 3, 29)), zone=BERLIN)
@example(civil=CivilTime(time(3, 0), date(2026, 10, 25)), zone=BERLIN)
@example(civil=CivilTime(time(12, 0), date(2011, 12, 30)), zone=APIA)
def test_it_is_the_first_minute_at_which_clocks_have_come_so_far(civil: CivilTime, zone: str) -> None:
    """No minute before it shows this time or a later one, as far back as clocks can have been put."""
    at = moment_of(civil, ZoneInfo(zone), NOW)

    def shows(one: datetime) -> tuple[date | None, time]:
        shown = one.astimezone(ZoneInfo(zone))
        return shown.date(), shown.time()

    assert shows(at) >= (civil.date, civil.time)
    assert all(shows(at - number * MINUTE) < (civil.date, civil.time) for number in range(1, 200))


@given(at=MINUTES, now=st.integers(0, 3 * 366 * 24 * 60))
def test_the_next_one_is_the_first_after_now(at: time, now: int) -> None:
    """It comes within a day, give or take the hour that clocks are put forward or back by, and none is passed over."""
    zone, moment_now = ZoneInfo(BERLIN), NOW + now * MINUTE
    found = moment_of(CivilTime(at), zone, moment_now)

    assert moment_now < found <= moment_now + timedelta(hours=25)
    today = moment_of(CivilTime(at, moment_now.astimezone(zone).date()), zone, moment_now)
    assert found == today or today <= moment_now


def test_a_text_is_read() -> None:
    """The two forms are read, and nothing else."""
    assert parse("2026-03-29T09:05") == CivilTime(time(9, 5), date(2026, 3, 29))
    assert parse("23:59") == CivilTime(time(23, 59))
    assert [parse(text) for text in ("", "9:00", "24:00", "2026-13-01T00:00", "2026-03-29T09:00Z")] == [None] * 5
