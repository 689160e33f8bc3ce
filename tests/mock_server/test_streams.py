"""Faults are pure functions on lists of pieces: nearly all of them are tested here
without a socket.
"""

import ast
import dataclasses
import json
import re
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import pytest
import requests
from mock_server import MockServer, fault, openai_chat, openai_shared
from mock_server.fault import NAMES, Fault, parse
from mock_server.reply import (
    DONE,
    Piece,
    Reply,
    cut_bytes,
    event,
    json_reply,
    retry_after_header,
    slice_pieces,
    stream_reply,
    to_json,
)

TEXT = "Héllo 你好，世界！ 👋🌞 👨‍👩‍👧 ✅入"  # noqa: RUF001


def delta(text: str) -> bytes:
    """Return an event that carries some text."""
    return event(to_json({"choices": [{"index": 0, "delta": {"content": text}}]}))


def stream(text: str = TEXT, seconds: float = 0.0) -> Reply:
    """Return a stream with an opening event without content, an event for each
    character, and [DONE].
    """
    return stream_reply(
        [(0.0, delta("")), *((seconds, delta(letter)) for letter in text), (0.0, DONE)],
        openers=1,
    )


def after(wanted: Fault, reply: Reply) -> Reply:
    """Return the reply after the fault was applied to it."""
    reply.error = openai_shared.error_body
    reply.error_headers = openai_shared.error_headers
    reply.forms = openai_chat.FORMS
    wanted.apply(reply)
    return reply


def read(data: bytes) -> str:
    """Read an event stream as the WHATWG HTML standard says (section 9.2.6) and return
    the answer's text.
    """
    text = ""
    for block in re.split(
        r"\n\n", data.decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")
    ):
        found = [
            line[5:].removeprefix(" ")
            for line in block.split("\n")
            if line.startswith("data:")
        ]
        if found and found != ["[DONE]"]:
            text += json.loads("\n".join(found))["choices"][0]["delta"].get(
                "content", ""
            )
    return text


# --- slices, cuts and forms of the bytes ----------------------------------------------

FORMS = [
    fault.ok(),
    fault.crlf(),
    fault.comments(),
    fault.no_space(),
    fault.crlf() + fault.comments() + fault.no_space(),
]


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_every_slice_size_gives_the_same_text(form: Fault) -> None:
    """A stream with Chinese and emoji, in pieces of every size from one byte to all of
    them, is the same stream.
    """
    whole = after(form, stream()).body
    assert read(whole) == TEXT
    for size in range(1, len(whole) + 2):
        sliced = after(form + fault.slice(size), stream())
        assert sliced.body == whole, f"size {size} changed the bytes"
        assert {len(data) for _, data in sliced.pieces[:-1]} <= {size}, (
            f"a piece is not of size {size}"
        )
        assert 1 <= len(sliced.pieces[-1][1]) <= size


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7, 64, 10_000])
@pytest.mark.parametrize("library", [requests, httpx], ids=["requests", "httpx"])
def test_slices_through_real_clients(server: MockServer, library, size: int) -> None:
    """The same through a socket: the bytes that a client gets do not depend on how they
    were sliced.
    """
    server.on().reply(fault.slice(size), text=TEXT)
    body = {
        "model": "mock-small",
        "stream": True,
        "messages": [{"role": "user", "content": "x"}],
    }
    headers = {"Authorization": f"Bearer {server.api_key}"}
    assert (
        read(
            library.post(
                f"{server.base_url}/chat/completions", json=body, headers=headers
            ).content
        )
        == TEXT
    )


def test_slices_keep_the_waits() -> None:
    """Slicing loses no waiting: each slice waits as long as the pieces that begin in
    it.
    """
    pieces: list[Piece] = [(1.0, b"abc"), (2.0, b"d"), (0.0, b""), (4.0, b"efg")]
    assert slice_pieces(pieces, 1) == [
        (1.0, b"a"),
        (0.0, b"b"),
        (0.0, b"c"),
        (2.0, b"d"),
        (4.0, b"e"),
        (0.0, b"f"),
        (0.0, b"g"),
    ]
    assert slice_pieces(pieces, 4) == [(3.0, b"abcd"), (4.0, b"efg")]
    assert slice_pieces(pieces, 100) == [(7.0, b"abcdefg")]
    assert slice_pieces([], 3) == []


