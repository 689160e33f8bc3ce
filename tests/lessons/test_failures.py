"""One failure is one error, whichever client of robust_client meets it, and however.

Each failure goes through eight ways to call: plain, in a batch, and streamed, with
requests and under asyncio. The class, is_retryable, status, code, request id,
retry_after and the words must be the same in all of them; what a stream adds is said
with the failure.
"""

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import httpx
import pytest
import trustme
from mock_server import MockServer, fault
from robust_client.async_stream import StreamingAsyncClient
from robust_client.errors import APIError, CheckedAPIClient, CheckedAsyncClient
from robust_client.limits import APIClientWithRateLimit, RateLimiter
from robust_client.retry import RobustAPIClient, RobustAsyncClient, retry_on_error
from robust_client.stream import IncompleteStreamError, StreamingAPIClient

KEY = "sk-not-a-real-key-000"  # which stands in no other text
HELLO = [{"role": "user", "content": "Say hello"}]
ANSWER = "Hello! 你好! 👋"
PATIENCE = 5.0  # seconds that a client waits for data, and to connect
# Less where none comes. (The head of a reply comes before the silence in its body.)
LESS_PATIENCE = {"silence": 0.1, "silence in the body": 0.5, "timeout to connect": 0.1}
Account = tuple[str, str, str]


# --- eight ways to call ---------------------------------------------------------------


def plain(client: Any) -> str:
    """Call, and return the text of the whole reply."""
    return client.chat_completion(HELLO)["choices"][0]["message"]["content"]


def streamed(client: Any) -> str:
    """Call, and return the text of the stream."""
    return "".join(client.chat_completion_stream(HELLO))


async def batched(client: Any) -> str:
    """Call in a batch of one; raise what stands in the place of its answer."""
    (result,) = await client.batch_results(["Say hello"])
    if isinstance(result, Exception):
        raise result
    return result


async def streamed_async(client: Any) -> str:
    """Call under asyncio, and return the text of the stream."""
    return "".join([piece async for piece in client.chat_completion_stream(HELLO)])


# A client, its own options, and how it is called.
NO_RETRY: dict[str, Any] = {"retry": None}
WAYS: dict[str, tuple[Any, dict[str, Any], Callable[[Any], Any]]] = {
    "checked": (CheckedAPIClient, {}, plain),
    "robust": (RobustAPIClient, NO_RETRY, plain),
    "limited": (APIClientWithRateLimit, {**NO_RETRY, "max_calls": 999}, plain),
    "stream": (StreamingAPIClient, NO_RETRY, streamed),
    "limited stream": (
        APIClientWithRateLimit,
        {**NO_RETRY, "max_calls": 999},
        streamed,
    ),
    "checked batch": (CheckedAsyncClient, {}, batched),
    "robust batch": (RobustAsyncClient, NO_RETRY, batched),
    "async stream": (StreamingAsyncClient, NO_RETRY, streamed_async),
}


class Clients:
    """A client for each way, opened once: most of their time is the opening."""

    def __init__(self, account: Account, *ways: str) -> None:
        self._runner, self._clients = asyncio.Runner(), {}
        for way in ways or WAYS:
            client_class, options, _ = WAYS[way]
            self._clients[way] = client_class(*account, **options)
        self.wait_for(PATIENCE)

    def wait_for(self, seconds: float) -> None:
        """Set how long all clients wait for data, and to connect."""
        for client in self._clients.values():
            if hasattr(client, "http"):
                client.http.timeout = httpx.Timeout(seconds)
            else:
                client.timeout = seconds

    def call(self, way: str) -> str:
        """Call in one way, and return the text of the answer."""
        call = WAYS[way][2]
        if asyncio.iscoroutinefunction(call):
            return self._runner.run(call(self._clients[way]))
        return call(self._clients[way])

    def failure(self, way: str) -> "Seen":
        """Return what can be seen of the error with which a way ends."""
        with pytest.raises(APIError) as raised:
            self.call(way)
        return look(raised.value)

    def close(self) -> None:
        """Close all clients."""
        for client in self._clients.values():
            if hasattr(client, "http"):
                self._runner.run(client.close())
            else:
                client.close()
        self._runner.close()


# --- what a failure looks like --------------------------------------------------------


class Seen(NamedTuple):
    """What a caller can see of an error. has_id: whether there is a request id."""

    name: str
    is_retryable: bool
    status: int | None = None
    code: str | None = None
    retry_after: float | None = None
    has_id: bool = True
    words: str = ""


