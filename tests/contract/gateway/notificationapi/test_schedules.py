"""Sends that wait, changed and cancelled over NotificationAPI's interface."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from services.kernel.clock import new_id
from tests.contract.gateway.notificationapi.backend import TAGS, USER, fields_of
from tests.contract.services.requests import INAPP_WEB, SMS, definition, inapp, sms

if TYPE_CHECKING:
    from tests.contract.gateway.notificationapi.backend import Backend

pytestmark = pytest.mark.asyncio(loop_scope="session")

TIME = (datetime.now(UTC) + timedelta(days=2)).isoformat()


async def scheduled(backend: Backend, **fields: Any) -> str:
    """Sends for later, and gives the tracking id."""
    await backend.tenant.put(definition("note", inapp("Hello {{ item }}"), sms(), channels=[INAPP_WEB, SMS]))
    return str((await backend.send(notificationId="note", schedule=TIME, **fields))["trackingId"])


async def test_only_what_is_given_changes(backend: Backend) -> None:
    """Merge tags are replaced whole, a user's field alone, content channel by channel; the time stays."""
    tracking_id = await scheduled(backend, sms={"message": "one"}, inapp={"title": "one"})
    await backend.done(
        "PATCH",
        f"schedule/{tracking_id}",
        {"parameters": {"item": "Pizza"}, "to": {"email": "new@example.com"}, "sms": {"message": "two"}},
    )
    message = await backend.message(tracking_id)
    request = message.request
    assert dict(request.merge_tags) == {"item": "Pizza"}
    assert (request.user.id, request.user.email, request.user.number) == (USER["id"], "new@example.com", USER["number"])
    assert (request.content.sms.text, request.content.inapp.title) == ("two", "one")
    assert message.schedule_time.ToDatetime(UTC) - datetime.fromisoformat(TIME) < timedelta(milliseconds=1)


async def test_python_and_node_say_it_alike(backend: Backend) -> None:
    """The whole send again with another time is fine, as the same notification and user are no change."""
    tracking_id = await scheduled(backend)
    body = {"notificationId": "note", "user": USER, "mergeTags": TAGS, "schedule": "2027-03-01T10:00:00Z"}
    answer = await backend.done("PATCH", f"schedule/{tracking_id}", body)
    assert answer == {
        "message": "The notification is scheduled for 2027-03-01T10:00:00Z.",
        "trackingId": tracking_id,
        "messages": [],
    }


async def test_a_change_is_warned_about_as_a_send_is(backend: Backend) -> None:
    """With the names of this call."""
    tracking_id = await scheduled(backend)
    answer = await backend.done("PUT", f"schedule/{tracking_id}", {"mergeTags": {}, "user": {"timezone": "Mars"}})
    assert [message.partition(" ")[0] for message in answer["messages"]] == ["user.timezone", "mergeTags.item:"]


async def test_a_schedule_is_cancelled_and_twice_is_once(backend: Backend) -> None:
    """Nothing of it comes any more."""
    tracking_id = await scheduled(backend)
    for _ in range(2):
        assert (await backend.done("DELETE", f"schedule/{tracking_id}"))["message"]
    error = await backend.refused(409, "PATCH", f"schedule/{tracking_id}", {"schedule": TIME})
    assert error["code"] == "NOT_SCHEDULED"
    assert "cancelled" in error["message"]


async def test_what_is_wrong_is_refused_and_changes_nothing(backend: Backend) -> None:
    """Other users and notifications, no time, nothing: named as the caller wrote it, wrapped or not."""
    tracking_id = await scheduled(backend)
    before = (await backend.message(tracking_id)).request
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"to": {"id": "ben"}, "schedule": TIME}, "to.id"),
        ({"notificationId": "order_tracking", "schedule": TIME}, "notificationId"),
        ({"schedule": "soon"}, "schedule"),
        ({"schedule": "2999-01-01"}, "schedule"),
        ({"forceChannels": ["FAX"]}, "forceChannels[0]"),
        ({"sms": {"message": "{{ unclosed"}}, "sms.message"),
        ({}, "body"),
        ({"schedule": None}, "body"),
    ]
    for body, field in wrong:
        for wrapped in (body, {"sendRequest": body}):
            error = await backend.refused(400, "PATCH", f"schedule/{tracking_id}", wrapped)
            assert field in fields_of(error), error
    assert (await backend.message(tracking_id)).request == before


async def test_what_is_not_scheduled_is_refused_by_what_it_is(backend: Backend) -> None:
    """404 where nobody knows it, 409 where it was sent already; another environment's is unknown."""
    await backend.tenant.put(definition("note", inapp("Hello {{ item }}")))
    sent = (await backend.send(notificationId="note"))["trackingId"]
    for tracking_id, status, code in (
        (new_id(), 404, "SCHEDULE_RESOURCE_NOT_FOUND"),
        ("x", 404, "SCHEDULE_RESOURCE_NOT_FOUND"),
        ("a%20b%C3%A9", 404, "SCHEDULE_RESOURCE_NOT_FOUND"),
        (sent, 409, "NOT_SCHEDULED"),
    ):
        for method, body in (("PATCH", {"schedule": TIME}), ("PUT", {"schedule": TIME}), ("DELETE", None)):
            assert (await backend.refused(status, method, f"schedule/{tracking_id}", body))["code"] == code
    error = await backend.refused(400, "DELETE", f"schedule/{'x' * 200}")
    assert fields_of(error) == {"trackingId"}
