"""Solution 06: read Retry-After in all its forms, and repeat what can succeed later.

Sources: RFC 9110, sections 10.2.3 (Retry-After) and 5.6.7 (the three forms of a date);
https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/ (full jitter);
https://github.com/grpc/proposal/blob/master/A6-client-retries.md (the retry budget).
"""

import asyncio
import calendar
import datetime
import functools
import inspect
import random
import re
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx
import requests

Function = Callable[..., Any]
Errors = type[Exception] | tuple[type[Exception], ...]

# What may be over in a moment: no connection, no reply in time, a reply that broke off.
RETRYABLE: Errors = (
    ConnectionError,
    TimeoutError,
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,
    httpx.NetworkError,
    httpx.TimeoutException,
    httpx.RemoteProtocolError,
)

_MONTHS = "Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec"
_MONTH = f"(?P<month>{_MONTHS})"
_DAY = "(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
_LONG_DAY = "(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day"
# The second 60 is a leap second.
_TIME = "(?P<hour>[01][0-9]|2[0-3]):(?P<minute>[0-5][0-9]):(?P<second>[0-5][0-9]|60)"
# Some servers send their own zone, such as +0200.
_ZONE = "(?:GMT|(?P<zone>[+-](?:[01][0-9]|2[0-3])[0-5][0-9]))"
_DATES = (
    # Sun, 06 Nov 1994 08:49:37 GMT: the form that servers have to send.
    re.compile(
        f"{_DAY}, (?P<day>[0-9]{{2}}) {_MONTH} (?P<year>[0-9]{{4}}) {_TIME} {_ZONE}"
    ),
    # Sunday, 06-Nov-94 08:49:37 GMT: RFC 850.
    re.compile(
        f"{_LONG_DAY}, (?P<day>[0-9]{{2}})-{_MONTH}-(?P<year>[0-9]{{2}}) {_TIME} GMT"
    ),
    # Sun Nov  6 08:49:37 1994: asctime() of the language C.
    re.compile(
        f"{_DAY} {_MONTH} (?P<day>[0-9]{{2}}| [0-9]) {_TIME} (?P<year>[0-9]{{4}})"
    ),
)


def parse_retry_after(value: str | None, now: float | None = None) -> float | None:
    """Return the seconds that a Retry-After header asks you to wait.

    The header holds whole seconds, or a date such as Sun, 06 Nov 1994 08:49:37 GMT
    (RFC 9110, section 10.2.3). A date in the past gives 0.0. None if there is no
    header, or if it holds neither. No value raises an error. Some servers send what is
    not in the standard: for 1.5, or a date as in an e-mail, return seconds or None.

    Further, if you like: two old forms of a date, which mean GMT as well (RFC 9110,
    section 5.6.7). One has a year of two digits: if the date would be more than 50
    years ahead, it belongs to the century before.

    now: the present, in seconds since 1970; None: time.time().
    """
    if not isinstance(value, str):
        return None
    value = value.strip()
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", value):  # real servers send 1.5 too
        return min(float(value), sys.float_info.max)  # not inf, for 309 digits
    now = time.time() if now is None else now
    date = _parse_date(value, now)
    return None if date is None else max(0.0, date - now)


def _parse_date(value: str, now: float) -> float | None:
    """Return an HTTP-date in seconds since 1970, or None for anything else.

    Neither the time zone of this machine nor its language has a part in it.
    """
    found = next(filter(None, (form.fullmatch(value) for form in _DATES)), None)
    if found is None:
        return None
    year, day, hour, minute, second = (
        int(found[part]) for part in ("year", "day", "hour", "minute", "second")
    )
    month = _MONTHS.split("|").index(found["month"]) + 1
    if len(found["year"]) == 2:  # it is in the past if it seems over 50 years ahead
        present = time.gmtime(now)
        latest = (present.tm_year + 50, *present[1:])
        year += latest[0] - latest[0] % 100
        if (year, month, day, hour, minute, second) > latest:
            year -= 100
    try:
        datetime.date(year, month, day)
    except ValueError:  # February 30, or the year 0
        return None
    zone = found.groupdict().get("zone") or "+0000"
    ahead = datetime.datetime.strptime(zone, "%z").utcoffset()  # of GMT
    seconds = calendar.timegm((year, month, day, hour, minute, second))
    return seconds - ahead.total_seconds()


