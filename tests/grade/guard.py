"""Notices a hand-in that meddles with the tests in its own process.

What runs in one process cannot be kept apart by Python alone, so this is a tripwire and
no wall: the walls are the judge's records and the control tests. It sees a search
through the stack or the memory, a function of the tests or of Python that was replaced,
and a value that says it is equal to everything.

A hand-in can find every class of the process below `object`, and from a method the
variables of its module. So nothing that decides is kept in either of them: it is in the
variables of an audit hook, which Python holds and gives to nobody. The tests speak to
it by sys.audit:

    sys.audit(RETURNED)        the hand-in's code has come to an end for now
    sys.audit(VALUE, value)    it returned this
    sys.audit(OVER)            the test is over
"""

import builtins
import contextlib
import gc
import inspect
import io
import operator
import os
import socket
import struct
import sys
import threading
import time
import types
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from lessons.course import results
from tests.grader import steps

RETURNED, VALUE, OVER = steps.RETURNED, "tests.value", "tests.over"
TAMPERED = 2  # the exit status of a process in which something was replaced
# The code that judges. While a hand-in runs, it cannot import it.
HARNESS = ("tests", "pytest", "_pytest", "pluggy", "lessons.course", "conftest")
# What else a verdict rests on.
_TRUSTED = (builtins, time, inspect, operator, threading, gc, os, sys, io)
_TRUSTED += (contextlib, socket, struct, types)
_JUDGING = ("tests", "lessons.course", "mock_server", "json", "pluggy", "__main__")
_JUDGING += tuple(
    f"_pytest.{name}"
    for name in ("python", "runner", "reports", "nodes", "fixtures", "outcomes")
)
_CHANGING = ("excepthook", "unraisablehook", "test_")  # these change in every test
_FIXED = 1 << 8  # Python's flag of a class whose attributes cannot be replaced
_FRAMES = ("tb_frame", "gi_frame", "cr_frame", "ag_frame")
_CODE = ("__code__", "__defaults__", "__kwdefaults__")
_LOOKED = "looked into the variables of its callers"
_SEARCHED = "searched the memory of the process"
_TRACED = "traced the tests"
_USED_C = "used ctypes, which can change the memory of the process"
# What no answer needs, not even by way of a library.
_SEARCHES = {
    "gc.get_objects": _SEARCHED,
    "gc.get_referrers": _SEARCHED,
    "gc.get_referents": _SEARCHED,
    "sys._current_frames": _LOOKED,
    "sys.settrace": _TRACED,
    "sys.setprofile": _TRACED,
    "sys.monitoring.register_callback": _TRACED,
    "sys.remote_exec": _TRACED,
    "sys.addaudithook": "set an audit hook",
}
# Functions of libraries that ask for a frame and do not hand it out.
_DISCREET = {"namedtuple", "make_dataclass", "extract_stack"}
_DISCREET |= {"format_stack", "print_stack"}
_C_MODULES = ("ctypes", "_ctypes", "_cffi_backend", "_testcapi", "_testinternalcapi")


def hidden_modules() -> list[str]:
    """Return the names of the modules that a hand-in must not find."""
    found = [name for name in sys.modules if _is_of(HARNESS, name)]
    return [*found, "ctypes", "_ctypes"]


@contextmanager
def hand_in_runs(hidden: Iterable[str]) -> Iterator[None]:
    """Hide the code that judges meanwhile."""
    modules = sys.modules
    away = {name: modules.pop(name) for name in hidden if name in modules}
    main, modules["__main__"] = modules["__main__"], types.ModuleType("__main__")
    try:
        yield
    finally:
        modules.update(away)
        modules["__main__"] = main


