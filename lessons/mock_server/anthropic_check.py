"""What is wrong with a request for a message: the 400s of Anthropic's dialect.

As there, a sentence begins with the place that it is about: `max_tokens: …`.
"""

import re
from collections.abc import Callable
from typing import Any


def _is_whole(value: Any) -> bool:
    return type(value) is int


def _is_list(value: Any) -> bool:
    return isinstance(value, list)


# The fields that this server looks at: what each must be, as a function and in words.
# Any other is ignored, and all but those in NEEDED may be missing or null.
FIELDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "model": (lambda value: isinstance(value, str), "a string"),
    "max_tokens": (
        lambda value: _is_whole(value) and 1 <= value <= 10**6,
        "a whole number from 1 to 1000000",
    ),
    "messages": (
        lambda value: _is_list(value) and value != [],
        "a list with at least one message",
    ),
    "system": (lambda value: isinstance(value, str | list), "a string or a list"),
    "stream": (lambda value: isinstance(value, bool), "true or false"),
    "stop_sequences": (
        lambda value: _is_list(value) and all(isinstance(one, str) for one in value),
        "a list of strings",
    ),
    "temperature": (
        lambda value: type(value) in (int, float) and 0 <= value <= 1,
        "a number from 0 to 1",
    ),
    "tools": (_is_list, "a list"),
    "tool_choice": (lambda value: isinstance(value, dict), "an object"),
    "output_config": (lambda value: isinstance(value, dict), "an object"),
}
NEEDED = ("model", "max_tokens", "messages")
# What would change the answer, and is not offered.
NOT_OFFERED = ("container", "mcp_servers", "context_management")
# The content blocks that a role may send, or that a tool_result may have, and the
# fields that each needs.
BLOCKS: dict[str, dict[str, tuple[tuple[str, type], ...]]] = {
    "user": {
        "text": (("text", str),),
        "image": (("source", dict),),
        "document": (("source", dict),),
        "tool_result": (("tool_use_id", str),),
    },
    "tool_result": {
        "text": (("text", str),),
        "image": (("source", dict),),
        "document": (("source", dict),),
    },
    "assistant": {
        "text": (("text", str),),
        "tool_use": (("id", str), ("name", str), ("input", dict)),
    },
}
_KINDS = {str: "a string", dict: "an object"}
CHOICES = ("auto", "any", "tool", "none")


def missing(place: str) -> str:
    return f"{place}: this field is required"


def no_offer(place: str, what: str) -> str:
    return f"{place}: this mock server does not offer {what}; leave it out"


def blocks_of(content: Any) -> list[dict[str, Any]]:
    """Return content, which is a text or a list of blocks, as a list of blocks."""
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def find_wrong(body: Any, headers: Any) -> str | None:
    """Return what is wrong with a request for a message, or None."""
    if "anthropic-version" not in headers:
        return "anthropic-version: this header is required, such as 2023-06-01"
    if not isinstance(body, dict):
        message = "the body must be a JSON object"
        if coding := headers.get("Content-Encoding"):
            message += f", and must not be compressed as {coding!r}"
        return f"{message}. Is its Content-Type application/json?"
    for name, (is_right, called) in FIELDS.items():
        value, is_needed = body.get(name), name in NEEDED
        if is_needed and name not in body:
            return missing(name)
        if (value is not None or is_needed) and not is_right(value):
            return f"{name}: must be {called}"
    for name in NOT_OFFERED:
        if body.get(name):
            return no_offer(name, repr(name))
    thinking = body.get("thinking")
    kind = thinking.get("type") if isinstance(thinking, dict) else thinking
    if kind not in (None, "disabled", "adaptive"):
        return no_offer("thinking", "thinking")
    return (
        _wrong_system(body.get("system"))
        or _wrong_messages(body["messages"])
        or _wrong_tools(body)
        or _wrong_format(body.get("output_config") or {})
    )


# --- messages -------------------------------------------------------------------------


def _wrong_system(system: Any) -> str | None:
    for number, block in enumerate(system if _is_list(system) else []):
        is_text = isinstance(block, dict) and isinstance(block.get("text"), str)
        if not is_text:
            return f"system.{number}: must be a text block"
    return None


