"""The router of lesson 09: which provider gets a call, and what the server saw."""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from mock_server import MockServer, fault
from robust_client.breaker import Breaker, is_refused
from robust_client.dialects import AnthropicProvider, OpenAIProvider
from robust_client.errors import (
    APIConnectionError,
    APIError,
    APITimeoutError,
    AuthenticationError,
    BadRequestError,
    InvalidResponseError,
    QuotaExceededError,
    RateLimitError,
    ServerError,
)
from robust_client.providers import BaseLLMClient
from robust_client.retry import retry_on_error
from robust_client.router import (
    AllPassedOverError,
    Call,
    MultiLLMManager,
    SmartRouter,
)
from robust_client.stream import IncompleteStreamError

from tests.lessons.jobs_process import KEY, PRICES, providers

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
QUICK = retry_on_error(max_retries=4, initial_delay=0.001, jitter=False)


def paths(server: MockServer) -> list[str]:
    """Return which dialect each request was in, in the order of their arrival."""
    return ["small" if one.path == CHAT else "large" for one in server.records]


def route(server: MockServer, **options: Any) -> SmartRouter:
    """Return a router that passes a provider over after two failures."""
    usual = {"retry": QUICK, "limit": 2, "pause": 30.0, "patience": 1.0}
    return SmartRouter(providers(server.url), **usual | options)


def ask(router: SmartRouter, *calls: Call) -> list[Any]:
    """Return the answers to calls that are made at once, or their errors."""

    async def ask_all() -> list[Any]:
        made = [router.complete(call) for call in calls]
        return await asyncio.gather(*made, return_exceptions=True)

    return asyncio.run(ask_all())


def ask_in_turn(router: SmartRouter, *calls: Call) -> list[str]:
    """Return who answers calls that are made one after the other."""

    async def ask_each() -> list[str]:
        return [(await router.complete(call)).provider for call in calls]

    return asyncio.run(ask_each())


# --- the providers --------------------------------------------------------------------


def test_two_dialects_one_answer(server: MockServer) -> None:
    """Both providers give the same kind of answer, with what it cost."""

    async def ask_both() -> Any:
        both = MultiLLMManager(providers(server.url, system="Be brief."))
        return await both.parallel_completion("What is HTTP?")

    results = asyncio.run(ask_both())
    small, large = results["small"], results["large"]
    assert small.text == large.text and small.text.startswith("HTTP is the protocol")
    assert (small.model, large.model) == ("mock-small", "mock-large")
    assert (small.input_tokens, small.output_tokens) == (7, 23)
    assert (small.cost, large.cost) == (15, 30)
    assert small.request_id and large.request_id
    bodies = {one.path: one.body.decode() for one in server.records}
    assert '"role":"system"' in bodies[CHAT] and '"system":"Be' in bodies[MESSAGES]


FAULTS = [
    (fault.status(401), AuthenticationError),
    (fault.status(400), BadRequestError),
    (fault.status(429, retry_after=3), RateLimitError),
    (fault.quota(), QuotaExceededError),
    (fault.status(503), ServerError),
    (fault.status(529), ServerError),
    (fault.html(502), ServerError),
    (fault.drop(), APIConnectionError),
    (fault.hang(), APITimeoutError),
    (fault.bad_json(), InvalidResponseError),
]


def test_errors_are_the_same_from_both(server: MockServer) -> None:
    """A failure is the same error in both dialects, with status and request id."""

    async def fail(provider: BaseLLMClient, one: fault.Fault) -> APIError:
        server.script(one)
        with pytest.raises(APIError) as caught:
            await provider.complete("Hello")
        return caught.value

    async def fail_all() -> None:
        for one, kind in FAULTS:
            deadline = 0.1 if kind is APITimeoutError else 30.0
            for provider in providers(server.url, deadline=deadline):
                error = await fail(provider, one)
                where = f"{one} at {provider.name}"
                assert type(error) is kind, f"{where} is {error!r}"
                assert bool(error.request_id) == (error.status is not None), where
                assert (error.retry_after == 3.0) == (kind is RateLimitError), where
                is_unsure = kind in (APIConnectionError, APITimeoutError)
                is_unsure |= kind is InvalidResponseError
                assert is_refused(error) == (not is_unsure), where

    asyncio.run(fail_all())


