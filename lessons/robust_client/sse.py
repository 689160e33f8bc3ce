"""Lesson 07, first half: the bytes of an event stream become lines, and lines events.

The rules are those of the WHATWG HTML standard, section 9.2:
https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass


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


class LineSplitter:
    """Cuts the bytes of a stream into lines, which end with LF, CR or CR LF.

    The bytes are cut first and decoded after that, so no character is ever split: CR
    and LF are never part of a longer one in UTF-8.
    """

    def __init__(self) -> None:
        self._rest: list[bytes] = []  # the start of a line whose end is not here yet
        self._after_cr = self._is_started = False

    def feed(self, chunk: bytes) -> list[str]:
        """Return the lines that end in chunk."""
        if self._after_cr and chunk:  # that CR and an LF here are one line end
            chunk, self._after_cr = chunk.removeprefix(b"\n"), False
        if b"\r" in chunk:
            self._after_cr = chunk.endswith(b"\r")
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        whole, end, rest = chunk.rpartition(b"\n")
        if not end:
            self._rest.append(chunk)
            return []
        text = b"".join([*self._rest, whole]).decode("utf-8", "replace")
        self._rest = [rest]
        if not self._is_started:  # may begin with an invisible mark, the BOM
            text, self._is_started = text.removeprefix("\ufeff"), True
        return text.split("\n")


class Block:
    """The fields of an event that has not ended yet."""

    def __init__(self) -> None:
        self.event, self.data, self.id = "", [], ""
        self.retry: int | None = None

    def take(self, name: str, value: str) -> None:
        """Take a field; one that the standard does not know is left out."""
        if name == "data":
            self.data.append(value)
        elif name == "event":
            self.event = value
        elif name == "id" and "\0" not in value:
            self.id = value
        elif name == "retry" and value.isascii() and value.isdecimal():
            self.retry = int(value[:4000])  # int() refuses 4,301 digits

    def end(self) -> ServerSentEvent | None:
        """Return the event, or None if it has no data; begin the next. The id stays."""
        kind, data = self.event or "message", "\n".join(self.data)
        event = ServerSentEvent(kind, data, self.id, self.retry) if self.data else None
        self.event, self.data, self.retry = "", [], None
        return event


class EventParser:
    """Turns the bytes of a stream into events, each as soon as its last byte is here.

    A block without data is not an event; what comes after the last empty line is
    dropped (WHATWG HTML standard, section 9.2.6).
    """

    def __init__(self) -> None:
        self._lines, self._block = LineSplitter(), Block()

    def feed(self, chunk: bytes) -> list[ServerSentEvent]:
        """Return the events that end in chunk."""
        events, block = [], self._block
        for line in self._lines.feed(chunk):
            if line:
                name, _, value = line.partition(":")  # the name of a comment is empty
                block.take(name, value.removeprefix(" "))
            elif event := block.end():
                events.append(event)
        return events


def iter_sse(chunks: Iterable[bytes]) -> Iterator[ServerSentEvent]:
    """Yield the events of a stream, each as soon as it is complete."""
    parser = EventParser()
    for chunk in chunks:
        yield from parser.feed(chunk)
