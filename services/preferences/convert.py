"""Preferences between protobuf and the model, with every rule about what a user may choose."""

from __future__ import annotations

from typing import TYPE_CHECKING

from carillon.v1 import channel_pb2, preferences_pb2
from services.kernel import validation
from services.kernel.vocabulary import DeliveryOption
from services.kernel.wire import to_timestamp
from services.notifications.convert import CHANNELS, OPTIONS
from services.preferences.model import MAX_PREFERENCES, Choices, Key, Preference, in_order

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from services.kernel.links import UnsubscribeLink
    from services.kernel.validation import Violations
    from services.kernel.vocabulary import Channel
    from services.notifications.model import Notification
    from services.sub_notifications.model import SubNotification


def preferences_from_proto(
    protos: Sequence[preferences_pb2.Preference],
    notifications: Mapping[str, Notification],
    violations: Violations,
) -> list[Preference]:
    """Reads a list of choices, with ON resolved.

    Args:
        protos: The choices as they came.
        notifications: The definitions that exist of those that the choices name.
        violations: Where what is wrong is recorded.
    """
    if len(protos) > MAX_PREFERENCES:
        violations.add("preferences", f"must be at most {MAX_PREFERENCES}, but are {len(protos)}", "TOO_MANY")
        return []

    found: dict[Key, Preference] = {}
    for i, proto in enumerate(protos):
        path = f"preferences[{i}]"
        preference = _preference(proto, notifications, path, violations)
        if preference is None:
            continue
        if preference.key in found:
            violations.add(path, "is for the same notification, sub-notification and channel as another", "DUPLICATE")
        found[preference.key] = preference
    return in_order(found.values())


def preference_to_proto(preference: Preference) -> preferences_pb2.Preference:
    """Gives a choice as it is answered."""
    return preferences_pb2.Preference(
        notification_id=preference.notification_id,
        channel=CHANNELS.to_wire(preference.channel) if preference.channel else channel_pb2.CHANNEL_UNSPECIFIED,
        sub_notification_id=preference.sub_notification_id,
        delivery_option=OPTIONS.to_wire(preference.delivery_option),
    )


def effective_to_proto(
    notification: Notification, sub_notifications: Iterable[SubNotification], choices: Choices
) -> preferences_pb2.NotificationPreference:
    """Gives what a user gets of a notification and of each of its parts."""
    return preferences_pb2.NotificationPreference(
        notification_id=notification.id,
        title=notification.title or notification.id,
        section=notification.section,
        category=notification.category,
        create_time=to_timestamp(notification.create_time),
        channels=_channels(notification, "", choices),
        sub_notifications=[
            preferences_pb2.SubNotificationPreference(
                sub_notification_id=sub_notification.id,
                title=sub_notification.title,
                channels=_channels(notification, sub_notification.id, choices),
            )
            for sub_notification in sub_notifications
        ],
    )


def followed_to_proto(
    link: UnsubscribeLink,
    notification: Notification | None,
    sub_notification: SubNotification | None,
    choices: Choices | None,
) -> preferences_pb2.UnsubscribeResponse:
    """Gives what holds where the link of a mail was followed; without a definition or without a user that is OFF."""
    option = DeliveryOption.OFF
    if choices:
        by_default = notification.default(link.channel) if notification else DeliveryOption.OFF
        option = choices.choice(link.notification_id, link.sub_notification_id, link.channel) or by_default
    held = Preference(link.notification_id, link.channel, link.sub_notification_id, option)
    return preferences_pb2.UnsubscribeResponse(
        preference=preference_to_proto(held),
        title=(notification and notification.title) or link.notification_id,
        sub_notification_title=(sub_notification and sub_notification.title) or link.sub_notification_id,
    )


def _channels(
    notification: Notification, sub_notification_id: str, choices: Choices
) -> list[preferences_pb2.ChannelPreference]:
    answered = []
    for settings in notification.channels:
        choice = choices.choice(notification.id, sub_notification_id, settings.channel)
        answered.append(
            preferences_pb2.ChannelPreference(
                channel=CHANNELS.to_wire(settings.channel),
                delivery_option=OPTIONS.to_wire(choice or settings.default_delivery_option),
                chosen=choice is not None,
                default_delivery_option=OPTIONS.to_wire(settings.default_delivery_option),
                offered_delivery_options=map(OPTIONS.to_wire, settings.offered_delivery_options),
            )
        )
    return answered


def _preference(
    proto: preferences_pb2.Preference, notifications: Mapping[str, Notification], path: str, violations: Violations
) -> Preference | None:
    notification_id = validation.lookup_id(proto.notification_id, violations, field=f"{path}.notification_id")
    notification = notifications.get(notification_id)
    if notification is None and notification_id:
        violations.add(f"{path}.notification_id", f"there is no notification '{notification_id}'", "NOT_FOUND")
    sub_notification_id = validation.text(
        proto.sub_notification_id,
        violations,
        field=f"{path}.sub_notification_id",
        max_bytes=validation.MAX_ID_BYTES,
    )
    channel = CHANNELS.optional(proto.channel, violations, field=f"{path}.channel")
    option_field = f"{path}.delivery_option"
    is_on = proto.delivery_option == channel_pb2.DELIVERY_OPTION_ON
    option = None if is_on else OPTIONS.from_wire(proto.delivery_option, violations, field=option_field)
    if notification is None or (option is None and not is_on):
        return None

    if option is None:
        option = _resolve_on(notification, channel)
    _check_offered(notification, channel, option, option_field, violations)
    return Preference(notification_id, channel, sub_notification_id, option)


def _resolve_on(notification: Notification, channel: Channel | None) -> DeliveryOption:
    if channel:
        return notification.resolve_on(channel)
    # One word for several channels: their common default, or INSTANT where they differ.
    options = {notification.resolve_on(settings.channel) for settings in notification.channels}
    return options.pop() if len(options) == 1 else DeliveryOption.INSTANT


def _check_offered(
    notification: Notification, channel: Channel | None, option: DeliveryOption, field: str, violations: Violations
) -> None:
    for settings in notification.channels:
        if channel in (None, settings.channel) and option not in settings.offered_delivery_options:
            offered = ", ".join(settings.offered_delivery_options)
            violations.add(field, f"is {option}, but {settings.channel} offers only {offered}", "NOT_OFFERED")
