"""What the tests of the exercises are written with: call, expect, expect_raises,
run_async.

What fails becomes one text of six lines: what the test wants, what we did, what we saw,
    what we expected, the learner's
own line, and the hint. CONTRIBUTING.md says how to write such a test.
"""

import asyncio
import difflib
import functools
import importlib.metadata
import inspect
import itertools
import re
import sys
import textwrap
import warnings
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from _pytest.outcomes import OutcomeException

from lessons.course.results import UNLOADED, WIDTH

from . import sandbox

_NOTHING = object()


class Feedback(AssertionError):
    """A verdict in words. What is left empty is filled in where it becomes a text.

    did: a line to copy. saw, expected: a sentence each. line: the learner's own. hint:
        a key of the exercise's hints.
    kind: what sort of mistake this is, in a word or two.
    """

    def __init__(
        self,
        *,
        did: str = "",
        saw: str = "",
        expected: str = "",
        line: str = "",
        hint: str = "",
        kind: str = "wrong",
    ) -> None:
        super().__init__(saw)
        self.did, self.saw, self.expected, self.line, self.hint, self.kind = (
            did,
            saw,
            expected,
            line,
            hint,
            kind,
        )
        self.title = ""  # the docstring of the test


class Log:
    """What one test has done so far, as lines to copy, and what came of the last call."""

    def __init__(self, server: Any = None) -> None:
        self.server = server
        self.steps: list[str] = []
        self.made: dict[str, str] = {}  # by its name, the step that made an object
        self.names: list[tuple[Any, str]] = []  # what objects are called in those lines
        self.value: Any = _NOTHING
        self.function: Any = None
        self.label = ""

    def text(self, limit: int = 240) -> str:
        """Return the last steps that fit, in one line, and those that made the objects;
        equal ones become a loop.
        """
        groups = [
            (step, len(list(equal))) for step, equal in itertools.groupby(self.steps)
        ]
        needed = set(self.made.values())
        room = limit - sum(len(step) + 2 for step in needed)
        kept: list[str] = []
        for step, count in reversed(groups):
            line = f"[{step} for _ in range({count})]" if count > 2 else step
            room -= 0 if step in needed else len(line) + 2
            if step in needed or room >= 0 or not kept:
                kept.insert(0, line)
        return "; ".join(kept)

    def show(self, value: Any) -> str:
        """Return a value as an argument to copy: addresses of the server as `server.url
        + "/path"`.
        """
        for known, name in self.names:
            if value is known:
                return name
        if isinstance(value, str) and self.server:
            for name in ("base_url", "url"):
                start = getattr(self.server, name)
                if value.startswith(start):
                    rest = value[len(start) :]
                    return f"server.{name}" + (f" + {rest!r}" if rest else "")
            if value == self.server.api_key:
                return "server.api_key"
        if inspect.isgenerator(value):
            return f"{value.__name__}()"
        if callable(value) and hasattr(value, "__name__"):
            return (
                f"[].{value.__name__}"
                if isinstance(getattr(value, "__self__", None), list)
                else value.__name__
            )
        if isinstance(value, tuple) and any(isinstance(one, type) for one in value):
            return f"({', '.join(map(self.show, value))}{',' * (len(value) == 1)})"
        text = repr(value)
        return (
            f"{type(value).__name__}()"
            if re.match("<.* object at 0x", text)
            else clip(text, 100)
        )


log = Log()  # of the test that runs now


def start_log(server: Any = None) -> Log:
    """Begin the log of a new test."""
    global log
    log = Log(server)
    return log


def call(target: Any, name: str, /, *args: Any, **kwargs: Any) -> Any:
    """Call a function or class of the answer, or a method of one of its objects, and
    return what it returns.

    call(answer, "get_json", server.url + "/users/python", timeout=0.5)
    client = call(answer, "ChatClient", base_url=server.base_url)
    call(client, "ask", "Hello")

    With "" as name, target itself is called. What an `async def` returns is yours to
    await: see run_async.
    """
    log.function = function = getattr(target, name) if name else target
    known = next((shown for thing, shown in log.names if thing is target), "")
    label = (
        f"{known}.{name}"
        if known and name
        else known or name or getattr(target, "__name__", "function")
    )
    arguments = [log.show(value) for value in args] + [
        f"{key}={log.show(value)}" for key, value in kwargs.items()
    ]
    step = f"{label}({', '.join(arguments)})"
    variable = _variable(function.__name__) if isinstance(function, type) else ""
    if inspect.iscoroutinefunction(function):
        step = f"await {step}"
    if variable:
        log.made[variable] = step = f"{variable} = {step}"
    log.steps.append(step)
    log.value, log.label = _NOTHING, label
    value = function(*args, **kwargs)
    if variable:
        log.names.append((value, variable))
    log.value = value = _logged(value) if inspect.iscoroutine(value) else value
    return value


