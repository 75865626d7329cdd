from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from services.delivery.provider_token import ProviderToken, read_signing_key
from services.delivery.settings import ApnsSettings
from services.kernel.process import SettingsError, read_settings
from services.settings import WorkerSettings

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

KEY = ec.generate_private_key(ec.SECP256R1())
HALF_PAST = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)


def header(now: datetime) -> str:
    """Gives what a process that has just begun sends at a time."""
    return ProviderToken(KEY, key_id="KEY", team_id="TEAM", clock=lambda: now).get_header()


def pem(key: PrivateKeyTypes) -> bytes:
    """Gives a key as Apple gives it."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


@given(st.integers(1_600_000_000, 4_000_000_000).map(lambda seconds: datetime.fromtimestamp(seconds, UTC)))
def test_a_token_is_what_apns_takes(now: datetime) -> None:
    """It is signed ES256 by the key, names key and team, and is between one minute and 31 old."""
    scheme, _, token = header(now).partition(" ")
    claims = jwt.decode(token, KEY.public_key(), algorithms=["ES256"], options={"verify_iat": False})
    age = now - datetime.fromtimestamp(claims["iat"], UTC)

    assert scheme == "bearer"
    assert jwt.get_unverified_header(token) == {"alg": "ES256", "kid": "KEY", "typ": "JWT"}
    assert claims == {"iss": "TEAM", "iat": claims["iat"]}
    assert timedelta(minutes=1) <= age < timedelta(minutes=31, seconds=1)


def test_all_processes_have_the_same_token() -> None:
    """Within half an hour every process sends the same bytes, and one that runs on follows the others to the next."""
    times = [HALF_PAST + timedelta(minutes=minutes) for minutes in (0, 1, 20, 30.9, 31)]
    running = iter(times)
    token = ProviderToken(KEY, key_id="KEY", team_id="TEAM", clock=lambda: next(running))

    kept = [token.get_header() for _ in times]

    assert kept == [header(time) for time in times]
    assert [kept.index(one) for one in kept] == [0, 1, 1, 1, 4]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"no key", "is not a key that APNs gives: a PEM file"),
        (pem(rsa.generate_private_key(65537, 2048)), "it must be one on the curve P-256"),
        (pem(ec.generate_private_key(ec.SECP384R1())), "it must be one on the curve P-256"),
    ],
    ids=["missing", "garbage", "RSA", "P-384"],
)
def test_a_key_that_cannot_sign_is_refused_at_the_start(tmp_path: Path, content: bytes | None, problem: str) -> None:
    """The settings say what is wrong with the key file, in one line and without what is in it."""
    file = tmp_path / "key.p8"
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(ValidationError, match=problem) as raised:
        ApnsSettings(key_file=file, key_id="KEY", team_id="TEAM", topic="com.example.app")

    [error] = raised.value.errors()
    assert error["loc"] == ("key_file",)
    assert "\n" not in error["msg"]


def test_a_key_is_read(tmp_path: Path) -> None:
    """What Apple gives is what signs."""
    file = tmp_path / "key.p8"
    file.write_bytes(pem(KEY))

    assert read_signing_key(file).private_numbers() == KEY.private_numbers()


@pytest.mark.parametrize("url", ["https://proxy:3128", "proxy:3128", "http://proxy:3128/path", "http://a b@proxy"])
def test_a_proxy_that_cannot_be_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """A proxy_url that is none is refused by its name, and not shown: it may hold a password."""
    file = tmp_path / "key.p8"
    file.write_bytes(pem(KEY))
    given = {"KEY_FILE": str(file), "KEY_ID": "KEY", "TEAM_ID": "TEAM", "TOPIC": "com.example.app", "PROXY_URL": url}
    for name, value in given.items():
        monkeypatch.setenv(f"CARILLON_APNS__{name}", value)

    with pytest.raises(SettingsError) as raised:
        read_settings(WorkerSettings)

    assert str(raised.value) == ("CARILLON_APNS__PROXY_URL: must be as http://user:password@proxy:3128")
