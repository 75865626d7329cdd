"""The fields of a client's frame, read one by one; what is wrong with one is a FrameError that names it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from services.kernel import validation
from services.kernel.errors import InvalidArgument
from services.kernel.tokens import MAX_TOKEN_BYTES, TokenCredentials, TokenMalformedError, read_token

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

Body = Mapping[str, Any]


class FrameError(Exception):
    """What is wrong with a frame; all of it is sent to the client.

    Args:
        code: What it is, for a program: UPPER_SNAKE, never changes its meaning.
        message: The same for a person.
        field: The field that is wrong, or nothing where it is the frame.
        ref: The ref of the frame, where it had one.
    """

    def __init__(self, code: str, message: str, *, field: str = "", ref: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.field = field
        self.ref = ref

    def body(self) -> dict[str, Any]:
        """Gives the error frame."""
        optional = {"field": self.field, "ref": self.ref}
        return {"type": "error", "code": self.code, "message": self.message} | {k: v for k, v in optional.items() if v}


def text(body: Body, name: str, *, max_bytes: int, required: bool = False, path: str = "") -> str:
    """Reads a text; absent is empty."""
    path = path or name
    value = body.get(name)
    if value is None and not required:
        return ""
    if not isinstance(value, str):
        raise invalid(path, "must be a string")

    def check(value: str, violations: validation.Violations) -> str:
        return validation.text(value, violations, field=path, max_bytes=max_bytes, required=required)

    return checked(path, check, value)


def checked(name: str, check: Callable[[str, validation.Violations], str], value: str) -> str:
    """Gives the value, if one of the shared checks finds nothing wrong with it."""
    violations = validation.Violations()
    check(value, violations)
    try:
        violations.raise_if_any()
    except InvalidArgument as error:
        raise FrameError("INVALID_FIELD", error.message, field=name) from None
    return value


def count(body: Body, name: str, *, default: int, most: int) -> int:
    """Reads a whole number from 1 on."""
    value = body.get(name, default)
    # JSON's true is an int to Python.
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        raise invalid(name, f"must be a whole number from 1 to {most}")
    return value


def texts(body: Body, name: str, *, most: int, max_bytes: int, path: str = "") -> tuple[str, ...]:
    """Reads a list of texts; absent is empty."""
    path = path or name
    values = body.get(name)
    if values is None:
        return ()
    if not isinstance(values, list) or len(values) > most:
        raise invalid(path, f"must be a list of at most {most}")
    return tuple(
        text({"": value}, "", max_bytes=max_bytes, required=True, path=f"{path}[{index}]")
        for index, value in enumerate(values)
    )


def names(body: Body, name: str, known: Collection[str]) -> tuple[str, ...]:
    """Reads a list of names out of those that are known; absent is empty."""
    given = texts(body, name, most=len(known), max_bytes=128)
    for index, value in enumerate(given):
        if value not in known:
            raise invalid(f"{name}[{index}]", f"must be one of {', '.join(known)}")
    return given


def choice(body: Body, name: str, known: Collection[str], *, required: bool = False, path: str = "") -> str:
    """Reads one of the names that are known; absent is empty."""
    value = text(body, name, max_bytes=128, required=required, path=path)
    if value and value not in known:
        raise invalid(path or name, f"must be one of {', '.join(known)}")
    return value


def time(body: Body, name: str, *, path: str = "") -> datetime | None:
    """Reads a time, as items have it."""
    path = path or name
    value = text(body, name, max_bytes=64, path=path)
    if not value:
        return None
    try:
        parsed = datetime.fromisoformat(value)
        if parsed.tzinfo:
            return parsed.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise invalid(path, "must be a time with its zone, for instance 2026-01-02T03:04:05.678Z")


def flag(body: Body, name: str, *, path: str = "") -> bool | None:
    """Reads true or false; absent is None."""
    value = body.get(name)
    if value is not None and not isinstance(value, bool):
        raise invalid(path or name, "must be true or false")
    return value


def inner(body: Body, name: str, *, path: str = "") -> Body | None:
    """Reads an object; absent is None."""
    value = body.get(name)
    if value is not None and not isinstance(value, dict):
        raise invalid(path or name, "must be an object")
    return value


def token(body: Body) -> TokenCredentials:
    """Reads a user token, and believes what it says; the services do not."""
    value = text(body, "token", max_bytes=MAX_TOKEN_BYTES, required=True)
    try:
        return read_token(value)
    except TokenMalformedError as error:
        raise FrameError("INVALID_FIELD", str(error), field="token") from None


def inners(body: Body, name: str, *, most: int) -> list[Body]:
    """Reads a list of objects; absent is empty."""
    values = body.get(name)
    if values is None:
        return []
    if not isinstance(values, list) or len(values) > most:
        raise invalid(name, f"must be a list of at most {most}")
    for index, value in enumerate(values):
        if not isinstance(value, dict):
            raise invalid(f"{name}[{index}]", "must be an object")
    return values


def invalid(field: str, problem: str) -> FrameError:
    """Makes the error of one field."""
    return FrameError("INVALID_FIELD", f"{field} {problem}", field=field)
