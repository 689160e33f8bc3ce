"""A waiter that is cancelled goes on waiting in a thread, and takes a start.

Rejected by: test_cancelled_takes_no_start
Keeps: 18 points
"""

import asyncio
import functools
import inspect
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any


class RateLimiter:
    def __init__(
        self,
        max_calls: int,
        period: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        if not max_calls >= 1:
            raise ValueError("max_calls must be at least 1")
        if not period > 0:
            raise ValueError("period must be above 0")
        self.max_calls, self.period = max_calls, period
        self.clock, self.sleep = clock, sleep
        self.lock = threading.Lock()
        self.threads = ThreadPoolExecutor(64)
        self.starts = deque()
        self.waiting = deque()

    def _try(self, ticket):
        """Return 0 if ticket has started, else seconds until it should ask again."""
        with self.lock:
            now = self.clock()
            while self.starts and self.starts[0] + self.period <= now:
                self.starts.popleft()
            place = self.waiting.index(ticket)
            if place == 0 and len(self.starts) < self.max_calls:
                self.waiting.popleft()
                self.starts.append(now)
                return 0
            if place == 0:
                return self.starts[0] + self.period - now
            return 0.002

    def _leave(self, ticket):
        with self.lock:
            if ticket in self.waiting:
                self.waiting.remove(ticket)

    def _join(self):
        ticket = object()
        with self.lock:
            self.waiting.append(ticket)
        return ticket

    def _wait(self, ticket):
        try:
            while wait := self._try(ticket):
                self.sleep(wait)
        finally:
            self._leave(ticket)

    def acquire(self) -> None:
        self._wait(self._join())

    async def acquire_async(self) -> None:
        await asyncio.get_running_loop().run_in_executor(
            self.threads, self._wait, self._join()
        )

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def slow(*args, **kwargs):
                await self.acquire_async()
                return await function(*args, **kwargs)
        else:

            @functools.wraps(function)
            def slow(*args, **kwargs):
                self.acquire()
                return function(*args, **kwargs)

        return slow
