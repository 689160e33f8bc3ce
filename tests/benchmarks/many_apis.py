"""What is lost, doubled and paid again when programs are killed. By hand:

    python -m tests.benchmarks.many_apis --items 2000 --rate 50 --kills 50

Each program asks the same mock server about the same items, inside the same limit. Its
process is killed at random moments, and started again until it ends by itself. Then
the server and the program's file are read:

    lost      items without an answer in the file
    doubled   items with more than one answer there
    again     calls carried out for an item that was answered before
    fullest   the most calls in any second; the limit is --rate
    wall      seconds over the ideal, which is items / rate

Our store also takes several processes at once: `--only ours --processes 3`.

async-batch-llm and DBOS are not in requirements.txt. Make an environment of their own,
with pyrate-limiter and `pip install -e .` as well, and give its Python with --python.
"""

import argparse
import asyncio
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

LATENCY, AT_ONCE = 0.05, 10  # seconds; calls
Ask = Callable[[str], Awaitable[str]]

# --- the programs: each is a process of its own ---------------------------------------


async def ask(http: Any, item: str) -> str:
    """Return the answer about an item; the program knows no Idempotency-Key."""
    body = {"model": "mock-small", "messages": [{"role": "user", "content": item}]}
    reply = await http.post("/v1/chat/completions", json=body)
    return reply.raise_for_status().json()["choices"][0]["message"]["content"]


def open_http(url: str) -> Any:
    """Return a client of httpx that sends the key."""
    import httpx

    headers = {"Authorization": "Bearer mock-key-for-this-course"}
    return httpx.AsyncClient(base_url=url, headers=headers, timeout=30)


async def run_workers(items: list[str], do: Callable) -> None:
    """Call do for each item, so many at once."""
    turns = iter(items)

    async def work() -> None:
        for item in turns:
            await do(item)

    await asyncio.gather(*[work() for _ in range(AT_ONCE)])


async def gather(path: Path, url: str, items: list[str], rate: int) -> None:
    """Gather all answers, and write them at the end."""
    from robust_client.limits import RateLimiter

    limiter, answers = RateLimiter(rate, 1.0), {}
    async with open_http(url) as http:

        async def do(item: str) -> None:
            await limiter.acquire_async()
            answers[item] = await ask(http, item)

        await run_workers(items, do)
    path.write_text("\n".join(json.dumps(pair) for pair in answers.items()))


async def append(path: Path, items: list[str], acquire: Callable, url: str) -> None:
    """Append each answer to a file; a new start leaves out those that it can read."""
    done = {name for name, _ in read_lines(path)}
    async with open_http(url) as http:
        with path.open("a") as file:

            async def do(item: str) -> None:
                await acquire()
                json.dump([item, await ask(http, item)], file)
                file.write("\n")

            await run_workers([item for item in items if item not in done], do)


async def jsonl(path: Path, url: str, items: list[str], rate: int) -> None:
    """Append with lesson 08's limiter, which forgets everything at a kill."""
    from robust_client.limits import RateLimiter

    await append(path, items, RateLimiter(rate, 1.0).acquire_async, url)


async def pyrate(path: Path, url: str, items: list[str], rate: int) -> None:
    """Append with pyrate-limiter's bucket in a file of SQLite."""
    from pyrate_limiter import Limiter, Rate
    from pyrate_limiter.buckets import SQLiteBucket

    bucket = SQLiteBucket.init_from_file([Rate(rate, 1000)], db_path=f"{path}.bucket")
    limiter = Limiter(bucket)

    async def acquire() -> None:
        await limiter.try_acquire_async("calls")

    await append(path, items, acquire, url)


async def async_batch_llm(path: Path, url: str, items: list[str], rate: int) -> None:
    """Let async-batch-llm resume from its own checkpoints."""
    import async_batch_llm as abl
    from async_batch_llm.sqlite_artifacts import SqliteArtifactStore

    async with open_http(url) as http:

        async def invoke(prompt: str, **_: Any) -> abl.CallOutcome:
            return abl.CallOutcome(await ask(http, prompt))

        identity = abl.ArtifactIdentity(provider="mock", model="mock-small")
        batch = await abl.process_prompts(
            abl.CallableStrategy(invoke, identity=identity),
            [(item, item) for item in items],
            config=abl.ProcessorConfig(
                concurrency=AT_ONCE, max_requests_per_minute=rate * 60
            ),
            artifact_store=SqliteArtifactStore(f"{path}.artifacts", identity=identity),
            resume=abl.ResumePolicy.REUSE_SUCCESSES,
        )
    lines = [json.dumps([one.item_id, one.output]) for one in batch.results]
    path.write_text("\n".join(lines))


