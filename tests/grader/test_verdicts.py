"""Whatever is wrong with an answer, its author is told so in a few lines.

The other answers are judged all the same.
"""

import json
import random
import re
import shutil
import subprocess
import sys
import textwrap
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lessons.course.grading import read_report
from lessons.course.results import (
    BROKEN,
    NAME,
    Result,
    clip,
    describe_points,
    explain,
    has_core,
    render,
    score,
    tally,
)
from tests.grader import diagnosis, plugin
from tests.grader.steps import call, log
from tests.lesson_files import ROOT, copy_folder, environment

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
    """Twice 2
    is 4.

    The learner is told the first paragraph only.
    """
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


# A right answer that asks the server of the environment.
ASKING = """import os, requests
def double(n):
    base_url = os.environ["OPENAI_BASE_URL"]
    headers = {"Authorization": f"Bearer {os.environ['OPENAI_API_KEY']}"}
    requests.get(base_url + "/models", headers=headers).raise_for_status()
    return 2 * n
"""


# For each answer: what it holds, the body of the test, and what its author reads, which
# is nothing if it is right.
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
        "def double(n):\n"
        "    try:\n"
        "        other(n)\n"
        "    except Exception as error:\n"
        '        raise ValueError("x") from error\n'
        "def other(n):\n"
        '    raise NotImplementedError("STEM: write other")',
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
    "name_error": (
        "def double(n):\n    return to * n",
        PLAIN,
        [
            "we saw: NameError: name 'to' is not defined",
            "expected: a name that is defined or imported",
            "STEM.py:2: return to * n",
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
        "with expect_raises(answer, requests.HTTPError):\n"
        '        call(answer, "double", 2)',
        [
            "no exception; it returned 4",
            "expected: requests.HTTPError",
            "STEM.py:1: def double",
        ],
    ),
    "missing_where_any_exception_will_do": (
        "x = 1",
        "with expect_raises(answer, Exception):\n"
        '        call(answer, "double", 2)\n'
        '    expect(False, expected="it")',
        ["we saw: there is no double in"],
    ),
    "exception_of_the_wrong_kind": (
        "def double(n):\n    raise RuntimeError('it failed')",
        "with expect_raises(answer, Exception):\n"
        '        call(answer, "double", 2)\n'
        '    expect(False, expected="it")',
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
        "async def twice(n):\n"
        "    return 2 * n\n"
        "async def double(n):\n"
        "    twice(n)\n"
        "    return 0",
        AWAITED,
        ["the coroutine twice(…) was never awaited", "STEM.py:4: twice(n)"],
    ),
    "forgotten_await_before_an_error": (
        "async def twice(n):\n"
        "    return 2 * n\n"
        "async def double(n):\n"
        "    twice(n)\n"
        "    return int('x')",
        ("with expect_raises(answer, KeyError):\n        ") + AWAITED,
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
        "import asyncio\n"
        "async def one():\n"
        "    raise ValueError('bad')\n"
        "async def double(n):\n"
        "    async with asyncio.TaskGroup() as group:\n"
        "        group.create_task(one())",
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
        "import time\n"
        "def double(n):\n"
        "    while True:\n"
        "        try:\n"
        "            time.sleep(0.05)\n"
        "        except:\n"
        "            pass",
        PLAIN,
        ["no end after 0.5 s", "STEM.py:"],
    ),
    "reads_for_ever": (
        "import os, requests\n"
        "def double(n):\n"
        "    return requests.get(os.environ['OPENAI_BASE_URL'] + '/models')",
        f"server.script(fault.hang())\n    {PLAIN}",
        [
            "server.script(fault.hang()); double(2)",
            "no end after 0.5 s",
            "STEM.py:3: return requests.get(",
        ],
    ),
    "awaits_for_ever": (
        "import asyncio\n"
        "async def inner():\n"
        "    await asyncio.Event().wait()\n"
        "async def double(n):\n"
        "    await inner()",
        AWAITED,
        ["no end after 0.5 s", "STEM.py:3: await asyncio.Event().wait()"],
    ),
    "waits_for_threads": (
        "from concurrent.futures import ThreadPoolExecutor\n"
        "def spin():\n"
        "    while True:\n"
        "        pass\n"
        "def double(n):\n"
        "    with ThreadPoolExecutor() as pool:\n"
        "        pool.submit(spin)",
        PLAIN,
        ["no end after 0.5 s", "STEM.py:6: with ThreadPoolExecutor()"],
    ),
    "internet": (
        "import requests\n"
        "def double(n):\n"
        "    try:\n"
        "        return requests.get('http://example.com/').json()\n"
        "    except Exception:\n"
        "        return 4",
        PLAIN,
        [
            "tried to reach example.com on the internet",
            "STEM.py:4: return requests.get(",
        ],
    ),
    "internet_async": (
        "import httpx\n"
        "async def double(n):\n"
        "    async with httpx.AsyncClient() as client:\n"
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
        (
            "import os, requests\n"
            "requests.get(os.environ['OPENAI_BASE_URL'], timeout=1)\n"
        )
        + GOOD,
        PLAIN + "\n    assert server.records == []",
        [],
    ),
    # The first cell of a notebook of the course, and what one tries at its end.
    "own_server": (
        "from endpoint import choose_endpoint\n"
        "from mock_server import MockServer\n"
        "server = MockServer()\nserver.start()\nchoose_endpoint(server)\n"
        f"{ASKING}double(1)\n",
        PLAIN + "\n    assert len(server.records) == 1",
        [],
    ),
    "tried_out": (
        f"{ASKING}double(1)\n",
        PLAIN + "\n    assert len(server.records) == 1",
        [],
    ),
    "notebook_own_server": (
        notebook(
            "from endpoint import choose_endpoint\n"
            "from mock_server import MockServer\n"
            "server = MockServer()\nserver.start()\nchoose_endpoint(server)",
            ASKING,
            "double(1)",
        ),
        PLAIN + "\n    assert len(server.records) == 1",
        [],
    ),
    "internet_on_import": (
        ("import requests\nrequests.get('http://example.com/')\n") + GOOD,
        PLAIN,
        [
            "sends a request while it is imported expected: definitions "
            'only; move the rest under `if __name__ == "__'
        ],
    ),
    "asks_on_import": (
        ("n = input()\n") + GOOD,
        PLAIN,
        [
            "file calls input() while it is imported",
            "rest under `if __name__",
            "STEM.py:1: n = input()",
        ],
    ),
    "fails_on_import": (
        GOOD + ("double()"),
        PLAIN,
        ["missing 1 required positional argument", "STEM.py:3: double()"],
    ),
    "not_installed": (
        ("import requsts\n") + GOOD,
        PLAIN,
        ["requsts is not installed; did you mean requests? expected: import requests"],
    ),
    "not_installed_nor_known": (
        ("import nonsense_of_mine\n") + GOOD,
        PLAIN,
        [
            "nonsense_of_mine is not installed expected: `python -m pip "
            "install nonsense_of_mine`"
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
        (b"# a\n# \xe9\n") + GOOD.encode(),
        PLAIN,
        ["the file is not UTF-8 text; look at line 2", "save as UTF-8"],
    ),
    "utf16": (
        GOOD.encode("utf-16"),
        PLAIN,
        ["saved as UTF-16", "save as UTF-8"],
    ),
    "merge": (
        "def double(n):\n"
        "<<<<<<< HEAD\n"
        "    return 2 * n\n"
        "=======\n"
        "    return n + n\n"
        ">>>>>>> other\n",
        PLAIN,
        ["line 2 is a merge marker that git left", "STEM.py:2: <<<<<<< HEAD"],
    ),
    "bom_and_crlf": (
        (b"\xef\xbb\xbf") + GOOD.replace("\n", "\r\n").encode(),
        PLAIN,
        [],
    ),
    "latin_that_says_so": (
        "# -*- coding: latin-1 -*-\n# \xe9\n".encode("latin-1") + GOOD.encode(),
        PLAIN,
        [],
    ),
    "breakpoint": (
        "def double(n):\n    breakpoint()\n    return 2 * n\n",
        PLAIN,
        [],
    ),
    "prints": (
        ("print('hello')\n") + GOOD,
        PLAIN,
        [],
    ),
    "dataclass": (
        "from __future__ import annotations\n"
        "from dataclasses import dataclass, KW_ONLY\n"
        "@dataclass\n"
        "class A:\n"
        "    n: int\n"
        "    _: KW_ONLY\n"
        "    m: int = 2\n"
        "def double(n):\n"
        "    return A(n).n * A(n).m",
        PLAIN,
        [],
    ),
    "uses_a_file_beside_it": (
        "def double(n):\n    from helper import twice\n    return twice(n)",
        PLAIN,
        [],
    ),
    "async_is_fine": (
        "async def double(n):\n    return 2 * n",
        AWAITED,
        [],
    ),
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
        notebook() + ("}"),
        PLAIN,
        ["the file is not a notebook", "JSONDecodeError"],
    ),
    "no_answer": (
        "",
        PLAIN,
        ["there is no answers/STEM.py", "but a STEM_mine.py: rename it"],
    ),
    "folder": (
        "",
        PLAIN,
        ["we saw: answers/STEM.py is a folder, not a file"],
    ),
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
        "class ChatClient:\n"
        "    def __init__(self, url): self.url = url\n"
        "    def ask(self, text): return text",
        'server.on(path="/v1/models").reply(fault.delay(0.1) + '
        'fault.status(503), text="a")\n'
        '    client = call(answer, "ChatClient", server.base_url)\n'
        '    expect(call(client, "ask", server.url + "/get") == 4, '
        'expected="4")',
        [
            "server.on(path='/v1/models').reply(fault.delay(0.1) + "
            "fault.status(503), text='a')",
            "client = ChatClient(server.base_url); client.ask(server.url + '/get')",
        ],
    ),
    "printed": (
        "def double(n):\n    print('look', n)\n    return 5",
        PLAIN,
        ["it printed: look 2"],
    ),
}
# Where there is no hint: the file was not even loaded, or it was a slip.
NO_HINT = {
    "syntax",
    "name_error",
    "endless_import",
    "internet_on_import",
    "asks_on_import",
    "fails_on_import",
    "not_installed",
    "not_installed_nor_known",
    "latin",
    "utf16",
    "merge",
    "notebook_syntax",
    "notebook_asks",
    "notebook_of_nonsense",
    "no_answer",
    "folder",
    "folder_of_a_near_name",
}
STEMS = {name: f"{10 + place}_{name}" for place, name in enumerate(CASES)}


