"""User tokens as a backend makes them by itself: with a library for JWTs, and nothing of ours."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt


def mint(
    secret: str,
    client_id: str,
    user_id: str,
    *,
    now: datetime | None = None,
    ttl: timedelta = timedelta(hours=1),
    kid: str | None = None,
    **changes: Any,
) -> str:
    """Makes a token; what is changed to None is left out."""
    made = (now or datetime.now(UTC)).timestamp()
    claims = {"sub": user_id, "aud": client_id, "iat": made, "exp": made + ttl.total_seconds()} | changes
    headers = {"kid": kid} if kid is not None else None
    return jwt.encode(
        {name: value for name, value in claims.items() if value is not None},
        key_of(secret),
        "HS256",
        headers=headers,
    )


def key_of(secret: str) -> str:
    """Gives the key that tokens are signed under, as the documentation has it."""
    return hashlib.sha256(f"carillon user token:{secret}".encode()).hexdigest()
