"""The faults: each is an action at a point with an amount, and they compose with `+`.

    from mock_server import fault

    fault.status(429, retry_after=1)            # one fault
    fault.delay(0.2) + fault.slice(3)           # two at once
    fault.parse("delay(0.2) + slice(3)")        # the same from text: command line,
    control endpoint

Every fault prints as the call that makes it, and that is how it stands in the server's
records. Composed faults are applied from the content, over the whole reply, down to its
events and then its bytes; on one level, as written. A wrong amount is a ValueError
where the fault is made.
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
    DONE,
    Piece,
    Reply,
    cut_bytes,
    event,
    retry_after_header,
    slice_pieces,
    to_json,
)

# The order in which composed faults are applied.
CONTENT, WHOLE, EVENTS, KEYS, BYTES, END, LAST = range(7)
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


def _is_header_text(value: Any) -> bool:
    return isinstance(value, str) and value.isprintable()


# How an error inside a 200 may be written; see stream_error.
SHAPES = ("error", "text", "flat", "detail", "choice", "finish", "event")

# For each name of an argument: what it must be, as a function and in words.
# A name that means something else in one fault has an entry of its own there.
_CHECKS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "code": (
        lambda value: _is_count(value, 200) and value <= 999,
        "a status code from 200 to 999",
    ),
    "stream_error.code": (
        lambda value: _is_count(value) or _is_header_text(value),
        "a text or a whole number",
    ),
    "type": (_is_header_text, "a text"),
    "shape": (lambda value: value in SHAPES, f"one of {', '.join(SHAPES)}"),
    "done": (lambda value: isinstance(value, bool), "True or False"),
    "reason": (
        lambda value: value is None or _is_header_text(value),
        "a text, or None",
    ),
    "name": (lambda value: isinstance(value, str) and value != "", "the name of a key"),
    "text": (
        lambda value: value is None or _is_header_text(value),
        "a text, or None",
    ),
    "retry_after": (
        lambda value: is_seconds(value) or _is_header_text(value),
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
                own_check = f"{change.__name__}.{name}"
                is_right, wanted = _CHECKS.get(own_check) or _CHECKS[name]
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
    endpoint. Real servers also send codes that HTTP does not know, up to 999.

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


@_fault(WHOLE)
def only_done(reply: Reply) -> None:
    """Send a stream that is `[DONE]` alone, without any event before it."""
    if reply.is_stream:
        reply.pieces, reply.openers = [(0.0, DONE)], 0


# --- faults of the content: what stands in the JSON of a document or of each event ----


def _change_json(reply: Reply, change: Callable[[Any], None]) -> None:
    """Let change work on the JSON value of a document, or on that of each event.

    What is not JSON, such as `[DONE]` or a damaged event, stays as it is.
    """

    def changed(data: bytes) -> bytes:
        start = data.find(b"{") if reply.is_stream else 0
        end = b"\n\n" if reply.is_stream else b""
        try:
            value = json.loads(data[start:])
            change(value)
            return data[:start] + to_json(value) + end
        except (ValueError, RecursionError):
            return data

    if reply.is_stream or len(reply.pieces) == 1:
        reply.pieces = [(wait, changed(data)) for wait, data in reply.pieces]


def _change_choices(reply: Reply, change: Callable[[dict[str, Any]], None]) -> None:
    """Let change work on each choice of a chat completion, or of each of its chunks."""

    def change_all(value: Any) -> None:
        choices = value.get("choices") if isinstance(value, dict) else None
        for choice in choices if isinstance(choices, list) else []:
            if isinstance(choice, dict):
                change(choice)

    _change_json(reply, change_all)


def _change_content(choice: dict[str, Any], change: Callable[[str], Any]) -> None:
    """Replace the content of a choice's message or delta, if it has one."""
    message = choice.get("message") or choice.get("delta") or {}
    if isinstance(message.get("content"), str):
        message["content"] = change(message["content"])


def _change_finish_reason(choice: dict[str, Any], reason: str | None) -> None:
    """Replace the finish_reason where there is one: only the last chunk has one."""
    if choice.get("finish_reason") is not None:
        choice["finish_reason"] = reason


