"""One round of one message: the calls of each channel, and the one write of what became of them."""

from __future__ import annotations

import asyncio
import enum
import random
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

import structlog

from services.delivery.bulkhead import BusyError
from services.delivery.closing import left_after, logged, targets_to_close
from services.delivery.fetches import left_out_detail, next_fetch
from services.delivery.model import Answer, Outgoing
from services.delivery.retry import GIVE_UP_AFTER
from services.delivery.rounds import (
    Tried,
    first_attempt_time,
    interrupted,
    is_due,
    kept,
    left_out,
    open_targets,
    tried,
)
from services.kernel.errors import Unavailable
from services.kernel.metrics import ATTEMPTS
from services.kernel.vocabulary import Channel
from services.messages.model import AttemptOutcome, DeliveryState, SkipReason, needs_files

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from services.delivery.attachments import Attachments
    from services.delivery.closing import Closing
    from services.delivery.model import Provider, Target
    from services.delivery.outbox import Leased, Outbox
    from services.delivery.providers import Providers
    from services.environments.model import Environment
    from services.kernel.clock import Clock
    from services.messages.model import Delivery
    from services.messages.options import Attachment
    from services.users.model import User
    from services.users.store import UserStore

# What is left of a lease after a call's deadline: enough to write what became of it.
_MARGIN_S = 10.0
_WRITE_AGAIN_S = 0.5
# What ends within this time is written together.
_GRACE_S = 0.1
# How long a message leaves its room to others whose provider does not keep up, up to twice as long.
_BUSY = timedelta(seconds=10)


class NotCalled(enum.Enum):
    """Why a call was not made."""

    NOT_NOW = enum.auto()
    """It was taken back, taken over, or the worker ends: who comes next decides anew."""

    BUSY = enum.auto()
    """Its provider does not keep up."""


_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Held:
    """A message that is in work here."""

    leased: Leased
    until: float
    """When the lease ends at the earliest, by the loop's clock."""

    environment: Environment
    user: User | None
    stop: asyncio.Event
    """Set when no further call is to begin."""

    attachments: tuple[Attachment, ...] = ()
    """Those of the mail, as this round leaves them."""

    is_lost: bool = False
    """Whether another worker has it now, or nobody."""


