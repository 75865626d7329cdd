"""The instrument that finds what is kept of each call."""

from __future__ import annotations

from tests.providers.retained import Objects, kept_of_each


class Kept:
    """What a leaky library keeps."""


def test_what_is_kept_of_each_call_is_found() -> None:
    """One object a call is found, by its type; what was made once is not."""
    kept: list[object] = []
    readings = [Objects.now()]
    for _ in range(2):
        kept += [Kept() for _ in range(100)]
        if len(readings) == 1:
            kept.append([[] for _ in range(100)])
        readings.append(Objects.now())

    assert kept_of_each(readings, calls=100) == {f"{Kept.__module__}.Kept": 100}


def test_what_nobody_holds_is_not_kept() -> None:
    """A cycle that waits for the garbage collector is not counted."""
    readings = [Objects.now()]
    for _ in range(2):
        for _ in range(100):
            one = Kept()
            one.itself = one  # type: ignore[attr-defined] # a cycle
        del one
        readings.append(Objects.now())

    assert kept_of_each(readings, calls=100) == {}
