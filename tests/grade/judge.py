"""The judge of one sandbox: sends tests in, serves their requests, and hears what came
of them.

Nothing that a sandbox says is believed without a look at what the judge itself saw.
"""

import contextlib
import os
import secrets
import select
import shutil
import signal
import socket
import subprocess
import time
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from lessons.course.exercises import Mistake
from lessons.course.results import Result

from . import isolation, wire
from .course import Course
from .files import without_controls
from .guard import TAMPERED
from .servers import Servers

READY = 60.0  # seconds until a sandbox must have loaded the tests
# Seconds that the process of a test has beyond the time of its test (see Engine.pace),
# and the judge beyond that.
LEAST_PATIENCE, PATIENCE, MORE_PATIENCE = 1.0, 2.0, 5.0
_KILLED = 2  # so many tests, and none passed: the others would end so, too
_OPENING = 10.0  # seconds until the process of an answer must be there
_STARTS = 3  # of a sandbox, for one answer


class PlannedTest(NamedTuple):
    """A test of the plan, as it was before any hand-in ran.

    place: its number in the sandbox. result: what is known of it; see _describe in
        tests/grader/plugin.py. seconds: how long it may take.
    """

    place: int
    name: str
    result: Result
    seconds: float
    is_control: bool


class Finding(NamedTuple):
    """What came of one test.

    result: what the sandbox says; None for no word. requests: how many the judge's
        servers saw. tampered: what the guard noticed, a sentence each.
    """

    result: Result | None
    requests: int = 0
    tampered: tuple[str, ...] = ()
    has_left_processes: bool = False
    was_killed: bool = False
    is_final: bool = False


