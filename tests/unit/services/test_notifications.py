from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from hypothesis import given, settings
from hypothesis import strategies as st

from carillon.v1 import channel_pb2, content_pb2, notifications_pb2
from services.kernel.validation import Violations
from services.kernel.vocabulary import Channel, DeliveryOption, Priority
from services.notifications.convert import (
    content_to_proto,
    notification_from_proto,
    notification_to_proto,
)
from services.notifications.model import (
    CONTENT_FIELDS,
    TEXTS,
    Action,
    ChannelSettings,
    Content,
    Notification,
    language_order,
    map_content,
)
from tests.unit.services.builders import content, reasons, recorded
from tests.unit.services.protos import messages

OFF, INSTANT = DeliveryOption.OFF, DeliveryOption.INSTANT


def definition(**fields: Any) -> notifications_pb2.Notification:
    """Makes a definition that is right but for the fields given."""
    return notifications_pb2.Notification(**{"id": "order_tracking"} | fields)


def sms(text: str = "text", **fields: Any) -> notifications_pb2.Template:
    """Makes a template for SMS."""
    return notifications_pb2.Template(content=content_pb2.Content(sms=content_pb2.SmsContent(text=text)), **fields)


def read(proto: notifications_pb2.Notification) -> tuple[Notification, Violations]:
    """Reads a definition, whatever is wrong with it."""
    violations = Violations()
    return notification_from_proto(proto, violations), violations


def channel_settings(**fields: Any) -> notifications_pb2.ChannelSettings:
    """Makes the settings of SMS."""
    return notifications_pb2.ChannelSettings(**{"channel": channel_pb2.CHANNEL_SMS} | fields)


@pytest.mark.parametrize("channel", Channel)
def test_the_model_knows_every_text_of_the_contract(channel: Channel) -> None:
    """Every text of a channel's content in the contract is one of TEXTS, and the other way round."""
    text_fields = content_pb2.Content.DESCRIPTOR.fields_by_name[CONTENT_FIELDS[channel]].message_type
    assert text_fields is not None

    assert {text.name for text in TEXTS[channel]} == {
        field.name for field in text_fields.fields if field.type == field.TYPE_STRING and not field.is_repeated
    }


