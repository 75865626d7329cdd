"""User tokens: made, used as a user, over at their time, and revoked."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import grpc
import jwt
import pytest

from carillon.v1 import inbox_pb2, sender_pb2, users_pb2
from services.environments.model import Secret
from services.kernel.auth import bearer_authorization
from services.kernel.clock import new_id, utc_now
from services.users.erasures import AGAIN_AFTER
from services.users.revocations import KEPT
from tests.contract.services.refusals import Refusal, assert_violates, refusal
from tests.contract.services.requests import USER, send_request
from tests.contract.services.world import Caller
from tests.tokens import key_of, mint

if TYPE_CHECKING:
    from tests.contract.services.world import Tenant, World

pytestmark = pytest.mark.asyncio(loop_scope="session")

HOUR, MS = timedelta(hours=1), timedelta(milliseconds=1)


async def create(tenant: Tenant, user_id: str = USER, **fields: Any) -> users_pb2.CreateUserTokenResponse:
    """Makes a token as a backend."""
    request = users_pb2.CreateUserTokenRequest(user_id=user_id, **fields)
    answer: users_pb2.CreateUserTokenResponse = await tenant.backend.users.CreateUserToken(request)
    return answer


async def revoke(tenant: Tenant, user_id: str = USER) -> datetime:
    """Revokes a user's tokens."""
    answer = await tenant.backend.users.RevokeUserTokens(users_pb2.RevokeUserTokensRequest(user_id=user_id))
    time: datetime = answer.not_before_time.ToDatetime(tzinfo=UTC)
    return time


def bearer(tenant: Tenant, token: str) -> Caller:
    """Gives a caller who has a token."""
    return Caller(tenant.channel, [bearer_authorization(token)])


async def unread(tenant: Tenant, token: str) -> int:
    """Counts unread items with a token."""
    return int((await bearer(tenant, token).inbox.CountUnread(inbox_pb2.CountUnreadRequest())).unread_count)


async def refused(tenant: Tenant, token: str) -> Refusal:
    """Gives why a token is refused."""
    found = await refusal(unread(tenant, token))
    assert found.code is grpc.StatusCode.UNAUTHENTICATED
    assert token not in found.message
    return found


def claims(token: str) -> dict[str, Any]:
    """Gives what a token says."""
    decoded: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return decoded


async def test_a_token_opens_what_is_the_users(tenant: Tenant) -> None:
    """With a token of CreateUserToken a user reads their inbox and profile, and names themselves or nobody."""
    await tenant.send(send_request(), send_request(user={"id": "other"}))
    own = bearer(tenant, (await create(tenant)).user_token)

    (item,) = (await own.inbox.ListInbox(inbox_pb2.ListInboxRequest())).items
    assert item.notification_id == "order_tracking"
    assert (await own.inbox.CountUnread(inbox_pb2.CountUnreadRequest(user_id=USER))).unread_count == 1
    assert (await own.users.GetUser(users_pb2.GetUserRequest())).user.id == USER


async def test_a_token_opens_nothing_else(tenant: Tenant) -> None:
    """Another user is PERMISSION_DENIED, and so is what only backends may, further tokens included."""
    token = (await create(tenant)).user_token
    own = bearer(tenant, token)

    other = await refusal(own.inbox.CountUnread(inbox_pb2.CountUnreadRequest(user_id="other")))
    assert (other.code, other.reason) == (grpc.StatusCode.PERMISSION_DENIED, "OTHER_USER")
    for call in (
        own.sender.Send(sender_pb2.SendRequest()),
        own.users.CreateUserToken(users_pb2.CreateUserTokenRequest(user_id=USER)),
        own.users.RevokeUserTokens(users_pb2.RevokeUserTokensRequest(user_id=USER)),
    ):
        assert (await refusal(call)).reason == "BACKEND_ONLY"


@pytest.mark.parametrize("user_id", ["a:b", "Zoë 🦀", "🦀" * 64, '"' * 256])
async def test_a_user_with_any_id_gets_a_token(tenant: Tenant, user_id: str) -> None:
    """A token carries any id that a user can have, and needs no profile."""
    token = (await create(tenant, user_id)).user_token

    assert claims(token)["sub"] == user_id
    assert await unread(tenant, token) == 0


async def test_what_a_token_says(world: World, tenant: Tenant) -> None:
    """A token names user, environment and secret, says when it was made, and ends an hour later, or as is asked."""
    before = utc_now()
    answers = {
        HOUR: await create(tenant),
        timedelta(minutes=1): await create(tenant, ttl={"seconds": 60}),
        timedelta(hours=24): await create(tenant, ttl={"seconds": 86_400}),
        timedelta(seconds=90, milliseconds=7): await create(tenant, ttl={"seconds": 90, "nanos": 7_999_999}),
    }
    (stored,) = await world.stores.environments.get_many([tenant.client_id])

    for ttl, answer in answers.items():
        said = claims(answer.user_token)
        made = datetime.fromtimestamp(said["iat"], UTC)
        assert before <= made <= utc_now()
        assert answer.expire_time.ToDatetime(tzinfo=UTC) == made + ttl == datetime.fromtimestamp(said["exp"], UTC)
        assert (said["sub"], said["aud"]) == (USER, tenant.client_id)
        assert jwt.get_unverified_header(answer.user_token)["kid"] == stored.secrets[0].key_id
        assert jwt.decode(answer.user_token, key_of(tenant.secret), ["HS256"], audience=tenant.client_id, leeway=5)


