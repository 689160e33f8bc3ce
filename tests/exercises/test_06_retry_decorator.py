"""Exercise 06: Retry-After, and a decorator that tries again.

The core comes first. Further are the old forms of a date, and the retry budget.
"""

import asyncio
import inspect
import itertools
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from typing import Any

import pytest
import requests
from mock_server import fault

from tests.grader.diagnosis import one_line
from tests.grader.steps import call, expect, expect_raises, log, run_async

MOMENT = 784111777.0  # 6 November 1994, 08:49:37 GMT, in seconds since 1970
NEW_YEAR = 788918400.0  # 1 January 1995, 00:00:00 GMT


class Busy(Exception):
    """What the functions of these tests raise. retry_after: seconds."""

    def __init__(self, number: int = 1, retry_after: float | None = None) -> None:
        super().__init__(f"failure {number}")
        self.retry_after = retry_after


KINDS = ("def", "async def")


class Work:
    """A function that fails some times and then returns "done".

    It counts its calls and keeps its errors.

    takes: seconds of one call.
    """

    def __init__(
        self, failures: int, retry_after: float | None = None, takes: float = 0.0
    ) -> None:
        self.failures, self.retry_after, self.takes = failures, retry_after, takes
        self.errors: list[Busy] = []
        self.started: list[float] = []

    def function(self, kind: str = "def") -> Callable[[], Any]:
        """Return it as a plain function, or as an async def."""

        def work() -> str:
            """Do the work."""
            self.started.append(time.monotonic())
            time.sleep(self.takes)
            return self.result()

        async def work_async() -> str:
            self.started.append(time.monotonic())
            await asyncio.sleep(self.takes)
            return self.result()

        work_async.__name__ = "work"
        return work if kind == "def" else work_async

    def result(self) -> str:
        """Return or raise what comes of a call."""
        if len(self.started) > self.failures:
            return "done"
        self.errors.append(Busy(len(self.started), self.retry_after))
        raise self.errors[-1]

    def times(self) -> str:
        """Return in words how often it was called."""
        return calls(len(self.started))

    def described(self) -> str:
        """Return in words what it does."""
        often = {0: "works", 1: "fails once", 99: "always fails"}.get(
            self.failures, f"fails {self.failures} times"
        )
        takes = f" after {self.takes:g} s" if self.takes else ""
        return (
            often
            + takes
            + (
                f" with retry_after={self.retry_after:g}"
                if self.retry_after is not None
                else ""
            )
        )


def calls(number: int) -> str:
    """Return a number of calls in words."""
    return f"{number} call{'s' * (number != 1)}"


def retried(answer: Any, function: Callable, does: str, **settings: Any) -> Callable:
    """Return a function under the learner's decorator, with exact settings.

    "We did" says what the function does.
    """
    exact = {} if "rng" in settings else {"jitter": False}
    settings = {**exact, "exceptions": (Busy,), **settings}
    decorated = call(call(answer, "retry_on_error", **settings), "", function)
    kind = KINDS[inspect.iscoroutinefunction(function)]
    shown = ", ".join(f"{name}={log.show(value)}" for name, value in settings.items())
    log.steps[:] = [
        f"@retry_on_error({shown}) for `{kind} {function.__name__}`, which {does}"
    ]
    return decorated


def sleep_for(kind: str, waits: list[float]) -> Callable:
    """Return a sleep that only writes down its seconds, async for an async def."""

    def sleep(seconds: float) -> None:
        waits.append(seconds)

    async def sleep_async(seconds: float) -> None:
        waits.append(seconds)

    sleep_async.__name__ = "sleep"
    return sleep if kind == "def" else sleep_async


def run(function: Callable, kind: str) -> Any:
    """Call a decorated function, and return what comes of it.

    An async def has a second, as its sleep takes no time.
    """
    made = call(function, "")
    if kind == "def":
        return made
    if not inspect.isawaitable(made):
        return run_async(made)  # which says so

    async def scenario() -> Any:
        done, _ = await asyncio.wait([asyncio.ensure_future(made)], timeout=1)
        expected = "await sleep(…), the one that was passed: it takes no time"
        expect(done, saw="still no end after 1 s", expected=expected, hint="async")
        return done.pop().result()

    return run_async(scenario)


def end_of(function: Callable, kind: str) -> Any:
    """Call a decorated function, and return its value, or the error that it raises.

    That may be Busy, or what it says if it cannot count so far, or use such an rng.
    """
    try:
        return run(function, kind)
    except (Busy, OverflowError, AttributeError) as error:
        log.value = error
        return error


