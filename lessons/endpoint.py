"""Which API a lesson talks to: the mock server on this machine, unless you ask for a
real one.

You ask for a real one with OPENAI_BASE_URL, OPENAI_API_KEY and OPENAI_MODEL, in the
environment or in a file named .env at the root of this repository (.env.example
explains them). Where both say something, the environment wins. Under pytest neither is
read, so that no test leaves this machine.
"""

import importlib.util
import io
import ipaddress
import os
import re
import sys
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from dotenv import dotenv_values
from dotenv.parser import parse_stream
from mock_server import MockServer

ENV_FILE = Path(__file__).parents[1] / ".env"
NAMES = KEY, BASE_URL, MODEL = ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_MODEL")
PLACEHOLDER = "put-your-key-here"  # what stands in .env.example
LOOPBACK = ("127.0.0.1", "localhost", "::1")
_UNWANTED = "\"'`<>\u2018\u2019\u201c\u201d"  # what is easily copied along with a value
# + a name: what this module has put there, not you
_PUT = "BROKEN_ON_PURPOSE_"
_before: dict[str, str | None] = {}  # what was there before


@dataclass(frozen=True)
class Endpoint:
    """An API: its address without a slash at the end, the key it accepts (not in the
    repr), and a model it offers.
    """

    base_url: str
    api_key: str = field(repr=False)
    model: str
    is_mock: bool


def run_main(main: Callable[[], object]) -> None:
    """Run a script's main(), and end with one line if somebody presses Ctrl-C, and with
    none if the reader of the output has gone, as in `python lessons/03… | head`.

    A letter that the console does not have is shown as a question mark.
    """
    sys.stdout.reconfigure(errors="replace")
    try:
        main()
        sys.stdout.flush()
    except KeyboardInterrupt:
        sys.exit("stopped")
    except BrokenPipeError:
        # Python flushes once more at its end, and must not fail then.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def choose_endpoint(server: MockServer) -> Endpoint:
    """Return the API to talk to, print which it is, and set the three variables of this
    process accordingly.

    Raises SystemExit, with a sentence that says what to do, if a setting is missing or
    cannot be right.
    """
    if not server.port:
        raise RuntimeError("the server has no address yet: call server.start() first")
    bypass_proxy_for_loopback()
    environment, file = (
        ({}, {})
        if "PYTEST_VERSION" in os.environ
        else (_read_environment(), _read_file())
    )
    settings = {**file, **environment}
    if settings.get(BASE_URL):
        sources = {
            name: "the environment" if name in environment else ".env"
            for name in NAMES
            if settings.get(name)
        }
        _check(settings)
        _check_sources(environment, file, sources)
        endpoint = Endpoint(
            settings[BASE_URL].rstrip("/"),
            settings[KEY],
            settings[MODEL],
            is_mock=False,
        )
        _check_socks()
        where = " and ".join(sorted(set(sources.values())))
        print(f"Talking to: {endpoint.base_url}, model {endpoint.model} (from {where})")
    else:
        leave_out_socks()
        endpoint = Endpoint(server.base_url, server.api_key, "mock-small", is_mock=True)
        print(
            "Talking to: the mock server on this machine (127.0.0.1), model "
            f"{endpoint.model}"
        )
    for name, value in zip(
        NAMES, (endpoint.api_key, endpoint.base_url, endpoint.model), strict=True
    ):
        if environment.get(name) != value:
            _before[name] = environment.get(name)
            os.environ[name] = os.environ[_PUT + name] = value
    return endpoint


def bypass_proxy_for_loopback() -> None:
    """Add this machine to NO_PROXY and no_proxy: behind a proxy or VPN, the mock server
    would look dead otherwise.
    """
    if not urllib.request.getproxies_environment():
        # Once NO_PROXY is set, Python does not ask macOS or Windows for its proxy any
        # more: so put that down first.
        for scheme, address in urllib.request.getproxies().items():
            os.environ[f"{scheme}_proxy"] = address
    lower, upper = os.environ.get("no_proxy"), os.environ.get("NO_PROXY")
    for name, hosts in (("no_proxy", lower or upper), ("NO_PROXY", upper or lower)):
        kept = [host.strip() for host in (hosts or "").split(",") if host.strip()]
        if kept != ["*"]:  # which stands for every host, but only alone
            os.environ[name] = ",".join(
                [*kept, *(host for host in LOOPBACK if host not in kept)]
            )


def leave_out_socks() -> None:
    """Take SOCKS proxies out of the environment of this process, which talks to this
    machine only: httpx fails if it finds one, unless another package is installed.
    """
    for name in _socks_proxies():
        del os.environ[name]


