"""A worker process for the tests: a module that a fork server can import."""

import asyncio
from pathlib import Path

from robust_client.costs import CostTracker, Price
from robust_client.dialects import AnthropicProvider, OpenAIProvider
from robust_client.pipeline import SharedPace, Worker
from robust_client.router import SmartRouter
from robust_client.store import Store

KEY = "mock-key-for-this-course"
PRICES = {
    "mock-small": Price(150, 600, "2026-11-30", "the mock server"),
    "mock-large": Price(300, 1200, "2026-11-30", "the mock server"),
}


def providers(url: str, **options: object) -> list:
    """Return both dialects of a mock server."""
    small = OpenAIProvider("small", KEY, url, "mock-small", prices=PRICES, **options)
    large = AnthropicProvider("large", KEY, url, "mock-large", prices=PRICES, **options)
    return [small, large]


def worker(store: Store, url: str, rate: int = 1000, budget: int | None = None, **more):
    """Return a worker for a store that does five jobs at a time."""
    router = SmartRouter(providers(url), pause=0.2, patience=0.1)
    facts = (router, SharedPace(store, rate), CostTracker(store, budget))
    return Worker(store, *facts, max_concurrency=5, **more)


def do_jobs(path: Path, url: str, count: int, rate: int) -> None:
    """Open or make a store with so many jobs, and do them."""
    with Store(path, lease=0.3) as store:
        store.add((f"job {number}", f"text {number}") for number in range(count))
        asyncio.run(worker(store, url, rate).run())


def open_small(url: str) -> OpenAIProvider:
    """Return the first provider alone."""
    return providers(url)[0]
