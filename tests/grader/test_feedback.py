"""Whatever is wrong with an answer, its author is told so in a few lines, and the
others are judged all the same.
"""

import json
import random
import re
import shutil
import subprocess
import sys
import textwrap
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lessons.course.results import Result, explain, tally
from tests.grader import steps
from tests.lesson_files import ROOT, environment

# What a test of a made-up exercise looks like: double(2) has to be 4.
DOUBLE = '''
import asyncio
import pytest
import requests
from mock_server import MockServer, fault
from tests.grader.steps import call, expect, expect_raises, run_async

@pytest.mark.points(2, hint="first")
@pytest.mark.limit(0.5)
def test_double(answer, server):
    """Twice 2 is 4."""
    BODY
'''
PLAIN = 'value = call(answer, "double", 2)\n    expect(value == 4, expected="4")'
AWAITED = (
    'value = run_async(call(answer, "double", 2))\n    expect(value == 4, expected="4")'
)
GOOD = "def double(n):\n    return 2 * n\n"


def notebook(*cells: str) -> str:
    """Return a notebook with these code cells, and a text between them."""
    code = [
        {"cell_type": "code", "source": cell.splitlines(keepends=True)}
        for cell in cells
    ]
    return json.dumps(
        {"cells": [{"cell_type": "markdown", "source": "Text."}, *code], "nbformat": 4}
    )


