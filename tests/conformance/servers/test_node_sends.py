"""Sends by the Node SDK, at once and for later, and their retraction."""

from __future__ import annotations

from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf import json_format

from services.kernel.clock import utc_now
from tests.conformance.servers import effects
from tests.conformance.servers.node_calls import check_refusal, mark, send
from tests.conformance.servers.sdk import init_node
from tests.conformance.servers.times import ago, iso

if TYPE_CHECKING:
    from tests.conformance.servers.sdk import Sdk
    from tests.contract.services.world import Caller
    from tests.e2e.stack import Stack

# The first time, packages are downloaded.
pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(600)]

Json = dict[str, Any]

ITEM = {"item": "Krabby Patty Burger", "address": "124 Conch Street", "orderId": "1234567890"}


# --- send ---


@pytest.mark.parametrize(
    ("notification", "recipient", "values"),
    [
        ("notificationId", "user", "mergeTags"),
        ("type", "to", "parameters"),
        ("type", "user", "parameters"),
        ("notificationId", "to", "mergeTags"),
    ],
)
async def test_send(node: Sdk, backend: Caller, user_id: str, notification: str, recipient: str, values: str) -> None:
    """A send in the names of any year answers 200 with the id of the item that the user then has."""
    answer = await node.call("send", {notification: "inapp_only", recipient: {"id": user_id}, values: {"text": "Hi"}})

    assert (answer.status, answer.data["messages"], answer.printed) == (200, [], [])
    (item,) = await effects.items(backend, user_id)
    assert (item.id, item.content.title) == (answer.data["trackingId"], "Hi")


async def test_send_says_who_sent(node: Sdk, backend: Caller, user_id: str) -> None:
    """The log knows the SDK that has sent, and that it spoke NotificationAPI's language."""
    answer = await send(node, user_id)

    origin = (await effects.message(backend, answer.data["trackingId"])).origin
    assert (origin.protocol, origin.user_agent) == ("notificationapi", "notificationapi-node-server-sdk/2.8.0")


async def test_send_to_addresses(node: Sdk, backend: Caller, user_id: str) -> None:
    """What the send says of the user is used, and stored where nothing was known."""
    to = {"id": user_id, "email": "spongebob@squarepants.com", "number": "(415) 555-1212", "timezone": "Europe/Berlin"}
    answer = await node.call("send", {"type": "order_tracking", "to": to, "parameters": ITEM})

    assert answer.status == 202
    assert (
        "WEB_PUSH delivery is activated, but the user's webPushTokens is not provided. Discarding WEB_PUSH."
        in (answer.data["messages"])
    )
    states = await effects.deliveries(backend, answer.data["trackingId"])
    assert {channel: states[channel] for channel in ("EMAIL", "SMS", "INAPP_WEB")} == {
        "EMAIL": "PENDING",
        "SMS": "PENDING",
        "INAPP_WEB": "DELIVERED",
    }
    stored = await effects.profile(backend, user_id)
    assert stored
    assert (stored.email, stored.number, stored.timezone) == (to["email"], "+14155551212", "Europe/Berlin")


async def test_send_inline_content(node: Sdk, backend: Caller, user_id: str) -> None:
    """Content in the send needs neither a template nor a definition."""
    answer = await node.call(
        "send",
        {
            "type": f"inline_{len(user_id)}",
            "to": {"id": user_id, "email": "spongebob@squarepants.com", "number": "+15005550006"},
            "inapp": {
                "title": "Inline {{ item }}",
                "url": "https://example.com/a",
                "image": "https://example.com/i.png",
            },
            "email": {
                "subject": "Subject",
                "html": "<p>Mail</p>",
                "previewText": "Preview",
                "senderName": "Bob",
                "senderEmail": "bob@example.com",
            },
            "sms": {"message": "Text"},
            "call": {"message": "Hello"},
            "web_push": {"title": "Push", "message": "Browser", "icon": "https://example.com/p.png", "url": "/x"},
            "mobile_push": {"title": "Push", "message": "Phone"},
            "parameters": {"item": "one"},
        },
    )

    assert answer.status == 202, answer
    (item,) = await effects.items(backend, user_id)
    assert (item.content.title, item.content.url, item.content.image_url) == (
        "Inline one",
        "https://example.com/a",
        "https://example.com/i.png",
    )
    logged = await effects.message(backend, answer.data["trackingId"])
    contents = json_format.MessageToDict(logged, preserving_proto_field_name=True)["deliveries"]
    by_channel = {one["channel"].removeprefix("CHANNEL_"): one.get("content") for one in contents}
    assert by_channel["EMAIL"]["email"].items() >= {"subject": "Subject", "html": "<p>Mail</p>"}.items()
    assert by_channel["SMS"] == {"sms": {"text": "Text"}}


