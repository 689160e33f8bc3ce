"""The reference solutions: they agree with their stubs, and keep what they promise
whatever they are given.

The tests of the exercises, in tests/exercises, ask what a learner is asked. These go
further, with data that hypothesis makes up, and always the same of it.
"""

import ast
import asyncio
import functools
import importlib
import inspect
import itertools
import json
import math
import os
import random
import selectors
import signal
import sqlite3
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests
from hypothesis import example, given, settings
from hypothesis import strategies as st
from mock_server import MockServer, fault
from robust_client import limits

from tests.lesson_files import ROOT, load
from tests.lessons.test_failures import KEY, unknown_certificate
from tests.lessons.test_keys import all_said

SOLUTIONS = sorted((ROOT / "solutions").glob("[0-9][0-9]_*.py"))
STUBS = sorted((ROOT / "lessons" / "exercises").glob("[0-9][0-9]_*.py"))
settings.register_profile("course", derandomize=True, deadline=None, max_examples=60)
settings.load_profile("course")


get = load(ROOT / "solutions" / "01_basic_get.py")
methods = load(ROOT / "solutions" / "02_methods_and_auth.py")
client = load(ROOT / "solutions" / "03_sync_client.py")
errors = load(ROOT / "solutions" / "05_error_classes.py")
retry = load(ROOT / "solutions" / "06_retry_decorator.py")
sse = load(ROOT / "solutions" / "07_sse_streaming.py")
limiter = load(ROOT / "solutions" / "08_rate_limiter.py")
batching = load(ROOT / "solutions" / "04_async_batching.py")
batch = load(ROOT / "solutions" / "09_many_apis.py")


# --- stub and solution ----------------------------------------------------------------


def public(path: Path) -> dict[str, str]:
    """Return for each public name of a file what a caller sees: parameters, types and
    docstring.
    """

    def look(tree: ast.AST, prefix: str) -> Iterator[tuple[str, str]]:
        for node in ast.iter_child_nodes(tree):
            kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
            if isinstance(node, kinds) and (
                not node.name.startswith("_") or node.name in ("__init__", "__call__")
            ):
                name, seen = (
                    prefix + node.name,
                    f"{type(node).__name__} {ast.get_docstring(node)}",
                )
                if isinstance(node, ast.ClassDef):
                    yield name, seen + ", ".join(map(ast.unparse, node.bases))
                    yield from look(node, f"{name}.")
                else:
                    returned = node.returns and ast.unparse(node.returns)
                    yield name, f"{seen} ({ast.unparse(node.args)}) -> {returned}"

    return dict(look(ast.parse(path.read_text("utf-8")), ""))


def test_every_exercise_has_all_its_files() -> None:
    """One stem everywhere: lesson, stub, hints and solution have the same names."""
    lessons = [path.stem for path in sorted((ROOT / "lessons").glob("[0-9][0-9]_*.py"))]
    hints = [
        path.stem
        for path in sorted((ROOT / "lessons" / "exercises").glob("[0-9][0-9]_*.md"))
    ]
    assert (
        [path.stem for path in STUBS]
        == [path.stem for path in SOLUTIONS]
        == hints
        == lessons
    )


@pytest.mark.parametrize("stub", STUBS, ids=lambda path: path.stem)
def test_stub_and_solution_agree(stub: Path) -> None:
    """What a stub promises, name by name, its solution promises in the same words."""
    solution = public(ROOT / "solutions" / stub.name)
    for name, seen in public(stub).items():
        assert solution.get(name) == seen, name


@pytest.mark.parametrize("stub", STUBS, ids=lambda path: path.stem)
def test_stub_says_what_to_write(stub: Path) -> None:
    """A stub has one to three TODOs, and all that it raises is
    `NotImplementedError("NN_topic: write …")`.
    """
    text = stub.read_text("utf-8")
    raised = [
        ast.unparse(node)
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Raise) and not node.cause  # what is given may raise
    ]
    assert raised
    assert [
        line
        for line in raised
        if not line.startswith(f"raise NotImplementedError('{stub.stem}: write ")
    ] == []
    assert 1 <= text.count("# TODO") <= 3


# --- 01 to 03: bad input --------------------------------------------------------------


@pytest.mark.parametrize("body", ['"text"', {"items": None}, {"total": 3}, 4, None])
def test_page_without_a_list(body: Any) -> None:
    """A page that is no list of items is an error that names it, and no letters or keys
    become items.
    """
    with MockServer() as server:
        server.script(fault.status(200, body=body))
        with pytest.raises(
            ValueError, match=r"no list of items in the page http://127\.0\.0\.1"
        ):
            get.fetch_all(server.url + "/get")


def test_pages_in_a_circle() -> None:
    """Pages that lead back to one of them end with an error that names it, and not
    never.
    """
    with MockServer() as server:
        for name, following in (("a", "b"), ("b", "c"), ("c", "b")):
            link = f'<{server.url}/{following}>; rel="next"'
            server.on(path=f"/{name}").reply(
                fault.status(200, body=[1], headers={"Link": link})
            )
        with pytest.raises(ValueError, match=r"in a circle: .*/b again"):
            get.fetch_all(server.url + "/a")
        assert [record.path for record in server.records] == ["/a", "/b", "/c"]


@pytest.mark.parametrize("token", [None, "", " \n"])
def test_no_token(token: Any) -> None:
    """There is no client without a token."""
    with pytest.raises(ValueError, match="no token"):
        methods.AgentsAPI("http://127.0.0.1:1", token)


def test_line_break_after_a_token() -> None:
    """A token that was copied with its line break is sent without it, and not shown in
    an error about a header.
    """
    with MockServer() as server:
        agents = methods.AgentsAPI(server.url, f"{server.api_key}\n")
        assert agents.create("Ada")["name"] == "Ada"


def test_no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an address the client says which variable to set."""
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with pytest.raises(ValueError, match="set OPENAI_BASE_URL"):
        client.ChatClient(api_key="test")


# --- 02 to 09: a key that the server repeats ------------------------------------------


async def send_of_09(server: MockServer) -> None:
    """Send one request with what the reference of exercise 09 sends with."""
    provider = batch.Provider(server.base_url, KEY, "mock-small")
    async with httpx.AsyncClient() as http:
        await batch.send(http, provider, "job-1", "Hello")


# How the references that hold a key call a server; 04 has its own test.
CALLS_WITH_A_KEY: dict[str, Callable[[MockServer], object]] = {
    "02": lambda server: methods.AgentsAPI(server.url, KEY).list(),
    "03": lambda server: client.ChatClient(KEY, server.base_url, "m").ask("Hello"),
    "03, models": lambda server: client.ChatClient(KEY, server.base_url).models(),
    "07": lambda server: list(
        sse.stream_chat([], base_url=server.base_url, api_key=KEY, model="m")
    ),
    "09": lambda server: asyncio.run(send_of_09(server)),
}
MANY = KEY * 60  # wherever an error shortens this, it shows a key or a part of one
REPEATS = {
    "words": fault.status(401, body={"message": f"invalid token {KEY}"}),
    "page": fault.status(502, body=f"<p>{MANY}</p>"),
    "answer": fault.status(200, body={"error": f"invalid token {KEY}"}),
    "event": fault.status(
        200, body=f"data: {MANY}\n\n", headers={"Content-Type": "text/event-stream"}
    ),
}


@pytest.mark.parametrize(
    ("name", "trouble"),
    [
        (name, trouble)
        for name in CALLS_WITH_A_KEY
        for trouble in REPEATS
        if name != "02" or trouble in ("words", "page")  # a 200 is no refusal there
    ],
)
def test_no_key_that_the_server_repeats(
    name: str, trouble: str, server: MockServer
) -> None:
    """An error with the server's words shows no key, even if the server repeats it."""
    server.on().reply(REPEATS[trouble])
    with pytest.raises(Exception) as raised:
        CALLS_WITH_A_KEY[name](server)
    assert KEY[:9] not in all_said(raised.value)


