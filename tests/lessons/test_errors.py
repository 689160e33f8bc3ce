"""Lesson 05: the decision table, row by row, against real faults of the server."""

import asyncio
import copy
import re
import socket
import ssl
import time
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests
import urllib3
from mock_server import MockServer, fault
from mock_server.fault import SHAPES, Fault
from robust_client import errors
from robust_client.batch import BatchError
from robust_client.errors import APIError, CheckedAPIClient, CheckedAsyncClient
from robust_client.replies import is_answer, name_of, parse_retry_after, words_in

TREE = Path(__file__).parents[2] / "notebooks" / "images" / "05_error_tree.svg"
HELLO = [{"role": "user", "content": "Hello"}]
WORDS = "the model stopped working while it answered"
LIMITED = "rate_limit_exceeded"


KEY, QUOTA, LIMIT, MISTAKE, NO_ROW = (
    "401, invalid_api_key",
    "402, insufficient_quota",
    "429, rate_limit_exceeded",
    "invalid_request_error",
    "no row fits",
)
LATE, BREAK = "no whole reply in time", "no whole reply"
MOVED = {"Location": "http://elsewhere.example/v1"}
# The fault, the row that must decide, the class, and its status and code.
CASES = [
    ("status(401)", KEY, errors.AuthenticationError, 401, None),
    ("status(402)", QUOTA, errors.QuotaExceededError, 402, None),
    ("status(403)", "403", errors.PermissionDeniedError, 403, None),
    ("status(404)", "404", errors.NotFoundError, 404, None),
    ("status(408)", "408", errors.APITimeoutError, 408, None),
    ("status(409)", "409", errors.BadRequestError, 409, None),
    ("quota()", QUOTA, errors.QuotaExceededError, 429, "insufficient_quota"),
    ("quota() + omit(code)", QUOTA, errors.QuotaExceededError, 429, None),
    ("status(429)", LIMIT, errors.RateLimitError, 429, LIMITED),
    ("html(429)", LIMIT, errors.RateLimitError, 429, None),
    ("status(400)", "4xx", errors.BadRequestError, 400, None),
    ("status(422)", "4xx", errors.BadRequestError, 422, None),
    ("status(500)", "5xx", errors.ServerError, 500, None),
    ("html(502)", "5xx", errors.ServerError, 502, None),
    ("status(529)", "5xx", errors.ServerError, 529, None),
    ("status(304)", "3xx", errors.InvalidResponseError, 304, None),
    (f"status(302, headers={MOVED})", "3xx", errors.InvalidResponseError, 302, None),
    ("status(999)", NO_ROW, errors.InvalidResponseError, 999, None),
    ("status(204)", NO_ROW, errors.InvalidResponseError, 204, None),
    ("bad_json()", NO_ROW, errors.InvalidResponseError, 200, None),
    ("html(200)", NO_ROW, errors.InvalidResponseError, 200, None),
    ("omit(choices)", NO_ROW, errors.InvalidResponseError, 200, None),
    ("status(200, body=[])", NO_ROW, errors.InvalidResponseError, 200, None),
    # An error inside a 200 decides by what it calls itself.
    ("stream_error()", "2xx", errors.ServerError, 200, None),
    ("stream_error(code=x)", "2xx", errors.ServerError, 200, "x"),
    ("stream_error(code=429)", LIMIT, errors.RateLimitError, 200, "429"),
    ("stream_error(code=400)", "4xx", errors.BadRequestError, 200, "400"),
    (f"stream_error(type={MISTAKE})", MISTAKE, errors.BadRequestError, 200, None),
    ("hang()", LATE, errors.APITimeoutError, None, None),
    ("stall(after_events=0)", LATE, errors.APITimeoutError, None, None),
    ("drop(rst)", BREAK, errors.APIConnectionError, None, None),
    ("drop(fin)", BREAK, errors.APIConnectionError, None, None),
    ("garbage()", BREAK, errors.APIConnectionError, None, None),
    ("cut(after_bytes=40)", BREAK, errors.APIConnectionError, None, None),
    ("cut(after_bytes=40, how=rst)", BREAK, errors.APIConnectionError, None, None),
    (
        "status(200, headers={'Content-Encoding': 'gzip'})",
        NO_ROW,
        errors.InvalidResponseError,
        None,
        None,
    ),
]
# These rows have tests of their own: nothing is recorded.
OFF_LINE = {"nothing was sent", "no valid certificate"}


