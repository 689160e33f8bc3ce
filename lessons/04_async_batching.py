"""Have many calls under way, never above a limit, and lose no answer.

Three questions go to the API of your choice. Then forty go to a mock server that fails
some of them, with at most 1, 5 and 20 under way. It takes about three seconds:
python lessons/04_async_batching.py
python lessons/04_async_batching.py --calls 200

Sample run:

    Talking to: the mock server on this machine (127.0.0.1), model mock-small
    An API is the list of things you may ask another program for, and how to ask.
    The sky is blue because air scatters blue light more than red light.
    This is a mock answer to: Who are you?

    limit   time   answers  errors
        1  2.18 s       36       4
        5  0.48 s       36       4
       20  0.23 s       36       4
"""

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any, Self

import httpx
from endpoint import choose_endpoint
from mock_server import MockServer, fault
from tqdm import tqdm

QUESTIONS = ("What is an API?", "Why is the sky blue?", "Who are you?")
# What ends an answer before its end; the last of these is DeepSeek's.
INCOMPLETE = ("length", "content_filter", "insufficient_system_resource")
TIMEOUT = httpx.Timeout(30.0, connect=3.05)  # seconds


def chat_body(messages: list, model: str, temperature: float, max_tokens: int) -> dict:
    """Return the body of a chat request; what models differ in is decided here."""
    body = {"model": model, "messages": messages}
    if model.startswith(("o1", "o3", "o4", "gpt-5")):  # models that reason first
        return body | {"max_completion_tokens": max_tokens}
    return body | {"temperature": temperature, "max_tokens": max_tokens}


def read_answer(reply: dict[str, Any]) -> str:
    """Return the text of the first choice.

    Raises ValueError, with the text so far, if the answer is not complete.
    """
    choice = reply["choices"][0]
    text = choice["message"]["content"] or ""
    if choice["finish_reason"] in INCOMPLETE:
        raise ValueError(f"incomplete ({choice['finish_reason']}): {text!r}")
    return text


def open_http(
    api_key: str | None,
    base_url: str | None,
    max_connections: int,
    transport: httpx.AsyncBaseTransport | None = None,
) -> httpx.AsyncClient:
    """Return an httpx client with the address of an API, the key to it, and a limit.

    None stands for OPENAI_API_KEY and OPENAI_BASE_URL in the environment.
    Raises ValueError if there is no key, no address, or no room for a connection.
    """
    api_key = api_key or os.environ.get("OPENAI_API_KEY")
    base_url = base_url or os.environ.get("OPENAI_BASE_URL")
    if not api_key or not base_url:
        raise ValueError("set OPENAI_API_KEY and OPENAI_BASE_URL, or pass both")
    if not isinstance(max_connections, int) or max_connections < 1:
        raise ValueError(f"the limit must be 1 call or more, not {max_connections!r}")
    return httpx.AsyncClient(
        base_url=base_url,
        headers={"Authorization": f"Bearer {api_key}"},
        timeout=TIMEOUT,
        limits=httpx.Limits(
            max_connections=max_connections,
            max_keepalive_connections=20,  # as usual; Limits alone would keep all
        ),
        transport=transport,
    )


class AsyncChatClient:
    """Chat calls of which max_concurrency are under way at once; the others wait."""

    def __init__(
        self,
        api_key: str | None = None,
        base_url: str | None = None,
        max_concurrency: int = 10,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._http = open_http(api_key, base_url, max_concurrency, transport)
        self._slots = asyncio.Semaphore(max_concurrency)
        self.model = os.environ.get("OPENAI_MODEL", "mock-small")

    async def chat_completion(
        self,
        messages: list[dict[str, Any]],
        model: str | None = None,
        temperature: float = 0.7,
        max_tokens: int = 2000,
    ) -> dict[str, Any]:
        """Return the whole reply to a conversation; read_answer finds the text."""
        body = chat_body(messages, model or self.model, temperature, max_tokens)
        async with self._slots:
            response = await self._http.post("/chat/completions", json=body)
        return response.raise_for_status().json()

    async def close(self) -> None:
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def check_queries(queries: Iterable[str]) -> list[str]:
    """Return the queries as a list; TypeError or ValueError if they cannot be right."""
    if isinstance(queries, str) or not isinstance(queries, Iterable):
        name = type(queries).__name__
        raise TypeError(f"queries must be a list of texts, and this is one {name}")
    queries = list(queries)
    if not queries:
        raise ValueError("queries is empty: there is nothing to ask")
    if not all(isinstance(query, str) for query in queries):
        raise TypeError("queries must be a list of texts, and some of these are none")
    return queries


class BatchError(Exception):
    """Some calls of a batch failed.

    results: what each call came to, in the order of the queries: text or exception.
    """

    def __init__(self, results: list[str | Exception]) -> None:
        errors = [result for result in results if isinstance(result, Exception)]
        names = ", ".join(sorted({type(error).__name__ for error in errors}))
        super().__init__(f"{len(errors)} of {len(results)} calls failed: {names}")
        self.results = results


class AsyncOpenAIClient(AsyncChatClient):
    """The same client, with batches of queries that share a system prompt."""

    async def batch_completion(
        self,
        queries: Iterable[str],
        system_prompt: str,
    ) -> list[str]:
        """Return the answers in the order of the queries, or raise BatchError."""
        results = await self.batch_results(queries, system_prompt)
        if any(isinstance(result, Exception) for result in results):
            raise BatchError(results)
        return results

    async def batch_results(
        self,
        queries: Iterable[str],
        system_prompt: str,
        on_done: Callable[[], object] = lambda: None,
    ) -> list[str | Exception]:
        """Return each answer, or its exception; on_done is called after each call."""

        async def ask(query: str) -> str:
            try:
                messages = [{"role": "system", "content": system_prompt}]
                messages.append({"role": "user", "content": query})
                return read_answer(await self.chat_completion(messages))
            finally:
                on_done()

        calls = [ask(query) for query in check_queries(queries)]
        return await asyncio.gather(*calls, return_exceptions=True)


async def compare_limits(server: MockServer, queries: list[str]) -> None:
    """Send the queries to the mock server, which fails some, under three limits."""
    lines = []
    with tqdm(total=3 * len(queries), unit="call", leave=False) as bar:
        for limit in (1, 5, 20):
            server.reset()
            server.chaos(0.05, fault.status(503))
            client = AsyncOpenAIClient(server.api_key, server.base_url, limit)
            client.model = "mock-small"
            start = time.perf_counter()
            async with client:
                results = await client.batch_results(queries, "Be brief.", bar.update)
            seconds = f"{time.perf_counter() - start:.2f} s"
            answers = sum(isinstance(result, str) for result in results)
            failed = len(results) - answers
            lines.append(f"{limit:>5}  {seconds}  {answers:>7}  {failed:>6}")
    print("limit   time   answers  errors", *lines, sep="\n")


async def main() -> None:
    """Read the command line and run the lesson."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--calls", type=int, default=40, help="to the mock server")
    calls = parser.parse_args().calls
    with MockServer(latency=0.05) as server:
        choose_endpoint(server)
        try:
            async with AsyncOpenAIClient() as client:
                answers = await client.batch_completion(QUESTIONS, "Be brief.")
            print(*answers, "", sep="\n")
            await compare_limits(server, [f"Question {n}" for n in range(calls)])
        except BatchError as error:
            sys.exit(f"{error}\n{error.results}")
        except ValueError as error:
            sys.exit(str(error))


if __name__ == "__main__":
    asyncio.run(main())
