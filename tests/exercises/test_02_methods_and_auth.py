"""Exercise 02: a small client that creates, reads, changes and deletes with a token."""

from typing import Any

import pytest
import requests
from mock_server import MockServer, fault

from lessons.course.results import clip
from tests.grader.diagnosis import NotRight, one_line
from tests.grader.steps import call, expect, expect_raises, log
from tests.grader.waiting import waits_for_ever

# A token of which no part stands in any text by chance, however short.
TOKEN = "ZqXwKj~VvRyGhQz.WkJx"

# Every method once, for the tests that try them all: name, arguments, fields.
CALLS = (
    ("create", ["Eve"], {}),
    ("get", [1], {}),
    ("update", [1], {"name": "Eve"}),
    ("list", [], {}),
    ("delete", [1], {}),
)


def make_api(answer: Any, server: MockServer, token: str = "") -> Any:
    """Return the learner's client, with the server's token or another."""
    return call(answer, "AgentsAPI", server.url, token or server.api_key)


def add_agent(server: MockServer, name: str, status: str = "active") -> dict:
    """Create an agent without the answer's help, and write that down."""
    body = {"name": name, "status": status}
    log.steps.append(f'requests.post(server.url + "/agents", json={body})')
    return requests.post(server.url + "/agents", json=body, timeout=5).json()


def agents(server: MockServer) -> list[dict]:
    """Return the agents that the server has now."""
    return requests.get(server.url + "/agents", timeout=5).json()


def attempt(
    api: Any, name: str, /, *arguments: Any, **fields: Any
) -> tuple[Any, Exception | None]:
    """Call a method that may fail; return its result and its exception."""
    try:
        return call(api, name, *arguments, **fields), None
    except (NotImplementedError, NotRight):  # not started yet, or no such name
        raise
    except Exception as error:
        return None, error


def shows_token(text: str, token: str = TOKEN) -> bool:
    """Say whether a text shows a token, or two characters of it in a row."""
    return any(token[start : start + 2] in text for start in range(len(token) - 1))


def shown(error: BaseException | None) -> str:
    """Return what a log shows of an exception, and a traceback of those behind it."""
    texts = [repr(error)]
    while error:
        texts.append(str(error))
        hidden = error.__suppress_context__
        error = error.__cause__ or (None if hidden else error.__context__)
    return " / ".join(texts)


@pytest.mark.points(1, hint="json-body")
def test_create(answer, server):
    """create sends JSON, with the status that it is given, and returns the agent as the
    server made it.
    """
    api = make_api(answer, server)
    made = call(api, "create", "Zoë 中文")
    wanted = {"id": 1, "name": "Zoë 中文", "status": "active"}
    expect(made == wanted, expected=f"the agent as the server made it: {wanted}")
    expect(
        agents(server) == [wanted],
        saw=f"the server has {agents(server)}",
        expected=f"the server has {wanted}",
    )
    made = call(api, "create", "Ada", status="paused")
    expect(made["status"] == "paused", expected="an agent with the status paused")
    as_made = {"id": 77, "name": "ada", "status": "retired"}
    server.script(fault.status(201, body=as_made))
    made = call(api, "create", "Ada")
    expect(made == as_made, expected=f"what the server made of it: {as_made}")


@pytest.mark.points(1, hint="where-to-begin")
def test_get_and_list(answer, server):
    """get returns one agent as it is now, the one with that id; list returns all of
    them, and an empty list if there is none.
    """
    api = make_api(answer, server)
    expect(call(api, "list") == [], expected="[], because there is no agent yet")
    wanted = [add_agent(server, "Ada"), add_agent(server, "Grace", "retired")]
    found = call(api, "get", 2)
    expect(found == wanted[1], expected=f"the agent with the id 2: {wanted[1]}")
    expect(call(api, "list") == wanted, expected=f"both agents: {wanted}")
    requests.patch(f"{server.url}/agents/2", json={"status": "active"}, timeout=5)
    log.steps.append('requests.patch(server.url + "/agents/2", …)')
    found = call(api, "get", 2)
    wanted = {**wanted[1], "status": "active"}
    expect(found == wanted, expected=f"the agent as it is now: {wanted}")


