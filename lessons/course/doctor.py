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
import socket
import sys
import textwrap
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

OLDEST, NEWEST = (3, 11), (3, 14)
INSTALL = "python -m pip install -r requirements.txt"
LESSONS = Path(__file__).resolve().parents[1]
REQUIREMENTS = LESSONS.parent / "requirements.txt"
WIDTH = 80  # columns


class Finding(NamedTuple):
    """What one check found; remedy is what to do about it, and "" if all is well."""

    text: str
    remedy: str = ""


def read_requirements(group: int | None = None) -> dict[str, str]:
    """Return the packages of requirements.txt and the version each is pinned to, "" for
    one that is not pinned.

    group: only the packages of this paragraph of the file, counted from 0.
    """
    paragraphs = REQUIREMENTS.read_text(encoding="utf-8").split("\n\n")
    chosen = paragraphs if group is None else paragraphs[group : group + 1]
    lines = re.findall(r"(?m)^([A-Za-z0-9][\w.-]*)(?:==(\S+))?", "\n".join(chosen))
    return dict(lines)


def missing_packages(group: int | None = None) -> list[str]:
    """Return the names of the required packages that are not installed."""
    return [name for name in read_requirements(group) if _version(name) is None]


def diagnose(root: Path) -> int:
    """Print one line for each check, and what to do where it begins with [fix]; return
    1 if one does, otherwise 0.
    """
    print(f"{_about(root)}\n")
    has_failed = False
    checks = (
        check_python,
        check_packages,
        check_helpers,
        check_kernel,
        check_proxy,
        check_server,
    )
    for check in checks:
        for finding in check():
            has_failed = has_failed or bool(finding.remedy)
            _print("[fix] " if finding.remedy else "[ok]  ", finding.text)
            if finding.remedy:
                _print("      -> ", finding.remedy)
    print(
        "\nMend what says [fix], from the top, then ask again."
        if has_failed
        else "\nAll is well."
    )
    return int(has_failed)


def check_python() -> Iterator[Finding]:
    """Python has to be one of the versions that the course is tested with."""
    wanted = "{}.{} to {}.{}".format(*OLDEST, *NEWEST)
    if OLDEST <= sys.version_info[:2] <= NEWEST:
        yield Finding(f"Python {platform.python_version()}")
    else:
        yield Finding(
            f"Python {platform.python_version()}, but the course is tested with "
            f"{wanted}",
            "install one of these from https://www.python.org/downloads/ and make a "
            "virtual environment with it",
        )


def check_packages() -> Iterator[Finding]:
    """Each package of requirements.txt has to be there, in the version that it is
    pinned to.
    """
    wanted = read_requirements()
    found = {name: _version(name) for name in wanted}
    missing = [name for name in wanted if found[name] is None]
    other = [
        f"{name} {found[name]} (wanted {version})"
        for name, version in wanted.items()
        if version and found[name] not in (None, version)
    ]
    if missing:
        yield Finding(f"packages missing: {', '.join(missing)}", INSTALL)
    if other:
        yield Finding(f"packages in another version: {', '.join(other)}", INSTALL)
    if not missing and not other:
        yield Finding(
            f"packages: all {len(wanted)} of requirements.txt, in the versions it names"
        )


def check_helpers() -> Iterator[Finding]:
    """Notebooks import the shared helpers from where they were installed: here, not in
    another copy of the course.
    """
    spec = importlib.util.find_spec("mock_server")
    if not spec or not spec.origin:
        yield Finding(
            "shared helpers: not installed, so a notebook cannot import mock_server",
            INSTALL,
        )
    elif LESSONS not in Path(spec.origin).resolve().parents:
        yield Finding(
            "shared helpers: installed from another copy of the course",
            f"here, run: {INSTALL}",
        )
    else:
        yield Finding("shared helpers: installed from this folder")


def check_kernel() -> Iterator[Finding]:
    """Jupyter needs a kernel named python3 that runs this Python."""
    try:
        from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel
    except ImportError:
        yield Finding("Jupyter: not installed", INSTALL)
        return
    try:
        program = KernelSpecManager().get_kernel_spec("python3").argv[0]
    except NoSuchKernel:
        yield Finding("Jupyter kernel: python3 is not there", INSTALL)
        return
    # Jupyter puts the Python that it runs on in place of these names.
    names = ("python", "python3", "python{}.{}".format(*sys.version_info))
    if program in names or os.path.normcase(program) == os.path.normcase(
        sys.executable
    ):
        yield Finding("Jupyter kernel: python3 runs this Python")
    else:
        yield Finding(
            "Jupyter kernel: python3 runs another Python than this one",
            "python -m ipykernel install --sys-prefix --name python3",
        )


def check_proxy() -> Iterator[Finding]:
    """A proxy must be asked neither for this machine nor in a language that the clients
    do not speak.
    """
    # The addresses are not shown: they can hold a password.
    proxies = {
        scheme: address
        for scheme, address in urllib.request.getproxies().items()
        if scheme != "no"
    }
    if not proxies:
        yield Finding("proxy: none")
        return
    kinds = ", ".join(sorted(proxies))
    if urllib.request.proxy_bypass("127.0.0.1") and urllib.request.proxy_bypass(
        "localhost"
    ):
        yield Finding(f"proxy: set for {kinds}, and not asked for this machine")
    else:
        yield Finding(
            f"proxy: set for {kinds}, and asked even for this machine",
            "set the environment variable NO_PROXY to 127.0.0.1,localhost,::1 (the "
            "lessons do that for"
            " themselves; curl and your own programs do not)",
        )
    speaks_socks = importlib.util.find_spec("socksio") and importlib.util.find_spec(
        "socks"
    )
    if (
        any(address.startswith("socks") for address in proxies.values())
        and not speaks_socks
    ):
        yield Finding(
            "proxy: a SOCKS proxy is set, and httpx stops with an ImportError when it "
            "sees one",
            'python -m pip install "httpx[socks]" "requests[socks]", or unset ALL_PROXY and all_proxy',
        )


def check_server() -> Iterator[Finding]:
    """The mock server has to start on a free port and answer; then it can be asked
    which API the lessons talk to.
    """
    if sys.version_info < OLDEST:
        # the server does not know such a Python, and what is wrong was said already
        return
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
    sys.path.insert(
        0, str(LESSONS)
    )  # as for a script, so that this works without the installed helpers too
    try:
        from endpoint import choose_endpoint
        from mock_server import MockServer
    except ImportError as error:
        yield Finding(f"mock server: cannot start without {error.name}", INSTALL)
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


def _about(root: Path) -> str:
    """Say in one line what a bug report has to say of the machine; nothing in it names
    a person or a folder.
    """
    version = _version("broken-on-purpose") or "(not installed)"
    python = f"{platform.python_implementation()} {platform.python_version()}"
    environment = (
        "virtual environment"
        if sys.prefix != sys.base_prefix
        else "no virtual environment"
    )
    return (
        f"Broken on Purpose {version}, {python}, {environment},\n{platform.platform()}"
    )


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _print(start: str, text: str) -> None:
    print(
        textwrap.fill(
            text,
            WIDTH,
            initial_indent=start,
            subsequent_indent=" " * len(start),
            break_on_hyphens=False,
        )
    )