# --- 04: any number of prompts --------------------------------------------------------


def test_prompts_are_read_as_calls_begin() -> None:
    """Hundreds of prompts never become as many tasks, and at most max_concurrency are
    open or read ahead.
    """
    done, ahead, tasks = 0, 0, 0
    count, limit = 400, 20

    def prompts() -> Iterator[str]:
        nonlocal ahead, tasks
        for number in range(count):
            ahead = max(ahead, number + 1 - done)
            tasks = max(tasks, len(asyncio.all_tasks()))
            yield f"prompt {number}"

    def on_done() -> None:
        nonlocal done
        done += 1

    with MockServer(latency=0.02) as server:
        server.chaos(
            0.2, fault.delay(0.05)
        )  # so that the calls do not end in the order in which they began
        call = batching.ask_all(
            prompts(),
            base_url=server.base_url,
            api_key=server.api_key,
            model="mock-small",
            max_concurrency=limit,
            on_done=on_done,
        )
        answers = asyncio.run(call)
        assert server.peak_open == limit
    assert answers == [
        f"This is a mock answer to: prompt {number}" for number in range(count)
    ]
    assert done == count
    assert ahead <= limit
    assert tasks <= 3 * limit, (
        "a worker for each call, and what the library needs to connect"
    )


def test_a_single_text_is_no_list_of_prompts() -> None:
    """A text in the place of several is an error, and is not asked letter by letter."""
    with MockServer() as server:
        call = batching.ask_all(
            "Hello",
            base_url=server.base_url,
            api_key=server.api_key,
            model="mock-small",
        )
        with pytest.raises(TypeError, match="single"):
            asyncio.run(call)
        assert not server.records


def test_error_of_the_iterable_gets_out() -> None:
    """An error that is no call's, but of the prompts themselves, is raised as it is,
    and no call stays open.
    """

    def prompts() -> Iterator[str]:
        yield from ("one", "two", "three")
        raise KeyError("the file is damaged")

    with MockServer(latency=0.05) as server:
        settings = {
            "base_url": server.base_url,
            "api_key": server.api_key,
            "model": "mock-small",
        }
        with pytest.raises(KeyError):
            asyncio.run(batching.ask_all(prompts(), max_concurrency=2, **settings))
        assert {record.end for record in server.wait_for(len(server.records))} <= {
            "complete",
            "client-gone",
        }


def test_no_key_in_an_error() -> None:
    """The exception that stands in the place of an answer does not show the key."""
    key = "a-key-that-nobody-may-see"
    with MockServer() as server:
        call = batching.ask_all(
            ["one"], base_url=server.base_url, api_key=key, model="mock-small"
        )
        [error] = asyncio.run(call)
    assert isinstance(error, batching.CallError)
    assert error.status == 401
    assert key not in repr(error)
    assert key not in str(error)


# --- 06: Retry-After ------------------------------------------------------------------

ZONES = [
    "UTC",
    "America/St_Johns",
    "Asia/Kathmandu",
    "Pacific/Kiritimati",
    "Europe/London",
]
DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
MONTHS = [
    "Jan",
    "Feb",
    "Mar",
    "Apr",
    "May",
    "Jun",
    "Jul",
    "Aug",
    "Sep",
    "Oct",
    "Nov",
    "Dec",
]
WORDS = [
    "Sun",
    "Sunday",
    ",",
    " ",
    "06",
    "6",
    "31",
    "99",
    "-",
    "Nov",
    "Feb",
    "1994",
    "94",
    ":",
    "08:49:37",
    "GMT",
    "+",
    ".",
]
NOW = datetime(2026, 11, 23, 7, 0, tzinfo=UTC).timestamp()


@pytest.fixture(
    scope="module", params=ZONES if hasattr(time, "tzset") else ["as it is"]
)
def zone(request: pytest.FixtureRequest) -> Iterator[str]:
    """Set the time zone of this process, where a process can."""
    before = os.environ.get("TZ")
    if hasattr(time, "tzset"):
        os.environ["TZ"] = request.param
        time.tzset()
    yield request.param
    if hasattr(time, "tzset"):
        os.environ.pop("TZ")
        os.environ.update({} if before is None else {"TZ": before})
        time.tzset()


def http_dates(moment: datetime) -> list[str]:
    """Return a moment in the three forms of RFC 9110, section 5.6.7."""
    day, month, clock = (
        DAYS[moment.weekday()],
        MONTHS[moment.month - 1],
        f"{moment:%H:%M:%S}",
    )
    return [
        f"{day[:3]}, {moment.day:02} {month} {moment.year:04} {clock} GMT",
        f"{day}, {moment.day:02}-{month}-{moment.year % 100:02} {clock} GMT",
        f"{day[:3]} {month} {moment.day:2} {clock} {moment.year:04}",
    ]


@settings(max_examples=25)
@given(
    moment=st.datetimes(
        datetime(1976, 12, 1), datetime(2076, 11, 1), timezones=st.just(UTC)
    )
)
def test_all_forms_of_a_date(zone: str, moment: datetime) -> None:
    """Each of the three forms of a date is the same wait, in any time zone; a date in
    the past is none.
    """
    moment = moment.replace(microsecond=0)
    for text in http_dates(moment):
        assert retry.parse_retry_after(text, NOW) == max(
            0.0, moment.timestamp() - NOW
        ), text
        assert (
            retry.parse_retry_after(f" \t{text} ", moment.timestamp() - 90.5) == 90.5
        ), text


@pytest.mark.parametrize(
    ("text", "date"),
    [
        (
            "Monday, 23-Nov-76 07:00:00 GMT",
            datetime(2076, 11, 23, 7, tzinfo=UTC),
        ),  # in 50 years
        (
            "Monday, 23-Nov-76 07:00:01 GMT",
            datetime(1976, 11, 23, 7, tzinfo=UTC),
        ),  # more than 50 years ahead
        ("Friday, 31-Dec-99 23:59:59 GMT", datetime(1999, 12, 31, tzinfo=UTC)),
        ("Friday, 01-Jan-27 00:00:00 GMT", datetime(2027, 1, 1, tzinfo=UTC)),
    ],
)
def test_year_of_two_digits(text: str, date: datetime) -> None:
    """A year of two digits that would be more than 50 years ahead is in the past (RFC
    9110, section 5.6.7).
    """
    assert retry.parse_retry_after(text, NOW) == max(0.0, date.timestamp() - NOW)


@given(seconds=st.integers(0, 10**400))
@example(seconds=10**5000)
def test_whole_seconds(seconds: int) -> None:
    """Whole seconds are what they say, however many; more than a float can hold are
    many.
    """
    text = "1" + "0" * 5000 if seconds >= 10**4000 else str(seconds)
    found = retry.parse_retry_after(text)
    assert found == (float(seconds) if seconds < 10**308 else sys.float_info.max)


@given(text=st.text() | st.lists(st.sampled_from(WORDS)).map("".join))
@example(text="Sun, 31 Feb 2027 08:49:37 GMT")
@example(text="Sun, 06 Nov 1994 24:00:00 GMT")
@example(text="Sun, 00 Nov 0000 08:49:37 GMT")
@example(text="Thu, 31 Dec 9999 23:59:60 GMT")
@example(text="Sun, 06 Nov ١٩٩٤ 08:49:37 GMT")
@example(text="-1")
@example(text="1.5")
@example(text="٣")
@example(text="")
def test_no_value_raises(text: str) -> None:
    """Whatever the header is, the answer is None or a number of seconds that is not
    negative.
    """
    found = retry.parse_retry_after(text)
    assert found is None or 0 <= found < math.inf


