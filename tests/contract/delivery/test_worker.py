"""The worker: what it claims, what it writes, and when it tries again."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from carillon.v1 import channel_pb2, delivery_pb2, environments_pb2, messages_pb2, sender_pb2, user_pb2, users_pb2
from services.delivery.attachments import Attachments
from services.delivery.carrier import Carrier, Held
from services.delivery.fetching import Fetcher
from services.delivery.model import Answer
from services.delivery.outbox import Outbox
from services.delivery.providers import Providers
from services.delivery.worker import MAX_MESSAGES, SINGLE
from services.kernel.clock import new_id, utc_now
from services.kernel.mongo import open_client
from services.messages.model import AttemptOutcome
from services.messages.sources import LEASE_S
from services.users.model import PushToken
from tests.contract.delivery.world import (
    ACCEPTED,
    PERMANENT,
    TEMPORARY,
    MovingClock,
    Post,
    delivery_of,
    everything,
    killed_worker,
    logged,
    outcomes_of,
    run_workers,
    state_of,
    until,
    until_final,
)
from tests.contract.services.requests import send_request
from tests.failpoints import failing_commands

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from services.delivery.model import Outgoing
    from tests.contract.services.world import Tenant, World

pytestmark = pytest.mark.asyncio(loop_scope="session")

EMAIL, SMS, PUSH = channel_pb2.CHANNEL_EMAIL, channel_pb2.CHANNEL_SMS, channel_pb2.CHANNEL_PUSH
# MaxTimeMSExpired: what the driver does not repeat by itself, so that the worker meets it.
TIME_IS_UP = 50
BOB = {"id": "bob", "email": "bob@example.com", "number": "+15005550006"}


def mail(user: dict[str, Any] = BOB, **fields: Any) -> sender_pb2.SendRequest:
    """Makes a send that goes by mail only."""
    return send_request(user=user, force_channels=[EMAIL], **fields)


def push(*tokens: str) -> sender_pb2.SendRequest:
    """Makes a send to the devices of a user."""
    devices = [{"provider": 2, "token": token, "device": {"device_id": token}} for token in tokens]
    return send_request(user={"id": "bob", "push_tokens": devices}, force_channels=[PUSH])


async def tokens_of(tenant: Tenant) -> list[str]:
    """Gives the push tokens of the user's profile."""
    answer = await tenant.backend.users.GetUser(users_pb2.GetUserRequest(user_id="bob"))
    return [one.token for one in answer.user.push_tokens]


async def test_a_message_is_carried_once(tenant: Tenant, mongodb_uri: str) -> None:
    """What a provider accepts is sent, once for each channel, whoever of several workers has it."""
    post = Post(answer=lambda outgoing: Answer(AttemptOutcome.ACCEPTED, f"id of {outgoing.content.channel}"))
    async with run_workers(mongodb_uri, everything(post), count=3):
        sent = await tenant.send(*(send_request(user=BOB) for _ in range(100)))
        for one in sent:
            for channel in (EMAIL, SMS):
                await until_final(tenant, one.tracking_id, channel)

    message = await logged(tenant, sent[0].tracking_id)
    assert [(state_of(one), outcomes_of(one)) for one in message.deliveries if one.attempts] == [
        ("SENT", ["ACCEPTED"])
    ] * 2
    assert [(one.attempts[0].provider, one.attempts[0].provider_id) for one in message.deliveries if one.attempts] == [
        ("post", "id of EMAIL"),
        ("post", "id of SMS"),
    ]
    called = sorted((one.tracking_id, one.content.channel, one.target) for one in post.calls)
    assert called == sorted(
        (one.tracking_id, channel, target)
        for one in sent
        for channel, target in (("EMAIL", BOB["email"]), ("SMS", BOB["number"]))
    )


async def test_what_fails_for_now_is_tried_again(tenant: Tenant, mongodb_uri: str) -> None:
    """A temporary failure is repeated later, and all its attempts are in the log."""
    answers = iter([TEMPORARY, TEMPORARY, ACCEPTED])
    async with run_workers(mongodb_uri, everything(Post(answer=lambda _: next(answers)))):
        [sent] = await tenant.send(mail())
        delivery = await until_final(tenant, sent.tracking_id, EMAIL)

    assert outcomes_of(delivery) == ["TEMPORARY_FAILURE", "TEMPORARY_FAILURE", "ACCEPTED"]
    assert [one.detail for one in delivery.attempts] == ["busy", "busy", ""]
    assert (state_of(delivery), delivery.detail) == ("SENT", "")


async def test_what_fails_for_good_is_not_tried_again(tenant: Tenant, mongodb_uri: str) -> None:
    """A permanent failure ends the delivery with the provider's words; another channel goes on."""
    post = Post(answer=lambda outgoing: PERMANENT if outgoing.content.channel == "EMAIL" else ACCEPTED)
    async with run_workers(mongodb_uri, everything(post)):
        [sent] = await tenant.send(send_request(user=BOB, force_channels=[EMAIL, SMS]))
        failed = await until_final(tenant, sent.tracking_id, EMAIL)
        carried = await until_final(tenant, sent.tracking_id, SMS)

    assert (state_of(failed), failed.detail, outcomes_of(failed)) == (
        "FAILED",
        "no such address",
        ["PERMANENT_FAILURE"],
    )
    assert state_of(carried) == "SENT"


