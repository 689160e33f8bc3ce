"""Make the zip that Gradescope takes as an autograder.

What it must hold, and where its container puts that, is in Gradescope's
documentation: gradescope-autograders.readthedocs.io, Autograder Specifications.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

from lessons.course.exercises import ROOT, Exercise, Mistake

SCRIPTS = Path(__file__).parent / "gradescope_files"
# What grading needs of the course; pyproject.toml names README.md and LICENSE.
_COURSE = ("lessons/**/*", "solutions/*.py", "tests/**/*", "requirements.txt")
_COURSE += ("pyproject.toml", "README.md", "LICENSE")
_WITHOUT = {"__pycache__", "benchmarks"}


def make_zip(target: Path, only: list[Exercise]) -> None:
    """Write the zip. only: the exercises to grade; none for all of them.

    Raises Mistake if the file is there already.
    """
    if target.exists():
        raise Mistake(f"{target} is there already; name another file")
    chosen = "".join(f" --only {one.number}" for one in only)
    run = (SCRIPTS / "run_autograder").read_text(encoding="utf-8")
    target.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        _add(archive, "setup.sh", (SCRIPTS / "setup.sh").read_bytes())
        _add(archive, "run_autograder", run.replace(" @ONLY@", chosen).encode())
        for pattern in _COURSE:
            for path in sorted(ROOT.glob(pattern)):
                inside = path.relative_to(ROOT)
                if path.is_file() and not _WITHOUT & set(inside.parts):
                    _add(archive, f"course/{inside.as_posix()}", path.read_bytes())


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    """Add a file, executable if it is one of the two scripts."""
    info = zipfile.ZipInfo(name)
    info.compress_type = zipfile.ZIP_DEFLATED
    is_script = "/" not in name
    info.external_attr = (0o100755 if is_script else 0o100644) << 16
    archive.writestr(info, data.replace(b"\r\n", b"\n") if is_script else data)
