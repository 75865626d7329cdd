"""Marks and lists over the socket, through a real gateway and the real services."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

import pytest

from carillon.v1 import inbox_pb2, sender_pb2
from services.kernel.clock import utc_now
from tests.contract.live.world import USER_ID, a_send

if TYPE_CHECKING:
    from tests.contract.live.world import Browser, Live
    from tests.contract.services.world import Tenant

pytestmark = pytest.mark.asyncio(loop_scope="session")

MARKS = ("SEEN", "OPENED", "CLICKED", "ARCHIVED", "FIRST_ACTION", "SECOND_ACTION")


async def unread_count(tenant: Tenant) -> int:
    """Counts the user's unread items by the services."""
    answer = await tenant.backend.inbox.CountUnread(inbox_pb2.CountUnreadRequest(user_id=USER_ID))
    return int(answer.unread_count)


async def test_a_mark_in_one_session_shows_in_the_other(live: Live, tenant: Tenant) -> None:
    """What one session marks both are told, each badge falls, and a later welcome has the very same item."""
    async with live.browser(tenant) as one, live.browser(tenant) as other, live.browser(tenant, "another") as stranger:
        sent = await tenant.backend.sender.Send(a_send())
        for browser in (one, other):
            await browser.take_until(sent.item_id)

        answer = await one.ask("mark", ids=[sent.item_id, "nothing"], set=["CLICKED"])
        assert answer == {"type": "result", "ref": "0", "changed_count": 1, "unread_count": 0}

        for browser in (one, other):
            while browser.items[sent.item_id]["unread"]:
                await browser.take()
            assert {"seen_time", "opened_time", "clicked_time"} <= set(browser.items[sent.item_id])
            assert browser.unread_count == 0

        await other.ask("mark", ids=[sent.item_id], clear=["SEEN"])
        for browser in (one, other):
            while not browser.items[sent.item_id]["unread"]:
                await browser.take()
            assert not {"seen_time", "opened_time", "clicked_time"} & set(browser.items[sent.item_id])
            assert browser.unread_count == 1
        assert stranger.items == {}
    async with live.browser(tenant) as later:
        assert later.items == one.items == other.items


async def test_replies_show_live_as_they_are_read(live: Live, tenant: Tenant) -> None:
    """The first and the further replies to an item are told, and a later welcome has the same."""
    async with live.browser(tenant) as one, live.browser(tenant) as other:
        sent = await tenant.backend.sender.Send(a_send())
        for browser in (one, other):
            await browser.take_until(sent.item_id)
        for reply in ("yes", "no", "both"):
            assert (await one.ask("mark", ids=[sent.item_id], reply=reply))["changed_count"] == 1

        for browser in (one, other):
            while [reply["text"] for reply in browser.items[sent.item_id].get("replies", ())] != ["yes", "no", "both"]:
                await browser.take()
            assert browser.unread_count == 0
    async with live.browser(tenant) as later:
        assert later.items == one.items == other.items


async def test_what_comes_back_from_the_archive_is_told_whole(live: Live, tenant: Tenant) -> None:
    """A session that was welcomed without an archived item gets it when another takes it out of the archive."""
    sent = await tenant.backend.sender.Send(a_send())
    async with live.browser(tenant) as one:
        await one.ask("mark", ids=[sent.item_id], set=["ARCHIVED"])
        while "archive_time" not in one.items[sent.item_id]:
            await one.take()
        async with live.browser(tenant) as other:
            assert other.items == {}
            await one.ask("mark", ids=[sent.item_id], clear=["ARCHIVED"])

            await other.take_until(sent.item_id)
            while "archive_time" in one.items[sent.item_id]:
                await one.take()
            assert one.items == other.items
            assert (one.unread_count, other.unread_count) == (0, 0)


async def test_marks_of_many_are_few_frames(live: Live, tenant: Tenant) -> None:
    """Marking 300 items up to a time is far fewer frames than items; what came later is left alone."""
    await asyncio.gather(*(tenant.backend.sender.Send(a_send()) for _ in range(300)))
    async with live.browser(tenant) as one, live.browser(tenant) as other:
        newest = max(item["date"] for item in one.items.values())
        late = await tenant.backend.sender.Send(a_send())
        await one.take_until(late.item_id)
        assert one.items[late.item_id]["date"] > newest

        answer = await one.ask("mark", until={"time": newest, "filter": {"unread": True}}, set=["SEEN"])
        assert (answer["changed_count"], answer["unread_count"]) == (300, 1)

        frames = []
        while other.unread_count > 1 or late.item_id not in other.items:
            frames.append(await other.take())
        told = [frame for frame in frames if frame["type"] == "updated"]
        assert sum(len(frame["ids"]) for frame in told) == 300
        assert len(told) < 30
        assert other.items[late.item_id]["unread"]


