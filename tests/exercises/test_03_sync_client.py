"""Exercise 03: a client that holds a conversation over one connection."""

import inspect
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from mock_server import MockServer, fault

from tests.grader.steps import call, expect, expect_raises, unset


def sent(server: MockServer, number: int = -1) -> dict:
    """Return the JSON body of a request, by default of the last one."""
    return json.loads(server.records[number].body)


def spoken(messages: list) -> list[tuple[str, str]]:
    """Return the roles and texts of some messages."""
    return [(message["role"], message["content"]) for message in messages]


class OneModel(BaseHTTPRequestHandler):
    """Serves a connection, and tells the name of a model as often as it is asked."""

    protocol_version = "HTTP/1.1"
    is_closed: threading.Event

    def do_GET(self) -> None:
        """Answer any GET."""
        models = [
            {"id": "nonce-4711", "object": "model", "created": 0, "owned_by": "us"}
        ]
        body = json.dumps({"object": "list", "data": models}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def finish(self) -> None:
        """Note that the connection is closed."""
        super().finish()
        self.is_closed.set()

    def log_message(self, *_: object) -> None:
        """Write nothing to stderr."""


@contextmanager
def server_that_notes_the_end() -> Iterator[tuple[str, threading.Event]]:
    """Run a server that notes when a client closes its connection.

    Yields its base URL, and the event that is set then.
    """
    is_closed = threading.Event()
    handler = type("Handler", (OneModel,), {"is_closed": is_closed})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1", is_closed
        finally:
            server.shutdown()


@pytest.mark.points(2, hint="answer-text")
@pytest.mark.limit(10)  # the first test also waits for the import of a large library
def test_ask_returns_the_text(answer, server):
    """ask returns the text of the answer, and nothing else of the reply."""
    server.on().reply(text="nonce 4711: 你好 👋")
    text = call(call(answer, "ChatClient"), "ask", "你好 👋")
    expect(
        text == "nonce 4711: 你好 👋",
        expected="the text of the answer, 'nonce 4711: 你好 👋'",
    )
    asked = sent(server)["messages"][-1]["content"]
    expect(
        asked == "你好 👋",
        saw=f"sent: {asked}",
        expected="the question as it was asked, '你好 👋'",
    )


@pytest.mark.points(1, hint="where-to-begin")
def test_chat_returns_the_reply(answer, server):
    """chat sends the messages as they are and returns the whole reply."""
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "What is HTTP?"},
    ]
    given = list(messages)
    reply = call(call(answer, "ChatClient"), "chat", given)
    expect(
        sent(server)["messages"] == messages,
        saw=f"sent: {sent(server)}",
        expected="exactly these two messages",
    )
    expect(
        given == messages,
        saw=f"the list we gave is now {given}",
        expected="a list that stays as it is",
    )
    is_whole = (
        isinstance(reply, dict)
        and reply.get("object") == "chat.completion"
        and "usage" in reply
    )
    expect(is_whole, expected="the whole reply, as a dict: usage and all")


@pytest.mark.points(1, hint="where-to-begin")
def test_chat_options(answer, server):
    """chat sends its options as fields of the request, beside model and messages."""
    messages = [{"role": "user", "content": "Hello"}]
    call(
        call(answer, "ChatClient", model="mock-large"),
        "chat",
        list(messages),
        temperature=0,
        max_tokens=3,
    )
    body = sent(server)
    wanted = {
        "model": "mock-large",
        "messages": messages,
        "temperature": 0,
        "max_tokens": 3,
    }
    expect(
        wanted.items() <= body.items(),
        saw=f"sent: {body}",
        expected="model, messages, temperature and max_tokens",
    )


@pytest.mark.points(1, hint="where-to-begin")
def test_models(answer, server):
    """models returns the names of all models that the API offers."""
    server.on(model="nonce-4711")  # from now on this model exists
    names = call(call(answer, "ChatClient"), "models")
    expect(
        names == ["mock-small", "mock-large", "nonce-4711"],
        expected="['mock-small', 'mock-large', 'nonce-4711']",
    )


@pytest.mark.points(2, hint="history")
def test_conversation(answer, server):
    """ask sends what was said before, so that the model can know it."""
    client = call(answer, "ChatClient")
    call(client, "ask", "My name is Ada.")
    text = call(client, "ask", "What is my name?")
    expect(
        text == "Your name is Ada.",
        expected="'Your name is Ada.', because the model is sent the first question",
    )
    expect(
        len(sent(server)["messages"]) == 3,
        saw=f"sent: {spoken(sent(server)['messages'])}",
        expected="three messages: the first question, its answer, the second question",
    )


