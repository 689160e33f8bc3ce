"""Lesson 05: the decision table, row by row, against real faults of the server."""

import ast
import copy
import importlib.util
import json
import re
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
import requests
from mock_server import MockServer, fault
from mock_server.fault import Fault
from requests.exceptions import ChunkedEncodingError, ContentDecodingError
from urllib3.exceptions import ReadTimeoutError

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "lessons" / "05_error_classes.py"
NOTEBOOK = ROOT / "notebooks" / "05_error_classes.ipynb"
TREE = ROOT / "notebooks" / "images" / "05_error_tree.svg"
HELLO = [{"role": "user", "content": "Hello"}]

_spec = importlib.util.spec_from_file_location("lesson_05", SCRIPT)
lesson = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(lesson)


@dataclass(frozen=True)
class Case:
    """What happens to one call, and what the client must make of it; `row` is the row
    of the table that must decide.
    """

    row: Any
    trouble: Fault
    raises: str
    is_retryable: bool
    status: int | None = None
    code: str | None = None
    retry_after: float | None = None
    cause: type[Exception] | None = None

    def __str__(self) -> str:
        return str(self.trouble)


LIMITED = "rate_limit_exceeded"
REPLIES = [
    Case("401", fault.status(401), "AuthenticationError", False, 401),
    Case("402", fault.status(402), "QuotaExceededError", False, 402),
    Case("403", fault.status(403), "PermissionDeniedError", False, 403),
    Case("404", fault.status(404), "NotFoundError", False, 404),
    Case("408", fault.status(408), "APITimeoutError", True, 408),
    Case("409", fault.status(409), "BadRequestError", False, 409),
    Case(
        "429 insufficient_quota",
        fault.quota(),
        "QuotaExceededError",
        False,
        429,
        "insufficient_quota",
    ),
    Case("429", fault.status(429), "RateLimitError", True, 429, LIMITED),
    Case(
        "429",
        fault.status(429, retry_after=7),
        "RateLimitError",
        True,
        429,
        LIMITED,
        7.0,
    ),
    Case(
        "429",
        fault.status(429, retry_after="soon"),
        "RateLimitError",
        True,
        429,
        LIMITED,
    ),
    Case("429", fault.html(429), "RateLimitError", True, 429),
    Case("4xx", fault.status(400), "BadRequestError", False, 400),
    Case("4xx", fault.status(422), "BadRequestError", False, 422),
    Case("5xx", fault.status(500), "ServerError", True, 500),
    Case("5xx", fault.html(502), "ServerError", True, 502),
    Case(
        "5xx",
        fault.status(503, retry_after=3),
        "ServerError",
        True,
        503,
        retry_after=3.0,
    ),
    Case("5xx", fault.status(529), "ServerError", True, 529),
    Case("2xx", fault.stream_error(), "ServerError", True, 200),
    Case(
        "2xx",
        fault.status(200, body={"error": "the model is not loaded"}),
        "ServerError",
        True,
        200,
    ),
    Case("anything else", fault.status(300), "InvalidResponseError", False, 300),
    Case("anything else", fault.status(304), "InvalidResponseError", False, 304),
]
NOT_JSON = requests.JSONDecodeError
BROKEN = [
    Case(
        NOT_JSON, fault.bad_json(), "InvalidResponseError", False, 200, cause=NOT_JSON
    ),
    Case(NOT_JSON, fault.html(200), "InvalidResponseError", False, 200, cause=NOT_JSON),
    Case(
        NOT_JSON,
        fault.status(200, body=""),
        "InvalidResponseError",
        False,
        200,
        cause=NOT_JSON,
    ),
    Case(
        requests.Timeout,
        fault.hang(),
        "APITimeoutError",
        True,
        cause=requests.ReadTimeout,
    ),
    Case(
        requests.Timeout,
        fault.delay(5),
        "APITimeoutError",
        True,
        cause=requests.ReadTimeout,
    ),
    Case(
        ReadTimeoutError,
        fault.stall(after_events=0),
        "APITimeoutError",
        True,
        cause=requests.ConnectionError,
    ),
    Case(
        requests.ConnectionError,
        fault.drop("rst"),
        "APIConnectionError",
        True,
        cause=requests.ConnectionError,
    ),
    Case(
        requests.ConnectionError,
        fault.drop("fin"),
        "APIConnectionError",
        True,
        cause=requests.ConnectionError,
    ),
    Case(
        requests.ConnectionError,
        fault.garbage(),
        "APIConnectionError",
        True,
        cause=requests.ConnectionError,
    ),
    Case(
        ChunkedEncodingError,
        fault.cut(after_bytes=40),
        "APIConnectionError",
        True,
        cause=ChunkedEncodingError,
    ),
    Case(
        ChunkedEncodingError,
        fault.cut(after_bytes=40, how="rst"),
        "APIConnectionError",
        True,
        cause=ChunkedEncodingError,
    ),
    Case(
        "anything else",
        fault.status(200, headers={"Content-Encoding": "gzip"}),
        "InvalidResponseError",
        False,
        cause=ContentDecodingError,
    ),
]
OFF_LINE = {
    requests.ConnectionError,
    ValueError,
}  # the rows that also have tests of their own: nothing is recorded


