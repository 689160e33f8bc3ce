"""The mock server in a process of its own: `python -m mock_server`."""

import inspect
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest
import requests
from mock_server import MockServer
from mock_server.__main__ import main
from mock_server.fault import NAMES

from tests.mock_server.terminal import IS_WINDOWS, Terminal


@pytest.fixture
def start() -> Iterator[Callable[..., Terminal]]:
    """A function that starts a server as a command with the given arguments; at the end
    they are all stopped.
    """
    started: list[Terminal] = []

    def begin(*arguments: str) -> Terminal:
        started.append(Terminal(*arguments))
        return started[-1]

    yield begin
    for terminal in started:
        if terminal.process.poll() is None:
            status, _, errors = terminal.stop()
            assert (status, errors) == (0, "")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command that is expected to end by itself."""
    return subprocess.run(
        [sys.executable, "-m", "mock_server", *arguments],
        capture_output=True,
        text=True,
        timeout=20,
    )


def test_a_terminal_of_its_own(start: Callable[..., Terminal]) -> None:
    """The command prints its address and key in one line and the live page in another,
    serves, is driven by the control endpoints, and sums up at the end.
    """
    terminal = start()
    headers = {"Authorization": f"Bearer {terminal.key}"}
    assert (
        requests.get(
            f"{terminal.url}/v1/models", headers=headers, timeout=5
        ).status_code
        == 200
    )
    requests.post(
        f"{terminal.url}/_mock/script",
        json={"faults": ["status(503, retry_after=2)"]},
        timeout=5,
    )
    reply = requests.get(f"{terminal.url}/get", timeout=5)
    assert (reply.status_code, reply.headers["Retry-After"]) == (503, "2")
    records = requests.get(f"{terminal.url}/_mock/records", timeout=5).json()["records"]
    assert [record["status"] for record in records] == [200, 503]
    summary = "2 requests, at most 1 at once (200: 1, 503: 1)\n"
    assert terminal.stop() == (0, "" if IS_WINDOWS else summary, "")


@pytest.mark.skipif(IS_WINDOWS, reason="Windows has no SIGINT for one process")
def test_ctrl_c_with_clients_waiting(start: Callable[..., Terminal]) -> None:
    """Ctrl-C ends the server at once and cleanly, also while clients wait for replies
    that will not come.
    """
    terminal = start("--fault", "hang")
    clients = []
    for _ in range(20):
        client = socket.create_connection(("127.0.0.1", terminal.port))
        client.sendall(b"GET /get HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        clients.append(client)
    time.sleep(0.1)
    started = time.monotonic()
    summary = "20 requests, at most 20 at once (server-stopped: 20)\n"
    assert terminal.stop() == (0, summary, "")
    assert time.monotonic() - started < 5
    for client in clients:
        client.close()


@pytest.mark.skipif(IS_WINDOWS, reason="Windows has no SIGINT for one process")
def test_advice_at_the_end(start: Callable[..., Terminal]) -> None:
    """After Ctrl-C the command says what the client could do better; a server that was
    not asked anything says nothing.
    """
    terminal = start()
    key = {"api_key": "quite-an-unusual-key"}
    requests.get(f"{terminal.url}/get", params=key, timeout=5)
    status, printed, errors = terminal.stop()
    assert (status, errors) == (0, "")
    assert printed.startswith("1 request, at most 1 at once (200: 1)\nYour client sent")
    assert "a key in the address" in printed and "(request 1)" in printed
    assert start().stop() == (0, "", "")


def test_options(start: Callable[..., Terminal]) -> None:
    """Port, latency, limit, and faults, which compose, are obeyed."""
    with MockServer() as server:
        port = server.port
    terminal = start(
        "--port",
        str(port),
        "--latency",
        "0.2",
        "--rpm",
        "1",
        "--fault",
        "slice(1)",
        "--fault",
        "crlf",
    )
    assert terminal.port == port
    body = {
        "model": "mock-small",
        "stream": True,
        "messages": [{"role": "user", "content": "Say hello"}],
    }
    send = {
        "json": body,
        "headers": {"Authorization": f"Bearer {terminal.key}"},
        "timeout": 5,
    }
    first, second = (
        requests.post(f"{terminal.url}/v1/chat/completions", **send) for _ in range(2)
    )
    assert first.status_code == 200 and first.content.endswith(b"data: [DONE]\r\n\r\n")
    assert first.elapsed.total_seconds() >= 0.2
    assert (second.status_code, second.headers["x-ratelimit-limit-requests"]) == (
        429,
        "1",
    )
    records = requests.get(f"{terminal.url}/_mock/records", timeout=5).json()["records"]
    assert (records[0]["fault"], records[0]["source"]) == ("slice(1) + crlf()", "rule")


def test_chaos_repeats_from_process_to_process(start: Callable[..., Terminal]) -> None:
    """The same seed meets the same requests with the same faults in another process;
    another seed does not.
    """
    seen = []
    for seed in ("5", "5", "6"):
        terminal = start(
            "--seed",
            seed,
            "--chaos",
            "0.5",
            "--fault",
            "status(503)",
            "--fault",
            "status(502)",
        )
        with requests.Session() as session:
            seen.append(
                [
                    session.get(f"{terminal.url}/get?{number}", timeout=5).status_code
                    for number in range(40)
                ]
            )
    assert seen[0] == seen[1] != seen[2]
    assert set(seen[0]) == {200, 502, 503}


def test_key_models_and_reply(start: Callable[..., Terminal]) -> None:
    """Key, models, what the model says, the delay of its tokens and their limit can be
    set.
    """
    terminal = start(
        *("--key", "my-own-key", "--model", "gpt-x", "--model", "*"),
        *("--reply", "One two three.", "--token-delay", "0.05", "--tpm", "12"),
    )
    assert terminal.key == "my-own-key"
    body = {"model": "any", "messages": [{"role": "user", "content": "x"}]}
    send = {
        "json": body,
        "headers": {"Authorization": "Bearer my-own-key"},
        "timeout": 5,
    }
    url = f"{terminal.url}/v1/chat/completions"
    first, second, third = (requests.post(url, **send) for _ in range(3))
    assert first.json()["choices"][0]["message"]["content"] == "One two three."
    assert first.elapsed.total_seconds() >= 0.2
    assert (first.status_code, second.status_code, third.status_code) == (200, 200, 429)
    assert first.headers["x-ratelimit-limit-tokens"] == "12"
    models = requests.get(f"{terminal.url}/v1/models", **send).json()["data"]
    assert "gpt-x" in [model["id"] for model in models]


BAD = {
    "a key of two words": (["--key", "a b"], "api_key"),
    "a model without a name": (["--model", ""], "model"),
    "a negative token delay": (["--token-delay", "-1"], "token_delay"),
    "a token limit of nothing": (["--tpm", "0"], "tokens_per_minute"),
    "an unknown fault": (["--fault", "explode"], "the faults are"),
    "a fault with a wrong amount": (["--fault", "slice(0)"], "size"),
    "a fault that cannot be read": (["--fault", "slice("], "cannot read the fault"),
    "a negative latency": (["--latency", "-1"], "latency"),
    "a latency that is no number": (["--latency", "soon"], "invalid float value"),
    "an endless latency": (["--latency", "inf"], "latency"),
    "a limit of nothing": (["--rpm", "0"], "requests_per_minute"),
    "a port that cannot be": (["--port", "70000"], "port"),
    "a port that is no number": (["--port", "http"], "invalid int value"),
    "chaos without a fault": (["--chaos", "0.5"], "fault"),
    "too much chaos": (["--chaos", "1.5", "--fault", "hang"], "share"),
    "an unknown option": (["--prot", "80"], "unrecognized arguments"),
}


@pytest.mark.parametrize(("arguments", "words"), BAD.values(), ids=BAD)
def test_bad_values(
    arguments: list[str],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A bad value is a sentence that says what is wrong, and exit status 2; nothing is
    served.
    """
    monkeypatch.setattr(sys, "argv", ["mock_server", *arguments])
    with pytest.raises(SystemExit) as caught:
        sys.exit(main())
    printed = capsys.readouterr()
    assert (caught.value.code, printed.out) == (2, "")
    *before, message = printed.err.splitlines()
    assert words in message, printed.err
    assert not before or before[0].startswith("usage: "), "more than one line"


