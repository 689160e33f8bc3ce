"""Many APIs in one system that loses nothing.

Look up many things in one API and ask a model about each in another, with a second
provider behind it, inside one budget and one rate limit, although the process is
killed with SIGKILL in the middle.

First what most tutorials show: gather, and write at the end. Then the workers of
robust_client/pipeline.py, and what the server saw. It takes about 6 seconds:

    python lessons/09_many_apis.py
    python lessons/09_many_apis.py --items 2000 --rate 50 --workers 3 --kills 20

Sample run:

    x
"""

import argparse
import asyncio
import json
import multiprocessing
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from endpoint import choose_endpoint, run_main
from mock_server import MockServer, fault
from robust_client.batch import AsyncOpenAIClient
from robust_client.costs import BudgetExceededError, CostTracker, Price, dollars
from robust_client.database import StoreError
from robust_client.dialects import AnthropicProvider, OpenAIProvider
from robust_client.errors import APIError
from robust_client.pipeline import SharedPace, StoppedError, Worker
from robust_client.report import Report, make_report
from robust_client.router import SmartRouter
from robust_client.search import RepositorySearch
from robust_client.store import Store
from tqdm import tqdm

TODAY = "2026-11-30"
PRICES = {
    "mock-small": Price(150, 600, TODAY, "made up for the mock server"),
    "mock-large": Price(300, 1200, TODAY, "made up for the mock server"),
}
LEASE = 1.0  # seconds
STOPS = (StoreError, BudgetExceededError, StoppedError, APIError)
# A process that starts in a hundredth of a second, where the system has that.
ways = multiprocessing.get_all_start_methods()
processes = multiprocessing.get_context("forkserver" if "forkserver" in ways else None)


def gather_and_write(base_url: str, key: str, topics: list[str], path: Path) -> None:
    """Do as most tutorials: ask all, and write the answers when the last one is here."""

    async def ask() -> list[str]:
        async with AsyncOpenAIClient(key, base_url, "mock-small", 5) as client:
            return await client.batch_completion(topics)

    path.write_text(json.dumps(asyncio.run(ask())), encoding="utf-8")


def work(path: Path, url: str, key: str, rate: int, budget: int) -> None:
    """Be a worker process: do jobs until none is open, or say why it stops."""

    async def run() -> None:
        account = (key, f"{url}/v1")
        providers = (
            OpenAIProvider("small", *account, "mock-small", prices=PRICES),
            AnthropicProvider("large", *account, "mock-large", prices=PRICES),
        )
        router = SmartRouter(providers, patience=0.5, pause=1.0)
        search = RepositorySearch(url)
        with Store(path, lease=LEASE) as store:
            pace, costs = SharedPace(store, rate), CostTracker(store, budget)
            await Worker(store, router, pace, costs, search.look_up).run()

    try:
        asyncio.run(run())
    except STOPS as error:
        sys.exit(f"stopped: {error}")
    except KeyboardInterrupt:
        sys.exit(1)


def start(target: Callable[..., None], *arguments: Any) -> Any:
    """Start a process that calls target."""
    process = processes.Process(target=target, args=arguments)
    process.start()
    return process


def show_plain(server: MockServer, items: int, folder: Path) -> None:
    """Let a process gather and write, and kill it when half of the work is done."""
    path = folder / "answers.json"
    topics = [f"topic {number}" for number in range(items)]
    process = start(gather_and_write, server.base_url, server.api_key, topics, path)
    while process.is_alive() and len(server.records) < items / 2:
        time.sleep(0.01)
    process.kill()
    process.join()
    print(f"  killed after half of {items} answers; on disk: {path.exists()}")


def run_workers(
    store: Store, count: int, kills: int, begin: Callable[[], Any], calm: Callable
) -> None:
    """Keep so many workers at work until they end; kill some at random moments."""
    items = sum(store.counts().values())
    moments = sorted(random.sample(range(items), kills))  # after so many jobs
    running = [begin() for _ in range(count)]
    with tqdm(total=items, unit="item") as bar:
        while alive := [process for process in running if process.is_alive()]:
            time.sleep(0.02)
            bar.n = items - store.counts()["open"]
            bar.set_postfix_str(dollars(store.spent()))
            if moments and bar.n >= moments[0]:
                moments.pop(0)
                victim = random.choice(alive)
                victim.kill()
                running[running.index(victim)] = begin()
                calm()


def seen(server: MockServer) -> dict[str, Any]:
    """Return when the models were called, and how often for each job with success."""
    calls = [one for one in server.records if one.path.startswith("/v1/")]
    done = [one for one in calls if not (one.replayed or "status" in one.fault)]
    charges = Counter(one.headers["Idempotency-Key"].partition("-")[0] for one in done)
    return {"starts": [one.received for one in calls], "charges": charges}


def show_report(report: Report, rate: int) -> None:
    """Print what became of the jobs."""
    print(
        f"  {report.answered} answered, {report.failed} failed, {report.lost} lost,"
        f" {report.doubled} doubled, {report.charged_twice} charged twice"
    )
    for reason, count in report.reasons.items():
        print(f"  {count} failed: {reason}")
    print(
        f"  at most {rate} calls in any second:"
        f" {report.most_starts_in_a_second <= rate}"
    )


def read_arguments() -> argparse.Namespace:
    """Return what was asked for on the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    numbers = {"items": 60, "rate": 20, "workers": 1, "kills": 1, "budget": 100_000}
    for name, usual in numbers.items():
        text = "default: %(default)s"
        parser.add_argument(f"--{name}", type=int, default=usual, help=text)
    parser.add_argument("--store", type=Path, help="a file to keep, and to go on with")
    parser.add_argument("--report", type=Path, help="a file for the report, as JSON")
    arguments = parser.parse_args()
    for name in numbers:
        least = 0 if name in ("kills", "budget") else 1
        if getattr(arguments, name) < least:
            parser.error(f"--{name} must be {least} or more")
    return arguments


def main() -> None:
    """Lose everything, and then nothing."""
    asked = read_arguments()
    folder = Path(tempfile.mkdtemp())
    with MockServer(latency=0.03) as server:
        choose_endpoint(server)
        print("\ngather, and write at the end")
        show_plain(server, asked.items, folder)
        server.reset()
        print(f"\nworkers and a store, {asked.kills} x SIGKILL")
        server.chaos(0.1, fault.status(503), fault.drop(), fault.status(529))
        small = server.on(path="/v1/chat/completions")
        small.reply(fault.status(503))  # until the first kill
        path = asked.store or folder / "store.db"
        ids = [f"topic-{number:04}" for number in range(asked.items)]
        begin = partial(start, work, path, server.url, server.api_key)
        begin = partial(begin, asked.rate, asked.budget)
        with Store(path, lease=LEASE) as store:
            store.add((name, name) for name in ids)
            began = time.monotonic()
            run_workers(store, asked.workers, asked.kills, begin, small.reply)
            seconds = time.monotonic() - began
            facts = seen(server) | {"seconds": seconds, "rate": asked.rate}
            report = make_report(store, ids, **facts)
        show_report(report, asked.rate)
    if asked.report:
        asked.report.write_text(json.dumps(asdict(report), indent=2), encoding="utf-8")


if __name__ == "__main__":
    run_main(main)
