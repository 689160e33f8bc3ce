"""A class in the place of nested functions: its object is the decorator; the HTTP-date
by a regular expression.
"""

import asyncio
import datetime
import functools
import inspect
import random
import re
import threading
import time

import httpx
import requests

MONTHS = [
    "Jan",
    "Feb",
    "Mar",
    "Apr",
    "May",
    "Jun",
    "Jul",
    "Aug",
    "Sep",
    "Oct",
    "Nov",
    "Dec",
]
DATE = re.compile(
    r"[A-Z][a-z]+,? (?:(\d\d)[ -]([A-Z][a-z]{2})[ -](\d{2}|\d{4})|([A-Z][a-z]{2}) ([ "
    r"\d]\d))"
    r" (\d\d):(\d\d):(\d\d) (?:GMT|(\d{4}))",
    re.ASCII,
)


def parse_retry_after(value, now=None):
    if value is None or not value.isascii():
        return None
    if value.isdigit():
        return float(value)
    found = DATE.fullmatch(value)
    if not found:
        return None
    year, month, day = (
        int(found[3] or found[9] or 0),
        found[2] or found[4],
        int(found[1] or found[5]),
    )
    now = (
        datetime.datetime.now(datetime.UTC)
        if now is None
        else datetime.datetime.fromtimestamp(now, datetime.UTC)
    )
    if found[3] and year < 100:
        year += now.year - now.year % 100
        if year > now.year + 50:
            year -= 100
    try:
        clock = [int(found[number]) for number in (6, 7, 8)]
        date = datetime.datetime(
            year, MONTHS.index(month) + 1, day, *clock, tzinfo=datetime.UTC
        )
    except ValueError:
        return None
    return max(0.0, (date - now).total_seconds())


class retry_on_error:
    def __init__(
        self,
        max_retries=3,
        initial_delay=1.0,
        backoff_factor=2.0,
        exceptions=(
            requests.ConnectionError,
            requests.Timeout,
            httpx.TransportError,
            ConnectionError,
            TimeoutError,
        ),
        *,
        max_delay=60.0,
        jitter=True,
        deadline=None,
        budget=None,
        sleep=None,
        rng=None,
    ):
        for name in (
            "max_retries",
            "initial_delay",
            "backoff_factor",
            "max_delay",
            "deadline",
        ):
            number = locals()[name]
            if number is not None and number < 0:
                raise ValueError(f"{name} is negative: {number}")
            setattr(self, name, number)
        self.exceptions, self.sleep, self.budget = exceptions, sleep, budget
        self.rng = (rng or random.SystemRandom()) if jitter else None

    def __call__(self, function):
        if inspect.iscoroutinefunction(function):
            return functools.wraps(function)(self._coroutine(function))

        @functools.wraps(function)
        def wrapper(*args, **kwargs):
            first = time.perf_counter()
            for number in range(self.max_retries + 1):
                try:
                    return self._done(function(*args, **kwargs))
                except self.exceptions as error:
                    wait = self._wait(number, error)
                    if self._is_over(number, wait, first):
                        raise
                (self.sleep or time.sleep)(wait)

        return wrapper

    def _coroutine(self, function):
        async def wrapper(*args, **kwargs):
            first = time.perf_counter()
            for number in range(self.max_retries + 1):
                try:
                    return self._done(await function(*args, **kwargs))
                except self.exceptions as error:
                    wait = self._wait(number, error)
                    if self._is_over(number, wait, first):
                        raise
                await (self.sleep or asyncio.sleep)(wait)

        return wrapper

    def _wait(self, number, error):
        try:
            wait = min(self.initial_delay * self.backoff_factor**number, self.max_delay)
        except OverflowError:
            wait = self.max_delay
        if self.rng:
            wait = self.rng.uniform(0, wait)
        return max(wait, getattr(error, "retry_after", 0) or 0)

    def _done(self, result):
        if self.budget:
            self.budget.count_success()
        return result

    def _is_over(self, number, wait, first):
        if self.budget and not self.budget.count_failure():
            return True
        if number == self.max_retries or wait > self.max_delay:
            return True
        return (
            self.deadline is not None
            and time.perf_counter() - first + wait > self.deadline
        )


class RetryBudget:
    def __init__(self, max_tokens=10, token_ratio=0.1):
        if max_tokens <= 0 or token_ratio <= 0:
            raise ValueError("a budget needs tokens")
        self.max_tokens, self.token_ratio = max_tokens, token_ratio
        self.tokens, self.lock = max_tokens, threading.Lock()

    def count_success(self):
        self._add(self.token_ratio)

    def count_failure(self):
        return self._add(-1) > self.max_tokens / 2

    def _add(self, number):
        with self.lock:
            self.tokens = min(max(self.tokens + number, 0), self.max_tokens)
            return self.tokens
