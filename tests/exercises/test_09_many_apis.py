"""Exercise 09: a batch over two APIs that loses nothing, whenever it is killed."""

import asyncio
import itertools
import json
import multiprocessing
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest
from mock_server import MockServer, fault

from tests.grader.steps import call, expect, expect_raises, log, run_async

pytestmark = pytest.mark.limit(10)  # seconds: each answer waits for the disk
CHAT = "/v1/chat/completions"
PRICE = 1000  # micro-dollars for 1,000 tokens, so a token costs one
MOST = 110  # what a question of ours can cost: it has 10 bytes, and max_tokens is 100
COST = 11  # what it does cost: 2 tokens, and 9 in the mock model's answer
PAUSE = 0.5  # seconds for which a provider is passed over
# What a process has open and how it was set is its child's too where fork is safe.
PROCESSES = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
PROVIDERS = (  # as a learner would write them
    "[Provider(server.base_url, server.api_key, 'mock-small', {}), "
    "Provider(other.base_url, other.api_key, 'mock-large', {})]"
)


def questions(ids: str) -> dict[str, str]:
    """Return a job for each letter."""
    return {one: f"Question {one}" for one in ids}


def answers(jobs: dict[str, str]) -> dict[str, str]:
    """Return what the mock model answers to the jobs."""
    return {one: f"This is a mock answer to: {jobs[one]}" for one in jobs}


def kinds(results: dict[str, Any]) -> str:
    """Return in a few words what stands under each id."""
    return ", ".join(
        f"{one}: {'text' if isinstance(value, str) else type(value).__name__}"
        for one, value in results.items()
    )


def asked(server: MockServer) -> list[str]:
    """Return the questions that a server was asked, in order."""
    return [json.loads(one.body)["messages"][-1]["content"] for one in server.records]


def keys(server: MockServer) -> list[str]:
    """Return the Idempotency-Key of each request, "" for one without."""
    heads = [
        {name.lower(): value for name, value in one.headers.items()}
        for one in server.records
    ]
    return [head.get("idempotency-key", "") for head in heads]


class Desk:
    """Where a batch is started: two servers, and the path of a store.

    providers: what the answer's Provider takes, for each of them.
    """

    def __init__(self, server: MockServer, other: MockServer, folder: Path) -> None:
        self.server, self.other, self.folder = server, other, folder
        self.providers: list[list[Any]] = [
            [server.base_url, server.api_key, "mock-small", PRICE],
            [other.base_url, other.api_key, "mock-large", PRICE],
        ]
        self.use_store("jobs.db")

    def use_store(self, name: str) -> None:
        """Let the next start have a store of this name, which is not there yet."""
        self.store = str(self.folder / name)

    def set_prices(self, *prices: int | None) -> None:
        """Set the prices of both providers."""
        for provider, price in zip(self.providers, prices, strict=True):
            provider[-1] = price

    def start(self, answer: Any, jobs: dict[str, str], **options: Any) -> Any:
        """Run a batch here, and return its results: one for each job."""
        arguments = arguments_of(answer, self.providers, options)
        prices = [price for *_, price in self.providers]
        file, ids = f"work/{Path(self.store).name}", "".join(jobs)
        log.names += [
            (arguments["providers"], PROVIDERS.format(*prices)),
            (self.store, repr(file)),
        ]
        if jobs == questions(ids):
            log.names.append((jobs, f"{{n: f'Question {{n}}' for n in {ids!r}}}"))
        log.made["other"] = "other = MockServer(api_key='another-key').start()"
        if log.made["other"] not in log.steps:
            log.steps.insert(0, log.made["other"])
        results = run_async(call(answer, "run_batch", jobs, self.store, **arguments))
        is_complete = isinstance(results, dict) and set(results) == set(jobs)
        expect(is_complete, expected=f"a dict with a result for each of {list(jobs)}")
        is_right = all(isinstance(one, str | Exception) for one in results.values())
        expect(is_right, expected="a text or an exception for each job")
        return results

    @contextmanager
    def process(
        self, answer: Any, jobs: dict[str, str], most_bytes: int = 0, **options: Any
    ) -> Iterator[Any]:
        """Start a batch in a process of its own, and kill that at the end.

        most_bytes: the system kills it at a write that makes a file longer than this.
        """
        # Here, where a mistake in the answer can be told; nothing is sent for it.
        self.start(answer, {}, **options)
        log.steps.pop()
        parts = (answer, jobs, self.store, self.providers, options, most_bytes)
        child = PROCESSES.Process(target=in_process, args=parts, daemon=True)
        child.start()
        try:
            yield child
        finally:
            child.kill()  # SIGKILL, where there are signals
            child.join()
            self.server.wait_for(len(self.server.records))  # it has noticed
            when = " in mid-write" * (most_bytes > 0)
            log.steps.append(f"kill a process{when} that does what follows")


