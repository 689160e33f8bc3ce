"""Lesson 09: a circuit breaker, which stops calls to a provider that is down.

The pattern is Michael Nygard's, from *Release It!*; see also
https://learn.microsoft.com/azure/architecture/patterns/circuit-breaker
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import httpx

from .errors import APIError, RateLimitError

NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


def is_refused(error: APIError) -> bool:
    """Say whether a failed call was certainly neither answered nor charged."""
    never_sent = isinstance(error.__cause__, NEVER_SENT)
    return never_sent or (error.status is not None and error.status >= 300)


@dataclass
class Breaker:
    """Says whether a provider may be asked; like a fuse, it opens after failures.

    limit: failures in a row. pause: seconds for which nobody asks; after them, one call
    tries, and the others wait for another pause or for its success.
    """

    limit: int = 3
    pause: float = 10.0
    clock: Callable[[], float] = time.monotonic
    failures: int = 0
    open_until: float = -math.inf
    reason: str = ""  # of the last failure

    def wait(self) -> float:
        """Return the seconds until a call may go; 0.0 if it may now."""
        return max(0.0, self.open_until - self.clock())

    def begin(self) -> None:
        """Note that a call goes. After a pause it is a try: the others wait on."""
        if self.failures >= self.limit:
            self.open_until = self.clock() + self.pause

    def succeed(self) -> None:
        """Note an answer: everybody may go."""
        self.failures, self.open_until = 0, -math.inf

    def fail(self, error: APIError) -> None:
        """Note a failure that can pass. A rate limit does not mean a dead one."""
        self.reason, asked = str(error), error.retry_after or 0.0
        self.failures += not isinstance(error, RateLimitError)
        pause = self.pause if self.failures >= self.limit else 0.0
        self.open_until = max(self.open_until, self.clock() + max(pause, asked))