async def _logged(coroutine: Awaitable[Any]) -> Any:
    log.value = value = await coroutine
    return value


def expect(
    condition: object,
    *,
    expected: str,
    saw: str | None = None,
    did: str | None = None,
    hint: str | None = None,
) -> None:
    """Fail the test unless the condition holds.

    expected: what a right answer does, as a phrase for the learner. saw: what this one
        did; without it, what the last
    call returned. did: a line to copy; without it, the calls of this test so far. hint:
        a key of the hints.
    """
    if not condition:
        raise Feedback(did=did or "", saw=saw or "", expected=expected, hint=hint or "")


class Caught:
    """The exception that expect_raises caught, as .value."""

    value: Any = None


@contextmanager
def expect_raises(
    answer: Any,
    wanted: str | type[BaseException],
    *,
    expected: str | None = None,
    hint: str | None = None,
) -> Iterator[Caught]:
    """Fail the test unless the block raises the wanted exception, a class or the name
    of one in the answer.

    with expect_raises(answer, "RateLimitError") as caught:
        call(answer, "call", "GET", server.url + "/users/python")
    expect(caught.value.retry_after == 2, expected="retry_after 2")
    """
    cls = getattr(answer, wanted) if isinstance(wanted, str) else wanted
    expected = expected or _name(cls)
    caught = Caught()
    try:
        yield caught
    except cls as error:
        if isinstance(error, Feedback) or _is_stub(error, answer):
            raise
        caught.value = log.value = error
    except Exception as error:
        if isinstance(error, Feedback) or _is_stub(error, answer):
            raise
        saw = f"{one_line(error)} was raised"
        raise Feedback(
            saw=saw, expected=expected, hint=hint or "", kind="wrong exception"
        ) from error
    else:
        result = (
            ""
            if log.value is _NOTHING
            else f"; it returned {clip(repr(log.value), 150)}"
        )
        raise Feedback(
            saw=f"no exception{result}",
            expected=expected,
            hint=hint or "",
            kind="no exception",
        )


def run_async(awaitable: Awaitable[Any] | Callable[[], Awaitable[Any]]) -> Any:
    """Run what an `async def` returned in a fresh event loop, and return its result.

    run_async(call(answer, "ask_all", ["a", "b"]))
    run_async(scenario)             # an async def of the test's own

    Says so if the answer's function is no `async def`.
    """
    if inspect.iscoroutinefunction(awaitable):
        awaitable = awaitable()
    if not inspect.isawaitable(awaitable):
        saw = f"{log.label}(…) returned {clip(repr(awaitable), 100)}, which cannot be awaited"
        raise Feedback(
            saw=saw,
            expected=f"`async def {log.label}`, so that `await {log.label}(…)` works",
        )

    async def main() -> Any:
        return await awaitable

    log.value = value = asyncio.run(main())
    return value


def unset(monkeypatch: Any, name: str) -> None:
    """Take a variable out of the environment, and write that down."""
    monkeypatch.delenv(name)
    log.steps.append(f"os.environ.pop({name!r})")


# --- texts ---


def chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception, what is in it if it is a group, and what it followed from."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        current = waiting.pop(0)
        if current and id(current) not in seen:
            seen.add(id(current))
            yield current
            waiting += [
                *getattr(current, "exceptions", ()),
                current.__cause__ or current.__context__,
            ]


def one_line(error: BaseException) -> str:
    """Return class and message of an exception in one line; of a group, those of the
    first in it.
    """
    if isinstance(error, BaseExceptionGroup):
        return f"{type(error).__name__} with {one_line(error.exceptions[0])}"
    message = " ".join(str(error).split())
    return (
        f"{type(error).__name__}: {clip(message, 200)}"
        if message
        else type(error).__name__
    )


