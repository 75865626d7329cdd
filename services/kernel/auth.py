"""Who calls: the two realms, the credentials of a call, and the checks of secrets.

Looking up the secrets of a client is left to the ``authenticate`` function that app.py hands to the interceptor.
"""

from __future__ import annotations

import base64
import enum
import hashlib
import hmac
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from services.kernel import validation
from services.kernel.encoding import decode_base64
from services.kernel.errors import InvalidArgument, PermissionDenied, Unauthenticated
from services.kernel.origin import GRPC, read_protocol
from services.kernel.tokens import TokenCredentials, TokenMalformedError, read_token

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from services.kernel.validation import Violations


class Realm(enum.Enum):
    """Who a caller acts for."""

    BACKEND = "backend"
    """The customer's own servers: all users of one environment."""

    USER = "user"
    """One user, usually in a browser: only themselves."""


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller whose credentials were checked."""

    realm: Realm
    client_id: str
    user_id: str = ""
    """Empty for a backend."""

    token_time: datetime | None = None
    """When the user token was made; None where the call came with none."""

    expire_time: datetime | None = None
    """From when on the user token is refused; None likewise: a secret or a hash has no end of its own."""

    key_id: str = ""
    """Which secret a backend gave; empty for a user."""


@dataclass(frozen=True, slots=True)
class BackendCredentials:
    """What a backend says about itself; not checked yet."""

    client_id: str
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class UserCredentials:
    """What a user says about themselves; not checked yet."""

    client_id: str
    user_id: str
    user_hash: str = field(repr=False)
    """Empty: they give no proof."""

    protocol: str = GRPC
    """What they speak, as they say."""


Credentials = BackendCredentials | UserCredentials | TokenCredentials

_principal: ContextVar[Principal] = ContextVar("principal")
_credentials: ContextVar[Credentials] = ContextVar("credentials")


def current_principal() -> Principal:
    """Gives the caller of the current call; raises LookupError outside of an authenticated one."""
    return _principal.get()


def current_credentials() -> Credentials:
    """Gives the credentials of the current call, for who learns that they have to be checked again."""
    return _credentials.get()


def set_current_caller(principal: Principal, credentials: Credentials) -> None:
    """Sets the caller of the current call; never reset, as each call runs in a context of its own."""
    _principal.set(principal)
    _credentials.set(credentials)


def parse_credentials(metadata: Iterable[tuple[str, str | bytes]]) -> Credentials:
    """Reads the credentials of a call from its metadata; ``authorization`` goes before ``api-token``.

    Raises:
        Unauthenticated: If there are none, or they are in no form that we know.
    """
    pairs = list(metadata)
    headers = {key.lower(): value for key, value in reversed(pairs) if isinstance(value, str)}
    if authorization := headers.get("authorization", "").strip():
        scheme, _, rest = authorization.partition(" ")
        if scheme.lower() == "basic":
            return _parse_basic(rest.strip(), read_protocol(pairs))
        if scheme.lower() == "bearer":
            return _parse_bearer(rest.strip())
        raise _malformed("the scheme of `authorization` must be Basic or Bearer")

    if api_token := headers.get("api-token", "").strip():
        return _parse_api_key(api_token)

    raise Unauthenticated(
        "credentials are missing; send the metadata `authorization: Basic base64(client_id:client_secret)`, "
        "or as a user `authorization: Basic base64(client_id:user_id:user_hash)` or `authorization: Bearer user_token`",
        reason="CREDENTIALS_MISSING",
    )


def credentials_invalid() -> Unauthenticated:
    """Makes the one error for an unknown client and for a wrong secret, so that nobody learns which clients exist."""
    return Unauthenticated(
        "the credentials are not valid: no environment with this client_id takes them; "
        "a user needs a user_hash or user token, unless secure mode is off",
        reason="CREDENTIALS_INVALID",
    )


def basic_authorization(client_id: str, *rest: str) -> tuple[str, str]:
    """Makes the metadata of a caller of ours: with a secret a backend, with a user's id and hash that user."""
    credentials = ":".join((client_id, *rest))
    return "authorization", f"Basic {base64.b64encode(credentials.encode()).decode()}"


def bearer_authorization(token: str) -> tuple[str, str]:
    """Makes the metadata of a caller of ours who has a user token."""
    return "authorization", f"Bearer {token}"


