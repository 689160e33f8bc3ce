"""Repeat a call that failed, where that can help, and wait the right time before.

A client for chat completions meets seven troubles. The table shows how often each
request was sent, the waits in between (noted down, not waited for), and the end.
Then a function under asyncio outlives two broken connections. It takes two seconds:
python lessons/06_retry_decorator.py

Sample run:

    Talking to: the mock server on this machine (127.0.0.1), model mock-small
    The capital of France is Paris.

    every reply is              sent  waits (s)     end
    status(503)                    4  0.8 1.6 1.9   ServerError
    drop("rst")                    4  0.8 1.6 1.9   APIConnectionError
    status(429, retry_after=2)     4  2.8 3.6 3.9   RateLimitError
    status(429, retry_after=90)    1  -             RateLimitError
    quota()                        1  -             QuotaExceededError
    status(401)                    1  -             AuthenticationError
    bad_json()                     1  -             APIError

    models, in the end: mock-small mock-large
    n  t(s)  conn  request         status  fault        end
    1  0.00  #1    GET /v1/models  -       drop("rst")  rst
    2  0.04  #2    GET /v1/models  -       drop("fin")  fin
    3  0.08  #3    GET /v1/models  200     -            complete
"""

import argparse
import asyncio
import functools
import inspect
import itertools
import math
import os
import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import requests
from endpoint import choose_endpoint
from mock_server import MockServer, fault

# --- from lesson 05: errors that say whether the same call can succeed later ---


class APIError(Exception):
    """Base of every failure of an API call.

    status: the status code; None if no whole reply came.
    code: the short name of the error in the reply's body, such as "invalid_api_key".
    request_id: what to quote when you ask the service for help.
    retry_after: seconds that the server asks you to wait.
    """

    is_retryable = False  # True in a class whose call can succeed later, unchanged

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: str | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.code = status, code
        self.request_id, self.retry_after = request_id, retry_after


class AuthenticationError(APIError):
    """The server does not know who you are."""


class QuotaExceededError(APIError):
    """The money or the allowance is used up; no wait brings it back."""


class RateLimitError(APIError):
    """Too many requests in too short a time."""

    is_retryable = True


class ServerError(APIError):
    """The server took the request and failed."""

    is_retryable = True


class APIConnectionError(APIError):
    """The call broke off before a whole reply arrived."""

    is_retryable = True


def retry_after_seconds(value: str | None) -> float | None:
    """Return what a Retry-After header asks for, in seconds from now.

    The header holds whole seconds or a date (RFC 9110, section 10.2.3); a date in the
    past gives 0.0. None if there is no header, or if it holds neither.
    """
    if value is None:
        return None
    if value.isascii() and value.isdecimal():
        return float(value)
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    date = date.replace(tzinfo=date.tzinfo or UTC)
    return max(0.0, date.timestamp() - time.time())


