"""The switch between the mock and a real API: who is talked to, what is refused, and
what never shows.
"""

import asyncio
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import aiohttp
import endpoint
import httpx
import pytest
import requests
from endpoint import (
    BASE_URL,
    KEY,
    LOOPBACK,
    MODEL,
    NAMES,
    bypass_proxy_for_loopback,
    choose_endpoint,
)
from mock_server import MockServer

ROOT = Path(__file__).parents[2]
MOCK_LINE = (
    "Talking to: the mock server on this machine (127.0.0.1), model mock-small\n"
)
OURS = ",".join(LOOPBACK)
SECRET = "a-secret-that-must-not-show"
REAL = f"{BASE_URL}=https://api.example.com/v1\n{KEY}={SECRET}\n{MODEL}=some-model\n"


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No proxy, no setting, an empty place for .env, and at the end everything as it
    was.
    """
    before = dict(os.environ)
    monkeypatch.setattr(endpoint, "_before", {})
    monkeypatch.setattr(endpoint, "ENV_FILE", tmp_path / ".env")
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name.startswith(
            ("OPENAI_", "BROKEN_ON_PURPOSE_")
        ):
            del os.environ[name]
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def outside_pytest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the module see what it sees in a lesson: no pytest."""
    monkeypatch.delenv("PYTEST_VERSION")


@pytest.fixture
def write(tmp_path: Path, outside_pytest: None) -> Callable[[str | bytes], None]:
    """Write the learner's .env."""

    def write_file(text: str | bytes) -> None:
        (tmp_path / ".env").write_bytes(
            text if isinstance(text, bytes) else text.encode()
        )

    return write_file


def stop_sentence(server: MockServer, capsys: pytest.CaptureFixture[str]) -> str:
    """Choose, expect to be stopped, and return the sentence; nothing else may have been
    printed or set.
    """
    with pytest.raises(SystemExit) as stopped:
        choose_endpoint(server)
    sentence = stopped.value.code
    assert isinstance(sentence, str), (
        "a text, which Python prints before it ends with status 1"
    )
    assert "\n" not in sentence and sentence.endswith(".")
    assert SECRET not in sentence
    assert capsys.readouterr().out == ""
    return sentence


# --- which one ---


def test_without_settings_it_is_the_mock(
    server: MockServer, outside_pytest: None, capsys: pytest.CaptureFixture[str]
) -> None:
    """No .env and no variable: the mock, in exactly the words that every lesson begins
    with.
    """
    chosen = choose_endpoint(server)
    assert capsys.readouterr().out == MOCK_LINE
    assert chosen == endpoint.Endpoint(
        server.base_url, server.api_key, "mock-small", is_mock=True
    )
    assert [os.environ[name] for name in NAMES] == [
        server.api_key,
        server.base_url,
        "mock-small",
    ]
    reply = requests.get(
        f"{chosen.base_url}/models",
        headers={"Authorization": f"Bearer {chosen.api_key}"},
        timeout=2,
    )
    assert chosen.model in [model["id"] for model in reply.json()["data"]]


def test_a_real_key_alone_still_means_the_mock(
    server: MockServer, outside_pytest: None
) -> None:
    """Many people have OPENAI_API_KEY set for good; without a base URL it is not used,
    and replaced in this process.
    """
    os.environ[KEY] = SECRET
    assert choose_endpoint(server).is_mock
    assert os.environ[KEY] == server.api_key


