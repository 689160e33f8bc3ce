"""Exercise 07: events out of bytes, and a streamed answer with an honest end."""

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from mock_server import MockServer, fault
from mock_server.fault import Fault

from lessons.course.results import Result
from tests.grader.diagnosis import NotRight, one_line
from tests.grader.steps import call, expect, expect_raises, log

HELLO = [{"role": "user", "content": "Hello"}]
TEXT = "nonce 4711: 你好 ✅ 👋"
# The deltas of a short answer.
PIECES = [{"role": "assistant", "content": ""}, {"content": "Hel"}, {"content": "lo"}]
DONE = "data: [DONE]\n\n"
STREAM = {"Content-Type": "text/event-stream"}


def fields(event: Any) -> tuple[str, str, str, int | None]:
    """Return an event as (event, data, id, retry)."""
    return event.event, event.data, event.id, event.retry


def check(answer: Any, data: bytes, *wanted: Any, size: int = 0) -> None:
    """Expect these events of these bytes, whole or in chunks of a size.

    A text stands for an event with that data.
    """
    right = [
        ("message", one, "", None) if isinstance(one, str) else one for one in wanted
    ]
    chunks = (
        [data[start : start + size] for start in range(0, len(data), size)]
        if size
        else [data]
    )
    found = [fields(event) for event in call(answer, "iter_sse", chunks)]
    did = f"list(iter_sse({log.show(chunks)}))"
    expect(
        found == right,
        did=did,
        saw=f"as (event, data, id, retry): {found}",
        expected=str(right),
    )


def chunk(delta: Any, reason: str | None = None) -> str:
    """Return one event of a chat stream."""
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    event = {"object": "chat.completion.chunk", "choices": [choice]}
    return f"data: {json.dumps(event)}\n\n"


def stream(*events: str) -> Fault:
    """Return the reply that consists of these events."""
    return fault.status(200, body="".join(events), headers=STREAM)


def script(server: Any, sent: str, reply: Fault) -> None:
    """Let the server send this reply to the next request.

    sent: what that is, in words for the learner.
    """
    server.script(reply)
    log.steps[:] = [f"the server sends {sent}"]


def ask(answer: Any, **options: Any) -> Iterator[str]:
    """Begin a streamed answer."""
    return iter(call(answer, "stream_chat", HELLO, **options))


def failing(
    answer: Any, wanted: str, *, expected: str = "", **options: Any
) -> tuple[str, Any]:
    """Read a stream that must fail so.

    Returns the text that came before, and the exception.
    """
    pieces: list[str] = []
    with expect_raises(answer, wanted, expected=expected or wanted) as caught:
        for piece in ask(answer, **options):
            pieces.append(piece)
        raise NotRight(
            Result(
                saw=f"no exception; the pieces are {pieces}",
                expected=expected or wanted,
                kind="no exception",
            )
        )
    return "".join(pieces), caught.value


def whole(answer: Any, wanted: list[str], why: str, hint: str = "") -> None:
    """Expect these pieces and no error, because of why."""
    pieces: list[str] = []
    expected = f"{wanted}, and no error: {why}"
    source = ask(answer)
    try:
        for piece in source:
            pieces.append(piece)
    except Exception as error:
        saw = f"{pieces}, then {one_line(error)}"
        raise NotRight(
            Result(saw=saw, expected=expected, hint=hint, kind="exception")
        ) from error
    expect(pieces == wanted, saw=f"pieces: {pieces}", expected=expected, hint=hint)


def is_partial(error: Any, text: str) -> None:
    """Expect the text so far in an error."""
    expect(
        error.partial == text,
        saw=f"partial={error.partial!r}",
        expected=f"partial={text!r}: the text so far",
    )


# --- iter_sse -------------------------------------------------------------------------


@pytest.mark.points(1, hint="fields")
def test_fields(answer, server):
    """A field is a name, a colon, and a value less one space; comments and unknown
    names are skipped.
    """
    check(answer, b"data:a\n\ndata: b\n\ndata:  c \n\n", "a", "b", " c ")
    check(answer, b"data: a: b:c\n\ndata:\ta\n\n", "a: b:c", "\ta")
    check(
        answer,
        b": hi\n\n:data: a\nsize: 3\nData: x\n data: y\ndata : z\ndata: b\n:\n\n",
        "b",
    )
    event = call(answer, "ServerSentEvent")
    expect(
        fields(event) == ("message", "", "", None),
        expected="the defaults: message, no data, no id, no retry",
    )


