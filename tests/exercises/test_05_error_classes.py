"""Exercise 05: every failure of a call becomes one error of one family."""

import gc
import select
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest
import requests
from mock_server import MockServer, fault
from mock_server.fault import Fault

from lessons.course.results import clip
from tests.grader.steps import call, expect, expect_raises, log


def start_over() -> None:
    """Forget the steps so far, which were right: "we did" is for what goes wrong."""
    log.steps.clear()


def reply(server: MockServer, trouble: Fault) -> requests.Response:
    """Return the reply to a GET that meets a fault, and write down how we got it."""
    start_over()
    server.script(trouble)
    response = requests.get(server.url + "/users/ada", timeout=5)
    log.steps.append('response = requests.get(server.url + "/users/ada")')
    log.names.append((response, "response"))
    return response


def raised(answer, server: MockServer, trouble: Fault, wanted: str, but_not: str = ""):
    """Return the error of the wanted class that raise_for_error makes of a reply.

    Fails the test if there is none.
    """
    response = reply(server, trouble)
    with expect_raises(answer, wanted, expected=f"{wanted} for {trouble}") as caught:
        call(answer, "raise_for_error", response)
    if but_not:
        saw = f"{type(caught.value).__name__}, which is a {but_not} too"
        expect(
            not isinstance(caught.value, getattr(answer, but_not)),
            saw=saw,
            expected=f"{wanted} for {trouble}",
        )
    return caught.value


# --- raise_for_error: which error ---


@pytest.mark.points(1, hint="status-table")
def test_401_403_404(answer, server):
    """401 is an AuthenticationError, 403 a PermissionDeniedError, 404 a
    NotFoundError.
    """
    raised(
        answer,
        server,
        fault.status(401),
        "AuthenticationError",
        but_not="PermissionDeniedError",
    )
    raised(
        answer,
        server,
        fault.status(403),
        "PermissionDeniedError",
        but_not="AuthenticationError",
    )
    raised(answer, server, fault.status(404), "NotFoundError")


@pytest.mark.points(1, hint="status-table")
def test_other_4xx(answer, server):
    """400, and any other 4xx such as 409 and 422, is a BadRequestError."""
    for code in (400, 409, 422, 499):
        raised(answer, server, fault.status(code), "BadRequestError")


@pytest.mark.points(1, hint="status-table")
def test_408(answer, server):
    """408 is an APITimeoutError: the server stopped waiting for the request."""
    error = raised(answer, server, fault.status(408), "APITimeoutError")
    expect(
        error.status == 408,
        saw=f"status {error.status}",
        expected="an APITimeoutError with the status 408",
    )


@pytest.mark.points(1, hint="status-table")
def test_5xx(answer, server):
    """Every 5xx is a ServerError, also with an HTML page in place of JSON."""
    for trouble in (
        fault.status(500),
        fault.html(502),
        fault.status(503),
        fault.status(599),
        fault.status(529),
    ):
        error = raised(answer, server, trouble, "ServerError")
    expect(
        error.status == 529,
        saw=f"status {error.status}",
        expected="a ServerError with the status 529",
    )


@pytest.mark.points(1, hint="quota")
def test_rate_limit(answer, server):
    """429 is a RateLimitError that knows how long to wait."""
    trouble = fault.status(
        429,
        retry_after=7,
        body={"error": {"message": "slowly", "code": "rate_limit_exceeded"}},
    )
    error = raised(
        answer, server, trouble, "RateLimitError", but_not="QuotaExceededError"
    )
    expect(
        error.retry_after == 7,
        saw=f"retry_after {error.retry_after!r}",
        expected="retry_after 7.0",
    )
    raised(
        answer, server, fault.html(429), "RateLimitError", but_not="QuotaExceededError"
    )


@pytest.mark.points(1, hint="quota")
def test_no_money(answer, server):
    """429 with the code insufficient_quota is a QuotaExceededError, and so is 402."""
    spent = fault.status(
        429, body={"error": {"message": "no money left", "code": "insufficient_quota"}}
    )
    raised(answer, server, spent, "QuotaExceededError", but_not="RateLimitError")
    raised(
        answer,
        server,
        fault.status(402),
        "QuotaExceededError",
        but_not="RateLimitError",
    )


@pytest.mark.points(1, hint="success")
def test_good_replies(answer, server):
    """Any 2xx with JSON or an empty body is good, and raises nothing.

    A 3xx is not, and no retry mends it.
    """
    some, word = (
        fault.status(200, body=[{"id": 1}]),
        fault.status(200, body={"text": "no error here"}),
    )
    empty = fault.status(202, body="")
    for trouble in (
        fault.ok(),
        fault.status(201),
        fault.status(204),
        fault.status(299),
        empty,
        some,
        word,
    ):
        call(answer, "raise_for_error", reply(server, trouble))
    for code in (300, 304):  # requests can follow neither
        error = raised(answer, server, fault.status(code), "APIError")
        expect(
            not call(answer, "is_retryable", error),
            expected=f"False for a {code}: the next one is the same",
        )


