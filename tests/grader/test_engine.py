"""The engine of a class: what a sandbox holds, what a hand-in cannot do to its grade,
and that an honest one loses nothing by it.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest

from lessons.course import grading
from lessons.course.exercises import Mistake, find_exercise, find_exercises
from lessons.course.results import Result, score
from tests.class_grading.make_class import notebook
from tests.grade import engine as engine_module
from tests.grade import isolation, judge, likeness, selftest, wire
from tests.grade.course import Course
from tests.grade.engine import Engine
from tests.grade.judge import Finding, PlannedTest
from tests.grader import plugin
from tests.lesson_files import ROOT, environment
from tests.quality.grader import complaints, find_cases
from tests.quality.sandboxed import SandboxPool

FIRST = find_exercises()[0]
HOSTILE = selftest.hostile_hand_ins()


@pytest.fixture(scope="module")
def pool() -> Iterator[SandboxPool]:
    """Two sandboxes of the best level that is possible here."""
    with SandboxPool("auto", 2) as pool:
        yield pool


def test_hostile_hand_ins(pool: SandboxPool) -> None:
    """None of them gets a point, is without a report, changes the course or outlives
    its grading.

    Each meets a few tests of its exercise; `python -m tests.grade selftest` runs all.
    """
    assert len(HOSTILE) >= 30
    if pool.engine.level == "process":
        pytest.skip("this machine has no wall that would hold a hostile hand-in")
    pool.engine.pace, pool.engine.most_tests = 0.1, 2
    try:
        with ThreadPoolExecutor(pool.engine.jobs) as threads:
            found = threads.map(lambda one: selftest.check(pool.engine, one), HOSTILE)
            assert [sentence for several in found for sentence in several] == []
    finally:
        pool.engine.pace, pool.engine.most_tests = 1.0, sys.maxsize


def test_honest_answers_lose_nothing(pool: SandboxPool) -> None:
    """A right and a wrong answer get what they get without a sandbox, from the same
    tests, for requests, asyncio and threads.

    `python -m tests.quality --isolation auto` tries all.
    """
    chosen = [
        next(case for case in find_cases([number]) if case.kind == kind)
        for number in ("01", "04", "08")
        for kind in ("right", "wrong")
    ]
    graded = [(case, pool.submit(case)) for case in chosen]
    wrong = {
        str(case): found
        for case, future in graded
        if (found := complaints(case, future.result()))
    }
    assert wrong == {}


@pytest.mark.parametrize("level", isolation.LEVELS)
def test_levels(level: str, tmp_path: Path) -> None:
    """At each level that is possible here, the reference as a notebook gets all points;
    a level that is not possible is refused with the reason.
    """
    try:
        engine = Engine(level, jobs=1)
    except Mistake as error:
        assert re.match(rf"this isolation is not possible here; {level}: .", str(error))
        pytest.skip(str(error))
    hand_in = tmp_path / "hand-in.ipynb"
    hand_in.write_bytes(notebook(FIRST.solution.read_bytes()))
    with engine:
        assert engine.promise.startswith(f"{level}: ")
        verdict = engine.grade(FIRST.number, hand_in)
        assert score(verdict.results) == (20, 20), verdict
        assert verdict.look == ("it is equal to the reference, apart from names",)
        folder = engine.folder
    assert not folder.exists()
    assert not [*selftest.outlived(folder)]


def test_unknown_level() -> None:
    """A level that does not exist is refused, with the names of those that do."""
    with pytest.raises(Mistake, match=r"no isolation 'vm'; the levels are auto"):
        Engine("vm")


def test_only_a_file_crosses(pool: SandboxPool, tmp_path: Path) -> None:
    """A link, a folder, a pipe and a file of many megabytes are no hand-ins: each test
    fails, and says why.
    """
    places = {name: tmp_path / name for name in ("link", "folder", "pipe", "large")}
    places["link"].symlink_to(FIRST.solution)
    places["folder"].mkdir()
    os.mkfifo(places["pipe"])
    with places["large"].open("wb") as file:
        file.truncate(engine_module.MOST_BYTES + 1)
    words = {"link": "a link", "large": "larger than 4 MiB"}
    for name, path in {**places, "nothing": tmp_path / "nothing"}.items():
        results = pool.engine.grade(FIRST.stem, path).results
        assert score(results) == (0, 20), name
        expected = words.get(name, "no file" if name != "nothing" else "cannot be read")
        assert all(expected in result.saw for result in results), (name, results[0])


def test_what_the_sandbox_sees(tmp_path: Path) -> None:
    """The copy of the course has no reference, no other answer and no history, and its
    control tests are new in each run.
    """
    first, second = (tmp_path / name for name in ("first", "second"))
    for folder in (first, second):
        folder.mkdir()
    swaps = [Course(folder).swap for folder in (first, second)]
    assert swaps[0] != swaps[1]
    for folder in (first, second):
        names = {path.name for path in folder.rglob("*")}
        assert not names & {"solutions", "quality", "robust_clients", ".git"}
        texts = [path.read_bytes() for path in folder.rglob("*.py")]
        for exercise in find_exercises():
            assert exercise.solution.read_bytes() not in texts
    tests = first / FIRST.tests.relative_to(ROOT)
    assert "test_control" in tests.read_text(encoding="utf-8")
    assert "NONCE" not in tests.read_text(encoding="utf-8")


def test_changed_course(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of the course that changes is told to those that were graded meanwhile."""
    monkeypatch.setattr("tests.grade.course.ROOT", tmp_path)
    monkeypatch.setattr("tests.grade.course.find_exercises", list)
    (tmp_path / "lessons").mkdir()
    file, folder = tmp_path / "lessons" / "__init__.py", tmp_path / "copy"
    file.write_text("x = 1\n")
    folder.mkdir()
    course = Course(folder)
    os.utime(file)
    assert course.changes(0.0) == []
    file.write_text("x = 2\n")
    (file.parent / "more.py").touch()
    changed = ["lessons/__init__.py", "lessons/more.py"]
    assert course.changes(0.0) == changed
    assert course.changes(0.0) == changed
    assert course.changes(float("inf")) == []


