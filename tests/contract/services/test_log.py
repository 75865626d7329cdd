from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from bson import Timestamp

from carillon.v1 import channel_pb2, delivery_pb2, inbox_pb2, messages_pb2, sender_pb2
from services.messages.log import MAX_EXAMINED, MAX_PAGE_BYTES
from tests.contract.services.refusals import assert_violates, refusal
from tests.contract.services.requests import CALL, EMAIL, INAPP_WEB, SMS, USER, definition, inapp, send_request, sms

if TYPE_CHECKING:
    from tests.contract.services.world import Tenant, World

pytestmark = pytest.mark.asyncio(loop_scope="session")

ADDRESSES = {"email": "spongebob@squarepants.com", "number": "+15005550006"}
FULL = messages_pb2.MESSAGE_VIEW_FULL


async def get(tenant: Tenant, tracking_id: str) -> messages_pb2.Message:
    """Gets one message."""
    answer = await tenant.backend.messages.GetMessage(messages_pb2.GetMessageRequest(tracking_id=tracking_id))
    message: messages_pb2.Message = answer.message
    return message


async def page(tenant: Tenant, **fields: Any) -> messages_pb2.ListMessagesResponse:
    """Lists one page."""
    answer: messages_pb2.ListMessagesResponse = await tenant.backend.messages.ListMessages(
        messages_pb2.ListMessagesRequest(**fields)
    )
    return answer


async def listed(tenant: Tenant, **narrowed: Any) -> list[str]:
    """Gives the ids of all messages that a filter finds, read in one page and then in pages of one: both the same."""
    whole = await page(tenant, filter=narrowed, page_size=1000)
    assert whole.next_page_token == ""
    ids = [message.tracking_id for message in whole.messages]
    assert ids == sorted(ids, reverse=True)
    assert [one for ids in await pages(tenant, filter=narrowed, page_size=1) for one in ids] == ids
    return ids


async def pages(tenant: Tenant, **fields: Any) -> list[list[str]]:
    """Gives the ids of every page, to the end."""
    found: list[list[str]] = []
    token = ""
    while not found or token:
        answer = await page(tenant, page_token=token, **fields)
        found.append([message.tracking_id for message in answer.messages])
        token = answer.next_page_token
    return found


async def delete(tenant: Tenant, tracking_id: str) -> None:
    """Deletes one message."""
    await tenant.backend.messages.DeleteMessage(messages_pb2.DeleteMessageRequest(tracking_id=tracking_id))


async def mark(tenant: Tenant, item_id: str, *, marks: list[inbox_pb2.InboxMark.ValueType], reply: str = "") -> None:
    """Marks one item as its user."""
    ids = inbox_pb2.ItemIds(ids=[item_id])
    request = inbox_pb2.MarkInboxRequest(items=ids, set_marks=marks, reply=reply)
    await tenant.user(USER).inbox.MarkInbox(request)


async def test_a_message_is_whole(tenant: Tenant) -> None:
    """GetMessage tells all that the send said and all that became of it."""
    await tenant.put(
        definition(
            "n",
            inapp("Hi {{ name }}"),
            sms("{{ name }}!"),
            channels=[INAPP_WEB, SMS, CALL],
            category="c",
            section="s",
            priority=3,
        )
    )
    request = send_request(
        "n",
        user=ADDRESSES | {"email": "nobody"},
        merge_tags={"name": "Bob", "count": 3},
        sub_notification_id="p",
        secondary_id="x",
        group_id="g",
        tags=["t", "u"],
        request_id="r-1",
    )
    (sent,) = await tenant.send(request)

    message = await get(tenant, sent.tracking_id)

    assert message.request == request
    assert list(message.warnings) == list(sent.warnings) != []
    plain = {name: getattr(message, name) for name in ("user_id", "notification_id", "sub_notification_id", "group_id")}
    assert plain == {"user_id": USER, "notification_id": "n", "sub_notification_id": "p", "group_id": "g"}
    assert (message.secondary_id, message.request_id, list(message.tags)) == ("x", "r-1", ["t", "u"])
    assert (message.category, message.section, message.priority) == ("c", "s", channel_pb2.PRIORITY_HIGH)
    assert message.expire_time.ToDatetime() - message.create_time.ToDatetime() == timedelta(days=90)
    assert message.item_marks == messages_pb2.ItemMarks(item_id=sent.item_id)
    assert not message.HasField("schedule_time")

    in_app, text, call = message.deliveries
    assert in_app.content.inapp.title == "Hi Bob"
    assert text.content.sms.text == "Bob!"
    assert [one.update_time for one in message.deliveries] == [message.create_time] * 3
    assert (text.next_time, call.HasField("content")) == (message.create_time, False)
    for one in message.deliveries:
        for name in ("content", "next_time", "update_time"):
            one.ClearField(name)
    assert list(message.deliveries) == list(sent.deliveries)


