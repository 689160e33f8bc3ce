"""Clients that hear no advice, whatever the server does to them: the reference
solutions, the clients of robust_client, and the official SDK with its defaults.
"""

import asyncio
import contextlib
import random
from typing import Any

import httpx
import openai
import pytest
import requests
from mock_server import MockServer, fault
from robust_client.async_stream import StreamingAsyncClient
from robust_client.errors import APIError
from robust_client.limits import APIClientWithRateLimit
from robust_client.retry import RobustAPIClient, RobustAsyncClient, retry_on_error
from robust_client.stream import StreamingAPIClient

from tests.lesson_files import ROOT, load


def question(number: int) -> list[dict[str, str]]:
    """Return a conversation that is not like another one."""
    return [{"role": "user", "content": f"question {number}"}]


def account(server: MockServer) -> dict[str, Any]:
    """Return what a client needs to know of the server."""
    return {"base_url": server.base_url, "api_key": server.api_key}


def impatient() -> Any:
    """Return a decorator that retries, with shorter pauses than the usual ones."""
    return retry_on_error(initial_delay=0.3, rng=random.Random(8))


# --- the official SDK -----------------------------------------------------------------

TROUBLE = {
    "nothing": [],
    "503, twice": [fault.status(503), fault.status(503)],
    "429 with Retry-After": [fault.status(429, retry_after=1)],
    "429 with a date": [fault.status(429, retry_after=1, as_date=True)],
    "dropped": [fault.drop("rst"), fault.drop("fin")],
    "cut": [fault.cut(after_bytes=10)],
    "400": [fault.status(400)],
    "401": [fault.status(401)],
    "quota": [fault.quota()],
    "told to repeat a 400": [fault.status(400, headers={"x-should-retry": "true"})],
}


@pytest.mark.parametrize("faults", TROUBLE.values(), ids=TROUBLE)
def test_the_official_sdk_is_polite(server: MockServer, faults: list) -> None:
    """The official SDK, with its defaults, hears nothing, also under faults."""
    server.script(*faults)
    client = openai.OpenAI(**account(server))
    with client:
        for number in range(3):
            with contextlib.suppress(openai.APIError):
                client.chat.completions.create(
                    model="mock-small", messages=question(number)
                )
    assert server.advice() == []


def test_many_of_the_official_sdk_are_polite(server: MockServer) -> None:
    """Ten calls of the official SDK at once, all refused with a 503 first: its jitter
    is seen.
    """
    server.script(*[fault.status(503)] * 10)

    async def ask_all() -> None:
        async with openai.AsyncOpenAI(**account(server)) as client:
            await asyncio.gather(
                *(
                    client.chat.completions.create(
                        model="mock-small",
                        messages=question(number),
                    )
                    for number in range(10)
                )
            )

    asyncio.run(ask_all())
    assert server.advice() == []


def test_streams_of_the_official_sdk_are_polite(server: MockServer) -> None:
    """A stream that the official SDK reads to its end, and one that is cut, are no
    reason to speak.
    """
    server.script(fault.ok(), fault.cut(after_events=2), fault.slice(1))
    client = openai.OpenAI(**account(server))
    with client:
        for number in range(3):
            ask = {"model": "mock-small", "messages": question(number), "stream": True}
            with contextlib.suppress(openai.APIError, httpx.HTTPError):
                list(client.chat.completions.create(**ask))
    assert server.advice() == []


# --- robust_client --------------------------------------------------------------------


@pytest.mark.parametrize("faults", TROUBLE.values(), ids=TROUBLE)
@pytest.mark.parametrize("kind", [RobustAPIClient, StreamingAPIClient])
def test_robust_client_is_polite(server: MockServer, kind: type, faults: list) -> None:
    """The clients of lessons 06 and 07 hear nothing, also under faults."""
    server.script(*faults)
    model = {"model": "mock-small", "retry": impatient()}
    with kind(**account(server), **model) as client:
        for number in range(3):
            with contextlib.suppress(APIError):
                client.chat_completion(question(number))
            if kind is StreamingAPIClient:
                with contextlib.suppress(APIError):
                    list(client.chat_completion_stream(question(number)))
    assert server.advice() == []