@pytest.fixture(scope="module")
def server() -> Iterator[MockServer]:
    """One server for all tests."""
    with MockServer() as server:
        yield server


@pytest.fixture
def client(server: MockServer) -> Iterator[CheckedAPIClient]:
    """A client that waits 0.5 s for a reply, and a server that has forgotten all."""
    server.reset()  # a refusal takes 2 s on Windows, hence the 5.0
    timeout = (5.0, 0.5)
    with CheckedAPIClient(server.api_key, server.base_url, "mock-small", timeout) as it:
        yield it


def failure(client: CheckedAPIClient, *arguments: Any) -> APIError:
    """Return the error that a call ends with."""
    with pytest.raises(APIError) as caught:
        client.chat_completion(HELLO, *arguments)
    return caught.value


def advice_of(row: str) -> str:
    """Return the advice of a row of the table."""
    found = [advice for names, _, advice in errors.DECISIONS if names == row]
    return found[0] if found else errors.decide(set())[1]


@pytest.mark.parametrize(
    ("trouble", "row", "raises", "status", "code"), CASES, ids=[one[0] for one in CASES]
)
def test_fault_becomes_the_error_of_its_row(
    client: CheckedAPIClient,
    server: MockServer,
    trouble: str,
    row: str,
    raises: type[APIError],
    status: int | None,
    code: str | None,
) -> None:
    """A fault becomes the right class, with its facts and the advice of its row."""
    server.script(fault.parse(trouble))
    error = failure(client)
    assert type(error) is raises, f"{trouble} became {error!r}"
    assert (error.status, error.code) == (status, code), "a fact got lost"
    assert error.__notes__ == [advice_of(row)], f"another row decided: {error!r}"
    assert len(server.wait_for(1)) == 1, "the client repeated the request on its own"


def test_every_row_has_a_case() -> None:
    """No row of the table goes untested."""
    tested = {row for _, row, *_ in CASES} - {NO_ROW} | OFF_LINE
    assert {row for row, _, _ in errors.DECISIONS} == tested


@pytest.mark.parametrize(
    ("trouble", "cause"),
    [
        (fault.hang(), requests.ReadTimeout),
        (fault.cut(after_bytes=40), requests.exceptions.ChunkedEncodingError),
        (fault.bad_json(), ValueError),
        (fault.html(502), type(None)),
    ],
    ids=str,
)
def test_cause(
    client: CheckedAPIClient, server: MockServer, trouble: Fault, cause: type
) -> None:
    """What went wrong underneath is the __cause__ of the error."""
    server.script(trouble)
    assert isinstance(failure(client).__cause__, cause)


@pytest.mark.parametrize("status", [429, 503])
def test_wait_of_the_server(
    client: CheckedAPIClient, server: MockServer, status: int
) -> None:
    """The error knows how long the server asks you to wait."""
    server.script(fault.status(status, retry_after=7), fault.status(status))
    assert failure(client).retry_after == 7.0
    assert failure(client).retry_after is None


@pytest.mark.parametrize("status", [401, 429, 503])
def test_request_id(client: CheckedAPIClient, server: MockServer, status: int) -> None:
    """The id that the service asks for is on the error, None if the reply had none."""
    trouble = fault.status(status)
    server.script(trouble, trouble + fault.bare())
    assert re.fullmatch(r"req_[0-9a-f]{16}", failure(client).request_id)
    assert failure(client).request_id is None


def test_every_status_is_decided() -> None:
    """Only 408, 429 and 5xx, and an error in a 2xx, ask for another try."""
    for status in range(100, 1000):
        error_class, _ = errors.decide({str(status), f"{status // 100}xx"})
        again = status in (408, 429) or status // 100 in (2, 5)
        assert error_class.is_retryable is again, f"{status}: {error_class}"


