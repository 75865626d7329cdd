"""Whether what was rendered fits its providers, asked while a send is planned. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from services.delivery import payload_apns, payload_fcm, payload_web_push
from services.kernel.vocabulary import Channel
from services.messages.options import SendOptions
from services.notifications.model import Content

Check = Callable[[Content, SendOptions, str], str | None]
"""Tells why a content with its options does not fit a provider, or None; the last argument is the notification's id."""

LIMITS: Mapping[Channel, Sequence[Check]] = {
    Channel.PUSH: (payload_apns.too_large, payload_fcm.too_large),
    Channel.WEB_PUSH: (payload_web_push.too_large,),
}
"""What each channel's providers refuse; any of them may have one of the user's devices."""


def too_large(content: Content, options: SendOptions, notification_id: str) -> str | None:
    """Tells why a content does not fit a provider of its channel, or None where it fits all."""
    found = (check(content, options, notification_id) for check in LIMITS.get(content.channel, ()))
    return next((problem for problem in found if problem), None)
