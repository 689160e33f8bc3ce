"""Find every file of the hand-ins, in zips too, and let none of them do harm."""

from __future__ import annotations

import os
import re
import stat
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from lessons.course.exercises import Mistake

MAX_FILES = 50_000  # of all hand-ins together
MAX_ZIP = 500_000_000  # bytes that one zip may unpack to
MAX_ANSWER = 4_000_000  # bytes of one answer; a notebook holds its pictures
MAX_DEPTH = 3  # a zip of the class with a zip of each student with another zip
# What programs leave in a folder, and nobody hands in on purpose.
LEFT_BEHIND = {
    *(".git", ".venv", "venv", "node_modules", "__pycache__", "__MACOSX"),
    *(".ipynb_checkpoints", ".pytest_cache", ".ruff_cache", ".idea", ".vscode"),
}
# What moves the cursor of a terminal, or turns the direction of a text.
_CONTROLS = re.compile("[\0-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_WANTED = re.compile(r".*\.(?:py|ipynb|yml)(?:\.txt)?", re.IGNORECASE)


class File(NamedTuple):
    """A file that was handed in.

    parts: its folders and its name; a zip counts as a folder.
    path: where it can be read now; None if it is not to be read.
    note: why not, as far as its name does not say so.
    """

    parts: tuple[str, ...]
    path: Path | None = None
    note: str = ""

    @property
    def shown(self) -> str:
        """What to call the file in a message."""
        return "/".join(self.parts)


def find_files(source: Path, scratch: Path) -> list[File]:
    """Return all files of a folder or a zip, sorted by name.

    Zips are unpacked into the folder scratch. Raises Mistake for a source that is
    neither, for a zip that cannot be read, is too large or has paths that lead
    outside, and for too many files.
    """
    finder = _Finder(scratch)
    if source.is_dir():
        found = finder.walk(source, ())
    elif source.suffix.lower() == ".zip" and source.is_file():
        found = finder.unpack(source, (source.name,), ())
    else:
        raise Mistake(f"{source} is neither a folder nor a zip with hand-ins")
    return sorted(found)


class _Finder:
    """Counts the files, and gives the unpacked ones names of its own."""

    def __init__(self, scratch: Path) -> None:
        self._scratch, self._count = scratch, 0

    def _number(self) -> int:
        self._count += 1
        if self._count > MAX_FILES:
            raise Mistake(f"there are more than {MAX_FILES} files; move some away")
        return self._count

    def walk(self, folder: Path, parts: tuple[str, ...]) -> Iterator[File]:
        """Yield the files of a folder; links are not followed."""
        for path in sorted(folder.iterdir()):
            # Linux has names that are no text.
            name = path.name.encode("utf-8", "replace").decode("utf-8")
            here = (*parts, without_controls(name))
            if path.is_symlink():
                yield File(here, note="a link is not followed")
            elif path.name in LEFT_BEHIND:
                yield File(here, note="left behind by a program")
            elif path.is_dir():
                yield from self.walk(path, here)
            elif not path.is_file():
                yield File(here, note="no regular file")
            elif path.suffix.lower() == ".zip":
                yield from self.unpack(path, here, here)
            else:
                self._number()
                yield File(here, path)

    def unpack(
        self, path: Path, shown: tuple[str, ...], parts: tuple[str, ...], depth: int = 1
    ) -> Iterator[File]:
        """Yield the files of a zip; what can be an answer is written to scratch.

        shown: what to call the zip. parts: the folder that its files count as.
        """
        name = "/".join(shown)
        if depth > MAX_DEPTH:
            raise Mistake(f"{name} is a zip in a zip in a zip; unpack it yourself")
        try:
            with zipfile.ZipFile(path) as archive:
                members = [one for one in archive.infolist() if not one.is_dir()]
                if sum(one.file_size for one in members) > MAX_ZIP:
                    raise Mistake(
                        f"{name} is too large: unpacked, it has more than "
                        f"{MAX_ZIP // 1_000_000} MB; ask for it without what is large"
                    )
                for member in members:
                    yield from self._member(archive, member, shown, parts, depth)
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError) as why:
            reason = str(why).rstrip(".") or type(why).__name__
            raise Mistake(
                f"{name} is no zip that can be read ({reason}); ask for it again, or "
                "move it away"
            ) from why

    def _member(
        self,
        archive: zipfile.ZipFile,
        member: zipfile.ZipInfo,
        shown: tuple[str, ...],
        parts: tuple[str, ...],
        depth: int,
    ) -> Iterator[File]:
        inside = without_controls(member.filename).replace("\\", "/")
        number = self._number()
        names = PurePosixPath(inside).parts
        if inside.startswith("/") or ".." in names or re.match("[a-zA-Z]:", inside):
            raise Mistake(
                f"{'/'.join(shown)} has a path that leads outside of it: "
                f"{inside}; ask for a zip of the answers alone"
            )
        here = (*parts, *names)
        left = [place for place, name in enumerate(names) if name in LEFT_BEHIND]
        is_zip = inside.lower().endswith(".zip")
        if stat.S_ISLNK(member.external_attr >> 16):
            yield File(here, note="a link is not followed")
        elif left:
            note = "left behind by a program"
            yield File((*parts, *names[: left[0] + 1]), note=note)
        elif not is_zip and not _WANTED.fullmatch(inside):
            yield File(here)
        elif not is_zip and member.file_size > MAX_ANSWER:
            yield File(here, note=too_large())
        else:
            target = self._scratch / f"{number}{os.path.splitext(inside)[1]}"
            with archive.open(member) as data, target.open("wb") as copy:
                while block := data.read(1 << 20):
                    copy.write(block)
            if is_zip:
                yield from self.unpack(target, here, here, depth + 1)
            else:
                yield File(here, target)


def without_controls(text: str) -> str:
    """Return a text that only shows what it says, on a terminal and on a page."""
    return _CONTROLS.sub("?", text)


def too_large() -> str:
    """Say that an answer has too many bytes."""
    return f"larger than {MAX_ANSWER // 1_000_000} MB: not read"
