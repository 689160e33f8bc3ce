"""Anthropic's dialect: messages, plain and streamed.

The shapes follow Anthropic's API reference (Messages, Errors, Rate limits, Streaming)
and the sources of its Python SDK. As in the other dialects, identifiers, texts and
counts are pure functions of the request.
"""

import json
import math
from datetime import UTC, datetime, timedelta
from typing import Any

from .anthropic_check import blocks_of, find_wrong
from .call import Call
from .dialect import Dialect, bearer
from .mock_model import (
    Answer,
    BadSchema,
    Format,
    Question,
    Tool,
    ask,
    content_text,
    cut,
    words,
)
from .reply import (
    Piece,
    Reply,
    digest,
    event,
    json_reply,
    retry_after_header,
    stream_reply,
    to_json,
)

# The type of an error by its status; any other 4xx is a wrong request, and any other
# 5xx an error of the service.
ERRORS = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
CHOICES = {"auto": "auto", "any": "required", "tool": "required", "none": "none"}

# --- what all replies have in common --------------------------------------------------


def error_body(
    status: int,
    message: str,
    type: str | None = None,
    request_id: str | None = None,
    **_: Any,
) -> dict[str, Any]:
    """Return Anthropic's error object; a type that is not given follows from the
    status. It has no place for more.
    """
    usual = "api_error" if status >= 500 else "invalid_request_error"
    error = {"type": type or ERRORS.get(status, usual), "message": message}
    return {"type": "error", "error": error, "request_id": request_id}


def error_event(body: dict[str, Any], number: int) -> bytes:
    """Return an error body as an event of a stream."""
    return event(to_json(body), "error")


def about(call: Call) -> dict[str, Any]:
    """Return what an error says of the call it answers."""
    return {"request_id": call.request_id}


def key(headers: Any) -> str:
    """Return the key of a request: its x-api-key, or else its bearer token."""
    return headers.get("x-api-key", "").strip() or bearer(headers)


def check_key(call: Call) -> Reply | None:
    """Return the 401 for a missing or wrong key, or None if the key is right."""
    if not call.key:
        return _fail(call, 401, "No API key was sent. Send the header x-api-key")
    if call.key != call.state.api_key:
        return _fail(call, 401, "The x-api-key is not valid")
    return None


def headers(call: Call, reply: Reply) -> dict[str, str]:
    """Return the headers of every reply; a reset is the time at which the bucket is
    full again (RFC 3339).
    """
    found, prefix = {"request-id": call.request_id}, "anthropic-ratelimit"
    now = datetime.now(UTC)
    for kind, bucket in call.state.limiter.buckets(call.key).items():
        full = now + timedelta(seconds=math.ceil(bucket.reset))
        found[f"{prefix}-{kind}-limit"] = str(bucket.limit)
        found[f"{prefix}-{kind}-remaining"] = str(bucket.remaining)
        found[f"{prefix}-{kind}-reset"] = f"{full:%Y-%m-%dT%H:%M:%SZ}"
    return found


def _fail(call: Call, status: int, message: str) -> Reply:
    return DIALECT.fail(status, message, **about(call))


def check_limit(call: Call, tokens: int) -> Reply | None:
    """Charge the key with a request of so many tokens; return the 429 if that is more
    than it has.
    """
    short = call.state.limiter.take(call.key, tokens)
    if not short:
        return None
    kind, wait = short
    if wait == math.inf:
        message = f"This request needs {tokens} {kind}, more than a minute's limit"
        return _fail(call, 429, message)
    message = f"This key has used up its limit of {kind} per minute"
    reply = _fail(call, 429, f"{message}; wait {wait:.3f} s")
    reply.headers["retry-after"] = retry_after_header(wait)
    reply.is_limited = True
    return reply


# --- the question ---------------------------------------------------------------------


def _result(content: Any) -> str | None:
    """Return what the tools have answered in a message that says nothing besides; None
    if it is not such a message.
    """
    blocks = blocks_of(content)
    if not blocks or any(block["type"] != "tool_result" for block in blocks):
        return None
    return " ".join(content_text(block.get("content")) for block in blocks)


def question_of(call: Call) -> Question:
    """Return what the model is asked."""
    body = call.json
    messages, choice = body["messages"], body.get("tool_choice") or {"type": "auto"}
    wanted = (body.get("output_config") or {}).get("format")
    place = "output_config.format.schema"
    return Question(
        said=[
            content_text(message["content"])
            for message in messages
            if message["role"] == "user" and _result(message["content"]) is None
        ],
        result=_result(messages[-1]["content"]),
        tools=[
            Tool(tool["name"], str(tool.get("description") or ""), tool["input_schema"])
            for tool in body.get("tools") or []
        ],
        choice=CHOICES[choice["type"]],
        named=choice["name"] if choice["type"] == "tool" else None,
        format=Format(place, place, schema=wanted["schema"]) if wanted else None,
        text=call.text,
    )


