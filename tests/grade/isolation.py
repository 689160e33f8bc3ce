"""The levels of isolation: which of them is possible here, and what each promises."""

import os
import pwd
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from lessons.course.exercises import Mistake

from . import confine

LEVELS = ("bwrap", "user", "process")
_SYSTEM = ("/usr", "/lib", "/lib64", "/bin", "/sbin")
_SETTINGS = ("hosts", "nsswitch.conf", "ld.so.cache", "localtime", "ssl")
_SETTINGS += ("alternatives",)

_HELD = {
    "bwrap": "each answer has a network and processes of its own, sees no file of the "
    "course but the exercise, has no rights, and is ended from outside with all that "
    "it started; what runs in one process with the tests is watched by control tests "
    "and cannot be ruled out altogether",
    "user": "each answer runs as another user without rights, within limits, and is "
    "ended from outside with all that it started; the network is not cut off",
    "process": "each answer runs in a process group with time limits, as you; the "
    "network is not cut off, and what it starts in a group of its own may outlive it; "
    "for answers you do not trust, use Linux with bubblewrap, WSL2 or CI",
}
_OPEN_FILES = "; it can read whatever {who} can read, the reference answers too"


def promise_of(level: str) -> str:
    """Return a sentence on what a level holds, and what it does not stop."""
    sentence = f"{level}: {_HELD[level]}"
    if level != "bwrap" and not confine.landlock_version():
        who = "you" if level == "process" else "every user"
        sentence += _OPEN_FILES.format(who=who)
    return sentence


class Python(NamedTuple):
    """Where the Python that runs the tests is.

    folders: all that it reads. modules: those of them that modules come from.
    """

    folders: list[Path]
    modules: list[str]


def find_python() -> Python:
    """Return where this Python is."""
    modules = [one for one in dict.fromkeys(sys.path) if _is_of_python(Path(one))]
    folders = [sys.prefix, sys.base_prefix, *modules]
    # A link in the bin of a virtual environment may lead through other folders.
    link = Path(sys.executable)
    while link.is_symlink():
        link = link.parent / link.readlink()
        folders.append(str(link.parent))
    unique = [Path(one).resolve() for one in dict.fromkeys(folders)]
    return Python(list(dict.fromkeys(unique)), modules)


def _is_of_python(folder: Path) -> bool:
    """Say whether a folder of modules is Python's or that of installed packages."""
    if not folder.is_dir() or not folder.is_absolute():
        return False
    prefixes = {Path(sys.prefix), Path(sys.base_prefix)}
    is_installed = folder.name in ("site-packages", "dist-packages")
    return is_installed or not prefixes.isdisjoint(folder.parents)


def readable(course: Path) -> list[Path]:
    """Return what a hand-in may read: Python, the system, and the helper packages."""
    lessons = course / "lessons"
    helpers = [lessons / name for name in ("mock_server", "robust_client", "exercises")]
    helpers += [path for path in lessons.glob("*.py")]
    system = [Path(one) for one in _SYSTEM]
    system += [Path("/etc", one) for one in _SETTINGS]
    return [*system, *find_python().folders, *helpers]


def user_id(slot: int) -> int:
    """Return the number of a user that does nothing else on this machine.

    0 for who is not root, and so cannot become another.
    """
    if os.geteuid() != 0:
        return 0
    start = 20_000 + (os.getpid() * 64 + slot) % 40_000
    taken = {one.pw_uid for one in pwd.getpwall()}
    return next(uid for uid in range(start, 65_000) if uid not in taken)


def unreachable(uid: int, folders: list[str]) -> list[str]:
    """Return the folders that a user cannot reach, where a parent is closed to it."""
    if not uid:
        return []
    ask = "import os, sys; os.setgroups([]); os.setgid({0}); os.setuid({0});"
    ask += "print(*[one for one in sys.argv[1:] if not os.access(one, os.R_OK)],"
    ask += "sep='\\n')"
    command = [sys.executable, "-I", "-S", "-c", ask.format(uid), *folders]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.split("\n")[:-1] if done.stdout.strip() else []


def command(level: str, course: Path, work: Path, channel: int) -> list[str]:
    """Return the command that starts the first process of a sandbox.

    course: the copy of the course. work: the folder of the answers.
    """
    inside = [sys.executable, "-B", "-s", "-m", "tests.grade.inside", str(channel)]
    if level != "bwrap":
        return inside
    wrap = ["bwrap", "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts"]
    wrap += ["--new-session", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"]
    for name in _SYSTEM:
        path = Path(name)
        if path.is_symlink():
            wrap += ["--symlink", str(path.readlink()), name]
        elif path.exists():
            wrap += ["--ro-bind", name, name]
    shown = [Path("/etc", one) for one in _SETTINGS if Path("/etc", one).exists()]
    for path in [*shown, *find_python().folders, course, work]:
        for parent in reversed(path.parents[:-1]):
            # bwrap would close a folder that it makes itself to all others.
            wrap += ["--perms", "0755", "--dir", str(parent)]
        wrap += ["--ro-bind", str(path), str(path)]
    return [*wrap, "--chdir", str(course), "--", *inside]


def environment(course: Path) -> dict[str, str]:
    """Return the environment of a sandbox: nothing of the caller's."""
    packages = [one for one in find_python().modules if one.endswith("-packages")]
    return {
        "PATH": "/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "PYTHONPATH": os.pathsep.join(
            [str(course), str(course / "lessons"), *packages]
        ),
        "PYTHONUTF8": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    }


def reasons_against(level: str) -> str:
    """Say why a level is not possible here; "" if nothing is known against it."""
    if not hasattr(os, "fork") or not hasattr(socket, "send_fds"):
        return "this system cannot fork a process: use Linux, macOS, WSL2 or CI"
    if level == "bwrap" and not shutil.which("bwrap"):
        return "there is no bwrap: install Debian's package bubblewrap"
    if level == "bwrap" and sys.platform != "linux":
        return "bwrap is for Linux"
    if level == "user" and (sys.platform != "linux" or os.geteuid() != 0):
        return "only root on Linux can give each answer another user"
    return ""


def default_jobs() -> int:
    """Return how many sandboxes keep this machine busy: four for each processor, since
    an answer waits for its server more than half of the time.
    """
    return 4 * (os.cpu_count() or 1)


def check_name(level: str) -> None:
    """Raise Mistake for what is no level."""
    if level not in ("auto", *LEVELS):
        known = ", ".join(("auto", *LEVELS))
        raise Mistake(f"there is no isolation {level!r}; the levels are {known}")
