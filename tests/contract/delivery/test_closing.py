"""A retraction closes what browsers show: durably, once, and without a message's other channels noticing."""

from __future__ import annotations

import asyncio
from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from carillon.v1 import channel_pb2, content_pb2, notifications_pb2, send_options_pb2, user_pb2
from services.delivery.model import Answer
from services.messages.model import AttemptOutcome
from tests.contract.delivery.pushing import WEB_PUSH
from tests.contract.delivery.world import (
    MovingClock,
    Post,
    delivery_of,
    logged,
    outcomes_of,
    state_of,
    until,
    until_final,
)
from tests.contract.services.requests import INAPP_WEB, definition, inapp, send_request
from tests.failpoints import failing_commands
from tests.providers.web_push import Scripted

if TYPE_CHECKING:
    from carillon.v1 import delivery_pb2
    from tests.contract.delivery.pushing import Pushing
    from tests.providers.web_push import Push

pytestmark = pytest.mark.asyncio(loop_scope="session")

NOT_PRIMARY = 10107
EMAIL = channel_pb2.CHANNEL_EMAIL


async def until_closed(pushing: Pushing, tracking_id: str) -> dict[str, Any]:
    """Waits until a message was closed and nothing of that is left, and gives its document."""
    await until(pushing.tenant, tracking_id, WEB_PUSH, lambda one: bool(closings(one)))
    return await until_unmarked(pushing, tracking_id)


async def until_unmarked(pushing: Pushing, tracking_id: str) -> dict[str, Any]:
    """Waits until nothing is left to be closed of a message and no worker has it, and gives its document."""
    while {"closing", "lease"} & (document := await pushing.document(tracking_id)).keys():  # noqa: ASYNC110 # MongoDB has no event for us
        await asyncio.sleep(0.02)
    return document


def closings(delivery: delivery_pb2.Delivery) -> list[delivery_pb2.Attempt]:
    """Gives the attempts of a delivery that closed it."""
    return [one for one in delivery.attempts if one.detail.startswith("closing")]


def is_closing(push: Push, item_id: str) -> bool:
    """Tells whether a push closes an item, and nothing else."""
    return bool(push.payload == {"retract": True, "tag": item_id})


async def test_a_worker_that_cannot_close_is_not_told_to(pushing: Pushing) -> None:
    """NotificationAPI's would show it as a notification; the other browsers are closed, and nothing is left to do."""
    theirs, ours = pushing.service.browser(), pushing.other.browser()
    theirs.worker = user_pb2.WEB_PUSH_WORKER_NOTIFICATIONAPI
    async with pushing.worker():
        sent = await pushing.send(theirs, ours)
        await until_final(pushing.tenant, sent.tracking_id, WEB_PUSH)
        await pushing.retract()
        await until_closed(pushing, sent.tracking_id)

    assert len(pushing.service.pushes) == 1
    [_, closing] = pushing.other.pushes
    assert is_closing(closing, sent.item_id)


async def test_a_retraction_closes_what_is_shown(pushing: Pushing) -> None:
    """Every browser that has the push is told to close it, under the item's tag; the log says so, and that is all."""
    browsers = [service.browser() for service in (pushing.service, pushing.other)]
    async with pushing.worker():
        sent = await pushing.send(*browsers)
        await until_final(pushing.tenant, sent.tracking_id, WEB_PUSH)
        assert (await pushing.retract()).retracted_count == 1
        document = await until_closed(pushing, sent.tracking_id)

    for service in (pushing.service, pushing.other):
        [_, closing] = service.pushes
        assert is_closing(closing, sent.item_id)
        assert "Topic" not in closing.headers
    delivery = delivery_of(await logged(pushing.tenant, sent.tracking_id), WEB_PUSH)
    assert (state_of(delivery), outcomes_of(delivery)) == ("SENT", ["ACCEPTED"] * 4)
    assert [one.detail for one in delivery.attempts] == ["", "", "closing", "closing"]
    assert {"due_time", "closing", "lease"} & document.keys() == set()


async def test_what_still_waits_is_replaced(pushing: Pushing) -> None:
    """Where the send gave a topic, the push that closes has it too; and lives on, for what is shown stays shown."""
    options = send_options_pb2.SendOptions(
        web_push=send_options_pb2.WebPushOptions(topic="score", ttl=timedelta(0), urgency=4)  # type: ignore[arg-type] # an enum's number
    )
    async with pushing.worker():
        sent = await pushing.send(pushing.service.browser(), options=options)
        await until_final(pushing.tenant, sent.tracking_id, WEB_PUSH)
        await pushing.retract()
        [_, closing] = await pushing.service.has(2)

    given = {name: closing.headers[name] for name in ("TTL", "Urgency", "Topic")}
    assert given == {"TTL": str(28 * 86_400), "Urgency": "high", "Topic": "score"}


