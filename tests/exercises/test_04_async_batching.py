"""Exercise 04: many calls under way at once, never too many, and no answer lost."""

import asyncio
import json
import threading
import time
import traceback

import pytest
from mock_server import MockServer, fault
from mock_server.accept import SHARE, raise_limit

from tests.grader.diagnosis import NotRight, chain, one_line
from tests.grader.steps import call, expect, expect_raises, log, run_async, unset


def questions(count: int) -> list[str]:
    """Return so many prompts."""
    return [f"Question {number}" for number in range(count)]


def answers(prompts: list[str]) -> list[str]:
    """Return what the server answers to the prompts."""
    return [f"This is a mock answer to: {prompt}" for prompt in prompts]


def completion(
    text: object, finish_reason: str | None = "stop", **choice: object
) -> dict:
    """Return the body of a reply with this answer; None is for no finish_reason.

    choice: more fields of the choice.
    """
    choice |= {"index": 0, "message": {"role": "assistant", "content": text}}
    if finish_reason:
        choice["finish_reason"] = finish_reason
    return {"object": "chat.completion", "choices": [choice]}


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


def kinds(results: object) -> str:
    """Return in a few words what stands in a list of results."""
    if not isinstance(results, list):
        return repr(results)
    return ", ".join(
        "text"
        if isinstance(result, str)
        else "exception"
        if isinstance(result, Exception) and not isinstance(result, NameError)
        else repr(result)
        for result in results
    )


def ask_despite_failures(answer, prompts: list[str], **options: object) -> object:
    """Return what ask_all returns; fail if the failure of a call gets out of it."""
    try:
        return run_async(call(answer, "ask_all", prompts, **options))
    except Exception as error:
        slips = (NotRight, NotImplementedError, NameError, ImportError)
        if any(isinstance(one, slips) for one in chain(error)):
            raise  # there are better words for these
        log.value = error
        expect(
            False,
            saw=f"{one_line(error)} got out, and the answers to all prompts are lost",
            expected="a list, with the exception in the place of this one answer",
            hint="failures-as-values",
        )


# What test_cancel does, as a line to copy.
CANCEL = (
    "server.on().reply(latency=0.3); task = asyncio.create_task(ask_all("
    "['Question ' + str(n) for n in range(30)], max_concurrency=2, "
    "on_done=lambda: print('done'))); await asyncio.sleep(0.1); task.cancel(); "
    "await task"
)


async def watch(
    server: MockServer, calls: asyncio.Future, wanted: int, patience: int
) -> None:
    """Wait until so many requests are open at once, or until no more come, and cancel.

    patience: after so many turns of the event loop without one, no more will come. On a
        busy machine, these take longer, too.
    """
    most, turns = 0, 0
    while server.peak_open < wanted and not calls.done() and turns < patience:
        turns = turns + 1 if server.peak_open == most else 0
        most = server.peak_open
        await asyncio.sleep(0.004)
    if calls.done():
        calls.result()  # raises what it ended with
    calls.cancel()
    await asyncio.wait([calls], timeout=0.5)


async def count_those_that_went_on(server: MockServer) -> int:
    """Return how many calls were not given up, when all of them have ended."""
    for _ in range(300):  # turns of the event loop, which are longer on a busy machine
        if all(record.ended for record in server.records):
            break
        await asyncio.sleep(0.01)
    return sum(record.end != "client-gone" for record in server.records)


