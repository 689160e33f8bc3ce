"""Lesson 06: retry_on_error on an injected clock, and its client under faults."""

import asyncio
import contextlib
import functools
import inspect
import math
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import httpx
import httpx2
import openai
import pytest
from mock_server import MockServer, fault
from mock_server.fault import Fault
from robust_client import replies, retry
from robust_client.errors import APIError, CertificateError, ServerError
from robust_client.retry import RobustAPIClient, RobustAsyncClient, retry_on_error

HELLO = [{"role": "user", "content": "Hello"}]


class Failing:
    """A function that raises the errors in turn, and then returns what it got."""

    def __init__(self, *errors: BaseException) -> None:
        self.errors, self.calls = iter(errors), 0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.calls += 1
        for error in self.errors:
            raise error
        return args, kwargs

    async def later(self, *args: Any, **kwargs: Any) -> Any:
        """Do the same under asyncio."""
        return self(*args, **kwargs)

    def soon(self, *args: Any, **kwargs: Any) -> Any:
        """Return something to await, as many libraries do, without an `async def`."""
        return self.later(*args, **kwargs)


KINDS = ("__call__", "later", "soon")


class Waits(list):
    """A sleep that notes the seconds and takes no time; `later` is one for asyncio."""

    def note(self, seconds: float) -> None:
        """Note the seconds."""
        self.append(seconds)

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


def down(count: int = 99, **facts: Any) -> list[BaseException]:
    """Return so many errors that are worth a retry."""
    return [ServerError(f"failure {number + 1}", **facts) for number in range(count)]


def run_all(
    errors: list[BaseException], waits: Waits, **settings: Any
) -> tuple[Any, int]:
    """Call a function that fails, as a def, as an async def, and as a def that returns
    an awaitable; return the result or error, and the number of calls, equal for all.
    """
    outcomes, noted = [], []
    for kind in KINDS:
        waits.clear()
        failing = Failing(*errors)
        sleep = waits.note if kind == "__call__" else waits.later
        function = retry_on_error(sleep=sleep, **settings)(getattr(failing, kind))
        try:
            result = function(7)
            if kind != "__call__":
                result = asyncio.run(wait_for(result))
        except Exception as error:
            result = error
        outcomes.append((result, failing.calls))
        noted.append(list(waits))
    assert outcomes == outcomes[:1] * 3, f"the kinds of function differ: {outcomes}"
    assert settings.get("rng") or noted == noted[:1] * 3, f"their waits differ: {noted}"
    return outcomes[0]


async def wait_for(awaitable: Any) -> Any:
    """Await it; asyncio.run takes coroutines only."""
    return await awaitable


# --- counting -------------------------------------------------------------------------


def test_one_two_four_and_then_the_fourth_failure(waits: Waits) -> None:
    """With the defaults and no jitter: waits of 1, 2 and 4 s, then the fourth error."""
    errors = down()
    result, calls = run_all(errors, waits, jitter=False)
    assert (waits, calls) == ([1.0, 2.0, 4.0], 4)
    assert result is errors[3], f"not the last error but {result!r}"


@pytest.mark.parametrize("max_retries", [0, 1, 2, 7])
def test_max_retries_counts_the_calls_after_the_first(
    waits: Waits, max_retries: int
) -> None:
    """So there is always a first call, and never a wait after the last."""
    errors = down()
    result, calls = run_all(errors, waits, max_retries=max_retries, jitter=False)
    assert (calls, len(waits)) == (max_retries + 1, max_retries)
    assert result is errors[max_retries]


@pytest.mark.parametrize("failures", [0, 1, 3])
def test_success_ends_it(waits: Waits, failures: int) -> None:
    """What the function returns comes through, and so do its arguments."""
    result, calls = run_all(down(failures), waits, jitter=False)
    assert (result, calls, len(waits)) == (((7,), {}), failures + 1, failures)


def test_the_error_comes_as_it_was_raised(waits: Waits) -> None:
    """Its cause is kept, and it is not chained to the failures before it."""
    errors = down(2)
    errors[1].__cause__ = cause = OSError("cable")
    result, _ = run_all(errors, waits, max_retries=1, jitter=False)
    assert (result, result.__cause__, result.__context__) == (errors[1], cause, None)


