"""What a send would look like."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
import pytest

from carillon.v1 import channel_pb2, notifications_pb2
from tests.contract.services.bad_users import BAD_USERS
from tests.contract.services.refusals import assert_violates, refusal
from tests.contract.services.requests import (
    EMAIL,
    INAPP_WEB,
    ORDER,
    PUSH,
    SMS,
    definition,
    inapp,
    nested,
    outcomes,
    send_request,
    sms,
    struct,
    warnings,
)
from tests.contract.services.test_preferences import settings

if TYPE_CHECKING:
    from tests.contract.services.world import Tenant

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def preview(tenant: Tenant, **fields: Any) -> notifications_pb2.PreviewNotificationResponse:
    """Previews."""
    request = notifications_pb2.PreviewNotificationRequest(**fields)
    answer: notifications_pb2.PreviewNotificationResponse = await tenant.backend.notifications.PreviewNotification(
        request
    )
    return answer


async def test_a_stored_definition_is_rendered(tenant: Tenant) -> None:
    """Every channel that has a template is answered with its content, as the send would store it; nothing is stored."""
    before = await tenant.stored()

    answer = await preview(tenant, notification_id="order_tracking", merge_tags=struct(ORDER))

    assert set(outcomes(answer)) == {"EMAIL", "INAPP_WEB", "SMS", "CALL", "PUSH", "WEB_PUSH"}
    assert set(outcomes(answer).values()) == {"DELIVERED", "PENDING"}
    by_channel = {one.channel: one.content for one in answer.deliveries}
    assert by_channel[INAPP_WEB].inapp.title == "Your Krabby Patty Burger is on its way"
    assert "124 Conch Street" in by_channel[EMAIL].email.html
    assert list(answer.warnings) == []
    assert await tenant.stored() == before

    await tenant.send(send_request(user={"id": "u"}))
    (item,) = await tenant.items("u")
    assert item.content == by_channel[INAPP_WEB].inapp


async def test_a_definition_need_not_be_stored(tenant: Tenant) -> None:
    """A definition that comes with the request is rendered for its user, values and replacements, escaped in HTML."""
    answer = await preview(
        tenant,
        notification=definition(
            "unsaved",
            inapp("<b>{{ user.first_name }}</b> {{ n }} {{ user.properties.plan }} X", html=True),
            sms("{{ n }} X"),
        ),
        user={"first_name": "<i>", "properties": struct({"plan": "gold"})},
        merge_tags=struct({"n": 3}),
        replace={"X": "<u>"},
    )

    assert [one.content.inapp.title or one.content.sms.text for one in answer.deliveries] == [
        "<b>&lt;i&gt;</b> 3 gold <u>",
        "3 <u>",
    ]
    assert (await tenant.stored())["notifications"] == 3


async def test_switches_preferences_and_addresses_are_not_asked(tenant: Tenant) -> None:
    """A definition that is off, a channel off by default and a user without addresses are shown all the same."""
    off = channel_pb2.DELIVERY_OPTION_OFF
    shown = definition("n", inapp(), sms(), channels=[settings(INAPP_WEB, off)], disabled=True)

    answer = await preview(tenant, notification=shown)

    assert outcomes(answer) == {"INAPP_WEB": "DELIVERED", "SMS": "PENDING"}


async def test_only_the_asked_channels_are_rendered(tenant: Tenant) -> None:
    """Named channels are the only ones; one without a template is skipped, and so is one that fails to render."""
    broken = definition("n", inapp(), sms("a\n{{ 1 | divided_by: 0 }}"))

    answer = await preview(tenant, notification=broken, channels=[SMS, PUSH, SMS])

    assert outcomes(answer) == {"SMS": "RENDER_FAILED", "PUSH": "NO_TEMPLATE"}
    assert "line 2" in answer.deliveries[0].detail
    assert not answer.deliveries[0].HasField("content")
    assert warnings(answer) == [("ALL_CHANNELS_SKIPPED", "")]


async def test_template_and_language_are_chosen_as_in_a_send(tenant: Tenant) -> None:
    """The template asked for goes first, then the default in the user's language; a missing one is warned of."""
    shown = definition("n", inapp(), inapp("Hallo", language="de"), inapp("v2", template_id="v2"), sms())

    assert (await preview(tenant, notification=shown)).deliveries[0].content.inapp.title == "Hello"
    german = await preview(tenant, notification=shown, user={"language": "de-AT"}, channels=[INAPP_WEB])
    assert german.deliveries[0].content.inapp.title == "Hallo"
    second = await preview(tenant, notification=shown, template_id="v2")
    assert [one.content.inapp.title or one.content.sms.text for one in second.deliveries] == ["v2", "Hello"]
    assert warnings(second) == [("TEMPLATE_NOT_FOUND", "template_id")]


async def test_what_a_send_would_warn_about(tenant: Tenant) -> None:
    """An address that cannot be one is warned about, as in a send."""
    answer = await preview(tenant, notification_id="hello_world", user={"email": "spongebob"})

    assert ("INVALID_ADDRESS", "user.email") in warnings(answer)


async def test_an_unknown_definition_is_not_found(tenant: Tenant) -> None:
    """Previewing a definition that is not stored is NOT_FOUND."""
    refused = await refusal(preview(tenant, notification_id="nowhere"))

    assert (refused.code, refused.reason) == (grpc.StatusCode.NOT_FOUND, "NOTIFICATION_NOT_FOUND")


async def test_everything_wrong_is_said_at_once(tenant: Tenant) -> None:
    """What a definition and a send are refused for is refused here, with the same fields, all at once."""
    refused = await refusal(
        preview(
            tenant,
            notification=definition("", inapp("")),
            user={"first_name": "x" * 257},
            merge_tags=nested(33),
            template_id="x" * 129,
            replace={"": "x", "k": "x" * 16_385},
            channels=[0, 99],
        )
    )
    assert_violates(
        refused,
        [
            ("notification.id", "REQUIRED"),
            ("notification.templates[0].content.inapp.title", "REQUIRED"),
            ("user.first_name", "TOO_LONG"),
            ("merge_tags" + ".a" * 32, "TOO_DEEP"),
            ("template_id", "TOO_LONG"),
            ("replace", "REQUIRED"),
            ("replace.k", "TOO_LONG"),
            ("channels[0]", "REQUIRED"),
            ("channels[1]", "UNKNOWN_VALUE"),
        ],
    )
    assert_violates(await refusal(preview(tenant)), [("notification_id", "REQUIRED")])
    assert_violates(await refusal(preview(tenant, notification_id="x" * 129)), [("notification_id", "TOO_LONG")])
    flood = preview(tenant, notification_id="n", channels=[99] * 101)
    assert ("channels", "TOO_MANY") in (await refusal(flood)).violations


@pytest.mark.parametrize("name", [name for name in BAD_USERS if name != "no-user-id"])
async def test_a_bad_user_is_refused(tenant: Tenant, name: str) -> None:
    """A user whom no other call takes is refused here too; only the id may be left out."""
    user, expected = BAD_USERS[name]

    assert_violates(await refusal(preview(tenant, notification_id="hello_world", user=user)), expected)