def arguments_of(
    answer: Any, providers: list[list[Any]], options: dict[str, Any]
) -> dict[str, Any]:
    """Return the arguments of run_batch by name; there is plenty of what is not given.

    providers: what Provider takes, for each.
    """
    made = [answer.Provider(*one) for one in providers]
    plenty = {"budget": 1_000_000, "max_concurrency": 2, "rate": 1000}
    return {"providers": made, **plenty, **options}


def in_process(
    answer: Any,
    jobs: dict[str, str],
    store: str,
    providers: list[list[Any]],
    options: dict[str, Any],
    most_bytes: int,
) -> None:
    """Do what the child of Desk.process is for."""
    if most_bytes and sys.platform != "win32":
        import resource

        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # Python ignores it
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))
    with nullcontext() if answer.is_loaded else answer.loaded():
        arguments = arguments_of(answer, providers, options)
        asyncio.run(answer.run_batch(jobs, store, **arguments))


@pytest.fixture
def desk(server: MockServer, tmp_path: Path) -> Iterator[Desk]:
    """A desk with the server of the test, and another one."""
    with MockServer(api_key="another-key") as other:
        yield Desk(server, other, tmp_path)


# --- core: answers, failures, limits --------------------------------------------------


@pytest.mark.points(1, hint="where-to-begin")
def test_answers(answer, server, desk):
    """Each job is asked once, at the first provider, under a key of its own."""
    jobs = questions("abc")
    results = desk.start(answer, jobs)
    expect(results == answers(jobs), expected="the answer to each job, under its id")
    bodies = [json.loads(one.body) for one in server.records]
    told = {(one["model"], one.get("max_tokens")) for one in bodies}
    wanted = {("mock-small", 100)}
    expect(told == wanted, saw=f"{told}", expected=f"model and max_tokens: {wanted}")
    desk.use_store("more.db")
    desk.start(answer, {"a": "What is HTTP?"}, max_concurrency=1, rate=1)
    count = len({*keys(server)} - {""})
    expect(
        count == len(server.records) == 4 and not desk.other.records,
        saw=f"{len(server.records)} requests with {count} keys, "
        f"and {len(desk.other.records)} to the other provider",
        expected="4 with a key each: job a of another store is another job",
        hint="idempotency-key",
    )


@pytest.mark.points(1, hint="failures-as-values")
def test_failures_are_values(answer, server, desk):
    """A job that fails leaves its exception, and all others are answered."""
    server.script(fault.ok(), fault.status(400), fault.html(200))
    results = desk.start(answer, questions("abcd"), max_concurrency=1)
    failed = [one for one, value in results.items() if isinstance(value, Exception)]
    expect(failed == ["b", "c"], saw=kinds(results), expected="exceptions for b and c")
    server.script(fault.no_content())  # null: "" or an exception
    desk.use_store("more.db")
    desk.start(answer, questions("a"))


@pytest.mark.points(1, hint="store")
def test_next_start(answer, server, desk):
    """The next start asks only for what has failed, and returns all."""
    jobs = questions("abcd")
    server.script(fault.ok(), fault.status(400))
    desk.start(answer, jobs, max_concurrency=1)
    results = desk.start(answer, jobs, max_concurrency=1)
    again = asked(server)[4:]
    expected = "a request for b alone, which has failed"
    expect(again == ["Question b"], saw=f"requests for {again}", expected=expected)
    expect(results == answers(jobs), saw=kinds(results), expected="all four answers")


@pytest.mark.points(1, hint="concurrency")
@pytest.mark.server(latency=0.25)
def test_concurrency(answer, server, desk):
    """As many jobs as allowed are under way at once, and never more."""
    desk.start(answer, questions("abcd"), max_concurrency=3)
    if server.peak_open < 3:  # a busy machine may take longer to begin three
        server.latency = 0.75
        desk.use_store("more.db")
        desk.start(answer, questions("abcd"), max_concurrency=3)
    saw = f"{server.peak_open} requests open at once"
    expect(server.peak_open == 3, saw=saw, expected="3, which is max_concurrency")


