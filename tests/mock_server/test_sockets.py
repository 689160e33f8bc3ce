"""The mock server seen from a raw socket: how connections end, how many bytes come, and
what HTTP itself asks for.
"""

import json
import socket
import sys
import time

import pytest
from mock_server import MockServer, accept, fault

from tests.mock_server import wire

GET = wire.request("GET /users/ada")
BIG = fault.status(200, body="*" * 5000)
ENDINGS = ("fin", "rst")
if sys.platform == "linux":
    CUTS = ENDINGS
else:
    CUTS = (
        "fin",
    )  # elsewhere a reset may throw away what has arrived and was not read yet


def stream_request(server: MockServer, content: str = "Say hello") -> bytes:
    """Return a request for a streamed answer."""
    body = {
        "model": "mock-small",
        "stream": True,
        "messages": [{"role": "user", "content": content}],
    }
    line = "POST /v1/chat/completions"
    return wire.request(
        line, f"Authorization: Bearer {server.api_key}", body=json.dumps(body).encode()
    )


def close(data: bytes) -> bytes:
    """Return the request with the wish that the connection ends after its reply."""
    return data.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)


def only_record(server: MockServer):
    """Wait for one request to end and return its record."""
    records = server.wait_for(1)
    assert len(records) == 1
    return records[0]


