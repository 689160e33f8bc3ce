"""What runs in a sandbox: python -m tests.grade.inside CHANNEL

Three kinds of processes, and only the last one ever runs a hand-in:

1. The first loads Python's packages and the tests of all exercises, once. It waits for
   answers, and forks for each.
2. The process of an answer builds the walls, and forks for the tests. When that process
   ends, or the judge says so, it ends everything that was left behind.
3. The process of the tests gives up what is left of its rights, runs tests as pytest
   does, and tells the judge what each has found. If it ends too early, or something in
   it runs on after a test, a fresh one takes its place.

The judge (judge.py) is at the other end of every channel.
"""

import asyncio
import contextlib
import dataclasses
import functools
import gc
import importlib
import os
import select
import signal
import socket
import sys
import tempfile
import threading
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import mock_server
import pytest
import requests

from . import confine, remote, wire

# From now on a test that makes a server makes one at the judge.
_REAL = mock_server.MockServer
mock_server.MockServer = remote.RemoteServer

from lessons.course import submission  # noqa: E402
from tests.grader import plugin, sandbox, steps  # noqa: E402

from . import guard  # noqa: E402

CONTROL = "test_control"  # the names of control tests begin so
_SWEEPS = 50


class Service:
    """A pytest plugin: collects the tests as always, and then serves the judge."""

    def __init__(self, judge: socket.socket, settings: dict[str, Any]) -> None:
        self.judge, self.settings = judge, settings

    def pytest_addoption(self, parser: pytest.Parser) -> None:
        """Add --submission."""
        submission.pytest_addoption(parser)

    def pytest_configure(self, config: pytest.Config) -> None:
        """Let the exercises be graded."""
        config.pluginmanager.register(plugin.Grading(config), "grading")

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> None:
        """Serve answers, in place of running the tests on one, and end."""
        mock_server.MockServer = _REAL  # for the hand-ins
        _warm_up()
        steps.log.__class__ = _LogWithWatch
        sandbox.run_limited = _watched(sandbox.run_limited)
        known = _trusted_folders(), sandbox._doomed.__contains__, *guard.remember()
        listen = functools.partial(guard.listen, *known)
        if self.settings["reopen"]:
            confine.keep_python_readable(self.settings["reopen"])
        tests = [_describe(item) for item in session.items]
        gc.collect()
        gc.freeze()  # or each new process would copy what it looks through
        wire.send(self.judge, {"tests": tests, "failed": session.testsfailed})
        while message := wire.receive(self.judge):
            order, files = message
            _reap()
            for name in order["preload"]:
                with contextlib.suppress(Exception):
                    importlib.import_module(name)
            if not os.fork():
                _run_and_end(self._serve_answer, session, order, files[0], listen)
            os.close(files[0])
        os._exit(0)  # all that pytest would still do is for its own reports

    # --- the process of an answer ---

    def _serve_answer(
        self,
        session: pytest.Session,
        order: dict[str, Any],
        channel: int,
        listen: Callable[[], list[str]],
    ) -> None:
        """Serve the tests of one answer until the judge closes the channel."""
        self.judge.close()
        judge = socket.socket(fileno=channel)
        level, scratch = self.settings["level"], Path(order["folder"], "scratch")
        if level == "bwrap":
            if self.settings["uid"]:
                confine.become(self.settings["uid"])
            confine.leave(scratch)
            confine.end_with_parent()
            if child := os.fork():
                judge.close()
                os.waitpid(child, 0)
                return
            confine.end_with_parent()
            confine.give_up_rights()
        files = [os.pidfd_open(os.getpid())] if hasattr(os, "pidfd_open") else []
        wire.send(judge, {"process": os.getpid()}, files)
        while message := wire.receive(judge):
            hello, (line,) = message
            child = os.fork()
            if not child:
                judge.close()
                self._run_tests(session, order, line, hello, listen)
            os.close(line)
            status = _wait(child, judge)
            left = self._sweep(child)
            if status is None:
                return
            wire.send(judge, {"status": status, "left": left})

    def _sweep(self, child: int) -> bool:
        """End what a test's process left behind; say whether there was something."""
        if self.settings["level"] == "bwrap":
            return _end_all() or _reap() > 0
        if self.settings["level"] == "user":
            helper = os.fork()
            if not helper:
                confine.become(self.settings["uid"])
                # No new process can slip through: Linux signals all of them at once.
                os.kill(-1, signal.SIGKILL)
                os._exit(0)
            os.waitpid(helper, 0)
            return False  # Linux does not tell whether there was one
        try:
            os.killpg(child, signal.SIGKILL)
        except OSError:
            return False
        return True

    # --- the process of the tests ---

    def _run_tests(
        self,
        session: pytest.Session,
        order: dict[str, Any],
        line: int,
        hello: dict[str, str],
        listen: Callable[[], list[str]],
    ) -> None:
        """Run the tests that the judge names, tell it the verdicts, and end."""
        config, items, folder = session.config, session.items[:], Path(order["folder"])
        self._confine(folder)
        scratch = str(folder / "scratch")
        os.environ.update(HOME=scratch, TMPDIR=scratch)
        tempfile.tempdir = scratch
        os.chdir(scratch)
        remote.line.open(socket.socket(fileno=line), hello["key"])
        secret = hello["secret"]  # of this function alone: no object has it
        capture = config.pluginmanager.get_plugin("capturemanager")
        capture.stop_global_capturing()
        capture.start_global_capturing()
        config.option.submission = str(folder / order["file"])
        config.invocation_params = dataclasses.replace(
            config.invocation_params, dir=folder
        )
        for item in items:
            vars(item.module).pop(item.originalname, None)
        _Pace.part = order["pace"]
        found = listen()
        run_test, ask, audit = _run_test, remote.line.ask, sys.audit
        status = 1
        while (test := ask("next", secret=secret))["test"] is not None:
            verdict = run_test(session, items[test["test"]], test)
            audit(guard.OVER)  # ends this process if something was replaced
            status = ask("verdict", secret=secret, tampered=found, **verdict)
            if found or threading.active_count() > 1:
                break  # the next test begins in a fresh process
        os._exit(status)

    def _confine(self, folder: Path) -> None:
        level, uid = self.settings["level"], self.settings["uid"]
        os.setsid()
        confine.limit_resources(counts_processes=level != "process")
        if sys.platform == "linux":
            readable = [Path(one) for one in self.settings["readable"]]
            # Python looks for a module in the names of this folder.
            listed = [plugin.ROOT / "lessons"]
            confine.hide_files([*readable, folder], [folder / "scratch"], listed)
        if level == "user":  # now, since another user may not reach all these folders
            confine.become(uid)