@pytest.mark.points(1, hint="error-inside")
def test_error_inside_a_200(answer, server):
    """A 200 with an error in its JSON is a ServerError, whether the error is an object
    or a text.
    """
    words = (
        "the model stopped in the middle of its work, and nobody here knows why: n-5103"
    )
    for inside in ({"message": words, "code": "stopped"}, words):
        trouble = fault.status(
            200, body={"error": inside}, headers={"x-request-id": "req-5103"}
        )
        error = raised(answer, server, trouble, "ServerError")
        expect(
            words in str(error),
            saw=f"the message {clip(str(error), 120)!r}",
            expected=f"all that the server says in the message: {words}",
            hint="explanation",
        )
        facts, wanted = (error.status, error.request_id), (200, "req-5103")
        saw, expected = (
            f"(status, request_id) = {facts}",
            f"{wanted}, as for any bad reply",
        )
        expect(facts == wanted, saw=saw, expected=expected, hint="details")
        if inside != words:
            expect(
                error.code == "stopped",
                saw=f"code {error.code!r}",
                expected="code 'stopped'",
                hint="details",
            )


@pytest.mark.points(1, hint="no-json")
def test_no_json(answer, server):
    """A 200 whose body is no JSON is an InvalidResponseError."""
    for trouble in (fault.html(200), fault.bad_json()):
        error = raised(answer, server, trouble, "InvalidResponseError")
    expect(
        error.status == 200,
        saw=f"status {error.status}",
        expected="an InvalidResponseError with the status 200",
    )
    start_over()
    server.script(fault.bad_json())
    failed(answer, "InvalidResponseError", server.url + "/users/ada", timeout=4)


# --- raise_for_error: what the error carries ---


@pytest.mark.points(1, hint="explanation")
def test_explanation(answer, server):
    """The error carries the server's words, the status, the code and the request id."""
    body = {"error": {"message": "no key n-3371", "code": "invalid_api_key"}}
    trouble = fault.status(401, body=body, headers={"x-request-id": "req-4711"})
    error = raised(answer, server, trouble, "AuthenticationError")
    expect(
        "no key n-3371" in str(error),
        saw=f"{error}",
        expected="a message that says what the server says",
    )
    facts = (error.status, error.code, error.request_id, error.retry_after)
    wanted = (401, "invalid_api_key", "req-4711", None)
    expect(
        facts == wanted,
        saw=f"(status, code, request_id, retry_after) = {facts}",
        expected=f"{wanted}",
    )
    error = raised(
        answer,
        server,
        fault.status(404, body={"message": "no user n-3372"}),
        "NotFoundError",
    )
    expect(
        "no user n-3372" in str(error),
        saw=f"{error}",
        expected="the server's words also from {'message': …}",
    )
    broken = fault.status(
        500, body={"error": {"message": "no disk n-3373", "code": "disk_full"}}
    )
    error = raised(answer, server, broken, "ServerError")
    facts = (str(error), error.code)
    is_right = "no disk n-3373" in facts[0] and facts[1] == "disk_full"
    expect(
        is_right,
        saw=f"(message, code) = {facts}",
        expected="the server's words and its code also from a 500",
    )


