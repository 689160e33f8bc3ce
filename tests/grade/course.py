"""What a sandbox sees of the course: a copy of what the tests need, and nothing else.

There are no reference answers in it, no wrong ones and no history. The control tests of
an exercise stand at the end of its tests.
"""

import hashlib
import os
import re
import secrets
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from lessons.course.exercises import ROOT, find_exercises

CONTROLS = Path(__file__).parent / "controls"
# The folders whose files count as the course.
FOLDERS = ("lessons", "solutions", "tests")
_COPIED = (
    "pyproject.toml",
    "lessons/[!0-9]*.py",
    "lessons/course/*.py",
    "lessons/mock_server/*.*",
    "lessons/robust_client/*.py",
    "lessons/exercises/*.py",
    "tests/__init__.py",
    "tests/exercises/*.py",
    "tests/grader/[!t]*.py",
    "tests/grade/inside.py",
    "tests/grade/confine.py",
    "tests/grade/guard.py",
    "tests/grade/remote.py",
    "tests/grade/wire.py",
)
# What a control test has in the place of a value: texts, and a number.
_PLACEHOLDERS = ("NONCE_A", "NONCE_B", "NONCE_C")


class Course:
    """A copy of the course for the sandboxes, and whether the course itself is as it
    was.

    folder: the copy. swap: what the judge serves in the place of the texts that the
        control tests know.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.swap = {_nonce(): _nonce() for _ in _PLACEHOLDERS}
        self._lock = threading.Lock()
        self._seen = {path: (_look(path), _hash(path)) for path in _files()}
        self._changed: list[tuple[float, Path]] = []
        for pattern in _COPIED:
            for path in ROOT.glob(pattern):
                target = folder / path.relative_to(ROOT)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, target)
        package = folder / "tests" / "grade" / "__init__.py"
        package.parent.mkdir(parents=True, exist_ok=True)
        package.touch()
        for exercise in find_exercises():
            target = folder / exercise.tests.relative_to(ROOT)
            if target.exists():
                self._add_controls(target, exercise.stem)
        for path in [folder, *folder.rglob("*")]:
            path.chmod(0o755 if path.is_dir() else 0o644)

    def _add_controls(self, tests: Path, stem: str) -> None:
        text = _with_fresh_words(tests.read_text(encoding="utf-8"))
        for name in ("every_exercise.py", f"{stem}.py"):
            if (CONTROLS / name).exists():
                text += "\n\n" + (CONTROLS / name).read_text(encoding="utf-8")
        for placeholder, known in zip(_PLACEHOLDERS, self.swap, strict=True):
            text = text.replace(placeholder, known)
        tests.write_text(text, encoding="utf-8")

    def changes(self, since: float) -> list[str]:
        """Return the files of the course that have changed since a time (monotonic).

        What is found once is told again only to those that had begun before.
        """
        with self._lock:
            now = {path: _look(path) for path in _files()}
            for path in self._seen.keys() | now.keys():
                look, digest = self._seen.get(path, ((), ""))
                if now.get(path, ()) != look and _hash(path) != digest:
                    self._changed.append((time.monotonic(), path))
                    self._seen[path] = now.get(path, ()), _hash(path)
            found = {path for when, path in self._changed if when > since}
        return sorted(path.relative_to(ROOT).as_posix() for path in found)


def _with_fresh_words(text: str) -> str:
    """Return tests with other numbers in the words that no answer can know.

    Those in the repository everybody can read: `n-4711`, `nonce 4711`, `page-8123`.
    """
    fresh: dict[str, str] = {}

    def replace(found: re.Match[str]) -> str:
        number = fresh.setdefault(found[2], str(1000 + secrets.randbelow(9000)))
        return found[1] + number

    return re.sub(r"\b(n-|page-|nonce[ -])(\d{4})\b", replace, text)


def _nonce() -> str:
    """Return a word that cannot be guessed, all of one length."""
    return f"n{secrets.randbelow(10**12):012}"


def _files() -> Iterator[Path]:
    for top in FOLDERS:
        for folder, folders, names in os.walk(ROOT / top):
            folders[:] = [one for one in folders if not one.startswith((".", "__pyc"))]
            yield from (Path(folder, name) for name in names)


def _look(path: Path) -> tuple[int, ...]:
    try:
        found = path.lstat()
    except OSError:
        return ()
    return found.st_mtime_ns, found.st_size, found.st_ino, found.st_mode


def _hash(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""
