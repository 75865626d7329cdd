from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from bson import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from gateway.closes import CloseCode
from gateway.fields import FrameError
from gateway.frames import MAX_LIMIT, Hello
from gateway.notificationapi.frames import unread_count
from gateway.notificationapi.protocol import MAX_KNOWN, MAX_WAITING, NotificationApiProtocol
from gateway.protocol import MAX_BUFFERED_EVENTS, Ask, Close, Open, Send, State, Welcome
from gateway.requests import (
    Filter,
    GetEnvironment,
    GetPreferences,
    ListItems,
    MarkItems,
    PatchPreferences,
    Preference,
    Until,
)
from services.kernel.cluster_time import position_to_text
from services.live.changes import Created, Event, PreferencesChanged, Retracted, Updated, coalesce

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.protocol import Action

HELLO = Hello("dev", "u1", "aGFzaA==", limit=20)
NOW = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
COUNT = '{"route":"inapp_web/unread_count"}'
LIST = '{"route":"inapp_web/notifications","payload":{"count":50}}'
CLEAR = '{"route":"inapp_web/unread_clear"}'
PREFERENCES = '{"route":"user_preferences/get_preferences"}'
UNAVAILABLE = FrameError("UNAVAILABLE", "not now")


def test_a_session_opens_by_itself() -> None:
    """The address said whose it is, and no hello is waited for."""
    protocol = NotificationApiProtocol(HELLO)

    assert protocol.start() == [Open(HELLO)]
    assert protocol.state is State.OPENING
    assert not protocol.is_live
    assert protocol.expire_hello() == []
    assert protocol.welcome(_welcome(7)) == []
    assert protocol.is_live


def test_each_question_has_its_answer() -> None:
    """A frame of their client is asked of the services, and what they answer is told in its words."""
    protocol = _live(unread=3)

    assert _bodies(protocol.receive(COUNT)) == [("inapp_web/unread_count", {"count": 3})]
    assert protocol.receive('{"route":"environment/data"}') == [Ask(HELLO, GetEnvironment(""))]
    environment = {"name": "Shop", "logo_url": "https://x/l.png", "vapid_public_key": "BK"}
    assert _bodies(protocol.answer("", environment)) == [
        (
            "environment/data",
            {"logo": "https://x/l.png", "applicationServerKey": "BK", "askForWebPushPermission": True},
        )
    ]
    assert protocol.receive(LIST) == [Ask(HELLO, ListItems("", limit=50, view="INBOX"))]
    assert _bodies(protocol.answer("", {"items": [_item("a")], "has_more": False})) == [
        ("inapp_web/notifications", {"notifications": [_their_item("a")]})
    ]
    assert protocol.receive(PREFERENCES) == [Ask(HELLO, GetPreferences("", limit=100, scope="RECEIVED"))]
    assert _bodies(protocol.answer("", {"userPreferences": [{"notificationId": "n"}]})) == [
        ("user_preferences/preferences", {"userPreferences": [{"notificationId": "n"}]})
    ]


def test_an_environment_without_a_key_asks_nobody_for_web_push() -> None:
    """All three fields are there all the same."""
    protocol = _live()
    protocol.receive('{"route":"environment/data"}')

    assert _bodies(protocol.answer("", {})) == [
        ("environment/data", {"logo": "", "applicationServerKey": "", "askForWebPushPermission": False})
    ]


def test_a_choice_is_passed_on_and_not_answered() -> None:
    """On is what the definition has for yes; a part of a notification may be meant."""
    protocol = _live()
    payload = [
        {
            "notificationId": "n",
            "subNotificationId": "s",
            "channelPreferences": [{"channel": "EMAIL", "state": True}, {"channel": "SMS", "state": False}],
        }
    ]
    choices = (Preference("n", "ON", "EMAIL", "s"), Preference("n", "OFF", "SMS", "s"))

    assert protocol.receive(_frame("user_preferences/patch_preferences", payload)) == [
        Ask(HELLO, PatchPreferences("", choices))
    ]
    assert protocol.answer("", {"preferences": []}) == []


