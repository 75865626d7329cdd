"""PUSH over APNs, from Send to what Apple gets, and back to the log and the profile."""

from __future__ import annotations

from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from carillon.v1 import channel_pb2, content_pb2, delivery_pb2, notifications_pb2, send_options_pb2, user_pb2, users_pb2
from services.delivery.app import open_providers
from services.delivery.channels.apns import Apns
from services.delivery.providers import Providers
from services.settings import WorkerSettings
from tests.contract.delivery.world import outcomes_of, run_workers, state_of, until, until_final
from tests.contract.services.requests import INAPP_WEB, PUSH, definition, inapp, outcomes, send_request
from tests.contract.services.world import MASTER_KEY
from tests.providers import apns as apple
from tests.providers.apns import CUT, SILENCE, Reply

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.contract.services.world import Tenant

pytestmark = pytest.mark.asyncio(loop_scope="session")

BEFORE, AFTER = timedelta(days=-1), timedelta(days=1)


@pytest.fixture
def server(tmp_path: Path) -> apple.Apns:
    """Gives Apple's side, which does not listen yet."""
    return apple.Apns(tmp_path)


@asynccontextmanager
async def running(server: apple.Apns, mongodb_uri: str) -> AsyncIterator[None]:
    """Runs a worker that is configured for the server."""
    async with server.serve():
        settings = WorkerSettings(apns=server.settings())
        async with open_providers(settings, master_key=MASTER_KEY) as providers, run_workers(mongodb_uri, providers):
            yield


def push(title: str = "Hello", **texts: Any) -> notifications_pb2.Template:
    """Makes a template of a push."""
    return notifications_pb2.Template(
        content=content_pb2.Content(push=content_pb2.PushContent(title=title, **texts)),
    )


def device(token: str = "a1b2c3", *, app_id: str = "", sandbox: bool = False) -> user_pb2.PushToken:
    """Makes an Apple device."""
    return user_pb2.PushToken(
        provider=user_pb2.PUSH_PROVIDER_APN, token=token, device=user_pb2.Device(app_id=app_id), sandbox=sandbox
    )


async def sent(
    tenant: Tenant, *devices: user_pb2.PushToken, apn: dict[str, Any] | None = None, notification_id: str = "n"
) -> str:
    """Sends to a user with these devices, and gives the tracking id."""
    options = send_options_pb2.SendOptions(apn=send_options_pb2.ApnOptions(**apn or {}))
    user = {"id": "u", "push_tokens": devices or [device()]}
    [answer] = await tenant.send(send_request(notification_id, user=user, options=options, merge_tags={}))
    return answer.tracking_id


async def delivered(tenant: Tenant, *devices: user_pb2.PushToken, **fields: Any) -> delivery_pb2.Delivery:
    """Sends, and gives what became of the push."""
    return await until_final(tenant, await sent(tenant, *devices, **fields), PUSH)


async def tokens(tenant: Tenant) -> list[str]:
    """Gives the tokens that the user has now."""
    answer = await tenant.backend.users.GetUser(users_pb2.GetUserRequest(user_id="u"))
    return [one.token for one in answer.user.push_tokens]


def at(seconds: int) -> datetime:
    """Gives a time as an option takes it."""
    return datetime.fromtimestamp(seconds, UTC)


@pytest.mark.parametrize(
    ("apn", "headers", "aps"),
    [
        ({}, {}, {}),
        ({"expire_time": at(4_000_000_000)}, {"apns-expiration": "4000000000"}, {}),
        ({"expire_time": at(0)}, {"apns-expiration": "0"}, {}),
        ({"priority": 10}, {"apns-priority": "10"}, {}),
        ({"priority": 5}, {"apns-priority": "5"}, {}),
        ({"priority": 1}, {"apns-priority": "1"}, {}),
        ({"collapse_id": "c" * 64}, {"apns-collapse-id": "c" * 64}, {}),
        ({"thread_id": "thread é"}, {}, {"thread-id": "thread é"}),
        ({"badge": 7}, {}, {"badge": 7}),
        ({"badge": 0}, {}, {"badge": 0}),
        ({"sound": "chime.aiff"}, {}, {"sound": "chime.aiff"}),
        ({"content_available": True}, {}, {"content-available": 1}),
    ],
    ids=lambda value: ",".join(f"{name}={text}" for name, text in value.items()),
)
async def test_an_option_arrives(
    tenant: Tenant,
    mongodb_uri: str,
    server: apple.Apns,
    apn: dict[str, Any],
    headers: dict[str, str],
    aps: dict[str, Any],
) -> None:
    """Each option of the send is in the header or in the key that APNs has for it, and nothing else is."""
    await tenant.put(definition("n", push("Hello", body="World"), channels=[PUSH]))
    async with running(server, mongodb_uri):
        tracking_id = await sent(tenant, apn=apn)
        delivery = await until_final(tenant, tracking_id, PUSH)

    [got] = server.pushes
    assert got.payload == {
        "aps": {"alert": {"title": "Hello", "body": "World"}} | aps,
        "tracking_id": tracking_id,
        "notification_id": "n",
    }
    expected = {
        ":method": "POST",
        ":scheme": "https",
        ":path": "/3/device/a1b2c3",
        "host": apple.PRODUCTION,
        "apns-topic": apple.TOPIC,
        "apns-push-type": "alert",
        "apns-id": delivery.attempts[0].provider_id,
        "apns-collapse-id": tracking_id,
    }
    assert {name: value for name, value in got.headers.items() if name != "authorization"} == expected | headers
    assert (state_of(delivery), outcomes_of(delivery), delivery.attempts[0].provider) == ("SENT", ["ACCEPTED"], "apns")


