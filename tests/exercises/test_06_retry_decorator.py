"""Exercise 06: Retry-After in all its forms, and a decorator that repeats what can succeed later."""

import asyncio
import inspect
import itertools
import random
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Any

import pytest
import requests
from mock_server import fault

from . import feedback
from .feedback import call, expect, expect_raises, run_async

MOMENT = 784111777.0  # 6 November 1994, 08:49:37 GMT, in seconds since 1970
NEW_YEAR = 788918400.0  # 1 January 1995, 00:00:00 GMT
JUNE_2019, JUNE_2030 = (datetime(year, 6, 15, 12, tzinfo=UTC).timestamp() for year in (2019, 2030))


class Busy(Exception):
    """What the functions of these tests raise. retry_after: seconds."""

    def __init__(self, number: int = 1, retry_after: float | None = None) -> None:
        super().__init__(f"failure {number}")
        self.retry_after = retry_after


class Work:
    """A function that fails some times and then returns "done"; it counts its calls and keeps its errors."""

    def __init__(self, failures: int, retry_after: float | None = None) -> None:
        self.failures, self.retry_after = failures, retry_after
        self.errors: list[Busy] = []
        self.started: list[float] = []

    def function(self) -> Callable[[], str]:
        """Return it as a plain function."""

        def work() -> str:
            """Do the work."""
            self.started.append(time.monotonic())
            if len(self.started) <= self.failures:
                self.errors.append(Busy(len(self.started), self.retry_after))
                raise self.errors[-1]
            return "done"

        return work

    def times(self) -> str:
        """Return in words how often it was called."""
        return f"{len(self.started)} call{'s' * (len(self.started) != 1)}"


def retried(answer: Any, function: Callable, **settings: Any) -> Callable:
    """Return a function under the learner's decorator, with settings that make it quick and exact."""
    settings = {"jitter": False, "exceptions": (Busy,), **settings}
    return call(call(answer, "retry_on_error", **settings), "", function)


def waits_of(answer: Any, failures: int, retry_after: float | None = None, **settings: Any) -> list[float]:
    """Return the waits before the retries of a function that fails some times, and fail if it fails in the end."""
    waits: list[float] = []
    work = retried(answer, Work(failures, retry_after).function(), sleep=waits.append, **settings)
    call(work, "")
    return waits


def are_close(seen: list[float], wanted: list[float]) -> bool:
    """Say whether two lists of seconds are the same but for rounding."""
    return len(seen) == len(wanted) and all(abs(one - other) < 1e-6 for one, other in zip(seen, wanted, strict=True))


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
        expect(seen == wanted and not isinstance(seen, str), expected=f"{wanted}.0 for {text!r}")
    expect(call(answer, "parse_retry_after", None) is None, expected="None for no header")


FORMS = {
    "usual": "Sun, 06 Nov 1994 08:49:37 GMT",
    "rfc850": "Sunday, 06-Nov-94 08:49:37 GMT",
    "asctime": "Sun Nov  6 08:49:37 1994",
}


def check(answer: Any, text: str, wanted: float, why: str, **now: float) -> None:
    """Expect these seconds of a date, and show no other call."""
    feedback.log.steps.clear()
    seen = call(answer, "parse_retry_after", text, **now)
    is_right = isinstance(seen, int | float) and abs(seen - wanted) < 0.01
    expect(is_right, expected=f"{float(wanted)}: {why}")


@pytest.mark.points(1, hint="retry-after-dates")
@pytest.mark.parametrize("form", ["usual", "asctime"])
def test_date(answer, server, far_east, form):
    """Each of the three forms of a date is GMT, in whatever time zone this machine is."""
    check(answer, FORMS[form], 90, f"{FORMS[form]} is 90 s after now", now=MOMENT - 90)


