"""The words that every service uses: channels, delivery options and priorities, by the short names that are stored."""

from __future__ import annotations

import enum

Json = dict[str, "Json"] | list["Json"] | str | int | float | bool | None
"""Free data, as merge tags and properties hold it."""


class Channel(enum.StrEnum):
    """One way of reaching a person; the order is the one that answers list channels in."""

    EMAIL = "EMAIL"
    INAPP_WEB = "INAPP_WEB"
    SMS = "SMS"
    CALL = "CALL"
    PUSH = "PUSH"
    WEB_PUSH = "WEB_PUSH"


class DeliveryOption(enum.StrEnum):
    """When a notification reaches a user on a channel."""

    OFF = "OFF"
    INSTANT = "INSTANT"
    HOURLY = "HOURLY"
    DAILY = "DAILY"
    WEEKLY = "WEEKLY"
    MONTHLY = "MONTHLY"


class Priority(enum.StrEnum):
    """The rank of a message among those that wait for the same provider."""

    LOW = "LOW"
    NORMAL = "NORMAL"
    HIGH = "HIGH"
