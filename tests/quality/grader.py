"""Grade many answers: each by the tests of its exercise, in processes that serve one
answer after the other.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from lessons.course.results import Result, render, score

from .wrong_answers import ChangeError, WrongAnswer, read_wrong_answers

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(__file__).parent
PATIENCE = 120.0  # seconds for one answer; then its process is ended from outside
_SERVED = 60  # answers that one process grades before a fresh one takes its place
_MIX = 25  # each so many-th answer comes first, then their neighbours, and so on


@dataclass(frozen=True)
class Case:
    """An answer to grade.

    kind: reference, stub, right, wrong, mutant, blind right or blind wrong.
    """

    kind: str
    exercise: str
    code: str
    name: str = ""
    wrong: WrongAnswer | None = None  # how a wrong answer must be graded

    def __str__(self) -> str:
        return f"{self.kind}/{self.exercise}" + (f"/{self.name}" if self.name else "")


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


# --- which answers there are ---


def exercises() -> list[str]:
    """Return the exercises that have tests."""
    tests = sorted((ROOT / "tests" / "exercises").glob("test_[0-9][0-9]_*.py"))
    return [path.stem.removeprefix("test_") for path in tests]


def find_cases(only: Iterable[str] = ()) -> list[Case]:
    """Return all answers, or those to exercises whose names begin with one of the given
    numbers.

    Raises ChangeError if a wrong answer is not written as it must be.
    """
    cases = []
    for exercise in exercises():
        if only and not exercise.startswith(tuple(only)):
            continue
        reference = (ROOT / "solutions" / f"{exercise}.py").read_text("utf-8")
        stub = (ROOT / "lessons" / "exercises" / f"{exercise}.py").read_text("utf-8")
        right = {
            path.stem: path.read_text("utf-8")
            for path in sorted((FOLDER / "right" / exercise).glob("*.py"))
        }
        cases += [Case("reference", exercise, reference), Case("stub", exercise, stub)]
        cases += [Case("right", exercise, code, name) for name, code in right.items()]
        bases = {f"right/{name}": code for name, code in right.items()}
        bases["reference"] = reference
        cases += [
            Case("wrong", exercise, wrong.code, wrong.name, wrong)
            for wrong in _wrong_answers(exercise, bases)
        ]
    return cases


def find_blind(folder: Path, only: Iterable[str] = ()) -> list[Case]:
    """Return the answers of a blind round, from FOLDER/NN/wrong and FOLDER/NN/right.

    Raises ChangeError if there are none.
    """
    cases = [
        Case(f"blind {kind}", exercise, path.read_text("utf-8"), path.stem)
        for exercise in exercises()
        if not only or exercise.startswith(tuple(only))
        for kind in ("wrong", "right")
        for path in sorted((folder / exercise[:2] / kind).glob("*.py"))
    ]
    if not cases:
        raise ChangeError(f"{folder}: no answers in NN/wrong/*.py and NN/right/*.py")
    return cases


def _wrong_answers(exercise: str, bases: dict[str, str]) -> list[WrongAnswer]:
    path = FOLDER / "wrong" / f"{exercise}.md"
    if not path.exists():
        return []
    try:
        return read_wrong_answers(path.read_text("utf-8"), bases)
    except ChangeError as error:
        raise ChangeError(f"{path.relative_to(ROOT).as_posix()}: {error}") from None


def complaints(case: Case, grade: Grade, in_full: bool = True) -> list[str]:
    """Return what is not as it should be about the grade of an answer.

    in_full: all tests ran, so that a wrong answer must keep the points it should.
    """
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
    assert case.wrong
    found = [
        f"{name} does not reject it"
        for name in case.wrong.rejected_by
        if not _has_failed(name, grade)
    ]
    least, most = case.wrong.keeps, max(case.wrong.keeps, case.wrong.at_most)
    if in_full and not least <= grade.points <= most:
        found.append(
            f"it keeps {grade.points} points, not {least} to {most} (failed: "
            f"{', '.join(grade.failed)})"
        )
    return found


def _has_failed(name: str, grade: Grade) -> bool:
    return any(name in (failed, failed.partition("[")[0]) for failed in grade.failed)


# --- grading them ---


class Pool:
    """Grades answers in several processes at once.

    with Pool() as pool:
        futures = [pool.submit(case) for case in find_cases()]
    """

    def __init__(self, jobs: int | None = None) -> None:
        self._own = threading.local()
        self._workers: list[_Worker] = []
        # More than there are processors, because most of the time is spent waiting.
        self._threads = ThreadPoolExecutor(jobs or 4 * (os.cpu_count() or 1))

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

    def submit(
        self, case: Case, stop_early: bool = False, tests: Iterable[str] = ()
    ) -> "Future[Grade]":
        """Grade an answer some time.

        stop_early: only up to the first test that fails.
        tests: the names of the tests to run; all without it.
        """
        return self._threads.submit(self._grade, case, stop_early, list(tests))

    def _grade(self, case: Case, stop_early: bool, tests: list[str]) -> Grade:
        if not hasattr(self._own, "worker"):
            self._own.worker = _Worker()
            self._workers.append(self._own.worker)
        return self._own.worker.grade(case, stop_early, tests)


class _Worker:
    """A process that grades one answer after the other; if one of them ends it, a fresh
    one is begun.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._served = 0

    def grade(self, case: Case, stop_early: bool, tests: list[str]) -> Grade:
        """Return the grade of an answer; see Pool.submit."""
        if (
            self._process is None
            or self._process.poll() is not None
            or self._served >= _SERVED
        ):
            self.stop()
            self._start()
        self._served += 1
        # Named after its exercise, which is how --submission knows what to grade.
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"{case.exercise}.py"
            path.write_text(case.code, encoding="utf-8")
            job = {
                "path": str(path),
                "exercise": case.exercise,
                "stop_early": stop_early,
                "tests": tests,
            }
            return self._send(job, case)

    def _send(self, job: dict[str, Any], case: Case) -> Grade:
        process = self._process
        assert process and process.stdin and process.stdout
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
        if found["is_last"]:  # a thread in it goes on
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
    answers = list(cases)
    # Those of one exercise stand together, and some compute where others wait.
    order = [n for first in range(_MIX) for n in range(first, len(answers), _MIX)]
    futures = {n: pool.submit(answers[n], stop_early) for n in order}
    for n, case in enumerate(answers):
        yield case, futures[n].result()
