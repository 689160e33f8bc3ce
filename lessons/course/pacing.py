"""How much a notebook asks of a beginner: lines, words, pictures, and minutes.

A code line is one that is neither blank, a comment, nor part of a docstring. The main
path is all that stands before the heading `## Deeper`.
"""

from __future__ import annotations

import ast
import io
import json
import re
import statistics
import tokenize
from pathlib import Path
from typing import Any, NamedTuple

WORDS_A_MINUTE = 150  # read by somebody to whom the subject is new
LINES_A_MINUTE = 10  # of code: read, thought about and run
MINUTES_A_TURN = 4  # to write the lines of a "your turn"
DEEPER = "## Deeper"


class Opening(NamedTuple):
    """What the first cell of a notebook says: its title, and minutes, 0 if not said."""

    title: str
    minutes: int


class Pace(NamedTuple):
    """The numbers of one notebook's main path.

    median, longest: code lines in a cell. silent: code lines in the longest run of
    cells without an output. figures: pictures, drawn or stored. first_turn: which cell
    is the first "your turn", counted from 1, markdown included; 0 if there is none.
    """

    median: float
    longest: int
    silent: int
    lines: int
    words: int
    figures: int
    turns: int
    first_turn: int

    @property
    def minutes(self) -> int:
        """The minutes that the main path takes, its turns included, in steps of 5."""
        exact = self.words / WORDS_A_MINUTE + self.lines / LINES_A_MINUTE
        return 5 * round((exact + self.turns * MINUTES_A_TURN) / 5)


def read_opening(path: Path) -> Opening:
    """Return the title and the minutes that a notebook states.

    The minutes are those of pace(path), as long as nobody has changed the notebook: a
    test compares them. Raises OSError or ValueError if it is not a notebook.
    """
    try:
        first = text_of(json.loads(path.read_text(encoding="utf-8"))["cells"][0])
    except (LookupError, TypeError) as error:
        raise ValueError(f"{path.name} is not a notebook") from error
    title = re.search(r"(?m)^# +(?:\d\d +)?(.+?) *$", first)
    minutes = re.search(r"about (\d+) minutes", first)
    return Opening(title[1] if title else "", int(minutes[1]) if minutes else 0)


def pace(path: Path) -> Pace:
    """Return the numbers of a stored notebook."""
    cells = main_path(json.loads(path.read_text(encoding="utf-8"))["cells"])
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    counts = [code_lines(text_of(cell)) for cell in code]
    silent = longest_silent = 0
    for cell, count in zip(code, counts, strict=True):
        silent = 0 if cell["outputs"] else silent + count
        longest_silent = max(longest_silent, silent)
    turns = [number for number, cell in enumerate(cells, 1) if is_turn(cell)]
    return Pace(
        median=statistics.median(counts or [0]),
        longest=max(counts, default=0),
        silent=longest_silent,
        lines=sum(counts),
        words=sum(words(text_of(cell)) for cell in cells if cell not in code),
        figures=sum(map(figures, cells)),
        turns=len(turns),
        first_turn=turns[0] if turns else 0,
    )


def main_path(cells: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the cells before the heading Deeper."""
    for number, cell in enumerate(cells):
        is_prose = cell["cell_type"] == "markdown"
        if is_prose and text_of(cell).lstrip().startswith(DEEPER):
            return cells[:number]
    return cells


def text_of(cell: dict[str, Any]) -> str:
    """Return the text of a cell."""
    return "".join(cell["source"])


def is_turn(cell: dict[str, Any]) -> bool:
    """Say whether a cell is one in which the learner writes."""
    return cell["cell_type"] == "code" and "your_turn.check(" in text_of(cell)


def code_lines(code: str) -> int:
    """Return the number of lines that are neither blank, comment, nor docstring."""
    code = re.sub(r"(?m)^(\s*)[%!].*$", r"\1pass", code)  # a magic of Jupyter
    with_await = ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    tree = compile(code, "<cell>", "exec", with_await)
    quiet: set[int] = set()
    for node in ast.walk(tree):
        kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef, ast.Module)
        if isinstance(node, kinds) and ast.get_docstring(node, clean=False):
            quiet |= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    skipped = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.ENDMARKER)
    skipped += (tokenize.INDENT, tokenize.DEDENT)
    used: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(code).readline):
        if token.type not in skipped:
            used |= set(range(token.start[0], token.end[0] + 1))
    return len(used - quiet)


def words(markdown: str) -> int:
    """Return the number of words to read: no code, folded answers, or addresses."""
    text = re.sub(r"(?s)<details>.*?</details>|```.*?```", " ", markdown)
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)
    return len(re.findall(r"\w[\w'.-]*", re.sub(r"<[^>]*>", " ", text)))


def figures(cell: dict[str, Any]) -> int:
    """Return the number of pictures in a cell: in its prose, or among its outputs."""
    if cell["cell_type"] == "markdown":
        return len(re.findall(r"!\[[^\]]*\]\(|<img ", text_of(cell)))
    kinds = [kind for out in cell["outputs"] for kind in out.get("data", {})]
    return sum(kind.startswith("image/") for kind in kinds)
