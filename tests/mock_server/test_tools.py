"""Tools and structured answers of chat completions, judged by the official SDK and by
the jsonschema package.
"""

import json
from collections.abc import Iterator
from typing import Any, Literal

import jsonschema
import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mock_server import MockServer, fault
from mock_server.schema import CannotSatisfy, value_for
from openai import OpenAI
from pydantic import BaseModel, Field

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string"},
                "days": {"type": "integer", "minimum": 2, "maximum": 9},
                "unit": {"enum": ["celsius", "fahrenheit"]},
            },
            "required": ["city", "days", "unit"],
            "additionalProperties": False,
        },
    },
}
TIME = {"type": "function", "function": {"name": "get_time", "description": "The time"}}
ASK: list[Any] = [{"role": "user", "content": "What is the weather in Paris?"}]


@pytest.fixture
def client(server: MockServer) -> Iterator[OpenAI]:
    """The official client, without retries."""
    with OpenAI(
        api_key=server.api_key, base_url=server.base_url, max_retries=0
    ) as made:
        yield made


def complete(client: OpenAI, messages: list[Any] = ASK, **more: Any) -> Any:
    """Ask the model and return its only choice."""
    made = client.chat.completions.create(model="mock-small", messages=messages, **more)
    return made.choices[0]


def streamed(client: OpenAI, **more: Any) -> Any:
    """Ask for a stream, and return the choice that the SDK puts together from it."""
    call = {"model": "mock-small", "messages": ASK, **more}
    with client.chat.completions.stream(**call) as stream:
        return stream.get_final_completion().choices[0]


# --- tools ----------------------------------------------------------------------------


@pytest.mark.parametrize("ask", [complete, streamed])
def test_a_tool_is_called(client: OpenAI, ask: Any) -> None:
    """The model calls the tool that the question is about, with arguments that satisfy
    its schema, plain and streamed alike.
    """
    choice = ask(client, tools=[TIME, WEATHER])
    assert (choice.finish_reason, choice.message.content) == ("tool_calls", None)
    [call] = choice.message.tool_calls
    assert (call.type, call.function.name) == ("function", "get_weather")
    arguments = json.loads(call.function.arguments)
    jsonschema.validate(arguments, WEATHER["function"]["parameters"])
    assert call.id.startswith("call_")
    assert set(arguments) == {"city", "days", "unit"}


def test_the_stream_and_the_document_agree(client: OpenAI) -> None:
    """Arguments come in several pieces, and together they are those of the document."""
    more = {"tools": [WEATHER], "model": "mock-small", "messages": ASK}
    pieces = [
        call.function.arguments
        for chunk in client.chat.completions.create(stream=True, **more)
        for call in chunk.choices[0].delta.tool_calls or []
    ]
    whole = complete(client, tools=[WEATHER]).message.tool_calls[0].function.arguments
    assert "".join(pieces) == whole
    assert len(pieces) > 3, "they came at once"


def test_tool_choice_is_obeyed(client: OpenAI) -> None:
    """none, auto, required and a named function decide whether a tool is called, and
    which.
    """
    tools = [TIME, WEATHER]
    named = {"type": "function", "function": {"name": "get_time"}}
    for choice, name, reason in (
        ("none", None, "stop"),
        ("auto", "get_weather", "tool_calls"),
        ("required", "get_weather", "tool_calls"),
        (named, "get_time", "stop"),
    ):
        made = complete(client, tools=tools, tool_choice=choice)
        calls = made.message.tool_calls or []
        names = [call.function.name for call in calls]
        assert names == [name] * bool(name), f"for tool_choice {choice}"
        assert made.finish_reason == reason, f"for tool_choice {choice}"


def test_a_conversation_with_a_tool(client: OpenAI) -> None:
    """The answer of the tool goes back in a message of role tool, after a message of
    the assistant without content; then the model speaks.
    """
    message = complete(client, tools=[WEATHER]).message
    turn = message.model_dump(exclude_none=True, exclude={"annotations", "refusal"})
    assert "content" not in turn
    [call] = turn["tool_calls"]
    result = {"role": "tool", "tool_call_id": call["id"], "content": "18 degrees"}
    choice = complete(client, [*ASK, turn, result], tools=[WEATHER])
    assert choice.message.tool_calls is None
    assert "18 degrees" in choice.message.content
    again = complete(
        client, [*ASK, turn, result], tools=[WEATHER], tool_choice="required"
    )
    assert again.message.tool_calls, "required means that a tool is called"


