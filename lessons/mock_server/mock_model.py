"""The mock model: what it answers, whatever the dialect it is asked in."""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from .reply import to_json
from .schema import CannotSatisfy, value_for

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


_TOKEN = re.compile(r"\s*(?:[^\W\u2e80-\U0010ffff]+|\S)|\s+$")


class Tool(NamedTuple):
    """A function that the model may call; schema is that of its arguments, None for
    any object.
    """

    name: str
    description: str
    schema: Any


class Format(NamedTuple):
    """The form that an answer must have: JSON.

    is_any: True for any JSON object; else the JSON satisfies schema, None for any.
    param, place: where the request speaks of it, for an error.
    """

    param: str
    place: str
    is_any: bool = False
    schema: Any = None


class Question(NamedTuple):
    """What the model is asked.

    said: what the user said, the last of it being the question.
    result: what a tool has answered, if nothing was said after it.
    choice: whether a tool is called: "none", "auto" (once: after the answer of a tool
        the model speaks itself) or "required"; named: the tool that must be called.
    text: an answer that is prescribed, or None.
    """

    said: list[str]
    result: str | None = None
    tools: Sequence[Tool] = ()
    choice: str = "auto"
    named: str | None = None
    format: Format | None = None
    text: str | None = None


class Answer(NamedTuple):
    """What the model answers: a text or, if tool is not None, the arguments in JSON
    with which it calls the tool of that name.
    """

    text: str
    tool: str | None = None


class BadSchema(ValueError):
    """A schema cannot be satisfied; param is the field of the request it stands in."""

    def __init__(self, param: str, place: str, error: CannotSatisfy) -> None:
        super().__init__(f"Invalid schema for {place}: {error}")
        self.param = param


def ask(question: Question) -> Answer:
    """Return the answer to a question, always the same for the same one.

    Raises BadSchema.
    """
    if question.text is not None:
        return Answer(question.text)
    if tool := _tool_to_call(question):
        schema = {"type": "object"} if tool.schema is None else tool.schema
        place = f"the parameters of {tool.name!r}"
        return Answer(_json_for(schema, "tools", place), tool.name)
    wanted = question.format
    if wanted and not wanted.is_any:
        schema = {} if wanted.schema is None else wanted.schema
        return Answer(_json_for(schema, wanted.param, wanted.place))
    if question.result is None:
        text = answer_to(question.said)
    else:
        text = f"The tool says: {question.result}"
    return Answer(to_json({"answer": text}).decode() if wanted else text)


def _json_for(schema: Any, param: str, place: str) -> str:
    try:
        return to_json(value_for(schema)).decode()
    except CannotSatisfy as error:
        raise BadSchema(param, place, error) from error


def _tool_to_call(question: Question) -> Tool | None:
    if question.named is not None:
        return next(tool for tool in question.tools if tool.name == question.named)
    if not question.tools or question.choice == "none":
        return None
    if question.choice != "required" and question.result is not None:
        return None
    return choose_tool(question.tools, " ".join(question.said[-1:]))


def words(text: str) -> list[str]:
    """Split text into what this server calls tokens: a word with the space before it,
    or one other character.
    """
    # finditer, not findall: between two words, other threads have their turn.
    return [found[0] for found in _TOKEN.finditer(text)]


def content_text(content: Any) -> str:
    """Return the text of a message's content, which is a text or a list of parts."""
    if isinstance(content, list):
        return " ".join(
            part["text"]
            for part in content
            if isinstance(part, dict) and isinstance(part.get("text"), str)
        )
    return content or ""


def cut(text: str, stops: Sequence[str]) -> tuple[str, str | None]:
    """Return text up to the first of the stop words in it, and that stop word."""
    found = [(text.find(stop), stop) for stop in stops if stop and stop in text]
    if not found:
        return text, None
    place, stop = min(found)
    return text[:place], stop


def answer_to(said: Sequence[str]) -> str:
    """Return the answer to what the user said, the last of it being the question.

    The model knows nothing but what it is sent.
    """
    question = said[-1].strip() if said else ""
    if question.lower().startswith("what is my name"):
        found = [re.search(r"(?i)\bmy name is (\w+)", text) for text in said]
        names = [one[1] for one in found if one]
        if not names:
            return "You have not told me your name."
        return f"Your name is {names[-1]}."
    for start, answer in ANSWERS.items():
        if question.lower().startswith(start):
            return answer
    return f"This is a mock answer to: {question}"


def choose_tool(tools: Sequence[Tool], question: str) -> Tool:
    """Return the tool whose name and description have most words of the question; the
    first of equals.
    """
    asked = set(re.findall(r"[^\W_]+", question.lower()))

    def shared(tool: Tool) -> int:
        about = f"{tool.name} {tool.description}".lower()
        return len(asked & set(re.findall(r"[^\W_]+", about)))

    return max(tools, key=shared)
