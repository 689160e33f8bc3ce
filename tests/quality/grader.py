"""Grade many answers: each by the tests of its exercise, in processes that serve one
answer after the other.
"""

import ast
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from lessons.course.results import Result, render, score

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(__file__).parent
PATIENCE = 120.0  # seconds for one answer; then its process is ended from outside
_SERVED = 60  # answers that one process grades before a fresh one takes its place


@dataclass(frozen=True)
class Case:
    """An answer to grade. kind: reference, stub, right, wrong or mutant."""

    kind: str
    exercise: str
    path: Path

    def __str__(self) -> str:
        name = "" if self.kind in ("reference", "stub") else f"/{self.path.stem}"
        return f"{self.kind}/{self.exercise}{name}"


@dataclass(frozen=True)
class Grade:
    """What the tests said about an answer: a result for each test by its name; trouble
    if they broke down.
    """

    results: dict[str, Result]
    trouble: str = ""

    @property
    def points(self) -> int:
        """The points reached."""
        return score(list(self.results.values()))[0]

    @property
    def is_right(self) -> bool:
        """True if every test passed."""
        return (
            not self.trouble
            and bool(self.results)
            and all(result.passed for result in self.results.values())
        )

    @property
    def failed(self) -> list[str]:
        """The names of the tests that failed."""
        return [name for name, result in self.results.items() if not result.passed]

    def explain(self) -> str:
        """Return the texts of the tests that failed."""
        failed = [one for one in self.results.values() if not one.passed]
        return "\n\n".join([self.trouble, *map(render, failed)]).strip()


@dataclass(frozen=True)
class Promise:
    """What the docstring of a wrong answer says: what is wrong with it, which tests
    reject it, the points it keeps.
    """

    misconception: str
    rejected_by: list[str]
    keeps: int


# --- which answers there are ---


def exercises() -> list[str]:
    """Return the exercises that have tests."""
    tests = sorted((ROOT / "tests" / "exercises").glob("test_[0-9][0-9]_*.py"))
    return [path.stem.removeprefix("test_") for path in tests]


def find_cases(only: Iterable[str] = ()) -> list[Case]:
    """Return all answers, or those to exercises whose names begin with one of the given
    numbers.
    """
    cases = []
    for exercise in exercises():
        if only and not exercise.startswith(tuple(only)):
            continue
        cases.append(Case("reference", exercise, ROOT / "solutions" / f"{exercise}.py"))
        cases.append(
            Case("stub", exercise, ROOT / "lessons" / "exercises" / f"{exercise}.py")
        )
        for kind in ("right", "wrong"):
            paths = sorted((FOLDER / kind / exercise).glob("*.*"))
            cases += [
                Case(kind, exercise, path)
                for path in paths
                if path.suffix in (".py", ".ipynb")
            ]
    return cases


def read_promise(path: Path) -> Promise:
    """Read the docstring of a wrong answer.

    Raises ValueError if it does not say what it must.
    """
    doc = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    rejected = re.search(r"(?m)^Rejected by: (.+)$", doc)
    keeps = re.search(r"(?m)^Keeps: (\d+) points?$", doc)
    if not rejected or not keeps:
        raise ValueError(
            f"{path.name} must say `Rejected by: test_…` and `Keeps: N points` in its "
            "docstring"
        )
    names = [name.strip() for name in rejected[1].split(",")]
    return Promise(doc.partition("\n")[0], names, int(keeps[1]))


def complaints(case: Case, grade: Grade) -> list[str]:
    """Return what is not as it should be about the grade of an answer."""
    if grade.trouble:
        return [grade.trouble]
    if not grade.results:
        return ["no test ran"]
    if case.kind in ("reference", "right"):
        return (
            []
            if grade.is_right
            else [f"it must be accepted, but {', '.join(grade.failed)} failed"]
        )
    if case.kind == "stub":
        passed = [name for name, result in grade.results.items() if result.passed]
        others = [
            name
            for name, result in grade.results.items()
            if result.kind not in ("not started", "")
        ]
        return [f"{name} passes on the stub" for name in passed] + [
            f"{name} rejects the stub as {grade.results[name].kind!r}, not as not "
            "started"
            for name in others
        ]
    if case.kind == "mutant":
        return ["it survived"] if grade.is_right else []
    promise = read_promise(case.path)
    found = [
        f"{name} does not reject it"
        for name in promise.rejected_by
        if not _has_failed(name, grade)
    ]
    if grade.points != promise.keeps:
        found.append(
            f"it keeps {grade.points} points, not {promise.keeps} (failed: "
            f"{', '.join(grade.failed)})"
        )
    return found


def _has_failed(name: str, grade: Grade) -> bool:
    return any(
        failed in (name,) or failed.partition("[")[0] == name for failed in grade.failed
    )


# --- grading them ---


class Pool:
    """Grades answers in several processes at once.

    with Pool() as pool:
        futures = [pool.submit(case) for case in find_cases()]
    """

    def __init__(self, jobs: int | None = None) -> None:
        self._own = threading.local()
        self._workers: list[_Worker] = []
        # More than twice as many as there are processors, because most of the time is
        # spent waiting.
        self._threads = ThreadPoolExecutor(jobs or 2 * (os.cpu_count() or 1) + 1)

    def __enter__(self) -> "Pool":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._threads.shutdown(cancel_futures=True)
        for worker in self._workers:
            worker.stop()

    def submit(self, case: Case, stop_early: bool = False) -> "Future[Grade]":
        """Grade an answer some time; with stop_early, only up to the first test that
        fails.
        """
        return self._threads.submit(self._grade, case, stop_early)

    def _grade(self, case: Case, stop_early: bool) -> Grade:
        if not hasattr(self._own, "worker"):
            self._own.worker = _Worker()
            self._workers.append(self._own.worker)
        return self._own.worker.grade(case, stop_early)


class _Worker:
    """A process that grades one answer after the other; if one of them ends it, a fresh
    one is begun.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._served = 0

    def grade(self, case: Case, stop_early: bool) -> Grade:
        """Return the grade of an answer."""
        if (
            self._process is None
            or self._process.poll() is not None
            or self._served >= _SERVED
        ):
            self.stop()
            self._start()
        self._served += 1
        process = self._process
        assert process and process.stdin and process.stdout
        job = {
            "path": str(case.path),
            "exercise": case.exercise,
            "stop_early": stop_early,
        }
        end = threading.Timer(PATIENCE, process.kill)
        end.start()
        try:
            process.stdin.write(json.dumps(job) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except BrokenPipeError:
            line = ""
        finally:
            end.cancel()
        if not line:
            return Grade(
                {}, f"the process that graded it ended (exit status {process.wait()})"
            )
        found = json.loads(line)
        if found["is_last"]:  # it is about to end, because of a thread that does not
            self.stop()
        results = found["results"].items()
        return Grade(
            {name: Result.from_json(text) for name, text in results}, found["trouble"]
        )

    def _start(self) -> None:
        self._served = 0
        environment = {
            **os.environ,
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "PYTHONUTF8": "1",
        }
        environment.pop("PYTEST_ADDOPTS", None)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.quality.worker"],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
        )

    def stop(self) -> None:
        """End the process."""
        if self._process:
            self._process.kill()
            self._process.communicate()
            self._process = None


def grade_all(
    pool: Pool, cases: Iterable[Case], stop_early: bool = False
) -> Iterator[tuple[Case, Grade]]:
    """Yield each answer with its grade, in order."""
    futures: list[tuple[Case, Future[Grade]]] = [
        (case, pool.submit(case, stop_early)) for case in cases
    ]
    for case, future in futures:
        yield case, future.result()
