"""Work for one send that may take long is done aside, so that the others need not wait for it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

SLOW_BYTES = 4 * 1024
"""How much content of its own a send may bring before it is read and rendered in a thread.

Dense with tags so much takes 15 ms to parse. A definition's templates are parsed once, a send's texts may be new each
time.
"""


async def aside(work: Callable[[], T], *, content_bytes: int) -> T:
    """Does work that takes the longer, the more content a send has brought; in a thread, if that is much."""
    return await asyncio.to_thread(work) if content_bytes > SLOW_BYTES else work()
