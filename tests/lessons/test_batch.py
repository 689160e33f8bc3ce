"""Lesson 04: the asynchronous client, under a limit and under faults, with httpx and
with httpx2.
"""

import asyncio
import importlib.util
import json
from collections import Counter
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import httpx
import pytest
from mock_server import MockServer, fault
from mock_server.fault import Fault

from tests.lesson_files import ROOT, run

SCRIPT = ROOT / "lessons" / "04_async_batching.py"
TWENTY = [f"Question {n}" for n in range(20)]

_spec = importlib.util.spec_from_file_location("lesson_04", SCRIPT)
lesson = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(lesson)


def with_client(
    server: MockServer, use: Callable[[Any], Coroutine], limit: int = 10, **options: Any
) -> Any:
    """Return what `use` makes of a client of the server."""

    async def go() -> Any:
        async with lesson.AsyncOpenAIClient(
            server.api_key, base_url=server.base_url, max_concurrency=limit, **options
        ) as client:
            return await use(client)

    return asyncio.run(go())


def batch(
    server: MockServer, queries: Any = TWENTY, limit: int = 10, **options: Any
) -> list:
    """Return the results of a batch."""
    return with_client(
        server,
        lambda client: client.batch_results(queries, "Be brief."),
        limit,
        **options,
    )


def kinds(results: list) -> Counter:
    """Count the results by the names of their classes."""
    return Counter(type(result).__name__ for result in results)


# --- answers ---


def test_answers_come_in_the_order_of_the_queries(server: MockServer) -> None:
    """An answer stands in the place of its query, though the first requests are
    answered last.
    """
    server.script(fault.delay(0.2), fault.delay(0.1), fault.delay(0.15))
    answers = with_client(
        server, lambda client: client.batch_completion(TWENTY, "Be brief.")
    )
    assert answers == [f"This is a mock answer to: {query}" for query in TWENTY]


def test_request_is_what_the_api_wants(server: MockServer) -> None:
    """A query goes out with the system prompt before it, the model, the two usual
    options and the key.
    """
    batch(server, ["Say hello"])
    record = server.records[0]
    assert (record.method, record.path, record.key) == (
        "POST",
        "/v1/chat/completions",
        "mock…urse",
    )
    assert json.loads(record.body) == {
        "model": "mock-small",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Say hello"},
        ],
        "temperature": 0.7,
        "max_tokens": 2000,
    }


def test_chat_completion_returns_the_whole_reply(server: MockServer) -> None:
    """A single call returns the reply as the API sends it, and its options reach the
    server.
    """
    messages = [{"role": "user", "content": "Why is the sky blue?"}]
    reply = with_client(
        server,
        lambda client: client.chat_completion(
            messages, "mock-large", 0.0, max_tokens=3
        ),
    )
    assert (reply["object"], reply["model"]) == ("chat.completion", "mock-large")
    assert reply["choices"][0]["finish_reason"] == "length"
    assert json.loads(server.records[0].body)["temperature"] == 0.0