def test_a_prescribed_text_comes_before_tools(
    server: MockServer, client: OpenAI
) -> None:
    """The text of a rule is the answer, whatever else was asked for."""
    server.on().reply(text="no tool")
    choice = complete(client, tools=[WEATHER], tool_choice="required")
    assert choice.message.content == "no tool"


def test_max_tokens_cuts_arguments(client: OpenAI) -> None:
    """Arguments that are too long end with the reason length, as half JSON."""
    choice = complete(client, tools=[WEATHER], max_tokens=3)
    assert choice.finish_reason == "length"
    with pytest.raises(json.JSONDecodeError):
        json.loads(choice.message.tool_calls[0].function.arguments)


def test_faults_strike_tool_calls_too(server: MockServer, client: OpenAI) -> None:
    """A stream of arguments can be cut after so many events."""
    server.script(fault.truncate(after_events=2))
    call = {"model": "mock-small", "messages": ASK, "tools": [WEATHER]}
    chunks = list(client.chat.completions.create(stream=True, **call))
    assert len(chunks) == 3


CALL = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "get_weather", "arguments": "{}"},
}
CALLING = {"role": "assistant", "tool_calls": [CALL]}
RESULT = {"role": "tool", "tool_call_id": "call_1", "content": "18"}
WRONG_TURNS = {
    "a result without a call": ([*ASK, RESULT], "messages[1].tool_call_id"),
    "a call without a result": ([*ASK, CALLING], "messages"),
    "a question before the result": ([*ASK, CALLING, *ASK], "messages"),
    "a result twice": ([*ASK, CALLING, RESULT, RESULT], "messages[3].tool_call_id"),
    "no tool_call_id": (
        [*ASK, CALLING, {"role": "tool", "content": "18"}],
        "messages[2].tool_call_id",
    ),
    "no content and no call": ([{"role": "assistant"}], "messages[0].content"),
    "a call without an id": (
        [{"role": "assistant", "tool_calls": [{"function": {}}]}],
        "messages[0].tool_calls[0]",
    ),
    "calls that are no list": (
        [{"role": "assistant", "tool_calls": 5}],
        "messages[0].tool_calls",
    ),
}


@pytest.mark.parametrize(("messages", "param"), WRONG_TURNS.values(), ids=WRONG_TURNS)
def test_wrong_turns(client: OpenAI, messages: list, param: str) -> None:
    """Turns that do not belong together are a 400 that names the message."""
    with pytest.raises(openai.BadRequestError) as caught:
        complete(client, messages)
    assert caught.value.param == param, caught.value


NAMED = {"type": "function", "function": {"name": "get_time"}}
NOT_OFFERED = {
    "logprobs": ({"logprobs": True}, "logprobs"),
    "audio": ({"modalities": ["text", "audio"]}, "modalities"),
    "functions": ({"functions": [{"name": "f"}]}, "functions"),
    "a search": ({"web_search_options": {}}, "web_search_options"),
    "a custom tool": ({"tools": [{"type": "custom"}]}, "tools[0].type"),
    "a tool without a type": ({"tools": [{}]}, "tools[0]"),
    "a tool without a name": (
        {"tools": [{"type": "function", "function": {}}]},
        "tools[0].function.name",
    ),
    "tools that are no list": ({"tools": 5}, "tools"),
    "a choice without tools": ({"tool_choice": "required"}, "tool_choice"),
    "an unknown choice": ({"tools": [WEATHER], "tool_choice": "any"}, "tool_choice"),
    "an unknown tool": ({"tools": [WEATHER], "tool_choice": NAMED}, "tool_choice"),
    "an unknown format": (
        {"response_format": {"type": "xml"}},
        "response_format.type",
    ),
    "no schema": (
        {"response_format": {"type": "json_schema"}},
        "response_format.json_schema",
    ),
    "json without the word": ({"response_format": {"type": "json_object"}}, "messages"),
    "a schema that is none": (
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "a", "schema": 5},
            }
        },
        "response_format",
    ),
}


