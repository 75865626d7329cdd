"""The worker: what it claims, what it writes, and when it tries again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from carillon.v1 import channel_pb2
from tests.contract.delivery.world import (
    ACCEPTED,
    TEMPORARY,
    Post,
    everything,
    outcomes_of,
    run_workers,
    state_of,
    until_final,
)
from tests.contract.services.requests import send_request

if TYPE_CHECKING:
    from tests.contract.services.world import Tenant

pytestmark = pytest.mark.asyncio(loop_scope="session")

EMAIL = channel_pb2.CHANNEL_EMAIL


async def test_a_message_is_carried_once(tenant: Tenant, mongodb_uri: str) -> None:
    """What a provider accepts is sent, once, and the log has the attempt."""
    post = Post()
    async with run_workers(mongodb_uri, everything(post), count=2):
        [sent] = await tenant.send(send_request(user={"id": "u", "email": "a@example.com"}))
        delivery = await until_final(tenant, sent.tracking_id, EMAIL)

    assert (state_of(delivery), outcomes_of(delivery)) == ("SENT", ["ACCEPTED"])
    assert delivery.attempts[0].provider == "post"
    assert [call.target for call in post.calls if call.content.channel == "EMAIL"] == ["a@example.com"]


async def test_what_fails_for_now_is_tried_again(tenant: Tenant, mongodb_uri: str) -> None:
    """A temporary failure is repeated later, and all its attempts are in the log."""
    answers = iter([TEMPORARY, TEMPORARY, ACCEPTED])
    post = Post(answer=lambda _: next(answers))
    async with run_workers(mongodb_uri, everything(post)):
        [sent] = await tenant.send(send_request(user={"id": "u", "email": "a@example.com"}, force_channels=[EMAIL]))
        delivery = await until_final(tenant, sent.tracking_id, EMAIL)

    assert outcomes_of(delivery) == ["TEMPORARY_FAILURE", "TEMPORARY_FAILURE", "ACCEPTED"]
    assert [one.detail for one in delivery.attempts] == ["busy", "busy", ""]
