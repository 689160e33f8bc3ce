"""The exercises at the command line: start, check, hint, solution, reset.

Answers are in work/, and what the learner has reached beside them.
"""

from __future__ import annotations

import argparse
import difflib
import importlib.util
import os
import re
import sys
import textwrap

from .console import can_be_pasted
from .doctor import install_command, missing_packages
from .exercises import (
    WORK,
    Exercise,
    Mistake,
    find_exercise,
    find_exercises,
    is_notebook,
    read_hints,
    shown,
)
from .grading import grade
from .progress import Progress, spare_name
from .results import (
    GENERAL,
    WIDTH,
    Result,
    describe_points,
    explain,
    has_core,
    score,
)

GREEN, YELLOW, BOLD = "32", "33", "1"
# What the last exercise that is solved ends with.
FINISH = """\
You have solved every exercise of this course: {points} points.

You began with one GET. Now you have written a client for LLM APIs yourself. It
keeps its key secret, makes many calls at once, tries again when that helps,
shows an answer word by word, stays inside a rate limit and a budget, and loses
nothing when it is killed. You saw each of these fail before you made it work.
Congratulations.

Use it on a real API: README.md says how, under "Use a real API"."""


def start(options: argparse.Namespace) -> int:
    """Copy the stub to work/, unless there is an answer already."""
    exercise = find_exercise(options.exercise)
    if exercise.answers:
        print(f"{shown(exercise.find_answer())} is there already, and stays as it is.")
        print(f"Begin again: python -m lessons reset {exercise.number}")
        return 0
    _copy_stub(exercise)
    return 0


def reset(options: argparse.Namespace) -> int:
    """Move the answer aside and begin again with the stub."""
    exercise = find_exercise(options.exercise)
    for path in exercise.answers:
        if path.read_bytes() == exercise.stub.read_bytes():
            print(f"{shown(path)} is untouched, and stays as it is.")
            continue
        kept = spare_name(path)
        path.replace(kept)
        print(f"{shown(path)} is now {shown(kept)}.")
    if not exercise.answers:
        _copy_stub(exercise)
    Progress().set(exercise, points=0, of=0, hints=0)
    return 0


def check(options: argparse.Namespace) -> int:
    """Run the tests of an exercise on the answer; 0 if it has the core."""
    return check_one(find_exercise(options.exercise), options.all)


def hint(options: argparse.Namespace) -> int:
    """Print the next hint, or the one that is asked for by its number or name."""
    exercise = find_exercise(options.exercise)
    hints = read_hints(exercise)
    if not hints:
        raise Mistake(f"exercise {exercise.number} has no hints")
    progress = Progress()
    names = list(hints)
    if options.hint is None:
        told = progress.get(exercise, "hints")
        place = min(told, len(names) - 1)
        progress.set(exercise, hints=min(told + 1, len(names)))
    elif options.hint.isdigit() and 0 < int(options.hint) <= len(names):
        place = int(options.hint) - 1
    elif options.hint in names:
        place = names.index(options.hint)
    else:
        near = difflib.get_close_matches(options.hint, names, n=1)
        known = f"did you mean {near[0]}?" if near else f"they are {', '.join(names)}"
        raise Mistake(f"exercise {exercise.number} has no hint {options.hint}; {known}")
    print(paint(f"Hint {place + 1} of {len(names)}: {names[place]}", BOLD))
    print(_fill(hints[names[place]]))
    if options.hint is None and place == len(names) - 1:
        command = f"python -m lessons solution {exercise.number} --give-up"
        print(f"\nThat is the last one. The reference answer:\n{command}")
    return 0


def solution(options: argparse.Namespace) -> int:
    """Print the reference answer, if the exercise is solved or given up."""
    exercise, progress = find_exercise(options.exercise), Progress()
    if not exercise.solution.is_file():
        raise Mistake(f"exercise {exercise.number} has no reference answer yet")
    is_solved = progress.get(exercise, "solved", False)
    if options.give_up and not is_solved:
        progress.set(exercise, given_up=True)
    if not is_solved and not progress.get(exercise, "given_up", False):
        reached = progress.describe(exercise)
        print(f"The reference answer opens once you have the core; so far: {reached}.")
        print(f"The next hint:  python -m lessons hint {exercise.number}")
        print(f"Open it anyway: python -m lessons solution {exercise.number} --give-up")
        return 1
    print(paint(f"# {shown(exercise.solution)}", BOLD))
    print(exercise.solution.read_text(encoding="utf-8").rstrip())
    return 0


