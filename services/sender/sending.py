"""The way of one send: read what decides it, plan, render, store, answer."""

from __future__ import annotations

import contextlib
from functools import partial
from typing import TYPE_CHECKING

import structlog

from services.kernel.errors import FieldViolation, InvalidArgument, NotFound, Unavailable
from services.messages.inserts import Inserted
from services.messages.model import goes_out, message_deleted
from services.messages.store import check_fits, encode
from services.notifications.model import notification_not_found
from services.sender.aside import aside
from services.sender.compose import compose, held_back
from services.sender.plan import plan
from services.sender.times import check_times, schedule_time_of
from services.users.model import brings_devices, has_news

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from services.environments.cache import Catalogue
    from services.environments.model import Environment
    from services.kernel.clock import Clock, IdSource
    from services.messages.files import FileStore, MessageKey
    from services.messages.model import Call, Message, StoredRequest
    from services.messages.store import MessageStore
    from services.sender.model import Send
    from services.sender.reads import RecipientReads
    from services.sub_notifications.store import SubNotificationStore
    from services.users.model import User
    from services.users.store import UserStore

    Readmit = Callable[[Environment | None], Environment]

_log = structlog.get_logger(__name__)


class Sending:
    """Sends one notification to one user; knows what a send reads and the store that it writes."""

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        recipients: RecipientReads,
        messages: MessageStore,
        files: FileStore,
        users: UserStore,
        sub_notifications: SubNotificationStore,
        clock: Clock,
        new_id: IdSource,
    ) -> None:
        self._catalogue = catalogue
        self._recipients = recipients
        self._messages = messages
        self._files = files
        self._users = users
        self._sub_notifications = sub_notifications
        self._clock = clock
        self._new_id = new_id

    async def send(self, send: Send, environment: Environment, readmit: Readmit, call: Call) -> Message | StoredRequest:
        """Makes and stores the message; when this returns it is durable and its item visible.

        Args:
            send: What is asked for.
            environment: The environment as it is held; read again where the recipient's read tells of a newer one.
            readmit: Checks the caller again, against that newer one.
            call: What the log tells of the call.

        Returns:
            The message, or what an earlier call under the same request_id has stored.

        Raises:
            NotFound: If the notification is not defined, or what the request_id stood for was deleted.
            InvalidArgument: If the request_id stood for another request.
        """
        try:
            return await self._send(send, environment, readmit, call)
        except (NotFound, InvalidArgument):
            # What would fail now may have succeeded once: its repetition gets the answer of then.
            if send.request_id and (stored := await self._find_request(send, environment.client_id)):
                return stored
            raise

    async def _send(
        self, send: Send, environment: Environment, readmit: Readmit, call: Call
    ) -> Message | StoredRequest:
        client_id = environment.client_id
        recipient = await self._recipients.read(client_id, send.user.id)
        if recipient.version != environment.version:
            environment = readmit(await self._catalogue.environment(client_id, version=recipient.version))
        now = self._clock()
        profile = recipient.profile
        schedule_time = schedule_time_of(send, profile, environment, now)
        # Before the definition is looked for: who defines one that is missing, and sends again, is refused before that.
        check_times(send, schedule_time, now)
        notification = await self._catalogue.definition(environment, send.notification_id)
        if notification is None:
            raise notification_not_found(send.notification_id)

        planned = plan(send, notification, profile, recipient.choices, environment)
        rendering = partial(
            compose,
            send,
            planned,
            notification,
            profile,
            environment,
            tracking_id=self._new_id(),
            now=now,
            schedule_time=schedule_time,
            call=call,
        )
        message = await aside(rendering, content_bytes=send.content_bytes)
        if schedule_time:
            check_fits(message)
            message = held_back(message, schedule_time)
        encoded = encode(message)
        received = _received(message, profile)
        if profile is None or brings_devices(send.user, profile):
            # Before the message, so that whoever sees the message finds the user, and the worker the devices.
            await self._users.fill(client_id, send.user, now, received=received)
        key = (client_id, send.user.id, message.tracking_id)
        if send.contents and message.needs_files:
            # Before the message, so that whoever sees the message finds them.
            await self._files.store(key, send.contents, now)
        if await self._messages.insert(encoded) is Inserted.DUPLICATE_REQUEST:
            await self._forget_files(message, key)
            stored = await self._find_request(send, client_id)
            # Gone between the two: the user was deleted, and so nothing is remembered of the request.
            return stored or await self._send(send, environment, readmit, call)
        await self._courtesies(environment, send, profile, received, now)
        return message

    async def _forget_files(self, message: Message, key: MessageKey) -> None:
        """Deletes what was stored for a message that was not; what remains an hour later is swept."""
        if message.needs_files:
            with contextlib.suppress(Unavailable):
                await self._files.delete(key)

    async def _find_request(self, send: Send, client_id: str) -> StoredRequest | None:
        stored = await self._messages.find_request(client_id, send.user.id, send.request_id)
        if stored is None:
            return None
        if stored.is_deleted:
            raise message_deleted(stored.tracking_id)
        if stored.request_hash != send.request_hash:
            problem = "was used for another request of this user; give each request an id of its own"
            raise InvalidArgument([FieldViolation("request_id", problem, "REUSED")], reason="REQUEST_ID_REUSED")
        return stored

    async def _courtesies(
        self, environment: Environment, send: Send, profile: User | None, received: str, now: datetime
    ) -> None:
        """Does what the message, which is stored, does not depend on: nothing here may turn its OK into a failure."""
        client_id = environment.client_id
        part = (send.notification_id, send.sub_notification_id)
        try:
            if profile is not None and has_news(send.user, profile):
                await self._users.fill(client_id, send.user, now, received=received)
            elif profile is not None and received:
                await self._users.note_received(client_id, send.user.id, received)
            if send.sub_notification_id and not self._catalogue.knows_part(environment, *part):
                await self._sub_notifications.ensure(client_id, *part, now)
                self._catalogue.learn_part(environment, *part)
        except Unavailable:
            _log.warning("send_courtesy_failed", client_id=client_id)


def _received(message: Message, profile: User | None) -> str:
    """Gives the notification if it goes out to its user for the first time, as far as the profile knows."""
    is_known = profile is not None and message.notification_id in profile.received
    return message.notification_id if not is_known and goes_out(message.deliveries) else ""
