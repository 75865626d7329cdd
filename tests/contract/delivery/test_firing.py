"""What happens when the time of a message has come, whoever else does something to it at that moment."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import asynccontextmanager
from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from carillon.v1 import (
    content_pb2,
    inbox_pb2,
    messages_pb2,
    notifications_pb2,
    preferences_pb2,
    users_pb2,
)
from services.app import Stores
from services.delivery.outbox import Outbox
from services.kernel.clock import new_id, utc_now
from services.kernel.crypto import SecretBox
from services.messages.schedules import ScheduleStore
from services.sender.firing import Firing
from tests.contract.delivery.test_schedules import (
    BOB,
    cancel,
    fire_all,
    in_an_hour,
    retract,
    schedule,
    states,
    totals,
    update,
)
from tests.contract.delivery.world import (
    Post,
    delivery_of,
    everything,
    logged,
    run_workers,
    state_of,
    until,
    until_final,
)
from tests.contract.services.requests import (
    EMAIL,
    INAPP_WEB,
    OFF,
    ON,
    SMS,
    USER,
    definition,
    inapp,
    outcomes,
    send_request,
    sms,
    warnings,
)
from tests.contract.services.test_received import received
from tests.contract.services.test_watch import watching
from tests.contract.services.world import MASTER_KEY, reason

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from datetime import datetime

    from services.delivery.outbox import Leased
    from services.messages.model import Fired
    from services.messages.schedules import Waiting
    from tests.contract.services.world import Tenant, World

pytestmark = pytest.mark.asyncio(loop_scope="session")

MINUTE = timedelta(minutes=1)
LEASE = timedelta(seconds=61)


class Meanwhile(ScheduleStore):
    """A store before whose first firing something happens."""

    def __init__(self, database: Any, happen: Callable[[], Awaitable[Any]]) -> None:
        super().__init__(database)
        self._happen: Callable[[], Awaitable[Any]] | None = happen

    async def fire(self, waiting: Waiting, token: str, fired: Fired, now: datetime) -> bool:
        """Lets it happen, then fires."""
        if happen := self._happen:
            self._happen = None
            await happen()
        return await super().fire(waiting, token, fired, now)


@asynccontextmanager
async def firing(
    world: World, at: datetime, happen: Callable[[], Awaitable[Any]] = lambda: asyncio.sleep(0)
) -> AsyncIterator[Callable[[Leased], Awaitable[bool]]]:
    """Gives what fires a message that was claimed, after something else has happened."""
    stores = Stores(world.database.client, SecretBox(MASTER_KEY))
    async with stores:
        fires = Firing(
            schedules=Meanwhile(world.database, happen),
            recipients=stores.recipients,
            catalogue=stores.catalogue,
            users=stores.users,
            clock=lambda: at,
        )
        yield lambda one: fires.fire(one.key.client_id, one.key.user_id, one.key.tracking_id, one.token)


async def claim(world: World, tracking_id: str, at: datetime) -> Leased:
    """Claims a message, as a worker does that is then never heard of."""
    outbox = Outbox(world.database, owner="test", new_id=new_id, now=lambda: at)
    await world.database.messages.update_one({"_id.m": tracking_id}, {"$set": {"lane": 7}})
    (leased,) = await outbox.claim(7, limit=1)
    await world.database.messages.update_one({"_id.m": tracking_id}, {"$set": {"lane": 0}})
    return leased


async def put_preference(tenant: Tenant, channel: int, option: int) -> None:
    """Lets the user choose."""
    preference = preferences_pb2.Preference(
        notification_id="order_tracking",
        channel=channel,  # type: ignore[arg-type] # an enum's number
        delivery_option=option,  # type: ignore[arg-type] # the same
    )
    await tenant.backend.preferences.PatchPreferences(
        preferences_pb2.PatchPreferencesRequest(user_id=USER, preferences=[preference])
    )


async def reason_of(call: Awaitable[Any]) -> str:
    """Gives why a call is refused; empty: it is not."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return reason(error)
    return ""