@pytest.mark.points(1, hint="rate")
def test_rate(answer, server, desk):
    """In any second, at most `rate` requests start, to both providers together."""
    server.script(fault.status(503), fault.status(503))
    began = time.monotonic()
    desk.start(answer, questions("abcd"), max_concurrency=4, rate=5)
    seconds, count = time.monotonic() - began, len(server.records + desk.other.records)
    expect(count == 6, saw=f"{count} requests", expected="6: two jobs are asked twice")
    saw = f"6 requests in {seconds:.2f} s"
    expect(seconds >= 1, saw=saw, expected="the sixth a second after the first")


# --- core: kills ----------------------------------------------------------------------


@pytest.mark.points(1, hint="save-at-once")
@pytest.mark.limit(20)
def test_kill(answer, server, desk):
    """After a kill, only what was under way is asked again, with the key it had."""
    jobs = questions("abcdefgh")
    server.script(fault.ok(), fault.ok(), fault.ok(), fault.hang(), fault.hang())
    with desk.process(answer, jobs, max_concurrency=2) as child:
        end = time.monotonic() + 8
        while len(server.records) < 5 and child.is_alive() and time.monotonic() < end:
            time.sleep(0.01)
        expect(
            len(server.records) == 5 or not child.is_alive(),
            saw=f"{len(server.records)} requests, and then nothing",
            expected="5: three are answered, and two under way",
            hint="concurrency",
        )
        time.sleep(0.05)  # nothing can go on now: both requests hang
    before, had = asked(server), keys(server)
    done = [text for text, one in zip(before, server.records, strict=True) if one.sent]
    results = desk.start(answer, jobs, max_concurrency=2)
    expect(results == answers(jobs), saw=kinds(results), expected="all answers")
    again = asked(server)[len(before) :]
    twice = sorted({*done} & {*again})
    saw = f"asked again, though answered before the kill: {twice}"
    expect(not twice, saw=saw, expected="no request for what was answered")
    key_of = dict(zip(before, had, strict=True))
    new = keys(server)[len(before) :]
    changed = [
        text
        for text, key in zip(again, new, strict=True)
        if key_of.get(text, key) != key
    ]
    saw = f"a new Idempotency-Key for {changed}: the server charges them twice"
    expected = "the key that the job had before the kill"
    expect(not changed, saw=saw, expected=expected, hint="idempotency-key")


@pytest.mark.points(1, hint="half-written")
@pytest.mark.limit(20)
def test_kill_in_a_write(answer, server, desk):
    """A process that is killed while it writes leaves nothing that stops the next."""
    text, jobs = "x" * 100_000, questions("abc")
    server.on(path=CHAT).reply(text=text)
    log.steps[-1] = f"server.on(path={CHAT!r}).reply(text='x' * 100_000)"
    with desk.process(answer, jobs, most_bytes=150_000, max_concurrency=1) as child:
        child.join(8)
    before = asked(server)
    for _ in range(2):
        count = len(server.records)
        results = desk.start(answer, jobs, max_concurrency=1)
        is_right = results == dict.fromkeys(jobs, text)
        expect(is_right, saw=kinds(results), expected="all answers, as they came")
    late = len(server.records) - count
    expect(late == 0, saw=f"{late} requests", expected="none in the last start")
    twice = sorted({*before} & {*asked(server)[len(before) :]})
    saw = f"asked again after the kill: {twice}"
    expect(len(twice) < 2, saw=saw, expected="only the one that was being written")


# --- core: what a failure decides -----------------------------------------------------


@pytest.mark.points(1, hint="which-failure")
def test_second_provider(answer, server, desk):
    """A job goes to the second provider if the first one fails, or is not there."""
    server.script(fault.status(503))
    jobs = questions("a")
    results = desk.start(answer, jobs, budget=MOST)
    counts = len(server.records), len(desk.other.records)
    saw = f"{counts[0]} requests to the first and {counts[1]} to the second"
    expected = "one each: the first answered 503, which costs nothing"
    expect(counts == (1, 1), saw=saw, expected=expected)
    expect(results == answers(jobs), saw=kinds(results), expected="an answer")
    with MockServer() as gone:
        desk.providers[0][0] = gone.base_url
    desk.use_store("more.db")
    results = desk.start(answer, jobs)
    log.steps.insert(-1, "stop the first server")
    expect(results == answers(jobs), saw=kinds(results), expected="an answer")
    desk.other.script(fault.status(500))
    desk.use_store("other.db")
    results = desk.start(answer, jobs)
    saw, expected = kinds(results), "an exception: both providers fail"
    expect(isinstance(results["a"], Exception), saw=saw, expected=expected)