async def test_a_list_pages_through_what_a_welcome_does_not_hold(live: Live, tenant: Tenant) -> None:
    """Lists over the socket give every item once, as a welcome does, and follow filter and view."""
    await asyncio.gather(*(tenant.backend.sender.Send(a_send()) for _ in range(7)))
    async with live.browser(tenant) as browser:
        items: list[dict[str, Any]] = []
        page = await browser.ask("list", limit=3)
        while True:
            items += page["items"]
            assert page["unread_count"] == 7
            if not page["next_page_token"]:
                break
            page = await browser.ask("list", limit=3, page_token=page["next_page_token"])

        assert items == list(browser.items.values())
        oldest = items[-1]
        assert (await browser.ask("list", before_time=oldest["date"]))["items"][-1] == oldest
        assert (await browser.ask("list", view="ARCHIVE"))["items"] == []
        assert (await browser.ask("list", filter={"unread": False}))["items"] == []
        assert (
            len((await browser.ask("list", filter={"tags": ["a"], "notification_ids": ["order_tracking"]}))["items"])
            == 7
        )


@pytest.mark.parametrize(
    ("kind", "fields", "code", "field"),
    [
        ("mark", {"ids": ["a"]}, "INVALID_REQUEST", "set"),
        ("mark", {"ids": []}, "INVALID_REQUEST", "ids"),
        ("mark", {"ids": ["a"], "set": ["SEEN"], "clear": ["SEEN"]}, "INVALID_REQUEST", "clear[0]"),
        ("mark", {"ids": ["a"], "set": ["SEEN", "SEEN"]}, "INVALID_REQUEST", "set[1]"),
        ("list", {"page_token": "garbage"}, "PAGE_TOKEN_INVALID", "page_token"),
    ],
)
async def test_what_the_services_find_wrong_is_told(
    live: Live, tenant: Tenant, kind: str, fields: dict[str, Any], code: str, field: str
) -> None:
    """A request that the services refuse is answered by an error with its ref and field, as often as it is sent."""
    async with live.browser(tenant) as browser:
        for _ in range(4):
            error = await browser.ask(kind, **fields)
            assert (error["type"], error["code"], error["field"]) == ("error", code, field)


async def test_the_badge_is_right_after_every_event(live: Live, tenant: Tenant) -> None:
    """Over 150 sends, marks, retractions and expiries each session's badge equals the count, and its items the list."""
    chance = random.Random(11)
    sent: list[str] = []
    async with live.browser(tenant) as one, live.browser(tenant) as other:

        async def settle() -> None:
            """Awaits, in both sessions, an item that comes after all events so far."""
            last = await tenant.backend.sender.Send(a_send("new_order"))
            sent.append(last.item_id)
            count = await unread_count(tenant)
            for browser in (one, other):
                await browser.take_until(last.item_id)
                assert browser.unread_count == count

        await settle()
        for _ in range(150):
            ids = chance.sample(sent, min(len(sent), 4))
            match chance.choice(["send", "set", "set", "clear", "until", "retract", "expire"]):
                case "send":
                    sent.append((await tenant.backend.sender.Send(a_send())).item_id)
                case "set":
                    await one.ask("mark", ids=ids, set=[chance.choice(MARKS)])
                case "clear":
                    await other.ask("mark", ids=ids, clear=[chance.choice(MARKS)])
                case "until":
                    date = max(item["date"] for item in one.items.values())
                    await other.ask("mark", until={"time": date, "view": "ALL"}, set=[chance.choice(MARKS[:2])])
                case "retract":
                    request = sender_pb2.RetractRequest(user_id=USER_ID, tracking_ids=ids[:1])
                    await tenant.backend.sender.Retract(request)
                case "expire":
                    key, now = {"e": tenant.client_id, "u": USER_ID, "m": ids[0]}, utc_now()
                    await live.world.database.messages.update_one({"_id": key}, {"$set": {"expire_time": now}})
                    await live.world.stores.expiry.sweep(now)
            await settle()

        listed = {item["id"]: item for item in (await one.ask("list", view="ALL", limit=100))["items"]}

        def held(browser: Browser) -> dict[str, dict[str, Any]]:
            # A frame that tells of several items has the least of their versions.
            return {item_id: browser.items[item_id] | {"rev": ""} for item_id in listed}

        assert held(one) == held(other) == {item_id: item | {"rev": ""} for item_id, item in listed.items()}


async def test_a_backend_and_a_user_mark_alike(live: Live, tenant: Tenant) -> None:
    """A mark over gRPC, by the user or for them, shows in an open session."""
    async with live.browser(tenant) as browser:
        sent = await tenant.backend.sender.Send(a_send())
        await browser.take_until(sent.item_id)
        items = inbox_pb2.ItemIds(ids=[sent.item_id])
        seen, opened = inbox_pb2.INBOX_MARK_SEEN, inbox_pb2.INBOX_MARK_OPENED
        await tenant.backend.inbox.MarkInbox(inbox_pb2.MarkInboxRequest(user_id=USER_ID, items=items, set_marks=[seen]))
        await tenant.user(USER_ID).inbox.MarkInbox(inbox_pb2.MarkInboxRequest(items=items, set_marks=[opened]))

        while "opened_time" not in browser.items[sent.item_id]:
            await browser.take()
        assert browser.unread_count == 0
