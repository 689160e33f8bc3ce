"""What a dialect is: one service that some addresses of the server imitate.

Each dialect is one file. It has a table of routes, a table of errors, and a constant
DIALECT that joins them; routes.py lists the dialects.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from .call import Call
from .reply import Reply, json_reply, plain_error_event

# Method, path and the function that answers. In a path, {} stands for one part and
# {number} for one of digits; the function takes the call, and then those parts.
Route = tuple[str, str, Callable[..., Reply]]


def plain_error(status: int, message: str, **more: Any) -> dict[str, Any]:
    """Return the error body of the addresses that imitate no particular service."""
    return {"message": message, **more}


def bearer(headers: Any) -> str:
    """Return the bearer token of a request (RFC 6750), "" if it has none."""
    scheme, _, token = headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


class Dialect(NamedTuple):
    """A service that some addresses imitate.

    routes: what is at which address.
    prefix: where nobody answers, an address that begins so is refused in this dialect;
        None for no such address.
    error: makes the body of an error from a status, a message and, in some dialects,
        `type`, `code` and `param`.
    error_headers: the headers that go with a status of an error.
    error_event: makes an event of an error body, for the middle of a stream; it is also
        given the number of the events before it.
    quota: the status and the type of the error that there is no money left.
    forms: other forms that an answer of a model can have, by the name of the fault that
        asks for one. Each takes the JSON of an answer, or of one event, and the amounts
        of the fault; it returns what is sent instead, None for nothing. None if no
        model answers here.
    about: what an error says of the call it answers, as arguments for `error`.
    key: returns the key that the headers of a request bring, "" if none.
    check: returns the reply to a call that brings no good key, or None.
    headers: the headers of every reply, given the call and the reply.
    weight: how much work an answer is for each byte of the request, as a multiple of
        what it is for a chat completion.
    """

    routes: tuple[Route, ...]
    prefix: str | None = None
    error: Callable[..., dict[str, Any]] = plain_error
    error_headers: Callable[[int], dict[str, str]] = lambda status: {}
    error_event: Callable[[dict[str, Any], int], bytes] = plain_error_event
    quota: tuple[int, str] = (429, "insufficient_quota")
    forms: Mapping[str, Callable[..., Any]] | None = None
    about: Callable[[Call], dict[str, Any]] = lambda call: {}
    key: Callable[[Any], str] = bearer
    check: Callable[[Call], Reply | None] = lambda call: None
    headers: Callable[[Call, Reply], dict[str, str]] = lambda call, reply: {}
    weight: int = 1

    def fail(self, status: int, message: str, **more: Any) -> Reply:
        """Return an error reply."""
        reply = json_reply(self.error(status, message, **more), status)
        reply.headers |= self.error_headers(status)
        return reply
