"""Lesson 06: retry_on_error under faults of the server, and its waits on an injected
clock.
"""

import asyncio
import contextlib
import functools
import importlib.util
import inspect
import math
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import httpx2
import pytest
import requests
from mock_server import MockServer, fault
from mock_server.fault import Fault

LESSONS = Path(__file__).parents[2] / "lessons"
HELLO = [{"role": "user", "content": "Hello"}]
CLIENTS = pytest.mark.parametrize("http", [httpx, httpx2], ids=["httpx", "httpx2"])


def load(name: str) -> ModuleType:
    """Import a lesson script, whose name begins with digits."""
    spec = importlib.util.spec_from_file_location(name, LESSONS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


lesson = load("06_retry_decorator")
before = load("05_error_classes")
retry_on_error = lesson.retry_on_error


class Failing:
    """A function that raises the errors one after the other and then returns what it
    was called with.
    """

    def __init__(self, *errors: Exception) -> None:
        self.errors, self.calls = iter(errors), 0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.calls += 1
        for error in self.errors:
            raise error
        return args, kwargs

    def as_async(self) -> Callable[..., Any]:
        """Return the same as an async function."""

        async def function(*args: Any, **kwargs: Any) -> Any:
            return self(*args, **kwargs)

        return function


class Waits(list):
    """A sleep that notes the seconds and takes no time; `later` is the same for
    asyncio.
    """

    def __call__(self, seconds: float) -> None:
        self.append(seconds)

    def __bool__(self) -> bool:
        return True

    async def later(self, seconds: float) -> None:
        """Note the seconds."""
        self.append(seconds)


@pytest.fixture
def waits() -> Waits:
    """The waits of one test."""
    return Waits()


@pytest.fixture(scope="module")
def shared() -> Iterator[MockServer]:
    """One server for all tests of this file."""
    with MockServer() as shared:
        yield shared


@pytest.fixture
def server(shared: MockServer) -> MockServer:
    """That server, with nothing of the test before."""
    shared.reset()
    return shared


def down(count: int = 99, **facts: Any) -> list[Exception]:
    """Return so many errors that are worth a retry."""
    return [
        lesson.ServerError(f"failure {number + 1}", **facts) for number in range(count)
    ]


def run_both(
    errors: list[Exception], waits: Waits, **settings: Any
) -> list[tuple[Any, int]]:
    """Call a function and an async function that fail; return result or error, and
    calls, of each.
    """
    outcomes = []
    for is_async in (False, True):
        waits.clear()
        failing = Failing(*errors)
        sleep = waits.later if is_async else waits
        function = retry_on_error(sleep=sleep, **settings)(
            failing.as_async() if is_async else failing
        )
        try:
            result = asyncio.run(function(7)) if is_async else function(7)
        except Exception as error:
            result = error
        outcomes.append((result, failing.calls))
    assert outcomes[0] == outcomes[1], "def and async def differ"
    return outcomes


# --- counting -------------------------------------------------------------------------


def test_one_two_four_and_then_the_fourth_failure(waits: Waits) -> None:
    """With the defaults and no jitter: waits of 1, 2 and 4 s, and the fourth failure is
    the end.
    """
    errors = down()
    (result, calls), _ = run_both(errors, waits, jitter=False)
    assert (waits, calls) == ([1.0, 2.0, 4.0], 4)
    assert result is errors[3], f"not the last error but {result!r}"


@pytest.mark.parametrize("max_retries", [0, 1, 2, 7])
def test_max_retries_counts_the_calls_after_the_first(
    waits: Waits, max_retries: int
) -> None:
    """So there is always a first call, and never a wait after the last."""
    errors = down()
    (result, calls), _ = run_both(errors, waits, max_retries=max_retries)
    assert (calls, len(waits)) == (max_retries + 1, max_retries)
    assert result is errors[max_retries]


@pytest.mark.parametrize("failures", [0, 1, 3])
def test_success_ends_it(waits: Waits, failures: int) -> None:
    """What the function returns comes through, and so do its arguments."""
    (result, calls), _ = run_both(down(failures), waits)
    assert (result, calls, len(waits)) == (((7,), {}), failures + 1, failures)


def test_the_error_comes_as_it_was_raised(waits: Waits) -> None:
    """Its cause is kept, and it is not chained to the failures before it."""
    errors = down(2)
    errors[1].__cause__ = cause = OSError("cable")
    (result, _), _ = run_both(errors, waits, max_retries=1)
    assert (result, result.__cause__, result.__context__) == (errors[1], cause, None)


@pytest.mark.parametrize(
    "error", [lesson.APIError("no"), ValueError("no"), KeyError("no")]
)
def test_what_is_not_listed_is_not_repeated(waits: Waits, error: Exception) -> None:
    """Neither an APIError that no retry helps, nor a mistake of the program."""
    (result, calls), _ = run_both([error], waits)
    assert (result, calls, waits) == (error, 1, [])


def test_other_errors_can_be_listed(waits: Waits) -> None:
    """One class or several; a class stands for those below it."""
    for listed in (OSError, (LookupError, OSError)):
        (_, calls), _ = run_both([ConnectionResetError()] * 9, waits, exceptions=listed)
        assert calls == 4


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt, SystemExit, asyncio.CancelledError]
)
def test_what_ends_a_program_is_never_caught(
    waits: Waits, error: type[BaseException]
) -> None:
    """Not even with every Exception listed."""
    failing = Failing(error())
    with pytest.raises(error):
        retry_on_error(exceptions=Exception, sleep=waits)(failing)()
    assert (failing.calls, waits) == (1, [])


