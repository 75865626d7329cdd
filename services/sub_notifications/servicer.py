"""The RPCs of carillon.v1.SubNotifications."""

from __future__ import annotations

from typing import TYPE_CHECKING

from carillon.v1 import sub_notifications_pb2, sub_notifications_pb2_grpc
from services.kernel import validation
from services.kernel.auth import current_principal
from services.kernel.paging import decode_page_token, encode_page_token
from services.kernel.validation import Violations
from services.notifications.model import notification_not_found
from services.sub_notifications import convert
from services.sub_notifications.model import sub_notification_not_found

if TYPE_CHECKING:
    from services.kernel.clock import Clock
    from services.kernel.interceptors import Context
    from services.notifications.store import NotificationStore
    from services.sub_notifications.store import SubNotificationStore

_TITLE_BYTES = 256


class SubNotificationsServicer(sub_notifications_pb2_grpc.SubNotificationsServicer):
    """Serves the parts of notifications to backends."""

    def __init__(
        self, sub_notifications: SubNotificationStore, notifications: NotificationStore, *, clock: Clock
    ) -> None:
        self._sub_notifications = sub_notifications
        self._notifications = notifications
        self._clock = clock

    async def GetSubNotification(
        self, request: sub_notifications_pb2.GetSubNotificationRequest, context: Context
    ) -> sub_notifications_pb2.GetSubNotificationResponse:
        """Gets one part."""
        violations = Violations()
        notification_id = validation.lookup_id(request.notification_id, violations, field="notification_id")
        sub_id = validation.lookup_id(request.sub_notification_id, violations, field="sub_notification_id")
        violations.raise_if_any()

        stored = await self._sub_notifications.get(current_principal().client_id, notification_id, sub_id)
        if stored is None:
            raise sub_notification_not_found(notification_id, sub_id)
        return sub_notifications_pb2.GetSubNotificationResponse(
            sub_notification=convert.sub_notification_to_proto(stored)
        )

    async def ListSubNotifications(
        self, request: sub_notifications_pb2.ListSubNotificationsRequest, context: Context
    ) -> sub_notifications_pb2.ListSubNotificationsResponse:
        """Lists the parts of one notification by id."""
        client_id = current_principal().client_id
        violations = Violations()
        notification_id = validation.lookup_id(request.notification_id, violations, field="notification_id")
        page_size = validation.page_size(request.page_size, violations)
        violations.raise_if_any()

        filters = {"rpc": "ListSubNotifications", "client_id": client_id, "notification_id": notification_id}
        position = decode_page_token(request.page_token, filters, types=(str,))
        if await self._notifications.get(client_id, notification_id) is None:
            raise notification_not_found(notification_id)
        parts = await self._sub_notifications.page(
            client_id, notification_id, after=position[0] if position else None, limit=page_size + 1
        )
        page = parts[:page_size]
        has_more = len(parts) > page_size
        return sub_notifications_pb2.ListSubNotificationsResponse(
            sub_notifications=map(convert.sub_notification_to_proto, page),
            next_page_token=encode_page_token([page[-1].id], filters) if has_more else "",
        )

    async def PutSubNotification(
        self, request: sub_notifications_pb2.PutSubNotificationRequest, context: Context
    ) -> sub_notifications_pb2.PutSubNotificationResponse:
        """Creates or renames a part."""
        client_id = current_principal().client_id
        violations = Violations()
        notification_id = validation.lookup_id(request.notification_id, violations, field="notification_id")
        sub_id = validation.created_id(request.sub_notification_id, violations, field="sub_notification_id")
        title = validation.text(request.title, violations, field="title", max_bytes=_TITLE_BYTES) or sub_id
        violations.raise_if_any()

        if await self._notifications.get(client_id, notification_id) is None:
            raise notification_not_found(notification_id)
        stored = await self._sub_notifications.put(client_id, notification_id, sub_id, title, self._clock())
        return sub_notifications_pb2.PutSubNotificationResponse(
            sub_notification=convert.sub_notification_to_proto(stored)
        )

    async def DeleteSubNotification(
        self, request: sub_notifications_pb2.DeleteSubNotificationRequest, context: Context
    ) -> sub_notifications_pb2.DeleteSubNotificationResponse:
        """Deletes a part."""
        violations = Violations()
        notification_id = validation.lookup_id(request.notification_id, violations, field="notification_id")
        sub_id = validation.lookup_id(request.sub_notification_id, violations, field="sub_notification_id")
        violations.raise_if_any()

        if not await self._sub_notifications.delete(current_principal().client_id, notification_id, sub_id):
            raise sub_notification_not_found(notification_id, sub_id)
        return sub_notifications_pb2.DeleteSubNotificationResponse()
