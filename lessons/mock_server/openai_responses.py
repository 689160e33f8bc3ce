"""OpenAI's dialect: responses, plain and streamed.

The shapes follow OpenAI's published API description and the sources of its Python SDK;
the error in a stream is as the service really sends it, with its words inside of
`error` (openai-dotnet, issue 881). Nothing is stored, so a conversation is sent whole.
"""

from typing import Any

from . import openai_shared
from .call import Call
from .dialect import Dialect
from .mock_model import (
    Answer,
    BadSchema,
    Format,
    Question,
    ask,
    content_text,
    words,
)
from .openai_responses_check import check_response
from .openai_shared import (
    CREATED,
    bad,
    check_limit,
    tool_of,
    unknown_model,
)
from .reply import Piece, Reply, digest, event, json_reply, stream_reply, to_json


def error_event(body: dict[str, Any], number: int) -> bytes:
    """Return an error body as an event of a stream, after so many others."""
    wrong = {"type": "error", "sequence_number": number, "error": body["error"]}
    return event(to_json(wrong), "error")


# Where an item says what it says; a type that is not here says nothing to this model.
SAID = {
    "message": "content",
    "function_call": "arguments",
    "function_call_output": "output",
}

# The events that bring an answer's content begin so.
CONTENT = tuple(f"response.{one}" for one in ("output", "content", "function"))

# --- the question ---------------------------------------------------------------------


