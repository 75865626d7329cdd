"""How fast Send is, as a share of what gRPC in Python can do at all: `make bench-send`.

One client process calls in turn the services and a server that answers the same bytes without doing anything, each in a
process of its own, all on this machine. A round is both, one after the other; the ratio of a round is free of what the
machine did in the others.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import platform
import pstats
import signal
import statistics
import sys
import tempfile
import time
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import uvloop
from pymongo import MongoClient
from rich.console import Console
from rich.table import Table

from carillon.v1 import notifications_pb2, sender_pb2
from services.kernel.auth import basic_authorization
from services.kernel.clock import new_id
from services.kernel.mongod import LocalMongod
from tests.contract.services.requests import EMAIL, INAPP_WEB, definition, inapp
from tests.e2e.processes import ROOT, free_port
from tests.e2e.stack import MASTER_KEY, Stack

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncIterator, Sequence

IN_FLIGHT = 64
USERS = 500
_TOP = 25

console = Console(highlight=False)


def make_requests(count: int, *, use_request_id: bool) -> list[sender_pb2.SendRequest]:
    """Makes sends to known users, on an in-app and an email channel."""
    requests = []
    for number in range(count):
        request = sender_pb2.SendRequest(notification_id="bench", request_id=new_id() if use_request_id else "")
        request.user.id = f"user-{number % USERS}"
        request.user.email = f"user-{number % USERS}@example.com"
        request.merge_tags.update({"item": "Krabby Patty Burger", "address": "124 Conch Street", "orderId": "1"})
        requests.append(request)
    return requests


async def calls_per_second(
    target: str, requests: Sequence[sender_pb2.SendRequest], metadata: Sequence[tuple[str, str]]
) -> float:
    """Sends all requests, 64 at a time, and gives how many a second were answered."""
    async with grpc.aio.insecure_channel(target) as channel:
        send: Any = channel.unary_unary(
            "/carillon.v1.Sender/Send",
            request_serializer=sender_pb2.SendRequest.SerializeToString,
            response_deserializer=sender_pb2.SendResponse.FromString,
        )
        waiting = iter(requests)

        async def work() -> None:
            for request in waiting:
                answer = await send(request, metadata=metadata, timeout=30)
                assert len(answer.deliveries) == 2

        await send(requests[0], metadata=metadata, timeout=30, wait_for_ready=True)
        started = time.perf_counter()
        async with asyncio.TaskGroup() as tasks:
            for _ in range(IN_FLIGHT):
                tasks.create_task(work())
        return len(requests) / (time.perf_counter() - started)


@asynccontextmanager
async def process(*arguments: str, **settings: object) -> AsyncIterator[Process]:
    """Runs Python in a process of its own; what it logs is written, and read by nobody."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CARILLON_")}
    environment |= {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'protos' / 'gen'}"}
    environment |= {f"CARILLON_{name.upper()}": str(value) for name, value in settings.items()}
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        env=environment,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield child
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.send_signal(signal.SIGTERM)
        await child.wait()


@asynccontextmanager
async def services(stack: Stack, *, log_level: str, profile: Path | None = None) -> AsyncIterator[None]:
    """Runs `carillon serve`, under the profiler if that is wanted."""
    profiler = ["-m", "cProfile", "-o", str(profile)] if profile else []
    settings = {"mongodb_uri": stack.mongodb_uri, "master_key": MASTER_KEY, "grpc_port": stack.grpc_port}
    async with process(*profiler, "-m", "services", "serve", **settings, log_level=log_level):
        await wait_for(stack.grpc_port)
        yield