@pytest.mark.parametrize("shape", SHAPES)
def test_error_inside_a_200(
    client: CheckedAPIClient, server: MockServer, shape: str
) -> None:
    """However an error is written into a 200, it is raised with the server's words."""
    server.script(fault.stream_error(shape=shape))
    error = failure(client)
    assert (type(error), error.status) == (errors.ServerError, 200), repr(error)
    if shape != "finish":  # which has no words: the start of the body has to do
        assert str(error) == WORDS


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"error": {"message": "no"}}, "no"),
        ({"error": "no"}, "no"),
        ({"message": "no"}, "no"),
        ({"detail": "no"}, "no"),
        ({"detail": [{"msg": "no", "loc": ["body"]}, {"msg": "never"}]}, "no; never"),
        ({"title": "no", "status": 403}, "no"),
        ({"errors": [{"message": "no", "code": 7}]}, "no"),
        ([{"error": {"message": "no"}}], "no"),
        ({"error": "Not Found", "message": "no such path"}, "Not Found; no such path"),
        ({"error": True, "message": "no"}, "no"),
        ({"error": {}, "message": "no"}, "no"),
        ({"error": {"code": 7}}, ""),
        ("no", "no"),
        (None, ""),
        (7, ""),
    ],
)
def test_words(body: Any, words: str) -> None:
    """Each way in which services explain themselves is read."""
    assert words_in(body) == words


@pytest.mark.parametrize(
    ("body", "start"),
    [
        ("down for lunch", "503 with this body: 'down for lunch'"),
        ("[" * 900 + "]" * 900, "503 with this body: '[[["),
        ({"reason": "你好"}, '503 with this body: \'{"reason":"你好"}\''),
        ("null", "503 with this body: 'null'"),
    ],
)
def test_body_without_known_words_is_quoted(
    client: CheckedAPIClient, server: MockServer, body: Any, start: str
) -> None:
    """A text, deep nesting, and an unknown shape: the start of the body has to do."""
    server.script(fault.status(503, body=body))
    assert str(failure(client)).startswith(start)


def test_redirect_names_the_host(client: CheckedAPIClient, server: MockServer) -> None:
    """A redirect is not followed, and its error says where it leads."""
    server.script(fault.status(307, headers=MOVED), fault.status(304))
    assert "redirected to elsewhere.example" in str(failure(client))
    assert "redirected" not in str(failure(client)), "a 304 leads nowhere"
    assert len(server.records) == 2, "the redirect was followed"


def test_good_replies(client: CheckedAPIClient, server: MockServer) -> None:
    """Any 2xx with an answer is a success, whatever its headers claim."""
    wrong_charset = fault.content_type("text/plain; charset=ISO-8859-1")
    server.script(fault.ok(), fault.status(201), fault.parts(), wrong_charset)
    for _ in range(4):
        question = [{"role": "user", "content": "Say hello"}]
        content = client.chat_completion(question)["choices"][0]["message"]["content"]
        assert "你好" in str(content)
    assert client.get_models() == ["mock-small", "mock-large"]


@pytest.mark.parametrize(
    ("body", "is_good"),
    [
        ({"choices": [{}], "error": None}, True),
        ({"choices": [{"finish_reason": "eos_token"}]}, True),
        ({"data": []}, True),
        ({"data": [], "message": "success"}, True),
        ({"choices": [None]}, True),
        ({"choices": {"a": 1}}, False),
        ({"choices": None, "message": "no"}, False),
        ({"choices": [], "detail": "no"}, False),
        ({"choices": [{"error": {"message": "no"}}]}, False),
        ("no", False),
        (None, False),
    ],
)
def test_is_answer(body: Any, is_good: bool) -> None:
    """An answer is a list of choices or of models, without an error in it."""
    assert is_answer(body) is is_good


