"""The RPCs of carillon.v1.Preferences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from carillon.v1 import preferences_pb2, preferences_pb2_grpc
from services.kernel import validation
from services.kernel.auth import current_principal, resolve_user_id
from services.kernel.paging import decode_page_token, encode_page_token
from services.kernel.validation import Violations
from services.preferences import convert
from services.preferences.model import MAX_PREFERENCES, Choices

if TYPE_CHECKING:
    from services.kernel.clock import Clock
    from services.kernel.interceptors import Context
    from services.notifications.store import NotificationStore
    from services.preferences.store import PreferenceStore
    from services.sub_notifications.store import SubNotificationStore
    from services.users.store import UserStore

USER_METHODS = ("DeletePreferences", "GetPreferences", "PatchPreferences", "SetPreferences", "Unsubscribe")


class PreferencesServicer(preferences_pb2_grpc.PreferencesServicer):
    """Serves choices: everybody's to a backend, their own to a user."""

    def __init__(
        self,
        preferences: PreferenceStore,
        users: UserStore,
        notifications: NotificationStore,
        sub_notifications: SubNotificationStore,
        *,
        clock: Clock,
    ) -> None:
        self._preferences = preferences
        self._users = users
        self._notifications = notifications
        self._sub_notifications = sub_notifications
        self._clock = clock

    async def GetPreferences(
        self, request: preferences_pb2.GetPreferencesRequest, context: Context
    ) -> preferences_pb2.GetPreferencesResponse:
        """Answers a user's choices and what they come to."""
        principal = current_principal()
        violations = Violations()
        user_id = resolve_user_id(principal, request.user_id, violations)
        page_size = validation.page_size(request.page_size, violations)
        if request.scope == preferences_pb2.PREFERENCE_SCOPE_RECEIVED:
            violations.add("scope", "RECEIVED is not supported yet; use ALL", "NOT_SUPPORTED_YET")
        elif request.scope not in (0, preferences_pb2.PREFERENCE_SCOPE_ALL):
            violations.add("scope", f"has the unknown value {request.scope}", "UNKNOWN_VALUE")
        violations.raise_if_any()

        filters = {"rpc": "GetPreferences", "client_id": principal.client_id, "user_id": user_id}
        position = decode_page_token(request.page_token, filters, types=(str,))
        preferences = await self._preferences.get(principal.client_id, user_id)
        notifications = await self._notifications.page(
            principal.client_id, after=position[0] if position else None, limit=page_size + 1
        )
        page = notifications[:page_size]
        parts = await self._sub_notifications.of_notifications(principal.client_id, [one.id for one in page])
        choices = Choices(preferences)
        has_more = len(notifications) > page_size
        return preferences_pb2.GetPreferencesResponse(
            preferences=map(convert.preference_to_proto, preferences),
            notifications=[convert.effective_to_proto(one, parts[one.id], choices) for one in page],
            next_page_token=encode_page_token([page[-1].id], filters) if has_more else "",
        )

    async def SetPreferences(
        self, request: preferences_pb2.SetPreferencesRequest, context: Context
    ) -> preferences_pb2.SetPreferencesResponse:
        """Replaces a user's choices."""
        principal = current_principal()
        violations = Violations()
        user_id = resolve_user_id(principal, request.user_id, violations)
        # More are refused below; a request has room for so many that no query could name them.
        named = {preference.notification_id for preference in request.preferences[:MAX_PREFERENCES]}
        notifications = await self._notifications.get_many(principal.client_id, named)
        preferences = convert.preferences_from_proto(request.preferences, notifications, violations)
        violations.raise_if_any()

        now = self._clock()
        await self._users.ensure(principal.client_id, user_id, now)
        await self._preferences.replace(principal.client_id, user_id, preferences, now)
        return preferences_pb2.SetPreferencesResponse(preferences=map(convert.preference_to_proto, preferences))
