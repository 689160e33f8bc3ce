"""Exercise 07: read an event stream as the standard says, and know a whole answer.

The core is iter_sse and stream_chat; collect_chat is further, if you like.
You may copy from the notebook; an import of robust_client gives no points.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
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
    """The server reported an error, or sent something that isn't a stream.

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

    The rules are those of the WHATWG HTML standard, section 9.2.6: a block without data
    isn't an event, and what comes after the last blank line is dropped.
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
    # TODO 2
    raise NotImplementedError("07_sse_streaming: write stream_chat")


# Further, if you like: what else a stream holds.


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
    # TODO 3
    raise NotImplementedError("07_sse_streaming: write collect_chat")
