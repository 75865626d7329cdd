"""One session of `carillon.v1` without I/O: what came in goes in, what to do comes out.

The shell (session.py) carries the actions out, in their order. No method raises, whatever the client sends.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from gateway import frames
from gateway.closes import CloseCode
from gateway.events import frame_of
from gateway.fields import FrameError, invalid
from gateway.frames import Hello, Ping
from gateway.items import iso
from gateway.requests import RenewToken
from services.kernel.rate import TokenBucket

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gateway.requests import Request
    from services.live.changes import Event

MAX_STRIKES = 3
MAX_BUFFERED_EVENTS = 256
MAX_REQUESTS = 8
FRAMES_PER_S = 20.0
FRAMES_BURST = 100


class State(enum.Enum):
    """How far a session has come."""

    AWAIT_HELLO = "await_hello"
    """Nothing was sent or read yet."""

    OPENING = "opening"
    """The credentials are being checked and the welcome read; events are kept back."""

    LIVE = "live"
    """The client is up to date and gets every event."""

    CLOSED = "closed"
    """Nothing happens any more."""


@dataclass(frozen=True, slots=True)
class Send:
    """Send a frame."""

    frame: bytes


@dataclass(frozen=True, slots=True)
class Open:
    """Subscribe the user, then check the credentials and read the welcome; answer by ``welcome`` or ``fail``."""

    hello: Hello
    failures: int = 0
    """How often this was tried before, in a row: the more, the longer to wait before."""


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask the services for whom hello named, beside everything else.

    Answered by ``answer`` (``renew`` for a RenewToken, with this hello), ``refuse``, or ``reject`` with this hello.
    """

    hello: Hello
    request: Request
    failures: int = 0
    """As of ``Open``."""


@dataclass(frozen=True, slots=True)
class Until:
    """Call ``expire_token`` at a time, in place of any that was said before."""

    time: datetime


@dataclass(frozen=True, slots=True)
class Close:
    """End the session, after what was to be sent before."""

    code: CloseCode


Action = Send | Open | Ask | Until | Close


@dataclass(frozen=True, slots=True)
class Welcome:
    """The state of an inbox at one moment."""

    position: int
    """The moment: events up to it are in here, later ones are not."""

    unread_count: int
    items: list[dict[str, Any]]
    """Of a snapshot the newest, newest first; else what changed since the client's cursor, in that order."""

    incarnation: int
    """Of which user document; cursors name it."""

    cursor_at: Callable[[int], str]
    """Gives the cursor of who has this state and every event up to a position."""

    resume: str = "snapshot"
    cause: str = ""
    """Why it is a snapshot; empty: it is none."""

    next_page_token: str = ""
    """By which a list goes on after the items of a snapshot; empty: these are all."""


