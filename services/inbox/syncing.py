"""Bringing a client up to date, at one moment, by its cursor where that can be proved to be enough.

The proof: a change after a cursor P is stamped later than P less 10 s, as the server stamps it while it is written. So
whatever is stamped since P less 60 s, read at one moment R, has all that happened between P and R; what happens after
R is in the events that follow. No sender's clock has a part in it. gateway/README.md tells it whole.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import structlog

from services.inbox.model import SnapshotCause, changes_from, why_not_resumed
from services.kernel.cursors import Cursor
from services.kernel.errors import Unavailable
from services.kernel.metrics import WELCOMES

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from services.inbox.model import State
    from services.inbox.store import InboxStore
    from services.kernel.clock import Clock
    from services.kernel.cursors import CursorSigner
    from services.users.store import UserStore

# A read is a moment old at most, so a position that is not reached soon is one of another cluster.
_WAIT_S = 2.0
_POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class Synced:
    """What brings a client up to date."""

    state: State
    cause: SnapshotCause | None
    """Why the state is the whole inbox; None: it is what changed since the cursor."""

    cursor_at: Callable[[int], str]
    """Gives the cursor of who has the state and every event up to a position."""

    @property
    def cursor(self) -> str:
        """The cursor of who has the state."""
        return self.cursor_at(self.state.position)


class InboxSync:
    """Reads what clients need to be up to date."""

    def __init__(self, inbox: InboxStore, users: UserStore, cursors: CursorSigner, *, clock: Clock) -> None:
        self._inbox = inbox
        self._users = users
        self._cursors = cursors
        self._clock = clock

    async def read(self, client_id: str, user_id: str, *, cursor: str, limit: int, min_position: int) -> Synced:
        """Reads what changed since a cursor, or the newest items, not before ``min_position``.

        A user who is unknown is created: a cursor names its user's document.

        Raises:
            Unavailable: If the database does not reach that position within 2 seconds, or the user is being deleted.
        """
        held = self._cursors.verify(cursor, client_id=client_id, user_id=user_id) if cursor else None
        if held:
            read_changed = partial(self._inbox.changed, client_id, user_id, since=changes_from(held))
            wanted = max(min_position, held.position)
            state = await self._reach(read_changed, client_id, user_id, wanted=wanted, least=min_position)
            cause = why_not_resumed(held, state)
            if cause is None:
                return self._synced(client_id, user_id, state, None)
        else:
            cause = SnapshotCause.CURSOR_INVALID if cursor else SnapshotCause.NO_CURSOR

        read_newest = partial(self._inbox.newest, client_id, user_id, limit=limit)
        state = await self._reach(read_newest, client_id, user_id, wanted=min_position, least=min_position)
        return self._synced(client_id, user_id, state, cause)

    def _synced(self, client_id: str, user_id: str, state: State, cause: SnapshotCause | None) -> Synced:
        def cursor_at(position: int) -> str:
            return self._cursors.sign(Cursor(position, state.incarnation or 0), client_id=client_id, user_id=user_id)

        resume = {"resume": "snapshot" if cause else "full", "cause": cause.value if cause else ""}
        WELCOMES.labels(**resume).inc()
        # In the one line that the log has of the call.
        structlog.contextvars.bind_contextvars(**resume)
        return Synced(state, cause, cursor_at)

    async def _reach(
        self, read: Callable[[], Awaitable[State]], client_id: str, user_id: str, *, wanted: int, least: int
    ) -> State:
        """Reads until the wanted position is there; after 2 seconds the least will do."""
        give_up = asyncio.get_running_loop().time() + _WAIT_S
        while True:
            state = await read()
            if state.is_being_deleted:
                raise Unavailable("the user is being deleted; come back in a moment", reason="USER_BEING_DELETED")
            if state.incarnation is None:
                await self._users.ensure(client_id, user_id, self._clock())
            elif state.position >= wanted:
                return state

            if asyncio.get_running_loop().time() > give_up:
                if state.incarnation is not None and state.position >= least:
                    return state
                raise Unavailable("the database has not reached min_position yet", reason="POSITION_NOT_REACHED")
            await asyncio.sleep(_POLL_S)
