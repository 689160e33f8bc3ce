"""Every endpoint of the mock server, and its likeness to OpenAI, GitHub and httpbin,
row by row.
"""

import base64
import gzip
import json
import re

import httpx
import pytest
import requests
from mock_server import MockServer, fault
from mock_server.fault import Fault

from tests.mock_server import wire

ASK = {
    "model": "mock-small",
    "messages": [{"role": "user", "content": "What is the capital of France?"}],
}
RATE_HEADERS = [
    f"x-ratelimit-{name}-{kind}"
    for name in ("limit", "remaining", "reset")
    for kind in ("requests", "tokens")
]


class Site:
    """A server, and short ways to call it."""

    def __init__(self, server: MockServer) -> None:
        self.server = server
        self.key = {"Authorization": f"Bearer {server.api_key}"}

    def call(self, method: str, path: str, **more) -> requests.Response:
        """Send a request with no key."""
        return requests.request(method, self.server.url + path, timeout=5, **more)

    def get(self, path: str, **more) -> requests.Response:
        """Send a GET with no key."""
        return self.call("GET", path, **more)

    def chat(self, body: object = ASK, **more) -> requests.Response:
        """Send a chat request with the right key."""
        return self.call(
            "POST", "/v1/chat/completions", json=body, headers=self.key, **more
        )

    def events(self, **more) -> list:
        """Return the events of a streamed answer; all but the last are parsed."""
        lines = self.chat({**ASK, "stream": True, **more}).text.strip().split("\n\n")
        assert all(line.startswith("data: ") and "\n" not in line for line in lines)
        return [json.loads(line[6:]) for line in lines[:-1]] + [lines[-1][6:]]


@pytest.fixture
def site(server: MockServer) -> Site:
    """A fresh server with short ways to call it."""
    return Site(server)


# --- OpenAI: errors -------------------------------------------------------------------

MISSING_ROLE = {"model": "mock-small", "messages": [{"content": "x"}]}
MISSING_CONTENT = {
    "model": "mock-small",
    "messages": [{"role": "user", "content": "x"}, {"role": "user"}],
}
UNKNOWN_ROLE = {"model": "mock-small", "messages": [{"role": "boss", "content": "x"}]}
INVALID = "invalid_request_error"
# What is sent, and the status, type, code and param of the error.
ERRORS = {
    "not JSON": ({"data": b"hello"}, 400, INVALID, None, None),
    "not an object": ({"json": []}, 400, INVALID, None, None),
    "no model": (
        {"json": {"messages": ASK["messages"]}},
        400,
        INVALID,
        "missing_required_parameter",
        "model",
    ),
    "no messages": (
        {"json": {"model": "mock-small"}},
        400,
        INVALID,
        "missing_required_parameter",
        "messages",
    ),
    "no role": (
        {"json": MISSING_ROLE},
        400,
        INVALID,
        "missing_required_parameter",
        "messages[0].role",
    ),
    "no content": (
        {"json": MISSING_CONTENT},
        400,
        INVALID,
        "missing_required_parameter",
        "messages[1].content",
    ),
    "no message": (
        {"json": {**ASK, "messages": []}},
        400,
        INVALID,
        "invalid_type",
        "messages",
    ),
    "unknown role": (
        {"json": UNKNOWN_ROLE},
        400,
        INVALID,
        "invalid_value",
        "messages[0].role",
    ),
    "unknown model": (
        {"json": {**ASK, "model": "gpt-none"}},
        404,
        INVALID,
        "model_not_found",
        None,
    ),
    "too hot": (
        {"json": {**ASK, "temperature": 2.1}},
        400,
        INVALID,
        "invalid_value",
        "temperature",
    ),
    "no tokens": (
        {"json": {**ASK, "max_tokens": 0}},
        400,
        INVALID,
        "invalid_value",
        "max_tokens",
    ),
    "true as a number": (
        {"json": {**ASK, "max_tokens": True}},
        400,
        INVALID,
        "invalid_type",
        "max_tokens",
    ),
    "stream as text": (
        {"json": {**ASK, "stream": "yes"}},
        400,
        INVALID,
        "invalid_type",
        "stream",
    ),
    "too long": ({"data": b"x" * 4_200_000}, 413, INVALID, None, None),
}