@pytest.mark.points(1, hint="two-digit-year")
def test_year_of_two_digits(answer, server, far_east):
    """A date whose year has two digits is GMT too; if it would be more than 50 years ahead, it is in the past."""
    check(answer, FORMS["rfc850"], 90, f"{FORMS['rfc850']} is 90 s after now", now=MOMENT - 90)
    this_year, over = "Saturday, 15-Jun-19 12:01:40 GMT", "Thursday, 01-Jan-70 00:00:00 GMT"
    check(answer, this_year, 100, "seen from June 2019, this is 2019", now=JUNE_2019)
    check(answer, over, 0, "seen from June 2019, 70 is 1970, since 2070 is more than 50 years ahead", now=JUNE_2019)
    for year, now, present in ((2075, JUNE_2030, 2030), (2069, JUNE_2019, 2019)):
        wanted = datetime(year, 1, 1, tzinfo=UTC).timestamp() - now
        why = f"seen from June {present}, this is {year}, which is not more than 50 years ahead"
        check(answer, f"Tuesday, 01-Jan-{year % 100} 00:00:00 GMT", wanted, why, now=now)


@pytest.mark.points(1, hint="never-negative")
def test_past_date(answer, server):
    """A date in the past is 0.0, and without `now` the clock of this machine says what the past is."""
    for form in FORMS.values():
        check(answer, form, 0, f"{form} is an hour before now", now=MOMENT + 3600)
        check(answer, form, 0, f"{form} is long ago")
    later = "Fri, 06 Nov 2093 08:49:37 GMT"
    check(answer, later, 3124224000, "from 1994 to 2093: this year has four digits", now=MOMENT)
    last = "Sat, 31 Dec 1994 23:59:59 GMT"
    check(answer, last, 10, "the last second of 1994 is 10 s after now", now=NEW_YEAR - 11)
    first = "Thu, 01 Jan 1970 00:01:40 GMT"
    check(answer, first, 100, "now=0.0 is a moment too, the first of 1970", now=0.0)
    feedback.log.steps.clear()
    seen = call(answer, "parse_retry_after", formatdate(time.time() + 100, usegmt=True))
    expect(seen is not None and 90 <= seen <= 101, expected="about 100.0 seconds from now")


NEITHER = ("", "soon", "-5", "1.5", "nan", "inf", "0x10", "5 seconds", "Sun, 06 Nov", "Wed, 31 Feb 2027 08:49:37 GMT")
NO_TIME = ("Sun, 06 Nov 1994 24:00:00 GMT", "Sun, 06 Nov 1994 08:60:00 GMT")
ODD = ("9" * 5000, "Sun, 06 Nov 1994 99:99:99 GMT", "Sun, 06 Nov 99999 08:49:37 GMT", "٣", "²", "Sun, 06 \0Nov")


@pytest.mark.points(1, hint="retry-after-forms")
def test_neither(answer, server):
    """What is neither whole seconds nor a date is None, and whatever it is, there is no error."""
    for text in NEITHER + NO_TIME:
        feedback.log.steps.clear()
        expect(call(answer, "parse_retry_after", text, now=MOMENT) is None, expected=f"None for {text!r}")
    for text in ODD:
        feedback.log.steps.clear()
        seen = call(answer, "parse_retry_after", text, now=MOMENT)
        expect(seen is None or seen >= 0, expected="None or some seconds")


# --- retry_on_error: how often ---


@pytest.mark.points(1, hint="wraps")
def test_function_that_works(answer, server):
    """A function that works is called once, with its arguments, and keeps its name and docstring."""
    calls = []

    def add(first: int, *, second: int) -> int:
        """Add two numbers."""
        calls.append((first, second))
        return first + second

    decorated = retried(answer, add)
    expect(call(decorated, "", 4700, second=11) == 4711, expected="4711, what the function returns")
    expect(calls == [(4700, 11)], saw=f"{len(calls)} calls: {calls}", expected="one call, with the arguments 4700, 11")
    names = (decorated.__name__, decorated.__doc__)
    expect(names == ("add", "Add two numbers."), saw=f"name and docstring {names}", expected="('add', 'Add two …')")


