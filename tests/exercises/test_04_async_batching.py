"""Exercise 04: many calls under way at once, never too many, and no answer lost."""

import asyncio
import json
import threading
import time

import pytest
from mock_server import MockServer, fault

from tests.grader.steps import call, expect, expect_raises, run_async, unset


def questions(count: int) -> list[str]:
    """Return so many prompts."""
    return [f"Question {number}" for number in range(count)]


def answers(prompts: list[str]) -> list[str]:
    """Return what the server answers to the prompts."""
    return [f"This is a mock answer to: {prompt}" for prompt in prompts]


def completion(text: str, finish_reason: str = "stop") -> dict:
    """Return the body of a reply with this answer."""
    message = {"role": "assistant", "content": text}
    return {
        "object": "chat.completion",
        "choices": [{"index": 0, "message": message, "finish_reason": finish_reason}],
    }


def expected_kinds(server: MockServer, prompts: list[str]) -> str:
    """Return what a right answer gives for the prompts, in the words of kinds.

    It depends on which of them met the faults.
    """
    met = {
        json.loads(one.body)["messages"][-1]["content"]
        for one in server.records
        if one.fault not in ("", "ok")
    }
    return ", ".join("exception" if prompt in met else "text" for prompt in prompts)


def kinds(results: list) -> str:
    """Return in a few words what stands in a list of results."""
    return ", ".join(
        "text"
        if isinstance(result, str)
        else "exception"
        if isinstance(result, Exception)
        else repr(result)
        for result in results
    )


@pytest.mark.points(2, hint="order")
@pytest.mark.limit(10)  # the first test of a run imports the client
def test_order(answer, server):
    """The answers stand in the order of the prompts, whichever comes first."""
    # Meanwhile the others, one after the other, overtake it.
    server.script(fault.delay(0.2))
    prompts = questions(6)
    results = run_async(call(answer, "ask_all", prompts, max_concurrency=2))
    expect(
        results == answers(prompts),
        expected="the answer to each prompt, at the prompt's place",
    )
    server.script(
        *[fault.status(200, body=completion(side)) for side in ("heads", "tails")]
    )
    results = run_async(
        call(answer, "ask_all", ["Toss a coin."] * 2, max_concurrency=1)
    )
    expected = (
        "heads and tails: two prompts have two answers, even if the prompts are equal"
    )
    expect(sorted(map(str, results)) == ["heads", "tails"], expected=expected)


@pytest.mark.points(2, hint="failures-as-values")
def test_failures_are_values(answer, server):
    """A call that fails leaves its exception at its place, and all other answers are
    there.
    """
    server.script(
        fault.ok(), fault.status(400), fault.drop(), fault.html(200), fault.ok()
    )
    prompts = questions(6)
    results = run_async(call(answer, "ask_all", prompts, max_concurrency=1))
    wanted = expected_kinds(server, prompts)
    expect(
        kinds(results) == wanted, saw=kinds(results) or "an empty list", expected=wanted
    )
    pairs = zip(results, answers(prompts), strict=True)
    is_right = all(result == text for result, text in pairs if isinstance(result, str))
    expect(
        is_right,
        saw=f"{results}",
        expected="the three answers, each at its prompt's place",
    )


@pytest.mark.points(1, hint="status")
def test_no_answer(answer, server):
    """A refusal is no answer, whatever its body says; nor is half an answer, or a reply
    without one.
    """
    refused, empty = (
        fault.status(503, body=completion("Later")),
        {"object": "chat.completion", "choices": []},
    )
    half = fault.status(200, body=completion("The most important is", "length"))
    for reply in (refused, half, fault.status(200, body=empty)):
        server.script(reply)
        results = run_async(call(answer, "ask_all", ["Which way?"]))
        expect(
            kinds(results) == "exception",
            saw=kinds(results) or "an empty list",
            expected="exception",
        )


@pytest.mark.points(1, hint="concurrency")
@pytest.mark.server(latency=0.04)
def test_never_more(answer, server):
    """Never more than max_concurrency calls are under way, as the server sees it."""
    run_async(call(answer, "ask_all", questions(8), max_concurrency=2))
    expect(
        server.peak_open <= 2,
        saw=f"{server.peak_open} requests open at once",
        expected="at most 2",
    )
    expect(
        len(server.records) == 8,
        saw=f"{len(server.records)} requests",
        expected="8 requests",
    )


