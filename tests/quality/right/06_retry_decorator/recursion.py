"""By recursion: a failed call waits and calls itself with one retry fewer; retry_after
replaces the delay.
"""

import asyncio
import functools
import inspect
import random
import threading
import time
from datetime import UTC
from email.utils import parsedate_to_datetime

import requests

RETRYABLE = (ConnectionError, TimeoutError, requests.ConnectionError, requests.Timeout)


def parse_retry_after(value, now=None):
    if value is None:
        return None
    if value.isascii() and value.isdigit():
        return float(value)
    now = time.time() if now is None else now
    try:
        date = parsedate_to_datetime(value)
        if (
            "-" in value
        ):  # a year of two digits: the last one that is at most 50 years ahead
            latest = time.gmtime(now).tm_year + 50
            date = date.replace(year=latest - (latest - date.year) % 100)
        if date.tzinfo is None:
            date = date.replace(tzinfo=UTC)
        return max(0.0, date.timestamp() - now)
    except (ValueError, OverflowError):
        return None


def retry_on_error(
    max_retries=3,
    initial_delay=1.0,
    backoff_factor=2.0,
    exceptions=RETRYABLE,
    *,
    max_delay=60.0,
    jitter=True,
    deadline=None,
    budget=None,
    sleep=None,
    rng=None,
):
    if max_retries < 0 or initial_delay < 0 or backoff_factor < 0 or max_delay < 0:
        raise ValueError("retries and delays must not be negative")
    if deadline is not None and deadline < 0:
        raise ValueError("the deadline must not be negative")
    budget = budget or Endless()

    def wait_or_raise(error, left, delay, end):
        asked = getattr(error, "retry_after", None)
        wait = (rng or random).uniform(0, delay) if jitter else delay
        wait = wait if asked is None else asked
        if not budget.count_failure():
            raise error
        if left == 0 or wait > max_delay or time.monotonic() + wait > end:
            raise error
        return wait

    def decorate(function):
        def attempt(left, delay, end, args, kwargs):
            try:
                result = function(*args, **kwargs)
                budget.count_success()
                return result
            except exceptions as error:
                wait = wait_or_raise(error, left, delay, end)
            (sleep or time.sleep)(wait)
            return attempt(
                left - 1, min(delay * backoff_factor, max_delay), end, args, kwargs
            )

        async def attempt_async(left, delay, end, args, kwargs):
            try:
                result = await function(*args, **kwargs)
                budget.count_success()
                return result
            except exceptions as error:
                wait = wait_or_raise(error, left, delay, end)
            await (sleep or asyncio.sleep)(wait)
            return await attempt_async(
                left - 1, min(delay * backoff_factor, max_delay), end, args, kwargs
            )

        def first():
            end = time.monotonic() + deadline if deadline is not None else float("inf")
            return max_retries, min(initial_delay, max_delay), end

        @functools.wraps(function)
        def repeated(*args, **kwargs):
            return attempt(*first(), args, kwargs)

        @functools.wraps(function)
        async def repeated_async(*args, **kwargs):
            return await attempt_async(*first(), args, kwargs)

        return repeated_async if inspect.iscoroutinefunction(function) else repeated

    return decorate


class Endless:
    """A budget for those who have none."""

    def count_success(self):
        pass

    def count_failure(self):
        return True


class RetryBudget:
    def __init__(self, max_tokens=10, token_ratio=0.1):
        for number in (max_tokens, token_ratio):
            if number <= 0:
                raise ValueError(f"{number} is not above 0")
        self._spent = 0.0  # tokens, from 0 to max_tokens
        self._max_tokens, self._token_ratio = max_tokens, token_ratio
        self._lock = threading.Lock()

    def count_success(self):
        with self._lock:
            self._spent = max(0.0, self._spent - self._token_ratio)

    def count_failure(self):
        with self._lock:
            self._spent = min(self._spent + 1.0, self._max_tokens)
            return self._spent < self._max_tokens / 2
