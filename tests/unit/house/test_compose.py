import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import typer
import yaml
from pydantic_settings import BaseSettings

from gateway.settings import GatewaySettings
from services.cli import app
from services.settings import ServicesSettings, WorkerSettings

ROOT = Path(__file__).parents[3]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
CONTAINERS: dict[str, dict[str, Any]] = COMPOSE["services"]
SETTINGS: dict[str, type[BaseSettings]] = {
    "services": ServicesSettings,
    "worker": WorkerSettings,
    "gateway": GatewaySettings,
}


@pytest.mark.parametrize("name", SETTINGS)
def test_a_container_runs_a_command_of_ours(name: str) -> None:
    """The command of each container of ours is one of the command line."""
    assert CONTAINERS[name]["command"][0] in _commands()


def test_the_healthcheck_of_the_services_is_a_command_of_ours() -> None:
    """The services are asked for their health by our own command."""
    kind, program, command = CONTAINERS["services"]["healthcheck"]["test"]

    assert (kind, program) == ("CMD", "carillon")
    assert command in _commands()


@pytest.mark.parametrize(("name", "settings"), SETTINGS.items())
def test_every_variable_is_a_setting(name: str, settings: type[BaseSettings]) -> None:
    """A container gets no variable that its process does not read."""
    known = {field.validation_alias or f"CARILLON_{name.upper()}" for name, field in settings.model_fields.items()}

    assert set(CONTAINERS[name]["environment"]) <= known


@pytest.mark.parametrize("name", SETTINGS)
def test_every_variable_has_a_comment_or_a_telling_name(name: str) -> None:
    """A variable is explained where it first appears, unless its name says which port it is."""
    lines = (ROOT / "docker-compose.yml").read_text().splitlines()

    for variable in CONTAINERS[name]["environment"]:
        first = next(number for number, line in enumerate(lines) if line.strip().startswith(f"{variable}:"))
        assert variable.endswith("_PORT") or lines[first - 1].strip().startswith("#"), variable


@pytest.mark.parametrize("name", SETTINGS)
def test_the_uri_names_the_set_that_the_healthcheck_initiates(name: str) -> None:
    """MongoDB is started, initiated and addressed under one set name and one host."""
    uri = urlsplit(CONTAINERS[name]["environment"]["CARILLON_MONGODB_URI"])
    (set_name,) = parse_qs(uri.query)["replicaSet"]
    command = CONTAINERS["mongo"]["command"]
    initiate = CONTAINERS["mongo"]["healthcheck"]["test"][-1]

    assert command[command.index("--replSet") + 1] == set_name
    assert f'rs.initiate({{_id: "{set_name}", members: [{{_id: 0, host: "{uri.netloc}"}}]}})' in initiate
    assert uri.hostname in CONTAINERS


@pytest.mark.parametrize("name", SETTINGS)
def test_a_container_starts_after_a_healthy_database(name: str) -> None:
    """No container of ours starts before the set takes writes."""
    assert CONTAINERS[name]["depends_on"]["mongo"] == {"condition": "service_healthy"}


def test_ports_are_published_on_loopback_only() -> None:
    """Nothing is reachable from another machine, and the database from nowhere but the stack."""
    ports = [port for container in CONTAINERS.values() for port in container.get("ports", [])]

    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)
    assert "ports" not in CONTAINERS["mongo"]
    assert COMPOSE["networks"]["storage"]["internal"]


@pytest.mark.parametrize("name", SETTINGS)
def test_published_ports_are_those_that_the_process_listens_on(name: str) -> None:
    """Each `*_PORT` variable of a container is published but that of metrics, which other containers read."""
    environment = CONTAINERS[name]["environment"]
    listening = {value for variable, value in environment.items() if variable.endswith("_PORT")}
    listening -= {environment.get("CARILLON_METRICS_PORT")}

    assert {port.rpartition(":")[2] for port in CONTAINERS[name].get("ports", [])} == listening


def test_the_gateway_finds_the_services() -> None:
    """The URL of the services names their container and their port."""
    url = urlsplit(CONTAINERS["gateway"]["environment"]["CARILLON_SERVICES_URL"])

    assert url.scheme == "grpc"
    assert url.hostname in CONTAINERS
    assert str(url.port) == CONTAINERS["services"]["environment"]["CARILLON_GRPC_PORT"]


def test_the_worker_reads_the_keys_of_providers() -> None:
    """The worker alone sees settings and key files of providers, cannot write them, and git does not see them."""
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    worker = CONTAINERS["worker"]

    assert (worker["env_file"][0]["path"], worker["volumes"]) == ("providers.env", ["./keys:/keys:ro"])
    assert {"providers.env", "keys/"} <= set(ignored)
    assert not any({"env_file", "volumes"} & CONTAINERS[name].keys() for name in ("services", "gateway"))


def test_the_master_key_has_no_default() -> None:
    """The stack refuses to start without a master key of one's own."""
    value = CONTAINERS["services"]["environment"]["CARILLON_MASTER_KEY"]

    assert re.match(r"\$\{CARILLON_MASTER_KEY:\?", value)


def _commands() -> set[str]:
    return set(typer.main.get_group(app).commands)