# Whether by PATCH or by GET and PUT is up to the answer.
@pytest.mark.points(1, hint="patch")
def test_update(answer, server):
    """update changes the fields it is given, one or several, leaves the others, and
    touches no other agent.
    """
    other, agent = add_agent(server, "Ada"), add_agent(server, "Grace", "paused")
    api = make_api(answer, server)
    for fields in ({"name": "Grace H."}, {"name": "G.", "status": "retired"}):
        wanted = {"id": agent["id"], "status": "paused", **fields}
        changed = call(api, "update", agent["id"], **fields)
        expect(changed == wanted, expected=f"the agent after the change: {wanted}")
        expect(
            agents(server) == [other, wanted],
            saw=f"the server has {agents(server)}",
            expected=f"the server has {[other, wanted]}",
        )


@pytest.mark.points(1, hint="no-content")
def test_delete(answer, server):
    """delete removes the agent, no other one, and returns nothing; one that is gone
    already is not an error.
    """
    gone, kept = add_agent(server, "Ada"), add_agent(server, "Grace")
    api = make_api(answer, server)
    for hint in ("no-content", "delete-twice"):
        returned, error = attempt(api, "delete", gone["id"])
        expect(
            not error,
            saw=f"{one_line(error)} was raised" if error else "",
            expected="no error: the agent is gone, as wanted",
            hint=hint,
        )
        expect(
            returned is None,
            saw=f"delete returned {returned!r}",
            expected="delete returns nothing",
        )
        expect(
            call(api, "list") == [kept],
            expected=f"only the other agent is left: {[kept]}",
        )


@pytest.mark.points(1, hint="which-exception")
@pytest.mark.limit(10)  # for who waits and asks again after a 502 or 429
def test_other_refusals(answer, server):
    """Any other refusal, whatever is called, is an HTTPError, and a web page in the
    place of an agent is an error.
    """
    api = make_api(answer, server)
    no_json = (
        fault.html(502),
        "a 502 has no exception of its own, and its body isn't JSON",
    )
    too_many = (fault.status(429), "a 429 has no exception of its own")
    malformed = (fault.status(400), "a 400 has no exception of its own")
    conflict = (fault.status(409), "a 409 has no exception of its own")
    nothing_there = (
        fault.status(404),
        "a 404 at /agents, where no id was sent, isn't about a missing agent",
    )
    for method, arguments, fields in CALLS:
        troubles = [no_json, too_many]
        if method in ("create", "update"):
            troubles += [malformed, conflict]
        if method in ("create", "list"):
            troubles.append(nothing_there)
        for trouble, why in troubles:
            del log.steps[1:]  # "we did" has the client and the call that failed
            server.on().reply(trouble)  # every time: some answers ask again
            wanted = f"requests.HTTPError, or what your library has in its place: {why}"
            with expect_raises(answer, Exception, expected=wanted) as caught:
                call(api, method, *arguments, **fields)
            is_other = not isinstance(
                caught.value, PermissionError | LookupError | ValueError
            )
            saw = f"{one_line(caught.value)} was raised"
            expect(
                is_other or isinstance(caught.value, requests.HTTPError),
                saw=saw,
                expected=wanted,
            )
        if method != "delete":  # which has nothing to return
            server.on().reply(fault.html(200))
            wanted = "an error: the server sent a web page, not an agent"
            with expect_raises(answer, Exception, expected=wanted):
                call(api, method, *arguments, **fields)


@pytest.mark.points(1, hint="which-exception")
def test_missing_agent(answer, server):
    """An agent that does not exist is a LookupError, for get and for update."""
    api = make_api(answer, server)
    with expect_raises(answer, LookupError):
        call(api, "get", 77)
    with expect_raises(answer, LookupError):
        call(api, "update", 77, status="paused")


@pytest.mark.points(1, hint="which-exception")
@pytest.mark.limit(10)  # for a busy machine
def test_not_allowed(answer, server):
    """A 401 (who are you?) or 403 (you may not) is a PermissionError, whatever is
    called, and does not show the token.
    """
    agent = add_agent(server, "Ada")
    first = make_api(answer, server)
    second = make_api(answer, server, token=TOKEN)
    page = (fault.html(403), "PermissionError, also if the 403 brings a web page")
    for trouble, wanted in ((None, ""), (fault.status(403), ""), page):
        if trouble:
            server.on().reply(trouble)
        for method, arguments, fields in CALLS:
            with expect_raises(answer, PermissionError, expected=wanted) as caught:
                call(second, method, *arguments, **fields)
            expect(
                not shows_token(f"{caught.value!r} {caught.value}"),
                saw=f"{caught.value!r}",
                expected="an error without the token: errors are written to logs",
                hint="repr",
            )
    server.on().reply()
    found, error = attempt(first, "get", 1)
    expect(
        found == agent,
        did="api = AgentsAPI(server.url, server.api_key); AgentsAPI(server.url, "
        '"another-token"); api.get(1)',
        saw=f"{one_line(error)} was raised" if error else f"{found!r}",
        expected="each client to send its own token, also when there is a second one",
        hint="bearer",
    )


