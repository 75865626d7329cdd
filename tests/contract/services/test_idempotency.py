"""A send under a request_id: however often it is repeated, it is one message and one answer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from carillon.v1 import (
    environments_pb2,
    inbox_pb2,
    messages_pb2,
    notifications_pb2,
    preferences_pb2,
    sender_pb2,
    users_pb2,
)
from tests.contract.services.refusals import assert_violates, refusal
from tests.contract.services.requests import EMAIL, INAPP_WEB, OFF, USER, definition, inapp, send_request
from tests.contract.services.world import Tenant
from tests.failpoints import held_inserts, holding_inserts

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.contract.services.world import World

pytestmark = pytest.mark.asyncio(loop_scope="session")

BOB = {"id": USER, "email": "bob@example.com"}


def request(request_id: str = "r-1", **fields: Any) -> sender_pb2.SendRequest:
    """Makes a send whose answer has deliveries of every kind, and warnings."""
    return send_request(**({"request_id": request_id, "user": BOB, "template_id": "nowhere"} | fields))


async def send(tenant: Tenant, sent: sender_pb2.SendRequest) -> sender_pb2.SendResponse:
    """Sends once."""
    (answer,) = await tenant.send(sent)
    return answer


async def delete_message(tenant: Tenant, tracking_id: str) -> None:
    """Deletes a message."""
    await tenant.backend.messages.DeleteMessage(messages_pb2.DeleteMessageRequest(tracking_id=tracking_id))


async def logged(tenant: Tenant) -> list[str]:
    """Gives the tracking ids of all messages of the environment, from the log."""
    answer = await tenant.backend.messages.ListMessages(messages_pb2.ListMessagesRequest(page_size=1000))
    return [message.tracking_id for message in answer.messages]


def replay_of(answer: sender_pb2.SendResponse) -> sender_pb2.SendResponse:
    """Gives what a repetition must answer."""
    replay = sender_pb2.SendResponse()
    replay.CopyFrom(answer)
    replay.replayed = True
    return replay


async def test_a_repetition_gets_the_same_answer(tenant: Tenant) -> None:
    """The second call answers all that the first did, warnings included, and says that it is a replay."""
    first = await send(tenant, request())
    assert not first.replayed
    assert first.warnings
    assert first.item_id
    assert len({delivery.state for delivery in first.deliveries}) > 2

    assert await send(tenant, request()) == replay_of(first)
    assert await send(tenant, request()) == replay_of(first)
    assert [item.id for item in await tenant.items(USER)] == [first.item_id]
    assert await logged(tenant) == [first.tracking_id]


async def test_a_send_without_an_item_is_replayed_without_one(tenant: Tenant) -> None:
    """Where in-app was skipped neither answer has an item."""
    first = await send(tenant, request(force_channels=[EMAIL]))

    assert (first.item_id, await send(tenant, request(force_channels=[EMAIL]))) == ("", replay_of(first))


async def test_without_a_request_id_each_send_is_a_message(tenant: Tenant) -> None:
    """The same request twice without a request_id is two messages."""
    answers = await tenant.send(request(""), request(""))

    assert [answer.replayed for answer in answers] == [False, False]
    assert len(set(await logged(tenant))) == 2


@pytest.mark.parametrize("is_known", [True, False], ids=["known", "unknown"])
async def test_many_at_the_same_moment_are_one(
    tenant: Tenant, world: World, other_world: World, is_known: bool
) -> None:
    """Of 40 calls at once, half of them at another process, one makes the message, and all answer the same."""
    if is_known:
        await tenant.backend.users.IdentifyUser(users_pb2.IdentifyUserRequest(user=request().user))
    doors = [tenant, Tenant(other_world, tenant.client_id, tenant.secret)]

    for number in range(5):
        answers = await asyncio.gather(*(send(doors[i % 2], request(f"r-{number}")) for i in range(40)))

        (first,) = [answer for answer in answers if not answer.replayed]
        assert all(answer in (first, replay_of(first)) for answer in answers)
    assert len(await logged(tenant)) == 5
    assert len(await tenant.items(USER)) == 5


async def test_a_retry_while_the_first_is_in_flight(tenant: Tenant, world: World) -> None:
    """A call that comes while the first one's insert is under way waits for it, and both answer the same."""
    async with holding_inserts(world.database.client, "carillon.messages") as until_held:
        first = asyncio.ensure_future(send(tenant, request()))
        await until_held()
        second = asyncio.ensure_future(send(tenant, request()))
        await held_inserts(world.database.client, 2)
        assert not first.done()
        assert not second.done()

    answers = sorted([await first, await second], key=lambda answer: answer.replayed)
    assert answers[1] == replay_of(answers[0])
    assert not answers[0].replayed
    assert await logged(tenant) == [answers[0].tracking_id]


