"""What a worker gets through, as a share of what MongoDB lets anybody, and how soon it begins: `make bench-deliver`.

The provider answers at once, so that what is measured is the worker. Its floor is the least that an outbox could do: as
many single-document updates, 500 to a command, acknowledged alike. A round is both, one after the other, in one
process, on one MongoDB; the ratio of a round is free of what the machine did in the others.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvloop
from pymongo import UpdateOne
from rich.table import Table

from services.app import Storage, Stores
from services.delivery.app import run_worker
from services.delivery.model import Answer
from services.delivery.providers import Providers
from services.environments.model import Environment
from services.kernel.clock import new_id, utc_now
from services.kernel.crypto import SecretBox
from services.kernel.logging import configure_logging
from services.kernel.mongo import open_client
from services.kernel.mongod import LocalMongod
from services.kernel.vocabulary import Channel, Priority
from services.messages.model import AttemptOutcome, Delivery, DeliveryState, Message
from services.messages.store import encode
from services.notifications.model import Content
from services.settings import WorkerSettings
from tests.bench.send import console, machine

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from services.delivery.model import Outgoing

MESSAGES = 5000
PICK_UPS = 100
_CLIENT = "bench"
_UPDATES = 500
_APART_S = 0.15


@dataclass
class Instant:
    """A provider that accepts at once."""

    name: str = "instant"
    deadline_s: float = 10.0
    max_in_flight: int = 1000
    begun: dict[str, float] = field(default_factory=dict)
    missing: int = 0
    done: asyncio.Event = field(default_factory=asyncio.Event)

    async def deliver(self, outgoing: Outgoing) -> Answer:
        """Notes when it was called."""
        self.begun[outgoing.tracking_id] = time.perf_counter()
        self.missing -= 1
        if not self.missing:
            self.done.set()
        return Answer(AttemptOutcome.ACCEPTED, provider_id="250 OK")

    async def check(self) -> None:
        """Does nothing."""

    def expect(self, count: int) -> None:
        """Says after how many calls it is done."""
        self.missing = count
        self.done.clear()


def make_message(number: int) -> Message:
    """Makes a mail of one kilobyte that is due."""
    content = Content(Channel.EMAIL, {"subject": "Your order is on its way", "html": "x" * 1000})
    now = utc_now()
    return Message(
        client_id=_CLIENT,
        user_id=f"user-{number % 500}",
        tracking_id=new_id(),
        notification_id="order_tracking",
        sub_notification_id="",
        secondary_id="",
        group_id="",
        tags=(),
        priority=Priority.NORMAL,
        create_time=now,
        expire_time=now + timedelta(days=90),
        deliveries=(Delivery(Channel.EMAIL, DeliveryState.PENDING, content=content, address="a@example.com"),),
        warnings=(),
        item=None,
        request=b"x" * 300,
    )


async def store(stores: Stores, count: int) -> None:
    """Stores messages that are due."""
    await asyncio.gather(*(stores.messages.insert(encode(make_message(number))) for number in range(count)))


async def floor_per_s(stores: Stores, count: int) -> float:
    """Stores messages, and gives how many of them a second MongoDB can be told that they are sent."""
    await store(stores, count)
    messages = stores.database.messages
    ids = [document["_id"] async for document in messages.find({"due_time": {"$exists": True}}, {"_id": 1})]
    begun = time.perf_counter()
    for start in range(0, count, _UPDATES):
        await messages.bulk_write(
            [
                UpdateOne({"_id": one}, {"$set": {"deliveries.0.state": "SENT"}, "$unset": {"due_time": ""}})
                for one in ids[start : start + _UPDATES]
            ],
            ordered=False,
        )
    return count / (time.perf_counter() - begun)


@asynccontextmanager
async def worker(storage: Storage, provider: Instant) -> AsyncIterator[None]:
    """Runs a worker until the block ends."""
    stop, ready = asyncio.Event(), asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        providers = Providers(email=provider)
        tasks.create_task(run_worker(WorkerSettings(), storage, stop, providers=providers, on_ready=ready.set))
        await ready.wait()
        yield
        stop.set()


async def worker_per_s(storage: Storage, stores: Stores, count: int) -> float:
    """Stores messages, and gives how many of them a second a worker gets through, its writes included."""
    await store(stores, count)
    provider = Instant()
    provider.expect(count)
    begun = time.perf_counter()
    async with worker(storage, provider):
        await provider.done.wait()
    # The worker has ended, so all is written.
    return count / (time.perf_counter() - begun)


async def pick_ups(storage: Storage, stores: Stores) -> list[float]:
    """Gives how many seconds an idle worker lets pass between a message's acknowledgement and its call."""
    provider, waits = Instant(), []
    async with worker(storage, provider):
        for number in range(PICK_UPS):
            provider.expect(1)
            message = make_message(number)
            await stores.messages.insert(encode(message))
            stored = time.perf_counter()
            await provider.done.wait()
            waits.append(provider.begun[message.tracking_id] - stored)
            # Idle again, at another moment of its waiting.
            await asyncio.sleep(_APART_S * (1 + number % 7 / 7))
    return waits


async def main(rounds: int, count: int) -> None:
    """Measures and prints."""
    configure_logging("ERROR")
    with tempfile.TemporaryDirectory() as folder:
        async with LocalMongod(Path(folder)) as mongod:
            console.print(machine(mongod.uri))
            storage = Storage(mongod.uri.replace("/?", "/carillon?"), bytes(32))
            client: Any
            async with open_client(storage.mongodb_uri) as client, Stores(client, SecretBox(bytes(32))) as stores:
                await stores.ensure_indexes()
                await stores.environments.create(Environment(_CLIENT, ()))
                pairs = []
                for number in range(rounds):
                    floor = await floor_per_s(stores, count)
                    ours = await worker_per_s(storage, stores, count)
                    pairs.append((ours, floor))
                    console.print(f"round {number + 1}: {ours:,.0f}/s of {floor:,.0f}/s = {ours / floor:.2f}")
                waits = sorted(await pick_ups(storage, stores))
    ratios = [ours / floor for ours, floor in pairs]
    table = Table(box=None)
    table.add_column("")
    table.add_column("median", justify="right")
    table.add_column("range", justify="right")
    for name, values, form in (
        ("messages a second", [ours for ours, _ in pairs], ",.0f"),
        ("updates a second, the floor", [floor for _, floor in pairs], ",.0f"),
        ("ratio", ratios, ".2f"),
    ):
        table.add_row(name, f"{statistics.median(values):{form}}", f"{min(values):{form}} - {max(values):{form}}")
    console.print(table)
    milliseconds = [1000 * wait for wait in waits]
    console.print(
        f"an idle worker begins after {statistics.median(milliseconds):.0f} ms (p50), "
        f"{milliseconds[len(milliseconds) * 99 // 100]:.0f} ms (p99), {milliseconds[-1]:.0f} ms at most, of {PICK_UPS}"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="make bench-deliver B=")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--messages", type=int, default=MESSAGES)
    arguments = parser.parse_args()
    uvloop.run(main(arguments.rounds, arguments.messages))
