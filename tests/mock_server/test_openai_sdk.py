"""The official openai package and curl cannot tell the mock server from a real one."""

import json
import shutil
import subprocess
from collections.abc import Callable

import openai
import pytest
from mock_server import MockServer, fault
from mock_server.fault import Fault
from openai import OpenAI

ASK = {
    "model": "mock-small",
    "messages": [{"role": "user", "content": "What is the capital of France?"}],
}
ANSWER = "The capital of France is Paris."


@pytest.fixture
def client(server: MockServer):
    """The official client, pointed at the mock server; it never retries unless a test
    says so.
    """
    with OpenAI(
        api_key=server.api_key, base_url=server.base_url, max_retries=0, timeout=5
    ) as made:
        yield made


def ask(client: OpenAI, **more):
    """Ask for a whole answer."""
    return client.chat.completions.create(**ASK, **more)


def ask_streamed(client: OpenAI, **more) -> list:
    """Ask for a streamed answer and return its chunks."""
    return list(client.chat.completions.create(**ASK, stream=True, **more))


def respond(client: OpenAI, **more):
    """Ask for a whole response."""
    question = ASK["messages"][0]["content"]
    return client.responses.create(model="mock-small", input=question, **more)


def respond_streamed(client: OpenAI, **more) -> list:
    """Ask for a streamed response and return its events."""
    return list(respond(client, stream=True, **more))


CALLS = pytest.mark.parametrize("call", [ask, ask_streamed, respond, respond_streamed])


def text_of(chunks: list) -> str:
    """Return the text in the chunks of a streamed answer."""
    return "".join(
        choice.delta.content or "" for chunk in chunks for choice in chunk.choices
    )


# --- what works -----------------------------------------------------------------------


def test_models(client: OpenAI) -> None:
    """The SDK lists the models and gets one of them."""
    assert [model.id for model in client.models.list()] == ["mock-small", "mock-large"]
    model = client.models.retrieve("mock-large")
    assert (model.id, model.object, type(model.created)) == ("mock-large", "model", int)


def test_completion(client: OpenAI) -> None:
    """A whole answer has all fields that the SDK's type declares as always there."""
    reply = ask(client)
    choice = reply.choices[0]
    assert (choice.message.role, choice.message.content, choice.message.refusal) == (
        "assistant",
        ANSWER,
        None,
    )
    assert (choice.index, choice.finish_reason, choice.logprobs) == (0, "stop", None)
    assert reply.id.startswith("chatcmpl-")
    assert (reply.object, reply.model, reply.service_tier) == (
        "chat.completion",
        "mock-small",
        "default",
    )
    usage = reply.usage
    assert (
        0
        < usage.prompt_tokens
        < usage.total_tokens
        == usage.prompt_tokens + usage.completion_tokens
    )
    assert (
        usage.completion_tokens_details.reasoning_tokens
        == usage.prompt_tokens_details.cached_tokens
        == 0
    )
    assert reply._request_id.startswith("req_")
    assert not reply.model_extra, f"fields unknown to the SDK: {reply.model_extra}"
    assert not choice.message.model_extra, (
        f"fields unknown to the SDK: {choice.message.model_extra}"
    )


def test_stream(client: OpenAI) -> None:
    """A streamed answer is the whole answer in chunks of one id, the role first and the
    finish_reason last.
    """
    chunks = ask_streamed(client)
    assert text_of(chunks) == ANSWER
    assert {(chunk.id, chunk.object, chunk.model) for chunk in chunks} == {
        (chunks[0].id, "chat.completion.chunk", "mock-small")
    }
    assert (chunks[0].choices[0].delta.role, chunks[0].choices[0].delta.content) == (
        "assistant",
        "",
    )
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None] * (
        len(chunks) - 1
    ) + ["stop"]
    assert all(chunk.usage is None and not chunk.model_extra for chunk in chunks)


def test_stream_with_usage(client: OpenAI) -> None:
    """Asked for usage, a stream ends with one chunk that has it and no choices; it
    equals that of the whole answer.
    """
    chunks = ask_streamed(client, stream_options={"include_usage": True})
    assert chunks[-1].choices == []
    assert chunks[-1].usage == ask(client).usage
    assert all(chunk.usage is None for chunk in chunks[:-1])
    assert text_of(chunks) == ANSWER


def test_stream_helper(client: OpenAI) -> None:
    """The SDK's own accumulator puts the whole answer together again."""
    with client.chat.completions.stream(**ASK) as stream:
        final = stream.get_final_completion()
    assert (final.choices[0].message.content, final.choices[0].finish_reason) == (
        ANSWER,
        "stop",
    )


