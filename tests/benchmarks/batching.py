"""How close to the ideal a batch of calls gets: `python -m tests.benchmarks.batching`,
by hand. About three minutes.

1,000 calls to a server that takes 0.2 s for each, at several limits: with the client of
lesson 04, the solution of its exercise, and others, one after the other in one run. The
server is a process of its own. The ideal is the server's time alone: 1,000 calls, 100
at once, are ten rounds of 0.2 s. What is printed is the total over this ideal, the
better of two; then the goals, which are ratios within this run.
At the end, the memory that the solution holds for 1,000 prompts, and what each of 9,000
more adds.
"""

import argparse
import asyncio
import itertools
import json
import math
import subprocess
import sys
import time
import tracemalloc
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import openai
from httpx_aiohttp import AiohttpTransport
from robust_client.batch import AsyncOpenAIClient
from tqdm import tqdm

from tests.lesson_files import load

SOLUTION = Path(__file__).parents[2] / "solutions" / "04_async_batching.py"
KEY = "mock-key-for-this-course"
HEADERS = {"Authorization": f"Bearer {KEY}"}
MODEL, QUERY, PROMPT = "mock-small", "Why is the sky blue?", "Be brief."
MESSAGES = [{"role": "system", "content": PROMPT}, {"role": "user", "content": QUERY}]
BODY: dict[str, Any] = {"model": MODEL, "messages": MESSAGES}
LATENCY = 0.2  # seconds
LIMITS = (25, 50, 100, 200)
MANY = (1_000, 10_000)  # prompts for which the memory is compared
# Who, at what limit, may take how many times as long as whom.
GOALS = [
    *(("ours, httpx-aiohttp", limit, 1.08, "aiohttp") for limit in (100, 200)),
    *(("ours", limit, 1.0, "AsyncOpenAI") for limit in LIMITS),
    *(("solution", limit, most, "ideal") for limit, most in ((100, 1.15), (200, 1.4))),
]


async def ours(base_url: str, count: int, limit: int, transport: Any = None) -> None:
    """The client of lesson 04."""
    client = AsyncOpenAIClient(KEY, base_url, MODEL, limit, transport)
    async with client:
        await client.batch_completion([QUERY] * count, PROMPT)


async def ours_on_aiohttp(base_url: str, count: int, limit: int) -> None:
    """The same with the transport of httpx-aiohttp."""
    limits = httpx.Limits(max_connections=limit)
    await ours(base_url, count, limit, AiohttpTransport(limits=limits))


async def solution(base_url: str, count: int, limit: int) -> None:
    """The solution of exercise 04, which uses aiohttp."""
    settings = {"base_url": base_url, "api_key": KEY, "model": MODEL}
    prompts = itertools.repeat(QUERY, count)
    await SOLVED.ask_all(prompts, max_concurrency=limit, **settings)


async def bounded(call: Callable[[], Awaitable], count: int, limit: int) -> None:
    """Make the call count times, with at most limit of them under way."""
    slots = asyncio.Semaphore(limit)

    async def one() -> None:
        async with slots:
            await call()

    await asyncio.gather(*(one() for _ in range(count)))


async def plain_httpx(base_url: str, count: int, limit: int) -> None:
    """httpx as it comes, behind a semaphore."""
    async with httpx.AsyncClient(headers=HEADERS, timeout=60) as client:

        async def call() -> None:
            reply = await client.post(f"{base_url}/chat/completions", json=BODY)
            reply.raise_for_status().json()

        await bounded(call, count, limit)


async def plain_aiohttp(base_url: str, count: int, limit: int) -> None:
    """aiohttp, behind a semaphore, with as many connections."""
    options = {"headers": HEADERS, "connector": aiohttp.TCPConnector(limit=limit)}
    async with aiohttp.ClientSession(raise_for_status=True, **options) as session:

        async def call() -> None:
            url = f"{base_url}/chat/completions"
            async with session.post(url, json=BODY) as response:
                await response.json()

        await bounded(call, count, limit)