def _wrong_messages(messages: list[Any]) -> str | None:
    waiting: list[str] = []  # the tool calls that have no result yet
    for number, message in enumerate(messages):
        place = f"messages.{number}"
        if wrong := _wrong_message(message, place):
            return wrong
        blocks = blocks_of(message["content"])
        results = [one["tool_use_id"] for one in blocks if one["type"] == "tool_result"]
        if left := [one for one in waiting if one not in results]:
            ids = ", ".join(left)
            return f"{place}: tool_use without a tool_result in the next message: {ids}"
        if more := [one for one in results if one not in waiting]:
            why = "no tool_use in the message before has this id"
            return f"{place}: tool_result for {more[0]!r}, but {why}"
        waiting = [block["id"] for block in blocks if block["type"] == "tool_use"]
    if waiting:
        ids = ", ".join(waiting)
        return f"messages: tool_use without a tool_result in the next message: {ids}"
    return None


def _wrong_message(message: Any, place: str) -> str | None:
    if not isinstance(message, dict):
        return f"{place}: must be an object with a role and a content"
    for name in ("role", "content"):
        if name not in message:
            return missing(f"{place}.{name}")
    role, content = message["role"], message["content"]
    if role == "system":
        return f"{place}.role: system is no role here; use the parameter 'system'"
    if role not in ("user", "assistant"):
        return f"{place}.role: must be user or assistant, not {role!r}"
    if not isinstance(content, str | list):
        return f"{place}.content: must be a string or a list of blocks"
    if not content and role == "user":
        return f"{place}.content: must not be empty"
    for number, block in enumerate(blocks_of(content)):
        if wrong := _wrong_block(block, role, f"{place}.content.{number}"):
            return wrong
    return None


def _wrong_block(block: Any, role: str, place: str) -> str | None:
    kind = block.get("type") if isinstance(block, dict) else None
    if not isinstance(kind, str):
        return f"{place}: must be an object with a type"
    if kind not in BLOCKS[role]:
        kinds = ", ".join(BLOCKS[role])
        return f"{place}.type: a block of {role} is one of {kinds}, not {kind!r}"
    for name, its_type in BLOCKS[role][kind]:
        if name not in block:
            return missing(f"{place}.{name}")
        if not isinstance(block[name], its_type):
            return f"{place}.{name}: must be {_KINDS[its_type]}"
    if kind == "tool_result":
        inner = block.get("content") or ""
        if not isinstance(inner, str | list):
            return f"{place}.content: must be a string or a list of blocks"
        for number, one in enumerate(blocks_of(inner)):
            if wrong := _wrong_block(one, kind, f"{place}.content.{number}"):
                return wrong
    return None


# --- tools and structured answers -----------------------------------------------------


def _wrong_tools(body: dict[str, Any]) -> str | None:
    tools, choice = body.get("tools") or [], body.get("tool_choice")
    for number, tool in enumerate(tools):
        place = f"tools.{number}"
        if not isinstance(tool, dict):
            return f"{place}: must be an object"
        if tool.get("type") not in (None, "custom"):
            return no_offer(f"{place}.type", f"tools of type {tool['type']!r}")
        for name in ("name", "input_schema"):
            if name not in tool:
                return missing(f"{place}.{name}")
        name, schema = tool["name"], tool["input_schema"]
        if not isinstance(name, str) or not re.fullmatch("[a-zA-Z0-9_-]{1,128}", name):
            signs = "letters, digits, underscores or hyphens"
            return f"{place}.name: must be 1 to 128 {signs}"
        if not isinstance(schema, dict) or schema.get("type") != "object":
            return f"{place}.input_schema: must be a schema with the type object"
    if choice is None:
        return None
    if choice.get("type") not in CHOICES:
        return f"tool_choice.type: must be one of {', '.join(CHOICES)}"
    if choice["type"] != "none" and not tools:
        return "tool_choice: it is allowed only with tools"
    if choice["type"] == "tool":
        names = [tool["name"] for tool in tools]
        if choice.get("name") not in names:
            return f"tool_choice.name: {choice.get('name')!r} is not among the tools"
    return None


def _wrong_format(config: dict[str, Any]) -> str | None:
    wanted, place = config.get("format"), "output_config.format"
    if wanted is None:
        return None
    if not isinstance(wanted, dict) or wanted.get("type") != "json_schema":
        return f"{place}: must be an object with the type json_schema"
    return None if "schema" in wanted else missing(f"{place}.schema")
