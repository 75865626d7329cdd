"""Rounds of one channel: what is kept of many attempts, and when it ends."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from services.delivery.model import ATTACHMENT, Answer
from services.delivery.retry import GIVE_UP_AFTER
from services.delivery.rounds import MAX_ATTEMPTS, Tried, first_attempt_time, interrupted, kept, tried
from services.kernel.vocabulary import Channel
from services.messages.model import Attempt, AttemptOutcome, Delivery, DeliveryState
from services.users.model import PushToken

FIRST = datetime(2026, 11, 27, 12, tzinfo=UTC)
BUSY = Answer(AttemptOutcome.TEMPORARY_FAILURE, detail="busy")


@pytest.mark.parametrize("device_count", [1, 3, 50])
def test_however_many_devices_a_push_ends_after_a_day(device_count: int) -> None:
    """That only the latest attempts are kept does not make the first one later."""
    devices = [PushToken("FCM", f"token {i}", {}, sandbox=False) for i in range(device_count)]
    delivery, now = Delivery(Channel.PUSH, DeliveryState.PENDING), FIRST
    while delivery.state is DeliveryState.PENDING and now < FIRST + 2 * GIVE_UP_AFTER:
        calls = [Tried(device, now, "fcm", BUSY) for device in devices]
        delivery = tried(delivery, calls, now, random=lambda: 0.5)
        now = delivery.next_time or now

    assert delivery.state is DeliveryState.FAILED
    assert now < FIRST + GIVE_UP_AFTER
    assert len(delivery.attempts) <= MAX_ATTEMPTS


def test_a_message_that_ends_its_workers_is_given_up_after_a_day() -> None:
    """The first call is known as long as it takes, also where each attempt is only that a worker has ended."""
    delivery = Delivery(Channel.SMS, DeliveryState.PENDING)
    for minute in range(24 * 60):
        delivery = interrupted(delivery, FIRST + timedelta(minutes=minute), "twilio")

    assert first_attempt_time(delivery) == FIRST
    assert len(delivery.attempts) == MAX_ATTEMPTS


def test_files_that_could_not_be_fetched_are_not_kept_for_it() -> None:
    """Of attempts that were no calls only the latest are kept."""
    fetches = [Attempt(FIRST, ATTACHMENT, AttemptOutcome.TEMPORARY_FAILURE, detail=str(i)) for i in range(150)]

    assert kept(fetches) == tuple(fetches[-MAX_ATTEMPTS:])