@pytest.mark.parametrize(
    ("more", "status", "type_", "code", "param"), ERRORS.values(), ids=ERRORS
)
def test_openai_errors(
    site: Site, more: dict, status: int, type_: str, code: str | None, param: str | None
) -> None:
    """Each mistake in a chat request has its status and an error object with all four
    keys.
    """
    reply = site.call("POST", "/v1/chat/completions", headers=site.key, **more)
    assert reply.status_code == status
    assert (
        set(reply.json()) == {"error"}
        and reply.headers["Content-Type"] == "application/json"
    )
    error = reply.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["type"], error["code"], error["param"]) == (type_, code, param)
    assert isinstance(error["message"], str) and error["message"]


FAULTS = {
    "rate limit": (fault.status(429), 429, "requests", "rate_limit_exceeded"),
    "no money left": (fault.quota(), 429, "insufficient_quota", "insufficient_quota"),
    "server error": (fault.status(500), 500, "server_error", None),
    "overloaded": (fault.status(503), 503, "server_error", None),
    "forbidden": (fault.status(403), 403, INVALID, None),
}


@pytest.mark.parametrize(
    ("trouble", "status", "type_", "code"), FAULTS.values(), ids=FAULTS
)
def test_openai_faults(
    site: Site, trouble: Fault, status: int, type_: str, code: str | None
) -> None:
    """Each scripted failure has the type and code that OpenAI gives it."""
    site.server.script(trouble)
    reply = site.chat()
    error = reply.json()["error"]
    assert (reply.status_code, error["type"], error["code"], error["param"]) == (
        status,
        type_,
        code,
        None,
    )


@pytest.mark.parametrize(
    "body", [ASK, {**ASK, "stream": True}], ids=["plain", "streamed"]
)
@pytest.mark.parametrize(
    ("sent", "code"),
    [
        ({}, None),
        ({"Authorization": "Bearer "}, None),
        ({"Authorization": "Basic eDp5"}, None),
        ({"Authorization": "Bearer wrong-wrong-wrong"}, "invalid_api_key"),
        ({"Authorization": "bearer None"}, "invalid_api_key"),
    ],
)
def test_openai_keys(site: Site, body: dict, sent: dict, code: str | None) -> None:
    """No key and a wrong key are two different 401s, in JSON also where a stream was
    asked for.
    """
    reply = site.call("POST", "/v1/chat/completions", json=body, headers=sent)
    assert (reply.status_code, reply.headers["Content-Type"]) == (
        401,
        "application/json",
    )
    error = reply.json()["error"]
    assert (error["type"], error["code"], error["param"]) == (INVALID, code, None)
    assert "wrong-wrong-wrong" not in reply.text


def test_the_scheme_may_be_in_any_case(site: Site) -> None:
    """ "bearer" is as good as "Bearer" (RFC 9110, section 11.1)."""
    assert (
        site.get(
            "/v1/models", headers={"Authorization": f"bearer {site.server.api_key}"}
        ).status_code
        == 200
    )


# --- OpenAI: headers and bodies -------------------------------------------------------


def test_openai_headers(site: Site) -> None:
    """Every reply under /v1, good or bad, has the request id, the version, and six
    numbers about the limits.
    """
    site.server.script(
        fault.ok(),
        fault.ok(),
        fault.status(429, retry_after=3),
        fault.quota(),
        fault.html(),
    )
    replies = [
        site.chat(),
        site.chat({**ASK, "stream": True}),
        site.chat(),
        site.chat(),
        site.chat(),
    ]
    replies += [
        site.chat([]),
        site.get("/v1/models"),
        site.get("/v1/models", headers=site.key),
        site.get("/v1/none"),
    ]
    for reply in replies:
        headers = reply.headers
        assert (
            headers["x-request-id"].startswith("req_")
            and headers["openai-version"] == "2020-10-01"
        )
        assert headers["openai-processing-ms"].isdigit()
        assert all(
            re.fullmatch(r"\d+", headers[name])
            for name in RATE_HEADERS
            if "reset" not in name
        )
        assert all(
            re.fullmatch(r"(\d+h)?(\d+m)?(\d+(\.\d+)?s)|\d+ms", headers[name])
            for name in RATE_HEADERS[4:]
        )
    assert replies[2].headers["Retry-After"] == "3"
    ids = {reply.headers["x-request-id"] for reply in replies}
    assert len(ids) == len(replies), "every request has an id of its own"


