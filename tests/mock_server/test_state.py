"""What the mock server remembers and decides: records, masks, scripts, rules, chaos,
limits, control, its life.
"""

import asyncio
import contextlib
import json
import re
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import httpx
import pytest
import requests
from mock_server import MockServer, Record, fault, records
from mock_server.openai_shared import go_duration

ASK = {"model": "mock-small", "messages": [{"role": "user", "content": "Say hello"}]}


def ask(
    server: MockServer, text: str = "Say hello", key: str | None = None, **more
) -> requests.Response:
    """Ask the model something; key is the server's own unless another is given."""
    body = {
        "model": "mock-small",
        "messages": [{"role": "user", "content": text}],
        **more,
    }
    headers = {"Authorization": f"Bearer {key or server.api_key}"}
    return requests.post(
        f"{server.base_url}/chat/completions", json=body, headers=headers, timeout=5
    )


def get(server: MockServer, path: str = "/get", **more) -> requests.Response:
    """Get an address of the server."""
    return requests.get(server.url + path, timeout=5, **more)


def wait_until(is_true, seconds: float = 5.0) -> None:
    """Wait until is_true() is, at most so many seconds."""
    end = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.002)


# --- records --------------------------------------------------------------------------


def test_a_record(server: MockServer) -> None:
    """A record holds the request as it was, what was done to it, and when."""
    with requests.Session() as session:
        session.get(f"{server.url}/users/ada", timeout=5)
        url = f"{server.base_url}/chat/completions?a=1&b=%E4%BD%A0"
        session.post(
            url,
            json=ASK,
            headers={
                "Authorization": f"Bearer {server.api_key}",
                "X-Two": "你".encode(),
            },
            timeout=5,
        )
    first, second = server.records
    assert (first.n, first.method, first.path, first.query, first.key, first.body) == (
        1,
        "GET",
        "/users/ada",
        "",
        "",
        b"",
    )
    assert (second.n, second.method, second.path) == (2, "POST", "/v1/chat/completions")
    assert (second.query, second.request) == (
        "a=1&b=%E4%BD%A0",
        "POST /v1/chat/completions?a=1&b=%E4%BD%A0",
    )
    assert json.loads(second.body) == ASK
    assert (
        second.headers["X-Two"] == "你"
        and second.headers["Content-Type"] == "application/json"
    )
    assert (second.connection, second.exchange, second.attempt) == (1, 2, 1)
    assert (second.status, second.fault, second.source, second.end) == (
        200,
        "",
        "",
        "complete",
    )
    assert (
        0
        <= first.received
        <= first.first_byte
        <= first.ended
        <= second.received
        <= second.ended
        < 60
    )


def test_the_record_is_there_before_the_reply(server: MockServer) -> None:
    """Whoever has a reply finds its record, complete, without waiting: a hundred times
    in a row.
    """
    with requests.Session() as session:
        for number in range(1, 101):
            reply = session.get(f"{server.url}/users/ada", timeout=5)
            record = server.records[-1]
            assert (record.n, record.end, record.sent) == (
                number,
                "complete",
                len(reply.content),
            )


def test_the_record_is_there_before_the_first_byte(server: MockServer) -> None:
    """While a reply is held back its record stands there already, open."""
    server.script(fault.delay(0.4))
    with ThreadPoolExecutor() as pool:
        future = pool.submit(get, server)
        wait_until(lambda: server.records)
        [record] = server.records
        assert (record.method, record.status, record.end, record.ended) == (
            "GET",
            None,
            "",
            None,
        )
        future.result()
    assert server.records == [record] and record.end == "complete", (
        "a record is kept up to date in place"
    )


def test_attempts_count_equal_requests(server: MockServer) -> None:
    """A request with the same method, address, key and body is the next attempt of the
    same request.
    """
    for text in ("a", "b", "a", "a"):
        ask(server, text)
    ask(server, "a", key="another-key")
    get(server, "/get?x=1"), get(server, "/get?x=2"), get(server, "/get?x=1")
    assert [record.attempt for record in server.records] == [1, 1, 2, 3, 1, 1, 1, 2]


