"""The RPCs of carillon.v1.Notifications."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from carillon.v1 import notifications_pb2, notifications_pb2_grpc
from services.kernel import validation
from services.kernel.auth import current_principal
from services.kernel.validation import Violations
from services.notifications import convert
from services.notifications.model import notification_not_found

if TYPE_CHECKING:
    from services.kernel.clock import Clock, IdSource
    from services.kernel.interceptors import Context
    from services.notifications.store import NotificationStore


class NotificationsServicer(notifications_pb2_grpc.NotificationsServicer):
    """Serves definitions to backends."""

    def __init__(self, notifications: NotificationStore, *, clock: Clock, new_id: IdSource) -> None:
        self._notifications = notifications
        self._clock = clock
        self._new_id = new_id

    async def GetNotification(
        self, request: notifications_pb2.GetNotificationRequest, context: Context
    ) -> notifications_pb2.GetNotificationResponse:
        """Gets one definition."""
        violations = Violations()
        notification_id = validation.lookup_id(request.notification_id, violations, field="notification_id")
        violations.raise_if_any()

        notification = await self._notifications.get(current_principal().client_id, notification_id)
        if notification is None:
            raise notification_not_found(notification_id)
        return notifications_pb2.GetNotificationResponse(notification=convert.notification_to_proto(notification))

    async def PutNotification(
        self, request: notifications_pb2.PutNotificationRequest, context: Context
    ) -> notifications_pb2.PutNotificationResponse:
        """Creates or replaces a definition."""
        violations = Violations()
        # In a thread: the templates of a large definition take a second to parse, and other calls go on meanwhile.
        notification = await asyncio.to_thread(convert.notification_from_proto, request.notification, violations)
        violations.raise_if_any()

        stored = await self._notifications.put(
            current_principal().client_id,
            replace(notification, etag=self._new_id(), update_time=self._clock()),
            expected_etag=request.etag,
        )
        return notifications_pb2.PutNotificationResponse(notification=convert.notification_to_proto(stored))
