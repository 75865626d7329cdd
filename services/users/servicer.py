"""The RPCs of carillon.v1.Users."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from carillon.v1 import users_pb2, users_pb2_grpc
from services.kernel import validation
from services.kernel.auth import credentials_invalid, current_principal, resolve_user_id
from services.kernel.errors import DomainError
from services.kernel.paging import decode_page_token, encode_page_token
from services.kernel.status import to_failure
from services.kernel.tokens import make_token
from services.kernel.validation import Violations
from services.kernel.wire import to_timestamp
from services.messages.convert import warning_to_proto
from services.users import convert
from services.users.model import PROFILE_TEXTS, User, user_not_found

if TYPE_CHECKING:
    from carillon.v1 import user_pb2
    from services.environments.cache import Catalogue
    from services.kernel.clock import Clock
    from services.kernel.interceptors import Context
    from services.users.erasures import Erasures
    from services.users.revocations import Revocations
    from services.users.store import UserStore

USER_METHODS = ("GetUser", "IdentifyUser")

_MASKABLE = (*PROFILE_TEXTS, "properties")
_MAX_BATCH = 1000
_POLICIES = (
    users_pb2.UPSERT_POLICY_UNSPECIFIED,
    users_pb2.UPSERT_POLICY_KEEP,
    users_pb2.UPSERT_POLICY_OVERWRITE,
)


class UsersServicer(users_pb2_grpc.UsersServicer):
    """Serves profiles: all of them to a backend, their own to a user."""

    def __init__(
        self, users: UserStore, erasures: Erasures, revocations: Revocations, catalogue: Catalogue, *, clock: Clock
    ) -> None:
        self._users = users
        self._erasures = erasures
        self._revocations = revocations
        self._catalogue = catalogue
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
        region = await self._region(principal.client_id)
        user = convert.user_from_proto(request.user, violations, region=region, user_id=user_id)
        removed_tokens, removed_endpoints = convert.removals_from_proto(request, user, violations)
        user, cleared = _masked(user, list(request.update_mask.paths), violations)
        violations.raise_if_any()

        stored = await self._users.write(
            principal.client_id,
            user,
            self._clock(),
            cleared=cleared,
            removed_tokens=removed_tokens,
            removed_endpoints=removed_endpoints,
        )
        return users_pb2.IdentifyUserResponse(
            user=convert.user_to_proto(stored), warnings=map(warning_to_proto, convert.warn_of_keys(user))
        )

    async def ListUsers(self, request: users_pb2.ListUsersRequest, context: Context) -> users_pb2.ListUsersResponse:
        """Lists users by id."""
        client_id = current_principal().client_id
        violations = Violations()
        page_size = validation.page_size(request.page_size, violations)
        selected = convert.filter_from_proto(request, violations, region=await self._region(client_id))
        violations.raise_if_any()

        filters = {"rpc": "ListUsers", "client_id": client_id, "email": selected.email, "number": selected.number}
        position = decode_page_token(request.page_token, filters, types=(str,))
        users = await self._users.page(
            client_id, selected, after=position[0] if position else None, limit=page_size + 1
        )
        page = users[:page_size]
        has_more = len(users) > page_size
        return users_pb2.ListUsersResponse(
            users=map(convert.user_to_proto, page),
            next_page_token=encode_page_token([page[-1].id], filters) if has_more else "",
        )

    async def BatchUpsertUsers(
        self, request: users_pb2.BatchUpsertUsersRequest, context: Context
    ) -> users_pb2.BatchUpsertUsersResponse:
        """Writes many users, each by itself."""
        client_id = current_principal().client_id
        violations = Violations()
        if not 1 <= len(request.users) <= _MAX_BATCH:
            problem = "REQUIRED" if not request.users else "TOO_MANY"
            violations.add("users", f"must be 1 to {_MAX_BATCH}, but are {len(request.users)}", problem)
        if request.policy not in _POLICIES:
            violations.add("policy", f"has the unknown value {request.policy}", "UNKNOWN_VALUE")
        violations.raise_if_any()

        region = await self._region(client_id)
        read = [_read(user, region) for user in request.users]
        users = [one for one in read if isinstance(one, User)]
        keep = request.policy != users_pb2.UPSERT_POLICY_OVERWRITE
        stored = iter(await self._users.write_many(client_id, users, self._clock(), keep=keep))
        return users_pb2.BatchUpsertUsersResponse(
            results=[
                users_pb2.UpsertResult(user=convert.user_to_proto(next(stored)))
                if isinstance(one, User)
                else users_pb2.UpsertResult(failure=to_failure(one))
                for one in read
            ]
        )

    async def DeleteUser(self, request: users_pb2.DeleteUserRequest, context: Context) -> users_pb2.DeleteUserResponse:
        """Deletes a user with everything of theirs."""
        violations = Violations()
        user_id = validation.user_id(request.user_id, violations)
        violations.raise_if_any()

        await self._erasures.erase(current_principal().client_id, user_id, self._clock)
        return users_pb2.DeleteUserResponse()

    async def CreateUserToken(
        self, request: users_pb2.CreateUserTokenRequest, context: Context
    ) -> users_pb2.CreateUserTokenResponse:
        """Makes a token that lets a browser act as a user."""
        client_id = current_principal().client_id
        violations = Violations()
        user_id = validation.user_id(request.user_id, violations)
        ttl = convert.ttl_from_proto(request, violations)
        violations.raise_if_any()

        # Not from memory: a token under a secret that was ended just now would open nothing.
        environment = await self._catalogue.reload(client_id)
        now = self._clock()
        secret = environment.newest_secret(now) if environment else None
        if secret is None:
            # Gone since the call was authenticated.
            raise credentials_invalid()
        # A token ends with its secret, so it must not claim to live longer.
        expire_time = min(now + ttl, secret.expire_time or now + ttl)
        token = make_token(
            secret.text,
            key_id=secret.key_id,
            client_id=client_id,
            user_id=user_id,
            token_time=now,
            expire_time=expire_time,
        )
        return users_pb2.CreateUserTokenResponse(user_token=token, expire_time=to_timestamp(expire_time))

    async def RevokeUserTokens(
        self, request: users_pb2.RevokeUserTokensRequest, context: Context
    ) -> users_pb2.RevokeUserTokensResponse:
        """Ends every token of a user that was made before now."""
        violations = Violations()
        user_id = validation.user_id(request.user_id, violations)
        violations.raise_if_any()

        not_before = await self._revocations.revoke(current_principal().client_id, user_id, self._clock())
        return users_pb2.RevokeUserTokensResponse(not_before_time=to_timestamp(not_before))

    async def _region(self, client_id: str) -> str:
        environment = await self._catalogue.environment(client_id)
        return environment.default_region if environment else ""


def _read(proto: user_pb2.User, region: str) -> User | DomainError:
    """Gives one user of a batch, or what a call for them alone would fail with."""
    violations = Violations()
    user_id = validation.user_id(proto.id, violations, field="user.id")
    user = convert.user_from_proto(proto, violations, region=region, user_id=user_id)
    try:
        violations.raise_if_any()
    except DomainError as error:
        return error
    return user


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
