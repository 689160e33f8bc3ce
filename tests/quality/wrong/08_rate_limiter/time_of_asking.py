"""The time from which a call could start is written down, not the one at which it did.

Rejected by: test_late_sleeper
Keeps: 19 points
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

    def _seconds_to_wait(self, me, asked):
        """Count a start and return 0, or return the seconds after which to look again."""
        with self.lock:
            now, is_full = self.clock(), len(self.starts) == self.max_calls
            due = self.starts[0] + self.period if is_full else now
            if now >= due and self.line[0] is me:
                self.starts.append(max(asked, due) if is_full else asked)
                return 0
            return max(due - now, 0.001)

    def _stand_in_line(self):
        me = object()
        with self.lock:
            self.line.append(me)
        return me

    def _leave(self, me):
        with self.lock:
            self.line.remove(me)

    def acquire(self):
        me, asked = self._stand_in_line(), self.clock()
        try:
            while seconds := self._seconds_to_wait(me, asked):
                self.sleep(seconds)
        finally:
            self._leave(me)

    async def acquire_async(self):
        me, asked = self._stand_in_line(), self.clock()
        try:
            while seconds := self._seconds_to_wait(me, asked):
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
