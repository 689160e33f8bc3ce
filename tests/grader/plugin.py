"""The pytest plugin that grades.

It knows the option `--submission`, gives each test of tests/exercises its answer, its
server and its points, runs it within limits, and reports a Result for it.
"""

from __future__ import annotations

import inspect
import os
import re
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
from mock_server import MockServer

from lessons.course.exercises import ROOT
from lessons.course.results import BORROWED, BROKEN, Result, explain, render, tally

from . import sandbox
from .answer import Answer, find
from .diagnosis import NotRight, judge
from .steps import log, logged_server

FOLDER = ROOT / "tests" / "exercises"
NOT_RIGHT = "not right yet"
SETTINGS = ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_MODEL")
_STEM = re.compile(r"test_(\d\d_\w+)")


def submission(config: pytest.Config) -> Path:
    """Return the folder, or the one file, to grade.

    A relative name is looked up here, and then in the repository. Raises UsageError if
    it is in neither.
    """
    name = config.getoption("--submission")
    for base in (config.invocation_params.dir, ROOT):
        if (base / name).exists():
            return base / name
    if name == "solutions":
        return ROOT / name
    raise pytest.UsageError(
        f"--submission: there is no {name} here or in the repository"
    )


def refuse_plugins(config: pytest.Config) -> None:
    """Raise UsageError if a plugin or setting may come from a hand-in.

    Settings in the environment may name plugins, too.
    """
    path = submission(config)
    if path == ROOT / "solutions":
        return
    folder = (path if path.is_dir() else path.parent).resolve()
    files = [
        getattr(one, "__file__", None) for one in config.pluginmanager.get_plugins()
    ]
    for file in filter(None, [*files, config.inipath]):
        if folder == Path(file).resolve().parent:
            name = Path(file).name
            raise pytest.UsageError(
                f"--submission: pytest has read the {name} of the hand-in, so nothing "
                f"it says counts; move that file away, or write --submission={path}"
            )
    plugins = os.environ.get("PYTEST_PLUGINS")
    if plugins or re.search(r"(^|\s)-p", os.environ.get("PYTEST_ADDOPTS", "")):
        raise pytest.UsageError(
            "--submission: the environment names plugins for pytest, and those could "
            "change what the tests say; unset PYTEST_PLUGINS and PYTEST_ADDOPTS"
        )


def exercise_of(path: Path) -> str:
    """Return the exercise of a test file: 05_topic for test_05_topic.py."""
    found = _STEM.fullmatch(path.stem)
    if not found:
        raise ValueError(f"{path.name} is not named after an exercise")
    return found[1]


def is_one_exercise(config: pytest.Config) -> bool:
    """Say whether the command line asks for the tests of one exercise only."""
    paths = [config.rootpath / one.partition("::")[0] for one in config.args]
    if not all(path == FOLDER or FOLDER in path.parents for path in paths):
        return False
    is_chosen = re.fullmatch(r"\d\d", config.getoption("keyword"))
    is_file = len(paths) == 1 and paths != [FOLDER]
    return bool(is_chosen) or is_file or submission(config).is_file()


def result_of(report: pytest.TestReport) -> Result | None:
    """Return the Result in a report; None if it has none, or is about a setup only."""
    # A file that could not be collected has no properties.
    properties = dict(getattr(report, "user_properties", ()))
    if "result" not in properties or (report.when != "call" and not report.failed):
        return None
    return Result.from_json(properties["result"])


# --- what a test of an exercise is given: tests/exercises/conftest.py plugs it in ---


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Iterator[MockServer]:
    """A fresh server for one test.

    `@pytest.mark.server(latency=0.02)` gives it arguments.
    """
    marker = request.node.get_closest_marker("server")
    with logged_server(marker.kwargs if marker else {}) as fresh:
        yield fresh


