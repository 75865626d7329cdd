"""Sub-notifications, preferences as servers set them, and the vendor's own checks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from carillon.v1 import sub_notifications_pb2, users_pb2
from services.kernel.auth import user_hash
from tests.contract.gateway.notificationapi.backend import fields_of
from tests.contract.gateway.notificationapi.test_checklist_servers import choices_of
from tests.contract.gateway.notificationapi.world import basic

if TYPE_CHECKING:
    from tests.contract.gateway.notificationapi.backend import Backend

pytestmark = pytest.mark.asyncio(loop_scope="session")

PARTS = "notifications/order_tracking/subNotifications"
CHOICE: list[Any] = [{"notificationId": "order_tracking", "channel": "EMAIL", "delivery": "off"}]


async def parts(backend: Backend) -> dict[str, str]:
    """Gives the parts of the notification with their titles."""
    asked = sub_notifications_pb2.ListSubNotificationsRequest(notification_id="order_tracking")
    answer: Any = await backend.tenant.backend.sub_notifications.ListSubNotifications(asked)
    return {one.id: one.title for one in answer.sub_notifications}


async def test_a_part_is_created_renamed_and_deleted(backend: Backend) -> None:
    """Ids come from the path, percent-decoded, whatever Python repeats in the body; gone is 404."""
    for title in ("Europe", "Old World"):
        body = {"notification_id": "ignored", "sub_notification_id": "ignored", "title": title}
        answer = await backend.done("PUT", f"{PARTS}/eu%3A1", body)
        assert answer == {
            "accountId": backend.tenant.client_id,
            "notificationId": "order_tracking",
            "subNotificationId": "eu:1",
            "title": title,
        }
        assert await parts(backend) == {"eu:1": title}
    response = await backend.call("DELETE", f"{PARTS}/eu%3A1")
    assert (response.status_code, response.content) == (204, b"")
    assert await parts(backend) == {}
    error = await backend.refused(404, "DELETE", f"{PARTS}/eu%3A1")
    assert error["code"] == "SUB_NOTIFICATION_NOT_FOUND"


async def test_a_part_without_a_title_has_its_id(backend: Backend) -> None:
    """No body, an empty one and null are no title."""
    for i, content in enumerate((b"", b"{}", b'{"title": null}')):
        response = await backend.call("PUT", f"{PARTS}/p{i}", content=content)
        assert response.status_code == 200
    assert await parts(backend) == {"p0": "p0", "p1": "p1", "p2": "p2"}


async def test_a_wrong_part_is_refused(backend: Backend) -> None:
    """An id that cannot be created, a title of another kind, and a notification that does not exist."""
    assert fields_of(await backend.refused(400, "PUT", f"{PARTS}/a%20b", {})) == {"subNotificationId"}
    assert fields_of(await backend.refused(400, "PUT", f"{PARTS}/a%2Fb", {})) == {"subNotificationId"}
    assert fields_of(await backend.refused(400, "PUT", f"{PARTS}/a", {"title": 7})) == {"title"}
    assert fields_of(await backend.refused(400, "PUT", f"{PARTS}/a", {"title": "x" * 300})) == {"title"}
    error = await backend.refused(404, "PUT", "notifications/nobody_knows/subNotifications/a", {})
    assert error["code"] == "NOTIFICATION_NOT_FOUND"
    assert await parts(backend) == {}


@pytest.mark.parametrize(
    ("agent", "user_id", "nobody"),
    [
        ("", "anna b", "anna+b"),
        ("Go-http-client/1.1", "anna b", "anna+b"),
        ("python-httpx/0.28.1", "anna+b", "anna b"),
        ("notificationapi-node-server-sdk/2.8.0", "anna+b", "anna b"),
    ],
)
async def test_a_plus_of_nobody_known_is_what_the_language_writes(
    backend: Backend, agent: str, user_id: str, nobody: str
) -> None:
    """PHP, which has no name, and Go write a space as "+"; the others write a "+" as it is."""
    await backend.done("POST", "user_preferences/anna+b", CHOICE, headers={"User-Agent": agent})
    assert await choices_of(backend, user_id) == [("order_tracking", "EMAIL", "OFF", "")]
    assert await choices_of(backend, nobody) == []


async def test_a_plus_is_whoever_is_known(backend: Backend) -> None:
    """A user with a "+" goes first, then one with a space; %2B always is a "+"."""
    space = users_pb2.IdentifyUserRequest(user={"id": "anna b"})  # type: ignore[arg-type] # a dict will do
    await backend.tenant.backend.users.IdentifyUser(space)
    await backend.done("POST", "user_preferences/anna+b", CHOICE)
    assert await choices_of(backend, "anna b") == [("order_tracking", "EMAIL", "OFF", "")]
    assert await choices_of(backend, "anna+b") == []

    plus = users_pb2.IdentifyUserRequest(user={"id": "ben+x"})  # type: ignore[arg-type] # a dict will do
    await backend.tenant.backend.users.IdentifyUser(plus)
    await backend.done("POST", "user_preferences/ben+x", CHOICE)
    assert await choices_of(backend, "ben+x") == [("order_tracking", "EMAIL", "OFF", "")]

    await backend.done("POST", "user_preferences/new%2Bone", CHOICE)
    assert await choices_of(backend, "new+one") == [("order_tracking", "EMAIL", "OFF", "")]
    assert await choices_of(backend, "new one") == []


@pytest.mark.parametrize(
    ("written", "user_id"),
    [
        ("a%20b", "a b"),
        ("a%2Fb", "a/b"),
        ("a/b", "a/b"),
        ("a/preferences", "a/preferences"),
        ("%C3%A9", "é"),
        ("a:b", "a:b"),
        ("a%25b", "a%b"),
    ],
)
async def test_choices_are_set_for_any_user(backend: Backend, written: str, user_id: str) -> None:
    """The id is percent-decoded once, and may have slashes as it is."""
    answer = await backend.done("POST", f"user_preferences/{written}", CHOICE)
    assert answer["UserPreferences"][0]["userId"] == user_id
    assert len(await choices_of(backend, user_id)) == 1


async def test_setting_choices_overrides_those_that_are_there(backend: Backend) -> None:
    """As the seed says; they come back grouped by notification and part."""
    await backend.done("POST", "user_preferences/anna", [{"notificationId": "new_order", "delivery": "off"}])
    body = [
        {"notificationId": "order_tracking", "channel": "EMAIL", "delivery": "off"},
        {"notificationId": "order_tracking", "channel": "SMS", "delivery": "instant"},
        {"notificationId": "order_tracking", "state": False, "subNotificationId": "eu"},
    ]
    answer = await backend.done("POST", "user_preferences/anna", body)
    own = {"envId": backend.tenant.client_id, "userId": "anna", "notificationId": "order_tracking"}
    assert answer["UserPreferences"] == [
        own
        | {
            "channelsStates": [
                {"channel": "EMAIL", "state": False, "delivery": "off"},
                {"channel": "SMS", "state": True, "delivery": "instant"},
            ]
        },
        own | {"subNotificationId": "eu", "channelsStates": [{"state": False, "delivery": "off"}]},
    ]
    assert len(await choices_of(backend, "anna")) == 3


async def test_a_user_may_set_their_own(backend: Backend) -> None:
    """With their own credentials, of secure mode."""
    tenant = backend.tenant
    headers = {"Authorization": basic(tenant.client_id, "anna", user_hash(tenant.secret, "anna"))}
    response = await backend.call("POST", "user_preferences/anna", json=CHOICE, headers=headers)
    assert response.status_code == 200, response.text
    assert len(await choices_of(backend, "anna")) == 1


async def test_the_vendors_checks(backend: Backend) -> None:
    """Health needs nobody, the credentials of an account are checked."""
    response = await backend.http.get("/health")
    assert (response.status_code, response.json()) == (200, {"message": "Health checks passed."})
    await backend.done("GET", "auth/validateAuthenticate")
    wrong = {"Authorization": basic(backend.tenant.client_id, "wrong")}
    await backend.refused(401, "GET", "auth/validateAuthenticate", headers=wrong)
