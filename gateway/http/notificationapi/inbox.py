"""The inbox: its items in pages, their marks, and the badge."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from carillon.v1 import inbox_pb2
from gateway.http.notificationapi.bodies import FEW, Lenient, checked, json_body, read_json
from gateway.http.notificationapi.callers import Caller, UserCallerOf  # noqa: TC001 # FastAPI reads it at run time
from gateway.http.notificationapi.documented import SUCCESS, Success, responses
from gateway.http.notificationapi.people import user_id_of
from gateway.http.notificationapi.refusals import in_their_words
from gateway.http.notificationapi.spelling import camel
from gateway.items import iso
from gateway.notificationapi.items import MARKS, item_to_json
from gateway.notificationapi.marks import Reply, mark_requests, read_all_request, read_request
from gateway.notificationapi.moments import read_moment
from gateway.notificationapi.paging import DEFAULT_COUNT, MAX_COUNT, read_before, read_count, read_page
from gateway.services_client import DEADLINE_S

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.http.notificationapi.services import Services

_ITEMS = "/{client_id}/users/{user_id:path}/notifications/INAPP_WEB"
_MARKS = {
    "trackingIds": ["0199a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b"],
    "opened": "2026-01-02T12:00:00.678Z",
    "archived": None,
}
_UNREAD = "/{client_id}/users/{user_id:path}/unread/INAPP_WEB"
# All that is there when the services look; what comes later is not touched.
_ALWAYS = datetime(9999, 12, 31, tzinfo=UTC)
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)

T = TypeVar("T")


def _moment(value: object) -> datetime:
    return _read(read_moment, value)


def _before(value: object) -> datetime | None:
    return _read(read_before, value)


def _setting(value: object) -> datetime | bool | None:
    """Reads a mark: when it was set, or whether it is."""
    if isinstance(value, bool):
        return value or None
    return None if value is None else _moment(value)


def _read(read: Callable[[object], T], value: object) -> T:
    try:
        return read(value)
    except ValueError as error:
        raise PydanticCustomError("moment", "{problem}", {"problem": str(error)}) from None


_TIME = {"type": "string", "format": "date-time"}
Moment = Annotated[datetime, PlainValidator(_moment), WithJsonSchema(_TIME)]
Setting = Annotated[
    Any, PlainValidator(_setting), WithJsonSchema({"anyOf": [_TIME, {"type": "boolean"}, {"type": "null"}]})
]
Count = Annotated[
    str | None,
    Query(description=f"How many: {DEFAULT_COUNT} where it is missing or no number from 1 on, {MAX_COUNT} at most."),
]
Before = Annotated[
    datetime | None,
    PlainValidator(_before),
    WithJsonSchema({"type": "string"}),
    Query(description="Only items of this moment or older: an ISO 8601 time, or seconds or milliseconds since 1970."),
]


class ReplyBody(Lenient):
    """What the user answers."""

    date: Moment | None = None
    message: str = Field(min_length=1)


class MarksBody(Lenient):
    """Which items get which marks: a mark is the time when it was set, or null where it is taken back."""

    trackingIds: Annotated[list[str], FEW]
    opened: Setting = None
    clicked: Setting = None
    archived: Setting = None
    actioned1: Setting = None
    actioned2: Setting = None
    reply: ReplyBody | None = None


class ReadBody(Lenient):
    """Which item was read, by its id; without one: all."""

    trackingId: str | None = None
    notificationId: str | None = None


class ReplyAnswer(BaseModel):
    """What the user answered."""

    date: datetime
    message: str


class ItemAnswer(BaseModel):
    """One item, as their ``InAppNotification``."""

    id: str
    notificationId: str
    seen: bool
    title: str
    date: datetime
    subNotificationId: str | None = None
    redirectURL: str | None = None
    imageURL: str | None = None
    opened: datetime | None = None
    clicked: datetime | None = None
    archived: datetime | None = None
    actioned1: datetime | None = None
    actioned2: datetime | None = None
    replies: list[ReplyAnswer] | None = None
    expDate: int | None = None


class ItemsAnswer(BaseModel):
    """A page of items, newest first."""

    notifications: list[ItemAnswer]
    oldestReceived: datetime
    couldLoadMore: bool


class CountAnswer(BaseModel):
    """The badge."""

    count: int


def create_router(services: Services) -> APIRouter:
    """Makes the routes."""
    router = APIRouter()

    @router.get(_ITEMS, responses=responses(answer=ItemsAnswer))
    async def list_items(caller: UserCallerOf, count: Count = None, before: Before = None) -> JSONResponse:
        """Gives items of the user, the newest first, archived ones too."""

        async def list_inbox(asked: inbox_pb2.ListInboxRequest) -> inbox_pb2.ListInboxResponse:
            answer: inbox_pb2.ListInboxResponse
            answer = await services.inbox.ListInbox(asked, metadata=caller.metadata, timeout=DEADLINE_S)
            return answer

        user_id = await user_id_of(services, caller)
        with in_their_words(camel):
            page = await read_page(list_inbox, user_id, count=read_count(count), before=before)
        return JSONResponse(
            {
                "notifications": [item_to_json(item) for item in page.items],
                # Where there is none at all, nothing older is either.
                "oldestReceived": page.items[-1]["date"] if page.items else iso(before or _NEVER),
                "couldLoadMore": page.has_more,
            }
        )

    @router.patch(
        _ITEMS, responses=responses(body=True, answer=Success), openapi_extra=json_body(MarksBody, example=_MARKS)
    )
    async def mark_items(caller: UserCallerOf, request: Request) -> JSONResponse:
        """Marks items, or takes marks back."""
        body = checked(MarksBody, await read_json(request))
        settings = {name: getattr(body, name) for name in MARKS if name in body.model_fields_set}
        reply = Reply(body.reply.message, body.reply.date) if body.reply else None
        if not body.trackingIds:
            # Who has nothing left to mark asks all the same; whether they may is still to be checked.
            await _count_unread(services, caller)
        else:
            user_id = await user_id_of(services, caller)
            for asked in mark_requests(user_id, body.trackingIds, settings, reply):
                with in_their_words(_field_of_marks):
                    await services.inbox.MarkInbox(asked, metadata=caller.metadata, timeout=DEADLINE_S)
        return JSONResponse(SUCCESS)

    @router.get(_UNREAD, responses=responses(answer=CountAnswer))
    async def count_unread(caller: UserCallerOf) -> JSONResponse:
        """Counts the unread items."""
        return JSONResponse({"count": await _count_unread(services, caller)})

    @router.patch(
        _UNREAD, responses=responses(body=True, answer=Success), openapi_extra=json_body(ReadBody, is_required=False)
    )
    async def mark_read(caller: UserCallerOf, request: Request) -> JSONResponse:
        """Marks one item as read, or all."""
        body = checked(ReadBody, await read_json(request) or {})
        item_id = body.trackingId or body.notificationId
        user_id = await user_id_of(services, caller)
        asked = read_request(user_id, item_id) if item_id else read_all_request(user_id, _ALWAYS)
        with in_their_words(_field_of_read):
            await services.inbox.MarkInbox(asked, metadata=caller.metadata, timeout=DEADLINE_S)
        return JSONResponse(SUCCESS)

    return router


async def _count_unread(services: Services, caller: Caller) -> int:
    asked = inbox_pb2.CountUnreadRequest(user_id=await user_id_of(services, caller))
    with in_their_words(camel):
        answer = await services.inbox.CountUnread(asked, metadata=caller.metadata, timeout=DEADLINE_S)
    return answer.unread_count


def _field_of_marks(path: str) -> str:
    return camel({"reply": "reply.message"}.get(path, path.replace("items.ids", "trackingIds")))


def _field_of_read(path: str) -> str:
    return camel(path.replace("items.ids[0]", "trackingId"))