@pytest.mark.points(1, hint="blank-line")
def test_blank_lines(answer, server):
    """A blank line ends an event, and its data lines are joined; without data, or a
    blank line, there is none.
    """
    check(answer, b"data: a\ndata:\ndata: b\n\n", "a\n\nb")
    check(answer, b"data\n\ndata\ndata\n\ndata:\n\n", "", "\n", "")
    check(answer, b"\n\n\ndata: a\n\n\n\ndata: b\n\n", "a", "b")
    check(answer, b"event: add\nretry: 5\n\ndata: a\n\n", "a")
    check(
        answer,
        b"event: add\nevent: del\ndata: a\n\ndata: b\n\n",
        ("del", "a", "", None),
        "b",
    )
    check(answer, b"event: add\nevent:\ndata: a\n\n", "a")
    check(answer, b"data: a\n\ndata: b\n", "a")
    check(answer, b"data: a\n\ndata: b", "a")


@pytest.mark.points(1, hint="id-and-retry")
def test_id_and_retry(answer, server):
    """The id stays until another comes; retry is made of ASCII digits, and belongs to
    one event.
    """
    check(
        answer,
        b"id: 1\ndata: a\n\ndata: b\n\n",
        ("message", "a", "1", None),
        ("message", "b", "1", None),
    )
    check(
        answer, b"id: 1\n\ndata: a\n\nid\ndata: b\n\n", ("message", "a", "1", None), "b"
    )
    check(answer, b"id: 1\nid: 2\0\ndata: a\n\n", ("message", "a", "1", None))
    check(
        answer, b"retry: 0500\ndata: a\n\ndata: b\n\n", ("message", "a", "", 500), "b"
    )
    check(answer, b"retry: 7\nretry: x\ndata: a\n\n", ("message", "a", "", 7))
    for bad in ("+5", "-5", "1_0", "5s", "5.0", " 5", "5 ", "", "\u0665", "²"):
        check(answer, f"retry: {bad}\ndata: a\n\n".encode(), "a")


@pytest.mark.points(1, hint="line-ends")
def test_line_ends(answer, server):
    """LF, CR and CR LF end a line, and nothing else does."""
    for end in ("\n", "\r", "\r\n"):
        check(
            answer, "data: a|data: b||data: c||".replace("|", end).encode(), "a\nb", "c"
        )
    check(answer, b"data: a\r\ndata: b\rdata: c\n\r\ndata: d\r\n\r", "a\nb\nc", "d")
    check(answer, b"data: a\r\r\ndata: b\n\rdata: c\n\n", "a", "b", "c")
    check(
        answer,
        "data: a\u2028b\x0bc\x0cd\x85e\x1cf\n\n".encode(),
        "a\u2028b\x0bc\x0cd\x85e\x1cf",
    )


@pytest.mark.points(1, hint="first-bytes")
def test_first_bytes(answer, server):
    """A byte order mark is dropped at the very start only; what is no UTF-8 becomes
    U+FFFD.
    """
    mark = b"\xef\xbb\xbf"
    for size in (0, 1, 2):
        check(answer, mark + b"data: a\n\n", "a", size=size)
        check(answer, mark + b"\n" + mark + b"data: a\n\ndata: b\n\n", "b", size=size)
    check(
        answer,
        b"data: a\n\n" + mark + b"data: b\n\ndata: " + mark + b"c\n\n",
        "a",
        "\ufeffc",
    )
    check(answer, b"data: a\xff\xc3(\xe2\x82\n\n", "a\ufffd\ufffd(\ufffd")


@pytest.mark.points(1, hint="split-anywhere")
def test_split_in_a_character(answer, server):
    """A chunk may end anywhere, in the middle of a line or of a character too."""
    data = "event: add\ndata: é你👋✅\ndata: b\n\ndata: 入\n\n".encode()
    for size in range(1, len(data)):
        check(answer, data, ("add", "é你👋✅\nb", "", None), "入", size=size)