async def test_a_retry_after_the_first_was_given_up(tenant: Tenant, world: World) -> None:
    """A caller whose patience ended before the insert did finds, by its retry, what its first call has stored."""
    async with holding_inserts(world.database.client, "carillon.messages") as until_held:
        first = asyncio.ensure_future(send(tenant, request()))
        await until_held()
        first.cancel()
        retry = asyncio.ensure_future(send(tenant, request()))
        await held_inserts(world.database.client, 2)

    answer = await retry
    assert await logged(tenant) == [answer.tracking_id]
    assert [item.id for item in await tenant.items(USER)] == [answer.item_id]


@pytest.mark.parametrize(
    "changes",
    [
        {"merge_tags": {"item": "Fries"}},
        {"user": BOB | {"email": "other@example.com"}},
        {"priority": 1},
        {"secondary_id": "x"},
        {"notification_id": "nowhere"},
    ],
    ids=lambda changes: next(iter(changes)),
)
async def test_another_body_is_refused(tenant: Tenant, changes: dict[str, Any]) -> None:
    """Another request under an id that was used is refused, changes nothing, and the first answer can still be had."""
    first = await send(tenant, request())

    refused = await refusal(send(tenant, request(**changes)))

    assert refused.reason == "REQUEST_ID_REUSED"
    assert_violates(refused, [("request_id", "REUSED")])
    assert await logged(tenant) == [first.tracking_id]
    assert await send(tenant, request()) == replay_of(first)


async def test_two_bodies_at_the_same_moment(tenant: Tenant, world: World, other_world: World) -> None:
    """Of two requests under one id at once one is sent and the other refused, whichever comes first."""
    other = Tenant(other_world, tenant.client_id, tenant.secret)
    for number in range(10):
        calls = [
            send(door, request(f"r-{number}", secondary_id=body))
            for body in ("a", "b")
            for door in (tenant, other, tenant)
        ]
        answers = await asyncio.gather(*calls, return_exceptions=True)
        sent = [isinstance(answer, sender_pb2.SendResponse) for answer in answers]
        assert sent in ([True] * 3 + [False] * 3, [False] * 3 + [True] * 3)
        assert [a.replayed for a in answers if isinstance(a, sender_pb2.SendResponse)].count(False) == 1
    assert len(await logged(tenant)) == 10


async def delete_definition(tenant: Tenant) -> None:
    """Takes the definition away."""
    await tenant.backend.notifications.DeleteNotification(
        notifications_pb2.DeleteNotificationRequest(notification_id="order_tracking")
    )


async def change_definition(tenant: Tenant) -> None:
    """Makes the definition another one."""
    await tenant.put(definition("order_tracking", inapp("Changed")))


async def choose_off(tenant: Tenant) -> None:
    """Lets the user mute everything that was delivered."""
    choices = [
        preferences_pb2.Preference(notification_id="order_tracking", channel=channel, delivery_option=OFF)
        for channel in (INAPP_WEB, EMAIL)
    ]
    await tenant.backend.preferences.SetPreferences(
        preferences_pb2.SetPreferencesRequest(user_id=USER, preferences=choices)
    )


async def switch_channels_off(tenant: Tenant) -> None:
    """Switches the channels off for everybody."""
    settings = environments_pb2.Environment(disabled_channels=[INAPP_WEB, EMAIL])
    await tenant.backend.environments.UpdateEnvironment(environments_pb2.UpdateEnvironmentRequest(environment=settings))


async def take_back(tenant: Tenant) -> None:
    """Retracts the item, and cancels what was not sent yet."""
    await tenant.backend.sender.Retract(
        sender_pb2.RetractRequest(user_id=USER, notification_id="order_tracking", cancel_deliveries=True)
    )


async def mark(tenant: Tenant) -> None:
    """Lets the user read and archive everything."""
    (item,) = await tenant.items(USER)
    await tenant.backend.inbox.MarkInbox(
        inbox_pb2.MarkInboxRequest(
            user_id=USER,
            items=inbox_pb2.ItemIds(ids=[item.id]),
            set_marks=[inbox_pb2.INBOX_MARK_CLICKED, inbox_pb2.INBOX_MARK_ARCHIVED],
        )
    )


