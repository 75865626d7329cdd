"""The RPCs of carillon.v1.Notifications."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from carillon.v1 import notifications_pb2, notifications_pb2_grpc
from services.kernel import validation
from services.kernel.auth import credentials_invalid, current_principal
from services.kernel.paging import decode_page_token, encode_page_token
from services.kernel.validation import Violations
from services.notifications import convert, convert_preview
from services.notifications.model import Notification, notification_not_found
from services.sender.preview import preview

if TYPE_CHECKING:
    from services.environments.cache import Catalogue
    from services.kernel.clock import Clock, IdSource
    from services.kernel.interceptors import Context
    from services.notifications.store import NotificationStore


class NotificationsServicer(notifications_pb2_grpc.NotificationsServicer):
    """Serves definitions to backends."""

    def __init__(
        self, notifications: NotificationStore, catalogue: Catalogue, *, clock: Clock, new_id: IdSource
    ) -> None:
        self._notifications = notifications
        self._catalogue = catalogue
        self._clock = clock
        self._new_id = new_id

    async def GetNotification(
        self, request: notifications_pb2.GetNotificationRequest, context: Context
    ) -> notifications_pb2.GetNotificationResponse:
        """Gets one definition."""
        violations = Violations()
        notification_id = validation.lookup_id(request.notification_id, violations, field="notification_id")
        violations.raise_if_any()

        notification = await self._get(current_principal().client_id, notification_id)
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

    async def ListNotifications(
        self, request: notifications_pb2.ListNotificationsRequest, context: Context
    ) -> notifications_pb2.ListNotificationsResponse:
        """Lists definitions by id, without their templates."""
        client_id = current_principal().client_id
        violations = Violations()
        page_size = validation.page_size(request.page_size, violations)
        violations.raise_if_any()

        filters = {"rpc": "ListNotifications", "client_id": client_id}
        position = decode_page_token(request.page_token, filters, types=(str,))
        notifications = await self._notifications.page(
            client_id, after=position[0] if position else None, limit=page_size + 1
        )
        page = notifications[:page_size]
        has_more = len(notifications) > page_size
        return notifications_pb2.ListNotificationsResponse(
            notifications=map(convert.notification_to_proto, page),
            next_page_token=encode_page_token([page[-1].id], filters) if has_more else "",
        )

    async def DeleteNotification(
        self, request: notifications_pb2.DeleteNotificationRequest, context: Context
    ) -> notifications_pb2.DeleteNotificationResponse:
        """Deletes a definition with its parts."""
        violations = Violations()
        notification_id = validation.lookup_id(request.notification_id, violations, field="notification_id")
        violations.raise_if_any()

        await self._notifications.delete(current_principal().client_id, notification_id, expected_etag=request.etag)
        return notifications_pb2.DeleteNotificationResponse()

    async def PreviewNotification(
        self, request: notifications_pb2.PreviewNotificationRequest, context: Context
    ) -> notifications_pb2.PreviewNotificationResponse:
        """Renders a definition, and stores and sends nothing."""
        client_id = current_principal().client_id
        environment = await self._catalogue.environment(client_id)
        if environment is None:
            # Deleted since the call was authenticated.
            raise credentials_invalid()
        violations = Violations()
        notification: Notification | None = None
        match request.WhichOneof("source"):
            case "notification":
                notification = convert.notification_from_proto(request.notification, violations)
            case "notification_id":
                validation.lookup_id(request.notification_id, violations, field="notification_id")
            case _:
                violations.add("notification_id", "must be given, or else notification", "REQUIRED")
        send = convert_preview.preview_from_proto(request, violations, region=environment.default_region)
        violations.raise_if_any()

        if notification is None:
            notification = await self._get(client_id, request.notification_id)
        return convert_preview.preview_to_response(preview(send, notification, environment, now=self._clock()))

    async def _get(self, client_id: str, notification_id: str) -> Notification:
        notification = await self._notifications.get(client_id, notification_id)
        if notification is None:
            raise notification_not_found(notification_id)
        return notification