def retry_on_error(
    max_retries: int = 3,
    initial_delay: float = 1.0,
    backoff_factor: float = 2.0,
    exceptions: Errors = RETRYABLE,
    *,
    max_delay: float = 60.0,
    jitter: bool = True,
    deadline: float | None = None,
    budget: "RetryBudget | None" = None,
    sleep: Function | None = None,
    rng: random.Random | None = None,
) -> Callable[[Function], Function]:
    """Return a decorator that repeats a call which raises one of the exceptions.

    It works for functions, methods and `async def`, and keeps name and docstring.
    Several calls of one function, in threads or tasks, do not disturb each other.

    max_retries: calls after the first; 0 means one call in all.
    initial_delay: seconds before the first retry. Each next delay is backoff_factor
        times the one before, but at most max_delay seconds.
    jitter: wait a random part of the delay, from nothing to all of it.
    deadline: seconds after the first call began; no retry begins later. None: no limit.
    budget: further, if you like: a RetryBudget, see below; None: no budget.
    sleep: waits a number of seconds; for an `async def`, it is an `async def` as well.
        None: time.sleep, or asyncio.sleep for an `async def`.
    rng: draws the jitter; use only its uniform(low, high). None: the module random.

    If an error has a retry_after, in seconds, wait at least that long; if it is more
    than max_delay or the deadline allows, there is no retry. At the end, the last error
    itself is raised. A number below 0 is a ValueError, and anything else in the place
    of a number a TypeError, when you decorate a function, not when you call it.
    """
    if not isinstance(max_retries, int):  # a function, if the parentheses are missing
        raise TypeError(
            f"@retry_on_error(max_retries=…) needs a whole number, not {max_retries!r}"
        )
    # Or a wrong one would be found only by the first failure.
    for kind in exceptions if isinstance(exceptions, tuple) else (exceptions,):
        if not (isinstance(kind, type) and issubclass(kind, BaseException)):
            raise TypeError(f"exceptions: a class of errors or a tuple, not {kind!r}")
    policy = _Policy(
        max_retries,
        initial_delay,
        backoff_factor,
        max_delay,
        float("inf") if deadline is None else deadline,
        (rng or random) if jitter else None,
        budget,
    )

    def decorate(function: Function) -> Function:
        kinds = (inspect.isgeneratorfunction, inspect.isasyncgenfunction)
        if not callable(function) or any(kind(function) for kind in kinds):
            raise TypeError(
                f"repeat a function or an `async def`, not {function!r}; a generator "
                "fails while it is read, when its call is over: repeat what reads it"
            )
        repeated = _repeat(function, exceptions, policy, sleep)
        if not inspect.iscoroutinefunction(function):
            return repeated

        @functools.wraps(function)
        async def repeated_async(*args: Any, **kwargs: Any) -> Any:
            return await repeated(*args, **kwargs)

        return repeated_async

    return decorate


@dataclass
class _Policy:
    """The settings of retry_on_error; dice are its rng, or None without jitter."""

    max_retries: int
    initial_delay: float
    backoff_factor: float
    max_delay: float
    deadline: float
    dice: Any
    budget: "RetryBudget | None"

    def __post_init__(self) -> None:
        for name, value in list(vars(self).items())[:5]:  # the numbers
            if not value >= 0:  # also for nan, which is not below 0
                raise ValueError(f"{name} must be 0 or more, not {value!r}")

    def count_success(self) -> None:
        """Count a try that succeeded, if there is a budget."""
        if self.budget is not None:
            self.budget.count_success()


