"""Twilio's callbacks over HTTP: what they move, and who may make them."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
import httpx
import pytest
import pytest_asyncio

from carillon.v1 import content_pb2, notifications_pb2
from gateway.app import run_gateway
from gateway.http.app import create_app, serve_http
from gateway.http.twilio import TwilioSignatures
from gateway.settings import GatewaySettings
from services.delivery.links import Links
from services.delivery.model import Answer, Outgoing
from services.kernel.links import LinkTokens, UnsubscribeLink
from services.kernel.vocabulary import Channel
from services.messages.model import AttemptOutcome
from tests.contract.delivery.world import Post, delivery_of, everything, logged, run_workers, state_of, until
from tests.contract.live.world import USER_ID
from tests.contract.services.requests import CALL, SMS, definition, send_request, sms
from tests.contract.services.world import MASTER_KEY, MASTER_KEY_TEXT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from carillon.v1 import delivery_pb2
    from tests.contract.live.world import Live
    from tests.contract.services.world import Tenant

pytestmark = pytest.mark.asyncio(loop_scope="session")

AUTH_TOKEN = "the-auth-token-of-twilio"
SPOKEN = notifications_pb2.Template(content=content_pb2.Content(call=content_pb2.CallContent(text="Hello")))
PUBLIC_URL = "https://notify.example.com/carillon"
SID = "SM0123456789abcdef0123456789abcdef"


@dataclass(frozen=True)
class Sent:
    """A text or call on its way, and where its provider calls back."""

    tenant: Tenant
    tracking_id: str
    channel: Any
    url: str

    async def delivery(self) -> delivery_pb2.Delivery:
        """Gives what the log says of it."""
        return delivery_of(await logged(self.tenant, self.tracking_id), self.channel)


@pytest_asyncio.fixture(loop_scope="session")
async def client() -> AsyncIterator[httpx.AsyncClient]:
    """Gives a client without any credentials."""
    async with httpx.AsyncClient() as client:
        yield client


async def send(live: Live, tenant: Tenant, channel: Any = SMS) -> Sent:
    """Has a worker hand a text or call to a provider that accepts it, and gives where that calls back."""
    post = Post(answer=lambda _: Answer(AttemptOutcome.ACCEPTED, provider_id=SID))
    async with run_workers(live.mongodb_uri, everything(post)):
        await tenant.put(definition("text_and_call", sms(), SPOKEN, channels=(SMS, CALL)))
        (sent,) = await tenant.send(send_request("text_and_call", user={"number": "+15005550006"}))
        await until(tenant, sent.tracking_id, channel, lambda one: state_of(one) == "SENT")
    outgoing = next(one for one in post.calls if one.content.channel == NAMES[channel])
    return Sent(tenant, sent.tracking_id, channel, report_url(live.url, outgoing))


NAMES = {SMS: Channel.SMS, CALL: Channel.CALL}


def report_url(public_url: str, outgoing: Outgoing) -> str:
    """Gives where the provider is asked to call back."""
    url = Links(public_url, LinkTokens(MASTER_KEY)).report_url(outgoing)
    assert url
    return url


def text_status(status: str, **fields: str) -> dict[str, str]:
    """Makes what Twilio says about a text."""
    return {
        "AccountSid": "AC0123456789abcdef0123456789abcdef",
        "From": "+15005550001",
        "To": "+15005550006",
        "MessageSid": SID,
        "MessageStatus": status,
        "SmsSid": SID,
        "SmsStatus": status,
    } | fields


def call_status(status: str, **fields: str) -> dict[str, str]:
    """Makes what Twilio says about a call."""
    return {"AccountSid": "AC0", "CallSid": SID, "CallStatus": status, "Direction": "outbound-api"} | fields


def sign(url: str, form: Mapping[str, str], auth_token: str = AUTH_TOKEN) -> dict[str, str]:
    """Signs as Twilio's documentation says: the address, then names and values in the order of the names."""
    signed = url + "".join(name + form[name] for name in sorted(form))
    digest = hmac.digest(auth_token.encode(), signed.encode(), hashlib.sha1)
    return {"X-Twilio-Signature": base64.b64encode(digest).decode()}


