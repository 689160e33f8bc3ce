"""The grades in the forms that other programs read.

Each function names where its form is described.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from lessons.course.exercises import Mistake
from lessons.course.results import Result, render

from .engine import Verdict
from .journal import write_whole
from .people import Student, find_in_roster, fold
from .report import OF, Report, Row, explain_verdict, to_csv, with_points

FORMS = ("nbgrader", "moodle", "classroom50")
# What Classroom 50's runner tells an autograder, by the field of the result.
_CLASSROOM = {
    "classroom": "CLASSROOM",
    "assignment": "ASSIGNMENT",
    "submission": "SUBMISSION_TAG",
    "commit": "COMMIT_URL",
    "release": "RELEASE_URL",
}


def write_exports(report: Report, folder: Path, forms: list[str]) -> None:
    """Write junit.xml, a results.json for each student, and what is asked for."""
    write_whole(folder / "junit.xml", junit(report))
    for row in report.rows:
        text = json.dumps(gradescope(row, report), indent=1, ensure_ascii=False)
        write_whole(folder / "students" / row.folder / "results.json", text + "\n")
    if "nbgrader" in forms:
        write_whole(folder / "nbgrader.csv", to_csv(nbgrader(report)))
    if "moodle" in forms:
        write_whole(folder / "moodle.csv", to_csv(moodle(report)))
    if "classroom50" in forms:
        text = json.dumps(classroom50(report, os.environ), indent=1)
        write_whole(folder / "result.json", text + "\n")


def gradescope(row: Row, report: Report) -> dict[str, object]:
    """Return what Gradescope reads as results.json, with one entry for each test.

    There is no score for the whole: Gradescope adds those of the tests. See
    gradescope-autograders.readthedocs.io, Autograder Specifications.
    """
    listed: list[dict[str, object]] = []
    for exercise in report.run.exercises:
        verdict = row.verdicts.get(exercise)
        judged = sum(result.points for result in verdict.results) if verdict else 0
        for result, points in with_points(verdict.results) if verdict else ():
            entry = _entry(f"{exercise[:2]} {result.title}", points, result.points)
            if not result.passed:
                entry["output"] = render(result)
            listed.append(entry)
        if judged < OF:  # no answer, or no end
            entry = _entry(f"{exercise[:2]} what was not judged", 0, OF - judged)
            entry["output"] = explain_verdict(row, exercise) if not judged else ""
            listed.append(entry)
    return {"tests": listed, "visibility": "visible", "stdout_visibility": "hidden"}


def _entry(name: str, points: int, of: int) -> dict[str, object]:
    status = "passed" if points == of else "failed"
    return {
        "name": name,
        "score": points,
        "max_score": of,
        "status": status,
        "output_format": "text",
    }


def classroom50(report: Report, environment: Mapping[str, str]) -> dict[str, object]:
    """Return a `classroom50/result/v1`, which is about one student.

    See the wiki of foundation50/classroom50, Advanced Autograding; its runner sets the
    variables and adds the owner. Raises Mistake without them.
    """
    missing = [name for name in _CLASSROOM.values() if not environment.get(name)]
    if missing or len(report.rows) != 1:
        why = f"{', '.join(missing)} not set" if missing else "several students"
        raise Mistake(
            f"classroom50 is for one student, in the runner of Classroom 50 ({why})"
        )
    tests = []
    for exercise in report.run.exercises:
        verdict = report.rows[0].verdicts.get(exercise, Verdict([], (), 0.0))
        found = with_points(verdict.results)
        judged = sum(result.points for result, _ in found)
        listed = [(result.title, points, result.points) for result, points in found]
        if judged < OF:
            listed.append(("what was not judged", 0, OF - judged))
        for title, points, of in listed:
            name, passed = f"{exercise}: {title}", points == of
            tests.append(
                {"test-name": name, "passed": passed, "score": points, "max-score": of}
            )
    return {
        "schema": "classroom50/result/v1",
        **{field: environment[name] for field, name in _CLASSROOM.items()},
        "review": environment.get("REVIEW_URL") or environment["COMMIT_URL"],
        "datetime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "score": report.rows[0].total,
        "max-score": report.of,
        "tests": tests,
    }


def junit(report: Report) -> str:
    """Return the tests of all students as JUnit XML, as pytest and CI systems write it.

    Each answer is a suite, named student.exercise.
    """
    root = ElementTree.Element("testsuites")
    for row in report.rows:
        for exercise, verdict in row.verdicts.items():
            name = _xml(f"{row.student.id}.{exercise}")
            failed = [result for result in verdict.results if not result.passed]
            suite = ElementTree.SubElement(root, "testsuite", name=name)
            suite.set("tests", str(len(verdict.results)))
            suite.set("failures", str(len(failed)))
            suite.set("errors", str(int(not verdict.results)))
            suite.set("time", f"{verdict.seconds:.3f}")
            for result in verdict.results:
                _case(suite, name, result)
            if not verdict.results:
                case = ElementTree.SubElement(suite, "testcase", classname=name)
                case.set("name", "the tests did not come to their end")
                ElementTree.SubElement(case, "error", message="; ".join(verdict.look))
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def _case(suite: ElementTree.Element, name: str, result: Result) -> None:
    case = ElementTree.SubElement(suite, "testcase", classname=name)
    case.set("name", _xml(result.title))
    if not result.passed:
        failure = ElementTree.SubElement(case, "failure", message=_xml(result.saw))
        failure.text = _xml(render(result))


def _xml(text: str) -> str:
    """Return a text without what XML 1.0 cannot hold."""
    return re.sub("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "?", text)


def nbgrader(report: Report) -> list[tuple[object, ...]]:
    """Return the columns of `nbgrader export`, a row for each student and exercise."""
    head = ("assignment", "duedate", "timestamp", "student_id", "last_name")
    head += ("first_name", "email", "raw_score", "late_submission_penalty", "score")
    lines: list[tuple[object, ...]] = [(*head, "max_score")]
    for exercise in report.run.exercises:
        for row in report.rows:
            first, last = _names(row.student.name)
            points = row.points(exercise)
            who = (row.student.id, last, first, row.student.email)
            lines.append((exercise, "", "", *who, points, 0, points, OF))
    return lines


def _names(name: str) -> tuple[str, str]:
    """Split a name into the first names and the last."""
    last, comma, first = name.partition(",")
    if comma:
        return first.strip(), last.strip()
    first, _, last = name.rpartition(" ")
    return first, last


def moodle(report: Report) -> list[tuple[object, ...]]:
    """Return a grading worksheet as Moodle's "Upload grading worksheet" reads it.

    It finds students by `Participant` and the number in the name of their folder.
    """
    head = ("Identifier", "Full name", "Email address", "Grade", "Maximum Grade")
    lines: list[tuple[object, ...]] = [
        (*head, "Last modified (grade)", "Feedback comments")
    ]
    for row in report.rows:
        student = row.student
        number = student.id.isdecimal()
        identifier = f"Participant {student.id}" if number else student.id
        comment = "; ".join(
            f"{exercise[:2]}: {row.points(exercise)} of {OF}"
            for exercise in report.run.exercises
        )
        who = (identifier, student.name, student.email)
        lines.append((*who, row.total, report.of, "-", comment))
    return lines


# --- Canvas ---


def fill_canvas(report: Report, export: Path) -> str:
    """Return an export of Canvas' gradebook with the points in their cells.

    Columns are found by the name of the exercise, as `05_error_classes (1234)` or
    `05 Error classes (1234)`, and one named `total` gets the sum; rows by ID, SIS User
    ID, SIS Login ID or name. All other cells stay as they are. Raises Mistake if a
    column or every student is missing.
    """
    try:
        text = export.read_bytes().decode("utf-8-sig")
        lines = list(csv.reader(text.splitlines()))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise Mistake(f"{export} cannot be read: {error}") from error
    head = lines[0] if lines else []
    if not {"Student", "ID"} <= set(head):
        raise Mistake(
            f"{export} is no export of Canvas' gradebook: no Student or no ID"
        )
    columns = {
        place: exercise
        for place, name in enumerate(head)
        for exercise in [*report.run.exercises, "total"]
        if _plain(re.sub(r"\(\d+\)\s*$", "", name)) == _plain(exercise)
    }
    if missing := sorted(set(report.run.exercises) - set(columns.values())):
        raise Mistake(f"{export} has no column for {', '.join(missing)}")
    rows = {fold(row.student.id): row for row in report.rows}
    students = [row.student for row in report.rows]
    filled = set()
    for line in lines[1:]:
        cells = dict(zip(head, line, strict=False))
        row = _row_of(cells, students, rows)
        if not row:
            continue
        filled.add(row.student.id)
        line += [""] * (len(head) - len(line))
        for place, exercise in columns.items():
            points = row.total if exercise == "total" else row.points(exercise)
            line[place] = str(points)
    if not filled:
        raise Mistake(f"{export} has none of these students; is it of another course?")
    return _unchanged(lines)


def _row_of(
    cells: dict[str, str], students: list[Student], rows: dict[str, Row]
) -> Row | None:
    for column in ("ID", "SIS User ID", "SIS Login ID"):
        if row := rows.get(fold(cells.get(column, ""))):
            return row
    named = Student(cells.get("SIS Login ID", ""), cells.get("Student", ""))
    found = find_in_roster(named, students)
    return rows[fold(found.id)] if found else None


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", name).lower()


def _unchanged(lines: list[list[str]]) -> str:
    """Return lines as CSV; the cells are Canvas' own, and go back to it."""
    output = io.StringIO()
    csv.writer(output, lineterminator="\n").writerows(lines)
    return output.getvalue()
