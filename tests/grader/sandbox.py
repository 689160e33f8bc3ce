"""Run a test with a time limit, without the internet and without borrowed code."""

import asyncio
import ctypes
import faulthandler
import ipaddress
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import FrameType, MappingProxyType
from typing import Any, NamedTuple

SECONDS = 5.0  # for one test
# So many seconds later the whole process is ended: nothing in it moves any more.
_PATIENCE = 10.0
_REAPER = "reaper"
_CONNECTING = ("socket.connect", "socket.sendto", "socket.sendmsg")
_LOOKING_UP = ("socket.getaddrinfo", "socket.gethostbyname")


class Halt(BaseException):
    """Ends what an answer does; no `except Exception` holds it back."""


class ReachedOut(Halt):
    """The answer tried to reach a host that is not this machine."""


class AskedForInput(Halt):
    """The answer called input()."""


class Borrowed(Halt):
    """The answer opened a file, as an import does, that it must do without."""


class TimeLimit(Halt):
    """The answer took too long.

    places: the files and lines in which it was, innermost last.
    """

    def __init__(self, places: list[tuple[str, int]]) -> None:
        super().__init__()
        self.places = places


class _Guard:
    """What is forbidden now, and what was tried all the same.

    There is one for the whole process, because an audit hook is for ever.
    """

    is_on = is_hooked = False
    folders: Mapping[str, Path] = MappingProxyType({})
    tried: tuple[Halt, ...] = ()


def _audit(event: str, args: tuple[Any, ...]) -> None:
    if not _Guard.is_on:
        return
    if event in _CONNECTING:
        # The address of a Unix socket is no tuple: it has no host.
        host = args[1][0] if isinstance(args[1], tuple) else None
        if not _is_here(host):
            _forbid(ReachedOut(_text(host)))
    elif event in _LOOKING_UP and not _is_here(args[0]):
        _forbid(ReachedOut(_text(args[0])))
    elif event == "builtins.input":
        _forbid(AskedForInput())
    elif event == "open" and isinstance(args[0], str | bytes):
        path = Path(os.path.realpath(os.fsdecode(args[0])))
        places = {path, *path.parents}
        if path.parent.name == "__pycache__":  # store.cpython-313.pyc is of store.py
            places.add(path.parents[1] / f"{path.name.partition('.')[0]}.py")
        for name, place in _Guard.folders.items():
            if place in places:
                _forbid(Borrowed(name))


def named_in(module: str, names: Iterable[str]) -> str:
    """Return which of the names is a part of the name of a module; "" for none."""
    found = (one for one in names if one in module and f".{one}." in f".{module}.")
    return next(found, "")


def _forbid(halt: Halt) -> None:
    _Guard.tried += (halt,)
    raise halt


def _text(host: Any) -> str:
    return host.decode("ascii", "replace") if isinstance(host, bytes) else str(host)


def _is_here(host: Any) -> bool:
    """Say whether a host is this machine; None, for a socket that has no host, is."""
    if host is None:
        return True
    name = _text(host).lower().rstrip(".")
    if name in ("", "localhost") or name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


class Outcome(NamedTuple):
    """How a function ended.

    error: the exception that ended it. tried: what it did though it is forbidden.
    """

    error: BaseException | None
    tried: tuple[Halt, ...]


def run_limited(
    function: Callable[[], None],
    seconds: float = SECONDS,
    log: int | None = None,
    folders: Mapping[str, Path] = MappingProxyType({}),
) -> Outcome:
    """Run a function in a thread of its own, and stop it after the seconds.

    The error is a TimeLimit then. A thread, because that can be given up on every
    system, whatever it waits for. What holds all threads back, as an endless loop
    inside one call of a C function, ends the process instead, with a traceback in log
    (a file descriptor).

    folders: of which no file may be opened, by the names of the modules in them; a
        file stands for itself.
    """
    if not _Guard.is_hooked:
        sys.addaudithook(_audit)
        _Guard.is_hooked = True
    raised: list[BaseException] = []

    def target() -> None:
        sys.set_coroutine_origin_tracking_depth(20)
        try:
            function()
        except BaseException as error:
            raised.append(error)

    before = set(threading.enumerate())
    # A thread keeps what it was given where the answer can find it: an empty list.
    thread = threading.Thread(
        target=_call_last, args=([target],), name="answer", daemon=True
    )
    # A module that was imported before would be had without opening its file.
    hidden = {
        name: sys.modules.pop(name)
        for name in list(sys.modules)
        if named_in(name, folders)
    }
    _Guard.tried, _Guard.folders, _Guard.is_on = (), folders, True
    if log is not None:
        faulthandler.dump_traceback_later(seconds + _PATIENCE, exit=True, file=log)
    try:
        thread.start()
        thread.join(seconds)
        if thread.is_alive():
            raised.insert(0, TimeLimit(_where(thread, before)))
            _end(before)
            thread.join(0.2)
    finally:
        if log is not None:
            faulthandler.cancel_dump_traceback_later()
        _Guard.is_on = False
        sys.modules.update(hidden)
    return Outcome(raised[0] if raised else None, _Guard.tried)


