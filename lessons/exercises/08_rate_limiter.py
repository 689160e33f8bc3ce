"""Exercise 08: a rate limiter with a sliding window, for threads and asyncio alike.

The core is a limiter whose calls all count alike; n is further, if you like.
You may copy from the notebook; an import of robust_client gives no points.
"""

import time
from collections.abc import Callable
from typing import Any


class RateLimiter:
    """Lets at most max_calls calls start in any window of period seconds.

    A window is half open, [t, t + period): a start exactly period after another is
    allowed. First come, first served, for any mixture of threads and event loops: no
    newcomer passes those who wait, even if a start is free by then. Each limiter counts
    for itself.

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
        # TODO 1, and acquire below
        raise NotImplementedError("08_rate_limiter: write RateLimiter.__init__")

    def acquire(self, n: int = 1) -> None:
        """Wait until a call may start, and count it as started.

        Python may change threads between any two lines. No lock is held during the
        wait. A thread that is interrupted in it, as by Ctrl-C, leaves the line, and no
        call is counted.
        n: for how many calls this one counts; see the end of this class.
        """
        raise NotImplementedError("08_rate_limiter: write acquire")

    async def acquire_async(self, n: int = 1) -> None:
        """Do what acquire() does, and let the event loop work while this waits.

        It does not look at the clock in each round of the loop. A task that is
        cancelled before this returns leaves the line, and no call is counted.
        """
        # TODO 2
        raise NotImplementedError("08_rate_limiter: write acquire_async")

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return function, or `async def`, each of whose calls waits for its start.

        It may be a method. A call that fails has started all the same.
        """
        # TODO 3
        raise NotImplementedError("08_rate_limiter: write __call__")

    # Further, if you like: calls that weigh more, as a long prompt does.
    #
    # limiter.acquire(n) and limiter.acquire_async(n) wait until n units may start, and
    # count all n at that moment: at most max_calls units start in any window. n that
    # never fits, more than max_calls or less than 1, is a ValueError at once, and
    # nothing is counted. First come, first served: a light call does not pass a heavy
    # one that waits, even if there is room for it alone.