def test_a_429_without_any_hint(site: Site) -> None:
    """A 429 that says nothing about waiting exists too."""
    site.server.script(fault.status(429) + fault.bare())
    headers = site.chat().headers
    assert not [
        name
        for name in headers
        if name.lower().startswith(("x-", "retry-after", "openai-"))
    ]


def test_chat_completion(site: Site) -> None:
    """A whole answer has exactly the fields that OpenAI's reference lists."""
    body = site.chat().json()
    assert list(body) == [
        "id",
        "created",
        "model",
        "service_tier",
        "system_fingerprint",
        "object",
        "choices",
        "usage",
    ]
    assert (body["object"], body["model"], body["service_tier"]) == (
        "chat.completion",
        "mock-small",
        "default",
    )
    assert re.fullmatch(r"chatcmpl-\w{24}", body["id"])
    [choice] = body["choices"]
    assert choice == {
        "index": 0,
        "message": {
            "role": "assistant",
            "content": "The capital of France is Paris.",
            "refusal": None,
            "annotations": [],
        },
        "logprobs": None,
        "finish_reason": "stop",
    }
    usage = body["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (7, 7)
    assert set(usage["prompt_tokens_details"]) == {"cached_tokens", "audio_tokens"}
    assert "reasoning_tokens" in usage["completion_tokens_details"]


def test_chat_chunks(site: Site) -> None:
    """A streamed answer is a role, the words, an empty delta with the finish_reason,
    and [DONE], in raw UTF-8.
    """
    reply = site.chat(
        {**ASK, "stream": True, "messages": [{"role": "user", "content": "用中文"}]}
    )
    assert reply.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert (
        "你".encode() in reply.content
        and b"\r" not in reply.content
        and b'": ' not in reply.content
    )
    *chunks, done = site.events()
    assert done == "[DONE]"
    for chunk in chunks:
        assert chunk["object"] == "chat.completion.chunk" and "usage" not in chunk
        assert (chunk["id"], chunk["created"], chunk["model"]) == tuple(
            chunks[0][key] for key in ("id", "created", "model")
        )
        assert set(chunk["choices"][0]) == {
            "index",
            "delta",
            "logprobs",
            "finish_reason",
        }
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert (
        deltas[0]["role"] == "assistant"
        and deltas[0]["content"] == ""
        and deltas[-1] == {}
    )
    assert all(set(delta) == {"content"} and delta["content"] for delta in deltas[1:-1])
    assert (
        "".join(delta["content"] for delta in deltas[:-1])
        == "The capital of France is Paris."
    )
    reasons = [chunk["choices"][0]["finish_reason"] for chunk in chunks]
    assert reasons == [None] * (len(chunks) - 1) + ["stop"]


def test_chat_chunks_with_usage(site: Site) -> None:
    """With include_usage every chunk has usage: null, and one more at the end has it,
    with no choices.
    """
    *chunks, last, done = site.events(stream_options={"include_usage": True})
    assert done == "[DONE]" and last["choices"] == []
    assert last["usage"] == site.chat().json()["usage"]
    assert all(chunk["usage"] is None for chunk in chunks)
    assert "usage" not in site.events(stream_options={"include_usage": False})[0]


def test_several_choices(site: Site) -> None:
    """n answers are n choices with indices from 0, whole and streamed, and their tokens
    add up.
    """
    body = site.chat({**ASK, "n": 3}).json()
    assert [choice["index"] for choice in body["choices"]] == [0, 1, 2]
    texts = [choice["message"]["content"] for choice in body["choices"]]
    assert len(set(texts)) == 3
    streamed = {0: "", 1: "", 2: ""}
    for chunk in site.events(n=3)[:-1]:
        for choice in chunk["choices"]:
            streamed[choice["index"]] += choice["delta"].get("content", "")
    assert list(streamed.values()) == texts
    assert body["usage"]["completion_tokens"] > 3 * 7


@pytest.mark.parametrize(
    ("options", "text", "reason"),
    [
        ({"max_tokens": 3}, "The capital of", "length"),
        ({"max_completion_tokens": 1}, "The", "length"),
        ({"max_tokens": 7}, "The capital of France is Paris.", "stop"),
        ({"max_tokens": 5000}, "The capital of France is Paris.", "stop"),
        ({"stop": "France"}, "The capital of ", "stop"),
        ({"stop": ["never", " of"]}, "The capital", "stop"),
        ({"stop": []}, "The capital of France is Paris.", "stop"),
        ({"stop": "The"}, "", "stop"),
        ({"stop": " is", "max_tokens": 2}, "The capital", "length"),
    ],
)
def test_where_an_answer_ends(
    site: Site, options: dict, text: str, reason: str
) -> None:
    """max_tokens ends an answer with length, stop before the stop words; the streamed
    answer ends at the same place.
    """
    [choice] = site.chat({**ASK, **options}).json()["choices"]
    assert (choice["message"]["content"], choice["finish_reason"]) == (text, reason)
    chunks = site.events(**options)[:-1]
    assert (
        "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks)
        == text
    )
    assert chunks[-1]["choices"][0]["finish_reason"] == reason


def test_answers_are_pure_functions_of_the_request(site: Site) -> None:
    """The same request has the same id, text and time on any server; another request
    has another id.
    """
    first, second = site.chat(), site.chat()
    with MockServer() as other:
        third = Site(other).chat()
        different = Site(other).chat({**ASK, "temperature": 0})
    assert first.content == second.content == third.content
    assert different.json()["id"] != first.json()["id"]
    assert first.json()["created"] == different.json()["created"]


def test_the_model_knows_only_its_messages(site: Site) -> None:
    """A name is remembered if the conversation that is sent contains it; content may be
    a list of parts.
    """
    told = {"role": "user", "content": "Hello, my name is Ada."}
    asked = {"role": "user", "content": [{"type": "text", "text": "What is my name?"}]}
    between = {"role": "assistant", "content": "Hello Ada."}

    def answer(*messages: dict) -> str:
        return site.chat({**ASK, "messages": list(messages)}).json()["choices"][0][
            "message"
        ]["content"]

    assert answer(told, between, asked) == "Your name is Ada."
    assert answer(asked) == "You have not told me your name."
    assert (
        answer({"role": "user", "content": "Sing!"})
        == "This is a mock answer to: Sing!"
    )
    assert (
        answer({"role": "system", "content": "Be brief."})
        == "This is a mock answer to: "
    )


def test_models(site: Site) -> None:
    """Models are listed and fetched with OpenAI's four fields."""
    body = site.get("/v1/models", headers=site.key).json()
    assert body["object"] == "list" and [model["id"] for model in body["data"]] == [
        "mock-small",
        "mock-large",
    ]
    assert site.get("/v1/models/mock-small", headers=site.key).json() == body["data"][0]
    assert set(body["data"][0]) == {"id", "object", "created", "owned_by"}
    missing = site.get("/v1/models/none", headers=site.key)
    assert (missing.status_code, missing.json()["error"]["code"]) == (
        404,
        "model_not_found",
    )


# --- GitHub ---------------------------------------------------------------------------


def test_users(site: Site) -> None:
    """A user is found by name; one that does not exist is a 404 in GitHub's shape."""
    reply = site.get("/users/python")
    assert reply.json()["login"] == "python" and reply.json()["type"] == "Organization"
    assert reply.headers["Content-Type"] == "application/json"
    missing = site.get("/users/nobody")
    assert missing.status_code == 404 and set(missing.json()) == {
        "message",
        "documentation_url",
        "status",
    }


def test_search_pages(site: Site) -> None:
    """Following rel="next" from the first page meets every item once and stops at the
    last page.
    """
    reply = site.get(
        "/search/repositories", params={"q": "http client", "per_page": 10}
    )
    seen, pages = [], 1
    assert set(reply.links) == {"next", "last"}
    while True:
        assert (
            reply.json()["total_count"] == 42 and not reply.json()["incomplete_results"]
        )
        seen += [item["id"] for item in reply.json()["items"]]
        if "next" not in reply.links:
            break
        reply, pages = requests.get(reply.links["next"]["url"], timeout=5), pages + 1
    assert (pages, seen) == (5, list(range(1, 43)))
    assert set(reply.links) == {"prev", "first"}
    assert "http client" in reply.json()["items"][0]["full_name"]


@pytest.mark.parametrize(
    ("params", "count", "first", "links"),
    [
        ({}, 30, 1, {"next", "last"}),
        ({"per_page": 100}, 42, 1, set()),
        ({"per_page": 1000}, 42, 1, set()),
        ({"per_page": 20, "page": 2}, 20, 21, {"prev", "next", "last", "first"}),
        ({"per_page": 20, "page": 3}, 2, 41, {"prev", "first"}),
        ({"per_page": 20, "page": 9}, 0, None, {"first", "last"}),
        ({"per_page": "many", "page": "-1"}, 30, 1, {"next", "last"}),
        ({"per_page": 0, "page": 0}, 30, 1, {"next", "last"}),
    ],
)
def test_search_parameters(
    site: Site, params: dict, count: int, first: int | None, links: set[str]
) -> None:
    """per_page and page have GitHub's defaults and limits, and nonsense counts as not
    given.
    """
    reply = site.get("/search/repositories", params={"q": "a", **params})
    items = reply.json()["items"]
    assert (len(items), items[0]["id"] if items else None, set(reply.links)) == (
        count,
        first,
        links,
    )


@pytest.mark.parametrize(
    "query", ["a&b=c", "a b+c", "你好 👋", "100%", "#1", "<a>; rel=x", ""]
)
def test_search_quotes_its_links(site: Site, query: str) -> None:
    """Whatever was searched for, the links lead to the same search; nothing searched
    for is a 422.
    """
    reply = site.get("/search/repositories", params={"q": query, "per_page": 10})
    if not query:
        assert reply.status_code == 422
        return
    following = requests.get(reply.links["next"]["url"], timeout=5)
    assert following.json()["items"][0] == {
        "id": 11,
        "full_name": f"mock/{query}-11",
        "stargazers_count": 310,
    }


def test_etags(site: Site) -> None:
    """An ETag belongs to one content: the same again is a 304, another page is not."""
    etag = site.get("/users/ada").headers["ETag"]
    assert site.get("/users/ada", headers={"If-None-Match": etag}).status_code == 304
    assert site.get("/users/psf", headers={"If-None-Match": etag}).status_code == 200
    pages = [
        site.get(f"/search/repositories?q=a&per_page=10&page={page}").headers["ETag"]
        for page in (1, 2)
    ]
    assert pages[0] != pages[1]


# --- agents and data ------------------------------------------------------------------


def test_agents_live_and_die(site: Site) -> None:
    """An agent is created, read, replaced, changed, listed and deleted, each with its
    own status.
    """
    made = site.call("POST", "/agents", json={"name": "Ada"})
    assert (made.status_code, made.headers["Location"]) == (201, "/agents/1")
    assert made.json() == {"id": 1, "name": "Ada", "status": "active"}
    assert site.get(made.headers["Location"]).json() == made.json()
    put = site.call("PUT", "/agents/1", json={"name": "Bob", "status": "paused"})
    assert (put.status_code, put.json()) == (
        200,
        {"id": 1, "name": "Bob", "status": "paused"},
    )
    patch = site.call("PATCH", "/agents/1", json={"status": "retired"})
    assert (patch.status_code, patch.json()) == (
        200,
        {"id": 1, "name": "Bob", "status": "retired"},
    )
    site.call("POST", "/agents", json={"name": "Eve", "status": "paused"})
    assert [agent["id"] for agent in site.get("/agents").json()] == [1, 2]
    gone = site.call("DELETE", "/agents/1")
    assert (gone.status_code, gone.content) == (204, b"")
    for method in ("GET", "DELETE"):
        assert site.call(method, "/agents/1").status_code == 404
    for method in ("PUT", "PATCH"):
        assert (
            site.call(
                method, "/agents/1", json={"name": "x", "status": "active"}
            ).status_code
            == 404
        )
    assert site.call("POST", "/agents", json={"name": "New"}).json()["id"] == 3, (
        "a number is never used twice"
    )


WRONG_AGENTS = {
    "no name": ("POST", {}, ["name"]),
    "an empty name": ("POST", {"name": " "}, ["name"]),
    "a name that is no text": ("POST", {"name": 5}, ["name"]),
    "an unknown status": ("POST", {"name": "a", "status": "asleep"}, ["status"]),
    "a status that is no text": (
        "POST",
        {"name": "a", "status": ["active"]},
        ["status"],
    ),
    "an unknown field": ("POST", {"name": "a", "nmae": "b"}, ["nmae"]),
    "two mistakes": ("POST", {"name": "", "status": 1}, ["name", "status"]),
    "half a replacement": ("PUT", {"name": "b"}, ["status"]),
    "a wrong change": ("PATCH", {"status": "asleep"}, ["status"]),
}


@pytest.mark.parametrize(
    ("method", "body", "fields"), WRONG_AGENTS.values(), ids=WRONG_AGENTS
)
def test_wrong_agents(site: Site, method: str, body: dict, fields: list[str]) -> None:
    """A field that is wrong is a 422 that names it, and nothing is changed."""
    site.call("POST", "/agents", json={"name": "Ada"})
    reply = site.call(method, "/agents" if method == "POST" else "/agents/1", json=body)
    assert reply.status_code == 422
    assert [error["field"] for error in reply.json()["errors"]] == fields
    assert reply.json()["message"] == "; ".join(
        error["message"] for error in reply.json()["errors"]
    )
    assert site.get("/agents").json() == [{"id": 1, "name": "Ada", "status": "active"}]


def test_agents_must_be_json(site: Site) -> None:
    """A form is a 415, JSON that is no object or no JSON a 400."""
    assert site.call("POST", "/agents", data={"name": "Ada"}).status_code == 415
    assert (
        site.call("POST", "/agents", data=json.dumps({"name": "Ada"})).status_code
        == 415
    )
    typed = {"Content-Type": "application/json; charset=utf-8"}
    assert site.call("POST", "/agents", data="{", headers=typed).status_code == 400
    assert site.call("POST", "/agents", json=["Ada"]).status_code == 400
    assert (
        site.call(
            "POST", "/agents", data=json.dumps({"name": "Ada"}), headers=typed
        ).status_code
        == 201
    )


def test_tokens(site: Site) -> None:
    """/data needs the token; /agents needs none, but refuses a wrong one; every 401
    says what it wants.
    """
    for reply in (
        site.get("/data"),
        site.get("/data", headers={"Authorization": "Bearer None"}),
    ):
        assert reply.status_code == 401 and reply.headers[
            "WWW-Authenticate"
        ].startswith("Bearer")
    assert site.get("/data", headers=site.key).json()["data"][0] == {
        "id": 1,
        "value": "alpha",
    }
    for method, path in (
        ("GET", "/agents"),
        ("POST", "/agents"),
        ("GET", "/agents/1"),
        ("DELETE", "/agents/1"),
    ):
        reply = site.call(method, path, headers={"Authorization": "Bearer wrong"})
        assert reply.status_code == 401 and reply.headers[
            "WWW-Authenticate"
        ].startswith("Bearer")
    assert site.get("/agents", headers=site.key).status_code == 200


# --- httpbin --------------------------------------------------------------------------


def test_echoes(site: Site) -> None:
    """What was sent comes back under httpbin's names."""
    got = site.get("/get?a=1&b=2&b=3&c=", headers={"X-Mine": "yes"}).json()
    assert list(got) == ["args", "headers", "origin", "url"]
    assert got["args"] == {"a": "1", "b": ["2", "3"], "c": ""}
    assert (got["origin"], got["url"]) == (
        "127.0.0.1",
        f"{site.server.url}/get?a=1&b=2&b=3&c=",
    )
    assert (
        got["headers"]["X-Mine"] == "yes"
        and got["headers"]["Host"] == f"127.0.0.1:{site.server.port}"
    )
    body = site.call("POST", "/post", json={"a": "你"}).json()
    names = ["args", "data", "files", "form", "headers", "json", "origin", "url"]
    assert list(body) == names
    assert (body["json"], body["form"]) == ({"a": "你"}, {})
    assert json.loads(body["data"]) == {"a": "你"}
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        body = site.call(method, "/anything", data={"a": "1", "b": ["2", "3"]}).json()
        assert (body["json"], body["data"]) == (None, "")
        assert body["form"] == {"a": "1", "b": ["2", "3"]}
        assert (body["method"], body["url"]) == (method, f"{site.server.url}/anything")
    assert site.call("POST", "/post", data=b"no json").json()["data"] == "no json"
    assert set(site.get("/headers").json()) == {"headers"}


def test_a_repeated_header_is_told_whole(site: Site) -> None:
    """A header that came twice has both values (RFC 9110, section 5.3)."""
    received = wire.talk(
        site.server,
        wire.request("GET /headers", "X-A: a", "x-a: b", "Connection: close"),
    )[0]
    told = json.loads(wire.split_head(received)[2])["headers"]
    assert told["X-A"] == "a, b", f"a value is lost: {told}"
    assert "x-a" not in told


@pytest.mark.parametrize("library", [requests, httpx], ids=["requests", "httpx"])
def test_multipart_is_taken_apart(site: Site, library) -> None:
    """Files and fields of a multipart form are told apart, text as text and bytes as a
    data URI; no line end is changed.
    """
    text, data = "你好\r\nline\n--x\r\n\r\n", bytes(range(256)) + b"\r\n--x"
    told = library.post(
        site.server.url + "/post",
        data={"a": "1", "b": ["2", "你"]},
        files={"t": ("a.txt", text.encode(), "text/plain"), "f": ("b.png", data)},
    ).json()
    assert told["form"] == {"a": "1", "b": ["2", "你"]}
    assert told["files"]["t"] == text
    head, _, encoded = told["files"]["f"].partition(";base64,")
    assert head.startswith("data:") and base64.b64decode(encoded) == data
    assert (told["data"], told["json"]) == ("", None)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--x",
        b"--x--",
        b"--x\r\n\r\n",
        b"--x\r\n: \r\n\r\nz\r\n--x--",
        b"\xff--x\xff\r\n",
    ],
)
def test_a_broken_multipart_body(site: Site, body: bytes) -> None:
    """A body that is no multipart form, in spite of its header, is answered all the
    same.
    """
    for kind in ("multipart/form-data; boundary=x", "multipart/form-data", "a/b/c; d"):
        headers = {"Content-Type": kind}
        assert site.call("POST", "/post", data=body, headers=headers).status_code == 200


