"""`carillon doctor`: tells of everything that a worker needs whether it works, and sends nothing to anybody."""

from __future__ import annotations

import asyncio
import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer
from rich.table import Table
from rich.text import Text

from services.app import Stores
from services.commands.calls import call, console
from services.delivery.app import open_providers
from services.delivery.channels.web_push import check_keys
from services.delivery.model import ProviderCheckError
from services.kernel import clock
from services.kernel.crypto import MasterKeyError, SecretBox, parse_master_key
from services.kernel.errors import Unavailable
from services.kernel.logging import configure_logging
from services.kernel.mongo import open_client
from services.kernel.process import read_settings
from services.kernel.terminal import printable
from services.settings import WorkerSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.delivery.model import Provider
    from services.environments.model import Environment

_DEADLINE_S = 15.0
_CARRIES = {
    "smtp": "EMAIL",
    "twilio": "SMS, CALL",
    "apns": "PUSH to Apple's devices",
    "fcm": "PUSH to other devices",
}


class Health(enum.Enum):
    """How something is."""

    WORKS = "works"
    FAILS = "fails"
    ABSENT = "not configured"


@dataclass(frozen=True, slots=True)
class Finding:
    """What is known of one thing that a worker needs."""

    name: str
    health: Health
    detail: str


def doctor() -> None:
    """Tell of MongoDB and of each provider whether it works; exit code 1 if one that is configured does not."""
    settings = read_settings(WorkerSettings)
    configure_logging("ERROR")
    findings = call(examine(settings))
    console.print(findings_table(findings))
    if any(finding.health is Health.FAILS for finding in findings):
        raise typer.Exit(1)


async def examine(settings: WorkerSettings) -> list[Finding]:
    """Looks at everything at the same time."""
    # Nothing is sent, so nothing is sealed under the key.
    async with open_providers(settings, master_key=bytes(32)) as providers:
        checks = [_provider(name, provider) for name, provider in providers.named.items()]
        found = await asyncio.gather(_storage(settings), *checks)
    return [finding for findings in found for finding in findings] + [_public_url(settings)]


async def _provider(name: str, provider: Provider | None) -> list[Finding]:
    carries = _CARRIES[name]
    if provider is None:
        return [Finding(name, Health.ABSENT, f"{carries}: set CARILLON_{name.upper()}__…")]
    try:
        async with asyncio.timeout(_DEADLINE_S):
            await provider.check()
    except TimeoutError:
        return [Finding(name, Health.FAILS, f"no answer within {_DEADLINE_S:g} s")]
    except ProviderCheckError as error:
        return [Finding(name, Health.FAILS, str(error))]
    return [Finding(name, Health.WORKS, carries)]


async def _storage(settings: WorkerSettings) -> list[Finding]:
    """Looks at MongoDB, and at the keys for browser pushes that its environments have."""
    if settings.mongodb_uri is None:
        where = f"carillon dev runs a private one in {settings.data_dir}; set CARILLON_MONGODB_URI for another"
        return [Finding("mongodb", Health.ABSENT, where)]
    if settings.master_key is None:
        return [Finding("mongodb", Health.FAILS, "CARILLON_MASTER_KEY is not set")]
    try:
        secret_box = SecretBox(parse_master_key(settings.master_key.get_secret_value()))
        async with open_client(settings.mongodb_uri.get_secret_value(), app_name="carillon doctor") as client:
            environments = await Stores(client, secret_box).environments.all()
    except MasterKeyError as error:
        return [Finding("mongodb", Health.FAILS, str(error))]
    except Unavailable:
        return [Finding("mongodb", Health.FAILS, "does not answer, or has no primary")]
    return [Finding("mongodb", Health.WORKS, _counted(len(environments))), _web_push(environments)]


def _web_push(environments: Sequence[Environment]) -> Finding:
    """Looks at the keys of the environments: which push services there are, only browsers say."""
    configured = [environment for environment in environments if environment.vapid]
    if not configured:
        return Finding("web_push", Health.ABSENT, "WEB_PUSH: run `carillon env vapid CLIENT_ID`")
    try:
        for environment in configured:
            check_keys(environment, clock.utc_now())
    except ProviderCheckError as error:
        return Finding("web_push", Health.FAILS, str(error))
    return Finding("web_push", Health.WORKS, f"WEB_PUSH in {len(configured)} of {_counted(len(environments))}")


def _counted(count: int) -> str:
    return f"{count} environment" if count == 1 else f"{count} environments"


def _public_url(settings: WorkerSettings) -> Finding:
    if not settings.public_url:
        missing = "mails have no List-Unsubscribe, Twilio reports nothing back: set CARILLON_PUBLIC_URL"
        return Finding("public url", Health.ABSENT, missing)
    if not settings.public_url.startswith("https://"):
        return Finding("public url", Health.WORKS, f"{settings.public_url}: mail programs follow https only")
    return Finding("public url", Health.WORKS, settings.public_url)


def findings_table(findings: Sequence[Finding]) -> Table:
    """Makes what `carillon doctor` prints."""
    styles = {Health.WORKS: "green", Health.FAILS: "bold red", Health.ABSENT: "dim"}
    table = Table.grid(padding=(0, 3))
    for finding in findings:
        health = Text(finding.health.value, style=styles[finding.health])
        table.add_row(finding.name, health, Text(printable(finding.detail)))
    return table