@pytest.mark.parametrize(
    ("user_id", "ttl", "violation"),
    [
        ("", {"seconds": 60}, ("user_id", "REQUIRED")),
        ("x" * 257, {"seconds": 60}, ("user_id", "TOO_LONG")),
        ("a\nb", {"seconds": 60}, ("user_id", "INVALID_CHARACTERS")),
        (USER, {}, ("ttl", "OUT_OF_RANGE")),
        (USER, {"seconds": 59, "nanos": 999_000_000}, ("ttl", "OUT_OF_RANGE")),
        (USER, {"seconds": 86_400, "nanos": 1}, ("ttl", "OUT_OF_RANGE")),
        (USER, {"seconds": -3600}, ("ttl", "OUT_OF_RANGE")),
        (USER, {"seconds": 2**62}, ("ttl", "OUT_OF_RANGE")),
    ],
)
async def test_a_wrong_request_is_refused(
    tenant: Tenant, user_id: str, ttl: dict[str, int], violation: tuple[str, str]
) -> None:
    """An id that no user can have, and a life shorter than a minute or longer than a day, are violations."""
    assert_violates(await refusal(create(tenant, user_id, ttl=ttl)), [violation])
    if violation[0] == "user_id":
        assert_violates(await refusal(revoke(tenant, user_id)), [violation])


async def test_a_backend_makes_tokens_by_itself(tenant: Tenant) -> None:
    """A token of any library for JWTs opens, with a kid or without, with whole seconds, for a day."""
    await tenant.send(send_request())
    now = int(utc_now().timestamp())

    for token in (
        mint(tenant.secret, tenant.client_id, USER),
        mint(tenant.secret, tenant.client_id, USER, kid="unknown"),
        mint(tenant.secret, tenant.client_id, USER, aud=[tenant.client_id], iat=now, exp=now + 86_400),
        mint(tenant.secret, tenant.client_id, USER, iat=now + 30),
    ):
        assert await unread(tenant, token) == 1


async def test_a_token_that_is_over_says_so(tenant: Tenant) -> None:
    """A token after its end is TOKEN_EXPIRED if its signature is right, and else as wrong as any other."""
    made = utc_now() - HOUR
    right, wrong = [mint(secret, tenant.client_id, USER, now=made) for secret in (tenant.secret, "wrong" * 8)]

    assert (await refused(tenant, right)).reason == "TOKEN_EXPIRED"
    assert (await refused(tenant, wrong)).reason == "CREDENTIALS_INVALID"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"sub": None}, "CREDENTIALS_MALFORMED"),
        ({"sub": "a\0b"}, "CREDENTIALS_MALFORMED"),
        ({"aud": None}, "CREDENTIALS_MALFORMED"),
        ({"exp": None}, "CREDENTIALS_MALFORMED"),
        ({"iat": None}, "CREDENTIALS_MALFORMED"),
        ({"padding": "x" * 4096}, "CREDENTIALS_MALFORMED"),
        ({"exp": utc_now().timestamp() + 2 * 86_400}, "CREDENTIALS_INVALID"),
        ({"iat": utc_now().timestamp() + 3600, "exp": utc_now().timestamp() + 7200}, "CREDENTIALS_INVALID"),
        ({"nbf": utc_now().timestamp() + 3600}, "CREDENTIALS_INVALID"),
        ({"aud": "another"}, "CREDENTIALS_INVALID"),
    ],
)
async def test_a_token_of_another_form_is_refused(tenant: Tenant, changes: dict[str, Any], reason: str) -> None:
    """A right signature does not help where claims are missing, impossible, or not for here or now."""
    token = mint(tenant.secret, tenant.client_id, USER, **changes)

    assert (await refused(tenant, token)).reason == reason


async def test_another_environments_token_opens_nothing(world: World, tenant: Tenant) -> None:
    """A token of another environment opens that one alone, whatever it says about whom it is for."""
    stranger = await world.tenant()
    await tenant.send(send_request())

    assert await unread(tenant, (await create(stranger)).user_token) == 0
    assert (await refused(tenant, mint(stranger.secret, tenant.client_id, USER))).reason == "CREDENTIALS_INVALID"