@pytest.mark.points(1, hint="line-ends")
def test_split_in_a_line_end(answer, server):
    """A chunk that ends between CR and LF does not make two line ends of one, nor does
    an empty one.
    """
    data = b"data: a\r\ndata: b\r\n\r\ndata: c\r\r\ndata: d\n\r\n"
    for size in range(1, len(data)):
        check(answer, data, "a\nb", "c", "d", size=size)
    chunks = [b"", b"data: a\r", b"", b"\ndata: b\r", b"", b"\r", b"\n\n"]
    found = [fields(event) for event in call(answer, "iter_sse", chunks)]
    expect(
        found == [("message", "a\nb", "", None)],
        saw=str(found),
        expected="one event, with the data a and b",
    )


@pytest.mark.points(1, hint="as-it-arrives")
def test_event_comes_at_once(answer, server):
    """An event comes with its blank line; no byte after that is waited for."""
    for end in (b"\n\n", b"\r\r", b"\r\n\r\n", b"\r\n\r"):
        asked: list[bytes] = []

        def chunks(end: bytes = end, asked: list[bytes] = asked) -> Iterator[bytes]:
            for data in (b"id: 1" + end[:1] + b"data: a" + end, b"data: b" + end):
                asked.append(data)
                yield data

        event = next(iter(call(answer, "iter_sse", chunks())), None)
        pieces = [b"id: 1" + end[:1] + b"data: a" + end, b"data: b" + end]
        did = f"next(iter_sse({pieces}))"
        is_right = event and fields(event) == ("message", "a", "1", None)
        expect(
            is_right,
            did=did,
            saw=repr(event or "no event"),
            expected="an event: data a, id 1",
        )
        expect(
            len(asked) == 1,
            did=did,
            saw="more bytes were asked for first",
            expected=f"the event as soon as {end} came",
        )


# --- stream_chat ----------------------------------------------------------------------


@pytest.mark.points(1, hint="where-to-begin")
def test_text(answer, server):
    """The pieces are the text of the answer, whatever it says, and none of them is
    empty.
    """
    server.on().reply(text=TEXT)
    pieces = list(ask(answer))
    expect(
        "".join(pieces) == TEXT,
        saw=f"pieces: {pieces}",
        expected=f"pieces that make {TEXT!r}",
    )
    expect(
        len(pieces) > 1 and all(pieces),
        saw=f"pieces: {pieces}",
        expected="several pieces, none of them empty",
    )
    body = json.loads(server.records[0].body)
    wanted = {"model": "mock-small", "messages": HELLO, "stream": True}
    expect(
        wanted.items() <= body.items(),
        saw=f"sent: {body}",
        expected="model, messages and stream in the body",
    )
    for odd, hint in (
        ("\n", "empty-chunks"),
        ("    ", "empty-chunks"),
        ("[DONE]", "the-end"),
        ("error", "error-event"),
    ):
        wanted = ["Hel", odd, "lo"]
        events = [chunk({"content": piece}) for piece in wanted]
        script(
            server,
            f"the pieces {wanted}, a finish_reason, [DONE]",
            stream(*events, chunk({}, "stop"), DONE),
        )
        whole(answer, wanted, f"here {odd!r} is a piece of text like any other", hint)


@pytest.mark.points(1, hint="as-it-arrives")
def test_text_comes_as_it_arrives(answer, server):
    """Each piece comes as soon as the server has sent it, while there is no end of the
    stream yet.
    """
    server.on().reply(text="one two three")
    # Of a reply without HTTP chunks, the last one sends the first half: a whole event
    # and the start of the next.
    halves = stream(
        chunk({"content": "Hel"}), chunk({"content": "lo"}), chunk({}, "stop"), DONE
    )
    for count, whole_reply in ((1, fault.ok()), (3, fault.ok()), (1, halves)):
        server.script(whole_reply + fault.stall(after_events=count))
        pieces, problems = [], []

        def read(
            count: int = count,
            pieces: list[str] = pieces,
            problems: list[BaseException] = problems,
        ) -> None:
            try:
                source = ask(answer)
                pieces += [next(source) for _ in range(count)]
            except BaseException as error:
                problems.append(error)

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        reader.join(2)
        if problems:
            raise problems[0]
        framing = (
            "a body without HTTP chunks" if whole_reply is halves else "HTTP chunks"
        )
        sent = "1 piece" if count == 1 else f"{count} pieces"
        did = (
            f"stream_chat(…), while the server sends {sent} of text in "
            f"{framing}, and then nothing"
        )
        saw = f"{len(pieces)} of them after 2 s: more bytes are waited for"
        expected = f"{sent} at once, since the server has sent as much"
        hint = "no-chunks" if whole_reply is halves else "as-it-arrives"
        expect(len(pieces) == count, did=did, saw=saw, expected=expected, hint=hint)


