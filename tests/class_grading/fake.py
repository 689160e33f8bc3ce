"""An engine for tests: it believes what an answer says of itself, `points = 15`."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import ClassVar

from lessons.course.exercises import Mistake
from lessons.course.results import Result
from tests.grade.engine import Verdict

PARTS = 4  # tests of an exercise, of 5 points each


class FakeEngine:
    """Has the interface of tests.grade.engine.Engine."""

    # The exercise and the code of every answer.
    graded: ClassVar[list[tuple[str, str]]] = []
    level, promise = "process", "process: made up for tests, it stops <nothing>."
    pause = 0.0  # seconds that an answer takes

    def __init__(self, isolation: str = "auto", jobs: int | None = None) -> None:
        if isolation == "bwrap":
            raise Mistake("isolation bwrap is not possible here")

    def __enter__(self) -> FakeEngine:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def grade(self, exercise: str, path: Path) -> Verdict:
        """Return a verdict with the points that the answer asks for."""
        code = path.read_text(encoding="utf-8")
        self.graded.append((exercise, code))
        time.sleep(self.pause)
        return judge(exercise, code)


def judge(exercise: str, code: str) -> Verdict:
    """Return the verdict on an answer: `points = 15`, `kind = "x"`, `look = "y"`."""

    def said(name: str, default: str) -> str:
        found = re.search(rf"(?m)^{name} = (.*)$", code)
        text = found[1].strip("\"'") if found else default
        return text.replace("HALF", "\ud800")

    points = int(said("points", "0"))
    kind = said("kind", "wrong")
    saw = said("saw", f"no {exercise} & nothing <else>")
    if kind == "nothing":
        return Verdict([], ("its process ended",), 0.1)
    results = []
    for number in range(PARTS):
        passed = number * 5 < points
        results.append(
            Result(
                exercise=exercise,
                title=f"Test {number} of it.",
                saw="" if passed else saw,
                expected="" if passed else "something",
                kind="" if passed else kind,
                points=5,
                passed=passed,
            )
        )
    look = said("look", "")
    return Verdict(results, (look,) if look else (), 0.1)
