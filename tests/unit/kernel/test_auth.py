import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.kernel.auth import (
    BackendCredentials,
    Principal,
    Realm,
    UserCredentials,
    hash_matches,
    parse_credentials,
    resolve_user_id,
    secret_matches,
    user_hash,
)
from services.kernel.errors import PermissionDenied, Unauthenticated
from services.kernel.validation import Violations

BACKEND = Principal(Realm.BACKEND, "dev")
USER = Principal(Realm.USER, "dev", "userId_123abc")

client_ids = st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True)
secrets = st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True)
user_ids = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=64)


def basic(text: str) -> list[tuple[str, str | bytes]]:
    """Makes the metadata of a Basic credential."""
    return [("authorization", "Basic " + base64.b64encode(text.encode()).decode())]


@given(client_ids, secrets)
def test_backend_credentials_round_trip(client_id: str, secret: str) -> None:
    """What a backend sends as Basic, as a Bearer key or as an API token is read back."""
    expected = BackendCredentials(client_id, secret)

    assert parse_credentials(basic(f"{client_id}:{secret}")) == expected
    assert parse_credentials([("authorization", f"Bearer {client_id}.{secret}")]) == expected
    assert parse_credentials([("api-token", f"{client_id}.{secret}")]) == expected


@given(client_ids, secrets, user_ids)
def test_user_credentials_round_trip(client_id: str, secret: str, user_id: str) -> None:
    """What a user sends is read back and matches, whatever colons or letters the user's id has."""
    credentials = parse_credentials(basic(f"{client_id}:{user_id}:{user_hash(secret, user_id)}"))

    assert credentials == UserCredentials(client_id, user_id, user_hash(secret, user_id))
    assert isinstance(credentials, UserCredentials)
    assert hash_matches(credentials.user_hash, credentials.user_id, ["other", secret])


@pytest.mark.parametrize(
    "header", ["bAsIc ZGV2OmRldi1zZWNyZXQ=", "Basic ZGV2OmRldi1zZWNyZXQ", "basic  ZGV2OmRldi1zZWNyZXQ= "]
)
def test_basic_is_read_tolerantly(header: str) -> None:
    """The case of the scheme, missing padding and spaces do not matter."""
    assert parse_credentials([("authorization", header)]) == BackendCredentials("dev", "dev-secret")


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ([], "CREDENTIALS_MISSING"),
        ([("authorization", "")], "CREDENTIALS_MISSING"),
        ([("authorization", "Digest abc")], "CREDENTIALS_MALFORMED"),
        ([("authorization", "Basic")], "CREDENTIALS_MALFORMED"),
        ([("authorization", "Basic ä")], "CREDENTIALS_MALFORMED"),
        ([("authorization", "Basic /w==")], "CREDENTIALS_MALFORMED"),
        (basic("dev"), "CREDENTIALS_MALFORMED"),
        (basic("dev:"), "CREDENTIALS_MALFORMED"),
        (basic(":secret"), "CREDENTIALS_MALFORMED"),
        (basic("dev::hash"), "CREDENTIALS_MALFORMED"),
        (basic("dev:user:"), "CREDENTIALS_MALFORMED"),
        ([("authorization", "Bearer dev")], "CREDENTIALS_MALFORMED"),
        ([("authorization", "Bearer a.b.c")], "CREDENTIALS_MALFORMED"),
        ([("api-token", "a.b.c")], "CREDENTIALS_MALFORMED"),
    ],
)
def test_bad_credentials_have_a_reason(metadata: list[tuple[str, str | bytes]], reason: str) -> None:
    """Credentials that are missing or in no known form are told apart."""
    with pytest.raises(Unauthenticated) as caught:
        parse_credentials(metadata)

    assert caught.value.reason == reason


def test_the_hash_is_that_of_the_field() -> None:
    """The hash is base64 of HMAC-SHA256, as backends of NotificationAPI compute it (value from `openssl dgst`)."""
    assert user_hash("dev-secret", "userId_123abc") == "ksLymII6VH7porjqVgq3CSAvpa/g+Llw1XjudVpKI3k="


def test_any_live_secret_matches() -> None:
    """Each of several live secrets is accepted, anything else is not, not even what is no valid Unicode."""
    assert secret_matches("new", ["old", "new"])
    assert secret_matches("old", ["old", "new"])
    assert not secret_matches("olds", ["old", "new"])
    assert not secret_matches("\ud800", ["old"])
    assert not secret_matches("", [])


def test_secrets_are_not_shown() -> None:
    """The text form of credentials has neither secret nor hash."""
    assert "s3cret" not in repr(BackendCredentials("dev", "s3cret"))
    assert "s3cret" not in repr(UserCredentials("dev", "user", "s3cret"))


def test_a_user_is_always_their_own() -> None:
    """A user may leave the id out or name themselves, and no one else."""
    violations = Violations()

    assert resolve_user_id(USER, "", violations) == "userId_123abc"
    assert resolve_user_id(USER, "userId_123abc", violations) == "userId_123abc"
    assert not violations
    with pytest.raises(PermissionDenied) as caught:
        resolve_user_id(USER, "someone", violations)
    assert caught.value.reason == "OTHER_USER"


def test_a_backend_must_name_a_user() -> None:
    """For a backend an empty user id is a violation of the field that is named."""
    violations = Violations()

    assert resolve_user_id(BACKEND, "u1", violations) == "u1"
    assert not violations
    resolve_user_id(BACKEND, "", violations, field="user.id")
    assert violations
