from __future__ import annotations

from typing import Any

import pytest

from carillon.v1 import channel_pb2, content_pb2, delivery_pb2, sender_pb2
from gateway.http.notificationapi.send_answers import NOTHING_SENT, answer
from gateway.http.notificationapi.send_to_proto import ReadSend
from gateway.http.notificationapi.spelling import Spelling

GOES = "PENDING"


def read(*, is_less: bool = False, messages: tuple[str, ...] = (), **content: Any) -> ReadSend:
    """Gives a send with inline content for some channels."""
    request = sender_pb2.SendRequest()
    if content:
        request.content.MergeFrom(content_pb2.ContentByChannel(**content))
    return ReadSend(request, Spelling(parameters="mergeTags", to="user"), messages, is_less)


def response(*warnings: delivery_pb2.SendWarning, detail: str = "", **outcomes: str) -> sender_pb2.SendResponse:
    """Gives an answer of the services: for each channel a state, or the reason why it was skipped."""
    deliveries = []
    for channel, outcome in outcomes.items():
        is_state = outcome in ("PENDING", "DELIVERED", "SCHEDULED", "COLLECTED")
        deliveries.append(
            delivery_pb2.Delivery(
                channel=channel_pb2.Channel.Value(f"CHANNEL_{channel}"),
                state=delivery_pb2.DeliveryState.Value(f"DELIVERY_STATE_{outcome if is_state else 'SKIPPED'}"),
                reason=delivery_pb2.SkipReason.Value("SKIP_REASON_" + ("UNSPECIFIED" if is_state else outcome)),
                detail="" if is_state else detail,
            )
        )
    return sender_pb2.SendResponse(tracking_id="01a2", deliveries=deliveries, warnings=warnings)


@pytest.mark.parametrize("reason", ["PREFERENCE_OFF", "DEFAULT_OFF", "NOT_FORCED", "THROTTLED", "DEDUPLICATED"])
def test_a_channel_that_is_meant_to_be_left_out_is_none_of_anybodys_business(reason: str) -> None:
    """As long as something goes out it is 200 without a message."""
    assert answer(response(INAPP_WEB="DELIVERED", SMS=reason), read()) == (200, {"trackingId": "01a2", "messages": []})


@pytest.mark.parametrize(
    "reason",
    [
        "NO_ADDRESS",
        "INVALID_ADDRESS",
        "NO_TEMPLATE",
        "RENDER_FAILED",
        "CONTENT_TOO_LARGE",
        "PROVIDER_NOT_CONFIGURED",
        "CHANNEL_DISABLED",
        "NOTIFICATION_DISABLED",
        "EXPIRED",
    ],
)
def test_a_channel_that_was_counted_on_is_told(reason: str) -> None:
    """It is 202, with one message that names the channel."""
    status, body = answer(response(INAPP_WEB="DELIVERED", SMS=reason), read())
    assert status == 202
    (message,) = body["messages"]
    assert message.startswith("SMS delivery is activated, but ")
    assert message.endswith(". Discarding SMS.")


@pytest.mark.parametrize(
    ("channel", "field"),
    [
        ("EMAIL", "email"),
        ("SMS", "number"),
        ("CALL", "number"),
        ("PUSH", "pushTokens"),
        ("WEB_PUSH", "webPushTokens"),
    ],
)
def test_a_missing_address_is_told_in_their_words(channel: str, field: str) -> None:
    """With the field that the channel needs."""
    _, body = answer(response(INAPP_WEB="DELIVERED", **{channel: "NO_ADDRESS"}), read())
    assert body["messages"] == [
        f"{channel} delivery is activated, but the user's {field} is not provided. Discarding {channel}."
    ]


@pytest.mark.parametrize("reason", ["PREFERENCE_OFF", "DEFAULT_OFF", "THROTTLED", "DEDUPLICATED", "NO_TEMPLATE"])
def test_nothing_at_all_is_always_202(reason: str) -> None:
    """Then every channel is told, and last of all that it was in vain."""
    status, body = answer(response(EMAIL=reason, SMS="NOT_FORCED"), read(call=content_pb2.CallContent(text="x")))
    assert status == 202
    assert len(body["messages"]) == 3
    assert body["messages"][-1] == NOTHING_SENT


