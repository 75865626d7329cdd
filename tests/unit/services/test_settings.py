from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from services.cli import main
from services.settings import ClientSettings, ServicesSettings

if TYPE_CHECKING:
    from pydantic_settings import BaseSettings


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Takes away the settings of whoever runs the tests."""
    for kind in (ServicesSettings, ClientSettings):
        for name in kind.model_fields:
            monkeypatch.delenv(f"CARILLON_{name.upper()}", raising=False)


@pytest.mark.parametrize("kind", [ServicesSettings, ClientSettings])
def test_every_setting_is_documented(kind: type[BaseSettings]) -> None:
    """Each setting has a sentence of its own and a default."""
    for name, field in kind.model_fields.items():
        assert field.description, name
        assert field.description.rstrip().endswith("."), name
        assert not field.is_required(), name


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable with the prefix is read; secrets are not shown."""
    monkeypatch.setenv("CARILLON_GRPC_PORT", "0")
    monkeypatch.setenv("CARILLON_MONGODB_URI", "mongodb://carillon:s3cret@localhost")
    monkeypatch.setenv("CARILLON_LOG_LEVEL", "debug")

    settings = ServicesSettings()

    assert settings.grpc_port == 0
    assert settings.log_level == "DEBUG"
    assert settings.mongodb_uri is not None
    assert settings.mongodb_uri.get_secret_value().startswith("mongodb://")
    assert "s3cret" not in repr(settings)


def test_the_default_client_is_that_of_dev() -> None:
    """Without any setting the commands call what `carillon dev` runs."""
    settings = ClientSettings()

    assert (settings.services_url, settings.client_id) == ("grpc://127.0.0.1:50051", "dev")
    assert settings.client_secret.get_secret_value() == "dev-secret"


@pytest.mark.parametrize(
    ("command", "name", "value"),
    [
        (("hash", "u"), "SERVICES_URL", "http://localhost"),
        (("hash", "u"), "SERVICES_URL", "grpc://localhost/path"),
        (("health",), "SERVICES_URL", ""),
        (("serve",), "GRPC_PORT", "abc"),
        (("serve",), "GRPC_PORT", "65536"),
        (("serve",), "GRPC_PORT", "-1"),
        (("serve",), "MONGOD_PORT", ""),
        (("serve",), "REFLECTION", "perhaps"),
        (("serve",), "LOG_LEVEL", "chatty"),
        (("env", "create", "staging"), "GRPC_PORT", "1.5"),
    ],
)
def test_a_bad_setting_is_one_line(
    monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...], name: str, value: str
) -> None:
    """A setting that cannot be is one line that begins with its variable, and exit code 1; nothing is started."""
    monkeypatch.setenv(f"CARILLON_{name}", value)
    monkeypatch.setattr(sys, "argv", ["carillon", *command])

    with pytest.raises(SystemExit) as caught:
        main()

    assert isinstance(caught.value.code, str)
    assert caught.value.code.startswith(f"carillon: CARILLON_{name}: ")
    assert "\n" not in caught.value.code


def test_a_bad_client_id_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment cannot be made with an id that no credentials could carry."""
    monkeypatch.setattr(sys, "argv", ["carillon", "env", "create", "a b"])

    with pytest.raises(SystemExit) as caught:
        main()

    assert caught.value.code == "carillon: CLIENT_ID must be 1 to 64 of A-Z a-z 0-9 _ -"


def test_the_hash_is_printed_alone(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """`carillon hash` prints the user's hash under the client's secret, ready for a script."""
    monkeypatch.setattr(sys, "argv", ["carillon", "hash", "userId_123abc"])

    with pytest.raises(SystemExit) as caught:
        main()

    assert caught.value.code == 0
    assert capsys.readouterr().out == "ksLymII6VH7porjqVgq3CSAvpa/g+Llw1XjudVpKI3k=\n"
