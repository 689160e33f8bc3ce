"""A semaphore limits how many calls run at once, not how many start in a period.

Rejected by: test_burst, test_any_window
Keeps: 2 points
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
        self.places = threading.Semaphore(max_calls)
        self.starts, self.line, self.lock = deque(), deque(), threading.Lock()

    def acquire(self):
        with self.places:
            pass

    async def acquire_async(self):
        self.acquire()

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
