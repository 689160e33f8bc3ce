"""The faults: each is an action at a point with an amount, and they compose with `+`.

    from mock_server import fault

    fault.status(429, retry_after=1)            # one fault
    fault.delay(0.2) + fault.slice(3)           # two at once
    fault.parse("delay(0.2) + slice(3)")        # the same from text: command line, control endpoint

Every fault prints as the call that makes it, and that is how it stands in the server's records.
Composed faults are applied from the whole reply down to its events and then its bytes; on one level, as written.
"""

import ast
import dataclasses
import json
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from .reply import Reply, cut_bytes, event, retry_after_header, slice_pieces, to_json

How = Literal["fin", "rst"]
WHOLE, EVENTS, BYTES, END = range(4)  # the order in which composed faults are applied


@dataclass(frozen=True)
class Fault:
    """Base of all faults: `apply` changes a reply in place.

    refuses: True if the request is not carried out at all, as a server does that answers 503.
    Otherwise it is carried out, and only the reply suffers.
    """

    stage: ClassVar[int] = WHOLE
    refuses: ClassVar[bool] = False

    def apply(self, reply: Reply) -> None:
        """Change the reply that would have been sent."""

    def __add__(self, other: "Fault") -> "Fault":
        if not isinstance(other, Fault):
            return NotImplemented
        return Composed((*self.parts(), *other.parts()))

    def parts(self) -> "tuple[Fault, ...]":
        """The single faults that this one is made of."""
        return (self,)

    def __str__(self) -> str:
        arguments = []
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            text = json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)
            if not field.kw_only:
                arguments.append(text)
            elif value != field.default:
                arguments.append(f"{field.name}={text}")
        return f"{type(self).__name__}({', '.join(arguments)})"


@dataclass(frozen=True)
class Composed(Fault):
    """Several faults on the same reply."""

    faults: tuple[Fault, ...]

    def apply(self, reply: Reply) -> None:
        for part in sorted(self.faults, key=lambda fault: fault.stage):
            part.apply(reply)

    @property
    def refuses(self) -> bool:
        return any(part.refuses for part in self.faults)

    def parts(self) -> tuple[Fault, ...]:
        return self.faults

    def __str__(self) -> str:
        return " + ".join(str(part) for part in self.faults)


def _check(is_right: bool, sentence: str) -> None:
    if not is_right:
        raise ValueError(sentence)


def _check_count(name: str, value: Any, least: int = 0) -> None:
    is_count = isinstance(value, int) and not isinstance(value, bool) and value >= least
    _check(is_count, f"{name} must be a whole number of at least {least}, not {value!r}")


def _check_seconds(name: str, value: Any) -> None:
    is_seconds = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e6
    _check(is_seconds, f"{name} must be a number of seconds, 0 or more, not {value!r}")


def _check_how(how: str) -> None:
    _check(how in ("fin", "rst"), f'how must be "fin" or "rst", not {how!r}')


# --- faults of the whole reply ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ok(Fault):
    """No fault: the normal reply. Useful as a step between two faults of a script."""


@dataclass(frozen=True)
class status(Fault):
    """Answer with this status code; from 400 on with an error body in the style of the endpoint.

    retry_after: seconds for the Retry-After header, or a text to send as it is; None sends no such header.
    as_date: send those seconds as an HTTP-date.
    body: a dict or list (sent as JSON) or a str (sent as text) in place of the usual body.
    headers: more headers to send, such as {"x-should-retry": "false"}.
    """

    code: int
    retry_after: float | str | None = dataclasses.field(default=None, kw_only=True)
    as_date: bool = dataclasses.field(default=False, kw_only=True)
    body: Any = dataclasses.field(default=None, kw_only=True)
    headers: Any = dataclasses.field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        is_code = isinstance(self.code, int) and 200 <= self.code <= 599
        _check(is_code, f"code must be a status code from 200 to 599, not {self.code!r}")
        if self.retry_after is not None and not isinstance(self.retry_after, str):
            _check_seconds("retry_after", self.retry_after)
        _check(isinstance(self.headers, dict | None), f"headers must be a dict, not {self.headers!r}")

    @property
    def refuses(self) -> bool:
        return self.code >= 400

    def apply(self, reply: Reply) -> None:
        reply.status = self.code
        if isinstance(self.body, str):
            reply.set_body(self.body.encode(), "text/plain; charset=utf-8")
        elif self.body is not None:
            reply.set_json(self.body)
        elif self.code >= 400:
            reply.set_json(reply.error(self.code, f"this reply was scripted to be a {self.code}"))
        if self.code in (204, 205, 304):
            reply.pieces = []
        if self.retry_after is not None:
            reply.headers["Retry-After"] = retry_after_header(self.retry_after, self.as_date)
        reply.headers.update(self.headers or {})


