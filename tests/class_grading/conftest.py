"""A class of five, and an engine that grades it at once."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.grade import __main__ as command

from .fake import FakeEngine

# Who handed in what, and how many points the fake engine gives for it.
HAND_INS = {
    "ada/01_basic_get.py": "points = 20",
    "ada/05_error_classes.py": 'points = 15\nsaw = "=1+1"',
    "bo__01_basic_get.py": "points = 5",
    "bo__01_basic_get (1).py": 'points = 10\nkind = "time limit"',
    "chen/05_error_classes.py": 'points = 10\nlook = "tampering"',
    "Dora <b> Doe_77_assignsubmission_file_/05_error_classes.py": 'kind = "nothing"',
    "Dora <b> Doe_77_assignsubmission_file_/01_basic_get.py": (
        'points = 15\nkind = "borrowed"\nsaw = "``````\\x07"'
    ),
    "=emre/notes.txt": "",
    "=emre/05-Error-Classes.py": 'kind = "not started"',
}


@pytest.fixture
def hand_ins(tmp_path: Path) -> Path:
    """The hand-ins of the class."""
    for name, code in HAND_INS.items():
        path = tmp_path / "hand-ins" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(code + "\n", encoding="utf-8")
    return tmp_path / "hand-ins"


@pytest.fixture
def grade(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """The command line, with the fake engine; returns the exit status."""
    monkeypatch.setattr(command, "Engine", FakeEngine)
    monkeypatch.setattr(FakeEngine, "graded", [])
    return lambda *words: command.main([str(word) for word in words])
