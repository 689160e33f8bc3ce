"""A Dask cluster grades a class, and loses nothing with a worker."""

import os
import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from lessons.course.exercises import Mistake
from tests.grade.engine import Verdict
from tests.grade.workers import grade_with_dask

from .fake import judge


def has_dask() -> bool:
    """Say whether the extra `class` is installed."""
    try:
        import distributed  # noqa: F401
    except ImportError:
        return False
    return True


def grade_slowly(exercise: str, name: str, data: bytes, log: str) -> tuple:
    """Grade an answer on a worker, and write down which process begins it."""
    with open(log, "a", encoding="ascii") as file:
        file.write(f"{os.getpid()} {data.decode().split()[0]}\n")
    time.sleep(0.2)
    return tuple(judge(exercise, data.decode()))


@pytest.mark.skipif(
    not has_dask(), reason="Dask is not installed (python -m pip install -e .[class])"
)
def test_a_worker_is_killed(tmp_path: Path) -> None:
    """Of a killed worker, nothing is lost, and at most one answer is graded again."""
    answers = {}
    for number in range(16):
        path = tmp_path / f"{number}.py"
        path.write_text(f"student{number}\npoints = 10\n")
        answers[f"student{number}", "05_error_classes"] = path
    log = tmp_path / "log"
    graded = Counter()

    def keep(key: tuple[str, str], verdict: Verdict) -> None:
        graded[key] += 1
        assert sum(one.points for one in verdict.results if one.passed) == 10, key

    for _ in grade_with_dask(str(log), answers, keep, grade_slowly):
        if len(graded) == 4:
            busy = log.read_text().split()[-2]
            os.kill(int(busy), signal.SIGKILL)
    assert set(graded) == set(answers) and set(graded.values()) == {1}
    begun = Counter(line.split()[1] for line in log.read_text().splitlines())
    assert len(begun) == 16 and sum(begun.values()) <= 17, begun


@pytest.mark.skipif(has_dask(), reason="Dask is installed")
def test_without_dask(tmp_path: Path) -> None:
    """A sentence says how to install it."""
    with pytest.raises(Mistake, match=r"pip install -e \.\[class\]"):
        next(grade_with_dask("process", {}, print))
