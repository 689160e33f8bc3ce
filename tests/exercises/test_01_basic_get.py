"""Exercise 01: a GET that checks what it got, and all pages of a long result."""

import inspect
from collections import Counter
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl

import pytest
import requests
from mock_server import MockServer, fault

from lessons.course.results import clip
from tests.grader.diagnosis import NotRight, one_line
from tests.grader.steps import call, expect, expect_raises, log
from tests.grader.waiting import waits_for_ever


def seen(server: MockServer) -> str:
    """Return in a few words what the server was asked for."""
    return f"{len(server.records)} requests: " + ", ".join(
        record.request for record in server.records[:4]
    )


def asked(server: MockServer, number: int) -> dict[str, str]:
    """Return the parameters of a request, from 0, as the server read them."""
    return dict(parse_qsl(server.records[number].query))


def is_timeout(error: Exception) -> bool:
    """Say whether an error is a timeout of any library, or about one, as in urllib."""
    errors = (error, getattr(error, "reason", None))
    return any("Timeout" in cls.__name__ for one in errors for cls in type(one).__mro__)


def page(items: Any, following: str = "", name: str = "Link") -> Any:
    """Return a reply with a page, and with the address of the next one if there is."""
    headers = {name: f'<{following}>; rel="next"'} if following else {}
    return fault.status(200, body=items, headers=headers)


# --- get_json ---


@pytest.mark.points(1, hint="no-json")
@pytest.mark.limit(10)  # for a busy machine
def test_json_body(answer, server):
    """The body of any 2xx comes back as Python values, with or without a charset in the
    Content-Type.
    """
    wanted = {"login": "n-4711", "repos": [1, None, "中文"]}
    with_charset = {"Content-Type": "application/json; charset=utf-8"}
    for code, headers in ((200, {}), (203, with_charset)):
        server.script(fault.status(code, body=wanted, headers=headers))
        value = call(answer, "get_json", server.url + "/users/python")
        expect(
            value == wanted,
            expected="the JSON body as Python values: {'login': 'n-4711', 'repos': "
            "[1, None, '中文']}",
        )
    for text, wanted in (("[]", []), ("0", 0), ("null", None)):
        server.script(
            fault.status(200, body=text, headers={"Content-Type": "application/json"})
        )
        value = call(answer, "get_json", server.url + "/users/python")
        expect(
            value == wanted,
            saw=f"{value!r}",
            expected=f"{wanted!r}: {text} is JSON too",
        )


@pytest.mark.points(1, hint="params")
def test_params(answer, server):
    """Parameters arrive as they were given, with &, spaces and Chinese in them."""
    params = {"q": "R&D 中文", "per_page": 1}
    call(answer, "get_json", server.url + "/search/repositories", params=params)
    expect(
        asked(server, 0) == {"q": "R&D 中文", "per_page": "1"},
        saw=f"the server understood {asked(server, 0)}",
        expected="q is 'R&D 中文' and per_page is '1': each value encoded by itself",
    )


@pytest.mark.points(1, hint="status-first")
@pytest.mark.limit(10)  # for a busy machine
def test_error_status(answer, server):
    """A 4xx or 5xx is an HTTPError, even if its body is good JSON."""
    for code in (404, 400, 500, 599):
        # Every time: an answer may ask again after a 5xx.
        server.on(path="/users/python").reply(fault.status(code))
        with expect_raises(answer, requests.HTTPError):
            call(answer, "get_json", server.url + "/users/python")


@pytest.mark.points(1, hint="status-first")
def test_html_page_with_502(answer, server):
    """A 502 with an HTML page is an HTTPError, not an error about JSON."""
    server.on(path="/users/python").reply(fault.html(502))
    with expect_raises(answer, requests.HTTPError):
        call(answer, "get_json", server.url + "/users/python")


@pytest.mark.points(1, hint="no-json")
def test_html_page_with_200(answer, server):
    """A 200 with an HTML page is a ValueError that names the content type and shows how
    the page begins.
    """
    server.script(fault.html(200))
    with expect_raises(answer, ValueError) as caught:
        call(answer, "get_json", server.url + "/users/python")
    shows(caught.value, "text/html", "<html")


@pytest.mark.points(1, hint="no-json")
def test_damaged_json(answer, server):
    """Half a JSON document, nothing at all, or a long text is a ValueError too,
    whatever the Content-Type promises.
    """
    server.script(fault.bad_json())
    with expect_raises(answer, ValueError) as caught:
        call(answer, "get_json", server.url + "/users/python")
    shows(caught.value, "application/json", '{"login":')
    nothing = fault.status(200, body="", headers={"Content-Type": "application/json"})
    server.script(nothing)
    with expect_raises(
        answer, ValueError, expected="ValueError: an empty body isn't JSON"
    ) as caught:
        call(answer, "get_json", server.url + "/users/python")
    shows(caught.value, "application/json", "")
    server.script(fault.status(200, body="page-8123 " + "and so on, " * 2000))
    with expect_raises(answer, ValueError) as caught:
        call(answer, "get_json", server.url + "/users/python")
    shows(caught.value, "text/plain", "page-8123")
    length = len(str(caught.value))
    expect(
        length < 5000,
        saw=f"a message of {length} characters",
        expected="a message that can be read: the first characters of the body, "
        "not all 22,010",
    )


