"""How fast a class is graded, and which part of that is isolation.

    python -m tests.benchmarks.class_grading
    python -m tests.benchmarks.class_grading --answers 60 --isolation user

Right answers to each exercise are graded at once in as many sandboxes as a class has.
The part of isolation is the difference to the level process, where an answer has no
wall but limits; both levels take turns, so that a busy moment of the machine hits both.
"""

import argparse
import os
import platform
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lessons.course.exercises import Mistake, find_exercises
from tests.grade.engine import Engine

RIGHT = Path(__file__).parents[1] / "quality" / "right"
GOAL, SHARE = 250, 0.05  # answers a minute, and the part of isolation
ROUNDS = 3


def answers_to(stem: str, count: int) -> list[Path]:
    """Return so many right answers, each several times if need be."""
    paths = sorted((RIGHT / stem).glob("*.py"))
    return [paths[number % len(paths)] for number in range(count)]


def seconds_for(engine: Engine, stem: str, count: int) -> float:
    """Return how long so many answers take."""
    begin = time.monotonic()
    with ThreadPoolExecutor(engine.jobs) as pool:
        for verdict in pool.map(
            lambda path: engine.grade(stem, path), answers_to(stem, count)
        ):
            if not all(result.passed for result in verdict.results):
                print(f"  a right answer to {stem} lost points: {verdict.look}")
    return time.monotonic() - begin


def main() -> None:
    """Measure what the command line asks for, and print it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--answers", type=int, default=30, help="to each exercise")
    parser.add_argument("--isolation", default="auto")
    parser.add_argument("--jobs", type=int)
    options = parser.parse_args()
    machine = f"{platform.platform()}, {os.cpu_count()} processors"
    print(f"{machine}, Python {platform.python_version()}")
    with Engine(options.isolation, options.jobs) as engine:
        print(f"isolation: {engine.level}, {engine.jobs} sandboxes")
        rates = {}
        for exercise in find_exercises():
            stem = exercise.stem
            seconds_for(engine, stem, engine.jobs)  # starts sandboxes, makes the plan
            rates[stem] = (
                60 * options.answers / seconds_for(engine, stem, options.answers)
            )
            print(f"{stem:24}{rates[stem]:6.0f} answers a minute", flush=True)
        median = statistics.median(rates.values())
        print(f"{'median':24}{median:6.0f} answers a minute; goal: {GOAL}")
        if engine.level == "process":
            return
        stem = min(rates, key=lambda one: abs(rates[one] - median))
        with Engine("process", options.jobs) as open_engine:
            seconds_for(open_engine, stem, engine.jobs)
            pairs = [
                [
                    seconds_for(one, stem, options.answers)
                    for one in (engine, open_engine)
                ]
                for _ in range(ROUNDS)
            ]
        walled, bare = (min(column) for column in zip(*pairs, strict=True))
        share = (walled - bare) / walled
        print(f"isolation: {share:.1%} of the time of {stem}; goal: {SHARE:.0%}")


if __name__ == "__main__":
    try:
        main()
    except Mistake as error:
        raise SystemExit(str(error)) from None
