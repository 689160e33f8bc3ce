"""The exercises of the course, by their numbers and names, and the files of each."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
WORK = ROOT / "work"  # the learner's answers; git ignores it


class Mistake(Exception):
    """Something cannot be done; the message says why, and what to do."""


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
        return find_answers(WORK, self.stem)

    def find_answer(self) -> Path:
        """Return the answer that counts. Raises Mistake if there is none yet."""
        if self.answers:
            return self.answers[0]
        if (WORK / self.stub.name).is_dir():
            raise Mistake(
                f"work/{self.stub.name} is a folder, not a file; move it away"
            )
        raise Mistake(
            f"there is no work/{self.stub.name} yet; begin with: "
            f"python -m lessons start {self.number}"
        )


def find_answers(folder: Path, stem: str) -> list[Path]:
    """Return the answers to an exercise in a folder; what counts comes first.

    Files under the exact name come alone. Without them, those under a name that a
    browser, Windows or a learning platform made of it: `05_topic (1).py`,
    `05_topic.py.txt`, `lovelaceada_4711_05_topic-2.py`, `05-Topic.py`; the highest
    number first.
    """
    exact = [folder / f"{stem}.py", folder / f"{stem}.ipynb"]
    if found := [path for path in exact if path.is_file()]:
        return found
    numbers = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        name = match_name(path.name, stem)
        if name and path.is_file():
            numbers[path] = name[1]
    return sorted(numbers, key=lambda path: (is_notebook(path), -numbers[path]))


def match_name(name: str, stem: str) -> tuple[str, int] | None:
    """Return what a file's name has before the exercise, and its number as a copy.

    `lovelaceada_4711_05_topic-2.py` has "lovelaceada_4711_" and 2. None: the file is no
    answer to the exercise.
    """
    found = re.fullmatch(
        rf"(.*[^a-z0-9])?{stem.replace('_', '[-_ ]')}"
        r" ?(?:\((\d+)\)|-(\d+))?\.(?:py|ipynb)(?:\.txt)?",
        name,
        re.IGNORECASE,
    )
    return found and (found[1] or "", int(found[2] or found[3] or 0))


def is_notebook(path: Path) -> bool:
    """Say whether a file is a notebook by its name, be it `05_topic.ipynb.txt`."""
    return ".ipynb" in path.suffixes


def find_exercises() -> list[Exercise]:
    """Return all exercises in the order of their numbers."""
    stubs = (ROOT / "lessons" / "exercises").glob("[0-9][0-9]_*.py")
    return [Exercise(path.stem) for path in sorted(stubs)]


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


def read_hints(exercise: Exercise) -> dict[str, str]:
    """Return the hints of an exercise by their names, in the order of the file.

    Each is a heading `## name` and the text below it.
    """
    if not exercise.hints.is_file():
        return {}
    text = exercise.hints.read_text(encoding="utf-8")
    hints = re.findall(r"(?ms)^## +([^\n]+?) *$(.*?)(?=^## |\Z)", text)
    return {name: told.strip() for name, told in hints}


def shown(path: Path) -> str:
    """Return how to call a file of the course in a message."""
    return path.relative_to(ROOT).as_posix()
