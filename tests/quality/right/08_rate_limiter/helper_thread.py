"""A helper thread sleeps for threads and tasks alike, as long as somebody waits."""

from __future__ import annotations

import asyncio
import functools
import inspect
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from typing import Any


class RateLimiter:
    def __init__(
        self,
        max_calls: int,
        period: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Any] = time.sleep,
    ) -> None:
        if max_calls < 1:
            raise ValueError("max_calls must be 1 or more")
        if period <= 0:
            raise ValueError("period must be more than 0")
        self._max_calls, self._period = max_calls, period
        self._clock, self._sleep = clock, sleep
        self._lock = threading.Lock()
        self._starts: deque[float] = deque()
        self._waiting: deque[tuple[Future[float], int]] = deque()
        self._running = False

    def _delay(self, n: int) -> float:
        now = self._clock()
        while self._starts and now >= self._starts[0] + self._period:
            self._starts.popleft()
        missing = len(self._starts) + n - self._max_calls
        if missing <= 0:
            return 0.0
        return self._starts[missing - 1] + self._period - now

    def _enqueue(self, n: int) -> Future[float] | None:
        """None: go at once. Otherwise a future that is done when it is your turn."""
        if not 1 <= n <= self._max_calls:
            raise ValueError("n must be between 1 and max_calls")
        with self._lock:
            if not self._waiting and self._delay(n) == 0.0:
                self._starts.extend([self._clock()] * n)
                return None
            future: Future[float] = Future()
            self._waiting.append((future, n))
            if not self._running:
                self._running = True
                threading.Thread(
                    target=self._dispatch, name="rate-limiter", daemon=True
                ).start()
            return future

    def _dispatch(self) -> None:
        while True:
            with self._lock:
                while self._waiting and self._waiting[0][0].cancelled():
                    self._waiting.popleft()
                if not self._waiting:
                    self._running = False
                    return
                future, n = self._waiting[0]
                delay = self._delay(n)
                if delay == 0.0:
                    self._waiting.popleft()
                    if not future.set_running_or_notify_cancel():
                        continue
                    start = self._clock()
                    self._starts.extend([start] * n)
            if delay > 0.0:
                self._sleep(delay)
            else:
                future.set_result(start)

    def acquire(self, n: int = 1) -> None:
        future = self._enqueue(n)
        if future is not None:
            try:
                future.result()
            except (CancelledError, KeyboardInterrupt):
                future.cancel()
                raise

    async def acquire_async(self, n: int = 1) -> None:
        future = self._enqueue(n)
        if future is None:
            return
        try:
            await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            if not future.cancel():  # the place was already given to us: give it back
                start = future.result(timeout=1)
                with self._lock:
                    for _ in range(n):
                        if start in self._starts:
                            self._starts.remove(start)
            raise

    def __call__(self, func: Callable[..., Any]) -> Callable[..., Any]:
        if inspect.iscoroutinefunction(func):

            @functools.wraps(func)
            async def limited(*args: Any, **kwargs: Any) -> Any:
                await self.acquire_async()
                return await func(*args, **kwargs)
        else:

            @functools.wraps(func)
            def limited(*args: Any, **kwargs: Any) -> Any:
                self.acquire()
                return func(*args, **kwargs)

        return limited
