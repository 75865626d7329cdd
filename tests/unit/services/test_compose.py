from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from services.delivery.payload_apns import apns_payload, payload_size
from services.kernel.vocabulary import Channel, DeliveryOption, Priority
from services.messages.model import Delivery, DeliveryState, Message, SendWarning, SkipReason, WarningCode
from services.messages.options import ApnOptions, SendOptions
from services.preferences.model import Choices
from services.sender.compose import compose
from services.sender.plan import plan
from services.users.model import User
from tests.unit.services.builders import (
    ENVIRONMENT,
    NOW,
    REACHABLE,
    choices,
    content,
    notification,
    send,
    template,
)

if TYPE_CHECKING:
    from services.sender.model import Send

EMAIL, INAPP, SMS, CALL, PUSH, *_ = Channel
OFF = DeliveryOption.OFF
PUSH_TOO_LARGE = "has 4097 bytes as APNs' payload; APNs carries 4096"


def composed(sent: Send, definition: Any, profile: User | None = None, chosen: Choices | None = None) -> Message:
    """Plans a send and makes its message."""
    made = plan(sent, definition, profile, chosen or Choices(), ENVIRONMENT)
    return compose(sent, made, definition, profile, ENVIRONMENT, tracking_id="m1", now=NOW)


def test_a_message_says_what_was_sent() -> None:
    """The message has what the send and the definition say, rendered, and expires with the retention."""
    definition = notification(
        EMAIL,
        INAPP,
        templates=(template(EMAIL), template(INAPP, title="Your {{ item }}, {{ user.first_name }}")),
        category="c",
        section="s",
        label="l",
    )
    sent = send(
        merge_tags={"item": "Krabby Patty Burger"},
        sub_notification_id="eu",
        secondary_id="2nd",
        group_id="g",
        tags=("t",),
    )

    message = composed(sent, definition, User("userId_123abc", first_name="Spongebob"))

    assert (message.client_id, message.user_id, message.tracking_id) == ("dev", "userId_123abc", "m1")
    assert (message.notification_id, message.sub_notification_id, message.secondary_id) == (definition.id, "eu", "2nd")
    assert (message.group_id, message.tags, message.request) == ("g", ("t",), b"request")
    assert (message.create_time, message.expire_time) == (NOW, NOW + timedelta(days=90))
    assert message.warnings == ()
    assert message.item is not None
    assert message.item.content.texts == {"title": "Your Krabby Patty Burger, Spongebob"}
    assert (message.item.category, message.item.section, message.item.label) == ("c", "s", "l")
    assert (message.item.date, message.item.tags, message.item.secondary_id) == (NOW, ("t",), "2nd")


def test_only_the_inbox_is_delivered_at_once() -> None:
    """INAPP_WEB is delivered, the others wait with the send's own address; a message with any of them is due."""
    message = composed(send(), notification(*Channel))

    assert [delivery.channel for delivery in message.deliveries] == list(Channel)
    states = {delivery.channel: delivery.state for delivery in message.deliveries}
    assert states.pop(INAPP) is DeliveryState.DELIVERED
    assert set(states.values()) == {DeliveryState.PENDING}
    assert {delivery.address for delivery in message.deliveries} == {"", REACHABLE.email, REACHABLE.number}
    assert message.is_due
    assert not composed(send(), notification(INAPP)).is_due


@pytest.mark.parametrize(
    "message",
    [
        composed(send(), notification(EMAIL)),
        composed(send(), notification(EMAIL, INAPP), chosen=choices(("", INAPP, OFF))),
        composed(send(), notification(EMAIL, INAPP, templates=(template(EMAIL), template(INAPP, title="{{ gone }}")))),
    ],
    ids=["not in the definition", "off", "does not render"],
)
def test_no_item_without_the_inbox(message: Message) -> None:
    """A message has an item only where INAPP_WEB is delivered."""
    assert message.item is None
    assert [delivery.state for delivery in message.deliveries][:1] == [DeliveryState.PENDING]


