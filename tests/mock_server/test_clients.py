"""What each client library does with each fault: the table that the lessons teach,
checked against the mock server.
"""

import json
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import httpx2
import pytest
import requests
import requests.exceptions as rq
from mock_server import MockServer, fault
from mock_server.fault import Fault

LIBRARIES = {"requests": requests, "httpx": httpx, "httpx2": httpx2}
TIMEOUT = 0.3  # seconds; for the rows that wait for one
PATIENT = 5.0  # seconds; for the others


def get(library, url: str, timeout: float = PATIENT):
    """Get an address with any of the three libraries."""
    return library.get(url, timeout=timeout)


def post_chat(
    library,
    server: MockServer,
    content: str = "Say hello",
    timeout: float = PATIENT,
    **more,
):
    """Ask the model something; the whole reply is read."""
    body = {
        "model": "mock-small",
        "messages": [{"role": "user", "content": content}],
        **more,
    }
    headers = {"Authorization": f"Bearer {server.api_key}"}
    return library.post(
        f"{server.base_url}/chat/completions",
        json=body,
        headers=headers,
        timeout=timeout,
    )


@contextmanager
def open_stream(
    library, server: MockServer, content: str = "Say hello", timeout: float = PATIENT
) -> Iterator:
    """Ask for a streamed answer and give the reply before its body is read."""
    body = {
        "model": "mock-small",
        "stream": True,
        "messages": [{"role": "user", "content": content}],
    }
    call = {
        "json": body,
        "headers": {"Authorization": f"Bearer {server.api_key}"},
        "timeout": timeout,
    }
    url = f"{server.base_url}/chat/completions"
    with (
        requests.post(url, stream=True, **call)
        if library is requests
        else library.stream("POST", url, **call) as reply
    ):
        yield reply


def raw(reply) -> Iterator[bytes]:
    """The body's bytes as they come."""
    return (
        reply.iter_content(None)
        if isinstance(reply, requests.Response)
        else reply.iter_raw()
    )


def lines(reply, **options: bool) -> Iterator[str]:
    """The body's lines as text, the way each library offers it."""
    if isinstance(reply, requests.Response):
        return (
            line if isinstance(line, str) else line.decode()
            for line in reply.iter_lines(**options)
        )
    return reply.iter_lines()


def text_of(found: Iterator[str]) -> str:
    """Return the answer in the lines of a stream."""
    events = [
        json.loads(line.removeprefix("data: "))
        for line in found
        if line.startswith("data: {")
    ]
    return "".join(
        choice["delta"].get("content") or ""
        for event in events
        for choice in event["choices"]
    )


def error_of(action: Callable[[], object]) -> Exception:
    """Return what action raises."""
    with pytest.raises(Exception) as caught:
        action()
    return caught.value


def check(error: Exception, wanted: type, *not_these: type) -> None:
    """Check that error is of exactly the class wanted, and of none that a reader of the
    table could take it for.
    """
    assert type(error) is wanted, (
        f"{type(error).__module__}.{type(error).__name__}: {error}"
    )
    for other in not_these:
        assert not isinstance(error, other), (
            f"{wanted.__name__} is a {other.__name__} after all"
        )


HTTPX = pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])
ALL = pytest.mark.parametrize("library", LIBRARIES.values(), ids=LIBRARIES)


# --- RST and FIN before the reply -----------------------------------------------------


def test_requests_rst(server: MockServer) -> None:
    """To requests, a reset before the reply is a ConnectionError."""
    server.script(fault.drop("rst"))
    error = error_of(lambda: get(requests, f"{server.url}/get"))
    check(error, rq.ConnectionError, rq.Timeout, rq.ChunkedEncodingError)
    assert "ConnectionResetError" in str(error)


def test_requests_fin(server: MockServer) -> None:
    """To requests, a close before the reply is a ConnectionError around
    RemoteDisconnected.
    """
    server.script(fault.drop("fin"))
    error = error_of(lambda: get(requests, f"{server.url}/get"))
    check(error, rq.ConnectionError, rq.Timeout, rq.ChunkedEncodingError)
    assert "RemoteDisconnected" in str(error)


@HTTPX
def test_httpx_rst(server: MockServer, library) -> None:
    """To httpx, a reset before the reply is a ReadError."""
    server.script(fault.drop("rst"))
    error = error_of(lambda: get(library, f"{server.url}/get"))
    check(
        error,
        library.ReadError,
        library.TimeoutException,
        library.ConnectError,
        library.RemoteProtocolError,
    )


@HTTPX
def test_httpx_fin(server: MockServer, library) -> None:
    """To httpx, a close before the reply is a RemoteProtocolError, which is no
    NetworkError.
    """
    server.script(fault.drop("fin"))
    error = error_of(lambda: get(library, f"{server.url}/get"))
    check(
        error,
        library.RemoteProtocolError,
        library.NetworkError,
        library.TimeoutException,
    )


# --- a body that is cut ---------------------------------------------------------------