def test_records_and_bodies_are_capped(
    server: MockServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only so many records are kept, the newest, and of a body its first 64 KiB."""
    assert records.RECORD_LIMIT == 10_000
    monkeypatch.setattr(records, "RECORD_LIMIT", 100)
    requests.post(f"{server.url}/post", data=b"x" * 100_000, timeout=5)
    assert server.records[0].body == b"x" * 65536
    with socket.create_connection(("127.0.0.1", server.port), 10) as connection:
        one = b"GET /status/204 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
        for _ in range(2):
            connection.sendall(one * 100)
            seen = b""
            while seen.count(b"\r\n\r\n") < 100:
                seen += connection.recv(65536)
    kept = server.records
    assert (len(kept), kept[0].n, kept[-1].n) == (100, 102, 201)


def test_peak_open(server: MockServer) -> None:
    """peak_open is the highest number of requests that were open at once."""
    server.on().reply(latency=0.3)
    with ThreadPoolExecutor(7) as pool:
        list(pool.map(lambda _: get(server), range(7)))
    get(server)
    assert server.peak_open == 7


def test_wait_for(server: MockServer) -> None:
    """wait_for returns when so many requests have ended, and says what is missing if
    they have not in time.
    """
    server.script(fault.delay(0.2))
    threading.Thread(target=get, args=[server]).start()
    assert [record.end for record in server.wait_for(1)] == ["complete"]
    with pytest.raises(TimeoutError, match=r"1 of 2 requests had arrived"):
        server.wait_for(2, timeout=0.05)


def test_reset_forgets_everything(server: MockServer) -> None:
    """After reset, the server is as new: nothing recorded, scripted, ruled, counted or
    created.
    """
    requests.post(f"{server.url}/agents", json={"name": "a"}, timeout=5)
    server.script(fault.status(503))
    server.on().reply(fault.status(504))
    server.on(model="extra").reply()
    server.chaos(1, fault.status(505))
    server.reset()
    assert (server.records, server.peak_open) == ([], 0)
    assert get(server, "/agents").json() == []
    assert (
        len(
            requests.get(
                f"{server.base_url}/models", headers=bearer(server), timeout=5
            ).json()["data"]
        )
        == 2
    )
    assert (
        requests.post(f"{server.url}/agents", json={"name": "a"}, timeout=5).json()[
            "id"
        ]
        == 1
    )
    assert [record.n for record in server.records] == [1, 2, 3]
    assert {record.attempt for record in server.records} == {1}


def test_reset_while_a_request_is_open(server: MockServer) -> None:
    """A request that was open at a reset ends without a trace and without upsetting the
    counts.
    """
    server.script(fault.hang())
    client = socket.create_connection(("127.0.0.1", server.port))
    client.sendall(b"GET /get HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    wait_until(lambda: server.records)
    [old] = server.records
    server.reset()
    client.close()
    wait_until(lambda: old.end)
    assert server.records == []
    get(server)
    assert len(server.wait_for(1, timeout=1)) == 1
    with pytest.raises(TimeoutError):
        server.wait_for(2, timeout=0.05)
    assert server.peak_open == 1


def test_show(server: MockServer, capsys: pytest.CaptureFixture[str]) -> None:
    """show prints a line for each record under a line of names; last keeps only the
    last few.
    """
    server.script(fault.status(503), fault.drop("rst"))
    get(server, "/users/ada")
    with pytest.raises(requests.ConnectionError):
        get(server, "/users/ada?x=1")
    ask(server)
    server.show()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == [
        "n",
        "t(s)",
        "conn",
        "request",
        "status",
        "fault",
        "end",
    ]
    assert re.fullmatch(
        r"1  0\.00  #1    GET /users/ada             503     status\(503\)  complete",
        lines[1],
    )
    assert re.fullmatch(
        r"2  \d\.\d\d  #2    GET /users/ada\?x=1         -       drop\(\"rst\"\)  rst",
        lines[2],
    )
    assert re.fullmatch(
        r"3  \d\.\d\d  #3    POST /v1/chat/completions  200     -            complete",
        lines[3],
    )
    assert len(lines) == 4
    server.show(last=1)
    again = capsys.readouterr().out.splitlines()
    assert len(again) == 2 and again[1].startswith("3  0.00  #3")


def test_show_of_nothing(
    server: MockServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """A server that saw nothing shows the names of the columns alone."""
    server.show()
    assert capsys.readouterr().out.split() == [
        "n",
        "t(s)",
        "conn",
        "request",
        "status",
        "fault",
        "end",
    ]


# --- keys -----------------------------------------------------------------------------

SECRET = "tutor-AbC/dEf+123=456&xyz"


def bearer(server: MockServer) -> dict[str, str]:
    """Return the header with the right key."""
    return {"Authorization": f"Bearer {server.api_key}"}


CARRIERS = {
    "bearer": {"headers": {"Authorization": f"Bearer {SECRET}"}},
    "basic": {"headers": {"Authorization": f"Basic {SECRET}"}},
    "no scheme": {"headers": {"Authorization": SECRET}},
    "x-api-key": {"headers": {"X-API-Key": SECRET}},
    "api-key": {"headers": {"api-key": SECRET}},
    "proxy": {"headers": {"Proxy-Authorization": f"Bearer {SECRET}"}},
    "cookie": {"headers": {"Cookie": f"session={SECRET}"}},
    "another header": {
        "headers": {
            "X-Note": f"my key is {SECRET}!",
            "Authorization": f"Bearer {SECRET}",
        }
    },
    "query": {"params": {"api_key": SECRET}},
    "query, any name": {
        "params": {"q": SECRET},
        "headers": {"Authorization": f"Bearer {SECRET}"},
    },
    "query, access_token": {"params": {"access_token": "quite-an-unusual-token"}},
    "body": {
        "json": {"text": SECRET},
        "headers": {"Authorization": f"Bearer {SECRET}"},
    },
    "body, as a form": {
        "data": {"text": SECRET},
        "headers": {"Authorization": f"Bearer {SECRET}"},
    },
    "body, x-api-key": {"data": SECRET, "headers": {"X-API-Key": SECRET}},
    "the course's key in a body": {"json": {"text": "mock-key-for-this-course"}},
    "the course's key in a query": {"params": {"q": "mock-key-for-this-course"}},
    "a key of OpenAI's form": {"json": {"text": "sk-0123456789abcdefghijklmn"}},
}
LEAKS = [SECRET, quote(SECRET, safe=""), quote(SECRET), SECRET[5:15]]
LEAKS += [
    "123=456",
    "123%3D456",
    "quite-an-unusual-token",
    "mock-key-for-this-course",
    "0123456789abcdef",
]


@pytest.mark.parametrize("more", CARRIERS.values(), ids=CARRIERS)
def test_keys_are_masked_everywhere(
    server: MockServer, more: dict, capsys: pytest.CaptureFixture[str]
) -> None:
    """However a key comes, no record, table or control endpoint shows it."""
    requests.post(f"{server.url}/anything", timeout=5, **more)
    [record] = server.records
    server.show()
    shown = [
        repr(record),
        json.dumps(record.to_dict()),
        get(server, "/_mock/records").text,
        capsys.readouterr().out,
    ]
    for text in shown:
        assert not [leak for leak in LEAKS if leak in text], text
    assert "…" in str(record.to_dict()), "something should have been masked"


def test_keys_are_masked_in_paths(server: MockServer) -> None:
    """A key in a path is masked, as it is and as an address writes it."""
    get(
        server,
        f"/users/{quote(SECRET, safe='')}",
        headers={"Authorization": f"Bearer {SECRET}"},
    )
    get(server, "/users/mock-key-for-this-course")
    assert not [leak for leak in LEAKS if leak in repr(server.records)]


def test_masks_are_recognisable(server: MockServer) -> None:
    """A masked key shows enough to tell two keys apart, and a short one nothing."""
    ask(server)
    ask(server, key="wrong")
    first, second = server.records
    assert (first.key, first.headers["Authorization"]) == (
        "mock…urse",
        "Bearer mock…urse",
    )
    assert (second.key, second.headers["Authorization"]) == ("…", "Bearer …")


def test_short_words_are_not_masked(server: MockServer) -> None:
    """ "Bearer None" is a mistake and no key, so the text None elsewhere stays as it
    is.
    """
    requests.post(
        f"{server.url}/anything",
        data="None of it",
        headers={"Authorization": "Bearer None"},
        timeout=5,
    )
    assert server.records[0].body == b"None of it"


def test_usage_and_prompts_stay_readable(server: MockServer) -> None:
    """Words such as max_tokens or key in a body are no secrets."""
    ask(server, "key=value, token=x", max_tokens=5)
    assert (
        b"key=value, token=x" in server.records[0].body
        and b'"max_tokens": 5' in server.records[0].body
    )


# --- who decides ----------------------------------------------------------------------


def test_script_before_rule_before_chaos(server: MockServer) -> None:
    """A script comes first, then the newest rule, then chaos, then nothing; the record
    says which it was.
    """
    server.chaos(1, fault.status(505))
    server.on(path="/users/ada").reply(fault.status(504))
    server.script(fault.status(503), fault.ok())
    paths = ["/users/ada", "/users/ada", "/users/ada", "/get"]
    assert [get(server, path).status_code for path in paths] == [503, 200, 504, 505]
    server.chaos(0, fault.status(505))
    assert get(server).status_code == 200
    assert [record.source for record in server.records] == [
        "script",
        "script",
        "rule",
        "chaos",
        "",
    ]
    assert [record.fault for record in server.records] == [
        "status(503)",
        "",
        "status(504)",
        "status(505)",
        "",
    ]


def test_a_script_is_used_up_in_order(server: MockServer) -> None:
    """Each request takes one step; what is scripted later comes later."""
    server.script(fault.status(501), fault.status(502))
    server.script(fault.status(503))
    assert [get(server).status_code for _ in range(4)] == [501, 502, 503, 200]


def test_rules_match_by_method_path_and_model(server: MockServer) -> None:
    """A rule is for the requests that match all it names, and the newest matching rule
    wins.
    """
    server.on().reply(fault.status(501))
    server.on(method="GET").reply(fault.status(502))
    server.on(method="GET", path="/get").reply(fault.status(503))
    server.on(model="mock-large").reply(fault.status(504))
    assert get(server, "/get").status_code == 503
    assert get(server, "/get?a=1").status_code == 503
    assert get(server, "/headers").status_code == 502
    assert requests.post(f"{server.url}/post", timeout=5).status_code == 501
    assert ask(server).status_code == 501
    assert ask(server, model="mock-large").status_code == 504


def test_a_rule_of_ok_spares_from_chaos(server: MockServer) -> None:
    """A rule that says ok means it: no chaos for its requests.

    One that only sets a text leaves them to chaos.
    """
    server.chaos(1, fault.status(503))
    server.on(path="/get").reply(fault.ok())
    server.on(path="/headers").reply(latency=0.0)
    assert [get(server, path).status_code for path in ("/get", "/headers")] == [
        200,
        503,
    ]


def test_a_rule_makes_its_model_exist(server: MockServer) -> None:
    """A model that a rule speaks of is listed and answers."""
    server.on(model="slow").reply(text="I am slow.")
    assert (
        ask(server, model="slow").json()["choices"][0]["message"]["content"]
        == "I am slow."
    )
    found = requests.get(
        f"{server.base_url}/models", headers=bearer(server), timeout=5
    ).json()["data"]
    assert [model["id"] for model in found] == ["mock-small", "mock-large", "slow"]
    assert ask(server, model="fast").status_code == 404


def test_latency(capsys: pytest.CaptureFixture[str]) -> None:
    """The server's latency holds for every reply; a rule's holds in its place."""
    with MockServer(latency=0.15) as server:
        server.on(path="/headers").reply(latency=0.0)
        get(server), get(server, "/headers")
        slow, fast = server.records
    assert slow.first_byte - slow.received >= 0.15
    assert fast.first_byte - fast.received < 0.15


def test_token_delay() -> None:
    """token_delay is for each token: as a pause before each in a stream, as their sum
    before a whole answer.
    """
    with MockServer(token_delay=0.04) as server:
        server.on().reply(text="one two three four five")
        whole = ask(server)
        ask(server, stream=True)
        first, second = server.records
    assert int(whole.headers["openai-processing-ms"]) == 200
    assert first.first_byte - first.received >= 0.2
    assert second.ended - second.first_byte >= 0.2 > second.first_byte - second.received


def test_faults_leave_the_deed_done(server: MockServer) -> None:
    """A refusal is before the deed; a reply that is lost or damaged comes after it."""
    server.script(
        fault.status(503),
        fault.drop("rst"),
        fault.cut(after_bytes=3),
        fault.bad_json(),
        fault.quota(),
    )
    for _ in range(5):
        with contextlib.suppress(requests.RequestException):
            requests.post(f"{server.url}/agents", json={"name": "a"}, timeout=5)
    assert len(get(server, "/agents").json()) == 3


@pytest.mark.parametrize("wrong", ["status(503)", 503, None, fault.crlf])
def test_only_faults_are_taken(server: MockServer, wrong: object) -> None:
    """What is no fault is refused where it is given, not when a request meets it."""
    for take in (
        server.script,
        server.on().reply,
        lambda what: server.chaos(0.5, what),
    ):
        with pytest.raises(TypeError, match=r"fault\.status\(503\)"):
            take(wrong)
    assert get(server).status_code == 200


@pytest.mark.parametrize(
    "arguments",
    [(-0.1, fault.hang()), (1.1, fault.hang()), (float("nan"), fault.hang()), (0.5,)],
)
def test_chaos_needs_a_share_and_faults(server: MockServer, arguments: tuple) -> None:
    """Chaos without a fault, or for a share outside 0 to 1, is a ValueError."""
    with pytest.raises(ValueError):
        server.chaos(*arguments)


# --- chaos repeats --------------------------------------------------------------------

TROUBLES = [
    fault.status(503),
    fault.status(429, retry_after=1),
    fault.drop("rst"),
    fault.cut(after_bytes=20),
    fault.bad_json(),
]


def run_in_order(seed: int) -> list[Record]:
    """Send 60 different requests, each until it succeeds, one after the other; return
    the records.
    """
    with MockServer(seed=seed) as server:
        server.chaos(0.4, *TROUBLES)
        for number in range(60):
            insist(server, number)
        return server.records


def run_at_once(seed: int) -> list[Record]:
    """Send 150 different requests from 50 threads, each until it succeeds; return the
    records.
    """
    with MockServer(seed=seed) as server:
        server.chaos(0.4, *TROUBLES)
        with ThreadPoolExecutor(50) as pool:
            list(pool.map(lambda number: insist(server, number), range(150)))
        return server.records


def insist(server: MockServer, number: int) -> None:
    """Send a request again and again, at most 20 times, until it succeeds."""
    for _ in range(20):
        try:
            reply = ask(server, f"question {number}")
            reply.raise_for_status()
            reply.json()
            return
        except requests.RequestException:
            pass
    raise AssertionError(
        f"question {number} never got an answer: retries do not recover"
    )


def without_times(record: Record) -> dict:
    """Return all of a record that may not differ from run to run."""
    times = ("received", "first_byte", "last_byte", "ended")
    host = {**record.headers, "Host": ""}  # the port differs
    return {
        name: value for name, value in vars(record).items() if name not in times
    } | {"headers": host}


def test_a_seeded_run_repeats() -> None:
    """Three runs with the same seed leave equal records, times aside; another seed
    leaves others.
    """
    first, second, third = (
        [without_times(record) for record in run_in_order(7)] for _ in range(3)
    )
    assert first == second == third
    assert {record["end"] for record in first} == {"complete", "rst", "cut"}
    assert {record["source"] for record in first} == {"chaos", ""}
    other = [without_times(record) for record in run_in_order(8)]
    assert other != first


def test_a_seeded_run_repeats_under_concurrency() -> None:
    """With 50 clients at once arrival order differs, but each attempt of each request
    meets the same fate.
    """

    def fates(records: list[Record]) -> list[tuple]:
        keys = ("body", "attempt", "status", "fault", "source", "sent", "end")
        return sorted(
            (tuple(getattr(record, key) for key in keys) for record in records),
            key=repr,
        )

    runs = [fates(run_at_once(7)) for _ in range(2)]
    assert runs[0] == runs[1]
    share = sum(fate[4] == "chaos" for fate in runs[0]) / len(runs[0])
    assert 0.3 < share < 0.5, f"chaos of 0.4 met {share:.2f} of the requests"


# --- the limiter ----------------------------------------------------------------------


class Clock:
    """A clock that stands still until it is moved; in seconds."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def limits(reply: requests.Response, kind: str = "requests") -> tuple[str, str, str]:
    """Return limit, remaining and reset of a kind from the headers of a reply."""
    return tuple(
        reply.headers[f"x-ratelimit-{name}-{kind}"]
        for name in ("limit", "remaining", "reset")
    )


def test_the_bucket_empties_and_refills() -> None:
    """60 a minute: one second gives one request back, half a second none; a full bucket
    does not overflow.
    """
    clock = Clock()
    with MockServer(requests_per_minute=60, clock=clock) as server:
        assert limits(ask(server)) == ("60", "59", "1s")
        assert limits(ask(server)) == ("60", "58", "2s")
        for _ in range(58):
            assert ask(server).status_code == 200
        refused = ask(server)
        assert (
            refused.status_code,
            refused.headers["Retry-After"],
            limits(refused),
        ) == (429, "1", ("60", "0", "1m0s"))
        assert refused.json()["error"]["type"] == "requests"
        assert refused.json()["error"]["code"] == "rate_limit_exceeded"
        clock.now += 0.5
        assert ask(server).status_code == 429
        clock.now += 0.5
        assert [ask(server).status_code for _ in range(2)] == [200, 429]
        clock.now += 3600
        assert limits(ask(server)) == ("60", "59", "1s")
        record = server.records[60]
        assert (record.status, record.fault, record.source) == (
            429,
            "rate limit",
            "limiter",
        )


def test_retry_after_is_long_enough() -> None:
    """Whoever waits as long as Retry-After says is let in: for awkward limits too, at
    any moment.
    """
    for limit in (1, 3, 7, 50, 59):
        clock = Clock()
        with MockServer(requests_per_minute=limit, clock=clock) as server:
            while ask(server).status_code == 200:
                pass
            clock.now += 0.01
            refused = ask(server)
            wait = int(refused.headers["Retry-After"])
            assert wait == -(-(60 / limit - 0.01) // 1), f"{limit} a minute"
            clock.now += wait
            assert ask(server).status_code == 200, f"{limit} a minute"


def test_tokens_are_limited_too() -> None:
    """A token limit counts prompt and answer together; the refusal is of type tokens
    and takes nothing.
    """
    clock = Clock()
    with MockServer(tokens_per_minute=100, clock=clock) as server:
        used = ask(server).json()["usage"]["total_tokens"]
        count = 100 // used
        for number in range(2, count + 1):
            assert limits(ask(server), "tokens")[:2] == (
                "100",
                str(100 - number * used),
            )
        refused = ask(server)
        assert (refused.status_code, refused.json()["error"]["type"]) == (429, "tokens")
        assert limits(refused, "tokens")[1] == str(100 - count * used)
        missing = used - (100 - count * used)
        assert int(refused.headers["Retry-After"]) == -(-missing * 60 // 100)


def test_a_request_that_is_too_large_for_ever() -> None:
    """A request of more tokens than the limit can never pass, and its error says so."""
    with MockServer(tokens_per_minute=10, clock=Clock()) as server:
        refused = ask(server, "word " * 50)
    assert (refused.status_code, refused.json()["error"]["type"]) == (429, "tokens")
    assert "too large" in refused.json()["error"]["message"]


def test_every_key_has_its_own_bucket() -> None:
    """What one key uses up, another still has; a wrong key is refused before it takes
    anything.
    """
    with MockServer(requests_per_minute=2, clock=Clock()) as server:
        assert [ask(server, key="another-key").status_code for _ in range(4)] == [
            401
        ] * 4
        assert [ask(server).status_code for _ in range(3)] == [200, 200, 429]


def test_only_answers_cost() -> None:
    """A bad request, another endpoint and a scripted refusal take nothing from the
    bucket.
    """
    with MockServer(requests_per_minute=2, clock=Clock()) as server:
        ask(server, temperature=9)
        requests.get(f"{server.base_url}/models", headers=bearer(server), timeout=5)
        get(server)
        server.script(fault.status(503))
        ask(server)
        assert [ask(server).status_code for _ in range(3)] == [200, 200, 429]


def test_a_clock_that_goes_back_does_no_harm() -> None:
    """A clock that is set back takes nothing away and gives nothing twice."""
    clock = Clock()
    with MockServer(requests_per_minute=2, clock=clock) as server:
        ask(server)
        clock.now -= 3600
        assert [ask(server).status_code for _ in range(2)] == [200, 429]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.008, "8ms"),
        (0.0085, "8ms"),
        (0.9994, "999ms"),
        (0.9996, "1s"),
        (1, "1s"),
        (1.5, "1.5s"),
        (12.345, "12.345s"),
        (59.9999, "1m0s"),
        (60, "1m0s"),
        (72.25, "1m12.25s"),
        (360, "6m0s"),
        (3600, "1h0m0s"),
        (3661.001, "1h1m1.001s"),
        (86400, "24h0m0s"),
        (100, "1m40s"),
        (10, "10s"),
    ],
)
def test_go_durations(seconds: float, text: str) -> None:
    """Durations are printed the way Go prints them, to the millisecond."""
    assert go_duration(seconds) == text