async def test_a_provider_that_wants_to_be_left_alone_is(tenant: Tenant, mongodb_uri: str) -> None:
    """Retry-After is the least that is waited, whatever the backoff says."""
    busy = Answer(AttemptOutcome.TEMPORARY_FAILURE, retry_after=timedelta(minutes=20))
    clock = MovingClock()
    post = Post(answer=lambda _: busy)
    async with run_workers(mongodb_uri, everything(post), now=clock):
        [sent] = await tenant.send(mail())
        waiting = await until(tenant, sent.tracking_id, EMAIL, lambda one: bool(one.attempts))
        waits = waiting.next_time.ToDatetime() - waiting.attempts[0].start_time.ToDatetime()
        assert timedelta(minutes=20) <= waits <= timedelta(minutes=21)
        assert state_of(waiting) == "PENDING"

        post.answer = lambda _: ACCEPTED
        clock.move(timedelta(minutes=22))
        delivery = await until_final(tenant, sent.tracking_id, EMAIL)

    assert outcomes_of(delivery) == ["TEMPORARY_FAILURE", "ACCEPTED"]


async def test_a_day_of_failures_is_the_end(tenant: Tenant, mongodb_uri: str) -> None:
    """After 24 hours of temporary failures a delivery has failed, with the provider's last words."""
    clock, post = MovingClock(), Post(answer=lambda _: TEMPORARY)
    async with run_workers(mongodb_uri, everything(post), now=clock):
        [sent] = await tenant.send(mail())
        wanted = 1
        while True:
            delivery = await until(tenant, sent.tracking_id, EMAIL, has_come_to(wanted))
            if state_of(delivery) == "FAILED":
                break
            # Whatever the backoff was, its time has come.
            clock.move(timedelta(hours=1))
            wanted += 1

    first, last = (delivery.attempts[i].start_time.ToDatetime() for i in (0, -1))
    assert timedelta(hours=22) < last - first <= timedelta(hours=25)
    assert (delivery.detail, delivery.HasField("next_time")) == ("busy", False)


def has_come_to(count: int) -> Callable[[delivery_pb2.Delivery], bool]:
    """Gives what tells whether a delivery has had so many attempts, or has come to its end."""
    return lambda one: len(one.attempts) >= count or state_of(one) == "FAILED"


async def test_a_call_without_an_answer_is_unknown(tenant: Tenant, mongodb_uri: str) -> None:
    """A call that is not answered by its deadline may have arrived: the log says so, and it is made again."""
    post = Post(deadline_s=0.2)
    post.gate.clear()
    async with run_workers(mongodb_uri, everything(post)):
        [sent] = await tenant.send(mail())
        await until(tenant, sent.tracking_id, EMAIL, lambda one: bool(one.attempts))
        post.gate.set()
        delivery = await until_final(tenant, sent.tracking_id, EMAIL)

    assert outcomes_of(delivery)[0] == "UNKNOWN"
    assert delivery.attempts[0].detail == "no answer within 0.2 s"
    assert outcomes_of(delivery)[-1] == "ACCEPTED"


async def test_a_defect_of_a_provider_costs_one_call(tenant: Tenant, mongodb_uri: str) -> None:
    """An error that nobody expects is one unknown attempt without a word of it; the worker goes on."""
    failures = iter([True])

    def answer(_: Outgoing) -> Answer:
        if next(failures, False):
            raise ZeroDivisionError("internal words")
        return ACCEPTED

    async with run_workers(mongodb_uri, everything(Post(answer=answer))):
        [sent] = await tenant.send(mail())
        delivery = await until_final(tenant, sent.tracking_id, EMAIL)

    assert outcomes_of(delivery) == ["UNKNOWN", "ACCEPTED"]
    assert delivery.attempts[0].detail == "internal error"


async def test_a_worker_that_died_is_taken_over(tenant: Tenant, mongodb_uri: str) -> None:
    """The call of a worker that died in the middle is in the log as unknown before another makes it again."""
    clock, dying, post = MovingClock(), Post(), Post()
    dying.gate.clear()
    seen: list[list[str]] = []

    async with killed_worker(mongodb_uri, everything(dying), now=clock):
        [sent] = await tenant.send(mail())
        await dying.called.acquire()

    post.gate.clear()
    clock.move(timedelta(seconds=61))
    async with run_workers(mongodb_uri, everything(post), now=clock):
        await post.called.acquire()
        # While the second call is made, the first is in the log.
        [before] = (await logged(tenant, sent.tracking_id)).deliveries[:1]
        seen.append(outcomes_of(before))
        post.gate.set()
        delivery = await until_final(tenant, sent.tracking_id, EMAIL)

    assert seen == [["UNKNOWN"]]
    assert (state_of(delivery), outcomes_of(delivery)) == ("SENT", ["UNKNOWN", "ACCEPTED"])
    assert delivery.attempts[0].provider == "post"


