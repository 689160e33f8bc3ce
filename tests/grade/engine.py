"""Grade hand-ins, each in a sandbox, by the tests that `check` runs.

    with Engine() as engine:
        verdict = engine.grade("05_error_classes", Path("05_error_classes.py"))

judge.py has one sandbox, inside.py is what runs in it, confine.py builds its walls, and
isolation.py knows which of them there can be.
"""

import os
import queue
import random
import shutil
import stat
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from lessons.course.exercises import Mistake, find_exercise, find_exercises, is_notebook
from lessons.course.results import BORROWED, Result

if sys.platform == "win32":
    raise Mistake(
        "a class cannot be graded on Windows itself, since it cannot fork a process: "
        "use WSL2, or CI on Linux"
    )

from . import likeness
from .course import Course
from .isolation import LEVELS, check_name, default_jobs, promise_of, reasons_against
from .judge import Finding, PlannedTest, Sandbox
from .selftest import complaints

MOST_BYTES = 4 << 20  # of a hand-in
_TRIES = 3  # of the reference, on a busy machine
# What takes long to import, and is loaded for all tests at once.
_LARGE = ("openai", "anthropic", "httpx2", "httpx_aiohttp", "httpx_sse", "tenacity")
_LARGE += ("stamina", "aiolimiter", "pyrate_limiter", "tqdm", "dotenv")
TAMPERING = "tampering"


class Verdict(NamedTuple):
    """What the tests say about one hand-in.

    results: one for each test of the exercise, in order. look: why a person should
        look, a sentence each. seconds: how long it took.
    """

    results: list[Result]
    look: tuple[str, ...]
    seconds: float


class _Plan(NamedTuple):
    """The tests of an exercise, and how many requests the reference made in each."""

    tests: list[PlannedTest]
    requests: dict[int, int]