def test_github_counts_in_epoch_seconds(server: MockServer) -> None:
    """The GitHub-like part says when its limit starts anew as seconds of the Unix
    clock, also with a 403 or 429.
    """
    normal = get(server, "/users/ada")
    assert int(normal.headers["x-ratelimit-remaining"]) > 0
    server.script(fault.status(403), fault.status(429))
    for code in (403, 429):
        reply = get(server, "/users/ada")
        assert (reply.status_code, reply.headers["x-ratelimit-remaining"]) == (
            code,
            "0",
        )
        assert 0 < int(reply.headers["x-ratelimit-reset"]) - time.time() <= 3601
        assert set(reply.json()) == {"message", "documentation_url", "status"}


# --- control by other processes -------------------------------------------------------


def test_control_endpoints(server: MockServer) -> None:
    """health, records, script and reset do their work from outside, and leave no
    record.
    """
    assert get(server, "/_mock/health").json() == {"status": "ok"}
    faults = ["status(503)", "delay(0.01) + bad_json", "ok"]
    reply = requests.post(
        f"{server.url}/_mock/script", json={"faults": faults}, timeout=5
    )
    assert (reply.status_code, reply.json()["scripted"]) == (200, 3)
    assert [get(server).status_code for _ in range(3)] == [503, 200, 200]
    found = get(server, "/_mock/records").json()
    assert found["peak_open"] == 1
    assert [record["fault"] for record in found["records"]] == [
        "status(503)",
        "delay(0.01) + bad_json()",
        "",
    ]
    assert set(found["records"][0]) == set(Record.__dataclass_fields__)
    assert requests.post(f"{server.url}/_mock/reset", timeout=5).status_code == 200
    assert get(server, "/_mock/records").json()["records"] == server.records == []


