from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from carillon.v1 import inbox_pb2
from gateway.notificationapi.marks import Reply, mark_requests, read_all_request, read_request
from services.kernel.errors import InvalidArgument
from services.kernel.wire import to_timestamp

if TYPE_CHECKING:
    from collections.abc import Mapping

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
LATER = NOON + timedelta(hours=1)
OPENED, CLICKED = inbox_pb2.INBOX_MARK_OPENED, inbox_pb2.INBOX_MARK_CLICKED
ARCHIVED, FIRST = inbox_pb2.INBOX_MARK_ARCHIVED, inbox_pb2.INBOX_MARK_FIRST_ACTION

Told = list[tuple[list[int], list[int], datetime | None, str]]


def told(settings: Mapping[str, Any], reply: Reply | None = None) -> Told:
    """Gives of each request what it sets and clears, when, and what it replies."""
    requests = mark_requests("u1", ["a", "b"], settings, reply)
    assert all(one.user_id == "u1" and list(one.items.ids) == ["a", "b"] for one in requests)
    return [
        (
            list(one.set_marks),
            list(one.clear_marks),
            one.mark_time.ToDatetime(UTC) if one.HasField("mark_time") else None,
            one.reply,
        )
        for one in requests
    ]


@pytest.mark.parametrize(
    ("settings", "reply", "requests"),
    [
        ({"opened": NOON}, None, [([OPENED], [], NOON, "")]),
        ({"opened": True}, None, [([OPENED], [], None, "")]),
        ({"archived": None}, None, [([], [ARCHIVED], None, "")]),
        ({"opened": NOON, "archived": NOON}, None, [([OPENED, ARCHIVED], [], NOON, "")]),
        ({"opened": NOON, "archived": None}, None, [([OPENED], [ARCHIVED], NOON, "")]),
        ({"clicked": NOON, "opened": LATER}, None, [([OPENED], [], LATER, ""), ([CLICKED], [], NOON, "")]),
        (
            {"actioned1": LATER, "archived": None, "opened": NOON, "clicked": True},
            None,
            [([OPENED], [ARCHIVED], NOON, ""), ([CLICKED], [], None, ""), ([FIRST], [], LATER, "")],
        ),
        ({}, Reply("yes"), [([], [], None, "yes")]),
        ({}, Reply("yes", NOON), [([], [], NOON, "yes")]),
        ({"opened": NOON}, Reply("yes", NOON), [([OPENED], [], NOON, "yes")]),
        ({"opened": NOON}, Reply("yes", LATER), [([OPENED], [], NOON, ""), ([], [], LATER, "yes")]),
        ({"archived": None}, Reply("yes", LATER), [([], [ARCHIVED], LATER, "yes")]),
        ({"opened": None, "archived": NOON}, None, [([ARCHIVED], [OPENED], NOON, "")]),
    ],
)
def test_a_request_for_each_time(settings: dict[str, Any], reply: Reply | None, requests: Told) -> None:
    """What has one time is one request; `opened` goes before those that would set it at their own time."""
    assert told(settings, reply) == requests


@pytest.mark.parametrize(
    ("settings", "reply"),
    [
        ({}, None),
        ({"opened": None, "clicked": NOON}, None),
        ({"opened": None, "actioned2": True}, None),
        ({"opened": None}, Reply("yes")),
    ],
)
def test_what_contradicts_itself_is_refused(settings: dict[str, Any], reply: Reply | None) -> None:
    """Nothing to do, and to take back what is set; before any request is made."""
    with pytest.raises(InvalidArgument) as refused:
        told(settings, reply)

    assert [one.field for one in refused.value.violations] == ["opened"]


def test_to_read_is_to_open() -> None:
    """Read is opened, and so seen; all are those that are unread, up to a time."""
    one = inbox_pb2.MarkInboxRequest(user_id="u1", items=inbox_pb2.ItemIds(ids=["a"]), set_marks=[OPENED])
    until = inbox_pb2.ItemsUntil(time=to_timestamp(NOON), filter=inbox_pb2.InboxFilter(unread=True))

    assert read_request("u1", "a") == one
    assert read_all_request("u1", NOON) == inbox_pb2.MarkInboxRequest(user_id="u1", until=until, set_marks=[OPENED])
