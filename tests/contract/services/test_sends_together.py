"""Sends that are stored together: what is wrong with one costs no other anything."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import grpc
import pytest

from tests.contract.services.refusals import refusal
from tests.contract.services.requests import USER, send_request
from tests.failpoints import held_inserts, holding_inserts

if TYPE_CHECKING:
    from carillon.v1 import sender_pb2
    from tests.contract.services.refusals import Refusal
    from tests.contract.services.world import Tenant, World

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def send_together(
    world: World, tenant: Tenant, bad: sender_pb2.SendRequest
) -> tuple[list[sender_pb2.SendResponse], Refusal]:
    """Sends 50 good ones of an environment and a bad one of another while inserts are held, so that they gather."""
    stranger = await world.tenant()
    await stranger.put_samples()
    async with holding_inserts(world.database.client, "carillon.messages") as until_held:
        first = asyncio.ensure_future(tenant.send(send_request(user={"id": "somebody else"})))
        await until_held()
        refused = asyncio.ensure_future(refusal(stranger.backend.sender.Send(bad)))
        sent = [asyncio.ensure_future(tenant.send(send_request(request_id=f"r-{number}"))) for number in range(50)]
        await held_inserts(world.database.client, 2)
    await first
    return [answer for (answer,) in await asyncio.gather(*sent)], await refused


async def test_one_that_cannot_be_encoded_costs_only_itself(world: World, tenant: Tenant) -> None:
    """50 good sends of one environment and one of another that is too large to store: 50 succeed."""
    too_large = send_request(replace={chr(0x100 + i): "x" * 16384 for i in range(100)})

    answers, refused = await send_together(world, tenant, too_large)

    assert refused.reason == "MESSAGE_TOO_LARGE"
    items = await tenant.items(USER)
    assert sorted(item.id for item in items) == sorted(answer.item_id for answer in answers)
    assert len(items) == 50


async def test_one_that_mongodb_refuses_costs_only_itself(world: World, tenant: Tenant) -> None:
    """50 good sends of one environment and one of another that MongoDB refuses: 50 succeed, and one is INTERNAL."""
    await world.database.command("collMod", "messages", validator={"group_id": {"$ne": "refused"}})
    try:
        answers, refused = await send_together(world, tenant, send_request(group_id="refused"))
    finally:
        await world.database.command("collMod", "messages", validator={})

    assert refused.code is grpc.StatusCode.INTERNAL
    items = await tenant.items(USER)
    assert sorted(item.id for item in items) == sorted(answer.item_id for answer in answers)
    assert len(items) == 50
