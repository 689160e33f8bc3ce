"""The store of lesson 09: jobs, money and pace survive whatever ends a process."""

import json
import random
import sqlite3
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from robust_client import database
from robust_client.costs import (
    BudgetExceededError,
    CostTracker,
    Price,
    cost_of,
    dollars,
    find_price,
    most_cost,
)
from robust_client.database import StoreError
from robust_client.jobs import Job, LeaseLostError, read_jobs
from robust_client.providers import CompletionResponse
from robust_client.report import make_report, most_in_a_second
from robust_client.store import Store

JOBS = [("a", "one"), ("b", "two"), ("c", "three")]


class Clock:
    """A clock that the test sets; in seconds."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """A clock at 1,000 seconds."""
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[Store]:
    """A store with three jobs."""
    with Store(tmp_path / "store.db", clock=clock, lease=5.0) as fresh:
        fresh.add(JOBS)
        yield fresh


def answer(cost: int = 7, text: str = "yes") -> CompletionResponse:
    """Return an answer of the provider small."""
    return CompletionResponse(text, "m", "small", 1, 1, cost, None)


def total(store: Store) -> int:
    """Return the sum of the jobs' costs, which the row of the spend must equal."""
    return store.read("SELECT total(cost) FROM jobs").fetchone()[0]


# --- jobs -----------------------------------------------------------------------------


def test_jobs_are_taken_once_in_their_order(store: Store) -> None:
    """Each job goes to one worker, with a key of its own, until none is left."""
    jobs = [store.take("w") for _ in range(4)]
    assert [job and job.id for job in jobs] == ["a", "b", "c", None]
    assert len({job.key for job in jobs[:3]}) == 3
    assert store.has_open()


def test_same_jobs_again_change_nothing(store: Store) -> None:
    """A second start adds the same jobs and goes on; another text is an error."""
    key = store.take("w").key
    assert store.add([*JOBS, ("d", "four")]) == 1
    with pytest.raises(StoreError, match="'a' is there with another text"):
        store.add([("e", "five"), ("a", "other")])
    assert store.counts() == {"open": 4, "answered": 0, "failed": 0}, "e was added"
    assert store.read("SELECT key FROM jobs WHERE id = 'a'").fetchone() == (key,)


def test_lease_runs_out_unless_it_is_renewed(store: Store, clock: Clock) -> None:
    """A dead worker's job comes back after its lease; a living one's does not."""
    dead, alive = store.take("dead"), store.take("alive")
    clock.now += 4
    store.renew([alive])
    clock.now += 2
    ids = [job.id for job in (store.take("other"), store.take("other"))]
    assert sorted(ids) == ["a", "c"] and store.take("other") is None
    with pytest.raises(LeaseLostError):
        store.reserve(dead, "small", 5, None)
    assert total(store) == store.spent() == 0


def test_clock_set_back(store: Store, clock: Clock) -> None:
    """After a restart of the machine the clock begins anew: leases count as over."""
    store.take("w")
    assert store.start(1, 1.0) == 0.0
    clock.now = 3.0
    assert {store.take("x").id for _ in range(3)} == {"a", "b", "c"}
    assert store.start(1, 1.0) == 0.0, "a start in the future holds up the pace"


def test_put_back(store: Store, clock: Clock) -> None:
    """A job whose call has failed waits a little; a cancelled one is free at once."""
    failed, cancelled = store.take("w"), store.take("w")
    store.reserve(cancelled, "small", 5, None)
    store.put_back(failed, pause=1.0)
    store.put_back(cancelled)
    assert [store.take("x").id, store.take("x").id] == ["b", "c"]
    assert store.take("x") is None
    clock.now += 1.0
    assert store.take("x").id == "a"
    resent = dict(store.read("SELECT id, resent FROM jobs"))
    assert resent == {"a": 0, "b": 1, "c": 0}, "only b was under way"


def test_late_answer_does_not_double(store: Store, clock: Clock) -> None:
    """Of two answers to a job the first stays, and is paid for once."""
    slow = store.take("slow")
    store.reserve(slow, "small", 20, None)
    clock.now += 6
    fast = store.take("fast")
    while fast.id != "a":
        fast = store.take("fast")
    store.reserve(fast, "small", 20, None)
    store.finish(fast, answer(8, "first"), 20)
    store.finish(slow, answer(8, "second"), 20)
    assert list(store.answers()) == [("a", "first")]
    assert store.spent() == total(store) == 8