def look(error: APIError) -> Seen:
    """Return what can be seen of an error."""
    return Seen(
        type(error).__name__,
        error.is_retryable,
        error.status,
        error.code,
        error.retry_after,
        (error.request_id or "").startswith("req_"),
        str(error),
    )


STOPPED = "the model stopped working while it answered"
NO_MONEY = (
    "The quota of this account is used up. Check the plan and the billing details."
)
NOTHING = {"has_id": False}
BROKE = Seen("APIConnectionError", True, words="no whole reply", **NOTHING)
LATE = Seen("APITimeoutError", True, words="no whole reply in time", **NOTHING)
INSIDE = Seen("ServerError", True, 200, words=STOPPED)
ENDED = Seen("IncompleteStreamError", True, 200, words="the stream ended after 0 char")


def refused(name: str, status: int, is_retryable: bool = False, **more: Any) -> Seen:
    """Return what can be seen of a status that was scripted."""
    words = f"this reply was scripted to be a {status}"
    return Seen(name, is_retryable, status, words=words, **more)


def inside(seen: Seen) -> Seen:
    """Return what a stream makes of an error inside a 200: a StreamError."""
    return seen._replace(name="StreamError")


OTHER_HOST = {"Location": "http://api.example/v1/chat/completions"}
AWAY = "302: redirected to api.example; the key does not go there"
NO_STREAM = Seen("InvalidResponseError", False, 200)
# A failure, what every way sees, and what a stream sees if that is something else. The
# words are the beginning of those that are seen.
FAILURES: dict[str, tuple[fault.Fault, Seen, Seen | None]] = {
    "reset": (fault.drop("rst"), BROKE, None),
    "FIN": (fault.drop("fin"), BROKE, None),
    "garbage": (fault.garbage(), BROKE, None),
    "silence": (fault.hang(), LATE, None),
    "cut": (fault.cut(after_bytes=40), BROKE, ENDED),
    "cut by a reset": (fault.cut(after_bytes=40, how="rst"), BROKE, ENDED),
    "silence in the body": (fault.stall(after_events=0), LATE, ENDED),
    "redirect": (
        fault.status(302, headers=OTHER_HOST),
        Seen("InvalidResponseError", False, 302, words=AWAY),
        None,
    ),
    "400": (fault.status(400), refused("BadRequestError", 400), None),
    "401": (fault.status(401), refused("AuthenticationError", 401), None),
    "401 that repeats the key": (
        fault.status(401, body={"error": {"message": f"{KEY} is no key"}}),
        Seen("AuthenticationError", False, 401, words="… is no key"),
        None,
    ),
    "403": (fault.status(403), refused("PermissionDeniedError", 403), None),
    "404": (fault.status(404), refused("NotFoundError", 404), None),
    "408": (fault.status(408), refused("APITimeoutError", 408, True), None),
    "409": (fault.status(409), refused("BadRequestError", 409), None),
    "422": (fault.status(422), refused("BadRequestError", 422), None),
    "429": (
        fault.status(429, retry_after=7),
        refused("RateLimitError", 429, True, code="rate_limit_exceeded", retry_after=7),
        None,
    ),
    "no money": (
        fault.quota(),
        Seen(
            "QuotaExceededError", False, 429, code="insufficient_quota", words=NO_MONEY
        ),
        None,
    ),
    "no money, by its type": (
        fault.status(
            429, body={"error": {"message": "Pay.", "type": "insufficient_quota"}}
        ),
        Seen("QuotaExceededError", False, 429, words="Pay."),
        None,
    ),
    "500": (fault.status(500), refused("ServerError", 500, True), None),
    "502 with a page": (
        fault.html(502),
        Seen("ServerError", True, 502, words="502 with this body: '<html>"),
        None,
    ),
    "503, retry later": (
        fault.status(503, retry_after="1.5"),
        refused("ServerError", 503, True, retry_after=1.5),
        None,
    ),
    "529": (fault.status(529), refused("ServerError", 529, True), None),
    "999": (fault.status(999), refused("InvalidResponseError", 999), None),
    "words in a text": (
        fault.status(400, body={"error": "Too long."}),
        Seen("BadRequestError", False, 400, words="Too long."),
        None,
    ),
    "words in a detail": (
        fault.status(422, body={"detail": [{"msg": "Field required."}]}),
        Seen("BadRequestError", False, 422, words="Field required."),
        None,
    ),
    "words in a message": (
        fault.status(404, body={"message": "Not here."}),
        Seen("NotFoundError", False, 404, words="Not here."),
        None,
    ),
    "a list without words": (
        fault.status(500, body=[]),
        Seen("ServerError", True, 500, words="500 with this body: '[]'"),
        None,
    ),
    "bad JSON": (
        fault.bad_json(),
        NO_STREAM._replace(words="200 with this body: '{"),
        NO_STREAM._replace(words="a damaged event: '{"),
    ),
    "no choices": (
        fault.omit("choices"),
        NO_STREAM._replace(words="200 with this body: '{"),
        NO_STREAM._replace(words="a damaged event: '{"),
    ),
    "a page in place of the answer": (
        fault.html(200),
        NO_STREAM._replace(words="200 with this body: '<html>"),
        None,
    ),
    **{
        f"error inside, {shape}": (
            fault.stream_error(shape=shape, done=True),
            INSIDE,
            inside(INSIDE),
        )
        for shape in ("error", "text", "detail", "choice")
    },
    "limit inside": (
        fault.stream_error(code=429),
        INSIDE._replace(name="RateLimitError", code="429"),
        inside(INSIDE)._replace(code="429"),
    ),
    "no money inside": (
        fault.stream_error(code="insufficient_quota"),
        INSIDE._replace(
            name="QuotaExceededError", is_retryable=False, code="insufficient_quota"
        ),
        inside(INSIDE)._replace(is_retryable=False, code="insufficient_quota"),
    ),
}
# Failures that only a stream can have.
STREAM_FAILURES: dict[str, tuple[fault.Fault, Seen]] = {
    "cut short": (fault.truncate(after_events=0), ENDED),
    "nothing but [DONE]": (fault.only_done(), ENDED),
    "error event": (fault.stream_error(shape="event", done=True), inside(INSIDE)),
    "broken choice": (
        fault.stream_error(shape="finish", done=True),
        inside(INSIDE)._replace(words="200 with this body: '{"),
    ),
}