@pytest.mark.points(1, hint="connections")
def test_connections(answer, server):
    """Calls use the connections of those that have ended, so there are few."""
    run_async(call(answer, "ask_all", questions(12), max_concurrency=2))
    count = len({record.connection for record in server.records})
    saw = f"{count} connections for {len(server.records)} requests"
    expect(
        count <= 6,
        saw=saw,
        expected="about 2 connections, since 2 calls are under way at once",
    )


@pytest.mark.points(1, hint="blocking")
@pytest.mark.server(latency=0.4)
def test_as_many_as_allowed(answer, server):
    """As many calls as allowed are under way, as long as there is so much to do; 10 if
    nothing is said.
    """

    async def open_at_once(count: int, wanted: int, **options: int) -> int:
        """Begin calls, and return how many were open at once.

        That is known when the wanted number is reached, or when a call has ended.
        """
        calls = asyncio.ensure_future(
            call(answer, "ask_all", questions(count), **options)
        )
        while (
            server.peak_open < wanted
            and not calls.done()
            and not any(one.end == "complete" for one in server.records)
        ):
            await asyncio.sleep(0.01)
        if calls.done():
            calls.result()  # raises what it ended with
        await asyncio.sleep(0.03)  # if more come, then now
        calls.cancel()
        await asyncio.wait([calls], timeout=0.5)
        return server.peak_open

    most = run_async(open_at_once(2, 2, max_concurrency=2))
    expect(
        most == 2,
        saw=f"{most} request open at once",
        expected="2 at once, both that were allowed",
    )
    server.reset()
    server.on(path="/v1/chat/completions").reply(latency=3.0)
    most = run_async(open_at_once(12, 10))
    expect(
        most == 10,
        saw=f"{most} requests open at once",
        expected="10 at once",
        hint="concurrency",
    )


@pytest.mark.points(1, hint="concurrency")
def test_slow_call_holds_nobody(answer, server):
    """While one call is slow, the others go on: a free place is taken at once."""
    server.script(fault.delay(0.4))

    async def scenario() -> int:
        calls = asyncio.ensure_future(
            call(answer, "ask_all", questions(5), max_concurrency=2)
        )
        while len(server.records) < 5 and not calls.done():
            await asyncio.sleep(0.01)
        if calls.done():
            calls.result()  # raises what it ended with
        slow, *others = sorted(
            server.records, key=lambda record: "delay" not in record.fault
        )
        calls.cancel()
        await asyncio.wait([calls])
        return sum(
            slow.ended is not None and record.received > slow.ended for record in others
        )

    later = run_async(scenario)
    saw = f"{later} of 4 others began only after the slow one had ended"
    expect(later == 0, saw=saw, expected="all began before that")


@pytest.mark.points(1, hint="blocking")
@pytest.mark.server(latency=0.2)
def test_event_loop_goes_on(answer, server):
    """The event loop is free for other tasks while the calls wait."""

    async def scenario() -> int:
        beats, calls = 0, asyncio.ensure_future(call(answer, "ask_all", questions(1)))
        while not calls.done():
            await asyncio.sleep(0.002)
            beats += 1
        await calls
        return beats

    beats = run_async(scenario)
    expect(
        beats > 3, saw=f"another task had {beats} turns in 0.2 s", expected="many turns"
    )


@pytest.mark.points(1, hint="bound-tasks")
def test_any_iterable(answer, server):
    """The prompts may come from a generator, and an error in it is not lost."""
    prompts = questions(4)

    def four_questions():
        yield from prompts

    results = run_async(call(answer, "ask_all", four_questions(), max_concurrency=1))
    expect(
        results == answers(prompts),
        expected="four answers in the order of the generator",
    )

    def damaged_file():
        yield from prompts
        raise EOFError("the file is damaged")

    is_raised = False
    try:
        run_async(call(answer, "ask_all", damaged_file(), max_concurrency=2))
    except* EOFError:  # alone, or in the ExceptionGroup of a TaskGroup
        is_raised = True
    expect(
        is_raised,
        saw="no error",
        expected="the EOFError that the generator raised after four prompts",
    )


@pytest.mark.points(1, hint="bound-tasks")
def test_nothing_to_ask(answer, server):
    """No prompts, no answers."""
    results = run_async(call(answer, "ask_all", []))
    expect(results == [], expected="an empty list")