@_fault(CONTENT)
def parts(reply: Reply) -> None:
    """Send the content as a list of parts, `[{"type": "text", "text": …}]`, in messages
    and in deltas.
    """

    def change(choice: dict[str, Any]) -> None:
        _change_content(choice, lambda text: [{"type": "text", "text": text}])

    _change_choices(reply, change)


@_fault(CONTENT)
def no_content(reply: Reply) -> None:
    """Send null as the content, and "stop" as the finish_reason."""

    def change(choice: dict[str, Any]) -> None:
        _change_content(choice, lambda text: None)
        _change_finish_reason(choice, "stop")

    _change_choices(reply, change)


@_fault(CONTENT)
def finish(reply: Reply, reason: str | None) -> None:
    """Send another finish_reason, such as "eos_token"; None for null."""
    _change_choices(reply, lambda choice: _change_finish_reason(choice, reason))


@_fault(KEYS)
def omit(reply: Reply, name: str) -> None:
    """Leave a key out, such as "usage" or "finish_reason", wherever it stands in the
    reply, in an error too.
    """

    def change(value: Any) -> None:
        if isinstance(value, dict):
            value.pop(name, None)
        for inner in value.values() if isinstance(value, dict) else value:
            if isinstance(inner, dict | list):
                change(inner)

    _change_json(reply, lambda value: change([value]))


# --- faults that count events ---------------------------------------------------------
# The opening chunk of a chat stream, which only names the role, is not counted.


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
def stream_error(
    reply: Reply,
    *,
    after_events: int = 0,
    shape: str = "error",
    code: str | int | None = None,
    type: str | None = None,
    done: bool = False,
) -> None:
    """Report an error inside a 200: after so many events of a stream, or in place of a
    JSON document.

    shape: how it is written; compatible servers have many habits:
        "error": `{"error": {"message": …, "type": …, "param": …, "code": …}}`
        "text": `{"error": "…"}`
        "flat": `{"object": "error", "message": …, "code": …}`
        "detail": `{"detail": "…"}`
        "choice": a choice with a key `error`; a document keeps everything else
        "finish": the finish_reason "error" without a word of explanation
        "event": `event: error` before the data; a document is like "flat"
    code, type: what the error says there; None for what the endpoint says of a 500.
    done: whether a stream ends with `[DONE]` after the error.
    """
    given = {"type": type, "code": code}
    given = {name: value for name, value in given.items() if value is not None}
    body = reply.error(500, "the model stopped working while it answered", **given)
    error = body.get("error", body)
    message = error["message"]
    if shape == "choice":
        wrong = {"error": error, "finish_reason": None}
    else:
        wrong = {"finish_reason": "error"}
    in_choice = {"choices": [{"index": 0, "delta": {}, **wrong}]}
    flat = {"object": "error", "message": message, "code": 500, **given}
    values = {
        "error": {"error": error},
        "text": {"error": message},
        "flat": flat,
        "detail": {"detail": message},
        "choice": in_choice,
        "finish": in_choice,
        "event": {"message": message, **given} if reply.is_stream else flat,
    }
    if reply.is_stream:
        line = b"event: error\n" if shape == "event" else b""
        last = [line + event(to_json(values[shape]))] + [DONE] * done
        reply.pieces = _first_events(reply, after_events) + [
            (0.0, data) for data in last
        ]
    elif values[shape] is in_choice:
        _change_choices(reply, lambda choice: choice.update(wrong))
    else:
        reply.set_json(values[shape])


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
def blank_data(reply: Reply) -> None:
    """Put an empty event, `data:` and nothing else, before every event: some servers
    keep a connection alive in this way.
    """
    _change_events(reply, lambda data: b"data:\n\n" + data)


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


@_fault(END)
def content_type(reply: Reply, text: str | None) -> None:
    """Send this Content-Type, right or wrong; None for no such header."""
    if text is None:
        reply.headers.pop("Content-Type", None)
    else:
        reply.headers["Content-Type"] = text


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
