"""One session of `carillon.v1` without I/O: what came in goes in, what to do comes out.

The shell (session.py) carries the actions out, in their order. No method raises, whatever the client sends.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gateway import frames
from gateway.closes import CloseCode
from gateway.events import frame_of
from gateway.fields import FrameError
from gateway.frames import Hello, Ping

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gateway.requests import Request
    from services.live.changes import Event

MAX_STRIKES = 3
MAX_BUFFERED_EVENTS = 256
MAX_REQUESTS = 8


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


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask the services for whom hello named, beside everything else; answer by ``answer``, ``refuse`` or ``fail``."""

    hello: Hello
    request: Request


@dataclass(frozen=True, slots=True)
class Close:
    """End the session, after what was to be sent before."""

    code: CloseCode


Action = Send | Open | Ask | Close


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


class InboxProtocol:
    """The state of one session."""

    def __init__(self) -> None:
        self.state = State.AWAIT_HELLO
        self._hello: Hello | None = None
        self._strikes = 0
        self._asked = 0
        self._welcome: Welcome | None = None
        self._buffer: list[Event] = []

    def receive(self, data: str | bytes) -> list[Action]:
        """Takes a frame of the client."""
        if self.state is State.CLOSED:
            return []

        try:
            frame = frames.parse(data)
            if isinstance(frame, Hello):
                return self._open(frame)
            if self.state is State.AWAIT_HELLO:
                raise FrameError("HELLO_EXPECTED", "the first frame must be hello", ref=frame.ref)
            if isinstance(frame, Ping):
                return [_send({"type": "pong"} | ({"ref": frame.ref} if frame.ref else {}))]
            return self._ask(frame)
        except FrameError as error:
            return self._strike(error)

    def answer(self, ref: str, result: Mapping[str, Any]) -> list[Action]:
        """Takes what the services answered to a request."""
        return self._answered({"type": "result", "ref": ref, **result})

    def refuse(self, ref: str, error: FrameError) -> list[Action]:
        """Takes why a request has no result; the session goes on."""
        return self._answered(error.body() | {"ref": ref})

    def welcome(self, welcome: Welcome) -> list[Action]:
        """Takes the state that was read, and follows with the events that it does not hold."""
        if self.state is not State.OPENING:
            return []

        self.state = State.LIVE
        self._welcome = welcome
        body: dict[str, Any] = {
            "type": "welcome",
            "resume": welcome.resume,
            **({"cause": welcome.cause} if welcome.cause else {}),
            "unread_count": welcome.unread_count,
            "items": welcome.items,
            "cursor": welcome.cursor_at(welcome.position),
        }
        actions: list[Action] = [_send(body)]
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

    def _ask(self, request: Request) -> list[Action]:
        if self._hello is None or self.state is not State.LIVE:
            raise FrameError("WELCOME_EXPECTED", "wait for the welcome before asking for anything", ref=request.ref)
        if self._asked >= MAX_REQUESTS:
            # No strike: a client that is merely quick may ask again.
            message = f"at most {MAX_REQUESTS} requests may wait for their answers"
            return [_send(FrameError("TOO_MANY_REQUESTS", message, ref=request.ref).body())]

        self._asked += 1
        return [Ask(self._hello, request)]

    def _answered(self, body: Mapping[str, Any]) -> list[Action]:
        self._asked -= 1
        return [] if self.state is State.CLOSED else [_send(body)]

    def _strike(self, error: FrameError) -> list[Action]:
        self._strikes += 1
        if self.state is State.AWAIT_HELLO or self._strikes >= MAX_STRIKES:
            return self.fail(CloseCode.BAD_FRAME, error)
        return [_send(error.body())]


def _send(body: Mapping[str, Any]) -> Send:
    return Send(frames.encode(body))
