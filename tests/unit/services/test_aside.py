"""What may take long does not keep the loop."""

from __future__ import annotations

import threading

import pytest

from services.sender.aside import SLOW_BYTES, aside


@pytest.mark.parametrize(("content_bytes", "is_aside"), [(0, False), (SLOW_BYTES, False), (SLOW_BYTES + 1, True)])
async def test_much_content_is_worked_off_in_a_thread(content_bytes: int, is_aside: bool) -> None:
    """A send without content, or with little, is spared the way there and back."""
    worker = await aside(threading.current_thread, content_bytes=content_bytes)
    assert (worker is not threading.main_thread()) == is_aside