SIZED = fault.status(200, body="*" * 5000)
CHUNKED = SIZED + fault.slice(60)
CUTS = {
    "sized, fin": SIZED + fault.cut(after_bytes=100),
    "sized, rst": SIZED + fault.cut(after_bytes=100, how="rst"),
    "chunked, fin": CHUNKED + fault.cut(after_bytes=100),
    "chunked, rst": CHUNKED + fault.cut(after_bytes=100, how="rst"),
}


@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS)
def test_requests_cut(server: MockServer, cut: Fault) -> None:
    """To requests, a body that is cut is a ChunkedEncodingError, chunked or not, and
    that is no ConnectionError.
    """
    server.script(cut)
    check(
        error_of(lambda: get(requests, server.url + "/get")),
        rq.ChunkedEncodingError,
        rq.ConnectionError,
        rq.Timeout,
    )


@HTTPX
@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS)
def test_httpx_cut(server: MockServer, library, cut: Fault) -> None:
    """To httpx, a body that is cut is a RemoteProtocolError after a close and a
    ReadError after a reset.
    """
    server.script(cut)
    wanted, other = library.RemoteProtocolError, library.ReadError
    if 'how="rst"' in str(cut):
        wanted, other = other, wanted
    check(
        error_of(lambda: get(library, server.url + "/get")),
        wanted,
        other,
        library.TimeoutException,
    )


@ALL
def test_a_cut_stream_gives_its_beginning_first(server: MockServer, library) -> None:
    """Whoever reads a stream that is cut has the events before the cut, and then the
    error.
    """
    server.script(fault.cut(after_events=2))
    received = b""
    errors = (
        rq.ChunkedEncodingError,
        httpx.RemoteProtocolError,
        httpx2.RemoteProtocolError,
    )
    with pytest.raises(errors), open_stream(library, server) as reply:
        for data in raw(reply):
            received += data
    assert received.count(b"data: ") == 3  # the role, and two events


# --- waiting --------------------------------------------------------------------------


def test_requests_hang(server: MockServer) -> None:
    """To requests, a server that says nothing is a ReadTimeout, which is no
    ConnectionError.
    """
    server.script(fault.hang())
    error = error_of(lambda: get(requests, f"{server.url}/get", TIMEOUT))
    check(error, rq.ReadTimeout, rq.ConnectionError)
    assert isinstance(error, rq.Timeout)


@HTTPX
def test_httpx_hang(server: MockServer, library) -> None:
    """To httpx, a server that says nothing is a ReadTimeout."""
    server.script(fault.hang())
    check(
        error_of(lambda: get(library, f"{server.url}/get", TIMEOUT)),
        library.ReadTimeout,
        library.NetworkError,
    )


@pytest.mark.parametrize("is_stream", [True, False], ids=["streamed", "whole"])
def test_requests_stall(server: MockServer, is_stream: bool) -> None:
    """To requests, a stream that stalls is a ConnectionError that says "Read timed out"
    and is no Timeout.
    """
    server.script(fault.stall(after_events=1))

    def read() -> None:
        if is_stream:
            with open_stream(requests, server, timeout=TIMEOUT) as reply:
                list(raw(reply))
        else:
            post_chat(requests, server, stream=True, timeout=TIMEOUT)

    error = error_of(read)
    check(error, rq.ConnectionError, rq.Timeout)
    assert "Read timed out" in str(error)


@HTTPX
def test_httpx_stall(server: MockServer, library) -> None:
    """To httpx, a stream that stalls is a ReadTimeout."""
    server.script(fault.stall(after_events=1))

    def read() -> None:
        with open_stream(library, server, timeout=TIMEOUT) as reply:
            list(raw(reply))

    check(error_of(read), library.ReadTimeout, library.NetworkError)


@ALL
def test_drip_outlives_the_timeout(server: MockServer, library) -> None:
    """A timeout is for each read: a reply that drips for twice as long as the timeout
    succeeds.
    """
    server.script(fault.drip(8, 0.07))
    assert post_chat(library, server, timeout=TIMEOUT).status_code == 200
    [record] = server.wait_for(1)
    assert record.ended - record.received > 1.8 * TIMEOUT


# --- bodies that are not what they say ------------------------------------------------


def test_requests_bad_json(server: MockServer) -> None:
    """To requests, half a JSON document is its own JSONDecodeError: a RequestException
    and a ValueError.
    """
    server.script(fault.bad_json())
    error = error_of(post_chat(requests, server).json)
    check(error, rq.JSONDecodeError, rq.ConnectionError, rq.HTTPError)
    assert isinstance(error, rq.RequestException) and isinstance(
        error, json.JSONDecodeError
    )


@HTTPX
def test_httpx_bad_json(server: MockServer, library) -> None:
    """To httpx, half a JSON document is json.JSONDecodeError, and none of httpx's own
    errors.
    """
    server.script(fault.bad_json())
    reply = post_chat(library, server)
    assert reply.status_code == 200
    check(error_of(reply.json), json.JSONDecodeError, library.HTTPError)