def copy_engine(root: Path) -> Path:
    """Copy to a folder what grades, without an exercise; return the folder."""
    for name in ("tests/grader", "lessons/course"):
        copy_folder(name, root, "test_*")
    (root / "tests" / "exercises").mkdir()
    for name in (
        "pyproject.toml",
        "tests/sanitize.cfg",
        "tests/__init__.py",
        "tests/conftest.py",
        "tests/exercises/__init__.py",
        "tests/exercises/conftest.py",
    ):
        shutil.copy(ROOT / name, root / name)
    return root


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the course with made-up exercises, and answers to them in answers/."""
    root = copy_engine(tmp_path_factory.mktemp("tree"))
    answers = root / "answers"
    answers.mkdir()
    (answers / "helper.py").write_text("def twice(n):\n    return 2 * n\n", "utf-8")
    for name, (text, body, _) in CASES.items():
        stem = STEMS[name]
        data = text.replace("STEM", stem).encode() if isinstance(text, str) else text
        ending = ".ipynb" if name.startswith("notebook") else ".py"
        file = stem + ending
        if name in ("no_answer", "folder_of_a_near_name"):
            file = f"{stem}_mine.py"
        if name.startswith("folder"):
            (answers / file).mkdir()
        else:
            (answers / file).write_bytes(data)
        test = DOUBLE.replace("BODY", body)
        if name == "internet_async":  # a busy machine takes long to load the client
            test = test.replace("limit(0.5)", "limit(5)")
        if name == "server_arguments":
            mark = "@pytest.mark.server(latency=0.01)\n@pytest.mark.limit"
            test = test.replace("@pytest.mark.limit", mark)
        if name == "async_is_fine":
            number = STEMS["dataclass"][:2]
            test += f'\ndef test_status_4{number}(answer):\n    """Nothing."""\n'
        file = root / "tests" / "exercises" / f"test_{stem}.py"
        file.write_text(test, encoding="utf-8")
    return root


def pytest_in(root: Path, *arguments: str) -> subprocess.CompletedProcess:
    """Run pytest in a copy of the course, without plugins: it starts faster so."""
    command = [sys.executable, "-m", "pytest", "-o", "addopts="]
    return subprocess.run(
        [*command, "-p", "no:cacheprovider", *arguments],
        cwd=root,
        env=environment(PYTEST_DISABLE_PLUGIN_AUTOLOAD="1", PYTEST_ADDOPTS=None),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=110,  # a test that hangs for 120 s ends the whole process
    )


@pytest.fixture(scope="module")
def graded(tree: Path) -> dict[str, Any]:
    """One run over all the made-up answers.

    done: what pytest returned. texts: what the author of each answer reads.
    results: what was found, by the same names.
    """
    options = ("--submission", "answers", "--junitxml=report.xml", "-q")
    done = pytest_in(tree, "tests/exercises", *options)
    report = (tree / "report.xml").read_text(encoding="utf-8")
    texts = {}
    for case in ElementTree.fromstring(report).iter("testcase"):
        properties = {
            one.get("name"): one.get("value") for one in case.iter("property")
        }
        assert {one.tag for one in case} <= {"properties", "failure", "system-out"}, (
            ElementTree.tostring(case)
        )
        texts[properties["exercise"]] = case.findtext("failure", "")
    results = {one.exercise: one for one in read_report(report)}
    return {"done": done, "texts": texts, "results": results}


@pytest.mark.parametrize("name", CASES)
def test_text(graded: dict[str, Any], name: str) -> None:
    """Each mistake has its own text, of 12 lines at most; the right is accepted."""
    stem, words = STEMS[name], CASES[name][2]
    text = graded["texts"].get(stem)
    assert text is not None, graded["done"].stdout[-3000:]
    for word in words:
        assert word.replace("STEM", stem) in " ".join(text.split()), (
            f"{word!r} is missing in:\n{text}"
        )
    assert bool(words) == bool(text), text
    if words:
        assert text.startswith(f"{stem}, 2 points: Twice 2 is 4.\n"), text
        which = "" if "we saw:     not started yet" in text else " first"
        hint = f"  hint:       python -m lessons hint {stem[:2]}{which}"
        assert text.endswith(hint) == (name not in NO_HINT), text
        assert ("hint:" in text) == (name not in NO_HINT), text
        assert len(text.splitlines()) <= 12
        assert "Traceback" not in text


@pytest.mark.parametrize("name", CASES)
def test_result_travels_whole(graded: dict[str, Any], name: str) -> None:
    """What a report holds as one property makes the same text as pytest has shown."""
    result = graded["results"][STEMS[name]]
    assert result.passed == (not result.kind) == (not CASES[name][2])
    if not result.passed:
        assert render(result) == graded["texts"][STEMS[name]]


def test_caret(graded: dict[str, Any]) -> None:
    """A caret stands below the place where the text stops being Python."""
    lines = graded["texts"][STEMS["syntax"]].splitlines()
    place = next(place for place, line in enumerate(lines) if "your line:" in line)
    assert lines[place + 1].index("^") == lines[place].rindex("*"), "\n".join(lines)


def test_run_as_a_whole(graded: dict[str, Any]) -> None:
    """It comes to its end, and the summary has all points and notes."""
    done = graded["done"]
    assert done.returncode == 1, done.stdout + done.stderr
    right = [name for name, (_, _, words) in CASES.items() if not words]
    tallied = dict(re.findall(r"(?m)^(\d\d_\w+) +(\d+) of +2 points$", done.stdout))
    assert tallied == {STEMS[name]: "2" if name in right else "0" for name in CASES}
    assert "Traceback" not in done.stdout
    assert "Note: your file prints when it is imported" in done.stdout
    assert f"answers/{STEMS['prints']}.py:1: print('hello')" in done.stdout
    assert (
        "Note: code cell 4 failed: ZeroDivisionError: division by zero; it does not "
        "count, but clean it up"
    ) in " ".join(done.stdout.split())


def test_with_several_processes(tree: Path) -> None:
    """As an instructor calls it, there are texts and points, and there is an end."""
    names = ("waits_for_threads", "catches_all", "dataclass")
    files = [f"tests/exercises/test_{STEMS[name]}.py" for name in names]
    options = ("-p", "xdist", "-n", "2", "--dist=loadfile")
    folder = str(tree / "answers")
    done = pytest_in(tree, *files, "--submission", folder, *options)
    assert done.returncode == 1, done.stdout + done.stderr
    assert re.findall(r"(?m)^\d\d_(\w+?) +(\d) of +2 points$", done.stdout) == [
        ("catches_all", "0"),
        ("waits_for_threads", "0"),
        ("dataclass", "2"),
    ]
    assert done.stdout.count("no end after 0.5 s") == 2
    assert "2 not right yet" in done.stdout


def test_one_file(tree: Path) -> None:
    """Of one answer, only the tests of its exercise are run."""
    file = f"answers/{STEMS['wrong_value']}.py"
    done = pytest_in(tree, "tests/exercises", "--submission", file)
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stdout.count("of   2 points") == 1, done.stdout


def test_number_of_an_exercise(tree: Path) -> None:
    """`-k 45` means exercise 45, not every test with these digits in its name."""
    options = ("--submission", "answers", "-k", STEMS["dataclass"][:2])
    done = pytest_in(tree, "tests/exercises", *options)
    assert (done.returncode, done.stdout.count("of   2 points")) == (0, 1), done.stdout
    assert "1 passed" in done.stdout


def test_tracebacks_for_those_who_write_tests(tree: Path) -> None:
    """With --tb, pytest's own traceback is shown, down to the line of the answer."""
    file = f"tests/exercises/test_{STEMS['raises']}.py"
    done = pytest_in(tree, file, "--submission", "answers", "--tb=short")
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


