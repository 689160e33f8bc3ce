"""What is wrong with a request for a response: the 400s, each with its words."""

from collections.abc import Callable
from typing import Any

from .call import Call
from .openai_check import check_fields, check_name, is_whole, missing, no_offer
from .openai_shared import bad
from .reply import Reply

# The fields that this server looks at; see check_fields.
FIELDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "model": (lambda value: isinstance(value, str), "a string"),
    "input": (
        lambda value: isinstance(value, str | list) and value not in ("", []),
        "a string or a list, and not empty",
    ),
    "instructions": (lambda value: isinstance(value, str), "a string"),
    "stream": (lambda value: isinstance(value, bool), "true or false"),
    "max_output_tokens": (is_whole, "a number"),
    "temperature": (lambda value: type(value) in (int, float), "a number"),
    "tools": (lambda value: isinstance(value, list), "a list"),
    "tool_choice": (lambda value: isinstance(value, str | dict), "a string or object"),
    "text": (lambda value: isinstance(value, dict), "an object"),
    "include": (lambda value: isinstance(value, list), "a list"),
    "metadata": (lambda value: isinstance(value, dict), "an object"),
}
# The service itself refuses fewer than 16 tokens.
LIMITS = {"max_output_tokens": (16, 10**6), "temperature": (0, 2)}
# This server keeps no response, and answers at once.
NOT_OFFERED: dict[str, Any] = {
    "previous_response_id": None,
    "conversation": None,
    "background": False,
    "prompt": None,
    "top_logprobs": 0,
    "moderation": None,
}
ROLES = ("user", "assistant", "system", "developer")
CONTENT = ("input_text", "output_text", "input_image", "input_file", "refusal")


def check_response(call: Call) -> Reply | None:
    """Return the 400 for a body that asks for no response, or None if it does."""
    if wrong := check_fields(call, FIELDS, LIMITS, NOT_OFFERED, ("model", "input")):
        return wrong
    body = call.json
    if "message.output_text.logprobs" in (body.get("include") or []):
        return no_offer("include", "logprobs")
    return _check_input(body["input"]) or _check_tools(body) or _check_format(body)


# --- input ----------------------------------------------------------------------------


def _check_input(items: Any) -> Reply | None:
    if isinstance(items, str):
        return None
    waiting: list[str] = []  # the tool calls that have no output yet
    for number, item in enumerate(items):
        place = f"input[{number}]"
        if not isinstance(item, dict):
            return bad(place, f"{place} must be an object")
        kind = item.get("type", "message")
        if kind == "message":
            wrong = _check_message(item, place)
        elif kind == "function_call":
            wrong = _check_texts(item, ("call_id", "name", "arguments"), place)
            waiting += [] if wrong else [item["call_id"]]
        elif kind == "function_call_output":
            wrong = _check_output(item, place, waiting)
        elif kind == "reasoning":
            wrong = None  # of another model; this one has none
        else:
            wrong = no_offer(f"{place}.type", f"items of type {kind!r}")
        if wrong:
            return wrong
    if waiting:
        ids = ", ".join(waiting)
        message = f"Each function_call needs its function_call_output: {ids}"
        return bad("input", message, "invalid_value")
    return None


def _check_texts(
    item: dict[str, Any], names: tuple[str, ...], place: str
) -> Reply | None:
    for name in names:
        if name not in item:
            return missing(f"{place}.{name}")
        if not isinstance(item[name], str):
            return bad(f"{place}.{name}", f"{place}.{name} must be a string")
    return None


def _check_output(item: dict[str, Any], place: str, waiting: list[str]) -> Reply | None:
    if wrong := _check_texts(item, ("call_id",), place):
        return wrong
    if "output" not in item:
        return missing(f"{place}.output")
    if wrong := _check_content(item["output"], f"{place}.output"):
        return wrong
    if item["call_id"] not in waiting:
        message = f"{place} answers no call: its call_id must be that of a "
        message += "function_call before it"
        return bad(f"{place}.call_id", message, "invalid_value")
    waiting.remove(item["call_id"])
    return None


def _check_message(item: dict[str, Any], place: str) -> Reply | None:
    for name in ("role", "content"):
        if name not in item:
            return missing(f"{place}.{name}")
    if item["role"] not in ROLES:
        roles, role = ", ".join(ROLES), item["role"]
        message = f"{place}.role must be one of {roles}, not {role!r}"
        return bad(f"{place}.role", message, "invalid_value")
    return _check_content(item["content"], f"{place}.content")


def _check_content(content: Any, place: str) -> Reply | None:
    if isinstance(content, str):
        return None
    if not isinstance(content, list):
        return bad(place, f"{place} must be a string or a list")
    for number, part in enumerate(content):
        where = f"{place}[{number}]"
        kind = part.get("type") if isinstance(part, dict) else None
        if kind not in CONTENT:
            kinds = ", ".join(CONTENT)
            message = f"{where}.type must be one of {kinds}, not {kind!r}"
            return bad(f"{where}.type", message, "invalid_value")
        if kind.endswith("_text") and (wrong := _check_texts(part, ("text",), where)):
            return wrong
    return None


# --- tools and structured answers -----------------------------------------------------


def _check_tools(body: dict[str, Any]) -> Reply | None:
    tools, choice = body.get("tools") or [], body.get("tool_choice")
    for number, tool in enumerate(tools):
        place = f"tools[{number}]"
        kind = tool.get("type") if isinstance(tool, dict) else None
        if kind is None:
            return bad(place, f"{place} must be an object with a type")
        if kind != "function":
            return no_offer(f"{place}.type", f"tools of type {kind!r}")
        if wrong := check_name(tool.get("name"), f"{place}.name"):
            return wrong
    if choice in (None, "auto", "none"):
        return None
    if isinstance(choice, dict):
        if choice.get("type") != "function":
            return no_offer("tool_choice", f"the type {choice.get('type')!r}")
        if choice.get("name") not in [tool["name"] for tool in tools]:
            name = choice.get("name")
            message = f"'tool_choice' names {name!r}, which is not among the tools"
            return bad("tool_choice", message, "invalid_value")
    elif choice != "required":
        message = f"'tool_choice' must be none, auto or required, not {choice!r}"
        return bad("tool_choice", message, "invalid_value")
    elif not tools:
        message = "'tool_choice' may be required only when 'tools' are given"
        return bad("tool_choice", message, "invalid_value")
    return None


def _check_format(body: dict[str, Any]) -> Reply | None:
    wanted, place = (body.get("text") or {}).get("format"), "text.format"
    if wanted is None:
        return None
    kind = wanted.get("type") if isinstance(wanted, dict) else None
    if kind not in ("text", "json_object", "json_schema"):
        message = f"{place}.type must be text, json_object or json_schema, not {kind!r}"
        return bad(f"{place}.type", message, "invalid_value")
    if kind == "json_object":
        said = f"{body['input']} {body.get('instructions')}"
        if "json" not in said.lower():
            message = f"The input must say 'json' where {place} is json_object"
            return bad("input", message, "invalid_value")
    if kind == "json_schema":
        if wrong := check_name(wanted.get("name"), f"{place}.name"):
            return wrong
        if "schema" not in wanted:
            return missing(f"{place}.schema")
    return None