def test_a_batch_of_robust_client_is_polite(server: MockServer) -> None:
    """A batch whose first calls are refused or dropped hears nothing; nor streams."""
    server.script(*[fault.status(503)] * 10, *[fault.drop()] * 3)
    model = {"model": "mock-small", "retry": impatient()}

    async def ask_all() -> None:
        async with RobustAsyncClient(**account(server), **model) as client:
            await client.batch_results(f"question {number}" for number in range(30))
        async with StreamingAsyncClient(**account(server), **model) as client:
            for number in range(3):
                async for _ in client.chat_completion_stream(question(100 + number)):
                    pass

    asyncio.run(ask_all())
    assert len(server.records) == 46
    assert server.advice() == []


def test_the_rate_limiter_of_robust_client_is_polite() -> None:
    """A client that limits itself stays below the server's limit, and hears nothing."""
    with MockServer(requests_per_minute=600) as server:
        limit = {"model": "mock-small", "max_calls": 8, "period": 1.0}
        with APIClientWithRateLimit(**account(server), **limit) as client:
            for number in range(20):
                client.chat_completion(question(number))
        assert server.advice() == []


# --- the reference solutions ----------------------------------------------------------


def solution(stem: str) -> Any:
    """Return a reference solution."""
    return load(ROOT / "solutions" / f"{stem}.py")


def test_solutions_02_and_03_are_polite(server: MockServer) -> None:
    """The clients of exercises 02 and 03 hear nothing, also when calls fail."""
    agents = solution("02_methods_and_auth").AgentsAPI(server.url, server.api_key)
    for number in range(6):
        made = agents.create(f"agent {number}")
        agents.update(made["id"], status="paused")
        agents.list()
        agents.delete(made["id"])
        with contextlib.suppress(LookupError, requests.HTTPError):
            agents.get(made["id"])
    chat = solution("03_sync_client").ChatClient(**account(server), model="mock-small")
    server.script(fault.status(503), fault.drop())
    with chat:
        for number in range(6):
            with contextlib.suppress(requests.RequestException):
                chat.ask(f"question {number}")
    assert len(server.records) == 36
    assert server.advice() == []


def test_solution_04_is_polite(server: MockServer) -> None:
    """A batch of exercise 04 hears nothing, also when calls fail."""
    server.script(fault.status(503), fault.drop(), fault.status(429, retry_after=3))
    ask_all = solution("04_async_batching").ask_all
    prompts = [f"question {number}" for number in range(40)]
    asyncio.run(ask_all(prompts, **account(server), model="mock-small"))
    assert len(server.records) == 40
    assert server.advice() == []


@pytest.mark.parametrize("faults", TROUBLE.values(), ids=TROUBLE)
def test_solutions_05_and_06_are_polite(server: MockServer, faults: list) -> None:
    """A call of exercise 05 under the decorator of exercise 06 hears nothing."""
    server.script(*faults)
    errors, retry = solution("05_error_classes"), solution("06_retry_decorator")
    kinds = (errors.RateLimitError, errors.ServerError, errors.APIConnectionError)
    how = {"initial_delay": 0.3, "rng": random.Random(8), "exceptions": kinds}
    call = retry.retry_on_error(**how)(errors.call)
    for number in range(3):
        with contextlib.suppress(errors.APIError):
            call("GET", f"{server.url}/get?{number}")
    assert server.advice() == []


def test_solution_07_is_polite(server: MockServer) -> None:
    """Streams of exercise 07 hear nothing, whole or broken."""
    server.script(fault.ok(), fault.cut(after_events=2), fault.stream_error())
    answer = solution("07_sse_streaming")
    for number in range(5):
        with contextlib.suppress(answer.APIError):
            more = {**account(server), "model": "mock-small"}
            list(answer.stream_chat(question(number), **more))
    assert len(server.records) == 5
    assert server.advice() == []


def test_solution_08_is_polite() -> None:
    """Calls under the limiter of exercise 08 hear nothing."""
    with MockServer(requests_per_minute=600) as server, httpx.Client() as client:
        limiter = solution("08_rate_limiter").RateLimiter(8, 1.0)
        key = {"Authorization": f"Bearer {server.api_key}"}
        for _ in range(20):
            limiter.acquire()
            client.get(f"{server.base_url}/models", headers=key)
        assert server.advice() == []
