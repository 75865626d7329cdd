"""The connection to MongoDB: its durability and deadlines, its errors in our words, and waiting for it."""

from __future__ import annotations

import asyncio
import random
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import pymongo
import pymongo.lock
import structlog
from pymongo import AsyncMongoClient
from pymongo.errors import ConnectionFailure, ExecutionTimeout, PyMongoError, WriteConcernError
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from services.kernel.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from contextlib import AbstractContextManager

    from pymongo.asynchronous.client_session import AsyncClientSession

    Client = AsyncMongoClient[dict[str, Any]]

T = TypeVar("T")

DEADLINE_S = 10.0
SLICE = 500
"""How many documents one command changes at most: one update of 50,000 holds up every other writer."""

MAX_BACKOFF_S = 5.0

_log = structlog.get_logger(__name__)


async def _wait_for(awaited: Awaitable[T], timeout: float | None) -> T:  # noqa: ASYNC109 - it stands in for asyncio's
    """Does what ``asyncio.wait_for`` does from Python 3.12 on: awaits in the task of the caller."""
    async with asyncio.timeout(timeout):
        return await awaited


if sys.version_info < (3, 12):
    # Python 3.11 awaits in a task of its own. A call that is cancelled while it waits for a server can leave that task
    # behind, which then takes the lock of the driver's topology and never gives it back: from then on every call of
    # this client waits for ever.
    pymongo.lock.wait_for = _wait_for  # type: ignore[assignment, attr-defined] # not meant to be set


def open_client(uri: str, *, app_name: str = "carillon", **options: Any) -> Client:
    """Makes a client whose writes are majority-acknowledged and journaled; it connects at its first use.

    Args:
        uri: Where MongoDB is; what is set here wins over the same option in it.
        app_name: The name that MongoDB's own log shows.
        options: Further options of the driver, for a client with other needs.
    """
    settings: dict[str, Any] = {
        "appname": app_name,
        "w": "majority",
        "journal": True,
        "readConcernLevel": "majority",
        "readPreference": "primary",
        "retryWrites": True,
        "retryReads": True,
        "tz_aware": True,
        # A caller waits at most this long for a primary, a connection, or a free place in the pool.
        "serverSelectionTimeoutMS": 3000,
        "connectTimeoutMS": 3000,
        "waitQueueTimeoutMS": 3000,
        # The last resort for a host that hangs: `deadline` is shorter.
        "socketTimeoutMS": 20_000,
        "maxPoolSize": 100,
    }
    return AsyncMongoClient(uri, **(settings | options))


def deadline(seconds: float = DEADLINE_S) -> AbstractContextManager[None]:
    """Gives all driver calls inside of it one deadline, which the server keeps too."""
    return pymongo.timeout(seconds)


@contextmanager
def translate_errors() -> Iterator[None]:
    """Turns "MongoDB does not answer" into Unavailable; a duplicate key and all else pass through."""
    try:
        yield
    except PyMongoError as error:
        if is_unavailable(error):
            raise Unavailable from error
        raise


def is_unavailable(error: PyMongoError) -> bool:
    """Tells whether the error says nothing about the request: the same one may pass in a moment."""
    return (
        isinstance(error, ConnectionFailure | ExecutionTimeout | WriteConcernError)
        or error.timeout
        or error.has_error_label("RetryableWriteError")
        or error.has_error_label("TransientTransactionError")
    )


def raise_if_cancelled() -> None:
    """Raises the CancelledError that the driver may have lost: a loop around driver calls does this in each round.

    On Python 3.11 ``asyncio.wait_for``, which the driver sends with, drops a cancellation that comes with its result
    (17 of 100 in a loop of pings); the task then goes on as if nobody had asked it to end.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def run_transaction(client: Client, run: Callable[[AsyncClientSession], Awaitable[T]]) -> T:
    """Runs ``run`` in a transaction, again if it collides with another: it must do nothing but use the session."""
    with translate_errors(), deadline():
        async with client.start_session() as session:
            return await session.with_transaction(
                run, read_concern=ReadConcern("majority"), write_concern=WriteConcern("majority", j=True)
            )


async def wait_until_reachable(client: Client, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
    """Returns once MongoDB has a primary that answers; logs one line a failed try and never gives up."""
    backoff_s = 0.25
    while (problem := await _problem(client)) is not None:
        raise_if_cancelled()
        # Jitter, so that many processes do not come back in step.
        retry_in_s = random.uniform(backoff_s / 2, backoff_s)
        _log.warning("mongodb_unreachable", problem=problem, retry_in_s=round(retry_in_s, 2))
        await sleep(retry_in_s)
        backoff_s = min(backoff_s * 2, MAX_BACKOFF_S)


async def watch_reachability(
    client: Client, on_change: Callable[[bool], Awaitable[None]], *, interval_s: float = 1.0
) -> None:
    """Calls ``on_change`` with the first finding and then with every change, until it is cancelled."""
    was_reachable: bool | None = None
    while True:
        problem = await _problem(client)
        raise_if_cancelled()
        is_reachable = problem is None
        if is_reachable != was_reachable:
            if problem is not None:
                _log.warning("mongodb_unreachable", problem=problem)
            elif was_reachable is not None:
                _log.info("mongodb_reachable")
            was_reachable = is_reachable
            await on_change(is_reachable)

        await asyncio.sleep(interval_s)


async def _problem(client: Client) -> str | None:
    """Why MongoDB cannot be used now, in one line, or None."""
    try:
        with deadline(3):
            await client.admin.command("ping")
    except PyMongoError as error:
        # The driver appends its timeouts and its view of the topology, which is a screen long.
        return str(error).split(", Timeout:")[0].split(" (configured timeouts:")[0]
    return None