@pytest.mark.points(1, hint="fields")
def test_other_spellings(answer, server):
    """However the server writes and cuts the stream, the text is the same."""
    server.on().reply(text=TEXT)
    spellings = [
        fault.no_space(),
        fault.comments() + fault.crlf(),
        fault.no_charset() + fault.slice(3),
    ]
    for spelling in spellings:
        server.script(spelling)
        text = "".join(ask(answer))
        expect(text == TEXT, saw=repr(text), expected=repr(TEXT))


@pytest.mark.points(1, hint="empty-chunks")
def test_chunks_without_text(answer, server):
    """Chunks without choices, without delta or with null as content bring no piece, and
    no error.
    """
    usage = 'data: {"choices": [], "usage": {"total_tokens": 7}}\n\n'
    empty = [
        chunk({"role": "assistant", "content": None}),
        chunk({}),
        'data: {"choices": [{"index": 0}]}\n\n',
    ]
    events = [
        usage,
        *empty,
        *map(chunk, PIECES),
        chunk({"content": ""}),
        chunk({}, "stop"),
        usage,
        DONE,
    ]
    script(
        server,
        "chunks with choices [], without delta, with content null; Hel, lo, [DONE]",
        stream(*events),
    )
    whole(answer, ["Hel", "lo"], "the other chunks bring no text")


@pytest.mark.points(1, hint="the-end")
def test_two_ways_to_end(answer, server):
    """An answer is whole with [DONE] alone, and with a finish_reason alone."""
    chunks = [chunk(delta) for delta in PIECES]
    no_done = "the stream had a finish_reason, only [DONE] was missing"
    for sent, events, why in (
        (
            "Hel, lo, [DONE]",
            [*chunks, DONE],
            "the stream had [DONE], only a finish_reason was missing",
        ),
        ("Hel, lo, a finish_reason", [*chunks, chunk({}, "stop")], no_done),
        (
            "Hel, lo with the finish_reason in it",
            [*chunks[:-1], chunk({"content": "lo"}, "length")],
            no_done,
        ),
    ):
        script(server, sent, stream(*events))
        whole(answer, ["Hel", "lo"], why)


@pytest.mark.points(1, hint="the-end")
def test_truncated(answer, server):
    """A stream that stops with neither [DONE] nor finish_reason is an
    IncompleteStreamError with the text so far.
    """
    server.on().reply(text=TEXT)
    server.script(fault.truncate(after_events=2), fault.truncate(after_events=0))
    for _ in range(2):
        text, error = failing(answer, "IncompleteStreamError")
        is_partial(error, text)
        expect(
            TEXT.startswith(text), saw=repr(text), expected=f"the beginning of {TEXT!r}"
        )


@pytest.mark.points(1, hint="broken-connection")
def test_broken_connection(answer, server):
    """A connection that breaks is an IncompleteStreamError with the text so far."""
    server.on().reply(text=TEXT)
    server.script(fault.cut(after_events=2), fault.cut(after_events=3, how="rst"))
    for _ in range(2):
        text, error = failing(answer, "IncompleteStreamError")
        is_partial(error, text)
    # Twice the same, as two HTTP chunks; the second comes later, since with the break
    # some clients drop what they hold.
    events = "".join([*map(chunk, PIECES), chunk({}, "stop")])
    halves = fault.drip(2, 0.1) + fault.slice(len(events))
    script(
        server,
        "Hel, lo, a finish_reason, and breaks off",
        stream(events, events) + halves + fault.cut(after_bytes=len(events) + 3),
    )
    whole(answer, ["Hel", "lo"], "there was a finish_reason before the break")