@pytest.fixture(scope="module")
def server() -> Iterator[MockServer]:
    """One server for all tests."""
    with MockServer() as server:
        yield server


@pytest.fixture
def client(server: MockServer) -> Any:
    """A client with a short patience, and a server that has forgotten everything."""
    server.reset()
    client = lesson.RobustAPIClient(server.api_key, server.base_url)
    client.timeout = (5.0, 0.3)  # a refusal takes 2 s on Windows
    return client


def failure(client: Any, **options: Any) -> Any:
    """Return the error that a call ends with."""
    with pytest.raises(lesson.APIError) as caught:
        client.chat_completion(HELLO, **{"model": "mock-small", **options})
    return caught.value


def advice_of(row: Any) -> str:
    """Return the advice of a row of the table."""
    return next(advice for met, _, advice in lesson.DECISIONS if met == row)


@pytest.mark.parametrize("case", REPLIES + BROKEN, ids=str)
def test_a_fault_becomes_the_error_of_its_row(
    client: Any, server: MockServer, case: Case
) -> None:
    """Each fault is met once, and becomes the right class with all the facts, and the
    advice of its row.
    """
    server.script(case.trouble)
    error = failure(client)
    assert type(error).__name__ == case.raises, (
        f"{case.trouble} became {type(error).__name__}: {error}"
    )
    assert error.is_retryable is case.is_retryable, (
        f"{case.raises} says is_retryable={error.is_retryable}"
    )
    facts = (error.status, error.code, error.retry_after)
    assert facts == (case.status, case.code, case.retry_after), (
        "status, code or retry_after got lost"
    )
    assert type(error.__cause__) is (case.cause or type(None)), (
        f"the cause is {error.__cause__!r}"
    )
    assert error.__notes__ == [advice_of(case.row)], (
        f"another row of the table decided about {case.trouble}"
    )
    assert len(server.wait_for(1)) == 1, "the client repeated the request on its own"


@pytest.mark.parametrize("case", REPLIES, ids=str)
def test_a_reply_keeps_its_request_id(
    client: Any, server: MockServer, case: Case
) -> None:
    """The id that the service asks for is on the error, and None if the service sent
    none.
    """
    server.script(case.trouble, case.trouble + fault.bare())
    assert re.fullmatch(r"req_[0-9a-f]{16}", failure(client).request_id)
    assert failure(client).request_id is None


def test_every_row_has_a_case() -> None:
    """No row of the table goes untested."""
    tested = {case.row for case in REPLIES + BROKEN} | OFF_LINE
    assert {met for met, _, _ in lesson.DECISIONS} == tested


