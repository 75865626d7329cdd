"""The message of a plan: every planned channel rendered, the item that browsers see, the warnings. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from services.delivery.payloads import too_large
from services.kernel.vocabulary import Channel
from services.messages.model import (
    Delivery,
    DeliveryState,
    InboxItem,
    Message,
    SendWarning,
    SkipReason,
    WarningCode,
    scheduled,
)
from services.sender.plan import SkippedChannel
from services.sender.render import RenderError, render, template_values, used_roots
from services.users.model import merged

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from services.environments.model import Environment
    from services.messages.model import Call
    from services.notifications.model import Notification
    from services.sender.model import Send
    from services.sender.plan import Plan, PlannedChannel
    from services.users.model import User


def compose(
    send: Send,
    planned: Plan,
    notification: Notification,
    profile: User | None,
    environment: Environment,
    *,
    tracking_id: str,
    now: datetime,
    schedule_time: datetime | None = None,
    call: Call | None = None,
) -> Message:
    """Makes the message of a plan with every planned channel rendered, so that the log shows what was sent.

    With a ``schedule_time`` that is what would be sent now; `held_back` makes of it what waits.
    """
    values = template_values(send.merge_tags, merged(send.user, profile))
    deliveries = [_deliver(channel, send, values) for channel in planned.channels]
    warnings = [*send.warnings, *planned.warnings, *_missing_merge_tags(planned, values)]
    if all(delivery.state is DeliveryState.SKIPPED for delivery in deliveries):
        text = "every channel was skipped; the deliveries say why"
        warnings.append(SendWarning(WarningCode.ALL_CHANNELS_SKIPPED, "", text))
    priority = send.priority or notification.priority
    inapp = next((delivery.content for delivery in deliveries if delivery.channel is Channel.INAPP_WEB), None)
    return Message(
        client_id=environment.client_id,
        user_id=send.user.id,
        tracking_id=tracking_id,
        notification_id=notification.id,
        sub_notification_id=send.sub_notification_id,
        secondary_id=send.secondary_id,
        group_id=send.group_id,
        tags=send.tags,
        priority=priority,
        create_time=now,
        expire_time=send.expire_time or (schedule_time or now) + environment.retention,
        deliveries=tuple(deliveries),
        warnings=tuple(warnings),
        item=InboxItem(
            content=inapp,
            date=now,
            notification_id=notification.id,
            sub_notification_id=send.sub_notification_id,
            secondary_id=send.secondary_id,
            category=notification.category,
            section=notification.section,
            label=notification.label,
            priority=priority,
            tags=send.tags,
        )
        if inapp
        else None,
        request=send.request,
        request_id=send.request_id,
        request_hash=send.request_hash,
        category=notification.category,
        section=notification.section,
        options=send.options,
        schedule_time=schedule_time,
        call=call,
    )


def held_back(message: Message, schedule_time: datetime) -> Message:
    """Gives a message as it waits for its time: what was rendered is thrown away, to be planned and rendered then."""
    return replace(message, deliveries=scheduled(message.deliveries, schedule_time))


def without_item(deliveries: Sequence[Delivery], before: Sequence[Delivery]) -> tuple[Delivery, ...]:
    """Gives the deliveries of a message whose item was taken back before it could appear.

    Args:
        deliveries: As they are planned now.
        before: As they were until now; what says when the item was cancelled stays.
    """
    item = Delivery(Channel.INAPP_WEB, DeliveryState.CANCELLED)
    known = next((one for one in before if one.channel is item.channel and one.state is item.state), item)
    return tuple(
        known if one.channel is item.channel and one.state is not DeliveryState.SKIPPED else one for one in deliveries
    )


def with_attempts(deliveries: Sequence[Delivery], before: Sequence[Delivery]) -> tuple[Delivery, ...]:
    """Gives deliveries that are planned anew with what was tried for them already: to fetch the files of a mail."""
    attempts = {delivery.channel: delivery.attempts for delivery in before}
    return tuple(replace(delivery, attempts=attempts.get(delivery.channel, ())) for delivery in deliveries)


def left_out(deliveries: Sequence[Delivery], reason: SkipReason, detail: str = "") -> tuple[Delivery, ...]:
    """Gives deliveries of which none is made; those that were skipped or cancelled before keep why."""
    ended = (DeliveryState.SKIPPED, DeliveryState.CANCELLED)
    return tuple(
        delivery if delivery.state in ended else Delivery(delivery.channel, DeliveryState.SKIPPED, reason, detail)
        for delivery in deliveries
    )


def _deliver(planned: PlannedChannel | SkippedChannel, send: Send, values: Mapping[str, object]) -> Delivery:
    channel = planned.channel
    if isinstance(planned, SkippedChannel):
        return Delivery(channel, DeliveryState.SKIPPED, planned.reason, planned.detail)
    try:
        content = render(planned.template.content, values, send.replace)
    except RenderError as error:
        return Delivery(channel, DeliveryState.SKIPPED, error.reason, error.detail)
    if problem := too_large(content, send.options, send.notification_id):
        return Delivery(channel, DeliveryState.SKIPPED, SkipReason.CONTENT_TOO_LARGE, problem)
    # The item is in the inbox as soon as the message is stored; everything else waits for its provider.
    state = DeliveryState.DELIVERED if channel is Channel.INAPP_WEB else DeliveryState.PENDING
    return Delivery(channel, state, content=content, address=planned.address)


def _missing_merge_tags(planned: Plan, values: Mapping[str, object]) -> list[SendWarning]:
    """Gives a warning for each name that a chosen template reads and nobody gave a value for."""
    contents = [one.template.content for one in planned.channels if not isinstance(one, SkippedChannel)]
    missing = {name for content in contents for name in used_roots(content)} - values.keys()
    return [
        SendWarning(
            WarningCode.MERGE_TAG_MISSING,
            f"merge_tags.{name}",
            f"the templates use '{name}', which merge_tags does not have; it was rendered as nothing",
        )
        for name in sorted(missing)
    ]
