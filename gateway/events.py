"""Changes of messages, as MongoDB reports them, turned into what the browsers of a user are told. Pure.

What can be told from the change itself is; for the rest, ``needs_item`` says that the item has to be read.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from gateway import frames, items
from services.kernel.cluster_time import position_of, position_to_text

MAX_IDS = 500

Change = Mapping[str, Any]


class UserKey(NamedTuple):
    """Whom an event is for."""

    client_id: str
    user_id: str


@dataclass(frozen=True)
class Event:
    """What a user's browsers are told of one or more changes that are alike."""

    position: int
    """When it happened on the cluster's clock; of several changes, the last."""

    body: Mapping[str, Any]

    parts: tuple[Event, ...] = ()
    """The single events of a joined one, for a session whose welcome has some of them already."""

    @cached_property
    def frame(self) -> bytes:
        """The frame, encoded once for all sessions."""
        return frames.encode(self.body)

    def after(self, position: int) -> tuple[Event, ...]:
        """Gives what of this happened after a position: itself, some of its parts, or nothing."""
        if self.position <= position:
            return ()
        if not self.parts or self.parts[0].position > position:
            return (self,)
        return tuple(part for part in self.parts if part.position > position)


def key_of(change: Change) -> UserKey:
    """Tells whose change it is: all documents that are watched have the user in their id."""
    document_id = change["documentKey"]["_id"]
    return UserKey(document_id["e"], document_id["u"])


def deletes_user(change: Change) -> bool:
    """Tells whether the user themselves is gone."""
    return bool(change["operationType"] == "delete")


def needs_item(change: Change) -> bool:
    """Tells whether the change does not say what the item is now."""
    if change["operationType"] == "replace":
        return True
    if change["operationType"] != "update" or "inapp.retract_time" in _updated(change):
        return False

    paths = [*_updated(change), *_removed(change)]
    arrays = change["updateDescription"].get("truncatedArrays", ())
    if arrays or "inapp.date" in paths:
        return True
    # A client that knows it as archived, or was welcomed without it, does not hold it.
    if _updated(change).get("inapp.box") == "inbox":
        return True
    # A deeper path is one into an array, as `inapp.tags.1`.
    return any(path.count(".") > 1 for path in paths if _is_inapp(path))


def event_of(change: Change, *, document: Mapping[str, Any] | None = None) -> Event | None:
    """Gives what to tell of a change, or None.

    Args:
        change: An insert, update or replacement of a message.
        document: The message as it was read after the change, where ``needs_item``; None: it is gone.
    """
    body = _body(change, document)
    return Event(position_of(change["clusterTime"]), body) if body else None


def coalesce(events: Iterable[Event]) -> list[Event]:
    """Joins neighbours that tell the same of several items; the order of the others is kept."""
    joined: list[Event] = []
    for _, alike in itertools.groupby(events, key=_likeness):
        run = list(alike)
        joined.extend(_join(run[start : start + MAX_IDS]) for start in range(0, len(run), MAX_IDS))
    return joined


def _body(change: Change, document: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if change["operationType"] == "insert":
        document = change["fullDocument"]
        return _created(document, int(bool(document["inapp"].get("unread")))) if _is_visible(document) else None

    unread_change = _unread_change(change)
    item_id = change["documentKey"]["_id"]["m"]
    if "inapp.retract_time" in _updated(change):
        return _retracted(item_id, unread_change)
    if needs_item(change):
        # It may have been retracted since: that event follows, and says whether it still counted.
        visible = document if document and _is_visible(document) else None
        return _created(visible, unread_change) if visible else _retracted(item_id, unread_change)
    if "inapp" in _updated(change):
        # An item that appears late is set whole, out of what was not shown.
        whole = {**_updated(change), "_id": change["documentKey"]["_id"]}
        return _created(whole, int(bool(whole["inapp"].get("unread")))) if _is_visible(whole) else None
    return _updated_body(change, item_id, unread_change)


def _updated_body(change: Change, item_id: str, unread_change: int) -> dict[str, Any] | None:
    values = {_field(path): value for path, value in _updated(change).items()}
    changed = {name: items.field_value(name, value) for name, value in values.items() if items.is_field(name)}
    removed = [name for name in map(_field, _removed(change)) if items.is_field(name)]
    if not changed and not removed:
        return None

    body: dict[str, Any] = {"type": "updated", "ids": [item_id], "rev": _rev(_updated(change))}
    return body | {"set": changed, "unset": removed, "unread_change": unread_change}


def _created(document: Mapping[str, Any], unread_change: int) -> dict[str, Any]:
    return {"type": "created", "item": items.item_from_document(document), "unread_change": unread_change}


def _retracted(item_id: str, unread_change: int) -> dict[str, Any]:
    return {"type": "retracted", "ids": [item_id], "unread_change": unread_change}


def _unread_change(change: Change) -> int:
    """Whoever changes `inapp.unread` states it alone, and it is in the event exactly when it changed."""
    unread = _updated(change).get("inapp.unread")
    return 0 if unread is None else (1 if unread else -1)


def _is_visible(document: Mapping[str, Any]) -> bool:
    return document.get("inapp", {}).get("box") in ("inbox", "archive")


def _rev(document: Mapping[str, Any]) -> str:
    return position_to_text(position_of(document["changed"]))


def _updated(change: Change) -> Mapping[str, Any]:
    fields: Mapping[str, Any] = change.get("updateDescription", {}).get("updatedFields", {})
    return fields


def _removed(change: Change) -> Sequence[str]:
    paths: Sequence[str] = change.get("updateDescription", {}).get("removedFields", ())
    return paths


def _is_inapp(path: str) -> bool:
    return path.startswith("inapp.")


def _field(path: str) -> str:
    """The name in an item of a stored path; what is not under `inapp` keeps its own."""
    return path.removeprefix("inapp.")


def _likeness(event: Event) -> object:
    kind = event.body["type"]
    if kind == "retracted":
        return kind
    if kind == "updated":
        return frames.encode({"set": event.body["set"], "unset": event.body["unset"]})
    return id(event)


def _join(events: Sequence[Event]) -> Event:
    if len(events) == 1:
        return events[0]

    bodies = [event.body for event in events]
    body = {
        **bodies[0],
        "ids": [item_id for body in bodies for item_id in body["ids"]],
        "unread_change": sum(body["unread_change"] for body in bodies),
    }
    if "rev" in body:
        # The least of them: a client that holds too old a version is told again, one with too new a version is not.
        body["rev"] = min(body["rev"] for body in bodies)
    return Event(events[-1].position, body, tuple(events))
