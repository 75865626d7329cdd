"""Definitions and secrets as a second process has them: as soon as a write is answered, a send goes by it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import grpc
import pytest

from carillon.v1 import notifications_pb2, sub_notifications_pb2
from services.environments.model import Secret
from services.kernel.clock import new_id, utc_now
from tests.contract.services.refusals import refusal
from tests.contract.services.requests import USER, definition, inapp, send_request
from tests.contract.services.world import Tenant

if TYPE_CHECKING:
    from tests.contract.services.world import World

pytestmark = pytest.mark.asyncio(loop_scope="session")

ROUNDS = 200


@pytest.fixture
def elsewhere(tenant: Tenant, other_world: World) -> Tenant:
    """Gives the same environment at another process."""
    return Tenant(other_world, tenant.client_id, tenant.secret)


async def titles(tenant: Tenant) -> list[str]:
    """Gives what the user sees, the oldest first."""
    return [item.content.title for item in reversed(await tenant.items(USER))]


async def test_put_here_send_there(tenant: Tenant, elsewhere: Tenant) -> None:
    """200 times, a send at another process has the words of the definition that was put the moment before."""
    for number in range(ROUNDS):
        await tenant.put(definition("n", inapp(f"Version {number}")))
        await elsewhere.send(send_request("n"))

    assert await titles(tenant) == [f"Version {number}" for number in range(ROUNDS)]


async def test_put_here_send_there_under_load(tenant: Tenant, elsewhere: Tenant) -> None:
    """The same while 16 others send there all the time, whose reads fill the other process's memory."""
    await tenant.put(definition("n", inapp("Version 0")))
    is_over = asyncio.Event()

    async def send_on() -> None:
        while not is_over.is_set():
            await elsewhere.send(send_request("n", user={"id": "somebody else"}))

    async with asyncio.TaskGroup() as tasks:
        for _ in range(16):
            tasks.create_task(send_on())
        for number in range(1, 31):
            await tenant.put(definition("n", inapp(f"Version {number}")))
            await elsewhere.send(send_request("n"))
        is_over.set()

    assert await titles(tenant) == [f"Version {number}" for number in range(1, 31)]


async def test_deleted_here_not_found_there(tenant: Tenant, elsewhere: Tenant) -> None:
    """A definition that was deleted is NOT_FOUND at another process at once, and is there again when it is put."""
    name = notifications_pb2.DeleteNotificationRequest(notification_id="n")
    for _ in range(20):
        await tenant.put(definition("n", inapp()))
        await elsewhere.send(send_request("n"))
        await tenant.backend.notifications.DeleteNotification(name)
        refused = await refusal(elsewhere.backend.sender.Send(send_request("n")))
        assert (refused.code, refused.reason) == (grpc.StatusCode.NOT_FOUND, "NOTIFICATION_NOT_FOUND")


async def test_a_part_deleted_here_is_made_again_there(tenant: Tenant, elsewhere: Tenant) -> None:
    """A process that knew a sub-notification makes it again when a send names it after it was deleted elsewhere."""
    part = {"notification_id": "order_tracking", "sub_notification_id": "eu"}
    for _ in range(10):
        await elsewhere.send(send_request(sub_notification_id="eu"))
        await tenant.backend.sub_notifications.DeleteSubNotification(
            sub_notifications_pb2.DeleteSubNotificationRequest(**part)
        )
    assert (await tenant.stored())["sub_notifications"] == 0

    await elsewhere.send(send_request(sub_notification_id="eu"))
    assert (await tenant.stored())["sub_notifications"] == 1


async def set_secrets(world: World, tenant: Tenant, *secrets: Secret) -> None:
    """Writes an environment's secrets, as `carillon env rotate` does."""
    await world.stores.environments.change(tenant.client_id, lambda environment: replace(environment, secrets=secrets))


async def test_a_secret_that_was_taken_away_sends_nothing(tenant: Tenant, elsewhere: Tenant, world: World) -> None:
    """A process that knew a secret refuses a send by it as soon as another has rotated it away."""
    await elsewhere.send(send_request())

    await set_secrets(world, tenant, Secret(new_id(), "another", utc_now()))

    refused = await refusal(elsewhere.backend.sender.Send(send_request()))
    assert (refused.code, refused.reason) == (grpc.StatusCode.UNAUTHENTICATED, "CREDENTIALS_INVALID")
    assert (await tenant.stored())["messages"] == 1


async def test_a_secret_that_has_expired_sends_nothing(tenant: Tenant, elsewhere: Tenant, world: World) -> None:
    """A process that knew a secret without an end refuses a send by it when it was given one that is over."""
    await elsewhere.send(send_request())

    over = utc_now() - timedelta(milliseconds=1)
    await set_secrets(world, tenant, Secret(new_id(), tenant.secret, over, over), Secret(new_id(), "new", over))

    refused = await refusal(elsewhere.backend.sender.Send(send_request()))
    assert (refused.code, refused.reason) == (grpc.StatusCode.UNAUTHENTICATED, "CREDENTIALS_INVALID")
    assert (await tenant.stored())["messages"] == 1


async def test_both_secrets_send_while_one_is_rotated(tenant: Tenant, world: World, other_world: World) -> None:
    """During a rotation the old secret is taken without a gap, and the new one at once."""
    later = utc_now() + timedelta(hours=1)
    await set_secrets(
        world, tenant, Secret(new_id(), tenant.secret, utc_now(), later), Secret(new_id(), "new", utc_now())
    )

    for door in (world, other_world):
        await Tenant(door, tenant.client_id, tenant.secret).send(send_request())
        await Tenant(door, tenant.client_id, "new").send(send_request())
        await Tenant(door, tenant.client_id, tenant.secret).send(send_request())
