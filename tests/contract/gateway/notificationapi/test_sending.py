"""Sends and retractions over NotificationAPI's interface: what is delivered, answered, refused and never stored."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import TYPE_CHECKING, Any

import pytest

from carillon.v1 import channel_pb2, notifications_pb2
from services.kernel.auth import user_hash
from tests.contract.gateway.notificationapi.backend import SEND, TAGS, USER, fields_of
from tests.contract.gateway.notificationapi.world import basic
from tests.contract.services.requests import EMAIL, INAPP_WEB, OFF, SMS, definition, inapp, sms

if TYPE_CHECKING:
    from tests.contract.gateway.notificationapi.backend import Backend

pytestmark = pytest.mark.asyncio(loop_scope="session")

USER_ID = USER["id"]


async def test_the_seeds_example_reaches_the_inbox(backend: Backend) -> None:
    """The item is there with the answer, under the tracking id."""
    answer = await backend.send(status=202)
    (item,) = await backend.tenant.items(USER_ID)
    assert (item.id, item.content.title) == (answer["trackingId"], "Your Krabby Patty Burger is on its way")
    assert answer["messages"] == [
        "PUSH delivery is activated, but the user's pushTokens is not provided. Discarding PUSH.",
        "WEB_PUSH delivery is activated, but the user's webPushTokens is not provided. Discarding WEB_PUSH.",
    ]


async def test_the_log_knows_who_called(backend: Backend) -> None:
    """Protocol and User-Agent are recorded with the message."""
    headers = {"User-Agent": "notificationapi-node-server-sdk/2.8.0"}
    response = await backend.call("POST", "sender", json=SEND, headers=headers)
    origin = (await backend.message(response.json()["trackingId"])).origin
    assert (origin.protocol, origin.user_agent) == ("notificationapi", "notificationapi-node-server-sdk/2.8.0")


async def test_a_retraction_takes_the_item_back(backend: Backend) -> None:
    """By notification and user, narrowed by either part; nothing there is 200 as well."""
    await backend.send(status=202, subNotificationId="eu")
    await backend.send(status=202, secondaryId="us")
    ids = {"notificationId": "order_tracking", "userId": USER_ID}
    for narrowed, left in (({"subNotificationId": "asia"}, 2), ({"subNotificationId": "eu"}, 1), ({}, 0), ({}, 0)):
        await backend.done("POST", "sender/retract", ids | narrowed)
        assert len(await backend.tenant.items(USER_ID)) == left
    error = await backend.refused(400, "POST", "sender/retract", {"userId": USER_ID})
    assert fields_of(error) == {"notificationId"}
    error = await backend.refused(400, "POST", "sender/retract", ids | {"userId": ""})
    assert fields_of(error) == {"userId"}


async def test_content_of_a_send_needs_no_template(backend: Backend) -> None:
    """Inline content stands in for the template of its channel, merge tags included."""
    await backend.tenant.put(definition("note", inapp("From the template")))
    answer = await backend.send(notificationId="note", inapp={"title": "Hello {{ item }}", "url": "/x", "image": "/i"})
    (item,) = await backend.tenant.items(USER_ID)
    assert (item.content.title, item.content.url, item.content.image_url) == ("Hello Krabby Patty Burger", "/x", "/i")
    assert answer["messages"] == []


async def test_an_unknown_notification_with_content_is_created(backend: Backend) -> None:
    """With every channel, so that each can be sent to from then on; those without content are not told."""
    answer = await backend.send(type="brand_new", notificationId=None, inapp={"title": "Hi"}, sms={"message": "Hi"})
    assert answer["messages"] == []
    assert [item.content.title for item in await backend.tenant.items(USER_ID)] == ["Hi"]
    asked = notifications_pb2.GetNotificationRequest(notification_id="brand_new")
    made = (await backend.tenant.backend.notifications.GetNotification(asked)).notification
    assert made.title == "brand_new"
    assert len(made.channels) == len(channel_pb2.Channel.keys()) - 1
    assert not made.templates


async def test_many_first_sends_at_once_are_all_sent(backend: Backend) -> None:
    """Whoever defines it first, nobody is refused, and the definition is made once."""
    answers = await asyncio.gather(
        *(backend.send(notificationId="rush", user={"id": f"u{i}"}, inapp={"title": "Hi"}) for i in range(8))
    )
    assert len({answer["trackingId"] for answer in answers}) == 8
    for i in range(8):
        assert len(await backend.tenant.items(f"u{i}")) == 1


async def test_a_definition_that_is_there_is_never_replaced(backend: Backend) -> None:
    """Content for a channel that it lacks goes nowhere, which is told with 202."""
    await backend.tenant.put(definition("texts", sms("Hello")))
    before = await backend.tenant.stored()
    answer = await backend.send(status=202, notificationId="texts", email={"subject": "s", "html": "h"})
    assert any(message.startswith("email: ") and "forceChannels can" in message for message in answer["messages"])
    assert (await backend.tenant.stored())["notifications"] == before["notifications"]


async def test_an_unknown_notification_without_content_is_404(backend: Backend) -> None:
    """The fix says how to define it; empty content is none, and nothing is stored."""
    before = await backend.tenant.stored()
    contents: list[dict[str, Any]] = [{}, {"email": {}}, {"sms": {"message": ""}}]
    for content in contents:
        error = await backend.refused(404, "POST", "sender", SEND | {"notificationId": "nobody_knows"} | content)
        assert error["code"] == "NOTIFICATION_NOT_FOUND"
        assert "carillon apply" in error["fix"]
    assert await backend.tenant.stored() == before


@pytest.mark.parametrize("name", ["type", "notificationId"])
async def test_an_id_that_cannot_be_created_is_named(backend: Backend, name: str) -> None:
    """400 under the name that the caller gave it."""
    before = await backend.tenant.stored()
    body = {name: "with a space", "to": {"id": "anna"}, "inapp": {"title": "Hi"}}
    error = await backend.refused(400, "POST", "sender", body)
    assert fields_of(error) == {name}
    assert await backend.tenant.stored() == before


async def test_a_repetition_under_an_idempotency_key_is_answered_the_same(backend: Backend) -> None:
    """One message, whatever is repeated; another body under the key is refused, and a key that is none too."""
    key = {"Idempotency-Key": "order 1"}
    first = await backend.call("POST", "sender", json=SEND, headers=key)
    again = await backend.call("POST", "sender", json=SEND, headers=key)
    assert (again.status_code, again.json()) == (first.status_code, first.json())
    assert len(await backend.tenant.items(USER_ID)) == 1
    error = await backend.refused(400, "POST", "sender", SEND | {"mergeTags": {}}, headers=key)
    assert error["code"] == "REQUEST_ID_REUSED"
    for bad in ("x" * 129, "tab\there", "é"):
        headers = {"Idempotency-Key": bad.encode()}
        error = await backend.refused(400, "POST", "sender", SEND, headers=headers)
        assert fields_of(error) == {"Idempotency-Key"}


async def test_a_user_cannot_send_and_is_told_why(backend: Backend) -> None:
    """What the documented C# class does once it has identified a user: 403, and nothing is stored."""
    tenant = backend.tenant
    before = await tenant.stored()
    user = basic(tenant.client_id, "anna", user_hash(tenant.secret, "anna"))
    for method, resource, body in (
        ("POST", "sender", SEND),
        ("POST", "sender/retract", {"notificationId": "order_tracking", "userId": "anna"}),
        ("PATCH", "schedule/x", {"schedule": "2030-01-01"}),
        ("DELETE", "schedule/x", None),
        ("POST", "logs/query", {}),
        ("PUT", "notifications/order_tracking/subNotifications/eu", {"title": "x"}),
        ("GET", "auth/validateAuthenticate", None),
    ):
        error = await backend.refused(403, method, resource, body, headers={"Authorization": user})
        assert error["code"] == "BACKEND_ONLY"
        assert "end user" in error["message"]
        assert "clientId:clientSecret" in error["fix"]
    assert await tenant.stored() == before