@pytest.mark.points(1, hint="counting")
def test_count(answer, server):
    """Usually there are four calls in all, with three waits; the error of the fourth is raised itself."""
    work, waits = Work(99), []
    function = retried(answer, work.function(), sleep=waits.append)
    with expect_raises(answer, Busy, hint="last-error") as caught:
        call(function, "")
    expect(len(work.started) == 4, saw=work.times(), expected="4 calls: the first, and max_retries=3 more")
    expect(len(waits) == 3, saw=f"{len(waits)} waits: {waits}", expected="3 waits, and none after the last failure")
    expect(
        caught.value is work.errors[-1],
        saw=f"{caught.value!r} was raised",
        expected="the last error itself: failure 4, the very object",
        hint="last-error",
    )


@pytest.mark.points(1, hint="counting")
def test_no_retries(answer, server):
    """max_retries=0 calls once: the value comes back, and an error comes out."""
    expect(call(retried(answer, Work(0).function(), max_retries=0), "") == "done", expected="'done', what it returns")
    work, waits = Work(1), []
    function = retried(answer, work.function(), max_retries=0, sleep=waits.append)
    with expect_raises(answer, Busy, expected="Busy: failure 1, after one call"):
        call(function, "")
    saw = f"{work.times()}, waits {waits}"
    expect((len(work.started), waits) == (1, []), saw=saw, expected="1 call and no wait")


@pytest.mark.points(1, hint="which-errors")
def test_errors_not_listed(answer, server):
    """An error that is not listed comes out after one call; usually a ValueError is not, a broken connection is."""
    work, waits = Work(99), []
    function = retried(answer, work.function(), exceptions=ValueError, sleep=waits.append)
    with expect_raises(answer, Busy):
        call(function, "")
    expect(len(work.started) == 1, saw=work.times(), expected="1 call: Busy is not in exceptions")

    def fetch() -> Any:
        return requests.get(server.url + "/users/ada", timeout=2).json()

    server.script(fault.drop("rst"), fault.bad_json())
    function = call(call(answer, "retry_on_error", sleep=waits.append), "", fetch)
    with expect_raises(answer, requests.JSONDecodeError):
        call(function, "")
    saw = f"{len(server.records)} requests"
    expect(len(server.records) == 2, saw=saw, expected="2: again after a broken connection, not after bad JSON")


# --- retry_on_error: how long ---


@pytest.mark.points(1, hint="backoff")
def test_waits(answer, server):
    """Each wait is backoff_factor times the one before, for every call anew: 1, 2, 4."""
    waits = []
    function = retried(answer, Work(3).function(), sleep=waits.append)
    expect(call(function, "") == "done", expected="'done', what the fourth call returns")
    expect(are_close(waits, [1, 2, 4]), saw=f"waits {waits}", expected="waits 1, 2, 4 (the defaults, no jitter)")
    waits.clear()
    call(retried(answer, Work(3).function(), initial_delay=0.5, backoff_factor=3, sleep=waits.append), "")
    expect(are_close(waits, [0.5, 1.5, 4.5]), saw=f"waits {waits}", expected="0.5, then 3 times as long: 1.5, 4.5")


@pytest.mark.points(1, hint="counting")
def test_each_call_begins_anew(answer, server):
    """A second call of the decorated function has all its retries, and the first wait again."""
    waits, count = [], iter(range(1, 100))

    def work() -> str:
        number = next(count)
        if number % 3:
            raise Busy(number)
        return f"done {number}"

    function = retried(answer, work, max_retries=2, sleep=waits.append)
    results = [call(function, ""), call(function, "")]
    expect(results == ["done 3", "done 6"], saw=f"{results}", expected="'done 3', then 'done 6'")
    expect(are_close(waits, [1, 2, 1, 2]), saw=f"waits {waits}", expected="waits 1, 2 and again 1, 2")


@pytest.mark.points(1, hint="many-retries")
def test_max_delay(answer, server):
    """No wait is longer than max_delay, however many retries there are."""
    waits = waits_of(answer, 5, max_retries=5, max_delay=3)
    expect(are_close(waits, [1, 2, 3, 3, 3]), saw=f"waits {waits}", expected="waits 1, 2, 3, 3, 3", hint="backoff")
    waits = waits_of(answer, 2, initial_delay=9, max_delay=3)
    expect(are_close(waits, [3, 3]), saw=f"waits {waits}", expected="waits 3, 3", hint="backoff")
    feedback.log.steps.clear()
    waits = waits_of(answer, 160, max_retries=160, backoff_factor=100, max_delay=3)
    saw = f"{len(waits)} waits, the longest of {max(waits, default=0)} s"
    expect(len(waits) == 160 and max(waits) == 3, saw=saw, expected="160 waits, none of them longer than 3 s")


