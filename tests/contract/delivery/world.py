"""Services and a worker in one loop, on a real MongoDB; the providers are a test's to choose."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from carillon.v1 import delivery_pb2, messages_pb2, sender_pb2
from services.app import Storage
from services.delivery.app import run_worker
from services.delivery.model import Answer
from services.delivery.providers import Providers
from services.kernel.clock import utc_now
from services.messages.model import AttemptOutcome
from services.settings import WorkerSettings
from tests.contract.services.world import MASTER_KEY

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from datetime import datetime

    from aiohttp.abc import AbstractResolver

    from services.delivery.model import Outgoing
    from services.kernel.clock import Clock
    from tests.contract.services.world import Tenant

ACCEPTED = Answer(AttemptOutcome.ACCEPTED)
TEMPORARY = Answer(AttemptOutcome.TEMPORARY_FAILURE, detail="busy")
PERMANENT = Answer(AttemptOutcome.PERMANENT_FAILURE, detail="no such address")
FINAL = frozenset({"SENT", "DELIVERED", "FAILED", "SKIPPED", "CANCELLED"})


@dataclass
class Post:
    """A provider that answers as it is told, for what is about the worker and not about a provider's protocol."""

    answer: Callable[[Outgoing], Answer] = lambda _: ACCEPTED
    name: str = "post"
    deadline_s: float = 10.0
    max_in_flight: int = 100
    calls: list[Outgoing] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    """Calls wait here for their answer."""

    called: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    """Released by each call as it begins."""

    def __post_init__(self) -> None:
        self.gate.set()

    async def deliver(self, outgoing: Outgoing) -> Answer:
        """Notes the call and answers."""
        self.calls.append(outgoing)
        self.called.release()
        await self.gate.wait()
        return self.answer(outgoing)

    async def check(self) -> None:
        """Does nothing."""


def everything(post: Post) -> Providers:
    """Gives providers of which one carries all."""
    return Providers(fallback=post)


@asynccontextmanager
async def run_workers(
    mongodb_uri: str,
    providers: Providers,
    *,
    count: int = 1,
    now: Clock | None = None,
    stop: asyncio.Event | None = None,
    settings: WorkerSettings | None = None,
    resolver: AbstractResolver | None = None,
) -> AsyncIterator[None]:
    """Runs workers in this loop until the block ends, or until ``stop`` is set."""
    stop = stop or asyncio.Event()
    storage = Storage(mongodb_uri.replace("/?", "/carillon?"), MASTER_KEY)
    ready = asyncio.Semaphore(0)
    async with asyncio.TaskGroup() as tasks:
        for _ in range(count):
            tasks.create_task(
                run_worker(
                    settings or WorkerSettings(),
                    storage,
                    stop,
                    providers=providers,
                    on_ready=ready.release,
                    now=now,
                    resolver=resolver,
                )
            )
        for _ in range(count):
            await ready.acquire()
        try:
            yield
        finally:
            stop.set()


@asynccontextmanager
async def killed_worker(mongodb_uri: str, providers: Providers, *, now: Clock) -> AsyncIterator[None]:
    """Runs a worker that ends with the block as if it were killed: whatever it is about, it writes nothing more."""
    async with asyncio.TaskGroup() as tasks:

        async def work() -> None:
            async with run_workers(mongodb_uri, providers, now=now):
                await asyncio.Event().wait()

        worker = tasks.create_task(work())
        yield
        worker.cancel()


async def logged(tenant: Tenant, tracking_id: str) -> messages_pb2.Message:
    """Gives a message as the log has it."""
    request = messages_pb2.GetMessageRequest(tracking_id=tracking_id)
    answer: messages_pb2.GetMessageResponse = await tenant.backend.messages.GetMessage(request)
    return answer.message


def delivery_of(message: messages_pb2.Message | sender_pb2.SendResponse, channel: int) -> delivery_pb2.Delivery:
    """Gives what became of a message on one channel."""
    return next(one for one in message.deliveries if one.channel == channel)


def state_of(delivery: delivery_pb2.Delivery | delivery_pb2.TargetDelivery) -> str:
    """Gives the short name of the state of a delivery, or of one of its targets."""
    return delivery_pb2.DeliveryState.Name(delivery.state).removeprefix("DELIVERY_STATE_")


def outcomes_of(delivery: delivery_pb2.Delivery) -> list[str]:
    """Gives the short names of how a delivery's attempts ended."""
    name = delivery_pb2.AttemptOutcome.Name
    return [name(one.outcome).removeprefix("ATTEMPT_OUTCOME_") for one in delivery.attempts]


async def until_final(tenant: Tenant, tracking_id: str, channel: int) -> delivery_pb2.Delivery:
    """Waits until a message's delivery on a channel has come to its end, and gives it."""
    return await until(
        tenant, tracking_id, channel, lambda one: state_of(one) in FINAL and not one.HasField("next_time")
    )


async def until(
    tenant: Tenant, tracking_id: str, channel: int, condition: Callable[[delivery_pb2.Delivery], bool]
) -> delivery_pb2.Delivery:
    """Waits until a message's delivery on a channel is as a test wants it, and gives it."""
    async with asyncio.timeout(timedelta(seconds=60).total_seconds()):
        while True:
            delivery = delivery_of(await logged(tenant, tracking_id), channel)
            if condition(delivery):
                return delivery
            # The log is asked, which has no event to wait for.
            await asyncio.sleep(0.02)


class MovingClock:
    """A clock that goes on by itself, and that a test may put forward."""

    def __init__(self) -> None:
        self._ahead = timedelta(0)

    def __call__(self) -> datetime:
        """Gives the time."""
        return utc_now() + self._ahead

    def move(self, by: timedelta) -> None:
        """Puts it forward."""
        self._ahead += by
