"""Exercise 01: a GET that checks what it got, and all pages of a long result."""

import inspect
from typing import Any
from urllib.parse import parse_qsl

import pytest
import requests
from mock_server import MockServer, fault

from tests.grader.steps import call, expect, expect_raises


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


@pytest.mark.points(1, hint="no-json")
def test_json_body(answer, server):
    """The body of a 200 comes back as Python values."""
    server.script(
        fault.status(200, body={"login": "n-4711", "repos": [1, None, "中文"]})
    )
    value = call(answer, "get_json", server.url + "/users/python")
    expect(
        value == {"login": "n-4711", "repos": [1, None, "中文"]},
        expected="the JSON body as Python values: {'login': 'n-4711', 'repos': [1, "
        "None, '中文']}",
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
    call(
        answer,
        "get_json",
        server.url + "/search/repositories",
        params={"q": "R&D 中文", "per_page": 1},
    )
    expect(
        asked(server, 0) == {"q": "R&D 中文", "per_page": "1"},
        saw=f"the server understood {asked(server, 0)}",
        expected="q is 'R&D 中文' and per_page is '1': each value encoded by itself",
    )


@pytest.mark.points(1, hint="status-first")
def test_every_2xx(answer, server):
    """Every 2xx is a success, not only 200."""
    server.script(fault.status(203))
    value = call(answer, "get_json", server.url + "/users/psf")
    expect(value["login"] == "psf", expected="the body of the 203, with the login psf")


@pytest.mark.points(1, hint="no-json")
def test_content_type_with_charset(answer, server):
    """JSON is JSON, also as `application/json; charset=utf-8`."""
    server.script(
        fault.status(200, headers={"Content-Type": "application/json; charset=utf-8"})
    )
    value = call(answer, "get_json", server.url + "/users/psf")
    expect(
        value["login"] == "psf",
        expected="the body as Python values, with the login psf",
    )


@pytest.mark.points(1, hint="status-first")
@pytest.mark.parametrize("code", [404, 500])
def test_error_status(answer, server, code):
    """A 4xx or 5xx is an HTTPError, even if its body is good JSON."""
    # Every time: an answer may ask again after a 5xx.
    server.on(path="/users/python").reply(fault.status(code))
    with expect_raises(answer, requests.HTTPError):
        call(answer, "get_json", server.url + "/users/python")


@pytest.mark.points(2, hint="status-first")
def test_html_page_with_502(answer, server):
    """A 502 with an HTML page is an HTTPError, not an error about JSON."""
    server.on(path="/users/python").reply(fault.html(502))
    with expect_raises(answer, requests.HTTPError):
        call(answer, "get_json", server.url + "/users/python")


@pytest.mark.points(2, hint="no-json")
def test_html_page_with_200(answer, server):
    """A 200 with an HTML page is a ValueError that names the content type and shows how
    the page begins.
    """
    server.script(fault.html(200))
    with expect_raises(answer, ValueError) as caught:
        call(answer, "get_json", server.url + "/users/python")
    message = str(caught.value)
    expect(
        "text/html" in message,
        expected="a message that names the content type, text/html",
    )
    expect(
        "<html" in message,
        expected="a message that shows the first characters of the body, <html>",
    )


@pytest.mark.points(1, hint="no-json")
def test_damaged_json(answer, server):
    """Half a JSON document is a ValueError too, whatever the Content-Type promises."""
    server.script(fault.bad_json())
    with expect_raises(answer, ValueError) as caught:
        call(answer, "get_json", server.url + "/users/python")
    message = str(caught.value)
    expect(
        "application/json" in message,
        expected="a message that names the content type, application/json",
    )
    expect(
        "login" in message,
        expected='a message that shows the first characters of the body, {"login":',
    )


@pytest.mark.points(1, hint="no-json")
def test_long_page(answer, server):
    """Of a long body, the ValueError shows the first characters only."""
    server.script(fault.status(200, body="page-8123 " + "and so on, " * 2000))
    with expect_raises(answer, ValueError) as caught:
        call(answer, "get_json", server.url + "/users/python")
    message = str(caught.value)
    expect(
        "page" in message,
        expected="a message that shows the first characters of the body, page-8123",
    )
    expect(
        len(message) < 5000,
        saw=f"a message of {len(message)} characters",
        expected="a message that can be read: the first characters of the body, "
        "not all 22,010",
    )


@pytest.mark.points(2, hint="timeout")
def test_timeout(answer, server):
    """After the seconds of silence there is a timeout error; a slow reply that is never
    silent so long is none.
    """
    server.script(fault.drip(10, 0.08))
    user = call(answer, "get_json", server.url + "/users/python", timeout=0.7)
    expect(
        user["login"] == "python",
        expected="the user python: the server was never silent for 0.7 s",
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
        params={"q": "R&D 中文", "per_page": 3},
    )
    names = values(found, "full_name")
    expect(
        names == [f"mock/R&D 中文-{number:02}" for number in range(1, 43)],
        saw=f"{len(names)} items, {len(set(names))} of them different",
        expected="the 42 items of 14 pages, mock/R&D 中文-01 first",
    )
    expect(
        len(server.records) == 14,
        saw=seen(server),
        expected="14 requests: a page without a next link is the last",
    )


@pytest.mark.points(1, hint="pages")
@pytest.mark.limit(3)
def test_one_page(answer, server):
    """A result that fits on one page takes one request, and is the same when it is
    asked for again.
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
    """A page may be a list itself, in place of an object with items."""
    link = f'<{server.url}/get?page=2>; rel="next"'
    server.script(
        fault.status(200, body=[4711, 4712], headers={"Link": link}),
        fault.status(200, body=[4713]),
    )
    found = call(answer, "fetch_all", server.url + "/get")
    expect(
        found == [4711, 4712, 4713],
        expected="the items of [4711, 4712] and of [4713], as one list",
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
def test_error_on_the_second_page(answer, server):
    """An error on a later page is an error, not the end of the list."""
    for trouble, wanted in (
        (fault.status(500), requests.HTTPError),
        (fault.html(200), ValueError),
    ):
        server.on(path="/search/repositories").reply(trouble)
        server.script(fault.ok())  # for the first page
        with expect_raises(answer, wanted):
            call(
                answer,
                "fetch_all",
                server.url + "/search/repositories",
                params={"q": "robot", "per_page": 20},
            )
