"""What the tests of the exercises found, as lines to read: for `python -m lessons
check` and for pytest's summary.
"""

from __future__ import annotations

import textwrap
from collections import Counter
from typing import NamedTuple

WIDTH = 80  # columns
# Kinds of failure: what keeps a file from being loaded, what else says nothing about
# the single test, and what one test alone has seen.
UNLOADED = {
    "syntax",
    "no answer",
    "unreadable",
    "not installed",
    "runs on import",
    "fails on import",
}
GENERAL = {*UNLOADED, "not started", "missing"}
OWN = {"", "wrong", "no exception"}


class Result(NamedTuple):
    """The outcome of one test.

    exercise: the stem of its files. points: what the test is worth. text: what to tell
        the learner, "" if it passed.
    kind: what sort of mistake it is, in a word or two. notes: what is no mistake but
        better left.
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

    @property
    def cause(self) -> str:
        """What the test saw, if other tests may have failed for the same reason; ""
        otherwise.
        """
        if self.kind == "time limit":  # each test has its own
            return "no end within the time limit"
        return "" if self.kind in OWN else self.saw


def score(results: list[Result]) -> tuple[int, int]:
    """Return the points that were reached, and how many there were to be had."""
    return sum(result.points for result in results if result.passed), sum(
        result.points for result in results
    )


def explain(results: list[Result]) -> list[str]:
    """Return the first failure in full, the others in a line each, and the notes; [] if
    there is nothing to say.
    """
    failed = [result for result in results if not result.passed]
    lines = failed[0].text.splitlines() if failed else []
    if failed[1:]:
        lines += ["", "Also not right yet:", *_briefly(failed)]
    for note in dict.fromkeys(note for result in results for note in result.notes):
        sentence, *rest = f"Note: {note}".splitlines()
        lines += [
            *([""] if lines else []),
            *textwrap.wrap(sentence, WIDTH, break_on_hyphens=False),
            *rest,
        ]
    return lines


def tally(results: list[Result]) -> list[str]:
    """Return a line with the points of each exercise."""
    lines = []
    for exercise in dict.fromkeys(result.exercise for result in results):
        reached, most = score(
            [result for result in results if result.exercise == exercise]
        )
        lines.append(f"{exercise:24}{reached:3} of {most:3} points")
    return lines


def _briefly(failed: list[Result]) -> list[str]:
    """Return a line for each failure after the first; equal ones, and those that have
    one cause, share a line.
    """
    causes = Counter(result.cause for result in failed)
    shared = [
        one
        for one in failed[1:]
        if one.cause and (one.kind in GENERAL or causes[one.cause] > 1)
    ]
    lines = []
    for title, count in Counter(
        result.title for result in failed[1:] if result not in shared
    ).items():
        end = f" ({count} tests)" if count > 1 else ""
        lines.append(_shorten(f"- {title}", WIDTH - len(end)) + end)
    for cause, count in Counter(result.cause for result in shared).items():
        lines.append(
            _shorten(f"- {count} more test{'s' * (count > 1)}: {cause}", WIDTH)
        )
    return lines


def _shorten(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"
