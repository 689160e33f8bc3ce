"""Exercise 07: events out of bytes, a streamed answer with an honest end, and, further,
all that a stream holds.
"""

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import requests
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


def check(
    answer: Any, data: bytes, *wanted: Any, size: int = 0, hint: str = ""
) -> None:
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
        hint=hint,
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
    answer: Any, wanted: str, *, expected: str = "", hint: str = "", **options: Any
) -> tuple[str, Any]:
    """Read a stream that must fail so.

    Returns the text that came before, and the exception.
    """
    pieces: list[str] = []
    expected = expected or wanted
    with expect_raises(answer, wanted, expected=expected, hint=hint) as caught:
        for piece in ask(answer, **options):
            pieces.append(piece)
        raise NotRight(
            Result(
                saw=f"no exception; the pieces are {pieces}",
                expected=expected,
                hint=hint,
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
    """A blank line ends an event, and its data lines are joined; without data, or
    without the blank line, there is no event.
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
    """LF, CR and CR LF end a line, and nothing else does; a chunk may end between CR
    and LF.
    """
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


@pytest.mark.points(1, hint="split-anywhere")
def test_characters(answer, server):
    """Characters survive any cut; bad bytes become U+FFFD, a first BOM is dropped.

    A byte order mark, the BOM, is dropped at the very start only.
    """
    data = "event: add\ndata: é你👋✅\ndata: b\n\ndata: 入\n\n".encode()
    for size in range(1, len(data)):
        check(answer, data, ("add", "é你👋✅\nb", "", None), "入", size=size)
    mark = b"\xef\xbb\xbf"
    for size in (0, 1, 2):
        for data, event in (
            (mark + b"data: a\n\n", "a"),
            (mark + b"\n" + mark + b"data: a\n\ndata: b\n\n", "b"),
        ):
            check(answer, data, event, size=size, hint="first-bytes")
    data = b"data: a\n\n" + mark + b"data: b\n\ndata: " + mark + b"c\n\n"
    check(answer, data, "a", "\ufeffc", hint="first-bytes")
    data = b"data: a\xff\xc3(\xe2\x82\n\n"
    check(answer, data, "a\ufffd\ufffd(\ufffd", hint="first-bytes")


@pytest.mark.points(1, hint="as-it-arrives")
def test_event_comes_at_once(answer, server):
    """An event comes with its blank line, without waiting for one more byte."""
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
        [record] = other.records
    expect(
        record.path == "/v1/chat/completions",
        saw=record.path,
        expected="the path /v1/chat/completions",
    )
    body = json.loads(record.body)
    wanted = {"model": "mock-large", "messages": HELLO, "stream": True}
    expect(
        wanted.items() <= body.items(), saw=f"sent: {body}", expected=f"sent: {wanted}"
    )
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


@pytest.mark.points(1, hint="where-to-begin")
def test_text(answer, server):
    """The pieces are the text of the answer, in any kind of stream; none is empty.

    Whatever the answer says; chunks without text bring no piece.
    """
    server.on().reply(text=TEXT)
    for spelling in (
        fault.comments() + fault.crlf(),
        fault.no_space() + fault.no_charset() + fault.slice(3),
    ):
        server.script(spelling)
        pieces = list(ask(answer))
        text = "".join(pieces)
        expect(text == TEXT, saw=repr(text), expected=repr(TEXT), hint="fields")
        expect(
            len(pieces) > 1 and all(pieces),
            saw=f"pieces: {pieces}",
            expected="several pieces, none of them empty",
        )
    wanted = ["Hel", "\n", "    ", "[DONE]", "error", "lo"]
    events = [chunk({"content": piece}) for piece in wanted]
    events += [chunk({}, "stop"), DONE]
    script(server, f"the pieces {wanted}, a finish_reason, [DONE]", stream(*events))
    why = "spaces, and the words [DONE] and error, are text like any other"
    whole(answer, wanted, why, "empty-chunks")
    usage = 'data: {"choices": [], "usage": {"total_tokens": 7}}\n\n'
    hel, lo = map(chunk, PIECES[1:])
    events = [
        usage,
        'data: {"usage": {"total_tokens": 7}}\n\n',
        chunk({"role": "assistant", "content": None}),
        chunk({}),
        'data: {"choices": [{"index": 0}], "error": null}\n\n',
        hel.replace(", ", ",\ndata: "),
        chunk({"content": ""}),
        lo,
        chunk({}, "stop"),
        usage,
        DONE,
    ]
    script(
        server,
        "chunks with choices [], with usage alone, without delta, with content null, "
        "with error null; "
        "Hel in an event of several data lines; lo, [DONE]",
        stream(*events),
    )
    why = "the other chunks bring no text, and an event may have several data lines"
    whole(answer, ["Hel", "lo"], why, "empty-chunks")


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
        saw = f"{len(pieces)} of them after 2 s: it waits for more bytes"
        expected = f"{sent} at once, since the server has sent as much"
        hint = "no-chunks" if whole_reply is halves else "as-it-arrives"
        expect(len(pieces) == count, did=did, saw=saw, expected=expected, hint=hint)


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
def test_broken_off(answer, server):
    """A stream that stops early is an IncompleteStreamError with the text so far.

    Early: neither [DONE] nor a finish_reason has come.
    """
    server.on().reply(text=TEXT)
    for trouble, hint in (
        (fault.truncate(after_events=2), "the-end"),
        (fault.truncate(after_events=0), "the-end"),
        (fault.cut(after_events=2), "broken-connection"),
        (fault.cut(after_events=3, how="rst"), "broken-connection"),
    ):
        log.steps.clear()
        server.script(trouble)
        text, error = failing(
            answer,
            "IncompleteStreamError",
            expected="IncompleteStreamError: this is only half an answer",
            hint=hint,
        )
        is_partial(error, text)
        expect(
            TEXT.startswith(text), saw=repr(text), expected=f"the beginning of {TEXT!r}"
        )
    # Twice the same, as two HTTP chunks; the second comes later, since with the break
    # some clients drop what they hold.
    events = "".join([*map(chunk, PIECES), chunk({}, "stop")])
    halves = fault.drip(2, 0.1) + fault.slice(len(events))
    script(
        server,
        "Hel, lo, a finish_reason, and breaks off",
        stream(events, events) + halves + fault.cut(after_bytes=len(events) + 3),
    )
    why = "there was a finish_reason before the break"
    whole(answer, ["Hel", "lo"], why, hint="broken-connection")


# What a server may send in place of the next piece: in words, and as an event.
ERRORS = {
    "an error that is a text": '{"error": "overloaded 4711", "choices": []}',
    "an error that is a list": '{"error": ["overloaded", 4711]}',
    "an error that is a number": '{"error": 4711}',
    "an error of a choice": '{"choices": [{"index": 0, "error": "overloaded 4711"}]}',
    "an event of the kind error": '{"message": "overloaded 4711", "choices": []}',
}
DAMAGED = ['{"choices": [{"ind', "[]", '{"detail": "overloaded 4711"}']


@pytest.mark.points(1, hint="error-event")
@pytest.mark.limit(10)  # for a busy machine
def test_error_event(answer, server):
    """A reported error or a damaged event is a StreamError with the text so far.

    No part of an answer is left out.
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
    damaged = {f"a damaged event, `data: {data}`": data for data in DAMAGED}
    for sent, data in (ERRORS | damaged).items():
        kind = "event: error\n" if "of the kind" in sent else ""
        rest = [chunk({"content": "!"}), chunk({}, "stop"), DONE]
        script(
            server,
            f"Hel, lo, {sent}, !, a finish_reason, [DONE]",
            stream(*map(chunk, PIECES), f"{kind}data: {data}\n\n", *rest),
        )
        expected = "StreamError after 'Hello': a part of the answer is missing"
        text, error = failing(answer, "StreamError", expected=expected)
        is_partial(error, text)
        expect(text == "Hello", saw=repr(text), expected="'Hello' before the error")
        if sent in ERRORS:
            expect(
                "4711" in str(error),
                saw=f"StreamError: {error}",
                expected="the server's words in the message, to say what happened",
            )


@pytest.mark.points(1, hint="no-stream")
def test_no_stream(answer, server):
    """A reply that isn't a stream is a StreamError with the server's words."""
    _, error = failing(answer, "StreamError", api_key="wrong-key-0000")
    is_partial(error, "")
    expect(
        "Incorrect API key" in str(error),
        saw=repr(str(error)),
        expected="what the server says: Incorrect API key",
    )
    for reply, what in (
        (fault.status(200, body={"error": {"message": "overloaded: 4711"}}), "JSON"),
        (fault.status(503, body={"error": "overloaded: 4711"}), "JSON"),
        (fault.html(502), "HTML"),
    ):
        log.steps.clear()
        server.script(reply)
        _, error = failing(
            answer,
            "StreamError",
            expected=f"StreamError, because the reply is {what}, not an event stream",
        )
        expect(
            "4711" in str(error) or what == "HTML",
            saw=repr(str(error)),
            expected="what the server says: overloaded: 4711",
        )


@pytest.mark.points(1, hint="leave-early")
@pytest.mark.server(token_delay=0.02)
def test_leaving_early(answer, server):
    """Leaving the loop early closes the connection."""
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
        expected="a closed connection: nobody reads the rest",
    )


# --- further: collect_chat ------------------------------------------------------------

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
            "required": ["city", "days"],
        },
    },
}