async def test_what_others_have_taken_is_not_sent_again(tenant: Tenant, mongodb_uri: str) -> None:
    """A worker that dies while one call goes on has written what ended before: only that call is made again."""
    clock, slow, quick, post = MovingClock(), Post(name="slow"), Post(name="quick"), Post()
    slow.gate.clear()
    request = push("a", "b")
    request.user.email = "bob@example.com"
    request.force_channels.append(EMAIL)
    async with killed_worker(mongodb_uri, Providers(email=slow, fcm=quick), now=clock):
        [sent] = await tenant.send(request)
        await slow.called.acquire()
        await until(tenant, sent.tracking_id, PUSH, lambda one: state_of(one) == "SENT")

    clock.move(timedelta(seconds=61))
    async with run_workers(mongodb_uri, everything(post), now=clock):
        mailed = await until_final(tenant, sent.tracking_id, EMAIL)
    pushed = delivery_of(await logged(tenant, sent.tracking_id), PUSH)

    assert [call.content.channel for call in post.calls] == ["EMAIL"]
    assert outcomes_of(mailed) == ["UNKNOWN", "ACCEPTED"]
    assert (state_of(pushed), outcomes_of(pushed)) == ("SENT", ["ACCEPTED", "ACCEPTED"])


async def test_devices_that_have_a_push_are_not_sent_it_again(tenant: Tenant, mongodb_uri: str) -> None:
    """A worker that dies while one device's provider does not answer has written which devices have the push."""
    clock, slow, quick, post = MovingClock(), Post(name="slow"), Post(name="quick"), Post()
    slow.gate.clear()
    request = push("a", "b")
    request.user.push_tokens.add(provider=user_pb2.PUSH_PROVIDER_APN, token="c").device.device_id = "c"
    async with killed_worker(mongodb_uri, Providers(apns=slow, fcm=quick), now=clock):
        [sent] = await tenant.send(request)
        await until(tenant, sent.tracking_id, PUSH, lambda one: len(one.attempts) == 2)

    clock.move(timedelta(seconds=61))
    async with run_workers(mongodb_uri, everything(post), now=clock):
        delivery = await until_final(tenant, sent.tracking_id, PUSH)

    assert [token_of(call) for call in post.calls] == ["c"]
    assert outcomes_of(delivery) == ["ACCEPTED", "ACCEPTED", "UNKNOWN", "ACCEPTED"]
    assert [state_of(one) for one in delivery.targets] == ["SENT"] * 3


async def test_a_worker_that_was_overtaken_writes_nothing(tenant: Tenant, mongodb_uri: str) -> None:
    """Whoever holds a message for longer than its lease changes nothing of what the next has written."""
    clock, slow, post = MovingClock(), Post(answer=lambda _: PERMANENT), Post()
    slow.gate.clear()
    post.gate.clear()
    slow_stops = asyncio.Event()

    async def work_slowly() -> None:
        async with run_workers(mongodb_uri, everything(slow), now=clock, stop=slow_stops):
            await slow_stops.wait()

    async with asyncio.TaskGroup() as tasks:
        working = tasks.create_task(work_slowly())
        [sent] = await tenant.send(mail())
        await slow.called.acquire()
        clock.move(timedelta(seconds=61))
        async with run_workers(mongodb_uri, everything(post), now=clock):
            # Both have called: now the first has its answer, and ends.
            await post.called.acquire()
            slow_stops.set()
            slow.gate.set()
            await working
            between = (await logged(tenant, sent.tracking_id)).deliveries[0]
            post.gate.set()
            delivery = await until_final(tenant, sent.tracking_id, EMAIL)

    assert (state_of(between), outcomes_of(between)) == ("PENDING", ["UNKNOWN"])
    assert (state_of(delivery), outcomes_of(delivery)) == ("SENT", ["UNKNOWN", "ACCEPTED"])


async def test_a_worker_that_stops_ends_its_calls_and_gives_back_the_rest(tenant: Tenant, mongodb_uri: str) -> None:
    """What is under way at SIGTERM is written; what waits for its turn is another worker's at once, tried by nobody."""
    stop, post, next_post = asyncio.Event(), Post(max_in_flight=1), Post()
    post.gate.clear()
    clock = MovingClock()
    async with asyncio.TaskGroup() as tasks:

        async def work() -> None:
            async with run_workers(mongodb_uri, everything(post), stop=stop, now=clock):
                await stop.wait()

        # Both are there before the worker looks, so it claims them together.
        sent = await tenant.send(mail(), mail())
        tasks.create_task(work())
        await post.called.acquire()
        stop.set()
        post.gate.set()

    # Without waiting for a lease to end: the clock stands still.
    async with run_workers(mongodb_uri, everything(next_post), now=clock):
        deliveries = [await until_final(tenant, one.tracking_id, EMAIL) for one in sent]

    assert [outcomes_of(delivery) for delivery in deliveries] == [["ACCEPTED"]] * 2
    assert (len(post.calls), len(next_post.calls)) == (1, 1)


