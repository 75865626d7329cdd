"""What a client may ask for while its session is open, as values; the services answer it. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway import fields

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
_MAX_FILTER_VALUES = 100
_MAX_TOKEN_BYTES = 4096

VIEWS = ("INBOX", "ARCHIVE", "ALL")
MARKS = ("SEEN", "OPENED", "CLICKED", "ARCHIVED", "FIRST_ACTION", "SECOND_ACTION")


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


Request = ListItems | MarkItems | RenewToken


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


def _ref(body: Body) -> str:
    return fields.text(body, "ref", max_bytes=MAX_REF_BYTES, required=True)


def _until(body: Body) -> Until | None:
    until = fields.inner(body, "until")
    if until is None:
        return None
    time = fields.time(until, "time", path="until.time")
    if time is None:
        raise fields.invalid("until.time", "must be given: the date of the newest item that is meant")
    view = fields.choice(until, "view", VIEWS, path="until.view")
    return Until(time, view, _filter(until, path="until.filter"))


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
