from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from carillon.v1 import channel_pb2, content_pb2, inbox_pb2, sender_pb2
from tests.contract.services.refusals import refusal
from tests.contract.services.requests import USER, definition, inapp, send_request, struct

if TYPE_CHECKING:
    from tests.contract.services.world import Tenant

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def list_inbox(tenant: Tenant, **fields: Any) -> inbox_pb2.ListInboxResponse:
    """Lists the user's items."""
    request = inbox_pb2.ListInboxRequest(**({"user_id": USER} | fields))
    answer: inbox_pb2.ListInboxResponse = await tenant.backend.inbox.ListInbox(request)
    return answer


async def sync(tenant: Tenant, **fields: Any) -> inbox_pb2.SyncInboxResponse:
    """Reads the user's inbox at one moment."""
    request = inbox_pb2.SyncInboxRequest(**({"user_id": USER} | fields))
    answer: inbox_pb2.SyncInboxResponse = await tenant.backend.inbox.SyncInbox(request)
    return answer


def order(items: Any) -> list[tuple[int, str]]:
    """Gives what items are ordered by."""
    return [(item.date.ToMilliseconds(), item.id) for item in items]


async def test_the_newest_is_first(tenant: Tenant) -> None:
    """Items come by date and id, the newest first, also those of one millisecond."""
    await asyncio.gather(*(tenant.send(send_request()) for _ in range(30)))

    items = await tenant.items(USER)

    assert len(items) == 30
    assert order(items) == sorted(order(items), reverse=True)


async def test_an_item_shows_what_was_sent(tenant: Tenant) -> None:
    """An item has its definition's words, the send's ids and tags, and no more of the request than that."""
    await tenant.put(
        definition("n", inapp("Hi {{ name }}", body="b", url="/u"), category="c", section="s", label="l", priority=3)
    )
    (sent,) = await tenant.send(
        send_request("n", merge_tags={"name": "Bob"}, sub_notification_id="p", secondary_id="x", tags=["t", "t", "u"])
    )

    (item,) = await tenant.items(USER)

    assert len(item.rev) == 16
    assert item.expire_time.ToDatetime() - item.date.ToDatetime() == timedelta(days=90)
    item.ClearField("rev")
    item.ClearField("date")
    item.ClearField("expire_time")
    assert item == inbox_pb2.InboxItem(
        id=sent.tracking_id,
        notification_id="n",
        sub_notification_id="p",
        secondary_id="x",
        content=content_pb2.InappContent(title="Hi Bob", body="b", url="/u"),
        unread=True,
        message_count=1,
        category="c",
        section="s",
        label="l",
        priority=channel_pb2.PRIORITY_HIGH,
        tags=["t", "u"],
    )


async def test_the_send_decides_the_priority(tenant: Tenant) -> None:
    """The priority of a send goes before the definition's."""
    await tenant.put(definition("n", inapp(), priority=3))
    await tenant.send(send_request("n", priority=1))

    assert [item.priority for item in await tenant.items(USER)] == [1]


async def test_pages_have_every_item_once_while_new_ones_arrive(tenant: Tenant) -> None:
    """Pages by token show what was there at the first one, without gap or double, whatever arrives meanwhile."""
    await asyncio.gather(*(tenant.send(send_request()) for _ in range(120)))
    there = [item.id for item in await tenant.items(USER)]

    pages, token = [], ""
    while True:
        page = await list_inbox(tenant, page_token=token)
        pages.append([item.id for item in page.items])
        token = page.next_page_token
        await tenant.send(send_request(), send_request())
        if not token:
            break

    assert [len(page) for page in pages] == [50, 50, 20]
    assert [item_id for page in pages for item_id in page] == there


async def test_the_last_full_page_has_no_token(tenant: Tenant) -> None:
    """Where the items end with the page there is no token to an empty one."""
    await tenant.send(send_request(), send_request())

    assert (await list_inbox(tenant, page_size=2)).next_page_token == ""
    assert (await list_inbox(tenant, page_size=1)).next_page_token != ""


async def test_skip_leaves_the_first_out(tenant: Tenant) -> None:
    """Skip passes over so many of the newest, and goes on by token."""
    sent = await tenant.send(*(send_request() for _ in range(5)))
    newest_first = [one.item_id for one in reversed(sent)]

    page = await list_inbox(tenant, skip=1, page_size=2)
    assert [item.id for item in page.items] == newest_first[1:3]
    rest = await list_inbox(tenant, page_size=2, page_token=page.next_page_token)
    assert [item.id for item in rest.items] == newest_first[3:]
    assert list((await list_inbox(tenant, skip=10_000)).items) == []


async def test_before_time_is_inclusive(tenant: Tenant) -> None:
    """Items of the very time belong to those of it or older, with pages and without."""
    await asyncio.gather(*(tenant.send(send_request()) for _ in range(10)))
    items = await tenant.items(USER)
    before = items[4].date
    expected = [item.id for item in items if item.date.ToNanoseconds() <= before.ToNanoseconds()]

    assert [item.id for item in (await list_inbox(tenant, before_time=before)).items] == expected
    first = await list_inbox(tenant, before_time=before, page_size=2)
    second = await list_inbox(tenant, before_time=before, page_size=2, page_token=first.next_page_token)
    assert [item.id for item in (*first.items, *second.items)] == expected[:4]
    assert list((await list_inbox(tenant, before_time={"seconds": 0})).items) == []