def test_control_is_never_faulted_or_limited() -> None:
    """Whatever script, rules, chaos and limits say, the control endpoints answer."""
    with MockServer(requests_per_minute=1, latency=5) as server:
        server.chaos(1, fault.hang())
        server.on().reply(fault.drop())
        server.script(fault.hang())
        for _ in range(3):
            assert get(server, "/_mock/health").status_code == 200
        assert server.records == []


@pytest.mark.parametrize(
    "body",
    [
        {"faults": ["status(503)", "explode()"]},
        {"faults": ["status(42)"]},
        {"faults": "status(503)"},
        {"faults": [503]},
        {"faults": None},
        {},
        [],
        None,
        "status(503)",
    ],
)
def test_wrong_scripts_are_refused_whole(server: MockServer, body: object) -> None:
    """A script with anything wrong in it is a 400 that lists the valid names, and none
    of its steps is taken.
    """
    reply = requests.post(f"{server.url}/_mock/script", json=body, timeout=5)
    assert reply.status_code == 400
    assert {"status", "hang", "drop", "cut"} <= set(reply.json()["valid"])
    assert get(server).status_code == 200


def test_rules_and_chaos_over_control(server: MockServer) -> None:
    """A rule, with its text and its latency, and chaos can be set by another process,
    as in Python.
    """
    rule = {"model": "any", "faults": ["slice(3)"], "latency": 0.1, "text": "Hi."}
    for name, order in (
        ("rules", rule),
        ("rules", {"method": "get", "path": "/get", "faults": ["status(503)"]}),
        ("chaos", {"share": 1, "faults": ["status(502)"]}),
    ):
        reply = requests.post(f"{server.url}/_mock/{name}", json=order, timeout=5)
        assert (reply.status_code, reply.json()["status"]) == (200, "ok")
    assert [get(server, path).status_code for path in ("/get", "/headers")] == [
        503,
        502,
    ]
    reply = ask(server, "x", model="any")
    assert reply.json()["choices"][0]["message"]["content"] == "Hi."
    record = server.records[-1]
    assert (record.fault, record.source) == ("slice(3)", "rule")
    assert record.first_byte - record.received >= 0.1


