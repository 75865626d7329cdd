"""What providers report later: which deliveries it moves, and which it leaves."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import grpc
import pytest
import pytest_asyncio

from carillon.v1 import delivery_pb2, messages_pb2, messages_pb2_grpc, users_pb2
from services.kernel.clock import new_id
from services.kernel.links import LinkTokens, ReportLink, UnsubscribeLink
from services.kernel.vocabulary import Channel
from tests.contract.delivery.world import delivery_of, logged, state_of
from tests.contract.services.refusals import assert_violates, refusal
from tests.contract.services.requests import SMS, USER, send_request
from tests.contract.services.world import MASTER_KEY

if TYPE_CHECKING:
    from tests.contract.services.world import Tenant, World

pytestmark = pytest.mark.asyncio(loop_scope="session")

TOKENS = LinkTokens(MASTER_KEY)
DELIVERED = delivery_pb2.DELIVERY_STATE_DELIVERED
FAILED = delivery_pb2.DELIVERY_STATE_FAILED
ACCEPTED = {"outcome": "ACCEPTED", "provider": "twilio"}


def token(tenant: Tenant, tracking_id: str, channel: Channel = Channel.SMS) -> str:
    """Makes the token of a callback's address."""
    return TOKENS.write(ReportLink(tenant.client_id, USER, tracking_id, channel))


async def report(
    tenant: Tenant, given: str, *, provider_id: str = "SM1", state: Any = DELIVERED, detail: str = ""
) -> None:
    """Reports, without any credentials."""
    stub: Any = messages_pb2_grpc.MessagesStub(tenant.channel)
    request = messages_pb2.ReportDeliveryRequest(
        report_token=given, provider_id=provider_id, state=state, detail=detail
    )
    assert await stub.ReportDelivery(request, timeout=15) == messages_pb2.ReportDeliveryResponse()


@pytest_asyncio.fixture(loop_scope="session")
async def tracking_id(tenant: Tenant) -> str:
    """Sends a text, of which nothing is known yet."""
    (sent,) = await tenant.send(send_request(user={"number": "+15005550006"}))
    return sent.tracking_id


async def write(world: World, tracking_id: str, state: str, *attempts: dict[str, Any]) -> None:
    """Writes a text's state and attempts, as a worker does."""
    await world.database.messages.update_one(
        {"_id.m": tracking_id},
        {
            "$set": {
                "deliveries.$[sms].state": state,
                "deliveries.$[sms].attempts": [{"start_time": None, **one} for one in attempts],
            }
        },
        array_filters=[{"sms.channel": "SMS"}],
    )


async def stored(world: World, tracking_id: str) -> dict[str, Any]:
    """Gives a message as it is stored."""
    document = await world.database.messages.find_one({"_id.m": tracking_id})
    assert document is not None
    return dict(document)


def text_of(document: dict[str, Any]) -> dict[str, Any]:
    """Gives what became of the text."""
    return next(one for one in document["deliveries"] if one["channel"] == "SMS")


@pytest.mark.parametrize("before", ["PENDING", "SENT"])
async def test_a_report_ends_a_delivery(tenant: Tenant, world: World, tracking_id: str, before: str) -> None:
    """What a provider delivered is DELIVERED, also when its report comes before the worker has written anything."""
    attempts = [ACCEPTED | {"provider_id": "SM1"}] if before == "SENT" else []
    await write(world, tracking_id, before, *attempts)
    sent = await stored(world, tracking_id)

    await report(tenant, token(tenant, tracking_id))

    after = await stored(world, tracking_id)
    assert text_of(after)["state"] == "DELIVERED"
    assert text_of(after)["update_time"] > sent["create_time"]
    # No browser is told, and the other channels are left alone.
    assert after["changed"] == sent["changed"]
    others = [[one for one in each["deliveries"] if one["channel"] != "SMS"] for each in (sent, after)]
    assert others[0] == others[1]


async def test_a_report_says_why_it_failed(tenant: Tenant, tracking_id: str) -> None:
    """A failure is in the log with the provider's words, on one line and at most 1,024 bytes of them."""
    await report(tenant, token(tenant, tracking_id), state=FAILED, detail="undelivered\n30005 " + "ü" * 2000)

    delivery = delivery_of(await logged(tenant, tracking_id), SMS)
    assert state_of(delivery) == "FAILED"
    assert delivery.detail.startswith("undelivered 30005 ü")
    assert 1000 < len(delivery.detail.encode()) <= 1024
    assert not delivery.HasField("next_time")


@pytest.mark.parametrize("state", ["DELIVERED", "FAILED", "SKIPPED", "CANCELLED"])
@pytest.mark.parametrize("reported", [DELIVERED, FAILED])
async def test_a_state_never_goes_back(
    tenant: Tenant, world: World, tracking_id: str, state: str, reported: Any
) -> None:
    """A delivery that has come to its end stays as it is, whatever is reported, and in whatever order."""
    await write(world, tracking_id, state)
    before = await stored(world, tracking_id)

    await report(tenant, token(tenant, tracking_id), state=reported, detail="x")

    assert await stored(world, tracking_id) == before


