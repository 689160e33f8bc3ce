"""Bytes on a socket, for the tests that must see what no client library shows."""

import re
import socket
from typing import Protocol


class HasPort(Protocol):
    """A server in this process or in another one."""

    port: int


def connect(server: HasPort, timeout: float = 5.0) -> socket.socket:
    """Return a connection to the server; timeout is in seconds, for each operation."""
    return socket.create_connection(("127.0.0.1", server.port), timeout)


def request(
    line: str, *headers: str, body: bytes = b"", host: str | None = "127.0.0.1"
) -> bytes:
    """Return a request as bytes; line is, for example, "GET /get".

    A body gets its Content-Length.
    """
    lines = [
        f"{line} HTTP/1.1",
        *([f"Host: {host}"] if host is not None else []),
        *headers,
    ]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape") + body


def read_to_end(connection: socket.socket) -> tuple[bytes, str]:
    """Return all bytes up to the end of a connection and how it ended: "fin", "rst", or
    "open" after the timeout.
    """
    received = b""
    try:
        while data := connection.recv(65536):
            received += data
    except ConnectionResetError:
        return received, "rst"
    except TimeoutError:
        return received, "open"
    return received, "fin"


def talk(server: HasPort, data: bytes, timeout: float = 5.0) -> tuple[bytes, str]:
    """Send data on a new connection; return what comes back up to the end, and how the
    connection ended.
    """
    with connect(server, timeout) as connection:
        connection.sendall(data)
        return read_to_end(connection)


def split_head(received: bytes) -> tuple[int, dict[str, str], bytes]:
    """Return the status, the headers (names in lower case) and the rest of a reply."""
    head, _, rest = received.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    found = re.fullmatch(r"HTTP/1\.[01] (\d{3}) ?.*", lines[0])
    assert found, f"this is no status line: {lines[0]!r}"
    pairs = (line.split(":", 1) for line in lines[1:])
    return int(found[1]), {name.lower(): value.strip() for name, value in pairs}, rest


def chunks(body: bytes) -> tuple[list[bytes], bool]:
    """Return the HTTP chunks of a chunked body (RFC 9112, section 7.1), and whether the
    last, empty one came.
    """
    found = []
    while body:
        size_line, separator, rest = body.partition(b"\r\n")
        size = int(size_line, 16)
        if size == 0:
            assert rest == b"\r\n", f"after the last chunk came {rest!r}"
            return found, True
        if not separator or len(rest) < size + 2:
            break
        assert rest[size : size + 2] == b"\r\n", (
            f"no line end after a chunk of {size} bytes"
        )
        found.append(rest[:size])
        body = rest[size + 2 :]
    return found, False
