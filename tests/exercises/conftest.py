"""How an answer is judged: it is loaded afresh for every test and run against a server
of its own.
"""

import contextlib
import inspect
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import pytest
from mock_server import MockServer

from tests.grader import answers, feedback, sandbox
from tests.grader.plugin import answer_for


class LoggedServer(MockServer):
    """A server that writes down what a test asked of it, so that the learner can do the
    same.
    """

    def script(self, *steps: Any) -> None:
        """See MockServer.script."""
        super().script(*steps)
        feedback.log.steps.append(f"server.script({_arguments(map(_fault, steps))})")

    def on(self, **match: Any) -> Any:
        """See MockServer.on."""
        rule = super().on(**match)
        reply = rule.reply

        def logged_reply(*steps: Any, **options: Any) -> Any:
            asked = _arguments(map(_fault, steps), options)
            feedback.log.steps.append(
                f"server.on({_arguments((), match)}).reply({asked})"
            )
            return reply(*steps, **options)

        rule.reply = logged_reply
        return rule


def _arguments(
    positional: Iterable[str], named: Mapping[str, Any] = MappingProxyType({})
) -> str:
    return ", ".join(
        [*positional, *(f"{name}={value!r}" for name, value in named.items())]
    )


def _fault(step: Any) -> str:
    return " + ".join(f"fault.{part}" for part in repr(step).split(" + "))


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Iterator[MockServer]:
    """A fresh server for one test; `@pytest.mark.server(latency=0.02)` gives it
    arguments.
    """
    marker = request.node.get_closest_marker("server")
    arguments = marker.kwargs if marker else {}
    with LoggedServer(**arguments) as fresh:
        log = feedback.start_log(fresh)
        if arguments:
            log.made["server"] = (
                f"server = MockServer({_arguments((), arguments)}).start()"
            )
            log.steps.append(log.made["server"])
        yield fresh


@pytest.fixture(autouse=True)
def environment(server: MockServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an answer finds in the environment: the server of this test, and no proxy."""
    monkeypatch.setenv("OPENAI_API_KEY", server.api_key)
    monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
    monkeypatch.setenv("OPENAI_MODEL", "mock-small")
    for name in list(os.environ):
        if name.lower().endswith("_proxy") and name.lower() != "no_proxy":
            monkeypatch.delenv(name)


@pytest.fixture
def answer(request: pytest.FixtureRequest) -> answers.Answer:
    """The answer to the exercise that the test file is named after; it is loaded when
    the test begins.
    """
    return answer_for(request.config, request.node.path)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Load the answer and run the test, within the limits; raise a verdict if it fails."""
    answer = pyfuncitem.funcargs.get("answer")
    if not isinstance(answer, answers.Answer):
        return None
    wanted = list(inspect.signature(pyfuncitem.obj).parameters)
    arguments = {name: pyfuncitem.funcargs[name] for name in wanted}
    grading = pyfuncitem.config.pluginmanager.get_plugin("grading")
    marker = pyfuncitem.get_closest_marker("limit")
    seconds = marker.args[0] if marker else sandbox.SECONDS
    if grading.stopped[answer.stem] >= 2 and not grading.passed[answer.stem]:
        # or an answer that never ends would take minutes; most tests need less than 0.3
        # s
        seconds *= 0.2
    title = (inspect.getdoc(pyfuncitem.obj) or pyfuncitem.name).partition("\n")[0]
    if endless := grading.endless.get(answer.stem):
        endless.title = title
        raise endless

    def run() -> None:
        importing = (
            sandbox.importing if answer.path.suffix == ".py" else contextlib.nullcontext
        )
        with answer.loaded(importing):
            pyfuncitem.obj(**arguments)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        outcome = sandbox.run_limited(run, seconds, grading.stderr)
    is_stopped = isinstance(outcome.error, sandbox.TimeLimit)
    grading.stopped[answer.stem] += is_stopped
    pyfuncitem.user_properties += [("note", note) for note in answer.notes]
    if isinstance(outcome.error, pytest.skip.Exception) and not answer.passes(
        outcome.error
    ):
        raise outcome.error  # the test itself cannot run here
    if outcome.error or outcome.tried:
        verdict = feedback.judge(outcome, answer, title, seconds, caught)
        if is_stopped and not answer.is_loaded and not grading.passed[answer.stem]:
            grading.endless[answer.stem] = verdict
        raise verdict from outcome.error
    grading.passed[answer.stem] += 1
    return True