NO_RETRY_AFTER = [
    *["-1", "1.5.0", "+3", "1e3", "٣", "soon", "", "1 2", None, 5, b"5"],
    "Sun, 31 Feb 2027 08:49:37 GMT",
    "Mon, 23 Nov 2026 24:00:00 GMT",
    "Mon, 23 Nov 2026 07:60:00 GMT",
    "Mon, 23 Nov 2026 07:00:61 GMT",
    "Mon, 23 Nov 2026 07:00:00",
    "Mon, 23 Nov 2026 07:00:00 CET",
    "Mon, 00 Nov 2026 07:00:00 GMT",
    "Sun, 06 Nov 0000 08:49:37 GMT",
    "x Mon, 23 Nov 2026 07:00:00 GMT",
]


@pytest.mark.parametrize("text", NO_RETRY_AFTER, ids=repr)
def test_what_is_no_retry_after(text: Any) -> None:
    """What is neither seconds nor a date of RFC 9110 is None."""
    assert retry.parse_retry_after(text) is None


def test_leap_second() -> None:
    """The second 60 is one after the second 59 (RFC 9110, section 5.6.7)."""
    now = datetime(2016, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp()
    assert retry.parse_retry_after("Sat, 31 Dec 2016 23:59:60 GMT", now) == 1.0


# --- 06: the decorator ----------------------------------------------------------------


class Refusal(Exception):
    """A failure that asks for a wait."""

    def __init__(self, retry_after: Any = None) -> None:
        super().__init__()
        self.retry_after = retry_after


SECONDS = st.integers(0, 400).map(lambda quarters: quarters / 4)
ASKED = st.none() | SECONDS | st.sampled_from([-5.0, math.nan, math.inf, "5"])


@settings(max_examples=150)
@given(
    errors=st.lists(st.builds(Refusal, ASKED), max_size=8),
    max_retries=st.integers(0, 6),
    initial_delay=SECONDS,
    backoff_factor=st.floats(0, 1e6),
    max_delay=SECONDS,
    deadline=st.none() | st.floats(0, 300),
    jitter=st.booleans(),
    is_async=st.booleans(),
)
def test_waits(
    errors: list[Refusal], max_retries: int, is_async: bool, **options: Any
) -> None:
    """No wait is shorter than the server asked, or longer than max_delay, or ends after
    the deadline.
    """
    waits: list[float] = []
    failures = iter(errors)
    decorate = retry.retry_on_error(
        max_retries,
        exceptions=Refusal,
        sleep=waits.append,
        rng=random.Random(1),
        **options,
    )

    def plain() -> str:
        if error := next(failures, None):
            raise error
        return "done"

    async def slow() -> str:
        return plain()

    try:
        result: Any = asyncio.run(decorate(slow)()) if is_async else decorate(plain)()
    except Refusal as error:
        result = error
    calls = len(waits) + 1
    assert calls <= max_retries + 1
    assert result is (errors[calls - 1] if calls <= len(errors) else "done"), (
        "the last error itself, or the result"
    )
    for wait, error in zip(waits, errors, strict=False):
        asked = error.retry_after if isinstance(error.retry_after, float) else 0.0
        assert 0 <= wait <= options["max_delay"]
        assert not wait < asked
    if options["deadline"] is not None:
        assert sum(waits) <= options["deadline"] + 1e-9
    if (
        isinstance(result, Refusal)
        and calls <= max_retries
        and options["deadline"] is None
    ):
        assert result.retry_after > options["max_delay"], (
            "it gave up though there was a retry left"
        )


def test_backoff_without_jitter() -> None:
    """The waits are 1, 2, 4, …, capped; the fourth failure of three retries is raised
    without a wait.
    """
    waits: list[float] = []
    with pytest.raises(Refusal):
        retry.retry_on_error(3, exceptions=Refusal, jitter=False, sleep=waits.append)(
            fail
        )()
    assert waits == [1.0, 2.0, 4.0]
    waits.clear()
    with pytest.raises(Refusal):
        options = {
            "max_delay": 30.0,
            "exceptions": Refusal,
            "jitter": False,
            "sleep": waits.append,
        }
        retry.retry_on_error(2000, **options)(fail)()
    assert waits == [1.0, 2.0, 4.0, 8.0, 16.0] + [30.0] * 1995, (
        "no overflow after many retries"
    )


def test_deadline() -> None:
    """A wait that would end after the deadline is not begun; the time of a sleep that
    takes none is counted too.
    """
    waits: list[float] = []
    options = {"exceptions": Refusal, "jitter": False, "sleep": waits.append}
    for deadline, expected in ((2.5, [1.0]), (3.5, [1.0, 2.0]), (0.5, [])):
        waits.clear()
        with pytest.raises(Refusal):
            retry.retry_on_error(9, deadline=deadline, **options)(fail)()
        assert waits == expected, f"deadline={deadline}"


def test_deadline_counts_the_calls() -> None:
    """The seconds that the calls themselves take count against the deadline."""
    calls: list[float] = []

    def slow_failure() -> None:
        calls.append(time.monotonic())
        time.sleep(0.05)
        raise Refusal

    with pytest.raises(Refusal):
        retry.retry_on_error(9, 0.0, exceptions=Refusal, deadline=0.18)(slow_failure)()
    assert len(calls) <= 4


def fail() -> None:
    """Fail always."""
    raise Refusal


def test_full_jitter_spreads_evenly() -> None:
    """With jitter, a wait can be any part of the delay: a tenth of 1,000 waits falls
    into each tenth of it.
    """
    waits: list[float] = []
    options = {
        "exceptions": Refusal,
        "backoff_factor": 1.0,
        "sleep": waits.append,
        "rng": random.Random(2),
    }
    with pytest.raises(Refusal):
        retry.retry_on_error(1000, **options)(fail)()
    tenths = [
        sum(tenth <= wait * 10 < tenth + 1 for wait in waits) for tenth in range(10)
    ]
    assert min(tenths) > 60, tenths


def test_retries_are_not_chained() -> None:
    """The error of the last try is not shown as one that happened while another was
    handled.
    """
    with pytest.raises(Refusal) as caught:
        retry.retry_on_error(2, 0.0, exceptions=Refusal)(fail)()
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    "options",
    [
        {"max_retries": -1},
        {"initial_delay": -0.1},
        {"max_delay": math.nan},
        {"deadline": -1},
        {"backoff_factor": -2},
    ],
)
def test_numbers_below_zero(options: dict[str, Any]) -> None:
    """A setting below zero, or nan, is a ValueError before anything is called."""
    with pytest.raises(ValueError, match=next(iter(options))):
        retry.retry_on_error(**options)


@pytest.mark.parametrize(
    "decorate",
    [
        lambda: retry.retry_on_error(fail),
        lambda: retry.retry_on_error()(5),
        lambda: retry.retry_on_error(1.5),
        lambda: retry.retry_on_error(exceptions="ValueError"),
        lambda: retry.retry_on_error()(http_iterator),
    ],
)
def test_other_nonsense(decorate: Callable[[], Any]) -> None:
    """Forgotten parentheses, no function, half a retry, no class of errors, a
    generator: a TypeError at once.
    """
    with pytest.raises(TypeError):
        decorate()


def http_iterator() -> Iterator[str]:
    """Be a generator."""
    yield ""


# --- 07: event streams ----------------------------------------------------------------

DATA = [
    b"data: x",
    b"data:x",
    b"data:  x",
    b"data",
    b"data:",
    "data: 你好 👋\u2028".encode(),
    b"data: a:b",
]
OTHERS = [
    *[
        b"event: e",
        b"event",
        b"id: 7",
        b"id",
        b"id: \0",
        b"retry: 10",
        b"retry: 1x",
        "retry: ٣".encode(),
        b": note",
        b":",
    ],
    *[
        b"dat",
        b"Data: x",
        b"data : x",
        b" ",
        b"\x85",
        b"\x0b\x0c",
        b"\xef\xbb\xbfdata: x",
        b"\xef\xbb\xbf",
    ],
    *[b"data: \xff\xe4\xbd", b"data: \xf0\x9f", b"event: \xe4\xbd"],
]
LINES = st.one_of(
    st.sampled_from(DATA), st.just(b""), st.just(b""), st.sampled_from(OTHERS)
)
ENDS = st.sampled_from([b"\n", b"\n", b"\r", b"\r\n"])


