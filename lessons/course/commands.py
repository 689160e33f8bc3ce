"""The exercises at the command line: start, check, hint, solution, watch, reset.

Answers are in work/, which git ignores, with the progress beside them in
work/.progress.json.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import textwrap
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any, NamedTuple

from .doctor import INSTALL, missing_packages
from .results import GENERAL, WIDTH, Result, explain, score

ROOT = Path(__file__).resolve().parents[2]
POINTS = 20  # of an exercise that was not checked yet
POLL = 0.3  # seconds between two looks at a file
GREEN, YELLOW, BOLD = "32", "33", "1"


class Mistake(Exception):
    """Something that was asked for cannot be done; the message says why, and what to
    do.
    """


class Exercise(NamedTuple):
    """The files of one exercise; the name is the stem that they share."""

    stem: str

    @property
    def number(self) -> str:
        """The two digits that the name begins with."""
        return self.stem[:2]

    @property
    def stub(self) -> Path:
        """What a learner begins with."""
        return ROOT / "lessons" / "exercises" / f"{self.stem}.py"

    @property
    def hints(self) -> Path:
        """The hints, general first."""
        return self.stub.with_suffix(".md")

    @property
    def solution(self) -> Path:
        """The reference answer."""
        return ROOT / "solutions" / f"{self.stem}.py"

    @property
    def tests(self) -> Path:
        """The tests that judge an answer."""
        return ROOT / "tests" / "exercises" / f"test_{self.stem}.py"

    @property
    def answers(self) -> list[Path]:
        """The learner's answers: a script, a notebook, both or none."""
        return [
            path
            for ending in (".py", ".ipynb")
            if (path := work() / f"{self.stem}{ending}").is_file()
        ]


def work() -> Path:
    """Return the folder of the learner's answers."""
    return ROOT / "work"


def find_exercises() -> list[Exercise]:
    """Return all exercises in the order of their numbers."""
    return [
        Exercise(path.stem)
        for path in sorted((ROOT / "lessons" / "exercises").glob("[0-9][0-9]_*.py"))
    ]


def find_exercise(name: str) -> Exercise:
    """Return the exercise with a number or a name. Raises Mistake if there is none."""
    exercises = find_exercises()
    for exercise in exercises:
        if name.zfill(2) == exercise.number or Path(name).stem == exercise.stem:
            return exercise
    numbers = ", ".join(exercise.number for exercise in exercises)
    raise Mistake(
        f"there is no exercise {name}; the exercises are "
        f"{numbers or 'not in this folder'}"
    )


# --- progress ---


class Progress:
    """What the learner has reached so far, kept in work/.progress.json.

    For each exercise: points and of (of the last check), solved (once all tests
        passed), given_up, hints (how many of
    them were shown).
    """

    def __init__(self) -> None:
        self.path = work() / ".progress.json"
        self._entries: dict[str, dict[str, Any]] = {}
        try:
            entries = json.loads(self.path.read_text(encoding="utf-8"))
            self._entries = {stem: dict(entry) for stem, entry in entries.items()}
        except FileNotFoundError:
            pass
        except (ValueError, AttributeError, TypeError):
            kept = _spare_name(self.path)
            self.path.replace(kept)
            print(
                f"work/{self.path.name} could not be read, so your points begin anew."
            )
            print(f"The old file is now work/{kept.name}.\n")

    def get(self, exercise: Exercise, name: str, default: Any = 0) -> Any:
        """Return what is known about an exercise."""
        value = self._entries.get(exercise.stem, {}).get(name, default)
        return value if isinstance(value, type(default)) else default

    def set(self, exercise: Exercise, **values: Any) -> None:
        """Keep something about an exercise."""
        self._entries.setdefault(exercise.stem, {}).update(values)
        self.path.parent.mkdir(exist_ok=True)
        new = self.path.with_suffix(".new")
        new.write_text(json.dumps(self._entries, indent=1), encoding="utf-8")
        new.replace(self.path)

    def describe(self, exercise: Exercise) -> str:
        """Return where the learner stands in an exercise, in a few words."""
        most = self.get(exercise, "of")
        if not exercise.answers:
            return "not started"
        return f"{self.get(exercise, 'points')} of {most} points" if most else "started"

    def unsolved(self) -> list[Exercise]:
        """Return the exercises that are still to be solved."""
        return [
            exercise
            for exercise in find_exercises()
            if not self.get(exercise, "solved", False)
        ]


def total(progress: Progress) -> str:
    """Return the points of all exercises, and how many there are to be had."""
    exercises = find_exercises()
    reached = sum(
        progress.get(exercise, "points") for exercise in exercises if exercise.answers
    )
    return f"{reached} of {sum(progress.get(exercise, 'of') or POINTS for exercise in exercises)}"