async def test_send_options(node: Sdk, backend: Caller, user_id: str) -> None:
    """Every option arrives, in our words."""
    answer = await node.call(
        "send",
        {
            "notificationId": "order_tracking",
            "user": {"id": user_id, "email": "spongebob@squarepants.com"},
            "mergeTags": ITEM,
            "replace": {"Burger": "Sandwich"},
            "forceChannels": ["INAPP_WEB", "EMAIL"],
            "templateId": "christmas",
            "subNotificationId": "restaurant_1",
            "secondaryId": "second",
            "options": {
                "email": {
                    "replyToAddresses": ["reply@example.com"],
                    "ccAddresses": ["cc@example.com"],
                    "bccAddresses": ["bcc@example.com"],
                    "fromName": "Bob",
                    "fromAddress": "bob@example.com",
                    "attachments": [
                        {
                            "filename": "menu.txt",
                            "content": "TWVudQ==",
                            "contentType": "text/plain",
                        },
                        {"filename": "map.png", "url": "https://example.com/map.png"},
                    ],
                },
                "apn": {
                    "expiry": 2_000_000_000,
                    "priority": 5,
                    "collapseId": "c",
                    "threadId": "t",
                    "badge": 0,
                    "sound": "ping",
                    "contentAvailable": True,
                },
                "fcm": {
                    "android": {
                        "collapseKey": "k",
                        "priority": "high",
                        "ttl": 60,
                        "restrictedPackageName": "com.example.app",
                    }
                },
            },
        },
    )

    assert answer.status == 200, answer
    assert all("christmas" in message for message in answer.data["messages"])
    assert await effects.titles(backend, user_id) == ["Your Krabby Patty Sandwich is on its way"]
    sent = await effects.request(backend, answer.data["trackingId"])
    assert (sent["template_id"], sent["sub_notification_id"], sent["secondary_id"]) == (
        "christmas",
        "restaurant_1",
        "second",
    )
    assert sent["force_channels"] == ["CHANNEL_INAPP_WEB", "CHANNEL_EMAIL"]
    options = sent["options"]
    attachments = options["email"].pop("attachments")
    assert [one["filename"] for one in attachments] == ["menu.txt", "map.png"]
    assert attachments[1]["url"] == "https://example.com/map.png"
    assert options == {
        "email": {
            "reply_to_addresses": ["reply@example.com"],
            "cc_addresses": ["cc@example.com"],
            "bcc_addresses": ["bcc@example.com"],
            "from_name": "Bob",
            "from_address": "bob@example.com",
        },
        "apn": {
            "expire_time": "2033-05-18T03:33:20Z",
            "priority": 5,
            "collapse_id": "c",
            "thread_id": "t",
            "badge": 0,
            "sound": "ping",
            "content_available": True,
        },
        "fcm": {
            "android": {
                "collapse_key": "k",
                "priority": "FCM_ANDROID_PRIORITY_HIGH",
                "ttl": "60s",
                "restricted_package_name": "com.example.app",
            }
        },
    }


async def test_send_keeps_what_it_does_not_know(node: Sdk, backend: Caller, user_id: str) -> None:
    """A field that Carillon has nothing for does no harm, and is in the log."""
    answer = await node.call(
        "send",
        {"type": "inapp_only", "to": {"id": user_id}, "parameters": {"text": "Hi"}, "slack": {"text": "Hi"}},
    )

    assert (answer.status, answer.data["messages"]) == (202, ["SLACK delivery is not supported. Discarding SLACK."])
    assert (await effects.request(backend, answer.data["trackingId"]))["extra"]["slack"] == {"text": "Hi"}


async def test_send_where_all_is_off(node: Sdk, backend: Caller, user_id: str) -> None:
    """A send that reaches nobody is not thrown: it answers 202, says why, and the SDK warns."""
    off = [{"notificationId": "inapp_only", "channel": "INAPP_WEB", "delivery": "off"}]
    assert (await node.call("setUserPreferences", user_id, off)).status == 200

    answer = await send(node, user_id)

    assert (answer.status, answer.thrown) == (202, None)
    assert answer.data["trackingId"]
    assert answer.data["messages"]
    assert answer.printed[0].startswith("NotificationAPI warning.")
    assert await effects.items(backend, user_id) == []
    assert await effects.deliveries(backend, answer.data["trackingId"]) == {"INAPP_WEB": "PREFERENCE_OFF"}


async def test_send_with_a_wrong_secret(node: Sdk, stack: Stack, backend: Caller, user_id: str) -> None:
    """A wrong secret rejects the promise, with a response that says 401."""
    await init_node(node, stack, secret="wrong")
    try:
        answer = await send(node, user_id)
    finally:
        await init_node(node, stack)

    check_refusal(answer, 401)
    assert await effects.profile(backend, user_id) is None


async def test_send_of_an_unknown_notification(node: Sdk, backend: Caller, user_id: str) -> None:
    """An unknown notification rejects with 404 and an error in JSON that names it; nothing is stored."""
    answer = await node.call("send", {"type": "no_such_thing", "to": {"id": user_id}})

    check_refusal(answer, 404)
    assert "no_such_thing" in answer.data["error"]["message"]
    assert await effects.profile(backend, user_id) is None