@pytest.mark.parametrize(
    ("payload", "limit", "before"),
    [
        ({"count": 50, "before": "2026-03-01T12:30:00.000Z"}, 50, NOW),
        ({"count": 50, "before": NOW.timestamp() * 1000}, 50, NOW),
        ({"count": "7"}, 7, None),
        ({"count": 100_000, "before": ""}, 100, None),
        ({"count": 0, "before": None}, 50, None),
        ({"before": "undefined"}, 50, None),
        ({"before": "NaN"}, 50, None),
        ({}, 50, None),
        (None, 50, None),
    ],
)
def test_a_page_is_asked_for_as_its_client_means_it(payload: Any, limit: int, before: datetime | None) -> None:
    """A bound that is none is none, a count that is none is the usual one, too large a one the largest."""
    assert _live().receive(_frame("inapp_web/notifications", payload)) == [
        Ask(HELLO, ListItems("", limit=limit, before_time=before, view="INBOX"))
    ]


def test_to_clear_marks_what_was_shown_by_then() -> None:
    """All up to the newest item so far, or the one that is named; none is marked where there never was one."""
    protocol = _live(_item("b", 2), _item("a", 1))
    all_of = Until(NOW + timedelta(seconds=2), "INBOX", Filter(unread=True))

    assert protocol.receive(CLEAR) == [Ask(HELLO, MarkItems("", until=all_of, sets=("OPENED",)))]
    protocol.answer("", {"changed_count": 2, "unread_count": 0})
    one = _frame("inapp_web/unread_clear", {"notificationId": "a"})
    assert protocol.receive(one) == [Ask(HELLO, MarkItems("", ids=("a",), sets=("OPENED",)))]
    assert _bodies(_live().receive(CLEAR)) == [("inapp_web/unread_count", {"count": 0})]


def test_what_comes_while_a_clear_waits_stays_unread() -> None:
    """The moment of the frame counts, not that of the call."""
    protocol = _live(_item("a", 1))
    protocol.receive(LIST)
    protocol.receive(CLEAR)
    protocol.push(_created(8, "b", 2))

    (_, asked) = protocol.answer("", {"items": [], "has_more": False})
    assert isinstance(asked, Ask)
    assert isinstance(asked.request, MarkItems)
    assert asked.request.until == Until(NOW + timedelta(seconds=1), "INBOX", Filter(unread=True))


def test_a_clear_that_changes_nothing_is_answered_with_the_badge() -> None:
    """Their client has counted down by itself; where something changes, the event has the badge."""
    protocol = _live(_item("a"), unread=1)
    protocol.receive(CLEAR)
    assert protocol.answer("", {"changed_count": 1, "unread_count": 0}) == []
    protocol.receive(CLEAR)
    badge = [("inapp_web/unread_count", {"count": 1})]
    assert _bodies(protocol.answer("", {"changed_count": 0, "unread_count": 1})) == badge


def test_a_clear_that_changes_no_badge_is_answered_with_it() -> None:
    """What was seen elsewhere is only opened by it: no event has the badge, which their client has counted down."""
    protocol = _live(_item("a"), _item("b", 1), unread=2)
    protocol.receive(COUNT)
    protocol.push(_read(8, "a"))
    protocol.receive(_frame("inapp_web/unread_clear", {"notificationId": "a"}))

    badge = [("inapp_web/unread_count", {"count": 1})]
    assert _bodies(protocol.answer("", {"changed_count": 1, "unread_count": 1})) == badge


def test_frames_are_carried_out_in_their_order() -> None:
    """The next one is asked when the one before is answered: their clients do not wait in between."""
    protocol = _live(unread=1)
    off, on = (
        _frame(
            "user_preferences/patch_preferences",
            [{"notificationId": "n", "channelPreferences": [{"channel": "EMAIL", "state": state}]}],
        )
        for state in (False, True)
    )

    assert protocol.receive(off) == [Ask(HELLO, PatchPreferences("", (Preference("n", "OFF", "EMAIL"),)))]
    assert [protocol.receive(frame) for frame in (on, COUNT, PREFERENCES)] == [[], [], []]
    assert protocol.answer("", {}) == [Ask(HELLO, PatchPreferences("", (Preference("n", "ON", "EMAIL"),)))]
    count, asked = protocol.answer("", {})
    assert _bodies([count]) == [("inapp_web/unread_count", {"count": 1})]
    assert asked == Ask(HELLO, GetPreferences("", limit=100, scope="RECEIVED"))