@pytest.mark.parametrize("number", [0, 1])
def test_streams(server: MockServer, number: int) -> None:
    """Both dialects stream; what ends early, or reports an error, is noticed."""

    async def read(*faults: fault.Fault) -> tuple[str, Any]:
        server.script(*faults)
        text = ""
        try:
            async for piece in providers(server.url)[number].stream("What is HTTP?"):
                text += piece
        except APIError as error:
            return text, error
        return text, None

    text, error = asyncio.run(read())
    assert error is None and text.startswith("HTTP is") and text.endswith("time.")
    for one, kind in (
        (fault.truncate(after_events=3), IncompleteStreamError),
        (fault.cut(after_events=3), IncompleteStreamError),
        (fault.status(503), ServerError),
    ):
        text, error = asyncio.run(read(one))
        assert type(error) is kind, f"{one}: {error!r}"
        assert bool(text) == (kind is IncompleteStreamError)


def test_limit_of_tokens_is_no_answer(server: MockServer) -> None:
    """An answer that max_tokens has cut is an error in both dialects."""

    async def cut(kind: type[BaseLLMClient]) -> None:
        facts = (KEY, server.url, "mock-small")
        await kind("x", *facts, prices=PRICES, max_tokens=2).complete("What is HTTP?")

    for kind in (OpenAIProvider, AnthropicProvider):
        with pytest.raises(InvalidResponseError, match="incomplete"):
            asyncio.run(cut(kind))


def test_parallel_completion_hides_no_error(server: MockServer) -> None:
    """A provider with a wrong key is in the results, with its error."""

    async def ask_both() -> Any:
        right, wrong = providers(server.url)
        wrong._api_key = "wrong"
        return await MultiLLMManager([right, wrong]).parallel_completion("Hello")

    results = asyncio.run(ask_both())
    assert results["small"].text
    assert type(results["large"]) is AuthenticationError


# --- the router -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "kind"),
    [
        (fault.status(401), AuthenticationError),
        (fault.status(400), BadRequestError),
        (fault.quota(), QuotaExceededError),
        (fault.bad_json(), InvalidResponseError),
    ],
)
def test_what_cannot_pass_is_reported(
    server: MockServer, first: fault.Fault, kind: type
) -> None:
    """One request, no other provider, and the error."""
    server.script(first)
    (error,) = ask(route(server), Call("Hello"))
    assert type(error) is kind and paths(server) == ["small"]


def test_short_retry_after_is_waited_for(server: MockServer) -> None:
    """Of 50 calls at once that meet a rate limit, none goes to the other provider."""
    server.script(*[fault.status(429, retry_after=0.05)] * 50)
    answers = ask(route(server), *[Call(f"Hello {number}") for number in range(50)])
    assert {answer.provider for answer in answers} == {"small"}
    assert Counter(paths(server)) == {"small": 100}


def test_long_retry_after_is_not(server: MockServer) -> None:
    """A provider that asks for more than the patience is passed over meanwhile."""
    server.script(fault.status(429, retry_after=60))
    names = ask_in_turn(route(server), Call("Hello"), Call("Hello again"))
    assert names == ["large", "large"]
    assert paths(server) == ["small", "large", "large"]


