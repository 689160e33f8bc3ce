"""Answers are found under the names that browsers and platforms give them."""

from pathlib import Path

import pytest

from lessons.course.exercises import find_answers
from tests.grader.answer import find
from tests.lesson_files import ROOT, run

STEM = "03_sync_client"


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["03_sync_client.py"], ["03_sync_client.py"]),
        (["03_sync_client.py.txt"], ["03_sync_client.py.txt"]),
        (["03_sync_client (1).py"], ["03_sync_client (1).py"]),
        (["03_sync_client(2).ipynb"], ["03_sync_client(2).ipynb"]),
        (["lovelaceada_4711_99_03_sync_client-1.py"], None),
        (["Ada Lovelace_4711_assignsubmission_file_03_sync_client.py"], None),
        (["03_Sync_Client.PY"], None),
        (["03_sync_client.ipynb.txt"], None),
        (
            ["03_sync_client (1).py", "03_sync_client (10).py"],
            ["03_sync_client (10).py", "03_sync_client (1).py"],
        ),
        (["03_sync_client (1).py", "03_sync_client.py"], ["03_sync_client.py"]),
        (["03-Sync-Client.py"], None),
        (["03 sync client (1).py"], None),
        (["03_sync_client~1.py"], []),
        (["03_sync_client_old.py"], []),
        (["103_sync_client.py"], []),
        (["03_sync_client.pyc"], []),
    ],
)
def test_names(tmp_path: Path, names: list[str], found: list[str] | None) -> None:
    """A name with a prefix, a number or `.txt` is known; another file is not."""
    for name in names:
        (tmp_path / name).write_text("")
    wanted = names if found is None else found
    assert [path.name for path in find_answers(tmp_path, STEM)] == wanted


def test_no_folder(tmp_path: Path) -> None:
    """Where there is no folder, there is no answer."""
    assert find_answers(tmp_path / "work", STEM) == []


def test_several_people(tmp_path: Path) -> None:
    """The files of two learners in one folder are not taken for one answer."""
    for name in ("ada_03_sync_client.py", "bob_03_sync_client.py"):
        (tmp_path / name).write_text("")
    absent = find(tmp_path, STEM, "hand-ins").absent
    assert absent.kind == "no answer"
    assert "several people in hand-ins: ada_03_sync_client.py, bob_" in absent.saw


@pytest.mark.parametrize(
    ("name", "is_alone"),
    [("01_basic_get.py.txt", False), ("ada_17_01_basic_get (2).py", True)],
)
def test_is_graded(tmp_path: Path, name: str, is_alone: bool) -> None:
    """A right answer under such a name gets its points, in a folder and alone."""
    right = (ROOT / "solutions" / "01_basic_get.py").read_bytes()
    (tmp_path / name).write_bytes(right)
    submission = tmp_path / name if is_alone else tmp_path
    done = run(
        *("-m", "pytest", "-o", "addopts=", "-q", "-p", "no:cacheprovider"),
        *("tests/exercises", "-k", "01", f"--submission={submission}"),
        PYTEST_DISABLE_PLUGIN_AUTOLOAD="1",
    )
    assert "01_basic_get             20 of  20 points" in done.stdout, done.stdout