def test_every_cut_is_a_prefix() -> None:
    """A cut after n bytes keeps exactly the first n, for every n, and the waits before
    them.
    """
    pieces: list[Piece] = [(1.0, b"abc"), (2.0, b"d"), (3.0, b"efg")]
    for size in range(9):
        kept = cut_bytes(pieces, size)
        assert b"".join(data for _, data in kept) == b"abcdefg"[:size]
        assert [wait for wait, _ in kept] == [1.0, 2.0, 3.0][: len(kept)]
        assert all(data for _, data in kept), "a cut leaves no empty piece to wait for"


def test_forms_of_lines() -> None:
    """crlf, comments and no_space change each event as the standard allows, and nothing
    else.
    """
    reply = stream("a")
    assert after(fault.crlf(), stream("a")).body == reply.body.replace(b"\n", b"\r\n")
    assert after(fault.no_space(), stream("a")).body == reply.body.replace(
        b"data: ", b"data:"
    )
    commented = after(fault.comments(), stream("a"))
    assert [data for _, data in commented.pieces] == [
        b": keep-alive\n\n" + data for _, data in reply.pieces
    ]
    both = after(fault.comments() + fault.crlf(), stream("a")).body
    assert b"\n" not in both.replace(b"\r\n", b""), (
        "a comment has a line end of its own kind"
    )


def test_forms_leave_other_replies_alone() -> None:
    """What is said of lines and events does nothing to a JSON document."""
    for form in (fault.crlf(), fault.no_space(), fault.comments()):
        assert (
            after(form, json_reply({"text": "data: \n"})).body
            == json_reply({"text": "data: \n"}).body
        )


def test_the_order_of_composed_faults_does_not_matter() -> None:
    """Events are counted before bytes are cut anew, whatever the order of writing."""
    parts = [
        fault.truncate(after_events=3),
        fault.crlf(),
        fault.slice(5),
        fault.cut(after_bytes=60),
        fault.delay(1),
    ]
    forward, backward = parts[0], parts[-1]
    for part in parts[1:]:
        forward = forward + part
    for part in parts[-2::-1]:
        backward = backward + part
    assert after(forward, stream()) == after(backward, stream())
    assert len(after(forward, stream()).body) == 60


# --- events ---------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 3, 1000])
def test_events_are_counted_after_the_opening(count: int) -> None:
    """after_events counts events with content; the one that only names the role comes
    in any case.
    """
    for wanted in (
        fault.truncate(after_events=count),
        fault.cut(after_events=count),
        fault.stall(after_events=count),
    ):
        assert read(after(wanted, stream("abcdef")).body) == "abcdef"[:count], wanted
    body = after(fault.stream_error(after_events=count), stream("abcdef")).body
    before, _, last = body.rstrip().rpartition(b"data: ")
    assert read(before) == "abcdef"[:count]
    assert json.loads(last)["error"] == {
        "message": "the model stopped working while it answered",
        "type": "server_error",
        "param": None,
        "code": None,
    }


def test_endings() -> None:
    """Each fault ends the reply in its own way: cleanly, broken off, or not at all."""
    endings = {
        "truncate(after_events=1)": "complete",
        "stream_error(after_events=1)": "complete",
        "bad_json()": "complete",
        "cut(after_events=1)": "fin",
        'cut(after_bytes=1, how="rst")': "rst",
        "stall(after_events=1)": "hang",
        "hang()": "hang",
        'drop("fin")': "fin",
        'drop("rst")': "rst",
        "garbage()": "fin",
    }
    for text, ending in endings.items():
        assert after(parse(text), stream()).ending == ending, text
    for text in ("hang()", "drop()", "garbage()"):
        assert not after(parse(text), stream()).has_head, f"{text} sends no status line"


@pytest.mark.parametrize(
    "text", ["cut(after_events=1)", "truncate(after_events=1)", "stall(after_events=1)"]
)
def test_events_of_a_single_document(text: str) -> None:
    """A JSON document has no events to count: half of its bytes are kept, or none after
    no event.
    """
    document = json_reply({"a": "b" * 91})
    assert len(document.body) == 99
    kept = after(parse(text), json_reply({"a": "b" * 91}))
    assert kept.body == document.body[:49]
    kept = after(parse(text.replace("1", "0")), json_reply({"a": "b" * 91}))
    assert kept.body == b""


