"""Where Twilio says what became of a text or call."""

from __future__ import annotations

from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING

import grpc
import structlog
from fastapi import APIRouter, Request, Response
from twilio.request_validator import RequestValidator

from carillon.v1 import delivery_pb2, messages_pb2, messages_pb2_grpc
from gateway.http import errors
from gateway.http.documented import refusals
from gateway.http.forms import read_form
from gateway.services_client import DEADLINE_S, TRANSIENT

if TYPE_CHECKING:
    from starlette.datastructures import ImmutableMultiDict

_RETRY_AFTER_S = 5
_DELIVERED, _FAILED = delivery_pb2.DELIVERY_STATE_DELIVERED, delivery_pb2.DELIVERY_STATE_FAILED
# All others are on the way.
_STATES = {
    "MessageStatus": {"delivered": _DELIVERED, "undelivered": _FAILED, "failed": _FAILED},
    "CallStatus": {
        "completed": _DELIVERED,
        "busy": _FAILED,
        "no-answer": _FAILED,
        "failed": _FAILED,
        "canceled": _FAILED,
    },
}
_IDS = {"MessageStatus": "MessageSid", "CallStatus": "CallSid"}

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class TwilioSignatures:
    """Checks that it is Twilio who calls.

    Args:
        public_url: Where Twilio calls this gateway: the address is a part of what is signed.
        auth_token: The account's, under which Twilio signs.
    """

    public_url: str
    auth_token: str = field(repr=False)

    def match(self, path: str, form: ImmutableMultiDict[str, str], signature: str) -> bool:
        """Tells whether a call to a path is signed."""
        url = f"{self.public_url.rstrip('/')}{path}"
        return bool(self.public_url and RequestValidator(self.auth_token).validate(url, form, signature))


def create_router(channel: grpc.aio.Channel, signatures: TwilioSignatures | None) -> APIRouter:
    """Makes the route; without ``signatures`` the token in the address is all that is asked for."""
    router = APIRouter()
    messages: messages_pb2_grpc.MessagesAsyncStub = messages_pb2_grpc.MessagesStub(channel)

    @router.post(
        "/callbacks/twilio/{token}",
        status_code=HTTPStatus.NO_CONTENT,
        tags=["Callbacks"],
        responses=refusals(400, 403, 404, 408, 413, 421, 500, 503),
    )
    async def post_status(token: str, request: Request) -> Response:
        """Takes the status of a text or call."""
        form = await read_form(request)
        signature = request.headers.get("x-twilio-signature", "")
        if signatures and not signatures.match(f"/callbacks/twilio/{token}", form, signature):
            _log.warning("callback_refused", provider="twilio", problem="it is not signed under our auth token and URL")
            return errors.error_response(
                HTTPStatus.FORBIDDEN,
                "SIGNATURE_INVALID",
                "X-Twilio-Signature does not match",
                fix="Give the gateway Twilio's auth token, and CARILLON_PUBLIC_URL as the worker has it.",
            )

        report = _read(token, form)
        if report is None:
            return Response(status_code=HTTPStatus.NO_CONTENT)
        try:
            await messages.ReportDelivery(report, timeout=DEADLINE_S)
        except grpc.aio.AioRpcError as error:
            return _refused(error)
        return Response(status_code=HTTPStatus.NO_CONTENT)

    return router


def _read(token: str, form: ImmutableMultiDict[str, str]) -> messages_pb2.ReportDeliveryRequest | None:
    """Reads what is reported; None where the message is still on its way."""
    for name, states in _STATES.items():
        status = form.get(name, "")
        if status in states:
            state = states[status]
            return messages_pb2.ReportDeliveryRequest(
                report_token=token,
                provider_id=form.get(_IDS[name], ""),
                state=state,
                detail=_words(status, form) if state == _FAILED else "",
            )
    return None


def _words(status: str, form: ImmutableMultiDict[str, str]) -> str:
    code, message = form.get("ErrorCode", ""), form.get("ErrorMessage", "")
    return status + (f", error {code}" if code else "") + (f": {message}" if message else "")


def _refused(error: grpc.aio.AioRpcError) -> Response:
    if error.code() is grpc.StatusCode.UNAUTHENTICATED:
        return errors.error_response(
            HTTPStatus.NOT_FOUND,
            "REPORT_TOKEN_INVALID",
            "this address is none of ours, or not whole",
            fix="Call back the address as it was given.",
        )
    if error.code() in TRANSIENT:
        row = errors.ROWS[grpc.StatusCode.UNAVAILABLE]
        return errors.error_response(row.http, "UNAVAILABLE", row.message, fix=row.fix, retry_after_s=_RETRY_AFTER_S)
    raise error
