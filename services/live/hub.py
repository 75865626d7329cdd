"""Who follows in this process, by user, and how far the events have come. Nothing here waits or locks."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from datetime import datetime

    from services.live.changes import Event, UserKey

MAX_SESSIONS_PER_USER = 100


class Ending(enum.Enum):
    """Why no more events come to somebody who follows."""

    EVENTS_MISSED = "events_missed"
    """The feed could not go on where it was."""

    USER_DELETED = "user_deleted"
    """There is nothing to follow any more."""

    DRAINING = "draining"
    """This process stops."""


class Subscriber(Protocol):
    """Takes the events of one user. No method waits or raises."""

    @property
    def is_live(self) -> bool:
        """Whether it has had its welcome."""

    def offer(self, event: Event) -> None:
        """Takes an event, or ends itself where it cannot."""

    def revoke(self, not_before: datetime) -> None:
        """Ends itself where it was let in by a token that was made before this time."""

    def end(self, ending: Ending) -> None:
        """Ends it."""


class Hub:
    """Hands each event to those who follow its user.

    Args:
        max_sessions_per_user: How many with a welcome a user may have.
    """

    def __init__(self, *, max_sessions_per_user: int = MAX_SESSIONS_PER_USER) -> None:
        self._max_sessions_per_user = max_sessions_per_user
        self._position = 0
        self._subscribers: dict[UserKey, set[Subscriber]] = {}

    @property
    def position(self) -> int:
        """The cluster position up to which events may have been published; all later ones are still to come."""
        return self._position

    def advance(self, position: int) -> None:
        """Raises the position; called before the events up to it are published, so that no session can fall between."""
        self._position = max(self._position, position)

    def restart(self, position: int) -> None:
        """Sets the position of a feed that begins anew; who missed what was before must be ended first."""
        self._position = position

    def subscribe(self, key: UserKey, subscriber: Subscriber) -> None:
        """Adds one who follows; called before its welcome is read."""
        self._subscribers.setdefault(key, set()).add(subscriber)

    def unsubscribe(self, key: UserKey, subscriber: Subscriber) -> None:
        """Removes one, if it is there."""
        subscribers = self._subscribers.get(key, set())
        subscribers.discard(subscriber)
        if not subscribers:
            self._subscribers.pop(key, None)

    def is_watched(self, key: UserKey) -> bool:
        """Tells whether anybody here wants the events of the user."""
        return key in self._subscribers

    def is_full(self, key: UserKey) -> bool:
        """Tells whether the user has all the sessions they may have.

        Those without a welcome do not count: they have not proved yet whose they are.
        """
        return sum(one.is_live for one in self._subscribers.get(key, ())) >= self._max_sessions_per_user

    def publish(self, key: UserKey, event: Event) -> None:
        """Offers an event to all who follow a user; what one does with it is nothing to the others."""
        for subscriber in tuple(self._subscribers.get(key, ())):
            subscriber.offer(event)

    def revoke(self, key: UserKey, not_before: datetime) -> None:
        """Ends those who follow a user by a token that was made before this time."""
        for subscriber in tuple(self._subscribers.get(key, ())):
            subscriber.revoke(not_before)

    def end_user(self, key: UserKey, ending: Ending) -> None:
        """Ends all who follow a user."""
        for subscriber in tuple(self._subscribers.get(key, ())):
            subscriber.end(ending)

    def end_all(self, ending: Ending) -> None:
        """Ends all."""
        for key in tuple(self._subscribers):
            self.end_user(key, ending)
