"""Lesson 07: the event stream by the letter of the standard, and the four endings of a
streamed answer.
"""

import asyncio
import importlib.util
import itertools
import json
import random
import sys
import time
from collections.abc import Iterator
from contextlib import aclosing, closing
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests
from mock_server import MockServer, fault
from mock_server.fault import Fault

SCRIPT = Path(__file__).parents[2] / "lessons" / "07_sse_streaming.py"
HELLO = [{"role": "user", "content": "Say hello"}]
TEXT = "Hello! 你好! 👋"
EVENTS = {"Content-Type": "text/event-stream"}

_spec = importlib.util.spec_from_file_location("lesson_07", SCRIPT)
lesson = importlib.util.module_from_spec(_spec)
sys.modules["lesson_07"] = lesson  # where dataclass looks for it
_spec.loader.exec_module(lesson)


# --- the parser: each case is one sentence of the WHATWG HTML standard, sections 9.2.5 and 9.2.6


def event(
    data: str, event: str = "message", id: str = "", retry: int | None = None
) -> Any:
    """Return an event with this data."""
    return lesson.ServerSentEvent(event, data, id, retry)


CASES: dict[str, tuple[bytes, list[Any]]] = {
    "one event": (b"data: a\n\n", [event("a")]),
    "no space": (b"data:a\n\n", [event("a")]),
    "two spaces": (b"data:  a\n\n", [event(" a")]),
    "tab": (b"data:\ta\n\n", [event("\ta")]),
    "space at the end": (b"data: a \n\n", [event("a ")]),
    "colon in the value": (b"data: a: b:c\n\n", [event("a: b:c")]),
    "several data lines": (b"data: a\ndata:\ndata: b\n\n", [event("a\n\nb")]),
    "data with an empty value": (b"data:\n\n", [event("")]),
    "data without a colon": (b"data\n\ndata\ndata\n\n", [event(""), event("\n")]),
    "no data": (b"event: ping\n\ndata: a\n\n", [event("a")]),
    "unknown field": (b"size: 3\ndata: a\nwhatever\n\n", [event("a")]),
    "names are case-sensitive": (b"Data: a\nDATA: b\ndata: c\n\n", [event("c")]),
    "space before the name": (b" data: a\ndata : b\ndata: c\n\n", [event("c")]),
    "comments": (b": hi\n\n:data: a\ndata: b\n:\n\n", [event("b")]),
    "many empty lines": (b"\n\n\ndata: a\n\n\n\n\n", [event("a")]),
    "LF": (b"data: a\ndata: b\n\ndata: c\n\n", [event("a\nb"), event("c")]),
    "CR": (b"data: a\rdata: b\r\rdata: c\r\r", [event("a\nb"), event("c")]),
    "CR LF": (
        b"data: a\r\ndata: b\r\n\r\ndata: c\r\n\r\n",
        [event("a\nb"), event("c")],
    ),
    "mixed line ends": (
        b"data: a\r\ndata: b\rdata: c\n\r\ndata: d\r\n\r",
        [event("a\nb\nc"), event("d")],
    ),
    "CR before CR LF": (b"data: a\r\r\ndata: b\n\n", [event("a"), event("b")]),
    "LF before CR": (b"data: a\n\rdata: b\n\n", [event("a"), event("b")]),
    "other line ends are text": (
        "data: a\u2028b\x0bc\x0cd\x85e\x1cf\n\n".encode(),
        [event("a\u2028b\x0bc\x0cd\x85e\x1cf")],
    ),
    "kind of event": (
        b"event: add\ndata: a\n\ndata: b\n\n",
        [event("a", "add"), event("b")],
    ),
    "last kind wins": (b"event: add\nevent: del\ndata: a\n\n", [event("a", "del")]),
    "empty kind": (b"event: add\nevent:\ndata: a\n\n", [event("a")]),
    "kind without data is forgotten": (b"event: add\n\ndata: a\n\n", [event("a")]),
    "id stays": (
        b"id: 1\ndata: a\n\ndata: b\n\n",
        [event("a", id="1"), event("b", id="1")],
    ),
    "id without data stays": (b"id: 1\n\ndata: a\n\n", [event("a", id="1")]),
    "empty id": (
        b"id: 1\ndata: a\n\nid\ndata: b\n\n",
        [event("a", id="1"), event("b")],
    ),
    "id with a null": (b"id: 1\nid: 2\0\ndata: a\n\n", [event("a", id="1")]),
    "comment after an id": (b"id: 1\ndata: a\n\n: hi\n\n\n", [event("a", id="1")]),
    "retry": (
        b"retry: 0500\ndata: a\n\ndata: b\n\n",
        [event("a", retry=500), event("b")],
    ),
    "retry that is no number": (
        "".join(
            f"retry: {bad}\n"
            for bad in ("+5", "-5", "1_0", "5s", "5.0", " 5", "5 ", "", "\u0665", "²")
        ).encode()
        + b"retry\ndata: a\n\n",
        [event("a")],
    ),
    "retry keeps the last number": (
        b"retry: 7\nretry: x\ndata: a\n\n",
        [event("a", retry=7)],
    ),
    "incomplete event": (b"data: a\n\ndata: b\n", [event("a")]),
    "incomplete line": (b"data: a\n\ndata: b", [event("a")]),
    "nothing": (b"", []),
    "BOM": (b"\xef\xbb\xbfdata: a\n\n", [event("a")]),
    "two BOMs": (b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\ndata: b\n\n", [event("b")]),
    "BOM later": (b"data: a\n\n\xef\xbb\xbfdata: b\n\n", [event("a")]),
    "BOM in a value": ("data: \ufeffa\n\n".encode(), [event("\ufeffa")]),
    "BOM before an empty line": (b"\xef\xbb\xbf\ndata: a\n\n", [event("a")]),
    "half a BOM": (b"\xef\xbbdata: a\n\ndata: b\n\n", [event("b")]),
    "characters of several bytes": ("data: é你👋\n\n".encode(), [event("é你👋")]),
    "byte 0x85 in a character": ("data: ✅ 入\n\n".encode(), [event("✅ 入")]),
    "no UTF-8": (b"data: a\xff\xc3(\xe2\x82\n\n", [event("a\ufffd\ufffd(\ufffd")]),
    "null in the data": (b"data: \0\n\n", [event("\0")]),
}


def cuts(data: bytes) -> Iterator[list[bytes]]:
    """Yield the bytes cut in many ways: in pieces of each size, and in two at each
    place with nothing in between.
    """
    for size in range(1, len(data) + 2):
        yield [data[start : start + size] for start in range(0, len(data), size)]
    for place in range(len(data) + 1):
        yield [data[:place], b"", data[place:]]


@pytest.mark.parametrize("name", CASES)
def test_parser_follows_the_standard(name: str) -> None:
    """The events of a stream are the right ones, wherever its bytes are cut."""
    data, right = CASES[name]
    for chunks in cuts(data):
        assert list(lesson.iter_sse(chunks)) == right, (
            f"wrong events for the chunks {chunks}"
        )


def test_random_streams_do_not_depend_on_the_cuts() -> None:
    """A thousand streams of random parts have the same events, whole and cut at random
    places.
    """
    dice = random.Random(7)
    fields = [
        b"data: a",
        b"data:",
        "data: 你".encode(),
        b"id: 5",
        b"event: b",
        b"retry: 5",
        b": hi",
        b"\xff",
        b"x",
    ]
    parts = [*fields, *[b"\n", b"\r", b"\r\n"] * 5]
    seen = 0
    for _ in range(1000):
        data = b"".join(dice.choices(parts, k=40))
        places = sorted(dice.choices(range(len(data) + 1), k=dice.randrange(20)))
        chunks = [
            data[start:end]
            for start, end in itertools.pairwise([0, *places, len(data)])
        ]
        whole = list(lesson.iter_sse([data]))
        assert list(lesson.iter_sse(chunks)) == whole, (
            f"other events for the chunks {chunks}"
        )
        seen += len(whole)
    assert seen > 500, (
        f"only {seen} events: the random streams are too poor to show anything"
    )


@pytest.mark.parametrize("end", [b"\n\n", b"\r\r", b"\r\n\r\n"])
def test_an_event_is_there_with_its_last_byte(end: bytes) -> None:
    """The parser does not wait for a byte after the event, not even after a CR that an
    LF could follow.
    """
    parser = lesson.EventParser()
    assert parser.feed(b"data: a" + end) == [event("a")], (
        f"the event was held back at {end!r}"
    )

    def chunks() -> Iterator[bytes]:
        yield b"data: a" + end
        pytest.fail("iter_sse asked for more bytes before it yielded the event")

    assert next(lesson.iter_sse(chunks())) == event("a")


def test_retry_of_thousands_of_digits_is_survived() -> None:
    """int() refuses more than 4,300 digits, and a server could send them."""
    assert [
        one.data
        for one in lesson.iter_sse([b"retry: " + b"9" * 10_000 + b"\ndata: a\n\n"])
    ] == ["a"]


def test_time_is_linear_in_the_length_of_a_line() -> None:
    """Four times the line takes about four times as long, in small pieces too; copying
    it again and again takes 16.
    """

    def seconds(size: int) -> float:
        chunks = [b"data: ", *[b"x" * 16] * (size // 16), b"\n\n"]
        start = time.perf_counter()
        (found,) = lesson.iter_sse(chunks)
        assert len(found.data) == size
        return time.perf_counter() - start

    short, long = (min(seconds(size) for _ in range(5)) for size in (2**20, 2**22))
    assert long < 9 * short, f"1 MiB takes {short:.3f} s, 4 MiB take {long:.3f} s"


# --- chunks and answers ---


def chunk(delta: Any = None, reason: str | None = None, **more: Any) -> str:
    """Return the data of an event as a chat completion has it."""
    return json.dumps(
        {"choices": [{"index": 0, "delta": delta, "finish_reason": reason}], **more}
    )


@pytest.mark.parametrize(
    ("given", "text", "reason"),
    [
        ({"choices": [{"delta": {"content": "a"}, "finish_reason": None}]}, "a", None),
        (
            {
                "choices": [
                    {"index": 0, "delta": {"content": "a"}, "finish_reason": "stop"}
                ]
            },
            "a",
            "stop",
        ),
        ({"choices": [{"index": 0, "delta": {"content": None}}]}, "", None),
        (
            {"choices": [{"index": 0, "delta": {}, "finish_reason": "length"}]},
            "",
            "length",
        ),
        ({"choices": [{"index": 0, "delta": None}]}, "", None),
        ({"choices": [{"index": 0}]}, "", None),
        ({"choices": [], "usage": {"total_tokens": 3}}, "", None),
        ({"choices": None}, "", None),
        ({"model": ""}, "", None),
        (
            {
                "choices": [
                    {"index": 1, "delta": {"content": "b"}, "finish_reason": "stop"}
                ]
            },
            "",
            None,
        ),
        (
            {
                "choices": [
                    {"index": 1, "delta": {"content": "b"}},
                    {"index": 0, "delta": {"content": "a"}},
                ]
            },
            "a",
            None,
        ),
    ],
)
def test_read_chunk(given: dict[str, Any], text: str, reason: str | None) -> None:
    """Whatever a chunk lacks, it gives a text and a reason; other choices than the
    first are not mixed in.
    """
    assert lesson.read_chunk(given) == (text, reason)


BAD_CHUNKS = [
    "",
    "{",
    "null",
    "5",
    "[]",
    '"a"',
    '{"choices": 5}',
    '{"choices": [5]}',
    '{"choices": {"a": 1}}',
    "[DONE",
]
BAD_CHUNKS += [chunk({"content": 5}), chunk({"content": ["a"]}), chunk("a")]


@pytest.mark.parametrize("data", BAD_CHUNKS)
def test_what_is_no_chunk_is_a_stream_error(data: str) -> None:
    """Nothing is skipped: it becomes a StreamError with the text so far and the cause."""
    answer = lesson.Answer()
    answer.add(event(chunk({"content": "so far"})))
    with pytest.raises(lesson.StreamError) as caught:
        answer.add(event(data))
    assert caught.value.partial == "so far"
    assert caught.value.__cause__ is not None, "the cause is lost"


@pytest.mark.parametrize(
    ("error", "message", "code"),
    [
        ({"message": "overloaded", "code": "busy"}, "overloaded", "busy"),
        ({"type": "overloaded_error", "message": "Overloaded"}, "Overloaded", None),
        ("no memory", "no memory", None),
    ],
)
def test_an_error_event_is_told_in_the_words_of_the_server(
    error: Any, message: str, code: str | None
) -> None:
    """An error event becomes a StreamError with the server's message and code, and the
    text so far.
    """
    answer = lesson.Answer()
    answer.add(event(chunk({"content": "so far"})))
    with pytest.raises(lesson.StreamError) as caught:
        answer.add(event(json.dumps({"error": error}), event="error"))
    found = caught.value
    assert (str(found), found.code, found.partial, found.status) == (
        message,
        code,
        "so far",
        200,
    )


@pytest.mark.parametrize(
    ("ending", "is_whole"),
    [
        ([], False),
        (["[DONE]"], True),
        (["[DONE] "], True),
        ([chunk({}, "stop")], True),
        ([chunk({}, "length"), chunk(None), '{"choices": []}'], True),
        ([chunk({"content": "b"})], False),
        (['{"choices": []}'], False),
    ],
)
def test_an_answer_is_whole_with_either_ending(
    ending: list[str], is_whole: bool
) -> None:
    """[DONE] or a finish_reason ends an answer; without one of them it is incomplete,
    and its text is kept.
    """
    answer = lesson.Answer()
    for data in [chunk({"content": "a"}), *ending]:
        answer.add(event(data))
    if is_whole:
        lesson.check_end(answer)
    else:
        with pytest.raises(lesson.IncompleteStreamError) as caught:
            lesson.check_end(answer)
        assert caught.value.partial == answer.text


# --- the clients: each test is run with both ---


class Sync:
    """Runs the client for requests."""

    def __init__(
        self, server: MockServer, timeout: float = 5.0, api_key: str | None = None
    ) -> None:
        self.client = lesson.StreamingAPIClient(
            api_key or server.api_key, server.base_url
        )
        self.client.timeout = (timeout, timeout)

    def read(self, enough: int | None = None) -> list[tuple[float, str]]:
        """Return the pieces of an answer, each with the seconds until it came; leave
        after enough of them.
        """
        start, pieces = time.perf_counter(), []
        with closing(self.client.chat_completion_stream(HELLO, "mock-small")) as stream:
            for piece in stream:
                pieces.append((time.perf_counter() - start, piece))
                if len(pieces) == enough:
                    break
        return pieces


class Async:
    """Runs the client for asyncio."""

    def __init__(
        self, server: MockServer, timeout: float = 5.0, api_key: str | None = None
    ) -> None:
        self.address = (api_key or server.api_key, server.base_url)
        self.timeout = timeout

    def read(self, enough: int | None = None) -> list[tuple[float, str]]:
        """Return the pieces of an answer, each with the seconds until it came; leave
        after enough of them.
        """
        return asyncio.run(self._read(enough))

    async def _read(self, enough: int | None) -> list[tuple[float, str]]:
        client = lesson.AsyncStreamingAPIClient(*self.address)
        client._http.timeout = httpx.Timeout(self.timeout)
        start, pieces = time.perf_counter(), []
        try:
            async with aclosing(
                client.chat_completion_stream(HELLO, "mock-small")
            ) as stream:
                async for piece in stream:
                    pieces.append((time.perf_counter() - start, piece))
                    if len(pieces) == enough:
                        break
        finally:
            await client.close()
        return pieces


@pytest.fixture(params=[Sync, Async])
def kind(request: pytest.FixtureRequest) -> type[Sync] | type[Async]:
    """One of the two ways to call."""
    return request.param


def text_of(pieces: list[tuple[float, str]]) -> str:
    """Return the text that the pieces make."""
    return "".join(piece for _, piece in pieces)


def patience(trouble: Fault) -> float:
    """Return the seconds of silence to accept: few where the server is going to be
    silent.
    """
    return 0.3 if str(trouble).startswith(("hang", "stall")) else 5.0


def recorded(server: MockServer) -> str:
    """Return the body of a whole stream."""
    body = {"model": "mock-small", "messages": HELLO, "stream": True}
    headers = {"Authorization": f"Bearer {server.api_key}"}
    reply = requests.post(
        f"{server.base_url}/chat/completions", json=body, headers=headers, timeout=5
    )
    return reply.content.decode()


GOOD = [
    fault.ok(),
    fault.no_space(),
    fault.comments(),
    fault.crlf(),
    fault.no_charset(),
    *[fault.slice(size) for size in (1, 2, 3, 7, 1000)],
    fault.crlf()
    + fault.comments()
    + fault.no_space()
    + fault.slice(1)
    + fault.no_charset(),
]


@pytest.mark.parametrize("trouble", GOOD, ids=str)
def test_a_right_stream_gives_its_text(
    kind: type, server: MockServer, trouble: Fault
) -> None:
    """However a right stream is written and cut, its text arrives, in non-empty pieces,
    with one request.
    """
    server.script(trouble)
    pieces = kind(server).read()
    assert text_of(pieces) == TEXT
    assert all(piece for _, piece in pieces), f"an empty piece was yielded: {pieces}"
    (record,) = server.wait_for(1)
    assert json.loads(record.body) == {
        "model": "mock-small",
        "messages": HELLO,
        "stream": True,
    }


CHANGES = {
    "usage at the end": (
        "data: [DONE]",
        'data: {"choices":[],"usage":{"total_tokens":9}}\n\ndata: [DONE]',
    ),
    "content null": ('"content":""', '"content":null'),
    "no finish_reason": ('"finish_reason":"stop"', '"finish_reason":null'),
    "no [DONE]": ("data: [DONE]\n\n", ""),
    "space after [DONE]": ("[DONE]", "[DONE] "),
    "more after [DONE]": ("data: [DONE]\n\n", "data: [DONE]\n\ndata: late\n\n"),
    "two data lines": ('data: {"id"', 'data: {\ndata: "id"'),
    "BOM": ('data: {"id"', '\ufeffdata: {"id"'),
    "another charset": ("", ""),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_peculiar_stream_gives_its_text(
    kind: type, server: MockServer, name: str
) -> None:
    """Streams as other services send them are complete too, and are UTF-8 whatever the
    header says.
    """
    old, new = CHANGES[name]
    count = 1 if name == "BOM" else -1
    charset = "; charset=iso-8859-1" if name == "another charset" else ""
    headers = {"Content-Type": "Text/Event-Stream" + charset}
    body = recorded(server).replace(old, new, count) if old else recorded(server)
    assert (body != recorded(server)) == bool(old), "the change changed nothing"
    server.script(fault.status(200, body=body, headers=headers))
    assert text_of(kind(server).read()) == TEXT


BROKEN = [
    (fault.truncate(after_events=0), "IncompleteStreamError", "", False),
    (fault.truncate(after_events=3), "IncompleteStreamError", "Hello! 你", False),
    (fault.cut(after_events=3), "IncompleteStreamError", "Hello! 你", True),
    (fault.cut(after_events=3, how="rst"), "IncompleteStreamError", None, True),
    (fault.cut(after_bytes=1110), "IncompleteStreamError", "Hello! 你", True),
    (fault.cut(after_bytes=0), "IncompleteStreamError", "", True),
    (fault.stall(after_events=3), "IncompleteStreamError", "Hello! 你", True),
    (fault.status(200, body="", headers=EVENTS), "IncompleteStreamError", "", False),
    (fault.stream_error(after_events=3), "StreamError", "Hello! 你", False),
    (fault.stream_error(after_events=0), "StreamError", "", False),
    (fault.bad_json(), "StreamError", "Hello! 你", True),
]


@pytest.mark.parametrize(("trouble", "raises", "partial", "has_cause"), BROKEN, ids=str)
def test_a_broken_stream_is_never_taken_for_a_whole_one(
    kind: type,
    server: MockServer,
    trouble: Fault,
    raises: str,
    partial: str | None,
    has_cause: bool,
) -> None:
    """Each broken stream raises its error, with the text so far (after a reset, what of
    it arrived) and the cause.
    """
    server.script(trouble)
    with pytest.raises(lesson.APIError) as caught:
        kind(server, timeout=patience(trouble)).read()
    error = caught.value
    assert type(error).__name__ == raises, f"{trouble} became {error!r}"
    assert (
        error.partial == partial
        if partial is not None
        else "Hello! 你".startswith(error.partial)
    )
    assert (error.__cause__ is not None) == has_cause, (
        f"the cause is {error.__cause__!r}"
    )
    assert error.is_retryable, f"{raises} can succeed later"


def test_a_connection_lost_after_the_ending_is_no_error(
    kind: type, server: MockServer
) -> None:
    """Once the finish_reason is here, a connection cut before [DONE] takes nothing
    away.
    """
    body = recorded(server)
    server.script(fault.cut(after_bytes=len(body.encode()) - 5))
    assert text_of(kind(server).read()) == TEXT


REFUSED = [
    (fault.status(401), "AuthenticationError", 401, None, "scripted"),
    (fault.status(429), "APIError", 429, "rate_limit_exceeded", "scripted"),
    (fault.quota(), "APIError", 429, "insufficient_quota", "quota"),
    (fault.html(502), "APIError", 502, None, "text/html"),
    (fault.html(200), "InvalidResponseError", 200, None, "text/html"),
    (
        fault.status(200, body={"choices": []}),
        "InvalidResponseError",
        200,
        None,
        "application/json",
    ),
    (
        fault.status(200, body={"error": {"message": "no model"}}),
        "InvalidResponseError",
        200,
        None,
        "no model",
    ),
    (
        fault.status(200, body={"error": "no model"}),
        "InvalidResponseError",
        200,
        None,
        "no model",
    ),
    (fault.status(200, body=""), "InvalidResponseError", 200, None, "text/plain"),
    (
        fault.status(200, body="data: [DONE]\n\n"),
        "InvalidResponseError",
        200,
        None,
        "text/plain",
    ),
    (fault.status(202, body="", headers=EVENTS), "APIError", 202, None, "event-stream"),
    (fault.status(204), "APIError", 204, None, "expected a stream"),
    (fault.drop("rst"), "APIConnectionError", None, None, "Error"),
    (fault.drop("fin"), "APIConnectionError", None, None, "Error"),
    (fault.hang(), "APIConnectionError", None, None, "Timeout"),
    (
        fault.status(500) + fault.cut(after_bytes=20),
        "APIConnectionError",
        None,
        None,
        "Error",
    ),
]


@pytest.mark.parametrize(
    ("trouble", "raises", "status", "code", "words"), REFUSED, ids=str
)
def test_what_is_no_stream_says_what_it_is(
    kind: type,
    server: MockServer,
    trouble: Fault,
    raises: str,
    status: int | None,
    code: str | None,
    words: str,
) -> None:
    """A reply that is no stream becomes the right error, in the words of the server,
    and is not repeated.
    """
    server.script(trouble)
    with pytest.raises(lesson.APIError, match=words) as caught:
        kind(server, timeout=patience(trouble)).read()
    error = caught.value
    assert (type(error).__name__, error.status, error.code) == (raises, status, code)
    is_broken = raises == "APIConnectionError"
    assert (error.__cause__ is not None) == is_broken, (
        f"the cause is {error.__cause__!r}"
    )
    assert bool(error.request_id) == (status is not None), (
        "the id that the service asks for is lost"
    )
    assert len(server.wait_for(1)) == 1


def test_a_wrong_key_is_told_by_the_server(kind: type, server: MockServer) -> None:
    """A wrong key is an AuthenticationError with the server's own message and code."""
    with pytest.raises(lesson.AuthenticationError, match="Incorrect API key") as caught:
        kind(server, api_key="wrong-key").read()
    assert (caught.value.status, caught.value.code) == (401, "invalid_api_key")


def test_text_is_handed_on_as_it_arrives(kind: type) -> None:
    """The first piece is here long before the last one."""
    with MockServer(token_delay=0.05) as server:
        pieces = kind(server).read()
    assert text_of(pieces) == TEXT
    assert pieces[-1][0] - pieces[0][0] > 0.15, f"the pieces came together: {pieces}"


def test_text_is_handed_on_without_http_chunks_too(
    kind: type, server: MockServer
) -> None:
    """A body with a Content-Length is not held back either, and be it by a few bytes.

    61 bytes arrive in five pieces: after the fourth, the first event is complete.
    """
    body = 'data: {"choices":[{"delta":{"content":"a"}}]}\n\ndata: [DONE]\n\n'
    server.script(fault.status(200, body=body, headers=EVENTS) + fault.drip(5, 0.1))
    start = time.perf_counter()
    ((seconds, text),) = kind(server).read()
    total = time.perf_counter() - start
    assert text == "a"
    assert total - seconds > 0.05, (
        f"the text came after {seconds:.2f} s, the end after {total:.2f} s"
    )


def test_leaving_hangs_up(kind: type) -> None:
    """Whoever leaves after two pieces closes the connection, and the server notices
    before its answer is over.
    """
    with MockServer(token_delay=0.1) as server:
        pieces = kind(server).read(enough=2)
        assert text_of(pieces) == "Hello!"
        (record,) = server.wait_for(1)
    assert record.end == "client-gone", f"the server says {record.end}"
    assert record.ended - record.received < 0.5, (
        "the server went on after the client had left"
    )


def test_a_failure_closes_the_connection(kind: type) -> None:
    """The connection of a stream that went wrong is closed too: the server does not go
    on for nobody.
    """
    with MockServer(token_delay=0.1) as server:
        server.script(fault.bad_json())
        with pytest.raises(lesson.StreamError):
            kind(server).read()
        assert server.wait_for(1)[0].end == "client-gone"


def test_nothing_is_sent_before_the_first_piece_is_wanted(server: MockServer) -> None:
    """A generator does nothing before it is asked, and closing it then sends nothing
    either.
    """
    stream = lesson.StreamingAPIClient(
        server.api_key, server.base_url
    ).chat_completion_stream(HELLO, "mock-small")
    stream.close()
    assert server.records == []


@pytest.mark.parametrize(
    ("trouble", "enough", "outcome", "text"),
    [
        (fault.ok(), None, "completed", TEXT),
        (fault.truncate(after_events=3), None, "truncated", "Hello! 你"),
        (fault.cut(after_events=3), None, "truncated", "Hello! 你"),
        (fault.ok(), 3, "cancelled", "Hello! 你"),
        (fault.stream_error(after_events=3), None, "error", "Hello! 你"),
        (fault.bad_json(), None, "error", "Hello! 你"),
    ],
    ids=str,
)
def test_collect_names_the_four_endings(
    server: MockServer, trouble: Fault, enough: int | None, outcome: str, text: str
) -> None:
    """A stream is completed, truncated, cancelled or in error, and its text so far is
    kept.
    """
    server.script(trouble)
    client = lesson.StreamingAPIClient(server.api_key, server.base_url)
    assert lesson.collect(
        client.chat_completion_stream(HELLO, "mock-small"), enough
    ) == (outcome, text)


CLIENTS = ["StreamingAPIClient", "AsyncStreamingAPIClient"]


@pytest.mark.parametrize("name", CLIENTS)
def test_the_environment_is_the_default(
    name: str, server: MockServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Key and address come from the environment, and arguments win over it; a slash at
    the end does no harm.
    """
    make = getattr(lesson, name)
    monkeypatch.setenv("OPENAI_API_KEY", "mock-key-of-the-environment")
    monkeypatch.setenv("OPENAI_BASE_URL", f"{server.base_url}/")
    assert make()._url == f"{server.base_url}/chat/completions"
    assert (
        make("mock-key", "http://api.test/v1")._url
        == "http://api.test/v1/chat/completions"
    )
    assert "mock-key" not in repr(make()), "the key is in the repr"


@pytest.mark.parametrize("name", CLIENTS)
@pytest.mark.parametrize(
    ("api_key", "base_url"),
    [
        (None, "http://api.test"),
        ("", "http://api.test"),
        ("key", None),
        ("key", "api.test/v1"),
    ],
)
def test_a_missing_key_or_address_is_a_value_error(
    name: str,
    api_key: str | None,
    base_url: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without a key or an address nothing can be sent, and the error says what to set."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with pytest.raises(ValueError, match="OPENAI_API_KEY"):
        getattr(lesson, name)(api_key, base_url)


def test_two_answers_arrive_at_once() -> None:
    """Two streams of one async client overlap, and their texts do not mix."""

    async def both(server: MockServer) -> list[str]:
        client = lesson.AsyncStreamingAPIClient(server.api_key, server.base_url)

        async def ask(text: str) -> str:
            messages = [{"role": "user", "content": text}]
            return "".join(
                [
                    piece
                    async for piece in client.chat_completion_stream(
                        messages, "mock-small"
                    )
                ]
            )

        answers = await asyncio.gather(
            ask("Say hello"), ask("What is the capital of France?")
        )
        await client.close()
        return answers

    with MockServer(token_delay=0.02) as server:
        assert asyncio.run(both(server)) == [TEXT, "The capital of France is Paris."]
        assert server.peak_open == 2
