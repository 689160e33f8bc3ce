"""One loop for both kinds: a generator says what to do next, call or wait, and two
short drivers do it.
"""

import asyncio
import functools
import inspect
import random
import threading
import time
from datetime import UTC
from email.utils import parsedate_to_datetime

import httpx
import requests

RETRYABLE = (
    ConnectionError,
    TimeoutError,
    requests.ConnectionError,
    requests.Timeout,
    httpx.TransportError,
)


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
    if max_retries < 0:
        raise ValueError("max_retries is below 0")
    if (
        min(
            initial_delay,
            backoff_factor,
            max_delay,
            0 if deadline is None else deadline,
        )
        < 0
    ):
        raise ValueError("seconds are below 0")

    def plan():
        """Yield None for a call and seconds for a wait; each call is answered with its
        error, or None.
        """
        began, delay = time.monotonic(), initial_delay
        for left in range(max_retries, -1, -1):
            error = yield None
            if error is None:
                if budget is not None:
                    budget.count_success()
                return
            may_retry = budget is None or budget.count_failure()
            asked = getattr(error, "retry_after", None) or 0.0
            delay = min(delay, max_delay)
            wait = (
                min(asked + (rng or random).uniform(0, delay), max_delay)
                if jitter
                else max(asked, delay)
            )
            gone = time.monotonic() - began
            if (
                not left
                or not may_retry
                or asked > max_delay
                or (deadline is not None and gone + wait > deadline)
            ):
                raise error
            yield wait
            delay *= backoff_factor

    def decorate(function):
        @functools.wraps(function)
        def run(*args, **kwargs):
            steps = plan()
            next(steps)
            while True:
                try:
                    result = function(*args, **kwargs)
                except exceptions as error:
                    wait = steps.send(error)
                else:
                    next(steps, None)
                    return result
                (sleep or time.sleep)(wait)
                next(steps)

        @functools.wraps(function)
        async def run_async(*args, **kwargs):
            steps = plan()
            next(steps)
            while True:
                try:
                    result = await function(*args, **kwargs)
                except exceptions as error:
                    wait = steps.send(error)
                else:
                    next(steps, None)
                    return result
                await (sleep or asyncio.sleep)(wait)
                next(steps)

        return run_async if inspect.iscoroutinefunction(function) else run

    return decorate


class RetryBudget:
    """Counts in thousandths of a token, which have no rounding errors."""

    def __init__(self, max_tokens=10, token_ratio=0.1):
        self.most, self.gain = round(1000 * max_tokens), round(1000 * token_ratio)
        if not self.most > 0 or not self.gain > 0:
            raise ValueError("max_tokens and token_ratio must be above 0")
        self.left = self.most
        self.lock = threading.RLock()

    def count_success(self):
        with self.lock:
            self.left = min(self.left + self.gain, self.most)

    def count_failure(self):
        with self.lock:
            self.left = max(self.left - 1000, 0)
            return 2 * self.left > self.most