@pytest.mark.parametrize(
    "fields",
    [
        {"to": None},
        {"to": [{"id": "a"}, {"id": "b"}]},
        {"to": {"id": 7}},
        {"type": None},
        {"parameters": "text"},
        {"schedule": "tomorrow"},
        {"forceChannels": ["PIGEON"]},
        {"options": {"email": {"ccAddresses": "cc@example.com"}}},
    ],
    ids=str,
)
async def test_send_of_what_is_none(node: Sdk, backend: Caller, user_id: str, fields: Json) -> None:
    """A send that cannot be read rejects with 400, and nothing is stored."""
    answer = await node.call(
        "send", {"type": "inapp_only", "to": {"id": user_id}, "parameters": {"text": "Hi"}} | fields
    )

    check_refusal(answer, 400)
    assert await effects.profile(backend, user_id) is None


async def test_a_base_url_with_a_slash(node: Sdk, stack: Stack, backend: Caller, user_id: str) -> None:
    """A base URL that ends in a slash works for every kind of call."""
    await init_node(node, stack, slash="/")
    try:
        sent = await send(node, user_id)
        identified = await node.call("identifyUser", {"id": user_id, "email": "slash@example.com"})
        marked = await mark(node, user_id, sent, opened=ago(0))
    finally:
        await init_node(node, stack)

    assert (sent.status, identified.status, marked.status) == (200, 200, 200)
    (item,) = await effects.items(backend, user_id)
    assert not item.unread


# --- retract ---


async def test_retract(node: Sdk, backend: Caller, user_id: str) -> None:
    """What is named is taken back, and nothing else; nothing to take back is fine."""
    for part in ("one", "two", "two", "three"):
        sent = await node.call(
            "send",
            {"type": "inapp_only", "to": {"id": user_id}, "parameters": {"text": part}, "subNotificationId": part},
        )
        assert sent.status == 200
    await node.call("send", {"type": "hello_world", "to": {"id": user_id}, "parameters": {"firstName": "Bob"}})

    narrowed = {"notificationId": "inapp_only", "userId": user_id, "subNotificationId": "two"}
    assert (await node.call("retract", narrowed)).status == 200
    assert await effects.titles(backend, user_id) == ["Hello, Bob!", "three", "one"]
    older = {"notificationId": "inapp_only", "userId": user_id, "secondaryId": "one"}
    assert (await node.call("retract", older)).status == 200
    assert await effects.titles(backend, user_id) == ["Hello, Bob!", "three"]
    whole = {"notificationId": "inapp_only", "userId": user_id}
    assert (await node.call("retract", whole)).status == 200
    assert await effects.titles(backend, user_id) == ["Hello, Bob!"]
    assert (await node.call("retract", whole)).status == 200


async def test_retract_of_nobody(node: Sdk) -> None:
    """A retraction that names no user is refused."""
    check_refusal(await node.call("retract", {"notificationId": "inapp_only"}), 400)


# --- Schedules ---


async def test_schedules(node: Sdk, backend: Caller, user_id: str) -> None:
    """A send for later shows nothing yet, can be changed, and can be cancelled, after which there is none to change."""
    first, second = (utc_now().replace(microsecond=0) + timedelta(days=days) for days in (1, 2))
    sent = await send(node, user_id, schedule=iso(first))
    tracking_id = sent.data["trackingId"]
    assert sent.status == 200
    assert (await effects.message(backend, tracking_id)).schedule_time.ToDatetime(UTC) == first
    assert await effects.items(backend, user_id) == []

    changes = {"schedule": iso(second), "parameters": {"text": "Later"}}
    assert (await node.call("updateSchedule", tracking_id, changes)).status == 200
    logged = await effects.message(backend, tracking_id)
    assert logged.schedule_time.ToDatetime(UTC) == second
    assert logged.request.merge_tags["text"] == "Later"

    assert (await node.call("deleteSchedule", tracking_id)).status == 200
    assert await effects.deliveries(backend, tracking_id) == {"INAPP_WEB": "CANCELLED"}
    assert (await node.call("updateSchedule", tracking_id, {"schedule": iso(first)})).thrown


async def test_schedules_that_are_none(node: Sdk, user_id: str) -> None:
    """An unknown id is a 404, a time that is none a 400."""
    unknown = "01a205c4-ae44-7207-bbf0-9830ab48a444"
    check_refusal(await node.call("updateSchedule", unknown, {"schedule": iso(utc_now() + timedelta(days=1))}), 404)
    check_refusal(await node.call("deleteSchedule", unknown), 404)

    sent = await send(node, user_id, schedule=iso(utc_now() + timedelta(days=1)))
    check_refusal(await node.call("updateSchedule", sent.data["trackingId"], {"schedule": "tomorrow"}), 400)
