import asyncio
import contextlib

import pytest
from pymongo.errors import (
    AutoReconnect,
    DuplicateKeyError,
    ExecutionTimeout,
    NetworkTimeout,
    NotPrimaryError,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
    WriteConcernError,
    WTimeoutError,
)

from services.kernel.errors import Unavailable
from services.kernel.mongo import open_client, raise_if_cancelled, translate_errors


@pytest.mark.parametrize(
    "error",
    [
        AutoReconnect("m"),
        NetworkTimeout("m"),
        NotPrimaryError("m"),
        ServerSelectionTimeoutError("m"),
        ExecutionTimeout("m", 50),
        WriteConcernError("m", 100),
        WTimeoutError("m", 64),
        OperationFailure("m", 91, {"errorLabels": ["RetryableWriteError"]}),
    ],
)
def test_what_says_nothing_about_the_request_is_unavailable(error: PyMongoError) -> None:
    """MongoDB being away, slow or between two primaries is Unavailable, to be tried again in a second."""
    with pytest.raises(Unavailable) as caught, translate_errors():
        raise error

    assert caught.value.retry_after.total_seconds() == 1
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("error", [DuplicateKeyError("m", 11000), OperationFailure("m", 9), ValueError("m")])
def test_all_else_passes_through(error: Exception) -> None:
    """A duplicate key is the caller's to handle, and a wrong query is a defect."""
    with pytest.raises(type(error)), translate_errors():
        raise error


async def test_a_lost_cancellation_is_raised() -> None:
    """A task that was cancelled ends even if something below it lost the cancellation."""

    async def lose_it() -> None:
        started.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        raise_if_cancelled()

    started = asyncio.Event()
    raise_if_cancelled()
    task = asyncio.create_task(lose_it())
    await started.wait()
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_write_waits_for_a_majority_and_its_journal() -> None:
    """Every client of ours writes durably and reads what a majority has, whatever the URI says."""
    async with open_client("mongodb://127.0.0.1:1/?w=1&journal=false&readConcernLevel=local") as client:
        assert client.write_concern.document == {"w": "majority", "j": True}
        assert client.read_concern.level == "majority"
