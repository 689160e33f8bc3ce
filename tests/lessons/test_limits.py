"""Lesson 08: the limiter on a clock in our hands, under threads and under asyncio, and
what the server counts.
"""

import asyncio
import contextlib
import functools
import gc
import inspect
import itertools
import math
import multiprocessing
import os
import random
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from mock_server import MockServer, fault
from robust_client.errors import (
    APIConnectionError,
    AuthenticationError,
    RateLimitError,
)
from robust_client.limits import APIClientWithRateLimit, RateLimiter
from robust_client.retry import RobustAPIClient, retry_on_error
from robust_client.stream import IncompleteStreamError

from tests.benchmarks import limiter as benchmark
from tests.benchmarks.limiter import NotingClock, worst_window

HELLO = [{"role": "user", "content": "Hello"}]


class ManualClock:
    """A clock on which time passes only when somebody sleeps, or when we say so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let the seconds pass, in no time."""
        self.now += seconds


def on_manual_clock(max_calls: int, period: float) -> tuple[RateLimiter, ManualClock]:
    """Return a limiter and the clock it runs on."""
    clock = ManualClock()
    return RateLimiter(max_calls, period, clock=clock, sleep=clock.sleep), clock


def starts_of(limiter: RateLimiter, clock: ManualClock, count: int) -> list[float]:
    """Return when so many calls in a row start."""
    starts = []
    for _ in range(count):
        limiter.acquire()
        starts.append(clock())
    return starts


def wait_until(is_true: Callable[[], object]) -> None:
    """Wait until is_true() is, at most 5 seconds."""
    end = time.monotonic() + 5
    while not is_true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.001)


def in_line(limiter: RateLimiter) -> int:
    """Return how many stand in line."""
    return len(limiter._line.places)


def in_threads(*functions: Callable[[], object]) -> list[threading.Thread]:
    """Start functions, each in a thread that ends with this process."""
    threads = [threading.Thread(target=one, daemon=True) for one in functions]
    for thread in threads:
        thread.start()
    return threads


def join(threads: list[threading.Thread]) -> None:
    """Wait for threads, at most 10 seconds for each."""
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive(), "a thread waits for ever"


class GatedClock(ManualClock):
    """A clock on which sleeps end only when the alarm is set; last() is its last
    reading in a thread.
    """

    def __init__(self) -> None:
        super().__init__()
        self.asleep, self.alarm = threading.Event(), threading.Event()
        self._said = threading.local()

    def __call__(self) -> float:
        self._said.last = self.now
        return self.now

    def last(self) -> float:
        """Return when the limiter let this thread go."""
        return self._said.last

    def sleep(self, seconds: float) -> None:
        """Sleep until the alarm; then the seconds have passed."""
        self.asleep.set()
        assert self.alarm.wait(5), "nobody set the alarm"
        self.now += seconds


# --- the rule, on a clock in our hands ------------------------------------------------


@pytest.mark.parametrize(
    ("max_calls", "period", "count", "starts"),
    [
        (20, 60.0, 25, {0.0: 20, 60.0: 5}),
        (3, 1.0, 30, {float(second): 3 for second in range(10)}),
    ],
)
def test_starts(max_calls: int, period: float, count: int, starts: dict) -> None:
    """So many start at once, the others exactly a period later, and so on."""
    limiter, clock = on_manual_clock(max_calls, period)
    assert Counter(starts_of(limiter, clock, count)) == starts


def test_exactly_a_period_after_is_allowed() -> None:
    """A start exactly one period after is in time; a moment earlier it has to wait."""
    limiter, clock = on_manual_clock(1, 1.0)
    limiter.acquire()
    clock.now = 1.0
    assert limiter._line.start() == 0.0
    clock.now = math.nextafter(2.0, 0.0)
    assert 0 < limiter._line.start() < 1e-15


@pytest.mark.parametrize("seed", range(20))
def test_no_window_too_full_and_no_wait_too_long(seed: int) -> None:
    """Each of many calls starts at the first moment that arrival and limit allow."""
    dice = random.Random(seed)
    max_calls, period = dice.randint(1, 6), dice.choice([0.5, 1.0, 8.0])
    limiter, clock = on_manual_clock(max_calls, period)
    starts: list[float] = []
    for number in range(200):
        clock.now += dice.choice([0, 0, 0, 0.125, 0.25, period / 2, period])
        free = starts[-max_calls] + period if number >= max_calls else 0.0
        earliest = max(clock(), free)
        limiter.acquire()
        starts.append(clock())
        assert starts[-1] == earliest, f"start {number} of {max_calls} in {period} s"
    assert worst_window(starts, period) <= max_calls