def listen(
    folders: Iterable[str],
    is_ending: Callable[[threading.Thread], bool],
    is_test_changed: Callable[[], bool],
    is_anything_changed: Callable[[], bool],
) -> list[str]:
    """Begin to hear what Python reports; that cannot be taken back.

    Returns a list that fills with what a hand-in did that no answer does, a sentence
    each. Where something was replaced, the process ends with the status TAMPERED.

    folders: those of Python, its packages and the tests; other code is the hand-in's.
    is_ending: says whether a thread is made to end, which takes a trace function.
    is_test_changed, is_anything_changed: see remember.
    """
    found: list[str] = []
    own = (*folders, "/proc/self/fd/")
    searches, frames, code_names = dict(_SEARCHES), tuple(_FRAMES), tuple(_CODE)
    discreet, c_modules = frozenset(_DISCREET), tuple(_C_MODULES)
    looking = threading.local()
    returned, value_event, over = RETURNED, VALUE, OVER
    getframe, current_thread, leave = sys._getframe, threading.current_thread, os._exit
    inspect_file, stringify = inspect.__file__, str

    def is_foreign(frame: types.FrameType) -> bool:
        return not frame.f_code.co_filename.startswith((*own, "<frozen"))

    def is_anywhere(frame: types.FrameType | None) -> bool:
        """Say whether the hand-in has asked for this, or a library for it."""
        while frame:
            if is_foreign(frame):
                return True
            frame = frame.f_back
        return False

    def is_hand_in(frame: types.FrameType | None) -> bool:
        """Say whether the hand-in has asked for this, or what it called at once."""
        while frame and frame.f_code.co_filename.startswith("<frozen"):
            frame = frame.f_back  # an import
        if frame is None:
            return False
        if is_foreign(frame):
            return True
        if frame.f_code.co_name in discreet:
            return False
        asking, frame = frame.f_code.co_filename, frame.f_back
        if asking == inspect_file:
            while frame and frame.f_code.co_filename == inspect_file:
                frame = frame.f_back
        return frame is not None and is_foreign(frame)

    def what_is_done(event: str, args: tuple[Any, ...]) -> str:
        """Return what a hand-in does that causes this event; "" for nothing wrong."""
        frame = getframe(2)
        if event in searches:
            if event == "sys.settrace" and is_ending(current_thread()):
                return ""
            return searches[event] if is_anywhere(frame) else ""
        if event == "sys._getframe" and frame.f_code.co_name == "walk_stack":
            return _LOOKED if is_anywhere(frame) else ""
        if event == "sys._getframe" or (
            event == "object.__getattr__" and args[1] in frames
        ):
            return _LOOKED if is_hand_in(frame) else ""
        if event == "object.__setattr__" and args[1] in code_names:
            return "replaced the code of a function" if is_foreign(frame) else ""
        if event.startswith("ctypes.") or (event == "import" and args[0] in c_modules):
            return _USED_C if is_hand_in(frame) else ""
        if event in ("compile", "code.__new__"):
            name = stringify(args[1])
            is_false = name.startswith(own) or name.startswith("<frozen")
            if is_false and is_foreign(frame):
                return "gave its code the name of another file"
        return ""

    def hear(event: str, args: tuple[Any, ...]) -> None:
        if event == returned:
            if is_test_changed():
                leave(TAMPERED)
            return
        if event == over:
            if is_anything_changed():
                leave(TAMPERED)
            return
        if event == value_event:
            if claims_to_be_equal(args[0], 3):
                note("returned a value that is equal to everything")
            return
        if event not in heard and not event.startswith("ctypes."):
            return
        if getattr(looking, "now", False):
            return
        looking.now = True
        try:
            if what := what_is_done(event, args):
                note(what)
        finally:
            looking.now = False

    def note(what: str) -> None:
        sentence = f"it {what}"
        if sentence not in found:
            found.append(sentence)

    def claims_to_be_equal(value: Any, depth: int) -> bool:
        """Say whether a value of the hand-in's own class is equal to anything."""
        kind = type(value)
        is_own = any(
            isinstance(function, types.FunctionType)
            and not function.__code__.co_filename.startswith(own)
            for one in kind.__mro__
            for function in vars(one).values()
        )
        if is_own and _equals(value, object()):
            return True
        if not depth or kind not in (list, tuple, dict):
            return False
        items = list(value.values() if kind is dict else value)[:50]
        return any(claims_to_be_equal(item, depth - 1) for item in items)

    heard = {*searches, "sys._getframe", "object.__getattr__", "object.__setattr__"}
    heard |= {"import", "compile", "code.__new__"}
    sys.addaudithook(hear)
    return found


def _equals(value: Any, other: object) -> bool:
    try:
        return bool(value == other)
    except Exception:
        return False


def _is_of(packages: Iterable[str], name: str) -> bool:
    return any(name == one or name.startswith(f"{one}.") for one in packages)


# --- what must stay as it is ---


def remember() -> tuple[Callable[[], bool], Callable[[], bool]]:
    """Return a function that says whether something was replaced since that a test
    rests on, and one that takes in whatever a verdict rests on.
    """
    return (
        _comparison([builtins, results, *_modules_of(("tests",))]),
        _comparison([*_TRUSTED, *_modules_of(_JUDGING)]),
    )


def _modules_of(packages: Iterable[str]) -> list[types.ModuleType]:
    return [one for name, one in list(sys.modules.items()) if _is_of(packages, name)]


def _comparison(modules: Iterable[types.ModuleType]) -> Callable[[], bool]:
    """Return a function that says whether something was replaced since.

    It calls nothing that can be replaced itself.
    """
    known, cells = [], []
    for holder, name, value in _functions(modules):
        known.append((holder.get, name, value))
        if not isinstance(value, types.FunctionType):
            continue
        for cell in value.__closure__ or ():
            with contextlib.suppress(ValueError):  # it is empty
                if callable(cell.cell_contents):
                    cells.append((cell, cell.cell_contents))
    count_callbacks, most = gc.callbacks.__len__, len(gc.callbacks)

    def is_changed() -> bool:
        for get, name, value in known:
            if get(name) is not value:
                return True
        for cell, value in cells:
            if cell.cell_contents is not value:
                return True
        return count_callbacks() != most

    return is_changed


def _functions(modules: Iterable[types.ModuleType]) -> Iterator[tuple[Any, str, Any]]:
    """Yield what can be called: the namespace that it is in, its name, and itself."""
    for module in modules:
        for name, value in list(vars(module).items()):
            if not callable(value) or name.startswith(_CHANGING):
                continue
            yield vars(module), name, value
            is_own = getattr(value, "__module__", None) == module.__name__
            if isinstance(value, type) and is_own and not value.__flags__ & _FIXED:
                for inner, function in list(vars(value).items()):
                    if callable(function) or isinstance(function, property):
                        yield vars(value), inner, function
