"""What a library keeps of each call: objects that are still there when nobody uses them any more."""

from __future__ import annotations

import gc
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


async def count_retained(run: Callable[[], Awaitable[None]], rounds: int) -> Counter[str]:
    """Tells of which types there are more objects after so many rounds, and how many more.

    Args:
        run: One round; runs twice before the first is counted, since caches and pools fill once.
        rounds: How many are counted.
    """
    for _ in range(2):
        await run()
        # Counting makes objects of its own, the first time.
        _population()
    before = _population()
    for _ in range(rounds):
        await run()
    return _population() - before


def _population() -> Counter[str]:
    gc.collect()
    return Counter(f"{type(one).__module__}.{type(one).__qualname__}" for one in gc.get_objects())
