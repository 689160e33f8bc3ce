"""The mock server's /v1/responses, as the official openai package and a reader of its
bytes see them; the faults and retries are in test_openai_sdk.py.
"""

import json
from collections.abc import Iterator

import httpx
import openai
import pytest
from mock_server import MockServer, fault
from openai import OpenAI
from pydantic import BaseModel

QUESTION = "What is the capital of France?"
ANSWER = "The capital of France is Paris."
ASK = {"model": "mock-small", "input": QUESTION}
LONG = {"model": "mock-small", "input": "word " * 40}
WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "Tells the weather in a city.",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
    "strict": True,
}
OTHER = {**WEATHER, "name": "get_time", "description": "Tells what time it is."}


class City(BaseModel):
    """The form of a structured answer."""

    name: str
    people: int


@pytest.fixture
def client(server: MockServer) -> Iterator[OpenAI]:
    """The official client, which never retries."""
    with OpenAI(
        api_key=server.api_key, base_url=server.base_url, max_retries=0, timeout=5
    ) as made:
        yield made


def test_a_whole_response(client: OpenAI) -> None:
    """A whole response has the text, the counts and the fields that the SDK knows."""
    response = client.responses.create(**ASK, instructions="Be short.")
    assert (response.output_text, response.status) == (ANSWER, "completed")
    assert (response.object, response.model, response.instructions, response.error) == (
        "response",
        "mock-small",
        "Be short.",
        None,
    )
    usage = response.usage
    assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (10, 7, 17)
    assert response.id.startswith("resp_") and response._request_id.startswith("req_")
    unknown = response.model_extra, response.output[0].model_extra
    assert unknown == ({}, {}), f"fields unknown to the SDK: {unknown}"


def test_input_as_a_list(client: OpenAI) -> None:
    """Turns are read from a list, with texts or with parts as their content."""
    turns = [
        {
            "role": "user",
            "content": [{"type": "input_text", "text": "My name is Ada."}],
        },
        {"role": "assistant", "content": [{"type": "output_text", "text": "Hello."}]},
        {"type": "message", "role": "user", "content": "What is my name?"},
    ]
    response = client.responses.create(model="mock-small", input=turns)
    assert response.output_text == "Your name is Ada."


def test_the_events_of_a_stream(client: OpenAI) -> None:
    """A streamed response has the service's events, in order and numbered, and ends
    with the whole response.
    """
    events = list(client.responses.create(**ASK, stream=True))
    kinds = [event.type.removeprefix("response.") for event in events]
    assert kinds == [
        *("created", "in_progress", "output_item.added", "content_part.added"),
        *["output_text.delta"] * 7,
        *("output_text.done", "content_part.done", "output_item.done", "completed"),
    ]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert "".join(event.delta for event in events[4:11]) == events[11].text == ANSWER
    assert events[0].response.output == [] and events[0].response.usage is None
    final = events[-1].response
    assert final.output_text == ANSWER and final.usage.output_tokens == 7
    unknown = [event.model_extra for event in events if event.model_extra]
    assert not unknown, f"fields unknown to the SDK: {unknown}"


def test_the_stream_helper(client: OpenAI) -> None:
    """The SDK's own helper puts the response together again."""
    with client.responses.stream(**ASK) as stream:
        assert stream.get_final_response().output_text == ANSWER


def test_structured_answers(client: OpenAI) -> None:
    """parse() and the stream helper give an object of the class that is asked for."""
    wanted = City(name="mock name", people=1)
    assert client.responses.parse(**ASK, text_format=City).output_parsed == wanted
    with client.responses.stream(**ASK, text_format=City) as stream:
        assert stream.get_final_response().output_parsed == wanted
    form = {"format": {"type": "json_object"}}
    said = {"model": "mock-small", "input": "Say hello in JSON."}
    text = client.responses.create(**said, text=form).output_text
    assert list(json.loads(text)) == ["answer"]


@pytest.mark.parametrize(
    ("choice", "called"),
    [
        ("auto", "get_weather"),
        ("required", "get_weather"),
        ({"type": "function", "name": "get_time"}, "get_time"),
        ("none", None),
    ],
    ids=str,
)
def test_tool_calls(client: OpenAI, choice: object, called: str | None) -> None:
    """A tool is called as tool_choice says, plain and streamed alike."""
    ask = {"model": "mock-small", "input": "How is the weather?"}
    ask |= {"tools": [OTHER, WEATHER], "tool_choice": choice}
    (item,) = client.responses.create(**ask).output
    with client.responses.stream(**ask) as stream:
        (streamed,) = stream.get_final_response().output
    assert getattr(item, "name", None) == getattr(streamed, "name", None) == called
    if called:
        assert json.loads(item.arguments) == {"city": "mock city"}
        assert streamed.parsed_arguments == {"city": "mock city"}
        assert item.call_id.startswith("call_")


