"""The RPCs of carillon.v1.Users."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from carillon.v1 import users_pb2, users_pb2_grpc
from services.kernel.auth import current_principal, resolve_user_id
from services.kernel.validation import Violations
from services.kernel.wire import refuse_unbuilt
from services.users import convert
from services.users.model import PROFILE_TEXTS, User, user_not_found

if TYPE_CHECKING:
    from services.environments.store import EnvironmentStore
    from services.kernel.clock import Clock
    from services.kernel.interceptors import Context
    from services.users.store import UserStore

USER_METHODS = ("GetUser", "IdentifyUser")

_MASKABLE = (*PROFILE_TEXTS, "properties")
_UNBUILT = ("remove_push_tokens", "remove_web_push_endpoints")


class UsersServicer(users_pb2_grpc.UsersServicer):
    """Serves profiles: all of them to a backend, their own to a user."""

    def __init__(self, users: UserStore, environments: EnvironmentStore, *, clock: Clock) -> None:
        self._users = users
        self._environments = environments
        self._clock = clock

    async def GetUser(self, request: users_pb2.GetUserRequest, context: Context) -> users_pb2.GetUserResponse:
        """Gets one user."""
        principal = current_principal()
        violations = Violations()
        user_id = resolve_user_id(principal, request.user_id, violations)
        violations.raise_if_any()

        user = await self._users.get(principal.client_id, user_id)
        if user is None:
            raise user_not_found(user_id)
        return users_pb2.GetUserResponse(user=convert.user_to_proto(user))

    async def IdentifyUser(
        self, request: users_pb2.IdentifyUserRequest, context: Context
    ) -> users_pb2.IdentifyUserResponse:
        """Creates a user, or writes what is given."""
        principal = current_principal()
        violations = Violations()
        user_id = resolve_user_id(principal, request.user.id, violations, field="user.id")
        refuse_unbuilt(request, _UNBUILT, violations)
        environment = await self._environments.get(principal.client_id)
        region = environment.default_region if environment else ""
        user = convert.user_from_proto(request.user, violations, region=region, user_id=user_id)
        user, cleared = _masked(user, list(request.update_mask.paths), violations)
        violations.raise_if_any()

        stored = await self._users.write(principal.client_id, user, self._clock(), cleared=cleared)
        return users_pb2.IdentifyUserResponse(user=convert.user_to_proto(stored), warnings=convert.warn_of_keys(user))


def _masked(user: User, paths: list[str], violations: Violations) -> tuple[User, list[str]]:
    """Gives the user with only the masked fields, and those of them that are to be cleared."""
    if not paths:
        return user, []

    known = list(_MASKABLE) if "*" in paths else [path for path in paths if path in _MASKABLE]
    for i, path in enumerate(paths):
        if path != "*" and path not in _MASKABLE:
            violations.add(f"update_mask.paths[{i}]", f"must be '*' or one of {', '.join(_MASKABLE)}", "UNKNOWN_PATH")

    unmasked: dict[str, Any] = {name: "" for name in PROFILE_TEXTS if name not in known}
    properties = user.properties if "properties" in known else None
    return replace(user, properties=properties, **unmasked), [name for name in known if not getattr(user, name)]
