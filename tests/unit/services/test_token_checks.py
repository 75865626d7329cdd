from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, cast

import pytest

from services.environments.authenticator import Authenticator
from services.environments.model import Environment, Secret
from services.kernel.auth import Principal, Realm, credentials_invalid
from services.kernel.errors import Unauthenticated
from services.kernel.tokens import read_token
from tests.tokens import mint
from tests.unit.services.builders import NOW
from tests.unit.services.test_environments import Environments

if TYPE_CHECKING:
    from services.environments.cache import Catalogue

HOUR, MS = timedelta(hours=1), timedelta(milliseconds=1)
OVER, OLD, NEW, OTHERS = (f"{name}-secret-of-an-environment-of-32" for name in ("over", "old", "new", "others"))
ROTATED = Environment(
    "dev",
    (
        Secret("k1", OVER, NOW - 3 * HOUR, NOW - HOUR),
        Secret("k2", OLD, NOW - 2 * HOUR, NOW + HOUR),
        Secret("k3", NEW, NOW - HOUR),
    ),
)


async def authenticate(
    token: str, *, now: datetime = NOW, not_before: datetime | None = None, environments: Environments | None = None
) -> Principal:
    """Checks a token at a time, with a revocation of the user's tokens or none."""
    store = environments or Environments(ROTATED, Environment("other", (Secret("k3", OTHERS, NOW),)))

    async def revoked(client_id: str, user_id: str) -> datetime | None:
        assert (client_id, user_id) == ("dev", "u")
        return not_before

    authenticator = Authenticator(cast("Catalogue", store), lambda: now, not_before=revoked)
    return await authenticator.authenticate(read_token(token))


async def reason(token: str, *, now: datetime = NOW, not_before: datetime | None = None) -> str:
    """Gives why a token is refused; empty: it is not."""
    try:
        await authenticate(token, now=now, not_before=not_before)
    except Unauthenticated as error:
        return error.reason
    return ""


@pytest.mark.parametrize("secret", [OLD, NEW])
@pytest.mark.parametrize("kid", [None, "", "k1", "k2", "k3", "nothing"])
async def test_each_live_secret_signs(secret: str, kid: str | None) -> None:
    """A token under a live secret opens, unless its kid names another live one; one that is not live says nothing."""
    token = mint(secret, "dev", "u", now=NOW, kid=kid)
    names_another = (kid, secret) in (("k2", NEW), ("k3", OLD))

    assert await reason(token) == ("CREDENTIALS_INVALID" if names_another else "")


async def test_the_caller_carries_the_times_of_the_token() -> None:
    """Who came with a token is that user, from when and until when the token says."""
    assert await authenticate(mint(NEW, "dev", "u", now=NOW, ttl=HOUR)) == Principal(
        Realm.USER, "dev", "u", token_time=NOW, expire_time=NOW + HOUR
    )


@pytest.mark.parametrize(
    "token",
    [
        mint(OVER, "dev", "u", now=NOW),
        mint(OVER, "dev", "u", now=NOW, kid="k1"),
        mint(OTHERS, "dev", "u", now=NOW, kid="k3"),
        mint(NEW, "other", "u", now=NOW),
        mint(NEW, "gone", "u", now=NOW),
        mint(NEW, "$where", "u", now=NOW),
        mint(NEW, "d\0v", "u", now=NOW),
        mint(OTHERS, "dev", "u", now=NOW - 9 * HOUR),
    ],
)
async def test_every_wrong_signature_is_told_the_same(token: str) -> None:
    """Of dead secrets, other environments and unknown clients nothing is said, nor whether such a token is over."""
    with pytest.raises(Unauthenticated) as caught:
        await authenticate(token, not_before=NOW + HOUR)

    assert (caught.value.reason, caught.value.message) == ("CREDENTIALS_INVALID", credentials_invalid().message)


async def test_a_token_ends_with_its_time_and_with_its_secret() -> None:
    """A token opens until its end and not at it; that of an old secret no longer than the secret does."""
    token, of_old = mint(NEW, "dev", "u", now=NOW, ttl=2 * HOUR), mint(OLD, "dev", "u", now=NOW, ttl=2 * HOUR)

    assert await reason(token, now=NOW + 2 * HOUR - MS) == ""
    assert await reason(token, now=NOW + 2 * HOUR) == "TOKEN_EXPIRED"
    assert await reason(of_old, now=NOW + HOUR - MS) == ""
    assert await reason(of_old, now=NOW + HOUR) == "CREDENTIALS_INVALID"


async def test_what_was_made_before_a_revocation_is_revoked() -> None:
    """A token of the millisecond before is refused, one of the same or a later time opens; a late one is over first."""
    assert await reason(mint(NEW, "dev", "u", now=NOW - MS), not_before=NOW) == "TOKEN_REVOKED"
    assert await reason(mint(NEW, "dev", "u", now=NOW), not_before=NOW) == ""
    assert await reason(mint(NEW, "dev", "u", now=NOW - 2 * HOUR), not_before=NOW) == "TOKEN_EXPIRED"


async def test_a_secret_that_is_not_held_yet_is_read() -> None:
    """A token under a secret that was made just now opens, though what is held does not have it."""

    class Behind(Environments):
        async def environment(self, client_id: str) -> Environment | None:
            return Environment("dev", ROTATED.secrets[:2])

    token = mint(NEW, "dev", "u", now=NOW, kid="k3")
    assert (await authenticate(token, environments=Behind(ROTATED))).user_id == "u"


def test_the_newest_live_secret_is_the_one_made_last() -> None:
    """Tokens are signed under the live secret that was made last; without a live one there is none."""
    newest = ROTATED.newest_secret(NOW)
    assert newest is not None
    assert newest.key_id == "k3"
    assert Environment("dev", ROTATED.secrets[:1]).newest_secret(NOW) is None