def account_of(server: MockServer) -> Account:
    """Return the key, the address and the model that a client is given."""
    return server.api_key, server.base_url, "mock-small"


@pytest.fixture
def account(server: MockServer) -> Account:
    """An account at the server of one test."""
    return account_of(server)


@pytest.fixture(scope="module")
def all_clients() -> Iterator[tuple[MockServer, Clients]]:
    """One server, and the clients of all ways."""
    with MockServer(api_key=KEY) as server:
        clients = Clients(account_of(server))
        yield server, clients
        clients.close()


def check(way: str, seen: Seen, wanted: Seen) -> None:
    """Compare what was seen with what is wanted, the words from their beginning."""
    assert seen.words.startswith(wanted.words), f"{way}: {seen}"
    assert seen._replace(words="") == wanted._replace(words=""), way


@pytest.mark.parametrize("name", FAILURES)
def test_failure(name: str, all_clients: tuple[MockServer, Clients]) -> None:
    """A failure is the same error in every way to call."""
    server, clients = all_clients
    trouble, everywhere, in_streams = FAILURES[name]
    clients.wait_for(LESS_PATIENCE.get(name, PATIENCE))
    for way in WAYS:
        server.script(trouble)
        is_other = "stream" in way and in_streams
        check(way, clients.failure(way), in_streams if is_other else everywhere)


@pytest.mark.parametrize("name", STREAM_FAILURES)
def test_failure_of_a_stream(
    name: str, all_clients: tuple[MockServer, Clients]
) -> None:
    """A failure that only a stream can have is the same error in all three streams."""
    server, clients = all_clients
    trouble, wanted = STREAM_FAILURES[name]
    clients.wait_for(PATIENCE)
    for way in (way for way in WAYS if "stream" in way):
        server.script(trouble)
        check(way, clients.failure(way), wanted)


# --- failures before a server is reached ----------------------------------------------


@contextmanager
def closed_port() -> Iterator[str]:
    """Yield an address at which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    yield f"http://127.0.0.1:{port}/v1"


@contextmanager
def full_backlog() -> Iterator[str]:
    """Yield an address where connections are neither accepted nor refused (Linux)."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        address = listener.getsockname()
        waiting = [socket.socket() for _ in range(4)]
        for client in waiting:
            client.setblocking(False)
            client.connect_ex(address)
        yield f"http://127.0.0.1:{address[1]}/v1"
        for client in waiting:
            client.close()


