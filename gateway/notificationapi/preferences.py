"""Preferences as NotificationAPI's clients read and write them. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from carillon.v1 import channel_pb2, preferences_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

CHANNEL_TITLES = {
    "EMAIL": "Email",
    "INAPP_WEB": "In-App",
    "SMS": "SMS",
    "CALL": "Call",
    "PUSH": "Push",
    "WEB_PUSH": "Web Push",
}
"""What their js-client writes above the column of a channel."""

DELIVERIES = {
    "off": channel_pb2.DELIVERY_OPTION_OFF,
    "instant": channel_pb2.DELIVERY_OPTION_INSTANT,
    "hourly": channel_pb2.DELIVERY_OPTION_HOURLY,
    "daily": channel_pb2.DELIVERY_OPTION_DAILY,
    "weekly": channel_pb2.DELIVERY_OPTION_WEEKLY,
    "monthly": channel_pb2.DELIVERY_OPTION_MONTHLY,
}
"""Our delivery option for each of their deliveries."""

STATES = {True: channel_pb2.DELIVERY_OPTION_ON, False: channel_pb2.DELIVERY_OPTION_OFF}
"""Our delivery option for each of their older states."""

DELIVERY_NAMES = {option: name for name, option in DELIVERIES.items()}
"""The other way round."""


def preferences_to_json(notifications: Iterable[preferences_pb2.NotificationPreference]) -> dict[str, Any]:
    """Gives the preferences of a user as core and react read them.

    They show only what there is a record for, so defaults are records too; and they offer every option that is named,
    enabled or not, so only those that the user may choose are.

    Args:
        notifications: All that are to be shown; one that goes on in a second page may come twice.
    """
    preferences: list[dict[str, Any]] = []
    shown: dict[str, dict[str, Any]] = {}
    parts: list[dict[str, Any]] = []
    for one in notifications:
        if one.notification_id not in shown:
            shown[one.notification_id] = {
                "notificationId": one.notification_id,
                "title": one.title,
                "channels": [_channel(channel.channel) for channel in one.channels],
                "options": {_channel(channel.channel): _options(channel) for channel in one.channels},
            }
            preferences += _records(one.notification_id, "", one.channels)
        for part in one.sub_notifications:
            sub = part.sub_notification_id
            parts.append({"notificationId": one.notification_id, "subNotificationId": sub, "title": part.title})
            preferences += _records(one.notification_id, sub, part.channels)
    return {"preferences": preferences, "notifications": list(shown.values()), "subNotifications": parts}


def user_preferences_to_json(
    notifications: Iterable[preferences_pb2.NotificationPreference],
) -> list[dict[str, Any]]:
    """Gives the preferences of a user as js-client reads them: on or off for each channel."""
    shown: dict[str, dict[str, Any]] = {}
    for one in notifications:
        entry = shown.setdefault(
            one.notification_id,
            {
                "notificationId": one.notification_id,
                "title": one.title,
                "settings": _settings(one.channels),
                "subNotificationPreferences": [],
            },
        )
        entry["subNotificationPreferences"] += [
            {
                "notificationId": one.notification_id,
                "title": part.title,
                "subNotificationId": part.sub_notification_id,
                "settings": _settings(part.channels),
            }
            for part in one.sub_notifications
        ]
    return list(shown.values())


def _records(
    notification_id: str, sub_notification_id: str, channels: Iterable[preferences_pb2.ChannelPreference]
) -> Iterator[dict[str, Any]]:
    for one in channels:
        yield {
            "notificationId": notification_id,
            "channel": _channel(one.channel),
            "delivery": DELIVERY_NAMES[one.delivery_option],
            **({"subNotificationId": sub_notification_id} if sub_notification_id else {}),
        }


def _options(channel: preferences_pb2.ChannelPreference) -> dict[str, Any]:
    offered = {DELIVERY_NAMES[option]: {"enabled": True} for option in channel.offered_delivery_options}
    return {"defaultDeliveryOption": DELIVERY_NAMES[channel.default_delivery_option], **offered}


def _settings(channels: Iterable[preferences_pb2.ChannelPreference]) -> list[dict[str, Any]]:
    return [
        {
            "channel": (name := _channel(one.channel)),
            "channelName": CHANNEL_TITLES[name],
            "state": one.delivery_option != channel_pb2.DELIVERY_OPTION_OFF,
        }
        for one in channels
    ]


def _channel(number: Any) -> str:
    return channel_pb2.Channel.Name(number).removeprefix("CHANNEL_")