# For each answer: what it holds, the body of the test, and what its author reads; "" if
# it is right.
CASES: dict[str, tuple[str | bytes, str, list[str]]] = {
    "not_started": (
        'def double(n):\n    raise NotImplementedError("STEM: write double")',
        PLAIN,
        [
            "we did: double(2)",
            "not started yet: STEM: write double",
            "answers/STEM.py:2: raise NotImpl",
        ],
    ),
    "not_started_within": (
        "def double(n):\n    try:\n        other(n)\n    except Exception as error:\n"
        '        raise ValueError("x") from error\ndef other(n):\n    raise NotImplementedError("STEM: write other")',
        PLAIN,
        ["not started yet: STEM: write other"],
    ),
    "syntax": (
        "def double(n):\n    return 2 * * n\n",
        PLAIN,
        [
            "SyntaxError: invalid syntax",
            "answers/STEM.py:2: return 2 * * n ^",
            "we did: import answers/STEM.py",
        ],
    ),
    "missing": (
        "def doubel(n):\n    return 4",
        PLAIN,
        ["there is no double in", "but a doubel", "STEM.py:1: def"],
    ),
    "returned_none": (
        "def double(n):\n    2 * n",
        PLAIN,
        ["double(…) returned None", "returned None; is there a way", "STEM.py:1: def"],
    ),
    "none_in_the_test": (
        "def double(n):\n    2 * n",
        'call(answer, "double", 2) + 1',
        ["double(…) returned None"],
    ),
    "wrong_value": (
        "def double(n):\n    return 5",
        PLAIN,
        ["we saw: 5", "expected: 4", "STEM.py:1: def double"],
    ),
    "plain_assert": (
        GOOD,
        'assert call(answer, "double", 2) == 5',
        ["we saw: assert 4 == 5", "Twice 2 is 4."],
    ),
    "raises": (
        "def double(n):\n    return {}['choices']",
        PLAIN,
        [
            "we saw: KeyError: 'choices' was raised",
            "expected: no KeyError",
            "STEM.py:2: return {}['choices']",
        ],
    ),
    "wrong_exception": (
        "class OwnError(Exception):\n    pass\ndef double(n):\n    return int('x')",
        'with expect_raises(answer, "OwnError"):\n        call(answer, "double", 2)',
        [
            "ValueError: invalid literal",
            "was raised",
            "expected: OwnError",
            "STEM.py:4: return int('x')",
        ],
    ),
    "no_exception": (
        GOOD,
        'with expect_raises(answer, requests.HTTPError):\n        call(answer, "double", 2)',
        [
            "no exception; it returned 4",
            "expected: requests.HTTPError",
            "STEM.py:1: def double",
        ],
    ),
    "missing_where_any_exception_will_do": (
        "x = 1",
        'with expect_raises(answer, Exception):\n        call(answer, "double", 2)\n    expect(False, expected="it")',
        ["we saw: there is no double in"],
    ),
    "exception_of_the_wrong_kind": (
        "def double(n):\n    raise RuntimeError('it failed')",
        'with expect_raises(answer, Exception):\n        call(answer, "double", 2)\n    expect(False, expected="it")',
        [
            "we saw: RuntimeError: it failed was raised expected: it your line:",
            "STEM.py:2: raise",
        ],
    ),
    "never_called_await": (
        "async def double(n):\n    return 2 * n",
        PLAIN,
        ["double(…) returned a coroutine", "plain `def`"],
    ),
    "forgotten_await": (
        "async def twice(n):\n    return 2 * n\nasync def double(n):\n    twice(n)\n  "
        "  return 0",
        AWAITED,
        ["the coroutine twice(…) was never awaited", "STEM.py:4: twice(n)"],
    ),
    "forgotten_await_before_an_error": (
        "async def twice(n):\n    return 2 * n\nasync def double(n):\n    twice(n)\n  "
        "  return int('x')",
        "with expect_raises(answer, KeyError):\n        " + AWAITED,
        ["the coroutine twice(…) was never awaited", "STEM.py:4: twice(n)"],
    ),
    "unawaited_results": (
        "async def ask(n):\n    return n\nasync def double(n):\n    return [ask(n)]",
        AWAITED,
        [
            "the coroutine ask(…) was never awaited",
            "expected: `await` before the call",
            "STEM.py:4: return [ask(n)]",
        ],
    ),
    "unawaited_reply": (
        "async def ask(n):\n    return n\nasync def double(n):\n    return ask(n).real",
        AWAITED,
        [
            "'coroutine' object has no attribute 'real'",
            "expected: `await` before the call",
            "STEM.py:4: return ask",
        ],
    ),
    "cannot_be_awaited": (
        GOOD,
        AWAITED,
        ["double(…) returned 4, which cannot be awaited", "`async def double`"],
    ),
    "failed_group": (
        "import asyncio\nasync def one():\n    raise ValueError('bad')\nasync def "
        "double(n):\n"
        "    async with asyncio.TaskGroup() as group:\n        "
        "group.create_task(one())",
        AWAITED,
        ["ExceptionGroup with ValueError: bad was raised", "STEM.py:"],
    ),
    "endless": (
        "def double(n):\n    while True:\n        pass",
        PLAIN,
        ["no end after 0.5 s", "STEM.py:"],
    ),
    "endless_import": (
        "while True:\n    pass",
        PLAIN,
        ["no end after 0.5 s", "STEM.py:"],
    ),
    "sleeps": (
        "import time\ndef double(n):\n    while True:\n        time.sleep(60)",
        PLAIN,
        ["no end after 0.5 s", "STEM.py:4: time.sleep(60)"],
    ),
    "catches_all": (
        "import time\ndef double(n):\n    while True:\n        try:\n            "
        "time.sleep(0.05)\n"
        "        except:\n            pass",
        PLAIN,
        ["no end after 0.5 s", "STEM.py:"],
    ),
    "reads_for_ever": (
        "import os, requests\ndef double(n):\n    return "
        "requests.get(os.environ['OPENAI_BASE_URL'] + '/models')",
        f"server.script(fault.hang())\n    {PLAIN}",
        [
            "server.script(fault.hang()); double(2)",
            "no end after 0.5 s",
            "STEM.py:3: return requests.get(",
        ],
    ),
    "awaits_for_ever": (
        "import asyncio\nasync def inner():\n    await asyncio.Event().wait()\nasync "
        "def double(n):\n    await inner()",
        AWAITED,
        ["no end after 0.5 s", "STEM.py:3: await asyncio.Event().wait()"],
    ),
    "waits_for_threads": (
        "from concurrent.futures import ThreadPoolExecutor\ndef spin():\n    while "
        "True:\n        pass\n"
        "def double(n):\n    with ThreadPoolExecutor() as pool:\n        "
        "pool.submit(spin)",
        PLAIN,
        ["no end after 0.5 s", "STEM.py:6: with ThreadPoolExecutor()"],
    ),
    "internet": (
        "import requests\ndef double(n):\n    try:\n        return "
        "requests.get('http://example.com/').json()\n"
        "    except Exception:\n        return 4",
        PLAIN,
        [
            "tried to reach example.com on the internet",
            "STEM.py:4: return requests.get(",
        ],
    ),
    "internet_async": (
        "import httpx\nasync def double(n):\n    async with httpx.AsyncClient() as "
        "client:\n"
        "        return await client.get('http://192.0.2.1/')",
        AWAITED,
        [
            "tried to reach 192.0.2.1 on the internet",
            "STEM.py:4: return await client.get(",
        ],
    ),
    "asks": (
        "def double(n):\n    return input('n? ')",
        PLAIN,
        ["called input()", "STEM.py:2: return input("],
    ),
    "sends_on_import": (
        "import os, requests\nrequests.get(os.environ['OPENAI_BASE_URL'], timeout=1)\n"
        + GOOD,
        PLAIN,
        [
            "sends a request while it is imported",
            "if __name__",
            "STEM.py:2: requests.get(",
        ],
    ),
    "internet_on_import": (
        "import requests\nrequests.get('http://example.com/')\n" + GOOD,
        PLAIN,
        [
            'sends a request while it is imported expected: definitions only; move the rest under `if __name__ == "__'
        ],
    ),
    "asks_on_import": (
        "n = input()\n" + GOOD,
        PLAIN,
        [
            "file calls input() while it is imported",
            "rest under `if __name__",
            "STEM.py:1: n = input()",
        ],
    ),
    "fails_on_import": (
        GOOD + "double()",
        PLAIN,
        ["missing 1 required positional argument", "STEM.py:3: double()"],
    ),
    "not_installed": (
        "import requsts\n" + GOOD,
        PLAIN,
        ["requsts is not installed; did you mean requests? expected: import requests"],
    ),
    "not_installed_nor_known": (
        "import nonsense_of_mine\n" + GOOD,
        PLAIN,
        [
            "nonsense_of_mine is not installed expected: `python -m pip install "
            "nonsense_of_mine`"
        ],
    ),
    "exits": (
        "def double(n):\n    raise SystemExit(0)",
        PLAIN,
        ["ended the program: SystemExit", "STEM.py:2: raise"],
    ),
    "skips": (
        "import pytest\ndef double(n):\n    pytest.skip('no')",
        PLAIN,
        ["ended the program: Skipped: no"],
    ),
    "latin": (
        b"# a\n# \xe9\n" + GOOD.encode(),
        PLAIN,
        ["the file is not UTF-8 text; look at line 2", "save as UTF-8"],
    ),
    "utf16": (GOOD.encode("utf-16"), PLAIN, ["saved as UTF-16", "save as UTF-8"]),
    "merge": (
        "def double(n):\n<<<<<<< HEAD\n    return 2 * n\n=======\n    return n + "
        "n\n>>>>>>> other\n",
        PLAIN,
        ["line 2 is a merge marker that git left", "STEM.py:2: <<<<<<< HEAD"],
    ),
    "bom_and_crlf": (b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode(), PLAIN, []),
    "latin_that_says_so": (
        "# -*- coding: latin-1 -*-\n# \xe9\n".encode("latin-1") + GOOD.encode(),
        PLAIN,
        [],
    ),
    "prints": ("print('hello')\n" + GOOD, PLAIN, []),
    "dataclass": (
        "from __future__ import annotations\nfrom dataclasses import dataclass, "
        "KW_ONLY\n@dataclass\nclass A:\n"
        "    n: int\n    _: KW_ONLY\n    m: int = 2\ndef double(n):\n    return "
        "A(n).n * A(n).m",
        PLAIN,
        [],
    ),
    "uses_a_file_beside_it": (
        "def double(n):\n    from helper import twice\n    return twice(n)",
        PLAIN,
        [],
    ),
    "async_is_fine": ("async def double(n):\n    return 2 * n", AWAITED, []),
    "notebook": (
        notebook(
            "%matplotlib inline\nimport asyncio\nx = 7 \\\n  % 4\n!ls",
            "%%bash\nls -l",
            "%%time\nawait asyncio.sleep(0)\ndouble?",
            "1 / 0",
            "print(double(1)) if 'double' in dir() else None",
            "def double(n):\n    assert x == 3\n    return 2 * n",
        ),
        PLAIN,
        [],
    ),
    "notebook_line": (
        notebook("x = 1", "def double(n):\n    return int('x')"),
        PLAIN,
        ["ValueError", "answers/STEM.ipynb, code cell 2:2: return int('x')"],
    ),
    "notebook_syntax": (
        notebook("x = 1", "def double(n)"),
        PLAIN,
        ["SyntaxError", "STEM.ipynb, code cell 2:1: def d"],
    ),
    "notebook_cell_fails": (
        notebook("import nonsense_of_mine\ndef double(n):\n    return 4"),
        PLAIN,
        ["there is no double", "code cell 1 failed:", "ModuleNotFoundError"],
    ),
    "notebook_asks": (
        notebook("x = 1", "n = input()", GOOD),
        PLAIN,
        [
            "calls input()",
            "remove that cell, or put it under `if __name__",
            "STEM.ipynb, code cell 2:1: n = input()",
        ],
    ),
    "notebook_of_nonsense": (
        notebook() + "}",
        PLAIN,
        ["the file is no notebook", "JSONDecodeError"],
    ),
    "no_answer": (
        "",
        PLAIN,
        ["there is no answers/STEM.py", "but a STEM_mine.py: rename it"],
    ),
    "folder": ("", PLAIN, ["we saw: answers/STEM.py is a folder, not a file"]),
    "folder_of_a_near_name": (
        "",
        PLAIN,
        ["we saw: there is no answers/STEM.py expected:"],
    ),
    "server_arguments": (
        "def double(n):\n    return 5",
        PLAIN,
        ["server = MockServer(latency=0.01).start(); double(2)"],
    ),
    "rule": (
        "class ChatClient:\n    def __init__(self, url): self.url = url\n    def "
        "ask(self, text): return text",
        'server.on(path="/v1/models").reply(fault.delay(0.1) + fault.status(503), text="a")\n'
        '    client = call(answer, "ChatClient", server.base_url)\n'
        '    expect(call(client, "ask", server.url + "/get") == 4, expected="4")',
        [
            "server.on(path='/v1/models').reply(fault.delay(0.1) + fault.status(503), "
            "text='a')",
            "client = ChatClient(server.base_url); client.ask(server.url + '/get')",
        ],
    ),
    "printed": (
        "def double(n):\n    print('look', n)\n    return 5",
        PLAIN,
        ["it printed: look 2"],
    ),
}
NO_HINT = {  # since the file was not even loaded
    *(
        "syntax",
        "endless_import",
        "sends_on_import",
        "internet_on_import",
        "asks_on_import",
        "fails_on_import",
    ),
    *(
        "not_installed",
        "not_installed_nor_known",
        "latin",
        "utf16",
        "merge",
        "notebook_syntax",
        "notebook_asks",
    ),
    *("notebook_of_nonsense", "no_answer", "folder", "folder_of_a_near_name"),
}
STEMS = {name: f"{10 + place}_{name}" for place, name in enumerate(CASES)}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the course with made-up exercises, and the answers to them in answers/."""
    root = tmp_path_factory.mktemp("tree")
    (root / "tests" / "exercises").mkdir(parents=True)
    (root / "answers").mkdir()
    for name in (
        "pyproject.toml",
        "tests/sanitize.cfg",
        "tests/__init__.py",
        "tests/conftest.py",
    ):
        shutil.copy(ROOT / name, root / name)
    for path in (ROOT / "tests" / "exercises").glob("[!t]*.py"):
        shutil.copy(path, root / "tests" / "exercises")
    (root / "lessons").mkdir()
    shutil.copy(ROOT / "lessons" / "results.py", root / "lessons")
    for name, (text, body, _) in CASES.items():
        stem = STEMS[name]
        data = text.replace("STEM", stem).encode() if isinstance(text, str) else text
        ending = ".ipynb" if name.startswith("notebook") else ".py"
        file = f"{stem}_mine.py" if name == "no_answer" else stem + ending
        if name.startswith("folder"):
            (
                root / "answers" / (file if name == "folder" else f"{stem}_mine.py")
            ).mkdir()
        else:
            (root / "answers" / file).write_bytes(data)
        test = DOUBLE.replace("BODY", body)
        if name == "server_arguments":
            test = test.replace(
                "@pytest.mark.limit",
                "@pytest.mark.server(latency=0.01)\n@pytest.mark.limit",
            )
        if name == "async_is_fine":
            test += f'\ndef test_status_4{STEMS["dataclass"][:2]}(answer):\n    """Nothing."""\n'
        (root / "tests" / "exercises" / f"test_{stem}.py").write_text(
            test, encoding="utf-8"
        )
    (root / "answers" / "helper.py").write_text(
        "def twice(n):\n    return 2 * n\n", encoding="utf-8"
    )
    return root


def pytest_in(root: Path, *arguments: str) -> subprocess.CompletedProcess:
    """Run pytest in a copy of the course, without the plugins that it starts more
    slowly with.
    """
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-o",
            "addopts=",
            "-p",
            "no:cacheprovider",
            *arguments,
        ],
        cwd=root,
        env=environment(PYTEST_DISABLE_PLUGIN_AUTOLOAD="1", PYTEST_ADDOPTS=None),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
    )


@pytest.fixture(scope="module")
def graded(tree: Path) -> dict[str, Any]:
    """One run over all the made-up answers: what pytest returned, the texts for each,
    and how long it took.
    """
    start = time.monotonic()
    done = pytest_in(
        tree,
        "tests/exercises",
        "--submission",
        "answers",
        "--junitxml=report.xml",
        "-q",
    )
    seconds = time.monotonic() - start
    texts = {}
    for case in ElementTree.parse(tree / "report.xml").iter("testcase"):
        properties = {
            one.get("name"): one.get("value") for one in case.iter("property")
        }
        failure = case.find("failure")
        assert case.find("error") is None and case.find("skipped") is None, (
            ElementTree.tostring(case)
        )
        texts[properties["exercise"]] = "" if failure is None else failure.text
    return {"done": done, "texts": texts, "seconds": seconds}


@pytest.mark.parametrize("name", CASES)
def test_text(graded: dict[str, Any], name: str) -> None:
    """Each kind of mistake has its own text, of at most 12 lines; what is no mistake is
    accepted.
    """
    stem, words = STEMS[name], CASES[name][2]
    text = graded["texts"].get(stem)
    assert text is not None, graded["done"].stdout[-3000:]
    for word in words:
        assert word.replace("STEM", stem) in " ".join(text.split()), (
            f"{word!r} is missing in:\n{text}"
        )
    assert bool(words) == bool(text), text
    if words:
        assert text.startswith(f"{stem}, 2 points: Twice 2 is 4."), text
        assert text.endswith(
            f"  hint:       python -m lessons hint {stem[:2]} first"
        ) == (name not in NO_HINT), text
        assert ("hint:" in text) == (name not in NO_HINT), text
        assert len(text.splitlines()) <= 12
        assert "Traceback" not in text


def test_caret(graded: dict[str, Any]) -> None:
    """A caret stands below the place where the text stops being Python."""
    lines = graded["texts"][STEMS["syntax"]].splitlines()
    place = next(place for place, line in enumerate(lines) if "your line:" in line)
    assert lines[place + 1].index("^") == lines[place].rindex("*"), "\n".join(lines)


def test_run_as_a_whole(graded: dict[str, Any]) -> None:
    """What is endless is stopped in time, the exit status is 1, and the summary has the
    points of each exercise.
    """
    done = graded["done"]
    assert done.returncode == 1, done.stdout + done.stderr
    right = [name for name, (_, _, words) in CASES.items() if not words]
    tallied = dict(re.findall(r"(?m)^(\d\d_\w+) +(\d+) of +2 points$", done.stdout))
    assert tallied == {STEMS[name]: "2" if name in right else "0" for name in CASES}
    assert "Traceback" not in done.stdout
    assert "Note: your file prints when it is imported" in done.stdout
    assert f"answers/{STEMS['prints']}.py:1: print('hello')" in done.stdout
    note = "Note: code cell 4 failed: ZeroDivisionError: division by zero; it does not count, but clean it up"
    assert note in " ".join(done.stdout.split())
    stopped = sum("no end" in word for _, _, words in CASES.values() for word in words)
    assert graded["seconds"] < 15 + stopped, f"{graded['seconds']:.1f} s"


def test_with_several_processes(tree: Path) -> None:
    """As an instructor calls it: texts, points, and an end though a thread never ends."""
    chosen = " or ".join(
        STEMS[name] for name in ("waits_for_threads", "catches_all", "dataclass")
    )
    options = ("-p", "xdist", "-n", "2", "--dist=loadfile", "-k", chosen)
    done = pytest_in(
        tree, "tests/exercises", "--submission", str(tree / "answers"), *options
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert re.findall(r"(?m)^\d\d_(\w+?) +(\d) of +2 points$", done.stdout) == [
        ("catches_all", "0"),
        ("waits_for_threads", "0"),
        ("dataclass", "2"),
    ]
    assert done.stdout.count("no end after 0.5 s") == 2
    assert "2 not right yet" in done.stdout


def test_one_file(tree: Path) -> None:
    """One answer can be graded too; the tests of the other exercises are left out, and
    all is well if it is right.
    """
    for name, status in (("async_is_fine", 0), ("wrong_value", 1)):
        done = pytest_in(
            tree, "tests/exercises", "--submission", f"answers/{STEMS[name]}.py"
        )
        assert done.returncode == status, done.stdout + done.stderr
        assert done.stdout.count("of   2 points") == 1, done.stdout


def test_number_of_an_exercise(tree: Path) -> None:
    """`-k 45` means exercise 45, not every test with these digits in its name."""
    done = pytest_in(
        tree, "tests/exercises", "--submission", "answers", "-k", STEMS["dataclass"][:2]
    )
    assert (done.returncode, done.stdout.count("of   2 points")) == (0, 1), done.stdout
    assert "1 passed" in done.stdout


def test_tracebacks_for_those_who_write_tests(tree: Path) -> None:
    """With --tb, pytest's own traceback is shown, down to the line of the answer."""
    done = pytest_in(
        tree,
        f"tests/exercises/test_{STEMS['raises']}.py",
        "--submission",
        "answers",
        "--tb=short",
    )
    assert "return {}['choices']" in done.stdout
    assert "Traceback" in done.stdout or "KeyError: 'choices'" in done.stdout
    summary = done.stdout.partition("== exercises ==")[2]
    assert "  we saw:     KeyError: 'choices' was raised\n" in summary, (
        "the summary is for the learner all the same"
    )