async def test_nothing_is_closed_that_was_not_shown(pushing: Pushing) -> None:
    """A browser that did not take the push is told nothing, and nobody is of a message without an item."""
    good, bad = pushing.service.browser("good"), pushing.service.browser("bad")
    pushing.service.say(bad, Scripted(400))
    async with pushing.worker():
        sent = await pushing.send(good, bad)
        await until_final(pushing.tenant, sent.tracking_id, WEB_PUSH)
        alone = await pushing.send(force_channels=[WEB_PUSH])
        await until_final(pushing.tenant, alone.tracking_id, WEB_PUSH)
        before = len(pushing.service.pushes)
        await pushing.retract()
        await until_closed(pushing, sent.tracking_id)

    assert [push.browser for push in pushing.service.pushes[before:]] == [good]
    assert "closing" not in await pushing.document(alone.tracking_id)


async def test_only_what_could_not_be_closed_is_tried_again(pushing: Pushing) -> None:
    """A browser whose service is busy is tried again, the others are not; one that is gone leaves the profile."""
    good, busy, gone = (pushing.service.browser(name) for name in ("good", "busy", "gone"))
    async with pushing.worker():
        sent = await pushing.send(good, busy, gone)
        await until_final(pushing.tenant, sent.tracking_id, WEB_PUSH)
        pushing.service.say(busy, Scripted(503), Scripted(is_cut=True))
        pushing.service.say(gone, Scripted(410))
        await pushing.retract()
        await until(pushing.tenant, sent.tracking_id, WEB_PUSH, lambda one: len(closings(one)) == 5)

    delivery = delivery_of(await logged(pushing.tenant, sent.tracking_id), WEB_PUSH)
    assert sorted(outcomes_of(delivery)[3:6]) == ["ACCEPTED", "TARGET_GONE", "TEMPORARY_FAILURE"]
    assert outcomes_of(delivery)[6:] == ["UNKNOWN", "ACCEPTED"]
    assert state_of(delivery) == "SENT"
    assert [push.browser for push in pushing.service.pushes[6:]] == [busy, busy]
    assert sorted(await pushing.endpoints()) == sorted([good.endpoint, busy.endpoint])


async def test_closing_ends_after_an_hour(pushing: Pushing) -> None:
    """A service that wants to be left alone for longer is not told any more."""
    browser = pushing.service.browser()
    async with pushing.worker():
        sent = await pushing.send(browser)
        await until_final(pushing.tenant, sent.tracking_id, WEB_PUSH)
        pushing.service.say(browser, Scripted(503, headers={"Retry-After": "3601"}))
        await pushing.retract()
        document = await until_closed(pushing, sent.tracking_id)

    assert "due_time" not in document
    assert len(pushing.service.pushes) == 2


@pytest.mark.parametrize("cancel_deliveries", [False, True])
async def test_a_push_that_is_under_way_is_closed_after_it(pushing: Pushing, cancel_deliveries: bool) -> None:
    """What is taken back while a push service is asked is closed once that has answered, whatever was cancelled."""
    pushing.service.gate.clear()
    async with pushing.worker():
        sent = await pushing.send(pushing.service.browser())
        await pushing.service.has(1)
        answer = await pushing.retract(cancel_deliveries=cancel_deliveries)
        assert (answer.retracted_count, answer.cancelled_count) == (1, int(cancel_deliveries))
        pushing.service.gate.set()
        document = await until_closed(pushing, sent.tracking_id)

    [shown, closing] = pushing.service.pushes
    assert (shown.payload["item_id"], is_closing(closing, sent.item_id)) == (sent.item_id, True)
    assert state_of(delivery_of(await logged(pushing.tenant, sent.tracking_id), WEB_PUSH)) == "SENT"
    assert "due_time" not in document


async def test_a_push_that_is_not_sent_yet_is_not_closed(pushing: Pushing) -> None:
    """Without cancel_deliveries what waits is sent all the same; with it nothing is, and nothing is closed."""
    async with pushing.worker():
        kept = await pushing.send(pushing.service.browser())
        await until_final(pushing.tenant, kept.tracking_id, WEB_PUSH)
    waiting = await pushing.send()
    await pushing.retract()
    cancelled = await pushing.send()
    await pushing.retract(tracking_ids=[cancelled.tracking_id], cancel_deliveries=True)
    async with pushing.worker():
        await until_closed(pushing, kept.tracking_id)
        await until_final(pushing.tenant, waiting.tracking_id, WEB_PUSH)

    rest = pushing.service.pushes[1:]
    assert sum(is_closing(push, kept.item_id) for push in rest) == 1
    assert [push.payload["item_id"] for push in rest if "item_id" in push.payload] == [waiting.item_id]
    assert len(rest) == 2
    assert "due_time" not in await pushing.document(cancelled.tracking_id)


