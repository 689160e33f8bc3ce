"""The exercises at the command line: start, check, watch, hint, solution, reset.

Answers are in work/, and what the learner has reached beside them.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import importlib.util
import os
import re
import sys
import textwrap
import time
from typing import Any

from .doctor import INSTALL, missing_packages
from .exercises import WORK, Exercise, Mistake, find_exercise, read_hints, shown
from .grading import grade
from .progress import Progress, spare_name
from .results import GENERAL, WIDTH, explain, score

POLL = 0.3  # seconds between two looks at a file
GREEN, YELLOW, BOLD = "32", "33", "1"


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
    """Run the tests of an exercise on the answer; 0 if all of them pass."""
    return _check(find_exercise(options.exercise))


def watch(options: argparse.Namespace) -> int:
    """Check now, and again whenever the answer is saved, until Ctrl-C."""
    exercise = find_exercise(options.exercise)
    exercise.find_answer()  # raises Mistake if there is none
    seen: Any = None
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            now = _state(exercise)
            if now and now != seen:
                seen = now
                print(_paint(f"--- {time.strftime('%H:%M:%S')}", BOLD), flush=True)
                try:
                    _check(exercise)
                except Mistake as mistake:
                    print(mistake)
                print("Waiting for the next save; Ctrl-C ends this.\n", flush=True)
            time.sleep(POLL)
    print("\nDone watching.")
    return 0


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
    print(_paint(f"Hint {place + 1} of {len(names)}: {names[place]}", BOLD))
    print(_fill(hints[names[place]]))
    if options.hint is None and place == len(names) - 1:
        command = f"python -m lessons solution {exercise.number} --give-up"
        print(f"\nThat is the last one. The reference: {command}")
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
        print(f"The reference opens once your answer is right; so far: {reached}.")
        print(f"The next hint:  python -m lessons hint {exercise.number}")
        print(f"Open it anyway: python -m lessons solution {exercise.number} --give-up")
        return 1
    print(_paint(f"# {shown(exercise.solution)}", BOLD))
    print(exercise.solution.read_text(encoding="utf-8").rstrip())
    return 0


# --- what they need ---


def _check(exercise: Exercise) -> int:
    answer = exercise.find_answer()
    if not exercise.tests.is_file():
        raise Mistake(f"exercise {exercise.number} has no tests yet")
    missing = missing_packages(group=0)
    if not importlib.util.find_spec("pytest"):
        missing.append("pytest")
    if missing:
        raise Mistake(f"{', '.join(missing)} not installed; run: {INSTALL}")
    print(f"Checking {shown(answer)}\n", flush=True)
    results = grade(exercise)
    points, most = score(results)
    failed = [result for result in results if not result.passed]
    for line in explain(results):
        print(line)
    progress = Progress()
    was_solved = progress.get(exercise, "solved", False)
    is_solved = was_solved or not failed
    progress.set(exercise, points=points, of=most, solved=is_solved)
    if failed:
        if answer.suffix == ".py" and failed[0].kind not in GENERAL:
            print(
                f"\nTo try this yourself: python -i {shown(answer)}, and there first:"
            )
            print("    from mock_server import MockServer, fault; ", end="")
            print("server = MockServer().start()")
        print("\n" + _paint(f"{points} of {most} points so far.", YELLOW))
        return 1
    if any(result.notes for result in results):
        print()
    sentence = f"All {len(results)} tests pass: {points} of {most} points."
    print(_paint(sentence, GREEN))
    print(f"Compare with the reference: python -m lessons solution {exercise.number}")
    if following := progress.unsolved():
        number = following[0].number
        print(f"Next:                       python -m lessons start {number}")
    return 0


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


def _state(exercise: Exercise) -> list[tuple[str, int, int]]:
    """Return what changes when an answer is saved; nothing while there is none."""
    found = []
    for path in exercise.answers:
        # An editor may move the file away for a moment while it saves.
        with contextlib.suppress(OSError):
            status = path.stat()
            found.append((path.name, status.st_mtime_ns, status.st_size))
    return found


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


def _paint(text: str, colour: str) -> str:
    """Return a text in a colour, where that is wanted."""
    is_wanted = (
        sys.stdout.isatty()
        and "NO_COLOR" not in os.environ
        and os.environ.get("TERM") != "dumb"
    )
    return f"\033[{colour}m{text}\033[0m" if is_wanted else text