@pytest.mark.points(1, hint="history")
def test_history(answer, server):
    """history holds the questions and the answers, oldest first; chat has no part in
    it.
    """
    client = call(answer, "ChatClient")
    first, second = (
        call(client, "ask", "What is HTTP?"),
        call(client, "ask", "What is an API?"),
    )
    pairs = [
        ("user", "What is HTTP?"),
        ("assistant", first),
        ("user", "What is an API?"),
        ("assistant", second),
    ]
    saw = f"history: {client.history}"
    expect(
        spoken(client.history) == pairs,
        saw=saw,
        expected="user, assistant, user, assistant, with their texts",
    )
    wanted = [{"role": role, "content": content} for role, content in pairs]
    more = sorted(
        {key for message in client.history for key in message} - {"role", "content"}
    )
    expect(
        client.history == wanted,
        saw=f"also {', '.join(more)} in history",
        expected="only role and content there",
    )
    messages = [{"role": "user", "content": "Hello"}]
    call(client, "chat", messages)
    expect(
        sent(server)["messages"] == [{"role": "user", "content": "Hello"}],
        saw=f"chat sent {len(sent(server)['messages'])} messages: "
        f"{spoken(sent(server)['messages'])}",
        expected="chat to send exactly the messages it is given, whatever the "
        "history is",
    )
    saw = (
        f"history after chat: {len(client.history)} messages, the last of them "
        f"{client.history[-1]}"
    )
    expect(
        client.history == wanted,
        saw=saw,
        expected="history as it was before chat: only ask adds to it",
    )


@pytest.mark.points(1, hint="history")
def test_histories_are_separate(answer, server):
    """Two clients hold two conversations."""
    call(call(answer, "ChatClient"), "ask", "My name is Ada.")
    text = call(call(answer, "ChatClient"), "ask", "What is my name?")
    expect(
        text == "You have not told me your name.",
        expected="the second client to know nothing of the first",
    )


@pytest.mark.points(2, hint="history")
def test_system(answer, server):
    """The system message stands before all else, and is not kept in history."""
    client = call(answer, "ChatClient")
    call(client, "ask", "What is HTTP?")
    call(client, "ask", "What is an API?", system="Be brief.")
    roles = [message["role"] for message in sent(server)["messages"]]
    expect(
        roles == ["system", "user", "assistant", "user"],
        saw=f"sent: {roles}",
        expected="system, then all the others",
    )
    roles = [message["role"] for message in client.history]
    expect(
        "system" not in roles,
        saw=f"history: {roles}",
        expected="no system message in history",
    )
    call(client, "ask", "What is an SDK?")
    roles = [message["role"] for message in sent(server)["messages"]]
    expect(
        "system" not in roles,
        saw=f"sent: {roles}",
        expected="no system message, because this ask was given none",
    )


@pytest.mark.points(1, hint="one-connection")
def test_one_connection(answer, server):
    """Many calls share one connection."""
    client = call(answer, "ChatClient")
    call(client, "models")
    for number in range(3):
        call(client, "ask", f"Question {number}")
    connections = len({record.connection for record in server.records})
    expect(
        connections == 1,
        saw=f"4 requests on {connections} connections",
        expected="one connection for all",
    )


@pytest.mark.points(1, hint="one-connection")
def test_with_statement(answer):
    """close and the end of a with statement close the connection, and an error in the
    block gets out.
    """
    did = "with ChatClient() as client: client.models()"
    with server_that_notes_the_end() as (base_url, is_closed):
        with call(answer, "ChatClient", base_url=base_url) as client:
            expect(
                client is not None,
                did=did,
                saw="client is None",
                expected="__enter__ to return the client",
            )
            expect(
                call(client, "models") == ["nonce-4711"],
                did=did,
                expected="['nonce-4711']",
            )
        open_still = "the connection is still open"
        expect(
            is_closed.wait(1),
            did=did,
            saw=open_still,
            expected="the end of the block to close the connection",
        )
    with server_that_notes_the_end() as (base_url, is_closed):
        client = call(answer, "ChatClient", base_url=base_url)
        call(client, "models")
        call(client, "close")
        did = "client = ChatClient(); client.models(); client.close()"
        expect(
            is_closed.wait(1),
            did=did,
            saw=open_still,
            expected="close() to close the connection",
        )
    has_left = False
    with suppress(ZeroDivisionError):
        with call(answer, "ChatClient"):
            raise ZeroDivisionError
        has_left = True
    expect(
        not has_left,
        did="with ChatClient() as client: 1 / 0",
        saw="no exception after the with statement",
        expected="the error in the block gets out: an __exit__ that returns "
        "something true swallows it",
    )


@pytest.mark.points(1, hint="no-key")
def test_no_key(answer, server, monkeypatch):
    """Without a key there is a ValueError, before anything is sent."""
    unset(monkeypatch, "OPENAI_API_KEY")
    with expect_raises(
        answer, ValueError, expected="ValueError, because there is no key"
    ):
        call(answer, "ChatClient")
    expect(
        not server.records, saw=f"{len(server.records)} requests", expected="no request"
    )