@pytest.mark.parametrize(
    ("status", "fields", "state", "detail"),
    [
        ("delivered", {}, "DELIVERED", ""),
        ("undelivered", {"ErrorCode": "30005"}, "FAILED", "undelivered, error 30005"),
        (
            "failed",
            {"ErrorCode": "30008", "ErrorMessage": "Unknown\nerror"},
            "FAILED",
            "failed, error 30008: Unknown error",
        ),
    ],
)
async def test_a_text_moves_by_its_status(
    live: Live, tenant: Tenant, client: httpx.AsyncClient, status: str, fields: dict[str, str], state: str, detail: str
) -> None:
    """On its way nothing changes; then a text is DELIVERED, or FAILED with Twilio's words, and stays so."""
    sent = await send(live, tenant)
    for before in ("accepted", "queued", "sending", "sent", "read", "", "something new"):
        assert (await client.post(sent.url, data=text_status(before))).status_code == 204
    assert state_of(await sent.delivery()) == "SENT"

    for late in (status, "sent", "delivered", "failed"):
        response = await client.post(sent.url, data=text_status(late, **fields))
        assert (response.status_code, response.content) == (204, b"")

    delivery = await sent.delivery()
    assert (state_of(delivery), delivery.detail) == (state, detail)
    assert [one.provider_id for one in delivery.attempts] == [SID]


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("completed", "DELIVERED"),
        ("busy", "FAILED"),
        ("no-answer", "FAILED"),
        ("failed", "FAILED"),
        ("canceled", "FAILED"),
    ],
)
async def test_a_call_moves_by_its_status(
    live: Live, tenant: Tenant, client: httpx.AsyncClient, status: str, state: str
) -> None:
    """A call that was taken is DELIVERED, every other end is FAILED with its word; until then nothing changes."""
    sent = await send(live, tenant, CALL)
    for before in ("queued", "initiated", "ringing", "in-progress"):
        assert (await client.post(sent.url, data=call_status(before))).status_code == 204
    assert state_of(await sent.delivery()) == "SENT"

    assert (await client.post(sent.url, data=call_status(status))).status_code == 204

    delivery = await sent.delivery()
    assert (state_of(delivery), delivery.detail) == (state, "" if state == "DELIVERED" else status)


async def test_a_callback_may_overtake_the_worker(live: Live, tenant: Tenant, client: httpx.AsyncClient) -> None:
    """What Twilio reports before the worker has written holds, and the attempt is in the log all the same."""
    post = Post(answer=lambda _: Answer(AttemptOutcome.ACCEPTED, provider_id=SID))
    post.gate.clear()
    async with run_workers(live.mongodb_uri, everything(post)):
        (sent,) = await tenant.send(send_request(user={"number": "+15005550006"}, force_channels=[SMS]))
        await post.called.acquire()
        response = await client.post(report_url(live.url, post.calls[0]), data=text_status("delivered"))
        assert response.status_code == 204
        early = delivery_of(await logged(tenant, sent.tracking_id), SMS)
        assert (state_of(early), list(early.attempts)) == ("DELIVERED", [])

        post.gate.set()
        late = await until(tenant, sent.tracking_id, SMS, lambda one: bool(one.attempts))

    assert (state_of(late), late.attempts[0].provider_id) == ("DELIVERED", SID)
    assert late.update_time == early.update_time
    assert len(post.calls) == 1


async def test_a_report_of_another_attempt_changes_nothing(
    live: Live, tenant: Tenant, client: httpx.AsyncClient
) -> None:
    """A text that Twilio took twice is what became of the one that it answered for."""
    sent = await send(live, tenant)

    assert (await client.post(sent.url, data=text_status("failed", MessageSid="SM9"))).status_code == 204

    assert state_of(await sent.delivery()) == "SENT"


async def test_a_wrong_address_is_refused(live: Live, tenant: Tenant, client: httpx.AsyncClient) -> None:
    """An address that was cut, changed or made for something else is a 404, and moves nothing."""
    sent = await send(live, tenant)
    base = sent.url.rpartition("/")[0]
    other = LinkTokens(MASTER_KEY).write(UnsubscribeLink(tenant.client_id, USER_ID, "order_tracking", "", Channel.SMS))

    for url in (sent.url[:-1], sent.url + "A", f"{base}/x", f"{base}/{other}"):
        response = await client.post(url, data=text_status("failed"))
        assert response.status_code == 404
        assert response.json()["error"]["code"] == "REPORT_TOKEN_INVALID"
    assert (await client.get(sent.url)).status_code in (404, 405)
    assert state_of(await sent.delivery()) == "SENT"


async def test_a_status_without_an_id_is_refused(live: Live, tenant: Tenant, client: httpx.AsyncClient) -> None:
    """What does not say what it is about is a 400 that says so; and so is a body that is too large, a 413."""
    sent = await send(live, tenant)

    response = await client.post(sent.url, data={"MessageStatus": "failed"})
    assert response.status_code == 400
    assert response.json()["error"]["fields"][0]["field"] == "provider_id"
    response = await client.post(sent.url, data=text_status("failed", Body="x" * 20_000))
    assert response.status_code == 413
    assert state_of(await sent.delivery()) == "SENT"