async def test_a_user_whose_choice_is_off_gets_nothing_and_the_caller_is_told(backend: Backend) -> None:
    """Everything off is 202 with a tracking id, and the log has it."""
    await backend.tenant.put(
        definition("off", inapp(), channels=[notifications_pb2.ChannelSettings(channel=INAPP_WEB)])
    )
    await backend.done("POST", f"user_preferences/{USER_ID}", [{"notificationId": "off", "state": False}])
    answer = await backend.send(status=202, notificationId="off")
    assert answer["messages"] == [
        "INAPP_WEB delivery is activated, but the user has turned it off. Discarding INAPP_WEB.",
        "All delivery channels are disabled/discarded. Aborted.",
    ]
    assert await backend.tenant.items(USER_ID) == []


async def test_what_nobody_can_get_by_default_is_not_told_while_something_goes_out(backend: Backend) -> None:
    """DEFAULT_OFF and NOT_FORCED are what somebody meant."""
    await backend.tenant.put(
        definition(
            "quiet",
            inapp(),
            sms(),
            channels=[INAPP_WEB, notifications_pb2.ChannelSettings(channel=SMS, default_delivery_option=OFF)],
        )
    )
    assert (await backend.send(notificationId="quiet"))["messages"] == []
    forced = await backend.send(notificationId="quiet", forceChannels=["INAPP_WEB"])
    assert forced["messages"] == []


async def test_warnings_name_fields_as_the_caller_wrote_them(backend: Backend) -> None:
    """A bad address, a missing merge tag and an unknown template, with the names of this send."""
    body = {
        "type": "order_tracking",
        "to": {"id": "anna", "email": "nobody", "timezone": "Mars/Base"},
        "parameters": {"item": "x", "address": "y"},
        "templateId": "spanish",
    }
    messages = (await backend.done("POST", "sender", body, status=202))["messages"]
    for beginning in ("to.email ", "to.timezone ", "parameters.orderId: ", "templateId: "):
        assert any(message.startswith(beginning) for message in messages), (beginning, messages)
    assert "EMAIL delivery is activated, but the user's email is not valid. Discarding EMAIL." in messages
    assert not any("merge_tags" in message or "user.email" in message for message in messages)


