"""Positions: moments of the cluster's clock, which the server stamps, as numbers and as text that order as they do."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bson import Timestamp

_TEXT = re.compile(r"[0-9a-f]{16}")


def position_of(timestamp: Timestamp) -> int:
    """Gives a moment as a number: seconds in the upper 32 bits, a counter in the lower."""
    return int(timestamp.time) << 32 | int(timestamp.inc)


def position_to_text(position: int) -> str:
    """Gives a position as 16 hex digits."""
    return f"{position:016x}"


def position_from_text(text: str) -> int | None:
    """Reads 16 hex digits, or gives None."""
    return int(text, 16) if _TEXT.fullmatch(text) else None
