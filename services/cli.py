"""The command line: `carillon COMMAND`; what a person has to mend is one line on stderr, and the exit code 1."""

from __future__ import annotations

import sys
from pathlib import Path  # noqa: TC003 # typer reads annotations at run time
from typing import TYPE_CHECKING, Annotated, Any

import grpc
import typer
from grpc_health.v1 import health_pb2, health_pb2_grpc

from carillon.v1 import notifications_pb2, notifications_pb2_grpc
from services import catalogue
from services.app import open_storage, run_services
from services.commands import env
from services.commands.calls import DEADLINE_S, CommandError, backend, call, console, describe, target
from services.commands.doctor import doctor
from services.commands.send import send
from services.commands.token import create_token
from services.commands.watch import watch
from services.kernel.auth import user_hash
from services.kernel.crypto import MasterKeyError
from services.kernel.errors import DomainError
from services.kernel.logging import configure_logging
from services.kernel.mongod_binary import LocalMongodError
from services.kernel.process import SettingsError, read_settings
from services.kernel.server import PortTakenError, stop_on_signals
from services.settings import ClientSettings, ServicesSettings, WorkerSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

app = typer.Typer(
    help="Self-hosted notifications: say what happened to whom, over gRPC.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(env.app, name="env")


def main() -> None:
    """Runs the command that the arguments name."""
    try:
        " ".join(sys.argv).encode()
    except UnicodeEncodeError:
        sys.exit("carillon: what a command takes must be UTF-8")
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
    call(run_dev(settings, read_settings(WorkerSettings), console))


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
                on_ready=lambda port: console.print(f"carillon: services on grpc://{settings.host}:{port}"),
            )

    call(run_until_stopped())


@app.command()
def worker() -> None:
    """Run a delivery worker: it hands what is due to the providers. Any number of them share the work."""
    from services.delivery.app import open_providers, run_worker

    settings = read_settings(WorkerSettings)
    configure_logging(settings.log_level)

    async def run_until_stopped() -> None:
        stop = stop_on_signals()
        async with (
            open_storage(settings) as storage,
            open_providers(settings, master_key=storage.master_key) as providers,
        ):
            await run_worker(
                settings,
                storage,
                stop,
                providers=providers,
                on_ready=lambda: console.print("carillon: worker looks for what is due"),
            )

    call(run_until_stopped())


@app.command()
def gateway(
    processes: Annotated[int, typer.Option(min=1, help="How many processes share the ports.")] = 1,
) -> None:
    """Run the gateway: the sockets that browsers hold, and the page."""
    from gateway.app import run_gateway
    from gateway.processes import run_processes
    from gateway.settings import GatewaySettings

    settings = read_settings(GatewaySettings)
    configure_logging(settings.log_level)

    def say_where(ws_port: int, http_port: int) -> None:
        console.print(
            f"carillon: gateway on http://{settings.host}:{http_port} and ws://{settings.host}:{ws_port}/v1/inbox"
        )

    async def run_until_stopped() -> None:
        stop = stop_on_signals()
        if processes > 1:
            await run_processes(settings, processes, stop, on_ready=say_where)
        else:
            await run_gateway(settings, stop, on_ready=lambda running: say_where(running.ws_port, running.http_port))

    call(run_until_stopped())


@app.command()
def apply(file: Annotated[Path, typer.Argument(help="A YAML file of definitions.", show_default=False)]) -> None:
    """Create or replace the definitions of a file."""
    definitions = catalogue.load(file)
    settings = read_settings(ClientSettings)
    call(apply_definitions(settings, definitions))
    for definition in definitions:
        console.print(f"applied {definition.id}")


@app.command("hash")
def hash_user(user_id: Annotated[str, typer.Argument(help="The user's id.", show_default=False)]) -> None:
    """Print the hash that proves a user to the gateway; your backend makes it the same way."""
    settings = read_settings(ClientSettings)
    console.print(user_hash(settings.client_secret.get_secret_value(), user_id))


app.command("token")(create_token)


@app.command()
def health() -> None:
    """Tell whether the services answer; exit code 1 if they do not."""
    settings = read_settings(ClientSettings)

    async def check() -> str:
        async with grpc.aio.insecure_channel(target(settings)) as channel:
            request = health_pb2.HealthCheckRequest()
            answer = await health_pb2_grpc.HealthStub(channel).Check(request, timeout=DEADLINE_S)
            return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))

    status = call(check())
    console.print(status)
    if status != "SERVING":
        raise typer.Exit(1)


app.command("doctor")(doctor)
app.command("send")(send)
app.command("watch")(watch)


async def apply_definitions(settings: ClientSettings, definitions: Sequence[notifications_pb2.Notification]) -> None:
    """Puts definitions, one after the other.

    Raises:
        CommandError: If one is refused; those before it are applied.
    """
    async with backend(settings) as (channel, options):
        stub: Any = notifications_pb2_grpc.NotificationsStub(channel)
        for definition in definitions:
            request = notifications_pb2.PutNotificationRequest(notification=definition)
            try:
                await stub.PutNotification(request, **options)
            except grpc.aio.AioRpcError as error:
                raise CommandError(f"{definition.id}: {describe(error)}") from None
