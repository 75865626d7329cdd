"""The Node SDK, every function of it, and what Carillon then holds."""

from __future__ import annotations

from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf import json_format

from services.kernel.clock import utc_now
from tests.conformance.servers import effects
from tests.conformance.servers.sdk import init_node
from tests.conformance.servers.times import ago, iso, stamp

if TYPE_CHECKING:
    from tests.conformance.servers.sdk import Answer, Sdk
    from tests.contract.services.world import Caller
    from tests.e2e.stack import Stack

# The first time, packages are downloaded.
pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(600)]

Json = dict[str, Any]

ITEM = {"item": "Krabby Patty Burger", "address": "124 Conch Street", "orderId": "1234567890"}
TITLE = "Your Krabby Patty Burger is on its way"
MARKS = ("opened", "clicked", "archived", "actioned1", "actioned2")


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

    assert answer.status in (200, 202), answer
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

    assert answer.status in (200, 202), answer
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

    assert answer.status in (200, 202)
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
    for part in ("one", "two", "two"):
        sent = await node.call(
            "send",
            {"type": "inapp_only", "to": {"id": user_id}, "parameters": {"text": part}, "subNotificationId": part},
        )
        assert sent.status == 200
    await node.call("send", {"type": "hello_world", "to": {"id": user_id}, "parameters": {"firstName": "Bob"}})

    narrowed = {"notificationId": "inapp_only", "userId": user_id, "subNotificationId": "two"}
    assert (await node.call("retract", narrowed)).status == 200
    assert await effects.titles(backend, user_id) == ["Hello, Bob!", "one"]
    older = {"notificationId": "inapp_only", "userId": user_id, "secondaryId": "one"}
    assert (await node.call("retract", older)).status == 200
    assert await effects.titles(backend, user_id) == ["Hello, Bob!"]
    whole = {"notificationId": "hello_world", "userId": user_id}
    assert (await node.call("retract", whole)).status == 200
    assert await effects.titles(backend, user_id) == []
    assert (await node.call("retract", whole)).status == 200


async def test_retract_of_nobody(node: Sdk) -> None:
    """A retraction that names no user is refused."""
    check_refusal(await node.call("retract", {"notificationId": "inapp_only"}), 400)


# --- Sub-notifications ---


async def test_sub_notifications(node: Sdk, backend: Caller) -> None:
    """One is made, renamed and deleted; to delete it again is a 404."""
    names = {"notificationId": "inapp_only", "subNotificationId": "node_part"}

    made = await node.call("createSubNotification", {**names, "title": "Part"})
    assert (made.status, made.data["subNotificationId"], made.data["title"]) == (200, "node_part", "Part")
    assert (await node.call("createSubNotification", {**names, "title": "Renamed"})).status == 200
    assert (await effects.parts(backend, "inapp_only"))["node_part"] == "Renamed"

    assert (await node.call("deleteSubNotification", names)).status == 204
    assert "node_part" not in await effects.parts(backend, "inapp_only")
    check_refusal(await node.call("deleteSubNotification", names), 404)


async def test_sub_notification_of_nothing(node: Sdk) -> None:
    """A sub-notification needs a notification, and a title."""
    names = {"notificationId": "no_such_thing", "subNotificationId": "part"}
    check_refusal(await node.call("createSubNotification", {**names, "title": "Part"}), 404)
    check_refusal(await node.call("createSubNotification", {**names, "notificationId": "inapp_only", "title": 7}), 400)


# --- Preferences ---


async def test_set_user_preferences(node: Sdk, backend: Caller, user_id: str) -> None:
    """Deliveries, older states, all channels at once and parts are choices, and replace what was chosen before."""
    first = [{"notificationId": "hello_world", "channel": "EMAIL", "delivery": "off"}]
    assert (await node.call("setUserPreferences", user_id, first)).status == 200
    answer = await node.call(
        "setUserPreferences",
        user_id,
        [
            {"notificationId": "new_order", "channel": "INAPP_WEB", "delivery": "off"},
            {"notificationId": "new_order", "channel": "EMAIL", "delivery": "instant"},
            {"notificationId": "order_tracking", "channel": "SMS", "state": False},
            {"notificationId": "inapp_only", "delivery": "off"},
            {"notificationId": "order_tracking", "channel": "PUSH", "delivery": "off", "subNotificationId": "part"},
        ],
    )

    assert answer.status == 200, answer
    assert set(await effects.choices(backend, user_id)) == {
        ("new_order", "", "INAPP_WEB", "OFF"),
        ("new_order", "", "EMAIL", "INSTANT"),
        ("order_tracking", "", "SMS", "OFF"),
        ("inapp_only", "", "UNSPECIFIED", "OFF"),
        ("order_tracking", "part", "PUSH", "OFF"),
    }


