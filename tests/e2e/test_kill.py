"""Whatever is killed in the middle of sends: what was acknowledged is there, and each request is one message."""

from __future__ import annotations

import asyncio
import random
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from services.kernel.mongod import LocalMongod
from tests.e2e.sends import Sends
from tests.e2e.stack import Stack
from tests.replica_set import ReplicaSet

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

# A seed says when the kill falls; it is in the name of the sends, which is printed.
SERVICES_SEEDS = range(10)
MONGOD_SEEDS = range(10, 20)
PRIMARY_SEEDS = range(20, 30)
SENDS = 2000


@asynccontextmanager
async def new_stack(mongodb_uri: str) -> AsyncIterator[Stack]:
    """Gives an environment with the sample definitions, and no services that run."""
    stack = Stack(mongodb_uri=mongodb_uri.replace("/?", "/carillon?"))
    created = await stack.create_environment()
    assert created.code == 0, created.stderr
    async with stack.services():
        applied = await stack.apply_samples()
        assert applied.code == 0, applied.stderr
    yield stack


async def send_and_kill(stack: Stack, sends: Sends, seed: int, kill: Callable[[], Awaitable[None]]) -> None:
    """Sends, and kills when between a quarter and three quarters are acknowledged and others are in flight."""
    wanted = random.Random(seed).randint(sends.count // 4, sends.count * 5 // 8)
    async with stack.backend() as backend:
        run = asyncio.ensure_future(sends.run(backend))
        await sends.until_acknowledged(wanted)
        acknowledged, in_flight = len(sends.acknowledged), sends.in_flight
        assert sends.count / 4 <= acknowledged <= sends.count * 3 / 4
        assert in_flight > 0
        await kill()
        await run
    sys.stderr.write(f"{sends.name}: killed at {acknowledged} of {sends.count}, {in_flight} in flight\n")


async def retry_and_check(stack: Stack, sends: Sends) -> None:
    """Repeats what was not acknowledged, and reads what there is."""
    lost = len(sends.lost)
    async with stack.backend() as backend:
        await sends.retry(backend)
        await sends.check(backend)
    sys.stderr.write(f"{sends.name}: {lost} calls had no answer, {sends.replays} were stored all the same\n")


@pytest.mark.timeout(900)
async def test_services_killed(tmp_path: Path) -> None:
    """SIGKILL of the services loses nothing that was acknowledged, and doubles nothing that is repeated."""
    async with LocalMongod(tmp_path) as mongod, new_stack(mongod.uri) as stack:
        replays = 0
        for seed in SERVICES_SEEDS:
            sends = Sends(f"services-seed-{seed}", SENDS)
            async with stack.services(log_level="warning") as services:
                await send_and_kill(stack, sends, seed, services.kill)
            assert sends.lost
            async with stack.services(log_level="warning"):
                await retry_and_check(stack, sends)
            replays += sends.replays
        assert replays, "no kill fell between a write and its answer"


@pytest.mark.timeout(900)
async def test_mongod_killed(tmp_path: Path) -> None:
    """SIGKILL of MongoDB, which comes back, loses nothing that was acknowledged, and doubles nothing."""
    async with (
        LocalMongod(tmp_path) as mongod,
        new_stack(mongod.uri) as stack,
        stack.services(log_level="error"),
    ):

        async def kill() -> None:
            await mongod.kill()
            await mongod.start()

        for seed in MONGOD_SEEDS:
            sends = Sends(f"mongod-seed-{seed}", SENDS)
            await send_and_kill(stack, sends, seed, kill)
            await retry_and_check(stack, sends)


@pytest.mark.timeout(900)
async def test_primary_killed(tmp_path: Path) -> None:
    """SIGKILL of the primary of three members, another of which takes over, loses and doubles nothing either."""
    async with (
        ReplicaSet(tmp_path) as replica_set,
        new_stack(replica_set.uri) as stack,
        stack.services(log_level="error"),
    ):

        async def kill() -> None:
            await replica_set.kill(primary)

        for seed in PRIMARY_SEEDS:
            primary = await replica_set.primary()
            sends = Sends(f"primary-seed-{seed}", SENDS)
            await send_and_kill(stack, sends, seed, kill)
            await retry_and_check(stack, sends)
            await replica_set.all_members()
