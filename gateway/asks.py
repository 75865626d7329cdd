"""Requests of a client as the services take them, and their answers as a client gets them. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from carillon.v1 import channel_pb2, delivery_pb2, inbox_pb2, preferences_pb2, user_pb2, users_pb2
from gateway.items import iso, item_from_proto
from services.kernel.wire import to_timestamp

if TYPE_CHECKING:
    from collections.abc import Iterable

    from carillon.v1 import environments_pb2
    from gateway.requests import (
        AddWebPush,
        DeletePreferences,
        Filter,
        GetPreferences,
        ListItems,
        MarkItems,
        PatchPreferences,
        Preference,
        RemoveWebPush,
        RenewToken,
    )

# What a frame calls otherwise than the proto.
_FRAME_PATHS = {"page_size": "limit", "items": "ids", "items.ids": "ids", "set_marks": "set", "clear_marks": "clear"}
_FRAME_PREFIXES = {"user.web_push_subscriptions[0]": "subscription", "remove_web_push_endpoints[0]": "endpoint"}


def list_to_proto(request: ListItems, user_id: str) -> inbox_pb2.ListInboxRequest:
    """Gives what ListInbox takes."""
    return inbox_pb2.ListInboxRequest(
        user_id=user_id,
        page_size=request.limit,
        page_token=request.page_token,
        view=_view(request.view),
        filter=_filter(request.narrowed),
        before_time=to_timestamp(request.before_time),
    )


def list_result(answer: inbox_pb2.ListInboxResponse) -> dict[str, Any]:
    """Gives a page of items."""
    return {
        "items": [item_from_proto(item) for item in answer.items],
        "next_page_token": answer.next_page_token,
        "unread_count": answer.unread_count,
    }


def mark_to_proto(request: MarkItems, user_id: str) -> inbox_pb2.MarkInboxRequest:
    """Gives what MarkInbox takes."""
    proto = inbox_pb2.MarkInboxRequest(
        user_id=user_id,
        set_marks=map(_mark, request.sets),
        clear_marks=map(_mark, request.clears),
        reply=request.reply,
    )
    if request.until:
        until = request.until
        proto.until.CopyFrom(
            inbox_pb2.ItemsUntil(time=to_timestamp(until.time), view=_view(until.view), filter=_filter(until.narrowed))
        )
    else:
        proto.items.ids.extend(request.ids)
    return proto


def mark_result(answer: inbox_pb2.MarkInboxResponse) -> dict[str, Any]:
    """Gives what a mark has changed."""
    return {"changed_count": answer.changed_count, "unread_count": answer.unread_count}


def renew_result(answer: inbox_pb2.CountUnreadResponse, request: RenewToken) -> dict[str, Any]:
    """Gives until when a new token lets the session last."""
    return {"unread_count": answer.unread_count, "expire_time": iso(request.token.expire_time)}


def get_preferences_to_proto(request: GetPreferences, user_id: str) -> preferences_pb2.GetPreferencesRequest:
    """Gives what GetPreferences takes."""
    return preferences_pb2.GetPreferencesRequest(
        user_id=user_id,
        scope=preferences_pb2.PreferenceScope.Value(f"PREFERENCE_SCOPE_{request.scope or 'UNSPECIFIED'}"),
        page_size=request.limit,
        page_token=request.page_token,
    )


def get_preferences_result(answer: preferences_pb2.GetPreferencesResponse) -> dict[str, Any]:
    """Gives all choices of a user, and a page of what they come to."""
    return {
        **preferences_result(answer.preferences),
        "notifications": [_notification(one) for one in answer.notifications],
        "next_page_token": answer.next_page_token,
    }


def patch_preferences_to_proto(request: PatchPreferences, user_id: str) -> preferences_pb2.PatchPreferencesRequest:
    """Gives what PatchPreferences takes."""
    return preferences_pb2.PatchPreferencesRequest(user_id=user_id, preferences=map(_preference, request.preferences))


def delete_preferences_to_proto(request: DeletePreferences, user_id: str) -> preferences_pb2.DeletePreferencesRequest:
    """Gives what DeletePreferences takes."""
    return preferences_pb2.DeletePreferencesRequest(
        user_id=user_id,
        notification_id=request.notification_id,
        sub_notification_id=request.sub_notification_id,
    )


def preferences_result(preferences: Iterable[preferences_pb2.Preference]) -> dict[str, Any]:
    """Gives all choices of a user."""
    return {
        "preferences": [
            _present(
                notification_id=one.notification_id,
                channel=_channel_name(one.channel) if one.channel else "",
                sub_notification_id=one.sub_notification_id,
                delivery_option=_option_name(one.delivery_option),
            )
            for one in preferences
        ]
    }


def environment_result(environment: environments_pb2.Environment) -> dict[str, Any]:
    """Gives what a browser may know of its environment."""
    return _present(name=environment.name, logo_url=environment.logo_url, vapid_public_key=environment.vapid_public_key)


def add_web_push_to_proto(request: AddWebPush, user_id: str) -> users_pb2.IdentifyUserRequest:
    """Gives what IdentifyUser takes to register a browser."""
    keys = user_pb2.WebPushKeys(p256dh=request.p256dh, auth=request.auth)
    subscription = user_pb2.WebPushSubscription(endpoint=request.endpoint, keys=keys)
    return users_pb2.IdentifyUserRequest(user=user_pb2.User(id=user_id, web_push_subscriptions=[subscription]))


def remove_web_push_to_proto(request: RemoveWebPush, user_id: str) -> users_pb2.IdentifyUserRequest:
    """Gives what IdentifyUser takes to forget a browser."""
    return users_pb2.IdentifyUserRequest(user=user_pb2.User(id=user_id), remove_web_push_endpoints=[request.endpoint])


def web_push_result(answer: users_pb2.IdentifyUserResponse) -> dict[str, Any]:
    """Gives the warnings, if there are any; the profile is not for every browser to see."""
    return _present(
        warnings=[
            {"code": _warning_name(one.code), "field": frame_path(one.field), "text": one.text}
            for one in answer.warnings
        ]
    )


def frame_path(path: str) -> str:
    """Gives the field of a frame that a path of the proto stands for."""
    for prefix, given in _FRAME_PREFIXES.items():
        if path.startswith(prefix):
            return given + path.removeprefix(prefix)
    name, bracket, rest = path.partition("[")
    return _FRAME_PATHS.get(name, name) + bracket + rest


def _filter(narrowed: Filter) -> inbox_pb2.InboxFilter:
    return inbox_pb2.InboxFilter(
        unread=narrowed.unread,
        notification_ids=narrowed.notification_ids,
        categories=narrowed.categories,
        sections=narrowed.sections,
        tags=narrowed.tags,
    )


def _preference(preference: Preference) -> preferences_pb2.Preference:
    return preferences_pb2.Preference(
        notification_id=preference.notification_id,
        channel=channel_pb2.Channel.Value(f"CHANNEL_{preference.channel or 'UNSPECIFIED'}"),
        sub_notification_id=preference.sub_notification_id,
        delivery_option=channel_pb2.DeliveryOption.Value(f"DELIVERY_OPTION_{preference.delivery_option}"),
    )


def _notification(one: preferences_pb2.NotificationPreference) -> dict[str, Any]:
    return _present(
        notification_id=one.notification_id,
        title=one.title,
        section=one.section,
        category=one.category,
        channels=_channels(one.channels),
        sub_notifications=[
            _present(sub_notification_id=part.sub_notification_id, title=part.title, channels=_channels(part.channels))
            for part in one.sub_notifications
        ],
    )


def _channels(channels: Iterable[preferences_pb2.ChannelPreference]) -> list[dict[str, Any]]:
    return [
        {
            "channel": _channel_name(one.channel),
            "delivery_option": _option_name(one.delivery_option),
            "chosen": one.chosen,
            "default_delivery_option": _option_name(one.default_delivery_option),
            "offered_delivery_options": [_option_name(option) for option in one.offered_delivery_options],
        }
        for one in channels
    ]


def _present(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value}


def _channel_name(number: Any) -> str:
    return channel_pb2.Channel.Name(number).removeprefix("CHANNEL_")


def _option_name(number: Any) -> str:
    return channel_pb2.DeliveryOption.Name(number).removeprefix("DELIVERY_OPTION_")


def _warning_name(number: Any) -> str:
    return delivery_pb2.SendWarningCode.Name(number).removeprefix("SEND_WARNING_CODE_")


def _view(name: str) -> Any:
    return inbox_pb2.InboxView.Value(f"INBOX_VIEW_{name or 'UNSPECIFIED'}")


def _mark(name: str) -> Any:
    return inbox_pb2.InboxMark.Value(f"INBOX_MARK_{name}")
