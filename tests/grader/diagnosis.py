"""From what stopped a test to the verdict: which mistake it is, in the learner's words.

The cause comes before what followed from it: a forgotten `return` before the TypeError
three lines later, a stub before the wrong exception that it led to.
"""

from __future__ import annotations

import difflib
import functools
import importlib.metadata
import inspect
import re
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from warnings import WarningMessage

from _pytest.outcomes import OutcomeException

from lessons.course.exercises import is_notebook
from lessons.course.results import BORROWED, NAME, OWN, UNLOADED, Result, clip

from . import sandbox

if TYPE_CHECKING:
    from .answer import Answer
    from .steps import Log

NOTHING = object()  # what the last call returned, before there was one


class NotRight(AssertionError):
    """Fails a test with what is known about the mistake; judge adds the rest."""

    def __init__(self, result: Result) -> None:
        super().__init__(result.saw)
        self.result = result


def judge(
    test: Result,
    outcome: sandbox.Outcome,
    answer: Answer,
    log: Log,
    seconds: float,
    caught: list[WarningMessage],
) -> Result:
    """Return the verdict on a test that failed, or that did what is forbidden.

    test: what is known of the test itself. log: what it did. seconds: how long it was
        given. caught: the warnings meanwhile.
    """
    error = outcome.error or outcome.tried[0]
    if outcome.tried:
        found = _forbidden(outcome.tried[0], answer)
    else:
        found = _recognise(error, answer, log, seconds, caught)
    kind = found.kind or "wrong"
    if not answer.is_loaded and kind not in (*UNLOADED, "not started"):
        kind = "fails on import"
    saw, line = found.saw, found.line or answer.innermost(error)
    if isinstance(log.value, BaseException):
        saw = saw or f"{one_line(log.value)} was raised"
        line = line or answer.innermost(log.value)
    if not saw:
        saw = "nothing yet" if log.value is NOTHING else clip(repr(log.value), 200)
    return test._replace(
        did=found.did or log.text() or f"import {answer.shown}",
        saw=saw,
        expected=found.expected or test.title,
        line=line or answer.definition(log.function),
        hint=found.hint or test.hint,
        kind=kind,
    )


def is_stub(error: BaseException, answer: Answer) -> bool:
    """Say whether an exception is the one that a stub raises."""
    return isinstance(error, NotImplementedError) and str(error).startswith(answer.stem)


def chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception, what is in it if it is a group, and what it followed from."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        current = waiting.pop(0)
        if current and id(current) not in seen:
            seen.add(id(current))
            yield current
            waiting += getattr(current, "exceptions", ())
            waiting.append(current.__cause__ or current.__context__)


def one_line(error: BaseException) -> str:
    """Return class and message of an exception, or of the first in a group."""
    if isinstance(error, BaseExceptionGroup):
        return f"{type(error).__name__} with {one_line(error.exceptions[0])}"
    message = clip(" ".join(str(error).split()), 200)
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def _recognise(
    error: BaseException,
    answer: Answer,
    log: Log,
    seconds: float,
    caught: list[WarningMessage],
) -> Result:
    """Find out what kind of mistake stopped the test."""
    if isinstance(error, sandbox.TimeLimit):
        return _too_long(error, answer, seconds)
    for cause in chain(error):
        if is_stub(cause, answer):
            return Result(
                saw=f"not started yet: {cause}",
                expected="your code in place of the line below",
                kind="not started",
            )
    told = error.result if isinstance(error, NotRight) else None
    if told and told.kind not in {*OWN, "wrong exception"}:
        return told
    comes_from_answer = answer.passes(error)
    if isinstance(error, ModuleNotFoundError) and comes_from_answer:
        return _not_installed(error)
    if found := _coroutine(answer, log, caught):
        return found
    is_end = isinstance(error, SystemExit | KeyboardInterrupt | OutcomeException)
    if is_end and comes_from_answer:
        return Result(
            saw=f"your code ended the program: {one_line(error)}",
            expected="return or raise; leave ending the program to the caller",
            kind="exit",
        )
    if log.value is None and _trips_over_none(error, comes_from_answer):
        return (told or Result())._replace(
            saw=f"{log.label}(…) returned None; "
            "is there a way through it without `return`?",
            kind="returned None",
        )
    if told:
        return told
    if isinstance(error, AssertionError | OutcomeException) and not comes_from_answer:
        return Result(saw=str(error).partition("\n")[0])
    if "'coroutine' object" in str(error):
        return Result(
            saw=f"{one_line(error)} was raised",
            expected="`await` before the call that the coroutine came from",
            kind="coroutine",
        )
    if isinstance(error, NameError) and comes_from_answer:
        return Result(
            saw=f"{one_line(error)} was raised",
            expected="a name that is defined or imported; is it spelled right?",
            kind=NAME,
        )
    return Result(
        saw=f"{one_line(error)} was raised",
        expected=f"no {type(error).__name__}",
        kind="exception",
    )


