"""How exact the rate limiters of lesson 08 and of its solution are, and what they cost.
By hand, in one run:

    python -m tests.benchmarks.limiter

Eight workers, threads or tasks, start calls as fast as a limiter lets them, for five
periods of 0.25 s. For the limiter of lesson 08, that of its solution, aiolimiter and
pyrate-limiter, one after the other in about four minutes, it prints

    admitted    calls started in five periods, over the ideal of 5 N
    worst       the most calls in any window [t, t + period); the limit is N
    late        how long after four periods the last call of the fifth N starts, in ms:
    the delays add up

and the cost of an acquire that finds a free start. `admitted` and `worst` are the worst
of several rounds. `late` is the best of them, with the median behind it: a busy machine
adds delays and takes none away. The last line says how late its own sleeps and timers
are.

The starts of ours are read off their own clock, which they let us give them: what they
do is exact or is not, whatever the machine does to the worker afterwards. The others
have none to give, so their workers note the time when they are let go, and their
windows are counted 1 ms shorter, in their favour.
"""

import argparse
import asyncio
import importlib.util
import statistics
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from aiolimiter import AsyncLimiter
from pyrate_limiter import Limiter, Rate
from tqdm import tqdm

ROOT = Path(__file__).parents[2]
WORKERS = 8
PERIODS = 5
LIMITS = (10, 50, 200)
LATEST = 5.0  # milliseconds


