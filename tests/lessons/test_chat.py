"""Lesson 03: the client on one connection, its settings, and how it reads a reply.

Redirects, ~/.netrc and reprs of all clients are in test_keys.py.
"""

from typing import Any

import pytest
import requests
from mock_server import MockServer, fault
from mock_server.fault import Fault
from robust_client.chat import (
    BAD_ENDS,
    OpenAIClient,
    chat_body,
    find_text,
    join_parts,
    read_answer,
    tidy_address,
)

HELLO = [{"role": "user", "content": "Say hello"}]
ANSWER = "Hello! 你好! 👋"
STOPPED = "the model stopped working while it answered"
PICTURE = {"type": "image_url", "image_url": {"url": "data:,"}}


def open_client(server: MockServer, **options: Any) -> OpenAIClient:
    """Return a client of the server."""
    return OpenAIClient(server.api_key, server.base_url, "mock-small", **options)


def ask(server: MockServer, *troubles: Fault) -> str | None:
    """Return the text of an answer that the server sends with these troubles."""
    server.script(*troubles)
    with open_client(server) as client:
        return find_text(client.chat_completion(HELLO))


# --- replies --------------------------------------------------------------------------

ODD = [
    fault.parts(),
    fault.finish("eos_token"),
    fault.finish("STOP"),
    fault.finish(None),
    fault.omit("finish_reason"),
    fault.omit("usage"),
    fault.content_type("text/plain"),
    fault.content_type("application/json; charset=ISO-8859-1"),
    fault.content_type(None),
]


@pytest.mark.parametrize("oddity", ODD, ids=str)
def test_odd_reply_is_an_answer(oddity: Fault, server: MockServer) -> None:
    """Parts, other words for the end and a wrong charset take nothing away."""
    assert ask(server, oddity) == ANSWER


SHAPES = ("error", "text", "flat", "detail", "choice", "event")
BAD = [(fault.stream_error(shape=shape), STOPPED) for shape in SHAPES]
BAD += [(fault.finish(end), f"{end}): {ANSWER!r}") for end in BAD_ENDS]
BAD += [
    (fault.stream_error(shape="finish"), "error"),
    (fault.omit("choices"), "no answer in this reply"),
    (fault.omit("content"), "no answer in this reply"),
    (fault.status(200, body=[]), "no answer in this reply: []"),
    (fault.bad_json(), ""),
    (fault.html(200), ""),
]


@pytest.mark.parametrize(("trouble", "words"), BAD, ids=str)
def test_reply_without_a_whole_answer(
    trouble: Fault, words: str, server: MockServer
) -> None:
    """A 200 with an error or half an answer in it is a ValueError that says so."""
    with pytest.raises(ValueError) as raised:
        ask(server, trouble)
    assert words in str(raised.value)


def test_error_beside_a_whole_answer() -> None:
    """An error of the reply counts more than the answer that stands beside it."""
    choice = {"message": {"content": "Hello"}, "finish_reason": "stop"}
    with pytest.raises(ValueError, match="overloaded"):
        find_text({"choices": [choice], "error": {"message": "overloaded"}})


@pytest.mark.parametrize("status", [302, 304, 401, 404, 429, 500, 999])
def test_status_that_is_not_2xx(status: int, server: MockServer) -> None:
    """Any status but 2xx is an HTTPError that names it and has the response."""
    with pytest.raises(requests.HTTPError, match=str(status)) as raised:
        ask(server, fault.status(status))
    assert raised.value.response.status_code == status


def test_answer_without_text(server: MockServer) -> None:
    """Null is None to find_text, and "" with a warning at this line to read_answer."""
    server.script(fault.no_content())
    with open_client(server) as client:
        reply = client.chat_completion(HELLO)
    assert find_text(reply) is None
    with pytest.warns(UserWarning, match="no text") as caught:
        assert read_answer(reply) == ""
    assert caught[0].filename == __file__


def test_parts_of_a_content() -> None:
    """Texts are joined, parts of another type are left out, and null stays null."""
    note = {"type": "reasoning", "text": "Let me think."}
    texts = [
        {"type": "text", "text": "a"},
        {"text": "b"},
        {"type": "text", "text": None},
    ]
    assert join_parts([note, PICTURE, *texts]) == "ab"
    assert (join_parts("c"), join_parts(None), join_parts([])) == ("c", None, "")