def by_the_letter(stream: bytes) -> list[tuple[str, str, str, int | None]]:
    """Parse a whole stream as the WHATWG HTML standard, section 9.2.6, words it,
    without a thought of speed.
    """
    text = (
        stream.decode("utf-8", "replace")
        .removeprefix("\ufeff")
        .replace("\r\n", "\n")
        .replace("\r", "\n")
    )
    events, data, event, last_id, retry_time = [], "", "", "", None
    for line in text.split("\n")[:-1]:
        name, colon, value = line.partition(":")
        value = value[1:] if value.startswith(" ") else value
        if not line:
            if data:
                events.append(
                    (event or "message", data.removesuffix("\n"), last_id, retry_time)
                )
            data, event, retry_time = "", "", None
        elif colon and not name:
            continue
        elif name == "data":
            data += value + "\n"
        elif name == "event":
            event = value
        elif name == "id" and "\0" not in value:
            last_id = value
        elif name == "retry" and value and set(value) <= set("0123456789"):
            retry_time = int(value)
    return events


def as_tuples(chunks: list[bytes]) -> list[tuple[str, str, str, int | None]]:
    """Return what the solution makes of a stream in pieces."""
    return [
        (event.event, event.data, event.id, event.retry)
        for event in sse.iter_sse(chunks)
    ]


@settings(max_examples=250)
@given(
    lines=st.lists(
        st.tuples(LINES, ENDS, st.booleans()), max_size=16
    ),  # the last says whether a piece ends there
    start=st.sampled_from([b"", b"\xef\xbb\xbf"]),
    rest=LINES,
    cuts=st.lists(st.integers(0, 200), max_size=4),
)
@example(
    [(line, b"\n", False) for line in (b"retry: 10", b"data: x", b"", b"data: x", b"")],
    b"",
    b"",
    [],
)
@example(
    [(line, b"\n", False) for line in (b"id: 7", b"id: \0", b"data: x", b"")],
    b"",
    b"",
    [],
)
def test_any_split_gives_the_same_events(
    lines: list[tuple[bytes, bytes, bool]], start: bytes, rest: bytes, cuts: list[int]
) -> None:
    """Whole, byte by byte or cut anywhere, also into empty pieces, a stream has the
    events that the standard says.
    """
    pieces = [start]
    for line, end, is_last in lines:
        pieces[-1] += line + end
        pieces += [b""] * is_last
    pieces[-1] += rest
    stream = b"".join(pieces)
    expected = by_the_letter(stream)
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    assert as_tuples([stream]) == expected
    assert as_tuples(pieces) == expected
    assert as_tuples([bytes([byte]) for byte in stream]) == expected
    assert (
        as_tuples([stream[left:right] for left, right in itertools.pairwise(edges)])
        == expected
    )


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"], ids=["LF", "CR", "CRLF"])
def test_event_comes_with_its_blank_line(end: bytes) -> None:
    """An event is yielded as soon as its blank line is here, before the next byte is
    asked for.
    """
    asked: list[int] = []

    def chunks() -> Iterator[bytes]:
        for number in range(3):
            asked.append(number)
            yield b"data: %d" % number + end + end

    events = sse.iter_sse(chunks())
    for number in range(3):
        assert next(events).data == str(number)
        assert asked[-1] == number


def test_long_line_takes_linear_time() -> None:
    """A line that arrives in many small pieces is joined once: four times as long takes
    about four times as long.
    """

    def cost(pieces: int) -> float:
        start = time.process_time()
        [event] = sse.iter_sse([b"data: ", *[b"x" * 50] * pieces, b"\n\n"])
        assert len(event.data) == 50 * pieces
        return time.process_time() - start

    small, large = (
        min(cost(20_000) for _ in range(3)),
        min(cost(80_000) for _ in range(3)),
    )
    assert large < 12 * max(small, 0.001), "16 times as long would be quadratic"


# --- 03 to 07: what real servers send, design/field_reports.md ------------------------

KEY = "sk-not-a-real-key-000"
HELLO = [{"role": "user", "content": "Say hello"}]
ANSWER = "Hello! 你好! 👋"
STOPPED = "the model stopped working while it answered"
CHATS = ("03", "04", "05", "07")  # the exercises that send a chat request
# What each raises for an answer that is none.
FAILED = {
    "03": (ValueError, requests.HTTPError),
    "04": batching.CallError,
    "05": errors.APIError,
    "07": sse.StreamError,
}


@pytest.fixture
def keyed() -> Iterator[MockServer]:
    """A server that answers ANSWER, and accepts a key that no other text contains."""
    with MockServer(api_key=KEY) as server:
        server.on().reply(text=ANSWER)
        yield server


def ask(number: str, url: str, key: str = KEY) -> str:
    """Ask with the solution of this number; return the answer, or raise its error."""
    account = {"base_url": url, "api_key": key, "model": "mock-small"}
    if number == "03":
        with client.ChatClient(**account) as chat:
            return chat.ask("Say hello")
    if number == "04":
        [result] = asyncio.run(batching.ask_all(["Say hello"], **account))
        if isinstance(result, Exception):
            raise result
        return result
    if number == "05":
        headers = {"Authorization": f"Bearer {key}"}
        body = {"model": "mock-small", "messages": HELLO}
        response = errors.call(
            "POST", f"{url}/chat/completions", json=body, headers=headers
        )
        return response.json()["choices"][0]["message"]["content"]
    return "".join(sse.stream_chat(HELLO, **account))


@pytest.mark.parametrize("number", CHATS)
@pytest.mark.parametrize("shape", fault.SHAPES)
def test_error_inside_a_200(number: str, shape: str, keyed: MockServer) -> None:
    """An error inside a 200, in any shape, is a failure with the server's words."""
    keyed.script(fault.stream_error(shape=shape, done=True))
    with pytest.raises(FAILED[number]) as raised:
        ask(number, keyed.base_url)
    assert STOPPED in str(raised.value) or shape == "finish"
    if number == "05":
        assert type(raised.value) is errors.ServerError
    assert not isinstance(raised.value, sse.IncompleteStreamError)


def test_models_of_a_server_that_fails(keyed: MockServer) -> None:
    """An error in place of the list of models is a ValueError with its words."""
    keyed.script(fault.status(200, body={"error": "out of memory"}))
    with (
        client.ChatClient(KEY, keyed.base_url, "mock-small") as chat,
        pytest.raises(ValueError, match="out of memory"),
    ):
        chat.models()


PARTS = [
    {"type": "text", "text": "Hel"},
    {"type": "reasoning", "text": "Greet?"},
    {"type": "image_url", "image_url": {"url": "data:,"}},
    {"type": "text", "text": "lo"},
]


@pytest.mark.parametrize("number", ["03", "04", "07"])
def test_content_as_parts(number: str, keyed: MockServer) -> None:
    """Content as a list of parts is the text of its text parts, and no other."""
    keyed.script(fault.parts())
    assert ask(number, keyed.base_url) == ANSWER
    choice = {"index": 0, "finish_reason": "stop", "message": {"content": PARTS}}
    choice["delta"] = choice["message"]
    reply: Any = {"choices": [choice]}
    if number == "07":
        reply = f"data: {json.dumps(reply)}\n\n"
    keyed.script(
        fault.status(200, body=reply, headers=EVENTS if number == "07" else {})
    )
    assert ask(number, keyed.base_url) == "Hello"