def shows(error: Exception, kind: str, start: str) -> None:
    """Fail unless the message of an error names a content type and shows a start."""
    expect(
        kind in str(error),
        expected=f"a message that names the content type, {kind}, so that its reader "
        "knows what came in place of JSON",
    )
    expect(
        start in str(error),
        expected=f"a message that shows the first characters of the body, {start}",
    )


@pytest.mark.points(1, hint="timeout")
def test_timeout(answer, server):
    """Silence for so many seconds is a timeout error; a slow reply that is never silent
    that long is not.
    """
    server.script(fault.drip(10, 0.11))
    user = call(answer, "get_json", server.url + "/users/python", timeout=1)
    expect(
        user["login"] == "python",
        expected="the user python: the server was never silent for 1 s",
    )
    server.on(path="/users/python").reply(fault.delay(1.5))
    wanted = "requests.Timeout, or your library's own timeout error, after 0.1 s"
    with expect_raises(answer, Exception, expected=wanted) as caught:
        call(answer, "get_json", server.url + "/users/python", timeout=0.1)
    expect(is_timeout(caught.value), expected=wanted)
    parameter = inspect.signature(answer.get_json).parameters.get("timeout")
    expect(
        parameter is None or parameter.default == 10.0,
        saw=f"timeout={parameter and parameter.default} if the caller gives none",
        expected="a timeout in every call: timeout=10.0 if the caller gives none",
    )


# --- fetch_all ---


def values(found: Any, key: str) -> list:
    """Return what the items found have under a key."""
    is_list = isinstance(found, list) and all(
        isinstance(item, dict) and key in item for item in found
    )
    expect(
        is_list,
        expected="a list of the items of all pages, which are dicts with a key "
        f"{key!r}",
    )
    return [item[key] for item in found]


@pytest.mark.points(1, hint="pages")
@pytest.mark.limit(3)
def test_all_pages(answer, server):
    """All items of all pages come back as one list, in order, with one request a
    page.
    """
    found = call(
        answer,
        "fetch_all",
        server.url + "/search/repositories",
        params={"q": "R&D 中文", "per_page": 8},
    )
    names = values(found, "full_name")
    expect(
        names == [f"mock/R&D 中文-{number:02}" for number in range(1, 43)],
        saw=f"{len(names)} items, {len(set(names))} of them different",
        expected="the 42 items of 6 pages, mock/R&D 中文-01 first",
    )
    expect(
        len(server.records) == 6,
        saw=seen(server),
        expected="6 requests: a page without a next link is the last",
    )


@pytest.mark.points(1, hint="pages")
@pytest.mark.limit(3)
def test_one_page(answer, server):
    """A result that fits on one page takes one request, and a second call returns the
    same.
    """
    found = call(
        answer, "fetch_all", server.url + "/search/repositories?q=robot&per_page=100"
    )
    numbers = values(found, "id")
    expect(
        numbers == [*range(1, 43)],
        saw=f"{len(numbers)} items",
        expected="the 42 items of the only page",
    )
    expect(
        len(server.records) == 1,
        saw=seen(server),
        expected="1 request: there is no next link",
    )
    again = values(
        call(
            answer,
            "fetch_all",
            server.url + "/search/repositories?q=robot&per_page=100",
        ),
        "id",
    )
    expect(
        again == [*range(1, 43)],
        saw=f"{len(again)} items from the second call",
        expected="the same 42 items: each call begins with an empty list",
    )


@pytest.mark.points(1, hint="next-address")
@pytest.mark.limit(3)
def test_from_the_second_page(answer, server):
    """The address of the next page has its parameters already: the first ones are not
    sent with it.
    """
    params = {"q": "robot", "per_page": 20, "page": 2}
    # Ends the pages, or a wrong answer would ask on and on.
    the_end = fault.status(200, body={"items": []}, headers={"Link": ""})
    server.script(fault.ok(), fault.ok(), the_end)
    found = call(
        answer, "fetch_all", server.url + "/search/repositories", params=params
    )
    names = values(found, "full_name")
    expect(
        names == [f"mock/robot-{number:02}" for number in range(21, 43)],
        saw=f"{len(names)} items; {seen(server)}",
        expected="the 22 items of pages 2 and 3",
    )


