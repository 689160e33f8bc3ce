"""What the tests of the exercises are written with.

call, expect, expect_raises and run_async take the steps of a test and write them down,
so that a failure can say what we did, saw and expected. CONTRIBUTING.md has an example.
"""

import asyncio
import inspect
import itertools
import re
import sys
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

from mock_server import MockServer

from lessons.course.results import DID, Result, clip

from .diagnosis import NOTHING, NotRight, is_stub, one_line

# What the tests tell an audit hook, if there is one: the answer's code has come to an
# end for now. tests/grade/guard.py listens to it in the sandbox of a class.
RETURNED = "tests.returned"


class Log:
    """What the running test did, as lines to copy, and what its last call returned.

    names: what objects are called in those lines.
    made: the step that made an object, by the object's name.
    """

    def __init__(self) -> None:
        self.begin()

    def begin(self, server: MockServer | None = None) -> None:
        """Forget everything: a new test begins, with this server."""
        self.server = server
        self.steps: list[str] = []
        self.made: dict[str, str] = {}
        self.names: list[tuple[Any, str]] = []
        self.value: Any = NOTHING
        self.function: Any = None
        self.label = ""

    def forget_other_inputs(self, label: str) -> None:
        """Forget the last call of a function that is about to be called once more.

        What had been prepared for that call goes with it, if something else has been
        prepared since; rules of the server stay.
        """
        places = [place for place, step in enumerate(self.steps) if label in step]
        if not places:
            return
        last = places[-1]
        before, since = self.steps[:last], self.steps[last + 1 :]
        if any(map(_prepares, since)):
            before = [step for step in before if not _prepares_once(step)]
        elif any(map(_prepares_once, before)):
            return  # this call meets the rest of the same script
        self.steps = before + since

    def text(self, limit: int = DID) -> str:
        """Return in one line the last steps that fit, and those that made the objects.

        Equal ones become a loop.
        """
        groups = itertools.groupby(self.steps)
        counted = [(step, len(list(equal))) for step, equal in groups]
        needed = set(self.made.values())
        room = limit - sum(len(step) + 2 for step in needed)
        kept: list[str] = []
        for step, count in reversed(counted):
            line = "; ".join([step] * count)
            if count > 2:
                line = f"[{step} for _ in range({count})]"
            room -= 0 if step in needed else len(line) + 2
            if step in needed or room >= 0 or not kept:
                kept.insert(0, line)
        return "; ".join(kept)

    def show(self, value: Any) -> str:
        """Return a value as an argument to copy.

        Addresses of the server become `server.url + "/path"`.
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
            is_of_list = isinstance(getattr(value, "__self__", None), list)
            return f"[].{value.__name__}" if is_of_list else value.__name__
        if isinstance(value, tuple) and any(isinstance(one, type) for one in value):
            return f"({', '.join(map(self.show, value))}{',' * (len(value) == 1)})"
        text = repr(value)
        if re.match("<.* object at 0x", text):
            return f"{type(value).__name__}()"
        if len(text) > 100 and isinstance(value, list):
            text = _shorter(value) or text
        return clip(text, 240)


log = Log()


def call(target: Any, name: str, /, *args: Any, **kwargs: Any) -> Any:
    """Call a function or class of the answer, or a method of one of its objects.

    Returns what it returns, and writes the step down.

    call(answer, "get_json", server.url + "/users/python", timeout=0.5)
    client = call(answer, "ChatClient", base_url=server.base_url)
    call(client, "ask", "Hello")

    With "" as name, target itself is called. What an `async def` returns is yours to
    await: see run_async.
    """
    log.function = function = getattr(target, name) if name else target
    known = next((shown for thing, shown in log.names if thing is target), "")
    label = ".".join(filter(None, [known, name]))
    label = label or getattr(target, "__name__", "function")
    step = f"{label}({_arguments(map(log.show, args), kwargs, log.show)})"
    variable = _variable(function.__name__) if isinstance(function, type) else ""
    if inspect.iscoroutinefunction(function):
        step = f"await {step}"
    if not known and name and not isinstance(function, type):
        log.forget_other_inputs(f"{label}(")
    if variable:
        log.made[variable] = step = f"{variable} = {step}"
    log.steps.append(step)
    log.value, log.label = NOTHING, label
    try:
        value = function(*args, **kwargs)
    finally:
        sys.audit(RETURNED)
    if variable:
        log.names.append((value, variable))
    log.value = value = _logged(value) if inspect.iscoroutine(value) else value
    return value


async def _logged(coroutine: Awaitable[Any]) -> Any:
    try:
        log.value = value = await coroutine
    finally:
        sys.audit(RETURNED)
    return value


def expect(
    condition: object,
    *,
    expected: str,
    saw: str = "",
    did: str = "",
    line: str = "",
    hint: str = "",
) -> None:
    """Fail the test unless the condition holds.

    expected: what a right answer does, as a phrase for the learner.
    saw: what this one did; without it, what the last call returned.
    did: a line to copy; without it, the calls of this test so far.
    line: the learner's line, as answer.line() returns it; without it, that of the
        definition of what was called last.
    hint: the name of a hint; without it, the one that `@pytest.mark.points` names.
    """
    if not condition:
        found = Result(did=did, saw=saw, expected=expected, line=line, hint=hint)
        raise NotRight(found)


class Caught:
    """The exception that expect_raises caught, as .value."""

    value: Any = None


@contextmanager
def expect_raises(
    answer: Any,
    wanted: str | type[BaseException],
    *,
    expected: str = "",
    hint: str = "",
) -> Iterator[Caught]:
    """Fail the test unless the block raises the wanted exception.

    It is a class, or the name of one in the answer.

    with expect_raises(answer, "RateLimitError") as caught:
        call(answer, "call", "GET", server.url + "/users/python")
    expect(caught.value.retry_after == 2, expected="retry_after 2")
    """
    cls = getattr(answer, wanted) if isinstance(wanted, str) else wanted
    missed = Result(expected=expected or _name(cls), hint=hint)
    caught = Caught()
    try:
        yield caught
    except (cls, Exception) as error:
        if isinstance(error, NotRight) or is_stub(error, answer):
            raise
        if not isinstance(error, cls):
            saw = f"{one_line(error)} was raised"
            wrong = missed._replace(saw=saw, kind="wrong exception")
            raise NotRight(wrong) from error
        caught.value = log.value = error
    else:
        saw = "no exception"
        if log.value is not NOTHING:
            saw += f"; it returned {clip(repr(log.value), 150)}"
        raise NotRight(missed._replace(saw=saw, kind="no exception"))


def run_async(awaitable: Awaitable[Any] | Callable[[], Awaitable[Any]]) -> Any:
    """Run what an `async def` returned in a fresh event loop, and return its result.

    run_async(call(answer, "ask_all", ["a", "b"]))
    run_async(scenario)             # an async def of the test's own

    Says so if the answer's function is no `async def`.
    """
    if inspect.iscoroutinefunction(awaitable):
        awaitable = awaitable()
    if not inspect.isawaitable(awaitable):
        name, returned = log.label, clip(repr(awaitable), 100)
        raise NotRight(
            Result(
                saw=f"{name}(…) returned {returned}, which cannot be awaited",
                expected=f"`async def {name}`, so that `await {name}(…)` works",
            )
        )

    async def main() -> Any:
        return await awaitable

    log.value = value = asyncio.run(main())
    return value


def unset(monkeypatch: Any, name: str) -> None:
    """Take a variable out of the environment, and write that down."""
    monkeypatch.delenv(name)
    log.steps.append(f"os.environ.pop({name!r})")


class LoggedServer(MockServer):
    """A server that writes down what a test asked of it, for the learner to copy."""

    def script(self, *steps: Any) -> None:
        """See MockServer.script."""
        super().script(*steps)
        log.steps.append(f"server.script({_arguments(map(_fault, steps))})")

    def on(self, **match: Any) -> Any:
        """See MockServer.on."""
        rule = super().on(**match)
        reply = rule.reply

        def logged_reply(*steps: Any, **options: Any) -> Any:
            asked = _arguments(map(_fault, steps), options)
            log.steps.append(f"server.on({_arguments((), match)}).reply({asked})")
            return reply(*steps, **options)

        rule.reply = logged_reply
        return rule


@contextmanager
def logged_server(arguments: Mapping[str, Any]) -> Iterator[LoggedServer]:
    """Begin the log of a test, with a fresh server that writes into it."""
    with LoggedServer(**arguments) as server:
        log.begin(server)
        if arguments:
            step = f"server = MockServer({_arguments((), arguments)}).start()"
            log.made["server"] = step
            log.steps.append(step)
        yield server


def _arguments(
    positional: Iterable[str],
    named: Mapping[str, Any] = MappingProxyType({}),
    show: Callable[[Any], str] = repr,
) -> str:
    named_ones = [f"{name}={show(value)}" for name, value in named.items()]
    return ", ".join([*positional, *named_ones])


def _fault(step: Any) -> str:
    return " + ".join(f"fault.{part}" for part in repr(step).split(" + "))


def _prepares_once(step: str) -> bool:
    return step.startswith(("server.script(", "os.environ.pop("))


def _prepares(step: str) -> bool:
    return step.startswith("server.on(") or _prepares_once(step)


def _shorter(values: list[Any]) -> str:
    """Return a long list as a line of Python that makes it, "" if there is none.

    It knows numbered texts, and bytes in pieces of one size.
    """
    first, count = values[0], len(values)
    if isinstance(first, str) and first.endswith("0"):
        start = first[:-1]
        if values == [f"{start}{number}" for number in range(count)]:
            return f"[{start!r} + str(n) for n in range({count})]"
    if isinstance(first, bytes) and first:
        whole, size = b"".join(values), len(first)
        if values == [whole[n : n + size] for n in range(0, len(whole), size)]:
            return f"[{whole!r}[n:n + {size}] for n in range(0, {len(whole)}, {size})]"
    return ""


def _variable(name: str) -> str:
    """Return a name for an object of a class: client for a ChatClient."""
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z][a-z]+", name)
    return words[-1].lower() if words else name.lower()


def _name(cls: type[BaseException]) -> str:
    module = cls.__module__.partition(".")[0]
    return f"requests.{cls.__name__}" if module == "requests" else cls.__name__