def _socks_proxies() -> list[str]:
    """Return the variables of the environment that name a SOCKS proxy."""
    return [
        name
        for name, value in os.environ.items()
        if name.lower().endswith("_proxy") and value.lower().startswith("socks")
    ]


def _check_socks() -> None:
    """Refuse a SOCKS proxy for a real API if the packages for it are missing."""
    is_missing = not all(map(importlib.util.find_spec, ("socksio", "socks")))
    _stop_if(
        is_missing and _socks_proxies(),
        "A SOCKS proxy is set, and the packages for it are not installed: run python "
        '-m pip install "httpx[socks]" "requests[socks]", or unset ALL_PROXY and '
        "all_proxy.",
    )


def _read_environment() -> dict[str, str]:
    found = {}
    for name in NAMES:
        value = os.environ.get(name)
        if value is not None and value == os.environ.get(_PUT + name):
            value = _before.get(name)
        if value is not None:
            found[name] = value.strip()
    return found


def _read_file() -> dict[str, str]:
    try:
        text = ENV_FILE.read_text(encoding="utf-8-sig") if ENV_FILE.is_file() else ""
    except UnicodeDecodeError:
        text = "\0"
    except OSError as error:
        raise SystemExit(
            f".env cannot be read ({error.strerror}): allow reading it, or remove it."
        ) from error
    _stop_if(
        "\0" in text,
        ".env is not UTF-8 text: open it in your editor and save it as UTF-8.",
    )
    for binding in parse_stream(io.StringIO(text)):
        empty_lines_above = re.match(r"\s*", binding.original.string)[0].count("\n")
        line = binding.original.line + empty_lines_above
        is_wrong = binding.error or (binding.key and binding.value is None)
        _stop_if(
            is_wrong,
            f".env, line {line}: write NAME=value there, or put a # before it.",
        )
    return {
        name: value.strip()
        for name, value in dotenv_values(stream=io.StringIO(text)).items()
        if name in NAMES
    }


def _check(settings: dict[str, str]) -> None:
    url, key, model = (settings.get(name, "") for name in (BASE_URL, KEY, MODEL))
    _stop_if(
        not key,
        f"{KEY} is missing: set it too. For a local server that needs no key, any "
        "word will do.",
    )
    _stop_if(
        not model,
        f"{MODEL} is missing: set it to the name of a model that {BASE_URL} offers.",
    )
    for name in NAMES:
        is_wrong = any(
            not letter.isprintable() or letter in _UNWANTED + " "
            for letter in settings[name]
        )
        _stop_if(
            is_wrong,
            f"{name} has a space, a quotation mark or a bracket < > in it: write the "
            "value without it.",
        )
    _stop_if(
        key == PLACEHOLDER, f"{KEY} is still {PLACEHOLDER!r}: put your own key there."
    )
    _stop_if(
        not key.isascii(),
        f"{KEY} has a letter in it that no key can have: copy the key once more.",
    )
    _stop_if(
        model.startswith("sk-") or model == key,
        f"{MODEL} holds a key: put the name of a model there.",
    )
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        host = ""
    is_address = host and parts.scheme in ("http", "https")
    _stop_if(
        not is_address,
        f"{BASE_URL} is not an address: write it like https://api.example.com/v1.",
    )
    is_more = "@" in parts.netloc or "?" in url or "#" in url
    _stop_if(
        is_more,
        f"{BASE_URL} must be an address only, without a password, ? or #; the key "
        f"goes into {KEY}.",
    )
    is_long = parts.path.rstrip("/").endswith("/completions")
    _stop_if(
        is_long,
        f"{BASE_URL} must end before /chat/completions, which the lessons add "
        "themselves.",
    )
    is_open = parts.scheme == "http" and not _is_nearby(host)
    _stop_if(
        is_open,
        f"{BASE_URL} would send your key unencrypted to {host}: write https:// in "
        "place of http://.",
    )


def _check_sources(
    environment: dict[str, str], file: dict[str, str], sources: dict[str, str]
) -> None:
    """Refuse to send the key of one place to the address of the other, if the two
    places disagree.
    """
    for name in (BASE_URL, KEY):
        is_double = (
            environment.get(name) and file.get(name) and environment[name] != file[name]
        )
        is_mixed = is_double and sources[BASE_URL] != sources[KEY]
        _stop_if(
            is_mixed,
            f"{name} is one thing in the environment and another in .env: remove the "
            "one that is wrong.",
        )


def _is_nearby(host: str) -> bool:
    """Say whether a host is this machine or in a private network, where plain http is
    usual.
    """
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return "." not in host or host.endswith(
            (".local", ".localhost", ".internal", ".lan", ".home.arpa")
        )


def _stop_if(is_wrong: object, sentence: str) -> None:
    if is_wrong:
        raise SystemExit(sentence)
