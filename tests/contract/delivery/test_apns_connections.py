"""APNs: what becomes of a push on a connection that does not do what one hopes for; and what stays of 5,000."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import uvloop

from services.delivery.channels.apns import Apns
from services.delivery.channels.apns_connections import MAX_CONNECTIONS, Connections, ProductionConnection
from services.delivery.model import Answer, Outgoing, ProviderCheckError
from services.delivery.provider_token import ProviderToken
from services.environments.model import Environment
from services.kernel.clock import new_id, utc_now
from services.kernel.vocabulary import Channel
from services.messages.model import AttemptOutcome
from services.messages.options import ApnOptions, SendOptions
from services.notifications.model import Content
from services.users.model import PushToken
from tests.providers import apns as apple
from tests.providers.apns import CUT, REFUSED, RESET, SILENCE, Reply
from tests.providers.retained import retained

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

ENVIRONMENT = Environment("dev", ())
DEVICE = PushToken("APN", "a1b2c3", {})
ACCEPTED, TEMPORARY, PERMANENT, GONE, UNKNOWN = (
    AttemptOutcome.ACCEPTED,
    AttemptOutcome.TEMPORARY_FAILURE,
    AttemptOutcome.PERMANENT_FAILURE,
    AttemptOutcome.TARGET_GONE,
    AttemptOutcome.UNKNOWN,
)


@pytest.fixture
def server(tmp_path: Path) -> apple.Apns:
    """Gives Apple's side, which does not listen yet."""
    return apple.Apns(tmp_path)


@asynccontextmanager
async def connected(server: apple.Apns, **settings: Any) -> AsyncIterator[Apns]:
    """Gives a channel that reaches the server."""
    async with server.serve(), Apns(server.settings(**settings)) as channel:
        yield channel


def outgoing(device: PushToken = DEVICE, *, title: str = "Hello", **fields: Any) -> Outgoing:
    """Makes a push with an id of its own."""
    made: dict[str, Any] = {
        "environment": ENVIRONMENT,
        "user_id": "u",
        "tracking_id": new_id(),
        "notification_id": "order_tracking",
        "content": Content(Channel.PUSH, {"title": title}),
        "target": device,
        "expire_time": datetime.now(UTC) + timedelta(days=90),
    }
    return Outgoing(**made | fields)


async def pushed(channel: Apns, count: int = 1) -> list[Answer]:
    """Pushes many at once, each to a device of its own."""
    return await asyncio.gather(*(channel.deliver(outgoing(replace(DEVICE, token=f"{n:x}a"))) for n in range(count)))


@pytest.mark.parametrize(
    ("reply", "outcome", "detail"),
    [
        (Reply(400, "BadDeviceToken"), GONE, "400 BadDeviceToken"),
        (Reply(410, "Unregistered", timestamp=1772000000123), GONE, "410 Unregistered"),
        (Reply(410, "ExpiredToken"), GONE, "410 ExpiredToken"),
        (Reply(400, "DeviceTokenNotForTopic"), PERMANENT, "400 DeviceTokenNotForTopic"),
        (Reply(400, "BadCollapseId"), PERMANENT, "400 BadCollapseId"),
        (Reply(400, "IdleTimeout"), TEMPORARY, "400 IdleTimeout"),
        (Reply(404, "BadPath"), PERMANENT, "404 BadPath"),
        (Reply(413, "PayloadTooLarge"), PERMANENT, "413 PayloadTooLarge"),
        (Reply(429, "TooManyRequests"), TEMPORARY, "429 TooManyRequests"),
        (Reply(429, "TooManyProviderTokenUpdates"), TEMPORARY, "429 TooManyProviderTokenUpdates"),
        (Reply(500, "InternalServerError"), TEMPORARY, "500 InternalServerError"),
        (Reply(503, "ServiceUnavailable"), TEMPORARY, "503 ServiceUnavailable"),
        (Reply(503, "Shutdown"), TEMPORARY, "503 Shutdown"),
        (Reply(502, body=b"<html>a proxy speaks</html>", with_id=False), TEMPORARY, "502"),
        (Reply(500), TEMPORARY, "500"),
        (Reply(400, body=b"[]"), PERMANENT, "400"),
        (Reply(410, "Far away", timestamp=10**30), GONE, "410 Far away"),
    ],
    ids=lambda value: f"{value.status}-{value.reason}" if isinstance(value, Reply) else "",
)
async def test_each_answer_says_what_follows(
    server: apple.Apns, reply: Reply, outcome: AttemptOutcome, detail: str
) -> None:
    """A status and a reason decide whether the push is over, comes again, or its token is gone; in Apple's words."""
    server.answer = lambda _: reply
    async with connected(server) as channel:
        [answer] = await pushed(channel)

    assert (answer.outcome, answer.detail) == (outcome, detail)


