"""What a client may ask for while its session is open, as values; the services answer it. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway import fields
from services.kernel.vocabulary import Channel, DeliveryOption

if TYPE_CHECKING:
    from datetime import datetime

    from gateway.fields import Body
    from services.kernel.tokens import TokenCredentials

MAX_REF_BYTES = 64
MAX_LIST_LIMIT = 100
DEFAULT_LIST_LIMIT = 50
MAX_IDS = 1000
MAX_ID_BYTES = 128
MAX_REPLY_BYTES = 4096
MAX_PREFERENCES = 1000
MAX_ENDPOINT_BYTES = 2048
MAX_KEY_BYTES = 256
_MAX_FILTER_VALUES = 100
_MAX_TOKEN_BYTES = 4096

VIEWS = ("INBOX", "ARCHIVE", "ALL")
MARKS = ("SEEN", "OPENED", "CLICKED", "ARCHIVED", "FIRST_ACTION", "SECOND_ACTION")
CHANNELS = tuple(map(str, Channel))
# ON is what the definition has for who says no more than yes.
DELIVERY_OPTIONS = (*map(str, DeliveryOption), "ON")
SCOPES = ("ALL", "RECEIVED")


@dataclass(frozen=True, slots=True)
class Filter:
    """What narrows a selection of items; what is empty does not."""

    unread: bool | None = None
    notification_ids: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    sections: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ListItems:
    """Asks for a page of items."""

    ref: str
    limit: int = DEFAULT_LIST_LIMIT
    page_token: str = ""
    before_time: datetime | None = None
    view: str = ""
    narrowed: Filter = Filter()


@dataclass(frozen=True, slots=True)
class Until:
    """All items up to a time."""

    time: datetime
    view: str = ""
    narrowed: Filter = Filter()


@dataclass(frozen=True, slots=True)
class MarkItems:
    """Asks to mark items: those of ``ids``, or all of ``until``."""

    ref: str
    ids: tuple[str, ...] = ()
    until: Until | None = None
    sets: tuple[str, ...] = ()
    clears: tuple[str, ...] = ()
    reply: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class RenewToken:
    """Hands in a new user token, for the same user."""

    ref: str
    token: TokenCredentials


@dataclass(frozen=True, slots=True)
class Preference:
    """One choice: when a notification, or a part of it, reaches the user, on one channel or on all."""

    notification_id: str
    delivery_option: str
    channel: str = ""
    sub_notification_id: str = ""


@dataclass(frozen=True, slots=True)
class GetPreferences:
    """Asks for all choices, and a page of what they come to."""

    ref: str
    limit: int = DEFAULT_LIST_LIMIT
    page_token: str = ""
    scope: str = ""


@dataclass(frozen=True, slots=True)
class PatchPreferences:
    """Asks to add or change choices."""

    ref: str
    preferences: tuple[Preference, ...]


@dataclass(frozen=True, slots=True)
class DeletePreferences:
    """Asks to forget the choices for a notification, or for one part of it."""

    ref: str
    notification_id: str
    sub_notification_id: str = ""


@dataclass(frozen=True, slots=True)
class GetEnvironment:
    """Asks for what a browser may know of its environment."""

    ref: str


@dataclass(frozen=True, slots=True)
class AddWebPush:
    """Hands in the web push subscription of a browser, which is this user's from then on and nobody else's."""

    ref: str
    endpoint: str = field(repr=False)
    p256dh: str = field(repr=False)
    auth: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class RemoveWebPush:
    """Asks to forget a web push subscription."""

    ref: str
    endpoint: str = field(repr=False)


Request = (
    ListItems
    | MarkItems
    | GetPreferences
    | PatchPreferences
    | DeletePreferences
    | GetEnvironment
    | AddWebPush
    | RemoveWebPush
    | RenewToken
)


def read_list(body: Body) -> ListItems:
    """Reads a ``list`` frame; raises FrameError."""
    return ListItems(
        ref=_ref(body),
        limit=fields.count(body, "limit", default=DEFAULT_LIST_LIMIT, most=MAX_LIST_LIMIT),
        page_token=fields.text(body, "page_token", max_bytes=_MAX_TOKEN_BYTES),
        before_time=fields.time(body, "before_time"),
        view=fields.choice(body, "view", VIEWS),
        narrowed=_filter(body),
    )


def read_mark(body: Body) -> MarkItems:
    """Reads a ``mark`` frame; raises FrameError."""
    if ("ids" in body) == ("until" in body):
        raise fields.invalid("ids", "must be given, or until, and not both")
    return MarkItems(
        ref=_ref(body),
        ids=fields.texts(body, "ids", most=MAX_IDS, max_bytes=MAX_ID_BYTES),
        until=_until(body),
        sets=fields.names(body, "set", MARKS),
        clears=fields.names(body, "clear", MARKS),
        reply=fields.text(body, "reply", max_bytes=MAX_REPLY_BYTES),
    )


def read_renew(body: Body) -> RenewToken:
    """Reads a ``renew`` frame; raises FrameError."""
    return RenewToken(_ref(body), fields.token(body))


def read_get_preferences(body: Body) -> GetPreferences:
    """Reads a ``get_preferences`` frame; raises FrameError."""
    return GetPreferences(
        ref=_ref(body),
        limit=fields.count(body, "limit", default=DEFAULT_LIST_LIMIT, most=MAX_LIST_LIMIT),
        page_token=fields.text(body, "page_token", max_bytes=_MAX_TOKEN_BYTES),
        scope=fields.choice(body, "scope", SCOPES),
    )


def read_patch_preferences(body: Body) -> PatchPreferences:
    """Reads a ``patch_preferences`` frame; raises FrameError."""
    given = fields.inners(body, "preferences", most=MAX_PREFERENCES)
    return PatchPreferences(
        ref=_ref(body),
        preferences=tuple(_preference(one, f"preferences[{index}]") for index, one in enumerate(given)),
    )


def read_delete_preferences(body: Body) -> DeletePreferences:
    """Reads a ``delete_preferences`` frame; raises FrameError."""
    return DeletePreferences(
        ref=_ref(body),
        notification_id=fields.text(body, "notification_id", max_bytes=MAX_ID_BYTES, required=True),
        sub_notification_id=fields.text(body, "sub_notification_id", max_bytes=MAX_ID_BYTES),
    )


def read_get_environment(body: Body) -> GetEnvironment:
    """Reads a ``get_environment`` frame; raises FrameError."""
    return GetEnvironment(_ref(body))


def read_add_web_push(body: Body) -> AddWebPush:
    """Reads an ``add_web_push`` frame, whose subscription is as a browser writes its own; raises FrameError."""
    subscription = fields.inner(body, "subscription") or {}
    keys = fields.inner(subscription, "keys", path="subscription.keys") or {}

    def key(name: str) -> str:
        return fields.text(keys, name, max_bytes=MAX_KEY_BYTES, required=True, path=f"subscription.keys.{name}")

    return AddWebPush(
        ref=_ref(body),
        endpoint=_endpoint(subscription, path="subscription.endpoint"),
        p256dh=key("p256dh"),
        auth=key("auth"),
    )


def read_remove_web_push(body: Body) -> RemoveWebPush:
    """Reads a ``remove_web_push`` frame; raises FrameError."""
    return RemoveWebPush(_ref(body), _endpoint(body))


def _ref(body: Body) -> str:
    return fields.text(body, "ref", max_bytes=MAX_REF_BYTES, required=True)


def _endpoint(body: Body, *, path: str = "") -> str:
    return fields.text(body, "endpoint", max_bytes=MAX_ENDPOINT_BYTES, required=True, path=path)


def _until(body: Body) -> Until | None:
    until = fields.inner(body, "until")
    if until is None:
        return None
    time = fields.time(until, "time", path="until.time")
    if time is None:
        raise fields.invalid("until.time", "must be given: the date of the newest item that is meant")
    view = fields.choice(until, "view", VIEWS, path="until.view")
    return Until(time, view, _filter(until, path="until.filter"))


def _preference(body: Body, path: str) -> Preference:
    def id_of(name: str, *, required: bool = False) -> str:
        return fields.text(body, name, max_bytes=MAX_ID_BYTES, required=required, path=f"{path}.{name}")

    option_path = f"{path}.delivery_option"
    return Preference(
        notification_id=id_of("notification_id", required=True),
        delivery_option=fields.choice(body, "delivery_option", DELIVERY_OPTIONS, required=True, path=option_path),
        channel=fields.choice(body, "channel", CHANNELS, path=f"{path}.channel"),
        sub_notification_id=id_of("sub_notification_id"),
    )


def _filter(body: Body, *, path: str = "filter") -> Filter:
    given = fields.inner(body, "filter", path=path)
    if given is None:
        return Filter()

    def values(name: str) -> tuple[str, ...]:
        return fields.texts(given, name, most=_MAX_FILTER_VALUES, max_bytes=MAX_ID_BYTES, path=f"{path}.{name}")

    return Filter(
        unread=fields.flag(given, "unread", path=f"{path}.unread"),
        notification_ids=values("notification_ids"),
        categories=values("categories"),
        sections=values("sections"),
        tags=values("tags"),
    )
