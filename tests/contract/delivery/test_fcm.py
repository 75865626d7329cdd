"""PUSH over FCM: what arrives there, what its answers mean, and that the library holds up nobody."""

from __future__ import annotations

import asyncio
import json
import threading
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from firebase_admin import messaging
from google.protobuf.duration_pb2 import Duration

from carillon.v1 import (
    channel_pb2,
    content_pb2,
    notifications_pb2,
    send_options_pb2,
    sender_pb2,
    user_pb2,
    users_pb2,
)
from services.delivery.app import open_providers
from services.delivery.channels.fcm import Fcm
from services.delivery.channels.fcm_client import FcmClient
from services.delivery.channels.fcm_token import HandedCredentials
from services.delivery.model import Answer, Outgoing, ProviderCheckError
from services.delivery.providers import Providers
from services.delivery.retry_after import MAX_RETRY_AFTER
from services.delivery.settings import FcmSettings
from services.environments.model import Environment
from services.kernel.clock import utc_now
from services.kernel.process import SettingsError
from services.kernel.vocabulary import Channel
from services.messages.model import AttemptOutcome
from services.messages.options import NO_OPTIONS
from services.notifications.model import Content
from services.settings import WorkerSettings
from services.users.model import PushToken
from tests.contract.delivery.world import (
    MovingClock,
    Post,
    outcomes_of,
    run_workers,
    state_of,
    until,
    until_final,
)
from tests.contract.services.requests import definition, send_request
from tests.contract.services.world import MASTER_KEY
from tests.providers.authority import Authority
from tests.providers.fcm import (
    INVALID_TOKEN,
    PROJECT,
    UNAUTHENTICATED,
    UNAVAILABLE,
    UNREGISTERED,
    FcmServer,
    Pushed,
    accepted,
    refused,
)
from tests.providers.http2 import Reply

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from services.kernel.clock import Clock
    from tests.contract.services.world import Tenant

pytestmark = pytest.mark.asyncio(loop_scope="session")

PUSH = channel_pb2.CHANNEL_PUSH
EMAIL = channel_pb2.CHANNEL_EMAIL
PHONE = "fRDL9LVZTA2:APA91bGFdaU7I3-phone"
TABLET = "eTiq3vYqQ0y:APA91bHPRgkF3J-tablet"
WATCH = "cIx8OHJYS0m:APA91bE6qVmF4n-watch"


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Gives the authority that signed the server's certificate."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest_asyncio.fixture(loop_scope="session")
async def server(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FcmServer]:
    """Gives an FCM of the test's own, which the process trusts."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca_file))
    async with FcmServer().serve(authority) as server:
        yield server


@pytest_asyncio.fixture(loop_scope="session")
async def fcm(server: FcmServer, tmp_path: Path) -> AsyncIterator[Fcm]:
    """Gives the provider, on connections of its own."""
    async with open_fcm(server, tmp_path) as provider:
        yield provider


@asynccontextmanager
async def open_fcm(server: FcmServer, directory: Path, *, now: Clock = utc_now, **key: str) -> AsyncIterator[Fcm]:
    """Gives the provider with a key that may differ from the right one."""
    settings = FcmSettings(credentials_file=server.write_key(directory, **key), connect_to=server.address)
    async with Fcm(settings, now=now) as provider:
        yield provider


@pytest_asyncio.fixture(loop_scope="session")
async def pushing(tenant: Tenant) -> Tenant:
    """Gives an environment with a notification that is pushed."""
    content = content_pb2.PushContent(
        title="{{ item }} is on its way",
        body="To {{ address }}",
        url="https://example.com/orders/{{ orderId }}",
        image_url="https://example.com/burger.png",
    )
    template = notifications_pb2.Template(content=content_pb2.Content(push=content))
    await tenant.put(definition("pushed", template, channels=[PUSH]))
    return tenant


def push_request(
    *tokens: str, options: send_options_pb2.SendOptions | None = None, **fields: Any
) -> sender_pb2.SendRequest:
    """Makes a send to a user with these devices."""
    provider = user_pb2.PUSH_PROVIDER_FCM
    devices = [user_pb2.PushToken(provider=provider, token=token) for token in tokens]
    return send_request("pushed", user={"id": "u", "push_tokens": devices}, options=options, **fields)


def outgoing(token: str = PHONE, **fields: Any) -> Outgoing:
    """Makes one call, for what is about the provider alone."""
    given: dict[str, Any] = {
        "environment": Environment("c", ()),
        "user_id": "u",
        "tracking_id": "t",
        "notification_id": "n",
        "content": Content(Channel.PUSH, {"title": "Hello"}),
        "target": PushToken("FCM", token, {}),
        "expire_time": utc_now() + timedelta(days=90),
        "options": NO_OPTIONS,
    }
    return Outgoing(**given | fields)


def for_each(answers: dict[str, Callable[[Pushed], Reply | None]]) -> Callable[[Pushed], Reply | None]:
    """Answers each device as it is told."""
    return lambda pushed: answers[pushed.token](pushed)


async def stored_tokens(tenant: Tenant) -> list[str]:
    """Gives the devices that the user's profile has."""
    answer = await tenant.backend.users.GetUser(users_pb2.GetUserRequest(user_id="u"))
    return [one.token for one in answer.user.push_tokens]


