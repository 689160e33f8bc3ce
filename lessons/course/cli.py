"""The course at the command line: `python -m lessons` lists the lessons, `python -m
lessons run 01` runs one.

`start`, `check`, `hint`, `solution`, `watch` and `reset` are for the exercises: see
commands.py.

Nothing outside the standard library is imported here, so that it can say what is
missing.
"""

from __future__ import annotations

import argparse
import ast
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import NamedTuple

from . import commands
from .doctor import INSTALL, diagnose, missing_packages
from .results import WIDTH

ROOT = Path(__file__).resolve().parents[2]
_WORDS = {"a": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6}
_SECONDS = re.compile(rf"\b([\d.]+|{'|'.join(_WORDS)})\s+(?:s|seconds?)\b")


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
    """Return all lessons in the order of their numbers, found by the names of their
    files.
    """
    notebooks = {
        path.stem: path for path in (root / "notebooks").glob("[0-9][0-9]_*.ipynb")
    }
    scripts = {path.stem: path for path in (root / "lessons").glob("[0-9][0-9]_*.py")}
    return [
        Lesson(stem, notebooks.get(stem), scripts.get(stem))
        for stem in sorted({*notebooks, *scripts})
    ]


def describe(script: Path | None) -> tuple[str, float]:
    """Return a script's title and the seconds it takes, from its docstring: its first
    line, and the last time it names.

    They are "" and 0 if the docstring does not say it.
    """
    try:
        docstring = (
            ast.get_docstring(ast.parse(script.read_text(encoding="utf-8")))
            if script
            else None
        )
    except SyntaxError as error:
        return f"(line {error.lineno} of the script is not Python)", 0.0
    told, _, _ = (docstring or "").partition("Sample run:")
    times = _SECONDS.findall(told)
    return told.partition("\n")[0].rstrip("."), float(
        _WORDS.get(times[-1], times[-1])
    ) if times else 0.0


def list_lessons(_: argparse.Namespace) -> int:
    """Print every lesson with its files and its time, and the points of its exercise."""
    lessons = find_lessons()
    exercises = {exercise.stem: exercise for exercise in commands.find_exercises()}
    progress = commands.Progress()
    for lesson in lessons:
        title, seconds = describe(lesson.script)
        paths = [
            path.relative_to(ROOT).as_posix() if path else "-"
            for path in (lesson.notebook, lesson.script)
        ]
        files = "    {:<36} {:<31}".format(*paths)
        print(
            textwrap.fill(
                f"{lesson.number}  {title}", WIDTH, subsequent_indent="    "
            ).rstrip()
        )
        print(f"{files}{f'{seconds:g} s' if seconds else '':>8}".rstrip())
        if lesson.stem in exercises:
            exercise = exercises[lesson.stem]
            path = (exercise.answers or [exercise.stub])[0].relative_to(ROOT).as_posix()
            print(f"    {path:<40} {progress.describe(exercise)}")
    if not lessons:
        return _complain("there are no lessons in this folder")
    print(
        "\nThe seconds are those of the script.\nOpen the notebooks: jupyter lab "
        "notebooks"
    )
    print(f"Run a script:       python -m lessons run {lessons[0].number}")
    if not exercises:
        return 0
    if unsolved := progress.unsolved():
        begin = (
            ("Check your answer:", "check")
            if unsolved[0].answers
            else ("Begin an exercise:", "start")
        )
        print(f"{begin[0]}  python -m lessons {begin[1]} {unsolved[0].number}")
    print(f"\nPoints so far: {commands.total(progress)}")
    if not unsolved:
        print("You have solved every exercise of this course. Congratulations.")
    return 0


def run_lessons(options: argparse.Namespace) -> int:
    """Run the scripts of the wanted lessons one after the other; 1 if one of them
    fails.
    """
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
    for lesson in wanted:
        if len(wanted) > 1:
            print(f"--- {lesson.stem}", flush=True)
        environment = {
            **os.environ,
            "PYTHONUTF8": "1",
        }  # what a lesson prints must not depend on the console
        status = subprocess.run(
            [sys.executable, str(lesson.script)], env=environment
        ).returncode
        if status:
            failed.append(f"{lesson.stem} (exit status {status})")
    return _complain(f"failed: {', '.join(failed)}", 1) if failed else 0


def run_doctor(_: argparse.Namespace) -> int:
    """Check the environment; 1 if there is something to fix."""
    return diagnose(ROOT)


def _complain(text: str, status: int = 2) -> int:
    sentence, *rest = f"lessons: {text}".splitlines()
    whole = re.sub(
        r"python -m .*", lambda command: command[0].replace(" ", "\0"), sentence
    )  # a line to copy
    lines = textwrap.wrap(whole, WIDTH, break_long_words=False, break_on_hyphens=False)
    print("\n".join([*lines, *rest]).replace("\0", " "), file=sys.stderr)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m lessons",
        description="The lessons of this course. Without a command: list them.",
    )
    parser.set_defaults(command=list_lessons)
    subcommands = parser.add_subparsers(title="commands", metavar="COMMAND")
    run = subcommands.add_parser(
        "run", help="run the script of a lesson, or of all of them"
    )
    run.add_argument(
        "lessons",
        nargs="*",
        metavar="NN",
        help="number of a lesson; none for all of them",
    )
    run.set_defaults(command=run_lessons)
    listing = subcommands.add_parser(
        "list", help="list the lessons, and your points so far"
    )
    listing.set_defaults(command=list_lessons)
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
        one = subcommands.add_parser(
            name, help=text, description=f"{text[0].upper()}{text[1:]}."
        )
        one.add_argument("exercise", metavar="NN", help="number of an exercise")
        one.set_defaults(command=command)
        if name == "hint":
            one.add_argument(
                "hint",
                nargs="?",
                metavar="HINT",
                help="its number or name; the next one without it",
            )
        if name == "solution":
            one.add_argument(
                "--give-up",
                action="store_true",
                help="open it though your answer is not right",
            )
    doctor = subcommands.add_parser(
        "doctor", help="check the environment, and say what to fix"
    )
    doctor.set_defaults(command=run_doctor)
    return parser


def main() -> int:
    """Do what the command line asks for; return the exit status."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(
            encoding="utf-8", errors="replace"
        )  # or a redirected output on Windows is cp1252
    options = _parser().parse_args()
    try:
        return options.command(options)
    except (commands.Mistake, OSError) as error:
        return _complain(str(error))
    except KeyboardInterrupt:
        return 130