@pytest.mark.points(1, hint="pages")
@pytest.mark.limit(3)
def test_pages_that_are_lists(answer, server):
    """A page may be a list itself, or empty, and every item counts; the last page is
    the one without a next address.
    """
    item = {"id": 4711}
    server.script(
        # The names of headers may be written in any case.
        page([item, item], server.url + "/get?page=2", name="link"),
        page({"items": []}, server.url + "/get?page=3"),
        page([0, item]),
    )
    found = call(answer, "fetch_all", server.url + "/get", params={"per_page": 3})
    expect(
        found == [item, item, 0, item],
        saw=f"{clip(repr(found), 100)}; {seen(server)}",
        expected=f"{[item, item, 0, item]}, from a page of two equal items, an empty "
        "page that names a next one, and the last page",
    )


@pytest.mark.points(1, hint="next-address")
@pytest.mark.limit(3)
def test_address_that_cannot_be_guessed(answer, server):
    """The next page is where the Link header says, even if a comma is part of that
    address.
    """
    following = server.url + "/get?fields=id,name&after=x7q9"
    link = (
        f'<{server.url}/search/repositories?q=a>; rel="first", <{following}>; '
        'rel="next"'
    )
    server.script(
        fault.status(200, headers={"Link": link}),
        fault.status(200, body={"items": [{"id": 4711}]}),
    )
    found = call(
        answer,
        "fetch_all",
        server.url + "/search/repositories",
        params={"q": "a", "per_page": 2},
    )
    expect(
        [record.path for record in server.records] == ["/search/repositories", "/get"]
        and asked(server, 1) == {"fields": "id,name", "after": "x7q9"},
        saw=seen(server),
        expected='a second and last request to the address with rel="next", '
        "/get?fields=id,name&after=x7q9",
    )
    expect(
        values(found, "id") == [1, 2, 4711],
        expected="the items of both pages, with the ids 1, 2 and 4711",
    )


@pytest.mark.points(1, hint="status-first")
@pytest.mark.limit(10)  # for an answer that asks again after a 5xx or a lost reply
def test_error_on_the_second_page(answer, server):
    """An error on a later page is an error too, not the end of the list, and its
    message says as much as on the first page.
    """
    for trouble, wanted in (
        (fault.status(500), requests.HTTPError),
        (fault.drop(), Exception),
        (fault.html(200), ValueError),
    ):
        server.on(path="/search/repositories").reply(trouble)
        server.script(fault.ok())  # for the first page
        why = f"{wanted.__name__}: half a list must not pass for the whole"
        with expect_raises(answer, wanted, expected=why) as caught:
            call(
                answer,
                "fetch_all",
                server.url + "/search/repositories",
                params={"q": "robot", "per_page": 20},
            )
    shows(caught.value, "text/html", "<html")


@pytest.mark.points(1, hint="timeout")
@pytest.mark.limit(10)  # for a busy machine
def test_timeout_of_a_later_page(answer, server):
    """Every request of fetch_all has a timeout, for later pages too."""
    url = server.url + "/search/repositories?q=robot&per_page=20"
    for number in (2, 1):
        is_endless = waits_for_ever(
            server, lambda: call(answer, "fetch_all", url), after=number - 1
        )
        expect(
            not is_endless,
            saw=f"fetch_all waited for page {number} without a timeout: if the server "
            "hangs there, the program stands still for ever",
            expected="a timeout in every request",
        )


# --- further ---


@pytest.mark.points(1, further=True, hint="charset")
def test_charset(answer, server):
    """JSON is UTF-8, whatever charset the Content-Type names, and if it names none."""
    for kind in ("application/json", "application/json; charset=ISO-8859-1"):
        wanted = ["±5 °C", "Zürich"][: 1 + (";" in kind)]
        reply = fault.status(200, body=wanted, headers={"Content-Type": kind})
        server.script(reply)
        value = call(answer, "get_json", server.url + "/get")
        expect(
            value == wanted,
            saw=f"{value!r}, from UTF-8 labelled as {kind}",
            expected=f"{wanted!r}: JSON is always UTF-8 (RFC 8259), so no charset "
            "has to be believed or guessed",
        )
        server.script(page(["ok"], server.url + "/get?page=2"), reply)
        found = call(answer, "fetch_all", server.url + "/get")
        expect(
            found == ["ok", *wanted],
            expected=f"{['ok', *wanted]!r}: the same on a later page",
        )


@pytest.mark.points(1, further=True, hint="params")
def test_dict_of_the_caller(answer, server):
    """The dict of parameters belongs to the caller, and stays as it is."""
    params = {"q": "robot", "per_page": 20}
    for name in ("get_json", "fetch_all"):
        call(answer, name, server.url + "/search/repositories", params=params)
        expect(
            params == {"q": "robot", "per_page": 20},
            saw=f"the caller's params are {params} now",
            expected="params as they were: the caller may use them again",
        )


