"""What goes wrong, as HTTP: one table from gRPC's codes to statuses, and one JSON shape for every answer.

``{"error": {"code", "message", "fix", "fields"?: [{"field", "description"}]}}``: a code for programs, what happened,
what to do about it, and the fields that are wrong, if any are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

import grpc
from fastapi.responses import JSONResponse
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from services.kernel import errors, status

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from google.protobuf.message import Message
    from google.rpc.status_pb2 import Status


@dataclass(frozen=True, slots=True)
class _Row:
    http: HTTPStatus
    message: str
    """Used where the services said nothing themselves: grpc's own words are for its developers."""
    fix: str


_READ_FIX = "Read the message; nothing was done."
_INTERNAL = _Row(HTTPStatus.INTERNAL_SERVER_ERROR, "internal error", "Look into the log of Carillon.")

ROWS: dict[grpc.StatusCode, _Row] = {
    grpc.StatusCode.INVALID_ARGUMENT: _Row(
        HTTPStatus.BAD_REQUEST, "the request is not valid", "Correct what the message names, then send it again."
    ),
    grpc.StatusCode.FAILED_PRECONDITION: _Row(HTTPStatus.BAD_REQUEST, "this is not possible now", _READ_FIX),
    grpc.StatusCode.OUT_OF_RANGE: _Row(HTTPStatus.BAD_REQUEST, "this is out of range", _READ_FIX),
    grpc.StatusCode.UNAUTHENTICATED: _Row(
        HTTPStatus.UNAUTHORIZED, "the credentials are not valid", "Check the client id, and its secret or user hash."
    ),
    grpc.StatusCode.PERMISSION_DENIED: _Row(
        HTTPStatus.FORBIDDEN, "this is not allowed", "Use credentials that may do this."
    ),
    grpc.StatusCode.NOT_FOUND: _Row(
        HTTPStatus.NOT_FOUND, "this does not exist", "Check the id, or define it first: carillon apply FILE."
    ),
    grpc.StatusCode.ALREADY_EXISTS: _Row(HTTPStatus.CONFLICT, "this exists already", _READ_FIX),
    grpc.StatusCode.ABORTED: _Row(
        HTTPStatus.CONFLICT, "someone else changed this in between", "Read it again, then repeat."
    ),
    grpc.StatusCode.RESOURCE_EXHAUSTED: _Row(
        HTTPStatus.TOO_MANY_REQUESTS, "a limit is reached", "Wait as long as Retry-After says, or send less."
    ),
    grpc.StatusCode.UNIMPLEMENTED: _Row(
        HTTPStatus.NOT_IMPLEMENTED, "this is not built yet", "Wait for a version that has it."
    ),
    grpc.StatusCode.UNAVAILABLE: _Row(
        HTTPStatus.SERVICE_UNAVAILABLE, "the services cannot be reached", "Try again; check that they are running."
    ),
    grpc.StatusCode.DEADLINE_EXCEEDED: _Row(
        HTTPStatus.GATEWAY_TIMEOUT, "the services did not answer in time", "Try again; it may have been done."
    ),
}


def error_response(
    http: int,
    code: str,
    message: str,
    *,
    fix: str,
    fields: Sequence[tuple[str, str]] = (),
    retry_after_s: int = 0,
) -> JSONResponse:
    """Makes an answer of the one shape."""
    error: dict[str, object] = {"code": code, "message": message, "fix": fix}
    if fields:
        error["fields"] = [{"field": field, "description": description} for field, description in fields]
    headers = {"Retry-After": str(retry_after_s)} if retry_after_s else None
    return JSONResponse({"error": error}, status_code=http, headers=headers)


class Refusal(Exception):
    """A refusal as it is answered: what a route raises that knows better what to do about it than the table does."""

    def __init__(
        self,
        http: int,
        code: str,
        message: str,
        *,
        fix: str,
        fields: Sequence[tuple[str, str]] = (),
        retry_after_s: int = 0,
    ) -> None:
        super().__init__(message)
        self.http = http
        self.code = code
        self.message = message
        self.fix = fix
        self.fields = tuple(fields)
        self.retry_after_s = retry_after_s

    def response(self) -> JSONResponse:
        """Makes the answer."""
        return error_response(
            self.http,
            self.code,
            self.message,
            fix=self.fix,
            fields=self.fields,
            retry_after_s=self.retry_after_s,
        )


def internal_error() -> JSONResponse:
    """Makes the answer for a defect of ours: it tells nothing of what happened."""
    return error_response(_INTERNAL.http, "INTERNAL", _INTERNAL.message, fix=_INTERNAL.fix)


def domain_error(error: errors.DomainError) -> JSONResponse:
    """Makes the answer for a refusal of our own."""
    row = ROWS[status.to_code(error)]
    fields: Sequence[tuple[str, str]] = ()
    if isinstance(error, errors.InvalidArgument):
        fields = [(violation.field, violation.description) for violation in error.violations]
    return error_response(row.http, error.reason, error.message, fix=row.fix, fields=fields)


def rpc_error(error: grpc.aio.AioRpcError) -> JSONResponse:
    """Makes the answer for a call that the services refused, or that did not reach them."""
    return rpc_refusal(error).response()


def rpc_refusal(error: grpc.aio.AioRpcError) -> Refusal:
    """Reads why a call was refused, or that it did not reach the services."""
    row = ROWS.get(error.code(), _INTERNAL)
    if row is _INTERNAL:
        return Refusal(_INTERNAL.http, "INTERNAL", _INTERNAL.message, fix=_INTERNAL.fix)

    rich: Status | None = rpc_status.from_call(error)
    if rich is None:
        return Refusal(row.http, error.code().name, row.message, fix=row.fix)

    reason, fields, retry_after_s = error.code().name, [], 0
    for detail in _details(rich):
        match detail:
            case error_details_pb2.ErrorInfo():
                reason = detail.reason
            case error_details_pb2.BadRequest():
                fields = [(violation.field, violation.description) for violation in detail.field_violations]
            case error_details_pb2.RetryInfo():
                retry_after_s = math.ceil(detail.retry_delay.ToTimedelta().total_seconds())
    return Refusal(row.http, reason, rich.message, fix=row.fix, fields=fields, retry_after_s=retry_after_s)


def _details(rich: Status) -> Iterator[Message]:
    for packed in rich.details:
        for kind in (error_details_pb2.ErrorInfo, error_details_pb2.BadRequest, error_details_pb2.RetryInfo):
            detail = kind()
            if packed.Unpack(detail):
                yield detail