def test_bytes_are_told_as_base64(site: Site) -> None:
    """A body that is no text comes back as a data URI, a compressed one as it came: the
    headers and the data agree.
    """
    data = gzip.compress(b'{"a": 1}')
    for body, more in ((b"\xff\x00", {}), (data, {"Content-Encoding": "gzip"})):
        told = site.call("POST", "/post", data=body, headers=more).json()
        start, _, encoded = told["data"].partition(",")
        assert start == "data:application/octet-stream;base64"
        assert base64.b64decode(encoded) == body, "these are not the bytes that came"
        assert told["json"] is None


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("/chat/completions", "/v1/chat/completions"),
        ("/v1/v1/chat/completions", "/v1/chat/completions"),
        ("/v1/chat/completions/", "/v1/chat/completions"),
        ("//v1/chat/completions", "/v1/chat/completions"),
    ],
)
def test_a_wrong_base_url_is_told(site: Site, path: str, meant: str) -> None:
    """An address that is nearly right is a 404 that names the one that was probably
    meant.
    """
    reply = site.call("POST", path, json=ASK, headers=site.key)
    assert reply.status_code == 404
    assert f"did you mean {meant}?" in reply.text, reply.text
    assert "did you mean" not in site.call("POST", "/nothing").text


def test_every_401_says_how_to_authenticate(site: Site) -> None:
    """A 401 has WWW-Authenticate (RFC 9110, section 11.6.1), scripted or not."""
    site.server.script(fault.ok(), fault.ok(), fault.status(401), fault.html(401))
    for path in ("/v1/models", "/data", "/v1/models", "/data"):
        reply = site.get(path)
        assert reply.status_code == 401
        assert reply.headers["WWW-Authenticate"].startswith("Bearer"), path


