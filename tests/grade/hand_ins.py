"""Find out who handed in which answer, and say what became of every other file."""

from __future__ import annotations

import difflib
import hashlib
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

from lessons.course.exercises import Exercise, Mistake, match_name

from .files import MAX_ANSWER, File, find_files, too_large
from .people import (
    Student,
    find_in_roster,
    fold,
    is_from_a_platform,
    owner_of_file,
    owner_of_folder,
    read_gradescope,
    read_gradescope_container,
)

# In a checkout of the course, the learner's answers are in work/.
_COURSE = {"lessons", "notebooks", "solutions", "tests"}
GRADESCOPE = "submission"  # the folder of its container, of one student
GRADED = "graded"
UNKNOWN = "not named as an answer"


class Fate(NamedTuple):
    """What became of a file that was handed in."""

    file: str
    student: str
    exercise: str
    what: str


class HandIns(NamedTuple):
    """What a class handed in.

    answers: a copy of each answer, by the student's id and the exercise.
    look: by a student's id, why a person should look.
    digest: the same for the same students with the same answers, wherever they are.
    """

    students: list[Student]
    answers: dict[tuple[str, str], Path]
    fates: list[Fate]
    look: dict[str, list[str]]
    digest: str


def collect(
    source: Path,
    scratch: Path,
    exercises: list[Exercise],
    only: list[Exercise] | None = None,
    roster: list[Student] | None = None,
    student: str = "",
) -> HandIns:
    """Return the hand-ins in a folder or zip, each answer copied into scratch.

    only: the exercises to grade, if not all of them.
    student: all of it is one student's.

    Raises Mistake if no answer is found, except in the hand-in of one student, who has
    0 points then.
    """
    for name in ("zips", "answers"):
        (scratch / name).mkdir()
    stems = [exercise.stem for exercise in exercises]
    files = find_files(source, scratch / "zips")
    is_one = bool(student) or source.name == GRADESCOPE
    if not files and not is_one:
        raise Mistake(f"{source} is empty; it must have the hand-ins of a class")
    wanted = [exercise.stem for exercise in only or exercises]
    collector = _Collector(stems, wanted, scratch / "answers", roster)
    for owner, own in _by_owner(source, files, stems, student):
        collector.add(owner, own, is_certain=is_one)
    if not collector.answers and not is_one:
        names = list(dict.fromkeys(file.shown for file in files))
        more = f" and {len(names) - 5} more" if len(names) > 5 else ""
        raise Mistake(
            f"no hand-ins are recognised in {source}: an answer is named as "
            f"{wanted[0]}.py, and there are {', '.join(names[:5])}{more}"
        )
    return collector.finish()


def _by_owner(
    source: Path, files: list[File], stems: list[str], student: str
) -> list[tuple[Student | None, list[File]]]:
    """Return the files of each student; those without a student come under None."""
    answers = [(file, stem) for file in files for stem in stems if _match(file, stem)]
    are_alone = all(
        len(file.parts) == 1 and not owner_of_file(file.parts[0], stems)
        for file, _ in answers
    )
    if student or source.name == GRADESCOPE or (answers and are_alone):
        known = read_gradescope_container(source.parent / "submission_metadata.json")
        name = source.resolve().name
        return [(Student(student) if student else known or Student(name), files)]
    skip = 1 if _is_wrapped(files, answers) else 0
    known = {}
    for file in files:
        if file.parts[skip:] == ("submission_metadata.yml",) and file.path:
            known = read_gradescope(file.path.read_text("utf-8", errors="replace"))
    owners: dict[str, Student] = {}
    groups: dict[str, list[File]] = defaultdict(list)
    for file in files:
        top = file.parts[skip] if len(file.parts) > skip else ""
        if len(file.parts) > skip + 1:
            owner = owner_of_folder(top, known)
        else:
            owner = owner_of_file(top, stems)
        key = fold(owner.id) if owner else ""
        if owner:
            owners.setdefault(key, owner)
        groups[key].append(file)
    return [(owners.get(key), own) for key, own in sorted(groups.items())]


def _is_wrapped(files: list[File], answers: list[tuple[File, str]]) -> bool:
    """Say whether everything is in one folder, below which the students come."""
    tops = {file.parts[0] for file in files}
    if len(tops) > 1 or any(len(file.parts) == 1 for file in files):
        return False
    if any(is_from_a_platform(file.parts[1]) for file in files):
        return not is_from_a_platform(min(tops))
    places = defaultdict(set)
    for file, stem in answers:
        if len(file.parts) > 2 and file.parts[1] not in {*_COURSE, "work"}:
            places[stem].add(file.parts[1])
    return any(len(folders) > 1 for folders in places.values())


def _match(file: File, stem: str) -> tuple[str, int] | None:
    return match_name(file.parts[-1], stem)