def test_a_definition_has_defaults() -> None:
    """What a definition leaves out is filled in: options, template ids, priority; channels come in order."""
    proto = definition(
        channels=[channel_settings(), channel_settings(channel=channel_pb2.CHANNEL_EMAIL)], templates=[sms()]
    )

    notification, violations = read(proto)

    assert not violations
    assert notification.channels == (ChannelSettings(Channel.EMAIL), ChannelSettings(Channel.SMS))
    assert (notification.channels[0].default_delivery_option, notification.channels[0].offered_delivery_options) == (
        INSTANT,
        (OFF, INSTANT),
    )
    assert (notification.templates[0].id, notification.templates[0].language) == ("default", "")
    assert notification.priority is Priority.NORMAL


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"id": ""}, {"id": "REQUIRED"}),
        ({"id": "a b"}, {"id": "INVALID_CHARACTERS"}),
        ({"id": "a" * 129}, {"id": "TOO_LONG"}),
        ({"title": "a" * 257, "section": "a" * 129}, {"title": "TOO_LONG", "section": "TOO_LONG"}),
        ({"category": "a" * 129, "label": "ä" * 65}, {"category": "TOO_LONG", "label": "TOO_LONG"}),
        ({"priority": 99}, {"priority": "UNKNOWN_VALUE"}),
        ({"item_ttl": Duration(seconds=1)}, {"item_ttl": "NOT_SUPPORTED_YET"}),
        ({"throttle": {}}, {"throttle": "NOT_SUPPORTED_YET"}),
        ({"channels": [channel_settings(channel=0)]}, {"channels[0].channel": "REQUIRED"}),
        ({"channels": [channel_settings(channel=99)]}, {"channels[0].channel": "UNKNOWN_VALUE"}),
        ({"channels": [channel_settings()] * 2}, {"channels[1].channel": "DUPLICATE"}),
        (
            {"channels": [channel_settings(default_delivery_option=channel_pb2.DELIVERY_OPTION_ON)]},
            {"channels[0].default_delivery_option": "INVALID"},
        ),
        (
            {"channels": [channel_settings(default_delivery_option=channel_pb2.DELIVERY_OPTION_DAILY)]},
            {"channels[0].default_delivery_option": "NOT_SUPPORTED_YET"},
        ),
        (
            {"channels": [channel_settings(offered_delivery_options=[1])]},
            {"channels[0].default_delivery_option": "NOT_OFFERED"},
        ),
        (
            {"channels": [channel_settings(offered_delivery_options=[0, 3, 7, 99])]},
            {
                "channels[0].offered_delivery_options[0]": "REQUIRED",
                "channels[0].offered_delivery_options[1]": "NOT_SUPPORTED_YET",
                "channels[0].offered_delivery_options[2]": "INVALID",
                "channels[0].offered_delivery_options[3]": "UNKNOWN_VALUE",
            },
        ),
        ({"channels": [channel_settings(digest={})]}, {"channels[0].digest": "NOT_SUPPORTED_YET"}),
        (
            {"channels": [channel_settings(default_template_id="a b")]},
            {"channels[0].default_template_id": "INVALID_CHARACTERS"},
        ),
        ({"templates": [{}]}, {"templates[0].content": "REQUIRED"}),
        ({"templates": [sms(id="a b")]}, {"templates[0].id": "INVALID_CHARACTERS"}),
        ({"templates": [sms(language="english!")]}, {"templates[0].language": "INVALID"}),
        ({"templates": [sms(delivery_options=[2])]}, {"templates[0].delivery_options": "NOT_SUPPORTED_YET"}),
        ({"templates": [sms(""), sms(language="en")]}, {"templates[0].content.sms.text": "REQUIRED"}),
        ({"templates": [sms(), sms(id="default")]}, {"templates[1]": "DUPLICATE"}),
        ({"templates": [sms(language="pt-BR"), sms(language="PT-br")]}, {"templates[1]": "DUPLICATE"}),
        ({"templates": [sms("{{ a")]}, {"templates[0].content.sms.text": "TEMPLATE_INVALID"}),
        ({"templates": [sms("{{ a | nope }}")]}, {"templates[0].content.sms.text": "TEMPLATE_INVALID"}),
        ({"templates": [sms("a" * 262_144)]}, {"templates[0].content": "TOO_LARGE"}),
        ({"templates": [sms()] * 501}, {"templates": "TOO_MANY"}),
        (
            {"templates": [{"content": {"email": {"preview_text": "p"}}}]},
            {"templates[0].content.email.subject": "REQUIRED", "templates[0].content.email": "REQUIRED"},
        ),
        (
            {
                "templates": [
                    {"content": {"inapp": {"actions": [{"url": "{{"}, {"label": "{%"}, {"label": "a", "url": "/b"}]}}}
                ]
            },
            {
                "templates[0].content.inapp.title": "REQUIRED",
                "templates[0].content.inapp.actions": "TOO_MANY",
                "templates[0].content.inapp.actions[0].label": "REQUIRED",
                "templates[0].content.inapp.actions[0].url": "TEMPLATE_INVALID",
                "templates[0].content.inapp.actions[1].label": "TEMPLATE_INVALID",
            },
        ),
    ],
)
def test_a_wrong_definition_is_refused_field_by_field(fields: dict[str, Any], expected: dict[str, str]) -> None:
    """Every rule about definitions names its field and has a reason."""
    violations = read(definition(**fields))[1]

    assert reasons(violations) == {f"notification.{field}": reason for field, reason in expected.items()}


def test_a_template_error_says_where() -> None:
    """The violation of a template has the line and column in it."""
    violations = read(definition(templates=[sms("a\n {{ b | nope }}")]))[1]

    assert [one.description for one in recorded(violations)] == [
        "is no valid template: line 2, column 9: unknown filter 'nope'"
    ]


