"""The kinds of errors that the domain raises; what a kind means on the wire is decided in status.py alone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One thing that is wrong with one field of a request."""

    field: str
    """The path as in the proto: ``user.id``, ``force_channels[1]``, ``merge_tags.a.b``."""

    description: str
    """What is wrong and what would be right, for a person."""

    reason: str = "INVALID"
    """The same for a program: UPPER_SNAKE, part of the API."""


class DomainError(Exception):
    """A refusal that the caller is meant to see: everything in it goes out, so nothing internal belongs in it.

    Args:
        message: What happened, for a person.
        reason: The same for a program: UPPER_SNAKE, part of the API, never changes its meaning.
        metadata: What varies in the message, for a program.
    """

    def __init__(self, message: str, *, reason: str, metadata: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason
        self.metadata = dict(metadata or {})


class InvalidArgument(DomainError):
    """The request itself is wrong, whatever is stored; carries all that is wrong with it at once."""

    def __init__(self, violations: Sequence[FieldViolation], *, reason: str = "INVALID_REQUEST") -> None:
        message = "; ".join(f"{v.field}: {v.description}" if v.field else v.description for v in violations)
        super().__init__(message, reason=reason)
        self.violations = tuple(violations)


class Unauthenticated(DomainError):
    """The caller is not who they say they are, or does not say it."""


class PermissionDenied(DomainError):
    """The caller is known and may not do this; checked before anything is looked up."""


class FailedPrecondition(DomainError):
    """The request is right, but what is stored is not in a state for it."""


class Conflict(DomainError):
    """Someone else changed the same thing in between: read again, then repeat."""


class AlreadyExists(DomainError):
    """What should be created is there; ``resource_type`` and ``resource_name`` belong in the metadata."""


class NotFound(DomainError):
    """What the request names does not exist for this caller."""

    def __init__(self, resource_type: str, resource_name: str, *, reason: str) -> None:
        super().__init__(
            f"{resource_type} '{resource_name}' does not exist",
            reason=reason,
            metadata={"resource_type": resource_type, "resource_name": resource_name},
        )


class LimitExceeded(DomainError):
    """A limit is reached for now; the same request may pass after ``retry_after``."""

    def __init__(
        self, message: str, *, reason: str, retry_after: timedelta, metadata: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message, reason=reason, metadata=metadata)
        self.retry_after = retry_after


class Unavailable(DomainError):
    """Something that we depend on does not answer; nobody knows whether a write happened, so repeat it."""

    def __init__(
        self,
        message: str = "the storage does not answer; repeat the call, with the same request_id where it has one",
        *,
        reason: str = "STORAGE_UNAVAILABLE",
        retry_after: timedelta = timedelta(seconds=1),
    ) -> None:
        super().__init__(message, reason=reason)
        self.retry_after = retry_after