@pytest.mark.points(2, hint="bound-tasks")
def test_few_tasks(answer, server):
    """Many prompts never become as many tasks."""

    async def scenario() -> int:
        before = len(asyncio.all_tasks()) + threading.active_count()
        calls, most = (
            asyncio.ensure_future(
                call(answer, "ask_all", questions(150), max_concurrency=10)
            ),
            0,
        )
        while not calls.done() and len(server.records) < 30:
            most = max(
                most, len(asyncio.all_tasks()) + threading.active_count() - before
            )
            await asyncio.sleep(0.005)
        if calls.done():
            calls.result()  # raises what it ended with
        calls.cancel()
        await asyncio.wait([calls])
        return most

    most = run_async(scenario)
    expect(
        most <= 100,
        saw=f"{most} tasks for 150 prompts",
        expected="not many more than max_concurrency, here 10",
    )


@pytest.mark.points(2, hint="cancel")
@pytest.mark.server(latency=0.3)
def test_cancel(answer, server):
    """When the task that waits is cancelled, no call stays under way."""

    async def scenario() -> int:
        calls = asyncio.ensure_future(
            call(answer, "ask_all", questions(3), max_concurrency=2)
        )
        while len(server.records) < 2 and not calls.done():
            await asyncio.sleep(0.01)
        if calls.done():
            calls.result()  # raises what it ended with
        ended_before = sum(record.ended is not None for record in server.records)
        is_under_way = ended_before < len(server.records)
        expect(
            is_under_way,
            saw="the event loop stood still, and then it was too late",
            expected="a task to cancel",
        )
        calls.cancel()
        await asyncio.wait([calls])
        end = time.monotonic() + 2
        while (
            not all(record.ended for record in server.records)
            and time.monotonic() < end
        ):
            await asyncio.sleep(0.01)
        return (
            sum(record.end != "client-gone" for record in server.records) - ended_before
        )

    went_on = run_async(scenario)
    saw = f"{went_on} of {len(server.records)} calls went on"
    expect(
        went_on == 0,
        saw=saw,
        expected="every call that was under way given up, and no further one",
    )


@pytest.mark.points(1, hint="on-done")
def test_on_done(answer, server):
    """on_done is called once for each prompt, whether the call failed or not."""
    server.script(fault.ok(), fault.status(400), fault.ok(), fault.delay(0.2))
    begun, given, times = [], [], []

    def on_done(*arguments: object) -> None:
        begun.append(len(server.records))
        given.extend(arguments)
        times.append(time.monotonic())

    run_async(call(answer, "ask_all", questions(4), max_concurrency=1, on_done=on_done))
    expect(
        len(begun) == 4,
        saw=f"called {len(begun)} times",
        expected="4 times: 3 answers and 1 failure",
    )
    expect(
        not given,
        saw=f"called with {given[:1]}",
        expected="on_done(), without arguments",
    )
    is_after = all(requests > number for number, requests in enumerate(begun))
    expect(
        is_after,
        saw=f"called when there were {begun} requests",
        expected="a call of on_done after each request",
    )
    is_at_once = times[-1] - times[0] > 0.1
    expect(
        is_at_once,
        saw="all calls of on_done at the end",
        expected="on_done as soon as a call is over",
    )


@pytest.mark.points(1, hint="settings")
def test_settings(answer, server):
    """base_url, api_key and model that are given count more than the environment."""
    with MockServer(api_key="another-key-entirely") as other:
        options = {
            "base_url": other.base_url,
            "api_key": other.api_key,
            "model": "mock-large",
        }
        results = run_async(call(answer, "ask_all", ["What is HTTP?"], **options))
        expect(
            kinds(results) == "text",
            saw=kinds(results),
            expected="an answer from the server that was given",
        )
        model = json.loads(other.records[0].body)["model"]
        expect(model == "mock-large", saw=f"model {model}", expected="model mock-large")


@pytest.mark.points(1, hint="settings")
@pytest.mark.parametrize("trouble", ["nothing set", "max_concurrency=0"])
def test_bad_settings(answer, server, monkeypatch, trouble):
    """A setting that is missing, or a limit below 1, is a ValueError before anything is
    sent.
    """
    if trouble == "max_concurrency=0":
        with expect_raises(answer, ValueError):
            run_async(call(answer, "ask_all", questions(2), max_concurrency=0))
    else:
        for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_MODEL"):
            with (
                monkeypatch.context() as environment,
                expect_raises(answer, ValueError, expected=f"no {name}: ValueError"),
            ):
                unset(environment, name)
                run_async(call(answer, "ask_all", questions(2)))
    expect(
        not server.records, saw=f"{len(server.records)} requests", expected="no request"
    )
