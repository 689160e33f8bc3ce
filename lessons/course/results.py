"""What the tests of the exercises found: one Result for each test, and how it reads.

A Result travels from pytest as JSON, and becomes text here only: for `python -m lessons
check`, for pytest's summary, and for the reports that pytest writes.
"""

from __future__ import annotations

import json
import textwrap
from collections import Counter
from typing import NamedTuple

WIDTH = 80  # columns
LINES = 12  # of the text of a failed test
DID = 400  # letters of what we did, which is a line to copy

# The kinds of mistake that the program asks about; all others are only shown.
BORROWED = "borrowed"  # the answer uses the course's own code: no points at all
NAME = "name error"  # a slip that no hint is about
BROKEN = "broken test"  # the test itself failed, and says nothing about the answer
# What keeps a file from being loaded.
UNLOADED = {
    "syntax",
    "no answer",
    "unreadable",
    "not installed",
    "runs on import",
    "fails on import",
    BORROWED,
}
# What says nothing about the single test.
GENERAL = {*UNLOADED, "not started", "missing"}
# What one test alone has seen.
OWN = {"", "wrong", "no exception", BROKEN}


class Result(NamedTuple):
    """What one test found out about an answer.

    exercise: the stem of its files.
    title: what the test wants, in a sentence.
    did: a line to copy. saw, expected: a phrase each.
    line: the learner's own line, with where it is.
    hint: the name of the hint that helps; "" for the next one.
    kind: what sort of mistake it is, in a word or two; "" if there is none.
    points: what the test is worth, whether it passed or not.
    is_further: True if it is no part of the core, which is what the lesson taught.
    printed: the end of what the answer printed.
    notes: sentences on what is not a mistake, but better changed.
    """

    exercise: str = ""
    title: str = ""
    did: str = ""
    saw: str = ""
    expected: str = ""
    line: str = ""
    hint: str = ""
    kind: str = ""
    points: int = 0
    is_further: bool = False
    passed: bool = False
    printed: str = ""
    notes: tuple[str, ...] = ()

    def to_json(self) -> str:
        """Return the result as from_json reads it, in one line of ASCII."""
        return json.dumps(self._asdict())

    @classmethod
    def from_json(cls, text: str) -> Result:
        """Return the result that to_json wrote."""
        values = json.loads(text)
        return cls(**{**values, "notes": tuple(values["notes"])})

    @property
    def cause(self) -> str:
        """What other tests may have failed for too; "" if it is this test's alone."""
        if self.kind == "time limit":  # each test has its own
            return "no end within the time limit"
        return "" if self.kind in OWN else self.saw


def score(results: list[Result], further: bool | None = None) -> tuple[int, int]:
    """Return the points that one answer has reached, and how many it could have.

    An answer that borrows has none, not even for the tests that ran before it did.

    further: True counts the further tests only, False those of the core.
    """
    counted = [one for one in results if further in (None, one.is_further)]
    most = sum(result.points for result in counted)
    if any(result.kind == BORROWED for result in results):
        return 0, most
    return sum(result.points for result in counted if result.passed), most


def has_core(results: list[Result]) -> bool:
    """Say whether an answer has all points of the core, so that its lesson is done."""
    points, most = score(results, further=False)
    return points == most


def describe_points(results: list[Result]) -> str:
    """Return the points of one answer in a line: "Core: 14 of 14. Further: 2 of 6."

    Where there are no further tests, it is "5 of 5 points."
    """
    core, further = score(results, further=False), score(results, further=True)
    if not further[1]:
        return f"{core[0]} of {core[1]} points."
    wish = "" if further[0] == further[1] else ", if you like"
    parts = f"Core: {core[0]} of {core[1]}. Further: {further[0]} of {further[1]}"
    return f"{parts}{wish}."


