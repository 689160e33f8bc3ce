"""Messages between the judge and a sandbox: JSON over a Unix socket.

JSON and nothing else, because whoever reads a pickle runs what is in it.
"""

import json
import socket
import struct
from collections.abc import Sequence
from typing import Any

MOST_BYTES = 8 * 1024 * 1024  # of one message
_MOST_FILES = 4
_HEAD = struct.Struct("!I")


class Broken(Exception):
    """What arrived is no message."""


def send(channel: socket.socket, message: Any, files: Sequence[int] = ()) -> None:
    """Send a message, and file descriptors with it. Raises OSError if nobody reads."""
    data = json.dumps(message).encode()
    socket.send_fds(channel, [_HEAD.pack(len(data))], files)
    channel.sendall(data)


def receive(channel: socket.socket) -> tuple[Any, list[int]] | None:
    """Return the next message and the file descriptors with it, None at the end.

    Raises Broken for what is no message, and OSError, as for a timeout of the socket.
    """
    head, files, _, _ = socket.recv_fds(channel, _HEAD.size, _MOST_FILES)
    if not head:
        return None
    head += _read(channel, _HEAD.size - len(head))
    (size,) = _HEAD.unpack(head)
    if size > MOST_BYTES:
        raise Broken(f"a message of {size} bytes")
    try:
        return json.loads(_read(channel, size)), files
    except (ValueError, RecursionError) as error:
        raise Broken(f"no JSON: {error}") from None


def _read(channel: socket.socket, size: int) -> bytes:
    parts = []
    while size:
        part = channel.recv(min(size, 1 << 20))
        if not part:
            raise ConnectionError("the end came in the middle of a message")
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
