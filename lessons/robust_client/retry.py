"""Lesson 06: a decorator that repeats a call which failed, where that can help.

Full jitter: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
"""

import asyncio
import functools
import inspect
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .errors import APIError, CheckedAPIClient, CheckedAsyncClient
from .replies import parse_retry_after  # noqa: F401  (who retries wants it here too)

Function = Callable[..., Any]
Errors = type[BaseException] | tuple[type[BaseException], ...]


def check_settings(numbers: tuple[Any, ...], exceptions: Any) -> None:
    """Raise TypeError or ValueError for settings that make no sense."""
    if callable(numbers[0]):
        raise TypeError("retry_on_error needs its parentheses: @retry_on_error()")
    names = ("max_retries", "initial_delay", "backoff_factor", "max_delay", "deadline")
    for name, value in zip(names, numbers, strict=True):
        if not isinstance(value, int | float):
            raise TypeError(f"{name} must be a number, not {value!r}")
        if not value >= 0:  # refuses nan too
            raise ValueError(f"{name} must be 0 or more, not {value!r}")
    for kind in exceptions if isinstance(exceptions, tuple) else [exceptions]:
        if not (isinstance(kind, type) and issubclass(kind, BaseException)):
            raise TypeError(f"exceptions: one class of errors or a tuple, not {kind!r}")


def check_function(function: Any) -> None:
    """Raise TypeError for what cannot be repeated, or limited, as a whole."""
    if not callable(function):
        raise TypeError(f"this decorates a function, not {function!r}")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError("a generator runs while it is read: decorate what it calls")


@dataclass
class Tries:
    """The tries of one call. Times in seconds; rng draws the jitter, None for none.

    max_retries counts the calls after the first; no retry begins after the deadline.
    A delay is backoff_factor times the last, at most max_delay, and never less than
    error.retry_after. budget can be shared: count_failure() is called after a failed
    try, and returns False if nobody may retry; count_success() after one that succeeds.
    """

    max_retries: int
    delay: float
    backoff_factor: float
    max_delay: float
    deadline: float
    exceptions: Errors
    rng: Any
    budget: Any = None
    failed: int = 0
    waited: float = 0.0
    started: float = field(default_factory=time.monotonic)


def wait_after(error: BaseException, tries: Tries) -> float | None:
    """Return the seconds to wait before the next try, or None to give up."""
    is_hopeless = not getattr(error, "is_retryable", True)
    if is_hopeless or (tries.budget is not None and not tries.budget.count_failure()):
        return None
    asked = getattr(error, "retry_after", None)
    asked = max(0.0, asked) if isinstance(asked, int | float) else 0.0
    delay = min(tries.delay, tries.max_delay)
    wait = asked + tries.rng.uniform(0, delay) if tries.rng else max(asked, delay)
    wait = min(wait, tries.max_delay)
    elapsed = max(tries.waited, time.monotonic() - tries.started)
    is_late = wait < asked or elapsed + wait > tries.deadline
    if is_late or tries.failed >= tries.max_retries:
        return None
    tries.failed, tries.waited = tries.failed + 1, tries.waited + wait
    tries.delay = delay * tries.backoff_factor
    return wait


def succeed(result: Any, tries: Tries) -> Any:
    """Count a success in the budget, and return what the call returned."""
    if tries.budget is not None:
        tries.budget.count_success()
    return result


async def finish(begun: Any, call: Function, tries: Tries, sleep: Any) -> Any:
    """Await what a call returned, and call again while that can help."""
    while True:
        try:
            return succeed(await (call() if begun is None else begun), tries)
        except tries.exceptions as error:
            wait = wait_after(error, tries)
            if wait is None:
                raise
        begun, pause = None, (sleep or asyncio.sleep)(wait)
        if inspect.isawaitable(pause):
            await pause


def repeat(function: Function, begin: Callable[[], Tries], sleep: Any) -> Function:
    """Return function with its retries; what it returns may be an awaitable."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        call, tries = functools.partial(function, *args, **kwargs), begin()
        while True:
            try:
                result = call()
                if inspect.isawaitable(result):
                    return finish(result, call, tries, sleep)
                return succeed(result, tries)
            except tries.exceptions as error:
                wait = wait_after(error, tries)
                if wait is None:
                    raise
            (sleep or time.sleep)(wait)

    return wrapper


def decorate(function: Function, begin: Callable[[], Tries], sleep: Any) -> Function:
    """Return function with its retries; an `async def` stays one."""
    check_function(function)
    repeated = repeat(function, begin, sleep)
    if not inspect.iscoroutinefunction(function):
        return repeated

    @functools.wraps(function)
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        return await repeated(*args, **kwargs)

    return wrapper


def retry_on_error(
    max_retries: int = 3,
    initial_delay: float = 1.0,
    backoff_factor: float = 2.0,
    exceptions: Errors = APIError,
    *,
    max_delay: float = 60.0,
    jitter: bool = True,
    deadline: float | None = None,
    budget: Any = None,
    sleep: Function | None = None,
    rng: random.Random | None = None,
) -> Callable[[Function], Function]:
    """Return a decorator that repeats a failed call; see Tries and check_settings."""
    end = float("inf") if deadline is None else deadline
    numbers = (max_retries, initial_delay, backoff_factor, max_delay, end)
    check_settings(numbers, exceptions)
    dice = (rng or random) if jitter else None
    begin = functools.partial(Tries, *numbers, exceptions, dice, budget)
    return functools.partial(decorate, begin=begin, sleep=sleep)


DEFAULT_RETRY = retry_on_error()


class RobustAPIClient(CheckedAPIClient):
    """The same client; a call that can succeed later is repeated.

    retry: what retry_on_error(...) returns; None for no retries.
    """

    def __init__(
        self, *args: Any, retry: Function | None = DEFAULT_RETRY, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self._retry = retry or retry_on_error(max_retries=0)

    def _request(self, method: str, path: str, body: Any = None) -> Any:
        return self._retry(super()._request)(method, path, body)


class RobustAsyncClient(CheckedAsyncClient):
    """The same for asyncio: a call of a batch is repeated, in its place."""

    def __init__(
        self, *args: Any, retry: Function | None = DEFAULT_RETRY, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self._retry = retry or retry_on_error(max_retries=0)

    async def _request(self, method: str, path: str, body: Any = None) -> Any:
        return await self._retry(super()._request)(method, path, body)