def pages_at(answer: Any, url: str, expected: str) -> Any:
    """Return what fetch_all finds; an error fails the test with what was expected."""
    try:
        return call(answer, "fetch_all", url)
    except (NotImplementedError, NotRight):
        raise
    except Exception as error:
        expect(False, saw=f"{one_line(error)} was raised", expected=expected)


@pytest.mark.points(1, further=True, hint="relative-address")
@pytest.mark.limit(3)
def test_relative_address(answer, server):
    """The next address may lead to another server, and may be relative to its page."""
    log.steps.append("other = MockServer().start()")
    with MockServer() as other:
        log.names.append((other.url + "/lists/robots?page=2", "other.url + …"))
        server.script(page([1], other.url + "/lists/robots?page=2"))
        for number, following in enumerate(("robots?page=3", "/get", "?page=5", ""), 2):
            other.script(page([number], following))
        log.steps.append('other.script(page 2 that names "robots?page=3" as the next)')
        wanted = "[1, 2, 3, 4, 5]: each address is relative to the page that names it"
        found = pages_at(answer, server.url + "/get", expected=wanted)
        paths = [f"{one.path}?{one.query}" for one in other.records]
        expect(
            found == [1, 2, 3, 4, 5]
            and paths
            == ["/lists/robots?page=2", "/lists/robots?page=3", "/get?", "/get?page=5"],
            saw=f"{clip(repr(found), 80)}; the other server was asked for "
            f"{', '.join(paths) or 'nothing'}",
            expected=wanted,
        )


@pytest.mark.points(1, further=True, hint="no-list")
@pytest.mark.limit(10)  # for a busy machine
def test_page_that_is_no_list(answer, server):
    """A page that is neither a list nor an object with a list of items is a
    ValueError: nothing gets lost, and no key becomes an item.
    """
    for body in ({"message": "try later"}, {"items": {"id": 1}}, '"text"', "null"):
        server.script(page([1], server.url + "/get?page=2"), json_page(body))
        with expect_raises(
            answer,
            ValueError,
            expected=f"ValueError: {body} isn't a page, so items are missing",
        ):
            call(answer, "fetch_all", server.url + "/get")


def json_page(body: Any) -> Any:
    """Return a reply with this as its JSON; a text is JSON already."""
    return fault.status(200, body=body, headers={"Content-Type": "application/json"})


@pytest.mark.points(1, further=True, hint="circle")
def test_pages_in_a_circle(answer, server):
    """Pages that go round in a circle are a ValueError, not an endless loop."""
    pages = [page([1], f"{server.url}/get?page={name}") for name in "bcbcb"]
    # Not by the server that writes down: the line to copy would be too long.
    MockServer.script(server, *pages, page([1]))
    log.steps.append("server.script(pages that lead to b, c, b, c, b, and an end)")
    wanted = "ValueError: page b leads to c, and c to b again, so the list has no end"
    with expect_raises(answer, ValueError, expected=wanted):
        call(answer, "fetch_all", server.url + "/get")
    expect(
        len(server.records) <= 4,
        saw=seen(server),
        expected="an end when page b comes again, after 4 requests at most",
    )


@pytest.mark.points(1, further=True, hint="many-pages")
@pytest.mark.limit(20)  # for a busy machine
def test_many_pages(answer, server):
    """A hundred pages are read like two, and a thousand would be."""
    count = 101
    pages = [page([n], f"{server.url}/get?page={n}") for n in range(2, count + 2)]
    # Not by the server that writes down: the line to copy would be very long.
    MockServer.script(server, *pages, *[fault.status(400)] * 5)
    log.steps.append(f"server.script({count} pages, and a 400 in place of the next)")
    with expect_raises(
        answer,
        requests.HTTPError,
        expected=f"the error of page {count + 1}: a list that ends before is a part "
        "that passes for the whole",
    ) as caught:
        call(answer, "fetch_all", server.url + "/get")
    depth = max(Counter(functions_of(answer, caught.value)).values(), default=0)
    expect(
        depth < count // 2,
        saw=f"on page {count + 1}, fetch_all was inside of itself {depth} times",
        expected="a loop: Python stops calls inside of calls at about 1,000, so a long "
        "list would end in a RecursionError",
    )


def functions_of(answer: Any, error: BaseException) -> Iterator[Any]:
    """Yield the functions of the answer that an exception came through."""
    traceback = error.__traceback__
    while traceback:
        if answer.owns(traceback.tb_frame.f_code.co_filename):
            yield traceback.tb_frame.f_code
        traceback = traceback.tb_next
