"""The course runs on machines that are set up in odd ways."""

import ast
import shutil
import sys
from pathlib import Path

import pytest

from tests.lesson_files import ROOT, SCRIPTS, copy_folder, run, stems

# A console of Western Windows, a SOCKS proxy, and a Python without docstrings.
ODD = {
    "PYTHONIOENCODING": "cp1252",
    "all_proxy": "socks5://127.0.0.1:9",
    "ALL_PROXY": "socks5h://127.0.0.1:9",
    "PYTHONOPTIMIZE": "2",
}
INTERRUPTED = """
import runpy, sys
import mock_server

def interrupt(server):
    raise KeyboardInterrupt

mock_server.MockServer.__enter__ = interrupt
script, sys.argv = sys.argv[1], sys.argv[1:]
runpy.run_path(script, run_name="__main__")
"""


# One with requests and one with httpx under asyncio: all scripts run through run_main.
FEW = [path for path in SCRIPTS if path.stem[:2] in ("03", "06")]


@pytest.mark.parametrize("script", SCRIPTS, ids=stems(SCRIPTS))
def test_script_runs_through_run_main(script: Path) -> None:
    """What is done for odd consoles and for Ctrl-C is done in every script."""
    guard = ast.parse(script.read_text(encoding="utf-8")).body[-1]
    assert ast.unparse(guard).startswith("if __name__ == '__main__':\n    run_main(")


@pytest.mark.parametrize("script", FEW, ids=stems(FEW))
def test_script_runs(script: Path) -> None:
    """A script runs to its end."""
    done = run(script, **ODD)
    assert done.returncode == 0, f"{script.name}:\n{done.stderr}"


def test_script_explains_itself() -> None:
    """`-h` works without docstrings and with few letters."""
    done = run(SCRIPTS[-1], "-h", **ODD)
    assert (done.returncode, done.stderr) == (0, "")


def test_letters_that_the_console_lacks() -> None:
    """A letter that the console cannot show is replaced, and nothing fails."""
    done = run(SCRIPTS[0], "--query", "你好", **ODD)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Searching for '??'" in done.stdout


@pytest.mark.parametrize("script", FEW, ids=stems(FEW))
def test_script_is_interrupted(script: Path) -> None:
    """Ctrl-C in a script gives one line, not a traceback."""
    done = run("-c", INTERRUPTED, script)
    assert (done.returncode, done.stderr) == (1, "stopped\n"), script.name


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the course in a folder with a blank and 中文 in its name."""
    root = tmp_path / "my course 中文"
    for name in ("lessons", "solutions", "tests/exercises", "tests/grader"):
        copy_folder(name, root)
    for name in ("tests/__init__.py", "tests/conftest.py", "pyproject.toml"):
        shutil.copy(ROOT / name, root / name)
    shutil.copy(ROOT / "requirements.txt", root)
    return root


def test_check_on_an_odd_machine(copy: Path) -> None:
    """Start and check work there, with the titles of the tests."""
    for arguments in (("start", "01"), ("hint", "01")):
        assert run("-m", "lessons", *arguments, cwd=copy, **ODD).returncode == 0
    answer = copy / "work" / "01_basic_get.py"
    right = (copy / "solutions" / "01_basic_get.py").read_text(encoding="utf-8")
    wrong = "def fetch_all(*a, **k): return []\n"
    answer.write_text(f"{right}\n\n{wrong}", encoding="utf-8")
    done = run("-m", "lessons", "check", "01", cwd=copy, **ODD)
    told = done.stdout + done.stderr
    assert "1 point: All items of all pages" in done.stdout, told
    assert "Core: 8 of 14. Further: 1 of 6" in done.stdout, told


def test_hint_where_nothing_can_be_written(copy: Path) -> None:
    """Without a work/ that can be written there are hints, and it is said."""
    (copy / "work").write_text("a file, so no folder can be made")
    done = run("-m", "lessons", "hint", "01", cwd=copy)
    assert done.returncode == 0 and "Hint 1 of " in done.stdout, done.stderr
    assert "work/ cannot be written (File exists): no progress" in done.stdout
    assert "01   basic get" in run("-m", "lessons", cwd=copy).stdout


def test_check_where_nothing_can_be_written(copy: Path) -> None:
    """An answer is checked though its points cannot be kept."""
    (copy / "work" / ".progress.json").mkdir(parents=True)
    shutil.copy(copy / "solutions" / "01_basic_get.py", copy / "work")
    done = run("-m", "lessons", "check", "01", cwd=copy)
    assert done.returncode == 0 and "Core: 14 of 14." in done.stdout, done.stderr
    assert "work/ cannot be written" in done.stdout


@pytest.mark.parametrize("folder", ["notebooks", "lessons", "lessons/course", "tests"])
def test_any_folder(folder: str) -> None:
    """`python -m lessons` works from any folder of the course, once it is installed."""
    done = run("-m", "lessons", cwd=ROOT / folder, PYTHONPATH=None)
    assert done.returncode == 0 and "01 " in done.stdout, (
        f"{done.stderr}\nIs the course installed? {sys.executable} "
        "-m pip install -r requirements.txt"
    )