async def test_the_app_gets_what_belongs_to_the_push(tenant: Tenant, mongodb_uri: str, server: apple.Apns) -> None:
    """Link, picture and the ids stand beside aps, and a picture lets the app's extension fetch it."""
    texts = {"url": "app://order/{{ n }}", "image_url": "https://example.com/{{ n }}.png"}
    await tenant.put(definition("n", push("Hi", **texts), inapp("Hi"), channels=[PUSH, INAPP_WEB]))
    async with running(server, mongodb_uri):
        request = send_request("n", user={"id": "u", "push_tokens": [device()]}, merge_tags={"n": 7})
        [answer] = await tenant.send(request)
        await until_final(tenant, answer.tracking_id, PUSH)

    [got] = server.pushes
    assert got.payload == {
        "aps": {"alert": {"title": "Hi"}, "mutable-content": 1},
        "url": "app://order/7",
        "image_url": "https://example.com/7.png",
        "tracking_id": answer.tracking_id,
        "item_id": answer.item_id,
        "notification_id": "n",
    }


async def test_each_device_has_its_app_and_its_environment(
    tenant: Tenant, mongodb_uri: str, server: apple.Apns
) -> None:
    """A token's app and sandbox decide topic and host."""
    await tenant.put(definition("n", push(), channels=[PUSH]))
    async with running(server, mongodb_uri):
        await delivered(tenant, device("aa"), device("bb", app_id="com.example.other", sandbox=True))

    assert {(got.device, got.host, got.headers["apns-topic"]) for got in server.pushes} == {
        ("aa", apple.PRODUCTION, apple.TOPIC),
        ("bb", apple.SANDBOX, "com.example.other"),
    }


async def test_each_device_has_an_outcome(tenant: Tenant, mongodb_uri: str, server: apple.Apns) -> None:
    """One is gone, one refused, one busy at first: the push is sent, and only what was busy comes again."""
    busy = iter([Reply(503, "ServiceUnavailable"), Reply(429, "TooManyRequests")])
    replies = {
        "aa": lambda: apple.ACCEPTED,
        "bb": lambda: Reply(410, "Unregistered", timestamp=_milliseconds(AFTER)),
        "cc": lambda: Reply(400, "DeviceTokenNotForTopic"),
        "dd": lambda: next(busy, apple.ACCEPTED),
    }
    server.answer = lambda got: replies[got.device]()
    await tenant.put(definition("n", push(), channels=[PUSH]))
    async with running(server, mongodb_uri):
        delivery = await delivered(tenant, *map(device, replies))
        left = await tokens(tenant)

    assert state_of(delivery) == "SENT"
    assert sorted(outcomes_of(delivery)[:4]) == ["ACCEPTED", "PERMANENT_FAILURE", "TARGET_GONE", "TEMPORARY_FAILURE"]
    assert outcomes_of(delivery)[4:] == ["TEMPORARY_FAILURE", "ACCEPTED"]
    assert [len(server.of(token)) for token in replies] == [1, 1, 1, 3]
    assert left == ["aa", "cc", "dd"]


@pytest.mark.parametrize(
    ("reply", "stays"),
    [
        (Reply(410, "Unregistered"), False),
        (Reply(400, "BadDeviceToken"), False),
        (Reply(400, "DeviceTokenNotForTopic"), True),
        (Reply(413, "PayloadTooLarge"), True),
    ],
    ids=lambda value: value.reason if isinstance(value, Reply) else "",
)
async def test_a_token_that_is_gone_leaves_the_profile(
    tenant: Tenant, mongodb_uri: str, server: apple.Apns, reply: Reply, stays: bool
) -> None:
    """Only what Apple says of the device itself takes its token away."""
    server.answer = lambda _: reply
    await tenant.put(definition("n", push(), channels=[PUSH]))
    async with running(server, mongodb_uri):
        delivery = await delivered(tenant)
        left = await tokens(tenant)

    assert state_of(delivery) == "FAILED"
    assert delivery.attempts[0].detail == f"{reply.status} {reply.reason}"
    assert left == (["a1b2c3"] if stays else [])


