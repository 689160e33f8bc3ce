"""Manners: each rule of the server's advice has a client that earns it and one that
does not. The clients in test_polite_clients.py hear nothing.
"""

import contextlib
import dataclasses
import time
from email.utils import formatdate

import httpx
import pytest
import requests
from mock_server import MockServer, Record, advice, fault
from mock_server.seen import Seen

JSON, STREAM = "application/json", "text/event-stream; charset=utf-8"


def made(received: float, ended: float | None = None, **fields) -> Record:
    """Return a record that ended 0.1 s after it was received, with a 503 on a POST,
    unless told otherwise.

    reply: more headers of the reply.
    """
    record = Record(
        n=fields.pop("n", round(received * 1000) + 1),
        method=fields.pop("method", "POST"),
        path=fields.pop("path", "/v1/chat/completions"),
        query=fields.pop("query", ""),
        headers={"User-Agent": "test", **fields.pop("headers", {})},
        key=fields.pop("key", "mock…urse"),
        connection=fields.pop("connection", 1),
        exchange=1,
        received=received,
    )
    reply = {"Content-Type": JSON, **fields.pop("reply", {})}
    usual = {
        "identity": "same",
        "status": 503,
        "reply_headers": reply,
        "first_byte": received + 0.1,
        "ended": received + 0.1 if ended is None else ended,
        "end": "complete",
    }
    return dataclasses.replace(record, **(usual | fields))


def at(*times: float, **fields) -> list[Record]:
    """Return records with these times of arrival."""
    return [made(received, **fields) for received in times]


def open_at(received: float, **fields) -> Record:
    """Return the record of a request without a reply so far."""
    usual = {"status": None, "first_byte": None, "end": ""}
    record = made(received, **(usual | fields))
    return dataclasses.replace(record, ended=fields.get("ended"))


def crowd(pauses: list[float], gap: float = 0.001, **fields) -> list[Record]:
    """Return the records of clients that fail a gap apart and come back after a
    pause.
    """
    both = [
        at(gap * number, gap * number + 0.1 + pause, identity=str(number), **fields)
        for number, pause in enumerate(pauses)
    ]
    return sorted((one for two in both for one in two), key=lambda one: one.received)


def calls(connections: list[int], gap: float = 0.05) -> list[Record]:
    """Return the records of good calls, one after the other, on these connections."""
    return [
        made(number * (0.1 + gap), connection=connection, status=200, identity=f"{n}")
        for number, (n, connection) in enumerate(enumerate(connections))
    ]


ASKED = {"Retry-After": "2"}
SOON = formatdate(1_000_003, usegmt=True)
GONE = {"end": "client-gone", "status": 200, "reply": {"Content-Type": STREAM}}
MANY = [made(n / 1000, 100.0, n=n, identity=str(n)) for n in range(61)]
ABOVE = [
    made(n / 20, status=429, source="limiter", reply=ASKED, identity=str(n))
    for n in range(200)
]
AGENT = {"path": "/agents", "end": "rst", "status": None}

