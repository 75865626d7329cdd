"""Why the gateway ends a session: the one table of close codes, printed in the README."""

from __future__ import annotations

import enum

STAY_AWAY_FROM = 4500


class CloseCode(enum.Enum):
    """A close code, the reason sent with it, and what it means to a client.

    Below 4500 a client comes back, after a delay that grows and varies; from 4500 on it stays away, as trying the same
    again gives the same.
    """

    GOING_AWAY = (1001, "the gateway stops", "Come back: another gateway, or the next start of this one, goes on.")
    UNAVAILABLE = (4000, "not available now", "Come back: the services or the database did not answer in time.")
    FEED_LOST = (4001, "events were missed", "Come back: events were missed, and the next welcome has all of them.")
    HELLO_LATE = (4002, "no hello in time", "Come back: the first frame did not arrive in time.")
    TOKEN_EXPIRED = (4003, "the user token is over", "Come back: with a new user token, as this one has ended.")
    SLOW = (4008, "too slow", "Come back: frames were not read as fast as they came.")
    TOO_FAST = (4009, "too fast", "Come back: frames came faster than a client may send them.")
    TOO_MANY_SESSIONS = (4029, "too many sessions of this user", "Come back: a place is free when another tab closes.")
    BAD_FRAME = (4500, "bad frame", "Stay away: the error frame before it says what was wrong.")
    REFUSED = (4501, "credentials refused", "Stay away: client_id, user_id and user_hash or token do not fit together.")
    TOKEN_REVOKED = (
        4502,
        "the user token was revoked",
        "Stay away: signed out; a user token from after that opens again.",
    )
    USER_DELETED = (4510, "the user was deleted", "Stay away: there is nothing to show any more.")

    def __init__(self, code: int, reason: str, meaning: str) -> None:
        self.code = code
        self.reason = reason
        self.meaning = meaning

    @property
    def comes_back(self) -> bool:
        """Whether a client should connect again by itself."""
        return self.code < STAY_AWAY_FROM