def test_options(client: OpenAI) -> None:
    """n, max_tokens, max_completion_tokens and stop do what they do at OpenAI."""
    assert [choice.index for choice in ask(client, n=3).choices] == [0, 1, 2]
    for name in ("max_tokens", "max_completion_tokens"):
        reply = ask(client, **{name: 2})
        assert (reply.choices[0].message.content, reply.choices[0].finish_reason) == (
            "The capital",
            "length",
        )
        assert reply.usage.completion_tokens == 2
    reply = ask(client, stop=[" is", "never"])
    assert (reply.choices[0].message.content, reply.choices[0].finish_reason) == (
        "The capital of France",
        "stop",
    )
    assert ask_streamed(client, max_tokens=2)[-1].choices[0].finish_reason == "length"


FORMS = [
    fault.slice(1),
    fault.slice(3),
    fault.crlf(),
    fault.comments(),
    fault.no_space(),
    fault.no_charset(),
]
FORMS.append(
    fault.crlf()
    + fault.comments()
    + fault.no_space()
    + fault.no_charset()
    + fault.slice(2)
)


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_every_lawful_form_of_a_stream(
    server: MockServer, client: OpenAI, form: Fault
) -> None:
    """However the bytes are cut and the lines are written, the text is the same."""
    text = "✅ 入: 你好，世界！🌞"  # noqa: RUF001
    server.on().reply(form, text=text)
    assert text_of(ask_streamed(client)) == text


# --- what fails -----------------------------------------------------------------------

STATUSES = {
    400: openai.BadRequestError,
    401: openai.AuthenticationError,
    403: openai.PermissionDeniedError,
    404: openai.NotFoundError,
    409: openai.ConflictError,
    422: openai.UnprocessableEntityError,
    429: openai.RateLimitError,
    500: openai.InternalServerError,
    503: openai.InternalServerError,
}


@CALLS
@pytest.mark.parametrize(("code", "wanted"), STATUSES.items())
def test_statuses(
    server: MockServer,
    client: OpenAI,
    call: Callable,
    code: int,
    wanted: type[Exception],
) -> None:
    """Every scripted status is the SDK's exception for it, with the error's fields and
    the request id.
    """
    server.script(fault.status(code))
    with pytest.raises(openai.APIStatusError) as caught:
        call(client)
    error = caught.value
    assert type(error) is wanted
    assert (error.status_code, error.request_id[:4]) == (code, "req_")
    assert set(error.body) == {"message", "type", "param", "code"}


def raises(wanted: type[Exception], action: Callable[[], object]) -> Exception:
    """Return the exception that action raises, which must be of exactly that class."""
    with pytest.raises(Exception) as caught:
        action()
    assert type(caught.value) is wanted, repr(caught.value)
    return caught.value


@pytest.mark.parametrize("more", [{}, {"stream": True}], ids=["plain", "streamed"])
def test_wrong_key(server: MockServer, more: dict) -> None:
    """A wrong key is an AuthenticationError that shows the key masked, also where a
    stream was asked for.
    """
    with OpenAI(
        api_key="sk-wrong-wrong-wrong", base_url=server.base_url, max_retries=0
    ) as client:
        error = raises(openai.AuthenticationError, lambda: ask(client, **more))
    assert (error.code, error.type, error.param) == (
        "invalid_api_key",
        "invalid_request_error",
        None,
    )
    assert "sk-wrong-wrong-wrong" not in str(error) and "sk-w…" in str(error)
    assert error.response.headers["content-type"] == "application/json"


def test_unknown_model(client: OpenAI) -> None:
    """A model that does not exist is a NotFoundError, in a list as in a chat."""
    for action in (
        lambda: client.chat.completions.create(
            model="gpt-none", messages=ASK["messages"]
        ),
        lambda: client.models.retrieve("gpt-none"),
    ):
        assert raises(openai.NotFoundError, action).code == "model_not_found"


def test_bad_request(client: OpenAI) -> None:
    """A field of a wrong type is a BadRequestError whose param names it."""
    assert (
        raises(openai.BadRequestError, lambda: ask(client, temperature=7)).param
        == "temperature"
    )


def test_no_money_left(server: MockServer, client: OpenAI) -> None:
    """A used-up quota is a RateLimitError with a code and type of its own."""
    server.script(fault.quota(), fault.status(429))
    error = raises(openai.RateLimitError, lambda: ask(client))
    assert (error.code, error.type) == ("insufficient_quota", "insufficient_quota")
    error = raises(openai.RateLimitError, lambda: ask(client))
    assert (error.code, error.type) == ("rate_limit_exceeded", "requests")


