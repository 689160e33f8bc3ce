"""What the learner has reached so far, kept in work/.progress.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .exercises import WORK, Exercise, find_exercises

POINTS = 20  # of an exercise that was not checked yet


class Progress:
    """For each exercise, what is known about it.

    points, of: the points of the last check, and how many there were to be had.
    solved: True once it had the core. given_up: True once the reference was opened
        without that. hints: how many of them were shown.
    """

    def __init__(self) -> None:
        self.path = WORK / ".progress.json"
        self._entries: dict[str, dict[str, Any]] = {}
        try:
            entries = json.loads(self.path.read_text(encoding="utf-8"))
            self._entries = {stem: dict(entry) for stem, entry in entries.items()}
        except OSError:
            pass  # nothing was kept yet, or nothing can be
        except (ValueError, AttributeError, TypeError):
            kept = spare_name(self.path)
            try:
                self.path.replace(kept)
            except OSError:
                return  # what cannot be moved cannot be written over either
            print(
                f"work/{self.path.name} could not be read, so your points start at 0."
            )
            print(f"The old file is now work/{kept.name}.\n")

    def get(self, exercise: Exercise, name: str, default: Any = 0) -> Any:
        """Return what is known about an exercise."""
        value = self._entries.get(exercise.stem, {}).get(name, default)
        return value if isinstance(value, type(default)) else default

    def set(self, exercise: Exercise, **values: Any) -> None:
        """Keep something about an exercise, or say that it cannot be kept."""
        self._entries.setdefault(exercise.stem, {}).update(values)
        new = self.path.with_suffix(".new")
        try:
            self.path.parent.mkdir(exist_ok=True)
            new.write_text(json.dumps(self._entries, indent=1), encoding="utf-8")
            new.replace(self.path)
        except OSError as error:
            print(f"work/ cannot be written ({error.strerror}): no progress is kept.\n")

    def describe(self, exercise: Exercise) -> str:
        """Return where the learner stands in an exercise, in a few words."""
        if not exercise.answers:
            return "not started"
        most = self.get(exercise, "of")
        return f"{self.get(exercise, 'points')} of {most} points" if most else "started"

    def is_solved(self, exercise: Exercise) -> bool:
        """Say whether an answer to an exercise has had all points of the core once."""
        return self.get(exercise, "solved", False)

    def unsolved(self) -> list[Exercise]:
        """Return the exercises that are still to be solved."""
        return [one for one in find_exercises() if not self.is_solved(one)]

    def next_after(self, exercise: Exercise) -> Exercise | None:
        """Return the next exercise to be solved, and after the last the first;
        None if there is no other.
        """
        others = [one for one in self.unsolved() if one != exercise]
        later = [one for one in others if one.number > exercise.number]
        return next(iter(later + others), None)

    def solved(self) -> tuple[int, int]:
        """Return how many exercises are solved, and how many there are."""
        most = len(find_exercises())
        return most - len(self.unsolved()), most

    def total(self) -> str:
        """Return the points of all exercises, and how many are possible."""
        exercises = find_exercises()
        most = sum(self.get(exercise, "of") or POINTS for exercise in exercises)
        started = [exercise for exercise in exercises if exercise.answers]
        return f"{sum(self.get(one, 'points') for one in started)} of {most}"


def spare_name(path: Path) -> Path:
    """Return a name beside a file that is not taken yet: 05_error_classes~1.py."""
    number = 1
    while (spare := path.with_name(f"{path.stem}~{number}{path.suffix}")).exists():
        number += 1
    return spare
