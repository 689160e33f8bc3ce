"""Many APIs in one system.

Look many things up in one API and ask a model about each in another, with a second
provider behind it, inside one budget and one rate limit, and with faults on both
providers; lose nothing when processes are killed. It takes about 5 seconds:

    python lessons/09_many_apis.py
    python lessons/09_many_apis.py --items 2000 --rate 50 --workers 3 --kills 20
    python lessons/09_many_apis.py jobs.jsonl --store store.db

The last one does the jobs of a file, with a line for each: {"id": "…", "text": "…"}.

Sample run:

    Talking to: the mock server on this machine (127.0.0.1), model mock-small

    60 jobs, 20 calls a second, kills: 1
      60 answered, 0 failed, 0 open, 0 lost, 0 doubled, 0 charged twice
"""

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from endpoint import choose_endpoint, run_main
from mock_server import MockServer, fault
from robust_client.costs import CostTracker, Price
from robust_client.database import StoreError
from robust_client.dialects import AnthropicProvider, OpenAIProvider
from robust_client.jobs import read_jobs
from robust_client.pipeline import SharedPace, Worker
from robust_client.processes import Crew, run_or_explain, start
from robust_client.report import Report, make_report
from robust_client.router import SmartRouter
from robust_client.search import RepositorySearch
from robust_client.store import Store

CHAT = "/v1/chat/completions"
PRICES = {  # made up, for models that are
    "mock-small": Price(150, 600, "2026-11-30", "the mock server"),
    "mock-large": Price(300, 1200, "2026-11-30", "the mock server"),
}


def open_small(url: str, key: str) -> OpenAIProvider:
    """Return the cheap provider, which is asked first."""
    return OpenAIProvider("small", key, url, "mock-small", prices=PRICES)


async def do_jobs(path: Path, url: str, key: str, rate: int, budget: int) -> None:
    """Do the jobs of a store until none is open."""
    large = AnthropicProvider("large", key, url, "mock-large", prices=PRICES)
    router = SmartRouter((open_small(url, key), large), patience=0.5, pause=1.0)
    with Store(path, lease=1.0) as store:
        pace, costs = SharedPace(store, rate), CostTracker(store, budget)
        look_up = RepositorySearch(url).look_up
        await Worker(store, router, pace, costs, look_up).run()


def seen(server: MockServer) -> dict[str, Any]:
    """Return when models were called, and how often the server did each job."""
    # One without an identity broke off before all of it had arrived.
    records = [one for one in server.records if one.identity]
    calls = [one for one in records if one.path.startswith("/v1/")]
    done = [one for one in calls if not (one.replayed or "status" in one.fault)]
    charges = Counter(one.headers["Idempotency-Key"].partition("-")[0] for one in done)
    return {"starts": [one.received for one in calls], "charges": charges}


def run_dask(store: Store, server: MockServer, asked: argparse.Namespace) -> None:
    """Do all jobs with the first provider alone, on a cluster of Dask."""
    # It comes with `pip install -e .[scale]`.
    from robust_client.on_dask import run_local_cluster

    provider = partial(open_small, server.url, server.api_key)
    asyncio.run(run_local_cluster(store, provider, asked.rate, asked.workers))


def run_crew(store: Store, server: MockServer, asked: argparse.Namespace) -> None:
    """Do all jobs with workers; kill some, each after a random number of jobs."""
    small = server.on(path=CHAT).reply(fault.status(503))  # until the first kill
    items = store.counts()["open"]
    moments = sorted(random.sample(range(items), min(asked.kills, items)))

    def kill_some(done: int, alive: list[Any]) -> None:
        if moments and done >= moments[0]:
            moments.pop(0)
            random.choice(alive).kill()
            small.reply()

    settings = (store.path, server.url, server.api_key, asked.rate, asked.budget)
    crew = Crew(asked.workers, partial(start, run_or_explain, do_jobs, *settings))
    try:
        crew.watch(store, kill_some)
    finally:
        crew.stop()


def run_all(server: MockServer, asked: argparse.Namespace, store: Store) -> Report:
    """Do all jobs, with faults on both providers; return the report."""
    server.chaos(0.1, fault.status(503), fault.status(529), fault.drop())
    topics = [f"topic-{number:04}" for number in range(asked.items)]
    jobs = [*read_jobs(asked.jobs)] if asked.jobs else [(one, one) for one in topics]
    store.add(jobs)
    print(f"\n{len(jobs)} jobs, {asked.rate} calls a second, kills: {asked.kills}")
    run = {"crew": run_crew, "dask": run_dask}
    began = time.monotonic()
    run[asked.executor](store, server, asked)
    facts = seen(server) | {"rate": asked.rate, "seconds": time.monotonic() - began}
    return make_report(store, [name for name, _ in jobs], **facts)


def read_arguments() -> argparse.Namespace:
    """Return what was asked for on the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("jobs", nargs="?", type=Path, help="a file with jobs")
    usual = {"items": 60, "rate": 20, "workers": 1, "kills": 1, "budget": 100_000}
    for name, number in usual.items():
        parser.add_argument(f"--{name}", type=int, default=number, help=f"or {number}")
    parser.add_argument("--executor", choices=("crew", "dask"), default="crew")
    parser.add_argument("--store", type=Path, help="a file to keep, and to go on with")
    parser.add_argument("--report", type=Path, help="a file for the report, as JSON")
    asked = parser.parse_args()
    for name in usual:
        least = 0 if name in ("kills", "budget") else 1
        if getattr(asked, name) < least:
            parser.error(f"--{name} must be {least} or more")
    return asked


def main() -> None:
    """Do all jobs, and say what happened to them."""
    asked = read_arguments()
    path = asked.store or Path(tempfile.mkdtemp()) / "store.db"
    try:
        with MockServer(latency=0.03) as server, Store(path) as store:
            choose_endpoint(server)
            report = run_all(server, asked, store)
    except StoreError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    print(f"  {report}")
    if asked.report:
        asked.report.write_text(json.dumps(asdict(report), indent=2), encoding="utf-8")
    if report.open:
        sys.exit("start again with the same --store to go on")


if __name__ == "__main__":
    run_main(main)