# --- the commands ---


def start(options: argparse.Namespace) -> int:
    """Copy the stub to work/, unless there is an answer already."""
    exercise = find_exercise(options.exercise)
    if exercise.answers:
        print(f"{_shown(exercise.answers[0])} is there already, and stays as it is.")
        print(f"Begin again: python -m lessons reset {exercise.number}")
        return 0
    _copy_stub(exercise)
    return 0


def reset(options: argparse.Namespace) -> int:
    """Move the answer aside and begin again with the stub."""
    exercise = find_exercise(options.exercise)
    for path in exercise.answers:
        if path.read_bytes() == exercise.stub.read_bytes():
            print(f"{_shown(path)} is untouched, and stays as it is.")
            continue
        kept = _spare_name(path)
        path.replace(kept)
        print(f"{_shown(path)} is now {_shown(kept)}.")
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
    if not exercise.answers:
        raise Mistake(_not_started(exercise))
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
    shown = progress.get(exercise, "hints")
    names = list(hints)
    if options.hint is None:
        place = min(shown, len(names) - 1)
        progress.set(exercise, hints=min(shown + 1, len(names)))
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
        print(
            "\nThat is the last one. The reference: python -m lessons solution "
            f"{exercise.number} --give-up"
        )
    return 0


def solution(options: argparse.Namespace) -> int:
    """Print the reference answer, if the exercise is solved or given up."""
    exercise, progress = find_exercise(options.exercise), Progress()
    if not exercise.solution.is_file():
        raise Mistake(f"exercise {exercise.number} has no reference answer yet")
    if options.give_up and not progress.get(exercise, "solved", False):
        progress.set(exercise, given_up=True)
    if not progress.get(exercise, "solved", False) and not progress.get(
        exercise, "given_up", False
    ):
        print(
            "The reference opens once your answer is right; so far: "
            f"{progress.describe(exercise)}."
        )
        print(f"The next hint:  python -m lessons hint {exercise.number}")
        print(f"Open it anyway: python -m lessons solution {exercise.number} --give-up")
        return 1
    print(_paint(f"# {_shown(exercise.solution)}", BOLD))
    print(exercise.solution.read_text(encoding="utf-8").rstrip())
    return 0


# --- what they need ---


def read_hints(exercise: Exercise) -> dict[str, str]:
    """Return the hints of an exercise by their names, in the order of the file: each is
    a `## name` and its text.
    """
    if not exercise.hints.is_file():
        return {}
    parts = re.split(r"(?m)^## +(.+?) *$", exercise.hints.read_text(encoding="utf-8"))
    return {name: text.strip() for name, text in zip(parts[1::2], parts[2::2])}  # noqa: B905


def grade(exercise: Exercise, folder: Path) -> list[Result]:
    """Run the tests of an exercise on the answer in a folder, in another process.

    Raises Mistake, with what that process said last, if it broke down.
    """
    handle, name = tempfile.mkstemp(suffix=".xml")
    os.close(handle)
    report = Path(name)
    # Neither notebooks nor several processes are wanted for one file, and without
    # plugins pytest starts at once.
    command = [
        sys.executable,
        "-m",
        "pytest",
        str(exercise.tests),
        "--submission",
        str(folder),
        "-o",
        "addopts=",
        "-q",
    ]
    environment = {
        **os.environ,
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTHONUTF8": "1",
    }
    try:
        done = subprocess.run(
            [
                *command,
                f"--junitxml={report}",
                "--rootdir",
                str(ROOT),
                "-p",
                "no:cacheprovider",
            ],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
        )
        results = _read_report(report.read_text(encoding="utf-8"))
    finally:
        report.unlink()
    if not results:
        raise Mistake(_broken_off(exercise, done))
    return results


def _broken_off(exercise: Exercise, done: subprocess.CompletedProcess) -> str:
    words, answer = done.stdout.strip().splitlines(), _shown(exercise.answers[0])
    sentence = f"the tests did not come to their end (exit status {done.returncode})"
    if done.returncode in (2, 3, 4, 5) and words:  # pytest itself gave up
        return "\n".join([f"{sentence}; their last words:", *words[-12:]])
    sentence += ": your code ended the whole process (by os._exit(), or by a crash), or could not be stopped;"
    places = [
        line for line in words if f'"{answer}' in line
    ]  # of a crash, innermost first
    return "\n".join([f"{sentence} look for that in {answer}", *places[:3]])


