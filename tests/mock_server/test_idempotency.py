"""A request that comes again with its Idempotency-Key is carried out once."""

import asyncio
import threading
from typing import Any

import httpx
import pytest
from mock_server import MockServer, fault, idempotency
from mock_server.idempotency import Answers
from mock_server.reply import Reply

TURNS = [{"role": "user", "content": "Say hello"}]
ASKS = {
    "/v1/chat/completions": {"model": "mock-small", "messages": TURNS},
    "/v1/responses": {"model": "mock-small", "input": "Say hello"},
    "/v1/messages": {"model": "mock-small", "max_tokens": 9, "messages": TURNS},
    "/v1/embeddings": {"model": "mock-embedding", "input": "Say hello"},
    "/agents": {"name": "Ada"},
    "/post": {"any": "thing"},
}
EVERYWHERE = pytest.mark.parametrize(("path", "body"), ASKS.items(), ids=ASKS)


def post(
    server: MockServer, path: str, body: Any, key: str | None = "k-1"
) -> httpx.Response:
    """Send a request with an Idempotency-Key."""
    headers = {"Authorization": f"Bearer {server.api_key}"}
    headers |= {"anthropic-version": "2023-06-01"}
    headers |= {} if key is None else {"Idempotency-Key": key}
    return httpx.post(server.url + path, json=body, headers=headers, timeout=10)


@EVERYWHERE
def test_the_stored_answer(server: MockServer, path: str, body: dict) -> None:
    """The same key and body gives the same answer, which says so, as does the record;
    another key or none is a new request.
    """
    first, second = post(server, path, body), post(server, path, body)
    assert first.status_code == second.status_code < 300, first.text
    assert first.content == second.content
    assert "idempotent-replayed" not in first.headers
    assert second.headers["idempotent-replayed"] == "true"
    post(server, path, body, key="k-2")
    post(server, path, body, key=None)
    replayed = [record.replayed for record in server.records]
    assert replayed == [False, True, False, False]
    if path == "/agents":
        assert len(httpx.get(server.url + path).json()) == 3


@EVERYWHERE
def test_another_body(server: MockServer, path: str, body: dict) -> None:
    """Another body with a used key is a 409 in the words of the address, which tells
    clients not to try again; so is another address.
    """
    post(server, path, body)
    for reply in (
        post(server, path, {**body, "name": "Eve"}),
        post(server, f"{path}?again=1", body),
    ):
        assert reply.status_code == 409 and "Idempotency-Key" in reply.text
        assert reply.headers["x-should-retry"] == "false"
        if path == "/v1/messages":
            assert reply.json()["error"]["type"] == "conflict_error"
    assert post(server, path, body).headers["idempotent-replayed"] == "true"


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
def test_charged_once(path: str) -> None:
    """An answer that was lost on its way is charged once, however often it is asked for
    again; without the key each try is charged.
    """
    with MockServer(requests_per_minute=3, clock=lambda: 0.0) as server:
        server.script(fault.drop("rst"), fault.cut(after_bytes=5), fault.ok())
        for _ in range(2):
            with pytest.raises(httpx.TransportError):
                post(server, path, ASKS[path])
        assert post(server, path, ASKS[path]).status_code == 200
        for wanted in (200, 200, 429):
            assert post(server, path, ASKS[path], key=None).status_code == wanted


def test_a_refused_request_keeps_nothing() -> None:
    """After a fault, a 4xx or a 429 the same key is carried out anew."""
    chat = "/v1/chat/completions"
    with MockServer(requests_per_minute=1, clock=lambda: 0.0) as server:
        server.script(fault.status(503))
        wrong, good = {**ASKS[chat], "model": 1}, ASKS[chat]
        assert post(server, chat, good).status_code == 503
        assert post(server, chat, wrong).status_code == 400
        assert post(server, chat, good).status_code == 200
        for _ in range(2):
            reply = post(server, chat, good, key="k-2")
            assert reply.status_code == 429
            assert "idempotent-replayed" not in reply.headers
        server.reset()
        reply = post(server, chat, good)
        assert "idempotent-replayed" not in reply.headers, "reset() forgets the keys"


def test_faults_do_not_change_what_is_kept(server: MockServer) -> None:
    """A fault changes the one reply it was for, and not the stored answer."""
    path = "/v1/chat/completions"
    server.script(fault.bad_json() + fault.status(200, headers={"x-a": "b"}))
    assert post(server, path, ASKS[path]).content.endswith(b"}") is False
    again = post(server, path, ASKS[path])
    assert again.json()["choices"] and "x-a" not in again.headers


def test_several_at_once(server: MockServer) -> None:
    """Large requests with one key that come at the same time are charged once, and all
    of them get the answer.
    """
    path = "/v1/chat/completions"
    turns = [{"role": "user", "content": "word " * 50_000}]
    body, replies = {**ASKS[path], "messages": turns}, []

    def send() -> None:
        replies.append(post(server, path, body))

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [reply.status_code for reply in replies] == [200] * 4
    assert len({reply.content for reply in replies}) == 1
    assert sorted(record.replayed for record in server.records) == [False] + [True] * 3


def test_an_empty_key_is_refused(server: MockServer) -> None:
    """A key that is empty protects nothing, so it is a 400; on a GET it is nothing."""
    reply = post(server, "/agents", {"name": "Ada"}, key="")
    assert reply.status_code == 400 and "empty" in reply.text
    headers = {"Idempotency-Key": ""}
    assert httpx.get(f"{server.url}/agents", headers=headers).json() == []


def test_the_table_says_replayed(
    server: MockServer, capsys: pytest.CaptureFixture
) -> None:
    """show() has the word in its column of faults, beside a fault if there is one."""
    server.script(fault.ok(), fault.ok(), fault.comments())
    for _ in range(3):
        post(server, "/agents", {"name": "Ada"})
    server.show()
    rows = capsys.readouterr().out.splitlines()[1:]
    assert [row.split("201")[1].split() for row in rows] == [
        ["-", "complete"],
        ["replayed", "complete"],
        ["comments(),", "replayed", "complete"],
    ]


def test_a_client_that_leaves() -> None:
    """A client that leaves while its answer is made does not stop the work; when it
    comes again it gets the answer, and the work was done once.
    """

    async def main() -> None:
        answers, begun, may_end = Answers(), [], asyncio.Event()

        async def work() -> Reply:
            begun.append(True)
            await may_end.wait()
            return Reply()

        first = asyncio.ensure_future(answers.once("a", "same", work))
        await asyncio.sleep(0)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        may_end.set()
        again = await answers.once("a", "same", work)
        assert (again.is_replayed, begun) == (True, [True])

    asyncio.run(main())


def test_the_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest answers are forgotten if there are too many, or too many bytes."""

    async def ask(answers: Answers, name: str, size: int = 10) -> bool:
        async def work() -> Reply:
            return Reply(pieces=[(0.0, b"x" * size)])

        reply = await answers.once(name, "same", work)
        return reply.is_replayed

    async def main() -> None:
        answers = Answers()
        monkeypatch.setattr(idempotency, "MOST_ANSWERS", 2)
        found = [await ask(answers, name) for name in "aabca"]
        assert found == [False, True, False, False, False], "c pushes a out"
        monkeypatch.setattr(idempotency, "MOST_ANSWERS", 9)
        monkeypatch.setattr(idempotency, "MOST_BYTES", 1000)
        found = [await ask(answers, name, 600) for name in "deed"]
        assert found == [False, False, True, False], "e pushes d out"

    asyncio.run(main())