def _call_last(functions: list[Callable[[], None]]) -> None:
    """Call the last of some functions, which is not in the list any more then."""
    functions.pop()()


# --- where it was ---


def _where(
    thread: threading.Thread, before: set[threading.Thread]
) -> list[tuple[str, int]]:
    """Return files and lines of a thread, innermost last.

    Before them come those of the other threads begun since, after them those of the
    tasks of their event loops: the learner's line is the last one in a file of theirs.
    """
    stacks = sys._current_frames()
    others = [one for one in threading.enumerate() if one not in {*before, thread}]
    frames = [
        frame
        for one in [*others, thread]
        for frame in _outer_frames(stacks.get(one.ident or 0))
    ]
    for frame in frames[:]:
        loop = (
            frame.f_locals.get("self")
            if frame.f_code.co_name == "run_forever"
            else None
        )
        if isinstance(loop, asyncio.AbstractEventLoop):
            for task in asyncio.all_tasks(loop):
                frames += _inner_frames(task.get_coro())
    return [(frame.f_code.co_filename, frame.f_lineno) for frame in frames]


def _outer_frames(frame: FrameType | None) -> list[FrameType]:
    stack: list[FrameType] = []
    while frame:
        stack.insert(0, frame)
        frame = frame.f_back
    return stack


def _inner_frames(coroutine: Any) -> list[FrameType]:
    """Return the frames of a coroutine and of those that it waits for."""
    stack: list[FrameType] = []
    while coroutine is not None:
        kind = "ag" if hasattr(coroutine, "ag_frame") else "cr"
        frame = getattr(coroutine, f"{kind}_frame", None)
        stack += [frame] if frame else []
        coroutine = getattr(coroutine, f"{kind}_await", None)
    return stack


# --- ending threads ---


class _Ended(Halt):
    """Raised in a thread that is to end.

    If a bare `except:` catches it, the next line there raises again: an _Ended is made
    in that thread, and sees to it.
    """

    def __init__(self) -> None:
        super().__init__()
        frame: FrameType | None = sys._getframe(1)
        sys.settrace(_end_line)
        while frame:
            if _is_own(frame):
                frame.f_trace = _end_line
            frame = frame.f_back


def _end_line(frame: FrameType, event: str, _: Any) -> Any:
    if event == "line" and _is_own(frame):
        raise Halt
    return _end_line


def _is_own(frame: FrameType) -> bool:
    """Say whether a frame is of the answer or the tests.

    A library has to be left to tidy up, and this file too.
    """
    name = frame.f_code.co_filename
    return name != __file__ and not name.startswith((sys.prefix, sys.base_prefix, "<"))


# Threads that have to end. They stay here for ever, since what an exception at any line
# left behind may hold others up.
_doomed: set[threading.Thread] = set()


class _Hooks:
    """What Python reports uncaught exceptions to, but not those of doomed threads.

    pytest has put its own there, and would blame the next test.
    """

    of_threads = of_finalizers = None

    @classmethod
    def install(cls) -> None:
        """Stand before the hooks of pytest, which are new ones in every run."""
        if threading.excepthook != cls.report:
            cls.of_threads = threading.excepthook
            threading.excepthook = cls.report
        if sys.unraisablehook != cls.report_finalizer:
            cls.of_finalizers = sys.unraisablehook
            sys.unraisablehook = cls.report_finalizer

    @classmethod
    def report(cls, args: threading.ExceptHookArgs) -> None:
        """Report what ended a thread."""
        if args.thread not in _doomed:
            cls.of_threads(args)

    @classmethod
    def report_finalizer(cls, args: Any) -> None:
        """Report what was raised where nobody could catch it."""
        if threading.current_thread() not in _doomed:
            cls.of_finalizers(args)


def _end(before: set[threading.Thread]) -> None:
    """Begin to end all threads that were started since, except those of servers.

    One that waits (for a socket, in a sleep) ends when that returns; until then it does
    no harm.
    """
    new = set(threading.enumerate()) - before
    _doomed.update(one for one in new if one.name not in ("mock-server", _REAPER))
    _Hooks.install()
    if not any(one.name == _REAPER for one in threading.enumerate()):
        threading.Thread(target=_reap, name=_REAPER, daemon=True).start()


def is_stuck() -> bool:
    """Say whether Python may not end by itself.

    It waits for the threads of an executor, daemons or not.
    """
    return any(one.is_alive() for one in _doomed)


def _reap() -> None:
    # Not is_alive(): that may be wrong for ever here, while another thread has the
    # number of this one.
    while running := _doomed.intersection(threading.enumerate()):
        for one in running:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(one.ident or 0), ctypes.py_object(_Ended)
            )
        time.sleep(0.02)
