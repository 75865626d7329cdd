"""One connection: carries frames between a socket and its protocol; a slow reader costs the others nothing."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import structlog
from websockets.exceptions import ConnectionClosed

from gateway.closes import CloseCode
from gateway.protocol import FRAMES_BURST, FRAMES_PER_S, Ask, Close, Open, Send, Until
from gateway.requests import RenewToken
from services.live.changes import UserKey
from services.live.hub import Ending

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence
    from datetime import datetime

    from websockets.asyncio.server import ServerConnection

    from gateway.fields import FrameError
    from gateway.frames import Hello
    from gateway.notificationapi.protocol import NotificationApiProtocol
    from gateway.protocol import Action, InboxProtocol, Welcome
    from gateway.requests import Request
    from services.kernel.clock import Clock
    from services.live.changes import Event
    from services.live.hub import Hub

_log = structlog.get_logger(__name__)

_MAX_BACKOFF_S = 10.0
_CODES = {
    Ending.EVENTS_MISSED: CloseCode.FEED_LOST,
    Ending.USER_DELETED: CloseCode.USER_DELETED,
    Ending.DRAINING: CloseCode.GOING_AWAY,
}


class SessionRefusedError(Exception):
    """The services do not want this session: how it ends, and what the client is told before."""

    def __init__(self, code: CloseCode, error: FrameError | None = None) -> None:
        super().__init__(code.reason)
        self.code = code
        self.error = error


class RequestRefusedError(Exception):
    """A request has no result: what the client is told; the session goes on."""

    def __init__(self, error: FrameError) -> None:
        super().__init__(error.message)
        self.error = error


class Services(Protocol):
    """Answers for the user of a hello, whose credentials it checks in each call."""

    async def read_welcome(self, hello: Hello, *, min_position: int) -> Welcome:
        """Reads the state of an inbox, at ``min_position`` or later; raises SessionRefusedError."""

    async def ask(self, hello: Hello, request: Request) -> Mapping[str, Any]:
        """Gives the result of a request; raises RequestRefusedError, or SessionRefusedError to end the session."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one session may cost."""

    hello_timeout_s: float = 10.0
    """How long a client may take for its first frame."""

    outbox_frames: int = 256
    """How many frames may wait for a client to read."""

    outbox_bytes: int = 1024 * 1024
    """How many bytes those frames may have together."""

    close_timeout_s: float = 5.0
    """How long a client may take to read what is left and to answer the close; then it is cut."""

    frames_per_s: float = FRAMES_PER_S
    """How many frames a client may send in the long run."""

    frames_burst: int = FRAMES_BURST
    """How many frames a client may send at once."""

    ping_interval_s: float = 25.0
    """How long after the answer to a ping the next one is sent."""

    ping_timeout_s: float = 10.0
    """How long a client may take to answer a ping."""

    @property
    def stall_s(self) -> float:
        """How long a frame may take to leave: where nothing leaves, no ping does, so none is missed either."""
        return self.ping_interval_s + self.ping_timeout_s


class Outbox:
    """The frames that wait for one client, bounded by count and by bytes.

    The bytes of the next one to leave do not count: it may be a welcome, which alone can be over the bound.
    """

    def __init__(self, *, max_frames: int, max_bytes: int) -> None:
        self.peak_bytes = 0
        """The most that has ever waited, the next one to leave included."""

        self._max_frames = max_frames
        self._max_bytes = max_bytes
        self._frames: deque[bytes] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        """How many frames wait."""
        return len(self._frames)

    def put(self, frame: bytes) -> bool:
        """Adds a frame, or answers False where a bound forbids it; one frame alone always fits."""
        if self._frames:
            behind_next = self._bytes - len(self._frames[0])
            if len(self._frames) >= self._max_frames or behind_next + len(frame) > self._max_bytes:
                return False

        self._frames.append(frame)
        self._bytes += len(frame)
        self.peak_bytes = max(self.peak_bytes, self._bytes)
        return True

    def pop(self) -> bytes:
        """Removes the oldest frame."""
        frame = self._frames.popleft()
        self._bytes -= len(frame)
        return frame

    def clear(self) -> None:
        """Drops all of them."""
        self._frames.clear()
        self._bytes = 0