def test_a_compressed_question_is_refused_with_the_reason(site: Site) -> None:
    """The chat endpoint does not unpack a body, and says so."""
    headers = {**site.key, "Content-Encoding": "gzip"}
    data = gzip.compress(json.dumps(ASK).encode())
    reply = site.call("POST", "/v1/chat/completions", data=data, headers=headers)
    assert reply.status_code == 400
    assert "compressed" in reply.json()["error"]["message"], reply.text


@pytest.mark.parametrize("body", ["NaN", '{"a": -Infinity}', '{"a": 1e999}'])
def test_nan_is_no_json(site: Site, body: str) -> None:
    """What JSON has no word for is no JSON (RFC 8259, section 6), and never comes
    back as if it were.
    """
    told = site.call("POST", "/post", data=body).json(parse_constant=pytest.fail)
    assert (told["json"], told["data"]) == (None, body)
    headers = {**site.key, "Content-Type": "application/json"}
    reply = site.call("POST", "/v1/chat/completions", data=body, headers=headers)
    assert reply.status_code == 400


REMOVED = (
    "/put /patch /delete /delay/1 /basic-auth/a/b /bearer /bytes/9 /drip /stream/3 "
    "/gzip /encoding/utf8 /html"
)


@pytest.mark.parametrize("path", REMOVED.split())
def test_the_rest_of_httpbin_is_not_here(site: Site, path: str) -> None:
    """What no lesson uses is a 404 in one sentence."""
    assert site.get(path).status_code == 404


