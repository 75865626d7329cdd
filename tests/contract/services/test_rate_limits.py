"""How many calls an environment may make of one process of the services."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import TYPE_CHECKING

import grpc
import pytest
import pytest_asyncio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from carillon.v1 import inbox_pb2, messages_pb2
from gateway.http.errors import rpc_error
from services.kernel.auth import basic_authorization
from services.kernel.clock import utc_now
from tests.contract.services.methods import METHODS, OPEN
from tests.contract.services.refusals import refusal
from tests.contract.services.requests import USER, send_request
from tests.contract.services.world import Caller, Tenant, run_world

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime

    from tests.contract.services.world import World

pytestmark = pytest.mark.asyncio(loop_scope="session")

BURST = 3


class StandingClock:
    """Tells a time that goes on only as it is told to."""

    def __init__(self) -> None:
        self.now = utc_now()

    def __call__(self) -> datetime:
        """Tells the time."""
        return self.now


@pytest.fixture
def clock() -> StandingClock:
    """Gives the clock of the services with a limit."""
    return StandingClock()


@pytest_asyncio.fixture(loop_scope="session")
async def limited(mongodb_uri: str, clock: StandingClock) -> AsyncIterator[World]:
    """Gives services where an environment may make a call in four seconds, and three at once."""
    async with run_world(mongodb_uri, now=clock, rate_limit_per_s=0.25, rate_limit_burst=BURST) as running:
        yield running


@pytest.fixture
def there(limited: World, tenant: Tenant) -> Tenant:
    """Gives the tenant, who has definitions, at the services with a limit."""
    return Tenant(limited, tenant.client_id, tenant.secret)


async def test_a_call_too_many_waits_for_its_time(there: Tenant, clock: StandingClock) -> None:
    """It is RESOURCE_EXHAUSTED with the time after which it passes, stores nothing, and passes then."""
    await there.send(*(send_request() for _ in range(BURST)))

    refused = await refusal(there.send(send_request()))
    assert (refused.code, refused.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED")
    assert refused.retry_delay_s is not None
    assert refused.retry_delay_s == pytest.approx(4, abs=0.002)
    assert (await there.stored())["messages"] == BURST

    clock.now += timedelta(seconds=refused.retry_delay_s)
    await there.send(send_request())
    assert (await there.stored())["messages"] == BURST + 1
    assert (await refusal(there.send(send_request()))).reason == "RATE_LIMITED"


async def test_the_limit_is_the_environments_own(there: Tenant, tenant: Tenant, limited: World) -> None:
    """Its users and its backend share it; another environment, and this one at another process, have theirs whole."""
    own, other = there.user(USER), await limited.tenant()
    for _ in range(BURST):
        await own.inbox.CountUnread(inbox_pb2.CountUnreadRequest())

    assert (await refusal(there.send(send_request()))).reason == "RATE_LIMITED"
    assert await other.items(USER) == []
    await tenant.send(*(send_request() for _ in range(2 * BURST)))


async def test_what_is_refused_for_its_credentials_costs_nobody_anything(there: Tenant) -> None:
    """A stranger who names an environment does not use up what it may call."""
    stranger = Caller(there.channel, [basic_authorization(there.client_id, "wrong")])
    for _ in range(2 * BURST):
        refused = await refusal(stranger.sender.Send(send_request()))
        assert refused.reason == "CREDENTIALS_INVALID"

    await there.send(send_request())


async def test_who_needs_no_credentials_is_not_counted(there: Tenant) -> None:
    """Health, and what a token of a link opens, go on while the environment is over its rate."""
    for _ in range(BURST):
        await there.items(USER)
    assert (await refusal(there.items(USER))).reason == "RATE_LIMITED"

    credentials = [basic_authorization(there.client_id, there.secret)]
    for method in (one for one in METHODS if one.name in OPEN):
        assert (await refusal(method.call(there.channel, b"", credentials))).reason == OPEN[method.name]
    health = await health_pb2_grpc.HealthStub(there.channel).Check(health_pb2.HealthCheckRequest())
    assert health.status == health_pb2.HealthCheckResponse.SERVING


async def test_a_stream_counts_once(there: Tenant) -> None:
    """However much a stream carries, it is one call, and it goes on when the rate is used up."""
    watching = there.user(USER).inbox.WatchInbox(inbox_pb2.WatchInboxRequest(), timeout=60)
    assert (await watching.read()).HasField("welcome")
    sent = await there.send(*(send_request() for _ in range(BURST - 1)))
    assert (await refusal(there.send(send_request()))).reason == "RATE_LIMITED"

    for one in sent:
        assert (await watching.read()).created.item.id == one.item_id
    watching.cancel()


async def test_it_is_refused_before_it_is_read(there: Tenant) -> None:
    """Bytes that are no request are RATE_LIMITED too: what is over the rate costs as little as can be."""
    for _ in range(BURST):
        await there.items(USER)
    method = next(one for one in METHODS if one.name == "Sender/Send")

    refused = await refusal(method.call(there.channel, b"\xff", [basic_authorization(there.client_id, there.secret)]))

    assert refused.reason == "RATE_LIMITED"


async def test_http_answers_it_with_the_time_to_wait(there: Tenant) -> None:
    """Over HTTP it is a 429 with Retry-After in whole seconds, not too early."""
    for _ in range(BURST):
        await there.items(USER)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await there.backend.messages.ListMessages(messages_pb2.ListMessagesRequest())

    answer = rpc_error(caught.value)

    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) == math.ceil(4.001)
    assert b'"code":"RATE_LIMITED"' in answer.body
