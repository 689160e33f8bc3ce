"""Lesson 09: which provider gets a call, decided by the kind of error.

DECISIONS, the table of lesson 05, says whether an error can pass. What cannot pass is
reported; a short Retry-After is waited for; a provider that fails again and again is
passed over for a while.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from .batch import settle
from .breaker import Breaker, is_refused
from .errors import APIError, ServerError
from .providers import BaseLLMClient, CompletionResponse
from .retry import retry_on_error

Providers = Sequence[BaseLLMClient]
DEFAULT_RETRY = retry_on_error(max_retries=4, initial_delay=0.2, max_delay=10.0)


class AllPassedOverError(ServerError):
    """Every provider failed so often that none is asked for a while."""


class MultiLLMManager:
    """Several providers, asked at the same time."""

    def __init__(self, providers: Providers) -> None:
        self.providers = providers

    async def parallel_completion(
        self, prompt: str
    ) -> dict[str, CompletionResponse | Exception]:
        """Return each provider's answer, or its error, by the provider's name."""
        results = {}
        async with asyncio.TaskGroup() as group:
            for one in self.providers:
                results[one.name] = group.create_task(settle(one.complete(prompt)))
        return {name: task.result() for name, task in results.items()}


@dataclass
class Call:
    """A prompt on its way to an answer.

    key: an Idempotency-Key. provider: the name of the one that may have answered
    already, though no reply came. Only that one is asked again, with the same key.
    """

    prompt: str
    key: str = ""
    provider: str | None = None

    def key_for(self, provider: BaseLLMClient) -> str:
        """Return the key for one provider: a key belongs to one request."""
        return f"{self.key}-{provider.name}" if self.key else ""

    async def before(self, provider: BaseLLMClient) -> None:
        """Do what has to be done before each request."""
        self.provider = provider.name

    def refused(self, provider: BaseLLMClient) -> None:
        """Note that this provider has certainly not answered."""
        self.provider = None


async def ask_whole(provider: BaseLLMClient, call: Call) -> CompletionResponse:
    """Return the answer of one provider."""
    return await provider.complete(call.prompt, call.key_for(provider))


async def ask_first(provider: BaseLLMClient, call: Call) -> tuple[str, AsyncIterator]:
    """Return the first text of a streamed answer, and what yields the others."""
    pieces = provider.stream(call.prompt, call.key_for(provider))
    return await anext(pieces, ""), pieces


async def ask_one(
    provider: BaseLLMClient, breaker: Breaker, call: Call, ask: Callable
) -> Any:
    """Ask one provider, and note how that went."""
    is_first = call.provider is None
    await call.before(provider)
    breaker.begin()
    try:
        answer = await ask(provider, call)
    except APIError as error:
        # A refusal says nothing about an earlier request of this call.
        if is_first and is_refused(error):
            call.refused(provider)
        # A lasting error, such as a wrong key, does not mean a dead provider.
        breaker.fail(error) if error.is_retryable else breaker.succeed()
        raise
    breaker.succeed()
    return answer


async def ask_in_order(router: Any, call: Call, ask: Callable) -> Any:
    """Ask the first provider that is not passed over; then the next, if it is now.

    One that may have answered already is the only one: another might charge again.
    """
    for one in router.providers:
        breaker = router.breakers[one.name]
        if call.provider not in (None, one.name):
            continue
        while 0 < (wait := breaker.wait()) <= router.patience:
            await asyncio.sleep(wait)
        if wait > 0:
            continue
        try:
            return await ask_one(one, breaker, call, ask)
        except APIError as error:
            if not error.is_retryable or breaker.wait() <= router.patience:
                raise
    why = [f"{name}: {one.reason}" for name, one in router.breakers.items()]
    raise AllPassedOverError(f"no provider to ask for a while; {', '.join(why)}")


class SmartRouter:
    """Asks the first provider; another one only if the first cannot be asked.

    providers: the preferred one first. patience: seconds that one waits for a provider
    before the next is asked. retry: what retry_on_error(...) returns. breaker: limit,
    pause and clock of each Breaker.
    """

    def __init__(
        self, providers: Providers, patience=5.0, retry=DEFAULT_RETRY, **breaker: Any
    ) -> None:
        self.providers, self.patience, self._retry = providers, patience, retry
        self.breakers = {one.name: Breaker(**breaker) for one in providers}

    async def complete(self, call: Call) -> CompletionResponse:
        """Return an answer. Raises APIError: at once if it cannot pass, or the last."""
        return await self._retry(ask_in_order)(self, call, ask_whole)

    async def stream(self, call: Call) -> AsyncIterator[str]:
        """Yield an answer as it arrives. After its first text, nobody else is asked."""
        first, pieces = await self._retry(ask_in_order)(self, call, ask_first)
        async with aclosing(pieces):
            yield first
            async for piece in pieces:
                yield piece
