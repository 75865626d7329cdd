"""Preferences over the socket, through a real gateway and the real services."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from carillon.v1 import inbox_pb2, notifications_pb2, preferences_pb2, sub_notifications_pb2
from tests.contract.live.world import USER_ID
from tests.contract.services.requests import INAPP_WEB, INSTANT, OFF, definition, inapp, outcomes, send_request

if TYPE_CHECKING:
    from tests.contract.live.world import Browser, Live
    from tests.contract.services.world import Tenant

pytestmark = pytest.mark.asyncio(loop_scope="session")

MUTED = {"notification_id": "order_tracking", "channel": "INAPP_WEB", "delivery_option": "OFF"}


async def outcome(tenant: Tenant, **fields: Any) -> str:
    """Sends to the user and gives what becomes of the in-app channel."""
    return outcomes(await tenant.backend.sender.Send(send_request(**fields)))["INAPP_WEB"]


async def take_changes(count: int, *browsers: Browser) -> None:
    """Applies frames until each browser was told so often that the preferences are others now."""
    for browser in browsers:
        while browser.choice_changes < count:
            await browser.take()


def inapp_of(result: dict[str, Any], notification_id: str = "order_tracking") -> dict[str, Any]:
    """Gives what a result says of the in-app channel of a notification."""
    (notification,) = (one for one in result["notifications"] if one["notification_id"] == notification_id)
    (channel,) = (one for one in notification["channels"] if one["channel"] == "INAPP_WEB")
    return dict(channel)


async def test_a_choice_in_one_tab_is_told_in_all_and_holds_for_the_next_send(live: Live, tenant: Tenant) -> None:
    """What is muted in one tab is told in both and to a stream, and sends are skipped until it is on again."""
    watch = tenant.user(USER_ID).inbox.WatchInbox(inbox_pb2.WatchInboxRequest(), timeout=60)
    async with live.browser(tenant) as one, live.browser(tenant) as other, live.browser(tenant, "another") as stranger:
        assert (await watch.read()).HasField("welcome")
        before = inapp_of(await one.ask("get_preferences"))
        assert (before["delivery_option"], before["chosen"]) == ("INSTANT", False)
        assert {"OFF", "INSTANT"} <= set(before["offered_delivery_options"])

        answer = await one.ask("patch_preferences", preferences=[MUTED])
        assert (answer["type"], answer["preferences"]) == ("result", [MUTED])
        await take_changes(1, one, other)
        assert (await watch.read()).HasField("preferences_changed")
        assert await outcome(tenant) == "PREFERENCE_OFF"

        seen = await other.ask("get_preferences")
        assert seen["preferences"] == [MUTED]
        assert inapp_of(seen) == before | {"delivery_option": "OFF", "chosen": True}
        assert (await stranger.ask("get_preferences"))["preferences"] == []

        answer = await other.ask("patch_preferences", preferences=[MUTED | {"delivery_option": "ON"}])
        assert answer["preferences"] == [MUTED | {"delivery_option": "INSTANT"}]
        await take_changes(2, one, other)
        assert (await watch.read()).HasField("preferences_changed")
        assert await outcome(tenant) == "DELIVERED"
        assert (await watch.read()).HasField("created")
        assert stranger.choice_changes == 0
    watch.cancel()


async def test_a_choice_that_changes_nothing_is_told_to_nobody(live: Live, tenant: Tenant) -> None:
    """Choosing again what is chosen, and forgetting what is not, are answered and make no event."""
    async with live.browser(tenant) as browser:
        await browser.ask("patch_preferences", preferences=[MUTED])
        await take_changes(1, browser)
        await browser.ask("patch_preferences", preferences=[MUTED])
        await browser.ask("delete_preferences", notification_id="new_order")
        sent = await tenant.backend.sender.Send(send_request("new_order"))
        await browser.take_until(sent.item_id)

        assert browser.choice_changes == 1


async def test_a_part_has_its_own_choice(live: Live, tenant: Tenant) -> None:
    """A part that is muted is skipped, the others are not; forgetting its choice lets it through again."""
    part = MUTED | {"sub_notification_id": "eu"}
    await tenant.backend.sub_notifications.PutSubNotification(
        sub_notifications_pb2.PutSubNotificationRequest(
            notification_id="order_tracking", sub_notification_id="eu", title="Europe"
        )
    )
    async with live.browser(tenant) as browser:
        assert (await browser.ask("patch_preferences", preferences=[part]))["preferences"] == [part]
        assert await outcome(tenant, sub_notification_id="eu") == "PREFERENCE_OFF"
        assert await outcome(tenant, sub_notification_id="us") == "DELIVERED"

        (shown,) = (
            one
            for one in (await browser.ask("get_preferences"))["notifications"]
            if one["notification_id"] == "order_tracking"
        )
        told = [
            (one["sub_notification_id"], one["title"], channel["delivery_option"], channel["chosen"])
            for one in shown["sub_notifications"]
            for channel in one["channels"]
            if channel["channel"] == "INAPP_WEB"
        ]
        assert told == [("eu", "Europe", "OFF", True), ("us", "us", "INSTANT", False)]

        left = await browser.ask("delete_preferences", notification_id="order_tracking", sub_notification_id="us")
        assert left["preferences"] == [part]
        left = await browser.ask("delete_preferences", notification_id="order_tracking", sub_notification_id="eu")
        assert left["preferences"] == []
        assert await outcome(tenant, sub_notification_id="eu") == "DELIVERED"


async def test_the_received_alone_over_the_socket(live: Live, tenant: Tenant) -> None:
    """A browser may ask for what its user has received or chosen alone; a page of that is none of all."""
    async with live.browser(tenant) as browser:
        assert (await browser.ask("get_preferences", scope="RECEIVED"))["notifications"] == []

        await tenant.send(send_request("new_order"))
        await browser.ask("patch_preferences", preferences=[MUTED])
        page = await browser.ask("get_preferences", scope="RECEIVED", limit=1)
        token = page["next_page_token"]
        rest = await browser.ask("get_preferences", scope="RECEIVED", page_token=token)
        shown = [one["notification_id"] for one in (*page["notifications"], *rest["notifications"])]

        assert shown == ["new_order", "order_tracking"]
        assert (await browser.ask("get_preferences", page_token=token))["field"] == "page_token"


async def test_pages_over_the_socket_have_every_notification_once(live: Live, tenant: Tenant) -> None:
    """Pages of two have every definition once, and the choices whole on each."""
    async with live.browser(tenant) as browser:
        await browser.ask("patch_preferences", preferences=[MUTED])
        whole = await browser.ask("get_preferences", scope="ALL")
        assert whole["next_page_token"] == ""
        found: list[dict[str, Any]] = []
        page = await browser.ask("get_preferences", limit=2)
        while True:
            assert len(page["notifications"]) <= 2
            assert page["preferences"] == [MUTED]
            found += page["notifications"]
            if not page["next_page_token"]:
                break
            page = await browser.ask("get_preferences", limit=2, page_token=page["next_page_token"])

        assert found == whole["notifications"]
        assert len(found) > 2


@pytest.mark.parametrize(
    ("kind", "fields", "field"),
    [
        (
            "patch_preferences",
            {"preferences": [MUTED | {"notification_id": "alarm"}]},
            "preferences[0].delivery_option",
        ),
        (
            "patch_preferences",
            {"preferences": [MUTED, MUTED | {"notification_id": "nowhere"}]},
            "preferences[1].notification_id",
        ),
        ("patch_preferences", {"preferences": [MUTED, MUTED]}, "preferences[1]"),
        ("patch_preferences", {"preferences": []}, "preferences"),
        ("patch_preferences", {}, "preferences"),
        ("get_preferences", {"page_token": "garbage"}, "page_token"),
    ],
)
async def test_what_the_services_refuse_is_told_by_field(
    live: Live, tenant: Tenant, kind: str, fields: dict[str, Any], field: str
) -> None:
    """What cannot be chosen or asked for is an error with its field, no strike, and changes nothing."""
    alarm = notifications_pb2.ChannelSettings(
        channel=INAPP_WEB, default_delivery_option=INSTANT, offered_delivery_options=[INSTANT]
    )
    await tenant.put(definition("alarm", inapp(), channels=[alarm]))
    async with live.browser(tenant) as browser:
        for _ in range(4):
            error = await browser.ask(kind, **fields)
            assert (error["type"], error["field"]) == ("error", field)
        assert (await browser.ask("get_preferences"))["preferences"] == []


async def test_a_browser_that_was_away_asks_again(live: Live, tenant: Tenant) -> None:
    """What was chosen while a browser was away is not told by its next welcome, but answered when it asks."""
    async with live.browser(tenant) as browser:
        assert (await browser.ask("get_preferences"))["preferences"] == []
    await tenant.backend.preferences.SetPreferences(
        preferences_pb2.SetPreferencesRequest(
            user_id=USER_ID, preferences=[preferences_pb2.Preference(notification_id="new_order", delivery_option=OFF)]
        )
    )
    async with live.browser(tenant) as browser:
        muted = {"notification_id": "new_order", "delivery_option": "OFF"}
        assert (await browser.ask("get_preferences"))["preferences"] == [muted]