@pytest.mark.parametrize("start", [-1e6, 0.0, 0.1, 1e-9, 12345.678, 1.7e9])
@pytest.mark.parametrize("period", [0.1, 1 / 3, 60.0])
def test_awkward_numbers_end_the_wait(start: float, period: float) -> None:
    """Floating point makes no start early, and a few sleeps are enough."""
    limiter, clock = on_manual_clock(1, period)
    clock.now = start
    sleeps: list[float] = []
    limiter._sleep = lambda seconds: (sleeps.append(seconds), clock.sleep(seconds))
    first, second = starts_of(limiter, clock, 2)
    assert first == start, "the first call waited for nothing"
    assert second >= start + period and len(sleeps) <= 3, sleeps


def test_a_sleep_that_ends_early_is_slept_again() -> None:
    """The limiter asks the clock after each sleep; it does not trust the sleep."""
    clock, sleeps = ManualClock(), []

    def nap(seconds: float) -> None:
        sleeps.append(seconds)
        clock.sleep(min(seconds, 16.0))

    limiter = RateLimiter(1, 60.0, clock=clock, sleep=nap)
    assert starts_of(limiter, clock, 2) == [0.0, 60.0]
    assert sleeps == [60.0, 44.0, 28.0, 12.0]


def test_the_clock_is_monotonic_by_default() -> None:
    """What is not given is the clock that nobody can set, and the real sleep."""
    parameters = inspect.signature(RateLimiter).parameters
    assert [*parameters] == ["max_calls", "period", "clock", "sleep"]
    given = {name: parameters[name].default for name in ("clock", "sleep")}
    assert given == {"clock": time.monotonic, "sleep": time.sleep}


@pytest.mark.parametrize(
    ("max_calls", "period", "name"),
    [
        (0, 60.0, "max_calls"),
        (-1, 60.0, "max_calls"),
        (2.5, 60.0, "max_calls"),
        (20, 0, "period"),
        (20, -1.0, "period"),
        (20, math.nan, "period"),
        (20, math.inf, "period"),
    ],
)
def test_a_limit_that_lets_none_through(
    max_calls: int, period: float, name: str
) -> None:
    """Such a limit is refused, and the error names what is wrong."""
    with pytest.raises(ValueError, match=name):
        RateLimiter(max_calls, period)


# --- threads --------------------------------------------------------------------------


@pytest.mark.parametrize(("max_calls", "workers"), [(5, 5), (5, 20), (1, 8)])
def test_threads_keep_the_limit(max_calls: int, workers: int) -> None:
    """By its own clock no window is too full, and none is left empty."""
    period, count, clock = 0.05, 8 * max_calls, NotingClock()
    limiter = RateLimiter(max_calls, period, clock=clock)
    tickets, times = iter(range(count)), []

    def work() -> None:
        for _ in tickets:
            limiter.acquire()
            times.append(clock.last())

    join(in_threads(*[work] * workers))
    times.sort()
    assert len(times) == count and worst_window(times, period) <= max_calls
    took = times[-1] - times[0]
    assert 7 * period <= took < 14 * period, f"{count} calls took {took:.3f} s"


def test_threads_start_in_the_order_in_which_they_came() -> None:
    """Ten threads stand in line, one after the other, and start in this order."""
    clock, starts = GatedClock(), {}
    limiter = RateLimiter(1, 1.0, clock=clock, sleep=clock.sleep)
    limiter.acquire()

    def visit(number: int) -> None:
        limiter.acquire()
        starts[number] = clock.last()

    threads = []
    for number in range(1, 11):
        threads += in_threads(functools.partial(visit, number))
        wait_until(lambda number=number: in_line(limiter) == number)
    clock.alarm.set()
    join(threads)
    assert starts == {number: float(number) for number in range(1, 11)}


def test_nobody_overtakes_the_line() -> None:
    """A start that is free again belongs to the first in line, even while he sleeps."""
    clock, starts = GatedClock(), {}
    limiter = RateLimiter(1, 1.0, clock=clock, sleep=clock.sleep)
    limiter.acquire()

    def visit(name: str) -> None:
        limiter.acquire()
        starts[name] = clock.last()

    first = in_threads(functools.partial(visit, "first"))
    assert clock.asleep.wait(5)
    clock.now = 5.0
    newcomer = in_threads(functools.partial(visit, "newcomer"))
    wait_until(lambda: in_line(limiter) == 2 or starts)
    assert not starts, "the newcomer did not stand in line"
    clock.alarm.set()
    join(first + newcomer)
    assert starts == {"first": 6.0, "newcomer": 7.0}


