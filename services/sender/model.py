"""What a caller asks for with a send."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from services.messages.options import NO_OPTIONS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from services.kernel.vocabulary import Channel, Json, Priority
    from services.messages.model import SendWarning
    from services.messages.options import SendOptions
    from services.notifications.model import Content
    from services.sender.civil_time import CivilTime
    from services.users.model import User


@dataclass(frozen=True, slots=True)
class Send:
    """One checked request to send one notification to one user."""

    notification_id: str
    user: User
    """What the send says about its user; addresses that cannot be are left out."""

    bad_fields: frozenset[str]
    """The fields of the user that were left out."""

    merge_tags: Mapping[str, Json]
    sub_notification_id: str
    template_id: str
    force_channels: frozenset[Channel]
    replace: Mapping[str, str]
    secondary_id: str
    group_id: str
    tags: tuple[str, ...]
    priority: Priority | None
    """None: the definition's."""

    warnings: tuple[SendWarning, ...]
    request: bytes
    """The request without its request_id and the bytes of attachments, for the log."""

    request_id: str = ""
    """What makes a repetition harmless; empty: nothing does."""

    options: SendOptions = NO_OPTIONS
    schedule: datetime | CivilTime | None = None
    """When to send; None: now."""

    expire_time: datetime | None = None
    """When item and log entry end; None: by the environment's retention."""

    request_hash: bytes = b""
    """SHA-256 of the request as it came but for its request_id, where there is one."""

    content: Mapping[Channel, Content] = field(default_factory=dict)
    """What stands in for the templates' content, whole or not."""

    contents: Mapping[int, bytes] = field(default_factory=dict, repr=False)
    """The bytes of attachments, by their place among all."""

    @property
    def content_bytes(self) -> int:
        """How much content of its own it brings, or a little more."""
        return len(self.request) if self.content else 0