def _count_prompt(body: dict[str, Any]) -> int:
    """Return the number of tokens that were sent to the model."""
    contents = [message["content"] for message in body["messages"]]
    texts = [content_text(content) for content in [body.get("system"), *contents]]
    texts += [
        content_text(block.get("content"))
        for content in contents
        for block in blocks_of(content)
        if block["type"] == "tool_result"
    ]
    return sum(len(words(text)) for text in texts)


# --- the answer -----------------------------------------------------------------------


def _check(call: Call, body: Any) -> Reply | None:
    """Return the reply to a question that is wrong, or None."""
    if wrong := find_wrong(body, call.headers):
        return _fail(call, 400, wrong)
    if not call.state.has_model(body["model"]):
        models = ", ".join(call.state.models())
        message = f"model: there is no {body['model']!r}, only {models}"
        return _fail(call, 404, message)
    return None


def count_tokens(call: Call) -> Reply:
    """Answer POST /v1/messages/count_tokens: a question without a max_tokens."""
    body = call.json
    if isinstance(body, dict):
        body = {"max_tokens": 1} | body
    if wrong := _check(call, body):
        return wrong
    return json_reply({"input_tokens": _count_prompt(body)})


def messages(call: Call) -> Reply:
    """Answer POST /v1/messages."""
    body = call.json
    if wrong := _check(call, body):
        return wrong
    try:
        answer = ask(question_of(call))
    except BadSchema as error:
        return _fail(call, 400, f"{error.param}: {error}")
    stops = [] if answer.tool else body.get("stop_sequences") or []
    text, stop = cut(answer.text, stops)
    tokens = words(text)
    reason = "stop_sequence" if stop else "tool_use" if answer.tool else "end_turn"
    if len(tokens) > body["max_tokens"]:
        tokens, reason, stop = tokens[: body["max_tokens"]], "max_tokens", None
    prompt = _count_prompt(body)
    if limited := check_limit(call, prompt + len(tokens)):
        return limited
    usage = {
        "input_tokens": prompt,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": len(tokens),
        "service_tier": "standard",
    }
    block = _block(call, answer, tokens)
    message = {
        "id": "msg_" + digest(call.identity, size=12),
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": [block],
        "stop_reason": reason,
        "stop_sequence": stop,
        "usage": usage,
    }
    seconds = call.state.token_delay
    if body.get("stream"):
        return stream_reply(message_events(message, tokens, seconds), openers=3)
    reply = json_reply(message)
    reply.delay = seconds * len(tokens)
    return reply


def _block(call: Call, answer: Answer, tokens: list[str]) -> dict[str, Any]:
    """Return the content block of an answer. If max_tokens has cut the arguments of a
    tool, its input is empty, because half of them is not JSON.
    """
    text = "".join(tokens)
    if answer.tool is None:
        return {"type": "text", "text": text}
    return {
        "type": "tool_use",
        "id": "toolu_" + digest(call.identity, "tool", size=12),
        "name": answer.tool,
        "input": json.loads(text) if text == answer.text else {},
    }


def message_events(
    message: dict[str, Any], tokens: list[str], seconds: float
) -> list[Piece]:
    """Return the events of a streamed message, of one content block."""

    def piece(kind: str, wait: float = 0.0, **more: Any) -> Piece:
        return wait, event(to_json({"type": kind, **more}), kind)

    def delta(token: str) -> dict[str, Any]:
        if block["type"] == "tool_use":
            return {"type": "input_json_delta", "partial_json": token}
        return {"type": "text_delta", "text": token}

    (block,) = message["content"]
    usage = message["usage"] | {"output_tokens": min(1, len(tokens))}
    nothing = {"content": [], "stop_reason": None, "stop_sequence": None}
    empty = {"input": {}} if block["type"] == "tool_use" else {"text": ""}
    end = {name: message[name] for name in ("stop_reason", "stop_sequence")}
    return [
        piece("message_start", message=message | nothing | {"usage": usage}),
        piece("content_block_start", index=0, content_block=block | empty),
        piece("ping"),
        *(
            piece("content_block_delta", seconds, index=0, delta=delta(token))
            for token in tokens
        ),
        piece("content_block_stop", index=0),
        piece("message_delta", delta=end, usage={"output_tokens": len(tokens)}),
        piece("message_stop"),
    ]


# --- the forms that faults ask for ----------------------------------------------------


def without_content(value: dict[str, Any]) -> dict[str, Any] | None:
    if value.get("type", "").startswith("content_block"):
        return None
    if value.get("type") == "message":
        value["content"] = []
    return with_stop(value, "end_turn")


def with_stop(value: dict[str, Any], reason: str | None) -> dict[str, Any]:
    for one in (value, value.get("delta", {})):
        if one.get("stop_reason") is not None:  # in a stream, one event has it
            one["stop_reason"], one["stop_sequence"] = reason, None
    return value


DIALECT = Dialect(
    routes=(
        ("POST", "/v1/messages", messages),
        ("POST", "/v1/messages/count_tokens", count_tokens),
    ),
    prefix="/v1/messages",
    error=error_body,
    error_event=error_event,
    quota=(402, ERRORS[402]),
    forms={"no_content": without_content, "finish": with_stop},
    about=about,
    key=key,
    check=check_key,
    headers=headers,
)