# For each answer: what it holds, and after how many seconds each of five tests ends it.
ENDLESS = {
    "import": (
        "with open('loaded.txt', 'a') as file:\n"
        "    file.write('once ')\n"
        "while True: pass",
        ["0.5 s"] * 5,
    ),
    "nothing passes": (
        "def double(n):\n    while n < 4: pass\n    return 2 * n",
        ["0.5 s", "0.5 s", "0.1 s", "0.1 s", ""],
    ),
    "something passes": (
        "import time\n"
        "def double(n):\n"
        "    while n in (1, 2): pass\n"
        "    time.sleep(0.2)\n"
        "    return 2 * n",
        ["", "0.5 s", "0.5 s", "", ""],
    ),
    "catches everything": (
        "import os, requests\n"
        "def double(n):\n"
        "    url = os.environ['OPENAI_BASE_URL'] + '/models'\n"
        "    while True:\n"
        "        try:\n"
        "            requests.get(url).json()['nothing']\n"
        "        except:\n"
        "            pass",
        ["0.5 s", "0.5 s", "0.1 s", "0.1 s", "0.1 s"],
    ),
}


@pytest.fixture(scope="module")
def endless(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """One run over the answers that never end: the folder, and what was printed."""
    root = copy_engine(tmp_path_factory.mktemp("endless"))
    (root / "answers").mkdir()
    mark = "@pytest.mark.parametrize('n', range(5))\n@pytest.mark.limit"
    test = DOUBLE.replace("@pytest.mark.limit", mark)
    test = test.replace("(answer, server)", "(answer, server, n)")
    test = test.replace("BODY", PLAIN.replace("2", "n").replace("4", "2 * n", 1))
    for number, (answer, _) in enumerate(ENDLESS.values(), 1):
        (root / "answers" / f"{number:02}_answer.py").write_text(answer)
        file = root / "tests" / "exercises" / f"test_{number:02}_answer.py"
        file.write_text(test)
    options = ("--submission", "answers", "--junitxml=report.xml")
    done = pytest_in(root, "tests/exercises", *options)
    return root, done.stdout + done.stderr


@pytest.mark.parametrize("name", ENDLESS)
def test_answers_that_never_end(endless: tuple[Path, str], name: str) -> None:
    """What cannot be loaded is tried once; an answer without points gets less time."""
    root, said = endless
    assert "Traceback" not in said and "Warning" not in said, said
    file = f"test_{[*ENDLESS].index(name) + 1:02}_answer"
    cases = ElementTree.parse(root / "report.xml").iter("testcase")
    mine = [case for case in cases if case.get("classname").endswith(file)]
    texts = [case.findtext("failure", "") for case in mine]
    ends = ["".join(re.findall("no end after (0.[15] s)", text)) for text in texts]
    assert ends == ENDLESS[name][1], "\n".join(texts)
    assert (root / "loaded.txt").read_text() == "once "


# Answers that use the course's own code, whose names stand in the text of the file.
NAMED = {
    "import": "import robust_client",
    "import_of_a_submodule": "import os, robust_client.errors as errors",
    "from": "from robust_client.errors import APIError",
    "from_lessons": "from lessons import robust_client",
    "in_a_function": "def other():\n    from robust_client import errors",
    "importlib": "import importlib\nimportlib.import_module('robust_client.errors')",
    "dunder_import": "def other():\n    __import__('solutions')",
    "solution": "def other():\n    import_module('solutions.03_solution')",
    "path": "PATH = 'solutions/03_path.py'",
    "path_of_a_module": "PATH = r'..\\lessons\\robust_client\\errors.py'",
    "notebook_import": notebook("x = 1", "import robust_client"),
}
# Those that find it while they are loaded,
LOADED = {
    "computed": "__import__('robust_' + 'client')",
    "helper": "import borrowing_helper",
    "swallowed": (
        "try:\n    exec('import robust_client')\nexcept BaseException:\n    pass"
    ),
    "notebook_computed": notebook("import os", "exec('import robust_client.errors')"),
}
# and those to the last exercise that use what its own lesson builds.
LAST = {
    "09_store": "from robust_client import store",
    "09_in_it": "from robust_client.store import Store",
    "09_computed": "exec('import robust_client.sto' + 're')",
    "09_calls": "def borrow():\n    exec('import robust_client.sto' + 're')",
}
# and those that do so in a function, when one of three tests calls it.
CALLED = {
    "called": "import importlib\n"
    "def borrow():\n"
    "    importlib.import_module('robust_' + 'client')",
    "called_and_swallowed": "def borrow():\n"
    "    try:\n"
    "        exec('import robust_client.errors')\n"
    "    except BaseException:\n"
    "        pass",
    "read": "def borrow():\n    exec(open('solu' + 'tions/03_read.py').read())",
    "loaded_by_path": "from importlib.util import *\n"
    "def borrow():\n"
    "    path = 'lessons/robust_' + 'client/errors.py'\n"
    "    spec = spec_from_file_location('errors', path)\n"
    "    spec.loader.exec_module(module_from_spec(spec))",
}
# What only looks so.
ALLOWED = {
    "03_own_work": '"""Like robust_client."""\nWHY = "There are no solutions."\n',
    "09_uses": "from robust_client import errors\nSTORE = 'store'",
}
BORROWING = """
import sys
import pytest
from tests.grader.steps import call, expect

sys.path.insert(0, "lessons")
import robust_client.errors, robust_client.store  # so they are in sys.modules already

@pytest.mark.points(2)
@pytest.mark.parametrize("name", ["double", "borrow", "double"])
def test_double(answer, name):
    call(answer, name)
"""


@pytest.fixture(scope="module")
def borrowed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Runs over answers that use the course's own code, and over the references.

    There are the results by the name of the folder, and the output beside them.
    """
    root = copy_engine(tmp_path_factory.mktemp("borrowed"))
    folders = ["answers", "solutions", "lessons/robust_client"]
    answers, solutions, package = (root / name for name in folders)
    for folder in (answers, solutions, package):
        folder.mkdir()
    for name in ("__init__.py", "errors.py", "store.py"):
        (package / name).touch()
    (answers / "borrowing_helper.py").write_text("import robust_client.errors")
    own = "def double():\n    return 4\ndef borrow():\n    return 4\n"
    forms = {f"03_{name}": code for name, code in {**NAMED, **LOADED, **CALLED}.items()}
    for stem, code in {**forms, **LAST, **ALLOWED}.items():
        if code.startswith("{"):
            (answers / f"{stem}.ipynb").write_text(code)
        else:
            (answers / f"{stem}.py").write_text(f"{own}{code}\n")
        (solutions / f"{stem}.py").write_text(own)
        (root / "tests" / "exercises" / f"test_{stem}.py").write_text(BORROWING)
    results = {}
    for folder in ("answers", "solutions"):
        options = ("--submission", folder, "--junitxml=report.xml")
        done = pytest_in(root, "tests/exercises", *options)
        results[folder] = read_report((root / "report.xml").read_text("utf-8"))
        results[f"output of {folder}"] = done.stdout
    return results


@pytest.mark.parametrize("name", [*NAMED, *LOADED, *CALLED])
def test_borrowed_code(borrowed: dict[str, Any], name: str) -> None:
    """An answer that uses the course's own code gets a sentence and no points."""
    stem = f"03_{name}"
    results = [one for one in borrowed["answers"] if one.exercise == stem]
    # What a function loads is known only once a test has called it.
    first = "" if name in CALLED else "borrowed"
    assert [one.kind for one in results] == [first, "borrowed", "borrowed"], results
    verdict = results[-1]
    whose = "solutions" if "solutions" in verdict.saw else "robust_client"
    assert verdict.saw == f"your answer uses {whose}, so it gets no points"
    assert verdict.expected.startswith("code of your own; "), verdict.expected
    assert f"answers/{stem}." in verdict.line, verdict.line
    assert f"{stem:24}  0 of   6 points" in borrowed["output of answers"]


@pytest.mark.parametrize("stem", LAST)
def test_code_of_the_last_lesson(borrowed: dict[str, Any], stem: str) -> None:
    """What lesson 09 builds is no answer to exercise 09."""
    verdict = [one for one in borrowed["answers"] if one.exercise == stem][-1]
    assert verdict.kind == "borrowed"
    assert "your answer uses robust_client.store, so" in verdict.saw, verdict.saw


@pytest.mark.parametrize("stem", ALLOWED)
def test_code_that_is_not_borrowed(borrowed: dict[str, Any], stem: str) -> None:
    """A name in a text is no import, and exercise 09 may use lessons 03 to 08."""
    results = [one for one in borrowed["answers"] if one.exercise == stem]
    assert [one.passed for one in results] == [True] * 3, results


def test_references_may_be_graded(borrowed: dict[str, Any]) -> None:
    """The reference answers are in a folder that others must not open."""
    assert all(one.passed for one in borrowed["solutions"]), borrowed["solutions"]


def test_broken_test(tmp_path: Path) -> None:
    """A test that fails by itself is told apart from an answer that is not right."""
    root = copy_engine(tmp_path)
    (root / "answers").mkdir()
    (root / "answers" / "01_a.py").write_text(GOOD)
    test = DOUBLE.replace("(answer, server)", "(answer, server, nonsense)")
    (root / "tests" / "exercises" / "test_01_a.py").write_text(test)
    options = ("--submission", "answers", "--junitxml=report.xml")
    pytest_in(root, "tests/exercises", *options)
    (result,) = read_report((root / "report.xml").read_text("utf-8"))
    assert (result.kind, result.passed, result.points) == (BROKEN, False, 2)
    assert render(result).startswith("01_a: the test broke down\n")
    assert "fixture 'nonsense' not found" in render(result)


def test_installed_packages_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a missing package may have been meant for is looked up once."""
    asked = []
    monkeypatch.setattr(
        diagnosis.importlib.metadata,
        "packages_distributions",
        lambda: asked.append(1) or {"numpy": []},
    )
    for _ in range(3):
        found = diagnosis._not_installed(ModuleNotFoundError(name="numpyyy.linalg"))
        assert found.saw.endswith("; did you mean numpy?")
        assert found.expected == "import numpy"
    assert len(asked) == 1


def test_what_holds_all_threads_back() -> None:
    """What no thread can be stopped in ends the process, and says where it was."""
    code = """
    import re
    from tests.grader import sandbox

    def match():
        re.match("(a+)+$", "a" * 64 + "b")

    sandbox._PATIENCE = 0.2
    sandbox.run_limited(match, 0.1, log=2)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
        timeout=30,
    )
    assert done.returncode == 1
    assert "Timeout" in done.stderr and "in match" in done.stderr, done.stderr


