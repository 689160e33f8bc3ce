"""A class or function has one definition in all notebooks and scripts that define it.

A lesson that is about changing an earlier definition says so, in a comment on the line
above the new one:

    # Replaces retry: now it waits as long as the server asks.

From there on, the new definition is the one that all later lessons have to repeat.
"""

import ast
import difflib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.lesson_files import NOTEBOOKS, SCRIPTS, code_of, parse

OWN = {"main"}  # every script has its own
MARKER = re.compile(r"#\s*Replaces (\w+):\s+\S")


class Definition(NamedTuple):
    """A top-level class or function: where it is, its code without comments, whether it
    replaces an earlier one.
    """

    name: str
    where: str
    code: str
    replaces: bool


def definitions(code: str, where: str) -> list[Definition]:
    """Return the top-level definitions of a script or a cell."""
    lines, found = code.splitlines(), []
    for node in parse(code).body:
        if (
            isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
            and node.name not in OWN
        ):
            first = min(
                [node.lineno, *(decorator.lineno for decorator in node.decorator_list)]
            )
            marker = MARKER.match(lines[first - 2]) if first > 1 else None
            is_marked = bool(marker) and marker[1] == node.name
            found.append(Definition(node.name, where, ast.unparse(node), is_marked))
    return found


def read(path: Path) -> list[Definition]:
    """Return the top-level definitions of a script or a notebook, in their order."""
    return [found for code in code_of(path) for found in definitions(code, path.name)]


def drift(lessons: Iterable[list[list[Definition]]]) -> list[str]:
    """Return what differs.

    A lesson is a list of files, a file a list of definitions, in the order of the
    course.
    """
    wrong: list[str] = []
    current: dict[str, Definition] = {}
    for files in lessons:
        versions = [follow(file, current, wrong) for file in files]
        for version in versions:
            for name, definition in version.items():
                twin = versions[0].get(name)
                if twin and twin.code != definition.code:
                    wrong.append(difference(twin, definition))
        for version in reversed(versions):
            current |= version
    return wrong


def follow(
    file: list[Definition], current: dict[str, Definition], wrong: list[str]
) -> dict[str, Definition]:
    """Return the last version of each name that a file defines; add what contradicts
    the versions so far to wrong.
    """
    own: dict[str, Definition] = {}
    for definition in file:
        earlier = own.get(definition.name) or current.get(definition.name)
        if definition.replaces and not earlier:
            wrong.append(
                f"{definition.where} says it replaces {definition.name}, which no "
                "earlier lesson defines"
            )
        elif definition.replaces and earlier.code == definition.code:
            wrong.append(
                f"{definition.where} says it replaces {definition.name}, but repeats "
                f"that of {earlier.where}"
            )
        elif earlier and not definition.replaces and earlier.code != definition.code:
            wrong.append(difference(earlier, definition))
        own[definition.name] = definition
    return own


def difference(one: Definition, other: Definition) -> str:
    """Return the lines in which two definitions differ."""
    lines = difflib.unified_diff(
        one.code.split("\n"),
        other.code.split("\n"),
        one.where,
        other.where,
        lineterm="",
        n=1,
    )
    return f"{one.name} has two definitions:\n" + "\n".join(lines)


def test_one_name_has_one_definition() -> None:
    """No definition differs between a notebook and its script, or from one lesson to a
    later one, unless it says so.
    """
    stems = sorted({path.stem for path in NOTEBOOKS + SCRIPTS})
    lessons = [
        [read(path) for path in NOTEBOOKS + SCRIPTS if path.stem == stem]
        for stem in stems
    ]
    wrong = drift(lessons)
    assert not wrong, "\n\n".join(wrong)


ASK = "def ask(prompt):\n    return post(prompt)"
OTHER = ASK.replace("post", "get")
NEW = f"# Replaces ask: now by GET.\n{OTHER}"


@pytest.mark.parametrize(
    ("lessons", "words"),
    [
        ([[ASK, ASK], [ASK]], []),
        ([[ASK, ASK + "  # a comment"]], []),
        ([[ASK, OTHER]], ["+    return get(prompt)"]),
        ([[ASK], [OTHER]], ["+    return get(prompt)"]),
        ([[f"{ASK}\n{OTHER}"]], ["+    return get(prompt)"]),
        ([[ASK], [NEW, NEW], [OTHER]], []),
        ([[ASK], [NEW, NEW], [ASK]], ["+    return post(prompt)"]),
        ([[ASK], [NEW, ASK]], ["+    return post(prompt)"]),
        ([[f"{ASK}\n{NEW}", ASK], []], ["+    return post(prompt)"]),
        ([[NEW]], ["no earlier lesson defines"]),
        ([[ASK], [f"# Replaces ask: no.\n{ASK}"]], ["repeats that of"]),
        ([["def main():\n    a()", "def main():\n    b()"]], []),
        (
            [["@once\nclass A:\n    '''One.'''", "@once\nclass A:\n    '''Two.'''"]],
            ['+    """Two."""'],
        ),
    ],
)
def test_drift_is_noticed(lessons: list[list[str]], words: list[str]) -> None:
    """Made-up lessons: equal definitions and announced changes pass, all others are
    reported once.
    """
    files = [
        [definitions(code, f"lesson {n} file {m}") for m, code in enumerate(codes)]
        for n, codes in enumerate(lessons)
    ]
    wrong = drift(files)
    assert len(wrong) == len(words), wrong
    assert all(
        word in complaint for word, complaint in zip(words, wrong, strict=True)
    ), wrong