@dataclass(frozen=True)
class quota(Fault):
    """Answer 429 because the account has no money left: waiting does not help."""

    refuses: ClassVar[bool] = True

    def apply(self, reply: Reply) -> None:
        reply.status = 429
        message = "The quota of this account is used up. Check the plan and the billing details."
        body = reply.error(429, message, type="insufficient_quota", code="insufficient_quota")
        reply.set_json(body)


@dataclass(frozen=True)
class html(Fault):
    """Answer with an HTML error page, as a proxy in front of a dead server does."""

    refuses: ClassVar[bool] = True

    code: int = 502

    def apply(self, reply: Reply) -> None:
        reply.status = self.code
        page = f"<html>\n<head><title>{self.code}</title></head>\n<body><h1>{self.code} from the proxy</h1></body>\n</html>\n"
        reply.set_body(page.encode(), "text/html; charset=utf-8")


@dataclass(frozen=True)
class bare(Fault):
    """Leave out the request id and the rate-limit headers."""

    stage: ClassVar[int] = END

    def apply(self, reply: Reply) -> None:
        prefixes = ("x-request-id", "openai-", "x-ratelimit-", "x-github-")
        reply.headers = {name: text for name, text in reply.headers.items() if not name.lower().startswith(prefixes)}


@dataclass(frozen=True)
class no_charset(Fault):
    """Leave the charset out of the Content-Type."""

    stage: ClassVar[int] = END

    def apply(self, reply: Reply) -> None:
        content_type = reply.headers.get("Content-Type", "")
        reply.headers["Content-Type"] = content_type.partition(";")[0]


@dataclass(frozen=True)
class delay(Fault):
    """Wait this many seconds before the first byte."""

    seconds: float

    def __post_init__(self) -> None:
        _check_seconds("seconds", self.seconds)

    def apply(self, reply: Reply) -> None:
        reply.delay += self.seconds


@dataclass(frozen=True)
class hang(Fault):
    """Never answer, and keep the connection open."""

    def apply(self, reply: Reply) -> None:
        reply.has_head, reply.pieces, reply.ending = False, [], "hang"


@dataclass(frozen=True)
class drop(Fault):
    """Close the connection before the first byte: "rst" breaks it off (TCP reset), "fin" closes it politely."""

    how: How = "rst"

    def __post_init__(self) -> None:
        _check_how(self.how)

    def apply(self, reply: Reply) -> None:
        reply.has_head, reply.pieces, reply.ending = False, [], self.how


@dataclass(frozen=True)
class garbage(Fault):
    """Send bytes that are no HTTP, then close."""

    def apply(self, reply: Reply) -> None:
        reply.has_head, reply.ending = False, "fin"
        reply.pieces = [(0.0, b"\x16\x03\x01 this is not HTTP\r\n\r\n")]


