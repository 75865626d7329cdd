from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from services.cli import main
from services.delivery.settings import MailServer, SmtpSettings

if TYPE_CHECKING:
    from pathlib import Path

credentials = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


def settings(**fields: Any) -> SmtpSettings:
    """Makes settings that are right but for the fields given."""
    return SmtpSettings(**{"url": SecretStr("smtp://mail.example.com"), "from_address": "a@example.com"} | fields)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("smtp://mail.example.com", MailServer("mail.example.com", 587, is_tls=False)),
        ("smtp://mail.example.com:25/", MailServer("mail.example.com", 25, is_tls=False)),
        ("smtps://mail.example.com", MailServer("mail.example.com", 465, is_tls=True)),
        ("smtps://[::1]:2465", MailServer("::1", 2465, is_tls=True)),
        (
            "smtp://carillon%40example.com:p%40ss%2Fw%3Ard%25@h",
            MailServer("h", 587, is_tls=False, user="carillon@example.com", password="p@ss/w:rd%"),
        ),
    ],
)
def test_a_url_names_a_server(url: str, expected: MailServer) -> None:
    """The scheme says whether TLS comes first, and the port where none is given; user and password are decoded."""
    assert settings(url=SecretStr(url)).server == expected


@given(credentials, credentials)
def test_any_credentials_can_be_written(user: str, password: str) -> None:
    """Whatever is in user and password, percent-encoded it arrives."""
    server = MailServer.of(f"smtp://{quote(user, safe='')}:{quote(password, safe='')}@h")

    assert (server.user, server.password, server.host) == (user, password, "h")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "mail.example.com",
        "http://mail.example.com",
        "smtp://",
        "smtp://h:port",
        "smtp://h:99999",
        "smtp://h/path",
        "smtp://h?tls=1",
        "smtp://user@h",
        "smtp://:s3cret@h",
        "smtp://user:s3cret#1@h",
        "smtp://[::1",
    ],
)
def test_a_url_that_names_none_is_refused(url: str) -> None:
    """A URL with something wrong is refused; what is in it stays there."""
    with pytest.raises(ValidationError) as caught:
        settings(url=SecretStr(url))

    assert "must be smtp://user:password@host:587" in str(caught.value)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("from_address", "nobody"),
        ("from_address", ""),
        ("starttls", "perhaps"),
        ("hello_name", "a b"),
        ("hello_name", "a\n"),
        ("ca_file", "/there/is/none"),
        ("ca_file", __file__),
        ("max_connections", 0),
        ("max_connections", 101),
        ("passwort", "x"),
    ],
)
def test_other_settings_that_cannot_be(name: str, value: object) -> None:
    """Each setting is held to what it can be, and one that does not exist is refused."""
    with pytest.raises(ValidationError) as caught:
        settings(**{name: value})

    assert [error["loc"] for error in caught.value.errors()] == [(name,)]


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        *((here, True) for here in ("localhost", "127.0.0.1", "127.8.8.8", "::1")),
        *((away, False) for away in ("0.0.0.0", "10.0.0.1", "localhost.example.com", "mail")),
    ],
)
def test_which_servers_are_here(host: str, expected: bool) -> None:
    """A server is on this machine if its address says so."""
    assert MailServer(host, 25, is_tls=False).is_here is expected


def test_secrets_are_not_shown() -> None:
    """Neither the settings nor the server show a password."""
    made = settings(url=SecretStr("smtp://user:s3cret@h"))

    assert "s3cret" not in repr(made)
    assert "s3cret" not in repr(made.server)


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"URL": "smtp://h"}, "carillon: CARILLON_SMTP__FROM_ADDRESS: Field required"),
        (
            {"URL": "http://user:s3cret@h", "FROM_ADDRESS": "a@example.com"},
            "carillon: CARILLON_SMTP__URL: must be smtp://user:password@host:587",
        ),
        (
            {"URL": "smtp://h", "FROM_ADDRESS": "a"},
            "carillon: CARILLON_SMTP__FROM_ADDRESS: must be a mail address, for instance notifications@example.com",
        ),
    ],
)
def test_a_wrong_setting_is_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variables: dict[str, str], expected: str
) -> None:
    """A worker that is configured wrongly names the variable, and starts nothing."""
    monkeypatch.chdir(tmp_path)
    for name, value in variables.items():
        monkeypatch.setenv(f"CARILLON_SMTP__{name}", value)
    monkeypatch.setattr(sys, "argv", ["carillon", "worker"])

    with pytest.raises(SystemExit) as caught:
        main()

    assert str(caught.value.code).startswith(expected)
    assert "s3cret" not in str(caught.value.code)
    assert "\n" not in str(caught.value.code)