def test_a_notification_without_channels_delivers_nothing() -> None:
    """It is 202 too."""
    assert answer(response(), read()) == (202, {"trackingId": "01a2", "messages": [NOTHING_SENT]})


@pytest.mark.parametrize("state", ["PENDING", "DELIVERED", "SCHEDULED", "COLLECTED"])
def test_what_is_on_its_way_is_200(state: str) -> None:
    """Sent, waiting for its time or in a digest."""
    assert answer(response(EMAIL=state), read())[0] == 200


def test_content_for_one_channel_means_no_other_without_a_template() -> None:
    """A channel without template and content is told only where the send has no content for others."""
    given = read(sms=content_pb2.SmsContent(text="x"))
    assert answer(response(SMS=GOES, EMAIL="NO_TEMPLATE"), given)[0] == 200
    assert answer(response(EMAIL=GOES, SMS="NO_TEMPLATE"), given)[0] == 202
    assert answer(response(SMS=GOES, EMAIL="NO_TEMPLATE"), read())[0] == 202


def test_the_detail_of_a_template_that_failed_is_told() -> None:
    """Line and message help whoever wrote it."""
    _, body = answer(response(SMS=GOES, EMAIL="RENDER_FAILED", detail="line 3: unknown filter"), read())
    assert body["messages"] == [
        "EMAIL delivery is activated, but its template failed to render (line 3: unknown filter). Discarding EMAIL."
    ]


def warning(code: str, field: str, text: str) -> delivery_pb2.SendWarning:
    """Gives a warning of the services."""
    number = delivery_pb2.SendWarningCode.Value(f"SEND_WARNING_CODE_{code}")
    return delivery_pb2.SendWarning(code=number, field=field, text=text)


def test_warnings_have_the_callers_names() -> None:
    """In their texts, or before them; that all was skipped is told in the vendor's own words."""
    status, body = answer(
        response(
            warning(
                "MERGE_TAG_MISSING",
                "merge_tags.item",
                "the templates use 'item', which merge_tags does not have; it was rendered as nothing",
            ),
            warning("INVALID_TIMEZONE", "user.timezone", "user.timezone is not in the tz database; it was not used"),
            warning("INVALID_PUSH_KEYS", "user.web_push_subscriptions[0].keys", "cannot encrypt"),
            warning("TEMPLATE_NOT_FOUND", "template_id", "EMAIL has no template 'x'; its default template was used"),
            warning("ALL_CHANNELS_SKIPPED", "", "every channel was skipped"),
            EMAIL=GOES,
        ),
        read(),
    )
    assert status == 200
    assert body["messages"] == [
        "mergeTags.item: the templates use 'item', which mergeTags does not have; it was rendered as nothing",
        "user.timezone is not in the tz database; it was not used",
        "user.webPushTokens[0].sub.keys: cannot encrypt",
        "templateId: EMAIL has no template 'x'; its default template was used",
    ]


def test_content_that_went_nowhere_is_less() -> None:
    """A channel that the definition lacks was asked for by its content."""
    unused = warning("CONTENT_NOT_USED", "content.push", "the definition has no PUSH")
    status, body = answer(response(unused, EMAIL=GOES), read())
    assert status == 202
    assert body["messages"] == ["mobile_push: the definition has no PUSH"]


def test_a_channel_that_does_not_exist_here_is_less() -> None:
    """SLACK was asked for, so it is 202, with its message."""
    assert answer(response(EMAIL=GOES), read(is_less=True, messages=("SLACK",)))[0] == 202
    assert answer(response(EMAIL=GOES), read(messages=("sms.autoReply",))) == (
        200,
        {"trackingId": "01a2", "messages": ["sms.autoReply"]},
    )


def test_reasons_that_are_younger_than_this_gateway_are_told() -> None:
    """Services may know more of them."""
    given = response(EMAIL=GOES, SMS="NO_ADDRESS")
    given.deliveries[1].reason = 99  # type: ignore[assignment] # a number that is not in the enum yet
    status, body = answer(given, read())
    assert status == 202
    assert body["messages"] == ["SMS delivery is activated, but it cannot be delivered. Discarding SMS."]
