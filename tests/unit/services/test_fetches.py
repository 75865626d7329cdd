from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from services.delivery.fetches import FETCHED_WITHIN, failed, is_due, left_out_detail, next_fetch
from services.delivery.model import MAX_DETAIL_BYTES
from services.messages.documents import options_from_document, options_to_document
from services.messages.options import Attachment, AttachmentState, EmailOptions, SendOptions

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
WAITING = Attachment("a.pdf", "application/pdf", "https://a.test/", AttachmentState.WAITING)
STORED = Attachment("b.pdf", "", size=3)
LEFT_OUT = replace(WAITING, state=AttachmentState.LEFT_OUT, detail="404")


def fails(
    attachment: Attachment,
    now: datetime = NOW,
    *,
    is_final: bool = False,
    random: Callable[[], float] = lambda: 1.0,
) -> Attachment:
    """Gives an attachment of a message of NOW after a fetch that failed."""
    return failed(attachment, "503", now, create_time=NOW, is_final=is_final, random=random)


def test_a_fetch_is_tried_again_later_and_later() -> None:
    """The time until the next try doubles from a second to half a minute, and is spread down to none."""
    attachment, waits = WAITING, []
    for _ in range(7):
        attachment = fails(attachment)
        assert attachment.next_time is not None
        waits.append((attachment.next_time - NOW) / SECOND)

    assert waits == [1, 2, 4, 8, 16, 30, 30]
    assert (attachment.state, attachment.failed_count) == (AttachmentState.WAITING, 7)
    assert fails(attachment, random=lambda: 0.0).next_time == NOW


def test_what_is_final_or_late_is_left_out() -> None:
    """A final failure ends it, and so does one that the next try would come too late after."""
    last = NOW + FETCHED_WITHIN - SECOND

    assert fails(WAITING, last).state is AttachmentState.WAITING
    for given_up in (fails(WAITING, is_final=True), fails(WAITING, last + SECOND)):
        assert (given_up.state, given_up.detail, given_up.next_time) == (AttachmentState.LEFT_OUT, "503", None)


@pytest.mark.parametrize(
    ("attachment", "expected"),
    [
        (WAITING, True),
        (replace(WAITING, next_time=NOW), True),
        (replace(WAITING, next_time=NOW + SECOND), False),
        (STORED, False),
        (LEFT_OUT, False),
    ],
)
def test_what_waits_is_due_at_its_time(attachment: Attachment, expected: bool) -> None:
    """Only what is still to be fetched is due, at once unless it has a time."""
    assert is_due(attachment, NOW) is expected


def test_the_next_fetch_is_the_earliest() -> None:
    """The least of the times counts; there is none once everything is there or left out."""
    later, soon = replace(WAITING, next_time=NOW + 2 * SECOND), replace(WAITING, next_time=NOW + SECOND)

    assert next_fetch([later, STORED, soon], NOW) == NOW + SECOND
    assert next_fetch([later, WAITING], NOW) == NOW
    assert next_fetch([STORED, LEFT_OUT], NOW) is None


def test_the_log_names_what_is_missing() -> None:
    """Each file that was left out is named with its reason, within what a detail may have."""
    assert left_out_detail([STORED]) == ""
    assert left_out_detail([STORED, LEFT_OUT, replace(LEFT_OUT, filename="c.pdf", detail="cannot connect")]) == (
        "sent without a.pdf: 404; c.pdf: cannot connect"
    )
    assert len(left_out_detail([LEFT_OUT] * 500).encode()) <= MAX_DETAIL_BYTES


def test_attachments_are_stored_as_they_are() -> None:
    """Whatever state an attachment is in, it is read as it was written."""
    attachments = (WAITING, STORED, LEFT_OUT, fails(WAITING))
    options = SendOptions(email=EmailOptions(attachments=attachments))

    assert options_from_document(options_to_document(options)) == options
