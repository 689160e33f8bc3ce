"""What holds the server together when much is asked of it: few file descriptors, large
amounts, large replies.
"""

import json
import subprocess
import sys
import threading
import time
import tracemalloc
from typing import Any

import pytest
import requests
from mock_server import MockServer, fault, records
from mock_server.call import MOST_ATTEMPTS, State
from mock_server.limiter import Limiter

from tests.mock_server import wire

MIB = 2**20
ASK = {"model": "mock-small", "messages": [{"role": "user", "content": "x"}]}


def ask(server: MockServer, **more: Any) -> requests.Response:
    """Ask the model something."""
    return requests.post(
        f"{server.base_url}/chat/completions",
        json={**ASK, **more},
        headers={"Authorization": f"Bearer {server.api_key}"},
        timeout=60,
    )


# --- file descriptors -----------------------------------------------------------------

CALLS = """
import asyncio, resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (256, {hard}))
import httpx
from mock_server import MockServer

async def main():
    ask = {{"model": "mock-small", "messages": [{{"role": "user", "content": "x"}}]}}
    with MockServer(latency=0.1) as server:
        limits = httpx.Limits(max_connections=None)
        key = {{"Authorization": "Bearer " + server.api_key}}
        async with httpx.AsyncClient(headers=key, limits=limits, timeout=60) as client:
            url = server.base_url + "/chat/completions"
            calls = [client.post(url, json=ask) for _ in range(150)]
            replies = await asyncio.gather(*calls)
        print(sum(reply.status_code == 200 for reply in replies))

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
@pytest.mark.parametrize("hard", [256, 1024])
def test_many_calls_with_few_descriptors(hard: int) -> None:
    """150 calls at once all get their answer where a process may open 256 files, and
    the server says at most one sentence about it: none, if it can raise the limit.
    """
    done = subprocess.run(
        [sys.executable, "-c", CALLS.format(hard=hard)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout == "150\n", (
        f"calls were lost: {done.stdout} {done.stderr[-500:]}"
    )
    said = done.stderr.splitlines()
    assert len(said) == (hard == 256), f"{len(said)} lines on stderr: {said[:3]}"
    assert all("256 open files" in line for line in said)


# --- amounts --------------------------------------------------------------------------

TOO_MUCH = {
    "pieces": lambda: fault.drip(10**9, 0),
    "a body": lambda: fault.status(200, body="x" * 5 * MIB),
    "a header": lambda: fault.status(200, headers={"a": "x" * 10_000}),
    "many headers": lambda: fault.status(
        200, headers={f"a{n}": "" for n in range(200)}
    ),
    "a wait": lambda: fault.delay(1e9),
    "a gap": lambda: fault.drip(2, 1e9),
    "a size": lambda: fault.slice(10**12),
    "events": lambda: fault.truncate(after_events=10**12),
    "bytes": lambda: fault.cut(after_bytes=10**12),
    "a word": lambda: fault.finish("x" * 10_000),
    "a key": lambda: fault.omit("x" * 10_000),
    "a type": lambda: fault.content_type("x" * 10_000),
    "retry_after": lambda: fault.status(429, retry_after=1e9),
    "a code": lambda: fault.stream_error(code=10**12),
}


@pytest.mark.parametrize("make", TOO_MUCH.values(), ids=TOO_MUCH)
def test_every_amount_has_a_bound(make: Any) -> None:
    """Too much of anything is a ValueError where the fault is made, in a sentence that
    is not as long as the amount.
    """
    with pytest.raises(ValueError) as caught:
        make()
    assert len(str(caught.value)) < 600, "the sentence repeats the whole amount"


def test_a_fault_has_a_bound_on_its_steps() -> None:
    """Composing has a bound too."""
    whole = fault.crlf()
    with pytest.raises(ValueError, match="100"):
        for _ in range(200):
            whole = whole + fault.crlf()


def test_scripts_rules_and_texts_have_bounds(server: MockServer) -> None:
    """What waits for requests has a bound: the error comes where it is asked for."""
    server.script(*[fault.ok()] * 10_000)
    with pytest.raises(ValueError, match="10,000"):
        server.script(fault.ok())
    with pytest.raises(ValueError, match="text"):
        server.on().reply(text="x" * 5 * MIB)
    with pytest.raises(ValueError, match="1,000"):
        for number in range(2000):
            server.on(path=f"/{number}")


def test_a_rule_replaces_its_like(server: MockServer) -> None:
    """Rules for the same requests do not pile up: a loop may make them for ever."""
    for number in range(3000):
        server.on(path="/get").reply(fault.status(500 + number % 9))
    assert requests.get(f"{server.url}/get", timeout=5).status_code == 502


@pytest.mark.parametrize("wrong", [{"method": 5}, {"path": b"/get"}, {"model": ["a"]}])
def test_a_rule_says_what_is_wrong(server: MockServer, wrong: dict) -> None:
    """A rule that could never match is refused; a method in small letters is no such
    rule.
    """
    with pytest.raises(ValueError, match="must be a text"):
        server.on(**wrong)
    server.on(method="get").reply(fault.status(503))
    assert requests.get(f"{server.url}/get", timeout=5).status_code == 503


def test_records_have_a_bound_on_their_bytes(
    server: MockServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Records with large bodies are fewer: the newest, of so many bytes together."""
    assert records.BYTES_LIMIT == 64 * MIB
    monkeypatch.setattr(records, "BYTES_LIMIT", 4 * MIB)
    with requests.Session() as session:
        for _ in range(70):
            session.post(f"{server.url}/status/204", data=b"x" * 65536, timeout=5)
    kept = server.wait_for(70, timeout=10)
    assert 50 < len(kept) < 64, f"{len(kept)} records are kept"
    assert sum(len(record.body) for record in kept) <= 4 * MIB
    assert kept[-1].n == 70


