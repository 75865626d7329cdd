"""What a library keeps of each call: the objects of this process counted by type, before and after many calls."""

from __future__ import annotations

import gc
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

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

    def more_than(self, before: Objects, *, calls: int) -> dict[str, int]:
        """Gives the types of which more objects were kept than a fiftieth of the calls explains.

        What is kept of each call shows as many times that; pools, caches and timers that come and go do not.
        """
        grown = self.counts - before.counts
        return {name: count for name, count in grown.items() if count > calls / 50}


def resident_bytes() -> int:
    """Gives the memory that this process has resident (Linux)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE_BYTES
