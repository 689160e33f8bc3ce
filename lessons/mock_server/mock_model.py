"""The mock model: what it answers, whatever the dialect it is asked in."""

import re
from collections.abc import Sequence
from typing import Any

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


def words(text: str) -> list[str]:
    """Split text into what this server calls tokens: a word with the space before it,
    or one other character.
    """
    # finditer, not findall: between two words, other threads have their turn.
    return [found[0] for found in _TOKEN.finditer(text)]


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


def choose_tool(tools: Sequence[dict[str, Any]], question: str) -> dict[str, Any]:
    """Return the tool whose name and description have most words of the question; the
    first of equals.
    """
    asked = set(re.findall(r"[^\W_]+", question.lower()))

    def shared(tool: dict[str, Any]) -> int:
        about = f"{tool['name']} {tool.get('description') or ''}".lower()
        return len(asked & set(re.findall(r"[^\W_]+", about)))

    return max(tools, key=shared)