async def test_tokens_of_an_old_secret_work_until_it_ends(world: World, tenant: Tenant) -> None:
    """While two secrets live both sign, ours come under the newer one; once the old one is over so are its tokens."""
    old, now = (await create(tenant)).user_token, utc_now()
    (stored,) = await world.stores.environments.get_many([tenant.client_id])
    newer = Secret(new_id(), f"secret-{new_id()}", now)
    await world.change_secrets(tenant.client_id, *stored.rotated(newer, expire_time=now + HOUR))

    new = (await create(tenant)).user_token
    assert jwt.get_unverified_header(new)["kid"] == newer.key_id
    assert [await unread(tenant, token) for token in (old, new)] == [0, 0]
    assert await unread(tenant, mint(tenant.secret, tenant.client_id, USER)) == 0

    await world.change_secrets(tenant.client_id, newer)
    # Through the new secret this process learns of the change, as it would by itself within a second.
    await Caller(tenant.channel, [("api-token", f"{tenant.client_id}.{newer.text}")]).users.CreateUserToken(
        users_pb2.CreateUserTokenRequest(user_id=USER)
    )
    assert (await refused(tenant, old)).reason == "CREDENTIALS_INVALID"
    assert await unread(tenant, new) == 0


async def test_a_token_ends_no_later_than_its_secret(world: World, tenant: Tenant) -> None:
    """Where the newest secret ends before the token would, the token's end is that of the secret."""
    end = utc_now() + HOUR
    await world.change_secrets(tenant.client_id, Secret("k", tenant.secret, utc_now(), end))

    answer = await create(tenant, ttl={"seconds": 86_400})

    assert answer.expire_time.ToDatetime(tzinfo=UTC) == end
    assert claims(answer.user_token)["exp"] == end.timestamp()


async def test_a_revocation_ends_what_was_made_before(tenant: Tenant) -> None:
    """Tokens from before are TOKEN_REVOKED, whoever made them; hashes, other users and later tokens are not touched."""
    ours, theirs = (await create(tenant)).user_token, mint(tenant.secret, tenant.client_id, USER)
    other = (await create(tenant, "other")).user_token
    assert await unread(tenant, ours) == await unread(tenant, theirs) == 0

    not_before = await revoke(tenant)
    later = (await create(tenant)).user_token

    assert [(await refused(tenant, token)).reason for token in (ours, theirs)] == ["TOKEN_REVOKED"] * 2
    assert [await unread(tenant, token) for token in (later, other)] == [0, 0]
    assert await tenant.user(USER).inbox.CountUnread(inbox_pb2.CountUnreadRequest())
    assert claims(ours)["iat"] <= not_before.timestamp() <= claims(later)["iat"]


async def test_a_revocation_is_read_at_every_call(tenant: Tenant, other_world: World) -> None:
    """A revocation by one process holds for the next call of any other, also for a token that has just been used."""
    token = (await create(tenant)).user_token
    elsewhere = Caller(other_world.channel, [bearer_authorization(token)])
    request = inbox_pb2.CountUnreadRequest()
    assert await elsewhere.inbox.CountUnread(request)

    await revoke(tenant)

    assert (await refusal(elsewhere.inbox.CountUnread(request))).reason == "TOKEN_REVOKED"


async def test_a_revocation_only_moves_on(world: World, tenant: Tenant) -> None:
    """Of two revocations the later one holds, in whatever order they are written; it is kept as long as it matters."""
    revocations = world.stores.revocations
    first, now = await revoke(tenant), utc_now()

    assert first <= await revoke(tenant) <= utc_now()
    ahead = now + timedelta(minutes=5)
    assert await revocations.revoke(tenant.client_id, USER, ahead) == ahead
    assert await revoke(tenant) == ahead
    document = await world.database.revocations.find_one({"_id": {"e": tenant.client_id, "u": USER}})
    assert document["expire_time"] == ahead + KEPT
    indexes = await world.database.revocations.index_information()
    assert indexes["ttl"]["expireAfterSeconds"] == 0


async def test_a_deleted_users_tokens_do_not_open_the_next(world: World, tenant: Tenant) -> None:
    """Tokens from before DeleteUser stay refused after its second pass; who has the id next gets tokens that hold."""
    old = mint(tenant.secret, tenant.client_id, USER, now=utc_now() - HOUR, ttl=2 * HOUR)
    assert await unread(tenant, old) == 0
    await tenant.backend.users.DeleteUser(users_pb2.DeleteUserRequest(user_id=USER))
    await tenant.send(send_request())
    new = (await create(tenant)).user_token

    for _ in range(2):
        assert (await refused(tenant, old)).reason == "TOKEN_REVOKED"
        assert await unread(tenant, new) == 1
        while await world.stores.erasures.erase_again(utc_now() + AGAIN_AFTER):
            pass


async def test_a_deletion_that_crashed_revokes_later(world: World, tenant: Tenant) -> None:
    """Where a deletion came no further than its entry, the second pass revokes what was made until then."""
    token, now = (await create(tenant)).user_token, utc_now()
    key = {"e": tenant.client_id, "u": USER}
    await world.database.erasures.insert_one({"_id": key, "until": now + MS, "due_time": now + HOUR})

    while await world.stores.erasures.erase_again(now + HOUR):
        pass

    assert (await refused(tenant, token)).reason == "TOKEN_REVOKED"