# For each rule, what earns it, and what does not.
EARNED: dict[str, list[Record]] = {
    "too_soon": at(0, 1.5, reply=ASKED),
    "too_soon, a date": at(0, 0.5, reply={"Retry-After": SOON}),
    "too_soon, milliseconds": at(0, 1.0, reply={"retry-after-ms": "1500"}),
    "sent_in_vain": at(0, 1, status=400),
    "sent_in_vain, 401": at(0, 1, status=401),
    "sent_in_vain, 404": at(0, 1, status=404),
    "no_pause": at(0, 0.101, 0.203),
    "no_pause, dropped": at(0, 0.101, 0.203, status=None, end="rst"),
    "same_pause": at(0, 1.1, 2.205, 3.31),
    "in_step": crowd([0.5] * 8),
    "new_connections": calls(list(range(10))),
    "post_again": at(0, 1, **AGENT),
    "key_in_address": at(0, query="api_key=abcd…wxyz"),
    "key_in_address, of Google's form": at(0, query="key=AIza…wxyz"),
    "key_in_address, the server's": at(0, query="q=mock…urse", key=""),
    "no_timeout": [open_at(0)],
    "no_timeout, stopped": [open_at(0, ended=70.0, end="server-stopped")],
    "no_timeout, stalled": [
        open_at(0, first_byte=0.1, last_byte=0.2, fault="stall(after_events=2)")
    ],
    "stream_left_open": [open_at(0, status=200, last_byte=10.0, is_blocked=True)],
    "stream_left": [made(0, 1.0, last_byte=0.99, **GONE)],
    "too_many_at_once": MANY,
    "above_the_limit": ABOVE,
}
NOT_EARNED: dict[str, list[Record]] = {
    "too_soon, waited": at(0, 2.2, reply=ASKED),
    "too_soon, waited for a date": at(0, 2.2, reply={"Retry-After": SOON}),
    "too_soon, another request": [
        made(0, reply=ASKED, identity="a"),
        made(0.2, identity="b"),
    ],
    "too_soon, nothing to read": at(0, 0.5, reply={"Retry-After": "soon"}),
    "too_soon, milliseconds": at(
        0, 0.6, reply={"retry-after-ms": "400", "Retry-After": "1"}
    ),
    "too_soon, equal requests at once": at(0, 0.05, 0.2, reply=ASKED),
    "sent_in_vain, changed": [
        made(0, status=400, identity="a"),
        made(1, status=200, identity="b"),
    ],
    "sent_in_vain, by hand": at(0, 20, status=400),
    "sent_in_vain, it appeared": [made(0, status=404), made(1, status=200)],
    "sent_in_vain, told to": at(0, 1, status=400, reply={"x-should-retry": "true"}),
    "sent_in_vain, a rate limit of GitHub's": at(
        0, 1, status=403, reply={"x-ratelimit-remaining": "0"}
    ),
    "no_pause, once": at(0, 0.101, 1.0),
    "no_pause, a single try": at(0, 0.101),
    "no_pause, no failure": at(0, 0.101, 0.203, status=200),
    "same_pause, doubled": at(0, 0.6, 1.7, 3.8),
    "same_pause, asked for": at(0, 2.1, 4.2, 6.3, 8.4, reply=ASKED),
    "same_pause, no failure": at(0, 1, 2, 3, 4, status=200),
    "in_step, jitter": crowd([0.1, 0.2, 0.24, 0.3, 0.41, 0.45, 0.48, 0.5]),
    "in_step, asked for": crowd([2.0] * 8, reply=ASKED),
    "in_step, at once": crowd([0.05] * 8),
    "in_step, one after the other": crowd([0.5] * 8, gap=1.0),
    "in_step, few": crowd([0.5] * 4),
    "new_connections, kept": calls([1] * 20),
    "new_connections, few": calls(list(range(9))),
    "new_connections, by hand": calls(list(range(20)), gap=2.0),
    "new_connections, all at once": [
        made(0.001 * n, 1.0, connection=n, status=200, identity=str(n))
        for n in range(50)
    ],
    "new_connections, dropped by the server": at(
        0, 0.5, 1.3, status=None, end="rst", method="GET"
    ),
    "post_again, with a key": at(0, 1, headers={"idempotency-key": "a"}, **AGENT),
    "post_again, a question": at(0, 1, end="rst", status=None),
    "post_again, refused": at(0, 1, path="/agents"),
    "key_in_address, another key": at(0, query="key=…&page_token=abcd…wxyz"),
    "key_in_address, too short for one": at(0, query="api_key=…"),
    "key_in_address, in a header": at(0, query="q=x"),
    "no_timeout, seen": [open_at(0, ended=10.0, end="client-gone")],
    "no_timeout, a slow one": [open_at(0, ended=90.0, end="client-gone")],
    "no_timeout, not yet": [open_at(95)],
    "no_timeout, a long one": [open_at(0, headers={"x-stainless-read-timeout": "600"})],
    "stream_left_open, slow": [open_at(90, status=200, last_byte=95, is_blocked=True)],
    "stream_left, a timeout": [made(0, 3.0, last_byte=1.0, **GONE)],
    "stream_left, after an error": [
        made(0, 1.0, last_byte=0.99, fault="stream_error()", **GONE)
    ],
    "stream_left, read to its end": [
        made(0, 1.0, last_byte=0.99, **(GONE | {"end": "complete"}))
    ],
    "too_many_at_once, bounded": MANY[:60],
    "above_the_limit, a little": [
        made(n * 0.6, status=429, source="limiter", reply=ASKED, identity=str(n))
        for n in range(30)
    ],
    "above_the_limit, waited": [
        made(n * 1.2, status=429, source="limiter", reply={"Retry-After": "1"})
        for n in range(15)
    ],
}


