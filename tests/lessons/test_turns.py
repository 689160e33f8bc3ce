"""Each *your turn* of a notebook: its folded answer is right, and two wrong ones fail.

tests/lessons/turns/NN_topic.toml holds the wrong ones: a table for each cell, by its
id, with wrong = [two texts of code that stand in the place of the answer].
"""

import ast
import asyncio
import inspect
import re
import textwrap
import tomllib
from pathlib import Path
from typing import Any

import pytest
import your_turn

from lessons.course.pacing import is_turn
from tests.lesson_files import NOTEBOOKS, cells, read_notebook, source

CALL = re.compile(r"(?m)^(?:await )?your_turn\.check\(")
TURNS = [
    pytest.param(path, cell["id"], id=f"{path.stem}-{cell['id']}")
    for path in NOTEBOOKS
    for cell in cells(read_notebook(path), "code")
    if is_turn(cell)
]


def folded_answer(notebook: dict[str, Any], name: str) -> str:
    """Return the code in the <details> of the cell after the one of that id."""
    names = [cell["id"] for cell in notebook["cells"]]
    prose = source(notebook["cells"][names.index(name) + 1])
    folded = re.search(r"(?s)<details>.*?</summary>\n(.*?)</details>", prose)
    assert folded, f"no folded answer follows {name}"
    text = folded[1].replace("```python", "").replace("```", "")
    return textwrap.dedent(text).strip("\n")


def written(path: Path) -> dict[str, list[str]]:
    """Return the wrong answers to each cell of a notebook."""
    file = Path(__file__).parent / "turns" / f"{path.stem}.toml"
    found = tomllib.loads(file.read_text(encoding="utf-8"))
    return {name: table["wrong"] for name, table in found.items()}


def run_cell(code: str, names: dict[str, Any]) -> None:
    """Run the code of a cell, in which await may stand at the top."""
    compiled = compile(code, "<cell>", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    if compiled.co_flags & inspect.CO_COROUTINE:
        asyncio.run(eval(compiled, names))
    else:
        exec(compiled, names)


def verdict(path: Path, name: str, answer: str, capsys: Any) -> str:
    """Return what the check of a cell prints if answer stands in its place.

    The first code cell of the notebook, with its imports and its server, ran before.
    """
    code = cells(read_notebook(path), "code")
    cell = source(next(cell for cell in code if cell["id"] == name))
    check = cell[CALL.search(cell).start() :]
    names: dict[str, Any] = {"__name__": "__main__"}
    run_cell(source(code[0]), names)
    capsys.readouterr()
    try:
        run_cell(f"{answer}\n\n{check}", names)
    finally:
        if "server" in names:
            names["server"].stop()
    return capsys.readouterr().out


@pytest.mark.parametrize(("path", "name"), TURNS)
def test_folded_answer_is_right(path: Path, name: str, capsys: Any) -> None:
    """The answer that a learner can unfold passes the check above it."""
    answer = folded_answer(read_notebook(path), name)
    said = verdict(path, name, answer, capsys)
    assert said.startswith("right: "), f"{path.stem}, {name}: {said}"


@pytest.mark.parametrize(("path", "name"), TURNS)
def test_wrong_answers_are_noticed(path: Path, name: str, capsys: Any) -> None:
    """Two wrong answers get a text that says what they gave and should give."""
    wrong = written(path).get(name, [])
    assert len(wrong) >= 2, f"{path.stem}.toml has not two wrong answers for {name}"
    for answer in wrong:
        said = verdict(path, name, answer, capsys)
        assert said.startswith("not yet: "), f"{path.stem}, {name}: {said}\n{answer}"


def test_case_is_shown_as_it_was(capsys: Any) -> None:
    """A function that changes its argument is reported with the case in the cell."""

    def leave(line: list[str]) -> None:
        line.clear()

    your_turn.check(leave, ((["Ada"],), 1))
    assert "leave(['Ada']) gave None" in capsys.readouterr().out


@pytest.mark.parametrize(("path", "name"), TURNS)
def test_untouched_cell_says_so(path: Path, name: str) -> None:
    """The stored output is that of the cell before anything was written."""
    code = cells(read_notebook(path), "code")
    cell = next(cell for cell in code if cell["id"] == name)
    said = "".join(
        out["text"] if isinstance(out["text"], str) else "".join(out["text"])
        for out in cell["outputs"]
    )
    assert said.startswith("not yet: "), f"{path.stem}, {name} stores: {said}"
    lines = len(source(cell).splitlines())
    answer = folded_answer(read_notebook(path), name)
    body = [line for line in answer.splitlines() if line.strip()]
    assert lines and len(body) <= 12, (
        f"{name}: an answer of {len(body)} lines is too long"
    )
