"""How close to the ideal a batch of calls gets: `python -m tests.benchmarks.batching`,
by hand. About five minutes.

1,000 calls to a server that takes 200 ms for each, at several limits, with the client
of lesson 04, the solution of its exercise, and others, one after the other in one run.
The server is a process of its own. The ideal is what the server's
time alone amounts to: 1,000 calls, 100 at once, are ten rounds of 0.2 s. What is
    printed is the total over this ideal.
At the end, the memory that the solution holds for 1,000 prompts, and what each of 9,000
more adds.
"""

import argparse
import asyncio
import importlib.util
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
from types import ModuleType
from typing import Any

import aiohttp
import httpx
import httpx2
import openai
from httpx_aiohttp import AiohttpTransport
from tqdm import tqdm

ROOT = Path(__file__).parents[2]
KEY = "mock-key-for-this-course"
HEADERS = {"Authorization": f"Bearer {KEY}"}
QUERY = "Why is the sky blue?"
BODY: dict[str, Any] = {
    "model": "mock-small",
    "messages": [{"role": "user", "content": QUERY}],
}
LATENCY = 0.2  # seconds
LIMITS = (10, 25, 50, 100, 200)
TO_REACH = {
    100: 1.15,
    200: 1.4,
}  # by the better of the lesson's transports, and by the solution
MANY = (1_000, 10_000)  # prompts for which the memory is compared


