"""What a run is about, and its journal: a line for every answer that is graded.

A report folder begins with `run.json`; then each verdict is one line of `journal.jsonl`
and on the disk before the next is waited for. All other files are made of these two.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from lessons.course.exercises import ROOT, Mistake
from lessons.course.results import Result

from .engine import Verdict
from .hand_ins import Fate
from .people import Student

Key = tuple[str, str]  # a student's id, and the stem of an exercise
# What decides about a grade: the exercises, their tests, the server, the pins.
_COURSE = ("lessons/**/*.py", "tests/exercises/*.py", "tests/grader/*.py")
_COURSE += ("tests/grade/**/*.py", "solutions/*.py", "requirements.txt")


class Run(NamedTuple):
    """What is graded, and how.

    course, hand_ins: hashes. seed, shard: which answers this run grades, in which
    order; see deal. level, promise: of the isolation.
    """

    course: str
    hand_ins: str
    seed: int
    shard: tuple[int, int]
    exercises: tuple[str, ...]
    level: str
    promise: str
    students: tuple[Student, ...]
    answers: tuple[Key, ...]
    look: dict[str, list[str]]
    fates: tuple[Fate, ...]

    @classmethod
    def from_json(cls, text: str) -> Run:
        """Return the run that `json.dumps(run._asdict())` wrote."""
        values = json.loads(text)
        for name in ("shard", "exercises"):
            values[name] = tuple(values[name])
        values["students"] = tuple(Student(*one) for one in values["students"])
        values["answers"] = tuple(tuple(key) for key in values["answers"])
        values["fates"] = tuple(Fate(*one) for one in values["fates"])
        return cls(**values)

    @property
    def isolation(self) -> str:
        """The level, and a sentence on what it holds and what it does not."""
        return f"{self.level}: {self.promise.removeprefix(f'{self.level}: ')}"

    @property
    def own(self) -> list[Key]:
        """The answers that this run grades, in its order."""
        return deal(self.answers, self.seed, self.shard)


def deal(answers: Iterable[Key], seed: int, shard: tuple[int, int]) -> list[Key]:
    """Return the part of the answers that shard i of n grades.

    They are shuffled first, so that slow exercises are spread over the shards, and over
    the time that is left.
    """
    shuffled = sorted(answers)
    random.Random(seed).shuffle(shuffled)
    number, count = shard
    return shuffled[number - 1 :: count]


def hash_course() -> str:
    """Return what tells two versions of the course apart, whatever ends their lines."""
    whole = hashlib.sha256()
    for pattern in _COURSE:
        for path in sorted(ROOT.glob(pattern)):
            text = path.read_bytes().replace(b"\r\n", b"\n")
            whole.update(f"{path.relative_to(ROOT).as_posix()} {len(text)}\n".encode())
            whole.update(text)
    return whole.hexdigest()


class Journal:
    """The verdicts of a run, kept in its report folder.

    Use it as a context manager; write() adds a verdict.
    """

    def __init__(self, folder: Path, run: Run, resume: bool = False) -> None:
        """Open the folder of a new run, or go on with the same one.

        Raises Mistake if the folder has anything else in it; nothing is changed then.
        """
        self.run, self.verdicts = run, {}
        self._path = folder / "journal.jsonl"
        if folder.exists() and (not folder.is_dir() or _is_used(folder)):
            self._check(folder, run, resume)
            self.verdicts, whole = _read_lines(self._path)
            if self._path.exists():
                os.truncate(self._path, whole)  # the kill may have cut the last line
        else:
            folder.mkdir(parents=True, exist_ok=True)
            write_whole(folder / "run.json", _pretty(run._asdict()), is_first=True)
        self._file = self._path.open("a", encoding="ascii")
        self._lock = threading.Lock()

    @staticmethod
    def _check(folder: Path, run: Run, resume: bool) -> None:
        if not (folder / "run.json").is_file():
            raise Mistake(f"{folder} is in use for something else; name a new folder")
        if not resume:
            raise Mistake(
                f"{folder} has a report already; name another folder, or add --resume "
                "to go on with it"
            )
        before = read_run(folder)
        names = {"course": "the course", "exercises": "--only", "seed": "--seed"}
        names |= {"shard": "--shard", "level": "the isolation"}
        names |= {"hand_ins": "the hand-ins"}
        for field, name in names.items():
            if getattr(before, field) != getattr(run, field):
                raise Mistake(
                    f"{folder} is the report of another run: {name} changed since; "
                    "name another folder"
                )

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, key: Key, verdict: Verdict) -> None:
        """Keep a verdict; it is on the disk when this returns. Threads may share it."""
        line = {"student": key[0], "exercise": key[1], **verdict._asdict()}
        line["results"] = [result._asdict() for result in verdict.results]
        with self._lock:
            self._file.write(json.dumps(line) + "\n")
            self._file.flush()
            os.fsync(self._file.fileno())
            self.verdicts[key] = verdict


def read_run(folder: Path) -> Run:
    """Return what the run of a report folder is about. Raises Mistake if it is none."""
    try:
        return Run.from_json((folder / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Mistake(
            f"{folder} is no report of this program: its run.json cannot be read"
        ) from error


def read_verdicts(folder: Path) -> dict[Key, Verdict]:
    """Return the verdicts of a report folder, without one that was cut off."""
    return _read_lines(folder / "journal.jsonl")[0]


def _read_lines(path: Path) -> tuple[dict[Key, Verdict], int]:
    """Return the verdicts in a journal, and how many bytes of whole lines it has."""
    data = path.read_bytes() if path.exists() else b""
    whole = data.rfind(b"\n") + 1
    verdicts: dict[Key, Verdict] = {}
    for number, line in enumerate(data[:whole].splitlines(), 1):
        try:
            values = json.loads(line)
            key = values["student"], values["exercise"]
            results = [Result.from_json(json.dumps(one)) for one in values["results"]]
            verdict = Verdict(results, tuple(values["look"]), values["seconds"])
        except (ValueError, KeyError, TypeError) as error:
            raise Mistake(f"{path}: line {number} was changed by hand") from error
        verdicts.setdefault(key, verdict)
    return verdicts, whole


def write_whole(path: Path, text: str, is_first: bool = False) -> None:
    """Write a file so that it is there whole or not at all.

    Half a character, which an answer can put into a text, is written as `\\ud800`.
    is_first: even if the machine loses its power, what is written later needs it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.new")
    with new.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        file.write(text)
        if is_first:
            file.flush()
            os.fsync(file.fileno())
    new.replace(path)


