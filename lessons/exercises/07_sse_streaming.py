"""Exercise 07: read an event stream as the standard says, and know a whole answer."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any


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
    # TODO 1
    raise NotImplementedError("07_sse_streaming: write iter_sse")


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
    # TODO 2
    raise NotImplementedError("07_sse_streaming: write stream_chat")