def test_calls_do_not_share_their_count(waits: Waits) -> None:
    """Each call begins with all its retries, one after the other and in threads at
    once.
    """
    failing = Failing(*down())
    function = retry_on_error(2, sleep=lambda _: time.sleep(0.001))(failing)

    def call() -> None:
        with contextlib.suppress(lesson.ServerError):
            function()

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    call()
    assert failing.calls == 9 * 3


def test_names_and_methods() -> None:
    """Name, docstring and signature stay, methods get their self, and what is async
    stays async.
    """

    class Thing:
        @retry_on_error()
        def ask(self, question: str, loud: bool = False) -> tuple:
            """Ask."""
            return self, question, loud

        @retry_on_error()
        async def ask_later(self) -> "Thing":
            return self

    thing = Thing()
    assert thing.ask("why", loud=True) == (thing, "why", True)
    assert (Thing.ask.__name__, Thing.ask.__doc__) == ("ask", "Ask.")
    assert list(inspect.signature(Thing.ask).parameters) == ["self", "question", "loud"]
    assert inspect.iscoroutinefunction(
        Thing.ask_later
    ) and not inspect.iscoroutinefunction(Thing.ask)
    assert asyncio.run(thing.ask_later()) is thing


def test_the_settings_have_their_fixed_names_and_defaults() -> None:
    """Exercises and graders rely on them."""
    defaults = {
        name: entry.default
        for name, entry in inspect.signature(retry_on_error).parameters.items()
    }
    assert defaults == {
        "max_retries": 3,
        "initial_delay": 1.0,
        "backoff_factor": 2.0,
        "exceptions": lesson.RETRYABLE,
        "max_delay": 60.0,
        "jitter": True,
        "deadline": None,
        "sleep": None,
        "rng": None,
    }
    assert list(defaults)[:4] == [
        "max_retries",
        "initial_delay",
        "backoff_factor",
        "exceptions",
    ]


GROWTH = ("initial_delay", "backoff_factor", "max_delay")

