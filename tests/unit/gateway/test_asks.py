from __future__ import annotations

import pytest

from carillon.v1 import inbox_pb2
from gateway.asks import frame_path, list_to_proto
from gateway.requests import MARKS, VIEWS, Filter, ListItems


def test_frames_have_the_names_of_the_contract() -> None:
    """Every mark and view of the contract can be said in a frame, and no other."""
    marks = [name.removeprefix("INBOX_MARK_") for name in inbox_pb2.InboxMark.keys()]  # noqa: SIM118 - no mapping
    views = [name.removeprefix("INBOX_VIEW_") for name in inbox_pb2.InboxView.keys()]  # noqa: SIM118 - no mapping

    assert marks == ["UNSPECIFIED", *MARKS]
    assert views == ["UNSPECIFIED", *VIEWS]


def test_what_is_absent_stays_absent() -> None:
    """A bare list asks for its page alone; unread items and read ones are two things."""
    assert list_to_proto(ListItems("1"), "u") == inbox_pb2.ListInboxRequest(
        user_id="u", page_size=50, filter=inbox_pb2.InboxFilter()
    )
    assert list_to_proto(ListItems("1", narrowed=Filter(unread=False)), "u").filter.HasField("unread")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("items.ids[3]", "ids[3]"),
        ("items", "ids"),
        ("set_marks[0]", "set[0]"),
        ("clear_marks", "clear"),
        ("page_size", "limit"),
        ("until.filter.tags[1]", "until.filter.tags[1]"),
        ("", ""),
    ],
)
def test_paths_are_those_of_the_frame(path: str, expected: str) -> None:
    """What is wrong is named as the client wrote it."""
    assert frame_path(path) == expected