@pytest.mark.points(1, hint="order")
@pytest.mark.limit(20)  # the first test of a run imports the client
def test_order(answer, server):
    """The answers stand in the order of the prompts, whichever comes first."""
    # Meanwhile the others, one after the other, overtake it.
    server.script(fault.delay(0.08))
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
    results = ask_despite_failures(answer, prompts, max_concurrency=1)
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
    """A refusal, half an answer, an error in the reply, or no text is an exception; any
    other end is a good one.
    """
    once = {"x-should-retry": "false"}  # the official package asks again otherwise
    empty = {"object": "chat.completion", "choices": []}
    failed = {"error": {"message": "overloaded"}}
    replies = [
        ("the status is 503", fault.status(503, body=completion("1"), headers=once)),
        ("half an answer", fault.status(200, body=completion("2", "length"))),
        (
            "the service cut it",
            fault.status(200, body=completion("3", "content_filter")),
        ),
        ("an error beside it", fault.status(200, body=completion("5") | failed)),
        ("an error in the choice", fault.status(200, body=completion("6", **failed))),
        ("it broke down", fault.status(200, body=completion("4", "error"))),
        ("there are no choices", fault.status(200, body=empty)),
        ("the content is null", fault.status(200, body=completion(None))),
        ("a good end: eos_token", fault.status(200, body=completion("7", "eos_token"))),
        ("a good end: no word", fault.status(200, body=completion("8", None))),
    ]
    server.script(*[reply for _, reply in replies])
    prompts = questions(len(replies))
    results = ask_despite_failures(answer, prompts, max_concurrency=1)
    asked = [json.loads(one.body)["messages"][-1]["content"] for one in server.records]
    for number, (told, _) in enumerate(replies):
        # Whoever asks again gets the next reply, for the same prompt.
        last = max(
            (n for n, one in enumerate(asked) if one == prompts[number]), default=0
        )
        told = replies[min(last, len(replies) - 1)][0]
        result = kinds(results[number : number + 1])
        is_good = told.startswith("a good end")
        expect(
            result == ("text" if is_good else "exception"),
            saw=f"{result or 'nothing'} for {prompts[number]}; the reply to it: {told}",
            expected="the text: a good answer is lost"
            if is_good
            else "exception: in a report, this would pass for an answer",
            hint="status" if "503" in told else "half-an-answer",
        )


@pytest.mark.points(1, hint="concurrency")
@pytest.mark.server(latency=0.01)
@pytest.mark.limit(10)  # many calls take their time on a busy machine
def test_never_more(answer, server):
    """Never more than max_concurrency calls are under way, as the server sees it."""

    async def open_at_first() -> None:
        server.on(path="/v1/chat/completions").reply(latency=0.3)
        coroutine = call(answer, "ask_all", questions(8), max_concurrency=2)
        await watch(server, asyncio.ensure_future(coroutine), 3, 20)

    run_async(call(answer, "ask_all", questions(8), max_concurrency=2))
    count, most = len(server.records), server.peak_open
    server.reset()
    run_async(open_at_first)
    most = max(most, server.peak_open)
    expect(
        most <= 2,
        saw=f"{most} requests open at once",
        expected="at most 2: a real service refuses those above the limit",
    )
    expect(count == 8, saw=f"{count} requests", expected="8 requests")


@pytest.mark.points(1, hint="connections")
def test_connections(answer, server):
    """Calls use the connections of those that have ended, so there are few."""
    run_async(call(answer, "ask_all", questions(12), max_concurrency=2))
    expect(
        len(server.records) == 12,
        saw=f"{len(server.records)} requests",
        expected="12 requests",
    )
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
    server.script(fault.delay(1.0))

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
        await asyncio.wait([calls], timeout=0.5)
        return sum(
            slow.ended is not None and record.received > slow.ended for record in others
        )

    later = run_async(scenario)
    saw = f"{later} of 4 others began only after the slow one had ended"
    expect(later == 0, saw=saw, expected="all began before that")


@pytest.mark.points(1, hint="blocking")
@pytest.mark.server(latency=0.08)
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
        beats > 3,
        saw=f"another task had {beats} turns while a call waited for 0.08 s: the whole "
        "program stands still",
        expected="many turns",
    )