def user_hash(secret: str, user_id: str) -> str:
    """Makes the proof that a backend gives to its user: base64 of HMAC-SHA256 of the user's id under a secret."""
    return base64.b64encode(hmac.digest(secret.encode(), user_id.encode(), hashlib.sha256)).decode()


def sha256_hash(secret: str, user_id: str) -> str:
    """Makes the proof that NotificationAPI's Python SDK gives: base64 of SHA-256 of the secret and the user's id.

    Who has that of one user can extend it to that of an id which begins with this user's. But the extension holds a
    bare 0x80, which is no UTF-8, and NULs, and no user id with control characters is taken anywhere.
    """
    return base64.b64encode(hashlib.sha256(f"{secret}{user_id}".encode()).digest()).decode()


def find_secret(given: str, secrets: Mapping[str, str]) -> str:
    """Gives the key_id of the live secret that ``given`` is, in a time that does not depend on how alike they are.

    Args:
        given: What a backend gave.
        secrets: The live ones by their key_ids.

    Returns:
        The key_id; empty where it is none of them.
    """
    matches = _matches(given, secrets.values())
    return next((key_id for key_id, is_it in zip(secrets, matches, strict=True) if is_it), "")


def hash_matches(given: str, user_id: str, secrets: Iterable[str], *, or_sha256: bool = False) -> bool:
    """Tells whether ``given`` is the user's hash under one of the live secrets; as constant in time as the above."""
    kinds = (user_hash, sha256_hash) if or_sha256 else (user_hash,)
    return any(_matches(given, [make(secret, user_id) for secret in secrets for make in kinds]))


def resolve_user_id(principal: Principal, user_id: str, violations: Violations, *, field: str = "user_id") -> str:
    """Gives the user that a request is about: a backend must name one, a user is always their own.

    Raises:
        PermissionDenied: If a user names someone else; before anything is looked up.
    """
    if principal.realm is Realm.USER:
        if user_id not in ("", principal.user_id):
            raise PermissionDenied(
                f"{field}: as a user you reach only your own; leave it empty or send your own id", reason="OTHER_USER"
            )
        user_id = principal.user_id
    return validation.user_id(user_id, violations, field=field)


def _parse_basic(encoded: str, protocol: str) -> Credentials:
    try:
        decoded = decode_base64(encoded).decode()
    except ValueError:
        raise _malformed("what follows Basic must be base64 of UTF-8 text") from None

    # Neither a client id nor a secret nor a hash contains a colon; a user id may.
    client_id, _, rest = decoded.partition(":")
    user_id, colon, last = rest.rpartition(":")
    if client_id and last and not colon:
        return BackendCredentials(client_id, last)
    if client_id and user_id:
        return UserCredentials(client_id, _checked_user_id(user_id), last, protocol)
    raise _malformed("what follows Basic must be base64 of client_id:client_secret or of client_id:user_id:user_hash")


def _checked_user_id(user_id: str) -> str:
    """Refuses an id that no user can have before any hash of it is made: see `sha256_hash`."""
    violations = validation.Violations()
    validation.user_id(user_id, violations)
    try:
        violations.raise_if_any()
    except InvalidArgument as error:
        raise _malformed(f"in what follows Basic, {error.message}") from None
    return user_id


def _parse_bearer(token: str) -> Credentials:
    if token.count(".") == 2:
        try:
            return read_token(token)
        except TokenMalformedError as error:
            raise _malformed(str(error)) from None
    return _parse_api_key(token)


def _parse_api_key(key: str) -> Credentials:
    client_id, _, secret = key.partition(".")
    if not client_id or not secret or "." in secret:
        raise _malformed("an API key must be client_id.client_secret")
    return BackendCredentials(client_id, secret)


def _malformed(message: str) -> Unauthenticated:
    return Unauthenticated(message, reason="CREDENTIALS_MALFORMED")


def _matches(given: str, expected: Iterable[str]) -> list[bool]:
    # All are compared, without an early exit; a surrogate (possible in JSON) must not be able to raise here.
    given_bytes = given.encode("utf-8", "surrogatepass")
    return [hmac.compare_digest(given_bytes, one.encode()) for one in expected]
