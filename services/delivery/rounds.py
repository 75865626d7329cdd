"""A round of one channel: what the answers of its providers make of a delivery, and when it is tried again. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from services.delivery.model import ATTACHMENT, FINAL, TO_PROVIDERS, Answer, shortened, target_end, target_key
from services.delivery.retry import next_attempt
from services.kernel.vocabulary import Channel
from services.messages.model import (
    Attempt,
    AttemptOutcome,
    Delivery,
    DeliveryState,
    SkipReason,
    TargetDelivery,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from services.delivery.model import Target

MAX_ATTEMPTS = 100
"""How many attempts a delivery keeps."""

_TARGET_STATES = {
    AttemptOutcome.ACCEPTED: DeliveryState.SENT,
    AttemptOutcome.TEMPORARY_FAILURE: DeliveryState.PENDING,
    AttemptOutcome.UNKNOWN: DeliveryState.PENDING,
    AttemptOutcome.PERMANENT_FAILURE: DeliveryState.FAILED,
    AttemptOutcome.TARGET_GONE: DeliveryState.FAILED,
}


@dataclass(frozen=True, slots=True)
class Tried:
    """One call that was made."""

    target: Target
    start_time: datetime
    provider: str
    answer: Answer

    @property
    def attempt(self) -> Attempt:
        """The call as the log has it."""
        answer = self.answer
        return Attempt(
            self.start_time,
            self.provider,
            answer.outcome,
            shortened(answer.provider_id),
            shortened(answer.detail),
        )


def is_due(delivery: Delivery, now: datetime) -> bool:
    """Tells whether a delivery is to be tried now."""
    return is_open(delivery) and (delivery.next_time is None or delivery.next_time <= now)


def is_open(delivery: Delivery) -> bool:
    """Tells whether a delivery waits for an attempt, now or later."""
    if delivery.channel not in TO_PROVIDERS:
        return False
    # A push that one device has accepted is sent, and others may still be open.
    is_open_push = delivery.state is DeliveryState.SENT and delivery.next_time is not None
    return delivery.state is DeliveryState.PENDING or is_open_push


def first_attempt_time(delivery: Delivery) -> datetime | None:
    """Gives when a provider was first called; a file of a mail that could not be fetched was no call of one."""
    return next((one.start_time for one in delivery.attempts if one.provider != ATTACHMENT), None)


def kept(attempts: Sequence[Attempt]) -> tuple[Attempt, ...]:
    """Gives what a delivery keeps of its attempts: the latest, and the first call, which tells when to give up."""
    early, latest = attempts[: 1 - MAX_ATTEMPTS], attempts[1 - MAX_ATTEMPTS :]
    first = next((one for one in early if one.provider != ATTACHMENT), None)
    return (first, *latest) if first else tuple(attempts[-MAX_ATTEMPTS:])


def open_targets(delivery: Delivery, targets: Sequence[Target]) -> tuple[Target, ...]:
    """Gives those of a user's devices or browsers that the message still has to reach."""
    done = {one.key for one in delivery.targets if one.state in FINAL}
    return tuple(target for target in targets if target_key(target) not in done)


def left_out(delivery: Delivery, reason: SkipReason, now: datetime, *, detail: str = "") -> Delivery:
    """Gives a delivery that no provider is asked about any more: skipped if none ever was, else failed."""
    if delivery.state is DeliveryState.SENT:
        return replace(delivery, next_time=None)
    if first_attempt_time(delivery):
        return replace(
            delivery, state=DeliveryState.FAILED, next_time=None, update_time=now, detail=detail or reason.value
        )
    return replace(delivery, state=DeliveryState.SKIPPED, reason=reason, next_time=None, update_time=now, detail=detail)


def tried(
    delivery: Delivery,
    calls: Sequence[Tried],
    now: datetime,
    *,
    uncalled: Sequence[Target] = (),
    random: Callable[[], float],
) -> Delivery:
    """Gives the delivery after a round of calls; one for each target that was tried, at least one.

    Args:
        delivery: As it was before.
        calls: What was called.
        now: When the last of them ended.
        uncalled: Devices or browsers that this worker could not call any more: the next round does.
        random: Spreads what is tried again.
    """
    attempts = (*delivery.attempts, *(call.attempt for call in calls))
    targets = _after(delivery, calls, uncalled) if delivery.channel in (Channel.PUSH, Channel.WEB_PUSH) else ()
    states = [one.state for one in targets] or [_TARGET_STATES[calls[-1].answer.outcome]]
    failures = [call.answer for call in calls if call.answer.outcome is not AttemptOutcome.ACCEPTED]
    detail = shortened(failures[-1].detail) if failures else ""

    next_time, failed_count = None, delivery.failed_count
    is_to_repeat = any(_TARGET_STATES[call.answer.outcome] is DeliveryState.PENDING for call in calls)
    if is_to_repeat:
        failed_count += 1
        next_time = next_attempt(
            first_attempt_time(delivery) or calls[0].start_time,
            now,
            failed_count=failed_count,
            retry_after=max((one.retry_after for one in failures if one.retry_after), default=None),
            random=random,
        )
    elif uncalled:
        next_time = now
    if next_time is None:
        # What is open now stays so for ever: it failed.
        targets = tuple(_closed(one) for one in targets)
        states = [DeliveryState.FAILED if one is DeliveryState.PENDING else one for one in states]
    state = next(one for one in (DeliveryState.SENT, DeliveryState.PENDING, DeliveryState.FAILED) if one in states)
    return replace(
        delivery,
        state=state,
        detail="" if state is DeliveryState.SENT else detail,
        next_time=next_time,
        update_time=now if state is not delivery.state else delivery.update_time,
        attempts=kept(attempts),
        failed_count=failed_count,
        targets=targets,
    )


def interrupted(delivery: Delivery, start_time: datetime, provider: str) -> Delivery:
    """Gives a delivery whose worker ended in the middle of a round: what it called, nobody knows."""
    attempt = Attempt(
        start_time,
        provider,
        AttemptOutcome.UNKNOWN,
        detail="the worker that had this message ended before it wrote what became of it",
    )
    return replace(delivery, attempts=kept((*delivery.attempts, attempt)))


def _after(delivery: Delivery, calls: Sequence[Tried], uncalled: Sequence[Target]) -> tuple[TargetDelivery, ...]:
    known = {one.key: one for one in delivery.targets}
    for target in uncalled:
        key = target_key(target)
        known[key] = TargetDelivery(key, target_end(target), DeliveryState.PENDING)
    for call in calls:
        key = target_key(call.target)
        known[key] = TargetDelivery(key, target_end(call.target), _TARGET_STATES[call.answer.outcome])
    return tuple(known.values())


def _closed(target: TargetDelivery) -> TargetDelivery:
    return replace(target, state=DeliveryState.FAILED) if target.state is DeliveryState.PENDING else target
