"""Notices a hand-in that meddles with the tests in its own process.

What runs in one process cannot be kept apart by Python alone, so this is a tripwire and
no wall: the walls are the judge's records and the control tests. It sees a search
through the stack or the memory, a function of the tests or of Python that was replaced,
and a value that says it is equal to everything.
"""

import builtins
import gc
import inspect
import json
import operator
import os
import sys
import threading
import time
import types
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

# The code that judges. While a hand-in runs, it cannot import it.
HARNESS = ("tests", "pytest", "_pytest", "pluggy", "lessons.course", "conftest")
# What else a verdict rests on.
_TRUSTED = (builtins, time, json, inspect, operator, threading, gc, os)
# What it rests on among the code that judges.
_JUDGING = ("tests.grader.steps", "tests.grader.diagnosis", "tests.grader.sandbox")
_JUDGING += ("tests.grader.plugin", "lessons.course.results", "_pytest.outcomes")
_JUDGING += ("_pytest.runner", "pluggy._hooks")
_CHANGING = ("excepthook", "test_")  # these change in every test
_FRAMES = ("tb_frame", "gi_frame", "cr_frame", "ag_frame")
_CODE = ("__code__", "__defaults__", "__kwdefaults__")
_SEARCHES = {
    "gc.get_objects": "searched the memory of the process",
    "gc.get_referrers": "searched the memory of the process",
    "gc.get_referents": "searched the memory of the process",
    "sys._current_frames": "looked into the variables of its callers",
    "sys._getframe": "looked into the variables of its callers",
    "sys.settrace": "traced the tests",
    "sys.setprofile": "traced the tests",
    "sys.addaudithook": "set an audit hook",
}


class Watch:
    """What one test's hand-in did that no answer does; see found.

    folders: those of Python, its packages and the tests; other code is the hand-in's.
    is_ending: says whether a thread is made to end, which takes a trace function.
    """

    def __init__(
        self, folders: Iterable[str], is_ending: Callable[[threading.Thread], bool]
    ) -> None:
        self.found: list[str] = []
        self._is_ending = is_ending
        self.is_on = False
        self._folders = (*folders, "/proc/self/fd/")
        self._is_looking = threading.local()
        self._known: dict[str, list[tuple[Any, str, Any]]] = {}
        self._hidden = [name for name in sys.modules if _is_harness(name)]
        self._hidden += ["ctypes", "_ctypes"]

    def remember(self, tests: types.ModuleType) -> None:
        """Remember the functions that a file of tests rests on."""
        if tests.__name__ not in self._known:
            self._known[tests.__name__] = list(_functions(tests))

    def install(self) -> None:
        """Begin to hear what Python reports; that cannot be taken back."""
        sys.addaudithook(self._hear)

    def note(self, sentence: str) -> None:
        """Add a sentence, once."""
        if sentence not in self.found:
            self.found.append(sentence)

    def _hear(self, event: str, args: tuple[Any, ...]) -> None:
        if getattr(self._is_looking, "now", False):
            return
        if event == "sys.settrace" and self._is_ending(threading.current_thread()):
            return
        if event in _SEARCHES:
            what = _SEARCHES[event]
        elif event == "object.__getattr__" and args[1] in _FRAMES:
            what = "looked into the variables of its callers"
        elif event == "object.__setattr__" and args[1] in _CODE:
            what = "replaced the code of a function"
        elif event.startswith("ctypes.") or (event == "import" and "ctypes" in args[0]):
            what = "used ctypes, which can change the memory of the process"
        else:
            return
        self._is_looking.now = True
        try:
            if self._is_hand_in(sys._getframe(1)):
                self.note(f"it {what}")
        finally:
            self._is_looking.now = False

    def _is_hand_in(self, frame: types.FrameType | None) -> bool:
        """Say whether the hand-in asked for this itself, not a library for it."""
        while frame and frame.f_code.co_filename.startswith(("<frozen", "<string>")):
            frame = frame.f_back
        # These two hand out what they look at; the rest of a library does not.
        if frame and frame.f_code.co_name in ("walk_tb", "walk_stack"):
            frame = frame.f_back
        if frame and frame.f_code.co_filename == inspect.__file__:
            while frame and frame.f_code.co_filename == inspect.__file__:
                frame = frame.f_back
        return bool(frame) and self._is_foreign(frame.f_code)

    def _is_foreign(self, code: types.CodeType) -> bool:
        return not code.co_filename.startswith(self._folders)

    @contextmanager
    def hand_in_runs(self) -> Iterator[None]:
        """Hide the code that judges meanwhile."""
        modules = sys.modules
        hidden = {name: modules.pop(name) for name in self._hidden if name in modules}
        main, modules["__main__"] = modules["__main__"], types.ModuleType("__main__")
        try:
            yield
        finally:
            modules.update(hidden)
            modules["__main__"] = main

    def compare(self, tests: types.ModuleType) -> None:
        """Note what has another value than before the hand-in ran."""
        for holder, name, value in self._known[tests.__name__]:
            if holder.get(name) is not value:
                self.note(f"it replaced {name}, which the tests use")

    def look_at(self, value: Any, depth: int = 3) -> None:
        """Note a value of the hand-in's own class that is equal to anything."""
        kind = type(value)
        is_own = any(
            isinstance(function, types.FunctionType)
            and self._is_foreign(function.__code__)
            for one in kind.__mro__
            for function in vars(one).values()
        )
        if is_own and _equals(value, object()):
            self.note("it returned a value that is equal to everything")
        if depth and kind in (list, tuple, dict):
            items = list(value.values() if kind is dict else value)[:50]
            for item in items:
                self.look_at(item, depth - 1)


def _equals(value: Any, other: object) -> bool:
    try:
        return bool(value == other)
    except Exception:
        return False


def _is_harness(name: str) -> bool:
    return any(name == one or name.startswith(f"{one}.") for one in HARNESS)


def _functions(tests: types.ModuleType) -> Iterable[tuple[Any, str, Any]]:
    """Yield what must stay as it is: where it is, its name, and the function.

    Only what a test itself uses: each one that is looked at costs a new process time,
    since it has to copy the page of memory with it.
    """
    for module in (*_TRUSTED, *(sys.modules[name] for name in _JUDGING), tests):
        for name, value in list(vars(module).items()):
            if not callable(value) or name.startswith(_CHANGING):
                continue
            yield vars(module), name, value
            own = getattr(value, "__module__", None) == module.__name__
            if isinstance(value, type) and own and module not in _TRUSTED:
                for inner, function in list(vars(value).items()):
                    if callable(function):
                        yield vars(value), inner, function
