"""strptime with the three formats, calendar.timegm for GMT; a generator of delays, and
the waits in a for loop.
"""

import asyncio
import functools
import inspect
import random
import re
import threading
import time
from calendar import timegm

import requests

RETRYABLE = (OSError, requests.ConnectionError, requests.Timeout)
FORMATS = (
    "%a, %d %b %Y %H:%M:%S GMT",
    "%A, %d-%b-%y %H:%M:%S GMT",
    "%a %b %d %H:%M:%S %Y",
)


def parse_retry_after(value, now=None):
    if not value:
        return None
    if re.fullmatch("[0-9]+", value):
        return min(float(value), 1e9)
    for form in FORMATS:
        try:
            date = time.strptime(value, form)
        except ValueError:
            continue
        now = time.time() if now is None else now
        year, present = date.tm_year, time.gmtime(now).tm_year
        if "%y" in form:
            year = max(year for year in range(year % 100, present + 51, 100))
        return max(0.0, timegm((year, *date[1:])) - now)
    return None


def retry_on_error(
    max_retries=3,
    initial_delay=1.0,
    backoff_factor=2.0,
    exceptions=(
        ConnectionError,
        TimeoutError,
        requests.ConnectionError,
        requests.Timeout,
    ),
    *,
    max_delay=60.0,
    jitter=True,
    deadline=None,
    budget=None,
    sleep=None,
    rng=random,
):
    for number in (
        max_retries,
        initial_delay,
        backoff_factor,
        max_delay,
        deadline or 0,
    ):
        if number < 0:
            raise ValueError(f"{number} is below 0")

    def delays():
        delay = initial_delay
        for _ in range(max_retries):
            delay = min(delay, max_delay)
            yield rng.uniform(0, delay) if jitter else delay
            delay *= backoff_factor

    def next_wait(waits, error, started):
        if budget is not None and not budget.count_failure():
            return -1
        try:
            wait = next(waits)
        except StopIteration:
            return -1
        if getattr(error, "retry_after", None):
            wait = max(wait, error.retry_after)
        late = deadline is not None and time.monotonic() + wait > started + deadline
        return -1 if late or wait > max_delay else wait

    def decorate(function):
        def repeated(*args, **kwargs):
            waits, started = delays(), time.monotonic()
            while True:
                try:
                    value = function(*args, **kwargs)
                    if budget is not None:
                        budget.count_success()
                    return value
                except exceptions as error:
                    if (wait := next_wait(waits, error, started)) < 0:
                        raise
                    (sleep or time.sleep)(wait)

        async def repeated_async(*args, **kwargs):
            waits, started = delays(), time.monotonic()
            while True:
                try:
                    value = await function(*args, **kwargs)
                    if budget is not None:
                        budget.count_success()
                    return value
                except exceptions as error:
                    if (wait := next_wait(waits, error, started)) < 0:
                        raise
                    await (sleep or asyncio.sleep)(wait)

        is_async = inspect.iscoroutinefunction(function)
        return functools.update_wrapper(
            repeated_async if is_async else repeated, function
        )

    return decorate


class RetryBudget:
    lock = threading.Lock()  # one for all budgets is enough

    def __init__(self, max_tokens=10, token_ratio=0.1):
        if not max_tokens > 0:
            raise ValueError("max_tokens must be above 0")
        if not token_ratio > 0:
            raise ValueError("token_ratio must be above 0")
        self.tokens = self.max_tokens = max_tokens
        self.token_ratio = token_ratio

    def count_success(self):
        with RetryBudget.lock:
            self.tokens += self.token_ratio
            if self.tokens > self.max_tokens:
                self.tokens = self.max_tokens

    def count_failure(self):
        with RetryBudget.lock:
            if self.tokens >= 1:
                self.tokens -= 1
            else:
                self.tokens = 0
            return self.tokens > self.max_tokens / 2
