from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.closes import CloseCode
from gateway.fields import FrameError
from gateway.frames import Hello
from gateway.protocol import (
    MAX_BUFFERED_EVENTS,
    MAX_REQUESTS,
    Action,
    Ask,
    Close,
    InboxProtocol,
    Open,
    Send,
    State,
    Until,
    Welcome,
)
from gateway.requests import ListItems, RenewToken
from services.kernel.tokens import read_token
from services.live.changes import Event, Retracted, coalesce
from tests.tokens import mint

NOW = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)
HELLO = '{"type":"hello","client_id":"dev","user_id":"u1","user_hash":"aGFzaA=="}'
LIST = '{"type":"list","ref":"7"}'


def test_hello_opens() -> None:
    """A hello asks for a welcome and sends nothing yet."""
    protocol = InboxProtocol()

    assert protocol.receive(HELLO) == [Open(Hello("dev", "u1", "aGFzaA=="))]
    assert protocol.state is State.OPENING


def test_a_welcome_makes_the_session_live() -> None:
    """The welcome is sent as it was read, with the cursor of that moment."""
    protocol = _opening()

    assert _bodies(protocol.welcome(_welcome(7, 2, [{"id": "a"}], cause="NO_CURSOR"))) == [
        {
            "type": "welcome",
            "resume": "snapshot",
            "cause": "NO_CURSOR",
            "unread_count": 2,
            "items": [{"id": "a"}],
            "cursor": "cursor-7",
        }
    ]
    assert protocol.state is State.LIVE


def test_a_welcome_that_has_all_that_changed_says_so() -> None:
    """It is full, and names no cause."""
    (body,) = _bodies(_opening().welcome(_welcome(7, 0, [], resume="full")))

    assert (body["resume"], body.get("cause")) == ("full", None)


def test_events_before_the_welcome_follow_it_unless_it_holds_them() -> None:
    """What happened up to the moment of the read is dropped, what came later follows in its order."""
    protocol = _opening()
    assert [protocol.push(_event(position)) for position in (6, 7, 8, 9)] == [[], [], [], []]

    assert _positions(protocol.welcome(_welcome(7))) == [8, 9]


def test_live_events_go_out_at_once_unless_the_welcome_holds_them() -> None:
    """An event that is published late, or again, and was in the read, is not told a second time."""
    protocol = _opening()
    protocol.welcome(_welcome(7))

    assert protocol.push(_event(7)) == []
    assert protocol.push(_event(8)) == [
        Send(b'{"type":"retracted","ids":["8"],"unread_change":-1,"cursor":"cursor-8"}')
    ]


def test_a_joined_event_that_the_welcome_holds_in_part_is_told_in_part() -> None:
    """The badge counts no change twice."""
    protocol = _opening()
    (joined,) = coalesce([_event(6), _event(8)])
    protocol.push(joined)

    assert _positions(protocol.welcome(_welcome(7))) == [8]


def test_more_events_than_fit_before_the_welcome_end_the_session() -> None:
    """A welcome that takes too long does not grow the memory without bound."""
    protocol = _opening()
    for position in range(MAX_BUFFERED_EVENTS):
        assert protocol.push(_event(position)) == []

    assert protocol.push(_event(MAX_BUFFERED_EVENTS)) == [Close(CloseCode.UNAVAILABLE)]
    assert protocol.welcome(_welcome(0)) == []


def test_no_event_before_hello() -> None:
    """A session without a user is told nothing."""
    protocol = InboxProtocol()

    assert protocol.push(_event(1)) == []
    assert _positions([*protocol.receive(HELLO), *protocol.welcome(_welcome(0))]) == []


def test_a_bad_first_frame_ends_the_session_with_its_error() -> None:
    """Before hello there is no second try."""
    protocol = InboxProtocol()

    error, close = protocol.receive('{"type":"ping","ref":"1"}')

    assert _bodies([error])[0] | {"message": ""} == {
        "type": "error",
        "code": "HELLO_EXPECTED",
        "message": "",
        "ref": "1",
    }
    assert close == Close(CloseCode.BAD_FRAME)
    assert protocol.receive(HELLO) == []


def test_three_strikes_end_a_session() -> None:
    """After hello a bad frame is answered, the third one ends the session."""
    protocol = _opening()
    protocol.welcome(_welcome(0))

    assert [body["code"] for body in _bodies(protocol.receive("x"))] == ["NOT_JSON"]
    assert [body["code"] for body in _bodies(protocol.receive(HELLO))] == ["HELLO_REPEATED"]
    assert protocol.receive("[]")[1:] == [Close(CloseCode.BAD_FRAME)]


