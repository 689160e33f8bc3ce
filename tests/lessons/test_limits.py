"""Lesson 08: the limiter on a clock in our hands, under threads and under asyncio, and
what the server counts.
"""

import asyncio
import contextlib
import importlib.util
import inspect
import itertools
import math
import queue
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from mock_server import MockServer, fault

from tests.benchmarks import limiter as benchmark

SCRIPT = Path(__file__).parents[2] / "lessons" / "08_rate_limiter.py"
HELLO = [{"role": "user", "content": "Hello"}]

_spec = importlib.util.spec_from_file_location("lesson_08", SCRIPT)
lesson = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(lesson)


def on_manual_clock(max_calls: int, period: float) -> tuple[Any, Any]:
    """Return a limiter and the clock it runs on."""
    clock = lesson.ManualClock()
    return lesson.RateLimiter(max_calls, period, clock=clock, sleep=clock.sleep), clock


def wait_until(is_true: Callable[[], object], seconds: float = 5.0) -> None:
    """Wait until is_true() is, at most so many seconds."""
    end = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.001)


class GatedClock:
    """A clock in our hands, on which sleeps end only when the alarm is set; last() is
    its last reading in a thread.
    """

    def __init__(self) -> None:
        self.now, self.asleep, self.alarm = 0.0, threading.Event(), threading.Event()
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


def test_25_calls_at_20_a_minute() -> None:
    """Twenty start at once, the others when a minute is over, and not a moment later."""
    limiter, clock = on_manual_clock(20, 60.0)
    starts = []
    for _ in range(25):
        limiter.acquire()
        starts.append(clock())
    assert Counter(starts) == {0.0: 20, 60.0: 5}


def test_the_edge_is_exact() -> None:
    """Three a second stay three a second for thirty calls that take no time."""
    limiter, clock = on_manual_clock(3, 1.0)
    starts = []
    for _ in range(30):
        limiter.acquire()
        starts.append(clock())
    assert Counter(starts) == {float(second): 3 for second in range(10)}


def test_exactly_a_period_after_is_allowed() -> None:
    """A start exactly one period after is in time, and one that is a moment earlier has
    to wait for that moment.
    """
    limiter, clock = on_manual_clock(1, 1.0)
    limiter.acquire()
    clock.now = 1.0
    assert limiter._start() == 0.0
    clock.now = math.nextafter(2.0, 0.0)
    assert 0 < limiter._start() < 1e-15
    limiter.acquire()
    assert clock() == 2.0


@pytest.mark.parametrize("seed", range(20))
def test_no_window_too_full_and_no_wait_too_long(seed: int) -> None:
    """Random arrivals: each call starts at the first moment that its arrival, its turn
    and the limit allow.
    """
    dice = random.Random(seed)
    max_calls, period = dice.randint(1, 6), dice.choice([0.5, 1.0, 8.0])
    limiter, clock = on_manual_clock(max_calls, period)
    starts: list[float] = []
    for _ in range(200):
        clock.now += dice.choice([0, 0, 0, 0.125, 0.25, period / 2, period])
        earliest = max(
            clock(), starts[-max_calls] + period if len(starts) >= max_calls else 0.0
        )
        limiter.acquire()
        starts.append(clock())
        assert starts[-1] == earliest, (
            f"start {len(starts)} of {max_calls} in {period} s"
        )
    assert benchmark.worst_window(starts, period) <= max_calls


@pytest.mark.parametrize("start", [-1e6, 0.0, 0.1, 1e-9, 12345.678, 1.7e9])
@pytest.mark.parametrize("period", [0.1, 1 / 3, 60.0])
def test_awkward_numbers_end_the_wait(start: float, period: float) -> None:
    """Whatever floating point makes of the sum, a few sleeps are enough and no start is
    early.
    """
    limiter, clock = on_manual_clock(1, period)
    clock.now = start
    sleeps: list[float] = []
    limiter._sleep = lambda seconds: (sleeps.append(seconds), clock.sleep(seconds))
    limiter.acquire()
    assert clock() == start, (
        "the first call has nothing to wait for, whatever the clock says"
    )
    limiter.acquire()
    assert clock() >= start + period
    assert len(sleeps) <= 3, sleeps


def test_a_sleep_that_ends_early_is_slept_again() -> None:
    """The limiter asks the clock after each sleep; it does not trust the sleep."""
    clock = lesson.ManualClock()
    sleeps: list[float] = []

    def nap(seconds: float) -> None:
        sleeps.append(seconds)
        clock.sleep(min(seconds, 16.0))

    limiter = lesson.RateLimiter(1, 60.0, clock=clock, sleep=nap)
    limiter.acquire()
    limiter.acquire()
    assert (sleeps, clock()) == ([60.0, 44.0, 28.0, 12.0], 60.0)


