"""A notebook asks no more of a beginner than the course promises, and says how long."""

import re
from pathlib import Path

import pytest

from lessons.course.pacing import Pace, code_lines, figures, pace, words
from tests.lesson_files import NOTEBOOKS, cells, read_notebook, source, stems

# The name of a number, what it may be, in words, and whether it is so.
LIMITS = (
    ("median", "at most 7 code lines in half of the cells", lambda n: n.median <= 7),
    ("longest", "at most 20 code lines in a cell", lambda n: n.longest <= 20),
    ("silent", "at most 40 code lines without an output", lambda n: n.silent <= 40),
    ("lines", "at most 300 code lines", lambda n: n.lines <= 300),
    ("words", "at most 2,000 words", lambda n: n.words <= 2000),
    ("figures", "2 to 4 figures", lambda n: 2 <= n.figures <= 4),
    ("turns", "3 or 4 times your turn", lambda n: n.turns in (3, 4)),
    ("first_turn", "your turn by cell 12", lambda n: 0 < n.first_turn <= 12),
)


def excess(numbers: Pace) -> list[str]:
    """Return a sentence for each number that is out of its limits."""
    return [
        f"{name} is {getattr(numbers, name)}: {limit}"
        for name, limit, is_kept in LIMITS
        if not is_kept(numbers)
    ]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=stems(NOTEBOOKS))
def test_pace(path: Path) -> None:
    """The main path of a notebook keeps to the numbers."""
    wrong = excess(pace(path))
    assert not wrong, f"{path.name}: {'; '.join(wrong)}"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=stems(NOTEBOOKS))
def test_minutes(path: Path) -> None:
    """The minutes that a notebook states are those that its numbers give."""
    opening = source(cells(read_notebook(path), "markdown")[0])
    stated = re.search(r"about (\d+) minutes", opening)
    assert stated, f"{path.name} does not say in its first cell: about NN minutes"
    assert int(stated[1]) == pace(path).minutes, f"{path.name} says {stated[0]}"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=stems(NOTEBOOKS))
def test_pictures_are_described(path: Path) -> None:
    """Each stored picture has an alt text of some words."""
    text = "\n".join(source(cell) for cell in cells(read_notebook(path), "markdown"))
    short = [
        alt for alt in re.findall(r"!\[([^\]]*)\]\(", text) if len(alt.split()) < 5
    ]
    assert not short, f"{path.name}: what do these pictures show? {short}"


def test_code_lines() -> None:
    """Blank lines, comments and docstrings do not count; each line of a call does."""
    code = 'def f():\n    """Do.\n\n    More.\n    """\n\n    # why\n'
    code += "    return g(\n        1,\n    )"
    assert code_lines(code) == 4
    assert code_lines("await f()\n%time x = 1\ntext = '''a\n# b\n'''") == 5


def test_words() -> None:
    """Code blocks, folded answers and addresses are not read; the text of a link is."""
    text = "Two words, [a link](http://127.0.0.1/x).\n```\nx = 1\n```\n"
    assert words(text + "<details>not read</details>") == 4


def test_figures() -> None:
    """Pictures in prose and pictures that a cell drew are counted, tables are not."""
    prose = {"cell_type": "markdown", "source": "![a](b.svg) and ![c](d.png)"}
    drawn = [{"data": {"image/png": "…", "text/plain": "…"}}, {"text": "x"}]
    code = {"cell_type": "code", "source": "draw()", "outputs": drawn}
    assert (figures(prose), figures(code)) == (2, 1)


@pytest.mark.parametrize("name", Pace._fields)
def test_excess_is_noticed(name: str) -> None:
    """A number out of its limits is reported, by its name."""
    good = Pace(7, 20, 40, 300, 2000, 2, 3, 12)
    assert excess(good) == []
    bad = good._replace(
        **{name: 0 if name in ("figures", "turns", "first_turn") else 9999}
    )
    assert len(excess(bad)) == 1 and excess(bad)[0].startswith(name)
