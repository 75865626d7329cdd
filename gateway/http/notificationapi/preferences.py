"""The preferences of a user: what holds, what they choose, and how they take a choice back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field, RootModel

from carillon.v1 import channel_pb2, preferences_pb2
from gateway.http.notificationapi.bodies import FEW, Lenient, checked, json_body, read_json
from gateway.http.notificationapi.callers import (
    Caller,
    ClientId,
    UserCallerOf,
    UserId,
    caller_of,
)
from gateway.http.notificationapi.choices import choice_name
from gateway.http.notificationapi.documented import SUCCESS, Success, responses
from gateway.http.notificationapi.people import user_id_of
from gateway.http.notificationapi.refusals import in_their_words
from gateway.http.notificationapi.spelling import camel
from gateway.notificationapi.paging import read_notifications
from gateway.notificationapi.preferences import DELIVERIES, STATES, preferences_to_json
from gateway.services_client import DEADLINE_S
from services.kernel.errors import FieldViolation, InvalidArgument

if TYPE_CHECKING:
    from gateway.http.notificationapi.services import Services

_PREFERENCES = "/{client_id}/users/{user_id:path}/preferences"
CHOICES = [{"notificationId": "order_tracking", "channel": "EMAIL", "delivery": "off"}]
_OFF = channel_pb2.DELIVERY_OPTION_OFF


Channel = Literal["EMAIL", "INAPP_WEB", "SMS", "CALL", "PUSH", "WEB_PUSH"]
Delivery = Literal["off", "instant", "hourly", "daily", "weekly", "monthly"]
NotificationId = Annotated[str, Query(description="Of which notification.")]
SubId = Annotated[str, Query(description="Of which part of it; without one, of the whole and all its parts.")]
ChannelName = Annotated[Channel | None, Query(description="Which channel is turned off; needed without a token.")]
Token = Annotated[str, Query(description="The token of a mail's link: it needs no other credentials.")]


class ChoiceBody(Lenient):
    """One choice: of a notification or a part of it, on one channel or on all."""

    notificationId: str = Field(min_length=1)
    subNotificationId: str | None = None
    channel: Channel | None = None
    delivery: Delivery | None = None
    state: bool | None = None


class ChoicesBody(Lenient):
    """Choices, as React Native and Flutter wrap them."""

    preferences: Annotated[list[ChoiceBody], FEW]


class EitherForm(RootModel[list[ChoiceBody] | ChoicesBody]):
    """What is documented: a list of choices, or one that is wrapped."""


class PreferenceAnswer(BaseModel):
    """What holds on one channel of a notification, or of a part of one."""

    notificationId: str
    channel: Channel
    delivery: Delivery
    subNotificationId: str | None = None


class ForgetBody(Lenient):
    """Whose choices are forgotten."""

    notificationId: str = Field(min_length=1)
    subNotificationId: str | None = None


class NotificationAnswer(BaseModel):
    """One notification, and by channel the default and what may be chosen."""

    notificationId: str
    title: str
    channels: list[Channel]
    options: dict[Channel, dict[str, Any]]


class SubNotificationAnswer(BaseModel):
    """One part of a notification."""

    notificationId: str
    subNotificationId: str
    title: str


class PreferencesAnswer(BaseModel):
    """What a page of preferences shows."""

    preferences: list[PreferenceAnswer]
    notifications: list[NotificationAnswer]
    subNotifications: list[SubNotificationAnswer]


def create_router(services: Services) -> APIRouter:
    """Makes the routes."""
    router = APIRouter()

    @router.get(_PREFERENCES, responses=responses(answer=PreferencesAnswer))
    async def get_preferences(caller: UserCallerOf) -> JSONResponse:
        """Gives what holds for the user, notification by notification."""
        return JSONResponse(preferences_to_json(await read_preferences(services, caller)))

    @router.post(
        _PREFERENCES,
        responses=responses(body=True, answer=Success),
        openapi_extra=json_body(EitherForm, example=CHOICES),
    )
    async def patch_preferences(caller: UserCallerOf, request: Request) -> JSONResponse:
        """Writes choices of the user, and leaves the others."""
        choices = read_choices(await read_json(request))
        asked = preferences_pb2.PatchPreferencesRequest(user_id=await user_id_of(services, caller), preferences=choices)
        with in_their_words(choice_name):
            await services.preferences.PatchPreferences(asked, metadata=caller.metadata, timeout=DEADLINE_S)
        return JSONResponse(SUCCESS)

    @router.delete(
        _PREFERENCES,
        responses=responses(body=True, answer=Success),
        openapi_extra=json_body(ForgetBody, example={"notificationId": "order_tracking"}, is_required=False),
    )
    async def delete_preferences(
        caller: UserCallerOf, request: Request, notificationId: NotificationId = "", subNotificationId: SubId = ""
    ) -> JSONResponse:
        """Forgets choices of the user, so that the defaults hold; the ids are in the query or in the body."""
        given = {"notificationId": notificationId, "subNotificationId": subNotificationId}
        if not notificationId:
            # To pass over a part that the query names would forget the choices of all parts.
            read = await read_json(request) or {}
            given = read | {name: id_ for name, id_ in given.items() if id_} if isinstance(read, dict) else read
        body = checked(ForgetBody, given)
        asked = preferences_pb2.DeletePreferencesRequest(
            user_id=await user_id_of(services, caller),
            notification_id=body.notificationId,
            sub_notification_id=body.subNotificationId or "",
        )
        with in_their_words(camel):
            await services.preferences.DeletePreferences(asked, metadata=caller.metadata, timeout=DEADLINE_S)
        return JSONResponse(SUCCESS)

    @router.post("/{client_id}/users/{user_id:path}/unsubscribe", responses=responses(answer=Success))
    async def unsubscribe(
        request: Request,
        client_id: ClientId,
        user_id: UserId,
        channel: ChannelName = None,
        notificationId: NotificationId = "",
        token: Token = "",
    ) -> JSONResponse:
        """Turns a channel off: by the token of a mail, of one notification, or of all that the user may turn off."""
        if token:
            link = preferences_pb2.UnsubscribeRequest(unsubscribe_token=token)
            await services.preferences.Unsubscribe(link, timeout=DEADLINE_S)
            return JSONResponse(SUCCESS)

        caller = caller_of(request, client_id)
        if channel is None:
            raise InvalidArgument([FieldViolation("channel", "must be given, or token", "REQUIRED")])
        number = channel_pb2.Channel.Value(f"CHANNEL_{channel}")
        ids = [notificationId] if notificationId else can_turn_off(await read_preferences(services, caller), number)
        if ids:
            choices = [
                preferences_pb2.Preference(notification_id=one, channel=number, delivery_option=_OFF) for one in ids
            ]
            asked = preferences_pb2.PatchPreferencesRequest(
                user_id=await user_id_of(services, caller), preferences=choices
            )
            with in_their_words(_parameter):
                await services.preferences.PatchPreferences(asked, metadata=caller.metadata, timeout=DEADLINE_S)
        return JSONResponse(SUCCESS)

    return router


def read_choices(value: object) -> list[preferences_pb2.Preference]:
    """Reads choices from a body, wrapped or not.

    Raises:
        RequestValidationError: If it is no list of choices; the place of what is wrong is ``preferences[0].delivery``.
        InvalidArgument: If one says neither a delivery nor a state.
    """
    body = checked(ChoicesBody, {"preferences": value} if isinstance(value, list) else value)
    violations = [
        FieldViolation(f"preferences[{i}].delivery", f"must be one of {', '.join(DELIVERIES)}", "REQUIRED")
        for i, one in enumerate(body.preferences)
        if one.delivery is None and one.state is None
    ]
    if violations:
        raise InvalidArgument(violations)
    return [
        preferences_pb2.Preference(
            notification_id=one.notificationId,
            sub_notification_id=one.subNotificationId or "",
            channel=channel_pb2.Channel.Value(f"CHANNEL_{one.channel or 'UNSPECIFIED'}"),
            delivery_option=DELIVERIES[one.delivery] if one.delivery else STATES[bool(one.state)],
        )
        for one in body.preferences
    ]


async def read_preferences(services: Services, caller: Caller) -> list[preferences_pb2.NotificationPreference]:
    """Reads what holds for the user of a path, of what they have received or chosen; the first 1,000 notifications."""
    user_id = await user_id_of(services, caller)

    async def get(asked: preferences_pb2.GetPreferencesRequest) -> preferences_pb2.GetPreferencesResponse:
        answer: preferences_pb2.GetPreferencesResponse
        answer = await services.preferences.GetPreferences(asked, metadata=caller.metadata, timeout=DEADLINE_S)
        return answer

    with in_their_words(camel):
        return await read_notifications(get, user_id)


def can_turn_off(notifications: list[preferences_pb2.NotificationPreference], channel: int) -> list[str]:
    """Gives the ids of those whose channel the user may turn off."""
    ids = (
        notification.notification_id
        for notification in notifications
        for one in notification.channels
        if one.channel == channel and _OFF in one.offered_delivery_options
    )
    return list(dict.fromkeys(ids))


def _parameter(path: str) -> str:
    """Gives the caller's name for a field of a request that turns one notification off."""
    return camel(path.removeprefix("preferences[0]."))