async def test_a_device_is_gone_since_when_apple_says(server: apple.Apns) -> None:
    """The timestamp of a 410 is in milliseconds; a 400 has none."""
    server.answer = lambda push: (
        Reply(410, "Unregistered", timestamp=1772000000123) if push.device == "0a" else Reply(400, "BadDeviceToken")
    )
    async with connected(server) as channel:
        gone, bad = await pushed(channel, 2)

    assert gone.gone_time == datetime(2026, 2, 25, 6, 13, 20, 123000, tzinfo=UTC)
    assert bad.gone_time is None


async def test_retry_after_is_honoured(server: apple.Apns) -> None:
    """How long Apple wants to be left alone is in the answer, for 429 and 5xx."""
    replies = iter([Reply(429, "TooManyRequests", headers={"retry-after": "17"}), Reply(503, "ServiceUnavailable")])
    server.answer = lambda _: next(replies)
    async with connected(server) as channel:
        answers = [await channel.deliver(outgoing()) for _ in range(2)]

    assert [answer.retry_after for answer in answers] == [timedelta(seconds=17), None]


async def test_the_id_is_the_same_in_every_attempt(server: apple.Apns) -> None:
    """What is pushed again has the same apns-id and collapse id; another device or message has others."""
    push = outgoing()
    async with connected(server) as channel:
        answers = [
            await channel.deliver(one)
            for one in (push, push, replace(push, target=replace(DEVICE, token="ff")), outgoing())
        ]

    ids = [sent.headers["apns-id"] for sent in server.pushes]
    assert [answer.provider_id for answer in answers] == ids
    assert ids[0] == ids[1]
    assert len(set(ids)) == 3
    assert [sent.headers["apns-collapse-id"] for sent in server.pushes[:2]] == [push.tracking_id] * 2


@pytest.mark.parametrize(
    ("own", "left", "expected"),
    [
        (None, timedelta(days=90), None),
        (None, timedelta(days=2), "the message's"),
        (datetime(1970, 1, 1, tzinfo=UTC), timedelta(days=90), "0"),
        (datetime(2096, 2, 29, 12, tzinfo=UTC), timedelta(days=2), "3981355200"),
    ],
    ids=["APNs' own", "the message's", "once", "the option"],
)
async def test_a_push_is_kept_for_as_long_as_it_matters(
    server: apple.Apns, own: datetime | None, left: timedelta, expected: str | None
) -> None:
    """The option's very second; else the end of the message, where it comes before the 30 days of APNs' own default."""
    over = datetime.now(UTC) + left
    push = outgoing(expire_time=over, options=SendOptions(apn=ApnOptions(expire_time=own)))
    async with connected(server) as channel:
        await channel.deliver(push)

    header = server.pushes[0].headers.get("apns-expiration")
    assert header == (str(int(over.timestamp())) if expected == "the message's" else expected)


