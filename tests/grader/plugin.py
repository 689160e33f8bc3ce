"""The pytest plugin that grades: `--submission`, points per test, the learner's text
for a failure, and the summary.
"""

from __future__ import annotations

import os
import re
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lessons.course.results import Result, explain, tally

from . import sandbox

if TYPE_CHECKING:
    from .answers import Answer
    from .feedback import Feedback

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "tests" / "exercises"
NOT_RIGHT = "not right yet"
_STEM = re.compile(r"test_(\d\d_\w+)")


def add_options(parser: pytest.Parser) -> None:
    """Add --submission."""
    group = parser.getgroup("exercises")
    group.addoption(
        "--submission",
        default="solutions",
        metavar="DIR",
        help="the folder of answers to grade with tests/exercises, or one answer; default: solutions",
    )


def submission(config: pytest.Config) -> Path:
    """Return the folder, or the one file, to grade; a relative name is looked up here
    and then in the repository.
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


def exercise_of(path: Path) -> str:
    """Return the exercise that a test file is about: 05_error_classes for
    test_05_error_classes.py.
    """
    found = _STEM.fullmatch(path.stem)
    if not found:
        raise ValueError(f"{path.name} is not named after an exercise")
    return found[1]


def answer_for(config: pytest.Config, test_file: Path) -> Answer:
    """Return the answer that a test file judges."""
    from .answers import Answer, find

    path, stem = submission(config), exercise_of(test_file)
    shown = _shown(path, config)
    return find(path, stem, shown) if path.is_dir() else Answer(stem, path, shown)


def _shown(path: Path, config: pytest.Config) -> str:
    for base in (config.invocation_params.dir, ROOT):
        if path.is_relative_to(base):
            return path.relative_to(base).as_posix()
    return os.path.relpath(path, config.invocation_params.dir).replace(os.sep, "/")


class Grading:
    """What pytest asks while it runs, here and in the workers of xdist."""

    def __init__(self, config: pytest.Config) -> None:
        submission(
            config
        )  # refuses one that is not there, before any test or other process is begun
        self.config = config
        self.status: int | None = None
        self.stopped: Counter[str] = (
            Counter()
        )  # how many tests of an exercise had to be stopped
        self.passed: Counter[str] = Counter()  # how many of them passed
        self.endless: dict[
            str, Feedback
        ] = {}  # the verdict on an answer that could not even be loaded in time
        with config.pluginmanager.get_plugin(
            "capturemanager"
        ).global_and_fixture_disabled():
            self.stderr = os.dup(
                2
            )  # where the last word of a process goes that had to be ended

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Give each test its points; where one file is to be graded, leave the other
        exercises out.
        """
        own = [item for item in items if FOLDER in item.path.parents]
        if not own:
            return
        path, chosen = submission(self.config), self.config.getoption("keyword")
        others: list[pytest.Item] = []
        if path.is_file():
            others = [
                item
                for item in own
                if exercise_of(item.path) not in f"{path.parent.name}/{path.name}"
            ]
        elif re.fullmatch(
            r"\d\d", chosen
        ):  # an exercise; pytest also takes test_status[404] for -k 04
            others = [
                item for item in own if not exercise_of(item.path).startswith(chosen)
            ]
        if others:
            items[:] = [item for item in items if item not in others]
            self.config.hook.pytest_deselected(items=others)
        for item in own:
            marker = item.get_closest_marker("points")
            points = marker.args[0] if marker else 0
            item.user_properties += [
                ("exercise", exercise_of(item.path)),
                ("points", points),
            ]

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo
    ) -> Any:
        """Put the learner's text in the place of a traceback, unless --tb asks for one."""
        from .feedback import Feedback, render

        error = call.excinfo.value if call.excinfo else None
        if not isinstance(error, Feedback) or FOLDER not in item.path.parents:
            return (yield)
        is_for_learners = self.config.getoption("tbstyle") == "auto"
        if is_for_learners:
            item.repr_failure = lambda _: (
                ""
            )  # a traceback that nobody will see takes longer than most tests
        report = yield
        known = dict(item.user_properties)
        marker = item.get_closest_marker("points")
        error.hint = error.hint or (marker.kwargs.get("hint", "") if marker else "")
        stem, points = known["exercise"], known["points"]
        title = f"{stem}, {points} point{'s' * (points != 1)}: {error.title}"
        for properties in (
            item.user_properties,
            report.user_properties,
        ):  # --junitxml takes the former
            properties.append(("kind", error.kind))
        text = render(title, error, stem[:2], report.capstdout)
        report.user_properties.append(("text", text))
        if is_for_learners:
            report.longrepr = text
        return report

    def pytest_report_teststatus(
        self, report: pytest.TestReport
    ) -> tuple[str, str, str] | None:
        """Count a failed exercise under a name of its own, so that its text is not
        shown among the tracebacks.
        """
        if report.failed and isinstance(report.longrepr, str) and result_of(report):
            return NOT_RIGHT, "F", NOT_RIGHT.upper()
        return None

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Print for each exercise the first failure in full and the others a line each;
        then the points.
        """
        stats = terminalreporter.stats
        reports = [
            report
            for key in ("passed", "failed", NOT_RIGHT)
            for report in stats.get(key, [])
        ]
        results = sorted(
            filter(None, map(result_of, reports)), key=lambda result: result.exercise
        )
        if not results or (
            all(result.passed for result in results) and len(results) < len(reports) / 2
        ):
            return  # a run of the whole repository: nothing to say
        terminalreporter.section("exercises")
        for exercise in dict.fromkeys(result.exercise for result in results):
            if lines := explain(
                [result for result in results if result.exercise == exercise]
            ):
                terminalreporter.write_line("\n".join([*lines, ""]))
        terminalreporter.write_line("\n".join(tally(results)))

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self) -> None:
        """End the process where an answer left threads that never end; Python would
        wait for them.
        """
        if self.status is not None and sandbox.is_stuck():
            sys.stdout.flush()
            os._exit(self.status)
        os.close(self.stderr)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, exitstatus: int) -> None:
        """Remember the exit status for pytest_unconfigure."""
        self.status = int(exitstatus)


def result_of(report: pytest.TestReport) -> Result | None:
    """Return what a report says about an exercise; None if it is about something else."""
    properties = dict(
        getattr(report, "user_properties", ())
    )  # a file that could not be collected has none
    if "exercise" not in properties or (report.when != "call" and not report.failed):
        return None
    text = properties.get("text") or str(report.longrepr) if report.failed else ""
    notes = tuple(value for name, value in report.user_properties if name == "note")
    return Result(
        properties["exercise"],
        properties["points"],
        report.passed,
        text,
        properties.get("kind", ""),
        notes,
    )
