"""`carillon dev`: everything on one machine, in one event loop, with definitions to try and a page to see it on."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
from pydantic import SecretStr

from gateway.app import Gateway, run_gateway
from gateway.http.dev import DevAccess
from gateway.settings import GatewaySettings
from services import catalogue
from services.app import Stores, open_storage, run_services
from services.cli import apply_definitions
from services.commands.env import new_environment
from services.delivery.app import open_providers, run_worker
from services.delivery.channels.console import Console as ConsoleProvider
from services.kernel.errors import AlreadyExists
from services.kernel.mongo import open_client
from services.kernel.server import stop_on_signals
from services.settings import ClientSettings

if TYPE_CHECKING:
    from rich.console import Console

    from services.app import Storage
    from services.settings import ServicesSettings, WorkerSettings

CLIENT_ID = "dev"
CLIENT_SECRET = "dev-secret"
SAMPLE_USER_ID = "userId_123abc"
SAMPLE_CATALOGUE = Path(__file__).parent / "sample_catalogue.yaml"


async def run_dev(settings: ServicesSettings, worker_settings: WorkerSettings, console: Console) -> None:
    """Runs until SIGTERM or SIGINT."""
    stop = stop_on_signals()
    console.print("carillon: starting MongoDB, services, gateway and worker …")
    async with open_storage(settings) as storage, asyncio.TaskGroup() as tasks:
        await _ensure_environment(storage)
        listening: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        tasks.create_task(run_services(settings, storage, stop, on_ready=listening.set_result), name="services")
        services_url = f"grpc://127.0.0.1:{await listening}"
        await _apply_samples(storage, services_url)
        async with grpc.aio.insecure_channel(services_url.removeprefix("grpc://")) as channel:
            ready: asyncio.Future[Gateway] = asyncio.get_running_loop().create_future()
            serving = run_gateway(
                GatewaySettings(
                    mongodb_uri=SecretStr(storage.mongodb_uri),
                    master_key=SecretStr(base64.b64encode(storage.master_key).decode()),
                    services_url=services_url,
                ),
                stop,
                dev=DevAccess(CLIENT_ID, CLIENT_SECRET, channel),
                on_ready=ready.set_result,
            )
            gateway_task = tasks.create_task(serving, name="gateway")
            gateway = await ready
            # The services have its port for metrics. The links of mails lead to the gateway, wherever it listens.
            own = worker_settings.model_copy(update={"metrics_port": None, "public_url": gateway.public_url})
            fallback = ConsoleProvider(console)
            async with open_providers(own, master_key=storage.master_key, fallback=fallback) as providers:
                _print_addresses(console, services_url, storage, gateway)
                await run_worker(own, storage, stop, providers=providers)
            await gateway_task


async def _ensure_environment(storage: Storage) -> None:
    async with open_client(storage.mongodb_uri) as client:
        try:
            await Stores(client, storage.secret_box).environments.create(new_environment(CLIENT_ID, CLIENT_SECRET))
        except AlreadyExists:
            return


async def _apply_samples(storage: Storage, services_url: str) -> None:
    """Puts the sample definitions that are not there: one that somebody changed stays as it is."""
    definitions = catalogue.load(SAMPLE_CATALOGUE)
    async with open_client(storage.mongodb_uri) as client:
        stores = Stores(client, storage.secret_box)
        known = await stores.notifications.get_many(CLIENT_ID, [definition.id for definition in definitions])
    missing = [definition for definition in definitions if definition.id not in known]
    settings = ClientSettings(services_url=services_url, client_id=CLIENT_ID, client_secret=SecretStr(CLIENT_SECRET))
    await apply_definitions(settings, missing)


def _print_addresses(console: Console, services_url: str, storage: Storage, gateway: Gateway) -> None:
    console.print(
        f"""
  Carillon is running. Stop it with Ctrl-C.

  page           http://localhost:{gateway.http_port}
  gRPC           {services_url.removeprefix("grpc://")}
  sockets        ws://localhost:{gateway.ws_port}/v1/inbox
  MongoDB        {storage.mongodb_uri}

  client_id      {CLIENT_ID}
  client_secret  {CLIENT_SECRET}
  a user         {SAMPLE_USER_ID}
"""
    )
