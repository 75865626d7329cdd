"""The Python SDK, whose user hash is one of its own, and what Carillon then holds."""

from __future__ import annotations

from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from services.kernel.clock import utc_now
from tests.conformance.servers import effects
from tests.conformance.servers.sdk import init_python
from tests.conformance.servers.times import ago, iso, stamp

if TYPE_CHECKING:
    from tests.conformance.servers.sdk import Answer, Sdk
    from tests.contract.services.world import Caller
    from tests.e2e.stack import Stack

# The first time, packages are downloaded.
pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(600)]

Json = dict[str, Any]


async def test_send(python: Sdk, backend: Caller, user_id: str) -> None:
    """A send answers 200 with the id of the item that the user then has."""
    answer = await send(python, user_id)

    assert (answer.status, answer.data["messages"], answer.printed) == (200, [], [])
    (item,) = await effects.items(backend, user_id)
    assert (item.id, item.content.title) == (answer.data["trackingId"], "Hi")
    origin = (await effects.message(backend, item.id)).origin
    assert origin.protocol == "notificationapi"
    assert origin.user_agent.startswith("python-httpx/")


async def test_send_where_all_is_off(python: Sdk, backend: Caller, user_id: str) -> None:
    """A send that reaches nobody answers 202, and the SDK warns."""
    off = [{"notificationId": "inapp_only", "channel": "INAPP_WEB", "delivery": "off"}]
    assert (await python.call("set_user_preferences", {"userId": user_id, "userPreferences": off})).status == 200

    answer = await send(python, user_id)

    assert (answer.status, bool(answer.data["trackingId"]), bool(answer.data["messages"])) == (202, True, True)
    assert answer.printed[-1].startswith("NotificationAPI request ignored.")
    assert await effects.items(backend, user_id) == []


async def test_send_of_an_unknown_notification(python: Sdk, backend: Caller, user_id: str) -> None:
    """An unknown notification answers 404 with an error, which the SDK returns; nothing is stored."""
    answer = await python.call("send", {"type": "no_such_thing", "to": {"id": user_id}})

    check_refusal(answer, 404)
    assert await effects.profile(backend, user_id) is None


async def test_a_wrong_secret(python: Sdk, stack: Stack, backend: Caller, user_id: str) -> None:
    """With a wrong secret an account's call answers 401, and so does a user's, whose hash is made of it."""
    await init_python(python, stack, secret="wrong")
    try:
        sent = await send(python, user_id)
        identified = await python.call("identify_user", {"id": user_id, "email": "spongebob@squarepants.com"})
    finally:
        await init_python(python, stack)

    check_refusal(sent, 401)
    check_refusal(identified, 401)
    assert await effects.profile(backend, user_id) is None


async def test_a_base_url_with_a_slash(python: Sdk, stack: Stack, backend: Caller, user_id: str) -> None:
    """A base URL that ends in a slash works."""
    await init_python(python, stack, slash="/")
    try:
        assert (await send(python, user_id)).status == 200
        assert (await python.call("identify_user", {"id": user_id, "email": "slash@example.com"})).status == 200
    finally:
        await init_python(python, stack)

    stored = await effects.profile(backend, user_id)
    assert stored
    assert stored.email == "slash@example.com"


@pytest.mark.parametrize("name", ["a b", "a/b", "a+b", "ünï漢字", "a:b"])
async def test_identify_user(python: Sdk, backend: Caller, user_id: str, name: str) -> None:
    """In secure mode its hash, which is no HMAC, proves the user; whatever is in the id."""
    user_id = f"{user_id[:40]} {name}"
    answer = await python.call("identify_user", {"id": user_id, "email": "spongebob@squarepants.com"})

    assert (answer.status, answer.data["id"]) == (200, user_id), answer
    stored = await effects.profile(backend, user_id)
    assert stored
    assert stored.email == "spongebob@squarepants.com"