@pytest.mark.parametrize(
    "error", [APIError("no"), CertificateError("no"), ValueError("no"), KeyError("no")]
)
def test_what_no_retry_helps_is_not_repeated(waits: Waits, error: Exception) -> None:
    """Neither an error whose is_retryable is False, nor a mistake of the program."""
    result, calls = run_all([error], waits)
    assert (result, calls, waits) == (error, 1, [])


def test_other_errors_can_be_listed(waits: Waits) -> None:
    """One class or several; a class stands for those below it."""
    for listed in (OSError, (LookupError, OSError)):
        settings = {"exceptions": listed, "jitter": False}
        assert run_all([ConnectionResetError()] * 9, waits, **settings)[1] == 4
        assert waits == [1, 2, 4], "an error without retry_after"


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt, SystemExit, asyncio.CancelledError]
)
def test_what_ends_a_program_is_never_caught(
    waits: Waits, error: type[BaseException]
) -> None:
    """Not even with every Exception listed."""
    failing = Failing(error())
    with pytest.raises(error):
        retry_on_error(exceptions=Exception, sleep=waits.note)(failing)()
    assert (failing.calls, waits) == (1, [])


def test_calls_do_not_share_their_count() -> None:
    """Each call has all its retries, in turn and in threads at once."""
    failing = Failing(*down())
    function = retry_on_error(2, sleep=lambda _: time.sleep(0.001))(failing)

    def call() -> None:
        with contextlib.suppress(ServerError):
            function()

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    call()
    assert failing.calls == 9 * 3


def test_names_and_methods() -> None:
    """Name, docstring and signature stay, methods get their self, async stays async."""

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
    assert inspect.iscoroutinefunction(Thing.ask_later)
    assert not inspect.iscoroutinefunction(Thing.ask)
    assert asyncio.run(thing.ask_later()) is thing


def test_the_settings_have_their_fixed_names_and_defaults() -> None:
    """Exercises and graders rely on them, and the first four stand in this order."""
    entries = inspect.signature(retry_on_error).parameters
    assert {name: entry.default for name, entry in entries.items()} == {
        "max_retries": 3,
        "initial_delay": 1.0,
        "backoff_factor": 2.0,
        "exceptions": APIError,
        "max_delay": 60.0,
        "jitter": True,
        "deadline": None,
        "budget": None,
        "sleep": None,
        "rng": None,
    }
    plain = [
        name for name, entry in entries.items() if entry.kind != entry.KEYWORD_ONLY
    ]
    assert plain == ["max_retries", "initial_delay", "backoff_factor", "exceptions"]
    assert retry.parse_retry_after is replies.parse_retry_after


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
    run_all(down(), waits, jitter=False, **settings)
    assert waits == expected


def test_a_patient_program_meets_no_overflow(waits: Waits) -> None:
    """2.0 ** 1024 is too large for a float; the 1,100th wait is as long as the cap."""
    retry_on_error(1100, jitter=False, sleep=waits.note)(Failing(*down(1100)))()
    assert (len(waits), waits[-1]) == (1100, 60.0)


def test_full_jitter(waits: Waits) -> None:
    """Every wait is from 0 to its delay, in all parts of that space."""
    shares = []
    function = retry_on_error(sleep=waits.note, rng=random.Random(5))
    for _ in range(300):
        waits.clear()
        with pytest.raises(ServerError):
            function(Failing(*down()))()
        shares += [wait / delay for wait, delay in zip(waits, (1, 2, 4), strict=True)]
    assert min(shares) >= 0 and max(shares) <= 1
    quarters = [
        sum(part <= 4 * share < part + 1 for share in shares) for part in range(4)
    ]
    assert min(quarters) > 150, f"of 900 waits, {quarters} in each quarter of the delay"


def test_jitter_is_a_part_of_the_capped_delay(waits: Waits) -> None:
    """Under a cap, the waits are spread below it, and do not crowd at it."""
    settings = {"max_retries": 200, "max_delay": 2, "initial_delay": 8}
    run_all(down(300), waits, rng=random.Random(3), **settings)
    assert max(waits) <= 2
    assert 0.8 < sum(waits) / len(waits) < 1.2, "the mean of full jitter is the half"


def test_jitter_repeats_with_its_generator_and_differs_without(waits: Waits) -> None:
    """A seed makes a run repeatable; by default, two clients do not wait the same."""

    def run(**settings: Any) -> list[float]:
        waits.clear()
        with pytest.raises(ServerError):
            retry_on_error(sleep=waits.note, **settings)(Failing(*down()))()
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
        ("5", [1, 2, 4]),
        (timedelta(seconds=5), [1, 2, 4]),
    ],
)
def test_what_the_server_asks_for_is_the_least(
    waits: Waits, asked: Any, expected: list[float]
) -> None:
    """Never less than retry_after; more than max_delay ends it without a wait; what is
    no number, in an error of another library, is left aside.
    """
    _, calls = run_all(down(retry_after=asked), waits, jitter=False)
    assert (waits, calls) == (expected, len(expected) + 1)