async def test_a_worker_that_stops_leaves_no_device_out(tenant: Tenant, mongodb_uri: str) -> None:
    """Devices whose turn has not come at SIGTERM are another worker's at once, and those that have the push are not."""
    stop, post, next_post = asyncio.Event(), Post(max_in_flight=1), Post()
    post.gate.clear()
    clock = MovingClock()
    async with asyncio.TaskGroup() as tasks:

        async def work() -> None:
            async with run_workers(mongodb_uri, everything(post), stop=stop, now=clock):
                await stop.wait()

        [sent] = await tenant.send(push("first", "second", "third"))
        tasks.create_task(work())
        await post.called.acquire()
        stop.set()
        post.gate.set()

    async with run_workers(mongodb_uri, everything(next_post), now=clock):
        delivery = await until_final(tenant, sent.tracking_id, PUSH)

    assert [token_of(call) for call in post.calls] == ["first"]
    assert sorted(token_of(call) for call in next_post.calls) == ["second", "third"]
    assert (state_of(delivery), outcomes_of(delivery)) == ("SENT", ["ACCEPTED"] * 3)
    assert [state_of(one) for one in delivery.targets] == ["SENT"] * 3


@pytest.mark.parametrize("what", ["cancelled", "message deleted", "user deleted"])
async def test_nothing_is_sent_of_what_was_taken_back(
    world: World, tenant: Tenant, mongodb_uri: str, what: str
) -> None:
    """What is cancelled or deleted while it waits for its turn in a worker is not sent any more."""
    post = Post(max_in_flight=1)
    post.gate.clear()
    blocking = {"id": "alice", "email": "alice@example.com"}
    backend = tenant.backend
    async with run_workers(mongodb_uri, everything(post)):
        [first] = await tenant.send(mail(blocking))
        await post.called.acquire()
        [sent] = await tenant.send(mail())
        await until_leased(world, sent.tracking_id)
        match what:
            case "cancelled":
                request = sender_pb2.RetractRequest(
                    user_id="bob", notification_id="order_tracking", cancel_deliveries=True
                )
                assert (await backend.sender.Retract(request)).cancelled_count == 1
            case "message deleted":
                await backend.messages.DeleteMessage(messages_pb2.DeleteMessageRequest(tracking_id=sent.tracking_id))
            case _:
                await backend.users.DeleteUser(users_pb2.DeleteUserRequest(user_id="bob"))
        post.gate.set()
        await until_final(tenant, first.tracking_id, EMAIL)
        # What comes after it has had its turn, so it would have had its own.
        [last] = await tenant.send(mail(blocking))
        await until_final(tenant, last.tracking_id, EMAIL)

    assert [call.tracking_id for call in post.calls] == [first.tracking_id, last.tracking_id]
    if what == "cancelled":
        delivery = (await logged(tenant, sent.tracking_id)).deliveries[0]
        assert (state_of(delivery), outcomes_of(delivery)) == ("CANCELLED", [])


async def test_an_outage_between_call_and_write(tenant: Tenant, mongodb_uri: str) -> None:
    """What a provider has taken while MongoDB is away is written once it is back: nothing is sent a second time."""
    post = Post()
    post.gate.clear()
    async with open_client(mongodb_uri, app_name="aside") as aside, run_workers(mongodb_uri, everything(post)):
        [sent] = await tenant.send(mail())
        await post.called.acquire()
        async with failing_commands(aside, "carillon worker", "update", times=3, errorCode=TIME_IS_UP):
            post.gate.set()
            delivery = await until_final(tenant, sent.tracking_id, EMAIL)

    assert (state_of(delivery), outcomes_of(delivery)) == ("SENT", ["ACCEPTED"])
    assert len(post.calls) == 1


async def test_an_outage_after_a_call(tenant: Tenant, mongodb_uri: str) -> None:
    """That a device cannot be taken out of a profile for now loses nothing of what the calls of the round said."""
    post = Post(answer=lambda one: Answer(AttemptOutcome.TARGET_GONE) if token_of(one) == "gone" else ACCEPTED)
    post.gate.clear()
    async with open_client(mongodb_uri, app_name="aside") as aside, run_workers(mongodb_uri, everything(post)):
        [sent] = await tenant.send(push("gone", "good"))
        for _ in range(2):
            await post.called.acquire()
        async with failing_commands(aside, "carillon worker", "update", times=1, errorCode=TIME_IS_UP):
            post.gate.set()
            delivery = await until_final(tenant, sent.tracking_id, PUSH)

    assert (state_of(delivery), sorted(outcomes_of(delivery))) == ("SENT", ["ACCEPTED", "TARGET_GONE"])
    # The next push finds it gone again.
    assert await tokens_of(tenant) == ["gone", "good"]