@asynccontextmanager
async def signed_gateway(live: Live, public_url: str = PUBLIC_URL) -> AsyncIterator[str]:
    """Serves HTTP as a gateway that has the auth token, until the block ends; gives where."""
    stop = asyncio.Event()
    port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    app = create_app(ws_port=0, services=live.world.channel, signatures=TwilioSignatures(public_url, AUTH_TOKEN))
    async with asyncio.TaskGroup() as group:
        group.create_task(serve_http(app, host="127.0.0.1", port=0, stop=stop, on_ready=port.set_result))
        yield f"http://127.0.0.1:{await port}"
        stop.set()


async def test_a_signature_opens(live: Live, tenant: Tenant, client: httpx.AsyncClient) -> None:
    """With the auth token a callback is taken that Twilio signed for the address as the world knows it."""
    sent = await send(live, tenant)
    path = sent.url.removeprefix(live.url)
    # With a space, a plus and what is not ASCII, as a form has them.
    form = text_status("delivered", Body="Größe +1 & more", Empty="")

    async with signed_gateway(live) as address:
        response = await client.post(address + path, data=form, headers=sign(PUBLIC_URL + path, form))

    assert response.status_code == 204
    assert state_of(await sent.delivery()) == "DELIVERED"


async def test_no_other_signature_opens(live: Live, tenant: Tenant, client: httpx.AsyncClient) -> None:
    """Without one, and with one of another key, form or address, it is a 403, also where nothing would change."""
    sent = await send(live, tenant)
    path = sent.url.removeprefix(live.url)
    form = text_status("failed")
    right = sign(PUBLIC_URL + path, form)["X-Twilio-Signature"]
    wrong: list[dict[str, str]] = [
        {},
        {"X-Twilio-Signature": ""},
        {"X-Twilio-Signature": right[:-1]},
        {"X-Twilio-Signature": right.swapcase()},
        sign(PUBLIC_URL + path, form, "another-auth-token"),
        sign(PUBLIC_URL + path, form, ""),
        sign(PUBLIC_URL + path, text_status("delivered")),
        sign(PUBLIC_URL + path + "x", form),
        sign(live.url + path, form),
    ]

    async with signed_gateway(live) as address:
        for headers in wrong:
            for body in (form, text_status("queued")):
                response = await client.post(address + path, data=body, headers=headers)
                assert response.status_code == 403
                assert response.json()["error"]["code"] == "SIGNATURE_INVALID"
    async with signed_gateway(live, public_url="") as address:
        response = await client.post(address + path, data=form, headers=sign(path, form))
        assert response.status_code == 403

    assert state_of(await sent.delivery()) == "SENT"


async def test_a_signature_does_not_stand_in_for_the_token(
    live: Live, tenant: Tenant, client: httpx.AsyncClient
) -> None:
    """Who has the auth token, as Twilio's other customers of one account do, moves nothing by it alone."""
    sent = await send(live, tenant)
    path = sent.url.removeprefix(live.url)[:-1]
    form = text_status("failed")

    async with signed_gateway(live) as address:
        response = await client.post(address + path, data=form, headers=sign(PUBLIC_URL + path, form))

    assert response.status_code == 404
    assert state_of(await sent.delivery()) == "SENT"


async def test_the_settings_turn_signatures_on(
    live: Live, tenant: Tenant, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gateway with the variables that a worker has too looks at signatures; an empty token is none."""
    sent = await send(live, tenant)
    path = sent.url.removeprefix(live.url)
    form = text_status("delivered")
    monkeypatch.setenv("CARILLON_PUBLIC_URL", f"{PUBLIC_URL}/")
    for auth_token, unsigned in ((AUTH_TOKEN, 403), ("", 204)):
        monkeypatch.setenv("CARILLON_TWILIO__AUTH_TOKEN", auth_token)
        stop = asyncio.Event()
        ready: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        settings = GatewaySettings(
            mongodb_uri=live.mongodb_uri,
            master_key=MASTER_KEY_TEXT,
            services_url=f"grpc://{live.world.address}",
            http_port=0,
            ws_port=0,
        )
        assert AUTH_TOKEN not in repr(settings)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(run_gateway(settings, stop, on_ready=ready.set_result))
            gateway = await ready
            assert gateway.public_url == f"{PUBLIC_URL}/"
            url = f"http://127.0.0.1:{gateway.http_port}{path}"
            assert (await client.post(url, data=text_status("queued"))).status_code == unsigned
            response = await client.post(url, data=form, headers=sign(PUBLIC_URL + path, form))
            assert response.status_code == 204
            stop.set()

    assert state_of(await sent.delivery()) == "DELIVERED"


async def test_without_services_a_callback_may_come_again(live: Live, tenant: Tenant) -> None:
    """Where the services are away it is a 503 that says when to come back."""
    sent = await send(live, tenant)
    async with grpc.aio.insecure_channel("127.0.0.1:1") as away:
        app = create_app(ws_port=0, services=away)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway") as client:
            response = await client.post(sent.url.removeprefix(live.url), data=text_status("delivered"))

    assert response.status_code == 503
    assert response.headers["retry-after"] == "5"
