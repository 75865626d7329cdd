"""The plan of a send: which channels it goes to, with which template, and why the others are left out. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from services.kernel.vocabulary import Channel, DeliveryOption
from services.messages.model import SendWarning, SkipReason, WarningCode
from services.notifications.model import (
    CONTENT_FIELDS,
    Template,
    choose_template,
    language_order,
    missing_texts,
    standing_in,
)

if TYPE_CHECKING:
    from services.environments.model import Environment
    from services.notifications.model import Content, Notification
    from services.preferences.model import Choices
    from services.sender.model import Send
    from services.users.model import User


@dataclass(frozen=True, slots=True)
class PlannedChannel:
    """A channel that the message goes to."""

    channel: Channel
    template: Template
    """What is rendered: the definition's, with the send's own content standing in for its texts."""

    address: str = ""
    """The address that came with the send; empty: the profile's, or the channel needs none."""


@dataclass(frozen=True, slots=True)
class SkippedChannel:
    """A channel that is left out, and why."""

    channel: Channel
    reason: SkipReason
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """What becomes of a send on each channel of the definition and of force_channels, in the order of the channels."""

    channels: tuple[PlannedChannel | SkippedChannel, ...]
    warnings: tuple[SendWarning, ...]


def plan(
    send: Send, notification: Notification, profile: User | None, choices: Choices, environment: Environment
) -> Plan:
    """Decides each channel.

    Args:
        send: What the caller asks for.
        notification: The definition.
        profile: The user as stored, or None for one who is unknown.
        choices: What the user chose.
        environment: The defaults.
    """
    languages = language_order(send.user.language, profile.language if profile else "", environment.default_language)
    warnings: list[SendWarning] = []
    channels: list[PlannedChannel | SkippedChannel] = []
    for channel in Channel:
        if channel not in send.force_channels and notification.settings(channel) is None:
            if channel in send.content:
                warnings.append(_content_warning(channel))
            continue

        reason = _refusal(channel, send, notification, choices, environment)
        if reason:
            channels.append(SkippedChannel(channel, reason))
            continue

        template, asked_in_vain = choose_template(
            notification, channel, template_id=send.template_id, languages=languages
        )
        if asked_in_vain:
            warnings.append(template_warning(send.template_id, channel, found_other=template is not None))
        missing = ""
        if given := send.content.get(channel):
            template, missing = _stand_in(given, template)
        if template is None:
            channels.append(SkippedChannel(channel, SkipReason.NO_TEMPLATE, missing))
            continue

        reason, address = _address(channel, send, profile)
        channels.append(SkippedChannel(channel, reason) if reason else PlannedChannel(channel, template, address))
    return Plan(tuple(channels), tuple(warnings))


def _stand_in(given: Content, template: Template | None) -> tuple[Template | None, str]:
    """Gives the template with the send's own content in it; or None, and what content without a template lacks."""
    if template:
        return replace(template, content=standing_in(given, template.content)), ""
    if missing := missing_texts(given):
        return None, f"there is no template, and the send's content lacks {', '.join(missing)}"
    return Template("", "", given), ""


def _refusal(
    channel: Channel, send: Send, notification: Notification, choices: Choices, environment: Environment
) -> SkipReason | None:
    """Gives the first reason that the definition, the send, the environment or the user has against a channel."""
    if notification.disabled:
        return SkipReason.NOTIFICATION_DISABLED
    if send.force_channels and channel not in send.force_channels:
        return SkipReason.NOT_FORCED
    if channel in environment.disabled_channels:
        return SkipReason.CHANNEL_DISABLED

    choice = choices.choice(notification.id, send.sub_notification_id, channel)
    if choice is not None:
        return SkipReason.PREFERENCE_OFF if choice is DeliveryOption.OFF else None
    settings = notification.settings(channel)
    default_is_off = settings is not None and settings.default_delivery_option is DeliveryOption.OFF
    return SkipReason.DEFAULT_OFF if default_is_off else None


def _address(channel: Channel, send: Send, profile: User | None) -> tuple[SkipReason | None, str]:
    """Gives the send's own address for a channel, or why there is none to send to."""
    if channel is Channel.INAPP_WEB:
        return None, ""
    if channel in (Channel.EMAIL, Channel.SMS, Channel.CALL):
        name = "email" if channel is Channel.EMAIL else "number"
        if name in send.bad_fields:
            return SkipReason.INVALID_ADDRESS, ""
        own = getattr(send.user, name)
        known = own or (getattr(profile, name) if profile else "")
        return (None if known else SkipReason.NO_ADDRESS), own

    targets = "push_tokens" if channel is Channel.PUSH else "web_push_subscriptions"
    known = getattr(send.user, targets) or (profile and getattr(profile, targets))
    return (None if known else SkipReason.NO_ADDRESS), ""


def _content_warning(channel: Channel) -> SendWarning:
    text = f"the definition does not have {channel}, so its content was not used; force_channels can add the channel"
    return SendWarning(WarningCode.CONTENT_NOT_USED, f"content.{CONTENT_FIELDS[channel]}", text)


def template_warning(template_id: str, channel: Channel, *, found_other: bool) -> SendWarning:
    """Makes the warning for a template that was asked for and that a channel does not have."""
    instead = "its default template was used" if found_other else "and it has no default template either"
    text = f"{channel} has no template '{template_id}'; {instead}"
    return SendWarning(WarningCode.TEMPLATE_NOT_FOUND, "template_id", text)
