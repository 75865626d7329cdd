"""One session of NotificationAPI's socket without I/O: what came in goes in, what to do comes out.

Their clients never come back: what would close a session of ours, so that its client resumes it, has this one resume
itself. No method raises, whatever the client sends.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from gateway.closes import CloseCode
from gateway.fields import FrameError
from gateway.frames import MAX_LIMIT
from gateway.items import item_from_document
from gateway.notificationapi import frames
from gateway.notificationapi.frames import ClearUnread, CountUnread
from gateway.protocol import FRAMES_BURST, FRAMES_PER_S, MAX_BUFFERED_EVENTS, Action, Ask, Close, Open, Send, State
from gateway.requests import Filter, GetEnvironment, GetPreferences, ListItems, MarkItems, PatchPreferences, Until
from services.kernel.cluster_time import position_to_text
from services.kernel.rate import TokenBucket
from services.live.changes import Created

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from gateway.frames import Hello
    from gateway.notificationapi.frames import Frame
    from gateway.protocol import Welcome
    from gateway.requests import Request
    from services.live.changes import Event

MAX_WAITING = 16
MAX_KNOWN = 1000

# What has a client of ours come back for a welcome; a stop of the gateway does too, but then nobody is left to resume.
_RESUMES = frozenset({CloseCode.UNAVAILABLE, CloseCode.FEED_LOST})


class NotificationApiProtocol:
    """The state of one session.

    Args:
        hello: Whose it is; the credentials were checked once, at the handshake.
        since: How far events had come when the socket opened; 0: nobody knows.
        frames_per_s: How many frames a client may send in the long run.
        frames_burst: How many it may send at once.
    """

    name = "notificationapi"

    def __init__(
        self,
        hello: Hello,
        *,
        since: int = 0,
        frames_per_s: float = FRAMES_PER_S,
        frames_burst: int = FRAMES_BURST,
    ) -> None:
        self.state = State.OPENING
        self._hello = hello
        self._since = since
        self._rate = TokenBucket(per_s=frames_per_s, burst=frames_burst)
        self._welcome: Welcome | None = None
        self._position = 0
        self._buffer: list[Event] = []
        self._unread = 0
        self._news = News()
        # Js-client sends a frame before anything else, core none ever; to that one only news is of use.
        self._has_asked = False
        # One after the other, as their clients send two opposite choices without waiting in between.
        self._waiting: deque[Frame] = deque()
        self._asked: Request | None = None
        # In a row.
        self._failed_opens = 0
        self._failed_asks = 0

    @property
    def is_live(self) -> bool:
        """Whether it has had its welcome; also while it reads another one."""
        return self._welcome is not None and self.state is not State.CLOSED

    def start(self) -> list[Action]:
        """Begins; called once, before everything else."""
        return [Open(self._hello)]

    def receive(self, data: str | bytes, now: float = 0.0) -> list[Action]:
        """Takes a frame of the client, at ``now`` seconds of a clock that does not go back.

        What cannot be read or comes too fast is passed over: to their client a close is for ever.
        """
        if self.state is State.CLOSED or not self._rate.take(now):
            return []
        try:
            frame = frames.parse(data)
        except FrameError:
            return []

        self._has_asked = True
        if isinstance(frame, ClearUnread) and self._welcome:
            # What its user has seen by now; what else comes while the frame waits stays unread.
            frame = replace(frame, until=self._news.newest)
        is_repeated = bool(self._waiting) and self._waiting[-1] == frame
        if not is_repeated and len(self._waiting) < MAX_WAITING:
            self._waiting.append(frame)
        return self._next()

    def answer(self, ref: str, result: Mapping[str, Any]) -> list[Action]:
        """Takes what the services answered to what was asked last."""
        request, self._asked, self._failed_asks = self._asked, None, 0
        if self.state is State.CLOSED:
            return []
        match request:
            case ListItems():
                self._news.listed(result["items"], has_more=result["has_more"])
                actions: list[Action] = [Send(frames.notifications(result["items"]))]
            case GetEnvironment():
                actions = [Send(frames.environment(result))]
            case GetPreferences():
                actions = [Send(frames.preferences(result))]
            case MarkItems() if not result["changed_count"] or result["unread_count"] == self._unread:
                # Their client counts down by itself, also what was read already. Where the numbers differ an event is
                # to come, with the badge behind it.
                actions = [self._count()]
            case _:
                actions = []
        return actions + self._next()

    def refuse(self, ref: str, error: FrameError) -> list[Action]:
        """Takes why a request has no result: it is asked again where that may help, as its client will not."""
        if self.state is State.CLOSED or self._asked is None:
            return []
        if error.code == "UNAVAILABLE":
            self._failed_asks += 1
            return [Ask(self._hello, self._asked, self._failed_asks)]

        request, self._asked, self._failed_asks = self._asked, None, 0
        actions: list[Action] = []
        # There is no frame for an error, but their client has shown the change already: it gets what is true.
        if isinstance(request, MarkItems):
            actions = [self._count()]
        elif isinstance(request, PatchPreferences):
            self._waiting.appendleft(frames.ALL_PREFERENCES)
        return actions + self._next()

    def renew(self, hello: Hello, ref: str, result: Mapping[str, Any]) -> list[Action]:
        """Does nothing: there are no tokens here."""
        return []

    def reject(self, hello: Hello, ref: str, code: CloseCode) -> list[Action]:
        """Takes that the services do not accept the credentials any more; the session ends."""
        return self.fail(code)

    def welcome(self, welcome: Welcome) -> list[Action]:
        """Takes the state that was read, and follows with the events that it does not hold.

        Their clients ask for what is there; they are told what is news since the socket opened, or since the last one.
        """
        if self.state is not State.OPENING:
            return []

        is_first = self._welcome is None
        self.state, self._failed_opens = State.LIVE, 0
        # Without its items, which may be large, and the socket open for days.
        self._welcome = replace(welcome, items=[])
        self._position, self._unread = welcome.position, welcome.unread_count
        if is_first:
            news = self._news.begin(welcome.items, has_more=bool(welcome.next_page_token), since=self._since)
        else:
            news = self._news.of(welcome.items)
        buffered, self._buffer = self._buffer, []
        events = [one for event in buffered for one in event.after(welcome.position)]
        later = [item for one in events if (item := self._take(one))]
        # In one frame, as an outbox takes fewer at once than there may be events: closed as slow, a client stays away.
        news = [*reversed(later), *news]
        actions: list[Action] = [Send(frames.notifications(news, new=True))] if news else []
        if self._has_asked and (news or not is_first or any(one.unread_change for one in events)):
            actions.append(self._count())
        return actions + self._next()

    def push(self, event: Event) -> list[Action]:
        """Takes an event of the user; before the welcome it is kept, and one that the welcome holds is dropped."""
        if self.state is State.LIVE and self._welcome:
            return [action for one in event.after(self._welcome.position) for action in self._tell(one)]
        if self.state is not State.OPENING:
            return []
        if len(self._buffer) >= MAX_BUFFERED_EVENTS:
            return self.fail(CloseCode.UNAVAILABLE)

        self._buffer.append(event)
        return []

    def revoke(self, not_before: datetime) -> list[Action]:
        """Does nothing: a session by a hash lasts as long as its socket."""
        return []

    def expire_token(self) -> list[Action]:
        """Does nothing: there are no tokens here."""
        return []

    def expire_hello(self) -> list[Action]:
        """Does nothing: the hello was in the address."""
        return []

    def fail(self, code: CloseCode, error: FrameError | None = None) -> list[Action]:
        """Ends the session, or has it opened anew where a client of ours would come back for that."""
        if self.state is State.CLOSED:
            return []

        self._buffer.clear()
        if code not in _RESUMES:
            self.state = State.CLOSED
            self._waiting.clear()
            return [Close(code)]

        self.state = State.OPENING
        self._failed_opens += 1
        if self._welcome:
            self._hello = replace(self._hello, cursor=self._welcome.cursor_at(self._position), limit=MAX_LIMIT)
        return [Open(self._hello, self._failed_opens)]

    def _next(self) -> list[Action]:
        """Carries out what waits, up to what has to be waited for."""
        actions: list[Action] = []
        while self.state is State.LIVE and self._waiting and self._asked is None:
            frame = self._waiting.popleft()
            request = _mark(frame, frame.until or self._news.newest) if isinstance(frame, ClearUnread) else frame
            if isinstance(request, CountUnread):
                actions.append(self._count())
            else:
                self._asked = request
                actions.append(Ask(self._hello, request))
        return actions

    def _take(self, event: Event) -> Mapping[str, Any] | None:
        """Counts what an event changes, and gives the item that is news by it."""
        self._unread += event.unread_change
        self._position = event.position
        if not isinstance(event.what, Created):
            return None
        document = event.what.document
        item = event.in_form(("notificationapi", "item"), lambda: item_from_document(document))
        return item if self._news.takes(item) else None

    def _tell(self, event: Event) -> list[Action]:
        actions: list[Action] = []
        if item := self._take(event):
            frame = event.in_form(("notificationapi", "frame"), lambda: frames.notifications([item], new=True))
            actions.append(Send(frame))
        if self._has_asked and (actions or event.unread_change):
            # Their client has added every item that is new to it, one that is read too.
            actions.append(self._count())
        return actions

    def _count(self) -> Action:
        return Send(frames.unread_count(max(self._unread, 0)))


class News:
    """Tells which items are news to a client, each once: what it holds already, core would show a second time."""

    def __init__(self) -> None:
        self.newest = ""
        """The date of the newest item that there was so far; empty: there was none."""

        # The ids with their dates, in the order in which they came. What is not newer than the floor and not among
        # them is no news; what is newer and not among them, the client cannot have.
        self._known: dict[str, str] = {}
        self._floor = ""
        # The date of the oldest item that the client has asked for; None: it has not asked, empty: it has all.
        self._bottom: str | None = None

    def begin(self, items: Sequence[Mapping[str, Any]], *, has_more: bool, since: int) -> list[Mapping[str, Any]]:
        """Takes the newest items of the inbox at the start, newest first, and gives those that are news by then.

        Args:
            items: They.
            has_more: Whether there are older ones.
            since: From which position on what appeared is news; 0: nothing is.
        """
        self._floor = items[-1]["date"] if items and has_more else ""
        for item in reversed(items):
            self._know(item)
        begun = position_to_text(since)
        return [item for item in items if since and item["unread"] and item["rev"] > begun]

    def of(self, items: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """Gives what is news of all that changed meanwhile, newest first."""
        there = [one for one in items if "retract_time" not in one]
        there.sort(key=lambda item: (item["date"], item["id"]), reverse=True)
        return [item for item in there if self.takes(item)]

    def listed(self, items: Iterable[Mapping[str, Any]], *, has_more: bool) -> None:
        """Takes a page that the client gets."""
        oldest = min((item["date"] for item in items), default="") if has_more else ""
        self._bottom = oldest if self._bottom is None else min(self._bottom, oldest)

    def takes(self, item: Mapping[str, Any]) -> bool:
        """Tells whether an item is to be told, and takes it as told."""
        if "archive_time" in item:
            # Their js-client, which has no archive, would show it.
            return False
        if item["unread"]:
            is_news = item["id"] not in self._known and item["date"] > self._floor
        else:
            # It comes back from the archive, to a client that may have dropped or never held it, and passes over what
            # it holds. Further down than its pages it would be taken for the place to page on from.
            is_news = self._bottom is not None and item["date"] >= self._bottom
        self._know(item)
        return is_news

    def _know(self, item: Mapping[str, Any]) -> None:
        self.newest = max(self.newest, item["date"])
        self._known[item["id"]] = item["date"]
        if len(self._known) > MAX_KNOWN:
            oldest = next(iter(self._known))
            self._floor = max(self._floor, self._known.pop(oldest))


def _mark(frame: ClearUnread, until: str) -> MarkItems | CountUnread:
    """Gives the request of a clear; where there was never an item, it is answered with the count."""
    if frame.item_id:
        return MarkItems("", ids=(frame.item_id,), sets=("OPENED",))
    if not until:
        return CountUnread()
    return MarkItems("", until=Until(datetime.fromisoformat(until), "INBOX", Filter(unread=True)), sets=("OPENED",))
