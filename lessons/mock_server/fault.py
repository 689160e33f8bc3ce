"""The faults: each is an action at a point with an amount, and they compose with `+`.

    from mock_server import fault

    fault.status(429, retry_after=1)            # one fault
    fault.delay(0.2) + fault.slice(3)           # two at once
    fault.parse("delay(0.2) + slice(3)")        # the same from text: command line,
    control endpoint

Every fault prints as the call that makes it, and that is how it stands in the server's
records. Composed faults are applied from the whole reply down to its events and then
its bytes; on one level, as written. A wrong amount is a ValueError where the fault is
made.
"""

import ast
import functools
import inspect
import itertools
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Concatenate, Literal, ParamSpec

from .reply import (
    Piece,
    Reply,
    cut_bytes,
    event,
    retry_after_header,
    slice_pieces,
    to_json,
)

WHOLE, EVENTS, BYTES, END, LAST = range(
    5
)  # the order in which composed faults are applied
P = ParamSpec("P")
NAMES: dict[str, Callable[..., "Fault"]] = {}  # every fault there is, by name


@dataclass(frozen=True)
class Step:
    """One change to a reply.

    text: the call that makes it; equal texts are equal steps.
    refuses: True if the request is not carried out at all, as a server does that
        answers 503. Otherwise it is carried out, and only the reply suffers.
    """

    text: str
    stage: int
    refuses: bool
    apply: Callable[[Reply], None] = field(compare=False)


@dataclass(frozen=True, repr=False)
class Fault:
    """What happens to a reply: a step, or several.

    Make one with the functions below, and join them with `+`.
    """

    steps: tuple[Step, ...]

    @property
    def refuses(self) -> bool:
        """True if the request is not carried out at all."""
        return any(step.refuses for step in self.steps)

    def apply(self, reply: Reply) -> None:
        """Change the reply that would have been sent."""
        for step in sorted(self.steps, key=lambda step: step.stage):
            step.apply(reply)

    def __add__(self, other: "Fault") -> "Fault":
        return (
            Fault(self.steps + other.steps)
            if isinstance(other, Fault)
            else NotImplemented
        )

    def __repr__(self) -> str:
        return " + ".join(step.text for step in self.steps)


# --- what makes a function that changes a reply into a fault --------------------------


def is_seconds(value: Any) -> bool:
    """Say whether value is a number of seconds, from 0 to a million."""
    return type(value) in (int, float) and 0 <= value <= 1e6


def _is_count(value: Any, least: int = 0) -> bool:
    return type(value) is int and value >= least


def _is_json(value: Any) -> bool:
    try:
        return bool(to_json(value))
    except (TypeError, ValueError, RecursionError):
        return False


def _are_headers(value: Any) -> bool:
    def is_header(name: Any, text: Any) -> bool:
        is_name = isinstance(name, str) and re.fullmatch(
            r"[\w!#$%&'*+.^`|~-]+", name, re.ASCII
        )
        is_framing = is_name and name.lower() in ("content-length", "transfer-encoding")
        return bool(
            is_name and not is_framing and isinstance(text, str) and text.isprintable()
        )

    return isinstance(value, dict) and all(
        is_header(name, text) for name, text in value.items()
    )


# For each name of an argument: what it must be, as a function and in words.
_CHECKS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "code": (
        lambda value: _is_count(value, 200) and value <= 599,
        "a status code from 200 to 599",
    ),
    "retry_after": (
        lambda value: (
            value.isprintable() if isinstance(value, str) else is_seconds(value)
        ),
        "a number of seconds, or a text",
    ),
    "as_date": (lambda value: isinstance(value, bool), "True or False"),
    "body": (_is_json, "a text or what JSON can hold"),
    "headers": (
        _are_headers,
        "a dict of header names and values, without Content-Length and "
        "Transfer-Encoding",
    ),
    "seconds": (is_seconds, "a number of seconds, 0 or more"),
    "gap": (is_seconds, "a number of seconds, 0 or more"),
    "how": (lambda value: value in ("fin", "rst"), '"fin" or "rst"'),
    "pieces": (lambda value: _is_count(value, 1), "a whole number of at least 1"),
    "size": (lambda value: _is_count(value, 1), "a whole number of at least 1"),
    "after_events": (_is_count, "a whole number of at least 0"),
    "after_bytes": (_is_count, "a whole number of at least 0"),
}


