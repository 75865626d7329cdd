"""The command line: `carillon COMMAND`; what a person has to mend is one line on stderr, and the exit code 1."""

from __future__ import annotations

import sys
from pathlib import Path  # noqa: TC003 # typer reads annotations at run time
from typing import TYPE_CHECKING, Annotated, Any

import grpc
import typer
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status
from rich.console import Console

from carillon.v1 import notifications_pb2, notifications_pb2_grpc
from services import catalogue
from services.app import Stores, open_storage, run_services
from services.environments.model import Environment, Secret, is_client_id
from services.kernel import clock
from services.kernel.auth import basic_authorization, user_hash
from services.kernel.crypto import MasterKeyError, new_secret
from services.kernel.errors import DomainError
from services.kernel.logging import configure_logging
from services.kernel.mongo import open_client
from services.kernel.mongod_binary import LocalMongodError
from services.kernel.process import SettingsError, read_settings, run
from services.kernel.server import PortTakenError, stop_on_signals
from services.settings import ClientSettings, ServicesSettings

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence
    from typing import TypeVar

    T = TypeVar("T")

_DEADLINE_S = 10.0

app = typer.Typer(
    help="Self-hosted notifications: say what happened to whom, over gRPC.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
env_app = typer.Typer(help="Environments: the tenants and their secrets.", no_args_is_help=True)
app.add_typer(env_app, name="env")
_console = Console(highlight=False, soft_wrap=True)


class CommandError(Exception):
    """A command cannot do what it was asked; the message is one line that says what to do."""


def main() -> None:
    """Runs the command that the arguments name."""
    try:
        app()
    except (
        CommandError,
        SettingsError,
        PortTakenError,
        LocalMongodError,
        MasterKeyError,
        catalogue.CatalogueError,
        DomainError,
    ) as error:
        sys.exit(f"carillon: {error}")


@app.command()
def dev() -> None:
    """Run everything on this machine: a private MongoDB, the services, the gateway and a page that shows it."""
    # Here, since the services alone need nothing of the gateway.
    from services.dev import run_dev

    settings = read_settings(ServicesSettings)
    configure_logging(settings.log_level)
    _call(run_dev(settings, _console))


@app.command()
def serve() -> None:
    """Run the gRPC services; without CARILLON_MONGODB_URI on a private MongoDB."""
    settings = read_settings(ServicesSettings)
    configure_logging(settings.log_level)

    async def run_until_stopped() -> None:
        async with open_storage(settings) as storage:
            await run_services(
                settings,
                storage,
                stop_on_signals(),
                on_ready=lambda port: _console.print(f"carillon: services on grpc://{settings.host}:{port}"),
            )

    _call(run_until_stopped())


@app.command()
def gateway() -> None:
    """Run the gateway: the sockets that browsers hold, and the page."""
    from gateway.app import run_gateway
    from gateway.settings import GatewaySettings

    settings = read_settings(GatewaySettings)
    configure_logging(settings.log_level)

    async def run_until_stopped() -> None:
        await run_gateway(
            settings,
            stop_on_signals(),
            on_ready=lambda running: _console.print(
                f"carillon: gateway on http://{settings.host}:{running.http_port} "
                f"and ws://{settings.host}:{running.ws_port}/v1/inbox"
            ),
        )

    _call(run_until_stopped())


@app.command()
def apply(file: Annotated[Path, typer.Argument(help="A YAML file of definitions.", show_default=False)]) -> None:
    """Create or replace the definitions of a file."""
    definitions = catalogue.load(file)
    settings = read_settings(ClientSettings)
    _call(apply_definitions(settings, definitions))
    for definition in definitions:
        _console.print(f"applied {definition.id}")


@app.command("hash")
def hash_user(user_id: Annotated[str, typer.Argument(help="The user's id.", show_default=False)]) -> None:
    """Print the hash that proves a user to the gateway; your backend makes it the same way."""
    settings = read_settings(ClientSettings)
    _console.print(user_hash(settings.client_secret.get_secret_value(), user_id))


@app.command()
def health() -> None:
    """Tell whether the services answer; exit code 1 if they do not."""
    settings = read_settings(ClientSettings)

    async def check() -> str:
        async with grpc.aio.insecure_channel(_target(settings)) as channel:
            request = health_pb2.HealthCheckRequest()
            answer = await health_pb2_grpc.HealthStub(channel).Check(request, timeout=_DEADLINE_S)
            return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))

    status = _call(check())
    _console.print(status)
    if status != "SERVING":
        raise typer.Exit(1)


@env_app.command("create")
def env_create(
    client_id: Annotated[str, typer.Argument(help="1 to 64 of A-Z a-z 0-9 _ -", show_default=False)],
) -> None:
    """Create an environment and print its secret, which is shown this once."""
    if not is_client_id(client_id):
        raise CommandError("CLIENT_ID must be 1 to 64 of A-Z a-z 0-9 _ -")
    settings = read_settings(ServicesSettings)
    configure_logging("WARNING")
    secret = new_secret()

    async def create() -> None:
        async with open_storage(settings) as storage, open_client(storage.mongodb_uri) as client:
            await Stores(client, storage.secret_box).environments.create(new_environment(client_id, secret))

    _call(create())
    _console.print(f"client_id      {client_id}\nclient_secret  {secret}")


def new_environment(client_id: str, secret: str) -> Environment:
    """Makes an environment with one secret."""
    return Environment(client_id, (Secret(clock.new_id(), secret, clock.utc_now()),))


async def apply_definitions(settings: ClientSettings, definitions: Sequence[notifications_pb2.Notification]) -> None:
    """Puts definitions, one after the other.

    Raises:
        CommandError: If one is refused; those before it are applied.
    """
    metadata = (basic_authorization(settings.client_id, settings.client_secret.get_secret_value()),)
    async with grpc.aio.insecure_channel(_target(settings)) as channel:
        stub: Any = notifications_pb2_grpc.NotificationsStub(channel)
        for definition in definitions:
            request = notifications_pb2.PutNotificationRequest(notification=definition)
            try:
                await stub.PutNotification(request, timeout=_DEADLINE_S, metadata=metadata)
            except grpc.aio.AioRpcError as error:
                raise CommandError(f"{definition.id}: {describe(error)}") from None


def describe(error: grpc.aio.AioRpcError) -> str:
    """Gives what a call failed with, for a person: each wrong field, or the message."""
    status: Any = rpc_status.from_call(error)
    violations = error_details_pb2.BadRequest()
    for detail in status.details if status else ():
        if detail.Unpack(violations):
            return "; ".join(f"{one.field}: {one.description}" for one in violations.field_violations)
    return f"{error.code().name}: {error.details()}"


def _call(work: Coroutine[Any, Any, T]) -> T:
    try:
        return run(work)
    except grpc.aio.AioRpcError as error:
        raise CommandError(describe(error)) from None


def _target(settings: ClientSettings) -> str:
    return settings.services_url.removeprefix("grpc://")
