"""Requests that many tests start from, and answers in a form that is easy to compare."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from google.protobuf.struct_pb2 import Struct

from carillon.v1 import channel_pb2, content_pb2, delivery_pb2, notifications_pb2, sender_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

USER = "userId_123abc"
ORDER = {"item": "Krabby Patty Burger", "address": "124 Conch Street", "orderId": "1234567890"}

EMAIL = channel_pb2.CHANNEL_EMAIL
INAPP_WEB = channel_pb2.CHANNEL_INAPP_WEB
SMS = channel_pb2.CHANNEL_SMS
CALL = channel_pb2.CHANNEL_CALL
PUSH = channel_pb2.CHANNEL_PUSH
OFF = channel_pb2.DELIVERY_OPTION_OFF
INSTANT = channel_pb2.DELIVERY_OPTION_INSTANT
ON = channel_pb2.DELIVERY_OPTION_ON


def struct(values: Mapping[str, Any]) -> Struct:
    """Makes free data."""
    made = Struct()
    made.update(dict(values))
    return made


def nested(levels: int, *, lists: bool = False) -> Struct:
    """Makes free data of so many levels, the root included."""
    value: Any = "leaf"
    for _ in range(levels - 1):
        value = [value] if lists else {"a": value}
    return struct({"a": value})


def send_request(
    notification_id: str = "order_tracking",
    *,
    user: Mapping[str, Any] | None = None,
    merge_tags: Mapping[str, Any] = ORDER,
    **fields: Any,
) -> sender_pb2.SendRequest:
    """Makes a send: where nothing else is said, the seeds' own example."""
    request = sender_pb2.SendRequest(notification_id=notification_id, merge_tags=struct(merge_tags), **fields)
    request.user.MergeFrom(sender_pb2.SendRequest(user={"id": USER} | dict(user or {})).user)  # type: ignore[arg-type] # a dict will do
    return request


def definition(
    notification_id: str,
    *templates: notifications_pb2.Template,
    channels: Iterable[int | notifications_pb2.ChannelSettings] = (INAPP_WEB,),
    **fields: Any,
) -> notifications_pb2.Notification:
    """Makes a definition; a channel may be given by its number alone."""
    settings: Any = [notifications_pb2.ChannelSettings(channel=c) if isinstance(c, int) else c for c in channels]  # type: ignore[arg-type] # an enum's number
    return notifications_pb2.Notification(id=notification_id, channels=settings, templates=templates, **fields)


def inapp(
    title: str = "Hello", *, template_id: str = "", language: str = "", **texts: Any
) -> notifications_pb2.Template:
    """Makes an in-app template."""
    content = content_pb2.Content(inapp=content_pb2.InappContent(title=title, **texts))
    return notifications_pb2.Template(id=template_id, language=language, content=content)


def sms(text: str = "Hello", *, template_id: str = "", language: str = "") -> notifications_pb2.Template:
    """Makes an SMS template."""
    content = content_pb2.Content(sms=content_pb2.SmsContent(text=text))
    return notifications_pb2.Template(id=template_id, language=language, content=content)


def outcomes(
    answer: sender_pb2.SendResponse | notifications_pb2.PreviewNotificationResponse,
) -> dict[str, str]:
    """Gives what became of each channel: its state, or the reason why it was skipped."""
    return {
        channel_pb2.Channel.Name(one.channel).removeprefix("CHANNEL_"): delivery_pb2.SkipReason.Name(
            one.reason
        ).removeprefix("SKIP_REASON_")
        if one.state == delivery_pb2.DELIVERY_STATE_SKIPPED
        else delivery_pb2.DeliveryState.Name(one.state).removeprefix("DELIVERY_STATE_")
        for one in answer.deliveries
    }


def warnings(answer: Any) -> list[tuple[str, str]]:
    """Gives code and field of each warning."""
    return [
        (delivery_pb2.SendWarningCode.Name(one.code).removeprefix("SEND_WARNING_CODE_"), one.field)
        for one in answer.warnings
    ]
