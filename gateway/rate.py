"""How often something may happen: a bucket that is emptied by what happens, and filled by time, which is passed in."""

from __future__ import annotations


class TokenBucket:
    """Lets through ``burst`` at once, and ``per_s`` in the long run.

    Args:
        per_s: How many it gains in a second.
        burst: How many it holds, and begins with.
    """

    def __init__(self, *, per_s: float, burst: float) -> None:
        self._per_s = per_s
        self._burst = burst
        self._tokens = burst
        self._filled_at: float | None = None

    def take(self, now: float) -> bool:
        """Takes one, or answers False where there is none.

        Args:
            now: Seconds, of any clock that does not go back.
        """
        if self._filled_at is not None:
            self._tokens = min(self._burst, self._tokens + (now - self._filled_at) * self._per_s)
        self._filled_at = now
        if self._tokens < 1:
            return False

        self._tokens -= 1
        return True
