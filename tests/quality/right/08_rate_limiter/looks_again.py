"""All who wait look again and again, at most a millisecond late; the line says who may
start.
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
        self.starts, self.line = deque(), deque()

    def _seconds_to_wait(self, me, n):
        """Count a start and return 0, or return the seconds until the next look."""
        with self.lock:
            now = self.clock()
            while self.starts and self.starts[0] + self.period <= now:
                self.starts.popleft()
            missing = len(self.starts) + n - self.max_calls
            if missing <= 0 and self.line[0] is me:
                self.starts.extend([now] * n)
                return 0
            ends = self.starts[missing - 1] + self.period - now if missing > 0 else 0
            return max(ends, 0.001)

    def _stand_in_line(self, n):
        if not 1 <= n <= self.max_calls:
            raise ValueError(f"{n} never fit into {self.max_calls}")
        me = object()
        with self.lock:
            self.line.append(me)
        return me

    def _leave(self, me):
        with self.lock:
            self.line.remove(me)

    def acquire(self, n=1):
        me = self._stand_in_line(n)
        try:
            while seconds := self._seconds_to_wait(me, n):
                self.sleep(seconds)
        finally:
            self._leave(me)

    async def acquire_async(self, n=1):
        me = self._stand_in_line(n)
        try:
            while seconds := self._seconds_to_wait(me, n):
                await asyncio.sleep(seconds)
        finally:
            self._leave(me)

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
