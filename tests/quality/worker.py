"""Grade the answers that the standard input names, a JSON object a line, and print each
grade as such a line.
"""

import json
import os
import sys

import pytest

from lessons.course.results import Result
from tests.grader import sandbox
from tests.grader.plugin import result_of

from .grader import ROOT

MEMORY = 3 << 30  # bytes: a mutant may collect without end


class Collector:
    """A pytest plugin that sends what the tests found as soon as they have run."""

    def __init__(self) -> None:
        self.results: dict[str, Result] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep what a test found."""
        if result := result_of(report):
            name = report.nodeid.rpartition("::")[2]
            self.results[name] = result

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, exitstatus: int) -> None:
        """Send the grade: now, since a thread that never ends can make the end of this
        process necessary.
        """
        trouble = (
            ""
            if exitstatus in (0, 1, 2) and self.results
            else f"pytest ended with status {int(exitstatus)}"
        )
        grade = {
            "results": {name: one.to_json() for name, one in self.results.items()},
            "trouble": trouble,
            "is_last": sandbox.is_stuck(),
        }
        print(json.dumps(grade), file=channel, flush=True)


def limit_memory() -> None:
    """Let this process have no more than MEMORY, where the system can see to that."""
    try:
        import resource
    except ImportError:  # Windows
        return
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


def main() -> None:
    """Serve until the standard input ends."""
    limit_memory()
    for line in sys.stdin:
        job = json.loads(line)
        test_file = ROOT / "tests" / "exercises" / f"test_{job['exercise']}.py"
        arguments = [
            *([f"{test_file}::{name}" for name in job["tests"]] or [str(test_file)]),
            f"--submission={job['path']}",
            "-o",
            "addopts=",
            "-q",
            "-p",
            "no:cacheprovider",
        ]
        arguments += [
            "-p",
            "no:unraisableexception",
        ]  # it tidies up the memory after every answer, which takes long
        pytest.main(
            [*arguments, *(["-x"] if job["stop_early"] else [])], plugins=[Collector()]
        )


if __name__ == "__main__":
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)  # what pytest and the answers print is not for the reader
    os.dup2(nowhere, 2)
    main()
