"""Lesson 09, imported by its notebook: what every provider has in common."""

import asyncio
from abc import abstractmethod
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import httpx

from .batch import URL, AsyncConnection
from .costs import PRICES, Price, cost_of, find_price, most_cost
from .errors import APIError, APITimeoutError, error_from_exception
from .replies import FAILURES


@dataclass(frozen=True)
class CompletionResponse:
    """An answer, of any provider.

    input_tokens, output_tokens: None if the server did not count. cost: micro-dollars.
    """

    text: str
    model: str
    provider: str
    input_tokens: int | None
    output_tokens: int | None
    cost: int
    request_id: str | None


class BaseLLMClient(AsyncConnection):
    """One provider and one of its models. A subclass says how its dialect differs.

    name: what reports call it. deadline: seconds for a whole answer. Raises ValueError
    for a model without a price, before anything is sent.
    """

    path = ""

    def __init__(
        self,
        name: str,
        api_key: str,
        base_url: str,
        model: str,
        *,
        system: str = "",
        max_tokens: int = 300,
        deadline: float = 60.0,
        prices: dict[str, Price] = PRICES,
        **options: Any,
    ) -> None:
        self.price = find_price(model, prices)
        super().__init__(api_key, base_url, model, **options)
        self.name, self.system = name, system
        self.max_tokens, self.deadline = max_tokens, deadline

    @abstractmethod
    def _body(self, prompt: str) -> dict[str, Any]:
        """Return the body of a request."""

    @abstractmethod
    def _read(self, response: httpx.Response) -> tuple[str, Any, Any]:
        """Return text, input tokens and output tokens of a reply, or raise APIError."""

    @abstractmethod
    def _pieces(self, response: httpx.Response) -> AsyncIterator[str]:
        """Yield the text of a streamed reply."""

    def most(self, prompt: str) -> int:
        """Return the most that a call with this prompt can cost, in micro-dollars."""
        return most_cost(self.price, self.system + prompt, self.max_tokens)

    async def complete(self, prompt: str, key: str = "") -> CompletionResponse:
        """Return the answer to a prompt. Raises APIError.

        key: the Idempotency-Key; a call that is sent again has the same.
        """
        try:
            async with self._slots, asyncio.timeout(self.deadline):
                response = await self._post(self._body(prompt), key)
        except TimeoutError as cause:
            message = f"no whole reply within {self.deadline:g} s"
            raise APITimeoutError(message) from cause
        request_id = request_id_of(response)
        try:
            text, *tokens = self._read(response)
        except APIError as error:
            error.request_id = request_id
            raise
        is_counted = all(type(number) is int for number in tokens)
        # A server that does not count may still charge: expect the most.
        cost = cost_of(self.price, *tokens) if is_counted else self.most(prompt)
        facts = (*tokens, cost, request_id)
        return CompletionResponse(text, self.model, self.name, *facts)

    async def stream(self, prompt: str, key: str = "") -> AsyncIterator[str]:
        """Yield the answer to a prompt as it arrives. Raises APIError."""
        async with self._slots:
            body = self._body(prompt) | {"stream": True}
            response = await self._post(body, key, stream=True)
            async with aclosing(self._pieces(response)) as pieces:
                async for piece in pieces:
                    yield piece

    async def _post(self, body: dict, key: str, stream: bool = False) -> httpx.Response:
        headers = {"Idempotency-Key": key} if key else {}
        address = URL(self.base_url + self.path)
        more = {"json": body, "headers": headers}
        try:
            request = self.http.build_request("POST", address, **more)
            return await self.http.send(request, stream=stream)
        except FAILURES as cause:
            raise error_from_exception(cause) from cause


def request_id_of(response: httpx.Response) -> str | None:
    """Return what to quote to the service; each has its own name for it."""
    return response.headers.get("x-request-id") or response.headers.get("request-id")
