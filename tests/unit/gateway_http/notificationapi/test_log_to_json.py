from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from carillon.v1 import channel_pb2, delivery_pb2, messages_pb2, sender_pb2
from gateway.http.notificationapi.bodies import checked
from gateway.http.notificationapi.log_to_json import message_to_json, request_to_json
from gateway.http.notificationapi.send_bodies import SendBody
from gateway.http.notificationapi.send_to_proto import read_send
from services.kernel.wire import to_timestamp

WHOLE: dict[str, Any] = {
    "notificationId": "order_tracking",
    "user": {
        "id": "anna",
        "email": "a@example.com",
        "number": "+15005550006",
        "timezone": "Europe/Berlin",
        "pushTokens": [
            {"type": "APN", "token": "t", "device": {"app_id": "a", "model": "m"}, "environment": "sandbox"},
            {"type": "FCM", "token": "u", "device": {}},
        ],
        "webPushTokens": [{"sub": {"endpoint": "https://p", "keys": {"p256dh": "a", "auth": "b"}}}],
        "nickname": "Anna",
    },
    "mergeTags": {"n": 7, "x": 1.5, "list": [1, None, {"a": True}], "empty": {}},
    "replace": {"a": "b"},
    "forceChannels": ["EMAIL", "SMS"],
    "templateId": "t",
    "subNotificationId": "s",
    "secondaryId": "2",
    "schedule": "2030-01-01T00:00:00.000Z",
    "options": {
        "email": {
            "replyToAddresses": ["r@example.com"],
            "ccAddresses": ["c@example.com"],
            "bccAddresses": ["b@example.com"],
            "fromName": "n",
            "fromAddress": "f@example.com",
            "attachments": [
                {"filename": "a.pdf", "url": "https://example.com/a.pdf", "contentType": "application/pdf"}
            ],
            "openTracking": True,
        },
        "apn": {
            "expiry": 1700000000,
            "priority": 5,
            "collapseId": "c",
            "threadId": "t",
            "badge": 0,
            "sound": "s",
            "contentAvailable": True,
        },
        "fcm": {"android": {"collapseKey": "k", "priority": "high", "ttl": 60, "restrictedPackageName": "p"}},
    },
    "email": {"subject": "s", "html": "h", "previewText": "p", "senderName": "n", "senderEmail": "e@example.com"},
    "inapp": {"title": "t", "url": "/u", "image": "/i"},
    "sms": {"message": "m", "autoReply": {"message": "r"}},
    "call": {"message": "c"},
    "web_push": {"title": "t", "message": "m", "icon": "/i", "url": "/u"},
    "mobile_push": {"title": "t", "message": "m"},
    "campaign": ["x"],
}


def test_a_send_comes_back_as_it_came() -> None:
    """Every field in its old name, and what nobody knows where it stood."""
    assert request_to_json(read_send(checked(SendBody, WHOLE)).request) == WHOLE


NOON = to_timestamp(datetime(2026, 1, 2, 12, tzinfo=UTC))
LATER = to_timestamp(datetime(2026, 1, 2, 12, 0, 5, tzinfo=UTC))


def entry(
    state: str, reason: str = "UNSPECIFIED", request: sender_pb2.SendRequest | None = None, **fields: Any
) -> dict[str, Any]:
    """Gives what the log tells of one delivery of a mail."""
    delivery = delivery_pb2.Delivery(
        channel=channel_pb2.CHANNEL_EMAIL,
        state=delivery_pb2.DeliveryState.Value(f"DELIVERY_STATE_{state}"),
        reason=delivery_pb2.SkipReason.Value(f"SKIP_REASON_{reason}"),
        **fields,
    )
    message = messages_pb2.Message(tracking_id="01a2", create_time=NOON, deliveries=[delivery], request=request)
    told = message_to_json(message, "dev")
    return {name.removeprefix("email_"): value for name, value in told.items() if name.startswith("email_")}


