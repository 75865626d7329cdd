from __future__ import annotations

from typing import Any

import pytest

from carillon.v1 import channel_pb2, preferences_pb2
from gateway.notificationapi.preferences import (
    CHANNEL_TITLES,
    DELIVERIES,
    STATES,
    preferences_to_json,
    user_preferences_to_json,
)

EMAIL, INAPP_WEB, SMS = channel_pb2.CHANNEL_EMAIL, channel_pb2.CHANNEL_INAPP_WEB, channel_pb2.CHANNEL_SMS
OFF, INSTANT, DAILY = (
    channel_pb2.DELIVERY_OPTION_OFF,
    channel_pb2.DELIVERY_OPTION_INSTANT,
    channel_pb2.DELIVERY_OPTION_DAILY,
)


def on_channel(channel: Any, holds: Any, *offered: Any, default: Any = INSTANT) -> preferences_pb2.ChannelPreference:
    """Makes what holds on a channel."""
    return preferences_pb2.ChannelPreference(
        channel=channel,
        delivery_option=holds,
        default_delivery_option=default,
        offered_delivery_options=offered or (OFF, INSTANT),
    )


def part(name: str, *channels: preferences_pb2.ChannelPreference) -> preferences_pb2.SubNotificationPreference:
    """Makes a part of a notification."""
    return preferences_pb2.SubNotificationPreference(sub_notification_id=name, title=name.title(), channels=channels)


def notification(
    name: str, *channels: preferences_pb2.ChannelPreference, parts: Any = ()
) -> preferences_pb2.NotificationPreference:
    """Makes a notification."""
    return preferences_pb2.NotificationPreference(
        notification_id=name, title=name.title(), channels=channels, sub_notifications=parts
    )


ORDERS = notification(
    "orders",
    on_channel(EMAIL, DAILY, OFF, INSTANT, DAILY, default=OFF),
    on_channel(INAPP_WEB, INSTANT, INSTANT),
    parts=[part("eu", on_channel(EMAIL, OFF), on_channel(INAPP_WEB, INSTANT))],
)


def test_preferences_as_core_reads_them() -> None:
    """A record for every channel, by choice or by default; the keys of the options are what may be chosen."""
    assert preferences_to_json([ORDERS]) == {
        "preferences": [
            {"notificationId": "orders", "channel": "EMAIL", "delivery": "daily"},
            {"notificationId": "orders", "channel": "INAPP_WEB", "delivery": "instant"},
            {"notificationId": "orders", "channel": "EMAIL", "delivery": "off", "subNotificationId": "eu"},
            {"notificationId": "orders", "channel": "INAPP_WEB", "delivery": "instant", "subNotificationId": "eu"},
        ],
        "notifications": [
            {
                "notificationId": "orders",
                "title": "Orders",
                "channels": ["EMAIL", "INAPP_WEB"],
                "options": {
                    "EMAIL": {
                        "defaultDeliveryOption": "off",
                        "off": {"enabled": True},
                        "instant": {"enabled": True},
                        "daily": {"enabled": True},
                    },
                    "INAPP_WEB": {"defaultDeliveryOption": "instant", "instant": {"enabled": True}},
                },
            }
        ],
        "subNotifications": [{"notificationId": "orders", "subNotificationId": "eu", "title": "Eu"}],
    }


def test_preferences_as_js_client_reads_them() -> None:
    """On is whatever is not off; every channel has the heading of its column."""
    assert user_preferences_to_json([ORDERS]) == [
        {
            "notificationId": "orders",
            "title": "Orders",
            "settings": [
                {"channel": "EMAIL", "channelName": "Email", "state": True},
                {"channel": "INAPP_WEB", "channelName": "In-App", "state": True},
            ],
            "subNotificationPreferences": [
                {
                    "notificationId": "orders",
                    "subNotificationId": "eu",
                    "title": "Eu",
                    "settings": [
                        {"channel": "EMAIL", "channelName": "Email", "state": False},
                        {"channel": "INAPP_WEB", "channelName": "In-App", "state": True},
                    ],
                }
            ],
        }
    ]


@pytest.mark.parametrize("notifications", [[], [notification("bare")]])
def test_all_lists_are_there(notifications: list[preferences_pb2.NotificationPreference]) -> None:
    """React fails where one of the three is missing."""
    assert preferences_to_json(notifications).keys() == {"preferences", "notifications", "subNotifications"}
    assert len(user_preferences_to_json(notifications)) == len(notifications)


def test_a_notification_that_goes_on_in_the_next_page_is_one() -> None:
    """Its parts are joined; what holds for the whole is told once."""
    first = notification("orders", on_channel(SMS, OFF), parts=[part("a", on_channel(SMS, OFF))])
    second = notification("orders", on_channel(SMS, OFF), parts=[part("b", on_channel(SMS, INSTANT))])

    core = preferences_to_json([first, second])
    (js_client,) = user_preferences_to_json([first, second])

    assert [one["notificationId"] for one in core["notifications"]] == ["orders"]
    assert [(one.get("subNotificationId"), one["delivery"]) for one in core["preferences"]] == [
        (None, "off"),
        ("a", "off"),
        ("b", "instant"),
    ]
    assert [one["subNotificationId"] for one in core["subNotifications"]] == ["a", "b"]
    assert [one["subNotificationId"] for one in js_client["subNotificationPreferences"]] == ["a", "b"]
    assert len(js_client["settings"]) == 1


def test_every_channel_and_option_has_a_word() -> None:
    """What the contract has, they can be told of: but ON, which no answer has."""
    channels = {name.removeprefix("CHANNEL_") for name in channel_pb2.Channel.keys()[1:]}
    assert channels == CHANNEL_TITLES.keys()
    options = {one for one in channel_pb2.DeliveryOption.values() if one}
    assert options == {*DELIVERIES.values(), *STATES.values()}
