"""Solution 08: a rate limiter with a sliding window, for threads and asyncio alike.

All callers stand in one line, and only the first of the line looks at the clock and
counts a start. A start is written down at the moment when it happens, never in advance.
So a caller who gives up while waiting has taken nothing, and one who is late, because
the machine was busy, does not let the next ones start too early.
"""

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
from typing import Any

Wake = Callable[[], object]  # tells who waits in the line that it is the first now


class RateLimiter:
    """Lets at most max_calls calls start in any window of period seconds.

    A window is half open, [t, t + period): a start exactly period after another is
    allowed. First come, first served, for any mixture of threads and event loops: no
    newcomer passes those who wait, even if a start is free by then. Each limiter counts
    for itself.

    clock: returns seconds; the default is no wall clock, which can be set back.
    sleep: what acquire() waits with, in seconds.
    Raises ValueError for a max_calls below 1, or a period that is not above 0.
    """

    def __init__(
        self,
        max_calls: int,
        period: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        if not isinstance(max_calls, int) or max_calls < 1:
            raise ValueError(f"max_calls must be 1 or more, and whole: {max_calls!r}")
        if not 0 < period < math.inf:  # nor is what is no number
            raise ValueError(f"period must be seconds, more than 0: {period!r}")
        self.max_calls, self.period = max_calls, period
        self._clock, self._sleep = clock, sleep
        # When the last max_calls units started: a full deque drops the oldest.
        self._starts = deque([-math.inf] * max_calls, maxlen=max_calls)
        self._open_line()

    def _open_line(self) -> None:
        """Begin a line of nobody, for this process."""
        # For all that changes; nobody waits while holding it. A signal handler, or the
        # end of a forgotten coroutine, may come in between on the same thread: so an
        # RLock.
        self._lock = threading.RLock()
        self._line: deque[Wake] = deque()  # of those who wait, in the order they came
        self._process = os.getpid()

    def acquire(self, n: int = 1) -> None:
        """Wait until a call may start, and count it as started.

        Python may change threads between any two lines. No lock is held during the
        wait. A thread that is interrupted in it, as by Ctrl-C, leaves the line, and no
        call is counted.
        n: for how many calls this one counts; see the end of this class.
        """
        turn = threading.Event()
        with self._place_in_line(n, turn.set):
            turn.wait()
            while (wait := self._start(n)) > 0:
                self._sleep(wait)

    async def acquire_async(self, n: int = 1) -> None:
        """Do what acquire() does, and let the event loop work while this waits.

        It does not look at the clock in each round of the loop. A task that is
        cancelled before this returns leaves the line, and no call is counted.
        """
        turn, loop = asyncio.Event(), asyncio.get_running_loop()
        # An event of asyncio may only be set on the thread of its loop.
        wake = functools.partial(loop.call_soon_threadsafe, turn.set)
        with self._place_in_line(n, wake):
            await turn.wait()
            while (wait := self._start(n)) > 0:
                await asyncio.sleep(wait)

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return function, or `async def`, each of whose calls waits for its start.

        It may be a method. A call that fails has started all the same.
        """
        kinds = (inspect.isgeneratorfunction, inspect.isasyncgenfunction)
        if not callable(function) or any(kind(function) for kind in kinds):
            raise TypeError(
                f"limit a function or an `async def`, not {function!r}; a generator "
                "runs while it is read, when its call is over: limit what it calls"
            )
        forms = (function, type(function).__call__)  # an object can be called as well
        is_async = any(inspect.iscoroutinefunction(form) for form in forms)

        async def limited_async(*args: Any, **kwargs: Any) -> Any:
            await self.acquire_async()
            return await function(*args, **kwargs)

        def limited(*args: Any, **kwargs: Any) -> Any:
            nonlocal is_async
            if is_async:
                return limited_async(*args, **kwargs)
            self.acquire()
            result = function(*args, **kwargs)
            is_async = inspect.isawaitable(result)  # nobody could know before
            return result

        return functools.wraps(function)(limited_async if is_async else limited)

    def _start(self, n: int) -> float:
        """Count a start of n units if it is due; return the seconds until it is.

        Only the first of the line calls this, so nobody else is at the starts.
        """
        now = self._clock()
        wait = self._starts[n - 1] + self.period - now  # until the n oldest are over
        if wait <= 0:
            self._starts.extend([now] * n)
        return wait

    @contextlib.contextmanager
    def _place_in_line(self, n: int, wake: Wake) -> Iterator[None]:
        """Stand in the line until the end of the block, however it ends.

        n: the units to start. ValueError if they never fit.
        wake: called once this place is the first of the line, from any thread.
        """
        if n not in range(1, self.max_calls + 1):
            raise ValueError(f"n must be whole, from 1 to {self.max_calls}: {n!r}")
        if self._process != os.getpid():  # after a fork, the others are in the parent
            self._open_line()
        try:
            with self._lock:
                self._line.append(wake)
                self._wake_first()
            yield
        finally:
            with self._lock:
                # An interrupt came before the append, or its loop was closed.
                with contextlib.suppress(ValueError):
                    self._line.remove(wake)
                self._wake_first()

    def _wake_first(self) -> None:
        """Wake the first in line, who may be awake; drop those who cannot be woken."""
        while self._line:
            try:
                self._line[0]()
                return
            except RuntimeError:  # its event loop was closed: nobody waits there now
                self._line.popleft()