def error_for(response: requests.Response) -> APIError:
    """Return the error for a bad reply: lesson 05, with fewer classes."""
    try:
        error = response.json()["error"]
        message, code = error["message"], error["code"]
    except (requests.JSONDecodeError, LookupError, TypeError):
        message, code = f"{response.status_code} {response.reason}", None
    status, headers = response.status_code, response.headers
    kinds = {401: AuthenticationError, 408: APIConnectionError, 429: RateLimitError}
    kind = kinds.get(status, ServerError if status // 100 in (2, 5) else APIError)
    return (QuotaExceededError if code == "insufficient_quota" else kind)(
        message,
        status=status,
        code=code,
        request_id=headers.get("x-request-id"),
        retry_after=retry_after_seconds(headers.get("Retry-After")),
    )


# --- new in this lesson ---

RETRYABLE = (APIConnectionError, RateLimitError, ServerError)
Errors = type[Exception] | tuple[type[Exception], ...]
Function = Callable[..., Any]


def backoff(retry: int, initial: float, factor: float, cap: float) -> float:
    """Return the delay before a retry, in seconds; retry is 1 for the first."""
    delay = min(initial, cap)
    for _ in range(retry - 1):
        delay = min(delay * factor, cap)
    return delay


@dataclass
class RetryPolicy:
    """What to repeat, how often, and after which wait. All times are in seconds."""

    max_retries: int
    initial_delay: float
    backoff_factor: float
    max_delay: float
    deadline: float
    exceptions: Errors
    rng: Any  # has uniform(), for the jitter; None for no jitter

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if name in ("exceptions", "rng"):
                continue
            if not isinstance(value, int | float):
                raise TypeError(f"{name} must be a number, not {value!r}")
            if not value >= 0:
                raise ValueError(f"{name} must be 0 or more, not {value!r}")

    def wait_before(self, retry: int, error: Exception, elapsed: float) -> float | None:
        """Return the seconds to wait before a retry, or None to give up.

        retry: 1 for the first. elapsed: seconds since the first try began.
        """
        growth = (self.initial_delay, self.backoff_factor, self.max_delay)
        delay = backoff(retry, *growth)
        asked = max(0.0, getattr(error, "retry_after", None) or 0.0)
        wait = asked + self.rng.uniform(0, delay) if self.rng else max(asked, delay)
        wait = min(wait, self.max_delay)
        if retry > self.max_retries or wait < asked or elapsed + wait > self.deadline:
            return None
        return wait


def repeat(function: Function, policy: RetryPolicy, sleep: Function) -> Function:
    """Return function with its retries."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        started, waited = time.monotonic(), 0.0
        for retry in itertools.count(1):
            try:
                return function(*args, **kwargs)
            except policy.exceptions as error:
                elapsed = max(waited, time.monotonic() - started)
                wait = policy.wait_before(retry, error, elapsed)
                if wait is None:
                    raise
            sleep(wait)
            waited += wait

    return wrapper


def repeat_async(function: Function, policy: RetryPolicy, sleep: Function) -> Function:
    """Return an async function with its retries; sleep is async too."""

    @functools.wraps(function)
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        started, waited = time.monotonic(), 0.0
        for retry in itertools.count(1):
            try:
                return await function(*args, **kwargs)
            except policy.exceptions as error:
                elapsed = max(waited, time.monotonic() - started)
                wait = policy.wait_before(retry, error, elapsed)
                if wait is None:
                    raise
            await sleep(wait)
            waited += wait

    return wrapper


def check_function(function: Any) -> None:
    """Raise TypeError for what cannot be repeated."""
    if not callable(function):
        raise TypeError(f"retry_on_error decorates a function, not {function!r}")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError("a generator fails while it is read: repeat the reading of it")


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
    """Return a decorator that repeats a call when it raises one of the exceptions.

    max_retries counts the calls after the first. The delay is initial_delay seconds,
    then backoff_factor times the last, but at most max_delay; with jitter, a random
    part of it is waited, and always what error.retry_after asks for. No retry begins
    more than deadline seconds after the first call. The last error is raised as it is.
    ValueError or TypeError for settings that make no sense.
    """
    if callable(max_retries):
        raise TypeError("retry_on_error needs its parentheses: @retry_on_error()")
    end = math.inf if deadline is None else deadline
    dice = (rng or random) if jitter else None
    numbers = (max_retries, initial_delay, backoff_factor, max_delay, end)
    policy = RetryPolicy(*numbers, exceptions, dice)

    def decorate(function: Function) -> Function:
        check_function(function)
        wrap, default = repeat, time.sleep
        if inspect.iscoroutinefunction(function):
            wrap, default = repeat_async, asyncio.sleep
        return wrap(function, policy, default if sleep is None else sleep)

    return decorate


class PlainAPIClient:
    """The client of lesson 03 in short; its failures are those of requests.

    Unless told, it uses OPENAI_API_KEY and OPENAI_BASE_URL; ValueError without them.
    """

    timeout = (3.05, 30.0)  # seconds to connect, and for each part of the reply

    def __init__(self, api_key: str | None = None, base_url: str | None = None) -> None:
        api_key = api_key or os.environ.get("OPENAI_API_KEY")
        base_url = base_url or os.environ.get("OPENAI_BASE_URL")
        if not api_key or not base_url:
            raise ValueError("set OPENAI_API_KEY and OPENAI_BASE_URL, or pass both")
        self.base_url = base_url.rstrip("/")
        self.session = requests.Session()
        self.session.headers["Authorization"] = f"Bearer {api_key}"

    def chat_completion(
        self,
        messages: list[dict[str, Any]],
        model: str,
        temperature: float = 0.7,
        max_tokens: int = 2000,
    ) -> dict[str, Any]:
        """Return the reply to a conversation, as the API sends it."""
        body = {"model": model, "messages": messages}
        body |= {"temperature": temperature, "max_tokens": max_tokens}
        return self._handle_response(self._send("/chat/completions", body))

    def _send(self, path: str, body: Any) -> requests.Response:
        return self.session.post(self.base_url + path, json=body, timeout=self.timeout)

    def _handle_response(self, response: requests.Response) -> Any:
        response.raise_for_status()
        return response.json()


NO_REPLY = (
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,
)


# Replaces RobustAPIClient: a call that can succeed later is repeated.
class RobustAPIClient(PlainAPIClient):
    """The same client; its failures are APIErrors, after up to three retries."""

    chat_completion = retry_on_error()(PlainAPIClient.chat_completion)

    def _send(self, path: str, body: Any) -> requests.Response:
        """Send the request; raise the error for a reply that never arrives whole."""
        try:
            return super()._send(path, body)
        except NO_REPLY as cause:
            raise APIConnectionError(str(cause)) from cause
        except (requests.RequestException, ValueError) as cause:
            raise APIError(str(cause)) from cause

    def _handle_response(self, response: requests.Response) -> Any:
        """Return the body of a good reply; raise the error for any other."""
        if not 200 <= response.status_code <= 299:
            raise error_for(response)
        try:
            body = response.json()
        except requests.JSONDecodeError as cause:
            message = f"this is no JSON: {response.text[:40]!r}"
            raise APIError(message, status=response.status_code) from cause
        if isinstance(body, dict) and body.get("error"):
            raise error_for(response)
        return body


@retry_on_error(exceptions=httpx.TransportError, initial_delay=0.05)
async def list_models(http: httpx.AsyncClient) -> list[str]:
    """Return the names of the models. A GET may be repeated whatever happened to it."""
    reply = await http.get("/models")
    return [model["id"] for model in reply.raise_for_status().json()["data"]]


QUESTION = [{"role": "user", "content": "What is the capital of France?"}]
TROUBLES = (
    fault.status(503),
    fault.drop("rst"),
    fault.status(429, retry_after=2),
    fault.status(429, retry_after=90),
    fault.quota(),
    fault.status(401),
    fault.bad_json(),
)


def show_call(server: MockServer, trouble: fault.Fault) -> None:
    """Break every request in the same way, and print what becomes of a call."""
    waits: list[float] = []
    retry = retry_on_error(sleep=waits.append, rng=random.Random(6))
    chat = retry(PlainAPIClient.chat_completion)
    server.reset()
    server.on().reply(trouble)
    try:
        chat(RobustAPIClient(server.api_key, server.base_url), QUESTION, "mock-small")
    except APIError as error:
        shown = " ".join(f"{wait:.1f}" for wait in waits) or "-"
        sent, end = len(server.records), type(error).__name__
        print(f"{trouble!s:<28}{sent:>4}  {shown:<14}{end}")


async def show_async(server: MockServer) -> None:
    """Break the first two connections of a function under asyncio."""
    server.reset()
    server.script(fault.drop("rst"), fault.drop("fin"))
    key = {"Authorization": f"Bearer {server.api_key}"}
    async with httpx.AsyncClient(base_url=server.base_url, headers=key) as http:
        print("\nmodels, in the end:", *await list_models(http))
    server.show()


def main() -> None:
    """Ask the API of your choice, then let the mock server make trouble."""
    argparse.ArgumentParser(description=__doc__.partition("\n\n")[0]).parse_args()
    with MockServer() as server:
        endpoint = choose_endpoint(server)
        try:
            reply = RobustAPIClient().chat_completion(QUESTION, endpoint.model)
        except APIError as error:
            sys.exit(f"{type(error).__name__}: {error}")
        print(reply["choices"][0]["message"]["content"])

        print(f"\n{'every reply is':<28}sent  {'waits (s)':<14}end")
        for trouble in TROUBLES:
            show_call(server, trouble)
        asyncio.run(show_async(server))


if __name__ == "__main__":
    main()
