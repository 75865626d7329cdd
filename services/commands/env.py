"""`carillon env`: environments and their secrets, straight from MongoDB: no RPC reads or writes a secret."""

from __future__ import annotations

import enum
import re
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from services.app import Stores, open_storage
from services.commands.calls import CommandError, call, console
from services.environments.model import Environment, Secret, is_client_id
from services.environments.vapid import is_subject, new_vapid_keys
from services.kernel import clock
from services.kernel.crypto import new_secret
from services.kernel.logging import configure_logging
from services.kernel.mongo import open_client
from services.kernel.process import read_settings
from services.kernel.terminal import printable
from services.settings import ServicesSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from datetime import datetime

    from services.environments.model import VapidKeys
    from services.environments.store import EnvironmentStore

app = typer.Typer(help="Environments: the tenants and their secrets.", no_args_is_help=True)

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_DURATION = re.compile(rf"(\d{{1,9}})([{''.join(_UNITS)}])")
_MAX_DURATION = timedelta(days=366)


@app.command()
def create(
    client_id: Annotated[str, typer.Argument(help="1 to 64 of A-Z a-z 0-9 _ -", show_default=False)],
) -> None:
    """Create an environment and print its secret, which is shown this once."""
    if not is_client_id(client_id):
        raise CommandError("CLIENT_ID must be 1 to 64 of A-Z a-z 0-9 _ -")
    secret = new_secret()

    async def write() -> None:
        async with _environments() as environments:
            await environments.create(new_environment(client_id, secret))

    call(write())
    console.print(f"client_id      {client_id}\nclient_secret  {secret}")


@app.command()
def rotate(
    client_id: Annotated[str, typer.Argument(help="The environment.", show_default=False)],
    expire_in: Annotated[
        str, typer.Option(help="How long the secrets that it has go on working: 30m, 24h, 7d; 0s ends them now.")
    ] = "24h",
) -> None:
    """Give an environment a new secret, which is shown this once; the old one works on for a day."""
    duration = parse_duration(expire_in)
    text = new_secret()

    async def write() -> Environment | None:
        now = clock.utc_now()
        secret = Secret(clock.new_id(), text, now)

        def change(stored: Environment) -> Environment:
            return replace(stored, secrets=stored.rotated(secret, expire_time=now + duration))

        async with _environments() as environments:
            return await environments.change(client_id, change)

    changed = call(write())
    if changed is None:
        raise _not_found(client_id)
    console.print(f"client_id      {client_id}\nclient_secret  {text}\n")
    old = [secret for secret in changed.secrets if secret.text != text]
    for secret in old:
        console.print(f"secret {secret.key_id} works until {_time(secret.expire_time)}")
    if not old:
        console.print("no other secret works any more")


@app.command()
def vapid(
    client_id: Annotated[str, typer.Argument(help="The environment.", show_default=False)],
    subject: Annotated[
        str,
        typer.Option(help="Whom push services ask: mailto:ops@example.com or https://example.com.", show_default=False),
    ],
    replace_keys: Annotated[
        bool, typer.Option("--replace", help="Make new keys; every browser must subscribe again.")
    ] = False,
) -> None:
    """Give an environment the keys that browsers subscribe to web push with, and print the public one."""
    if not is_subject(subject):
        raise CommandError(
            f"--subject must be like mailto:ops@example.com or https://example.com, not '{printable(subject)}'"
        )
    keys = new_vapid_keys(subject)
    old: list[VapidKeys] = []

    async def write() -> Environment | None:
        def change(stored: Environment) -> Environment:
            if stored.vapid and not replace_keys:
                raise CommandError(
                    f"environment '{client_id}' has VAPID keys, {stored.vapid.public_key}; "
                    "--replace makes new ones, and every browser must then subscribe again"
                )
            old[:] = [stored.vapid] if stored.vapid else []
            return replace(stored, vapid=keys)

        async with _environments() as environments:
            return await environments.change(client_id, change)

    if call(write()) is None:
        raise _not_found(client_id)
    console.print(f"client_id         {client_id}\nvapid_public_key  {keys.public_key}")
    if old:
        console.print("\nno browser that has subscribed gets anything until it has subscribed again")


class Switch(enum.StrEnum):
    """What something can be switched to."""

    ON = "on"
    OFF = "off"


@app.command("secure-mode")
def set_secure_mode(
    client_id: Annotated[str, typer.Argument(help="The environment.", show_default=False)],
    switch: Annotated[
        Switch, typer.Argument(help="off: a bare user id will do, without hash or token.", show_default=False)
    ],
) -> None:
    """Say whether a user must prove who they are; in a new environment they must."""

    async def write() -> Environment | None:
        def change(stored: Environment) -> Environment:
            return replace(stored, secure_mode=switch is Switch.ON, update_time=clock.utc_now())

        async with _environments() as environments:
            return await environments.change(client_id, change)

    if call(write()) is None:
        raise _not_found(client_id)
    console.print(f"client_id    {client_id}\nsecure_mode  {switch}")
    if switch is Switch.OFF:
        console.print("\nwhoever knows the id of a user can read and change what is that user's")


@app.command("list")
def list_all() -> None:
    """List the environments and their secrets: by id, never what they are."""

    async def read() -> list[Environment]:
        async with _environments() as environments:
            return await environments.all()

    found = call(read())
    if not found:
        console.print("there is no environment yet; make one with `carillon env create CLIENT_ID`")
        return
    console.print(environment_table(found, clock.utc_now()))


def _not_found(client_id: str) -> CommandError:
    return CommandError(f"environment '{printable(client_id)}' does not exist; see `carillon env list`")


def new_environment(client_id: str, secret: str) -> Environment:
    """Makes an environment with one secret."""
    now = clock.utc_now()
    return Environment(client_id, (Secret(clock.new_id(), secret, now),), create_time=now, update_time=now)


def parse_duration(text: str) -> timedelta:
    """Reads a duration such as ``30m``, ``24h`` or ``7d``.

    Raises:
        CommandError: If it is none, or longer than a year.
    """
    match = _DURATION.fullmatch(text)
    duration = timedelta(**{_UNITS[match[2]]: int(match[1])}) if match else None
    if duration is None or duration > _MAX_DURATION:
        raise CommandError(f"a duration is a number and one of s, m, h, d, up to 366d; not '{printable(text)}'")
    return duration


def environment_table(environments: Sequence[Environment], now: datetime) -> Table:
    """Makes the table of `carillon env list`."""
    table = Table("CLIENT ID", "NAME", "CREATED", "LIVE", "SECRETS", box=None, pad_edge=False, padding=(0, 3, 0, 0))
    for environment in environments:
        live = [secret for secret in environment.secrets if secret.is_live(now)]
        lines = [
            f"{secret.key_id}  until {_time(secret.expire_time)}" if secret.expire_time else secret.key_id
            for secret in live
        ]
        created = environment.create_time or min((one.create_time for one in environment.secrets), default=None)
        table.add_row(
            environment.client_id, printable(environment.name), _time(created), str(len(live)), "\n".join(lines) or "-"
        )
    return table


@asynccontextmanager
async def _environments() -> AsyncIterator[EnvironmentStore]:
    settings = read_settings(ServicesSettings)
    configure_logging("WARNING")
    async with open_storage(settings) as storage, open_client(storage.mongodb_uri) as client:
        yield Stores(client, storage.secret_box).environments


def _time(time: datetime | None) -> str:
    return f"{time:%Y-%m-%d %H:%M} UTC" if time else "-"
