"""Messages: one send of one notification to one user, with its deliveries and its inbox item."""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from services.kernel.errors import NotFound
from services.kernel.vocabulary import Channel
from services.messages.options import NO_OPTIONS, AttachmentState

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from services.kernel.origin import Origin
    from services.kernel.vocabulary import Priority
    from services.messages.options import SendOptions
    from services.notifications.model import Content


LOGGED_FOR = timedelta(hours=24)
"""How long a message is in the log at least, and its request_id remembered, however soon it ends."""


class DeliveryState(enum.StrEnum):
    """How far a delivery has come."""

    SCHEDULED = "SCHEDULED"
    PENDING = "PENDING"
    SENT = "SENT"
    DELIVERED = "DELIVERED"
    FAILED = "FAILED"
    SKIPPED = "SKIPPED"
    CANCELLED = "CANCELLED"


class SkipReason(enum.StrEnum):
    """Why a channel was skipped."""

    PREFERENCE_OFF = "PREFERENCE_OFF"
    DEFAULT_OFF = "DEFAULT_OFF"
    NOT_FORCED = "NOT_FORCED"
    NO_ADDRESS = "NO_ADDRESS"
    INVALID_ADDRESS = "INVALID_ADDRESS"
    NO_TEMPLATE = "NO_TEMPLATE"
    RENDER_FAILED = "RENDER_FAILED"
    CONTENT_TOO_LARGE = "CONTENT_TOO_LARGE"
    PROVIDER_NOT_CONFIGURED = "PROVIDER_NOT_CONFIGURED"
    CHANNEL_DISABLED = "CHANNEL_DISABLED"
    NOTIFICATION_DISABLED = "NOTIFICATION_DISABLED"
    EXPIRED = "EXPIRED"


class AttemptOutcome(enum.StrEnum):
    """How a call to a provider ended."""

    ACCEPTED = "ACCEPTED"
    TEMPORARY_FAILURE = "TEMPORARY_FAILURE"
    PERMANENT_FAILURE = "PERMANENT_FAILURE"
    TARGET_GONE = "TARGET_GONE"
    UNKNOWN = "UNKNOWN"


class WarningCode(enum.StrEnum):
    """What kind of thing a warning points at."""

    MERGE_TAG_MISSING = "MERGE_TAG_MISSING"
    NUMBER_PRECISION_LOST = "NUMBER_PRECISION_LOST"
    INVALID_ADDRESS = "INVALID_ADDRESS"
    INVALID_TIMEZONE = "INVALID_TIMEZONE"
    TEMPLATE_NOT_FOUND = "TEMPLATE_NOT_FOUND"
    ALL_CHANNELS_SKIPPED = "ALL_CHANNELS_SKIPPED"
    INVALID_PUSH_KEYS = "INVALID_PUSH_KEYS"
    CONTENT_NOT_USED = "CONTENT_NOT_USED"


@dataclass(frozen=True, slots=True)
class SendWarning:
    """Something that was accepted and is probably not what the caller meant."""

    code: WarningCode
    field: str
    text: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """One call to a provider."""

    start_time: datetime
    provider: str
    """``smtp``, ``twilio``, ``apns``, ``fcm``, ``web_push``; ``attachment``: a file that could not be fetched."""

    outcome: AttemptOutcome
    provider_id: str = ""
    """The provider's id for what it accepted."""

    detail: str = ""
    """The provider's own words; never credentials, never a whole token."""


@dataclass(frozen=True, slots=True)
class TargetDelivery:
    """What becomes of a push on one device or browser."""

    key: str
    """What tells the device from the user's others, also when the profile has changed; nobody outside sees it."""

    target: str
    """The end of its token or endpoint."""

    state: DeliveryState


@dataclass(frozen=True, slots=True)
class Delivery:
    """What becomes of a message on one channel."""

    channel: Channel
    state: DeliveryState
    reason: SkipReason | None = None
    detail: str = ""
    content: Content | None = None
    address: str = ""
    """The address that came with the send; empty: the profile's, read at each attempt."""

    next_time: datetime | None = None
    """When the next attempt is due; absent: none is."""

    update_time: datetime | None = None
    """When the state last changed; absent: when the message was made."""

    attempts: tuple[Attempt, ...] = ()
    """Oldest first: the first call of a provider, and the latest, 100 in all."""

    failed_count: int = 0
    """How many rounds of attempts left something to be tried again."""

    targets: tuple[TargetDelivery, ...] = ()
    """Of PUSH and WEB_PUSH, once they were tried."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a provider says later about something that it accepted."""

    provider_id: str
    state: DeliveryState
    """DELIVERED or FAILED."""

    detail: str


@dataclass(frozen=True, slots=True)
class InboxItem:
    """The in-app side of a message: all that a browser sees of it."""

    content: Content
    date: datetime
    notification_id: str
    sub_notification_id: str
    secondary_id: str
    category: str
    section: str
    label: str
    priority: Priority
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Call:
    """The call that made a message."""

    id: str
    """As in the log of the services."""

    origin: Origin


