"""Browser pushes: from a send over the worker and the library that encrypts and signs, to push services on loopback."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from carillon.v1 import send_options_pb2, user_pb2, users_pb2
from services.delivery.channels.web_push import WebPush
from services.delivery.payload_web_push import MAX_PAYLOAD_BYTES
from services.environments.vapid import new_vapid_keys
from services.kernel.clock import utc_now
from tests.contract.delivery.pushing import SUBJECT, USER_ID, WEB_PUSH
from tests.contract.delivery.world import MovingClock, logged, outcomes_of, state_of, until, until_final
from tests.contract.services.requests import outcomes, warnings
from tests.providers.web_push import Browser, Scripted

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.contract.delivery.pushing import Pushing

pytestmark = pytest.mark.asyncio(loop_scope="session")

DAY_S = 86_400
KEPT_S = 28 * DAY_S
Options = send_options_pb2.WebPushOptions
URGENCIES = {
    send_options_pb2.WEB_PUSH_URGENCY_VERY_LOW: "very-low",
    send_options_pb2.WEB_PUSH_URGENCY_LOW: "low",
    send_options_pb2.WEB_PUSH_URGENCY_NORMAL: "normal",
    send_options_pb2.WEB_PUSH_URGENCY_HIGH: "high",
}


def options(**fields: Any) -> send_options_pb2.SendOptions:
    """Makes the options of a browser push."""
    return send_options_pb2.SendOptions(web_push=Options(**fields))


async def test_a_push_arrives_whole(pushing: Pushing) -> None:
    """What was rendered, and the ids that the service worker needs; signed by the environment, kept for 28 days."""
    browser = pushing.service.browser()
    await pushing.change(logo_url="https://example.com/logo.png")
    async with pushing.worker():
        sent = await pushing.send(browser)
        delivery = await until_final(pushing.tenant, sent.tracking_id, WEB_PUSH)

    [push] = await pushing.service.has(1)
    assert push.payload == {
        "title": "Hello Bob",
        "body": "Böse Überraschung",
        "url": "/orders/1",
        "icon_url": "https://example.com/logo.png",
        "item_id": sent.item_id,
        "tracking_id": sent.tracking_id,
    }
    assert (push.headers["TTL"], push.public_key) == (str(KEPT_S), pushing.vapid.public_key)
    assert {"Urgency", "Topic"} & push.headers.keys() == set()
    assert push.claims["sub"] == SUBJECT
    assert timedelta(hours=6) <= datetime.fromtimestamp(push.claims["exp"], UTC) - utc_now() <= timedelta(hours=24)
    attempt = delivery.attempts[0]
    assert (state_of(delivery), attempt.provider, attempt.provider_id) == ("SENT", "web_push", "1")
    assert [one.target for one in delivery.targets] == [browser.endpoint[-8:]]


async def test_notificationapis_worker_is_pushed_what_it_reads(pushing: Pushing) -> None:
    """Under its own names, with the item as its tag; a browser with ours gets ours from the same send."""
    theirs, ours = pushing.service.browser(), pushing.other.browser()
    theirs.worker = user_pb2.WEB_PUSH_WORKER_NOTIFICATIONAPI
    await pushing.change(logo_url="https://example.com/logo.png")
    async with pushing.worker():
        sent = await pushing.send(theirs, ours)
        await until_final(pushing.tenant, sent.tracking_id, WEB_PUSH)

    [push] = await pushing.service.has(1)
    assert push.payload == {
        "title": "Hello Bob",
        "message": "Böse Überraschung",
        "url": "/orders/1",
        "icon": "https://example.com/logo.png",
        "tag": sent.item_id,
    }
    [push] = await pushing.other.has(1)
    assert push.payload["body"] == "Böse Überraschung"


@pytest.mark.parametrize(("urgency", "expected"), URGENCIES.items(), ids=URGENCIES.values())
async def test_every_option_arrives(pushing: Pushing, urgency: Any, expected: str) -> None:
    """TTL, urgency and topic are the headers that RFC 8030 gives them."""
    async with pushing.worker():
        await pushing.send(
            pushing.service.browser(),
            options=options(ttl=timedelta(hours=1), urgency=urgency, topic="Score-of_the-match"),
        )
        [push] = await pushing.service.has(1)

    given = {name: push.headers[name] for name in ("TTL", "Urgency", "Topic")}
    assert given == {"TTL": "3600", "Urgency": expected, "Topic": "Score-of_the-match"}


async def test_a_push_is_kept_no_longer_than_its_message(pushing: Pushing) -> None:
    """TTL ends with the message, and zero is zero: now or never."""
    await pushing.change(retention=timedelta(days=1))
    async with pushing.worker():
        await pushing.send(pushing.service.browser(), options=options(ttl=timedelta(days=2)))
        [long] = await pushing.service.has(1)
        await pushing.send(options=options(ttl=timedelta(0)))
        [_, none] = await pushing.service.has(2)

    assert DAY_S - 60 <= int(long.headers["TTL"]) <= DAY_S
    assert none.headers["TTL"] == "0"


async def test_a_message_without_an_item_replaces_itself(pushing: Pushing) -> None:
    """What is in no inbox has its own tag, so that a push that comes twice is shown once."""
    async with pushing.worker():
        sent = await pushing.send(pushing.service.browser(), force_channels=[WEB_PUSH])
        [push] = await pushing.service.has(1)

    assert "item_id" not in push.payload
    assert push.payload["tag"] == push.payload["tracking_id"] == sent.tracking_id


async def test_each_push_service_is_signed_for(pushing: Pushing) -> None:
    """In one run each origin gets tokens for itself, which are signed once, over one connection."""
    browsers = [service.browser(name) for name in ("a", "b") for service in (pushing.service, pushing.other)]
    async with pushing.worker():
        await pushing.send(*browsers)
        for service in (pushing.service, pushing.other):
            await service.has(2)
        service.connections.clear()
        for count in (4, 6, 8):
            await pushing.send()
            for service in (pushing.service, pushing.other):
                # The service checks the audience, and refuses another's.
                await service.has(count)

    for service in (pushing.service, pushing.other):
        assert {push.claims["aud"] for push in service.pushes} == {service.origin}
        assert len({push.headers["Authorization"] for push in service.pushes}) == 1
        assert len(service.connections) <= 2
        # The services are not told whom else of theirs we push to.
        assert not any("Cookie" in push.headers for push in service.pushes)
    assert pushing.service.origin != pushing.other.origin


async def test_a_token_is_signed_anew_before_it_ends(pushing: Pushing) -> None:
    """After six hours there is another token; a service may refuse one that ends."""
    clock = MovingClock()
    async with pushing.worker(now=clock):
        await pushing.send(pushing.service.browser())
        [first] = await pushing.service.has(1)
        clock.move(timedelta(hours=5, minutes=59))
        await pushing.send()
        [_, second] = await pushing.service.has(2)
        clock.move(timedelta(minutes=1))
        await pushing.send()
        [_, _, third] = await pushing.service.has(3)

    assert first.headers["Authorization"] == second.headers["Authorization"]
    assert third.claims["exp"] - first.claims["exp"] >= timedelta(hours=6).total_seconds() - 1


async def test_keys_of_an_environment_sign_from_then_on(pushing: Pushing) -> None:
    """New keys are those that the next pushes are signed with; without any, the channel is not configured."""
    other = new_vapid_keys("https://example.com")
    async with pushing.worker():
        await pushing.send(pushing.service.browser())
        await pushing.service.has(1)
    await pushing.change(vapid=other)
    async with pushing.worker():
        await pushing.send()
        [_, push] = await pushing.service.has(2)
    await pushing.change(vapid=None)
    async with pushing.worker():
        sent = await pushing.send()
        delivery = await until_final(pushing.tenant, sent.tracking_id, WEB_PUSH)

    assert (push.public_key, push.claims["sub"]) == (other.public_key, "https://example.com")
    message = await logged(pushing.tenant, sent.tracking_id)
    assert outcomes(message)["WEB_PUSH"] == "PROVIDER_NOT_CONFIGURED"  # type: ignore[arg-type] # has deliveries, too
    assert outcomes_of(delivery) == []


@pytest.mark.parametrize(
    ("status", "outcome", "stays"),
    [
        (200, "ACCEPTED", True),
        (202, "ACCEPTED", True),
        (404, "TARGET_GONE", False),
        (410, "TARGET_GONE", False),
        (400, "PERMANENT_FAILURE", True),
        (403, "PERMANENT_FAILURE", True),
        (413, "PERMANENT_FAILURE", True),
    ],
)
async def test_an_answer_that_is_final(pushing: Pushing, status: int, outcome: str, stays: bool) -> None:
    """What a push service says decides; only a subscription that is gone leaves the profile."""
    browser = pushing.service.browser()
    token = browser.endpoint.rpartition("/")[2]
    pushing.service.say(browser, Scripted(status, f"it is  so of {browser.endpoint} and\n{token}"))
    async with pushing.worker():
        sent = await pushing.send(browser)
        delivery = await until_final(pushing.tenant, sent.tracking_id, WEB_PUSH)

    assert outcomes_of(delivery) == [outcome]
    assert delivery.attempts[0].detail == ("" if outcome == "ACCEPTED" else f"HTTP {status} it is so of … and …")
    assert await pushing.endpoints() == ([browser.endpoint] if stays else [])


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (Scripted(503, "later"), "TEMPORARY_FAILURE"),
        (Scripted(500), "TEMPORARY_FAILURE"),
        (Scripted(408), "TEMPORARY_FAILURE"),
        (Scripted(is_cut=True), "UNKNOWN"),
    ],
    ids=["503", "500", "408", "cut"],
)
async def test_an_answer_that_is_not_final(pushing: Pushing, answer: Scripted, outcome: str) -> None:
    """What failed for now, or got no answer, is pushed again; the browser stays in the profile."""
    browser = pushing.service.browser()
    pushing.service.say(browser, answer, answer)
    async with pushing.worker():
        sent = await pushing.send(browser)
        delivery = await until_final(pushing.tenant, sent.tracking_id, WEB_PUSH)

    assert outcomes_of(delivery) == [outcome, outcome, "ACCEPTED"]
    # One that comes twice is known by its tag, and rings once.
    assert {push.payload["tracking_id"] for push in pushing.service.pushes} == {sent.tracking_id}
    assert await pushing.endpoints() == [browser.endpoint]


@pytest.mark.parametrize("form", ["seconds", "date"])
async def test_a_push_service_that_wants_to_be_left_alone_is(pushing: Pushing, form: str) -> None:
    """After a 429 nothing is pushed before Retry-After is over."""
    clock, browser = MovingClock(), pushing.service.browser()
    at = utc_now() + timedelta(hours=1)
    retry_after = "3600" if form == "seconds" else f"{at:%a, %d %b %Y %H:%M:%S GMT}"
    pushing.service.say(browser, Scripted(429, headers={"Retry-After": retry_after}))
    async with pushing.worker(now=clock):
        sent = await pushing.send(browser)
        waiting = await until_tried(pushing, sent.tracking_id)
        wait = waiting.next_time.ToDatetime(UTC) - utc_now()
        clock.move(timedelta(hours=1, seconds=2))
        delivery = await until_final(pushing.tenant, sent.tracking_id, WEB_PUSH)

    assert timedelta(minutes=59) < wait <= timedelta(hours=1, seconds=1)
    assert outcomes_of(delivery) == ["TEMPORARY_FAILURE", "ACCEPTED"]


async def until_tried(pushing: Pushing, tracking_id: str) -> Any:
    """Waits for the first attempt."""
    return await until(pushing.tenant, tracking_id, WEB_PUSH, lambda one: bool(one.attempts))


async def test_each_browser_has_its_own_outcome(pushing: Pushing) -> None:
    """One browser that has it makes the delivery sent; the gone one leaves, the busy one alone is tried again."""
    good, gone, busy = (pushing.service.browser(name) for name in ("good", "gone", "busy"))
    pushing.service.say(gone, Scripted(410))
    pushing.service.say(busy, Scripted(503), Scripted(503))
    async with pushing.worker():
        sent = await pushing.send(good, gone, busy)
        delivery = await until_final(pushing.tenant, sent.tracking_id, WEB_PUSH)

    states = {one.target: state_of(one) for one in delivery.targets}
    assert states == {
        good.endpoint[-8:]: "SENT",
        gone.endpoint[-8:]: "FAILED",
        busy.endpoint[-8:]: "SENT",
    }
    assert state_of(delivery) == "SENT"
    pushed = [push.browser for push in pushing.service.pushes]
    assert [pushed.count(browser) for browser in (good, gone, busy)] == [1, 1, 3]
    assert sorted(await pushing.endpoints()) == sorted([good.endpoint, busy.endpoint])


async def test_a_browser_that_registered_again_stays(pushing: Pushing) -> None:
    """What is gone when it was asked, and registered before the answer was written, is not taken out."""
    browser = pushing.service.browser()
    pushing.service.say(browser, Scripted(410))
    pushing.service.gate.clear()
    async with pushing.worker():
        sent = await pushing.send(browser)
        await pushing.service.has(1)
        request = users_pb2.IdentifyUserRequest()
        request.user.id = USER_ID
        request.user.web_push_subscriptions.append(browser.subscription)
        await pushing.tenant.backend.users.IdentifyUser(request)
        pushing.service.gate.set()
        delivery = await until_final(pushing.tenant, sent.tracking_id, WEB_PUSH)

    assert outcomes_of(delivery) == ["TARGET_GONE"]
    assert await pushing.endpoints() == [browser.endpoint]


@pytest.mark.parametrize("keys", ["starred", "off the curve"])
async def test_keys_that_cannot_encrypt_leave_the_profile(pushing: Pushing, keys: str) -> None:
    """They are stored as given, fail at delivery, and are not there for the next send; a send warns of them."""
    good, bad = pushing.service.browser("good"), pushing.service.browser("bad")
    # 65 bytes that begin right are all that can be seen of a key without the arithmetic.
    p256dh = "*****" if keys == "starred" else "BA" + "A" * 85
    subscription = bad.subscription
    subscription.keys.p256dh = p256dh
    async with pushing.worker():
        sent = await pushing.send(good, WithKeys(bad.endpoint, subscription))
        delivery = await until_final(pushing.tenant, sent.tracking_id, WEB_PUSH)

    expected = [("INVALID_PUSH_KEYS", "user.web_push_subscriptions[1].keys")] if keys == "starred" else []
    assert warnings(sent) == expected
    assert state_of(delivery) == "SENT"
    assert sorted(outcomes_of(delivery)) == ["ACCEPTED", "TARGET_GONE"]
    assert "the keys of the subscription cannot encrypt" in [one.detail for one in delivery.attempts]
    assert await pushing.endpoints() == [good.endpoint]


class WithKeys(Browser):
    """A browser whose subscription a test says."""

    def __init__(self, endpoint: str, subscription: Any) -> None:
        super().__init__(endpoint)
        self._subscription = subscription

    @property
    def subscription(self) -> Any:
        """The subscription as the test says it."""
        return self._subscription


async def test_keys_in_the_other_alphabet_encrypt_too(pushing: Pushing) -> None:
    """Keys in standard base64, with its padding, are read as what they are."""
    async with pushing.worker():
        for count in range(1, 6):
            # With some keys of five, a character differs between the alphabets.
            browser = pushing.service.browser()
            subscription = browser.subscription
            subscription.keys.p256dh = subscription.keys.p256dh.replace("-", "+").replace("_", "/") + "="
            await pushing.send(WithKeys(browser.endpoint, subscription), force_channels=[WEB_PUSH])
            # The service has decrypted it, or says what is wrong.
            await pushing.service.has(count * (count + 1) // 2)


async def test_a_redirect_is_not_followed(pushing: Pushing) -> None:
    """Where a push service leads elsewhere, nothing goes there."""
    browser, elsewhere = pushing.service.browser(), pushing.other.browser()
    pushing.service.say(browser, Scripted(307, headers={"Location": elsewhere.endpoint}))
    async with pushing.worker():
        sent = await pushing.send(browser)
        delivery = await until_final(pushing.tenant, sent.tracking_id, WEB_PUSH)

    assert outcomes_of(delivery) == ["PERMANENT_FAILURE"]
    assert (len(pushing.service.pushes), pushing.other.connections) == (1, set())


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "0x7f.1", "user:word@localhost", ""])
async def test_nothing_goes_to_private_addresses(pushing: Pushing, host: str) -> None:
    """Unless it is allowed, an endpoint that is not on the public internet gets nothing, and is not asked again."""
    origin = pushing.service.origin.replace("localhost", host)
    async with pushing.worker(private_networks=False):
        sent = await pushing.send(Browser(f"{origin}/push/x"))
        delivery = await until_final(pushing.tenant, sent.tracking_id, WEB_PUSH)

    assert outcomes_of(delivery) == ["PERMANENT_FAILURE"]
    assert delivery.attempts[0].detail == "the endpoint is no https URL of a public host"
    assert pushing.service.connections == set()


async def test_a_service_that_is_not_there_is_tried_again(pushing: Pushing) -> None:
    """Without a connection nothing was pushed: a temporary failure, whose words do not have the endpoint."""
    origin = pushing.service.origin
    async with pushing.worker():
        # Nobody listens on the port of an origin without TLS.
        sent = await pushing.send(Browser(f"{origin.rpartition(':')[0]}:1/push/token"))
        delivery = await until_tried(pushing, sent.tracking_id)

    assert outcomes_of(delivery)[0] == "TEMPORARY_FAILURE"
    assert delivery.attempts[0].detail == "no connection to the push service: ClientConnectorError"


async def test_a_certificate_that_nobody_signed_is_refused(pushing: Pushing, monkeypatch: pytest.MonkeyPatch) -> None:
    """A push service must prove who it is."""
    monkeypatch.delenv("SSL_CERT_FILE")
    async with pushing.worker():
        sent = await pushing.send(pushing.service.browser())
        delivery = await until_tried(pushing, sent.tracking_id)

    assert delivery.attempts[0].detail == "no connection to the push service: ClientConnectorCertificateError"
    assert pushing.service.connections == set()


async def test_the_largest_payload_arrives(pushing: Pushing) -> None:
    """3,993 bytes are 4,096 encrypted, which is what every push service takes; one more is not even tried."""
    browser = pushing.service.browser()
    async with pushing.worker():
        await pushing.send(browser, name="")
        [small] = await pushing.service.has(1)
        fitting = "n" * (4096 - small.size)
        sent = await pushing.send(name=fitting)
        [_, large] = await pushing.service.has(2)
        refused = await pushing.send(name=fitting + "n")

    assert large.size == 4096
    assert outcomes(sent)["WEB_PUSH"] == "PENDING"
    assert outcomes(refused) == {"INAPP_WEB": "DELIVERED", "WEB_PUSH": "CONTENT_TOO_LARGE"}
    assert refused.deliveries[1].detail.startswith(f"has {MAX_PAYLOAD_BYTES + 1} bytes")


@contextlib.asynccontextmanager
async def serve_proxy() -> AsyncIterator[tuple[str, list[str]]]:
    """Serves an HTTP proxy until the block ends; gives its URL, and where it was asked to connect."""
    asked: list[str] = []

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not writer.is_closing() and (data := await reader.read(65_536)):
            writer.write(data)
        writer.close()

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _, target, _ = (await reader.readuntil(b"\r\n\r\n")).decode().split(" ", 2)
        asked.append(target)
        host, _, port = target.rpartition(":")
        onward, back = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            await asyncio.gather(carry(reader, back), carry(onward, writer))

    server = await asyncio.start_server(connect, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", asked
    finally:
        server.close()
        await server.wait_closed()


@pytest.mark.parametrize(
    ("host", "no_proxy", "outcome"),
    [
        ("localhost", "", "ACCEPTED"),
        ("localhost", "localhost", "PERMANENT_FAILURE"),
        ("127.0.0.1", "", "PERMANENT_FAILURE"),
    ],
)
async def test_pushes_go_over_the_proxy(
    pushing: Pushing, monkeypatch: pytest.MonkeyPatch, host: str, no_proxy: str, outcome: str
) -> None:
    """HTTPS_PROXY resolves names and connects; what goes round it, or names an address itself, must be public."""
    browser = pushing.service.browser()
    browser.endpoint = browser.endpoint.replace("localhost", host)
    async with serve_proxy() as (url, asked):
        monkeypatch.setenv("HTTPS_PROXY", url)
        monkeypatch.setenv("NO_PROXY", no_proxy)
        async with pushing.worker(private_networks=False):
            sent = await pushing.send(browser)
            delivery = await until_final(pushing.tenant, sent.tracking_id, WEB_PUSH)

    assert outcomes_of(delivery) == [outcome]
    assert asked == ([pushing.service.origin.removeprefix("https://")] if outcome == "ACCEPTED" else [])


async def test_nothing_is_asked_by_a_check() -> None:
    """There are no push services but those of the browsers, so there is none to ask."""
    async with WebPush(clock=utc_now) as web_push:
        await web_push.check()
