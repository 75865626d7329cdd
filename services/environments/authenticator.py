"""Checks who calls, against the live secrets of the environment that they name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TYPE_CHECKING

from services.environments.model import is_client_id
from services.kernel.auth import (
    BackendCredentials,
    Credentials,
    Principal,
    Realm,
    UserCredentials,
    credentials_invalid,
    hash_matches,
    secret_matches,
)
from services.kernel.errors import Unauthenticated
from services.kernel.tokens import TokenCredentials, check_times, signature_matches

if TYPE_CHECKING:
    from services.environments.cache import Catalogue
    from services.environments.model import Environment
    from services.kernel.clock import Clock

NotBefore = Callable[[str, str], Awaitable[datetime | None]]
"""Gives the time before which the tokens of a user, by client_id and user_id, are revoked; None where none are."""


class Authenticator:
    """Turns credentials into a principal; what it is handed to the interceptor for."""

    def __init__(self, catalogue: Catalogue, clock: Clock, *, not_before: NotBefore) -> None:
        self._catalogue = catalogue
        self._clock = clock
        self._not_before = not_before

    async def authenticate(self, credentials: Credentials) -> Principal:
        """Checks credentials.

        Raises:
            Unauthenticated: For an unknown client and for a wrong secret, hash or signature alike; for a token also
                by its times, and where it was revoked.
        """
        if not is_client_id(credentials.client_id):
            raise credentials_invalid()
        principal = await self._check_current(credentials)
        if principal.token_time:
            not_before = await self._not_before(principal.client_id, principal.user_id)
            if not_before and principal.token_time < not_before:
                raise Unauthenticated(
                    "the user token was revoked; the user has to sign in again", reason="TOKEN_REVOKED"
                )
        return principal

    def check(self, credentials: Credentials, environment: Environment | None) -> Principal:
        """Checks credentials against an environment as it was read; whether a token was revoked is left out."""
        now = self._clock()
        client_id = credentials.client_id
        key_id = credentials.key_id if isinstance(credentials, TokenCredentials) else ""
        secrets = environment.live_secrets(now, key_id=key_id) if environment else []

        match credentials:
            case BackendCredentials(secret=secret) if secret_matches(secret, secrets):
                return Principal(Realm.BACKEND, client_id)
            case UserCredentials(user_id=user_id, user_hash=given) if hash_matches(given, user_id, secrets):
                return Principal(Realm.USER, client_id, user_id)
            case TokenCredentials(user_id=user_id, token=token) if signature_matches(token, secrets):
                check_times(credentials, now)
                return Principal(Realm.USER, client_id, user_id, credentials.token_time, credentials.expire_time)
        raise credentials_invalid()

    async def _check_current(self, credentials: Credentials) -> Principal:
        environment = await self._catalogue.environment(credentials.client_id)
        try:
            return self.check(credentials, environment)
        except Unauthenticated:
            # What is held may be older than a secret that was made just now.
            return self.check(credentials, await self._catalogue.reload(credentials.client_id))