@pytest.mark.parametrize(("since", "left"), [(AFTER, []), (BEFORE, ["a1b2c3"])], ids=["gone", "registered since"])
async def test_a_token_registered_again_stays(
    tenant: Tenant, mongodb_uri: str, server: apple.Apns, since: timedelta, left: list[str]
) -> None:
    """Apple's timestamp is compared with the registration: who came back later keeps the token."""
    server.answer = lambda _: Reply(410, "Unregistered", timestamp=_milliseconds(since))
    await tenant.put(definition("n", push(), channels=[PUSH]))
    async with running(server, mongodb_uri):
        await delivered(tenant)
        assert await tokens(tenant) == left


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        (Reply(500, "InternalServerError"), "TEMPORARY_FAILURE"),
        (Reply(503, "Shutdown"), "TEMPORARY_FAILURE"),
        (Reply(429, "TooManyRequests"), "TEMPORARY_FAILURE"),
        (Reply(403, "ExpiredProviderToken"), "TEMPORARY_FAILURE"),
        (CUT, "UNKNOWN"),
    ],
    ids=["500", "503", "429", "403", "cut"],
)
async def test_what_is_not_the_devices_fault_is_tried_again(
    tenant: Tenant, mongodb_uri: str, server: apple.Apns, reply: Reply, outcome: str
) -> None:
    """It comes again, under the same ids, and takes no token away."""
    replies = iter([reply])
    server.answer = lambda _: next(replies, apple.ACCEPTED)
    await tenant.put(definition("n", push(), channels=[PUSH]))
    async with running(server, mongodb_uri):
        delivery = await delivered(tenant)
        left = await tokens(tenant)

    assert outcomes_of(delivery) == [outcome, "ACCEPTED"]
    assert len({(got.headers["apns-id"], got.headers["apns-collapse-id"]) for got in server.pushes}) == 1
    assert left == ["a1b2c3"]


async def test_retry_after_holds_the_push_back(tenant: Tenant, mongodb_uri: str, server: apple.Apns) -> None:
    """The next attempt is no sooner than Apple asks for."""
    server.answer = lambda _: Reply(503, "ServiceUnavailable", headers={"retry-after": "3600"})
    await tenant.put(definition("n", push(), channels=[PUSH]))
    async with running(server, mongodb_uri):
        tracking_id = await sent(tenant)
        delivery = await until(tenant, tracking_id, PUSH, lambda one: bool(one.attempts))

    waits = delivery.next_time.ToDatetime(tzinfo=UTC) - delivery.attempts[0].start_time.ToDatetime(tzinfo=UTC)
    assert timedelta(seconds=3600) <= waits < timedelta(seconds=3660)


async def test_no_answer_is_unknown_at_the_deadline(tenant: Tenant, mongodb_uri: str, server: apple.Apns) -> None:
    """A push that is never answered is recorded as unknown, and goes again on another connection."""
    replies = iter([SILENCE])
    server.answer = lambda _: next(replies, apple.ACCEPTED)
    await tenant.put(definition("n", push(), channels=[PUSH]))
    async with server.serve(), Apns(server.settings()) as channel:
        channel.deadline_s = 2.0
        async with run_workers(mongodb_uri, Providers(apns=channel)):
            delivery = await delivered(tenant)

    assert outcomes_of(delivery)[0] == "UNKNOWN"
    assert delivery.attempts[0].detail == "no answer within 2 s"
    assert (state_of(delivery), server.pushes[-1].connection) == ("SENT", 2)


@pytest.mark.parametrize(("body", "outcome"), [("x" * 3700, "PENDING"), ("é" * 2000, "CONTENT_TOO_LARGE")])
async def test_what_apns_cannot_carry_is_not_planned(tenant: Tenant, body: str, outcome: str) -> None:
    """A payload over 4,096 bytes is skipped in the answer to the send; the log says how large it is."""
    await tenant.put(definition("n", push("Hello", body=body), inapp("Hi"), channels=[PUSH, INAPP_WEB]))
    [answer] = await tenant.send(send_request("n", user={"id": "u", "push_tokens": [device()]}, merge_tags={}))

    assert outcomes(answer) == {"PUSH": outcome, "INAPP_WEB": "DELIVERED"}
    details = {channel_pb2.Channel.Name(one.channel): one.detail for one in answer.deliveries}
    assert ("bytes as APNs' payload; APNs carries 4096" in details["CHANNEL_PUSH"]) == (outcome != "PENDING")


async def test_no_apns_no_push(tenant: Tenant, mongodb_uri: str) -> None:
    """Without settings for it, PUSH to an Apple device is not configured."""
    await tenant.put(definition("n", push(), channels=[PUSH]))
    async with (
        open_providers(WorkerSettings(), master_key=MASTER_KEY) as providers,
        run_workers(mongodb_uri, providers),
    ):
        delivery = await delivered(tenant)

    assert delivery_pb2.SkipReason.Name(delivery.reason) == "SKIP_REASON_PROVIDER_NOT_CONFIGURED"


def _milliseconds(since: timedelta) -> int:
    return int((datetime.now(UTC) + since).timestamp() * 1000)