async def test_a_push_arrives_whole(pushing: Tenant, mongodb_uri: str, server: FcmServer, fcm: Fcm) -> None:
    """The device shows the rendered texts, the app gets url and ids, and the log has FCM's own name for it."""
    async with run_workers(mongodb_uri, Providers(fcm=fcm)):
        [sent] = await pushing.send(push_request(PHONE))
        delivery = await until_final(pushing, sent.tracking_id, PUSH)

    [pushed] = server.pushed
    assert pushed.message == {
        "token": PHONE,
        "notification": {
            "title": "Krabby Patty Burger is on its way",
            "body": "To 124 Conch Street",
            "image": "https://example.com/burger.png",
        },
        "data": {
            "url": "https://example.com/orders/1234567890",
            "tracking_id": sent.tracking_id,
            "notification_id": "pushed",
        },
        "android": {"priority": "high"},
        "apns": {"headers": {"apns-priority": "10"}},
    }
    assert not pushed.is_validated_only
    [attempt] = delivery.attempts
    assert (state_of(delivery), attempt.provider) == ("SENT", "fcm")
    assert attempt.provider_id.startswith(f"projects/{PROJECT}/messages/")


async def test_the_item_s_id_goes_along(pushing: Tenant, mongodb_uri: str, server: FcmServer, fcm: Fcm) -> None:
    """Where the message is in the inbox too, the app gets the item's id, to mark it."""
    template = notifications_pb2.Template(content=content_pb2.Content(push=content_pb2.PushContent(title="Hi")))
    inapp = notifications_pb2.Template(content=content_pb2.Content(inapp=content_pb2.InappContent(title="Hi")))
    await pushing.put(definition("pushed", template, inapp, channels=[PUSH, channel_pb2.CHANNEL_INAPP_WEB]))
    async with run_workers(mongodb_uri, Providers(fcm=fcm)):
        [sent] = await pushing.send(push_request(PHONE))
        await until_final(pushing, sent.tracking_id, PUSH)

    assert sent.item_id
    assert server.pushed[0].message["data"]["item_id"] == sent.item_id


ANDROID = send_options_pb2.FcmAndroidOptions
NORMAL, HIGH = send_options_pb2.FCM_ANDROID_PRIORITY_NORMAL, send_options_pb2.FCM_ANDROID_PRIORITY_HIGH
OPTIONS = {
    "collapse_key": (ANDROID(collapse_key="orders"), {"collapse_key": "orders", "priority": "high"}),
    "priority-normal": (ANDROID(priority=NORMAL), {"priority": "normal"}),
    "priority-high": (ANDROID(priority=HIGH), {"priority": "high"}),
    "ttl": (ANDROID(ttl=Duration(seconds=3600)), {"ttl": "3600s", "priority": "high"}),
    "ttl-of-parts": (ANDROID(ttl=Duration(seconds=1, nanos=500_000_000)), {"ttl": "1.500000000s", "priority": "high"}),
    "ttl-now-or-never": (ANDROID(ttl=Duration()), {"ttl": "0s", "priority": "high"}),
    "restricted_package_name": (
        ANDROID(restricted_package_name="com.example.app"),
        {"restricted_package_name": "com.example.app", "priority": "high"},
    ),
}


