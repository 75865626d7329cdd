from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from bson import Timestamp
from prometheus_client import REGISTRY

from carillon.v1 import inbox_pb2, messages_pb2, sender_pb2, users_pb2
from services.inbox.model import MAX_CHANGES, MAX_CURSOR_AGE
from services.kernel.clock import utc_now
from services.kernel.cursors import Cursor, CursorSigner
from tests.contract.services.requests import send_request
from tests.contract.services.world import MASTER_KEY, Tenant, reason, run_world

if TYPE_CHECKING:
    from carillon.v1.inbox_pb2 import SyncInboxResponse
    from tests.contract.services.world import World

pytestmark = pytest.mark.asyncio(loop_scope="session")

USER = "userId_123abc"
FULL = inbox_pb2.INBOX_RESUME_FULL
SNAPSHOT = inbox_pb2.INBOX_RESUME_SNAPSHOT
SIGNER = CursorSigner(MASTER_KEY)


async def test_a_cursor_is_answered_with_every_change_since(tenant: Tenant) -> None:
    """What appeared, was marked, archived, retracted and deleted meanwhile is there once, as it is now."""
    names = ("seen", "archived", "retracted", "deleted")
    ids = dict(zip(names, await send(tenant, len(names)), strict=True))
    cursor = (await sync(tenant)).cursor

    ids["new"] = (await send(tenant))[0]
    await mark(tenant, ids["seen"], inbox_pb2.INBOX_MARK_SEEN)
    await mark(tenant, ids["archived"], inbox_pb2.INBOX_MARK_ARCHIVED)
    await tenant.backend.sender.Retract(sender_pb2.RetractRequest(user_id=USER, tracking_ids=[ids["retracted"]]))
    await tenant.backend.messages.DeleteMessage(messages_pb2.DeleteMessageRequest(tracking_id=ids["deleted"]))
    answer = await sync(tenant, cursor)

    assert (answer.welcome.resume, answer.welcome.cause) == (FULL, 0)
    assert [item.id for item in answer.welcome.items] == [ids[name] for name in ("new", *names)]
    items = dict(zip(("new", *names), answer.welcome.items, strict=True))
    assert items["new"].unread
    assert items["new"].content.title
    assert items["seen"].HasField("seen_time")
    assert items["archived"].HasField("archive_time")
    for name in ("retracted", "deleted"):
        shown = {field.name for field, _ in items[name].ListFields()}
        assert shown == {"id", "rev", "retract_time"}
    assert answer.welcome.unread_count == 1


async def test_nothing_is_told_that_is_older_than_the_overlap(world: World, tenant: Tenant) -> None:
    """A change may be stamped some seconds before it is seen, so a minute is told again, and nothing before it."""
    within, before = await send(tenant, 2)
    answer = await sync(tenant)
    held = verified(tenant, answer.cursor).position >> 32
    for item_id, stamp in ((within, held - 60), (before, held - 61)):
        key = {"e": tenant.client_id, "u": USER, "m": item_id}
        await world.database.messages.update_one({"_id": key}, {"$set": {"changed": Timestamp(stamp, 0xFFFFFFFF)}})

    told = await sync(tenant, answer.cursor)

    assert (told.welcome.resume, [item.id for item in told.welcome.items]) == (FULL, [within])


async def test_a_send_whose_clock_is_late_is_told_all_the_same(mongodb_uri: str, tenant: Tenant) -> None:
    """What is dated before the cursor, but was written after it, is no less a change: no sender's clock counts."""
    async with run_world(mongodb_uri, now=lambda: utc_now() - timedelta(minutes=10)) as late:
        (early_id,) = await send(tenant)
        cursor = (await sync(tenant)).cursor
        (late_id,) = await send(Tenant(late, tenant.client_id, tenant.secret))

        answer = await sync(tenant, cursor)

    assert answer.welcome.resume == FULL
    items = {item.id: item for item in answer.welcome.items}
    assert late_id in items
    assert items[late_id].date.ToDatetime() < items[early_id].date.ToDatetime() - timedelta(minutes=9)


