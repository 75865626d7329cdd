"""Preferences: what a user chose, and what choices and defaults come to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.kernel.errors import FieldViolation, InvalidArgument
from services.kernel.vocabulary import Channel, DeliveryOption

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from services.sub_notifications.model import SubNotification

MAX_PREFERENCES = 1000
# Parts come into being by being sent to: a notification may have thousands.
MAX_PARTS_OF_PAGE = 200

Key = tuple[str, str, Channel | None]

_CHANNEL_ORDER = {channel: i for i, channel in enumerate(Channel)}


@dataclass(frozen=True, slots=True)
class Preference:
    """One choice of a user."""

    notification_id: str
    channel: Channel | None
    """None: every channel of the definition."""

    sub_notification_id: str
    """Empty: the whole notification."""

    delivery_option: DeliveryOption

    @property
    def key(self) -> Key:
        """What a user has at most one choice for."""
        return (self.notification_id, self.sub_notification_id, self.channel)


class Choices:
    """All choices of one user, ready to be asked."""

    def __init__(self, preferences: Iterable[Preference] = ()) -> None:
        self._options = {preference.key: preference.delivery_option for preference in preferences}

    def choice(self, notification_id: str, sub_notification_id: str, channel: Channel) -> DeliveryOption | None:
        """Gives what the user chose, or None where they chose nothing that bears on it.

        OFF on the whole notification covers its sub-notifications; otherwise the sub-notification's own choice comes
        first. In either, a choice for the channel wins over one for all channels.
        """
        whole = self._exact(notification_id, "", channel)
        if whole is DeliveryOption.OFF or not sub_notification_id:
            return whole
        return self._exact(notification_id, sub_notification_id, channel) or whole

    def _exact(self, notification_id: str, sub_notification_id: str, channel: Channel) -> DeliveryOption | None:
        for_channel = self._options.get((notification_id, sub_notification_id, channel))
        return for_channel or self._options.get((notification_id, sub_notification_id, None))


@dataclass(frozen=True, slots=True)
class Page:
    """What one page of notifications shows."""

    parts: Mapping[str, Sequence[SubNotification]]
    """By notification; a notification without parts is there too."""

    end: tuple[str, str] | None
    """The last notification, and the part with which it goes on, if with any; None: nothing follows."""


def page_of(notification_ids: Sequence[str], parts: Sequence[SubNotification], *, size: int) -> Page:
    """Gives as much as one page may have of notifications and their parts: of either one more may have been read."""
    shown, kept = notification_ids[:size], parts[:MAX_PARTS_OF_PAGE]
    end = (shown[-1], "") if len(notification_ids) > size else None
    if len(parts) > len(kept):
        following = parts[len(kept)]
        place = notification_ids.index(following.notification_id)
        goes_on = kept[-1].notification_id == following.notification_id
        shown = notification_ids[: place + 1] if goes_on else notification_ids[:place]
        end = (following.notification_id, following.id) if goes_on else (shown[-1], "")

    by_notification: dict[str, list[SubNotification]] = {notification_id: [] for notification_id in shown}
    for part in kept:
        by_notification[part.notification_id].append(part)
    return Page(by_notification, end)


def in_order(preferences: Iterable[Preference]) -> list[Preference]:
    """Gives choices as they are stored and answered: by notification, part and channel, all channels first."""

    def place(preference: Preference) -> tuple[str, str, int]:
        channel = _CHANNEL_ORDER[preference.channel] if preference.channel else -1
        return preference.notification_id, preference.sub_notification_id, channel

    return sorted(preferences, key=place)


def patched(stored: Sequence[Preference], given: Sequence[Preference]) -> list[Preference]:
    """Gives the stored choices with the given ones added, or in place of those for the same thing.

    Raises:
        InvalidArgument: If they are more than a user may have.
    """
    choices = {preference.key: preference for preference in (*stored, *given)}
    # Links of mails may have added more, which must not keep the user from changing what is there.
    if len(choices) > max(MAX_PREFERENCES, len(stored)):
        problem = f"must leave the user with at most {MAX_PREFERENCES} choices, but with these are {len(choices)}"
        raise InvalidArgument([FieldViolation("preferences", problem, "TOO_MANY")])
    return in_order(choices.values())


def without(stored: Sequence[Preference], notification_id: str, sub_notification_id: str) -> list[Preference]:
    """Gives the choices that are left when those of a notification go, or those of one part of it."""
    return [
        preference
        for preference in stored
        if preference.notification_id != notification_id
        or sub_notification_id not in ("", preference.sub_notification_id)
    ]


def turned_off(stored: Sequence[Preference], key: Key) -> list[Preference]:
    """Gives the choices after the link of a mail was followed.

    That is one more than a user may have, if it comes to that: whoever has had enough of the mails must be heard.
    """
    notification_id, sub_notification_id, channel = key
    off = Preference(notification_id, channel, sub_notification_id, DeliveryOption.OFF)
    return in_order([*(preference for preference in stored if preference.key != key), off])


def turned_on_again(stored: Sequence[Preference], key: Key) -> list[Preference]:
    """Gives the choices without what the link of a mail has added; one that is not OFF was made by somebody since."""
    return [
        preference
        for preference in stored
        if preference.key != key or preference.delivery_option is not DeliveryOption.OFF
    ]
