"""Whatever a server sends is taken or refused in the one shape: nothing of it is a defect of ours."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.contract.services.requests import definition, inapp

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.contract.gateway.notificationapi.backend import Backend

pytestmark = pytest.mark.asyncio(loop_scope="session")

# What the pure translation does with far more of them is tested without I/O.
VALUES = ["null", "9" * 400, '"\\u0000"', "[null]", '{"": null}']
SEND: dict[str, Any] = {
    "type": "note",
    "notificationId": "note",
    "to": {
        "id": "anna",
        "email": "a@example.com",
        "number": "+15005550006",
        "timezone": "UTC",
        "pushTokens": [{"type": "FCM", "token": "t", "device": {"device_id": "d"}, "environment": "sandbox"}],
        "webPushTokens": [{"sub": {"endpoint": "https://p.example", "keys": {"p256dh": "a", "auth": "b"}}}],
    },
    "user": {"id": "anna"},
    "parameters": {"a": 1},
    "mergeTags": {"b": 1},
    "replace": {"a": "b"},
    "forceChannels": ["INAPP_WEB"],
    "templateId": "default",
    "subNotificationId": "s",
    "secondaryId": "s",
    "schedule": "2020-01-01",
    "options": {
        "email": {
            "replyToAddresses": ["a@example.com"],
            "fromName": "n",
            "attachments": [{"filename": "a", "url": "https://example.com", "contentType": "text/plain"}],
        },
        "apn": {"expiry": 1, "priority": 5, "collapseId": "c", "badge": 0, "contentAvailable": True},
        "fcm": {"android": {"collapseKey": "k", "priority": "high", "ttl": 1}},
    },
    "email": {"subject": "s", "html": "h", "senderEmail": "a@example.com"},
    "inapp": {"title": "t", "url": "/u"},
    "sms": {"message": "m", "autoReply": {"message": "r"}},
    "web_push": {"title": "t", "url": "/u"},
    "slack": {"text": "s"},
    "unknown": 1,
}
QUERY: dict[str, Any] = {
    "dateRangeFilter": {"startTime": 1, "endTime": 2},
    "notificationFilter": ["note"],
    "channelFilter": ["EMAIL"],
    "userFilter": ["anna"],
    "statusFilter": ["SUCCESS"],
    "trackingIds": ["x"],
    "envIdFilter": [],
    "requestFilter": [],
    "customFilter": "",
}
CHOICES: dict[str, Any] = {
    "userId": "anna",
    "preferences": [
        {"notificationId": "note", "channel": "INAPP_WEB", "delivery": "off", "state": False, "subNotificationId": "s"}
    ],
}
BODIES: list[tuple[str, str, dict[str, Any]]] = [
    ("POST", "sender", SEND),
    ("POST", "sender/retract", {"notificationId": "note", "userId": "anna", "secondaryId": "s"}),
    ("PATCH", "schedule/TRACKING_ID", {"schedule": "2030-01-01", "to": {"email": "a"}, "sms": {"message": "m"}}),
    ("PUT", "schedule/TRACKING_ID", {"sendRequest": {"schedule": "2030-01-01"}}),
    ("POST", "user_preferences/anna", CHOICES),
    ("PUT", "notifications/note/subNotifications/s", {"title": "t"}),
    ("POST", "logs/query", QUERY),
]


def changed(value: Any) -> Iterator[str]:
    """Gives the JSON of a value with each of its parts, and itself, replaced by everything nasty."""
    yield from VALUES
    if isinstance(value, dict):
        for name, part in value.items():
            rest = {key: one for key, one in value.items() if key != name}
            for text in changed(part):
                others = json.dumps(rest)[1:-1]
                yield f"{{{json.dumps(name)}: {text}{', ' + others if others else ''}}}"
    if isinstance(value, list):
        for text in changed(value[0]) if value else ():
            yield f"[{text}]"


@pytest.mark.parametrize(("method", "resource", "body"), BODIES, ids=[f"{one[0]}-{one[1][:20]}" for one in BODIES])
async def test_no_body_is_a_defect(backend: Backend, method: str, resource: str, body: dict[str, Any]) -> None:
    """Every part of every body, replaced by values of other kinds, is answered with 2xx or 4xx."""
    await backend.tenant.put(definition("note", inapp()))
    waits = await backend.send(notificationId="note", user={"id": "anna"}, schedule="2027-01-01")
    path = resource.replace("TRACKING_ID", waits["trackingId"])
    seen = set()
    for content in changed(body):
        response = await backend.call(method, path, content=content.encode())
        assert response.status_code < 500, (content[:500], response.text)
        seen.add(response.status_code)
        if response.status_code >= 400:
            error = response.json()["error"]
            assert {"code", "message", "fix"} <= error.keys(), (content[:500], error)
            assert not _is_internal(response.text), (content[:500], error)
    assert seen & {200, 202}
    assert 400 in seen


PATHS = [
    "schedule/{}",
    "notifications/{}/subNotifications/s",
    "notifications/note/subNotifications/{}",
    "user_preferences/{}",
    "logs/query/{}",
    "auth/{}",
    "{}",
]


@pytest.mark.parametrize("path", PATHS)
async def test_no_path_is_a_defect(backend: Backend, path: str) -> None:
    """Nor what stands in a path, whatever the method is."""
    for part in ("x", "%00", "%FF", "%F0%9F%91%8B", "a%2Fb", "..", "%2e%2e", "+", "%20", "a;b", "x" * 3000, "%"):
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
            response = await backend.call(method, path.format(part), content=b"{}")
            assert response.status_code < 500, (method, part, response.text)
            if response.status_code >= 400:
                assert response.json()["error"]["fix"]


def _is_internal(text: str) -> bool:
    return any(word in text for word in ("Traceback", "Error(", "pydantic", "SendBody", "google.protobuf", "grpc."))
