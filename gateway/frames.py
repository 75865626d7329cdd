"""The frames of `carillon.v1`: what a client sends, as values, and what it gets, as bytes.

Pure. What may come when is left to protocol.py, what an item looks like to items.py.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gateway import fields, requests
from gateway.fields import FrameError
from gateway.requests import MAX_REF_BYTES, Request
from services.kernel import validation

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from services.kernel.tokens import TokenCredentials

MAX_FRAME_BYTES = 16 * 1024
MAX_LIMIT = 500
DEFAULT_LIMIT = 50
MAX_CURSOR_BYTES = 512
MAX_HASH_BYTES = 128

# With a hash the credentials go on as client_id:user_id:user_hash. Only the middle one may hold a colon; with one in
# another, the services would check somebody else than the gateway subscribes.
HASH = re.compile(r"[A-Za-z0-9+/_=-]*")


@dataclass(frozen=True, slots=True)
class Hello:
    """Opens a session, by a hash, by a token or by neither; the credentials are not checked yet."""

    client_id: str
    user_id: str
    user_hash: str = field(default="", repr=False)
    """Empty: the user gives no proof, which is for the services to take or not."""

    limit: int = DEFAULT_LIMIT
    cursor: str = ""
    token: TokenCredentials | None = None
    """Stands in for the hash, and says the same client_id and user_id as the hello."""


@dataclass(frozen=True, slots=True)
class Ping:
    """Asks for a pong, for clients that cannot send the ping of WebSocket itself."""

    ref: str = ""


Frame = Hello | Ping | Request


def parse(data: str | bytes) -> Frame:
    """Reads a client's frame; raises FrameError for all that is none, and nothing else.

    Fields that are not known are passed over, so that a newer client can talk to an older gateway.
    """
    body = parse_object(data)
    ref = ""
    try:
        ref = fields.text(body, "ref", max_bytes=MAX_REF_BYTES)
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


def parse_object(data: str | bytes) -> dict[str, Any]:
    """Reads a frame as a JSON object; raises FrameError for all that is none."""
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
    limit = fields.count(body, "limit", default=DEFAULT_LIMIT, most=MAX_LIMIT)
    cursor = fields.text(body, "cursor", max_bytes=MAX_CURSOR_BYTES)
    if body.get("token") is not None:
        token = _own_token(body)
        return Hello(token.client_id, token.user_id, limit=limit, cursor=cursor, token=token)

    client_id = fields.text(body, "client_id", max_bytes=validation.MAX_ID_BYTES, required=True)
    if ":" in client_id:
        raise fields.invalid("client_id", "must not contain a colon")
    user_id = fields.text(body, "user_id", max_bytes=MAX_FRAME_BYTES, required=True)
    user_hash = fields.text(body, "user_hash", max_bytes=MAX_HASH_BYTES)
    if not HASH.fullmatch(user_hash):
        raise fields.invalid("user_hash", "must be base64")

    return Hello(
        client_id=client_id,
        user_id=fields.checked("user_id", validation.user_id, user_id),
        user_hash=user_hash,
        limit=limit,
        cursor=cursor,
    )


def _own_token(body: dict[str, Any]) -> TokenCredentials:
    """Reads the token of a hello, which must say the same as what stands beside it."""
    if body.get("user_hash") is not None:
        raise fields.invalid("token", "must be given, or user_hash, and not both")
    token = fields.token(body)
    for name, said in (("client_id", token.client_id), ("user_id", token.user_id)):
        if body.get(name) not in (None, said):
            raise fields.invalid(name, "must be that of the token, or left out")
    return token


def _ping(body: dict[str, Any]) -> Ping:
    return Ping(ref=body.get("ref") or "")


_READERS: dict[str, Callable[[dict[str, Any]], Frame]] = {
    "hello": _hello,
    "ping": _ping,
    "list": requests.read_list,
    "mark": requests.read_mark,
    "renew": requests.read_renew,
    "get_preferences": requests.read_get_preferences,
    "patch_preferences": requests.read_patch_preferences,
    "delete_preferences": requests.read_delete_preferences,
    "get_environment": requests.read_get_environment,
    "add_web_push": requests.read_add_web_push,
    "remove_web_push": requests.read_remove_web_push,
}