def _run_test(
    session: pytest.Session, item: Any, test: dict[str, Any]
) -> dict[str, Any]:
    """Run one test; return what it found."""
    config = session.config
    grading = config.pluginmanager.get_plugin("grading")
    stem = plugin.exercise_of(item.path)
    grading.stopped[stem], grading.passed[stem] = test["stopped"], test["passed"]
    _disguise(item, test["name"])
    session.items[:] = [item]
    report = _Report()
    config.pluginmanager.register(report)
    config.hook.pytest_runtest_protocol(item=item, nextitem=None)
    config.pluginmanager.unregister(report)
    is_final = stem in grading.final
    return {"result": report.result, "passed": report.has_passed, "final": is_final}


class _Pace:
    """part: how much of its time a test is given."""

    part = 1.0


def _watched(run_limited: Any) -> Any:
    """Return run_limited so that a hand-in is watched meanwhile."""
    hidden = guard.hidden_modules()

    def run(function: Any, seconds: float, *more: Any) -> Any:
        def watched() -> None:
            try:
                function()
            finally:
                sys.audit(guard.RETURNED)

        with guard.hand_in_runs(hidden):
            return run_limited(watched, seconds * _Pace.part, *more)

    return run


class _Report:
    """A pytest plugin that keeps what the reports on one test said."""

    def __init__(self) -> None:
        self.result, self._outcomes = "", {}

    @property
    def has_passed(self) -> bool:
        wanted = dict.fromkeys(("setup", "call", "teardown"), "passed")
        return self._outcomes == wanted

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep the outcome of a phase, and the Result."""
        self._outcomes[report.when] = report.outcome
        if result := plugin.result_of(report):
            self.result = result.to_json()


class _LogWithWatch(steps.Log):
    """Shows every value that was returned to the guard."""

    @property
    def value(self) -> Any:
        return self._value

    @value.setter
    def value(self, value: Any) -> None:
        self._value = value
        sys.audit(guard.VALUE, value)


def _describe(item: Any) -> dict[str, Any]:
    """Return what the judge must know of a test before any hand-in runs."""
    marker = item.get_closest_marker("limit")
    return {
        "name": item.name,
        "result": plugin._describe(item).to_json(),
        "seconds": marker.args[0] if marker else sandbox.SECONDS,
        "is_control": item.name.startswith(CONTROL),
    }


def _disguise(item: Any, name: str) -> None:
    """Give a test a name that does not tell which one it is, nor if it is a control."""
    function = item.obj
    code = function.__code__.replace(co_name=name, co_qualname=name, co_firstlineno=1)
    twin = types.FunctionType(
        code, vars(item.module), name, function.__defaults__, function.__closure__
    )
    twin.__dict__.update(function.__dict__)
    twin.__kwdefaults__, twin.__doc__ = function.__kwdefaults__, name
    item.obj, item.name, item.originalname = twin, name, name
    item._nodeid = f"tests::{name}"


def _warm_up() -> None:
    """Do once, for all, what a client does the first time it is used."""

    async def with_aiohttp(url: str) -> None:
        async with aiohttp.ClientSession() as session, session.get(url) as reply:
            await reply.json()

    with _REAL() as server:
        url = f"{server.url}/users/python"
        for _ in range(2):
            requests.get(url, timeout=5).json()
            requests.post(f"{server.url}/agents", json={"name": "Ada"}, timeout=5)
            httpx.get(url, timeout=5).json()
            asyncio.run(with_aiohttp(url))


def _trusted_folders() -> list[str]:
    return [f"{folder}{os.sep}" for folder in sys.path if os.path.isdir(folder)]


def _wait(child: int, judge: socket.socket) -> int | None:
    """Return how a process ended, by itself or because the judge wanted it; None if the
    judge has gone, and it was ended for that.
    """
    poll = select.poll()
    poll.register(judge, select.POLLIN)
    handle = os.pidfd_open(child) if hasattr(os, "pidfd_open") else -1
    if handle >= 0:
        poll.register(handle, select.POLLIN)
    while not (found := os.waitpid(child, os.WNOHANG))[0]:
        events = poll.poll(None if handle >= 0 else 5)
        if any(one == judge.fileno() for one, _ in events):
            wants_more = _hears(judge)
            os.kill(child, signal.SIGKILL)
            found = os.waitpid(child, 0)
            if not wants_more:
                return None
            break
    if handle >= 0:
        os.close(handle)
    return os.waitstatus_to_exitcode(found[1])


def _hears(judge: socket.socket) -> bool:
    """Say whether there is a message from the judge, and not the end."""
    try:
        return wire.receive(judge) is not None
    except OSError:
        return False


def _end_all() -> bool:
    """End all processes that this one can reach; say whether there was one."""
    for count in range(_SWEEPS):
        try:
            os.kill(-1, signal.SIGKILL)
        except ProcessLookupError:
            return count > 0
        time.sleep(0.002)
        _reap()
    return True


def _reap() -> int:
    count = 0
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            count += 1
    return count


def _run_and_end(function: Any, *args: Any) -> None:
    """Run a function, and never come back from it."""
    try:
        function(*args)
    except BaseException as error:
        with contextlib.suppress(Exception):
            os.write(2, f"{error!r}\n".encode())
            import traceback

            os.write(2, traceback.format_exc().encode())
    finally:
        os._exit(0)


def main() -> None:
    """Serve the judge at the channel that the command line names."""
    judge = socket.socket(fileno=int(sys.argv[1]))
    message = wire.receive(judge)
    if message is None:
        return
    settings = message[0]
    stubs = plugin.ROOT / "lessons" / "exercises"
    arguments = [str(plugin.FOLDER), f"--submission={stubs}", "-q", "-o", "addopts="]
    arguments += ["--rootdir", str(plugin.ROOT), "-p", "no:cacheprovider"]
    # It tidies up the memory after every test, which takes long.
    arguments += ["-p", "no:unraisableexception"]
    # These keep what leads to all of pytest where every program can find it.
    arguments += ["--assert=plain", "-p", "no:debugging", "-p", "no:threadexception"]
    pytest.main(arguments, plugins=[Service(judge, settings)])


if __name__ == "__main__":
    main()
