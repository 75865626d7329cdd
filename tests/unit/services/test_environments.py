from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, cast

import pytest

from services.environments.authenticator import Authenticator
from services.environments.model import Environment, Secret, is_client_id
from services.kernel.auth import (
    BackendCredentials,
    Credentials,
    Principal,
    Realm,
    UserCredentials,
    credentials_invalid,
    sha256_hash,
    user_hash,
)
from services.kernel.errors import Unauthenticated
from services.kernel.origin import NOTIFICATIONAPI
from services.kernel.tokens import TokenCredentials
from tests.unit.services.builders import NOW

if TYPE_CHECKING:
    from services.environments.cache import Catalogue

HOUR = timedelta(hours=1)
# A secret in the middle of its rotation, and one that is over.
ROTATED = Environment(
    "dev",
    (
        Secret("k1", "over", NOW, NOW - HOUR),
        Secret("k2", "old", NOW, NOW + HOUR),
        Secret("k3", "new", NOW),
    ),
)


class Environments:
    """The environments of a test, looked up as in the store."""

    def __init__(self, *environments: Environment, stored: Environment | None = None) -> None:
        self._environments = {environment.client_id: environment for environment in environments}
        self._stored = {stored.client_id: stored} if stored else self._environments
        self.asked: list[str] = []

    async def reload(self, client_id: str) -> Environment | None:
        """Gives an environment as it is stored, where it is another than that which is held."""
        return self._stored.get(client_id)

    async def environment(self, client_id: str) -> Environment | None:
        """Gives an environment, or None."""
        self.asked.append(client_id)
        return self._environments.get(client_id)


async def authenticate(
    credentials: Credentials,
    *,
    now: datetime = NOW,
    environments: Environments | None = None,
    accept_sha256_hashes: bool = True,
) -> Principal:
    """Checks credentials at a time."""
    store = environments or Environments(ROTATED, Environment("other", (Secret("k1", "others", NOW),)))

    async def no_revocation(client_id: str, user_id: str) -> None:
        assert isinstance(credentials, TokenCredentials), "only a token pays for this read"

    authenticator = Authenticator(
        cast("Catalogue", store),
        lambda: now,
        not_before=no_revocation,
        accept_sha256_hashes=accept_sha256_hashes,
    )
    return await authenticator.authenticate(credentials)


@pytest.mark.parametrize("secret", ["old", "new"])
async def test_each_live_secret_opens(secret: str) -> None:
    """While two secrets live both open the backend, and prove a user."""
    backend = BackendCredentials("dev", secret)
    user = UserCredentials("dev", "userId_123abc", user_hash(secret, "userId_123abc"))

    assert await authenticate(backend) == Principal(Realm.BACKEND, "dev", key_id={"old": "k2", "new": "k3"}[secret])
    assert await authenticate(user) == Principal(Realm.USER, "dev", "userId_123abc")


@pytest.mark.parametrize(
    "credentials",
    [
        BackendCredentials("dev", "wrong"),
        BackendCredentials("dev", ""),
        BackendCredentials("dev", "over"),
        BackendCredentials("dev", "others"),
        BackendCredentials("gone", "new"),
        BackendCredentials("", "new"),
        BackendCredentials("a b", "new"),
        BackendCredentials("d" * 65, "new"),
        UserCredentials("dev", "u", "wrong"),
        UserCredentials("dev", "u", ""),
        UserCredentials("dev", "u", "new"),
        UserCredentials("dev", "u", user_hash("over", "u")),
        UserCredentials("dev", "u", user_hash("others", "u")),
        UserCredentials("dev", "u", user_hash("new", "v")),
        UserCredentials("gone", "u", user_hash("new", "u")),
        UserCredentials("gone", "u", ""),
        UserCredentials("dev", "u", sha256_hash("new", "u")),
        UserCredentials("dev", "u", sha256_hash("over", "u"), NOTIFICATIONAPI),
        UserCredentials("dev", "u", sha256_hash("new", "v"), NOTIFICATIONAPI),
        UserCredentials("dev", "u", "", NOTIFICATIONAPI),
    ],
)
async def test_every_refusal_is_the_same(credentials: Credentials) -> None:
    """Unknown clients, wrong secrets, wrong hashes and expired ones are told in the same words."""
    with pytest.raises(Unauthenticated) as caught:
        await authenticate(credentials)

    one = credentials_invalid()
    assert (caught.value.reason, caught.value.message) == ("CREDENTIALS_INVALID", one.message)
    assert caught.value.metadata == {}