async def change_profile(tenant: Tenant) -> None:
    """Gives the user other addresses."""
    user = send_request(user=BOB | {"email": "new@example.com", "number": "+15005550006"}).user
    await tenant.backend.users.IdentifyUser(users_pb2.IdentifyUserRequest(user=user))


@pytest.mark.parametrize(
    "change",
    [delete_definition, change_definition, choose_off, switch_channels_off, take_back, mark, change_profile],
)
async def test_a_retry_answers_what_was_answered(tenant: Tenant, change: Callable[[Tenant], Awaitable[None]]) -> None:
    """Whatever has changed since, a retry answers what the first call did, and changes nothing."""
    first = await send(tenant, request())
    await change(tenant)
    items, stored = await tenant.items(USER), await tenant.stored()

    assert await send(tenant, request()) == replay_of(first)
    assert (await tenant.items(USER), await tenant.stored()) == (items, stored)


async def test_each_user_has_request_ids_of_their_own(tenant: Tenant) -> None:
    """The same id for another user is another send."""
    answers = await tenant.send(request(), request(user={"id": "other"}))

    assert [answer.replayed for answer in answers] == [False, False]
    assert len(set(await logged(tenant))) == 2


async def test_each_environment_has_request_ids_of_its_own(tenant: Tenant, world: World) -> None:
    """The same id in another environment is another send, with whatever body."""
    stranger = await world.tenant()
    await stranger.put_samples()
    first = await send(tenant, request())

    answer = await send(stranger, request(secondary_id="another body"))

    assert not answer.replayed
    assert await logged(tenant) == [first.tracking_id]
    assert await logged(stranger) == [answer.tracking_id]
    assert [item.id for item in await stranger.items(USER)] == [answer.item_id]


@pytest.mark.parametrize(
    "request_id", ["x", "~" * 128, "!", "a b", " ", " x ", "6b29fc40-ca47-1067-b31d-00dd010662da", "$where"]
)
async def test_a_request_id_at_the_limits_is_taken(tenant: Tenant, request_id: str) -> None:
    """1 to 128 printable ASCII characters make a send repeatable."""
    first = await send(tenant, request(request_id))

    assert await send(tenant, request(request_id)) == replay_of(first)


@pytest.mark.parametrize(
    "request_id",
    ["x" * 129, "a\nb", "\x1f", "\x7f", "a\0", "é", "\u2028", "数"],
    ids=["129", "newline", "control", "delete", "NUL", "non-ASCII", "separator", "wide"],
)
async def test_a_request_id_beyond_the_limits_is_refused(tenant: Tenant, request_id: str) -> None:
    """What is longer or not printable ASCII is refused, and nothing is stored."""
    before = await tenant.stored()

    assert_violates(await refusal(send(tenant, request(request_id))), [("request_id", "INVALID")])
    assert await tenant.stored() == before


async def test_a_retry_after_the_message_was_deleted(tenant: Tenant) -> None:
    """After DeleteMessage a retry is NOT_FOUND and brings nothing back, whatever else has changed."""
    first = await send(tenant, request())
    await delete_message(tenant, first.tracking_id)

    for change in (None, delete_definition):
        if change:
            await change(tenant)
        refused = await refusal(send(tenant, request()))
        assert (refused.code, refused.reason) == (grpc.StatusCode.NOT_FOUND, "MESSAGE_DELETED")
        assert refused.resource == ("message", first.tracking_id)
        assert await tenant.items(USER) == []
        assert await logged(tenant) == []


async def test_a_retry_after_the_user_was_deleted(tenant: Tenant) -> None:
    """After DeleteUser nothing is remembered: a retry is a new send to a new user, and then repeatable itself."""
    first = await send(tenant, request())
    await tenant.backend.users.DeleteUser(users_pb2.DeleteUserRequest(user_id=USER))

    again = await send(tenant, request(secondary_id="another body"))

    assert not again.replayed
    assert again.tracking_id != first.tracking_id
    assert await logged(tenant) == [again.tracking_id]
    assert [item.id for item in await tenant.items(USER)] == [again.item_id]
    assert await send(tenant, request(secondary_id="another body")) == replay_of(again)


async def test_a_refused_send_is_not_remembered(tenant: Tenant) -> None:
    """A send that failed has used nothing up: mended, it goes under the same id."""
    await refusal(send(tenant, request(priority=99)))
    await refusal(send(tenant, request(notification_id="nowhere")))

    assert not (await send(tenant, request())).replayed
