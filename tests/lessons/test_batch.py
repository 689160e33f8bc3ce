"""Lesson 04: the client for asyncio, under a bound and under faults, with httpx and
with httpx2.
"""

import asyncio
import itertools
import json
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path
from typing import Any

import httpx
import pytest
from mock_server import MockServer, fault
from mock_server.fault import Fault
from robust_client import batch
from robust_client.batch import AsyncOpenAIClient, BatchError

from tests.lesson_files import run

TWENTY = [f"Question {n}" for n in range(20)]


def with_client(
    server: MockServer,
    use: Callable[[AsyncOpenAIClient], Coroutine],
    limit: int = 10,
    transport: Any = None,
) -> Any:
    """Return what `use` makes of a client of the server."""

    async def go() -> Any:
        options = (server.api_key, server.base_url, "mock-small", limit, transport)
        async with AsyncOpenAIClient(*options) as client:
            return await use(client)

    return asyncio.run(go())


def ask_all(
    server: MockServer, queries: Any = TWENTY, limit: int = 10, transport: Any = None
) -> list:
    """Return the results of a batch."""
    return with_client(
        server, lambda client: client.batch_results(queries), limit, transport
    )


def answers(queries: Iterable[str]) -> list[str]:
    """Return what the mock model answers to the queries."""
    return [f"This is a mock answer to: {query}" for query in queries]


def kinds(results: list) -> Counter:
    """Count the results by the names of their classes."""
    return Counter(type(result).__name__ for result in results)


# --- answers ---


def test_answers_come_in_the_order_of_the_queries(server: MockServer) -> None:
    """An answer stands in the place of its query, though the first come last."""
    server.script(fault.delay(0.2), fault.delay(0.1), fault.delay(0.15))
    found = with_client(server, lambda client: client.batch_completion(TWENTY))
    assert found == answers(TWENTY)


def test_request_is_what_the_api_wants(server: MockServer) -> None:
    """A query goes out with the system prompt, the model, two options and the key."""
    with_client(server, lambda client: client.batch_results(["Hello"], "Be brief."))
    record = server.records[0]
    assert (record.request, record.key) == ("POST /v1/chat/completions", "mock…urse")
    assert json.loads(record.body) == {
        "model": "mock-small",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hello"},
        ],
        "temperature": 0.7,
        "max_tokens": 2000,
    }


def test_chat_completion_returns_the_whole_reply(server: MockServer) -> None:
    """A single call returns the reply as it is, and its options reach the server."""
    messages = [{"role": "user", "content": "Why is the sky blue?"}]

    async def use(client: AsyncOpenAIClient) -> dict:
        return await client.chat_completion(messages, "mock-large", 0.0, 3)

    reply = with_client(server, use)
    assert (reply["object"], reply["model"]) == ("chat.completion", "mock-large")
    assert reply["choices"][0]["finish_reason"] == "length"
    assert json.loads(server.records[0].body)["temperature"] == 0.0