WRONG_ORDERS = {
    "no JSON": ("rules", b"{"),
    "a list": ("rules", b"[]"),
    "an unknown key": ("rules", {"pth": "/get"}),
    "an unknown fault": ("rules", {"faults": ["explode"]}),
    "a fault with too much": ("rules", {"faults": ["drip(1000000000, 0)"]}),
    "a path that is a number": ("rules", {"path": 5}),
    "a latency that is a text": ("rules", {"latency": "soon"}),
    "a text that is a number": ("rules", {"text": 5}),
    "chaos without a share": ("chaos", {"faults": ["hang"]}),
    "a share that is a text": ("chaos", {"share": "1", "faults": ["hang"]}),
    "too large a share": ("chaos", {"share": 2, "faults": ["hang"]}),
    "chaos without faults": ("chaos", {"share": 1}),
    "a script without faults": ("script", {}),
}


@pytest.mark.parametrize(("name", "order"), WRONG_ORDERS.values(), ids=WRONG_ORDERS)
def test_wrong_orders_are_refused_whole(
    server: MockServer, name: str, order: object
) -> None:
    """An order with anything wrong in it is a 400 that shows a right one, and changes
    nothing.
    """
    data = order if isinstance(order, bytes) else json.dumps(order)
    server.on(path="/get").reply(fault.status(503))
    reply = requests.post(f"{server.url}/_mock/{name}", data=data, timeout=5)
    assert reply.status_code == 400
    assert "send such as" in reply.json()["error"] and "hang" in reply.json()["valid"]
    assert [get(server, path).status_code for path in ("/get", "/headers")] == [
        503,
        200,
    ]


