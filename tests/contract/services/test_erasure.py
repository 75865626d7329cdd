"""Deleting a user with everything of theirs."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from carillon.v1 import inbox_pb2, messages_pb2, preferences_pb2, users_pb2
from services.kernel.clock import new_id, utc_now
from services.kernel.errors import Unavailable
from services.users.erasures import AGAIN_AFTER, Erasures
from services.users.revocations import Revocations
from tests.contract.services.refusals import assert_violates, refusal
from tests.contract.services.requests import USER, send_request
from tests.contract.services.test_preferences import choose, preference
from tests.contract.services.test_resume import sync
from tests.contract.services.test_users import get, identify, tokens

if TYPE_CHECKING:
    from datetime import datetime

    from tests.contract.services.world import Tenant, World

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def delete(tenant: Tenant, user_id: str = USER) -> None:
    """Deletes a user."""
    await tenant.backend.users.DeleteUser(users_pb2.DeleteUserRequest(user_id=user_id))


async def erase_again(world: World, now: datetime) -> None:
    """Does the second pass for everybody who was deleted in this database."""
    while await world.stores.erasures.erase_again(now):
        pass


async def store_late(world: World, tenant: Tenant, at: datetime) -> None:
    """Stores what a call that began at some time writes, whenever that is."""
    key = {"e": tenant.client_id, "u": USER}
    for collection, field in (("users", "update_time"), ("preferences", "update_time"), ("messages", "create_time")):
        document = {"_id": key | ({"m": new_id()} if collection == "messages" else {}), field: at}
        await world.database[collection].insert_one(document | {"choices": [], "create_time": at})


async def test_nothing_of_the_user_is_left(tenant: Tenant) -> None:
    """Profile, choices, items and messages are gone with the answer; other users keep theirs."""
    for user_id in (USER, f"{USER}4", "other"):
        await tenant.send(*(send_request(user={"id": user_id}) for _ in range(3)))
    await identify(tenant, email="a@example.com", push_tokens=tokens("t"))
    await choose(tenant, preference())

    await delete(tenant)

    stored = await tenant.stored()
    assert (stored["users"], stored["preferences"], stored["messages"]) == (2, 0, 6)
    assert await tenant.items(USER) == []
    assert (await refusal(get(tenant))).code is grpc.StatusCode.NOT_FOUND
    request = preferences_pb2.GetPreferencesRequest(user_id=USER)
    assert len((await tenant.backend.preferences.GetPreferences(request)).preferences) == 0
    count = await tenant.backend.inbox.CountUnread(inbox_pb2.CountUnreadRequest(user_id=USER))
    assert count.unread_count == 0


async def test_a_large_user_is_deleted_in_slices(world: World, tenant: Tenant) -> None:
    """More messages than a slice has are all deleted, none in an update of more than 500."""
    key = {"e": tenant.client_id, "u": USER}
    await world.database.messages.insert_many([{"_id": key | {"m": new_id()}} for _ in range(1001)])
    await world.database.system.profile.drop()
    await world.database.command("profile", 2)
    try:
        await delete(tenant)
    finally:
        await world.database.command("profile", 0)

    assert (await tenant.stored())["messages"] == 0
    query = {"ns": f"{world.database.name}.messages", "op": "remove"}
    removed = [one.get("ndeleted", 0) for one in await world.database.system.profile.find(query).to_list()]
    assert (sum(removed), max(removed)) == (1001, 500)


async def test_an_unknown_user_is_deleted_too(tenant: Tenant) -> None:
    """Deleting a user who is not there is OK, once more as well; an id that cannot be one is refused."""
    await delete(tenant, "nobody")
    await delete(tenant, "nobody")
    await delete(tenant, "x" * 256)

    assert_violates(await refusal(delete(tenant, "")), [("user_id", "REQUIRED")])
    assert_violates(await refusal(delete(tenant, "x" * 257)), [("user_id", "TOO_LONG")])


async def test_what_comes_late_is_deleted_a_minute_later(world: World, tenant: Tenant) -> None:
    """What a call from before the deletion still wrote goes with the second pass, not before a minute has passed."""
    before = utc_now()
    await delete(tenant)
    await store_late(world, tenant, before)

    await erase_again(world, before + AGAIN_AFTER - timedelta(seconds=1))
    assert (await tenant.stored())["messages"] == 1
    await erase_again(world, utc_now() + AGAIN_AFTER)

    stored = await tenant.stored()
    assert (stored["users"], stored["preferences"], stored["messages"]) == (0, 0, 0)
    assert await world.database.erasures.count_documents({"_id.e": tenant.client_id}) == 0


async def test_what_a_new_user_of_the_same_id_has_lost_is_told_after_the_second_pass(
    world: World, tenant: Tenant
) -> None:
    """A browser that was away while an item was deleted learns of it however late it comes back."""
    await delete(tenant)
    (item,) = await tenant.send(send_request())
    cursor = (await sync(tenant)).cursor
    request = messages_pb2.DeleteMessageRequest(tracking_id=item.tracking_id)
    await tenant.backend.messages.DeleteMessage(request)

    await erase_again(world, utc_now() + AGAIN_AFTER)

    (change,) = (await sync(tenant, cursor)).welcome.items
    assert (change.id, change.HasField("retract_time")) == (item.item_id, True)


async def test_a_new_user_of_the_same_id_stays(world: World, tenant: Tenant) -> None:
    """Who is sent to after the deletion is somebody new: the second pass leaves all of theirs."""
    await tenant.send(send_request())
    await delete(tenant)
    await tenant.send(send_request())
    await identify(tenant, email="new@example.com")
    await choose(tenant, preference(option=2))

    await erase_again(world, utc_now() + AGAIN_AFTER)

    assert (await get(tenant)).email == "new@example.com"
    assert len(await tenant.items(USER)) == 1
    assert (await tenant.stored())["preferences"] == 1


async def test_a_crash_in_between_is_made_up_for(world: World, tenant: Tenant) -> None:
    """An entry whose deletion never happened is worked off by the services by themselves."""
    await tenant.send(send_request())
    key = {"e": tenant.client_id, "u": USER}
    gone = {"operationType": "delete", "documentKey._id": key}
    async with await world.database.erasures.watch([{"$match": gone}]) as events:
        await world.database.erasures.insert_one({"_id": key, "until": utc_now(), "due_time": utc_now()})
        async with asyncio.timeout(15):
            await anext(events)

    stored = await tenant.stored()
    assert (stored["users"], stored["messages"]) == (0, 0)


async def test_nothing_is_deleted_before_it_is_noted(world: World, tenant: Tenant) -> None:
    """A deletion that ends before it is noted has deleted nothing: its caller has to repeat it, nobody else does."""
    await identify(tenant, email="a@example.com")

    def crash() -> datetime:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await world.stores.erasures.erase(tenant.client_id, USER, crash)

    assert (await get(tenant)).email == "a@example.com"


async def test_all_until_the_answer_counts_as_late(world: World, tenant: Tenant) -> None:
    """The second pass takes what was written until the first had ended, and comes a minute after that."""
    began = utc_now()
    ended = began + timedelta(seconds=5)
    times = iter([began, ended])

    await world.stores.erasures.erase(tenant.client_id, USER, lambda: next(times))

    entry = await world.database.erasures.find_one({"_id.e": tenant.client_id})
    assert (entry["until"], entry["due_time"]) == (ended, ended + AGAIN_AFTER)


async def test_an_entry_is_running_as_long_as_the_deletion(world: World, tenant: Tenant) -> None:
    """An entry says that the deletion is under way from before it takes anything until nothing is left."""
    await tenant.send(send_request())
    own = [{"$match": {"documentKey._id.e": tenant.client_id}}]
    async with await world.database.watch(own, full_document="updateLookup") as events, asyncio.timeout(15):
        await delete(tenant)
        begun, *taken, ended = [await anext(events) for _ in range(5)]

    assert (begun["ns"]["coll"], begun["fullDocument"].get("running")) == ("erasures", True)
    assert [(one["ns"]["coll"], one["operationType"]) for one in taken] == [
        ("revocations", "insert"),
        ("users", "delete"),
        ("messages", "delete"),
    ]
    assert (ended["ns"]["coll"], ended["updateDescription"]["removedFields"]) == ("erasures", ["running"])


async def test_after_a_crash_an_entry_is_running_until_the_second_pass(world: World, tenant: Tenant) -> None:
    """A deletion that ends before it is through says so until the second pass, which takes the entry with it."""
    times = iter([utc_now()])
    query = {"_id.e": tenant.client_id}

    def crash() -> datetime:
        if time := next(times, None):
            return time
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await world.stores.erasures.erase(tenant.client_id, USER, crash)
    assert (await world.database.erasures.find_one(query))["running"] is True
    await erase_again(world, utc_now() + AGAIN_AFTER)

    assert await world.database.erasures.find_one(query) is None


async def test_a_deletion_during_the_second_pass_has_its_own(world: World, tenant: Tenant) -> None:
    """A user who is deleted again while an older deletion is worked off is erased again for the newer one, too."""
    await delete(tenant)
    key = {"e": tenant.client_id, "u": USER}
    await store_late(world, tenant, utc_now() - timedelta(hours=1))
    later = utc_now() + timedelta(hours=1)
    deletions = {"currentOp": 1, "op": "remove", "ns": f"{world.database.name}.users"}

    async with (
        asyncio.TaskGroup() as tasks,
        world.database.client.start_session() as session,
        # Holds the second pass where it has read the entry and deletes the profile.
        await session.start_transaction(),
        asyncio.timeout(10),
    ):
        await world.database.users.update_one({"_id": key}, {"$set": {"country": "US"}}, session=session)
        tasks.create_task(erase_again(world, utc_now() + AGAIN_AFTER))
        while not (await world.database.client.admin.command(deletions))["inprog"]:  # noqa: ASYNC110 - no event tells it
            await asyncio.sleep(0.02)
        await world.database.erasures.update_one({"_id": key}, {"$set": {"until": later, "due_time": later}})

    assert (await world.database.erasures.find_one({"_id": key}))["due_time"] == later


async def test_the_work_goes_on_after_a_failure(world: World) -> None:
    """A database that does not answer delays the second pass and does not end it."""
    tries = 0

    class Failing:
        def __getattr__(self, name: str) -> Any:
            return self

        def __call__(self, *_: Any, **__: Any) -> Any:
            raise Unavailable

    async def count(_: float) -> None:
        nonlocal tries
        tries += 1
        if tries == 3:
            raise asyncio.CancelledError

    database: Any = Failing()
    with pytest.raises(asyncio.CancelledError):
        await Erasures(database, Revocations(database), world.stores.files).run(utc_now, sleep=count)
    assert tries == 3