async def test_each_environment_has_its_host(server: apple.Apns) -> None:
    """A sandbox token goes to Apple's sandbox, and the token's app goes before the settings' topic."""
    sandbox = PushToken("APN", "d1", {"app_id": "com.example.other"}, sandbox=True)
    async with connected(server) as channel:
        await channel.deliver(outgoing(sandbox))
        await channel.deliver(outgoing())

    assert [(push.host, push.headers["apns-topic"]) for push in server.pushes] == [
        (apple.SANDBOX, "com.example.other"),
        (apple.PRODUCTION, apple.TOPIC),
    ]


@pytest.mark.parametrize("token", ["../../x", "ab cd", "é", "a\r\nb"])
async def test_a_token_stays_in_the_path(server: apple.Apns, token: str) -> None:
    """What cannot be a token reaches Apple as one, which refuses it, and changes no path and no header."""
    async with connected(server) as channel:
        answer = await channel.deliver(outgoing(PushToken("APN", token, {})))

    assert (answer.outcome, answer.detail) == (GONE, "400 BadDeviceToken")


@pytest.mark.parametrize("app_id", ["com.example\r\nx-evil: 1", "com example", "é"])
async def test_an_app_that_cannot_be_is_refused(server: apple.Apns, app_id: str) -> None:
    """What cannot be a topic is permanent, and nothing is sent."""
    async with connected(server) as channel:
        answer = await channel.deliver(outgoing(PushToken("APN", "a1", {"app_id": app_id})))

    assert (answer.outcome, server.tunnels) == (PERMANENT, [])


async def test_connections_share_one_provider_token(server: apple.Apns) -> None:
    """All connections to both hosts, and another process with the same key, use one and the same token."""
    server.max_streams = 1
    server.answer = lambda _: SILENCE
    async with connected(server) as channel, asyncio.TaskGroup() as tasks:
        calls = [tasks.create_task(channel.deliver(outgoing())) for _ in range(MAX_CONNECTIONS)]
        for _ in calls:
            await server.pushed.acquire()
        server.answer = lambda _: apple.ACCEPTED
        await channel.deliver(outgoing(replace(DEVICE, sandbox=True)))
        async with Apns(server.settings()) as other:
            await pushed(other)
        for call in calls:
            call.cancel()

    assert server.connection_count == MAX_CONNECTIONS + 2
    assert len(server.provider_tokens) == 1


async def test_a_refused_provider_token_is_the_operators_to_mend(server: apple.Apns) -> None:
    """403 is temporary, says what to look at, and shows no token."""
    async with connected(server, key_id="WRONG00000") as channel:
        [answer] = await pushed(channel)

    assert answer.outcome is TEMPORARY
    assert answer.detail.startswith("403 InvalidProviderToken: APNs does not take the provider token; see key_file")
    assert not any(token in answer.detail for token in server.provider_tokens)


async def test_an_answer_that_does_not_come_costs_one_connection(server: apple.Apns) -> None:
    """Apple hears of a call that is given up, others on its connection go on, and later pushes take another."""
    server.answer = lambda push: SILENCE if push.device == "a1b2c3" else apple.ACCEPTED
    async with connected(server) as channel:
        calls = [asyncio.create_task(channel.deliver(outgoing())) for _ in range(2)]
        for _ in calls:
            await server.pushed.acquire()
        await cancelled(calls[0])
        answers = await pushed(channel, 3)
        await until(lambda: len(server.connections[1].waiting) == 1)
        server.connections[1].answer_waiting(apple.ACCEPTED)
        answers.append(await calls[1])
        await until(lambda: set(server.connections) == {2})

    assert {answer.outcome for answer in answers} == {ACCEPTED}
    assert [push.connection for push in server.pushes] == [1, 1, 2, 2, 2]