async def test_the_view_decides_how_much_is_listed(tenant: Tenant) -> None:
    """BASIC, which is the default, has neither request nor contents; FULL has what GetMessage has."""
    (sent,) = await tenant.send(send_request(user=ADDRESSES))
    whole = await get(tenant, sent.tracking_id)

    assert list((await page(tenant, view=FULL)).messages) == [whole]
    for view in (messages_pb2.MESSAGE_VIEW_UNSPECIFIED, messages_pb2.MESSAGE_VIEW_BASIC):
        (basic,) = (await page(tenant, view=view)).messages
        assert not basic.HasField("request")
        assert [one.HasField("content") for one in basic.deliveries] == [False] * len(whole.deliveries)
        for one in whole.deliveries:
            one.ClearField("content")
        whole.ClearField("request")
        assert basic == whole


async def test_the_log_tells_what_became_of_it(tenant: Tenant) -> None:
    """A retracted item and a cancelled delivery are in the log, with their times; the message stays."""
    (sent,) = await tenant.send(send_request(user=ADDRESSES))
    await tenant.backend.sender.Retract(
        sender_pb2.RetractRequest(user_id=USER, notification_id="order_tracking", cancel_deliveries=True)
    )

    message = await get(tenant, sent.tracking_id)

    states = {one.channel: one.state for one in message.deliveries}
    assert (states[EMAIL], states[INAPP_WEB]) == (
        delivery_pb2.DELIVERY_STATE_CANCELLED,
        delivery_pb2.DELIVERY_STATE_DELIVERED,
    )
    cancelled = next(one for one in message.deliveries if one.channel == EMAIL)
    assert not cancelled.HasField("next_time")
    assert cancelled.update_time.ToNanoseconds() >= message.create_time.ToNanoseconds()
    assert message.item_marks.retract_time == cancelled.update_time


async def test_the_log_tells_what_the_user_did(tenant: Tenant) -> None:
    """Marks and replies are in the log with their times."""
    (sent,) = await tenant.send(send_request())
    await mark(tenant, sent.item_id, marks=[inbox_pb2.INBOX_MARK_CLICKED, inbox_pb2.INBOX_MARK_ARCHIVED], reply="Yes")
    await mark(tenant, sent.item_id, marks=[inbox_pb2.INBOX_MARK_FIRST_ACTION])

    marks = (await get(tenant, sent.tracking_id)).item_marks

    assert {field.name for field, _ in marks.ListFields()} == {
        "item_id",
        "seen_time",
        "opened_time",
        "clicked_time",
        "archive_time",
        "first_action_time",
        "replies",
    }
    assert [(reply.text, reply.time) for reply in marks.replies] == [("Yes", marks.clicked_time)]


async def test_a_message_without_an_item_has_no_marks(tenant: Tenant) -> None:
    """Where INAPP_WEB was not planned there is nothing that a user could have done."""
    (sent,) = await tenant.send(send_request(user=ADDRESSES, force_channels=[EMAIL]))

    assert not (await get(tenant, sent.tracking_id)).HasField("item_marks")