def story(count: int, waits: list[float] | int, end: Any) -> str:
    """Return in words what happened: how many calls, which waits, and the end."""
    if isinstance(waits, int):
        between = f" with {waits} waits" if waits else " without a wait"
    elif len(waits) > 9:
        between = f" with {len(waits)} waits, the longest of {max(waits):g} s"
    elif waits:
        between = f" with waits {', '.join(f'{wait:g}' for wait in waits)}"
    else:
        between = " without a wait"
    last = one_line(end) if isinstance(end, Exception) else repr(end)
    return f"{calls(count)}{between}, then {last}"


def check_run(
    answer: Any,
    kind: str,
    work: Work,
    waits: list[float] | int,
    why: str = "",
    hint: str = "",
    **settings: Any,
) -> None:
    """Expect these waits, or so many of them, and then the right end.

    That is the value or, if too few calls work, the last error itself.
    """
    count, seen = waits if isinstance(waits, int) else len(waits), []
    expected = story(
        count + 1, waits, "done" if count >= work.failures else Busy(count + 1)
    ) + (why and f": {why}")
    function = retried(
        answer,
        work.function(kind),
        work.described(),
        sleep=sleep_for(kind, seen),
        **settings,
    )
    if count < work.failures:
        with expect_raises(
            answer, Busy, expected=expected, hint="last-error"
        ) as caught:
            run(function, kind)
        end = caught.value
    else:
        end = end_of(function, kind)
    is_right = len(seen) == waits if isinstance(waits, int) else are_close(seen, waits)
    is_right = (
        is_right
        and len(work.started) == count + 1
        and (end == "done" or count < work.failures)
    )
    saw = story(len(work.started), seen, end)
    expect(is_right, saw=saw, expected=expected, hint=hint)
    if count < work.failures:
        saw, expected = (
            f"{end!r} was raised",
            f"the last error itself: failure {count + 1}, the very object",
        )
        expect(end is work.errors[-1], saw=saw, expected=expected, hint="last-error")


def waits_of(
    answer: Any, kind: str, work: Work, expected: str, **settings: Any
) -> list[float]:
    """Return the waits before the retries of what works in the end.

    Fails the test if it does not.
    """
    waits: list[float] = []
    function = retried(
        answer,
        work.function(kind),
        work.described(),
        sleep=sleep_for(kind, waits),
        **settings,
    )
    end = end_of(function, kind)
    expect(end == "done", saw=story(len(work.started), waits, end), expected=expected)
    return waits


def are_close(seen: list[float], wanted: list[float]) -> bool:
    """Say whether two lists of seconds are the same but for rounding."""
    return len(seen) == len(wanted) and all(
        abs(one - other) < 1e-6 for one, other in zip(seen, wanted, strict=True)
    )


# --- parse_retry_after ---


