"""Hand-ins are found under every name that they come in, and no file is forgotten."""

import io
import os
import zipfile
from pathlib import Path

import pytest

from lessons.course.exercises import Mistake, find_exercises
from tests.grade import files
from tests.grade.hand_ins import GRADED, HandIns, collect
from tests.grade.people import read_roster

from .make_class import LAYOUTS, make_class
from .test_people import ROSTER

EXERCISES = find_exercises()
FIVE = "05_error_classes.py"


def put(folder: Path, *names: str, text: str = "") -> Path:
    """Write files into a folder; each has its own name in it, or a text."""
    for name in names:
        path = folder / "hand-ins" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text or f"# {name}\n")
    return folder / "hand-ins"


def find(source: Path, **more) -> HandIns:
    """Collect the hand-ins of a folder."""
    scratch = source.parent / f"scratch{len(list(source.parent.iterdir()))}"
    scratch.mkdir()
    return collect(source, scratch, EXERCISES, **more)


def made_zip(*names: str, **texts: str) -> bytes:
    """Return a zip of files."""
    box = io.BytesIO()
    with zipfile.ZipFile(box, "w") as archive:
        for name in names:
            archive.writestr(name, texts.get("text", f"# {name}\n"))
    return box.getvalue()


@pytest.mark.parametrize(
    ("names", "student", "code"),
    [
        ([f"ada/{FIVE}"], "ada", f"ada/{FIVE}"),
        ([f"ada__{FIVE}"], "ada", f"ada__{FIVE}"),
        ([f"ada_{FIVE}", "bo_07_sse_streaming.py"], "ada", f"ada_{FIVE}"),
        ([f"lovelaceada_4711_99_{FIVE}"], "4711", f"lovelaceada_4711_99_{FIVE}"),
        (
            [f"lovelaceada_LATE_4711_9_{FIVE}"],
            "4711",
            f"lovelaceada_LATE_4711_9_{FIVE}",
        ),
        ([f"Ada L_17_assignsubmission_file_/{FIVE}"], "17", ""),
        ([f"Ada L_17_assignsubmission_file_{FIVE}"], "17", ""),
        ([f"submission_77/{FIVE}", f"submission_78/{FIVE}"], "submission_77", ""),
        ([f"export/ada/{FIVE}", f"export/bo/{FIVE}"], "ada", ""),
        (["ada/05_error_classes (1).py"], "ada", ""),
        (["ada/05-Error-Classes.py"], "ada", ""),
        (["ada/05_error_classes.py.txt"], "ada", ""),
        (["ada/05_error_classes.ipynb"], "ada", ""),
        (["ada/week 5/05_error_classes.py"], "ada", ""),
        ([f"ada/{FIVE}", "ada/05_error_classes (1).py"], "ada", f"ada/{FIVE}"),
        ([f"ada/work/{FIVE}", f"ada/{FIVE}"], "ada", f"ada/work/{FIVE}"),
        (
            ["ada/lessons/exercises/05_error_classes.py", f"ada/work/{FIVE}"],
            "ada",
            f"ada/work/{FIVE}",
        ),
    ],
)
def test_layouts(tmp_path: Path, names: list[str], student: str, code: str) -> None:
    """The answer to 05 is found, and who handed it in."""
    found = find(put(tmp_path, *names))
    answer = found.answers.get((student, "05_error_classes"))
    assert answer, f"{names}: only {[*found.answers]} found"
    assert answer.stem == "05_error_classes" and answer.suffix in (".py", ".ipynb")
    assert not code or answer.read_text() == f"# {code}\n", f"{names}: wrong file"
    listed = [fate.file for fate in found.fates]
    assert listed == sorted(names), f"{names}: files without a word on them"


@pytest.mark.parametrize("folder", ["submission", "ada"])
def test_one_student(tmp_path: Path, folder: str) -> None:
    """A folder with nothing but answers is one student's; Gradescope says whose."""
    (tmp_path / "hand-ins").mkdir()
    source = put(tmp_path / "hand-ins" / "..", FIVE).rename(tmp_path / folder)
    users = '{"users": [{"id": 7, "name": "Ada", "email": "ada@x.test"}]}'
    (tmp_path / "submission_metadata.json").write_text(users)
    student = find(source).students[0]
    assert tuple(student) == ("7", "Ada", "ada@x.test")
    assert find(source, student="me").students[0].id == "me"