def test_frames_that_come_too_fast_end_the_session() -> None:
    """Whatever they hold, as reading them costs too; with time, more may come."""
    protocol = InboxProtocol(frames_per_s=1, frames_burst=2)

    assert protocol.receive(HELLO, 10.0) == [Open(Hello("dev", "u1", "aGFzaA=="))]
    assert [body["code"] for body in _bodies(protocol.receive("x", 10.0))] == ["NOT_JSON"]
    assert [body["code"] for body in _bodies(protocol.receive("x", 11.5))] == ["NOT_JSON"]
    assert protocol.receive("x", 11.6) == [Close(CloseCode.TOO_FAST)]
    assert protocol.receive(HELLO, 99.0) == []


def test_strikes_are_counted_in_a_row() -> None:
    """A frame that is understood makes up for those before it."""
    protocol = _live()
    for _ in range(5):
        assert [body["code"] for body in _bodies(protocol.receive("x") + protocol.receive("x"))] == ["NOT_JSON"] * 2
        assert _bodies(protocol.receive('{"type":"ping"}')) == [{"type": "pong"}]

    assert protocol.state is State.LIVE


def test_a_ping_is_answered_with_its_ref() -> None:
    """A pong carries the ref that the ping had, or none."""
    protocol = _opening()

    assert _bodies(protocol.receive('{"type":"ping","ref":"7"}')) == [{"type": "pong", "ref": "7"}]
    assert _bodies(protocol.receive('{"type":"ping"}')) == [{"type": "pong"}]


def test_a_request_is_asked_as_the_user_of_the_session() -> None:
    """A request goes on with the hello of the session, and its answer has its ref."""
    protocol = _live()

    assert protocol.receive(LIST) == [Ask(Hello("dev", "u1", "aGFzaA=="), ListItems("7"))]
    assert _bodies(protocol.answer("7", {"items": []})) == [{"type": "result", "ref": "7", "items": []}]
    assert _bodies(protocol.refuse("8", FrameError("X", "x"))) == [
        {"type": "error", "code": "X", "message": "x", "ref": "8"}
    ]


def test_requests_that_wait_are_bounded() -> None:
    """One too many is refused by its ref without a strike; each answer and each refusal makes room."""
    protocol = _live()
    for _ in range(MAX_REQUESTS):
        assert isinstance(protocol.receive(LIST)[0], Ask)
    for _ in range(5):
        assert [(body["code"], body["ref"]) for body in _bodies(protocol.receive(LIST))] == [("TOO_MANY_REQUESTS", "7")]

    protocol.answer("7", {})
    protocol.refuse("7", FrameError("X", "x"))
    assert [type(protocol.receive(LIST)[0]) for _ in range(3)] == [Ask, Ask, Send]


def test_nothing_is_asked_before_the_welcome() -> None:
    """A request before the welcome is a bad frame."""
    assert [body["code"] for body in _bodies(_opening().receive(LIST))] == ["WELCOME_EXPECTED"]


def test_an_answer_after_the_end_is_dropped() -> None:
    """What the services answer to a session that is closed goes nowhere."""
    protocol = _live()
    protocol.receive(LIST)
    protocol.fail(CloseCode.GOING_AWAY)

    assert protocol.answer("7", {}) == []
    assert protocol.refuse("7", FrameError("X", "x")) == []


def test_hello_has_a_time() -> None:
    """Without a hello the session ends when the time is over, with one it goes on."""
    assert InboxProtocol().expire_hello() == [Close(CloseCode.HELLO_LATE)]
    assert _opening().expire_hello() == []


def test_a_session_ends_once() -> None:
    """What fails after the end is not told any more."""
    protocol = _opening()

    assert protocol.fail(CloseCode.REFUSED) == [Close(CloseCode.REFUSED)]
    assert protocol.fail(CloseCode.SLOW, FrameError("X", "x")) == []
    assert protocol.push(_event(1)) == []


def test_a_token_session_lasts_until_its_token_is_over() -> None:
    """The end is set once the services have accepted the token; a session by a hash has none."""
    protocol, hello = _opening(_token(NOW)), Hello("dev", "u1", token=read_token(_token(NOW)))

    _, until = protocol.welcome(_welcome(0))
    assert until == Until(NOW + HOUR)
    assert protocol.receive(LIST) == [Ask(hello, ListItems("7"))]
    assert protocol.expire_token() == [Close(CloseCode.TOKEN_EXPIRED)]
    assert protocol.expire_token() == []
    assert [type(action) for action in _opening().welcome(_welcome(0))] == [Send]