@pytest.mark.parametrize("options", [(), ("-p", "xdist", "-n", "2")])
def test_no_such_folder(tree: Path, options: tuple[str, ...]) -> None:
    """A folder that is not there gets one line, however many processes there are."""
    done = pytest_in(tree, "tests/exercises", "--submission", "nobody", *options)
    assert done.returncode == 4
    assert (
        done.stderr.strip()
        == "ERROR: --submission: there is no nobody here or in the repository"
    )


@pytest.mark.parametrize(
    ("answer", "seen"),
    [
        ("while True: pass", ["0.5 s"] * 5),
        (
            "def double(n):\n    while n < 4: pass\n    return 2 * n",
            ["0.5 s", "0.5 s", "0.1 s", "0.1 s", ""],
        ),
        (
            "import time\ndef double(n):\n    while n in (1, 2): pass\n    "
            "time.sleep(0.2)\n    return 2 * n",
            ["", "0.5 s", "0.5 s", "", ""],
        ),
        (
            "import os, requests\ndef double(n):\n    while True:\n        try:\n"
            "            requests.get(os.environ['OPENAI_BASE_URL'] + "
            "'/models').json()['nothing']\n"
            "        except:\n            pass",
            ["0.5 s", "0.5 s", "0.1 s", "0.1 s", "0.1 s"],
        ),
    ],
    ids=["import", "nothing passes", "something passes", "catches everything"],
)
def test_answers_that_never_end(
    tree: Path, tmp_path: Path, answer: str, seen: list[str]
) -> None:
    """One that cannot be loaded is tried once; the others get less time only while they
    have no points to lose.
    """
    root = shutil.copytree(
        tree, tmp_path / "tree", ignore=shutil.ignore_patterns("test_*", "answers")
    )
    (root / "answer.py").write_text(answer)
    (root / "tests" / "exercises" / "test_01_answer.py").write_text(
        DOUBLE.replace(
            "@pytest.mark.limit",
            "@pytest.mark.parametrize('n', range(5))\n@pytest.mark.limit",
        )
        .replace("(answer, server)", "(answer, server, n)")
        .replace("BODY", 'expect(call(answer, "double", n) == 2 * n, expected="it")')
    )
    (root / "01_answer").mkdir()
    shutil.move(root / "answer.py", root / "01_answer")
    done = pytest_in(
        root,
        "tests/exercises",
        "--submission",
        "01_answer/answer.py",
        "--junitxml=report.xml",
    )
    assert (
        "Traceback" not in done.stdout + done.stderr and "Warning" not in done.stdout
    ), done.stdout + done.stderr
    cases = list(ElementTree.parse(root / "report.xml").iter("testcase"))
    texts = [case.findtext("failure", "") for case in cases]
    assert [
        "".join(re.findall("no end after (0.[15] s)", text)) for text in texts
    ] == seen, "\n".join(texts)
    if "" not in seen:
        assert sum(float(case.get("time")) for case in cases) < 5 * 0.5, (
            "it was loaded again and again"
        )