def test_summary_of_nothing() -> None:
    """Without failures there is nothing to explain."""
    assert explain([Result("01_a", points=2, passed=True)]) == []


WAITING = Result(
    "01_a", "It is begun.", saw="not started", hint="x", kind="not started", points=3
)
WRONG = Result("01_a", "It is " + "right " * 20, saw="5", kind="wrong", points=2)
ASKS = [
    Result("01_a", f"It is {n}.", saw="it asks", kind="input", points=1)
    for n in range(4)
]


def also(results: list[Result]) -> list[str]:
    """Return what is said about the failures after the first."""
    lines = explain(results)
    told = render(next(one for one in results if not one.passed)).splitlines()
    assert lines[: len(told)] == told
    assert lines[len(told) : len(told) + 2] == ["", "Also not right yet:"]
    return lines[len(told) + 2 :]


def test_summary() -> None:
    """The first failure is told in full, the others in a line each."""
    right = Result("01_a", points=1, passed=True)
    line, *rest = also([right, WAITING, WRONG, WAITING, WAITING])
    assert line.startswith("- It is right right") and line.endswith(" right…")
    assert 70 < len(line) <= 80
    assert rest == ["- 2 more tests: not started"]


def test_summary_of_equal_titles() -> None:
    """Tests with one title share a line; what two saw by chance is no common cause."""
    other = WRONG._replace(title="It is 5.")
    line, *rest = also([WAITING, WRONG, WRONG._replace(points=1), other])
    assert line.startswith("- It is right right") and line.endswith("… (2 tests)")
    assert 70 < len(line) <= 80
    assert rest == ["- It is 5."]


