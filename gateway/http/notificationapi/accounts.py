"""What else servers call with the client's secret: sub-notifications, a user's preferences, is it all right."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request, Response

from carillon.v1 import notifications_pb2, preferences_pb2, sub_notifications_pb2
from gateway.http.notificationapi.bodies import Lenient, checked, json_body, read_json
from gateway.http.notificationapi.callers import CallerOf  # noqa: TC001 # FastAPI reads it at run time
from gateway.http.notificationapi.choices import ChoiceBody, read_choices, stored_choices_to_json, user_mismatch
from gateway.http.notificationapi.people import user_id_of
from gateway.http.notificationapi.refusals import in_their_words
from gateway.http.notificationapi.spelling import camel
from gateway.services_client import DEADLINE_S

if TYPE_CHECKING:
    from gateway.http.notificationapi.services import Services

_PART = "/{client_id}/notifications/{notification_id}/subNotifications/{sub_notification_id:path}"


class SubNotificationBody(Lenient):
    """What a sub-notification is called; its ids are in the path, whatever else is here."""

    title: str | None = None


def create_router(services: Services) -> APIRouter:
    """Makes the routes."""
    router = APIRouter()

    @router.put(_PART, openapi_extra=json_body(SubNotificationBody))
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

    @router.delete(_PART, status_code=HTTPStatus.NO_CONTENT)
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

    @router.post("/{client_id}/user_preferences/{user_id:path}", openapi_extra=json_body(ChoiceBody, is_list=True))
    async def set_preferences(caller: CallerOf, request: Request) -> dict[str, Any]:
        """Replaces all choices of a user."""
        choices = read_choices(await read_json(request))
        with in_their_words(choices.name):
            user_id = await user_id_of(services, caller)
            if choices.user_id and choices.user_id != user_id:
                raise user_mismatch(user_id)
            change = preferences_pb2.SetPreferencesRequest(user_id=user_id, preferences=choices.preferences)
            answer = await services.preferences.SetPreferences(change, metadata=caller.metadata, timeout=DEADLINE_S)
        return stored_choices_to_json(caller.client_id, user_id, answer.preferences)

    @router.get("/{client_id}/auth/validateAuthenticate")
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
