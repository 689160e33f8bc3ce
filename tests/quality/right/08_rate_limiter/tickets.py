"""Numbered tickets: who holds the lowest one that was not given back is the next."""

import asyncio
import functools
import inspect
import itertools
import threading
import time
from bisect import bisect_right


class RateLimiter:
    def __init__(self, max_calls, period, *, clock=time.monotonic, sleep=time.sleep):
        if max_calls < 1:
            raise ValueError("at least one call")
        if period <= 0:
            raise ValueError("a period above 0")
        self._calls, self._period, self._clock, self._sleep = (
            max_calls,
            period,
            clock,
            sleep,
        )
        self._numbers, self._waiting, self._started = itertools.count(), set(), []
        self._mutex = threading.RLock()

    def _waits(self, units):
        """Yield seconds to wait, until the call has started."""
        if units < 1:
            raise ValueError("at least one unit")
        if units > self._calls:
            raise ValueError("more units than ever fit")
        with self._mutex:
            ticket = next(self._numbers)
            self._waiting.add(ticket)
        try:
            while True:
                with self._mutex:
                    now = self._clock()
                    runs_out = [start + self._period for start in self._started]
                    self._started = self._started[bisect_right(runs_out, now) :]
                    over = len(self._started) + units - self._calls
                    if over <= 0 and ticket == min(self._waiting):
                        self._started += [now] * units
                        return
                    wait = 0.002
                    if over > 0:
                        wait = self._started[over - 1] + self._period - now
                yield wait
        finally:
            with self._mutex:
                self._waiting.discard(ticket)

    def acquire(self, n=1):
        for seconds in self._waits(n):
            self._sleep(seconds)

    async def acquire_async(self, n=1):
        waits = self._waits(n)
        try:
            for seconds in waits:
                await asyncio.sleep(seconds)
        finally:
            waits.close()

    def __call__(self, function):
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def limited(*args, **kwargs):
                await self.acquire_async()
                return await function(*args, **kwargs)

        else:

            @functools.wraps(function)
            def limited(*args, **kwargs):
                self.acquire()
                return function(*args, **kwargs)

        return limited