def test_summary_of_one_cause() -> None:
    """Tests that failed for one cause share a line, whatever they waited for."""
    assert also(ASKS) == ["- 3 more tests: it asks"]
    assert also([WAITING, ASKS[0]]) == ["- It is 0."], "one test is told by its title"
    other = WAITING._replace(saw="it asks", kind="wrong exception")
    assert also([*ASKS[:2], other]) == ["- 2 more tests: it asks"]
    ends = [
        one._replace(saw=f"no end after {n} s", kind="time limit")
        for n, one in enumerate(ASKS)
    ]
    assert also(ends) == ["- 3 more tests: no end within the time limit"]


def test_tally() -> None:
    """The points of each exercise are added up; who borrows has none."""
    right = Result("01_a", points=4, passed=True)
    assert tally([right._replace(exercise="02_b"), WAITING, right]) == [
        "02_b                      4 of   4 points",
        "01_a                      4 of   7 points",
    ]
    assert tally([right, WAITING._replace(kind="borrowed")]) == [
        "01_a                      0 of   7 points"
    ]


@pytest.mark.parametrize(
    ("arguments", "keyword", "answers", "expected"),
    [
        (["tests/exercises"], "01", "solutions", True),
        (["tests/exercises"], "", "solutions/01_basic_get.py", True),
        (["tests/exercises/test_01_basic_get.py::test_body"], "", "solutions", True),
        (["tests/exercises"], "", "solutions", False),
        (
            ["tests/exercises/test_01_a.py", "tests/exercises/test_02_b.py"],
            "",
            "",
            False,
        ),
        (["tests/exercises"], "01 or 02", "solutions", False),
        (["tests"], "01", "solutions", False),
    ],
)
def test_one_exercise_starts_no_processes(
    arguments: list[str], keyword: str, answers: str, expected: bool
) -> None:
    """It is seen from the command line whether one exercise is graded only."""
    options = {"keyword": keyword, "--submission": answers}
    config = SimpleNamespace(
        rootpath=ROOT,
        args=arguments,
        getoption=options.get,
        invocation_params=SimpleNamespace(dir=ROOT),
    )
    assert plugin.is_one_exercise(config) == expected