async def test_an_outage_before_a_call(tenant: Tenant, mongodb_uri: str) -> None:
    """A call that nobody knows may still begin is put off, and those under way for the same message go on."""
    texts, mails = Post(name="texts"), Post(name="mails", max_in_flight=1)
    for post in (texts, mails):
        post.gate.clear()
    with capture_logs() as lines:
        async with (
            open_client(mongodb_uri, app_name="aside") as aside,
            run_workers(mongodb_uri, Providers(email=mails, sms=texts)),
        ):
            await tenant.send(mail({"id": "alice", "email": "alice@example.com"}))
            await mails.called.acquire()
            [sent] = await tenant.send(send_request(user=BOB, force_channels=[EMAIL, SMS]))
            await texts.called.acquire()
            async with failing_commands(aside, "carillon worker", "find", errorCode=TIME_IS_UP):
                mails.gate.set()
                await until_logged(lines, "call_put_off")
            texts.gate.set()
            # Without waiting for a lease to end.
            carried = [await until_final(tenant, sent.tracking_id, channel) for channel in (EMAIL, SMS)]

    assert [(state_of(one), outcomes_of(one)) for one in carried] == [("SENT", ["ACCEPTED"])] * 2
    assert (len(mails.calls), len(texts.calls)) == (2, 1)


async def test_an_outage_in_the_middle_of_a_round(world: World, tenant: Tenant, mongodb_uri: str) -> None:
    """A round that cannot be brought to its end costs its message the time of a lease, and the worker goes on."""
    clock, post = MovingClock(), Post()
    [sent] = await tenant.send(mail())
    lease = {"owner": "gone", "token": "gone", "time": utc_now()}
    await world.database.messages.update_one({"_id.m": sent.tracking_id}, {"$set": {"lease": lease}})
    with capture_logs() as lines:
        # The first update claims it; the second writes that the one before may have called somebody.
        async with (
            open_client(mongodb_uri, app_name="aside") as aside,
            failing_commands(aside, "carillon worker", "update", skip=1, errorCode=TIME_IS_UP),
            run_workers(mongodb_uri, everything(post), now=clock),
        ):
            await until_logged(lines, "round_abandoned")
            await aside.admin.command({"configureFailPoint": "failCommand", "mode": "off"})
            [other] = await tenant.send(mail())
            await until_final(tenant, other.tracking_id, EMAIL)
            clock.move(timedelta(seconds=61))
            delivery = await until_final(tenant, sent.tracking_id, EMAIL)

    assert (state_of(delivery), outcomes_of(delivery)) == ("SENT", ["UNKNOWN", "ACCEPTED"])


async def test_a_defect_in_a_round_costs_one_message(world: World, tenant: Tenant, mongodb_uri: str) -> None:
    """A message that cannot be worked on, whatever is wrong with it, holds up nobody else and ends no worker."""
    [broken] = await tenant.send(mail())
    await world.database.messages.update_one({"_id.m": broken.tracking_id}, {"$unset": {"deliveries.0.content": ""}})
    with capture_logs() as lines:
        async with run_workers(mongodb_uri, everything(Post())):
            await until_leased(world, broken.tracking_id)
            [sent] = await tenant.send(mail())
            delivery = await until_final(tenant, sent.tracking_id, EMAIL)

    assert state_of(delivery) == "SENT"
    assert [line["event"] for line in lines if line["log_level"] == "error"] == ["round_failed"]


@pytest.mark.parametrize("field", ["deliveries.0.state", "options.apn.of_a_newer_version"])
async def test_a_message_of_a_newer_version_is_left_to_it(
    world: World, tenant: Tenant, mongodb_uri: str, field: str
) -> None:
    """A message that this version cannot read, as while a new one is rolled out, ends no worker and holds up nobody."""
    [newer] = await tenant.send(mail())
    query = {"_id.m": newer.tracking_id}
    await world.database.messages.update_one(query, {"$set": {field: "COLLECTED"}})
    with capture_logs() as lines:
        async with run_workers(mongodb_uri, everything(Post())):
            await until_logged(lines, "message_unreadable")
            [sent] = await tenant.send(mail())
            delivery = await until_final(tenant, sent.tracking_id, EMAIL)

    assert state_of(delivery) == "SENT"
    assert await count_leased(world, query) == 1


async def test_the_words_of_a_provider_are_kept_as_text(tenant: Tenant, mongodb_uri: str) -> None:
    """Whatever a provider says can be stored, and costs neither the message nor those written with it."""
    words = "line\r\none \ud800 \0" + "x" * 2000
    post = Post(answer=lambda _: Answer(AttemptOutcome.PERMANENT_FAILURE, provider_id=words, detail=words))
    async with run_workers(mongodb_uri, everything(post)):
        [sent] = await tenant.send(mail())
        delivery = await until_final(tenant, sent.tracking_id, EMAIL)

    [attempt] = delivery.attempts
    assert attempt.detail.startswith("line one ? ")
    assert attempt.detail == attempt.provider_id
    assert len(attempt.detail.encode()) == 1024


async def test_an_outage_before_a_claim(tenant: Tenant, mongodb_uri: str) -> None:
    """A worker that cannot read what is due goes on once it can."""
    async with (
        open_client(mongodb_uri, app_name="aside") as aside,
        run_workers(mongodb_uri, everything(Post())),
        failing_commands(aside, "carillon worker", "find", times=6, errorCode=TIME_IS_UP),
    ):
        [sent] = await tenant.send(mail())
        delivery = await until_final(tenant, sent.tracking_id, EMAIL)

    assert (state_of(delivery), outcomes_of(delivery)) == ("SENT", ["ACCEPTED"])