async def wait_for(port: int) -> None:
    """Returns once something listens there."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel, asyncio.timeout(30):
        await channel.channel_ready()


async def prepare(stack: Stack) -> None:
    """Defines the notification and makes all users known, as nearly all users are."""
    template = notifications_pb2.Template()
    template.content.email.subject = "Your {{ item }} is on its way"
    template.content.email.html = (
        "<p>Your <b>{{ item }}</b> will be delivered to {{ address }}. Order {{ orderId }}</p>"
    )
    title, body = "Your {{ item }} is on its way", "It will be delivered to {{ address }}."
    notification = definition("bench", inapp(title, body=body, url="/orders/{{ orderId }}"), template)
    notification.ClearField("channels")
    for channel in (EMAIL, INAPP_WEB):
        notification.channels.add(channel=channel)
    async with stack.backend() as backend:
        await until_started(backend, notification)
        await asyncio.gather(*map(backend.sender.Send, make_requests(USERS, use_request_id=False)))


async def until_started(backend: Any, notification: notifications_pb2.Notification) -> None:
    """Puts the definition as soon as the services have reached MongoDB."""
    request = notifications_pb2.PutNotificationRequest(notification=notification)
    async with asyncio.timeout(30):
        while True:
            with contextlib.suppress(grpc.aio.AioRpcError):
                await backend.notifications.PutNotification(request)
                return


async def compare(stack: Stack, *, rounds: int, count: int) -> Table:
    """Measures each row in turn, round by round."""
    metadata = [basic_authorization(stack.client_id, stack.client_secret)]
    floor_port = free_port()
    rows: dict[str, list[tuple[float, float]]] = {"Send": [], "Send with request_id": []}
    async with process("-m", "tests.bench.empty", str(floor_port)):
        await wait_for(floor_port)
        # One more, that counts for nothing: imports, connections, the first growth of files.
        for number in range(rounds + 1):
            for name, measured in rows.items():
                requests = make_requests(count, use_request_id="request_id" in name)
                targets = [stack.grpc_port, floor_port]
                rates = {}
                for port in targets if number % 2 else reversed(targets):
                    rates[port] = await calls_per_second(f"127.0.0.1:{port}", requests, metadata)
                pair = rates[stack.grpc_port], rates[floor_port]
                if number:
                    measured.append(pair)
                    console.print(
                        f"round {number}/{rounds}  {name:20}  {pair[0]:5.0f}/s of {pair[1]:5.0f}/s"
                        f" = {pair[0] / pair[1]:.2f}"
                    )
    return table(rows)


def table(rows: dict[str, list[tuple[float, float]]]) -> Table:
    """Makes what `make bench` ends with."""
    made = Table("", "calls/s", "empty handler", "ratio", "min", "max")
    for name, pairs in rows.items():
        ratios = sorted(ours / floor for ours, floor in pairs)
        made.add_row(
            name,
            f"{statistics.median(ours for ours, _ in pairs):.0f}",
            f"{statistics.median(floor for _, floor in pairs):.0f}",
            f"{statistics.median(ratios):.2f}",
            f"{ratios[0]:.2f}",
            f"{ratios[-1]:.2f}",
        )
    return made


def machine(mongodb_uri: str) -> str:
    """Describes what was measured on, and with which versions."""
    with MongoClient[dict[str, Any]](mongodb_uri) as client:
        mongodb = client.server_info()["version"]
    libraries = ", ".join(f"{name} {version(name)}" for name in ("grpcio", "pymongo", "protobuf", "uvloop"))
    cpu = next((line.partition(": ")[2] for line in _read(Path("/proc/cpuinfo")) if line.startswith("model name")), "?")
    return f"{os.cpu_count()} x {cpu}, Python {platform.python_version()}, MongoDB {mongodb}, {libraries}"


def _read(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


async def run(options: argparse.Namespace) -> None:
    """Runs everything that a measurement needs, and the measurement."""
    with tempfile.TemporaryDirectory() as folder:
        async with LocalMongod(Path(folder)) as mongod:
            stack = Stack(mongodb_uri=mongod.uri.replace("/?", "/bench?"))
            created = await stack.create_environment()
            assert created.code == 0, created.stderr
            console.print(await asyncio.to_thread(machine, mongod.uri))
            console.print(f"{IN_FLIGHT} in flight, {options.count} calls a round, services log at {options.log_level}")
            if options.profile:
                await show_profile(stack, Path(folder, "profile"), options)
                return

            async with services(stack, log_level=options.log_level):
                await prepare(stack)
                console.print(await compare(stack, rounds=options.rounds, count=options.count))


async def show_profile(stack: Stack, path: Path, options: argparse.Namespace) -> None:
    """Runs the services under the profiler and prints where their time goes."""
    metadata = [basic_authorization(stack.client_id, stack.client_secret)]
    async with services(stack, log_level=options.log_level, profile=path):
        await prepare(stack)
        for _ in range(options.rounds):
            requests = make_requests(options.count, use_request_id=True)
            rate = await calls_per_second(f"127.0.0.1:{stack.grpc_port}", requests, metadata)
            console.print(f"{rate:.0f}/s under the profiler")
    pstats.Stats(str(path), stream=sys.stdout).sort_stats("tottime").print_stats(_TOP)


def main() -> None:
    """Reads the options and runs."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--count", type=int, default=2000, help="calls a round")
    parser.add_argument("--log-level", default="info")
    parser.add_argument("--profile", action="store_true", help="show where the services' time goes instead")
    uvloop.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