@pytest.mark.parametrize("content", [7, {"text": "a"}, ["a"], [None]], ids=repr)
def test_content_that_is_not_text(content: Any) -> None:
    """Other content is no answer: nothing is made up, and nothing is left out."""
    with pytest.raises(ValueError, match="no answer"):
        find_text({"choices": [{"message": {"content": content}}]})


# --- settings -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "tidy"),
    [
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000/v1"),
        (" http://127.0.0.1:8000//\n", "http://127.0.0.1:8000/v1"),
        ("https://a.example/openai/v1/", "https://a.example/openai/v1"),
        ("https://a.example/v1beta/openai", "https://a.example/v1beta/openai"),
    ],
)
def test_address_in_order(address: str, tidy: str) -> None:
    """No slash at the end, no space around it, and /v1 only where no path is."""
    assert tidy_address(address) == tidy


@pytest.mark.parametrize(
    "address", [None, "", "sk-secret-key", "a.example/v1", "ftp://a/"]
)
def test_what_is_not_an_address(address: str | None) -> None:
    """It is a ValueError that says what to set, and never shows what may be a key."""
    with pytest.raises(ValueError, match="OPENAI_BASE_URL") as raised:
        tidy_address(address)
    assert "secret" not in str(raised.value)


def test_settings(server: MockServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not given comes from the environment; without a key nothing is sent."""
    monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/")
    monkeypatch.setenv("OPENAI_MODEL", "mock-large")
    with pytest.raises(ValueError, match="OPENAI_API_KEY"):
        OpenAIClient()
    monkeypatch.setenv("OPENAI_API_KEY", f" {server.api_key}\n")
    with OpenAIClient() as client, OpenAIClient(model="mock-small") as other:
        replies = [
            client.chat_completion(HELLO),
            client.chat_completion(HELLO, "mock-small"),
            other.chat_completion(HELLO),
        ]
    models = [reply["model"] for reply in replies]
    assert models == ["mock-large", "mock-small", "mock-small"]


def test_no_model(server: MockServer) -> None:
    """Without a model, a call is a ValueError, and nothing is sent."""
    client = OpenAIClient(server.api_key, server.base_url)
    with client, pytest.raises(ValueError, match="OPENAI_MODEL"):
        client.chat_completion(HELLO)
    assert server.records == []


@pytest.mark.parametrize("model", ["o1", "o3-mini", "o4-mini", "gpt-5", "gpt-5-mini"])
def test_body_for_a_reasoning_model(model: str) -> None:
    """It has the new name of the limit and no temperature; other models have both."""
    assert chat_body(HELLO, model, 0.7, 9) == {
        "model": model,
        "messages": HELLO,
        "max_completion_tokens": 9,
    }
    assert {"temperature", "max_tokens"} <= chat_body(HELLO, "gpt-4o", 0.7, 9).keys()


# --- connections ----------------------------------------------------------------------


def test_one_connection_until_close(server: MockServer) -> None:
    """All calls of a client use one connection, and close() closes it."""
    with open_client(server) as client:
        assert client.get_models() == ["mock-small", "mock-large"]
        client.chat_completion(HELLO)
    client.chat_completion(HELLO)
    client.close()
    assert [record.connection for record in server.records] == [1, 1, 2]


def test_error_in_a_block_gets_out(server: MockServer) -> None:
    """The end of a `with` block hides no error."""
    with pytest.raises(LookupError), open_client(server):
        raise LookupError


def test_timeout_holds_for_every_request(server: MockServer) -> None:
    """A server that is silent for longer than the timeout ends each call."""
    server.script(fault.hang(), fault.hang())
    with open_client(server, timeout=0.1) as client:
        with pytest.raises(requests.Timeout):
            client.get_models()
        with pytest.raises(requests.Timeout):
            client.chat_completion(HELLO)


@pytest.mark.parametrize(
    "trouble",
    [
        fault.stream_error(),
        fault.omit("data"),
        fault.omit("id"),
        fault.status(200, body=[]),
    ],
    ids=str,
)
def test_odd_list_of_models(trouble: Fault, server: MockServer) -> None:
    """A 200 that lists no models is a ValueError with the beginning of the reply."""
    server.script(trouble)
    client = open_client(server)
    with client, pytest.raises(ValueError, match="no models in "):
        client.get_models()