@pytest.mark.parametrize(("more", "param"), NOT_OFFERED.values(), ids=NOT_OFFERED)
def test_what_is_not_offered(client: OpenAI, more: dict, param: str) -> None:
    """What this server does not do is a 400 that names it, and never left out in
    silence.
    """
    with pytest.raises(openai.BadRequestError) as caught:
        complete(client, extra_body=more)
    assert caught.value.param == param, caught.value


# --- structured answers ---------------------------------------------------------------


class Step(BaseModel):
    """A step of a recipe."""

    text: str
    minutes: int = Field(ge=3, le=90)


class Recipe(BaseModel):
    """What the model is asked for."""

    name: str
    kind: Literal["soup", "cake"]
    steps: list[Step]
    note: str | None


@pytest.mark.parametrize("is_stream", [False, True])
def test_parse_gives_an_object(client: OpenAI, is_stream: bool) -> None:
    """The SDK's parse() makes an object of the answer, plain and streamed."""
    call = {"model": "mock-small", "messages": ASK, "response_format": Recipe}
    if is_stream:
        with client.chat.completions.stream(**call) as stream:
            choice = stream.get_final_completion().choices[0]
    else:
        choice = client.chat.completions.parse(**call).choices[0]
    recipe = choice.message.parsed
    assert isinstance(recipe, Recipe) and recipe.steps
    assert choice.finish_reason == "stop"


def test_parse_with_tools(client: OpenAI) -> None:
    """A pydantic tool of the SDK gets its arguments as an object."""
    tool = openai.pydantic_function_tool(Step)
    made = client.chat.completions.parse(model="mock-small", messages=ASK, tools=[tool])
    [call] = made.choices[0].message.tool_calls
    assert isinstance(call.function.parsed_arguments, Step)


def test_a_json_object(client: OpenAI) -> None:
    """response_format json_object gives an object, for every choice of several."""
    made = client.chat.completions.create(
        model="mock-small",
        messages=[{"role": "user", "content": "Say hello in JSON"}],
        response_format={"type": "json_object"},
        n=2,
    )
    for choice in made.choices:
        assert isinstance(json.loads(choice.message.content), dict)


def test_an_impossible_schema_names_its_part(client: OpenAI) -> None:
    """A schema for which we have no value is a 400 that says which part it is."""
    schema = {
        "type": "object",
        "properties": {"a": {"type": "string", "pattern": "^zq{9}$"}},
        "required": ["a"],
    }
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    with pytest.raises(openai.BadRequestError, match=r"properties\.a\.pattern"):
        complete(client, response_format=wanted)


def test_answers_are_the_same_every_time(client: OpenAI) -> None:
    """Equal requests get equal answers, tool calls and their ids included."""
    first, second = (complete(client, tools=[WEATHER]) for _ in range(2))
    assert first == second


# --- schemas --------------------------------------------------------------------------

NODE = {
    "type": "object",
    "properties": {
        "value": {"type": "integer"},
        "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
        "more": {"type": "array", "items": {"$ref": "#/$defs/node"}},
        "best": {"$ref": "#/$defs/node"},
    },
    "required": ["value", "next", "more"],
}
SCHEMAS = {
    "anything": True,
    "a list in itself": {"$defs": {"node": NODE}, "$ref": "#/$defs/node"},
    "all of two": {
        "allOf": [
            {
                "type": "object",
                "properties": {"a": {"type": "integer"}},
                "required": ["a"],
            },
            {"properties": {"a": {"minimum": 9}, "b": {"format": "date"}}},
        ]
    },
    "one of overlapping": {
        "oneOf": [{"type": "integer"}, {"type": "number"}, {"type": "null"}]
    },
    "a tuple": {
        "prefixItems": [{"type": "string"}, {"type": "integer"}],
        "items": False,
    },
    "different items": {
        "type": "array",
        "items": {"type": "string"},
        "minItems": 4,
        "uniqueItems": True,
    },
    "different choices": {
        "type": "array",
        "items": {"enum": [1, 2, 3]},
        "minItems": 3,
        "uniqueItems": True,
    },
    "a postcode": {"type": "string", "pattern": r"^\d{5}$"},
    "a code": {"type": "string", "pattern": "^[A-Z]{2}-[0-9]{4}$"},
    "a map": {
        "type": "object",
        "additionalProperties": {"type": "integer"},
        "minProperties": 2,
    },
    "a needed key without a schema": {"type": "object", "required": ["a"]},
    "true and one": {"enum": [True]},
}


