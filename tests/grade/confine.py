"""What a process gives up before it runs a hand-in: done by the process itself.

Each function is for one wall; inside.py says which ones a level has. Everything here is
for Linux but limit_resources, which every Unix has.
"""

import contextlib
import ctypes
import fcntl
import os
import resource
import signal
import socket
import struct
import sys
from collections.abc import Iterable
from pathlib import Path

MEMORY = 2 << 30  # bytes of addresses
FILE = 16 << 20  # bytes of one file, and so of what is printed
DISK = 32 << 20  # bytes of all files, at the level bwrap
PROCESSOR = 60  # seconds of processor time for one test
PROCESSES = 256  # threads count too
FILES = 1024  # open at once

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 1, 4, 38
_NEW_NAMESPACES = (
    0x00020000  # mounts
    | 0x04000000  # host name
    | 0x08000000  # System V IPC
    | 0x10000000  # users
    | 0x20000000  # process numbers
    | 0x40000000  # network
)
_NO_SETUID_OR_DEVICES = 2 | 4  # flags of mount(2)
_INTERFACE_UP, _SET_FLAGS = 0x1, 0x8914  # netdevice(7)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def limit_resources(counts_processes: bool) -> None:
    """Set limits that the process, and whatever it starts, cannot raise again.

    counts_processes: whether the number of processes can be limited: it counts all
        those of the user, so only for one that nobody else uses.
    """
    limits = {
        "RLIMIT_CORE": 0,
        "RLIMIT_AS": MEMORY,
        "RLIMIT_FSIZE": FILE,
        "RLIMIT_CPU": PROCESSOR,
        "RLIMIT_NOFILE": FILES,
    }
    if counts_processes:
        limits["RLIMIT_NPROC"] = PROCESSES
    for name, most in limits.items():
        kind = getattr(resource, name)
        _, hard = resource.getrlimit(kind)
        if hard != resource.RLIM_INFINITY:
            most = min(most, hard)
        # macOS has no limit of addresses, and says so in this way.
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(kind, (most, most))


def become(uid: int) -> None:
    """Become a user without rights, for good. Only root can."""
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    # Or this process could not even read what Linux says about it under /proc/self.
    _libc().prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)


def end_with_parent() -> None:
    """Let the system end this process when its parent ends."""
    if sys.platform == "linux":
        _libc().prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def leave(scratch: Path) -> None:
    """Leave the namespaces of the machine; the children of this process are in new
    ones.

    They have a network of their own with nothing in it, see no process but their own,
    and write to the folder scratch what nobody else sees and what has an end.
    """
    libc = _libc()
    uid, gid = os.getuid(), os.getgid()
    _check(libc.unshare(_NEW_NAMESPACES), "unshare")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"1000 {uid} 1")
    Path("/proc/self/gid_map").write_text(f"1000 {gid} 1")
    with socket.socket() as any_socket:
        up = struct.pack("16sh14x", b"lo", _INTERFACE_UP)
        fcntl.ioctl(any_socket, _SET_FLAGS, up)
    # Over /proc, too: it tells of other processes, and lets write into their memory.
    for folder, size in ((scratch, DISK), (Path("/proc"), 4096)):
        options = f"size={size},mode=0700,uid=1000,gid=1000".encode()
        mounted = libc.mount(
            b"tmpfs", os.fsencode(folder), b"tmpfs", _NO_SETUID_OR_DEVICES, options
        )
        _check(mounted, f"mount {folder}")


def give_up_rights() -> None:
    """Give up all capabilities, and any way to get some."""
    libc = _libc()
    _check(libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl")
    head = struct.pack("Ii", 0x20080522, 0)  # version 3 of capset(2)
    _check(libc.capset(head, bytes(24)), "capset")


# --- Landlock: files and signals, without any rights ---------------------------------
# See the kernel's documentation, userspace-api/landlock.

_CREATE, _ADD, _RESTRICT = 444, 445, 446  # numbers of system calls
_EXECUTE, _WRITE, _READ, _READ_FOLDER = 1, 2, 4, 8
_UP_TO = {1: 1 << 13, 2: 1 << 14, 3: 1 << 15, 4: 1 << 15}  # file rights of a version
_SCOPES = 0b11  # abstract sockets and signals, from version 6 on


def landlock_version() -> int:
    """Return the version of Landlock that the kernel has, 0 for none."""
    if sys.platform != "linux":
        return 0
    return max(_libc().syscall(_CREATE, None, 0, 1), 0)


def hide_files(
    readable: Iterable[Path], writable: Iterable[Path], listed: Iterable[Path] = ()
) -> bool:
    """Leave this process no files but those in some folders; of the folders listed, it
    sees the names only.

    From version 6 on it can send no signal either, except to what it starts. Returns
    False where the kernel has no Landlock.
    """
    version = landlock_version()
    if not version:
        return False
    libc = _libc()
    every = _UP_TO.get(version, 1 << 16) - 1
    rules = struct.pack("QQQ", every, 0, _SCOPES if version >= 6 else 0)
    size = 8 if version < 4 else 16 if version < 6 else 24
    handle = _check(libc.syscall(_CREATE, rules, size, 0), "landlock")
    read = _EXECUTE | _READ | _READ_FOLDER
    devices = [Path("/dev/null"), Path("/dev/zero"), Path("/dev/urandom")]
    allowed = [(path, read) for path in readable]
    allowed += [(path, every) for path in writable]
    allowed += [(path, _READ_FOLDER) for path in listed]
    allowed += [(path, _READ | _WRITE) for path in devices]
    for path, rights in allowed:
        try:
            place = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            continue  # what is not there need not be allowed
        if not path.is_dir():
            rights &= _EXECUTE | _READ | _WRITE
        rule = struct.pack("=Qi", rights, place)
        _check(libc.syscall(_ADD, handle, 1, rule, 0), f"landlock {path}")
        os.close(place)
    _check(libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl")
    _check(libc.syscall(_RESTRICT, handle, 0), "landlock")
    os.close(handle)
    return True


# --- a Python that only root can read -------------------------------------------------


def keep_python_readable(folders: Iterable[str]) -> None:
    """Let a user without rights import modules from folders that it cannot reach.

    This process opens them, and Python finds them under /proc/self/fd from then on.
    Needed where the Python of root is below a closed home.
    """
    for folder in folders:
        place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        os.set_inheritable(place, True)
        other = f"/proc/self/fd/{place}"
        _replace(sys.path, folder, other)
        for module in list(sys.modules.values()):
            paths = getattr(module, "__path__", None)
            if isinstance(paths, list):
                _replace(paths, folder, other)
    sys.path_importer_cache.clear()


def _replace(paths: list[str], folder: str, other: str) -> None:
    for place, path in enumerate(paths):
        if path == folder or path.startswith(folder + os.sep):
            paths[place] = other + path[len(folder) :]
