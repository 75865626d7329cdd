"""The collection of messages alone, on a MongoDB that fails as a test says."""

from __future__ import annotations

import asyncio
import uuid
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import bson
from bson.raw_bson import RawBSONDocument
from pymongo import monitoring
from pymongo.read_concern import ReadConcern

from services.kernel.clock import new_id
from services.kernel.mongo import open_client
from services.messages.files import FileStore
from services.messages.inserts import Inserted, Outcome, insert_all
from services.messages.store import MessageStore
from tests.failpoints import failing_inserts, holding_inserts

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
    from contextlib import AbstractAsyncContextManager

    from pymongo.asynchronous.collection import AsyncCollection

    from services.kernel.mongo import Client

STORED = Inserted.STORED
DUPLICATE_REQUEST = Inserted.DUPLICATE_REQUEST


class Inserts(monitoring.CommandListener):
    """Counts the documents of each insert that is sent, the driver's own repetitions included."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.failures = asyncio.Semaphore(0)

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        """Notes an insert."""
        if event.command_name == "insert":
            self.sizes.append(len(event.command["documents"]))

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        """Does nothing."""

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        """Notes a failure."""
        if event.command_name == "insert":
            self.failures.release()


@dataclass
class Box:
    """A collection of messages, the client under test, and another one beside it that no failure touches."""

    store: MessageStore
    messages: AsyncCollection[dict[str, Any]]
    aside: Client
    sent: Inserts
    app_name: str

    async def insert(self, *documents: RawBSONDocument, patience_s: float = 20) -> list[Outcome]:
        """Inserts as one flush."""
        return await insert_all(self.messages, documents, request_index="request", patience_s=patience_s)

    def failing(self, times: int | None = None, **how: Any) -> AbstractAsyncContextManager[None]:
        """Lets the next inserts of the client under test fail, or all of the block."""
        return failing_inserts(self.aside, self.app_name, times=times, **how)

    def holding_half_way(self) -> AbstractAsyncContextManager[Callable[[], Awaitable[None]]]:
        """Holds an insert once it has stored its first 500 messages; gives what awaits that."""
        return holding_inserts(self.aside, self.messages.full_name, half_way=True)

    async def interrupt(self) -> None:
        """Interrupts the insert that hangs, as an operator would."""
        admin = self.aside.admin.with_options(read_concern=ReadConcern("local"))
        operations = admin.aggregate([{"$currentOp": {}}, {"$match": {"command.insert": "messages"}}])
        async for operation in await operations:
            await self.aside.admin.command("killOp", op=operation["opid"])

    async def count(self) -> int:
        """Counts what is stored, by a majority or not."""
        return await self.messages.with_options(read_concern=ReadConcern("local")).count_documents({})

    async def store_aside(self, documents: Collection[RawBSONDocument]) -> None:
        """Stores documents by the other client, as an earlier try whose answer was lost."""
        aside = self.aside[self.messages.database.name].messages
        await aside.insert_many(list(documents))


def message(request_id: str = "", *, user_id: str = "u", **fields: Any) -> RawBSONDocument:
    """Makes a message, as far as storage looks at it."""
    document = {"_id": {"e": "e", "u": user_id, "m": new_id()}, **fields}
    if request_id:
        document["request_id"] = request_id
    return RawBSONDocument(bson.encode(document))


def messages(count: int) -> list[RawBSONDocument]:
    """Makes messages with request ids of their own."""
    return [message(f"r-{number}") for number in range(count)]


def poison() -> RawBSONDocument:
    """Makes a message because of which MongoDB refuses the whole command: it has a value of a type that is none."""
    sound = bytes(message(poison=True).raw)
    return RawBSONDocument(sound.replace(b"\x08poison\0", b"\x77poison\0"))


def is_every(outcomes: Sequence[Outcome], expected: Inserted) -> bool:
    """Tells whether all came out so."""
    return all(outcome is expected for outcome in outcomes)


@asynccontextmanager
async def open_box(uri: str, **options: Any) -> AsyncIterator[Box]:
    """Opens a database of its own."""
    sent, app_name = Inserts(), uuid.uuid4().hex
    async with (
        open_client(uri, app_name=app_name, event_listeners=[sent], **options) as client,
        open_client(uri, app_name="aside") as aside,
    ):
        database = client[f"box_{app_name}"]
        async with MessageStore(database, FileStore(database)) as store:
            await store.ensure_indexes()
            yield Box(store, database.messages, aside, sent, app_name)
