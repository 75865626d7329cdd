"""Messages between the model and protobuf."""

from __future__ import annotations

from typing import TYPE_CHECKING

from carillon.v1 import delivery_pb2
from services.kernel.wire import EnumCodec
from services.messages.model import DeliveryState, SkipReason, WarningCode
from services.notifications.convert import CHANNELS

if TYPE_CHECKING:
    from services.messages.model import Delivery, SendWarning

_STATES = EnumCodec(DeliveryState, delivery_pb2.DeliveryState, prefix="DELIVERY_STATE_")
_REASONS = EnumCodec(SkipReason, delivery_pb2.SkipReason, prefix="SKIP_REASON_")
_WARNINGS = EnumCodec(WarningCode, delivery_pb2.SendWarningCode, prefix="SEND_WARNING_CODE_")


def delivery_to_proto(delivery: Delivery) -> delivery_pb2.Delivery:
    """Gives a delivery as a send answers it: without content and attempts, which are the log's."""
    return delivery_pb2.Delivery(
        channel=CHANNELS.to_wire(delivery.channel),
        state=_STATES.to_wire(delivery.state),
        reason=_REASONS.to_wire(delivery.reason) if delivery.reason else delivery_pb2.SKIP_REASON_UNSPECIFIED,
        detail=delivery.detail,
    )


def warning_to_proto(warning: SendWarning) -> delivery_pb2.SendWarning:
    """Gives a warning as it is answered."""
    return delivery_pb2.SendWarning(code=_WARNINGS.to_wire(warning.code), field=warning.field, text=warning.text)
