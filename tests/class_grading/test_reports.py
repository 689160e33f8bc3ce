"""What comes out is what each reader of it expects, and nothing in it can do harm."""

import csv
import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from lessons.course.exercises import Mistake, find_exercises
from tests.grade.exports import classroom50
from tests.grade.journal import read_run, read_verdicts
from tests.grade.report import Report, defuse, make_report, safe_name, to_csv

from .conftest import Command

CLASSROOM = {
    "CLASSROOM": "cs1",
    "ASSIGNMENT": "errors",
    "SUBMISSION_TAG": "submit/2026-11-30-abc",
    "COMMIT_URL": "https://git.example/c",
    "RELEASE_URL": "https://git.example/r",
}


def rows(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV file by the names of their columns."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


MOST = 20 * len(find_exercises())


@pytest.fixture(scope="module")
def report(made: Path) -> Report:
    """The report of the class."""
    folder = made / "report"
    return make_report(read_run(folder), read_verdicts(folder))


def test_grades(made: Path) -> None:
    """grades.csv has the columns of the design; borrowed code has no points, and each
    reason to look is named.
    """
    grades = rows(made / "report" / "grades.csv")
    numbers = [exercise.number for exercise in find_exercises()]
    head = ["student", "name", "email", *numbers, "total", "of", "look"]
    assert [*grades[0]] == head
    by_id = {row["student"]: row for row in grades}
    assert by_id["ada"]["01"] == "20" and by_id["ada"]["05"] == "15"
    assert by_id["ada"]["look"] == "" and by_id["ada"]["of"] == str(MOST)
    assert by_id["77"]["name"] == "Dora <b> Doe" and by_id["77"]["total"] == "0"
    assert by_id["77"]["look"] == (
        "01: uses the course's own code; 05: its process ended; "
        "05: only 0 of 20 points were judged"
    )
    assert by_id["bo"]["look"] == (
        "01: 2 tests stopped; 01: bo__01_basic_get.py was not graded, a double"
    )
    assert by_id["chen"]["look"] == "05: tampering"


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", " =1", "＝1"])  # noqa: RUF001
def test_formulas_are_defused(text: str) -> None:
    """A spreadsheet shows such a cell and computes nothing."""
    assert defuse(text).startswith("'")
    assert "\n" not in to_csv([[f"{text}\nmore"]])[:-1]
    assert defuse(3) == 3 and defuse("a=1") == "a=1"


def test_no_table_has_a_formula(made: Path) -> None:
    """No cell of any table begins as a formula does; one from an answer would have."""
    cells = []
    for path in (made / "report").glob("*.csv"):
        with path.open(encoding="utf-8", newline="") as file:
            cells += [cell for line in csv.reader(file) for cell in line]
    assert r"'=1+1 \ud800" in cells and "'=emre" in cells
    assert not [cell for cell in cells if cell[:1] in "=+-@" and cell]


def test_tests_table(made: Path) -> None:
    """tests.csv has every test of every answer, and its points add up to the grades."""
    tests = rows(made / "report" / "tests.csv")
    assert len(tests) == 6 * 4
    for grade in rows(made / "report" / "grades.csv"):
        own = [row for row in tests if row["student"] == grade["student"]]
        assert sum(int(row["points"]) for row in own) == int(grade["total"]), grade


def test_feedback(made: Path) -> None:
    """A student reads points and the texts of check; an answer cannot end its block,
    and what is for the instructor is not in it.
    """
    students = made / "report" / "students"
    ada = (students / "ada" / "feedback.md").read_text("utf-8")
    assert ada.startswith(f"# ada: 35 of {MOST} points\n")
    assert "## 01_basic_get: 20 of 20 points\n\nAll tests passed." in ada
    assert "python -m lessons hint 05" in ada and "=1+1" in ada
    assert (
        "## 02_methods_and_auth: 0 of 20 points\n\nNo `02_methods_and_auth.py`" in ada
    )
    dora = (students / "77" / "feedback.md").read_text("utf-8")
    assert "\n```````text\n" in dora, "six backticks in a text would end the block"
    assert "did not come to their end" in dora
    emre = (students / "_emre" / "feedback.md").read_text("utf-8")
    assert "under another name: `notes.txt`?" in emre
    chen = (students / "chen" / "feedback.md").read_text("utf-8")
    assert "tampering" not in chen


@pytest.mark.parametrize(
    ("id", "folder"),
    [
        ("../../x", "_.._x"),
        ("a/b\\c:d", "a_b_c_d"),
        ("CON", "_CON"),
        ("...", "student"),
        ("Zoë O'N", "Zoë_O_N"),
        ("x" * 300, "x" * 80),
    ],
)
def test_names_of_folders(id: str, folder: str) -> None:
    """A student's name leads nowhere else, and is one that every system can have."""
    assert safe_name(id) == folder


def test_two_students_with_one_folder(report: Report) -> None:
    """Names that are the same on some system get folders of their own."""
    students = [report.run.students[0]._replace(id=id) for id in ("a/b", "A_b", "a b")]
    run = report.run._replace(students=tuple(students))
    folders = [row.folder for row in make_report(run, {}).rows]
    assert folders == ["a_b", "A_b~2", "a_b~3"]


def test_gradescope(made: Path) -> None:
    """results.json has what Gradescope documents: tests with scores that add up to the
    grade, and no score beside them.
    """
    allowed = {"name", "score", "max_score", "status", "output", "output_format"}
    for grade in rows(made / "report" / "grades.csv"):
        folder = grade["student"].replace("'=", "_")
        path = made / "report" / "students" / folder / "results.json"
        results = json.loads(path.read_text("utf-8"))
        assert set(results) == {"tests", "visibility", "stdout_visibility"}
        tests = results["tests"]
        assert sum(test["score"] for test in tests) == int(grade["total"])
        assert sum(test["max_score"] for test in tests) == MOST
        assert all(set(test) <= allowed for test in tests)
        assert {test["status"] for test in tests} <= {"passed", "failed"}


def test_classroom50(report: Report) -> None:
    """result.json is as Classroom 50's collector wants it, for one student."""
    one = report._replace(rows=[row for row in report.rows if row.student.id == "ada"])
    result = classroom50(one, CLASSROOM)
    assert result["schema"] == "classroom50/result/v1"
    texts = ("classroom", "assignment", "submission", "commit", "release", "review")
    assert all(result[name] and isinstance(result[name], str) for name in texts)
    assert result["submission"].startswith("submit/") and result["datetime"][-1] == "Z"
    assert (result["score"], result["max-score"]) == (35, MOST)
    for test in result["tests"]:
        assert set(test) == {"test-name", "passed", "score", "max-score"}
        assert test["passed"] is (test["score"] == test["max-score"])
    assert sum(test["score"] for test in result["tests"]) == 35
    assert sum(test["max-score"] for test in result["tests"]) == MOST
    with pytest.raises(Mistake, match="several students"):
        classroom50(report, CLASSROOM)
    with pytest.raises(Mistake, match="SUBMISSION_TAG not set"):
        classroom50(one, {**CLASSROOM, "SUBMISSION_TAG": ""})


def test_junit(made: Path) -> None:
    """junit.xml can be parsed, whatever an answer has in its texts."""
    root = ElementTree.parse(made / "report" / "junit.xml").getroot()
    suites = {suite.get("name"): suite for suite in root}
    assert suites["ada.05_error_classes"].get("failures") == "1"
    assert suites["77.05_error_classes"].find("testcase/error") is not None
    assert (
        suites["77.01_basic_get"].find("testcase/failure").get("message") == "``````?"
    )


def test_other_forms(grade: Command, made: Path, tmp_path: Path) -> None:
    """nbgrader's and Moodle's columns, and a Canvas export with its cells filled in."""
    canvas = (
        "\ufeffStudent,ID,SIS User ID,SIS Login ID,Section,05 Error classes (991),"
        "01_basic_get (992),Essay (993),Total\r\n"
        "    Points Possible,,,,,20,20,10,50\r\n"
        '"Lovelace, Ada",5,,ada,"A, B",,7,=9,\r\n'
        '"Dora <b> Doe",77,,d,A,,,8\r\n'
        '"Student, Test",99,,,A,,,,\r\n'
    )
    (tmp_path / "canvas.csv").write_bytes(canvas.encode())
    words = ["--also", "nbgrader", "--also", "moodle", "--only", "01", "--only", "05"]
    words += ["--canvas", tmp_path / "canvas.csv"]
    assert grade(made / "hand-ins", "--out", tmp_path / "r", *words) == 0
    nbgrader = rows(tmp_path / "r" / "nbgrader.csv")
    ada = [row for row in nbgrader if row["student_id"] == "ada"]
    assert [(row["assignment"], row["score"], row["max_score"]) for row in ada] == [
        ("01_basic_get", "20", "20"),
        ("05_error_classes", "15", "20"),
    ]
    moodle = {row["Identifier"]: row for row in rows(tmp_path / "r" / "moodle.csv")}
    dora = moodle["Participant 77"]
    assert (dora["Full name"], dora["Grade"]) == ("Dora <b> Doe", "0")
    assert dora["Maximum Grade"] == "40" and dora["Last modified (grade)"] == "-"
    filled = (tmp_path / "r" / "canvas.csv").read_text("utf-8").splitlines()
    old = canvas.removeprefix("\ufeff").splitlines()
    assert filled[:2] == old[:2] and filled[4] == old[4], "other cells were changed"
    assert filled[2] == '"Lovelace, Ada",5,,ada,"A, B",15,20,=9,35'
    assert filled[3] == "Dora <b> Doe,77,,d,A,0,0,8,0"
    assert (tmp_path / "canvas.csv").read_bytes() == canvas.encode()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("Name,ID\n", "no export of Canvas' gradebook"),
        ("Student,ID,01_basic_get (1)\n", "no column for 05_error_classes"),
        ("Student,ID,01 Basic get,05_error_classes\nX,1,,\n", "none of these students"),
    ],
)
def test_other_exports_of_canvas(
    grade: Command, made: Path, tmp_path: Path, capsys, text: str, complaint: str
) -> None:
    """What is no export of this course is refused before anything is graded."""
    (tmp_path / "c.csv").write_text(text)
    words = ("--only", "01", "--only", "05", "--canvas", tmp_path / "c.csv")
    assert grade(made / "hand-ins", "--out", tmp_path / "r", *words) == 2
    assert complaint in capsys.readouterr().err
    assert not (tmp_path / "r").exists()
