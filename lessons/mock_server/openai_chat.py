"""OpenAI's dialect: chat completions, plain and streamed, and the list of models.

Identifiers, texts and counts are pure functions of the request, so every run gives the
same answer. The shapes follow OpenAI's published API description and the sources of its
Python SDK.
"""

from dataclasses import dataclass
from typing import Any

from . import openai_shared
from .call import Call
from .dialect import Dialect
from .mock_model import answer_to, choose_tool, words
from .openai_check import check_chat, stops
from .openai_shared import CREATED, bad, check_limit, unknown_model
from .reply import DONE, Piece, Reply, digest, event, json_reply, stream_reply, to_json
from .schema import CannotSatisfy, value_for


@dataclass(frozen=True)
class Answer:
    """One answer of the model, and the finish_reason.

    tool: the name of the tool to be called; then the tokens are its arguments.
    """

    tokens: list[str]
    reason: str
    tool: str | None = None


def content_text(content: Any) -> str:
    """Return the text of a message's content, which is a text or a list of parts."""
    if isinstance(content, list):
        return " ".join(
            part["text"]
            for part in content
            if isinstance(part, dict) and isinstance(part.get("text"), str)
        )
    return content or ""


def _texts(messages: list[dict[str, Any]], *roles: str) -> list[str]:
    return [
        content_text(message.get("content"))
        for message in messages
        if message["role"] in roles
    ]


def tool_to_call(body: dict[str, Any]) -> dict[str, Any] | None:
    """Return the function that the model calls, if it calls one.

    It does so if it may, and once: after the answer of a tool it speaks itself.
    """
    tools = [tool["function"] for tool in body.get("tools") or []]
    choice, messages = body.get("tool_choice"), body["messages"]
    if isinstance(choice, dict):
        name = choice["function"]["name"]
        return next(tool for tool in tools if tool["name"] == name)
    if not tools or choice == "none":
        return None
    if choice != "required" and messages[-1]["role"] == "tool":
        return None
    return choose_tool(tools, " ".join(_texts(messages, "user")[-1:]))


def text_for(body: dict[str, Any]) -> str:
    """Return the text of the answer, in the format that is asked for.

    Raises CannotSatisfy if that is a schema for which there is no value.
    """
    messages, wanted = body["messages"], body.get("response_format") or {}
    if wanted.get("type") == "json_schema":
        schema = wanted["json_schema"].get("schema")
        return to_json(value_for({} if schema is None else schema)).decode()
    if messages[-1]["role"] == "tool":
        text = f"The tool says: {content_text(messages[-1]['content'])}"
    else:
        text = answer_to(_texts(messages, "user"))
    if wanted.get("type") == "json_object":
        return to_json({"answer": text}).decode()
    return text


def answers_to(call: Call) -> list[Answer] | Reply:
    """Return the answers, of which `n` are asked for, or the 400 for a schema."""
    body, name = call.json, None
    tool = tool_to_call(body) if call.text is None else None
    try:
        if tool:
            name, place = tool["name"], f"the parameters of {tool['name']!r}"
            schema = tool.get("parameters")
            text = to_json(value_for({"type": "object"} if schema is None else schema))
            text = text.decode()
        else:
            place = "response_format.json_schema.schema"
            text = text_for(body) if call.text is None else call.text
    except CannotSatisfy as error:
        param = "tools" if tool else "response_format"
        return bad(param, f"Invalid schema for {place}: {error}", "invalid_value")
    is_plain = not tool and not (body.get("response_format") or {}).get("type")
    return [
        finish(f"{text} ({number + 1})" if number and is_plain else text, body, name)
        for number in range(body.get("n") or 1)
    ]


def finish(text: str, body: dict[str, Any], tool: str | None = None) -> Answer:
    """Return an answer with this text, cut by stop and max_tokens."""
    for stop in stops(body.get("stop")):
        text = text.partition(stop)[0] if stop else text
    tokens = words(text)
    most = body.get("max_completion_tokens") or body.get("max_tokens") or len(tokens)
    if most < len(tokens):
        return Answer(tokens[:most], "length", tool)
    # A tool that the request names is called with the reason "stop".
    is_free = tool and not isinstance(body.get("tool_choice"), dict)
    return Answer(tokens, "tool_calls" if is_free else "stop", tool)


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
    answers = answers_to(call)
    if isinstance(answers, Reply):
        return answers
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


def _message(answer: Answer, call_id: str) -> dict[str, Any]:
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
    answers: list[Answer],
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

    def opening(index: int, answer: Answer) -> dict[str, Any]:
        delta = {"role": "assistant", "content": "", "refusal": None}
        if answer.tool:
            begun = _tool_call(answer.tool, "", _call_id(common, index))
            delta |= {"content": None, "tool_calls": [{"index": 0, **begun}]}
        return delta

    def more(answer: Answer, token: str) -> dict[str, Any]:
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


DIALECT = Dialect(
    routes=(
        ("GET", "/v1/models", openai_shared.list_models),
        ("GET", "/v1/models/{}", openai_shared.get_model),
        ("POST", "/v1/chat/completions", chat),
    ),
    prefix="/v1/",
    error=openai_shared.error_body,
    error_headers=openai_shared.error_headers,
    check=openai_shared.check_key,
    headers=openai_shared.headers,
)