@pytest.mark.parametrize(
    "text",
    ["", f"{KEY}={SECRET}\n{MODEL}=x\n", f"{BASE_URL}=\n{KEY}={SECRET}\n", f"# {REAL}"],
)
def test_a_file_without_base_url_means_the_mock(
    server: MockServer,
    write: Callable[[str], None],
    text: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """OPENAI_BASE_URL is the switch: without it, or empty, the mock server answers."""
    write(text.replace("\n", "\n# ") if text.startswith("#") else text)
    choose_endpoint(server)
    assert capsys.readouterr().out == MOCK_LINE


def test_the_example_file_still_means_the_mock(
    server: MockServer, write: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """A plain copy of .env.example changes nothing, and every variable is in it."""
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    write(example)
    choose_endpoint(server)
    assert capsys.readouterr().out == MOCK_LINE
    for name in NAMES:
        assert f"\n# {name}=" in example, f"{name} is explained in .env.example"


def test_the_placeholder_of_the_example_file_is_noticed(
    server: MockServer, write: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """Who takes the # away in .env.example, and does not fill in a key, is told so."""
    first_block = (
        (ROOT / ".env.example")
        .read_text(encoding="utf-8")
        .split("A model on your own machine")[0]
    )
    write(
        "\n".join(
            line.removeprefix("# ")
            for line in first_block.splitlines()
            if line.startswith("# OPENAI_")
        )
    )
    assert (
        stop_sentence(server, capsys)
        == f"{KEY} is still 'put-your-key-here': put your own key there."
    )


@pytest.mark.parametrize("slash", ["", "/", "//"])
@pytest.mark.parametrize(
    "style", ["{0}={1}", 'export {0}="{1}"', "{0} = '{1}'  # a comment"]
)
def test_the_file_switches_to_a_real_api(
    server: MockServer,
    write: Callable[[str], None],
    capsys: pytest.CaptureFixture[str],
    slash: str,
    style: str,
) -> None:
    """All ways to write a .env file that python-dotenv knows; a slash at the end of the
    URL makes no difference.
    """
    values = {
        BASE_URL: f"https://api.example.com/v1{slash}",
        KEY: SECRET,
        MODEL: "some-model",
    }
    write("\r\n".join(style.format(name, value) for name, value in values.items()))
    chosen = choose_endpoint(server)
    assert chosen == endpoint.Endpoint(
        "https://api.example.com/v1", SECRET, "some-model", is_mock=False
    )
    assert (
        capsys.readouterr().out
        == "Talking to: https://api.example.com/v1, model some-model (from .env)\n"
    )
    assert [os.environ[name] for name in NAMES] == [
        SECRET,
        "https://api.example.com/v1",
        "some-model",
    ]
    assert SECRET not in repr(chosen)


def test_a_byte_order_mark_is_accepted(
    server: MockServer, write: Callable[[bytes], None]
) -> None:
    """Windows editors put one in front of UTF-8 text."""
    write(b"\xef\xbb\xbf" + REAL.encode())
    assert choose_endpoint(server).base_url == "https://api.example.com/v1"


def test_the_environment_switches_too_and_wins_over_the_file(
    server: MockServer, write: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """A variable that is set is not overridden by .env, and the line says where the
    settings come from.
    """
    os.environ.update(
        {BASE_URL: "http://localhost:11434/v1/", KEY: "none", MODEL: "tiny"}
    )
    assert choose_endpoint(server).base_url == "http://localhost:11434/v1"
    assert (
        capsys.readouterr().out
        == "Talking to: http://localhost:11434/v1, model tiny (from the environment)\n"
    )
    write(REAL)
    assert choose_endpoint(server).model == "tiny"
    assert capsys.readouterr().out.endswith("(from the environment)\n")


def test_settings_from_both_places_are_named(
    server: MockServer, write: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """A key in the environment and the rest in .env is a common arrangement."""
    os.environ[KEY] = SECRET
    write(REAL.replace(f"{KEY}={SECRET}\n", ""))
    assert choose_endpoint(server).api_key == SECRET
    assert capsys.readouterr().out.endswith(
        "model some-model (from .env and the environment)\n"
    )


def test_an_empty_variable_turns_the_file_off_for_once(
    server: MockServer, write: Callable[[str], None]
) -> None:
    """`OPENAI_BASE_URL= python lessons/…` runs one lesson on the mock."""
    os.environ[BASE_URL] = ""
    write(REAL)
    assert choose_endpoint(server).is_mock


@pytest.mark.parametrize(
    "environment",
    [{KEY: "the-key-of-another-service"}, {BASE_URL: "https://other.example.com/v1"}],
)
def test_a_key_is_not_sent_to_an_address_from_elsewhere(
    server: MockServer,
    write: Callable[[str], None],
    capsys: pytest.CaptureFixture[str],
    environment: dict[str, str],
) -> None:
    """If .env and the environment disagree on key or URL, a mixture would give the key
    of one service to another.
    """
    os.environ.update(environment)
    write(REAL)
    (name,) = environment
    sentence = stop_sentence(server, capsys)
    assert sentence.startswith(
        f"{name} is one thing in the environment and another in .env"
    )


# --- run again in the same process: a notebook's first cell ---


def test_the_choice_can_be_made_again(
    server: MockServer, write: Callable[[str], None]
) -> None:
    """What an earlier call put into the environment is not taken for a setting of the
    learner's.
    """
    os.environ[KEY] = SECRET
    assert choose_endpoint(server).is_mock
    assert choose_endpoint(server).is_mock
    with MockServer() as second:
        assert choose_endpoint(second).base_url == second.base_url
    write(f"{BASE_URL}=https://api.example.com/v1\n{MODEL}=one\n")
    assert choose_endpoint(server) == endpoint.Endpoint(
        "https://api.example.com/v1", SECRET, "one", is_mock=False
    )
    write(f"{BASE_URL}=https://api.example.com/v2\n{MODEL}=two\n")
    assert choose_endpoint(server) == endpoint.Endpoint(
        "https://api.example.com/v2", SECRET, "two", is_mock=False
    )
    os.environ[MODEL] = "three"
    assert choose_endpoint(server).model == "three", (
        "a variable that is set between two calls counts"
    )
    write("")
    assert choose_endpoint(server).is_mock


def test_a_server_that_was_not_started_is_noticed() -> None:
    """Its address would have port 0, and the error would come much later."""
    with pytest.raises(RuntimeError, match=r"call server\.start\(\) first"):
        choose_endpoint(MockServer())


# --- under pytest ---


def test_under_pytest_nothing_is_read(
    server: MockServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No test leaves this machine, whatever the learner's .env and environment say, and
    however broken they are.
    """
    os.environ.update(
        {BASE_URL: "https://api.example.com/v1", KEY: SECRET, MODEL: "some-model"}
    )
    (tmp_path / ".env").write_text("this is no .env file", encoding="utf-16")
    assert choose_endpoint(server).is_mock
    assert capsys.readouterr().out == MOCK_LINE
    assert [os.environ[name] for name in NAMES] == [
        server.api_key,
        server.base_url,
        "mock-small",
    ]


# --- what is refused ---


def settings(**changed: str | None) -> str:
    """The text of a good .env, with some values changed or left out."""
    values = {
        BASE_URL: "https://api.example.com/v1",
        KEY: SECRET,
        MODEL: "some-model",
        **changed,
    }
    return "\n".join(
        f"{name}={value}" for name, value in values.items() if value is not None
    )


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            settings(OPENAI_API_KEY=None),
            f"{KEY} is missing: set it too. For a local server that needs no key",
        ),
        (settings(OPENAI_API_KEY=""), f"{KEY} is missing: set it too."),
        (
            settings(OPENAI_MODEL=None),
            f"{MODEL} is missing: set it to the name of a model",
        ),
        (
            settings(OPENAI_MODEL=""),
            f"{MODEL} is missing: set it to the name of a model",
        ),
        (
            settings(OPENAI_BASE_URL="api.example.com/v1"),
            f"{BASE_URL} is not an address: write it like https://",
        ),
        (
            settings(OPENAI_BASE_URL="ftp://api.example.com/v1"),
            f"{BASE_URL} is not an address: write it like https://",
        ),
        (
            settings(OPENAI_BASE_URL="localhost:11434/v1"),
            f"{BASE_URL} is not an address: write it like https://",
        ),
        (
            settings(OPENAI_BASE_URL="https://"),
            f"{BASE_URL} is not an address: write it like https://",
        ),
        (
            settings(OPENAI_BASE_URL="https:///v1"),
            f"{BASE_URL} is not an address: write it like https://",
        ),
        (
            settings(OPENAI_BASE_URL="https://[::1/v1"),
            f"{BASE_URL} is not an address: write it like https://",
        ),
        (
            settings(OPENAI_BASE_URL="https://a.example:80x/v1"),
            f"{BASE_URL} is not an address: write it like https://",
        ),
        (
            settings(OPENAI_BASE_URL=SECRET),
            f"{BASE_URL} is not an address: write it like https://",
        ),
        (
            settings(OPENAI_BASE_URL="https://a.example /v1"),
            f"{BASE_URL} has a space, a quotation mark or a bracket",
        ),
        (
            settings(OPENAI_BASE_URL="“https://a.example/v1”"),
            f"{BASE_URL} has a space, a quotation mark",
        ),
        (
            settings(OPENAI_BASE_URL="\"'https://a.example/v1'\""),
            f"{BASE_URL} has a space, a quotation mark",
        ),
        (
            settings(OPENAI_BASE_URL="<https://a.example/v1>"),
            f"{BASE_URL} has a space, a quotation mark",
        ),
        (
            settings(OPENAI_BASE_URL="https://a\N{NO-BREAK SPACE}.example/v1"),
            f"{BASE_URL} has a space",
        ),
        (
            settings(OPENAI_API_KEY=f"Bearer {SECRET}"),
            f"{KEY} has a space, a quotation mark or a bracket",
        ),
        (
            settings(OPENAI_API_KEY=f"\u2019{SECRET}"),
            f"{KEY} has a space, a quotation mark or a bracket",
        ),
        (
            settings(OPENAI_API_KEY=f"{SECRET}é"),
            f"{KEY} has a letter in it that no key can have",
        ),
        (
            settings(OPENAI_API_KEY="put-your-key-here"),
            f"{KEY} is still 'put-your-key-here'",
        ),
        (
            settings(OPENAI_MODEL="<model>"),
            f"{MODEL} has a space, a quotation mark or a bracket",
        ),
        (
            settings(OPENAI_MODEL=SECRET),
            f"{MODEL} holds a key: put the name of a model there.",
        ),
        (
            settings(OPENAI_MODEL="sk" + "-123"),
            f"{MODEL} holds a key: put the name of a model there.",
        ),
        (
            settings(OPENAI_BASE_URL=f"https://me:{SECRET}@a.example/v1"),
            f"{BASE_URL} must be an address only",
        ),
        (
            settings(OPENAI_BASE_URL=f"https://a.example/v1?key={SECRET}"),
            f"{BASE_URL} must be an address only",
        ),
        (
            settings(OPENAI_BASE_URL="https://a.example/v1/chat/completions"),
            f"{BASE_URL} must end before /chat/comp",
        ),
        (
            settings(OPENAI_BASE_URL="https://a.example/v1/chat/completions/"),
            f"{BASE_URL} must end before /chat/comp",
        ),
        (
            settings(OPENAI_BASE_URL="http://api.example.com/v1"),
            f"{BASE_URL} would send your key unencrypted to api.",
        ),
        (
            settings(OPENAI_BASE_URL="http://8.8.8.8/v1"),
            f"{BASE_URL} would send your key unencrypted to 8.8.8.8",
        ),
        (
            f"\n\n# a comment\n{BASE_URL} https://a.example/v1\n",
            ".env, line 4: write NAME=value there",
        ),
        (
            f"{KEY}={SECRET}\nset {BASE_URL}=https://a.example/v1\n",
            ".env, line 2: write NAME=value there",
        ),
        (
            f'{KEY}={SECRET}\n\n{BASE_URL}="https://a.example/v1\n',
            ".env, line 3: write NAME=value there",
        ),
        (f"{BASE_URL}\n", ".env, line 1: write NAME=value there"),
        (
            REAL.encode("utf-16"),
            ".env is not UTF-8 text: open it in your editor and save it as UTF-8.",
        ),
        (
            REAL.encode("utf-16-le"),
            ".env is not UTF-8 text: open it in your editor and save it as UTF-8.",
        ),
        (
            b"# caf\xe9\n" + REAL.encode(),
            ".env is not UTF-8 text: open it in your editor and save it as UTF-8.",
        ),
    ],
)
def test_a_wrong_setting_ends_with_a_sentence(
    server: MockServer,
    write: Callable[[str | bytes], None],
    capsys: pytest.CaptureFixture[str],
    text: str | bytes,
    sentence: str,
) -> None:
    """Each mistake has a sentence of its own that names the variable or the line, and
    never shows the key.
    """
    write(text)
    assert stop_sentence(server, capsys).startswith(sentence)
    assert not set(NAMES) & set(os.environ), "a wrong setting is not passed on"


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:11434/v1",
        "http://[::1]:11434/v1",
        "http://localhost:8080",
        "http://192.168.1.20:1234/v1",
        "http://10.1.2.3/v1",
        "http://ollama:11434/v1",
        "http://host.docker.internal:11434/v1",
        "http://gpu-box.local:8000/v1",
        "https://api.example.com",
        "HTTPS://api.example.com/v1",
    ],
)
def test_plain_http_is_fine_nearby(
    server: MockServer, write: Callable[[str], None], url: str
) -> None:
    """On this machine and in a private network, where local models run, there is no
    certificate.
    """
    write(settings(OPENAI_BASE_URL=url))
    assert choose_endpoint(server).base_url == url


def test_a_file_that_may_not_be_read(
    server: MockServer,
    write: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A permission that is missing is said, not shown as a traceback."""

    def refuse(*_: object, **__: object) -> str:
        raise PermissionError(13, "Permission denied")

    write(REAL)
    monkeypatch.setattr(Path, "read_text", refuse)
    assert stop_sentence(server, capsys).startswith(
        ".env cannot be read (Permission denied)"
    )


# --- as a program ---


def run_copy(
    tmp_path: Path, text: str, environment: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run a lesson-like program in a copy of the repository that has this .env, from
    elsewhere and outside pytest.
    """
    lessons = tmp_path / "copy" / "lessons"
    shutil.copytree(ROOT / "lessons" / "mock_server", lessons / "mock_server")
    shutil.copy(ROOT / "lessons" / "endpoint.py", lessons)
    (lessons / "program.py").write_text(
        "from endpoint import choose_endpoint\nfrom mock_server import MockServer\n"
        "with MockServer() as server:\n    print(choose_endpoint(server).is_mock)\n"
    )
    (tmp_path / "copy" / ".env").write_text(text)
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("PYTEST_")
    }
    return subprocess.run(
        [sys.executable, lessons / "program.py"],
        cwd=tmp_path,
        env={**clean, **environment},
        capture_output=True,
        text=True,
        timeout=30,
    )


def test_a_program_reads_the_file_at_the_root_of_its_repository(tmp_path: Path) -> None:
    """From any working directory, and with the line as its first output."""
    run = run_copy(tmp_path, REAL, {})
    assert (run.stdout, run.stderr, run.returncode) == (
        "Talking to: https://api.example.com/v1, model some-model (from .env)\nFalse\n",
        "",
        0,
    )


def test_a_program_ends_with_the_sentence_and_no_traceback(tmp_path: Path) -> None:
    """On the error stream, with a status that is not zero; the server stops."""
    run = run_copy(tmp_path, f"{BASE_URL}=https://api.example.com/v1", {KEY: SECRET})
    sentence = (
        f"{MODEL} is missing: set it to the name of a model that {BASE_URL} offers.\n"
    )
    assert (run.stdout, run.stderr, run.returncode) == ("", sentence, 1)


def test_a_program_that_a_lesson_starts_makes_the_same_choice(
    tmp_path: Path, server: MockServer, outside_pytest: None
) -> None:
    """It inherits the variables that the lesson set, and must not take its mock for a
    real API.
    """
    choose_endpoint(server)
    run = run_copy(tmp_path, "", dict(os.environ))
    assert (run.stdout, run.stderr) == (MOCK_LINE + "True\n", "")


# --- proxies ---


def ask_with_requests(url: str) -> int:
    """The status that requests gets."""
    return requests.get(url, timeout=2).status_code


def ask_with_httpx(url: str) -> int:
    """The status that httpx gets."""
    return httpx.get(url, timeout=2).status_code


def ask_with_aiohttp(url: str) -> int:
    """The status that aiohttp gets, if it heeds the proxy variables."""

    async def ask() -> int:
        async with (
            aiohttp.ClientSession(trust_env=True) as session,
            session.get(url) as reply,
        ):
            return reply.status

    return asyncio.run(ask())


@pytest.mark.parametrize("ask", [ask_with_requests, ask_with_httpx, ask_with_aiohttp])
@pytest.mark.parametrize("upper", [True, False])
def test_the_mock_is_reached_past_a_dead_proxy(
    server: MockServer, ask: Callable[[str], int], upper: bool
) -> None:
    """Behind a proxy or VPN, the variables send even 127.0.0.1 to the proxy, until the
    helper was called.
    """
    with socket.socket() as unused:
        unused.bind(
            ("127.0.0.1", 0)
        )  # bound and not listening: every connection is refused
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            os.environ[name.upper() if upper else name] = (
                f"http://127.0.0.1:{unused.getsockname()[1]}"
            )
        url = f"{server.url}/get"
        with pytest.raises(
            (
                requests.ConnectionError,
                httpx.TransportError,
                aiohttp.ClientConnectionError,
            )
        ):
            ask(url)
        choose_endpoint(server)
        assert ask(url) == 200
        assert ask(url.replace("127.0.0.1", "localhost")) == 200


@pytest.mark.parametrize(
    ("lower", "upper", "lower_then", "upper_then"),
    [
        (None, None, OURS, OURS),
        ("", "", OURS, OURS),
        (
            None,
            ".corp, 10.0.0.0/8",
            f".corp,10.0.0.0/8,{OURS}",
            f".corp,10.0.0.0/8,{OURS}",
        ),
        (".corp", None, f".corp,{OURS}", f".corp,{OURS}"),
        ("a", "b,localhost", f"a,{OURS}", "b,localhost,127.0.0.1,::1"),
        ("*", None, "*", None),
        ("*", "a", "*", f"a,{OURS}"),
    ],
)
@pytest.mark.skipif(
    sys.platform == "win32", reason="there, the two names are one variable"
)
def test_what_is_exempt_already_stays_so(
    lower: str | None, upper: str | None, lower_then: str, upper_then: str | None
) -> None:
    """The lower-case name, which libraries read first, does not hide what stood in the
    other; a lone * stays alone.
    """
    for name, value in (("no_proxy", lower), ("NO_PROXY", upper)):
        if value is not None:
            os.environ[name] = value
    for _ in range(2):  # a second call adds nothing
        bypass_proxy_for_loopback()
        assert (os.environ.get("no_proxy"), os.environ.get("NO_PROXY")) == (
            lower_then,
            upper_then,
        )


def test_the_proxy_of_the_system_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python asks macOS and Windows for their proxy only while no proxy variable is
    set, and NO_PROXY counts as one.
    """
    monkeypatch.setattr(
        "urllib.request.getproxies", lambda: {"https": "http://proxy.example:3128"}
    )
    bypass_proxy_for_loopback()
    assert os.environ["https_proxy"] == "http://proxy.example:3128"
    assert all(host in os.environ["no_proxy"].split(",") for host in LOOPBACK)