@dataclass(frozen=True)
class bad_json(Fault):
    """Damage the JSON: half of a document, or half of the middle event of a stream."""

    def apply(self, reply: Reply) -> None:
        if reply.is_stream:
            middle = len(reply.pieces) // 2
            wait, data = reply.pieces[middle]
            reply.pieces[middle] = (wait, data[: len(data) // 2] + b"\n\n")
        else:
            body = reply.body
            reply.pieces = [(0.0, body[: len(body) // 2])]


# --- faults that count events; the opening chunk of a chat stream, which only names the role, is not counted ---------


@dataclass(frozen=True)
class truncate(Fault):
    """End the stream cleanly after so many events: no `[DONE]`, no error."""

    after_events: int = dataclasses.field(kw_only=True)
    stage: ClassVar[int] = EVENTS

    def __post_init__(self) -> None:
        _check_count("after_events", self.after_events)

    def apply(self, reply: Reply) -> None:
        reply.pieces = reply.pieces[: reply.openers + self.after_events]


@dataclass(frozen=True)
class stream_error(Fault):
    """Report an error inside a 200: after so many events of a stream, or in place of a JSON document."""

    after_events: int = dataclasses.field(default=0, kw_only=True)
    stage: ClassVar[int] = EVENTS

    def __post_init__(self) -> None:
        _check_count("after_events", self.after_events)

    def apply(self, reply: Reply) -> None:
        body = to_json({"error": reply.error(500, "the model stopped working while it answered").get("error")})
        if reply.is_stream:
            reply.pieces = [*reply.pieces[: reply.openers + self.after_events], (0.0, event(body))]
        else:
            reply.set_body(body, "application/json")


@dataclass(frozen=True)
class stall(Fault):
    """Send so many events, then nothing more, and keep the connection open."""

    after_events: int = dataclasses.field(kw_only=True)
    stage: ClassVar[int] = EVENTS

    def __post_init__(self) -> None:
        _check_count("after_events", self.after_events)

    def apply(self, reply: Reply) -> None:
        reply.keep_length()
        reply.pieces, reply.ending = reply.pieces[: reply.openers + self.after_events], "hang"


# --- faults of the bytes ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class comments(Fault):
    """Put a comment line, which servers send to keep a connection alive, before every event."""

    stage: ClassVar[int] = BYTES

    def apply(self, reply: Reply) -> None:
        if reply.is_stream:
            reply.pieces = [(wait, b": keep-alive\n\n" + data) for wait, data in reply.pieces]


@dataclass(frozen=True)
class no_space(Fault):
    """Write `data:` without the optional space after it."""

    stage: ClassVar[int] = BYTES

    def apply(self, reply: Reply) -> None:
        if reply.is_stream:
            reply.pieces = [(wait, data.replace(b"data: ", b"data:", 1)) for wait, data in reply.pieces]


@dataclass(frozen=True)
class crlf(Fault):
    """End the lines of a stream with CR LF."""

    stage: ClassVar[int] = BYTES

    def apply(self, reply: Reply) -> None:
        if reply.is_stream:
            reply.pieces = [(wait, data.replace(b"\n", b"\r\n")) for wait, data in reply.pieces]


@dataclass(frozen=True)
class drip(Fault):
    """Send the body in this many pieces, gap seconds before each."""

    pieces: int
    gap: float

    stage: ClassVar[int] = END

    def __post_init__(self) -> None:
        _check_count("pieces", self.pieces, least=1)
        _check_seconds("gap", self.gap)

    def apply(self, reply: Reply) -> None:
        body = reply.body
        edges = [number * len(body) // self.pieces for number in range(self.pieces + 1)]
        parts = [body[start:end] for start, end in zip(edges, edges[1:], strict=False)]
        reply.pieces = [(self.gap, part) for part in parts]


@dataclass(frozen=True)
class slice(Fault):
    """Send the body in HTTP chunks of size bytes each, so that a character of several bytes is split."""

    size: int
    stage: ClassVar[int] = END

    def __post_init__(self) -> None:
        _check_count("size", self.size, least=1)

    def apply(self, reply: Reply) -> None:
        reply.pieces, reply.is_chunked = slice_pieces(reply.pieces, self.size), True


@dataclass(frozen=True)
class cut(Fault):
    """Close the connection in the middle of the body, after so many bytes or so many events."""

    after_bytes: int | None = dataclasses.field(default=None, kw_only=True)
    after_events: int | None = dataclasses.field(default=None, kw_only=True)
    how: How = dataclasses.field(default="fin", kw_only=True)

    def __post_init__(self) -> None:
        is_one = (self.after_bytes is None) != (self.after_events is None)
        _check(is_one, "cut needs after_bytes or after_events, and only one of them")
        _check_count("the amount", self.after_events if self.after_bytes is None else self.after_bytes)
        _check_how(self.how)

    @property
    def stage(self) -> int:  # events are counted before the bytes are cut anew, bytes after it
        return EVENTS if self.after_bytes is None else END + 1

    def apply(self, reply: Reply) -> None:
        reply.keep_length()
        reply.ending = self.how
        if self.after_bytes is None:
            reply.pieces = reply.pieces[: reply.openers + self.after_events]
        else:
            reply.pieces = cut_bytes(reply.pieces, self.after_bytes)


# --- faults from text ------------------------------------------------------------------------------------------------

NAMES = {fault.__name__: fault for fault in Fault.__subclasses__() if fault is not Composed}


def parse(text: str) -> Fault:
    """Return the fault that text describes, such as `hang`, `status(429, retry_after=1)` or `crlf() + slice(3)`.

    Raises ValueError, with the list of the valid names if the name is the trouble.
    """
    try:
        return _build(ast.parse(text.strip(), mode="eval").body)
    except (SyntaxError, TypeError, RecursionError, MemoryError) as error:
        raise ValueError(f"cannot read the fault {text!r}: {error}") from error


def _build(node: ast.expr) -> Fault:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _build(node.left) + _build(node.right)
    call = node if isinstance(node, ast.Call) else ast.Call(node, [], [])
    if not isinstance(call.func, ast.Name):
        raise ValueError(f"a fault looks like a call, for example status(503), not {ast.unparse(node)}")
    if call.func.id not in NAMES:
        raise ValueError(f"unknown fault {call.func.id!r}; the faults are {', '.join(sorted(NAMES))}")
    named = {keyword.arg: _value(keyword.value) for keyword in call.keywords if keyword.arg}
    return NAMES[call.func.id](*map(_value, call.args), **named)


def _value(node: ast.expr) -> Any:
    """Return the argument that node stands for; a bare word is a text, so that `drop(rst)` needs no quotes in a shell."""
    return node.id if isinstance(node, ast.Name) else ast.literal_eval(node)