def test_model_comes_from_the_environment(
    server: MockServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a model in the call, OPENAI_MODEL decides, in single calls and in
    batches.
    """
    monkeypatch.setenv("OPENAI_MODEL", "mock-large")
    batch(server, ["Say hello"])
    with_client(
        server,
        lambda client: client.chat_completion([{"role": "user", "content": "Hello"}]),
    )
    assert [json.loads(record.body)["model"] for record in server.records] == [
        "mock-large"
    ] * 2


@pytest.mark.parametrize(
    "queries",
    [("a", "b"), {"a": 1, "b": 2}, iter(["a", "b"]), (text for text in "ab")],
    ids=lambda q: type(q).__name__,
)
def test_queries_may_be_any_iterable_of_texts(queries: Any, server: MockServer) -> None:
    """A tuple, a dict's keys and a generator do as well as a list."""
    assert len(batch(server, queries)) == 2


# --- the limit ---


@pytest.mark.parametrize("limit", [1, 3, 10])
def test_limit_is_kept_and_used(limit: int, server: MockServer) -> None:
    """The server never sees more open than the limit, sees that many, and no more
    connections than that.
    """
    server.latency = 0.02 * limit
    assert kinds(batch(server, limit=limit)) == {"str": 20}
    assert server.peak_open == limit
    assert len({record.connection for record in server.records}) == limit, (
        "connections are not used again"
    )


def test_limit_holds_for_all_calls_of_a_client(server: MockServer) -> None:
    """Two batches and single calls of one client share its limit."""
    server.latency = 0.03

    async def use(client: Any) -> None:
        batches = [client.batch_results(TWENTY[:5], "Be brief.") for _ in range(2)]
        singles = [
            client.chat_completion([{"role": "user", "content": query}])
            for query in TWENTY[:5]
        ]
        await asyncio.gather(*batches, *singles)

    with_client(server, use, limit=4)
    assert (len(server.records), server.peak_open) == (15, 4)


def test_large_limit_is_not_cut_by_the_pool(server: MockServer) -> None:
    """A limit above the 100 connections that httpx has by default is used in full."""
    server.latency = 0.5
    assert kinds(batch(server, ["Say hello"] * 130, limit=130)) == {"str": 130}
    assert server.peak_open > 100


def test_waiting_calls_wait_for_ever(
    server: MockServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others wait in front of the pool, where no PoolTimeout can meet them."""
    monkeypatch.setattr(lesson, "TIMEOUT", httpx.Timeout(5.0, pool=0.02))
    server.latency = 0.1
    assert kinds(batch(server, TWENTY[:8], limit=2)) == {"str": 8}


def test_failed_calls_give_their_place_back(server: MockServer) -> None:
    """After more failures than the limit allows calls at once, the rest is still
    answered.
    """
    server.script(*[fault.drop("rst"), fault.status(500)] * 3)
    results = batch(server, limit=2)
    assert sum(isinstance(result, str) for result in results) == 14, kinds(results)


# --- failures ---


def test_one_failure_in_twenty_loses_no_answer(server: MockServer) -> None:
    """All twenty calls run to their end; the error holds nineteen answers and one
    exception, each in its place.
    """
    server.latency = 0.05
    server.script(fault.status(503))
    with pytest.raises(lesson.BatchError) as caught:
        with_client(
            server,
            lambda client: client.batch_completion(TWENTY, "Be brief."),
            limit=20,
        )
    assert str(caught.value) == "1 of 20 calls failed: HTTPStatusError"
    results = caught.value.results
    right = [
        result == f"This is a mock answer to: {query}"
        for query, result in zip(TWENTY, results, strict=True)
    ]
    assert right.count(True) == 19, "an answer is lost or in the wrong place"
    assert results[right.index(False)].response.status_code == 503
    assert Counter(record.end for record in server.records) == {"complete": 20}, (
        "a failure stopped other calls"
    )


def test_batch_error_names_each_kind_once(server: MockServer) -> None:
    """The text of the error says how many failed, and with which exceptions."""
    server.script(fault.status(500), fault.bad_json(), fault.status(429))
    with pytest.raises(
        lesson.BatchError,
        match=r"3 of 20 calls failed: HTTPStatusError, JSONDecodeError$",
    ):
        with_client(server, lambda client: client.batch_completion(TWENTY, "Be brief."))


FAILURES = [
    (fault.status(429), httpx.HTTPStatusError),
    (fault.quota(), httpx.HTTPStatusError),
    (fault.html(502), httpx.HTTPStatusError),
    (fault.status(302), httpx.HTTPStatusError),
    (fault.html(200), json.JSONDecodeError),
    (fault.bad_json(), json.JSONDecodeError),
    (fault.stream_error(), KeyError),
    (fault.status(200, body=[]), TypeError),
    (fault.drop("rst"), httpx.TransportError),
    (fault.drop("fin"), httpx.TransportError),
    (fault.garbage(), httpx.TransportError),
    (fault.cut(after_bytes=20), httpx.TransportError),
    (fault.hang(), httpx.ReadTimeout),
]


@pytest.mark.parametrize(("trouble", "raises"), FAILURES, ids=lambda value: str(value))
def test_every_fault_becomes_a_value(
    trouble: Fault,
    raises: type[Exception],
    server: MockServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever happens to a call, its exception stands in its place, and the next call
    is answered.
    """
    if trouble == fault.hang():
        monkeypatch.setattr(lesson, "TIMEOUT", httpx.Timeout(5.0, read=0.5))
    server.script(trouble)
    failed, answer = batch(server, ["first", "second"], limit=1)
    assert isinstance(failed, raises), repr(failed)
    assert answer == "This is a mock answer to: second"


def test_half_an_answer_is_a_failure(server: MockServer) -> None:
    """An answer that was cut off counts as failed, and the exception holds the half."""
    half = {"choices": [{"message": {"content": "The sky"}, "finish_reason": "length"}]}
    server.script(fault.status(200, body=half))
    (result,) = batch(server, ["Why is the sky blue?"])
    assert isinstance(result, ValueError), repr(result)
    assert "The sky" in str(result)


def test_on_done_counts_failures_too(server: MockServer) -> None:
    """on_done is called once for each call, when it has ended, well or not."""
    server.script(fault.drop("rst"), fault.status(503))
    done: list[int] = []

    async def use(client: Any) -> None:
        await client.batch_results(
            TWENTY, "Be brief.", on_done=lambda: done.append(len(server.records))
        )

    with_client(server, use, limit=1)
    assert done == [*range(1, 21)], "it is not called after each call"


def test_cancelled_batch_leaves_nothing_in_flight(server: MockServer) -> None:
    """Cancelling closes what is open, sends nothing of what is waiting, and stays a
    cancellation.
    """
    server.latency = 2.0

    async def use(client: Any) -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.batch_results(TWENTY, "Be brief."), 0.3)
        await asyncio.sleep(0.1)

    with_client(server, use, limit=4)
    assert [record.end for record in server.wait_for(4)] == ["client-gone"] * 4


# --- bad input ---


@pytest.mark.parametrize(
    ("queries", "raises"),
    [
        ([], ValueError),
        pytest.param(iter(()), ValueError, id="empty iterator"),
        ("What is HTTP?", TypeError),
        ("", TypeError),
        (b"What is HTTP?", TypeError),
        (None, TypeError),
        (20, TypeError),
        (["a", 1], TypeError),
        ([None], TypeError),
    ],
    ids=repr,
)
@pytest.mark.parametrize("method", ["batch_completion", "batch_results"])
def test_bad_queries_are_refused(
    queries: Any, raises: type[Exception], method: str, server: MockServer
) -> None:
    """What is no list of texts gets a sentence, and nothing is sent."""
    with pytest.raises(raises, match=r"^queries ") as caught:
        with_client(
            server, lambda client: getattr(client, method)(queries, "Be brief.")
        )
    assert type(caught.value) is raises
    assert server.records == []


@pytest.mark.parametrize("limit", [0, -1, 2.5, float("nan"), "10", None], ids=repr)
def test_bad_limit_is_refused(limit: Any) -> None:
    """A limit that is no whole number from 1 on gets a ValueError that shows it."""
    with pytest.raises(ValueError, match=f"1 call or more, not {limit!r}$"):
        lesson.AsyncOpenAIClient("key", "http://127.0.0.1/v1", max_concurrency=limit)


@pytest.mark.parametrize("missing", ["OPENAI_API_KEY", "OPENAI_BASE_URL"])
def test_missing_setting_is_refused(
    missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a key or an address, in the arguments and in the environment, a client is
    not made.
    """
    settings = {
        "OPENAI_API_KEY": "key",
        "OPENAI_BASE_URL": "http://127.0.0.1/v1",
        missing: "",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=missing):
        lesson.AsyncOpenAIClient()


# --- life ---


def test_settings_come_from_the_environment(
    server: MockServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client without arguments takes key and address from the environment."""
    monkeypatch.setenv("OPENAI_API_KEY", server.api_key)
    monkeypatch.setenv("OPENAI_BASE_URL", server.base_url + "/")

    async def use() -> list[str]:
        async with lesson.AsyncOpenAIClient() as client:
            return await client.batch_completion(
                ["What is the capital of France?"], "Be brief."
            )

    assert asyncio.run(use()) == ["The capital of France is Paris."]


def test_close_closes_the_connections(server: MockServer) -> None:
    """After close(), and after async with, the client can send nothing any more."""

    async def use() -> None:
        client = lesson.AsyncOpenAIClient(server.api_key, server.base_url)
        await client.batch_completion(["Say hello"], "Be brief.")
        await client.close()
        with pytest.raises(RuntimeError, match="closed"):
            await client.chat_completion([{"role": "user", "content": "Hello"}])
        async with lesson.AsyncOpenAIClient(server.api_key, server.base_url) as client:
            pass
        with pytest.raises(RuntimeError, match="closed"):
            await client.chat_completion([{"role": "user", "content": "Hello"}])

    asyncio.run(use())


def test_key_is_in_no_repr(server: MockServer) -> None:
    """Neither the client nor the exception of a call shows the key."""
    server.script(fault.status(401))

    async def use(client: Any) -> str:
        return (
            repr(client)
            + repr(vars(client))
            + repr(await client.batch_results(["Say hello"], "Be brief."))
        )

    assert server.api_key not in with_client(server, use)


def test_transport_is_used(server: MockServer) -> None:
    """With the transport of httpx-aiohttp, all the same holds: order, limit, failures
    as values.
    """
    transport = pytest.importorskip("httpx_aiohttp").AiohttpTransport(
        limits=httpx.Limits(max_connections=5)
    )
    server.latency = 0.05
    server.script(fault.ok(), fault.status(503), fault.drop("rst"))
    results = batch(server, limit=5, transport=transport)
    assert server.peak_open == 5
    assert sum(isinstance(result, str) for result in results) == 18, kinds(results)
    assert type(transport.client).__name__ == "ClientSession", (
        "the transport was not asked to send anything"
    )


@pytest.mark.skipif(httpx.__name__ == "httpx2", reason="this is that run")
def test_all_of_this_under_httpx2() -> None:
    """Every test of this file passes with httpx2 in the place of httpx."""
    code = (
        "import httpx2, sys; httpx2.alias_httpx(); import pytest;"
        "sys.exit(pytest.main(['-q', '-n', '0', '-p', 'no:cacheprovider', "
        "sys.argv[1]]))"
    )
    done = run("-c", code, Path(__file__))
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    assert "1 skipped" in done.stdout, "httpx2 did not take the place of httpx"
