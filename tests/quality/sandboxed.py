"""Grade answers in the sandboxes of a class (see tests/grade), for a comparison."""

import tempfile
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

from tests.grade.engine import Engine

from .grader import Case, Grade


class SandboxPool:
    """Does what grader.Pool does, in sandboxes.

    isolation: the level; see Engine.
    """

    def __init__(self, isolation: str, jobs: int | None = None) -> None:
        self.engine = Engine(isolation, jobs)
        self._threads = ThreadPoolExecutor(self.engine.jobs)

    def __enter__(self) -> "SandboxPool":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._threads.shutdown(cancel_futures=True)
        self.engine.close()

    def submit(self, case: Case, stop_early: bool = False) -> "Future[Grade]":
        """Grade an answer some time. All of its tests are run, stop_early or not."""
        return self._threads.submit(self._grade, case)

    def _grade(self, case: Case) -> Grade:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"{case.exercise}.py"
            path.write_text(case.code, encoding="utf-8")
            verdict = self.engine.grade(case.exercise, path)
        names = self.engine.names(case.exercise)
        tampering = [one for one in verdict.look if one.startswith("tampering")]
        trouble = "; ".join(tampering)
        return Grade(dict(zip(names, verdict.results, strict=True)), trouble)
