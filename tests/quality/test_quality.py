"""The graders of the exercises accept references and right answers, and reject stubs
and wrong answers.

`python -m tests.quality` prints the figures, and grades mutants and the references many
times.
"""

import ast
import re
import tomllib
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

from lessons.course.exercises import Exercise, read_hints
from lessons.course.results import Result
from tests.lesson_files import ROOT
from tests.quality.grader import (
    FOLDER,
    Case,
    Grade,
    Pool,
    complaints,
    exercises,
    find_cases,
    read_promise,
)
from tests.quality.mutants import mutants

POINTS = 20  # of each exercise
CASES = find_cases()


@pytest.fixture(scope="module")
def pool() -> Iterator[Pool]:
    """The processes that grade."""
    with Pool() as fresh:
        yield fresh


@pytest.fixture(scope="module")
def graded(pool: Pool, request: pytest.FixtureRequest) -> dict[Case, "Future[Grade]"]:
    """The grades of all chosen answers; they are begun at once, and each test waits for
    its own.
    """
    specs = [getattr(item, "callspec", None) for item in request.session.items]
    chosen = [
        spec.params["case"]
        for spec in specs
        if spec and isinstance(spec.params.get("case"), Case)
    ]
    return {
        case: pool.submit(case) for case in reversed(chosen)
    }  # the last exercises take longest, so they begin


@pytest.mark.parametrize("case", CASES, ids=str)
def test_answer(graded: dict[Case, "Future[Grade]"], case: Case) -> None:
    """Right answers get all points, stubs are not started, and wrong answers lose what
    they should.
    """
    grade = graded[case].result()
    assert not complaints(case, grade), (
        f"{complaints(case, grade)}\n\n{grade.explain()}"
    )
    if case.kind == "reference":
        assert grade.points == POINTS, (
            f"the tests of {case.exercise} are worth {grade.points} points"
        )


@pytest.mark.parametrize("exercise", exercises())
def test_sets_are_complete(exercise: str) -> None:
    """Every exercise has at least 4 right answers and 8 wrong ones."""
    kinds = [case.kind for case in CASES if case.exercise == exercise]
    assert kinds.count("right") >= 4, f"{kinds.count('right')} right answers"
    assert kinds.count("wrong") >= 8, f"{kinds.count('wrong')} wrong answers"


@pytest.mark.parametrize("exercise", exercises())
def test_hints(exercise: str) -> None:
    """Each exercise has several short hints, and those that its tests name are among
    them.
    """
    hints = read_hints(Exercise(exercise))
    assert 4 <= len(hints) <= 16, list(hints)
    for name, text in hints.items():
        assert re.fullmatch(r"[a-z0-9-]+", name), f"{name} is no word to type"
        assert 15 <= len(text.split()) <= 70, f"{name} has {len(text.split())} words"
    tree = ast.parse(
        (ROOT / "tests" / "exercises" / f"test_{exercise}.py").read_text(
            encoding="utf-8"
        )
    )
    keywords = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.keyword) and node.arg == "hint"
    ]
    named = {
        node.value.value for node in keywords if isinstance(node.value, ast.Constant)
    }
    assert named <= set(hints), f"no such hint: {named - set(hints)}"


def test_readme_has_the_figures() -> None:
    """The README is about the answers that there are; if not, run `python -m
    tests.quality` and `--mutants` anew.
    """
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for kind, row in [
        ("right", "right answers"),
        ("wrong", "wrong answers"),
        ("stub", "stubs"),
        ("reference", "ref"),
    ]:
        count = [case.kind for case in CASES].count(kind)
        assert re.search(rf"\| {row}[^|]* \| {count} of {count} \|", readme), (
            f"{kind}: {count}"
        )
    killed, made = map(int, re.search(r"mutants`\) \| (\d+) of (\d+)", readme).groups())
    survivors = sum(
        map(
            len,
            tomllib.loads(
                (FOLDER / "survivors.toml").read_text(encoding="utf-8")
            ).values(),
        )
    )
    assert made - killed == survivors, f"survivors.toml has {survivors} mutants"


