"""Lesson 07: answers that arrive word by word, and how to know that one is whole."""

import json
import warnings
from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import Any

import httpx
import requests

from . import chat, errors, keys, replies
from .retry import RobustAPIClient
from .sse import ServerSentEvent, iter_sse

PATH = "/chat/completions"
KNOWN = {"choices", "usage"}  # what a chunk may hold
BROKEN = (requests.RequestException, httpx.HTTPError)  # raised while a body is read


def stream_body(messages: list[dict[str, Any]], model: str) -> dict[str, Any]:
    """Return the body of a request for a streamed answer; see chat_body."""
    return chat.chat_body(messages, model, 0.7, 2000) | {"stream": True}


class StreamError(errors.APIError):
    """The server reported an error in the stream. partial: the text so far."""

    def __init__(self, message: str, partial: str = "", **facts: Any) -> None:
        super().__init__(message, **facts)
        self.partial = partial


class IncompleteStreamError(StreamError):
    """The stream ended before the answer did. partial: the text so far."""

    is_retryable = True


def error_from_event(event: ServerSentEvent, partial: str) -> StreamError:
    """Return the error that an event reports; the table says if it can be repeated."""
    message, code, names = replies.describe_reply(200, event.data.encode())
    error_class, advice = errors.decide(names | {"2xx"})
    error = StreamError(message, partial, status=200, code=code)
    error.is_retryable = error_class.is_retryable
    error.add_note(advice)
    return error


def read_delta(chunk: dict[str, Any]) -> tuple[str, str | None]:
    """Return a chunk's new text, "" if it has none, and its finish_reason.

    Raises ValueError for what is neither a part of an answer nor a note.
    """
    for choice in chunk.get("choices") or []:  # the chunk with the usage has none
        if choice.get("index", 0) == 0:
            content = (choice.get("delta") or {}).get("content")
            return chat.join_parts(content) or "", choice.get("finish_reason")
    if not chunk.keys() & KNOWN and chunk.get("type") != "ping":
        raise ValueError("neither a part of an answer nor a note")
    return "", None


def read_event(event: ServerSentEvent, so_far: str) -> tuple[str, str | None]:
    """Return what read_delta finds in an event.

    Raises StreamError for an error that the server reports, with the text so far, and
    InvalidResponseError for a damaged event.
    """
    if event.event == "error":
        raise error_from_event(event, so_far)
    try:
        chunk = json.loads(event.data)
        if replies.error_in(chunk) is not None:
            raise error_from_event(event, so_far)
        return read_delta(chunk)
    except (ValueError, TypeError, AttributeError, RecursionError) as cause:
        message = f"a damaged event: {keys.hide_keys(event.data)[:60]!r}"
        raise errors.InvalidResponseError(message, status=200) from cause


class Answer:
    """A streamed answer: its text so far, and the ends of it that were seen."""

    def __init__(self) -> None:
        self.text, self.is_done = "", False  # it is done after [DONE]
        self.reason: str | None = None  # the finish_reason

    def read(self, events: Iterable[ServerSentEvent]) -> Iterator[str]:
        """Yield the text that events bring, up to [DONE]; see read_event."""
        for event in events:
            data = event.data.strip()
            if data == "[DONE]":
                self.is_done = True
                return
            if data:  # an empty one keeps the connection open
                text, reason = read_event(event, self.text)
                self.text, self.reason = self.text + text, reason or self.reason
                if text:
                    yield text


def check_end(answer: Answer, cause: Exception | None = None) -> None:
    """Raise IncompleteStreamError if no end was seen: a finish_reason, or a text and
    [DONE]. Warn of a whole stream with half an answer, or none.

    cause: what broke off the connection.
    """
    message = f"the stream ended after {len(answer.text)} characters"
    if not answer.reason and not (answer.is_done and answer.text):
        raise IncompleteStreamError(message, answer.text, status=200) from cause
    if answer.reason in chat.BAD_ENDS or not answer.text:
        warnings.warn(f"{message}: {answer.reason}", stacklevel=2)


def is_stream(response: requests.Response | httpx.Response) -> bool:
    """Say whether a reply is an event stream; some servers send no Content-Type.

    Source: WHATWG HTML standard, section 9.2.3.
    """
    kind = response.headers.get("Content-Type", "text/event-stream").partition(";")[0]
    return response.status_code == 200 and kind.strip().lower() == "text/event-stream"


def check_stream(response: requests.Response | httpx.Response) -> None:
    """Raise what a plain call raises if a reply is not an event stream."""
    if is_stream(response):
        return
    try:
        errors.checked_body(response)
    except BROKEN as cause:
        raise errors.error_from_exception(cause) from cause
    raise errors.InvalidResponseError("a reply in one piece, and no stream", status=200)


def arriving(response: requests.Response) -> Iterator[bytes]:
    """Return the bytes of a body as they arrive.

    To requests, None means "as it comes" if the body comes in HTTP chunks, and "all at
    once" if it does not; then the bytes are fetched one by one.
    """
    is_chunked = "chunked" in response.headers.get("Transfer-Encoding", "").lower()
    return response.iter_content(chunk_size=None if is_chunked else 1)


def pieces_of(response: requests.Response) -> Iterator[str]:
    """Yield the text of a streamed answer; raise an error unless it is whole."""
    answer, cause = Answer(), None
    with errors.add_request_id(response):
        try:
            yield from answer.read(iter_sse(arriving(response)))
        except BROKEN as error:
            cause = error
        check_end(answer, cause)


class StreamingAPIClient(RobustAPIClient):
    """The same client, with answers that arrive word by word."""

    def chat_completion_stream(
        self, messages: list[dict[str, Any]], model: str | None = None
    ) -> Iterator[str]:
        """Yield the text of an answer as it arrives; closing the iterator hangs up.

        What fails before the first text is repeated as a plain call is. Raises what a
        plain call raises, or StreamError or IncompleteStreamError with the text so far.
        """
        body = stream_body(messages, model or self.model)
        first, pieces = self._retry(self._begin)(body)
        with closing(pieces):
            if first:
                yield first
            yield from pieces

    def _begin(self, body: dict[str, Any]) -> tuple[str, Iterator[str]]:
        pieces = self._pieces(body)
        return next(pieces, ""), pieces

    def _pieces(self, body: dict[str, Any]) -> Iterator[str]:
        with self._send("POST", PATH, body, stream=True) as response:
            check_stream(response)
            yield from pieces_of(response)
