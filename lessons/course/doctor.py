"""Check that this machine is ready for the course: `python -m lessons doctor`.

Nothing outside the standard library is imported before it was looked for, so that the
doctor can work on a bare Python.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import io
import os
import platform
import re
import shutil
import socket
import sys
import sysconfig
import textwrap
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from .results import WIDTH

OLDEST, NEWEST = (3, 11), (3, 14)
LESSONS = Path(__file__).resolve().parents[1]
REQUIREMENTS = LESSONS.parent / "requirements.txt"


class Finding(NamedTuple):
    """What one check found; remedy is what to do about it, and "" if all is well."""

    text: str
    remedy: str = ""


def read_requirements(group: int | None = None) -> dict[str, str]:
    """Return the packages of requirements.txt and the version each is pinned to.

    The version is "" for one that is not pinned.

    group: only the packages of this paragraph of the file, counted from 0.
    """
    paragraphs = REQUIREMENTS.read_text(encoding="utf-8").split("\n\n")
    chosen = paragraphs if group is None else paragraphs[group : group + 1]
    lines = re.findall(r"(?m)^([A-Za-z0-9][\w.-]*)(?:==(\S+))?", "\n".join(chosen))
    return dict(lines)


def missing_packages(group: int | None = None) -> list[str]:
    """Return the names of the required packages that are not installed."""
    return [name for name in read_requirements(group) if _version(name) is None]


def install_command(packages: str = "-r requirements.txt") -> str:
    """Return the command that installs packages for this Python on this machine.

    A Python of the system often refuses (PEP 668), so a virtual environment comes
    first. An environment that uv has made has no pip.
    """
    name = "python" if shutil.which("python") else "python3"
    install = f"python -m pip install {packages}"
    if sys.prefix == sys.base_prefix:
        refusal = Path(sysconfig.get_path("stdlib"), "EXTERNALLY-MANAGED")
        if refusal.is_file() or not importlib.util.find_spec("pip"):
            make = f"{name} -m venv .venv && . .venv/bin/activate && {install}"
            if importlib.util.find_spec("ensurepip"):
                return make
            return f"sudo apt install python3-venv && {make}"  # Debian keeps it apart
        return f"{name} -m pip install {packages}"
    if importlib.util.find_spec("pip"):
        return install
    if shutil.which("uv"):
        return f"uv pip install {packages}"
    return f"python -m ensurepip && {install}"


def keep_commands_whole(text: str) -> str:
    """Return a text in which no line break can get into a command at its end."""
    command = re.search(r"(?:sudo apt|python3? -m|uv pip) .*", text)
    return text.replace(command[0], command[0].replace(" ", "\0")) if command else text


def diagnose() -> int:
    """Print one line for each check, and what to do about it if it begins with [fix].

    Returns 1 if one does, otherwise 0.
    """
    print(f"{_about()}\n")
    has_failed = False
    for check in (
        check_python,
        check_packages,
        check_helpers,
        check_kernel,
        check_proxy,
        check_settings,
        check_server,
    ):
        for finding in check():
            _print("[fix] " if finding.remedy else "[ok]  ", finding.text)
            if finding.remedy:
                has_failed = True
                _print("      -> ", finding.remedy)
    print()
    if has_failed:
        print("Fix what says [fix], from the top, then run this again.")
        return 1
    print("All is well.")
    return 0


def check_python() -> Iterator[Finding]:
    """Python has to be one of the versions that the course is tested with."""
    found = f"Python {platform.python_version()}"
    if OLDEST <= sys.version_info[:2] <= NEWEST:
        yield Finding(found)
        return
    wanted = "{}.{} to {}.{}".format(*OLDEST, *NEWEST)
    yield Finding(
        f"{found}, but the course is tested with {wanted}",
        "install one of these from https://www.python.org/downloads/ and make a "
        "virtual environment with it",
    )


def check_packages() -> Iterator[Finding]:
    """Each package of requirements.txt has to be there, in the version it names."""
    wanted = read_requirements()
    found = {name: _version(name) for name in wanted}
    missing = [name for name in wanted if found[name] is None]
    other = [
        f"{name} {found[name]} (wanted {version})"
        for name, version in wanted.items()
        if version and found[name] not in (None, version)
    ]
    if missing:
        yield Finding(f"packages missing: {', '.join(missing)}", install_command())
    if other:
        yield Finding(
            f"packages in another version: {', '.join(other)}", install_command()
        )
    if not missing and not other:
        yield Finding(
            f"packages: all {len(wanted)} of requirements.txt, in the versions it names"
        )


def check_helpers() -> Iterator[Finding]:
    """The shared helpers have to be installed from here, not from another copy.

    Notebooks import them from where they were installed.
    """
    spec = importlib.util.find_spec("mock_server")
    if not spec or not spec.origin:
        yield Finding(
            "shared helpers: not installed, so a notebook cannot import mock_server",
            install_command(),
        )
    elif LESSONS not in Path(spec.origin).resolve().parents:
        yield Finding(
            "shared helpers: installed from another copy of the course",
            f"here, run: {install_command()}",
        )
    else:
        yield Finding("shared helpers: installed from this folder")


def check_kernel() -> Iterator[Finding]:
    """Jupyter needs a kernel named python3 that runs this Python."""
    try:
        from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel
    except ImportError:
        yield Finding("Jupyter: not installed", install_command())
        return
    try:
        program = KernelSpecManager().get_kernel_spec("python3").argv[0]
    except NoSuchKernel:
        yield Finding("Jupyter kernel: python3 is not there", install_command())
        return
    # Jupyter puts the Python that it runs on in place of these names.
    names = ("python", "python3", "python{}.{}".format(*sys.version_info))
    is_here = os.path.normcase(program) == os.path.normcase(sys.executable)
    if program in names or is_here:
        yield Finding("Jupyter kernel: python3 runs this Python")
    else:
        yield Finding(
            "Jupyter kernel: python3 runs another Python than this one",
            "python -m ipykernel install --sys-prefix --name python3",
        )


def check_proxy() -> Iterator[Finding]:
    """A proxy must not be asked for this machine, nor speak SOCKS without support."""
    # The addresses are not shown: they can hold a password.
    proxies = urllib.request.getproxies()
    proxies.pop("no", None)
    if not proxies:
        yield Finding("proxy: none")
        return
    kinds = ", ".join(sorted(proxies))
    if all(map(urllib.request.proxy_bypass, ("127.0.0.1", "localhost"))):
        yield Finding(f"proxy: set for {kinds}, and not asked for this machine")
    else:
        yield Finding(
            f"proxy: set for {kinds}, and asked even for this machine",
            "set the environment variable NO_PROXY to 127.0.0.1,localhost,::1 (the "
            "lessons do that for themselves; curl and your own programs do not)",
        )
    uses_socks = any(address.startswith("socks") for address in proxies.values())
    if uses_socks and not all(map(importlib.util.find_spec, ("socksio", "socks"))):
        yield Finding(
            "proxy: a SOCKS proxy is set, and httpx stops with an ImportError when it "
            "sees one",
            "unset ALL_PROXY and all_proxy, or run: "
            + install_command('"httpx[socks]" "requests[socks]"'),
        )


def check_settings() -> Iterator[Finding]:
    """Settings for a real API have to be in `.env`, not under a name beside it."""
    root = LESSONS.parent
    folders = ("notebooks", "lessons", "work")
    names = [".env.txt", "env", "env.txt", *(f"{folder}/.env" for folder in folders)]
    for name in names:
        if (root / name).is_file():
            yield Finding(
                f"settings: {name} is there, and nothing reads it",
                "move it to .env, in the folder of README.md; if there is a .env "
                "already, move the lines that you need and delete the other file",
            )


def check_server() -> Iterator[Finding]:
    """The mock server has to start on a free port and answer.

    Then it is said which API the lessons talk to.
    """
    if sys.version_info < OLDEST:
        return  # the server cannot run on such a Python, and that was said already
    try:
        socket.create_server(("127.0.0.1", 0)).close()
    except OSError as error:
        yield Finding(
            f"port: none can be opened on 127.0.0.1 ({error.strerror})",
            "allow Python to listen on this machine in your firewall or security "
            "program",
        )
        return
    yield Finding("port: there is a free one on 127.0.0.1")
    # As for a script, so that this works without the installed helpers too.
    sys.path.insert(0, str(LESSONS))
    try:
        from endpoint import choose_endpoint
        from mock_server import MockServer
    except ImportError as error:
        yield Finding(
            f"mock server: cannot start without {error.name}", install_command()
        )
        return
    with MockServer() as server:
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            direct.open(f"{server.url}/_mock/health", timeout=5).close()
        except OSError as error:
            yield Finding(
                f"mock server: starts, but does not answer ({error})",
                "allow Python to connect to this machine in your firewall or security "
                "program",
            )
            return
        yield Finding("mock server: starts and answers")
        told = io.StringIO()
        try:
            with contextlib.redirect_stdout(told):
                choose_endpoint(server)
        except SystemExit as error:
            yield Finding(
                "endpoint: the settings for a real API cannot be used", str(error)
            )
        else:
            yield Finding(f"endpoint: {told.getvalue().strip()}")


def _about() -> str:
    """Return what a bug report needs to know of the machine, without folder names."""
    version = _version("broken-on-purpose") or "(not installed)"
    python = f"{platform.python_implementation()} {platform.python_version()}"
    environment = "virtual environment"
    if sys.prefix == sys.base_prefix:
        environment = "no virtual environment"
    return (
        f"Broken on Purpose {version}, {python}, {environment},\n{platform.platform()}"
    )


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _print(start: str, text: str) -> None:
    """Print a text after its start, and indent the lines that it goes on in."""
    indent = " " * len(start)
    lines = textwrap.wrap(
        keep_commands_whole(text),
        WIDTH,
        initial_indent=start,
        subsequent_indent=indent,
        break_on_hyphens=False,
        break_long_words=False,
    )
    print("\n".join(lines).replace("\0", " "))