def test_a_length_is_a_promise() -> None:
    """A cut or stalled document still promises all its bytes; half a document with a
    clean end promises half.
    """
    document = json_reply({"a": "b" * 91})
    for text in (
        "cut(after_bytes=9)",
        "stall(after_events=1)",
        "cut(after_bytes=9) + drip(3, 0.1)",
    ):
        assert after(parse(text), json_reply({"a": "b" * 91})).length == len(
            document.body
        ), text
    assert after(fault.bad_json(), json_reply({"a": "b" * 91})).length is None


def test_bad_json() -> None:
    """bad_json leaves half a document, or one event in the middle of a stream that is
    none; the rest is whole.
    """
    document = after(fault.bad_json(), json_reply({"a": 1})).body
    with pytest.raises(json.JSONDecodeError):
        json.loads(document)
    reply = after(fault.bad_json(), stream("abcdef"))
    broken = []
    for _, data in reply.pieces[:-1]:
        assert data.endswith(b"\n\n")
        try:
            json.loads(data.removeprefix(b"data: "))
        except json.JSONDecodeError:
            broken.append(data)
    assert len(broken) == 1 and len(reply.pieces) == 8


def test_drip() -> None:
    """drip makes as many pieces as asked for, with the gap before each, and the same
    bytes.
    """
    document = json_reply({"a": "b" * 91})
    for count in (1, 2, 8, 98):
        dripped = after(fault.drip(count, 0.25), json_reply({"a": "b" * 91}))
        assert (len(dripped.pieces), {wait for wait, _ in dripped.pieces}) == (
            count,
            {0.25},
        )
        assert dripped.body == document.body


# --- what compatible servers do otherwise ---------------------------------------------


def completion(text: str = "abc") -> Reply:
    """Return a chat completion as one document."""
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": "length"}
    return json_reply({"id": "chatcmpl-1", "choices": [choice], "usage": {"total": 3}})


def chunks(text: str = "abc") -> Reply:
    """Return a stream as the server makes it: the role, the text, the finish_reason."""
    pieces = [piece for piece in stream(text).pieces if piece[1] != DONE]
    last = {"choices": [{"index": 0, "delta": {}, "finish_reason": "length"}]}
    return stream_reply([*pieces, (0.0, event(to_json(last))), (0.0, DONE)], openers=1)


def values(reply: Reply) -> list[Any]:
    """Return the JSON of every event of a stream; of a document, its own."""
    if not reply.is_stream:
        return [json.loads(reply.body)]
    found = [data.partition(b"data: ")[2] for _, data in reply.pieces]
    return [json.loads(data) for data in found if data != b"[DONE]\n\n"]


