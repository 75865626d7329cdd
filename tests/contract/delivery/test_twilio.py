"""SMS and CALL over Twilio's client, against a server that speaks Twilio's REST API."""

from __future__ import annotations

import asyncio
import socket
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import pytest
import pytest_asyncio
from pydantic import SecretStr

from carillon.v1 import content_pb2, notifications_pb2
from services.delivery.app import open_providers
from services.delivery.channels.twilio import MAX_IN_FLIGHT, Twilio, spoken
from services.delivery.model import Outgoing, ProviderCheckError
from services.environments.model import Environment
from services.kernel.clock import utc_now
from services.kernel.vocabulary import Channel
from services.messages.model import AttemptOutcome
from services.notifications.model import Content
from services.settings import WorkerSettings
from tests.contract.delivery.world import outcomes_of, run_workers, state_of, until_final
from tests.contract.services.requests import CALL, SMS, definition, outcomes, send_request, sms
from tests.contract.services.test_users import identify
from tests.contract.services.world import MASTER_KEY
from tests.providers.twilio import AUTH_TOKEN, FROM_NUMBER, Scripted, TwilioServer, error, run_twilio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from services.delivery.model import Answer
    from tests.contract.services.world import Tenant

pytestmark = pytest.mark.asyncio(loop_scope="session")

NUMBER = "+14155551212"
ACCEPTED, UNKNOWN = AttemptOutcome.ACCEPTED, AttemptOutcome.UNKNOWN
TEMPORARY, PERMANENT = AttemptOutcome.TEMPORARY_FAILURE, AttemptOutcome.PERMANENT_FAILURE


@pytest_asyncio.fixture(loop_scope="session")
async def server() -> AsyncIterator[TwilioServer]:
    """Gives a Twilio of the test's own."""
    async with run_twilio() as running:
        yield running


def outgoing(channel: Channel = Channel.SMS, text: str = "Hello", **fields: Any) -> Outgoing:
    """Makes a text, or a call."""
    given: dict[str, Any] = {
        "environment": Environment("c", ()),
        "user_id": "u",
        "tracking_id": "t-1",
        "notification_id": "n",
        "content": Content(channel, {"text": text}),
        "target": NUMBER,
        "expire_time": utc_now() + timedelta(days=90),
    }
    return Outgoing(**(given | fields))


def call(text: str) -> notifications_pb2.Template:
    """Makes the template of a call."""
    return notifications_pb2.Template(content=content_pb2.Content(call=content_pb2.CallContent(text=text)))


async def delivered(server: TwilioServer, *scripted: Scripted, **settings: Any) -> Answer:
    """Sends one text to a server that answers as scripted."""
    server.script.extend(scripted)
    async with Twilio(server.settings(**settings)) as twilio:
        return await twilio.deliver(outgoing())


async def test_a_text_and_a_call_arrive(tenant: Tenant, mongodb_uri: str, server: TwilioServer) -> None:
    """A send reaches Twilio as a message and as a call that speaks; both are sent, with Twilio's ids in the log."""
    settings = WorkerSettings(twilio=server.settings(), public_url="https://c.test")
    async with (
        open_providers(settings, master_key=MASTER_KEY) as providers,
        run_workers(mongodb_uri, providers),
    ):
        await tenant.put(definition("loud", sms("{{ item }} is here"), call("{{ item }} & more"), channels=[SMS, CALL]))
        [sent] = await tenant.send(send_request("loud", user={"number": NUMBER}, merge_tags={"item": "<&>"}))
        texted = await until_final(tenant, sent.tracking_id, SMS)
        called = await until_final(tenant, sent.tracking_id, CALL)

    assert {state_of(texted), state_of(called)} == {"SENT"}
    forms = dict(server.taken)
    callbacks = [forms[name].pop("StatusCallback") for name in ("Messages", "Calls")]
    assert all(callback[0].startswith("https://c.test/callbacks/twilio/") for callback in callbacks)
    assert forms["Messages"] == {"To": [NUMBER], "From": [FROM_NUMBER], "Body": ["<&> is here"]}
    assert (forms["Calls"]["To"], forms["Calls"]["From"]) == ([NUMBER], [FROM_NUMBER])
    [twiml] = forms["Calls"]["Twiml"]
    assert ElementTree.fromstring(twiml).findtext("Say") == "<&> & more"
    assert set(forms["Calls"]) == {"To", "From", "Twiml", "StatusCallbackEvent"}
    assert [texted.attempts[0].provider_id[:2], called.attempts[0].provider_id[:2]] == ["SM", "CA"]
    assert {one.attempts[0].provider for one in (texted, called)} == {"twilio"}