@pytest.fixture
def far_east(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Put this machine nine hours east of Greenwich, where the system can do that."""
    if hasattr(time, "tzset"):
        with monkeypatch.context() as patched:
            patched.setenv("TZ", "FAR-9")
            time.tzset()
            yield
        time.tzset()
    else:
        yield


@pytest.mark.points(1, hint="details")
def test_retry_after(answer, server, far_east):
    """Retry-After may be a date, in GMT, also a past one; one that cannot be read is
    None. A 503 may have it too.
    """
    error = raised(
        answer,
        server,
        fault.status(429, retry_after=100, as_date=True),
        "RateLimitError",
    )
    expect(
        isinstance(error.retry_after, int | float) and 90 <= error.retry_after <= 102,
        saw=f"retry_after {error.retry_after!r}",
        expected="about 100.0, the seconds from now to the date, whatever the time "
        "zone",
    )
    past = fault.status(429, headers={"Retry-After": "Sun, 06 Nov 1994 08:49:37 GMT"})
    error = raised(answer, server, past, "RateLimitError")
    expect(
        error.retry_after == 0,
        saw=f"retry_after {error.retry_after!r}",
        expected="retry_after 0.0: 1994 is over",
    )
    error = raised(
        answer, server, fault.status(429, retry_after="soon"), "RateLimitError"
    )
    expect(
        error.retry_after is None,
        saw=f"retry_after {error.retry_after!r}",
        expected="retry_after None for 'soon'",
    )
    error = raised(answer, server, fault.status(503, retry_after=9), "ServerError")
    expect(
        error.retry_after == 9,
        saw=f"retry_after {error.retry_after!r}",
        expected="retry_after 9.0, for a 503 too",
    )


# --- is_retryable ---

RETRYABLE = {
    "RateLimitError": True,
    "ServerError": True,
    "APIConnectionError": True,
    "APITimeoutError": True,
    "AuthenticationError": False,
    "PermissionDeniedError": False,
    "BadRequestError": False,
    "NotFoundError": False,
    "QuotaExceededError": False,
    "InvalidResponseError": False,
    "APIError": False,
}


@pytest.mark.points(1, hint="retryable")
def test_is_retryable(answer, server):
    """Rate limits, failures of the server, broken calls and timeouts can succeed later;
    nothing else can.
    """
    for name, wanted in RETRYABLE.items():
        error = getattr(answer, name)("made by the test", status=None)
        start_over()
        is_right = bool(call(answer, "is_retryable", error)) is wanted
        expect(
            is_right,
            expected=f"{wanted} for {name}: decide by class, since this one has no "
            "status",
        )
        expect(
            isinstance(error, answer.APIError),
            saw=f"{name} is not",
            expected=f"{name} below APIError",
        )
    expect(
        not call(answer, "is_retryable", KeyError("choices")),
        expected="False for a KeyError: a bug stays one",
    )
    below = issubclass(answer.APITimeoutError, answer.APIConnectionError)
    expect(below, saw="it is not", expected="APITimeoutError below APIConnectionError")


# --- call ---


def failed(answer, wanted: str, url: str, **kwargs):
    """Return the error that call raises; fail unless it is of the wanted class."""
    with expect_raises(answer, wanted) as caught:
        call(answer, "call", "GET", url, **kwargs)
    return caught.value


@pytest.mark.points(1, hint="where-to-begin")
def test_call(answer, server):
    """A call sends what it is given, once, and returns the reply; a bad reply becomes
    its error.
    """
    server.script(fault.status(201, body={"id": "n-8811"}))
    body, headers = {"name": "ada", "status": "paused"}, {"X-Trace": "t-42"}
    response = call(
        answer,
        "call",
        "POST",
        server.url + "/agents",
        json=body,
        headers=headers,
        timeout=5,
    )
    expect(
        response.json() == {"id": "n-8811"},
        expected="the reply of the server, with the id n-8811",
    )
    record = server.records[0]
    sent = (record.method, record.headers.get("X-Trace"), b"paused" in record.body)
    expect(
        sent == ("POST", "t-42", True),
        saw=f"the server got {record.request}, X-Trace "
        f"{record.headers.get('X-Trace')}, {record.body!r}",
        expected="POST /agents with that header and that JSON",
    )
    start_over()
    server.script(fault.status(201, body={}))
    call(
        answer,
        "call",
        "POST",
        server.url + "/agents",
        params={"page": 2},
        data=b"n-8812",
        timeout=5,
    )
    record = server.records[1]
    sent = (record.query, record.body)
    expect(
        sent == ("page=2", b"n-8812"),
        saw=f"the server got {record.request}, {record.body!r}",
        expected="POST /agents?page=2 and b'n-8812': all of kwargs is for "
        "requests.request",
    )
    start_over()
    server.script(fault.status(503, retry_after=1))
    error = failed(answer, "ServerError", server.url + "/users/ada", timeout=5)
    expect(
        error.status == 503,
        saw=f"status {error.status}",
        expected="a ServerError with the status 503",
    )
    expect(
        len(server.records) == 3,
        saw=f"{len(server.records)} requests",
        expected="one request for each call",
    )


@pytest.mark.points(1, hint="order-of-except")
def test_every_failure(answer, server):
    """Whatever goes wrong becomes an APIError, and what was raised first, if anything
    was, is its __cause__.
    """
    no_gzip = fault.status(200, body="no gzip", headers={"Content-Encoding": "gzip"})
    for trouble in (fault.drop(), fault.bad_json(), no_gzip, None):
        start_over()
        if trouble:
            server.script(trouble)
        error = failed(
            answer,
            "APIError",
            server.url + "/users/ada" if trouble else "users/ada",
            timeout=4,
        )
        expect(
            error.__cause__ is not None
            and not isinstance(error.__cause__, answer.APIError),
            saw=f"__cause__ is {error.__cause__!r}",
            expected="the error of requests, or about the JSON, as __cause__: "
            "raise … from error",
            hint="from",
        )
    start_over()
    # An answer that follows no redirect has no cause to give.
    failed(answer, "APIError", server.url + "/redirect/40", timeout=4)


@contextmanager
def deaf_port() -> Iterator[int | None]:
    """Give a port where a connection is neither accepted nor refused.

    It is None if this system cannot make one.
    """
    with (
        socket.create_server(("127.0.0.1", 0), backlog=1) as listener,
        ExitStack() as stack,
    ):
        waiting = [stack.enter_context(socket.socket()) for _ in range(8)]
        for one in waiting:  # they fill the queue of the listener, which accepts nobody
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
        _, connected, failed = select.select([], waiting[-1:], waiting[-1:], 0.05)
        yield None if connected or failed else listener.getsockname()[1]


@pytest.mark.points(1, hint="order-of-except")
@pytest.mark.limit(3)
def test_no_reply_in_time(answer, server):
    """Time that runs out, before there is a connection or before there is a reply, is
    an APITimeoutError.
    """
    server.script(fault.hang())
    failed(answer, "APITimeoutError", server.url + "/users/ada", timeout=0.1)
    start_over()
    with deaf_port() as port:
        server.script(fault.hang())
        failed(
            answer,
            "APITimeoutError",
            f"http://127.0.0.1:{port or server.port}/users/ada",
            timeout=0.1,
        )


@pytest.mark.points(1, hint="timeout-in-body")
@pytest.mark.limit(3)
def test_half_a_reply_in_time(answer, server):
    """A reply that stops in the middle of its body is an APITimeoutError too."""
    server.script(fault.stall(after_events=1))
    failed(answer, "APITimeoutError", server.url + "/users/ada", timeout=0.3)


@pytest.mark.points(1, hint="where-to-begin")
def test_no_connection(answer, server):
    """A connection that breaks off, or is refused, is an APIConnectionError and no
    timeout.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    # The port is free again now: nobody listens there.
    server.script(fault.drop("rst"), fault.drop("fin"))
    for url in (
        server.url + "/users/ada",
        server.url + "/users/psf",
        f"http://127.0.0.1:{port}/",
    ):
        error = failed(answer, "APIConnectionError", url, timeout=4)
        expect(
            not isinstance(error, answer.APITimeoutError),
            expected="an APIConnectionError, not its class for timeouts",
        )
    expect(
        error.status is None,
        saw=f"status {error.status!r}",
        expected="status None: no reply came",
    )


@pytest.mark.points(1, hint="timeout-in-body")
def test_reply_that_breaks_off(answer, server):
    """A reply that breaks off in the middle of its body is an APIConnectionError."""
    for trouble in (fault.cut(after_bytes=20), fault.cut(after_bytes=20, how="rst")):
        start_over()
        server.script(trouble)
        error = failed(
            answer, "APIConnectionError", server.url + "/users/ada", timeout=4
        )
        expect(
            not isinstance(error, answer.APITimeoutError),
            expected="an APIConnectionError, not its class for timeouts",
        )


@pytest.mark.points(1, hint="bad-request")
def test_wrong_arguments(answer, server):
    """An address or a header of which no request can be made is a BadRequestError, and
    it is not worth a retry.
    """
    wrong = [(url, {}) for url in ("users/ada", "http://", "ftp://127.0.0.1/users/ada")]
    for url, kwargs in [
        *wrong,
        (server.url + "/users/ada", {"headers": {"X-Trace": "t-1\nt-2"}}),
    ]:
        start_over()
        error = failed(answer, "BadRequestError", url, timeout=4, **kwargs)
        expect(
            not call(answer, "is_retryable", error),
            expected="False: nothing was sent, and nothing will be",
        )


def sockets_to(port: int) -> list[socket.socket]:
    """Return the sockets of this process that are connected to a port here."""
    found = []
    for one in [
        thing for thing in gc.get_objects() if issubclass(type(thing), socket.socket)
    ]:
        with suppress(OSError):
            if one.family == socket.AF_INET and one.getpeername()[1] == port:
                found.append(one)
    return found


@pytest.mark.points(1, hint="default-timeout")
def test_default_timeout(answer, server):
    """A call has a timeout even if the caller names none."""
    server.script(fault.hang())
    errors = []

    def wait_for_reply():
        try:
            call(answer, "call", "GET", server.url + "/users/ada")
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=wait_for_reply, daemon=True)
    thread.start()
    until = time.monotonic() + 3
    while not (server.records or errors) and time.monotonic() < until:
        time.sleep(0.01)
    time.sleep(0.1)  # until the request is sent, and the client waits for the reply
    patience = [one.gettimeout() for one in sockets_to(server.port)]
    server.stop()
    thread.join(2)
    if errors and isinstance(errors[0], NotImplementedError):
        raise errors[0]
    expect(
        server.records and patience and None not in patience,
        saw="the call waits for ever"
        if patience
        else f"no request that waits; {errors}",
        expected="a timeout in every call: kwargs.setdefault(…) before the request",
    )
