"""Exercise 08: never too many starts in a window, for threads and for asyncio, and,
further, calls that weigh more.
"""

import asyncio
import contextlib
import functools
import inspect
import itertools
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, Future, wait
from types import CodeType, FrameType
from typing import Any

import pytest
import requests
from mock_server import MockServer

from tests.grader.steps import call, expect, expect_raises, log, run_async

# seconds that a start may be late on a clock of the test's own, for those who look at
# it in small steps
LATE = 0.05

# seconds that a thread stands still between two lines, so that another can come
STANDSTILL = 0.005


class Clock:
    """A clock in our hands, on which a sleep takes no time.

    looks: how often somebody looked at it. sleeps: how long each sleep was asked to be.
    """

    __name__ = "clock"  # so the learner reads clock=clock

    def __init__(self, overslept: float = 1.0) -> None:
        self.now, self.overslept, self.looks, self.sleeps = 0.0, overslept, 0, []

    def __call__(self) -> float:
        self.looks += 1
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let the seconds pass, or a multiple of them."""
        if seconds < 0:  # as time.sleep does
            raise ValueError("sleep length must be non-negative")
        self.sleeps.append(seconds)
        self.now += seconds * self.overslept


class StandingClock(Clock):
    """A clock that only the test moves, until all is over.

    A sleep ends early, since threads may sleep for tasks.
    """

    def __init__(self) -> None:
        super().__init__()
        self.is_over = threading.Event()

    def sleep(self, seconds: float) -> None:
        """Sleep for a moment, and let no time pass."""
        self.is_over.wait(0.01)
        self.now += self.is_over.is_set() * seconds


def on(answer: Any, clock: Any, max_calls: int, period: float) -> Any:
    """Return a limiter that uses a clock of ours, and its sleep.

    Fails the test if another limiter, which is tried first, looks elsewhere for the
    time: on such a one, some tests would wait for minutes.
    """
    if isinstance(clock, Clock):
        step = (
            "unrelated = RateLimiter(1, 0.02, clock=clock, sleep=clock.sleep); "
            "unrelated.acquire(); unrelated.acquire()"
        )
        probe, began = Clock(), time.monotonic()
        other = answer.RateLimiter(1, 0.02, clock=probe, sleep=probe.sleep)
        other.acquire()
        other.acquire()
        for is_right, saw, expected in (
            (
                probe.sleeps or time.monotonic() - began >= 0.02,
                "2 starts at once",
                "the second one 0.02 s later: 1 call in 0.02 s",
            ),
            (probe.looks, "no call of clock", "the time from the clock that was given"),
            (
                probe.sleeps,
                "no call of sleep",
                "the second acquire() to wait with the sleep that was given",
            ),
        ):
            expect(is_right, did=step, saw=saw, expected=expected, hint="clock")
        log.steps.append(step)
    return call(
        answer, "RateLimiter", max_calls, period, clock=clock, sleep=clock.sleep
    )


def starts_of(limiter: Any, clock: Clock, count: int) -> list[float]:
    """Return when so many calls in a row started."""
    starts = []
    for _ in range(count):
        call(limiter, "acquire")
        starts.append(clock())
    return starts


def never_too_many(
    times: list[float], began: float, max_calls: int, period: float
) -> None:
    """Expect that nobody came back sooner than the limit allows.

    A call that came back later may have started sooner.
    """
    for number in range(1, len(times) // max_calls + 1):
        count = sum(moment < began + number * period for moment in times)
        allowed = number * max_calls
        saw = f"{count} starts in the first {number * period:g} s"
        expect(
            count <= allowed,
            saw=saw,
            expected=f"{allowed} at most: {max_calls} in any {period:g} s",
        )


def in_background(function: Callable[[], object]) -> Future[object]:
    """Run a function in a thread that nobody has to wait for.

    Returns a future, whose result() raises what the function raised.
    """
    future: Future[object] = Future()

    def run() -> None:
        try:
            future.set_result(function())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


def expect_an_end(futures: list[Future[object]], limit: float = 3.0) -> None:
    """Raise what ended a thread too early; expect that all of them end in time."""
    done, waiting = wait(futures, limit, FIRST_EXCEPTION)
    for future in done:
        future.result()
    expect(
        not waiting,
        saw=f"{len(waiting)} of {len(futures)} threads wait for ever",
        expected="a start for everybody",
    )


# --- the rule, on a clock of our own --------------------------------------------------


@pytest.mark.points(1, hint="where-to-begin")
def test_burst(answer, server):
    """Of 25 calls, 20 of them allowed in a minute, 20 start at once and 5 after a
    minute; a server with this limit refuses none.
    """
    clock, starts = Clock(), []
    with MockServer(requests_per_minute=20, clock=clock) as strict:
        limiter = on(answer, clock, 20, 60.0)
        headers = {"Authorization": f"Bearer {strict.api_key}"}
        messages = [{"role": "user", "content": "Hello"}]
        body = {"model": "mock-small", "messages": messages}
        with requests.Session() as session:
            for _ in range(25):
                call(limiter, "acquire")
                starts.append(clock())
                session.post(
                    strict.base_url + "/chat/completions",
                    json=body,
                    headers=headers,
                    timeout=5,
                )
        statuses = Counter(record.status for record in strict.records)
    expect(
        starts[19] == 0,
        saw=f"call 20 started after {starts[19]:g} s",
        expected="20 calls at once",
    )
    late = [start for start in starts[20:] if not 60 <= start < 60 + LATE]
    expect(
        not late,
        saw=f"the others started at {starts[20:]}",
        expected="5 calls after 60 s",
    )
    expect(
        statuses == {200: 25},
        saw=f"statuses: {dict(statuses)}",
        expected="25 times 200, and no 429",
    )


@pytest.mark.points(1, hint="window")
def test_edge(answer, server):
    """A start exactly one period after is allowed, and still counts."""
    clock = Clock()
    limiter = on(answer, clock, 3, 0.5)
    starts_of(limiter, clock, 3)
    clock.now = 0.5
    call(limiter, "acquire")
    slept = sum(clock.sleeps)
    expect(
        slept == 0,
        saw=f"a wait of {slept:g} s",
        expected="no wait: the start before was exactly 0.5 s ago",
    )
    starts = [0.0, 0.0, 0.0, 0.5, *starts_of(limiter, clock, 11)]
    found = Counter(int(start / 0.5) for start in starts)
    saw = f"starts in each half second: {[found[number] for number in range(5)]}"
    expect(set(found.values()) == {3}, saw=saw, expected="3 in each of 5 half seconds")


@pytest.mark.limit(15)
@pytest.mark.points(1, hint="window")
def test_any_window(answer, server):
    """Each call starts at the first moment at which no window would hold too many, and
    not later.
    """
    dice = random.Random(8)
    for _ in range(20):
        starts_as_soon_as_allowed(answer, dice)


def starts_as_soon_as_allowed(
    answer: Any, dice: random.Random, is_heavy: bool = False
) -> None:
    """Expect that each of 50 calls starts when the limit allows it, and not later.

    is_heavy: whether they may count for more than one.
    """
    log.steps.clear()
    max_calls, period = dice.randint(1, 5), dice.choice([0.5, 0.25])
    clock = Clock()
    clock.now = began = dice.choice([0.0, 1024.0, -64.0])
    limiter = on(answer, clock, max_calls, period)
    units: list[float] = []  # when each unit started
    for _ in range(50):
        clock.now += dice.choice([0, 0, 0, 0.125, 0.25, period / 2, period])
        asked, weight = clock(), dice.randint(1, max_calls) if is_heavy else 1
        oldest = len(units) + weight - max_calls - 1  # the last that must be over
        earliest = max(asked, units[oldest] + period) if oldest >= 0 else asked
        call(limiter, "acquire", *([weight] if is_heavy else []))
        units += [clock()] * weight
        last = [round(unit - began, 3) for unit in units[-max_calls - weight :]]
        what = "units" if is_heavy else "calls"
        expect(
            earliest <= clock() <= earliest + LATE,
            saw=f"{what} started at {last}, the last asked for at {asked - began:g}",
            expected=f"the last at {earliest - began:g}, with {max_calls} {what} in "
            f"any {period:g} s",
        )


@pytest.mark.points(1, hint="record-the-start")
def test_odd_sleepers(answer, server):
    """A start that is late is late for the next window too; a sleep that ends early is
    slept again.
    """
    for overslept, hint in ((1.5, "record-the-start"), (0.75, "where-to-begin")):
        log.steps.clear()
        clock = Clock(overslept=overslept)
        starts = starts_of(on(answer, clock, 1, 0.25), clock, 4)
        gaps = [later - start for start, later in itertools.pairwise(starts)]
        expect(
            min(gaps) >= 0.25 - 1e-6,
            saw=f"starts at {[round(start, 3) for start in starts]}",
            expected="at least 0.25 s between two starts, on a sleep that takes "
            f"{overslept} times as long as it should",
            hint=hint,
        )


@pytest.mark.points(1, hint="settings")
def test_settings(answer, server):
    """A limit below 1 call, or a period not above 0, is a ValueError; the clock is no
    wall clock; each limiter counts for itself.
    """
    for max_calls, period in [(0, 1.0), (-1, 1.0), (1, 0.0), (1, -1.0)]:
        with expect_raises(answer, ValueError):
            call(answer, "RateLimiter", max_calls, period)
    parameter = inspect.signature(answer.RateLimiter).parameters.get("clock")
    default = getattr(parameter, "default", None)
    is_clock = callable(default) and not isinstance(default, type)
    is_wall_clock = is_clock and abs(default() - time.time()) < 1
    expect(
        not is_wall_clock,
        did="RateLimiter(1, 0.5), with the clock that is the default",
        saw="the time of day, like that of time.time, which can be set back",
        expected="clock=time.monotonic",
        hint="clock",
    )
    clock = Clock()
    for _ in range(3):
        limiter = answer.RateLimiter(1, 60.0, clock=clock, sleep=clock.sleep)
        limiter.acquire()
    expect(
        clock() == 0,
        did="[RateLimiter(1, 60.0, clock=clock, sleep=clock.sleep).acquire() for _ in "
        "range(3)]",
        saw=f"a wait of {clock():g} s",
        expected="three starts at once, since each limiter counts for itself",
    )


# --- threads --------------------------------------------------------------------------


def expect_a_sleep(is_asleep: object, acquire: str = "limiter.acquire()") -> None:
    """Expect that a thread, which had to wait, called the sleep that we gave.

    acquire: the call that the thread made.
    """
    expect(
        is_asleep,
        did=f"{log.text()}; then {acquire} in a thread",
        saw="no call of sleep",
        expected="the thread to wait with the sleep that the limiter was given",
    )


@pytest.mark.points(1, hint="threads")
@pytest.mark.limit(10)  # for some thirty lines on a busy machine
def test_threads(answer, server):
    """Of two threads that come at the same time, where one may start, one starts, even
    if Python changes threads between two of its lines.
    """
    tried: set[tuple[CodeType, int]] = set()
    while comes_in_between(answer, "acquire", tried):
        pass


def lines_of_acquire(answer: Any) -> set[tuple[CodeType, int]]:
    """Return the lines that acquire() passes if a start is free, with their code."""
    clock = Clock()
    passed: set[tuple[CodeType, int]] = set()

    def note(frame: FrameType, event: str, _: object) -> Any:
        if event == "line" and answer.owns(frame.f_code.co_filename):
            passed.add((frame.f_code, frame.f_lineno))
        return note

    limiter = answer.RateLimiter(1, 0.01, clock=clock, sleep=clock.sleep)
    limiter.acquire()
    clock.now = 1.0
    sys.settrace(note)  # for this thread only
    try:
        limiter.acquire()
    finally:
        sys.settrace(None)
    return passed


def comes_in_between(answer: Any, name: str, tried: set[tuple[CodeType, int]]) -> bool:
    """Let a thread come while another stands before a line of the answer.

    name: the method that the other one is in. tried: the lines before which that has
    been tried, with the code they are in; the first new one is added. Returns whether
    there was one.
    """
    clock, is_over = Clock(), threading.Event()
    has_stopped, is_through = threading.Event(), threading.Event()
    started: list[str] = []
    place: list[tuple[CodeType, int]] = []

    def sleep(seconds: float) -> None:
        clock.sleeps.append(seconds)
        is_through.set()
        is_over.wait(2)
        time.sleep(0.001)  # who never starts must not keep the processor busy
        clock.now += seconds

    def stop_once(frame: FrameType, event: str, _: object) -> Any:
        """Stand still before the first line that is new; Python calls this."""
        line = frame.f_code, frame.f_lineno
        if not answer.owns(frame.f_code.co_filename):
            return None
        if event == "line" and not place and line not in tried:
            place.append(line)
            tried.add(line)
            has_stopped.set()
            is_through.wait(STANDSTILL)
        return stop_once

    def come_first() -> None:
        sys.settrace(stop_once)  # for this thread only
        try:
            result = getattr(limiter, name)()
            if name == "acquire_async":
                asyncio.run(result)
            started.append(name)
        finally:
            sys.settrace(None)
            has_stopped.set()

    def come_second() -> None:
        has_stopped.wait(2)
        limiter.acquire()
        started.append("acquire")
        is_through.set()

    log.steps.clear()
    limiter = call(answer, "RateLimiter", 1, 0.01, clock=clock, sleep=sleep)
    is_over.set()  # so that a sleep ends at once, until two threads come
    call(limiter, "acquire")
    is_over.clear()
    clock.now, clock.sleeps = 1.0, []
    is_through.clear()
    log.steps.append(
        f"the period ends; limiter.{name}() in a thread that is interrupted in the "
        "middle; meanwhile limiter.acquire() in another"
    )
    futures = [in_background(come_second), in_background(come_first)]
    # One of them starts, and the other one sleeps; a task does so unseen.
    end = time.monotonic() + 5 * STANDSTILL
    while len(started) + len(clock.sleeps) < 2 and time.monotonic() < end:
        time.sleep(0.0005)
    at_once = len(started)
    clock.now = 2.0
    is_over.set()
    line = ""
    if place:
        code, number = place[0]
        line = answer.line(code.co_filename, number)
    expect(
        at_once < 2,
        saw="2 starts at once; the first thread was interrupted before the line below",
        expected="1 start at once: nobody comes in between *may I?* and *I go*",
        line=line,
        hint="threads",
    )
    expect_an_end(futures)
    return bool(place)


class Bedroom:
    """A clock in our hands, and a sleep that ends when we say so.

    The last to lie down is woken first.
    """

    __name__ = "clock"

    def __init__(self) -> None:
        self.now = 0.0
        self.beds: list[tuple[float, threading.Event]] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        """Sleep until it is late enough on this clock."""
        end, alarm = self.now + seconds, threading.Event()
        self.beds.append((end, alarm))
        alarm.wait(0.3)

    def pass_time(self, seconds: float) -> None:
        """Let so much time pass, and wake those whose sleep is over."""
        self.now += seconds
        awake = [bed for bed in self.beds if bed[0] <= self.now]
        self.beds = [bed for bed in self.beds if bed not in awake]
        for _, alarm in reversed(awake):
            alarm.set()
            time.sleep(0.01)


@pytest.mark.points(1, hint="first-come")
@pytest.mark.limit(10)  # for three tries on a busy machine
def test_threads_stand_in_line(answer, server):
    """Threads start in the order in which they came, whichever wakes first."""
    # On a busy machine they may come in another order than they were sent.
    for _ in range(3):
        room, order = Bedroom(), []
        limiter = on(answer, room, 1, 1.0)
        call(limiter, "acquire")

        def visit(
            number: int, limiter: Any = limiter, order: list[int] = order
        ) -> None:
            limiter.acquire()
            order.append(number)

        for number in range(4):
            in_background(functools.partial(visit, number))
            time.sleep(0.02)
        end = time.monotonic() + 2.5
        while not room.beds and time.monotonic() < end - 2:
            time.sleep(0.01)
        expect_a_sleep(room.beds)
        while len(order) < 4 and time.monotonic() < end:
            room.pass_time(1.0)
            time.sleep(0.01)
            expect(
                len(order) <= room.now,
                did="limiter.acquire() in four threads, which wake at the same time",
                saw=f"{len(order)} of them started in {room.now:g} s",
                expected=f"{room.now:g} at most: 1 in any 1 s",
                hint="threads",
            )
        if order == [0, 1, 2, 3]:
            return
    did = "limiter.acquire() in four threads, one after the other"
    expect(
        False,
        did=did,
        saw=f"started: {order}",
        expected="started: [0, 1, 2, 3], since they came in this order",
    )


@pytest.mark.points(1, hint="lock-while-waiting")
def test_no_lock_while_waiting(answer, server):
    """While a thread sleeps, nobody is locked out: another one can stand in line, and
    an event loop runs on.
    """
    # On a busy machine they may come in another order than they were sent.
    for _ in range(3):
        order = come_during_a_sleep(answer)
        if order == ["thread", "task"]:
            return
    expect(
        False,
        did="limiter.acquire(); a thread calls it again, and sleeps; then a second "
        "thread calls limiter.acquire(), and a task limiter.acquire_async()",
        saw=f"started after the sleep: {', '.join(order)}",
        expected="thread, task: no lock keeps the second thread out of the line",
    )


def come_during_a_sleep(answer: Any) -> list[str]:
    """Let a thread and then a task come while a thread sleeps; return who starts first.

    Fails the test if they stop the event loop.
    """
    log.steps.clear()
    clock, asleep, alarm = Clock(), threading.Event(), threading.Event()
    comes = threading.Event()
    is_over: list[bool] = []
    order: list[str] = []

    def sleep(seconds: float) -> None:
        asleep.set()
        alarm.wait(2)
        is_over.append(True)
        clock.now += seconds

    def visit() -> None:
        comes.set()
        limiter.acquire()
        order.append("thread")

    limiter = call(answer, "RateLimiter", 1, 0.05, clock=clock, sleep=sleep)
    call(limiter, "acquire")
    in_background(limiter.acquire)
    expect_a_sleep(asleep.wait(1))
    in_background(visit)
    comes.wait(1)
    time.sleep(0.02)

    async def visit_async() -> None:
        await call(limiter, "acquire_async")
        order.append("task")

    async def scenario() -> bool:
        waiter = asyncio.ensure_future(visit_async())
        await asyncio.sleep(0.02)
        ran_on = not is_over
        alarm.set()
        end = time.monotonic() + 2
        while len(order) < 2 and time.monotonic() < end:
            if waiter.done():
                await waiter  # raises what ended it
            clock.now += 0.05
            await asyncio.sleep(0.01)
        return ran_on and waiter.done()

    ran_on = run_async(scenario)
    saw = "the loop stood still until the thread had slept"
    expect(
        ran_on,
        saw=saw,
        expected="a loop that runs on, since no lock is held during a sleep",
    )
    return order


@pytest.mark.points(1, hint="interrupted")
def test_interrupted(answer, server):
    """A thread that is interrupted in its wait leaves the line and takes no start."""
    clock, caller = Clock(), threading.current_thread()
    interrupts = [KeyboardInterrupt]

    def sleep(seconds: float) -> None:
        if interrupts and threading.current_thread() is caller:
            raise interrupts.pop()
        clock.sleep(seconds)

    limiter = call(answer, "RateLimiter", 1, 0.5, clock=clock, sleep=sleep)
    call(limiter, "acquire")
    with contextlib.suppress(KeyboardInterrupt):
        limiter.acquire()
    if interrupts:
        return  # a helper thread slept, which is not what Ctrl-C interrupts
    clock.now = 0.5
    done, _ = wait([in_background(limiter.acquire)], 1)
    did = (
        "limiter.acquire(); limiter.acquire(), interrupted by Ctrl-C while it waits; "
        "the period ends; limiter.acquire()"
    )
    expect(
        done,
        did=did,
        saw="the last one waits for ever, behind a call that nobody makes any more",
        expected="a start for it: the interrupted call has left the line",
    )
    expect(
        clock() < 0.5 + LATE,
        did=did,
        saw=f"the last one waited for {clock() - 0.5:g} s",
        expected="a start at once: the interrupted call never started",
    )


# --- asyncio --------------------------------------------------------------------------


@pytest.mark.points(1, hint="async")
def test_tasks(answer, server):
    """Tasks keep the limit, in one event loop after the other, and start in the order
    in which they came.
    """
    limiter = call(answer, "RateLimiter", 4, 0.06)
    times: list[float] = []
    order: list[int] = []

    async def visit(number: int) -> None:
        await limiter.acquire_async()
        times.append(time.monotonic())
        order.append(number)

    async def six(first: int) -> None:
        await asyncio.gather(*[visit(number) for number in range(first, first + 6)])

    log.steps.append(
        "asyncio.run(…) with 6 tasks that await limiter.acquire_async(); "
        "asyncio.run(…), which is a second event loop, with 6 more"
    )
    began = time.monotonic()
    run_async(six(0))
    run_async(six(6))
    never_too_many(times, began, 4, 0.06)
    took = times[-1] - began
    expect(
        took < 1.5,
        saw=f"12 calls in {took:.1f} s",
        expected="12 calls in 0.12 s, since 4 may start in 0.06 s",
    )
    expect(
        order == [*range(12)],
        saw=f"started: {order}",
        expected="0 to 11 in order",
        hint="first-come",
    )
    newcomer_stands_behind(answer)


def newcomer_stands_behind(answer: Any) -> None:
    """Expect that a new task does not pass one that still sleeps."""
    clock, order = Clock(), []
    log.steps.clear()
    limiter = on(answer, clock, 1, 0.05)

    async def visit(name: str) -> None:
        await limiter.acquire_async()
        order.append(name)
        clock.now += 1.0

    async def scenario() -> None:
        await call(limiter, "acquire_async")
        first = asyncio.ensure_future(visit("first"))
        await asyncio.sleep(0.01)
        clock.now += 1.0  # while the first one still sleeps
        await asyncio.wait_for(asyncio.gather(first, visit("newcomer")), 3)

    run_async(scenario)
    expect(
        order == ["first", "newcomer"],
        did="await limiter.acquire_async(); a task calls it again, and waits; the "
        "period ends; a newcomer calls it",
        saw=f"started: {order}",
        expected="started: first, newcomer",
        hint="first-come",
    )


@pytest.mark.points(1, hint="async")
def test_loop_runs_on(answer, server):
    """The event loop does other work while a task waits, and the task does not keep the
    processor busy.
    """
    for _ in range(3):  # on a busy machine, a loop may get no turn for a while
        limiter = call(answer, "RateLimiter", 1, 0.1)
        rounds = run_async(rounds_beside(limiter))
        if rounds > 2:
            break
    expect(
        rounds > 2,
        saw=f"{rounds} rounds of another task",
        expected="many rounds in these 0.1 s",
    )
    clock = StandingClock()
    limiter = on(answer, clock, 1, 0.1)

    async def count_looks() -> int:
        await call(limiter, "acquire_async")
        waiter = asyncio.ensure_future(call(limiter, "acquire_async"))
        await asyncio.sleep(0.02)
        before = clock.looks
        for _ in range(200):
            await asyncio.sleep(0)
        waiter.cancel()
        return clock.looks - before

    looks = run_async(count_looks)
    clock.is_over.set()
    expect(
        looks < 150,
        saw=f"{looks} looks at the clock in 200 rounds of the loop: one waiting task "
        "keeps the processor busy",
        expected="a sleep until the start is due, or nearly so",
    )


async def rounds_beside(limiter: Any) -> int:
    """Return how often another task gets its turn while one waits."""
    await call(limiter, "acquire_async")
    waiter = asyncio.ensure_future(call(limiter, "acquire_async"))
    rounds = 0
    while not waiter.done():
        await asyncio.sleep(0.001)
        rounds += 1
    await waiter
    return rounds


def waits_its_turn(answer: Any, newcomer: str, is_heavy: bool = False) -> None:
    """Expect that nobody passes a thread that waits, even if a start is free.

    newcomer: "a task", or another thread. is_heavy: a start is free because the thread
    waits for two units, and one is free.
    """
    clock, asleep, alarm = Clock(), threading.Event(), threading.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    def sleep(seconds: float) -> None:
        asleep.set()
        alarm.wait(2)
        clock.now += seconds

    async def visit_async() -> None:
        loops.append(asyncio.get_running_loop())
        await call(limiter, "acquire_async")

    def visit() -> None:
        if newcomer == "a task":
            asyncio.run(visit_async())
        else:
            call(limiter, "acquire")

    def is_done(seconds: float) -> bool:
        """Wait at most so long for the newcomer; raise what it raised."""
        done, _ = wait([visitor], seconds)
        for future in done:
            future.result()
        return bool(done)

    max_calls, weight = (3, (2,)) if is_heavy else (1, ())
    limiter = call(answer, "RateLimiter", max_calls, 0.05, clock=clock, sleep=sleep)
    call(limiter, "acquire", *weight)
    in_background(functools.partial(limiter.acquire, *weight))
    expect_a_sleep(asleep.wait(1), f"limiter.acquire({'2' * is_heavy})")
    if not is_heavy:
        clock.now += 1.0  # while the thread still sleeps
    visitor = in_background(visit)
    has_passed = is_done(0.05)
    alarm.set()
    end = time.monotonic() + 2
    while not is_done(0.01) and time.monotonic() < end:
        clock.now += 0.05
    did = (
        "limiter.acquire(); a thread calls it again, and sleeps; the period "
        f"ends; {newcomer} comes"
    )
    if is_heavy:
        did = (
            "limiter = RateLimiter(3, 0.05, …); limiter.acquire(2); a thread calls "
            f"limiter.acquire(2), and sleeps; {newcomer} wants one unit"
        )
    saw = f"{newcomer} that came later has started, and the thread still sleeps"
    expect(
        not has_passed,
        did=did,
        saw=saw,
        expected="the thread to start first, since it came first",
    )
    if is_done(0):
        return
    for loop in loops:
        with contextlib.suppress(RuntimeError):  # it is closed
            loop.call_soon_threadsafe(clock)  # which does nothing but wake the loop
    expect(
        not is_done(0.5),
        did=did,
        saw="no start for the task, until somebody else woke its event loop",
        expected="a thread that wakes the task through its loop, with "
        "call_soon_threadsafe: event.set() alone does not wake a loop that sleeps",
        hint="async",
    )
    expect(
        False,
        did=did,
        saw=f"no start for {newcomer}",
        expected="a start for the thread, and 0.05 s later for the other",
    )


@pytest.mark.points(1, hint="first-come")
def test_one_line(answer, server):
    """Threads and tasks share the starts and one line: neither a new thread nor a new
    task passes a thread that waits.
    """
    clock = Clock()
    limiter = on(answer, clock, 2, 0.25)

    async def scenario() -> None:
        call(limiter, "acquire")
        task = asyncio.ensure_future(call(limiter, "acquire_async"))
        done, _ = await asyncio.wait([task], timeout=1)
        expect(
            done,
            saw="call 2 waits",
            expected="two calls at once: 2 may start in 0.25 s",
            hint="where-to-begin",
        )
        await task

    run_async(scenario)
    call(limiter, "acquire")
    expect(
        0.25 <= clock() < 0.25 + LATE,
        saw=f"call 3 started at {clock()} s",
        expected="call 3 to start at 0.25 s",
        hint="async",
    )
    waits_its_turn(answer, "a second thread")
    waits_its_turn(answer, "a task")
    tried = lines_of_acquire(answer)  # which test_threads has tried
    while comes_in_between(answer, "acquire_async", tried):
        pass


@pytest.mark.points(1, hint="cancelled")
def test_cancelled(answer, server):
    """A task that is cancelled while it waits holds up nobody, and takes no start."""
    clock = StandingClock()
    did = (
        "await limiter.acquire_async(); 13 tasks call it again; 12 of them are "
        "cancelled"
    )
    limiter = on(answer, clock, 1, 0.1)

    async def scenario() -> None:
        await call(limiter, "acquire_async")
        tasks = [
            asyncio.ensure_future(call(limiter, "acquire_async")) for _ in range(13)
        ]
        await asyncio.sleep(0.02)
        for place in (4, 0, 9, 1, 2, 3, 5, 6, 7, 8, 10, 11):
            tasks[place].cancel()
            await asyncio.sleep(0)
        clock.now += 0.15
        done, _ = await asyncio.wait(tasks, timeout=1.0)
        clock.is_over.set()
        saw = "the last of 13 waits on"
        expect(
            tasks[12] in done,
            did=did,
            saw=saw,
            expected="a start for it after 0.1 s: the 12 others gave up",
        )
        cancelled = sum(task.cancelled() for task in tasks)
        saw = f"{cancelled} of 12 cancelled tasks ended so"
        expect(cancelled == 12, did=did, saw=saw, expected="CancelledError in all 12")

    run_async(scenario)
    takes_no_start(answer)


def takes_no_start(answer: Any) -> None:
    """Expect no start for a task that is cancelled before, or just as, one is due."""
    clock = StandingClock()
    limiter = answer.RateLimiter(1, 0.02, clock=clock, sleep=clock.sleep)

    async def is_free() -> bool:
        newcomer = asyncio.ensure_future(limiter.acquire_async())
        done, _ = await asyncio.wait([newcomer], timeout=2)
        newcomer.cancel()
        return bool(done)

    async def scenario() -> bool:
        await limiter.acquire_async()
        for rounds in range(-1, 4):  # of the event loop, after the start is due
            task = asyncio.ensure_future(limiter.acquire_async())
            await asyncio.sleep(0.01)
            if rounds >= 0:
                clock.now += 0.03
                time.sleep(0.03)  # meanwhile helper threads may do their work
                for _ in range(rounds):
                    await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task], timeout=1)
            if rounds < 0:
                clock.now += 0.03
                await asyncio.sleep(0.05)
            if task.cancelled() and not await is_free():
                return False
            # Now there was a start: that of the newcomer, or of the task itself.
        return True

    is_right = run_async(scenario)
    clock.is_over.set()
    expect(
        is_right,
        did="await limiter.acquire_async(); a task calls it again; its start is due, "
        "and the task is cancelled; await limiter.acquire_async()",
        saw="no start for the last one: the cancelled task, which made no call, has it",
        expected="a start at once: the window is over, and free",
    )


# --- the decorator --------------------------------------------------------------------


@pytest.mark.points(1, hint="decorator")
def test_decorator(answer, server):
    """A decorated function waits for its start and is otherwise what it was, and so is
    an async def or a method.
    """
    clock = Clock()
    limiter = on(answer, clock, 2, 0.5)

    @limiter
    def divide(one: float, other: float = 2.0) -> float:
        """Divide."""
        return one / other

    other_function = limiter(lambda: "other")
    names = (getattr(divide, "__name__", ""), divide.__doc__)
    expect(
        names == ("divide", "Divide."),
        saw=f"name and docstring {names}",
        expected="those of the function",
    )
    expect(
        call(divide, "", 8.0, other=4.0) == 2.0,
        expected="2.0, the result of the function",
    )
    with expect_raises(
        answer, ZeroDivisionError, expected="the ZeroDivisionError of the function"
    ):
        call(divide, "", 8.0, other=0.0)
    expect(clock() == 0, saw=f"{clock()} s have passed", expected="two calls at once")
    expect(
        call(other_function, "") == "other",
        expected="'other', the result of the function",
    )
    expect(
        0.5 <= clock() < 0.5 + LATE,
        saw=f"call 3 started at {clock()} s",
        expected="call 3 to start at 0.5 s",
    )
    decorated_async_def(answer)


def decorated_async_def(answer: Any) -> None:
    """Expect that a decorated async def stays one, as a method of a class."""
    log.steps.clear()
    limiter = call(answer, "RateLimiter", 2, 0.1)
    times: list[float] = []

    class Adder:
        @limiter
        async def add(self, one: int, other: int) -> int:
            """Add."""
            times.append(time.monotonic())
            await asyncio.sleep(0.01)
            return one + other

    adder = Adder()
    is_async = inspect.iscoroutinefunction(adder.add) and adder.add.__name__ == "add"
    expect(
        is_async,
        saw=repr(Adder.add),
        expected="an `async def` of the same name, which a class binds as a method",
    )

    async def scenario() -> list[int]:
        return await asyncio.gather(
            *[adder.add(number, other=1) for number in range(4)]
        )

    began = time.monotonic()
    results = run_async(scenario)
    expect(results == [1, 2, 3, 4], expected="[1, 2, 3, 4], the results of the method")
    never_too_many(times, began, 2, 0.1)


# --- further: calls that weigh more ---------------------------------------------------


@pytest.mark.points(2, hint="weights", further=True)
def test_weights(answer, server):
    """Each call starts as soon as all its units fit, and not before."""
    dice = random.Random(8)
    for _ in range(10):
        starts_as_soon_as_allowed(answer, dice, is_heavy=True)


@pytest.mark.points(1, hint="weights", further=True)
@pytest.mark.limit(2.5)
def test_weights_that_never_fit(answer, server):
    """More units than ever fit, or less than one, is a ValueError, and nothing is
    counted.
    """
    clock = Clock()
    limiter = on(answer, clock, 3, 60.0)
    for n in (4, 0, -1):
        for name in ("acquire", "acquire_async"):
            expected = f"ValueError: {n} units never start, of 3 in 60 s"
            with expect_raises(answer, ValueError, expected=expected):
                result = call(limiter, name, n)
                if name == "acquire_async":
                    run_async(result)
    call(limiter, "acquire", n=3)
    expect(
        clock() == 0,
        saw=f"a wait of {clock():g} s",
        expected="three units at once: the refused calls have taken none",
    )


@pytest.mark.points(2, hint="weights", further=True)
def test_heavy_in_line(answer, server):
    """A light call does not pass a heavy one that waits, even if it fits alone."""
    waits_its_turn(answer, "a thread", is_heavy=True)
    waits_its_turn(answer, "a task", is_heavy=True)


@pytest.mark.points(1, hint="weights", further=True)
def test_heavy_task(answer, server):
    """A heavy task keeps the line too, and takes no unit if it is cancelled."""
    clock = StandingClock()
    limiter = on(answer, clock, 3, 0.05)
    started: list[str] = []

    async def visit(name: str, *weight: int) -> None:
        await call(limiter, "acquire_async", *weight)
        started.append(name)

    async def scenario() -> None:
        await visit("first", 2)
        heavy = asyncio.ensure_future(visit("heavy", 3))
        await asyncio.sleep(0.02)
        light = asyncio.ensure_future(visit("light"))
        await asyncio.sleep(0.02)
        expect(
            started == ["first"],
            saw=f"started: {started}",
            expected="the light one to wait behind the heavy one, which needs 3 units",
        )
        heavy.cancel()
        done, _ = await asyncio.wait([light], timeout=1.0)
        clock.is_over.set()
        expect(
            done,
            did="await limiter.acquire_async(2); a task wants 3 units, and another 1; "
            "the first task is cancelled",
            saw="the light one waits on",
            expected="a start for it at once: 2 of 3 units have started, and the heavy "
            "call has taken none",
        )

    run_async(scenario)