def test_the_clock_is_monotonic_by_default() -> None:
    """What is not given is the clock that nobody can set, and the real sleep."""
    parameters = inspect.signature(lesson.RateLimiter).parameters
    assert [*parameters] == ["max_calls", "period", "clock", "sleep"]
    assert (parameters["clock"].default, parameters["sleep"].default) == (
        time.monotonic,
        time.sleep,
    )
    assert all(
        parameters[name].kind is inspect.Parameter.KEYWORD_ONLY
        for name in ("clock", "sleep")
    )


@pytest.mark.parametrize(
    ("max_calls", "period", "name"),
    [
        (0, 60.0, "max_calls"),
        (-1, 60.0, "max_calls"),
        (20, 0, "period"),
        (20, -1.0, "period"),
        (20, math.nan, "period"),
        (20, math.inf, "period"),
    ],
)
def test_a_limit_that_is_none(max_calls: int, period: float, name: str) -> None:
    """A limit that lets no call through, or that has no period, is refused, and the
    error names what is wrong.
    """
    with pytest.raises(ValueError, match=name):
        lesson.RateLimiter(max_calls, period)


# --- threads --------------------------------------------------------------------------


@pytest.mark.parametrize(("max_calls", "workers"), [(5, 5), (5, 20), (1, 8)])
def test_threads_keep_the_limit(max_calls: int, workers: int) -> None:
    """By its own clock no window is too full, whoever races, and no start is lost: the
    last one is in time.
    """
    period, count = 0.05, 8 * max_calls
    clock = benchmark.NotingClock()
    limiter = lesson.RateLimiter(max_calls, period, clock=clock)
    tickets, starts = queue.SimpleQueue(), queue.SimpleQueue()
    for _ in range(count):
        tickets.put(None)

    def work() -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                tickets.get_nowait()
                limiter.acquire()
                starts.put(clock.last())

    threads = [threading.Thread(target=work) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    times = sorted(starts.get() for _ in range(count))
    assert benchmark.worst_window(times, period) <= max_calls
    took, ideal = times[-1] - times[0], 7 * period
    assert ideal <= took < 2 * ideal, (
        f"{count} calls took {took:.3f} s, the ideal is {ideal:.3f} s"
    )


def test_threads_start_in_the_order_in_which_they_came() -> None:
    """Ten threads stand in line, one after the other, and start in this order."""
    clock = GatedClock()
    limiter = lesson.RateLimiter(1, 1.0, clock=clock, sleep=clock.sleep)
    limiter.acquire()
    starts: dict[int, float] = {}

    def visit(number: int) -> None:
        limiter.acquire()
        starts[number] = clock.last()

    threads = [
        threading.Thread(target=visit, args=(number,)) for number in range(1, 11)
    ]
    for number, thread in enumerate(threads, 1):
        thread.start()
        wait_until(lambda number=number: len(limiter._line) == number)
    clock.alarm.set()
    for thread in threads:
        thread.join(5)
    assert starts == {number: float(number) for number in range(1, 11)}


def test_nobody_overtakes_the_line() -> None:
    """A start that has become free belongs to the first in line, even while he still
    sleeps, and not to a newcomer.
    """
    clock = GatedClock()
    limiter = lesson.RateLimiter(1, 1.0, clock=clock, sleep=clock.sleep)
    limiter.acquire()
    starts: dict[str, float] = {}

    def visit(name: str) -> None:
        limiter.acquire()
        starts[name] = clock.last()

    first, newcomer = (
        threading.Thread(target=visit, args=(name,)) for name in ("first", "newcomer")
    )
    first.start()
    assert clock.asleep.wait(5)
    clock.now = 5.0
    newcomer.start()
    wait_until(lambda: len(limiter._line) == 2 or starts)
    assert not starts, "the newcomer did not stand in line"
    clock.alarm.set()
    first.join(5), newcomer.join(5)
    assert starts == {"first": 6.0, "newcomer": 7.0}


def test_no_lock_is_held_while_one_sleeps() -> None:
    """While the first sleeps, others can join the line and ask."""
    clock = GatedClock()
    limiter = lesson.RateLimiter(1, 60.0, clock=clock, sleep=clock.sleep)
    limiter.acquire()
    threads = [threading.Thread(target=limiter.acquire) for _ in range(3)]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(limiter._line) == 3)
    assert limiter._lock.acquire(timeout=1), "the lock is held by one who sleeps"
    limiter._lock.release()
    assert limiter._start() == 60.0, "asking takes no start and does not wait"
    clock.alarm.set()
    for thread in threads:
        thread.join(5)
    assert clock() == 180.0