# --- the judge, without a sandbox ---


def make_plan(requests: int = 1) -> engine_module._Plan:
    """Return a plan with a test worth 20 points, and a control test."""
    known = Result(exercise="01_a", title="It works.", points=20)
    test = PlannedTest(0, "test_a", known, 5.0, False)
    control = PlannedTest(1, "test_control", known._replace(points=0), 5.0, True)
    return engine_module._Plan([test, control], {0: requests, 1: 0})


SAID = Result(exercise="09_b", title="t1", points=99, passed=True)
HONEST = Finding(Result(title="t2"))
CASES = {
    "right": (Finding(SAID, 1), HONEST, 20, "", ""),
    "more requests": (Finding(SAID, 7), HONEST, 20, "", ""),
    "no request": (Finding(SAID, 0), HONEST, 0, "no request", "without a request"),
    "no verdict": (Finding(None, 1), HONEST, 0, "no verdict", "ended by itself in 1"),
    "killed": (
        Finding(None, 1, was_killed=True),
        HONEST,
        0,
        "time limit",
        "1 test stopped by the time limit",
    ),
    "passed control": (
        Finding(SAID, 1),
        Finding(SAID),
        0,
        "tampering",
        "tampering: it passed a control test",
    ),
    "noticed": (
        Finding(SAID, 1, ("it traced the tests",)),
        HONEST,
        0,
        "tampering",
        "tampering: it traced the tests",
    ),
    "processes": (
        Finding(SAID, 1, has_left_processes=True),
        HONEST,
        20,
        "",
        "it left processes behind in 1 test",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_verdict(name: str) -> None:
    """Points come from the plan, and only for what the judge saw itself."""
    test, control, points, kind, look = CASES[name]
    results, looks = engine_module._judge(make_plan(), {0: test, 1: control})
    assert score(results) == (points, 20)
    assert [(one.exercise, one.title, one.kind) for one in results] == [
        ("01_a", "It works.", kind)
    ]
    assert len(looks) == bool(look) and all(look in one for one in looks), looks


def test_texts_that_only_show() -> None:
    """What a hand-in says cannot move the cursor of the instructor's terminal, or turn
    its text around; lines, umlauts and emoji stay.
    """
    said = Result(
        saw="\x1b[2J\x1b[31m20 of 20\u202e", printed="a\tb\n中 ü 👩‍🔬\r\x9b1A"
    )
    cleaned = judge._clean(said)
    assert cleaned.saw == "?[2J?[31m20 of 20?"
    assert cleaned.printed == "a   b\n中 ü 👩‍🔬??1A"


def test_broken_messages() -> None:
    """What is no message is noticed, whatever it is, and the end is the end."""
    for data, error in (
        (b"\0\0\0\1{", wire.Broken),
        (b"\xff\xff\xff\xff", wire.Broken),
        (b"\0\0\0\x09[1", ConnectionError),
        (b"\0\0\x4e\x20" + b"[" * 20_000, wire.Broken),
    ):
        one, other = socket.socketpair()
        with one, other:
            other.sendall(data)
            other.close()
            with pytest.raises(error):
                wire.receive(one)
    one, other = socket.socketpair()
    with one:
        wire.send(other, {"a": "中"})
        other.close()
        assert wire.receive(one) == ({"a": "中"}, [])
        assert wire.receive(one) is None


def test_likeness() -> None:
    """The reference under other names is found, in a notebook too; a right answer of
    somebody else is not.
    """
    exercise = find_exercise("06")
    text = exercise.solution.read_text(encoding="utf-8")
    other = re.sub(r"\b(retry_on_error|delay|value|error)\b", r"my_\1", text)
    for code, is_like in ((text, True), (other, True), ("x = 1\n", False)):
        found = likeness.sentence(exercise.stem, code.encode(), False)
        assert bool(found) == is_like, code[:200]
    robust = ROOT / "lessons" / "robust_client" / "retry.py"
    found = likeness.sentence(exercise.stem, robust.read_bytes(), False)
    assert found == "it is equal to code of robust_client, apart from names"
    for case in find_cases(["06"]):
        if case.kind in ("right", "stub"):
            assert not likeness.sentence(case.exercise, case.code.encode(), False)
    for broken in (b"def", b"\xff", b"(" * 5000, b"-" * 100_000 + b"1"):
        assert likeness.sentence(exercise.stem, broken, False) == ""
    assert likeness.sentence(exercise.stem, b"{}", True) == ""


# --- check and pytest --submission ---


def test_nothing_is_read_beside_a_hand_in(tmp_path: Path) -> None:
    """`pytest --submission FOLDER` does not run a conftest.py that lies there."""
    (tmp_path / "conftest.py").write_text("print('I ran')\nraise SystemExit(0)\n")
    (tmp_path / "sitecustomize.py").write_text("print('I ran')\n")
    shutil.copy(FIRST.stub, tmp_path)
    command = [sys.executable, "-m", "pytest", "tests/exercises", "-k", FIRST.number]
    command += ["--submission", str(tmp_path), "-n", "0", "-x", "-p", "no:nbval"]
    command += ["-o", "addopts=-p lessons.course.submission", "-p", "no:cacheprovider"]
    done = subprocess.run(
        command, cwd=ROOT, env=environment(), capture_output=True, text=True
    )
    assert "I ran" not in done.stdout
    assert "not started yet" in done.stdout


@pytest.mark.parametrize(
    ("file", "settings", "words"),
    [
        ("conftest.py", {}, "has read the conftest.py of the hand-in"),
        ("pytest.ini", {}, "has read the pytest.ini of the hand-in"),
        ("", {"PYTEST_PLUGINS": "evil"}, "unset PYTEST_PLUGINS"),
        ("", {"PYTEST_ADDOPTS": "-q -p evil"}, "unset PYTEST_PLUGINS"),
        ("", {"PYTEST_ADDOPTS": "-q --durations=3"}, ""),
    ],
)
def test_plugins_are_refused(
    file: str,
    settings: dict[str, str],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where pytest has read something of a hand-in, or the environment names plugins,
    nothing is graded.
    """
    for name in ("PYTEST_PLUGINS", "PYTEST_ADDOPTS"):
        monkeypatch.setenv(name, settings.get(name, ""))
    found = tmp_path / file if file else None
    config = SimpleNamespace(
        inipath=found if file.endswith(".ini") else ROOT / "pyproject.toml",
        pluginmanager=SimpleNamespace(
            get_plugins=lambda: [SimpleNamespace(__file__=found and str(found))]
        ),
        getoption=lambda _: str(tmp_path),
        invocation_params=SimpleNamespace(dir=ROOT),
    )
    if not words:
        plugin.refuse_plugins(config)
        return
    with pytest.raises(pytest.UsageError, match=words):
        plugin.refuse_plugins(config)


def test_check_clears_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """check hands no plugins of the environment on to pytest, and joins the folder to
    the option, so that pytest looks for no settings in it.
    """
    seen: dict[str, object] = {}

    def run(command: list[str], **options: object) -> object:
        seen.update(options, command=command)
        return SimpleNamespace(returncode=1, stdout="")

    monkeypatch.setenv("PYTEST_PLUGINS", "evil")
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p evil")
    monkeypatch.setattr(grading.subprocess, "run", run)
    monkeypatch.setattr(grading, "_broken_off", lambda *_: "")
    with pytest.raises(Mistake):
        grading.grade(FIRST)
    assert seen["env"]["PYTEST_PLUGINS"] == seen["env"]["PYTEST_ADDOPTS"] == ""
    assert f"--submission={grading.WORK}" in seen["command"]