def _trips_over_none(error: BaseException, comes_from_answer: bool) -> bool:
    """Say whether a test failed because of the None that the last call returned."""
    if isinstance(error, NotRight):
        return error.result.saw in ("", "None")
    if comes_from_answer:
        return False
    return isinstance(error, AssertionError) or "NoneType" in str(error)


# --- what is forbidden, and what has no end ---


def borrowed(name: str, answer: Answer, line: str) -> Result:
    """Return the verdict on an answer that uses the course's own code of that name."""
    return Result(
        did=f"import {answer.shown}",
        saw=f"your answer uses {name}, so it gets no points",
        expected=f"code of your own; {name} is not allowed in this exercise",
        line=line,
        kind=BORROWED,
    )


def _forbidden(halt: sandbox.Halt, answer: Answer) -> Result:
    line = answer.innermost(halt)
    if isinstance(halt, sandbox.Borrowed):
        return borrowed(str(halt), answer, line)
    asks = isinstance(halt, sandbox.AskedForInput)
    if not answer.is_loaded:
        advice = "definitions only; move the rest"
        if is_notebook(answer.path):
            advice = "remove that cell, or put it"
        doing = "calls input()" if asks else "sends a request"
        return Result(
            did=f"import {answer.shown}",
            saw=f"your file {doing} while it is imported",
            expected=f'{advice} under `if __name__ == "__main__":`',
            line=line,
            kind="runs on import",
        )
    if asks:
        return Result(
            saw="your code called input(); nobody is there to answer",
            expected="values from arguments, or from the environment",
            line=line,
            kind="input",
        )
    return Result(
        saw=f"your code tried to reach {halt} on the internet; that was stopped",
        expected="requests to the address it is given only",
        line=line,
        kind="internet",
    )


def _too_long(error: sandbox.TimeLimit, answer: Answer, seconds: float) -> Result:
    line = ""
    for filename, number in error.places:
        if answer.owns(filename):
            line = answer.line(filename, number)
    place = ", so it was stopped"
    if line:
        place = "; the line below is where it was stopped"
    return Result(
        saw=f"no end after {seconds:g} s{place}",
        expected="an end: loops that stop, and no wait for what never comes, such as a "
        "reply, a lock or a free place",
        line=line,
        kind="time limit",
    )


# --- packages ---


def _not_installed(error: ModuleNotFoundError) -> Result:
    name = (error.name or "").partition(".")[0]
    saw = f"the package {name} is not installed"
    expected = f"`python -m pip install {name}`, or do without it"
    # Never advise to install a mistyped name: somebody may have put a trap there.
    if near := _near_package(name):
        saw, expected = f"{saw}; did you mean {near}?", f"import {near}"
    return Result(saw=saw, expected=expected, kind="not installed")


# Cached: the installed packages are read from the disk, and every test may ask.
@functools.cache
def _near_package(name: str) -> str:
    """Return the installed package that a name was probably meant for, or ""."""
    known = {*sys.stdlib_module_names, *importlib.metadata.packages_distributions()}
    near = difflib.get_close_matches(name, known - {name}, n=1, cutoff=0.75)
    return next(iter(near), "")


# --- coroutines ---


def _coroutine(answer: Answer, log: Log, caught: list[WarningMessage]) -> Result | None:
    """Return the verdict on a coroutine that nobody has awaited, if there is one."""
    for warning in caught:
        if found := _never_awaited(str(warning.message), answer):
            return found
    if found := _left_unawaited(log.value, answer):
        return found
    if not _has_not_begun(log.value):
        return None
    log.value.close()
    return Result(
        saw=f"{log.label}(…) returned a coroutine, so nothing has run yet",
        expected=f"{log.label} as a plain `def`, which does the work",
        kind="coroutine",
    )


def _never_awaited(message: str, answer: Answer) -> Result | None:
    """Return the verdict, if a warning is about a coroutine that the answer made."""
    name = re.search(r"'([^']+)' was never awaited", message)
    places = re.findall(r'File "([^"]+)", line (\d+)', message)
    lines = [
        answer.line(file, int(number)) for file, number in places if answer.owns(file)
    ]
    return _no_await(name[1], lines[-1]) if lines and name else None


def _left_unawaited(value: Any, answer: Answer) -> Result | None:
    """Return the verdict, if there are coroutines among the results."""
    found = None
    items = value.values() if isinstance(value, dict) else value
    for item in items if isinstance(value, dict | list | tuple) else ():
        if not _has_not_begun(item):
            continue
        origin = [(file, number) for file, number, _ in item.cr_origin or ()]
        lines = [answer.line(*place) for place in origin if answer.owns(place[0])]
        found = found or _no_await(item.__qualname__, lines[0] if lines else "")
        item.close()
    return found


def _has_not_begun(value: Any) -> bool:
    return (
        inspect.iscoroutine(value)
        and inspect.getcoroutinestate(value) == inspect.CORO_CREATED
    )


def _no_await(name: str, line: str) -> Result:
    name = name.rpartition(".")[2]
    return Result(
        saw=f"the coroutine {name}(…) was never awaited, so it never ran",
        expected="`await` before the call",
        line=line,
        kind="coroutine",
    )
