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


def completion(text: object, **choice: object) -> dict:
    """Return the body of a reply with this answer; choice: fields beside it."""
    message = {"role": "assistant", "content": text}
    return {
        "object": "chat.completion",
        "choices": [{"index": 0, "message": message, **choice}],
    }


# What is raised if the body of a failure is read as if it were a reply.
BY_ACCIDENT = (
    LookupError,
    TypeError,
    AttributeError,
    NameError,
    json.JSONDecodeError,
)


@contextmanager
def leaves_no_trace(server: MockServer, client: object, because: str) -> Iterator[None]:
    """Fail unless the next question goes out as if nothing had been in the block."""
    before = spoken(client.history)
    yield
    server.reset()
    text = call(client, "ask", "Go on")
    asked = spoken(sent(server)["messages"])
    expect(
        asked == [*before, ("user", "Go on")],
        saw=f"the next question sent {asked[len(before) :]}",
        expected=f"only the next question: {because}, so it leaves no trace in history",
        hint="history",
    )
    added = spoken(client.history)[len(before) :]
    expect(
        added == [("user", "Go on"), ("assistant", text)],
        saw=f"then {added} was added to history",
        expected=f"only the next question and its answer, because {because}",
        hint="history",
    )


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


@pytest.mark.points(1, hint="answer-text")
@pytest.mark.limit(20)  # the first test also waits for the import of a large library
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
def test_chat(answer, server):
    """chat sends the messages as they are, with the options as fields beside them, and
    returns the whole reply.
    """
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "What is HTTP?"},
    ]
    given = [dict(message) for message in messages]
    client = call(answer, "ChatClient", model="mock-large")
    reply = call(client, "chat", given, temperature=0, max_tokens=3)
    body = sent(server)
    expect(
        body["messages"] == messages,
        saw=f"sent: {body}",
        expected="exactly these two messages",
    )
    options = {"model": "mock-large", "temperature": 0, "max_tokens": 3}
    expect(
        options.items() <= body.items(),
        saw=f"sent: {body}",
        expected="model, messages, temperature and max_tokens",
    )
    expect(
        given == messages,
        saw=f"the list we gave is now {given}",
        expected="a list that stays as it is: the caller goes on using it",
    )
    is_whole = (
        isinstance(reply, dict)
        and reply.get("object") == "chat.completion"
        and "usage" in reply
    )
    expect(is_whole, expected="the whole reply, as a dict: usage and all")


@pytest.mark.points(1, hint="slash")
def test_models(answer, server, monkeypatch):
    """models returns all names, from an address with or without a slash at its end, and
    with any path.
    """
    server.on(model="nonce-4711")  # from now on this model exists
    wanted = ["mock-small", "mock-large", "nonce-4711"]
    names = call(call(answer, "ChatClient"), "models")
    is_right = isinstance(names, list) and sorted(map(str, names)) == sorted(wanted)
    expect(is_right, expected=f"{wanted}, in any order", hint="where-to-begin")
    data = [{"id": "nonce-4712", "object": "model", "created": 0, "owned_by": "us"}]
    listed = {"object": "list", "data": data}
    server.on(path="/api/max/models").reply(fault.status(200, body=listed))
    for base_url, in_environment, wanted in (
        (server.base_url, False, "/v1/models"),
        (server.base_url + "/", False, "/v1/models"),
        (server.base_url + "/", True, "/v1/models"),
        (server.url + "/api/max", False, "/api/max/models"),
    ):
        given = {} if in_environment else {"base_url": base_url}
        if in_environment:
            monkeypatch.setenv("OPENAI_BASE_URL", base_url)
        client = call(answer, "ChatClient", **given)
        with suppress(Exception):  # the path tells all
            call(client, "models")
        where = " in OPENAI_BASE_URL" if in_environment else ""
        expect(
            server.records and server.records[-1].path == wanted,
            saw=f"with {base_url}{where}, the client asks for "
            f"{server.records[-1].path}, which is not there",
            expected=f"a request for {wanted}",
        )