def clip(text: str, limit: int) -> str:
    """Return a text that is not longer than limit letters."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def render(title: str, feedback: Feedback, number: str, printed: str = "") -> str:
    """Return the text of a failed test: at most 12 lines.

    There is no hint for a file that cannot be loaded.
    """
    hint = (
        []
        if feedback.kind in UNLOADED
        else [f"python -m lessons hint {number} {feedback.hint}".rstrip()]
    )
    lines = textwrap.wrap(title, WIDTH)[:2]
    lines += _item("we did:", [clip(feedback.did, 240)] if feedback.did else [])
    lines += _item("we saw:", _wrap(feedback.saw, 3))
    lines += _item("expected:", _wrap(feedback.expected, 3))
    lines += _item("your line:", feedback.line.splitlines()[:2])
    if room := 12 - 1 - len(lines):
        lines += _item("it printed:", printed.splitlines()[-min(room, 2) :])
    return "\n".join([*lines, *_item("hint:", hint)])


def _item(label: str, texts: list[str]) -> list[str]:
    return [
        f"  {label if place == 0 else '':11} {text}".rstrip()
        for place, text in enumerate(texts)
    ]


def _wrap(text: str, limit: int) -> list[str]:
    lines = textwrap.wrap(" ".join(text.split()), WIDTH - 14, break_on_hyphens=False)
    return (
        lines[:limit]
        if len(lines) <= limit
        else [*lines[: limit - 1], clip(lines[limit - 1] + " …", WIDTH - 14)]
    )


def _variable(name: str) -> str:
    """Return a name for an object of a class: client for ChatClient, api for AgentsAPI."""
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z][a-z]+", name)
    return words[-1].lower() if words else name.lower()


def _name(cls: type[BaseException]) -> str:
    module = cls.__module__.partition(".")[0]
    return f"requests.{cls.__name__}" if module == "requests" else cls.__name__


def _is_stub(error: BaseException, answer: Any) -> bool:
    return isinstance(error, NotImplementedError) and str(error).startswith(answer.stem)


def judge(
    outcome: sandbox.Outcome,
    answer: Any,
    title: str,
    seconds: float,
    caught: list[warnings.WarningMessage],
) -> Feedback:
    """Turn what stopped a test into the text for the learner."""
    error = outcome.error or outcome.tried[0]
    found = (
        _forbidden(outcome.tried[0], answer)
        if outcome.tried
        else _recognise(error, answer, seconds, caught)
    )
    found.title = title
    found.did = found.did or log.text() or f"import {answer.shown}"
    if not answer.is_loaded and found.kind not in (*UNLOADED, "not started"):
        found.kind = "fails on import"
    raised = ""
    if isinstance(log.value, BaseException):
        raised = answer.innermost(log.value)
        found.saw = found.saw or f"{one_line(log.value)} was raised"
    if not found.saw:
        found.saw = (
            "nothing yet" if log.value is _NOTHING else clip(repr(log.value), 200)
        )
    found.expected = found.expected or title
    found.line = (
        found.line
        or answer.innermost(error)
        or raised
        or answer.definition(log.function)
    )
    return found


def _recognise(
    error: BaseException,
    answer: Any,
    seconds: float,
    caught: list[warnings.WarningMessage],
) -> Feedback:
    """Find out what kind of mistake stopped the test: the cause comes before what
    followed from it.
    """
    if isinstance(error, sandbox.TimeLimit):
        return _too_long(error, answer, seconds)
    for cause in chain(error):
        if _is_stub(cause, answer):
            return Feedback(
                saw=f"not started yet: {cause}",
                expected="your code in the place of the line below",
                kind="not started",
            )
    if isinstance(error, Feedback) and error.kind not in (
        "wrong",
        "no exception",
        "wrong exception",
    ):
        return error
    if isinstance(error, ModuleNotFoundError) and answer.passes(error):
        return _not_installed(error)
    for warning in caught:
        if "was never awaited" in str(warning.message) and (
            found := _never_awaited(str(warning.message), answer)
        ):
            return found
    if found := _left_unawaited(log.value, answer):
        return found
    if (
        inspect.iscoroutine(log.value)
        and inspect.getcoroutinestate(log.value) == inspect.CORO_CREATED
    ):
        log.value.close()
        saw = f"{log.label}(…) returned a coroutine, so nothing has run yet"
        return Feedback(
            saw=saw,
            expected=f"{log.label} as a plain `def`, which does the work",
            kind="coroutine",
        )
    if isinstance(
        error, SystemExit | KeyboardInterrupt | OutcomeException
    ) and answer.passes(error):
        saw = f"your code ended the program: {one_line(error)}"
        return Feedback(
            saw=saw,
            expected="return or raise; leave ending the program to the caller",
            kind="exit",
        )
    if log.value is None and _trips_over_none(error, answer):
        saw = (
            f"{log.label}(…) returned None; is there a way through it without `return`?"
        )
        expected, hint = getattr(error, "expected", ""), getattr(error, "hint", "")
        return Feedback(saw=saw, expected=expected, hint=hint, kind="returned None")
    if isinstance(error, Feedback):
        return error
    if isinstance(error, AssertionError | OutcomeException) and not answer.passes(
        error
    ):
        return Feedback(saw=str(error).partition("\n")[0])
    if "'coroutine' object" in str(error):
        saw = f"{one_line(error)} was raised"
        return Feedback(
            saw=saw,
            expected="`await` before the call that the coroutine came from",
            kind="coroutine",
        )
    return Feedback(
        saw=f"{one_line(error)} was raised",
        expected=f"no {type(error).__name__}",
        kind="exception",
    )


def _trips_over_none(error: BaseException, answer: Any) -> bool:
    """Say whether a test failed because of the None that the last call returned."""
    if isinstance(error, Feedback):
        return error.saw in ("", "None")
    return not answer.passes(error) and (
        "NoneType" in str(error) or isinstance(error, AssertionError)
    )


def _forbidden(halt: BaseException, answer: Any) -> Feedback:
    line = answer.innermost(halt)
    if not answer.is_loaded or isinstance(halt, sandbox.RanOnImport):
        doing = (
            "calls input()"
            if isinstance(halt, sandbox.AskedForInput)
            else "sends a request"
        )
        advice = (
            "remove that cell, or put it"
            if answer.path.suffix == ".ipynb"
            else "definitions only; move the rest"
        )
        expected = f'{advice} under `if __name__ == "__main__":`'
        saw = f"your file {doing} while it is imported"
        did = f"import {answer.shown}"
        return Feedback(
            did=did, saw=saw, expected=expected, line=line, kind="runs on import"
        )
    if isinstance(halt, sandbox.ReachedOut):
        saw = f"your code tried to reach {halt} on the internet; that was stopped"
        return Feedback(
            saw=saw,
            expected="requests to the address it is given only",
            line=line,
            kind="internet",
        )
    return Feedback(
        saw="your code called input(); nobody is there to answer",
        expected="values from arguments, or from the environment",
        line=line,
        kind="input",
    )


def _too_long(error: sandbox.TimeLimit, answer: Any, seconds: float) -> Feedback:
    line = ""
    for filename, number in error.places:
        if answer.owns(filename):
            line = answer.line(filename, number)
    place = (
        "; the line below is where it was stopped" if line else ", so it was stopped"
    )
    saw = f"no end after {seconds:g} s{place}"
    return Feedback(
        saw=saw,
        expected="an end: a loop that stops, a request with a timeout",
        line=line,
        kind="time limit",
    )


def _not_installed(error: ModuleNotFoundError) -> Feedback:
    name = (error.name or "").partition(".")[0]
    saw, expected = (
        f"the package {name} is not installed",
        f"`python -m pip install {name}`, or do without it",
    )
    if near := _near_package(
        name
    ):  # and no advice to install what somebody may have put there for who mistypes
        saw, expected = f"{saw}; did you mean {near}?", f"import {near}"
    return Feedback(saw=saw, expected=expected, kind="not installed")


# the installed packages are read from the disk, and every test of an answer may ask
@functools.cache
def _near_package(name: str) -> str:
    """Return the installed package that a name was probably meant for; "" if there is
    none.
    """
    known = {*sys.stdlib_module_names, *importlib.metadata.packages_distributions()} - {
        name
    }
    return next(iter(difflib.get_close_matches(name, known, n=1, cutoff=0.75)), "")


def _never_awaited(message: str, answer: Any) -> Feedback | None:
    """Return the text for a forgotten await, if the coroutine was made in the answer."""
    places = re.findall(r'File "([^"]+)", line (\d+)', message)
    lines = [
        answer.line(name, int(number)) for name, number in places if answer.owns(name)
    ]
    name = re.search(r"'([^']+)'", message)
    return _no_await(name[1], lines[-1]) if lines and name else None


def _left_unawaited(value: Any, answer: Any) -> Feedback | None:
    """Return the text for coroutines among the results, which nobody has awaited."""
    items = (
        value.values()
        if isinstance(value, dict)
        else value
        if isinstance(value, list | tuple)
        else ()
    )
    found = None
    for item in items:
        if (
            inspect.iscoroutine(item)
            and inspect.getcoroutinestate(item) == inspect.CORO_CREATED
        ):
            lines = [
                answer.line(name, number)
                for name, number, _ in item.cr_origin or ()
                if answer.owns(name)
            ]
            found = found or _no_await(item.__qualname__, lines[0] if lines else "")
            item.close()
    return found


def _no_await(name: str, line: str) -> Feedback:
    saw = (
        f"the coroutine {name.rpartition('.')[2]}(…) was never awaited, so it never ran"
    )
    return Feedback(
        saw=saw, expected="`await` before the call", line=line, kind="coroutine"
    )