async def test_without_a_cursor_the_newest_items_are_answered(tenant: Tenant) -> None:
    """A first welcome is a snapshot of as many as were asked for, with a cursor, and says why."""
    ids = await send(tenant, 3)

    answer = await sync(tenant, limit=2)

    assert (answer.welcome.resume, answer.welcome.cause) == (SNAPSHOT, inbox_pb2.INBOX_SNAPSHOT_CAUSE_NO_CURSOR)
    assert [item.id for item in answer.welcome.items] == ids[:0:-1]
    assert answer.welcome.unread_count == 3
    request = inbox_pb2.ListInboxRequest(page_token=answer.welcome.next_page_token)
    assert [item.id for item in (await tenant.user(USER).inbox.ListInbox(request)).items] == ids[:1]
    assert not (await sync(tenant, limit=3)).welcome.next_page_token
    assert verified(tenant, answer.cursor).position == int(answer.position, 16)


async def test_a_cursor_that_was_changed_in_any_character_is_none(tenant: Tenant) -> None:
    """Nobody can make one: whatever is not as it was signed is answered with a snapshot."""
    await send(tenant)
    cursor = (await sync(tenant)).cursor
    changed = [cursor[:i] + ("A" if cursor[i] != "A" else "B") + cursor[i + 1 :] for i in range(len(cursor))]

    for forged in (
        *changed[::7],
        changed[-1],
        "x",
        cursor + "=",
        cursor + "AAAA",
        cursor[:-2],
        "\N{SNOWMAN}",
        "a" * 512,
    ):
        counted = refused_cursors()
        assert await cause(tenant, forged) == inbox_pb2.INBOX_SNAPSHOT_CAUSE_CURSOR_INVALID
        assert refused_cursors() == counted + 1


async def test_a_cursor_is_of_its_user_its_environment_and_its_key(world: World, tenant: Tenant) -> None:
    """One of anybody else is none, and so is one that was signed before the master key was replaced."""
    other = await world.tenant()
    other_key = CursorSigner(bytes(31) + b"x")
    own = verified(tenant, (await sync(tenant)).cursor)

    for foreign in (
        (await sync(tenant, user_id="somebody else")).cursor,
        (await sync(other)).cursor,
        other_key.sign(own, client_id=tenant.client_id, user_id=USER),
    ):
        assert await cause(tenant, foreign) == inbox_pb2.INBOX_SNAPSHOT_CAUSE_CURSOR_INVALID


async def test_a_cursor_lives_for_29_days(tenant: Tenant) -> None:
    """A minute before it is full, a minute after it a snapshot, since what was taken back is kept for 31 days."""
    await send(tenant)
    cursor = (await sync(tenant)).cursor

    assert await cause(tenant, moved(tenant, cursor, timedelta(minutes=1) - MAX_CURSOR_AGE)) == 0
    too_old = moved(tenant, cursor, timedelta(minutes=-1) - MAX_CURSOR_AGE)
    assert await cause(tenant, too_old) == inbox_pb2.INBOX_SNAPSHOT_CAUSE_CURSOR_TOO_OLD


async def test_a_cursor_ahead_of_the_database_is_answered_with_a_snapshot(tenant: Tenant) -> None:
    """After the database was restored from a backup, nobody knows what the client has seen."""
    await send(tenant)
    cursor = (await sync(tenant)).cursor

    assert await cause(tenant, moved(tenant, cursor, timedelta(hours=1))) == inbox_pb2.INBOX_SNAPSHOT_CAUSE_CURSOR_AHEAD


async def test_who_was_deleted_and_comes_back_is_somebody_else(tenant: Tenant) -> None:
    """The cursor of a deleted user says nothing about the inbox of the next one with that id."""
    await send(tenant)
    cursor = (await sync(tenant)).cursor
    await tenant.backend.users.DeleteUser(users_pb2.DeleteUserRequest(user_id=USER))
    (new,) = await send(tenant)

    answer = await sync(tenant, cursor)

    assert answer.welcome.cause == inbox_pb2.INBOX_SNAPSHOT_CAUSE_OTHER_USER
    assert [item.id for item in answer.welcome.items] == [new]
    assert await cause(tenant, answer.cursor) == 0


async def test_500_changes_are_told_and_501_are_too_many(tenant: Tenant) -> None:
    """Then the inbox is answered anew, and the next cursor is good again."""
    cursor = (await sync(tenant)).cursor
    ids = await send(tenant, MAX_CHANGES, at_once=True)
    answer = await sync(tenant, cursor)
    assert {item.id for item in answer.welcome.items} == set(ids)
    assert answer.welcome.resume == FULL

    ids += await send(tenant)
    answer = await sync(tenant, cursor, limit=10)

    assert answer.welcome.cause == inbox_pb2.INBOX_SNAPSHOT_CAUSE_TOO_MANY_CHANGES
    assert (len(answer.welcome.items), answer.welcome.unread_count) == (10, MAX_CHANGES + 1)


