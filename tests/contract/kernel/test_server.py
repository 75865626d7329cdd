"""How the server starts and stops."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.kernel.server import GrpcServer, PortTakenError, stop_on_signals

Service = Any


async def test_a_taken_port_is_one_line(service: Service) -> None:
    """A second server on a port does not share it but fails with one line that says what to do."""
    async with service.run() as (server, _):
        with pytest.raises(PortTakenError) as caught:
            async with GrpcServer(lambda _: None, port=server.port):
                pass

    assert str(server.port) in str(caught.value)
    assert "\n" not in str(caught.value)


async def test_a_stopping_server_says_so_and_lets_calls_end(service: Service) -> None:
    """A server that drains says NOT_SERVING to watchers of health, and cancels calls that outlast the grace."""
    async with service.run(drain_s=0.2) as (server, channel):
        await server.set_serving(True)
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(server.drain())
            assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        with pytest.raises((grpc.aio.AioRpcError, asyncio.CancelledError)):
            await watch.read()


async def test_a_signal_sets_the_event() -> None:
    """SIGTERM asks for a stop instead of ending the process."""
    stop = stop_on_signals()
    os.kill(os.getpid(), signal.SIGTERM)

    await asyncio.wait_for(stop.wait(), 5)