def test_jitter_comes_on_top_of_what_is_asked_for(waits: Waits) -> None:
    """Clients that were told the same do not come back at the same moment."""
    rng, seen = random.Random(4), set()
    for _ in range(50):
        run_all(down(retry_after=58), waits, rng=rng)
        assert all(58 <= wait <= 60 for wait in waits), waits
        seen |= {wait for wait in waits if wait < 60}
    assert len(seen) > 50


def test_a_wait_is_never_negative(waits: Waits) -> None:
    """time.sleep would raise a ValueError, and the real error would be lost."""
    run_all(down(retry_after=-5), waits, rng=random.Random(1))
    assert min(waits) >= 0, waits


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
    """No wait that would end too late; waits of an injected sleep count as real."""
    errors = down()
    settings = {"max_retries": 5, "jitter": False, "deadline": deadline}
    result, calls = run_all(errors, waits, **settings)
    assert waits == expected
    assert result is errors[calls - 1]


@pytest.mark.parametrize(("ago", "wait"), [(0, 1), (8.5, 1), (9.5, None)])
def test_the_time_of_the_calls_counts_for_the_deadline(
    ago: float, wait: float | None
) -> None:
    """A call that began so many seconds ago has that much less of its 10 s left."""
    tries = retry.Tries(99, 1, 2, 60, 10, ServerError, None)
    tries.started -= ago
    assert retry.wait_after(ServerError("slow"), tries) == wait


def test_the_deadline_is_for_each_call(waits: Waits) -> None:
    """It begins when the function is called, not when it is decorated."""
    function = retry_on_error(deadline=3.5, jitter=False, sleep=waits.note)
    function = function(Failing(*down()))
    for _ in range(3):
        with pytest.raises(ServerError):
            function()
    assert waits == [1, 2] * 3


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
            await retry_on_error(sleep=interrupted_later)(Failing(*down()).later)()
        assert caught.value.__context__ is None

    asyncio.run(main())


def test_real_sleep() -> None:
    """Without an injected sleep, the time passes."""
    for kind in KINDS:
        start = time.monotonic()
        function = retry_on_error(initial_delay=0.05, jitter=False)
        result = function(getattr(Failing(*down(2)), kind))()
        if kind != "__call__":
            asyncio.run(wait_for(result))
        assert time.monotonic() - start >= 0.15, kind


# --- a budget of many calls -----------------------------------------------------------


class Budget(list):
    """Notes what is counted, and allows so many retries."""

    def __init__(self, allowed: int) -> None:
        super().__init__()
        self.allowed = allowed

    def count_failure(self) -> bool:
        """Note a failed try."""
        self.append("failure")
        return self.count("failure") <= self.allowed

    def count_success(self) -> None:
        """Note a try that succeeded."""
        self.append("success")


@pytest.mark.parametrize("kind", KINDS)
def test_a_budget_is_told_of_every_try(waits: Waits, kind: str) -> None:
    """It ends the retries at once; what is not worth one is neither of the two."""

    def run(budget: Budget, *errors: BaseException, retries: int = 3) -> str:
        settings = {"sleep": waits.later, "jitter": False, "budget": budget}
        settings |= {"sleep": waits.note} if kind == "__call__" else {}
        function = retry_on_error(retries, **settings)(getattr(Failing(*errors), kind))
        with contextlib.suppress(APIError):
            result = function()
            if kind != "__call__":
                asyncio.run(wait_for(result))
        return " ".join(budget)

    assert run(Budget(9), *down(2)) == "failure failure success"
    assert run(Budget(9), *down(1), retries=0) == "failure", "the last try counts too"
    assert run(Budget(9), APIError("not retryable")) == ""
    waits.clear()
    assert run(Budget(1), *down(9)) == "failure failure"
    assert waits == [1], "no wait when the budget allows no retry"


# --- asyncio --------------------------------------------------------------------------