@pytest.mark.points(1, hint="bound-tasks")
def test_any_iterable(answer, server):
    """The prompts may come from a generator, none of them at all, and an error in it is
    not lost.
    """
    prompts = [*questions(2), "", "Question 2"]  # an empty text is no end

    def four_questions():
        yield from prompts

    results = run_async(call(answer, "ask_all", four_questions(), max_concurrency=1))
    expect(
        results == answers(prompts),
        expected="four answers in the order of the generator, also to the empty text",
    )
    results = run_async(call(answer, "ask_all", iter([])))
    expect(results == [], expected="no prompts, no answers: an empty list")

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
        saw="no error: nobody learns that the file was not read to its end",
        expected="the EOFError that the generator raised after four prompts",
    )


@pytest.mark.points(1, hint="bound-tasks")
@pytest.mark.limit(10)  # many calls take their time on a busy machine
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
        await asyncio.wait([calls], timeout=0.5)
        return most

    most = run_async(scenario)
    expect(
        len(server.records) >= 30,
        saw=f"{len(server.records)} requests",
        expected="a request for each prompt",
    )
    expect(
        most <= 100,
        saw=f"{most} tasks for 150 prompts",
        expected="not many more than max_concurrency, here 10",
    )


@pytest.mark.points(1, hint="cancel")
@pytest.mark.server(latency=0.3)
@pytest.mark.limit(10)  # many turns of a loop take their time on a busy machine
def test_cancel(answer, server):
    """When the task that waits is cancelled, it ends as cancelled, and no call stays
    under way.
    """

    told: list[float] = []

    def on_done() -> None:
        told.append(time.monotonic())

    async def scenario() -> tuple[int, bool]:
        calls = asyncio.ensure_future(
            call(answer, "ask_all", questions(30), max_concurrency=2, on_done=on_done)
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
            did=CANCEL,
        )
        told.clear()
        calls.cancel()
        await asyncio.wait([calls])
        went_on = await count_those_that_went_on(server) - ended_before
        return went_on, calls.cancelled()

    went_on, is_cancelled = run_async(scenario)
    saw = f"{went_on} of {len(server.records)} calls went on"
    expect(
        went_on == 0,
        saw=saw,
        expected="every call that was under way given up, and no further one",
        did=CANCEL,
    )
    expect(
        len(told) <= 2,
        saw=f"on_done was called {len(told)} times after the cancel: workers went on "
        "and failed",
        expected="workers that end together with ask_all; 2 calls were under way",
        did=CANCEL,
    )
    expect(
        is_cancelled,
        saw="the cancelled task ended as if nothing had been, so the program that "
        "wanted to stop goes on",
        expected="the CancelledError to get out of ask_all",
        did=CANCEL,
    )