@pytest.mark.parametrize(
    ("preference", "status"),
    [
        ({"notificationId": "no_such_thing", "channel": "EMAIL", "delivery": "off"}, (400, 404)),
        ({"notificationId": "inapp_only", "channel": "PIGEON", "delivery": "off"}, (400,)),
        ({"notificationId": "inapp_only", "channel": "INAPP_WEB", "delivery": "sometimes"}, (400,)),
        ({"channel": "INAPP_WEB", "delivery": "off"}, (400,)),
    ],
    ids=str,
)
async def test_set_preferences_that_are_none(
    node: Sdk, backend: Caller, user_id: str, preference: Json, status: tuple[int, ...]
) -> None:
    """A preference that cannot be is refused, and none of the list is stored."""
    good = {"notificationId": "inapp_only", "channel": "INAPP_WEB", "delivery": "off"}
    answer = await node.call("setUserPreferences", user_id, [good, preference])

    assert answer.status in status
    check_refusal(answer, answer.status)
    assert await effects.choices(backend, user_id) == []


async def test_delete_user_preferences(node: Sdk, backend: Caller, user_id: str) -> None:
    """The choices of a part go alone, those of a notification by its name; the user's other choices stay."""
    chosen = [
        {"notificationId": "order_tracking", "channel": "SMS", "delivery": "off"},
        {"notificationId": "order_tracking", "channel": "SMS", "delivery": "off", "subNotificationId": "part"},
        {"notificationId": "new_order", "channel": "EMAIL", "delivery": "off"},
    ]
    assert (await node.call("setUserPreferences", user_id, chosen)).status == 200

    assert (await node.call("deleteUserPreferences", user_id, "order_tracking", "part")).status == 200
    assert await effects.choices(backend, user_id) == [
        ("new_order", "", "EMAIL", "OFF"),
        ("order_tracking", "", "SMS", "OFF"),
    ]
    assert (await node.call("deleteUserPreferences", user_id, "order_tracking")).status == 200
    assert await effects.choices(backend, user_id) == [("new_order", "", "EMAIL", "OFF")]


@pytest.mark.parametrize("name", ["a b", "a/b", "a+b", "ünï漢字"])
async def test_preferences_of_any_user(node: Sdk, backend: Caller, user_id: str, name: str) -> None:
    """Ids that the SDK puts into the path as they are reach the user that they name, known or not."""
    user_id = f"{user_id[:40]} {name}"
    off = [{"notificationId": "inapp_only", "channel": "INAPP_WEB", "delivery": "off"}]

    assert (await node.call("setUserPreferences", user_id, off)).status == 200
    assert await effects.choices(backend, user_id) == [("inapp_only", "", "INAPP_WEB", "OFF")]
    assert (await node.call("deleteUserPreferences", user_id, "inapp_only")).status == 200
    assert await effects.choices(backend, user_id) == []
    sent = await send(node, user_id)
    assert (await mark(node, user_id, sent, opened=ago(0))).status == 200
    (item,) = await effects.items(backend, user_id)
    assert not item.unread


# --- Users ---


@pytest.mark.parametrize("name", ["a b", "a/b", "a+b", "a:b", "ünï漢字", "a%20b", "a?b#c"])
async def test_identify_user(node: Sdk, backend: Caller, user_id: str, name: str) -> None:
    """A user is stored under their id, whatever is in it, and answered."""
    user_id = f"{user_id[:40]} {name}"
    answer = await node.call(
        "identifyUser",
        {
            "id": user_id,
            "email": "spongebob@squarepants.com",
            "number": "+15005550006",
            "timezone": "America/New_York",
            "pushTokens": [{"type": "FCM", "token": f"token of {user_id}", "device": {"device_id": "1"}}],
        },
    )

    assert answer.status == 200, answer
    assert (answer.data["id"], answer.data["email"]) == (user_id, "spongebob@squarepants.com")
    stored = await effects.profile(backend, user_id)
    assert stored
    assert (stored.email, stored.number, stored.timezone) == (
        "spongebob@squarepants.com",
        "+15005550006",
        "America/New_York",
    )
    assert [one.token for one in stored.push_tokens] == [f"token of {user_id}"]


async def test_identify_user_again(node: Sdk, backend: Caller, user_id: str) -> None:
    """What is not named stays as it was."""
    await node.call("identifyUser", {"id": user_id, "email": "spongebob@squarepants.com"})
    assert (await node.call("identifyUser", {"id": user_id, "number": "+15005550006"})).status == 200

    stored = await effects.profile(backend, user_id)
    assert stored
    assert (stored.email, stored.number) == ("spongebob@squarepants.com", "+15005550006")


@pytest.mark.parametrize(
    "fields",
    [
        {"email": "no address"},
        {"number": "12"},
        {"timezone": "Mars/Olympus"},
        {"email": 7},
        {"pushTokens": [{"type": "PIGEON", "token": "t"}]},
        {"webPushTokens": [{"sub": {"endpoint": "https://example.com"}}]},
    ],
    ids=str,
)
async def test_identify_user_as_nobody(node: Sdk, backend: Caller, user_id: str, fields: Json) -> None:
    """A profile that cannot be is refused, and nothing is stored."""
    check_refusal(await node.call("identifyUser", {"id": user_id} | fields), 400)
    assert await effects.profile(backend, user_id) is None


# --- Items ---