def collect(answer: Any, **options: Any) -> tuple[Any, ...]:
    """Collect a streamed answer; return text, finish_reason, usage and tool calls."""
    found = call(answer, "collect_chat", HELLO, **options)
    return found.text, found.finish_reason, found.usage, found.tool_calls


def collected(answer: Any, why: str, *wanted: Any) -> None:
    """Expect this text, finish_reason, usage and these tool calls, because of why."""
    found = collect(answer)
    names = ("text", "finish_reason", "usage", "tool_calls")
    for name, one, other in zip(names, found, wanted, strict=True):
        expect(one == other, saw=f"{name}={one!r}", expected=f"{name}={other!r}: {why}")


def plain_reply(server: Any, tools: list[Any] | None = None) -> dict[str, Any]:
    """Return what the server answers to the same question without a stream."""
    body = {"model": "mock-small", "messages": HELLO}
    reply = requests.post(
        server.base_url + "/chat/completions",
        json=body | ({"tools": tools} if tools else {}),
        headers={"Authorization": f"Bearer {server.api_key}"},
        timeout=5,
    )
    return reply.json()


@pytest.mark.points(1, hint="collect", further=True)
def test_collected_answer(answer, server):
    """The text, the finish_reason and the usage of a streamed answer are those of a
    plain one.
    """
    server.on().reply(text=TEXT)
    usage = plain_reply(server)["usage"]
    collected(answer, "as in a plain reply", TEXT, "stop", usage, [])
    asked = [json.loads(record.body) for record in server.records[1:]]
    expect(
        len(asked) == 1 and "tools" not in asked[0],
        saw=f"sent: {asked}",
        expected="one request, without tools",
    )
    parts = [
        {"type": "text", "text": "Hel"},
        {"type": "image_url", "image_url": {"url": "data:,"}},
        {"type": "text", "text": "lo"},
    ]
    usage = {"total_tokens": 7}
    with_usage = {"choices": [{"index": 0, "finish_reason": "length"}], "usage": usage}
    events = [
        chunk({"content": parts}),
        f"data: {json.dumps(with_usage)}\n\n",
        'data: {"choices": [], "usage": null}\n\n',
        DONE,
    ]
    sent = "content as a list of parts, usage with the finish_reason, then usage null"
    script(server, sent, stream(*events))
    collected(answer, "a null later changes nothing", "Hello", "length", usage, [])
    script(server, "Hel, lo, [DONE]", stream(*map(chunk, PIECES), DONE))
    collected(answer, "there was [DONE] alone", "Hello", None, None, [])