def hear(records: list[Record]) -> dict[str, str]:
    """Return what the rules say of records, by the names of the rules."""
    seen = Seen(records, now=100.0, started=1_000_000.0, limit=60, key="mock…urse")
    said = {rule.__name__: rule(seen) for rule in advice.RULES}
    return {name: sentence for name, sentence in said.items() if sentence}


@pytest.mark.parametrize(("name", "records"), EARNED.items(), ids=EARNED)
def test_a_rule_is_earned(name: str, records: list[Record]) -> None:
    """What earns a rule hears it, with the numbers of the requests."""
    said = hear(records)
    rule = name.partition(",")[0]
    assert rule in said, f"it should have heard {rule}, but heard {said}"
    assert f"request{'s' if len(records) > 1 else ''} " in said[rule]


@pytest.mark.parametrize(("name", "records"), NOT_EARNED.items(), ids=NOT_EARNED)
def test_a_rule_is_not_earned(name: str, records: list[Record]) -> None:
    """What does not earn a rule, or cannot be told from what does not, hears nothing
    from any rule.
    """
    assert hear(records) == {}


def test_every_rule_has_both_tests() -> None:
    """No rule is left without a client that earns it and one that does not."""
    names = {rule.__name__ for rule in advice.RULES}
    for cases in (EARNED, NOT_EARNED):
        assert {name.partition(",")[0] for name in cases} == names


def test_many_numbers_are_cut() -> None:
    """The numbers of many requests do not fill the screen."""
    [sentence] = hear(calls(list(range(10)))).values()
    assert sentence.endswith("(requests 1, 151, 301, 451, 601 and 5 more).")


# --- on sockets -----------------------------------------------------------------------


def chat(server: MockServer, text: str = "Say hello", **more) -> dict:
    """Return the arguments of a chat request for requests.post and httpx.post."""
    message = {"role": "user", "content": text}
    return {
        "url": f"{server.base_url}/chat/completions",
        "json": {"model": "mock-small", "messages": [message], **more},
        "headers": {"Authorization": f"Bearer {server.api_key}"},
        "timeout": 5,
    }


def test_impolite_clients_on_sockets() -> None:
    """What the rules rest on is written down for real requests too."""
    with MockServer() as server:
        server.script(
            fault.status(429, retry_after=5),
            fault.status(400),
            fault.ok(),
            fault.drop(),
            fault.ok(),
        )
        with requests.Session() as session:
            for _ in range(3):
                session.post(**chat(server))
            for _ in range(2):
                with contextlib.suppress(requests.ConnectionError):
                    session.post(f"{server.url}/agents", json={"name": "a"}, timeout=5)
        requests.get(
            f"{server.url}/get", params={"api_key": "some-long-secret"}, timeout=5
        )
        said = " ".join(server.advice())
    assert "Retry-After said 5 s" in said and "(requests 1, 2)" in said
    assert "unchanged after a 400" in said and "(requests 2, 3)" in said
    assert "Idempotency-Key" in said and "(requests 4, 5)" in said
    assert "key in the address" in said and "(request 6)" in said
    assert len(server.advice()) == 4


def test_streams_that_are_left() -> None:
    """A stream that is left in the middle is told from one that is read to its end."""
    with MockServer(token_delay=0.05) as server:
        with httpx.stream("POST", **chat(server, stream=True)) as response:
            list(response.iter_lines())
        assert server.advice() == []
        with httpx.stream("POST", **chat(server, stream=True)) as response:
            next(response.iter_lines())
        [sentence] = server.advice()
    assert "left a stream before its end" in sentence and "(request 2)" in sentence


def test_a_client_that_stops_reading() -> None:
    """A client that does not take its bytes is seen by its record."""
    with MockServer() as server:
        server.on().reply(text="word " * 100_000)
        with httpx.stream("POST", **chat(server, stream=True)) as response:
            pieces = response.iter_raw()  # which closes the response if it is dropped
            next(pieces)
            [record] = server.records
            end, sent = time.monotonic() + 20, -1
            while not record.is_blocked or record.sent != sent:
                assert time.monotonic() < end, "the record never says so"
                sent = record.sent
                time.sleep(0.3)
            assert not record.end
        assert server.advice() == [], "it was a moment only"


def test_reset_forgets(server: MockServer) -> None:
    """After reset() there is nothing to say."""
    requests.get(f"{server.url}/get?api_key=some-long-secret", timeout=5)
    assert len(server.advice()) == 1
    server.reset()
    assert server.advice() == []
