"""The way through an exercise: `python -m lessons start`, `check`, `hint` and so on."""

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Empty, Queue
from types import SimpleNamespace

import pytest

from lessons.course import watch
from tests.lesson_files import ROOT, copy_folder, environment, run

STUB = '''"""Exercise 01: twice."""


def double(n):
    """Return twice n."""
    raise NotImplementedError("01_double: write double")
'''
TESTS = '''"""Exercise 01."""
import pytest
from tests.grader.steps import call, expect

@pytest.mark.points(2, hint="sums")
def test_two(answer, server):
    """Twice 2 is 4."""
    server.script()
    expect(call(answer, "double", 2) == 4, expected="4")

@pytest.mark.points(3)
def test_three(answer):
    """Twice 3 is 6."""
    expect(call(answer, "double", 3) == 6, expected="6")
'''
HINTS = """# Hints for 01_double

## sums

Think of `n` and `n`.
One more line of it.

## code

A long line follows, which does not fit into a terminal of eighty columns,
so it is filled.

```python
return n * 2
```
"""
RIGHT = "def double(n):\n    return n * 2\n"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the course with one made-up exercise."""
    root = tmp_path / "tree"
    for folder in ("lessons/exercises", "solutions", "tests/exercises", "notebooks"):
        (root / folder).mkdir(parents=True)
    names = [
        "pyproject.toml",
        "requirements.txt",
        "tests/__init__.py",
        "tests/conftest.py",
        "tests/exercises/__init__.py",
        "tests/exercises/conftest.py",
        "lessons/__main__.py",
    ]
    for name in names:
        shutil.copy(ROOT / name, root / name)
    for name in ("tests/grader", "lessons/course"):
        copy_folder(name, root, "test_*")
    for name, text in {
        "lessons/01_double.py": '"""Double."""',
        "lessons/exercises/01_double.py": STUB,
        "lessons/exercises/01_double.md": HINTS,
        "solutions/01_double.py": RIGHT,
        "tests/exercises/test_01_double.py": TESTS,
    }.items():
        (root / name).write_text(text, encoding="utf-8")
    return root


@pytest.fixture
def lessons(tree: Path) -> Callable[..., subprocess.CompletedProcess]:
    """Runs `python -m lessons` with the arguments, in the copy."""

    def run_lessons(
        *arguments: str, **changes: str | None
    ) -> subprocess.CompletedProcess:
        done = run("-m", "lessons", *arguments, cwd=tree, **changes)
        # Code and paths are not broken into lines.
        whole = re.compile(r"  (we did|your line):|'/")
        lines = (done.stdout + done.stderr).splitlines()
        long = [line for line in lines if len(line) > 80 and not whole.match(line)]
        assert not long, done.stdout + done.stderr
        assert "Traceback" not in done.stderr, done.stderr
        assert "\033" not in done.stdout, "colours, though this is no terminal"
        return done

    return run_lessons


def test_done_with_the_core(
    tree: Path, lessons: Callable[..., subprocess.CompletedProcess]
) -> None:
    """An exercise is solved with its core; what is further is told apart. The next one
    is named, though an earlier one is not done.
    """
    for name in ("00_same.py", "02_treble.py"):
        (tree / "lessons" / "exercises" / name).write_text(STUB)
    tests = tree / "tests" / "exercises" / "test_01_double.py"
    text = tests.read_text(encoding="utf-8")
    tests.write_text(text.replace("points(3)", "points(3, further=True)"), "utf-8")
    (tree / "work").mkdir()
    (tree / "work" / "01_double.py").write_text("def double(n):\n    return 4\n")
    done = lessons("check", "01")
    assert done.returncode == 0, done.stdout
    assert "01_double, 3 further points: Twice 3 is 6." in done.stdout
    assert "\nCore: 2 of 2. Further: 0 of 3, if you like.\n" in done.stdout
    assert "python -m lessons solution 01" in done.stdout
    assert re.search("(?m)^Next: +python -m lessons start 02$", done.stdout)
    assert re.search("(?m)^01 ✓ double .* 2 of 5 points$", lessons("list").stdout)


def test_way_through_an_exercise(
    tree: Path, lessons: Callable[..., subprocess.CompletedProcess]
) -> None:
    """Each command says what comes next, and the points are kept."""
    answer = tree / "work" / "01_double.py"
    listed = lessons("list").stdout
    assert re.search("(?m)^01   double .* not started$", listed), listed
    assert "Points so far: 0 of 20\n" in listed
    assert "Exercise: python -m lessons start 01\n" in listed
    done = lessons("check", "01")
    assert (done.returncode, done.stderr) == (
        2,
        "lessons: there is no work/01_double.py yet; begin with:\npython -m lessons "
        "start 01\n",
    )
    done = lessons("start", "1")
    assert (done.returncode, answer.read_text()) == (0, STUB)
    assert "python -m lessons check 01" in done.stdout
    assert "Exercise: python -m lessons watch 01\n" in lessons().stdout

    done = lessons("check", "01")
    assert done.returncode == 1
    assert done.stdout.splitlines()[:5] == [
        "Checking work/01_double.py",
        "",
        "01_double, 2 points: Twice 2 is 4.",
        "  we did:     server.script(); double(2)",
        "  we saw:     not started yet: 01_double: write double",
    ]
    assert "  hint:       python -m lessons hint 01\n" in done.stdout, (
        "not the first hint"
    )
    assert "- 1 more test: not started yet" in done.stdout
    assert "0 of 5 points." in done.stdout
    done = lessons("solution", "01")
    assert (
        done.returncode,
        "once you have the core; so far: 0 of 5 points" in done.stdout,
    ) == (1, True)

    answer.write_text("def double(n):\n    return 4\n")
    done = lessons("check", "01_double")
    assert done.returncode == 1
    assert (
        "  we saw:     4\n  expected:   6\n  your line:  work/01_double.py:1: def "
        "double(n):\n" in done.stdout
    )
    assert done.stdout.endswith("2 of 5 points.\n")
    assert "2 of 5 points" in lessons().stdout

    answer.write_text(RIGHT)
    done = lessons("check", "01")
    assert (done.returncode, done.stdout.splitlines()[2]) == (
        0,
        "5 of 5 points.",
    )
    listed = lessons().stdout
    assert re.search("(?m)^01 ✓ double .* 5 of 5 points$", listed), listed
    assert "Points so far: 5 of 5\n" in listed
    assert "\nYou have solved every exercise" in listed
    assert "Exercise:" not in listed
    done = lessons("solution", "01")
    assert (done.returncode, done.stdout) == (0, f"# solutions/01_double.py\n{RIGHT}")


def test_nothing_is_overwritten(
    tree: Path, lessons: Callable[..., subprocess.CompletedProcess]
) -> None:
    """Start leaves an answer as it is; reset keeps it under a name of its own."""
    lessons("start", "01")
    answer = tree / "work" / "01_double.py"
    for number in (1, 2):
        answer.write_text(f"# {number}\n")
        done = lessons("start", "01")
        assert (done.returncode, answer.read_text()) == (0, f"# {number}\n")
        assert "work/01_double.py is there already, and stays as it is." in done.stdout
        done = lessons("reset", "01")
        assert f"work/01_double.py is now work/01_double~{number}.py." in done.stdout
        assert answer.read_text() == STUB
    assert [
        (tree / "work" / f"01_double~{number}.py").read_text() for number in (1, 2)
    ] == ["# 1\n", "# 2\n"]


def test_reset_of_an_untouched_stub(
    tree: Path, lessons: Callable[..., subprocess.CompletedProcess]
) -> None:
    """What was not changed is not moved aside."""
    lessons("start", "01")
    assert (
        lessons("reset", "01").stdout
        == "work/01_double.py is untouched, and stays as it is.\n"
    )
    assert [path.name for path in (tree / "work").glob("0*")] == ["01_double.py"]


def test_first_unsolved_exercise(
    tree: Path, lessons: Callable[..., subprocess.CompletedProcess]
) -> None:
    """The list proposes to begin the first exercise that is not solved."""
    (tree / "lessons" / "exercises" / "02_treble.py").write_text("")
    (tree / "work").mkdir()
    (tree / "work" / ".progress.json").write_text(
        '{"01_double": {"points": 5, "of": 5, "solved": true}}'
    )
    (tree / "work" / "01_double.py").write_text(RIGHT)
    listed = lessons().stdout
    assert "Points so far: 5 of 25\n" in listed
    assert "Exercise: python -m lessons start 02\n" in listed


def test_note(tree: Path, lessons: Callable[..., subprocess.CompletedProcess]) -> None:
    """There is a blank line before a note and one after it."""
    (tree / "work").mkdir()
    for code, before in (
        (RIGHT, "Checking work/01_double.py"),
        ("def double(n): return 4", "  hint:       "),
    ):
        (tree / "work" / "01_double.py").write_text(f"print('hello')\n{code}")
        blocks = lessons("check", "01").stdout.split("\n\n")
        place = next(
            place
            for place, block in enumerate(blocks)
            if block.startswith("Note: your file prints")
        )
        assert blocks[place].endswith("\n    work/01_double.py:1: print('hello')")
        assert blocks[place - 1].splitlines()[-1].startswith(before) and not blocks[
            place + 1
        ].startswith("\n"), blocks


def test_check_all(
    tree: Path, lessons: Callable[..., subprocess.CompletedProcess]
) -> None:
    """With --all every failure is told in full; without, it is said how to see them."""
    (tree / "work").mkdir()
    (tree / "work" / "01_double.py").write_text("def double(n): return 5")
    told = lessons("check", "01").stdout
    assert told.count("  expected:") == 1 and "- Twice 3 is 6." in told
    assert "All of them in full: python -m lessons check 01 --all" in told
    told = lessons("check", "01", "--all").stdout
    assert told.count("  expected:") == 2, "a failure is missing"
    assert "expected:   4" in told and "expected:   6" in told
    assert "Also not right yet" not in told and "--all" not in told


@pytest.mark.skipif(os.name == "nt", reason="needs a pipe as Linux and macOS have it")
@pytest.mark.parametrize(
    "command",
    [
        ["-m", "lessons", "solution", "01", "--give-up"],
        [ROOT / "lessons/01_basic_get.py"],
    ],
    ids=["command", "script"],
)
def test_reader_that_has_seen_enough(tree: Path, command: list[str | Path]) -> None:
    """`python -m lessons solution 01 | head` prints no error, nor does a script."""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, *command],
        cwd=tree,
        env=environment(),
        stdout=writer,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")


def test_notebook_as_an_answer(
    tree: Path, lessons: Callable[..., subprocess.CompletedProcess]
) -> None:
    """A notebook is checked, not overwritten, and moved aside by reset."""
    (tree / "work").mkdir()
    cell = {"cell_type": "code", "source": RIGHT.splitlines(keepends=True)}
    notebook = json.dumps(
        {"cells": [cell], "nbformat": 4, "nbformat_minor": 5, "metadata": {}}
    )
    (tree / "work" / "01_double.ipynb").write_text(notebook)
    assert "work/01_double.ipynb is there already" in lessons("start", "01").stdout
    assert lessons("check", "01").returncode == 0
    assert notebook.count("n * 2") == 1
    (tree / "work" / "01_double.ipynb").write_text(notebook.replace("n * 2", "5"))
    told = lessons("check", "01").stdout
    assert "lessons try" not in told, "that cannot open a notebook"
    (tree / "work" / "01_double.ipynb").write_text(notebook)
    lessons("reset", "01")
    assert (tree / "work" / "01_double~1.ipynb").read_text() == notebook


def test_hints(lessons: Callable[..., subprocess.CompletedProcess]) -> None:
    """Hints come one a call, in their order, or by number or name."""
    first, second, third = (lessons("hint", "01").stdout for _ in range(3))
    assert first == "Hint 1 of 2: sums\nThink of `n` and `n`. One more line of it.\n"
    assert second.splitlines()[0] == "Hint 2 of 2: code"
    assert "\n    return n * 2\n" in second
    assert "That is the last one" in second and third == second
    assert (
        lessons("hint", "01", "sums").stdout
        == lessons("hint", "01", "1").stdout
        == first
    )
    lessons("start", "01")
    lessons("reset", "01")
    assert lessons("hint", "01").stdout == first, "after a reset, the hints begin again"


def test_give_up(lessons: Callable[..., subprocess.CompletedProcess]) -> None:
    """With --give-up the reference opens at once, and stays open."""
    assert lessons("solution", "01").returncode == 1
    assert RIGHT in lessons("solution", "01", "--give-up").stdout
    assert RIGHT in lessons("solution", "01").stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["start", "7"], "there is no exercise 7; the exercises are 01"),
        (["check", "x"], "there is no exercise x; the exercises are 01"),
        (["hint", "01", "sms"], "exercise 01 has no hint sms; did you mean sums?"),
        (["hint", "01", "9"], "exercise 01 has no hint 9; they are sums, code"),
        (
            ["watch", "01"],
            "there is no work/01_double.py yet; begin with:\npython -m lessons start "
            "01",
        ),
        (
            ["start", "word " * 9],
            f"there is no exercise {'word ' * 9}; the\nexercises are 01",
        ),
        (
            ["check", "2"],
            "there is no work/02_an_exercise_of_a_long_name.py yet; begin "
            "with:\npython -m lessons start 02",
        ),
    ],
)
def test_mistakes(
    tree: Path,
    lessons: Callable[..., subprocess.CompletedProcess],
    arguments: list[str],
    sentence: str,
) -> None:
    """What cannot be done is said in 80 columns, with the status 2."""
    if sentence.endswith("start 02"):
        (
            tree / "lessons" / "exercises" / "02_an_exercise_of_a_long_name.py"
        ).write_text(STUB)
    done = lessons(*arguments)
    assert (done.returncode, done.stdout, done.stderr) == (
        2,
        "",
        f"lessons: {sentence}\n",
    )


@pytest.mark.parametrize(
    "text",
    ["{", '{"01_double": {"points": "many", "hints": null}}'],
)
def test_damaged_progress(
    tree: Path, lessons: Callable[..., subprocess.CompletedProcess], text: str
) -> None:
    """A damaged file of points stops nothing, and is not thrown away."""
    (tree / "work").mkdir()
    progress = tree / "work" / ".progress.json"
    progress.write_text(text)
    assert lessons("hint", "01").stdout.splitlines()[-2].startswith("Hint 1 of 2")
    kept = tree / "work" / ".progress~1.json"
    assert kept.exists() != (
        json.loads(progress.read_text())["01_double"].get("points") == "many"
    )
    assert lessons("hint", "01").stdout.startswith("Hint 2 of 2")


@pytest.mark.parametrize(
    ("code", "last"),
    [
        ("import os\nos._exit(0)\n", "/01_double.py\n"),
        (
            "import faulthandler\nfaulthandler._sigsegv()",
            '"work/01_double.py", line 2 in <module>\n',
        ),
    ],
    ids=["exit", "crash"],
)
def test_answer_that_ends_the_process(
    tree: Path,
    lessons: Callable[..., subprocess.CompletedProcess],
    code: str,
    last: str,
) -> None:
    """An answer that ends Python itself is reported, and gets no points."""
    (tree / "work").mkdir()
    (tree / "work" / "01_double.py").write_text(code)
    done = lessons("check", "01")
    assert done.returncode == 2
    assert "could not be stopped; look for that in work/01_double.py" in " ".join(
        done.stderr.split()
    )
    assert done.stderr.endswith(last)
    assert "Points so far: 0" in lessons().stdout


@pytest.mark.parametrize(
    ("code", "is_loaded"),
    [("def double(n): return 5", True), ("input()", False)],
)
def test_what_to_try(
    tree: Path,
    lessons: Callable[..., subprocess.CompletedProcess],
    code: str,
    is_loaded: bool,
) -> None:
    """A file that does not load cannot be tried, and its failures are told once."""
    (tree / "work").mkdir()
    (tree / "work" / "01_double.py").write_text(code)
    done = lessons("check", "01")
    is_told = "To try this yourself: python -m lessons try 01" in done.stdout
    assert is_told == is_loaded
    assert ("\n- 1 more test: " in done.stdout) != is_loaded, done.stdout


def test_a_folder_of_that_name(
    tree: Path, lessons: Callable[..., subprocess.CompletedProcess]
) -> None:
    """Where a folder is in the way, that is said."""
    (tree / "work" / "01_double.py").mkdir(parents=True)
    for command in ("check", "start"):
        assert (
            lessons(command, "01").stderr
            == "lessons: work/01_double.py is a folder, not a file; move it away\n"
        )


def test_a_folder_that_cannot_be_made(
    tree: Path, lessons: Callable[..., subprocess.CompletedProcess]
) -> None:
    """If work/ cannot be made, that is said in a line."""
    (tree / "work").write_text("a file")
    done = lessons("start", "01")
    assert done.returncode == 2
    assert done.stderr.startswith("lessons: ")


class Watching:
    """`python -m lessons watch 01` as it runs: keys go in, and its output comes out."""

    def __init__(self, tree: Path) -> None:
        group = (
            {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
            if os.name == "nt"
            else {"start_new_session": True}
        )
        self.process = subprocess.Popen(
            [sys.executable, "-u", "-m", "lessons", "watch", "01"],
            cwd=tree,
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            **group,
        )
        self.lines: Queue[str] = Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in self.process.stdout:
            self.lines.put(line)

    def press(self, key: str) -> None:
        """Send a key, with the end of the line that a pipe needs."""
        self.process.stdin.write(f"{key}\n")
        self.process.stdin.flush()

    def wait_for(self, words: str) -> str:
        """Return the output up to the line with these words."""
        seen = ""
        while words not in seen:
            try:
                seen += self.lines.get(timeout=40)
            except Empty:
                pytest.fail(f"no {words!r} in:\n{seen}")
        return seen


@pytest.fixture
def watching(tree: Path) -> Iterator[Watching]:
    """Watch the stub of the made-up exercise."""
    run("-m", "lessons", "start", "01", cwd=tree)
    with_watch = Watching(tree)
    yield with_watch
    with_watch.process.kill()
    with_watch.process.wait()


KEYS = "n next  h hint"  # how the line of the keys begins


def test_watch(tree: Path, watching: Watching) -> None:
    """Watch checks at once and after every save, and Ctrl-C ends it quietly."""
    answer = tree / "work" / "01_double.py"
    first = watching.wait_for(KEYS)
    assert "0 of 5 points" in first and "since the last save" not in first
    assert "[--------------------] 0 of 1 solved, 0 of 20 points" in first
    answer.write_text("def double(n):\n    return 4\n")
    assert "2 of 5 points.\n+2 since the last save." in watching.wait_for(KEYS)
    answer.write_text("import os\n\nos._exit(3)\n")
    assert "your code ended the whole process" in watching.wait_for(KEYS)
    (tree / "new.py").write_text(RIGHT)
    answer.unlink()  # as editors save
    (tree / "new.py").replace(answer)
    last = watching.wait_for(KEYS)
    assert "5 of 5 points" in last and "+3 since the last save." in last
    assert "You have solved every exercise of this course: 5 of 5 points." in last
    if os.name == "nt":
        # a console program can be sent Ctrl-C there only together with this test
        return
    os.killpg(watching.process.pid, signal.SIGINT)
    assert watching.process.wait(timeout=40) == 0
    rest = watching.wait_for("Done watching.")
    assert "Traceback" not in rest and "Error" not in rest


def test_watch_obeys_keys(tree: Path, watching: Watching) -> None:
    """Each key does what the line of the keys says; q ends it."""
    stub = (tree / "lessons" / "exercises" / "01_double.py").read_text()
    (tree / "lessons" / "exercises" / "02_treble.py").write_text(stub)
    answer = tree / "work" / "01_double.py"
    watching.wait_for(KEYS)
    for key, words in (
        ("h", "Hint 1 of 2: sums"),
        ("l", "Points so far: 0 of 25"),
        ("a", "Twice 3 is 6."),
        ("c", "01   0 of 5 points"),
        ("?", "The keys are:"),
    ):
        watching.press(key)
        assert words in watching.wait_for(KEYS), f"{key} did something else"
    answer.write_text("def double(n):\n    return 6\n")
    assert "+3 since" in watching.wait_for(KEYS)
    watching.press("r")
    watching.press("x")
    watching.wait_for("any other key for no")
    watching.wait_for("The keys are:")
    assert answer.read_text() != STUB, "begun again though the answer was no"
    watching.press("r")
    watching.press("y")
    watching.wait_for("work/01_double.py is now work/01_double~1.py.")
    assert "0 of 5 points" in watching.wait_for(KEYS)
    answer.unlink()
    watching.wait_for("work/01_double.py is gone. Save it again, or press r")
    watching.press("r")
    assert "0 of 5 points" in watching.wait_for("points.")
    watching.press("n")
    watching.wait_for("--- 02_treble")
    assert (tree / "work" / "02_treble.py").read_text() == stub
    watching.press("q")
    assert watching.process.wait(timeout=40) == 0
    watching.wait_for("Done watching.")


def test_watch_on_windows(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On Windows the keys come from msvcrt, one at a time, and Ctrl-C is the last."""
    pressed = Queue()
    for key in ("h", "é", "\x03"):
        pressed.put(key)
    # Not os.name itself: pathlib would make paths of Windows then.
    monkeypatch.setattr(watch, "os", SimpleNamespace(name="nt"))
    monkeypatch.setitem(sys.modules, "msvcrt", SimpleNamespace(getwch=pressed.get))
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: True))
    obeyed: list[str] = []
    monkeypatch.setattr(watch._Watch, "press", lambda _, key: obeyed.append(key))
    monkeypatch.setattr(watch._Watch, "look", lambda _: None)
    exercise = SimpleNamespace(find_answer=lambda: None)
    monkeypatch.setattr(watch, "find_exercise", lambda _: exercise)
    assert watch.watch(argparse.Namespace(exercise="01")) == 0
    assert obeyed == ["h", "é"]
    assert capsys.readouterr().out == "\nDone watching.\n"