@pytest.mark.parametrize("one", [fault.status(503), fault.status(529)])
def test_failing_provider_is_passed_over(server: MockServer, one: Any) -> None:
    """After two failures in a row nobody asks it; after the pause one call tries."""
    server.on(path=CHAT).reply(one)
    clock, calls = Clock(), [Call("a"), Call("b"), Call("c")]
    router = route(server, clock=clock)

    async def ask_all() -> list[str]:
        names = [(await router.complete(call)).provider for call in calls[:2]]
        server.on(path=CHAT).reply()
        clock.now += 30
        return [*names, (await router.complete(calls[2])).provider]

    assert asyncio.run(ask_all()) == ["large", "large", "small"]
    assert paths(server) == ["small", "small", "large", "large", "small"]


def test_unknown_end_stays_with_its_provider(server: MockServer) -> None:
    """A call that broke off may have been answered: nobody else is asked, and the
    server does not carry it out again.
    """
    server.script(fault.drop(), fault.status(503))
    call = Call("Hello", "key")
    (error,) = ask(route(server), call)
    assert type(error) is AllPassedOverError and call.provider == "small"
    assert paths(server) == ["small", "small"]
    (answer,) = ask(route(server), call)
    last = server.records[-1]
    assert answer.provider == "small" and last.replayed, "it was carried out twice"
    assert last.headers["Idempotency-Key"] == "key-small"


def test_nobody_listens() -> None:
    """A refused connection is certain: the next provider may be asked, if it lives."""
    with MockServer() as gone:
        pass
    with MockServer() as alive:
        dead, living = providers(gone.url)[0], providers(alive.url)[1]
        options = {"retry": QUICK, "limit": 2, "pause": 30.0}
        assert ask(SmartRouter([dead, living], **options), Call("a"))[0].text
    errors = ask(SmartRouter([dead, providers(gone.url)[1]], **options), Call("a"))
    assert type(errors[0]) is AllPassedOverError
    assert "small: no whole reply, large: no whole reply" in str(errors[0])


@pytest.mark.parametrize(
    ("faults", "wanted"),
    [
        ([fault.status(503)] * 2, ["small", "small", "large"]),
        ([fault.truncate(after_events=2)], ["small"]),
    ],
)
def test_stream_is_not_switched_after_its_first_text(
    server: MockServer, faults: list, wanted: list[str]
) -> None:
    """Before the first text the next provider may be asked, after it never."""
    server.script(*faults)
    router, pieces = route(server), []

    async def read() -> None:
        async for piece in router.stream(Call("What is HTTP?")):
            pieces.append(piece)

    if wanted == ["small"]:
        with pytest.raises(IncompleteStreamError):
            asyncio.run(read())
        assert pieces
    else:
        asyncio.run(read())
        assert "".join(pieces).endswith("time.")
    assert paths(server) == wanted


# --- the breaker ----------------------------------------------------------------------


class Clock:
    """A clock that the test sets; in seconds."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_breaker_opens_tries_and_closes() -> None:
    """Closed, open after the limit, one try after the pause, closed after a success."""
    clock = Clock()
    breaker = Breaker(limit=2, pause=10.0, clock=clock)
    waits: list[float] = []

    def note(act: Callable[..., None], *arguments: Any) -> None:
        act(*arguments)
        waits.append(breaker.wait())

    note(breaker.fail, ServerError("1"))
    note(breaker.fail, ServerError("2"))
    clock.now = 10.0
    waits.append(breaker.wait())
    note(breaker.begin)  # the try; the others wait on
    note(breaker.fail, ServerError("3"))
    note(breaker.succeed)
    assert waits == [0.0, 10.0, 0.0, 10.0, 10.0, 0.0]


def test_rate_limit_does_not_open_the_breaker() -> None:
    """However often it says 429, a provider is alive: only the asked time is waited."""
    breaker = Breaker(limit=2, pause=10.0, clock=Clock())
    for _ in range(9):
        breaker.fail(RateLimitError("slow down", retry_after=0.5))
    assert breaker.wait() == 0.5
    assert not is_refused(APIConnectionError("no whole reply"))
    error = APIConnectionError("no whole reply")
    error.__cause__ = httpx.ConnectError("refused")
    assert is_refused(error)