@pytest.mark.parametrize(("android", "expected"), OPTIONS.values(), ids=OPTIONS)
async def test_each_android_option_arrives(
    pushing: Tenant,
    mongodb_uri: str,
    server: FcmServer,
    fcm: Fcm,
    android: send_options_pb2.FcmAndroidOptions,
    expected: dict[str, str],
) -> None:
    """What the seeds' table has under fcm.android is in what FCM gets."""
    options = send_options_pb2.SendOptions(fcm=send_options_pb2.FcmOptions(android=android))
    async with run_workers(mongodb_uri, Providers(fcm=fcm)):
        [sent] = await pushing.send(push_request(PHONE, options=options))
        await until_final(pushing, sent.tracking_id, PUSH)

    assert server.pushed[0].message["android"] == expected


async def test_apple_s_options_go_along(pushing: Tenant, mongodb_uri: str, server: FcmServer, fcm: Fcm) -> None:
    """A device of Apple's that is registered with FCM gets what options.apn says: FCM hands it on to APNs."""
    apn = send_options_pb2.ApnOptions(
        priority=5, collapse_id="orders", thread_id="orders-1", badge=0, sound="chime.aiff", content_available=True
    )
    apn.expire_time.FromSeconds(2_000_000_000)
    async with run_workers(mongodb_uri, Providers(fcm=fcm)):
        [sent] = await pushing.send(push_request(PHONE, options=send_options_pb2.SendOptions(apn=apn)))
        await until_final(pushing, sent.tracking_id, PUSH)

    assert server.pushed[0].message["apns"] == {
        "headers": {"apns-priority": "5", "apns-collapse-id": "orders", "apns-expiration": "2000000000"},
        "payload": {"aps": {"badge": 0, "sound": "chime.aiff", "thread-id": "orders-1", "content-available": 1}},
    }


async def test_normal_priority_is_apple_s_5(pushing: Tenant, mongodb_uri: str, server: FcmServer, fcm: Fcm) -> None:
    """On iOS, FCM's normal priority is APNs' 5, as the seed's table has it."""
    options = send_options_pb2.SendOptions(fcm=send_options_pb2.FcmOptions(android=ANDROID(priority=NORMAL)))
    async with run_workers(mongodb_uri, Providers(fcm=fcm)):
        [sent] = await pushing.send(push_request(PHONE, options=options))
        await until_final(pushing, sent.tracking_id, PUSH)

    assert server.pushed[0].message["apns"]["headers"]["apns-priority"] == "5"


async def test_fcm_keeps_nothing_longer_than_the_message(server: FcmServer, fcm: Fcm) -> None:
    """A message that ends before the 28 days are over is not kept by FCM, nor by APNs, for longer."""
    end = utc_now() + timedelta(hours=1)

    await fcm.deliver(outgoing(expire_time=end))

    message = server.pushed[0].message
    assert 3500 < int(message["android"]["ttl"].removesuffix("s")) <= 3600
    assert message["apns"]["headers"]["apns-expiration"] == str(int(end.timestamp()))


async def test_an_installation_id_is_an_address_too(server: FcmServer, fcm: Fcm) -> None:
    """An app that registers by its Firebase installation id, as Google wants now, is addressed by it."""
    await fcm.deliver(outgoing("cIx8OHJYS0mXw1R4sT7uVz"))

    assert server.pushed[0].message["fid"] == "cIx8OHJYS0mXw1R4sT7uVz"
    assert "token" not in server.pushed[0].message


