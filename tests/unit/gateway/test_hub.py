from __future__ import annotations

from datetime import UTC, datetime

from services.live.changes import Event, Retracted, UserKey
from services.live.hub import Ending, Hub

ANNA = UserKey("dev", "anna")
BERT = UserKey("dev", "bert")
EVENT = Event(1, Retracted(("a",)))
NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


class Recorder:
    """A subscriber that keeps what it was given, and leaves the hub when it is full."""

    def __init__(self, hub: Hub, key: UserKey, *, is_live: bool = True, capacity: int = 10) -> None:
        self.is_live = is_live
        self.events: list[Event] = []
        self.endings: list[Ending] = []
        self.revoked: list[datetime] = []
        self._hub, self._key, self._capacity = hub, key, capacity
        hub.subscribe(key, self)

    def offer(self, event: Event) -> None:
        """Keeps an event."""
        if len(self.events) >= self._capacity:
            return self.end(Ending.DRAINING)
        return self.events.append(event)

    def revoke(self, not_before: datetime) -> None:
        """Keeps the time."""
        self.revoked.append(not_before)

    def end(self, ending: Ending) -> None:
        """Keeps the reason and leaves."""
        self.endings.append(ending)
        self._hub.unsubscribe(self._key, self)


def test_an_event_reaches_all_sessions_of_its_user_and_no_others() -> None:
    """Two tabs of a user get the same event, another user nothing; the same id of another client is another user."""
    hub = Hub()
    tabs = [Recorder(hub, ANNA), Recorder(hub, ANNA)]
    others = [Recorder(hub, BERT), Recorder(hub, UserKey("other", "anna"))]

    hub.publish(ANNA, EVENT)

    assert [tab.events for tab in tabs] == [[EVENT], [EVENT]]
    assert [other.events for other in others] == [[], []]


def test_a_session_that_ends_while_it_is_offered_costs_the_others_nothing() -> None:
    """The others get the event, and the one that was too slow is gone."""
    hub = Hub()
    slow = Recorder(hub, ANNA, capacity=0)
    others = [Recorder(hub, ANNA) for _ in range(3)]

    hub.publish(ANNA, EVENT)
    hub.publish(ANNA, EVENT)

    assert slow.endings == [Ending.DRAINING]
    assert [len(other.events) for other in others] == [2, 2, 2]


def test_a_user_is_watched_while_a_session_is_here() -> None:
    """The last session that leaves takes the user with it; leaving twice is leaving once."""
    hub = Hub()
    tab = Recorder(hub, ANNA)
    assert hub.is_watched(ANNA)

    hub.unsubscribe(ANNA, tab)
    hub.unsubscribe(ANNA, tab)

    assert not hub.is_watched(ANNA)


def test_only_sessions_with_a_welcome_count_towards_the_bound() -> None:
    """Whoever has not proved to be the user cannot take the user's places."""
    hub = Hub(max_sessions_per_user=2)
    for _ in range(5):
        Recorder(hub, ANNA, is_live=False)
    Recorder(hub, ANNA)
    assert not hub.is_full(ANNA)

    Recorder(hub, ANNA)

    assert hub.is_full(ANNA)
    assert not hub.is_full(BERT)


def test_the_position_rises_until_the_feed_begins_anew() -> None:
    """Events that come again do not turn it back, a feed that begins anew sets it."""
    hub = Hub()
    hub.restart(5)
    hub.advance(9)
    hub.advance(7)
    assert hub.position == 9

    hub.restart(3)

    assert hub.position == 3


def test_sessions_are_closed_by_user_or_all() -> None:
    """Closing a user leaves the others alone, closing all leaves nobody."""
    hub = Hub()
    anna, bert = Recorder(hub, ANNA), Recorder(hub, BERT)

    hub.end_user(ANNA, Ending.USER_DELETED)
    assert (anna.endings, bert.endings) == ([Ending.USER_DELETED], [])

    hub.end_all(Ending.EVENTS_MISSED)
    assert (anna.endings, bert.endings) == ([Ending.USER_DELETED], [Ending.EVENTS_MISSED])


def test_a_revocation_reaches_the_sessions_of_its_user_alone() -> None:
    """Each session decides by its own token; those of others are not asked."""
    hub = Hub()
    anna, bert = Recorder(hub, ANNA), Recorder(hub, BERT)

    hub.revoke(ANNA, NOON)

    assert (anna.revoked, bert.revoked) == ([NOON], [])