def test_nothing_listens(client: Any) -> None:
    """A refused connection is an APIConnectionError with the whole story in its chain."""
    with socket.socket() as free:
        free.bind(
            ("127.0.0.1", 0)
        )  # bound but not listening, so nobody else can take the port meanwhile
        client.base_url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
        error = failure(client)
    assert type(error) is lesson.APIConnectionError and error.is_retryable
    assert type(error.__cause__) is requests.ConnectionError
    assert "refused" in str(error).lower()
    assert error.__notes__ == [advice_of(requests.ConnectionError)]


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1:1/v1", "http://", "http://[::1", "http://127.0.0.1:99999", "ftp://x"],
)
def test_an_address_that_cannot_be_used(client: Any, address: str) -> None:
    """A malformed address is a mistake of the program: not retryable, although it is a
    RequestException.
    """
    client.base_url = address
    error = failure(client)
    assert type(error) is lesson.BadRequestError and not error.is_retryable, (
        f"{address} became {error!r}"
    )
    assert isinstance(error.__cause__, ValueError)


@pytest.mark.parametrize("key", ["two\nlines", "→"])
def test_a_key_that_no_header_can_carry(
    client: Any, server: MockServer, key: str
) -> None:
    """Even what fails before anything is sent is an APIError."""
    client.session.headers["Authorization"] = f"Bearer {key}"
    assert type(failure(client)) is lesson.BadRequestError
    assert server.records == []


def test_real_refusals(client: Any, server: MockServer) -> None:
    """What the server itself refuses comes with the server's own words and code."""
    unknown = failure(client, model="mock-huge")
    assert (type(unknown), unknown.code) == (lesson.NotFoundError, "model_not_found")
    assert "mock-huge" in str(unknown)
    too_hot = failure(client, temperature=9)
    assert (type(too_hot), too_hot.code) == (lesson.BadRequestError, "invalid_value")
    assert str(too_hot) == "'temperature' must be from 0 to 2, not 9"
    stranger = failure(lesson.RobustAPIClient("wrong-key-1234", server.base_url))
    assert (type(stranger), stranger.code) == (
        lesson.AuthenticationError,
        "invalid_api_key",
    )
    assert "wrong-key-1234" not in str(stranger)


def test_the_real_limiter() -> None:
    """A 429 of the server's own limiter says when to come back."""
    with MockServer(requests_per_minute=1) as server:
        client = lesson.RobustAPIClient(server.api_key, server.base_url)
        client.chat_completion(HELLO, "mock-small")
        error = failure(client)
    assert type(error) is lesson.RateLimitError
    assert 50 <= error.retry_after <= 60


def test_success_is_a_family(client: Any, server: MockServer) -> None:
    """200, 201, 202 and 204 are successes, and so is a reply whose error is null."""
    assert client.chat_completion(HELLO, "mock-small")["object"] == "chat.completion"
    server.script(
        fault.status(202),
        fault.status(204),
        fault.status(200, body={"error": None, "id": 1}),
    )
    assert client.chat_completion(HELLO, "mock-small")["object"] == "chat.completion"
    assert client.chat_completion(HELLO, "mock-small") is None
    assert client.chat_completion(HELLO, "mock-small") == {"error": None, "id": 1}
    client.base_url = server.url
    assert client._handle_response(client._send("/agents", {"name": "Ada"}))["id"] == 1
    assert server.records[-1].status == 201


def test_every_family_of_statuses_is_decided() -> None:
    """No status code, however odd, falls through the table, and only 408, 429 and 5xx
    ask for another try.
    """
    for status in range(100, 1000):
        raises, _ = lesson.decide(status)
        assert raises.is_retryable == (
            status in (408, 429) or status // 100 in (2, 5)
        ), f"{status}: {raises}"


def test_the_connect_timeout_is_a_timeout() -> None:
    """requests.ConnectTimeout is a ConnectionError and a Timeout: the more particular
    row must win.
    """
    assert lesson.decide(requests.ConnectTimeout())[0] is lesson.APITimeoutError
    assert lesson.decide(requests.exceptions.SSLError())[0] is lesson.APIConnectionError


def test_the_tree() -> None:
    """Ten classes, all directly below APIError but one."""
    names = {cls.__name__ for cls in lesson.APIError.__subclasses__()}
    assert names == {
        "APIConnectionError",
        "AuthenticationError",
        "BadRequestError",
        "InvalidResponseError",
        "NotFoundError",
        "PermissionDeniedError",
        "QuotaExceededError",
        "RateLimitError",
        "ServerError",
    }
    assert lesson.APIConnectionError.__subclasses__() == [lesson.APITimeoutError]


