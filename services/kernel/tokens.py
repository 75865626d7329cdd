"""User tokens: JWTs, HS256 under a key of a client secret, that stand for one user for at most a day. Pure.

A backend may make them by itself, so the form is that of any JWT: ``sub`` the user, ``aud`` the client, ``iat`` and
``exp``. Which secrets are live, and whether a user's tokens were revoked, is left to the caller.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from jwt import InvalidTokenError, PyJWS

from services.kernel import validation
from services.kernel.errors import InvalidArgument, Unauthenticated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

MAX_TOKEN_BYTES = 4096
MAX_LIFETIME = timedelta(hours=24)
MAX_SKEW = timedelta(seconds=60)
"""How far the clock of a backend that makes tokens may be ahead."""

_ALGORITHM = "HS256"
_LABEL = "carillon user token:"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_SECONDS = 253_402_300_799
"""The end of the year 9999, which is that of datetime."""


@dataclass(frozen=True, slots=True)
class TokenCredentials:
    """What a user token says about its bearer; not checked yet."""

    client_id: str
    user_id: str
    token: str = field(repr=False)
    token_time: datetime
    """When it was made."""

    expire_time: datetime
    """From when on it is refused."""

    start_time: datetime
    """From when on it holds: when it was made, or later where its maker says so."""

    key_id: str = ""
    """Which secret it names; empty: none."""


class TokenMalformedError(ValueError):
    """A text is no user token; the message says what one is, for a person, and repeats nothing of it."""


# Knows no other algorithm, so that no token can choose one.
_jws = PyJWS(algorithms=[_ALGORITHM])


def signing_key(secret: str) -> str:
    """Gives the key that tokens are signed under: hex of SHA-256 of ``carillon user token:`` and the client secret.

    Not the secret itself: a user's hash is an HMAC under that, so who may choose their own id could have a hash made
    that is the signature of somebody else's token.
    """
    return hashlib.sha256(f"{_LABEL}{secret}".encode()).hexdigest()


def make_token(
    secret: str, *, key_id: str, client_id: str, user_id: str, token_time: datetime, expire_time: datetime
) -> str:
    """Makes a token; its times keep their milliseconds, so that one made right after a revocation holds."""
    claims = {
        "sub": user_id,
        "aud": client_id,
        "iat": token_time.timestamp(),
        "exp": expire_time.timestamp(),
    }
    payload = json.dumps(claims, separators=(",", ":")).encode()
    return _jws.encode(payload, signing_key(secret), _ALGORITHM, headers={"kid": key_id})


def read_token(token: str) -> TokenCredentials:
    """Reads what a token says, believing all of it: gateway and services read it by this one function.

    Raises:
        TokenMalformedError: If it is none, or lacks what a user token must say.
    """
    if not token.isascii() or len(token) > MAX_TOKEN_BYTES:
        raise TokenMalformedError(f"a user token is a JWT of at most {MAX_TOKEN_BYTES} bytes")
    try:
        decoded = _jws.decode_complete(token, options={"verify_signature": False})
        claims = json.loads(decoded["payload"])
    except (InvalidTokenError, ValueError, RecursionError):
        raise TokenMalformedError("a user token is a JWT: header.claims.signature, each in base64url") from None
    if not isinstance(claims, dict):
        raise TokenMalformedError("the claims of a user token must be a JSON object")

    token_time = _time(claims, "iat")
    return TokenCredentials(
        client_id=_client_id(claims),
        user_id=_user_id(claims),
        token=token,
        token_time=token_time,
        expire_time=_time(claims, "exp"),
        start_time=max(token_time, _time(claims, "nbf")) if "nbf" in claims else token_time,
        key_id=decoded["header"].get("kid", ""),
    )


def signature_matches(token: str, secrets: Iterable[str]) -> bool:
    """Tells whether a token is signed under one of the live secrets; all are compared, without an early exit."""
    results = [_is_signed(token, secret) for secret in secrets]
    return any(results)


def check_times(token: TokenCredentials, now: datetime) -> None:
    """Checks the times of a token whose signature is right.

    Raises:
        Unauthenticated: If it lives too long, does not hold yet, or is over.
    """
    if token.expire_time - token.token_time > MAX_LIFETIME:
        raise Unauthenticated(
            "the user token's `exp` must be at most 24 hours after its `iat`", reason="CREDENTIALS_INVALID"
        )
    if token.start_time > now + MAX_SKEW:
        raise Unauthenticated(
            "the user token's `iat` and `nbf` must not be in the future; compare the clocks",
            reason="CREDENTIALS_INVALID",
        )
    if token.expire_time <= now:
        raise Unauthenticated("the user token is over; ask your backend for a new one", reason="TOKEN_EXPIRED")


def _is_signed(token: str, secret: str) -> bool:
    try:
        _jws.decode_complete(token, signing_key(secret), algorithms=[_ALGORITHM])
    except InvalidTokenError:
        return False
    return True


def _client_id(claims: Mapping[str, Any]) -> str:
    audience = claims.get("aud")
    # Some libraries write a list even of one.
    if isinstance(audience, list) and len(audience) == 1:
        (audience,) = audience
    return _text("aud", audience, "the client_id", validation.lookup_id)


def _user_id(claims: Mapping[str, Any]) -> str:
    return _text("sub", claims.get("sub"), "the user's id", validation.user_id)


def _text(name: str, value: Any, meaning: str, check: Callable[..., str]) -> str:
    if not isinstance(value, str):
        raise TokenMalformedError(f"the user token's `{name}` must be {meaning}")
    violations = validation.Violations()
    check(value, violations, field=name)
    try:
        violations.raise_if_any()
    except InvalidArgument as error:
        raise TokenMalformedError(f"in the user token, {error.message}") from None
    return value


def _time(claims: Mapping[str, Any], name: str) -> datetime:
    seconds = claims.get(name)
    # JSON's true is an int to Python. NaN is in no range.
    if not isinstance(seconds, int | float) or isinstance(seconds, bool) or not 0 <= seconds <= _MAX_SECONDS:
        raise TokenMalformedError(f"the user token's `{name}` must be a time in seconds since 1970")
    time = _EPOCH + timedelta(seconds=seconds)
    # Whole milliseconds, rounded down: a token must not seem to be made after a revocation that it came before.
    return time.replace(microsecond=time.microsecond // 1000 * 1000)