async def test_a_report_can_be_repeated(tenant: Tenant, world: World, tracking_id: str) -> None:
    """The second of two equal reports, and of two at once, changes nothing."""
    await asyncio.gather(*(report(tenant, token(tenant, tracking_id), detail="a") for _ in range(5)))
    once = await stored(world, tracking_id)

    await report(tenant, token(tenant, tracking_id), detail="b")

    assert await stored(world, tracking_id) == once


@pytest.mark.parametrize("state", ["PENDING", "SENT"])
async def test_an_old_attempt_fails_no_newer_one(tenant: Tenant, world: World, tracking_id: str, state: str) -> None:
    """Once it is known under which id the provider accepted, only a report about that one counts."""
    unknown = {"outcome": "UNKNOWN", "provider": "twilio"}
    await write(world, tracking_id, state, unknown, ACCEPTED | {"provider_id": "SM2"})
    before = await stored(world, tracking_id)

    for reported in (FAILED, DELIVERED):
        await report(tenant, token(tenant, tracking_id), provider_id="SM1", state=reported)
        assert await stored(world, tracking_id) == before

    await report(tenant, token(tenant, tracking_id), provider_id="SM2", state=FAILED)
    assert text_of(await stored(world, tracking_id))["state"] == "FAILED"


async def test_a_report_counts_while_no_id_is_known(tenant: Tenant, world: World, tracking_id: str) -> None:
    """After attempts of which nobody knows what became, and one accepted without an id, a report is believed."""
    await write(world, tracking_id, "SENT", {"outcome": "UNKNOWN", "provider": "twilio"}, ACCEPTED)

    await report(tenant, token(tenant, tracking_id))

    assert text_of(await stored(world, tracking_id))["state"] == "DELIVERED"


async def test_a_report_of_what_is_gone_is_fine(tenant: Tenant, world: World, tracking_id: str) -> None:
    """A message that never was, was deleted, has no such channel, or whose user is gone: OK, and nothing changes."""
    await report(tenant, token(tenant, new_id()))
    before = await stored(world, tracking_id)
    await report(tenant, token(tenant, tracking_id, Channel.PUSH))
    assert await stored(world, tracking_id) == before

    await tenant.backend.messages.DeleteMessage(messages_pb2.DeleteMessageRequest(tracking_id=tracking_id))
    before = await stored(world, tracking_id)
    await report(tenant, token(tenant, tracking_id))
    assert await stored(world, tracking_id) == before

    await tenant.backend.users.DeleteUser(users_pb2.DeleteUserRequest(user_id=USER))
    await report(tenant, token(tenant, tracking_id))
    assert (await tenant.stored())["messages"] == 0


async def test_a_wrong_token_reports_nothing(tenant: Tenant, world: World, tracking_id: str) -> None:
    """A token that was changed, cut, made under another key or for something else is refused, all in one way."""
    right = token(tenant, tracking_id)
    link = ReportLink(tenant.client_id, USER, tracking_id, Channel.SMS)
    before = await stored(world, tracking_id)
    wrong = [
        "",
        right[:-1],
        right + "A",
        ("A" if right[0] != "A" else "B") + right[1:],
        LinkTokens(bytes(31) + b"x").write(link),
        TOKENS.write(UnsubscribeLink(tenant.client_id, USER, "order_tracking", "", Channel.SMS)),
    ]

    # The token goes before everything else that may be wrong.
    refused = {await refusal(report(tenant, one, provider_id="", state=0)) for one in wrong}

    (only,) = refused
    assert (only.code, only.reason) == (grpc.StatusCode.UNAUTHENTICATED, "REPORT_TOKEN_INVALID")
    assert await stored(world, tracking_id) == before


async def test_a_report_is_delivered_or_failed(tenant: Tenant, world: World, tracking_id: str) -> None:
    """Every other state is refused, and so is a report without the provider's id or with one that is too long."""
    before = await stored(world, tracking_id)
    for state, reason in ((0, "REQUIRED"), (99, "UNKNOWN_VALUE"), (delivery_pb2.DELIVERY_STATE_SENT, "INVALID")):
        refused = await refusal(report(tenant, token(tenant, tracking_id), state=state))
        assert_violates(refused, [("state", reason)])
    for provider_id, reason in (("", "REQUIRED"), ("x" * 257, "TOO_LONG")):
        refused = await refusal(report(tenant, token(tenant, tracking_id), provider_id=provider_id))
        assert_violates(refused, [("provider_id", reason)])

    assert await stored(world, tracking_id) == before
