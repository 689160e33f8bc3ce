"""The graders of the exercises accept references and right answers, and reject stubs
and wrong answers.

`python -m tests.quality` prints the figures, and grades mutants and the references many
times.
"""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

from lessons.course.exercises import Exercise, read_hints
from lessons.course.results import Result
from tests.lesson_files import ROOT
from tests.quality.__main__ import main
from tests.quality.grader import (
    FOLDER,
    Case,
    Grade,
    Pool,
    complaints,
    exercises,
    find_cases,
)
from tests.quality.mutants import mutants
from tests.quality.wrong_answers import ChangeError, WrongAnswer, read_wrong_answers

CORE, POINTS = 14, 20  # of each exercise: of its core, and in all
CASES = find_cases()[::-1]  # the last exercises take longest, so they begin
# All of them take minutes: `python -m tests.quality` grades them, and here is a part.
# The references are graded by tests/exercises.
KINDS = {"stub": 1, "right": 6, "wrong": 16}  # each one, each sixth, …
PARTS = {
    kind: [case for case in CASES if case.kind == kind][::every]
    for kind, every in KINDS.items()
}
CHOSEN = [case for case in CASES if case in PARTS.get(case.kind, [])]


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
        case: pool.submit(case, tests=case.wrong.rejected_by if case.wrong else ())
        for case in chosen
    }


@pytest.mark.parametrize("case", CHOSEN, ids=str)
def test_answer(graded: dict[Case, "Future[Grade]"], case: Case) -> None:
    """Right answers get all points, stubs are not started, and wrong answers are
    rejected by the tests that are meant to.

    `python -m tests.quality` grades all of them, and sees which points they keep.
    """
    grade = graded[case].result()
    found = complaints(case, grade, in_full=not case.wrong)
    assert not found, f"{found}\n\n{grade.explain()}"


@pytest.mark.parametrize("exercise", exercises())
def test_points(exercise: str) -> None:
    """The tests of each exercise are worth 20 points, 14 of them for the core."""
    path = ROOT / "tests" / "exercises" / f"test_{exercise}.py"
    points = [0, 0]  # of the core, and further
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(".points"):
            points[ast.unparse(node).count("further=True")] += node.args[0].value
    assert points == [CORE, POINTS - CORE]


@pytest.mark.parametrize("exercise", exercises())
def test_sets_are_complete(exercise: str) -> None:
    """Every exercise has at least 4 right answers and 8 wrong ones."""
    kinds = [case.kind for case in CASES if case.exercise == exercise]
    assert kinds.count("right") >= 4, f"{kinds.count('right')} right answers"
    assert kinds.count("wrong") >= 8, f"{kinds.count('wrong')} wrong answers"


@pytest.mark.parametrize("folder", ["right", "wrong"])
def test_nothing_is_left_out(folder: str) -> None:
    """All that is in right/ and wrong/ belongs to an exercise, so it is graded."""
    end = ".md" if folder == "wrong" else ""
    found = {path.name for path in (FOLDER / folder).glob("[!._]*")}
    assert found == {exercise + end for exercise in exercises()}
    inside = (FOLDER / "right").glob("[!._]*/[!._]*")
    assert [path for path in inside if path.suffix != ".py"] == []


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


def test_readme_has_the_blind_rounds() -> None:
    """The README's table has the first grading of every round."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    rounds = tomllib.loads((FOLDER / "rounds.toml").read_text(encoding="utf-8"))
    told = re.findall(
        r"(?m)^\| (round-\d+)[^|]* \| (.*) of (.*) \| (.*) of (.*) \|$", readme
    )
    kept = {name: (*one["wrong"], *one["right"]) for name, one in rounds.items()}
    assert {name: tuple(map(int, figures)) for name, *figures in told} == kept


def case_of(code: str, kind: str = "right", wrong: WrongAnswer | None = None) -> Case:
    """Return an answer to the first exercise with this code."""
    return Case(kind, exercises()[0], code, "made_up", wrong)


def test_an_answer_that_ends_its_process(pool: Pool) -> None:
    """If an answer ends the process that grades it, it is not accepted, and the next
    answer is graded.
    """
    ends = pool.submit(case_of("import os\nos._exit(0)")).result()
    assert not ends.is_right and "ended (exit status 0)" in ends.trouble
    case = next(case for case in CASES if case.kind == "reference")
    assert pool.submit(case).result().is_right


PROMISE = WrongAnswer("guess", "It guesses.", ("test_a", "test_b[1]"), 3, "")


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
            ["keeps 2 points, not 3 to 3"],
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
def test_complaints(kind: str, passed: dict[str, bool], words: list[str]) -> None:
    """What is not as promised is noticed. Each test is worth a point."""
    case = case_of("", kind, PROMISE)
    results = {
        name: Result(points=1, passed=is_passed, kind="" if is_passed else "wrong")
        for name, is_passed in passed.items()
    }
    found = complaints(case, Grade(results))
    assert len(found) == len(words), found
    assert all(word in one for word, one in zip(words, found, strict=True)), found


BASES = {
    "right/short": '"""The base."""\n\nfirst = 1\n\nlast = 3\n',
    "reference": "first = 1\n\nlast = 3\nlast = 3\n",
}
CHANGE = """
## two_places

Both of them
are wrong.