def _items(body: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the input as pairs: who speaks (a role, or the type of an item that has
    none), and what is said.
    """
    items = body["input"]
    if isinstance(items, str):
        return [("user", items)]
    found = []
    for item in items:
        kind = item.get("type", "message")
        speaker = item["role"] if kind == "message" else kind
        said = SAID.get(kind)
        found.append((speaker, content_text(item[said]) if said else ""))
    return found


def question_of(call: Call) -> Question:
    """Return what the model is asked."""
    body = call.json
    items, choice = _items(body), body.get("tool_choice") or "auto"
    is_named = isinstance(choice, dict)
    speaker, last = items[-1]
    return Question(
        said=[said for who, said in items if who == "user"],
        result=last if speaker == "function_call_output" else None,
        tools=[tool_of(tool) for tool in body.get("tools") or []],
        choice="required" if is_named else choice,
        named=choice["name"] if is_named else None,
        format=_format_of((body.get("text") or {}).get("format") or {}),
        text=call.text,
    )


def _format_of(wanted: dict[str, Any]) -> Format | None:
    place = "text.format.schema"
    if wanted.get("type") == "json_schema":
        return Format(place, place, schema=wanted["schema"])
    is_json = wanted.get("type") == "json_object"
    return Format(place, place, is_any=True) if is_json else None


def _count_prompt(body: dict[str, Any]) -> int:
    """Return the number of tokens that were sent to the model."""
    texts = [body.get("instructions") or "", *(said for _, said in _items(body))]
    return sum(len(words(text)) for text in texts)


# --- the answer -----------------------------------------------------------------------


def respond(call: Call) -> Reply:
    """Answer POST /v1/responses."""
    if wrong := check_response(call):
        return wrong
    body = call.json
    if not call.state.has_model(body["model"]):
        return unknown_model(body["model"])
    try:
        answer = ask(question_of(call))
    except BadSchema as error:
        return bad(error.param, str(error), "invalid_value")
    tokens, prompt = words(answer.text), _count_prompt(body)
    most = body.get("max_output_tokens") or len(tokens)
    is_whole, tokens = most >= len(tokens), tokens[:most]
    if limited := check_limit(call, prompt + len(tokens)):
        return limited
    item = _item(call, answer, "".join(tokens), is_whole)
    usage = {
        "input_tokens": prompt,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": len(tokens),
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": prompt + len(tokens),
    }
    response = _response(call) | {
        "status": item["status"],
        "completed_at": CREATED if is_whole else None,
        "incomplete_details": None if is_whole else {"reason": "max_output_tokens"},
        "output": [item],
        "usage": usage,
    }
    seconds = call.state.token_delay
    if body.get("stream"):
        events = response_events(call, response, tokens, seconds)
        return stream_reply(events, openers=3 if answer.tool else 4)
    reply = json_reply(response)
    reply.delay = seconds * len(tokens)
    return reply


def _response(call: Call) -> dict[str, Any]:
    """Return the response as it is before the model has begun."""
    body, temperature = call.json, call.json.get("temperature")
    text = {"format": {"type": "text"}, "verbosity": "medium"}
    return {
        "id": "resp_" + digest(call.identity, size=12),
        "object": "response",
        "created_at": CREATED,
        "status": "in_progress",
        "background": False,
        "completed_at": None,
        "error": None,
        "incomplete_details": None,
        "instructions": body.get("instructions"),
        "max_output_tokens": body.get("max_output_tokens"),
        "max_tool_calls": None,
        "metadata": body.get("metadata") or {},
        "model": body["model"],
        "output": [],
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "service_tier": "default",
        "temperature": 1.0 if temperature is None else temperature,
        "text": text | (body.get("text") or {}),
        "tool_choice": body.get("tool_choice") or "auto",
        "tools": body.get("tools") or [],
        "top_logprobs": 0,
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": None,
        "user": None,
    }


def _item(call: Call, answer: Answer, text: str, is_whole: bool) -> dict[str, Any]:
    """Return the item of output that is the answer."""
    status = "completed" if is_whole else "incomplete"
    if answer.tool is None:
        return {
            "id": "msg_" + digest(call.identity, "item", size=12),
            "type": "message",
            "status": status,
            "role": "assistant",
            "content": [_part(text)],
        }
    return {
        "id": "fc_" + digest(call.identity, "item", size=12),
        "type": "function_call",
        "status": status,
        "call_id": "call_" + digest(call.identity, "call", size=12),
        "name": answer.tool,
        "arguments": text,
    }


def _part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def response_events(
    call: Call, response: dict[str, Any], tokens: list[str], seconds: float
) -> list[Piece]:
    """Return the events of a streamed response, of one item."""
    pieces: list[Piece] = []
    (item,) = response["output"]
    in_item = {"item_id": item["id"], "output_index": 0}

    def add(kind: str, wait: float = 0.0, **more: Any) -> None:
        value = {"type": kind, "sequence_number": len(pieces), **more}
        pieces.append((wait, event(to_json(value), kind)))

    def add_call() -> None:
        kind = "response.function_call_arguments"
        for token in tokens:
            add(f"{kind}.delta", seconds, **in_item, delta=token)
        add(f"{kind}.done", **in_item, name=item["name"], arguments=item["arguments"])

    def add_text() -> None:
        in_part = in_item | {"content_index": 0}
        add("response.content_part.added", **in_part, part=_part(""))
        for token in tokens:
            kind = "response.output_text.delta"
            add(kind, seconds, **in_part, delta=token, logprobs=[])
        (part,) = item["content"]
        add("response.output_text.done", **in_part, text=part["text"], logprobs=[])
        add("response.content_part.done", **in_part, part=part)

    begun, is_call = _response(call), item["type"] == "function_call"
    empty = {"arguments": ""} if is_call else {"content": []}
    add("response.created", response=begun)
    add("response.in_progress", response=begun)
    start = item | empty | {"status": "in_progress"}
    add("response.output_item.added", output_index=0, item=start)
    if is_call:
        add_call()
    else:
        add_text()
    add("response.output_item.done", output_index=0, item=item)
    add(f"response.{response['status']}", response=response)
    return pieces


# --- the forms that faults ask for ----------------------------------------------------


def _end(value: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Change how a response has ended, in a document or in a stream's last event."""
    response = value.get("response", value)
    if response.get("status") in ("completed", "incomplete"):
        response |= changes
        if "response" in value:
            value["type"] = f"response.{response['status']}"
    return value


def without_content(value: dict[str, Any]) -> dict[str, Any] | None:
    if value.get("type", "").startswith(CONTENT):
        return None
    return _end(value, status="completed", incomplete_details=None, output=[])


def with_reason(value: dict[str, Any], reason: str | None) -> dict[str, Any]:
    details = None if reason is None else {"reason": reason}
    return _end(value, status="incomplete", incomplete_details=details)


DIALECT = Dialect(
    routes=(("POST", "/v1/responses", respond),),
    error=openai_shared.error_body,
    error_headers=openai_shared.error_headers,
    error_event=error_event,
    forms={"no_content": without_content, "finish": with_reason},
    check=openai_shared.check_key,
    headers=openai_shared.headers,
)