def test_no_lock_is_held_while_one_sleeps() -> None:
    """While the first sleeps, others can join the line and ask."""
    clock = GatedClock()
    limiter = RateLimiter(1, 60.0, clock=clock, sleep=clock.sleep)
    limiter.acquire()
    threads = in_threads(*[limiter.acquire] * 3)
    wait_until(lambda: in_line(limiter) == 3)
    assert limiter._line.lock.acquire(timeout=1), "the lock is held by one who sleeps"
    limiter._line.lock.release()
    clock.alarm.set()
    join(threads)
    assert clock() == 180.0


def test_who_gives_up_in_a_sleep_takes_no_start() -> None:
    """An exception out of the sleep leaves the line, and the next in line goes on."""
    clock, dreams = ManualClock(), iter([KeyboardInterrupt, None])

    def sleep(seconds: float) -> None:
        if dream := next(dreams):
            raise dream
        clock.sleep(seconds)

    limiter = RateLimiter(1, 60.0, clock=clock, sleep=sleep)
    limiter.acquire()
    with pytest.raises(KeyboardInterrupt):
        limiter.acquire()
    assert in_line(limiter) == 0
    limiter.acquire()
    assert clock() == 60.0


# --- asyncio --------------------------------------------------------------------------


def starts_of_tasks(
    limiter: RateLimiter, clock: NotingClock, count: int
) -> list[tuple[float, int]]:
    """Let tasks start a call each; return times and task numbers, in their order."""
    starts: list[tuple[float, int]] = []

    async def visit(number: int) -> None:
        await limiter.acquire_async()
        starts.append((clock.last(), number))

    async def run() -> None:
        await asyncio.gather(*[visit(number) for number in range(count)])

    asyncio.run(run())
    return starts


