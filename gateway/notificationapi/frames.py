"""The frames of NotificationAPI's socket: what their js-client sends, as values, and what their clients get, as bytes.

Pure. A frame is ``{"route", "payload"}`` both ways; there are neither refs nor errors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gateway import fields, frames
from gateway.fields import FrameError, invalid
from gateway.notificationapi.items import item_to_json
from gateway.notificationapi.paging import read_before, read_count
from gateway.requests import (
    CHANNELS,
    MAX_ID_BYTES,
    MAX_LIST_LIMIT,
    MAX_PREFERENCES,
    GetEnvironment,
    GetPreferences,
    ListItems,
    PatchPreferences,
    Preference,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from gateway.fields import Body

DEFAULT_COUNT = 50
MAX_COUNT = MAX_LIST_LIMIT
ALL_PREFERENCES = GetPreferences("", limit=MAX_LIST_LIMIT, scope="RECEIVED")


@dataclass(frozen=True, slots=True)
class CountUnread:
    """Asks for the badge."""


@dataclass(frozen=True, slots=True)
class ClearUnread:
    """Asks to mark one item as read, or all."""

    item_id: str = ""
    """Empty: all."""

    until: str = ""
    """Up to which date all are meant; empty: it is not known yet."""


Frame = CountUnread | ClearUnread | ListItems | GetEnvironment | GetPreferences | PatchPreferences


def parse(data: str | bytes) -> Frame:
    """Reads a client's frame; raises FrameError for all that is none, and nothing else."""
    body = frames.parse_object(data)
    route = body.get("route")
    reader = _READERS.get(route) if isinstance(route, str) else None
    if reader is None:
        raise FrameError("UNKNOWN_ROUTE", "there is no such route", field="route")
    return reader(body.get("payload"))


def encode(route: str, payload: Mapping[str, Any]) -> bytes:
    """Writes a frame."""
    return frames.encode({"route": route, "payload": payload})


def unread_count(count: int) -> bytes:
    """Writes the frame that sets the badge."""
    return encode("inapp_web/unread_count", {"count": count})


def notifications(items: Iterable[Mapping[str, Any]], *, new: bool = False) -> bytes:
    """Writes the frame with a page of items, or with new ones, which are given in the words of our own frames."""
    route = "inapp_web/new_notifications" if new else "inapp_web/notifications"
    return encode(route, {"notifications": [item_to_json(item) for item in items]})


def environment(found: Mapping[str, Any]) -> bytes:
    """Writes the frame about the environment, which is given in the words of our own frames."""
    key = found.get("vapid_public_key", "")
    payload = {
        "logo": found.get("logo_url", ""),
        "applicationServerKey": key,
        "askForWebPushPermission": bool(key),
    }
    return encode("environment/data", payload)


def preferences(found: Mapping[str, Any]) -> bytes:
    """Writes the frame with a user's preferences, which are given in their words."""
    return encode("user_preferences/preferences", found)


def _list(payload: Any) -> ListItems:
    given = _object(payload)
    try:
        before = read_before(given.get("before"))
    except ValueError as error:
        raise invalid("payload.before", str(error)) from None
    count = min(read_count(given.get("count"), default=DEFAULT_COUNT), MAX_COUNT)
    # Their client has no archive.
    return ListItems("", limit=count, before_time=before, view="INBOX")


def _clear(payload: Any) -> ClearUnread:
    given = _object(payload)
    for name in ("notificationId", "trackingId"):
        if name in given:
            # It is the id of the item, whatever they call it.
            return ClearUnread(fields.text(given, name, max_bytes=MAX_ID_BYTES, required=True))
    return ClearUnread()


def _patch(payload: Any) -> PatchPreferences:
    given = fields.inners({"payload": payload}, "payload", most=MAX_PREFERENCES)
    choices = tuple(choice for one in given for choice in _choices(one))
    if not 1 <= len(choices) <= MAX_PREFERENCES:
        raise invalid("payload", f"must have 1 to {MAX_PREFERENCES} choices")
    return PatchPreferences("", choices)


def _choices(body: Body) -> Iterable[Preference]:
    notification_id = fields.text(body, "notificationId", max_bytes=MAX_ID_BYTES, required=True)
    sub_notification_id = fields.text(body, "subNotificationId", max_bytes=MAX_ID_BYTES)
    for one in fields.inners(body, "channelPreferences", most=MAX_PREFERENCES):
        state = fields.flag(one, "state")
        if state is None:
            raise invalid("state", "must be given")
        channel = fields.choice(one, "channel", CHANNELS, required=True)
        # On is what the definition has for who says no more than yes.
        yield Preference(notification_id, "ON" if state else "OFF", channel, sub_notification_id)


def _object(payload: Any) -> Body:
    return fields.inner({"payload": payload}, "payload") or {}


_READERS: dict[str, Callable[[Any], Frame]] = {
    "environment/data": lambda _: GetEnvironment(""),
    "inapp_web/unread_count": lambda _: CountUnread(),
    "inapp_web/notifications": _list,
    "inapp_web/unread_clear": _clear,
    "user_preferences/get_preferences": lambda _: ALL_PREFERENCES,
    "user_preferences/patch_preferences": _patch,
}
