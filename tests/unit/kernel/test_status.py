from collections.abc import Iterator
from datetime import timedelta
from typing import TypeVar

import grpc
import pytest
from google.protobuf.message import Message
from google.rpc import error_details_pb2 as details
from google.rpc import status_pb2

from services.kernel import errors
from services.kernel.errors import DomainError, FieldViolation
from services.kernel.status import CODES, internal_status, to_code, to_status

M = TypeVar("M", bound=Message)

SAMPLES: list[tuple[DomainError, grpc.StatusCode, set[type[Message]]]] = [
    (
        errors.InvalidArgument([FieldViolation("user.id", "must not be empty", "REQUIRED")]),
        grpc.StatusCode.INVALID_ARGUMENT,
        {details.BadRequest},
    ),
    (errors.Unauthenticated("m", reason="R"), grpc.StatusCode.UNAUTHENTICATED, set()),
    (errors.PermissionDenied("m", reason="R"), grpc.StatusCode.PERMISSION_DENIED, set()),
    (errors.NotFound("notification", "x", reason="R"), grpc.StatusCode.NOT_FOUND, {details.ResourceInfo}),
    (errors.AlreadyExists("m", reason="R"), grpc.StatusCode.ALREADY_EXISTS, {details.ResourceInfo}),
    (errors.FailedPrecondition("m", reason="R"), grpc.StatusCode.FAILED_PRECONDITION, {details.PreconditionFailure}),
    (errors.Conflict("m", reason="R"), grpc.StatusCode.ABORTED, set()),
    (
        errors.LimitExceeded("m", reason="R", retry_after=timedelta(seconds=2)),
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        {details.QuotaFailure, details.RetryInfo},
    ),
    (errors.Unavailable(), grpc.StatusCode.UNAVAILABLE, {details.RetryInfo}),
]


def all_kinds(kind: type[DomainError] = DomainError) -> Iterator[type[DomainError]]:
    """Gives every subclass, direct or not."""
    for one in kind.__subclasses__():
        yield one
        yield from all_kinds(one)


def unpack(status: status_pb2.Status, kind: type[M]) -> M:
    """Gives the detail of that kind."""
    detail = kind()
    assert any(one.Unpack(detail) for one in status.details)
    return detail


@pytest.mark.parametrize("kind", list(all_kinds()))
def test_every_kind_has_a_row(kind: type[DomainError]) -> None:
    """Each domain error, however far down, has a code; a direct subclass needs a row and a sample of its own."""
    assert any(ancestor in CODES for ancestor in kind.__mro__)
    if DomainError in kind.__bases__:
        assert kind in CODES
        assert kind in {type(sample) for sample, _, _ in SAMPLES}


@pytest.mark.parametrize(("error", "code", "kinds"), SAMPLES)
def test_the_table(error: DomainError, code: grpc.StatusCode, kinds: set[type[Message]]) -> None:
    """Each kind has its code and its details, ErrorInfo among them, each once."""
    status = to_status(error, call_id="c1")
    info = unpack(status, details.ErrorInfo)

    assert status.code == code.value[0]
    assert status.message == error.message
    assert (info.reason, info.domain, info.metadata["call_id"]) == (error.reason, "carillon", "c1")
    assert sorted(one.TypeName() for one in status.details) == sorted(
        kind.DESCRIPTOR.full_name for kind in kinds | {details.ErrorInfo}
    )


def test_a_subclass_has_the_code_of_its_kind() -> None:
    """A service's own error needs no row."""

    class UserNotFound(errors.NotFound):
        pass

    assert to_code(UserNotFound("user", "u1", reason="USER_NOT_FOUND")) is grpc.StatusCode.NOT_FOUND


def test_field_violations_are_told() -> None:
    """A violation goes out with field, description and reason."""
    error = errors.InvalidArgument([FieldViolation("force_channels[1]", "must be a channel", "UNKNOWN_VALUE")])
    violation = unpack(to_status(error, call_id="c1"), details.BadRequest).field_violations[0]

    assert violation.field == "force_channels[1]"
    assert violation.description == "must be a channel"
    assert violation.reason == "UNKNOWN_VALUE"


def test_what_was_not_found_is_told() -> None:
    """NotFound names type and name in message, ResourceInfo and metadata."""
    status = to_status(errors.NotFound("notification", "x", reason="NOTIFICATION_NOT_FOUND"), call_id="c1")
    info = unpack(status, details.ResourceInfo)

    assert status.message == "notification 'x' does not exist"
    assert (info.resource_type, info.resource_name) == ("notification", "x")
    assert unpack(status, details.ErrorInfo).metadata["resource_name"] == "x"


def test_the_delay_is_told() -> None:
    """RetryInfo has the error's own delay."""
    error = errors.Unavailable(retry_after=timedelta(milliseconds=1500))

    delay = unpack(to_status(error, call_id="c1"), details.RetryInfo).retry_delay
    assert delay.ToTimedelta() == timedelta(milliseconds=1500)


def test_a_status_fits_into_the_trailers() -> None:
    """However much is wrong, the status stays within the 8 KiB of metadata that clients take, and says so."""
    error = errors.InvalidArgument([FieldViolation("é" * 500, "\ud800 é" * 500, "TOO_LONG") for _ in range(1000)])
    status = to_status(error, call_id="c1")
    violations = unpack(status, details.BadRequest).field_violations

    assert status.ByteSize() * 4 / 3 + len(status.message.encode()) * 3 < 8000
    assert violations[-1].description == f"{1001 - len(violations)} more violations are left out"


def test_a_defect_says_nothing() -> None:
    """The status of a defect is a fixed text and the call's id."""
    status = internal_status("c1")

    assert status.message == "internal error"
    assert unpack(status, details.ErrorInfo).metadata == {"call_id": "c1"}