def test_next_of_many_jobs(tmp_path: Path) -> None:
    """Many jobs take no memory while they are added, and the next is found at once."""
    with Store(tmp_path / "store.db") as store:
        tracemalloc.start()
        store.add((f"job {number}", "text") for number in range(5_000))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        plan = store.read(
            "EXPLAIN QUERY PLAN SELECT number FROM jobs WHERE state = "
            "'open' AND (lease <= 1 OR lease > 5) ORDER BY lease LIMIT 1"
        )
        steps = [row[-1] for row in plan]
        began = time.perf_counter()
        for _ in range(20):
            store.take("w")
        each = (time.perf_counter() - began) / 20
    assert peak < 2**20, f"{peak:,} bytes for 5,000 jobs"
    assert steps == ["SCAN jobs USING INDEX open_jobs"], "it sorts all jobs"
    assert each < 0.02, f"{each:.4f} s for the next job"


# --- money ----------------------------------------------------------------------------


def test_spend_is_the_sum_of_all_costs(store: Store, clock: Clock) -> None:
    """Whatever happens to jobs, the row of the spend is the sum of their costs."""
    dice = random.Random(9)
    store.add((f"x{number}", "text") for number in range(20))
    for _ in range(300):
        clock.now += 1
        job = store.take("w")
        if job and store.reserve(job, dice.choice(["small", "large"]), 50, None):
            act = dice.choice(("finish", "fail", "refund", "crash", "put_back"))
            if act == "finish":
                store.finish(job, answer(dice.randrange(60)), 50)
            elif act == "fail":
                store.fail(job, ValueError("x"))
            elif act == "refund":
                store.refund(job, 50)
            elif act == "put_back":
                store.put_back(job, 0.5)
        assert store.spent() == total(store)


def test_budget_holds_before_the_call_and_after_a_restart(store: Store) -> None:
    """A call that may cost more than is left is not sent, also in another process."""
    costs, first = CostTracker(store, 100), store.take("w")
    costs.reserve(first, "small", 60)
    with Store(store.path) as again, pytest.raises(BudgetExceededError) as caught:
        CostTracker(again, 100).reserve(again.take("x"), "small", 41)
    assert "$0.000060" in str(caught.value) and "$0.000041" in str(caught.value)
    store.finish(first, answer(59), 60)
    costs.reserve(store.take("w"), "small", 41)
    assert costs.spent == 100
    with pytest.raises(BudgetExceededError):
        CostTracker(store, 0).reserve(first, "large", 1)


def test_call_that_is_sent_again_is_paid_for(store: Store) -> None:
    """The same provider again keeps nothing more; another one does."""
    job = store.take("w")
    for provider, spent in (("small", 50), ("small", 50), ("large", 100)):
        assert store.reserve(job, provider, 50, 100) and store.spent() == spent
    assert job.attempts == 3


def test_money() -> None:
    """Whole micro-dollars, rounded up; unknown models and odd budgets are errors."""
    price = Price(150, 600, "", "")
    assert [cost_of(price, 1000, 1000), cost_of(price, 1, 0)] == [750, 1]
    assert most_cost(price, "€", 0) == cost_of(price, 23, 0)
    assert dollars(1234567) == "$1.234567" and dollars(40) == "$0.000040"
    with pytest.raises(ValueError, match="no price for the model 'gpt-x'"):
        find_price("gpt-x", {"gpt-y": price})
    for odd in (-1, 0.5, True, "1"):
        with pytest.raises(ValueError, match="whole micro-dollars"):
            CostTracker(None, odd)


# --- pace -----------------------------------------------------------------------------


def test_processes_share_one_window(store: Store, clock: Clock) -> None:
    """Three that share a store start no more calls than one, in any window."""
    starts, dice = [], random.Random(4)
    with (
        Store(store.path, clock=clock) as second,
        Store(store.path, clock=clock) as third,
    ):
        while len(starts) < 60:
            wait = dice.choice((store, second, third)).start(5, 1.0)
            if wait:
                clock.now += wait
            else:
                starts.append(clock.now)
    windows = [sum(t <= other < t + 1.0 for other in starts) for t in starts]
    assert max(windows) == 5, f"{max(windows)} starts in a window for 5"
    assert starts[-1] - starts[0] < 12.0, "slower than the limit allows"


class SlowStore(Store):
    """A store that waits for another process before each change."""

    def changes(self) -> Any:
        """Let the other process do its work, which takes a tenth of a second."""
        self.clock.now += 0.1
        self.meanwhile()
        return super().changes()


