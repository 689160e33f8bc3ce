"""The commands of CONTRIBUTING.md do what is written there."""

import re
import shlex
from pathlib import Path

import pytest

from lessons.course.exercises import ROOT
from tests.grade import command

from .conftest import Command

TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
GRADE = re.compile(r"python -m tests\.grade ([^`'\n]+)")


def test_the_workflow(
    grade: Command, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The CI matrix, run by its own commands, makes the report of a single run."""
    block = next(
        one for one in re.findall(r"(?s)```yaml\n(.*?)```", TEXT) if "matrix" in one
    )
    shards = re.search(r"shard: \[(.*)\]", block)[1].split(", ")
    commands = re.findall(r"- run: python -m tests\.grade (.+)", block)
    assert len(commands) == 2
    (tmp_path / "hand-ins").symlink_to(made / "hand-ins")
    monkeypatch.chdir(tmp_path)
    for number in shards:
        words = commands[0].replace("${{ matrix.shard }}", number)
        assert grade(*shlex.split(words)) == 0, words
    assert grade(*shlex.split(commands[1])) == 0, commands[1]
    for name in ("grades.csv", "tests.csv", "summary.html"):
        merged = (tmp_path / "report" / name).read_bytes()
        assert merged == (made / "report" / name).read_bytes(), name


def test_every_command_can_be_understood() -> None:
    """Each command of the page has words that the program knows."""
    found = GRADE.findall(TEXT)
    assert len(found) >= 9
    for words in found:
        words = re.sub(r"\$\{\{.*?\}\}|\$\w+|HAND_INS|N\b", "1", words)
        first, *others = shlex.split(words)
        if first in command.COMMANDS:
            command.COMMANDS[first]().parse_args(others)
        else:
            command._grade_parser().parse_args([first, *others])


def test_no_option_is_forgotten() -> None:
    """The page names every option and every form."""
    help_text = command._grade_parser().format_help()
    options = set(re.findall(r"(?m)^  (--[a-z]+)", help_text)) - {"--seed"}
    assert not {option for option in options if option not in TEXT}
    assert not {form for form in command.FORMS if form not in TEXT}
