from datetime import UTC

from services.kernel.clock import new_id, utc_now


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
