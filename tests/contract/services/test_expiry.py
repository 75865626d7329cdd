"""Items that expire are taken back: the sweeps of these tests run ahead of the clock, those of the services do not."""

from __future__ import annotations

import asyncio
from datetime import UTC, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from bson import Timestamp
from structlog.testing import capture_logs

from carillon.v1 import inbox_pb2, messages_pb2
from services.kernel.clock import new_id, utc_now
from services.kernel.errors import NotFound, Unavailable
from services.messages.expiry import Expiry
from services.messages.store import taking_back
from tests.contract.services.refusals import refusal
from tests.contract.services.requests import USER, definition, inapp, send_request
from tests.contract.services.test_log import get, mark, page
from tests.contract.services.test_retract import left, retract, unread
from tests.contract.services.world import Tenant, run_world

if TYPE_CHECKING:
    from datetime import datetime

    from tests.contract.services.world import World

pytestmark = pytest.mark.asyncio(loop_scope="session")

LATER = utc_now() + timedelta(days=1)
"""When a test's items expire: those of all other tests do so weeks later."""

_MOMENT = timedelta(milliseconds=1)


async def expire(
    world: World, tenant: Tenant, *tracking_ids: str, at: datetime = LATER, field: str = "expire_time"
) -> None:
    """Moves the end of messages."""
    query = {"_id.e": tenant.client_id, "_id.m": {"$in": tracking_ids}}
    await world.database.messages.update_many(query, {"$set": {field: at}})


async def stored(world: World, tenant: Tenant, tracking_id: str) -> dict[str, Any]:
    """Gives a message as it lies in the database."""
    document: dict[str, Any] = await world.database.messages.find_one({"_id.e": tenant.client_id, "_id.m": tracking_id})
    return document


async def store_items(world: World, tenant: Tenant, count: int) -> None:
    """Stores items that expire, with no more than an inbox needs."""
    item = {"box": "inbox", "date": utc_now(), "unread": True, "notification_id": "n"}
    documents = [
        {
            "_id": {"e": tenant.client_id, "u": USER, "m": new_id()},
            "expire_time": LATER,
            "changed": Timestamp(0, 0),
            "inapp": item,
        }
        for _ in range(count)
    ]
    await world.database.messages.insert_many(documents, ordered=False)


async def test_what_expires_leaves_lists_and_counts(world: World, tenant: Tenant) -> None:
    """At its time, and not before, an item is gone from list, badge and totals; all others stay as they are."""
    sent = await tenant.send(send_request(), send_request(), send_request(user={"id": "other"}))
    expiring, staying, others = (answer.tracking_id for answer in sent)
    await expire(world, tenant, expiring)
    before = [await stored(world, tenant, one) for one in (staying, others)]

    assert await world.stores.expiry.sweep(LATER - _MOMENT) == 0
    assert await left(tenant) == {expiring, staying}
    assert await world.stores.expiry.sweep(LATER) == 1

    assert await left(tenant) == {staying}
    assert await unread(tenant) == 1
    answer = await tenant.backend.inbox.ListInbox(inbox_pb2.ListInboxRequest(user_id=USER))
    assert (answer.unread_count, answer.total_count) == (1, 1)
    assert [await stored(world, tenant, one) for one in (staying, others)] == before


async def test_what_is_left_is_that_of_a_retraction_without_its_tombstone(world: World, tenant: Tenant) -> None:
    """An item that expires is stored as one that is retracted, stamped anew; but its time is not raised."""
    expiring, retracted = [answer.tracking_id for answer in await tenant.send(send_request(), send_request())]
    await expire(world, tenant, expiring)
    stamped = (await stored(world, tenant, expiring))["changed"]

    await world.stores.expiry.sweep(LATER)
    await retract(tenant, tracking_ids=[retracted])

    document, other = await stored(world, tenant, expiring), await stored(world, tenant, retracted)
    assert document["changed"] > stamped
    assert document["expire_time"] == document["inapp"]["retract_time"] == LATER
    assert document["inapp"].keys() == other["inapp"].keys()
    assert (document["inapp"]["unread"], "box" in document["inapp"]) == (False, False)


async def test_what_is_archived_expires_too(world: World, tenant: Tenant) -> None:
    """An archived item leaves the archive when it expires."""
    (sent,) = await tenant.send(send_request())
    await mark(tenant, sent.item_id, marks=[inbox_pb2.INBOX_MARK_ARCHIVED])
    await expire(world, tenant, sent.tracking_id)

    assert await world.stores.expiry.sweep(LATER) == 1

    request = inbox_pb2.ListInboxRequest(user_id=USER, view=inbox_pb2.INBOX_VIEW_ALL)
    assert list((await tenant.backend.inbox.ListInbox(request)).items) == []