async def test_an_answer_that_comes_too_late_harms_nobody(server: apple.Apns) -> None:
    """The answer to a call comes in the very turn in which it is given up, and others still get theirs."""
    server.answer = lambda _: SILENCE
    async with connected(server) as channel:
        calls = [asyncio.create_task(channel.deliver(outgoing())) for _ in range(2)]
        for _ in calls:
            await server.pushed.acquire()
        server.connections[1].answer_waiting(apple.ACCEPTED)
        # Runs just before the client reads that.
        asyncio.get_running_loop().call_soon(calls[0].cancel)
        assert (await calls[1]).outcome is ACCEPTED
        assert calls[0].cancelled()


@pytest.mark.parametrize("turns", range(8))
async def test_a_loss_in_the_turn_of_a_cancellation_ends_all(server: apple.Apns, turns: int) -> None:
    """Whenever a call is given up while its connection breaks, the others on it end."""
    server.answer = lambda _: SILENCE
    async with connected(server) as channel:
        calls = [asyncio.create_task(channel.deliver(outgoing())) for _ in range(2)]
        for _ in calls:
            await server.pushed.acquire()
        server.connections[1].babble()
        for _ in range(turns):
            await asyncio.sleep(0)
        calls[0].cancel()
        assert (await calls[1]).outcome is UNKNOWN


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [(CUT, UNKNOWN), (RESET, UNKNOWN), (REFUSED, TEMPORARY)],
    ids=["cut", "reset", "refused"],
)
async def test_a_loss_says_whether_it_may_have_been_sent(
    server: apple.Apns, reply: Reply, outcome: AttemptOutcome
) -> None:
    """What Apple may have taken is unknown; what it says it has not is temporary. Either way the next one goes."""
    replies = iter([reply])
    server.answer = lambda _: next(replies, apple.ACCEPTED)
    async with connected(server) as channel:
        [lost] = await pushed(channel)
        [sent] = await pushed(channel)

    assert (lost.outcome, sent.outcome) == (outcome, ACCEPTED)
    assert len(server.pushes) == 2


async def test_a_cut_ends_every_call_once(server: apple.Apns) -> None:
    """All that is under way on a connection is unknown when it is cut; nothing is sent again unseen."""
    server.answer = lambda _: SILENCE
    async with connected(server) as channel:
        calls = asyncio.gather(pushed(channel, 20))
        for _ in range(20):
            await server.pushed.acquire()
        server.connections[1].abort()
        [answers] = await calls

    assert {answer.outcome for answer in answers} == {UNKNOWN}
    assert len(server.pushes) == 20
    assert all(answer.provider_id for answer in answers)


async def test_a_goaway_ends_only_what_was_not_processed(server: apple.Apns) -> None:
    """Streams above its last one are tried again, those up to it get their answers; the next push connects anew."""
    server.answer = lambda _: SILENCE
    async with connected(server) as channel:
        calls = [asyncio.create_task(channel.deliver(outgoing())) for _ in range(3)]
        for _ in calls:
            await server.pushed.acquire()
        server.connections[1].go_away(3, (3, apple.ACCEPTED), reason="Shutdown")
        refused = await calls[2]
        server.answer = lambda _: apple.ACCEPTED
        [later] = await pushed(channel)
        server.connections[1].answer_waiting(Reply(410, "Unregistered"))
        outcomes = [(await call).outcome for call in calls]
        await until(lambda: set(server.connections) == {2})

    assert outcomes == [GONE, ACCEPTED, TEMPORARY]
    assert refused.detail == "GOAWAY Shutdown"
    assert (later.outcome, server.pushes[-1].connection) == (ACCEPTED, 2)


async def test_pushes_wait_for_a_stream(server: apple.Apns) -> None:
    """More pushes than Apple allows streams wait for their turn, on no more connections than there may be."""
    server.max_streams = 2
    async with connected(server) as channel:
        answers = await pushed(channel, 60)

    assert [answer.outcome for answer in answers] == [ACCEPTED] * 60
    assert len(server.pushes) == 60
    assert server.connection_count <= MAX_CONNECTIONS


