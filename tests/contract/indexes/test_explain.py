from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from services.app import Stores
from services.delivery.outbox import Outbox
from services.inbox.marks import MarkStore
from services.inbox.store import InboxStore
from services.kernel.crypto import SecretBox
from services.kernel.mongo import open_client
from services.kernel.mongod import LocalMongod
from services.messages.expiry import Expiry
from services.messages.log import MessageLog
from services.messages.schedules import ScheduleStore
from services.messages.store import MessageStore
from tests.contract.indexes.cases import CASES, Case
from tests.contract.indexes.collection import Collection, fill
from tests.contract.indexes.explainer import Explainer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.asyncio(loop_scope="session")

STORES = {
    "messages": MessageStore,
    "schedules": ScheduleStore,
    "expiry": Expiry,
    "log": MessageLog,
    "inbox": InboxStore,
    "marks": MarkStore,
    "outbox": Outbox,
}
# These query nothing by themselves.
NO_QUERY = {"ensure_indexes", "insert", "run"}


@dataclass(frozen=True)
class Explained:
    """A filled database whose stores' commands are explained."""

    stores: Stores
    collection: Collection
    explainer: Explainer


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def explained(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Explained]:
    """Gives 2,000 messages of 20 users and two environments."""
    async with LocalMongod(tmp_path_factory.mktemp("mongod")) as mongod:
        uri = mongod.uri.replace("/?", "/carillon?")
        explainer = Explainer(uri)
        async with open_client(uri, event_listeners=[explainer]) as client:
            stores = Stores(client, SecretBox(bytes(32)))
            await stores.ensure_indexes()
            collection = await fill(client.get_default_database(), size=2000, users=20)
            yield Explained(stores, collection, explainer)
        explainer.close()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_a_query_uses_its_index_and_costs_what_it_answers(explained: Explained, case: Case) -> None:
    """What the store sends is answered by the named index, and examines no more than is answered."""
    with explained.explainer.recording() as plans:
        await case.run(explained.stores, explained.collection)

    assert case.problems(plans, explained.collection) == []


async def test_no_query_is_left_out() -> None:
    """Every method of the stores of ``messages`` has a case."""
    methods = {
        f"{name}.{method}"
        for name, store in STORES.items()
        for method, _ in inspect.getmembers(store, inspect.iscoroutinefunction)
        if not method.startswith("_") and method not in NO_QUERY
    }

    assert {case.method for case in CASES if case.method.partition(".")[0] in STORES} == methods
