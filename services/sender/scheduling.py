"""Changing a message that waits for its time: its request with some fields replaced, checked and previewed anew."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from carillon.v1 import sender_pb2
from services.kernel.validation import Violations
from services.messages.store import check_fits, encode
from services.notifications.model import notification_not_found
from services.sender.aside import aside
from services.sender.changes import changed_request, is_timed_anew
from services.sender.compose import compose, held_back, with_attempts, without_item
from services.sender.convert import read_send
from services.sender.plan import plan
from services.sender.times import check_times, schedule_time_of
from services.users.model import brings_devices

if TYPE_CHECKING:
    from collections.abc import Callable

    from services.environments.cache import Catalogue
    from services.environments.model import Environment
    from services.kernel.clock import Clock
    from services.messages.model import Message
    from services.messages.schedules import ScheduleStore
    from services.sender.reads import RecipientReads
    from services.users.store import UserStore

    Readmit = Callable[[Environment | None], Environment]


class Scheduling:
    """Changes messages that wait for their time."""

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

    async def update(
        self, request: sender_pb2.UpdateScheduleRequest, environment: Environment, readmit: Readmit
    ) -> Message:
        """Replaces fields of a message's request, and gives the message as it waits now.

        Args:
            request: Which message, and its new values.
            environment: The environment as it is held.
            readmit: Checks the caller against a newer one.

        Raises:
            NotFound: If the message or its notification is not there, or not any more.
            FailedPrecondition: If it does not wait.
            InvalidArgument: If the request would not be one to send.
        """
        while True:
            # Again where somebody else changed it, or retracted its item, in between; fired is refused as it is read.
            waiting = await self._schedules.get(environment.client_id, request.tracking_id)
            recipient = await self._recipients.read(environment.client_id, waiting.user_id)
            if recipient.version != environment.version:
                environment = readmit(
                    await self._catalogue.environment(environment.client_id, version=recipient.version)
                )
            stored = sender_pb2.SendRequest.FromString(waiting.request)
            stored.request_id = waiting.request_id
            violations, of_request = Violations(), Violations()
            changed = changed_request(stored, request, violations)
            send = await read_send(changed, of_request, region=environment.default_region)
            violations.include(of_request, prefix="request.")
            violations.raise_if_any()
            notification = await self._catalogue.definition(environment, send.notification_id)
            if notification is None:
                raise notification_not_found(send.notification_id)

            now = self._clock()
            profile = recipient.profile
            schedule_time = waiting.schedule_time
            if is_timed_anew(stored, changed):
                # What is to be sent now fires at once.
                schedule_time = schedule_time_of(send, profile, environment, now) or now
            check_times(send, schedule_time, now, prefix="request.")
            rendering = partial(
                compose,
                send,
                plan(send, notification, profile, recipient.choices, environment),
                notification,
                profile,
                environment,
                tracking_id=waiting.tracking_id,
                now=waiting.create_time,
                schedule_time=schedule_time,
            )
            message = await aside(rendering, content_bytes=send.content_bytes)
            check_fits(message)
            message = held_back(message, schedule_time)
            message = replace(message, deliveries=with_attempts(message.deliveries, waiting.deliveries))
            if message.options.email.attachments:
                # As far as they have come: some may be fetched, and are not at their addresses any more.
                email = replace(message.options.email, attachments=waiting.attachments)
                message = replace(message, options=replace(message.options, email=email))
            if waiting.is_retracted:
                message = replace(message, deliveries=without_item(message.deliveries, waiting.deliveries), item=None)
            encode(message)
            if profile is None or brings_devices(send.user, profile):
                await self._users.fill(environment.client_id, send.user, now)
            if await self._schedules.change(waiting, message):
                return message