async def test_every_filter_narrows(tenant: Tenant) -> None:
    """Each filter finds what it names, its values widen each other, and several filters narrow each other."""
    await tenant.put(
        definition("a", inapp(), sms(), channels=[INAPP_WEB, SMS], category="c1", section="s1"),
        definition("b", inapp(), category="c2", section="s2"),
    )
    a = (await tenant.send(send_request("a", user=ADDRESSES, group_id="g1", tags=["t1", "t2"], request_id="r1")))[0]
    b = (await tenant.send(send_request("b", user={"id": "u2"}, secondary_id="x", tags=["t2"], request_id="r1")))[0]
    c = (await tenant.send(send_request("a", user={"id": "u3"}, sub_notification_id="p", group_id="g2")))[0]
    name = {one.tracking_id: letter for one, letter in ((a, "a"), (b, "b"), (c, "c"))}

    async def found(**narrowed: Any) -> str:
        return "".join(name[tracking_id] for tracking_id in await listed(tenant, **narrowed))

    assert await found() == "cba"
    assert await found(user_ids=[USER]) == "a"
    assert await found(user_ids=[USER, "u3", USER, "nobody"]) == "ca"
    assert await found(notification_ids=["a"]) == "ca"
    assert await found(notification_ids=["a", "b", "a", "nowhere"]) == "cba"
    assert await found(sub_notification_ids=["p"]) == "c"
    assert await found(group_ids=["g1", "g2"]) == "ca"
    assert await found(tags=["t2"]) == "ba"
    assert await found(tags=["t1"]) == "a"
    assert await found(tracking_ids=[a.tracking_id, c.tracking_id, a.tracking_id, "unknown"]) == "ca"
    assert await found(request_ids=["r1", "r2"]) == "ba"
    assert await found(request_ids=["r1", "r2"], user_ids=["u2", "u3"]) == "b"
    assert await found(secondary_ids=["x"]) == "b"
    assert await found(categories=["c1"]) == "ca"
    assert await found(sections=["s2", "s3"]) == "b"
    assert await found(channels=[SMS]) == "ca"
    assert await found(states=[delivery_pb2.DELIVERY_STATE_PENDING]) == "a"
    assert await found(states=[delivery_pb2.DELIVERY_STATE_SENT]) == ""
    assert await found(reasons=[delivery_pb2.SKIP_REASON_NO_ADDRESS]) == "c"
    # One and the same delivery: the pending one of `a` is not on INAPP_WEB.
    assert await found(states=[delivery_pb2.DELIVERY_STATE_PENDING], channels=[SMS]) == "a"
    assert await found(states=[delivery_pb2.DELIVERY_STATE_PENDING], channels=[INAPP_WEB]) == ""
    assert await found(notification_ids=["a"], user_ids=["u2", "u3"]) == "c"
    assert await found(tracking_ids=[a.tracking_id, b.tracking_id], user_ids=["u2"], tags=["t2"]) == "b"
    assert await found(group_ids=["g1"], categories=["c2"]) == ""


async def test_times_are_exact(tenant: Tenant) -> None:
    """start_time belongs to what is found, end_time does not, to the millisecond, whichever index is read."""
    for _ in range(12):
        await tenant.send(send_request())
    messages = list((await page(tenant)).messages)

    for narrowed in ({}, {"user_ids": [USER]}, {"notification_ids": ["order_tracking"]}, {"channels": [INAPP_WEB]}):
        for start, end in ((3, 3), (8, 3), (11, 0)):
            bounds = {"start_time": messages[start].create_time, "end_time": messages[end].create_time}
            expected = [
                one.tracking_id
                for one in messages
                if bounds["start_time"].ToNanoseconds() <= one.create_time.ToNanoseconds()
                and one.create_time.ToNanoseconds() < bounds["end_time"].ToNanoseconds()
            ]
            assert await listed(tenant, **narrowed, **bounds) == expected
    long_ago, far_ahead = {"seconds": -62_135_596_800}, {"seconds": 253_402_300_799}
    assert await listed(tenant, start_time=long_ago, end_time=far_ahead) == [one.tracking_id for one in messages]
    assert await listed(tenant, start_time=far_ahead) == []
    assert await listed(tenant, end_time=long_ago) == []


@pytest.mark.parametrize(
    "narrowed",
    [
        {},
        {"user_ids": [f"u{i}" for i in range(7)]},
        {"notification_ids": ["order_tracking", "hello_world"]},
        {"tags": ["t"]},
        {"user_ids": ["u0", "u1", "u2"], "tags": ["t"]},
    ],
    ids=lambda narrowed: "+".join(narrowed) or "all",
)
async def test_pages_have_every_message_once_while_new_ones_arrive(tenant: Tenant, narrowed: dict[str, Any]) -> None:
    """Pages by token show what was there at the first one, without gap or double, whatever arrives meanwhile."""
    requests = [
        send_request(("order_tracking", "hello_world")[i % 2], user={"id": f"u{i % 7}"}, tags=["t"] if i % 3 else [])
        for i in range(90)
    ]
    await asyncio.gather(*map(tenant.send, requests))
    there = await listed(tenant, **narrowed)
    assert there

    found: list[str] = []
    token = ""
    while not found or token:
        answer = await page(tenant, filter=narrowed, page_size=7, page_token=token)
        found += [message.tracking_id for message in answer.messages]
        token = answer.next_page_token
        await asyncio.gather(*map(tenant.send, requests[:6]))

    assert found == there


