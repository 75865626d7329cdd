"""Definitions and their parts: listed, deleted."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from carillon.v1 import notifications_pb2, sub_notifications_pb2
from tests.contract.services.refusals import assert_violates, refusal
from tests.contract.services.requests import USER, definition, inapp, send_request
from tests.contract.services.test_notifications import get, put
from tests.contract.services.test_preferences import choices, choose, preference

if TYPE_CHECKING:
    from tests.contract.services.world import Tenant, World

pytestmark = pytest.mark.asyncio(loop_scope="session")

SubNotification = sub_notifications_pb2.SubNotification


async def listed(tenant: Tenant, page_size: int = 0) -> list[notifications_pb2.Notification]:
    """Gives the definitions of all pages."""
    found: list[notifications_pb2.Notification] = []
    token = ""
    while True:
        request = notifications_pb2.ListNotificationsRequest(page_size=page_size, page_token=token)
        answer = await tenant.backend.notifications.ListNotifications(request)
        found += answer.notifications
        token = answer.next_page_token
        if not token:
            return found


async def delete(tenant: Tenant, notification_id: str, etag: str = "") -> None:
    """Deletes a definition."""
    request = notifications_pb2.DeleteNotificationRequest(notification_id=notification_id, etag=etag)
    await tenant.backend.notifications.DeleteNotification(request)


async def put_part(tenant: Tenant, notification_id: str, part: str, title: str = "") -> SubNotification:
    """Puts a part and gives it as answered."""
    request = sub_notifications_pb2.PutSubNotificationRequest(
        notification_id=notification_id, sub_notification_id=part, title=title
    )
    stored: SubNotification = (await tenant.backend.sub_notifications.PutSubNotification(request)).sub_notification
    return stored


async def get_part(tenant: Tenant, notification_id: str, part: str) -> SubNotification:
    """Gets a part."""
    request = sub_notifications_pb2.GetSubNotificationRequest(notification_id=notification_id, sub_notification_id=part)
    stored: SubNotification = (await tenant.backend.sub_notifications.GetSubNotification(request)).sub_notification
    return stored


async def parts(tenant: Tenant, notification_id: str, page_size: int = 0, token: str = "") -> list[SubNotification]:
    """Gives the parts of all pages."""
    found: list[SubNotification] = []
    while True:
        request = sub_notifications_pb2.ListSubNotificationsRequest(
            notification_id=notification_id, page_size=page_size, page_token=token
        )
        answer = await tenant.backend.sub_notifications.ListSubNotifications(request)
        found += answer.sub_notifications
        token = answer.next_page_token
        if not token:
            return found


async def test_definitions_are_listed_without_templates(world: World) -> None:
    """Pages of every size have each definition once, by id, as it was put but for its templates."""
    tenant, other = await world.tenant(), await world.tenant()
    await other.put(definition("theirs", inapp()))
    answered = [await put(tenant, definition(f"n{i}", inapp(), label=f"l{i}")) for i in range(5)]
    for one in answered:
        one.ClearField("templates")

    for page_size in (0, 1, 2, 5, 6):
        assert await listed(tenant, page_size) == answered
    assert_violates(await refusal(listed(tenant, -1)), [("page_size", "OUT_OF_RANGE")])


async def test_a_deleted_definition_is_gone_with_its_parts(tenant: Tenant) -> None:
    """Sends, parts and lists know a deleted definition no more; items and choices stay."""
    await tenant.send(send_request(sub_notification_id="store_1"))
    await put_part(tenant, "new_order", "store_1")
    await choose(tenant, preference(channel=1))

    await delete(tenant, "order_tracking")

    for call in (
        tenant.send(send_request()),
        get(tenant, "order_tracking"),
        delete(tenant, "order_tracking"),
        parts(tenant, "order_tracking"),
        put_part(tenant, "order_tracking", "x"),
    ):
        refused = await refusal(call)
        assert (refused.code, refused.reason) == (grpc.StatusCode.NOT_FOUND, "NOTIFICATION_NOT_FOUND")
        assert refused.resource == ("notification", "order_tracking")
    assert [one.id for one in await listed(tenant)] == ["hello_world", "new_order"]
    assert [item.notification_id for item in await tenant.items(USER)] == ["order_tracking"]
    assert len(await choices(tenant)) == 1
    assert (await tenant.stored())["sub_notifications"] == 1

    await tenant.put_samples()
    assert await parts(tenant, "order_tracking") == []


async def test_an_etag_guards_a_deletion(tenant: Tenant) -> None:
    """A deletion with an etag that is not the stored one is ABORTED, and deletes neither definition nor parts."""
    first = await put(tenant, definition("n", inapp()))
    second = await put(tenant, definition("n", inapp("second")))
    await put_part(tenant, "n", "p")

    refused = await refusal(delete(tenant, "n", first.etag))

    assert (refused.code, refused.reason) == (grpc.StatusCode.ABORTED, "ETAG_MISMATCH")
    assert await get(tenant, "n") == second
    assert len(await parts(tenant, "n")) == 1
    await delete(tenant, "n", second.etag)
    assert (await refusal(get(tenant, "n"))).code is grpc.StatusCode.NOT_FOUND


async def test_of_two_deletions_at_once_one_wins(tenant: Tenant) -> None:
    """A definition that is deleted twice at the same moment is there for one of the two only."""
    answers = await asyncio.gather(*(delete(tenant, "new_order") for _ in range(4)), return_exceptions=True)

    assert [answer for answer in answers if not isinstance(answer, grpc.aio.AioRpcError)] == [None]


async def test_a_part_is_got_and_listed(tenant: Tenant) -> None:
    """Parts are got by id and listed by id, those of their notification only, as they were put."""
    answered = [await put_part(tenant, "order_tracking", f"p{i}", f"Part {i}") for i in range(5)]
    await put_part(tenant, "new_order", "p9")

    assert await get_part(tenant, "order_tracking", "p3") == answered[3]
    for page_size in (0, 1, 2, 5, 6):
        assert await parts(tenant, "order_tracking", page_size) == answered
    assert await parts(tenant, "hello_world") == []


async def test_an_unknown_part_is_not_found(tenant: Tenant) -> None:
    """Getting a part that is not there is NOT_FOUND, and names it."""
    for notification_id, part in (("order_tracking", "nowhere"), ("nowhere", "p")):
        refused = await refusal(get_part(tenant, notification_id, part))
        assert (refused.code, refused.reason) == (grpc.StatusCode.NOT_FOUND, "SUB_NOTIFICATION_NOT_FOUND")
        assert refused.resource == ("sub-notification", f"{notification_id}/{part}")


@pytest.mark.parametrize(("identifier", "problem"), [("", "REQUIRED"), ("x" * 129, "TOO_LONG")])
async def test_bad_ids_are_refused(tenant: Tenant, identifier: str, problem: str) -> None:
    """Empty ids and those of more than 128 bytes are refused, all at once; 128 bytes of anything are looked up."""
    both = [("notification_id", problem), ("sub_notification_id", problem)]
    assert_violates(await refusal(get_part(tenant, identifier, identifier)), both)
    assert_violates(
        await refusal(parts(tenant, identifier, -1)), [("notification_id", problem), ("page_size", "OUT_OF_RANGE")]
    )
    assert_violates(await refusal(delete(tenant, identifier)), [("notification_id", problem)])
    for call in (get_part(tenant, "é" * 64, "é" * 64), parts(tenant, "é" * 64), delete(tenant, "é" * 64)):
        assert (await refusal(call)).code is grpc.StatusCode.NOT_FOUND


async def test_page_tokens_belong_to_their_list(tenant: Tenant) -> None:
    """A token of one list is refused by another, and so is the list of another notification."""
    for i in range(2):
        await put_part(tenant, "order_tracking", f"p{i}")
    request: Any = sub_notifications_pb2.ListSubNotificationsRequest(notification_id="order_tracking", page_size=1)
    token = (await tenant.backend.sub_notifications.ListSubNotifications(request)).next_page_token

    request = notifications_pb2.ListNotificationsRequest(page_token=token)
    for call in (parts(tenant, "new_order", token=token), tenant.backend.notifications.ListNotifications(request)):
        assert (await refusal(call)).violations == (("page_token", "PAGE_TOKEN_OTHER_QUERY"),)