@pytest.mark.parametrize("number", ["03", "04", "07"])
@pytest.mark.parametrize("content", [5, [5], [{"type": "text", "text": 5}]], ids=repr)
def test_content_that_is_no_text(number: str, content: Any, keyed: MockServer) -> None:
    """Content that is neither text nor parts is a failure, and no answer."""
    choice = {"message": {"content": content}, "delta": {"content": content}}
    reply: Any = {"choices": [choice]}
    if number == "07":
        reply = f"data: {json.dumps(reply)}\n\ndata: [DONE]\n\n"
    keyed.script(
        fault.status(200, body=reply, headers=EVENTS if number == "07" else {})
    )
    with pytest.raises(FAILED[number]):
        ask(number, keyed.base_url)


EVENTS = {"Content-Type": "text/event-stream"}
GOOD_ENDS = [
    *[fault.finish("eos_token"), fault.finish("STOP"), fault.finish(None)],
    *[fault.omit("finish_reason"), fault.omit("usage")],
]


@pytest.mark.parametrize("number", ["03", "04", "07"])
@pytest.mark.parametrize("end", GOOD_ENDS, ids=str)
def test_other_words_for_the_end(
    number: str, end: fault.Fault, keyed: MockServer
) -> None:
    """An answer is whole with another finish_reason, and without one or usage."""
    keyed.script(end)
    assert ask(number, keyed.base_url) == ANSWER


@pytest.mark.parametrize("number", ["03", "04"])
@pytest.mark.parametrize("reason", ["length", "content_filter", "error"])
def test_half_an_answer(number: str, reason: str, keyed: MockServer) -> None:
    """A finish_reason that means half an answer is a failure that names it."""
    keyed.script(fault.finish(reason))
    with pytest.raises(FAILED[number], match=reason):
        ask(number, keyed.base_url)


@pytest.mark.parametrize("number", ["03", "04", "07"])
def test_null_as_content(number: str, keyed: MockServer) -> None:
    """Null is "" in a conversation and in a stream, and a failure in a batch."""
    keyed.script(fault.no_content())
    if number == "04":
        with pytest.raises(batching.CallError):
            ask(number, keyed.base_url)
    else:
        assert ask(number, keyed.base_url) == ""


@pytest.mark.parametrize("number", ["03", "04", "05"])
@pytest.mark.parametrize("kind", ["text/plain", "application/json; charset=ISO-8859-1"])
def test_json_is_utf_8(number: str, kind: str, keyed: MockServer) -> None:
    """JSON is read as UTF-8, whatever the header says."""
    keyed.script(fault.content_type(kind))
    assert ask(number, keyed.base_url) == ANSWER
    body = {"error": {"message": "请稍候"}}
    keyed.script(fault.status(400, body=body) + fault.content_type(kind))
    with pytest.raises(FAILED[number], match="请稍候"):
        ask(number, keyed.base_url)


@pytest.mark.parametrize("number", CHATS)
@pytest.mark.parametrize("code", [302, 307, 308])
def test_redirect_is_not_followed(
    number: str, code: int, keyed: MockServer, server: MockServer
) -> None:
    """A redirect is an error that names its host, and that host sees nothing."""
    place = f"{server.url}/v1/chat/completions"
    keyed.script(fault.status(code, headers={"Location": place}))
    with pytest.raises(FAILED[number], match=f"{code}.*redirected to 127.0.0.1"):
        ask(number, keyed.base_url)
    assert (len(keyed.records), server.records) == (1, [])


@pytest.mark.parametrize("number", CHATS)
@pytest.mark.parametrize("place", ["http://[", "/v1/elsewhere", ""])
def test_odd_redirects(number: str, place: str, keyed: MockServer) -> None:
    """A redirect without a host, or to what is no address, is a failure too."""
    keyed.script(fault.status(302, headers={"Location": place}))
    # requests reads the address even if it is not to follow it, and says "Invalid …".
    with pytest.raises(FAILED[number], match=r"302|Invalid"):
        ask(number, keyed.base_url)
    assert len(keyed.records) == 1


