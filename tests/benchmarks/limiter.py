"""How exact rate limiters are, and what they cost. By hand, in about two minutes:

    python -m tests.benchmarks.limiter

Eight workers, threads or tasks, start calls as fast as a limiter lets them, for five
periods. For robust_client, the solution of exercise 08, aiolimiter and pyrate-limiter,
one after the other, it prints

    admitted    calls started in five periods, over the ideal of 5 N
    worst       the most calls in any window [t, t + period); the limit is N
    late        how long after four periods the last of the fifth N starts, in ms

and the cost of an acquire that finds a free start. `admitted` and `worst` are the worst
of several rounds, `late` is the best, with the median behind it: a busy machine adds
delays and takes none away.

The starts of ours are read off their own clock, which we give them: what they do is
exact or is not, whatever the machine does to the worker afterwards. The others take no
clock, so their workers note the time, and their windows are counted 1 ms shorter.
"""

import argparse
import asyncio
import statistics
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from aiolimiter import AsyncLimiter
from pyrate_limiter import Limiter, Rate
from robust_client.limits import RateLimiter
from tqdm import tqdm

from tests.lesson_files import load

WORKERS, PERIODS = 8, 5
LIMITS = (10, 50, 200)
# Milliseconds, with 50 calls in a period: a timer of an event loop ends up to 1 ms
# late, and each period waits for one.
LATEST = 10.0


SOLUTION = Path(__file__).parents[2] / "solutions" / "08_rate_limiter.py"
OURS = {"robust_client": RateLimiter, "solution": load(SOLUTION).RateLimiter}


class NotingClock:
    """time.monotonic; last() is what it said last in this thread, when ours let go."""

    def __init__(self) -> None:
        self._said = threading.local()

    def __call__(self) -> float:
        self._said.last = now = time.monotonic()
        return now

    def last(self) -> float:
        """Return the last reading in this thread."""
        return self._said.last


class Result(NamedTuple):
    """One run: calls over the ideal, calls in the worst window, milliseconds."""

    admitted: float
    worst: int
    late: float


