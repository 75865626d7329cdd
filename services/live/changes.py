"""Changes of documents, as MongoDB reports them, turned into what those who follow a user are told. Pure.

What can be told from the change itself is; for the rest, ``needs_item`` says that the item has to be read. Values stay
as they are stored: the gateway makes JSON of them, WatchInbox protobuf.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from services.kernel.cluster_time import position_of

if TYPE_CHECKING:
    from datetime import datetime

MAX_IDS = 500

ITEM_FIELDS = frozenset(
    {
        *("notification_id", "sub_notification_id", "secondary_id", "category", "section", "label", "priority", "tags"),
        *("title", "body", "html", "url", "image_url", "icon_url", "actions", "replies", "unread", "message_count"),
        *("date", "seen_time", "opened_time", "clicked_time", "archive_time", "expire_time"),
        *("first_action_time", "second_action_time"),
    }
)
"""The stored fields that a browser sees: ``expire_time`` of the message, all others under its ``inapp``."""

Change = Mapping[str, Any]
T = TypeVar("T")


class UserKey(NamedTuple):
    """Whom an event is for."""

    client_id: str
    user_id: str


@dataclass(frozen=True, slots=True)
class Created:
    """An item appeared, or is to be replaced whole."""

    document: Mapping[str, Any]
    """The message: ``_id``, ``changed``, ``expire_time`` and ``inapp``."""


@dataclass(frozen=True, slots=True)
class Updated:
    """Some fields of items changed."""

    ids: tuple[str, ...]
    positions: tuple[int, ...]
    """The version that each of them has now."""

    values: Mapping[str, Any]
    """What has a new value, of `ITEM_FIELDS`."""

    removed: tuple[str, ...]
    """What has none any more."""


@dataclass(frozen=True, slots=True)
class Retracted:
    """Items were taken back, deleted or expired."""

    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PreferencesChanged:
    """The user's choices are others now."""


What = Created | Updated | Retracted | PreferencesChanged


@dataclass(frozen=True)
class Event:
    """What those who follow a user are told of one or more changes that are alike."""

    position: int
    """When it happened on the cluster's clock; of several changes, the last."""

    what: What

    unread_change: int = 0
    """By how much it changes the number of unread items."""

    parts: tuple[Event, ...] = ()
    """The single events of a joined one, for who has some of them already."""

    _forms: dict[Hashable, Any] = field(default_factory=dict, compare=False, repr=False)

    def in_form(self, form: Hashable, make: Callable[[], T]) -> T:
        """Gives the event in a form that all who follow share: made by the first who asks."""
        if form not in self._forms:
            self._forms[form] = make()
        made: T = self._forms[form]
        return made

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
    return bool(_collection(change) == "users")


def revokes_tokens(change: Change) -> datetime | None:
    """Tells before when a user's tokens must be made to be refused from now on; None: it is another change."""
    if _collection(change) != "revocations":
        return None
    not_before: datetime | None = {**change.get("fullDocument", {}), **_updated(change)}.get("not_before")
    return not_before


def needs_item(change: Change) -> bool:
    """Tells whether the change does not say what the item is now."""
    if _collection(change) != "messages":
        return False
    if change["operationType"] == "replace":
        return True
    if change["operationType"] != "update" or "inapp.retract_time" in _updated(change):
        return False

    paths = [*_updated(change), *_removed(change)]
    arrays = change["updateDescription"].get("truncatedArrays", ())
    # One that appears late is set whole, out of what was not shown; its end is beside it, and did not change.
    if arrays or "inapp" in paths or "inapp.date" in paths:
        return True
    # A client that knows it as archived, or was welcomed without it, does not hold it.
    if _updated(change).get("inapp.box") == "inbox":
        return True
    # A deeper path is one into an array, as `inapp.tags.1`.
    return any(path.count(".") > 1 for path in paths if _is_inapp(path))


def event_of(change: Change, *, document: Mapping[str, Any] | None = None) -> Event | None:
    """Gives what to tell of a change, or None.

    Args:
        change: A change of a message or of preferences.
        document: The message as it was read after the change, where ``needs_item``; None: it is gone.
    """
    position = position_of(change["clusterTime"])
    if _collection(change) == "preferences":
        return Event(position, PreferencesChanged())
    if change["operationType"] == "insert":
        whole = change["fullDocument"]
        return Event(position, Created(whole), _counts(whole)) if _is_visible(whole) else None

    unread_change = _unread_change(change)
    retracted = Event(position, Retracted((change["documentKey"]["_id"]["m"],)), unread_change)
    if "inapp.retract_time" in _updated(change):
        return retracted
    if needs_item(change):
        # It may have been retracted since: that event follows, and says whether it still counted.
        return Event(position, Created(document), unread_change) if document and _is_visible(document) else retracted
    updated = _updated_fields(change)
    return Event(position, updated, unread_change) if updated else None


def coalesce(events: Iterable[Event]) -> list[Event]:
    """Joins neighbours that tell the same of several items; the order of the others is kept."""
    joined: list[Event] = []
    for _, alike in itertools.groupby(events, key=_likeness):
        run = list(alike)
        joined.extend(_join(run[start : start + MAX_IDS]) for start in range(0, len(run), MAX_IDS))
    return joined


def _updated_fields(change: Change) -> Updated | None:
    values = {name: value for path, value in _updated(change).items() if (name := _field(path)) in ITEM_FIELDS}
    removed = tuple(name for name in map(_field, _removed(change)) if name in ITEM_FIELDS)
    if not values and not removed:
        return None
    position = position_of(_updated(change)["changed"])
    return Updated((change["documentKey"]["_id"]["m"],), (position,), values, removed)


def _counts(document: Mapping[str, Any]) -> int:
    return int(bool(document["inapp"].get("unread")))


def _unread_change(change: Change) -> int:
    """Whoever changes `inapp.unread` states it alone, and it is in the event exactly when it changed.

    An item that appears late did not count before.
    """
    updated = _updated(change)
    unread = updated["inapp"].get("unread") or None if "inapp" in updated else updated.get("inapp.unread")
    return 0 if unread is None else (1 if unread else -1)


def _is_visible(document: Mapping[str, Any]) -> bool:
    return document.get("inapp", {}).get("box") in ("inbox", "archive")


def _collection(change: Change) -> str:
    return str(change["ns"]["coll"])


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
    match event.what:
        case Updated(values=values, removed=removed):
            return "updated", values, removed
        case Created():
            return id(event)
        case other:
            return type(other)


def _join(events: Sequence[Event]) -> Event:
    first, last = events[0], events[-1]
    if len(events) == 1:
        return first

    what = first.what
    unread_change = sum(event.unread_change for event in events)
    if isinstance(what, Updated):
        updates = [event.what for event in events if isinstance(event.what, Updated)]
        positions = tuple(position for one in updates for position in one.positions)
        what = Updated(_ids(updates), positions, what.values, what.removed)
    elif isinstance(what, Retracted):
        what = Retracted(_ids(event.what for event in events if isinstance(event.what, Retracted)))
    return Event(last.position, what, unread_change, tuple(events))


def _ids(parts: Iterable[Updated | Retracted]) -> tuple[str, ...]:
    return tuple(item_id for part in parts for item_id in part.ids)
