"""Solution 07: read an event stream as the standard says, and know a whole answer.

Three steps, each in a place of its own: bytes to lines, lines to events, and to text.
The rules are those of the WHATWG HTML standard, sections 9.2.5 and 9.2.6:
https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream
"""

import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx


@dataclass
class ServerSentEvent:
    """One event of a stream.

    id: the last one that the stream has named so far; "" if none.
    retry: milliseconds to wait before connecting again; None if the event names none.
    """

    event: str = "message"
    data: str = ""
    id: str = ""
    retry: int | None = None


class APIError(Exception):
    """Base of every failure of an API call; lesson 05 has the whole family.

    status: the status code; None if no whole reply came. code, request_id, retry_after:
        what the reply says of them, or None.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: str | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.code = status, code
        self.request_id, self.retry_after = request_id, retry_after


class StreamError(APIError):
    """The server reported an error, or sent something that isn't a stream.

    partial: the text received before that.
    """

    def __init__(self, message: str, partial: str = "", **facts: Any) -> None:
        super().__init__(message, **facts)
        self.partial = partial


class IncompleteStreamError(StreamError):
    """The stream stopped before its end."""


@dataclass
class StreamedAnswer:
    """A whole answer, put together from a stream.

    text: the joined pieces of text. finish_reason: why the model stopped; None if the
        stream ended with [DONE] alone.
    usage: the tokens that the server counted, as it sent them; None if it sent none.
    tool_calls: what the model wants called, as in a plain reply: {"id": …, "type":
        "function", "function": {"name": …, "arguments": …}}. The arguments stay text.
    """

    text: str = ""
    finish_reason: str | None = None
    usage: dict[str, Any] | None = None
    tool_calls: list[dict[str, Any]] = field(default_factory=list)


def iter_sse(chunks: Iterable[bytes]) -> Iterator[ServerSentEvent]:
    """Yield the events of a stream, each as soon as the blank line after it is here.

    chunks: the bytes of the stream in pieces of any size; a piece may end in the middle
        of a character, or between CR and LF.

    The rules are those of the WHATWG HTML standard, section 9.2.6: a block without data
    isn't an event, and what comes after the last blank line is dropped.
    """
    event, data, last_id, retry = "", [], "", None
    for line in _lines(chunks):
        if not line:
            if data:
                kind = event or "message"
                yield ServerSentEvent(kind, "\n".join(data), last_id, retry)
            event, data, retry = "", [], None
            continue
        name, _, value = line.partition(":")  # the name of a comment is empty
        value = value.removeprefix(" ")
        if name == "data":
            data.append(value)
        elif name == "event":
            event = value
        elif name == "id" and "\0" not in value:
            last_id = value
        elif name == "retry" and value.isascii() and value.isdecimal():
            retry = int(value[:4000])  # int() refuses more than 4,300 digits


def _lines(chunks: Iterable[bytes]) -> Iterator[str]:
    """Yield the lines of a stream, each as soon as its end is here, and without it.

    Lines are found in the bytes: CR and LF are no part of a longer character in UTF-8,
    so none is ever split. Each byte is looked at once and joined once, so the time is
    linear in the length of a line, even if it arrives byte by byte.
    """
    pending: list[bytes] = []  # the start of a line whose end is not here yet
    ended_with_cr = is_started = False
    for chunk in chunks:
        if ended_with_cr and chunk:
            chunk = chunk.removeprefix(b"\n")  # of CR LF; that line has been yielded
            ended_with_cr = False
        if b"\r" in chunk:
            ended_with_cr = chunk.endswith(b"\r")
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        lines, end, rest = chunk.rpartition(b"\n")
        if not end:
            pending.append(chunk)
            continue
        text = b"".join([*pending, lines]).decode("utf-8", "replace")
        pending = [rest]
        if not is_started:  # the stream may begin with a byte order mark
            text, is_started = text.removeprefix("\ufeff"), True
        yield from text.split("\n")


def stream_chat(
    messages: list[dict[str, Any]],
    *,
    base_url: str | None = None,
    api_key: str | None = None,
    model: str | None = None,
) -> Iterator[str]:
    """Yield the text of the model's answer as it arrives, in pieces that are not empty.

    messages: the conversation, such as [{"role": "user", "content": "Hello"}].
    base_url, api_key, model: OPENAI_BASE_URL, OPENAI_API_KEY and OPENAI_MODEL of the
        environment unless given; ValueError if one of them is missing.

    Pieces of spaces or line ends are text too, and so are the words [DONE] and error in
    an answer. A chunk without choices or delta, or with null as content, has no text.

    Raises StreamError, with the server's words in its message, for an error that the
    server reports in place of the stream or in it: as `event: error`, or under the key
    "error" of the event or of its choice, as an object, a text, a list or a number
    (null is not an error). StreamError too for a damaged event: data that is not a JSON
    object, or an object with neither choices nor usage.
    Raises IncompleteStreamError if the stream ends or breaks with neither [DONE] nor a
    finish_reason. Both errors have the text so far in partial.
    Leaving the loop early closes the connection.
    """
    # The generator is another function: so the ValueError comes with the call of this
    # one, and not with the first piece.
    return _pieces(*_request(messages, base_url, api_key, model), _Answer())


def collect_chat(
    messages: list[dict[str, Any]],
    *,
    base_url: str | None = None,
    api_key: str | None = None,
    model: str | None = None,
    tools: list[dict[str, Any]] | None = None,
) -> StreamedAnswer:
    """Read one stream to its end, and return all that is in it.

    tools: the functions that the model may call, sent as they are; None for none. The
        other arguments, and the errors, are those of stream_chat.

    The request has "stream_options": {"include_usage": True}; the usage may come after
    the finish_reason. content may be a list of parts too, such as [{"type": "text",
    "text": "Hello"}]; parts of another type are left out.

    A delta may have pieces of tool calls, such as {"tool_calls": [{"index": 0, "id":
    "call_1", "type": "function", "function": {"name": "add", "arguments": "{"}}]}.
    index says to which call a piece belongs. Several calls may take turns, and an index
    may be left out: 1, then 3. Calls are returned in the order of their index, each
    with the joined arguments of its pieces. The id and the name come once; in other
    pieces they may be missing, null or "".
    """
    url, api_key, body = _request(messages, base_url, api_key, model)
    body["stream_options"] = {"include_usage": True}
    if tools:
        body["tools"] = tools
    answer = _Answer()
    for _ in _pieces(url, api_key, body, answer):
        pass
    calls = [answer.calls[index] for index in sorted(answer.calls)]
    return StreamedAnswer(answer.text, answer.reason, answer.usage, calls)


@dataclass
class _Answer:
    """What has arrived of an answer. calls: the tool calls, by their index."""

    text: str = ""
    reason: str | None = None
    usage: dict[str, Any] | None = None
    calls: dict[int, dict[str, Any]] = field(default_factory=dict)
    has_begun: bool = False


def _request(
    messages: list[dict[str, Any]],
    base_url: str | None,
    api_key: str | None,
    model: str | None,
) -> tuple[str, str, dict[str, Any]]:
    """Return address, key and body of a request; ValueError for bad settings."""
    address = (base_url or _setting("OPENAI_BASE_URL")).strip()
    api_key = (api_key or _setting("OPENAI_API_KEY")).strip()
    if not re.fullmatch("[!-~]+", api_key):  # the printable characters of ASCII
        raise ValueError("the API key has a character that no key has")
    model = model or _setting("OPENAI_MODEL")
    url = f"{address.rstrip('/')}/chat/completions"
    body = {"model": model, "messages": messages, "stream": True}
    return url, api_key, body


def _setting(name: str) -> str:
    """Return a variable of the environment; ValueError if there is none."""
    value = os.environ.get(name)
    if not value:
        raise ValueError(f"set {name} in the environment, or pass it")
    return value


def _pieces(
    url: str, api_key: str, body: dict[str, Any], answer: _Answer
) -> Iterator[str]:
    """Send the request, put what arrives into answer, and yield its text."""
    break_off: httpx.RequestError | None = None
    try:
        with httpx.stream(
            "POST",
            url,
            headers={"Authorization": f"Bearer {api_key}"},
            json=body,
            timeout=60.0,  # seconds of silence
        ) as response:
            _check_stream(response)
            for event in iter_sse(response.iter_bytes()):
                data = event.data.strip()
                if data == "[DONE]" and answer.has_begun:
                    return
                # Some servers keep a connection open with empty events.
                if data and (text := _read_event(event, answer)):
                    answer.text += text
                    yield text
    except StreamError as error:
        # The server's words may repeat the key.
        error.args = (str(error).replace(api_key, "…")[:500],)
        error.partial = answer.text
        raise
    except httpx.RequestError as error:
        break_off = error
    if not answer.reason:
        raise IncompleteStreamError(
            "the stream ended with neither [DONE] nor a finish_reason", answer.text
        ) from break_off


def _check_stream(response: httpx.Response) -> None:
    """Raise StreamError, with what the server says, for anything but an event stream.

    Without a Content-Type, a reply with the status 200 is taken for one.
    """
    kind = response.headers.get("Content-Type", "text/event-stream")
    is_stream = kind.partition(";")[0].strip().lower() == "text/event-stream"
    if response.status_code == 200 and is_stream:
        return
    response.read()
    said = response.text
    if response.next_request:  # where a redirect leads; httpx does not follow it
        said = f"redirected to {response.next_request.url.host}"
    raise StreamError(f"no stream, but {response.status_code}, {kind}: {said}")


def _read_event(event: ServerSentEvent, answer: _Answer) -> str:
    """Put what an event brings into answer, and return its text.

    Raises StreamError for an error that the server reports, and for an event that is
    neither a part of an answer nor a note.
    """
    try:
        chunk = json.loads(event.data)
        if event.event == "error" or chunk.get("error"):
            raise StreamError(f"the server reports: {chunk}")
        if not chunk.keys() & {"choices", "usage"}:
            raise StreamError(f"neither an answer nor a note: {chunk}")
        answer.usage = chunk.get("usage") or answer.usage
        choices = chunk.get("choices")  # at most one: one answer was asked for
        return _read_choice(choices[0], answer) if choices else ""
    except (ValueError, TypeError, AttributeError, LookupError, RecursionError) as why:
        raise StreamError(f"a damaged event: {event.data}") from why


def _read_choice(choice: dict[str, Any], answer: _Answer) -> str:
    """Put what a choice brings into answer, and return its text."""
    reason, delta = choice.get("finish_reason"), choice.get("delta") or {}
    if choice.get("error") or reason == "error":
        raise StreamError(f"the server reports: {choice}")
    answer.has_begun, answer.reason = True, reason or answer.reason
    for piece in delta.get("tool_calls") or []:
        _add_piece(answer.calls, piece)
    content = delta.get("content") or ""
    if isinstance(content, list):
        parts = [part for part in content if part.get("type") == "text"]
        content = "".join(part["text"] for part in parts)
    return "" + content  # a TypeError for anything but text


def _add_piece(calls: dict[int, dict[str, Any]], piece: dict[str, Any]) -> None:
    """Add a piece of a tool call to the call to which it belongs."""
    new = {"id": "", "type": "function", "function": {"name": "", "arguments": ""}}
    call = calls.setdefault(piece["index"], new)
    call["id"] = call["id"] or piece.get("id")
    function, more = call["function"], piece.get("function") or {}
    function["name"] = function["name"] or more.get("name")
    function["arguments"] += more.get("arguments") or ""
