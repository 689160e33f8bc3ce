"""All Python of this repository, the notebooks' too, is as ruff wants it."""

from pathlib import Path

import pytest

from tests.lesson_files import ROOT, SCRIPTS, run, stems

RUFF = ("-m", "ruff")
FOLDERS = [
    folder
    for folder in ("lessons", "notebooks", "solutions", "tests")
    if (ROOT / folder).exists()
]


@pytest.mark.parametrize(
    "command", [("check",), ("format", "--check", "--diff")], ids=["check", "format"]
)
def test_ruff(command: tuple[str, ...]) -> None:
    """Ruff has nothing to say; `ruff check --fix` and `ruff format` mend most of what
    it says.
    """
    done = run(*RUFF, *command, "--no-cache", *FOLDERS)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("script", SCRIPTS, ids=stems(SCRIPTS))
def test_lines_of_scripts_are_short(script: Path) -> None:
    """The lines of a lesson script are as short as those of its notebook: 88 columns,
    which a slide can show too.
    """
    done = run(
        *RUFF, "check", "--no-cache", "--select=E501", "--config=line-length=88", script
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_ruff_reads_notebooks(tmp_path: Path) -> None:
    """With this configuration, ruff finds a fault in a script and in a cell of a
    notebook.
    """
    (tmp_path / "script.py").write_text("import os\n")
    cell = '{"cell_type": "code", "execution_count": 1, "id": "a", "metadata": {}, "outputs": [], "source": "import os"}'
    (tmp_path / "book.ipynb").write_text(
        f'{{"cells": [{cell}], "metadata": {{}}, "nbformat": 4, "nbformat_minor": 5}}'
    )
    done = run(
        *RUFF,
        "check",
        "--no-cache",
        "--config",
        ROOT / "pyproject.toml",
        "--output-format=concise",
        tmp_path,
    )
    assert done.returncode == 1, done.stderr
    assert "script.py:1" in done.stdout
    assert "book.ipynb:cell 1:1" in done.stdout