class Session:
    """Runs one connection from its handshake to its end; the hub's view of it is ``Subscriber``.

    Args:
        socket: The connection.
        protocol: What it says, and when.
        hub: Where it gets its events.
        services: Where it gets its state, and answers to what its client asks.
        is_feed_live: Tells whether events come at all.
        limits: What it may cost.
        clock: What the end of a token is compared with.
    """

    def __init__(
        self,
        socket: ServerConnection,
        protocol: InboxProtocol | NotificationApiProtocol,
        *,
        hub: Hub,
        services: Services,
        is_feed_live: Callable[[], bool],
        limits: Limits,
        clock: Clock,
    ) -> None:
        self._socket = socket
        self._hub = hub
        self._services = services
        self._is_feed_live = is_feed_live
        self._protocol = protocol
        self._outbox = Outbox(max_frames=limits.outbox_frames, max_bytes=limits.outbox_bytes)
        self._limits = limits
        self._clock = clock
        self._token_timer: asyncio.TimerHandle | None = None
        self._has_frames = asyncio.Event()
        self._ended = asyncio.Event()
        self._code: CloseCode | None = None
        self._key: UserKey | None = None
        self._children: set[asyncio.Task[None]] = set()
        self._opening: asyncio.Task[None] | None = None
        self._sent = 0

    @property
    def is_live(self) -> bool:
        """Whether it has had its welcome."""
        return self._protocol.is_live

    def offer(self, event: Event) -> None:
        """Takes an event; does not wait and does not raise."""
        self._perform(self._protocol.push(event))

    def end(self, ending: Ending) -> None:
        """Ends the session as the hub wants it; does not wait and does not raise."""
        self.close(_CODES[ending])

    def close(self, code: CloseCode) -> None:
        """Ends the session soon; does not wait and does not raise, nor matter where it has ended."""
        self._perform(self._protocol.fail(code))

    def revoke(self, not_before: datetime) -> None:
        """Ends the session if its token was made before a time; does not wait and does not raise."""
        self._perform(self._protocol.revoke(not_before))

    async def run(self) -> None:
        """Serves the connection until either side ends it."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        hello_timer = loop.call_later(self._limits.hello_timeout_s, self._expire_hello)
        try:
            async with asyncio.TaskGroup() as self._tasks:
                self._start(self._read())
                self._start(self._relay())
                self._perform(self._protocol.start())
                await self._ended.wait()
                for child in self._children:
                    child.cancel()
        finally:
            hello_timer.cancel()
            if self._token_timer:
                self._token_timer.cancel()
            if self._key:
                self._hub.unsubscribe(self._key, self)

        await self._shut()
        _log.info(
            "session_closed",
            protocol=self._protocol.name,
            **self._who(),
            close_code=self._socket.close_code,
            # What was meant: who reads nothing cannot be told, and is cut with 1006.
            reason=self._code.reason if self._code else None,
            waited_bytes=self._outbox.peak_bytes,
            sent=self._sent,
            lasted_s=round(loop.time() - started, 3),
        )

    def _start(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        child = self._tasks.create_task(work)
        self._children.add(child)
        child.add_done_callback(self._children.discard)
        return child

    def _perform(self, actions: Sequence[Action]) -> None:
        if self._ended.is_set():
            # The client is gone, and what was begun is being cancelled: nothing new is.
            return
        for action in actions:
            match action:
                case Send(frame):
                    if not self._outbox.put(frame):
                        # What it has not read is of no use any more: it comes back for a welcome.
                        self._outbox.clear()
                        self.close(CloseCode.SLOW)
                        return
                    self._has_frames.set()
                case Open(hello, failures):
                    self._opening = self._start(self._open(hello, failures))
                case Ask(hello, request, failures):
                    self._start(self._ask(hello, request, failures))
                case Until(time):
                    self._set_token_timer(time)
                case Close(code):
                    self._code = code
                    self._ended.set()

    def _set_token_timer(self, time: datetime) -> None:
        if self._token_timer:
            self._token_timer.cancel()
        delay_s = (time - self._clock()).total_seconds()
        self._token_timer = asyncio.get_running_loop().call_later(delay_s, self._expire_token)

    def _expire_token(self) -> None:
        self._perform(self._protocol.expire_token())

    def _expire_hello(self) -> None:
        self._perform(self._protocol.expire_hello())

    async def _read(self) -> None:
        loop = asyncio.get_running_loop()
        with suppress(ConnectionClosed):
            async for data in self._socket:
                self._perform(self._protocol.receive(data, loop.time()))

        # The client is gone, or the library has ended the connection: too large a frame, no answer to a ping.
        self._ended.set()

    async def _relay(self) -> None:
        with suppress(ConnectionClosed):
            while True:
                await self._has_frames.wait()
                self._has_frames.clear()
                try:
                    await self._flush()
                except TimeoutError:
                    self._outbox.clear()
                    return self.close(CloseCode.SLOW)

    async def _flush(self) -> None:
        while self._outbox:
            async with asyncio.timeout(self._limits.stall_s):
                await self._socket.send(self._outbox.pop(), text=True)
            self._sent += 1

    async def _open(self, hello: Hello, failures: int) -> None:
        if failures:
            await asyncio.sleep(_backoff_s(failures))
        if self._is_superseded():
            return None
        if not self._is_feed_live():
            return self.close(CloseCode.UNAVAILABLE)

        # First subscribe, then note how far events have come, then read: what is not in the read is still to come.
        self._key = UserKey(hello.client_id, hello.user_id)
        self._hub.subscribe(self._key, self)
        try:
            welcome = await self._services.read_welcome(hello, min_position=self._hub.position)
        except SessionRefusedError as refusal:
            return None if self._is_superseded() else self._perform(self._protocol.fail(refusal.code, refusal.error))

        if self._is_superseded():
            return None
        # One that resumes by itself has its place.
        is_resumed = self.is_live
        if not is_resumed and self._hub.is_full(self._key):
            return self.close(CloseCode.TOO_MANY_SESSIONS)

        _log.info("session_resumed" if is_resumed else "session_opened", protocol=self._protocol.name, **self._who())
        return self._perform(self._protocol.welcome(welcome))

    def _is_superseded(self) -> bool:
        """Tells whether another opening has begun since this one, as its events were lost meanwhile."""
        return asyncio.current_task() is not self._opening

    async def _ask(self, hello: Hello, request: Request, failures: int) -> None:
        if failures:
            await asyncio.sleep(_backoff_s(failures))
        try:
            result = await self._services.ask(hello, request)
        except RequestRefusedError as refusal:
            self._perform(self._protocol.refuse(request.ref, refusal.error))
        except SessionRefusedError as refusal:
            self._perform(self._protocol.reject(hello, request.ref, refusal.code))
        else:
            if isinstance(request, RenewToken):
                self._perform(self._protocol.renew(hello, request.ref, result))
            else:
                self._perform(self._protocol.answer(request.ref, result))

    async def _shut(self) -> None:
        """Ends the connection; does not raise, and does not wait for ever on a client that reads nothing."""
        try:
            async with asyncio.timeout(self._limits.close_timeout_s):
                if self._code:
                    await self._flush()
                    await self._socket.close(self._code.code, self._code.reason)
        except (ConnectionClosed, TimeoutError):
            self._socket.transport.abort()
            await self._socket.wait_closed()

    def _who(self) -> dict[str, str]:
        return self._key._asdict() if self._key else {}


def _backoff_s(failures: int) -> float:
    """Gives how long to wait before another try: any time up to a bound that grows, so that not all come at once."""
    return random.uniform(0, min(_MAX_BACKOFF_S, 0.25 * 2.0 ** min(failures, 10)))