async def dbos(path: Path, url: str, items: list[str], rate: int) -> None:
    """Let DBOS do a workflow for each item, from a queue with a limit, in SQLite."""
    from dbos import DBOS, SetWorkflowID

    database = f"sqlite:///{path}.dbos"
    DBOS(config={"name": "bench", "system_database_url": database})
    async with open_http(url) as http:

        @DBOS.step()
        async def call(item: str) -> str:
            return await ask(http, item)

        @DBOS.workflow()
        async def job(item: str) -> str:
            return await call(item)

        DBOS.launch()
        await DBOS.register_queue_async(
            "calls",
            worker_concurrency=AT_ONCE,
            limiter={"limit": rate, "period": 1.0},
            polling_interval_sec=0.05,
        )
        handles = []
        for item in items:
            with SetWorkflowID(item):
                handles.append(await DBOS.enqueue_workflow_async("calls", job, item))
        answers = [await handle.get_result() for handle in handles]
    lines = [json.dumps(pair) for pair in zip(items, answers, strict=True)]
    path.write_text("\n".join(lines))
    DBOS.destroy()


async def ours(path: Path, url: str, items: list[str], rate: int) -> None:
    """Do the jobs of a store."""
    from robust_client.store import Store

    from tests.lessons.jobs_process import worker

    with Store(f"{path}.store", lease=1.0) as store:
        store.add((item, item) for item in items)
        one = worker(store, url, rate)
        one.max_concurrency = AT_ONCE
        await one.run()
        lines = [json.dumps(pair) for pair in store.answers()]
    path.write_text("\n".join(lines))


PROGRAMS = {
    one.__name__: one for one in (gather, jsonl, pyrate, async_batch_llm, dbos, ours)
}

# --- the killing and the counting -----------------------------------------------------


def read_lines(path: Path) -> list[tuple[str, str]]:
    """Return the answers in a file, and leave out what is torn."""
    found = []
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            name, answer = json.loads(line)
            found.append((name, answer))
        except ValueError:
            continue
    return found


def run_and_kill(
    server: Any, command: list[str], asked: argparse.Namespace, patience: float
) -> tuple[float, bool]:
    """Run a program, kill it at random moments, start it again until it ends.

    Of several processes, any one is killed. Returns the seconds, and whether all of
    them ended within the patience.
    """
    began, dice = time.monotonic(), random.Random(asked.kills)
    each = asked.items / (asked.kills + 1)
    ends = [dice.uniform(0.5, 1.5) * each for _ in range(asked.kills)]
    crew = [subprocess.Popen(command) for _ in range(asked.processes)]
    seen = 0
    while time.monotonic() - began < patience:
        time.sleep(0.01)
        working = [one for one in crew if one.poll() is None]
        if not working:
            return time.monotonic() - began, not any(one.returncode for one in crew)
        if ends and len(server.records) - seen > ends[0]:
            killed = dice.choice(working)
            killed.kill()
            killed.wait()
            seen = len(server.records)
            ends.pop(0)
            crew[crew.index(killed)] = subprocess.Popen(command)
    for one in crew:
        one.kill()
        one.wait()
    return time.monotonic() - began, False


def measure(name: str, asked: argparse.Namespace, folder: Path) -> str:
    """Run one program, and return its row of the table."""
    from mock_server import MockServer
    from robust_client.report import most_in_a_second

    path, ideal = folder / name, asked.items / asked.rate
    python = sys.executable if name == "ours" else asked.python
    with MockServer(latency=LATENCY) as server:
        command = [python, "-m", "tests.benchmarks.many_apis", "--program", name]
        command += [str(path), server.url, str(asked.items), str(asked.rate)]
        patience = asked.patience * ideal
        seconds, is_done = run_and_kill(server, command, asked, patience)
        calls = [one for one in server.records if one.identity]
    again = sum(not one.replayed for one in calls) - asked.items
    found = Counter(item for item, _ in read_lines(path))
    lost, doubled = asked.items - len(found), sum(n > 1 for n in found.values())
    most = most_in_a_second([one.received for one in calls])
    wall = f"{seconds / ideal:.2f}" if is_done else "not done"
    return f"{name:<16}{lost:>6}{doubled:>9}{again:>7}{most:>9}   {wall}"


def read_arguments() -> argparse.Namespace:
    """Return what was asked for on the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    usual = {"items": 400, "rate": 50, "kills": 10, "patience": 5, "processes": 1}
    for name, number in usual.items():
        parser.add_argument(f"--{name}", type=int, default=number)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--only", nargs="*", choices=PROGRAMS, default=[*PROGRAMS])
    return parser.parse_args()


def main() -> None:
    """Print the table, a row for each program."""
    asked = read_arguments()
    print(f"{asked.items} items, {asked.rate} a second, {asked.kills} x kill -9")
    print(f"{'':<16}{'lost':>6}{'doubled':>9}{'again':>7}{'fullest':>9}   wall")
    with tempfile.TemporaryDirectory() as folder:
        for name in asked.only:
            print(measure(name, asked, Path(folder)), flush=True)


if __name__ == "__main__":
    if "--program" in sys.argv:
        _, _, name, path, url, count, rate = sys.argv
        items = [f"item {number:05}" for number in range(int(count))]
        os.environ["NO_PROXY"] = "127.0.0.1"
        asyncio.run(PROGRAMS[name](Path(path), url, items, int(rate)))
    else:
        main()