def test_a_record_never_holds_half_a_key(server: MockServer) -> None:
    """A key at the end of what is kept of a body is masked like any other."""
    data = b"x" * (65536 - 8) + server.api_key.encode()
    headers = {"Authorization": f"Bearer {server.api_key}"}
    requests.post(f"{server.url}/post", data=data, headers=headers, timeout=5)
    assert server.api_key[4:8].encode() not in server.records[0].body


def test_counts_have_bounds() -> None:
    """The counts of attempts, and the buckets of keys that nobody has, do not grow for
    ever.
    """
    limiter = Limiter(9, 9, time.monotonic)
    state = State("key", 0.0, 0.0, limiter, list)
    for number in range(MOST_ATTEMPTS + 5):
        state.count_attempt(str(number))
    assert len(state.attempts) == MOST_ATTEMPTS
    assert (state.count_attempt("9"), state.count_attempt("0")) == (2, 1)
    tracemalloc.start()
    try:
        for number in range(3000):
            limiter.buckets(f"wrong key {number}")
        assert tracemalloc.get_traced_memory()[0] < 100_000, "wrong keys are kept"
    finally:
        tracemalloc.stop()


def test_agents_have_bounds(server: MockServer) -> None:
    """An agent's name and the number of agents have bounds, each with its sentence."""
    reply = requests.post(f"{server.url}/agents", json={"name": "x" * 1001}, timeout=5)
    assert (reply.status_code, reply.json()["errors"][0]["field"]) == (422, "name")
    server._state.agents.update({-number: {} for number in range(10_000)})
    reply = requests.post(f"{server.url}/agents", json={"name": "x"}, timeout=5)
    assert reply.status_code == 507 and "10,000" in reply.json()["message"]


def test_a_body_of_4_mib(server: MockServer) -> None:
    """A question with an image of 4 MiB is answered; a longer one is a 413 that says
    so.
    """
    image = "data:image/png;base64," + "A" * (4 * MIB - 500)
    parts = [
        {"type": "text", "text": "Say hello"},
        {"type": "image_url", "image_url": {"url": image}},
    ]
    reply = ask(server, messages=[{"role": "user", "content": parts}])
    assert reply.status_code == 200, reply.text[:200]
    assert "Hello" in reply.text
    parts[0]["text"] = "x" * 1000
    reply = ask(server, messages=[{"role": "user", "content": parts}])
    assert reply.status_code == 413 and "4 MiB" in reply.text


# --- large replies --------------------------------------------------------------------

LARGE = {
    "a long stream": ([], 60_000, {"stream": True}),
    "eight long streams": ([], 10_000, {"stream": True, "n": 8}),
    "a document in single bytes": ([fault.slice(1)], 60_000, {}),
}


@pytest.mark.parametrize(("faults", "count", "more"), LARGE.values(), ids=LARGE)
def test_nobody_waits_for_the_reply_of_another(
    server: MockServer, faults: list, count: int, more: dict
) -> None:
    """While a large reply is made, and while it is sent, another client gets several
    answers.
    """
    server.on(model="mock-small").reply(*faults, text="word " * count)
    thread = threading.Thread(target=ask, args=(server,), kwargs=more)
    while_made, while_sent = 0, 0
    with wire.connect(server) as connection:
        thread.start()
        while not server.records:
            time.sleep(0.001)
        large = server.records[0]
        while not large.end:
            connection.sendall(wire.request("GET /users/ada"))
            connection.recv(65536)
            while_made += large.first_byte is None
            while_sent += large.first_byte is not None and not large.end
    thread.join()
    assert while_made >= 3, "the other waited until the large reply was made"
    assert while_sent >= 3, "the other waited until the large reply was sent"


def test_large_replies_are_whole_and_the_same(server: MockServer) -> None:
    """What is made in another thread is the same as ever, with its faults."""
    server.on(model="mock-small").reply(fault.slice(7), text="word " * 20_000)
    first, second = ask(server), ask(server)
    assert first.content == second.content
    assert first.json()["usage"]["completion_tokens"] == 20_001
    assert (
        json.loads(first.content)["choices"][0]["message"]["content"].count("word")
        == 20_000
    )


def ask_in_vain(server: MockServer) -> None:
    """Ask a server that stops before it has answered."""
    with pytest.raises(requests.ConnectionError):
        ask(server)


def test_stopping_does_not_wait_for_a_large_reply() -> None:
    """A server that stops while it makes a large reply stops at once."""
    with MockServer() as server:
        server.on(model="mock-small").reply(fault.slice(1), text="word " * 100_000)
        thread = threading.Thread(target=ask_in_vain, args=(server,))
        thread.start()
        while not server.records:
            time.sleep(0.001)
        started = time.monotonic()
    assert time.monotonic() - started < 1
    thread.join()
    assert server.records[0].end == "server-stopped"
