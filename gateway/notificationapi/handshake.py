"""Whom a socket of NotificationAPI's clients is for: they say it in the address, and nowhere else. Pure."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import unquote, unquote_to_bytes

from gateway import fields
from gateway.fields import FrameError
from gateway.frames import HASH, MAX_FRAME_BYTES, MAX_HASH_BYTES, Hello
from services.kernel import validation

if TYPE_CHECKING:
    from collections.abc import Mapping

NEWEST = 20
"""How many items a session reads at its start; they are not sent, but tell what is news later."""

_NO_HASH = frozenset({"", "undefined", "null"})


class HandshakeRefusedError(Exception):
    """There is no socket for this address: the answer is HTTP, in the one shape of an error.

    Args:
        status: The status of HTTP.
        code: What it is, for a program.
        message: The same for a person.
        fix: What to do about it.
        retry_after_s: After how many seconds to come back; 0: not at all.
    """

    def __init__(self, status: int, code: str, message: str, *, fix: str, retry_after_s: int = 0) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after_s = retry_after_s
        self.body = {"error": {"code": code, "message": message, "fix": fix}}


def read_hello(target: str) -> Hello | None:
    """Reads whom a socket is for, from the target of its request; None: it names nobody, so it is none of theirs.

    The path does not matter, and neither does the order. Nothing is checked yet but what no user can be.

    Raises:
        HandshakeRefusedError: If it cannot be anybody.
    """
    query = _query(target)
    if "envId" not in query or "userId" not in query:
        return None
    try:
        given = {name: _decoded(name, value) for name, value in query.items()}
        client_id = fields.text(given, "envId", max_bytes=validation.MAX_ID_BYTES, required=True)
        if ":" in client_id:
            raise fields.invalid("envId", "must not contain a colon")
        user_id = fields.text(given, "userId", max_bytes=MAX_FRAME_BYTES, required=True)
        fields.checked("userId", partial(validation.user_id, field="userId"), user_id)
    except FrameError as error:
        fix = "Correct what the message names, in the address of the socket."
        raise HandshakeRefusedError(400, "INVALID_REQUEST", error.message, fix=fix) from None

    user_hash = clean_hash(given.get("userIdHash", ""))
    if len(user_hash) > MAX_HASH_BYTES or not HASH.fullmatch(user_hash):
        # A colon in it would have the services check somebody else than the gateway subscribes.
        raise credentials_refused()
    return Hello(client_id, user_id, user_hash, limit=NEWEST)


def clean_hash(user_hash: str) -> str:
    """Gives the hash as it was made, however their clients wrote it; empty where it is a word for none.

    A "%" is in no base64: then it was encoded once more. Ruby's encoder ends a hash with a line break.
    """
    user_hash = unquote(user_hash.strip()).strip()
    return "" if user_hash in _NO_HASH else user_hash


def credentials_refused(code: str = "CREDENTIALS_INVALID") -> HandshakeRefusedError:
    """Makes the refusal of a client, user and hash that do not fit together."""
    return HandshakeRefusedError(
        401,
        code,
        "the credentials are not valid",
        fix="Check clientId, userId and the hash: base64 of HMAC-SHA256 of the user's id, under the client's secret.",
    )


def unavailable(message: str) -> HandshakeRefusedError:
    """Makes the refusal of who may come back in a moment."""
    return HandshakeRefusedError(503, "UNAVAILABLE", message, fix="Try again in a moment.", retry_after_s=5)


def too_many_sessions() -> HandshakeRefusedError:
    """Makes the refusal of a user who has all the sessions they may have."""
    fix = "Try again when another tab is closed; CARILLON_MAX_SESSIONS_PER_USER is how many there may be."
    return HandshakeRefusedError(429, "TOO_MANY_SESSIONS", "too many sessions of this user", fix=fix, retry_after_s=5)


def _query(target: str) -> Mapping[str, str]:
    """Gives the fields of a query, the first of each name, their values as they came."""
    _, _, query = target.partition("#")[0].partition("?")
    query_fields: dict[str, str] = {}
    for pair in query.split("&"):
        name, _, value = pair.partition("=")
        if name in ("envId", "userId", "userIdHash"):
            query_fields.setdefault(name, value)
    return query_fields


def _decoded(name: str, value: str) -> str:
    # A "+" is one: their clients write a space as %20, and some write a hash as it is.
    try:
        return unquote_to_bytes(value.encode("utf-8", "surrogateescape")).decode()
    except UnicodeDecodeError:
        raise fields.invalid(name, "must be percent-encoded UTF-8") from None
