"""MongoDB's own fail points: it fails or hangs where a test says, and not where the clock happens to stand."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import pymongo
from pymongo.errors import ConnectionFailure, ExecutionTimeout
from pymongo.read_concern import ReadConcern

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from services.kernel.mongo import Client

ENABLED = ("--setParameter", "enableTestCommands=1")
"""What a mongod must be started with."""

_HANG = "hangDuringBatchInsert"
_PATIENCE_MS = 20_000


@asynccontextmanager
async def failing_inserts(
    client: Client, app_name: str, *, times: int | None = None, **how: Any
) -> AsyncIterator[None]:
    """Lets inserts fail until the block ends, as `failing_commands`."""
    async with failing_commands(client, app_name, "insert", times=times, **how):
        yield


@asynccontextmanager
async def failing_commands(
    client: Client, app_name: str, *commands: str, times: int | None = None, skip: int = 0, **how: Any
) -> AsyncIterator[None]:
    """Lets commands fail until the block ends.

    Args:
        client: Who asks for it, with another name than those that fail.
        app_name: The clients whose commands fail.
        commands: Which of them, as ``insert``.
        times: How often; absent: always.
        skip: How many pass before, where ``times`` is absent.
        how: ``errorCode``, ``errorLabels``, ``writeConcernError``, ``closeConnection`` or ``blockConnection``; also
            ``namespace``, for the commands on one collection.
    """
    mode: Any = {"times": times} if times else {"skip": skip} if skip else "alwaysOn"
    data = {"failCommands": list(commands), "appName": app_name, **how}
    await client.admin.command({"configureFailPoint": "failCommand", "mode": mode, "data": data})
    try:
        yield
    finally:
        await client.admin.command({"configureFailPoint": "failCommand", "mode": "off"})


@asynccontextmanager
async def holding_inserts(
    client: Client, namespace: str, *, half_way: bool = False
) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Holds inserts until the block ends; gives what awaits that one is held.

    Args:
        client: Who asks for it.
        namespace: The collection, with its database.
        half_way: Whether the first 500 documents are stored before.
    """
    mode: Any = {"skip": 1} if half_way else "alwaysOn"
    # To be stopped while it hangs, as by an operator or by a step-down.
    data = {"nss": namespace, "shouldCheckForInterrupt": True}
    before = await client.admin.command({"configureFailPoint": _HANG, "mode": mode, "data": data})

    async def until_held() -> None:
        wanted = {"waitForFailPoint": _HANG, "timesEntered": before["count"] + 1, "maxTimeMS": _PATIENCE_MS}
        await client.admin.command(wanted)

    try:
        yield until_held
    finally:
        # One that was killed meanwhile holds nothing. ExecutionTimeout: the time was up before anything was sent.
        with suppress(ConnectionFailure, ExecutionTimeout), pymongo.timeout(1):
            await client.admin.command({"configureFailPoint": _HANG, "mode": "off"})


async def held_inserts(client: Client, count: int) -> None:
    """Returns once so many inserts are held at the same time: each counts for itself, unlike above."""
    # Not what a majority has: what runs on this very server.
    admin = client.admin.with_options(read_concern=ReadConcern("local"))
    pipeline: list[dict[str, Any]] = [{"$currentOp": {}}, {"$match": {"failpointMsg": _HANG}}]
    async with asyncio.timeout(_PATIENCE_MS / 1000):
        while len(await (await admin.aggregate(pipeline)).to_list()) < count:  # noqa: ASYNC110 - MongoDB tells nobody
            await asyncio.sleep(0.01)
