"""What a browser sees of a message: the same JSON, whether it comes from the services or from an event."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, get_args

from carillon.v1 import channel_pb2
from services.kernel.cluster_time import position_of, position_to_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from google.protobuf.timestamp_pb2 import Timestamp as ProtoTimestamp

    from carillon.v1 import inbox_pb2

_TimeField = Literal[
    "date",
    "seen_time",
    "opened_time",
    "clicked_time",
    "archive_time",
    "expire_time",
    "first_action_time",
    "second_action_time",
]

# These are in every item; the others are left out where they are empty.
_DEFAULTS: dict[str, Any] = {
    "notification_id": "",
    "title": "",
    "unread": False,
    "message_count": 1,
    "priority": "NORMAL",
}

_CONTENT = ("title", "body", "html", "url", "image_url", "icon_url")
_PLAIN = (
    "notification_id",
    "sub_notification_id",
    "secondary_id",
    "unread",
    "message_count",
    "category",
    "section",
    "label",
)
_TIMES: tuple[_TimeField, ...] = get_args(_TimeField)


def item_from_proto(item: inbox_pb2.InboxItem) -> dict[str, Any]:
    """Gives the item of a frame, as the services have read it; of one that was taken back, that it was."""
    if item.HasField("retract_time"):
        return {"id": item.id, "rev": item.rev, "retract_time": iso_of(item.retract_time)}
    content = item.content
    fields = {name: getattr(item, name) for name in _PLAIN}
    fields |= {name: getattr(content, name) for name in _CONTENT}
    fields |= {name: iso_of(getattr(item, name)) for name in _TIMES if item.HasField(name)}
    fields["actions"] = _actions({"label": action.label, "url": action.url} for action in content.actions)
    fields["tags"] = list(item.tags)
    fields["replies"] = [{"time": iso_of(reply.time), "text": reply.text} for reply in item.replies]
    if item.priority:
        fields["priority"] = channel_pb2.Priority.Name(item.priority).removeprefix("PRIORITY_")
    return _item(item.id, item.rev, fields)


def item_from_document(document: Mapping[str, Any]) -> dict[str, Any]:
    """Gives the item of a frame, as it is stored: ``_id``, ``changed``, ``expire_time`` and ``inapp``."""
    stored = {**document.get("inapp", {}), "expire_time": document.get("expire_time")}
    rev = position_to_text(position_of(document["changed"]))
    return _item(document["_id"]["m"], rev, {name: field_value(name, stored.get(name)) for name in _CONVERTERS})


def field_value(name: str, stored: Any) -> Any:
    """Gives the JSON value of a stored field, or None where there is none."""
    return None if stored is None else _CONVERTERS[name](stored)


def _item(item_id: str, rev: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Puts an item together, always in the same order."""
    present = {name: fields[name] for name in _CONVERTERS if fields.get(name)}
    return {"id": item_id, "rev": rev, **_DEFAULTS, **present}


def _same(value: Any) -> Any:
    return value


def iso(time: datetime) -> str:
    """Gives a time as frames have it: UTC with milliseconds."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def iso_of(time: ProtoTimestamp) -> str:
    """Gives a time of the services as frames have it."""
    return iso(time.ToDatetime(tzinfo=UTC))


def _actions(actions: Iterable[Mapping[str, Any]]) -> list[dict[str, str]]:
    return [{name: action[name] for name in ("label", "url") if action.get(name)} for action in actions]


def _replies(replies: Iterable[Mapping[str, Any]]) -> list[dict[str, str]]:
    return [{"time": iso(reply["time"]), "text": reply["text"]} for reply in replies]


_CONVERTERS: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys((*_PLAIN, *_CONTENT, "priority"), _same),
    **dict.fromkeys(_TIMES, iso),
    "actions": _actions,
    "tags": list,
    "replies": _replies,
}

FIELDS = frozenset(_CONVERTERS)
"""The stored fields that a frame can tell of."""
