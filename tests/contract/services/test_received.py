"""The preferences of what a user has received once, or has a choice for, and nothing else."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from carillon.v1 import notifications_pb2, preferences_pb2, sub_notifications_pb2, user_pb2, users_pb2
from services.kernel.clock import utc_now
from services.preferences.model import MAX_PARTS_OF_PAGE
from services.users.model import MAX_RECEIVED
from tests.contract.services.refusals import assert_violates, refusal
from tests.contract.services.requests import INAPP_WEB, SMS, USER, definition, inapp, send_request, sms
from tests.contract.services.test_preferences import choose, preference
from tests.failpoints import failing_commands

if TYPE_CHECKING:
    from tests.contract.services.world import Tenant, World

pytestmark = pytest.mark.asyncio(loop_scope="session")

FCM = user_pb2.PUSH_PROVIDER_FCM
BAD_VALUE = 2
TIME_IS_UP = 50
RECEIVED = preferences_pb2.PREFERENCE_SCOPE_RECEIVED


async def page(tenant: Tenant, user_id: str = USER, **fields: Any) -> preferences_pb2.GetPreferencesResponse:
    """Gets a page of what a user has received."""
    request = preferences_pb2.GetPreferencesRequest(user_id=user_id, scope=RECEIVED, **fields)
    answer: preferences_pb2.GetPreferencesResponse = await tenant.backend.preferences.GetPreferences(request)
    return answer


async def received(tenant: Tenant, user_id: str = USER) -> list[str]:
    """Gives the ids of what a user has received or has a choice for."""
    return [one.notification_id for one in (await page(tenant, user_id)).notifications]


async def profile(tenant: Tenant) -> users_pb2.GetUserResponse:
    """Gets the profile of the user."""
    answer: users_pb2.GetUserResponse = await tenant.backend.users.GetUser(users_pb2.GetUserRequest(user_id=USER))
    return answer


async def test_only_what_was_received_or_chosen_is_shown(tenant: Tenant) -> None:
    """Of all definitions those are answered that went out to the user, on any channel, and those with a choice."""
    await tenant.put(*(definition(f"n{i}", inapp(), sms(), channels=[INAPP_WEB, SMS]) for i in range(5)))
    assert await received(tenant) == []

    await tenant.send(send_request("n3", user={"number": "+15005550006"}))
    await tenant.send(send_request("n1", force_channels=[SMS]))
    await choose(tenant, preference("n2"))
    await tenant.send(send_request("n2"), send_request("n4", user={"id": "other"}))

    assert await received(tenant) == ["n1", "n2", "n3"]
    assert [one.notification_id for one in (await page(tenant)).preferences] == ["n2"]
    assert await received(tenant, "other") == ["n4"]
    assert await received(tenant, "nobody") == []
    as_user = await tenant.user(USER).preferences.GetPreferences(preferences_pb2.GetPreferencesRequest(scope=RECEIVED))
    assert len(as_user.notifications) == 3


async def test_what_nobody_got_was_not_received(tenant: Tenant) -> None:
    """A send that skips every channel, or waits for its time, is not received, whether its user is new or known."""
    await tenant.put(definition("off", inapp(), disabled=True), definition("later", inapp()))
    for _ in range(2):
        await tenant.send(send_request("off"), send_request("later", schedule_time=utc_now() + timedelta(hours=1)))

    assert await received(tenant) == []


async def test_a_note_is_no_change_of_the_profile(tenant: Tenant) -> None:
    """What is noted of a known user shows in no profile and no list, and leaves the times alone."""
    await tenant.put(definition("n", inapp()))
    await tenant.send(send_request())
    before = await profile(tenant)

    await tenant.send(send_request("n"))

    assert await received(tenant) == ["n", "order_tracking"]
    assert await profile(tenant) == before
    assert list((await tenant.backend.users.ListUsers(users_pb2.ListUsersRequest())).users) == [before.user]


async def test_a_repeated_send_writes_nothing_to_the_profile(world: World, tenant: Tenant) -> None:
    """What the profile knows as received costs no further write."""
    await tenant.send(send_request())

    async with failing_commands(world.database.client, "carillon", "update", "findAndModify", errorCode=BAD_VALUE):
        await tenant.send(send_request(), send_request())

    assert len(await tenant.items(USER)) == 3


async def test_a_lost_note_is_made_good(world: World, tenant: Tenant) -> None:
    """Where the note fails the send is OK all the same, and the next one makes up for it."""
    await tenant.put(definition("n", inapp()))
    await tenant.send(send_request())

    users = f"{world.database.name}.users"
    async with failing_commands(world.database.client, "carillon", "update", namespace=users, errorCode=TIME_IS_UP):
        await tenant.send(send_request("n"))
    assert await received(tenant) == ["order_tracking"]

    await tenant.send(send_request("n"))
    assert await received(tenant) == ["n", "order_tracking"]


async def test_the_oldest_leave(world: World, tenant: Tenant) -> None:
    """No more than so many are remembered, of which the newest stay; each once, whoever sends at the same moment."""
    await tenant.put(definition("new", inapp()), definition("newer", inapp()))
    full = ["order_tracking", *(f"gone-{i}" for i in range(MAX_RECEIVED - 1))]
    key = {"_id": {"e": tenant.client_id, "u": USER}}
    await tenant.send(send_request("hello_world"))
    await world.database.users.update_one(key, {"$set": {"received": full}})

    await asyncio.gather(*(tenant.send(send_request("new")) for _ in range(5)))
    assert (await world.database.users.find_one(key))["received"] == [*full[1:], "new"]
    # A profile that is written for another reason has its note in the same write.
    sends = (send_request("newer", user={"push_tokens": [{"provider": FCM, "token": f"t{i}"}]}) for i in range(5))
    await asyncio.gather(*map(tenant.send, sends))

    stored = await world.database.users.find_one(key)
    assert stored["received"] == [*full[2:], "new", "newer"]
    assert await received(tenant) == ["new", "newer"]


async def test_nothing_of_it_outlives_the_user(tenant: Tenant) -> None:
    """Who is deleted has received nothing, and the next user of the id begins anew."""
    await tenant.put(definition("n", inapp()))
    await tenant.send(send_request())
    await tenant.backend.users.DeleteUser(users_pb2.DeleteUserRequest(user_id=USER))

    assert await received(tenant) == []
    await tenant.send(send_request("n"))
    assert await received(tenant) == ["n"]


async def test_pages_have_each_once(tenant: Tenant) -> None:
    """Pages have what was received by id, each once, with all its parts; what was deleted is left out."""
    await tenant.put(*(definition(f"n{i}", inapp()) for i in range(6)))
    for i in range(5):
        await tenant.send(send_request(f"n{i}", sub_notification_id=f"sent-{i}"))
        put = sub_notifications_pb2.PutSubNotificationRequest(notification_id=f"n{i}", sub_notification_id="other")
        await tenant.backend.sub_notifications.PutSubNotification(put)
    await tenant.backend.notifications.DeleteNotification(
        notifications_pb2.DeleteNotificationRequest(notification_id="n1")
    )

    found, token = [], ""
    while True:
        answer = await page(tenant, page_size=2, page_token=token)
        assert len(answer.notifications) == 2
        found += [(one.notification_id, len(one.sub_notifications)) for one in answer.notifications]
        token = answer.next_page_token
        if not token:
            break
    assert found == [("n0", 2), ("n2", 2), ("n3", 2), ("n4", 2)]


async def test_a_notification_goes_on_in_the_next_page(tenant: Tenant) -> None:
    """One with more parts than a page has is there twice, and every part once."""
    await tenant.put(definition("n", inapp()), definition("o", inapp()), definition("other", inapp()))
    await choose(tenant, preference("n"), preference("o"))
    parts = [f"part-{i:03}" for i in range(MAX_PARTS_OF_PAGE + 1)]
    for part in parts:
        put = sub_notifications_pb2.PutSubNotificationRequest(notification_id="n", sub_notification_id=part)
        await tenant.backend.sub_notifications.PutSubNotification(put)

    first = await page(tenant)
    rest = await page(tenant, page_token=first.next_page_token)

    assert [one.notification_id for one in first.notifications] == ["n"]
    assert [one.notification_id for one in rest.notifications] == ["n", "o"]
    shown = [part.sub_notification_id for answer in (first, rest) for part in answer.notifications[0].sub_notifications]
    assert shown == parts
    assert rest.next_page_token == ""


async def test_a_page_token_belongs_to_its_scope(tenant: Tenant) -> None:
    """A page of all does not go on with what was received, nor the other way round."""
    await tenant.send(send_request("hello_world"), send_request())
    get = tenant.backend.preferences.GetPreferences
    of_all = await get(preferences_pb2.GetPreferencesRequest(user_id=USER, page_size=1))
    token = (await page(tenant, page_size=1)).next_page_token

    for call in (
        page(tenant, page_token=of_all.next_page_token),
        get(preferences_pb2.GetPreferencesRequest(user_id=USER, page_token=token)),
    ):
        assert_violates(await refusal(call), [("page_token", "PAGE_TOKEN_OTHER_QUERY")])
