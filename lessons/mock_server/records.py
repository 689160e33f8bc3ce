"""What the server writes down about each request, and the table that shows it."""

import dataclasses
import re
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from urllib.parse import quote, unquote_plus
from weakref import WeakKeyDictionary

from .reply import Reply

RECORD_LIMIT = 10_000
BODY_LIMIT = 64 * 1024
REPLY_LIMIT = 2 * 1024  # of each reply's body
BYTES_LIMIT = 64 * 1024 * 1024  # of all records together
_SECRET_HEADERS = {
    "authorization",
    "proxy-authorization",
    "x-api-key",
    "api-key",
    "cookie",
}
_SECRET_PARAMETERS = re.compile(
    r"(?i)\b((?:api[_-]?|access[_-]?)?(?:key|token)=)([^&\s#]+)"
)
_LOOKS_LIKE_A_KEY = re.compile(r"\bsk-[\w-]{8,}")


def mask(secret: str) -> str:
    """Return a secret as its first and last four characters; of a short one nothing."""
    return f"{secret[:4]}…{secret[-4:]}" if len(secret) >= 12 else "…"


def secrets_in(query: str) -> list[str]:
    """Return the values of every key=, token=, api_key= or access_token= of a query."""
    return [unquote_plus(found[1]) for found in _SECRET_PARAMETERS.findall(query)]


@lru_cache(maxsize=1024)
def _forms(secret: str) -> tuple[tuple[str, str], ...]:
    """Return a secret as it is and as it stands in an address, each with its mask;
    shorter ones than 8 are no keys.
    """
    forms = (
        {secret, quote(secret, safe="", errors="surrogateescape")}
        if len(secret) >= 8
        else ()
    )
    return tuple((form, mask(secret)) for form in forms)


class Mask:
    """Masks the secrets of one request, wherever in it they stand.

    secrets: what must not be seen, besides the values of the headers that carry keys.
    """

    def __init__(self, headers: Mapping[str, str], secrets: Iterable[str]) -> None:
        carried = [
            value.rpartition(" ")[2]
            for name, value in headers.items()
            if name.lower() in _SECRET_HEADERS
        ]
        self._forms = [
            form
            for secret in sorted({*secrets, *carried}, key=len, reverse=True)
            for form in _forms(secret)
        ]

    def text(self, text: str) -> str:
        """Return text with every secret, and all that looks like a key of OpenAI's,
        masked.
        """
        for secret, masked in self._forms:
            text = text.replace(secret, masked)
        if "sk-" in text:
            text = _LOOKS_LIKE_A_KEY.sub(lambda found: mask(found[0]), text)
        return text

    def query(self, query: str) -> str:
        """Return a query string, also with the value of every key=, token=, api_key= or
        access_token= masked.
        """
        return self.text(
            _SECRET_PARAMETERS.sub(lambda found: found[1] + mask(found[2]), query)
        )

    def body(self, body: bytes) -> bytes:
        """Return a body masked like text; bytes that are no UTF-8 stay as they are."""
        text = body.decode("utf-8", "surrogateescape")
        return self.text(text).encode("utf-8", "surrogateescape")

    def headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        """Return the headers as a dict; those that came twice are joined by a comma
        (RFC 9110, section 5.3).
        """
        masked: dict[str, str] = {}
        for name, value in headers.items():
            if name.lower() in _SECRET_HEADERS:
                scheme, space, secret = value.rpartition(" ")
                value = scheme + space + mask(secret)
            else:
                value = self.text(value)
            masked[name] = f"{masked[name]}, {value}" if name in masked else value
        return masked


@dataclass
class Record:
    """One request, as the server saw it.

    n: its number, from 1.
    key: the API key it brought, masked; "" if it brought none.
    connection, exchange: the number of its connection, and its own number on that
        connection, both from 1.
    received, first_byte, ended: seconds since the server was made; None for what has
        not happened.
    body: its first 64 KiB.
    attempt: 1 for the first request with this method, address, key and body, 2 for its
        first repetition.
    identity: a short name of method, address, key and body: equal requests have the
        same.
    status: the status code that was sent; None if none was.
    fault, source: what was done to the reply and who asked for it: "script", "rule",
        "chaos" or "limiter".
    reply_headers: those of the reply, masked like the request's; empty before it.
    reply: the first 2 KiB of the reply's body as the server means to send it, masked.
    last_byte: when the last part of the body so far was handed to the connection.
    is_blocked: True while the client does not take the bytes that are ready for it.
    replayed: whether this got the answer that an earlier request with the same
        Idempotency-Key was given, and was not carried out again.
    sent: how many bytes of the reply's body went out.
    end: complete, cut (in the middle of the body), rst or fin (before the body),
        client-gone or server-stopped; "" while it is open.
    """

    n: int
    method: str
    path: str
    query: str
    headers: dict[str, str]
    key: str
    connection: int
    exchange: int
    received: float
    body: bytes = b""
    attempt: int = 1
    identity: str = ""
    status: int | None = None
    fault: str = ""
    source: str = ""
    reply_headers: dict[str, str] = field(default_factory=dict)
    reply: bytes = b""
    last_byte: float | None = None
    is_blocked: bool = False
    replayed: bool = False
    first_byte: float | None = None
    ended: float | None = None
    sent: int = 0
    end: str = ""

    @property
    def request(self) -> str:
        """Method, path and query in one line."""
        return f"{self.method} {self.path}" + (f"?{self.query}" if self.query else "")

    def to_dict(self) -> dict[str, Any]:
        """Return the record as plain JSON values; bytes of the bodies that are no UTF-8
        are replaced, and of the reply there is what was sent.
        """
        return {
            **dataclasses.asdict(self),
            "body": self.body.decode("utf-8", "replace"),
            "reply": self.reply[: self.sent].decode("utf-8", "replace"),
        }