def render(result: Result) -> str:
    """Return the text of a failed test, of 12 lines at most.

    There is no hint where the file could not even be loaded, or a name is not known.
    Where nothing is written yet, it is the next hint, and not the one of the test.
    Of a broken test, all that it said is shown.
    """
    if result.kind == BROKEN:
        return f"{result.exercise}: the test broke down\n{result.saw}"
    kind = "further point" if result.is_further else "point"
    points = f"{result.points} {kind}{'s' * (result.points != 1)}"
    title = f"{result.exercise}, {points}: {result.title}"
    lines = textwrap.wrap(title, WIDTH, max_lines=2, placeholder=" …")
    lines += _item("we did:", [clip(result.did, DID)] if result.did else [])
    lines += _item("we saw:", _wrap(result.saw))
    lines += _item("expected:", _wrap(result.expected))
    lines += _item("your line:", result.line.splitlines()[:2])
    if room := LINES - 1 - len(lines):  # one line is for the hint
        lines += _item("it printed:", result.printed.splitlines()[-min(room, 2) :])
    if result.kind not in {*UNLOADED, NAME}:
        name = "" if result.kind == "not started" else result.hint
        command = f"python -m lessons hint {result.exercise[:2]} {name}"
        lines += _item("hint:", [command.rstrip()])
    return "\n".join(lines)


def explain(results: list[Result], in_full: bool = False) -> list[str]:
    """Return the lines that tell a learner how one answer did.

    The first failure is told in full, the others in a line each; then come the notes.
    Failures of the core come before those of the further tests.

    in_full: the others are told in full as well.
    """
    failed = [result for result in results if not result.passed]
    failed.sort(key=lambda result: result.is_further)
    told = failed if in_full else failed[:1]
    lines = "\n\n".join(map(render, told)).splitlines()
    if failed[1:] and not in_full:
        lines += ["", "Also not right yet:", *_briefly(failed)]
    for note in dict.fromkeys(note for result in results for note in result.notes):
        sentence, *rest = f"Note: {note}".splitlines()
        lines += [""] if lines else []
        lines += textwrap.wrap(sentence, WIDTH, break_on_hyphens=False)
        lines += rest
    return lines


def tally(results: list[Result]) -> list[str]:
    """Return a line with the points of each exercise."""
    lines = []
    for exercise in dict.fromkeys(result.exercise for result in results):
        own = [one for one in results if one.exercise == exercise]
        reached, most = score(own)
        line = f"{exercise:24}{reached:3} of {most:3} points"
        if any(result.is_further for result in own):
            core, further = score(own, further=False), score(own, further=True)
            line += (
                f": core {core[0]:2} of {core[1]}, further {further[0]} of {further[1]}"
            )
        lines.append(line)
    return lines


def clip(text: str, width: int) -> str:
    """Return a text, cut off where it is longer than width."""
    if len(text) <= width:
        return text
    short = text[: width - 1]
    if " " in short[width // 2 :]:  # no word is cut in two, if that can be helped
        short = short.rpartition(" ")[0]
    return short + "…"


def _item(label: str, texts: list[str]) -> list[str]:
    """Return lines of a text, with a label before the first."""
    return [
        f"  {'' if place else label:11} {text}".rstrip()
        for place, text in enumerate(texts)
    ]


def _wrap(text: str) -> list[str]:
    """Return a text in three lines at most, each short enough for a label before it."""
    width = WIDTH - 14
    lines = textwrap.wrap(" ".join(text.split()), width, break_on_hyphens=False)
    if len(lines) > 3:
        lines[2:] = [clip(lines[2] + " …", width)]
    return lines


def _briefly(failed: list[Result]) -> list[str]:
    """Return a line for each failure after the first.

    Equal ones, and those that have one cause, share a line.
    """
    causes = Counter(result.cause for result in failed)
    shared = [
        one
        for one in failed[1:]
        if one.cause and (one.kind in GENERAL or causes[one.cause] > 1)
    ]
    titles = Counter(result.title for result in failed[1:] if result not in shared)
    lines = []
    for title, count in titles.items():
        end = f" ({count} tests)" if count > 1 else ""
        lines.append(clip(f"- {title}", WIDTH - len(end)) + end)
    for cause, count in Counter(result.cause for result in shared).items():
        lines.append(clip(f"- {count} more test{'s' * (count > 1)}: {cause}", WIDTH))
    return lines