def test_installed_packages_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a missing package may have been meant for is found once, not for every test
    anew.
    """
    asked = []
    monkeypatch.setattr(
        feedback.importlib.metadata,
        "packages_distributions",
        lambda: asked.append(1) or {"numpy": []},
    )
    for _ in range(3):
        found = feedback._not_installed(ModuleNotFoundError(name="numpyyy.linalg"))
        assert (found.saw[-21:], found.expected) == (
            "; did you mean numpy?",
            "import numpy",
        )
    assert len(asked) == 1


def test_what_holds_all_threads_back(tmp_path: Path) -> None:
    """What no thread can be stopped in ends the process, after a while, and says where
    it was.
    """
    code = """
    import re, sys
    from tests.grader import sandbox
    sandbox._PATIENCE = 0.2
    sandbox.run_limited(lambda: sum(1 for _ in [re.match("(a+)+$", "a" * 64 + "b")]), 0.1, log=2)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
        timeout=30,
    )
    assert done.returncode == 1
    assert "Timeout" in done.stderr and "in <lambda>" in done.stderr, done.stderr


def test_summary_of_nothing() -> None:
    """Without failures there is nothing to explain."""
    assert explain([Result("01_a", 2, True)]) == []


def test_summary() -> None:
    """The first failure is told in full, the others in a line each; equal ones, and
    those of one cause, share one.
    """
    text = "01_a, 2 points: It is {}.\n  we saw:     not started\n  expected:   it\n  hint:       x"
    waiting = Result("01_a", 3, False, text.format("begun"), kind="not started")
    wrong = Result(
        "01_a",
        2,
        False,
        text.format("right " * 20).replace("not started", "5 " * 30),
        kind="wrong",
    )
    lines = explain([Result("01_a", 1, True), waiting, wrong, waiting, waiting])
    assert lines[:4] == text.format("begun").splitlines()
    assert lines[4:6] == ["", "Also not right yet:"]
    assert (
        lines[6].startswith("- It is right right")
        and len(lines[6]) == 80
        and lines[6].endswith(" right…")
    )
    assert lines[7:] == ["- 2 more tests: not started"]
    lines = explain(
        [
            waiting,
            wrong,
            wrong._replace(points=1),
            wrong._replace(text=text.format("5")),
        ]
    )
    assert (
        lines[6].startswith("- It is right right")
        and len(lines[6]) == 80
        and lines[6].endswith("… (2 tests)")
    )
    assert lines[7:] == ["- It is 5."], (
        "what two tests saw by chance is no common cause"
    )
    asks = [
        Result(
            "01_a", 1, False, text.format(n).replace("not started", "it asks"), "input"
        )
        for n in range(4)
    ]
    assert explain(asks)[4:] == ["", "Also not right yet:", "- 3 more tests: it asks"]
    assert explain([waiting, *asks[:1]])[6:] == ["- It is 0."], (
        "one test alone is told by its title"
    )
    other = waiting._replace(
        text=text.format("b").replace("not started", "it asks"), kind="wrong exception"
    )
    assert explain([*asks[:2], other])[6:] == ["- 2 more tests: it asks"], (
        "it is one cause, whatever a test waited for"
    )
    ends = [
        Result(
            "01_a",
            1,
            False,
            text.format(n).replace("not started", f"no end after {n} s"),
            "time limit",
        )
        for n in range(4)
    ]
    assert explain(ends)[6:] == ["- 3 more tests: no end within the time limit"]
    assert tally([Result("02_b", 1, True), waiting, Result("01_a", 4, True)]) == [
        "02_b                      1 of   1 points",
        "01_a                      4 of   7 points",
    ]


