"""OpenAI's dialect: chat completions, plain and streamed, and the list of models.

Identifiers, texts and counts are pure functions of the request, so every run gives the
same answer. The shapes follow OpenAI's published API description and the sources of its
Python SDK.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from . import openai_shared
from .call import Call
from .dialect import Dialect
from .mock_model import BadSchema, Format, Question, ask, content_text, cut, words
from .openai_check import check_chat, stops
from .openai_shared import (
    CREATED,
    bad,
    check_limit,
    tool_of,
    unknown_model,
)
from .reply import DONE, Piece, Reply, digest, event, json_reply, stream_reply, to_json


class Choice(NamedTuple):
    """One answer of the model, and the finish_reason.

    tool: the name of the tool to be called; then the tokens are its arguments.
    """

    tokens: list[str]
    reason: str
    tool: str | None = None


def _texts(messages: list[dict[str, Any]], *roles: str) -> list[str]:
    return [
        content_text(message.get("content"))
        for message in messages
        if message["role"] in roles
    ]


def question_of(call: Call) -> Question:
    """Return what the model is asked."""
    body = call.json
    messages, choice = body["messages"], body.get("tool_choice") or "auto"
    is_named, last = isinstance(choice, dict), messages[-1]
    return Question(
        said=_texts(messages, "user"),
        result=content_text(last["content"]) if last["role"] == "tool" else None,
        tools=[tool_of(tool["function"]) for tool in body.get("tools") or []],
        choice="required" if is_named else choice,
        named=choice["function"]["name"] if is_named else None,
        format=_format_of(body.get("response_format") or {}),
        text=call.text,
    )


def _format_of(wanted: dict[str, Any]) -> Format | None:
    param, place = "response_format", "response_format.json_schema.schema"
    if wanted.get("type") == "json_schema":
        return Format(param, place, schema=wanted["json_schema"].get("schema"))
    is_json = wanted.get("type") == "json_object"
    return Format(param, place, is_any=True) if is_json else None


def choices_for(call: Call) -> list[Choice]:
    """Return the answers, of which `n` are asked for.

    Raises BadSchema.
    """
    body, answer = call.json, ask(question_of(call))
    is_plain = not answer.tool and not (body.get("response_format") or {}).get("type")
    texts = [
        f"{answer.text} ({number + 1})" if number and is_plain else answer.text
        for number in range(body.get("n") or 1)
    ]
    return [_finish(text, body, answer.tool) for text in texts]


def _finish(text: str, body: dict[str, Any], tool: str | None) -> Choice:
    """Return a choice with this text, cut by stop and max_tokens."""
    tokens = words(cut(text, stops(body.get("stop")))[0])
    most = body.get("max_completion_tokens") or body.get("max_tokens") or len(tokens)
    if most < len(tokens):
        return Choice(tokens[:most], "length", tool)
    # A tool that the request names is called with the reason "stop".
    is_free = tool and not isinstance(body.get("tool_choice"), dict)
    return Choice(tokens, "tool_calls" if is_free else "stop", tool)


def count_usage(prompt: int, completion: int) -> dict[str, Any]:
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 0,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def chat(call: Call) -> Reply:
    """Answer POST /v1/chat/completions."""
    if wrong := check_chat(call):
        return wrong
    body = call.json
    if not call.state.has_model(body["model"]):
        return unknown_model(body["model"])
    try:
        answers = choices_for(call)
    except BadSchema as error:
        return bad(error.param, str(error), "invalid_value")
    prompt = sum(
        len(words(content_text(message.get("content")))) for message in body["messages"]
    )
    usage = count_usage(prompt, sum(len(answer.tokens) for answer in answers))
    if limited := check_limit(call, usage["total_tokens"]):
        return limited
    common = {
        "id": "chatcmpl-" + digest(call.identity, size=12),
        "created": CREATED,
        "model": body["model"],
        "service_tier": "default",
        "system_fingerprint": "fp_mock",
    }
    seconds = call.state.token_delay
    if body.get("stream"):
        with_usage = bool((body.get("stream_options") or {}).get("include_usage"))
        events = chat_events(common, answers, usage if with_usage else None, seconds)
        return stream_reply(events, openers=len(answers))
    choices = [
        {
            "index": index,
            "message": _message(answer, _call_id(common, index)),
            "logprobs": None,
            "finish_reason": answer.reason,
        }
        for index, answer in enumerate(answers)
    ]
    body = {**common, "object": "chat.completion", "choices": choices, "usage": usage}
    reply = json_reply(body)
    reply.delay = seconds * usage["completion_tokens"]
    return reply


def _call_id(common: dict[str, Any], index: int) -> str:
    """Return the id of the tool call in a choice."""
    return "call_" + digest(common["id"], index, size=12)


def _message(answer: Choice, call_id: str) -> dict[str, Any]:
    text = "".join(answer.tokens)
    message: dict[str, Any] = {
        "role": "assistant",
        "content": None if answer.tool else text,
        "refusal": None,
        "annotations": [],
    }
    if answer.tool:
        message["tool_calls"] = [_tool_call(answer.tool, text, call_id)]
    return message


def _tool_call(name: str, arguments: str, call_id: str) -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {"id": call_id, "type": "function", "function": function}


def chat_events(
    common: dict[str, Any],
    answers: list[Choice],
    usage: dict[str, Any] | None,
    seconds: float,
) -> list[Piece]:
    """Return the events of a streamed answer; usage is None if the client did not ask
    for it.
    """
    common = {**common, "object": "chat.completion.chunk"}
    last = {} if usage is None else {"usage": None}

    def chunk(index: int, delta: dict[str, Any], reason: str | None = None) -> bytes:
        choice = {
            "index": index,
            "delta": delta,
            "logprobs": None,
            "finish_reason": reason,
        }
        return event(to_json({**common, "choices": [choice], **last}))

    def opening(index: int, answer: Choice) -> dict[str, Any]:
        delta = {"role": "assistant", "content": "", "refusal": None}
        if answer.tool:
            begun = _tool_call(answer.tool, "", _call_id(common, index))
            delta |= {"content": None, "tool_calls": [{"index": 0, **begun}]}
        return delta

    def more(answer: Choice, token: str) -> dict[str, Any]:
        if answer.tool:
            return {"tool_calls": [{"index": 0, "function": {"arguments": token}}]}
        return {"content": token}

    events: list[Piece] = [
        (0.0, chunk(index, opening(index, answer)))
        for index, answer in enumerate(answers)
    ]
    for index, answer in enumerate(answers):
        for token in answer.tokens:
            events.append((seconds, chunk(index, more(answer, token))))
        events.append((0.0, chunk(index, {}, answer.reason)))
    if usage is not None:
        events.append((0.0, event(to_json({**common, "choices": [], "usage": usage}))))
    return [*events, (0.0, DONE)]


# --- the forms that faults ask for ----------------------------------------------------


def _choices(value: Any) -> list[dict[str, Any]]:
    """Return the choices of a chat completion, or of one of its chunks."""
    choices = value.get("choices") if isinstance(value, dict) else None
    found = choices if isinstance(choices, list) else []
    return [choice for choice in found if isinstance(choice, dict)]


def _with_content(value: Any, change: Callable[[str], Any]) -> Any:
    for choice in _choices(value):
        message = choice.get("message") or choice.get("delta") or {}
        if isinstance(message.get("content"), str):
            message["content"] = change(message["content"])
    return value


def with_parts(value: Any) -> Any:
    return _with_content(value, lambda text: [{"type": "text", "text": text}])


def without_content(value: Any) -> Any:
    return with_finish(_with_content(value, lambda text: None), "stop")


def with_finish(value: Any, reason: str | None) -> Any:
    for choice in _choices(value):
        if choice.get("finish_reason") is not None:  # only the last chunk has one
            choice["finish_reason"] = reason
    return value


def with_error(value: Any, wrong: dict[str, Any]) -> Any:
    for choice in _choices(value):
        choice.update(wrong)
    return value


FORMS = {
    "parts": with_parts,
    "no_content": without_content,
    "finish": with_finish,
    "stream_error": with_error,
}

DIALECT = Dialect(
    routes=(
        ("GET", "/v1/models", openai_shared.list_models),
        ("GET", "/v1/models/{}", openai_shared.get_model),
        ("POST", "/v1/chat/completions", chat),
    ),
    prefix="/v1/",
    error=openai_shared.error_body,
    error_headers=openai_shared.error_headers,
    forms=FORMS,
    check=openai_shared.check_key,
    headers=openai_shared.headers,
)
