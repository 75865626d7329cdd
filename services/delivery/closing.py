"""Closing what browsers show of an item that was taken back: one more step of a round, for an hour at most. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from services.delivery.model import shortened, target_key
from services.delivery.retry import next_attempt
from services.delivery.rounds import kept
from services.messages.model import AttemptOutcome, DeliveryState
from services.users.model import OUR_WORKER, WebPushSubscription

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from services.delivery.model import Target
    from services.delivery.rounds import Tried
    from services.messages.model import Delivery

GIVE_UP_AFTER = timedelta(hours=1)
"""A notification that is closed later than that has been seen."""

_AGAIN = (AttemptOutcome.TEMPORARY_FAILURE, AttemptOutcome.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Closing:
    """What is left to be closed of a message."""

    retract_time: datetime
    failed_count: int = 0
    next_time: datetime | None = None
    """None: at once."""

    keys: frozenset[str] | None = None
    """The browsers that are left; None: all that have accepted the push."""

    def is_due(self, now: datetime) -> bool:
        """Tells whether it is to be tried now."""
        return self.next_time is None or self.next_time <= now


def targets_to_close(closing: Closing, delivery: Delivery, targets: Sequence[Target]) -> tuple[Target, ...]:
    """Gives those of a user's browsers that may show the message, and can be told to close it."""
    accepted = {one.key for one in delivery.targets if one.state is DeliveryState.SENT}
    left = accepted if closing.keys is None else accepted & closing.keys
    return tuple(target for target in targets if target_key(target) in left and _closes(target))


def _closes(target: Target) -> bool:
    # NotificationAPI's would show that as a notification without a text.
    return isinstance(target, WebPushSubscription) and target.worker == OUR_WORKER


def logged(delivery: Delivery, calls: Sequence[Tried]) -> Delivery:
    """Gives the delivery with the calls that closed it among its attempts; what became of it stays."""
    attempts = [
        replace(call.attempt, detail=shortened(f"closing: {call.attempt.detail}").removesuffix(":")) for call in calls
    ]
    return replace(delivery, attempts=kept((*delivery.attempts, *attempts)))


def left_after(
    closing: Closing,
    calls: Sequence[Tried],
    now: datetime,
    *,
    uncalled: Sequence[Target] = (),
    random: Callable[[], float],
) -> Closing | None:
    """Gives what is left to be closed after a round of calls; None where nothing is.

    Args:
        closing: As it was before.
        calls: What was called; may be nothing.
        now: When the last of them ended.
        uncalled: Those that this worker could not call any more.
        random: Spreads what is tried again.
    """
    again = [call for call in calls if call.answer.outcome in _AGAIN]
    keys = frozenset(target_key(target) for target in (*(call.target for call in again), *uncalled))
    if not again:
        return replace(closing, next_time=None, keys=keys) if keys else None

    failed_count = closing.failed_count + 1
    next_time = next_attempt(
        closing.retract_time,
        now,
        failed_count=failed_count,
        retry_after=max((call.answer.retry_after for call in again if call.answer.retry_after), default=None),
        random=random,
    )
    if next_time is None or next_time - closing.retract_time >= GIVE_UP_AFTER:
        return None
    return Closing(closing.retract_time, failed_count, next_time, keys)
