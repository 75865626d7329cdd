"""Definitions of notifications: their channels, templates and content, and the rules that choose a template."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from services.kernel.errors import NotFound
from services.kernel.vocabulary import Channel, DeliveryOption, Priority

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

DEFAULT_TEMPLATE_ID = "default"
NO_ETAG = "none"
"""What a put expects that is to create a definition; no etag is it."""

DEFAULT_OFFERED = (DeliveryOption.OFF, DeliveryOption.INSTANT)


@dataclass(frozen=True, slots=True)
class Text:
    """One text of a channel's content: its field in the proto, and what may be in it once it is rendered."""

    name: str
    required: bool = False
    is_html: bool = False
    """Whether merge tags are escaped in it. In-app content decides for itself."""

    is_line: bool = False
    """Whether it stands in a header, where a line break would begin another one."""

    max_characters: int | None = None


TEXTS: Mapping[Channel, tuple[Text, ...]] = {
    Channel.EMAIL: (
        Text("subject", required=True, is_line=True),
        Text("html", is_html=True),
        Text("text"),
        Text("preview_text"),
        Text("from_name", is_line=True),
        Text("from_address"),
    ),
    Channel.INAPP_WEB: (
        Text("title", required=True),
        Text("body"),
        Text("url"),
        Text("image_url"),
        Text("icon_url"),
    ),
    Channel.SMS: (Text("text", required=True, max_characters=800),),
    Channel.CALL: (Text("text", required=True, max_characters=800),),
    Channel.PUSH: (
        Text("title", required=True),
        Text("body"),
        Text("url"),
        Text("image_url"),
    ),
    Channel.WEB_PUSH: (
        Text("title", required=True),
        Text("body"),
        Text("url"),
        Text("icon_url"),
    ),
}
"""The texts of each channel, in the order in which they are rendered; those whose names end in ``url`` are URLs."""


CONTENT_FIELDS = {
    Channel.EMAIL: "email",
    Channel.INAPP_WEB: "inapp",
    Channel.SMS: "sms",
    Channel.CALL: "call",
    Channel.PUSH: "push",
    Channel.WEB_PUSH: "web_push",
}
"""The field of Content, and of ContentByChannel, that stands for each channel."""


@dataclass(frozen=True, slots=True)
class Action:
    """A button on an inbox item."""

    label: str
    url: str = ""


@dataclass(frozen=True, slots=True)
class Content:
    """What one channel shows or says: Liquid in a template, rendered in a message."""

    channel: Channel
    texts: Mapping[str, str]
    """By the names in TEXTS; empty ones are left out."""

    html: bool = False
    """Whether title and body are HTML; only in-app content has the choice."""

    actions: tuple[Action, ...] = ()


@dataclass(frozen=True, slots=True)
class Template:
    """The content of a notification on one channel, in one language."""

    id: str
    language: str
    """Empty: used where no other fits."""

    content: Content


@dataclass(frozen=True, slots=True)
class ChannelSettings:
    """How a notification uses one channel."""

    channel: Channel
    default_delivery_option: DeliveryOption = DeliveryOption.INSTANT
    offered_delivery_options: tuple[DeliveryOption, ...] = DEFAULT_OFFERED
    default_template_id: str = DEFAULT_TEMPLATE_ID


@dataclass(frozen=True, slots=True)
class Notification:
    """A definition; sending it makes a message."""

    id: str
    title: str = ""
    channels: tuple[ChannelSettings, ...] = ()
    templates: tuple[Template, ...] = ()
    disabled: bool = False
    category: str = ""
    section: str = ""
    label: str = ""
    priority: Priority = Priority.NORMAL
    etag: str = ""
    create_time: datetime | None = None
    update_time: datetime | None = None
    _settings: Mapping[Channel, ChannelSettings] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_settings", {settings.channel: settings for settings in self.channels})

    def settings(self, channel: Channel) -> ChannelSettings | None:
        """Gives the settings of a channel, or None where the definition leaves the channel out."""
        return self._settings.get(channel)

    def default(self, channel: Channel) -> DeliveryOption:
        """Gives what holds on a channel without a choice: INSTANT where it is left out, as a send may force it."""
        settings = self.settings(channel)
        return settings.default_delivery_option if settings else DeliveryOption.INSTANT

    def resolve_on(self, channel: Channel) -> DeliveryOption:
        """Gives what "on" means for a channel: its default, or INSTANT where that is OFF or the channel is left out."""
        default = self.default(channel)
        return DeliveryOption.INSTANT if default is DeliveryOption.OFF else default


def notification_not_found(notification_id: str) -> NotFound:
    """Makes the error for a definition that the environment does not have."""
    return NotFound("notification", notification_id, reason="NOTIFICATION_NOT_FOUND")


def language_order(*preferred: str) -> tuple[str, ...]:
    """Gives the languages to try, the best first: each one, then its base; the template without a language last."""
    order = [tag.casefold() for language in preferred if language for tag in (language, language.split("-")[0])]
    return (*dict.fromkeys(order), "")


def choose_template(
    notification: Notification, channel: Channel, *, template_id: str, languages: tuple[str, ...]
) -> tuple[Template | None, bool]:
    """Chooses the template of a channel: the one asked for, else the channel's default; then the best language.

    Returns:
        The template, or None where the channel has none; and whether ``template_id`` was asked for in vain.
    """
    settings = notification.settings(channel)
    default_id = settings.default_template_id if settings else DEFAULT_TEMPLATE_ID
    candidates = [template for template in notification.templates if template.content.channel is channel]

    asked = _best(candidates, template_id, languages) if template_id else None
    if asked:
        return asked, False
    return _best(candidates, default_id, languages), bool(template_id and candidates)


def map_content(content: Content, render: Callable[[str, str], str]) -> Content:
    """Gives the content with each text replaced by ``render(name, text)``, in the order of TEXTS, buttons last.

    Texts that come out empty are left out; a button whose label comes out empty is left out too.
    """
    names = [text.name for text in TEXTS[content.channel] if text.name in content.texts]
    texts = {name: rendered for name in names if (rendered := render(name, content.texts[name]))}
    actions = [
        Action(
            label=render(f"actions[{i}].label", action.label),
            url=render(f"actions[{i}].url", action.url) if action.url else "",
        )
        for i, action in enumerate(content.actions)
    ]
    return replace(content, texts=texts, actions=tuple(action for action in actions if action.label))


def missing_texts(content: Content) -> list[str]:
    """Gives what content lacks of what its channel requires: the names of texts, or of two of which one will do."""
    missing = [text.name for text in TEXTS[content.channel] if text.required and text.name not in content.texts]
    if content.channel is Channel.EMAIL and not {"html", "text"} & content.texts.keys():
        missing.append("html or text")
    return missing


def standing_in(given: Content, template: Content | None) -> Content:
    """Gives content that came with a send, and that of the template where it says nothing."""
    if template is None:
        return given
    says_html = not {"title", "body"}.isdisjoint(given.texts)
    return Content(
        given.channel,
        {**template.texts, **given.texts},
        html=given.html if says_html else template.html,
        actions=given.actions or template.actions,
    )


def _best(candidates: list[Template], template_id: str, languages: tuple[str, ...]) -> Template | None:
    by_language = {template.language.casefold(): template for template in candidates if template.id == template_id}
    return next((by_language[language] for language in languages if language in by_language), None)
