"""Exercise 04: many calls under way at once, never too many, and no answer lost."""

import asyncio
import json
import threading
import time

import pytest
from mock_server import MockServer, fault

from .feedback import call, expect, expect_raises, run_async


def questions(count: int) -> list[str]:
    """Return so many prompts."""
    return [f"Question {number}" for number in range(count)]


def answers(prompts: list[str]) -> list[str]:
    """Return what the server answers to the prompts."""
    return [f"This is a mock answer to: {prompt}" for prompt in prompts]


def kinds(results: list) -> str:
    """Return in a few words what stands in a list of results."""
    return ", ".join("text" if isinstance(result, str) else type(result).__name__ for result in results)


@pytest.mark.points(2, hint="order")
@pytest.mark.server(latency=0.02)
def test_order(answer, server):
    """The answers stand in the order of the prompts, whichever comes first."""
    server.script(fault.delay(0.2), fault.ok(), fault.delay(0.1))
    prompts = questions(6)
    results = run_async(call(answer, "ask_all", prompts, max_concurrency=6))
    expect(results == answers(prompts), expected="the answer to each prompt, at the prompt's place")


@pytest.mark.points(2, hint="failures-as-values")
def test_failures_are_values(answer, server):
    """A call that fails leaves its exception at its place, and all other answers are there."""
    server.script(fault.ok(), fault.status(400), fault.ok(), fault.html(200), fault.ok())
    prompts = questions(5)
    results = run_async(call(answer, "ask_all", prompts, max_concurrency=1))
    failed = [isinstance(result, Exception) for result in results]
    expect(len(results) == 5 and sum(failed) == 2, saw=kinds(results), expected="three texts and two exceptions")
    right = [result for result, wanted in zip(results, answers(prompts), strict=True) if result == wanted]
    expect(len(right) == 3, saw=f"{results}", expected="the three answers, each at its prompt's place")


@pytest.mark.points(1, hint="status")
def test_wrong_key(answer, server):
    """A refusal is no answer: with a wrong key, every result is an exception."""
    results = run_async(call(answer, "ask_all", questions(3), api_key="not-the-key-of-this-server"))
    failed = [isinstance(result, Exception) for result in results]
    expect(failed == [True, True, True], saw=kinds(results) or "an empty list", expected="three exceptions")


@pytest.mark.points(2, hint="concurrency")
@pytest.mark.server(latency=0.05)
def test_never_more(answer, server):
    """Never more than max_concurrency calls are under way, as the server sees it."""
    run_async(call(answer, "ask_all", questions(12), max_concurrency=3))
    expect(server.peak_open <= 3, saw=f"{server.peak_open} requests open at once", expected="at most 3")
    expect(len(server.records) == 12, saw=f"{len(server.records)} requests", expected="12 requests")


@pytest.mark.points(1, hint="blocking")
@pytest.mark.server(latency=0.2)
def test_as_many_as_allowed(answer, server):
    """As many calls as allowed are under way, as long as there is so much to do."""
    run_async(call(answer, "ask_all", questions(6), max_concurrency=6))
    expect(server.peak_open == 6, saw=f"{server.peak_open} requests open at once", expected="6 at once")


@pytest.mark.points(1, hint="concurrency")
@pytest.mark.server(latency=0.01)
def test_slow_call_holds_nobody(answer, server):
    """While one call is slow, the others go on: a free place is taken at once."""
    server.script(fault.delay(0.6))
    run_async(call(answer, "ask_all", questions(9), max_concurrency=2))
    slow, *others = sorted(server.records, key=lambda record: "delay" not in record.fault)
    later = sum(record.received > slow.ended for record in others)
    expect(later == 0, saw=f"{later} calls began only after the slow one had ended", expected="all began before that")


@pytest.mark.points(1, hint="blocking")
@pytest.mark.server(latency=0.3)
def test_event_loop_goes_on(answer, server):
    """The event loop is free for other tasks while the calls wait."""

    async def scenario() -> int:
        beats, calls = 0, asyncio.ensure_future(call(answer, "ask_all", questions(3), max_concurrency=3))
        while not calls.done():
            await asyncio.sleep(0.02)
            beats += 1
        await calls
        return beats

    beats = run_async(scenario)
    expect(beats >= 5, saw=f"another task had {beats} turns in 0.3 s", expected="some 15 turns of 0.02 s")


