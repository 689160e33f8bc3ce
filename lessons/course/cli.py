"""The course at the command line.

`python -m lessons` lists the lessons, `python -m lessons run 01` runs one. `start`,
`check`, `hint`, `solution`, `watch` and `reset` are for the exercises: see commands.py.

Nothing outside the standard library is imported here, so that it can say what is
missing.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from . import commands
from .doctor import INSTALL, diagnose, missing_packages
from .exercises import ROOT, Mistake, find_exercises
from .pacing import read_opening
from .progress import Progress
from .results import WIDTH, clip


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
        return _complain("there are no lessons in this folder")
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


def run_lessons(options: argparse.Namespace) -> int:
    """Run the scripts of the wanted lessons one after the other; 1 if one fails."""
    lessons = find_lessons()
    wanted = []
    for name in options.lessons:
        found = [
            lesson
            for lesson in lessons
            if name.zfill(2) == lesson.number or Path(name).stem == lesson.stem
        ]
        if not found:
            numbers = ", ".join(lesson.number for lesson in lessons)
            return _complain(
                f"there is no lesson {name}; the lessons are "
                f"{numbers or 'not in this folder'}"
            )
        wanted += found
    wanted = wanted or lessons
    for lesson in wanted:
        if not lesson.script:
            return _complain(f"lesson {lesson.stem} has no script, only a notebook")
    missing = missing_packages(group=0)
    if missing:
        return _complain(f"{', '.join(missing)} not installed; run: {INSTALL}")
    failed = []
    # What a lesson prints must not depend on the console.
    environment = {**os.environ, "PYTHONUTF8": "1"}
    for lesson in wanted:
        if len(wanted) > 1:
            print(f"--- {lesson.stem}", flush=True)
        done = subprocess.run([sys.executable, str(lesson.script)], env=environment)
        if done.returncode:
            failed.append(f"{lesson.stem} (exit status {done.returncode})")
    return _complain(f"failed: {', '.join(failed)}", 1) if failed else 0


def run_doctor(_: argparse.Namespace) -> int:
    """Check the environment; 1 if there is something to fix."""
    return diagnose()


def _complain(text: str, status: int = 2) -> int:
    """Print what is wrong, in lines of 80 columns; return the exit status."""
    sentence, *rest = f"lessons: {text}".splitlines()
    # A command is a line to copy, and stays in one piece.
    command = re.search(r"python -m .*", sentence)
    if command:
        sentence = sentence.replace(command[0], command[0].replace(" ", "\0"))
    lines = textwrap.wrap(
        sentence, WIDTH, break_long_words=False, break_on_hyphens=False
    )
    print("\n".join([*lines, *rest]).replace("\0", " "), file=sys.stderr)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m lessons",
        description="The lessons of this course. Without a command: list them.",
    )
    parser.set_defaults(command=list_lessons)
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND")

    def add(name: str, command: Callable, text: str) -> argparse.ArgumentParser:
        description = f"{text[0].upper()}{text[1:]}."
        one = subparsers.add_parser(name, help=text, description=description)
        one.set_defaults(command=command)
        return one

    run = add("run", run_lessons, "run the script of a lesson, or of all of them")
    which = "number of a lesson; none for all of them"
    run.add_argument("lessons", nargs="*", metavar="NN", help=which)
    add("list", list_lessons, "list the lessons, and your points so far")
    for name, command, text in (
        ("start", commands.start, "begin an exercise: copy what is given to work/"),
        ("check", commands.check, "test your answer, and say what is not right yet"),
        ("watch", commands.watch, "check again whenever you save your answer"),
        ("hint", commands.hint, "print the next hint, or the one you name"),
        (
            "solution",
            commands.solution,
            "print the reference, once your answer is right",
        ),
        (
            "reset",
            commands.reset,
            "begin again; your answer is kept under another name",
        ),
    ):
        one = add(name, command, text)
        one.add_argument("exercise", metavar="NN", help="number of an exercise")
        if name == "hint":
            which = "its number or name; the next one without it"
            one.add_argument("hint", nargs="?", metavar="HINT", help=which)
        if name == "solution":
            which = "open it though your answer is not right"
            one.add_argument("--give-up", action="store_true", help=which)
    add("doctor", run_doctor, "check the environment, and say what to fix")
    return parser


def main() -> int:
    """Do what the command line asks for; return the exit status."""
    for stream in (sys.stdout, sys.stderr):
        # On Windows, a redirected output is cp1252 without this.
        stream.reconfigure(encoding="utf-8", errors="replace")
    options = _parser().parse_args()
    try:
        return options.command(options)
    except (Mistake, OSError) as error:
        return _complain(str(error))
    except KeyboardInterrupt:
        return 130
