"""The official anthropic package cannot tell the mock server from a real one."""

import datetime
import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from mock_server import MockServer, fault
from mock_server.fault import Fault
from pydantic import BaseModel

ASK = {
    "model": "mock-small",
    "max_tokens": 100,
    "messages": [{"role": "user", "content": "What is the capital of France?"}],
}
ANSWER = "The capital of France is Paris."
WEATHER = {
    "name": "get_weather",
    "description": "Tells the weather in a city.",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
}
OTHER = {**WEATHER, "name": "get_time", "description": "Tells what time it is."}


class City(BaseModel):
    """The form of a structured answer."""

    name: str
    people: int


@pytest.fixture
def client(server: MockServer) -> Iterator[Any]:
    """The official client, pointed at the mock server; it never retries unless a test
    says so.
    """
    from anthropic import Anthropic

    with Anthropic(
        api_key=server.api_key, base_url=server.url, max_retries=0, timeout=5
    ) as made:
        yield made


def ask(client: Any, **more):
    """Ask for a whole message."""
    return client.messages.create(**{**ASK, **more})


def ask_streamed(client: Any, **more):
    """Ask for a streamed message and return it put together by the SDK."""
    with client.messages.stream(**{**ASK, **more}) as stream:
        return stream.get_final_message()


CALLS = pytest.mark.parametrize("call", [ask, ask_streamed])


def raises(wanted: str, action: Callable[[], object]) -> Any:
    """Return the exception that action raises, which must be of exactly that class.

    wanted: its package and name. To import anthropic takes over a second, so only the
        process that runs these tests does.
    """
    with pytest.raises(Exception) as caught:
        action()
    package = type(caught.value).__module__.split(".")[0]
    assert f"{package}.{type(caught.value).__name__}" == wanted, repr(caught.value)
    return caught.value


def post(server: MockServer, body: object, **headers: str) -> httpx.Response:
    """Send a request by hand."""
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    headers = {"x-api-key": server.api_key, "anthropic-version": "2023-06-01"} | headers
    sent = {name: value for name, value in headers.items() if value}
    return httpx.post(f"{server.base_url}/messages", json=body, headers=sent)


# --- what works -----------------------------------------------------------------------


@CALLS
def test_a_message(client: Any, call: Callable) -> None:
    """A message has the text, the counts and the fields that the SDK knows, whole as
    streamed.
    """
    message = call(client, system="Be short.")
    (block,) = message.content
    assert (block.type, block.text) == ("text", ANSWER)
    assert (message.type, message.role, message.model) == (
        "message",
        "assistant",
        "mock-small",
    )
    assert (message.stop_reason, message.stop_sequence) == ("end_turn", None)
    assert (message.usage.input_tokens, message.usage.output_tokens) == (10, 7)
    assert message.id.startswith("msg_")
    unknown = message.model_extra, block.model_extra, message.usage.model_extra
    assert unknown == ({}, {}, {}), f"fields unknown to the SDK: {unknown}"


def test_tokens_are_counted(server: MockServer, client: Any) -> None:
    """count_tokens() gives what a message then has used, and refuses a bad question."""
    question = {name: ASK[name] for name in ("model", "messages")}
    counted = client.messages.count_tokens(**question, system="Be short.")
    message = ask(client, system="Be short.")
    assert counted.input_tokens == message.usage.input_tokens == 10
    for wrong, wanted in (
        ({"messages": []}, "BadRequestError"),
        ({"model": "x"}, "NotFoundError"),
    ):
        asked = {**question, **wrong}
        raises(
            f"anthropic.{wanted}",
            lambda asked=asked: client.messages.count_tokens(**asked),
        )


@CALLS
def test_other_forms_of_a_message(
    server: MockServer, client: Any, call: Callable
) -> None:
    """A message may have no content, or another word for its end."""
    reasons = ("refusal", None)
    server.script(fault.no_content(), *[fault.finish(one) for one in reasons])
    message = call(client, max_tokens=3)
    assert (message.content, message.stop_reason) == ([], "end_turn")
    for reason in reasons:
        message = call(client)
        assert (message.content[0].text, message.stop_reason) == (ANSWER, reason)


