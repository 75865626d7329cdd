"""What happens when the time of a message has come: it is planned and rendered, as a send of that moment would be.

The definition, the user's choices and addresses and the environment are those of now; the request is that of the send,
or of its last change. Nothing is sent here: what is pending is due from then on, as after a send.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from carillon.v1 import sender_pb2
from services.kernel.errors import InvalidArgument, Unavailable
from services.kernel.validation import Violations
from services.messages.model import Fired, SkipReason, goes_out
from services.messages.store import encode
from services.sender.aside import aside
from services.sender.compose import compose, left_out, with_attempts, without_item
from services.sender.convert import read_send
from services.sender.plan import plan

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from services.environments.cache import Catalogue
    from services.kernel.clock import Clock
    from services.messages.model import Delivery
    from services.messages.schedules import ScheduleStore, Waiting
    from services.sender.reads import Recipient, RecipientReads
    from services.users.model import User
    from services.users.store import UserStore


class Firing:
    """Fires messages."""

    def __init__(
        self,
        *,
        schedules: ScheduleStore,
        recipients: RecipientReads,
        catalogue: Catalogue,
        users: UserStore,
        clock: Clock,
    ) -> None:
        self._schedules = schedules
        self._recipients = recipients
        self._catalogue = catalogue
        self._users = users
        self._clock = clock

    async def fire(self, client_id: str, user_id: str, tracking_id: str, token: str) -> bool:
        """Fires a message that is held by a lease, and gives the lease back.

        Args:
            client_id: The environment.
            user_id: The user.
            tracking_id: The message.
            token: That of the lease.

        Returns:
            Whether it has fired; False where somebody else has changed, cancelled, deleted or taken it over meanwhile.
        """
        while waiting := await self._schedules.leased(client_id, user_id, tracking_id, token):
            # Whatever the clock here says: that the time has come was decided by another.
            now = max(self._clock(), waiting.schedule_time)
            recipient = await self._recipients.read(client_id, user_id)
            fired = await self._plan_and_render(waiting, recipient, now)
            if fired is None:
                return False
            if await self._schedules.fire(waiting, token, fired, now):
                await self._note_received(waiting, fired, recipient.profile)
                return True
        return False

    async def _note_received(self, waiting: Waiting, fired: Fired, profile: User | None) -> None:
        """Notes that the user has received the notification; where that fails the next message makes up for it."""
        notification_id = sender_pb2.SendRequest.FromString(waiting.request).notification_id
        if profile and notification_id not in profile.received and goes_out(fired.deliveries):
            with contextlib.suppress(Unavailable):
                await self._users.note_received(waiting.client_id, waiting.user_id, notification_id)

    async def _plan_and_render(self, waiting: Waiting, recipient: Recipient, now: datetime) -> Fired | None:
        """Makes what the message becomes; None: its environment is gone."""
        environment = await self._catalogue.environment(waiting.client_id, version=recipient.version)
        if environment is None:
            return None
        violations = Violations()
        proto = sender_pb2.SendRequest.FromString(waiting.request)
        send = await read_send(proto, violations, region=environment.default_region)
        # Made by a newer version of this, whose workers can fire it.
        violations.raise_if_any()
        notification = await self._catalogue.definition(environment, send.notification_id)
        if notification is None:
            detail = "the notification was deleted before the time of the message"
            skipped = left_out(waiting.deliveries, SkipReason.NOTIFICATION_DISABLED, detail)
            return Fired(_at(now, skipped, waiting.deliveries), waiting.warnings, None)

        profile = recipient.profile
        planned = plan(send, notification, profile, recipient.choices, environment)
        rendering = partial(
            compose,
            replace(send, expire_time=waiting.expire_time),
            planned,
            notification,
            profile,
            environment,
            tracking_id=waiting.tracking_id,
            now=now,
        )
        message = await aside(rendering, content_bytes=send.content_bytes)
        deliveries, item = message.deliveries, message.item
        try:
            encode(message)
        except InvalidArgument as error:
            deliveries, item = left_out(deliveries, SkipReason.CONTENT_TOO_LARGE, str(error)), None
        if waiting.is_retracted:
            deliveries, item = without_item(deliveries, waiting.deliveries), None
        if waiting.expire_time <= now:
            deliveries, item = left_out(deliveries, SkipReason.EXPIRED), None
        news = tuple(warning for warning in message.warnings if warning not in waiting.warnings)
        return Fired(_at(now, deliveries, waiting.deliveries), (*waiting.warnings, *news), item)


def _at(now: datetime, deliveries: Sequence[Delivery], before: Sequence[Delivery]) -> tuple[Delivery, ...]:
    """Gives deliveries whose state is of now, but for what was cancelled before."""
    return tuple(
        replace(delivery, update_time=delivery.update_time or now) for delivery in with_attempts(deliveries, before)
    )
