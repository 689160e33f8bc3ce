"""A loop for plain functions, one for coroutines, and one function that decides."""

import asyncio
import functools
import inspect
import itertools
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
    if value.isascii() and value.isdecimal():
        return float(value)
    now = time.time() if now is None else now
    try:
        date = parsedate_to_datetime(value)
        if "-" in value:  # a year of two digits: at most 50 years ahead
            latest = time.gmtime(now).tm_year + 50
            date = date.replace(year=latest - (latest - date.year) % 100)
        seconds = date.replace(tzinfo=date.tzinfo or UTC).timestamp()
    except (ValueError, OverflowError):
        return None
    return max(0.0, seconds - now)


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
    if min(max_retries, initial_delay, backoff_factor, max_delay, deadline or 0) < 0:
        raise ValueError("no setting may be below 0")

    def succeeded(result):
        if budget:
            budget.count_success()
        return result

    def wait_after(error, tries, started):
        if budget and not budget.count_failure():
            return None
        if tries > max_retries:
            return None
        wait = min(initial_delay * backoff_factor ** min(tries - 1, 99), max_delay)
        if jitter:
            wait = (rng or random).uniform(0, wait)
        wait = max(wait, getattr(error, "retry_after", None) or 0)
        if wait > max_delay or (
            deadline is not None and time.monotonic() - started + wait > deadline
        ):
            return None
        return wait

    def decorate(function):
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def repeated_async(*args, **kwargs):
                started = time.monotonic()
                for tries in itertools.count(1):
                    try:
                        return succeeded(await function(*args, **kwargs))
                    except exceptions as error:
                        wait = wait_after(error, tries, started)
                        if wait is None:
                            raise
                    await (sleep or asyncio.sleep)(wait)

            return repeated_async

        @functools.wraps(function)
        def repeated(*args, **kwargs):
            started = time.monotonic()
            for tries in itertools.count(1):
                try:
                    return succeeded(function(*args, **kwargs))
                except exceptions as error:
                    wait = wait_after(error, tries, started)
                    if wait is None:
                        raise
                (sleep or time.sleep)(wait)

        return repeated

    return decorate


class RetryBudget:
    def __init__(self, max_tokens=10, token_ratio=0.1):
        if max_tokens <= 0 or token_ratio <= 0:
            raise ValueError("max_tokens and token_ratio must be above 0")
        self.max_tokens = max_tokens
        self.token_ratio = token_ratio
        self.tokens = max_tokens
        self.lock = threading.Lock()

    def count_success(self):
        with self.lock:
            self.tokens = min(self.tokens + self.token_ratio, self.max_tokens)

    def count_failure(self):
        with self.lock:
            self.tokens = max(self.tokens - 1, 0)
            return self.tokens > self.max_tokens / 2