# --- what they need, and watch.py too ---


def check_one(exercise: Exercise, in_full: bool = False) -> int:
    """Check an answer, and print what is not right yet; 0 if it has the core.

    in_full: tell every failure in full, not only the first.
    """
    answer = exercise.find_answer()
    print(f"Checking {shown(answer)}\n", flush=True)
    results = _grade(exercise)
    points = describe_points(results)
    failed = [result for result in results if not result.passed]
    failed.sort(key=lambda result: result.is_further)
    for line in explain(results, in_full):
        print(line)
    number = exercise.number
    if failed:
        if failed[1:] and not in_full:
            print(f"\nAll of them in full: python -m lessons check {number} --all")
        if not is_notebook(answer) and failed[0].kind not in GENERAL:
            print(f"\nTo try this yourself: python -m lessons try {number}")
            if can_be_pasted(failed[0].did, exercise):
                print("and paste there what stands after `we did:`.")
        print()
    if not has_core(results):
        print(paint(points, YELLOW))
        return 1
    if not failed and any(result.notes for result in results):
        print()
    print(paint(points, GREEN))
    print(f"Compare with the reference: python -m lessons solution {number}")
    if following := Progress().next_after(exercise):
        print(f"Next:                       python -m lessons start {following.number}")
    else:
        print(f"\n{paint(FINISH.format(points=Progress().total()))}")
    return 0


def check_all() -> None:
    """Check every answer that there is, and print a line for each."""
    for exercise in find_exercises():
        if exercise.answers:
            results = _grade(exercise)
            mark = "✓" if has_core(results) else " "
            print(f"{exercise.number} {mark} {describe_points(results)}", flush=True)


def paint(text: str, colour: str = BOLD) -> str:
    """Return a text in a colour, where that is wanted."""
    is_wanted = (
        sys.stdout.isatty()
        and "NO_COLOR" not in os.environ
        and os.environ.get("TERM") != "dumb"
    )
    return f"\033[{colour}m{text}\033[0m" if is_wanted else text


def _grade(exercise: Exercise) -> list[Result]:
    """Run the tests of an exercise on its answer, and keep the points."""
    if not exercise.tests.is_file():
        raise Mistake(f"exercise {exercise.number} has no tests yet")
    missing = missing_packages(group=0)
    if not importlib.util.find_spec("pytest"):
        missing.append("pytest")
    if missing:
        raise Mistake(f"{', '.join(missing)} not installed; run: {install_command()}")
    results = grade(exercise)
    points, most = score(results)
    progress = Progress()
    is_solved = progress.is_solved(exercise) or has_core(results)
    progress.set(exercise, points=points, of=most, solved=is_solved)
    return results


def _copy_stub(exercise: Exercise) -> None:
    WORK.mkdir(exist_ok=True)
    target = WORK / exercise.stub.name
    if target.is_dir():
        exercise.find_answer()  # raises Mistake, which says what to do
    with target.open("xb") as copy:  # "x": never over a file that is there
        copy.write(exercise.stub.read_bytes())
    print(f"Write your answer in {shown(target)}.")
    print(f"Check it:      python -m lessons check {exercise.number}")
    print(f"A hint:        python -m lessons hint {exercise.number}")
    print(f"On every save: python -m lessons watch {exercise.number}")


def _fill(text: str) -> str:
    """Return Markdown for a terminal: paragraphs filled, code blocks as they are."""
    lines = []
    for part in re.split(r"(?ms)^(```.*?^```)$", text):
        if part.startswith("```"):
            lines += ["    " + line for line in part.splitlines()[1:-1]]
            continue
        for paragraph in filter(None, re.split(r"\n\s*\n", part.strip())):
            words = " ".join(paragraph.split())
            lines += textwrap.wrap(words, WIDTH, break_long_words=False)
            lines.append("")
    return "\n".join(lines).rstrip()
