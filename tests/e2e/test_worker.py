"""`carillon worker` as a process of its own, and what `carillon doctor` says about one."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING

import pytest

from carillon.v1 import channel_pb2, delivery_pb2, messages_pb2
from tests.e2e.deliveries.carriers import EMAIL, PUSH, SMS, run_carriers
from tests.e2e.processes import call, start, wait_until
from tests.e2e.stack import MASTER_KEY, Stack, order_tracking
from tests.providers.authority import Authority
from tests.providers.fcm import FcmServer

if TYPE_CHECKING:
    from pathlib import Path

    from carillon.v1 import sender_pb2
    from tests.e2e.processes import Result

pytestmark = pytest.mark.asyncio(loop_scope="session")

SKIPPED = delivery_pb2.DELIVERY_STATE_SKIPPED
NOT_CONFIGURED = delivery_pb2.SKIP_REASON_PROVIDER_NOT_CONFIGURED


def to_everywhere(user_id: str) -> sender_pb2.SendRequest:
    """Makes a send to a user whom every channel reaches."""
    request = order_tracking(user_id)
    request.user.email, request.user.number = "spongebob@squarepants.com", "+15005550006"
    request.user.push_tokens.add(provider="PUSH_PROVIDER_FCM", token="samplePushToken").device.model = "SM-G930F"
    subscription = request.user.web_push_subscriptions.add(endpoint="https://push.example.com/fCs_4iba0Ao")
    subscription.keys.p256dh = "BNcRdreALRFXTkOOUHK1EtK2wtaz5Ry4YfYCA_0QTpQtUbVlUls0VJXg7A8u-Ts1XbjhazAkj7I99e8QcYP7DkM"
    subscription.keys.auth = "tBHItJI5svbpez7KI4CCXg"
    request.force_channels.extend(number for number in channel_pb2.Channel.values() if number)
    return request


async def test_without_providers_the_log_says_so(stack: Stack) -> None:
    """A worker for which nothing is configured skips every channel but the inbox, and SIGTERM ends it in order."""
    async with (
        start("worker", mongodb_uri=stack.mongodb_uri, master_key=MASTER_KEY) as worker,
        stack.backend() as backend,
    ):
        await worker.says("carillon: worker looks for what is due")
        sent = await backend.sender.Send(to_everywhere("nothing-configured"))
        request = messages_pb2.GetMessageRequest(tracking_id=sent.tracking_id)

        async def is_done() -> bool:
            answer = await backend.messages.GetMessage(request)
            return all(one.state != delivery_pb2.DELIVERY_STATE_PENDING for one in answer.message.deliveries)

        await wait_until(is_done)
        answer = await backend.messages.GetMessage(request)
        assert await worker.stop() == 0

    outcomes = {
        channel_pb2.Channel.Name(one.channel).removeprefix("CHANNEL_"): (one.state, one.reason)
        for one in answer.message.deliveries
    }
    # The sample's CALL waits for a consent that nobody has given.
    assert outcomes.pop("CALL") == (SKIPPED, delivery_pb2.SKIP_REASON_DEFAULT_OFF)
    assert outcomes.pop("INAPP_WEB") == (delivery_pb2.DELIVERY_STATE_DELIVERED, 0)
    assert outcomes == dict.fromkeys(("EMAIL", "SMS", "PUSH", "WEB_PUSH"), (SKIPPED, NOT_CONFIGURED))


async def test_a_worker_waits_for_its_database(stack: Stack) -> None:
    """Without MongoDB a worker says so, and ends in order all the same."""
    nowhere = "mongodb://127.0.0.1:9/?replicaSet=rs0"
    async with start("worker", mongodb_uri=nowhere, master_key=MASTER_KEY) as worker:
        line = await worker.says("mongodb_unreachable")
        assert json.loads(line)["level"] == "warning"
        assert await worker.stop() == 0


async def test_the_doctor_of_a_stack_that_works(stack: Stack) -> None:
    """With a database that answers and nothing else, all is told as it is, and nothing is wrong."""
    result = await call("doctor", mongodb_uri=stack.mongodb_uri, master_key=MASTER_KEY)

    assert result.code == 0, result.stderr
    health = {line.split("  ")[0]: line.split()[-1] and line for line in result.stdout.splitlines()}
    assert "works" in health["mongodb"]
    assert all("not configured" in health[name] for name in ("smtp", "twilio", "apns", "fcm", "public url"))


async def test_the_doctor_of_providers_that_work(tmp_path: Path, stack: Stack) -> None:
    """Of providers that answer and take the credentials it says so, and of those that do not it says why."""
    google = tmp_path / "google"
    google.mkdir()
    authority = Authority(google)
    # As an operator has Python trust an authority.
    trusting = {"SSL_CERT_FILE": str(authority.ca_file)}
    async with run_carriers(tmp_path, random.Random(1)) as carriers, FcmServer().serve(authority) as fcm:
        settings = {
            "mongodb_uri": stack.mongodb_uri,
            "master_key": MASTER_KEY,
            **carriers.settings,
            "fcm__credentials_file": fcm.write_key(google),
            "fcm__connect_to": fcm.address,
        }
        well = await call("doctor", environment=trusting, **settings)
        wrong = {"twilio__auth_token": "f" * 32, "apns__key_id": "WRONG12345", "fcm__project_id": "another"}
        ill = await call("doctor", environment=trusting, **settings | wrong)

    assert well.code == 0, well.stdout
    assert [name for name in ("smtp", "twilio", "apns", "fcm") if state_of(well, name) != "works"] == []
    assert (ill.code, state_of(ill, "smtp")) == (1, "works")
    assert [name for name in ("twilio", "apns", "fcm") if state_of(ill, name) != "fails"] == []
    assert "f" * 32 not in ill.stdout
    assert fcm.pushed
    assert all(push.is_validated_only for push in fcm.pushed)
    assert carriers.taken()[EMAIL].total() + carriers.taken()[SMS].total() + carriers.taken()[PUSH].total() == 0


def state_of(result: Result, name: str) -> str:
    """Gives what the doctor says of one thing."""
    return next(line.split()[1] for line in result.stdout.splitlines() if line.startswith(f"{name} "))


async def test_the_doctor_of_a_database_that_is_away(stack: Stack) -> None:
    """A database that does not answer, or whose key is another, is a failure that says which."""
    away = await call("doctor", mongodb_uri="mongodb://127.0.0.1:9/?replicaSet=rs0", master_key=MASTER_KEY)
    other_key = await call("doctor", mongodb_uri=stack.mongodb_uri, master_key=MASTER_KEY.replace("A", "B", 1))

    assert (away.code, other_key.code) == (1, 1)
    assert "mongodb" in away.stdout
    assert "does not answer" in away.stdout
    assert "CARILLON_MASTER_KEY" in other_key.stdout