async def test_more_streams_are_used(server: apple.Apns) -> None:
    """Apple allows one stream until it has authenticated the first push; from then on many go at once."""
    server.max_streams = 1
    server.answer = lambda _: SILENCE
    async with connected(server) as channel:
        first = asyncio.create_task(channel.deliver(outgoing()))
        await server.pushed.acquire()
        server.connections[1].allow_streams(1000)
        server.connections[1].answer_waiting(apple.ACCEPTED)
        assert (await first).outcome is ACCEPTED
        calls = asyncio.gather(pushed(channel, 50))
        for _ in range(50):
            await server.pushed.acquire()
        assert apple.open_streams(server) == [50]
        server.connections[1].answer_waiting(apple.ACCEPTED)
        [answers] = await calls

    assert {answer.outcome for answer in answers} == {ACCEPTED}


async def test_fewer_streams_are_kept_to(server: apple.Apns) -> None:
    """Apple may lower the number of streams while pushes are under way; nothing fails by that."""
    server.answer = lambda _: SILENCE
    async with connected(server) as channel:
        calls = asyncio.gather(pushed(channel, 3))
        for _ in range(3):
            await server.pushed.acquire()
        server.connections[1].allow_streams(1)
        server.answer = lambda _: apple.ACCEPTED
        server.connections[1].answer_waiting(apple.ACCEPTED)
        [first] = await calls
        answers = await pushed(channel, 20)

    assert {answer.outcome for answer in first + answers} == {ACCEPTED}


async def test_pushes_wait_for_room_in_the_connection(server: apple.Apns) -> None:
    """Without room for a push nothing of it is sent; once there is room, it goes."""
    server.gives_window_back = False
    server.answer = lambda _: SILENCE
    title = "x" * 3000
    async with connected(server) as channel:
        channels = [asyncio.create_task(channel.deliver(outgoing(title=title))) for _ in range(100)]
        fitting = MAX_CONNECTIONS * ((65_535 - 4096) // 3135 + 1)
        for _ in range(fitting):
            await server.pushed.acquire()
        assert len(server.pushes) <= fitting + MAX_CONNECTIONS
        assert sum(apple.open_streams(server)) == len(server.pushes)
        server.answer = lambda _: apple.ACCEPTED
        server.gives_window_back = True
        for connection in server.connections.values():
            connection.give_window_back()
            connection.answer_waiting(apple.ACCEPTED)
        answers = await asyncio.gather(*channels)

    assert {answer.outcome for answer in answers} == {ACCEPTED}
    assert len(server.pushes) == 100


async def test_a_window_that_never_fits_is_temporary(server: apple.Apns) -> None:
    """A stream that cannot take a whole push is not opened."""
    server.stream_window = 1000
    async with connected(server) as channel:
        [answer] = await pushed(channel)

    assert (answer.outcome, answer.detail) == (TEMPORARY, "no connection had room within 6 s")
    assert server.pushes == []


async def test_errors_do_not_use_up_the_connection(server: apple.Apns) -> None:
    """More bytes of errors than one window holds arrive, over one connection."""
    reply = Reply(400, "BadCollapseId", body=b'{"reason": "' + b"x" * 1000 + b'"}')
    server.answer = lambda _: reply
    async with connected(server) as channel:
        answers = [answer for _ in range(10) for answer in await pushed(channel, 20)]

    assert {answer.outcome for answer in answers} == {PERMANENT}
    assert server.connection_count == 1


@pytest.mark.parametrize(
    ("answer", "detail"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "the proxy answers: HTTP/1.1 407 Proxy Authenticat"),
        (b"HTTP/1.0 503 Service Unavailable\r\n\r\n", "the proxy answers: HTTP/1.0 503"),
        (b"HTTP/1.1 200 OK\r\nVia: 1.1 proxy\r\n\r\nmore", "the proxy says more than that it connects"),
        (b"x" * 20_000, "the proxy does not answer as one"),
        (b"", "no connection to api.push.apple.com within 5 s"),
    ],
    ids=["407", "503", "more", "endless", "silent"],
)
async def test_a_proxy_that_does_not_connect_is_temporary(server: apple.Apns, answer: bytes, detail: str) -> None:
    """Whatever a proxy says instead of connecting is in the log, and all who wait fail with it, at once."""
    server.proxy_answer = answer
    async with connected(server) as channel:
        answers = await pushed(channel, 5)
        assert len(server.tunnels) <= 1

        server.proxy_answer = b"HTTP/1.0 200 OK\r\nX-Anything: else\r\n\r\n"
        [later] = await pushed(channel)

    assert {one.outcome for one in answers} == {TEMPORARY}
    assert detail in answers[0].detail
    assert later.outcome is ACCEPTED