def test_nothing_listens(client: CheckedAPIClient) -> None:
    """A refused connection is an APIConnectionError, with the reason as its cause."""
    with socket.socket() as free:  # bound, not listening: nobody else takes the port
        free.bind(("127.0.0.1", 0))
        client.base_url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
        error = failure(client)
    assert type(error) is errors.APIConnectionError
    assert "refused" in str(error.__cause__).lower()


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1:1/v1", "http://", "http://[::1", "http://127.0.0.1:99999", "ftp://x"],
)
def test_address_that_cannot_be_used(client: CheckedAPIClient, address: str) -> None:
    """A malformed address is a mistake of the program: no repetition mends it."""
    client.base_url = address
    error = failure(client)
    assert type(error) is errors.BadRequestError, f"{address} became {error!r}"
    assert error.__notes__ == [advice_of("nothing was sent")]
    assert error.__cause__ is not None


@pytest.mark.parametrize("value", [float("nan"), {1, 2}])
def test_body_that_cannot_be_sent(
    client: CheckedAPIClient, server: MockServer, value: Any
) -> None:
    """What JSON cannot hold fails before anything is sent, as an APIError."""
    assert type(failure(client, None, value)) is errors.BadRequestError
    assert server.records == []


def certificate_errors() -> list[Exception]:
    """Return what requests and httpx make of a certificate that is not valid."""
    bad = ssl.SSLCertVerificationError("self-signed certificate")
    of_httpx = httpx.ConnectError("self-signed certificate")
    of_httpx.__cause__ = bad
    below = urllib3.exceptions.SSLError(bad)
    reason = urllib3.exceptions.MaxRetryError(None, "/", below)
    return [requests.exceptions.SSLError(reason), of_httpx]


@pytest.mark.parametrize("cause", certificate_errors(), ids=["requests", "httpx"])
def test_certificate_is_permanent(cause: Exception) -> None:
    """A bad certificate is an APIConnectionError that no repetition mends."""
    error = errors.error_from_exception(cause)
    assert type(error) is errors.CertificateError
    assert isinstance(error, errors.APIConnectionError) and not error.is_retryable


@pytest.mark.parametrize(
    ("cause", "name"),
    [
        (requests.ConnectTimeout("late"), LATE),
        (httpx.ConnectTimeout("late"), LATE),
        (httpx.PoolTimeout("late"), LATE),
        (requests.exceptions.SSLError("wrong version"), BREAK),
        (httpx.RemoteProtocolError("no HTTP"), BREAK),
        (httpx.LocalProtocolError("illegal header"), "nothing was sent"),
        (httpx.UnsupportedProtocol("ftp"), "nothing was sent"),
        (httpx.InvalidURL("port"), "nothing was sent"),
        (httpx.DecodingError("no gzip"), "a reply that cannot be read"),
    ],
    ids=repr,
)
def test_names_of_exceptions(cause: Exception, name: str) -> None:
    """The same failure has one name, in requests and in httpx."""
    assert name_of(cause) == name


def test_what_the_server_refuses(client: CheckedAPIClient, server: MockServer) -> None:
    """What the server itself refuses comes with its own words and code."""
    unknown = failure(client, "mock-huge")
    assert (type(unknown), unknown.code) == (errors.NotFoundError, "model_not_found")
    assert "mock-huge" in str(unknown)
    too_hot = failure(client, None, 9)
    assert str(too_hot) == "'temperature' must be from 0 to 2, not 9"
    with CheckedAPIClient("wrong-key-1234", server.base_url, "mock-small") as stranger:
        error = failure(stranger)
    assert (type(error), error.code) == (errors.AuthenticationError, "invalid_api_key")
    assert "wrong-key-1234" not in f"{error!r} {error.__cause__!r} {vars(error)}"


def test_limiter_of_the_server() -> None:
    """A 429 of the server's own limiter says when to come back."""
    with MockServer(requests_per_minute=1) as server:
        client = CheckedAPIClient(server.api_key, server.base_url, "mock-small")
        with client:
            client.chat_completion(HELLO)
            error = failure(client)
    assert type(error) is errors.RateLimitError
    assert 50 <= error.retry_after <= 60