@pytest.fixture(autouse=True)
def environment(server: MockServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of an answer: the server of this test, no proxy, no debugger."""
    values = (server.api_key, server.base_url, "mock-small")
    for name, value in zip(SETTINGS, values, strict=True):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PYTHONBREAKPOINT", "0")  # nobody is there to type at a prompt
    for name in list(os.environ):
        if name.lower().endswith("_proxy") and name.lower() != "no_proxy":
            monkeypatch.delenv(name)


@pytest.fixture
def answer(request: pytest.FixtureRequest) -> Answer:
    """The answer to the exercise that the test file is named after.

    It is loaded when the test begins.
    """
    path, stem = submission(request.config), exercise_of(request.path)
    shown = _shown(path, request.config.invocation_params.dir)
    return find(path, stem, shown) if path.is_dir() else Answer(stem, path, shown)


def _shown(path: Path, here: Path) -> str:
    """Return how to call a file in a message: from here, or from the repository."""
    for base in (here, ROOT):
        if path.is_relative_to(base):
            return path.relative_to(base).as_posix()
    return os.path.relpath(path, here).replace(os.sep, "/")


# --- what pytest asks while it runs ---


class Grading:
    """Runs the tests of the exercises, and reports what they found.

    With xdist there is one in every process, and one in the process that reports.
    """

    def __init__(self, config: pytest.Config) -> None:
        # Refuses a folder that is not there, before any other process is begun.
        submission(config)
        self.config = config
        self.status: int | None = None
        # What the tests that have run, but were not reported yet, found.
        self.results: dict[str, Result] = {}
        # Verdicts on an answer that hold for all tests that are still to come.
        self.final: dict[str, Result] = {}
        # How many tests of an exercise had to be stopped, and how many passed.
        self.stopped: Counter[str] = Counter()
        self.passed: Counter[str] = Counter()
        # Where the last word of a process goes that had to be ended.
        capture = config.pluginmanager.get_plugin("capturemanager")
        with capture.global_and_fixture_disabled():
            self.stderr = os.dup(2)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Give each test its points, and leave out other exercises than the wanted."""
        own = [item for item in items if FOLDER in item.path.parents]
        if not own:
            return
        path, chosen = submission(self.config), self.config.getoption("keyword")
        wanted = own
        if path.is_file():
            name = f"{path.parent.name}/{path.name}"
            wanted = [item for item in own if exercise_of(item.path) in name]
        elif re.fullmatch(r"\d\d", chosen):
            # An exercise. For pytest, -k 04 means test_status[404] as well.
            wanted = [item for item in own if exercise_of(item.path)[:2] == chosen]
        others = [item for item in own if item not in wanted]
        if others:
            items[:] = [item for item in items if item not in others]
            self.config.hook.pytest_deselected(items=others)
        for item in own:
            test = _describe(item)
            item.user_properties.append(("exercise", test.exercise))
            item.user_properties.append(("points", test.points))

    @pytest.hookimpl(tryfirst=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> bool | None:
        """Load the answer and run the test on it; raise NotRight if it fails."""
        given = pyfuncitem.funcargs.get("answer")
        if not isinstance(given, Answer):
            return None
        test, stem = _describe(pyfuncitem), given.stem
        if final := self.final.get(stem):
            own = {"points": test.points, "is_further": test.is_further}
            self._fail(pyfuncitem, final._replace(title=test.title, **own))
        wanted = inspect.signature(pyfuncitem.obj).parameters
        arguments = {name: pyfuncitem.funcargs[name] for name in wanted}
        marker = pyfuncitem.get_closest_marker("limit")
        seconds = marker.args[0] if marker else sandbox.SECONDS
        if self.stopped[stem] >= 2 and not self.passed[stem]:
            # An answer that never ends would take minutes; most tests take under 0.3 s.
            seconds *= 0.2

        server = pyfuncitem.funcargs["server"]
        settings = {name: os.environ[name] for name in SETTINGS}
        test_function = pyfuncitem.obj  # as it is before the answer's code runs

        def run() -> None:
            with given.loaded():
                # It may have tried things out, and chosen another server for that.
                os.environ.update(settings)
                if server.records:
                    given.note_requests()
                    server.reset()
                test_function(**arguments)

        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            outcome = sandbox.run_limited(run, seconds, self.stderr, given.forbidden)
        error, is_stopped = outcome.error, isinstance(outcome.error, sandbox.TimeLimit)
        self.stopped[stem] += is_stopped
        if isinstance(error, pytest.skip.Exception) and not given.passes(error):
            raise error  # the test itself cannot run here
        test = test._replace(notes=tuple(given.notes))
        if not error and not outcome.tried:
            self.passed[stem] += 1
            self.results[pyfuncitem.nodeid] = test._replace(passed=True)
            return True
        verdict = judge(test, outcome, given, log, seconds, caught)
        is_never_loaded = is_stopped and not given.is_loaded and not self.passed[stem]
        if is_never_loaded or verdict.kind == BORROWED:
            self.final[stem] = verdict
        self._fail(pyfuncitem, verdict, error)

    def _fail(
        self, item: pytest.Item, result: Result, error: BaseException | None = None
    ) -> NoReturn:
        """Keep a result for the report, and fail the test."""
        self.results[item.nodeid] = result
        if self.config.getoption("tbstyle") == "auto":
            # A traceback that nobody will see takes longer than most tests.
            item.repr_failure = lambda _: ""
        raise NotRight(result) from error

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Any:
        """Report a Result, with the learner's text unless --tb asks for a traceback."""
        report = yield
        result = self.results.pop(item.nodeid, None)
        is_over = report.when == "call" or report.failed
        if FOLDER not in item.path.parents or not is_over:
            return report
        item.__dict__.pop("repr_failure", None)
        if result is None:
            result = _describe(item)._replace(passed=report.passed)
            if not report.passed:
                result = result._replace(kind=BROKEN, saw=report.longreprtext)
        if not result.passed and result.kind != BROKEN:
            end = report.capstdout.splitlines()[-2:]
            result = result._replace(printed="\n".join(end))
            if self.config.getoption("tbstyle") == "auto":
                report.longrepr = render(result)
        found = [("kind", result.kind)] if result.kind else []
        found.append(("result", result.to_json()))
        item.user_properties += found  # --junitxml takes these
        report.user_properties += found
        return report

    def pytest_report_teststatus(
        self, report: pytest.TestReport
    ) -> tuple[str, str, str] | None:
        """Count an answer that is not right under a name of its own.

        Its text is not shown among the tracebacks then.
        """
        if report.failed and isinstance(report.longrepr, str) and result_of(report):
            return NOT_RIGHT, "F", NOT_RIGHT.upper()
        return None

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Print for each exercise what is not right yet, and then the points."""
        stats = terminalreporter.stats
        keys = ("passed", "failed", NOT_RIGHT)
        reports = [report for key in keys for report in stats.get(key, [])]
        results = [result for report in reports if (result := result_of(report))]
        results.sort(key=lambda result: result.exercise)
        is_right = all(result.passed for result in results)
        if not results or (is_right and len(results) < len(reports) / 2):
            return  # a run of the whole repository: nothing to say
        terminalreporter.section("exercises")
        for exercise in dict.fromkeys(result.exercise for result in results):
            lines = explain([one for one in results if one.exercise == exercise])
            if lines:
                terminalreporter.write_line("\n".join([*lines, ""]))
        terminalreporter.write_line("\n".join(tally(results)))

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, exitstatus: int) -> None:
        """Remember the exit status for pytest_unconfigure."""
        self.status = int(exitstatus)

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self) -> None:
        """End the process where an answer left threads that never end.

        Python would wait for them.
        """
        if self.status is not None and sandbox.is_stuck():
            sys.stdout.flush()
            os._exit(self.status)
        os.close(self.stderr)


def _describe(item: pytest.Item) -> Result:
    """Return what is known of a test before it runs."""
    marker = item.get_closest_marker("points")
    docstring = inspect.getdoc(item.obj) or item.name
    return Result(
        exercise=exercise_of(item.path),
        title=" ".join(docstring.partition("\n\n")[0].split()),
        hint=marker.kwargs.get("hint", "") if marker else "",
        points=marker.args[0] if marker else 0,
        is_further=bool(marker and marker.kwargs.get("further")),
    )
