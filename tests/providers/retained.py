"""What a library keeps of each call: the objects of this process counted by type, before and after many calls."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Sized
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_PAGE_BYTES = 4096


@dataclass(frozen=True)
class Objects:
    """The objects that there are, by the full names of their types; only those that can hold others."""

    counts: Counter[str]

    @classmethod
    def now(cls) -> Objects:
        """Counts them, without those that nobody holds any more."""
        # Twice: what the first finds may have held others by a finalizer.
        gc.collect()
        gc.collect()
        return cls(Counter(f"{type(one).__module__}.{type(one).__qualname__}" for one in gc.get_objects()))

    def kept_since(self, before: Objects, *, calls: int) -> dict[str, int]:
        """Gives the types of which at least one object more is there for every 50 calls that were made between."""
        grown = self.counts - before.counts
        return {name: count for name, count in grown.items() if count >= calls / 50}


def kept_of_each(readings: Sequence[Objects], *, calls: int) -> dict[str, int]:
    """Gives the types of which something is kept of each call: those that have grown from every reading to the next.

    What a process makes once, when a pool fills or a cache is first used, grows once.

    Args:
        readings: At least three, after a warm-up.
        calls: How many calls were made between two of them.
    """
    kept = [after.kept_since(before, calls=calls) for before, after in pairwise(readings)]
    return {name: count for name, count in kept[0].items() if all(name in other for other in kept)}


def resident_bytes() -> int:
    """Gives the memory that this process has resident (Linux)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE_BYTES


def retained(*packages: str) -> Counter[str]:
    """Counts objects of classes that these packages define or that inherit from one, and what these objects contain.

    Two counts, subtracted, say what stayed in between: ``aioapns.connection.Connection.requests: 20000``.
    """
    gc.collect()
    counts: Counter[str] = Counter()
    for one in gc.get_objects():
        kind = type(one)
        if not any(str(base.__module__).split(".")[0] in packages for base in kind.__mro__):
            continue
        name = f"{kind.__module__}.{kind.__qualname__}"
        counts[name] += 1
        for attribute, value in _attributes(one):
            if isinstance(value, Sized) and not isinstance(value, str | bytes | bytearray):
                counts[f"{name}.{attribute}"] += len(value)
    return counts


def _attributes(one: object) -> Iterator[tuple[str, object]]:
    yield from getattr(one, "__dict__", {}).items()
    for kind in type(one).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if hasattr(one, name):
                yield name, getattr(one, name)
