"""What else servers call with the client's secret: sub-notifications, a user's preferences, is it all right."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from carillon.v1 import notifications_pb2, preferences_pb2, sub_notifications_pb2
from gateway.http.notificationapi.bodies import Lenient, checked, json_body, read_json
from gateway.http.notificationapi.callers import CallerOf, UserCallerOf  # noqa: TC001 # FastAPI reads it at run time
from gateway.http.notificationapi.choices import choice_name, choices_to_json
from gateway.http.notificationapi.documented import responses
from gateway.http.notificationapi.people import user_id_of
from gateway.http.notificationapi.preferences import CHOICES, EitherForm, read_choices
from gateway.http.notificationapi.refusals import in_their_words
from gateway.http.notificationapi.spelling import camel
from gateway.services_client import DEADLINE_S
from services.kernel.errors import FieldViolation, InvalidArgument

if TYPE_CHECKING:
    from gateway.http.notificationapi.services import Services

_PART = "/{client_id}/notifications/{notification_id}/subNotifications/{sub_notification_id:path}"


class SubNotificationBody(Lenient):
    """What a sub-notification is called; its ids are in the path, whatever else is here."""

    title: str | None = None


class SubNotificationAnswer(BaseModel):
    """A sub-notification as stored."""

    accountId: str
    notificationId: str
    subNotificationId: str
    title: str


def create_router(services: Services) -> APIRouter:
    """Makes the routes."""
    router = APIRouter()

    @router.put(
        _PART,
        responses=responses(404, body=True, answer=SubNotificationAnswer),
        openapi_extra=json_body(SubNotificationBody, is_required=False),
    )
    async def put_sub_notification(
        caller: CallerOf, notification_id: str, sub_notification_id: str, request: Request
    ) -> dict[str, Any]:
        """Creates a part of a notification, or gives it another title."""
        body = checked(SubNotificationBody, await read_json(request) or {})
        put = sub_notifications_pb2.PutSubNotificationRequest(
            notification_id=notification_id, sub_notification_id=sub_notification_id, title=body.title or ""
        )
        with in_their_words(camel):
            answer = await services.sub_notifications.PutSubNotification(
                put, metadata=caller.metadata, timeout=DEADLINE_S
            )
        return {
            "accountId": caller.client_id,
            "notificationId": answer.sub_notification.notification_id,
            "subNotificationId": answer.sub_notification.id,
            "title": answer.sub_notification.title,
        }

    @router.delete(_PART, status_code=HTTPStatus.NO_CONTENT, responses=responses(404))
    async def delete_sub_notification(caller: CallerOf, notification_id: str, sub_notification_id: str) -> Response:
        """Deletes a part of a notification; items and choices stay."""
        deletion = sub_notifications_pb2.DeleteSubNotificationRequest(
            notification_id=notification_id, sub_notification_id=sub_notification_id
        )
        with in_their_words(camel):
            await services.sub_notifications.DeleteSubNotification(
                deletion, metadata=caller.metadata, timeout=DEADLINE_S
            )
        return Response(status_code=HTTPStatus.NO_CONTENT)

    @router.post(
        "/{client_id}/user_preferences/{user_id:path}",
        responses=responses(body=True),
        openapi_extra=json_body(EitherForm, example=CHOICES),
    )
    async def set_preferences(caller: UserCallerOf, request: Request) -> dict[str, Any]:
        """Replaces all choices of a user; an empty list leaves none."""
        body = await read_json(request)
        choices = read_choices(body)
        with in_their_words(choice_name):
            user_id = await user_id_of(services, caller)
            if isinstance(body, dict) and body.get("userId") not in (None, "", user_id):
                raise InvalidArgument([FieldViolation("userId", "must be the user of the path, or left out")])
            change = preferences_pb2.SetPreferencesRequest(user_id=user_id, preferences=choices)
            answer = await services.preferences.SetPreferences(change, metadata=caller.metadata, timeout=DEADLINE_S)
        return choices_to_json(caller.client_id, user_id, answer.preferences)

    @router.get("/{client_id}/auth/validateAuthenticate", responses=responses())
    async def validate_authenticate(caller: CallerOf) -> dict[str, Any]:
        """Says that these are the credentials of an account."""
        # The cheapest that only a backend may call.
        asked = notifications_pb2.ListNotificationsRequest(page_size=1)
        with in_their_words():
            await services.notifications.ListNotifications(asked, metadata=caller.metadata, timeout=DEADLINE_S)
        return {"message": "The credentials are valid.", "clientId": caller.client_id}

    @router.get("/health")
    async def get_health() -> dict[str, str]:
        """Says that this process answers."""
        return {"message": "Health checks passed."}

    return router
