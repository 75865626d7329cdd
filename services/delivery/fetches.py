"""When the files of a mail are fetched, when they are left out, and what the log says of it. Pure."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from services.delivery.model import shortened
from services.messages.options import AttachmentState

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from services.messages.options import Attachment

FETCHED_WITHIN = timedelta(minutes=5)
"""How long after the send a file is tried again; one that nobody has tried yet is tried later, too."""

_BASE = timedelta(seconds=1)
_MAX_BACKOFF = timedelta(seconds=30)


def is_due(attachment: Attachment, now: datetime) -> bool:
    """Tells whether an attachment is to be fetched now."""
    is_waiting = attachment.state is AttachmentState.WAITING
    return is_waiting and (attachment.next_time is None or attachment.next_time <= now)


def next_fetch(attachments: Sequence[Attachment], now: datetime) -> datetime | None:
    """Gives when the next fetch is due; None: there is nothing to fetch any more."""
    waiting = [one for one in attachments if one.state is AttachmentState.WAITING]
    return min((one.next_time or now for one in waiting), default=None)


def failed(
    attachment: Attachment,
    detail: str,
    now: datetime,
    *,
    create_time: datetime,
    is_final: bool,
    random: Callable[[], float],
) -> Attachment:
    """Gives an attachment whose fetch has failed: to be tried again, or left out.

    Args:
        attachment: As it was before.
        detail: How it failed.
        now: When it did.
        create_time: When the message was sent.
        is_final: Whether the same would fail again.
        random: Spreads what is tried again.
    """
    count = attachment.failed_count + 1
    at = now + min(_BASE * 2 ** min(count - 1, 10), _MAX_BACKOFF) * random()
    if is_final or at > create_time + FETCHED_WITHIN:
        return replace(attachment, state=AttachmentState.LEFT_OUT, failed_count=count, next_time=None, detail=detail)
    return replace(attachment, failed_count=count, next_time=at)


def left_out_detail(attachments: Sequence[Attachment]) -> str:
    """Gives what the log says of a mail that went without some of its attachments."""
    missing = [f"{one.filename}: {one.detail}" for one in attachments if one.state is AttachmentState.LEFT_OUT]
    return shortened(f"sent without {'; '.join(missing)}") if missing else ""