@pytest.mark.points(1, hint="server-message")
def test_refused_values(answer, server):
    """A 422 is a ValueError that says what the server said, from create and update."""
    agent = add_agent(server, "Ada")
    api = make_api(answer, server)
    errors = [{"resource": "Agent", "field": "name", "code": "already_exists"}]
    body = {"errors": errors, "message": "the name n-4711 is taken"}
    server.script(fault.status(422, body=body))
    with expect_raises(answer, ValueError) as caught:
        call(api, "create", "Ada")
    expect(
        "the name n-4711 is taken" in str(caught.value),
        expected="the server's message: the name n-4711 is taken",
    )
    with expect_raises(answer, ValueError) as caught:
        call(api, "update", agent["id"], status="asleep")
    expect(
        "status must be one of" in str(caught.value),
        expected="the server's message: status must be one of …",
    )
    expect(
        agents(server) == [agent],
        saw=f"the server has {agents(server)}",
        expected=f"the server has {[agent]}",
    )


@pytest.mark.points(1, hint="bearer")
@pytest.mark.server(api_key=TOKEN)
def test_token_in_header(answer, server):
    """Every request carries the token as a bearer token, and in no address."""
    api = make_api(answer, server)
    call(api, "create", "Ada")
    call(api, "get", 1)
    call(api, "update", 1, status="paused")
    call(api, "list")
    call(api, "delete", 1)
    # "Your line" is the class, not the method that was called last.
    log.function = type(api)
    masked = f"Bearer {TOKEN[:4]}…{TOKEN[-4:]}"
    bare = [
        record.request
        for record in server.records
        if record.headers.get("Authorization") != masked
    ]
    expect(
        not bare,
        saw=f"without `Authorization: Bearer …` came {', '.join(bare)}",
        expected="the header Authorization: Bearer and the token, in every request",
    )
    # A token is masked there.
    exposed = [one.request for one in server.records if "…" in one.request]
    expect(
        not exposed,
        saw=", ".join(exposed),
        expected="the token in no address: addresses are written to logs",
    )


@pytest.mark.points(1, hint="no-token")
def test_no_token(answer, server):
    """Without a token there is a ValueError; blanks and a line break around one are
    taken off.
    """
    for nothing in ("", None, " \n"):
        with expect_raises(
            answer, ValueError, expected="ValueError, because there is no token"
        ):
            call(answer, "AgentsAPI", server.url, nothing)
    api = make_api(answer, server, token=f" {server.api_key}\n")
    found, error = attempt(api, "list")
    expect(
        found == [],
        saw=f"{one_line(error)} was raised" if error else f"{found!r}",
        expected="[]: a copied token often ends in a line break, so it is taken off",
    )


@pytest.mark.points(1, hint="repr")
@pytest.mark.server(api_key=TOKEN)
def test_no_token_in_repr(answer, server, capsys, caplog):
    """No part of the token is in the repr of the client, or in anything that the client
    prints or logs.
    """
    api = make_api(answer, server)
    call(api, "list")
    printed = capsys.readouterr().out + caplog.text
    expect(
        not shows_token(printed),
        saw=f"the client printed {clip(printed.strip(), 200)}",
        expected="no part of the token in what it prints or logs",
    )
    log.steps.append("print(api)")
    # "Your line" is the class, not the method that was called last.
    log.function = type(api)
    for text in (repr(api), str(api), f"{[api]}"):
        expect(
            not shows_token(text),
            saw=text,
            expected="a repr without the token or a part of it: logs are read by many",
        )


