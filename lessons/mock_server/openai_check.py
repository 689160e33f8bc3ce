"""What is wrong with a request for a chat completion: the 400s, each with its words."""

import re
from collections.abc import Callable
from typing import Any

from .call import Call
from .openai_shared import bad, fail
from .reply import Reply


def is_whole(value: Any) -> bool:
    """Say whether value is a whole number."""
    return type(value) is int


def stops(stop: Any) -> list[Any]:
    """Return the stop words, of which there may be one, many or none, as a list."""
    return stop if isinstance(stop, list) else [] if stop is None else [stop]


# The fields of a chat request that this server looks at; see check_fields.
FIELDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "model": (lambda value: isinstance(value, str), "a string"),
    "messages": (
        lambda value: isinstance(value, list) and value != [],
        "a list with at least one message",
    ),
    "stream": (lambda value: isinstance(value, bool), "true or false"),
    "stream_options": (lambda value: isinstance(value, dict), "an object"),
    "stop": (
        lambda value: all(isinstance(one, str) for one in stops(value)),
        "a string or a list of strings",
    ),
    "n": (is_whole, "a number"),
    "max_tokens": (is_whole, "a number"),
    "max_completion_tokens": (is_whole, "a number"),
    "temperature": (lambda value: type(value) in (int, float), "a number"),
    "tools": (lambda value: isinstance(value, list), "a list"),
    "tool_choice": (lambda value: isinstance(value, str | dict), "a string or object"),
    "response_format": (lambda value: isinstance(value, dict), "an object"),
}
LIMITS = {
    "n": (1, 8),
    "max_tokens": (1, 10**6),
    "max_completion_tokens": (1, 10**6),
    "temperature": (0, 2),
}
NOT_OFFERED: dict[str, Any] = {
    "logprobs": False,
    "top_logprobs": 0,
    "audio": None,
    "modalities": ["text"],
    "functions": [],
    "function_call": "none",
    "web_search_options": None,
}
ROLES = ("system", "developer", "user", "assistant", "tool")


def missing(param: str) -> Reply:
    """Return the 400 for a missing parameter."""
    message = f"Missing required parameter: {param!r}"
    return bad(param, message, "missing_required_parameter")


def no_offer(param: str, what: str) -> Reply:
    """Return the 400 for what this server does not have."""
    message = f"This mock server does not offer {what}; leave it out."
    return bad(param, message, "unsupported_parameter")


def check_fields(
    call: Call,
    fields: dict[str, tuple[Callable[[Any], bool], str]],
    limits: dict[str, tuple[int, int]],
    not_offered: dict[str, Any],
    needed: tuple[str, str],
) -> Reply | None:
    """Return the 400 for a body whose fields are not as these tables want them, or
    None.

    fields: what each field must be, as a function and in words. Any other field is
        ignored, and all but those that are needed may be missing or null.
    limits: the least and the greatest number that a field may be.
    not_offered: what would change the answer and is not offered, and the value with
        which it is as good as left out.
    """
    body = call.json
    if not isinstance(body, dict):
        message = "The body of the request must be a JSON object"
        if coding := call.headers.get("Content-Encoding"):
            message += f", and must not be compressed as {coding!r}"
        return fail(400, f"{message}. Is its Content-Type application/json?")
    for name, (is_right, called) in fields.items():
        value, is_needed = body.get(name), name in needed
        if is_needed and name not in body:
            return missing(name)
        if value is None and not is_needed:
            continue
        if not is_right(value):
            return bad(name, f"{name!r} must be {called}")
        if name in limits and not limits[name][0] <= value <= limits[name][1]:
            least, most = limits[name]
            message = f"{name!r} must be from {least} to {most}, not {value}"
            return bad(name, message, "invalid_value")
    for name, otherwise in not_offered.items():
        if body.get(name) not in (None, otherwise):
            return no_offer(name, repr(name))
    return None


def check_chat(call: Call) -> Reply | None:
    """Return the 400 for a body that is no chat request, or None if it is one."""
    if wrong := check_fields(call, FIELDS, LIMITS, NOT_OFFERED, ("model", "messages")):
        return wrong
    body = call.json
    return (
        _check_messages(body["messages"]) or _check_tools(body) or _check_format(body)
    )


# --- messages -------------------------------------------------------------------------


def _check_messages(messages: list[Any]) -> Reply | None:
    waiting: list[str] = []  # the tool calls that have no answer yet
    for number, message in enumerate(messages):
        place = f"messages[{number}]"
        if wrong := _check_message(message, place):
            return wrong
        if message["role"] == "tool":
            if message["tool_call_id"] not in waiting:
                message = f"{place} answers no call: its tool_call_id must be one of "
                message += "the tool_calls of the assistant's message before it"
                return bad(f"{place}.tool_call_id", message, "invalid_value")
            waiting.remove(message["tool_call_id"])
        elif waiting:
            return _no_answer(place, waiting)
        else:
            waiting = [call["id"] for call in message.get("tool_calls") or []]
    return _no_answer("the end", waiting) if waiting else None


