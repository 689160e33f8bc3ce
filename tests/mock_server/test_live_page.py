"""The live page: its event stream, and the page itself in a real browser."""

import contextlib
import json
import shutil
import sys
import threading
import time
from collections.abc import Iterator

import httpx
import nbformat
import pytest
import requests
from mock_server import MockServer, fault
from nbclient import NotebookClient
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.mock_server import wire

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
)


def get(server: MockServer, path: str = "/get", **more) -> requests.Response:
    """Get an address of the server."""
    return requests.get(server.url + path, timeout=10, **more)


@contextlib.contextmanager
def in_background(server: MockServer, path: str):
    """Get an address in another thread, whatever comes of it."""

    def send() -> None:
        with contextlib.suppress(requests.RequestException):
            requests.get(server.url + path, timeout=10)

    thread = threading.Thread(target=send)
    thread.start()
    yield
    thread.join()


# --- without a browser ----------------------------------------------------------------


@contextlib.contextmanager
def listen(server: MockServer) -> Iterator[Iterator[tuple[str, dict]]]:
    """Open the event stream of the page; gives its events, each a name and a value."""

    def events(response: httpx.Response) -> Iterator[tuple[str, dict]]:
        name = ""
        for line in response.iter_lines():
            field, _, value = line.partition(": ")
            if field == "event":
                name = value
            elif field == "data":
                yield name, json.loads(value)

    with httpx.stream("GET", f"{server.url}/_mock/events", timeout=10) as response:
        assert response.headers["Content-Type"] == "text/event-stream"
        yield events(response)


def test_the_event_stream(server: MockServer) -> None:
    """The stream begins with all records; then each comes on arrival, with its first
    byte, and at its end; a reset begins anew.
    """
    get(server)
    with listen(server) as events:
        name, news = next(events)
        assert (name, news["open"], news["peak_open"]) == ("hello", 0, 1)
        assert [(one["n"], one["end"]) for one in news["records"]] == [(1, "complete")]
        assert news["records"][0]["ended"] <= news["now"] < 60
        server.script(fault.delay(0.4) + fault.drip(2, 0.4))
        seen = []
        with in_background(server, "/users/ada"):
            while not seen or seen[-1][2] == "open":
                name, news = next(events)
                for one in news["records"]:
                    seen.append((one["n"], one["first_byte"] is not None, one["kind"]))
        assert name == "update"
        assert list(dict.fromkeys(seen)) == [
            (2, False, "open"),
            (2, True, "open"),
            (2, True, "good"),
        ]
        server.reset()
        while name != "hello":
            name, news = next(events)
        assert (news["records"], news["peak_open"]) == ([], 0)
    assert server.records == [], "the page itself was recorded"


def test_a_request_that_was_open_at_a_reset(server: MockServer) -> None:
    """A request that a reset has forgotten does not come back when it ends."""
    server.script(fault.delay(0.6))
    with listen(server) as events:
        next(events)
        with in_background(server, "/get?old"):
            while not next(events)[1]["open"]:
                pass
            server.reset()
        get(server, "/get?new")
        seen = set()
        while "GET /get?new" not in seen:
            name, news = next(events)
            seen = set() if name == "hello" else seen
            seen |= {one["request"] for one in news["records"]}
    assert seen == {"GET /get?new"}


def test_updates_are_few(server: MockServer) -> None:
    """However many requests arrive, there are at most 20 updates a second, and none is
    lost.
    """
    with listen(server) as events, requests.Session() as session:
        next(events)
        started, updates, ended = time.monotonic(), 0, set()
        for _ in range(200):
            session.get(f"{server.url}/get", timeout=5)
        while len(ended) < 200:
            _, news = next(events)
            updates += 1
            ended |= {one["n"] for one in news["records"] if one["end"]}
        assert updates <= 20 * (time.monotonic() - started) + 2


def test_what_waits_in_the_script(server: MockServer) -> None:
    """The page hears of faults that were scripted elsewhere, and that were met."""
    with listen(server) as events:
        assert next(events)[1]["waiting"] == 0
        server.script(fault.status(503), fault.status(503))
        assert next(events)[1]["waiting"] == 2
        get(server)
        while (waiting := next(events)[1]["waiting"]) == 2:
            pass
        assert waiting == 1


