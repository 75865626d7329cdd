"""The RPCs of carillon.v1.Environments."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from carillon.v1 import environments_pb2, environments_pb2_grpc
from services.environments import convert
from services.kernel.auth import Realm, credentials_invalid, current_principal
from services.kernel.validation import Violations

if TYPE_CHECKING:
    from services.environments.cache import Catalogue
    from services.environments.store import EnvironmentStore
    from services.kernel.clock import Clock
    from services.kernel.interceptors import Context

USER_METHODS = ("GetEnvironment",)


class EnvironmentsServicer(environments_pb2_grpc.EnvironmentsServicer):
    """Serves the caller's own environment: its settings to a backend, its looks to a user."""

    def __init__(self, environments: EnvironmentStore, catalogue: Catalogue, *, clock: Clock) -> None:
        self._environments = environments
        self._catalogue = catalogue
        self._clock = clock

    async def GetEnvironment(
        self, request: environments_pb2.GetEnvironmentRequest, context: Context
    ) -> environments_pb2.GetEnvironmentResponse:
        """Gets the caller's environment."""
        principal = current_principal()
        # Not from memory: who reads settings to change them must not read old ones.
        found = await self._environments.get_many([principal.client_id])
        if not found:
            # Deleted since the call was authenticated.
            raise credentials_invalid()
        is_user = principal.realm is Realm.USER
        to_proto = convert.environment_to_user_proto if is_user else convert.environment_to_proto
        return environments_pb2.GetEnvironmentResponse(environment=to_proto(found[0]))

    async def UpdateEnvironment(
        self, request: environments_pb2.UpdateEnvironmentRequest, context: Context
    ) -> environments_pb2.UpdateEnvironmentResponse:
        """Changes settings of the caller's environment."""
        client_id = current_principal().client_id
        violations = Violations()
        changes = convert.changes_from_proto(request.environment, request.update_mask.paths, violations)
        violations.raise_if_any()

        now = self._clock()
        changed = await self._environments.change(client_id, lambda stored: replace(stored, **changes, update_time=now))
        if changed is None:
            raise credentials_invalid()
        # Whoever calls this process next finds the settings changed; the others learn it from the version.
        await self._catalogue.environment(client_id, version=changed.version)
        return environments_pb2.UpdateEnvironmentResponse(environment=convert.environment_to_proto(changed))