def test_the_picture_shows_the_tree() -> None:
    """The picture names every class, and marks as retryable those that are."""
    text = TREE.read_text(encoding="utf-8")
    classes = [*lesson.APIError.__subclasses__(), lesson.APITimeoutError]
    for retryable, wanted in (("again", True), ("stop", False)):
        shown = set(re.findall(rf'class="{retryable}"[^>]*>(\w+)<', text))
        assert shown == {cls.__name__ for cls in classes if cls.is_retryable is wanted}


def test_an_error_survives_copying() -> None:
    """What pickle does when a worker process hands an error back: the copy keeps
    everything.
    """
    error = lesson.RateLimitError(
        "slow down", status=429, code=LIMITED, request_id="req_1", retry_after=2.0
    )
    twin = copy.copy(error)
    assert (type(twin), str(twin), vars(twin)) == (
        lesson.RateLimitError,
        "slow down",
        vars(error),
    )


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("", None),
        ("0", 0.0),
        ("120", 120.0),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("٣", None),
        ("120, 120", None),
        ("Mon, 01 Jan 2024 99999999999999999999:00:00 GMT", None),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 0.0),
        ("Sunday, 06-Nov-94 08:49:37 GMT", 0.0),
        ("Sun Nov  6 08:49:37 1994", 0.0),
    ],
)
def test_retry_after(value: str | None, seconds: float | None) -> None:
    """Whole seconds and the three date forms of RFC 9110; anything else is None, and
    nothing raises.
    """
    assert lesson.retry_after_seconds(value) == seconds


@pytest.mark.parametrize("zone", ["UTC", "Asia/Shanghai"])
@pytest.mark.skipif(
    not hasattr(time, "tzset"),
    reason="only POSIX can change the time zone of a running process",
)
def test_retry_after_date_in_any_time_zone(
    zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A date means the same wherever the program runs, also in the form that names no
    zone.
    """
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        soon = time.time() + 90
        assert lesson.retry_after_seconds(
            formatdate(soon, usegmt=True)
        ) == pytest.approx(90, abs=2)
        asctime = time.strftime("%a %b %d %H:%M:%S %Y", time.gmtime(soon))
        assert lesson.retry_after_seconds(asctime) == pytest.approx(90, abs=2)
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    ("body", "message", "code"),
    [
        ({"error": {"message": "no", "code": "bad"}}, "no", "bad"),
        ({"error": {"message": "no"}}, "no", None),
        ({"error": "no"}, "no", None),
        ({"message": "no"}, "no", None),
        ({"error": {}, "message": "no"}, "no", None),
        ({"detail": "no"}, '500 Internal Server Error: \'{"detail":"no"}\'', None),
        ({"error": ["no"]}, '500 Internal Server Error: \'{"error":["no"]}\'', None),
        (["no"], "500 Internal Server Error: '[\"no\"]'", None),
        ("no", "500 Internal Server Error: 'no'", None),
    ],
)
def test_explanations(
    client: Any, server: MockServer, body: Any, message: str, code: str | None
) -> None:
    """Each way in which services explain themselves is read, and an unknown one is
    quoted.
    """
    server.script(fault.status(500, body=body))
    error = failure(client)
    assert (str(error), error.code) == (message, code)


def test_a_client_needs_a_key_and_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a key, or without an address, there is no client."""
    monkeypatch.setenv("OPENAI_API_KEY", "a-key")
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with pytest.raises(ValueError, match="OPENAI_BASE_URL"):
        lesson.RobustAPIClient()
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1/")
    assert lesson.RobustAPIClient().base_url == "http://127.0.0.1:1/v1"
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(ValueError, match="OPENAI_API_KEY"):
        lesson.RobustAPIClient()


def test_the_notebook_shows_the_same_table() -> None:
    """The table that the learner reads is the table that runs."""
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    tables = [
        _table("".join(cell["source"])) for cell in cells if cell["cell_type"] == "code"
    ]
    assert [table for table in tables if table] == [
        _table(SCRIPT.read_text(encoding="utf-8"))
    ]


def _table(source: str) -> str:
    """Return the value of DECISIONS in a source text as a syntax tree, or an empty
    text.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "DECISIONS":
            return ast.dump(node.value)
    return ""