async def test_other_channels_go_on(pushing: Pushing) -> None:
    """A mail that waits for its next attempt waits as long as before, and its worker is not disturbed."""
    answers = iter(
        [Answer(AttemptOutcome.TEMPORARY_FAILURE, retry_after=timedelta(hours=1)), Answer(AttemptOutcome.ACCEPTED)]
    )
    post, clock = Post(answer=lambda _: next(answers)), MovingClock()
    mail = notifications_pb2.Template(
        content=content_pb2.Content(email=content_pb2.EmailContent(subject="Hello", text="there"))
    )
    web_push = notifications_pb2.Template(content=content_pb2.Content(web_push=content_pb2.WebPushContent(title="t")))
    await pushing.tenant.put(definition("pushed", inapp(), mail, web_push, channels=(INAPP_WEB, EMAIL, WEB_PUSH)))
    user = {"id": "bob", "email": "b@example.com", "web_push_subscriptions": [pushing.service.browser().subscription]}
    async with pushing.worker(email=post, now=clock):
        [sent] = await pushing.tenant.send(send_request("pushed", user=user))
        before = await until(pushing.tenant, sent.tracking_id, EMAIL, lambda one: bool(one.attempts))
        await pushing.retract()
        document = await until_closed(pushing, sent.tracking_id)
        between = delivery_of(await logged(pushing.tenant, sent.tracking_id), EMAIL)
        clock.move(timedelta(hours=1, seconds=1))
        after = await until_final(pushing.tenant, sent.tracking_id, EMAIL)

    assert between == before
    assert document["due_time"] == before.next_time.ToDatetime(UTC)
    assert outcomes_of(after) == ["TEMPORARY_FAILURE", "ACCEPTED"]
    assert len(pushing.service.pushes) == 2


async def test_a_cancellation_leaves_what_is_to_be_closed(pushing: Pushing) -> None:
    """Who takes back first, and cancels what waits later, has both."""
    browser = pushing.service.browser()
    async with pushing.worker():
        sent = await pushing.send(browser)
        await until_final(pushing.tenant, sent.tracking_id, WEB_PUSH)
    assert (await pushing.retract()).retracted_count == 1
    assert (await pushing.retract(cancel_deliveries=True)).retracted_count == 0
    async with pushing.worker():
        await until_closed(pushing, sent.tracking_id)

    assert is_closing(pushing.service.pushes[-1], sent.item_id)


async def test_a_retraction_that_failed_half_way_is_finished_by_the_next(pushing: Pushing) -> None:
    """After an error between its writes the item is still there to be taken back, and what is shown is closed."""
    async with pushing.worker():
        sent = await pushing.send(pushing.service.browser())
        await until_final(pushing.tenant, sent.tracking_id, WEB_PUSH)
    # The first update of the retraction passes, whichever that is.
    client, on = pushing.world.database.client, "carillon.messages"
    async with failing_commands(client, "carillon", "update", skip=1, namespace=on, errorCode=NOT_PRIMARY):
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await pushing.retract()
    assert failed.value.code() is grpc.StatusCode.UNAVAILABLE
    assert (await pushing.retract()).retracted_count == 1
    async with pushing.worker():
        await until_closed(pushing, sent.tracking_id)

    assert is_closing(pushing.service.pushes[-1], sent.item_id)


async def test_a_worker_that_died_leaves_it_to_the_next(pushing: Pushing) -> None:
    """What a worker had when it ended, as its lease says, is closed once that is over."""
    clock = MovingClock()
    async with pushing.worker(now=clock):
        sent = await pushing.send(pushing.service.browser())
        await until_final(pushing.tenant, sent.tracking_id, WEB_PUSH)
    # As if one had claimed it and ended at once, after everything that was due was cancelled.
    lease = {"owner": "dead", "token": "x", "time": clock()}
    await pushing.world.database.messages.update_one({"_id.m": sent.tracking_id}, {"$set": {"lease": lease}})
    await pushing.retract()
    due_time = (await pushing.document(sent.tracking_id))["due_time"]
    clock.move(timedelta(seconds=61))
    async with pushing.worker(now=clock):
        await until_closed(pushing, sent.tracking_id)

    assert timedelta(seconds=50) < due_time - lease["time"] <= timedelta(seconds=61)
    assert is_closing(pushing.service.pushes[-1], sent.item_id)


@pytest.mark.parametrize("what", ["no keys", "channel off"])
async def test_an_environment_that_pushes_no_more_closes_nothing(pushing: Pushing, what: str) -> None:
    """Without keys, or with the channel switched off, the mark goes and nothing is pushed."""
    async with pushing.worker():
        sent = await pushing.send(pushing.service.browser())
        await until_final(pushing.tenant, sent.tracking_id, WEB_PUSH)
    await pushing.change(**({"vapid": None} if what == "no keys" else {"disabled_channels": frozenset({"WEB_PUSH"})}))
    await pushing.retract()
    assert "closing" in await pushing.document(sent.tracking_id)
    async with pushing.worker():
        document = await until_unmarked(pushing, sent.tracking_id)

    assert "due_time" not in document
    assert len(pushing.service.pushes) == 1
