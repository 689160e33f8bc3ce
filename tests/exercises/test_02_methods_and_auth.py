"""Exercise 02: a small client that creates, reads, changes and deletes with a token."""

from typing import Any

import pytest
import requests
from mock_server import MockServer, fault

from tests.grader.diagnosis import one_line
from tests.grader.steps import call, expect, expect_raises, log

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


def attempt(api: Any, name: str, *arguments: Any) -> tuple[Any, Exception | None]:
    """Call a method that may fail; return its result and its exception."""
    try:
        return call(api, name, *arguments), None
    except NotImplementedError:  # not started yet
        raise
    except Exception as error:
        return None, error


@pytest.mark.points(1, hint="json-body")
def test_create(answer, server):
    """create sends JSON, and returns the agent as the server made it."""
    made = call(make_api(answer, server), "create", "Zoë 中文")
    wanted = {"id": 1, "name": "Zoë 中文", "status": "active"}
    expect(made == wanted, expected=f"the agent as the server made it: {wanted}")
    expect(
        agents(server) == [wanted],
        saw=f"the server has {agents(server)}",
        expected=f"the server has {wanted}",
    )


@pytest.mark.points(1, hint="json-body")
def test_create_with_status(answer, server):
    """create sends the status that it is given."""
    made = call(make_api(answer, server), "create", "Ada", status="paused")
    expect(made["status"] == "paused", expected="an agent with the status paused")


@pytest.mark.points(1)
def test_get(answer, server):
    """get returns one agent, the one with that id."""
    add_agent(server, "Ada")
    wanted = add_agent(server, "Grace", "retired")
    found = call(make_api(answer, server), "get", wanted["id"])
    expect(found == wanted, expected=f"the agent with the id 2: {wanted}")


@pytest.mark.points(1, hint="patch")
def test_update_one_field(answer, server):
    """update changes the fields it is given, and leaves the others."""
    agent = add_agent(server, "Ada", "paused")
    wanted = {**agent, "name": "Ada L."}
    changed = call(make_api(answer, server), "update", agent["id"], name="Ada L.")
    expect(changed == wanted, expected=f"the agent after the change: {wanted}")
    expect(
        agents(server) == [wanted],
        saw=f"the server has {agents(server)}",
        expected=f"the server has {wanted}",
    )


@pytest.mark.points(1, hint="patch")
def test_update_two_fields(answer, server):
    """update takes several fields at once, and touches no other agent."""
    other, agent = add_agent(server, "Ada"), add_agent(server, "Grace")
    wanted = {"id": agent["id"], "name": "Grace H.", "status": "retired"}
    changed = call(
        make_api(answer, server),
        "update",
        agent["id"],
        name="Grace H.",
        status="retired",
    )
    expect(changed == wanted, expected=f"the agent after the change: {wanted}")
    expect(
        agents(server) == [other, wanted],
        saw=f"the server has {agents(server)}",
        expected=f"the server has {[other, wanted]}",
    )


@pytest.mark.points(1)
def test_list(answer, server):
    """list returns all agents, and an empty list if there is none."""
    api = make_api(answer, server)
    expect(call(api, "list") == [], expected="[], because there is no agent yet")
    wanted = [add_agent(server, "Ada"), add_agent(server, "Grace")]
    expect(call(api, "list") == wanted, expected=f"both agents: {wanted}")


@pytest.mark.points(1, hint="no-content")
def test_delete(answer, server):
    """delete removes the agent, no other one, and returns nothing."""
    gone, kept = add_agent(server, "Ada"), add_agent(server, "Grace")
    api = make_api(answer, server)
    returned = call(api, "delete", gone["id"])
    expect(
        returned is None,
        saw=f"delete returned {returned!r}",
        expected="delete returns nothing",
    )
    expect(
        call(api, "list") == [kept], expected=f"only the other agent is left: {[kept]}"
    )


@pytest.mark.points(1, hint="delete-twice")
def test_delete_twice(answer, server):
    """Deleting an agent that is gone already is no error."""
    agent, kept = add_agent(server, "Ada"), add_agent(server, "Grace")
    api = make_api(answer, server)
    call(api, "delete", agent["id"])
    call(api, "delete", agent["id"])
    expect(
        call(api, "list") == [kept], expected=f"only the other agent is left: {[kept]}"
    )


@pytest.mark.points(1, hint="which-exception")
@pytest.mark.limit(10)  # for who waits and asks again after a 502 or 429
def test_other_refusals(answer, server):
    """Any other refusal, whatever is called, is an error of its own kind: an
    HTTPError.
    """
    api = make_api(answer, server)
    no_json = (
        fault.html(502),
        "a 502 is none of 401, 403, 404 and 422, and its body is no JSON",
    )
    too_many = (fault.status(429), "a 429 is none of 401, 403, 404 and 422")
    nothing_there = (
        fault.status(404),
        "a 404 at /agents, where no id was sent, is no agent that is missing",
    )
    for method, arguments, fields in CALLS:
        sends_id = method not in ("create", "list")
        for trouble, why in (
            (no_json, too_many) if sends_id else (no_json, too_many, nothing_there)
        ):
            del log.steps[1:]  # "we did" has the client and the call that failed
            server.on().reply(trouble)  # every time, for who asks again after a 502
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


@pytest.mark.points(1, hint="which-exception")
def test_missing_agent(answer, server):
    """An agent that does not exist is a LookupError, for get and for update."""
    api = make_api(answer, server)
    with expect_raises(answer, LookupError):
        call(api, "get", 77)
    with expect_raises(answer, LookupError):
        call(api, "update", 77, status="paused")