@pytest.mark.points(1, hint="redirect")
@pytest.mark.limit(10)  # for a busy machine
def test_redirect(answer, server):
    """A redirect is an error and is not followed, whatever is called."""
    agent = add_agent(server, "Eve")
    api = make_api(answer, server)
    with MockServer() as other:
        for code, place, target in (
            (307, "other", other.url),
            (302, "server", server.url),
        ):
            made_other = "other = MockServer().start(); " * (place == "other")
            headers = {"Location": target + "/agents/1"}
            for method, arguments, fields in CALLS:
                server.script(fault.status(code, body=agent, headers=headers))
                before = len(server.records)
                made, error = attempt(api, method, *arguments, **fields)
                did = (
                    f"api = AgentsAPI(server.url, server.api_key); {made_other}"
                    f"server.script(fault.status({code}, body={{'id': 1}}, "
                    f"headers={{'Location': {place}.url + '/agents/1'}})); "
                    f"api.{method}({', '.join(map(repr, arguments))})"
                )
                leaked = [
                    "the header Authorization with " * ("Authorization" in one.headers)
                    + one.request
                    for one in other.records
                ]
                expect(
                    not leaked,
                    did=did,
                    saw=f"the other server got {', '.join(leaked)}",
                    expected="nothing at the other server: the token and the data are "
                    "for server.url only",
                )
                asked = [one.request for one in server.records[before:]]
                expect(
                    len(asked) == 1,
                    did=did,
                    saw=f"the server was asked for {', then '.join(asked)}",
                    expected="one request: the second one isn't what "
                    f"{method} should do",
                )
                expect(
                    error,
                    did=did,
                    saw=f"no exception; {method} returned {made!r}, and nothing was "
                    "done",
                    expected=f"an exception: a {code} is not a success",
                )


@pytest.mark.points(1, hint="post-once")
@pytest.mark.limit(10)  # for who waits before he looks
def test_lost_reply(answer, server):
    """A lost reply to create, or a 5xx, is an error, and there is no second POST."""
    api = make_api(answer, server)
    for trouble, why in (
        (fault.drop("fin"), "the agent was made, and only the reply was lost"),
        (
            fault.status(503) + fault.drop("fin"),
            "the request was lost, but that looks like a lost reply",
        ),
        (fault.status(503), "after a 503, the agent may have been made"),
    ):
        server.script(trouble)
        before = len(server.records)
        made, error = attempt(api, "create", "Ada")
        posts = [one for one in server.records[before:] if one.method == "POST"]
        expect(
            len(posts) == 1,
            saw=f"{len(posts)} POSTs",
            expected=f"1 POST: {why}, so a second one could make a second Ada",
        )
        expect(
            error,
            saw=f"no exception; create returned {made!r}",
            expected="an exception: names may repeat, so an Ada in the list may be "
            "another one",
        )


@pytest.mark.points(1, hint="timeout")
@pytest.mark.limit(10)  # for a busy machine
def test_timeout(answer, server):
    """Every request has a timeout, whatever is called."""
    add_agent(server, "Ada")
    api = make_api(answer, server)
    for method, arguments, fields in CALLS:

        def run(method=method, arguments=arguments, fields=fields):
            call(api, method, *arguments, **fields)

        expect(
            not waits_for_ever(server, run),
            saw=f"{method} waited for its reply without a timeout: if the server "
            "hangs, the program stands still for ever",
            expected="a timeout in every request",
        )


# --- further ---


@pytest.mark.points(1, further=True, hint="base-url")
def test_base_url(answer, server):
    """base_url may have a path, which stays, and may end in a slash."""
    server.on(path="/team-x/agents").reply(fault.status(200, body=[]))
    server.on(path="/team-x/agents/7").reply(fault.status(200, body={"id": 7}))
    for base in (server.url + "/team-x", server.url + "/team-x/"):
        before = len(server.records)
        api = call(answer, "AgentsAPI", base, server.api_key)
        for method, arguments in (("list", ()), ("get", (7,)), ("delete", (7,))):
            attempt(api, method, *arguments)
        paths = [record.path for record in server.records[before:]]
        log.function = type(api)  # "your line" is the class
        expect(
            paths == ["/team-x/agents", "/team-x/agents/7", "/team-x/agents/7"],
            saw=f"the server was asked for {', '.join(paths) or 'nothing'}",
            expected="/team-x/agents, then /team-x/agents/7 twice: the agents are "
            "below base_url",
        )
    api = call(answer, "AgentsAPI", server.url + "/", server.api_key)
    found, error = attempt(api, "list")
    expect(
        found == [],
        saw=f"{one_line(error)} was raised" if error else f"{found!r}",
        expected="[]: the slash at the end is not doubled",
    )