async def test_preferences(python: Sdk, backend: Caller, user_id: str) -> None:
    """Choices are set by the account and deleted by the user."""
    chosen = [
        {"notificationId": "order_tracking", "channel": "SMS", "delivery": "off"},
        {"notificationId": "order_tracking", "channel": "SMS", "state": False, "subNotificationId": "part"},
        {"notificationId": "new_order", "channel": "EMAIL", "delivery": "off"},
    ]
    assert (await python.call("set_user_preferences", {"userId": user_id, "userPreferences": chosen})).status == 200
    assert len(await effects.choices(backend, user_id)) == 3

    part = {"id": user_id, "notificationId": "order_tracking", "subNotificationId": "part"}
    assert (await python.call("delete_user_preferences", part)).status == 200
    assert await effects.choices(backend, user_id) == [
        ("new_order", "", "EMAIL", "OFF"),
        ("order_tracking", "", "SMS", "OFF"),
    ]
    whole = {"id": user_id, "notificationId": "order_tracking"}
    assert (await python.call("delete_user_preferences", whole)).status == 200
    assert await effects.choices(backend, user_id) == [("new_order", "", "EMAIL", "OFF")]


async def test_update_in_app_notification(python: Sdk, backend: Caller, user_id: str) -> None:
    """The user's marks and replies are on the item."""
    sent = await send(python, user_id)
    opened = ago(1)
    marks = {
        "trackingIds": [sent.data["trackingId"]],
        "opened": opened,
        "archived": ago(0),
        "reply": {"date": ago(0), "message": "On my way"},
    }

    assert (await python.call("update_in_app_notification", user_id, marks)).status == 200
    (item,) = await effects.items(backend, user_id)
    assert item.opened_time == stamp(opened)
    assert item.HasField("archive_time")
    assert [one.text for one in item.replies] == ["On my way"]


async def test_query_logs(python: Sdk, user_id: str) -> None:
    """A filter finds the send; one that cannot be applied is refused."""
    sent = await send(python, user_id)

    found = await python.call("query_logs", {"userFilter": [user_id], "channelFilter": ["INAPP_WEB"]})
    assert found.status == 200
    assert [entry["trackingId"] for entry in found.data["logs"]] == [sent.data["trackingId"]]
    check_refusal(await python.call("query_logs", {"customFilter": "fields @message"}), 400)


async def test_schedules(python: Sdk, backend: Caller, user_id: str) -> None:
    """A send for later is changed, then cancelled."""
    first, second = (utc_now().replace(microsecond=0) + timedelta(days=days) for days in (1, 2))
    tracking_id = (await send(python, user_id, schedule=iso(first))).data["trackingId"]
    assert await effects.items(backend, user_id) == []

    changes = {"tracking_id": tracking_id, "send_request": {"schedule": iso(second)}}
    assert (await python.call("update_schedule", changes)).status == 200
    assert (await effects.message(backend, tracking_id)).schedule_time.ToDatetime(UTC) == second
    assert (await python.call("delete_schedule", {"tracking_id": tracking_id})).status == 200
    assert await effects.deliveries(backend, tracking_id) == {"INAPP_WEB": "CANCELLED"}
    unknown = {"tracking_id": "01a205c4-ae44-7207-bbf0-9830ab48a444"}
    check_refusal(await python.call("delete_schedule", unknown), 404)


async def test_sub_notifications(python: Sdk, backend: Caller) -> None:
    """One is made and deleted; to delete it again is a 404."""
    names = {"notification_id": "inapp_only", "sub_notification_id": "python_part"}

    assert (await python.call("create_sub_notification", {**names, "title": "Part"})).status == 200
    assert (await effects.parts(backend, "inapp_only"))["python_part"] == "Part"
    assert (await python.call("delete_sub_notification", names)).status == 204
    assert "python_part" not in await effects.parts(backend, "inapp_only")
    check_refusal(await python.call("delete_sub_notification", names), 404)


async def test_retract(python: Sdk, backend: Caller, user_id: str) -> None:
    """What was sent is taken back."""
    await send(python, user_id)

    assert (await python.call("retract", {"notificationId": "inapp_only", "userId": user_id})).status == 200
    assert await effects.items(backend, user_id) == []


async def send(python: Sdk, user_id: str, **fields: object) -> Answer:
    """Sends an item."""
    body = {"type": "inapp_only", "to": {"id": user_id}, "parameters": {"text": "Hi"}} | fields
    return await python.call("send", body)


def check_refusal(answer: Answer, status: int) -> None:
    """The response that the SDK returned has this status, and an error that says what to do."""
    assert (answer.thrown, answer.status) == (None, status), answer
    error = answer.data["error"]
    assert all(error[name] and isinstance(error[name], str) for name in ("code", "message", "fix")), error