CONNECTION = {
    "RST": fault.drop("rst"),
    "FIN": fault.drop("fin"),
    "cut, FIN": fault.cut(after_bytes=30),
    "cut, RST": fault.cut(after_bytes=30, how="rst"),
    "garbage": fault.garbage(),
}


@CALLS
@pytest.mark.parametrize("trouble", CONNECTION.values(), ids=CONNECTION)
def test_broken_connections(
    server: MockServer, client: OpenAI, call: Callable, trouble: Fault
) -> None:
    """Every way to break a connection is an APIConnectionError, and none a timeout."""
    server.script(trouble)
    raises(openai.APIConnectionError, lambda: call(client))


@CALLS
@pytest.mark.parametrize(
    "trouble", [fault.hang(), fault.stall(after_events=1)], ids=str
)
def test_timeouts(
    server: MockServer, client: OpenAI, call: Callable, trouble: Fault
) -> None:
    """A server that says nothing, or nothing more, is an APITimeoutError."""
    server.script(trouble)
    raises(openai.APITimeoutError, lambda: call(client.with_options(timeout=0.3)))


def test_nothing_listens(client: OpenAI) -> None:
    """A server that is not there is an APIConnectionError."""
    with MockServer() as gone:
        elsewhere = client.with_options(base_url=gone.base_url)
    raises(openai.APIConnectionError, lambda: ask(elsewhere))


@CALLS
def test_bad_json(server: MockServer, client: OpenAI, call: Callable) -> None:
    """Half a JSON document in a 200 is a json.JSONDecodeError, in a stream too."""
    server.script(fault.bad_json())
    raises(json.JSONDecodeError, lambda: call(client))


def test_a_stream_that_ends_early(server: MockServer, client: OpenAI) -> None:
    """A stream that ends early and cleanly is no error to the SDK: the answer is short,
    and nothing says so.
    """
    server.script(fault.truncate(after_events=3))
    assert text_of(ask_streamed(client)) == "The capital of"


@pytest.mark.parametrize("call", [ask_streamed, respond_streamed])
def test_an_error_in_mid_stream(
    server: MockServer, client: OpenAI, call: Callable
) -> None:
    """An error event inside a 200 is an APIError that has no status."""
    server.script(fault.stream_error(after_events=2))
    error = raises(openai.APIError, lambda: call(client))
    assert "stopped working" in str(error) and error.body["type"] == "server_error"


def test_html_from_a_proxy(server: MockServer, client: OpenAI) -> None:
    """A proxy's error page is an InternalServerError whose body is the page's text."""
    server.script(fault.html(502))
    error = raises(openai.InternalServerError, lambda: ask(client))
    assert error.status_code == 502 and "<html>" in error.body


def test_drip(server: MockServer, client: OpenAI) -> None:
    """A reply that drips for longer than the timeout succeeds."""
    server.script(fault.drip(8, 0.15))
    assert ask(client.with_options(timeout=1.0)).choices[0].message.content == ANSWER


# --- retries --------------------------------------------------------------------------
# Left to itself, the SDK waits 0.375 to 0.5 s before its first retry.


def gap(server: MockServer) -> float:
    """Return the seconds from the end of the first attempt to the second, of two."""
    first, second = server.records
    assert (first.attempt, second.attempt) == (1, 2)
    return second.received - first.ended


@pytest.mark.parametrize("call", [ask, respond])
def test_retry_after_is_obeyed(
    server: MockServer, client: OpenAI, call: Callable
) -> None:
    """The SDK waits as long as Retry-After says, which is longer than it would have
    waited by itself.
    """
    server.script(fault.status(429, retry_after=1))
    call(client.with_options(max_retries=1))
    assert 0.95 < gap(server) < 5


def test_retry_after_as_a_date_is_obeyed(server: MockServer, client: OpenAI) -> None:
    """A date in Retry-After is rounded up, so whoever waits for it has waited long
    enough.
    """
    server.script(fault.status(503, retry_after=1, as_date=True))
    ask(client.with_options(max_retries=1))
    assert 0.95 < gap(server) < 5


def test_retry_after_ms_beats_retry_after(server: MockServer, client: OpenAI) -> None:
    """Of the two headers the SDK obeys retry-after-ms."""
    server.script(fault.status(429, retry_after=60, headers={"retry-after-ms": "700"}))
    ask(client.with_options(max_retries=1))
    assert 0.65 < gap(server) < 5