async def test_it_fires_at_its_time_and_not_before(tenant: Tenant, mongodb_uri: str) -> None:
    """A millisecond before nothing is there; at its time the item appears, as of then, and the mail goes."""
    at = in_an_hour()
    sent = await schedule(tenant, at)
    before = await schedule(tenant, at - timedelta(milliseconds=1))

    await fire_all(tenant, mongodb_uri, at - timedelta(milliseconds=1), after=before.tracking_id)
    assert await states(tenant, sent.tracking_id) == {"EMAIL": "SCHEDULED", "INAPP_WEB": "SCHEDULED"}
    await fire_all(tenant, mongodb_uri, at + MINUTE, after=sent.tracking_id)

    assert await states(tenant, sent.tracking_id) == {"EMAIL": "SENT", "INAPP_WEB": "DELIVERED"}
    item, _ = await tenant.items(USER)
    assert item.id == sent.item_id
    assert item.date.ToDatetime(UTC) == at + MINUTE
    message = await logged(tenant, sent.tracking_id)
    assert message.schedule_time.ToDatetime(UTC) == at
    assert delivery_of(message, INAPP_WEB).update_time.ToDatetime(UTC) == at + MINUTE
    assert delivery_of(message, EMAIL).content.email.subject
    assert not delivery_of(message, INAPP_WEB).HasField("next_time")


async def test_what_it_becomes_is_decided_then(tenant: Tenant, mongodb_uri: str) -> None:
    """Definition, choices and addresses are those of the moment at which it fires, and the log says what came up."""
    at = in_an_hour()
    await tenant.put(definition("n", inapp("Old {{ a }}"), sms("Old"), channels=(INAPP_WEB, SMS)))
    sent = await schedule(tenant, at, notification_id="n", merge_tags={"a": 1}, user=BOB)
    chosen = await schedule(tenant, at)
    assert outcomes(sent)["SMS"] == "NO_ADDRESS"

    await tenant.put(definition("n", inapp("New {{ b }}"), sms("New"), channels=(INAPP_WEB, SMS)))
    await tenant.backend.users.IdentifyUser(users_pb2.IdentifyUserRequest(user={"id": USER, "number": "+14155551212"}))  # type: ignore[arg-type] # a dict will do
    await put_preference(tenant, INAPP_WEB, OFF)
    post = await fire_all(tenant, mongodb_uri, at, after=chosen.tracking_id)

    assert await states(tenant, chosen.tracking_id) == {"EMAIL": "SENT", "INAPP_WEB": "PREFERENCE_OFF"}
    (item,) = await tenant.items(USER)
    assert (item.id, item.content.title) == (sent.item_id, "New ")
    message = await logged(tenant, sent.tracking_id)
    assert warnings(message) == [("MERGE_TAG_MISSING", "merge_tags.b")]
    async with run_workers(mongodb_uri, everything(post), now=lambda: at):
        await until_final(tenant, sent.tracking_id, SMS)
    texted = [call for call in post.calls if (call.content.channel, call.tracking_id) == ("SMS", sent.tracking_id)]
    assert [call.target for call in texted] == ["+14155551212"]


async def test_what_has_fired_was_received(tenant: Tenant, mongodb_uri: str) -> None:
    """A notification counts as received once its message fires, unless every channel is skipped then."""
    at = in_an_hour()
    await tenant.put(definition("shown", inapp()), definition("skipped", inapp()))
    for notification_id in ("shown", "skipped"):
        await schedule(tenant, at, notification_id=notification_id)
    sent = await schedule(tenant, at)
    assert await received(tenant) == []

    await tenant.put(definition("skipped", inapp(), disabled=True))
    await fire_all(tenant, mongodb_uri, at, after=sent.tracking_id)

    assert await received(tenant) == ["order_tracking", "shown"]