def test_who_waits_for_the_file_reads_the_clock_after(
    store: Store, clock: Clock
) -> None:
    """What others wrote during the wait is not taken for that of a wrong clock."""
    slow = SlowStore.__new__(SlowStore)
    slow.meanwhile = lambda: None
    slow.__init__(store.path, clock=clock, lease=5.0)
    slow.meanwhile = lambda: store.take("other")
    assert slow.take("slow").id == "b", "a job with a fresh lease was taken away"
    slow.meanwhile = lambda: store.start(1, 1.0)
    assert slow.start(1, 1.0) > 0, "the start of another process was forgotten"
    slow.close()


# --- what can be wrong with a store -----------------------------------------------


def test_store_of_a_newer_version(tmp_path: Path) -> None:
    """A newer store is left as it is, with a sentence."""
    path = tmp_path / "store.db"
    with sqlite3.connect(path) as made:
        made.execute("PRAGMA user_version = 2")
    before = path.read_bytes()
    with pytest.raises(StoreError, match="newer version"):
        Store(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"x" * 2000, "it is not a store"), (None, "cannot be opened")],
)
def test_no_store(tmp_path: Path, content: bytes | None, words: str) -> None:
    """A file that is no store, and a folder that is not there, are named."""
    path = tmp_path / "store.db" if content else tmp_path / "missing" / "store.db"
    if content:
        path.write_bytes(content)
    with pytest.raises(StoreError, match=words):
        Store(path)


@pytest.mark.parametrize(
    ("pragma", "words"),
    [("max_page_count = 1", "the disk is full"), ("query_only = 1", "only be read")],
)
def test_full_and_read_only(store: Store, pragma: str, words: str) -> None:
    """A full disk and a read-only store give a sentence, and nothing is lost."""
    job = store.take("w")
    store.reserve(job, "small", 30, None)
    store._db.execute(f"PRAGMA {pragma}")
    with pytest.raises(StoreError, match=words):
        store.finish(job, answer(text="x" * 100_000), 30)
    with Store(store.path) as again:
        assert again.counts() == {"open": 3, "answered": 0, "failed": 0}
        assert again.spent() == total(again) == 30


def test_every_word_of_sqlite_is_a_sentence() -> None:
    """Each kind of failure that is known says what to do, and names the file."""
    for name, advice in database.ADVICE.items():
        error = sqlite3.OperationalError("what SQLite says")
        error.sqlite_errorname = f"{name}_MORE"
        said = str(database.explain(Path("a.db"), error))
        assert said == f"a.db: {advice} (what SQLite says)"


@pytest.mark.parametrize("line", ["{torn", '{"id": "a"}', "[]", "\udcff"])
def test_damaged_job_file(store: Store, tmp_path: Path, line: str) -> None:
    """A damaged line is named, and no job of the file is added."""
    path = tmp_path / "jobs.jsonl"
    good = json.dumps({"id": "new", "text": "words"})
    path.write_bytes(f"{good}\n{line}\n".encode("utf-8", "surrogateescape"))
    with pytest.raises(StoreError, match="line 2 is damaged, and no job was added"):
        store.add(read_jobs(path))
    assert store.counts()["open"] == 3
    path.write_text(good)
    assert store.add(read_jobs(path)) == 1
    with pytest.raises(StoreError, match="none: no job can be read: No such file"):
        store.add(read_jobs(tmp_path / "none"))


# --- the report -----------------------------------------------------------------------


def test_report_counts(store: Store) -> None:
    """What is lost, failed, open, re-sent and charged twice is counted."""
    first, second = store.take("w"), store.take("w")
    store.reserve(first, "small", 30, None)
    store.finish(first, answer(10), 30)
    store.fail(second, ValueError("no"))
    facts = {"rate": 2, "seconds": 1.5, "starts": [0.0, 0.5, 1.0, 1.4]}
    report = make_report(store, "abcd", charges={"k": 2, "l": 1}, **facts)
    wanted = (3, 1, 1, 1, 1, 0, 0, 1, 3)
    assert tuple(vars(report).values())[:9] == wanted
    assert report.reasons == {"ValueError: no": 1}
    assert report.cost_by_provider == {"small": 0.00001}
    assert str(report).startswith("1 answered, 1 failed, 1 open, 1 lost, 0 doubled")
    assert most_in_a_second([]) == 0


def test_job_is_what_take_returns() -> None:
    """The fields of a job are those that the statement returns, in that order."""
    assert [*Job.__dataclass_fields__][:-1] == (
        ["number", "id", "text", "key", "prompt", "provider", "attempts"]
    )