class InboxProtocol:
    """The state of one session.

    Args:
        frames_per_s: How many frames a client may send in the long run.
        frames_burst: How many it may send at once.
    """

    name = "carillon.v1"

    def __init__(self, *, frames_per_s: float = FRAMES_PER_S, frames_burst: int = FRAMES_BURST) -> None:
        self.state = State.AWAIT_HELLO
        self._hello: Hello | None = None
        self._rate = TokenBucket(per_s=frames_per_s, burst=frames_burst)
        self._strikes = 0
        self._asked = 0
        self._welcome: Welcome | None = None
        self._buffer: list[Event] = []
        self._not_before = datetime.min.replace(tzinfo=UTC)

    @property
    def is_live(self) -> bool:
        """Whether it has had its welcome."""
        return self.state is State.LIVE

    def start(self) -> list[Action]:
        """Begins; the client has the first word."""
        return []

    def receive(self, data: str | bytes, now: float = 0.0) -> list[Action]:
        """Takes a frame of the client, at ``now`` seconds of a clock that does not go back."""
        if self.state is State.CLOSED:
            return []
        # Before it is read, as what cannot be read costs too.
        if not self._rate.take(now):
            return self.fail(CloseCode.TOO_FAST)

        try:
            frame = frames.parse(data)
            if isinstance(frame, Hello):
                return self._open(frame)
            if self.state is State.AWAIT_HELLO:
                raise FrameError("HELLO_EXPECTED", "the first frame must be hello", ref=frame.ref)
            actions = self._pong(frame) if isinstance(frame, Ping) else self._ask(frame)
        except FrameError as error:
            return self._strike(error)

        # In a row: a tab that is open for a month may slip now and then.
        self._strikes = 0
        return actions

    def answer(self, ref: str, result: Mapping[str, Any]) -> list[Action]:
        """Takes what the services answered to a request."""
        return self._answered({"type": "result", "ref": ref, **result})

    def refuse(self, ref: str, error: FrameError) -> list[Action]:
        """Takes why a request has no result; the session goes on."""
        return self._answered(error.body() | {"ref": ref})

    def renew(self, hello: Hello, ref: str, result: Mapping[str, Any]) -> list[Action]:
        """Takes that the services accept a new token: it is what is asked with from now on, until it is over."""
        if self._is_revoked(hello):
            return self.refuse(ref, FrameError("TOKEN_REVOKED", "the user token was revoked", field="token"))
        actions = self.answer(ref, result)
        if self.state is not State.CLOSED:
            self._hello = hello
            actions += _end_of(hello)
        return actions

    def reject(self, hello: Hello, ref: str, code: CloseCode) -> list[Action]:
        """Takes that the services do not accept whom a request was asked for; the session ends.

        Not so where it has renewed its token since: then the request may be sent again.
        """
        if hello is not self._hello:
            return self.refuse(ref, FrameError("UNAVAILABLE", "the token was renewed meanwhile; ask again"))
        return self.fail(code)

    def welcome(self, welcome: Welcome) -> list[Action]:
        """Takes the state that was read, and follows with the events that it does not hold."""
        if self.state is not State.OPENING or self._hello is None:
            return []
        if self._is_revoked(self._hello):
            return self.fail(CloseCode.TOKEN_REVOKED)

        self.state = State.LIVE
        self._welcome = welcome
        body: dict[str, Any] = {
            "type": "welcome",
            "resume": welcome.resume,
            **({"cause": welcome.cause} if welcome.cause else {}),
            "unread_count": welcome.unread_count,
            "items": welcome.items,
            **({"next_page_token": welcome.next_page_token} if welcome.next_page_token else {}),
            **({"expire_time": iso(self._hello.token.expire_time)} if self._hello.token else {}),
            "cursor": welcome.cursor_at(welcome.position),
        }
        actions: list[Action] = [_send(body), *_end_of(self._hello)]
        for event in self._buffer:
            actions += self.push(event)

        self._buffer.clear()
        return actions

    def push(self, event: Event) -> list[Action]:
        """Takes an event of the user; before the welcome it is kept, and one that the welcome holds is dropped."""
        if self.state is State.LIVE and self._welcome:
            welcome = self._welcome
            events = event.after(welcome.position)
            return [Send(frame_of(one, welcome.incarnation, welcome.cursor_at)) for one in events]
        if self.state is not State.OPENING:
            return []
        if len(self._buffer) >= MAX_BUFFERED_EVENTS:
            return self.fail(CloseCode.UNAVAILABLE)

        self._buffer.append(event)
        return []

    def revoke(self, not_before: datetime) -> list[Action]:
        """Takes that tokens of the user from before a time are revoked: a session that has such a one ends.

        Before the welcome it is kept, as events are: whose session it is, only the services can say. It is kept after
        that too, for a token that they accepted just before.
        """
        self._not_before = max(self._not_before, not_before)
        if self.state is State.LIVE and self._hello and self._is_revoked(self._hello):
            return self.fail(CloseCode.TOKEN_REVOKED)
        return []

    def expire_token(self) -> list[Action]:
        """Ends the session, as its token is over; called at the time of the last ``Until``."""
        return self.fail(CloseCode.TOKEN_EXPIRED)

    def fail(self, code: CloseCode, error: FrameError | None = None) -> list[Action]:
        """Ends the session, with an error frame where the client can learn something from it."""
        if self.state is State.CLOSED:
            return []

        self.state = State.CLOSED
        self._buffer.clear()
        return [_send(error.body()), Close(code)] if error else [Close(code)]

    def expire_hello(self) -> list[Action]:
        """Ends a session that has not said hello; called once, when the time for it is over."""
        return self.fail(CloseCode.HELLO_LATE) if self.state is State.AWAIT_HELLO else []

    def _open(self, hello: Hello) -> list[Action]:
        if self.state is not State.AWAIT_HELLO:
            raise FrameError("HELLO_REPEATED", "this session is open; connect again for another user")

        self.state = State.OPENING
        self._hello = hello
        return [Open(hello)]

    def _pong(self, ping: Ping) -> list[Action]:
        return [_send({"type": "pong"} | ({"ref": ping.ref} if ping.ref else {}))]

    def _ask(self, request: Request) -> list[Action]:
        if self._hello is None or self.state is not State.LIVE:
            raise FrameError("WELCOME_EXPECTED", "wait for the welcome before asking for anything", ref=request.ref)

        hello = _renewed(self._hello, request) if isinstance(request, RenewToken) else self._hello
        if self._asked >= MAX_REQUESTS:
            # No strike: a client that is merely quick may ask again.
            message = f"at most {MAX_REQUESTS} requests may wait for their answers"
            return [_send(FrameError("TOO_MANY_REQUESTS", message, ref=request.ref).body())]

        self._asked += 1
        return [Ask(hello, request)]

    def _is_revoked(self, hello: Hello) -> bool:
        return hello.token is not None and hello.token.token_time < self._not_before

    def _answered(self, body: Mapping[str, Any]) -> list[Action]:
        self._asked -= 1
        return [] if self.state is State.CLOSED else [_send(body)]

    def _strike(self, error: FrameError) -> list[Action]:
        self._strikes += 1
        if self.state is State.AWAIT_HELLO or self._strikes >= MAX_STRIKES:
            return self.fail(CloseCode.BAD_FRAME, error)
        return [_send(error.body())]


def _renewed(hello: Hello, request: RenewToken) -> Hello:
    """Gives the hello with another token; raises FrameError where that is somebody else's."""
    token = request.token
    if (token.client_id, token.user_id) != (hello.client_id, hello.user_id):
        error = invalid("token", "must be of the user of this session; connect again for another one")
        error.ref = request.ref
        raise error
    return replace(hello, user_hash="", token=token)


def _end_of(hello: Hello) -> list[Action]:
    return [Until(hello.token.expire_time)] if hello.token else []


def _send(body: Mapping[str, Any]) -> Send:
    return Send(frames.encode(body))
