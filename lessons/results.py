"""What the tests of the exercises found, as lines to read: for `python -m lessons check` and for pytest's summary."""

from __future__ import annotations

from typing import NamedTuple

WIDTH = 80  # columns
# Kinds of failure that say nothing about the single test.
GENERAL = {"not started", "missing", "syntax", "no answer", "unreadable", "not installed", "runs on import"}


class Result(NamedTuple):
    """The outcome of one test.

    exercise: the stem of its files. points: what the test is worth. text: what to tell the learner, "" if it passed.
    kind: what sort of mistake it is, in a word or two. notes: what is no mistake but better left.
    """

    exercise: str
    points: int
    passed: bool
    text: str = ""
    kind: str = ""
    notes: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """What the test wants, in a sentence."""
        head = self.text.partition("\n  we ")[0].partition(": ")[2]
        return " ".join(head.split())

    @property
    def saw(self) -> str:
        """What the test saw, in a line."""
        _, _, rest = self.text.partition("\n  we saw:")
        return " ".join(rest.partition("\n  expected:")[0].split())


def score(results: list[Result]) -> tuple[int, int]:
    """Return the points that were reached, and how many there were to be had."""
    return sum(result.points for result in results if result.passed), sum(result.points for result in results)


def explain(results: list[Result]) -> list[str]:
    """Return the first failure in full, the others in a line each, and the notes; [] if there is nothing to say."""
    failed = [result for result in results if not result.passed]
    lines = failed[0].text.splitlines() if failed else []
    others = failed[1:]
    if others:
        lines += ["", "Also not right yet:", *_briefly(others)]
    for note in dict.fromkeys(note for result in results for note in result.notes):
        lines += ["", *f"Note: {note}".splitlines()]
    return lines


def tally(results: list[Result]) -> list[str]:
    """Return a line with the points of each exercise."""
    lines = []
    for exercise in dict.fromkeys(result.exercise for result in results):
        reached, most = score([result for result in results if result.exercise == exercise])
        lines.append(f"{exercise:24}{reached:3} of {most:3} points")
    return lines


def _briefly(failed: list[Result]) -> list[str]:
    """Return a line for each failure; those that have one cause share a line."""
    lines = []
    for result in failed:
        if result.kind not in GENERAL:
            lines.append(_shorten(f"- {_shorten(result.title, 50)} {result.saw}".rstrip(), WIDTH))
    causes = [result.saw for result in failed if result.kind in GENERAL]
    for cause in dict.fromkeys(causes):
        count = causes.count(cause)
        lines.append(_shorten(f"- {count} more test{'s' * (count > 1)}: {cause}", WIDTH))
    return lines


def _shorten(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"
