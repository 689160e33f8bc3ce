"""Requests that no good client sends: the mock server stays up, answers 4xx or closes,
and prints nothing.
"""

import json
import random
import re
import socket
import struct
import sys
from collections.abc import Iterator

import pytest
import requests
from mock_server import MockServer

from tests.mock_server import wire
from tests.mock_server.terminal import Terminal

CHAT = "POST /v1/chat/completions"
KEY = "Authorization: Bearer mock-key-for-this-course"
GOOD_CHAT = {
    "model": "mock-small",
    "messages": [{"role": "user", "content": "Say hello"}],
}
HOST = b"Host: 127.0.0.1\r\n"


@pytest.fixture(scope="module")
def child() -> Iterator[Terminal]:
    """A server in a process of its own, where every byte of standard error is seen; in
    the end there must be none.
    """
    terminal = Terminal(options=("-W", "always"))
    yield terminal
    status, _, errors = terminal.stop()
    assert (status, errors) == (0, ""), "the server printed an error"


def chat(body: object, *headers: str) -> bytes:
    """Return a chat request with this body: bytes as they are, others as JSON."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return wire.request(
        CHAT,
        KEY,
        "Content-Type: application/json",
        "Connection: close",
        *headers,
        body=data,
    )


def agent(body: bytes) -> bytes:
    """Return a request that creates an agent from this body."""
    return wire.request("POST /agents", "Content-Type: application/json", body=body)


def chunked(body: bytes) -> bytes:
    """Return a chat request with Transfer-Encoding: chunked and this text, right or
    wrong, as the chunks.
    """
    return wire.request(CHAT, KEY, "Transfer-Encoding: chunked") + body


NASTY = {
    "nothing": b"",
    "an empty line": b"\r\n",
    "only line ends": b"\r\n" * 500,
    "a TLS greeting": bytes.fromhex("16030100f4010000f00303") + bytes(range(200)),
    "an HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "no version": b"GET /get\r\n" + HOST + b"\r\n",
    "a version from the future": b"GET /get HTTP/9.9\r\n" + HOST + b"\r\n",
    "a version that is none": b"GET /get HTTP/one\r\n" + HOST + b"\r\n",
    "no path": b"GET HTTP/1.1\r\n" + HOST + b"\r\n",
    "a path without a slash": b"GET get HTTP/1.1\r\n" + HOST + b"\r\n",
    "two spaces": b"GET  /get  HTTP/1.1\r\n" + HOST + b"\r\n",
    "a method of symbols": b"G@T /get HTTP/1.1\r\n" + HOST + b"\r\n",
    "a method in lower case": b"get /get HTTP/1.1\r\n" + HOST + b"\r\n",
    "an unknown method": b"BREW /get HTTP/1.1\r\n" + HOST + b"\r\n",
    "a long unknown method": b"A" * 9000 + b" /get HTTP/1.1\r\n" + HOST + b"\r\n",
    "CONNECT": b"CONNECT 127.0.0.1:80 HTTP/1.1\r\n" + HOST + b"\r\n",
    "OPTIONS for everything": b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n",
    "TRACE": b"TRACE /get HTTP/1.1\r\n" + HOST + b"\r\n",
    "a whole address as path": b"GET http://127.0.0.1/get HTTP/1.1\r\n"
    + HOST
    + b"\r\n",
    "an address of another host": b"GET http://example.com/get HTTP/1.1\r\n"
    + HOST
    + b"\r\n",
    "an address with a bad port": b"GET http://127.0.0.1:99999999/get HTTP/1.1\r\n"
    + HOST
    + b"\r\n",
    "an address that is none": b"GET http://[::1/get HTTP/1.1\r\n" + HOST + b"\r\n",
    "two slashes": b"GET //example.com/get HTTP/1.1\r\n" + HOST + b"\r\n",
    "only slashes": b"GET ////// HTTP/1.1\r\n" + HOST + b"\r\n",
    "a zero byte in the path": b"GET /get\x00 HTTP/1.1\r\n" + HOST + b"\r\n",
    "raw bytes in the path": b"GET /users/\xff\xfe HTTP/1.1\r\n" + HOST + b"\r\n",
    "raw Chinese in the path": "GET /users/你 HTTP/1.1\r\n".encode() + HOST + b"\r\n",
    "half a percent": b"GET /users/%e4%bd HTTP/1.1\r\n" + HOST + b"\r\n",
    "percent and no digits": b"GET /users/%zz%?q=%&%=1 HTTP/1.1\r\n" + HOST + b"\r\n",
    "raw bytes in the query": b"GET /search/repositories?q=\xff\xc3\x28 HTTP/1.1\r\n"
    + HOST
    + b"\r\n",
    "percent bytes in the query": b"GET /get?q=%ff%00%0d%0a HTTP/1.1\r\n"
    + HOST
    + b"\r\n",
    "line ends in redirect-to": b"GET /redirect-to?url=%0d%0aSet-Cookie:x HTTP/1.1\r\n"
    + HOST
    + b"\r\n",
    "DEL in redirect-to": b"GET /redirect-to?url=%7f%c2%80%ff HTTP/1.1\r\n"
    + HOST
    + b"\r\n",
    "dots in the path": b"GET /../../../etc/passwd HTTP/1.1\r\n" + HOST + b"\r\n",
    "a long path": b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
    "a path of 8,000": b"GET /users/" + b"a" * 8000 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
    "no Host": b"GET /get HTTP/1.1\r\n\r\n",
    "no Host, old": b"GET /get HTTP/1.0\r\n\r\n",
    "two Hosts": b"GET /get HTTP/1.1\r\n" + HOST + HOST + b"\r\n",
    "an empty Host": b"GET /get HTTP/1.1\r\nHost:\r\n\r\n",
    "a Host of bytes": b"GET /get HTTP/1.1\r\nHost: \xff\xfe\r\n\r\n",
    "a Host with a bad port": b"GET /get HTTP/1.1\r\nHost: 127.0.0.1:abc\r\n\r\n",
    "a Host with markup": b"GET /get HTTP/1.1\r\nHost: 127.0.0.1:<b>\r\n\r\n",
    "a huge header": b"GET /get HTTP/1.1\r\n"
    + HOST
    + b"X: "
    + b"a" * 100_000
    + b"\r\n\r\n",
    "a huge header name": b"GET /get HTTP/1.1\r\n"
    + HOST
    + b"X" * 100_000
    + b": 1\r\n\r\n",
    "1,000 headers": b"GET /get HTTP/1.1\r\n" + HOST + b"X: 1\r\n" * 1000 + b"\r\n",
    "a header without a colon": b"GET /get HTTP/1.1\r\n" + HOST + b"nonsense\r\n\r\n",
    "a header without a name": b"GET /get HTTP/1.1\r\n" + HOST + b": 1\r\n\r\n",
    "a space before the colon": b"GET /get HTTP/1.1\r\n" + HOST + b"X : 1\r\n\r\n",
    "a folded header": b"GET /get HTTP/1.1\r\n" + HOST + b"X: 1\r\n 2\r\n\r\n",
    "a zero byte in a header": b"GET /get HTTP/1.1\r\n" + HOST + b"X: a\x00b\r\n\r\n",
    "bytes in a header, echoed": b"GET /headers HTTP/1.1\r\n"
    + HOST
    + b"X: \xff\xfe\xc3\r\n\r\n",
    "bytes in a header name": b"GET /headers HTTP/1.1\r\n" + HOST + b"X\xff: 1\r\n\r\n",
    "bytes as the key": b"GET /v1/models HTTP/1.1\r\n"
    + HOST
    + b"Authorization: Bearer \xff\xfe\xfd\r\n\r\n",
    "a key of spaces": b"GET /v1/models HTTP/1.1\r\n"
    + HOST
    + b"Authorization: Bearer     \r\n\r\n",
    "two keys": b"GET /v1/models HTTP/1.1\r\n"
    + HOST
    + b"Authorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n",
    "bare LF": b"GET /get HTTP/1.1\nHost: 127.0.0.1\n\n",
    "bare CR": b"GET /get HTTP/1.1\rHost: 127.0.0.1\r\r",
    "half a head": b"GET /get HTTP/1.1\r\nHost: 127.",
    "an upgrade": b"GET /get HTTP/1.1\r\n"
    + HOST
    + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x05hello",
    "an upgrade to h2c": b"GET /get HTTP/1.1\r\n"
    + HOST
    + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\nGET /get",
    "an expectation": wire.request(CHAT, KEY, "Expect: 100-continue", body=b"{}"),
    "an expectation of something else": wire.request(
        CHAT, KEY, "Expect: a-miracle", body=b"{}"
    ),
    "a length that is no number": wire.request(CHAT, KEY, "Content-Length: many")
    + b"{}",
    "a negative length": wire.request(CHAT, KEY, "Content-Length: -1") + b"{}",
    "a length with a sign": wire.request(CHAT, KEY, "Content-Length: +2") + b"{}",
    "two lengths": wire.request(CHAT, KEY, "Content-Length: 2", "Content-Length: 3")
    + b"{} ",
    "a huge length": wire.request(CHAT, KEY, "Content-Length: 99999999999999999999999")
    + b"{}",
    "a length too long": wire.request(CHAT, KEY, "Content-Length: 500") + b"{}",
    "a length too short": wire.request(CHAT, KEY, "Content-Length: 1")
    + b'{"model": "mock-small"}',
    "a length and chunks": chunked(b"2\r\n{}\r\n0\r\n\r\n").replace(
        b"Transfer-", b"Content-Length: 2\r\nTransfer-"
    ),
    "an unknown transfer coding": wire.request(CHAT, KEY, "Transfer-Encoding: braille")
    + b"{}",
    "chunks, then gzip": wire.request(CHAT, KEY, "Transfer-Encoding: chunked, gzip")
    + b"2\r\n{}\r\n0\r\n\r\n",
    "a chunk size that is no number": chunked(b"zz\r\n{}\r\n0\r\n\r\n"),
    "a negative chunk size": chunked(b"-2\r\n{}\r\n0\r\n\r\n"),
    "a huge chunk size": chunked(b"ffffffffffffffffffff\r\n{}\r\n0\r\n\r\n"),
    "a chunk that is too long": chunked(b"1\r\n{}\r\n0\r\n\r\n"),
    "a chunk that is too short": chunked(b"9\r\n{}\r\n0\r\n\r\n"),
    "a chunk extension": chunked(b"2;a=" + b"b" * 20_000 + b"\r\n{}\r\n0\r\n\r\n"),
    "no last chunk": chunked(b"2\r\n{}\r\n"),
    "bad trailers": chunked(b"2\r\n{}\r\n0\r\nnonsense\r\n\r\n"),
    "gzip that is none": chat(b"not gzip", "Content-Encoding: gzip"),
    "deflate that is none": chat(b"not deflate", "Content-Encoding: deflate"),
    "brotli that is none": chat(b"not brotli", "Content-Encoding: br"),
    "an unknown content coding": chat(b"{}", "Content-Encoding: rot13"),
    "not JSON": chat(b"hello"),
    "half JSON": chat(b'{"model": "mock-sm'),
    "invalid UTF-8": chat(
        b'{"model": "mock-small", "messages": [{"role": "user", "content": "\xff"}]}'
    ),
    "UTF-16": chat(json.dumps(GOOD_CHAT).encode("utf-16")),
    "a byte order mark": chat(b"\xef\xbb\xbf" + json.dumps(GOOD_CHAT).encode()),
    "half of a surrogate pair": chat(
        b'{"model": "mock-small", "messages": [{"role": "user", "content": "\\ud83d"}]}'
    ),
    "half of one in the model": chat({**GOOD_CHAT, "model": "\ud83d"}),
    "half of one, streamed": chat(
        {
            **GOOD_CHAT,
            "messages": [{"role": "user", "content": "\udc4b"}],
            "stream": True,
        }
    ),
    "100,000 brackets": chat(b"[" * 100_000),
    "100,000 open objects": chat(b'{"a":' * 100_000),
    "a number of 10,000 digits": chat(b'{"model": 1' + b"0" * 10_000 + b"}"),
    "infinity": chat({**GOOD_CHAT, "temperature": float("inf")}),
    "no number": chat({**GOOD_CHAT, "temperature": float("nan")}),
    "a body of 2 MiB": chat(b"x" * 2**21),
    "an agent of bytes": agent(b"\xff"),
    "an agent of brackets": agent(b"[" * 100_000),
    "an agent with half a pair": agent(b'{"name":"\\ud800"}'),
    "a script of bytes": wire.request("POST /_mock/script", body=b"\xff"),
    "a script of brackets": wire.request("POST /_mock/script", body=b"[" * 100_000),
    "a script of parentheses": wire.request(
        "POST /_mock/script", body=json.dumps({"faults": ["(" * 9000]}).encode()
    ),
    "a script with half a pair": wire.request(
        "POST /_mock/script", body=b'{"faults": ["\\ud800"]}'
    ),
    "a body echoed as bytes": wire.request("POST /post", body=bytes(range(256))),
    "a form of bytes": wire.request(
        "POST /post",
        "Content-Type: application/x-www-form-urlencoded",
        body=b"a=%ff&\xff=1&&=&%00",
    ),
    "an agent number of 50 digits": wire.request(f"GET /agents/{'9' * 50}"),
    "a page that is no number": wire.request(
        "GET /search/repositories?q=a&page=%C2%B2&per_page=-1"
    ),
    "a status of another script's digits": wire.request("GET /status/%D9%A3"),
    "a stream for HTTP/1.0": chat({**GOOD_CHAT, "stream": True}).replace(
        b"HTTP/1.1", b"HTTP/1.0"
    ),
}
WRONG_VALUES = (
    None,
    True,
    False,
    0,
    -1,
    1.5,
    1e400,
    10**30,
    "",
    "x",
    "\ud800",
    [],
    [1],
    [None],
    [[]],
    {},
    {"a": 1},
)
FIELDS = (
    "model",
    "messages",
    "stream",
    "stream_options",
    "n",
    "max_tokens",
    "max_completion_tokens",
    "temperature",
    "stop",
)
WRONG_JSON = [
    *[chat(value) for value in WRONG_VALUES],
    *[chat({**GOOD_CHAT, field: value}) for field in FIELDS for value in WRONG_VALUES],
    *[chat({**GOOD_CHAT, "messages": [value]}) for value in WRONG_VALUES],
    *[
        chat({**GOOD_CHAT, "messages": [{"role": value, "content": "x"}]})
        for value in WRONG_VALUES
    ],
    *[
        chat({**GOOD_CHAT, "messages": [{"role": "user", "content": value}]})
        for value in WRONG_VALUES
    ],
    *[
        chat({**GOOD_CHAT, "messages": [{"role": "user", "content": [value]}]})
        for value in WRONG_VALUES
    ],
    *[
        chat(
            {
                **GOOD_CHAT,
                "messages": [
                    {"role": "user", "content": [{"type": "text", "text": value}]}
                ],
            }
        )
        for value in WRONG_VALUES
    ],
    *[
        chat({**GOOD_CHAT, "stream": True, "stream_options": {"include_usage": value}})
        for value in WRONG_VALUES
    ],
]
GOOD = [
    chat(GOOD_CHAT),
    chat({**GOOD_CHAT, "stream": True}),
    chunked(b"5\r\n{}   \r\n0\r\n\r\n"),
    wire.request("GET /search/repositories?q=a&per_page=10&page=2", KEY),
    wire.request(
        "POST /agents", "Content-Type: application/json", body=b'{"name":"a"}'
    ),
    wire.request(
        "POST /post", "Content-Type: application/x-www-form-urlencoded", body=b"a=1&b=2"
    ),
]


def damaged(dice: random.Random) -> bytes:
    """Return a good request with one to four random injuries."""
    data = bytearray(dice.choice(GOOD))
    for _ in range(dice.randint(1, 4)):
        place = dice.randrange(len(data))
        match dice.randrange(5):
            case 0:
                data[place] = dice.randrange(256)
            case 1:
                del data[place : place + dice.randint(1, 20)]
            case 2:
                data[place:place] = dice.randbytes(dice.randint(1, 20))
            case 3:
                data[place:place] = dice.choice(
                    [
                        b"\r\n",
                        b"\n",
                        b"\r",
                        b"\x00",
                        b" ",
                        b":",
                        b"\r\n\r\n",
                        b"\xf0\x9f",
                    ]
                )
            case _:
                data[place:place] = data[dice.randrange(len(data)) :][:30]
        data = data or bytearray(b"\n")
    return bytes(data)


def send(child: Terminal, data: bytes) -> bytes:
    """Send data and say that no more will come; return all of the reply."""
    with wire.connect(child) as connection:
        try:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
        except (BrokenPipeError, ConnectionResetError):
            return b""  # the server hung up on what it had seen so far
        return wire.read_to_end(connection)[0]


def check(child: Terminal, data: bytes, name: str) -> None:
    """Send data and check that every status that comes back blames the client or is a
    normal reply, never a 5xx.
    """
    received = send(child, data)
    assert not received or received.startswith(b"HTTP/"), (
        f"{name}: the reply {received[:60]!r} is no HTTP"
    )
    statuses = [
        int(status)
        for status in re.findall(rb"^HTTP/1\.[01] (\d{3})", received, re.MULTILINE)
    ]
    assert all(status < 500 for status in statuses), (
        f"{name}: {statuses} for {data[:300]!r}"
    )


def test_nasty_requests_are_refused(child: Terminal) -> None:
    """Nearly a hundred hand-written ways to send a bad request leave the server
    serving.
    """
    for name, data in NASTY.items():
        check(child, data, name)
        assert requests.get(f"{child.url}/get", timeout=5).status_code == 200, (
            f"dead after: {name}"
        )


def test_wrong_types_in_chat_fields_are_refused(child: Terminal) -> None:
    """Every chat field with every wrong JSON type gets a 400 with the four keys of an
    error, or a normal answer.
    """
    for data in WRONG_JSON:
        status, _, body = wire.split_head(wire.talk(child, data)[0])
        assert status in (200, 400, 404), f"{status} for {data!r}"
        if status != 200:
            assert set(json.loads(body)["error"]) == {
                "message",
                "type",
                "param",
                "code",
            }, f"{body!r} for {data!r}"


def test_a_thousand_damaged_requests(child: Terminal) -> None:
    """A thousand good requests with random injuries, the same in every run, leave the
    server serving.
    """
    dice = random.Random(20)
    for number in range(1000):
        check(child, damaged(dice), f"damaged request {number}")
    assert requests.get(f"{child.url}/_mock/health", timeout=5).json() == {
        "status": "ok"
    }


def test_clients_that_leave_in_the_middle(child: Terminal) -> None:
    """Clients that send many requests at once and leave, politely or not, before the
    replies upset nothing.
    """
    many = (
        chat({**GOOD_CHAT, "stream": True})
        + wire.request("GET /anything")
        + wire.request("GET /users/ada")
    )
    for number in range(150):
        with wire.connect(child) as connection:
            if number % 2:  # leave with a reset
                linger = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            connection.sendall(many * 5)
            if number % 3 == 0:
                connection.recv(10)
    assert requests.get(f"{child.url}/_mock/health", timeout=5).json() == {
        "status": "ok"
    }


def test_bad_requests_do_not_disturb_others(server: MockServer) -> None:
    """While bad requests come in, a client that keeps its connection is answered on
    that same connection.
    """
    with requests.Session() as session:
        for data in NASTY.values():
            with wire.connect(server) as connection:
                connection.sendall(data[:2000])
            assert session.get(f"{server.url}/users/ada", timeout=5).status_code == 200
    calm = [
        record
        for record in server.records
        if record.path == "/users/ada" and record.end == "complete"
    ]
    assert {record.connection for record in calm} == {calm[0].connection}, (
        "the good client lost its connection"
    )