@pytest.mark.parametrize("number", ["(415) 555-1212", "4155551212", "+1 415 555 1212"])
async def test_a_number_arrives_in_e164(tenant: Tenant, mongodb_uri: str, server: TwilioServer, number: str) -> None:
    """Numbers as people write them reach Twilio in E.164, of a send and of a profile."""
    await identify(tenant, id="known", number=number)
    async with (
        open_providers(WorkerSettings(twilio=server.settings()), master_key=MASTER_KEY) as providers,
        run_workers(mongodb_uri, providers),
    ):
        sent = await tenant.send(
            send_request(user={"id": "u", "number": number}, force_channels=[SMS]),
            send_request(user={"id": "known"}, force_channels=[SMS]),
        )
        for one in sent:
            await until_final(tenant, one.tracking_id, SMS)

    assert [form["To"] for _, form in server.taken] == [[NUMBER], [NUMBER]]


async def test_more_than_800_characters_are_skipped(tenant: Tenant, mongodb_uri: str, server: TwilioServer) -> None:
    """A text that a channel does not carry is skipped when it is planned; one of 800 characters arrives whole."""
    await tenant.put(definition("long", sms("{{ a }}"), call("{{ a }}"), channels=[SMS, CALL]))
    user = {"id": "u", "number": NUMBER}
    async with (
        open_providers(WorkerSettings(twilio=server.settings()), master_key=MASTER_KEY) as providers,
        run_workers(mongodb_uri, providers),
    ):
        fits, too_long = await tenant.send(
            send_request("long", user=user, merge_tags={"a": "ü" * 800}),
            send_request("long", user=user, merge_tags={"a": "ü" * 801}),
        )
        for channel in (SMS, CALL):
            assert state_of(await until_final(tenant, fits.tracking_id, channel)) == "SENT"

    assert outcomes(too_long) == {"SMS": "CONTENT_TOO_LARGE", "CALL": "CONTENT_TOO_LARGE"}
    assert dict(server.taken)["Messages"]["Body"] == ["ü" * 800]
    assert len(server.taken) == 2


async def test_what_twilio_cannot_take_now_is_tried_again(
    tenant: Tenant, mongodb_uri: str, server: TwilioServer
) -> None:
    """A 429 and a lost answer are followed by another attempt, and the log tells of each."""
    server.script.extend([error(429, 20429, "Too Many Requests", Retry_After="0"), Scripted(is_lost=True)])
    async with (
        open_providers(WorkerSettings(twilio=server.settings()), master_key=MASTER_KEY) as providers,
        run_workers(mongodb_uri, providers),
    ):
        [sent] = await tenant.send(send_request(user={"id": "u", "number": NUMBER}, force_channels=[SMS]))
        delivery = await until_final(tenant, sent.tracking_id, SMS)

    assert outcomes_of(delivery) == ["TEMPORARY_FAILURE", "UNKNOWN", "ACCEPTED"]
    assert delivery.attempts[0].detail == "HTTP 429, error 20429: Too Many Requests"
    assert len(server.taken) == 3