WORDS = "the model stopped working while it answered"
FULL = {"message": WORDS, "type": "server_error", "param": None, "code": None}
SHAPES = {
    "error": {"error": FULL},
    "text": {"error": WORDS},
    "flat": {"object": "error", "message": WORDS, "code": 500},
    "detail": {"detail": WORDS},
    "choice": {
        "choices": [{"index": 0, "delta": {}, "error": FULL, "finish_reason": None}]
    },
    "finish": {"choices": [{"index": 0, "delta": {}, "finish_reason": "error"}]},
    "event": {"message": WORDS},
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("done", [False, True])
def test_errors_in_a_stream(shape: str, done: bool) -> None:
    """An error comes after the events asked for, in each shape, with or without
    `[DONE]`.
    """
    for count in (0, 2):
        wanted = fault.stream_error(after_events=count, shape=shape, done=done)
        reply = after(wanted, chunks("abcdef"))
        *before, last = values(reply)
        kept = [value["choices"][0]["delta"]["content"] for value in before]
        assert kept == ["", "a", "b"][: count + 1]
        assert last == SHAPES[shape], f"{shape} is sent as {last}"
        assert (reply.pieces[-1][1] == DONE) == done, "[DONE] follows only if asked for"
        named = reply.body.count(b"event: error\ndata: ")
        assert named == (shape == "event"), "only this shape names its event"


def test_errors_in_place_of_a_document() -> None:
    """A document becomes the error in each shape; in a choice, it keeps everything
    else.
    """
    for shape in ("error", "text", "flat", "detail"):
        reply = after(fault.stream_error(shape=shape, done=True), completion())
        assert values(reply) == [SHAPES[shape]], f"{shape} is sent as {reply.body!r}"
    event_shape = after(fault.stream_error(shape="event"), completion())
    assert values(event_shape) == [SHAPES["flat"]]
    for shape, reason, error in (("choice", None, FULL), ("finish", "error", None)):
        document = values(after(fault.stream_error(shape=shape), completion()))[0]
        choice = document["choices"][0]
        assert choice["finish_reason"] == reason
        assert choice.get("error") == error
        assert (document["id"], choice["message"]["content"]) == ("chatcmpl-1", "abc")


@pytest.mark.parametrize("make", [completion, chunks])
def test_the_code_and_type_of_an_error(make: Callable[[], Reply]) -> None:
    """code and type stand where the shape has a place for them, numbers as numbers."""
    for code, type in (("rate_limit_exceeded", "tokens"), (429, None)):
        for shape in ("error", "flat", "choice", "event"):
            wanted = fault.stream_error(shape=shape, code=code, type=type)
            value = values(after(wanted, make()))[-1]
            if shape == "choice":
                value = value["choices"][0]
            error = value.get("error", value)
            assert error["code"] == code, f"{shape} lost the code: {value}"
            assert error.get("type") in (type or "server_error", type), shape


@pytest.mark.parametrize("make", [completion, chunks])
def test_content_as_parts(make: Callable[[], Reply]) -> None:
    """Every message and every delta that has a content has it as a list with one
    text.
    """
    texts = []
    for value in values(after(fault.parts(), make())):
        message = value["choices"][0].get("message") or value["choices"][0]["delta"]
        for part in message.get("content", []):
            assert part["type"] == "text"
            texts.append(part["text"])
    assert "".join(texts) == "abc"


@pytest.mark.parametrize("make", [completion, chunks])
def test_no_content(make: Callable[[], Reply]) -> None:
    """The content is null wherever it was a text, and the model says that it stopped as
    usual.
    """
    reply = after(fault.no_content(), make())
    assert b"abc" not in reply.body and b'"content":null' in reply.body
    assert b'"content":"' not in reply.body
    assert values(reply)[-1]["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize("make", [completion, chunks])
@pytest.mark.parametrize("reason", ["eos_token", None])
def test_other_words_for_the_end(make: Callable[[], Reply], reason: str | None) -> None:
    """Only the end has another word; what comes before it stays."""
    reply = after(fault.finish(reason), make())
    assert values(reply)[-1]["choices"][0]["finish_reason"] == reason
    untouched = make().pieces[:-2] if reply.is_stream else []
    assert reply.pieces[: len(untouched)] == untouched


@pytest.mark.parametrize("make", [completion, chunks])
def test_omitted_keys(make: Callable[[], Reply]) -> None:
    """A key is left out at every depth, and nothing else is."""
    for name in ("finish_reason", "index", "choices", "usage"):
        left = after(fault.omit(name), make()).body.decode()
        assert f'"{name}"' not in left, f"{name} is still there: {left}"
    assert after(fault.omit("nothing"), make()).pieces == make().pieces
    assert (
        after(fault.omit("a"), json_reply([{"a": 1}, [{"a": 2}]])).body == b"[{},[{}]]"
    )


def test_keys_are_omitted_from_errors_too() -> None:
    """An error without a code is one more habit of servers, whatever else made it."""
    for make in (completion, chunks):
        wanted = fault.stream_error(done=True) + fault.omit("code")
        error = values(after(wanted, make()))[-1]["error"]
        assert set(error) == {"message", "type", "param"}
    refused = after(fault.omit("code") + fault.status(429), completion())
    assert set(values(refused)[0]["error"]) == {"message", "type", "param"}


def test_what_is_no_chat_stays_as_it_is() -> None:
    """Faults of the content do nothing to other documents, damaged ones and bytes."""
    bodies = (b'{"choices":5}', b'{"choices":[1]}', b'{"choic', b"[1]", b"\xff", b"")
    names = (
        "parts",
        "no_content",
        "finish(x)",
        "omit(y)",
        "stream_error(shape=choice)",
    )
    for body in bodies:
        for text in names:
            reply = Reply()
            reply.set_body(body, "application/json")
            assert after(parse(text), reply).body == body, f"{text} changed {body!r}"


def test_blank_events() -> None:
    """An empty event stands before each event, and a reader of the standard skips
    it.
    """
    reply = after(fault.blank_data(), stream("ab"))
    usual = stream("ab").pieces
    assert [data for _, data in reply.pieces] == [b"data:\n\n" + d for _, d in usual]
    assert after(fault.blank_data(), completion()).body == completion().body
    both = after(
        fault.no_space() + fault.blank_data() + fault.crlf(), stream("ab")
    ).body
    assert both.count(b"data:\r\n\r\ndata:{") == 3, "other forms still apply"


def test_done_alone() -> None:
    """A stream may be `[DONE]` and nothing else; a document stays what it is."""
    assert after(fault.only_done(), chunks()).pieces == [(0.0, DONE)]
    assert after(fault.only_done(), completion()).body == completion().body


def test_content_types() -> None:
    """The Content-Type is whatever is asked for, or is not there."""
    for text in ("text/plain", "application/json; charset=ISO-8859-1"):
        reply = after(fault.content_type(text), completion("é"))
        assert (reply.headers["Content-Type"], reply.body) == (
            text,
            completion("é").body,
        )
    assert "Content-Type" not in after(fault.content_type(None), chunks()).headers


@pytest.mark.parametrize("is_stream", [False, True])
def test_no_content_type_on_the_wire(server: MockServer, is_stream: bool) -> None:
    """A reply without a Content-Type has none on the wire either, and is whole."""
    server.script(fault.content_type(None))
    body = {
        "model": "mock-small",
        "messages": [{"role": "user", "content": "Say hello"}],
    }
    reply = httpx.post(
        f"{server.base_url}/chat/completions",
        json={**body, "stream": is_stream},
        headers={"Authorization": f"Bearer {server.api_key}"},
    )
    assert "Content-Type" not in reply.headers
    assert (b"[DONE]" in reply.content) == is_stream
    assert is_stream or "Hello" in reply.json()["choices"][0]["message"]["content"]


@pytest.mark.parametrize("code", [200, 299, 418, 599, 600, 777, 999])
@pytest.mark.parametrize("library", [requests, httpx], ids=["requests", "httpx"])
def test_any_status(server: MockServer, library, code: int) -> None:
    """Every code from 200 to 999 can be sent; from 400 on it is an error."""
    server.script(fault.status(code))
    reply = library.get(f"{server.url}/users/python")
    assert reply.status_code == code == server.records[-1].status
    assert ("scripted" in reply.text) == (code >= 400)


# --- whole replies --------------------------------------------------------------------


def test_status() -> None:
    """status sets code, body and headers; from 400 on, the body is an error in the
    style of the endpoint.
    """
    reply = after(
        fault.status(429, retry_after=1.2, headers={"x-should-retry": "true"}),
        json_reply({}),
    )
    assert (
        reply.status,
        reply.headers["Retry-After"],
        reply.headers["x-should-retry"],
    ) == (429, "2", "true")
    assert json.loads(reply.body)["error"]["code"] == "rate_limit_exceeded"
    assert after(fault.status(202), json_reply({"a": 1})).body == b'{"a":1}'
    assert (
        after(fault.status(200, body=[1, "你"]), json_reply({})).body
        == '[1,"你"]'.encode()
    )
    reply = after(fault.status(500, body="oh no"), json_reply({}))
    assert (reply.body, reply.headers["Content-Type"]) == (
        b"oh no",
        "text/plain; charset=utf-8",
    )
    for code in (204, 304):
        assert after(fault.status(code), json_reply({})).body == b""


def test_a_scripted_error_is_no_stream() -> None:
    """An error in place of a stream is a sized JSON document, and what is said of
    events does nothing to it.
    """
    for wanted in (fault.status(503), fault.quota(), fault.html()):
        reply = after(wanted + fault.crlf() + fault.comments(), stream())
        assert (
            reply.is_stream,
            reply.is_chunked,
            reply.openers,
            len(reply.pieces),
        ) == (False, False, 0, 1)
        assert b"\r" not in reply.body and b"keep-alive" not in reply.body


def test_retry_after() -> None:
    """Retry-After is whole seconds of at least 1, rounded up; or a date, rounded up; or
    any text as it is.
    """
    for seconds, wanted in (
        (0, "1"),
        (0.001, "1"),
        (1, "1"),
        (1.001, "2"),
        (59.2, "60"),
    ):
        assert retry_after_header(seconds) == wanted
    for text in ("0.5", "soon", "-1", ""):
        assert retry_after_header(text) == text
    before = time.time()
    moment = parsedate_to_datetime(retry_after_header(1.5, as_date=True)).timestamp()
    assert before + 1.5 <= moment <= time.time() + 2.5
    date = retry_after_header(0, as_date=True)
    assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", date), (
        f"{date} is no IMF-fixdate (RFC 9110)"
    )


def test_headers_left_out() -> None:
    """bare leaves out what only a service's own servers add, no_charset the charset;
    everything else stays.
    """
    headers = {
        "x-request-id": "1",
        "openai-version": "2",
        "x-ratelimit-limit-requests": "3",
        "ETag": "4",
    }
    reply = json_reply({})
    reply.headers |= headers
    assert after(fault.bare(), reply).headers == {
        "ETag": "4",
        "Content-Type": "application/json",
    }
    assert (
        after(fault.no_charset(), stream()).headers["Content-Type"]
        == "text/event-stream"
    )
    assert (
        after(fault.no_charset() + fault.html(), stream()).headers["Content-Type"]
        == "text/html"
    )


def test_delays_add_up() -> None:
    """Two delays on one reply wait for the sum of both."""
    assert after(fault.delay(0.25) + fault.delay(0.5), json_reply({})).delay == 0.75


# --- faults as text -------------------------------------------------------------------

EVERY = [
    "ok()",
    "status(503)",
    "status(429, retry_after=1)",
    "status(429, retry_after=0.5, as_date=True)",
    'status(429, retry_after="soon")',
    'status(418, body={"a": [1, None, "你"]}, headers={"x-should-retry": "false"})',
    'status(500, body="a \\"quoted\\" text")',
    "quota()",
    "html(502)",
    "html(504)",
    "bare()",
    "no_charset()",
    "delay(0.5)",
    "hang()",
    'drop("rst")',
    'drop("fin")',
    "garbage()",
    "bad_json()",
    "truncate(after_events=3)",
    "stream_error()",
    "stream_error(after_events=2)",
    'stream_error(shape="flat")',
    'stream_error(after_events=1, shape="event", code=429, type="requests", done=True)',
    'stream_error(code="insufficient_quota")',
    "parts()",
    "no_content()",
    'finish("eos_token")',
    "finish(None)",
    'omit("usage")',
    'content_type("text/plain; charset=ISO-8859-1")',
    "content_type(None)",
    "blank_data()",
    "only_done()",
    "stall(after_events=1)",
    "comments()",
    "no_space()",
    "crlf()",
    "drip(8, 0.2)",
    "slice(3)",
    "cut(after_bytes=10)",
    "cut(after_events=2)",
    'cut(after_events=2, how="rst")',
    "delay(0.1) + crlf() + slice(1)",
]


@pytest.mark.parametrize("text", EVERY)
def test_faults_print_as_the_call_that_makes_them(text: str) -> None:
    """Text to fault and back gives the same text, and Python itself reads it as the
    same fault.
    """
    made = parse(text)
    assert ast.unparse(ast.parse(str(made))) == ast.unparse(ast.parse(text))
    assert (
        parse(str(made))
        == made
        == eval(text, {name: getattr(fault, name) for name in NAMES})
    )
    assert hash(str(made)) == hash(str(parse(text)))


def test_the_list_above_is_complete() -> None:
    """Every fault that there is stands in the list above, and every one has a sentence
    that explains it.
    """
    assert {name for text in EVERY for name in re.findall(r"(\w+)\(", text)} == set(
        NAMES
    )
    for name, made in NAMES.items():
        assert getattr(fault, name) is made
        assert re.match(r"[A-Z].+\.", made.__doc__ or "", re.DOTALL), (
            f"{name} needs a sentence that says what it does"
        )


@pytest.mark.parametrize(
    ("short", "full"),
    [
        ("hang", "hang()"),
        ("drop", 'drop("rst")'),
        ("drop(fin)", 'drop("fin")'),
        ("drop('fin')", 'drop("fin")'),
        ("html", "html(502)"),
        ("stream_error", "stream_error()"),
        (" crlf + slice(3) ", "crlf() + slice(3)"),
        ("delay(seconds=2)", "delay(2)"),
        ("cut(after_events=1, how=rst)", 'cut(after_events=1, how="rst")'),
    ],
)
def test_shorthands(short: str, full: str) -> None:
    """A fault without arguments needs no brackets, and a word no quotes, because shells
    make both a nuisance.
    """
    assert str(parse(short)) == full


@pytest.mark.parametrize(
    "text",
    [
        "stats(503)",
        "",
        "503",
        "os.system('ls')",
        "Fault",
        "Composed",
        "parse",
        "__import__",
    ],
)
def test_unknown_faults_list_the_known(text: str) -> None:
    """What is no fault is refused; a wrong name is answered with the list of the right
    ones.
    """
    with pytest.raises(ValueError, match=r"fault") as caught:
        parse(text)
    if text.isidentifier() or "stats" in text:
        assert all(name in str(caught.value) for name in NAMES)


WRONG = [
    "status()",
    "status(42)",
    "status(1000)",
    "status('503')",
    "status(True)",
    "status(503, 1)",
    "status(503, when=1)",
    "status(429, retry_after=-1)",
    "status(429, retry_after=[])",
    "status(500, headers=1)",
    "status(500, body={1, 2})",
    "status(429, retry_after='a\\r\\nb')",
    "status(500, headers={'a': 1})",
    "status(500, headers={'a b': 'c'})",
    "status(500, headers={'a': 'b\\r\\nc: d'})",
    "status(500, **{'body': 1})",
    "status(*[500])",
    "html(42)",
    "html('x')",
    "delay()",
    "delay(-1)",
    "delay('1')",
    "delay(1e400)",
    "delay(True)",
    "delay(1, 2)",
    "hang(1)",
    "drop('bang')",
    "drop(1)",
    "truncate()",
    "truncate(3)",
    "truncate(after_events=-1)",
    "truncate(after_events=1.5)",
    "truncate(after_events=True)",
    "stall()",
    "stream_error(after_events='x')",
    "slice()",
    "slice(0)",
    "slice(1.5)",
    "drip(0, 1)",
    "drip(1)",
    "drip(2, -1)",
    "cut()",
    "cut(after_bytes=1, after_events=1)",
    "cut(after_bytes=-1)",
    "stream_error(shape='round')",
    "stream_error(shape=[])",
    "stream_error(code=1.5)",
    "stream_error(code='a\\nb')",
    "stream_error(type=1)",
    "stream_error(done=1)",
    "parts(1)",
    "no_content(1)",
    "finish()",
    "finish(1)",
    "finish('a\\nb')",
    "omit()",
    "omit('')",
    "omit(1)",
    "content_type()",
    "content_type(1)",
    "content_type('a\\r\\nb: c')",
    "blank_data(1)",
    "only_done(1)",
    "cut(after_bytes=1, how='bang')",
    "delay(1) - crlf()",
    "delay(1) + 2",
    "crlf() crlf()",
    "lambda: 1",
    "(" * 500,
    "delay(" * 300 + "1" + ")" * 300,
    "delay(1)" + " + delay(1)" * 5000,
]


@pytest.mark.parametrize("text", WRONG, ids=lambda text: text[:40])
def test_wrong_arguments_are_refused_at_once(text: str) -> None:
    """A wrong argument is a ValueError where the fault is made, not a surprise when it
    happens.
    """
    with pytest.raises(ValueError) as caught:
        parse(text)
    assert str(caught.value) and "\n" not in str(caught.value)


def test_wrong_arguments_in_python() -> None:
    """In Python a wrong value is a ValueError too, and a wrong number of arguments a
    TypeError.
    """
    for make in (
        lambda: fault.slice(0),
        lambda: fault.drop("x"),
        lambda: fault.cut(),
        lambda: fault.delay(-1),
    ):
        with pytest.raises(ValueError):
            make()
    with pytest.raises(TypeError):
        fault.delay()
    with pytest.raises(TypeError):
        fault.crlf() + 1


def test_faults_are_values() -> None:
    """Equal calls make equal faults, and a fault can be used again and again because
    applying it leaves it as it is.
    """
    assert fault.slice(3) == fault.slice(3) != fault.slice(4)
    made = fault.status(503) + fault.delay(1)
    assert after(made, json_reply({})) == after(made, json_reply({}))
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.faults = ()


def test_json_is_raw_utf8() -> None:
    """JSON goes out compact and in raw UTF-8; half of a surrogate pair stays the escape
    that it came as.
    """
    assert to_json({"a": ["你", "👋"]}) == '{"a":["你","👋"]}'.encode()
    assert json.loads(to_json({"a": "\ud83d"})) == {"a": "\ud83d"}
