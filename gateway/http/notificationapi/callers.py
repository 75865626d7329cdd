"""Who calls, in every form that NotificationAPI's SDKs write it; the services check it. Pure but for the dependencies.

Their credentials are `clientId:clientSecret` of an account, or `clientId:userId:hash` of a user, where the hash may be
missing, empty or the word "undefined", and all parts percent-encoded. A user id may hold colons, the others none: so it
is the path, which names the user too, that tells the forms apart.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated
from urllib.parse import unquote, unquote_to_bytes

from fastapi import Depends, Path, Request

from gateway.notificationapi.handshake import clean_hash
from services.kernel.auth import basic_authorization
from services.kernel.encoding import decode_base64
from services.kernel.errors import FieldViolation, InvalidArgument, PermissionDenied, Unauthenticated
from services.kernel.origin import CALLER_KEY, NOTIFICATIONAPI, PROTOCOL_KEY

if TYPE_CHECKING:
    from collections.abc import Iterator

_MAX_USER_AGENT_BYTES = 256
# Puts most ids into the path as they are: its "+" is never a space.
_WRITES_NO_SPACES = "notificationapi-node-server-sdk/"
# Go's SDK has no name of its own, and PHP's none at all.
_WRITES_SPACES_AS_PLUS = re.compile(r"(?:Go-http-client/.*)?")
_SCHEME = re.compile(r"basic\s+", re.IGNORECASE)
# After the client's id come users or user_preferences, and then the user.
_USER = re.compile(rb"/[^/]*/(?:users|user_preferences)/(.+)", re.DOTALL)
_USER_PART = "{user_id:path}"

Metadata = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, and whom the path is about."""

    client_id: str
    metadata: Metadata = field(repr=False)
    """What the services are called with."""

    user_id: str = ""
    """Whom the path names; empty where it names nobody."""

    other_user_id: str = ""
    """Whom it names if its "+" are spaces, as PHP and Go write them; empty where it has none.

    A user who calls has said which of the two they are; of an account's call nobody knows.
    """

    plus_is_space: bool = False
    """Whether the caller writes a space as "+", as far as it says who it is."""


@dataclass(frozen=True, slots=True)
class PathUser:
    """The user of a path, read in both ways that its "+" can be meant."""

    literal: str
    spaced: str

    def forms(self) -> Iterator[str]:
        """Gives who it may be, the more likely first."""
        yield self.literal
        if self.spaced != self.literal:
            yield self.spaced


def read_caller(authorization: str, client_id: str, path_user: PathUser | None, *, user_agent: str = "") -> Caller:
    """Reads who calls.

    Args:
        authorization: The header, as it came.
        client_id: The one of the path.
        path_user: Whom the path names; None where it names nobody.
        user_agent: The caller's own name for itself.

    Raises:
        Unauthenticated: If there are no credentials, or none that we know the form of.
        PermissionDenied: If they are of another environment than the path.
    """
    text = _decode(authorization)
    given_id, colon, rest = text.partition(":")
    if not colon or not given_id or not rest:
        raise _malformed("what follows Basic must be base64 of clientId:clientSecret or of clientId:userId:hash")
    if unquote(given_id) != client_id:
        raise PermissionDenied(
            f"the path is of the client '{client_id[:64]}', the credentials are of another; use one and the same",
            reason="OTHER_CLIENT",
        )

    extra = ((PROTOCOL_KEY, NOTIFICATIONAPI), (CALLER_KEY, _printable(user_agent)))
    if path_user:
        for user_id in path_user.forms():
            if (user_hash := _hash_for(user_id, rest)) is not None:
                return Caller(client_id, (basic_authorization(client_id, user_id, user_hash), *extra), user_id)

    literal, other = (path_user.literal, path_user.spaced) if path_user else ("", "")
    names_two = literal != other and not user_agent.startswith(_WRITES_NO_SPACES)
    if ":" not in rest:
        metadata = (basic_authorization(client_id, rest), *extra)
        plus_is_space = _WRITES_SPACES_AS_PLUS.fullmatch(user_agent) is not None
        return Caller(client_id, metadata, literal, other if names_two else "", plus_is_space)
    # Somebody else than the path names, or a user where only an account may call: the services say so, once they know
    # that it is really them.
    user_id, _, user_hash = rest.rpartition(":")
    return Caller(client_id, (basic_authorization(client_id, user_id, clean_hash(user_hash)), *extra), literal)


