"""A module of robust_client, handed in as the answer to its exercise, reaches the core
and no more than 15 points: pasting proves little.
"""

import re

import pytest

from lessons.course.results import score
from tests.lesson_files import ROOT
from tests.quality.grader import Case, Pool

PACKAGE = ROOT / "lessons" / "robust_client"
OWN_IMPORT = re.compile(r"(?m)^from \.(\w+) import (?:\([^)]*\)|.*)\n")
# For each exercise whose names the package has: its module, and the points it keeps.
CASES = {"06_retry_decorator": ("retry", 15)}


def pasted(module: str, done: set[str]) -> str:
    """Return a module below those that it imports, as somebody pastes them together.

    done: the modules that are already there; those of this one are added.
    """
    done.add(module)
    code = (PACKAGE / f"{module}.py").read_text(encoding="utf-8")
    needed = [name for name in OWN_IMPORT.findall(code) if name not in done]
    parts = [pasted(name, done) for name in needed if name not in done]
    return "\n".join([*parts, OWN_IMPORT.sub("", code)])


@pytest.mark.parametrize("exercise", CASES)
def test_package_as_an_answer(exercise: str) -> None:
    """It has the whole core, and of what is further at most a point."""
    module, points = CASES[exercise]
    with Pool(1) as pool:
        case = Case("package", exercise, pasted(module, set()))
        grade = pool.submit(case).result()
    core, most = score(list(grade.results.values()), further=False)
    assert core == most, f"{core} of {most}\n\n{grade.explain()}"
    assert grade.points == points <= 15, grade.explain()
