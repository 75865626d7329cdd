"""WatchInbox: one stream a client, fed by the hub; a slow reader is ended and costs the others nothing."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from carillon.v1 import inbox_pb2
from services.inbox import convert
from services.inbox.events import event_to_proto, event_with_cursor
from services.kernel.errors import DomainError, LimitExceeded, NotFound, Unauthenticated, Unavailable
from services.live.hub import Ending

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
    from datetime import datetime

    from services.inbox.syncing import InboxSync
    from services.kernel.auth import Principal
    from services.kernel.clock import Clock
    from services.live.changes import Event, UserKey
    from services.live.hub import Hub

HEARTBEAT_S = 25.0
MAX_STREAMS = 10_000
MAX_WAITING = 256
MAX_WAITING_BYTES = 1024 * 1024
_COME_BACK = timedelta(seconds=30)


class Watcher:
    """What waits for one stream to be written; the hub's view of it is ``Subscriber``.

    Args:
        token_time: When the token was made that let the stream in; None: it was another credential.
    """

    def __init__(self, token_time: datetime | None = None) -> None:
        self.is_live = False
        self._token_time = token_time
        self._events: deque[Event] = deque()
        self._bytes = 0
        self._end: DomainError | None = None
        self._news = asyncio.Event()

    def offer(self, event: Event) -> None:
        """Takes an event; does not wait and does not raise."""
        if self._end:
            # Whoever reads it comes back, and is told then.
            return
        self._events.append(event)
        self._bytes += event_to_proto(event).ByteSize()
        # One alone always fits.
        if len(self._events) > MAX_WAITING or (len(self._events) > 1 and self._bytes > MAX_WAITING_BYTES):
            message = "the responses were not read as fast as they came; come back with the last cursor"
            self._finish(Unavailable(message, reason="READER_TOO_SLOW"))
        self._news.set()

    def revoke(self, not_before: datetime) -> None:
        """Ends the stream where its token was made before this time."""
        if self._token_time and self._token_time < not_before:
            self._finish(Unauthenticated("the user token was revoked", reason="TOKEN_REVOKED"))

    def end(self, ending: Ending) -> None:
        """Ends the stream."""
        match ending:
            case Ending.USER_DELETED:
                self._finish(NotFound("user", "", reason="USER_NOT_FOUND"))
            case Ending.DRAINING:
                self._finish(Unavailable("this server stops; come back with the last cursor", reason="DRAINING"))
            case Ending.EVENTS_MISSED:
                self._finish(Unavailable("events were missed; come back with the last cursor", reason="EVENTS_MISSED"))

    async def take(self, within_s: float) -> Event | None:
        """Gives the next event, or None where none comes in time; raises the DomainError that the stream ends with."""
        try:
            async with asyncio.timeout(within_s):
                while not self._events and not self._end:
                    await self._news.wait()
                    self._news.clear()
        except TimeoutError:
            return None
        if self._end:
            raise self._end
        event = self._events.popleft()
        self._bytes -= event_to_proto(event).ByteSize()
        return event

    def _finish(self, error: DomainError) -> None:
        # What waits is of no use to who comes back, and the first reason is the one that counts.
        self._end = self._end or error
        self._events.clear()
        self._bytes = 0
        self._news.set()


class Watching:
    """Streams inboxes.

    Args:
        hub: Where events come from.
        ready: Returns once they come; raises Unavailable.
        sync: Reads welcomes.
        clock: Tells when a token is over.
        heartbeat_s: After how much silence an empty response is sent.
    """

    def __init__(
        self,
        hub: Hub,
        ready: Callable[[], Awaitable[None]],
        sync: InboxSync,
        *,
        clock: Clock,
        heartbeat_s: float = HEARTBEAT_S,
    ) -> None:
        self._hub = hub
        self._ready = ready
        self._sync = sync
        self._clock = clock
        self._heartbeat_s = heartbeat_s
        self._streams = 0

    async def stream(
        self, key: UserKey, principal: Principal, *, cursor: str, limit: int
    ) -> AsyncGenerator[inbox_pb2.WatchInboxResponse]:
        """Gives a welcome, and then every event after it, until the caller goes.

        Raises:
            LimitExceeded: If the server or the user has too many streams.
            DomainError: What ends the stream, as the contract says.
        """
        await self._ready()
        watcher = Watcher(principal.token_time)
        # First subscribe, then note how far events have come, then read: what is not in the read is still to come.
        with self._subscribed(key, watcher):
            synced = await self._sync.read(
                key.client_id, key.user_id, cursor=cursor, limit=limit, min_position=self._hub.position
            )
            if self._hub.is_full(key):
                raise _too_many("this user has as many sessions as a user may have here")
            watcher.is_live = True
            welcome = convert.welcome_to_proto(synced.state, synced.cause, key)
            yield inbox_pb2.WatchInboxResponse(welcome=welcome, cursor=synced.cursor)
            while True:
                event = await watcher.take(self._patience_s(principal))
                if event is None:
                    yield inbox_pb2.WatchInboxResponse()
                    continue
                for one in event.after(synced.state.position):
                    yield event_with_cursor(one, synced.cursor_at(one.position))

    @contextmanager
    def _subscribed(self, key: UserKey, watcher: Watcher) -> Iterator[None]:
        if self._streams >= MAX_STREAMS:
            raise _too_many(f"this server has {MAX_STREAMS} streams, and takes no more")
        self._streams += 1
        self._hub.subscribe(key, watcher)
        try:
            yield
        finally:
            self._hub.unsubscribe(key, watcher)
            self._streams -= 1

    def _patience_s(self, principal: Principal) -> float:
        """Gives how long to wait for an event; raises Unauthenticated once the token is over."""
        if principal.expire_time is None:
            return self._heartbeat_s
        left_s = (principal.expire_time - self._clock()).total_seconds()
        if left_s <= 0:
            raise Unauthenticated("the user token is over; come back with a new one", reason="TOKEN_EXPIRED")
        return min(left_s, self._heartbeat_s)


def _too_many(problem: str) -> LimitExceeded:
    return LimitExceeded(f"{problem}; close one, or come back later", reason="TOO_MANY_STREAMS", retry_after=_COME_BACK)