def read_reply(connection: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """Read one reply with a Content-Length from a connection that stays open."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += connection.recv(1)
    status, headers, body = wire.split_head(received)
    while len(body) < int(headers["content-length"]):
        body += connection.recv(1)
    return status, headers, body


# --- how a connection ends ------------------------------------------------------------


@pytest.mark.parametrize("how", ENDINGS)
def test_drop_sends_nothing(server: MockServer, how: str) -> None:
    """A dropped connection ends as asked, reset or closed, before a single byte."""
    server.script(fault.drop(how))
    assert wire.talk(server, GET) == (b"", how)
    record = only_record(server)
    assert (record.end, record.status, record.sent, record.first_byte) == (
        how,
        None,
        0,
        None,
    )


@pytest.mark.parametrize("how", CUTS)
@pytest.mark.parametrize("size", [0, 1, 4999, 5000])
def test_cut_in_a_sized_body(server: MockServer, how: str, size: int) -> None:
    """A cut sends exactly so many bytes of the body, after a Content-Length that
    promises all of them.
    """
    server.script(BIG + fault.cut(after_bytes=size, how=how))
    received, end = wire.talk(server, GET)
    status, headers, body = wire.split_head(received)
    assert (status, headers["content-length"], len(body), end) == (
        200,
        "5000",
        size,
        how,
    )
    record = only_record(server)
    assert (record.end, record.status, record.sent) == ("cut", 200, size)


@pytest.mark.parametrize("how", CUTS)
@pytest.mark.parametrize("size", [1, 100, 300])
def test_cut_in_a_chunked_body(server: MockServer, how: str, size: int) -> None:
    """A cut in a stream counts the body's bytes, not those of the HTTP chunks around
    them, and sends no last chunk.
    """
    server.script(fault.cut(after_bytes=size, how=how))
    received, end = wire.talk(server, stream_request(server))
    found, is_whole = wire.chunks(wire.split_head(received)[2])
    assert (len(b"".join(found)), is_whole, end) == (size, False, how)
    record = only_record(server)
    assert (record.end, record.sent) == ("cut", size)


@pytest.mark.parametrize("how", CUTS)
def test_cut_after_events(server: MockServer, how: str) -> None:
    """A cut after two events sends the opening chunk, which is not counted, and two
    more.
    """
    server.script(fault.cut(after_events=2, how=how))
    received, end = wire.talk(server, stream_request(server))
    found, is_whole = wire.chunks(wire.split_head(received)[2])
    assert (len(found), is_whole, end) == (3, False, how)
    assert only_record(server).end == "cut"


def test_truncate_ends_like_a_whole_stream(server: MockServer) -> None:
    """A truncated stream ends with a proper last chunk and the connection stays open:
    HTTP sees nothing wrong.
    """
    server.script(fault.truncate(after_events=1))
    with wire.connect(server) as connection:
        connection.sendall(stream_request(server) + close(GET))
        received, _ = wire.read_to_end(connection)
    body = wire.split_head(received)[2]
    stream, _, rest = body.partition(b"\r\n0\r\n\r\n")
    found, is_whole = wire.chunks(stream + b"\r\n0\r\n\r\n")
    assert (len(found), is_whole, rest[:15]) == (2, True, b"HTTP/1.1 200 OK")
    assert b"[DONE]" not in stream


def test_garbage_is_no_http(server: MockServer) -> None:
    """Garbage is bytes without a status line, then a polite end."""
    server.script(fault.garbage())
    received, end = wire.talk(server, GET)
    assert received and not received.startswith(b"HTTP/")
    assert (end, only_record(server).end, only_record(server).sent) == (
        "fin",
        "fin",
        len(received),
    )


def test_hang_says_nothing_until_the_client_leaves(server: MockServer) -> None:
    """A hanging request gets no byte and no end; when the client gives up, the record
    says so.
    """
    server.script(fault.hang())
    assert wire.talk(server, GET, timeout=0.1) == (b"", "open")
    record = only_record(server)
    assert (record.end, record.status, record.sent) == ("client-gone", None, 0)


def test_stall_keeps_the_promise_of_more(server: MockServer) -> None:
    """A stalled reply sends its head and some events, then nothing; the connection
    stays open.
    """
    server.script(fault.stall(after_events=1), BIG + fault.stall(after_events=0))
    received, end = wire.talk(server, stream_request(server), timeout=1.0)
    found, is_whole = wire.chunks(wire.split_head(received)[2])
    assert (len(found), is_whole, end) == (2, False, "open")
    received, end = wire.talk(server, GET, timeout=1.0)
    status, headers, body = wire.split_head(received)
    assert (status, headers["content-length"], body, end) == (200, "5000", b"", "open")
    assert [record.end for record in server.wait_for(2)] == [
        "client-gone",
        "client-gone",
    ]


@pytest.mark.parametrize("form", [fault.ok(), fault.slice(1)], ids=str)
def test_a_client_that_sends_no_more_gets_its_reply(
    server: MockServer, form: fault.Fault
) -> None:
    """A client that closes its sending side after its request still gets the whole
    reply, and then the connection ends.
    """
    for data in (close(GET), GET):
        server.script(form)
        with wire.connect(server) as connection:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            received, end = wire.read_to_end(connection)
        status, _, body = wire.split_head(received)
        assert (status, end) == (200, "fin")
        if form == fault.slice(1):
            body = b"".join(wire.chunks(body)[0])
        assert json.loads(body)["login"] == "ada"
    assert [record.end for record in server.wait_for(2)] == ["complete", "complete"]


def test_a_client_that_gives_up_is_gone_at_once(
    server: MockServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that leaves while its reply waits is gone at that moment, not later."""
    monkeypatch.setattr(accept, "GRACE", 60)
    server.script(fault.hang(), fault.delay(60), fault.drip(9, 60))
    for _ in range(3):
        with wire.connect(server) as connection:
            connection.sendall(GET)
            time.sleep(0.3)
        server.wait_for(len(server.records), timeout=10)
    assert {record.end for record in server.records} == {"client-gone"}


def test_a_client_that_had_left_before_the_wait_is_gone_at_once(
    server: MockServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client whose end arrives with its request is gone when the wait begins, since
    the reply comes too late for whoever sends no more.
    """
    monkeypatch.setattr(accept, "GRACE", 60)
    for form in [fault.hang(), fault.delay(61)] * 5:
        server.script(form)
        with wire.connect(server) as connection:
            connection.sendall(GET)
        server.wait_for(len(server.records) or 1, timeout=10)
    assert [record.end for record in server.wait_for(10)] == ["client-gone"] * 10


def test_stopping_ends_open_requests() -> None:
    """A request that hangs when the server stops is recorded as server-stopped, and its
    connection ends.
    """
    with MockServer() as server:
        server.script(fault.hang())
        connection = wire.connect(server)
        connection.sendall(GET)
        while not server.records:
            pass
    with connection:
        assert wire.read_to_end(connection)[0] == b""
    assert [record.end for record in server.records] == ["server-stopped"]


@pytest.mark.parametrize("content", ["Say hello", "用中文"])
@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_slice_makes_chunks_of_that_size(
    server: MockServer, size: int, content: str
) -> None:
    """Every HTTP chunk of a sliced stream has the asked size, and together they are the
    unsliced stream.
    """
    server.script(fault.ok(), fault.slice(size))
    data = close(stream_request(server, content))
    whole, sliced = (
        wire.chunks(wire.split_head(wire.talk(server, data)[0])[2])[0] for _ in range(2)
    )
    assert {len(chunk) for chunk in sliced[:-1]} == {size}
    assert b"".join(sliced) == b"".join(whole)


def test_every_event_is_a_chunk_of_its_own(server: MockServer) -> None:
    """Unless a fault says otherwise, one event is one HTTP chunk."""
    body = wire.split_head(wire.talk(server, close(stream_request(server)))[0])[2]
    found, is_whole = wire.chunks(body)
    assert is_whole
    assert all(
        chunk.startswith(b"data: ") and chunk.endswith(b"\n\n") for chunk in found
    )
    assert found[-1] == b"data: [DONE]\n\n"


# --- connections ----------------------------------------------------------------------


def test_connection_and_exchange_numbers(server: MockServer) -> None:
    """Records number the connections from 1, and the requests on each connection from
    1.
    """
    with wire.connect(server) as first, wire.connect(server) as second:
        for connection in (first, first, second, first, second):
            connection.sendall(GET)
            assert read_reply(connection)[0] == 200
    places = [(record.connection, record.exchange) for record in server.records]
    assert places == [(1, 1), (1, 2), (2, 1), (1, 3), (2, 2)]


def test_connection_close_is_obeyed(server: MockServer) -> None:
    """A client that asks for it gets its connection closed, and HTTP/1.0 gets it
    without asking.
    """
    for data in (close(GET), GET.replace(b"HTTP/1.1", b"HTTP/1.0")):
        received, end = wire.talk(server, data)
        assert (wire.split_head(received)[0], end) == (200, "fin")


def test_http_1_0_gets_streams_without_chunks(server: MockServer) -> None:
    """A client that speaks HTTP/1.0 knows no chunks: the end of its connection is the
    end of the stream.
    """
    received, end = wire.talk(
        server, stream_request(server).replace(b"HTTP/1.1", b"HTTP/1.0")
    )
    status, headers, body = wire.split_head(received)
    assert (status, end) == (200, "fin")
    assert "transfer-encoding" not in headers
    assert body.startswith(b"data: ") and body.endswith(b"data: [DONE]\n\n")


def test_pipelined_requests_are_answered_in_order(server: MockServer) -> None:
    """Requests sent without waiting are answered in order, faults and all."""
    server.script(fault.ok(), fault.status(503), fault.delay(0.05), fault.ok())
    paths = ["/users/ada", "/users/psf", "/users/python", "/users/nobody"]
    data = b"".join(wire.request(f"GET {path}") for path in paths[:-1]) + close(
        wire.request(f"GET {paths[-1]}")
    )
    received, _ = wire.talk(server, data)
    assert [int(part[:3]) for part in received.split(b"HTTP/1.1 ")[1:]] == [
        200,
        503,
        200,
        404,
    ]
    assert [(record.path, record.exchange) for record in server.records] == list(
        zip(paths, range(1, 5), strict=True)
    )


def test_a_request_in_single_bytes(server: MockServer) -> None:
    """A request that arrives byte by byte is one request."""
    with wire.connect(server) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in close(stream_request(server)):
            connection.sendall(bytes([byte]))
        assert wire.split_head(wire.read_to_end(connection)[0])[0] == 200
    assert len(server.records) == 1


def test_expect_100_continue(server: MockServer) -> None:
    """A client that asks before it sends its body is told to go on (RFC 9110, section
    10.1.1).
    """
    with wire.connect(server) as connection:
        connection.sendall(
            wire.request("POST /post", "Expect: 100-continue", "Content-Length: 2")
        )
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"{}")
        assert read_reply(connection)[0] == 200


# --- methods and statuses -------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("/users/ada", fault.ok()),
        ("/get", BIG),
        ("/get", fault.html(503)),
        ("/get", fault.drip(3, 0.0)),
        ("/get", fault.slice(9)),
    ],
)
def test_head_is_get_without_its_body(
    server: MockServer, path: str, form: fault.Fault
) -> None:
    """HEAD gets the headers of GET and no body (RFC 9110, section 9.3.2)."""
    server.on().reply(form)
    got = wire.split_head(wire.talk(server, close(wire.request(f"GET {path}")))[0])
    head = wire.split_head(wire.talk(server, close(wire.request(f"HEAD {path}")))[0])
    assert head[0] == got[0]
    assert (head[2], server.records[1].sent) == (b"", 0)
    for name in ("content-type", "content-length", "etag"):
        assert head[1].get(name) == got[1].get(name), f"{name} differs"


def test_not_modified_has_no_body(server: MockServer) -> None:
    """A client that already has this version gets 304, the ETag, and not a byte of
    body.
    """
    etag = wire.split_head(wire.talk(server, close(GET))[0])[1]["etag"]
    for tags in (etag, f'"other", {etag}', f"W/{etag}", "*"):
        data = close(wire.request("GET /users/ada", f"If-None-Match: {tags}"))
        status, headers, body = wire.split_head(wire.talk(server, data)[0])
        assert (status, headers["etag"], body) == (304, etag, b""), (
            f"for If-None-Match: {tags}"
        )
    data = close(wire.request("GET /users/ada", 'If-None-Match: "other"'))
    assert wire.split_head(wire.talk(server, data)[0])[0] == 200


@pytest.mark.parametrize(
    "data", [wire.request("GET /status/204"), wire.request("GET /status/304")]
)
def test_no_body_where_none_is_allowed(server: MockServer, data: bytes) -> None:
    """A 204 and a 304 end with their head, so the next reply on the connection follows
    at once.
    """
    received, _ = wire.talk(server, data + close(GET))
    _, headers, rest = wire.split_head(received)
    assert rest.startswith(b"HTTP/1.1 200")
    assert "transfer-encoding" not in headers
    assert headers.get("content-length", "0") == "0"


@pytest.mark.parametrize(
    ("line", "allowed"),
    [
        ("PATCH /v1/models", "GET"),
        ("GET /v1/chat/completions", "POST"),
        ("DELETE /agents", "GET, POST"),
        ("POST /agents/1", "DELETE, GET, PATCH, PUT"),
        ("POST /users/ada", "GET"),
    ],
)
def test_wrong_method(server: MockServer, line: str, allowed: str) -> None:
    """A wrong method gets 405, and in Allow the methods that the address takes (RFC
    9110, section 15.5.6).
    """
    key = f"Authorization: Bearer {server.api_key}"
    status, headers, _ = wire.split_head(
        wire.talk(server, close(wire.request(line, key)))[0]
    )
    assert (status, headers["allow"]) == (405, allowed)


def test_unknown_address(server: MockServer) -> None:
    """An unknown address gets a 404 in the style of the service whose part of the
    server it is.
    """
    key = f"Authorization: Bearer {server.api_key}"
    status, _, body = wire.split_head(
        wire.talk(server, close(wire.request("GET /v1/nothing", key)))[0]
    )
    assert (status, set(json.loads(body)["error"])) == (
        404,
        {"message", "type", "param", "code"},
    )
    status, _, body = wire.split_head(
        wire.talk(server, close(wire.request("GET /nothing")))[0]
    )
    assert (status, json.loads(body)) == (
        404,
        {"message": "There is nothing at /nothing"},
    )


# --- who may come in ------------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.0.0.1:80", "localhost", "LOCALHOST:8000", "[::1]", "[::1]:80"],
)
def test_loopback_hosts_are_served(server: MockServer, host: str) -> None:
    """Every name of this machine's loopback address is a good Host."""
    data = close(wire.request("GET /users/ada", host=host))
    assert wire.split_head(wire.talk(server, data)[0])[0] == 200


@pytest.mark.parametrize(
    "host",
    [
        "example.com",
        "example.com:80",
        "127.0.0.1.example.com",
        "127.0.0.1@example.com",
        "127.0.0.2",
        "localhost.",
    ],
)
@pytest.mark.parametrize("path", ["/users/ada", "/v1/models", "/_mock/records"])
def test_other_hosts_are_refused(server: MockServer, host: str, path: str) -> None:
    """A web page that gave this machine a name of its own is refused everywhere, and
    leaves no record.
    """
    server.script(fault.status(503))
    data = close(wire.request(f"GET {path}", host=host))
    assert wire.split_head(wire.talk(server, data)[0])[0] == 421
    assert server.records == []


def test_a_server_is_no_proxy(server: MockServer) -> None:
    """A request for a whole address elsewhere, as a client sends it to a proxy, is
    refused too.
    """
    for address, status in (
        ("http://127.0.0.1/users/ada", 200),
        ("http://example.com/users/ada", 421),
    ):
        assert (
            wire.split_head(
                wire.talk(server, close(wire.request(f"GET {address}")))[0]
            )[0]
            == status
        )


def test_a_request_without_a_host_is_refused(server: MockServer) -> None:
    """HTTP/1.1 demands a Host (RFC 9112, section 3.2)."""
    assert (
        wire.split_head(
            wire.talk(server, close(wire.request("GET /users/ada", host=None)))[0]
        )[0]
        == 400
    )


def test_only_loopback_listens(server: MockServer) -> None:
    """The server listens on 127.0.0.1 and on no other address of this machine."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(
                ("192.0.2.1", 9)
            )  # sends nothing; it only asks which address would be used
        except OSError:
            pytest.skip("this machine has no address but loopback")
        address = probe.getsockname()[0]
    if address.startswith("127."):
        pytest.skip("this machine has no address but loopback")
    with pytest.raises(OSError):
        socket.create_connection((address, server.port), timeout=1)
