"""Lesson 04: many calls under way at once, never above a bound, and no answer lost."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager
from functools import cache, partial
from typing import Any

import httpx

from .chat import Account, chat_body, find_text, read_json

URL = cache(httpx.URL)  # each address is parsed once
TIMEOUT = httpx.Timeout(30.0, connect=3.05)  # seconds: of silence, and to connect
PROMPT = "You are a helpful assistant."
Result = str | Exception
Ask = Callable[[str], Awaitable[str]]


class BatchError(Exception):
    """Some calls failed. results: text or exception for each query, in their order."""

    def __init__(self, results: list[Result]) -> None:
        errors = [result for result in results if isinstance(result, Exception)]
        names = ", ".join(sorted({type(error).__name__ for error in errors}))
        super().__init__(f"{len(errors)} of {len(results)} calls failed: {names}")
        self.results = results


def check_queries(queries: Iterable[str]) -> None:
    """Raise TypeError for a single text, which is a row of letters to Python."""
    if isinstance(queries, str | bytes) or not isinstance(queries, Iterable):
        raise TypeError(f"queries must be several texts, such as a list: {queries!r}")


class SafeTransport(httpx.AsyncBaseTransport):
    """A transport whose errors do not show the key, as those of aiohttp would."""

    def __init__(self, transport: httpx.AsyncBaseTransport) -> None:
        self._transport = transport

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        try:
            return await self._transport.handle_async_request(request)
        except Exception as error:
            caught = error
        if hasattr(caught, "request_info"):  # with the headers of the request
            caught = httpx.RemoteProtocolError(str(caught))
        raise caught

    async def aclose(self) -> None:
        await self._transport.aclose()


def open_http(
    authorize: Callable[[httpx.Request], httpx.Request],
    max_connections: int,
    transport: httpx.AsyncBaseTransport | None,
) -> httpx.AsyncClient:
    """Return a client that opens so many connections and keeps 50; ValueError for 0."""
    if not isinstance(max_connections, int) or max_connections < 1:
        raise ValueError(f"max_concurrency must be 1 or more, not {max_connections!r}")
    limits = httpx.Limits(max_connections=max_connections, max_keepalive_connections=50)
    options = {"limits": limits, "transport": transport and SafeTransport(transport)}
    client = httpx.AsyncClient(auth=authorize, timeout=TIMEOUT, **options)
    client.cookies.extract_cookies = lambda _: None  # a third of its time
    return client


async def settle(call: Awaitable[str]) -> Result:
    """Return what a call returns, or the exception that it raises."""
    try:
        return await call
    except Exception as error:
        return error


async def work(turns: Iterator, ask: Ask, results: dict, on_done: Callable) -> None:
    """Take a number and a query from turns, ask, and again until none is left.

    The answer, or the exception, goes into results under the number.
    """
    for number, query in turns:
        results[number] = await settle(ask(query))
        on_done()


async def run_workers(
    ask: Ask, queries: Iterable[str], count: int, on_done: Callable
) -> list[Result]:
    """Ask each query, count at a time; return answers and exceptions in their order.

    There are count tasks, however many queries there are, and a query is read when its
    turn comes. An error raised by queries or on_done stops all calls and is raised.
    """
    results: dict[int, Result] = {}
    turns = enumerate(queries)  # one for all workers
    try:
        async with asyncio.TaskGroup() as workers:
            for _ in range(count):
                workers.create_task(work(turns, ask, results, on_done))
    except ExceptionGroup as group:
        raise group.exceptions[0] from None
    return [results[number] for number in range(len(results))]


class AsyncConnection(Account, AbstractAsyncContextManager):
    """An account, and at most max_concurrency requests to it at once; others wait.

    transport: what sends the requests; None for httpx's own.
    """

    def __init__(
        self,
        api_key: str | None = None,
        base_url: str | None = None,
        model: str | None = None,
        max_concurrency: int = 10,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        super().__init__(api_key, base_url, model)
        self.http = open_http(self._authorize, max_concurrency, transport)
        self.max_concurrency = max_concurrency
        self._slots = asyncio.Semaphore(max_concurrency)

    async def _send(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        """Send a request and return its response. A redirect is not followed."""
        request = self.http.build_request(method, URL(self.base_url + path), json=body)
        return await self.http.send(request, **more)

    async def close(self) -> None:
        """Close all connections; the end of an `async with` block does this too."""
        await self.http.aclose()

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class AsyncChatClient(AsyncConnection):
    """What OpenAIClient does, for asyncio."""

    async def chat_completion(
        self,
        messages: list[dict[str, Any]],
        model: str | None = None,
        temperature: float = 0.7,
        max_tokens: int = 2000,
    ) -> dict[str, Any]:
        """Return the whole reply to a conversation; find_text finds the text."""
        body = chat_body(messages, model or self.model, temperature, max_tokens)
        return await self._request("POST", "/chat/completions", body)

    async def _request(self, method: str, path: str, body: Any = None) -> Any:
        async with self._slots:
            return self._handle_response(await self._send(method, path, body))

    def _handle_response(self, response: httpx.Response) -> Any:
        return read_json(response)

    def _find_answer(self, reply: dict[str, Any]) -> str:
        """Return the text in a reply. Raises ValueError for half of one, or none."""
        text = find_text(reply)
        if text is None:
            raise ValueError("no answer: the content of the message is null")
        return text


async def ask_once(client: AsyncChatClient, system_prompt: str, query: str) -> str:
    """Return the answer to one query. Raises TypeError if it is not a text."""
    if not isinstance(query, str):
        raise TypeError(f"a query must be a text, not {query!r}")
    messages = [{"role": "system", "content": system_prompt}]
    messages.append({"role": "user", "content": query})
    return client._find_answer(await client.chat_completion(messages))


class AsyncOpenAIClient(AsyncChatClient):
    """The same client, with batches of queries that share a system prompt."""

    async def batch_completion(
        self, queries: Iterable[str], system_prompt: str = PROMPT
    ) -> list[str]:
        """Return the answers in the order of the queries, or raise BatchError."""
        results = await self.batch_results(queries, system_prompt)
        if any(isinstance(result, Exception) for result in results):
            raise BatchError(results)
        return results

    async def batch_results(
        self,
        queries: Iterable[str],
        system_prompt: str = PROMPT,
        on_done: Callable[[], object] = lambda: None,
    ) -> list[Result]:
        """Return each answer, or its exception; on_done is called after each call."""
        check_queries(queries)
        ask = partial(ask_once, self, system_prompt)
        return await run_workers(ask, queries, self.max_concurrency, on_done)
