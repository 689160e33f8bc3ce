"""Read the wrong answers to an exercise: named changes to its right answers.

They are in tests/quality/wrong/NN_topic.md, written by hand:

    Base: right/with_requests

    ## no_from

    The new error is raised without `from`, so its __cause__ is None.

    Rejected by: test_every_failure
    Keeps: 19 points

    ```diff
     except requests.Timeout as error:
    -    raise APITimeoutError(str(error)) from error
    +    raise APITimeoutError(str(error))
    @@
    -import time
    ```

Lines with `-` go, lines with `+` come, and lines with a space stay. `@@` begins
another place. The lines of a place that go or stay must be in the base exactly once. A
base is `right/NAME` or `reference`; a change has the one at the top of the file, unless
it names its own above `Rejected by:`.
"""

import ast
import re
from collections.abc import Mapping
from typing import NamedTuple


class WrongAnswer(NamedTuple):
    """A wrong answer, and how the tests must grade it."""

    name: str
    misconception: str  # what is wrong, in a sentence
    rejected_by: tuple[str, ...]  # the tests that must fail
    keeps: int  # the points of the tests that must pass
    code: str  # a whole file, with the other facts as its docstring
    at_most: int = 0  # the points with those of tests that may pass, by chance


class ChangeError(ValueError):
    """A change is not written as it must be."""


def read_wrong_answers(text: str, bases: Mapping[str, str]) -> list[WrongAnswer]:
    """Return the wrong answers that a file describes. bases: code by name.

    Raises ChangeError, which names the change.
    """
    head, *sections = re.split(r"(?m)^## ", text)
    if "```" in head:
        raise ChangeError(
            "a change begins with a line `## NAME`, and the first has none"
        )
    default = _fields(head)[1].get("Base", "")
    bodies = {name: _without_docstring(code) for name, code in bases.items()}
    answers: dict[str, WrongAnswer] = {}
    for section in sections:
        name, _, rest = section.partition("\n")
        try:
            if name in answers:
                raise ChangeError("there is another one of this name")
            answers[name] = _read(name, rest, default, bodies)
        except ChangeError as error:
            raise ChangeError(f"{name}: {error}") from None
    return list(answers.values())


def _read(name: str, text: str, default: str, bodies: Mapping[str, str]) -> WrongAnswer:
    facts, _, block = f"{text.rstrip()}\n".partition("\n```")
    language, _, block = block.partition("\n")
    diff, end, rest = block.partition("\n```\n")
    misconception, fields = _fields(facts)
    base = fields.get("Base", default)
    keeps = re.fullmatch(r"(\d+)(?: to (\d+))? points?", fields.get("Keeps", ""))
    parts = {
        "a name of letters, digits and _ after `## `": re.fullmatch(r"\w+", name),
        "a sentence that says what is wrong": misconception,
        "`Base: right/NAME`, here or at the top of the file": base,
        "`Rejected by: test_NAME`": fields.get("Rejected by"),
        "`Keeps: N points`, or `N to M points`": keeps,
        "a block of lines from ```diff to ```": end and language == "diff",
    }
    if missing := [part for part, found in parts.items() if not found]:
        raise ChangeError(f"it needs {' and '.join(missing)}")
    if rest.strip():
        raise ChangeError("nothing may follow its ```diff block; @@ begins a new place")
    if base not in bodies:
        raise ChangeError(f"there is no base {base!r}, only {', '.join(bodies)}")
    body = _change(bodies[base], base, diff)
    if body == bodies[base]:
        raise ChangeError(f"it changes nothing about {base}")
    code = f'"""{facts.strip()}\n"""\n\n{body}'
    try:
        ast.parse(code)
    except SyntaxError as error:
        raise ChangeError(f"the result is no Python: {error}\n\n{code}") from None
    tests = tuple(test.strip() for test in fields["Rejected by"].split(","))
    least, most = int(keeps[1]), int(keeps[2] or keeps[1])
    return WrongAnswer(name, misconception, tests, least, code, most)


def _fields(text: str) -> tuple[str, dict[str, str]]:
    """Return what comes before the first `Field: value`, and the values by field."""
    before, *rest = re.split(r"(?m)^(Base|Rejected by|Keeps): ", text)
    values = [" ".join(value.split()) for value in rest[1::2]]
    return " ".join(before.split()), dict(zip(rest[::2], values, strict=True))


def _without_docstring(code: str) -> str:
    tree = ast.parse(code)
    length = tree.body[0].end_lineno if ast.get_docstring(tree) else 0
    return "\n".join(code.split("\n")[length:]).strip("\n") + "\n"


def _change(code: str, base: str, diff: str) -> str:
    """Return the code with all places of a diff changed, one after the other."""
    lines = code.split("\n")
    for place in re.split(r"(?m)^@@.*\n", f"{diff}\n"):
        marked = place.split("\n")[:-1]
        if not marked:  # before the first @@, which may stand at the top
            continue
        for line in marked:
            if line and line[0] not in "-+ ":
                raise ChangeError(f"a line must begin with -, + or a space: {line}")
        old = [line[1:] for line in marked if not line.startswith("+")]
        new = [line[1:] for line in marked if not line.startswith("-")]
        if not old:
            raise ChangeError(f"a line beside it must say where this goes:\n{place}")
        length = len(old)
        starts = [n for n in range(len(lines)) if lines[n : n + length] == old]
        if len(starts) != 1:
            advice = "add lines around them" if starts else "copy them from it anew"
            raise ChangeError(
                f"these lines must be in {base} once, and are in it {len(starts)} "
                f"times; {advice}:\n" + "\n".join(old)
            )
        lines[starts[0] : starts[0] + length] = new
    return "\n".join(lines)