def test_stop_with_the_page_open() -> None:
    """Stopping ends the stream at once, and leaves no thread behind."""
    before = threading.active_count()
    server = MockServer().start()
    with listen(server) as events:
        next(events)
        started = time.monotonic()
        server.stop()
        assert time.monotonic() - started < 2
        assert threading.active_count() == before
        with pytest.raises((httpx.HTTPError, StopIteration)):
            next(events)


def test_a_browser_is_led_to_the_page(server: MockServer) -> None:
    """Who asks for HTML at / is sent to the page; others get what they got before. The
    page and all it needs is never recorded or faulted.
    """
    server.script(fault.status(503))
    reply = get(server, "/", headers={"Accept": "text/html"}, allow_redirects=False)
    assert (reply.status_code, reply.headers["Location"]) == (302, "/_mock/")
    page = get(server, "/_mock/")
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "http://" not in page.text and "https://" not in page.text
    assert get(server, "/_mock/advice").json() == {"advice": []}
    assert get(server, "/_mock/records/1").status_code == 404
    assert (server.records, server.peak_open) == ([], 0)
    assert get(server, "/").status_code == 503
    assert get(server, "/").status_code == 404


def test_one_record(server: MockServer) -> None:
    """The page gets a record with its headers, masked, what was sent, and programs that
    send it again.
    """
    headers = {"Authorization": f"Bearer {server.api_key}", "X-Note": "it's"}
    server.script(fault.status(418))
    requests.post(f"{server.url}/anything?q=1", headers=headers, json="é", timeout=5)
    text = get(server, "/_mock/records/1").text
    assert server.api_key not in text
    record = json.loads(text)
    assert record["reply_headers"]["Server"] == "mock" and "418" in record["reply"]
    assert "by the script" in record["story"] and "complete" in record["story"]
    assert "-H 'X-Note: it'\"'\"'s'" in record["curl"]
    assert "-H 'Authorization: Bearer YOUR_KEY'" in record["curl"]
    printed: list[object] = []
    program = record["python"].replace("YOUR_KEY", server.api_key)
    exec(program, {"print": lambda *values: printed.append(values)})
    first, again = server.records
    assert (first.identity, first.headers) == (again.identity, again.headers)
    assert printed[0][0] == 200


def test_no_other_page_may_read(server: MockServer) -> None:
    """A page of another origin can neither read the stream nor script anything."""
    for path in ("events", "advice", "faults", "records/1"):
        headers = {"Origin": "http://other.example"}
        assert get(server, f"/_mock/{path}", headers=headers).status_code == 403


def test_live_outside_of_a_notebook(
    server: MockServer,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Outside of a notebook, live() prints the address of the page."""
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    server.live()
    line = f"Watch the requests arrive: {server.url}/_mock/\n"
    assert capsys.readouterr().out == line


def test_live_in_a_notebook() -> None:
    """In a notebook, live() shows the page in a frame."""
    code = "from mock_server import MockServer\nMockServer(port=0).start().live(300)"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    NotebookClient(notebook, kernel_name="python3").execute()
    line, frame = notebook.cells[0].outputs
    address = line["text"].removeprefix("Watch the requests arrive: ").strip()
    assert address.endswith("/_mock/")
    assert f'src="{address}"' in frame["data"]["text/html"]


# --- in a browser ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The system's Chromium, without a window."""
    found = [path for name in BROWSERS if (path := shutil.which(name))]
    if not found:
        pytest.skip("there is no Chromium on this machine")
    with sync_playwright() as playwright:
        chromium = playwright.chromium
        opened = chromium.launch(executable_path=found[0], args=list(OPTIONS))
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Browser, server: MockServer) -> Iterator[Page]:
    """The live page of the server; it must write no error to its console."""
    opened, errors = browser.new_page(), []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.on("console", lambda line: errors.append(line.text))
    opened.goto(server.url)
    expect(opened.locator("#state")).to_have_text("live")
    yield opened
    opened.close()
    # The browser itself says that the server has stopped, or refused a wrong amount.
    own = ("net::ERR_", "status of 400")
    errors = [error for error in errors if not any(text in error for text in own)]
    assert errors == [], "the page has written to the console"


