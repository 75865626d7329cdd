"""The README's table of what the providers can be told."""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import BaseModel

from gateway.settings import GatewaySettings
from services.settings import StorageSettings, WorkerSettings

README = (Path(__file__).parents[3] / "README.md").read_text(encoding="utf-8")


def test_every_setting_of_a_provider_is_in_the_table() -> None:
    """The table names every setting that a worker has beside those of all processes, and none that it has not."""
    settings = set[str]()
    for name in WorkerSettings.model_fields.keys() - StorageSettings.model_fields.keys():
        provider = _provider(name)
        fields = [f"{name}__{field}" for field in provider.model_fields] if provider else [name]
        settings |= {f"CARILLON_{field.upper()}" for field in fields}

    assert _table() == settings


def test_what_the_gateway_has_too_is_a_setting_of_it() -> None:
    """What the README has the gateway take of the worker's, it reads under the same name."""
    known = {
        field.validation_alias or f"CARILLON_{name.upper()}" for name, field in GatewaySettings.model_fields.items()
    }

    assert {"CARILLON_PUBLIC_URL", "CARILLON_TWILIO__AUTH_TOKEN"} <= known


def _table() -> set[str]:
    """Gives the variables of the second column; one that begins with ``__`` goes on from the one before."""
    section = README.partition("\n## Send for real\n")[2].partition("\n## ")[0]
    found = set[str]()
    for cell in re.findall(r"^\|[^|]*\|([^|]*)\|", section, re.MULTILINE):
        prefix = ""
        for name in re.findall(r"`([A-Z_]+)`", cell):
            found.add(prefix + name if name.startswith("__") else name)
            prefix = prefix or name.partition("__")[0]
    return found


def _provider(name: str) -> type[BaseModel] | None:
    """Gives the settings of a provider, where the setting is one."""
    kinds = getattr(WorkerSettings.model_fields[name].annotation, "__args__", ())
    return next((kind for kind in kinds if issubclass(kind, BaseModel)), None)
