import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.kernel.auth import (
    BackendCredentials,
    Principal,
    Realm,
    UserCredentials,
    find_secret,
    hash_matches,
    parse_credentials,
    resolve_user_id,
    sha256_hash,
    user_hash,
)
from services.kernel.errors import PermissionDenied, Unauthenticated
from services.kernel.validation import Violations
from tests.contract.services.bad_users import INVISIBLE

BACKEND = Principal(Realm.BACKEND, "dev")
USER = Principal(Realm.USER, "dev", "userId_123abc")

client_ids = st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True)
secrets = st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True)
# What a person can see, and at most 256 bytes of UTF-8.
user_ids = st.text(st.characters(exclude_categories=["Cc", "Cf", "Cs", "Zl", "Zp"]), min_size=1, max_size=64)


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


@given(client_ids, user_ids)
def test_a_user_without_a_proof_is_read(client_id: str, user_id: str) -> None:
    """With nothing behind the last of two colons a user gives no hash, whatever colons the user's id has."""
    assert parse_credentials(basic(f"{client_id}:{user_id}:")) == UserCredentials(client_id, user_id, "")


@pytest.mark.parametrize("user_id", [*INVISIBLE.values(), "x" * 257, "é" * 129], ids=ascii)
@pytest.mark.parametrize("given", ["", "hash"])
def test_an_id_that_no_user_can_have_is_none(user_id: str, given: str) -> None:
    """It is refused as it is read, before anything is compared with any hash of it."""
    with pytest.raises(Unauthenticated) as caught:
        parse_credentials(basic(f"dev:{user_id}:{given}"))

    assert caught.value.reason == "CREDENTIALS_MALFORMED"
    assert "user_id: must " in caught.value.message


@pytest.mark.parametrize(
    ("metadata", "protocol"),
    [
        ([], "grpc"),
        ([("carillon-protocol", "notificationapi")], "notificationapi"),
        ([("carillon-protocol", "telepathy")], "grpc"),
        ([("carillon-protocol-bin", b"notificationapi")], "grpc"),
    ],
)
def test_a_user_speaks_what_they_say(metadata: list[tuple[str, str | bytes]], protocol: str) -> None:
    """The protocol is a part of a user's credentials, as one of them has a proof of its own."""
    credentials = parse_credentials([*metadata, *basic("dev:u:hash")])

    assert credentials == UserCredentials("dev", "u", "hash", protocol)


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
        (basic("dev::"), "CREDENTIALS_MALFORMED"),
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


def test_the_hash_of_the_python_sdk_is_a_bare_one() -> None:
    """It is base64 of SHA-256 of secret and id, and taken only where it is asked for (value from `openssl dgst`)."""
    secrets = ["old", "dev-secret"]
    given = "duOEVqIsvYW50fkiKvmEh07Afd58vSYZVZ/juukX42o="

    assert sha256_hash("dev-secret", "userId_123abc") == given
    assert hash_matches(given, "userId_123abc", secrets, or_sha256=True)
    assert not hash_matches(given, "userId_123abc", secrets)
    assert not hash_matches(given, "another", secrets, or_sha256=True)
    assert hash_matches(user_hash("old", "u"), "u", secrets, or_sha256=True)


def test_any_live_secret_is_found() -> None:
    """Each of several live secrets is accepted, anything else is not, not even what is no valid Unicode."""
    secrets = {"k1": "old", "k2": "new"}

    assert find_secret("new", secrets) == "k2"
    assert find_secret("old", secrets) == "k1"
    assert not find_secret("olds", secrets)
    assert not find_secret("\ud800", secrets)
    assert not find_secret("", {})


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