class Sandbox:
    """One sandbox, with the processes described in inside.py. Use it from one thread at
    a time.

    slot: its number, from 0. work: the folder of its answers.
    """

    def __init__(self, level: str, course: Course, base: Path, slot: int) -> None:
        self._level, self._course = level, course
        self._uid = isolation.user_id(slot)
        self._work = base / f"sandbox{slot}"
        self._work.mkdir()
        self._work.chmod(0o755)
        self._log = base / f"sandbox{slot}.log"
        self._process: subprocess.Popen[bytes] | None = None
        self.tests: list[PlannedTest] = []

    def start(self) -> None:
        """Start it. Raises Mistake, with its last words, if that does not work."""
        ours, theirs = socket.socketpair()
        number = theirs.fileno()
        folder = self._course.folder
        with open(self._log, "wb") as log:
            self._process = subprocess.Popen(
                isolation.command(self._level, folder, self._work, number),
                cwd=folder,
                env=isolation.environment(folder),
                pass_fds=[number],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        theirs.close()
        self._channel = ours
        reopen = []
        if self._level == "user":
            reopen = isolation.unreachable(self._uid, isolation.find_python().modules)
        settings = {
            "level": self._level,
            "uid": self._uid,
            "reopen": reopen,
            "readable": [str(one) for one in isolation.readable(folder)],
        }
        ours.settimeout(READY)
        message = None
        with contextlib.suppress(OSError, wire.Broken):
            wire.send(ours, settings)
            message = wire.receive(ours)
        if message is None or message[0]["failed"]:
            self.stop()
            raise Mistake(
                f"a sandbox ({self._level}) cannot be started: {self.last_words()}"
            )
        ours.settimeout(None)
        self.tests = [
            PlannedTest(
                place,
                one["name"],
                Result.from_json(one["result"]),
                one["seconds"],
                one["is_control"],
            )
            for place, one in enumerate(message[0]["tests"])
        ]

    def stop(self) -> None:
        """End it, and all that is in it."""
        if self._process:
            self._channel.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(2)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process, self.tests = None, []

    def run(
        self,
        name: str,
        text: bytes,
        plan: Iterable[PlannedTest],
        pace: float,
        preload: list[str],
    ) -> dict[int, Finding]:
        """Run tests on one answer; return what came of each by its place.

        name: of the file that the answer is put into. pace: the part of its time that
            each test has. preload: packages to import before, for speed.
        """
        folder = self._work / secrets.token_hex(4)
        scratch = folder / "scratch"
        scratch.mkdir(parents=True)
        folder.chmod(0o755)
        (folder / name).write_bytes(text)
        (folder / name).chmod(0o644)
        if self._uid:
            os.chown(scratch, self._uid, self._uid)
        order = {"folder": str(folder), "file": name, "pace": pace, "preload": preload}
        examination = _Examination(self, order, plan)
        try:
            return examination.run()
        finally:
            examination.close()
            shutil.rmtree(folder, ignore_errors=True)

    def begin(self, order: dict[str, Any]) -> "_AnswerProcess":
        """Begin the process of an answer. Raises Mistake if that cannot be done."""
        for _ in range(_STARTS):
            if self._process is None or self._process.poll() is not None:
                self.stop()
                self.start()
            ours, theirs = socket.socketpair()
            with theirs, contextlib.suppress(OSError, wire.Broken):
                wire.send(self._channel, order, [theirs.fileno()])
                theirs.close()
                ours.settimeout(_OPENING)
                if message := wire.receive(ours):
                    return _AnswerProcess(ours, *message)
            ours.close()
        raise Mistake(
            f"a sandbox ({self._level}) does not take an answer: {self.last_words()}"
        )

    def last_words(self) -> str:
        """Return the end of what its processes wrote, for a person."""
        words = self._log.read_text(encoding="utf-8", errors="replace")
        return " ".join(words.strip().splitlines()[-3:])

    @property
    def swap(self) -> dict[str, str]:
        """See Course."""
        return self._course.swap


class _AnswerProcess:
    """The process of an answer, from outside."""

    def __init__(self, channel: socket.socket, hello: Any, files: list[int]) -> None:
        self.channel, self._number = channel, hello["process"]
        self._handle = files[0] if files else None

    def kill(self) -> None:
        """End it; with it ends everything in its namespace."""
        with contextlib.suppress(OSError):
            if self._handle is not None:
                signal.pidfd_send_signal(self._handle, signal.SIGKILL)
            else:
                os.kill(self._number, signal.SIGKILL)
        self.close()

    def close(self) -> None:
        """Let it end, since no test comes any more."""
        self.channel.close()
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


class _Examination:
    """The tests of one answer, one after the other."""

    def __init__(
        self, sandbox: Sandbox, order: dict[str, Any], plan: Iterable[PlannedTest]
    ) -> None:
        self._sandbox, self._order, self._waiting = sandbox, order, deque(plan)
        self._process: _AnswerProcess | None = None
        self._stopped = self._passed = self._killed = 0
        self.found: dict[int, Finding] = {}

    def run(self) -> dict[int, Finding]:
        """Run the tests. Those after a verdict that is final for all, or after
        tampering, are left out.
        """
        failures = 0
        while self._waiting and failures < _STARTS:
            before = len(self._waiting)
            self._run_in_one_process()
            failures = failures + 1 if len(self._waiting) == before else 0
        return self.found

    def close(self) -> None:
        """Let the process of the answer end."""
        if self._process:
            self._process.close()
            self._process = None

    def next(self) -> tuple[PlannedTest, dict[str, Any]] | None:
        """Take the next test; return it with what its process is told about it."""
        if not self._waiting:
            return None
        test, name = self._waiting.popleft(), f"t{secrets.token_hex(4)}"
        order = {"test": test.place, "name": name}
        return test, order | {"stopped": self._stopped, "passed": self._passed}

    def seconds(self, test: PlannedTest) -> float:
        """Return how long the process of a test may take for it."""
        pace = self._order["pace"]
        return test.seconds * pace + LEAST_PATIENCE + pace * PATIENCE

    def servers(self, test: PlannedTest) -> Servers:
        """Return the servers for a test."""
        return Servers(self._sandbox.swap if test.is_control else {})

    def keep(self, test: PlannedTest, finding: Finding) -> None:
        """Keep what came of a test, and see whether there is a point in going on."""
        if finding.result and not test.is_control:
            self._passed += finding.result.passed
            self._stopped += finding.result.kind == "time limit"
        self._killed += finding.was_killed
        if self._killed == _KILLED and not self._passed:
            finding = finding._replace(is_final=True)
        self.found[test.place] = finding
        is_final = finding.is_final and not (test.is_control and finding.result)
        if is_final or finding.tampered or _is_fooled(test, finding):
            self._waiting.clear()

    def _run_in_one_process(self) -> None:
        """Run tests until none is left, or their process ends."""
        if self._process is None:
            self._process = self._sandbox.begin(self._order)
        ours, theirs = socket.socketpair()
        hearing = _Hearing(ours, self)
        try:
            with theirs:
                hello = {"key": hearing.key, "secret": hearing.secret}
                wire.send(self._process.channel, hello, [theirs.fileno()])
            end = self._wait(hearing)
        except OSError:
            end = None
        finally:
            ours.close()
        hearing.close(end)
        if end is None:
            self._process.kill()
            self._process = None

    def _wait(self, hearing: "_Hearing") -> dict[str, Any] | None:
        """Serve tests until their process has ended; return how, None if it does
        not.
        """
        assert self._process
        poll, control = select.poll(), self._process.channel
        for one in (hearing.channel, control):
            poll.register(one, select.POLLIN)
        while True:
            left = hearing.deadline - time.monotonic()
            if left <= 0:
                if hearing.was_killed:
                    return None
                hearing.was_killed = True
                hearing.deadline += MORE_PATIENCE
                wire.send(control, "end it")
            for number, _ in poll.poll(max(1000 * left, 0)):
                if number == control.fileno():
                    message = wire.receive(control)
                    return message[0] if message else None
                if not hearing.hear():
                    poll.unregister(hearing.channel)


def _is_fooled(test: PlannedTest, finding: Finding) -> bool:
    return test.is_control and finding.result is not None and finding.result.passed


class _Hearing:
    """What one process of tests says.

    key: what the process has to say in its next message. secret: what it has to say
        with a verdict. deadline: when it must have come on, as time.monotonic counts.
    """

    def __init__(self, channel: socket.socket, examination: _Examination) -> None:
        channel.settimeout(2.0)  # for the rest of a message that has begun
        self.channel, self._examination = channel, examination
        self.key, self.secret = secrets.token_hex(16), secrets.token_hex(16)
        self.deadline = time.monotonic() + _OPENING
        self.was_killed = False
        self._test: PlannedTest | None = None  # the one that runs
        self._name = ""
        self._servers = Servers({})
        self._verdict: dict[str, Any] | None = None
        self._status = -1  # how the process must end if that was its last test
        self._tampered: list[str] = []

    def hear(self) -> bool:
        """Hear a message and answer it; False if no other will come."""
        files: list[int] = []
        try:
            message = wire.receive(self.channel)
            if message is None:
                return False
            order, files = message
            if order["key"] != self.key:
                raise wire.Broken("another key")
            wire.send(self.channel, self._answer(order, files))
        except (wire.Broken, KeyError, TypeError):
            self._tampered.append("it sent the judge a message of its own")
            return False
        except OSError:
            return False
        finally:
            for one in files:
                os.close(one)
        return True

    def _answer(self, order: dict[str, Any], files: list[int]) -> dict[str, Any]:
        if order["do"] not in ("next", "verdict"):
            return self._servers.answer(order, files)
        if order["secret"] != self.secret:
            raise wire.Broken("another secret")
        self.key = secrets.token_hex(16)
        if order["do"] == "verdict":
            self._tampered += [str(one)[:200] for one in order["tampered"]][:9]
            self._verdict, self._status = order, 3 + secrets.randbelow(200)
            return {"value": self._status, "key": self.key}
        self._conclude(is_in_order=True)
        told: dict[str, Any] = {"test": None}
        if following := self._examination.next():
            self._test, told = following
            self._name = told["name"]
            self._servers = self._examination.servers(self._test)
            self.deadline = time.monotonic() + self._examination.seconds(self._test)
        return {"value": told, "key": self.key}

    def close(self, end: dict[str, Any] | None) -> None:
        """Hear that the process has ended so; None if it had to be given up."""
        status = end["status"] if end else None
        if status == TAMPERED:
            self._tampered.append("it replaced a function that the tests use")
        self._conclude(status == self._status, bool(end and end["left"]))

    def _conclude(self, is_in_order: bool, has_left: bool = False) -> None:
        """Let the examination keep what came of the test that ran.

        is_in_order: whether its process did after it what ours do. has_left: whether
            there were processes left of it.
        """
        if self._test is None:
            return
        finding = Finding(
            None,
            self._servers.requests,
            tuple(self._tampered),
            has_left,
            self.was_killed,
        )
        if is_in_order and self._verdict:
            finding = _understood(finding, self._verdict, self._name)
        self._servers.stop()
        test, self._test, self._verdict = self._test, None, None
        self._examination.keep(test, finding)


def _understood(finding: Finding, verdict: dict[str, Any], name: str) -> Finding:
    """Return a finding with the result that a verdict has, if there is one.

    name: what the sandbox called the test.
    """
    try:
        result = Result.from_json(verdict["result"])
        has_passed = result.passed is True and verdict["passed"] is True
        result = _clean(result)._replace(passed=has_passed, title=name)
        return finding._replace(result=result, is_final=verdict["final"] is True)
    except (ValueError, TypeError, KeyError, RecursionError):
        return finding


def _clean(result: Result) -> Result:
    """Return a result with texts where there must be texts, none of them long, and
    nothing in them but what can be seen.
    """
    texts = {
        name: _shown(getattr(result, name), 4000)
        for name in ("did", "saw", "expected", "line", "hint", "kind", "printed")
    }
    notes = tuple(_shown(note, 1000) for note in result.notes[:20])
    return result._replace(**texts, notes=notes)


def _shown(text: Any, most: int) -> str:
    lines = str(text)[:most].expandtabs(4).split("\n")
    return "\n".join(map(without_controls, lines))