@pytest.mark.points(1, hint="error-event")
def test_error_event(answer, server):
    """An error that the server reports in the stream is a StreamError with its message
    and the text so far.
    """
    server.on().reply(text=TEXT)
    server.script(fault.stream_error(after_events=2))
    text, error = failing(answer, "StreamError")
    is_partial(error, text)
    expect(
        "the model stopped working" in str(error),
        saw=repr(str(error)),
        expected="the message of the server in it",
    )
    is_other = not isinstance(error, answer.IncompleteStreamError)
    expect(
        is_other,
        saw=type(error).__name__,
        expected="StreamError: the server said what was wrong",
    )


@pytest.mark.points(1, hint="error-event")
def test_damaged_event(answer, server):
    """An event that is no JSON is a StreamError with the text so far, never a hole in
    the answer.
    """
    damaged = 'data: {"choices": [{"ind\n\n'
    events = [*map(chunk, PIECES), damaged, chunk({"content": "!"}, "stop"), DONE]
    script(
        server,
        "Hel, lo, a damaged event: " + repr(damaged) + ", !, a finish_reason, [DONE]",
        stream(*events),
    )
    text, error = failing(answer, "StreamError")
    is_partial(error, text)
    expect(text == "Hello", saw=repr(text), expected="'Hello' before the error")


@pytest.mark.points(1, hint="no-stream")
def test_no_stream(answer, server):
    """What is no stream at all is a StreamError, which says what the server said."""
    _, error = failing(answer, "StreamError", api_key="wrong-key-0000")
    is_partial(error, "")
    expect(
        "Incorrect API key" in str(error),
        saw=repr(str(error)),
        expected="what the server says: Incorrect API key",
    )
    log.steps.clear()
    server.script(fault.status(200, body={"error": {"message": "overloaded: 4711"}}))
    _, error = failing(
        answer,
        "StreamError",
        expected="StreamError, because the reply is JSON, and no event stream",
    )
    expect(
        "overloaded: 4711" in str(error),
        saw=repr(str(error)),
        expected="what the server says: overloaded: 4711",
    )
    log.steps.clear()
    server.script(fault.html(502))
    failing(
        answer,
        "StreamError",
        expected="StreamError, because the reply is HTML, and no event stream",
    )


@pytest.mark.points(1, hint="leave-early")
@pytest.mark.server(token_delay=0.02)
def test_leaving_early(answer, server):
    """Whoever leaves the loop early closes the connection."""
    server.on().reply(text="nonce" + " and so on" * 20)
    source = ask(answer)
    expect(next(source) == "nonce", expected="the first piece, 'nonce'")
    # A for loop does this where nobody else holds the generator.
    if hasattr(source, "close"):
        call(source, "close")
    del source
    end = server.wait_for(1, timeout=3.0)[0].end
    expect(
        end != "complete",
        saw="the server could send all of it",
        expected="a closed connection: nobody reads on",
    )


@pytest.mark.points(1, hint="where-to-begin")
def test_settings(answer, server, monkeypatch):
    """Address, key and model come from the arguments, or else the environment; a
    missing one is a ValueError.
    """
    with MockServer(api_key="another-key-entirely") as other:
        options = {
            "base_url": other.base_url + "/",
            "api_key": other.api_key,
            "model": "mock-large",
        }
        list(ask(answer, **options))
        record = other.records[0]
        expect(
            record.path == "/v1/chat/completions",
            saw=record.path,
            expected="the path /v1/chat/completions",
        )
        model = json.loads(record.body)["model"]
        expect(model == "mock-large", saw=f"model {model}", expected="model mock-large")
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_MODEL"):
        with monkeypatch.context() as patch:
            patch.delenv(name)
            with expect_raises(
                answer, ValueError, expected=f"ValueError, because there is no {name}"
            ):
                list(ask(answer))
    expect(
        not server.records, saw=f"{len(server.records)} requests", expected="no request"
    )