def test_whoever_gives_up_in_his_sleep_takes_no_start() -> None:
    """An exception out of the sleep leaves the line, and the next in line goes on."""
    clock = lesson.ManualClock()
    dreams = iter([KeyboardInterrupt, None])

    def sleep(seconds: float) -> None:
        if dream := next(dreams):
            raise dream
        clock.sleep(seconds)

    limiter = lesson.RateLimiter(1, 60.0, clock=clock, sleep=sleep)
    limiter.acquire()
    with pytest.raises(KeyboardInterrupt):
        limiter.acquire()
    assert not limiter._line
    limiter.acquire()
    assert clock() == 60.0


# --- asyncio --------------------------------------------------------------------------


def starts_of_tasks(limiter: Any, clock: Any, count: int) -> list[tuple[float, int]]:
    """Let so many tasks start a call each; return the times and the numbers of the
    tasks, in the order of starts.
    """
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
    """No window is too full, the order is that of arrival, and the last one is in time."""
    clock, period = benchmark.NotingClock(), 0.05
    starts = starts_of_tasks(
        lesson.RateLimiter(max_calls, period, clock=clock), clock, count
    )
    assert [number for _, number in starts] == [*range(count)]
    times = [moment for moment, _ in starts]
    assert benchmark.worst_window(times, period) <= max_calls
    took, ideal = times[-1] - times[0], (count // max_calls - 1) * period
    assert ideal <= took < 2 * ideal, (
        f"{count} calls took {took:.3f} s, the ideal is {ideal:.3f} s"
    )


def test_tasks_ask_the_clock_again() -> None:
    """On a clock that runs at half speed, a task sleeps until that clock says so."""
    clock = benchmark.NotingClock()
    limiter = lesson.RateLimiter(1, 0.04, clock=lambda: clock() / 2)
    times = [moment / 2 for moment, _ in starts_of_tasks(limiter, clock, 3)]
    assert benchmark.worst_window(times, 0.04) == 1


def test_no_task_overtakes_the_line() -> None:
    """A start that has become free belongs to the first in line, even while it still
    sleeps, and not to a newcomer.
    """
    clock = lesson.ManualClock()
    limiter = lesson.RateLimiter(1, 0.05, clock=clock)
    order: list[str] = []

    async def visit(name: str) -> None:
        await limiter.acquire_async()
        order.append(name)
        clock.now += 1.0

    async def run() -> None:
        await limiter.acquire_async()
        first = asyncio.create_task(visit("first"))
        await asyncio.sleep(0.01)
        clock.now += 1.0
        await asyncio.gather(first, visit("newcomer"))

    asyncio.run(run())
    assert order == ["first", "newcomer"]


def test_a_limiter_outlives_its_loop() -> None:
    """The same limiter serves one event loop after the other, and remembers what the
    first one did.
    """
    clock = benchmark.NotingClock()
    limiter = lesson.RateLimiter(2, 0.05, clock=clock)
    times = [
        moment for _ in range(3) for moment, _ in starts_of_tasks(limiter, clock, 3)
    ]
    assert benchmark.worst_window(times, 0.05) <= 2


def test_the_loop_is_never_blocked() -> None:
    """A heart in the same loop beats on while tasks wait, and while a thread sleeps in
    the same limiter.
    """
    limiter = lesson.RateLimiter(1, 0.3)
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

    sleeper = threading.Thread(target=limiter.acquire)
    sleeper.start()
    wait_until(lambda: limiter._line)
    asyncio.run(run())
    sleeper.join(5)
    pauses = [later - beat for beat, later in itertools.pairwise(beats)]
    assert sum(pauses) > 0.8, "three calls have to wait 0.9 s"
    assert max(pauses) < 0.28, f"the loop stood still for {max(pauses):.3f} s"


@pytest.mark.parametrize("cancelled", [{0}, {1}, {0, 1}, {2}, {0, 2}])
def test_cancelled_waiters_take_no_start(cancelled: set[int]) -> None:
    """Whoever is cancelled, first in line or not: the others move up, in their order,
    and start in time.
    """
    clock, period = benchmark.NotingClock(), 0.2
    limiter = lesson.RateLimiter(1, period, clock=clock)
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
    assert [number for _, number in starts] == [
        number for number in range(4) if number not in cancelled
    ]
    took, ideal = starts[-1][0] - began, len(starts) * period
    assert took < ideal + 0.15, (
        f"a cancelled waiter was waited for: {took:.3f} s in place of {ideal:.3f} s"
    )


def test_a_timeout_takes_no_start() -> None:
    """asyncio.timeout around acquire_async gives up in time and leaves nothing behind."""
    limiter = lesson.RateLimiter(1, 60.0)

    async def run() -> None:
        await limiter.acquire_async()
        for _ in range(3):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await limiter.acquire_async()

    began = time.monotonic()
    asyncio.run(run())
    assert time.monotonic() - began < 1
    assert not limiter._line
    assert [*limiter._starts][:-1] == [], "the period knows one start only"


def test_threads_and_tasks_stand_in_one_line() -> None:
    """Threads, and tasks of several loops, share a limiter: they wake each other, and
    keep limit and order.
    """
    clock, alarm, period = benchmark.NotingClock(), threading.Event(), 0.05

    def sleep(
        seconds: float,
    ) -> None:  # so that the first stays asleep until all stand in line
        alarm.wait(5)
        time.sleep(seconds)

    limiter = lesson.RateLimiter(1, period, clock=clock, sleep=sleep)
    limiter.acquire()
    starts: list[tuple[float, int]] = []

    def visit(number: int) -> None:
        limiter.acquire()
        starts.append((clock.last(), number))

    async def visit_async(number: int) -> None:
        await limiter.acquire_async()
        starts.append((clock.last(), number))

    targets = [visit, lambda number: asyncio.run(visit_async(number))] * 4
    threads = [
        threading.Thread(target=target, args=(number,))
        for number, target in enumerate(targets)
    ]
    for number, thread in enumerate(threads, 1):
        thread.start()
        wait_until(lambda number=number: len(limiter._line) == number)
    alarm.set()
    for thread in threads:
        thread.join(5)
    assert [number for _, number in sorted(starts)] == [*range(8)]
    assert benchmark.worst_window([moment for moment, _ in sorted(starts)], period) <= 1


# --- the decorator --------------------------------------------------------------------


def test_decorator_for_functions() -> None:
    """A function waits before each call, and else stays what it is: arguments, result,
    name, docstring, errors.
    """
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


def test_decorator_for_async_functions() -> None:
    """An async function stays one, and its calls wait as tasks do."""
    limiter = lesson.RateLimiter(2, 0.1)

    @limiter
    async def add(one: int, other: int) -> int:
        """Add."""
        return one + other

    async def run() -> list[int]:
        return await asyncio.gather(*[add(number, other=1) for number in range(4)])

    assert inspect.iscoroutinefunction(add) and (add.__name__, add.__doc__) == (
        "add",
        "Add.",
    )
    began = time.monotonic()
    assert asyncio.run(run()) == [1, 2, 3, 4]
    assert time.monotonic() - began >= 0.1


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
    assert [both.one(), both.other(), both.one(), both.other()] == [
        0.0,
        0.0,
        60.0,
        60.0,
    ]


# --- the client, and what the server counts -------------------------------------------


@pytest.fixture
def strict() -> Iterator[tuple[MockServer, Any]]:
    """A server that allows 20 requests a minute, and the clock that it shares with us."""
    clock = lesson.ManualClock()
    with MockServer(requests_per_minute=20, clock=clock) as server:
        yield server, clock


def account(server: MockServer) -> tuple[str, str]:
    """Return what every client needs to know about a server."""
    return server.api_key, server.base_url


def test_with_and_without_the_limiter(strict: tuple[MockServer, Any]) -> None:
    """Of 25 calls the server refuses five, and none with a limiter, which lets a minute
    pass for it.
    """
    server, clock = strict
    assert lesson.make_calls(lesson.PlainAPIClient(*account(server)), 25) == {
        200: 20,
        429: 5,
    }
    server.reset()
    limiter = lesson.RateLimiter(20, 60.0, clock=clock, sleep=clock.sleep)
    client = lesson.APIClientWithRateLimit(*account(server), limiter=limiter)
    assert lesson.make_calls(client, 25) == {200: 25}
    assert (len(server.records), clock()) == (25, 60.0)


def test_twenty_a_minute_is_the_default(server: MockServer) -> None:
    """Without another limiter, a client may start 20 calls a minute."""
    limiter = lesson.APIClientWithRateLimit(*account(server)).limiter
    assert (len(limiter._starts), limiter._starts.maxlen, limiter._period) == (
        20,
        20,
        60.0,
    )


def test_clients_of_one_account_share_a_limiter(server: MockServer) -> None:
    """Same address and key, same limiter; another key, another address or a limiter of
    one's own, another.
    """
    one = lesson.APIClientWithRateLimit(*account(server))
    assert (
        lesson.APIClientWithRateLimit(server.api_key, server.base_url + "/").limiter
        is one.limiter
    )
    assert (
        lesson.APIClientWithRateLimit("another-key", server.base_url).limiter
        is not one.limiter
    )
    assert (
        lesson.APIClientWithRateLimit(server.api_key, server.url).limiter
        is not one.limiter
    )
    own = lesson.RateLimiter(1, 1.0)
    assert lesson.APIClientWithRateLimit(*account(server), limiter=own).limiter is own
    assert lesson.APIClientWithRateLimit(*account(server)).limiter is one.limiter
    assert server.api_key not in repr(lesson.APIClientWithRateLimit.limiters)


def test_a_request_that_fails_has_started_too(server: MockServer) -> None:
    """Refused or broken off, a request has reached the server, so it counts."""
    clock = lesson.ManualClock()
    limiter = lesson.RateLimiter(1, 60.0, clock=clock, sleep=clock.sleep)
    client = lesson.APIClientWithRateLimit(*account(server), limiter=limiter)
    server.script(fault.status(401), fault.drop("rst"))
    with pytest.raises(requests.HTTPError):
        client.chat_completion(HELLO, "mock-small")
    with pytest.raises(requests.ConnectionError):
        client.chat_completion(HELLO, "mock-small")
    assert client.chat_completion(HELLO, "mock-small")["object"] == "chat.completion"
    assert (len(server.records), clock()) == (3, 120.0)


def test_a_client_needs_a_key_and_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a key, or without an address, there is no client; the environment may
    hold both.
    """
    monkeypatch.setenv("OPENAI_API_KEY", "a-key")
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with pytest.raises(ValueError, match="OPENAI_BASE_URL"):
        lesson.APIClientWithRateLimit()
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1/")
    assert lesson.APIClientWithRateLimit().base_url == "http://127.0.0.1:1/v1"


# --- the headers ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0s", 0.0),
        ("8ms", 0.008),
        ("1s", 1.0),
        ("1.5s", 1.5),
        ("1m30.25s", 90.25),
        ("6m0s", 360.0),
        ("1h0m1s", 3601.0),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    """The durations that services write."""
    assert lesson.duration_seconds(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("limit", "remaining", "reset", "pause"),
    [
        ("20", "1", "57s", 0.0),
        ("20", "0", "1m0s", 3.0),
        ("60", "0", "1m0s", 1.0),
        ("3000", "0", "60s", 0.02),
    ],
)
def test_pauses(limit: str, remaining: str, reset: str, pause: float) -> None:
    """As long as something is left there is no pause; then one for one request."""
    values = {"limit": limit, "remaining": remaining, "reset": reset}
    headers = {f"x-ratelimit-{name}-requests": value for name, value in values.items()}
    assert lesson.pause_after(headers) == pytest.approx(pause)


def test_no_headers_no_pause() -> None:
    """A service that says nothing is not waited for."""
    assert lesson.pause_after({}) == 0.0


@pytest.mark.parametrize("limit", [1, 7, 20, 59])
def test_whoever_reads_the_headers_is_not_refused(limit: int) -> None:
    """For awkward limits too, and although another program has used most of the minute."""
    clock = lesson.ManualClock()
    with MockServer(requests_per_minute=limit, clock=clock) as server:
        lesson.make_calls(lesson.PlainAPIClient(*account(server)), limit - 1)
        reader = lesson.HeaderReadingClient(*account(server))
        reader.sleep = clock.sleep
        assert lesson.make_calls(reader, 30) == {200: 30}
        assert clock() == pytest.approx(29 * 60 / limit)


# --- the benchmark --------------------------------------------------------------------


@pytest.mark.parametrize("name", benchmark.CONTENDERS)
def test_the_benchmark_runs(name: str) -> None:
    """Every contender of the benchmark can be measured, and only aiolimiter fills a
    window with more than the limit.
    """
    result = benchmark.CONTENDERS[name](5, 0.1)
    assert (result.worst > 5) == (name == "aiolimiter, asyncio"), result
    assert result.admitted > 0.5


def test_the_benchmark_counts() -> None:
    """Windows contain their beginning and not their end; what is missing lowers the
    share.
    """
    assert benchmark.worst_window([0.0, 0.5, 1.0, 1.5], 1.0) == 2
    assert benchmark.worst_window([0.0, 0.5, 0.999], 1.0) == 3
    assert benchmark.judge([0.0, 1.0, 2.0, 3.0, 4.001], 1, 1.0) == (
        1.0,
        1,
        pytest.approx(1.0),
    )
    assert benchmark.judge([0.0, 1.0, 2.0, 3.0], 1, 1.0).admitted == 0.8
