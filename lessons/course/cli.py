"""The course at the command line.

`python -m lessons` lists the lessons (listing.py), `python -m lessons run 01` runs one.
`start`, `check`, `hint`, `solution` and `reset` (commands.py), `watch` (watch.py) and
`try` (console.py) are for the exercises.

Nothing outside the standard library is imported here, so that it can say what is
missing.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

from . import commands
from .console import try_out
from .doctor import diagnose, install_command, keep_commands_whole, missing_packages
from .exercises import Mistake
from .listing import find_lessons, list_lessons
from .results import WIDTH
from .watch import watch


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
        return _complain(
            f"{', '.join(missing)} not installed; run: {install_command()}"
        )
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
    lines = textwrap.wrap(
        keep_commands_whole(sentence),
        WIDTH,
        break_long_words=False,
        break_on_hyphens=False,
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
    which = "number of a lesson; without one, all of them run"
    run.add_argument("lessons", nargs="*", metavar="NN", help=which)
    add("list", list_lessons, "list the lessons, and your points so far")
    for name, command, text in (
        ("start", commands.start, "begin an exercise: copy its file to work/"),
        ("check", commands.check, "test your answer, and say what is not right yet"),
        ("watch", watch, "check again whenever you save your answer"),
        ("try", try_out, "open Python with your answer and a server, to try it"),
        ("hint", commands.hint, "print the next hint, or the one you name"),
        (
            "solution",
            commands.solution,
            "print the reference answer, once you have the core",
        ),
        (
            "reset",
            commands.reset,
            "begin again; your answer is kept under another name",
        ),
    ):
        one = add(name, command, text)
        one.add_argument("exercise", metavar="NN", help="number of an exercise")
        if name == "check":
            which = "show every failure in full, not only the first"
            one.add_argument("--all", action="store_true", help=which)
        if name == "hint":
            which = "number or name of a hint; without one, the next hint"
            one.add_argument("hint", nargs="?", metavar="HINT", help=which)
        if name == "solution":
            which = "print it although you don't have the core yet"
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
        status = options.command(options)
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        # Who reads the output has seen enough, as in `... solution 05 | head`. Python
        # flushes once more at its end, and must not fail then.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (Mistake, OSError) as error:
        return _complain(str(error))
    except KeyboardInterrupt:
        if options.command is not run_lessons:  # the script has said so itself
            print("stopped", file=sys.stderr)
        return 130