async def test_filters_narrow(tenant: Tenant) -> None:
    """Each filter narrows, its values widen each other, and the counts stay those of the whole inbox."""
    await tenant.put(
        definition("a", inapp(), category="c1", section="s1"), definition("b", inapp(), category="c2", section="s2")
    )
    a, b = await tenant.send(send_request("a", tags=["t1", "t2"]), send_request("b", tags=["t2"]))

    async def found(**narrowed: Any) -> list[str]:
        answer = await list_inbox(tenant, filter=narrowed)
        assert (answer.unread_count, answer.total_count) == (2, 2)
        return [item.id for item in answer.items]

    assert await found(notification_ids=["a"]) == [a.item_id]
    assert await found(notification_ids=["a", "b", "nowhere"]) == [b.item_id, a.item_id]
    assert await found(categories=["c2"]) == [b.item_id]
    assert await found(sections=["s1"]) == [a.item_id]
    assert await found(tags=["t1"]) == [a.item_id]
    assert await found(tags=["t2"]) == [b.item_id, a.item_id]
    assert await found(unread=True) == [b.item_id, a.item_id]
    assert await found(unread=False) == []
    assert await found(tags=["t2"], sections=["s2"]) == [b.item_id]
    assert await found(categories=["c1"], sections=["s2"]) == []


async def test_views(tenant: Tenant) -> None:
    """Nothing is archived, so the archive is empty and the view of all has what the inbox has."""
    await tenant.send(send_request())

    found = {}
    for name in ("UNSPECIFIED", "INBOX", "ARCHIVE", "ALL"):
        answer = await list_inbox(tenant, view=f"INBOX_VIEW_{name}")
        found[name] = (len(answer.items), answer.total_count)

    assert found == {"UNSPECIFIED": (1, 1), "INBOX": (1, 1), "ARCHIVE": (0, 0), "ALL": (1, 1)}


async def test_an_unknown_user_has_nothing(tenant: Tenant) -> None:
    """An inbox of somebody unknown is empty, and listing does not create them, as a welcome does."""
    before = await tenant.stored()

    assert await list_inbox(tenant) == inbox_pb2.ListInboxResponse()
    assert await tenant.stored() == before
    assert list((await sync(tenant)).welcome.items) == []
    assert await tenant.stored() == before | {"users": 1}


async def test_sync_is_a_snapshot(tenant: Tenant) -> None:
    """SyncInbox answers the newest items and the whole badge, cut to the limit; what is no cursor changes nothing."""
    sent = await tenant.send(*(send_request() for _ in range(3)))

    for fields in ({"limit": 2}, {"limit": 2, "cursor": "anything"}):
        answer = await sync(tenant, **fields)
        assert answer.welcome.resume == inbox_pb2.INBOX_RESUME_SNAPSHOT
        assert [item.id for item in answer.welcome.items] == [sent[2].item_id, sent[1].item_id]
        assert answer.welcome.unread_count == 3
    assert len((await sync(tenant)).welcome.items) == 3


async def test_the_position_is_past_everything_in_the_answer(tenant: Tenant) -> None:
    """Positions rise; an answer's is at least that of its items, and less than that of what comes later."""
    before = await sync(tenant)
    await tenant.send(send_request())
    after = await sync(tenant, min_position=before.position)

    (item,) = after.welcome.items
    assert before.position < item.rev <= after.position


async def test_a_retracted_item_is_in_no_snapshot(tenant: Tenant) -> None:
    """What was taken back shows in no snapshot, neither as an item nor in the badge."""
    (sent,) = await tenant.send(send_request())
    request = sender_pb2.RetractRequest(user_id=USER, tracking_ids=[sent.tracking_id])
    await tenant.backend.sender.Retract(request)

    welcome = (await sync(tenant)).welcome
    assert (list(welcome.items), welcome.unread_count) == ([], 0)


async def test_a_position_of_the_future_is_not_reached(tenant: Tenant) -> None:
    """A position that the database does not reach within 2 seconds is UNAVAILABLE, to be repeated."""
    refused = await refusal(sync(tenant, min_position="f" * 16))

    assert (refused.code, refused.reason) == (grpc.StatusCode.UNAVAILABLE, "POSITION_NOT_REACHED")
    assert refused.retry_delay_s


@pytest.mark.parametrize("position", ["f" * 15, "f" * 17, "F" * 16, "-" + "0" * 15, "0x" + "0" * 14, "٣" * 16])
async def test_a_position_that_is_none_is_refused(tenant: Tenant, position: str) -> None:
    """Whatever is not 16 hex digits is no position."""
    refused = await refusal(sync(tenant, min_position=position, limit=-1))

    assert refused.violations == (("limit", "OUT_OF_RANGE"), ("min_position", "INVALID"))


async def test_merge_tags_stay_with_the_backend(tenant: Tenant) -> None:
    """What the templates do not show does not reach a browser."""
    await tenant.send(send_request(merge_tags={"secret": "swordfish"}, extra=struct({"note": "swordfish"})))

    assert "swordfish" not in str(await list_inbox(tenant))
    assert "swordfish" not in str(await sync(tenant))
