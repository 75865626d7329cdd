"""Sends that wait for their time: changed and cancelled until it comes."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from google.protobuf.field_mask_pb2 import FieldMask

from carillon.v1 import sender_pb2
from gateway.http.notificationapi.bodies import checked, json_body, read_json
from gateway.http.notificationapi.callers import CallerOf  # noqa: TC001 # FastAPI reads it at run time
from gateway.http.notificationapi.documented import responses
from gateway.http.notificationapi.refusals import in_their_words
from gateway.http.notificationapi.send_answers import warnings_of
from gateway.http.notificationapi.send_bodies import SendBody
from gateway.http.notificationapi.send_to_proto import read_change
from gateway.http.notificationapi.sending import check_size
from gateway.http.notificationapi.spelling import camel
from gateway.services_client import DEADLINE_S

if TYPE_CHECKING:
    from gateway.http.notificationapi.services import Services

_SCHEDULE = "/{client_id}/schedule/{tracking_id}"
_UNKNOWN = (
    HTTPStatus.NOT_FOUND.value,
    "SCHEDULE_RESOURCE_NOT_FOUND",
    "Use the trackingId that the send answered.",
)
_CHANGES = {
    "MESSAGE_NOT_FOUND": _UNKNOWN,
    "MESSAGE_DELETED": _UNKNOWN,
    "ALREADY_FIRED": (
        HTTPStatus.CONFLICT.value,
        "ALREADY_FIRED",
        "It is too late. What is in the inbox can be taken back: POST sender/retract.",
    ),
    "NOT_SCHEDULED": (
        HTTPStatus.CONFLICT.value,
        "NOT_SCHEDULED",
        "Only a send that waits for its time can be changed: send it anew.",
    ),
}
_WRAPPERS = ("sendRequest", "send_request")


def create_router(services: Services) -> APIRouter:
    """Makes the routes."""
    router = APIRouter()

    @router.patch(_SCHEDULE, responses=responses(404, 409, body=True), openapi_extra=json_body(SendBody))
    @router.put(_SCHEDULE, responses=responses(404, 409, body=True), openapi_extra=json_body(SendBody))
    async def update_schedule(caller: CallerOf, tracking_id: str, request: Request) -> dict[str, Any]:
        """Changes the fields that are given of a send that waits for its time."""
        read, paths = read_change(checked(SendBody, _unwrapped(await read_json(request))))
        check_size(read.request)
        change = sender_pb2.UpdateScheduleRequest(
            tracking_id=tracking_id, request=read.request, update_mask=FieldMask(paths=paths)
        )
        with in_their_words(lambda path: camel(path) if path == "tracking_id" else read.spelling.name(path), _CHANGES):
            response = await services.sender.UpdateSchedule(change, metadata=caller.metadata, timeout=DEADLINE_S)
        time = response.schedule_time.ToJsonString() if response.HasField("schedule_time") else None
        message = f"The notification is scheduled for {time}." if time else "The notification is sent now."
        return {"message": message, "trackingId": tracking_id, "messages": warnings_of(response, read)}

    @router.delete(_SCHEDULE, responses=responses(404, 409))
    async def delete_schedule(caller: CallerOf, tracking_id: str) -> dict[str, Any]:
        """Cancels a send that waits for its time; twice is as good as once."""
        cancellation = sender_pb2.CancelScheduleRequest(tracking_id=tracking_id)
        with in_their_words(camel, _CHANGES):
            await services.sender.CancelSchedule(cancellation, metadata=caller.metadata, timeout=DEADLINE_S)
        return {"message": "The notification is cancelled.", "trackingId": tracking_id}

    return router


def _unwrapped(body: Any) -> Any:
    """Gives the send out of what PHP puts around it."""
    if isinstance(body, dict):
        for name in _WRAPPERS:
            if isinstance(body.get(name), dict):
                return body[name]
    return body
