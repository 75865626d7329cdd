from datetime import UTC, datetime

from services.kernel.clock import from_milliseconds, new_id, to_milliseconds, utc_now


def test_the_time_is_utc_in_whole_milliseconds() -> None:
    """The clock is aware and has no more than MongoDB stores."""
    now = utc_now()

    assert now.tzinfo is UTC
    assert now.microsecond % 1000 == 0


def test_ids_sort_by_time() -> None:
    """Ids are UUIDv7 as text: a later one is greater."""
    ids = [new_id() for _ in range(1000)]

    assert ids == sorted(ids)
    assert len(set(ids)) == 1000
    assert ids[0][14] == "7"


def test_a_time_is_as_many_milliseconds_and_back() -> None:
    """Every time that MongoDB stores is a whole number of them, also before 1970."""
    for milliseconds in (0, 1, -1, 1_767_355_200_123):
        assert to_milliseconds(from_milliseconds(milliseconds)) == milliseconds
    assert from_milliseconds(1_767_355_200_123) == datetime(2026, 1, 2, 12, 0, 0, 123_000, tzinfo=UTC)