@pytest.mark.parametrize(("max_calls", "count"), [(5, 30), (1, 6)])
def test_tasks_keep_limit_and_order(max_calls: int, count: int) -> None:
    """No window is too full, the order is that of arrival, and the last is in time."""
    clock, period = NotingClock(), 0.05
    starts = starts_of_tasks(RateLimiter(max_calls, period, clock=clock), clock, count)
    assert [number for _, number in starts] == [*range(count)]
    times = [moment for moment, _ in starts]
    assert worst_window(times, period) <= max_calls
    took, ideal = times[-1] - times[0], (count // max_calls - 1) * period
    assert ideal <= took < 2 * ideal, f"{count} calls took {took:.3f} s"


def test_tasks_ask_the_clock_again() -> None:
    """On a clock that runs at half speed, a task sleeps until that clock says so."""
    clock = NotingClock()
    limiter = RateLimiter(1, 0.04, clock=lambda: clock() / 2)
    times = [moment / 2 for moment, _ in starts_of_tasks(limiter, clock, 3)]
    assert worst_window(times, 0.04) == 1


def test_a_limiter_serves_one_loop_after_the_other() -> None:
    """In a second event loop, it remembers what the first one did."""
    clock = NotingClock()
    limiter = RateLimiter(2, 0.05, clock=clock)
    runs = [starts_of_tasks(limiter, clock, 3) for _ in range(3)]
    times = [moment for run in runs for moment, _ in run]
    assert worst_window(times, 0.05) <= 2


def test_the_loop_is_never_blocked() -> None:
    """A heart in the loop beats on while tasks wait, behind a thread that sleeps."""
    limiter = RateLimiter(1, 0.3)
    limiter.acquire()
    beats: list[float] = []

    async def heart() -> None:
        while True:
            beats.append(time.monotonic())
            await asyncio.sleep(0.005)

    async def run() -> None:
        beating = asyncio.create_task(heart())
        await asyncio.gather(limiter.acquire_async(), limiter.acquire_async())
        beating.cancel()

    sleeper = in_threads(limiter.acquire)
    wait_until(lambda: in_line(limiter))
    asyncio.run(run())
    join(sleeper)
    pauses = [later - beat for beat, later in itertools.pairwise(beats)]
    assert sum(pauses) > 0.8, "three calls have to wait 0.9 s"
    assert max(pauses) < 0.28, f"the loop stood still for {max(pauses):.3f} s"


@pytest.mark.parametrize("cancelled", [{0}, {1}, {0, 1}, {2}, {0, 2}])
def test_cancelled_waiters_take_no_start(cancelled: set[int]) -> None:
    """The others move up, in their order, and start in time."""
    clock, period = NotingClock(), 0.2
    limiter = RateLimiter(1, period, clock=clock)
    starts: list[tuple[float, int]] = []

    async def visit(number: int) -> None:
        await limiter.acquire_async()
        starts.append((clock.last(), number))

    async def run() -> None:
        limiter.acquire()
        tasks = [asyncio.create_task(visit(number)) for number in range(4)]
        await asyncio.sleep(0.02)
        for number in cancelled:
            tasks[number].cancel()
        done, _ = await asyncio.wait(tasks)
        assert sum(task.cancelled() for task in done) == len(cancelled)

    began = time.monotonic()
    asyncio.run(run())
    assert [number for _, number in starts] == sorted({0, 1, 2, 3} - cancelled)
    late = starts[-1][0] - began - len(starts) * period
    assert late < 0.15, f"a cancelled waiter was waited for: {late:.3f} s"


def test_a_timeout_takes_no_start() -> None:
    """asyncio.timeout around acquire_async gives up, and leaves nothing behind."""
    limiter, clock = on_manual_clock(2, 60.0)

    async def run() -> None:
        await limiter.acquire_async()
        await limiter.acquire_async()
        for _ in range(3):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await limiter.acquire_async()

    asyncio.run(run())
    assert in_line(limiter) == 0
    clock.now = 60.0
    assert starts_of(limiter, clock, 3) == [60.0, 60.0, 120.0]


def test_threads_and_tasks_stand_in_one_line() -> None:
    """Threads, and tasks of several loops, wake each other and keep limit and order."""
    clock, alarm, period = NotingClock(), threading.Event(), 0.05
    starts: list[tuple[float, int]] = []

    def sleep(seconds: float) -> None:  # the first stays asleep until all are in line
        alarm.wait(5)
        time.sleep(seconds)

    limiter = RateLimiter(1, period, clock=clock, sleep=sleep)
    limiter.acquire()

    def visit(number: int) -> None:
        limiter.acquire()
        starts.append((clock.last(), number))

    async def visit_async(number: int) -> None:
        await limiter.acquire_async()
        starts.append((clock.last(), number))

    targets = [visit, lambda number: asyncio.run(visit_async(number))] * 4
    threads = []
    for number, target in enumerate(targets):
        threads += in_threads(functools.partial(target, number))
        wait_until(lambda number=number: in_line(limiter) == number + 1)
    alarm.set()
    join(threads)
    assert [number for _, number in sorted(starts)] == [*range(8)]
    assert worst_window([moment for moment, _ in sorted(starts)], period) <= 1


# --- what a limiter outlives ----------------------------------------------------------


@pytest.mark.parametrize("is_kept", [True, False])
def test_a_loop_that_was_closed_with_tasks_in_line(is_kept: bool) -> None:
    """Tasks that will never run again do not keep the next caller waiting, whether or
    not somebody still holds them.
    """
    limiter, clock = on_manual_clock(1, 60.0)
    limiter.acquire()
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda *_: None)  # tasks destroyed while pending
    tasks = [loop.create_task(limiter.acquire_async()) for _ in range(3)]
    loop.run_until_complete(asyncio.sleep(0.02))
    assert in_line(limiter) == 3
    loop.close()
    if not is_kept:
        tasks.clear()
        gc.collect()
    join(in_threads(limiter.acquire))
    assert clock() == 60.0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
@pytest.mark.parametrize("is_locked", [False, True])
def test_a_fork_with_a_thread_in_line(is_locked: bool) -> None:
    """In the child, the line is empty and its lock is free; the starts are kept."""
    clock = GatedClock()
    limiter = RateLimiter(1, 60.0, clock=clock, sleep=clock.sleep)
    limiter.acquire()
    threads = in_threads(limiter.acquire)
    assert clock.asleep.wait(5)

    def acquire_in_child() -> None:
        clock.alarm.set()
        limiter.acquire()
        os._exit(7 if clock() == 60.0 else 8)

    fork = multiprocessing.get_context("fork")
    child = fork.Process(target=acquire_in_child, daemon=True)
    if is_locked:  # at that moment, by another thread
        free, held = threading.Event(), threading.Event()

        def hold() -> None:
            with limiter._line.lock:
                held.set()
                free.wait(5)

        threads += in_threads(hold)
        assert held.wait(5)
    child.start()
    child.join(10)
    is_hanging = child.exitcode is None
    child.kill()
    if is_locked:
        free.set()
    clock.alarm.set()
    join(threads)
    assert not is_hanging, "the child waits for a thread of its parent"
    assert child.exitcode == 7, "the child forgot the starts of its parent"


