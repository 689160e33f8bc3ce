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
        self._waiting: deque[Future[float]] = deque()
        self._running = False

    def _delay(self) -> float:
        now = self._clock()
        while self._starts and now >= self._starts[0] + self._period:
            self._starts.popleft()
        if len(self._starts) < self._max_calls:
            return 0.0
        return self._starts[0] + self._period - now

    def _enqueue(self) -> Future[float] | None:
        """None: go at once. Otherwise a future that is done when it is your turn."""
        with self._lock:
            if not self._waiting and self._delay() == 0.0:
                self._starts.append(self._clock())
                return None
            future: Future[float] = Future()
            self._waiting.append(future)
            if not self._running:
                self._running = True
                threading.Thread(
                    target=self._dispatch, name="rate-limiter", daemon=True
                ).start()
            return future

    def _dispatch(self) -> None:
        while True:
            with self._lock:
                while self._waiting and self._waiting[0].cancelled():
                    self._waiting.popleft()
                if not self._waiting:
                    self._running = False
                    return
                delay = self._delay()
                if delay == 0.0:
                    future = self._waiting.popleft()
                    if not future.set_running_or_notify_cancel():
                        continue
                    start = self._clock()
                    self._starts.append(start)
            if delay > 0.0:
                self._sleep(delay)
            else:
                future.set_result(start)

    def acquire(self) -> None:
        future = self._enqueue()
        if future is not None:
            try:
                future.result()
            except (CancelledError, KeyboardInterrupt):
                future.cancel()
                raise

    async def acquire_async(self) -> None:
        future = self._enqueue()
        if future is None:
            return
        try:
            await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            if not future.cancel():  # the place was already given to us: give it back
                start = future.result(timeout=1)
                with self._lock:
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