@pytest.mark.points(1, hint="which-failure")
def test_no_second_provider(answer, server, desk):
    """A wrong key, a bad request or an empty account is reported, and not hidden."""
    faults = [fault.status(401), fault.status(400), fault.status(404), fault.quota()]
    server.script(*faults)
    results = desk.start(answer, questions("abcd"), max_concurrency=1)
    counts = len(server.records), len(desk.other.records)
    saw = f"{counts[0]} requests to the first and {counts[1]} to the second"
    expect(counts == (4, 0), saw=saw, expected="4, all to the first")
    is_right = all(isinstance(value, Exception) for value in results.values())
    expect(is_right, saw=kinds(results), expected="an exception for each")


@pytest.mark.points(1, hint="retry-after")
def test_retry_after(answer, server, desk):
    """After a 429, the same provider is asked again when its Retry-After is over."""
    server.script(fault.status(429, retry_after=1))
    jobs = questions("a")
    results = desk.start(answer, jobs)
    count, elsewhere = len(server.records), len(desk.other.records)
    saw = f"{count} requests to the first and {elsewhere} to the second"
    expect((count, elsewhere) == (2, 0), saw=saw, expected="2, both to the first")
    first, second = server.records
    wait = second.received - first.received
    expect(wait >= 1, saw=f"a wait of {wait:.2f} s", expected="1 s, as it asks for")
    expect(results == answers(jobs), saw=kinds(results), expected="an answer")
    hint = "idempotency-key"
    is_same = len({*keys(server)}) == 1
    expect(is_same, saw="two keys", expected="one key: it is one job", hint=hint)
    server.script(*[fault.status(429, retry_after="0")] * 4)
    desk.use_store("more.db")
    results = desk.start(answer, jobs)
    count = len(server.records) - 2
    saw = f"{kinds(results)}, after {count} requests"
    is_right = isinstance(results["a"], Exception) and count == 4
    expect(is_right, saw=saw, expected="an exception after 4: it asks 3 times again")


# --- core: money ----------------------------------------------------------------------


def expect_broke(desk: Desk, results: dict[str, Any], wanted: str) -> None:
    """Expect BudgetError for these jobs, and an answer for all others."""
    broke = [one for one, value in results.items() if isinstance(value, Exception)]
    names = {type(results[one]).__name__ for one in broke}
    is_right = broke == list(wanted) and names <= {"BudgetError"}
    saw = f"{kinds(results)}, after {len(desk.server.records)} requests"
    expect(is_right, saw=saw, expected=f"BudgetError for {', '.join(wanted)}")


@pytest.mark.points(1, hint="budget")
def test_budget(answer, server, desk):
    """A request is sent only if the most that it can cost is left."""
    jobs = questions("abcd")
    results = desk.start(answer, jobs, budget=MOST + COST, max_concurrency=1)
    count = len(server.records)
    expected = f"2: after them {MOST - COST} is left, and a call can cost {MOST}"
    expect(count == 2, saw=f"{count} requests", expected=expected)
    expect_broke(desk, results, "cd")
    desk.set_prices(PRICE, 10 * PRICE)
    server.script(fault.status(503))
    desk.use_store("more.db")
    results = desk.start(answer, questions("a"), budget=9 * MOST)
    count = len(desk.other.records)
    expected = f"none: it can cost {10 * MOST} there, and {9 * MOST} is left"
    expect(count == 0, saw=f"{count} requests to the second", expected=expected)
    expect_broke(desk, results, "a")


@pytest.mark.points(1, hint="budget-under-way")
@pytest.mark.server(latency=0.25)
def test_budget_under_way(answer, server, desk):
    """What calls under way can cost is not there for others."""
    desk.start(answer, questions("abcd"), budget=3 * MOST - 1, max_concurrency=4)
    saw = f"{server.peak_open} requests open at once"
    expected = f"at most 2: each can cost {MOST}, and the budget is {3 * MOST - 1}"
    expect(server.peak_open <= 2, saw=saw, expected=expected)
    expect(len(server.records) >= 2, saw=saw, expected="2 requests at least")