def test_a_renewal_is_asked_with_the_new_token_and_then_holds() -> None:
    """Until it is accepted all else is asked with the old one; then the new one is used and sets the end."""
    for protocol in (_live(_token(NOW)), _live()):
        (old,) = [action.hello for action in protocol.receive(LIST) if isinstance(action, Ask)]
        renewal = RenewToken("r", read_token(_token(NOW + HOUR)))
        new = Hello("dev", "u1", token=renewal.token)

        assert protocol.receive(_renew(_token(NOW + HOUR))) == [Ask(new, renewal)]
        assert protocol.receive(LIST) == [Ask(old, ListItems("7"))]
        answer, until = protocol.renew(new, "r", {"unread_count": 1})
        assert _bodies([answer]) == [{"type": "result", "ref": "r", "unread_count": 1}]
        assert until == Until(NOW + 2 * HOUR)
        assert protocol.receive(LIST) == [Ask(new, ListItems("7"))]


def test_a_renewal_that_is_refused_changes_nothing() -> None:
    """The session goes on with the token that it has."""
    protocol = _live(_token(NOW))
    protocol.receive(_renew(_token(NOW + HOUR)))

    assert [body["code"] for body in _bodies(protocol.refuse("r", FrameError("TOKEN_EXPIRED", "x")))] == [
        "TOKEN_EXPIRED"
    ]
    assert protocol.receive(LIST) == [Ask(Hello("dev", "u1", token=read_token(_token(NOW))), ListItems("7"))]


def test_a_renewal_is_for_the_same_user() -> None:
    """Somebody else's token, and that of another environment, are wrong fields, and the session goes on."""
    for token in (_token(NOW, user_id="u2"), _token(NOW, client_id="other")):
        protocol = _live()
        (body,) = _bodies(protocol.receive(_renew(token)))

        assert (body["code"], body["field"], body["ref"]) == ("INVALID_FIELD", "token", "r")
        assert protocol.state is State.LIVE


def test_a_renewal_is_a_request() -> None:
    """It needs a welcome, and waits for its answer as one of those that may."""
    assert [body["code"] for body in _bodies(_opening().receive(_renew(_token(NOW))))] == ["WELCOME_EXPECTED"]
    protocol = _live()
    for _ in range(MAX_REQUESTS):
        protocol.receive(_renew(_token(NOW)))

    assert [body["code"] for body in _bodies(protocol.receive(LIST))] == ["TOO_MANY_REQUESTS"]
    protocol.renew(Hello("dev", "u1", token=read_token(_token(NOW))), "r", {})
    assert isinstance(protocol.receive(LIST)[0], Ask)


def test_a_renewal_that_is_answered_after_the_end_is_dropped() -> None:
    """A session whose token ended while the new one was checked stays closed, and sets no other end."""
    protocol = _live(_token(NOW))
    (ask,) = protocol.receive(_renew(_token(NOW + HOUR)))
    assert isinstance(ask, Ask)
    protocol.expire_token()

    assert protocol.renew(ask.hello, "r", {}) == []
    assert protocol.reject(ask.hello, "r", CloseCode.REFUSED) == []


def test_what_was_asked_with_the_old_token_does_not_end_a_renewed_session() -> None:
    """A refusal of the token in use ends the session; one of a token that was renewed since is told to ask again."""
    protocol = _live(_token(NOW))
    (old, renewed) = [*protocol.receive(LIST), *protocol.receive(_renew(_token(NOW + HOUR)))]
    assert isinstance(old, Ask)
    assert isinstance(renewed, Ask)
    protocol.renew(renewed.hello, "r", {})

    (body,) = _bodies(protocol.reject(old.hello, "7", CloseCode.TOKEN_EXPIRED))
    assert (body["code"], body["ref"]) == ("UNAVAILABLE", "7")
    assert protocol.reject(renewed.hello, "8", CloseCode.TOKEN_REVOKED) == [Close(CloseCode.TOKEN_REVOKED)]


def test_a_revocation_ends_sessions_whose_token_is_older() -> None:
    """A token of the time of the revocation or later stays, and so does a session by a hash."""
    older, same, by_hash = _live(_token(NOW - timedelta(milliseconds=1))), _live(_token(NOW)), _live()

    assert older.revoke(NOW) == [Close(CloseCode.TOKEN_REVOKED)]
    assert older.revoke(NOW) == same.revoke(NOW) == by_hash.revoke(NOW) == []
    assert InboxProtocol().revoke(NOW) == []