def path_user_of(raw_path: bytes, resource: str) -> PathUser:
    """Reads the user out of a path, as it came over the wire.

    Args:
        raw_path: The path.
        resource: What its route has behind the user.

    Raises:
        InvalidArgument: If it names nobody: what the route found there was written otherwise, or is no text.
    """
    path, end = raw_path.partition(b"?")[0].removesuffix(b"/"), resource.encode()
    match = _USER.fullmatch(path.removesuffix(end))
    if match is None or not path.endswith(end):
        raise _no_user("must be the only part of the path that is percent-encoded")
    raw = match.group(1)
    try:
        literal, spaced = (unquote_to_bytes(one).decode() for one in (raw, raw.replace(b"+", b" ")))
    except UnicodeDecodeError:
        raise _no_user("must be UTF-8 that is percent-encoded") from None
    return PathUser(literal, spaced)


def caller_of(request: Request, client_id: str) -> Caller:
    """Gives the caller of a request; raises as ``read_caller`` and ``path_user_of`` do."""
    # The route says where the user ends: an id may have slashes.
    _, names_user, resource = request.scope["route"].path.partition(_USER_PART)
    return read_caller(
        request.headers.get("authorization", ""),
        client_id,
        path_user_of(request.scope["raw_path"], resource) if names_user else None,
        user_agent=request.headers.get("user-agent", ""),
    )


ClientId = Annotated[str, Path(description="The client id, or environment id, which the credentials begin with, too.")]
UserId = Annotated[str, Path(description="The user, percent-encoded.")]


def _caller(request: Request, client_id: ClientId) -> Caller:
    return caller_of(request, client_id)


def _user_caller(request: Request, client_id: ClientId, user_id: UserId) -> Caller:
    return caller_of(request, client_id)


CallerOf = Annotated[Caller, Depends(_caller)]
"""The caller of a route, whose path begins with ``/{client_id}``."""

UserCallerOf = Annotated[Caller, Depends(_user_caller)]
"""The same of a route whose path names a user, as ``{user_id:path}``."""


def _hash_for(user_id: str, rest: str) -> str | None:
    """Gives the hash that ``rest`` has for a user, empty where it has none; None where it is not of this user."""
    for name in {user_id, _encoded(user_id, rest)}:
        if rest == name:
            return ""
        if rest.startswith(f"{name}:"):
            user_hash = clean_hash(rest[len(name) + 1 :])
            return None if ":" in user_hash else user_hash
    return None


def _encoded(user_id: str, rest: str) -> str:
    """Gives the user's id as js-client 4.4 to 4.6 writes it into the credentials, if it did so here."""
    name = rest.rpartition(":")[0] or rest
    return name if unquote(name) == user_id else user_id


def _decode(authorization: str) -> str:
    encoded = _SCHEME.sub("", authorization.strip(), count=1)
    if not encoded:
        raise Unauthenticated(
            "credentials are missing; send the header Authorization: Basic base64(clientId:clientSecret), or as a user "
            "base64(clientId:userId:hash)",
            reason="CREDENTIALS_MISSING",
        )
    try:
        raw = decode_base64(encoded)
    except ValueError:
        raise _malformed(
            "Authorization must be Basic, and base64 of clientId:clientSecret or of clientId:userId:hash"
        ) from None
    try:
        return raw.decode()
    except UnicodeDecodeError:
        # A browser's btoa() takes a character for a byte.
        return raw.decode("latin-1")


def _printable(user_agent: str) -> str:
    # gRPC's metadata is printable ASCII.
    return "".join(char for char in user_agent if " " <= char <= "~")[:_MAX_USER_AGENT_BYTES]


def _no_user(problem: str) -> InvalidArgument:
    return InvalidArgument([FieldViolation("user_id", problem)])


def _malformed(message: str) -> Unauthenticated:
    return Unauthenticated(message, reason="CREDENTIALS_MALFORMED")