async def test_a_worker_whose_clock_is_slow_does_what_it_claims(world: World, tenant: Tenant) -> None:
    """What is due is said by one clock: another that is behind does not have a message claimed over and over."""
    [sent] = await tenant.send(mail())
    # As another worker has left it.
    soon = utc_now() + timedelta(minutes=5)
    await world.database.messages.update_one(
        {"_id.m": sent.tracking_id}, {"$set": {"deliveries.0.next_time": soon, "due_time": soon}}
    )
    post, stores = Post(), world.stores
    later = MovingClock()
    later.move(timedelta(minutes=6))
    async with stores, Outbox(world.database, owner="slow", new_id=new_id, now=later) as outbox:
        carrier = Carrier(
            outbox=outbox,
            users=stores.users,
            providers=everything(post),
            attachments=Attachments(stores.files, stores.messages, Fetcher(), clock=utc_now),
            clock=utc_now,
        )
        [leased] = await outbox.claim(SINGLE, limit=1)
        environment = await stores.catalogue.environment(tenant.client_id)
        assert environment is not None
        until = asyncio.get_running_loop().time() + LEASE_S
        user = await stores.users.get(tenant.client_id, "bob")
        await carrier.carry(Held(leased, until, environment, user, asyncio.Event()))
        assert await outbox.claim(SINGLE, limit=1) == []

    assert len(post.calls) == 1


async def until_leased(world: World, *tracking_ids: str, count: int = 1) -> None:
    """Waits until workers have so many messages: any, or those that are named."""
    query = {"_id.m": {"$in": tracking_ids}} if tracking_ids else {}
    while await count_leased(world, query) < count:  # noqa: ASYNC110 # MongoDB has no event for us
        await asyncio.sleep(0.01)


async def until_logged(lines: Sequence[Mapping[str, Any]], event: str) -> None:
    """Waits until something was logged."""
    while not any(line["event"] == event for line in lines):  # noqa: ASYNC110 # a log has no event for us
        await asyncio.sleep(0.01)


async def count_leased(world: World, query: Mapping[str, Any] = {}) -> int:  # it is only read
    """Counts the messages that workers have."""
    leased: int = await world.database.messages.count_documents({**query, "lease.token": {"$exists": True}})
    return leased


async def test_a_cancellation_in_mid_call(tenant: Tenant, mongodb_uri: str) -> None:
    """What a provider takes although it was cancelled meanwhile is sent, and the log says so."""
    post = Post()
    post.gate.clear()
    async with run_workers(mongodb_uri, everything(post)):
        [sent] = await tenant.send(mail())
        await post.called.acquire()
        await tenant.backend.sender.Retract(
            sender_pb2.RetractRequest(user_id="bob", notification_id="order_tracking", cancel_deliveries=True)
        )
        post.gate.set()
        delivery = await until(tenant, sent.tracking_id, EMAIL, lambda one: bool(one.attempts))

    assert (state_of(delivery), outcomes_of(delivery)) == ("SENT", ["ACCEPTED"])


async def test_a_cancellation_between_attempts(tenant: Tenant, mongodb_uri: str) -> None:
    """What failed for now and was cancelled then is not tried again, and its attempts stay in the log."""
    clock, post = MovingClock(), Post(answer=lambda _: TEMPORARY)
    post.gate.clear()
    async with run_workers(mongodb_uri, everything(post), now=clock):
        [sent] = await tenant.send(mail())
        await post.called.acquire()
        await tenant.backend.sender.Retract(
            sender_pb2.RetractRequest(user_id="bob", notification_id="order_tracking", cancel_deliveries=True)
        )
        post.gate.set()
        await until(tenant, sent.tracking_id, EMAIL, lambda one: bool(one.attempts))
        clock.move(timedelta(hours=2))
        [later] = await tenant.send(mail({"id": "alice", "email": "alice@example.com"}))
        post.answer = lambda _: ACCEPTED
        await until_final(tenant, later.tracking_id, EMAIL)
        delivery = (await logged(tenant, sent.tracking_id)).deliveries[0]

    assert (state_of(delivery), outcomes_of(delivery)) == ("CANCELLED", ["TEMPORARY_FAILURE"])
    assert [call.tracking_id for call in post.calls].count(sent.tracking_id) == 1


async def test_nothing_is_sent_after_the_end_of_a_message(tenant: Tenant, mongodb_uri: str) -> None:
    """A message that has expired before a worker came to it is skipped, and says why."""
    [sent] = await tenant.send(mail())
    post = Post()
    over = utc_now() + timedelta(days=91)
    async with run_workers(mongodb_uri, everything(post), now=lambda: over):
        delivery = await until_final(tenant, sent.tracking_id, EMAIL)

    assert (state_of(delivery), delivery.reason) == ("SKIPPED", 15)
    assert not post.calls