def test_a_turn_of_tools(client: OpenAI) -> None:
    """After the tool's output the model speaks itself; without it, it is a 400."""
    tools = {"model": "mock-small", "tools": [WEATHER]}
    first = client.responses.create(input=QUESTION, **tools)
    turns = [{"role": "user", "content": QUESTION}, first.output[0].to_dict()]
    call_id = first.output[0].call_id
    output = {"type": "function_call_output", "call_id": call_id, "output": "18 °C"}
    second = client.responses.create(input=[*turns, output], **tools)
    assert second.output_text == "The tool says: 18 °C"
    for wrong in (turns, [turns[0], output], [*turns, output, output]):
        with pytest.raises(openai.BadRequestError, match="call"):
            client.responses.create(input=wrong, **tools)


def test_too_few_tokens(client: OpenAI) -> None:
    """A response that max_output_tokens cuts is incomplete, and says why."""
    response = client.responses.create(**LONG, max_output_tokens=16)
    assert (response.status, response.usage.output_tokens) == ("incomplete", 16)
    assert response.incomplete_details.reason == "max_output_tokens"
    last = list(client.responses.create(**LONG, max_output_tokens=16, stream=True))[-1]
    assert last.type == "response.incomplete"
    assert last.response.output_text == response.output_text


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ({"input": []}, "input"),
        ({"input": [{"role": "robot", "content": "x"}]}, "input[0].role"),
        ({"input": [{"role": "user"}]}, "input[0].content"),
        ({"input": [{"type": "computer_call"}]}, "input[0].type"),
        ({"max_output_tokens": 15}, "max_output_tokens"),
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"background": True}, "background"),
        ({"include": ["message.output_text.logprobs"]}, "include"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"tools": [{**WEATHER, "name": "a b"}]}, "tools[0].name"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"text": {"format": {"type": "xml"}}}, "text.format.type"),
        ({"text": {"format": {"type": "json_object"}}}, "input"),
        (
            {"text": {"format": {"type": "json_schema", "name": "x", "schema": False}}},
            "text.format.schema",
        ),
    ],
    ids=lambda one: one if isinstance(one, str) else None,
)
def test_wrong_requests(client: OpenAI, wrong: dict, param: str) -> None:
    """What is wrong or not offered is a 400 whose param names it."""
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(**{**ASK, **wrong})
    assert caught.value.param == param


def test_the_bytes_of_an_error_in_a_stream(server: MockServer) -> None:
    """The event of an error has a name, a number and the error inside of it, and no
    [DONE] comes after it.
    """
    server.script(fault.stream_error(after_events=1))
    headers = {"Authorization": f"Bearer {server.api_key}"}
    url = f"{server.base_url}/responses"
    text = httpx.post(url, json={**ASK, "stream": True}, headers=headers).text
    *_, before, last = text.strip().split("\n\n")
    assert before.startswith("event: response.output_text.delta\ndata: {")
    name, data = last.split("\n")
    value = json.loads(data.removeprefix("data: "))
    assert (name, value["type"], value["sequence_number"]) == (
        "event: error",
        "error",
        5,
    )
    assert value["error"]["type"] == "server_error"


def test_an_answer_without_content(server: MockServer, client: OpenAI) -> None:
    """A response without content has no output, plain and streamed, and is whole."""
    server.script(*[fault.no_content()] * 2)
    plain = client.responses.create(**ASK)
    with client.responses.stream(**ASK) as stream:
        streamed = stream.get_final_response()
    for response in (plain, streamed):
        assert (response.output, response.status) == ([], "completed")
        assert response.output_text == ""


def test_another_reason_for_the_end(server: MockServer, client: OpenAI) -> None:
    """finish() says why a response is incomplete; the last event has that name, too."""
    server.script(*[fault.finish("content_filter")] * 3, fault.finish(None))
    plain = client.responses.create(**ASK)
    last = list(client.responses.create(**ASK, stream=True))[-1]
    assert last.type == "response.incomplete"
    for response in (plain, last.response):
        assert response.status == "incomplete" and response.output_text == ANSWER
        assert response.incomplete_details.reason == "content_filter"
    headers = {"Authorization": f"Bearer {server.api_key}"}
    asked = {"json": {**ASK, "stream": True}, "headers": headers}
    text = httpx.post(f"{server.base_url}/responses", **asked).text
    assert text.count("event: response.incomplete\ndata: ") == 1
    assert client.responses.create(**ASK).incomplete_details is None


@pytest.mark.parametrize("path", ["/responses", "/messages", "/embeddings"])
def test_a_form_that_a_service_does_not_know(server: MockServer, path: str) -> None:
    """A fault that has no meaning at an address is a 501 that says so, and a refusal
    stays what it is.
    """
    server.script(*[fault.parts(), fault.stream_error(shape="choice"), fault.parts()])
    headers = {"Authorization": f"Bearer {server.api_key}"}
    headers |= {"anthropic-version": "2023-06-01"}
    turns = [{"role": "user", "content": "x"}]
    body = {"model": "mock-small", "input": "x", "messages": turns, "max_tokens": 9}
    body["model"] = "mock-embedding" if path == "/embeddings" else "mock-small"
    url = server.base_url + path
    for name in ("parts", "stream_error"):
        reply = httpx.post(url, json=body, headers=headers)
        assert reply.status_code == 501
        assert f"the fault {name}" in reply.json()["error"]["message"]
    assert httpx.post(url, json={}, headers=headers).status_code == 400