async def test_what_was_skipped_may_be_sent(tenant: Tenant, mongodb_uri: str) -> None:
    """A message whose every channel was skipped when it was sent fires all the same, and its item appears."""
    at = in_an_hour()
    await put_preference(tenant, INAPP_WEB, OFF)
    sent = await schedule(tenant, at, user={"id": USER}, force_channels=[INAPP_WEB])
    assert ("ALL_CHANNELS_SKIPPED", "") in warnings(sent)
    assert sent.item_id == ""

    await put_preference(tenant, INAPP_WEB, ON)
    async with watching(tenant) as stream, run_workers(mongodb_uri, everything(Post()), count=2, now=lambda: at):
        await stream.take()
        created = await stream.take()

    assert created.created.item.id == sent.tracking_id
    assert await totals(tenant) == (1, 1, 1)


async def test_a_definition_that_is_gone_skips_it_all(tenant: Tenant, mongodb_uri: str) -> None:
    """Without its definition nothing is sent; the log says why, and that is the end of it."""
    at = in_an_hour()
    sent, other = await schedule(tenant, at), await schedule(tenant, at, notification_id="hello_world")
    gone = notifications_pb2.DeleteNotificationRequest(notification_id="order_tracking")
    await tenant.backend.notifications.DeleteNotification(gone)

    async with run_workers(mongodb_uri, everything(Post()), now=lambda: at):
        delivery = await until_final(tenant, sent.tracking_id, EMAIL)
        await until_final(tenant, other.tracking_id, INAPP_WEB)

    assert "was deleted" in delivery.detail
    assert await states(tenant, sent.tracking_id) == dict.fromkeys(("EMAIL", "INAPP_WEB"), "NOTIFICATION_DISABLED")
    assert [item.id for item in await tenant.items(USER)] == [other.item_id]


async def test_what_is_over_is_not_sent(tenant: Tenant, mongodb_uri: str) -> None:
    """A message that ended before any worker came to it shows and sends nothing."""
    at = in_an_hour()
    sent = await schedule(tenant, at, expire_time=at + MINUTE)

    await fire_all(tenant, mongodb_uri, at + MINUTE, after=sent.tracking_id)

    assert await states(tenant, sent.tracking_id) == {"EMAIL": "EXPIRED", "INAPP_WEB": "EXPIRED"}
    assert await totals(tenant) == (0, 0, 0)


async def test_content_that_has_grown_too_large_skips_it_all(tenant: Tenant, mongodb_uri: str) -> None:
    """What could not be stored any more with the definition of now is skipped, and does not stay for ever."""
    at = in_an_hour()
    sent = await schedule(tenant, at, merge_tags={"a": "x" * 100_000})
    twice = "{{ a }}{{ a }}"
    mail = content_pb2.Content(email=content_pb2.EmailContent(subject="x", html=twice, text=twice))
    templates = (inapp(twice, body=twice), notifications_pb2.Template(content=mail))
    await tenant.put(definition("order_tracking", *templates, channels=(INAPP_WEB, EMAIL)))

    async with run_workers(mongodb_uri, everything(Post()), now=lambda: at):
        delivery = await until_final(tenant, sent.tracking_id, INAPP_WEB)

    assert state_of(delivery) == "SKIPPED"
    assert "1 MiB" in delivery.detail
    assert await totals(tenant) == (0, 0, 0)


async def test_each_item_appears_once(tenant: Tenant, mongodb_uri: str) -> None:
    """Of 60 messages that are due at once, with two workers, each item is told of once, and each mail goes once."""
    at, post = in_an_hour(), Post()
    sent = [await schedule(tenant, at) for _ in range(60)]
    await schedule(tenant, at + 2 * MINUTE)

    told: Counter[str] = Counter()
    changes = 0
    async with watching(tenant) as stream:
        await stream.take()
        async with run_workers(mongodb_uri, everything(post), count=2, now=lambda: at):
            while len(told) < 60:
                response = await stream.take()
                told[response.created.item.id] += 1
                changes += response.unread_change
            for one in sent:
                await until_final(tenant, one.tracking_id, EMAIL)
        # Whatever was told twice comes before this.
        (last,) = await tenant.send(send_request("hello_world"))
        while (response := await stream.take()).created.item.id != last.item_id:
            told[response.created.item.id] += 1

    assert told == Counter({one.item_id: 1 for one in sent})
    assert changes == 60
    ours = {one.tracking_id for one in sent}
    mails = Counter(call.tracking_id for call in post.calls if call.content.channel == "EMAIL")
    assert {one: mails[one] for one in ours} == dict.fromkeys(ours, 1)
    assert (await totals(tenant))[1:] == (61, 61)


