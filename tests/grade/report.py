"""The grades of a class as tables, and a page of feedback for each student."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from lessons.course.results import (
    BORROWED,
    BROKEN,
    GENERAL,
    Result,
    clip,
    explain,
    score,
)

from .engine import Verdict
from .hand_ins import UNKNOWN
from .journal import Key, Run, write_whole
from .people import Student

OF = 20  # points of one exercise
# Spreadsheets compute a cell that begins with one of these: OWASP, "CSV Injection".
_FORMULA = re.compile(r"[=+\-@\t\r＝＋－＠]\s*\S")  # noqa: RUF001


class Row(NamedTuple):
    """What one student reached.

    folder: a name for the student's files. verdicts: by the stem of the exercise.
    look: why a person should look. unknown: files that are no answer by their names.
    """

    student: Student
    folder: str
    verdicts: dict[str, Verdict]
    look: list[str]
    unknown: list[str]

    def points(self, exercise: str) -> int:
        """Return the points for an exercise; 0 without an answer."""
        verdict = self.verdicts.get(exercise)
        return score(verdict.results)[0] if verdict else 0

    @property
    def total(self) -> int:
        """The points for all exercises."""
        return sum(map(self.points, self.verdicts))


class Report(NamedTuple):
    """A run with its verdicts, a row for each student."""

    run: Run
    rows: list[Row]

    @property
    def of(self) -> int:
        """The points that a student could have."""
        return OF * len(self.run.exercises)


def make_report(run: Run, verdicts: dict[Key, Verdict]) -> Report:
    """Bring the verdicts of a run into the order of its students."""
    rows, folders, unknown = [], Counter(), defaultdict(list)
    for fate in run.fates:
        if fate.what.startswith(UNKNOWN):
            unknown[fate.student].append(fate.file.rpartition("/")[2])
    for student in run.students:
        own = {
            exercise: verdicts[student.id, exercise]
            for exercise in run.exercises
            if (student.id, exercise) in verdicts
        }
        folder = safe_name(student.id)
        folders[folder.lower()] += 1
        if folders[folder.lower()] > 1:
            folder += f"~{folders[folder.lower()]}"
        look = list(run.look.get(student.id, ()))
        for exercise, verdict in own.items():
            look += [f"{exercise[:2]}: {why}" for why in _reasons(verdict)]
        rows.append(Row(student, folder, own, sorted(look), unknown[student.id]))
    return Report(run, rows)


def _reasons(verdict: Verdict) -> list[str]:
    """Return why a person should look at an answer: what the engine says, and more."""
    reasons = list(verdict.look)
    kinds = Counter(result.kind for result in verdict.results if not result.passed)
    if kinds[BROKEN]:
        reasons.append("a test broke down; grade it again")
    if kinds[BORROWED]:
        reasons.append("uses the course's own code")
    judged = sum(result.points for result in verdict.results)
    if judged != OF:
        reasons.append(f"only {judged} of {OF} points were judged")
    return reasons


def safe_name(text: str) -> str:
    """Return a name for a folder that every system can have."""
    name = re.sub(r"[^\w.@+-]+", "_", text).strip(". ")[:80] or "student"
    reserved = re.fullmatch(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?", name)
    return f"_{name}" if reserved else name


# --- the tables ---


def write_tables(report: Report, folder: Path) -> None:
    """Write grades.csv, tests.csv, files.csv and the feedback of each student."""
    write_whole(folder / "grades.csv", to_csv(grades(report)))
    write_whole(folder / "tests.csv", to_csv(tests(report)))
    fates = [("file", "student", "exercise", "what"), *report.run.fates]
    write_whole(folder / "files.csv", to_csv(fates))
    for row in report.rows:
        page = folder / "students" / row.folder / "feedback.md"
        write_whole(page, feedback(row, report))


def grades(report: Report) -> list[tuple[object, ...]]:
    """Return the head of grades.csv and a row for each student."""
    exercises = report.run.exercises
    numbers = [exercise[:2] for exercise in exercises]
    lines: list[tuple[object, ...]] = [
        ("student", "name", "email", *numbers, "total", "of", "look")
    ]
    for row in report.rows:
        points = map(row.points, exercises)
        look = "; ".join(row.look)
        lines.append((*row.student, *points, row.total, report.of, look))
    return lines


def tests(report: Report) -> list[tuple[object, ...]]:
    """Return the head of tests.csv and a row for each test of each answer."""
    lines: list[tuple[object, ...]] = [
        ("student", "exercise", "test", "points", "of", "kind", "saw")
    ]
    for row in report.rows:
        for exercise, verdict in row.verdicts.items():
            for result, points in with_points(verdict.results):
                texts = result.kind, result.saw
                line = (row.student.id, exercise, result.title, points, result.points)
                lines.append((*line, *texts))
    return lines


def with_points(results: list[Result]) -> list[tuple[Result, int]]:
    """Return each result with the points it gives; in all they are the score."""
    counts = bool(score(results)[0])
    return [
        (result, result.points if counts and result.passed else 0) for result in results
    ]


def to_csv(lines: Iterable[Iterable[object]]) -> str:
    """Return lines as CSV. A text that a spreadsheet would compute gets a ' before."""
    output = io.StringIO()
    writer = csv.writer(output, lineterminator="\n")
    writer.writerows([defuse(cell) for cell in line] for line in lines)
    return output.getvalue()


def defuse(cell: object) -> object:
    """Return a cell that a spreadsheet shows as it is."""
    if not isinstance(cell, str):
        return cell
    text = " ".join(cell.replace("\0", " ").splitlines())
    return f"'{text}" if _FORMULA.match(text.lstrip(" ")) else text


# --- for the student ---


def feedback(row: Row, report: Report) -> str:
    """Return the page that a student gets: the texts of `check`, and the points."""
    student = row.student
    parts = [f"# {student.name or student.id}: {row.total} of {report.of} points"]
    for exercise in report.run.exercises:
        parts.append(f"## {exercise}: {row.points(exercise)} of {OF} points")
        parts.append(explain_verdict(row, exercise))
    return "\n\n".join(parts) + "\n"


def explain_verdict(row: Row, exercise: str) -> str:
    """Return what a student reads about one answer, as Markdown."""
    verdict = row.verdicts.get(exercise)
    if not verdict:
        sentence = f"No `{exercise}.py` or `{exercise}.ipynb` was found."
        if row.unknown:
            found = clip(", ".join(row.unknown).replace("`", "'"), 200)
            sentence += f" Is it one of these, under another name: `{found}`?"
        return sentence
    if not verdict.results:
        return "The tests did not come to their end. Ask your instructor about it."
    failed = [result for result in verdict.results if not result.passed]
    # What has one cause for all tests is told once.
    in_full = not any(result.kind in GENERAL for result in failed)
    lines = explain(verdict.results, in_full)
    return fenced("\n".join(lines)) if lines else "All tests passed."


def fenced(text: str) -> str:
    """Return a text as a block that nothing in it can end."""
    ticks = "`" * max(3, *(len(run) + 1 for run in re.findall("`+", text)), 3)
    return f"{ticks}text\n{text}\n{ticks}"