def test_notes() -> None:
    """Notes come last, each once, in 80 columns and after a blank line."""
    noted = Result(
        "01_a", 1, True, notes=("word " * 20 + "end\n    a line of the answer", "b")
    )
    lines = explain([noted, noted])
    assert lines == [
        *textwrap.wrap("Note: " + "word " * 20 + "end", 80),
        "    a line of the answer",
        "",
        "Note: b",
    ]
    wrong = noted._replace(passed=False, text="t", kind="wrong")
    assert explain([wrong]) == ["t", "", *lines]


def test_line_to_copy() -> None:
    """Equal steps become a loop, and the step that made an object is there, however
    many came after it.
    """

    class Door:
        def open(self, *_: object) -> None:
            pass

    feedback.start_log()
    options = {
        "keys": (KeyError, 2),
        "note": [].append,
        "rng": random.Random(),
        "names": (name for name in "abc"),
    }
    door = feedback.call(SimpleNamespace(Door=lambda **_: Door()), "Door", **options)
    assert (
        steps.log.text()
        == "Door(keys=(KeyError, 2), note=[].append, rng=Random(), names=<genexpr>())"
    )
    feedback.start_log()
    door = feedback.call(SimpleNamespace(Door=Door), "Door")
    for _ in range(30):
        feedback.call(door, "open")
    assert steps.log.text() == "door = Door(); [door.open() for _ in range(30)]"
    for number in range(30):
        feedback.call(door, "open", number)
    text = steps.log.text()
    assert text.startswith("door = Door(); door.open(") and text.endswith(
        "; door.open(28); door.open(29)"
    )
    assert 200 < len(text) <= 240


@pytest.mark.parametrize(
    ("make", "label"),
    [
        (lambda: feedback.render("T", feedback.Feedback(), "05"), "hint"),
        (
            lambda: feedback.render(
                "word " * 60, feedback.Feedback(did="d" * 999, saw="s " * 999), "05"
            ),
            "hint",
        ),
        (
            lambda: feedback.render(
                "t",
                feedback.Feedback(saw="s " * 999, expected="e " * 999, line="a\nb\nc"),
                "05",
                "p\n" * 99,
            ),
            "it printed",
        ),
    ],
)
def test_texts_are_short(make: Callable[[], str], label: str) -> None:
    """However much there is to say, it takes 12 lines at most."""
    text = make()
    assert len(text.splitlines()) <= 12
    assert label in text