def test_settings_come_from_the_environment(
    server: MockServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client without arguments takes key, address and model from there."""
    monkeypatch.setenv("OPENAI_API_KEY", server.api_key)
    monkeypatch.setenv("OPENAI_BASE_URL", server.url + "/")  # /v1 is added
    monkeypatch.setenv("OPENAI_MODEL", "mock-large")

    async def use() -> list[str]:
        async with AsyncOpenAIClient() as client:
            return await client.batch_completion(["What is the capital of France?"])

    assert asyncio.run(use()) == ["The capital of France is Paris."]
    assert json.loads(server.records[0].body)["model"] == "mock-large"


QUERIES = [("a", "b"), {"a": 1, "b": 2}, iter(["a", "b"]), (text for text in "ab")]


@pytest.mark.parametrize("queries", QUERIES, ids=lambda one: type(one).__name__)
def test_queries_may_be_any_iterable(queries: Any, server: MockServer) -> None:
    """A tuple, a dict's keys and a generator do as well as a list."""
    assert ask_all(server, queries) == answers("ab")


@pytest.mark.parametrize("queries", [[], iter(())], ids=["list", "iterator"])
def test_no_queries_no_answers(queries: Any, server: MockServer) -> None:
    """Nothing to ask is no error."""
    assert with_client(server, lambda client: client.batch_completion(queries)) == []


# --- the bound ---


@pytest.mark.parametrize("limit", [1, 3, 10])
def test_bound_is_kept_and_used(limit: int, server: MockServer) -> None:
    """Never more are open than the bound, so many are, on as many connections."""
    server.latency = 0.02 * limit
    assert ask_all(server, limit=limit) == answers(TWENTY)
    assert server.peak_open == limit
    used = {record.connection for record in server.records}
    assert len(used) == limit, "connections are not used again"


def test_bound_holds_for_all_calls_of_a_client(
    server: MockServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batches and single calls share it, and wait where no PoolTimeout meets them."""
    monkeypatch.setattr(batch, "TIMEOUT", httpx.Timeout(5.0, pool=0.02))
    server.latency = 0.1

    async def use(client: AsyncOpenAIClient) -> list:
        batches = [client.batch_completion(TWENTY[:3]) for _ in range(2)]
        hello = [{"role": "user", "content": "Hello"}]
        singles = [client.chat_completion(hello) for _ in range(3)]
        return await asyncio.gather(*batches, *singles)

    with_client(server, use, limit=2)
    assert (len(server.records), server.peak_open) == (9, 2)


def test_large_bound_is_not_cut_by_the_pool(server: MockServer) -> None:
    """A bound above the 100 connections that httpx has by default is used in full."""
    server.latency = 0.5
    assert kinds(ask_all(server, ["Hello"] * 130, limit=130)) == {"str": 130}
    assert server.peak_open > 100


def test_failed_calls_give_their_place_back(server: MockServer) -> None:
    """After more failures than the bound allows calls, the rest is still answered."""
    server.script(*[fault.drop("rst"), fault.status(500)] * 3)
    results = ask_all(server, limit=2)
    assert kinds(results)["str"] == 14, kinds(results)


def test_queries_are_read_when_their_turn_comes(server: MockServer) -> None:
    """10,000 queries become neither as many tasks nor a list."""
    taken, most = itertools.count(), 0

    async def use(client: AsyncOpenAIClient) -> None:
        nonlocal most
        before = len(asyncio.all_tasks())
        queries = (f"Question {next(taken)}" for _ in range(10_000))
        batch = asyncio.create_task(client.batch_results(queries))
        while len(server.records) < 50:
            most = max(most, len(asyncio.all_tasks()) - before)
            await asyncio.sleep(0.005)
        batch.cancel()
        await asyncio.wait([batch])

    with_client(server, use, limit=5)
    assert most <= 20, f"{most} tasks for 5 at once"  # httpx connects in tasks, too
    read = next(taken)
    assert read <= len(server.records) + 5, f"{read} queries were read"


# --- failures ---


def test_one_failure_in_twenty_loses_no_answer(server: MockServer) -> None:
    """The error holds nineteen answers and one exception, each in its place."""
    server.latency = 0.05
    server.script(fault.status(503))
    with pytest.raises(BatchError) as caught:
        with_client(server, lambda client: client.batch_completion(TWENTY), 20)
    assert str(caught.value) == "1 of 20 calls failed: HTTPStatusError"
    results = caught.value.results
    right = [one == two for one, two in zip(results, answers(TWENTY), strict=True)]
    assert right.count(True) == 19, "an answer is lost or in the wrong place"
    assert results[right.index(False)].response.status_code == 503
    ends = Counter(record.end for record in server.records)
    assert ends == {"complete": 20}, "a failure stopped other calls"


def test_batch_error_names_each_kind_once(server: MockServer) -> None:
    """The text of the error says how many failed, and with which exceptions."""
    server.script(fault.status(500), fault.bad_json(), fault.status(429))
    said = r"^3 of 20 calls failed: HTTPStatusError, JSONDecodeError$"
    with pytest.raises(BatchError, match=said):
        with_client(server, lambda client: client.batch_completion(TWENTY))


FAILURES = [
    (fault.status(429), httpx.HTTPStatusError),
    (fault.quota(), httpx.HTTPStatusError),
    (fault.html(502), httpx.HTTPStatusError),
    (fault.status(999), httpx.HTTPStatusError),
    (fault.status(302, headers={"Location": "/"}), httpx.HTTPStatusError),
    (fault.status(204), json.JSONDecodeError),
    (fault.html(200), json.JSONDecodeError),
    (fault.bad_json(), json.JSONDecodeError),
    (fault.status(200, body="[" * 100_000), RecursionError),
    (fault.status(200, body=[]), ValueError),
    (fault.omit("choices"), ValueError),
    (fault.no_content(), ValueError),
    (fault.finish("length"), ValueError),
    *(
        (fault.stream_error(shape=shape), ValueError)
        for shape in fault.SHAPES
        if shape != "choice"
    ),
    (fault.drop("rst"), httpx.TransportError),
    (fault.drop("fin"), httpx.TransportError),
    (fault.garbage(), httpx.TransportError),
    (fault.cut(after_bytes=20), httpx.TransportError),
    (fault.hang(), httpx.ReadTimeout),
]


@pytest.mark.parametrize(("trouble", "raises"), FAILURES, ids=lambda one: str(one)[:60])
def test_every_fault_becomes_a_value(
    trouble: Fault,
    raises: type[Exception],
    server: MockServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The exception of a call stands in its place, and the next call is answered."""
    if trouble == fault.hang():
        monkeypatch.setattr(batch, "TIMEOUT", httpx.Timeout(5.0, read=0.5))
    server.script(trouble)
    failed, answer = ask_all(server, ["first", "second"], limit=1)
    assert isinstance(failed, raises), repr(failed)
    assert server.api_key not in repr(failed) + str(vars(failed))
    assert answer == answers(["second"])[0]


GOOD = [
    fault.parts(),
    fault.finish("eos_token"),
    fault.finish(None),
    fault.omit("finish_reason"),
    fault.omit("usage"),
    fault.content_type("text/plain; charset=ISO-8859-1"),
    fault.content_type(None),
]


@pytest.mark.parametrize("oddity", GOOD, ids=str)
def test_odd_replies_are_answers(oddity: Fault, server: MockServer) -> None:
    """Parts, other words for the end, and a wrong charset take nothing away."""
    server.script(oddity)
    assert ask_all(server, ["Say hello"]) == ["Hello! 你好! 👋"]


def test_redirect_is_not_followed(server: MockServer) -> None:
    """A redirect fails, and the key goes nowhere else."""
    with MockServer() as other:
        server.script(fault.status(307, headers={"Location": other.base_url}))
        (result,) = ask_all(server, ["Hello"])
        assert isinstance(result, httpx.HTTPStatusError), repr(result)
        assert other.records == []


def test_cookies_are_not_kept(server: MockServer) -> None:
    """A cookie that the server sets does not go out with the next request."""
    server.script(fault.status(200, headers={"Set-Cookie": "seen=1"}))
    assert ask_all(server, ["a", "b"], limit=1) == answers("ab")
    assert not any("Cookie" in record.headers for record in server.records)


@pytest.mark.parametrize("query", [None, 7, b"Hello", ["Hello"]], ids=repr)
def test_query_that_is_no_text(query: Any, server: MockServer) -> None:
    """It fails in its place and is not sent; the queries around it are answered."""
    first, wrong, last = ask_all(server, ["a", query, "b"])
    assert [first, last] == answers("ab")
    assert isinstance(wrong, TypeError) and "must be a text" in str(wrong)
    assert len(server.records) == 2


# --- the end of a call, and of all ---


def test_on_done_counts_failures_too(server: MockServer) -> None:
    """on_done is called once for each call, when it has ended, well or not."""
    server.script(fault.drop("rst"), fault.status(503))
    done: list[int] = []

    async def use(client: AsyncOpenAIClient) -> None:
        await client.batch_results(TWENTY, "", lambda: done.append(len(server.records)))

    with_client(server, use, limit=1)
    assert done == [*range(1, 21)], "it is not called after each call"


def test_cancelled_batch_leaves_nothing_in_flight(server: MockServer) -> None:
    """Cancelling closes what is open, and sends nothing of what is waiting."""
    server.latency = 2.0

    async def use(client: AsyncOpenAIClient) -> None:
        task = asyncio.create_task(client.batch_completion(TWENTY))
        while len(server.records) < 4:
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled(), "the cancellation was swallowed"
        await asyncio.sleep(0.1)

    with_client(server, use, limit=4)
    ends = [record.end for record in server.wait_for(4)]
    assert ends == ["client-gone"] * 4


@pytest.mark.parametrize("where", ["queries", "on_done"])
def test_error_of_the_caller_ends_all(where: str, server: MockServer) -> None:
    """An error in the iterable or in on_done gets out as it is; no call goes on."""

    def damaged() -> Iterable[str]:
        yield from TWENTY[:3]
        raise EOFError("the file is damaged")

    def complain() -> None:
        raise EOFError("no")

    async def use(client: AsyncOpenAIClient) -> None:
        before = asyncio.all_tasks()
        with pytest.raises(EOFError):
            if where == "queries":
                await client.batch_results(damaged())
            else:
                await client.batch_results(TWENTY, on_done=complain)
        assert asyncio.all_tasks() == before, "tasks are left over"

    with_client(server, use, limit=2)
    assert len(server.records) <= 4


def test_close_closes_the_connections(server: MockServer) -> None:
    """After `async with`, the client can send nothing any more."""

    async def use() -> list:
        async with AsyncOpenAIClient(server.api_key, server.base_url, "m") as client:
            pass
        return await client.batch_results(["Hello"])

    (result,) = asyncio.run(use())
    assert isinstance(result, RuntimeError) and "closed" in str(result)


# --- bad input ---


@pytest.mark.parametrize("queries", ["Hello", "", b"Hello", None, 20], ids=repr)
@pytest.mark.parametrize("method", ["batch_completion", "batch_results"])
def test_bad_queries_are_refused(queries: Any, method: str, server: MockServer) -> None:
    """What is not several texts gets a sentence, and nothing is sent."""
    with pytest.raises(TypeError, match=r"^queries must be several texts"):
        with_client(server, lambda client: getattr(client, method)(queries))
    assert server.records == []


@pytest.mark.parametrize("limit", [0, -1, 2.5, float("nan"), "10", None], ids=repr)
def test_bad_bound_is_refused(limit: Any) -> None:
    """A bound that is no whole number from 1 on gets a ValueError that shows it."""
    with pytest.raises(ValueError, match=f"1 or more, not {limit!r}$"):
        AsyncOpenAIClient("key", "http://127.0.0.1/v1", max_concurrency=limit)


@pytest.mark.parametrize("missing", ["OPENAI_API_KEY", "OPENAI_BASE_URL"])
def test_missing_setting_is_refused(missing: str, monkeypatch: Any) -> None:
    """Without a key or an address, a client is not made."""
    settings = {"OPENAI_API_KEY": "key", "OPENAI_BASE_URL": "http://127.0.0.1/v1"}
    for name, value in (settings | {missing: ""}).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=missing):
        AsyncOpenAIClient()


# --- other libraries ---


def test_transport_is_used(server: MockServer) -> None:
    """With httpx-aiohttp's transport: order, bound, and failures as values."""
    aiohttp = pytest.importorskip("httpx_aiohttp")
    transport = aiohttp.AiohttpTransport(limits=httpx.Limits(max_connections=5))
    server.latency = 0.05
    server.script(fault.ok(), fault.status(503), fault.drop("rst"))
    results = ask_all(server, limit=5, transport=transport)
    assert server.peak_open == 5
    assert kinds(results)["str"] == 18, kinds(results)
    assert type(transport.client).__name__ == "ClientSession", "it was not used"


@pytest.mark.skipif(httpx.__name__ == "httpx2", reason="this is that run")
def test_all_of_this_under_httpx2() -> None:
    """Every test of this file passes with httpx2 in the place of httpx."""
    code = (
        "import httpx2, sys; httpx2.alias_httpx(); import pytest;"
        "options = ['-q', '-n', '0', '-p', 'no:cacheprovider'];"
        "sys.exit(pytest.main([*options, sys.argv[1]]))"
    )
    done = run("-c", code, Path(__file__))
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    assert "1 skipped" in done.stdout, "httpx2 did not take the place of httpx"
