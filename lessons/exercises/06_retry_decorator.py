"""Exercise 06: read Retry-After in all its forms, and repeat what can succeed later.

You may copy from the notebook; an import of robust_client gives no points.
"""

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

    The header holds whole seconds, or a date such as Sun, 06 Nov 1994 08:49:37 GMT
    (RFC 9110, section 10.2.3). A date in the past gives 0.0. None if there is no
    header, or if it holds neither. No value raises an error. Some servers send what is
    not in the standard: for 1.5, or a date as in an e-mail, return seconds or None.

    Further, if you like: two old forms of a date, which mean GMT as well (RFC 9110,
    section 5.6.7). One has a year of two digits: if the date would be more than 50
    years ahead, it belongs to the century before.

    now: the present, in seconds since 1970; None: time.time().
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
    # TODO 2
    raise NotImplementedError("06_retry_decorator: write retry_on_error")


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
        # TODO 3
        raise NotImplementedError("06_retry_decorator: write RetryBudget")

    def count_success(self) -> None:
        """Count a try that succeeded."""
        raise NotImplementedError("06_retry_decorator: write RetryBudget")

    def count_failure(self) -> bool:
        """Count a try that failed, and say whether a retry may follow."""
        raise NotImplementedError("06_retry_decorator: write RetryBudget")