async def test_a_welcome_makes_a_user_who_is_unknown(tenant: Tenant) -> None:
    """A cursor names its user's document: there is one from the first welcome on, and it stays the same."""
    first = await sync(tenant, user_id="new here")

    answer = await tenant.backend.users.GetUser(users_pb2.GetUserRequest(user_id="new here"))
    assert answer.user.create_time.ToMilliseconds() == verified(tenant, first.cursor, "new here").incarnation
    assert (await sync(tenant, first.cursor, user_id="new here")).welcome.resume == FULL


async def test_a_user_who_is_being_deleted_is_shown_nothing(world: World, tenant: Tenant) -> None:
    """While a deletion is under way nobody knows what belongs to whom, so a client comes back later."""
    await send(tenant)
    erasure = {"_id": {"e": tenant.client_id, "u": USER}}
    await world.database.erasures.insert_one(erasure | {"running": True})

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await sync(tenant)

    assert (caught.value.code(), reason(caught.value)) == (grpc.StatusCode.UNAVAILABLE, "USER_BEING_DELETED")
    await world.database.erasures.update_one(erasure, {"$unset": {"running": 1}})
    assert len((await sync(tenant)).welcome.items) == 1


async def test_a_position_that_the_database_does_not_reach_is_unavailable(tenant: Tenant) -> None:
    """A caller whose events are ahead is not told an older state."""
    far = f"{int((await sync(tenant)).position, 16) + (3600 << 32):016x}"

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await tenant.backend.inbox.SyncInbox(inbox_pb2.SyncInboxRequest(user_id=USER, min_position=far))

    assert (caught.value.code(), reason(caught.value)) == (grpc.StatusCode.UNAVAILABLE, "POSITION_NOT_REACHED")


async def sync(tenant: Tenant, cursor: str = "", *, user_id: str = USER, limit: int = 0) -> SyncInboxResponse:
    """Brings a client up to date."""
    request = inbox_pb2.SyncInboxRequest(user_id=user_id, cursor=cursor, limit=limit)
    answer: SyncInboxResponse = await tenant.user(user_id).inbox.SyncInbox(request)
    return answer


async def cause(tenant: Tenant, cursor: str) -> int:
    """Gives why a cursor is answered with a snapshot; 0: it is not."""
    welcome = (await sync(tenant, cursor)).welcome
    assert (welcome.resume == FULL) is (welcome.cause == 0)
    return int(welcome.cause)


def refused_cursors() -> float:
    """Gives how many cursors were refused, as Prometheus reads it."""
    labels = {"resume": "snapshot", "cause": "CURSOR_INVALID"}
    return REGISTRY.get_sample_value("carillon_inbox_welcomes_total", labels) or 0.0


async def send(tenant: Tenant, count: int = 1, *, at_once: bool = False) -> list[str]:
    """Sends, and gives the ids of the items."""
    requests = [send_request("hello_world", user={"id": USER}, merge_tags={"firstName": "x"}) for _ in range(count)]
    if at_once:
        answers = await asyncio.gather(*map(tenant.backend.sender.Send, requests))
    else:
        answers = await tenant.send(*requests)
    return [answer.item_id for answer in answers]


async def mark(tenant: Tenant, item_id: str, mark: Any) -> None:
    """Marks one item."""
    items = inbox_pb2.ItemIds(ids=[item_id])
    await tenant.backend.inbox.MarkInbox(inbox_pb2.MarkInboxRequest(user_id=USER, items=items, set_marks=[mark]))


def verified(tenant: Tenant, cursor: str, user_id: str = USER) -> Cursor:
    """Reads a cursor."""
    found = SIGNER.verify(cursor, client_id=tenant.client_id, user_id=user_id)
    assert found is not None
    return found


def moved(tenant: Tenant, cursor: str, span: timedelta) -> str:
    """Gives a cursor of another time, as it would have been signed then."""
    own = verified(tenant, cursor)
    position = own.position + (round(span.total_seconds()) << 32)
    return SIGNER.sign(replace(own, position=position), client_id=tenant.client_id, user_id=USER)
