"""Checks who calls, against the live secrets of the environment that they name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.environments.model import is_client_id
from services.kernel.auth import (
    BackendCredentials,
    Credentials,
    Principal,
    Realm,
    credentials_invalid,
    hash_matches,
    secret_matches,
)
from services.kernel.errors import Unauthenticated

if TYPE_CHECKING:
    from services.environments.cache import Catalogue
    from services.environments.model import Environment
    from services.kernel.clock import Clock


class Authenticator:
    """Turns credentials into a principal; what it is handed to the interceptor for."""

    def __init__(self, catalogue: Catalogue, clock: Clock) -> None:
        self._catalogue = catalogue
        self._clock = clock

    async def authenticate(self, credentials: Credentials) -> Principal:
        """Checks credentials.

        Raises:
            Unauthenticated: For an unknown client and for a wrong secret or hash alike.
        """
        if not is_client_id(credentials.client_id):
            raise credentials_invalid()
        environment = await self._catalogue.environment(credentials.client_id)
        try:
            return self.check(credentials, environment)
        except Unauthenticated:
            # What is held may be older than a secret that was made just now.
            return self.check(credentials, await self._catalogue.reload(credentials.client_id))

    def check(self, credentials: Credentials, environment: Environment | None) -> Principal:
        """Checks credentials against an environment as it was read; raises as `authenticate` does."""
        secrets = environment.live_secrets(self._clock()) if environment else []

        if isinstance(credentials, BackendCredentials):
            if not secret_matches(credentials.secret, secrets):
                raise credentials_invalid()
            return Principal(Realm.BACKEND, credentials.client_id)

        if not hash_matches(credentials.user_hash, credentials.user_id, secrets):
            raise credentials_invalid()
        return Principal(Realm.USER, credentials.client_id, credentials.user_id)