# --- the decorator --------------------------------------------------------------------


def test_decorator_for_functions() -> None:
    """A function waits before each call, and stays what it is in all other respects."""
    limiter, clock = on_manual_clock(2, 60.0)

    @limiter
    def divide(one: float, other: float = 2.0) -> float:
        """Divide."""
        return one / other

    assert (divide.__name__, divide.__doc__) == ("divide", "Divide.")
    assert (divide(8.0), clock()) == (4.0, 0.0)
    with pytest.raises(ZeroDivisionError):
        divide(8.0, other=0.0)
    assert (divide(8.0), clock()) == (4.0, 60.0), "a call that fails has started too"


async def add(one: int, other: int) -> int:
    """Add."""
    return one + other


class Adder:
    """An object that is called like an async function."""

    async def __call__(self, one: int, other: int) -> int:
        """Add."""
        return one + other


ASYNC = {
    "async def": add,
    "partial": functools.partial(add),
    "lambda": lambda *args, **kwargs: add(*args, **kwargs),
    "object": Adder(),
    "future": lambda one, other: asyncio.ensure_future(add(one, other)),
}


@pytest.mark.parametrize("name", ASYNC)
def test_decorator_for_what_is_async(name: str) -> None:
    """What returns an awaitable waits as tasks do, and the loop goes on meanwhile."""
    limited = RateLimiter(2, 0.2)(ASYNC[name])
    assert inspect.iscoroutinefunction(limited) == (name in ("async def", "partial"))

    async def run() -> list[int]:
        calls = [limited(number, other=1) for number in range(4)]
        assert time.monotonic() - began < 0.2, "the loop stood still"
        return await asyncio.gather(*calls)

    began = time.monotonic()
    assert asyncio.run(run()) == [1, 2, 3, 4]
    assert time.monotonic() - began >= 0.2, "nobody waited"


async def async_numbers() -> AsyncIterator[int]:
    """Yield a number."""
    yield 1


def numbers() -> Iterator[int]:
    """Yield a number."""
    yield 1


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (numbers, "generator"),
        (async_numbers, "generator"),
        ("a text", "decorates a function"),
        (None, "decorates a function"),
    ],
)
def test_decorator_refuses(wrong: Any, reason: str) -> None:
    """Generators run while they are read, and a text is no function: TypeError."""
    with pytest.raises(TypeError, match=reason):
        RateLimiter(1, 1.0)(wrong)


def test_one_limiter_for_several_functions() -> None:
    """Functions and methods that share a limiter share its starts."""
    limiter, clock = on_manual_clock(2, 60.0)

    class Both:
        @limiter
        def one(self) -> float:
            return clock()

        @limiter
        def other(self) -> float:
            return clock()

    both = Both()
    starts = [both.one(), both.other(), both.one(), both.other()]
    assert starts == [0.0, 0.0, 60.0, 60.0]


# --- the client, and what the server counts -------------------------------------------


@pytest.fixture
def clock() -> ManualClock:
    """A clock for the limiter and the server."""
    return ManualClock()


@pytest.fixture
def strict(clock: ManualClock) -> Iterator[MockServer]:
    """A server that allows 20 requests a minute."""
    with MockServer(requests_per_minute=20, clock=clock) as server:
        yield server


def account(server: MockServer) -> tuple[str, str, str]:
    """Return what every client needs to know about a server."""
    return server.api_key, server.base_url, "mock-small"


def limited_client(
    server: MockServer, clock: ManualClock, max_calls: int = 20, retry: Any = None
) -> APIClientWithRateLimit:
    """Return a client on the manual clock."""
    client = APIClientWithRateLimit(*account(server), retry=retry)
    sleep = clock.sleep
    client.limiter = RateLimiter(max_calls, 60.0, clock=clock, sleep=sleep)
    return client


def statuses(server: MockServer) -> list[int | None]:
    """Return the statuses of the server's records."""
    return [record.status for record in server.records]


def quick_retry(max_retries: int = 3) -> Any:
    """Return a retry that does not wait."""
    return retry_on_error(max_retries, sleep=lambda _: None)


