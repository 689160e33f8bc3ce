"""Exercise 08: a rate limiter with a sliding window, for threads and asyncio alike."""

import time
from collections.abc import Callable
from typing import Any


class RateLimiter:
    """Lets at most max_calls calls start in any window of period seconds.

    A window is half open, [t, t + period): a start exactly period after another is
    allowed. First come, first served, for any mixture of threads and event loops: no
    newcomer passes those who wait, even if a start is free by then.

    clock: returns seconds; the default is no wall clock, which can be set back.
    sleep: what acquire() waits with, in seconds.
    Raises ValueError for a max_calls below 1, or a period that is not above 0.
    """

    def __init__(
        self,
        max_calls: int,
        period: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        # TODO 1
        raise NotImplementedError("08_rate_limiter: write RateLimiter.__init__")

    def acquire(self) -> None:
        """Wait until a call may start, and count it as started.

        No lock is held during the wait.
        """
        raise NotImplementedError("08_rate_limiter: write acquire")

    async def acquire_async(self) -> None:
        """Do what acquire() does, and let the event loop work while this waits.

        A waiter that is cancelled leaves the line, and no call is counted.
        """
        # TODO 2
        raise NotImplementedError("08_rate_limiter: write acquire_async")

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return function, or `async def`, each of whose calls waits for its start."""
        # TODO 3
        raise NotImplementedError("08_rate_limiter: write __call__")
