from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from bson import Timestamp

from gateway.events import body_of, frame_of
from gateway.items import FIELDS
from services.live.changes import (
    ITEM_FIELDS,
    MAX_IDS,
    Created,
    Event,
    PreferencesChanged,
    Retracted,
    Updated,
    UserKey,
    coalesce,
    deletes_user,
    event_of,
    key_of,
    needs_item,
    revokes_tokens,
)

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
INAPP = {"box": "inbox", "date": NOON, "unread": True, "notification_id": "n", "title": "t"}


def test_an_insert_creates() -> None:
    """An item that is inserted unread raises the badge; its position is that of the event, not of its version."""
    event = _event(_insert(INAPP))

    assert event.position == (9 << 32 | 1)
    assert body_of(event)["type"] == "created"
    assert body_of(event)["item"]["rev"] == "0000000500000001"
    assert body_of(event)["unread_change"] == 1


def test_an_insert_that_is_read_does_not_raise_the_badge() -> None:
    """An item that is inserted seen counts for nothing."""
    assert body_of(_event(_insert(INAPP | {"unread": False})))["unread_change"] == 0


def test_an_insert_that_is_not_shown_yet_tells_nothing() -> None:
    """An item that appears later is no event now."""
    assert event_of(_insert(INAPP | {"box": "later"})) is None


def test_an_item_that_appears_late_creates() -> None:
    """An update that sets the item whole is told as an item that appeared, as it is read: its end is beside it."""
    change = _update({"inapp": INAPP})
    read = {"_id": change["documentKey"]["_id"], "changed": Timestamp(8, 1), "inapp": INAPP}
    event = _event(change, read)

    assert needs_item(change)
    assert (body_of(event)["type"], body_of(event)["item"]["id"], body_of(event)["unread_change"]) == (
        "created",
        "m1",
        1,
    )


@pytest.mark.parametrize(("unread", "unread_change"), [({"inapp.unread": False}, -1), ({}, 0)])
def test_a_retraction_lowers_the_badge_where_the_item_counted(unread: dict[str, Any], unread_change: int) -> None:
    """The event has `inapp.unread` exactly when it changed."""
    change = _update({"inapp.retract_time": NOON, "inapp.date": NOON, **unread}, removed=["inapp.box"])

    assert not needs_item(change)
    assert body_of(_event(change)) == {"type": "retracted", "ids": ["m1"], "unread_change": unread_change}


def test_an_update_tells_the_fields_that_browsers_know() -> None:
    """Values that changed or went are told by their names in an item; what no browser sees is not."""
    change = _update(
        {"inapp.seen_time": NOON, "inapp.unread": False, "deliveries": []}, removed=["inapp.clicked_time", "inapp.box"]
    )

    assert body_of(_event(change)) == {
        "type": "updated",
        "ids": ["m1"],
        "revs": ["0000000500000001"],
        "set": {"seen_time": "2026-01-02T12:00:00.000Z", "unread": False},
        "unset": ["clicked_time"],
        "unread_change": -1,
    }


def test_archiving_is_told_by_its_fields() -> None:
    """An item that leaves for the archive is told by the time of it, and a first reply by what it says."""
    change = _update(
        {"inapp.box": "archive", "inapp.archive_time": NOON, "inapp.replies": [{"time": NOON, "text": "x"}]}
    )

    assert body_of(_event(change))["set"] == {
        "archive_time": "2026-01-02T12:00:00.000Z",
        "replies": [{"time": "2026-01-02T12:00:00.000Z", "text": "x"}],
    }


def test_marking_unread_raises_the_badge() -> None:
    """An item that counts again is told so."""
    assert body_of(_event(_update({"inapp.unread": True})))["unread_change"] == 1


def test_an_update_of_nothing_that_is_seen_tells_nothing() -> None:
    """A change without a field that browsers know is no event."""
    assert event_of(_update({"stack": "s"})) is None


@pytest.mark.parametrize(
    "change",
    [
        {"updated": {"inapp.date": NOON, "inapp.message_count": 2}},
        {"updated": {"inapp.tags.1": "x"}},
        {"updated": {"inapp.replies.1": {"time": NOON, "text": "x"}}},
        {"updated": {"inapp.box": "inbox"}, "removed": ["inapp.archive_time"]},
        {"removed": ["inapp.actions.0.url"]},
        {"arrays": [{"field": "inapp.tags", "newSize": 1}]},
        {"kind": "replace"},
    ],
)
def test_what_a_change_does_not_tell_is_read(change: dict[str, Any]) -> None:
    """The item is told as it was read, with the badge by the event alone; an item that is gone is retracted."""
    change = _update(**({"updated": {}} | change))
    read = {"_id": change["documentKey"]["_id"], "changed": Timestamp(8, 1), "inapp": INAPP}

    assert needs_item(change)
    assert body_of(_event(change, read))["item"]["rev"] == "0000000800000001"
    assert body_of(_event(change, read))["unread_change"] == 0
    assert body_of(_event(change)) == {"type": "retracted", "ids": ["m1"], "unread_change": 0}


def test_changes_name_their_user() -> None:
    """The user is in the id of every document that is watched."""
    gone = {"operationType": "delete", "ns": {"coll": "users"}, "documentKey": {"_id": {"e": "dev", "u": "u2"}}}

    assert key_of(_insert(INAPP)) == UserKey("dev", "u1")
    assert key_of(gone) == UserKey("dev", "u2")
    assert deletes_user(gone)
    assert not deletes_user(_insert(INAPP))