def _is_used(folder: Path) -> bool:
    """Say whether a folder has more than what a run leaves that was killed at once."""
    return bool({path.name for path in folder.iterdir()} - {"run.json.new"})


def _pretty(values: dict[str, Any]) -> str:
    return json.dumps(values, indent=1, ensure_ascii=False) + "\n"


# --- several runs into one ---


def merge(folders: list[Path]) -> tuple[Run, dict[Key, Verdict]]:
    """Return the shards of one run as if it had been a single run.

    Raises Mistake if they do not belong together, or if one is missing or not finished.
    """
    runs = [read_run(folder) for folder in folders]
    first, count = runs[0], runs[0].shard[1]
    names = {"course": "another version of the course", "seed": "another --seed"}
    names |= {"exercises": "other exercises (--only)", "hand_ins": "other hand-ins"}
    for folder, run in zip(folders, runs, strict=True):
        for field, name in names.items():
            if getattr(run, field) != getattr(first, field):
                raise Mistake(f"{folder} is a run on {name} than {folders[0]}")
        if run.shard[1] != count:
            raise Mistake(f"{folder} is one of {run.shard[1]} shards, not of {count}")
    numbers = [run.shard[0] for run in runs]
    if twice := {number for number in numbers if numbers.count(number) > 1}:
        raise Mistake(f"shard {min(twice)} of {count} is there more than once")
    if missing := sorted(set(range(1, count + 1)) - set(numbers)):
        listed = ", ".join(map(str, missing))
        raise Mistake(f"shard {listed} of {count} is missing; nothing was merged")
    verdicts: dict[Key, Verdict] = {}
    for folder, run in zip(folders, runs, strict=True):
        own = read_verdicts(folder)
        if left := len(set(run.own) - set(own)):
            raise Mistake(
                f"{folder} is not finished, {left} answers are left; run it again "
                "with --resume"
            )
        verdicts |= own
    levels = {run.level: run.promise for run in runs}
    return (
        first._replace(
            shard=(1, 1),
            level=" and ".join(sorted(levels)),
            promise="; ".join(levels[level] for level in sorted(levels)),
        ),
        verdicts,
    )