@contextmanager
def unknown_certificate() -> Iterator[str]:
    """Yield the address of a server whose certificate nobody here trusts."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:  # the test is over
                    return
                try:
                    context.wrap_socket(client, server_side=True).close()
                except (ssl.SSLError, OSError):
                    client.close()

        threading.Thread(target=serve, daemon=True).start()
        yield f"https://127.0.0.1:{listener.getsockname()[1]}/v1"
        listener.shutdown(socket.SHUT_RDWR)


UNREACHED = {
    "refused": (closed_port, BROKE),
    "timeout to connect": (full_backlog, LATE),
    "bad certificate": (
        unknown_certificate,
        Seen("CertificateError", False, words="no valid certificate", **NOTHING),
    ),
}


@pytest.mark.parametrize("name", UNREACHED)
def test_server_that_is_not_reached(name: str) -> None:
    """What keeps a request from its server is the same error in every way to call."""
    place, wanted = UNREACHED[name]
    with place() as base_url:
        clients = Clients(("a-key", base_url, "mock-small"))
        clients.wait_for(LESS_PATIENCE.get(name, PATIENCE))
        for way in WAYS:
            check(way, clients.failure(way), wanted)
        clients.close()


# --- all of it together ---------------------------------------------------------------


class ManualClock:
    """A clock on which time passes only when somebody sleeps; in seconds."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let the seconds pass, in no time."""
        self.now += seconds


def test_retries_stay_inside_the_limit(server: MockServer, account: Account) -> None:
    """Nine tries of one call, three a second allowed, take two seconds."""
    clock = ManualClock()
    server.on().reply(fault.status(503))
    retry = retry_on_error(8, 0.0, sleep=clock.sleep)
    with APIClientWithRateLimit(*account, retry=retry) as client:
        client.limiter = RateLimiter(3, 1.0, clock=clock, sleep=clock.sleep)
        with pytest.raises(APIError):
            client.chat_completion(HELLO)
    assert (len(server.records), clock()) == (9, 2.0)


def test_streams_stay_inside_the_limit(server: MockServer, account: Account) -> None:
    """Streams, and what is tried again before their first text, count as calls."""
    clock = ManualClock()
    with APIClientWithRateLimit(
        *account, retry=retry_on_error(sleep=clock.sleep)
    ) as it:
        it.limiter = RateLimiter(2, 100.0, clock=clock, sleep=clock.sleep)
        server.script(fault.status(503), fault.truncate(after_events=0))
        texts = ["".join(it.chat_completion_stream(HELLO)) for _ in range(3)]
    assert texts == [ANSWER] * 3
    assert len(server.records) == 5
    assert 200 <= clock() < 300


async def begin_async(account: Account, retry: Any) -> str:
    """Stream under asyncio."""
    async with StreamingAsyncClient(*account, retry=retry) as client:
        return await streamed_async(client)


def once_more(account: Account, way: str) -> str:
    """Stream with three retries that take no time."""
    retry = retry_on_error(sleep=lambda seconds: None)
    if way == "asyncio":
        return asyncio.run(begin_async(account, retry))
    with StreamingAPIClient(*account, retry=retry) as client:
        return streamed(client)


@pytest.mark.parametrize("way", ["requests", "asyncio"])
def test_stream_is_repeated_before_its_first_text(
    way: str, server: MockServer, account: Account
) -> None:
    """A refusal, a drop and an early end are repeated; the caller gets one answer."""
    early = fault.truncate(after_events=0)
    server.script(fault.status(503), fault.drop("rst"), early)
    assert once_more(account, way) == ANSWER
    assert len(server.records) == 4


@pytest.mark.parametrize("way", ["requests", "asyncio"])
@pytest.mark.parametrize(
    "trouble",
    [fault.truncate(after_events=2), fault.stream_error(after_events=2)],
    ids=str,
)
def test_stream_is_not_repeated_after_it(
    way: str, trouble: fault.Fault, server: MockServer, account: Account
) -> None:
    """After the first text nothing is repeated: the text would come twice."""
    server.script(trouble)
    with pytest.raises(APIError) as raised:
        once_more(account, way)
    assert (raised.value.partial, len(server.records)) == ("Hello!", 1)


def test_incomplete_stream_can_be_repeated_by_the_caller() -> None:
    """A stream that broke off is retryable: the caller may begin anew."""
    assert IncompleteStreamError("x").is_retryable
