"""Grade the answers that the standard input names, a JSON object a line, and print each
grade as such a line.
"""

import gc
import json
import os
import threading
from typing import Any, TextIO

import pytest

from lessons.course.results import Result
from tests.grader import plugin

MEMORY = 3 << 30  # bytes: a mutant may collect without end


class Service:
    """A pytest plugin: collects all tests once, and runs those of each answer.

    To begin a session for each answer would take a fifth of the time.
    """

    def __init__(self, jobs: TextIO, grades: TextIO) -> None:
        self._jobs, self._grades = jobs, grades
        self.results: dict[str, Result] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Serve until there are no more jobs."""
        gc.freeze()  # what is here stays, and need not be looked through
        trouble = "pytest could not collect the tests" if session.testsfailed else ""
        for line in self._jobs:
            self.results = {}
            if not trouble:
                self._run(session, json.loads(line))
            results = {name: one.to_json() for name, one in self.results.items()}
            # What an answer left running would slow the next ones down.
            is_last = threading.active_count() > 1
            grade = {"results": results, "trouble": trouble, "is_last": is_last}
            print(json.dumps(grade), file=self._grades, flush=True)
        return True

    def _run(self, session: pytest.Session, job: dict[str, Any]) -> None:
        """Run the tests of an answer, or those of them that the job names."""
        session.config.option.submission = job["path"]
        grading = session.config.pluginmanager.get_plugin("grading")
        for kept in (grading.results, grading.final, grading.stopped, grading.passed):
            kept.clear()  # what it knows of the answer before
        items = [
            item
            for item in session.items
            if plugin.exercise_of(item.path) == job["exercise"]
            and (not job["tests"] or {item.name, item.originalname} & {*job["tests"]})
        ]
        for item in items:
            item.ihook.pytest_runtest_protocol(item=item, nextitem=None)
            item._initrequest()  # or it would keep the server and the answer
            del item.user_properties[2:]  # and the result; see Grading
            if job["stop_early"] and not all(
                one.passed for one in self.results.values()
            ):
                return

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep what a test found."""
        if result := plugin.result_of(report):
            self.results[report.nodeid.rpartition("::")[2]] = result


def limit_memory() -> None:
    """Let this process have no more than MEMORY, where the system can see to that."""
    try:
        import resource
    except ImportError:  # Windows
        return
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


def main(jobs: TextIO, grades: TextIO) -> None:
    """Serve until there are no more jobs."""
    limit_memory()
    arguments = [str(plugin.FOLDER), "-o", "addopts=", "-q", "-p", "no:cacheprovider"]
    # It tidies up the memory after every test, which takes long.
    arguments += ["-p", "no:unraisableexception"]
    pytest.main(arguments, plugins=[Service(jobs, grades)])


if __name__ == "__main__":
    # pytest takes the streams that Python has; what it and the answers print is not for
    # the reader of the grades.
    streams = os.fdopen(os.dup(0), encoding="utf-8"), os.fdopen(os.dup(1), "w")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    main(*streams)
