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
Wake = Callable[[], object]  # tells who waits in the line that it is the first now


class SlidingWindow:
    """The last starts; at most max_calls of them in any window [t, t + period).

    period: seconds. Raises ValueError for a limit that lets no call through.
    """

    def __init__(
        self, max_calls: int, period: float, clock: Callable[[], float]
    ) -> None:
        if not isinstance(max_calls, int) or max_calls < 1:
            raise ValueError(f"max_calls must be 1 or more, and whole: {max_calls!r}")
        if not 0 < period < math.inf:  # refuses nan too
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


def wake_first(places: deque[Wake]) -> None:
    """Tell the first of a line that it is its turn; drop those who cannot be told."""
    while places:
        try:
            places[0]()
            return
        except RuntimeError:  # its event loop is closed: nobody waits there now
            places.popleft()


class WaitingLine:
    """Those who wait, in the order in which they came; only the first may start."""

    def __init__(self) -> None:
        # Held for a moment, never during a wait. The same thread may come in twice: the
        # end of a forgotten coroutine can run at any time.
        self.lock, self.places = threading.RLock(), deque()
        self._process = os.getpid()

    def check_process(self) -> None:
        """Begin anew after a fork: the threads of the line exist in the parent only."""
        if self._process != os.getpid():
            self.__init__()

    @contextlib.contextmanager
    def place(self, wake: Wake) -> Iterator[Wake]:
        """Stand in the line until the end of the block, however it ends."""
        try:
            with self.lock:
                self.places.append(wake)
                wake_first(self.places)
            yield wake
        finally:
            with self.lock, contextlib.suppress(ValueError):  # it was dropped
                self.places.remove(wake)
                wake_first(self.places)


class Limiter:
    """At most max_calls starts in any window [t, t + period).

    First come, first served, for threads and for tasks of any event loop. period, clock
    and sleep are in seconds. ValueError for a limit that cannot be.
    """

    def __init__(
        self,
        max_calls: int,
        period: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._window = SlidingWindow(max_calls, period, clock)
        self._line, self._sleep = WaitingLine(), sleep

    def _start(self, place: Wake | None = None) -> float:
        """Start a call and return 0.0, or return the seconds to wait.

        place: that of the caller in the line; None if it is in no line.
        """
        line = self._line
        line.check_process()
        with line.lock:
            if line.places and line.places[0] is not place:
                return math.inf
            return self._window.start()


class WaitingLimiter(Limiter):
    """The limiter, with a wait for those who may not start yet."""

    def acquire(self) -> None:
        """Wait until a call may start; only this thread stands still."""
        if self._start():
            turn = threading.Event()
            with self._line.place(turn.set) as place:
                turn.wait()
                while wait := self._start(place):
                    self._sleep(wait)

    async def acquire_async(self) -> None:
        """Wait until a call may start; only this task stands still."""
        if self._start():
            turn, loop = asyncio.Event(), asyncio.get_running_loop()
            wake = functools.partial(loop.call_soon_threadsafe, turn.set)
            with self._line.place(wake) as place:
                await turn.wait()
                while wait := self._start(place):
                    await asyncio.sleep(wait - 0.001)  # timers end up to 1 ms late


class RateLimiter(WaitingLimiter):
    """The limiter, as a decorator too: each call of the function waits for its start.

    What returns an awaitable is async, whether or not it is an `async def`.
    """

    def __call__(self, function: Function) -> Function:
        """Return function with a wait before each call. TypeError for a generator."""
        check_function(function)
        is_async = inspect.iscoroutinefunction(function)

        async def call_async(*args: Any, **kwargs: Any) -> Any:
            await self.acquire_async()
            return await function(*args, **kwargs)

        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal is_async
            if is_async:
                return call_async(*args, **kwargs)
            self.acquire()
            result = function(*args, **kwargs)
            is_async = inspect.isawaitable(result)  # nobody knows before
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