# --- waiting --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"max_retries": 8}, [1, 2, 4, 8, 16, 32, 60, 60]),
        ({"max_retries": 4, "max_delay": 5}, [1, 2, 4, 5]),
        ({"initial_delay": 0.5, "backoff_factor": 3}, [0.5, 1.5, 4.5]),
        ({"backoff_factor": 1}, [1, 1, 1]),
        ({"initial_delay": 0}, [0, 0, 0]),
        ({"initial_delay": 90}, [60, 60, 60]),
        ({"max_delay": 0}, [0, 0, 0]),
    ],
    ids=str,
)
def test_backoff_and_cap(
    waits: Waits, settings: dict[str, Any], expected: list[float]
) -> None:
    """Each delay is the one before times the factor, and never above the cap."""
    run_both(down(), waits, jitter=False, **settings)
    assert waits == expected
    growth = [
        {"initial_delay": 1, "backoff_factor": 2, "max_delay": 60, **settings}[name]
        for name in GROWTH
    ]
    assert [
        lesson.backoff(retry + 1, *growth) for retry in range(len(expected))
    ] == expected


def test_a_patient_program_meets_no_overflow(waits: Waits) -> None:
    """2.0 ** 1024 is too large for a float, and the 1,100th wait is as long as the cap."""
    retry_on_error(1100, jitter=False, sleep=waits)(Failing(*down(1100)))()
    assert (len(waits), waits[-1]) == (1100, 60.0)


def test_full_jitter(waits: Waits) -> None:
    """Every wait is somewhere between 0 and its delay, in all parts of that space."""
    rng = random.Random(5)
    shares = []
    for _ in range(300):
        waits.clear()
        with pytest.raises(lesson.ServerError):
            retry_on_error(sleep=waits, rng=rng)(Failing(*down()))()
        assert all(
            0 <= wait <= delay for wait, delay in zip(waits, (1, 2, 4), strict=True)
        ), waits
        shares += [wait / delay for wait, delay in zip(waits, (1, 2, 4), strict=True)]
    quarters = [
        sum(part <= 4 * share < part + 1 for share in shares) for part in range(4)
    ]
    assert min(quarters) > 150, f"of 900 waits, {quarters} in each quarter of the delay"


def test_jitter_is_a_part_of_the_capped_delay(waits: Waits) -> None:
    """Under a cap, the waits are spread below it, and do not crowd at it."""
    for initial_delay in (0.5, 8):
        run_both(
            down(),
            waits,
            max_retries=200,
            max_delay=2,
            initial_delay=initial_delay,
            rng=random.Random(3),
        )
        assert max(waits) <= 2
        assert 0.8 < sum(waits) / len(waits) < 1.2, (
            "full jitter has its mean at half the delay"
        )


def test_jitter_repeats_with_its_generator_and_differs_without(waits: Waits) -> None:
    """A seed makes a run repeatable; by default, two clients do not wait the same."""

    def run(**settings: Any) -> list[float]:
        waits.clear()
        with pytest.raises(lesson.ServerError):
            retry_on_error(sleep=waits, **settings)(Failing(*down()))()
        return list(waits)

    assert run(rng=random.Random(1)) == run(rng=random.Random(1))
    assert run() != run()


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (0.5, [1, 2, 4]),
        (3, [3, 3, 4]),
        (60, [60, 60, 60]),
        (60.1, []),
        (math.inf, []),
        (None, [1, 2, 4]),
        (-5, [1, 2, 4]),
    ],
)
def test_what_the_server_asks_for_is_the_least(
    waits: Waits, asked: float | None, expected: list[float]
) -> None:
    """Never less than retry_after; what is more than max_delay ends it at once, without
    a wait.
    """
    (_, calls), _ = run_both(down(retry_after=asked), waits, jitter=False)
    assert waits == expected
    assert calls == len(expected) + 1


def test_jitter_comes_on_top_of_what_is_asked_for(waits: Waits) -> None:
    """Clients that were told the same do not come back at the same moment, and none
    comes early or after the cap.
    """
    seen = set()
    for _ in range(50):
        run_both(down(retry_after=58), waits, rng=random.Random())
        assert all(58 <= wait <= 60 for wait in waits), waits
        seen |= {wait for wait in waits if wait < 60}
    assert len(seen) > 50


@pytest.mark.parametrize("asked", [-5, -0.1])
def test_a_wait_is_never_negative(waits: Waits, asked: float) -> None:
    """time.sleep would raise a ValueError, and the real error would be lost."""
    run_both(down(retry_after=asked), waits, rng=random.Random(1))
    assert all(wait >= 0 for wait in waits)


