"""What holds for every dialect of the models: no value of any field breaks it."""

import itertools
import json
from typing import Any

import httpx
import pytest
from mock_server import MockServer
from mock_server.routes import DIALECTS

TURNS = [{"role": "user", "content": "Say hello"}]
TOOL = {
    "type": "function",
    "name": "a",
    "parameters": {},
    "function": {"name": "a"},
}
CALL = {"type": "function_call", "call_id": "1", "name": "a", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "1", "output": "x"}
USE = {"type": "tool_use", "id": "1", "name": "a", "input": {}}
RESULT = {"type": "tool_result", "tool_use_id": "1", "content": "x"}
IMAGE = {"type": "image", "source": {}, "text": "an unknown field"}
ASKS: dict[str, dict[str, Any]] = {
    "/v1/responses": {
        "model": "mock-small",
        "input": [{"role": "user", "content": "hi", "type": "message"}, CALL, OUTPUT],
        "tools": [TOOL],
        "tool_choice": {"type": "function", "name": "a"},
        "text": {"format": {"type": "json_schema", "name": "x", "schema": {}}},
        "include": ["x"],
        "stream": False,
    },
    "/v1/messages": {
        "model": "mock-small",
        "max_tokens": 9,
        "system": [{"type": "text", "text": "x"}],
        "messages": [
            *TURNS,
            {"role": "assistant", "content": [USE]},
            {"role": "user", "content": [RESULT, {"type": "text", "text": "x"}]},
            {"role": "assistant", "content": []},
            {"role": "user", "content": [IMAGE]},
        ],
        "tools": [{"name": "a", "input_schema": {"type": "object"}}],
        "tool_choice": {"type": "tool", "name": "a"},
        "output_config": {"format": {"type": "json_schema", "schema": {}}},
        "thinking": {"type": "disabled"},
        "stop_sequences": ["x"],
    },
    "/v1/embeddings": {
        "model": "mock-embedding",
        "input": ["a", [1]],
        "dimensions": 2,
        "encoding_format": "float",
    },
}
WRONG = (None, True, 0, -1, 1.5, "", "x", [], [[]], [None], {}, {"type": []}, 10**30)


def places(value: Any, way: tuple = ()) -> Any:
    """Yield the way to every value inside of value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    for name, one in inner:
        yield (*way, name)
        if isinstance(one, dict | list):
            yield from places(one, (*way, name))


def changed(body: dict, way: tuple, value: Any) -> dict:
    """Return a copy of body with another value at the end of the way."""
    copy = json.loads(json.dumps(body))
    inner = copy
    for name in way[:-1]:
        inner = inner[name]
    inner[way[-1]] = value
    return copy


@pytest.mark.parametrize("path", ASKS)
def test_wrong_values_are_refused(server: MockServer, path: str) -> None:
    """Every value of a good request, replaced by every kind of a wrong one, gets a 400
    with an error in the words of the dialect, or a normal answer.
    """
    headers = {"Authorization": f"Bearer {server.api_key}"}
    headers |= {"anthropic-version": "2023-06-01"}
    with httpx.Client(base_url=server.url, headers=headers) as client:
        good = client.post(path, json=ASKS[path])
        assert good.status_code == 200, good.text
        for way, value in itertools.product(places(ASKS[path]), WRONG):
            reply = client.post(path, json=changed(ASKS[path], way, value))
            about = f"{way} = {value!r}: {reply.status_code} {reply.text[:200]}"
            assert reply.status_code in (200, 400, 404), about
            if reply.status_code != 200:
                assert reply.json()["error"]["message"], about
        for body in (b"", b"[]", b"nul", b"\xff", b"[" * 100_000):
            reply = client.post(path, content=body)
            assert reply.status_code == 400, f"{body[:9]!r}: {reply.status_code}"
            assert "JSON" in reply.json()["error"]["message"]


def test_every_dialect_states_its_source() -> None:
    """The docstring of each of the models' dialects says where its shapes are from."""
    from mock_server import (
        anthropic_messages,
        embeddings,
        openai_chat,
        openai_responses,
    )

    for module in (anthropic_messages, embeddings, openai_chat, openai_responses):
        assert module.DIALECT in DIALECTS
        assert "follow" in " ".join(module.__doc__.split()), module.__name__
