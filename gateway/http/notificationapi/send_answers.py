"""What a send is answered: its status, and its messages in NotificationAPI's words. Pure."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from carillon.v1 import channel_pb2, delivery_pb2

if TYPE_CHECKING:
    from carillon.v1 import sender_pb2
    from gateway.http.notificationapi.send_to_proto import ReadSend
    from gateway.http.notificationapi.spelling import Spelling

NOTHING_SENT = "All delivery channels are disabled/discarded. Aborted."

_ADDRESSES = {
    channel_pb2.CHANNEL_EMAIL: "email",
    channel_pb2.CHANNEL_SMS: "number",
    channel_pb2.CHANNEL_CALL: "number",
    channel_pb2.CHANNEL_PUSH: "pushTokens",
    channel_pb2.CHANNEL_WEB_PUSH: "webPushTokens",
}
_CONTENTS = {
    channel_pb2.CHANNEL_EMAIL: "email",
    channel_pb2.CHANNEL_INAPP_WEB: "inapp",
    channel_pb2.CHANNEL_SMS: "sms",
    channel_pb2.CHANNEL_CALL: "call",
    channel_pb2.CHANNEL_PUSH: "push",
    channel_pb2.CHANNEL_WEB_PUSH: "web_push",
}
_MEANT = {
    delivery_pb2.SKIP_REASON_PREFERENCE_OFF: "the user has turned it off",
    delivery_pb2.SKIP_REASON_DEFAULT_OFF: "it is off by default, and the user has not turned it on",
    delivery_pb2.SKIP_REASON_NOT_FORCED: "forceChannels does not name it",
    delivery_pb2.SKIP_REASON_THROTTLED: "the user has had this notification too often",
    delivery_pb2.SKIP_REASON_DEDUPLICATED: "the user has had the same already",
    delivery_pb2.SKIP_REASON_STACKED: "it is folded into an item that is there",
}
"""Why a channel is left out as the caller, the user or the definition wants it: told only where nothing goes out."""

_DISCARDED = {
    delivery_pb2.SKIP_REASON_NO_ADDRESS: "the user's {address} is not provided",
    delivery_pb2.SKIP_REASON_INVALID_ADDRESS: "the user's {address} is not valid",
    delivery_pb2.SKIP_REASON_NO_TEMPLATE: "there is no template for it",
    delivery_pb2.SKIP_REASON_RENDER_FAILED: "its template failed to render",
    delivery_pb2.SKIP_REASON_CONTENT_TOO_LARGE: "its content is too large",
    delivery_pb2.SKIP_REASON_PROVIDER_NOT_CONFIGURED: "no provider is configured for it",
    delivery_pb2.SKIP_REASON_CHANNEL_DISABLED: "it is switched off in this environment",
    delivery_pb2.SKIP_REASON_NOTIFICATION_DISABLED: "the notification is switched off",
    delivery_pb2.SKIP_REASON_EXPIRED: "the message has expired",
}
"""Why a channel is left out that the caller counts on."""


def answer(response: sender_pb2.SendResponse, read: ReadSend) -> tuple[HTTPStatus, dict[str, Any]]:
    """Gives status and body: 202 where nothing is delivered, or less than was asked for."""
    skipped = [one for one in response.deliveries if one.state == delivery_pb2.DELIVERY_STATE_SKIPPED]
    is_nothing = len(skipped) == len(response.deliveries)
    told = [one for one in skipped if is_nothing or _is_discarded(one, read)]
    is_less = is_nothing or bool(told) or read.is_less
    is_less = is_less or any(
        warning.code == delivery_pb2.SEND_WARNING_CODE_CONTENT_NOT_USED for warning in response.warnings
    )
    messages = [
        *map(_discarded, told),
        *(_warning(warning, read.spelling) for warning in response.warnings if not _is_told(warning)),
        *read.messages,
        *([NOTHING_SENT] if is_nothing else ()),
    ]
    body = {"trackingId": response.tracking_id, "messages": messages}
    return HTTPStatus.ACCEPTED if is_less else HTTPStatus.OK, body


def warnings_of(response: sender_pb2.UpdateScheduleResponse, read: ReadSend) -> list[str]:
    """Gives the messages of a changed schedule."""
    return [*(_warning(one, read.spelling) for one in response.warnings), *read.messages]


def _is_discarded(delivery: delivery_pb2.Delivery, read: ReadSend) -> bool:
    if delivery.reason == delivery_pb2.SKIP_REASON_NO_TEMPLATE:
        # Content for some channels means those, whatever else the definition has.
        content = read.request.content
        return not content.ListFields() or content.HasField(_CONTENTS[delivery.channel])  # type: ignore[arg-type] # one of its fields
    return delivery.reason not in _MEANT


def _discarded(delivery: delivery_pb2.Delivery) -> str:
    channel = channel_pb2.Channel.Name(delivery.channel).removeprefix("CHANNEL_")
    reason = _DISCARDED.get(delivery.reason) or _MEANT.get(delivery.reason) or "it cannot be delivered"
    text = reason.format(address=_ADDRESSES.get(delivery.channel, "address"))
    detail = f" ({delivery.detail})" if delivery.detail else ""
    return f"{channel} delivery is activated, but {text}{detail}. Discarding {channel}."


def _is_told(warning: delivery_pb2.SendWarning) -> bool:
    return warning.code == delivery_pb2.SEND_WARNING_CODE_ALL_CHANNELS_SKIPPED


def _warning(warning: delivery_pb2.SendWarning, spelling: Spelling) -> str:
    """Gives a warning with the caller's name for its field, which some texts have and others leave to the field."""
    if not warning.field:
        return warning.text
    name = spelling.name(warning.field)
    text = warning.text.replace(warning.field, name)
    if warning.code == delivery_pb2.SEND_WARNING_CODE_MERGE_TAG_MISSING:
        text = text.replace("which merge_tags does", f"which {spelling.parameters} does")
    if warning.code == delivery_pb2.SEND_WARNING_CODE_CONTENT_NOT_USED:
        text = text.replace("force_channels", "forceChannels")
    return text if name in text else f"{name}: {text}"