@ALL
def test_a_stream_without_done_is_no_error(server: MockServer, library) -> None:
    """A stream that ends early and cleanly raises nothing anywhere."""
    server.script(fault.truncate(after_events=2))
    with open_stream(library, server) as reply:
        found = list(lines(reply))
    assert (text_of(iter(found)), "data: [DONE]" in found) == ("Hello!", False)


@ALL
@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_a_split_character_survives_in_lines(
    server: MockServer, library, size: int
) -> None:
    """Lines are cut out of bytes before they are decoded, so a character split over two
    chunks stays whole.
    """
    server.script(fault.slice(size))
    with open_stream(library, server, "用中文") as reply:
        assert text_of(lines(reply)) == "你好，世界！今天天气很好。🌞"  # noqa: RUF001


@ALL
def test_a_split_character_breaks_naive_decoding(server: MockServer, library) -> None:
    """Whoever decodes chunk by chunk fails on a split character."""
    server.script(fault.slice(2))
    with (
        open_stream(library, server, "用中文") as reply,
        pytest.raises(UnicodeDecodeError),
    ):
        "".join(chunk.decode() for chunk in raw(reply))


def test_requests_no_charset(server: MockServer) -> None:
    """Without a charset, requests decodes lines as Latin-1, where the byte 0x85 of ✅
    and 入 ends a line.
    """
    server.on().reply(fault.no_charset(), text="✅ 入")
    with open_stream(requests, server) as reply, pytest.raises(json.JSONDecodeError):
        text_of(lines(reply, decode_unicode=True))
    with open_stream(requests, server) as reply:
        assert text_of(lines(reply)) == "✅ 入", "undecoded lines should be fine"


@HTTPX
def test_httpx_no_charset(server: MockServer, library) -> None:
    """Without a charset, httpx takes UTF-8, and the answer is whole."""
    server.on().reply(fault.no_charset(), text="✅ 入")
    with open_stream(library, server) as reply:
        assert text_of(lines(reply)) == "✅ 入"


@ALL
def test_garbage(server: MockServer, library) -> None:
    """Bytes that are no HTTP are a ConnectionError to requests and a
    RemoteProtocolError to httpx.
    """
    server.script(fault.garbage())
    wanted = rq.ConnectionError if library is requests else library.RemoteProtocolError
    check(error_of(lambda: get(library, f"{server.url}/get")), wanted)


# --- nobody there ---------------------------------------------------------------------


@ALL
def test_nothing_listens(library) -> None:
    """A port where nothing listens is a ConnectionError to requests and a ConnectError
    to httpx, at once.
    """
    with MockServer() as server:
        url = server.url
    wanted, timeout = (
        (rq.ConnectionError, rq.Timeout)
        if library is requests
        else (library.ConnectError, library.TimeoutException)
    )
    check(error_of(lambda: get(library, url)), wanted, timeout)


@pytest.mark.skipif(
    sys.platform != "linux", reason="what a full backlog does differs between systems"
)
@ALL
def test_a_full_backlog(library) -> None:
    """A server too busy to accept connections is a ConnectTimeout, which to requests is
    also a ConnectionError.
    """
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        address = listener.getsockname()
        waiting = []
        for _ in range(
            4
            # more than the backlog holds, so that those after them are left without an
            # answer
        ):
            client = socket.socket()
            client.setblocking(False)
            client.connect_ex(address)
            waiting.append(client)
        error = error_of(
            lambda: get(library, f"http://127.0.0.1:{address[1]}/", TIMEOUT)
        )
        for client in waiting:
            client.close()
    check(error, rq.ConnectTimeout if library is requests else library.ConnectTimeout)
    assert isinstance(error, rq.ConnectionError) or library is not requests


# --- what all clients see of a status -------------------------------------------------


@ALL
@pytest.mark.parametrize(
    "code", [400, 401, 403, 404, 408, 409, 418, 422, 429, 500, 502, 503, 504, 599]
)
def test_statuses(server: MockServer, library, code: int) -> None:
    """Every scripted status arrives, is no exception until asked for, and leaves the
    connection usable.
    """
    server.script(fault.status(code))
    client = requests.Session() if library is requests else library.Client()
    with client:
        reply = client.get(f"{server.url}/get", timeout=PATIENT)
        assert reply.status_code == code
        assert client.get(f"{server.url}/get", timeout=PATIENT).status_code == 200
    check(
        error_of(reply.raise_for_status),
        requests.HTTPError if library is requests else library.HTTPStatusError,
    )
    assert [record.connection for record in server.records] == [1, 1]


@ALL
def test_a_client_that_leaves_early(library, capfd: pytest.CaptureFixture[str]) -> None:
    """A client that leaves in mid-stream is recorded as gone, and the server prints
    nothing about it.
    """
    with MockServer(token_delay=0.02) as server:
        server.on().reply(text="word " * 200)
        with open_stream(library, server) as reply:
            next(raw(reply))
        [record] = server.wait_for(1)
    assert (record.end, record.status) == ("client-gone", 200)
    assert capfd.readouterr() == ("", "")
