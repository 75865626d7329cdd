"""Many users in one call, and what an app forgets when its user logs out."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from carillon.v1 import user_pb2, users_pb2
from tests.contract.services.bad_users import BAD_USERS, token
from tests.contract.services.refusals import assert_violates, refusal
from tests.contract.services.requests import USER, struct
from tests.contract.services.test_users import browsers, get, identify, texts, token_names, tokens

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.contract.services.world import Tenant

pytestmark = pytest.mark.asyncio(loop_scope="session")

KEEP, OVERWRITE = users_pb2.UPSERT_POLICY_KEEP, users_pb2.UPSERT_POLICY_OVERWRITE


async def upsert(tenant: Tenant, users: Iterable[user_pb2.User], policy: Any = 0) -> list[users_pb2.UpsertResult]:
    """Writes users and gives the results."""
    request = users_pb2.BatchUpsertUsersRequest(users=users, policy=policy)
    return list((await tenant.backend.users.BatchUpsertUsers(request)).results)


async def test_each_result_is_the_user_as_stored(tenant: Tenant) -> None:
    """New users are created, results come in request order and are what GetUser answers."""
    users = [user_pb2.User(id=f"u{i}", email=f"u{i}@example.com", properties=struct({"i": i})) for i in (3, 1, 2)]

    results = await upsert(tenant, users)

    assert [result.user.id for result in results] == ["u3", "u1", "u2"]
    assert [result.user for result in results] == [await get(tenant, user.id) for user in users]
    assert all(result.user.HasField("create_time") for result in results)


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (0, {"email": "old@example.com", "first_name": "New", "last_name": "Old"}),
        (KEEP, {"email": "old@example.com", "first_name": "New", "last_name": "Old"}),
        (OVERWRITE, {"email": "new@example.com", "first_name": "New", "last_name": "Old"}),
    ],
)
async def test_the_policy_decides_about_known_fields(tenant: Tenant, policy: Any, expected: dict[str, str]) -> None:
    """KEEP, the default, fills what is missing; OVERWRITE writes what is given; neither clears; devices are merged."""
    await identify(tenant, email="old@example.com", last_name="Old", push_tokens=tokens("a"))

    (result,) = await upsert(
        tenant, [user_pb2.User(id=USER, email="new@example.com", first_name="New", push_tokens=tokens("b"))], policy
    )

    assert texts(result.user) == expected
    assert token_names(result.user) == ["a", "b"]


async def test_a_bad_user_fails_alone(tenant: Tenant) -> None:
    """Each user that a call of its own would refuse is a failure with the same violations; the others are stored."""
    bad = list(BAD_USERS.values())
    users = [one for i, (user, _) in enumerate(bad) for one in (user, user_pb2.User(id=f"good-{i}"))]

    results = await upsert(tenant, users)

    for (_, expected), result in zip(bad, results[::2], strict=True):
        assert (result.failure.code, result.failure.reason) == (3, "INVALID_REQUEST")
        assert sorted((one.field, one.reason) for one in result.failure.field_violations) == sorted(expected)
        assert result.failure.message
    assert [result.user.id for result in results[1::2]] == [f"good-{i}" for i in range(len(bad))]
    assert (await tenant.stored())["users"] == len(bad)


async def test_the_same_user_twice_is_written_in_order(tenant: Tenant) -> None:
    """A user who is there twice is as the last one says, and a device is its last user's."""
    results = await upsert(
        tenant,
        [
            user_pb2.User(id="a", first_name="First", last_name="Stays", push_tokens=tokens("shared")),
            user_pb2.User(id="b", push_tokens=tokens("shared")),
            user_pb2.User(id="a", first_name="Second"),
        ],
        OVERWRITE,
    )

    assert [texts(result.user).get("first_name") for result in results] == ["Second", None, "Second"]
    assert texts(results[2].user)["last_name"] == "Stays"
    assert [token_names(result.user) for result in results] == [[], ["shared"], []]


