"""Solution 07: read an event stream as the standard says, and know a whole answer.

Three steps, each in a place of its own: bytes to lines, lines to events, and to text.
The rules are those of the WHATWG HTML standard, sections 9.2.5 and 9.2.6:
https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream
"""

import itertools
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx

TIMEOUT = httpx.Timeout(60.0, connect=5.0)  # seconds: of silence, and to connect


_WORDS = ("error", "errors", "message", "detail", "title", "msg")  # keys of a failure


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
    """The server reported an error, or sent something that is no stream of an answer.

    partial: the text received before that.
    """

    def __init__(self, message: str, partial: str = "", **facts: Any) -> None:
        super().__init__(message, **facts)
        self.partial = partial


class IncompleteStreamError(StreamError):
    """The stream stopped before its end."""


def iter_sse(chunks: Iterable[bytes]) -> Iterator[ServerSentEvent]:
    """Yield the events of a stream, each as soon as the blank line after it is here.

    chunks: the bytes of the stream in pieces of any size; a piece may end in the middle
        of a character, or between CR and LF.

    The rules are those of the WHATWG HTML standard, section 9.2.6. So a block without
    data is no event, and what comes after the last blank line is dropped.
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
    an answer. A chunk may have no choices, no delta, or null as content: no text then.

    Raises StreamError, with the server's words in its message, for an error that the
    server reports, in the stream or in place of it, and for a damaged event;
    IncompleteStreamError if the stream ends or breaks with neither [DONE] nor a
    finish_reason. Both have the text so far in partial.
    Leaving the loop early closes the connection.
    """
    address = (base_url or _setting("OPENAI_BASE_URL")).strip()
    api_key = (api_key or _setting("OPENAI_API_KEY")).strip()
    if not api_key.isascii() or not api_key.isprintable() or " " in api_key:
        raise ValueError("the API key has a character that no key has")
    model = model or _setting("OPENAI_MODEL")
    # The generator is another function: so the ValueError comes with the call of this
    # one, and not with the first piece.
    return _pieces(
        f"{address.rstrip('/')}/chat/completions",
        {"Authorization": f"Bearer {api_key}"},
        {"model": model, "messages": messages, "stream": True},
    )


def _setting(name: str) -> str:
    """Return a variable of the environment; ValueError if there is none."""
    value = os.environ.get(name)
    if not value:
        raise ValueError(f"set {name} in the environment, or pass it")
    return value


def _pieces(url: str, headers: dict[str, str], body: dict[str, Any]) -> Iterator[str]:
    """Send the request, and yield the text of the answer; see stream_chat."""
    pieces: list[str] = []
    has_choice = is_finished = False
    try:
        with httpx.stream(
            "POST", url, headers=headers, json=body, timeout=TIMEOUT
        ) as response:
            for event in iter_sse(_bytes_of_stream(response)):
                data = event.data.strip()
                if data == "[DONE]" and has_choice:
                    return
                if data in ("", "[DONE]"):  # an empty one keeps the connection open
                    continue
                choice = _read_chunk(event)
                has_choice = has_choice or choice is not None
                text, reason = _read_choice(choice or {}, data)
                is_finished = is_finished or bool(reason)  # the usage may still follow
                if text:
                    pieces.append(text)
                    yield text
        if not is_finished:
            raise IncompleteStreamError("the end came without [DONE] or finish_reason")
    except StreamError as error:
        error.partial = "".join(pieces)
        raise
    except httpx.RequestError as error:
        if not is_finished:
            message = f"{type(error).__name__} after {len(pieces)} pieces: {error}"
            raise IncompleteStreamError(message, "".join(pieces)) from error


def _bytes_of_stream(response: httpx.Response) -> Iterator[bytes]:
    """Return the bytes of a reply that is an event stream.

    Without a Content-Type it is one unless it begins as JSON or HTML does. Raises
    StreamError, with what the server says, for any other reply.
    """
    chunks = response.iter_bytes()
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if response.is_success and kind in ("text/event-stream", ""):
        start = next(chunks, b"")
        chunks = itertools.chain([start], chunks)
        if kind or start.lstrip()[:1] not in (b"{", b"[", b"<"):
            return chunks
    content = b"".join(chunks)
    status = f"{response.status_code} {response.reason_phrase}"
    if response.is_redirect:
        status += f", redirected to {_host_of(response)}"
    raise StreamError(f"no stream, but {status}, {kind}: {_explain(content)}")


def _host_of(response: httpx.Response) -> str | None:
    """Return the host to which a redirect leads; None if it cannot be read."""
    try:
        place = urljoin(str(response.url), response.headers["Location"])
        return urlsplit(place).hostname
    except ValueError:
        return None


def _read_chunk(event: ServerSentEvent) -> dict[str, Any] | None:
    """Return the choice in an event; None for a note, such as the usage.

    Raises StreamError for an error that the server reports, in any shape, and for an
    event of which nobody knows what it is.
    """
    if event.event == "error":
        raise StreamError(f"the server reports: {_explain(event.data)}")
    try:
        chunk = json.loads(event.data)
        choices = chunk.get("choices")
        is_note = choices is not None or "usage" in chunk or chunk.get("type") == "ping"
        if chunk.get("error") or (not is_note and _words_in(chunk)):
            raise StreamError(f"the server reports: {_explain(event.data)}")
        if not is_note:
            raise StreamError(f"neither an answer nor a note: {event.data[:80]!r}")
        # Another index would be another answer.
        return next((one for one in choices or [] if not one.get("index")), None)
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise StreamError(f"a damaged event: {event.data[:80]!r}") from error


def _read_choice(choice: dict[str, Any], data: str) -> tuple[str, str | None]:
    """Return the text that a choice adds to the answer, and the reason if that ends it.

    It may have no delta, and null as content. Raises StreamError for an error in it, or
    for one with another form; data: the event, for the message.
    """
    if choice.get("error") or choice.get("finish_reason") == "error":
        raise StreamError(f"the server reports: {_explain(data)}")
    try:
        content = (choice.get("delta") or {}).get("content") or ""
        if isinstance(content, list):  # some servers send it in parts
            texts = [part for part in content if part.get("type", "text") == "text"]
            content = "".join(part["text"] for part in texts)
        return "" + content, choice.get("finish_reason")
    except (LookupError, TypeError, AttributeError) as error:
        raise StreamError(f"a damaged event: {data[:80]!r}") from error


def _explain(content: str | bytes) -> str:
    """Return the words with which a body or an event explains a failure, or its start.

    JSON is UTF-8, whatever the header says.
    """
    try:
        words = _words_in(json.loads(content))
    except (ValueError, RecursionError):
        words = ""
    text = content if isinstance(content, str) else content.decode("utf-8", "replace")
    return words or text[:500]


def _words_in(part: Any, levels: int = 5) -> str:
    """Return all that the JSON of a failure, or a part of it, says; "" if nothing."""
    if isinstance(part, dict):
        part = [part.get(name) for name in (*_WORDS, "choices")]
    if isinstance(part, list) and levels:
        return "; ".join(filter(None, (_words_in(one, levels - 1) for one in part)))
    return part if isinstance(part, str) else ""