async def test_a_host_that_does_not_begin_is_temporary(server: apple.Apns) -> None:
    """Without SETTINGS nothing is sent, and the connection is not kept."""
    server.greets = False
    async with connected(server) as channel:
        [answer] = await pushed(channel)
        await until(lambda: not server.connections)

    assert (answer.outcome, answer.detail) == (TEMPORARY, "no connection to api.push.apple.com within 5 s")


async def test_the_system_looks_after_an_idle_connection(server: apple.Apns) -> None:
    """It is kept for as long as Apple keeps it, and TCP finds out when it is dead."""
    settings = server.settings()
    async with server.serve():
        context = ssl.create_default_context(cafile=settings.ca_file)
        context.set_alpn_protocols(["h2"])
        token = ProviderToken(server.key, key_id=apple.KEY_ID, team_id=apple.TEAM_ID, clock=utc_now)
        proxy_url = f"http://127.0.0.1:{server.port}"
        pool = Connections(ProductionConnection, topic="t", token=token, context=context, proxy_url=proxy_url)
        connection = await pool.acquire()
        assert connection.transport is not None
        found = connection.transport.get_extra_info("socket")
        assert found.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert connection.inactivity_timer is None
        assert await pool.acquire() is connection
        await pool.aclose()


async def test_a_proxy_is_told_who_asks(server: apple.Apns) -> None:
    """The user and password of proxy_url authenticate; a wrong one is in no detail."""
    server.proxy_credentials = "carillon:s3cret"
    async with connected(server) as channel:
        [answer] = await pushed(channel)
        settings = server.settings()
        server.proxy_credentials = "carillon:another"
        async with Apns(settings) as other:
            [refused] = await pushed(other)

    assert (answer.outcome, refused.outcome) == (ACCEPTED, TEMPORARY)
    assert "s3cret" not in refused.detail
    assert "s3cret" not in repr(settings)


async def test_a_host_that_is_not_apple_is_not_trusted(server: apple.Apns, tmp_path: Path) -> None:
    """Without the authority's certificate there is no connection, and the log says why."""
    async with connected(server, ca_file=None) as channel:
        [answer] = await pushed(channel)

    assert answer.outcome is TEMPORARY
    assert "certificate verify failed" in answer.detail


async def test_the_loop_of_production_does_as_well(tmp_path: Path) -> None:
    """Uvloop's TLS is another: a tunnel, a GOAWAY, a cut, a call that is given up, and nothing stays open."""

    async def deliver_and_lose() -> list[AttemptOutcome]:
        server = apple.Apns(tmp_path, answer=lambda push: SILENCE if push.device == "a1b2c3" else apple.ACCEPTED)
        async with connected(server) as channel:
            given_up, cut = (asyncio.create_task(channel.deliver(outgoing())) for _ in range(2))
            answers = await pushed(channel, 20)
            await cancelled(given_up)
            answers += await pushed(channel)
            server.connections[1].abort()
            answers.append(await cut)
            waiting = asyncio.create_task(channel.deliver(outgoing()))
            await until(lambda: bool(server.connections[2].waiting))
            server.connections[2].go_away(0)
            answers.append(await waiting)
            answers += await pushed(channel)
            server.proxy_answer = b"HTTP/1.1 503 Service Unavailable\r\n\r\n"
            answers.append(await channel.deliver(outgoing(replace(DEVICE, sandbox=True))))
        assert server.connection_count == 3
        return [answer.outcome for answer in answers]

    outcomes = await asyncio.to_thread(uvloop.run, deliver_and_lose())

    assert outcomes == [*[ACCEPTED] * 21, UNKNOWN, TEMPORARY, ACCEPTED, TEMPORARY]


