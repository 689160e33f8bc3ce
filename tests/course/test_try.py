"""What `check` prints under *To try this yourself* runs as it is printed."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lessons.course.exercises import find_exercises
from tests.lesson_files import ROOT, copy_folder, environment

# For each exercise, what is added to the reference to make it wrong, and whether the
# line `we did` can be pasted then: some describe in words what the test did.
WRONG = {
    "01_basic_get": ("def get_json(*a, **k): return {}", True),
    "02_methods_and_auth": ("AgentsAPI.create = lambda self, *a, **k: {}", True),
    "03_sync_client": ("ChatClient.ask = lambda self, *a, **k: 'no'", True),
    "04_async_batching": ("async def ask_all(prompts, **k): return []", True),
    "05_error_classes": ("def raise_for_error(response): pass", True),
    "06_retry_decorator": ("def parse_retry_after(value, now=None): return 1.5", True),
    "07_sse_streaming": ("def iter_sse(chunks): return iter([])", True),
    "08_rate_limiter": ("RateLimiter.acquire = lambda self: None", False),
    "09_many_apis": ("async def run_batch(*a, **k): return {}", True),
}


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


def lessons(copy: Path, *arguments: str, typed: str = "") -> str:
    """Return the output of `python -m lessons` in the copy, to which this is typed."""
    done = subprocess.run(
        [sys.executable, "-m", "lessons", *arguments],
        cwd=copy,
        env=environment(),
        input=typed,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=60,
    )
    return done.stdout


def test_every_exercise_is_tried() -> None:
    """There is a wrong answer to each exercise of the course."""
    assert list(WRONG) == [exercise.stem for exercise in find_exercises()]


@pytest.mark.parametrize("stem", WRONG)
def test_what_is_printed_runs(copy: Path, stem: str) -> None:
    """The command opens Python, and the line `we did` runs in it as it is printed."""
    number, can_be_pasted = stem[:2], WRONG[stem][1]
    told = lessons(copy, "check", number)
    assert f"To try this yourself: python -m lessons try {number}\n" in told, told
    assert ("and paste there what stands after `we did:`" in told) == can_be_pasted
    line = re.search("(?m)^  we did:(.*)$", told)[1] if can_be_pasted else "server.url"
    seen = lessons(copy, "try", number, typed=f"{line}\n'the end'\n")
    assert f"work/{stem}.py is loaded" in seen and "'the end'" in seen, seen
    names = ("NameError", "SyntaxError", "IndentationError", "never awaited", "OPENAI_")
    wrong = [name for name in names if name in seen]
    assert not wrong, f"{line}\nas printed for {stem} gives\n{seen}"


def test_prompt_goes_on_after_an_error(copy: Path) -> None:
    """An exception is shown in the prompt, and what follows runs all the same."""
    typed = "1 / 0\nawait asyncio.sleep(0, 'awaited')\nfor n in [7]:\n    print(n)\n\n"
    seen = lessons(copy, "try", "03", typed=typed)
    assert "ZeroDivisionError" in seen and "'awaited'" in seen and "7" in seen
