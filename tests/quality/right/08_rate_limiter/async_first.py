"""One async loop waits; acquire drives it by hand, with its own sleep."""

import asyncio
import functools
import inspect
import threading
import time
from collections import deque


class RateLimiter:
    """acquire runs the same coroutine as acquire_async, with a sleep that does not
    await.
    """

    def __init__(self, max_calls, period, *, clock=time.monotonic, sleep=time.sleep):
        if max_calls < 1 or period <= 0:
            raise ValueError("no such limit")
        self.max_calls, self.period, self.clock = max_calls, period, clock
        self.lock, self.line, self.starts = (
            threading.Lock(),
            deque(),
            deque(maxlen=max_calls),
        )

        async def blocking(seconds):
            sleep(seconds)

        self.blocking = blocking

    async def _acquire(self, pause, n):
        if n < 1 or n > self.max_calls:
            raise ValueError("no such weight")
        place = [None]
        with self.lock:
            self.line.append(place)
        try:
            while True:
                with self.lock:
                    now, free_at = self.clock(), float("-inf")
                    if len(self.starts) > self.max_calls - n:
                        last = len(self.starts) - self.max_calls + n - 1
                        free_at = self.starts[last] + self.period
                    if self.line[0] is place and now >= free_at:
                        self.starts.extend(now for _ in range(n))
                        return
                await pause(max(free_at - now, 0.0005))
        finally:
            with self.lock:
                self.line = deque(one for one in self.line if one is not place)

    def acquire(self, n=1):
        try:
            self._acquire(self.blocking, n).send(None)
        except StopIteration:
            return

    async def acquire_async(self, n=1):
        await self._acquire(asyncio.sleep, n)

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
