"""What a dialect is: one service that some addresses of the server imitate.

Each dialect is one file. It has a table of routes, a table of errors, and a constant
DIALECT that joins them; routes.py lists the dialects.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .call import Call
from .reply import Reply, json_reply

# Method, path and the function that answers. In a path, {} stands for one part and
# {number} for one of digits; the function takes the call, and then those parts.
Route = tuple[str, str, Callable[..., Reply]]


def plain_error(status: int, message: str, **more: Any) -> dict[str, Any]:
    """Return the error body of the addresses that imitate no particular service."""
    return {"message": message, **more}


@dataclass(frozen=True)
class Dialect:
    """A service that some addresses imitate.

    routes: what is at which address.
    prefix: where nobody answers, an address that begins so is refused in this dialect;
        None for no such address.
    error: makes the body of an error from a status, a message and, in some dialects,
        `type`, `code` and `param`.
    error_headers: the headers that go with a status of an error.
    check: returns the reply to a call that brings no good key, or None.
    headers: the headers of every reply, given the call and the reply.
    """

    routes: tuple[Route, ...]
    prefix: str | None = None
    error: Callable[..., dict[str, Any]] = plain_error
    error_headers: Callable[[int], dict[str, str]] = lambda status: {}
    check: Callable[[Call], Reply | None] = lambda call: None
    headers: Callable[[Call, Reply], dict[str, str]] = lambda call, reply: {}

    def fail(self, status: int, message: str, **more: Any) -> Reply:
        """Return an error reply."""
        reply = json_reply(self.error(status, message, **more), status)
        reply.headers |= self.error_headers(status)
        return reply