@pytest.mark.points(1, hint="which-exception")
def test_wrong_token(answer, server):
    """A token that the server does not accept (401) is a PermissionError, whatever is
    called, and no error shows it.
    """
    agent = add_agent(server, "Ada")
    first, second = (
        make_api(answer, server),
        make_api(answer, server, token="not-the-right-token"),
    )
    for method, arguments, fields in CALLS:
        with expect_raises(answer, PermissionError) as caught:
            call(second, method, *arguments, **fields)
        for shown in (repr(caught.value), str(caught.value)):
            expect(
                "not-the-right-token" not in shown,
                saw=shown,
                expected="an error without the token",
                hint="repr",
            )
    found, error = attempt(first, "get", 1)
    expect(
        found == agent,
        did="api = AgentsAPI(server.url, server.api_key); AgentsAPI(server.url, "
        '"not-the-right-token"); api.get(1)',
        saw=f"{one_line(error)} was raised" if error else f"{found!r}",
        expected="each client to send its own token, also when there is a second one",
        hint="bearer",
    )


@pytest.mark.points(1, hint="which-exception")
def test_forbidden(answer, server):
    """A 403, known but not allowed, is a PermissionError, whatever is called."""
    api = make_api(answer, server)
    server.on().reply(fault.status(403))
    for method, arguments, fields in CALLS:
        with expect_raises(answer, PermissionError):
            call(api, method, *arguments, **fields)


@pytest.mark.points(1, hint="server-message")
def test_refused_create(answer, server):
    """A 422 is a ValueError that says what the server said."""
    api = make_api(answer, server)
    errors = [
        {
            "resource": "Agent",
            "field": "name",
            "code": "already_exists",
            "value": "n-4711",
        }
    ]
    server.script(
        fault.status(
            422, body={"errors": errors, "message": "the name n-4711 is taken"}
        )
    )
    with expect_raises(answer, ValueError) as caught:
        call(api, "create", "Ada")
    expect(
        "the name n-4711 is taken" in str(caught.value),
        expected="the server's message: the name n-4711 is taken",
    )


@pytest.mark.points(1, hint="server-message")
def test_refused_update(answer, server):
    """A status that does not exist is a ValueError with the server's message, and
    changes nothing.
    """
    agent = add_agent(server, "Ada")
    api = make_api(answer, server)
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
@pytest.mark.server(api_key="n-token-that-nobody-guesses")
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
    bare = [
        record.request
        for record in server.records
        if record.headers.get("Authorization") != "Bearer n-to…sses"
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
    """Without a token there is a ValueError, before anything is sent."""
    for nothing in ("", None):
        with expect_raises(
            answer, ValueError, expected="ValueError, because there is no token"
        ):
            call(answer, "AgentsAPI", server.url, nothing)


@pytest.mark.points(1, hint="repr")
@pytest.mark.server(api_key="n-token-that-nobody-guesses")
def test_no_token_in_repr(answer, server):
    """Printing the client does not show the token, nor a part of it."""
    api = make_api(answer, server)
    call(api, "list")
    log.steps.append("print(api)")
    # "Your line" is the class, not the method that was called last.
    log.function = type(api)
    parts = [
        server.api_key[start : start + 8] for start in range(len(server.api_key) - 7)
    ]
    for shown in (repr(api), str(api), f"{[api]}"):
        expect(
            not any(part in shown for part in parts),
            saw=shown,
            expected="a repr without the token and its parts",
        )


@pytest.mark.points(1, hint="redirect")
def test_redirected_create(answer, server):
    """A create that meets a redirect is an error: what a GET brings in its place is not
    the new agent.
    """
    add_agent(server, "Grace")
    api = make_api(answer, server)
    server.script(fault.status(302, headers={"Location": "/agents"}))
    made, error = attempt(api, "create", "Ada")
    expect(
        error or (made in agents(server) and made["name"] == "Ada"),
        expected="an exception, or the agent Ada: following a 302 makes a GET of "
        "the POST",
    )


@pytest.mark.points(1, hint="redirect")
def test_redirect_to_another_service(answer, server):
    """The token is for this service only: it does not follow a redirect to
    another one.
    """
    add_agent(server, "Ada")
    api = make_api(answer, server)
    with MockServer() as other:
        for method, arguments, code, path in (
            ("get", [1], 302, "/agents/1"),
            ("create", ["Eve"], 307, "/agents"),
        ):
            server.script(fault.status(code, headers={"Location": other.url + path}))
            attempt(api, method, *arguments)
            leaked = [
                record.request
                for record in other.records
                if "Authorization" in record.headers
            ]
            expect(
                not leaked,
                did="api = AgentsAPI(server.url, server.api_key); other = "
                "MockServer().start(); server.script("
                f"fault.status({code}, "
                f"headers={{'Location': other.url + {path!r}}})); "
                f"api.{method}({arguments[0]!r})",
                saw="the other server got the header Authorization with "
                f"{', '.join(leaked)}",
                expected="the token at server.url only: who answers elsewhere "
                "could use it",
            )


@pytest.mark.points(1, hint="post-once")
def test_lost_reply(answer, server):
    """A create whose reply is lost, or a 5xx, is not sent a second time."""
    api = make_api(answer, server)
    server.script(fault.drop("fin"))
    returned, error = attempt(api, "create", "Ada")
    made = agents(server)
    expect(
        len(made) == 1,
        saw=f"the server has {made}",
        expected="one agent: a second POST makes a second one",
    )
    expect(error or returned in made, expected="an exception, because no reply came")
    server.on(method="POST").reply(fault.status(503))
    before = len(server.records)
    attempt(api, "create", "Grace")
    posts = [
        record.request for record in server.records[before:] if record.method == "POST"
    ]
    expect(
        len(posts) == 1,
        saw=f"{len(posts)} POSTs",
        expected="1 POST: after a 503, the agent may have been made",
    )