class _Waits:
    """The waits between the tries of one call, which began at started (monotonic)."""

    def __init__(self, policy: _Policy, started: float) -> None:
        self.policy, self._started = policy, started
        self._count, self._waited = 0, 0.0
        self._delay = min(policy.initial_delay, policy.max_delay)

    def after(self, error: Exception) -> float | None:
        """Return the seconds to wait after an error, or None to give up."""
        policy = self.policy
        if "CERTIFICATE_VERIFY_FAILED" in str(error):  # it is as wrong the next time
            return None
        if policy.budget is not None and not policy.budget.count_failure():
            return None
        asked = getattr(error, "retry_after", None)
        asked = max(0.0, asked) if isinstance(asked, int | float) else 0.0
        if policy.dice:  # on top of what was asked, or all clients come back at once
            wait = asked + policy.dice.uniform(0.0, self._delay)
        else:
            wait = max(asked, self._delay)
        wait = min(wait, policy.max_delay)
        # An injected sleep may take no time, but it counts as if it did.
        past = max(self._waited, time.monotonic() - self._started)
        if self._count >= policy.max_retries or wait < asked:
            return None
        if past + wait > policy.deadline:
            return None
        self._count += 1
        self._waited += wait
        self._delay = min(self._delay * policy.backoff_factor, policy.max_delay)
        return wait


def _repeat(
    function: Function, exceptions: Errors, policy: _Policy, sleep: Function | None
) -> Function:
    """Return function with its retries; what it returns may be an awaitable."""

    @functools.wraps(function)
    def repeated(*args: Any, **kwargs: Any) -> Any:
        started, waits = time.monotonic(), None
        while True:
            try:
                result = function(*args, **kwargs)
                if not inspect.isawaitable(result):
                    policy.count_success()
                    return result
                waits = waits or _Waits(policy, started)
                call = functools.partial(function, *args, **kwargs)
                return _finish(result, call, exceptions, waits, sleep or asyncio.sleep)
            except exceptions as error:
                waits = waits or _Waits(policy, started)
                wait = waits.after(error)
                if wait is None:
                    raise
            # After the except, so that a next error is not chained to it.
            (sleep or time.sleep)(wait)

    return repeated


async def _finish(
    begun: Any, call: Function, exceptions: Errors, waits: _Waits, sleep: Function
) -> Any:
    """Await what a call has returned, and call again while that can help."""
    while True:
        try:
            result = await (call() if begun is None else begun)
            waits.policy.count_success()
            return result
        except exceptions as error:
            wait = waits.after(error)
            if wait is None:
                raise
        begun, pause = None, sleep(wait)
        if inspect.isawaitable(pause):  # a sleep for tests may be a plain function
            await pause


class RetryBudget:
    """Further, if you like: the retries that several functions share.

    It begins with max_tokens, and never has more than that, or less than 0. Each try
    that fails with one of its decorator's exceptions costs one token, whether or not a
    retry follows. Each try that succeeds gives token_ratio of a token. While half of
    max_tokens or less is left, there is no retry: the error is raised at once.
    (gRPC limits its retries like this: proposal A6, "Throttling Retry Attempts".)

    Threads may count at the same time. Raises ValueError for a max_tokens or a
    token_ratio that is not above 0.
    """

    def __init__(self, max_tokens: float = 10, token_ratio: float = 0.1) -> None:
        if not (0 < max_tokens < float("inf") and token_ratio > 0):  # nan neither
            raise ValueError(
                "max_tokens and token_ratio must be above 0, not "
                f"{max_tokens!r} and {token_ratio!r}"
            )
        self._most, self._ratio, self._tokens = max_tokens, token_ratio, max_tokens
        self._lock = threading.Lock()

    def count_success(self) -> None:
        """Count a try that succeeded."""
        with self._lock:
            self._tokens = min(self._tokens + self._ratio, self._most)

    def count_failure(self) -> bool:
        """Count a try that failed, and say whether a retry may follow."""
        with self._lock:
            self._tokens = max(0.0, self._tokens - 1)
            return self._tokens > self._most / 2
