"""Checks who calls, against the live secrets of the environment that they name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
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
    find_secret,
    hash_matches,
)
from services.kernel.errors import Unauthenticated
from services.kernel.origin import NOTIFICATIONAPI
from services.kernel.tokens import TokenCredentials, check_times, signature_matches

if TYPE_CHECKING:
    from services.environments.cache import Catalogue
    from services.environments.model import Environment
    from services.kernel.clock import Clock

NotBefore = Callable[[str, str], Awaitable[datetime | None]]
"""Gives the time before which the tokens of a user, by client_id and user_id, are revoked; None where none are."""


class Authenticator:
    """Turns credentials into a principal; what it is handed to the interceptor for.

    Args:
        catalogue: Where environments are held.
        clock: What the times of secrets and tokens are compared with.
        not_before: Tells what was revoked.
        accept_sha256_hashes: Whether the hash of NotificationAPI's Python SDK proves a user who speaks its protocol.
    """

    def __init__(
        self, catalogue: Catalogue, clock: Clock, *, not_before: NotBefore, accept_sha256_hashes: bool = False
    ) -> None:
        self._catalogue = catalogue
        self._clock = clock
        self._not_before = not_before
        self._accept_sha256_hashes = accept_sha256_hashes

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
        if environment is None:
            raise credentials_invalid()
        now = self._clock()
        client_id = credentials.client_id
        named = credentials.key_id if isinstance(credentials, TokenCredentials) else ""
        secrets = environment.live_secrets(now, key_id=named)

        match credentials:
            case BackendCredentials(secret=secret) if key_id := find_secret(secret, secrets):
                return Principal(Realm.BACKEND, client_id, key_id=key_id)
            case UserCredentials(user_id=user_id) if not environment.secure_mode or self._proves(credentials, secrets):
                return Principal(Realm.USER, client_id, user_id)
            case TokenCredentials(user_id=user_id, token=token) if signature_matches(token, secrets.values()):
                check_times(credentials, now)
                return Principal(Realm.USER, client_id, user_id, credentials.token_time, credentials.expire_time)
        raise credentials_invalid()

    async def _check_current(self, credentials: Credentials) -> Principal:
        environment = await self._catalogue.environment(credentials.client_id)
        try:
            return self.check(credentials, environment)
        except Unauthenticated:
            # What is held may be older than a secret that was made just now, or than the end of secure mode.
            return self.check(credentials, await self._catalogue.reload(credentials.client_id))

    def _proves(self, credentials: UserCredentials, secrets: Mapping[str, str]) -> bool:
        is_of_the_sdk = self._accept_sha256_hashes and credentials.protocol == NOTIFICATIONAPI
        return hash_matches(credentials.user_hash, credentials.user_id, secrets.values(), or_sha256=is_of_the_sdk)