@pytest.mark.parametrize(
    ("scripted", "outcome"),
    [
        (error(429, 20429, "Too Many Requests"), TEMPORARY),
        (error(400, 14107, "SMS send rate limit exceeded"), TEMPORARY),
        (error(400, 21611, "This 'From' number has exceeded the maximum number of queued messages"), TEMPORARY),
        (error(500, 20500, "Internal Server Error"), TEMPORARY),
        (error(503, 20503, "Service Unavailable"), TEMPORARY),
        (error(403, 20005, "Account not active"), TEMPORARY),
        (error(403, 0, "Forbidden"), TEMPORARY),
        (error(404, 20404, "The requested resource was not found"), TEMPORARY),
        (error(400, 21212, "The 'From' number is not a valid phone number"), TEMPORARY),
        (Scripted(429, "busy"), TEMPORARY),
        (Scripted(408, "slow"), TEMPORARY),
        (Scripted(302, "elsewhere", {"Location": "http://127.0.0.1:9/"}), TEMPORARY),
        (Scripted(502, "<html>Bad gateway</html>"), TEMPORARY),
        (error(400, 21211, "The 'To' number is not a valid phone number"), PERMANENT),
        (error(400, 21610, "Attempt to send to unsubscribed recipient"), PERMANENT),
        (error(403, 21610, "Attempt to send to unsubscribed recipient"), PERMANENT),
        (error(400, 21408, "Permission to send an SMS has not been enabled for the region"), PERMANENT),
        (error(400, 21617, "The concatenated message body exceeds the 1600 character limit"), PERMANENT),
        (Scripted(400, "no JSON"), PERMANENT),
        (Scripted(201, {"status": "failed", "error_code": 30006, "error_message": "Landline"}), PERMANENT),
        (Scripted(201, {"status": "undelivered", "error_code": 30005}), PERMANENT),
        (Scripted(201, "<html>"), UNKNOWN),
        (Scripted(201, "[]"), UNKNOWN),
        (Scripted(201, {"sid": None}), UNKNOWN),
        (Scripted(is_lost=True), UNKNOWN),
        (Scripted(201, {"status": "accepted"}), ACCEPTED),
    ],
)
async def test_every_answer_has_its_outcome(server: TwilioServer, scripted: Scripted, outcome: AttemptOutcome) -> None:
    """Each of Twilio's answers is read for what it means, in one request, and without the token in its words."""
    answer = await delivered(server, scripted)

    assert answer.outcome is outcome
    assert len(server.taken) == 1
    assert AUTH_TOKEN not in answer.detail
    assert bool(answer.detail) is (outcome is not ACCEPTED)


async def test_twilios_words_are_kept(server: TwilioServer) -> None:
    """The detail has status, code and words; of a text that failed at once its code and words, and its id."""
    invalid = await delivered(server, error(400, 21211, "The 'To' number is not valid"))
    failed = await delivered(server, Scripted(201, {"status": "failed", "error_code": 30006, "error_message": "Line"}))

    assert invalid.detail == "HTTP 400, error 21211: The 'To' number is not valid"
    assert failed.detail == "failed, error 30006: Line"
    assert failed.provider_id.startswith("SM")


async def test_retry_after_is_kept(server: TwilioServer) -> None:
    """Twilio is left alone for as long as it says, in seconds or until a date."""
    in_seconds = await delivered(server, error(429, 20429, "Too Many Requests", Retry_After="30"))
    at_a_time = await delivered(server, error(503, 20503, "Busy", Retry_After="Fri, 31 Dec 9999 23:59:59 GMT"))
    not_said = await delivered(server, error(429, 20429, "Too Many Requests"))

    assert in_seconds.retry_after == timedelta(seconds=30)
    assert at_a_time.retry_after == timedelta(days=1)
    assert not_said.retry_after is None


async def test_wrong_credentials_are_the_operators_to_mend(server: TwilioServer) -> None:
    """With a wrong token messages wait, and the log says why without the token."""
    answer = await delivered(server, auth_token=SecretStr("wrong-token"))

    assert (answer.outcome, answer.detail) == (TEMPORARY, "HTTP 401, error 20003: Authenticate")
    assert server.taken == []


