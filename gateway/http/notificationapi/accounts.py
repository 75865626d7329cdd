"""What servers call, with the client's secret: sends, schedules, sub-notifications, preferences, the log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request

from carillon.v1 import sender_pb2
from gateway.http.notificationapi.bodies import Lenient, checked, json_body, read_json
from gateway.http.notificationapi.callers import CallerOf  # noqa: TC001 # FastAPI reads it at run time
from gateway.services_client import DEADLINE_S

if TYPE_CHECKING:
    from gateway.http.notificationapi.services import Services


class RetractBody(Lenient):
    """Whose items of which notification to take back."""

    notificationId: str
    userId: str
    secondaryId: str | None = None
    subNotificationId: str | None = None


def create_router(services: Services) -> APIRouter:
    """Makes the routes."""
    router = APIRouter()

    @router.post("/{client_id}/sender/retract", openapi_extra=json_body(RetractBody))
    async def retract(caller: CallerOf, request: Request) -> dict[str, Any]:
        """Takes items of one user back, live."""
        body = checked(RetractBody, await read_json(request))
        retraction = sender_pb2.RetractRequest(
            user_id=body.userId,
            notification_id=body.notificationId,
            secondary_id=body.secondaryId or "",
            sub_notification_id=body.subNotificationId or "",
        )
        answer = await services.sender.Retract(retraction, metadata=caller.metadata, timeout=DEADLINE_S)
        return {"retractedCount": answer.retracted_count}

    return router