async def test_a_pass_is_bounded_and_goes_by_slices(world: World, tenant: Tenant) -> None:
    """Of 11,200 items a pass takes back 10,000, and the next one the others; no update is of more than 500."""
    await store_items(world, tenant, 11_200)
    assert await world.stores.expiry.sweep(LATER) == 10_000
    assert await unread(tenant) == 1200

    await world.database.system.profile.drop()
    await world.database.command("profile", 2)
    try:
        assert await world.stores.expiry.sweep(LATER) == 1200
    finally:
        await world.database.command("profile", 0)

    assert await unread(tenant) == 0
    query = {"ns": f"{world.database.name}.messages", "op": "update"}
    updated = [one.get("nModified", 0) for one in await world.database.system.profile.find(query).to_list()]
    assert (sum(updated), max(updated)) == (1200, 500)


async def test_sweeps_and_retractions_at_once_take_each_item_once(
    world: World, other_world: World, tenant: Tenant
) -> None:
    """However many processes sweep and callers retract the same items, the counts add up to the items."""
    await tenant.put(definition("plain", inapp()))
    sent = await asyncio.gather(*(tenant.send(send_request("plain")) for _ in range(40)))
    await expire(world, tenant, *(answer.tracking_id for (answer,) in sent))

    sweeps = [one.stores.expiry.sweep(LATER) for one in (world, other_world, world, other_world)]
    swept, retracted = await asyncio.gather(
        asyncio.gather(*sweeps), asyncio.gather(*(retract(tenant, notification_id="plain") for _ in range(2)))
    )

    assert sum(swept) + sum(count for count, _ in retracted) == 40
    assert await left(tenant) == set()
    assert await unread(tenant) == 0


async def test_what_changes_during_a_sweep_is_left_alone(world: World, tenant: Tenant) -> None:
    """An item that is retracted, or gets another end, between being found and being taken back is not touched."""
    retracted, extended = [answer.tracking_id for answer in await tenant.send(send_request(), send_request())]
    await expire(world, tenant, retracted, extended)
    messages, key = world.database.messages, {"e": tenant.client_id, "u": USER}
    updates = {"currentOp": 1, "op": "update", "ns": messages.full_name}
    much_later = LATER + timedelta(days=31)

    async with (
        asyncio.TaskGroup() as tasks,
        world.database.client.start_session() as session,
        # Holds the sweep where it has found both items and takes the first one back.
        await session.start_transaction(),
        asyncio.timeout(15),
    ):
        retraction = taking_back(utc_now()) | {"$max": {"delete_time": much_later}}
        await messages.update_one({"_id": key | {"m": retracted}}, retraction, session=session)
        extension = {"$set": {"expire_time": much_later}}
        await messages.update_one({"_id": key | {"m": extended}}, extension, session=session)
        sweep = tasks.create_task(world.stores.expiry.sweep(LATER))
        while not (await world.database.client.admin.command(updates))["inprog"]:  # noqa: ASYNC110 - no event tells it
            await asyncio.sleep(0.02)

    assert sweep.result() == 0
    assert await left(tenant) == {extended}
    assert (await stored(world, tenant, retracted))["inapp"]["retract_time"] < LATER


async def test_the_log_ends_where_the_message_is_deleted(world: World, tenant: Tenant) -> None:
    """A message about to be deleted is neither found nor listed, one retracted or expired is; pages stay full."""
    ids = [answer.tracking_id for answer in await tenant.send(*(send_request() for _ in range(5)))]
    await retract(tenant, tracking_ids=ids[:1])
    await expire(world, tenant, ids[1], at=utc_now())
    await expire(world, tenant, *ids[3:], at=utc_now(), field="delete_time")

    refused = await refusal(get(tenant, ids[4]))
    assert (refused.code, refused.reason) == (grpc.StatusCode.NOT_FOUND, "MESSAGE_NOT_FOUND")
    assert (await get(tenant, ids[0])).item_marks.HasField("retract_time")
    answer = await page(tenant, page_size=3)
    assert [message.tracking_id for message in answer.messages] == [*reversed(ids[:3])]
    assert answer.next_page_token == ""


async def test_a_repetition_brings_nothing_back(world: World, tenant: Tenant) -> None:
    """A send that is repeated when its item has just expired has its first answer, and shows nothing."""
    (sent,) = await tenant.send(send_request(request_id="r"))
    await expire(world, tenant, sent.tracking_id)
    await world.stores.expiry.sweep(LATER)

    (again,) = await tenant.send(send_request(request_id="r"))

    assert (again.replayed, again.tracking_id) == (True, sent.tracking_id)
    assert await left(tenant) == set()


