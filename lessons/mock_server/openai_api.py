"""The OpenAI part: models, and chat completions, plain and streamed.

Identifiers, texts and counts are pure functions of the request, so every run gives the
same answer. The shapes follow OpenAI's published API description and the sources of its
Python SDK.
"""

import math
import re
from collections.abc import Callable
from typing import Any

from .call import Call
from .records import mask
from .reply import DONE, Piece, Reply, digest, event, json_reply, stream_reply, to_json

MODELS = ("mock-small", "mock-large")
CREATED = (
    1_750_000_000  # every object says that it was made at this second of the Unix clock
)

# A question that begins like this gets this answer.
ANSWERS = {
    "why is the sky blue": "The sky is blue because air scatters blue light more than red light.",
    "what is http": "HTTP is the protocol with which a client asks a server for something, "
    "one request and one reply at a time.",
    "what is an api": "An API is the list of things you may ask another program for, and how to ask.",
    "what is the capital of france": "The capital of France is Paris.",
    "say hello": "Hello! 你好! 👋",
    "用中文": "你好，世界！今天天气很好。🌞",  # noqa: RUF001
}


def error_body(
    status: int,
    message: str,
    type: str | None = None,
    code: str | None = None,
    param: str | None = None,
) -> dict[str, Any]:
    """Return OpenAI's error object; type and code that are not given follow from the
    status.
    """
    if type is None:
        type = (
            "requests"
            if status == 429
            else "server_error"
            if status >= 500
            else "invalid_request_error"
        )
    if code is None and status == 429:
        code = "rate_limit_exceeded"
    return {"error": {"message": message, "type": type, "param": param, "code": code}}


def fail(status: int, message: str, **more: Any) -> Reply:
    """Return an error reply."""
    return json_reply(error_body(status, message, **more), status)


def check_key(call: Call) -> Reply | None:
    """Return the 401 for a missing or wrong key, or None if the key is right."""
    if not call.key:
        return fail(
            401,
            "You did not provide an API key. Send it in a header: Authorization: "
            "Bearer YOUR_KEY",
        )
    if call.key != call.state.api_key:
        return fail(
            401, f"Incorrect API key provided: {mask(call.key)}", code="invalid_api_key"
        )
    return None


def model_object(name: str) -> dict[str, Any]:
    return {
        "id": name,
        "object": "model",
        "created": CREATED,
        "owned_by": "mock-server",
    }


def unknown_model(name: str) -> Reply:
    return fail(
        404,
        f"The model {name!r} does not exist; GET /v1/models lists those that do.",
        code="model_not_found",
    )


def list_models(call: Call) -> Reply:
    return json_reply(
        {"object": "list", "data": [model_object(name) for name in call.state.models()]}
    )


def get_model(call: Call, name: str) -> Reply:
    return (
        json_reply(model_object(name))
        if name in call.state.models()
        else unknown_model(name)
    )


# --- chat completions -----------------------------------------------------------------


def words(text: str) -> list[str]:
    """Split text into what this server calls tokens: a word with the space before it,
    or one other character.
    """
    return re.findall(r"\s*(?:[^\W\u2e80-\U0010ffff]+|\S)|\s+$", text)


def content_text(content: Any) -> str:
    """Return the text of a message's content, which is a text or a list of parts."""
    if isinstance(content, list):
        return " ".join(
            part["text"]
            for part in content
            if isinstance(part, dict) and isinstance(part.get("text"), str)
        )
    return content or ""


def answer_to(messages: list[dict[str, Any]]) -> str:
    """Return the answer to a conversation.

    The model knows nothing but the messages it is sent.
    """
    said = [
        content_text(message["content"])
        for message in messages
        if message["role"] == "user"
    ]
    question = said[-1].strip() if said else ""
    if question.lower().startswith("what is my name"):
        names = [
            found[1]
            for text in said
            if (found := re.search(r"(?i)\bmy name is (\w+)", text))
        ]
        return (
            f"Your name is {names[-1]}." if names else "You have not told me your name."
        )
    for start, answer in ANSWERS.items():
        if question.lower().startswith(start):
            return answer
    return f"This is a mock answer to: {question}"


def _is_whole(value: Any) -> bool:
    return type(value) is int


# The fields of a chat request that this server looks at: what each must be, as a
# function and in words. Any other field is ignored, and all but the first two may be
# missing or null.
FIELDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "model": (lambda value: isinstance(value, str), "a string"),
    "messages": (
        lambda value: isinstance(value, list) and value != [],
        "a list with at least one message",
    ),
    "stream": (lambda value: isinstance(value, bool), "true or false"),
    "stream_options": (lambda value: isinstance(value, dict), "an object"),
    "stop": (
        lambda value: all(isinstance(one, str) for one in _stops(value)),
        "a string or a list of strings",
    ),
    "n": (_is_whole, "a number"),
    "max_tokens": (_is_whole, "a number"),
    "max_completion_tokens": (_is_whole, "a number"),
    "temperature": (lambda value: type(value) in (int, float), "a number"),
}
LIMITS = {
    "n": (1, 8),
    "max_tokens": (1, 10**6),
    "max_completion_tokens": (1, 10**6),
    "temperature": (0, 2),
}
ROLES = ("system", "developer", "user", "assistant", "tool")