def test_others_go_on_while_one_waits() -> None:
    """A waiting call does not stop the event loop: 40 calls wait at the same time."""

    async def main() -> float:
        start = time.monotonic()
        function = retry_on_error(1, initial_delay=0.2, jitter=False)
        calls = [function(getattr(Failing(*down(1)), kind)) for kind in KINDS[1:] * 20]
        await asyncio.gather(*(call() for call in calls))
        return time.monotonic() - start

    assert asyncio.run(main()) < 4, "one after the other, they take 8 s"


def test_cancelling_ends_the_wait() -> None:
    """A cancelled task is gone at once, and the function is not called again."""
    failing = Failing(*down())

    async def main() -> None:
        function = retry_on_error(initial_delay=30, jitter=False)(failing.later)
        task = asyncio.create_task(function())
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(asyncio.wait_for(main(), 10))
    assert failing.calls == 1


def awaitables(server: MockServer) -> dict[str, Callable[[], Any]]:
    """Return calls of the server that are async, and no `async def` to look at."""
    sdk = openai.AsyncOpenAI(
        api_key=server.api_key, base_url=server.base_url, max_retries=0
    )
    http = httpx.AsyncClient()

    class Caller:
        async def __call__(self) -> Any:
            return (await http.get(f"{server.url}/get")).raise_for_status()

    chat = functools.partial(
        sdk.chat.completions.create, model="mock-small", messages=HELLO
    )
    return {"sdk": chat, "object": Caller(), "lambda": lambda: Caller()()}


@pytest.mark.parametrize("name", ["sdk", "object", "lambda"])
def test_what_returns_an_awaitable_is_async(
    server: MockServer, waits: Waits, name: str
) -> None:
    """It is repeated, although calling it raises nothing."""
    server.script(fault.status(503), fault.drop("rst"))

    async def main() -> None:
        function = awaitables(server)[name]
        errors = (openai.APIError, httpx.HTTPError)
        await retry_on_error(exceptions=errors, sleep=waits.later)(function)()

    asyncio.run(main())
    assert (len(server.records), len(waits)) == (3, 2)


# --- bad input ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"max_retries": -1}, ValueError, "max_retries must be 0 or more, not -1"),
        ({"initial_delay": -0.1}, ValueError, "initial_delay must be 0 or more"),
        ({"initial_delay": math.nan}, ValueError, "must be 0 or more, not nan"),
        ({"backoff_factor": -2}, ValueError, "backoff_factor must be 0 or more"),
        ({"max_delay": -1}, ValueError, "max_delay must be 0 or more"),
        ({"deadline": -1}, ValueError, "deadline must be 0 or more"),
        ({"max_retries": "3"}, TypeError, "max_retries must be a number, not '3'"),
        ({"max_retries": None}, TypeError, "max_retries must be a number, not None"),
        ({"initial_delay": "1"}, TypeError, "initial_delay must be a number"),
        ({"deadline": "soon"}, TypeError, "deadline must be a number"),
        ({"exceptions": "x"}, TypeError, "one class of errors or a tuple, not 'x'"),
        ({"exceptions": None}, TypeError, "one class of errors or a tuple, not None"),
        ({"exceptions": [OSError]}, TypeError, "one class of errors or a tuple, not"),
        ({"exceptions": (OSError, 3)}, TypeError, "a tuple, not 3"),
    ],
    ids=str,
)
def test_settings_that_make_no_sense(
    settings: dict[str, Any], error: type[Exception], words: str
) -> None:
    """They are refused when the decorator is made, not at the first failure."""
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

    for function in (numbers, numbers_later, functools.partial(numbers)):
        with pytest.raises(TypeError, match="generator"):
            retry_on_error()(function)


# --- the clients, under faults --------------------------------------------------------

# Which failures are what, test_failures.py asks of every client; here, how often a
# request is sent.
FAULTS = [
    (fault.status(401), 1),
    (fault.status(409), 1),
    (fault.status(429), 4),
    (fault.status(429, retry_after=2, as_date=True), 4),
    (fault.status(429, retry_after=90), 1),
    (fault.quota(), 1),
    (fault.html(502), 4),
    (fault.status(503, retry_after=1.5), 4),
    (fault.status(999), 1),
    (fault.bad_json(), 1),
    (fault.stream_error(), 4),
    (fault.stream_error(shape="choice"), 4),
    (fault.stream_error(code=429), 4),
    (fault.stream_error(type="invalid_request_error"), 1),
    (fault.hang(), 4),
    (fault.cut(after_bytes=40), 4),
    (fault.drop("fin"), 4),
]