def load(folder: str) -> Any:
    """Return the RateLimiter of the file 08_rate_limiter.py in a folder."""
    spec = importlib.util.spec_from_file_location(
        f"{folder}_08", ROOT / folder / "08_rate_limiter.py"
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclass looks for it
    spec.loader.exec_module(module)
    return module.RateLimiter


FOLDERS = {"lesson": "lessons", "solution": "solutions"}
OURS = {
    whose: load(folder)
    for whose, folder in FOLDERS.items()
    if (ROOT / folder / "08_rate_limiter.py").exists()
}


class NotingClock:
    """time.monotonic, remembering for each thread what it said last: with it, our
    limiter let the last call go.
    """

    def __init__(self) -> None:
        self._said = threading.local()

    def __call__(self) -> float:
        self._said.last = now = time.monotonic()
        return now

    def last(self) -> float:
        """Return the last reading in this thread."""
        return self._said.last


class Result(NamedTuple):
    """What one run came to: calls over the ideal, calls in the worst window,
    milliseconds.
    """

    admitted: float
    worst: int
    late: float


def run_threads(
    acquire: Callable[[], object], note: Callable[[], float], period: float
) -> list[float]:
    """Let eight threads start calls for five periods; return when they started."""
    starts: list[list[float]] = [[] for _ in range(WORKERS)]
    deadline = time.monotonic() + PERIODS * period

    def work(own: list[float]) -> None:
        while time.monotonic() < deadline:
            acquire()
            own.append(note())

    threads = [threading.Thread(target=work, args=(own,)) for own in starts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(chain.from_iterable(starts))


async def run_tasks(
    acquire: Callable[[], Awaitable[object]], note: Callable[[], float], period: float
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
    """Return the most starts in any window [t, t + period); starts are in their order."""
    worst = first = 0
    for number, start in enumerate(starts):
        while start - starts[first] >= period:
            first += 1
        worst = max(worst, number - first + 1)
    return worst


def judge(starts: list[float], limit: int, period: float, slack: float = 0.0) -> Result:
    """Return what the starts come to; windows are slack seconds shorter than the
    period.
    """
    ideal, begin = PERIODS * limit, starts[0]
    admitted = sum(start < begin + PERIODS * period for start in starts)
    end = starts[ideal - 1] if len(starts) >= ideal else begin + PERIODS * period
    late = end - begin - (PERIODS - 1) * period
    return Result(admitted / ideal, worst_window(starts, period - slack), 1000 * late)


def ours_threads(whose: str, limit: int, period: float) -> Result:
    """One of ours, threads."""
    clock = NotingClock()
    limiter = OURS[whose](limit, period, clock=clock)
    return judge(run_threads(limiter.acquire, clock.last, period), limit, period)


def ours_tasks(whose: str, limit: int, period: float) -> Result:
    """One of ours, asyncio."""
    clock = NotingClock()
    limiter = OURS[whose](limit, period, clock=clock)
    return judge(
        asyncio.run(run_tasks(limiter.acquire_async, clock.last, period)), limit, period
    )


def aiolimiter_tasks(limit: int, period: float) -> Result:
    """aiolimiter, asyncio, the only way it knows."""

    async def run() -> list[float]:
        return await run_tasks(
            AsyncLimiter(limit, period).acquire, time.monotonic, period
        )

    return judge(asyncio.run(run()), limit, period, slack=0.001)


def pyrate_threads(limit: int, period: float) -> Result:
    """pyrate-limiter, threads."""
    with Limiter(Rate(limit, int(1000 * period))) as limiter:
        return judge(
            run_threads(limiter.try_acquire, time.monotonic, period),
            limit,
            period,
            slack=0.001,
        )


def pyrate_tasks(limit: int, period: float) -> Result:
    """pyrate-limiter, asyncio."""
    with Limiter(Rate(limit, int(1000 * period))) as limiter:
        starts = asyncio.run(
            run_tasks(limiter.try_acquire_async, time.monotonic, period)
        )
    return judge(starts, limit, period, slack=0.001)


CONTENDERS = {
    **{f"{whose}, threads": partial(ours_threads, whose) for whose in OURS},
    **{f"{whose}, asyncio": partial(ours_tasks, whose) for whose in OURS},
    "pyrate-limiter, threads": pyrate_threads,
    "pyrate-limiter, asyncio": pyrate_tasks,
    "aiolimiter, asyncio": aiolimiter_tasks,
}


def time_calls(acquire: Callable[[], object], count: int) -> float:
    """Return the nanoseconds that one call takes."""
    began = time.perf_counter_ns()
    for _ in range(count):
        acquire()
    return (time.perf_counter_ns() - began) / count


async def time_awaits(acquire: Callable[[], Awaitable[object]], count: int) -> float:
    """Return the nanoseconds that one call takes to await."""
    began = time.perf_counter_ns()
    for _ in range(count):
        await acquire()
    return (time.perf_counter_ns() - began) / count


async def free_costs(rounds: int, count: int) -> dict[str, float]:
    """Return the nanoseconds of an acquire that never waits: for each limiter the best
    of the rounds, taken in turn.
    """
    best: dict[str, float] = {}

    def keep(name: str, cost: float) -> None:
        best[name] = min(cost, best.get(name, cost))

    ours = {name: limiter(1000, 1e-9) for name, limiter in OURS.items()}
    theirs = AsyncLimiter(1e9, 1.0)
    for _ in range(rounds):
        for name, limiter in ours.items():
            keep(f"{name}, threads", time_calls(limiter.acquire, count))
            keep(f"{name}, asyncio", await time_awaits(limiter.acquire_async, count))
        keep("aiolimiter, asyncio", await time_awaits(theirs.acquire, count))
        with Limiter(Rate(10**9, 1000)) as pyrate:
            keep("pyrate-limiter, threads", time_calls(pyrate.try_acquire, count))
        with Limiter(Rate(10**9, 1000)) as pyrate:
            keep(
                "pyrate-limiter, asyncio",
                await time_awaits(pyrate.try_acquire_async, count),
            )
    return best


async def own_lateness(rounds: int) -> tuple[float, float]:
    """Return how late this machine's sleeps and timers are by themselves, in ms: the
    medians.
    """
    sleeps, timers = [], []
    for _ in range(rounds):
        began = time.monotonic()
        time.sleep(0.02)
        middle = time.monotonic()
        await asyncio.sleep(0.02)
        sleeps.append(middle - began - 0.02)
        timers.append(time.monotonic() - middle - 0.02)
    return 1000 * statistics.median(sleeps), 1000 * statistics.median(timers)


def summary(results: list[Result]) -> Result:
    """Return the fewest calls admitted, the worst window, and the shortest delay."""
    admitted, worst, late = zip(*results, strict=True)
    return Result(min(admitted), max(worst), min(late))


def verdicts(
    rows: dict[tuple[str, int], Result], costs: dict[str, float]
) -> Iterator[tuple[str, bool]]:
    """Yield what ours are to reach, and whether they do."""
    for whose in OURS:
        own = [
            (limit, row)
            for (name, limit), row in rows.items()
            if name.startswith(whose)
        ]
        yield (
            f"{whose}: admitted 1.000",
            all(round(row.admitted, 3) == 1 for _, row in own),
        )
        yield (
            f"{whose}: worst window never above N",
            all(row.worst <= limit for limit, row in own),
        )
        yield (
            f"{whose}: late at most {LATEST:g} ms",
            all(row.late <= LATEST for _, row in own),
        )
        for name in (
            "aiolimiter, asyncio",
            "pyrate-limiter, asyncio",
            "pyrate-limiter, threads",
        ):
            twin = f"{whose}, {name.rpartition(' ')[2]}"
            yield (
                f"{whose}: a free acquire at most that of {name}",
                costs[twin] <= costs[name],
            )


def main() -> int:
    """Measure and print; 1 if something is not reached."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument(
        "--period", type=float, default=0.25, help="seconds (%(default)s)"
    )
    parser.add_argument("--rounds", type=int, default=9, help="%(default)s")
    options = parser.parse_args()

    rounds: dict[tuple[str, int], list[Result]] = {}
    work = [
        (name, limit)
        for _ in range(options.rounds)
        for limit in LIMITS
        for name in CONTENDERS
    ]
    for name, limit in tqdm(work, unit="run", leave=False):
        rounds.setdefault((name, limit), []).append(
            CONTENDERS[name](limit, options.period)
        )
    rows = {key: summary(results) for key, results in rounds.items()}
    costs = asyncio.run(free_costs(rounds=30, count=5000))

    print(
        f"{WORKERS} workers, {PERIODS} periods of {options.period:g} s, "
        f"{options.rounds} rounds each"
    )
    print(f"{'':<24} {'N':>4}  admitted  worst  late (ms)  median")
    for (name, limit), row in rows.items():
        usual = statistics.median(result.late for result in rounds[name, limit])
        print(
            f"{name:<24} {limit:>4}  {row.admitted:>8.3f}  {row.worst:>5}  "
            f"{row.late:>9.1f}  {usual:>6.1f}"
        )
    print(f"\n{'':<24} a free acquire (ns)")
    for name, cost in costs.items():
        print(f"{name:<24} {cost:>19.0f}")
    sleep, timer = asyncio.run(own_lateness(25))
    print(
        f"\nby itself, this machine ends a sleep {sleep:.2f} ms late, and a timer of "
        f"asyncio {timer:.2f} ms"
    )
    missed = [text for text, is_reached in verdicts(rows, costs) if not is_reached]
    print(
        "to reach: " + ("all reached" if not missed else "missed: " + "; ".join(missed))
    )
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
