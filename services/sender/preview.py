"""What a send would look like: its templates chosen and rendered, whoever may get them. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.kernel.vocabulary import Channel
from services.messages.model import SkipReason
from services.notifications.model import choose_template, language_order
from services.sender.compose import compose
from services.sender.plan import Plan, PlannedChannel, SkippedChannel, template_warning

if TYPE_CHECKING:
    from datetime import datetime

    from services.environments.model import Environment
    from services.messages.model import Message, SendWarning
    from services.notifications.model import Notification
    from services.sender.model import Send


def preview(send: Send, notification: Notification, environment: Environment, *, now: datetime) -> Message:
    """Gives the message of a send on its ``force_channels``, or on every channel that has a template.

    Preferences, addresses and switches are not asked: this shows what the definition says, not to whom.
    """
    languages = language_order(send.user.language, environment.default_language)
    with_template = {template.content.channel for template in notification.templates}
    channels: list[PlannedChannel | SkippedChannel] = []
    warnings: list[SendWarning] = []
    for channel in Channel:
        if channel not in (send.force_channels or with_template):
            continue

        template, asked_in_vain = choose_template(
            notification, channel, template_id=send.template_id, languages=languages
        )
        if asked_in_vain:
            warnings.append(template_warning(send.template_id, channel, found_other=template is not None))
        no_template = SkippedChannel(channel, SkipReason.NO_TEMPLATE)
        channels.append(PlannedChannel(channel, template) if template else no_template)
    planned = Plan(tuple(channels), tuple(warnings))
    return compose(send, planned, notification, None, environment, tracking_id="", now=now)
