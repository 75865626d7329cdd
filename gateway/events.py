"""Events as frames: what a browser is told of a change, as JSON. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway import frames, items
from services.kernel.cluster_time import position_to_text
from services.live.changes import Created, Event, PreferencesChanged, Retracted, Updated

if TYPE_CHECKING:
    from collections.abc import Callable


def frame_of(event: Event, incarnation: int, cursor_at: Callable[[int], str]) -> bytes:
    """Gives the frame of an event, encoded once for all sessions of its user.

    Args:
        event: What happened.
        incarnation: Of which user document; there may be two where a user was just deleted.
        cursor_at: Gives the cursor of who has this user's events up to a position.
    """
    return event.in_form(
        ("frame", incarnation), lambda: frames.encode(body_of(event) | {"cursor": cursor_at(event.position)})
    )


def body_of(event: Event) -> dict[str, Any]:
    """Gives the frame without its cursor."""
    match event.what:
        case Created(document):
            told: dict[str, Any] = {"type": "created", "item": items.item_from_document(document)}
        case Updated(ids, positions, values, removed):
            changed = {name: items.field_value(name, value) for name, value in values.items()}
            revs = [position_to_text(position) for position in positions]
            told = {"type": "updated", "ids": list(ids), "revs": revs, "set": changed, "unset": list(removed)}
        case Retracted(ids):
            told = {"type": "retracted", "ids": list(ids)}
        case PreferencesChanged():
            return {"type": "preferences_changed"}
    return told | {"unread_change": event.unread_change}
