"""The faults: each is an action at a point with an amount, and they compose with `+`.

    from mock_server import fault

    fault.status(429, retry_after=1)            # one fault
    fault.delay(0.2) + fault.slice(3)           # two at once
    fault.parse("delay(0.2) + slice(3)")        # the same from text

Every fault prints as the call that makes it, and that is how it stands in the server's
records. Composed faults are applied from the content, over the whole reply, down to its
events and then its bytes; on one level, as written. A wrong amount is a ValueError
where the fault is made.
"""

import itertools
from typing import Any, Literal

from . import step
from .compatible import (  # noqa: F401 - they are faults like those below
    SHAPES,
    blank_data,
    content_type,
    finish,
    no_content,
    omit,
    only_done,
    parts,
    stream_error,
)
from .reply import Reply, cut_bytes, retry_after_header, slice_pieces
from .step import BYTES, END, EVENTS, LAST, NAMES, WHOLE, Fault, makes_fault, parse  # noqa: F401 - what goes with all faults

_CODE = step.count(200, 999)
_EVENTS = step.count(0, 10**9)

# --- faults of the whole reply --------------------------------------------------------


@makes_fault(WHOLE)
def ok(reply: Reply) -> None:
    """No fault: the normal reply. Useful as a step between two faults of a script."""


@makes_fault(
    WHOLE,
    refuses=lambda code, **_: code >= 400,
    code=_CODE,
    retry_after=step.TEXT_OR_SECONDS,
    as_date=step.SWITCH,
    body=step.BODY,
    headers=step.HEADERS,
)
def status(
    reply: Reply,
    code: int,
    *,
    retry_after: float | str | None = None,
    as_date: bool = False,
    body: Any = None,
    headers: dict[str, str] | None = None,
) -> None:
    """Answer with this status code; from 400 on with an error body in the style of the
    endpoint. Real servers also send codes that HTTP does not know, up to 999.

    retry_after: seconds for the Retry-After header, or a text to send as it is; None
        sends no such header.
    as_date: send those seconds as an HTTP-date.
    body: a dict or list (sent as JSON) or a str (sent as text) in place of the usual
        body.
    headers: more headers to send, such as {"x-should-retry": "false"}.
    """
    reply.set_status(code)
    if isinstance(body, str):
        reply.set_body(body.encode("utf-8", "replace"), "text/plain; charset=utf-8")
    elif body is not None:
        reply.set_json(body)
    elif code >= 400:
        reply.set_json(reply.error(code, f"this reply was scripted to be a {code}"))
    if code in (204, 205, 304):
        reply.pieces = []
    if retry_after is not None:
        reply.headers["Retry-After"] = retry_after_header(retry_after, as_date)
    reply.headers.update(headers or {})


@makes_fault(WHOLE, refuses=True)
def quota(reply: Reply) -> None:
    """Answer 429 because the account has no money left: waiting does not help. Where
    the imitated service has another status for this, it is that one.
    """
    status, kind = reply.quota
    reply.set_status(status)
    message = "The quota of this account is used up. Check the plan and the billing"
    reply.set_json(reply.error(status, f"{message} details.", type=kind, code=kind))


@makes_fault(WHOLE, refuses=True, code=_CODE)
def html(reply: Reply, code: int = 502) -> None:
    """Answer with an HTML error page, as a proxy in front of a dead server does."""
    reply.set_status(code)
    head, body = f"<title>{code}</title>", f"<h1>{code} from the proxy</h1>"
    page = f"<html>\n<head>{head}</head>\n<body>{body}</body>\n</html>\n"
    reply.set_body(page.encode(), "text/html; charset=utf-8")


@makes_fault(WHOLE, seconds=step.SECONDS)
def delay(reply: Reply, seconds: float) -> None:
    """Wait this many seconds before the first byte."""
    reply.delay += seconds


@makes_fault(WHOLE)
def hang(reply: Reply) -> None:
    """Never answer, and keep the connection open."""
    reply.has_head, reply.pieces, reply.ending = False, [], "hang"


@makes_fault(WHOLE, how=step.one_of("fin", "rst"))
def drop(reply: Reply, how: Literal["fin", "rst"] = "rst") -> None:
    """Close the connection before the first byte: "rst" breaks it off (TCP reset),
    "fin" closes it politely.
    """
    reply.has_head, reply.pieces, reply.ending = False, [], how