def test_the_events_of_a_stream(server: MockServer, client: Any) -> None:
    """A stream has the service's events in their order, each named, and a ping."""
    text = post(server, {**ASK, "stream": True}).text
    events = [block.split("\n") for block in text.strip().split("\n\n")]
    kinds = [name.removeprefix("event: ") for name, _ in events]
    assert kinds == [
        *("message_start", "content_block_start", "ping"),
        *["content_block_delta"] * 7,
        *("content_block_stop", "message_delta", "message_stop"),
    ]
    values = [json.loads(data.removeprefix("data: ")) for _, data in events]
    assert [value["type"] for value in values] == kinds
    started = values[0]["message"]
    assert (started["content"], started["stop_reason"]) == ([], None)
    with client.messages.stream(**ASK) as stream:
        assert "".join(stream.text_stream) == ANSWER


def test_blocks_and_turns(client: Any) -> None:
    """Content may be blocks, and what was said before is known."""
    turns = [
        {"role": "user", "content": [{"type": "text", "text": "My name is Ada."}]},
        {"role": "assistant", "content": "Hello."},
        {"role": "user", "content": "What is my name?"},
    ]
    assert ask(client, messages=turns).content[0].text == "Your name is Ada."


@CALLS
@pytest.mark.parametrize(
    ("more", "text", "reason", "stop"),
    [
        ({"max_tokens": 2}, "The capital", "max_tokens", None),
        ({"stop_sequences": ["x", " is"]}, ANSWER[:21], "stop_sequence", " is"),
    ],
    ids=["max_tokens", "stop_sequences"],
)
def test_why_it_stops(
    client: Any, call: Callable, more: dict, text: str, reason: str, stop: str
) -> None:
    """max_tokens and stop_sequences cut the answer, and the message says which."""
    message = call(client, **more)
    found = message.content[0].text, message.stop_reason, message.stop_sequence
    assert found == (text, reason, stop)


@CALLS
@pytest.mark.parametrize(
    ("choice", "called"),
    [
        ({"type": "auto"}, "get_weather"),
        ({"type": "any"}, "get_weather"),
        ({"type": "tool", "name": "get_time"}, "get_time"),
        ({"type": "none"}, None),
    ],
    ids=str,
)
def test_tool_calls(
    client: Any, call: Callable, choice: dict, called: str | None
) -> None:
    """A tool is called as tool_choice says, with an input that fits its schema."""
    question = {"role": "user", "content": "How is the weather?"}
    tools = [OTHER, WEATHER]
    message = call(client, messages=[question], tools=tools, tool_choice=choice)
    (block,) = message.content
    assert getattr(block, "name", None) == called
    assert message.stop_reason == ("tool_use" if called else "end_turn")
    if called:
        assert block.input == {"city": "mock city"} and block.id.startswith("toolu_")


@CALLS
def test_a_turn_of_tools(client: Any, call: Callable) -> None:
    """After the tool's result the model speaks itself; without it, it is a 400."""
    first = call(client, tools=[WEATHER])
    turns = [*ASK["messages"], {"role": "assistant", "content": first.content}]
    result = {"type": "tool_result", "tool_use_id": first.content[0].id}
    result |= {"content": [{"type": "text", "text": "18 °C"}]}
    answered = [*turns, {"role": "user", "content": [result]}]
    second = call(client, messages=answered, tools=[WEATHER])
    assert second.content[0].text == "The tool says: 18 °C"
    again = {"role": "user", "content": "Thanks."}
    for wrong in (turns, [*turns, again], [*answered, answered[-1]]):
        error = raises(
            "anthropic.BadRequestError",
            lambda wrong=wrong: call(client, messages=wrong, tools=[WEATHER]),
        )
        assert "tool_use" in error.api_message


def test_a_structured_answer(client: Any) -> None:
    """parse() and the stream helper give an object of the class that is asked for."""
    wanted = City(name="mock name", people=1)
    assert client.messages.parse(**ASK, output_format=City).parsed_output == wanted
    with client.messages.stream(**ASK, output_format=City) as stream:
        assert stream.get_final_message().parsed_output == wanted


def test_keys(server: MockServer) -> None:
    """The key is taken as x-api-key and as a bearer token, and never shown; at OpenAI's
    addresses only as a bearer token.
    """
    bearer = f"Bearer {server.api_key}"
    assert post(server, ASK).status_code == 200
    assert post(server, ASK, x_api_key="", Authorization=bearer).status_code == 200
    for key, hint in (("", "x-api-key"), ("sk-ant-wrong-wrong", "not valid")):
        reply = post(server, ASK, x_api_key=key)
        error = reply.json()["error"]
        assert (reply.status_code, error["type"]) == (401, "authentication_error")
        assert hint in error["message"] and "wrong-wrong" not in reply.text
    url, headers = f"{server.base_url}/models", {"x-api-key": server.api_key}
    assert httpx.get(url, headers=headers).status_code == 401
    keys = [record.key for record in server.records]
    assert keys[0] == keys[1] == "mock…urse" and keys[2] == ""


