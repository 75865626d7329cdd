"""The frames of `carillon.v1`: what a client sends, as values, and what it gets, as bytes.

Pure. What may come when is left to protocol.py, what an item looks like to items.py.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from services.kernel import validation
from services.kernel.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MAX_FRAME_BYTES = 16 * 1024
MAX_LIMIT = 500
DEFAULT_LIMIT = 50
MAX_CURSOR_BYTES = 512
MAX_REF_BYTES = 64
MAX_HASH_BYTES = 128

# The credentials go on as client_id:user_id:user_hash. Only the middle one may hold a colon; with one in another, the
# services would check somebody else than the gateway subscribes.
_HASH = re.compile(r"[A-Za-z0-9+/_=-]*")


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


@dataclass(frozen=True, slots=True)
class Hello:
    """Opens a session; the credentials are not checked yet."""

    client_id: str
    user_id: str
    user_hash: str = field(repr=False)
    limit: int = DEFAULT_LIMIT
    cursor: str = ""


@dataclass(frozen=True, slots=True)
class Ping:
    """Asks for a pong, for clients that cannot send the ping of WebSocket itself."""

    ref: str = ""


Frame = Hello | Ping


def parse(data: str | bytes) -> Frame:
    """Reads a client's frame; raises FrameError for all that is none, and nothing else.

    Fields that are not known are passed over, so that a newer client can talk to an older gateway.
    """
    body = _parse_object(data)
    ref = ""
    try:
        ref = _text(body, "ref", max_bytes=MAX_REF_BYTES)
        kind = body.get("type")
        reader = _READERS.get(kind) if isinstance(kind, str) else None
        if reader is None:
            raise FrameError("UNKNOWN_TYPE", f"type must be one of {', '.join(_READERS)}", field="type")

        return reader(body)
    except FrameError as error:
        error.ref = ref
        raise


def encode(body: Mapping[str, Any]) -> bytes:
    """Writes a frame."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def _parse_object(data: str | bytes) -> dict[str, Any]:
    if isinstance(data, bytes):
        raise FrameError("NOT_TEXT", "a frame must be text, not binary")
    if len(data.encode("utf-8", "surrogatepass")) > MAX_FRAME_BYTES:
        raise FrameError("TOO_LARGE", f"a frame must have at most {MAX_FRAME_BYTES} bytes")

    try:
        body = json.loads(data)
    except RecursionError:
        raise FrameError("TOO_DEEP", "a frame must not be nested as deep as this one") from None
    except ValueError:
        raise FrameError("NOT_JSON", "a frame must be JSON") from None

    if not isinstance(body, dict):
        raise FrameError("NOT_AN_OBJECT", "a frame must be a JSON object with a type")
    return body


def _hello(body: dict[str, Any]) -> Hello:
    if "token" in body:
        message = "user tokens are not supported yet; send user_hash"
        raise FrameError("TOKEN_NOT_SUPPORTED_YET", message, field="token")

    client_id = _text(body, "client_id", max_bytes=validation.MAX_ID_BYTES, required=True)
    if ":" in client_id:
        raise FrameError("INVALID_FIELD", "client_id must not contain a colon", field="client_id")
    user_id = _checked("user_id", validation.user_id, _text(body, "user_id", required=True))
    user_hash = _text(body, "user_hash", max_bytes=MAX_HASH_BYTES, required=True)
    if not _HASH.fullmatch(user_hash):
        raise FrameError("INVALID_FIELD", "user_hash must be base64", field="user_hash")

    return Hello(
        client_id=client_id,
        user_id=user_id,
        user_hash=user_hash,
        limit=_limit(body),
        cursor=_text(body, "cursor", max_bytes=MAX_CURSOR_BYTES),
    )


def _ping(body: dict[str, Any]) -> Ping:
    return Ping(ref=body.get("ref") or "")


_READERS: dict[str, Callable[[dict[str, Any]], Frame]] = {"hello": _hello, "ping": _ping}


def _limit(body: dict[str, Any]) -> int:
    value = body.get("limit", DEFAULT_LIMIT)
    # JSON's true is an int to Python.
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MAX_LIMIT:
        raise FrameError("INVALID_FIELD", f"limit must be a whole number from 1 to {MAX_LIMIT}", field="limit")
    return value


def _text(body: dict[str, Any], name: str, *, max_bytes: int = MAX_FRAME_BYTES, required: bool = False) -> str:
    value = body.get(name)
    if value is None and not required:
        return ""
    if not isinstance(value, str):
        raise FrameError("INVALID_FIELD", f"{name} must be a string", field=name)

    def check(value: str, violations: validation.Violations) -> str:
        return validation.text(value, violations, field=name, max_bytes=max_bytes, required=required)

    return _checked(name, check, value)


def _checked(name: str, check: Callable[[str, validation.Violations], str], value: str) -> str:
    violations = validation.Violations()
    check(value, violations)
    try:
        violations.raise_if_any()
    except InvalidArgument as error:
        raise FrameError("INVALID_FIELD", error.message, field=name) from None
    return value