def _read_report(text: str) -> list[Result]:
    results = []
    for case in ElementTree.fromstring(text).iter("testcase") if text else ():
        found = [
            (one.get("name", ""), one.get("value", "")) for one in case.iter("property")
        ]
        properties = dict(found)
        failure = next(
            (one for one in case if one.tag in ("failure", "error", "skipped")), None
        )
        message = (
            "" if failure is None else (failure.text or failure.get("message") or "")
        )
        if (
            failure is not None and "\n  we saw:" not in message
        ):  # a mistake in the tests, not in the answer
            message = (
                f"{properties.get('exercise', '')}: the test broke down\n{message}"
            )
        results.append(
            Result(
                exercise=properties.get("exercise", ""),
                points=int(properties.get("points", 0)),
                passed=failure is None,
                text=message,
                kind=properties.get("kind", ""),
                notes=tuple(value for name, value in found if name == "note"),
            )
        )
    return results


def _check(exercise: Exercise) -> int:
    if not exercise.answers:
        raise Mistake(_not_started(exercise))
    if not exercise.tests.is_file():
        raise Mistake(f"exercise {exercise.number} has no tests yet")
    missing = missing_packages(group=0) + [
        name for name in ("pytest",) if not importlib.util.find_spec(name)
    ]
    if missing:
        raise Mistake(f"{', '.join(missing)} not installed; run: {INSTALL}")
    print(f"Checking {_shown(exercise.answers[0])}\n", flush=True)
    results = grade(exercise, work())
    points, most = score(results)
    for line in explain(results):
        print(line)
    is_solved = all(result.passed for result in results)
    if is_solved and any(result.notes for result in results):
        print()
    progress = Progress()
    progress.set(
        exercise,
        points=points,
        of=most,
        solved=is_solved or progress.get(exercise, "solved", False),
    )
    if is_solved:
        print(
            _paint(f"All {len(results)} tests pass: {points} of {most} points.", GREEN)
        )
        print(
            f"Compare with the reference: python -m lessons solution {exercise.number}"
        )
        if following := progress.unsolved():
            print(
                "Next:                       python -m lessons start "
                f"{following[0].number}"
            )
        return 0
    is_script = exercise.answers[0].suffix == ".py"
    if (
        is_script
        and next(result.kind for result in results if not result.passed) not in GENERAL
    ):
        print(
            f"\nTo try this yourself: python -i {_shown(exercise.answers[0])}, and "
            "there first:"
        )
        print(
            "    from mock_server import MockServer, fault; server = "
            "MockServer().start()"
        )
    print("\n" + _paint(f"{points} of {most} points so far.", YELLOW))
    return 1


def _copy_stub(exercise: Exercise) -> None:
    work().mkdir(exist_ok=True)
    target = work() / exercise.stub.name
    if target.is_dir():
        raise Mistake(_not_started(exercise))
    with (
        exercise.stub.open("rb") as stub,
        target.open("xb") as copy,
    ):  # "x": never over a file that is there
        shutil.copyfileobj(stub, copy)
    print(f"Write your answer in {_shown(target)}.")
    print(f"Check it:      python -m lessons check {exercise.number}")
    print(f"A hint:        python -m lessons hint {exercise.number}")
    print(f"On every save: python -m lessons watch {exercise.number}")


def _not_started(exercise: Exercise) -> str:
    if (work() / exercise.stub.name).is_dir():
        return f"work/{exercise.stub.name} is a folder, not a file; move it away"
    return f"there is no work/{exercise.stem}.py yet; begin with: python -m lessons start {exercise.number}"


def _spare_name(path: Path) -> Path:
    """Return a name beside a file that is not taken yet: 05_error_classes~1.py."""
    number = 1
    while (spare := path.with_name(f"{path.stem}~{number}{path.suffix}")).exists():
        number += 1
    return spare


def _state(exercise: Exercise) -> list[tuple[str, int, int]]:
    """Return what changes when an answer is saved; nothing while there is none."""
    found = []
    for path in exercise.answers:
        with contextlib.suppress(
            OSError
        ):  # an editor may move the file away for a moment while it saves
            status = path.stat()
            found.append((path.name, status.st_mtime_ns, status.st_size))
    return found


def _shown(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _fill(text: str) -> str:
    """Return Markdown for a terminal: paragraphs filled, code blocks as they are."""
    parts = re.split(r"(?ms)^(```.*?^```)$", text)
    lines = []
    for part in parts:
        if part.startswith("```"):
            lines += ["    " + line for line in part.splitlines()[1:-1]]
        else:
            for paragraph in filter(None, re.split(r"\n\s*\n", part.strip())):
                lines += textwrap.wrap(
                    " ".join(paragraph.split()), WIDTH, break_long_words=False
                )
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