def test_what_ends_a_wait_is_no_accident_of_error_handling() -> None:
    """Ctrl-C during a wait is not chained to the failure before it."""

    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    async def interrupted_later(_: float) -> None:
        raise asyncio.CancelledError

    with pytest.raises(KeyboardInterrupt) as caught:
        retry_on_error(sleep=interrupted)(Failing(*down()))()
    assert caught.value.__context__ is None

    async def main() -> None:
        with pytest.raises(asyncio.CancelledError) as caught:
            await retry_on_error(sleep=interrupted_later)(Failing(*down()).as_async())()
        assert caught.value.__context__ is None

    asyncio.run(main())


def test_errors_without_retry_after_are_welcome(waits: Waits) -> None:
    """An error of another library has no such attribute."""
    run_both([OSError()] * 9, waits, exceptions=OSError, jitter=False)
    assert waits == [1, 2, 4]


@pytest.mark.parametrize(
    ("deadline", "expected"),
    [
        (0, []),
        (0.9, []),
        (2.9, [1]),
        (10, [1, 2, 4]),
        (15.5, [1, 2, 4, 8]),
        (None, [1, 2, 4, 8, 16]),
    ],
)
def test_deadline(waits: Waits, deadline: float | None, expected: list[float]) -> None:
    """No wait that would end after the deadline; waits of an injected sleep count as if
    they had been real.
    """
    errors = down()
    (result, calls), _ = run_both(
        errors, waits, max_retries=5, jitter=False, deadline=deadline
    )
    assert waits == expected
    assert result is errors[calls - 1]


def test_the_time_of_the_calls_counts_for_the_deadline(waits: Waits) -> None:
    """Real time is what a real clock says: three slow calls use it up."""

    def slow() -> None:
        time.sleep(0.1)
        raise lesson.ServerError("slow")

    settings = {"initial_delay": 0, "deadline": 0.25, "sleep": waits}
    start = time.monotonic()
    with pytest.raises(lesson.ServerError):
        retry_on_error(99, **settings)(slow)()
    assert 0.2 < time.monotonic() - start < 1
    assert 1 <= len(waits) <= 2


def test_the_deadline_is_for_each_call(waits: Waits) -> None:
    """It begins when the function is called, not when it is decorated."""
    failing = Failing(*down(6))
    function = retry_on_error(2, initial_delay=0, deadline=0.05, sleep=waits)(failing)
    time.sleep(0.1)
    for _ in range(2):
        with pytest.raises(lesson.ServerError):
            function()
    assert failing.calls == 6


def test_a_sleep_may_be_any_callable() -> None:
    """Even one that counts as false, like an empty list that can be called; here, a
    real sleep would take an hour.
    """

    class Noted(list):
        __call__ = list.append

    noted = Noted()
    retry_on_error(initial_delay=3600, max_delay=3600, jitter=False, sleep=noted)(
        Failing(*down(1))
    )()
    assert noted == [3600]


def test_real_sleep() -> None:
    """Without an injected sleep, the time passes."""
    start = time.monotonic()
    retry_on_error(initial_delay=0.05, jitter=False)(Failing(*down(2)))()
    asyncio.run(
        retry_on_error(initial_delay=0.05, jitter=False)(Failing(*down(2)).as_async())()
    )
    assert 0.3 <= time.monotonic() - start < 2


# --- asyncio --------------------------------------------------------------------------


def test_others_go_on_while_one_waits() -> None:
    """A waiting call does not stop the event loop: 20 calls wait at the same time."""

    async def main() -> float:
        start = time.monotonic()
        function = retry_on_error(1, initial_delay=0.2, jitter=False)
        await asyncio.gather(
            *(function(Failing(*down(1)).as_async())() for _ in range(20))
        )
        return time.monotonic() - start

    assert 0.2 <= asyncio.run(main()) < 1.5


def test_cancelling_ends_the_wait() -> None:
    """A cancelled task is gone at once, and the function is not called again."""
    failing = Failing(*down())

    async def main() -> None:
        task = asyncio.create_task(
            retry_on_error(initial_delay=30, jitter=False)(failing.as_async())()
        )
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    start = time.monotonic()
    asyncio.run(main())
    assert failing.calls == 1
    assert time.monotonic() - start < 2