class Carrier:
    """Carries a message that a worker holds, as far as it is due.

    Args:
        outbox: Where it is written what became of it.
        users: The profiles, which devices that are gone leave.
        providers: Who carries what.
        attachments: The files of mails.
        clock: The time of attempts.
        jitter: Gives a number from 0 to 1.
    """

    def __init__(
        self,
        *,
        outbox: Outbox,
        users: UserStore,
        providers: Providers,
        attachments: Attachments,
        clock: Clock,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._outbox = outbox
        self._users = users
        self._providers = providers
        self._attachments = attachments
        self._clock = clock
        self._jitter = jitter

    async def carry(self, held: Held) -> None:
        """Makes all calls that are due, and writes the message: once, if all of them end within moments.

        Raises:
            Unavailable: If nobody knows whether it was written.
        """
        leased, now = held.leased, self._clock()
        if leased.claim_time:
            # Whatever the clock here says: that something is due was decided by another.
            now = max(now, leased.claim_time)
        deliveries = await self._taken_over(held, now)
        so_far = list(deliveries)
        async with asyncio.TaskGroup() as channels:
            running = [
                channels.create_task(self._deliver(held, delivery, now, partial(so_far.__setitem__, i)))
                for i, delivery in enumerate(deliveries)
            ]
            await self._record(held, deliveries, so_far, running)
        after, closing = await self._close(held, [task.result() for task in running], now)
        await self._finish(held, after, closing)
        if held.attachments and any(map(needs_files, leased.deliveries)) and not any(map(needs_files, after)):
            await self._attachments.forget(leased.key)

    async def _record(
        self,
        held: Held,
        deliveries: Sequence[Delivery],
        so_far: list[Delivery],
        running: Sequence[asyncio.Task[Delivery]],
    ) -> None:
        """Writes what is known by now for as long as some calls go on: a crash must not make the others anew."""
        written = list(deliveries)
        pending: set[asyncio.Task[Delivery]] = set(running)
        while pending:
            _, pending = await asyncio.wait(pending, timeout=_GRACE_S)
            for i, task in enumerate(running):
                if task not in pending and not task.cancelled() and task.exception() is None:
                    so_far[i] = task.result()
            if not pending or so_far == written or held.is_lost:
                continue
            try:
                await self._outbox.record(held.leased, written, so_far)
                written = list(so_far)
            except Unavailable:
                _log.warning("progress_not_recorded", tracking_id=held.leased.key.tracking_id)

    async def _taken_over(self, held: Held, now: datetime) -> Sequence[Delivery]:
        leased = held.leased
        if not leased.was_interrupted:
            return leased.deliveries
        _log.warning("message_taken_over", tracking_id=leased.key.tracking_id)
        deliveries = [
            interrupted(delivery, now, self._carrier(held, delivery)) if is_due(delivery, now) else delivery
            for delivery in leased.deliveries
        ]
        await self._outbox.record_interruption(leased, deliveries, now)
        return deliveries

    def _carrier(self, held: Held, delivery: Delivery) -> str:
        """Gives the name of the provider that a delivery was most likely handed to."""
        choose = self._providers.choose
        chosen = (choose(held.environment, delivery.channel, one) for one in targets_of(delivery, held.user))
        return next((provider.name for provider in chosen if provider), "")

    async def _finish(self, held: Held, deliveries: Sequence[Delivery], closing: Closing | None) -> None:
        """Writes what became of the message, for as long as the lease lasts."""
        while not held.is_lost:
            try:
                return await self._outbox.finish(
                    held.leased, deliveries, self._clock(), attachments=held.attachments, closing=closing
                )
            except Unavailable:
                if asyncio.get_running_loop().time() > held.until:
                    raise
                await asyncio.sleep(_WRITE_AGAIN_S)
        return None

    async def _deliver(
        self, held: Held, delivery: Delivery, now: datetime, report: Callable[[Delivery], None]
    ) -> Delivery:
        """Makes the calls of one channel, and gives what became of it; reports what it has come to meanwhile."""
        if held.attachments and needs_files(delivery):
            delivery = await self._fetch(held, delivery, now)
        if not is_due(delivery, now):
            return delivery
        if held.leased.is_cancelled:
            return replace(delivery, next_time=None)
        first_time = first_attempt_time(delivery)
        if first_time and now - first_time >= GIVE_UP_AFTER:
            return tried_too_long(delivery, now)
        if held.leased.expire_time <= now:
            return left_out(delivery, SkipReason.EXPIRED, now)
        if delivery.channel in held.environment.disabled_channels:
            return left_out(delivery, SkipReason.CHANNEL_DISABLED, now)
        targets = open_targets(delivery, targets_of(delivery, held.user))
        if not targets:
            return left_out(delivery, SkipReason.NO_ADDRESS, now)
        carried = [
            (target, provider)
            for target in targets
            if (provider := self._providers.choose(held.environment, delivery.channel, target))
        ]
        if not carried:
            return left_out(delivery, SkipReason.PROVIDER_NOT_CONFIGURED, now)

        outgoing = self._outgoing(held, delivery)
        ended: list[Tried] = []
        waiting = [target for target, _ in carried]

        async def call_one(target: Target, provider: Provider) -> Tried | NotCalled:
            call = await self._call(held, replace(outgoing, target=target), provider)
            if isinstance(call, Tried):
                ended.append(call)
                waiting.remove(target)
                report(tried(delivery, ended, self._clock(), uncalled=waiting, random=self._jitter))
            return call

        calls = await asyncio.gather(*(call_one(target, provider) for target, provider in carried))
        made = [call for call in calls if isinstance(call, Tried)]
        if not made:
            return self._put_off(delivery, calls)
        await self._forget_gone(held, delivery.channel, made)
        uncalled = [target for (target, _), call in zip(carried, calls, strict=True) if isinstance(call, NotCalled)]
        after = tried(delivery, made, self._clock(), uncalled=uncalled, random=self._jitter)
        if uncalled:
            after = self._put_off(after, calls)
        if delivery.channel is Channel.EMAIL and after.state is DeliveryState.SENT:
            after = replace(after, detail=left_out_detail(held.attachments))
        return after

    def _put_off(self, delivery: Delivery, calls: Sequence[Tried | NotCalled]) -> Delivery:
        """Gives a delivery that is not due for a while where its provider does not keep up, so that others get in."""
        if NotCalled.BUSY not in calls:
            return delivery
        return replace(delivery, next_time=self._later(delivery.next_time))

    def _later(self, time: datetime | None) -> datetime:
        later = self._clock() + _BUSY * (1 + self._jitter())
        return max(later, time or later)

    async def _fetch(self, held: Held, delivery: Delivery, now: datetime) -> Delivery:
        """Fetches the files of a mail that are due; until all are there, or given up, the mail waits for them."""
        leased = held.leased
        if leased.is_cancelled or leased.expire_time <= now:
            return delivery

        async def may_go_on() -> bool:
            standing = None if held.stop.is_set() else await self._outbox.standing(leased)
            return standing is not None and not standing.is_cancelled

        fetched = await self._attachments.fetch(
            leased.key, held.attachments, leased.create_time, now=now, may_go_on=may_go_on
        )
        held.attachments = fetched.attachments
        delivery = replace(delivery, attempts=kept((*delivery.attempts, *fetched.attempts)))
        next_time = next_fetch(fetched.attachments, self._clock())
        if next_time and delivery.state is DeliveryState.PENDING:
            # At the earliest in the next round, also where it has come by now.
            return replace(delivery, next_time=max(next_time, now + timedelta(milliseconds=1)))
        return delivery

    async def _close(
        self, held: Held, deliveries: Sequence[Delivery], now: datetime
    ) -> tuple[Sequence[Delivery], Closing | None]:
        """Closes what browsers show of an item that was taken back; gives the deliveries, and what is left of that."""
        closing = held.leased.closing
        if closing is None or not closing.is_due(now):
            return deliveries, closing
        pushed = next((one for one in deliveries if one.channel is Channel.WEB_PUSH), None)
        provider = self._providers.closes(held.environment)
        if pushed is None or provider is None or Channel.WEB_PUSH in held.environment.disabled_channels:
            return deliveries, None
        targets = targets_to_close(closing, pushed, targets_of(pushed, held.user))
        if not targets:
            return deliveries, None

        outgoing = replace(self._outgoing(held, pushed), retracts=True)
        calls = await asyncio.gather(
            *(self._call(held, replace(outgoing, target=target), provider) for target in targets)
        )
        made = [call for call in calls if isinstance(call, Tried)]
        await self._forget_gone(held, Channel.WEB_PUSH, made)
        uncalled = [target for target, call in zip(targets, calls, strict=True) if isinstance(call, NotCalled)]
        left = left_after(closing, made, self._clock(), uncalled=uncalled, random=self._jitter)
        if left and NotCalled.BUSY in calls:
            left = replace(left, next_time=self._later(left.next_time))
        return [logged(one, made) if one is pushed else one for one in deliveries], left

    def _outgoing(self, held: Held, delivery: Delivery) -> Outgoing:
        leased = held.leased
        assert delivery.content is not None, "what is pending was rendered"
        return Outgoing(
            environment=held.environment,
            user_id=leased.key.user_id,
            tracking_id=leased.key.tracking_id,
            notification_id=leased.notification_id,
            content=delivery.content,
            target="",
            expire_time=leased.expire_time,
            sub_notification_id=leased.sub_notification_id,
            item_id=leased.key.tracking_id if leased.has_item else "",
            options=leased.options,
        )

    async def _call(self, held: Held, outgoing: Outgoing, provider: Provider) -> Tried | NotCalled:
        """Makes one call, unless there is a reason by now not to."""
        try:
            async with self._providers.bulkhead(provider).enter(held.leased.lane):
                return await self._call_now(held, outgoing, provider)
        except BusyError:
            return NotCalled.BUSY

    async def _call_now(self, held: Held, outgoing: Outgoing, provider: Provider) -> Tried | NotCalled:
        try:
            if outgoing.content.channel is Channel.EMAIL and held.attachments:
                # Only now, so that there are no more files in memory than calls.
                files, held.attachments = await self._attachments.load(held.leased.key, held.attachments)
                outgoing = replace(outgoing, files=files)
            if not await self._may_call(held, outgoing, provider):
                return NotCalled.NOT_NOW
        except Unavailable:
            # The other calls of this round go on, and what becomes of them is written.
            _log.warning("call_put_off", tracking_id=outgoing.tracking_id)
            return NotCalled.NOT_NOW
        started = self._clock()
        try:
            async with asyncio.timeout(provider.deadline_s):
                answer = await provider.deliver(outgoing)
        except TimeoutError:
            answer = Answer(AttemptOutcome.UNKNOWN, detail=f"no answer within {provider.deadline_s:g} s")
        except Exception:
            # A defect of ours or of a library costs this call, not the worker; what was sent, nobody knows.
            _log.exception("provider_failed", provider=provider.name, tracking_id=outgoing.tracking_id)
            answer = Answer(AttemptOutcome.UNKNOWN, detail="internal error")
        ATTEMPTS.labels(provider.name, answer.outcome.value).inc()
        if answer.outcome is not AttemptOutcome.ACCEPTED:
            _log.info(
                "attempt_failed",
                provider=provider.name,
                outcome=answer.outcome.value,
                tracking_id=outgoing.tracking_id,
                client_id=outgoing.environment.client_id,
            )
        return Tried(outgoing.target, started, provider.name, answer)

    async def _may_call(self, held: Held, outgoing: Outgoing, provider: Provider) -> bool:
        """Tells whether a call may begin: the message is still ours for long enough, and still to be sent."""
        if held.stop.is_set() or held.is_lost:
            return False
        if held.until - asyncio.get_running_loop().time() < provider.deadline_s + _MARGIN_S:
            # It waited too long for its turn, or the leases could not be renewed: the next round has it.
            return False
        standing = await self._outbox.standing(held.leased)
        if standing is None:
            held.is_lost = True
            return False
        if outgoing.retracts:
            return True
        is_taken_back = standing.is_cancelled or outgoing.content.channel in standing.cancelled
        return not is_taken_back and standing.expire_time > self._clock()

    async def _forget_gone(self, held: Held, channel: Channel, calls: Sequence[Tried]) -> None:
        """Takes devices and browsers that are gone out of the profile; one that was registered since stays."""
        key = held.leased.key
        for call in calls:
            if call.answer.outcome is AttemptOutcome.TARGET_GONE and channel in (Channel.PUSH, Channel.WEB_PUSH):
                gone_time = call.answer.gone_time or call.start_time
                try:
                    await self._users.forget_target(key.client_id, key.user_id, call.target, gone_time)
                except Unavailable:
                    # The next push finds it gone, too; what became of this one is still to be written.
                    _log.warning("target_not_forgotten", tracking_id=key.tracking_id)


def targets_of(delivery: Delivery, user: User | None) -> tuple[Target, ...]:
    """Gives where a channel goes: the address that came with the send, else what the profile has now."""
    match delivery.channel:
        case Channel.EMAIL:
            address = delivery.address or (user.email if user else "")
        case Channel.SMS | Channel.CALL:
            address = delivery.address or (user.number if user else "")
        case Channel.PUSH:
            return user.push_tokens if user else ()
        case Channel.WEB_PUSH:
            return user.web_push_subscriptions if user else ()
        case _:
            address = ""
    return (address,) if address else ()


def tried_too_long(delivery: Delivery, now: datetime) -> Delivery:
    """Gives a delivery whose first attempt is a day ago: whatever kept the later ones from ending, none follows."""
    if delivery.state is DeliveryState.SENT:
        return replace(delivery, next_time=None)
    detail = delivery.detail or delivery.attempts[-1].detail
    return replace(delivery, state=DeliveryState.FAILED, detail=detail, next_time=None, update_time=now)
