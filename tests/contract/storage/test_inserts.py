"""Inserts of many messages at once: what each caller is told is true, whatever MongoDB says of the whole."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from pymongo.errors import PyMongoError

from services.kernel.errors import Unavailable
from services.kernel.mongod import LocalMongod
from tests import failpoints
from tests.contract.storage.world import (
    DUPLICATE_REQUEST,
    STORED,
    is_every,
    message,
    messages,
    open_box,
    poison,
)
from tests.replica_set import ReplicaSet

if TYPE_CHECKING:
    from pathlib import Path

    from tests.contract.storage.world import Box

pytestmark = pytest.mark.asyncio(loop_scope="session")

RETRYABLE = ["RetryableWriteError"]


async def test_a_flush_is_one_command(box: Box) -> None:
    """A thousand messages are stored by one insert."""
    assert is_every(await box.insert(*messages(1000)), STORED)
    assert (await box.count(), box.sent.sizes) == (1000, [1000])


async def test_callers_of_one_moment_are_one_command(box: Box) -> None:
    """What is inserted at the same moment goes together, and each gets its own outcome."""
    documents = [message("same"), message("same"), message("other"), message()]

    outcomes = await asyncio.gather(*map(box.store.insert, documents))

    assert box.sent.sizes == [4]
    assert outcomes == [STORED, DUPLICATE_REQUEST, STORED, STORED]


async def test_a_request_is_stored_once(box: Box) -> None:
    """A second message under a request_id is a duplicate, in the same flush and in another one, of this user alone."""
    first = await box.insert(message("r"), message("r"), message("r", user_id="v"), message(), message())
    assert first == [STORED, DUPLICATE_REQUEST, STORED, STORED, STORED]

    assert await box.insert(message("r"), message("s")) == [DUPLICATE_REQUEST, STORED]
    assert await box.count() == 5


async def test_a_message_that_is_refused_costs_only_itself(box: Box) -> None:
    """Of 51 messages in one flush, one of which MongoDB refuses, 50 are stored by that one command."""
    await box.messages.database.command("collMod", "messages", validator={"bad": {"$exists": False}})
    documents = messages(51)
    documents[25] = message("bad", bad=True)

    outcomes = await asyncio.gather(*map(box.store.insert, documents), return_exceptions=True)

    assert isinstance(outcomes.pop(25), PyMongoError)
    assert outcomes == [STORED] * 50
    assert (await box.count(), box.sent.sizes) == (50, [51])


async def test_a_message_that_poisons_the_flush_costs_only_itself(box: Box) -> None:
    """Of 51 messages, because of one of which MongoDB stores none, 50 are stored: after two tries one by one."""
    documents = messages(51)
    documents[25] = poison()

    outcomes = await box.insert(*documents)

    assert isinstance(outcomes.pop(25), PyMongoError)
    assert is_every(outcomes, STORED)
    assert (await box.count(), box.sent.sizes) == (50, [51, 51, *[1] * 51])


async def test_a_lone_poison_is_refused(box: Box) -> None:
    """A message that cannot be stored is refused when it is alone, too, and not repeated until patience ends."""
    (outcome,) = await box.insert(poison())

    assert isinstance(outcome, PyMongoError)
    assert box.sent.sizes == [1, 1, 1]


async def test_a_batch_that_is_refused_once_stays_together(box: Box) -> None:
    """One refusal of the whole is followed by the same batch, which is stored by one command."""
    async with box.failing(1, errorCode=8000):
        assert is_every(await box.insert(*messages(10)), STORED)

    assert box.sent.sizes == [10, 10]


@pytest.mark.parametrize(
    ("times", "how"),
    [
        (1, {"writeConcernError": {"code": 64, "errmsg": "waiting for replication timed out"}}),
        # The driver repeats a retryable error by itself, until the deadline of the flush.
        (2, {"writeConcernError": {"code": 91, "errmsg": "shutting down", "errorLabels": RETRYABLE}}),
        (2, {"errorCode": 11602, "errorLabels": RETRYABLE}),
        (3, {"errorCode": 10107, "errorLabels": RETRYABLE}),
        (2, {"closeConnection": True}),
        (1, {"errorCode": 50}),
        (1, {"errorCode": 112}),
        (1, {"errorCode": 1}),
    ],
    ids=["wtimeout", "shutdown", "step-down", "not-primary", "connection", "time-limit", "conflict", "internal"],
)
async def test_an_error_of_the_whole_is_repeated(box: Box, times: int, how: dict[str, Any]) -> None:
    """After an error that says nothing of single messages the same ones are sent again, and stored once."""
    async with box.failing(times, **how):
        outcomes = await box.insert(*messages(10), message("r-3"))

    assert outcomes == [*[STORED] * 10, DUPLICATE_REQUEST]
    assert await box.count() == 10
    assert len(box.sent.sizes) == times + 1


async def test_nothing_is_stored_before_a_majority_has_it(box: Box) -> None:
    """While write concern fails nobody is told that anything is stored, a duplicate as little as the rest."""
    await box.insert(message("r"))

    async with box.failing(writeConcernError={"code": 64, "errmsg": "timed out"}):
        outcomes = await box.insert(message(), message("r"), patience_s=0.5)

    assert [type(outcome) for outcome in outcomes] == [Unavailable, Unavailable]


async def test_what_an_earlier_try_has_stored_is_stored(box: Box) -> None:
    """Where an error hid that half was stored, the repetition finds it by the ids and stores the other half."""
    # The first user's id is made to look like the refusal of a request.
    documents = [message(user_id="u index: request dup key: "), *messages(9)]
    async with box.failing(errorCode=50):
        flush = asyncio.ensure_future(box.insert(*documents))
        await box.sent.failures.acquire()
        await box.store_aside(documents[:5])

    assert is_every(await flush, STORED)
    assert await box.count() == 10


async def test_an_id_that_is_taken_is_no_success_at_the_first_try(box: Box) -> None:
    """An id that is there before anything was sent is somebody else's message."""
    document = message()
    await box.store_aside([document])

    (outcome,) = await box.insert(document)

    assert isinstance(outcome, PyMongoError)