def test_core_and_further() -> None:
    """The points of the core and the further ones are told apart, the core first."""
    core = Result("01_a", title="the core", points=14, passed=True)
    more = Result("01_a", title="more", points=6, is_further=True)
    assert describe_points([more, core]) == (
        "Core: 14 of 14. Further: 0 of 6, if you like."
    )
    full = [core, more._replace(passed=True)]
    assert describe_points(full) == "Core: 14 of 14. Further: 6 of 6."
    assert has_core([more, core]) and not has_core([more, core._replace(passed=False)])
    borrowed = [core, more._replace(kind="borrowed")]
    assert not has_core(borrowed) and score(borrowed, further=False) == (0, 14)
    assert tally([core, more]) == [
        "01_a                     14 of  20 points: core 14 of 14, further 0 of 6"
    ]
    told = explain([more, core._replace(passed=False)])
    assert told[0] == "01_a, 14 points: the core", told
    assert told[-1] == "- more", told
    assert explain([more])[0] == "01_a, 6 further points: more"


def test_notes() -> None:
    """Notes come last, each once, in 80 columns and after a blank line."""
    long = "word " * 20 + "end"
    noted = Result(
        "01_a", passed=True, notes=(f"{long}\n    a line of the answer", "b")
    )
    lines = explain([noted, noted])
    assert lines == [
        *textwrap.wrap(f"Note: {long}", 80),
        "    a line of the answer",
        "",
        "Note: b",
    ]
    wrong = WRONG._replace(notes=noted.notes)
    assert explain([wrong]) == [*render(wrong).splitlines(), "", *lines]