def test_frames_before_the_welcome_are_answered_after_it() -> None:
    """Their clients ask as soon as the socket is open; so many wait, and more are dropped."""
    protocol = _opening()
    for number in range(MAX_WAITING + 5):
        assert protocol.receive(COUNT if number % 2 else LIST) == []

    answered = protocol.welcome(_welcome(7, unread=2))
    for _ in range(MAX_WAITING):
        answered += protocol.answer("", {"items": [], "has_more": False})
    counts = [body for body in _bodies(one for one in answered if isinstance(one, Send)) if "count" in body[1]]
    assert counts == [("inapp_web/unread_count", {"count": 2})] * (MAX_WAITING // 2)


def test_the_same_question_twice_waits_once() -> None:
    """One answer is one for both; while the services are away a page asks again and again."""
    protocol = _live()
    for _ in range(3):
        protocol.receive(LIST)

    assert len([one for one in protocol.answer("", _PAGE) if isinstance(one, Ask)]) == 1
    assert not [one for one in protocol.answer("", _PAGE) if isinstance(one, Ask)]


def test_what_the_services_cannot_answer_now_is_asked_again() -> None:
    """Their clients would wait for ever; each failure is counted, so that the next try waits longer."""
    protocol = _live()
    protocol.receive(PREFERENCES)
    asked = GetPreferences("", limit=100, scope="RECEIVED")

    assert protocol.refuse("", UNAVAILABLE) == [Ask(HELLO, asked, 1)]
    assert protocol.refuse("", UNAVAILABLE) == [Ask(HELLO, asked, 2)]
    assert [route for route, _ in _bodies(protocol.answer("", {"userPreferences": []}))] == [
        "user_preferences/preferences"
    ]
    protocol.receive(PREFERENCES)
    assert protocol.refuse("", UNAVAILABLE) == [Ask(HELLO, asked, 1)]


def test_what_is_refused_is_taken_back_on_the_screen() -> None:
    """A badge and a switch that their client has changed already get what is true; others are passed over."""
    protocol = _live(_item("a"), unread=1)
    refused = FrameError("INVALID_REQUEST", "no")
    choice = [{"notificationId": "n", "channelPreferences": [{"channel": "EMAIL", "state": True}]}]

    protocol.receive(CLEAR)
    assert _bodies(protocol.refuse("", refused)) == [("inapp_web/unread_count", {"count": 1})]
    protocol.receive(_frame("user_preferences/patch_preferences", choice))
    protocol.receive(LIST)
    assert protocol.refuse("", refused) == [Ask(HELLO, GetPreferences("", limit=100, scope="RECEIVED"))]
    assert [type(one) for one in protocol.refuse("", refused)] == [Ask]
    assert protocol.refuse("", refused) == []


def test_what_appears_while_a_session_opens_is_news() -> None:
    """From the moment that the socket is open its client counts on every push; what was there before, it asks for."""
    protocol = NotificationApiProtocol(HELLO, since=5)
    protocol.receive(COUNT)
    items = [_item("c", 3), _item("b", 2) | {"unread": False}, _item("a", 1)]
    for item, position in zip(items, (6, 6, 5), strict=True):
        item["rev"] = position_to_text(position)

    assert _bodies(protocol.welcome(_welcome(7, *items, unread=2))) == [
        ("inapp_web/new_notifications", {"notifications": [_their_item("c", 3)]}),
        ("inapp_web/unread_count", {"count": 2}),
        ("inapp_web/unread_count", {"count": 2}),
    ]
    assert protocol.push(_created(8, "c", 3)) == [Send(unread_count(3))]
    unknown = NotificationApiProtocol(HELLO)
    assert unknown.welcome(_welcome(7, *items, unread=2)) == []


def test_an_item_is_pushed_with_the_badge_to_who_asks() -> None:
    """The badge follows, as their client has counted up by itself; core, which never asks, gets the item alone."""
    core, js_client = _live(unread=1), _live(unread=1)
    js_client.receive(COUNT)
    event = _created(8, "a", 1)
    pushed = ("inapp_web/new_notifications", {"notifications": [_their_item("a", 1)]})

    assert _bodies(core.push(event)) == [pushed]
    assert _bodies(js_client.push(event)) == [pushed, ("inapp_web/unread_count", {"count": 2})]


def test_a_frame_is_made_once_for_all_sessions() -> None:
    """Ten thousand of one user's would else cost ten thousand times."""
    event = _created(8, "a", 1)
    (one,), (other,) = _live().push(event), _live().push(event)

    assert isinstance(one, Send)
    assert isinstance(other, Send)
    assert one.frame is other.frame


def test_marks_and_retractions_elsewhere_correct_the_badge() -> None:
    """There is no frame for either; what changes no badge is not told, and neither is a choice."""
    protocol = _live(unread=5)
    protocol.receive(COUNT)

    assert _bodies(protocol.push(_read(8, "a"))) == [("inapp_web/unread_count", {"count": 4})]
    assert _bodies(protocol.push(Event(9, Retracted(("b", "c")), -2))) == [("inapp_web/unread_count", {"count": 2})]
    assert protocol.push(Event(10, Retracted(("d",)), 0)) == []
    assert protocol.push(Event(11, PreferencesChanged())) == []
    assert _live(unread=5).push(_read(8, "a")) == []


def test_events_before_the_welcome_follow_it_unless_it_holds_them() -> None:
    """The badge counts no change twice, also where an event joins changes of which the welcome holds some."""
    protocol = _opening()
    protocol.receive(COUNT)
    (joined,) = coalesce([_read(6, "a"), _read(8, "a")])
    assert protocol.push(_created(7, "old", 1)) == []
    assert protocol.push(joined) == []

    bodies = _bodies(protocol.welcome(_welcome(7, unread=3)))
    assert bodies == [("inapp_web/unread_count", {"count": 2})] * 2
    assert protocol.push(_created(7, "late", 2)) == []


def test_all_that_came_before_the_welcome_is_two_frames() -> None:
    """A frame for each would be more than an outbox takes at once, and a client that is closed as slow stays away."""
    protocol = _opening()
    protocol.receive(PREFERENCES)
    for position in range(MAX_BUFFERED_EVENTS):
        assert protocol.push(_created(8 + position, f"n{position}", position)) == []

    *told, ask = protocol.welcome(_welcome(8))

    assert isinstance(ask, Ask)
    (route, payload), badge = _bodies(told)
    newest_first = [f"n{position}" for position in range(MAX_BUFFERED_EVENTS - 1, 0, -1)]
    assert (route, [item["id"] for item in payload["notifications"]]) == ("inapp_web/new_notifications", newest_first)
    assert badge == ("inapp_web/unread_count", {"count": MAX_BUFFERED_EVENTS - 1})


def test_an_item_is_news_once() -> None:
    """Core hands every item that is pushed to its page, which would show a second one: what was there is not told."""
    protocol = _live(_item("b", 5), _item("a", 4), more=True)

    assert protocol.push(_created(8, "b", 5)) == []
    assert protocol.push(_created(9, "older", 3)) == []
    assert len(protocol.push(_created(10, "c", 6))) == 1
    assert protocol.push(_created(11, "c", 7)) == []
    assert protocol.push(_created(12, "d", 8, unread=False)) == []


def test_what_is_remembered_of_the_news_is_bounded() -> None:
    """What is forgotten is known by its date."""
    protocol = _live()
    for number in range(MAX_KNOWN + 1):
        assert len(protocol.push(_created(8 + number, f"i{number}", number))) == 1

    assert protocol.push(_created(5000, "i0", 0)) == []
    assert protocol.push(_created(5001, "i1", 1)) == []
    assert protocol.push(_created(5002, "as old as what is forgotten", 0)) == []


def test_an_item_that_comes_back_is_told_to_who_shows_its_place() -> None:
    """Their js-client pages on from the oldest item that it holds: one further down would make a gap."""
    protocol = _live(_item("a", 9))
    protocol.receive(LIST)
    protocol.answer("", {"items": [_item("b", 8), _item("c", 5)], "has_more": True})

    back = protocol.push(_created(8, "x", 6, unread=False))
    assert [route for route, _ in _bodies(back)] == ["inapp_web/new_notifications", "inapp_web/unread_count"]
    assert protocol.push(_created(9, "y", 4, unread=False)) == []
    protocol.receive(LIST)
    protocol.answer("", {"items": [_item("z", 1)], "has_more": False})
    assert len(protocol.push(_created(10, "y", 0, unread=False))) == 2


def test_what_changes_in_the_archive_is_not_told() -> None:
    """Some changes have sessions of ours take an item anew, wherever it is; their js-client has no archive."""
    protocol = _live(_item("a", 9))
    protocol.receive(LIST)
    protocol.answer("", {"items": [], "has_more": False})

    assert protocol.push(_created(8, "x", 6, unread=False, archive_time=NOW)) == []
    assert len(protocol.push(_created(9, "x", 6, unread=False))) == 2


@pytest.mark.parametrize("code", [CloseCode.FEED_LOST, CloseCode.UNAVAILABLE])
def test_what_has_a_client_of_ours_come_back_has_the_session_open_anew(code: CloseCode) -> None:
    """By the cursor of the last event, as their client would stay away for ever; each try is counted."""
    protocol = _live(_item("a", 1), unread=1)
    protocol.push(_created(9, "b", 2))
    resuming = Hello("dev", "u1", "aGFzaA==", limit=MAX_LIMIT, cursor="cursor-9")

    assert protocol.fail(code) == [Open(resuming, 1)]
    assert protocol.is_live
    assert protocol.fail(code) == [Open(resuming, 2)]
    assert protocol.welcome(_welcome(12, unread=2)) == []
    assert protocol.fail(code)[0] == Open(Hello("dev", "u1", "aGFzaA==", limit=MAX_LIMIT, cursor="cursor-12"), 1)


def test_a_first_opening_that_fails_is_tried_again() -> None:
    """Nothing was told yet, so there is no cursor to go on from."""
    protocol = _opening()

    assert protocol.fail(CloseCode.UNAVAILABLE) == [Open(HELLO, 1)]
    assert not protocol.is_live


def test_after_a_loss_what_is_new_is_told() -> None:
    """New items once and newest first, then the badge; not what was known, read, archived or taken back meanwhile."""
    protocol = _live(_item("a", 1), unread=1)
    protocol.receive(COUNT)
    protocol.push(_created(8, "b", 2))
    protocol.fail(CloseCode.FEED_LOST)
    assert protocol.receive(COUNT) == []
    assert protocol.push(_created(19, "held", 9)) == []
    assert protocol.push(_created(21, "late", 9)) == []

    items = [
        {"id": "gone", "rev": "1", "retract_time": "2026-03-01T12:30:00.000Z"},
        _item("a", 1),
        _item("b", 2),
        _item("c", 3),
        _item("d", 4) | {"unread": False},
        _item("e", 5) | {"unread": False, "archive_time": "2026-03-01T12:30:00.000Z"},
        _item("f", 6),
    ]
    bodies = _bodies(protocol.welcome(_welcome(20, *items, unread=4, resume="full")))

    told = [([item["id"] for item in body["notifications"]] if "notifications" in body else body) for _, body in bodies]
    assert told == [["late", "f", "c"], {"count": 5}, {"count": 5}]


def test_after_a_loss_what_is_archived_is_not_told() -> None:
    """Their js-client would show it; what came back meanwhile is told where it has its place."""
    protocol = _live(_item("a", 1))
    protocol.receive(LIST)
    protocol.answer("", {"items": [_item("a", 1)], "has_more": False})
    protocol.fail(CloseCode.FEED_LOST)
    archived = _item("b", 2) | {"unread": False, "archive_time": "2026-03-01T12:30:00.000Z"}
    back = _item("c", 3) | {"unread": False}

    (news, _) = _bodies(protocol.welcome(_welcome(20, archived, back)))
    assert [item["id"] for item in news[1]["notifications"]] == ["c"]


def test_after_a_loss_core_gets_the_news_alone() -> None:
    """It has never asked for the badge."""
    protocol = _live()
    protocol.fail(CloseCode.FEED_LOST)

    assert [route for route, _ in _bodies(protocol.welcome(_welcome(20, _item("c", 3), unread=1)))] == [
        "inapp_web/new_notifications"
    ]


def test_more_events_than_fit_before_the_welcome_have_it_open_anew() -> None:
    """The memory does not grow without bound, and the client stays."""
    protocol = _opening()
    for position in range(MAX_BUFFERED_EVENTS):
        assert protocol.push(_read(position, "a")) == []

    assert protocol.push(_read(MAX_BUFFERED_EVENTS, "a")) == [Open(HELLO, 1)]
    protocol.receive(COUNT)
    assert _bodies(protocol.welcome(_welcome(0, unread=1))) == [("inapp_web/unread_count", {"count": 1})]


@pytest.mark.parametrize("code", [CloseCode.GOING_AWAY, CloseCode.USER_DELETED, CloseCode.SLOW, CloseCode.REFUSED])
def test_what_is_over_is_closed(code: CloseCode) -> None:
    """A stop, a deleted user, a reader that is too slow: after it nothing happens any more."""
    protocol = _live(unread=1)
    protocol.receive(LIST)

    assert protocol.fail(code) == [Close(code)]
    assert not protocol.is_live
    assert protocol.receive(COUNT) == []
    assert protocol.push(_created(9, "b", 2)) == []
    assert protocol.answer("", {"items": [], "has_more": False}) == []
    assert protocol.refuse("", UNAVAILABLE) == []
    assert protocol.welcome(_welcome(9)) == []
    assert protocol.fail(CloseCode.FEED_LOST) == []


def test_credentials_that_the_services_refuse_later_end_the_session() -> None:
    """As after a secret was rotated; a revocation of tokens is nothing to a session by hash."""
    protocol = _live()

    assert protocol.revoke(NOW) == []
    assert protocol.reject(HELLO, "", CloseCode.REFUSED) == [Close(CloseCode.REFUSED)]


BAD = [
    "",
    "{",
    "null",
    "[]",
    "7",
    b"\x00",
    b'{"route":"inapp_web/unread_count"}',
    "{}",
    '{"route":7}',
    '{"route":"nothing/here"}',
    '{"route":["inapp_web/unread_count"]}',
    "[" * 5000,
    '{"route":"inapp_web/notifications","payload":[]}',
    '{"route":"inapp_web/notifications","payload":{"before":"yesterday"}}',
    '{"route":"inapp_web/notifications","payload":{"before":[1]}}',
    '{"route":"inapp_web/notifications","payload":{"before":Infinity}}',
    '{"route":"inapp_web/unread_clear","payload":{"notificationId":7}}',
    '{"route":"inapp_web/unread_clear","payload":{"notificationId":""}}',
    '{"route":"inapp_web/unread_clear","payload":{"notificationId":"\\ud800"}}',
    '{"route":"user_preferences/patch_preferences"}',
    '{"route":"user_preferences/patch_preferences","payload":[]}',
    '{"route":"user_preferences/patch_preferences","payload":[{"notificationId":"n"}]}',
    '{"route":"user_preferences/patch_preferences","payload":[{"channelPreferences":[]}]}',
    _BAD_STATE := '{"route":"user_preferences/patch_preferences","payload":[{"notificationId":"n",'
    '"channelPreferences":[{"channel":"EMAIL","state":"yes"}]}]}',
    _BAD_STATE.replace('"yes"', "null"),
    _BAD_STATE.replace('"EMAIL","state":"yes"', '"SMOKE","state":true'),
]


@pytest.mark.parametrize("bad", BAD)
def test_what_cannot_be_read_is_passed_over(bad: str | bytes) -> None:
    """There is neither an answer nor a close, nor does it count as a question."""
    protocol = _live(unread=1)

    assert protocol.receive(bad) == []
    assert len(protocol.push(_created(8, "a", 1))) == 1
    assert _bodies(protocol.receive(COUNT)) == [("inapp_web/unread_count", {"count": 2})]


def test_frames_that_come_too_fast_are_passed_over() -> None:
    """Those that cannot be read count too; with time, more may come."""
    protocol = NotificationApiProtocol(HELLO, frames_per_s=1, frames_burst=2)
    protocol.welcome(_welcome(7))

    assert len(protocol.receive(COUNT, 10.0)) == 1
    assert protocol.receive("x", 10.0) == []
    assert protocol.receive(COUNT, 10.0) == []
    assert len(protocol.receive(COUNT, 11.5)) == 1


_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
_ROUTES = st.sampled_from(
    [
        "environment/data",
        "inapp_web/unread_count",
        "inapp_web/notifications",
        "inapp_web/unread_clear",
        "user_preferences/get_preferences",
        "user_preferences/patch_preferences",
    ]
)
_PAYLOADS = _JSON | st.fixed_dictionaries({"count": _JSON, "before": _JSON, "notificationId": _JSON})
_CHOICES = st.lists(
    st.fixed_dictionaries(
        {
            "notificationId": _JSON,
            "channelPreferences": _JSON | st.lists(st.fixed_dictionaries({"channel": _JSON, "state": _JSON})),
        }
    )
)
_FRAMES = st.one_of(
    st.binary(),
    st.text(),
    _JSON.map(json.dumps),
    st.builds(lambda route, payload: json.dumps({"route": route, "payload": payload}), _ROUTES, _PAYLOADS | _CHOICES),
)


@given(st.lists(_FRAMES, max_size=20), st.booleans())
def test_no_frame_raises_or_closes(received: list[str | bytes], is_live: bool) -> None:
    """Whatever a client sends, its session lives, and still answers what can be answered."""
    protocol = _live(unread=1) if is_live else _opening()
    actions: list[Action] = []
    for data in received:
        actions += protocol.receive(data)

    assert not [one for one in actions if isinstance(one, Close)]
    assert protocol.state is (State.LIVE if is_live else State.OPENING)
    for one in actions:
        if isinstance(one, Send):
            assert set(json.loads(one.frame)) == {"route", "payload"}


_PAGE: dict[str, Any] = {"items": [], "has_more": False}


def _opening() -> NotificationApiProtocol:
    protocol = NotificationApiProtocol(HELLO)
    protocol.start()
    return protocol


def _live(*items: dict[str, Any], unread: int = 0, more: bool = False) -> NotificationApiProtocol:
    protocol = _opening()
    assert protocol.welcome(_welcome(7, *items, unread=unread, more=more)) == []
    return protocol


def _welcome(
    position: int, *items: dict[str, Any], unread: int = 0, more: bool = False, resume: str = "snapshot"
) -> Welcome:
    return Welcome(
        position,
        unread,
        list(items),
        incarnation=1,
        cursor_at=lambda at: f"cursor-{at}",
        resume=resume,
        next_page_token="more" if more else "",
    )


def _date(second: int) -> str:
    return (NOW + timedelta(seconds=second)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _item(item_id: str, second: int = 0) -> dict[str, Any]:
    return {
        "id": item_id,
        "rev": position_to_text(1),
        "notification_id": "n",
        "title": "T",
        "date": _date(second),
        "unread": True,
    }


def _their_item(item_id: str, second: int = 0) -> dict[str, Any]:
    return {"id": item_id, "notificationId": "n", "seen": False, "title": "T", "date": _date(second)}


def _created(position: int, item_id: str, second: int, *, unread: bool = True, **marks: datetime) -> Event:
    inapp = {"notification_id": "n", "title": "T", "date": NOW + timedelta(seconds=second), "unread": unread, **marks}
    document = {"_id": {"e": "dev", "u": "u1", "m": item_id}, "changed": Timestamp(0, position), "inapp": inapp}
    return Event(position, Created(document), int(unread))


def _read(position: int, item_id: str) -> Event:
    return Event(position, Updated((item_id,), (position,), {"unread": False}, ()), -1)


def _frame(route: str, payload: Any) -> str:
    return json.dumps({"route": route, "payload": payload})


def _bodies(actions: Iterable[Action]) -> list[tuple[str, dict[str, Any]]]:
    """Gives the routes and payloads of what is sent, which must be all that is done."""
    bodies = []
    for action in actions:
        assert isinstance(action, Send)
        body = json.loads(action.frame)
        bodies.append((body["route"], body["payload"]))
    return bodies