async def test_a_batch_that_is_interrupted_half_way(box: Box) -> None:
    """When MongoDB gives up in the middle, with half stored, each message is stored once."""
    async with box.holding_half_way() as until_held:
        flush = asyncio.ensure_future(box.insert(*messages(1000)))
        await until_held()
        assert await box.count() == 500
        await box.interrupt()

    assert is_every(await flush, STORED)
    assert (await box.count(), box.sent.sizes) == (1000, [1000, 1000])


async def test_single_inserts_end_with_patience(box: Box) -> None:
    """Where a batch went apart and every insert takes long, all callers are told so when patience is over."""
    async with box.failing(errorCode=8000, blockConnection=True, blockTimeMS=100), asyncio.timeout(5):
        outcomes = await box.insert(*messages(100), patience_s=1)

    kinds = [type(outcome) for outcome in outcomes]
    assert kinds[-1] is Unavailable
    assert kinds.count(Unavailable) > 80


async def test_mongodb_killed_half_way_and_restarted(tmp_path: Path) -> None:
    """When MongoDB is killed in the middle of a flush and comes back, every message is stored, and once."""
    async with LocalMongod(tmp_path, extra_args=failpoints.ENABLED) as mongod, open_box(mongod.uri) as box:
        async with box.holding_half_way() as until_held:
            flush = asyncio.ensure_future(box.insert(*messages(1000)))
            await until_held()
            await mongod.kill()
        await mongod.start()

        assert is_every(await flush, STORED)
        assert await box.count() == 1000


async def test_mongodb_gone_for_longer_than_patience(tmp_path: Path) -> None:
    """Without MongoDB every caller is told, when patience is over, that nobody knows."""
    async with LocalMongod(tmp_path, extra_args=failpoints.ENABLED) as mongod, open_box(mongod.uri) as box:
        await mongod.kill()

        async with asyncio.timeout(5):
            outcomes = await box.insert(*messages(10), patience_s=0.5)

    assert [type(outcome) for outcome in outcomes] == [Unavailable] * 10


async def test_an_election_half_way(tmp_path: Path) -> None:
    """When the primary is killed in the middle of a flush, another takes over and every message is stored once."""
    async with ReplicaSet(tmp_path, extra_args=failpoints.ENABLED) as replica_set:
        primary = await replica_set.primary()
        async with open_box(replica_set.uri) as box:
            async with box.holding_half_way() as until_held:
                flush = asyncio.ensure_future(box.insert(*messages(1000)))
                await until_held()
                await replica_set.kill(primary)

            assert is_every(await flush, STORED)
            assert await box.count() == 1000


async def test_elections_under_load(tmp_path: Path) -> None:
    """While the primary steps down twice and is killed once, every caller is answered OK, and stored once."""
    async with ReplicaSet(tmp_path) as replica_set, open_box(replica_set.uri) as box:
        outcomes: list[object] = []
        stop = asyncio.Event()

        async def call() -> None:
            while not stop.is_set():
                outcomes.append(await box.store.insert(message(f"r-{len(outcomes)}")))

        async with asyncio.TaskGroup() as tasks:
            for _ in range(32):
                tasks.create_task(call())
            for _ in range(2):
                await step_down(box)
                await replica_set.primary()
            await replica_set.kill(await replica_set.primary())
            await replica_set.primary()
            stop.set()

        assert set(map(type, outcomes)) <= {type(STORED)}
        assert await box.count() == outcomes.count(STORED) > 100


async def step_down(box: Box) -> None:
    """Makes the primary step down, after which there is none for a moment."""
    # It closes the connection that this came by.
    await asyncio.gather(
        box.aside.admin.command("replSetStepDown", 5, secondaryCatchUpPeriodSecs=5, force=True),
        return_exceptions=True,
    )