Rejected by: test_a[x],
test_b
Keeps: 1 point

```diff
@@ -1,3 +1,4 @@ as git writes it
 first = 1
+second = 2

 last = 3
@@
-last = 3
+last = 4
```
"""


def change(*pairs: tuple[str, str], top: str = "Base: right/short") -> str:
    """Return CHANGE with other texts in place of some of its own."""
    text = f"# Wrong answers\n\n{top}\n{CHANGE}"
    for old, new in pairs:
        assert text.count(old) == 1, f"{old!r} is in it {text.count(old)} times"
        text = text.replace(old, new)
    return text


def test_wrong_answers_are_read() -> None:
    """A change may have several places, long texts, and a base of its own."""
    other = """
## other_base

Wrong.

Base: reference
Rejected by: test_c
Keeps: 12 points

```diff
-first = 1
```"""
    one, two = read_wrong_answers(change() + other, BASES)
    sentence, tests = "Both of them are wrong.", ("test_a[x]", "test_b")
    assert one[:4] == ("two_places", sentence, tests, 1)
    (luck,) = read_wrong_answers(change(("1 point", "1 to 2 points")), BASES)
    assert (luck.keeps, luck.at_most) == (1, 2)
    assert one.code == (
        '"""Both of them\nare wrong.\n\nRejected by: test_a[x],\ntest_b\n'
        'Keeps: 1 point\n"""\n\nfirst = 1\nsecond = 2\n\nlast = 4\n'
    )
    assert two[:4] == ("other_base", "Wrong.", ("test_c",), 12)
    assert two.code.endswith('Keeps: 12 points\n"""\n\n\nlast = 3\nlast = 3\n')


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            change((" first = 1", " first = 2")),
            "right/short once, and are in it 0 times; copy them from it anew:\nfirst",
        ),
        (
            change(top="Base: reference"),
            "reference once, and are in it 2 times; add lines around them:\nlast = 3",
        ),
        (change(top="Base: right/long"), "no base 'right/long', only right/short"),
        (change(top=""), "it needs `Base: right/NAME`"),
        (change(("two_places", "")), "it needs a name"),
        (change(("two_places", "two places")), "it needs a name"),
        (change(("Both of them\nare wrong.", "")), "it needs a sentence"),
        (change(("Rejected by: test_a[x],\ntest_b\n", "")), "it needs `Rejected by"),
        (change(("Keeps: 1 point\n", "")), "it needs `Keeps"),
        (change(("1 point", "all points")), "it needs `Keeps"),
        (change(("```diff", "```python")), "it needs a block"),
        (change(("4\n```", "4")), "it needs a block"),
        (change() + CHANGE, "there is another one of this name"),
        (change() + "\n```diff\n-last = 3\n```\n", "nothing may follow"),
        (change(("+second", "second")), "must begin with -, + or a space: second"),
        (change(("-last = 3\n", "")), "a line beside it"),
        (change(("## two_places", "### two_places")), "begins with a line `## NAME`"),
        (
            change(("+second = 2\n", ""), ("+last = 4", "+last = 3")),
            "it changes nothing about right/short",
        ),
        (change(("+last = 4", "+last = (")), "no Python: '(' was never closed"),
    ],
)
def test_changes_that_are_refused(text: str, words: str) -> None:
    """A change that is not written as it must be is refused by its name."""
    with pytest.raises(ChangeError) as caught:
        read_wrong_answers(text, BASES)
    name = re.search("(?m)^## (.*)", text) or ["", "a change"]
    assert str(caught.value).startswith(name[1]) and words in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "status", "out", "err"),
    [
        (["--show", "05/no_from"], 0, "Rejected by: test_cause", ""),
        (["--show", "05"], 0, "no_from\n    The new error", ""),
        (
            ["--show", "05/nothing"],
            2,
            "",
            "no wrong answer 05/nothing; --show 05 lists",
        ),
        (["--show", "99/no_from"], 2, "", "no exercise '99'; there are 01_basic_get"),
        (["--show", ""], 2, "", "no exercise ''"),
        (["--only", "99"], 2, "", "no exercise '99'"),
    ],
)
def test_command_line(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    status: int,
    out: str,
    err: str,
) -> None:
    """--show prints a wrong answer or all their names; what is unknown is refused."""
    monkeypatch.setattr(sys, "argv", ["quality", *arguments])
    try:
        ended = main()
    except SystemExit as error:
        ended = error.code
    printed = capsys.readouterr()
    assert ended == status, printed.err
    assert out in printed.out and err in printed.err
    if out.startswith("Rejected"):
        ast.parse(printed.out)


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


def test_mutants_of_what_the_stub_gives(tmp_path: Path) -> None:
    """What the stub gives is not changed, unless it stands in another place."""
    path, stub = tmp_path / "answer.py", tmp_path / "stub.py"
    given = "class A:\n    B = 1\n\n    def f(self):\n        return self.B + 1\n"
    stub.write_text(given, encoding="utf-8")
    path.write_text(f"{given}    C = 2\n\n\nB = 1\n", encoding="utf-8")
    names = [mutant.name for mutant in mutants(path, stub)]
    in_class = ["A: no C = 2", "A: C = 2 => C = 3"]
    assert names == [*in_class, "module: no B = 1", "module: B = 1 => B = 2"]