@pytest.mark.points(1, further=True, hint="odd-token")
def test_token_that_no_header_carries(answer, server):
    """A token with a line break or 中 inside is a ValueError when the client is made,
    and is not shown.
    """
    for odd in ("\n", "中"):
        token = TOKEN[:9] + odd + TOKEN[9:]
        wanted = "ValueError from AgentsAPI(…): no header can carry such a token"
        with expect_raises(answer, ValueError, expected=wanted) as caught:
            call(answer, "AgentsAPI", server.url, token)
        expect(
            not shows_token(shown(caught.value)),
            saw=shown(caught.value),
            expected="an error that does not show the token: errors are written to "
            "logs",
        )


@pytest.mark.points(1, further=True, hint="netrc")
@pytest.mark.server(api_key=TOKEN)
def test_netrc(answer, server, tmp_path, monkeypatch):
    """A login for the server in ~/.netrc does not take the place of the token."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login ada password old-secret\n", "utf-8")
    monkeypatch.setenv("NETRC", str(netrc))
    log.steps.append('os.environ["NETRC"] = "FILE"  # with a login for 127.0.0.1')
    api = make_api(answer, server)
    for method, arguments, fields in CALLS:
        attempt(api, method, *arguments, **fields)
        sent = (
            server.records[-1].headers.get("Authorization", "")
            if server.records
            else ""
        )
        expect(
            sent.startswith("Bearer "),
            saw=f"{method} sent `Authorization: {sent.partition(' ')[0]} …`, the login "
            "of the file: the server refuses it, and sees a password not meant for it",
            expected="`Authorization: Bearer …`, whatever is in ~/.netrc",
        )


@pytest.mark.points(1, further=True, hint="repr")
@pytest.mark.server(api_key=TOKEN)
@pytest.mark.limit(10)  # for an answer that asks again
def test_no_token_in_any_error(answer, server):
    """No error shows the token, even if the server repeats it, and no error of the
    library behind it does.
    """
    api = make_api(answer, server)
    repeated = {"message": f"invalid token {TOKEN}"}
    for trouble in (
        *map(fault.status, (401, 403, 404, 422, 429)),
        *(fault.status(code, body=repeated) for code in (400, 401, 404, 422)),
        fault.html(502),
        fault.html(200),
        fault.status(302, headers={"Location": "/agents"}),
        fault.drop(),
    ):
        server.on().reply(trouble)
        _, error = attempt(api, "update", 1)
        places = [word for word in shown(error).split() if shows_token(word)]
        expect(
            not places,
            saw=f"{type(error).__name__} shows {clip(' '.join(places), 60)}, in itself "
            "or in what it was raised from",
            expected="errors without the token: they are written to logs",
        )


@pytest.mark.points(1, further=True, hint="server-message")
def test_refusal_without_message(answer, server):
    """A 422 whose body has no message is a ValueError that shows what the body says."""
    api = make_api(answer, server)
    for reply, words in (
        (fault.html(422), "422 from the proxy"),
        (fault.status(422, body={"detail": "n-4711 is taken"}), "n-4711 is taken"),
        (fault.status(422, body=["n-4711 is taken"]), "n-4711 is taken"),
        (fault.status(422, body='"n-4711 is taken"'), "n-4711 is taken"),
    ):
        server.script(reply)
        with expect_raises(answer, ValueError) as caught:
            call(api, "create", "Ada")
        expect(
            words in str(caught.value),
            expected=f"a message with what the server sent: {words}",
        )


@pytest.mark.points(1, further=True, hint="patch")
def test_nothing_is_a_value(answer, server):
    """update and create send what they are given: None and "" too, or no field."""
    agent = add_agent(server, "Ada", "paused")
    api = make_api(answer, server)
    for method, argument, fields in (
        ("update", 1, {"status": None}),
        ("update", 1, {"name": ""}),
        ("create", "Eve", {"status": ""}),
    ):
        wanted = f"ValueError: the server refuses {fields}, if it is sent"
        with expect_raises(answer, ValueError, expected=wanted):
            call(api, method, argument, **fields)
    found, error = attempt(api, "update", 1)
    expect(
        found == agent,
        saw=f"{one_line(error)} was raised" if error else f"{found!r}",
        expected=f"the agent as it is, since there is nothing to change: {agent}",
    )
