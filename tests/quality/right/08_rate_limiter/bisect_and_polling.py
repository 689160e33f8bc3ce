"""A list of all starts, and a look every two milliseconds: as simple as it gets."""

import asyncio
import inspect
import threading
import time
from functools import wraps


class RateLimiter:
    def __init__(self, max_calls, period, *, clock=time.monotonic, sleep=time.sleep):
        if max_calls < 1 or not period > 0:
            raise ValueError("max_calls, period")
        self.max_calls, self.period, self.clock, self.sleep = (
            max_calls,
            period,
            clock,
            sleep,
        )
        self.guard, self.times, self.queue = threading.Lock(), [], []

    def try_to_start(self, me, n):
        with self.guard:
            now = self.clock()
            recent = [start for start in self.times if now < start + self.period]
            if self.queue[0] is not me or len(recent) + n > self.max_calls:
                return False
            self.times = recent + n * [now]
            return True

    def check(self, n):
        if n not in range(1, self.max_calls + 1):
            raise ValueError(f"n must be from 1 to {self.max_calls}")

    def acquire(self, n=1):
        self.check(n)
        me = threading.Event()
        self.queue.append(me)
        try:
            while not self.try_to_start(me, n):
                self.sleep(0.002)
        finally:
            self.queue.remove(me)

    async def acquire_async(self, n=1):
        self.check(n)
        me = asyncio.Event()
        self.queue.append(me)
        try:
            while not self.try_to_start(me, n):
                await asyncio.sleep(0.002)
        finally:
            self.queue.remove(me)

    def __call__(self, function):
        if inspect.iscoroutinefunction(function):

            @wraps(function)
            async def limited(*args, **kwargs):
                await self.acquire_async()
                return await function(*args, **kwargs)

        else:

            @wraps(function)
            def limited(*args, **kwargs):
                self.acquire()
                return function(*args, **kwargs)

        return limited