class Engine:
    """Grades hand-ins; use it in a with statement, from as many threads as you like.

    isolation: auto for the best level that is possible here, or one of bwrap, user and
        process. Raises Mistake for one that is not possible.
    jobs: how many sandboxes there are at most; without it, see default_jobs.
    level, promise: the level, and a sentence on what it holds and what it does not.
    folder: where the sandboxes work, until the end.
    pace: the part of its time that a test is given; less for hand-ins without end.
    most_tests: how many tests are run on an answer, for a quick try on hostile ones.
    """

    def __init__(self, isolation: str = "auto", jobs: int | None = None) -> None:
        self.jobs = jobs or default_jobs()
        self.pace, self.most_tests = 1.0, sys.maxsize
        self.folder = Path(tempfile.mkdtemp(prefix="grade-")).resolve()
        self.folder.chmod(0o711)
        self._sandboxes: list[Sandbox] = []
        self._idle: queue.LifoQueue[Sandbox] = queue.LifoQueue()
        self._lock = threading.Lock()
        self._plans: dict[str, _Plan] = {}
        self._plan_locks = {one.stem: threading.Lock() for one in find_exercises()}
        try:
            folder = self.folder / "course"
            folder.mkdir()
            self._course = Course(folder)
            self.level = self._choose(isolation)
        except BaseException:
            self.close()
            raise
        self.promise = promise_of(self.level)

    def __enter__(self) -> "Engine":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all sandboxes."""
        for sandbox in self._sandboxes:
            sandbox.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _choose(self, wanted: str) -> str:
        """Return the first level of which a sandbox takes an answer here."""
        check_name(wanted)
        reasons = []
        for level in LEVELS if wanted == "auto" else [wanted]:
            reason = reasons_against(level)
            if not reason:
                try:
                    self._try(level)
                    return level
                except Mistake as error:
                    reason = str(error)
            reasons.append(f"{level}: {reason}")
        raise Mistake(f"this isolation is not possible here; {'; '.join(reasons)}")

    def _try(self, level: str) -> None:
        """Start a sandbox, and run a test on an empty answer; raise Mistake."""
        sandbox = Sandbox(level, self._course, self.folder, len(self._sandboxes))
        self._sandboxes.append(sandbox)
        try:
            sandbox.start()
            test = sandbox.tests[0]
            name = f"{test.result.exercise}.py"
            found = sandbox.run(name, b"", [test], 1.0, [])[test.place]
            if found.result is None:
                words = sandbox.last_words()
                raise Mistake(f"no test comes to its end there ({words})")
        except Mistake:
            sandbox.stop()
            raise
        self._idle.put(sandbox)

    # --- grading ---

    def grade(self, exercise: str, path: Path) -> Verdict:
        """Grade one hand-in.

        exercise: the stem of its files, or its number. Raises Mistake for an exercise
        that does not exist, or whose reference is not accepted here.
        """
        begin = time.monotonic()
        stem = find_exercise(exercise).stem
        with self._sandbox() as sandbox:
            plan = self._plan(stem, sandbox)
            text, trouble = _read(path)
            if trouble:
                results = [
                    test.result._replace(saw=trouble, kind="unreadable")
                    for test in plan.tests
                    if not test.is_control
                ]
                return Verdict(results, (), time.monotonic() - begin)
            found = self._run(sandbox, path, text, plan, self.pace, self.most_tests)
        results, look = _judge(plan, found)
        if alike := likeness.sentence(stem, text, is_notebook(path)):
            look.append(alike)
        if changed := self._course.changes(begin):
            look.append(f"meanwhile the course was changed: {', '.join(changed[:5])}")
        return Verdict(results, tuple(look), time.monotonic() - begin)

    def names(self, exercise: str) -> list[str]:
        """Return the names of the tests of an exercise, in the order of the results."""
        stem = find_exercise(exercise).stem
        if stem not in self._plans:
            with self._sandbox() as sandbox:
                self._plan(stem, sandbox)
        tests = self._plans[stem].tests
        return [test.name for test in tests if not test.is_control]

    def _run(
        self,
        sandbox: Sandbox,
        path: Path,
        text: bytes,
        plan: _Plan,
        pace: float = 1.0,
        most: int = sys.maxsize,
    ) -> dict[int, Finding]:
        stem = plan.tests[0].result.exercise
        name = f"{stem}{'.ipynb' if is_notebook(path) else '.py'}"
        order = random.sample(plan.tests, min(most, len(plan.tests)))
        words = text.decode("utf-8", "replace")
        preload = [package for package in _LARGE if package in words]
        return sandbox.run(name, text, order, pace, preload)

    def _plan(self, stem: str, sandbox: Sandbox) -> _Plan:
        """Return the plan of an exercise, made on its reference the first time."""
        with self._plan_locks[stem]:
            if stem not in self._plans:
                self._plans[stem] = self._make_plan(stem, sandbox)
            return self._plans[stem]

    def _make_plan(self, stem: str, sandbox: Sandbox) -> _Plan:
        path = find_exercise(stem).solution
        tests = [test for test in sandbox.tests if test.result.exercise == stem]
        text, trouble = _read(path)
        if trouble:
            raise Mistake(f"the reference of {stem} cannot be read: {trouble}")
        left, found = _Plan(tests, {}), {}
        for _ in range(_TRIES):
            found |= self._run(sandbox, path, text, left)
            wrong = [test for test in tests if not _is_as_planned(test, found)]
            if not wrong:
                seen = {place: one.requests for place, one in found.items()}
                return _Plan(tests, seen)
            left = _Plan(wrong, {})
        result = found[wrong[0].place].result if wrong[0].place in found else None
        saw = f"{result.saw} {result.kind}" if result else "no verdict"
        more = found[wrong[0].place].tampered if wrong[0].place in found else ()
        raise Mistake(
            f"the reference of {stem} is not graded as it should be here: "
            f"{wrong[0].name}: {saw} {' '.join(more)}".rstrip()
        )

    @contextmanager
    def _sandbox(self) -> Iterator[Sandbox]:
        """Take a sandbox, and give it back."""
        sandbox = self._take()
        try:
            yield sandbox
        finally:
            self._idle.put(sandbox)

    def _take(self) -> Sandbox:
        """Return a sandbox that has nothing to do; begin one if there may be more."""
        try:
            return self._idle.get_nowait()
        except queue.Empty:
            pass
        with self._lock:
            running = [one for one in self._sandboxes if one.tests]
            sandbox = None
            if len(running) < self.jobs:
                place = len(self._sandboxes)
                sandbox = Sandbox(self.level, self._course, self.folder, place)
                self._sandboxes.append(sandbox)
                sandbox.start()
        return sandbox or self._idle.get()


def _is_as_planned(test: PlannedTest, found: dict[int, Finding]) -> bool:
    """Say whether the reference passes a test, or fails a control test, untampered."""
    finding = found.get(test.place)
    if finding is None or finding.result is None or finding.tampered:
        return False
    return finding.result.passed is not test.is_control


def _read(path: Path) -> tuple[bytes, str]:
    """Return the text of a regular file of a sensible size, and what is wrong else."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        if path.is_symlink():
            return b"", "the hand-in is a link; only a file itself is graded"
        return b"", f"the file cannot be read: {error.strerror}"
    try:
        about = os.fstat(handle)
        if not stat.S_ISREG(about.st_mode):
            return b"", "the hand-in is no file"
        if about.st_size > MOST_BYTES:
            return b"", f"the file is larger than {MOST_BYTES >> 20} MiB"
        with open(handle, "rb", closefd=False) as file:
            return file.read(MOST_BYTES), ""
    except OSError as error:
        return b"", f"the file cannot be read: {error.strerror}"
    finally:
        os.close(handle)