def test_a_definition_has_at_most_2_mib() -> None:
    """A definition over 2 MiB is refused."""
    templates = [sms("a" * 250_000, id=str(i)) for i in range(9)]

    assert reasons(read(definition(templates=templates))[1]) == {"notification": "TOO_LARGE"}


@settings(deadline=None, max_examples=200)
@given(messages(notifications_pb2.Notification))
def test_any_definition_is_read_or_refused(proto: notifications_pb2.Notification) -> None:
    """No definition raises, and what is read once is read again as it is answered."""
    notification, violations = read(proto)

    if not violations:
        answered, more = read(notification_to_proto(notification))
        assert answered == notification
        assert not more


ids = st.from_regex(r"[A-Za-z0-9._:-]{1,6}", fullmatch=True)
sources = st.sampled_from(["plain", "{{ a }}", "ä\n{% if a %}b{% endif %}"])
contents = st.one_of(
    st.builds(
        lambda texts, html: content_pb2.Content(inapp=content_pb2.InappContent(html=html, **texts)),
        st.fixed_dictionaries({"title": sources}, optional={"body": sources, "url": sources}),
        st.booleans(),
    ),
    st.builds(
        lambda texts: content_pb2.Content(email=content_pb2.EmailContent(**texts)),
        st.fixed_dictionaries({"subject": sources, "html": sources}, optional={"text": sources, "from_name": sources}),
    ),
    st.builds(lambda text: content_pb2.Content(sms=content_pb2.SmsContent(text=text)), sources),
)
good_definitions = st.builds(
    definition,
    id=ids,
    title=st.text("äb", max_size=5),
    disabled=st.booleans(),
    priority=st.sampled_from([1, 2, 3]),
    channels=st.lists(
        st.builds(
            channel_settings,
            channel=st.integers(1, 6),
            default_delivery_option=st.just(2),
            offered_delivery_options=st.sampled_from([[2], [1, 2]]),
            default_template_id=ids,
        ),
        unique_by=lambda one: one.channel,
        max_size=6,
    ).map(lambda channels: sorted(channels, key=lambda one: int(one.channel))),
    templates=st.lists(
        st.builds(notifications_pb2.Template, id=ids, language=st.sampled_from(["", "en", "pt-BR"]), content=contents),
        unique_by=lambda one: (one.id, one.language, one.content.WhichOneof("channel")),
        max_size=4,
    ),
)


@settings(deadline=None)
@given(good_definitions)
def test_a_definition_round_trips(proto: notifications_pb2.Notification) -> None:
    """A definition that says everything is answered as it was put."""
    notification, violations = read(proto)

    assert not violations
    assert notification_to_proto(notification) == proto


def test_content_without_text_is_content_of_its_channel() -> None:
    """Even empty content says which channel it is for."""
    for channel in Channel:
        assert content_to_proto(Content(channel, {})).WhichOneof("channel") == CONTENT_FIELDS[channel]


def test_mapping_content_keeps_the_order_of_the_contract() -> None:
    """Texts are mapped in the order of TEXTS and buttons last; what comes out empty is left out."""
    seen: list[str] = []
    source = Content(
        Channel.INAPP_WEB,
        {"body": "body", "title": "title", "url": ""},
        html=True,
        actions=(Action("", "/a"), Action("label")),
    )

    def keep(name: str, text: str) -> str:
        seen.append(name)
        return text

    assert map_content(source, keep) == Content(
        Channel.INAPP_WEB, {"title": "title", "body": "body"}, html=True, actions=(Action("label"),)
    )
    assert seen == ["title", "body", "url", "actions[0].label", "actions[0].url", "actions[1].label"]
    assert map_content(content(Channel.SMS), keep) == content(Channel.SMS)


def test_languages_are_tried_from_the_most_exact() -> None:
    """Each language goes before its base, none is tried twice, and no language comes last."""
    assert language_order("pt-BR", "", "PT", "en-Latn-US") == ("pt-br", "pt", "en-latn-us", "en", "")
    assert language_order("") == ("",)