def case_of(tmp_path: Path, code: str, kind: str = "right") -> Case:
    """Return an answer to the first exercise with this code."""
    folder = tmp_path / exercises()[0]
    folder.mkdir(exist_ok=True)
    path = folder / "made_up.py"
    path.write_text(code, encoding="utf-8")
    return Case(kind, exercises()[0], path)


def test_an_answer_that_ends_its_process(pool: Pool, tmp_path: Path) -> None:
    """If an answer ends the process that grades it, it is not accepted, and the next
    answer is graded.
    """
    ends = pool.submit(case_of(tmp_path, "import os\nos._exit(0)")).result()
    assert not ends.is_right and "ended (exit status 0)" in ends.trouble
    case = next(case for case in CASES if case.kind == "reference")
    assert pool.submit(case).result().is_right


PROMISE = '"""It guesses.\n\nRejected by: test_a, test_b[1]\nKeeps: 3 points\n"""\n'


@pytest.mark.parametrize(
    ("kind", "passed", "words"),
    [
        ("right", {"test_a": True}, []),
        ("right", {"test_a": True, "test_c": False}, ["test_c failed"]),
        ("right", {}, ["no test ran"]),
        ("stub", {"test_a": False}, ["test_a rejects the stub as 'wrong'"]),
        ("stub", {"test_a": True}, ["test_a passes on the stub"]),
        (
            "wrong",
            {"test_a[x]": False, "test_a[y]": True, "test_b[1]": False, "test_c": True},
            ["keeps 2 points"],
        ),
        (
            "wrong",
            {"test_a": True, "test_b[1]": False, "test_c": True, "test_d": True},
            ["test_a does not reject it"],
        ),
        (
            "wrong",
            {
                "test_a": False,
                "test_b[1]": False,
                "test_c": True,
                "test_d": True,
                "test_e": True,
            },
            [],
        ),
        ("mutant", {"test_a": True}, ["it survived"]),
        ("mutant", {"test_a": False}, []),
    ],
)
def test_complaints(
    tmp_path: Path, kind: str, passed: dict[str, bool], words: list[str]
) -> None:
    """What is not as promised is noticed. Each test is worth a point."""
    case = case_of(tmp_path, PROMISE, kind)
    results = {
        name: Result(points=1, passed=is_passed, kind="" if is_passed else "wrong")
        for name, is_passed in passed.items()
    }
    found = complaints(case, Grade(results))
    assert len(found) == len(words), found
    assert all(word in one for word, one in zip(words, found, strict=True)), found


def test_promise_is_needed(tmp_path: Path) -> None:
    """A wrong answer that does not say who rejects it is refused."""
    assert read_promise(case_of(tmp_path, PROMISE).path).rejected_by == [
        "test_a",
        "test_b[1]",
    ]
    with pytest.raises(ValueError, match="must say `Rejected by"):
        read_promise(case_of(tmp_path, '"""It guesses."""').path)


def test_mutants(tmp_path: Path) -> None:
    """Each mutant has one small change, a name of its own, and is Python."""
    path = tmp_path / "answer.py"
    path.write_text(
        '"""Doc."""\n\n\ndef f(n: int = 2) -> str:\n    """Doc."""\n'
        '    if n < 1 and not n:\n        raise ValueError("n")\n'
        '    return g(n, a="b")\n\n\nif __name__ == "__main__":\n    f(3)\n',
        encoding="utf-8",
    )
    made = mutants(path)
    names = [mutant.name for mutant in made]
    assert names == list(dict.fromkeys(names))
    head = "f: if n < 1 and (not n)"
    assert set(names) == {
        "f: def f(n: int=2) -> str => def f(n: int=3) -> str",
        f"{head} => if True",
        f"{head} => if False",
        f"{head} => if n <= 1 and (not n)",
        f"{head} => if n < 2 and (not n)",
        f"{head} => if n < 1 or not n",
        f"{head} => if n < 1 and n",
        "f: no raise ValueError('n')",
        "f: return g(n, a='b') => return None",
        "f: return g(n, a='b') => return g(n)",
        "f: return g(n, a='b') => return g(n, a='bx')",
    }
    assert len({mutant.code for mutant in made}) == len(made)
    for mutant in made:
        ast.parse(mutant.code)
