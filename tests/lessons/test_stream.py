"""Lesson 07: the event stream by the letter of the standard, and the endings of a
streamed answer, for both clients.

What the server refuses, and each failure of the table, is tested in test_failures.py.
"""

import asyncio
import itertools
import json
import random
import time
import warnings
from collections.abc import Iterator
from contextlib import aclosing, closing
from typing import Any

import httpx
import pytest
from mock_server import MockServer, fault
from mock_server.fault import Fault
from robust_client.async_stream import StreamingAsyncClient
from robust_client.errors import APIError, InvalidResponseError
from robust_client.retry import retry_on_error
from robust_client.sse import EventParser, ServerSentEvent, iter_sse
from robust_client.stream import (
    Answer,
    IncompleteStreamError,
    StreamError,
    StreamingAPIClient,
    check_end,
)

HELLO = [{"role": "user", "content": "Say hello"}]
TEXT = "Hello! 你好! 👋"
EVENTS = {"Content-Type": "text/event-stream"}
AT_ONCE = retry_on_error(jitter=False, initial_delay=0)


# --- the parser: each case is a sentence of the WHATWG HTML standard, section 9.2 ---


def event(
    data: str, event: str = "message", id: str = "", retry: int | None = None
) -> Any:
    """Return an event with this data."""
    return ServerSentEvent(event, data, id, retry)


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
        assert list(iter_sse(chunks)) == right, f"wrong events for the chunks {chunks}"


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
        whole = list(iter_sse([data]))
        assert list(iter_sse(chunks)) == whole, f"other events for the chunks {chunks}"
        seen += len(whole)
    assert seen > 500, (
        f"only {seen} events: the random streams are too poor to show anything"
    )


@pytest.mark.parametrize("end", [b"\n\n", b"\r\r", b"\r\n\r\n"])
def test_an_event_is_there_with_its_last_byte(end: bytes) -> None:
    """The parser does not wait for a byte after the event, not even after a CR that an
    LF could follow.
    """
    parser = EventParser()
    assert parser.feed(b"data: a" + end) == [event("a")], (
        f"the event was held back at {end!r}"
    )

    def chunks() -> Iterator[bytes]:
        yield b"data: a" + end
        pytest.fail("iter_sse asked for more bytes before it yielded the event")

    assert next(iter_sse(chunks())) == event("a")


def test_retry_of_thousands_of_digits_is_survived() -> None:
    """int() refuses more than 4,300 digits, and a server could send them."""
    assert [
        one.data for one in iter_sse([b"retry: " + b"9" * 10_000 + b"\ndata: a\n\n"])
    ] == ["a"]