@pytest.mark.points(2, hint="collect", further=True)
def test_collected_tool_call(answer, server):
    """A tool call that comes in pieces is the one of a plain reply."""
    plain = plain_reply(server, [WEATHER])
    [wanted] = plain["choices"][0]["message"]["tool_calls"]
    text, reason, usage, calls = collect(answer, tools=[WEATHER])
    for one in calls or []:
        if isinstance(one, dict) and str(one.get("id")).startswith("call_"):
            one["id"] = wanted["id"]  # each request has its own
    found = (text, reason, usage, calls)
    expect(
        found == ("", "tool_calls", plain["usage"], [wanted]),
        saw=f"(text, finish_reason, usage, tool_calls): {found}",
        expected=f"text '', finish_reason 'tool_calls', tool_calls {[wanted]}",
    )
    asked = [json.loads(record.body).get("tools") for record in server.records[1:]]
    expect(asked == [[WEATHER]], saw=f"tools sent: {asked}", expected="one request")


def pieces_of_calls(*pieces: tuple[int, str | None, str | None, str | None]) -> str:
    """Return one event with pieces of calls: index, id, name and arguments of each."""
    return chunk(
        {
            "tool_calls": [
                {
                    "index": index,
                    "id": id,
                    "function": {"name": name, "arguments": more},
                }
                for index, id, name, more in pieces
            ]
        }
    )


@pytest.mark.points(2, hint="collect", further=True)
def test_collected_calls_take_turns(answer, server):
    """Pieces of several calls are put together by their index, in its order."""
    events = [
        chunk({"content": "Let me look."}),
        pieces_of_calls((3, "call_b", "get_time", None)),
        pieces_of_calls((1, "call_a", "get_weather", "")),
        pieces_of_calls((3, None, None, '{"zo'), (1, "", "", '{"city": "Par')),
        chunk({"tool_calls": [{"index": 1, "function": {"arguments": 'is"}'}}]}),
        chunk({"tool_calls": [{"index": 3, "function": {"arguments": 'ne": 1}'}}]}),
        chunk({"tool_calls": None}, "tool_calls"),
        DONE,
    ]
    script(server, "pieces of two calls, whose indexes are 3 and 1", stream(*events))
    calls = [
        ("call_a", "get_weather", '{"city": "Paris"}'),
        ("call_b", "get_time", '{"zone": 1}'),
    ]
    wanted = [
        {"id": id, "type": "function", "function": {"name": name, "arguments": text}}
        for id, name, text in calls
    ]
    why = "the calls that the model made"
    collected(answer, why, "Let me look.", "tool_calls", None, wanted)


@pytest.mark.points(1, hint="collect", further=True)
def test_half_a_tool_call(answer, server):
    """Half a tool call is never returned: the errors are those of stream_chat."""
    begun = [
        chunk({"content": "Let me look."}),
        pieces_of_calls((0, "call_a", "pay", '{"euros": 1')),
    ]
    for sent, more, wanted in (
        ("the start of a tool call, and no more", [], "IncompleteStreamError"),
        (
            "the start of a tool call, and an error",
            ['data: {"error": "overloaded"}\n\n', DONE],
            "StreamError",
        ),
    ):
        script(server, sent, stream(*begun, *more))
        with expect_raises(answer, wanted) as caught:
            collect(answer)
        is_partial(caught.value, "Let me look.")