def test_result_as_json() -> None:
    """A result comes back as it was, from one line of ASCII, whatever is in it."""
    result = WRONG._replace(saw="é 👋 \x00\x1b\ud800\n<&\"'>", notes=("a\nb", "c"))
    text = result.to_json()
    assert Result.from_json(text) == result
    assert text.isascii() and text.isprintable()


def test_line_to_copy() -> None:
    """Equal steps become a loop, and the step that made an object stays."""

    class Door:
        def open(self, *_: object) -> None:
            pass

    log.begin()
    options = {
        "keys": (KeyError, 2),
        "note": [].append,
        "rng": random.Random(),
        "names": (name for name in "abc"),
    }
    call(SimpleNamespace(Door=lambda **_: Door()), "Door", **options)
    shown = "keys=(KeyError, 2), note=[].append, rng=Random(), names=<genexpr>()"
    assert log.text() == f"Door({shown})"
    log.begin()
    door = call(SimpleNamespace(Door=Door), "Door")
    for _ in range(30):
        call(door, "open")
    assert log.text() == "door = Door(); [door.open() for _ in range(30)]"
    for number in range(30):
        call(door, "open", number)
    text = log.text()
    assert text.startswith("door = Door(); door.open(")
    assert text.endswith("; door.open(28); door.open(29)")
    assert 350 < len(text) <= 400


