"""Who is meant: what platforms write, and the roster of the class."""

from pathlib import Path

import pytest

from lessons.course.exercises import Mistake
from tests.grade.people import Student, find_in_roster, read_gradescope, read_roster

ROSTER = 'id,name,email\n4711,Ada Lovelace,ada@x.test\n4712,"Wei, Bo",bo@x.test\n'


def test_gradescope_export() -> None:
    """An export of Gradescope says who is behind `submission_1234`."""
    text = (
        "---\nsubmission_77:\n  :submitters:\n  - :name: Ada Lovelace\n"
        "    :sid: '4711'\n    :email: ada@x.test\n  :score: 3\n"
        "submission_78:\n  :submitters:\n  - :name: Bo\n    :sid:\n"
        "    :email: bo@x.test\n"
    )
    known = read_gradescope(text)
    assert tuple(known["submission_77"]) == ("4711", "Ada Lovelace", "ada@x.test")
    assert known["submission_78"].id == "bo@x.test"


@pytest.mark.parametrize(
    ("id", "name", "wanted"),
    [
        ("4711", "", "4711"),
        ("ada", "", "4711"),
        ("ADA@x.test", "", "4711"),
        ("17", "Ada Lovelace", "4711"),
        ("17", "lovelaceada", "4711"),
        ("Bo Wei", "", "4712"),
        ("course-bo", "", "4712"),
        ("course-4712", "", "4712"),
        ("17", "Lovelace, Ada", "4711"),
        ("17", "vanmullerjose", "5"),
        ("4712", "Ada Lovelace", "4711"),
        ("47", "Adam", None),
        ("47", "Cy Doe", None),
    ],
)
def test_who_is_meant(tmp_path: Path, id: str, name: str, wanted: str | None) -> None:
    """A student is found in the roster by name, id, address or repository, in that
    order: the number of a platform may be another student's id. Of two with one name,
    neither is meant.
    """
    twice = "5,José van Müller,j@x.test\n"
    twice += "8,Cy Doe,c1@x.test\n9,Cy Doe,c2@x.test\n"
    (tmp_path / "roster.csv").write_text("\ufeff" + ROSTER + twice, encoding="utf-8")
    found = find_in_roster(Student(id, name), read_roster(tmp_path / "roster.csv"))
    assert (found and found.id) == wanted


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("id;name\n1;a\n", "no column email"),
        ("", "no column id, name, email"),
        ("id,name,email\n1,a,\n1,b,\n", "more than one student 1"),
        ("ID;Name;Email\n1;a;b\n", ""),
    ],
)
def test_rosters(tmp_path: Path, text: str, complaint: str) -> None:
    """A roster without the needed columns is refused in a sentence."""
    (tmp_path / "roster.csv").write_text(text)
    if not complaint:
        assert len(read_roster(tmp_path / "roster.csv")) == 1
        return
    with pytest.raises(Mistake, match=complaint):
        read_roster(tmp_path / "roster.csv")
