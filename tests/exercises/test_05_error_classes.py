"""Exercise 05: every failure of a call becomes one error of one family.

The core comes first. Further are odd replies, odd arguments and odd headers.
"""

import gc
import math
import select
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime

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


def raised(
    answer,
    server: MockServer,
    trouble: Fault,
    wanted: str,
    but_not: str = "",
    why: str = "",
):
    """Return the error of the wanted class that raise_for_error makes of a reply.

    Fails the test if there is none.
    """
    response = reply(server, trouble)
    expected = f"{wanted} for {trouble}" + (why and f": {why}")
    with expect_raises(answer, wanted, expected=expected) as caught:
        call(answer, "raise_for_error", response)
    if but_not:
        saw = f"{type(caught.value).__name__}, which is also a {but_not}"
        expect(
            not isinstance(caught.value, getattr(answer, but_not)),
            saw=saw,
            expected=expected,
        )
    return caught.value


# --- raise_for_error: which error ---


@pytest.mark.points(1, hint="status-table")
def test_statuses_of_their_own(answer, server):
    """401 is an AuthenticationError, 403 a PermissionDeniedError, 404 a NotFoundError,
    408 an APITimeoutError.
    """
    key, right = "AuthenticationError", "PermissionDeniedError"
    raised(answer, server, fault.status(401), key, but_not=right)
    raised(answer, server, fault.status(403), right, but_not=key)
    raised(answer, server, fault.status(404), "NotFoundError")
    why = "the server stopped waiting for the request"
    error = raised(answer, server, fault.status(408), "APITimeoutError", why=why)
    expect(
        error.status == 408,
        saw=f"status {error.status}",
        expected="an APITimeoutError with the status 408",
    )


@pytest.mark.points(1, hint="status-table")
def test_families(answer, server):
    """Any other 4xx is a BadRequestError, any 5xx a ServerError, even without JSON.

    409 and 422 too, and a 5xx with an HTML page.
    """
    for code in (400, 409, 422, 499):
        raised(answer, server, fault.status(code), "BadRequestError")
    for trouble in (
        fault.status(500),
        fault.html(502),
        fault.status(503),
        fault.status(599),
        fault.status(529),
    ):
        why = "a server in trouble may send HTML, and a retry can help"
        error = raised(answer, server, trouble, "ServerError", why=why)
    expect(
        error.status == 529,
        saw=f"status {error.status}",
        expected="a ServerError with the status 529",
    )