@pytest.mark.parametrize(
    ("state", "reason", "told"),
    [
        ("PENDING", "UNSPECIFIED", {"routing": "SEND"}),
        ("SCHEDULED", "UNSPECIFIED", {"routing": "SCHEDULE"}),
        ("COLLECTED", "UNSPECIFIED", {"routing": "BATCH"}),
        ("CANCELLED", "UNSPECIFIED", {"routing": "IGNORE"}),
        ("SKIPPED", "PREFERENCE_OFF", {"routing": "OFF", "routing_reason": "IGNORE_BY_PREFERENCES"}),
        ("SKIPPED", "DEFAULT_OFF", {"routing": "OFF", "routing_reason": "IGNORE_BY_DEFAULT_DELIVERY"}),
        ("SKIPPED", "CHANNEL_DISABLED", {"routing": "IGNORE", "routing_reason": "IGNORE_BY_ENVIRONMENT"}),
        ("SKIPPED", "NOT_FORCED", {"routing": "IGNORE"}),
        ("SKIPPED", "THROTTLED", {"routing": "THROTTLED"}),
        ("SKIPPED", "DEDUPLICATED", {"routing": "DEDUPLICATED"}),
        (
            "SKIPPED",
            "NO_ADDRESS",
            {"routing": "IGNORE", "failed_at": "2026-01-02T12:00:05.000Z", "failed_code": "NO_ADDRESS"},
        ),
        (
            "SKIPPED",
            "NO_TEMPLATE",
            {"routing": "IGNORE", "failed_at": "2026-01-02T12:00:05.000Z", "failed_code": "NO_DEFAULT_TEMPLATE"},
        ),
        ("SENT", "UNSPECIFIED", {"routing": "SEND", "sent_at": "2026-01-02T12:00:05.000Z"}),
        (
            "DELIVERED",
            "UNSPECIFIED",
            {
                "routing": "SEND",
                "sent_at": "2026-01-02T12:00:05.000Z",
                "delivered_at": "2026-01-02T12:00:05.000Z",
            },
        ),
        (
            "FAILED",
            "UNSPECIFIED",
            {"routing": "SEND", "failed_at": "2026-01-02T12:00:05.000Z", "failed_code": "PROVIDER_ERROR"},
        ),
    ],
)
def test_a_delivery_is_told_in_their_words(state: str, reason: str, told: dict[str, str]) -> None:
    """How it was routed, and when it was sent, arrived or failed."""
    assert entry(state, reason, update_time=LATER) == told


def test_a_delivery_was_sent_when_the_provider_took_it() -> None:
    """Not when it was known to have arrived, nor when it was tried in vain."""
    attempts = [
        delivery_pb2.Attempt(start_time=LATER, outcome=delivery_pb2.ATTEMPT_OUTCOME_TEMPORARY_FAILURE),
        delivery_pb2.Attempt(start_time=NOON, outcome=delivery_pb2.ATTEMPT_OUTCOME_ACCEPTED),
    ]
    told = entry("DELIVERED", update_time=LATER, attempts=attempts)
    assert (told["sent_at"], told["delivered_at"]) == ("2026-01-02T12:00:00.000Z", "2026-01-02T12:00:05.000Z")


def test_a_failure_has_the_providers_words() -> None:
    """Beside a code that is always the same."""
    assert entry("FAILED", detail="550 no such user")["failed_message"] == "550 no such user"


def test_a_channel_that_a_send_brings_nothing_for_did_not_fail() -> None:
    """Its content is for another; what is missing of content that is there is told."""
    request = sender_pb2.SendRequest()
    request.content.sms.text = "Hi"
    assert entry("SKIPPED", "NO_TEMPLATE", request) == {"routing": "IGNORE"}
    told = entry("SKIPPED", "NO_TEMPLATE", request, detail="the send's content lacks subject")
    assert (told["failed_code"], told["failed_message"]) == ("NO_DEFAULT_TEMPLATE", "the send's content lacks subject")


def test_a_message_without_its_send_has_none() -> None:
    """A broadcast's may have been made otherwise."""
    message = messages_pb2.Message(tracking_id="01a2", create_time=NOON, request=sender_pb2.SendRequest())
    assert message_to_json(message, "dev")["request"] == {"user": {"id": ""}}
    message.ClearField("request")
    assert "request" not in message_to_json(message, "dev")