def test_an_async_function_in_a_partial(waits: Waits) -> None:
    """functools.partial of an async function is one too."""
    failing = Failing(*down(1))
    partial = functools.partial(failing.as_async(), 7)
    assert asyncio.run(retry_on_error(sleep=waits.later)(partial)()) == ((7,), {})
    assert failing.calls == 2


# --- bad input ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"max_retries": -1}, ValueError, "max_retries must be 0 or more, not -1"),
        ({"initial_delay": -0.1}, ValueError, "initial_delay must be 0 or more"),
        (
            {"initial_delay": math.nan},
            ValueError,
            "initial_delay must be 0 or more, not nan",
        ),
        ({"backoff_factor": -2}, ValueError, "backoff_factor must be 0 or more"),
        ({"max_delay": -1}, ValueError, "max_delay must be 0 or more"),
        ({"deadline": -1}, ValueError, "deadline must be 0 or more"),
        ({"max_retries": "3"}, TypeError, "max_retries must be a number, not '3'"),
        ({"max_retries": None}, TypeError, "max_retries must be a number, not None"),
        ({"initial_delay": "1"}, TypeError, "initial_delay must be a number"),
        ({"deadline": "soon"}, TypeError, "deadline must be a number"),
    ],
    ids=str,
)
def test_settings_that_make_no_sense(
    settings: dict[str, Any], error: type[Exception], words: str
) -> None:
    """They are refused with a sentence when the decorator is made, not at the first
    failure.
    """
    with pytest.raises(error, match=words):
        retry_on_error(**settings)


def test_forgotten_parentheses() -> None:
    """`@retry_on_error` above a function says what is missing."""
    with pytest.raises(TypeError, match=r"parentheses: @retry_on_error\(\)"):

        @retry_on_error
        def function() -> None:
            """Do nothing."""


@pytest.mark.parametrize("thing", [3, None, "ask", [], classmethod(print)], ids=str)
def test_only_functions_are_decorated(thing: Any) -> None:
    """What cannot be called cannot be repeated."""
    with pytest.raises(TypeError, match="decorates a function, not"):
        retry_on_error()(thing)


def test_generators_are_refused() -> None:
    """Their errors come while they are read, where no decorator sees them."""

    def numbers() -> Iterator[int]:
        yield 1

    async def numbers_later() -> Any:
        yield 1

    for function in (numbers, numbers_later):
        with pytest.raises(TypeError, match="generator"):
            retry_on_error()(function)


# --- the client, under faults ---------------------------------------------------------

FAULTS = [
    (fault.status(400), "APIError", 1),
    (fault.status(401), "AuthenticationError", 1),
    (fault.status(403), "APIError", 1),
    (fault.status(404), "APIError", 1),
    (fault.status(408), "APIConnectionError", 4),
    (fault.status(409), "APIError", 1),
    (fault.status(422), "APIError", 1),
    (fault.status(429), "RateLimitError", 4),
    (fault.status(429, retry_after=2), "RateLimitError", 4),
    (fault.status(429, retry_after=2, as_date=True), "RateLimitError", 4),
    (fault.status(429, retry_after="soon"), "RateLimitError", 4),
    (fault.status(429, retry_after=90), "RateLimitError", 1),
    (fault.html(429), "RateLimitError", 4),
    (fault.quota(), "QuotaExceededError", 1),
    (fault.status(500), "ServerError", 4),
    (fault.html(502), "ServerError", 4),
    (fault.status(503, retry_after=3), "ServerError", 4),
    (fault.status(503, body={"error": "text"}), "ServerError", 4),
    (fault.status(503, body=["error"]), "ServerError", 4),
    (fault.status(304), "APIError", 1),
    (fault.bad_json(), "APIError", 1),
    (fault.html(200), "APIError", 1),
    (fault.status(200, body=""), "APIError", 1),
    (fault.stream_error(), "ServerError", 4),
    (fault.hang(), "APIConnectionError", 4),
    (fault.stall(after_events=0), "APIConnectionError", 4),
    (fault.cut(after_bytes=40), "APIConnectionError", 4),
    (fault.drop("rst"), "APIConnectionError", 4),
    (fault.drop("fin"), "APIConnectionError", 4),
    (fault.garbage(), "APIConnectionError", 4),
]


