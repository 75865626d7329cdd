"""The way of one send: read what decides it, plan, render, store, answer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from services.kernel.errors import Unavailable
from services.messages.store import encode
from services.notifications.model import notification_not_found
from services.preferences.model import Choices
from services.sender.compose import compose
from services.sender.plan import plan
from services.users.model import has_news

if TYPE_CHECKING:
    from datetime import datetime

    from services.environments.model import Environment
    from services.kernel.clock import Clock, IdSource
    from services.messages.model import Message
    from services.messages.store import MessageStore
    from services.notifications.store import NotificationStore
    from services.preferences.store import PreferenceStore
    from services.sender.model import Send
    from services.sub_notifications.store import SubNotificationStore
    from services.users.model import User
    from services.users.store import UserStore

_log = structlog.get_logger(__name__)


class Sending:
    """Sends one notification to one user; knows the stores that a send reads and the one that it writes."""

    def __init__(
        self,
        *,
        notifications: NotificationStore,
        sub_notifications: SubNotificationStore,
        users: UserStore,
        preferences: PreferenceStore,
        messages: MessageStore,
        clock: Clock,
        new_id: IdSource,
    ) -> None:
        self._notifications = notifications
        self._sub_notifications = sub_notifications
        self._users = users
        self._preferences = preferences
        self._messages = messages
        self._clock = clock
        self._new_id = new_id

    async def send(self, send: Send, environment: Environment) -> Message:
        """Makes and stores the message; when this returns it is durable and its item visible.

        Raises:
            NotFound: If the notification is not defined.
        """
        client_id = environment.client_id
        notification, profile, preferences = await asyncio.gather(
            self._notifications.get(client_id, send.notification_id),
            self._users.get(client_id, send.user.id),
            self._preferences.get(client_id, send.user.id),
        )
        if notification is None:
            raise notification_not_found(send.notification_id)

        now = self._clock()
        planned = plan(send, notification, profile, Choices(preferences), environment)
        message = compose(send, planned, notification, profile, environment, tracking_id=self._new_id(), now=now)
        encoded = encode(message)
        if profile is None:
            # Before the message, so that whoever sees the message finds the user.
            await self._users.fill(client_id, send.user, now)
        await self._messages.insert(encoded)
        await self._courtesies(client_id, send, profile, now)
        return message

    async def _courtesies(self, client_id: str, send: Send, profile: User | None, now: datetime) -> None:
        """Does what the message, which is stored, does not depend on: nothing here may turn its OK into a failure."""
        try:
            if profile is not None and has_news(send.user, profile):
                await self._users.fill(client_id, send.user, now)
            if send.sub_notification_id:
                await self._sub_notifications.ensure(client_id, send.notification_id, send.sub_notification_id, now)
        except Unavailable:
            _log.warning("send_courtesy_failed", client_id=client_id)