# --- what fails -----------------------------------------------------------------------

STATUSES = {
    400: ("anthropic.BadRequestError", "invalid_request_error"),
    401: ("anthropic.AuthenticationError", "authentication_error"),
    402: ("anthropic.PaymentRequiredError", "billing_error"),
    403: ("anthropic.PermissionDeniedError", "permission_error"),
    404: ("anthropic.NotFoundError", "not_found_error"),
    413: ("anthropic.ContentTooLargeError", "request_too_large"),
    429: ("anthropic.RateLimitError", "rate_limit_error"),
    500: ("anthropic.InternalServerError", "api_error"),
    504: ("anthropic.GatewayTimeoutError", "timeout_error"),
    529: ("anthropic.OverloadedError", "overloaded_error"),
}


@CALLS
@pytest.mark.parametrize(("code", "wanted"), STATUSES.items(), ids=str)
def test_statuses(
    server: MockServer,
    client: Any,
    call: Callable,
    code: int,
    wanted: tuple[str, str],
) -> None:
    """Every scripted status is the SDK's exception for it, of the service's type, with
    the request id in the header and in the body.
    """
    server.script(fault.status(code))
    error = raises(wanted[0], lambda: call(client))
    assert set(error.body) == {"type", "error", "request_id"}
    assert (error.body["type"], error.type) == ("error", wanted[1])
    assert (
        error.request_id == error.body["request_id"] and error.request_id[:4] == "req_"
    )


def test_no_money_left(server: MockServer, client: Any) -> None:
    """A used-up account is a 402 here, which no client tries again."""
    server.script(fault.quota())
    error = raises("anthropic.PaymentRequiredError", lambda: ask(client))
    assert (error.status_code, error.type) == (402, "billing_error")


def test_other_addresses(server: MockServer) -> None:
    """A wrong method or address below /v1/messages is refused in this dialect, and a
    missing /v1 is named.
    """
    for path, status in (("/v1/messages", 405), ("/v1/messages/batches", 404)):
        reply = httpx.get(server.url + path, headers={"x-api-key": server.api_key})
        assert (reply.status_code, reply.json()["type"]) == (status, "error")
        assert reply.json()["request_id"] == reply.headers["request-id"]
    assert "/v1/messages" in httpx.post(f"{server.url}/messages", json=ASK).text


@pytest.mark.parametrize(
    ("wrong", "place"),
    [
        ({"max_tokens": 0}, "max_tokens"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "system", "content": "x"}]}, "messages.0.role"),
        ({"messages": [{"role": "user"}]}, "messages.0.content"),
        ({"messages": [{"role": "user", "content": [{}]}]}, "messages.0.content.0"),
        ({"extra_body": {"temperature": 1.5}}, "temperature"),
        ({"system": [{"type": "text"}]}, "system.0"),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, "thinking"),
        ({"tools": [{"type": "bash_20250124", "name": "bash"}]}, "tools.0.type"),
        ({"tools": [{"name": "a"}]}, "tools.0.input_schema"),
        ({"tool_choice": {"type": "any"}}, "tool_choice"),
        ({"output_config": {"format": {"type": "xml"}}}, "output_config.format"),
        (
            {"output_config": {"format": {"type": "json_schema", "schema": False}}},
            "output_config.format.schema",
        ),
    ],
    ids=lambda one: one if isinstance(one, str) else None,
)
def test_wrong_requests(client: Any, wrong: dict, place: str) -> None:
    """What is wrong or not offered is a 400 that begins with the place of it."""
    error = raises("anthropic.BadRequestError", lambda: ask(client, **wrong))
    assert error.api_message.startswith(f"{place}: ")


def test_what_a_request_needs(server: MockServer, client: Any) -> None:
    """max_tokens and the header anthropic-version are needed; a model must exist."""
    short = {name: ASK[name] for name in ("model", "messages")}
    assert "max_tokens: " in post(server, short).json()["error"]["message"]
    reply = post(server, ASK, anthropic_version="")
    assert reply.status_code == 400 and "anthropic-version" in reply.text
    error = raises("anthropic.NotFoundError", lambda: ask(client, model="no-such"))
    assert "mock-small" in error.api_message