@pytest.mark.points(1, hint="on-done")
def test_on_done(answer, server):
    """on_done is called once for each prompt, whether the call failed or not."""
    server.script(fault.ok(), fault.status(400), fault.ok(), fault.delay(0.1))
    begun, given, times = [], [], []

    def on_done(*arguments: object) -> None:
        begun.append(len(server.records))
        given.extend(arguments)
        times.append(time.monotonic())

    run_async(call(answer, "ask_all", questions(4), max_concurrency=1, on_done=on_done))
    expect(
        len(begun) == 4,
        saw=f"called {len(begun)} times: a progress bar is wrong in the end",
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
    is_at_once = times[-1] - times[0] > 0.05
    expect(
        is_at_once,
        saw="all calls of on_done at the end: a progress bar stands still, and then "
        "jumps",
        expected="on_done as soon as a call is over",
    )


@pytest.mark.points(1, hint="settings")
def test_settings(answer, server, monkeypatch):
    """What is given counts more than the environment. What is missing, or a limit below
    1, is a ValueError at once.
    """
    with MockServer(api_key="another-key-entirely") as other:
        reply = fault.status(200, body=completion("HTTP is a protocol."))
        other.on(path="/api/max/chat/completions").reply(reply)
        options = {
            "base_url": other.url + "/api/max/",
            "api_key": other.api_key,
            "model": "mock-large",
        }
        results = ask_despite_failures(answer, ["What is HTTP?"], **options)
        expect(
            kinds(results) == "text",
            saw=f"{results}; requests: {[one.path for one in other.records]}",
            expected="an answer from the server that was given, though there is a "
            "slash at the end of its address",
        )
        model = json.loads(other.records[0].body)["model"]
        expect(model == "mock-large", saw=f"model {model}", expected="model mock-large")
    for limit in (0, -1):
        expected = f"ValueError: no call can begin with max_concurrency={limit}"
        with expect_raises(answer, ValueError, expected=expected):
            run_async(call(answer, "ask_all", questions(2), max_concurrency=limit))
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_MODEL"):
        with monkeypatch.context() as environment:
            environment.setenv(name, "")
            with expect_raises(
                answer, ValueError, expected=f"empty {name}: ValueError"
            ):
                run_async(call(answer, "ask_all", questions(2)))
            unset(environment, name)
            with expect_raises(answer, ValueError, expected=f"no {name}: ValueError"):
                run_async(call(answer, "ask_all", questions(2)))
    expect(
        not server.records, saw=f"{len(server.records)} requests", expected="no request"
    )


# --- further --------------------------------------------------------------------------


@pytest.mark.points(1, further=True, hint="pool")
@pytest.mark.limit(20)  # on a busy machine, a hundred connections take their time
def test_more_than_a_pool_has(answer, server):
    """With a high limit, as many calls are under way: no pool has a lower one."""
    count = 101  # the pools of httpx and aiohttp have 100 connections
    if raise_limit() < count * SHARE:
        pytest.skip("this system allows too few open files")
    server.on(path="/v1/chat/completions").reply(latency=9.0)

    async def scenario() -> None:
        coroutine = call(answer, "ask_all", questions(count), max_concurrency=count)
        await watch(server, asyncio.ensure_future(coroutine), count, 100)

    run_async(scenario)
    expect(
        server.peak_open == count,
        saw=f"{server.peak_open} requests open at once"
        + "; the others wait in a pool, where a call fails after some seconds"
        * (server.peak_open > 2),
        expected=f"{count} at once, as max_concurrency={count} says",
    )


@pytest.mark.points(1, further=True, hint="bound-tasks")
@pytest.mark.limit(10)  # many calls take their time on a busy machine
def test_prompts_are_read_in_turn(answer, server):
    """A prompt is read when its turn comes, so a long file is never read whole."""
    taken, done, ahead = 0, 0, 0

    def long_file():
        nonlocal taken, ahead
        for prompt in questions(40):
            taken += 1
            ahead = max(ahead, taken - done)
            yield prompt

    def on_done() -> None:
        nonlocal done
        done += 1

    run_async(call(answer, "ask_all", long_file(), max_concurrency=3, on_done=on_done))
    expect(
        ahead <= 12 and done == 40,
        saw=f"{ahead} prompts were read and not answered yet, of {done}",
        expected="about 3, which is max_concurrency, and not many more",
    )


@pytest.mark.points(1, further=True, hint="on-done")
@pytest.mark.limit(10)  # many turns of a loop take their time on a busy machine
def test_error_in_on_done(answer, server):
    """An error in on_done gets out, no call stays under way, and no other begins."""
    # The first reply comes late, when the second call is under way for certain.
    server.script(fault.delay(0.3), fault.delay(5.0))
    told = 0

    def on_done() -> None:
        nonlocal told
        told += 1
        if told == 1:
            raise BrokenPipeError("nobody looks at the progress bar any more")

    async def scenario() -> tuple[bool, int]:
        is_raised = False
        try:
            await call(
                answer, "ask_all", questions(20), max_concurrency=2, on_done=on_done
            )
        except* BrokenPipeError:  # alone, or in an ExceptionGroup
            is_raised = True
        went_on = await count_those_that_went_on(server)
        await asyncio.sleep(0.05)  # workers that do not end take their next prompts
        return is_raised, went_on

    is_raised, went_on = run_async(scenario)
    expect(
        is_raised,
        saw="no error: the program learns nothing of it",
        expected="the BrokenPipeError that on_done raised",
    )
    expect(
        went_on <= 1,
        saw=f"{went_on - 1} calls went on, for nobody",
        expected="no call under way when the error gets out",
        hint="cancel",
    )
    expect(
        told <= 2,
        saw=f"on_done was called {told} times, although its first call raised: the "
        "other worker went on, with a client that is closed",
        expected="workers that end with the error; 2 calls were under way",
        hint="cancel",
    )


@pytest.mark.points(1, further=True, hint="parts")
def test_parts(answer, server):
    """A content in parts is the text of its text parts."""
    parts = [
        {"type": "text", "text": "Hel"},
        {"type": "reasoning", "text": "Greet?"},
        {"type": "image_url", "image_url": {"url": "data:,"}},
        {"type": "text", "text": "lo"},
    ]
    server.on().reply(fault.status(200, body=completion(parts)))
    results = ask_despite_failures(answer, ["Say hello"])
    expect(
        results == ["Hello"],
        expected="['Hello'], the texts of the parts of type text",
    )


@pytest.mark.points(1, further=True, hint="redirect")
def test_redirect(answer, server):
    """A redirect is not followed: it is a failure."""
    headers = {"Location": f"{server.url}/elsewhere"}
    body = completion("The document has moved.")
    codes = (302, 307)
    server.script(*[fault.status(code, body=body, headers=headers) for code in codes])
    results = ask_despite_failures(answer, questions(2), max_concurrency=1)
    paths = {record.path for record in server.records}
    expect(
        kinds(results) == "exception, exception" and paths == {"/v1/chat/completions"},
        saw=f"{kinds(results)}; requests for {', '.join(sorted(paths))}",
        expected="two exceptions, and no request for /elsewhere: the key does not go "
        "where a reply says",
    )


@pytest.mark.points(1, further=True, hint="key")
def test_key_in_no_exception(answer, server):
    """No exception shows the key, however a call failed. A key that cannot be one, and
    a single text, are refused.
    """
    for key in ("sk-7Qx9Vt2L\nw8Zr5", "sk-7Qx9Vt2L w8Zr5", "sk-7Qx9Vt2Lé"):
        wanted = f"ValueError: a key cannot be {key!r}"
        with expect_raises(answer, ValueError, expected=wanted) as caught:
            run_async(call(answer, "ask_all", questions(2), api_key=key))
        expect(
            "7Qx9" not in str(caught.value),
            saw="the key in the error, which ends up in a log",
            expected="an error that does not quote it",
        )
    with expect_raises(
        answer,
        TypeError,
        expected="TypeError: the letters of a single text are no prompts",
        hint="settings",
    ):
        run_async(call(answer, "ask_all", "What is HTTP?"))
    expect(
        not server.records, saw=f"{len(server.records)} requests", expected="no request"
    )
    key = "sk-7Qx9Vt2Lw8Zr5"
    told = {"error": {"message": f"no such key: {key}"}}
    once = {"x-should-retry": "false"}
    with MockServer(api_key=key) as keyed:
        keyed.script(
            fault.status(503, headers=once),
            fault.status(401, body={"error": f"no such key: {key}"}, headers=once),
            fault.html(200),
            fault.status(200, body=told),
            fault.status(200, body=completion("Hello", **told)),
            fault.drop(),
        )
        options = {"api_key": key, "base_url": keyed.base_url, "max_concurrency": 1}
        results = ask_despite_failures(answer, questions(6), **options)
    expect(len(results) == 6, expected="a result for each of the six prompts")
    for end in ("\r", "\t"):  # may be taken off, or refused
        try:
            results += run_async(
                call(answer, "ask_all", questions(1), api_key=key + end)
            )
        except ValueError as error:
            results.append(error)
    for result in results:
        shown = repr(result)
        if isinstance(result, Exception):
            shown += "".join(traceback.format_exception(result))
        expect(
            key not in shown,
            saw=f"the key in the repr of a {type(result).__name__}: it ends up in "
            "every log that a result is written to",
            expected="an exception without it",
        )