async def test_at_most_1000_users(tenant: Tenant) -> None:
    """1 to 1,000 users are taken; none, one more and an unknown policy are refused, and nothing is stored."""
    many = [user_pb2.User(id=f"u{i}") for i in range(1001)]

    assert_violates(await refusal(upsert(tenant, many)), [("users", "TOO_MANY")])
    assert_violates(await refusal(upsert(tenant, [])), [("users", "REQUIRED")])
    assert_violates(await refusal(upsert(tenant, many[:1], 99)), [("policy", "UNKNOWN_VALUE")])
    assert (await tenant.stored())["users"] == 0

    assert len(await upsert(tenant, many[:1000])) == 1000
    assert (await tenant.stored())["users"] == 1000


async def test_a_logout_forgets_the_device(tenant: Tenant) -> None:
    """Removed tokens and endpoints leave the profile; the others stay, and unknown ones are no matter."""
    await identify(
        tenant, email="a@example.com", push_tokens=tokens("a", "b"), web_push_subscriptions=browsers("a", "b")
    )

    request = users_pb2.IdentifyUserRequest(
        user=user_pb2.User(id=USER, push_tokens=tokens("c")),
        remove_push_tokens=["a", "never"],
        remove_web_push_endpoints=["https://push.test/b"],
    )
    answered = (await tenant.backend.users.IdentifyUser(request)).user

    assert token_names(answered) == ["b", "c"]
    assert [one.endpoint for one in answered.web_push_subscriptions] == ["https://push.test/a"]
    assert answered.email == "a@example.com"
    assert await get(tenant) == answered


async def test_a_user_logs_out_by_themselves(tenant: Tenant) -> None:
    """A user may forget their own devices, and reaches nobody else's."""
    await identify(tenant, push_tokens=tokens("a"))
    await identify(tenant, id="other", push_tokens=tokens("b"))

    request = users_pb2.IdentifyUserRequest(remove_push_tokens=["a", "b"])
    await tenant.user(USER).users.IdentifyUser(request)

    assert (token_names(await get(tenant)), token_names(await get(tenant, "other"))) == ([], ["b"])


async def test_removals_make_room_for_what_is_registered(tenant: Tenant) -> None:
    """What is removed does not count among the newest 50, so nothing else leaves for it; atomic with other calls."""
    await identify(tenant, push_tokens=tokens(*(f"t{i}" for i in range(50))))

    request = users_pb2.IdentifyUserRequest(
        user=user_pb2.User(id=USER, push_tokens=tokens("new")), remove_push_tokens=["t49"]
    )
    same = [tenant.backend.users.IdentifyUser(request) for _ in range(8)]
    await asyncio.gather(*same)

    assert token_names(await get(tenant)) == [*(f"t{i}" for i in range(49)), "new"]


async def test_bad_removals_are_refused_together(tenant: Tenant) -> None:
    """50 removals of each kind are taken; more, empty and long ones, and what is registered too, are refused."""
    request = users_pb2.IdentifyUserRequest(
        user=user_pb2.User(id=USER, push_tokens=[token(token="t")], web_push_subscriptions=browsers("b")),
        remove_push_tokens=["x", "", "t", "y" * 4097],
        remove_web_push_endpoints=["https://push.test/b", "z" * 2049],
    )
    assert_violates(
        await refusal(tenant.backend.users.IdentifyUser(request)),
        [
            ("remove_push_tokens[1]", "REQUIRED"),
            ("remove_push_tokens[2]", "CONFLICT"),
            ("remove_push_tokens[3]", "TOO_LONG"),
            ("remove_web_push_endpoints[0]", "CONFLICT"),
            ("remove_web_push_endpoints[1]", "TOO_LONG"),
        ],
    )
    assert (await tenant.stored())["users"] == 0

    names = [f"{i}".rjust(4096, "t") for i in range(51)]
    too_many = users_pb2.IdentifyUserRequest(
        user=user_pb2.User(id=USER), remove_push_tokens=names, remove_web_push_endpoints=[f"e{i}" for i in range(51)]
    )
    assert_violates(
        await refusal(tenant.backend.users.IdentifyUser(too_many)),
        [("remove_push_tokens", "TOO_MANY"), ("remove_web_push_endpoints", "TOO_MANY")],
    )
    most = users_pb2.IdentifyUserRequest(user=user_pb2.User(id=USER), remove_push_tokens=names[:50])
    await tenant.backend.users.IdentifyUser(most)
