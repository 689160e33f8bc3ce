"""The workers of lesson 09: whatever happens, no job is lost and none is done twice."""

import asyncio
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from mock_server import MockServer, fault
from robust_client.costs import BudgetExceededError
from robust_client.dialects import OpenAIProvider
from robust_client.errors import AuthenticationError, BadRequestError, ServerError
from robust_client.pipeline import StoppedError, Worker
from robust_client.processes import Crew, start
from robust_client.report import most_in_a_second
from robust_client.retry import retry_on_error
from robust_client.search import RepositorySearch
from robust_client.store import Store

from tests.lesson_files import ROOT, environment
from tests.lessons.jobs_process import do_jobs, worker

QUICK = retry_on_error(max_retries=2, initial_delay=0.001, jitter=False)
CHAT = "/v1/chat/completions"


def charges(server: MockServer) -> Counter:
    """Return how often the server carried out each job, whatever the client saw."""
    done = [
        one
        for one in server.records
        if one.path.startswith("/v1/")
        and one.identity  # else the client was gone before all of it had arrived
        and not (one.replayed or "status" in one.fault)
    ]
    return Counter(one.headers["Idempotency-Key"].partition("-")[0] for one in done)


def run(store: Store, server: MockServer, **options: Any) -> Worker:
    """Let one worker do all jobs of a store."""
    one = worker(store, server.url, **options)
    one.router._retry = QUICK
    asyncio.run(one.run())
    return one


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store with ten jobs."""
    with Store(tmp_path / "store.db", lease=0.3) as fresh:
        fresh.add((f"job {number}", f"text {number}") for number in range(10))
        yield fresh


# --- one worker -----------------------------------------------------------------------


def test_all_jobs_under_faults(store: Store, server: MockServer) -> None:
    """With faults everywhere each job gets its own answer, and is charged once."""
    server.chaos(0.3, fault.status(503), fault.drop(), fault.status(529))
    search = RepositorySearch(server.url)
    run(store, server, look_up=search.look_up)
    answers = dict(store.answers())
    assert len(answers) == 10
    for name, answer in answers.items():
        number = name.removeprefix("job ")
        asked = f"In one sentence: what is mock/text {number}-01?"
        assert answer == f"This is a mock answer to: {asked}"
    assert set(charges(server).values()) == {1} and len(charges(server)) == 10
    costs = store.read("SELECT total(cost) FROM jobs").fetchone()[0]
    assert costs == store.spent() > 0


def test_wrong_request_fails_alone(store: Store, server: MockServer) -> None:
    """What can never succeed is a failed job with its reason; the others go on."""

    async def look_up(text: str) -> str:
        if text == "text 3":
            raise BadRequestError("no such thing")
        return text

    run(store, server, look_up=look_up)
    assert store.counts() == {"open": 0, "answered": 9, "failed": 1}
    reasons = store.read("SELECT id, error FROM jobs WHERE error > ''").fetchall()
    assert reasons == [("job 3", "BadRequestError: no such thing")]


def test_wrong_key_stops_and_loses_nothing(store: Store, server: MockServer) -> None:
    """A wrong key ends the run with the server's words; a right one goes on."""
    one = worker(store, server.url)
    one.router.providers[0]._api_key = "wrong"
    with pytest.raises(AuthenticationError):
        asyncio.run(one.run())
    assert store.counts()["open"] == 10
    assert all(record.path == CHAT for record in server.records), "it was hidden"
    run(store, server)
    assert store.counts()["answered"] == 10


def test_budget_of_nothing(store: Store, server: MockServer) -> None:
    """With a budget of 0 nothing is sent; with more money it goes on."""
    with pytest.raises(BudgetExceededError, match=r"budget of \$0.000000"):
        run(store, server, budget=0)
    assert server.records == [] and store.counts()["open"] == 10
    with pytest.raises(BudgetExceededError):
        run(store, server, budget=200)
    assert 0 < store.counts()["answered"] < 10 and store.spent() <= 200
    run(store, server, budget=5000)
    assert store.counts()["answered"] == 10


def test_both_providers_dead(store: Store, server: MockServer) -> None:
    """With nobody to ask, the worker stops with a sentence, and every job waits."""
    with MockServer() as gone:
        pass
    with pytest.raises(StoppedError, match="small: no whole reply, large: no whole"):
        run(store, gone, patience=0.2)
    assert store.counts()["open"] == 10 and store.spent() == 0
    run(store, server)
    assert store.counts()["answered"] == 10


def test_job_that_always_fails(store: Store, server: MockServer) -> None:
    """A job that no provider can do is given up; the others are answered."""
    server.on(model="mock-small").reply()

    async def look_up(text: str) -> str:
        if text == "text 0":
            raise ServerError("always")
        return text

    one = worker(store, server.url, look_up=look_up)
    store._db.execute("UPDATE jobs SET attempts = 12 WHERE id = 'job 0'")
    asyncio.run(one.run())
    assert store.counts() == {"open": 0, "answered": 9, "failed": 1}