@pytest.mark.points(1, hint="history")
def test_conversation(answer, server):
    """ask sends all that was said before, so that the model knows it; two clients have
    two conversations.
    """
    client, other = call(answer, "ChatClient"), call(answer, "ChatClient")
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
    text = call(other, "ask", "What is my name?")
    expect(
        text == "You have not told me your name.",
        expected="the second client to know nothing of the first",
    )
    for number in range(20):
        call(client, "ask", f"Question {number}")
    text = call(client, "ask", "What is my name?")
    count = len(sent(server)["messages"])
    expect(
        text == "Your name is Ada." and count == 45,
        saw=f"after 22 questions, ask sent {count} messages, and the model said {text}",
        expected="45 messages: 22 questions with their answers, and the new question",
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
        saw=f"also {', '.join(more)} in history: some services refuse the next "
        "question for it",
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
        f"{client.history[-1:]}"
    )
    expect(
        client.history == wanted,
        saw=saw,
        expected="history as it was before chat: only ask adds to it",
    )


@pytest.mark.points(1, hint="history")
def test_system(answer, server):
    """The system message goes first, and is not kept in history."""
    client = call(answer, "ChatClient")
    call(client, "ask", "What is HTTP?")
    call(client, "ask", "What is an API?", system="Be brief.")
    messages = spoken(sent(server)["messages"])
    roles = [role for role, _ in messages]
    expect(
        roles == ["system", "user", "assistant", "user"],
        saw=f"sent: {roles}",
        expected="system, then all the others",
    )
    expect(
        messages[0] == ("system", "Be brief."),
        saw=f"sent: {messages[0]}",
        expected="the instructions as they were given",
    )
    roles = [message["role"] for message in client.history]
    expect(
        roles == ["user", "assistant"] * 2,
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
    has_left, did = False, "with ChatClient() as client: client.models(); 1 / 0"
    with server_that_notes_the_end() as (base_url, is_closed):
        with suppress(ZeroDivisionError):
            with call(answer, "ChatClient", base_url=base_url) as client:
                call(client, "models")
                raise ZeroDivisionError
            has_left = True
        expect(
            is_closed.wait(1),
            did=did,
            saw=open_still,
            expected="an error in the block to close the connection, too",
        )
    expect(
        not has_left,
        did=did,
        saw="no exception after the with statement",
        expected="the error in the block gets out: an __exit__ that returns "
        "something true swallows it",
    )


@pytest.mark.points(1, hint="no-key")
def test_no_key(answer, server, monkeypatch):
    """Without a key or an address, or with an empty one, there is a ValueError before
    anything is sent.
    """
    for name, hint in (("OPENAI_API_KEY", "no-key"), ("OPENAI_BASE_URL", "settings")):
        with monkeypatch.context() as environment:
            environment.setenv(name, "")
            wanted = f"ValueError: {name} is empty, as after `{name}=` in .env"
            with expect_raises(answer, ValueError, expected=wanted, hint=hint):
                call(answer, "ChatClient")
            unset(environment, name)
            wanted = f"ValueError, because there is no {name}"
            with expect_raises(answer, ValueError, expected=wanted, hint=hint):
                call(answer, "ChatClient")
    expect(
        not server.records, saw=f"{len(server.records)} requests", expected="no request"
    )


@pytest.mark.points(1, hint="settings")
def test_environment(answer, server, monkeypatch):
    """What is not given comes from the environment, as it is when the client is
    made, and two clients have two keys.
    """
    with MockServer(api_key="another-key-entirely") as other:
        monkeypatch.setenv("OPENAI_BASE_URL", other.base_url)
        monkeypatch.setenv("OPENAI_API_KEY", other.api_key)
        monkeypatch.setenv("OPENAI_MODEL", "mock-large")
        client = call(answer, "ChatClient")
        given = {
            "api_key": server.api_key,
            "base_url": server.base_url,
            "model": "mock-small",
        }
        second = call(answer, "ChatClient", **given)
        text = call(client, "ask", "What is HTTP?")
        expect(
            text.startswith("HTTP is"),
            expected="an answer from the server that the environment names",
        )
        expect(
            sent(other)["model"] == "mock-large",
            saw=f"model {sent(other)['model']}",
            expected="model mock-large",
        )
        with suppress(Exception):  # what arrived tells all
            call(second, "ask", "What is HTTP?")
    arrived = [(record.status, sent(server)["model"]) for record in server.records]
    expect(
        arrived == [(200, "mock-small")],
        saw=f"(status, model) of the requests at the given address: {arrived}",
        expected="[(200, 'mock-small')]: arguments count more than the environment",
    )


@pytest.mark.points(1, hint="repr")
def test_key_in_no_repr(answer, server):
    """No part of the key is in the repr of the client."""
    key = "sk-QXZJVKWGHYQPXW"  # no two letters of it stand in another word
    with MockServer(api_key=key) as keyed:
        client = call(answer, "ChatClient", api_key=key, base_url=keyed.base_url)
        call(client, "ask", "Hello")
    shown = f"{client!r} {client} {client.history!r}"
    parts = [key[start : start + 2] for start in range(2, len(key) - 1)]
    expect(
        not any(part in shown for part in parts),
        saw=f"the key, or a part of it, in {shown}: it ends up in every log",
        expected="a repr without the key",
    )


@pytest.mark.points(1, hint="status")
def test_failed_call(answer, server):
    """A status from 400 on is an error, whatever the body is; history stays as it was,
    and the next call works.
    """
    messages = [{"role": "user", "content": "Hi"}]
    text = completion("Try again later.", finish_reason="stop")
    models = {"object": "list", "data": [{"id": "nonce", "object": "model"}]}
    once = {"x-should-retry": "false"}  # the official package asks again otherwise
    client = call(answer, "ChatClient")
    for method, arguments, body in (
        ("chat", [messages], text),
        ("models", [], models),
        ("ask", ["Hi"], text),
    ):
        for code, trouble in (
            (400, fault.status(400)),
            (503, fault.status(503, body=body, headers=once)),
            (403, fault.html(403)),
        ):
            server.on().reply(trouble)  # for good, since a client may try again
            wanted = (
                "requests.HTTPError, or what your library has in its place: the status "
                f"is {code}"
            )
            with leaves_no_trace(server, client, f"the {method} before it failed"):
                with expect_raises(answer, Exception, expected=wanted) as caught:
                    call(client, method, *arguments)
                expect(
                    not isinstance(caught.value, BY_ACCIDENT),
                    saw=f"{type(caught.value).__name__}, by accident: the body was "
                    "read as if it were a reply",
                    expected=wanted,
                )


@pytest.mark.points(1, hint="timeout")
def test_timeout(answer, server):
    """A silent server does not hold the program: after the timeout there is an
    error.
    """
    server.on().reply(fault.delay(1.5))
    for method, arguments, seconds in (
        ("models", [], (5, 0.05)),
        ("ask", ["Hello"], 0.05),
    ):
        client = call(answer, "ChatClient", timeout=seconds)
        with expect_raises(
            answer, Exception, expected="an error after 0.05 s"
        ) as caught:
            call(client, method, *arguments)
        is_crash = isinstance(caught.value, TypeError | ValueError | LookupError)
        expect(
            not is_crash,
            expected="timeout as one number, or as two: to connect, and of silence",
        )
    parameter = inspect.signature(answer.ChatClient).parameters.get("timeout")
    expect(
        parameter is None or parameter.default == (3.05, 30),
        saw=f"timeout={parameter and parameter.default} if the caller gives none",
        expected="a timeout in every call: timeout=(3.05, 30) if the caller gives none",
    )


@pytest.mark.points(1, hint="answer-text")
def test_half_an_answer(answer, server):
    """Half an answer is a ValueError, and not kept in history; other words for a good
    end are accepted.
    """
    client = call(answer, "ChatClient")
    for reason in ("length", "content_filter", "error"):
        half = completion("The sky is", finish_reason=reason)
        server.script(fault.status(200, body=half))
        with (
            leaves_no_trace(server, client, "half an answer doesn't count"),
            expect_raises(
                answer,
                ValueError,
                expected=f"ValueError, because the finish_reason is {reason}",
            ),
        ):
            call(client, "ask", "Why is the sky blue?")
    for end in ({"finish_reason": "eos_token"}, {}):
        server.script(fault.status(200, body=completion("Blue.", **end)))
        expected = f"'Blue.': the answer is whole, with {end or 'no finish_reason'}"
        try:
            text = call(client, "ask", "Which colour is the sky?")
        except (ValueError, LookupError) as error:
            saw = f"{type(error).__name__}: {error}; a good answer is lost"
            expect(False, saw=saw, expected=expected)
        expect(text == "Blue.", expected=expected)


# --- further --------------------------------------------------------------------------


@pytest.mark.points(1, further=True, hint="yesterday")
def test_conversation_of_yesterday(answer, server):
    """history may be changed or replaced, and the next question goes on from there."""
    yesterday = [{"role": "user", "content": "My name is Ada."}]
    yesterday += [{"role": "assistant", "content": "Hello Ada."}] * 999
    client = call(answer, "ChatClient")
    did = "client = ChatClient(); client.history = […]; client.ask('What is my name?')"
    try:
        client.history = list(yesterday)
    except AttributeError as error:
        expect(
            False,
            did=did,
            saw=f"AttributeError: {error}; yesterday's conversation cannot go on",
            expected="an attribute that the caller may set",
        )
    text = call(client, "ask", "What is my name?")
    expect(
        text == "Your name is Ada." and len(sent(server)["messages"]) == 1001,
        did=did,
        saw=f"sent: {len(sent(server)['messages'])} messages; the model said {text}",
        expected="1001 messages: the 1000 of yesterday, all of them, and the question",
    )
    del client.history[2:-2]
    call(client, "ask", "And again?")
    roles = [message["role"] for message in sent(server)["messages"]]
    expect(
        roles == ["user", "assistant", "user", "assistant", "user"],
        did=f"{did}; del client.history[2:-2]; client.ask('And again?')",
        saw=f"sent: {len(roles)} messages",
        expected="5 messages: the 4 that the caller kept in history, and the question",
    )


@pytest.mark.points(1, further=True, hint="redirect")
def test_redirect(answer, server):
    """A redirect is not followed, and is an error, whatever its body is."""
    text, models = completion("Moved.", finish_reason="stop"), {"data": [{"id": "m"}]}
    client = call(answer, "ChatClient")
    for method, arguments, code, body in (
        ("models", [], 302, models),
        ("ask", ["Hi"], 307, text),
    ):
        server.reset()
        place = {"Location": f"{server.url}/elsewhere"}
        server.script(fault.status(code, body=body, headers=place))
        with expect_raises(
            answer,
            Exception,
            expected="an error as for a 4xx: a redirect is not an answer",
        ) as caught:
            call(client, method, *arguments)
        is_meant = not isinstance(caught.value, BY_ACCIDENT)
        expect(
            is_meant and len(server.records) == 1,
            saw=f"requests: {', '.join(record.path for record in server.records)}; "
            f"then {type(caught.value).__name__}",
            expected="one request, and an error for its status: the key must not "
            "follow a redirect",
        )


@pytest.mark.points(1, further=True, hint="key-from-a-file")
def test_key_arrives(answer, server, monkeypatch, tmp_path):
    """A key with a line end arrives, despite ~/.netrc; a bad key is refused.

    A bad key is one that no header can carry; the error does not quote it.
    """
    netrc = tmp_path / "netrc"
    netrc.write_text("default login ada password secret\n", encoding="utf-8")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    for key, told in (
        (server.api_key, "although there is a login in ~/.netrc"),
        (f" {server.api_key}\n", "without the space and the line end around it"),
    ):
        client = call(answer, "ChatClient", api_key=key)
        for method, arguments in (("models", []), ("ask", ["Hello"])):
            server.reset()
            with suppress(Exception):  # what arrived tells all
                call(client, method, *arguments)
            saw = [
                f"Authorization: {one.headers.get('Authorization')}, and so a "
                f"{one.status} that nobody understands"
                for one in server.records
            ]
            expect(
                [one.status for one in server.records] == [200],
                saw=saw[0] if saw else "no request",
                expected=f"the key, {told}",
            )
    for key in ("sk-7Qx9Vt2L\nw8Zr5", "sk-7Qx9Vt2L w8Zr5", "sk-7Qx9Vt2Lé"):
        wanted = f"ValueError for {key!r} when the client is made"
        with expect_raises(answer, ValueError, expected=wanted) as caught:
            call(answer, "ChatClient", api_key=key)
        expect(
            "7Qx9" not in str(caught.value),
            saw="the key in the error, which ends up in a log",
            expected="an error that does not quote it",
        )


@pytest.mark.points(1, further=True, hint="timeout")
@pytest.mark.limit(10)  # a client may try again
def test_after_a_timeout(answer, server):
    """After a timeout or a lost connection the client goes on."""
    for trouble, told, options in (
        (fault.delay(1.2), "no reply within the timeout", {"timeout": (5, 0.3)}),
        (fault.drop(), "the connection was lost", {}),
    ):
        server.reset()
        client = call(answer, "ChatClient", **options)
        server.on().reply(trouble)
        with expect_raises(answer, Exception, expected=f"an error: {told}"):
            call(client, "ask", "Hello")
        with suppress(TimeoutError):  # on a busy machine, it may arrive only now
            server.wait_for(max(1, len(server.records)), timeout=3)
        server.reset()
        try:
            call(client, "ask", "Hello again")
        except Exception as error:
            name = type(error).__name__
            saw = f"{name} in the next call, after {told}: the client is unusable now"
            expect(False, saw=saw, expected="a client that goes on")
        goes_on_with = spoken(sent(server)["messages"])
        expect(
            goes_on_with == [("user", "Hello again")],
            saw=f"the next question sent {goes_on_with}",
            expected="the next question alone: the call that failed left no trace",
            hint="history",
        )


@pytest.mark.points(1, further=True, hint="parts-and-null")
def test_parts_and_null(answer, server):
    """The texts of a content in parts are joined; a content of null is never None."""
    parts = [
        {"type": "text", "text": "Hel"},
        {"type": "reasoning", "text": "Greet?"},
        {"type": "image_url", "image_url": {"url": "data:,"}},
        {"type": "text", "text": "lo"},
    ]
    server.script(fault.status(200, body=completion(parts, finish_reason="stop")))
    client = call(answer, "ChatClient")
    text = call(client, "ask", "Say hello")
    expect(text == "Hello", expected="'Hello', the texts of the parts of type text")
    history = spoken(client.history)
    expect(
        history == [("user", "Say hello"), ("assistant", "Hello")],
        saw=f"history: {history}",
        expected="the text in history, too",
    )
    server.script(fault.status(200, body=completion(None, finish_reason="stop")))
    try:  # honest clients differ: "" or a ValueError
        text = call(client, "ask", "And now?")
    except ValueError:
        text = ""
    expect(text == "", expected='"" or a ValueError: the content is null')
    texts = [message["content"] for message in client.history]
    expect(
        None not in texts,
        saw="None in history, which other services refuse from then on",
        expected="texts only in history",
    )


@pytest.mark.points(1, further=True, hint="no-answer")
def test_no_answer(answer, server):
    """A reply without an answer or models, or with an error in it, is a ValueError, and
    leaves history as it was.
    """
    client = call(answer, "ChatClient")
    for method, arguments, body in (
        ("ask", ["Hello"], {"error": {"message": "overloaded"}}),
        ("ask", ["Hello"], {"choices": []}),
        ("ask", ["Hello"], completion("Hel") | {"error": {"message": "overloaded"}}),
        ("ask", ["Hello"], completion("Hel", error={"message": "overloaded"})),
        ("models", [], {"error": {"message": "overloaded"}}),
    ):
        server.script(fault.status(200, body=body))
        with (
            leaves_no_trace(server, client, "there was no answer"),
            expect_raises(
                answer, ValueError, expected=f"ValueError: what came is {body}"
            ),
        ):
            call(client, method, *arguments)
