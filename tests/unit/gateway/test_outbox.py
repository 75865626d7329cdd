from __future__ import annotations

from gateway.session import Outbox


def test_frames_leave_in_their_order() -> None:
    """First in, first out."""
    outbox = Outbox(max_frames=3, max_bytes=100)
    assert [outbox.put(frame) for frame in (b"a", b"b", b"c")] == [True, True, True]

    assert [outbox.pop(), outbox.pop(), outbox.pop()] == [b"a", b"b", b"c"]


def test_the_number_of_frames_is_bounded() -> None:
    """The frame over the bound is not taken, and one that leaves makes room."""
    outbox = Outbox(max_frames=2, max_bytes=100)
    assert [outbox.put(b"a"), outbox.put(b"b"), outbox.put(b"c")] == [True, True, False]

    outbox.pop()

    assert outbox.put(b"c")


def test_the_number_of_bytes_is_bounded() -> None:
    """Large frames reach the bound of bytes before that of their number."""
    outbox = Outbox(max_frames=100, max_bytes=10)

    assert [outbox.put(frame) for frame in (b"next", b"12345", b"12345", b"1")] == [True, True, True, False]


def test_the_next_frame_takes_no_room_from_those_behind_it() -> None:
    """A welcome larger than the bound can be sent, and events can wait behind it."""
    outbox = Outbox(max_frames=100, max_bytes=10)

    assert [outbox.put(b"x" * 11), outbox.put(b"x" * 10), outbox.put(b"1")] == [True, True, False]


def test_clearing_makes_room_for_all() -> None:
    """An outbox that was dropped is as new."""
    outbox = Outbox(max_frames=1, max_bytes=10)
    outbox.put(b"x" * 10)

    outbox.clear()

    assert len(outbox) == 0
    assert outbox.put(b"x" * 10)