@pytest.mark.parametrize(
    ("code", "answer", "attempts"),
    [(503, "false", 1), (429, "false", 1), (400, "true", 2)],
)
def test_x_should_retry_overrides_the_status(
    server: MockServer, client: OpenAI, code: int, answer: str, attempts: int
) -> None:
    """x-should-retry decides, whatever the status."""
    server.on().reply(
        fault.status(code, headers={"x-should-retry": answer, "retry-after-ms": "1"})
    )
    with pytest.raises(openai.APIStatusError):
        ask(client.with_options(max_retries=1))
    assert len(server.records) == attempts


def test_retries_recover(server: MockServer, client: OpenAI) -> None:
    """The SDK gets its answer after a 503, a 429 and a dropped connection; the server
    numbers the attempts.
    """
    soon = {"retry-after-ms": "1"}
    server.script(
        fault.drop("rst"),
        fault.status(503, headers=soon),
        fault.status(429, headers=soon),
    )
    assert ask(client.with_options(max_retries=3)).choices[0].message.content == ANSWER
    assert [record.attempt for record in server.records] == [1, 2, 3, 4]
    assert [record.status for record in server.records] == [None, 503, 429, 200]


@CALLS
def test_the_servers_own_limit(client: OpenAI, call: Callable) -> None:
    """The server's limiter is a RateLimitError with whole seconds in Retry-After."""
    with MockServer(requests_per_minute=2, clock=lambda: 0.0) as server:
        limited = client.with_options(base_url=server.base_url)
        for _ in range(2):
            call(limited)
        error = raises(openai.RateLimitError, lambda: call(limited))
    assert (error.code, error.type, error.response.headers["retry-after"]) == (
        "rate_limit_exceeded",
        "requests",
        "30",
    )


# --- curl -----------------------------------------------------------------------------


def curl(*arguments: str) -> tuple[int, str]:
    """Run curl; return its exit status and output."""
    command = ["curl", "--silent", "--show-error", "--max-time", "10", *arguments]
    run = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=20)
    return run.returncode, run.stdout


needs_curl = pytest.mark.skipif(
    not shutil.which("curl"), reason="curl is not installed"
)


def curl_chat(server: MockServer, *arguments: str, **more) -> tuple[int, str]:
    """Ask the model something with curl."""
    headers = (
        "-H",
        f"Authorization: Bearer {server.api_key}",
        "-H",
        "Content-Type: application/json",
    )
    return curl(
        f"{server.base_url}/chat/completions",
        *headers,
        "-d",
        json.dumps({**ASK, **more}),
        *arguments,
    )


@needs_curl
def test_curl(server: MockServer) -> None:
    """curl gets an answer, whole and streamed, over HTTP/1.1 and HTTP/1.0."""
    for version in ("--http1.1", "--http1.0"):
        status, text = curl_chat(server, version)
        assert (status, json.loads(text)["choices"][0]["message"]["content"]) == (
            0,
            ANSWER,
        )
        status, text = curl_chat(server, version, "--no-buffer", stream=True)
        assert status == 0 and text.endswith("data: [DONE]\n\n")


# Exit statuses as in curl's manual: 52 an empty reply, 56 an error while receiving, 18
# a body that ended early, 28 a timeout, 22 a status of 400 or more under --fail, 1 a
# protocol that curl does not take (HTTP/0.9).
CURL = {
    "FIN": (fault.drop("fin"), (), 52),
    "RST": (fault.drop("rst"), (), 56),
    "cut": (fault.cut(after_bytes=30), (), 18),
    "hang": (fault.hang(), ("--max-time", "0.4"), 28),
    "503": (fault.status(503), ("--fail",), 22),
    "garbage": (fault.garbage(), (), 1),
}


@needs_curl
@pytest.mark.parametrize(("trouble", "arguments", "wanted"), CURL.values(), ids=CURL)
def test_curl_and_faults(
    server: MockServer, trouble: Fault, arguments: tuple[str, ...], wanted: int
) -> None:
    """Every fault has the exit status that curl's manual has for it."""
    server.script(trouble)
    assert curl_chat(server, *arguments)[0] == wanted


@needs_curl
def test_curl_head_and_redirects(server: MockServer) -> None:
    """curl -I gets a head, and -L follows redirects to the end."""
    status, text = curl("-I", f"{server.url}/users/ada")
    assert (status, text.splitlines()[0].rstrip()) == (0, "HTTP/1.1 200 OK")
    status, text = curl("-L", f"{server.url}/redirect/3")
    assert (status, json.loads(text)["url"]) == (0, f"{server.url}/get")