def test_one_student_without_an_answer(tmp_path: Path) -> None:
    """In Gradescope, who hands in something else has 0 points, and no broken grader."""
    (tmp_path / "submission").mkdir()
    assert [one.id for one in find(tmp_path / "submission").students] == ["submission"]
    (tmp_path / "submission" / "05_errors.py").write_text("")
    found = find(tmp_path / "submission", student="ada")
    assert not found.answers and "rename it" in found.look["ada"][0]


def test_a_word_on_every_file(tmp_path: Path) -> None:
    """Doubles, misnamed files, links and rubbish are listed, and a person is told of
    those that may cost points.
    """
    source = put(
        tmp_path,
        f"ada/{FIVE}",
        "ada/05-error-classes.py",
        "ada/06_retry.py",
        "ada/notes.pdf",
        "ada/.git/config",
        "ada/same (1)/x.txt",
        "what.py",
    )
    (source / "ada" / "05_error_classes (2).py").write_bytes(
        (source / "ada" / FIVE).read_bytes()
    )
    link = source / "ada" / "01_basic_get.py"
    link.symlink_to(source / "ada" / FIVE)
    found = find(source)
    what = {fate.file: fate.what for fate in found.fates}
    assert what == {
        f"ada/{FIVE}": GRADED,
        "ada/05-error-classes.py": "a double: not graded",
        "ada/05_error_classes (2).py": "a double with the same content: not graded",
        "ada/06_retry.py": "not named as an answer; rename it if it is "
        "06_retry_decorator.py",
        "ada/notes.pdf": "not named as an answer",
        "ada/.git": "left behind by a program",
        "ada/same (1)/x.txt": "not named as an answer",
        "ada/01_basic_get.py": "a link is not followed",
        "what.py": "no student in its name",
    }
    assert sorted(found.look["ada"]) == [
        "01: ada/01_basic_get.py: a link is not followed",
        "05: ada/05-error-classes.py was not graded, a double",
        "06: ada/06_retry.py may be the answer: rename it",
    ]


def test_a_name_that_is_no_text(tmp_path: Path) -> None:
    """A file that no program can name, or that would move the cursor of a terminal, is
    listed all the same.
    """
    source = put(tmp_path, f"ada/{FIVE}")
    try:
        for name in (b"\xff.txt", b"\x1b[2J.txt"):
            with open(os.fsencode(source) + b"/ada/" + name, "wb"):
                pass
    except OSError:
        pytest.skip("this system has no such names")
    names = [fate.file for fate in find(source).fates]
    assert names == [f"ada/{FIVE}", "ada/?.txt", "ada/?[2J.txt"]


def test_a_student_in_two_places(tmp_path: Path) -> None:
    """A folder and a zip of one student come together; a second answer is a double."""
    source = put(tmp_path, f"ada/{FIVE}", "ada/07_sse_streaming.py")
    (source / "Ada.zip").write_bytes(made_zip(FIVE, "08_rate_limiter.py"))
    found = find(source)
    assert [exercise[:2] for _, exercise in sorted(found.answers)] == ["05", "07", "08"]
    assert len(found.students) == 1
    assert len(found.look[found.students[0].id]) == 1, "the double was not reported"


def test_a_zip_of_zips(tmp_path: Path) -> None:
    """A download that is one zip, with a zip of each student in it, is read whole."""
    inner = made_zip(f"hand-in/{FIVE}", "__MACOSX/05_error_classes.py", "a/b.pdf")
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for name in ("Ada L_17_assignsubmission_file_/x.zip", "bo.zip"):
            archive.writestr(name, inner)
    found = find(tmp_path / "all.zip")
    assert sorted(found.answers) == [
        ("17", "05_error_classes"),
        ("bo", "05_error_classes"),
    ]
    assert {fate.what for fate in found.fates} == {
        GRADED,
        "left behind by a program",
        "not named as an answer",
    }


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"no zip at all", "no zip that can be read"),
        (made_zip(FIVE)[:-30], "no zip that can be read"),
        (made_zip(f"../{FIVE}"), "a path that leads outside"),
        (made_zip(f"/{FIVE}"), "a path that leads outside"),
        (made_zip(f"..\\{FIVE}"), "a path that leads outside"),
        (made_zip("C:/x.py"), "a path that leads outside"),
        (made_zip(FIVE, text="x" * 3000), "too large"),
        (made_zip(*"abcdefgh"), "more than 7 files"),
    ],
)
def test_zips_that_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes, complaint: str
) -> None:
    """A bad zip is one sentence that names it; nothing is written outside."""
    monkeypatch.setattr(files, "MAX_ZIP", 2000)
    monkeypatch.setattr(files, "MAX_FILES", 7)
    source = put(tmp_path, f"ada/{FIVE}")
    (source / "bo.zip").write_bytes(data)
    with pytest.raises(Mistake, match=complaint) as caught:
        find(source)
    assert "\n" not in str(caught.value)
    assert sorted(os.listdir(source)) == ["ada", "bo.zip"]
    assert not list(tmp_path.glob(f"*/zips/*{FIVE}"))


