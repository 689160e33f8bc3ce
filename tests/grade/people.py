"""Who handed a file in, by the names that learning platforms give, and the roster."""

from __future__ import annotations

import csv
import json
import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from lessons.course.exercises import Mistake, match_name

COLUMNS = ("id", "name", "email")  # of a roster
# Moodle: `Ada Lovelace_4711_assignsubmission_file_` is a folder, or the beginning of a
# file's name. The number is that of the participant in the grading worksheet.
_MOODLE = re.compile(r"(.+)_(\d+)_assignsubmission_(?:file|onlinetext)_?(.*)")
# Canvas: `lovelaceada_LATE_4711_99_05_topic-1.py`: the student, and the submission.
_CANVAS = re.compile(r"([^_]+)(?:_LATE)?_(\d+)_(\d+)_(.+)")
_PLAIN = re.compile(r"(.+?)__(.+)")


class Student(NamedTuple):
    """Somebody of the class; id is what the roster or the platform calls them by."""

    id: str
    name: str = ""
    email: str = ""


def owner_of_folder(name: str, known: dict[str, Student]) -> Student:
    """Return whose folder or zip it is. known: what Gradescope says of its folders."""
    name = re.sub(r"\.zip$", "", name, flags=re.IGNORECASE)
    if name in known:
        return known[name]
    if found := _MOODLE.fullmatch(name) or _CANVAS.fullmatch(name):
        return Student(found[2], found[1])
    if found := _PLAIN.fullmatch(name):
        return Student(found[1])
    return Student(re.sub(r" ?\(\d+\)$", "", name).strip() or name)


def owner_of_file(name: str, stems: Iterable[str]) -> Student | None:
    """Return whose file it is, if its name says so."""
    if found := _MOODLE.fullmatch(name) or _CANVAS.fullmatch(name):
        return Student(found[2], found[1])
    if found := _PLAIN.fullmatch(name):
        return Student(found[1])
    for stem in stems:
        if (match := match_name(name, stem)) and (before := match[0].strip(" _-.")):
            return Student(before)
    return None


def is_from_a_platform(name: str) -> bool:
    """Say whether only a platform, or `student__file`, makes names like this one."""
    patterns = (_MOODLE, _CANVAS, _PLAIN, re.compile(r"submission_\d+"))
    return any(pattern.fullmatch(name) for pattern in patterns)


def read_gradescope(text: str) -> dict[str, Student]:
    """Return who is behind the folders `submission_1234` of an export of Gradescope.

    text: its submission_metadata.yml, of which three fields of each first submitter
    are read.
    """
    students = {}
    for block in re.split(r"(?m)^(?=submission_\d+:)", text)[1:]:
        fields = re.findall(r"(?m)^\s+(?:- )?:(name|sid|email): *(.*?) *$", block)
        first: dict[str, str] = {}
        for key, value in fields:
            first.setdefault(key, value.strip("'\""))
        folder = block.partition(":")[0]
        id = first.get("sid") or first.get("email") or folder
        students[folder] = Student(id, first.get("name", ""), first.get("email", ""))
    return students


def read_gradescope_container(path: Path) -> Student | None:
    """Return who handed in what Gradescope's container grades.

    path: its submission_metadata.json. Several students of a group come as one. Raises
    Mistake if there is such a file, and it is something else.
    """
    if not path.is_file():
        return None
    try:
        users = json.loads(path.read_text(encoding="utf-8"))["users"]
    except (ValueError, KeyError, TypeError) as error:
        raise Mistake(f"{path} is not as Gradescope writes it") from error
    return Student(
        "+".join(str(user.get("id", "")) for user in users),
        ", ".join(user.get("name", "") for user in users),
        ", ".join(user.get("email", "") for user in users),
    )


# --- the roster ---


def read_roster(path: Path) -> list[Student]:
    """Return the students of a CSV file with the columns id, name and email.

    The separator is a comma or a semicolon. Raises Mistake if a column is missing, or
    if two students have one id.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise Mistake(f"the roster {path} cannot be read: {error}") from error
    header = lines[0] if lines else ""
    rows = csv.DictReader(lines, delimiter=";" if ";" in header else ",")
    names = {str(name).strip().lower(): name for name in rows.fieldnames or ()}
    if missing := [column for column in COLUMNS if column not in names]:
        raise Mistake(
            f"the roster {path} has no column {', '.join(missing)}; its first line "
            f"must name {', '.join(COLUMNS)}, and is: {header[:60]}"
        )
    students = [
        Student(*((row[names[column]] or "").strip() for column in COLUMNS))
        for row in rows
    ]
    students = [student for student in students if student.id]
    ids = [fold(student.id) for student in students]
    if twice := [id for id in dict.fromkeys(ids) if ids.count(id) > 1]:
        raise Mistake(f"the roster {path} has more than one student {twice[0]}")
    return students


def find_in_roster(student: Student, roster: list[Student]) -> Student | None:
    """Return the one student of a roster that a platform's name means, if it is clear.

    What is compared: the name in any order, also without blanks, before the rest, since
    the number of a platform may be another student's id; then the id; the address or
    what is before its @; and either of these at the end of a repository's name.
    """
    given = {fold(student.id), fold(student.email)} - {""}
    called = {fold(student.id), fold(student.name), fold(student.email)} - {""}
    tests = (
        lambda one: _squeeze(student.name) in _names(one.name),
        lambda one: fold(one.id) in given,
        lambda one: fold(one.email) in called,
        lambda one: fold(one.email).partition("@")[0] in called,
        lambda one: bool(_names(one.name) & {_squeeze(text) for text in called}),
        lambda one: fold(student.id).endswith(_endings(one)),
    )
    for test in tests:
        found = [one for one in roster if test(one)]
        if found:
            return found[0] if len(found) == 1 else None
    return None


def fold(text: str) -> str:
    """Return a text as it is compared: capital letters and their forms do not count."""
    return unicodedata.normalize("NFC", text).strip().casefold()


def _endings(student: Student) -> tuple[str, ...]:
    """Return how the name of a repository can end that is a student's."""
    user = fold(student.email).partition("@")[0]
    return tuple(f"-{name}" for name in (fold(student.id), user) if name)


def _squeeze(text: str) -> str:
    """Return only the letters and digits of a text, without accents."""
    letters = unicodedata.normalize("NFKD", fold(text))
    return "".join(one for one in letters if one.isalnum())


def _names(name: str) -> set[str]:
    """Return the ways in which platforms write a name: adalovelace, lovelaceada."""
    last, _, first = name.partition(",")
    words = f"{first} {last}".split()
    turned = (words[place:] + words[:place] for place in range(len(words)))
    return {_squeeze(" ".join(order)) for order in turned} - {""}
