"""Exercise 06: read Retry-After in all its forms, and repeat what can succeed later."""

import random
from collections.abc import Callable
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


def parse_retry_after(value: str | None, now: float | None = None) -> float | None:
    """Return the seconds that a Retry-After header asks you to wait.

    The header holds whole seconds, or a date in one of three forms, always in GMT
    (RFC 9110, sections 10.2.3 and 5.6.7); one of them has a year of two digits, which
    is in the past if it would be more than 50 years ahead. A date in the past gives
    0.0. None if there is no header, or if it holds neither. No value raises an error.
    1.5 is no value of the standard, but servers send it: 1.5 or None, as you like.

    now: the present in seconds since 1970, as time.time() gives it, which None asks.
    """
    # TODO 1
    raise NotImplementedError("06_retry_decorator: write parse_retry_after")


def retry_on_error(
    max_retries: int = 3,
    initial_delay: float = 1.0,
    backoff_factor: float = 2.0,
    exceptions: Errors = RETRYABLE,
    *,
    max_delay: float = 60.0,
    jitter: bool = True,
    deadline: float | None = None,
    sleep: Function | None = None,
    rng: random.Random | None = None,
) -> Callable[[Function], Function]:
    """Return a decorator that repeats a call which raises one of the exceptions.

    It is for functions, methods and `async def`, and keeps their name and docstring.
    Several calls of one function, in threads or tasks, do not disturb each other.

    max_retries: calls after the first; 0 means one call in all.
    initial_delay: seconds before the first retry. Each next delay is backoff_factor
        times the one before, but at most max_delay seconds.
    jitter: wait a random part of the delay, from nothing to all of it.
    deadline: no retry begins more than these seconds after the first call; None: any.
    sleep: waits so many seconds; for an `async def`, it is an `async def` as well.
        None: time.sleep, or asyncio.sleep for an `async def`.
    rng: has uniform(), for the jitter; None: the module random.

    An error's retry_after, in seconds, is a wait that is never cut short: if it is more
    than max_delay or the deadline allows, there is no retry. In the end the last error
    itself is raised. At once, a number below 0 is a ValueError, no number a TypeError.
    """
    # TODO 2
    raise NotImplementedError("06_retry_decorator: write retry_on_error")