@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS)
def test_values_satisfy_their_schemas(schema: Any) -> None:
    """The value for a schema is right, as jsonschema sees it."""
    jsonschema.validate(value_for(schema), schema)


BOUNDS = st.integers(-9, 9)
LEAVES = st.one_of(
    st.fixed_dictionaries(
        {"type": st.just("integer")},
        optional={
            "minimum": BOUNDS,
            "maximum": BOUNDS,
            "multipleOf": st.integers(1, 5),
            "exclusiveMinimum": BOUNDS,
        },
    ),
    st.fixed_dictionaries(
        {"type": st.just("number")}, optional={"exclusiveMaximum": BOUNDS}
    ),
    st.fixed_dictionaries(
        {"type": st.just("string")},
        optional={
            "minLength": st.integers(0, 30),
            "maxLength": st.integers(0, 30),
            "format": st.sampled_from(["date", "email", "strange"]),
        },
    ),
    st.just({"type": ["null", "boolean"]}),
    st.fixed_dictionaries({"enum": st.lists(st.sampled_from([1, "a", None, True]))}),
)


def _larger(inner: st.SearchStrategy) -> st.SearchStrategy:
    names = st.sampled_from(["a", "b", "c"])
    return st.one_of(
        st.fixed_dictionaries(
            {"type": st.just("object"), "properties": st.dictionaries(names, inner)},
            optional={
                "required": st.lists(names, unique=True),
                "additionalProperties": st.one_of(st.booleans(), inner),
                "maxProperties": st.integers(0, 3),
            },
        ),
        st.fixed_dictionaries(
            {"type": st.just("array"), "items": inner},
            optional={
                "minItems": st.integers(0, 3),
                "maxItems": st.integers(0, 3),
                "uniqueItems": st.booleans(),
            },
        ),
        st.fixed_dictionaries({"anyOf": st.lists(inner, min_size=1, max_size=3)}),
        st.fixed_dictionaries({"oneOf": st.lists(inner, min_size=1, max_size=3)}),
        st.fixed_dictionaries({"allOf": st.lists(inner, min_size=1, max_size=2)}),
    )


@settings(max_examples=300, deadline=None)
@given(st.recursive(LEAVES, _larger, max_leaves=6))
def test_any_schema_gets_a_right_value_or_a_reason(schema: Any) -> None:
    """For a schema made at random there is a value that jsonschema accepts, or a
    sentence that begins with the part that is in the way.
    """
    try:
        value = value_for(schema)
    except CannotSatisfy as error:
        assert str(error).startswith("schema")
        return
    jsonschema.validate(value, schema)


@pytest.mark.parametrize(
    "schema",
    [
        5,
        None,
        {"type": "x"},
        {"properties": 5},
        {"not": {}},
        {"pattern": "("},
        {"enum": []},
        {"$ref": "#/nowhere"},
        {"$ref": 5},
        {"type": "array", "minItems": "a"},
        {"type": "array", "minItems": 10**9},
        {"minLength": 10**9},
        {"$defs": {"a": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"},
        {"anyOf": []},
        {"type": "object", "minProperties": 10**9},
    ],
    ids=str,
)
def test_what_is_no_schema_is_refused(schema: Any) -> None:
    """A wrong, endless or boundless schema is refused with a sentence, in no time."""
    with pytest.raises(CannotSatisfy):
        value_for(schema)
