"""The faults that clients of OpenAI-compatible servers meet: other forms of the same
API, each of which some server sends.

They belong to fault.py, which offers them with all others.
"""

import json
from collections.abc import Callable
from typing import Any

from . import step
from .reply import DONE, Reply, event, to_json
from .step import BYTES, CONTENT, END, EVENTS, KEYS, WHOLE, makes_fault

# How an error inside a 200 may be written; see stream_error.
SHAPES = ("error", "text", "flat", "detail", "choice", "finish", "event")

# --- faults of the content: what stands in the JSON of a document or of each event ----


def _type(value: Any) -> bytes:
    kind = value.get("type") if isinstance(value, dict) else None
    return kind.encode() if isinstance(kind, str) else b""


def _change_json(reply: Reply, change: Callable[[Any], Any]) -> None:
    """Replace the JSON value of a document, or of each event, by what change makes of
    it; for None, an event is left out.

    What is not JSON, such as `[DONE]` or a damaged event, stays as it is.
    """

    def changed(data: bytes) -> bytes | None:
        start = data.find(b"{") if reply.is_stream else 0
        end = b"\n\n" if reply.is_stream else b""
        try:
            value = json.loads(data[start:])
            name = _type(value)
            value = change(value)
        except (ValueError, RecursionError):
            return data
        if value is None:
            return None
        # Where events have names, that is their type once more.
        head = data[:start].replace(name, _type(value) or name)
        return head + to_json(value) + end

    if reply.is_stream or len(reply.pieces) == 1:
        changes = [(wait, changed(data)) for wait, data in reply.pieces]
        opening = changes[: reply.openers]
        reply.openers = sum(data is not None for _, data in opening)
        reply.pieces = [(wait, data) for wait, data in changes if data is not None]


def _change_form(reply: Reply, name: str, *amounts: Any) -> None:
    """Give the answer of a model the form that the fault of this name asks for; where
    the service has no such form, answer that instead.
    """
    if reply.forms and name in reply.forms:
        form = reply.forms[name]
        _change_json(reply, lambda value: form(value, *amounts))
    elif reply.forms is not None and reply.status == 200:
        reply.set_status(501)
        message = f"no answer of this service can have the form of the fault {name}"
        reply.set_json(reply.error(501, message))


@makes_fault(CONTENT)
def parts(reply: Reply) -> None:
    """Send the content of a chat completion as a list of parts, `[{"type": "text",
    "text": …}]`, in messages and in deltas. Other services have no such form, and
    answer 501.
    """
    _change_form(reply, "parts")


@makes_fault(CONTENT)
def no_content(reply: Reply) -> None:
    """Send an answer without content that says it has ended as usual: null in a chat
    completion, an empty list in a response or a message.
    """
    _change_form(reply, "no_content")


@makes_fault(CONTENT, reason=step.TEXT_OR_NONE)
def finish(reply: Reply, reason: str | None) -> None:
    """Send another finish_reason in a chat completion, such as "eos_token", another
    stop_reason in a message, or the reason why a response is incomplete; None for null.
    """
    _change_form(reply, "finish", reason)


@makes_fault(KEYS, name=step.KEY)
def omit(reply: Reply, name: str) -> None:
    """Leave a key out, such as "usage" or "finish_reason", wherever it stands in the
    reply, in an error too.
    """

    def change(value: Any) -> Any:
        if isinstance(value, dict):
            value.pop(name, None)
        for inner in value.values() if isinstance(value, dict) else value:
            if isinstance(inner, dict | list):
                change(inner)
        return value

    _change_json(reply, lambda value: change([value])[0])


@makes_fault(
    EVENTS,
    after_events=step.count(0, 10**9),
    shape=step.one_of(*SHAPES),
    code=step.TEXT_OR_COUNT,
    type=step.TEXT,
    done=step.SWITCH,
)
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
        "error": as the endpoint says it; at OpenAI's chat completions
            `{"error": {"message": …, "type": …, "param": …, "code": …}}`
        "text": `{"error": "…"}`
        "flat": `{"object": "error", "message": …, "code": …}`
        "detail": `{"detail": "…"}`
        "choice": a choice with a key `error`; the document of a chat completion keeps
            everything else, and other services answer 501
        "finish": the same with the finish_reason "error" and no word of explanation
        "event": `event: error` before the data; a document is like "flat"
    code, type: what the error says there; None for what the endpoint says of a 500.
    done: whether a stream ends with `[DONE]` after the error.
    """
    given = {"type": type, "code": code}
    given = {name: value for name, value in given.items() if value is not None}
    body = reply.error(500, "the model stopped working while it answered", **given)
    error = body.get("error", body)
    message = error["message"]
    wrong = {"error": error, "finish_reason": None}
    if shape == "finish":
        wrong = {"finish_reason": "error"}
    in_choice = {"choices": [{"index": 0, "delta": {}, **wrong}]}
    flat = {"object": "error", "message": message, "code": 500, **given}
    values = {
        "error": body if "error" in body else {"error": body},
        "text": {"error": message},
        "flat": flat,
        "detail": {"detail": message},
        "choice": in_choice,
        "finish": in_choice,
        "event": {"message": message, **given} if reply.is_stream else flat,
    }
    if reply.is_stream:
        sent = reply.first_events(after_events)
        if shape == "error":
            last = reply.error_event(body, len(sent))
        else:
            name = "error" if shape == "event" else ""
            last = event(to_json(values[shape]), name)
        reply.pieces = [*sent, (0.0, last), *([(0.0, DONE)] if done else [])]
    elif shape in ("choice", "finish"):
        _change_form(reply, "stream_error", wrong)
    else:
        reply.set_json(values[shape])


@makes_fault(WHOLE)
def only_done(reply: Reply) -> None:
    """Send a stream that is `[DONE]` alone, without any event before it."""
    if reply.is_stream:
        reply.pieces, reply.openers = [(0.0, DONE)], 0


@makes_fault(BYTES)
def blank_data(reply: Reply) -> None:
    """Put an empty event, `data:` and nothing else, before every event: some servers
    keep a connection alive in this way.
    """
    reply.change_events(lambda data: b"data:\n\n" + data)


@makes_fault(END, text=step.TEXT_OR_NONE)
def content_type(reply: Reply, text: str | None) -> None:
    """Send this Content-Type, right or wrong; None for no such header."""
    if text is None:
        reply.headers.pop("Content-Type", None)
    else:
        reply.headers["Content-Type"] = text