async def test_each_device_has_its_own_outcome(pushing: Tenant, mongodb_uri: str, server: FcmServer, fcm: Fcm) -> None:
    """One accepts, one is gone and leaves the profile, one is busy and tried again alone: the push is sent."""
    busy = iter([UNAVAILABLE, accepted])
    server.answer = for_each({PHONE: accepted, TABLET: UNREGISTERED, WATCH: lambda pushed: next(busy)(pushed)})
    async with run_workers(mongodb_uri, Providers(fcm=fcm)):
        [sent] = await pushing.send(push_request(PHONE, TABLET, WATCH))
        delivery = await until_final(pushing, sent.tracking_id, PUSH)

    assert [pushed.token for pushed in server.pushed[3:]] == [WATCH]
    assert sorted(pushed.token for pushed in server.pushed[:3]) == sorted([PHONE, TABLET, WATCH])
    assert state_of(delivery) == "SENT"
    assert sorted(outcomes_of(delivery)) == ["ACCEPTED", "ACCEPTED", "TARGET_GONE", "TEMPORARY_FAILURE"]
    assert {one.target: state_of(one) for one in delivery.targets} == {
        PHONE[-8:]: "SENT",
        TABLET[-8:]: "FAILED",
        WATCH[-8:]: "SENT",
    }
    assert await stored_tokens(pushing) == [PHONE, WATCH]


async def test_a_quota_is_waited_for(pushing: Tenant, mongodb_uri: str, server: FcmServer, fcm: Fcm) -> None:
    """Over FCM's quota the next attempt is not before Retry-After has passed, and then the push goes."""
    clock = MovingClock()
    server.answer = refused(
        429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED", message="Quota exceeded.", headers={"retry-after": "300"}
    )
    async with run_workers(mongodb_uri, Providers(fcm=fcm), now=clock):
        [sent] = await pushing.send(push_request(PHONE))
        delivery = await until(pushing, sent.tracking_id, PUSH, lambda one: bool(one.attempts))
        [attempt] = delivery.attempts
        wait = delivery.next_time.ToDatetime() - attempt.start_time.ToDatetime()
        server.answer = accepted
        clock.move(timedelta(seconds=300))
        delivery = await until_final(pushing, sent.tracking_id, PUSH)

    assert timedelta(seconds=300) <= wait < timedelta(seconds=360)
    assert attempt.detail == "Quota exceeded."
    assert outcomes_of(delivery) == ["TEMPORARY_FAILURE", "ACCEPTED"]


