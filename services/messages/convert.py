"""Messages between the model and protobuf."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from carillon.v1 import delivery_pb2, inbox_pb2, messages_pb2, sender_pb2
from services.delivery.model import shortened
from services.kernel import validation
from services.kernel.wire import EnumCodec, from_timestamp, refuse_unbuilt, to_timestamp
from services.messages.entry import LogFilter
from services.messages.model import AttemptOutcome, DeliveryState, Report, SkipReason, WarningCode
from services.notifications.convert import CHANNELS, PRIORITIES, content_to_proto

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.kernel.origin import Origin
    from services.kernel.validation import Violations
    from services.messages.entry import ItemMarks, LogEntry
    from services.messages.model import Delivery, SendWarning

_MAX_VALUES = 100
_MAX_IDS = 1000
_MAX_PROVIDER_ID_BYTES = 256
_REPORTED = (DeliveryState.DELIVERED, DeliveryState.FAILED)
_UNBUILT = ("broadcast_ids", "request_conditions")
_IDS = (
    "user_ids",
    "notification_ids",
    "sub_notification_ids",
    "group_ids",
    "tags",
    "tracking_ids",
    "request_ids",
    "secondary_ids",
    "categories",
    "sections",
)

_STATES = EnumCodec(DeliveryState, delivery_pb2.DeliveryState, prefix="DELIVERY_STATE_")
_OUTCOMES = EnumCodec(AttemptOutcome, delivery_pb2.AttemptOutcome, prefix="ATTEMPT_OUTCOME_")
_REASONS = EnumCodec(SkipReason, delivery_pb2.SkipReason, prefix="SKIP_REASON_")
_WARNINGS = EnumCodec(WarningCode, delivery_pb2.SendWarningCode, prefix="SEND_WARNING_CODE_")


def delivery_to_proto(delivery: Delivery) -> delivery_pb2.Delivery:
    """Gives a delivery as a send answers it: without content and attempts, which are the log's."""
    return delivery_pb2.Delivery(
        channel=CHANNELS.to_wire(delivery.channel),
        state=_STATES.to_wire(delivery.state),
        reason=_REASONS.to_wire(delivery.reason) if delivery.reason else delivery_pb2.SKIP_REASON_UNSPECIFIED,
        detail=delivery.detail,
        next_time=to_timestamp(delivery.next_time),
    )


def warning_to_proto(warning: SendWarning) -> delivery_pb2.SendWarning:
    """Gives a warning as it is answered."""
    return delivery_pb2.SendWarning(code=_WARNINGS.to_wire(warning.code), field=warning.field, text=warning.text)


def filter_from_proto(proto: messages_pb2.MessageFilter, violations: Violations) -> LogFilter:
    """Reads what narrows the log."""
    refuse_unbuilt(proto, _UNBUILT, violations, prefix="filter.")
    return LogFilter(
        **{name: _values(proto, name, violations) for name in _IDS},
        channels=tuple(
            channel
            for i, number in enumerate(_values(proto, "channels", violations))
            if (channel := CHANNELS.from_wire(number, violations, field=f"filter.channels[{i}]"))
        ),
        states=_names(proto, "states", delivery_pb2.DeliveryState, violations),
        reasons=_names(proto, "reasons", delivery_pb2.SkipReason, violations),
        start_time=from_timestamp(proto.start_time, violations, field="filter.start_time")
        if proto.HasField("start_time")
        else None,
        end_time=from_timestamp(proto.end_time, violations, field="filter.end_time")
        if proto.HasField("end_time")
        else None,
    )


def is_full_from_proto(view: int, violations: Violations) -> bool:
    """Reads whether the whole of each message is asked for."""
    if view not in messages_pb2.MessageView.values():
        violations.add("view", f"has the unknown value {view}", "UNKNOWN_VALUE")
    return view == messages_pb2.MESSAGE_VIEW_FULL


def report_from_proto(request: messages_pb2.ReportDeliveryRequest, violations: Violations) -> Report:
    """Reads what a provider reports."""
    provider_id = validation.text(
        request.provider_id, violations, field="provider_id", max_bytes=_MAX_PROVIDER_ID_BYTES, required=True
    )
    state = _STATES.from_wire(request.state, violations, field="state")
    if state and state not in _REPORTED:
        violations.add("state", f"must be DELIVERED or FAILED, but is {state}")
    return Report(provider_id, state or DeliveryState.FAILED, shortened(request.detail))


