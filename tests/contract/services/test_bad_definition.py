"""What a definition may not say: each refusal names everything that is wrong, and nothing is stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from carillon.v1 import content_pb2, notifications_pb2
from tests.contract.services.refusals import assert_violates, refusal
from tests.contract.services.requests import EMAIL, INAPP_WEB, INSTANT, OFF, ON, SMS, definition, inapp, sms

if TYPE_CHECKING:
    from tests.contract.services.world import Tenant

pytestmark = pytest.mark.asyncio(loop_scope="session")


def settings(channel: Any = INAPP_WEB, **fields: Any) -> notifications_pb2.ChannelSettings:
    """Makes the settings of one channel."""
    return notifications_pb2.ChannelSettings(channel=channel, **fields)


def email(template_id: str, **fields: str) -> notifications_pb2.Template:
    """Makes a mail template."""
    return notifications_pb2.Template(
        id=template_id, content=content_pb2.Content(email=content_pb2.EmailContent(**fields))
    )


def actions(*labels: str) -> list[content_pb2.InappAction]:
    """Makes buttons."""
    return [content_pb2.InappAction(label=label) for label in labels]


BAD = {
    "no-id": (definition(""), [("id", "REQUIRED")]),
    "a-long-id": (definition("x" * 129), [("id", "TOO_LONG")]),
    "an-id-with-a-space": (definition("a b"), [("id", "INVALID_CHARACTERS")]),
    "long-words": (
        definition("n", title="x" * 257, category="x" * 129, section="x" * 129, label="x" * 129),
        [("title", "TOO_LONG"), ("category", "TOO_LONG"), ("section", "TOO_LONG"), ("label", "TOO_LONG")],
    ),
    "an-unknown-priority": (definition("n", priority=9), [("priority", "UNKNOWN_VALUE")]),
    "bad-channels": (
        definition("n", channels=[settings(0), settings(99), settings(SMS), settings(SMS)]),
        [
            ("channels[0].channel", "REQUIRED"),
            ("channels[1].channel", "UNKNOWN_VALUE"),
            ("channels[3].channel", "DUPLICATE"),
        ],
    ),
    "bad-options": (
        definition(
            "n",
            channels=[
                settings(INAPP_WEB, default_delivery_option=OFF, offered_delivery_options=[INSTANT]),
                settings(SMS, offered_delivery_options=[INSTANT, 0, 99, ON, 3]),
                settings(EMAIL, default_delivery_option=ON, default_template_id="a b"),
            ],
        ),
        [
            ("channels[0].default_delivery_option", "NOT_OFFERED"),
            ("channels[1].offered_delivery_options[1]", "REQUIRED"),
            ("channels[1].offered_delivery_options[2]", "UNKNOWN_VALUE"),
            ("channels[1].offered_delivery_options[3]", "INVALID"),
            ("channels[1].offered_delivery_options[4]", "NOT_SUPPORTED_YET"),
            ("channels[2].default_delivery_option", "INVALID"),
            ("channels[2].default_template_id", "INVALID_CHARACTERS"),
        ],
    ),
    "what-is-not-built": (
        definition(
            "n",
            notifications_pb2.Template(content=inapp().content, delivery_options=[INSTANT]),
            channels=[settings(INAPP_WEB, digest={"hour": 9}, batching={"title": "t"})],
            throttle={"max_count": 1},
            deduplication_window={"seconds": 1},
            stack_timeout={"seconds": 1},
            item_ttl={"seconds": 1},
        ),
        [
            ("throttle", "NOT_SUPPORTED_YET"),
            ("deduplication_window", "NOT_SUPPORTED_YET"),
            ("stack_timeout", "NOT_SUPPORTED_YET"),
            ("item_ttl", "NOT_SUPPORTED_YET"),
            ("channels[0].digest", "NOT_SUPPORTED_YET"),
            ("channels[0].batching", "NOT_SUPPORTED_YET"),
            ("templates[0].delivery_options", "NOT_SUPPORTED_YET"),
        ],
    ),
    "bad-templates": (
        definition(
            "n",
            inapp(template_id="a b", language="Deutsch!"),
            notifications_pb2.Template(),
            inapp(""),
            inapp(),
            inapp(template_id="default"),
            inapp(language="en"),
            inapp(language="EN"),
            email("a", html="<p>x</p>"),
            email("b", subject="x"),
            inapp(language="fr", actions=actions("a", "b", "c")),
            inapp(language="es", actions=actions("")),
        ),
        [
            ("templates[0].id", "INVALID_CHARACTERS"),
            ("templates[0].language", "INVALID"),
            ("templates[1].content", "REQUIRED"),
            ("templates[2].content.inapp.title", "REQUIRED"),
            ("templates[3]", "DUPLICATE"),
            ("templates[4]", "DUPLICATE"),
            ("templates[6]", "DUPLICATE"),
            ("templates[7].content.email.subject", "REQUIRED"),
            ("templates[8].content.email", "REQUIRED"),
            ("templates[9].content.inapp.actions", "TOO_MANY"),
            ("templates[10].content.inapp.actions[0].label", "REQUIRED"),
        ],
    ),
    "501-templates": (
        definition("n", *(inapp(template_id=f"t{i}") for i in range(501))),
        [("templates", "TOO_MANY")],
    ),
    "content-over-256-KiB": (definition("n", inapp("x" * 256 * 1024)), [("templates[0].content", "TOO_LARGE")]),
    "a-definition-over-2-MiB": (
        definition("n", *(inapp("x" * 250 * 1024, template_id=f"t{i}") for i in range(9))),
        [("", "TOO_LARGE")],
    ),
}

BROKEN_TEMPLATES = {
    "an-unclosed-output": ("Hello {{ name", "line 1, column 7"),
    "an-unclosed-tag": ("one\ntwo {% if x %} three", "line 2, column 5"),
    "an-unknown-tag": ("one\n  {% jump %}", "line 2, column 6"),
    "an-unknown-filter": ("one\n\n{{ name | shout }}", "line 3, column 11"),
    "a-tag-that-reads-files": ("{% include 'secrets' %}", "line 1, column 4"),
}


@pytest.mark.parametrize("name", BAD)
async def test_a_bad_definition_stores_nothing(tenant: Tenant, name: str) -> None:
    """A definition with something wrong is refused with each path and reason."""
    bad, expected = BAD[name]
    before = await tenant.stored()

    refused = await refusal(tenant.put(bad))

    assert_violates(refused, [(f"notification.{path}".rstrip("."), reason) for path, reason in expected])
    assert await tenant.stored() == before


@pytest.mark.parametrize("name", BROKEN_TEMPLATES)
async def test_a_template_that_does_not_parse_names_the_place(tenant: Tenant, name: str) -> None:
    """A broken template is refused when it is put, with its path, and line and column in the description."""
    source, place = BROKEN_TEMPLATES[name]
    before = await tenant.stored()

    refused = await refusal(tenant.put(definition("n", inapp(body=source), sms(source))))

    assert_violates(
        refused,
        [
            ("notification.templates[0].content.inapp.body", "TEMPLATE_INVALID"),
            ("notification.templates[1].content.sms.text", "TEMPLATE_INVALID"),
        ],
    )
    assert all(place in description for description in refused.descriptions)
    assert await tenant.stored() == before


async def test_a_broken_button_names_the_place(tenant: Tenant) -> None:
    """The texts of buttons are checked like all others."""
    action = content_pb2.InappAction(label="{{ a", url="{% x %}")

    refused = await refusal(tenant.put(definition("n", inapp(actions=[action]))))

    path = "notification.templates[0].content.inapp.actions[0]"
    assert_violates(refused, [(f"{path}.label", "TEMPLATE_INVALID"), (f"{path}.url", "TEMPLATE_INVALID")])


async def test_a_definition_at_the_limits_is_taken(tenant: Tenant) -> None:
    """500 templates, and 250 KiB in one, are taken."""
    await tenant.put(definition("n", *(inapp(template_id=f"t{i}") for i in range(500))))
    await tenant.put(definition("m", inapp("x" * 250 * 1024)))


async def test_many_violations_are_cut_and_say_so(tenant: Tenant) -> None:
    """More than a status can carry is cut, with the number of those that are left out."""
    refused = await refusal(tenant.put(definition("n", *(notifications_pb2.Template() for _ in range(500)))))

    assert refused.violations[0] == ("notification.templates[0].content", "REQUIRED")
    assert refused.violations[-1] == ("", "MORE_VIOLATIONS")