@dataclass(frozen=True, slots=True)
class Message:
    """One send of one notification to one user."""

    client_id: str
    user_id: str
    tracking_id: str
    notification_id: str
    sub_notification_id: str
    secondary_id: str
    group_id: str
    tags: tuple[str, ...]
    priority: Priority
    create_time: datetime
    expire_time: datetime
    deliveries: tuple[Delivery, ...]
    warnings: tuple[SendWarning, ...]
    item: InboxItem | None
    """Absent where INAPP_WEB was skipped."""

    request: bytes
    """The SendRequest without its request_id and the bytes of attachments, for the log."""

    request_id: str = ""
    """What makes a repetition of the send harmless; empty: nothing does."""

    request_hash: bytes = b""
    """SHA-256 of the request as it came: tells a repetition from another send under the same request_id."""

    category: str = ""
    """The definition's, when it was sent."""

    section: str = ""
    options: SendOptions = NO_OPTIONS
    schedule_time: datetime | None = None
    """When it fires. Absent: it was planned at once."""

    call: Call | None = None
    """Absent where it is composed anew, by what no caller asked for."""

    @property
    def delete_time(self) -> datetime:
        """When nothing of it is needed any more."""
        return max(self.expire_time, (self.schedule_time or self.create_time) + LOGGED_FOR)

    @property
    def is_due(self) -> bool:
        """Whether a delivery waits for its first attempt."""
        return any(delivery.state is DeliveryState.PENDING for delivery in self.deliveries)

    @property
    def needs_files(self) -> bool:
        """Whether there is to be a mail with attachments, now or later."""
        return bool(self.options.email.attachments) and any(map(needs_files, self.deliveries))

    @property
    def has_files_to_fetch(self) -> bool:
        """Whether attachments of it have to be fetched: at once, whenever the mail goes."""
        waiting = (one.state is AttachmentState.WAITING for one in self.options.email.attachments)
        return self.needs_files and any(waiting)


def goes_out(deliveries: Sequence[Delivery]) -> bool:
    """Tells whether a message that was just planned reaches its user, or may: what waits for its time does not yet."""
    return any(delivery.state in (DeliveryState.DELIVERED, DeliveryState.PENDING) for delivery in deliveries)


def needs_files(delivery: Delivery) -> bool:
    """Tells whether a delivery is a mail that still needs its attachments."""
    is_to_come = delivery.state in (DeliveryState.SCHEDULED, DeliveryState.PENDING)
    return delivery.channel is Channel.EMAIL and is_to_come


@dataclass(frozen=True, slots=True)
class Fired:
    """What a message becomes when its time comes."""

    deliveries: tuple[Delivery, ...]
    warnings: tuple[SendWarning, ...]
    item: InboxItem | None

    @property
    def is_due(self) -> bool:
        """Whether a delivery waits for its first attempt."""
        return any(delivery.state is DeliveryState.PENDING for delivery in self.deliveries)


def scheduled(deliveries: Sequence[Delivery], schedule_time: datetime) -> tuple[Delivery, ...]:
    """Gives what waits for its time where something would be sent now: it is planned and rendered then."""
    return tuple(
        delivery
        if delivery.state is DeliveryState.SKIPPED
        else Delivery(delivery.channel, DeliveryState.SCHEDULED, next_time=schedule_time)
        for delivery in deliveries
    )


def message_deleted(tracking_id: str) -> NotFound:
    """Makes the error for a repetition of a send whose message was deleted since: it brings nothing back."""
    return NotFound("message", tracking_id, reason="MESSAGE_DELETED")


@dataclass(frozen=True, slots=True)
class StoredRequest:
    """What is left of an earlier send under a request_id."""

    tracking_id: str
    request_hash: bytes
    is_deleted: bool
    """Whether the message was deleted; then only this is left of it."""

    has_item: bool
    deliveries: tuple[Delivery, ...]
    """As they stand now, without content; of a message that was scheduled, as the answer had them."""

    warnings: tuple[SendWarning, ...]


def as_answered(delivery: Delivery) -> Delivery:
    """Gives a delivery as the send's answer had it; a skip of a later time was none then."""
    if delivery.state is DeliveryState.SCHEDULED:
        return delivery
    if delivery.state is DeliveryState.SKIPPED and delivery.update_time is None:
        return delivery
    first = DeliveryState.DELIVERED if delivery.channel is Channel.INAPP_WEB else DeliveryState.PENDING
    return replace(delivery, state=first, reason=None, detail="")


@dataclass(frozen=True, slots=True)
class RetractionFilter:
    """Which items of one user are meant; what is empty does not narrow."""

    notification_id: str = ""
    part_ids: tuple[str, ...] = ()
    """Sub-notification or secondary ids: each matches either field."""

    tracking_ids: tuple[str, ...] = ()
    group_id: str = ""


@dataclass(frozen=True, slots=True)
class Retraction:
    """What was taken back."""

    retracted_count: int
    cancelled_count: int


def optional_fields(**fields: Any) -> dict[str, Any]:
    """Gives the fields that are not empty: what is absent is not stored."""
    return {name: value for name, value in fields.items() if value}