async def test_a_message_that_ends_between_attempts_is_not_tried_again(tenant: Tenant, mongodb_uri: str) -> None:
    """After the send's own expire_time nothing is tried again, and the log says why beside what was tried."""
    later = Answer(AttemptOutcome.TEMPORARY_FAILURE, retry_after=timedelta(minutes=10))
    post = Post(answer=lambda _: later)
    clock = MovingClock()
    async with run_workers(mongodb_uri, everything(post), now=clock):
        [sent] = await tenant.send(mail(expire_time=utc_now() + timedelta(minutes=30)))
        await until(tenant, sent.tracking_id, EMAIL, lambda one: bool(one.attempts))
        clock.move(timedelta(hours=1))
        delivery = await until_final(tenant, sent.tracking_id, EMAIL)

    assert (state_of(delivery), delivery.detail) == ("FAILED", "EXPIRED")
    assert (len(post.calls), outcomes_of(delivery)) == (1, ["TEMPORARY_FAILURE"])


async def test_a_channel_that_was_switched_off_meanwhile(tenant: Tenant, mongodb_uri: str) -> None:
    """A channel that the environment switches off before its turn came is logged and not sent."""
    [sent] = await tenant.send(mail())
    await tenant.backend.environments.UpdateEnvironment(
        environments_pb2.UpdateEnvironmentRequest(environment=environments_pb2.Environment(disabled_channels=[EMAIL]))
    )
    post = Post()
    async with run_workers(mongodb_uri, everything(post)):
        delivery = await until_final(tenant, sent.tracking_id, EMAIL)

    assert (state_of(delivery), delivery.reason) == ("SKIPPED", 10)
    assert "Krabby Patty" in delivery.content.email.subject
    assert not post.calls


async def test_without_a_provider_the_log_says_so(tenant: Tenant, mongodb_uri: str) -> None:
    """A channel that nothing is configured for is skipped with that reason, and a replay answers as the send did."""
    async with run_workers(mongodb_uri, Providers()):
        request = mail(request_id="r-1")
        [sent] = await tenant.send(request)
        delivery = await until_final(tenant, sent.tracking_id, EMAIL)
        [replayed] = await tenant.send(request)

    assert (state_of(delivery), delivery.reason) == ("SKIPPED", 9)
    assert replayed.replayed
    assert list(replayed.deliveries) == list(sent.deliveries)


async def test_the_profiles_address_is_read_at_each_attempt(tenant: Tenant, mongodb_uri: str) -> None:
    """A send without an address of its own goes to the one that the profile has when it goes."""
    answers = iter([TEMPORARY])
    post = Post(answer=lambda _: next(answers, ACCEPTED))
    await tenant.backend.users.IdentifyUser(users_pb2.IdentifyUserRequest(user=mail().user))
    clock = MovingClock()
    async with run_workers(mongodb_uri, everything(post), now=clock):
        [sent] = await tenant.send(mail({"id": "bob"}))
        await until(tenant, sent.tracking_id, EMAIL, lambda one: bool(one.attempts))
        await tenant.backend.users.IdentifyUser(
            users_pb2.IdentifyUserRequest(user=user_pb2.User(id="bob", email="new@example.com"))
        )
        clock.move(timedelta(hours=1))
        await until_final(tenant, sent.tracking_id, EMAIL)

    assert [call.target for call in post.calls] == ["bob@example.com", "new@example.com"]


async def test_the_sends_own_address_is_kept(tenant: Tenant, mongodb_uri: str) -> None:
    """A send with an address of its own goes there at every attempt, whatever the profile has."""
    answers = iter([TEMPORARY])
    post = Post(answer=lambda _: next(answers, ACCEPTED))
    await tenant.backend.users.IdentifyUser(users_pb2.IdentifyUserRequest(user=mail().user))
    clock = MovingClock()
    async with run_workers(mongodb_uri, everything(post), now=clock):
        [sent] = await tenant.send(mail({"id": "bob", "email": "here@example.com"}))
        await until(tenant, sent.tracking_id, EMAIL, lambda one: bool(one.attempts))
        clock.move(timedelta(hours=1))
        await until_final(tenant, sent.tracking_id, EMAIL)
        [next_one] = await tenant.send(mail({"id": "bob"}))
        await until_final(tenant, next_one.tracking_id, EMAIL)

    assert [call.target for call in post.calls] == ["here@example.com"] * 2 + ["bob@example.com"]