@pytest.mark.parametrize(
    "origin", ["https://example.com", "http://127.0.0.1:1", "null", "http://127.0.0.1"]
)
@pytest.mark.parametrize("kind", ["text/plain", "application/json"])
def test_foreign_pages_control_nothing(
    server: MockServer, origin: str, kind: str
) -> None:
    """A web page of another origin can neither read nor order anything, whatever the
    content type: 403 with a sentence.
    """
    headers = {"Origin": origin, "Content-Type": kind}
    data = json.dumps({"faults": ["hang"]})
    for name in ("script", "rules", "reset", "nothing"):
        url = f"{server.url}/_mock/{name}"
        reply = requests.post(url, data=data, headers=headers, timeout=5)
        assert reply.status_code == 403, f"{origin} could post to {name}"
        assert "may not control" in reply.json()["error"]
    for name in ("records", "health"):
        reply = requests.get(f"{server.url}/_mock/{name}", headers=headers, timeout=5)
        assert reply.status_code == 403
    assert get(server).status_code == 200
    for own in (server.url, server.url.replace("127.0.0.1", "localhost")):
        headers = {"Origin": own, "Host": own.removeprefix("http://")}
        url = f"{server.url}/_mock/reset"
        assert requests.post(url, headers=headers, timeout=5).status_code == 200