def test_neighbours_that_tell_the_same_are_joined() -> None:
    """Equal changes are one frame with all ids, the version of each, and the sum of their badge."""
    seen = ({"seen_time": NOON}, ("clicked_time",))
    events = [
        Event(5, Updated(("a",), (2,), *seen), -1),
        Event(6, Updated(("b",), (1,), *seen), -1),
        Event(7, Retracted(("c",)), -1),
        Event(8, Retracted(("d",))),
        Event(9, Updated(("e",), (3,), *seen), -1),
    ]

    joined = coalesce(events)

    assert [event.position for event in joined] == [6, 8, 9]
    assert (joined[0].what, joined[0].unread_change) == (Updated(("a", "b"), (2, 1), *seen), -2)
    assert (joined[1].what, joined[1].unread_change) == (Retracted(("c", "d")), -1)
    assert joined[2] is events[4]


def test_created_items_are_never_joined() -> None:
    """Two items that appeared are two frames, even if they are equal."""
    events = [Event(n, Created({}), 1) for n in (1, 2)]

    assert coalesce(events) == events


def test_a_joined_event_names_a_bounded_number_of_items() -> None:
    """A retraction of very many is told in several frames."""
    events = [Event(n, Retracted((str(n),))) for n in range(MAX_IDS + 1)]

    assert [len(body_of(event)["ids"]) for event in coalesce(events)] == [MAX_IDS, 1]


def test_a_joined_event_can_be_told_in_part() -> None:
    """Of a joined event, a session whose welcome has the first change is told the second alone."""
    first = Event(5, Retracted(("a",)), -1)
    second = Event(7, Retracted(("b",)), -1)
    (joined,) = coalesce([first, second])

    assert joined.after(4) == (joined,)
    assert joined.after(5) == joined.after(6) == (second,)
    assert joined.after(7) == ()


def test_a_frame_is_encoded_once() -> None:
    """All sessions of a user share the bytes, which end with the cursor of the event."""
    event = Event(1, Retracted(("a",)))

    assert _frame(event) is _frame(event)
    assert json.loads(_frame(event)) == body_of(event) | {"cursor": "7-1"}


def test_sessions_of_another_user_document_get_a_cursor_of_their_own() -> None:
    """Where a user was deleted and made anew, no session is given the cursor of the other."""
    event = Event(1, Retracted(("a",)))

    assert json.loads(_frame(event, incarnation=8))["cursor"] != json.loads(_frame(event))["cursor"]


def test_a_change_of_preferences_is_told_without_the_preferences() -> None:
    """Whatever was written or deleted, once for all changes of a batch that follow each other."""
    changes = [
        {"operationType": kind, "ns": {"coll": "preferences"}, "clusterTime": Timestamp(9, number)}
        for number, kind in enumerate(("insert", "update", "replace", "delete"))
    ]

    (event,) = coalesce(map(_event, changes))

    assert (event.what, body_of(event)) == (PreferencesChanged(), {"type": "preferences_changed"})


@pytest.mark.parametrize(
    "described",
    [
        {"operationType": "insert", "fullDocument": {"not_before": NOON}},
        {"operationType": "replace", "fullDocument": {"not_before": NOON}},
        {"operationType": "update", "updateDescription": {"updatedFields": {"not_before": NOON}}},
    ],
)
def test_a_revocation_says_which_tokens_it_ends(described: dict[str, Any]) -> None:
    """Those that were made before its time; no other change ends any."""
    assert revokes_tokens({"ns": {"coll": "revocations"}, **described}) == NOON
    assert revokes_tokens({"ns": {"coll": "messages"}, **described}) is None


def test_every_field_that_counts_as_seen_can_be_told() -> None:
    """What makes an update an event is what a frame has a name for."""
    assert FIELDS == ITEM_FIELDS


def _frame(event: Event, *, incarnation: int = 7) -> bytes:
    return frame_of(event, incarnation, lambda position: f"{incarnation}-{position}")


def _event(change: dict[str, Any], document: dict[str, Any] | None = None) -> Event:
    event = event_of(change, document=document)
    assert event is not None
    return event


def _insert(inapp: dict[str, Any]) -> dict[str, Any]:
    document_id = {"e": "dev", "u": "u1", "m": "m1"}
    return {
        "operationType": "insert",
        "ns": {"coll": "messages"},
        "clusterTime": Timestamp(9, 1),
        "documentKey": {"_id": document_id},
        "fullDocument": {"_id": document_id, "changed": Timestamp(5, 1), "inapp": inapp},
    }


def _update(
    updated: dict[str, Any],
    *,
    removed: list[str] | None = None,
    arrays: list[dict[str, Any]] | None = None,
    kind: str = "update",
) -> dict[str, Any]:
    change = {
        "operationType": kind,
        "ns": {"coll": "messages"},
        "clusterTime": Timestamp(9, 1),
        "documentKey": {"_id": {"e": "dev", "u": "u1", "m": "m1"}},
    }
    if kind == "replace":
        return change
    described = {"changed": Timestamp(5, 1), **updated}
    description = {"updatedFields": described, "removedFields": removed or [], "truncatedArrays": arrays or []}
    return change | {"updateDescription": description}