@pytest.mark.skipif(os.name == "nt", reason="needs a pseudo-terminal")
def test_watch_in_a_terminal(tree: Path) -> None:
    """In a terminal a key needs no Return, and the screen is cleared."""
    run("-m", "lessons", "start", "01", cwd=tree)
    controller, terminal = os.openpty()
    command = [sys.executable, "-m", "lessons", "watch", "01"]
    names = {"TERM": "xterm", "NO_COLOR": None}
    streams = dict.fromkeys(("stdin", "stdout", "stderr"), terminal)
    with subprocess.Popen(
        command, cwd=tree, env=environment(**names), **streams
    ) as process:
        seen = b""
        for words, key in ((KEYS, b"h"), ("Hint 1 of 2", b"q"), ("Done", b"")):
            while words.encode() not in seen:
                seen += os.read(controller, 10_000)
            os.write(controller, key)
        assert process.wait(timeout=40) == 0
    os.close(controller)
    os.close(terminal)
    assert b"\033[2J" in seen, "the screen was not cleared"


@pytest.mark.skipif(os.name == "nt", reason="needs a pseudo-terminal")
@pytest.mark.parametrize(
    ("changes", "is_coloured"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)],
)
def test_colours(tree: Path, changes: dict[str, str], is_coloured: bool) -> None:
    """Colours are for terminals, and for those who want them."""
    controller, terminal = os.openpty()
    names = {"NO_COLOR": None, "TERM": "xterm", **changes}
    command = [sys.executable, "-m", "lessons", "hint", "01"]
    with subprocess.Popen(
        command, cwd=tree, env=environment(**names), stdout=terminal, stderr=terminal
    ) as process:
        assert process.wait(timeout=20) == 0
    text = os.read(controller, 10_000).decode()
    os.close(controller)
    os.close(terminal)
    assert "Hint 1 of 2" in text
    assert ("\033[" in text) == is_coloured, repr(text)