async def test_nothing_listens(server: apple.Apns) -> None:
    """A refused connection is temporary."""
    async with server.serve():
        settings = server.settings()
    async with Apns(settings) as channel:
        [answer] = await pushed(channel)

    assert answer.outcome is TEMPORARY
    assert answer.detail.startswith("no connection to api.push.apple.com: ")


async def test_the_check_authenticates_and_pushes_to_nobody(server: apple.Apns) -> None:
    """It passes where Apple takes the provider token, and the device that it names cannot be."""
    async with connected(server) as channel:
        await channel.check()

    [push] = server.pushes
    assert (push.device, push.headers["apns-topic"]) == ("0" * 64, apple.TOPIC)


@pytest.mark.parametrize(
    ("settings", "answer", "problem"),
    [
        ({"team_id": "WRONG00000"}, apple.ACCEPTED, "403 InvalidProviderToken"),
        ({"proxy_url": "http://127.0.0.1:1"}, apple.ACCEPTED, "no connection to api.push.apple.com"),
    ],
    ids=["team", "proxy"],
)
async def test_the_check_says_what_is_wrong(
    server: apple.Apns, settings: dict[str, str], answer: Reply, problem: str
) -> None:
    """It fails in one line that says where."""
    async with connected(server, **settings) as channel:
        with pytest.raises(ProviderCheckError, match=problem) as raised:
            await channel.check()

    assert "\n" not in str(raised.value)


async def test_a_channel_that_is_closed_leaves_nothing_open(server: apple.Apns) -> None:
    """Closing ends connections also while a call is under way, and that call is unknown."""
    server.answer = lambda _: SILENCE
    async with server.serve():
        async with Apns(server.settings()) as channel:
            call = asyncio.create_task(channel.deliver(outgoing()))
            await server.pushed.acquire()
        assert (await call).outcome is UNKNOWN
        await until(lambda: not server.connections)


async def test_nothing_stays_of_a_push(server: apple.Apns) -> None:
    """After 5,000 pushes, some of them refused, the libraries hold what they held before, and not one object more."""
    server.keeps_pushes = False
    server.answer = lambda push: Reply(410, "Unregistered") if push.device.endswith("7") else apple.ACCEPTED
    async with connected(server) as channel:
        before = await kept_after(channel, 1500)
        after = await kept_after(channel, 5000)

    assert after - before == Counter()
    assert server.connection_count == 1


async def kept_after(channel: Apns, count: int) -> Counter[str]:
    """Pushes many, 100 at once, and counts what stays of them in the libraries."""
    for start in range(1, count, 100):
        devices = [replace(DEVICE, token=f"{n:x}") for n in range(start, start + 100)]
        await asyncio.gather(*(channel.deliver(outgoing(device)) for device in devices))
    # h2 forgets closed streams when the next one is opened.
    await pushed(channel)
    return retained("aioapns", "h2")


async def cancelled(call: asyncio.Task[Answer]) -> None:
    """Gives a call up."""
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)


async def until(condition: Callable[[], bool]) -> None:
    """Waits until the server has seen something, which has no event to wait for."""
    async with asyncio.timeout(30):
        while True:
            if condition():
                return
            await asyncio.sleep(0.01)