@pytest.mark.points(1, hint="backoff")
def test_jitter(answer, server):
    """With jitter, a wait is any part of the delay, from nothing to all of it, and rng decides which."""

    def draw(seed: int) -> list[float]:
        waits, rng = [], random.Random(seed)
        for _ in range(60):
            decorator = call(answer, "retry_on_error", exceptions=(Busy,), rng=rng, sleep=waits.append)
            call(decorator, "", Work(2).function())()
        return waits

    waits = draw(1)
    for delay, some in ((1, waits[::2]), (2, waits[1::2])):
        saw = f"60 waits from {min(some):.2f} to {max(some):.2f} s, for a delay of {delay} s"
        expect(min(some) >= 0 and max(some) <= delay, saw=saw, expected=f"no wait longer than the delay, {delay} s")
        spread = min(some) < 0.3 * delay and max(some) > 0.7 * delay
        expect(spread, saw=saw, expected="waits from about nothing to about all of the delay")
    expect(draw(1) == waits, saw="other waits with the same rng", expected="the same waits with random.Random(1)")


@pytest.mark.points(1, hint="obey-retry-after")
def test_retry_after(answer, server):
    """An error's retry_after is waited out, with jitter too, up to max_delay."""
    for settings in ({}, {"jitter": True}, {"jitter": True, "rng": random.Random(3)}):
        waits = waits_of(answer, 3, retry_after=7, **settings)
        enough = len(waits) == 3 and all(7 <= wait <= 60 for wait in waits)
        expect(enough, saw=f"waits {waits}", expected="3 waits of at least 7 s, as the error asks")
    waits = waits_of(answer, 1, retry_after=0.5, initial_delay=0.1)
    enough = len(waits) == 1 and 0.5 <= waits[0] <= 0.6
    expect(enough, saw=f"waits {waits}", expected="a wait of 0.5 s, as the error asks")
    for longest in (60, 7):
        waits = waits_of(answer, 1, retry_after=longest, max_delay=longest, jitter=True)
        expect(are_close(waits, [longest]), saw=f"waits {waits}", expected=f"{longest} s: that is not past max_delay")


@pytest.mark.points(1, hint="obey-retry-after")
def test_retry_after_beyond_max_delay(answer, server):
    """If the server asks for more than max_delay, there is no retry: a shorter wait would be refused again."""
    work, waits = Work(99, retry_after=61), []
    function = retried(answer, work.function(), sleep=waits.append)
    with expect_raises(answer, Busy, expected="Busy: failure 1, at once"):
        call(function, "")
    saw = f"{work.times()}, waits {waits}"
    expect((len(work.started), waits) == (1, []), saw=saw, expected="1 call and no wait: 61 s is more than max_delay")


@pytest.mark.points(1, hint="deadline")
def test_deadline(answer, server):
    """No retry begins after the deadline, and nobody waits for one that could not begin."""
    for asked, wanted in ((None, [1, 2]), (3.5, [])):
        waits: list[float] = []
        function = retried(answer, Work(99, retry_after=asked).function(), deadline=3, sleep=waits.append)
        with expect_raises(answer, Busy):
            call(function, "")
        expected = f"waits {wanted}: the next one would end after the deadline of 3 s"
        expect(are_close(waits, wanted), saw=f"waits {waits}", expected=expected)
    work = Work(99)
    function = retried(answer, work.function(), max_retries=5, initial_delay=0.1, backoff_factor=1, deadline=0.25)
    with expect_raises(answer, Busy):
        call(function, "")
    expect(len(work.started) <= 3, saw=work.times(), expected="3 calls, at 0, 0.1 and 0.2 s: none after 0.25 s")