def test_a_revocation_before_the_welcome_is_kept() -> None:
    """A token that the services accepted just before it was revoked opens nothing, whatever came after that."""
    revoked, later = _opening(_token(NOW)), _opening(_token(NOW + HOUR))
    for protocol in (revoked, later):
        assert protocol.revoke(NOW + HOUR) == protocol.revoke(NOW) == []

    assert revoked.welcome(_welcome(0)) == [Close(CloseCode.TOKEN_REVOKED)]
    assert len(later.welcome(_welcome(0))) == 2


def test_a_renewal_into_what_was_revoked_meanwhile_is_refused() -> None:
    """A token that the services accepted just before it was revoked does not take the place of the old credentials."""
    protocol = _live()
    (ask,) = protocol.receive(_renew(_token(NOW)))
    assert isinstance(ask, Ask)
    assert protocol.revoke(NOW + HOUR) == []

    (body,) = _bodies(protocol.renew(ask.hello, "r", {}))
    assert (body["code"], body["ref"]) == ("TOKEN_REVOKED", "r")
    assert protocol.receive(LIST) == [Ask(Hello("dev", "u1", "aGFzaA=="), ListItems("7"))]


@given(st.lists(st.text() | st.binary() | st.just(HELLO), max_size=6))
def test_no_text_and_no_bytes_make_it_raise(frames: list[str | bytes]) -> None:
    """Whatever comes in, only actions come out."""
    _feed_all(frames)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
_TYPES = st.sampled_from(["hello", "ping", "list", "mark", "renew", "nope"])
_NAMES = st.sampled_from(
    ["client_id", "user_id", "user_hash", "limit", "cursor", "ref", "token", "ids", "until", "set", "filter", "other"]
)


@given(st.lists(st.tuples(_TYPES, st.dictionaries(_NAMES, _JSON)), max_size=5))
def test_no_object_makes_it_raise(bodies: list[tuple[str, dict[str, Any]]]) -> None:
    """Whatever the fields of a frame hold, it is opened, answered, or refused."""
    _feed_all([json.dumps({"type": kind, **body}) for kind, body in bodies])


def _feed_all(frames: list[str | bytes]) -> None:
    protocol = InboxProtocol()
    for frame in frames:
        was_closed = protocol.state is State.CLOSED
        actions = protocol.receive(frame)

        assert bool(actions) is not was_closed
        # What is sent can be read again.
        _bodies(actions)


def _opening(token: str = "") -> InboxProtocol:
    protocol = InboxProtocol()
    protocol.receive(json.dumps({"type": "hello", "token": token}) if token else HELLO)
    return protocol


def _welcome(position: int, unread_count: int = 0, items: list[dict[str, Any]] | None = None, **how: str) -> Welcome:
    return Welcome(position, unread_count, items or [], 1, lambda position: f"cursor-{position}", **how)


def _live(token: str = "") -> InboxProtocol:
    protocol = _opening(token)
    protocol.welcome(_welcome(0))
    return protocol


def _token(made: datetime, *, client_id: str = "dev", user_id: str = "u1") -> str:
    return mint("secret" * 8, client_id, user_id, now=made, ttl=HOUR)


def _renew(token: str) -> str:
    return json.dumps({"type": "renew", "ref": "r", "token": token})


def _event(position: int) -> Event:
    return Event(position, Retracted((str(position),)), -1)


def _bodies(actions: list[Action]) -> list[dict[str, Any]]:
    return [json.loads(action.frame) for action in actions if isinstance(action, Send)]


def _positions(actions: list[Action]) -> list[int]:
    return [int(body["ids"][0]) for body in _bodies(actions) if body["type"] == "retracted"]


def test_requests_for_preferences_count_as_any_other() -> None:
    """Reading and changing preferences share the bound with lists and marks."""
    protocol = _live()
    asked = [
        {"type": "get_preferences", "ref": "7"},
        {"type": "patch_preferences", "ref": "7", "preferences": []},
        {"type": "delete_preferences", "ref": "7", "notification_id": "n"},
    ]
    for number in range(MAX_REQUESTS):
        assert isinstance(protocol.receive(json.dumps(asked[number % 3]))[0], Ask)
    for body in asked:
        (refused,) = _bodies(protocol.receive(json.dumps(body)))
        assert (refused["code"], refused["ref"]) == ("TOO_MANY_REQUESTS", "7")