async def test_a_late_item_is_told_whole(tenant: Tenant, mongodb_uri: str) -> None:
    """The item of the event is, field by field, the one that is listed."""
    at = in_an_hour()
    sent = await schedule(tenant, at, tags=["a", "b"], secondary_id="s")
    async with watching(tenant) as stream, run_workers(mongodb_uri, everything(Post()), now=lambda: at):
        await stream.take()
        created = await stream.take()

    (item,) = await tenant.items(USER)
    assert created.created.item == item
    assert created.unread_change == 1
    assert item.id == sent.item_id


async def test_what_waits_and_was_retracted_costs_no_badge(tenant: Tenant, mongodb_uri: str) -> None:
    """No session hears of a schedule, its change or its cancellation; a retraction of it lowers no badge."""
    (shown,) = await tenant.send(send_request("hello_world"))
    async with watching(tenant) as stream:
        await stream.take()
        kept, gone = await schedule(tenant), await schedule(tenant)
        await update(tenant, kept.tracking_id, secondary_id="x")
        await cancel(tenant, kept.tracking_id)
        await retract(tenant, tracking_ids=[gone.tracking_id])
        response = await stream.take()
        assert (list(response.retracted.ids), response.unread_change) == ([gone.tracking_id], 0)
        await tenant.backend.messages.DeleteMessage(messages_pb2.DeleteMessageRequest(tracking_id=gone.tracking_id))
        response = await stream.take()
        assert (list(response.retracted.ids), response.unread_change) == ([gone.tracking_id], 0)

    assert await totals(tenant) == (1, 1, 1)
    assert [item.id for item in await tenant.items(USER)] == [shown.item_id]
    unread = await tenant.backend.inbox.CountUnread(inbox_pb2.CountUnreadRequest(user_id=USER))
    assert unread.unread_count == 1


async def test_a_claim_before_its_time_leaves_it_waiting(world: World, tenant: Tenant, mongodb_uri: str) -> None:
    """What is due for another reason goes back to its time, and fires then."""
    at = in_an_hour()
    sent = await schedule(tenant, at)
    key = {"_id.e": tenant.client_id, "_id.m": sent.tracking_id}
    await world.database.messages.update_one(key, {"$set": {"due_time": utc_now()}})

    async with run_workers(mongodb_uri, everything(Post())), asyncio.timeout(30):
        while (document := await world.database.messages.find_one(key))["due_time"] != at or "lease" in document:  # noqa: ASYNC110 - no event tells it
            await asyncio.sleep(0.02)

    assert await states(tenant, sent.tracking_id) == {"EMAIL": "SCHEDULED", "INAPP_WEB": "SCHEDULED"}
    await fire_all(tenant, mongodb_uri, at, after=sent.tracking_id)
    assert await states(tenant, sent.tracking_id) == {"EMAIL": "SENT", "INAPP_WEB": "DELIVERED"}


async def test_whoever_died_before_firing_is_followed(world: World, tenant: Tenant, mongodb_uri: str) -> None:
    """A message that was claimed and not fired fires once the lease has ended; no attempt is invented for it."""
    at = in_an_hour()
    sent = await schedule(tenant, at)
    await claim(world, sent.tracking_id, at)

    await fire_all(tenant, mongodb_uri, at + LEASE, after=sent.tracking_id)

    assert await states(tenant, sent.tracking_id) == {"EMAIL": "SENT", "INAPP_WEB": "DELIVERED"}
    assert len(delivery_of(await logged(tenant, sent.tracking_id), EMAIL).attempts) == 1


