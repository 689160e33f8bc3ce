"""With tenacity, which counts, sleeps and re-raises; a wait and a stop of one's own are
given to it.
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
import tenacity

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
    if any(
        number is not None and number < 0
        for number in (
            max_retries,
            initial_delay,
            backoff_factor,
            max_delay,
            deadline,
        )
    ):
        raise ValueError("no number below 0, please")

    exponential = tenacity.wait_exponential(initial_delay, max_delay, backoff_factor)

    def wait(state):
        delay = exponential(state)
        if jitter:
            delay = (rng or random).uniform(0, delay)
        return max(delay, getattr(state.outcome.exception(), "retry_after", None) or 0)

    def asks_for_too_much(state):
        return (
            getattr(state.outcome.exception(), "retry_after", None) or 0
        ) > max_delay

    stop = tenacity.stop_after_attempt(max_retries + 1) | asks_for_too_much
    if deadline is not None:
        stop = stop | tenacity.stop_before_delay(deadline)
    retry = tenacity.retry_if_exception_type(exceptions)

    def counted(state):
        """Count every try as it ends; say whether the budget stops it."""
        if budget is None:
            return False
        error = state.outcome.exception()
        if error is None:
            budget.count_success()
        elif isinstance(error, exceptions):
            return not budget.count_failure()
        return False

    def is_to_repeat(state):
        is_over = counted(state)
        return retry(state) and not is_over

    def decorate(function):
        options = {"stop": stop, "wait": wait, "retry": is_to_repeat, "reraise": True}
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def again(*args, **kwargs):
                return await tenacity.AsyncRetrying(
                    **options, sleep=sleep or asyncio.sleep
                )(function, *args, **kwargs)

        else:

            @functools.wraps(function)
            def again(*args, **kwargs):
                return tenacity.Retrying(**options, sleep=sleep or time.sleep)(
                    function, *args, **kwargs
                )

        return again

    return decorate


class RetryBudget:
    def __init__(self, max_tokens=10, token_ratio=0.1):
        if min(max_tokens, token_ratio) <= 0:
            raise ValueError("no budget without tokens")
        self.limit, self.ratio, self.tokens = max_tokens, token_ratio, max_tokens
        self.condition = threading.Condition()

    def count_success(self):
        with self.condition:
            self.tokens = min(self.limit, self.tokens + self.ratio)

    def count_failure(self):
        with self.condition:
            self.tokens = max(0, self.tokens - 1)
            return self.tokens > self.limit / 2
