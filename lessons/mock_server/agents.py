"""A small REST service: agents to create, read, change and delete, and data behind a
token.
"""

from typing import Any

from .call import Call
from .dialect import Dialect
from .reply import Reply, json_reply

MOST_AGENTS = 10_000
STATUSES = ("active", "paused", "retired")


def error_headers(status: int) -> dict[str, str]:
    """Return how to authenticate, which a 401 must say (RFC 9110, section 11.6.1)."""
    return {"WWW-Authenticate": 'Bearer realm="mock"'} if status == 401 else {}


def check(call: Call) -> Reply | None:
    """Return the 401 for a wrong token; for a missing one only where data is asked
    for.
    """
    if not call.key and call.path == "/data":
        message = "A bearer token is needed: Authorization: Bearer YOUR_KEY"
        return DIALECT.fail(401, message)
    if call.key and call.key != call.state.api_key:
        return DIALECT.fail(401, "This token is not valid")
    return None


def get_data(call: Call) -> Reply:
    rows = [{"id": 1, "value": "alpha"}, {"id": 2, "value": "beta"}]
    return json_reply({"data": rows})


def _read_fields(
    call: Call, needed: tuple[str, ...]
) -> tuple[dict[str, Any], Reply | None]:
    """Return the fields of an agent that the request brings, and the reply that says
    what is wrong with them, or None.
    """
    content_type = call.headers.get("Content-Type", "").partition(";")[0]
    if content_type.strip().lower() != "application/json":
        message = "Send JSON, with Content-Type: application/json"
        return {}, DIALECT.fail(415, message)
    body = call.json
    if not isinstance(body, dict):
        return {}, DIALECT.fail(400, "The body must be a JSON object")
    wrong = [(name, f"{name} is missing") for name in needed if name not in body]
    name = body.get("name", "x")
    if not isinstance(name, str) or not name.strip():
        wrong.append(("name", "name must be a text that is not empty"))
    elif len(name) > 1000:
        wrong.append(("name", "name must have at most 1,000 characters"))
    if body.get("status", "active") not in STATUSES:
        wrong.append(("status", f"status must be one of {', '.join(STATUSES)}"))
    wrong += [
        (field, f"there is no field {field!r}")
        for field in body
        if field not in ("id", "name", "status")
    ]
    if wrong:
        errors = [{"field": field, "message": message} for field, message in wrong]
        message = "; ".join(message for _, message in wrong)
        return {}, DIALECT.fail(422, message, errors=errors)
    return {field: body[field] for field in ("name", "status") if field in body}, None


def _no_agent(number: str) -> Reply:
    return DIALECT.fail(404, f"There is no agent {number}")


def create_agent(call: Call) -> Reply:
    fields, wrong = _read_fields(call, needed=("name",))
    if wrong:
        return wrong
    state = call.state
    if len(state.agents) >= MOST_AGENTS:
        message = f"There are {MOST_AGENTS:,} agents, and no room for more; delete some"
        return DIALECT.fail(507, message)
    state.agents_made += 1
    number = state.agents_made
    agent = {"id": number, "name": fields["name"]}
    state.agents[number] = agent | {"status": fields.get("status", "active")}
    return json_reply(state.agents[number], 201, Location=f"/agents/{number}")


def list_agents(call: Call) -> Reply:
    return json_reply(list(call.state.agents.values()))


def get_agent(call: Call, number: str) -> Reply:
    agent = call.state.agents.get(int(number))
    return json_reply(agent) if agent else _no_agent(number)


def change_agent(call: Call, number: str) -> Reply:
    """PUT replaces the whole agent and needs every field; PATCH changes the fields that
    are sent.
    """
    needed = ("name", "status") if call.method == "PUT" else ()
    fields, wrong = _read_fields(call, needed)
    if wrong:
        return wrong
    if int(number) not in call.state.agents:
        return _no_agent(number)
    call.state.agents[int(number)] |= fields
    return json_reply(call.state.agents[int(number)])


def delete_agent(call: Call, number: str) -> Reply:
    return Reply(204) if call.state.agents.pop(int(number), None) else _no_agent(number)


DIALECT = Dialect(
    routes=(
        ("GET", "/data", get_data),
        ("POST", "/agents", create_agent),
        ("GET", "/agents", list_agents),
        ("GET", "/agents/{number}", get_agent),
        ("PUT", "/agents/{number}", change_agent),
        ("PATCH", "/agents/{number}", change_agent),
        ("DELETE", "/agents/{number}", delete_agent),
    ),
    error_headers=error_headers,
    check=check,
)
