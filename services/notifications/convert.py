"""Definitions between protobuf and the model, with every rule about what a definition may say."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from carillon.v1 import channel_pb2, content_pb2, notifications_pb2
from services.kernel import liquid, validation
from services.kernel.vocabulary import Channel, DeliveryOption, Priority
from services.kernel.wire import EnumCodec, refuse_unbuilt, to_timestamp
from services.notifications.model import (
    CONTENT_FIELDS,
    DEFAULT_OFFERED,
    DEFAULT_TEMPLATE_ID,
    TEXTS,
    Action,
    ChannelSettings,
    Content,
    Notification,
    Template,
    missing_texts,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from google.protobuf.message import Message

    from services.kernel.validation import Violations

CHANNELS = EnumCodec(Channel, channel_pb2.Channel, prefix="CHANNEL_")
OPTIONS = EnumCodec(DeliveryOption, channel_pb2.DeliveryOption, prefix="DELIVERY_OPTION_")
PRIORITIES = EnumCodec(Priority, channel_pb2.Priority, prefix="PRIORITY_")

MAX_DEFINITION_BYTES = 2 * 1024 * 1024
MAX_CONTENT_BYTES = 256 * 1024
MAX_TEMPLATES = 500
MAX_ACTIONS = 2
# More than there are, so that one that is given twice is told of by its place.
MAX_CHANNELS = 100
MAX_OPTIONS = 100
_TITLE_BYTES = 256
_WORD_BYTES = 128

LANGUAGE = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*")
LANGUAGE_FORM = "must be a BCP 47 language tag, for instance 'en' or 'pt-BR'"

_CHANNELS_BY_FIELD = {name: channel for channel, name in CONTENT_FIELDS.items()}
_UNBUILT = ("throttle", "deduplication_window", "stack_timeout", "item_ttl")
_UNBUILT_SETTINGS = ("digest", "batching")
_BUILT_OPTIONS = (DeliveryOption.OFF, DeliveryOption.INSTANT)


def notification_from_proto(proto: notifications_pb2.Notification, violations: Violations) -> Notification:
    """Reads a definition as a caller puts it."""
    if (size := proto.ByteSize()) > MAX_DEFINITION_BYTES:
        violations.add("notification", f"must be at most 2 MiB, but is {size} bytes", "TOO_LARGE")
    refuse_unbuilt(proto, _UNBUILT, violations, prefix="notification.")
    return Notification(
        id=validation.created_id(proto.id, violations, field="notification.id"),
        title=validation.text(proto.title, violations, field="notification.title", max_bytes=_TITLE_BYTES),
        channels=_channels(proto, violations),
        templates=_templates(proto, violations),
        disabled=proto.disabled,
        category=validation.text(proto.category, violations, field="notification.category", max_bytes=_WORD_BYTES),
        section=validation.text(proto.section, violations, field="notification.section", max_bytes=_WORD_BYTES),
        label=validation.text(proto.label, violations, field="notification.label", max_bytes=_WORD_BYTES),
        priority=PRIORITIES.optional(proto.priority, violations, field="notification.priority") or Priority.NORMAL,
    )


def notification_to_proto(notification: Notification) -> notifications_pb2.Notification:
    """Gives a definition as it is answered."""
    return notifications_pb2.Notification(
        id=notification.id,
        title=notification.title,
        channels=[
            notifications_pb2.ChannelSettings(
                channel=CHANNELS.to_wire(settings.channel),
                default_delivery_option=OPTIONS.to_wire(settings.default_delivery_option),
                offered_delivery_options=map(OPTIONS.to_wire, settings.offered_delivery_options),
                default_template_id=settings.default_template_id,
            )
            for settings in notification.channels
        ],
        templates=[
            notifications_pb2.Template(
                id=template.id, language=template.language, content=content_to_proto(template.content)
            )
            for template in notification.templates
        ],
        disabled=notification.disabled,
        category=notification.category,
        section=notification.section,
        label=notification.label,
        priority=PRIORITIES.to_wire(notification.priority),
        etag=notification.etag,
        create_time=to_timestamp(notification.create_time),
        update_time=to_timestamp(notification.update_time),
    )


def contents_from_proto(proto: content_pb2.ContentByChannel, violations: Violations) -> dict[Channel, Content]:
    """Reads what stands in for the content of templates, whole or not; what says nothing is left out."""
    found = {}
    for descriptor, fields in proto.ListFields():
        path = f"content.{descriptor.name}"
        if not _fits(fields, path, violations):
            continue
        content = _read(_CHANNELS_BY_FIELD[descriptor.name], fields, path, violations)
        _check_texts(content, path, violations)
        if content.texts or content.actions:
            found[content.channel] = content
    return found


def content_to_proto(content: Content) -> content_pb2.Content:
    """Gives content as it is answered."""
    proto = content_pb2.Content()
    name = CONTENT_FIELDS[content.channel]
    _fill(getattr(proto, name), content)
    # A content without any text is still content for its channel.
    getattr(proto, name).SetInParent()
    return proto


def inapp_to_proto(content: Content) -> content_pb2.InappContent:
    """Gives in-app content as an inbox item holds it."""
    proto = content_pb2.InappContent()
    _fill(proto, content)
    return proto


def _fill(fields: Any, content: Content) -> None:
    for name, text in content.texts.items():
        setattr(fields, name, text)
    if content.channel is Channel.INAPP_WEB:
        fields.html = content.html
        fields.actions.extend(content_pb2.InappAction(label=a.label, url=a.url) for a in content.actions)


def _channels(proto: notifications_pb2.Notification, violations: Violations) -> tuple[ChannelSettings, ...]:
    if len(proto.channels) > MAX_CHANNELS:
        field = "notification.channels"
        violations.add(field, f"must be at most {MAX_CHANNELS}, but are {len(proto.channels)}", "TOO_MANY")
        return ()

    found: dict[Channel, ChannelSettings] = {}
    for i, settings in enumerate(proto.channels):
        path = f"notification.channels[{i}]"
        channel = CHANNELS.from_wire(settings.channel, violations, field=f"{path}.channel")
        if channel is None:
            continue
        if channel in found:
            violations.add(f"{path}.channel", f"names {channel} a second time", "DUPLICATE")
        found[channel] = _settings(settings, channel, path, violations)
    return tuple(found[channel] for channel in Channel if channel in found)


def _settings(
    proto: notifications_pb2.ChannelSettings, channel: Channel, path: str, violations: Violations
) -> ChannelSettings:
    refuse_unbuilt(proto, _UNBUILT_SETTINGS, violations, prefix=f"{path}.")
    if (count := len(proto.offered_delivery_options)) > MAX_OPTIONS:
        violations.add(
            f"{path}.offered_delivery_options", f"must be at most {MAX_OPTIONS}, but are {count}", "TOO_MANY"
        )
    offered = [
        option
        for j, number in enumerate(proto.offered_delivery_options[:MAX_OPTIONS])
        if (option := _option(number, violations, field=f"{path}.offered_delivery_options[{j}]"))
    ] or list(DEFAULT_OFFERED)
    default_field = f"{path}.default_delivery_option"
    default = DeliveryOption.INSTANT
    if proto.default_delivery_option:
        default = _option(proto.default_delivery_option, violations, field=default_field) or default
    if default not in offered:
        violations.add(default_field, f"is {default}, which offered_delivery_options leaves out", "NOT_OFFERED")

    template_id = proto.default_template_id or DEFAULT_TEMPLATE_ID
    return ChannelSettings(
        channel=channel,
        default_delivery_option=default,
        offered_delivery_options=tuple(option for option in DeliveryOption if option in offered),
        default_template_id=validation.created_id(template_id, violations, field=f"{path}.default_template_id"),
    )


def _option(number: int, violations: Violations, *, field: str) -> DeliveryOption | None:
    if number == channel_pb2.DELIVERY_OPTION_ON:
        violations.add(field, "must be a definite option; ON is for choices of users", "INVALID")
        return None
    option = OPTIONS.from_wire(number, violations, field=field)
    if option is not None and option not in _BUILT_OPTIONS:
        violations.add(field, "is not supported yet; use OFF or INSTANT", "NOT_SUPPORTED_YET")
        return None
    return option


def _templates(proto: notifications_pb2.Notification, violations: Violations) -> tuple[Template, ...]:
    if len(proto.templates) > MAX_TEMPLATES:
        field = "notification.templates"
        violations.add(field, f"must be at most {MAX_TEMPLATES}, but are {len(proto.templates)}", "TOO_MANY")
        return ()

    found: dict[tuple[str, str, str], Template] = {}
    for i, template in enumerate(proto.templates):
        path = f"notification.templates[{i}]"
        refuse_unbuilt(template, ("delivery_options",), violations, prefix=f"{path}.")
        template_id = validation.created_id(template.id or DEFAULT_TEMPLATE_ID, violations, field=f"{path}.id")
        if template.language and not LANGUAGE.fullmatch(template.language):
            violations.add(f"{path}.language", LANGUAGE_FORM)
        content = _content(template.content, f"{path}.content", violations)
        if content is None:
            continue
        key = (content.channel, template_id, template.language.casefold())
        if key in found:
            violations.add(path, "has the channel, id and language of an earlier template", "DUPLICATE")
        found[key] = Template(template_id, template.language, content)
    return tuple(found.values())


def _content(proto: content_pb2.Content, path: str, violations: Violations) -> Content | None:
    name = proto.WhichOneof("channel")
    if name is None:
        violations.add(path, f"must have one of {', '.join(_CHANNELS_BY_FIELD)}", "REQUIRED")
        return None
    if not _fits(proto, path, violations):
        return None

    path = f"{path}.{name}"
    content = _read(_CHANNELS_BY_FIELD[name], getattr(proto, name), path, violations)
    names = {text.name for text in TEXTS[content.channel]}
    for missing in missing_texts(content):
        if missing in names:
            violations.add(f"{path}.{missing}", "must not be empty", "REQUIRED")
        else:
            violations.add(path, f"must have {missing}", "REQUIRED")
    _check_texts(content, path, violations)
    return content


def _fits(proto: Message, path: str, violations: Violations) -> bool:
    size = proto.ByteSize()
    if size > MAX_CONTENT_BYTES:
        violations.add(path, f"must be at most 256 KiB, but is {size} bytes", "TOO_LARGE")
    return size <= MAX_CONTENT_BYTES


def _read(channel: Channel, fields: Any, path: str, violations: Violations) -> Content:
    """Reads the content of one channel, whole or not."""
    texts = {text.name: source for text in TEXTS[channel] if (source := getattr(fields, text.name))}
    if channel is not Channel.INAPP_WEB:
        return Content(channel, texts)
    actions = tuple(Action(action.label, action.url) for action in fields.actions[: MAX_ACTIONS + 1])
    if len(fields.actions) > MAX_ACTIONS:
        problem = f"must be at most {MAX_ACTIONS}, but are {len(fields.actions)}"
        violations.add(f"{path}.actions", problem, "TOO_MANY")
    return Content(channel, texts, html=fields.html, actions=actions)


def _check_texts(content: Content, path: str, violations: Violations) -> None:
    for j, action in enumerate(content.actions):
        if not action.label:
            violations.add(f"{path}.actions[{j}].label", "must not be empty", "REQUIRED")
        _check_liquid({f"actions[{j}].label": action.label, f"actions[{j}].url": action.url}, path, violations)
    _check_liquid(content.texts, path, violations)


def _check_liquid(sources: Mapping[str, str], path: str, violations: Violations) -> None:
    for name, source in sources.items():
        try:
            liquid.check(source)
        except liquid.TemplateError as error:
            violations.add(f"{path}.{name}", f"is no valid template: {error}", "TEMPLATE_INVALID")
