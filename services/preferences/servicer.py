"""The RPCs of carillon.v1.Preferences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from carillon.v1 import preferences_pb2, preferences_pb2_grpc
from services.kernel import validation
from services.kernel.auth import current_principal, resolve_user_id
from services.kernel.errors import FailedPrecondition, Unauthenticated
from services.kernel.links import UnsubscribeLink
from services.kernel.paging import decode_page_token, encode_page_token
from services.kernel.validation import Violations
from services.kernel.vocabulary import DeliveryOption
from services.preferences import convert
from services.preferences.model import (
    MAX_PARTS_OF_PAGE,
    MAX_PREFERENCES,
    Choices,
    Preference,
    page_of,
    patched,
    turned_off,
    turned_on_again,
    without,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from services.kernel.clock import Clock
    from services.kernel.interceptors import Context
    from services.kernel.links import LinkTokens
    from services.notifications.model import Notification
    from services.notifications.store import NotificationStore
    from services.preferences.store import PreferenceStore
    from services.sub_notifications.store import SubNotificationStore
    from services.users.store import UserStore

USER_METHODS = ("DeletePreferences", "GetPreferences", "PatchPreferences", "SetPreferences")
OPEN_METHODS = ("Unsubscribe",)


class PreferencesServicer(preferences_pb2_grpc.PreferencesServicer):
    """Serves choices: everybody's to a backend, their own to a user."""

    def __init__(
        self,
        preferences: PreferenceStore,
        users: UserStore,
        notifications: NotificationStore,
        sub_notifications: SubNotificationStore,
        links: LinkTokens,
        *,
        clock: Clock,
    ) -> None:
        self._preferences = preferences
        self._users = users
        self._notifications = notifications
        self._sub_notifications = sub_notifications
        self._links = links
        self._clock = clock

    async def GetPreferences(
        self, request: preferences_pb2.GetPreferencesRequest, context: Context
    ) -> preferences_pb2.GetPreferencesResponse:
        """Answers a user's choices and what they come to."""
        principal = current_principal()
        violations = Violations()
        user_id = resolve_user_id(principal, request.user_id, violations)
        page_size = validation.page_size(request.page_size, violations)
        if request.scope not in preferences_pb2.PreferenceScope.values():
            violations.add("scope", f"has the unknown value {request.scope}", "UNKNOWN_VALUE")
        violations.raise_if_any()

        is_received = request.scope == preferences_pb2.PREFERENCE_SCOPE_RECEIVED
        filters = {
            "rpc": "GetPreferences",
            "client_id": principal.client_id,
            "user_id": user_id,
            "scope": "RECEIVED" if is_received else "ALL",
        }
        position = decode_page_token(request.page_token, filters, types=(str, str))
        after, next_part = map(str, position or ("", ""))
        preferences = await self._preferences.get(principal.client_id, user_id)
        only = await self._received(principal.client_id, user_id, preferences) if is_received else None
        notifications = await self._notifications_after(
            principal.client_id, after, next_part, limit=page_size + 1, only=only
        )
        parts = await self._sub_notifications.of_notifications(
            principal.client_id,
            [one.id for one in notifications[:page_size]],
            begin=(after, next_part),
            limit=MAX_PARTS_OF_PAGE + 1,
        )
        page = page_of([one.id for one in notifications], parts, size=page_size)
        choices = Choices(preferences)
        return preferences_pb2.GetPreferencesResponse(
            preferences=map(convert.preference_to_proto, preferences),
            notifications=[
                convert.effective_to_proto(one, page.parts[one.id], choices)
                for one in notifications
                if one.id in page.parts
            ],
            next_page_token=encode_page_token(page.end, filters) if page.end else "",
        )

    async def SetPreferences(
        self, request: preferences_pb2.SetPreferencesRequest, context: Context
    ) -> preferences_pb2.SetPreferencesResponse:
        """Replaces a user's choices."""
        principal = current_principal()
        violations = Violations()
        user_id = resolve_user_id(principal, request.user_id, violations)
        preferences = await self._read(principal.client_id, request.preferences, violations)
        violations.raise_if_any()

        now = self._clock()
        await self._users.ensure(principal.client_id, user_id, now)
        await self._preferences.replace(principal.client_id, user_id, preferences, now)
        return preferences_pb2.SetPreferencesResponse(preferences=map(convert.preference_to_proto, preferences))

    async def PatchPreferences(
        self, request: preferences_pb2.PatchPreferencesRequest, context: Context
    ) -> preferences_pb2.PatchPreferencesResponse:
        """Adds or changes choices of a user."""
        principal = current_principal()
        violations = Violations()
        user_id = resolve_user_id(principal, request.user_id, violations)
        if not request.preferences:
            violations.add("preferences", f"must be 1 to {MAX_PREFERENCES}, but are none", "REQUIRED")
        given = await self._read(principal.client_id, request.preferences, violations)
        violations.raise_if_any()

        now = self._clock()
        preferences = await self._preferences.change(
            principal.client_id, user_id, lambda stored: patched(stored, given), now
        )
        await self._users.ensure(principal.client_id, user_id, now)
        return preferences_pb2.PatchPreferencesResponse(preferences=map(convert.preference_to_proto, preferences))

    async def DeletePreferences(
        self, request: preferences_pb2.DeletePreferencesRequest, context: Context
    ) -> preferences_pb2.DeletePreferencesResponse:
        """Forgets choices of a user."""
        principal = current_principal()
        violations = Violations()
        user_id = resolve_user_id(principal, request.user_id, violations)
        notification_id = validation.lookup_id(request.notification_id, violations, field="notification_id")
        sub_id = validation.text(
            request.sub_notification_id, violations, field="sub_notification_id", max_bytes=validation.MAX_ID_BYTES
        )
        violations.raise_if_any()

        preferences = await self._preferences.change(
            principal.client_id, user_id, lambda stored: without(stored, notification_id, sub_id), self._clock()
        )
        return preferences_pb2.DeletePreferencesResponse(preferences=map(convert.preference_to_proto, preferences))

    async def Unsubscribe(
        self, request: preferences_pb2.UnsubscribeRequest, context: Context
    ) -> preferences_pb2.UnsubscribeResponse:
        """Turns off what a mail was about; its token is the only credential that is looked at."""
        link = self._links.read(request.unsubscribe_token, UnsubscribeLink)
        if link is None:
            raise Unauthenticated(
                "the unsubscribe token is none of ours, or not whole; follow the link of the mail as it came",
                reason="UNSUBSCRIBE_TOKEN_INVALID",
            )
        notification = await self._notifications.get(link.client_id, link.notification_id)
        if notification and not request.resubscribe:
            _check_off_offered(link, notification)

        preferences = await self._follow(link, request)
        part = link.sub_notification_id and await self._sub_notifications.get(
            link.client_id, link.notification_id, link.sub_notification_id
        )
        choices = None if preferences is None else Choices(preferences)
        return convert.followed_to_proto(link, notification, part or None, choices)

    async def _follow(
        self, link: UnsubscribeLink, request: preferences_pb2.UnsubscribeRequest
    ) -> Sequence[Preference] | None:
        """Gives the choices after a link was followed; None where the user is gone, of whom nothing may come back."""
        client_id, user_id = link.client_id, link.user_id
        if await self._users.get(client_id, user_id) is None:
            return None
        if request.validate_only:
            return await self._preferences.get(client_id, user_id)
        key = (link.notification_id, link.sub_notification_id, link.channel)
        change = turned_on_again if request.resubscribe else turned_off
        return await self._preferences.change(client_id, user_id, lambda stored: change(stored, key), self._clock())

    async def _received(self, client_id: str, user_id: str, preferences: Sequence[Preference]) -> set[str]:
        """Gives the notifications that a user has received once or has a choice for."""
        user = await self._users.get(client_id, user_id)
        return {preference.notification_id for preference in preferences}.union(user.received if user else ())

    async def _notifications_after(
        self, client_id: str, notification_id: str, next_part: str, *, limit: int, only: Collection[str] | None
    ) -> list[Notification]:
        """Gives definitions by id; where one goes on with a part, that one again."""
        cut = await self._notifications.get(client_id, notification_id) if next_part else None
        begun = [cut] if cut else []
        after = await self._notifications.page(client_id, after=notification_id, limit=limit - len(begun), only=only)
        return begun + after

    async def _read(
        self, client_id: str, protos: Sequence[preferences_pb2.Preference], violations: Violations
    ) -> list[Preference]:
        # More are refused; a request has room for so many that no query could name them.
        named = {preference.notification_id for preference in protos[:MAX_PREFERENCES]}
        notifications = await self._notifications.get_many(client_id, named)
        return convert.preferences_from_proto(protos, notifications, violations)


def _check_off_offered(link: UnsubscribeLink, notification: Notification) -> None:
    settings = notification.settings(link.channel)
    if settings and DeliveryOption.OFF not in settings.offered_delivery_options:
        raise FailedPrecondition(
            f"notification '{notification.id}' does not offer OFF on {link.channel}: nobody can turn it off",
            reason="OFF_NOT_OFFERED",
            metadata={"title": notification.title or notification.id},
        )