@pytest.mark.points(1, hint="settings")
def test_environment(answer, server, monkeypatch):
    """What is not given comes from the environment, as it is when the client is
    made.
    """
    with MockServer(api_key="another-key-entirely") as other:
        monkeypatch.setenv("OPENAI_BASE_URL", other.base_url)
        monkeypatch.setenv("OPENAI_API_KEY", other.api_key)
        monkeypatch.setenv("OPENAI_MODEL", "mock-large")
        text = call(call(answer, "ChatClient"), "ask", "What is HTTP?")
        expect(
            text.startswith("HTTP is"),
            expected="an answer from the server that the environment names",
        )
        expect(
            sent(other)["model"] == "mock-large",
            saw=f"model {sent(other)['model']}",
            expected="model mock-large",
        )
        given = {
            "api_key": server.api_key,
            "base_url": server.base_url,
            "model": "mock-small",
        }
        client = call(answer, "ChatClient", **given)
        with suppress(Exception):  # what arrived tells all
            call(client, "ask", "What is HTTP?")
    arrived = [(record.status, sent(server)["model"]) for record in server.records]
    expect(
        arrived == [(200, "mock-small")],
        saw=f"status and model of what came to the address that was given: {arrived}",
        expected="[(200, 'mock-small')]: what is given counts, though the "
        "environment names others",
    )


@pytest.mark.points(1, hint="slash")
def test_slash(answer, server):
    """A base_url may end in a slash."""
    for address in (server.base_url, server.base_url + "/"):
        names = call(call(answer, "ChatClient", base_url=address), "models")
        expect(
            "mock-small" in names,
            expected="the models, with and without a slash at the end",
        )
    paths = {record.path for record in server.records}
    expect(
        paths == {"/v1/models"},
        saw=f"paths: {sorted(paths)}",
        expected="/v1/models both times",
    )


@pytest.mark.points(1, hint="repr")
def test_key_in_no_repr(answer, server):
    """The key is not in the repr of the client."""
    client = call(answer, "ChatClient", api_key=server.api_key)
    call(client, "ask", "Hello")
    shown = f"{client!r} {client} {client.history!r}"
    expect(
        server.api_key not in shown,
        saw="the key in repr(client)",
        expected="a repr without the key",
    )


@pytest.mark.points(1, hint="status")
def test_failed_call(answer, server):
    """A call that fails is an error, whatever was called, and leaves history as
    it was.
    """
    client = call(answer, "ChatClient")
    wanted = (
        "requests.HTTPError, or what your library has in its place: the "
        "status says that this is no answer"
    )
    for method, arguments in (
        ("chat", [[{"role": "user", "content": "Hi"}]]),
        ("models", []),
        ("ask", ["Hi"]),
    ):
        for trouble in (
            fault.status(400),
            fault.status(500),
            *[fault.drop()] * (method == "ask"),
        ):
            server.reset()
            server.on().reply(trouble)  # for good, since a client may try again
            with expect_raises(answer, Exception, expected=wanted) as caught:
                call(client, method, *arguments)
            expect(
                not isinstance(caught.value, LookupError | TypeError), expected=wanted
            )
            history = spoken(client.history)
            expect(
                not history,
                saw=f"history: {history}",
                expected="an empty history, as before",
                hint="history",
            )


@pytest.mark.points(1, hint="timeout")
def test_timeout(answer, server):
    """A silent server does not hold the program: after the timeout there is an
    error.
    """
    server.on().reply(fault.delay(1.5))
    for method, arguments, seconds in (
        ("models", [], (5, 0.1)),
        ("ask", ["Hello"], 0.1),
    ):
        client = call(answer, "ChatClient", timeout=seconds)
        with expect_raises(
            answer, Exception, expected="an error after 0.1 s"
        ) as caught:
            call(client, method, *arguments)
        is_crash = isinstance(caught.value, TypeError | ValueError | LookupError)
        expect(
            not is_crash,
            expected="timeout as two numbers or as one: to connect, and of silence",
        )
    parameter = inspect.signature(answer.ChatClient).parameters.get("timeout")
    expect(
        parameter is None or parameter.default == (3.05, 30),
        saw=f"timeout={parameter and parameter.default} if the caller gives none",
        expected="a timeout in every call: timeout=(3.05, 30) if the caller gives none",
    )


@pytest.mark.points(1, hint="answer-text")
def test_half_an_answer(answer, server):
    """An answer that was cut off is a ValueError, not an answer, and not kept in
    history.
    """
    half = {"role": "assistant", "content": "The sky is"}
    body = {
        "object": "chat.completion",
        "choices": [{"index": 0, "message": half, "finish_reason": "length"}],
    }
    server.script(fault.status(200, body=body))
    client = call(answer, "ChatClient")
    with expect_raises(
        answer, ValueError, expected="ValueError, because the finish_reason is length"
    ):
        call(client, "ask", "Why is the sky blue?")
    expect(
        client.history == [],
        saw=f"history: {client.history}",
        expected="an empty history",
    )