@pytest.mark.parametrize("number", CHATS)
def test_netrc_does_not_replace_the_key(
    number: str, keyed: MockServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A default login in ~/.netrc is not sent in the place of the key."""
    file = tmp_path / "netrc"
    file.write_text("default login ada password secret\n", encoding="utf-8")
    monkeypatch.setenv("NETRC", str(file))
    assert ask(number, keyed.base_url) == ANSWER


@pytest.mark.parametrize("number", CHATS)
@pytest.mark.parametrize(
    "trouble",
    [fault.drop("rst"), fault.garbage(), fault.status(401), fault.cut(after_bytes=9)],
    ids=str,
)
def test_errors_do_not_show_the_key(
    number: str, trouble: fault.Fault, keyed: MockServer
) -> None:
    """Neither an error nor what it was made of has the key in its text or repr."""
    keyed.script(trouble)
    with pytest.raises(Exception) as raised:
        ask(number, keyed.base_url)
    assert KEY not in all_said(raised.value)


@pytest.mark.parametrize("number", ["03", "04", "07"])
@pytest.mark.parametrize("end", ["\nx", " x", "é", "\x7f"], ids=repr)
def test_impossible_keys(
    number: str, end: str, keyed: MockServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be a key is refused without a request, and is not quoted.

    A key from the environment is treated as one that was passed.
    """
    monkeypatch.setenv("OPENAI_API_KEY", KEY + end)
    for key in (KEY + end, ""):
        with pytest.raises(ValueError, match="key") as raised:
            ask(number, keyed.base_url, key)
        assert KEY not in all_said(raised.value)
    assert keyed.records == []


@pytest.mark.parametrize("end", ["\nx", "键"], ids=repr)
def test_impossible_headers(end: str, keyed: MockServer) -> None:
    """A header that cannot be sent is a BadRequestError, which does not quote it."""
    with pytest.raises(errors.BadRequestError) as raised:
        ask("05", keyed.base_url, KEY + end)
    assert KEY not in all_said(raised.value)
    assert keyed.records == []


@pytest.mark.parametrize("number", ["03", "04", "07"])
def test_spaces_around_settings(
    number: str, keyed: MockServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Key and address are used without the spaces that were copied with them."""
    assert ask(number, f" {keyed.base_url}/\n", f" {KEY}\n") == ANSWER
    monkeypatch.setenv("OPENAI_BASE_URL", f" {keyed.base_url}/\n")
    monkeypatch.setenv("OPENAI_API_KEY", f" {KEY}\n")
    assert ask(number, "", "") == ANSWER


# --- 05: error bodies, statuses, certificates, Retry-After ----------------------------

BODIES = [
    {"error": {"message": "Too long."}},
    {"error": {"message": "Too long.", "code": None, "type": None}},
    {"error": "Too long."},
    {"message": "Too long."},
    {"detail": "Too long."},
    {"detail": [{"loc": ["body"], "msg": "Too long."}]},
    {"errors": [{"message": "Too long."}]},
    [{"error": {"message": "Too long."}}],
    "Too long.",
]


@pytest.mark.parametrize("code", [400, 401, 404, 429, 503])
@pytest.mark.parametrize("body", BODIES, ids=str)
def test_words_of_any_error_body(code: int, body: Any, keyed: MockServer) -> None:
    """The server's words are kept, in whatever shape its error body is."""
    keyed.script(fault.status(code, body=body))
    with pytest.raises(errors.APIError, match=r"Too long\.") as raised:
        ask("05", keyed.base_url)
    assert (raised.value.status, raised.value.code) == (code, None)


@pytest.mark.parametrize("body", [None, [], {}, 5, {"error": None}, "[" * 100_000])
def test_error_bodies_without_words(body: Any, keyed: MockServer) -> None:
    """A body that explains nothing is shown as it is."""
    text = body if isinstance(body, str) else json.dumps(body)
    keyed.script(fault.status(500, body=text))
    with pytest.raises(errors.ServerError) as raised:
        ask("05", keyed.base_url)
    assert text[:50] in str(raised.value)


def test_quota_by_its_type(keyed: MockServer) -> None:
    """A 429 whose error has the type insufficient_quota is no matter of waiting."""
    body = {"error": {"message": "Pay.", "type": "insufficient_quota", "code": 429}}
    keyed.script(fault.status(429, body=body))
    with pytest.raises(errors.QuotaExceededError) as raised:
        ask("05", keyed.base_url)
    assert raised.value.code == "429"


@pytest.mark.parametrize("code", [600, 999])
def test_statuses_that_http_does_not_know(code: int, keyed: MockServer) -> None:
    """A status outside of 100 to 599 is an InvalidResponseError."""
    keyed.script(fault.status(code))
    with pytest.raises(errors.InvalidResponseError):
        ask("05", keyed.base_url)


def test_body_that_breaks_off_late(keyed: MockServer) -> None:
    """With stream=True, the body is read late, and what breaks then is an APIError."""
    keyed.script(fault.cut(after_bytes=9))
    with pytest.raises(errors.APIConnectionError):
        errors.call("GET", keyed.url + "/get", stream=True)


def test_certificates_are_not_retried() -> None:
    """A server that cannot prove who it is, is not asked again, in 05 and in 06."""
    calls: list[str] = []

    @retry.retry_on_error(2, 0.0)
    def get_twice(library: Any) -> None:
        calls.append(library.__name__)
        library.get(url, timeout=5)

    with unknown_certificate() as url:
        with pytest.raises(errors.APIConnectionError) as raised:
            errors.call("GET", url)
        assert not errors.is_retryable(raised.value)
        for library in (requests, httpx):
            with pytest.raises((requests.ConnectionError, httpx.ConnectError)):
                get_twice(library)
    assert calls == ["requests", "httpx"]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1.5", 1.5), ("0.0", 0), ("7", 7), ("1.", None), ("-1.5", None), ("1e3", None)],
)
def test_fractions_in_retry_after(
    text: str, seconds: float | None, keyed: MockServer
) -> None:
    """Fractions of a second are read in 05, though the standard has none.

    In 06, the exercise asks for None.
    """
    keyed.script(fault.status(503, retry_after=text))
    with pytest.raises(errors.ServerError) as raised:
        ask("05", keyed.base_url)
    assert raised.value.retry_after == seconds


ZONE_HOURS = {"GMT": 0, "+0000": 0, "+0200": 2, "-0930": -9.5}


@pytest.mark.parametrize("zone", ZONE_HOURS)
def test_zones_in_retry_after(zone: str, keyed: MockServer) -> None:
    """A date with a numeric zone is that moment, in 05 and in 06."""
    hours = ZONE_HOURS[zone]
    text = f"Mon, 23 Nov 2026 07:00:00 {zone}"
    assert retry.parse_retry_after(text, NOW - 86_400) == 86_400 - 3600 * hours
    keyed.script(fault.status(503, retry_after=text.replace("2026", "2093")))
    with pytest.raises(errors.ServerError) as raised:
        ask("05", keyed.base_url)
    wanted = datetime(2093, 11, 23, 7, tzinfo=UTC).timestamp() - 3600 * hours
    assert abs(raised.value.retry_after - wanted + time.time()) < 60


# --- 06 and 08: what returns an awaitable ---------------------------------------------


async def slow(calls: list[float]) -> str:
    """Fail twice, then answer."""
    calls.append(time.monotonic())
    await asyncio.sleep(0)
    if len(calls) < 3:
        raise ConnectionError
    return "done"


class Caller:
    """An object that is called as an `async def` is."""

    async def __call__(self, calls: list[float]) -> str:
        return await slow(calls)


@functools.wraps(slow)
def around(calls: list[float]) -> Any:
    """Stand around an `async def`, as the methods of AsyncOpenAI do."""
    return slow(calls)


AWAITABLES = {
    "async def": slow,
    "partial": functools.partial(slow),
    "lambda": lambda calls: slow(calls),
    "future": lambda calls: asyncio.ensure_future(slow(calls)),
    "object": Caller(),
    "wrapper": around,
}


@pytest.mark.parametrize("name", AWAITABLES)
def test_awaitables_are_retried(name: str) -> None:
    """What returns an awaitable is repeated while it is awaited."""

    async def main() -> str:
        return await retry.retry_on_error(2, 0.0)(AWAITABLES[name])(calls)

    calls: list[float] = []
    assert asyncio.run(main()) == "done"
    assert len(calls) == 3


@pytest.mark.parametrize("name", AWAITABLES)
def test_limit_of_awaitables_does_not_block(name: str) -> None:
    """The limiter waits for what returns an awaitable without blocking the loop."""

    def block(seconds: float) -> None:
        raise AssertionError("the event loop is blocked")

    async def main() -> list[float]:
        limit = limiter.RateLimiter(1, 0.05, sleep=block)
        limited, calls = limit(AWAITABLES[name]), [0.0, 0.0]
        for _ in range(3):
            assert await limited(calls) == "done"
        return calls[2:]

    starts = asyncio.run(main())
    assert min(b - a for a, b in itertools.pairwise(starts)) > 0.04


@pytest.mark.parametrize("name", ["async def", "partial", "object"])
def test_first_call_does_not_block(name: str) -> None:
    """Where it shows before the first call that it is async, not even that blocks."""

    def block(seconds: float) -> None:
        raise AssertionError("the event loop is blocked")

    async def main() -> str:
        limit = limiter.RateLimiter(1, 0.05, sleep=block)
        limit.acquire()
        return await limit(AWAITABLES[name])([0.0, 0.0])

    assert asyncio.run(main()) == "done"


def test_wrapper_that_runs_an_async_def() -> None:
    """A plain function around an `async def` that it runs itself stays plain."""

    @limiter.RateLimiter(9, 1.0)
    @retry.retry_on_error(2, 0.0)
    @functools.wraps(slow)
    def run(calls: list[float]) -> str:
        return asyncio.run(slow(calls))

    assert run([0.0, 0.0]) == "done"


async def async_iterator() -> Any:
    """Be an async generator."""
    yield ""


@pytest.mark.parametrize(
    "decorate", [retry.retry_on_error(), limiter.RateLimiter(9, 1.0)]
)
def test_generators_are_refused(decorate: Any) -> None:
    """A generator works while it is read: it is refused, and the error says why."""
    for generator in (http_iterator, async_iterator, functools.partial(http_iterator)):
        with pytest.raises(TypeError, match="while it is read"):
            decorate(generator)


@pytest.mark.parametrize("kinds", ["x", [ValueError], None, (ValueError, "x"), 5])
def test_exceptions_without_sense(kinds: Any) -> None:
    """What is neither a class of errors nor a tuple of them is a TypeError at once."""
    with pytest.raises(TypeError, match="exceptions"):
        retry.retry_on_error(exceptions=kinds)


# --- 07: other streams ----------------------------------------------------------------


@pytest.mark.parametrize(
    "habit",
    [
        fault.blank_data(),
        fault.content_type(None),
        fault.content_type(None) + fault.slice(1),
        fault.content_type(None) + fault.comments(),
    ],
    ids=str,
)
def test_habits_of_streams(habit: fault.Fault, keyed: MockServer) -> None:
    """Empty data events are skipped, and no Content-Type is needed."""
    keyed.script(habit)
    assert ask("07", keyed.base_url) == ANSWER


NO_ANSWERS = {
    "only [DONE]": fault.only_done(),
    "only [DONE] and blanks": fault.only_done() + fault.blank_data(),
    "no choices": fault.omit("choices") + fault.omit("usage"),
    "a page without a type": fault.html(200) + fault.content_type(None),
    "half a choice": fault.status(
        200, body='data: {"choices": [5]}\n\n', headers=EVENTS
    ),
}


@pytest.mark.parametrize("name", NO_ANSWERS)
def test_streams_without_an_answer(name: str, keyed: MockServer) -> None:
    """What holds no choice at all, or what nobody knows, is no answer."""
    keyed.script(NO_ANSWERS[name])
    with pytest.raises(sse.StreamError):
        ask("07", keyed.base_url)


def test_chunk_that_nobody_knows(keyed: MockServer) -> None:
    """An event that is neither a choice nor a note is suspect, even before [DONE]."""
    good = json.dumps({"choices": [{"delta": {"content": "x"}}]})
    events = [good, '{"status": 5}', "[DONE]"]
    body = "".join(f"data: {event}\n\n" for event in events)
    keyed.script(fault.status(200, body=body, headers=EVENTS))
    with pytest.raises(sse.StreamError, match="neither") as raised:
        ask("07", keyed.base_url)
    assert raised.value.partial == "x"


# --- signatures -----------------------------------------------------------------------

SHARED = {
    "robust_client.replies": (retry, ["parse_retry_after"]),
    "robust_client.retry": (retry, ["retry_on_error"]),
    "robust_client.sse": (sse, ["ServerSentEvent", "iter_sse"]),
    "robust_client.stream": (sse, ["StreamError", "IncompleteStreamError"]),
    "robust_client.errors": (
        errors,
        [
            *["APIError", "AuthenticationError", "PermissionDeniedError"],
            *["BadRequestError", "NotFoundError", "RateLimitError"],
            *["QuotaExceededError", "ServerError", "APIConnectionError"],
            *["APITimeoutError", "InvalidResponseError"],
        ],
    ),
}
LIMITER = ["__init__", "acquire", "acquire_async", "__call__"]


def parameters(function: Any) -> list[tuple[str, Any, Any]]:
    """Return name, kind and default of each parameter; exceptions may differ."""
    return [
        (one.name, one.kind, one.name == "exceptions" or one.default)
        for one in inspect.signature(function).parameters.values()
    ]


@pytest.mark.parametrize("name", SHARED)
def test_package_and_exercise_agree(name: str) -> None:
    """What an exercise and the package both have, has one signature and one place."""
    package = importlib.import_module(name)
    solution, names = SHARED[name]
    stub = load(ROOT / "lessons" / "exercises" / Path(solution.__file__).name)
    for one in names:
        ours, theirs = getattr(package, one), getattr(stub, one)
        assert parameters(ours) == parameters(theirs), one
        if isinstance(ours, type):
            trees = [
                [base.__name__ for base in kind.__mro__] for kind in (ours, theirs)
            ]
            assert trees[0] == trees[1], one


def test_limiters_agree() -> None:
    """The limiter of the exercise and that of the package are used in the same way; n,
    which is further, is the learner's to write.
    """
    stub = load(ROOT / "lessons" / "exercises" / "08_rate_limiter.py").RateLimiter
    for name in LIMITER:
        ours, theirs = getattr(limits.RateLimiter, name), getattr(stub, name)
        further = [one for one in parameters(theirs) if one[0] == "n"]
        assert parameters(ours) + further == parameters(theirs), name


# --- 08: the rate limiter -------------------------------------------------------------

PERIODS = st.sampled_from([0.125, 0.5, 1.0, 60.0])
GAPS = st.lists(
    st.integers(0, 40).map(lambda eighths: eighths / 8), min_size=1, max_size=40
)


class FakeClock:
    """A clock that runs only while somebody sleeps."""

    def __init__(self) -> None:
        self.real = 1000.0

    def __call__(self) -> float:
        return self.real

    def sleep(self, seconds: float) -> None:
        """Let seconds pass."""
        assert seconds > 0
        self.real += seconds


def assert_windows(starts: list[float], max_calls: int, period: float) -> None:
    """Fail if any window [t, t + period) has more than max_calls starts."""
    for earlier, later in zip(starts, starts[max_calls:], strict=False):
        assert earlier + period <= later, (
            f"{max_calls + 1} starts in {later - earlier} s"
        )


@given(max_calls=st.integers(1, 5), period=PERIODS, gaps=GAPS)
def test_each_start_is_the_earliest_allowed(
    max_calls: int, period: float, gaps: list[float]
) -> None:
    """A call starts when it arrives or, if that is later, exactly a period after the
    start max_calls before it.
    """
    clock = FakeClock()
    limit = limiter.RateLimiter(max_calls, period, clock=clock, sleep=clock.sleep)
    starts: list[float] = []
    for gap in gaps:
        clock.real += gap
        earliest = (
            max(clock.real, starts[-max_calls] + period)
            if len(starts) >= max_calls
            else clock.real
        )
        limit.acquire()
        assert clock.real == earliest
        starts.append(clock.real)
    assert_windows(starts, max_calls, period)


class VirtualTime(selectors.SelectSelector):
    """Lets an event loop jump to its next timer: no time passes but what somebody waits
    for.
    """

    TICK = 2.0**-14  # seconds that a round of the loop takes

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0

    def select(self, timeout: float | None = None) -> list:
        """Return at once, and let timeout seconds pass on the clock."""
        self.now += max(timeout or 0.0, self.TICK)
        return super().select(0)


def run_virtually(main: Callable[[Callable[[], float]], Any]) -> None:
    """Run a coroutine function of a clock on an event loop with that clock."""
    selector = VirtualTime()
    loop = asyncio.SelectorEventLoop(selector)
    loop.time = lambda: selector.now
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(main(loop.time))


# Visitors: when each arrives after the one before, and when it is cancelled after that,
# in eighths of a second.
@given(
    max_calls=st.integers(1, 4),
    visitors=st.lists(
        st.tuples(st.integers(0, 12), st.none() | st.integers(0, 12)),
        min_size=1,
        max_size=24,
    ),
)
def test_async_starts_in_order_whoever_gives_up(
    max_calls: int, visitors: list[tuple[int, int | None]]
) -> None:
    """Who is not cancelled starts in the order of arrival, and as early as if who is
    cancelled had never come.
    """
    period = 1.0
    slack = 0.01  # a few rounds of the loop, each of which takes a tick
    started: dict[int, float] = {}
    arrived: dict[int, float] = {}
    cancelled: dict[int, float] = {}

    async def main(clock: Callable[[], float]) -> None:
        limit = limiter.RateLimiter(max_calls, period, clock=clock)

        async def visit(number: int) -> None:
            arrived[number] = clock()
            await limit.acquire_async()
            started[number] = clock()

        async def give_up(number: int, task: asyncio.Task, after: float) -> None:
            await asyncio.sleep(after)
            if task.cancel():
                cancelled[number] = clock()

        tasks = []
        for number, (gap, patience) in enumerate(visitors):
            await asyncio.sleep(gap / 8)
            tasks.append(asyncio.create_task(visit(number)))
            if patience is not None:
                tasks.append(
                    asyncio.create_task(give_up(number, tasks[-1], patience / 8 + 0.05))
                )
        await asyncio.gather(*tasks, return_exceptions=True)
        await limit.acquire_async()  # and nobody is left in the line

    run_virtually(main)
    assert sorted(started) == list(started), "first come, first served"
    assert set(started) | set(cancelled) == set(range(len(visitors)))
    order = [started[number] for number in started]
    recent: deque[float] = deque(maxlen=max_calls)
    for number, start in started.items():
        due = recent[0] + period if len(recent) == max_calls else 0.0
        ahead = max(
            (started[other] for other in started if other < number), default=0.0
        )
        assert start <= max(arrived[number], due, ahead) + slack, (
            "it waited longer than it had to"
        )
        recent.append(start)
    for earlier, later in zip(order, order[max_calls:], strict=False):
        assert earlier + period <= later + 2 * VirtualTime.TICK


def test_threads_and_tasks_share_one_limit() -> None:
    """Six threads and two event loops keep one limit together, and use all of it."""
    max_calls, period, wanted = 50, 0.1, 250
    readings = threading.local()
    starts: list[float] = []

    def clock() -> float:
        readings.last = time.monotonic()
        return readings.last

    limit = limiter.RateLimiter(max_calls, period, clock=clock)

    def work() -> None:
        while len(starts) < wanted:
            limit.acquire()
            starts.append(
                readings.last
            )  # what the limiter read when it let this call go

    async def visit() -> None:
        while len(starts) < wanted:
            await limit.acquire_async()
            starts.append(readings.last)

    async def visits() -> None:
        await asyncio.gather(*(visit() for _ in range(3)))

    interval = sys.getswitchinterval()
    sys.setswitchinterval(
        1e-5
    )  # seconds: threads take turns often, so that a missing lock shows
    try:
        with ThreadPoolExecutor(8) as pool:
            workers = [pool.submit(work) for _ in range(6)]
            workers += [pool.submit(asyncio.run, visits()) for _ in range(2)]
        for worker in workers:
            worker.result()
    finally:
        sys.setswitchinterval(interval)
    starts.sort()
    assert_windows(starts, max_calls, period)
    assert starts[wanted - 1] - starts[0] < (wanted / max_calls - 1) * period + 0.3, (
        "it lets too few calls go"
    )


def test_event_loop_is_not_blocked() -> None:
    """While tasks wait for a start, others on the loop go on."""

    async def main() -> int:
        limit = limiter.RateLimiter(1, 0.2)
        waiting = asyncio.gather(*(limit.acquire_async() for _ in range(2)))
        beats = 0
        while not waiting.done():
            await asyncio.sleep(0.01)
            beats += 1
        return beats

    assert asyncio.run(main()) >= 5


def test_interrupted_thread_leaves_the_line() -> None:
    """An error while waiting, such as Ctrl-C, frees the place for whoever is behind."""
    clock = FakeClock()

    def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    limit = limiter.RateLimiter(1, 1.0, clock=clock, sleep=interrupted)
    limit.acquire()
    with pytest.raises(KeyboardInterrupt):
        limit.acquire()
    clock.real += 1.0
    limit.acquire()


def test_nobody_passes_the_line() -> None:
    """Who comes when a start has become free, but somebody still sleeps for it, stands
    behind.
    """
    clock, sleeping, gate = FakeClock(), threading.Event(), threading.Event()

    def sleep(seconds: float) -> None:
        sleeping.set()
        assert gate.wait(5)
        clock.real += seconds

    limit = limiter.RateLimiter(1, 1.0, clock=clock, sleep=sleep)
    order: list[str] = []

    def visit(name: str) -> None:
        limit.acquire()
        order.append(name)

    limit.acquire()
    first = threading.Thread(target=visit, args=("first",))
    second = threading.Thread(target=visit, args=("second",))
    first.start()
    assert sleeping.wait(5)
    clock.real += 1.0
    second.start()
    second.join(0.05)
    assert order == [], "somebody has passed the line"
    gate.set()
    first.join(5)
    second.join(5)
    assert order == ["first", "second"]


def test_closed_event_loop_holds_nobody_up() -> None:
    """A task that waits on an event loop which was closed under it does not keep the
    others from their starts.
    """
    clock = FakeClock()
    gate = threading.Event()

    def sleep(seconds: float) -> None:
        assert gate.wait(5)
        clock.real += seconds

    limit = limiter.RateLimiter(1, 1.0, clock=clock, sleep=sleep)
    limit.acquire()
    first = threading.Thread(target=limit.acquire)
    first.start()
    loop = asyncio.new_event_loop()
    task = loop.create_task(limit.acquire_async())
    loop.run_until_complete(asyncio.sleep(0.05, task))
    loop.close()
    last = threading.Thread(target=limit.acquire, daemon=True)
    last.start()
    gate.set()
    first.join(5)
    last.join(5)
    assert not last.is_alive()
    assert not task.done()
    task.get_coro().close()
    task._log_destroy_pending = False  # it is what this test is about


def test_loop_closed_with_tasks_in_line() -> None:
    """Tasks that waited when their loop was closed do not keep the next one waiting."""
    clock = FakeClock()
    limit = limiter.RateLimiter(1, 1.0, clock=clock, sleep=clock.sleep)
    limit.acquire()
    loop = asyncio.new_event_loop()
    tasks = [loop.create_task(limit.acquire_async()) for _ in range(2)]
    loop.run_until_complete(asyncio.sleep(0.01))
    loop.close()
    last = threading.Thread(target=limit.acquire, daemon=True)
    last.start()
    last.join(5)
    assert not last.is_alive()
    for task in tasks:
        task.get_coro().close()
        task._log_destroy_pending = False  # it is what this test is about


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no os.fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_fork_with_a_thread_in_line() -> None:
    """A process that is forked while a thread waits has a line of its own."""
    sleeping, gate = threading.Event(), threading.Event()

    def sleep(seconds: float) -> None:
        sleeping.set()
        gate.wait(5)
        clock.real += seconds

    clock = FakeClock()
    limit = limiter.RateLimiter(1, 1.0, clock=clock, sleep=sleep)
    limit.acquire()
    thread = threading.Thread(target=limit.acquire)
    thread.start()
    assert sleeping.wait(5)
    child = os.fork()
    if child == 0:
        signal.alarm(5)  # seconds: ends a child that hangs
        clock.real += 1.0
        limit.acquire()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0, "the child hung"
    gate.set()
    thread.join(5)


@pytest.mark.parametrize(
    ("max_calls", "period"),
    [(0, 1), (-1, 1), (2.5, 1), (1, 0), (1, -1), (1, math.nan), (1, math.inf)],
)
def test_limit_without_sense(max_calls: Any, period: float) -> None:
    """Fewer than one call, half a call, or no period is a ValueError."""
    with pytest.raises(ValueError, match=r"max_calls|period"):
        limiter.RateLimiter(max_calls, period)


def test_decorator_keeps_the_function() -> None:
    """A limited function or `async def` keeps name, docstring, kind and result; what is
    neither is refused.
    """
    limit = limiter.RateLimiter(10, 1.0)

    @limit
    def plain(value: int) -> int:
        """Plain."""
        return value

    @limit
    async def slow(value: int) -> int:
        """Slow."""
        return value

    assert (plain(1), plain.__name__, plain.__doc__) == (1, "plain", "Plain.")
    assert (asyncio.run(slow(2)), slow.__name__, slow.__doc__) == (2, "slow", "Slow.")

    async def generator() -> Any:
        yield 1

    for neither in (generator, 3):
        with pytest.raises(TypeError):
            limit(neither)


# --- 09 -------------------------------------------------------------------------------


def run_batch(server: MockServer, store: Path) -> Any:
    """Return what the reference makes of three jobs, one at a time."""
    providers = [batch.Provider(server.base_url, server.api_key, "mock-small", 400)] * 2
    limits = {"budget": 1000, "max_concurrency": 1, "rate": 100}
    jobs = {"a": "What is HTTP?", "b": "What is an API?", "c": "Say hello"}
    return asyncio.run(batch.run_batch(jobs, str(store), providers=providers, **limits))


def test_store_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer that cannot be kept ends the batch: nothing more is paid for."""

    def fail(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(batch.Store, "keep", fail)
    with MockServer() as server:
        with pytest.raises(sqlite3.OperationalError, match="disk is full"):
            run_batch(server, tmp_path / "jobs.db")
        assert len(server.records) == 1


def test_answer_without_a_text(tmp_path: Path) -> None:
    """Null in the place of the text, or half of a text, is a failure and not kept."""
    with MockServer() as server:
        server.script(fault.no_content(), fault.finish("length"))
        first = run_batch(server, tmp_path / "jobs.db")
        assert [type(one) for one in first.values()] == [ValueError, ValueError, str]
        assert all(
            isinstance(one, str)
            for one in run_batch(server, tmp_path / "jobs.db").values()
        )


def test_rate_limit_without_an_end(tmp_path: Path) -> None:
    """A job is given up after the fourth 429, and the next one is tried."""
    with MockServer() as server:
        server.script(*[fault.status(429, retry_after="0")] * 4)
        results = run_batch(server, tmp_path / "jobs.db")
        assert (
            isinstance(results["a"], batch.RateLimitError) and len(server.records) == 6
        )
