"""All Python of this repository, the notebooks' too, is as ruff wants it."""

from pathlib import Path

import nbformat
import pytest

from tests.lesson_files import ROOT, run

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
    """Ruff has nothing to say; `ruff check --fix` and `ruff format` mend most of it."""
    done = run(*RUFF, *command, "--no-cache", *FOLDERS)
    assert done.returncode == 0, done.stdout + done.stderr


def test_ruff_reads_notebooks(tmp_path: Path) -> None:
    """With this configuration, ruff finds a fault in a script and in a notebook."""
    (tmp_path / "script.py").write_text("import os\n")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("import os")])
    nbformat.write(notebook, tmp_path / "book.ipynb")
    options = ("--no-cache", "--output-format=concise")
    configuration = ("--config", ROOT / "pyproject.toml")
    done = run(*RUFF, "check", *options, *configuration, tmp_path)
    assert done.returncode == 1, done.stderr
    assert "script.py:1" in done.stdout
    assert "book.ipynb:cell 1:1" in done.stdout
