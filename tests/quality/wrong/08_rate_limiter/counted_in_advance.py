"""A start is counted before the wait, so whoever is cancelled has taken it all the same.

Rejected by: test_cancelled
Keeps: 15 points
"""

import asyncio
import functools
import inspect
import threading
import time
from collections import deque


class RateLimiter:
    def __init__(self, max_calls, period, *, clock=time.monotonic, sleep=time.sleep):
        if max_calls < 1 or period <= 0:
            raise ValueError("max_calls must be at least 1 and period above 0")
        self.max_calls, self.period = max_calls, period
        self.clock, self.sleep = clock, sleep
        self.lock = threading.Lock()
        self.starts, self.line = deque(maxlen=max_calls), deque()

    def _book(self):
        with self.lock:
            now = self.clock()
            full = len(self.starts) == self.max_calls
            start = max(now, self.starts[0] + self.period) if full else now
            self.starts.append(start)
            return start

    def _stand_in_line(self):
        me = object()
        with self.lock:
            self.line.append(me)
        return me

    def _leave(self, me):
        with self.lock:
            self.line.remove(me)

    def acquire(self):
        start = self._book()
        while (seconds := start - self.clock()) > 0:
            self.sleep(seconds)

    async def acquire_async(self):
        start = self._book()
        while (seconds := start - self.clock()) > 0:
            await asyncio.sleep(seconds)

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
