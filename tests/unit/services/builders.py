"""Values of the model with the fields that a test does not care about filled in."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from services.environments.model import Environment, Secret
from services.kernel.errors import FieldViolation, InvalidArgument
from services.kernel.vocabulary import Channel, DeliveryOption
from services.notifications.model import TEXTS, ChannelSettings, Content, Notification, Template
from services.preferences.model import Choices, Preference
from services.sender.model import Send
from services.users.model import PushToken, User, WebPushSubscription

if TYPE_CHECKING:
    from services.kernel.validation import Violations

NOW = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
TOKEN = PushToken("FCM", "token-1", {})
BROWSER = WebPushSubscription("https://push.example/1", "p256dh", "auth")
REACHABLE = User(
    "userId_123abc",
    email="spongebob@squarepants.com",
    number="+15005550006",
    push_tokens=(TOKEN,),
    web_push_subscriptions=(BROWSER,),
)
ENVIRONMENT = Environment("dev", (Secret("k1", "dev-secret", NOW),))

unicode_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


def content(channel: Channel, **texts: str) -> Content:
    """Makes content of a channel; without texts, one that has what the channel requires."""
    required = {text.name: f"{channel} {text.name}" for text in TEXTS[channel] if text.required}
    if channel is Channel.EMAIL:
        required["text"] = "EMAIL text"
    return Content(channel, texts or required)


def template(channel: Channel, template_id: str = "default", language: str = "", **texts: str) -> Template:
    """Makes a template of a channel."""
    return Template(template_id, language, content(channel, **texts))


def notification(*channels: Channel, **fields: Any) -> Notification:
    """Makes a definition of some channels, each with the default template."""
    made: dict[str, Any] = {
        "channels": tuple(map(ChannelSettings, channels)),
        "templates": tuple(map(template, channels)),
    }
    return Notification("order_tracking", **made | fields)


def send(**fields: Any) -> Send:
    """Makes a send to a user whom every channel reaches."""
    made: dict[str, Any] = {
        "notification_id": "order_tracking",
        "user": REACHABLE,
        "bad_fields": frozenset(),
        "merge_tags": {},
        "sub_notification_id": "",
        "template_id": "",
        "force_channels": frozenset(),
        "replace": {},
        "secondary_id": "",
        "group_id": "",
        "tags": (),
        "priority": None,
        "warnings": (),
        "request": b"request",
    }
    return Send(**made | fields)


def choices(*chosen: tuple[str, Channel | None, DeliveryOption]) -> Choices:
    """Makes the choices of a user for ``order_tracking``: sub-notification, channel, option."""
    return Choices(Preference("order_tracking", channel, sub, option) for sub, channel, option in chosen)


def reasons(violations: Violations) -> dict[str, str]:
    """Gives the reason by the field of everything that is recorded."""
    return {violation.field: violation.reason for violation in recorded(violations)}


def recorded(violations: Violations) -> list[FieldViolation]:
    """Gives everything that is recorded."""
    try:
        violations.raise_if_any()
    except InvalidArgument as error:
        return list(error.violations)
    return []