def test_with_and_without_the_limiter(strict: MockServer, clock: ManualClock) -> None:
    """Of 25 calls the server refuses five, and none with a limiter: it waits."""
    plain = RobustAPIClient(*account(strict), retry=None)
    for _ in range(25):
        with contextlib.suppress(RateLimitError):
            plain.chat_completion(HELLO)
    assert statuses(strict).count(429) == 5
    strict.reset()
    client = limited_client(strict, clock)
    for _ in range(25):
        client.chat_completion(HELLO)
    assert (statuses(strict), clock()) == ([200] * 25, 60.0)


def test_twenty_a_minute_is_the_default(server: MockServer) -> None:
    """Without another limit, a client may start 20 calls a minute."""
    window = APIClientWithRateLimit(*account(server)).limiter._line.window
    assert (window.starts.maxlen, window.period) == (20, 60.0)


def test_clients_of_one_account_share_a_limiter(server: MockServer) -> None:
    """Same address, key and limit: same limiter. Nobody sees a key in the dict."""
    key, address, _ = account(server)
    one = APIClientWithRateLimit(key, address).limiter
    assert APIClientWithRateLimit(key, address + "/", "other-model").limiter is one
    for other in (
        APIClientWithRateLimit("another-key", address),
        APIClientWithRateLimit(key, server.url + "/v2"),
        APIClientWithRateLimit(key, address, max_calls=21),
        APIClientWithRateLimit(key, address, period=61.0),
    ):
        assert other.limiter is not one
    assert key not in repr(APIClientWithRateLimit.limiters)


@pytest.mark.parametrize(
    ("broken", "error"),
    [
        (fault.status(401), AuthenticationError),
        (fault.drop("rst"), APIConnectionError),
    ],
)
def test_a_request_that_fails_has_started_too(
    server: MockServer, clock: ManualClock, broken: Any, error: type[Exception]
) -> None:
    """Refused or broken off, a request has reached the server, so it counts."""
    client = limited_client(server, clock, max_calls=1)
    server.script(broken)
    with pytest.raises(error):
        client.chat_completion(HELLO)
    client.chat_completion(HELLO)
    assert (len(server.records), clock()) == (2, 60.0)


def test_retries_pass_the_limiter_again(server: MockServer, clock: ManualClock) -> None:
    """Each try of a call is a request, and waits for its start."""
    client = limited_client(server, clock, max_calls=1, retry=quick_retry())
    server.script(fault.status(503), fault.drop("rst"))
    assert client.chat_completion(HELLO)["object"] == "chat.completion"
    assert (statuses(server), clock()) == ([503, None, 200], 120.0)


def test_a_stream_is_limited_and_repeated(
    server: MockServer, clock: ManualClock
) -> None:
    """Its tries count, before the first text; after it there is none."""
    client = limited_client(server, clock, max_calls=1, retry=quick_retry())
    server.script(fault.status(429, retry_after=0), fault.truncate(after_events=0))
    whole = "".join(client.chat_completion_stream(HELLO))
    assert whole and (statuses(server), clock()) == ([429, 200, 200], 120.0)
    server.script(fault.truncate(after_events=3))
    with pytest.raises(IncompleteStreamError) as caught:
        list(client.chat_completion_stream(HELLO))
    assert whole.startswith(caught.value.partial) and caught.value.partial
    assert (len(server.records), clock()) == (4, 180.0)


# --- the benchmark --------------------------------------------------------------------


@pytest.mark.parametrize("name", benchmark.CONTENDERS)
def test_the_benchmark_runs(name: str) -> None:
    """Every contender can be measured, and only aiolimiter fills a window too much."""
    result = benchmark.CONTENDERS[name](5, 0.1)
    assert (result.worst > 5) == (name == "aiolimiter, asyncio"), result
    assert result.admitted > 0.5


def test_the_benchmark_counts() -> None:
    """Windows contain their beginning and not their end; a missing call counts."""
    assert worst_window([0.0, 0.5, 1.0, 1.5], 1.0) == 2
    assert worst_window([0.0, 0.5, 0.999], 1.0) == 3
    late = pytest.approx(1.0)
    assert benchmark.judge([0.0, 1.0, 2.0, 3.0, 4.001], 1, 1.0) == (1.0, 1, late)
    assert benchmark.judge([0.0, 1.0, 2.0, 3.0], 1, 1.0).admitted == 0.8