async def test_the_last_full_page_has_no_token(tenant: Tenant) -> None:
    """Where the messages end with the page there is no token to an empty one."""
    await tenant.send(send_request(), send_request())

    for narrowed in ({}, {"user_ids": [USER]}, {"channels": [INAPP_WEB]}, {"notification_ids": ["order_tracking"]}):
        assert [len(ids) for ids in await pages(tenant, filter=narrowed, page_size=2)] == [2]
        assert [len(ids) for ids in await pages(tenant, filter=narrowed, page_size=1)] == [1, 1]


async def test_a_page_ends_before_it_outgrows_3_mib(tenant: Tenant) -> None:
    """However many are asked for, an answer stays below 3 MiB, and the pages have every message once."""
    await tenant.put(definition("long", inapp(body="{{ text }}")))
    sent = await tenant.send(*(send_request("long", merge_tags={"text": "x" * 140_000}) for _ in range(24)))
    selected = messages_pb2.MessageFilter(user_ids=[USER, "nobody"])
    request = messages_pb2.ListMessagesRequest(page_size=1000, view=FULL, filter=selected)

    found: list[str] = []
    while not found or request.page_token:
        answer = await tenant.backend.messages.ListMessages(request)
        assert answer.ByteSize() <= MAX_PAGE_BYTES
        found += [message.tracking_id for message in answer.messages]
        request.page_token = answer.next_page_token

    assert found == [one.tracking_id for one in reversed(sent)]