LONG = "x" * 129
WRONG: list[tuple[dict[str, Any], str]] = [
    ({"to": {"id": ""}}, "to.id"),
    ({"to": {"id": "x" * 257}}, "to.id"),
    ({"to": {"id": "a\nb"}}, "to.id"),
    ({"to": {"id": "a", "pushTokens": [{"type": "FCM", "token": "x" * 5000}]}}, "to.pushTokens[0].token"),
    (
        {"to": {"id": "a", "webPushTokens": [{"sub": {"endpoint": "ftp://x", "keys": {"p256dh": "a", "auth": "b"}}}]}},
        "to.webPushTokens[0].sub.endpoint",
    ),
    ({"type": LONG}, "type"),
    ({"subNotificationId": "with a space"}, "subNotificationId"),
    ({"templateId": LONG}, "templateId"),
    ({"secondaryId": LONG}, "secondaryId"),
    ({"schedule": "2999-01-01"}, "schedule"),
    ({"parameters": {"a\0b": 1}}, "parameters"),
    ({"parameters": {"a": json.loads("[" * 32 + "]" * 32)}}, "parameters.a" + "[0]" * 31),
    ({"parameters": {"a": "x" * 200_000}}, "parameters"),
    ({"replace": {"": "x"}}, "replace"),
    ({"options": {"email": {"ccAddresses": ["nobody"]}}}, "options.email.ccAddresses[0]"),
    (
        {"options": {"email": {"attachments": [{"name": "a/b", "url": "https://example.com"}]}}},
        "options.email.attachments[0].name",
    ),
    ({"options": {"apn": {"priority": 7}}}, "options.apn.priority"),
    ({"options": {"apn": {"expiry": -5}}}, "options.apn.expiry"),
    ({"options": {"fcm": {"android": {"ttl": 1e10}}}}, "options.fcm.android.ttl"),
    ({"email": {"subject": "{{ unclosed", "html": "x"}}, "email.subject"),
]


@pytest.mark.parametrize(("fields", "field"), WRONG, ids=[f"{i}-{field}"[:40] for i, (_, field) in enumerate(WRONG)])
async def test_what_is_wrong_is_named_and_nothing_is_stored(
    backend: Backend, fields: dict[str, Any], field: str
) -> None:
    """What the services refuse comes back under the caller's name."""
    before = await backend.tenant.stored()
    body = {"type": "order_tracking", "to": {"id": "anna"}, "parameters": TAGS} | fields
    error = await backend.refused(400, "POST", "sender", body)
    assert field in fields_of(error), error
    assert await backend.tenant.stored() == before


async def test_what_is_too_large_is_413(backend: Backend) -> None:
    """A body beyond 6 MB, attachments beyond 4 MiB, and what becomes too large on its way; nothing is stored."""
    before = await backend.tenant.stored()
    content = base64.b64encode(bytes(4 * 1024 * 1024 + 1)).decode()
    attachment = {"filename": "a.bin", "content": content}
    for body in (
        SEND | {"x": "y" * (6 * 1024 * 1024)},
        SEND | {"options": {"email": {"attachments": [attachment]}}},
        SEND | {"user": {"id": "a", "pushTokens": [{"type": "FCM", "token": "x"}] * 150_000}},
    ):
        response = await backend.call("POST", "sender", json=body)
        assert response.status_code in (400, 413), response.text
        assert response.json()["error"]["fix"]
    assert await backend.tenant.stored() == before


async def test_an_attachment_by_content_reaches_the_mail(backend: Backend) -> None:
    """Its bytes are stored with the send, so the log says how many they are, and not which."""
    await backend.tenant.put(definition("mail", channels=[EMAIL]))
    attachment = {"fileName": "a.txt", "content": base64.b64encode(b"hello").decode(), "contentType": "text/plain"}
    answer = await backend.send(
        notificationId="mail",
        email={"subject": "s", "html": "<p>h</p>"},
        options={"email": {"attachments": [attachment]}},
    )
    (kept,) = (await backend.message(answer["trackingId"])).request.options.email.attachments
    assert (kept.filename, kept.content_type, kept.content) == ("a.txt", "text/plain", b"")


async def test_a_send_for_later_waits(backend: Backend) -> None:
    """It is 200 where all is well, and the item is not there yet; a time in the past is now."""
    await backend.tenant.put(definition("note", inapp()))
    answer = await backend.send(notificationId="note", schedule="2027-06-01T09:00:00.1234567+02:00")
    assert await backend.tenant.items(USER_ID) == []
    message = await backend.message(answer["trackingId"])
    assert message.schedule_time.ToJsonString() == "2027-06-01T07:00:00.123Z"
    await backend.send(notificationId="note", schedule="2020-01-01")
    assert len(await backend.tenant.items(USER_ID)) == 1