def facts_of(error: APIError) -> tuple[Any, ...]:
    """Return what two clients must agree on."""
    facts = error.status, error.code, error.request_id is None, error.retry_after
    return type(error), str(error), error.is_retryable, *facts, error.__notes__


@pytest.mark.parametrize(
    "trouble",
    [fault.quota(), fault.drop("rst"), fault.html(502), fault.stream_error()],
    ids=str,
)
def test_batch_has_the_same_errors(
    client: CheckedAPIClient, server: MockServer, trouble: Fault
) -> None:
    """A failed call of a batch is the error that a plain call gets."""

    async def first_result() -> Any:
        async with CheckedAsyncClient(
            server.api_key, server.base_url, "mock-small"
        ) as it:
            return (await it.batch_results(["Hello"]))[0]

    server.script(trouble, trouble)
    assert facts_of(asyncio.run(first_result())) == facts_of(failure(client))


def test_batch_refuses_a_reply_without_text(server: MockServer) -> None:
    """A batch promises texts: null is an InvalidResponseError in its place."""
    server.reset()
    server.script(fault.no_content())

    async def ask() -> None:
        async with CheckedAsyncClient(
            server.api_key, server.base_url, "mock-small"
        ) as it:
            await it.batch_completion(["Hello"])

    with pytest.raises(BatchError) as caught:
        asyncio.run(ask())
    assert type(caught.value.results[0]) is errors.InvalidResponseError


def test_picture_shows_the_tree() -> None:
    """The picture names every class, and marks those that can succeed later."""
    classes = [APIError]
    for one in classes:
        classes += one.__subclasses__()
    classes = [one for one in classes if one.__module__ == errors.__name__]
    assert len(classes) == 12
    text = TREE.read_text(encoding="utf-8")
    for mark, again in (("again", True), ("stop", False)):
        shown = set(re.findall(rf'class="{mark}"[^>]*>(\w+)<', text))
        wanted = {one.__name__ for one in classes[1:] if one.is_retryable is again}
        assert shown == wanted


def test_error_survives_copying() -> None:
    """A worker process hands an error back as a copy: the copy keeps everything."""
    error = errors.RateLimitError("slow down", status=429, code=LIMITED, retry_after=2)
    twin = copy.copy(error)
    assert (type(twin), str(twin)) == (errors.RateLimitError, "slow down")
    assert vars(twin) == vars(error)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("", None),
        ("0", 0.0),
        (" 120 ", 120.0),
        ("1.5", 1.5),
        ("9" * 400, 1e9),
        ("-1", None),
        ("1e3", None),
        ("nan", None),
        ("soon", None),
        ("٣", None),
        ("120, 120", None),
        ("Mon, 01 Jan 2024 99999999999999999999:00:00 GMT", None),
        ("Sun, 06 Nov 1994 08:49:37 +9999", None),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 30.0),
        ("Sunday, 06-Nov-94 08:49:37 GMT", 30.0),
        ("Sun Nov  6 08:49:37 1994", 30.0),
        ("Sun, 06 Nov 1994 09:49:37 +0100", 30.0),
        ("Sun, 06 Nov 1994 08:49:06 GMT", 0.0),
    ],
)
def test_retry_after(value: str | None, seconds: float | None) -> None:
    """Seconds, and dates in all three forms and any zone; anything else is None."""
    now = 784_111_747.0  # 30 seconds before Sunday, 6 November 1994, 08:49:37 GMT
    assert parse_retry_after(value, now) == seconds


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="only POSIX can set the zone")
def test_retry_after_in_any_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A date means the same wherever the program runs, and counts from now."""
    monkeypatch.setenv("TZ", "FAR-9")
    time.tzset()
    try:
        soon = time.time() + 90
        texts = formatdate(soon, usegmt=True), time.asctime(time.gmtime(soon))
        for text in texts:
            assert parse_retry_after(text) == pytest.approx(90, abs=5), text
    finally:
        monkeypatch.undo()
        time.tzset()
