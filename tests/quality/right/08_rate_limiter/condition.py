"""Threads queue at a Condition, tasks look again; only the first of the line sleeps."""

import asyncio
import functools
import inspect
import threading
import time
from collections import deque


class RateLimiter:
    def __init__(self, max_calls, period, *, clock=time.monotonic, sleep=time.sleep):
        if not (max_calls >= 1 and period > 0):
            raise ValueError(f"impossible limit: {max_calls} in {period} s")
        self.n, self.period, self.clock, self.sleep = max_calls, period, clock, sleep
        self.moved = threading.Condition()
        self.line, self.starts = [], deque(maxlen=max_calls)

    def _wait_of_first(self, units):
        if len(self.starts) + units <= self.n:
            return 0
        last = self.starts[len(self.starts) + units - self.n - 1]
        return max(0, last + self.period - self.clock())

    def _go(self, me, units):
        """Start if possible. The Condition is held."""
        if self.line[0] is not me or self._wait_of_first(units):
            return False
        self.starts.extend([self.clock()] * units)
        return True

    def _check(self, units):
        if not 0 < units <= self.n:
            raise ValueError(f"{units} of {self.n} is impossible")

    def _leave(self, me):
        with self.moved:
            self.line.remove(me)
            self.moved.notify_all()

    def acquire(self, n=1):
        self._check(n)
        me = object()
        with self.moved:
            self.line.append(me)
        try:
            while True:
                with self.moved:
                    self.moved.wait_for(lambda: self.line[0] is me)
                    if self._go(me, n):
                        return
                    wait = self._wait_of_first(n)
                self.sleep(wait)
        finally:
            self._leave(me)

    async def acquire_async(self, n=1):
        self._check(n)
        me = object()
        with self.moved:
            self.line.append(me)
        try:
            while True:
                with self.moved:
                    if self._go(me, n):
                        return
                    wait = self._wait_of_first(n)
                await asyncio.sleep(max(wait, 0.001))
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
