"""A retry decorator.

Repeat a call that failed, where that can help, and wait the right time before.

A server breaks every request in one way. The table compares the decorator of many
tutorials with retry_on_error (robust_client/retry.py): how often each sent the request,
what it raised, and the waits, which nobody waits for. It takes two seconds:
python lessons/06_retry_decorator.py

Sample run:

    Talking to: the mock server on this machine (127.0.0.1), model mock-small
    The capital of France is Paris.

    requests, then the error    tutorial_retry    retry_on_error         waits (s)
    status(503)                 3 HTTPError       4 ServerError          0.8 1.6 1.9
    drop("rst")                 3 ConnectionError 4 APIConnectionError   0.0 1.3 1.9
    status(429, retry_after=2)  3 HTTPError       4 RateLimitError       2.4 3.5 3.1
    status(429, retry_after=90) 3 HTTPError       1 RateLimitError
    quota()                     3 HTTPError       1 QuotaExceededError
    status(401)                 3 HTTPError       1 AuthenticationError
    bad_json()                  3 JSONDecodeError 1 InvalidResponseError

    under asyncio, tutorial_retry
    no reply: ReadError
    n  t(s)  conn  request   status  fault        end
    1  0.00  #1    GET /get  -       drop("rst")  rst

    under asyncio, retry_on_error
    the reply, in the end: 200
    n  t(s)  conn  request   status  fault        end
    1  0.00  #1    GET /get  -       drop("rst")  rst
    2  0.01  #2    GET /get  -       drop("fin")  fin
    3  0.04  #3    GET /get  200     -            complete
"""

import argparse
import asyncio
import functools
import random
import sys
import time
from collections.abc import Callable
from typing import Any

import httpx
import requests
from endpoint import choose_endpoint, run_main
from mock_server import MockServer, fault
from robust_client.chat import OpenAIClient, read_answer
from robust_client.errors import APIError
from robust_client.retry import RobustAPIClient, retry_on_error

Function = Callable[..., Any]
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


def tutorial_retry(
    max_retries: int = 3,
    exceptions: Any = requests.RequestException,
    pause: float = 0.01,
) -> Callable[[Function], Function]:
    """Return the decorator of many tutorials. pause: seconds after each failure."""

    def decorate(function: Function) -> Function:
        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            last_error = None
            for _ in range(max_retries):  # 0 means no call, and raise None
                try:
                    return function(*args, **kwargs)  # a coroutine fails later
                except exceptions as error:  # also where no retry helps
                    last_error = error
                    time.sleep(pause)  # whatever Retry-After says
            raise last_error

        return wrapper

    return decorate


def ask_plain(client: OpenAIClient) -> Any:
    """Return the reply to QUESTION, or raise what requests raises."""
    body = {"model": client.model, "messages": QUESTION}
    url = f"{client.base_url}/chat/completions"
    response = client.session.post(url, json=body, timeout=5)
    response.raise_for_status()
    return response.json()


def outcome(server: MockServer, trouble: fault.Fault, ask: Callable[[], Any]) -> str:
    """Break every request in one way; return how often it was sent, and the end."""
    server.reset()
    server.on().reply(trouble)
    try:
        end = ask()
    except (requests.RequestException, APIError) as error:
        end = type(error).__name__
    return f"{len(server.records)} {end}"


def show_calls(server: MockServer) -> None:
    """Send one question through each trouble, with both decorators."""
    waits: list[float] = []
    retry = retry_on_error(sleep=waits.append, rng=random.Random(6))
    address = (server.api_key, server.base_url, "mock-small")
    heading = f"{'requests, then the error':<27} tutorial_retry    retry_on_error"
    print(f"\n{heading}         waits (s)")
    with OpenAIClient(*address) as plain, RobustAPIClient(*address, retry=retry) as own:
        ask_in_vain = functools.partial(tutorial_retry()(ask_plain), plain)
        for trouble in TROUBLES:
            waits.clear()
            first = outcome(server, trouble, ask_in_vain)
            second = outcome(server, trouble, lambda: own.chat_completion(QUESTION))
            shown = " ".join(f"{wait:.1f}" for wait in waits)
            print(f"{trouble!s:<27} {first:<17} {second:<22} {shown}".rstrip())


async def show_async(server: MockServer, name: str, retry: Function) -> None:
    """Break the first two connections of a function under asyncio."""
    print("\nunder asyncio,", name)
    server.reset()
    server.script(fault.drop("rst"), fault.drop("fin"))
    async with httpx.AsyncClient(timeout=5) as http:
        try:
            reply = await retry(http.get)(f"{server.url}/get")
            print("the reply, in the end:", reply.status_code)
        except httpx.TransportError as error:
            print("no reply:", type(error).__name__)
    server.show()


def main() -> None:
    """Ask the API of your choice, then let the mock server make trouble."""
    about = (__doc__ or "").partition("\n\n")[0]
    argparse.ArgumentParser(description=about).parse_args()
    with MockServer() as server:
        endpoint = choose_endpoint(server)
        try:
            with RobustAPIClient() as client:
                print(read_answer(client.chat_completion(QUESTION, endpoint.model)))
        except APIError as error:
            sys.exit(f"{type(error).__name__}: {error}")
        show_calls(server)
        retry = tutorial_retry(exceptions=httpx.TransportError)
        asyncio.run(show_async(server, "tutorial_retry", retry))
        retry = retry_on_error(initial_delay=0.02, exceptions=httpx.TransportError)
        asyncio.run(show_async(server, "retry_on_error", retry))


if __name__ == "__main__":
    run_main(main)
