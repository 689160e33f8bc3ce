"""The server's own rate limit: a token bucket for each key, refilled without pause."""

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace


@dataclass
class Bucket:
    """A bucket that holds `limit` and gains `limit` a minute.

    level: how much is in it; updated: the time, in seconds on the limiter's clock, at
        which that was so.
    """

    limit: int
    level: float
    updated: float

    def refill(self, now: float) -> None:
        """Add what has flowed in since the last look."""
        gained = max(0.0, now - self.updated) * self.limit / 60
        self.level, self.updated = min(float(self.limit), self.level + gained), now

    def wait(self, amount: float) -> float:
        """Return the seconds until amount is there: 0.0 if it is there now, infinity if
        it never will be.
        """
        if amount > self.limit:
            return math.inf
        missing = amount - self.level
        return missing * 60 / self.limit if missing > 1e-9 else 0.0

    @property
    def remaining(self) -> int:
        """How much can be taken out now."""
        return math.floor(self.level + 1e-9)

    @property
    def reset(self) -> float:
        """The seconds until it is full again."""
        return (self.limit - self.remaining) * 60 / self.limit


class Limiter:
    """Counts requests and tokens for each key.

    clock: returns seconds; only differences count.
    """

    def __init__(
        self,
        requests_per_minute: int,
        tokens_per_minute: int,
        clock: Callable[[], float],
    ) -> None:
        self._limits = {"requests": requests_per_minute, "tokens": tokens_per_minute}
        self._clock = clock
        self._lock = threading.Lock()
        self.clear()

    def clear(self) -> None:
        """Fill all buckets again."""
        self._buckets: dict[str, dict[str, Bucket]] = {}

    def _full(self) -> dict[str, Bucket]:
        """Return the buckets of a key that has asked for nothing yet."""
        now = self._clock()
        return {
            kind: Bucket(limit, float(limit), now)
            for kind, limit in self._limits.items()
        }

    def _of(self, key: str) -> dict[str, Bucket]:
        now = self._clock()
        if key not in self._buckets:
            self._buckets[key] = self._full()
        for bucket in self._buckets[key].values():
            bucket.refill(now)
        return self._buckets[key]

    def take(self, key: str, tokens: int) -> tuple[str, float] | None:
        """Take one request and so many tokens, or nothing at all.

        Returns None, or what was short ("requests" or "tokens") and the seconds until
        there is enough of it.
        """
        wanted = {"requests": 1, "tokens": tokens}
        with self._lock:
            buckets = self._of(key)
            for kind, amount in wanted.items():
                if wait := buckets[kind].wait(amount):
                    return kind, wait
            for kind, amount in wanted.items():
                buckets[kind].level -= amount
        return None

    def buckets(self, key: str) -> dict[str, Bucket]:
        """Return copies of the buckets of this key, "requests" and "tokens", as they
        stand now.
        """
        with self._lock:
            buckets = self._of(key) if key in self._buckets else self._full()
            return {kind: replace(bucket) for kind, bucket in buckets.items()}