def _fault(
    stage: int | Callable[..., int], refuses: bool | Callable[..., bool] = False
) -> Callable[[Callable[Concatenate[Reply, P], None]], Callable[P, Fault]]:
    """Make a function that changes a reply, given some amounts, into one that takes the
    amounts and returns a Fault.

    stage and refuses (see Step) may be functions of the amounts.
    """

    def decorate(change: Callable[Concatenate[Reply, P], None]) -> Callable[P, Fault]:
        _, *parameters = inspect.signature(change).parameters.values()
        signature = inspect.Signature(parameters, return_annotation=Fault)

        @functools.wraps(change)
        def make(*args: P.args, **kwargs: P.kwargs) -> Fault:
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            amounts, texts = bound.arguments, []
            for parameter in parameters:
                name, value = parameter.name, amounts[parameter.name]
                is_right, wanted = _CHECKS[name]
                if not (value is None and parameter.default is None) and not is_right(
                    value
                ):
                    raise ValueError(f"{name} must be {wanted}, not {value!r}")
                text = (
                    json.dumps(value, ensure_ascii=False)
                    if isinstance(value, str)
                    else repr(value)
                )
                if parameter.kind is not parameter.KEYWORD_ONLY:
                    texts.append(text)
                elif value != parameter.default:
                    texts.append(f"{name}={text}")
            step = Step(
                text=f"{change.__name__}({', '.join(texts)})",
                stage=stage(**amounts) if callable(stage) else stage,
                refuses=refuses(**amounts) if callable(refuses) else refuses,
                apply=functools.partial(change, **amounts),
            )
            return Fault((step,))

        make.__signature__ = signature
        NAMES[change.__name__] = make
        return make

    return decorate


# --- faults of the whole reply --------------------------------------------------------


@_fault(WHOLE)
def ok(reply: Reply) -> None:
    """No fault: the normal reply. Useful as a step between two faults of a script."""