async def test_whoever_died_after_firing_has_done_it(world: World, tenant: Tenant, mongodb_uri: str) -> None:
    """Firing and sending are two claims: after the first the item is there, and another worker sends the rest."""
    at = in_an_hour()
    sent = await schedule(tenant, at)
    async with firing(world, at) as fire:
        leased = await claim(world, sent.tracking_id, at)
        assert await fire(leased)
        assert not await fire(leased)
    assert await states(tenant, sent.tracking_id) == {"EMAIL": "PENDING", "INAPP_WEB": "DELIVERED"}
    (item,) = await tenant.items(USER)

    await fire_all(tenant, mongodb_uri, at, after=sent.tracking_id)

    assert await tenant.items(USER) == [item]


async def test_an_overtaken_worker_cannot_fire(world: World, tenant: Tenant, mongodb_uri: str) -> None:
    """One that hangs until its lease is over, and another has fired, changes nothing when it goes on."""
    at = in_an_hour()
    sent = await schedule(tenant, at)

    async def another_fires() -> None:
        await fire_all(tenant, mongodb_uri, at + LEASE, after=sent.tracking_id)

    async with firing(world, at, another_fires) as fire:
        leased = await claim(world, sent.tracking_id, at)
        assert not await fire(leased)

    (item,) = await tenant.items(USER)
    assert item.date.ToDatetime(UTC) == at + LEASE
    assert await states(tenant, sent.tracking_id) == {"EMAIL": "SENT", "INAPP_WEB": "DELIVERED"}


async def test_an_overtaken_worker_leaves_it_to_the_next(world: World, tenant: Tenant) -> None:
    """One whose lease another has taken over does not write, and the other does."""
    at = in_an_hour()
    sent = await schedule(tenant, at)
    others: list[Leased] = []

    async def another_claims() -> None:
        others.append(await claim(world, sent.tracking_id, at + LEASE))

    async with firing(world, at, another_claims) as fire:
        assert not await fire(await claim(world, sent.tracking_id, at))
        assert await states(tenant, sent.tracking_id) == {"EMAIL": "SCHEDULED", "INAPP_WEB": "SCHEDULED"}
        assert await fire(others[0])

    assert await states(tenant, sent.tracking_id) == {"EMAIL": "PENDING", "INAPP_WEB": "DELIVERED"}


async def test_a_cancellation_while_it_fires_wins(world: World, tenant: Tenant) -> None:
    """Cancelled while a worker plans it: the cancellation is answered OK, so nothing appears."""
    at = in_an_hour()
    sent = await schedule(tenant, at)
    async with firing(world, at, lambda: cancel(tenant, sent.tracking_id)) as fire:
        assert not await fire(await claim(world, sent.tracking_id, at))

    assert await states(tenant, sent.tracking_id) == {"EMAIL": "CANCELLED", "INAPP_WEB": "CANCELLED"}
    assert await totals(tenant) == (0, 0, 0)


async def test_a_change_while_it_fires_wins(world: World, tenant: Tenant, mongodb_uri: str) -> None:
    """Changed while a worker plans it: what was asked for before is not sent, and what is asked for now is, once."""
    at = in_an_hour()
    sent = await schedule(tenant, at, secondary_id="old")
    async with firing(world, at, lambda: update(tenant, sent.tracking_id, secondary_id="new")) as fire:
        assert not await fire(await claim(world, sent.tracking_id, at))
    assert await totals(tenant) == (0, 0, 0)

    await fire_all(tenant, mongodb_uri, at, after=sent.tracking_id)

    assert [item.secondary_id for item in await tenant.items(USER)] == ["new"]


async def test_a_retraction_while_it_fires_holds(world: World, tenant: Tenant, mongodb_uri: str) -> None:
    """Retracted while a worker plans it: the item never appears, and the other channels go."""
    at = in_an_hour()
    sent = await schedule(tenant, at)
    async with firing(world, at, lambda: retract(tenant, tracking_ids=[sent.tracking_id])) as fire:
        assert await fire(await claim(world, sent.tracking_id, at))

    assert await states(tenant, sent.tracking_id) == {"EMAIL": "PENDING", "INAPP_WEB": "CANCELLED"}
    assert await totals(tenant) == (0, 0, 0)
    await fire_all(tenant, mongodb_uri, at, after=sent.tracking_id)
    assert await totals(tenant) == (0, 0, 0)