async def test_a_server_that_is_not_there_is_temporary() -> None:
    """Where nothing can be connected to nothing was sent, so it is no unknown."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        answer = await delivered(TwilioServer(), api_url=f"http://127.0.0.1:{taken.getsockname()[1]}")

    assert answer.outcome is TEMPORARY
    assert "Cannot connect" in answer.detail


async def test_no_answer_is_unknown(server: TwilioServer) -> None:
    """Of a request that is taken and not answered in time nobody knows what became of it."""
    server.gate.clear()
    async with Twilio(server.settings(), timeout_s=0.5) as twilio:
        answer = await twilio.deliver(outgoing())

    assert (answer.outcome, len(server.taken)) == (UNKNOWN, 1)


async def test_connections_are_reused_and_bounded(server: TwilioServer) -> None:
    """One session carries everything: calls one after the other share a connection, and many at once are bounded."""
    async with Twilio(server.settings()) as twilio:
        for _ in range(5):
            assert (await twilio.deliver(outgoing())).outcome is ACCEPTED
        assert len(server.connections) == 1

        server.gate.clear()
        calls = [asyncio.create_task(twilio.deliver(outgoing())) for _ in range(MAX_IN_FLIGHT * 2)]
        for _ in range(5 + MAX_IN_FLIGHT):
            await server.arrived.acquire()
        server.gate.set()

        assert {(await one).outcome for one in calls} == {ACCEPTED}
    assert len(server.connections) == MAX_IN_FLIGHT


async def test_a_cancelled_call_leaves_nothing_open(server: TwilioServer) -> None:
    """A call that is cancelled while Twilio thinks gives its connection up; the next one works."""
    server.gate.clear()
    async with Twilio(server.settings()) as twilio:
        calling = asyncio.create_task(twilio.deliver(outgoing()))
        await server.arrived.acquire()
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling
        await server.left.acquire()
        server.gate.set()

        assert (await twilio.deliver(outgoing())).outcome is ACCEPTED


async def test_reports_go_where_they_are_wanted(server: TwilioServer) -> None:
    """A status callback is asked for of a text and of the end of a call; none where there is no URL."""
    urls = iter(["https://c.test/text?a=1&b=2", "https://c.test/call", None])
    async with Twilio(server.settings(), report_url=lambda _: next(urls)) as twilio:
        for channel in (Channel.SMS, Channel.CALL, Channel.SMS):
            await twilio.deliver(outgoing(channel))

    (_, text), (_, call_form), (_, without) = server.taken
    assert text["StatusCallback"] == ["https://c.test/text?a=1&b=2"]
    assert call_form["StatusCallback"] == ["https://c.test/call"]
    assert call_form["StatusCallbackEvent"] == ["completed"]
    assert "StatusCallback" not in without


async def test_a_text_is_not_kept_for_longer_than_the_message(server: TwilioServer) -> None:
    """Twilio is told how long a text is of use, where that is less than it keeps one anyway."""
    async with Twilio(server.settings(), now=lambda: now) as twilio:
        now = utc_now()
        await twilio.deliver(outgoing(expire_time=now + timedelta(minutes=5)))
        await twilio.deliver(outgoing(expire_time=now + timedelta(hours=10)))

    assert [form.get("ValidityPeriod") for _, form in server.taken] == [["300"], None]


@pytest.mark.parametrize(
    ("changed", "account_status", "problem"),
    [
        ({"auth_token": SecretStr("wrong")}, "active", "HTTP 401, error 20003: Authenticate"),
        ({"account_sid": "AC2"}, "active", "HTTP 401"),
        ({}, "suspended", "the account is suspended, not active"),
        ({"api_url": "http://127.0.0.1:1"}, "active", "Cannot connect"),
    ],
)
async def test_a_check_says_what_is_wrong(
    server: TwilioServer, changed: dict[str, Any], account_status: str, problem: str
) -> None:
    """A check fails with one line that helps, and sends nothing."""
    server.account_status = account_status
    async with Twilio(server.settings(**changed)) as twilio:
        with pytest.raises(ProviderCheckError, match=problem) as failed:
            await twilio.check()

    assert "wrong" not in str(failed.value)
    assert len(str(failed.value).splitlines()) == 1
    assert server.taken == []


async def test_a_check_of_an_active_account_passes(server: TwilioServer) -> None:
    """Right credentials of an active account are enough, and nothing is sent."""
    async with Twilio(server.settings()) as twilio:
        await twilio.check()

    assert server.taken == []


async def test_any_text_is_spoken() -> None:
    """What is special in XML is escaped, and what XML cannot say is left out."""
    text = "a <b> & \"q\" 'p' ]]>\x00\x0b\ufffe é 😀\n\u00a0end"

    assert ElementTree.fromstring(spoken(text)).findtext("Say") == text.replace("\x00\x0b\ufffe", "")


async def test_the_environment_does_not_move_the_host(server: TwilioServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """What Twilio's client reads from the environment by itself changes nothing of what is set."""
    for name, value in (("TWILIO_REGION", "ie1"), ("TWILIO_EDGE", "dublin"), ("TWILIO_ACCOUNT_SID", "AC9")):
        monkeypatch.setenv(name, value)

    assert (await delivered(server)).outcome is ACCEPTED
