"""What the log tells of the call that made a message."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from carillon.v1 import messages_pb2, sender_pb2
from services.environments.model import Secret
from services.kernel.auth import basic_authorization
from services.kernel.clock import new_id, utc_now
from services.kernel.interceptors import CALL_ID_TRAILER
from tests.contract.services.requests import send_request
from tests.contract.services.world import Caller

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.contract.services.world import Tenant, World

pytestmark = pytest.mark.asyncio(loop_scope="session")

VIA_HTTP = [("carillon-protocol", "notificationapi"), ("carillon-caller", "node-fetch/1.0")]


def calling(tenant: Tenant, secret: str = "", metadata: Sequence[tuple[str, str]] = ()) -> Caller:
    """Gives a caller with more metadata than its credentials."""
    return Caller(tenant.channel, [basic_authorization(tenant.client_id, secret or tenant.secret), *metadata])


async def logged(tenant: Tenant, tracking_id: str) -> messages_pb2.Message:
    """Gives a message as the log has it: the same whether it is got or listed."""
    got = await tenant.backend.messages.GetMessage(messages_pb2.GetMessageRequest(tracking_id=tracking_id))
    listing = messages_pb2.ListMessagesRequest(filter=messages_pb2.MessageFilter(tracking_ids=[tracking_id]))
    (listed,) = (await tenant.backend.messages.ListMessages(listing)).messages
    message: messages_pb2.Message = got.message
    assert (listed.origin, listed.call_id) == (message.origin, message.call_id)
    return message


async def first_secret(world: World, tenant: Tenant) -> Secret:
    """Gives the secret that the environment was made with."""
    (environment,) = await world.stores.environments.get_many([tenant.client_id])
    return environment.secrets[0]


async def test_a_message_knows_the_call_that_made_it(world: World, tenant: Tenant) -> None:
    """Protocol, secret and caller are in the log, and the call's id as its trailer has it; the secret itself is not."""
    call = calling(tenant, metadata=VIA_HTTP).sender.Send(send_request())
    sent = await call

    message = await logged(tenant, sent.tracking_id)

    key_id = (await first_secret(world, tenant)).key_id
    assert message.origin == messages_pb2.MessageOrigin(
        protocol="notificationapi", key_id=key_id, user_agent="node-fetch/1.0"
    )
    assert message.call_id == dict(await call.trailing_metadata())[CALL_ID_TRAILER]
    assert tenant.secret not in str(message)


async def test_without_a_gateway_it_is_grpc(tenant: Tenant) -> None:
    """A caller that says nothing is named as its gRPC library names itself."""
    (sent,) = await tenant.send(send_request())

    origin = (await logged(tenant, sent.tracking_id)).origin

    assert origin.protocol == "grpc"
    assert origin.user_agent.startswith("grpc-python")


async def test_each_of_two_secrets_is_told_apart(world: World, tenant: Tenant) -> None:
    """During a rotation the log says by which of the two a message was sent."""
    old, new = await first_secret(world, tenant), Secret(new_id(), f"new-{new_id()}", utc_now())
    await world.change_secrets(tenant.client_id, old, new)

    for secret in (old, new):
        sent = await calling(tenant, secret.text).sender.Send(send_request())
        assert (await logged(tenant, sent.tracking_id)).origin.key_id == secret.key_id


async def test_a_repetition_changes_nothing(tenant: Tenant) -> None:
    """A send that is repeated by another way is the same send, and keeps where it came from first."""
    first = await calling(tenant, metadata=VIA_HTTP).sender.Send(send_request(request_id="r"))
    before = await logged(tenant, first.tracking_id)

    again = await calling(tenant).sender.Send(send_request(request_id="r"))

    assert (again.replayed, again.tracking_id) == (True, first.tracking_id)
    assert await logged(tenant, first.tracking_id) == before


async def test_a_change_of_a_scheduled_message_leaves_it(tenant: Tenant) -> None:
    """What waits for its time was made by its send, whoever changes it by then."""
    later = utc_now() + timedelta(hours=1)
    sent = await calling(tenant, metadata=VIA_HTTP).sender.Send(send_request(schedule_time=later))
    before = await logged(tenant, sent.tracking_id)

    change: Any = sender_pb2.SendRequest(tags=["changed"])
    await tenant.backend.sender.UpdateSchedule(
        sender_pb2.UpdateScheduleRequest(
            tracking_id=sent.tracking_id, request=change, update_mask=FieldMask(paths=["tags"])
        )
    )

    after = await logged(tenant, sent.tracking_id)
    assert list(after.tags) == ["changed"]
    assert (after.origin, after.call_id) == (before.origin, before.call_id)
    assert after.origin.protocol == "notificationapi"


async def test_a_message_from_before_has_none(world: World, tenant: Tenant) -> None:
    """One that was stored without is told without."""
    (sent,) = await tenant.send(send_request())
    await world.database.messages.update_one({"_id.m": sent.tracking_id}, {"$unset": {"call": ""}})

    message = await logged(tenant, sent.tracking_id)

    assert (message.HasField("origin"), message.call_id) == (False, "")


async def test_a_deleted_message_leaves_no_trace_of_it(world: World, tenant: Tenant) -> None:
    """What is left of a message does not say who sent it."""
    (sent,) = await tenant.send(send_request(request_id="r"))
    await tenant.backend.messages.DeleteMessage(messages_pb2.DeleteMessageRequest(tracking_id=sent.tracking_id))

    assert "call" not in await world.database.messages.find_one({"_id.m": sent.tracking_id})
