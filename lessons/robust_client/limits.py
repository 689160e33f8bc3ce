"""Lesson 08: a sliding window that lets so many calls start in any period, no more."""

import asyncio
import contextlib
import functools
import inspect
import math
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

from .retry import DEFAULT_RETRY, check_function
from .stream import StreamingAPIClient

Function = Callable[..., Any]


class SlidingWindow:
    """The last starts; at most max_calls of them in any window [t, t + period).

    period, clock: seconds. Raises ValueError for a limit that lets no call through.
    """

    def __init__(self, max_calls: int, period: float, clock: Function) -> None:
        if not isinstance(max_calls, int) or max_calls < 1:
            raise ValueError(f"max_calls must be a whole number from 1: {max_calls!r}")
        if not 0 < period < math.inf:  # refuses nan too, which is no number
            raise ValueError(f"period must be seconds, above 0, not {period!r}")
        self.period, self.clock = period, clock
        # A full deque drops its oldest entry, so it always holds the last max_calls.
        self.starts = deque([-math.inf] * max_calls, maxlen=max_calls)

    def start(self) -> float:
        """Count a start and return 0.0; or return the seconds until one is free."""
        now = self.clock()
        wait = self.starts[0] + self.period - now
        if wait > 0:
            return wait
        self.starts.append(now)
        return 0.0


class WaitingLine:
    """A window, and those who wait for it, in the order in which they came."""

    def __init__(self, window: SlidingWindow) -> None:
        self.window, self.places = window, deque()
        # Held for a moment, never during a wait. The same thread may come in twice: the
        # end of a forgotten coroutine can run at any time.
        self.lock, self.process = threading.RLock(), os.getpid()

    def start(self, place: Function | None = None) -> float:
        """Start a call and return 0.0, or return the seconds to wait.

        place: that of the caller in the line; None for a newcomer, who passes nobody.
        """
        if self.process != os.getpid():  # after a fork, the others are in the parent
            self.__init__(self.window)
        with self.lock:
            if self.places and self.places[0] is not place:
                return math.inf
            return self.window.start()


def wake_first(places: deque[Function]) -> None:
    """Wake the first in line; drop those who cannot be woken."""
    while places:
        try:
            places[0]()
            return
        except RuntimeError:  # its event loop is closed: nobody waits there now
            places.popleft()


@contextlib.contextmanager
def stand_in(line: WaitingLine, wake: Function) -> Iterator[Function]:
    """Stand in a line until the block ends; wake is called when this place is first."""
    try:
        with line.lock:
            line.places.append(wake)
            wake_first(line.places)
        yield wake
    finally:
        with line.lock, contextlib.suppress(ValueError):  # it was dropped
            line.places.remove(wake)
            wake_first(line.places)


def wait_in(line: WaitingLine, sleep: Function) -> None:
    """Wait in a line until a call may start; only this thread stands still."""
    turn = threading.Event()
    with stand_in(line, turn.set) as place:
        turn.wait()
        while wait := line.start(place):
            sleep(wait)


async def wait_in_async(line: WaitingLine) -> None:
    """Wait in a line until a call may start; only this task stands still."""
    turn, loop = asyncio.Event(), asyncio.get_running_loop()
    wake = functools.partial(loop.call_soon_threadsafe, turn.set)
    with stand_in(line, wake) as place:
        await turn.wait()
        while wait := line.start(place):
            await asyncio.sleep(wait)


class RateLimiter:
    """At most max_calls starts in any window [t, t + period); also a decorator.

    First come, first served, for threads and for tasks of any event loop. period, clock
    and sleep are in seconds. ValueError for a limit that lets no call through.
    """

    def __init__(
        self,
        max_calls: int,
        period: float,
        *,
        clock: Function = time.monotonic,
        sleep: Function = time.sleep,
    ) -> None:
        self._line = WaitingLine(SlidingWindow(max_calls, period, clock))
        self._sleep = sleep

    def acquire(self) -> None:
        """Wait until a call may start; only this thread stands still."""
        if self._line.start():
            wait_in(self._line, self._sleep)

    async def acquire_async(self) -> None:
        """Wait until a call may start; only this task stands still."""
        if self._line.start():
            await wait_in_async(self._line)

    def __call__(self, function: Function) -> Function:
        """Return function with a wait before each call; see limit_calls."""
        return limit_calls(self, function)


def limit_calls(limiter: RateLimiter, function: Function) -> Function:
    """Return function with a wait before each call.

    What returns an awaitable is async, whether or not it is an `async def`; if nobody
    can tell before, its first call does. Raises TypeError for a generator.
    """
    check_function(function)
    is_async = inspect.iscoroutinefunction(function)

    async def call_async(*args: Any, **kwargs: Any) -> Any:
        await limiter.acquire_async()
        return await function(*args, **kwargs)

    def call(*args: Any, **kwargs: Any) -> Any:
        nonlocal is_async
        if is_async:
            return call_async(*args, **kwargs)
        limiter.acquire()
        result = function(*args, **kwargs)
        is_async = inspect.isawaitable(result)
        return result

    return functools.wraps(function)(call_async if is_async else call)


class APIClientWithRateLimit(StreamingAPIClient):
    """The same client; it sends at most max_calls requests in any period, in seconds.

    Retries and streams count as well. A service counts by key, so clients with the same
    address, key and limit share a limiter.
    """

    limiters: ClassVar[dict[Any, RateLimiter]] = {}

    def __init__(
        self,
        api_key: str | None = None,
        base_url: str | None = None,
        model: str | None = None,
        timeout: float | tuple[float, float] = (3.05, 30.0),
        *,
        retry: Function | None = DEFAULT_RETRY,
        max_calls: int = 20,
        period: float = 60.0,
    ) -> None:
        super().__init__(api_key, base_url, model, timeout, retry=retry)
        # A number in place of the key, so that nobody sees it in the dict.
        account = hash((self.base_url, self._api_key)), max_calls, period
        new = RateLimiter(max_calls, period)
        self.limiter = self.limiters.setdefault(account, new)

    def _send(self, *args: Any, **more: Any) -> Any:
        self.limiter.acquire()
        return super()._send(*args, **more)