def _no_answer(place: str, waiting: list[str]) -> Reply:
    ids = ", ".join(waiting)
    message = f"Each tool call needs a message of role tool before {place}: {ids}"
    return bad("messages", message, "invalid_value")


def _check_message(message: Any, place: str) -> Reply | None:
    if not isinstance(message, dict):
        return bad(place, f"{place} must be an object with a role and a content")
    is_calling = message.get("role") == "assistant" and message.get("tool_calls")
    for name in ("role",) if is_calling else ("role", "content"):
        if name not in message:
            return missing(f"{place}.{name}")
    if message["role"] not in ROLES:
        wrong = message["role"]
        sentence = f"{place}.role must be system, user or assistant, not {wrong!r}"
        return bad(f"{place}.role", sentence, "invalid_value")
    if not isinstance(message.get("content"), str | list | None):
        return bad(f"{place}.content", f"{place}.content must be a string")
    if message["role"] == "tool":
        if "tool_call_id" not in message:
            return missing(f"{place}.tool_call_id")
        if not isinstance(message["tool_call_id"], str):
            return bad(
                f"{place}.tool_call_id", f"{place}.tool_call_id must be a string"
            )
    return _check_tool_calls(message["tool_calls"], place) if is_calling else None


def _check_tool_calls(calls: Any, place: str) -> Reply | None:
    place = f"{place}.tool_calls"
    if not isinstance(calls, list):
        return bad(place, f"{place} must be a list")
    for number, call in enumerate(calls):
        function = call.get("function") if isinstance(call, dict) else None
        if not (
            isinstance(function, dict)
            and isinstance(call.get("id"), str)
            and isinstance(function.get("name"), str)
            and isinstance(function.get("arguments"), str)
        ):
            where = f"{place}[{number}]"
            message = f"{where} must be an object with a string 'id' and a 'function' "
            return bad(where, message + "that has a string 'name' and 'arguments'")
    return None


# --- tools and structured answers -----------------------------------------------------


def check_name(name: Any, place: str) -> Reply | None:
    """Return the 400 for what cannot be the name of a tool or a schema, or None."""
    if isinstance(name, str) and re.fullmatch("[a-zA-Z0-9_-]{1,64}", name):
        return None
    message = f"{place} must be 1 to 64 letters, digits, underscores or hyphens"
    return bad(place, message, "invalid_value")


def _check_tools(body: dict[str, Any]) -> Reply | None:
    tools, choice = body.get("tools") or [], body.get("tool_choice")
    for number, tool in enumerate(tools):
        place = f"tools[{number}]"
        kind = tool.get("type") if isinstance(tool, dict) else None
        if isinstance(kind, str) and kind != "function":
            return no_offer(f"{place}.type", f"tools of type {kind!r}")
        if kind is None or not isinstance(tool.get("function"), dict):
            return bad(place, f"{place} must be an object with a type and a function")
        if wrong := check_name(tool["function"].get("name"), f"{place}.function.name"):
            return wrong
    if choice in (None, "none"):
        return None
    if not tools:
        message = "'tool_choice' is only allowed when 'tools' are given"
        return bad("tool_choice", message, "invalid_value")
    if isinstance(choice, dict):
        if choice.get("type") != "function":
            what = f"a tool_choice of type {choice.get('type')!r}"
            return no_offer("tool_choice", what)
        name = (choice.get("function") or {}).get("name")
        if name not in [tool["function"]["name"] for tool in tools]:
            message = f"'tool_choice' names {name!r}, which is not among the tools"
            return bad("tool_choice", message, "invalid_value")
    elif choice not in ("auto", "required"):
        message = f"'tool_choice' must be none, auto or required, not {choice!r}"
        return bad("tool_choice", message, "invalid_value")
    return None


def _check_format(body: dict[str, Any]) -> Reply | None:
    wanted = body.get("response_format")
    if wanted is None:
        return None
    kind, place = wanted.get("type"), "response_format"
    if kind not in ("text", "json_object", "json_schema"):
        message = f"{place}.type must be text, json_object or json_schema, not {kind!r}"
        return bad(f"{place}.type", message, "invalid_value")
    if kind == "json_object" and "json" not in str(body["messages"]).lower():
        message = f"A message must say 'json' where the {place} is json_object"
        return bad("messages", message, "invalid_value")
    if kind == "json_schema":
        place += ".json_schema"
        if not isinstance(wanted.get("json_schema"), dict):
            return missing(place)
        return check_name(wanted["json_schema"].get("name"), f"{place}.name")
    return None
