"""Takes connections, no faster than the system has file descriptors for them."""

import asyncio
import errno
import math
import socket
import sys
from collections.abc import Callable, Container, Mapping, MutableMapping
from typing import Any

from aiohttp import web

try:
    import resource
except ImportError:  # Windows, which has no such limit
    resource = None

WANTED = 8192  # file descriptors: enough for thousands of connections
SHARE = 4  # one in so many may be a connection here; the client needs some, too
GRACE = 1.0  # seconds that a client who sends no more has for its reply
_NONE_LEFT = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


def raise_limit() -> float:
    """Allow this process more open files if the system lets it; return how many it may
    have now, infinity for no limit.
    """
    if resource is None:
        return math.inf
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = WANTED if hard == resource.RLIM_INFINITY else min(WANTED, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
            soft = most
        except (ValueError, OSError):
            pass  # a system may refuse for reasons of its own; then the old limit holds
    return math.inf if soft == resource.RLIM_INFINITY else soft


class Connection(web.RequestHandler):
    """A connection that outlives the end of what its client sends.

    A client may close its sending side after its last request and still read the reply
    (RFC 9293, section 3.6), and cannot be told from one that has gone. So a connection
    whose reply waits is closed at once, as most of those clients have given up; any
    other has a moment for its reply.

    waiting: the connections on which a reply waits.
    ending: those whose client sends no more, and when that moment is over (loop time).
    """

    def __init__(
        self,
        waiting: Container[asyncio.Transport],
        ending: MutableMapping[asyncio.Transport, float],
        *args: Any,
        **more: Any,
    ) -> None:
        super().__init__(*args, **more)
        self._waiting, self._ending = waiting, ending

    def eof_received(self) -> bool:
        """Say whether to keep the connection open for writing."""
        transport, loop = self.transport, asyncio.get_running_loop()
        is_idle = self._waiter and not self._waiter.done()
        if transport is None or transport in self._waiting or is_idle:
            return False
        self.close()  # as soon as what came is answered
        self._ending[transport] = loop.time() + GRACE
        loop.call_later(0.02, self._close_if_in_vain)
        loop.call_later(GRACE, transport.close)
        return True

    def _close_if_in_vain(self) -> None:
        """Close the connection if it has half a request, and no more will come."""
        request, transport = self._current_request, self.transport
        if transport and request and not request.content.is_eof():
            transport.close()


async def accept_for_ever(
    listener: socket.socket,
    server: web.Server,
    connect: Callable[[], Connection],
    limit: float,
    idle: Mapping[asyncio.Transport, float],
) -> None:
    """Take the connections of a listening socket for a server.

    connect: makes the object for a new connection.
    limit: how many files may be open in this process. A quarter of them may be
        connections of this server. When more clients come, they wait until others
        close, and connections without work are closed for them.
    idle: the connections without work, and since when (loop time).
    """
    loop, has_said = asyncio.get_running_loop(), False
    most = max(16, limit // SHARE)
    while True:
        connection = None
        try:
            connection, _ = await loop.sock_accept(listener)
        except OSError as error:
            if error.errno not in _NONE_LEFT:
                continue  # it is about one client, who has gone already
        while connection is None or len(server.connections) >= most:
            if not has_said:
                has_said = True
                why = f"this system allows {limit} open files at once"
                what = "so some connections wait for others to close"
                hint = "`ulimit -n 4096` in the shell allows more"
                print(f"mock_server: {why}, {what}; {hint}", file=sys.stderr)
            for transport, since in list(idle.items()):
                if loop.time() - since > 0.1:  # by now, its reply has gone out
                    transport.close()
            await asyncio.sleep(0.01)
            if connection is None:
                break
        if connection:
            await loop.connect_accepted_socket(connect, connection)
