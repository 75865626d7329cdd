"""A user's choices as servers write them, whole, and read them back. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from carillon.v1 import channel_pb2
from gateway.http.notificationapi.spelling import camel
from gateway.notificationapi.preferences import DELIVERY_NAMES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from carillon.v1 import preferences_pb2


def choice_name(path: str) -> str:
    """Gives their name for a field of a request that writes choices."""
    return camel(path.replace(".delivery_option", ".delivery"))


def choices_to_json(client_id: str, user_id: str, preferences: Iterable[preferences_pb2.Preference]) -> dict[str, Any]:
    """Gives stored choices: in the place where their answer of 2024 had them, with the fields of the newer one."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for one in preferences:
        entry = found.setdefault(
            (one.notification_id, one.sub_notification_id),
            {
                "envId": client_id,
                "userId": user_id,
                "notificationId": one.notification_id,
                **({"subNotificationId": one.sub_notification_id} if one.sub_notification_id else {}),
                "channelsStates": [],
            },
        )
        channel = channel_pb2.Channel.Name(one.channel).removeprefix("CHANNEL_")
        entry["channelsStates"].append(
            {
                # A choice without one is for all channels.
                **({"channel": channel} if one.channel else {}),
                "state": one.delivery_option != channel_pb2.DELIVERY_OPTION_OFF,
                "delivery": DELIVERY_NAMES[one.delivery_option],
            }
        )
    return {"UserPreferences": list(found.values())}