def row(page: Page, n: int):
    """Return the row of a request."""
    return page.locator("#rows tr[aria-selected]").filter(
        has=page.locator(f"td:first-child:text-is('{n}')")
    )


def test_requests_appear(page: Page, server: MockServer) -> None:
    """A request is shown soon, a repeated one is marked, and the page itself is not in
    the records; clear empties both.
    """
    expect(page.locator("#empty")).to_contain_text(f"curl {server.url}/users/python")
    expect(page.locator("#address")).to_have_text(server.base_url)
    assert (server.records, server.peak_open) == ([], 0)
    for _ in range(2):
        get(server, "/users/nobody")
    expect(row(page, 1)).to_contain_text("GET /users/nobody", timeout=3000)
    expect(row(page, 2)).to_contain_text("↻2")
    expect(page.locator("#counts")).to_contain_text("4xx 2")
    expect(page.locator("#manners")).to_contain_text("unchanged after a 404")
    assert (len(server.records), server.peak_open) == (2, 1)
    row(page, 1).click()
    expect(page.locator("#detail h2")).to_have_text("1: GET /users/nobody")
    for n in (1, 2):
        expect(row(page, n)).to_have_class("kin")
    page.evaluate("navigator.clipboard.writeText = async (text) => { copied = text }")
    for name, start in (("curl", "curl "), ("Python", "import requests")):
        page.click(f"text=Copy as {name}")
        assert page.evaluate("copied").startswith(start)
    page.click("#clear")
    expect(page.locator("#empty")).to_be_visible()
    expect(page.locator("#detail")).to_be_hidden()
    expect(page.locator("#manners")).to_have_text("Nothing to complain about.")
    assert server.records == []


def test_bars_and_ends(page: Page, server: MockServer) -> None:
    """The bar of a slow reply grows while it is open; a reply that hangs ends when its
    client leaves; only broken shows that one alone.
    """
    server.script(fault.delay(0.4) + fault.drip(8, 0.2), fault.hang())
    with in_background(server, "/get"):
        bar = row(page, 1).locator("i").nth(1)
        expect(bar).to_be_visible()
        expect(row(page, 1)).to_contain_text("open")
        row(page, 1).click()
        # The one open request fills its group: it is the clock that goes on.
        first = page.evaluate("now() - records.get(1).received")
        page.wait_for_timeout(200)
        assert page.evaluate("now() - records.get(1).received") > first
    expect(row(page, 1)).to_contain_text("complete")
    expect(page.locator("#detail")).to_contain_text("It ended after")
    thin, thick = (one.bounding_box() for one in row(page, 1).locator("i").all())
    assert thin["x"] + thin["width"] == pytest.approx(thick["x"], abs=1)
    with wire.connect(server) as client:
        client.sendall(wire.request("GET /get?hang"))
        expect(row(page, 2)).to_contain_text("hang()")
        expect(row(page, 2)).to_contain_text("open")
        before = row(page, 2).locator("i").first.bounding_box()["width"]
        page.wait_for_timeout(200)
        assert row(page, 2).locator("i").first.bounding_box()["width"] > before
        expect(row(page, 2).locator("i").nth(1)).to_be_hidden()
        page.check("#only")
        expect(page.locator("#rows tr")).to_have_count(0)
    expect(row(page, 2)).to_contain_text("client-gone")
    expect(page.locator("#rows tr")).to_have_count(1)
    apart = [{"received": at, "ended": at + 1, "end": "cut"} for at in (0, 4)]
    pauses = page.evaluate("(two) => groups(two).map((one) => one.pause)", apart)
    assert pauses == [3, 0]
    assert "a pause of 3.0 s" in page.evaluate("pauseRow(1, 3).textContent")