async def test_update_in_app_notification(node: Sdk, backend: Caller, user_id: str) -> None:
    """Every mark is set at the time that is given, taken off by null, and replies are kept."""
    sent = await send(node, user_id)
    times = {name: ago(minutes) for minutes, name in enumerate(MARKS, start=1)}

    answer = await mark(node, user_id, sent, **times, reply={"date": ago(7), "message": "On my way"})

    assert answer.status == 200, answer
    (item,) = await effects.items(backend, user_id)
    assert {
        "opened": item.opened_time,
        "clicked": item.clicked_time,
        "archived": item.archive_time,
        "actioned1": item.first_action_time,
        "actioned2": item.second_action_time,
    } == {name: stamp(text) for name, text in times.items()}
    assert [one.text for one in item.replies] == ["On my way"]
    assert not item.unread

    assert (await mark(node, user_id, sent, archived=None)).status == 200
    (item,) = await effects.items(backend, user_id)
    assert not item.HasField("archive_time")
    assert item.HasField("clicked_time")
    assert (await mark(node, user_id, sent, opened=None)).status == 200
    (item,) = await effects.items(backend, user_id)
    assert item.unread


async def test_update_in_app_notification_of_somebody_else(node: Sdk, backend: Caller, user_id: str) -> None:
    """A user's call marks nothing of another user."""
    sent = await send(node, user_id)

    assert (await mark(node, f"{user_id} other", sent, opened=ago(0))).status == 200
    (item,) = await effects.items(backend, user_id)
    assert item.unread


@pytest.mark.parametrize(
    "fields",
    [{"trackingIds": "one"}, {"trackingIds": None}, {"opened": "yesterday"}, {"reply": {"message": 7}}],
    ids=str,
)
async def test_update_in_app_notification_with_what_is_none(
    node: Sdk, backend: Caller, user_id: str, fields: Json
) -> None:
    """A mark that cannot be read is refused, and nothing is marked."""
    sent = await send(node, user_id)
    body = {"trackingIds": [sent.data["trackingId"]], "opened": ago(0)} | fields

    check_refusal(await node.call("updateInAppNotification", user_id, body), 400)
    (item,) = await effects.items(backend, user_id)
    assert item.unread


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


# --- The log ---


async def test_query_logs(node: Sdk, user_id: str) -> None:
    """Each filter finds the send that it is about, and not the other one."""
    one, other = [(await send(node, name)).data["trackingId"] for name in (user_id, f"{user_id} other")]
    now_ms = round(utc_now().timestamp() * 1000)
    mine: Json = {"userFilter": [user_id]}

    for query, found in (
        (mine, True),
        ({"trackingIds": [one]}, True),
        ({"trackingIds": [other]}, False),
        ({**mine, "notificationFilter": ["inapp_only"]}, True),
        ({**mine, "notificationFilter": ["hello_world"]}, False),
        ({**mine, "channelFilter": ["INAPP_WEB"]}, True),
        ({**mine, "channelFilter": ["EMAIL"]}, False),
        ({**mine, "dateRangeFilter": {"startTime": now_ms - 600_000, "endTime": now_ms + 600_000}}, True),
        ({**mine, "dateRangeFilter": {"endTime": now_ms - 600_000}}, False),
        ({**mine, "statusFilter": ["SUCCESS"]}, True),
        ({**mine, "statusFilter": ["FAILURE"]}, False),
    ):
        answer = await node.call("queryLogs", query)
        assert answer.status == 200, answer
        ids = [entry["trackingId"] for entry in answer.data["logs"]]
        assert ids == ([one] if found else ([other] if query == {"trackingIds": [other]} else [])), query


@pytest.mark.parametrize(
    "query",
    [
        {"customFilter": "fields @message | filter request.user.email like /com/ | sort @timestamp desc"},
        {"requestFilter": ['request.mergeTags.item="Krabby Patty Burger"']},
        {"channelFilter": ["PIGEON"]},
        {"userFilter": "one"},
        {"dateRangeFilter": {"startTime": "yesterday"}},
    ],
    ids=str,
)
async def test_query_logs_for_what_it_cannot_tell(node: Sdk, query: Json) -> None:
    """A filter that is not applied is refused, never left out."""
    check_refusal(await node.call("queryLogs", query), 400)


async def send(node: Sdk, user_id: str, **fields: object) -> Answer:
    """Sends an item."""
    return await node.call(
        "send", {"type": "inapp_only", "to": {"id": user_id}, "parameters": {"text": "Hi"}, **fields}
    )


async def mark(node: Sdk, user_id: str, sent: Answer, **marks: object) -> Answer:
    """Marks the item of a send."""
    return await node.call("updateInAppNotification", user_id, {"trackingIds": [sent.data["trackingId"]], **marks})


def check_refusal(answer: Answer, status: int | None) -> None:
    """The promise was rejected, with this status and an error that says what to do."""
    assert answer.thrown, answer
    assert answer.status == status, answer
    error = answer.data["error"]
    assert all(error[name] and isinstance(error[name], str) for name in ("code", "message", "fix")), error