@pytest.mark.points(1, hint="budget-next-start")
def test_budget_next_start(answer, server, desk):
    """What earlier starts have spent counts in the next one."""
    jobs, options = questions("abcd"), {"budget": MOST + COST, "max_concurrency": 1}
    desk.start(answer, jobs, **options)
    expect_broke(desk, desk.start(answer, jobs, **options), "cd")
    count = len(server.records)
    expected = "2, all in the first start: then the money is gone"
    expect(count == 2, saw=f"{count} requests in two starts", expected=expected)
    results = desk.start(answer, jobs, budget=MOST + 3 * COST, max_concurrency=1)
    expect(results == answers(jobs), saw=kinds(results), expected="all: there is more")


@pytest.mark.points(1, hint="settings")
def test_settings(answer, server, desk):
    """An unknown price or a limit below 1 is a ValueError, before anything is sent."""
    for prices in ((None, PRICE), (PRICE, None)):
        desk.set_prices(*prices)
        with expect_raises(answer, ValueError, expected="a price of None: ValueError"):
            desk.start(answer, questions("a"))
    desk.set_prices(PRICE, PRICE)
    for limit in ("max_concurrency", "rate"):
        with expect_raises(answer, ValueError, expected=f"{limit}=0: ValueError"):
            desk.start(answer, questions("a"), **{limit: 0})
    count = len(server.records + desk.other.records)
    expect(count == 0, saw=f"{count} requests", expected="no request")


# --- further: a provider that fails is passed over ------------------------------------


@pytest.mark.points(2, further=True, hint="passed-over")
def test_passed_over(answer, server, desk):
    """After three failures in a row, the first provider is left alone for a while."""
    server.on(path=CHAT).reply(fault.status(503))
    jobs, began = questions("abcdefgh"), time.monotonic()
    results = desk.start(answer, jobs, max_concurrency=1)
    pauses = int((time.monotonic() - began) / PAUSE)  # none, unless it is very slow
    count = len(server.records)
    saw = f"{count} requests to a provider that fails each time"
    expect(3 <= count <= 3 + pauses, saw=saw, expected="3, for 8 jobs")
    expect(results == answers(jobs), saw=kinds(results), expected="all answers")


@pytest.mark.points(2, further=True, hint="good-again")
def test_single_try(answer, server, desk):
    """When the pause is over, one job tries the provider, not all at once."""
    server.on(path=CHAT).reply(fault.status(503), latency=0.1)
    desk.other.latency = 0.3
    desk.start(answer, questions("abcdefghijklmnop"), max_concurrency=4)
    ends = sorted(one.ended for one in server.records)
    # Requests from before the third failure may still arrive a moment after it.
    begun = [one.received for one in server.records]
    tries = [moment for moment in begun if moment > ends[2] + PAUSE / 2]
    saw = "no request after the first ones, in more than a second"
    expect(tries, saw=saw, expected="a try when the pause is over")
    gaps = [later - moment for moment, later in itertools.pairwise(tries)]
    saw = f"later requests after {[f'{moment - ends[2]:.2f} s' for moment in tries]}"
    expected = f"one when {PAUSE} s are over, and the next as long after it"
    expect(min(gaps, default=PAUSE) > PAUSE / 2, saw=saw, expected=expected)


@pytest.mark.points(2, further=True, hint="good-again")
def test_good_again(answer, server, desk):
    """After an answer, the failures of the first provider are counted from 0 again."""
    down = fault.status(503)
    server.script(down, down, fault.ok(), down, down, fault.ok())
    desk.start(answer, questions("abcdef"), max_concurrency=1)
    count = len(server.records)
    expected = "6: there were never 3 failures in a row"
    expect(count == 6, saw=f"{count} requests for 6 jobs", expected=expected)
    server.script(down, down, down)
    desk.other.latency = 0.2
    desk.use_store("more.db")
    jobs = questions("ghijklmnop")
    desk.start(answer, jobs, max_concurrency=1)
    last = [jobs[one] for one in "nop"]
    found = [text for text in last if text in asked(server)]
    expected = "the last 3 jobs asked there: it has answered one after the pause"
    expect(found == last, saw=f"of the last 3, {len(found)} there", expected=expected)