async def test_a_page_that_compares_ends_after_so_many(world: World, tenant: Tenant) -> None:
    """What no index serves is looked for among 10,000 messages a page; it then ends, even empty, and the next goes on.

    Their ids are of the far future, so that they are newer than whatever is sent.
    """
    other, oldest = await tenant.send(send_request(user={"id": "other"}, tags=["rarer"]), send_request(tags=["rare"]))
    stored = await world.database.messages.find_one({"_id.e": tenant.client_id, "_id.u": USER})
    ids = [f"ffffffff-ffff-7fff-bfff-{i:012x}" for i in range(MAX_EXAMINED + 5)]
    common = stored | {"tags": ["common"], "request": b"", "inapp": {}}
    await world.database.messages.insert_many([common | {"_id": stored["_id"] | {"m": one}} for one in ids])

    for narrowed in ({}, {"user_ids": [USER]}, {"notification_ids": ["order_tracking"]}):
        assert await pages(tenant, filter={"tags": ["rare"], **narrowed}) == [[], [oldest.tracking_id]]
        first = await page(tenant, filter={"tags": ["common"], **narrowed}, page_size=1000)
        assert [message.tracking_id for message in first.messages] == ids[:-1001:-1]
    # The other's message is found at once, and waits for its place among those that are still looked through.
    both = {"user_ids": ["other", USER], "tags": ["rare", "rarer"]}
    assert await pages(tenant, filter=both) == [[], [], [oldest.tracking_id, other.tracking_id]]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"page_size": -1}, [("page_size", "OUT_OF_RANGE")]),
        ({"view": 9}, [("view", "UNKNOWN_VALUE")]),
        ({"filter": {"user_ids": [str(i) for i in range(101)]}}, [("filter.user_ids", "TOO_MANY")]),
        ({"filter": {"states": [1] * 101}}, [("filter.states", "TOO_MANY")]),
        ({"filter": {"tracking_ids": [str(i) for i in range(1001)]}}, [("filter.tracking_ids", "TOO_MANY")]),
        ({"filter": {"request_ids": [str(i) for i in range(1001)]}}, [("filter.request_ids", "TOO_MANY")]),
        (
            {"filter": {"channels": [0, 99], "states": [0, 99], "reasons": [0, 99]}},
            [
                (f"filter.{name}[{i}]", reason)
                for name in ("channels", "states", "reasons")
                for i, reason in enumerate(("REQUIRED", "UNKNOWN_VALUE"))
            ],
        ),
        ({"filter": {"start_time": {"seconds": 2**60}}}, [("filter.start_time", "OUT_OF_RANGE")]),
        ({"filter": {"end_time": {"nanos": -1}}}, [("filter.end_time", "OUT_OF_RANGE")]),
        (
            {"filter": {"broadcast_ids": ["b"], "request_conditions": [{"path": "tags"}]}},
            [("filter.broadcast_ids", "NOT_SUPPORTED_YET"), ("filter.request_conditions", "NOT_SUPPORTED_YET")],
        ),
        ({"page_token": "nonsense!"}, [("page_token", "PAGE_TOKEN_INVALID")]),
    ],
)
async def test_what_cannot_be_is_refused(
    tenant: Tenant, fields: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    """Whatever is wrong with a list is refused by its field; what is not built yet is refused, never ignored."""
    assert_violates(await refusal(page(tenant, **fields)), expected)


async def test_the_limits_themselves_are_taken(tenant: Tenant) -> None:
    """A filter with as many values as there may be is taken, and a page size above the largest is the largest."""
    (sent,) = await tenant.send(send_request())
    hundred = [USER, *(f"user-{i}" for i in range(99))]
    thousand = [sent.tracking_id, *(f"id-{i}" for i in range(999))]

    assert await listed(tenant, user_ids=hundred) == [sent.tracking_id]
    assert await listed(tenant, tracking_ids=thousand) == [sent.tracking_id]
    assert await listed(tenant, request_ids=thousand) == []
    assert len((await page(tenant, page_size=2**31 - 1)).messages) == 1


async def test_a_token_belongs_to_its_filter(tenant: Tenant) -> None:
    """A token with another filter is refused; with another page size and view it goes on."""
    await tenant.send(*(send_request() for _ in range(3)))
    token = (await page(tenant, page_size=1)).next_page_token

    assert_violates(
        await refusal(page(tenant, page_token=token, filter={"user_ids": [USER]})),
        [("page_token", "PAGE_TOKEN_OTHER_QUERY")],
    )
    assert len((await page(tenant, page_token=token, view=FULL)).messages) == 2


async def test_environments_do_not_see_each_other(world: World, tenant: Tenant) -> None:
    """Another environment's message is not found by any means, and cannot be deleted."""
    other = await world.tenant()
    (sent,) = await tenant.send(send_request(request_id="r", tags=["t"], group_id="g"))

    for call in (get, delete):
        refused = await refusal(call(other, sent.tracking_id))
        assert (refused.code, refused.reason) == (grpc.StatusCode.NOT_FOUND, "MESSAGE_NOT_FOUND")
        assert refused.resource == ("message", sent.tracking_id)
    for narrowed in (
        {},
        {"user_ids": [USER]},
        {"user_ids": [USER], "request_ids": ["r"]},
        {"notification_ids": ["order_tracking"]},
        {"tracking_ids": [sent.tracking_id]},
        {"tags": ["t"]},
    ):
        assert await pages(other, filter=narrowed) == [[]]
        assert await pages(tenant, filter=narrowed) == [[sent.tracking_id]]
    await tenant.send(send_request())
    token = (await page(tenant, page_size=1)).next_page_token
    refused = await refusal(page(other, page_token=token))
    assert refused.violations == (("page_token", "PAGE_TOKEN_OTHER_QUERY"),)


async def test_what_never_was_is_not_found(tenant: Tenant) -> None:
    """A tracking id that nobody has is NOT_FOUND, whatever it looks like; none at all is refused."""
    for tracking_id in ("unknown", "0" * 128, "$where", "\u00e9"):
        for call in (get, delete):
            refused = await refusal(call(tenant, tracking_id))
            assert (refused.code, refused.reason) == (grpc.StatusCode.NOT_FOUND, "MESSAGE_NOT_FOUND")
    for call in (get, delete):
        assert_violates(await refusal(call(tenant, "")), [("tracking_id", "REQUIRED")])
        assert_violates(await refusal(call(tenant, "x" * 129)), [("tracking_id", "TOO_LONG")])


async def test_a_deleted_message_leaves_no_trace(world: World, tenant: Tenant) -> None:
    """After DeleteMessage neither inbox nor counts nor log have it, and what is stored says only that it was."""
    kept, sent = await tenant.send(
        send_request(user=ADDRESSES),
        send_request(user=ADDRESSES, group_id="g", tags=["secret"], secondary_id="x", request_id="r"),
    )
    await mark(tenant, sent.item_id, marks=[inbox_pb2.INBOX_MARK_CLICKED], reply="Yes")
    document_id = {"e": tenant.client_id, "u": USER, "m": sent.tracking_id}
    before = await world.database.messages.find_one({"_id": document_id})
    await delete(tenant, sent.tracking_id)

    assert [item.id for item in await tenant.items(USER)] == [kept.item_id]
    answer = await tenant.backend.inbox.ListInbox(inbox_pb2.ListInboxRequest(user_id=USER))
    assert (answer.unread_count, answer.total_count) == (1, 1)
    for narrowed in (
        {},
        {"user_ids": [USER]},
        {"notification_ids": ["order_tracking"]},
        {"tracking_ids": [kept.tracking_id, sent.tracking_id]},
    ):
        assert await listed(tenant, **narrowed) == [kept.tracking_id]
    for narrowed in ({"request_ids": ["r"]}, {"user_ids": [USER], "request_ids": ["r"]}, {"group_ids": ["g"]}):
        assert await listed(tenant, **narrowed) == []
    for call in (get, delete):
        refused = await refusal(call(tenant, sent.tracking_id))
        assert (refused.code, refused.reason) == (grpc.StatusCode.NOT_FOUND, "MESSAGE_DELETED")

    left = await world.database.messages.find_one({"_id": document_id})
    assert left["changed"] > before["changed"] > Timestamp(0, 0)
    assert [left[name] == before[name] for name in ("expire_time", "delete_time")] == [True, True]
    assert left["inapp"].keys() == {"retract_time", "unread"}
    ends = {"expire_time", "delete_time"}
    assert left.keys() == {"_id", "request_id", "request_hash", "deleted", "changed", "inapp"} | ends


async def test_deletion_of_what_has_no_item_is_nothing_to_see(world: World, tenant: Tenant) -> None:
    """A message without an item loses its deliveries, and no browser is told of it."""
    (sent,) = await tenant.send(send_request(user=ADDRESSES, force_channels=[EMAIL]))

    await delete(tenant, sent.tracking_id)

    left = await world.database.messages.find_one({"_id.e": tenant.client_id})
    assert left.keys() == {"_id", "deleted", "expire_time", "delete_time"}


async def test_a_deleted_message_tells_browsers_for_a_month(world: World, tenant: Tenant) -> None:
    """What is left of a message that ends soon stays long enough for a browser that was away for 30 days."""
    (sent,) = await tenant.send(send_request())
    soon = {"$set": {"delete_time": datetime.now(UTC) + timedelta(hours=1)}}
    await world.database.messages.update_one({"_id.m": sent.tracking_id}, soon)

    await delete(tenant, sent.tracking_id)

    left = await world.database.messages.find_one({"_id.m": sent.tracking_id})
    assert left["delete_time"] > datetime.now(UTC) + timedelta(days=30)


async def test_a_mark_at_the_same_time_leaves_no_trace(world: World, tenant: Tenant) -> None:
    """Whatever the user does with an item at the very moment of its deletion goes too."""
    for _ in range(20):
        (sent,) = await tenant.send(send_request())
        await asyncio.gather(
            delete(tenant, sent.tracking_id),
            *(mark(tenant, sent.item_id, marks=[one], reply="Yes") for one in inbox_pb2.InboxMark.values()[1:]),
        )

        left = await world.database.messages.find_one({"_id.m": sent.tracking_id})
        assert left["inapp"].keys() == {"retract_time", "unread"}


async def test_only_one_of_many_deletions_finds_it(tenant: Tenant) -> None:
    """However many delete one message at once, one is OK and the others learn that it is gone."""
    (sent,) = await tenant.send(send_request(user=ADDRESSES))

    results = await asyncio.gather(*(delete(tenant, sent.tracking_id) for _ in range(8)), return_exceptions=True)

    assert results.count(None) == 1


async def test_pages_pass_over_what_was_deleted(tenant: Tenant) -> None:
    """A page is as full as it can be, whatever was deleted between its messages."""
    sent = await tenant.send(*(send_request() for _ in range(12)))
    for one in sent[4:]:
        await delete(tenant, one.tracking_id)
    newest_first = [one.tracking_id for one in reversed(sent[:4])]

    assert await pages(tenant, page_size=2) == [newest_first[:2], newest_first[2:]]
    assert await pages(tenant, page_size=4) == [newest_first]