@pytest.mark.points(1, hint="quota")
def test_rate_limit(answer, server):
    """429 is a RateLimitError that knows how long to wait."""
    words = "slowly: your quota of requests for this minute is used up"
    trouble = fault.status(
        429,
        retry_after=7,
        body={"error": {"message": words, "code": "rate_limit_exceeded"}},
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
    """Any 2xx with JSON or an empty body is good: nothing is raised, and None
    returned. An "error" of null is not one.
    """
    bodies = ([{"id": 1}], {"text": "no error here"}, {"id": 1, "error": None})
    for trouble in (
        fault.ok(),
        fault.status(201),
        fault.status(204),
        fault.status(299),
        fault.status(202, body=""),
        *[fault.status(200, body=body) for body in bodies],
    ):
        value = call(answer, "raise_for_error", reply(server, trouble))
        expect(value is None, expected=f"None for {trouble}: there is no error")


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
    """A 200 whose body isn't JSON is an InvalidResponseError, with the status and the
    request id of the reply.
    """
    headers = {"x-request-id": "req-5104"}
    page = fault.status(200, body="<h1>Sign in</h1>", headers=headers)
    for trouble in (fault.html(200), fault.bad_json(), page):
        error = raised(answer, server, trouble, "InvalidResponseError")
    facts = (error.status, error.request_id)
    expect(
        facts == (200, "req-5104"),
        saw=f"(status, request_id) = {facts}",
        expected="(200, 'req-5104'): support asks for the id of this request too",
        hint="details",
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
    # What stands before the words is as long as an id or a trace can be.
    words, trace = "no user n-3372", {"trace": "7f" * 150}
    for body in (
        {**trace, "error": {**trace, "message": words, "code": "unknown"}},
        {**trace, "message": words},
        {**trace, "error": words},
    ):
        for code, wanted in ((404, "NotFoundError"), (500, "ServerError")):
            error = raised(answer, server, fault.status(code, body=body), wanted)
            expect(
                words in str(error),
                saw=f"the message {clip(str(error), 120)!r}",
                expected=f"what the server says, {words!r}: it tells what to mend",
            )
        if isinstance(body.get("error"), dict):
            saw, expected = f"code {error.code!r}", "code 'unknown', from a 500 too"
            expect(error.code == "unknown", saw=saw, expected=expected, hint="details")


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
            saw=f"{name} is not a subclass of APIError",
            expected=f"{name} to be a subclass of APIError",
        )
    expect(
        not call(answer, "is_retryable", KeyError("choices")),
        expected="False for a KeyError: a retry mends no bug",
    )
    below = issubclass(answer.APITimeoutError, answer.APIConnectionError)
    expect(
        below,
        saw="APITimeoutError is not a subclass of APIConnectionError",
        expected="it to be one",
    )


# --- call ---


def failed(answer, wanted: str, url: str, *, why: str = "", hint: str = "", **kwargs):
    """Return the error that call raises; fail unless it is of the wanted class."""
    expected = wanted + (why and f": {why}")
    with expect_raises(answer, wanted, expected=expected, hint=hint) as caught:
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


NET = "one `except APIError` around a call is to catch all that goes wrong"


def check_cause(answer, error: Exception) -> None:
    """Expect that an error has the one it came from as its __cause__."""
    cause = error.__cause__
    expect(
        cause is not None and not isinstance(cause, answer.APIError),
        saw=f"__cause__ is {cause!r}",
        expected="the error of requests, or about the JSON, as __cause__ (raise … from "
        "error): without it, the traceback blames your except",
        hint="from",
    )


@pytest.mark.points(1, hint="from")
def test_cause(answer, server):
    """The error that came first is the __cause__ of the APIError."""
    for trouble in (fault.drop(), fault.bad_json()):
        start_over()
        server.script(trouble)
        url = server.url + "/users/ada"
        check_cause(answer, failed(answer, "APIError", url, timeout=4, why=NET))
    start_over()
    server.script(fault.hang())
    check_cause(answer, failed(answer, "APIError", url, timeout=0.1, why=NET))


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
@pytest.mark.limit(8)
def test_no_reply_in_time(answer, server):
    """Time that runs out at any point of a call is an APITimeoutError.

    Before there is a connection, before there is a reply, or in the middle of its
    body.
    """
    server.script(fault.hang())
    failed(answer, "APITimeoutError", server.url + "/users/ada", timeout=0.1)
    start_over()
    server.script(fault.stall(after_events=1))
    url, hint = server.url + "/users/ada", "timeout-in-body"
    why = "the reply stopped in the middle, and time ran out"
    failed(answer, "APITimeoutError", url, timeout=0.3, why=why, hint=hint)
    start_over()
    with deaf_port() as port:
        server.script(fault.hang())
        failed(
            answer,
            "APITimeoutError",
            f"http://127.0.0.1:{port or server.port}/users/ada",
            timeout=0.1,
        )


@pytest.mark.points(1, hint="where-to-begin")
@pytest.mark.limit(8)
def test_no_whole_reply(answer, server):
    """A connection that is refused, or breaks off before the reply or in its body, is
    an APIConnectionError and no timeout.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    # The port is free again now: nobody listens there.
    halves = [fault.cut(after_bytes=20), fault.cut(after_bytes=20, how="rst")]
    for trouble in (fault.drop("rst"), fault.drop("fin"), *halves, None):
        start_over()
        url, hint = f"http://127.0.0.1:{port}/", ""
        if trouble:
            server.script(trouble)
            url = server.url + "/users/ada"
            hint = "timeout-in-body" if trouble in halves else ""
        wanted = "APIConnectionError"
        error = failed(answer, wanted, url, timeout=4, why=NET, hint=hint)
        expect(
            not isinstance(error, answer.APITimeoutError),
            expected="an APIConnectionError, but not an APITimeoutError",
        )
    expect(
        error.status is None,
        saw=f"status {error.status!r}",
        expected="status None: no reply came",
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


# --- further: odd replies ---

# JSON that is no {"error": {…}}, {"error": "…"} or {"message": "…"}.
SHAPES = (
    "[]",
    "5",
    "null",
    '"gone"',
    '{"error": []}',
    '{"error": 5}',
    '{"error": null}',
    '{"error": {"message": null}}',
    '{"error": {"message": {"en": "gone"}}}',
    '{"error": {"message": "gone", "code": ["gone", 404]}}',
    '{"message": ["gone"]}',
    '[{"error": "gone"}]',
)


@pytest.mark.points(1, further=True, hint="explanation")
def test_bodies_of_any_shape(answer, server):
    """The status decides the error, whatever the JSON in the body looks like."""
    headers = {"Content-Type": "application/json"}
    for text in SHAPES:
        for code, wanted in ((404, "NotFoundError"), (503, "ServerError")):
            trouble = fault.status(code, body=text, headers=headers)
            error = raised(answer, server, trouble, wanted, why=NET)
            saw, expected = f"status {error.status}", f"the status {code} in the error"
            expect(error.status == code, saw=saw, expected=expected)
            expect(isinstance(str(error), str), expected="an error that can be printed")
    for text in ("[]", "5", "null", '"gone"'):
        trouble = fault.status(200, body=text, headers=headers)
        call(answer, "raise_for_error", reply(server, trouble))


@pytest.mark.points(1, further=True, hint="unreadable")
def test_replies_that_go_wrong(answer, server):
    """A redirect is an error, not worth a retry; an unreadable reply is an APIError.

    Unreadable: requests cannot unpack it, or not follow it to its end.
    """
    for code in (300, 304):  # requests can follow neither
        error = raised(answer, server, fault.status(code), "APIError", why=NET)
        start_over()
        expect(
            not call(answer, "is_retryable", error),
            expected=f"False for a {code}: the next reply is the same",
        )
    start_over()
    server.script(
        fault.status(200, body="no gzip", headers={"Content-Encoding": "gzip"})
    )
    url = server.url + "/users/ada"
    check_cause(answer, failed(answer, "APIError", url, timeout=4, why=NET))
    start_over()
    # An answer that follows no redirect has no cause to give.
    failed(answer, "APIError", server.url + "/redirect/40", timeout=4, why=NET)


# --- further: odd arguments ---


def check_wrong(answer, url: str, **kwargs) -> None:
    """Expect that of these arguments no request can be made."""
    start_over()
    why = f"nothing can be sent; {NET}"
    error = failed(answer, "BadRequestError", url, timeout=4, why=why, **kwargs)
    check_cause(answer, error)
    expect(
        not call(answer, "is_retryable", error),
        expected="False: these arguments can never be sent",
    )


@pytest.mark.points(1, further=True, hint="bad-request")
def test_wrong_address_or_header(answer, server):
    """An address or a header that cannot be sent is a BadRequestError, and not worth a
    retry.
    """
    for url in ("users/ada", "http://", "ftp://127.0.0.1/users/ada"):
        check_wrong(answer, url)
    for value in ("t-1\nt-2", "5 €"):
        check_wrong(answer, server.url + "/users/ada", headers={"X-Trace": value})


@pytest.mark.points(1, further=True, hint="bad-request")
def test_what_json_cannot_hold(answer, server):
    """A value that JSON cannot hold is a BadRequestError, and nothing is sent."""
    for value in (datetime(2026, 11, 30), {"a", "b"}, math.nan, b"x"):
        check_wrong(answer, server.url + "/agents", json={"name": value})
        saw = f"the server got {server.records[-1].body!r}" if server.records else ""
        expect(not server.records, saw=saw, expected="no request: that isn't JSON")


# --- further: odd values of Retry-After ---


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


def waits(answer, server, **trouble) -> float | None:
    """Return the retry_after of the error for a 503 with this header."""
    return raised(
        answer, server, fault.status(503, **trouble), "ServerError"
    ).retry_after


@pytest.mark.points(1, further=True, hint="details")
def test_retry_after_as_a_date(answer, server, far_east):
    """Retry-After may be a date, which is in GMT, and may be in the past."""
    seen = waits(answer, server, retry_after=100, as_date=True)
    expect(
        isinstance(seen, int | float) and 90 <= seen <= 102,
        saw=f"retry_after {seen!r}",
        expected="about 100.0, the seconds from now to the date, whatever the time "
        "zone",
    )
    seen = waits(answer, server, retry_after="Sun, 06 Nov 1994 08:49:37 GMT")
    expect(
        seen == 0,
        saw=f"retry_after {seen!r}",
        expected="retry_after 0.0: 1994 is over, and time.sleep(-1) raises",
    )


@pytest.mark.points(1, further=True, hint="details")
def test_retry_after_that_says_nothing(answer, server):
    """A Retry-After that is neither seconds nor a date is None."""
    sleep = "time.sleep() of it raises, or never ends"
    for text in ("nan", "inf", "infinity", "soon", "", "Sun, 06 Nov", "5 seconds"):
        seen = waits(answer, server, retry_after=text)
        expect(
            seen is None,
            saw=f"retry_after {seen!r}",
            expected=f"None for {text!r}" + (f": {sleep}" if seen else ""),
        )
    seen = waits(answer, server, retry_after=9)
    saw, expected = f"retry_after {seen!r}", "retry_after 9.0, for a 503 too"
    expect(seen == 9, saw=saw, expected=expected)
