"""Try the sandbox on hostile hand-ins and on the references."""

import os
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from lessons.course.exercises import ROOT, find_exercises
from lessons.course.results import score

if TYPE_CHECKING:
    from .engine import Engine

HOSTILE = ROOT / "tests" / "quality" / "hostile"
PACE = 0.2  # for hand-ins that never end
_DYING = 5.0  # seconds that Linux may take for many processes that were ended


def hostile_hand_ins() -> list[Path]:
    """Return the hostile hand-ins, each in a folder named after its exercise."""
    return sorted(HOSTILE.glob("[0-9]*/*.py"))


def complaints(engine: "Engine") -> list[str]:
    """See engine.selftest."""
    with ThreadPoolExecutor(engine.jobs) as pool:
        references = [(one.stem, one.solution) for one in find_exercises()]
        found = [*pool.map(lambda one: _check_reference(engine, *one), references)]
        pace, engine.pace = engine.pace, PACE
        try:
            found += pool.map(lambda path: check(engine, path), hostile_hand_ins())
        finally:
            engine.pace = pace
    return [complaint for several in found for complaint in several]


def check(engine: "Engine", path: Path) -> list[str]:
    """Return what is wrong with the grade of a hostile hand-in."""
    exercise, name = path.parent.name, f"{path.parent.name}/{path.stem}"
    verdict = engine.grade(exercise, path)
    reached, most = score(verdict.results)
    found = []
    if reached:
        found.append(f"{name} fools the grader: it gets {reached} of {most} points")
    if not all(result.saw for result in verdict.results if not result.passed):
        found.append(f"{name} is without a report")
    found += [f"{name}: {one}" for one in verdict.look if "course" in one]
    end = time.monotonic() + _DYING
    while (left := [*outlived(engine.folder)]) and time.monotonic() < end:
        time.sleep(0.05)
    if left:
        found.append(f"{name} left processes behind: {', '.join(left)}")
    return found


def _check_reference(engine: "Engine", stem: str, path: Path) -> list[str]:
    reached, most = score(engine.grade(stem, path).results)
    return [f"the reference of {stem} gets {reached} of {most}"] * (reached < most)


def outlived(folder: Path) -> Iterator[str]:
    """Yield the command lines of processes in folders of answers that are graded no
    more; none where the system has no /proc.
    """
    here = str(folder)
    for process in Path("/proc").glob("[0-9]*"):
        try:
            place = os.readlink(process / "cwd")
            words = (process / "cmdline").read_bytes().replace(b"\0", b" ")
        except OSError:
            continue  # it has ended, or is another user's
        if re.match(rf"{re.escape(here)}/sandbox\d+/.* \(deleted\)$", place):
            yield words.decode(errors="replace").strip()