class _Collector:
    """Takes the files of one student after the other."""

    def __init__(
        self,
        stems: list[str],
        wanted: list[str],
        folder: Path,
        roster: list[Student] | None,
    ) -> None:
        self._stems, self._wanted = stems, wanted
        self._folder, self._roster = folder, roster
        self.students = {fold(one.id): one for one in roster or ()}
        self.answers: dict[tuple[str, str], Path] = {}
        self._digests: dict[tuple[str, str], str] = {}
        self._fates: list[Fate] = []
        self._look: dict[str, list[str]] = defaultdict(list)

    def add(self, owner: Student | None, files: list[File], is_certain: bool) -> None:
        """Take the files of a student, or of nobody that is known.

        is_certain: the student counts even without an answer.
        """
        chosen: dict[str, list[File]] = defaultdict(list)
        others: list[tuple[File, str]] = []
        roots = {
            file.parts[:place]
            for file in files
            for place in range(len(file.parts) - 2)
            if file.parts[place : place + 2] == ("lessons", "exercises")
        }
        for file in files:
            stem = next((one for one in self._stems if _match(file, one)), "")
            is_course = any(
                file.parts[: len(root)] == root and file.parts[len(root)] in _COURSE
                for root in roots
            )
            if file.note or not stem or not owner:
                nobody = "" if owner else "no student in its name"
                others.append((file, file.note or nobody or UNKNOWN))
            elif is_course:
                others.append((file, "part of the course, not of work/"))
            elif stem not in self._wanted:
                others.append((file, "of an exercise that is not graded now"))
            else:
                chosen[stem].append(file)
        owner = self._enrol(owner, files, bool(chosen) or is_certain) if owner else None
        for stem, found in chosen.items():
            self._choose(owner, stem, found)
        for file, what in others:
            stem = next((one for one in self._wanted if _match(file, one)), "")
            if owner and file.note and stem:
                self._warn(owner, f"{stem[:2]}: {file.shown}: {what}")
            if owner and what == UNKNOWN:
                what += self._suggest(owner, file, chosen)
            self._fates.append(Fate(file.shown, owner.id if owner else "", "", what))

    def _enrol(
        self, found: Student, files: list[File], is_certain: bool
    ) -> Student | None:
        """Return the student as the roster calls them, or as they came.

        A folder without any program is nobody's, unless the roster knows its name.
        """
        listed = find_in_roster(found, self._roster) if self._roster else None
        has_code = any(file.path and _is_code(file) for file in files)
        if not (listed or is_certain or (has_code and not self._roster)):
            return None
        student = listed or self.students.get(fold(found.id), found)
        self.students.setdefault(fold(student.id), student)
        if self._roster and not listed:
            self._warn(student, "not in the roster")
        return student

    def _choose(self, owner: Student, stem: str, found: list[File]) -> None:
        """Copy the answer that counts; report the others as doubles."""

        def rank(file: File) -> tuple:
            copy = _match(file, stem)[1]
            name = file.parts[-1].lower()
            is_exact = name in (f"{stem}.py", f"{stem}.ipynb")
            folders = file.parts[:-1]
            return (
                not (folders and folders[-1] == "work"),
                not is_exact,
                ".ipynb" in name,
                -copy,
                len(folders),
                file.parts,
            )

        if (owner.id, stem) in self.answers:  # from another folder of this student
            best, doubles = None, found
        else:
            best, *doubles = sorted(found, key=rank)
            self._copy(owner, stem, best)
        counts = self._digests.get((owner.id, stem))
        for file in doubles:
            is_same = bool(counts) and _digest(file.path) == counts
            what = "a double with the same content" if is_same else "a double"
            self._fates.append(Fate(file.shown, owner.id, stem, f"{what}: not graded"))
            if not is_same:
                self._warn(owner, f"{stem[:2]}: {file.shown} was not graded, a double")

    def _copy(self, owner: Student, stem: str, file: File) -> None:
        if file.path.stat().st_size > MAX_ANSWER:
            self._fates.append(Fate(file.shown, owner.id, stem, too_large()))
            self._warn(owner, f"{stem[:2]}: {file.shown}: {too_large()}")
            return
        suffix = ".ipynb" if ".ipynb" in file.parts[-1].lower() else ".py"
        folder = self._folder / str(len(self.answers))
        folder.mkdir()
        target = folder / f"{stem}{suffix}"
        target.write_bytes(file.path.read_bytes())
        self.answers[owner.id, stem] = target
        self._digests[owner.id, stem] = _digest(target)
        self._fates.append(Fate(file.shown, owner.id, stem, GRADED))

    def _suggest(self, owner: Student, file: File, chosen: dict) -> str:
        """Say which answer a file may be meant to be, if that one is missing."""
        if not _is_code(file):
            return ""
        base, _, suffix = file.parts[-1].lower().removesuffix(".txt").rpartition(".")
        missing = [stem for stem in self._wanted if stem not in chosen]
        near = difflib.get_close_matches(base.replace("-", "_"), missing, 1, 0.5)
        same = [stem for stem in missing if base.startswith(stem[:2])]
        if not (near or same):
            return ""
        meant = (near or same)[0]
        self._warn(owner, f"{meant[:2]}: {file.shown} may be the answer: rename it")
        return f"; rename it if it is {meant}.{suffix}"

    def _warn(self, student: Student, text: str) -> None:
        self._look[student.id].append(text)

    def finish(self) -> HandIns:
        """Return all that was found, in an order that does not depend on the disk."""
        students = sorted(self.students.values(), key=lambda one: fold(one.id))
        known = [tuple(student) for student in students]
        digest = hashlib.sha256(repr((known, sorted(self._digests.items()))).encode())
        look = {id: list(dict.fromkeys(texts)) for id, texts in self._look.items()}
        fates = sorted(self._fates)
        return HandIns(students, self.answers, fates, look, digest.hexdigest())


def _is_code(file: File) -> bool:
    name = file.parts[-1].lower().removesuffix(".txt")
    return name.endswith((".py", ".ipynb"))


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