async def test_a_message_has_an_end_of_its_own(world: World, tenant: Tenant) -> None:
    """Its item leaves at the time that the send names; the log has it for 24 hours, and no longer."""
    end = utc_now() + timedelta(minutes=5)
    (sent,) = await tenant.send(send_request(expire_time=end))
    (item,) = await tenant.items(USER)
    message = await get(tenant, sent.tracking_id)
    assert item.expire_time == message.expire_time
    assert item.expire_time.ToDatetime(UTC) == end

    assert await world.stores.expiry.sweep(end) == 1

    assert await left(tenant) == set()
    log, a_day_later = world.stores.log, message.create_time.ToDatetime(UTC) + timedelta(days=1)
    assert (await log.get(tenant.client_id, sent.tracking_id, a_day_later - _MOMENT)).expire_time == end
    with pytest.raises(NotFound):
        await log.get(tenant.client_id, sent.tracking_id, a_day_later)


async def test_what_is_retracted_keeps_its_end(world: World, tenant: Tenant) -> None:
    """A retraction changes when the message is deleted, for browsers that were away, and not when it is over."""
    end = utc_now() + timedelta(minutes=5)
    sent = await tenant.send(*(send_request(expire_time=end) for _ in range(2)))
    await retract(tenant, tracking_ids=[sent[0].tracking_id])
    await tenant.backend.messages.DeleteMessage(messages_pb2.DeleteMessageRequest(tracking_id=sent[1].tracking_id))

    for one in sent:
        document = await stored(world, tenant, one.tracking_id)
        assert document["expire_time"] == end
        assert document["delete_time"] > utc_now() + timedelta(days=30)


async def test_a_repetition_after_the_end_has_its_first_answer(mongodb_uri: str, tenant: Tenant) -> None:
    """A send whose end has come meanwhile would be refused now; its repetition is not."""
    request = send_request(request_id="r", expire_time=utc_now() + timedelta(minutes=5))
    (sent,) = await tenant.send(request)

    async with run_world(mongodb_uri, now=lambda: utc_now() + timedelta(hours=1)) as later:
        (again,) = await Tenant(later, tenant.client_id, tenant.secret).send(request)

    assert (again.replayed, again.tracking_id) == (True, sent.tracking_id)


async def test_what_waits_and_is_over_is_swept_without_a_word(world: World, tenant: Tenant) -> None:
    """An item that nobody has fired before its end is taken back like any other, and never counted."""
    at, end = LATER - timedelta(hours=2), LATER - timedelta(hours=1)
    (waiting,) = await tenant.send(send_request(schedule_time=at, expire_time=end))
    (shown,) = await tenant.send(send_request())

    assert await world.stores.expiry.sweep(end) == 1

    assert (await stored(world, tenant, waiting.tracking_id))["inapp"].keys() == {"unread", "retract_time"}
    assert await left(tenant) == {shown.item_id}
    assert await unread(tenant) == 1


async def test_mongodb_deletes_ten_minutes_later(world: World) -> None:
    """Messages are deleted 600 s after their time for it, so that nothing goes before it was swept."""
    index = (await world.database.messages.index_information())["deletion"]
    assert (index["key"], index["expireAfterSeconds"]) == ([("delete_time", 1)], 600)


async def test_a_database_from_before_deletion_times_is_changed(world: World) -> None:
    """What has no time of its deletion gets its end as such, and the former index goes; twice is as good as once."""
    database = world.database.client.get_database(f"before-{new_id()}")
    await database.messages.create_index("expire_time", name="ttl", expireAfterSeconds=600)
    await database.messages.insert_one({"expire_time": LATER})
    await database.messages.insert_one({"expire_time": utc_now(), "delete_time": LATER})
    try:
        for _ in range(2):
            await asyncio.gather(*(Expiry(database).ensure_indexes() for _ in range(3)))

        assert (await database.messages.index_information()).keys() == {"_id_", "deletion", "expiry"}
        assert await database.messages.distinct("delete_time") == [LATER]
    finally:
        await world.database.client.drop_database(database)


async def test_an_outage_delays_the_sweep_and_is_logged_once(world: World, tenant: Tenant) -> None:
    """While the database does not answer the sweep is tried again, and goes on afterwards; each outage is one line."""
    (sent,) = await tenant.send(send_request())
    await expire(world, tenant, sent.tracking_id)
    answers = iter([False, False, True, False, False])
    rounds = 0

    class Failing:
        update_many = world.database.messages.update_many

        def find(self, *args: Any) -> Any:
            if next(answers):
                return world.database.messages.find(*args)
            raise Unavailable

    async def count(_: float) -> None:
        nonlocal rounds
        rounds += 1
        if rounds == 5:
            raise asyncio.CancelledError

    database: Any = SimpleNamespace(messages=Failing())
    with capture_logs() as logs, pytest.raises(asyncio.CancelledError):
        await Expiry(database).run(lambda: LATER, sleep=count)

    assert [line["event"] for line in logs if line["event"] == "expiry_delayed"] == ["expiry_delayed"] * 2
    assert await left(tenant) == set()
