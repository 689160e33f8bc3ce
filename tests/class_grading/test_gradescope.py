"""The zip for Gradescope works in a folder that is laid out as Gradescope does."""

import json
import os
import shutil
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from lessons.course.exercises import ROOT
from tests.grade import command

pytestmark = pytest.mark.skipif(
    sys.platform == "win32" or not shutil.which("bash"),
    reason="Gradescope's container is Linux with bash",
)


def test_the_zip_in_its_container(tmp_path: Path, capsys) -> None:
    """One command makes the zip; run_autograder, started where Gradescope starts it,
    leaves results.json where Gradescope looks for it.
    """
    made = tmp_path / "autograder.zip"
    assert command.main(["gradescope", "--out", str(made), "--only", "01"]) == 0
    # In its container: https://gradescope-autograders.readthedocs.io/en/latest/specs/
    container = tmp_path / "autograder"
    with zipfile.ZipFile(made) as archive:
        assert {"setup.sh", "run_autograder"} <= set(archive.namelist())
        modes = [archive.getinfo(name).external_attr >> 16 for name in ("setup.sh",)]
        assert all(mode & stat.S_IXUSR for mode in modes)
        archive.extractall(container / "source")
    names = {path.name for path in (container / "source" / "course").iterdir()}
    assert ".git" not in names and ".env" not in names
    shutil.copy(container / "source" / "run_autograder", container)
    (container / "run_autograder").chmod(0o755)
    asked = set_up(container)
    assert asked[0] == "apt-get update -q", asked
    assert any("install" in one and "bubblewrap" in one for one in asked), asked
    assert asked[-1].endswith("-m pip install -q -r requirements.txt"), asked
    (container / "submission").mkdir()
    shutil.copy(ROOT / "solutions" / "01_basic_get.py", container / "submission")
    (container / "submission" / "notes.txt").write_text("My notes.\n")
    users = '{"users": [{"id": 7, "name": "Ada", "email": "ada@x.test"}]}'
    (container / "submission_metadata.json").write_text(users)
    (container / "results").mkdir()
    done = subprocess.run(
        ["./run_autograder"],
        cwd=container,
        env={**os.environ, "PYTHONPATH": ""},
        capture_output=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    results = json.loads((container / "results" / "results.json").read_text("utf-8"))
    assert sum(test["score"] for test in results["tests"]) == 20, results
    assert "score" not in results


def set_up(container: Path) -> list[str]:
    """Run setup.sh with stand-ins for apt-get, for Python 3.12 and for its pip; return
    what it asked them for.
    """
    tools, asked = container.with_name("tools"), container.with_name("asked")
    tools.mkdir()
    # The Python of the venv that it makes is this one, which has all packages.
    python = f"""#!/bin/sh
case "$*" in
"-m venv venv") mkdir -p venv/bin; cp "$0" venv/bin/python ;;
"-m pip "*) cat requirements.txt >/dev/null && echo "$0 $*" >>"{asked}" ;;
*) exec "{sys.executable}" "$@" ;;
esac
"""
    apt_get = f'#!/bin/sh\necho "apt-get $*" >>"{asked}"\n'
    for name, text in (("python3.12", python), ("apt-get", apt_get)):
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    path = f"{tools}{os.pathsep}{os.environ['PATH']}"
    command = ["bash", container / "source" / "setup.sh"]
    done = subprocess.run(command, env={**os.environ, "PATH": path})
    assert done.returncode == 0
    return asked.read_text().splitlines()


def test_a_zip_is_not_overwritten(tmp_path: Path, capsys) -> None:
    """A file that is there already is kept."""
    (tmp_path / "a.zip").write_text("Mine.\n")
    assert command.main(["gradescope", "--out", str(tmp_path / "a.zip")]) == 2
    assert "is there already" in capsys.readouterr().err
    assert (tmp_path / "a.zip").read_text() == "Mine.\n"
