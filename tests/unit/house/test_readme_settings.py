"""The READMEs' tables of what the providers, the gateway and the services can be told."""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import BaseModel

from gateway.settings import GatewaySettings
from services.settings import ServicesSettings, StorageSettings, WorkerSettings

ROOT = Path(__file__).parents[3]
README, GATEWAY_README, SERVICES_README = (
    (ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "gateway/README.md", "services/README.md")
)


def test_every_setting_of_a_provider_is_in_the_table() -> None:
    """The table names every setting that a worker has beside those of all processes, and none that it has not."""
    settings = set[str]()
    for name in WorkerSettings.model_fields.keys() - StorageSettings.model_fields.keys():
        provider = _provider(name)
        fields = [f"{name}__{field}" for field in provider.model_fields] if provider else [name]
        settings |= {f"CARILLON_{field.upper()}" for field in fields}

    assert _table() == settings


def test_every_setting_of_the_gateway_is_in_its_table() -> None:
    """The gateway's README names every setting of one, and none that it has not."""
    fields = GatewaySettings.model_fields
    known = {str(field.validation_alias or f"CARILLON_{name.upper()}") for name, field in fields.items()}
    section = GATEWAY_README.partition("\n## Settings\n")[2].partition("\n## ")[0]
    cells = re.findall(r"^\| (`[^|]*) \|", section, re.MULTILINE)
    named = {f"CARILLON_{name}" for cell in cells for name in re.findall(r"`([A-Z_]+)`", cell)}

    # `carillon dev` alone asks for it.
    assert named == known - {"CARILLON_DATA_DIR"}


def test_every_setting_of_the_services_is_in_their_table() -> None:
    """The services' README names every setting beside those of all processes, and none that they have not."""
    fields = ServicesSettings.model_fields.keys() - StorageSettings.model_fields.keys()
    section = SERVICES_README.partition("\n## Settings\n")[2].partition("\n## ")[0]
    named = re.findall(r"^\| `([A-Z0-9_]+)` \|", section, re.MULTILINE)

    assert sorted(named) == sorted(name.upper() for name in fields)


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