def bad(param: str, message: str, code: str = "invalid_type") -> Reply:
    """Return the 400 for a wrong parameter."""
    return fail(400, message, param=param, code=code)


def missing(param: str) -> Reply:
    """Return the 400 for a missing parameter."""
    return bad(
        param, f"Missing required parameter: {param!r}", "missing_required_parameter"
    )


def check_chat(body: Any) -> Reply | None:
    """Return the 400 for a body that is no chat request, or None if it is one."""
    if not isinstance(body, dict):
        return fail(
            400,
            "The body of the request must be a JSON object. Is its Content-Type "
            "application/json?",
        )
    for name, (is_right, called) in FIELDS.items():
        value, is_needed = body.get(name), name in ("model", "messages")
        if is_needed and name not in body:
            return missing(name)
        if value is None and not is_needed:
            continue
        if not is_right(value):
            return bad(name, f"{name!r} must be {called}")
        if name in LIMITS and not LIMITS[name][0] <= value <= LIMITS[name][1]:
            sentence = f"{name!r} must be from {LIMITS[name][0]} to {LIMITS[name][1]}, not {value}"
            return bad(name, sentence, "invalid_value")
    for number, message in enumerate(body["messages"]):
        if wrong := _check_message(message, f"messages[{number}]"):
            return wrong
    return None


def _check_message(message: Any, place: str) -> Reply | None:
    if not isinstance(message, dict):
        return bad(place, f"{place} must be an object with a role and a content")
    for name in ("role", "content"):
        if name not in message:
            return missing(f"{place}.{name}")
    if message["role"] not in ROLES:
        sentence = (
            f"{place}.role must be system, user or assistant, not {message['role']!r}"
        )
        return bad(f"{place}.role", sentence, "invalid_value")
    if not isinstance(message["content"], str | list | None):
        return bad(f"{place}.content", f"{place}.content must be a string")
    return None


def _stops(stop: Any) -> list[Any]:
    """Return the stop words, of which there may be one, many or none, as a list."""
    return stop if isinstance(stop, list) else [] if stop is None else [stop]


def finish(text: str, body: dict[str, Any]) -> tuple[list[str], str]:
    """Return the tokens of an answer after stop and max_tokens, and the finish_reason."""
    for stop in _stops(body.get("stop")):
        text = text.partition(stop)[0] if stop else text
    tokens = words(text)
    most = body.get("max_completion_tokens") or body.get("max_tokens") or len(tokens)
    return tokens[:most], "length" if most < len(tokens) else "stop"


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
    body = call.json()
    if wrong := check_chat(body):
        return wrong
    if body["model"] not in call.state.models():
        return unknown_model(body["model"])
    text = answer_to(body["messages"]) if call.text is None else call.text
    answers = [
        finish(text if not number else f"{text} ({number + 1})", body)
        for number in range(body.get("n") or 1)
    ]
    prompt = sum(
        len(words(content_text(message["content"]))) for message in body["messages"]
    )
    usage = count_usage(prompt, sum(len(tokens) for tokens, _ in answers))
    if short := call.state.limiter.take(call.key, usage["total_tokens"]):
        kind, wait = short
        if wait == math.inf:
            return fail(
                429,
                f"Request too large for {kind} per minute: it needs "
                f"{usage['total_tokens']}.",
                type=kind,
            )
        call.limited = wait
        return fail(
            429,
            f"Rate limit reached for {kind} per minute. Please try again in "
            f"{wait:.3f}s.",
            type=kind,
        )
    common = {
        "id": "chatcmpl-" + digest(call.identity, size=12),
        "created": CREATED,
        "model": body["model"],
    }
    common |= {"service_tier": "default", "system_fingerprint": "fp_mock"}
    seconds = call.state.token_delay
    if body.get("stream"):
        with_usage = bool((body.get("stream_options") or {}).get("include_usage"))
        return stream_reply(
            chat_events(common, answers, usage if with_usage else None, seconds),
            openers=len(answers),
        )
    choices = []
    for index, (tokens, reason) in enumerate(answers):
        message = {
            "role": "assistant",
            "content": "".join(tokens),
            "refusal": None,
            "annotations": [],
        }
        choices.append(
            {
                "index": index,
                "message": message,
                "logprobs": None,
                "finish_reason": reason,
            }
        )
    reply = json_reply(
        {**common, "object": "chat.completion", "choices": choices, "usage": usage}
    )
    reply.delay = seconds * usage["completion_tokens"]
    return reply


def chat_events(
    common: dict[str, Any],
    answers: list[tuple[list[str], str]],
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

    events: list[Piece] = [
        (0.0, chunk(index, {"role": "assistant", "content": "", "refusal": None}))
        for index in range(len(answers))
    ]
    for index, (tokens, reason) in enumerate(answers):
        events += [(seconds, chunk(index, {"content": token})) for token in tokens]
        events.append((0.0, chunk(index, {}, reason)))
    if usage is not None:
        events.append((0.0, event(to_json({**common, "choices": [], "usage": usage}))))
    return [*events, (0.0, DONE)]
