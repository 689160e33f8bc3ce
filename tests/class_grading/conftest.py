"""A class of five, and an engine that grades it at once."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

if sys.platform == "win32":  # which cannot fork a process
    collect_ignore_glob = ["test_*.py"]
else:
    from tests.grade import command

    from .fake import FakeEngine

# Who handed in what, and how many points the fake engine gives for it.
HAND_INS = {
    "ada/01_basic_get.py": "points = 20",
    "ada/05_error_classes.py": 'points = 15\nsaw = "=1+1 HALF"',
    "bo__01_basic_get.py": "points = 5",
    "bo__01_basic_get (1).py": 'points = 10\nlook = "2 tests stopped"',
    "chen/05_error_classes.py": 'points = 10\nlook = "tampering"',
    "Dora <b> Doe_77_assignsubmission_file_/05_error_classes.py": 'kind = "nothing"',
    "Dora <b> Doe_77_assignsubmission_file_/01_basic_get.py": (
        'points = 15\nkind = "borrowed"\nsaw = "``````\x07"'
    ),
    "=emre/notes.txt": "",
    "=emre/05-Error-Classes.py": 'kind = "not started"',
}


Command = Callable[..., int]


@pytest.fixture
def hand_ins(tmp_path: Path) -> Path:
    """The hand-ins of the class."""
    return write_class(tmp_path)


def write_class(folder: Path) -> Path:
    """Write the hand-ins of the class; return their folder."""
    for name, code in HAND_INS.items():
        path = folder / "hand-ins" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(code + "\n", encoding="utf-8")
    return folder / "hand-ins"


@pytest.fixture(scope="package")
def fake_engine() -> Iterator[None]:
    """The command line uses the fake engine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command, "Engine", FakeEngine)
        yield


@pytest.fixture(scope="package")
def made(fake_engine: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the hand-ins, a finished report, and a report of three shards.

    Tests that change something copy it.
    """
    folder = tmp_path_factory.mktemp("made")
    hand_ins = write_class(folder)
    run(hand_ins, "--out", folder / "report")
    for number in (1, 2, 3):
        words = ("--out", folder / f"shard{number}", "--shard", f"{number}/3")
        run(hand_ins, *words, "--seed", 5)
    return folder


@pytest.fixture
def grade(fake_engine: None) -> Command:
    """The command line, with the fake engine; returns the exit status."""
    FakeEngine.graded.clear()
    return run


def run(*words: object) -> int:
    """Run the command line."""
    return command.main([str(word) for word in words])
