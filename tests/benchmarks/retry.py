"""What a retry decorator costs while nothing fails: robust_client, the solution of 06,
tenacity and stamina, in one run.

    python -m tests.benchmarks.retry
    python -m tests.benchmarks.retry --calls 100000 --rounds 9

Each decorator wraps the same function, which does nothing, and gets the same job: four
tries, backoff with jitter. The rounds go through all candidates in turn, so that a busy
moment of the machine hits all of them; the best counts.
"""

import argparse
import asyncio
import importlib.metadata
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import stamina
import tenacity
from robust_client import retry
from robust_client.errors import APIError
from tqdm import tqdm

from tests.lesson_files import load

SOLUTION = Path(__file__).parents[2] / "solutions" / "06_retry_decorator.py"
LIBRARIES = ("tenacity", "stamina")
GOAL = 0.1  # of the cost of either library


OURS = {"robust_client": retry, "solution 06": load(SOLUTION)}


def answer() -> int:
    """Return at once."""
    return 42


async def answer_async() -> int:
    """Return at once, without giving the event loop a turn."""
    return 42


def candidates(function: Callable[[], Any]) -> dict[str, Callable[[], Any]]:
    """Return the function bare and under each decorator."""
    by_tenacity = tenacity.retry(
        retry=tenacity.retry_if_exception_type(APIError),
        stop=tenacity.stop_after_attempt(4),
        wait=tenacity.wait_random_exponential(max=60),
        reraise=True,
    )
    return {
        "bare": function,
        **{name: module.retry_on_error()(function) for name, module in OURS.items()},
        "tenacity": by_tenacity(function),
        "stamina": stamina.retry(on=APIError, attempts=4)(function),
    }


def time_calls(function: Callable[[], Any], calls: int) -> float:
    """Return the nanoseconds that one call takes."""
    start = time.perf_counter_ns()
    for _ in range(calls):
        function()
    return (time.perf_counter_ns() - start) / calls


def time_awaits(function: Callable[[], Any], calls: int) -> float:
    """Return the nanoseconds that one awaited call takes, all of them in one task."""

    async def run() -> float:
        start = time.perf_counter_ns()
        for _ in range(calls):
            await function()
        return (time.perf_counter_ns() - start) / calls

    return asyncio.run(run())


def measure(calls: int, rounds: int) -> dict[str, dict[str, float]]:
    """Return the best nanoseconds per call, by kind of function and by decorator."""
    kinds = {
        "def": (time_calls, candidates(answer)),
        "async def": (time_awaits, candidates(answer_async)),
    }
    best: dict[str, dict[str, float]] = {kind: {} for kind in kinds}
    for _ in tqdm(range(rounds), unit="round", leave=False, disable=None):
        for kind, (timer, functions) in kinds.items():
            for name, function in functions.items():
                took = timer(function, calls)
                best[kind][name] = min(took, best[kind].get(name, took))
    return best


def main() -> None:
    """Read the command line, measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--calls", type=int, default=20_000, help="calls in a round")
    parser.add_argument("--rounds", type=int, default=7, help="the best one counts")
    options = parser.parse_args()
    best = measure(options.calls, options.rounds)
    versions = [f"{name} {importlib.metadata.version(name)}" for name in LIBRARIES]
    print(f"Python {platform.python_version()}, {', '.join(versions)}:", end=" ")
    print(f"best of {options.rounds} rounds of {options.calls:,} calls")
    print(f"{'':<27}ns a call    added   {', '.join(OURS)} / theirs")
    ratios = []
    for kind, times in best.items():
        for name, took in times.items():
            shares = [times[own] / took for own in OURS] if name in LIBRARIES else []
            ratios += shares
            row = f"{kind:<11}{name:<16}{took:>9.0f}{took - times['bare']:>9.0f}   "
            print((row + ", ".join(f"{share:.3f}" for share in shares)).rstrip())
    verdict = "reached" if max(ratios) <= GOAL else "missed"
    print(f"goal, at most {GOAL} of either: {verdict}")


if __name__ == "__main__":
    main()