@pytest.mark.parametrize(
    "code", [200, 201, 204, 304, 400, 404, 418, 429, 500, 503, 599]
)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_status(site: Site, method: str, code: int) -> None:
    """/status gives any code, to any method."""
    assert site.call(method, f"/status/{code}").status_code == code


def test_status_redirects(site: Site) -> None:
    """/status/302 and its like have a Location; a code that is none is refused."""
    for code in (301, 302, 303, 307, 308):
        reply = site.get(f"/status/{code}", allow_redirects=False)
        assert (reply.status_code, reply.headers["Location"]) == (code, "/get")
    for code in (0, 100, 101, 600, 999):
        assert site.get(f"/status/{code}").status_code == 400
    assert site.get("/status/ok").status_code == 404


def test_redirects(site: Site) -> None:
    """/redirect/n goes on n times; /redirect-to goes anywhere, with the status asked
    for.
    """
    reply = site.get("/redirect/3")
    assert [step.status_code for step in reply.history] == [
        302,
        302,
        302,
    ] and reply.url.endswith("/get")
    assert [record.path for record in site.server.records] == [
        "/redirect/3",
        "/redirect/2",
        "/redirect/1",
        "/get",
    ]
    reply = site.get(
        "/redirect-to",
        params={"url": "/headers", "status_code": 307},
        allow_redirects=False,
    )
    assert (reply.status_code, reply.headers["Location"]) == (307, "/headers")
    reply = site.get(
        "/redirect-to",
        params={"url": "/headers", "status_code": 200},
        allow_redirects=False,
    )
    assert reply.status_code == 302
    assert site.get("/redirect-to").status_code == 400
    assert (
        site.call("POST", "/redirect-to?url=/anything", data=b"x").json()["method"]
        == "GET"
    )
    assert (
        site.call(
            "POST", "/redirect-to?url=/anything&status_code=307", data=b"x"
        ).json()["method"]
        == "POST"
    )