def test_unknown_model_is_an_error_before_a_call(server: MockServer) -> None:
    """A model without a price cannot be used by mistake."""
    with pytest.raises(ValueError, match="no price for the model 'mock-small'"):
        OpenAIProvider("small", "key", server.url, "mock-small")


def test_cancelled_worker_leaves_a_store_that_goes_on(
    store: Store, server: MockServer
) -> None:
    """After Ctrl-C the jobs under way are free at once, and are not charged twice."""
    server.latency = 0.2

    async def stop_soon() -> None:
        task = asyncio.create_task(worker(store, server.url).run())
        while len(server.records) < 5:
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()

    asyncio.run(stop_soon())
    assert store.counts()["open"] == 10 and store.take("other").id == "job 0"
    server.latency = 0.0
    store._db.execute("UPDATE jobs SET lease = 0")
    run(store, server)
    assert store.counts()["answered"] == 10 and set(charges(server).values()) == {1}
    (resent,) = store.read("SELECT total(resent) FROM jobs").fetchone()
    assert resent == 6, "five calls were under way, and one job was taken by hand"


# --- several processes ----------------------------------------------------------------


def check(server: MockServer, path: Path, count: int) -> None:
    """Check that each of count jobs has one answer, its own, and one charge."""
    with Store(path) as store:
        answers = dict(store.answers())
        assert store.counts() == {"open": 0, "answered": count, "failed": 0}
        spent, costs = store.spent(), store.read("SELECT total(cost) FROM jobs")
        assert spent == costs.fetchone()[0]
    for number in range(count):
        wanted = f"This is a mock answer to: text {number}"
        assert answers[f"job {number}"] == wanted
    assert len(charges(server)) == count
    twice = [
        (one.headers["Idempotency-Key"], one.status, one.fault, one.end, one.replayed)
        for one in server.records
        if charges(server)[one.headers["Idempotency-Key"].partition("-")[0]] > 1
    ]
    assert not twice, f"charged twice: {twice}"


@pytest.mark.parametrize("count", [2, 3, 5])
def test_processes_share_a_store(tmp_path: Path, count: int) -> None:
    """Processes that make and use one store at once do each job once, in one pace."""
    path = tmp_path / "store.db"
    with MockServer(latency=0.01) as server:
        began = [start(do_jobs, path, server.url, 30, 20) for _ in range(count)]
        for process in began:
            process.join(20)
        assert [process.exitcode for process in began] == [0] * count
        check(server, path, 30)
        most = most_in_a_second([one.received for one in server.records])
        assert most <= 28, f"{most} calls in a second, 20 allowed by each process?"


def test_twenty_kills(tmp_path: Path) -> None:
    """20 x kill -9 at random moments: nothing lost, nothing doubled or paid twice."""
    path, dice = tmp_path / "store.db", random.Random(20)
    with MockServer(latency=0.02) as server:
        server.chaos(0.1, fault.status(503), fault.drop())
        crew = Crew(2, lambda: start(do_jobs, path, server.url, 80, 1000))
        for number in range(20):
            began, seen = time.monotonic(), len(server.records)
            while len(server.records) <= seen + 3 and time.monotonic() < began + 5:
                time.sleep(0.005)
            time.sleep(dice.random() * 0.02)
            alive = crew.tend()
            assert alive, f"all jobs were done before kill {number}"
            dice.choice(alive).kill()
        while crew.tend():
            time.sleep(0.02)
        check(server, path, 80)


def test_ctrl_c_and_a_second_start(tmp_path: Path) -> None:
    """Ctrl-C ends the script with one word; a second start with the store goes on."""
    path = tmp_path / "store.db"
    script = [sys.executable, str(ROOT / "lessons" / "09_many_apis.py")]
    script += ["--items", "40", "--rate", "20", "--kills", "0", "--store", str(path)]
    options = {"env": environment(), "stderr": subprocess.PIPE, "encoding": "utf-8"}
    options |= {"stdout": subprocess.DEVNULL, "start_new_session": True}
    with subprocess.Popen(script, **options) as process:
        deadline = time.monotonic() + 40
        while time.monotonic() < deadline:
            time.sleep(0.05)
            if path.exists():
                with Store(path) as store:
                    if store.counts()["answered"]:
                        break
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=20)
    assert process.returncode == 1 and said.rstrip().endswith("stopped"), said
    assert "Traceback" not in said
    with MockServer() as server, Store(path) as store:
        before = store.counts()
        assert 0 < before["answered"] < 40
        run(store, server)
        assert store.counts()["answered"] == 40
        assert len(server.records) == before["open"]
