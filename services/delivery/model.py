"""What a provider is asked and what it answers. Pure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from services.kernel.vocabulary import Channel
from services.messages.model import AttemptOutcome, DeliveryState
from services.messages.options import NO_OPTIONS
from services.users.model import PushToken, WebPushSubscription

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from services.environments.model import Environment
    from services.messages.options import SendOptions
    from services.notifications.model import Content

MAX_DETAIL_BYTES = 1024

ATTACHMENT = "attachment"
"""What a file that could not be fetched has in the log in place of a provider."""

Target = str | PushToken | WebPushSubscription
"""Where a provider sends to: a mail address, a number in E.164, a device or a browser."""


@dataclass(frozen=True, slots=True)
class File:
    """An attachment, with its bytes."""

    filename: str
    content_type: str
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """What one call hands to a provider: one channel of a message, for one target."""

    environment: Environment
    user_id: str
    tracking_id: str
    notification_id: str
    content: Content
    target: Target
    expire_time: datetime
    """When the message is over; what a provider keeps longer than that is of no use to anybody."""

    sub_notification_id: str = ""
    item_id: str = ""
    """The inbox item of the same message; empty where it has none."""

    options: SendOptions = NO_OPTIONS
    files: tuple[File, ...] = ()
    retracts: bool = False
    """Whether to close what is shown of the item, instead of showing it; of WEB_PUSH only."""


@dataclass(frozen=True, slots=True)
class Answer:
    """How a call to a provider ended."""

    outcome: AttemptOutcome
    provider_id: str = ""
    """The provider's id for what it accepted."""

    detail: str = ""
    """The provider's own words: at most 1,024 bytes are kept. Never credentials, never a whole token."""

    retry_after: timedelta | None = None
    """How long the provider wants to be left alone; only with TEMPORARY_FAILURE."""

    gone_time: datetime | None = None
    """Since when the provider knows that the target is gone; only with TARGET_GONE. One registered later stays."""


class ProviderCheckError(Exception):
    """A provider does not work as it is configured; one line that says what to mend, without credentials."""


class Provider(Protocol):
    """One provider's protocol, on connections of its own; entered by ``async with`` before the first call."""

    name: str
    """As the log has it: ``smtp``, ``twilio``, ``apns``, ``fcm``, ``web_push``, ``console``."""

    deadline_s: float
    """After how long a call is given up: nobody knows then what became of it."""

    max_in_flight: int
    """How many calls run at once; the others wait, and cost other providers nothing."""

    async def deliver(self, outgoing: Outgoing) -> Answer:
        """Makes one call. Whatever the provider says, or does not say, is an answer; raises for defects only.

        A failure before the provider can have taken anything is TEMPORARY_FAILURE, one after that UNKNOWN. The worker
        cancels a call at its deadline and records UNKNOWN.
        """
        ...

    async def check(self) -> None:
        """Connects and authenticates, and sends nothing to anybody.

        Raises:
            ProviderCheckError: If that fails.
        """
        ...


def target_key(target: Target) -> str:
    """Gives what tells a target from the user's others, without giving it away."""
    return hashlib.sha256(_identity(target).encode()).hexdigest()[:32]


def target_end(target: Target) -> str:
    """Gives the last 8 characters of a token or an endpoint: enough to tell two apart, too little to use."""
    return _identity(target)[-8:]


def _identity(target: Target) -> str:
    match target:
        case PushToken():
            return target.token
        case WebPushSubscription():
            return target.endpoint
        case _:
            return target


def shortened(detail: str) -> str:
    """Gives what is kept of a provider's words: one line, at most 1,024 bytes."""
    line = " ".join(detail.split())
    return line.encode(errors="replace")[:MAX_DETAIL_BYTES].decode(errors="ignore")


FINAL = frozenset(
    {
        DeliveryState.SENT,
        DeliveryState.DELIVERED,
        DeliveryState.FAILED,
        DeliveryState.SKIPPED,
        DeliveryState.CANCELLED,
    }
)
"""The states that no attempt follows, but for the open targets of a push."""

TO_PROVIDERS = frozenset(Channel) - {Channel.INAPP_WEB}
"""The channels that a provider carries."""