@pytest.mark.points(1, hint="bound-tasks")
def test_any_iterable(answer, server):
    """The prompts may come from a generator."""
    results = run_async(call(answer, "ask_all", (prompt for prompt in questions(4)), max_concurrency=2))
    expect(results == answers(questions(4)), expected="four answers in the order of the generator")


@pytest.mark.points(1, hint="bound-tasks")
def test_nothing_to_ask(answer, server):
    """No prompts, no answers."""
    results = run_async(call(answer, "ask_all", []))
    expect(results == [], expected="an empty list")


@pytest.mark.points(2, hint="bound-tasks")
@pytest.mark.limit(15)
@pytest.mark.server(latency=0.01)
def test_few_tasks(answer, server):
    """Many prompts never become as many tasks."""

    async def scenario() -> int:
        before = len(asyncio.all_tasks()) + threading.active_count()
        calls, most = asyncio.ensure_future(call(answer, "ask_all", questions(300), max_concurrency=10)), 0
        while not calls.done():
            most = max(most, len(asyncio.all_tasks()) + threading.active_count() - before)
            await asyncio.sleep(0.005)
        await calls
        return most

    most = run_async(scenario)
    expect(most <= 100, saw=f"{most} tasks for 300 prompts", expected="not many more than max_concurrency, here 10")


@pytest.mark.points(2, hint="cancel")
@pytest.mark.server(latency=0.5)
def test_cancel(answer, server):
    """When the task that waits is cancelled, no call stays under way."""

    async def scenario() -> None:
        calls = asyncio.ensure_future(call(answer, "ask_all", questions(20), max_concurrency=4))
        start = time.monotonic()
        while len(server.records) < 4 and not calls.done() and time.monotonic() - start < 3:
            await asyncio.sleep(0.01)
        if calls.done():
            calls.result()  # raises what it ended with
        calls.cancel()
        await asyncio.wait([calls])
        await asyncio.sleep(0.2)

    run_async(scenario)
    going_on = [record for record in server.records if record.end != "client-gone"]
    saw = f"{len(going_on)} of {len(server.records)} calls went on"
    expect(len(server.records) == 4 and not going_on, saw=saw, expected="4 calls, all given up, and no further one")


@pytest.mark.points(1, hint="on-done")
def test_on_done(answer, server):
    """on_done is called once for each prompt, whether the call failed or not."""
    server.script(fault.ok(), fault.status(400))
    done = []
    run_async(call(answer, "ask_all", questions(4), max_concurrency=1, on_done=lambda: done.append(1)))
    expect(len(done) == 4, saw=f"called {len(done)} times", expected="4 times: 3 answers and 1 failure")


@pytest.mark.points(1, hint="settings")
def test_settings(answer, server):
    """base_url, api_key and model that are given count more than the environment."""
    with MockServer(api_key="another-key-entirely") as other:
        options = {"base_url": other.base_url, "api_key": other.api_key, "model": "mock-large"}
        results = run_async(call(answer, "ask_all", ["What is HTTP?"], **options))
        expect(kinds(results) == "text", saw=kinds(results), expected="an answer from the server that was given")
        model = json.loads(other.records[0].body)["model"]
        expect(model == "mock-large", saw=f"model {model}", expected="model mock-large")


@pytest.mark.points(1, hint="settings")
@pytest.mark.parametrize("trouble", ["no key", "max_concurrency=0"])
def test_bad_settings(answer, server, monkeypatch, trouble):
    """No key, or a limit below 1, is a ValueError before anything is sent."""
    if trouble == "no key":
        monkeypatch.delenv("OPENAI_API_KEY")
    options = {"max_concurrency": 0} if trouble != "no key" else {}
    with expect_raises(answer, ValueError, expected=f"ValueError, because of {trouble}"):
        run_async(call(answer, "ask_all", questions(2), **options))
    expect(not server.records, saw=f"{len(server.records)} requests", expected="no request")