@pytest.mark.points(1, hint="counting")
def test_real_waits(answer, server):
    """Without a sleep of your own, the waits are real, as the server sees them."""

    def fetch() -> str:
        response = requests.get(server.url + "/users/ada", timeout=2)
        if response.status_code == 503:
            raise Busy()
        return response.json()["login"]

    server.script(fault.status(503), fault.drop("rst"))
    function = retried(answer, fetch, exceptions=(Busy, requests.ConnectionError), initial_delay=0.05)
    expect(call(function, "") == "ada", expected="'ada', what the third request brings")
    arrived = [record.received for record in server.records]
    gaps = [later - earlier for earlier, later in itertools.pairwise(arrived)]
    enough = len(gaps) == 2 and gaps[0] >= 0.045 and gaps[1] >= 0.095
    saw = f"{len(arrived)} requests, with gaps of {[f'{gap:.2f} s' for gap in gaps]}"
    expect(enough, saw=saw, expected="3 requests, with gaps of 0.05 s and 0.10 s")
    work = Work(8)  # a busy machine may make a gap or two, but not eight
    call(retried(answer, work.function(), max_retries=9, initial_delay=0.03, backoff_factor=1), "")
    gaps = [later - earlier for earlier, later in itertools.pairwise(work.started)]
    saw = f"{work.times()}, with gaps from {min(gaps, default=0):.3f} s"
    expect(len(gaps) == 8 and min(gaps) >= 0.025, saw=saw, expected="9 calls, with a wait of 0.03 s before each retry")


# --- retry_on_error: async def, and settings ---


@pytest.mark.points(1, hint="async")
def test_async(answer, server):
    """An async def is repeated as well, stays one, and other tasks go on while it waits."""
    calls, ticks = [], []

    async def work(value: str, *, fails: int) -> str:
        """Do the work."""
        calls.append(value)
        if len(calls) <= fails:
            raise Busy(len(calls))
        return value + " done"

    function = retried(answer, work, initial_delay=0.1, backoff_factor=1)
    names = (inspect.iscoroutinefunction(function), function.__name__, function.__doc__)

    async def tick() -> None:
        while True:
            await asyncio.sleep(0.01)
            ticks.append(len(calls))

    async def scenario() -> str:
        ticker = asyncio.create_task(tick())
        result = await call(function, "", "n-6206", fails=2)
        ticker.cancel()
        return result

    expect(run_async(scenario) == "n-6206 done", expected="'n-6206 done', what the third call returns")
    expect(names == (True, "work", "Do the work."), saw=f"(is async, name, docstring) = {names}", expected="async def")
    with expect_raises(answer, Busy, expected="Busy: failure 7, the last error itself", hint="last-error") as caught:
        run_async(call(retried(answer, work, initial_delay=0.01), "", "n-6207", fails=99))
    saw = f"{len(calls) - 3} calls, then {caught.value}"
    expect(len(calls) == 7 and "failure 7" in str(caught.value), saw=saw, expected="4 calls, then failure 7")
    saw = f"other tasks had {len(ticks)} turns of 0.01 s in 0.2 s"
    expect(len(ticks) >= 2, saw=saw, expected="a wait that lets other tasks go on: await asyncio.sleep(…)")


@pytest.mark.points(1, hint="settings")
def test_settings(answer, server):
    """A number below 0 is a ValueError, and what is no number a TypeError, before anything is called."""
    for settings in ({"max_retries": -1}, {"initial_delay": -1.0}, {"max_delay": -0.5}, {"deadline": -1}):
        work = Work(0)
        with expect_raises(answer, ValueError):
            retried(answer, work.function(), **settings)()
        expect(not work.started, saw=work.times(), expected="no call: the settings are wrong")
    for settings in ({"max_retries": "3"}, {"initial_delay": "1"}):
        with expect_raises(answer, TypeError):
            retried(answer, Work(0).function(), **settings)
    with expect_raises(answer, TypeError, expected="TypeError: the parentheses are missing, @retry_on_error()"):
        call(answer, "retry_on_error", Work(0).function())