def test_any_model(server: MockServer) -> None:
    """More models exist if they are named, and any if "*" is."""
    with MockServer(models=["gpt-x"]) as named, MockServer(models=["*"]) as any_name:
        assert [
            ask(one, "x", model="gpt-x").status_code for one in (server, named)
        ] == [
            404,
            200,
        ]
        assert ask(any_name, "x", model="whatever").status_code == 200
        url = f"{any_name.base_url}/models"
        key = {"Authorization": f"Bearer {any_name.api_key}"}
        listed = requests.get(url, headers=key, timeout=5).json()["data"]
        assert [model["id"] for model in listed] == ["mock-small", "mock-large"]
        assert requests.get(f"{url}/whatever", headers=key, timeout=5).ok


@pytest.mark.parametrize("models", ["gpt-x", [5], [""], ["a\nb"]])
def test_wrong_models(models: object) -> None:
    """What is no list of names is refused with a sentence."""
    with pytest.raises(ValueError, match=r"models? must be"):
        MockServer(models=models)


def test_unknown_control_endpoints(server: MockServer) -> None:
    """A control endpoint that is none is a 404 that lists those that are."""
    for reply in (
        get(server, "/_mock/nothing"),
        get(server, "/_mock/reset"),
        get(server, "/_mock/page"),
    ):
        assert reply.status_code == 404
        assert "POST /_mock/reset" in reply.json()["error"]
    assert server.records == []