def test_only_the_failing_input_is_named() -> None:
    """Of calls of one function, the last is told, with what was prepared for it."""

    class Server:
        pass

    answer = SimpleNamespace(get=lambda *_: None, ask=lambda *_: None, Client=Server)
    log.begin()
    for text in ("one", "two", "three"):
        call(answer, "get", text)
    assert log.text() == "get('three')", "earlier inputs have nothing to do with it"
    log.begin()
    log.steps.append("server.on().reply(text='a')")
    for number in (1, 2):
        log.steps.append(f"server.script({number})")
        call(answer, "ask", number)
    assert log.text() == "server.on().reply(text='a'); server.script(2); ask(2)"
    log.begin()
    log.steps.append("server.script(1, 2)")
    for number in (1, 2):
        call(answer, "ask", number)
    assert log.text() == "server.script(1, 2); ask(1); ask(2)", (
        "the first call took the first fault"
    )
    log.begin()
    call(answer, "Client")
    call(answer, "Client")
    assert log.text() == "server = Client(); server = Client()", "both may matter"


@pytest.mark.parametrize(
    "values",
    [
        [f"Question {number}" for number in range(150)],
        [bytes([letter]) for letter in "data: é\n\ndata: 你好 and some more".encode()],
        [b"data: ", b"some m", b"ore th", b"an a h", b"undred", b" bytes"] * 3 + [b"!"],
    ],
)
def test_long_list_to_copy(values: list[Any]) -> None:
    """A long list is shown as a line of Python that makes it, whole."""
    log.begin()
    shown = log.show(values)
    assert len(shown) < 240 and eval(shown) == values, shown


def test_no_word_is_cut() -> None:
    """A text that is too long ends with a whole word, if it has more than one."""
    assert clip("never cut a word", 13) == "never cut a…"
    assert clip("never cut", 8) == "never…"
    assert clip("Unfortunately", 8) == "Unfortu…"


def test_a_slip_has_no_hint() -> None:
    """A name that is not known is told without a hint, which would be about the test's
    subject.
    """
    assert "hint:" in render(WRONG)
    assert "hint:" not in render(WRONG._replace(kind=NAME))


@pytest.mark.parametrize(
    ("result", "label"),
    [
        (Result("05_a", "T"), "hint"),
        (Result("05_a", "word " * 60, did="d" * 999, saw="s " * 999), "hint"),
        (
            Result(
                "05_a",
                "t",
                saw="s " * 999,
                expected="e " * 999,
                line="a\nb\nc",
                printed="p\n" * 99,
            ),
            "it printed",
        ),
    ],
)
def test_texts_are_short(result: Result, label: str) -> None:
    """However much there is to say, it takes 12 lines at most; what is cut ends so."""
    text = render(result)
    assert len(text.splitlines()) <= 12
    assert text.splitlines()[1].endswith(" …") == (len(result.title) > 99)
    assert label in text