@pytest.mark.parametrize("whole_user", [False, True], ids=["message", "user"])
async def test_a_deletion_while_it_fires_leaves_nothing(world: World, tenant: Tenant, whole_user: bool) -> None:
    """Deleted while a worker plans it: it is not brought back."""
    at = in_an_hour()
    sent = await schedule(tenant, at)

    async def delete() -> None:
        if whole_user:
            await tenant.backend.users.DeleteUser(users_pb2.DeleteUserRequest(user_id=USER))
        else:
            request = messages_pb2.DeleteMessageRequest(tracking_id=sent.tracking_id)
            await tenant.backend.messages.DeleteMessage(request)

    async with firing(world, at, delete) as fire:
        assert not await fire(await claim(world, sent.tracking_id, at))

    left = await world.database.messages.find_one({"_id.m": sent.tracking_id})
    assert left is None if whole_user else (left["deleted"], left["inapp"].keys()) == (True, {"retract_time", "unread"})
    assert await totals(tenant) == (0, 0, 0)


async def test_a_message_that_cannot_be_fired_costs_nobody_else(world: World, tenant: Tenant, mongodb_uri: str) -> None:
    """A request that this version does not understand waits for one that does, and the worker goes on."""
    at = in_an_hour()
    newer, sent = await schedule(tenant, at - MINUTE), await schedule(tenant, at)
    key = {"_id.e": tenant.client_id, "_id.m": newer.tracking_id}
    request = (await world.database.messages.find_one(key))["request"]
    await world.database.messages.update_one(key, {"$set": {"request": request + b"\xa0\x01\x01"}})

    await fire_all(tenant, mongodb_uri, at, after=sent.tracking_id)

    assert await states(tenant, newer.tracking_id) == {"EMAIL": "SCHEDULED", "INAPP_WEB": "SCHEDULED"}
    await world.database.messages.update_one(key, {"$set": {"request": request}})
    await fire_all(tenant, mongodb_uri, at + LEASE, after=newer.tracking_id)
    assert await states(tenant, newer.tracking_id) == {"EMAIL": "SENT", "INAPP_WEB": "DELIVERED"}


async def test_everything_at_once_ends_one_way(tenant: Tenant, mongodb_uri: str) -> None:
    """While two workers fire, others change, cancel and retract: each message ends as what was answered OK says."""
    at = in_an_hour()
    post = Post()
    for _ in range(6):
        sent = [await schedule(tenant, at, secondary_id="old") for _ in range(6)]

        async with run_workers(mongodb_uri, everything(post), count=2, now=lambda: at):
            refused = await asyncio.gather(
                *(reason_of(cancel(tenant, one.tracking_id)) for one in sent[:2]),
                *(reason_of(update(tenant, one.tracking_id, secondary_id="new")) for one in sent[2:4]),
                *(reason_of(retract(tenant, tracking_ids=[one.tracking_id])) for one in sent[4:]),
            )
            for one, why in zip(sent, refused, strict=True):
                delivery = await until(tenant, one.tracking_id, EMAIL, lambda it: state_of(it) in ("SENT", "CANCELLED"))
                assert state_of(delivery) == ("CANCELLED" if one in sent[:2] and not why else "SENT")

        assert set(refused) <= {"", "ALREADY_FIRED"}
        items = {item.id: item.secondary_id for item in await tenant.items(USER)}
        expected = {one.item_id: "old" for one, why in zip(sent[:2], refused[:2], strict=True) if why}
        expected |= {one.item_id: "old" if why else "new" for one, why in zip(sent[2:4], refused[2:4], strict=True)}
        found = {one.item_id: items[one.item_id] for one in sent[:4] if one.item_id in items}
        assert found == expected
        assert items.keys().isdisjoint(one.item_id for one in sent[4:])
    mails = Counter(call.tracking_id for call in post.calls if call.content.channel == "EMAIL")
    assert set(mails.values()) == {1}
