"""Users without a proof, where an environment takes them, and users with that of NotificationAPI's Python SDK."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import grpc
import pytest

from carillon.v1 import environments_pb2, inbox_pb2, users_pb2
from services.kernel.auth import basic_authorization, bearer_authorization, sha256_hash
from tests.contract.services.refusals import refusal
from tests.contract.services.requests import USER, send_request
from tests.contract.services.test_environments import update
from tests.contract.services.world import Caller, Tenant, run_world
from tests.tokens import mint

if TYPE_CHECKING:
    from tests.contract.services.world import World

pytestmark = pytest.mark.asyncio(loop_scope="session")

SDK = ("carillon-protocol", "notificationapi")
OVER_S = 30
"""How long a test waits for what takes a second."""


def bare(tenant: Tenant, user_id: str = USER, given: str = "", client_id: str = "") -> Caller:
    """Gives a caller who says which user they are, and proves nothing."""
    return Caller(tenant.channel, [basic_authorization(client_id or tenant.client_id, user_id, given)])


async def unread(caller: Caller) -> int:
    """Counts the caller's unread items."""
    return int((await caller.inbox.CountUnread(inbox_pb2.CountUnreadRequest())).unread_count)


async def _unread_on(caller: Caller) -> None:
    while True:
        await unread(caller)


async def set_secure_mode(tenant: Tenant, *, on: bool) -> None:
    """Switches secure mode."""
    await update(tenant, ["secure_mode"], secure_mode=on)


async def test_a_switch_holds_for_the_next_call(tenant: Tenant) -> None:
    """Ten times, a user without a proof is let in from the answer on that it is off, and refused from that it is on."""
    await tenant.send(send_request())
    for _ in range(10):
        await set_secure_mode(tenant, on=False)
        assert await unread(bare(tenant)) == 1
        await set_secure_mode(tenant, on=True)
        assert (await refusal(unread(bare(tenant)))).reason == "CREDENTIALS_INVALID"


@pytest.mark.parametrize("given", ["", "undefined", "d3Jvbmc="])
@pytest.mark.parametrize("user_id", [USER, "a:b", ":", "Zoë 🦀"])
async def test_no_hash_is_looked_at_while_it_is_off(tenant: Tenant, user_id: str, given: str) -> None:
    """With none, and with any, a user reaches their own, whatever their id is made of."""
    await tenant.send(send_request(user={"id": user_id}))
    await set_secure_mode(tenant, on=False)

    own = bare(tenant, user_id, given)

    assert await unread(own) == 1
    assert (await own.users.GetUser(users_pb2.GetUserRequest(user_id=user_id))).user.id == user_id


async def test_who_proves_nothing_is_a_user_and_no_more(tenant: Tenant) -> None:
    """They reach nobody else and nothing of a backend; a wrong secret and a token that is over open nothing."""
    await set_secure_mode(tenant, on=False)
    own = bare(tenant)

    other = await refusal(own.inbox.CountUnread(inbox_pb2.CountUnreadRequest(user_id="other")))
    assert (other.code, other.reason) == (grpc.StatusCode.PERMISSION_DENIED, "OTHER_USER")
    request = environments_pb2.UpdateEnvironmentRequest()
    assert (await refusal(own.environments.UpdateEnvironment(request))).reason == "BACKEND_ONLY"
    backend = Caller(tenant.channel, [basic_authorization(tenant.client_id, "wrong")])
    assert (await refusal(backend.environments.UpdateEnvironment(request))).reason == "CREDENTIALS_INVALID"
    over = mint(tenant.secret, tenant.client_id, USER, now=datetime.now(UTC) - timedelta(hours=2))
    assert (await refusal(unread(Caller(tenant.channel, [bearer_authorization(over)])))).reason == "TOKEN_EXPIRED"


async def test_nobody_learns_where_it_is_off(tenant: Tenant, world: World) -> None:
    """Without a proof an unknown client and a secure environment are told the same as for a wrong one."""
    insecure = await world.tenant()
    await set_secure_mode(insecure, on=False)
    callers = [
        bare(tenant),
        bare(tenant, given="d3Jvbmc="),
        bare(tenant, client_id="nobody"),
        bare(tenant, client_id="no/client"),
    ]

    (refused,) = {await refusal(unread(caller)) for caller in callers}

    assert (refused.code, refused.reason) == (grpc.StatusCode.UNAUTHENTICATED, "CREDENTIALS_INVALID")
    assert "user_hash" in refused.message
    assert await unread(bare(insecure)) == 0


async def test_another_process_takes_the_switch_too(tenant: Tenant, other_world: World) -> None:
    """That it is off holds there at once, although it held the environment as secure; that it is on, in a second."""
    elsewhere = bare(Tenant(other_world, tenant.client_id, tenant.secret))
    assert (await refusal(unread(elsewhere))).reason == "CREDENTIALS_INVALID"

    await set_secure_mode(tenant, on=False)
    assert await unread(elsewhere) == 0

    await set_secure_mode(tenant, on=True)
    async with asyncio.timeout(OVER_S):
        refused = await refusal(_unread_on(elsewhere))
    assert refused.reason == "CREDENTIALS_INVALID"


async def test_the_python_sdk_signs_in_its_own_way(tenant: Tenant) -> None:
    """Base64 of SHA-256 of secret and id proves a user where the call says who speaks so, and nowhere else."""
    await tenant.send(send_request())
    signed = basic_authorization(tenant.client_id, USER, sha256_hash(tenant.secret, USER))
    of_another = basic_authorization(tenant.client_id, USER, sha256_hash(tenant.secret, "another"))

    assert await unread(Caller(tenant.channel, [signed, SDK])) == 1
    for metadata in ([signed], [signed, ("carillon-protocol", "notifuse")], [of_another, SDK]):
        refused = await refusal(unread(Caller(tenant.channel, metadata)))
        assert (refused.code, refused.reason) == (grpc.StatusCode.UNAUTHENTICATED, "CREDENTIALS_INVALID")


async def test_the_python_sdks_way_can_be_closed(mongodb_uri: str) -> None:
    """Services with accept_sha256_hashes off take no such hash."""
    async with run_world(mongodb_uri, accept_sha256_hashes=False) as world:
        tenant = await world.tenant()
        signed = basic_authorization(tenant.client_id, USER, sha256_hash(tenant.secret, USER))

        assert (await refusal(unread(Caller(tenant.channel, [signed, SDK])))).reason == "CREDENTIALS_INVALID"
        assert await unread(tenant.user(USER)) == 0
