"""What a domain error is on the wire: the one table from kinds to codes, and the details of google.rpc."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2

from carillon.v1 import failure_pb2
from services.kernel import errors

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from google.protobuf.message import Message

DOMAIN = "carillon"

CODES: dict[type[errors.DomainError], grpc.StatusCode] = {
    errors.InvalidArgument: grpc.StatusCode.INVALID_ARGUMENT,
    errors.Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    errors.PermissionDenied: grpc.StatusCode.PERMISSION_DENIED,
    errors.NotFound: grpc.StatusCode.NOT_FOUND,
    errors.AlreadyExists: grpc.StatusCode.ALREADY_EXISTS,
    errors.FailedPrecondition: grpc.StatusCode.FAILED_PRECONDITION,
    errors.Conflict: grpc.StatusCode.ABORTED,
    errors.LimitExceeded: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.Unavailable: grpc.StatusCode.UNAVAILABLE,
}

# A status travels in trailers, of which clients take 8 KiB by default: the message twice, once percent-encoded.
_MAX_MESSAGE_BYTES = 768
_MAX_TEXT_BYTES = 256
_MAX_VIOLATIONS_BYTES = 2048


def to_code(error: errors.DomainError) -> grpc.StatusCode:
    """Gives the code of the nearest kind that the error is of."""
    rows = (CODES[kind] for kind in type(error).__mro__ if kind in CODES)
    return next(rows, grpc.StatusCode.INTERNAL)


def to_status(error: errors.DomainError, *, call_id: str) -> status_pb2.Status:
    """Makes the status that a caller gets for a domain error."""
    return _status(
        to_code(error),
        error.message,
        _error_info(error.reason, error.metadata | {"call_id": call_id}),
        *_details(error),
    )


def to_failure(error: errors.DomainError) -> failure_pb2.Failure:
    """Makes what a caller gets for one item of a batch that fails alone: the same, in the contract's own terms."""
    failure = failure_pb2.Failure(
        code=to_code(error).value[0], reason=error.reason, message=_shorten(error.message, _MAX_MESSAGE_BYTES)
    )
    if isinstance(error, errors.InvalidArgument):
        failure.field_violations.extend(
            failure_pb2.FieldViolation(field=one.field, description=one.description, reason=one.reason)
            for one in _field_violations(error.violations)
        )
    if isinstance(error, errors.LimitExceeded | errors.Unavailable):
        failure.retry_delay.FromTimedelta(error.retry_after)
    return failure


def internal_status(call_id: str) -> status_pb2.Status:
    """Makes the status for a defect of ours: it says nothing but where to find it in the log."""
    return _status(grpc.StatusCode.INTERNAL, "internal error", _error_info("INTERNAL", {"call_id": call_id}))


def unimplemented_status(call_id: str) -> status_pb2.Status:
    """Makes the status for a method that the contract has and we do not have yet."""
    info = _error_info("NOT_IMPLEMENTED_YET", {"call_id": call_id})
    return _status(grpc.StatusCode.UNIMPLEMENTED, "this method is not implemented yet", info)


def _details(error: errors.DomainError) -> Iterator[Message]:
    match error:
        case errors.InvalidArgument():
            yield error_details_pb2.BadRequest(field_violations=_field_violations(error.violations))
        case errors.NotFound() | errors.AlreadyExists():
            yield error_details_pb2.ResourceInfo(
                resource_type=error.metadata.get("resource_type", ""),
                resource_name=_shorten(error.metadata.get("resource_name", "")),
                description=_shorten(error.message),
            )
        case errors.FailedPrecondition():
            violation = error_details_pb2.PreconditionFailure.Violation(
                type=error.reason, description=_shorten(error.message)
            )
            yield error_details_pb2.PreconditionFailure(violations=[violation])
        case errors.LimitExceeded():
            quota = error_details_pb2.QuotaFailure.Violation(subject=error.reason, description=_shorten(error.message))
            yield error_details_pb2.QuotaFailure(violations=[quota])

    if isinstance(error, errors.LimitExceeded | errors.Unavailable):
        delay = duration_pb2.Duration()
        delay.FromTimedelta(error.retry_after)
        yield error_details_pb2.RetryInfo(retry_delay=delay)


def _field_violations(
    violations: tuple[errors.FieldViolation, ...],
) -> Iterable[error_details_pb2.BadRequest.FieldViolation]:
    room = _MAX_VIOLATIONS_BYTES
    for index, violation in enumerate(violations):
        item = error_details_pb2.BadRequest.FieldViolation(
            field=_shorten(violation.field), description=_shorten(violation.description), reason=violation.reason
        )
        room -= item.ByteSize()
        if room < 0:
            left_out = f"{len(violations) - index} more violations are left out"
            yield error_details_pb2.BadRequest.FieldViolation(description=left_out, reason="MORE_VIOLATIONS")
            return

        yield item


def _error_info(reason: str, metadata: dict[str, str]) -> error_details_pb2.ErrorInfo:
    shortened = {key: _shorten(value) for key, value in metadata.items()}
    return error_details_pb2.ErrorInfo(reason=reason, domain=DOMAIN, metadata=shortened)


def _status(code: grpc.StatusCode, message: str, *details: Message) -> status_pb2.Status:
    status = status_pb2.Status(code=code.value[0], message=_shorten(message, _MAX_MESSAGE_BYTES))
    for detail in details:
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    return status


def _shorten(text: str, max_bytes: int = _MAX_TEXT_BYTES) -> str:
    # "replace", as a text that was refused may hold a surrogate, which protobuf refuses too.
    encoded = text.encode("utf-8", "replace")
    if len(encoded) <= max_bytes:
        return encoded.decode()
    return encoded[: max_bytes - 3].decode("utf-8", "ignore") + "..."