@pytest.mark.parametrize("secret", ["old", "new"])
async def test_the_hash_of_the_python_sdk_opens_by_its_protocol(secret: str) -> None:
    """Base64 of SHA-256 of any live secret and the id proves a user who speaks NotificationAPI, as the HMAC does."""
    for make in (sha256_hash, user_hash):
        credentials = UserCredentials("dev", "u", make(secret, "u"), NOTIFICATIONAPI)
        assert await authenticate(credentials) == Principal(Realm.USER, "dev", "u")


async def test_the_hash_of_the_python_sdk_can_be_refused() -> None:
    """Where such hashes are switched off only the HMAC is one."""
    bare, proper = (UserCredentials("dev", "u", make("new", "u"), NOTIFICATIONAPI) for make in (sha256_hash, user_hash))

    assert await authenticate(proper, accept_sha256_hashes=False)
    with pytest.raises(Unauthenticated):
        await authenticate(bare, accept_sha256_hashes=False)


@pytest.mark.parametrize("given", ["", "wrong", "undefined", user_hash("new", "u")])
async def test_without_secure_mode_a_user_id_will_do(given: str) -> None:
    """Where secure mode is off whoever names a user is that user, whatever hash they give."""
    environments = Environments(replace(ROTATED, secure_mode=False))

    principal = await authenticate(UserCredentials("dev", "u", given), environments=environments)

    assert principal == Principal(Realm.USER, "dev", "u")


async def test_without_secure_mode_secrets_are_still_checked() -> None:
    """A backend is let in by a live secret alone, whether secure mode is on or off."""
    environments = Environments(replace(ROTATED, secure_mode=False))

    for secret in ("", "wrong", "over"):
        with pytest.raises(Unauthenticated):
            await authenticate(BackendCredentials("dev", secret), environments=environments)


async def test_secure_mode_that_was_switched_off_just_now_is_off() -> None:
    """Who is refused by what is held is let in if the environment is stored as insecure; not the other way round."""
    insecure, credentials = replace(ROTATED, secure_mode=False), UserCredentials("dev", "u", "")

    assert await authenticate(credentials, environments=Environments(ROTATED, stored=insecure))
    assert await authenticate(credentials, environments=Environments(insecure, stored=ROTATED))


async def test_a_secret_expires_at_its_time() -> None:
    """A secret opens until its time has come, and not at it."""
    credentials = BackendCredentials("dev", "old")

    assert await authenticate(credentials, now=NOW + HOUR - timedelta(milliseconds=1))
    with pytest.raises(Unauthenticated):
        await authenticate(credentials, now=NOW + HOUR)


async def test_an_environment_without_a_live_secret_is_closed() -> None:
    """Where nothing lives nothing opens, not even the hash under an empty secret."""
    closed = Environments(replace(ROTATED, secrets=ROTATED.secrets[:1]))

    for credentials in (BackendCredentials("dev", "over"), UserCredentials("dev", "u", user_hash("", "u"))):
        with pytest.raises(Unauthenticated):
            await authenticate(credentials, environments=closed)


async def test_what_is_no_client_is_not_looked_up() -> None:
    """A client_id of the wrong form never reaches the store."""
    environments = Environments(ROTATED)

    with pytest.raises(Unauthenticated):
        await authenticate(BackendCredentials("$where", "new"), environments=environments)

    assert environments.asked == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [("dev", True), ("A-z_9", True), ("a" * 64, True), ("a" * 65, False), ("", False), ("a\n", False), ("ä", False)],
)
def test_a_client_id_has_a_form(text: str, expected: bool) -> None:
    """A client_id is 1 to 64 of letters, digits, - and _."""
    assert is_client_id(text) is expected


def test_a_secret_is_not_shown() -> None:
    """The text form of an environment has no secret."""
    assert "old" not in repr(ROTATED)
