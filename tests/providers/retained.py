"""What libraries keep: their objects that are alive, and how much is in the containers of these."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Sized
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


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