async def test_each_device_has_its_own_outcome(tenant: Tenant, mongodb_uri: str) -> None:
    """A push is sent when one device has it; the others are tried again alone, and who is gone leaves the profile."""
    answers = {
        "good": [ACCEPTED],
        "slow": [TEMPORARY, ACCEPTED],
        "gone": [Answer(AttemptOutcome.TARGET_GONE, detail="Unregistered")],
        "bad": [PERMANENT],
    }
    post = Post(answer=lambda outgoing: answers[token_of(outgoing)].pop(0))
    clock = MovingClock()
    async with run_workers(mongodb_uri, everything(post), now=clock):
        [sent] = await tenant.send(push("good", "slow", "gone", "bad"))
        waiting = await until(tenant, sent.tracking_id, PUSH, lambda one: bool(one.attempts))
        assert (state_of(waiting), waiting.HasField("next_time")) == ("SENT", True)
        assert await tokens_of(tenant) == ["good", "slow", "bad"]

        clock.move(timedelta(hours=1))
        delivery = await until_final(tenant, sent.tracking_id, PUSH)

    assert [token_of(call) for call in post.calls][4:] == ["slow"]
    assert {one.target: state_of(one) for one in delivery.targets} == {
        "good": "SENT",
        "slow": "SENT",
        "gone": "FAILED",
        "bad": "FAILED",
    }


async def test_a_push_that_no_device_has_taken_has_failed(tenant: Tenant, mongodb_uri: str) -> None:
    """A push is failed when it has failed on every device."""
    async with run_workers(mongodb_uri, everything(Post(answer=lambda _: PERMANENT))):
        [sent] = await tenant.send(push("a", "b"))
        delivery = await until_final(tenant, sent.tracking_id, PUSH)

    assert (state_of(delivery), [state_of(one) for one in delivery.targets]) == ("FAILED", ["FAILED"] * 2)


async def test_a_device_that_is_registered_again_stays(tenant: Tenant, mongodb_uri: str) -> None:
    """What a provider says of a token's past does not take out one that was registered since."""
    long_ago = Answer(AttemptOutcome.TARGET_GONE, gone_time=utc_now() - timedelta(days=1))
    async with run_workers(mongodb_uri, everything(Post(answer=lambda _: long_ago))):
        [sent] = await tenant.send(push("back"))
        delivery = await until_final(tenant, sent.tracking_id, PUSH)

    assert (state_of(delivery), outcomes_of(delivery)) == ("FAILED", ["TARGET_GONE"])
    assert await tokens_of(tenant) == ["back"]


async def test_no_failure_but_gone_takes_a_device_out(tenant: Tenant, mongodb_uri: str) -> None:
    """Neither a temporary nor a permanent nor an unknown outcome removes a token."""
    answers = iter([TEMPORARY, Answer(AttemptOutcome.UNKNOWN), PERMANENT])
    async with run_workers(mongodb_uri, everything(Post(answer=lambda _: next(answers)))):
        [sent] = await tenant.send(push("mine"))
        delivery = await until_final(tenant, sent.tracking_id, PUSH)

    assert outcomes_of(delivery) == ["TEMPORARY_FAILURE", "UNKNOWN", "PERMANENT_FAILURE"]
    assert await tokens_of(tenant) == ["mine"]


async def test_a_provider_that_hangs_holds_up_nobody_else(world: World, tenant: Tenant, mongodb_uri: str) -> None:
    """However many mails wait for a mail server that does not answer, a text goes out; the mails wait in MongoDB."""
    hung, texts = Post(name="hung", max_in_flight=1, deadline_s=30), Post(name="texts")
    hung.gate.clear()
    mails = await asyncio.gather(*(tenant.send(mail()) for _ in range(MAX_MESSAGES + 450)))
    async with run_workers(mongodb_uri, Providers(email=hung, sms=texts)):
        await hung.called.acquire()
        [sent] = await tenant.send(send_request(user=BOB, force_channels=[SMS]))
        delivery = await until_final(tenant, sent.tracking_id, SMS)
        last = (await logged(tenant, mails[-1][0].tracking_id)).deliveries[0]
        put_off = await world.database.messages.count_documents({"deliveries.next_time": {"$exists": True}})
        hung.gate.set()

    assert outcomes_of(delivery) == ["ACCEPTED"]
    assert (state_of(last), outcomes_of(last)) == ("PENDING", [])
    assert put_off > 0
    assert len(hung.calls) <= 2


async def test_bulk_never_holds_up_single_sends(world: World, tenant: Tenant, mongodb_uri: str) -> None:
    """However much of the bulk lane waits for a provider, a single send is handed to it before that."""
    post = Post(max_in_flight=1)
    post.gate.clear()
    bulk = [mail(priority=channel_pb2.PRIORITY_LOW) for _ in range(MAX_MESSAGES + 50)]
    await asyncio.gather(*(tenant.send(one) for one in bulk))
    async with run_workers(mongodb_uri, everything(post)):
        await until_leased(world, count=MAX_MESSAGES // 2)
        [sent] = await tenant.send(mail({"id": "alice", "email": "alice@example.com"}))
        await until_leased(world, sent.tracking_id)
        assert await count_leased(world) == MAX_MESSAGES // 2 + 1
        post.gate.set()
        await until_final(tenant, sent.tracking_id, EMAIL)

    before = [call.tracking_id for call in post.calls].index(sent.tracking_id)
    # The worker needs a moment for what it has claimed; 250 stand in the queue.
    assert before < 100


def token_of(outgoing: Outgoing) -> str:
    """Gives the token that a push goes to."""
    assert isinstance(outgoing.target, PushToken)
    return outgoing.target.token