SAID = "FCM's words"
ANSWERS: dict[str, tuple[Callable[[Pushed], Reply], AttemptOutcome, str, timedelta | None]] = {
    "unregistered": (
        UNREGISTERED,
        AttemptOutcome.TARGET_GONE,
        "Requested entity was not found.",
        None,
    ),
    "invalid": (
        INVALID_TOKEN,
        AttemptOutcome.PERMANENT_FAILURE,
        "The registration token is not a valid FCM registration token",
        None,
    ),
    "sender-id-mismatch": (
        refused(403, "PERMISSION_DENIED", "SENDER_ID_MISMATCH", message=SAID),
        AttemptOutcome.PERMANENT_FAILURE,
        f"the device belongs to another Firebase project: {SAID}",
        None,
    ),
    "third-party-auth": (
        refused(401, "UNAUTHENTICATED", "THIRD_PARTY_AUTH_ERROR", message=SAID),
        AttemptOutcome.TEMPORARY_FAILURE,
        f"the Firebase project's key for APNs or Web Push is missing or wrong: {SAID}",
        None,
    ),
    "no-permission": (
        refused(403, "PERMISSION_DENIED", message=SAID),
        AttemptOutcome.TEMPORARY_FAILURE,
        f"FCM does not let the key in: {SAID}",
        None,
    ),
    "no-project": (
        refused(404, "NOT_FOUND", message=SAID),
        AttemptOutcome.TEMPORARY_FAILURE,
        f"FCM does not let the key in: {SAID}",
        None,
    ),
    "quota-without-a-time": (
        refused(429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED", message=SAID),
        AttemptOutcome.TEMPORARY_FAILURE,
        SAID,
        timedelta(minutes=1),
    ),
    "quota-with-a-senseless-time": (
        refused(429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED", message=SAID, headers={"retry-after": "soon"}),
        AttemptOutcome.TEMPORARY_FAILURE,
        SAID,
        timedelta(minutes=1),
    ),
    "unavailable": (
        refused(503, "UNAVAILABLE", "UNAVAILABLE", message=SAID),
        AttemptOutcome.TEMPORARY_FAILURE,
        SAID,
        None,
    ),
    "unavailable-for-a-time": (
        refused(503, "UNAVAILABLE", "UNAVAILABLE", message=SAID, headers={"retry-after": "17"}),
        AttemptOutcome.TEMPORARY_FAILURE,
        SAID,
        timedelta(seconds=17),
    ),
    "unavailable-until-the-past": (
        refused(503, "UNAVAILABLE", message=SAID, headers={"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}),
        AttemptOutcome.TEMPORARY_FAILURE,
        SAID,
        None,
    ),
    "unavailable-for-ever": (
        refused(503, "UNAVAILABLE", message=SAID, headers={"retry-after": "9" * 5000}),
        AttemptOutcome.TEMPORARY_FAILURE,
        SAID,
        MAX_RETRY_AFTER,
    ),
    "internal": (refused(500, "INTERNAL", "INTERNAL", message=SAID), AttemptOutcome.TEMPORARY_FAILURE, SAID, None),
    "a-gateway-s-page": (
        lambda _: Reply(502, {"content-type": "text/html"}, b"<h1>Bad Gateway</h1>"),
        AttemptOutcome.TEMPORARY_FAILURE,
        "Unexpected HTTP response with status: 502; body: <h1>Bad Gateway</h1>",
        None,
    ),
    "the-token-in-its-words": (
        refused(400, "INVALID_ARGUMENT", message=f"{PHONE} is none"),
        AttemptOutcome.PERMANENT_FAILURE,
        "…I3-phone is none",
        None,
    ),
}


@pytest.mark.parametrize(("reply", "outcome", "detail", "wait"), ANSWERS.values(), ids=ANSWERS)
async def test_each_answer_has_its_meaning(
    server: FcmServer,
    fcm: Fcm,
    reply: Callable[[Pushed], Reply],
    outcome: AttemptOutcome,
    detail: str,
    wait: timedelta | None,
) -> None:
    """FCM's errors are told apart, in its own words, without the device's token; only a device that is gone is gone."""
    server.answer = reply

    answer = await fcm.deliver(outgoing())

    assert answer == Answer(outcome, detail=detail, retry_after=wait)


@pytest.mark.parametrize("body", [b"{}", b"no JSON", b""])
async def test_an_acceptance_that_nobody_understands_is_unknown(server: FcmServer, fcm: Fcm, body: bytes) -> None:
    """A 200 without a name may be a push: one more try may double it, and the log says so. The next push goes."""
    server.answer = lambda _: Reply(200, {"content-type": "application/json"}, body)
    assert (await fcm.deliver(outgoing())).outcome is AttemptOutcome.UNKNOWN

    server.answer = accepted
    assert (await fcm.deliver(outgoing())).outcome is AttemptOutcome.ACCEPTED


@pytest.mark.parametrize("status", [500, 503])
async def test_the_library_repeats_nothing(server: FcmServer, fcm: Fcm, status: int) -> None:
    """An answer of 500 or 503 is one request: when the next one is made, the worker decides."""
    server.answer = refused(status, "UNAVAILABLE", headers={"retry-after": "60"})

    answer = await fcm.deliver(outgoing())

    assert (server.push_count, answer.retry_after) == (1, timedelta(seconds=60))


async def test_failures_cost_no_connection(server: FcmServer, fcm: Fcm) -> None:
    """More failed calls than a connection has streams leave nothing open on it: the next push goes."""
    server.answer = UNAVAILABLE
    for _ in range(120):
        await fcm.deliver(outgoing())
    server.answer = accepted

    assert (await fcm.deliver(outgoing())).outcome is AttemptOutcome.ACCEPTED
    assert (server.push_count, server.http.connection_count) == (121, 1)


async def test_many_at_once_share_one_thread_and_one_token(server: FcmServer, fcm: Fcm) -> None:
    """As many pushes as may be under way take one thread and one access token; connections are used again."""
    for _ in range(3):
        answers = await asyncio.gather(*(fcm.deliver(outgoing()) for _ in range(fcm.max_in_flight)))
        assert {answer.outcome for answer in answers} == {AttemptOutcome.ACCEPTED}

    assert server.token_count == 1
    assert server.http.connection_count <= fcm.max_in_flight
    assert [thread.name for thread in threading.enumerate()].count("fcm") == 1


async def test_a_connection_does_not_grow_old(server: FcmServer) -> None:
    """After so many calls a client is replaced, and what its connection remembers goes with it."""
    credentials = HandedCredentials()  # type: ignore[no-untyped-call] # google-auth types only some of it
    credentials.token = "t"
    server.tokens.append("t")
    message = messaging.Message(topic="t")
    server.answer = accepted
    client = FcmClient(PROJECT, credentials, timeout_s=10, connect_to=server.address, max_calls=3)
    async with client:
        responses = [await client.send(message) for _ in range(7)]

    assert all(response.success for response in responses)
    assert server.http.connection_count == 3


async def test_a_slow_answer_holds_up_no_other(server: FcmServer, fcm: Fcm) -> None:
    """While FCM takes its time over two pushes, a third gets its answer."""
    server.held = frozenset({PHONE})
    async with asyncio.TaskGroup() as tasks:
        slow = [tasks.create_task(fcm.deliver(outgoing(PHONE))) for _ in range(2)]
        for _ in slow:
            await server.arrived.acquire()
        quick = await fcm.deliver(outgoing(TABLET))
        assert not any(call.done() for call in slow)
        server.gate.set()

    assert {quick.outcome, *(call.result().outcome for call in slow)} == {AttemptOutcome.ACCEPTED}


async def test_a_connection_cut_in_mid_call_is_unknown(server: FcmServer, fcm: Fcm) -> None:
    """A push whose answer is lost may have been taken; the next goes on a new connection."""
    server.answer = lambda _: None
    async with asyncio.TaskGroup() as tasks:
        lost = tasks.create_task(fcm.deliver(outgoing()))
        await server.arrived.acquire()
        server.http.hang_up()
    server.answer = accepted

    assert lost.result().outcome is AttemptOutcome.UNKNOWN
    assert (await fcm.deliver(outgoing())).outcome is AttemptOutcome.ACCEPTED


async def test_a_call_that_is_given_up_leaves_nothing_behind(server: FcmServer, fcm: Fcm) -> None:
    """The worker's deadline ends calls that FCM never answers, and their connections; the next push goes."""
    server.answer = lambda _: None
    calls = [asyncio.create_task(fcm.deliver(outgoing())) for _ in range(fcm.max_in_flight)]
    for _ in calls:
        await server.arrived.acquire()
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    await server.http.all_closed()
    server.answer = accepted

    assert (await fcm.deliver(outgoing())).outcome is AttemptOutcome.ACCEPTED


async def test_a_call_that_is_given_up_costs_no_other(server: FcmServer, fcm: Fcm) -> None:
    """What is under way beside it gets its answer."""
    server.held = frozenset({PHONE})
    given_up, other = (asyncio.create_task(fcm.deliver(outgoing())) for _ in range(2))
    for _ in range(2):
        await server.arrived.acquire()
    given_up.cancel()
    await asyncio.wait([given_up])
    server.gate.set()

    assert (await other).outcome is AttemptOutcome.ACCEPTED


async def test_where_nothing_listens_nothing_was_sent(server: FcmServer, tmp_path: Path) -> None:
    """No connection is a temporary failure."""
    nowhere = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = nowhere.sockets[0].getsockname()[1]
    nowhere.close()
    await nowhere.wait_closed()
    settings = FcmSettings(credentials_file=server.write_key(tmp_path), connect_to=f"127.0.0.1:{port}")
    async with Fcm(settings, now=utc_now) as fcm:
        answer = await fcm.deliver(outgoing())

    assert answer.outcome is AttemptOutcome.TEMPORARY_FAILURE


async def test_who_is_not_fcm_gets_nothing(server: FcmServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever connections are led, the other end must be FCM by its certificate; no token goes anywhere else."""
    monkeypatch.delenv("SSL_CERT_FILE")
    async with open_fcm(server, tmp_path) as fcm:
        answer = await fcm.deliver(outgoing())

    assert (answer.outcome, server.push_count) == (AttemptOutcome.TEMPORARY_FAILURE, 0)
    assert "CERTIFICATE_VERIFY_FAILED" in answer.detail


async def test_a_slow_token_holds_up_nobody_else(
    pushing: Tenant, mongodb_uri: str, server: FcmServer, fcm: Fcm
) -> None:
    """While Google takes its time over an access token, mails go out; then the push does.

    Google's endpoint is answered on the worker's own event loop: a call that blocked the loop would never end.
    """
    server.token_gate.clear()
    post = Post()
    async with run_workers(mongodb_uri, Providers(fcm=fcm, email=post)):
        [push] = await pushing.send(push_request(PHONE))
        await server.token_asked.acquire()
        mails = await pushing.send(
            *(send_request(user={"id": "m", "email": "a@example.com"}, force_channels=[EMAIL]) for _ in range(20))
        )
        for mail in mails:
            await until_final(pushing, mail.tracking_id, EMAIL)
        assert server.push_count == 0
        server.token_gate.set()
        delivery = await until_final(pushing, push.tracking_id, PUSH)

    assert (state_of(delivery), outcomes_of(delivery)) == ("SENT", ["ACCEPTED"])


async def test_an_outage_of_google_s_tokens_is_temporary(
    pushing: Tenant, mongodb_uri: str, server: FcmServer, fcm: Fcm
) -> None:
    """Without an access token nothing was sent: the push is tried again, and the log says what is wrong."""
    server.token_problem = "Account is disabled."
    async with run_workers(mongodb_uri, Providers(fcm=fcm)):
        [sent] = await pushing.send(push_request(PHONE))
        await until(pushing, sent.tracking_id, PUSH, lambda one: bool(one.attempts))
        server.token_problem = ""
        delivery = await until_final(pushing, sent.tracking_id, PUSH)

    assert outcomes_of(delivery)[0] == "TEMPORARY_FAILURE"
    assert outcomes_of(delivery)[-1] == "ACCEPTED"
    assert delivery.attempts[0].detail == "Google gave no access token: invalid_grant: Account is disabled."


@pytest.mark.parametrize("body", ["<html>", "[]", "null", "{}", '{"access_token": "t", "expires_in": "soon"}'])
async def test_an_answer_that_is_no_token_is_temporary(server: FcmServer, fcm: Fcm, body: str) -> None:
    """Whatever stands between here and Google answers 200 to everything: the push is tried again, and then goes."""
    server.token_body = body
    answer = await fcm.deliver(outgoing())
    server.token_body = ""

    assert answer.outcome is AttemptOutcome.TEMPORARY_FAILURE
    assert answer.detail.startswith("Google gave no access token: ")
    assert (await fcm.deliver(outgoing())).outcome is AttemptOutcome.ACCEPTED


async def test_a_token_is_fetched_once_for_all_who_wait(server: FcmServer, fcm: Fcm) -> None:
    """Pushes that begin while the token is fetched wait for the same call."""
    server.token_gate.clear()
    async with asyncio.TaskGroup() as tasks:
        calls = [tasks.create_task(fcm.deliver(outgoing())) for _ in range(50)]
        await server.token_asked.acquire()
        server.token_gate.set()

    assert {call.result().outcome for call in calls} == {AttemptOutcome.ACCEPTED}
    assert server.token_count == 1


async def test_a_token_is_renewed_while_pushes_go_on(server: FcmServer, fcm: Fcm) -> None:
    """One that ends within ten minutes is renewed beside the pushes, which go on with it meanwhile."""
    server.token_lasts_s = 500
    await fcm.deliver(outgoing())
    server.token_gate.clear()
    await server.token_asked.acquire()

    answers = [await fcm.deliver(outgoing()) for _ in range(3)]
    await server.token_asked.acquire()

    assert {answer.outcome for answer in answers} == {AttemptOutcome.ACCEPTED}
    assert {pushed.access_token for pushed in server.pushed} == set(server.tokens)
    assert (server.token_count, len(server.tokens)) == (2, 1)
    server.token_gate.set()


async def test_a_token_that_has_ended_is_not_used(server: FcmServer, tmp_path: Path) -> None:
    """After a night without pushes the next one waits for a new token."""
    clock = MovingClock()
    async with open_fcm(server, tmp_path, now=clock) as fcm:
        await fcm.deliver(outgoing())
        clock.move(timedelta(hours=2))
        await fcm.deliver(outgoing())

    assert [pushed.access_token for pushed in server.pushed] == server.tokens
    assert len(server.tokens) == 2


async def test_a_token_that_fcm_refuses_is_replaced(server: FcmServer, fcm: Fcm) -> None:
    """One that was revoked costs a temporary failure, and the next push has another."""
    await fcm.deliver(outgoing())
    server.tokens.clear()

    refused_one, next_one = [await fcm.deliver(outgoing()) for _ in range(2)]

    assert refused_one.outcome is AttemptOutcome.TEMPORARY_FAILURE
    assert next_one.outcome is AttemptOutcome.ACCEPTED
    assert server.token_count == 2


async def test_a_project_s_other_keys_cost_no_token(server: FcmServer, fcm: Fcm) -> None:
    """A missing key for APNs is a 401 as well, but not about the access token, which stays."""
    server.answer = refused(401, "UNAUTHENTICATED", "THIRD_PARTY_AUTH_ERROR")

    for _ in range(2):
        await fcm.deliver(outgoing())

    assert server.token_count == 1


async def test_a_check_reaches_nobody(server: FcmServer, fcm: Fcm) -> None:
    """It gets a token and has a push validated to a device that is none."""
    server.answer = INVALID_TOKEN

    await fcm.check()

    assert [pushed.is_validated_only for pushed in server.pushed] == [True]


async def test_a_check_says_that_google_knows_no_such_key(server: FcmServer, tmp_path: Path) -> None:
    """A key that was deleted fails with Google's words."""
    async with open_fcm(server, tmp_path, private_key_id="deleted") as fcm:
        with pytest.raises(ProviderCheckError, match="invalid_grant: Invalid JWT Signature"):
            await fcm.check()


async def test_a_check_says_that_fcm_does_not_know_the_project(server: FcmServer, tmp_path: Path) -> None:
    """A key without rights on the project fails with FCM's words."""
    async with open_fcm(server, tmp_path, project_id="another") as fcm:
        with pytest.raises(ProviderCheckError, match="Permission denied on resource project"):
            await fcm.check()


async def test_a_check_says_that_fcm_does_not_take_the_token(server: FcmServer, fcm: Fcm) -> None:
    """Whatever Google's two halves disagree on, it is said."""
    server.answer = UNAUTHENTICATED

    with pytest.raises(ProviderCheckError, match="invalid authentication credentials"):
        await fcm.check()


@pytest.mark.parametrize("text", ["", "[]", "null", "{}", json.dumps({"type": "authorized_user"})])
async def test_a_file_that_is_no_key_is_said_at_the_start(tmp_path: Path, text: str) -> None:
    """A wrong file ends the start with one line that names the setting."""
    file = tmp_path / "key.json"
    file.write_text(text)

    with pytest.raises(SettingsError, match=r"^CARILLON_FCM__CREDENTIALS_FILE: .* is not the key of a service account"):
        async with Fcm(FcmSettings(credentials_file=file), now=utc_now):
            raise AssertionError("it has started")


async def test_closing_leaves_nothing(server: FcmServer, tmp_path: Path) -> None:
    """Connections and the thread end with the block, those at rest and those in mid-call."""
    server.held = frozenset({PHONE})
    async with open_fcm(server, tmp_path) as fcm:
        calls = [asyncio.create_task(fcm.deliver(outgoing(PHONE))) for _ in range(2)]
        await fcm.deliver(outgoing(TABLET))
        assert server.http.open_count == 3
    await server.http.all_closed()
    server.gate.set()

    assert "fcm" not in {thread.name for thread in threading.enumerate()}
    assert all(isinstance(one, asyncio.CancelledError) for one in await asyncio.gather(*calls, return_exceptions=True))


async def test_the_settings_choose_it(server: FcmServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two settings make a worker that carries pushes; without them it has no FCM."""
    async with open_providers(WorkerSettings(), master_key=MASTER_KEY) as providers:
        assert providers.fcm is None
    monkeypatch.setenv("CARILLON_FCM__CREDENTIALS_FILE", str(server.write_key(tmp_path)))
    monkeypatch.setenv("CARILLON_FCM__CONNECT_TO", server.address)

    async with open_providers(WorkerSettings(), master_key=MASTER_KEY) as providers:
        assert providers.fcm
        answer = await providers.fcm.deliver(outgoing())

    assert answer.outcome is AttemptOutcome.ACCEPTED
