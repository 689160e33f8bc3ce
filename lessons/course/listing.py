"""The lessons of the course, found by their files' names, and the list of them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

from .exercises import ROOT, Mistake, find_exercises
from .pacing import read_opening
from .progress import Progress
from .results import clip


class Lesson(NamedTuple):
    """The files of one lesson; None stands for a file that is not there."""

    stem: str
    notebook: Path | None
    script: Path | None

    @property
    def number(self) -> str:
        """The two digits that the name begins with."""
        return self.stem[:2]


def find_lessons(root: Path = ROOT) -> list[Lesson]:
    """Return all lessons in the order of their numbers, found by their files' names."""
    notebooks = (root / "notebooks").glob("[0-9][0-9]_*.ipynb")
    scripts = (root / "lessons").glob("[0-9][0-9]_*.py")
    notebook_of = {path.stem: path for path in notebooks}
    script_of = {path.stem: path for path in scripts}
    return [
        Lesson(stem, notebook_of.get(stem), script_of.get(stem))
        for stem in sorted({*notebook_of, *script_of})
    ]


def describe(lesson: Lesson) -> tuple[str, str]:
    """Return the title and the minutes of a lesson, as its notebook states them."""
    if lesson.notebook:
        try:
            title, minutes = read_opening(lesson.notebook)
        except (OSError, ValueError):
            return f"({lesson.notebook.name} cannot be read)", ""
        if title:
            return title, str(minutes or "")
    return lesson.stem[3:].replace("_", " "), ""


def list_lessons(_: argparse.Namespace) -> int:
    """Print every lesson in a line, the points so far, and the commands to go on."""
    lessons = find_lessons()
    if not lessons:
        raise Mistake("there are no lessons in this folder")
    exercises = {exercise.stem: exercise for exercise in find_exercises()}
    progress = Progress()
    print(f"     {'lesson':<44}minutes   exercise")
    for lesson in lessons:
        title, minutes = describe(lesson)
        exercise = exercises.get(lesson.stem)
        mark = "✓" if exercise and progress.is_solved(exercise) else " "
        state = progress.describe(exercise) if exercise else ""
        row = f"{lesson.number} {mark} {clip(title, 43):<44}{minutes:>7}   {state}"
        print(row.rstrip())
    print()
    if exercises:
        print(f"Points so far: {progress.total()}\n")
    first = lessons[0]
    unsolved = progress.unsolved()
    if unsolved:
        first = next((one for one in lessons if one.stem == unsolved[0].stem), first)
    if first.notebook:
        print(f"Read:     jupyter lab, then open notebooks/{first.notebook.name}")
    print(f"Run:      python -m lessons run {first.number}")
    if unsolved:
        step = "watch" if unsolved[0].answers else "start"
        print(f"Exercise: python -m lessons {step} {unsolved[0].number}")
    elif exercises:
        print("You have solved every exercise of this course. Congratulations.")
    return 0
