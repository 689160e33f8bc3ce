"""A module of robust_client, handed in as the answer to its exercise, reaches the core
as far as names agree, and no more than 15 points: pasting proves little.
"""

import re

import pytest

from lessons.course.results import score
from tests.lesson_files import ROOT
from tests.quality.grader import Case, Pool

PACKAGE = ROOT / "lessons" / "robust_client"
OWN_IMPORT = re.compile(r"(?m)^from \.(\w+) import (?:\([^)]*\)|.*)\n")
MODULES = re.compile(r"(?m)^from \. import (.*)\n")  # whole ones, used as chat.NAME
# For each exercise whose names the package has: its module, and the points it keeps,
# of the core and in all. Of 07 it has iter_sse; stream_chat is a method there.
CASES = {
    "06_retry_decorator": ("retry", 14, 15),
    "07_sse_streaming": ("sse", 6, 6),
    "08_rate_limiter": ("limits", 14, 14),
}


def pasted(module: str, done: set[str]) -> str:
    """Return a module below those that it imports, as somebody pastes them together.

    done: the modules that are already there; those of this one are added.
    """
    done.add(module)
    code = (PACKAGE / f"{module}.py").read_text(encoding="utf-8")
    whole = [name for names in MODULES.findall(code) for name in names.split(", ")]
    needed = [*whole, *OWN_IMPORT.findall(code)]
    parts = [pasted(name, done) for name in needed if name not in done]
    for name in whole:
        parts.append(f"import types\n{name} = types.SimpleNamespace(**globals())")
    return "\n".join([*parts, MODULES.sub("", OWN_IMPORT.sub("", code))])


@pytest.mark.parametrize("exercise", CASES)
def test_package_as_an_answer(exercise: str) -> None:
    """It has the core as far as it has the names, and at most one point more."""
    module, core, points = CASES[exercise]
    with Pool(1) as pool:
        case = Case("package", exercise, pasted(module, set()))
        grade = pool.submit(case).result()
    reached, _ = score(list(grade.results.values()), further=False)
    assert reached == core, grade.explain()
    assert grade.points == points <= 15, grade.explain()