# --- every fault on every kind of reply -----------------------------------------------

KINDS = {
    "a document": "/get",
    "a list": "/agents",
    "nothing": "/status/204",
    "not modified": "/status/304",
    "an error": "/nothing",
    "a refusal": "/v1/models",
    "a redirect": "/redirect/1",
}
MIXED = [
    fault.status(503),
    fault.status(204),
    fault.quota(),
    fault.html(),
    fault.bare(),
    fault.no_charset(),
    fault.drop("rst"),
    fault.drop("fin"),
    fault.garbage(),
    fault.bad_json(),
    fault.truncate(after_events=1),
    fault.stream_error(after_events=1),
    fault.comments() + fault.crlf() + fault.no_space(),
    fault.drip(3, 0.001),
    fault.slice(3),
    fault.cut(after_bytes=5),
    fault.cut(after_events=1, how="rst"),
    fault.status(204) + fault.slice(3),
    fault.status(304) + fault.stream_error(),
    fault.bad_json() + fault.slice(2) + fault.cut(after_bytes=9),
    fault.drop() + fault.slice(2) + fault.bare(),
    fault.hang() + fault.status(500) + fault.drip(2, 0.001) + fault.drop("fin"),
    *(fault.stream_error(shape=shape, done=True) for shape in fault.SHAPES),
    fault.parts() + fault.finish(None),
    fault.no_content(),
    fault.omit("message"),
    fault.omit("code") + fault.status(999),
    fault.content_type(None),
    fault.only_done(),
    fault.content_type("text/plain") + fault.slice(2),
    fault.blank_data(),
]


@pytest.mark.parametrize("path", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_every_fault_suits_every_reply(
    site: Site,
    path: str,
    method: str,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """No fault on no reply upsets the server: it goes on serving, logs nothing, and
    every request's record ends.
    """
    site.server.script(*MIXED)
    for trouble in MIXED:
        try:
            status = site.call(method, path, allow_redirects=False).status_code
        except requests.RequestException:
            continue
        assert status != 500, f"{trouble} on {path}"
    assert site.get("/_mock/health").status_code == 200
    records = site.server.wait_for(len(MIXED))
    assert [record.fault for record in records] == [str(trouble) for trouble in MIXED]
    assert capfd.readouterr() == ("", "") and not caplog.records
