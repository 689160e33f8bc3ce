"""OpenAI's dialect: chat completions, plain and streamed, and the list of models.

Identifiers, texts and counts are pure functions of the request, so every run gives the
same answer. The shapes follow OpenAI's published API description and the sources of its
Python SDK.
"""

import re
from collections.abc import Callable
from typing import Any

from . import openai_shared
from .call import Call
from .dialect import Dialect
from .openai_shared import CREATED, bad, check_limit, fail, unknown_model
from .reply import DONE, Piece, Reply, digest, event, json_reply, stream_reply, to_json

# A question that begins like this gets this answer.
ANSWERS = {
    "why is the sky blue": "The sky is blue because air scatters blue light more than "
    "red light.",
    "what is http": "HTTP is the protocol with which a client asks a server for "
    "something, one request and one reply at a time.",
    "what is an api": "An API is the list of things you may ask another program for, "
    "and how to ask.",
    "what is the capital of france": "The capital of France is Paris.",
    "say hello": "Hello! 你好! 👋",
    "用中文": "你好，世界！今天天气很好。🌞",  # noqa: RUF001 - Chinese punctuation
}


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


def missing(param: str) -> Reply:
    """Return the 400 for a missing parameter."""
    return bad(
        param, f"Missing required parameter: {param!r}", "missing_required_parameter"
    )


def check_chat(call: Call) -> Reply | None:
    """Return the 400 for a body that is no chat request, or None if it is one."""
    body = call.json
    if not isinstance(body, dict):
        message = "The body of the request must be a JSON object"
        if coding := call.headers.get("Content-Encoding"):
            message += f", and must not be compressed as {coding!r}"
        return fail(400, f"{message}. Is its Content-Type application/json?")
    for name, (is_right, called) in FIELDS.items():
        value, is_needed = body.get(name), name in ("model", "messages")
        if is_needed and name not in body:
            return missing(name)
        if value is None and not is_needed:
            continue
        if not is_right(value):
            return bad(name, f"{name!r} must be {called}")
        if name in LIMITS and not LIMITS[name][0] <= value <= LIMITS[name][1]:
            least, most = LIMITS[name]
            message = f"{name!r} must be from {least} to {most}, not {value}"
            return bad(name, message, "invalid_value")
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
    """Return the tokens of an answer, cut by stop and max_tokens, and the reason why it
    ends.
    """
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
    if wrong := check_chat(call):
        return wrong
    body = call.json
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
    if limited := check_limit(call, usage["total_tokens"]):
        return limited
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