def test_next_reply(page: Page, server: MockServer) -> None:
    """A fault that is chosen meets the next requests; a wrong amount is explained; and
    every fault can be chosen with the amounts that stand there.
    """
    page.check("input[value='3']")
    expect(page.locator("#line")).to_have_text(
        "server.script(*[fault.status(503)] * 3)"
    )
    page.click("text=Script it")
    expect(page.locator("#waiting")).to_have_text("3 waiting")
    assert get(server).status_code == 503
    expect(page.locator("#waiting")).to_have_text("2 waiting")
    page.fill("#amount-code", "7")
    page.click("text=Script it")
    expect(page.locator("#wrong")).to_contain_text("code must be a whole number")
    page.check("input[value='1']")
    expect(page.locator("#wrong")).to_be_empty()
    for name in fault.NAMES:
        page.select_option("#fault", name)
        line = page.locator("#line").text_content()
        text = line.removeprefix("server.script(fault.").removesuffix(")")
        assert fault.parse(text), f"{line} is no fault"
    page.select_option("#fault", "drop")
    page.fill("#amount-how", "fin")
    expect(page.locator("#line")).to_have_text('server.script(fault.drop("fin"))')


def test_details_and_keyboard(page: Page, server: MockServer) -> None:
    """Arrows and Enter open a request; what it says is shown as text and never run."""
    attack = "<img src=x onerror=document.title='run'>"
    with requests.Session() as session:
        session.get(f"{server.url}/get", timeout=5)
        headers = {"X-Note": attack, "Authorization": f"Bearer {server.api_key}"}
        session.post(f"{server.url}/anything", data=attack, headers=headers, timeout=5)
    expect(row(page, 2)).to_be_visible()
    expect(page.locator("#rows tr[tabindex='0']")).to_have_count(1)
    row(page, 2).focus()
    page.keyboard.press("ArrowDown")
    expect(row(page, 1)).to_be_focused()
    page.keyboard.press(" ")
    expect(page.locator("#detail h2")).to_have_text("1: GET /get")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    expect(page.locator("#detail h2")).to_have_text("2: POST /anything")
    expect(page.locator("#detail pre").first).to_have_text(attack)
    expect(page.locator("#detail pre").nth(1)).to_contain_text("onerror")
    expect(page.locator("#detail")).to_contain_text("Bearer mock…urse")
    assert page.title() == "Mock server"
    page.keyboard.press("Escape")
    expect(page.locator("#detail")).to_be_hidden()
    get(server)
    expect(row(page, 3)).to_be_visible()
    expect(row(page, 2)).to_be_focused()
    page.click("#pause")
    expect(page.locator("#pause")).to_have_text("Go on")
    expect(page.locator("#pause")).to_have_attribute("aria-pressed", "true")
    get(server)
    expect(page.locator("#counts")).to_contain_text("2xx, 3xx 4")
    expect(row(page, 4)).to_have_count(0)
    page.click("#pause")
    expect(row(page, 4)).to_have_count(1)


def test_stop_is_shown(page: Page, server: MockServer) -> None:
    """After stop() the rows stay, and the page says that the server has gone."""
    get(server)
    expect(row(page, 1)).to_be_visible()
    server.stop()
    expect(page.locator("#state")).to_contain_text("gone")
    expect(page.locator("body")).to_have_class("gone")
    expect(row(page, 1)).to_be_visible()
    assert page.evaluate("now()") == page.evaluate("now()"), "the clock goes on"
    page.click("text=Script it")
    expect(page.locator("#wrong")).to_have_text("the server does not answer")


def test_many_requests_are_drawn_in_few_updates(page: Page, server: MockServer) -> None:
    """Of 1,000 requests, the newest 200 stand there, in few draws."""
    draws, started = page.evaluate("draws"), time.monotonic()
    with requests.Session() as session:
        for _ in range(1000):
            session.get(f"{server.url}/users/ada", timeout=5)
    expect(row(page, 1000)).to_be_visible(timeout=10_000)
    seconds = time.monotonic() - started
    assert page.evaluate("draws") - draws <= 20 * seconds + 2
    assert page.locator("#rows tr").count() == 200
    expect(page.locator("#counts")).to_contain_text("2xx, 3xx 1000")


def test_a_page_of_another_origin(browser: Browser, server: MockServer) -> None:
    """A page of another origin cannot script faults or reset this server."""
    with MockServer() as other:
        page = browser.new_page()
        page.goto(f"{other.url}/get")
        for name, body in (("script", '{"faults": ["hang"]}'), ("reset", "")):
            get(server)
            page.evaluate(
                "([url, body]) => fetch(url, {method: 'POST', mode: 'no-cors', body})",
                [f"{server.url}/_mock/{name}", body],
            )
        page.close()
    assert get(server).status_code == 200
    assert len(server.records) == 3