@pytest.fixture
def far_east(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Put this machine nine hours east of Greenwich, where the system can do that."""
    if hasattr(time, "tzset"):
        with monkeypatch.context() as patched:
            patched.setenv("TZ", "FAR-9")
            time.tzset()
            yield
        time.tzset()
    else:
        yield


@pytest.mark.points(1, hint="retry-after-forms")
def test_seconds(answer, server):
    """Digits are seconds; no header is None."""
    for text, wanted in (("120", 120), ("0", 0), ("007", 7)):
        seen = call(answer, "parse_retry_after", text)
        expect(
            seen == wanted and not isinstance(seen, str),
            expected=f"{wanted}.0 for {text!r}",
        )
    expect(
        call(answer, "parse_retry_after", None) is None, expected="None for no header"
    )


USUAL = "Sun, 06 Nov 1994 08:49:37 GMT"


def check(
    answer: Any, text: str, wanted: float, why: str, hint: str = "", **now: float
) -> None:
    """Expect these seconds of a date, and show no other call."""
    log.steps.clear()
    seen = call(answer, "parse_retry_after", text, **now)
    is_right = isinstance(seen, int | float) and abs(seen - wanted) < 0.01
    expect(is_right, expected=f"{float(wanted)}: {why}", hint=hint)


@pytest.mark.points(1, hint="retry-after-dates")
def test_date(answer, server, far_east):
    """A date is in GMT, wherever this machine is; one in the past gives 0.0.

    Without `now`, the clock of this machine says what the past is.
    """
    check(answer, USUAL, 90, f"{USUAL} is 90 s after now", now=MOMENT - 90)
    later = "Fri, 06 Nov 2093 08:49:37 GMT"
    why = "from 1994 to 2093: this year has four digits"
    check(answer, later, 3124224000, why, now=MOMENT)
    last = "Sat, 31 Dec 1994 23:59:59 GMT"
    why = "the last second of 1994 is 10 s after now"
    check(answer, last, 10, why, now=NEW_YEAR - 11)
    first = "Thu, 01 Jan 1970 00:01:40 GMT"
    check(answer, first, 100, "now=0.0 is a moment too, the first of 1970", now=0.0)
    for now in ({}, {"now": None}):
        log.steps.clear()
        text = formatdate(time.time() + 100, usegmt=True)
        seen = call(answer, "parse_retry_after", text, **now)
        expect(
            seen is not None and 90 <= seen <= 101,
            expected="about 100.0 seconds from now",
        )
    past = "time.sleep() of a number below 0 raises, and the real error is lost"
    for now in ({"now": MOMENT + 3600}, {}):
        check(answer, USUAL, 0, f"it is over. {past}", hint="never-negative", **now)


NEITHER = (
    "",
    "soon",
    "-5",
    "nan",
    "inf",
    "0x10",
    "5 seconds",
    "Sun, 06 Nov",
    "Wed, 31 Feb 2027 08:49:37 GMT",
)
NO_TIME = ("Sun, 06 Nov 1994 24:00:00 GMT", "Sun, 06 Nov 1994 08:60:00 GMT")
ODD = (
    "9" * 5000,
    "Sun, 06 Nov 1994 99:99:99 GMT",
    "Sun, 06 Nov 99999 08:49:37 GMT",
    "٣",
    "²",
    "Sun, 06 \0Nov",
)


@pytest.mark.points(1, hint="retry-after-forms")
def test_neither(answer, server):
    """What is neither seconds nor a date is None, and there is never an error."""
    for text in NEITHER + NO_TIME:
        log.steps.clear()
        expect(
            call(answer, "parse_retry_after", text, now=MOMENT) is None,
            expected=f"None for {text!r}",
        )
    for text in ODD:
        log.steps.clear()
        seen = call(answer, "parse_retry_after", text, now=MOMENT)
        expect(seen is None or seen >= 0, expected="None or some seconds")


# --- retry_on_error: how often ---


@pytest.mark.points(1, hint="wraps")
def test_function_that_works(answer, server):
    """A function or method that works is called once, with its arguments; it keeps its
    name and docstring.
    """
    seen = []

    def add(first: int, *, second: int) -> int:
        """Add two numbers."""
        seen.append((first, second))
        return first + second

    decorated = retried(answer, add, "works")
    expect(
        call(decorated, "", 4700, second=11) == 4711,
        expected="4711, what the function returns",
    )
    expect(
        seen == [(4700, 11)],
        saw=f"{calls(len(seen))}: {seen}",
        expected="one call, with the arguments 4700, 11",
    )
    names = (decorated.__name__, decorated.__doc__)
    expect(
        names == ("add", "Add two numbers."),
        saw=f"name and docstring {names}",
        expected="('add', 'Add two …')",
    )

    class Client:
        name = "n-6100"

        def get(self, path: str) -> str:
            return f"{self.name} {path}"

    Client.get = retried(answer, Client.get, "is a method")
    expected = (
        "'n-6100 /users', what the method returns: only a wrapper that is a "
        "function gets the self"
    )
    get = Client().get
    log.names.append((get, "Client().get"))
    try:
        value = call(get, "", "/users")
    except TypeError as error:
        log.value = value = error
    expect(value == "n-6100 /users", expected=expected)
    for kind in KINDS:
        none, waits = Work(0), []
        none.result = lambda: None
        end_of(
            retried(
                answer,
                none.function(kind),
                "returns None",
                sleep=sleep_for(kind, waits),
            ),
            kind,
        )
        expect(
            len(none.started) == 1,
            saw=none.times(),
            expected="1 call: it has worked, although it returned None",
        )


@pytest.mark.points(1, hint="counting")
def test_count(answer, server):
    """By default there are four calls with three waits, and with max_retries=0 one; the
    last error itself is raised.
    """
    for kind in KINDS:
        check_run(
            answer,
            kind,
            Work(99),
            3,
            "the first call, and max_retries=3 more; no wait after the last",
        )
        check_run(answer, kind, Work(0), [], max_retries=0)
        check_run(answer, kind, Work(1), [], max_retries=0)


@pytest.mark.points(1, hint="which-errors")
def test_errors_not_listed(answer, server):
    """An error that is not listed comes out after one call; by default, a ValueError
    such as damaged JSON is not listed.
    """
    for kind in KINDS:
        check_run(
            answer,
            kind,
            Work(99),
            [],
            "Busy is not in exceptions",
            exceptions=ValueError,
        )

    def fetch() -> Any:
        return requests.get(server.url + "/users/ada", timeout=2).json()

    log.steps.clear()
    server.script(fault.bad_json())
    function = call(
        call(answer, "retry_on_error", sleep=sleep_for("def", [])), "", fetch
    )
    with expect_raises(answer, requests.JSONDecodeError):
        call(function, "")
    expect(
        len(server.records) == 1,
        saw=f"{len(server.records)} requests",
        expected="1: the reply has come, and a second request would cost again",
    )


# --- retry_on_error: how long ---


@pytest.mark.points(1, hint="backoff")
def test_waits(answer, server):
    """Each wait is backoff_factor times the last, and never above max_delay.

    1, 2, 4 and so on, however many retries there are.
    """
    for kind in KINDS:
        check_waits(answer, kind)
    check_run(
        answer,
        "def",
        Work(160),
        [3] * 160,
        "a program that waits all night must not end in an OverflowError",
        hint="many-retries",
        max_retries=160,
        initial_delay=3.0,
        backoff_factor=100,
        max_delay=3,
    )


def check_waits(answer: Any, kind: str) -> None:
    """Expect the waits of several settings, without jitter."""
    check_run(answer, kind, Work(3), [1, 2, 4], "the defaults, without jitter")
    why = "each 3 times as long as the one before"
    check_run(
        answer, kind, Work(3), [0.5, 1.5, 4.5], why, initial_delay=0.5, backoff_factor=3
    )
    check_run(
        answer,
        kind,
        Work(5),
        [1, 2, 3, 3, 3],
        "none longer than max_delay",
        max_retries=5,
        max_delay=3,
    )
    check_run(
        answer,
        kind,
        Work(2),
        [3, 3],
        "none longer than max_delay",
        initial_delay=9,
        max_delay=3,
    )


def calls_at_once(answer: Any, kind: str) -> tuple[list[int], list[float]]:
    """Call one function three times at the same time.

    Returns how often each call tried, and all the waits.
    """
    tried, waits, together = dict.fromkeys("abc", 0), [], threading.Barrier(3)

    def work(name: str) -> None:
        tried[name] += 1
        if tried[name] == 1:
            with suppress(threading.BrokenBarrierError):
                together.wait(3)  # so that all three have begun
        raise Busy(tried[name])

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        time.sleep(0.005)

    async def work_async(name: str) -> None:
        tried[name] += 1
        await asyncio.sleep(0)
        raise Busy(tried[name])

    async def sleep_async(seconds: float) -> None:
        waits.append(seconds)
        await asyncio.sleep(0)

    def in_a_thread(name: str) -> None:
        with suppress(Exception):
            function(name)

    async def in_tasks() -> None:
        await asyncio.gather(*map(function, tried), return_exceptions=True)

    if kind == "def":
        function = retried(answer, work, "always fails", max_retries=2, sleep=sleep)
        log.steps.append(
            "work('a'), work('b') and work('c') at the same time, in three threads"
        )
        threads = [
            threading.Thread(target=in_a_thread, args=name, daemon=True)
            for name in tried
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(4)
        saw = "a second call begins only when the first has ended"
        expected = "three calls at the same time, none of which waits for another"
        expect(not together.broken, saw=saw, expected=expected)
    else:
        work_async.__name__, sleep_async.__name__ = "work", "sleep"
        function = retried(
            answer, work_async, "always fails", max_retries=2, sleep=sleep_async
        )
        log.steps.append("await asyncio.gather(work('a'), work('b'), work('c'))")
        run_async(in_tasks)
    return list(tried.values()), sorted(waits)


@pytest.mark.points(1, hint="counting")
def test_each_call_begins_anew(answer, server):
    """Every call has all its retries, and the first wait again: one after another, and
    several at the same time.
    """
    waits, count = [], iter(range(1, 100))

    def work(*, name: str) -> str:
        number = next(count)
        if number % 3:
            raise Busy(number)
        return f"{name} {number}"

    function = retried(
        answer,
        work,
        "works every third time",
        max_retries=2,
        sleep=sleep_for("def", waits),
    )
    results = [call(function, "", name="done"), call(function, "", name="done")]
    expect(
        results == ["done 3", "done 6"],
        saw=f"{results}",
        expected="'done 3', then 'done 6'",
    )
    expect(
        are_close(waits, [1, 2, 1, 2]),
        saw=f"waits {waits}",
        expected="waits 1, 2 and again 1, 2",
    )
    for kind in KINDS:
        tried, waits = calls_at_once(answer, kind)
        saw = f"{tried[0]}, {tried[1]} and {tried[2]} tries, waits {waits}"
        is_right = tried == [3, 3, 3] and are_close(waits, [1, 1, 1, 2, 2, 2])
        expect(
            is_right,
            saw=saw,
            expected="3 tries and the waits 1, 2 for each: no call knows of the others",
        )


class Dice:
    """A source of chance that has uniform() and nothing else.

    It draws the same part of what it is asked for each time.
    """

    def __init__(self, part: float) -> None:
        self.part = part

    def __repr__(self) -> str:
        return f"Dice({self.part})"

    def uniform(self, low: float, high: float) -> float:
        """Return the part of the way from low to high."""
        return low + self.part * (high - low)


@pytest.mark.points(1, hint="backoff")
def test_jitter(answer, server):
    """With jitter, a wait is any part of the delay, drawn by rng or by random.

    From nothing to all of it. The module random draws it if there is no rng.
    """
    expected = "60 waits, then 'done'"
    for kind in KINDS:
        for part in (0.25, 1.0):
            wanted = [part, 2 * part, 4 * part]
            why = f"its uniform() draws {part:g} of each delay of 1, 2 and 4 s"
            work = Work(3)
            check_run(answer, kind, work, wanted, why, rng=Dice(part))
        settings = {"max_retries": 60, "max_delay": 2, "jitter": True}
        first, *others = waits = waits_of(answer, kind, Work(60), expected, **settings)
        low, high = min(waits), max(waits)
        saw = f"waits from {low:.2f} to {high:.2f} s, the first {first:.2f} s"
        is_part = low >= 0 and first <= 1 and high <= 2
        wrong = "no wait longer than its delay: 1 s first, then 2 s"
        expect(is_part, saw=saw, expected=wrong)
        crowd = "or clients that failed together all come back together"
        expect(
            min(others) < 0.6 and max(others) > 1.4,
            saw=saw,
            expected=f"waits all over the delay, from nothing to all of it, {crowd}",
        )
        again = waits_of(answer, kind, Work(60), expected, **settings)
        saw = "the same waits in two calls"
        expect(again != waits, saw=saw, expected=f"others each time, {crowd}")


@pytest.mark.points(1, hint="obey-retry-after")
def test_retry_after(answer, server):
    """An error's retry_after is waited out, with jitter too; if it is more than
    max_delay, there is no retry.
    """
    for kind in KINDS:
        check_retry_after(answer, kind)


def check_retry_after(answer: Any, kind: str) -> None:
    """Expect that what an error asks for is obeyed."""
    for settings in ({}, {"jitter": True}, {"jitter": True, "rng": random.Random(3)}):
        expected = "3 waits of at least 7 s, as the error asks"
        waits = waits_of(answer, kind, Work(3, 7), expected, **settings)
        expect(
            len(waits) == 3 and all(7 <= wait <= 60 for wait in waits),
            saw=f"waits {waits}",
            expected=expected,
        )
    expected = "a wait of 0.5 s, as the error asks"
    waits = waits_of(answer, kind, Work(1, 0.5), expected, initial_delay=0.1)
    expect(
        len(waits) == 1 and 0.5 <= waits[0] <= 0.6,
        saw=f"waits {waits}",
        expected=expected,
    )
    for longest in (60, 7):
        settings = {"max_delay": longest, "jitter": True}
        check_run(
            answer,
            kind,
            Work(1, longest),
            [longest],
            "that is not past max_delay",
            **settings,
        )
    check_run(
        answer,
        kind,
        Work(99, 61),
        [],
        "61 s is more than max_delay, and sooner would be refused again",
    )


@pytest.mark.points(1, hint="deadline")
def test_deadline(answer, server):
    """No retry begins after the deadline, which counts from the first call, and there
    is no wait before a retry that could not begin.
    """
    made, later = time.monotonic(), []
    for kind in KINDS:
        work, settings = Work(1), {"initial_delay": 0, "deadline": 0.25}
        settings["sleep"] = sleep_for(kind, [])
        does = work.described()
        function = retried(answer, work.function(kind), does, **settings)
        later.append((work, function, log.steps[:]))
    for kind in KINDS:
        check_deadline(answer, kind)
    time.sleep(max(0.0, made + 0.3 - time.monotonic()))
    for kind, (work, function, steps) in zip(KINDS, later, strict=True):
        for _ in range(3):  # a busy machine may stand still for 0.25 s, but not thrice
            if len(work.started) != 2:
                work.started.clear()
                log.steps[:] = [*steps, "time.sleep(0.3)"]
                end_of(function, kind)
        expect(
            len(work.started) == 2,
            saw=work.times(),
            expected="2 calls: the 0.25 s begin when work() is called, not when it is "
            "decorated",
        )


def check_deadline(answer: Any, kind: str) -> None:
    """Expect a deadline that counts both the waits and the calls."""
    why = "the next one would end after the deadline"
    check_run(answer, kind, Work(99), [1, 2], why, deadline=3)
    check_run(answer, kind, Work(99, 3.5), [], why, deadline=3)
    check_run(answer, kind, Work(99), [], "no wait fits into 0 s", deadline=0)
    for takes, delay, factor, deadline, late in (
        (0.05, 0.05, 1, 0.125, 0.2),
        (0.0, 0.1, 2, 0.225, 0.3),
    ):
        work, settings = Work(99, takes=takes), {"initial_delay": delay}
        settings |= {"backoff_factor": factor, "deadline": deadline}
        function = retried(answer, work.function(kind), work.described(), **settings)
        with expect_raises(answer, Busy):
            run(function, kind)
        expect(
            len(work.started) <= 2,
            saw=work.times(),
            expected=f"2 calls, at 0 and 0.1 s: the next would begin at {late} s, "
            "after the deadline",
        )


@pytest.mark.points(1, hint="counting")
def test_real_waits(answer, server):
    """Without a sleep of your own, the waits are real, as the server sees them."""

    def fetch() -> str:
        response = requests.get(server.url + "/users/ada", timeout=2)
        if response.status_code == 503:
            raise Busy()
        return response.json()["login"]

    server.script(fault.status(503), fault.drop("rst"))
    does = "meets a 503, then no connection, and then works"
    function = retried(
        answer,
        fetch,
        does,
        exceptions=(Busy, requests.ConnectionError),
        initial_delay=0.03,
    )
    expect(call(function, "") == "ada", expected="'ada', what the third request brings")
    arrived = [record.received for record in server.records]
    gaps = [later - earlier for earlier, later in itertools.pairwise(arrived)]
    enough = len(gaps) == 2 and gaps[0] >= 0.027 and gaps[1] >= 0.057
    saw = f"{len(arrived)} requests, with gaps of {[f'{gap:.2f} s' for gap in gaps]}"
    expect(enough, saw=saw, expected="3 requests, with gaps of 0.03 s and 0.06 s")
    work = Work(8)  # a busy machine may make a gap or two, but not eight
    settings = {"max_retries": 9, "initial_delay": 0.02, "backoff_factor": 1}
    call(retried(answer, work.function(), work.described(), **settings), "")
    gaps = [later - earlier for earlier, later in itertools.pairwise(work.started)]
    saw = f"{work.times()}, with gaps from {min(gaps, default=0):.3f} s"
    expect(
        len(gaps) == 8 and min(gaps) >= 0.016,
        saw=saw,
        expected="9 calls, with a wait of 0.02 s before each retry",
    )


# --- retry_on_error: async def, and settings ---


@pytest.mark.points(1, hint="async")
def test_async(answer, server):
    """An async def is repeated as well and stays one; while it waits, other tasks go
    on, and it can be cancelled.
    """
    started, ticks = [], []

    async def work(value: str, *, fails: int) -> str:
        """Do the work."""
        started.append(value)
        if len(started) <= fails:
            raise Busy(len(started))
        return value + " done"

    function = retried(
        answer, work, "fails twice", initial_delay=0.06, backoff_factor=1
    )
    names = (inspect.iscoroutinefunction(function), function.__name__, function.__doc__)

    async def tick() -> None:
        while True:
            await asyncio.sleep(0.01)
            ticks.append(len(started))

    async def scenario() -> Any:
        ticker = asyncio.create_task(tick())
        try:
            return await call(function, "", "n-6206", fails=2)
        except Busy as error:
            return error
        finally:
            ticker.cancel()

    expect(
        run_async(scenario) == "n-6206 done",
        expected="'n-6206 done', what the third call returns",
    )
    expect(
        names == (True, "work", "Do the work."),
        saw=f"(is async, name, docstring) = {names}",
        expected="async def",
    )
    saw = f"other tasks had {len(ticks)} turns of 0.01 s in 0.12 s"
    expect(
        len(ticks) >= 2,
        saw=saw,
        expected="a wait that lets other tasks go on: await asyncio.sleep(…)",
    )
    tried: list[int] = []

    async def hang() -> None:
        tried.append(1)
        await asyncio.sleep(30 if len(tried) == 1 else 0)

    async def cancelled() -> Any:
        task = asyncio.ensure_future(function())
        await asyncio.sleep(0.02)
        task.cancel()
        return (await asyncio.gather(task, return_exceptions=True))[0]

    function = retried(answer, hang, "takes long", sleep=sleep_for("async def", []))
    log.steps.append("task = asyncio.create_task(hang()); task.cancel()")
    end = run_async(cancelled)
    saw = f"{calls(len(tried))}, then {end!r}"
    is_right = len(tried) == 1 and isinstance(end, asyncio.CancelledError)
    expect(
        is_right,
        saw=saw,
        expected="1 call, then CancelledError(): a task that is cancelled ends",
        hint="which-errors",
    )


@pytest.mark.points(1, hint="settings")
def test_settings(answer, server):
    """A number below 0 is a ValueError, and anything but a number a TypeError, when the
    function is decorated.
    """
    numbers = ("initial_delay", "backoff_factor", "max_delay", "deadline")
    early = "when the function is decorated, not at the first failure, weeks later"
    for name in ("max_retries", *numbers):
        with expect_raises(answer, ValueError, expected=f"ValueError {early}"):
            retried(answer, Work(0).function(), "works", **{name: -1})
    for name in ("max_retries", *numbers):
        with expect_raises(answer, TypeError, expected=f"TypeError {early}"):
            retried(answer, Work(0).function(), "works", **{name: "3"})
    with expect_raises(
        answer,
        TypeError,
        expected="TypeError: the parentheses are missing, @retry_on_error()",
    ):
        call(answer, "retry_on_error", Work(0).function())


# --- further: the old forms of a date ---

RFC_850 = "Sunday, 06-Nov-94 08:49:37 GMT"
ASCTIME = "Sun Nov  6 08:49:37 1994"
AS_IN_MAIL = (
    "Sun, 6 Nov 1994 08:49:37 -0000",
    "Sun, 06 Nov 1994 09:49 +0100",
    "6 Nov 1994 08:49:37",
)


@pytest.mark.points(1, further=True, hint="retry-after-dates")
def test_old_dates(answer, server, far_east):
    """The two old forms of a date are GMT, in whatever time zone this machine is."""
    for text in (ASCTIME, RFC_850):
        check(answer, text, 90, f"{text} is 90 s after now", now=MOMENT - 90)
        check(answer, text, 0, f"{text} was an hour ago", now=MOMENT + 3600)
        check(answer, text, 0, f"{text} is long ago")
    for text in AS_IN_MAIL:
        log.steps.clear()
        seen = call(answer, "parse_retry_after", text, now=MOMENT - 90)
        expect(seen is None or seen >= 0, expected="None or some seconds")


@pytest.mark.points(1, further=True, hint="two-digit-year")
def test_year_of_two_digits(answer, server, far_east):
    """A year of two digits is in the past if it would be more than 50 years ahead."""
    for year, now in ((2019, 2019), (1970, 2019), (2075, 2030), (2069, 2019)):
        present = datetime(now, 6, 15, 12, tzinfo=UTC).timestamp()
        date = datetime(year, 1, 1, tzinfo=UTC) + timedelta(days=165 * (year == now))
        text = f"{date:%A, %d-%b-%y} 12:01:40 GMT"
        wanted = date.timestamp() + 43300 - present
        why = f"seen from June {now}, this is {year}"
        if year < now:
            why += f", since {year + 100} is more than 50 years ahead"
        check(answer, text, max(0, wanted), why, now=present)


# --- further: the retry budget ---


def spend(
    answer: Any, budget: Any, work: Work, times: int = 1, kind: str = "def", **settings
) -> int:
    """Call work so many times under a budget, and return how often it was tried."""
    steps, waits = log.steps[:], []
    settings = {"max_retries": 9, **settings, "sleep": sleep_for(kind, waits)}
    function, does = work.function(kind), work.described()
    function = retried(answer, function, does, budget=budget, **settings)
    log.steps[:] = [*steps, *log.steps]
    for _ in range(times):
        end_of(function, kind)
    tried = len(work.started)
    saw = f"{calls(tried)}, and {len(waits)} waits"
    expected = f"{tried - times} waits: one before each retry, and none without"
    expect(len(waits) == tried - times, saw=saw, expected=expected)
    return tried


def check_left(answer: Any, budget: Any, tries: int, why: str, **settings: Any) -> None:
    """Expect that what always fails is tried so often with what a budget has left."""
    work = Work(99)
    spend(answer, budget, work, **settings)
    expected = f"{calls(tries)}: {why}"
    expect(len(work.started) == tries, saw=work.times(), expected=expected)


@pytest.mark.points(1, further=True, hint="budget")
def test_budget_is_shared(answer, server):
    """With half of its tokens or less, no function that shares a budget retries."""
    server.on().reply(fault.drop("rst"))

    def fetch() -> Any:
        return requests.get(server.url + "/users/ada", timeout=2)

    budget = call(answer, "RetryBudget")
    other = answer.RetryBudget(4)
    log.names.append((other, "other"))
    settings = {"max_retries": 9, "budget": budget, "sleep": sleep_for("def", [])}
    function = call(call(answer, "retry_on_error", **settings), "", fetch)
    with expect_raises(answer, requests.ConnectionError, hint="last-error"):
        call(function, "")
    saw = f"{len(server.records)} requests"
    expected = "5 of 10: after the fifth failure, half of the 10 tokens are left"
    expect(len(server.records) == 5, saw=saw, expected=expected)
    for kind in KINDS:
        why = "another function has spent the budget; the server gets one try, not ten"
        check_left(answer, budget, 1, why, kind=kind)
    for tokens in (1, 1.5):  # they are no more than half after the first failure
        log.steps.clear()
        small = call(answer, "RetryBudget", tokens)
        check_left(answer, small, 1, f"{tokens - 1} of {tokens} tokens are left")
    log.steps[:] = ["other = RetryBudget(4)"]
    check_left(answer, other, 2, "another budget has its own tokens, 4, and half is 2")
    log.steps.clear()
    check_left(answer, None, 10, "without a budget, there are nine retries")


@pytest.mark.points(1, further=True, hint="budget")
def test_budget_counts_failures(answer, server):
    """Each failed try costs a token, also the last of its call; an error that is not
    listed costs nothing.
    """
    last, listed = {"max_retries": 0}, {"exceptions": ValueError}
    for work, settings, left, why in (
        (
            Work(99),
            last,
            3,
            "8 tokens were left, since the last try of a call costs too",
        ),
        (Work(99, 61), {}, 3, "8 were left: each failure costs, also without a retry"),
        (Work(99), listed, 5, "10 were left: Busy is not in exceptions, so it is free"),
    ):
        for kind in KINDS:
            log.steps.clear()
            budget = call(answer, "RetryBudget")
            work.started.clear()
            spend(answer, budget, work, 2, kind, **settings)
            check_left(answer, budget, left, why)
    log.steps.clear()
    budget = call(answer, "RetryBudget", 10, 1)
    spend(answer, budget, Work(99), 4, **last)
    spend(answer, budget, Work(99), 3, **listed)
    check_left(answer, budget, 1, "6 were left: an error that is not listed gives none")
    log.steps.clear()
    budget = call(answer, "RetryBudget", 10, 1)
    spend(answer, budget, Work(99), 20, **last)
    spend(answer, budget, Work(0), 7)
    why = "7 were left: it never has less than 0, or it would recover too slowly"
    check_left(answer, budget, 2, why)


@pytest.mark.points(1, further=True, hint="budget")
def test_budget_counts_successes(answer, server):
    """Each try that succeeds gives token_ratio of a token, up to max_tokens."""
    for kind in KINDS:
        log.steps.clear()
        budget = call(answer, "RetryBudget", 10, 0.5)
        spend(answer, budget, Work(0), 20, kind)
        check_left(answer, budget, 5, "it never has more than its 10 tokens", kind=kind)
        spend(answer, budget, Work(0), 4, kind)
        check_left(answer, budget, 2, "5 tokens and 4 times 0.5 were left, 7 in all")
        log.steps.clear()
        budget = call(answer, "RetryBudget", 10, 1)
        spend(answer, budget, Work(99), 3, kind, max_retries=0)
        spend(answer, budget, Work(1), 1, kind)
        check_left(answer, budget, 2, "10 - 3 - 1 + 1 tokens were left, and 7 - 2 is 5")
    for times, left in ((11, 2), (9, 1)):
        log.steps.clear()
        budget = call(answer, "RetryBudget")
        spend(answer, budget, Work(99))
        spend(answer, budget, Work(0), times)
        why = f"5 tokens and {times} times 0.1 were left"
        check_left(answer, budget, left, why)


class Slow(float):
    """A number whose sums take a moment, in which other threads run."""

    def __add__(self, other: float) -> "Slow":
        time.sleep(0.002)
        return Slow(float(self) + other)

    def __sub__(self, other: float) -> "Slow":
        return self + -other

    __radd__ = __add__


def in_threads(answer: Any, budget: Any, work: Work) -> None:
    """Call work in eight threads at the same time, with no retries."""
    does, settings = work.described(), {"max_retries": 0, "budget": budget}
    steps = log.steps[:]
    function = retried(answer, work.function(), does, **settings)
    log.steps[:] = [*steps, *log.steps, "work() in 8 threads at once"]

    def call_it() -> None:
        with suppress(Busy):
            function()

    threads = [threading.Thread(target=call_it, daemon=True) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(2)


@pytest.mark.points(1, further=True, hint="budget")
def test_budget_in_threads(answer, server):
    """Threads may count at the same time; numbers not above 0 are a ValueError."""
    for numbers in ((0,), (-1,), (10, 0), (10, -0.1)):
        with expect_raises(answer, ValueError):
            call(answer, "RetryBudget", *numbers)
    log.steps.clear()
    budget = call(answer, "RetryBudget", Slow(20), Slow(1))
    in_threads(answer, budget, Work(99))
    race = "no thread may read a number that another one is about to write"
    check_left(answer, budget, 2, f"8 of 20 tokens were spent; {race}")
    in_threads(answer, budget, Work(0))
    check_left(answer, budget, 8, f"8 of 10 tokens came back; {race}")