def test_a_bad_value_in_a_terminal() -> None:
    """The same in a process of its own: one line, no traceback, and the list of the
    valid faults.
    """
    done = run("--fault", "explode")
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(
        r"mock_server: unknown fault 'explode'; the faults are [\w, ]+\n", done.stderr
    )


def test_a_taken_port(server: MockServer) -> None:
    """A taken port is one line that names it, and exit status 1."""
    done = run("--port", str(server.port))
    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1
    assert str(server.port) in done.stderr and "--port" in done.stderr


def test_help() -> None:
    """-h explains every option, and lists every fault with its amounts."""
    done = run("-h")
    assert done.returncode == 0
    for option in ("--port", "--latency", "--rpm", "--seed", "--fault", "--chaos"):
        assert option in done.stdout
    for name, make in NAMES.items():
        assert f"\n  {name}(" in done.stdout, f"{name} is not explained"
        for parameter in inspect.signature(make).parameters:
            assert re.search(rf"  {name}\(.*\b{parameter}\b", done.stdout), parameter
    assert max(map(len, done.stdout.splitlines())) <= 90, "a line is too long"


def test_the_command_imports_little() -> None:
    """The command and a script that uses the server load neither Jupyter nor matplotlib
    nor a client library.
    """
    heavy = {"IPython", "matplotlib", "numpy", "requests", "httpx", "openai"}
    code = (
        f"import sys, mock_server.__main__; print(sorted(set(sys.modules) & {heavy}))"
    )
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=20,
        env=environment,
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")
