"""Sends and retractions."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any

import grpc
from fastapi import APIRouter, Header, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from carillon.v1 import notifications_pb2, sender_pb2
from gateway.http.errors import Refusal, rpc_refusal
from gateway.http.notificationapi.bodies import Lenient, checked, json_body, read_json
from gateway.http.notificationapi.callers import CallerOf  # noqa: TC001 # FastAPI reads it at run time
from gateway.http.notificationapi.documented import responses
from gateway.http.notificationapi.refusals import in_their_words
from gateway.http.notificationapi.send_answers import answer
from gateway.http.notificationapi.send_bodies import SendBody
from gateway.http.notificationapi.send_to_proto import CHANNELS, read_send
from gateway.http.notificationapi.spelling import camel
from gateway.services_client import DEADLINE_S

if TYPE_CHECKING:
    from gateway.http.notificationapi.callers import Caller
    from gateway.http.notificationapi.send_to_proto import ReadSend
    from gateway.http.notificationapi.services import Services

MAX_ATTACHED_BYTES = 4 * 1024 * 1024
_LESS = "Nothing is delivered, or less than was asked for; the messages say what and why."
_NO_ETAG = "none"
_CHANGES = {
    "NOTIFICATION_NOT_FOUND": (
        HTTPStatus.NOT_FOUND.value,
        "NOTIFICATION_NOT_FOUND",
        "Check the id, or define it first: carillon apply FILE. One that is sent with its content (email, inapp, sms, "
        "call, mobile_push, web_push) needs no definition.",
    )
}


_SEND = {
    "type": "order_tracking",
    "to": {"id": "userId_123abc", "email": "spongebob@squarepants.com"},
    "parameters": {"item": "Krabby Patty Burger", "address": "124 Conch Street", "orderId": "1234567890"},
}
_RETRACTION = {"notificationId": "order_tracking", "userId": "userId_123abc"}


class RetractBody(Lenient):
    """Whose items of which notification to take back."""

    notificationId: str = Field(min_length=1)
    userId: str = Field(min_length=1)
    secondaryId: str | None = None
    subNotificationId: str | None = None


class SendAnswer(BaseModel):
    """What became of a send."""

    trackingId: str
    messages: list[str]


class RetractAnswer(BaseModel):
    """How many items were taken back."""

    retractedCount: int


def create_router(services: Services) -> APIRouter:
    """Makes the routes."""
    router = APIRouter()

    @router.post(
        "/{client_id}/sender",
        responses=responses(404, body=True, answer=SendAnswer) | {202: {"model": SendAnswer, "description": _LESS}},
        openapi_extra=json_body(SendBody, example=_SEND),
    )
    async def send(caller: CallerOf, request: Request, idempotency_key: Annotated[str, Header()] = "") -> Response:
        """Sends one notification to one user; 202 where less is delivered than asked for, and messages say why."""
        read = read_send(checked(SendBody, await read_json(request)), request_id=idempotency_key)
        check_size(read.request)
        with in_their_words(read.spelling.name, _CHANGES):
            response = await _send(services, caller, read)
        status, body = answer(response, read)
        return JSONResponse(body, status)

    @router.post(
        "/{client_id}/sender/retract",
        responses=responses(body=True, answer=RetractAnswer),
        openapi_extra=json_body(RetractBody, example=_RETRACTION),
    )
    async def retract(caller: CallerOf, request: Request) -> dict[str, Any]:
        """Takes items of one user back, live."""
        body = checked(RetractBody, await read_json(request))
        retraction = sender_pb2.RetractRequest(
            user_id=body.userId,
            notification_id=body.notificationId,
            secondary_id=body.secondaryId or "",
            sub_notification_id=body.subNotificationId or "",
        )
        with in_their_words(camel):
            taken = await services.sender.Retract(retraction, metadata=caller.metadata, timeout=DEADLINE_S)
        return {"retractedCount": taken.retracted_count}

    return router


def check_size(request: sender_pb2.SendRequest) -> None:
    """Refuses attachments as the services do, but with the status that says so.

    Raises:
        Refusal: If those by content are too large together.
    """
    attached = sum(len(one.content) for one in request.options.email.attachments)
    if attached > MAX_ATTACHED_BYTES:
        raise Refusal(
            413,
            "ATTACHMENTS_TOO_LARGE",
            f"attachments by content may have {MAX_ATTACHED_BYTES} bytes together, but have {attached}",
            fix="Give large files by their url: up to 10 MB in all.",
        )


async def _send(services: Services, caller: Caller, read: ReadSend) -> sender_pb2.SendResponse:
    """Sends; a notification that is unknown is defined first, where the send brings its content along."""
    try:
        return await services.sender.Send(read.request, metadata=caller.metadata, timeout=DEADLINE_S)
    except grpc.aio.AioRpcError as error:
        is_unknown = rpc_refusal(error).code == "NOTIFICATION_NOT_FOUND"
        if not is_unknown or not read.request.content.ListFields():
            raise
    await _define(services, caller, read.request.notification_id)
    return await services.sender.Send(read.request, metadata=caller.metadata, timeout=DEADLINE_S)


async def _define(services: Services, caller: Caller, notification_id: str) -> None:
    """Defines a notification for all channels, without templates; what somebody else defined meanwhile stays."""
    definition = notifications_pb2.Notification(
        id=notification_id,
        title=notification_id,
        channels=[
            notifications_pb2.ChannelSettings(channel=number)  # type: ignore[arg-type] # a number of Channel
            for number in CHANNELS.values()
        ],
    )
    put = notifications_pb2.PutNotificationRequest(notification=definition, etag=_NO_ETAG)
    try:
        await services.notifications.PutNotification(put, metadata=caller.metadata, timeout=DEADLINE_S)
    except grpc.aio.AioRpcError as error:
        if rpc_refusal(error).code != "ETAG_MISMATCH":
            raise
