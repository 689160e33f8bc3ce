"""What `check` prints under *To try this yourself* runs as it is printed."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lessons.course import exercises
from lessons.course.console import can_be_pasted
from lessons.course.exercises import find_exercise, find_exercises
from lessons.course.grading import read_report
from lessons.course.results import Result, render
from tests.lesson_files import ROOT, copy_folder, environment, run

# For each exercise, what is added to the reference to make it wrong, and a test that
# fails then.
WRONG = {
    "01_basic_get": ("def get_json(*a, **k): return {}", "json_body"),
    "02_methods_and_auth": ("AgentsAPI.create = lambda self, *a, **k: {}", "create"),
    "03_sync_client": (
        "ChatClient.ask = lambda self, *a, **k: 'no'",
        "ask_returns_the_text",
    ),
    "04_async_batching": ("async def ask_all(prompts, **k): return []", "order"),
    "05_error_classes": (
        "def raise_for_error(response): pass",
        "statuses_of_their_own",
    ),
    "06_retry_decorator": (
        "def parse_retry_after(value, now=None): return 1.5",
        "seconds",
    ),
    "07_sse_streaming": ("def iter_sse(chunks): return iter([])", "fields"),
    "08_rate_limiter": ("RateLimiter.acquire = lambda self: None", "burst"),
    "09_many_apis": ("async def run_batch(*a, **k): return {}", "answers"),
}
# Its line `we did` names a clock of the tests, which nobody else has.
NOT_TO_PASTE = "08_rate_limiter"


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what an exercise needs, with a wrong answer to each."""
    root = tmp_path_factory.mktemp("copy") / "tree"
    for name in ("lessons", "solutions", "tests/exercises", "tests/grader"):
        copy_folder(name, root)
    for name in ("__init__.py", "conftest.py"):
        shutil.copy(ROOT / "tests" / name, root / "tests")
    for name in ("pyproject.toml", "requirements.txt"):
        shutil.copy(ROOT / name, root)
    (root / "work").mkdir()
    for stem, (wrong, _) in WRONG.items():
        right = (ROOT / "solutions" / f"{stem}.py").read_text(encoding="utf-8")
        answer = root / "work" / f"{stem}.py"
        answer.write_text(f"{right}\n\n{wrong}\n", encoding="utf-8")
    return root


@pytest.fixture(scope="module")
def told(copy: Path) -> dict[str, Result]:
    """What the tests say of the wrong answers; one run for all is quick."""
    tests = [
        f"tests/exercises/test_{stem}.py::test_{test}"
        for stem, (_, test) in WRONG.items()
    ]
    options = ["--submission", "work", "--junitxml", "report.xml", "-o", "addopts="]
    changes = {"PYTEST_ADDOPTS": None, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = run("-m", "pytest", *tests, *options, cwd=copy, **changes)
    results = read_report((copy / "report.xml").read_text(encoding="utf-8"))
    assert len(results) == len(WRONG), done.stdout
    return {result.exercise: result for result in results}


def test_every_exercise_is_tried() -> None:
    """There is a wrong answer to each exercise of the course."""
    assert list(WRONG) == [exercise.stem for exercise in find_exercises()]


@pytest.mark.parametrize("stem", WRONG)
def test_what_is_printed_runs(
    copy: Path, told: dict[str, Result], stem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command opens Python, and the line `we did` runs in it as it is printed."""
    shown = render(told[stem])
    line = re.search("(?m)^  we did:(.*)$", shown)[1]
    monkeypatch.setattr(exercises, "WORK", copy / "work")
    is_for_all = can_be_pasted(line.strip(), find_exercise(stem))
    assert is_for_all == (stem != NOT_TO_PASTE), shown
    typed = line if is_for_all else "server.url"
    done = subprocess.run(
        [sys.executable, "-m", "lessons", "try", stem[:2]],
        cwd=copy,
        env=environment(),
        input=f"{typed}\n'the end'\n",
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=60,
    )
    seen = done.stdout
    assert f"work/{stem}.py is loaded" in seen and "'the end'" in seen, seen
    names = ("NameError", "SyntaxError", "IndentationError", "never awaited", "OPENAI_")
    wrong = [name for name in names if name in seen]
    assert not wrong, f"{typed}\nas printed for {stem} gives\n{seen}"