def entry_to_proto(entry: LogEntry) -> messages_pb2.Message:
    """Gives a message as the log answers it."""
    return messages_pb2.Message(
        tracking_id=entry.tracking_id,
        user_id=entry.user_id,
        notification_id=entry.notification_id,
        deliveries=map(_logged_delivery, entry.deliveries),
        create_time=to_timestamp(entry.create_time),
        expire_time=to_timestamp(entry.expire_time),
        schedule_time=to_timestamp(entry.schedule_time),
        sub_notification_id=entry.sub_notification_id,
        secondary_id=entry.secondary_id,
        request_id=entry.request_id,
        group_id=entry.group_id,
        tags=entry.tags,
        priority=PRIORITIES.to_wire(entry.priority),
        category=entry.category,
        section=entry.section,
        warnings=map(warning_to_proto, entry.warnings),
        item_marks=_marks(entry.tracking_id, entry.marks) if entry.marks else None,
        call_id=entry.call.id if entry.call else "",
        origin=_origin(entry.call.origin) if entry.call else None,
        request=_request(entry) if entry.request else None,
    )


def _logged_delivery(delivery: Delivery) -> delivery_pb2.Delivery:
    proto = delivery_to_proto(delivery)
    proto.MergeFrom(
        delivery_pb2.Delivery(
            content=content_to_proto(delivery.content) if delivery.content else None,
            attempts=[
                delivery_pb2.Attempt(
                    start_time=to_timestamp(attempt.start_time),
                    provider=attempt.provider,
                    outcome=_OUTCOMES.to_wire(attempt.outcome),
                    provider_id=attempt.provider_id,
                    detail=attempt.detail,
                )
                for attempt in delivery.attempts
            ],
            targets=[
                delivery_pb2.TargetDelivery(target=target.target, state=_STATES.to_wire(target.state))
                for target in delivery.targets
            ],
            update_time=to_timestamp(delivery.update_time),
        )
    )
    return proto


def _marks(item_id: str, marks: ItemMarks) -> messages_pb2.ItemMarks:
    return messages_pb2.ItemMarks(
        item_id=item_id,
        replies=[inbox_pb2.InboxReply(time=to_timestamp(reply.time), text=reply.text) for reply in marks.replies],
        **{name: to_timestamp(time) for name, time in marks.times.items()},
    )


def _origin(origin: Origin) -> messages_pb2.MessageOrigin:
    return messages_pb2.MessageOrigin(protocol=origin.protocol, key_id=origin.key_id, user_agent=origin.user_agent)


def _request(entry: LogEntry) -> sender_pb2.SendRequest:
    request = sender_pb2.SendRequest.FromString(entry.request)
    # It is stored apart, since it is no part of what a repetition is compared by.
    request.request_id = entry.request_id
    for attachment in request.options.email.attachments if request.HasField("options") else ():
        attachment.ClearField("content")
    return request


def _values(proto: messages_pb2.MessageFilter, name: str, violations: Violations) -> tuple[Any, ...]:
    values = getattr(proto, name)
    most = _MAX_IDS if name in ("tracking_ids", "request_ids") else _MAX_VALUES
    if len(values) > most:
        violations.add(f"filter.{name}", f"must be at most {most}, but are {len(values)}", "TOO_MANY")
        return ()
    # Each once, in the order given.
    return tuple(dict.fromkeys(values))


def _names(proto: messages_pb2.MessageFilter, name: str, theirs: Any, violations: Violations) -> tuple[str, ...]:
    """Reads enum values by the short names that are stored; those that nothing has yet are values like any other."""
    numbers: Sequence[int] = _values(proto, name, violations)
    prefix = theirs.Name(0).removesuffix("UNSPECIFIED")
    for i, number in enumerate(numbers):
        if number == 0:
            violations.add(f"filter.{name}[{i}]", "must not be UNSPECIFIED", "REQUIRED")
        elif number not in theirs.values():
            violations.add(f"filter.{name}[{i}]", f"has the unknown value {number}", "UNKNOWN_VALUE")
    return tuple(theirs.Name(number).removeprefix(prefix) for number in numbers if number in theirs.values())