def _size(record: Record) -> int:
    """Return about how many bytes a record takes."""
    size = 1000 + len(record.path) + len(record.query) + len(record.body)
    size += _length(record.headers) + _length(record.reply_headers)
    return size + len(record.reply)


def _length(headers: dict[str, str]) -> int:
    return len("".join(headers)) + len("".join(headers.values()))


class Log:
    """The records of one server: its thread writes them, yours reads them."""

    def __init__(self) -> None:
        self._lock = threading.Condition()
        self._started = time.monotonic()
        self.started = time.time()  # seconds since 1970 when now() was 0
        self._watchers: set[Any] = set()
        self.clear()

    def clear(self) -> None:
        """Forget everything. A request that is still open ends without a trace."""
        with self._lock:
            self._records: deque[Record] = deque()
            self._bytes = 0  # about how much they take
            self._open: dict[int, Record] = {}
            self._connections: WeakKeyDictionary[Any, list[int]] = WeakKeyDictionary()
            self._connection_count = self._count = self.peak_open = 0
            for watcher in self._watchers:
                watcher.begin_anew()

    @contextmanager
    def watched_by(self, watcher: Any) -> Iterator[None]:
        """Tell a watcher (see live.py) of every record that is new or has changed."""
        with self._lock:
            self._watchers.add(watcher)
        try:
            yield
        finally:
            with self._lock:
                self._watchers.discard(watcher)

    def tell(self, record: Record) -> None:
        """Tell the watchers of a record; one that was open at clear() is forgotten."""
        if id(record) in self._open:
            for watcher in self._watchers:
                watcher.add(record)

    @property
    def open_now(self) -> int:
        """The number of requests that are open."""
        return len(self._open)

    def now(self) -> float:
        """Return the seconds since the server was made."""
        return time.monotonic() - self._started

    def open(self, transport: Any, **fields: Any) -> Record:
        """Make a record with these fields, and with the numbers that follow from its
        connection and the others.
        """
        with self._lock:
            if transport not in self._connections:
                self._connection_count += 1
                self._connections[transport] = [self._connection_count, 0]
            place = self._connections[transport]
            place[1] += 1
            self._count += 1
            record = Record(
                n=self._count,
                connection=place[0],
                exchange=place[1],
                received=self.now(),
                **fields,
            )
            self._records.append(record)
            self._add_bytes(_size(record))
            self._open[id(record)] = record
            self.peak_open = max(self.peak_open, len(self._open))
            self.tell(record)
        return record

    def keep_body(self, record: Record, hidden: Mask, body: bytes) -> None:
        """Write down the beginning of a request's body, with its secrets masked."""
        # Masked before it is cut, so that no half of a secret is left at the end.
        kept = hidden.body(body[: 2 * BODY_LIMIT])[:BODY_LIMIT]
        with self._lock:
            record.body = kept
            self._add_bytes(len(kept))

    def begin(self, record: Record, hidden: Mask, reply: Reply) -> None:
        """Write down what is about to be sent: its head, if it has one, and the
        beginning of its body.
        """
        start = hidden.body(reply.start(2 * REPLY_LIMIT))[:REPLY_LIMIT]
        with self._lock:
            record.reply = start
            if reply.has_head:
                record.status, record.first_byte = reply.status, self.now()
                record.reply_headers = hidden.headers(reply.headers)
            self._add_bytes(len(start) + _length(record.reply_headers))
            self.tell(record)

    def _add_bytes(self, count: int) -> None:
        """Count these bytes, and forget the oldest records if they are too many."""
        self._bytes += count
        while self._records and (
            len(self._records) > RECORD_LIMIT or self._bytes > BYTES_LIMIT
        ):
            self._bytes -= _size(self._records.popleft())

    def close(self, record: Record, end: str) -> None:
        """Write down how a request ended, unless that is known already."""
        with self._lock:
            if not record.end:
                record.ended, record.end = self.now(), end
                self.tell(record)
                self._open.pop(id(record), None)
                self._lock.notify_all()

    def find(self, n: int) -> Record | None:
        """Return the record with this number, None if there is none (any more)."""
        with self._lock:
            place = n - self._records[0].n if self._records else -1
            return self._records[place] if 0 <= place < len(self._records) else None

    def all(self) -> list[Record]:
        """Return the records, oldest first."""
        with self._lock:
            return list(self._records)

    def wait_until_idle(self, timeout: float) -> None:
        """Wait until no request is open, at most timeout seconds."""
        with self._lock:
            self._lock.wait_for(lambda: not self._open, timeout)

    def wait_for(self, count: int, timeout: float) -> None:
        """Wait until count requests have arrived and ended.

        Raises TimeoutError after timeout seconds.
        """
        with self._lock:

            def is_enough() -> bool:
                return self._count - len(self._open) >= count

            if not self._lock.wait_for(is_enough, timeout):
                arrived = f"{self._count} of {count} requests had arrived"
                still = f"{len(self._open)} of them had not ended"
                raise TimeoutError(f"after {timeout} s, {arrived} and {still}")


def table(records: Iterable[Record]) -> str:
    """Return the records as a table with one line each; times are seconds since the
    first of them.
    """
    records = list(records)
    rows = [("n", "t(s)", "conn", "request", "status", "fault", "end")]
    for record in records:
        seconds = f"{record.received - records[0].received:.2f}"
        status = str(record.status or "-")
        fault = [record.fault] if record.fault else []
        fault += ["replayed"] if record.replayed else []
        end = record.end or "(open)"
        rows.append(
            (
                str(record.n),
                seconds,
                f"#{record.connection}",
                record.request,
                status,
                ", ".join(fault) or "-",
                end,
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if place < 2 else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