def _judge(plan: _Plan, found: dict[int, Finding]) -> tuple[list[Result], list[str]]:
    """Return the result of each test, and why a person should look."""
    tampered: list[str] = []
    for finding in found.values():
        tampered += finding.tampered
    for test in plan.tests:
        finding = found.get(test.place, Finding(None))
        if test.is_control and finding.result and finding.result.passed:
            tampered.append("it passed a control test that no answer can pass")
    others = next((one for one in found.values() if one.is_final), Finding(None))
    results, counts = [], Counter[str]()
    for test in plan.tests:
        if not test.is_control:
            finding = found.get(test.place, others)
            result = _result(test, finding, plan.requests[test.place])
            counts[result.kind] += 1
            counts["left"] += finding.has_left_processes
            results.append(result)
    if tampered:
        if not any(result.kind == BORROWED for result in results):
            results = [_tampered(result) for result in results]
        return results, [f"tampering: {one}" for one in dict.fromkeys(tampered)]
    look = [
        sentence.format(counts[kind], "s" * (counts[kind] != 1))
        for kind, sentence in _LOOKS.items()
        if counts[kind]
    ]
    return results, look


def _tampered(result: Result) -> Result:
    return result._replace(
        passed=False,
        saw="your file meddles with the tests, so a person has to look at it",
        expected="an answer that leaves the tests alone",
        kind=TAMPERING,
    )


_LOOKS = {
    "time limit": "{} test{} stopped by the time limit",
    "no verdict": "its process ended by itself in {} test{}",
    "no request": "{} test{} passed without a request, where there must be some",
    "left": "it left processes behind in {} test{}",
}


def _result(test: PlannedTest, finding: Finding, requests: int) -> Result:
    """Return the result of a test: the plan's facts, and the sandbox's words."""
    known, said = test.result, finding.result
    if said is None:
        kind = "time limit" if finding.was_killed else "no verdict"
        saw = "your code ended the process of the test, or could not be stopped"
        if finding.was_killed:
            saw = f"no end after {test.seconds:g} s, and it could not be stopped"
        return known._replace(saw=saw, expected=known.title, kind=kind)
    expected = known.title if said.expected == said.title else said.expected
    result = said._replace(
        exercise=known.exercise,
        title=known.title,
        points=known.points,
        expected=expected,
    )
    if result.passed and requests and not finding.requests:
        return result._replace(
            passed=False,
            saw="the server saw no request",
            expected=known.title,
            kind="no request",
        )
    return result


def selftest(engine: Engine) -> list[str]:
    """Return what is wrong with the sandbox: a sentence for each hostile hand-in that
    fools it, and for each reference that does not get all its points; none if all is
    well.
    """
    return complaints(engine)
