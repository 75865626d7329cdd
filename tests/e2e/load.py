"""Sends at a steady rate, whatever becomes of the services: each is repeated until it is acknowledged."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import grpc

from tests.e2e.sends import LOST

if TYPE_CHECKING:
    from collections.abc import Callable

    from carillon.v1 import sender_pb2
    from tests.contract.services.world import Caller

_IN_FLIGHT = 500
_REPEAT_S = 0.1


class Load:
    """Runs until it is stopped, or has sent all it may.

    Args:
        backend: Who sends.
        make_request: Makes the request of a number, with a request id.
        per_s: How many a second; fewer where the services do not keep up.
        count: How many at most.
    """

    def __init__(
        self, backend: Caller, make_request: Callable[[int], sender_pb2.SendRequest], *, per_s: float, count: int
    ) -> None:
        self.called: dict[int, float] = {}
        """When each was first called, by ``time.perf_counter``."""

        self.acknowledged: dict[int, str] = {}
        """The tracking ids by number."""

        self.repeated = 0
        """How many calls failed, and were made again."""

        self._backend = backend
        self._make_request = make_request
        self._per_s = per_s
        self._count = count
        self._is_stopping = False
        self._is_over = False
        self._places = asyncio.Semaphore(_IN_FLIGHT)
        self._progress = asyncio.Condition()

    @property
    def rate(self) -> float:
        """How many a second were called."""
        times = self.called.values()
        return len(times) / (max(times) - min(times))

    async def run(self) -> None:
        """Sends; returns once all that was begun is acknowledged."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        async with asyncio.TaskGroup() as tasks:
            for number in range(self._count):
                if (wait_s := begun + number / self._per_s - loop.time()) > 0:
                    await asyncio.sleep(wait_s)
                await self._places.acquire()
                if self._is_stopping:
                    break
                tasks.create_task(self._send(number))
        self._is_over = True
        await self._notify()

    def stop(self) -> None:
        """Begins no more sends."""
        self._is_stopping = True

    async def more(self, count: int) -> None:
        """Returns once so many more than now are acknowledged."""
        wanted = len(self.acknowledged) + count
        await self.until(lambda: len(self.acknowledged) >= wanted)

    async def until(self, is_true: Callable[[], bool]) -> None:
        """Returns once that is so, which is looked at after every send; it must be before all are sent."""
        async with self._progress:
            await self._progress.wait_for(lambda: is_true() or self._is_over)
        assert is_true(), f"not so after {len(self.acknowledged)} sends"

    async def _send(self, number: int) -> None:
        request = self._make_request(number)
        self.called[number] = time.perf_counter()
        while number not in self.acknowledged:
            try:
                self.acknowledged[number] = (await self._backend.sender.Send(request)).tracking_id
            except grpc.aio.AioRpcError as error:
                if error.code() not in LOST:
                    raise
                self.repeated += 1
                await asyncio.sleep(_REPEAT_S)
        self._places.release()
        await self._notify()

    async def _notify(self) -> None:
        async with self._progress:
            self._progress.notify_all()
