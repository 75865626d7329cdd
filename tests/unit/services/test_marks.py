from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.inbox.model import Mark, Marking, implied, is_unread, marking

SEEN, OPENED, CLICKED, ARCHIVED = Mark.SEEN, Mark.OPENED, Mark.CLICKED, Mark.ARCHIVED
FIRST, SECOND = Mark.FIRST_ACTION, Mark.SECOND_ACTION


def after(marks: frozenset[Mark], done: Marking) -> frozenset[Mark]:
    """Gives the marks that an item has once this is done."""
    change = done.change(marks)
    return (marks | change.sets) - change.clears if change else marks


@pytest.mark.parametrize(
    ("before", "sets", "clears", "expected"),
    [
        (set(), {SEEN}, set(), {SEEN}),
        (set(), {OPENED}, set(), {SEEN, OPENED}),
        (set(), {CLICKED}, set(), {SEEN, OPENED, CLICKED}),
        (set(), {ARCHIVED}, set(), {SEEN, ARCHIVED}),
        (set(), {FIRST}, set(), {SEEN, OPENED, FIRST}),
        (set(), {SECOND}, set(), {SEEN, OPENED, SECOND}),
        ({SEEN, OPENED, CLICKED}, set(), {SEEN}, set()),
        ({SEEN, OPENED, CLICKED}, set(), {OPENED}, set()),
        ({SEEN, OPENED, CLICKED}, set(), {CLICKED}, {SEEN, OPENED}),
        ({SEEN, ARCHIVED}, set(), {ARCHIVED}, {SEEN}),
        ({SEEN, ARCHIVED}, set(), {SEEN}, {ARCHIVED}),
        ({SEEN, OPENED, FIRST, SECOND}, set(), {FIRST}, {SEEN, OPENED, SECOND}),
        ({SEEN, OPENED, CLICKED}, {SEEN}, {OPENED}, {SEEN}),
        ({SEEN, OPENED, CLICKED}, {OPENED}, {CLICKED}, {SEEN, OPENED}),
        ({SEEN, ARCHIVED}, {OPENED}, {ARCHIVED}, {SEEN, OPENED}),
    ],
)
def test_what_marks_imply(before: set[Mark], sets: set[Mark], clears: set[Mark], expected: set[Mark]) -> None:
    """Each mark brings what it implies and takes what hangs on it, and nothing else."""
    assert after(frozenset(before), marking(sets, clears)) == expected


def test_a_change_holds_what_differs_alone() -> None:
    """A mark that is there is not set again, and one that is not there is not cleared."""
    change = marking({CLICKED, ARCHIVED}, {FIRST}).change(frozenset({SEEN, OPENED}))

    assert change
    assert (change.sets, change.clears) == (frozenset({CLICKED, ARCHIVED}), frozenset())
    assert not change.adds_reply
    assert not change.unread


def test_what_is_so_already_is_no_change() -> None:
    """Where nothing differs there is nothing to write."""
    assert marking({OPENED}, {FIRST}).change(frozenset({SEEN, OPENED})) is None
    assert marking((), {SEEN}).change(frozenset({ARCHIVED})) is None


def test_a_reply_opens_and_is_added_once() -> None:
    """A reply sets opened; one that equals the last is not added again, but opens again what was closed."""
    replying = marking((), (), reply="yes")
    opened = frozenset({SEEN, OPENED})

    first = replying.change(frozenset())
    assert first
    assert (first.sets, first.adds_reply, first.unread) == (opened, True, False)
    assert replying.change(opened, last_reply="yes") is None
    other = replying.change(opened, last_reply="no")
    assert other
    assert (other.sets, other.adds_reply) == (frozenset(), True)
    again = replying.change(frozenset(), last_reply="yes")
    assert again
    assert (again.sets, again.adds_reply) == (opened, False)


@pytest.mark.parametrize(
    ("marks", "unread"),
    [(set(), True), ({SEEN}, False), ({ARCHIVED}, False), ({SEEN, ARCHIVED}, False), ({FIRST, SECOND}, True)],
)
def test_what_counts_as_unread(marks: set[Mark], unread: bool) -> None:
    """An item counts until it is seen or archived."""
    assert is_unread(frozenset(marks)) is unread


_MARKS = st.frozensets(st.sampled_from(Mark))


@given(st.lists(st.tuples(_MARKS, _MARKS, st.sampled_from(["", "yes"])), max_size=12))
def test_no_sequence_of_marks_breaks_the_rules(steps: list[tuple[frozenset[Mark], frozenset[Mark], str]]) -> None:
    """Whatever is set and cleared, what is opened is seen, what is clicked is opened, and unread follows."""
    marks: frozenset[Mark] = frozenset()
    for sets, wished, reply in steps:
        clears = wished - implied(sets, reply=reply)
        done = marking(sets, clears, reply=reply)
        change = done.change(marks, last_reply=reply)
        marks = after(marks, done)

        assert sets <= marks
        assert not clears & marks
        assert OPENED not in marks or SEEN in marks
        assert CLICKED not in marks or OPENED in marks
        assert change is None or change.unread is (SEEN not in marks and ARCHIVED not in marks)
        assert done.change(marks, last_reply=reply) is None
