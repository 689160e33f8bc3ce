"""OpenAI's dialect: embeddings, of the model mock-embedding.

A text is the sum of its words, and each word is a fixed direction of its own: texts
that share words are near to each other, and others are not. The shapes and bounds
follow OpenAI's published API description.
"""

import base64
import hashlib
import math
import struct
from collections import Counter
from functools import lru_cache
from typing import Any

from . import openai_shared
from .call import Call
from .dialect import Dialect
from .mock_model import words
from .openai_check import check_fields, is_whole
from .openai_shared import bad, check_limit, unknown_model
from .reply import Reply, to_json

MODEL = "mock-embedding"
DIMENSIONS = 256  # of a vector, if no fewer are asked for
MOST_INPUTS, MOST_TOKENS, MOST_TOKENS_TOGETHER = 2048, 8192, 300_000


def _is_text_or_tokens(value: Any) -> bool:
    if isinstance(value, list):
        return value != [] and all(map(is_whole, value))
    return isinstance(value, str) and value != ""


def _is_input(value: Any) -> bool:
    if _is_text_or_tokens(value):
        return True
    return (
        isinstance(value, list) and value != [] and all(map(_is_text_or_tokens, value))
    )


FIELDS = {
    "model": (lambda value: isinstance(value, str), "a string"),
    "input": (
        _is_input,
        "a string that is not empty, a list of numbers of tokens, or a list of those",
    ),
    "encoding_format": (
        lambda value: value in ("float", "base64"),
        "'float' or 'base64'",
    ),
    "dimensions": (is_whole, "a number"),
}
LIMITS = {"dimensions": (1, DIMENSIONS)}


def _tokens(text: str | list[int]) -> list[str]:
    """Return the tokens of one input, which may itself be a list of numbers."""
    if isinstance(text, list):
        return [f"token {number}" for number in text]
    return words(text)


def _inputs(value: Any) -> list[list[str]]:
    """Return the tokens of each input."""
    if _is_text_or_tokens(value):
        value = [value]
    return [_tokens(one) for one in value]


@lru_cache(maxsize=4096)
def _direction(word: str) -> tuple[int, ...]:
    """Return the direction of a word, not of length 1."""
    data = hashlib.shake_256(word.encode("utf-8", "replace")).digest(DIMENSIONS)
    return struct.unpack(f"{DIMENSIONS}b", data)


def vector(tokens: list[str], dimensions: int = DIMENSIONS) -> list[float]:
    """Return the vector of a text: of length 1, in numbers of single precision.

    Fewer dimensions are the first of all, as at OpenAI's models.
    """
    plain = [token.strip().lower() for token in tokens]
    # Signs count only in a text that has nothing else.
    counted = Counter([word for word in plain if any(map(str.isalnum, word))] or plain)
    total = [0] * DIMENSIONS
    for word, times in counted.items():
        direction = _direction(word)
        total = [
            one + times * other for one, other in zip(total, direction, strict=True)
        ]
    kept = total[:dimensions]
    length = math.sqrt(sum(one * one for one in kept)) or 1.0
    packed = struct.pack(f"<{dimensions}f", *(one / length for one in kept))
    return list(struct.unpack(f"<{dimensions}f", packed))


def embed(call: Call) -> Reply:
    """Answer POST /v1/embeddings."""
    if wrong := check_fields(call, FIELDS, LIMITS, {}, ("model", "input")):
        return wrong
    body = call.json
    if body["model"] != MODEL and not call.state.has_model(body["model"]):
        return unknown_model(body["model"], f"for embeddings, there is {MODEL!r}")
    inputs = _inputs(body["input"])
    used = sum(map(len, inputs))
    if wrong := _check_size(inputs, used):
        return wrong
    if limited := check_limit(call, used):
        return limited
    dimensions = body.get("dimensions") or DIMENSIONS
    is_packed = body.get("encoding_format") == "base64"
    # Each is encoded for itself: between two of them, other threads have their turn.
    data = [
        to_json(_embedding(index, vector(tokens, dimensions), is_packed))
        for index, tokens in enumerate(inputs)
    ]
    usage = {"prompt_tokens": used, "total_tokens": used}
    rest = to_json({"model": body["model"], "usage": usage})
    reply, start = Reply(), b'{"object":"list","data":['
    joined = start + b",".join(data) + b"]," + rest[1:]
    reply.set_body(joined, "application/json")
    return reply


def _embedding(index: int, numbers: list[float], is_packed: bool) -> dict[str, Any]:
    embedding: list[float] | str = numbers
    if is_packed:
        data = struct.pack(f"<{len(numbers)}f", *numbers)
        embedding = base64.b64encode(data).decode()
    return {"object": "embedding", "index": index, "embedding": embedding}


def _check_size(inputs: list[list[str]], used: int) -> Reply | None:
    if len(inputs) > MOST_INPUTS:
        message = f"'input' may have {MOST_INPUTS} texts, not {len(inputs)}"
        return bad("input", message, "invalid_value")
    if (longest := max(map(len, inputs))) > MOST_TOKENS:
        message = f"A text may have {MOST_TOKENS} tokens, not {longest}"
        return bad("input", message, "invalid_value")
    if used > MOST_TOKENS_TOGETHER:
        message = f"All texts may have {MOST_TOKENS_TOGETHER} tokens, not {used}"
        return bad("input", message, "max_tokens_per_request")
    return None


DIALECT = Dialect(
    routes=(("POST", "/v1/embeddings", embed),),
    error=openai_shared.error_body,
    error_headers=openai_shared.error_headers,
    forms={},
    check=openai_shared.check_key,
    headers=openai_shared.headers,
    weight=50,
)
