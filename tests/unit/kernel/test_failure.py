from __future__ import annotations

from datetime import timedelta

import pytest

from services.kernel import errors
from services.kernel.status import to_failure


def test_a_failure_says_what_a_failed_call_would() -> None:
    """Code, reason, message and every violation stand in the failure of one item."""
    violations = [errors.FieldViolation("user.id", "must not be empty", "REQUIRED")]

    failure = to_failure(errors.InvalidArgument(violations))

    assert (failure.code, failure.reason, failure.message) == (3, "INVALID_REQUEST", "user.id: must not be empty")
    assert [(one.field, one.description, one.reason) for one in failure.field_violations] == [
        ("user.id", "must not be empty", "REQUIRED")
    ]
    assert not failure.HasField("retry_delay")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.NotFound("user", "u", reason="USER_NOT_FOUND"), 5),
        (errors.Conflict("changed", reason="ETAG_MISMATCH"), 10),
        (errors.Unavailable(), 14),
    ],
)
def test_a_failure_has_the_code_of_the_kind(error: errors.DomainError, code: int) -> None:
    """The code is that of the status, and waiting is advised only where repeating helps."""
    failure = to_failure(error)

    assert (failure.code, failure.reason) == (code, error.reason)
    assert failure.HasField("retry_delay") == isinstance(error, errors.Unavailable)


def test_a_failure_is_bounded() -> None:
    """A thousand violations of long texts make no failure of a megabyte, and the rest is counted."""
    violations = [errors.FieldViolation("f" * 1000, "d" * 1000) for _ in range(1000)]

    failure = to_failure(errors.InvalidArgument(violations))

    assert failure.ByteSize() < 4096
    assert failure.field_violations[-1].reason == "MORE_VIOLATIONS"


def test_a_delay_is_given_as_it_is() -> None:
    """How long to wait is in the failure."""
    failure = to_failure(errors.LimitExceeded("full", reason="FULL", retry_after=timedelta(milliseconds=1500)))

    assert failure.retry_delay.ToTimedelta() == timedelta(milliseconds=1500)
