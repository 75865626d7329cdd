"""The gRPC server of a process: limits, health, reflection, and a shutdown that lets running calls end."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from typing import TYPE_CHECKING, Self

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

MAX_REQUEST_BYTES = 8 * 1024 * 1024
DRAIN_S = 10.0

_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_REQUEST_BYTES),
    # Two servers on one port would share its calls: a port that is taken has to be an error.
    ("grpc.so_reuseport", 0),
    # Finds clients that vanished without a word.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.keepalive_permit_without_calls", 1),
    # Clients may ping too, but a flood of pings ends the connection.
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
    ("grpc.http2.max_ping_strikes", 2),
    # Lets load spread to new servers, and bounds what a connection can leak.
    ("grpc.max_connection_age_ms", 3_600_000),
    ("grpc.max_connection_age_grace_ms", 300_000),
)


class PortTakenError(Exception):
    """A server cannot listen where it should; the message is one line that says what to do."""

    def __init__(self, host: str, port: int, error: OSError) -> None:
        # The loop's own text repeats the address.
        problem = os.strerror(error.errno).lower() if error.errno and error.errno > 0 else str(error).lower()
        super().__init__(f"cannot listen on {host} port {port}: {problem}; stop what uses it, or set another one")


class GrpcServer:
    """Serves inside of ``async with``; reports NOT_SERVING until ``set_serving`` is called.

    Args:
        register: Adds the servicers to the server that it is given.
        service_names: The full names of the services, for health and reflection.
        interceptors: Outermost first.
        host: The address to listen on.
        port: 0 takes a free one; ``port`` tells which.
        use_reflection: Whether clients may ask what services there are.
        drain_s: How long running calls may go on when the server stops.
    """

    def __init__(
        self,
        register: Callable[[grpc.aio.Server], None],
        *,
        service_names: Sequence[str] = (),
        interceptors: Sequence[grpc.aio.ServerInterceptor] = (),
        host: str = "127.0.0.1",
        port: int = 0,
        use_reflection: bool = True,
        drain_s: float = DRAIN_S,
    ) -> None:
        self.port = port
        self._host = host
        self._register = register
        self._service_names = tuple(service_names)
        self._interceptors = tuple(interceptors)
        self._use_reflection = use_reflection
        self._drain_s = drain_s
        self._health = health.aio.HealthServicer()

    async def __aenter__(self) -> Self:
        # Made here, as it belongs to the running loop.
        self._server = grpc.aio.server(interceptors=self._interceptors, options=_OPTIONS)
        await self.set_serving(False)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        if self._use_reflection:
            names = (*self._service_names, health.SERVICE_NAME, reflection.SERVICE_NAME)
            reflection.enable_server_reflection(names, self._server)
        self._register(self._server)
        self.port = self._listen()
        await self._server.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.drain()

    async def set_serving(self, is_serving: bool) -> None:
        """Tells health whether calls can be answered; calls are taken either way."""
        status = health_pb2.HealthCheckResponse.SERVING if is_serving else health_pb2.HealthCheckResponse.NOT_SERVING
        for name in ("", *self._service_names):
            await self._health.set(name, status)

    async def drain(self) -> None:
        """Says NOT_SERVING, takes no new calls and lets the running ones end, for a bounded time."""
        await self._health.enter_graceful_shutdown()
        await self._server.stop(self._drain_s)

    def _listen(self) -> int:
        # Tried with a plain socket first: grpc tells neither the reason, nor keeps it to one line.
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        try:
            socket.create_server((self._host, self.port), family=family).close()
        except OSError as error:
            raise PortTakenError(self._host, self.port, error) from None

        host = f"[{self._host}]" if ":" in self._host else self._host
        return self._server.add_insecure_port(f"{host}:{self.port}")


def stop_on_signals() -> asyncio.Event:
    """Gives an event that the first SIGTERM or SIGINT sets; the second one ends the process at once."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    signals = (signal.SIGTERM, signal.SIGINT)

    def on_signal() -> None:
        stop.set()
        for number in signals:
            loop.remove_signal_handler(number)

    for number in signals:
        loop.add_signal_handler(number, on_signal)
    return stop