def test_a_template_that_fails_skips_its_channel_alone() -> None:
    """RENDER_FAILED says which text and where, and the other channels go."""
    definition = notification(
        INAPP, SMS, templates=(template(INAPP), template(SMS, text="a\n {{ 1 | divided_by: 0 }}"))
    )

    inapp, sms = composed(send(), definition).deliveries

    assert inapp.state is DeliveryState.DELIVERED
    assert sms == Delivery(
        SMS, DeliveryState.SKIPPED, SkipReason.RENDER_FAILED, "text: line 2, column 9: divided_by: can't divide by 0"
    )


@pytest.mark.parametrize("excess", [0, 1])
def test_a_push_that_apns_does_not_take_is_skipped(excess: int) -> None:
    """A payload of 4,096 bytes goes, one of 4,097 is CONTENT_TOO_LARGE; the options and the ids count."""
    options = SendOptions(apn=ApnOptions(thread_id="thread", sound="chime.aiff"))
    some_id = "0" * 36
    rest = payload_size(
        apns_payload(
            content(PUSH, title="t", body="b"),
            options.apn,
            tracking_id=some_id,
            notification_id="order_tracking",
            item_id=some_id,
        )
    )
    # Not a letter of ASCII, so that bytes are counted and not characters.
    body = "é" * ((4096 - rest) // 2) + "b" * (1 + (4096 - rest) % 2 + excess)
    definition = notification(INAPP, PUSH, templates=(template(INAPP), template(PUSH, title="t", body=body)))

    inapp, push = composed(send(options=options), definition).deliveries

    assert inapp.state is DeliveryState.DELIVERED
    expected = (None, "") if not excess else (SkipReason.CONTENT_TOO_LARGE, PUSH_TOO_LARGE)
    assert (push.reason, push.detail) == expected


def test_warnings_come_in_the_order_of_the_work() -> None:
    """First what was wrong with the request, then with the plan, and last that nothing is left."""
    of_the_send = SendWarning(WarningCode.INVALID_ADDRESS, "user.number", "user.number is none; it was not used")
    sent = send(warnings=(of_the_send,), bad_fields=frozenset({"number"}), template_id="b")

    message = composed(sent, notification(SMS))

    assert [warning.code for warning in message.warnings] == [
        WarningCode.INVALID_ADDRESS,
        WarningCode.TEMPLATE_NOT_FOUND,
        WarningCode.ALL_CHANNELS_SKIPPED,
    ]
    assert message.warnings[0] == of_the_send


@pytest.mark.parametrize(
    "message",
    [
        composed(send(), notification()),
        composed(send(), notification(*Channel, disabled=True)),
        composed(send(), notification(SMS, templates=(template(SMS, text="{{ gone }}"),))),
    ],
    ids=["no channels", "disabled", "does not render"],
)
def test_a_message_without_a_channel_says_so(message: Message) -> None:
    """Where no channel is left the message is kept, with ALL_CHANNELS_SKIPPED."""
    assert message.warnings[-1].code is WarningCode.ALL_CHANNELS_SKIPPED
    assert message.item is None
    assert not message.is_due


@pytest.mark.parametrize(
    ("own", "expected"), [(None, Priority.LOW), (Priority.HIGH, Priority.HIGH), (Priority.NORMAL, Priority.NORMAL)]
)
def test_the_priority_falls_back_to_the_definition(own: Priority | None, expected: Priority) -> None:
    """The send's priority goes before the definition's, on the message and its item."""
    message = composed(send(priority=own), notification(INAPP, priority=Priority.LOW))

    assert message.priority is expected
    assert message.item is not None
    assert message.item.priority is expected


def test_the_message_expires_with_the_environments_retention() -> None:
    """Another retention, another expiry."""
    sent, definition = send(), notification(INAPP)
    environment = replace(ENVIRONMENT, retention=timedelta(days=1))
    made = plan(sent, definition, None, Choices(), environment)

    message = compose(sent, made, definition, None, environment, tracking_id="m1", now=NOW)

    assert message.expire_time == NOW + timedelta(days=1)