def test_a_zip_that_lies_about_its_size(tmp_path: Path) -> None:
    """A file that unpacks to more than its zip says is not read on."""
    data = made_zip(FIVE, text="x" * 5000)
    lie = data.replace((5000).to_bytes(4, "little"), (50).to_bytes(4, "little"))
    assert lie != data
    source = put(tmp_path, f"ada/{FIVE}")
    (source / "bo.zip").write_bytes(lie)
    with pytest.raises(Mistake, match="no zip that can be read"):
        find(source)


def test_links_in_a_zip(tmp_path: Path) -> None:
    """A link in a zip is not followed."""
    link = zipfile.ZipInfo(FIVE)
    link.create_system, link.external_attr = 3, 0o120777 << 16
    source = put(tmp_path, "ada/07_sse_streaming.py")
    with zipfile.ZipFile(source / "ada" / "x.zip", "w") as archive:
        archive.writestr(link, "/etc/hostname")
    found = find(source)
    assert [exercise for _, exercise in found.answers] == ["07_sse_streaming"]
    assert found.look["ada"] == [f"05: ada/x.zip/{FIVE}: a link is not followed"]


def test_an_answer_that_is_too_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not read, and a person is told."""
    monkeypatch.setattr("tests.grade.hand_ins.MAX_ANSWER", 20)
    source = put(tmp_path, f"ada/{FIVE}", "ada/07_sse_streaming.py", text="x" * 21)
    (source / "ada" / "07_sse_streaming.py").write_text("")
    found = find(source)
    assert [exercise for _, exercise in found.answers] == ["07_sse_streaming"]
    assert "larger than" in found.look["ada"][0]


@pytest.mark.parametrize(
    ("names", "complaint"),
    [
        ([], "is empty"),
        (["ada/homework.py", "b.txt"], "named as 01_basic_get.py, and there are ada/h"),
    ],
)
def test_nothing_to_grade(tmp_path: Path, names: list[str], complaint: str) -> None:
    """The sentence says what was found in place of hand-ins."""
    put(tmp_path, *names)
    (tmp_path / "hand-ins").mkdir(exist_ok=True)
    with pytest.raises(Mistake, match=complaint):
        find(tmp_path / "hand-ins")
    with pytest.raises(Mistake, match="neither a folder nor a zip"):
        find(tmp_path / "nowhere")


def test_roster_adds_who_handed_in_nothing(tmp_path: Path) -> None:
    """The class is that of the roster, and who is not in it is told."""
    (tmp_path / "roster.csv").write_text(ROSTER)
    source = put(tmp_path, f"ada/{FIVE}", f"carl/{FIVE}", "docs/plan.py")
    found = find(source, roster=read_roster(tmp_path / "roster.csv"))
    assert [student.id for student in found.students] == ["4711", "4712", "carl"]
    assert [*found.answers] == [("4711", FIVE[:-3]), ("carl", FIVE[:-3])]
    assert found.look == {"carl": ["not in the roster"]}


def test_a_made_up_class(tmp_path: Path) -> None:
    """Of a class with every layout, each answer is found, and the digest does not
    depend on the place.
    """
    made = make_class(tmp_path, 2 * len(LAYOUTS), only=["05", "07"])
    roster = read_roster(tmp_path / "roster.csv")
    found = find(tmp_path / "hand-ins", roster=roster)
    for student in made:
        for exercise, code in student.answers.items():
            answer = found.answers.pop((student.id, exercise), None)
            assert answer, f"{exercise} of {student} was not found"
            if answer.suffix == ".py":
                assert answer.read_bytes() == code, f"{exercise} of {student}"
    assert not found.answers, "more was found than handed in"
    (tmp_path / "hand-ins").rename(tmp_path / "moved")
    assert find(tmp_path / "moved", roster=roster).digest == found.digest
    some = next((tmp_path / "moved").glob("**/05_*.py"))
    some.write_text("# other\n")
    assert find(tmp_path / "moved", roster=roster).digest != found.digest
