"""How often something may happen: buckets that are emptied by what happens, and filled by time, which is passed in."""

from __future__ import annotations

from collections import OrderedDict
from datetime import timedelta

from services.kernel.errors import LimitExceeded

MAX_BUCKETS = 10_000
_LONGEST_WAIT_S = 24 * 3600.0


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

    @property
    def wait_s(self) -> float:
        """How long after the last ``take`` there is one again; 0: at once."""
        return max(1 - self._tokens, 0) / self._per_s

    def take(self, now: float) -> bool:
        """Takes one, or answers False where there is none.

        Args:
            now: Seconds, of any clock; by one that was set back it is not filled for as long.
        """
        if self._filled_at is not None:
            self._tokens = min(self._burst, self._tokens + max(now - self._filled_at, 0) * self._per_s)
        self._filled_at = now
        if self._tokens < 1:
            return False

        self._tokens -= 1
        return True


class RateLimits:
    """A bucket for each environment, as far as it has called lately.

    Args:
        per_s: How many calls an environment may make in the long run.
        burst: How many it may make at once.
        max_buckets: How many are held: one that is forgotten is full when its environment calls again.
    """

    def __init__(self, *, per_s: float, burst: int, max_buckets: int = MAX_BUCKETS) -> None:
        self._per_s = per_s
        self._burst = burst
        self._max_buckets = max_buckets
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()

    def __len__(self) -> int:
        """How many buckets are held."""
        return len(self._buckets)

    def admit(self, client_id: str, now: float) -> None:
        """Counts a call.

        Raises:
            LimitExceeded: If it is one too many; it says when it would not be.
        """
        bucket = self._buckets.get(client_id)
        if bucket is None:
            bucket = self._buckets[client_id] = TokenBucket(per_s=self._per_s, burst=self._burst)
            if len(self._buckets) > self._max_buckets:
                # That of whoever has not called for the longest, so the one that is most likely full.
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(client_id)
        if not bucket.take(now):
            raise LimitExceeded(
                f"the environment makes more than {self._per_s:g} calls a second; nothing was done, repeat it later",
                reason="RATE_LIMITED",
                # Whole milliseconds, rounded up: a call at that very time must not be early.
                retry_after=timedelta(milliseconds=int(min(bucket.wait_s, _LONGEST_WAIT_S) * 1000) + 1),
            )