@pytest.mark.parametrize(("trouble", "sent"), FAULTS, ids=str)
def test_each_fault_is_sent_as_often_as_makes_sense(
    server: MockServer, waits: Waits, trouble: Fault, sent: int
) -> None:
    """The server counts: four requests where a retry can help, one where it cannot."""
    server.on().reply(trouble)
    again, patience = retry_on_error(sleep=waits.note), 0.3 if sent == 4 else 5.0
    address = (server.api_key, server.base_url, "mock-small", patience)
    with RobustAPIClient(*address, retry=again) as client, pytest.raises(APIError):
        client.chat_completion(HELLO)
    assert (len(server.wait_for(sent)), len(waits)) == (sent, sent - 1)


def test_trouble_that_passes(server: MockServer, waits: Waits) -> None:
    """Three different failures, then the answer to the very same request."""
    server.script(
        fault.status(503), fault.drop("rst"), fault.status(429, retry_after=2)
    )
    again = retry_on_error(sleep=waits.note)
    with RobustAPIClient(server.api_key, server.base_url, retry=again) as client:
        reply = client.chat_completion(HELLO, "mock-small")
    assert reply["object"] == "chat.completion"
    assert [record.attempt for record in server.records] == [1, 2, 3, 4]
    assert len({record.body for record in server.records}) == 1
    assert waits[2] >= 2


def test_no_retries_and_the_default(server: MockServer) -> None:
    """retry=None sends once; unless told, a client retries as retry_on_error() does."""
    server.on().reply(fault.status(503))
    client = RobustAPIClient(server.api_key, server.base_url, retry=None)
    with client, pytest.raises(ServerError):
        client.get_models()
    assert len(server.records) == 1
    for client in (RobustAPIClient, RobustAsyncClient):
        default = inspect.signature(client).parameters["retry"].default
        assert default is retry.DEFAULT_RETRY


def test_a_batch_repeats_each_call_in_its_place(
    server: MockServer, waits: Waits
) -> None:
    """Three troubles in a batch of five, and the answers come in order."""
    server.script(fault.status(503), fault.drop("rst"), fault.status(429))
    again = retry_on_error(sleep=waits.later)
    address = (server.api_key, server.base_url, "mock-small", 2)

    async def main() -> list[str]:
        async with RobustAsyncClient(*address, retry=again) as client:
            return await client.batch_completion(map(str, range(5)))

    answers = asyncio.run(main())
    assert answers == [f"This is a mock answer to: {number}" for number in range(5)]
    assert (len(server.records), len(waits)) == (8, 3)


def test_the_real_limiter_lets_it_pass(waits: Waits) -> None:
    """Limit and client share a clock: what is refused is answered after its wait."""
    clock = [1000.0]

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        clock[0] += seconds

    with MockServer(requests_per_minute=6, clock=lambda: clock[0]) as server:
        again, address = retry_on_error(sleep=sleep), (server.api_key, server.base_url)
        with RobustAPIClient(*address, "mock-small", retry=again) as client:
            for _ in range(8):
                client.chat_completion(HELLO)
        statuses = [record.status for record in server.records]
    assert statuses == [200] * 6 + [429, 200] * 2
    assert all(10 <= wait <= 11 for wait in waits), waits


def test_a_refused_connection_and_a_wrong_address(
    server: MockServer, waits: Waits
) -> None:
    """The server may be restarting; an address that is wrong is wrong again."""
    again = retry_on_error(sleep=waits.note)
    client = RobustAPIClient(server.api_key, server.base_url, retry=again)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # bound but not listening
        client.base_url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
        with pytest.raises(APIError):
            client.get_models()
    assert len(waits) == 3
    waits.clear()
    for address in ("htp://127.0.0.1/v1", "http://", "127.0.0.1:1/v1"):
        client.base_url = address
        with pytest.raises(APIError):
            client.get_models()
        assert waits == [], address


@pytest.mark.parametrize("http", [httpx, httpx2], ids=["httpx", "httpx2"])
def test_with_httpx(server: MockServer, waits: Waits, http: Any) -> None:
    """The decorator knows nothing of the client: two broken connections, an answer."""
    server.script(fault.drop("rst"), fault.drop("fin"))
    again = retry_on_error(exceptions=http.TransportError, sleep=waits.note)
    assert again(http.get)(f"{server.url}/get", timeout=2).status_code == 200
    assert (len(server.records), len(waits)) == (3, 2)