# --- life -----------------------------------------------------------------------------


def mock_threads() -> list[threading.Thread]:
    """Return the running threads of mock servers."""
    return [
        thread
        for thread in threading.enumerate()
        if thread.name.startswith("mock-server")
    ]


def test_nothing_is_left_after_stop(capfd: pytest.CaptureFixture[str]) -> None:
    """Stopping with clients that hang, stream, wait and idle is quick, leaves no
    thread, and prints nothing.
    """
    before = threading.active_count()
    server = MockServer(token_delay=0.05).start()
    server.on(path="/get").reply(fault.hang())
    server.on(path="/headers").reply(fault.delay(30))
    server.on(path="/data").reply(fault.drip(3, 3))
    clients = []
    for path in [
        "/get",
        "/headers",
        "/users/ada",
        "/status/404",
        "/data",
    ] * 10:
        client = socket.create_connection(("127.0.0.1", server.port))
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        clients.append(client)
    wait_until(
        lambda: (
            len(server.records) == 50
            and sum(bool(record.end) for record in server.records) >= 20
        )
    )
    started = time.monotonic()
    server.stop()
    assert time.monotonic() - started < 1
    assert threading.active_count() == before and not mock_threads()
    assert {record.end for record in server.records} == {"complete", "server-stopped"}
    for client in clients:
        client.close()
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", server.port), timeout=1)
    assert capfd.readouterr() == ("", "")


def test_stopping_twice_and_starting_again() -> None:
    """A second stop does nothing, a second start is refused while running, and a
    stopped server can start again.
    """
    server = MockServer()
    server.stop()
    assert server.start() is server
    with pytest.raises(RuntimeError, match="already"):
        server.start()
    assert get(server).status_code == 200
    server.stop()
    server.stop()
    assert len(server.records) == 1, "records can be read after the stop"
    with server:
        assert get(server).status_code == 200
    assert not mock_threads()


def test_the_server_stops_when_its_user_fails() -> None:
    """An exception inside the with statement comes out of it, and the server is
    stopped.
    """
    with pytest.raises(ZeroDivisionError), MockServer() as server:
        get(server)
        _ = 1 / 0
    assert not mock_threads()


def test_a_taken_port_is_the_callers_error(server: MockServer) -> None:
    """A port that is taken is an OSError in the caller, and no thread is left."""
    threads = len(mock_threads())
    with pytest.raises(OSError):
        MockServer(port=server.port).start()
    assert len(mock_threads()) == threads
    assert get(server).status_code == 200


def test_a_port_can_be_chosen() -> None:
    """A given port is used, and can be used again at once after the stop."""
    with MockServer() as server:
        port = server.port
    for _ in range(2):
        with MockServer(port=port) as server:
            assert (server.port, server.url, server.base_url) == (
                port,
                f"http://127.0.0.1:{port}",
                f"http://127.0.0.1:{port}/v1",
            )
            assert get(server).status_code == 200


@pytest.mark.parametrize(
    "wrong",
    [
        {"latency": -1},
        {"latency": float("nan")},
        {"latency": float("inf")},
        {"latency": "1"},
        {"token_delay": -0.1},
        {"requests_per_minute": 0},
        {"requests_per_minute": -5},
        {"tokens_per_minute": 0},
        {"requests_per_minute": 1.5},
        {"api_key": ""},
        {"api_key": "has a space"},
    ],
)
def test_wrong_settings(wrong: dict) -> None:
    """A setting that makes no sense is a ValueError that names it."""
    with pytest.raises(ValueError, match=next(iter(wrong))):
        MockServer(**wrong)


def test_two_servers_do_not_know_each_other(server: MockServer) -> None:
    """Two servers in one process have ports, records and scripts of their own."""
    with MockServer(api_key="another-key-for-this-test") as other:
        other.script(fault.status(503))
        assert (get(server).status_code, get(other).status_code) == (200, 503)
        assert ask(other, key="another-key-for-this-test").status_code == 200
        assert ask(other, key=server.api_key).status_code == 401
        assert (len(server.records), len(other.records)) == (1, 3)


def test_inside_a_running_loop() -> None:
    """A notebook has an event loop of its own; the server starts, answers and stops
    beside it.
    """

    async def main() -> int:
        with MockServer() as server:
            async with httpx.AsyncClient() as client:
                return (await client.get(f"{server.url}/get")).status_code

    assert asyncio.run(main()) == 200