def make_client(server: MockServer, waits: Waits, **settings: Any) -> Any:
    """Return the lesson's client with a short patience and noted waits."""

    class Client(lesson.RobustAPIClient):
        timeout = (2.0, 0.15)
        chat_completion = retry_on_error(sleep=waits, **settings)(
            lesson.PlainAPIClient.chat_completion
        )

    return Client(server.api_key, server.base_url)


@pytest.mark.parametrize(
    ("trouble", "raises", "sent"), FAULTS, ids=lambda value: str(value)
)
def test_each_fault_is_sent_as_often_as_makes_sense(
    server: MockServer, waits: Waits, trouble: Fault, raises: str, sent: int
) -> None:
    """The server counts: four requests where a retry can help, one where it cannot;
    lesson 05 agrees.
    """
    server.on().reply(trouble)
    with pytest.raises(lesson.APIError) as caught:
        make_client(server, waits).chat_completion(HELLO, "mock-small")
    records = server.wait_for(sent)
    assert (type(caught.value).__name__, len(records), len(waits)) == (
        raises,
        sent,
        sent - 1,
    )
    if (caught.value.retry_after or 0) > 60:
        return
    client = before.RobustAPIClient(server.api_key, server.base_url)
    client.timeout = (2.0, 0.15)
    with pytest.raises(before.APIError) as decided:
        client.chat_completion(HELLO, "mock-small")
    assert decided.value.is_retryable == (sent > 1), (
        f"lesson 05 raises {decided.value!r}"
    )
    names = [cls.__name__ for cls in type(decided.value).__mro__]
    assert raises in names, (
        f"{raises} is neither the error of lesson 05 nor one above it: {names}"
    )
    assert (caught.value.status, caught.value.code) == (
        decided.value.status,
        decided.value.code,
    )


def test_trouble_that_passes(server: MockServer, waits: Waits) -> None:
    """Three different failures, then the answer."""
    server.script(
        fault.status(503), fault.drop("rst"), fault.status(429, retry_after=2)
    )
    reply = make_client(server, waits).chat_completion(HELLO, "mock-small")
    assert reply["object"] == "chat.completion"
    assert [record.attempt for record in server.records] == [1, 2, 3, 4]
    assert len({record.body for record in server.records}) == 1, (
        "a repeated request is not the same request"
    )
    assert waits[2] >= 2


@pytest.mark.parametrize("as_date", [False, True])
def test_retry_after_is_obeyed_in_both_forms(
    server: MockServer, waits: Waits, as_date: bool
) -> None:
    """A number of seconds or a date: the wait is that long, and not much longer."""
    server.script(fault.status(429, retry_after=30, as_date=as_date))
    make_client(server, waits, jitter=False).chat_completion(HELLO, "mock-small")
    assert 29 < waits[0] <= 31


def test_the_real_limiter_lets_it_pass(waits: Waits) -> None:
    """The server's own limit and the client share an injected clock: the second call is
    answered after its wait.
    """
    clock = [1000.0]

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        clock[0] += seconds

    with MockServer(requests_per_minute=6, clock=lambda: clock[0]) as server:
        chat = retry_on_error(sleep=sleep)(lesson.PlainAPIClient.chat_completion)
        client = lesson.RobustAPIClient(server.api_key, server.base_url)
        for _ in range(8):
            assert chat(client, HELLO, "mock-small")["object"] == "chat.completion"
        assert [record.status for record in server.records] == [200] * 6 + [
            429,
            200,
            429,
            200,
        ]
    assert all(10 <= wait <= 11 for wait in waits), waits