@_fault(WHOLE, refuses=lambda code, **_: code >= 400)
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
    endpoint.

    retry_after: seconds for the Retry-After header, or a text to send as it is; None
        sends no such header.
    as_date: send those seconds as an HTTP-date.
    body: a dict or list (sent as JSON) or a str (sent as text) in place of the usual
        body.
    headers: more headers to send, such as {"x-should-retry": "false"}.
    """
    reply.status = code
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


@_fault(WHOLE, refuses=True)
def quota(reply: Reply) -> None:
    """Answer 429 because the account has no money left: waiting does not help."""
    reply.status = 429
    message = (
        "The quota of this account is used up. Check the plan and the billing details."
    )
    reply.set_json(
        reply.error(429, message, type="insufficient_quota", code="insufficient_quota")
    )


@_fault(WHOLE, refuses=True)
def html(reply: Reply, code: int = 502) -> None:
    """Answer with an HTML error page, as a proxy in front of a dead server does."""
    reply.status = code
    head, body = f"<title>{code}</title>", f"<h1>{code} from the proxy</h1>"
    page = f"<html>\n<head>{head}</head>\n<body>{body}</body>\n</html>\n"
    reply.set_body(page.encode(), "text/html; charset=utf-8")


@_fault(WHOLE)
def delay(reply: Reply, seconds: float) -> None:
    """Wait this many seconds before the first byte."""
    reply.delay += seconds


@_fault(WHOLE)
def hang(reply: Reply) -> None:
    """Never answer, and keep the connection open."""
    reply.has_head, reply.pieces, reply.ending = False, [], "hang"


@_fault(WHOLE)
def drop(reply: Reply, how: Literal["fin", "rst"] = "rst") -> None:
    """Close the connection before the first byte: "rst" breaks it off (TCP reset),
    "fin" closes it politely.
    """
    reply.has_head, reply.pieces, reply.ending = False, [], how


@_fault(WHOLE)
def garbage(reply: Reply) -> None:
    """Send bytes that are no HTTP, then close."""
    reply.has_head, reply.ending = False, "fin"
    reply.pieces = [(0.0, b"\x16\x03\x01 this is not HTTP\r\n\r\n")]


@_fault(WHOLE)
def bad_json(reply: Reply) -> None:
    """Damage the JSON: half of a document, or half of the middle event of a stream."""
    if reply.is_stream:
        middle = len(reply.pieces) // 2
        wait, data = reply.pieces[middle]
        reply.pieces[middle] = (wait, data[: len(data) // 2] + b"\n\n")
    else:
        reply.pieces = [(0.0, reply.body[: len(reply.body) // 2])]


# --- faults that count events; the opening chunk of a chat stream, which only names the role, is not counted


def _first_events(reply: Reply, count: int) -> list[Piece]:
    """Return the opening and the first count events; of a document, which has no
    events, half, or nothing for 0.
    """
    if reply.is_stream or len(reply.pieces) > 1:
        return reply.pieces[: reply.openers + count]
    return cut_bytes(reply.pieces, len(reply.body) // 2 if count else 0)


@_fault(EVENTS)
def truncate(reply: Reply, *, after_events: int) -> None:
    """End the stream cleanly after so many events: no `[DONE]`, no error."""
    reply.pieces = _first_events(reply, after_events)


@_fault(EVENTS)
def stream_error(reply: Reply, *, after_events: int = 0) -> None:
    """Report an error inside a 200: after so many events of a stream, or in place of a
    JSON document.
    """
    error = reply.error(500, "the model stopped working while it answered")
    body = to_json({"error": error.get("error", error)})
    if reply.is_stream:
        reply.pieces = [*_first_events(reply, after_events), (0.0, event(body))]
    else:
        reply.set_body(body, "application/json")


@_fault(EVENTS)
def stall(reply: Reply, *, after_events: int) -> None:
    """Send so many events, then nothing more, and keep the connection open."""
    reply.keep_length()
    reply.pieces, reply.ending = _first_events(reply, after_events), "hang"


# --- faults of the bytes --------------------------------------------------------------


def _change_events(reply: Reply, change: Callable[[bytes], bytes]) -> None:
    if reply.is_stream:
        reply.pieces = [(wait, change(data)) for wait, data in reply.pieces]


@_fault(BYTES)
def comments(reply: Reply) -> None:
    """Put a comment line, which servers send to keep a connection alive, before every
    event.
    """
    _change_events(reply, lambda data: b": keep-alive\n\n" + data)


@_fault(BYTES)
def no_space(reply: Reply) -> None:
    """Write `data:` without the optional space after it."""
    _change_events(reply, lambda data: data.replace(b"data: ", b"data:", 1))


@_fault(BYTES)
def crlf(reply: Reply) -> None:
    """End the lines of a stream with CR LF."""
    _change_events(reply, lambda data: data.replace(b"\n", b"\r\n"))


@_fault(END)
def drip(reply: Reply, pieces: int, gap: float) -> None:
    """Send the body in this many pieces, gap seconds before each."""
    body = reply.body
    edges = [number * len(body) // pieces for number in range(pieces + 1)]
    reply.pieces = [(gap, body[start:end]) for start, end in itertools.pairwise(edges)]


@_fault(END)
def slice(reply: Reply, size: int) -> None:
    """Send the body in HTTP chunks of size bytes each, so that a character of several
    bytes is split.
    """
    reply.pieces, reply.is_chunked = slice_pieces(reply.pieces, size), True


@_fault(END)
def bare(reply: Reply) -> None:
    """Leave out the request id and the rate-limit headers."""
    prefixes = ("x-request-id", "openai-", "x-ratelimit-", "x-github-")
    reply.headers = {
        name: text
        for name, text in reply.headers.items()
        if not name.lower().startswith(prefixes)
    }


@_fault(END)
def no_charset(reply: Reply) -> None:
    """Leave the charset out of the Content-Type."""
    if "Content-Type" in reply.headers:
        reply.headers["Content-Type"] = reply.headers["Content-Type"].partition(";")[0]


def _cut_stage(after_bytes: int | None, after_events: int | None, **_: Any) -> int:
    """Events are counted before the bytes are cut anew, bytes after it."""
    if (after_bytes is None) == (after_events is None):
        raise ValueError("cut needs after_bytes or after_events, and only one of them")
    return EVENTS if after_bytes is None else LAST


@_fault(_cut_stage)
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
        reply.pieces = _first_events(reply, after_events)
    else:
        reply.pieces = cut_bytes(reply.pieces, after_bytes)


# --- faults from text -----------------------------------------------------------------


def parse(text: str) -> Fault:
    """Return the fault that text describes, such as `hang`, `status(429,
    retry_after=1)` or `crlf() + slice(3)`.

    Raises ValueError, with the list of the valid names if the name is the trouble.
    """
    try:
        return _build(ast.parse(text.strip(), mode="eval").body)
    except (SyntaxError, TypeError, RecursionError, MemoryError) as error:
        raise ValueError(f"cannot read the fault {text[:200]!r}: {error}") from error


def _build(node: ast.expr) -> Fault:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _build(node.left) + _build(node.right)
    call = node if isinstance(node, ast.Call) else ast.Call(node, [], [])
    if not isinstance(call.func, ast.Name):
        raise ValueError(
            "a fault looks like a call, for example status(503), not "
            f"{ast.unparse(node)}"
        )
    if call.func.id not in NAMES:
        raise ValueError(
            f"unknown fault {call.func.id!r}; the faults are {', '.join(sorted(NAMES))}"
        )
    named = {keyword.arg: _value(keyword.value) for keyword in call.keywords}
    return NAMES[call.func.id](*map(_value, call.args), **named)


def _value(node: ast.expr) -> Any:
    """Return the argument a node stands for; a bare word is a text, so `drop(rst)`
    needs no quotes in a shell.
    """
    return node.id if isinstance(node, ast.Name) else ast.literal_eval(node)