@makes_fault(WHOLE)
def garbage(reply: Reply) -> None:
    """Send bytes that are no HTTP, then close."""
    reply.has_head, reply.ending = False, "fin"
    reply.pieces = [(0.0, b"\x16\x03\x01 this is not HTTP\r\n\r\n")]


@makes_fault(WHOLE)
def bad_json(reply: Reply) -> None:
    """Damage the JSON: half of a document, or half of the middle event of a stream."""
    if reply.is_stream:
        middle = len(reply.pieces) // 2
        wait, data = reply.pieces[middle]
        reply.pieces[middle] = (wait, data[: len(data) // 2] + b"\n\n")
    else:
        reply.pieces = [(0.0, reply.body[: len(reply.body) // 2])]


# --- faults that count events ---------------------------------------------------------
# What opens a stream and has no content yet (in a chat, the chunk that names the role)
# is not counted.


@makes_fault(EVENTS, after_events=_EVENTS)
def truncate(reply: Reply, *, after_events: int) -> None:
    """End the stream cleanly after so many events: no `[DONE]`, no error."""
    reply.pieces = reply.first_events(after_events)


@makes_fault(EVENTS, after_events=_EVENTS)
def stall(reply: Reply, *, after_events: int) -> None:
    """Send so many events, then nothing more, and keep the connection open."""
    reply.keep_length()
    reply.pieces, reply.ending = reply.first_events(after_events), "hang"


# --- faults of the bytes --------------------------------------------------------------


@makes_fault(BYTES)
def comments(reply: Reply) -> None:
    """Put a comment line, which servers send to keep a connection alive, before every
    event.
    """
    reply.change_events(lambda data: b": keep-alive\n\n" + data)


@makes_fault(BYTES)
def no_space(reply: Reply) -> None:
    """Write `data:` without the optional space after it."""
    reply.change_events(lambda data: data.replace(b"data: ", b"data:", 1))


@makes_fault(BYTES)
def crlf(reply: Reply) -> None:
    """End the lines of a stream with CR LF."""
    reply.change_events(lambda data: data.replace(b"\n", b"\r\n"))


@makes_fault(END, pieces=step.count(1, step.MOST_PIECES), gap=step.SECONDS)
def drip(reply: Reply, pieces: int, gap: float) -> None:
    """Send the body in this many pieces, gap seconds before each."""
    body = reply.body
    edges = [number * len(body) // pieces for number in range(pieces + 1)]
    reply.pieces = [(gap, body[start:end]) for start, end in itertools.pairwise(edges)]


@makes_fault(END, size=step.count(1, 10**9))
def slice(reply: Reply, size: int) -> None:
    """Send the body in HTTP chunks of size bytes each, so that a character of several
    bytes is split.
    """
    reply.pieces, reply.is_chunked = slice_pieces(reply.pieces, size), True


@makes_fault(END)
def bare(reply: Reply) -> None:
    """Leave out the request id and the rate-limit headers."""
    prefixes = ("x-request-id", "openai-", "x-ratelimit-", "x-github-")
    prefixes += ("request-id", "anthropic-")
    reply.headers = {
        name: text
        for name, text in reply.headers.items()
        if not name.lower().startswith(prefixes)
    }


@makes_fault(END)
def no_charset(reply: Reply) -> None:
    """Leave the charset out of the Content-Type."""
    if "Content-Type" in reply.headers:
        reply.headers["Content-Type"] = reply.headers["Content-Type"].partition(";")[0]


def _cut_stage(after_bytes: int | None, after_events: int | None, **_: Any) -> int:
    """Events are counted before the bytes are cut again, bytes after it."""
    if (after_bytes is None) == (after_events is None):
        raise ValueError("cut needs after_bytes or after_events, and only one of them")
    return EVENTS if after_bytes is None else LAST


@makes_fault(
    _cut_stage,
    after_bytes=step.count(0, 10**9),
    after_events=_EVENTS,
    how=step.one_of("fin", "rst"),
)
def cut(
    reply: Reply,
    *,
    after_bytes: int | None = None,
    after_events: int | None = None,
    how: Literal["fin", "rst"] = "fin",
) -> None:
    """Close the connection in the middle of the body, after so many bytes or so many
    events.
    """
    reply.keep_length()
    reply.ending = how
    if after_bytes is None:
        reply.pieces = reply.first_events(after_events)
    else:
        reply.pieces = cut_bytes(reply.pieces, after_bytes)