# What breaks inside of a stream reaches the caller as httpx2's exception: the SDK wraps
# only what breaks before it (measured with anthropic 2.14.0).
LOST, LATE = "anthropic.APIConnectionError", "anthropic.APITimeoutError"
CONNECTION = {
    "RST": (fault.drop("rst"), LOST, LOST),
    "FIN": (fault.drop("fin"), LOST, LOST),
    "garbage": (fault.garbage(), LOST, LOST),
    "cut": (fault.cut(after_events=2), LOST, "httpx2.RemoteProtocolError"),
    "hang": (fault.hang(), LATE, LATE),
    "stall": (fault.stall(after_events=1), LATE, "httpx2.ReadTimeout"),
    "bad JSON": (fault.bad_json(), "json.JSONDecodeError", "json.JSONDecodeError"),
}


@pytest.mark.parametrize(
    ("trouble", "plain", "streamed"), CONNECTION.values(), ids=CONNECTION
)
def test_broken_connections(
    server: MockServer,
    client: Any,
    trouble: Fault,
    plain: str,
    streamed: str,
) -> None:
    """Every way to break a reply is one exception of the SDK, or of httpx2."""
    server.on().reply(trouble)
    seconds = {"hang": 0.1, "stall": 1.0}.get(str(trouble).partition("(")[0], 5.0)
    patient = client.with_options(timeout=seconds)
    raises(plain, lambda: ask(patient))
    raises(streamed, lambda: ask_streamed(patient))


def test_errors_in_mid_stream(server: MockServer, client: Any) -> None:
    """An error event inside a 200 is raised with the service's type, after the text
    that came before it.
    """
    server.script(fault.stream_error(after_events=2, type="overloaded_error"))
    pieces = []
    with client.messages.stream(**ASK) as stream:
        error = raises(
            "anthropic.APIStatusError", lambda: pieces.extend(stream.text_stream)
        )
        name = stream.response.headers["request-id"]
    assert (error.type, pieces) == ("overloaded_error", ["The", " capital"])
    assert error.body["request_id"] == name


FORMS = [fault.slice(1), fault.crlf(), fault.comments(), fault.no_space()]


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_every_lawful_form_of_a_stream(
    server: MockServer, client: Any, form: Fault
) -> None:
    """However the bytes are cut and the lines are written, the text is the same."""
    text = "✅ 入: 你好，世界！🌞"  # noqa: RUF001
    server.on().reply(form, text=text)
    assert ask_streamed(client).content[0].text == text


# --- limits and retries ---------------------------------------------------------------


def test_the_servers_own_limit() -> None:
    """The limiter is shared with OpenAI's addresses, has this dialect's headers, and is
    a RateLimitError with whole seconds in retry-after.
    """
    with MockServer(requests_per_minute=2, clock=lambda: 0.0) as server:
        headers = {"Authorization": f"Bearer {server.api_key}"}
        chat = {"model": "mock-small", "messages": ASK["messages"]}
        httpx.post(f"{server.base_url}/chat/completions", json=chat, headers=headers)
        good = post(server, ASK)
        limited = post(server, ASK)
        record = server.records[-1]
    prefix = "anthropic-ratelimit-requests"
    found = good.headers[f"{prefix}-limit"], good.headers[f"{prefix}-remaining"]
    assert found == ("2", "0")
    reset = datetime.datetime.fromisoformat(good.headers[f"{prefix}-reset"])
    wait = (reset - datetime.datetime.now(datetime.UTC)).total_seconds()
    assert 40 < wait <= 61, "the bucket is full again after 60 s"
    assert (limited.status_code, limited.headers["retry-after"]) == (429, "30")
    assert limited.json()["error"]["type"] == "rate_limit_error"
    assert (record.fault, record.source) == ("rate limit", "limiter")


def test_retry_after_is_obeyed(server: MockServer, client: Any) -> None:
    """The SDK waits as long as retry-after says and then has its answer."""
    server.script(fault.status(529, retry_after=1))
    assert ask(client.with_options(max_retries=1)).content[0].text == ANSWER
    first, second = server.records
    assert (first.attempt, second.attempt) == (1, 2)
    assert 0.95 < second.received - first.ended < 5


def test_bare_replies(server: MockServer, client: Any) -> None:
    """The fault bare() leaves out this dialect's headers too."""
    server.script(fault.bare())
    reply = post(server, ASK)
    names = [name for name in reply.headers if "request-id" in name or "limit" in name]
    assert (reply.status_code, names) == (200, [])