def load(folder: str, library: ModuleType = httpx) -> ModuleType:
    """Return the file 04_async_batching.py of a folder, with the library in the place
    of httpx.
    """
    path = ROOT / folder / "04_async_batching.py"
    spec = importlib.util.spec_from_file_location(
        f"{folder}_04_{library.__name__}", path
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules["httpx"] = library
    try:
        spec.loader.exec_module(module)
    finally:
        sys.modules["httpx"] = httpx
    return module


async def bounded(
    call: Callable[[], Awaitable[object]], count: int, limit: int
) -> None:
    """Make the call count times, with at most limit of them under way."""
    slots = asyncio.Semaphore(limit)

    async def one() -> None:
        async with slots:
            await call()

    await asyncio.gather(*(one() for _ in range(count)))


async def ours(
    base_url: str,
    count: int,
    limit: int,
    library: ModuleType = httpx,
    transport: Any = None,
) -> None:
    """The client of lesson 04."""
    async with load("lessons", library).AsyncOpenAIClient(
        KEY, base_url, limit, transport
    ) as client:
        await client.batch_completion([QUERY] * count, "Be brief.")


async def ours_on_httpx2(base_url: str, count: int, limit: int) -> None:
    """The client of lesson 04, with httpx2 in the place of httpx."""
    await ours(base_url, count, limit, httpx2)


async def ours_on_aiohttp(base_url: str, count: int, limit: int) -> None:
    """The client of lesson 04 with the transport of httpx-aiohttp."""
    await ours(
        base_url,
        count,
        limit,
        transport=AiohttpTransport(limits=httpx.Limits(max_connections=limit)),
    )


async def solution(base_url: str, count: int, limit: int) -> None:
    """The solution of exercise 04, which uses aiohttp."""
    settings = {"base_url": base_url, "api_key": KEY, "model": BODY["model"]}
    await load("solutions").ask_all(
        itertools.repeat(QUERY, count), max_concurrency=limit, **settings
    )


async def plain_httpx(
    base_url: str, count: int, limit: int, library: Any = httpx
) -> None:
    """httpx as it comes, behind a semaphore."""
    async with library.AsyncClient(headers=HEADERS, timeout=60) as client:

        async def call() -> None:
            response = await client.post(f"{base_url}/chat/completions", json=BODY)
            response.raise_for_status().json()

        await bounded(call, count, limit)


async def plain_httpx2(base_url: str, count: int, limit: int) -> None:
    """httpx2 as it comes, behind a semaphore."""
    await plain_httpx(base_url, count, limit, httpx2)


async def plain_aiohttp(base_url: str, count: int, limit: int) -> None:
    """aiohttp, behind a semaphore, with as many connections."""
    connector = aiohttp.TCPConnector(limit=limit)
    async with aiohttp.ClientSession(
        headers=HEADERS, connector=connector, raise_for_status=True
    ) as session:

        async def call() -> None:
            async with session.post(
                f"{base_url}/chat/completions", json=BODY
            ) as response:
                await response.json()

        await bounded(call, count, limit)


async def official_sdk(base_url: str, count: int, limit: int) -> None:
    """The official AsyncOpenAI, behind a semaphore; it tries nothing twice here."""
    async with openai.AsyncOpenAI(
        api_key=KEY, base_url=base_url, max_retries=0
    ) as client:
        await bounded(lambda: client.chat.completions.create(**BODY), count, limit)


CLIENTS = {
    "ours": ours,
    "ours, httpx-aiohttp": ours_on_aiohttp,
    "ours under httpx2": ours_on_httpx2,
    "solution of the exercise": solution,
    "httpx": plain_httpx,
    "httpx2": plain_httpx2,
    "aiohttp": plain_aiohttp,
    "AsyncOpenAI": official_sdk,
}


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
    with urllib.request.urlopen(
        f"{base_url.removesuffix('/v1')}/_mock/{command}", data, timeout=30
    ) as reply:
        return json.load(reply)


def measure(
    client: Callable[..., Awaitable[None]], base_url: str, count: int, limit: int
) -> tuple[float, str]:
    """Return the total over the ideal, and a mark if fewer calls than the limit were
    ever open at once.

    Raises RuntimeError if not every call was served, or if more than the limit were
    open.
    """
    control(base_url, "reset", b"")
    start = time.perf_counter()
    asyncio.run(client(base_url, count, limit))
    total = time.perf_counter() - start
    seen = control(base_url, "records")
    served, peak = [record["status"] for record in seen["records"]], seen["peak_open"]
    if served != [200] * count or peak > limit:
        raise RuntimeError(
            f"{len(served)} requests, {peak} at once: not {count}, {limit} at once"
        )
    return total / (math.ceil(count / limit) * LATENCY), "*" if peak < min(
        limit, count
    ) else ""


def memory(base_url: str, count: int, limit: int) -> int:
    """Return the most bytes that Python holds at once during so many calls of the
    solution.

    Raises RuntimeError as measure() does.
    """
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
    """Measure every client at every limit and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument(
        "--calls",
        type=int,
        default=1000,
        help="for each client and limit (%(default)s)",
    )
    count = parser.parse_args().calls
    if count < 1:
        parser.error(f"--calls must be 1 or more, not {count}")
    found: dict[str, dict[int, tuple[float, str]]] = {name: {} for name in CLIENTS}
    with (
        server_process() as base_url,
        tqdm(total=len(LIMITS) * len(CLIENTS), unit="run", leave=False) as bar,
    ):
        # all clients at one limit in turn, so that a busy moment of the machine meets
        # all alike
        for limit in LIMITS:
            for name, client in CLIENTS.items():
                bar.set_description(f"{name}, {limit} at once")
                found[name][limit] = measure(client, base_url, count, limit)
                bar.update()
        few, many = (memory(base_url, calls, 100) for calls in MANY)
    title = f"{count:,} calls of {LATENCY} s: total over ideal"
    print(f"{title:<40}" + "".join(f"{limit:>7} " for limit in LIMITS))
    for name, row in found.items():
        print(
            f"{name:<40}"
            + "".join(f"{ratio:>7.2f}{mark:<1}" for ratio, mark in row.values())
        )
    if any(mark for row in found.values() for _, mark in row.values()):
        print(
            "* the client opened fewer at once: httpx as it comes has 100 connections"
        )
    for limit, most in TO_REACH.items():
        best = min(
            row[limit][0] for name, row in found.items() if name.startswith("ours")
        )
        for name, ratio in (
            ("ours", best),
            ("solution", found["solution of the exercise"][limit][0]),
        ):
            print(
                f"{name} at {limit}: {ratio:.2f}, to reach: {most} "
                f"{'ok' if ratio <= most else 'MISSED'}"
            )
    more = (many - few) / (MANY[1] - MANY[0])
    print(
        f"solution at 100: {few / 1e6:.1f} MB for {MANY[0]:,} prompts, {more:.0f} "
        "bytes for each further one"
    )


if __name__ == "__main__":
    main()