def run_threads(
    acquire: Callable[[], Any], note: Callable[[], float], period: float
) -> list[float]:
    """Let eight threads start calls for five periods; return when they started."""
    starts: list[float] = []
    deadline = time.monotonic() + PERIODS * period

    def work() -> None:
        while time.monotonic() < deadline:
            acquire()
            starts.append(note())

    threads = [threading.Thread(target=work) for _ in range(WORKERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(starts)


async def run_tasks(
    acquire: Callable[[], Any], note: Callable[[], float], period: float
) -> list[float]:
    """Let eight tasks start calls for five periods; return when they started."""
    starts: list[float] = []

    async def work() -> None:
        while True:
            await acquire()
            starts.append(note())

    tasks = [asyncio.create_task(work()) for _ in range(WORKERS)]
    await asyncio.sleep(PERIODS * period)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    return sorted(starts)


def worst_window(starts: list[float], period: float) -> int:
    """Return the most starts in any window [t, t + period); they are in order."""
    worst = first = 0
    for number, start in enumerate(starts):
        while start - starts[first] >= period:
            first += 1
        worst = max(worst, number - first + 1)
    return worst


def judge(starts: list[float], limit: int, period: float, slack: float = 0.0) -> Result:
    """Return what the starts come to; windows are counted slack seconds shorter."""
    ideal, begin = PERIODS * limit, starts[0]
    admitted = sum(start < begin + PERIODS * period for start in starts)
    end = starts[ideal - 1] if len(starts) >= ideal else begin + PERIODS * period
    late = end - begin - (PERIODS - 1) * period
    return Result(admitted / ideal, worst_window(starts, period - slack), 1000 * late)


def ours(whose: str, is_async: bool, limit: int, period: float) -> Result:
    """Measure one of ours."""
    clock = NotingClock()
    limiter = OURS[whose](limit, period, clock=clock)
    if is_async:
        starts = asyncio.run(run_tasks(limiter.acquire_async, clock.last, period))
    else:
        starts = run_threads(limiter.acquire, clock.last, period)
    return judge(starts, limit, period)


def aiolimiter(limit: int, period: float) -> Result:
    """Measure aiolimiter, which knows tasks only."""

    async def run() -> list[float]:
        acquire = AsyncLimiter(limit, period).acquire
        return await run_tasks(acquire, time.monotonic, period)

    return judge(asyncio.run(run()), limit, period, slack=0.001)


def pyrate(is_async: bool, limit: int, period: float) -> Result:
    """Measure pyrate-limiter."""
    with Limiter(Rate(limit, int(1000 * period))) as limiter:
        if is_async:
            acquire = limiter.try_acquire_async
            starts = asyncio.run(run_tasks(acquire, time.monotonic, period))
        else:
            starts = run_threads(limiter.try_acquire, time.monotonic, period)
    return judge(starts, limit, period, slack=0.001)


CONTENDERS = {
    "robust_client, threads": partial(ours, "robust_client", False),
    "robust_client, asyncio": partial(ours, "robust_client", True),
    "solution, threads": partial(ours, "solution", False),
    "solution, asyncio": partial(ours, "solution", True),
    "pyrate-limiter, threads": partial(pyrate, False),
    "pyrate-limiter, asyncio": partial(pyrate, True),
    "aiolimiter, asyncio": aiolimiter,
}


async def cost_of(acquire: Callable[[], Any], is_async: bool, count: int) -> float:
    """Return the nanoseconds of one call that need not wait."""
    began = time.perf_counter_ns()
    if is_async:
        for _ in range(count):
            await acquire()
    else:
        for _ in range(count):
            acquire()
    return (time.perf_counter_ns() - began) / count


async def free_costs(rounds: int = 30, count: int = 5000) -> dict[str, float]:
    """Return the nanoseconds of a free acquire: the best of rounds taken in turn."""
    costs: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    limiters = {name: limiter(1000, 1e-9) for name, limiter in OURS.items()}
    theirs = AsyncLimiter(1e9, 1.0).acquire
    for _ in range(rounds):
        acquires = {"aiolimiter, asyncio": theirs}
        for name, limiter in limiters.items():
            acquires[f"{name}, threads"] = limiter.acquire
            acquires[f"{name}, asyncio"] = limiter.acquire_async
        with Limiter(Rate(10**9, 1000)) as one, Limiter(Rate(10**9, 1000)) as other:
            acquires["pyrate-limiter, threads"] = one.try_acquire
            acquires["pyrate-limiter, asyncio"] = other.try_acquire_async
            for name, acquire in acquires.items():
                is_async = name.endswith("asyncio")
                costs[name].append(await cost_of(acquire, is_async, count))
    return {name: min(found) for name, found in costs.items()}


def misses(rows: dict[tuple[str, int], Result], costs: dict[str, float]) -> list[str]:
    """Return what ours are to reach and do not."""
    wrong = []
    for (name, limit), row in rows.items():
        if name.partition(",")[0] in OURS:
            where = f"{name} with {limit}"
            wrong += [f"{where}: admitted"] * (round(row.admitted, 3) != 1)
            wrong += [f"{where}: worst window"] * (row.worst > limit)
            wrong += [f"{where}: late"] * (limit == 50 and row.late > LATEST)
    for name in OURS:
        is_dear = costs[f"{name}, asyncio"] > costs["aiolimiter, asyncio"]
        wrong += [f"{name}: a free acquire"] * is_dear
    return wrong


def main() -> int:
    """Measure and print; 1 if something is not reached."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--period", type=float, default=0.25, help="seconds")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    cases = [(name, limit) for limit in LIMITS for name in CONTENDERS]
    runs: dict[tuple[str, int], list[Result]] = {case: [] for case in cases}
    quiet = not sys.stderr.isatty()
    for name, limit in tqdm(cases * options.rounds, leave=False, disable=quiet):
        runs[name, limit].append(CONTENDERS[name](limit, options.period))
    print(f"{WORKERS} workers, {PERIODS} periods of {options.period:g} s")
    print(f"{'':<24} {'N':>4}  admitted  worst  late (ms)  median")
    rows = {}
    for case, results in runs.items():
        admitted, worst, late = zip(*results, strict=True)
        row = rows[case] = Result(min(admitted), max(worst), min(late))
        print(
            f"{case[0]:<24} {case[1]:>4}  {row.admitted:>8.3f}  {row.worst:>5}  "
            f"{row.late:>9.1f}  {statistics.median(late):>6.1f}"
        )
    costs = asyncio.run(free_costs())
    print("\na free acquire (ns)")
    for name, cost in costs.items():
        print(f"{name:<24} {cost:>6.0f}")
    missed = misses(rows, costs)
    print("\nto reach:", "missed: " + "; ".join(missed) if missed else "all reached")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
