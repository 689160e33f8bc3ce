"""Whether an answer waits for a reply with a timeout: seen on its own connection."""

import gc
import socket
import threading
from collections.abc import Callable
from typing import Any

from mock_server import MockServer, fault

from .diagnosis import NotRight

_LATE = 1.5  # seconds that the reply comes late if nobody breaks the connection


def waits_for_ever(
    server: MockServer, function: Callable[[], Any], after: int = 0
) -> bool:
    """Call a function; say whether it waits for a reply without a timeout.

    after: how many replies come as usual before the one that is late.

    Once that request is there, the client's socket is looked at and shut down, so that
    nobody waits; what the function makes of that does not matter. The socket of a
    client that asyncio runs never blocks, so it tells nothing: the answer is no then.
    """
    number = len(server.records) + after + 1
    server.script(*[fault.ok()] * after, fault.delay(_LATE))
    timeouts: list[float | None] = []
    is_over = threading.Event()

    def look() -> None:
        while not is_over.wait(0.002):
            if len(server.records) >= number:
                for client in _clients(server.port):
                    timeouts.append(client.gettimeout())
                    client.shutdown(socket.SHUT_RDWR)
                return

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        function()
    except (NotImplementedError, NotRight):  # not started yet, or there is no such name
        raise
    except Exception:  # a reply that does not come may be an error
        pass
    finally:
        is_over.set()
        watcher.join()
    return None in timeouts


def _clients(port: int) -> list[socket.socket]:
    """Return the open sockets of this process that are connected to a port."""
    for generation in range(3):  # a socket is mostly among the youngest objects
        things = gc.get_objects(generation)
        found = [thing for thing in things if type(thing) is socket.socket]
        if clients := [one for one in found if _is_connected(one, port)]:
            return clients
    return []


def _is_connected(one: socket.socket, port: int) -> bool:
    try:
        return one.family == socket.AF_INET and one.getpeername()[1] == port
    except OSError:  # closed, or a server's that listens
        return False
