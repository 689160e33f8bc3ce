"""What the server is about to say, before a byte of it is sent.

A body is a list of pieces, and a piece is (seconds to wait before it, bytes).
For an event stream there is one piece for each event.
Everything in this file and in fault.py is a pure function of such lists, so all of it
is tested without a socket.
"""

import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any, Literal

Piece = tuple[float, bytes]
Ending = Literal["complete", "fin", "rst", "hang"]


_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def to_json(value: Any) -> bytes:
    """Return value as compact JSON in raw UTF-8, the way the big services send it.

    Half of a surrogate pair has no UTF-8; it stays the escape that it came as, such as
    \\ud83d.
    """
    return _ENCODER.encode(value).encode("utf-8", "backslashreplace")


def digest(*parts: object, size: int = 8) -> str:
    """Return a short hexadecimal name (2 * size digits) that depends on the parts and
    on nothing else.
    """
    return hashlib.blake2b(repr(parts).encode(), digest_size=size).hexdigest()


def plain_error_event(body: dict[str, Any], number: int) -> bytes:
    """Return an error body as an event, for a stream whose events have no names."""
    return event(to_json({"error": body.get("error", body)}))


@dataclass
class Reply:
    """A reply that faults may still change.

    delay: seconds to wait before the first byte.
    ending: what happens after the last piece; "hang" keeps the connection open until
        the client leaves.
    has_head: False if not even a status line is sent.
    is_stream: True for an event stream, where a piece is an event.
    openers: how many pieces at the start carry no content yet (the chunk that only
        names the role).
    is_chunked: True for HTTP chunk framing, one HTTP chunk for each piece; else a
        Content-Length is sent.
    length: the Content-Length if it is not the number of bytes in pieces, because a
        fault keeps some of them back.
    is_limited: True if this refuses a request because of the rate limit.
    is_replayed: True if this was made for an earlier request with the same
        Idempotency-Key.
    error, error_headers, error_event: make the body, the headers and the event of an
        error for a fault; they come from the dialect of the address, as do
    quota: the status and the type of the error that there is no money left, and
    forms: the other forms that an answer can have (see Dialect).
    """

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    pieces: list[Piece] = field(default_factory=list)
    delay: float = 0.0
    ending: Ending = "complete"
    has_head: bool = True
    is_stream: bool = False
    openers: int = 0
    is_chunked: bool = False
    length: int | None = None
    is_limited: bool = False
    is_replayed: bool = False
    error: Callable[..., dict[str, Any]] | None = None
    error_headers: Callable[[int], dict[str, str]] | None = None
    error_event: Callable[[dict[str, Any], int], bytes] = plain_error_event
    quota: tuple[int, str] = (429, "insufficient_quota")
    forms: Mapping[str, Callable[..., Any]] | None = None

    @property
    def body(self) -> bytes:
        """All pieces joined."""
        return b"".join(data for _, data in self.pieces)

    def start(self, limit: int) -> bytes:
        """Return the first limit bytes of the body."""
        return b"".join(data for _, data in cut_bytes(self.pieces, limit))

    @property
    def content_length(self) -> int:
        """The number of bytes that the body promises to have."""
        return len(self.body) if self.length is None else self.length

    @property
    def is_plain(self) -> bool:
        """True if this is a whole reply in one piece, of known type and length and
        without a wait.
        """
        return (
            self.ending == "complete"
            and not self.is_chunked
            and len(self.pieces) < 2
            and all(not wait for wait, _ in self.pieces)
            and ("Content-Type" in self.headers or not self.body)
        )

    @property
    def size(self) -> int:
        """How much work this reply is: about its number of bytes and pieces."""
        some = self.pieces[:1000]
        return sum(len(data) for _, data in some) + 100 * len(self.pieces)

    def keep_length(self) -> None:
        """Go on promising the present number of bytes, whatever is taken out of the
        body from here on.
        """
        self.length = self.content_length

    def first_events(self, count: int) -> list[Piece]:
        """Return the opening and the first count events; of a document, which has no
        events, half, or nothing for 0.
        """
        if self.is_stream or len(self.pieces) > 1:
            return self.pieces[: self.openers + count]
        return cut_bytes(self.pieces, len(self.body) // 2 if count else 0)

    def change_events(self, change: Callable[[bytes], bytes]) -> None:
        """Replace each event of a stream by what change makes of it."""
        if self.is_stream:
            self.pieces = [(wait, change(data)) for wait, data in self.pieces]

    def set_status(self, status: int) -> None:
        """Answer with this status, and with the headers that the dialect gives it."""
        self.status = status
        self.headers |= self.error_headers(status)

    def set_body(self, data: bytes, content_type: str) -> None:
        """Replace the body by one piece of the given type, with a known length."""
        self.headers["Content-Type"] = content_type
        self.pieces = [(0.0, data)] if data else []
        self.is_stream = self.is_chunked = False
        self.openers, self.length = 0, None

    def set_json(self, value: Any) -> None:
        """Replace the body by one JSON document."""
        self.set_body(to_json(value), "application/json")


def json_reply(value: Any, status: int = 200, **headers: str) -> Reply:
    """Return a JSON reply; an underscore in a header's name stands for a hyphen."""
    reply = Reply(
        status, {name.replace("_", "-"): text for name, text in headers.items()}
    )
    reply.set_json(value)
    return reply


def stream_reply(events: list[Piece], openers: int = 0) -> Reply:
    """Return an event stream (WHATWG HTML standard, section 9.2) with one piece for
    each event.
    """
    headers = {
        "Content-Type": "text/event-stream; charset=utf-8",
        "Cache-Control": "no-cache",
    }
    return Reply(200, headers, events, is_stream=True, openers=openers, is_chunked=True)


def event(data: bytes, name: str = "") -> bytes:
    """Return data as one event of an event stream, with a name if there is one."""
    line = f"event: {name}\n".encode() if name else b""
    return line + b"data: " + data + b"\n\n"


DONE = event(b"[DONE]")  # the last event of a chat stream


def retry_after_header(seconds: float | str, as_date: bool = False) -> str:
    """Return the value of a Retry-After header (RFC 9110, section 10.2.3).

    A number of seconds becomes an integer of at least 1, or a date rounded up; a string
    is sent as it is.
    """
    if isinstance(seconds, str):
        return seconds
    if as_date:
        return formatdate(math.ceil(time.time() + seconds), usegmt=True)
    return str(max(1, math.ceil(seconds)))


def slice_pieces(pieces: list[Piece], size: int) -> list[Piece]:
    """Cut the bytes again into pieces of size bytes, wherever that falls.

    A slice keeps the waits of all the old pieces that begin in it.
    """
    data = b"".join(part for _, part in pieces)
    waits = [0.0] * math.ceil(len(data) / size)
    position = 0
    for wait, part in pieces:
        if part:
            waits[position // size] += wait
        position += len(part)
    return [
        (wait, data[number * size : (number + 1) * size])
        for number, wait in enumerate(waits)
    ]


def cut_bytes(pieces: list[Piece], limit: int) -> list[Piece]:
    """Keep the first limit bytes."""
    kept: list[Piece] = []
    for wait, data in pieces:
        if limit <= 0:
            break
        kept.append((wait, data[:limit]))
        limit -= len(data)
    return kept
