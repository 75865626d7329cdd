"""Changing some of a user's choices and leaving the others."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from carillon.v1 import preferences_pb2
from tests.contract.services.refusals import assert_violates, refusal
from tests.contract.services.requests import CALL, EMAIL, INAPP_WEB, INSTANT, OFF, ON, SMS, USER
from tests.contract.services.test_preferences import choices, choose, preference, result

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.contract.services.world import Caller, Tenant

pytestmark = pytest.mark.asyncio(loop_scope="session")

Chosen = tuple[str, str, int, int]


async def patch(tenant: Tenant, *preferences: preferences_pb2.Preference) -> list[preferences_pb2.Preference]:
    """Patches the choices of the user and gives what is answered."""
    request = preferences_pb2.PatchPreferencesRequest(user_id=USER, preferences=preferences)
    return list((await tenant.backend.preferences.PatchPreferences(request)).preferences)


async def forget(tenant: Tenant, notification_id: str, part: str = "") -> list[preferences_pb2.Preference]:
    """Deletes choices of the user and gives what is answered."""
    request = preferences_pb2.DeletePreferencesRequest(
        user_id=USER, notification_id=notification_id, sub_notification_id=part
    )
    return list((await tenant.backend.preferences.DeletePreferences(request)).preferences)


def chosen(preferences: list[preferences_pb2.Preference]) -> list[Chosen]:
    """Gives choices in a form that is easy to compare."""
    return [
        (one.notification_id, one.sub_notification_id, int(one.channel), int(one.delivery_option))
        for one in preferences
    ]


async def test_a_patch_adds_and_changes_and_leaves_the_rest(tenant: Tenant) -> None:
    """A choice for the same notification, part and channel is replaced, others stay; all are answered, in order."""
    await choose(tenant, preference(channel=EMAIL), preference(channel=SMS, part="p"), preference("new_order"))

    answered = await patch(
        tenant, preference(channel=EMAIL, option=INSTANT), preference(channel=CALL, option=ON), preference(part="p")
    )

    assert chosen(answered) == [
        ("new_order", "", 0, OFF),
        ("order_tracking", "", EMAIL, INSTANT),
        ("order_tracking", "", CALL, INSTANT),
        ("order_tracking", "p", 0, OFF),
        ("order_tracking", "p", SMS, OFF),
    ]
    assert await choices(tenant) == answered
    assert await patch(tenant, preference(part="p")) == answered


async def test_a_patch_makes_the_user_known(tenant: Tenant) -> None:
    """The first choice of an unknown user creates them; one that is refused does not."""
    await refusal(patch(tenant, preference("nowhere")))
    assert (await tenant.stored())["users"] == 0

    await patch(tenant, preference(channel=INAPP_WEB))
    assert (await tenant.stored())["users"] == 1
    assert await result(tenant, "INAPP_WEB") == "PREFERENCE_OFF"


async def test_patches_at_the_same_moment_are_all_kept(tenant: Tenant) -> None:
    """Patches and deletions of different things at once lose nothing of each other, the first of all included."""
    await asyncio.gather(*(patch(tenant, preference(part=f"part-{i}")) for i in range(20)))
    assert len(await choices(tenant)) == 20

    await asyncio.gather(
        *(forget(tenant, "order_tracking", f"part-{i}") for i in range(10)),
        *(patch(tenant, preference("new_order", part=f"part-{i}")) for i in range(10)),
    )
    left = chosen(await choices(tenant))
    assert [part for name, part, *_ in left if name == "order_tracking"] == sorted(f"part-{i}" for i in range(10, 20))
    assert len([name for name, *_ in left if name == "new_order"]) == 10


async def test_a_user_has_at_most_1000_choices(tenant: Tenant) -> None:
    """A patch that leaves 1,000 choices is taken, one that would leave more is refused, and changes nothing."""
    await choose(tenant, *(preference(part=f"part-{i}") for i in range(999)))
    await patch(tenant, preference(), preference(part="part-0", option=INSTANT))
    assert len(await choices(tenant)) == 1000

    before = await choices(tenant)
    assert_violates(await refusal(patch(tenant, preference("new_order"))), [("preferences", "TOO_MANY")])
    assert await choices(tenant) == before
    assert len(await patch(tenant, preference(part="part-1", option=INSTANT))) == 1000


async def test_a_patch_has_1_to_1000_choices(tenant: Tenant) -> None:
    """1,000 choices are taken at once; none, and one more, are refused."""
    many = [preference(part=f"part-{i}") for i in range(1001)]

    assert_violates(await refusal(patch(tenant)), [("preferences", "REQUIRED")])
    assert_violates(await refusal(patch(tenant, *many)), [("preferences", "TOO_MANY")])
    assert (await tenant.stored())["preferences"] == 0
    assert len(await patch(tenant, *many[1:])) == 1000


async def test_a_bad_patch_is_refused_as_a_bad_list_is(tenant: Tenant) -> None:
    """What SetPreferences refuses, PatchPreferences refuses with the same fields, and keeps what is there."""
    await choose(tenant, preference(channel=EMAIL))
    bad = [
        preference("nowhere"),
        preference(channel=99),
        preference(option=0),
        preference(channel=SMS),
        preference(channel=SMS, option=INSTANT),
        preference(part="x" * 129),
    ]

    refused = await refusal(patch(tenant, *bad))

    assert refused.violations == (await refusal(choose(tenant, *bad))).violations
    assert ("preferences[4]", "DUPLICATE") in refused.violations
    assert chosen(await choices(tenant)) == [("order_tracking", "", EMAIL, OFF)]


async def test_choices_of_a_notification_are_forgotten(tenant: Tenant) -> None:
    """Deleting forgets the choices of a notification and of all its parts, or of one part; others stay."""
    await choose(
        tenant,
        preference(),
        preference(channel=INAPP_WEB),
        preference(channel=INAPP_WEB, part="p"),
        preference(part="q"),
        preference("new_order", part="p"),
    )

    assert [one.sub_notification_id for one in await forget(tenant, "order_tracking", "p")] == ["p", "", "", "q"]
    assert chosen(await forget(tenant, "order_tracking")) == [("new_order", "p", 0, OFF)]
    assert await result(tenant, "INAPP_WEB") == "DELIVERED"
    assert len(await choices(tenant)) == 1


async def test_forgetting_nothing_is_fine(tenant: Tenant) -> None:
    """Deleting choices that are not there is OK, for unknown notifications and users too, and creates nobody."""
    assert await forget(tenant, "nowhere", "p") == []
    assert await forget(tenant, "x" * 128, "x" * 128) == []
    assert (await tenant.stored())["users"] == 0
    assert (await tenant.stored())["preferences"] == 0


async def test_an_empty_notification_never_means_all(tenant: Tenant) -> None:
    """Deleting without a notification is refused, with a part as well; so are ids that are too long."""
    await choose(tenant, preference())

    assert_violates(await refusal(forget(tenant, "", "p")), [("notification_id", "REQUIRED")])
    assert_violates(
        await refusal(forget(tenant, "x" * 129, "x" * 129)),
        [("notification_id", "TOO_LONG"), ("sub_notification_id", "TOO_LONG")],
    )
    assert len(await choices(tenant)) == 1


@pytest.mark.parametrize(
    "call",
    [
        lambda caller, user_id: caller.preferences.PatchPreferences(
            preferences_pb2.PatchPreferencesRequest(user_id=user_id, preferences=[preference(channel=EMAIL)])
        ),
        lambda caller, user_id: caller.preferences.DeletePreferences(
            preferences_pb2.DeletePreferencesRequest(user_id=user_id, notification_id="order_tracking")
        ),
    ],
    ids=["patch", "delete"],
)
async def test_a_user_changes_their_own_only(
    tenant: Tenant, call: Callable[[Caller, str], asyncio.Future[object]]
) -> None:
    """A user changes their own choices, named or not, and nobody else's; a backend must name the user."""
    await call(tenant.user(USER), "")
    await call(tenant.user(USER), USER)

    assert (await refusal(call(tenant.user(USER), "someone-else"))).reason == "OTHER_USER"
    assert_violates(await refusal(call(tenant.backend, "")), [("user_id", "REQUIRED")])
