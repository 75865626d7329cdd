"""What every command shares: the console, the calls to a running Carillon, and the one line where they fail."""

from __future__ import annotations

import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from rich.console import Console

from services.kernel.auth import basic_authorization
from services.kernel.process import run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine
    from typing import TypeVar

    from services.settings import ClientSettings

    T = TypeVar("T")

DEADLINE_S = 10.0
_PIPE_WIDTH = 240

# What reads a pipe does not want lines of 80 characters.
console = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else _PIPE_WIDTH)


class CommandError(Exception):
    """A command cannot do what it was asked; the message is one line that says what to do."""


def call(work: Coroutine[Any, Any, T]) -> T:
    """Runs what a command does.

    Raises:
        CommandError: If a call to the services fails.
    """
    try:
        return run(work)
    except grpc.aio.AioRpcError as error:
        raise CommandError(describe(error)) from None


def target(settings: ClientSettings) -> str:
    """Gives where the services are, as gRPC has it."""
    return settings.services_url.removeprefix("grpc://")


@asynccontextmanager
async def backend(settings: ClientSettings) -> AsyncIterator[tuple[grpc.aio.Channel, dict[str, Any]]]:
    """Gives a channel to the services, and what each call is made with: the backend's credentials and a deadline."""
    credentials = basic_authorization(settings.client_id, settings.client_secret.get_secret_value())
    async with grpc.aio.insecure_channel(target(settings)) as channel:
        yield channel, {"metadata": (credentials,), "timeout": DEADLINE_S}


def describe(error: grpc.aio.AioRpcError) -> str:
    """Gives what a call failed with, for a person: each wrong field, or the message."""
    status: Any = rpc_status.from_call(error)
    violations = error_details_pb2.BadRequest()
    for detail in status.details if status else ():
        if detail.Unpack(violations):
            return "; ".join(f"{one.field}: {one.description}" for one in violations.field_violations)
    return f"{error.code().name}: {error.details()}"
