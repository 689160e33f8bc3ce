"""What the server writes down about each request, and the table that shows it."""

import dataclasses
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

BODY_LIMIT = 64 * 1024
_SECRET_HEADERS = {"authorization", "proxy-authorization", "x-api-key", "api-key", "cookie"}
_SECRET_PARAMETERS = re.compile(r"(?i)\b((?:api[_-]?|access[_-]?)?(?:key|token)=)([^&\s#]+)")


def mask(secret: str) -> str:
    """Return a secret as its first and last four characters; a short one shows nothing."""
    return f"{secret[:4]}…{secret[-4:]}" if len(secret) >= 12 else "…"


def mask_header(name: str, value: str) -> str:
    """Return a header's value, with the secret in it masked if the header is one that carries a secret."""
    if name.lower() not in _SECRET_HEADERS:
        return value
    scheme, space, secret = value.partition(" ")
    return f"{scheme} {mask(secret)}" if space else mask(value)


def mask_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers as a dict with every secret masked; a header that came twice is joined by a comma."""
    masked: dict[str, str] = {}
    for name, value in headers.items():
        value = mask_header(name, value)
        masked[name] = f"{masked[name]}, {value}" if name in masked else value
    return masked


def mask_query(query: str) -> str:
    """Return a query string with the value of every key=, token=, api_key= or access_token= masked."""
    return _SECRET_PARAMETERS.sub(lambda found: found[1] + mask(found[2]), query)


@dataclass
class Record:
    """One request, as the server saw it.

    n: its number, from 1.
    key: the API key it brought, masked; "" if it brought none.
    connection, exchange: the number of its connection, and its own number on that connection, both from 1.
    received, first_byte, ended: seconds since the server started; None for what has not happened.
    body: its first 64 KiB.
    attempt: 1 for the first request with this method, address, key and body, 2 for its first repetition.
    status: the status code that was sent; None if none was.
    fault, source: what was done to the reply and who asked for it: "script", "rule", "chaos" or "limiter".
    sent: how many bytes of the reply's body went out.
    end: complete, cut (in the middle of the body), rst or fin (before the body), client-gone, server-stopped; "" while it is open.
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
    status: int | None = None
    fault: str = ""
    source: str = ""
    first_byte: float | None = None
    ended: float | None = None
    sent: int = 0
    end: str = ""

    @property
    def request(self) -> str:
        """Method, path and query in one line."""
        return f"{self.method} {self.path}" + (f"?{self.query}" if self.query else "")

    def to_dict(self) -> dict[str, Any]:
        """Return the record as plain JSON values; bytes of the body that are no UTF-8 are replaced."""
        return {**dataclasses.asdict(self), "body": self.body.decode("utf-8", "replace")}


def table(records: Iterable[Record]) -> str:
    """Return the records as a table with one line each; times are seconds since the first of them."""
    records = list(records)
    rows = [("n", "t(s)", "conn", "request", "status", "fault", "end")]
    for record in records:
        seconds = f"{record.received - records[0].received:.2f}"
        status = str(record.status or "-")
        end = record.end or "(open)"
        rows.append((str(record.n), seconds, f"#{record.connection}", record.request, status, record.fault or "-", end))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if place < 2 else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
