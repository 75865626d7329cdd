from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from services.inbox.watching import MAX_WAITING, Watcher
from services.kernel.errors import DomainError, NotFound, Unauthenticated, Unavailable
from services.live.changes import Event, Retracted
from services.live.hub import Ending

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


async def test_events_are_taken_in_their_order() -> None:
    """What was offered comes out as it went in, and then nothing within the time."""
    watcher = Watcher()
    for position in (1, 2):
        watcher.offer(_event(position))

    taken = [await watcher.take(within_s=0.01) for _ in range(3)]

    assert [event and event.position for event in taken] == [1, 2, None]


async def test_more_events_than_may_wait_end_the_stream() -> None:
    """The reader learns that it was too slow, and what waited is dropped."""
    watcher = Watcher()
    for position in range(MAX_WAITING):
        watcher.offer(_event(position))
    assert await watcher.take(within_s=1)
    watcher.offer(_event(MAX_WAITING))

    watcher.offer(_event(MAX_WAITING + 1))

    assert (await _end_of(watcher)).reason == "READER_TOO_SLOW"


async def test_more_bytes_than_may_wait_end_the_stream() -> None:
    """One event alone always fits, two that are too large together do not."""
    watcher = Watcher()
    large = tuple("x" * 1000 for _ in range(600))
    watcher.offer(Event(1, Retracted(large)))
    assert await watcher.take(within_s=1)

    watcher.offer(Event(2, Retracted(large)))
    watcher.offer(Event(3, Retracted(large)))

    assert (await _end_of(watcher)).reason == "READER_TOO_SLOW"


@pytest.mark.parametrize(
    ("ending", "kind", "reason"),
    [
        (Ending.USER_DELETED, NotFound, "USER_NOT_FOUND"),
        (Ending.DRAINING, Unavailable, "DRAINING"),
        (Ending.EVENTS_MISSED, Unavailable, "EVENTS_MISSED"),
    ],
)
async def test_an_ending_is_told_once_and_for_all(ending: Ending, kind: type[DomainError], reason: str) -> None:
    """It goes before what waits, and the first one counts."""
    watcher = Watcher()
    watcher.offer(_event(1))

    watcher.end(ending)
    watcher.end(Ending.DRAINING)

    error = await _end_of(watcher)
    assert (type(error), error.reason) == (kind, reason)


@pytest.mark.parametrize(
    ("token_time", "is_ended"),
    [(NOON - timedelta(milliseconds=1), True), (NOON, False), (None, False)],
)
async def test_a_revocation_ends_what_older_tokens_opened(token_time: datetime | None, is_ended: bool) -> None:
    """A token of that very moment is not older, and who came by a hash has no token."""
    watcher = Watcher(token_time)
    watcher.revoke(NOON)

    if is_ended:
        error = await _end_of(watcher)
        assert (type(error), error.reason) == (Unauthenticated, "TOKEN_REVOKED")
    else:
        assert await watcher.take(within_s=0.01) is None


async def _end_of(watcher: Watcher) -> DomainError:
    with pytest.raises(DomainError) as caught:
        await watcher.take(within_s=1)
    return caught.value


def _event(position: int) -> Event:
    return Event(position, Retracted(("a",)))