def test_time_is_linear_in_the_length_of_a_line() -> None:
    """Eight times the line takes about eight times as long, in small pieces too;
    copying it for each piece takes 64 times as long.
    """

    def seconds(size: int) -> float:
        chunks = [b"data: ", *[b"x" * 64] * (size // 64), b"\n\n"]
        start = time.process_time()
        (found,) = iter_sse(chunks)
        assert len(found.data) == size
        return time.process_time() - start

    short, long = (min(seconds(size) for _ in range(3)) for size in (2**18, 2**21))
    assert long < 30 * short, f"256 KiB take {short:.3f} s, 2 MiB take {long:.3f} s"


# --- answers ---


def chunk(delta: Any = None, reason: str | None = None) -> str:
    """Return the data of an event as a chat completion has it."""
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    return json.dumps({"choices": [choice]})


def read(*datas: str, event: str = "message") -> Answer:
    """Return the answer that events with these data make."""
    answer = Answer()
    for _ in answer.read(ServerSentEvent(event, data) for data in datas):
        pass
    return answer


A = chunk({"content": "a"})
ODD = {
    "role only": (chunk({"role": "assistant", "content": ""}), ""),
    "null": (chunk({"content": None}), ""),
    "no content": (chunk({}), ""),
    "delta null": (chunk(None), ""),
    "no delta": ('{"choices": [{"index": 0}]}', ""),
    "parts": (chunk({"content": [{"type": "text", "text": "b"}, {"type": "x"}]}), "b"),
    "usage": ('{"choices": [], "usage": {"total_tokens": 3}}', ""),
    "choices null": ('{"choices": null}', ""),
    "ping": ('{"type": "ping"}', ""),
    "keep-alive": ("", ""),
    "another answer": ('{"choices": [{"index": 1, "delta": {"content": "b"}}]}', ""),
}


@pytest.mark.parametrize("name", ODD)
def test_an_odd_chunk_adds_the_text_that_it_has(name: str) -> None:
    """Whatever a chunk lacks, nothing breaks; other answers are not mixed in."""
    data, text = ODD[name]
    assert read(A, data, A).text == f"a{text}a"


DAMAGED = ["{", "null", "5", "[]", '"a"', "[DONE", "{}", '{"model": "x"}']
DAMAGED += ['{"choices": 5}', '{"choices": [5]}', '{"choices": {"a": 1}}']
DAMAGED += [chunk({"content": 5}), chunk("a"), "[" * 100_000]


@pytest.mark.parametrize("data", DAMAGED, ids=lambda data: data[:24])
def test_a_damaged_event_is_not_skipped(data: str) -> None:
    """A hole in the answer is an error that no repetition is asked for."""
    with pytest.raises(InvalidResponseError) as caught:
        read(A, data)
    assert caught.value.__cause__ is not None, "the cause is lost"
    assert not caught.value.is_retryable


@pytest.mark.parametrize(
    ("error", "words", "code", "again"),
    [
        ({"error": {"message": "busy", "code": "overloaded"}}, "busy", "overloaded", 1),
        ({"error": {"message": "no", "code": "429"}}, "no", "429", 1),
        ({"error": {"message": "no", "type": "insufficient_quota"}}, "no", None, 0),
        ({"error": "no memory"}, "no memory", None, 1),
        ({"object": "error", "message": "flat"}, "flat", None, 1),
        ({"detail": "gone"}, "gone", None, 1),
        ({"choices": [{"error": {"message": "here"}}]}, "here", None, 1),
        ({"choices": [{"delta": {}, "finish_reason": "error"}]}, "error", None, 1),
    ],
)
@pytest.mark.parametrize("kind", ["message", "error"])
def test_an_error_in_a_stream(
    kind: str, error: Any, words: str, code: str | None, again: int
) -> None:
    """An error of any shape has the server's words and code, and the table's advice."""
    answer = Answer()
    events = [ServerSentEvent(data=A), ServerSentEvent(kind, json.dumps(error))]
    with pytest.raises(StreamError, match=words) as caught:
        list(answer.read(events))
    found = caught.value
    assert (found.partial, found.status, found.code) == ("a", 200, code)
    assert found.is_retryable == bool(again)


@pytest.mark.parametrize("data", ["boom", '{"why": "boom"}'])
def test_an_error_event_with_words_of_its_own(data: str) -> None:
    """`event: error` is an error whatever its data is, and may pass."""
    with pytest.raises(StreamError, match="boom") as caught:
        read(data, event="error")
    assert caught.value.is_retryable


ENDINGS = {
    "finish_reason and [DONE]": ([A, chunk({}, "stop"), "[DONE]"], True),
    "finish_reason": ([A, chunk({}, "eos_token")], True),
    "[DONE]": ([A, "[DONE]"], True),
    "[DONE] and a space": ([A, "[DONE] "], True),
    "usage at the end": ([A, chunk({}, "STOP"), '{"choices": []}'], True),
    "no text, but stop": ([chunk({"content": None}, "stop"), "[DONE]"], True),
    "neither": ([A], False),
    "nothing": ([], False),
    "[DONE] alone": (["[DONE]"], False),
    "[DONE] after a note": (['{"choices": []}', "[DONE]"], False),
}


@pytest.mark.filterwarnings("ignore:the stream ended")
@pytest.mark.parametrize("name", ENDINGS)
def test_an_answer_is_whole_with_either_ending(name: str) -> None:
    """A finish_reason, or [DONE] after a text; without it the answer is incomplete."""
    datas, is_whole = ENDINGS[name]
    answer = read(*datas)
    if is_whole:
        check_end(answer)
    else:
        with pytest.raises(IncompleteStreamError) as caught:
            check_end(answer)
        assert caught.value.partial == answer.text


# --- the clients: each test is run with both ---


class Sync:
    """Runs the client for requests."""

    def __init__(self, server: MockServer, timeout: float = 5.0, **more: Any) -> None:
        account = (server.api_key, server.base_url, "mock-small")
        self.client = StreamingAPIClient(*account, timeout, **more)

    def read(self, enough: int | None = None) -> list[tuple[float, str]]:
        """Return the pieces of an answer, each with the seconds until it came.

        enough: after how many of them to leave.
        """
        start, pieces = time.perf_counter(), []
        stream = self.client.chat_completion_stream(HELLO)
        with self.client, closing(stream):
            for piece in stream:
                pieces.append((time.perf_counter() - start, piece))
                if len(pieces) == enough:
                    break
        return pieces


class Async:
    """Runs the client for asyncio."""

    def __init__(self, server: MockServer, timeout: float = 5.0, **more: Any) -> None:
        account = (server.api_key, server.base_url, "mock-small")
        self.make = lambda: StreamingAsyncClient(*account, **more)
        self.timeout = timeout

    def read(self, enough: int | None = None) -> list[tuple[float, str]]:
        """Return the pieces of an answer, each with the seconds until it came.

        enough: after how many of them to leave.
        """
        return asyncio.run(self._read(enough))

    async def _read(self, enough: int | None) -> list[tuple[float, str]]:
        start, pieces = time.perf_counter(), []
        async with self.make() as client:
            client.http.timeout = self.timeout
            async with aclosing(client.chat_completion_stream(HELLO)) as stream:
                async for piece in stream:
                    pieces.append((time.perf_counter() - start, piece))
                    if len(pieces) == enough:
                        break
        return pieces


@pytest.fixture(params=[Sync, Async])
def kind(request: pytest.FixtureRequest) -> type[Sync] | type[Async]:
    """One of the two ways to call."""
    return request.param


def text_of(pieces: list[tuple[float, str]]) -> str:
    """Return the text that the pieces make."""
    return "".join(piece for _, piece in pieces)


MANY = fault.crlf() + fault.comments() + fault.no_space() + fault.no_charset()
GOOD = [
    fault.ok(),
    fault.slice(1),
    fault.slice(1000),
    MANY + fault.slice(1),
    fault.blank_data(),
    fault.parts(),
    fault.finish("eos_token"),
    fault.finish(None),
    fault.omit("finish_reason"),
    fault.omit("usage"),
    fault.content_type(None),
    fault.content_type("Text/Event-Stream; charset=iso-8859-1"),
]


@pytest.mark.parametrize("trouble", GOOD, ids=str)
def test_a_right_stream_gives_its_text(
    kind: type, server: MockServer, trouble: Fault
) -> None:
    """However a stream is written and cut, its text arrives, in pieces that are not
    empty, with one request.
    """
    server.script(trouble)
    pieces = kind(server).read()
    assert text_of(pieces) == TEXT
    assert all(piece for _, piece in pieces), f"an empty piece was yielded: {pieces}"
    (record,) = server.wait_for(1)
    body = json.loads(record.body)
    assert (body["stream"], body["messages"]) == (True, HELLO)


@pytest.mark.parametrize(
    ("trouble", "text", "words"),
    [
        (fault.no_content(), "", "0 characters: stop"),
        (fault.finish("length"), TEXT, "12 characters: length"),
        (fault.finish("content_filter"), TEXT, "content_filter"),
    ],
    ids=str,
)
def test_half_an_answer_is_told(
    kind: type, server: MockServer, trouble: Fault, text: str, words: str
) -> None:
    """A whole stream without a text, or with half of one, gives a warning."""
    server.script(trouble)
    with pytest.warns(UserWarning, match=words):
        assert text_of(kind(server).read()) == text


def test_a_whole_answer_gives_no_warning(kind: type, server: MockServer) -> None:
    """Nothing is said about an answer that has all of its text."""
    with warnings.catch_warnings(action="error"):
        assert text_of(kind(server).read()) == TEXT


BROKEN = [
    (fault.truncate(after_events=3), IncompleteStreamError, False),
    (fault.cut(after_events=3), IncompleteStreamError, True),
    (fault.cut(after_bytes=1110), IncompleteStreamError, True),
    (fault.stall(after_events=3), IncompleteStreamError, True),
    (fault.stream_error(after_events=3), StreamError, False),
    (fault.stream_error(after_events=3, done=True), StreamError, False),
    (fault.stream_error(after_events=3, shape="event"), StreamError, False),
    (fault.bad_json(), InvalidResponseError, True),
]


@pytest.mark.parametrize(("trouble", "raises", "has_cause"), BROKEN, ids=str)
def test_a_stream_is_never_repeated_after_its_first_text(
    kind: type,
    server: MockServer,
    trouble: Fault,
    raises: type[APIError],
    has_cause: bool,
) -> None:
    """A stream that breaks in the middle raises its error, with the text so far, and
    is not sent again.
    """
    server.script(trouble)
    timeout = 1.0 if str(trouble).startswith("stall") else 5.0
    with pytest.raises(APIError) as caught:
        kind(server, timeout, retry=AT_ONCE).read()
    error = caught.value
    assert type(error) is raises, f"{trouble} became {error!r}"
    assert getattr(error, "partial", "Hello! 你") == "Hello! 你"
    assert (error.__cause__ is not None) == has_cause, f"cause: {error.__cause__!r}"
    assert len(server.wait_for(1)) == 1, "the stream was repeated after its first text"


EARLY = [
    fault.status(503),
    fault.stream_error(),
    fault.truncate(after_events=0),
    fault.cut(after_bytes=0),
    fault.drop("fin"),
    fault.only_done(),
    fault.status(200, body="", headers=EVENTS),
]


@pytest.mark.parametrize("trouble", EARLY, ids=str)
def test_a_stream_is_repeated_before_its_first_text(
    kind: type, server: MockServer, trouble: Fault
) -> None:
    """What fails before the first text, and may pass, is sent again; nobody notices."""
    server.script(trouble, trouble)
    assert text_of(kind(server, retry=AT_ONCE).read()) == TEXT
    assert len(server.wait_for(3)) == 3


@pytest.mark.parametrize(
    "trouble",
    [
        fault.status(401),
        fault.quota(),
        fault.stream_error(type="insufficient_quota"),
        fault.html(200),
        fault.status(204),
        fault.status(202, body="", headers=EVENTS),
        fault.status(999),
        fault.bad_json() + fault.content_type("application/json"),
    ],
    ids=str,
)
def test_what_does_not_pass_is_sent_once(
    kind: type, server: MockServer, trouble: Fault
) -> None:
    """No repetition for an error that a repetition cannot change."""
    server.script(trouble)
    with pytest.raises(APIError) as caught:
        kind(server, retry=AT_ONCE).read()
    assert not caught.value.is_retryable
    assert len(server.wait_for(1)) == 1


def test_a_connection_lost_after_the_ending_is_no_error(
    kind: type, server: MockServer
) -> None:
    """Once the finish_reason is here, a connection cut before [DONE] takes nothing."""
    kind(server).read()
    size = server.wait_for(1)[0].sent
    server.script(fault.cut(after_bytes=size - 5))
    assert text_of(kind(server).read()) == TEXT


def test_text_is_handed_on_as_it_arrives(kind: type) -> None:
    """The first piece is here long before the last one."""
    with MockServer(token_delay=0.05) as server:
        pieces = kind(server).read()
    assert text_of(pieces) == TEXT
    assert pieces[-1][0] - pieces[0][0] > 0.15, f"the pieces came together: {pieces}"


def test_text_is_handed_on_without_http_chunks_too(
    kind: type, server: MockServer
) -> None:
    """A body with a Content-Length is not held back either, not even a few bytes.

    61 bytes arrive in five pieces: after the fourth, the first event is complete.
    """
    body = 'data: {"choices":[{"delta":{"content":"a"}}]}\n\ndata: [DONE]\n\n'
    server.script(fault.status(200, body=body, headers=EVENTS) + fault.drip(5, 0.1))
    start = time.perf_counter()
    ((seconds, text),) = kind(server).read()
    total = time.perf_counter() - start
    assert text == "a"
    assert total - seconds > 0.05, f"text after {seconds:.2f} s, end after {total:.2f}"


def test_leaving_hangs_up(kind: type) -> None:
    """Leaving after two pieces closes the connection at once, and the server stops."""
    with MockServer(token_delay=0.1) as server:
        assert text_of(kind(server).read(enough=2)) == "Hello!"
        (record,) = server.wait_for(1)
    assert record.end == "client-gone", f"the server says {record.end}"


class Watched(httpx.AsyncHTTPTransport):
    """Keeps the responses that it hands out."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request, and keep its response."""
        self.response = await super().handle_async_request(request)
        return self.response


def test_leaving_closes_at_the_end_of_the_block(server: MockServer) -> None:
    """The response is closed when aclosing() ends, not when Python tidies up."""

    async def leave() -> bool:
        account = (server.api_key, server.base_url, "mock-small")
        watched = Watched()
        async with StreamingAsyncClient(*account, transport=watched) as client:
            async with aclosing(client.chat_completion_stream(HELLO)) as stream:
                await anext(stream)
            return watched.response.is_closed

    assert asyncio.run(leave()), "the response is still open"


def test_a_failure_closes_the_connection(kind: type) -> None:
    """The connection of a stream that went wrong is closed: nobody works for nobody."""
    with MockServer(token_delay=0.1) as server:
        server.script(fault.bad_json())
        with pytest.raises(InvalidResponseError):
            kind(server).read()
        assert server.wait_for(1)[0].end == "client-gone"


def test_nothing_is_sent_before_the_first_piece_is_wanted(server: MockServer) -> None:
    """A generator does nothing before it is asked, and closing it sends nothing."""
    client = StreamingAPIClient(server.api_key, server.base_url, "mock-small")
    client.chat_completion_stream(HELLO).close()
    assert server.records == []


def test_two_answers_arrive_at_once() -> None:
    """Two streams of one async client overlap, and their texts do not mix."""

    async def both(server: MockServer) -> list[str]:
        account = (server.api_key, server.base_url, "mock-small")
        async with StreamingAsyncClient(*account) as client:

            async def ask(text: str) -> str:
                messages = [{"role": "user", "content": text}]
                stream = client.chat_completion_stream(messages)
                return "".join([piece async for piece in stream])

            questions = ("Say hello", "What is the capital of France?")
            return await asyncio.gather(*map(ask, questions))

    with MockServer(token_delay=0.02) as server:
        assert asyncio.run(both(server)) == [TEXT, "The capital of France is Paris."]
        assert server.peak_open == 2