@pytest.mark.parametrize("address", ["htp://127.0.0.1/v1", "http://", "127.0.0.1:1/v1"])
def test_an_address_that_cannot_be_used_is_tried_once(
    server: MockServer, waits: Waits, address: str
) -> None:
    """It is as wrong the second time."""
    client = make_client(server, waits)
    client.base_url = address
    with pytest.raises(lesson.APIError) as caught:
        client.chat_completion(HELLO, "mock-small")
    assert (type(caught.value), waits) == (lesson.APIError, [])
    assert isinstance(caught.value.__cause__, requests.RequestException)


def test_a_refused_connection_is_tried_again(server: MockServer, waits: Waits) -> None:
    """The server may be restarting."""
    client = make_client(server, waits)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # bound but not listening
        client.base_url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
        with pytest.raises(lesson.APIConnectionError):
            client.chat_completion(HELLO, "mock-small")
    assert len(waits) == 3


def test_the_client_has_the_default_policy() -> None:
    """chat_completion is the plain one under the decorator, with the defaults and the
    signature of lesson 03.
    """
    decorated = lesson.RobustAPIClient.chat_completion
    assert decorated.__wrapped__ is lesson.PlainAPIClient.chat_completion
    policy = inspect.getclosurevars(decorated).nonlocals["policy"]
    numbers = (
        policy.max_retries,
        policy.initial_delay,
        policy.backoff_factor,
        policy.max_delay,
        policy.deadline,
    )
    assert numbers == (3, 1.0, 2.0, 60.0, math.inf)
    assert (policy.exceptions, policy.rng) == (lesson.RETRYABLE, random)
    parameters = inspect.signature(decorated).parameters
    assert list(parameters) == [
        "self",
        "messages",
        "model",
        "temperature",
        "max_tokens",
    ]


def test_what_is_listed_is_what_lesson_05_calls_retryable() -> None:
    """The default of `exceptions` and the flag on the classes say the same."""
    assert all(cls.is_retryable for cls in lesson.RETRYABLE)
    flagged = {
        cls.__name__ for cls in before.APIError.__subclasses__() if cls.is_retryable
    }
    assert {cls.__name__ for cls in lesson.RETRYABLE} == flagged


def test_a_timeout_does_not_say_that_nothing_happened(
    server: MockServer, waits: Waits
) -> None:
    """Repeating a POST whose reply is late creates a second agent."""
    server.script(fault.delay(0.5))

    def create() -> Any:
        return requests.post(
            f"{server.url}/agents", json={"name": "Ada"}, timeout=0.2
        ).json()

    assert retry_on_error(exceptions=requests.Timeout, sleep=waits)(create)()["id"] == 2


# --- httpx and its continuation -------------------------------------------------------


@CLIENTS
def test_with_httpx(server: MockServer, waits: Waits, http: Any) -> None:
    """The decorator knows nothing of the client: two broken connections, then the
    answer, under both of them.
    """
    server.script(fault.drop("rst"), fault.drop("fin"))
    retry = retry_on_error(exceptions=http.TransportError, sleep=waits)
    assert retry(http.get)(f"{server.url}/get", timeout=2).status_code == 200
    assert (len(server.records), len(waits)) == (3, 2)


@CLIENTS
def test_list_models(server: MockServer, http: Any) -> None:
    """The script's async function, with its own decorator where the client is the one
    it was written for.
    """
    list_models = lesson.list_models
    if http is httpx2:
        settings = {"exceptions": http.TransportError, "initial_delay": 0.05}
        list_models = retry_on_error(**settings)(list_models.__wrapped__)
    troubles = [fault.hang(), fault.drop("rst"), fault.garbage()]
    server.script(*troubles, fault.ok(), fault.status(503))
    key = {"Authorization": f"Bearer {server.api_key}"}

    async def main() -> None:
        async with http.AsyncClient(
            base_url=server.base_url, headers=key, timeout=0.3
        ) as client:
            assert await list_models(client) == ["mock-small", "mock-large"]
            with pytest.raises(http.HTTPStatusError):
                await list_models(client)

    asyncio.run(main())
    assert len(server.wait_for(5)) == 5, "a 503 is no TransportError, and was repeated"
