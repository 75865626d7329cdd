"""What only some channels understand: the options of a send, as they are kept with its message."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime, timedelta


class AttachmentState(enum.StrEnum):
    """Where the bytes of an attachment are."""

    WAITING = "WAITING"
    """Where its URL says: still to be fetched."""

    STORED = "STORED"
    LEFT_OUT = "LEFT_OUT"
    """Nowhere: the mail goes without it."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file of a mail. Its bytes lie apart, under the message's id and the place of the attachment."""

    filename: str
    content_type: str
    """Empty: guessed from the filename's extension."""

    url: str = ""
    """Where the bytes come from; empty: they came with the send and are stored."""

    state: AttachmentState = AttachmentState.STORED
    size: int = 0
    """How many bytes are stored."""

    failed_count: int = 0
    """How often it could not be fetched."""

    next_time: datetime | None = None
    """When it is fetched again; absent: at once, where it is WAITING."""

    detail: str = ""
    """Why it was left out."""


@dataclass(frozen=True, slots=True)
class EmailOptions:
    """Changes the envelope of a mail."""

    reply_to_addresses: tuple[str, ...] = ()
    cc_addresses: tuple[str, ...] = ()
    bcc_addresses: tuple[str, ...] = ()
    from_name: str = ""
    from_address: str = ""
    attachments: tuple[Attachment, ...] = ()


@dataclass(frozen=True, slots=True)
class ApnOptions:
    """Sets the headers and the aps dictionary of a push over APNs."""

    expire_time: datetime | None = None
    """The epoch itself: try once. None: APNs' own default."""

    priority: int = 0
    """10, 5 or 1; 0: APNs' default."""

    collapse_id: str = ""
    thread_id: str = ""
    badge: int | None = None
    sound: str = ""
    content_available: bool = False


class AndroidPriority(enum.StrEnum):
    """Whether a push wakes an Android device."""

    NORMAL = "NORMAL"
    HIGH = "HIGH"


@dataclass(frozen=True, slots=True)
class FcmOptions:
    """Sets how FCM treats a push to an Android device."""

    collapse_key: str = ""
    priority: AndroidPriority | None = None
    """None: HIGH."""

    ttl: timedelta | None = None
    """None: FCM's default, 28 days. Zero: now or never."""

    restricted_package_name: str = ""


class Urgency(enum.StrEnum):
    """What a browser push may cost the device (RFC 8030, section 5.3)."""

    VERY_LOW = "VERY_LOW"
    LOW = "LOW"
    NORMAL = "NORMAL"
    HIGH = "HIGH"


@dataclass(frozen=True, slots=True)
class WebPushOptions:
    """Sets the headers of a browser push."""

    ttl: timedelta | None = None
    """None: 28 days."""

    urgency: Urgency | None = None
    """None: NORMAL."""

    topic: str = ""


@dataclass(frozen=True, slots=True)
class SendOptions:
    """The options of all channels."""

    email: EmailOptions = EmailOptions()
    apn: ApnOptions = ApnOptions()
    fcm: FcmOptions = FcmOptions()
    web_push: WebPushOptions = WebPushOptions()


NO_OPTIONS = SendOptions()
