"""What the Node SDK does for a user: profile, preferences, items."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.conformance.servers import effects
from tests.conformance.servers.node_calls import check_refusal, mark, send
from tests.conformance.servers.times import ago, stamp

if TYPE_CHECKING:
    from tests.conformance.servers.sdk import Sdk
    from tests.contract.services.world import Caller

# The first time, packages are downloaded.
pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(600)]

Json = dict[str, Any]

MARKS = ("opened", "clicked", "archived", "actioned1", "actioned2")


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
