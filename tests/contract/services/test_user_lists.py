"""Finding users: the list of all, and those of an address."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from carillon.v1 import users_pb2
from tests.contract.services.refusals import assert_violates, refusal
from tests.contract.services.requests import send_request
from tests.contract.services.test_users import get, identify

if TYPE_CHECKING:
    from tests.contract.services.world import Tenant, World

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def listed(tenant: Tenant, **fields: Any) -> list[str]:
    """Gives the ids of all pages."""
    found: list[str] = []
    token = ""
    while True:
        answer = await page(tenant, page_token=token, **fields)
        found += [user.id for user in answer.users]
        token = answer.next_page_token
        if not token:
            return found


async def page(tenant: Tenant, **fields: Any) -> users_pb2.ListUsersResponse:
    """Gives one page."""
    answer: users_pb2.ListUsersResponse = await tenant.backend.users.ListUsers(users_pb2.ListUsersRequest(**fields))
    return answer


async def test_pages_have_every_user_once_by_id(tenant: Tenant) -> None:
    """Pages of every size have each user once, ordered by the bytes of the id, whole."""
    ids = ["b", "a", "Z", "é", "a:b", "$a", "10", "9"]
    for user_id in ids:
        await identify(tenant, id=user_id)

    for page_size in (0, 1, 3, 4, 8, 9):
        assert await listed(tenant, page_size=page_size) == sorted(ids)
    assert list((await page(tenant, page_size=2)).users) == [await get(tenant, "$a"), await get(tenant, "10")]


async def test_only_the_own_environment_is_listed(world: World, tenant: Tenant) -> None:
    """A list ends with its environment, whatever the one after it is called."""
    other = await world.tenant()
    for one in (tenant, other):
        await identify(one, id="same", email="same@example.com")

    for fields in ({}, {"email": "same@example.com"}):
        assert await listed(tenant, page_size=1, **fields) == ["same"]


async def test_an_email_is_found_without_case(tenant: Tenant) -> None:
    """Users are found by their mail address in any case, all who have it, and nobody else."""
    await identify(tenant, id="a", email="Sponge.Bob@Example.com")
    await identify(tenant, id="b", email="sponge.bob@example.com")
    await identify(tenant, id="c", email="patrick@example.com")

    assert await listed(tenant, email="SPONGE.BOB@example.COM", page_size=1) == ["a", "b"]
    assert await listed(tenant, email="sponge@example.com") == []


@pytest.mark.parametrize("number", ["(415) 555-1212", "+1 415 555 1212", "4155551212"])
async def test_a_number_is_found_in_any_form(tenant: Tenant, number: str) -> None:
    """Users are found by their number as people write it, and together with a mail address by both."""
    await identify(tenant, id="a", number="+14155551212")
    await identify(tenant, id="b", number="+14155551212", email="b@example.com")
    await identify(tenant, id="c", number="+14155551213")

    assert await listed(tenant, number=number, page_size=1) == ["a", "b"]
    assert await listed(tenant, number=number, email="B@example.com") == ["b"]
    assert await listed(tenant, number="+14155551213", email="b@example.com") == []


async def test_an_address_is_found_as_it_is_now(tenant: Tenant) -> None:
    """An address that was changed or cleared finds nobody, whoever wrote it; a filled one is found."""
    await identify(tenant, id="a", email="old@example.com")
    await identify(tenant, id="a", email="new@example.com")
    assert (await listed(tenant, email="old@example.com"), await listed(tenant, email="new@example.com")) == ([], ["a"])

    await identify(tenant, id="a", mask=["email"])
    assert await listed(tenant, email="new@example.com") == []

    for name in ("filled", "kept-out"):
        await tenant.send(send_request(user={"id": "a", "email": f"{name}@example.com"}))
    assert await listed(tenant, email="filled@example.com") == ["a"]
    assert await listed(tenant, email="kept-out@example.com") == []


async def test_bad_filters_are_refused_together(tenant: Tenant) -> None:
    """An address that cannot be one, one that is too long and a negative page size are refused with their fields."""
    request = users_pb2.ListUsersRequest(email="spongebob", number="abc", page_size=-1)
    assert_violates(
        await refusal(tenant.backend.users.ListUsers(request)),
        [("email", "INVALID_ADDRESS"), ("number", "INVALID_ADDRESS"), ("page_size", "OUT_OF_RANGE")],
    )

    longest = f"{'a' * 64}@{'b' * 252}.de"
    assert len(longest) == 320
    assert await listed(tenant, email=longest) == []
    refused = await refusal(listed(tenant, email=f"x{longest}"))
    assert ("email", "TOO_LONG") in refused.violations


async def test_a_token_belongs_to_its_filters(tenant: Tenant) -> None:
    """A page token of one list is refused by another."""
    for user_id in ("a", "b"):
        await identify(tenant, id=user_id, email="same@example.com")
    token = (await page(tenant, page_size=1, email="same@example.com")).next_page_token

    assert [user.id for user in (await page(tenant, page_token=token, email="SAME@example.com")).users] == ["b"]
    for fields in ({}, {"email": "other@example.com"}, {"number": "+14155551212"}):
        refused = await refusal(page(tenant, page_token=token, **fields))
        assert refused.violations == (("page_token", "PAGE_TOKEN_OTHER_QUERY"),)


async def test_a_page_costs_what_it_answers(world: World, tenant: Tenant) -> None:
    """Each list reads by an index of its own, and no more than its page, however many users there are."""
    for i in range(30):
        await identify(tenant, id=f"u{i:02}", email="same@example.com", number="+14155551212")
    after = await world.tenant()
    for i in range(3):
        await identify(after, id=f"u{i}")
    token = (await page(tenant, page_size=10)).next_page_token
    await world.database.system.profile.drop()
    await world.database.command("profile", 2)
    try:
        await page(tenant, page_size=10, page_token=token)
        await page(tenant, page_size=3, email="same@example.com")
        await page(tenant, page_size=3, number="+14155551212")
        await page(tenant, page_size=1000)
    finally:
        await world.database.command("profile", 0)

    query = {"ns": f"{world.database.name}.users", "op": "query"}
    seen = await world.database.system.profile.find(query).to_list()
    assert [(one["planSummary"].split(" ")[0], one.get("hasSortStage", False)) for one in seen] == [
        ("IXSCAN", False)
    ] * 4
    assert [one["docsExamined"] for one in seen] == [11, 4, 4, 30]