async def official_sdk(base_url: str, count: int, limit: int) -> None:
    """The official AsyncOpenAI, behind a semaphore; it tries nothing twice here."""
    options = {"api_key": KEY, "base_url": base_url, "max_retries": 0}
    async with openai.AsyncOpenAI(**options) as client:
        create = client.chat.completions.create
        await bounded(lambda: create(**BODY), count, limit)


CLIENTS = {
    "ours": ours,
    "ours, httpx-aiohttp": ours_on_aiohttp,
    "solution": solution,
    "httpx": plain_httpx,
    "aiohttp": plain_aiohttp,
    "AsyncOpenAI": official_sdk,
}


SOLVED = load(SOLUTION)


@contextmanager
def server_process() -> Iterator[str]:
    """Run the mock server in a process of its own; yield its base URL."""
    command = [sys.executable, "-m", "mock_server", "--latency", str(LATENCY)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process.stdout.readline().split()[0]
        finally:
            process.terminate()


def control(base_url: str, command: str, data: bytes | None = None) -> Any:
    """Send a command to the mock server; return its reply."""
    url = f"{base_url.removesuffix('/v1')}/_mock/{command}"
    with urllib.request.urlopen(url, data, timeout=30) as reply:
        return json.load(reply)


def measure(client: Callable, base_url: str, count: int, limit: int) -> float:
    """Return the total over the ideal.

    Raises RuntimeError if not every call was served, or more than limit were open.
    """
    control(base_url, "reset", b"")
    start = time.perf_counter()
    asyncio.run(client(base_url, count, limit))
    total = time.perf_counter() - start
    seen = control(base_url, "records")
    served, peak = [record["status"] for record in seen["records"]], seen["peak_open"]
    if served != [200] * count or peak > limit:
        raise RuntimeError(f"{len(served)} of {count} requests, {peak} at once")
    return total / (math.ceil(count / limit) * LATENCY)


def memory(base_url: str, count: int, limit: int) -> int:
    """Return the most bytes that Python holds at once during calls of the solution."""
    peaks = []

    async def traced(*arguments: Any) -> None:
        tracemalloc.start()
        try:
            await solution(*arguments)
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()

    measure(traced, base_url, count, limit)
    return peaks[0]


def main() -> None:
    """Measure every client at every limit; print the table and the goals."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    told = "for each client and limit (%(default)s)"
    parser.add_argument("--calls", type=int, default=1000, help=told)
    count = parser.parse_args().calls
    if count < 1:
        parser.error(f"--calls must be 1 or more, not {count}")
    found: dict[str, dict[int, float]] = {name: {} for name in CLIENTS}
    # All clients at one limit in turn: a busy moment of the machine meets all alike.
    runs = [(n, name) for n in LIMITS for _ in range(2) for name in CLIENTS]
    with server_process() as base_url:
        for limit, name in tqdm(runs, unit="run", leave=False, disable=None):
            ratio = measure(CLIENTS[name], base_url, count, limit)
            found[name][limit] = min(ratio, found[name].get(limit, math.inf))
        few, many = (memory(base_url, calls, 100) for calls in MANY)
    title = f"{count:,} calls of {LATENCY} s: total over ideal"
    print(f"{title:<42}" + "".join(f"{limit:>7}" for limit in LIMITS))
    for name, row in found.items():
        print(f"{name:<42}" + "".join(f"{ratio:>7.2f}" for ratio in row.values()))
    for name, limit, most, other in GOALS:
        ratio = found[name][limit] / found.get(other, {}).get(limit, 1.0)
        verdict = "ok" if ratio <= most else "MISSED"
        print(f"{name} at {limit}: {ratio:.2f} of {other}, at most {most}: {verdict}")
    more = (many - few) / (MANY[1] - MANY[0])
    print(f"memory of the solution: {few / 1e6:.1f} MB, {more:.0f} bytes a prompt more")


if __name__ == "__main__":
    main()
