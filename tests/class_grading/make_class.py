"""Make up a class: who hands in what, and how many points that must give.

    python -m tests.class_grading.make_class FOLDER --students 100
    python -m tests.grade FOLDER/hand-ins --roster FOLDER/roster.csv --out report
    python -m tests.class_grading.make_class FOLDER --compare report

The answers are references, right and wrong answers of tests/quality, stubs and broken
files. They come as folders, flat files, zips and checkouts, under the names of learning
platforms, with doubles and files of no use.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import sys
import zipfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tests.quality.grader import Case, exercises, find_cases

LAYOUTS = ("folder", "flat", "zip", "moodle", "canvas", "checkout", "folder of a zip")
BROKEN = {
    "syntax": b"def get_json(:\n",
    "empty": b"",
    "UTF-16": "x = 1\n".encode("utf-16"),
    "no text": b"\x89PNG\r\n\x1a\n\0\0\0",
    "another encoding": b"name = 'G\xf6del'\n",
    "ends the process": b"import os\nos._exit(0)\n",
    "never ends": b"while True:\n    pass\n",
    "borrowed": b"from solutions import *\n",
}
# How many of 100 answers are of each kind; the others are missing.
SHARES = {"reference": 20, "right": 27, "wrong": 35, "stub": 7, "broken": 7}
FIRST = ("Ada", "Bo", "Chen", "Dora", "Emre", "Fatou", "Grace", "Hugo", "Iñes", "Jo")
LAST = ("Lovelace", "Okafor", "Wei", "Müller", "Şahin", "Diop", "Hopper", "O'Neil")


class Made(NamedTuple):
    """Somebody of the class. answers: the code, by exercise; points: what it gives."""

    id: str
    name: str
    layout: str
    answers: dict[str, bytes]
    points: dict[str, int]


def make_class(
    folder: Path, students: int = 100, seed: int = 14, only: Sequence[str] = ()
) -> list[Made]:
    """Write hand-ins, roster.csv and expected.csv into a folder; return who is in them.

    The same seed makes the same class. only: numbers of exercises.
    """
    chance = random.Random(seed)
    pools: dict[str, dict[str, list[Case]]] = defaultdict(lambda: defaultdict(list))
    for case in find_cases(only):
        pools[case.exercise][case.kind].append(case)
    made = []
    for number in range(students):
        id = str(40_000 + number)
        name = f"{chance.choice(FIRST)} {chance.choice(LAST)}{number:03}"
        layout = LAYOUTS[number % len(LAYOUTS)]
        student = Made(id, name, layout, {}, {})
        for exercise in pools:
            _choose(student, exercise, pools[exercise], chance)
        made.append(student)
        _hand_in(student, folder / "hand-ins", chance)
    (folder / "hand-ins" / "read me.txt").write_text("Marks are due on Friday.\n")
    _write_lists(made, folder, [*pools])
    return made


def _choose(
    student: Made, exercise: str, pool: dict[str, list[Case]], chance: random.Random
) -> None:
    """Choose an answer, and say what it is worth."""
    missing = 100 - sum(SHARES.values())
    kinds = [*SHARES, ""]
    (kind,) = chance.choices(kinds, weights=[*SHARES.values(), missing])
    if not kind:
        student.points[exercise] = 0
        return
    if kind == "broken":
        student.answers[exercise] = chance.choice([*BROKEN.values()])
        student.points[exercise] = 0
        return
    case = chance.choice(pool[kind])
    student.answers[exercise] = case.code.encode()
    points = {"stub": 0, "wrong": case.wrong.keeps if case.wrong else 0}
    student.points[exercise] = points.get(kind, 20)


def _hand_in(student: Made, folder: Path, chance: random.Random) -> None:
    """Write the answers of a student as their platform would."""
    files: dict[str, bytes] = {}
    for exercise, code in student.answers.items():
        name = _name(exercise, chance)
        if chance.random() < 0.1 and _is_text(code):  # as a notebook
            name, code = f"{exercise}.ipynb", notebook(code)
        if chance.random() < 0.05:  # an old version, which does not count
            suffix = Path(name).suffix if name.endswith("b") else ".py"
            name, old = f"{exercise}{suffix}", f"{exercise}-1{suffix}"
            if student.layout in ("flat", "canvas"):  # a number means newer there
                name, old = old, name
            files[old] = b"# an older version\n"
        files[name] = code
    if chance.random() < 0.1:
        files["notes.pdf"] = b"%PDF-1.4"
    user = f"s{student.id}"
    first, _, last = student.name.lower().partition(" ")
    before = {
        "folder": f"{user}/",
        "flat": f"{user}__",
        "moodle": f"{student.name}_{student.id}_assignsubmission_file_/",
        "canvas": f"{last}{first}_{student.id}_{chance.randrange(10**6)}_",
        "checkout": f"course-{user}/work/",
        "zip": f"{user}.zip",
        "folder of a zip": f"{user}/hand-in.zip",
    }[student.layout]
    if student.layout == "checkout":
        given = b"raise NotImplementedError\n"
        files["../lessons/exercises/01_basic_get.py"] = given
    (folder / before).parent.mkdir(parents=True, exist_ok=True)
    if before.endswith(".zip"):
        with zipfile.ZipFile(folder / before, "w") as archive:
            for name, data in files.items():
                archive.writestr(f"hand-in/{name}", data)
        return
    for name, data in files.items():
        path = folder / (before + name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def _name(exercise: str, chance: random.Random) -> str:
    """Return one of the names that an answer arrives under."""
    hyphens = exercise.replace("_", "-").title()
    names = [f"{exercise}.py"] * 6
    names += [f"{exercise} (1).py", f"{exercise}.py.txt", f"{hyphens}.py"]
    return chance.choice(names)


def _is_text(code: bytes) -> bool:
    try:
        compile(code, "answer", "exec")
    except (SyntaxError, ValueError):
        return False
    return True


def notebook(code: bytes) -> bytes:
    """Return a notebook with one cell."""
    cell = {"cell_type": "code", "source": code.decode(), "metadata": {}}
    cell |= {"outputs": [], "execution_count": None}
    book = {"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(book).encode()


def _write_lists(made: list[Made], folder: Path, names: list[str]) -> None:
    with (folder / "roster.csv").open("w", encoding="utf-8", newline="") as file:
        roster = csv.writer(file)
        roster.writerow(("id", "name", "email"))
        for one in made:
            roster.writerow((one.id, one.name, f"s{one.id}@school.example"))
    with (folder / "expected.csv").open("w", encoding="utf-8", newline="") as file:
        expected = csv.writer(file)
        expected.writerow(("student", *(name[:2] for name in names)))
        for one in made:
            expected.writerow((one.id, *(one.points[name] for name in names)))


def compare(folder: Path, report: Path) -> list[str]:
    """Return what the grades of a report have that was not to be expected."""
    with (folder / "expected.csv").open(encoding="utf-8", newline="") as file:
        expected = {row["student"]: row for row in csv.DictReader(file)}
    with (report / "grades.csv").open(encoding="utf-8", newline="") as file:
        grades = {row["student"]: row for row in csv.DictReader(file)}
    wrong = [f"{id}: more or less than once" for id in expected.keys() ^ grades.keys()]
    for id in expected.keys() & grades.keys():
        for number, points in expected[id].items():
            if grades[id][number] != points:
                got = grades[id][number]
                wrong.append(f"{id} has {got} points for {number}, not {points}")
    return sorted(wrong)


def main() -> int:
    """Make a class, or compare a report with what it had to be."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.class_grading.make_class", description=__doc__
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--students", type=int, default=100)
    parser.add_argument("--seed", type=int, default=14)
    parser.add_argument("--only", action="append", default=[], choices=exercises())
    parser.add_argument("--compare", type=Path, metavar="REPORT")
    options = parser.parse_args()
    if options.compare:
        wrong = compare(options.folder, options.compare)
        print("\n".join(wrong) or "all grades are as expected")
        return int(bool(wrong))
    made = make_class(options.folder, options.students, options.seed, options.only)
    print(f"{len(made)} students, {sum(len(one.answers) for one in made)} answers")
    return 0


if __name__ == "__main__":
    sys.exit(main())
