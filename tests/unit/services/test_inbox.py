import pytest
from hypothesis import given
from hypothesis import strategies as st

from carillon.v1 import inbox_pb2
from services.inbox.convert import boxes_from_proto, filter_from_proto
from services.inbox.model import Box, ItemFilter
from services.kernel.validation import Violations
from tests.unit.services.builders import reasons


@pytest.mark.parametrize(
    ("view", "expected"),
    [(0, (Box.INBOX,)), (1, (Box.INBOX,)), (2, (Box.ARCHIVE,)), (3, (Box.INBOX, Box.ARCHIVE))],
)
def test_a_view_is_some_boxes(view: int, expected: tuple[Box, ...]) -> None:
    """Each view names its boxes; the default leaves the archive out."""
    names = {0: "UNSPECIFIED", 1: "INBOX", 2: "ARCHIVE", 3: "ALL"}
    number = inbox_pb2.InboxView.Value(f"INBOX_VIEW_{names[view]}")

    assert boxes_from_proto(number, Violations()) == expected


def test_an_unknown_view_is_a_violation() -> None:
    """A number that no view has is refused."""
    violations = Violations()

    boxes_from_proto(99, violations)

    assert reasons(violations) == {"view": "UNKNOWN_VALUE"}


@given(st.none() | st.booleans())
def test_unread_may_be_left_open(unread: bool | None) -> None:
    """A filter tells "unread", "read" and "either" apart."""
    violations = Violations()
    proto = inbox_pb2.InboxFilter(unread=unread, tags=["t"])

    assert filter_from_proto(proto, violations) == ItemFilter(unread=unread, tags=("t",))
    assert not violations


@pytest.mark.parametrize("name", ["notification_ids", "categories", "sections", "tags"])
def test_a_filter_is_bounded(name: str) -> None:
    """A filter has at most 100 values of a kind."""
    violations = Violations()
    proto = inbox_pb2.InboxFilter()
    values = getattr(proto, name)
    values.extend(["a"] * 100)
    filter_from_proto(proto, violations)
    assert not violations

    values.append("a")
    filter_from_proto(proto, violations)

    assert reasons(violations) == {f"filter.{name}": "TOO_MANY"}
